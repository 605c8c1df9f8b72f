"""The network: tensors in, tensors out; knows no file format but its own weights, and no video."""
