import pytest
import torch
import torch.nn.functional as F

from bgmv2.plate.cells import _by_products, cell_means


@pytest.mark.parametrize("shape", [(36, 64), (480, 854), (101, 67), (20, 30)])
def test_both_ways_average_each_cell_over_what_it_touches(shape):
    x = torch.rand(2, 3, *shape)
    expected = F.adaptive_avg_pool2d(x, (36, 64))
    torch.testing.assert_close(cell_means(x, (36, 64)), expected)
    torch.testing.assert_close(_by_products(x, (36, 64)), expected)
