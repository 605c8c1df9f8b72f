"""What all tests share."""

import torch

# Small pictures are computed faster by one thread than by several that wait for each other.
torch.set_num_threads(1)
