"""Pairs obey the matting equation, losses are those of the paper, and a run can be taken up where it ended."""

import copy
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import asdict, fields, replace

import pytest
import torch
from torchvision.models.mobilenetv2 import mobilenet_v2

from bgmv2.config import ModelConfig
from bgmv2.nn.backbones import MobileNetV2Encoder
from bgmv2.nn.checkpoint import load_model
from bgmv2.nn.refiner import Refiner
from bgmv2.training import augment
from bgmv2.training.compose import ComposeConfig, Composer, Pair
from bgmv2.training.data import Material
from bgmv2.training.imagenet import MEAN, STD, encoder_from_imagenet
from bgmv2.training.loop import TrainConfig, Trainer, _split_dilated, choose_windows
from bgmv2.training.losses import alpha_loss, error_loss, foreground_loss
from bgmv2.training.report import measure

# Nothing happens to a picture: each probability and strength is 0.
PLAIN = ComposeConfig(**{f.name: 0.0 for f in fields(ComposeConfig)})
TINY = TrainConfig(
    model=ModelConfig(refine_sample_pixels=512),
    base_steps=2,
    joint_steps=2,
    base_sides=(32, 64),
    joint_sides=(64, 96),
    base_batch=2,
    joint_batch=2,
    settle_steps=1,
)


@pytest.fixture(scope="module")
def material():
    g = torch.Generator().manual_seed(0)
    rooms = [torch.randint(256, (3, 60, 80), generator=g, dtype=torch.uint8) for _ in range(3)]
    cutouts = []
    for height, width in ((90, 40), (70, 50)):
        rgba = torch.randint(256, (4, height, width), generator=g, dtype=torch.uint8)
        rgba[3] = 0
        rgba[3, 5:-5, 5:-5] = 255
        cutouts.append(rgba)
    return Material(people=cutouts, things=[cutouts[0].flip(1)], rooms=rooms)


def test_a_batch_has_the_shapes_and_ranges_it_promises(material):
    pair = Composer(material, ComposeConfig(), seed=3).batch(4, 48, 72)
    for x, channels in zip(pair, (3, 3, 1, 3), strict=True):
        assert x.shape == (4, channels, 48, 72)
        assert 0 <= x.min() and x.max() <= 1
    assert pair.pha.max() > 0.9


def test_one_seed_gives_one_sequence(material):
    first, again = (Composer(material, ComposeConfig(), seed=5).batch(3, 40, 40) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = Composer(material, ComposeConfig(), seed=6).batch(3, 40, 40)
    assert not torch.equal(first.src, other.src)


@pytest.fixture
def perfect_camera(monkeypatch):
    """No lens, no sensor, no file: the picture is the light."""
    monkeypatch.setattr(augment.Camera, "__call__", lambda self, rgb: rgb)


def test_without_disturbances_frames_are_subject_over_plate(material, perfect_camera):
    pair = Composer(material, PLAIN, seed=1).batch(4, 48, 72)
    assert (pair.pha == 0).any() and (pair.pha == 1).any()
    torch.testing.assert_close(pair.src, pair.pha * pair.fgr + (1 - pair.pha) * pair.bgr, rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", ["shadow", "contact"])
def test_shadows_darken_the_frame_alone_and_are_background(material, perfect_camera, name):
    plain = Composer(material, PLAIN, seed=1).batch(4, 48, 72)
    shaded = Composer(material, replace(PLAIN, **{name: 1}), seed=1).batch(4, 48, 72)
    assert torch.equal(plain.pha, shaded.pha)
    torch.testing.assert_close(plain.bgr, shaded.bgr)
    change = shaded.src - plain.src
    assert change.max() < 1e-4 and change.min() < -0.05
    assert change[(plain.pha == 1).expand_as(change)].abs().max() < 1e-4


def test_a_reflection_lies_below_the_subject(material, perfect_camera):
    composer = Composer(material, replace(PLAIN, reflection=1), seed=0)
    pha, fgr = torch.zeros(1, 1, 48, 32), torch.full((1, 3, 48, 32), 0.9)
    pha[:, :, 8:20, 12:20] = 1
    room = torch.full_like(fgr, 0.2)
    shine = composer._mirror(room, fgr, pha, augment.Draw(1, composer.generator, "cpu"))[0, 0] - 0.2
    assert shine[:18].abs().max() < 1e-6
    assert shine[22:30, 14:18].min() > 0.02
    assert shine[40:].abs().max() < 0.02  # the mirrored head ends where the subject's does


def test_the_same_colours_come_near_the_rooms(material, perfect_camera):
    gap = {}
    for chance in (0.0, 1.0):
        pair = Composer(material, replace(PLAIN, same_color=chance), seed=4).batch(6, 48, 72)
        inside = (pair.pha > 0.9).expand_as(pair.src)
        gap[chance] = (pair.fgr - pair.bgr)[inside].abs().mean()
    assert gap[1.0] < gap[0.0]


def test_a_handheld_camera_sees_the_room_from_elsewhere(material, perfect_camera):
    pair = Composer(material, replace(PLAIN, empty=1, handheld=1), seed=3).batch(2, 48, 72)
    assert pair.src.shape == pair.bgr.shape == (2, 3, 48, 72)
    assert (pair.src - pair.bgr).abs().mean() > 0.02


def test_a_clip_has_one_plate_and_moves_smoothly(material):
    pair = Composer(material, replace(PLAIN, handheld=1), seed=2).clip(4, 48, 72)
    assert all(torch.equal(pair.bgr[0], plate) for plate in pair.bgr)
    steps = [(a - b).abs().mean() for a, b in zip(pair.pha, pair.pha[1:], strict=False)]
    assert 0 < min(steps) and max(steps) < 0.2


def test_the_exposure_of_a_clip_may_drift_and_its_plate_has_that_of_the_first_frame(material, perfect_camera):
    even, drifting = (Composer(material, replace(PLAIN, drift=share), seed=2).clip(4, 48, 72) for share in (0.0, 1.0))
    assert torch.equal(even.pha, drifting.pha) and torch.equal(even.bgr, drifting.bgr)
    change = [(a - b).abs().mean() for a, b in zip(even.src, drifting.src, strict=True)]
    assert change[0] < 2e-3 and change[1] > 0.01 and change == sorted(change)
    whole = (drifting.pha == 1).expand_as(drifting.src)
    torch.testing.assert_close(drifting.src[whole], drifting.fgr[whole], rtol=0, atol=2e-3)


def test_a_subject_that_its_picture_cut_reaches_below_the_frame(perfect_camera):
    cut = torch.full((4, 40, 30), 255, dtype=torch.uint8)
    room = torch.zeros(3, 60, 80, dtype=torch.uint8)
    pair = Composer(Material(people=[cut], things=[], rooms=[room]), PLAIN, seed=0).batch(12, 48, 72)
    assert (pair.pha[:, :, -1].amax(dim=(1, 2)) > 0.9).all()


def test_a_part_shows_an_outline_larger_than_the_whole_scene_does(material, perfect_camera):
    whole, part = (Composer(material, replace(PLAIN, part=chance), seed=1).batch(8, 48, 48) for chance in (0.0, 1.0))
    assert part.src.shape == whole.src.shape
    outlines = ((part.pha > 0.05) & (part.pha < 0.95)).flatten(1).any(1)
    assert outlines.all()
    torch.testing.assert_close(part.src, part.pha * part.fgr + (1 - part.pha) * part.bgr, rtol=0, atol=2e-3)
    parts = Composer(material, replace(PLAIN, part=1, empty=1), seed=1).batch(2, 32, 48)
    assert parts.src.shape == (2, 3, 32, 48) and parts.pha.max() == 0


def test_a_still_camera_neither_moves_nor_grades_the_plate(material, perfect_camera):
    changed = replace(PLAIN, empty=1, shift=0.05, turn=3, bend=0.02, exposure=1, vignette=1, far_shift=1)
    still = Composer(material, replace(changed, still=1), seed=2).batch(4, 48, 72)
    torch.testing.assert_close(still.src, still.bgr, rtol=0, atol=2e-3)
    free = Composer(material, changed, seed=2).batch(4, 48, 72)
    assert (free.src - free.bgr).abs().flatten(1).mean(1).min() > 0.02


def test_holes_show_the_room(material, perfect_camera):
    gone = 0.0
    for seed in range(6):
        whole, pierced = (
            Composer(material, replace(PLAIN, pierced=share), seed=seed).batch(1, 96, 96) for share in (0.0, 1.0)
        )
        hole = (whole.pha > 0.99) & (pierced.pha < 0.001)
        gone += hole.float().mean()
        room = hole.expand(-1, 3, -1, -1)
        torch.testing.assert_close(pierced.src[room], pierced.bgr[room], atol=0.01, rtol=0)
    assert gone / 6 > 0.01


def test_dark_parts_remain_subject(material, perfect_camera):
    plain, dark = (Composer(material, replace(PLAIN, dark=share), seed=4).batch(4, 64, 64) for share in (0.0, 1.0))
    assert torch.equal(plain.pha, dark.pha)
    subject = (plain.pha > 0.99).expand_as(plain.src)
    assert dark.fgr[subject].mean() < 0.7 * plain.fgr[subject].mean()
    torch.testing.assert_close(dark.src, dark.pha * dark.fgr + (1 - dark.pha) * dark.bgr, rtol=0, atol=2e-3)


def test_pale_subjects_stand_before_pale_rooms(material, perfect_camera):
    plain, pale = (Composer(material, replace(PLAIN, pale=share), seed=4).batch(4, 64, 64) for share in (0.0, 1.0))
    assert torch.equal(plain.pha, pale.pha)
    subject = (plain.pha > 0.99).expand_as(plain.src)
    assert (1 - pale.fgr[subject]).mean() < 0.8 * (1 - plain.fgr[subject]).mean()
    assert (1 - pale.bgr).mean() < 0.8 * (1 - plain.bgr).mean()
    torch.testing.assert_close(pale.src, pale.pha * pale.fgr + (1 - pale.pha) * pale.bgr, rtol=0, atol=2e-3)


def test_an_empty_scene_has_no_alpha(material):
    pair = Composer(material, replace(PLAIN, empty=1), seed=1).batch(2, 32, 32)
    assert pair.pha.max() == 0


def test_furniture_is_background(material, perfect_camera):
    pair = Composer(material, replace(PLAIN, empty=1, furniture=1), seed=2).batch(8, 48, 72)
    assert pair.pha.max() == 0
    torch.testing.assert_close(pair.src, pair.bgr, rtol=0, atol=2e-3)


def test_what_was_nudged_is_background(material, perfect_camera):
    pair = Composer(material, replace(PLAIN, empty=1, furniture=1, nudge=1), seed=2).batch(8, 200, 200)
    assert pair.pha.max() == 0
    assert (pair.src - pair.bgr).abs().amax() > 0.1


def test_perspective_shifts_by_pixels_and_repeats_the_border():
    x = torch.arange(6.0).view(1, 1, 1, 6).repeat(1, 1, 4, 1)
    none = torch.zeros(1, 1, 1)
    offsets = augment.corners(4, 6, shift=torch.tensor([[[1.0, 0.0]]]), angle=none, bend=torch.zeros(1, 4, 2))
    moved = augment.perspective(x, offsets)
    torch.testing.assert_close(moved[0, 0, 1], torch.tensor([0.0, 0, 1, 2, 3, 4]))


def test_a_quarter_turn_carries_each_corner_to_the_next():
    offsets = augment.corners(
        5, 5, shift=torch.zeros(1, 1, 2), angle=torch.full((1, 1, 1), torch.pi / 2), bend=torch.zeros(1, 4, 2)
    )
    torch.testing.assert_close(offsets[0], torch.tensor([[4.0, 0], [0, 4], [-4, 0], [0, -4]]))


def test_compression_spares_the_pictures_that_were_not_drawn():
    g = torch.Generator().manual_seed(0)
    draw = augment.Draw(8, g, "cpu")
    camera = augment.Camera(draw, noise=0, compression=0.5)
    camera.sharpness = torch.zeros(8, 1, 1, 1)
    x = torch.rand(8, 3, 20, 36, generator=g)
    changed = [i for i in range(8) if not torch.allclose(_through(camera, x)[i], x[i], atol=1e-3)]
    assert changed == camera.lossy.tolist() and 0 < len(changed) < 8


def _through(camera, x):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augment, "blur", lambda x, sigma: x)
        return camera(x)


def test_blobs_cover_about_the_share_asked_for():
    draw = augment.Draw(16, torch.Generator().manual_seed(0), "cpu")
    area = augment.blobs(draw, 60, 80, torch.full((16, 1, 1, 1), 0.2)).mean()
    assert 0.1 < area < 0.3


def test_frames_of_a_clip_share_their_draws_but_not_their_grain():
    draw = augment.Draw(3, torch.Generator().manual_seed(0), "cpu", shared=True)
    amounts, grain = draw.uniform(0, 1), draw.grain(1, 4, 4)
    assert torch.equal(amounts[0], amounts[2]) and not torch.equal(grain[0], grain[2])


def test_blur_keeps_the_sum_and_sigma_zero_changes_nothing():
    x = torch.zeros(2, 1, 21, 21)
    x[:, :, 10, 10] = 1
    sigma = torch.tensor([0.0, 1.5]).view(2, 1, 1, 1)
    y = augment.blur(x, sigma)
    torch.testing.assert_close(y[0], x[0])
    assert y[1].sum() == pytest.approx(1, abs=1e-4)
    offsets = torch.arange(21.0) - 10
    variance = (y[1, 0].sum(0) * offsets**2).sum()
    assert variance == pytest.approx(1.5**2, rel=0.1)


def test_losses_by_hand():
    true = torch.zeros(1, 1, 8, 8)
    pred = torch.full_like(true, 0.25)
    assert alpha_loss(true, true) == 0
    assert alpha_loss(pred, true) == pytest.approx(0.25)  # a flat difference has no gradient
    ramp = torch.linspace(0, 0.7, 8).expand(1, 1, 8, 8)
    assert alpha_loss(ramp, true) > ramp.mean() + 0.01
    fgr, pha = torch.ones(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    assert foreground_loss(fgr, fgr * 0.5, pha) == 0
    pha[..., :4] = 0.1
    assert foreground_loss(fgr, fgr * 0.5, pha) == pytest.approx(0.25)
    pred.requires_grad_()
    err = torch.zeros_like(true).requires_grad_()
    loss = error_loss(err, pred, true)
    assert loss.item() == pytest.approx(0.25**2)
    loss.backward()
    assert pred.grad is None and err.grad is not None


def test_the_imagenet_start_sees_frames_as_imagenet_did_and_differences():
    torch.manual_seed(0)
    imagenet = mobilenet_v2(weights=None).eval()
    encoder = MobileNetV2Encoder().eval()
    encoder.load_state_dict(encoder_from_imagenet(imagenet.features.state_dict()))
    src = torch.rand(1, 3, 32, 32)
    normalised = (src - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        theirs = imagenet.features[0](normalised)
        ours = encoder.features[0](torch.cat([src, torch.rand_like(src)], 1))
        same = encoder.features[0][0](torch.cat([src, src], 1))
    inner = (slice(None), slice(1, None, 2), slice(1, None), slice(1, None))  # the border's padding is zero in both
    torch.testing.assert_close(ours[inner], theirs[inner], rtol=1e-4, atol=1e-4)
    assert same[:, ::2].abs().max() < 1e-4  # every second filter is blind to what frame and plate share
    with pytest.raises(ValueError, match="tensors"):
        encoder_from_imagenet({})


def test_a_run_saves_usable_weights_and_goes_on_where_it_ended(tmp_path, material):
    trainer = Trainer(TINY, material, tmp_path)
    steps = list(trainer.run(save_every=1, until=0))  # the time is up after the first step
    assert steps == [1]
    again = Trainer(TINY, material, tmp_path)
    assert again.step == 1 and again.losses == trainer.losses
    for a, b in zip(again.model.state_dict().values(), trainer.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    before = again.model.refiner.conv4.weight.detach().clone()
    list(again.run(save_every=100))
    assert [row["step"] for row in again.losses] == [0, 1, 2, 3]
    assert "full_pha" in again.losses[2] and "full_pha" not in again.losses[1]
    assert not torch.equal(before, again.model.refiner.conv4.weight)
    pha = load_model(tmp_path / "weights.safetensors")(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))[0]
    assert pha.isfinite().all()


def test_a_run_that_is_stopped_ends_after_its_step(tmp_path, material):
    trainer = Trainer(TINY, material, tmp_path)
    step = trainer._train_step

    def interrupted(pair, stage):
        os.kill(os.getpid(), signal.SIGINT)
        return step(pair, stage)

    before = signal.signal(signal.SIGINT, lambda *_: trainer.stop())
    try:
        trainer._train_step = interrupted
        assert list(trainer.run(save_every=100)) == [1]
    finally:
        signal.signal(signal.SIGINT, before)
    assert Trainer(TINY, material, tmp_path).step == 1


def test_pairs_are_made_on_when_a_terminal_interrupts_everybody(tmp_path, material):
    pairs = Trainer(replace(TINY, base_steps=40), material, tmp_path)._pairs("base", 40)
    next(pairs)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGINT)
    assert sum(1 for _ in pairs) == 39


def test_bfloat16_trains_both_stages(tmp_path, material):
    trainer = Trainer(replace(TINY, base_steps=1, joint_steps=1), material, tmp_path, precision="bfloat16")
    assert list(trainer.run(save_every=100)) == [2]
    assert trainer.model.decoder.conv4.weight.dtype == torch.float32


def test_frozen_statistics_are_those_of_the_start(tmp_path, material):
    trainer = Trainer(replace(TINY, freeze_norm=True), material, tmp_path)
    before = {name: x.clone() for name, x in trainer.model.named_buffers()}
    weight = trainer.model.decoder.bn1.weight.detach().clone()
    list(trainer.run(save_every=100))
    for model in (trainer.model, trainer.average.module):
        for name, x in model.named_buffers():
            assert torch.equal(x, before[name]), name
    assert not torch.equal(weight, trainer.model.decoder.bn1.weight)


@pytest.mark.parametrize("size", [(12, 16), (11, 15), (1, 2)])
def test_a_dilated_convolution_in_phases_is_the_same(size):
    x = torch.randn(2, 6, *size, requires_grad=True)
    plain = torch.nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, bias=False)
    phased = torch.nn.Sequential(copy.deepcopy(plain))
    _split_dilated(phased)
    assert type(phased[0]) is not torch.nn.Conv2d and phased.state_dict().keys() == {"0.weight"}
    weight = torch.randn(2, 6, *size)
    answers = []
    for module in (plain, phased):
        answer = module(x)
        answers.append((answer, *torch.autograd.grad((answer * weight).sum(), [x, *module.parameters()])))
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_windows_of_a_larger_side_are_refined_as_patches_are():
    refiner = Refiner("sampling", 0, 0.0).eval()
    pictures, coarse = torch.rand(2, 6, 128, 192), torch.rand(2, 42, 64, 96)
    window = torch.tensor([1]), torch.tensor([1]), torch.tensor([2])
    whole = refiner.refine(pictures, coarse, window, side=64)
    ys, xs = torch.meshgrid(torch.arange(16, 32), torch.arange(32, 48), indexing="ij")
    parts = refiner.refine(pictures, coarse, (torch.ones(256, dtype=torch.long), ys.flatten(), xs.flatten()))
    parts = parts.view(16, 16, 4, 4, 4).permute(2, 0, 3, 1, 4).reshape(1, 4, 64, 64)
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5)


def test_windows_lie_where_alpha_is_soft_or_wrong():
    true, pred = torch.zeros(2, 1, 128, 192), torch.zeros(2, 1, 64, 96)
    true[0, :, 70:90, 130:150] = 0.5  # a soft place that the base sees
    pred[0, :, 35:45, 65:75] = 0.5
    pred[1, :, :10, :10] = 1  # a ghost
    pictures, ys, xs = choose_windows(pred, true, 1)
    assert [tuple(map(int, place)) for place in zip(pictures, ys, xs, strict=True)] == [(0, 1, 2), (1, 0, 0)]


def test_pictures_of_nobody_have_windows_too(tmp_path, material):
    config = replace(TINY, base_steps=0, joint_steps=2, windows=3, joint_sides=(64, 128), freeze_norm=True)
    trainer = Trainer(replace(config, compose=replace(PLAIN, empty=1.0)), material, tmp_path)
    with torch.no_grad():  # a base that is right: alpha is 0 everywhere
        trainer.model.decoder.conv4.bias[0] = -100
    list(trainer.run(save_every=100))
    assert all(math.isfinite(value) for row in trainer.losses for value in row.values())


def test_pictures_of_whole_windows_leave_no_border_unrefined(tmp_path, material):
    with pytest.raises(ValueError, match="multiple of 64"):
        replace(TINY, windows=1, joint_sides=(96, 128))
    config = replace(TINY, windows=1, joint_sides=(64, 256), base_steps=0, compose=PLAIN)
    sizes = {pair.pha.shape[2:] for pair in Trainer(config, material, tmp_path)._pairs("joint", 12)}
    assert len(sizes) > 3 and all(h % 64 == w % 64 == 0 for h, w in sizes)


def test_joint_steps_refine_windows_and_both_networks_learn_from_them(tmp_path, material):
    config = replace(TINY, base_steps=0, joint_steps=1, windows=2, joint_sides=(64, 128), freeze_norm=True)
    trainer = Trainer(config, material, tmp_path)
    before = copy.deepcopy(trainer.model.state_dict())
    pair = Composer(material, PLAIN, seed=0).batch(2, 128, 128)
    losses = trainer._window_losses(*pair)
    (losses["full_pha"] + losses["full_fgr"]).backward()
    assert next(trainer.model.backbone.parameters()).grad.abs().sum() > 0
    assert set(losses) == {"full_pha", "full_fgr", "pha", "fgr", "err"}
    list(trainer.run(save_every=100))
    after = trainer.model.state_dict()
    for name in ("refiner.conv1.weight", "decoder.conv4.weight"):
        assert not torch.equal(before[name], after[name])


def test_statistics_are_settled_for_the_kept_weights(tmp_path, material):
    trainer = Trainer(TINY, material, tmp_path)
    settled = []
    trainer._settle = lambda: settled.append({k: v.clone() for k, v in trainer.average.module.state_dict().items()})
    list(trainer.run(save_every=100))
    Trainer._settle(trainer)
    name = "decoder.bn1.running_mean"
    after = trainer.average.module.state_dict()
    assert not torch.equal(settled[0][name], after[name])
    assert torch.equal(settled[0]["decoder.conv1.weight"], after["decoder.conv1.weight"])
    assert all(m.momentum is not None for m in trainer.average.module.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_statistics_are_settled_at_every_scale(tmp_path, material):
    trainer = Trainer(replace(TINY, settle_steps=12, joint_scales=(0.5, 0.25)), material, tmp_path)
    scales = []
    trainer.average.module.register_forward_pre_hook(lambda module, _: scales.append(module.backbone_scale))
    trainer._settle()
    assert len(scales) == 12 and set(scales) == {0.5, 0.25}


def test_a_configuration_is_read_back_and_a_typo_is_named():
    assert TrainConfig.from_dict(json.loads(json.dumps(asdict(TINY)))) == TINY
    assert TrainConfig.from_dict({"rate": 0.5}).rate == 0.5
    with pytest.raises(ValueError, match="ComposeConfig has no setting shadows"):
        TrainConfig.from_dict({"compose": {"shadows": 1}})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "objects of names and values"),
        ({"model": None}, "objects of names and values"),
        ({"base_steps": "x"}, "base_steps is like 2400, got 'x'"),
        ({"freeze_norm": 1}, "freeze_norm is like False, got 1"),
        ({"base_sides": 5}, "base_sides is like"),
        ({"joint_sides": [64]}, "joint_sides are a smallest and a largest side"),
        ({"base_batch": 0}, "base_batch is 1 or more"),
        ({"joint_scales": []}, "joint_scales are above 0"),
        ({"windows": True}, "windows is like 0, got True"),
    ],
)
def test_settings_of_another_kind_are_named(values, said):
    with pytest.raises(ValueError, match=said):
        TrainConfig.from_dict(values)


def test_held_out_pictures_without_background_are_measured():
    pair = Pair(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64), torch.rand(1, 3, 64, 64))
    found = measure(load_model(), [pair], coarse=False)
    assert found["background above 0.1"] == 0 and 0 < found["alpha"] < 1 and found["soft alpha"] == 0


def test_a_run_starts_from_earlier_weights(tmp_path, material):
    first = Trainer(TINY, material, tmp_path / "a")
    first.save()
    weights = tmp_path / "a" / "weights.safetensors"
    second = Trainer(replace(TINY, seed=9), material, tmp_path / "b", start=[weights])
    for a, b in zip(first.average.module.parameters(), second.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)  # kept in half precision


def test_a_run_starts_from_the_mean_of_several(tmp_path, material):
    runs = [Trainer(replace(TINY, seed=seed), material, tmp_path / str(seed)) for seed in (1, 2)]
    for run in runs:
        run.save()
    third = Trainer(TINY, material, tmp_path / "c", start=[run.folder / "weights.safetensors" for run in runs])
    for a, b, mean in zip(*(run.average.module.parameters() for run in runs), third.model.parameters(), strict=True):
        torch.testing.assert_close((a + b) / 2, mean, rtol=1e-3, atol=1e-3)  # kept in half precision


def test_the_running_mean_begins_anew_with_the_refiner(tmp_path, material):
    trainer = Trainer(replace(TINY, joint_steps=1, rate=0.1), material, tmp_path)
    list(trainer.run(save_every=100))
    for mean, last in zip(trainer.average.module.parameters(), trainer.model.parameters(), strict=True):
        assert torch.equal(mean, last)


def test_a_folder_of_another_run_is_not_mixed_up(tmp_path, material):
    list(Trainer(TINY, material, tmp_path).run(save_every=1, until=0))
    with pytest.raises(ValueError, match="another rate"):
        Trainer(replace(TINY, rate=0.5), material, tmp_path)


def test_a_few_steps_lower_the_loss(tmp_path, material):
    config = replace(TINY, compose=PLAIN, base_steps=12, joint_steps=0, rate=3e-3, base_sides=(32, 32))
    trainer = Trainer(config, material, tmp_path)
    pair = Composer(material, PLAIN, seed=0).batch(2, 32, 32)
    trainer._pairs = lambda stage, count: iter([pair] * count)
    list(trainer.run(save_every=100))
    losses = [row["pha"] for row in trainer.losses]
    assert losses[-1] < 0.7 * losses[0]


def test_training_needs_neither_pyav_nor_opencv():
    code = "import sys; sys.modules.update(av=None, cv2=None); import bgmv2.training.loop, bgmv2.training.report"
    subprocess.run([sys.executable, "-c", code], check=True)
