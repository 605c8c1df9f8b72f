"""Training: pictures to cut-outs and rooms, cut-outs and rooms to pairs, pairs to weights."""
