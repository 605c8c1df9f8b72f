"""The flags reach what they name, and a value out of range is one clear line."""

from __future__ import annotations

import json
import re
from dataclasses import fields

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bgmv2.cli import VERBS, main
from bgmv2.cli.options import CHECK, COMPOSITE, ENCODE, LIVE, READ, ROLES, RUN, STILL
from bgmv2.config import CheckConfig, CompositeConfig, EncodeConfig, LiveConfig, ReadConfig, RunConfig
from bgmv2.video import read_image, write_image

NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def grey(folder):
    return np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.iterdir())]).astype(int)


@pytest.fixture
def moved_plate(scene):
    """The plate of a camera that stood two pixels to the left."""
    path = scene.folder / "moved.png"
    write_image(path, np.roll(read_image(scene.plate), 2, axis=1))
    return path


def test_alignment_is_chosen_and_reported(convert, scene, moved_plate):
    said = {}
    for mode in ("off", "first", "every"):
        answer = convert("--pha", scene.out / mode, "--align", mode, plate=moved_plate)
        assert (answer.code, answer.err) == (0, "")
        said[mode] = answer.out.splitlines()[-1]
    assert said["off"] == "plate in 10 frames: 10 stood still"
    assert "1 followed the camera" in said["first"] and "kept the first alignment" in said["first"]
    assert re.match(
        r"plate in 10 frames: \d+ followed the camera.* \(median of \d+ matches, 0\.\d+ px off\)", said["every"]
    )
    off, first, every = (grey(scene.out / mode) for mode in said)
    assert np.abs(off - first).mean() > 1
    assert np.abs(off - every).mean() > 1


@pytest.mark.parametrize("verb", ["convert", "image"])
def test_what_computes_is_said_first(bgmv2, scene, weights, verb):
    src, out = (scene.clip, "com.mp4") if verb == "convert" else (scene.plate, "com.png")
    words = (verb, src, "--plate", scene.plate, "--weights", weights, "-o", scene.out / out)
    answer = bgmv2(*words, "--device", "cpu", "--precision", "bfloat16")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("mobilenetv2 on cpu in bfloat16\n")


def test_bfloat16_on_the_cpu_is_nearly_float32(convert, scene):
    assert convert("--pha", scene.out / "a", "--align", "off").code == 0
    assert convert("--pha", scene.out / "b", "--align", "off", "--precision", "bfloat16").code == 0
    assert 0 < np.abs(grey(scene.out / "a") - grey(scene.out / "b")).mean() < 4


def test_a_region_is_off_or_auto(convert, scene):
    assert convert("--pha", scene.out / "a", "--region", "auto").code == 0
    assert "invalid choice: 'on'" in convert("--pha", scene.out / "b", "--region", "on").err


def test_float16_on_the_cpu_is_refused(convert, scene):
    before = scene.snapshot()
    answer = convert("--pha", scene.out / "pha.mp4", "--precision", "float16")
    assert "CPU does not compute in float16" in answer.error
    assert scene.snapshot() == before


@NO_CUDA
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_missing_is_an_error_and_never_replaced(convert, scene, device):
    before = scene.snapshot()
    answer = convert("--pha", scene.out / "pha.mp4", "--device", device)
    assert "no CUDA device" in answer.error and answer.out == ""
    assert scene.snapshot() == before


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:x", ""])
def test_an_unknown_device_names_the_known_ones(convert, scene, device):
    assert "take auto, cpu, cuda or mps" in convert("--pha", scene.out / "pha.mp4", "--device", device).error


@pytest.mark.needs_cuda
def test_cuda_computes_what_the_cpu_does(convert, scene):
    on_cpu = convert("--pha", scene.out / "cpu", "--align", "off")
    on_cuda = convert("--pha", scene.out / "cuda", "--align", "off", "--device", "cuda", "--precision", "float32")
    half = convert("--pha", scene.out / "half", "--align", "off", "--device", "cuda")
    assert (on_cpu.code, on_cuda.code, half.code) == (0, 0, 0)
    assert torch.cuda.get_device_name() in half.out and "float16" in half.out
    for name in ("cuda", "half"):
        assert np.abs(grey(scene.out / "cpu") - grey(scene.out / name)).mean() < 2


def test_refinement_is_chosen(convert, scene):
    def refined(name, *words):
        answer = convert("--ref", scene.out / name, "--align", "off", *words)
        assert (answer.code, answer.err) == (0, "")
        return (grey(scene.out / name) > 0).mean(axis=(1, 2))

    assert refined("default") == pytest.approx(1 / 16)
    assert (refined("full", "--refine", "full") == 1).all()
    # 7 patches of 4 x 4 pixels
    assert refined("pixels", "--pixels", 7 * 16) == pytest.approx(7 * 16 / (96 * 64))
    assert refined("none", "--pixels", 0) == pytest.approx(0)
    loose = refined("loose", "--refine", "thresholding", "--threshold", 0.05)
    strict = refined("strict", "--refine", "thresholding", "--threshold", 0.4)
    assert (0 < strict).all() and (strict < loose).all() and (loose < 1).all()


def test_the_coarse_network_sees_the_picture_at_the_scale_that_was_asked_for(convert, scene):
    assert convert("--pha", scene.out / "half", "--align", "off").code == 0
    assert convert("--pha", scene.out / "same", "--align", "off", "--scale", 0.5).code == 0
    assert convert("--pha", scene.out / "tenth", "--align", "off", "--scale", 0.1).code == 0
    half, same, tenth = (grey(scene.out / name) for name in ("half", "same", "tenth"))
    assert (half == same).all()
    assert np.abs(half - tenth).mean() > 1


def test_compositions_are_chosen(convert, bgmv2, scene, weights):
    """Each flag reaches what it names; how well it is done is tested elsewhere."""
    write_image(scene.folder / "white.png", np.full((64, 96), 255, np.uint8))
    write_image(scene.folder / "black.png", np.zeros((64, 96), np.uint8))
    write_image(scene.folder / "tall.png", np.full((300, 30, 3), 255, np.uint8))
    assert convert("--pha", scene.out / "none", "--garbage", scene.folder / "white.png").code == 0
    assert (grey(scene.out / "none") == 0).all()
    nobody = ("--garbage", scene.folder / "white.png", "--backdrop", scene.folder / "tall.png", "--frames", "1")
    seen = {}
    for name, words in {
        "fill": (),
        "fit": ("--backdrop-fit", "fit"),
        "stretch": ("--backdrop-fit", "stretch"),
        "shadow": ("--keep-shadow", "1"),
        "late": ("--backdrop", scene.clip, "--backdrop-offset", "0.2", "--backdrop-end", "hold"),
        "early": ("--backdrop", scene.clip, "--backdrop-offset", "-0.2"),
    }.items():
        assert convert("-o", scene.out / name, *nobody, *words).code == 0
        seen[name] = read_image(scene.out / name / "000000.png")
    assert (seen["fill"] == 255).all() and (seen["stretch"] == 255).all()
    assert (seen["fit"][:, 48] == 255).all() and (seen["fit"][:, :40] == 0).all()
    assert (seen["shadow"] <= seen["fill"]).all()
    assert np.abs(seen["late"].astype(int) - seen["early"]).mean() > 1
    for name, words in {"video": (), "linear": ("--blend", "linear"), "spilt": ("--despill", "0")}.items():
        assert convert("-o", scene.out / name, "--frames", "1", *words).code == 0
        seen[name] = read_image(scene.out / name / "000000.png")
    assert (seen["video"] != seen["linear"]).any() and (seen["video"] != seen["spilt"]).any()
    photo = ("image", scene.plate, "--plate", scene.plate, "--weights", weights, "--device", "cpu")
    holdout = ("--holdout", scene.folder / "white.png", "--garbage", scene.folder / "black.png")
    assert bgmv2(*photo, "-o", scene.out / "all.png", *holdout, "--backdrop", "blur:9").code == 0
    assert (read_image(scene.out / "all.png") == read_image(scene.plate)).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--backdrop", "blur:wide"), "is no blur; write blur, blur:20"),
        (("--garbage", "nothing.png"), "there is no file nothing.png"),
        (("--holdout", "clip.mp4"), "is another shape"),
        (("--backdrop", "clip.mp4", "--backdrop-offset", "90"), "ends before the start that was asked for, 90 s"),
    ],
)
def test_compositions_that_cannot_be_are_refused_before_work(convert, scene, make_clip, monkeypatch, words, said):
    monkeypatch.chdir(scene.folder)
    make_clip("wide.mkv", count=2, size=(96, 32))
    words = ["wide.mkv" if word == "clip.mp4" and "--holdout" in words else word for word in words]
    before = scene.snapshot()
    assert said in convert("-o", scene.out / "com.mp4", *words).error
    assert scene.snapshot() == before


def test_quality_is_chosen(convert, scene):
    sizes = {}
    for crf in (1, 40):
        path = scene.out / f"{crf}.mp4"
        assert convert("--com", path, "--crf", crf, "--preset", "veryfast").code == 0
        sizes[crf] = path.stat().st_size
    assert sizes[40] < sizes[1] / 2


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--scale", "0.7", "up to 0.5, got 0.7"),
        ("--scale", "0", "above 0"),
        ("--scale", "nan", "'nan' is no scale"),
        ("--scale", "half", "--scale: 'half' is no scale; write it like 0.25 or 1/3"),
        ("--crf", "99", "0..51, got 99"),
        ("--crf", "-1", "0..51, got -1"),
        ("--pixels", "-1", "not negative, got -1"),
        ("--pixels", "many", "--pixels: invalid int value"),
        ("--threshold", "1.5", "0..1, got 1.5"),
        ("--refine", "none", "--refine: invalid choice: 'none'"),
        ("--align", "last", "--align: invalid choice: 'last'"),
        ("--precision", "int8", "--precision: invalid choice: 'int8'"),
        ("--preset", "brisk", "--preset: invalid choice: 'brisk'"),
        ("--backdrop-fit", "crop", "--backdrop-fit: invalid choice: 'crop'"),
        ("--backdrop-end", "stop", "--backdrop-end: invalid choice: 'stop'"),
        ("--backdrop-offset", "nan", "a number of seconds, got nan"),
        ("--backdrop-offset", "soon", "--backdrop-offset: invalid float value: 'soon'"),
        ("--blend", "gamma", "--blend: invalid choice: 'gamma'"),
        ("--keep-shadow", "1.1", "keep shadow lies in 0..1, got 1.1"),
        ("--despill", "-1", "despill lies in 0..1, got -1"),
        ("--quality", "3", "unrecognized arguments: --quality=3"),
    ],
)
def test_a_value_out_of_range_is_wrong_usage(convert, scene, flag, value, said):
    before = scene.snapshot()
    answer = convert("-o", scene.out / "com.mp4", f"{flag}={value}")
    assert said in answer.usage and answer.out == ""
    assert scene.snapshot() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["convert"], "required: SRC, --plate"),
        (["convert", "clip.mp4"], "required: --plate"),
        (["image", "a.png", "--plate"], "--plate: expected one argument"),
        (
            ["convert", "a.mp4", "--plate", "a.png"],
            "name a result by -o or --pha, --fgr, --rgba, --err, --ref, --shadow",
        ),
        (["convert", "a.mp4", "--plate", "a.png", "--backgroud", "red"], "did you mean --backdrop? (see bgmv2 convert"),
        (["image", "a.png", "b.png", "--plate", "a.png"], "unrecognized arguments: b.png (see bgmv2 image --help)"),
        (["image", "a.png", "--plate", "a.png", "--fps", "3"], "unrecognized arguments: --fps 3"),
    ],
)
def test_wrong_usage_is_one_line_that_leads_to_help(bgmv2, words, said):
    answer = bgmv2(*words)
    assert said in answer.usage and "--help)" in answer.usage


def test_a_machine_hears_of_wrong_usage_too(bgmv2):
    for words in (["--crf", "200"], ["--backgroud", "red"]):
        answer = bgmv2("convert", "a.mp4", "--plate", "a.png", "-o", "b.mp4", "--json", *words)
        assert answer.code == 2 and answer.err.count("\n") == 1
        said = json.loads(answer.out)
        assert said["event"] == "error" and said["message"] in answer.err
    answer = bgmv2("convert", "a.mp4", "--plate", "a.png", "-o", "-", "--json", "--crf", "200")
    assert answer.out == "" and answer.err.count("\n") == 2  # where frames would go, nothing else does


def test_what_does_nothing_is_told(convert, scene):
    answer = convert("--pha", scene.out / "a.mp4", "--threshold", 0.5)
    assert answer.code == 0 and "threshold does nothing here: it is for refine thresholding" in answer.warning
    answer = convert("--pha", scene.out / "b.mp4", "--refine", "full", "--pixels", 100)
    assert answer.code == 0 and "pixels does nothing here: it is for refine sampling" in answer.warning


def test_help_tells_plate_and_backdrop_apart_and_names_every_choice(bgmv2):
    for verb in ("convert", "image"):
        text = " ".join(bgmv2(verb, "--help").out.split())
        assert "filmed without the subject (NOT what goes behind the subject afterwards; that is --backdrop)" in text
        of_clips = (*ENCODE, *READ, *RUN, "backdrop_end") if verb == "convert" else ()
        of_both = {*ROLES, *STILL, *COMPOSITE} - {"backdrop_end"}
        for flag in (*of_both, *of_clips, "overwrite", "debug", "plate", "backdrop"):
            assert f"--{flag.replace('_', '-')} " in text
    assert "convert" in bgmv2("--help").out
    assert re.fullmatch(r"bgmv2 \d+\.\d+\.\d+\n", bgmv2("--version").out)


def test_every_choice_of_the_configurations_has_a_flag_with_its_default():
    assert set(RUN) == {field.name for field in fields(RunConfig)}
    assert set(READ) == {field.name for field in fields(ReadConfig)}
    assert set(COMPOSITE) == {field.name for field in fields(CompositeConfig)}
    assert {*ENCODE, "overwrite"} == {field.name for field in fields(EncodeConfig)}
    assert set(CHECK) == {field.name for field in fields(CheckConfig)}
    assert set(LIVE) == {field.name for field in fields(LiveConfig)}
    assert len(VERBS) == 9


def damaged(path, how):
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:100_000])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "altered":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    elif how == "foreign":
        save_file({"embedding.weight": torch.zeros(2, 3)}, path)
    elif how == "a clip":
        path.write_bytes(path.parent.joinpath("clip.mp4").read_bytes())
    return path


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "there is no weights file"),
        ("truncated", "is damaged"),
        ("empty", "is damaged"),
        ("altered", "its checksum does not fit"),
        ("foreign", "is made for none of mobilenetv2"),
        ("a clip", "is damaged or no safetensors file"),
    ],
)
def test_weights_that_do_not_fit_are_refused(convert, scene, weights, how, said):
    path = scene.folder / "w.safetensors"
    path.write_bytes(weights.read_bytes())
    damaged(path, how)
    before = scene.snapshot()
    answer = convert("-o", scene.out / "com.mp4", weights=path)
    assert said in answer.error and str(path) in answer.error
    assert scene.snapshot() == before


def test_a_published_state_dict_is_taken(convert, scene, weights):
    path = scene.folder / "published.pth"
    torch.save(load_file(weights), path)
    for name, file in (("ours", weights), ("published", path)):
        assert convert("--pha", scene.out / name, "--align", "off", weights=file).code == 0
    assert (grey(scene.out / "ours") == grey(scene.out / "published")).all()


def test_debug_shows_the_trace(scene, capfd):
    with pytest.raises(ValueError, match="there is no clip"):
        main(["convert", "nothing.mp4", "--plate", str(scene.plate), "-o", str(scene.out / "o.mp4"), "--debug"])


def test_a_rate_that_cannot_be_held_is_told(convert, scene):
    """No machine mattes a frame in a thousandth of a second."""
    answer = convert("--pha", scene.out / "pha", "--fps", 1000)
    assert answer.code == 0 and "1000 frames a second were not held" in answer.warning
    assert convert("--pha", scene.out / "slow", "--fps", 0.01).err == ""
    assert "matted less and less closely" in answer.warning or "held up by" in answer.warning
    assert "a rate that is held lies above 0" in convert("--pha", scene.out / "none", "--fps", 0).usage
    assert convert("--pha", scene.out / "auto", "--budget", "auto").err == ""
