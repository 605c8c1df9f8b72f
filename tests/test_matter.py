"""`Matter.matte`: what it takes, what it gives, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bgmv2 import DeviceError, Matter, Plate, RunConfig
from bgmv2 import matter as matter_module
from bgmv2.budget import Setting, settings_for
from bgmv2.config import REFINE_FLOOR
from bgmv2.device import free_memory


@pytest.fixture(scope="module")
def matter(weights):
    return Matter(weights, "cpu")


@pytest.fixture
def pair(picture):
    """A frame and a plate, ``(48, 64, 3)`` uint8."""
    return picture(1, 64, 48), picture(2, 64, 48)


def tensor(pixels):
    return torch.from_numpy(pixels.copy()).movedim(-1, -3).float() / 255


def assert_same(a, b, within=1e-5):
    for x, y in zip(a, b, strict=True):
        assert x.shape == y.shape
        assert (x - y).abs().max() <= within


def test_a_matte_has_a_batch_of_float32_in_0_to_1(matter, pair):
    matte = matter.matte(pair[0], plate=pair[1])
    assert [tuple(x.shape) for x in matte] == [(1, 1, 48, 64), (1, 3, 48, 64), (1, 1, 24, 32), (1, 1, 12, 16)]
    for x in matte:
        assert x.dtype == torch.float32 and x.device.type == "cpu"
        assert 0 <= x.min() and x.max() <= 1
    assert 0.2 < matte.pha.std()
    pha, fgr = matte[:2]
    assert pha is matte.pha and fgr is matte.fgr


def test_all_kinds_of_pictures_say_the_same(matter, pair):
    src, bgr = pair
    wanted = matter.matte(src, plate=bgr)
    assert_same(wanted, matter.matte(src[None], plate=bgr[None]))
    assert_same(wanted, matter.matte(src.astype(np.uint16) * 257, plate=bgr))
    assert_same(wanted, matter.matte(tensor(src), plate=tensor(bgr)))
    assert_same(wanted, matter.matte(tensor(src)[None], plate=bgr))
    assert_same(wanted, matter.matte(tensor(src).double(), plate=Plate(tensor(bgr))))
    assert_same(wanted, matter.matte(np.asfortranarray(src), plate=bgr[:, ::-1][:, ::-1]))


def test_arrays_that_may_not_be_written_to_are_read(matter, pair):
    for pixels in pair:
        pixels.flags.writeable = False
    before = [pixels.copy() for pixels in pair]
    matter.matte(pair[0], plate=pair[1])
    assert all((a == b).all() for a, b in zip(before, pair, strict=True))


def test_a_batch_says_what_its_pictures_say(matter, picture):
    frames = np.stack([picture(index, 64, 48) for index in range(3)])
    plates = np.stack([picture(10 + index, 64, 48) for index in range(3)])
    one_plate = [matter.matte(frame, plate=plates[0]) for frame in frames]
    assert_same(matter.matte(frames, plate=plates[0]), [torch.cat(x) for x in zip(*one_plate, strict=True)])
    own_plates = [matter.matte(frame, plate=plate) for frame, plate in zip(frames, plates, strict=True)]
    assert_same(matter.matte(frames, plate=plates), [torch.cat(x) for x in zip(*own_plates, strict=True)])


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((3, 48, 64), np.uint8),
        np.zeros((1, 1, 48, 64, 3), np.uint8),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((48, 64, 3), np.int32),
        np.zeros((0, 64, 3), np.uint8),
        torch.zeros(48, 64, 3),
        torch.zeros(1, 48, 64),
        torch.zeros(48, 64),
        torch.zeros(3, 48, 64, dtype=torch.uint8),
        torch.zeros(3, 0, 64),
    ],
    ids=lambda x: f"{type(x).__name__} {tuple(x.shape)} {x.dtype}",
)
def test_what_is_no_picture_is_refused(matter, picture):
    other = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="got"):
        matter.matte(picture, plate=picture)
    with pytest.raises(ValueError, match="got"):
        matter.matte(other, plate=picture)


@pytest.mark.parametrize(
    ("frames", "plates"),
    [((48, 64), (48, 63)), ((48, 64), (64, 48)), ((2, 48, 64), (3, 48, 64)), ((48, 64), (2, 48, 64))],
)
def test_a_plate_of_another_size_is_refused(matter, frames, plates):
    with pytest.raises(ValueError, match="frame and plate have one size"):
        matter.matte(np.zeros((*frames, 3), np.uint8), plate=np.zeros((*plates, 3), np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 7), (33, 17), (4, 128)])
def test_any_size_will_do(matter, size):
    matte = matter.matte(np.full((*size, 3), 80, np.uint8), plate=np.zeros((*size, 3), np.uint8))
    assert matte.pha.shape == (1, 1, *size) and matte.fgr.shape == (1, 3, *size)
    assert all(x.isfinite().all() for x in matte)


@pytest.mark.parametrize(("width", "scale"), [(64, 2), (1280, 2), (1284, 3), (1920, 3), (3840, 6), (7680, 12)])
def test_scale_and_pixels_follow_the_size(matter, picture, width, scale):
    """The coarse network sees at most 640 pixels of the longer side; a sixteenth of all pixels is refined."""
    height = 32
    for turned in (False, True):
        pictures = [picture(index, width, height) for index in (1, 2)]
        src, bgr = [pixels.swapaxes(0, 1) for pixels in pictures] if turned else pictures
        matte = matter.matte(src, plate=bgr)
        assert matte.err.shape[2:] == (src.shape[0] // scale, src.shape[1] // scale)
        assert 0 < matte.ref.sum() <= width * height // 16 // 16


def test_what_is_chosen_does_not_follow_the_size(weights, picture):
    matter = Matter(weights, "cpu", scale=0.125, pixels=160)
    for width in (64, 1280):
        matte = matter.matte(picture(1, width, 32), plate=picture(2, width, 32))
        assert matte.err.shape[2:] == (4, width // 8)
        assert 0 < matte.ref.sum() <= 10


def test_a_run_s_choices_reach_the_network(weights):
    run = RunConfig(
        weights=str(weights), device="cpu", precision="bfloat16", scale=0.2, refine="thresholding", threshold=0.3
    )
    matter = Matter.from_config(run)
    assert (matter.device.type, matter.dtype) == ("cpu", torch.bfloat16)
    config = matter.model.config
    assert (config.backbone_scale, config.refine_mode, config.refine_threshold) == (0.2, "thresholding", 0.3)


def test_bfloat16_gives_float32_that_is_nearly_the_same(matter, weights, pair):
    half = Matter(weights, "cpu", precision="bfloat16")
    assert str(half) == "mobilenetv2 on cpu in bfloat16"
    a, b = matter.matte(pair[0], plate=pair[1]), half.matte(pair[0], plate=pair[1])
    assert {x.dtype for x in b} == {torch.float32}
    assert 0 < (a.pha - b.pha).abs().mean() < 0.02


def test_the_weights_that_come_along_are_taken():
    matter = Matter(device="cpu")
    matte = matter.matte(np.full((32, 32, 3), 90, np.uint8), plate=np.full((32, 32, 3), 90, np.uint8))
    assert str(matter) == "mobilenetv2 on cpu in float32"
    assert all(x.isfinite().all() for x in matte)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:x", "cuda:99", "xpu"])
def test_a_device_that_is_not_there_is_an_error(weights, device):
    with pytest.raises(DeviceError, match="cpu|CUDA"):
        Matter(weights, device)


@pytest.mark.parametrize(("precision", "said"), [("float16", "float32 or bfloat16"), ("int8", "no precision 'int8'")])
def test_a_precision_that_is_not_there_is_an_error(weights, precision, said):
    with pytest.raises(DeviceError, match=said):
        Matter(weights, "cpu", precision=precision)


def test_auto_takes_cuda_where_there_is_one(weights):
    matter = Matter(weights)
    if torch.cuda.is_available():
        assert (matter.device.type, matter.dtype) == ("cuda", torch.float16)
    elif not torch.backends.mps.is_available():
        assert (matter.device.type, matter.dtype) == ("cpu", torch.float32)


def test_too_little_memory_is_told_in_one_line(weights, pair, monkeypatch):
    matter = Matter(weights, "cpu")

    def hungry(*_):
        raise torch.cuda.OutOfMemoryError("tried to allocate 80 GiB\nand 2 MiB")

    monkeypatch.setattr(matter, "_answer", hungry)
    with pytest.raises(DeviceError, match="^cpu has too little memory for 64x48: [^\n]*$"):
        matter.matte(pair[0], plate=pair[1])


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("precision", "within"), [("float32", 0.01), ("float16", 0.05), ("bfloat16", 0.1)])
def test_cuda_says_what_the_cpu_says(matter, weights, pair, precision, within):
    on_cuda = Matter(weights, "cuda", precision=precision)
    assert torch.cuda.get_device_name() in str(on_cuda)
    a, b = matter.matte(pair[0], plate=pair[1]), on_cuda.matte(pair[0], plate=pair[1])
    assert {x.device.type for x in b} == {"cuda"} and {x.dtype for x in b} == {torch.float32}
    assert (a.pha - b.pha.cpu()).abs().mean() < within
    assert (a.fgr - b.fgr.cpu()).abs().mean() < within


@pytest.mark.parametrize("width", [64, 61])
def test_a_mirror_image_is_answered_in_the_mirror(weights, pair, width, monkeypatch):
    monkeypatch.setattr(matter_module, "_SURE", 0)
    frame, plate = (tensor(x)[..., :width] for x in pair)
    matter, both = Matter(weights, "cpu"), Matter(weights, "cpu", mirror=True)
    one, mean = matter.matte(frame, plate=plate), both.matte(frame, plate=plate)
    other = matter.matte(frame.flip(-1), plate=plate.flip(-1))
    assert_same(mean[:3], [(a + b.flip(-1)) / 2 for a, b in zip(one[:3], other[:3], strict=True)])
    assert (mean.pha - one.pha).abs().max() > 0.01 and ((mean.ref == 1) >= (one.ref == 1)).all()
    again = both.matte(frame.flip(-1), plate=plate.flip(-1))
    assert_same([again.pha.flip(-1)], [mean.pha])
    assert both.fingerprint != matter.fingerprint == Matter(weights, "cpu").fingerprint


def test_work_that_follows_the_subject_is_asked_for(weights, picture):
    """Nothing differs in most of the frame: there, alpha is 0 whatever the weights."""
    plate = picture(1, 640, 480)
    frame = plate.copy()
    frame[400:, :80] = 255 - frame[400:, :80]
    off, auto = (Matter.from_config(RunConfig(weights=str(weights), device="cpu", region=x)) for x in ("off", "auto"))
    assert off.fingerprint != auto.fingerprint
    assert off.matte(frame, plate=plate).pha[..., :100, 400:].any()
    pha = auto.matte(frame, plate=plate).pha
    assert not pha[..., :100, 400:].any() and pha[..., 400:, :80].any()


def test_what_is_nearly_sure_is_not_refined(picture):
    """A frame that is its own plate but for a corner: little of it is unsure."""
    plate = picture(1, 640, 480)
    frame = plate.copy()
    frame[300:, :200] = 255 - frame[300:, :200]
    matter = Matter(device="cpu")
    matte = matter.matte(frame, plate=plate)
    expected = F.interpolate(matte.err, size=matte.ref.shape[2:], mode="bilinear")
    assert 0 < matte.ref.sum() * 16 < matter.settings(480, 640)[0].pixels
    assert expected[matte.ref == 1].min() > REFINE_FLOOR and expected[matte.ref == 0].max() <= REFINE_FLOOR


def test_an_alpha_that_is_nearly_sure_is_sure(weights, pair, monkeypatch):
    matter = Matter(weights, "cpu")
    told = torch.tensor([0, 0.011, 0.0125, 0.4, 0.9875, 0.989, 1])

    def answer(src, bgr):
        _, *others = fast(src, bgr)
        return torch.zeros_like(src[:, :1]).index_add_(3, torch.arange(7), told.expand(1, 1, 48, 7)), *others

    fast = matter._answer
    monkeypatch.setattr(matter, "_answer", answer)
    pha = matter.matte(pair[0], plate=pair[1]).pha[0, 0, 0, :7]
    assert pha.tolist() == torch.tensor([0, 0, 0.0125, 0.4, 0.9875, 1, 1]).tolist()


def test_a_thrifty_matter_looks_less_closely_where_memory_is_short(weights, picture, monkeypatch):
    monkeypatch.setattr(matter_module, "free_memory", lambda device: 1000)
    thrifty = Matter(weights, "cpu", budget="auto")
    cheapest = settings_for(360, 640)[-1]
    frame, plate = picture(1, 640, 360), picture(2, 640, 360)
    matte = thrifty.matte(frame, plate=plate)
    assert matte.err.shape[3] == 640 * cheapest.scale and matte.ref.sum() <= cheapest.pixels / 16
    monkeypatch.setattr(matter_module, "free_memory", lambda device: None)
    assert thrifty.matte(frame, plate=plate).err.shape == matte.err.shape  # is settled for this size
    assert Matter(weights, "cpu", budget="auto").matte(frame, plate=plate).err.shape[3] == 320


@pytest.mark.parametrize(("told", "dtype"), [({"avx512_bf16": True}, torch.bfloat16), ({}, torch.float32)])
def test_a_thrifty_matter_computes_in_bfloat16_where_the_cpu_does(weights, monkeypatch, told, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert Matter(weights, "cpu", budget="auto").dtype == dtype
    assert Matter(weights, "cpu", budget="auto", precision="float32").dtype == torch.float32
    assert Matter(weights, "cpu").dtype == torch.float32


def test_free_memory_is_told_in_bytes():
    free = free_memory(torch.device("cpu"))
    assert free is None or 2**20 < free < 2**50


def test_what_is_spent_on_a_frame_can_change(weights, picture):
    matter = Matter(weights, "cpu")
    assert matter.settings(48, 64) == settings_for(48, 64)
    matter.spend(Setting(0.125, 160))
    matte = matter.matte(picture(1, 64, 48), plate=picture(2, 64, 48))
    assert matte.err.shape[2:] == (6, 8) and matte.ref.sum() <= 10
    chosen = Matter(weights, "cpu", scale=0.25, pixels=320)
    assert chosen.settings(360, 640)[0] == Setting(0.25, 320)
