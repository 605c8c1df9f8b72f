"""Numbered pictures, read back with other programs' eyes: OpenCV, Pillow and OpenEXR."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bgmv2.config import EncodeConfig
from bgmv2.errors import Bgmv2Warning, OutputError, OutputExistsError
from bgmv2.types import ColorInfo, Frame, VideoInfo
from bgmv2.video import list_images, read_image, write_image
from bgmv2.video.open import Result, open_sinks
from bgmv2.video.pictures import ImageFolderSink, ImagePatternSink

INFO = VideoInfo(8, 6)
OVERWRITE = EncodeConfig(overwrite=True)


def noise(shape=(6, 8, 3), dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def fill(path, frames, *, info=INFO, sink=ImageFolderSink, **options):
    with sink(path, info, **options) as opened:
        for pixels in frames:
            opened.write(Frame(pixels))


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3), (6, 8, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_folder_of_numbered_png(tmp_path, shape, dtype, stored):
    frames = [noise(shape, dtype, seed) for seed in range(3)]
    fill(tmp_path / "out", frames)
    assert sorted(os.listdir(tmp_path / "out")) == ["000000.png", "000001.png", "000002.png"]
    for path, pixels in zip(list_images(tmp_path / "out"), frames, strict=True):
        assert (stored(path) == pixels).all() and stored(path).dtype == dtype
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3), (6, 8, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_pattern_keeps_every_value(tmp_path, suffix, shape, dtype, stored):
    frames = [noise(shape, dtype, seed) for seed in range(2)]
    fill(tmp_path / "out" / f"shot.####{suffix}", frames, sink=ImagePatternSink)
    names = [f"shot.{number:04d}{suffix}" for number in range(2)]
    assert sorted(os.listdir(tmp_path / "out")) == names
    for name, pixels in zip(names, frames, strict=True):
        assert (stored(tmp_path / "out" / name) == pixels).all()


@pytest.mark.parametrize(("mode", "kind"), [("straight", 2), ("premultiplied", 1), ("auto", 2)])
def test_tiff_says_how_its_colours_stand_to_alpha(tmp_path, mode, kind):
    fill(tmp_path / "a%d.tif", [noise((6, 8, 4))], sink=ImagePatternSink, encode=EncodeConfig(alpha_mode=mode))
    with Image.open(tmp_path / "a0.tif") as image:
        assert image.tag_v2[338] == (kind,)
        assert image.mode == "RGBA" and image.size == (8, 6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_premultiplied_colours_are_rounded(tmp_path, dtype, stored):
    top = np.iinfo(dtype).max
    pixels = noise((6, 8, 4), dtype)
    pixels[0, :, 3], pixels[1, :, 3] = 0, top
    fill(tmp_path / "out", [pixels], encode=EncodeConfig(alpha_mode="premultiplied"))
    result = stored(tmp_path / "out" / "000000.png")
    exact = pixels[..., :3].astype(float) * pixels[..., 3:] / top
    assert np.abs(result[..., :3] - exact).max() <= 0.5
    assert (result[..., 3] == pixels[..., 3]).all()


def test_numbers_go_on_from_those_of_the_source(tmp_path):
    info = VideoInfo(8, 6, number=1001)
    fill(tmp_path / "out", [noise()] * 2, info=info)
    assert sorted(os.listdir(tmp_path / "out")) == ["001001.png", "001002.png"]
    fill(tmp_path / "s.%d.png", [noise()] * 2, info=info, sink=ImagePatternSink)
    assert (tmp_path / "s.1001.png").exists() and (tmp_path / "s.1002.png").exists()


@pytest.mark.parametrize("name", ["out", "out/shot.####.png", "shot.####.png"])
def test_pictures_appear_only_when_all_are_there(tmp_path, name):
    sink_type = ImagePatternSink if "#" in name else ImageFolderSink
    sink = sink_type(tmp_path / name, INFO)
    sink.write(Frame(noise()))
    assert [entry for entry in tmp_path.glob("**/*.png") if ".parts" not in str(entry)] == []
    sink.close()
    sink.close()
    sink.discard()
    after = sorted(os.listdir(tmp_path))
    assert after == (["shot.0000.png"] if name.startswith("shot") else ["out"])
    with pytest.raises(ValueError, match="closed"):
        sink.write(Frame(noise()))
    other = tmp_path / name.replace("out", "other").replace("shot", "other")
    with pytest.raises(KeyboardInterrupt), sink_type(other, INFO) as sink:
        sink.write(Frame(noise()))
        raise KeyboardInterrupt
    with pytest.raises(OutputError, match="no frame"):
        fill(other, [], sink=sink_type)
    assert sorted(os.listdir(tmp_path)) == after


def test_only_folders_of_numbered_png_are_replaced(tmp_path):
    fill(tmp_path / "out", [noise()] * 4)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        ImageFolderSink(tmp_path / "out", INFO)
    fill(tmp_path / "out", [noise()] * 2, encode=OVERWRITE)
    assert len(os.listdir(tmp_path / "out")) == 2
    (tmp_path / "out" / "thesis.doc").write_text("precious")
    with pytest.raises(OutputError, match=r"other files, such as thesis\.doc"):
        ImageFolderSink(tmp_path / "out", INFO, encode=OVERWRITE)
    assert (tmp_path / "out" / "thesis.doc").read_text() == "precious"
    assert os.listdir(tmp_path) == ["out"]


def test_a_pattern_replaces_its_own_pictures_and_no_others(tmp_path, stored):
    pattern = tmp_path / "a.##.png"
    (tmp_path / "thesis.doc").write_text("precious")
    (tmp_path / "b.00.png").write_text("precious")
    fill(pattern, [noise()] * 4, sink=ImagePatternSink)
    with pytest.raises(OutputExistsError, match=r"a\.0\d\.png is there already.*--overwrite"):
        ImagePatternSink(pattern, INFO)
    with pytest.warns(Bgmv2Warning, match=r"2 other pictures of a\.##\.png stay as they were, such as a\.0[23]\.png"):
        fill(pattern, [noise(seed=1)] * 2, sink=ImagePatternSink, encode=OVERWRITE)
    everything = ["a.00.png", "a.01.png", "a.02.png", "a.03.png", "b.00.png", "thesis.doc"]
    assert sorted(os.listdir(tmp_path)) == everything
    assert (stored(tmp_path / "a.01.png") == noise(seed=1)).all()
    assert (stored(tmp_path / "a.02.png") == noise()).all()
    assert (tmp_path / "b.00.png").read_text() == "precious"


def test_several_patterns_may_share_a_new_folder(tmp_path):
    with (
        ImagePatternSink(tmp_path / "out" / "a.#.png", INFO) as first,
        ImagePatternSink(tmp_path / "out" / "b.#.png", INFO) as second,
    ):
        for sink in (first, second):
            sink.write(Frame(noise()))
    assert sorted(os.listdir(tmp_path / "out")) == ["a.0.png", "b.0.png"]
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["out", "out/a.#.png"])
def test_files_that_appear_meanwhile_are_safe(tmp_path, name):
    sink = (ImagePatternSink if "#" in name else ImageFolderSink)(tmp_path / name, INFO)
    sink.write(Frame(noise()))
    (tmp_path / "out").mkdir(exist_ok=True)
    stranger = tmp_path / "out" / ("a.7.png" if "#" in name else "thesis.doc")
    stranger.write_text("precious")
    with pytest.raises(OutputError, match="other files|is there already"):
        sink.close()
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(tmp_path / "out") == [stranger.name] and stranger.read_text() == "precious"


def test_an_empty_folder_is_used_and_a_file_is_not(tmp_path):
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "empty", [noise()])
    assert os.listdir(tmp_path / "empty") == ["000000.png"]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        ImageFolderSink(tmp_path / "file", INFO, encode=OVERWRITE)
    for name in ("nowhere/out", "nowhere/out/a.#.png"):
        with pytest.raises(OutputError, match="there is no folder"):
            (ImagePatternSink if "#" in name else ImageFolderSink)(tmp_path / name, INFO)


@pytest.mark.parametrize(
    ("name", "said"), [("a.png", "one place"), ("a.#.b.#.png", "one place"), ("a.#.jpg", "no pattern of pictures")]
)
def test_what_is_no_pattern(tmp_path, name, said):
    with pytest.raises(OutputError, match=said):
        ImagePatternSink(tmp_path / name, INFO)


def test_the_current_folder_by_a_relative_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill("out", [noise()])
    fill("a.#.png", [noise()], sink=ImagePatternSink)
    write_image("a.png", noise())
    assert sorted(os.listdir(tmp_path)) == ["a.0.png", "a.png", "out"]


def channels(path):
    openexr = pytest.importorskip("OpenEXR")
    with openexr.File(str(path), separate_channels=True) as file:
        return dict(file.header()), {name: channel.pixels for name, channel in file.channels().items()}


def light(code):
    """The curve of sRGB, written down a second time."""
    return code / 12.92 if code <= 0.04045 else ((code + 0.055) / 1.055) ** 2.4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", ["auto", "premultiplied", "straight"])
def test_exr_is_linear_light_in_half_floats(tmp_path, dtype, mode):
    pytest.importorskip("OpenEXR")
    top = np.iinfo(dtype).max
    pixels = noise((6, 8, 4), dtype)
    pixels[0] = top
    info = VideoInfo(8, 6, aspect=Fraction(16, 15), color=ColorInfo(primaries=9))
    fill(tmp_path / "a.####.exr", [pixels], sink=ImagePatternSink, info=info, encode=EncodeConfig(alpha_mode=mode))
    header, found = channels(tmp_path / "a.0000.exr")
    assert sorted(found) == ["A", "B", "G", "R"]
    assert all(plane.dtype == np.float16 for plane in found.values())
    assert header["pixelAspectRatio"] == pytest.approx(16 / 15)
    assert header["chromaticities"][:2] == pytest.approx((0.708, 0.292))
    assert (found["R"][0] == 1).all() and (found["A"][0] == 1).all()
    exact = np.vectorize(light)(pixels[..., :3] / top)
    if mode != "straight":
        exact *= pixels[..., 3:] / top
    written = np.stack([found[name] for name in "RGB"], axis=-1).astype(float)
    assert np.abs(written - exact).max() <= 2**-11
    assert np.abs(found["A"] - pixels[..., 3] / top).max() <= 2**-11


@pytest.mark.parametrize(
    ("transfer", "code", "exact"), [(16, 0.58069, 1), (16, 1, 49.26), (18, 0.75, 1), (18, 1, 3.77)]
)
def test_hdr_goes_along_its_own_curve(tmp_path, transfer, code, exact):
    """White of paper is 1: 203 candela in PQ, 75 % in HLG (BT.2408)."""
    pytest.importorskip("OpenEXR")
    pixels = np.full((6, 8, 3), round(code * 65535), np.uint16)
    info = VideoInfo(8, 6, color=ColorInfo(transfer=transfer))
    fill(tmp_path / "a.#.exr", [pixels], sink=ImagePatternSink, info=info)
    assert channels(tmp_path / "a.0.exr")[1]["G"].mean() == pytest.approx(exact, rel=2e-3)


def test_results_that_name_the_same_exr_become_its_layers(tmp_path):
    pytest.importorskip("OpenEXR")
    path = tmp_path / "a.####.exr"
    results = {
        "com": Result(path, layer="composite"),
        "pha": Result(path, layer="alpha"),
        "rgba": Result(path, alpha=True, layer="subject"),
        "err": Result(path, layer="error"),
        "png": Result(tmp_path / "a.####.png"),
    }
    grey = noise((6, 8))
    with_alpha = np.dstack([noise(), grey])
    sinks = dict(open_sinks(results, INFO))
    for _ in range(2):
        for key, pixels in (("com", noise()), ("pha", grey), ("rgba", with_alpha), ("err", 255 - grey), ("png", grey)):
            sinks[key].write(Frame(pixels))
    sinks.pop("png").close()
    for sink in sinks.values():
        assert not list(tmp_path.glob("a.*.exr"))
        sink.close()
    assert len(list(tmp_path.iterdir())) == 4
    _, found = channels(tmp_path / "a.0001.exr")
    assert set(found) == {*"RGBA", *(f"composite.{name}" for name in "RGB"), "alpha.Y", "error.Y"}
    assert np.abs(found["alpha.Y"] - grey / 255).max() <= 2**-11  # data, not light
    assert np.abs(found["error.Y"] - 1 + grey / 255).max() <= 2**-11
    assert found["composite.G"].mean() == pytest.approx(np.vectorize(light)(noise()[..., 1] / 255).mean(), rel=1e-3)


def test_one_layer_that_fails_takes_all_with_it(tmp_path):
    pytest.importorskip("OpenEXR")
    results = {key: Result(tmp_path / "a.#.exr", layer=key) for key in ("com", "pha")}
    sinks = dict(open_sinks(results, INFO))
    with pytest.raises(KeyboardInterrupt), sinks["com"] as com, sinks["pha"] as pha:
        com.write(Frame(noise()))
        pha.write(Frame(noise()))
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_exr_without_its_package_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    with pytest.raises(OutputError, match=r"needs the package OpenEXR: pip install 'bgmv2\[exr\]'"):
        ImagePatternSink(tmp_path / "a.####.exr", INFO)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out", "a.#.png", "a.#.tif"])
def test_a_picture_that_is_made_anew_stays_until_the_new_one_is_whole(tmp_path, monkeypatch, name):
    kind = ImagePatternSink if "#" in name else ImageFolderSink
    sink = kind(tmp_path / name, INFO)
    for value in (10, 20):
        sink.write(Frame(np.full((6, 8, 3), value, np.uint8)))
    kept = sink.checkpoint()

    def die(path, content):
        path.open("wb").close()
        raise KeyboardInterrupt

    sink.rewrite(0, 0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_bytes", die)
        sink.write(Frame(np.full((6, 8, 3), 90, np.uint8)))
    again = kind(tmp_path / name, INFO, kept=kept)
    again.rewrite(0, 0)
    again.write(Frame(np.full((6, 8, 3), 80, np.uint8)))
    again.checkpoint()
    again.close()
    found = [read_image(path) for path in sorted(tmp_path.rglob("*.*")) if path.is_file()]
    assert [picture[0, 0, 0] for picture in found] == [80, 20]
