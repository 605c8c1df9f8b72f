"""Each way to spoil a pair is recognised and named, and a good pair is called good."""

import cv2
import numpy as np
import pytest
import torch

from bgmv2.types import Matte

from .conftest import COUNT, HEIGHT, WIDTH, Take, noisy, put, room, stand


def moved(picture, x=0.0, y=0.0, degrees=0.0, zoom=1.0):
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, zoom) + np.array([[0, 0, x], [0, 0, y]])
    return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def brighter(picture, factor):
    return np.clip(picture * np.float32(factor) + 0.5, 0, 255).astype(np.uint8)


def test_a_good_pair_is_good(take):
    found = take.examine()
    assert found.diagnosis.verdict == "good" and not found.diagnosis.findings
    numbers = found.diagnosis.numbers
    assert numbers["frames"] == numbers["fitting"] == COUNT and numbers["coverage"] == 1 and numbers["moved"] == 0
    assert numbers["focus"] == pytest.approx(1, abs=0.1) and numbers["stops"] == pytest.approx(0, abs=0.05)
    assert numbers["noise"] == pytest.approx(1.5 / 255, rel=0.4)
    assert numbers["error"] is None


def test_a_good_hand_held_pair_is_good(take):
    take.frames = [moved(frame, 4 * i - 9, i, 0.4 * i) for i, frame in enumerate(take.frames)]
    findings = take.findings()
    assert findings["moving-camera"].severity == "note"
    assert not {"ghost", "moved-object", "other-scene", "parallax", "soft-plate"} & set(findings)
    assert take.examine().diagnosis.verdict != "reshoot"


def test_a_camera_that_was_put_back_a_little_off(take):
    take.plate = moved(take.plate, 6, 2)
    findings = take.findings()
    assert findings["moved-once"].severity == "note" and "--align first" in findings["moved-once"].advice
    assert findings["moved-once"].numbers["moved"] == pytest.approx(np.hypot(6, 2), abs=1)


def test_what_alignment_would_mend_is_told_to_those_who_switched_it_off(take):
    take.plate = brighter(moved(take.plate, 6, 2), 0.8)
    findings = take.findings(align="off")
    assert findings["unaligned"].severity == findings["other-light"].severity == "warning"
    assert "--align first" in findings["unaligned"].advice and "--align first" in findings["other-light"].advice


def test_a_subject_that_hardly_moves_is_no_thing():
    findings = Take(x=(240,) * COUNT).findings()
    assert set(findings) == {"still-subject"} and findings["still-subject"].severity == "note"


def test_another_room(take):
    take.plate = noisy(room(5), 99)
    findings = take.findings()
    assert findings["other-scene"].severity == "reshoot" and "--backdrop" in findings["other-scene"].advice
    assert set(findings) == {"other-scene"}


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (lambda plate: plate[:, ::-1], "is mirrored: mirror it back, left to right"),
        (lambda plate: plate[::-1, ::-1], "is upside down: turn it by 180 degrees"),
        (lambda plate: plate[::-1], "is mirrored top to bottom"),
    ],
)
def test_a_plate_that_was_turned(take, turn, said):
    take.plate = np.ascontiguousarray(turn(take.plate))
    findings = take.findings()
    assert set(findings) == {"turned-plate"} and said in findings["turned-plate"].sentence
    assert findings["turned-plate"].severity == "reshoot"


def test_somebody_on_the_plate(take):
    take.plate = noisy(stand(room(), 420, (90, 200, 60)), 99)
    ghost = take.findings()["ghost"]
    assert ghost.severity == "reshoot" and "somebody" in ghost.sentence and "--plate auto" in ghost.advice
    x, y, width, height = ghost.boxes[0]
    assert x < 420 < x + width and y < 200 < y + height and width < 90


def test_the_plate_is_a_frame_of_the_clip(take):
    take.plate = take.frames[3].copy()
    ghost = take.findings()["ghost"]
    assert ghost.severity == "reshoot" and ghost.boxes[0][0] < take.x[3] < sum(ghost.boxes[0][::2])


def test_the_subject_is_on_the_plate_and_does_not_move():
    take = Take(x=(240,) * COUNT)
    take.plate = take.frames[3].copy()
    assert "the plate, too" in take.findings()["nobody"].advice


def test_a_thing_that_was_taken_away(take):
    take.plate = noisy(put(room(), 10, 20), 99)
    findings = take.findings()
    assert findings["ghost"].severity == "warning" and "--garbage" in findings["ghost"].advice
    assert findings["ghost"].boxes[0][:2] == pytest.approx((10, 20), abs=5)


def test_a_thing_that_came(take):
    take.frames = [put(frame, 10, 20) for frame in take.frames]
    findings = take.findings()
    assert findings["moved-object"].severity == "warning" and "ghost" not in findings
    assert "on the left at the top" in findings["moved-object"].sentence


@pytest.mark.parametrize(("value", "said"), [(1, "black"), (120, "of one colour")])
def test_a_plate_that_shows_nothing(take, value, said):
    take.plate = np.full_like(take.plate, value)
    findings = take.findings()
    assert set(findings) == {"empty-plate"} and said in findings["empty-plate"].sentence


def test_a_burnt_out_plate(take):
    take.plate = brighter(take.plate, 2.2)
    finding = take.findings()["clipped-plate"]
    assert finding.severity in ("warning", "reshoot") and finding.numbers["plate"] > finding.numbers["clip"] + 0.15


@pytest.mark.parametrize(("sigma", "severity"), [(1.0, "warning"), (4.0, "reshoot")])
def test_a_plate_out_of_focus(take, sigma, severity):
    take.plate = cv2.GaussianBlur(take.plate, (0, 0), sigma)
    assert take.findings()["soft-plate"].severity == severity


def test_a_clip_out_of_focus(take):
    take.frames = [noisy(cv2.GaussianBlur(frame, (0, 0), 2), 1) for frame in take.frames]
    assert "sharper than the clip" in take.findings()["soft-clip"].sentence


def test_a_darker_plate(take):
    take.plate = brighter(take.plate, 0.7)
    light = take.findings()["other-light"]
    assert "brighter" in light.sentence and light.numbers["stops"] == pytest.approx(2.2 * np.log2(1 / 0.7), abs=0.15)


def test_another_white_balance(take):
    take.plate = brighter(take.plate, (0.88, 1.0, 1.1))
    assert "warmer" in take.findings()["other-light"].sentence


def test_light_that_drifts(take):
    take.frames = [brighter(frame, 0.8 + 0.1 * index) for index, frame in enumerate(take.frames)]
    assert take.findings()["drifting-light"].severity == "note"


def test_bars(take):
    small = cv2.resize(take.plate, (WIDTH, 210), interpolation=cv2.INTER_AREA)
    take.plate = np.zeros_like(take.plate)
    take.plate[30:240] = small
    assert "crop the bars off" in take.findings()["bars"].advice


def test_a_plate_of_few_pixels(take):
    take.plate_size = (160, 90)
    assert "160x90" in take.findings()["small-plate"].sentence


def test_a_clip_that_cuts(take):
    take.frames[3:] = [noisy(stand(room(5), x), 7) for x in take.x[3:]]
    take.cuts = (2.5,)
    finding = take.findings()["cut"]
    assert "2.50 s" in finding.sentence and "--end 2.50" in finding.advice and finding.severity == "warning"


def test_frames_that_do_not_fit(take):
    take.frames[2] = noisy(room(5), 7)
    assert "1 of 5" in take.findings()["strange-frames"].sentence


def test_noise(take):
    take.frames = [
        noisy(np.clip(frame + np.random.default_rng(i).normal(0, 14, frame.shape), 0, 255), i)
        for i, frame in enumerate(take.frames)
    ]
    assert take.findings()["noisy-clip"].numbers["clip"] == pytest.approx(14 / 255, rel=0.3)


def test_a_camera_that_stood_elsewhere(take):
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    depth = cv2.resize(np.random.default_rng(2).random((4, 6), np.float32), (WIDTH, HEIGHT))
    take.plate = cv2.remap(take.plate, x + 16 * (depth - 0.5), y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    assert "film the plate from the very place" in take.findings()["parallax"].advice


def test_a_clip_in_which_nothing_shows(take):
    take.frames = [np.zeros_like(frame) for frame in take.frames]
    assert set(take.findings()) == {"blank-clip"}


def test_one_frame_is_enough_to_look_at(take):
    take.frames = take.frames[:1]
    assert take.examine().diagnosis.verdict == "good"


def test_a_mosaic_is_no_camera_that_moved():
    wide = cv2.resize(room(), (720, 400), interpolation=cv2.INTER_CUBIC)
    take = Take()
    take.plate = wide
    corners = [(40 + 40 * index, 60) for index in range(COUNT)]
    take.frames = [
        noisy(stand(wide[y : y + HEIGHT, x : x + WIDTH], 80 + 70 * i), i) for i, (x, y) in enumerate(corners)
    ]
    found = take.examine()
    names = {finding.name for finding in found.diagnosis.findings}
    assert found.diagnosis.numbers["fitting"] == COUNT and not names & {"moving-camera", "moved-once", "ghost"}
    assert found.diagnosis.verdict == "good" and found.diagnosis.numbers["coverage"] == 1


def test_a_lamp_that_was_switched_on(take):
    lamp = 1 + 0.5 * np.exp(-((np.arange(WIDTH) - 60) ** 2) / 120**2).astype(np.float32)[None, :, None]
    take.frames = [brighter(frame, lamp) for frame in take.frames]
    assert take.findings()["uneven-light"].severity == "note"


def test_the_network_is_asked_of_some_frames_and_shadows_are_told(take):
    class Seer:
        """Knows where somebody stands by the colour."""

        def matte(self, src, *, plate):
            pink = np.abs(src.astype(int) - (230, 60, 130)).max(axis=2) < 40
            skin = np.abs(src.astype(int) - (240, 200, 170)).max(axis=2) < 40
            pha = torch.from_numpy((pink | skin).astype(np.float32))[None, None]
            return Matte(pha, pha.expand(1, 3, -1, -1), pha[..., ::8, ::8] * 0 + 0.004, pha[..., ::4, ::4])

    for frame, x in zip(take.frames, take.x, strict=True):
        shade = frame[200:260, x + 30 : x + 110]
        shade[:] = (shade * 0.6).astype(np.uint8)
    found = take.examine(matter=Seer())
    findings = {finding.name: finding for finding in found.diagnosis.findings}
    assert findings["shadow"].severity == "note" and "--keep-shadow" in findings["shadow"].advice
    assert sum(sample["error"] is not None for sample in found.diagnosis.samples) == 3
    assert found.diagnosis.numbers["error"] == pytest.approx(0.004)
    assert "expected quality: high" in str(found.diagnosis) and "stray" not in findings


class Unsure:
    """A network that finds nobody, expects to be wrong, and calls something in a corner subject."""

    def matte(self, src, *, plate):
        pha = torch.zeros(1, 1, *src.shape[:2])
        pha[..., :60, :100] = 1
        return Matte(pha, pha.expand(1, 3, -1, -1), pha[..., ::8, ::8] * 0 + 0.05, pha[..., ::4, ::4])


def test_a_network_that_is_unsure(take):
    findings = take.findings(matter=Unsure())
    assert findings["unsure"].numbers["error"] == pytest.approx(0.05)
    assert findings["stray"].severity == "warning" and "--garbage" in findings["stray"].advice


def test_a_clip_that_shows_more_than_the_plate(take):
    wide = cv2.resize(room(), (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_CUBIC)
    take.plate = noisy(np.ascontiguousarray(wide[135 : 135 + HEIGHT, 240 : 240 + WIDTH]), 99)
    take.frames = [
        noisy(np.ascontiguousarray(wide[135 : 135 + HEIGHT, 240 + x : 240 + x + WIDTH]), x) for x in (0, 60, 120)
    ]
    findings = take.findings()
    assert findings["uncovered"].severity == "warning" and "75%" in findings["uncovered"].sentence
    assert "--mosaic" in findings["uncovered"].advice


def test_frames_in_which_the_plate_is_not_found_but_its_colours_are(take):
    take.frames[2] = noisy(cv2.GaussianBlur(take.frames[2], (0, 0), 25), 3)
    lost = take.findings()["lost"]
    assert "in 1 of 5 frames" in lost.sentence and "2.00 s" in lost.sentence


def test_a_plain_wall(take):
    wall = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    wall[:, :, 0] = np.linspace(110, 190, WIDTH, dtype=np.uint8)
    take.plate = noisy(wall, 99)
    take.frames = [noisy(stand(wall, x), index) for index, x in enumerate(take.x)]
    assert take.findings()["plain"].severity == "note"


def test_a_noisy_plate(take):
    grain = np.random.default_rng(5).normal(0, 14, take.plate.shape)
    take.plate = np.clip(take.plate + grain, 0, 255).astype(np.uint8)
    finding = take.findings()["noisy-plate"]
    assert finding.numbers["plate"] == pytest.approx(14 / 255, rel=0.4) and "--from median" in finding.advice


def test_a_plate_in_light_that_cannot_be_evened_out(take):
    take.plate = take.plate // 10
    found = take.examine().diagnosis
    assert [finding.name for finding in found.findings if finding.severity == "reshoot"] == ["strange-light"]
    assert "so much brighter than the plate" in str(found) and found.numbers["stops"] is None
