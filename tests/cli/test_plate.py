"""Plates that nobody shot: `bgmv2 plate`, and the words that `--plate` takes."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgmv2.config import ReadConfig
from bgmv2.errors import PlateError, VideoError
from bgmv2.plate.samples import spread
from bgmv2.plate.sources import MadePlate, load_plate, make_plate, save_plate
from bgmv2.plate.words import PlateSource
from bgmv2.types import Matte
from bgmv2.video import read_image, write_image
from bgmv2.video.images import read_opacity

from .conftest import HEIGHT, WIDTH, room

SIZE = WIDTH, HEIGHT
EXACT = {"size": SIZE, "codec": "libx264rgb", "pixel_format": "rgb24", "options": {"crf": "0"}}


def filmed(count, away=()):
    """Somebody walks through the room, but is out of it in some frames."""
    pictures = []
    for index in range(count):
        picture = room()
        if index not in away:
            cv2.circle(picture, (10 + 80 * index // count, 36), 10, (220, 40, 90), -1, cv2.LINE_AA)
        pictures.append(picture)
    return pictures


@pytest.fixture
def keyer():
    """Something like a network, that goes by the difference."""
    torch = pytest.importorskip("torch")

    def matte(frame, *, plate):
        difference = np.abs(frame.astype(float) - plate).max(axis=2) / np.iinfo(frame.dtype).max
        alpha = torch.from_numpy(np.clip((difference - 0.08) * 20, 0, 1)).float()[None, None]
        return Matte(alpha, alpha, 0 * alpha, alpha)

    return matte


def near_room(pixels, limit=1.5):
    scale = np.iinfo(pixels.dtype).max / 255
    return np.abs(pixels / scale - room()).mean() < limit


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("auto", PlateSource("auto")),
        ("median", PlateSource("median")),
        ("first:2s", PlateSource("first", seconds=2)),
        ("last:.5", PlateSource("last", seconds=0.5)),
        ("at:12.5", PlateSource("at", seconds=12.5)),
        ("at:0", PlateSource("at", seconds=0)),
        ("AUTO", PlateSource("auto")),
        ("First:2s", PlateSource("first", seconds=2)),
    ],
)
def test_words_are_read_and_said(text, source):
    assert PlateSource.parse(text) == source == PlateSource.parse(str(source))
    assert source.files == ()


def test_all_else_is_a_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("plate.png", "./auto", "autos", "auto.png", "shots/first:2s", "median:2", "frist:2s", "/at:12"):
        assert PlateSource.parse(text).way == "picture" and str(PlateSource.parse(text).path) == text.removeprefix("./")
    assert PlateSource.parse(tmp_path / "auto").path == tmp_path / "auto"
    (tmp_path / "Median").touch()
    assert PlateSource.parse("Median").path == Path("Median")


def test_a_mistyped_word_leads_to_the_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoError, match=r"no picture medain; .*; a plate is a picture, or one of auto, median"):
        load_plate("medain", 32, 24)
    with pytest.raises(VideoError, match=r"there is no picture medain\.png; check the name and the folder$"):
        load_plate("medain.png", 32, 24)


def test_a_clip_that_is_not_there_is_not_one_that_passes_once(bgmv2, tmp_path):
    said = bgmv2("plate", tmp_path / "none.mp4", "-o", tmp_path / "plate.png").error
    assert "there is no clip" in said and "check the name" in said
    said = bgmv2("convert", tmp_path / "none.mp4", "--plate", "auto", "-o", tmp_path / "o.mp4").error
    assert "there is no clip" in said


@pytest.mark.parametrize("text", ["first:", "first", "last:two", "at:-1", "at:1:30", "first:0", "last:1e9", "at:nan"])
def test_a_word_that_goes_on_otherwise_is_refused(text):
    with pytest.raises(ValueError, match=r"takes seconds, such as (first|last|at):2s, got"):
        PlateSource.parse(text)


def test_the_first_and_last_seconds_and_a_frame(make_clip):
    clip = make_clip("a.mp4", pictures=filmed(75, away={*range(25), *range(60, 75)}), **EXACT)
    kept = {"first:1s": 25, "last:0.6s": 15, "at:2.8": 1, "first:0.5": 13, "at:2.99": 1, "last:0.01": 1}
    for word, frames in kept.items():
        made = make_plate(clip, PlateSource.parse(word))
        assert (made.frames, made.holes, made.moved) == (frames, 0, False)
        assert near_room(made.pixels), word
    spoilt = make_plate(clip, PlateSource.parse("at:1.6"))
    assert not near_room(spoilt.pixels)
    # They count from the beginning of the clip, whatever part of it is taken.
    assert near_room(make_plate(clip, PlateSource.parse("last:0.6"), read=ReadConfig(start=1, end=2)).pixels)
    assert make_plate(clip, PlateSource("median"), read=ReadConfig(end=0.4)).frames == 10


def test_the_median_and_what_the_network_leaves(make_clip, keyer):
    clip = make_clip("a.mp4", pictures=filmed(60), **EXACT)
    for word in ("median", "auto"):
        made = make_plate(clip, PlateSource.parse(word), network=keyer)
        assert made.holes == 0 and made.frames == 30 and near_room(made.pixels)


def test_a_clip_that_is_too_short_is_refused(make_clip):
    clip = make_clip("a.mp4", pictures=filmed(25), size=SIZE)
    assert make_plate(clip, PlateSource("first", seconds=1)).frames == 25
    for way in ("first", "last"):
        with pytest.raises(PlateError, match=rf"{way}:9s asks for more than there is of .*a.mp4, which lasts 1 s"):
            make_plate(clip, PlateSource(way, seconds=9))


def test_16_bits_and_variable_rate(make_clip, tmp_path):
    deep = make_clip("deep.mkv", pictures=filmed(20), size=SIZE, codec="ffv1", pixel_format="gbrp16le")
    made = make_plate(deep, PlateSource("median"))
    assert made.pixels.dtype == np.uint16 and near_room(made.pixels)
    save_plate(tmp_path / "deep.png", made)
    assert read_image(tmp_path / "deep.png").dtype == np.uint16
    times = [0, 40, 50, 60, 70, 500, 900, 1000]
    odd = make_clip("odd.mkv", pictures=filmed(8, away={5, 6, 7}), times=times, **EXACT)
    made = make_plate(odd, PlateSource("last", seconds=0.55))
    assert made.frames == 3 and near_room(made.pixels)
    folder = tmp_path / "numbered"
    folder.mkdir()
    for index, picture in enumerate(filmed(12, away=range(6, 12))):
        write_image(folder / f"{index:03d}.png", picture)
    made = make_plate(folder, PlateSource("last", seconds=0.5), read=ReadConfig(rate=Fraction(12)))
    assert made.frames == 6 and np.array_equal(made.pixels, room())


def test_a_clip_that_is_turned_has_an_upright_plate(make_clip, tmp_path):
    stored = [np.ascontiguousarray(np.rot90(picture)) for picture in filmed(12)]
    clip = make_clip("a.mp4", pictures=stored, **{**EXACT, "size": SIZE[::-1]})
    data = clip.read_bytes()
    # Version 0 of tkhd, the film's is the first: 4 bytes of type, then 40 bytes of other fields before the matrix.
    at = data.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    clip.write_bytes(data[:at] + matrix + data[at + len(matrix) :])
    made = make_plate(clip, PlateSource("median"))
    assert made.pixels.shape == (HEIGHT, WIDTH, 3) and near_room(made.pixels)


def test_holes_are_kept_in_the_picture(tmp_path):
    pixels = room()
    seen = np.ones((HEIGHT, WIDTH), bool)
    seen[10:30, 40:60] = False
    made = MadePlate(pixels, seen, frames=30)
    assert str(made) == "plate made of 30 frames; 6.5 % never seen and painted in"
    save_plate(tmp_path / "a.png", made)
    assert np.array_equal(read_image(tmp_path / "a.png"), pixels)
    assert np.array_equal(read_opacity(tmp_path / "a.png") > 0, seen)
    plate = load_plate(tmp_path / "a.png", *SIZE)
    assert (plate.seen[0].numpy() == seen).all() and (plate.bgr == made.plate.bgr).all()
    assert (plate.seen == made.plate.seen).all()
    large = load_plate(tmp_path / "a.png", 2 * WIDTH, 2 * HEIGHT)
    assert large.bgr.shape[1:] == large.seen.shape[1:] == (2 * HEIGHT, 2 * WIDTH)
    assert not large.seen[0, 20:60, 80:120].any() and large.seen[0, :16].all()
    save_plate(tmp_path / "b.png", MadePlate(pixels, np.ones_like(seen), frames=1))
    assert read_opacity(tmp_path / "b.png") is None and load_plate(tmp_path / "b.png", *SIZE).seen is None
    save_plate(tmp_path / "c.png", MadePlate(pixels, np.zeros_like(seen), frames=1))
    with pytest.raises(PlateError, match="transparent everywhere"):
        load_plate(tmp_path / "c.png", *SIZE)


def test_the_command_makes_a_plate_and_says_so(bgmv2, make_clip, tmp_path, blind_weights):
    clip = make_clip("a.mp4", pictures=filmed(50, away=range(25)), **EXACT)
    out = tmp_path / "plate.png"
    answer = bgmv2("plate", clip, "-o", out, "--from", "first:1s")
    assert (answer.code, answer.err) == (0, "") and answer.out == f"plate made of 25 frames -> {out}\n"
    assert near_room(read_image(out))
    assert "is there already" in bgmv2("plate", clip, "-o", out, "--from", "median").error
    words = ("--weights", blind_weights, "--device", "cpu")
    answer = bgmv2("plate", clip, "-o", out, "--overwrite", "--json", *words)
    assert "nobody moves in" in answer.warning
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert {line.get("doing") for line in lines} == {"reading for the plate", "making the plate", None}
    assert lines[-1]["event"] == "done" and lines[-1]["plate"] == str(out) and lines[-1]["frames"] == 25
    assert (lines[-1]["holes"], lines[-1]["still"], lines[-1]["bits"]) == (0, True, 8)
    assert (lines[-1]["width"], lines[-1]["height"]) == SIZE


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "first:9s"), "first:9s asks for more than there is"),
        (("--from", "at:9"), "at:9s asks for more than there is of"),
        (("-o", "plate.jpg"), "call it plate.png"),
        (("-o", "nowhere/plate.png"), "there is no folder nowhere"),
        (("-o", "clip.mp4"), "no suffix of a picture"),
        (("--weights", "none.pth"), "there is no weights file"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(bgmv2, scene, monkeypatch, words, said):
    monkeypatch.chdir(scene.folder)
    before = scene.snapshot()
    assert said in bgmv2("plate", "clip.mp4", "-o", "made.png", *words).error
    assert scene.snapshot() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "plate.png"), "a plate is made by auto, median, first:2s, last:2s, at:12.5"),
        (("--from", "last"), "last takes seconds"),
        (("--from", "auto", "--mosaic"), "not allowed with"),
    ],
)
def test_wrong_words_are_wrong_usage(bgmv2, scene, words, said):
    assert said in bgmv2("plate", scene.clip, "-o", scene.out / "a.png", *words).usage


def test_a_sweep_becomes_a_mosaic_in_which_clips_find_their_place(bgmv2, make_clip, tmp_path, blind_weights):
    noise = np.random.default_rng(4).integers(0, 256, (40, 100, 3), dtype=np.uint8)
    wide = cv2.resize(noise, (800, 320), interpolation=cv2.INTER_CUBIC)
    pictures = [np.ascontiguousarray(wide[60:240, 20 * index : 20 * index + 320]) for index in range(20)]
    clip = make_clip("sweep.mp4", pictures=pictures, size=(320, 180), options={"crf": "5"})
    out = tmp_path / "plate.png"
    answer = bgmv2("plate", clip, "-o", out, "--mosaic")
    assert (answer.code, answer.err) == (0, "") and "plate made of 20 frames" in answer.out
    assert read_image(out).shape[1] == pytest.approx(320 + 19 * 20, abs=4)
    assert load_plate(out, 320, 180).bgr.shape[2] > 600
    # A clip that pans over the same room finds its place in it.
    for index, picture in enumerate(pictures):
        cv2.circle(picture, (100, 40 + 5 * index), 20, (220, 40, 90), -1, cv2.LINE_AA)
    pan = make_clip("pan.mp4", pictures=pictures[4:14], size=(320, 180), options={"crf": "5"})
    words = ("convert", pan, "--plate", out, "--weights", blind_weights, "--device", "cpu", "--fgr", tmp_path / "fgr")
    answer = bgmv2(*words)
    assert "nobody was found" in answer.warning and "plate in 10 frames: 10 followed the camera" in answer.out


def test_a_clip_is_matted_with_a_plate_made_of_it(bgmv2, scene, make_clip, blind_weights):
    clip = make_clip("walk.mp4", pictures=filmed(20), **EXACT)
    words = ("convert", clip, "--weights", blind_weights, "--device", "cpu", "--pha")
    answer = bgmv2(*words, scene.out / "a", "--plate", "median")
    assert "nobody was found" in answer.warning and "plate made of 20 frames\n" in answer.out
    answer = bgmv2(*words, scene.out / "b", "--plate", "auto", "--json")
    assert "nobody moves" in answer.err
    done = json.loads(answer.out.splitlines()[-1])
    assert done["plate"].startswith("plate made of 20 frames") and done["frames"] == 20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--plate", "first:9s"), "asks for more than there is"),
        (("--plate", "./auto"), "there is no picture auto"),
    ],
)
def test_nothing_is_left_where_no_plate_can_be_made(convert, scene, words, said):
    before = scene.snapshot()
    assert said in convert("-o", scene.out / "com.mp4", plate=words[1]).error
    assert scene.snapshot() == before


def test_words_are_checked_before_work(bgmv2, scene):
    for verb in ("convert", "image"):
        answer = bgmv2(verb, scene.clip, "--plate", "first:two", "-o", scene.out / "a.png")
        assert "first takes seconds, such as first:2s, got 'first:two'; a file is called ./first:two" in answer.usage
    answer = bgmv2("convert", "-", "--plate", "auto", "-o", scene.out / "a.mp4")
    assert "auto looks through the clip before it is matted" in answer.error


def test_a_picture_may_be_called_like_a_word(convert, scene, monkeypatch):
    monkeypatch.chdir(scene.folder)
    scene.plate.rename(scene.folder / "auto")
    assert convert("--pha", scene.out / "a", plate="./auto", clip=scene.clip).code == 0


def test_pictures_of_one_camera_have_a_plate(bgmv2, scene, weights):
    folder = scene.folder / "photos"
    folder.mkdir()
    for index, picture in enumerate(filmed(9)):
        write_image(folder / f"{index}.png", picture)
    words = ("image", folder, "--weights", weights, "--device", "cpu")
    write_image(scene.folder / "room.png", room())
    assert bgmv2(*words, "--pha", scene.out / "given", "--plate", scene.folder / "room.png", "--align", "off").code == 0
    assert bgmv2(*words, "--pha", scene.out / "made", "--plate", "median", "--align", "off").code == 0
    given, made = (read_image(scene.out / name / "4.png").astype(int) for name in ("given", "made"))
    assert np.abs(given - made).mean() < 1
    assert "is for clips" in bgmv2(*words, "--pha", scene.out / "x", "--plate", "first:2s").error
    photo = ("image", folder / "1.png", "--weights", weights, "--device", "cpu", "-o", scene.out / "x.png")
    assert "one alone shows no background" in bgmv2(*photo, "--plate", "auto").error
    write_image(folder / "wide.png", np.zeros((40, 90, 3), np.uint8))
    assert "wide.png differs from others" in bgmv2(*words, "--pha", scene.out / "y", "--plate", "median").error


def test_a_run_that_is_gone_on_with_has_the_same_plate(forked, scene, make_clip, weights):
    clip = make_clip("walk.mp4", pictures=filmed(30), size=SIZE)
    words = ("convert", clip, "--plate", "median", "--weights", weights, "--device", "cpu", "--segment", "5")
    whole = forked(*words, "--pha", scene.out / "whole")
    assert whole.code == 0
    assert forked(*words, "--pha", scene.out / "a", die_at=whole.steps // 2).code == -9
    assert not (scene.out / "a").exists()
    kept = next(scene.out.glob(".a*/plate.png"))
    assert read_image(kept).shape == (HEIGHT, WIDTH, 3)
    other = forked(*words, "--pha", scene.out / "a", "--plate", "first:1s", "--resume")
    assert "was made with another plate" in other.err
    answer = forked(*words, "--pha", scene.out / "a", "--resume")
    assert answer.code == 0 and "of them earlier" in answer.out and "plate made of 30 frames" in answer.out
    for path in (scene.out / "whole").iterdir():
        assert (read_image(path) == read_image(scene.out / "a" / path.name)).all()


def test_a_kept_plate_that_was_damaged_is_told(forked, scene, make_clip, weights):
    clip = make_clip("walk.mp4", pictures=filmed(30), size=SIZE)
    words = ("convert", clip, "--plate", "median", "--weights", weights, "--device", "cpu", "--segment", "5")
    steps = forked(*words, "--pha", scene.out / "whole").steps
    assert forked(*words, "--pha", scene.out / "a", die_at=steps // 2).code == -9
    kept = next(scene.out.glob(".a*/plate.png"))
    kept.write_bytes(kept.read_bytes()[:-100])
    assert "is damaged; start anew with --overwrite" in forked(*words, "--pha", scene.out / "a", "--resume").err


def test_clips_of_a_batch_have_plates_of_their_own(bgmv2, scene, make_clip, weights):
    scene.plate.unlink()
    for name in ("one", "two"):
        make_clip(f"{name}.mp4", pictures=filmed(12), size=SIZE)
    (scene.folder / "list.csv").write_text("clip,plate\none.mp4,first:0.2s\ntwo.mp4,\n", encoding="utf-8")
    words = ("batch", scene.folder / "list.csv", "--weights", weights, "--device", "cpu", "--pha", "/", "--json")
    words = (*words, "--workers", "1", "--out", scene.out)
    answer = bgmv2(*words, "--plate", "median", "--dry-run")
    plans = {line["clip"]: line["plate"] for line in map(json.loads, answer.out.splitlines())}
    assert plans == {"one": "first:0.2s", "two": "median"}
    (scene.folder / "list.csv").write_text("clip,plate\none.mp4,first:x\n", encoding="utf-8")
    assert "list.csv, line 2: first takes seconds" in bgmv2(*words).error


def test_samples_need_no_network(make_clip):
    assert len(list(spread(make_clip("a.mp4", count=3), ReadConfig()))) == 3
    with pytest.raises(ValueError, match="auto with a network"):
        make_plate("a.mp4", PlateSource("auto"))
