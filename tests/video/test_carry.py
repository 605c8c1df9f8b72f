"""What is no picture comes through as it was, in time with the picture; what does not is named."""

import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet

from bgmv2.config import EncodeConfig, ReadConfig
from bgmv2.errors import Bgmv2Warning
from bgmv2.video import VideoWriter, open_source
from bgmv2.video.carry import Origin, later

FAST = EncodeConfig(preset="ultrafast")
RATE = 25
SECONDS = 2
CHAPTERS = [
    {"id": 0, "start": 0, "end": 800, "time_base": Fraction(1, 1000), "metadata": {"title": "Arrival"}},
    {"id": 1, "start": 800, "end": 2000, "time_base": Fraction(1, 1000), "metadata": {"title": "Departure"}},
]
ASS = b"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name\nStyle: Default\n[Events]\nFormat: Layer, Text\n"
TAGS = {"title": "My film", "artist": "Me", "creation_time": "2024-05-06T07:08:09.000000Z"}


def click_samples():
    """Silence, but for one sample twice a second."""
    samples = np.zeros(48000 * SECONDS, np.int16)
    samples[4800::24000] = 30000
    return samples


def flash(index):
    """A white frame twice a second, else dark."""
    return np.full((48, 64, 3), 235 if index % 25 in (0, 13) else 20, np.uint8)


def record(
    path,
    *,
    sound="pcm_s16le",
    text=None,
    timecode=None,
    tags=TAGS,
    chapters=(),
    font=False,
    cover=False,
    tracks=1,
    options=None,
):
    """A clip of two seconds, with all that is asked for, made with PyAV alone."""
    with av.open(str(path), "w", container_options=options or {}) as container:
        container.metadata.update(tags)
        film = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": "10"})
        film.width, film.height = 64, 48
        film.codec_context.time_base = Fraction(1, RATE)
        film.metadata.update({"language": "eng", "handler_name": "Left camera"})
        if timecode:
            film.metadata["timecode"] = timecode
        voices = []
        for index in range(tracks):
            voice = container.add_stream(sound, rate=48000)
            voice.codec_context.layout = "mono"
            voice.metadata.update({"language": ("deu", "fra")[index], "title": ("Original", "Dub")[index]})
            voice.disposition = Disposition.default if index == 0 else Disposition.dub
            voices.append(voice)
        subtitles = None
        if text:
            subtitles = container.add_stream(text)
            subtitles.codec_context.subtitle_header = ASS
            subtitles.metadata["language"] = "ita"
        if font:
            container.add_attachment("letters.ttf", "font/ttf", b"letters" * 20)
        if cover:
            picture = container.add_stream("mjpeg", rate=RATE)
            picture.width, picture.height, picture.pix_fmt = 16, 16, "yuvj420p"
            picture.disposition = Disposition.attached_pic
        container.set_chapters(list(chapters))
        if cover:
            container.mux(picture.encode(av.VideoFrame(16, 16, "yuvj420p")) + picture.encode(None))
        for index in range(RATE * SECONDS):
            frame = av.VideoFrame.from_ndarray(flash(index))
            frame.pts = index
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
        samples = click_samples()
        for voice in voices:
            for start in range(0, len(samples), 960):
                part = samples[None, start : start + 960]
                kind = voice.codec_context.format.name
                part = part if kind == "s16" else (part / 32768).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format=kind, layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
                container.mux(voice.encode(frame))
            container.mux(voice.encode(None))
        if subtitles is not None:
            for start in (300, 1200):
                packet = subtitles.codec_context.encode_subtitle(
                    SubtitleSet.create(b"0,0,Default,,0,0,0,,Hello", 0, 400)
                )
                packet.stream, packet.time_base = subtitles, Fraction(1, 1000)
                packet.pts = packet.dts = start
                packet.duration = 400
                container.mux(packet)
    return path


def through(source, result, *, read=None, **origin):
    """Read a clip and write it again; return the warnings."""
    origin.setdefault("ends_with_film", read is not None and read.frames is not None)
    clip = open_source(source, read)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with VideoWriter(result, clip.info, encode=FAST, origin=Origin(source, **origin)) as writer:
            for frame in clip:
                writer.write(frame)
    clip.close()
    assert all(warning.category is Bgmv2Warning for warning in caught)
    return [str(warning.message) for warning in caught]


def streams(path):
    with av.open(str(path)) as container:
        return [(stream.type, dict(stream.metadata), stream.disposition) for stream in container.streams]


def about(path):
    """Metadata of the whole clip, and its chapters as (start, end, title)."""
    with av.open(str(path)) as container:
        chapters = [
            (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"].get("title"))
            for c in container.chapters()
        ]
        return {key.lower(): value for key, value in container.metadata.items()}, chapters


def packets(path, kind, index=0):
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[index]
        found = [p for p in container.demux(stream) if p.dts is not None]
        return [(bytes(p), p.pts * p.time_base, p.duration * p.time_base) for p in found]


def clicks(path):
    """Seconds at which the sound clicks, as a player hears it."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        found = []
        for frame in container.decode(stream):
            loud = np.flatnonzero(
                np.abs(frame.to_ndarray().astype(float)[0]) > 0.4 * (32768 if "s16" in frame.format.name else 1)
            )
            found += [frame.pts * frame.time_base + Fraction(int(at), frame.sample_rate) for at in loud]
    return found


def flashes(path):
    """Seconds at which a white frame is shown."""
    with av.open(str(path)) as container:
        return [f.pts * f.time_base for f in container.decode(video=0) if f.to_ndarray(format="gray").mean() > 128]


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_all_of_a_quicktime_clip_comes_through(tmp_path, suffix):
    source = record(tmp_path / "in.mov", text="mov_text", timecode="01:00:00:00", chapters=CHAPTERS, tracks=2)
    result = tmp_path / f"out{suffix}"
    said = through(source, result)
    tags, chapters = about(result)
    assert {key: tags[key] for key in TAGS} == TAGS
    assert chapters == [(0, 0.8, "Arrival"), (0.8, 2, "Departure")]
    found = streams(result)
    film = {key.lower(): value for key, value in found[0][1].items()}
    assert film["timecode"] == "01:00:00:00" and film["language"] == "eng" and film["handler_name"] == "Left camera"
    voices = [(tags, disposition) for kind, tags, disposition in found if kind == "audio"]
    assert [tags.get("title", tags.get("name")) for tags, _ in voices] == ["Original", "Dub"]
    assert [bool(disposition & Disposition.default) for _, disposition in voices] == [True, False]
    for index in range(2):
        assert packets(source, "audio", index) == packets(result, "audio", index)
    if suffix == ".mkv":
        assert said == [
            "out.mkv goes without the subtitles (MOV_TEXT) of in.mov: .mkv cannot hold that; keep the clip for it"
        ]
    else:
        assert said == []
        assert packets(source, "subtitles") == packets(result, "subtitles")


def test_all_of_a_matroska_clip_comes_through(tmp_path):
    tags = {**TAGS, "SCENE": "42"}
    source = record(
        *(tmp_path / "in.mkv",),
        **dict(text="subrip", timecode="01:00:00:00", chapters=CHAPTERS, tracks=2, font=True, tags=tags),
    )
    assert through(source, tmp_path / "out.mkv") == []
    assert about(tmp_path / "out.mkv")[1] == about(source)[1]
    before, after = about(source)[0], about(tmp_path / "out.mkv")[0]
    assert before == after and after["scene"] == "42"
    for (kind, tags, disposition), (kind2, tags2, disposition2) in zip(
        streams(source), streams(tmp_path / "out.mkv"), strict=True
    ):
        assert (kind, disposition) == (kind2, disposition2)
        assert {k: v for k, v in tags.items() if k != "DURATION"} == {k: v for k, v in tags2.items() if k != "DURATION"}
    assert packets(source, "subtitles") == packets(tmp_path / "out.mkv", "subtitles")
    assert packets(source, "audio", 1) == packets(tmp_path / "out.mkv", "audio", 1)
    with av.open(str(tmp_path / "out.mkv")) as container:
        (font,) = container.streams.attachments
        assert (font.name, font.mimetype, font.data) == ("letters.ttf", "font/ttf", b"letters" * 20)


def test_all_that_does_not_fit_is_named_at_once(tmp_path):
    source = record(tmp_path / "in.mkv", text="subrip", tracks=2, font=True, tags={**TAGS, "SCENE": "42"}, sound="aac")
    assert through(source, tmp_path / "out.webm") == [
        "out.webm goes without the sound (AAC), the subtitles (SRT) and the attachment (letters.ttf) of in.mkv: "
        ".webm cannot hold that; .mkv holds nearly everything"
    ]
    assert through(source, tmp_path / "out.mp4") == [
        "out.mp4 goes without the metadata SCENE, the subtitles (SRT) and the attachment (letters.ttf) of in.mkv: "
        ".mp4 cannot hold that; .mkv holds nearly everything"
    ]
    assert packets(source, "audio", 1)[0][0] == packets(tmp_path / "out.mp4", "audio", 1)[0][0]


def test_data_that_a_container_refuses_at_the_end_is_named_at_the_beginning(tmp_path, make_clip):
    clip = make_clip("in.ts", count=3)
    source = tmp_path / "data.ts"
    with av.open(str(clip)) as before, av.open(str(source), "w") as after:
        film, data = after.add_stream_from_template(before.streams.video[0], opaque=True), after.add_data_stream("klv")
        for packet in before.demux():
            if packet.dts is not None:
                packet.stream = film
                after.mux(packet)
        note = av.Packet(b"position")
        note.stream, note.time_base = data, Fraction(1, 90000)
        note.pts = note.dts = 130000
        after.mux(note)
    assert through(source, tmp_path / "out.mp4") == [
        "out.mp4 goes without the data (klv) of data.ts: .mp4 cannot hold that; .mkv holds nearly everything"
    ]


def test_results_that_are_data_get_the_labels_but_not_the_tracks(tmp_path):
    source = record(tmp_path / "in.mkv", text="subrip", timecode="10:11:12:13", chapters=CHAPTERS, font=True)
    assert through(source, tmp_path / "out.mov", tracks=False) == []
    found = streams(tmp_path / "out.mov")
    assert "audio" not in [kind for kind, *_ in found] and found[0][1]["timecode"] == "10:11:12:13"
    assert about(tmp_path / "out.mov")[0]["title"] == "My film"


def test_the_names_of_telephones_are_kept(tmp_path):
    tags = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.model": "Phone 9", **TAGS}
    source = record(tmp_path / "in.mov", tags=tags, options={"movflags": "use_metadata_tags"})
    for suffix in (".mov", ".mp4", ".mkv"):
        assert through(source, tmp_path / f"out{suffix}") == []
        found = about(tmp_path / f"out{suffix}")[0]
        assert {key: found[key] for key in tags} == tags


def test_a_cover_is_kept(tmp_path):
    source = record(tmp_path / "in.mp4", cover=True)
    assert through(source, tmp_path / "out.mp4") == []
    kinds = [
        (kind, bool(disposition & Disposition.attached_pic)) for kind, _, disposition in streams(tmp_path / "out.mp4")
    ]
    assert sorted(kinds) == [("audio", False), ("video", False), ("video", True)]
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        one, other = (next(container.demux(container.streams.video[1])) for container in (before, after))
        assert bytes(one) == bytes(other) and one.size


@pytest.mark.parametrize("language", ["deu", "swe", "nld", "cze", "eng"])
def test_quicktime_gets_the_code_of_a_language_that_it_knows(tmp_path, language):
    source = record(tmp_path / "in.mkv", tracks=0)
    with av.open(str(source)) as clip, av.open(str(tmp_path / "named.mkv"), "w") as named:
        stream = named.add_stream_from_template(clip.streams.video[0], opaque=True)
        stream.metadata["language"] = language
        for packet in clip.demux():
            if packet.dts is not None:
                packet.stream = stream
                named.mux(packet)
    through(tmp_path / "named.mkv", tmp_path / "out.mov")
    assert streams(tmp_path / "out.mov")[0][1]["language"] in (language, "ger", "sve", "dut", "ces")


CODECS = {".mov": "pcm_s16le", ".mp4": "aac", ".mkv": "pcm_s16le"}


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("into", [".mov", ".mp4", ".mkv"])
def test_clicks_and_flashes_stay_together(tmp_path, suffix, into):
    """To the sample and the tick; Matroska counts in milliseconds."""
    source = record(tmp_path / f"in{suffix}", sound=CODECS[suffix])
    assert through(source, tmp_path / f"out{into}") == []
    before, after = clicks(source), clicks(tmp_path / f"out{into}")
    assert len(before) == len(after) >= 4
    exact = 0 if into != ".mkv" and suffix != ".mkv" else Fraction(1, 1000)
    assert max(abs(one - other) for one, other in zip(before, after, strict=True)) <= exact
    assert flashes(source) == flashes(tmp_path / f"out{into}") == [0, Fraction(13, 25), 1, Fraction(38, 25)]


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("into", [".mov", ".mp4", ".mkv"])
def test_a_part_keeps_its_sound_and_begins_at_zero(tmp_path, suffix, into):
    source = record(tmp_path / f"in{suffix}", sound=CODECS[suffix], chapters=CHAPTERS, timecode="00:59:59:24")
    result = tmp_path / f"out{into}"
    read = ReadConfig(start=0.92, end=1.6)
    assert through(source, result, read=read) == []
    assert flashes(result) == [Fraction(8, 100), Fraction(60, 100)]
    exact = 0 if into != ".mkv" and suffix != ".mkv" else Fraction(1, 1000)
    heard = [click for click in clicks(result) if click >= 0]
    start, end = Fraction(92, 100), Fraction(16, 10)
    wanted = [click - start for click in clicks(source) if start <= click < end]
    assert len(heard) == len(wanted) == 1
    assert max(abs(one - other) for one, other in zip(heard, wanted, strict=True)) <= exact
    # Whole packets: at most one more at either end.
    sound = packets(result, "audio")
    longest = max(duration for *_, duration in sound)
    assert -longest < sound[0][1] <= 0
    # QuickTime cuts samples that are not compressed into packets of its own.
    assert b"".join(data for data, *_ in sound) == b"".join(
        data for data, begin, length in packets(source, "audio") if begin + length > start and begin < end
    )
    assert about(result)[1] == [(0, 0.68, "Departure")]
    assert {key.lower(): value for key, value in streams(result)[0][1].items()}["timecode"] == "01:00:00:22"


def test_chapters_and_subtitles_are_cut_with_the_part(tmp_path):
    source = record(tmp_path / "in.mkv", text="subrip", chapters=CHAPTERS)
    through(source, tmp_path / "out.mkv", read=ReadConfig(start=0.4, end=1.4))
    assert about(tmp_path / "out.mkv")[1] == [(0, 0.4, "Arrival"), (0.4, 1, "Departure")]
    # Shown from 0.3 to 0.7 and from 1.2 to 1.6.
    assert [(float(begin), float(length)) for _, begin, length in packets(tmp_path / "out.mkv", "subtitles")] == [
        (0, pytest.approx(0.3)),
        (0.8, pytest.approx(0.4)),
    ]


def test_a_number_of_frames_ends_the_sound_as_well(tmp_path):
    source = record(tmp_path / "in.mov", chapters=CHAPTERS)
    through(source, tmp_path / "out.mov", read=ReadConfig(frames=10))
    sound = packets(tmp_path / "out.mov", "audio")
    assert len(flashes(tmp_path / "out.mov")) == 1
    assert Fraction(4, 10) <= sound[-1][1] + sound[-1][2] < Fraction(45, 100)
    assert about(tmp_path / "out.mov")[1] == [(0, 0.4, "Arrival")]


def test_sound_before_zero_does_not_move_the_picture_in_matroska(tmp_path):
    """AAC begins before zero, and FFmpeg left alone would move everything by that."""
    source = record(tmp_path / "in.mp4", sound="aac")
    through(source, tmp_path / "out.mkv")
    assert packets(tmp_path / "out.mkv", "video")[0][1] == 0
    assert packets(tmp_path / "out.mkv", "audio")[0][1] == pytest.approx(-1024 / 48000, abs=0.001)


NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("timecode", "frames", "rate", "moved"),
    [
        ("01:00:00:00", 250, Fraction(25), "01:00:10:00"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("00:00:59;29", 1, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, "00:10:00;00"),
        ("00:00:00;00", 17982, NTSC, "00:10:00;00"),
        ("00:00:00;00", 107892, NTSC, "01:00:00;00"),
        ("00:00:59;59", 1, 2 * NTSC, "00:01:00;04"),
        ("00:00:59:29", 1, NTSC, "00:01:00:00"),
        ("tape 7", 5, NTSC, "tape 7"),
    ],
)
def test_a_timecode_moves_on(timecode, frames, rate, moved):
    assert later(timecode, frames / rate, rate) == moved
