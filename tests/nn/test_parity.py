"""Our network computes what the published one computes.

The numbers come from one forward pass of the published code (PeterL1n/BackgroundMattingV2, commit a8e82df, MIT) on
made-up weights, which `made_up_state` repeats.
"""

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from bgmv2.config import ModelConfig
from bgmv2.nn.matting import MattingRefine

CASES = sorted(Path(__file__).parent.glob("parity/*.npz"))


def made_up_state(keys):
    """Weights for ``"name (shape)"`` keys, each drawn from its own generator."""
    state = {}
    for key in keys:
        name, shape = key.split(" ", 1)
        shape = tuple(int(n) for n in shape.strip("()").split(",") if n.strip())
        g = np.random.default_rng(zlib.crc32(name.encode()))
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
            continue
        if name.endswith("running_mean"):
            value = g.normal(0, 0.1, shape)
        elif name.endswith("running_var"):
            value = g.uniform(0.5, 1.5, shape)
        elif name.endswith("bias"):
            value = g.normal(0, 0.05, shape)
        elif len(shape) == 1:
            value = g.uniform(0.8, 1.2, shape)
        else:
            value = g.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape)
        if name == "decoder.conv4.weight":
            value = value * 0.15
        elif name == "decoder.conv4.bias":
            value = value + 0.3
        elif name == "refiner.conv4.weight" or (name.startswith("backbone.layer") and name.endswith("bn3.weight")):
            value = value * 0.2
        elif name == "refiner.conv4.bias":
            value = value + [0.4, 0, 0, 0]
        state[name] = torch.from_numpy(np.asarray(value, dtype=np.float32))
    return state


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_outputs_match_the_published_network(path):
    case = np.load(path)
    keys = [str(key) for key in case["keys"]]
    config = ModelConfig(
        backbone=str(case["meta_backbone"]),
        backbone_scale=float(case["meta_backbone_scale"]),
        refine_mode=str(case["meta_refine_mode"]),
        refine_sample_pixels=int(case["meta_refine_sample_pixels"]),
        refine_threshold=float(case["meta_refine_threshold"]),
        refine_kernel_size=int(case["meta_refine_kernel_size"]),
    )
    model = MattingRefine(config).eval()
    ours = {f"{name} {tuple(value.shape)}" for name, value in model.state_dict().items()}
    assert ours == set(keys)
    model.load_state_dict(made_up_state(keys), strict=True)

    g = np.random.default_rng(int(case["meta_seed"]))
    shape = tuple(case["meta_shape"])
    src, bgr = (torch.from_numpy(g.random(shape, dtype="f4")) for _ in range(2))
    with torch.inference_mode():
        pha, fgr, pha_sm, fgr_sm, err_sm, ref_sm = (x.numpy() for x in model(src, bgr))

    for ours_sm, name in ((pha_sm, "pha_sm"), (fgr_sm, "fgr_sm"), (err_sm, "err_sm")):
        np.testing.assert_allclose(ours_sm, case[name], rtol=0, atol=1e-4, err_msg=name)
    # Two patches of nearly the same error may swap their places among the chosen.
    same = _patches_alike(ref_sm, case, shape)
    assert same.mean() >= 0.995
    same = same.repeat(4, axis=2).repeat(4, axis=3)
    assert np.abs(pha - case["pha"])[same].max() <= 1e-4
    assert np.abs(fgr - case["fgr"])[np.broadcast_to(same, fgr.shape)].max() <= 1e-4


def _patches_alike(ref_sm, case, shape):
    if str(case["meta_refine_mode"]) == "full":  # every patch is refined, whatever the published map's resolution
        return np.ones((shape[0], 1, shape[2] // 4, shape[3] // 4), dtype=bool)
    return ref_sm == case["ref_sm"]
