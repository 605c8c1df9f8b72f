"""`bgmv2 image`: one picture, and a folder of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bgmv2 import Matter
from bgmv2.video import read_image, write_image

from .conftest import HEIGHT, WIDTH, room


@pytest.fixture
def photos(scene, picture):
    """Three pictures of three formats, in front of the scene's room."""
    folder = scene.folder / "photos"
    folder.mkdir()
    for index, name in enumerate(("1.png", "2.tif", "10.webp")):
        pixels = read_image(scene.plate)
        pixels[20:50, 30:60] = picture(index, 30, 30)
        write_image(folder / name, pixels)
    return folder


@pytest.fixture
def image(bgmv2, scene, weights):
    def run(src, *words, plate=scene.plate):
        return bgmv2("image", src, "--plate", plate, "--weights", weights, "--device", "cpu", *words)

    return run


def stored(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_one_picture_with_every_result(installed, scene, photos, weights):
    out = {role: scene.out / f"{role}.png" for role in ("com", "pha", "fgr", "rgba", "err", "ref", "shadow")}
    flags = [word for role, path in out.items() for word in (f"--{role}", path)]
    before = scene.snapshot()
    answer = installed(
        *("image", photos / "1.png", "--plate", scene.plate, "--weights", weights, "--device", "cpu"),
        *("--align", "off", "--despill", "0", "--backdrop", "#0000ff", *flags),
    )
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == ["mobilenetv2 on cpu in float32", *map(str, out.values())]
    matte = Matter(weights, "cpu").matte(read_image(photos / "1.png"), plate=read_image(scene.plate))
    pha, fgr = (x[0].permute(1, 2, 0).numpy() * 255 for x in matte[:2])
    assert np.abs(stored(out["pha"]) - pha[..., 0]).max() <= 0.51
    assert np.abs(read_image(out["fgr"]) - fgr).max() <= 0.51
    assert np.abs(stored(out["rgba"])[..., [2, 1, 0, 3]] - np.concatenate([fgr, pha], axis=2)).max() <= 0.51
    blue = np.float32([0, 0, 255])
    assert np.abs(read_image(out["com"]) - (fgr * pha / 255 + blue * (1 - pha / 255))).max() <= 0.51
    assert stored(out["err"]).shape == (64, 96) and stored(out["err"]).max() > 0
    assert set(np.unique(stored(out["ref"]))) == {0, 255}
    assert stored(out["shadow"]).shape == (64, 96, 3) and stored(out["shadow"]).max() == 255
    assert {path: data for path, data in scene.snapshot().items() if path in before} == before
    assert sorted(scene.out.iterdir()) == sorted(out.values())


def test_sixteen_bits_stay_sixteen(image, scene, photos):
    deep = scene.folder / "deep.png"
    write_image(deep, read_image(photos / "1.png").astype(np.uint16) * 257)
    assert image(deep, "--fgr", scene.out / "fgr.png").code == 0
    assert stored(scene.out / "fgr.png").dtype == np.uint16


def test_a_folder_into_folders(image, scene, photos):
    (photos / "notes.txt").write_text("no picture")
    answer = image(photos, "-o", scene.out / "com", "--rgba", scene.out / "cut")
    assert (answer.code, answer.err) == (0, "")
    names = [f"{stem}.png" for stem in (1, 2, 10)]
    written = [str(scene.out / role / name) for name in names for role in ("com", "cut")]
    assert answer.out.splitlines()[1:] == written
    for role in ("com", "cut"):
        assert sorted(path.name for path in (scene.out / role).iterdir()) == sorted(names)
    assert stored(scene.out / "cut" / "2.png").shape == (64, 96, 4)
    single = scene.out / "single.png"
    assert image(photos / "2.tif", "--rgba", single).code == 0
    assert (stored(single) == stored(scene.out / "cut" / "2.png")).all()


def test_a_folder_again_needs_leave_to_overwrite(image, scene, photos):
    assert image(photos, "-o", scene.out / "com").code == 0
    before = scene.snapshot()
    assert "is there already" in image(photos, "-o", scene.out / "com").error
    assert scene.snapshot() == before
    assert image(photos, "-o", scene.out / "com", "--overwrite").code == 0
    assert scene.snapshot() == before


def test_two_pictures_of_one_name_are_refused_before_anything_is_written(image, scene, photos):
    write_image(photos / "2.png", read_image(scene.plate))
    before = scene.snapshot()
    assert "would get one result: rename one of them" in image(photos, "-o", scene.out / "com").error
    assert scene.snapshot() == before


def test_pictures_of_several_sizes_share_a_plate_of_their_shape(image, scene, photos):
    small = scene.folder / "photos" / "3.png"
    write_image(small, cv2.resize(read_image(photos / "1.png"), (48, 32), interpolation=cv2.INTER_AREA))
    answer = image(photos, "--pha", scene.out / "pha")
    assert (answer.code, answer.err) == (0, "")
    assert stored(scene.out / "pha" / "3.png").shape == (32, 48)
    assert stored(scene.out / "pha" / "1.png").shape == (64, 96)


def test_a_picture_of_another_shape_than_the_plate_is_refused(image, scene, photos):
    wide = scene.folder / "wide.png"
    write_image(wide, read_image(photos / "1.png")[:32])
    before = scene.snapshot()
    assert "which is another shape" in image(wide, "-o", scene.out / "com.png").error
    assert scene.snapshot() == before


def test_a_plate_of_another_scene_is_warned_of(image, scene, photos, picture):
    other = scene.folder / "other.png"
    write_image(other, picture(9, 96, 64))
    answer = image(photos / "1.png", "-o", scene.out / "com.png", plate=other)
    assert "another scene" in answer.warning and " % of it matches" in answer.warning
    assert (scene.out / "com.png").exists()


def test_a_video_may_stand_behind_a_picture(image, scene, photos):
    assert image(photos / "1.png", "-o", scene.out / "com.png", "--backdrop", scene.clip).code == 0


@pytest.mark.parametrize(
    ("src", "out", "said"),
    [
        ("nothing.png", "com.png", "there is no picture"),
        ("clip.mp4", "com.png", "is a video, but a picture is needed here"),
        ("empty.png", "com.png", "is empty"),
        ("half.png", "com.png", "cannot be read as a picture"),
        ("bare", "com", "there is no picture in"),
        ("photos", "com.png", "is a folder, so its results go into a folder, too"),
        ("photos", "taken", "names a file"),
        ("photos", "nowhere/com", "there is no folder"),
        ("photos", "../photos", "is read"),
        ("photos/1.png", "com.mp4", "no suffix of a picture"),
        ("photos/1.png", "com", "no suffix of a picture"),
        ("photos/1.png", "nowhere/com.png", "there is no folder"),
        ("photos/1.png", "taken/com.png", "is a file"),
        ("photos/1.png", "taken.png", "is there already"),
        ("photos/1.png", "../photos/1.png", "is there already"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(image, scene, photos, src, out, said):
    (scene.folder / "empty.png").touch()
    data = (photos / "1.png").read_bytes()
    (scene.folder / "half.png").write_bytes(data[: len(data) // 2])
    (scene.folder / "bare").mkdir()
    (scene.out / "taken").write_text("precious")
    (scene.out / "taken.png").write_text("precious")
    before = scene.snapshot()
    assert said in image(scene.folder / src, "-o", scene.out / out).error
    assert scene.snapshot() == before


@pytest.mark.parametrize("names", [("photos/1.png", "photos/1.png"), ("photos/1.png", "plate.png")])
def test_inputs_are_safe_even_from_overwriting(image, scene, photos, names):
    src, out = (scene.folder / name for name in names)
    before = scene.snapshot()
    assert f"{out} is read" in image(src, "-o", out, "--overwrite").error
    assert scene.snapshot() == before


def test_a_plate_among_the_results_of_a_folder_is_safe(image, scene, photos):
    plate = scene.out / "2.png"
    write_image(plate, read_image(scene.plate))
    before = scene.snapshot()
    assert f"{plate} is read" in image(photos, "-o", scene.out, "--overwrite", plate=plate).error
    assert scene.snapshot() == before


def test_transparency_that_jpeg_cannot_hold(image, scene, photos):
    assert "holds no transparency" in image(photos / "1.png", "--rgba", scene.out / "cut.jpg").error


def test_no_result_at_all(image, photos):
    assert "nothing to write: name a result by -o or --pha" in image(photos / "1.png").usage


def test_a_picture_that_is_its_own_plate_shows_nobody(bgmv2, scene):
    answer = bgmv2("image", scene.plate, "--plate", scene.plate, "--rgba", scene.out / "a.png", "--device", "cpu")
    assert "nobody was found in" in answer.warning and "show the scene without the subject?" in answer.warning


def test_a_clip_of_the_empty_scene_shows_nobody(bgmv2, scene, make_clip):
    make_clip("empty.mp4", pictures=[room()] * 4, size=(WIDTH, HEIGHT))
    words = ["--plate", scene.plate, "--pha", scene.out / "a.mp4", "--device", "cpu"]
    answer = bgmv2("convert", scene.folder / "empty.mp4", *words)
    assert answer.code == 0 and "nobody was found in any frame of" in answer.err
