import typing

import pytest
import torch

from bgmv2.config import BackboneName, ModelConfig
from bgmv2.nn.backbones import BACKBONES
from bgmv2.nn.matting import MattingBase


def test_the_table_has_the_names_of_the_configuration():
    assert tuple(BACKBONES) == typing.get_args(BackboneName)
    assert ModelConfig().backbone in BACKBONES


def test_an_unknown_backbone_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="mobilenetv2, resnet50, resnet101.*vgg16"):
        MattingBase(ModelConfig("vgg16"))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("size", [(64, 32), (37, 53), (1, 1)])
def test_maps_have_the_channels_and_scales_of_the_table(name, size):
    row = BACKBONES[name]
    with torch.device("meta"):  # shapes need no numbers
        maps = row.build().eval()(torch.empty(2, 6, *size))
    channels = (row.channels, *row.skips)
    for x, c, scale in zip(maps, channels, (16, 8, 4, 2, 1), strict=True):
        assert x.shape == (2, c, -(-size[0] // scale), -(-size[1] // scale))


@pytest.mark.parametrize("name", BACKBONES)
def test_the_last_map_of_skips_is_the_input(name):
    x = torch.empty(1, 6, 32, 32, device="meta")
    with torch.device("meta"):
        assert BACKBONES[name].build().eval()(x)[-1] is x


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50"])
def test_the_deepest_map_sees_a_pixel_of_the_plate(name):
    torch.manual_seed(0)
    encoder = BACKBONES[name].build().eval()
    x = torch.rand(1, 6, 32, 32)
    changed = x.clone()
    changed[:, 3:, 16, 16] += 1
    with torch.inference_mode():
        assert (encoder(x)[0] - encoder(changed)[0]).abs().max() > 0
