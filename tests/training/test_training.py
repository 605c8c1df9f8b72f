"""Pairs obey the matting equation, losses are those of the paper, and a run can be taken up where it ended."""

from dataclasses import replace

import pytest
import torch
from torchvision.models.mobilenetv2 import mobilenet_v2

from bgmv2.config import ModelConfig
from bgmv2.nn.backbones import MobileNetV2Encoder
from bgmv2.nn.checkpoint import load_model
from bgmv2.training import augment
from bgmv2.training.compose import ComposeConfig, Composer
from bgmv2.training.data import Material, split_of
from bgmv2.training.imagenet import MEAN, STD, encoder_from_imagenet
from bgmv2.training.loop import TrainConfig, Trainer
from bgmv2.training.losses import alpha_loss, error_loss, foreground_loss

PLAIN = ComposeConfig(
    empty=0, objects=0, group=0, furniture=0, shadow=0, noise=0, exposure=0, shift=0, turn=0, far_shift=0
)
TINY = TrainConfig(
    model=ModelConfig(refine_sample_pixels=512),
    base_steps=2,
    joint_steps=2,
    base_sides=(32, 64),
    joint_sides=(64, 96),
    base_batch=2,
    joint_batch=2,
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
    return Material(cutouts, rooms)


def test_splits_go_by_the_number_in_the_name():
    assert [split_of(name) for name in ("10_kitchen", "10_frontal.jpg", "0125", "0126")] == [
        "test",
        "test",
        "val",
        "train",
    ]


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


def test_without_disturbances_frame_and_plate_agree_where_nobody_is(material):
    class NoFocus(Composer):
        def _photograph(self, rgb, draw):
            return rgb

    pair = NoFocus(material, PLAIN, seed=1).batch(4, 48, 72)
    nobody = (pair.pha == 0).expand_as(pair.src)
    assert nobody.any() and not nobody.all()
    torch.testing.assert_close(pair.src[nobody], pair.bgr[nobody], rtol=0, atol=2e-3)
    torch.testing.assert_close(pair.src, pair.pha * pair.fgr + (1 - pair.pha) * pair.bgr, rtol=0, atol=2e-3)


def test_an_empty_scene_has_no_alpha(material):
    pair = Composer(material, replace(PLAIN, empty=1), seed=1).batch(2, 32, 32)
    assert pair.pha.max() == 0


def test_furniture_is_background(material):
    pair = Composer(material, replace(PLAIN, empty=1, furniture=1), seed=2).batch(8, 48, 72)
    assert pair.pha.max() == 0
    assert (pair.src - pair.bgr).abs().mean() < 0.06  # focus differs, content does not


def test_move_shifts_by_pixels_and_repeats_the_border():
    x = torch.arange(6.0).view(1, 1, 1, 6).repeat(1, 1, 4, 1)
    shift = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    moved = augment.move(x, shift, torch.zeros(1, 1, 1, 1))
    torch.testing.assert_close(moved[0, 0, 0], torch.tensor([1.0, 2, 3, 4, 5, 5]))


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


def test_bfloat16_trains_both_stages(tmp_path, material):
    trainer = Trainer(replace(TINY, base_steps=1, joint_steps=1), material, tmp_path, precision="bfloat16")
    assert list(trainer.run(save_every=100)) == [2]
    assert trainer.model.decoder.conv4.weight.dtype == torch.float32


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
