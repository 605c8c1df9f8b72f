import sys
from fractions import Fraction

import av
import pytest

from bgmv2.cli import main
from bgmv2.video import camera
from bgmv2.video.camera import CameraName
from bgmv2.video.images import write_image


@pytest.fixture
def room(make_clip, picture, tmp_path):
    """A clip of an empty room, and its plate."""
    still = picture(3, 96, 72)
    write_image(tmp_path / "plate.png", still)
    return make_clip("room.mp4", pictures=[still] * 60, size=(96, 72), rate=Fraction(30))


def test_cameras_are_listed(monkeypatch, capsys):
    monkeypatch.setattr(
        camera, "find_cameras", lambda: [CameraName(0, "Desk Cam"), CameraName(4, "Loop", virtual=True)]
    )
    assert main(["webcam", "--list"]) == 0
    assert capsys.readouterr().out == "0  Desk Cam\n4  Loop (virtual)\n"
    monkeypatch.setattr(camera, "find_cameras", lambda: [])
    assert main(["webcam", "--list"]) == 1
    assert "there is no camera" in capsys.readouterr().err


def test_a_clip_goes_through_to_a_recording(room, blind_weights, tmp_path, capsys):
    out = tmp_path / "out.mkv"
    words = ["webcam", "--camera", str(room), "--plate", str(tmp_path / "plate.png"), "--virtual", "off"]
    words += ["--no-preview", "--record", str(out), "--weights", str(blind_weights), "--backdrop", "magenta"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "room.mp4: 96x72 at 30 pictures a second" in said.out and "frames shown" in said.out
    assert "live" in said.err
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) > 3 and abs(frames[-1].mean(axis=(0, 1)) - (255, 0, 255)).max() < 6
    assert main(words) == 1
    assert "there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--size", "big"], 2, "a size is width and height, such as 1280x720: 'big'"),
        (["--fps", "0"], 2, "a frame rate lies above 0"),
        (["--countdown", "99"], 2, "a countdown takes 0 to 60 seconds"),
        (["--no-preview", "--virtual", "off"], 1, "nothing to show it on"),
        (["--weights", "hd.onnx"], 1, "hd.onnx has one scale"),
        (["--no-preview", "--camera", "no such camera"], 1, "there is no camera 'no such camera'"),
        (
            ["--backdrop", "no-such.jpg", "--no-preview", "--record", "x.mp4", "--camera", "CLIP", "--virtual", "off"],
            1,
            "there is no file no-such.jpg",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words, code, said, room, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [str(room) if word == "CLIP" else word for word in words]
    if code == 2:
        with pytest.raises(SystemExit) as ended:
            main(["webcam", *words])
        assert ended.value.code == 2
    else:
        assert main(["webcam", *words]) == code
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1


def test_the_library_for_virtual_cameras_is_asked_for_only_when_needed(room, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    assert main(["webcam", "--camera", str(room), "--no-preview"]) == 1
    assert 'pip install "bgmv2[webcam]"' in capsys.readouterr().err


def test_defaults_are_those_of_the_configuration(capsys):
    with pytest.raises(SystemExit):
        main(["webcam", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for default in ("(default: 1280x720)", "(default: blur)", "(default: auto)", "(default: 5.0)"):
        assert default in said
    assert "P plate anew" in said
