"""The studio on a camera that does what a list says; the clock is that of the frames."""

import cv2
import numpy as np
import pytest
import torch

from bgmv2.config import LiveConfig
from bgmv2.errors import PlateError
from bgmv2.live.shelf import Shelf
from bgmv2.live.studio import GUIDE
from bgmv2.matter import Matter
from bgmv2.types import Plate
from bgmv2.video import write_image
from bgmv2.video.camera import Feed, Outage

GREEN = np.array((0, 177, 64), np.uint8)


def play(studio, frames):
    return [studio(frame) for frame in frames]


def room_share(picture, pixels, pha):
    """The share of the true background in which a picture shows the frame's pixels and not the backdrop."""
    room = cv2.dilate(pha, np.ones((5, 5), np.uint8)) == 0
    shown = picture[room].astype(int)
    near_room = np.abs(shown - pixels[room]).max(axis=1) < 40
    near_backdrop = np.abs(shown - GREEN).max(axis=1) < 40
    return float((near_room & ~near_backdrop).mean())


def knocked(pixels):
    matrix = cv2.getRotationMatrix2D((160, 90), 5, 1)
    matrix[:, 2] += 60, 20
    return cv2.warpAffine(pixels, matrix, (320, 180), borderMode=cv2.BORDER_REFLECT)


def nudged(pixels):
    matrix = cv2.getRotationMatrix2D((160, 90), 2, 1)
    matrix[:, 2] += 16, 4
    return cv2.warpAffine(pixels, matrix, (320, 180), borderMode=cv2.BORDER_REFLECT)


def dark(pixels):
    return np.clip(pixels * 0.12, 0, 255).astype(np.uint8)


def broken(pixels):
    return np.concatenate([pixels[:60], np.roll(pixels[60:], 140, axis=1)])


@pytest.mark.parametrize("mode", ["blur", "freeze"])
@pytest.mark.parametrize("mishap", [knocked, dark, broken])
def test_no_pixel_of_the_room_is_shown_from_the_very_frame_on(make_studio, sample, frames_of, mishap, mode):
    studio = make_studio(live=LiveConfig(on_mismatch=mode))
    # 10 frames a second, so that some have been proven safe.
    clean, wrong = sample.frames[:16], [mishap(pixels) for pixels in sample.frames[16:19]]
    before = play(studio, frames_of(clean, rate=10))
    assert [shown.phase for shown in before[-4:]] == ["live"] * 4
    during = play(studio, frames_of(wrong, start=102, rate=10))
    assert {shown.phase for shown in during} == {"mismatch"} and not any(shown.stamp for shown in during)
    assert all("P: plate anew" in shown.note for shown in during)
    safe = [shown.picture for shown in before if shown.phase == "live"]
    for shown in during:
        assert np.array_equal(shown.picture, during[0].picture)
        is_earlier = any(np.array_equal(shown.picture, picture) for picture in safe)
        # Frozen it is a picture that was seen before; out of focus it is none, but is made of one.
        assert is_earlier == (mode == "freeze")
        for pixels, pha in zip(wrong, sample.phas[16:19], strict=True):
            assert room_share(shown.picture, pixels, pha) < 0.02
    # The last pictures before it are not trusted.
    assert not any(np.array_equal(during[0].picture, shown.picture) for shown in before[-5:])


def test_a_camera_that_was_nudged_is_followed_to_where_it_looks_now(make_studio, sample, frames_of):
    studio = make_studio()
    wrong = [nudged(pixels) for pixels in sample.frames[8:20]]
    shown = play(studio, frames_of([*sample.frames[:8], *wrong]))[8:]
    assert [one.phase for one in shown[:3]] == ["mismatch"] * 3 and shown[-1].phase == "live"
    for one, pixels, pha in zip(shown, wrong, sample.phas[8:20], strict=True):
        room = nudged(np.dstack([pha] * 3))[..., 0]
        assert one.phase == "mismatch" or room_share(one.picture, pixels, room) < 0.02


def test_a_camera_that_looks_beyond_the_plate_is_not_followed(make_studio, sample, frames_of):
    studio = make_studio()
    pictures = [*sample.frames[:8], *(knocked(pixels) for pixels in sample.frames[8:20])]
    assert [one.phase for one in play(studio, frames_of(pictures))[8:]] == ["mismatch"] * 12


def test_it_recovers_by_itself_and_shows_no_room_then_either(make_studio, sample, frames_of):
    studio = make_studio()
    pictures = [*sample.frames[:8], *map(dark, sample.frames[8:12]), *sample.frames[12:24]]
    shown = play(studio, frames_of(pictures))
    assert [one.phase for one in shown[8:12]] == ["mismatch"] * 4
    assert shown[-1].phase == "live"
    for one, pixels, pha in zip(shown, pictures, sample.phas, strict=False):
        assert room_share(one.picture, pixels, pha) < 0.02


def test_the_room_can_be_shown_if_somebody_wants_that(make_studio, sample, frames_of):
    studio = make_studio(live=LiveConfig(on_mismatch="show"))
    shown = play(studio, frames_of([*sample.frames[:6], dark(sample.frames[6])]))
    assert shown[-1].phase == "mismatch" and shown[-1].stamp is not None
    assert room_share(shown[-1].picture, dark(sample.frames[6]), sample.phas[6]) > 0.3


def test_before_the_plate_has_proved_itself_only_the_backdrop_is_shown(make_studio, sample, frames_of):
    first = play(make_studio(), frames_of(sample.frames[:1]))[0]
    assert first.phase == "mismatch" and np.array_equal(first.picture, np.broadcast_to(GREEN, (180, 320, 3)))


def test_a_backdrop_of_the_room_out_of_focus_is_no_cover(make_studio, sample, frames_of):
    first = play(make_studio(backdrop="blur"), frames_of(sample.frames[:1]))[0]
    assert first.picture.reshape(-1, 3).std(axis=0).max() < 1  # one dark colour


def test_an_outage_keeps_the_last_safe_picture_and_says_why(make_studio, sample, frames_of):
    studio = make_studio(live=LiveConfig(on_mismatch="freeze"))
    before = play(studio, frames_of(sample.frames[:12], rate=10))
    away = play(studio, [Outage("desk is gone")] * 3)
    assert {(one.phase, one.note) for one in away} == {("outage", "desk is gone")}
    assert any(np.array_equal(away[0].picture, one.picture) for one in before if one.phase == "live")
    again = play(studio, frames_of(sample.frames[12:20], start=110, rate=10))
    assert again[-1].phase == "live"


def guided(make_studio, script, tmp_path=None, *, asks=False, name="desk"):
    camera = script([], name=name)
    feed = Feed(camera, lambda: camera)
    shelf = None if tmp_path is None else Shelf(tmp_path)
    return make_studio(feed=feed, given=False, shelf=shelf, asks=asks), feed


def noisy(picture, count, seed=0):
    rng = np.random.default_rng(seed)
    return [np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def test_the_plate_is_taken_of_the_empty_room_after_a_countdown(make_studio, script, sample, frames_of, tmp_path):
    studio, feed = guided(make_studio, script, tmp_path)
    pictures = [*sample.frames[:10], *noisy(sample.plate, 21), *sample.frames[10:20]]
    shown = play(studio, frames_of(pictures, rate=10))
    phases = [one.phase for one in shown]
    assert phases[:10] == ["countdown"] * 10 and "taking" in phases and phases[-1] == "live"
    assert shown[0].note == f"{GUIDE}: 1" and feed._wished is True  # exposure is held from then on
    # Others see nothing of it, the person at the camera sees himself.
    assert all(np.array_equal(one.picture, shown[0].picture) for one in shown[:25])
    assert np.array_equal(shown[3].view, pictures[3])
    assert any(one.note.startswith("plate good") or one.note.startswith("plate usable") for one in shown[-5:])


def test_a_plate_is_kept_and_used_again(make_studio, script, sample, frames_of, tmp_path):
    pictures = [*sample.frames[:10], *noisy(sample.plate, 21)]
    play(guided(make_studio, script, tmp_path)[0], frames_of(pictures, rate=10))
    shown = play(guided(make_studio, script, tmp_path)[0], frames_of(sample.frames[:6]))
    assert shown[-1].phase == "live" and shown[-1].note == "plate of just now"
    other = play(guided(make_studio, script, tmp_path, name="lid")[0], frames_of(sample.frames[:1]))
    assert other[0].phase == "countdown"


def test_a_kept_plate_that_does_not_fit_gives_way_to_a_new_one(make_studio, script, sample, frames_of, tmp_path):
    pictures = [*sample.frames[:10], *noisy(sample.plate, 21)]
    play(guided(make_studio, script, tmp_path)[0], frames_of(pictures, rate=10))
    turned = [np.ascontiguousarray(pixels[::-1]) for pixels in sample.frames[:20]] * 2
    shown = play(guided(make_studio, script, tmp_path)[0], frames_of(turned, rate=10))
    assert "live" not in {one.phase for one in shown} and shown[-1].phase in ("countdown", "taking")


def test_a_plate_with_somebody_moving_on_it_is_asked_about(make_studio, script, sample, frames_of):
    studio, _ = guided(make_studio, script, asks=True)
    moving = [
        cv2.circle(pixels, (20 * number, 60), 25, (250, 20, 20), -1)
        for number, pixels in enumerate(noisy(sample.plate, 30))
    ]
    shown = play(studio, frames_of(moving, rate=10))
    assert shown[-1].phase == "asking" and "moved while the plate was taken" in shown[-1].note
    studio.wish("go")
    shown = play(studio, frames_of(noisy(sample.plate, 4, seed=1), start=110))
    assert "asking" not in {one.phase for one in shown}


def test_exposure_that_settles_once_it_is_held_spoils_no_plate(make_studio, script, sample, frames_of):
    studio, _ = guided(make_studio, script, asks=True)
    empty = noisy(sample.plate, 30)
    empty[:3] = [dark(pixels) for pixels in empty[:3]]
    shown = play(studio, frames_of([*sample.frames[:10], *empty], rate=10))
    assert "asking" not in {one.phase for one in shown} and shown[-1].phase == "live"


@pytest.mark.parametrize("asks", [True, False])
def test_a_plate_from_which_nobody_left_is_asked_about_and_never_kept(
    make_studio, script, sample, frames_of, tmp_path, asks
):
    """Who sits still all the time is on it."""
    studio, _ = guided(make_studio, script, tmp_path, asks=asks)
    shown = play(studio, frames_of(noisy(sample.frames[0], 40), rate=10))
    if asks:
        assert shown[-1].phase == "asking" and "no subject was found" in shown[-1].note
    assert guided(make_studio, script, tmp_path)[0]._shelf.get("desk", (320, 180)) is None


def test_a_patch_of_sunlight_that_grows_is_followed(make_studio, sample, frames_of):
    y, x = np.mgrid[:180, :320]
    # Small and bright: the network itself does not take light for somebody that is large or faint.
    patch = np.exp(-(((x - 275) / 10) ** 2 + ((y - 50) / 10) ** 2))[..., None]
    lit = [
        np.clip(sample.frames[index % 30] * (1 + 0.02 * index * patch), 0, 255).astype(np.uint8) for index in range(60)
    ]
    alphas = {}
    for name in ("every", "first"):
        studio = make_studio(align=name)
        studio.wish("view")  # alpha
        alphas[name] = play(studio, frames_of(lit))[-1].view[35:65, 260:290].mean()
    assert alphas["every"] < 20 < 60 < alphas["first"]


def test_what_a_camera_missed_of_the_countdown_is_counted_again(make_studio, script, sample, frames_of):
    studio, _ = guided(make_studio, script)
    play(studio, frames_of(sample.frames[:8], rate=10))
    assert studio(Outage("unplugged")).phase == "outage"
    shown = play(studio, frames_of(sample.frames[8:10], start=130, rate=10))
    assert shown[0].phase == "countdown" and shown[0].note == f"{GUIDE}: 1"


def test_pictures_that_show_no_one_view_are_asked_about(make_studio, script, sample, frames_of, monkeypatch):
    def carried(taker):
        raise PlateError("the camera of desk moves so far")

    monkeypatch.setattr("bgmv2.live.capture.Taker.finish", carried)
    studio, _ = guided(make_studio, script, asks=True)
    shown = play(studio, frames_of([*sample.frames[:10], *noisy(sample.plate, 21)], rate=10))
    assert shown[-1].phase == "asking" and "moves so far" in shown[-1].note
    studio.wish("go")  # there is nothing to take
    assert play(studio, frames_of(sample.frames[:1], start=140))[0].phase == "asking"
    headless, _ = guided(make_studio, script)
    with pytest.raises(PlateError, match="moves so far"):
        play(headless, frames_of(noisy(sample.plate, 120), rate=10))


def test_through_a_transparent_backdrop_no_room_is_seen(make_studio, sample, frames_of, tmp_path):
    path = tmp_path / "glass.png"
    write_image(path, np.zeros((180, 320, 4), np.uint8))
    shown = play(make_studio(backdrop=str(path)), frames_of(sample.frames[:5]))[-1]
    assert shown.phase == "live"
    behind = cv2.dilate(sample.phas[4], np.ones((9, 9), np.uint8)) == 0
    assert shown.picture[behind].std(axis=0).max() < 6 and shown.picture[behind].mean() < 60


@pytest.fixture
def like_rooms():
    """Rooms of one wall with other furniture."""

    def make(seed):
        rng = np.random.default_rng(seed)
        picture = np.full((180, 320, 3), (205, 200, 190), np.uint8)
        for _ in range(6):
            x, y, w, h = (int(rng.integers(*span)) for span in ((-20, 300), (70, 170), (25, 80), (25, 90)))
            cv2.rectangle(picture, (x, y), (x + w, y + h), rng.integers(20, 230, 3).tolist(), -1)
            for k in range(4):
                at = x + int(w * (k + 0.5) / 4)
                cv2.line(picture, (at, y), (at, y + h), rng.integers(20, 230, 3).tolist(), 2)
        return cv2.GaussianBlur(picture, (0, 0), 0.7)

    return make


@pytest.mark.parametrize("other", [2, 3, 5])
def test_another_room_with_a_like_wall_is_never_shown(make_studio, sample, frames_of, like_rooms, tmp_path, other):
    write_image(tmp_path / "room.png", like_rooms(1))
    studio = make_studio(plate=str(tmp_path / "room.png"), given=False)

    def film(room, numbers):
        for index in numbers:
            pha = sample.phas[index][..., None] / 255
            yield np.clip(pha * sample.frames[index] + (1 - pha) * room, 0, 255).astype(np.uint8)

    before = play(studio, frames_of([*film(like_rooms(1), range(8))]))
    there = [*film(like_rooms(other), range(8, 24))]
    shown = play(studio, frames_of(there, start=101))
    assert before[-1].phase == "live" and {one.phase for one in shown} == {"mismatch"}


def test_where_nobody_can_be_asked_a_bad_plate_is_taken_anew_and_then_refused(make_studio, script, frames_of):
    studio, _ = guided(make_studio, script)
    black = [np.zeros((180, 320, 3), np.uint8)] * 200
    with pytest.raises(PlateError, match="plate reshoot"):
        play(studio, frames_of(black, rate=10))
    assert studio._attempts == 3


def test_a_new_plate_can_be_wished_at_any_time(make_studio, sample, frames_of):
    studio = make_studio()
    play(studio, frames_of(sample.frames[:6]))
    studio.wish("plate")
    shown = play(studio, frames_of([*sample.frames[6:16], *noisy(sample.plate, 21), *sample.frames[16:28]], rate=10))
    phases = [one.phase for one in shown]
    assert phases[0] == "countdown" and phases[-1] == "live"


def test_another_size_needs_another_plate_and_comes_out_as_the_first(make_studio, script, sample, frames_of):
    studio, _ = guided(make_studio, script)
    small = [cv2.resize(pixels, (240, 180)) for pixels in (*sample.frames[:10], *noisy(sample.plate, 21))]
    first = play(studio, frames_of([*sample.frames[:3]]))
    later = play(
        studio, frames_of([*small, *(cv2.resize(p, (240, 180)) for p in sample.frames[:8])], start=101, rate=10)
    )
    assert first[0].phase == "countdown" and later[-1].phase == "live"
    assert {one.picture.shape for one in (*first, *later)} == {(180, 320, 3)}


def test_a_given_plate_of_another_shape_is_refused_at_the_start_only(make_studio, sample, frames_of):
    studio = make_studio()
    play(studio, frames_of(sample.frames[:3]))
    square = [np.ascontiguousarray(pixels[:, :180]) for pixels in sample.frames[:2]]
    assert play(studio, frames_of(square))[-1].phase == "countdown"


def test_views_are_for_the_preview_only(make_studio, sample, frames_of):
    studio = make_studio()
    play(studio, frames_of(sample.frames[:5]))
    seen = {}
    for number in range(5, 9):
        one = play(studio, frames_of([sample.frames[number]], start=100 + number))[0]
        seen[studio._view] = one
        assert one.picture.shape == (180, 320, 3) and (one.picture[0, 0] == GREEN).all()
        studio.wish("view")
    assert list(seen) == ["composite", "alpha", "error", "side by side"]
    assert np.array_equal(seen["composite"].view, seen["composite"].picture)
    alpha = seen["alpha"].view
    assert alpha.shape == (180, 320, 3) and alpha[150, 160].min() > 200 and alpha[5, 5].max() < 30
    assert seen["side by side"].view.shape == (180, 640, 3)
    assert np.array_equal(seen["side by side"].view[:, :320], sample.frames[8])


def test_backdrops_follow_each_other(make_studio, sample, frames_of, tmp_path):
    write_image(tmp_path / "a.png", np.full((18, 32, 3), (200, 0, 0), np.uint8))
    write_image(tmp_path / "b.png", np.full((18, 32, 3), (0, 0, 200), np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    studio = make_studio(backdrop=str(tmp_path))
    corners = []
    for number in range(8):
        one = play(studio, frames_of([sample.frames[number]], start=100 + number / 30))[0]
        corners.append(tuple(one.picture[0, 0]))
        if number >= 3:
            studio.wish("backdrop")
    assert corners[3] == (200, 0, 0) and corners[4] == (0, 0, 200)
    assert corners[6] == (0, 177, 64) and corners[7] == (200, 0, 0)
    assert corners[5] not in corners[:5]  # the room out of focus


def test_nothing_is_matted_while_nobody_watches(make_studio, sample, frames_of, monkeypatch):
    studio = make_studio()
    play(studio, frames_of(sample.frames[:5]))
    studio.is_idle = True
    monkeypatch.setattr(Matter, "matte", None)
    assert {one.phase for one in play(studio, frames_of(sample.frames[5:8]))} == {"idle"}
    monkeypatch.undo()
    studio.is_idle = False
    assert play(studio, frames_of(sample.frames[8:14]))[-1].phase == "live"


def test_effort_is_lowered_until_the_rate_is_held_but_not_what_was_chosen(make_studio, sample, frames_of, weights):
    studio = make_studio(live=LiveConfig(fps=1000.0), matter=Matter(weights, scale=0.5))
    play(studio, frames_of([*sample.frames, *sample.frames]))
    assert studio.effort == "scale 1/2, 225 pixels refined"


def test_the_shelf_tells_cameras_and_sizes_apart(tmp_path):
    shelf = Shelf(tmp_path / "plates")
    paths = {shelf.path_of(name, size) for name in ("Cam!", "Cam?", "日本") for size in ((64, 48), (48, 64))}
    assert len(paths) == 6
    assert shelf.get("Cam!", (64, 48)) is None
    (tmp_path / "plates").mkdir()
    shelf.path_of("Cam!", (64, 48)).write_bytes(b"no picture")
    assert shelf.get("Cam!", (64, 48)) is None
    write_image(shelf.path_of("Cam!", (64, 48)), np.zeros((48, 64, 3), np.uint8), overwrite=True)
    plate, age = shelf.get("Cam!", (64, 48))
    assert isinstance(plate, Plate) and plate.bgr.shape == torch.Size((3, 48, 64)) and age == "just now"
