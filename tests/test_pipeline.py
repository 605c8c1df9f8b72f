"""The loop itself: frames are few at any time, threads end, and errors come out as they went in."""

from __future__ import annotations

import io
import threading
import time
import warnings
import weakref
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from tqdm import tqdm

import bgmv2
from bgmv2 import develop, pipeline
from bgmv2.budget import Setting
from bgmv2.types import Frame, Matte, Plate, VideoInfo
from bgmv2.video import Sink, read_image, write_image

INFO = VideoInfo(32, 32, rate=Fraction(25), time_base=Fraction(1, 25))


class Census:
    """Counts the frames that are alive."""

    def __init__(self):
        self.alive = weakref.WeakSet()
        self.most = 0

    def add(self, frame):
        self.alive.add(frame)
        self.most = max(self.most, len(self.alive))


class Source:
    """Flat frames, all of them different; may break before one of them."""

    info = INFO

    def __init__(self, count, census, breaks_at=None):
        self.count, self.census, self.breaks_at, self.closed = count, census, breaks_at, False

    def __iter__(self):
        for index in range(self.count):
            if index == self.breaks_at:
                raise bgmv2.VideoError("the clip breaks off")
            frame = Frame(np.full((32, 32, 3), index % 256, np.uint8), index, INFO.time_base)
            self.census.add(frame)
            yield frame

    def close(self):
        self.closed = True


class Collector(Sink):
    """Looks at frames slowly, and lets them go; may raise at one of them."""

    def __init__(self, census, error=None, at=None, seconds=0.001):
        self.census, self.error, self.at, self.seconds = census, error, at, seconds
        self.seen, self.end = [], None

    def write(self, frame):
        if frame.pts == self.at:
            raise self.error
        self.census.add(frame)
        self.seen.append((frame.pts, int(frame.pixels.flat[0])))
        time.sleep(self.seconds)

    def close(self):
        self.end = "closed"

    def discard(self):
        self.end = "discarded"


class EchoMatter:
    """Says that the frame is its own foreground and that all of it is subject; may raise at one frame."""

    fingerprint = "echo"

    device = torch.device("cpu")

    def __init__(self, error=None, at=None, seconds=0.0):
        self.error, self.at, self.seconds, self.count = error, at, seconds, 0

    def settings(self, height, width):
        return [Setting(1 / 2, 64)]

    def spend(self, setting):
        assert setting == Setting(1 / 2, 64)

    def matte(self, src, *, plate):
        if self.count == self.at:
            raise self.error
        self.count += 1
        time.sleep(self.seconds)
        ones = torch.ones(1, 1, 32, 32)
        return Matte(ones, src, ones, ones[..., ::4, ::4])


@pytest.fixture
def stage(monkeypatch, tmp_path):
    """Convert with a made-up source, network and sinks; the files only have names."""

    def run(source, sinks, matter=None, **how):
        monkeypatch.setattr(pipeline, "open_source", lambda path, read: source)
        monkeypatch.setattr(pipeline, "open_sinks", lambda results, *_, **__: [(role, sinks[role]) for role in results])
        monkeypatch.setattr(pipeline, "load_plate", lambda path, width, height: Plate(torch.zeros(3, height, width)))
        monkeypatch.setattr(develop, "check_plate", lambda *_: None)
        outputs = {role: tmp_path / f"{role}.mp4" for role in sinks}
        run = bgmv2.RunConfig(align="off", **how)
        return bgmv2.convert(
            tmp_path / "clip", plate=tmp_path / "plate", run=run, matter=matter or EchoMatter(), **outputs
        )

    return run


@pytest.mark.parametrize(
    ("matting", "writing", "said"),
    [(0.0, 0.05, "held up by encode, which --fps does not quicken"), (0.05, 0.0, "matted less and less closely")],
    ids=["encode", "matte"],
)
def test_whoever_keeps_a_rate_from_being_held_is_named(stage, matting, writing, said):
    census = Census()
    with pytest.warns(bgmv2.Bgmv2Warning, match=f"^1000 frames a second were not held: [0-9.]+ came, {said}$"):
        stage(Source(8, census), {"com": Collector(census, seconds=writing)}, EchoMatter(seconds=matting), fps=1000)


def test_a_rate_that_was_held_is_no_news(stage):
    census = Census()
    with warnings.catch_warnings():
        warnings.simplefilter("error", bgmv2.Bgmv2Warning)
        stage(Source(4, census), {"com": Collector(census)}, fps=0.01)


def test_every_frame_arrives_once_and_in_order(stage):
    census = Census()
    sinks = {"com": Collector(census), "fgr": Collector(census)}
    report = stage(Source(50, census), sinks)
    for sink in sinks.values():
        assert sink.seen == [(index, index) for index in range(50)]
        assert sink.end == "closed"
    assert report.frames == 50 and report.alignment == "plate in 50 frames: 50 stood still"
    assert set(report.stages) == {"decode", "align", "matte", "encode"}
    assert all(0 <= seconds <= report.seconds for seconds in report.stages.values())
    assert str(report).startswith("50 frames in ") and str(report).endswith(report.alignment)


def test_memory_does_not_grow_with_the_clip(stage):
    """Few of the frames that were read, and of those that were made of them, are alive at any time."""
    read, made = Census(), Census()
    report = stage(Source(150, read), {"com": Collector(made)})
    assert report.frames == 150
    # Four queue before alignment, two before and two behind the network; each of four stages has one in its hands, and
    # still has it while it takes the next.
    assert read.most <= 4 + 2 + 2 + 2 * 4
    assert made.most <= 2
    assert len(read.alive) == len(made.alive) == 0


CUT = bgmv2.VideoError("the clip breaks off")
FULL = bgmv2.OutputError("the disk is full")
ODD = RuntimeError("the network has a bug")


@pytest.mark.parametrize(
    ("breaks_at", "matter", "sink", "error"),
    [
        (None, {}, {}, None),
        (0, {}, {}, CUT),
        (20, {}, {}, CUT),
        (None, {"error": ODD, "at": 0}, {}, ODD),
        (None, {"error": ODD, "at": 20}, {}, ODD),
        (None, {}, {"error": FULL, "at": 0}, FULL),
        (None, {}, {"error": FULL, "at": 20}, FULL),
        (None, {}, {"error": KeyboardInterrupt(), "at": 20}, KeyboardInterrupt()),
    ],
)
def test_threads_end_and_errors_come_out_as_they_went_in(stage, breaks_at, matter, sink, error):
    before = set(threading.enumerate())
    census = Census()
    source = Source(60, census, breaks_at)
    sinks = {"pha": Collector(census), "com": Collector(census, **sink)}
    if error is None:
        stage(source, sinks, EchoMatter(**matter))
    else:
        with pytest.raises(type(error), match=f"^{error}$"):
            stage(source, sinks, EchoMatter(**matter))
    assert set(threading.enumerate()) == before
    assert source.closed
    assert {sink.end for sink in sinks.values()} == {"closed" if error is None else "discarded"}
    if error is CUT:
        assert [pts for pts, _ in sinks["com"].seen] == list(range(breaks_at))  # all that came before the break


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stderr", [io.StringIO, Terminal])
def test_a_bar_is_for_terminals_only(stage, monkeypatch, tmp_path, stderr):
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # it would start a thread that outlives the test
    shown = stderr()
    monkeypatch.setattr("sys.stderr", shown)
    for path in (tmp_path / "1.png", tmp_path / "plate.png"):
        write_image(path, np.full((32, 32, 3), 90, np.uint8))
    bgmv2.convert_images(
        tmp_path / "1.png", plate=tmp_path / "plate.png", com=tmp_path / "com.png", matter=EchoMatter(), progress=True
    )
    if stderr is Terminal:
        assert "0/1 [" in shown.getvalue()
        assert shown.getvalue().split("\r")[-1].strip() == ""  # the bar goes away
    else:
        assert shown.getvalue() == ""


@pytest.fixture
def files(tmp_path, make_clip, picture):
    make_clip("clip.mp4", count=4, size=(64, 48))
    write_image(tmp_path / "plate.png", picture(0, 64, 48))
    return tmp_path


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_a_matter_is_used_as_it_is_and_for_many_clips(files, weights):
    matter = bgmv2.Matter(weights, "cpu")
    for name in ("a", "b"):
        report = bgmv2.convert(str(files / "clip.mp4"), plate=str(files / "plate.png"), pha=files / name, matter=matter)
        assert report.frames == 4
    for index in range(4):
        first, second = (read_image(files / name / f"{index:06d}.png") for name in ("a", "b"))
        assert (first == second).all()


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_a_clip_of_one_frame_and_a_picture_come_out_alike(files, weights, make_clip, picture):
    """What differs is the reading only, so the same picture is read from a lossless clip."""
    make_clip("one.mkv", pictures=[picture(5, 64, 48)], size=(64, 48), codec="ffv1", pixel_format="bgr0")
    write_image(files / "one.png", picture(5, 64, 48))
    matter = bgmv2.Matter(weights, "cpu")
    given = {"plate": files / "plate.png", "matter": matter, "backdrop": files / "plate.png"}
    bgmv2.convert(files / "one.mkv", com=files / "frames", **given)
    written = bgmv2.convert_images(files / "one.png", com=files / "com.png", **given)
    assert written == [files / "com.png"]
    frame, photo = read_image(files / "frames" / "000000.png"), read_image(files / "com.png")
    assert np.abs(frame.astype(int) - photo).max() <= 1


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_the_plate_is_moved_to_where_each_frame_shows_it(files, weights, make_clip):
    """A camera that has moved by whole pixels, and one that has not, see the same but at the edges."""
    generator = np.random.default_rng(0)
    room = cv2.resize(
        generator.integers(0, 256, (12, 16, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_NEAREST
    )
    moved = np.roll(room, (3, -2), axis=(0, 1))
    write_image(files / "room.png", room)
    options = {"size": (160, 120), "codec": "ffv1", "pixel_format": "bgr0"}
    clip = make_clip("moved.mkv", pictures=[moved] * 3, **options)
    matter = bgmv2.Matter(weights, "cpu")
    report = bgmv2.convert(clip, plate=files / "room.png", pha=files / "pha", matter=matter)
    assert "followed the camera" in report.alignment
    wanted = matter.matte(moved, plate=moved).pha[0, 0].numpy() * 255
    alpha = read_image(files / "pha" / "000002.png")[..., 0]
    inner = np.abs(alpha - wanted)[16:-16, 16:-16]
    assert inner.mean() < 4


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"scale": 0.7}, "up to 0.5, got 0.7"),
        ({"pixels": -1}, "not negative, got -1"),
        ({"threshold": 2.0}, "0..1, got 2.0"),
        ({"refine": "none"}, "got none"),
        ({"align": "last"}, "off, first, every, got last"),
        ({"precision": "int8"}, "got int8"),
    ],
)
def test_choices_out_of_range_are_refused_at_once(choice, said):
    with pytest.raises(ValueError, match=said):
        bgmv2.RunConfig(**choice)


class HalfMatter:
    """Says everywhere that half of it is subject, and of one colour."""

    fingerprint = "half"

    device = torch.device("cpu")

    def matte(self, src, *, plate):
        half = torch.full_like(src[:, :1], 0.5)
        return Matte(half, torch.full_like(src, 0.2), half, half[..., ::4, ::4])


SIZE = (32, 24)
AS_SEEN = {"run": bgmv2.RunConfig(align="off"), "matter": HalfMatter()}


@pytest.fixture
def shots(tmp_path, make_clip):
    """Ten frames, each of a grey of its own, at 10 a second, without loss; and a plate that fits."""
    greys = [np.full((24, 32, 3), 100 + 10 * index, np.uint8) for index in range(10)]
    lossless = {"size": SIZE, "rate": Fraction(10), "codec": "ffv1", "pixel_format": "bgr0"}
    make_clip("shots.mkv", pictures=greys, **lossless)
    write_image(tmp_path / "plate.png", greys[0])
    return tmp_path


def halves(left, right, dtype=np.uint8):
    """A matte of two values."""
    matte = np.full((24, 32), left, dtype)
    matte[:, 16:] = right
    return matte


def results(folder, **options):
    """Convert, and return each result's first frame by its role."""
    roles = ("com", "pha", "fgr", "rgba")
    out = {role: folder / role for role in roles}
    options = {"plate": folder / "plate.png", "backdrop": "black", **AS_SEEN, **options}
    bgmv2.convert(folder / "shots.mkv", **out, **options)
    return {role: cv2.imread(str(out[role] / "000000.png"), cv2.IMREAD_UNCHANGED) for role in roles}


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_mattes_overrule_alpha_in_every_result(shots):
    write_image(shots / "garbage.png", halves(255, 0))
    write_image(shots / "holdout.png", halves(0, 255))
    composite = bgmv2.CompositeConfig(despill=0, garbage=str(shots / "garbage.png"), holdout=str(shots / "holdout.png"))
    shown = results(shots, composite=composite)
    assert (shown["pha"] == halves(0, 255)).all()
    assert (shown["rgba"][..., 3] == halves(0, 255)).all()
    # The frame itself is the foreground where it is held, and the network's elsewhere.
    for picture in (shown["fgr"], shown["rgba"][..., :3]):
        assert (picture == halves(51, 100)[..., None]).all()
    assert (shown["com"] == halves(0, 100)[..., None]).all()


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_grey_mattes_work_in_part_and_the_holdout_has_the_last_word(shots):
    write_image(shots / "garbage.png", halves(255, 127))
    write_image(shots / "holdout.png", halves(51, 0))
    composite = bgmv2.CompositeConfig(garbage=str(shots / "garbage.png"), holdout=str(shots / "holdout.png"))
    assert (results(shots, composite=composite)["pha"] == halves(51, 64)).all()


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_a_matte_keeps_its_depth(shots, make_clip):
    deep = [np.full((24, 32, 3), 100, np.uint8)] * 2
    make_clip("shots.mkv", pictures=deep, size=SIZE, codec="ffv1", pixel_format="yuv420p10le")
    write_image(shots / "holdout.png", halves(40_001, 50_003, np.uint16))
    pha = results(shots, composite=bgmv2.CompositeConfig(holdout=str(shots / "holdout.png")))["pha"]
    assert pha.dtype == np.uint16 and (pha == halves(40_001, 50_003, np.uint16)).all()


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
@pytest.mark.parametrize("start", [None, 0.4])
def test_a_matte_that_moves_goes_by_the_clip_and_a_backdrop_by_the_result(shots, make_clip, start):
    """A part of the clip has that part of the matte, but the backdrop from its beginning, or its offset."""
    lossless = {"size": SIZE, "rate": Fraction(10), "codec": "ffv1", "pixel_format": "bgr0"}
    grey = [np.full((24, 32, 3), 20 * index, np.uint8) for index in range(10)]
    garbage, sea = make_clip("garbage.mkv", pictures=grey, **lossless), make_clip("sea.mkv", pictures=grey, **lossless)
    composite = bgmv2.CompositeConfig(garbage=str(garbage), backdrop_offset=0.1, backdrop_end="hold", despill=0)
    read = bgmv2.ReadConfig(start=start)
    results(shots, composite=composite, read=read, backdrop=sea)
    first = 4 if start else 0
    for index in range(10 - first):
        pha = read_image(shots / "pha" / f"{index:06d}.png")[0, 0, 0] / 255
        assert pha == pytest.approx(0.5 * (1 - 20 * (first + index) / 255), abs=0.003)
        com = read_image(shots / "com" / f"{index:06d}.png")[0, 0, 0]
        assert com == pytest.approx(51 * pha + (1 - pha) * 20 * min(index + 1, 9), abs=1)


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_light_is_mixed_when_that_is_wanted(shots):
    com = results(shots, backdrop="white", composite=bgmv2.CompositeConfig(despill=0, blend="linear"))["com"]
    light = (((51 / 255 + 0.055) / 1.055) ** 2.4 + 1) / 2
    assert np.abs(com - 255 * (1.055 * light ** (1 / 2.4) - 0.055)).max() <= 0.5


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
@pytest.mark.parametrize("curve", ["smpte2084", "arib-std-b67"])
def test_light_of_hdr_is_not_mixed_by_another_curve(shots, make_clip, curve):
    tags = {"x264-params": f"colorprim=bt2020:transfer={curve}:colormatrix=bt2020nc"}
    make_clip("shots.mkv", count=2, size=SIZE, options=tags)
    with pytest.raises(bgmv2.VideoError, match=r"shots\.mkv is HDR .* take --blend video"):
        results(shots, composite=bgmv2.CompositeConfig(blend="linear"))
    with pytest.raises(bgmv2.VideoError, match=r"shots\.mkv is HDR .* write the shadow as a video or as \.png"):
        bgmv2.convert(shots / "shots.mkv", plate=shots / "plate.png", shadow=shots / "s.##.exr", matter=DiscMatter())
    assert sorted(path.name for path in shots.iterdir()) == ["plate.png", "shots.mkv"]
    results(shots)


class DiscMatter:
    """Sees a disc where it is, and its colour."""

    fingerprint = "disc"

    device = torch.device("cpu")
    disc = torch.from_numpy(cv2.circle(np.zeros((120, 160), np.float32), (60, 60), 25, 1.0, -1, cv2.LINE_AA))

    def matte(self, src, *, plate):
        pha = self.disc[None, None]
        return Matte(pha, torch.full_like(src, 0.1), pha, pha[..., ::4, ::4])


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_the_subject_s_shadow_falls_onto_the_backdrop(tmp_path, strength):
    room = np.full((120, 160, 3), 180, np.uint8)
    shadow = cv2.circle(np.ones((120, 160), np.float32), (90, 70), 30, 0.6, -1, cv2.LINE_AA)
    disc = DiscMatter.disc.numpy()
    src = np.rint(room * (shadow * (1 - disc))[..., None] + 0.1 * 255 * disc[..., None]).astype(np.uint8)
    write_image(tmp_path / "src.png", src)
    write_image(tmp_path / "plate.png", room)
    com, pha = tmp_path / "com.png", tmp_path / "pha.png"
    composite = bgmv2.CompositeConfig(keep_shadow=strength)
    options = {"run": bgmv2.RunConfig(align="off"), "matter": DiscMatter(), "backdrop": "#c8c8c8"}
    bgmv2.convert_images(
        tmp_path / "src.png", plate=tmp_path / "plate.png", com=com, pha=pha, composite=composite, **options
    )
    assert np.abs(read_image(pha)[..., 0] - disc * 255).max() <= 1  # a shadow is no part of the subject
    expected = 200 * (1 - strength * (1 - shadow)) * (1 - disc) + 0.1 * 255 * disc
    error = np.abs(read_image(com)[..., 0] - expected)
    assert error.mean() < 1 and np.median(error) <= 0.5
    assert abs(int(read_image(com)[70, 110, 0]) - 200 * (1 - 0.4 * strength)) <= 2


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_backdrop_times_the_shadow_is_what_keeping_it_gives(tmp_path, depth):
    top, rng = np.iinfo(depth).max, np.random.default_rng(0)
    shadow = cv2.GaussianBlur(cv2.circle(np.ones((120, 160), np.float32), (90, 70), 30, 0.5, -1), (0, 0), 2)
    disc = DiscMatter.disc.numpy()
    picture = 0.7 * shadow * (1 - disc) + 0.1 * disc
    write_image(tmp_path / "src.png", np.rint(top * np.dstack([picture] * 3)).astype(depth))
    write_image(tmp_path / "plate.png", np.full((120, 160, 3), round(0.7 * top), depth))
    write_image(tmp_path / "behind.png", rng.integers(0, 256, (120, 160, 3), np.uint8))
    out = {role: tmp_path / f"{role}.png" for role in ("com", "pha", "fgr", "shadow")}
    options = {"run": bgmv2.RunConfig(align="off"), "matter": DiscMatter(), "plate": tmp_path / "plate.png"}
    composite = bgmv2.CompositeConfig(keep_shadow=1)
    bgmv2.convert_images(tmp_path / "src.png", backdrop=tmp_path / "behind.png", composite=composite, **options, **out)
    com, pha, fgr, light = (read_image(path) / top for path in out.values())
    assert read_image(out["shadow"]).dtype == depth
    assert (light == light[..., :1]).all() and light.max() == 1 and 0.45 < light.min() < 0.55
    by_hand = pha * fgr + (1 - pha) * light * (read_image(tmp_path / "behind.png") / 255)
    assert np.abs(com - by_hand).max() <= 2.5 / top
    # Alone it is the same, whatever becomes of the backdrop.
    bgmv2.convert_images(tmp_path / "src.png", shadow=tmp_path / "alone.png", **options)
    assert np.array_equal(read_image(tmp_path / "alone.png") / top, light)


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_each_picture_of_a_folder_has_a_matte_of_its_own(tmp_path):
    for folder in ("photos", "mattes"):
        (tmp_path / folder).mkdir()
    for name, value in (("a", 0), ("b", 255)):
        write_image(tmp_path / "photos" / f"{name}.png", np.full((24, 32, 3), 90, np.uint8))
        write_image(tmp_path / "mattes" / f"{name}.png", np.full((24, 32), value, np.uint8))
    write_image(tmp_path / "plate.png", np.full((24, 32, 3), 90, np.uint8))
    options = {"plate": tmp_path / "plate.png", "pha": tmp_path / "pha", **AS_SEEN}
    composite = bgmv2.CompositeConfig(garbage=str(tmp_path / "mattes"))
    bgmv2.convert_images(tmp_path / "photos", composite=composite, **options)
    assert [read_image(tmp_path / "pha" / f"{name}.png").max() for name in "ab"] == [128, 0]
    (tmp_path / "mattes" / "b.png").unlink()
    with pytest.raises(bgmv2.VideoError, match=r"holds no matte for b\.png"):
        bgmv2.convert_images(tmp_path / "photos", composite=composite, overwrite=True, **options)
    assert read_image(tmp_path / "pha" / "a.png").max() == 128


@pytest.mark.parametrize("name", ["garbage", "holdout"])
def test_a_matte_is_never_written_over(shots, name):
    matte = shots / "matte.mkv"
    matte.write_bytes((shots / "shots.mkv").read_bytes())
    composite = bgmv2.CompositeConfig(**{name: str(matte)})
    encode = bgmv2.EncodeConfig(overwrite=True)
    with pytest.raises(bgmv2.OutputError, match="is read, so"):
        bgmv2.convert(
            shots / "shots.mkv", plate=shots / "plate.png", pha=matte, composite=composite, encode=encode, **AS_SEEN
        )


@pytest.mark.parametrize("output", ["m.####.png", "mattes"])
def test_numbered_mattes_and_backdrops_are_never_written_over(shots, output):
    (shots / "mattes").mkdir()
    write_image(shots / "mattes" / "m.0000.png", halves(0, 255))
    pattern = str(shots / "mattes" / "m.####.png")
    options = {"plate": shots / "plate.png", "encode": bgmv2.EncodeConfig(overwrite=True), **AS_SEEN}
    options["pha"] = shots / "mattes" / output if output != "mattes" else shots / "mattes"
    with pytest.raises(bgmv2.OutputError, match="is read, so"):
        bgmv2.convert(shots / "shots.mkv", composite=bgmv2.CompositeConfig(garbage=pattern), **options)
    with pytest.raises(bgmv2.OutputError, match="is read, so"):
        bgmv2.convert(shots / "shots.mkv", backdrop=pattern, **options)
    assert sorted(path.name for path in (shots / "mattes").iterdir()) == ["m.0000.png"]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"backdrop_fit": "crop"}, "for backdrop fit there are fill, fit, stretch, got crop"),
        ({"backdrop_end": "stop"}, "there are loop, hold, got stop"),
        ({"backdrop_offset": float("inf")}, "a number of seconds, got inf"),
        ({"blend": "gamma"}, "there are video, linear, got gamma"),
        ({"keep_shadow": -0.1}, "keep shadow lies in 0..1, got -0.1"),
        ({"despill": 2.0}, "despill lies in 0..1, got 2.0"),
    ],
)
def test_compositions_out_of_range_are_refused_at_once(choice, said):
    with pytest.raises(ValueError, match=said):
        bgmv2.CompositeConfig(**choice)
