"""Clips are found once, under the name their results will have, and each gets its own plate."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import bgmv2
from bgmv2.batch.job import Settings
from bgmv2.batch.sources import VIDEO_SUFFIXES, anchored, find_clips, find_plates

SETTINGS = Settings()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Make empty files; nothing here looks into them. The folder of all is the current one."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def found(*sources, **more):
    return {clip.name.as_posix(): clip for clip in find_clips(sources, settings=SETTINGS, **more)}


def plates(*sources, fallback=None, root=None):
    clips = find_clips(sources, settings=SETTINGS)
    chosen = [plate.path for plate in find_plates(clips, fallback=fallback)]
    return {clip.name.as_posix(): str(plate.relative_to(Path.cwd())) for clip, plate in zip(clips, chosen, strict=True)}


def test_a_folder_is_searched_and_its_sub_folders_are_kept(tree):
    tree("shots/a.mp4", "shots/day1/B.MOV", "shots/day1/night/c.mts", "shots/notes.txt", "shots/day1/sound.wav")
    assert list(found("shots")) == ["a", "day1/B", "day1/night/c"]
    assert list(found("shots/")) == list(found("shots"))
    assert list(found("shots/day1")) == ["B", "night/c"]


def test_hidden_files_and_plates_are_no_clips(tree):
    tree("shots/a.mp4", "shots/._a.mp4", "shots/.a.com.mp4.parts/000.mp4", "shots/plates/walk.mp4")
    assert list(found("shots")) == ["a"]


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_every_suffix_of_a_video_is_found(tree, suffix):
    tree(f"shots/a{suffix}")
    assert list(found("shots")) == ["a"]


def test_a_file_that_is_named_may_be_called_anything(tree):
    tree("shots/a.strange")
    assert list(found("shots/a.strange")) == ["a"]


def test_numbered_pictures_are_a_clip(tree):
    root = tree("shots/take/0001.png", "shots/take/0002.png", "shots/day/x.7.exr", "shots/day/x.8.exr")
    clips = found("shots")
    assert list(clips) == ["day", "take"]
    assert clips["take"].clip == root / "shots/take"
    assert found("shots/take")["take"].clip == root / "shots/take"
    pattern = "shots/take/####.png"
    assert found(pattern)["take"].clip == root / pattern
    assert found("shots/day/x.%d.exr")["x"].clip == root / "shots/day/x.%d.exr"


def test_a_plate_among_numbered_pictures_is_none_of_them(tree):
    root = tree("shots/take/t0998.png", "shots/take/t0999.png", "shots/take/t1000.png", "shots/take/plate.png")
    assert found("shots")["take"].clip == root / "shots/take/t####.png"
    assert plates("shots") == {"take": "shots/take/plate.png"}


def test_pictures_beside_clips_or_of_several_kinds_are_no_clip(tree):
    tree("shots/a.mp4", "shots/beach1.png", "shots/beach2.png", "shots/one/1.png")
    assert list(found("shots")) == ["a"]
    tree("shots/two/a1.png", "shots/two/a2.png", "shots/two/b1.png")
    with pytest.warns(bgmv2.Bgmv2Warning, match=r"two is passed over: it holds pictures of several kinds"):
        assert list(found("shots")) == ["a"]


def test_globs_are_understood_where_the_shell_leaves_them(tree):
    tree("shots/day1/a.mp4", "shots/day2/a.mp4", "shots/day2/b.mp4", "shots/day2/a.plate.png", "shots/day3/deep/c.mp4")
    assert list(found("shots/*/a.mp4")) == ["day1/a", "day2/a"]
    assert list(found("shots/day2/*")) == ["a", "b"]
    assert list(found("shots/**/*.mp4")) == ["day1/a", "day2/a", "day2/b", "day3/deep/c"]
    assert list(found("shots/day[13]")) == ["day1/a", "day3/deep/c"]
    with pytest.raises(bgmv2.VideoError, match=r"no clip is called shots/\*\.mov"):
        found("shots/*.mov")


def test_a_folder_with_brackets_in_its_name_is_no_glob(tree, monkeypatch):
    root = tree("[old]/a.mp4", "[old]/b.mp4")
    monkeypatch.chdir(root / "[old]")
    assert list(found("*.mp4")) == ["a", "b"]
    assert list(found("a.mp4")) == ["a"]


def test_what_is_named_twice_is_one_clip(tree):
    root = tree("shots/a.mp4", "shots/b.mp4")
    assert list(found("shots", "shots/a.mp4", root / "shots", "shots/*.mp4")) == ["a", "b"]


def test_links_are_followed_but_not_round_in_circles(tree):
    root = tree("shots/a.mp4", "elsewhere/b.mp4")
    (root / "shots" / "more").symlink_to(root / "elsewhere")
    (root / "elsewhere" / "back").symlink_to(root / "shots")
    assert list(found("shots")) == ["a", "more/b"]


def test_results_are_no_clips(tree):
    root = tree("shots/a.mp4", "shots/out/a.com.mp4", "shots/b.com.mp4")
    names = found("shots", out=root / "shots/out", results={root / "shots/b.com.mp4"})
    assert list(names) == ["a"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nothing.mp4", "there is no clip nothing.mp4"),
        ("empty", "there is no clip in empty; a clip there ends in .mp4"),
        ("-", "- may be gone when a batch is gone on with"),
        ("rtsp://camera/1", "rtsp://camera/1 may be gone"),
        ("beach.png", "beach.png is a picture, not a clip"),
    ],
)
def test_sources_that_are_none(tree, source, said):
    tree("empty/notes.txt", "beach.png")
    with pytest.raises(bgmv2.VideoError) as error:
        found(source)
    assert said in str(error.value)


def test_the_best_plate_is_taken(tree):
    tree("shots/day1/a.mp4")
    rising = ["shots/day1/plate.png", "shots/plates/a.jpg", "shots/day1/plates/a.png", "shots/day1/a.plate.tif"]
    tree("any.png")
    assert plates("shots", fallback="any.png") == {"day1/a": "any.png"}
    for plate in rising:
        tree(plate)
        assert plates("shots", fallback="any.png") == {"day1/a": plate}


def test_plates_are_not_looked_for_above_the_source(tree):
    tree("plates/a.png", "shots/a.mp4", "any.png")
    assert plates("shots", fallback="any.png") == {"a": "any.png"}
    assert plates("shots/a.mp4", fallback="any.png") == {"a": "any.png"}


@pytest.mark.parametrize("plate", ["take/plate.png", "take.plate.png", "plates/take.png", "take/take.plate.png"])
@pytest.mark.parametrize("source", ["shots", "shots/take", "shots/take/s.####.png"])
def test_numbered_pictures_have_plates_too(tree, source, plate):
    tree("shots/take/s.0001.png", "shots/take/s.0002.png", f"shots/{plate}")
    if source.endswith("####.png") and plate in ("take.plate.png", "plates/take.png", "take/take.plate.png"):
        plate = plate.replace("take.", "s.")
        tree(f"shots/{plate}")
    assert list(plates(source).values()) == [f"shots/{plate}"]


def test_clips_without_plate_are_named_and_counted(tree):
    tree(*(f"shots/{number:02d}.mp4" for number in range(13)), "shots/03.plate.png")
    with pytest.raises(bgmv2.PlateError) as error:
        plates("shots")
    lines = str(error.value).splitlines()
    assert lines[0].endswith("shots/00.mp4 has no plate") and "03.mp4" not in str(error.value)
    assert lines[10] == "and 2 more clips without plate"
    assert "00.plate.png" in lines[11] and len(lines) == 12


def test_two_plates_are_not_chosen_from(tree):
    tree("shots/a.mp4", "shots/a.plate.png", "shots/a.plate.jpg")
    with pytest.raises(bgmv2.PlateError, match=r"a\.mp4 has two plates, .*a\.plate\.jpg and a\.plate\.png: remove one"):
        plates("shots")


def test_a_plate_for_all_must_be_there(tree):
    tree("shots/a.mp4")
    with pytest.raises(bgmv2.PlateError, match=r"there is no picture nothing\.png"):
        plates("shots", fallback="nothing.png")


# Manifests


def parse(words):
    """Understands one flag."""
    if words[0] != "--crf":
        raise ValueError(f"unrecognized arguments: {words[0]}")
    return replace(SETTINGS, encode=replace(SETTINGS.encode, crf=int(words[1])))


def test_a_manifest_in_csv(tree):
    root = tree("list/a.mp4", "list/sub/b.mp4", "list/p.png", "else/c.mp4", "else/c.plate.png")
    (root / "list/shots.csv").write_text(
        "\ufeffClip, plate ,backdrop,flags\r\n\r\na.mp4,p.png,,\r\nsub/b.mp4,p.png,green,--crf 7\r\n,,,\r\n"
        '../else/c.mp4,,"sea, calm.jpg",\r\n',
        encoding="utf-8",
    )
    clips = found("list/shots.csv", parse=parse)
    assert list(clips) == ["a", "sub/b", "c"]
    assert clips["a"].clip == root / "list/a.mp4" and clips["a"].settings == SETTINGS
    assert clips["sub/b"].settings.encode.crf == 7 and clips["sub/b"].settings.backdrop == "green"
    assert clips["c"].settings.backdrop == str(root / "list/sea, calm.jpg")
    assert clips["c"].line == f"{root}/list/shots.csv, line 6"
    plates = [plate.path for plate in find_plates(list(clips.values()))]
    assert plates == [root / "list/p.png", root / "list/p.png", root / "else/c.plate.png"]


def test_a_manifest_in_json_lines(tree):
    root = tree("a b.mp4", "take/1.png", "take/2.png", "p.png")
    rows = [
        {"clip": "a b.mp4", "plate": "p.png", "flags": ["--crf", "3"]},
        {"clip": "take", "plate": "p.png", "backdrop": None, "flags": shlex.join(["--crf", "4"])},
        {"clip": "take/#.png", "plate": str(root / "p.png")},
    ]
    (root / "m.jsonl").write_text("\ufeff" + "\n\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    first, second, third = find_clips(["m.jsonl"], settings=SETTINGS, parse=parse)
    assert (first.settings.encode.crf, second.settings.encode.crf, third.settings.encode.crf) == (3, 4, 16)
    assert [second.clip, third.clip] == [root / "take", root / "take/#.png"]


def test_what_a_manifest_says_of_a_clip_is_preferred(tree):
    root = tree("shots/a.mp4", "shots/b.mp4")
    (root / "shots/m.csv").write_text("clip,flags\na.mp4,--crf 1\n")
    clips = found("shots", "shots/m.csv", parse=parse)
    assert clips["a"].settings.encode.crf == 1 and clips["b"].settings is None


CSV = {
    "": "names no clip",
    "clip,plate\n": "names no clip",
    "plate\np.png\n": "line 1: the column 'clip' is missing; there are clip, plate, backdrop, flags",
    "clip,speed\na.mp4,fast\n": "line 1: there is no column 'speed'; there are clip, plate",
    "clip;plate\na.mp4;p.png\n": "columns are parted by commas",
    "clip,clip\na.mp4,a.mp4\n": "line 1: the column 'clip' is there twice",
    "clip,plate\na.mp4\n": "line 2: the header has 2 columns, but this line 1",
    "clip,plate\na.mp4,p.png,x\n": "line 2: the header has 2 columns, but this line 3",
    "clip,plate\n\n,p.png\n": "line 3: it names no clip",
    "clip\nnothing.mp4\n": "line 2: there is no clip ",
    "clip\nhttps://host/a.mp4\n": "line 2: https://host/a.mp4 may be gone",
    "clip,flags\na.mp4,--speed 3\n": "line 2: unrecognized arguments: --speed",
    "clip,flags\na.mp4,--crf '3\n": "line 2: flags lack a closing quote",
    'clip,plate\n"a.mp4,p.png\n': "line 2: unexpected end of data; put texts with commas in quotes",
}


@pytest.mark.parametrize("text", CSV)
def test_hostile_csv(tree, text):
    root = tree("a.mp4", "p.png")
    (root / "m.csv").write_text(text)
    with pytest.raises(bgmv2.VideoError) as error:
        found("m.csv", parse=parse)
    assert str(error.value).startswith(f"{root}/m.csv") and CSV[text] in str(error.value)
    assert "\n" not in str(error.value)


JSON = {
    "\n \n": "names no clip",
    '{"clip": "a.mp4"}\n{"clip": \n': "line 2 is not JSON: Expecting value",
    "[1, 2]": "line 1 is no object",
    '"a.mp4"': "line 1 is no object",
    '{"plate": "p.png"}': "line 1: the column 'clip' is missing",
    '{"clip": "a.mp4", "speed": 1}': "line 1: there is no column 'speed'",
    '{"clip": 7}': "line 1: clip is a path, got 7",
    '{"clip": "a.mp4", "plate": "p\\u0000"}': "line 1: plate is a path",
    '{"clip": "a.mp4", "flags": {"crf": 3}}': "line 1: flags are a text or a list of texts",
    "[" * 100_000: "line 1 is not JSON",
}


@pytest.mark.parametrize("text", JSON, ids=range(len(JSON)))
def test_hostile_json_lines(tree, text):
    root = tree("a.mp4", "p.png")
    (root / "m.jsonl").write_text(text)
    with pytest.raises(bgmv2.VideoError) as error:
        found("m.jsonl", parse=parse)
    assert str(error.value).startswith(f"{root}/m.jsonl") and JSON[text] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_manifest_of_another_encoding(tree, encoding):
    root = tree("ä.mp4")
    (root / "m.csv").write_bytes("clip\nä.mp4\n".encode(encoding))
    with pytest.raises(bgmv2.VideoError, match=r"m\.csv is not in UTF-8; save it so"):
        found("m.csv")


def test_flags_need_somebody_who_reads_them(tree):
    root = tree("a.mp4")
    (root / "m.csv").write_text("clip,flags\na.mp4,--crf 3\n")
    with pytest.raises(bgmv2.VideoError, match="line 2: flags are words of the command line"):
        found("m.csv")


def test_a_plate_that_a_manifest_names_must_be_there(tree):
    root = tree("a.mp4", "a.plate.png")
    (root / "m.csv").write_text("clip,plate\na.mp4,b.png\n")
    with pytest.raises(bgmv2.PlateError, match=r"m\.csv, line 2: there is no picture .*b\.png"):
        plates("m.csv")


def test_relative_paths_in_settings_are_anchored(tmp_path):
    settings = Settings(
        backdrop="sea.jpg",
        composite=bgmv2.CompositeConfig(garbage="g.png", holdout="/h.png"),
        run=bgmv2.RunConfig(weights="w.pth"),
    )
    there = anchored(settings, tmp_path)
    assert there.backdrop == str(tmp_path / "sea.jpg") and there.run.weights == str(tmp_path / "w.pth")
    assert (there.composite.garbage, there.composite.holdout) == (str(tmp_path / "g.png"), "/h.png")
    assert anchored(Settings(backdrop="blur:3%"), tmp_path) == Settings(backdrop="blur:3%")
    assert anchored(there, Path("/elsewhere")) == there
