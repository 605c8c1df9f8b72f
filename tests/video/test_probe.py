"""Where clips come from: files, addresses, standard input; and what is no clip at all."""

import contextlib
import functools
import http.server
import io
import os
import socket
import struct
import sys
import threading
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from bgmv2.config import ReadConfig
from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.video import VideoReader, probe
from bgmv2.video.probe import is_address, is_cut_short, is_file, shown


def read(source, **choices):
    with VideoReader(source, ReadConfig(**choices)) as reader:
        return reader.info, list(reader)


def error_of(source, **choices):
    with pytest.raises(VideoError) as caught:
        read(source, **choices)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def server(tmp_path):
    """The address of a server on this machine that gives out the test's folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def talker():
    """Listen on a port of this machine, and give whoever connects some bytes; then keep silent, or hang up."""
    stop = threading.Event()
    threads = []

    def listen(answer, *, hang_up=False):
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            with listener, listener.accept()[0] as connection:
                if answer:
                    connection.recv(4096)
                    connection.sendall(answer)
                if not hang_up:
                    stop.wait(10)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield listen
    stop.set()
    for thread in threads:
        thread.join()


@pytest.fixture
def dead_port():
    """A port of this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def test_addresses_and_paths():
    for address in ("http://host/a.mp4", "rtsp://user:word@camera:554/1", "HTTPS://host/a.mp4"):
        assert is_address(address) and not is_file(address)
    for path in ("a.mp4", "http: no.mp4", "c:/a.mp4", "a/b//c.mp4", "-"):
        assert not is_address(path)
    assert shown("rtsp://user:word@camera:554/1?a=b@c") == "rtsp://camera:554/1?a=b@c"
    assert shown("a@b.mp4") == "a@b.mp4"


def test_a_clip_from_a_server(make_clip, server):
    path = make_clip("a.mp4", count=8)
    info, frames = read(f"{server}/a.mp4")
    whole = read(path)
    assert info == whole[0] and len(frames) == 8
    assert all((frame.pixels == same.pixels).all() for frame, same in zip(frames, whole[1], strict=True))
    _, part = read(f"{server}/a.mp4", start=0.2, frames=2)
    assert [frame.pts for frame in part] == [same.pts for same in whole[1][5:7]]


def test_sound_from_a_server_is_not_copied(make_clip, server):
    make_clip("a.mp4", count=3, audio="aac")
    with pytest.warns(Bgmv2Warning, match="the sound of http://127.0.0.1.*a.mp4 is not copied") as caught:
        read(f"{server}/a.mp4")
    assert len(caught) == 1


def test_what_a_server_does_not_have(server):
    address = server.replace("//", "//user:word@") + "/nothing.mp4"
    message = error_of(address)
    assert message.startswith(f"{server}/nothing.mp4 cannot be read: server returned 404 not found")
    assert "word" not in message


@pytest.mark.parametrize("protocol", ["http", "https", "rtsp", "rtmp", "tcp"])
def test_nobody_listens(dead_port, protocol):
    message = error_of(f"{protocol}://{dead_port}/a")
    assert message == f"{protocol}://{dead_port}/a cannot be read: connection refused; check the address and the server"


@pytest.mark.parametrize("protocol", ["http", "rtsp", "tcp"])
def test_a_server_that_does_not_answer(monkeypatch, talker, protocol):
    monkeypatch.setattr(probe, "TIMEOUT", 0.3)
    assert "did not answer within 0.3 s; check the address" in error_of(f"{protocol}://{talker(b'')}/a")


def test_a_server_that_falls_silent_or_hangs_up(make_clip, monkeypatch, talker):
    monkeypatch.setattr(probe, "TIMEOUT", 0.3)
    data = make_clip("a.ts", count=50, options={"crf": "4"}).read_bytes()
    answer = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data[: len(data) // 2]
    assert "the server fell silent" in error_of(f"http://{talker(answer)}/a.ts")
    assert "breaks off after" in error_of(f"http://{talker(answer, hang_up=True)}/a.ts")


def test_an_unknown_protocol():
    assert "FFmpeg does not know carrier-pigeon://" in error_of("carrier-pigeon://loft/1")


@pytest.fixture
def pipe(monkeypatch):
    """Put bytes into standard input."""
    threads = []

    def put(data):
        reading, writing = os.pipe()

        def feed():
            # The reader may have had enough before the end.
            with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as file:
                file.write(data)

        threads.append(threading.Thread(target=feed))
        stdin = io.TextIOWrapper(os.fdopen(reading, "rb"))
        monkeypatch.setattr(sys, "stdin", stdin)
        threads[-1].start()
        return stdin

    opened = []
    yield lambda data: opened.append(put(data))
    for stdin in opened:
        stdin.close()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4", "a.avi"])
def test_a_clip_on_standard_input(make_clip, pipe, name):
    path = make_clip(name, count=8, codec="mpeg4" if name == "a.avi" else "libx264")
    _, whole = read(path)
    pipe(path.read_bytes())
    _, frames = read("-")
    assert [frame.pts for frame in frames] == [frame.pts for frame in whole]
    assert all((frame.pixels == same.pixels).all() for frame, same in zip(frames, whole, strict=True))
    pipe(path.read_bytes())
    _, part = read("-", start=0.12, frames=2)
    assert [frame.pts for frame in part] == [frame.pts for frame in whole[3:5]]


@pytest.mark.parametrize(("pixel_format", "dtype"), [("rgb24", np.uint8), ("rgb48le", np.uint16)])
def test_raw_frames_on_standard_input(picture, pipe, pixel_format, dtype):
    pictures = [picture(index, 64, 48).astype(dtype) * (257 if dtype == np.uint16 else 1) for index in range(5)]
    pipe(b"".join(pixels.tobytes() for pixels in pictures))
    rate = Fraction(24000, 1001)
    info, frames = read("-", raw=f"{pixel_format}:64x48", rate=rate)
    assert (info.rate, info.width, info.height) == (rate, 64, 48)
    assert [frame.pts * frame.time_base for frame in frames] == [index / rate for index in range(5)]
    assert all((frame.pixels == pixels).all() for frame, pixels in zip(frames, pictures, strict=True))


def test_raw_frames_that_end_midway(picture, pipe):
    data = b"".join(picture(index, 64, 48).tobytes() for index in range(5))
    pipe(data[:-7])
    with VideoReader("-", ReadConfig(raw="rgb24:64x48")) as reader:
        frames = []
        with pytest.raises(VideoError, match=r"breaks off after 0\.1 s: a frame of rgb24:64x48 came in only in part"):
            frames.extend(reader)
    assert reader.info.rate == 25 and len(frames) == 4


def test_standard_input_without_a_clip(pipe, monkeypatch):
    pipe(b"")
    assert "what comes in on standard input is damaged or no video" in error_of("-")
    pipe(np.random.default_rng(0).bytes(5000))
    assert "what comes in on standard input is damaged or no video" in error_of("-")
    pipe(b"")
    assert "no frame of the clip on standard input can be decoded" in error_of("-", raw="rgb24:64x48")
    pipe(b"")
    assert "FFmpeg knows no pixel format rgb25" in error_of("-", raw="rgb25:64x48")
    pipe(b"")
    assert "claims 60000x60000 pixels" in error_of("-", raw="rgb24:60000x60000")
    monkeypatch.setattr(sys, "stdin", None)
    assert "nothing is piped in there" in error_of("-")


def test_choices_that_do_not_fit(make_clip):
    path = make_clip("a.mp4", count=2)
    assert "raw frames come in on standard input: give - as the clip" in error_of(path, raw="rgb24:64x48")
    assert "a.mp4 says itself how fast it is; a rate is for numbered pictures and raw frames" in error_of(
        path, rate=Fraction(24)
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_named_pipe_is_read_once(make_clip, tmp_path):
    data = make_clip("a.mkv", count=5).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    thread = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    thread.start()
    assert len(read(tmp_path / "pipe")[1]) == 5
    thread.join()


def test_too_large_a_picture_is_refused(make_clip, monkeypatch):
    path = make_clip("a.mp4", count=2)
    monkeypatch.setattr(probe, "MAX_PIXELS", 64 * 48 - 1)
    assert "a.mp4 claims 64x48 pixels: it is damaged, or too large for bgmv2" in error_of(path)


def test_a_picture_that_outgrows_its_header_takes_no_memory(make_clip):
    """Motion JPEG whose pictures claim to be larger than the file says, and than any computer could hold."""
    path = make_clip("a.avi", codec="mjpeg", pixel_format="yuvj420p", count=3)
    data = bytearray(path.read_bytes())
    at = data.find(b"\xff\xc0")
    while at >= 0:
        data[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
        at = data.find(b"\xff\xc0", at + 2)
    path.write_bytes(data)
    assert "no frame of" in error_of(path)


def test_the_size_changes_midway(tmp_path, picture):
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=25)
        for part, size in enumerate([(64, 48), (32, 24), (96, 80)]):
            encoder = film.codec_context if part == 0 else av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height = size
            encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", Fraction(25), Fraction(1, 25)
            encoder.options = {"bf": "0", "crf": "1"}
            packets = []
            for index in range(2 * part, 2 * part + 2):
                frame = av.VideoFrame.from_ndarray(picture(0, *size))
                frame.pts, frame.time_base = index, Fraction(1, 25)
                packets += encoder.encode(frame)
            for packet in packets + encoder.encode(None):
                packet.stream = film
                container.mux(packet)
    with pytest.warns(Bgmv2Warning, match=r"changes its size from 64x48 to 32x24 at 0\.1 s") as caught:
        info, frames = read(path)
    assert len(caught) == 1
    assert (info.width, info.height) == (64, 48) and len(frames) == 6
    for frame in frames:
        assert np.abs(frame.pixels.astype(int) - picture(0, 64, 48)).mean() < 8


def test_only_the_cover_of_a_song(tmp_path, picture):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=48000)
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(picture(0, 64, 48)).reformat(format="yuvj420p")
        container.mux(cover.encode(frame))
        container.mux(cover.encode(None))
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        tone.sample_rate = 48000
        container.mux(sound.encode(tone))
        container.mux(sound.encode(None))
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    assert "song.m4a holds no moving picture, only sound or text" in error_of(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_file_that_is_cut_short(make_clip, name):
    path = make_clip(name, codec="mpeg4", count=40, audio="pcm_s16le" if name == "a.avi" else "aac")
    assert not is_cut_short(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])
    assert is_cut_short(path) == (name != "a.mp4" or data.index(b"moov") > data.index(b"mdat"))


def damages(data, count):
    """Truncations and flipped bits, the same ones in every run."""
    generator = np.random.default_rng(0)
    for number in range(count):
        if number % 2:
            yield data[: int(generator.integers(len(data)))]
        else:
            damaged = bytearray(data)
            for at in generator.integers(len(data), size=4):
                damaged[at] ^= 1 << int(generator.integers(8))
            yield bytes(damaged)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "mpeg2video"), ("a.avi", "mpeg4"), ("a.mov", "prores_ks")],
)
def test_damaged_files_are_read_or_refused_in_one_line(make_clip, name, codec):
    pixel_format = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    path = make_clip(name, codec=codec, pixel_format=pixel_format, count=6, audio="aac")
    refused = 0
    for number, damaged in enumerate(damages(path.read_bytes(), 30)):
        path.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                read(path, **({"start": 0.1} if number % 3 else {}))
            except VideoError as error:
                refused += 1
                assert "\n" not in str(error) and str(path) in str(error)
        assert all(warning.category is Bgmv2Warning for warning in caught)
    assert refused


@pytest.mark.skipif(int(av.__version__.split(".")[0]) < 18, reason="needs PyAV 18")
def test_a_device_that_is_not_there_is_an_error(make_clip):
    clip = make_clip("clip.mp4", count=2)
    for name in ("nonsense", *(["cuda"] if not torch.cuda.is_available() else [])):
        with pytest.raises(VideoError, match=f"no device to decode on by {name}"):
            VideoReader(clip, ReadConfig(hwaccel=name))
    with VideoReader(clip, ReadConfig(hwaccel="auto")) as automatic, VideoReader(clip) as plain:
        for one, other in zip(automatic, plain, strict=True):
            assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1


def test_a_pyav_that_loses_rotation_on_a_device_decodes_on_the_cpu(make_clip, monkeypatch):
    clip = make_clip("clip.mp4", count=2)
    monkeypatch.setattr(av, "__version__", "17.1.0")
    with VideoReader(clip, ReadConfig(hwaccel="auto")) as automatic:
        assert len(list(automatic)) == 2
    with pytest.raises(VideoError, match="needs PyAV 18, .* update av, or take --hwaccel off"):
        VideoReader(clip, ReadConfig(hwaccel="cuda"))


@pytest.mark.needs_cuda
def test_cuda_decodes_what_the_cpu_does(make_clip):
    clip = make_clip("clip.mp4", size=(256, 256), count=10)
    with VideoReader(clip, ReadConfig(hwaccel="cuda")) as there, VideoReader(clip) as here:
        for one, other in zip(there, here, strict=True):
            assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1
