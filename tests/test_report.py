"""Numbers that mean what they say, a folder that survives every death, and a report that is whole or not there."""

from __future__ import annotations

import json
import math
import random
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from bgmv2 import report
from bgmv2.config import RunConfig
from bgmv2.errors import OutputError, OutputExistsError
from bgmv2.plate.align import Alignment
from bgmv2.report import Inspector, Observation, Recorder, Row, better, check_report
from bgmv2.types import Matte
from bgmv2.video import read_image

STILL = Alignment(np.eye(3), np.ones(3), np.zeros(3), "fixed")


def matte_of(pha, *, err=0.0, ref=0.0):
    """A matte whose expected error and refined patches are alike everywhere, or as given."""
    height, width = pha.shape[2:]
    size = (1, 1, math.ceil(height / 4), math.ceil(width / 4))
    err, ref = (x if torch.is_tensor(x) else torch.full(size, float(x)) for x in (err, ref))
    return Matte(pha, torch.full((1, 3, height, width), 0.5), err, ref)


def flat(value, height=24, width=32, channels=3):
    return torch.full((1, channels, height, width), float(value))


def observe(inspector, src, pha, **given):
    return inspector(src, matte_of(pha, **given), STILL, 0.0).row


class TestInspector:
    def test_shares_and_means_are_those_of_the_picture(self):
        err, ref = torch.zeros(1, 1, 6, 8), torch.zeros(1, 1, 6, 8)
        err[..., :2] = 0.2  # a quarter is uncertain
        ref[..., :1, :] = 1  # and of that, a sixth was refined
        pha = flat(0, channels=1)
        pha[..., :12, :] = 1
        row = observe(Inspector(), flat(0.5), pha, err=err, ref=ref)
        assert row.error == pytest.approx(0.05) and row.coverage == pytest.approx(0.5)
        assert row.refined == pytest.approx(1 / 6, abs=1e-6)
        assert row.uncertain == pytest.approx(0.25 * 5 / 6, abs=1e-6)

    def test_alignment_and_light_are_told(self):
        shifted = np.array([[1.0, 0, 3], [0, 1, -4], [0, 0, 1]])
        alignment = Alignment(
            shifted, np.array([1.1, 1, 0.9]), np.array([0, 0.01, 0.02]), "found", 90, 80, np.float64(0.1)
        )
        observation = Inspector(frames=7)(flat(0.5), matte_of(flat(0, channels=1)), alignment, 1.25)
        row = observation.row
        assert (row.frame, row.seconds, row.status, row.shift) == (7, 1.25, "found", 5.0)
        assert (row.matches, row.inliers, row.residual) == (90, 80, 0.1)
        assert row.gain == (1.1, 1, 0.9) and row.light == pytest.approx((1.1, 1.01, 0.92))
        assert Row.from_json(row.to_json()) == row

    def test_flicker_is_alpha_that_changes_where_the_picture_does_not(self):
        inspector = Inspector()
        src, pha = flat(0.5, 20, 40), flat(0, 20, 40, 1)
        assert observe(inspector, src, pha).flicker is None
        assert observe(inspector, src + 0.02, pha).flicker == 0
        changed = pha.clone()
        changed[..., :10] = 0.4  # a quarter of the picture
        assert observe(inspector, src, changed).flicker == pytest.approx(0.1)
        assert observe(inspector, src, changed).flicker == 0

    def test_alpha_that_follows_the_picture_is_no_flicker(self):
        inspector = Inspector()
        src, pha = flat(0.5, 20, 40), flat(0, 20, 40, 1)
        observe(inspector, src, pha)
        moved, follows = src.clone(), pha.clone()
        moved[..., :10] = 0.9
        follows[..., :11] = 1  # one pixel beside what moved, too
        assert observe(inspector, moved, follows).flicker == 0

    def test_where_nothing_is_still_nothing_is_said(self):
        inspector = Inspector()
        observe(inspector, flat(0.2), flat(0, channels=1))
        assert observe(inspector, flat(0.8), flat(1, channels=1)).flicker is None

    def test_a_primed_inspector_goes_on_as_if_it_had_seen_all(self):
        generator = torch.Generator().manual_seed(0)
        srcs = [flat(0.5) + 0.01 * torch.rand(1, 3, 24, 32, generator=generator) for _ in range(4)]
        mattes = [matte_of(torch.rand(1, 1, 24, 32, generator=generator)) for _ in srcs]
        whole, rest = Inspector(), Inspector(frames=3)
        *_, expected = [whole(src, matte, STILL, 0.0).row for src, matte in zip(srcs, mattes, strict=True)]
        rest.prime(srcs[2], mattes[2])
        assert rest(srcs[3], mattes[3], STILL, 0.0).row == expected and expected.flicker > 0

    @pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 47), (30, 1501)])
    def test_every_size_can_be_drawn(self, size):
        observation = Inspector()(flat(0.5, *size), matte_of(flat(0.5, *size, channels=1), ref=1), STILL, 0.0)
        _, height, width = observation.layers.shape
        assert max(height, width) <= 720 and observation.layers.dtype == torch.uint8
        assert report._strip(observation.layers).shape == (height, 5 * width, 3)

    def test_a_network_that_fails_is_the_worst_and_can_be_written_down(self):
        row = observe(Inspector(), flat(0.5), flat(math.nan, channels=1), err=math.nan)
        assert math.isnan(row.error) and row.score == math.inf and '"error": null' in row.to_json()
        assert math.isnan(Row.from_json(row.to_json()).coverage)


def test_what_is_drawn_is_what_was_seen():
    """Frame, green around the subject, alpha, expected error, and patches in colour on grey with red where any lack."""
    src, pha = flat(0.5), flat(0, channels=1)
    src[:, 0, :, 16:] = 1.0
    pha[..., 16:] = 1
    err, ref = torch.zeros(1, 1, 6, 8), torch.zeros(1, 1, 6, 8)
    err[..., :4, :] = 0.5
    ref[..., 4:] = 1
    strip = report._strip(Inspector()(src, matte_of(pha, err=err, ref=ref), STILL, 0.0).layers)
    frame, green, alpha, heat, patches = np.hsplit(strip, 5)
    assert frame[4, 4].tolist() == [128, 128, 128] and frame[4, 28].tolist() == [255, 128, 128]
    assert green[4, 4].tolist() == [0, 177, 64] and green[4, 28].tolist() == [128, 128, 128]
    assert alpha[4, 4].tolist() == [0, 0, 0] and alpha[4, 28].tolist() == [255, 255, 255]
    assert heat[4, 4].min() > 150 > 10 > heat[23, 4].max()
    assert patches[4, 28].tolist() == [255, 128, 128] and patches[23, 4].tolist() == [32, 32, 32]
    assert patches[4, 4].tolist() == list(report._RED)


ROW = Row(0, 0.0, "found", 1.5, 300, 280, 0.1, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), 0.005, 0.06, 0.0, 0.3, 0.0001)


def made_up(count, *, seed=0, rate=25, **values):
    """Observations of frames that are differently bad, each with a picture of its own."""
    rng = random.Random(seed)
    for frame in range(count):
        row = replace(ROW, frame=frame, seconds=frame / rate, error=round(rng.random() / 50, 6), **values)
        yield Observation(row, torch.full((9, 6, 8), frame % 256, dtype=torch.uint8))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def recorded(folder, first, second=(), **kept):
    """What stands in a recorder's folder after frames of the first and of the second pass."""
    with Recorder(folder, **kept) as recorder:
        for observation in first:
            recorder.add(observation)
        for observation in second:
            recorder.replace(observation)
    return content(folder)


@pytest.fixture
def few(monkeypatch):
    """Keep few pictures, so that short clips have too many."""
    monkeypatch.setattr(report, "_WORST", 3)
    monkeypatch.setattr(report, "_SPREAD", 6)


class TestRecorder:
    def test_rows_come_back_as_they_went_in(self, tmp_path):
        seen = list(made_up(40))
        with Recorder(tmp_path / "parts") as recorder:
            for observation in seen:
                recorder.add(observation)
            assert recorder.frames == 40 and list(recorder.rows()) == [observation.row for observation in seen]

    def test_the_worst_are_the_worst_of_ten_half_seconds(self, tmp_path):
        rows = [observation.row for observation in made_up(1000)]
        worst = report._Worst()
        for row in rows:
            worst.offer(row)
        slots = {}
        for row in rows:
            slots.setdefault(int(row.seconds * 2), []).append(row)
        best = sorted((max(slot, key=lambda row: row.score) for slot in slots.values()), key=lambda row: -row.score)
        assert worst.frames() == [row.frame for row in best[:10]]

    def test_pictures_are_few_however_long_the_clip(self, tmp_path):
        folder = tmp_path / "parts"
        with Recorder(folder) as recorder:
            for observation in made_up(200):
                recorder.add(observation)
                kept = {int(path.stem[6:]) for path in folder.glob("frame-*.png")}
                spread = [frame for frame in kept if frame % report._stride(recorder.frames, 24) == 0]
                assert len(kept) <= 34 and min(12, recorder.frames) <= len(spread) <= 24 + 10
        assert set(range(0, 200, 16)) <= kept  # 13 of them; every 8th would be 25
        assert set(recorder._worst.frames()) <= kept

    @pytest.mark.parametrize("cut", range(33))
    def test_a_run_that_goes_on_ends_like_one_that_never_stopped(self, tmp_path, few, cut):
        observations = list(made_up(32, rate=8))
        expected = recorded(tmp_path / "whole", observations)
        beyond = random.Random(cut).randint(cut, 32)
        recorded(tmp_path / "killed", observations[:beyond])
        with (tmp_path / "killed" / "frames.jsonl").open("ab") as file:
            file.write(b'{"frame": 9')
        (tmp_path / "killed" / ".frame-000003-0123abcd.png").write_bytes(b"half")
        with Recorder(tmp_path / "killed", frames=cut) as recorder:
            assert [row.frame for row in recorder.rows()] == list(range(cut))
        assert recorded(tmp_path / "killed", observations[cut:], frames=cut) == expected

    @pytest.mark.parametrize("cut", range(13))
    def test_a_second_pass_goes_on_as_well(self, tmp_path, few, cut):
        first, other = list(made_up(32, rate=8)), list(made_up(32, seed=1, rate=8))
        second = other[5:11] + other[20:26]
        expected = recorded(tmp_path / "whole", first, second)
        recorded(tmp_path / "killed", first, second[: random.Random(cut).randint(cut, 12)])
        found = recorded(tmp_path / "killed", [], second[cut:], frames=32, repaired=cut)
        assert found == expected
        with Recorder(tmp_path / "killed", frames=32, repaired=12) as recorder:
            assert [row.frame for row in recorder.rows() if row.repaired] == [*range(5, 11), *range(20, 26)]
            assert [row.frame for row in recorder.rows()] == list(range(32))

    def test_what_was_flushed_stays_whatever_happens(self, tmp_path):
        with Recorder(tmp_path) as recorder:
            for observation in made_up(30):
                recorder.add(observation)
            recorder.flush()
            assert (tmp_path / "frames.jsonl").read_bytes().count(b"\n") == 30

    def test_a_new_run_leaves_nothing_of_an_old_one(self, tmp_path):
        with Recorder(tmp_path) as recorder:
            for observation in made_up(30):
                recorder.add(observation)
            recorder.replace(next(made_up(1)))
        with Recorder(tmp_path) as recorder:
            assert list(recorder.rows()) == []
        assert sorted(content(tmp_path)) == ["frames.jsonl", "repairs.jsonl"]

    @pytest.mark.parametrize(
        "damage", [lambda text: text[:-5], lambda text: "x" + text[1:], lambda text: text.replace("error", "mistake")]
    )
    def test_a_damaged_folder_is_told(self, tmp_path, damage):
        with Recorder(tmp_path) as recorder:
            for observation in made_up(3):
                recorder.add(observation)
        rows = tmp_path / "frames.jsonl"
        rows.write_text(damage(rows.read_text()))
        with pytest.raises(OutputError, match=r"frames\.jsonl is damaged: start anew with --overwrite"):
            Recorder(tmp_path, frames=3)

    def test_frames_come_in_order(self, tmp_path):
        one, two, three = made_up(3)
        with Recorder(tmp_path) as recorder:
            recorder.add(one)
            recorder.add(two)
            with pytest.raises(ValueError, match="frame 2 is the next"):
                recorder.add(two)
            with pytest.raises(ValueError, match="frames . to 1 can be replaced"):
                recorder.replace(three)
            recorder.replace(two)
            with pytest.raises(ValueError, match="frames . to 1 can be replaced"):
                recorder.replace(one)

    def test_a_folder_that_cannot_be_written_is_told_in_one_line(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot be written"):
            Recorder(tmp_path / "file")
        with pytest.raises(OutputError, match="cannot be written"):
            Recorder(tmp_path / "no" / "folder")


def spans_of(tmp_path, values, **given):
    with Recorder(tmp_path) as recorder:
        for frame, value in enumerate(values):
            row = replace(ROW, frame=frame, seconds=frame / 25, **value)
            recorder.add(Observation(row, torch.zeros(9, 2, 2, dtype=torch.uint8)))
        return recorder.bad_spans(**given)


class TestBadSpans:
    @pytest.mark.parametrize("bad", [{"uncertain": 0.002}, {"flicker": 0.0011}, {"error": 0.014}])
    def test_a_bad_frame_takes_its_neighbours_along(self, tmp_path, bad):
        assert spans_of(tmp_path, [{}] * 30 + [bad] + [{}] * 30) == [range(25, 36)]

    @pytest.mark.parametrize("fine", [{}, {"uncertain": 0.0009}, {"flicker": 0.0009}, {"error": 0.009}])
    def test_a_frame_a_little_worse_is_not_bad(self, tmp_path, fine):
        assert spans_of(tmp_path, [{}] * 30 + [fine] + [{}] * 30) == []

    def test_a_clip_that_is_bad_throughout_is_measured_by_itself(self, tmp_path):
        rough = {"error": 0.02, "flicker": 0.002}
        assert spans_of(tmp_path, [rough] * 30 + [{"error": 0.06, "flicker": 0.002}] + [rough] * 30) == [range(25, 36)]

    def test_ranges_stay_in_the_clip_and_those_that_meet_are_one(self, tmp_path):
        bad = {2, 20, 31, 50, 62, 78}
        spans = spans_of(tmp_path, [{"uncertain": 0.01 if frame in bad else 0.0} for frame in range(80)])
        assert spans == [range(0, 8), range(15, 37), range(45, 56), range(57, 68), range(73, 80)]

    def test_the_same_again_helps_only_what_was_not_refined(self, tmp_path):
        values = [{}] * 30 + [{"error": 0.1, "flicker": 0.1}] + [{}] * 30 + [{"uncertain": 0.01}]
        assert spans_of(tmp_path, values, rescaled=False) == [range(56, 62)]

    def test_a_clip_without_frames_has_none(self, tmp_path):
        assert spans_of(tmp_path, []) == []

    def test_the_answer_stays_the_same_during_the_second_pass(self, tmp_path):
        with Recorder(tmp_path) as recorder:
            for observation in made_up(40, uncertain=0.01):
                recorder.add(observation)
            before = recorder.bad_spans()
            recorder.replace(next(made_up(1)))
            assert recorder.bad_spans() == before == [range(40)]


@pytest.mark.parametrize(
    ("run", "size", "expected"),
    [
        (RunConfig(), (1920, 1080), (0.375, "thresholding", 0.05)),
        (RunConfig(), (3840, 2160), (0.1875, "thresholding", 0.05)),
        (RunConfig(), (1280, 720), (0.5, "thresholding", 0.05)),
        (RunConfig(scale=0.1, refine="thresholding", threshold=0.02), (640, 480), (0.15, "thresholding", 0.02)),
        (RunConfig(scale=0.4, refine="full"), (640, 480), (0.5, "full", None)),
    ],
)
def test_a_second_pass_gets_more(run, size, expected):
    more = better(run, width=size[0], height=size[1])
    assert (pytest.approx(more.scale), more.refine, more.threshold) == expected


@pytest.fixture
def recorder(tmp_path):
    """Sixty frames, of which ten were made anew; one of the others is NaN."""
    with Recorder(tmp_path / "parts") as recorder:
        for observation in made_up(60, flicker=None):
            if observation.row.frame == 33:
                observation = replace(observation, row=replace(observation.row, error=math.nan, status="held"))
            recorder.add(observation)
        for observation in list(made_up(60, seed=1))[10:20]:
            recorder.replace(observation)
        yield recorder


class TestPublish:
    def test_all_is_there(self, recorder, tmp_path):
        recorder.publish(tmp_path / "report.json", clip="a ä.mp4", settings={"run": {"scale": 0.5}, "path": tmp_path})
        told = json.loads((tmp_path / "report.json").read_text())
        assert told["clip"] == "a ä.mp4" and told["settings"] == {"run": {"scale": 0.5}, "path": str(tmp_path)}
        assert [row["frame"] for row in told["frames"]] == list(range(60))
        assert [row["frame"] for row in told["frames"] if row["repaired"]] == list(range(10, 20))
        assert told["frames"][33]["error"] is None and told["frames"][3]["gain"] == [1.0, 1.0, 1.0]
        summary = told["summary"]
        assert summary["frames"] == 60 and summary["alignment"] == {"found": 59, "held": 1}
        errors = {row["frame"]: row["error"] for row in told["frames"] if row["error"] is not None}
        assert summary["error"]["median"] == pytest.approx(np.median(list(errors.values())), abs=1e-6)
        assert summary["error"]["frame"] == max(errors, key=errors.get)
        assert (summary["error"]["least"], summary["error"]["most"]) == (min(errors.values()), max(errors.values()))
        (span,) = summary["repaired"]
        assert (span["first"], span["last"]) == (10, 19)
        before = [observation.row.error for observation in made_up(60)][10:20]
        assert span["error"] == pytest.approx([np.mean(before), np.mean([errors[i] for i in range(10, 20)])], abs=1e-6)

    def test_the_pictures_are_those_of_the_worst_frames(self, recorder, tmp_path):
        recorder.publish(tmp_path / "report.json", clip="a", settings={})
        worst = json.loads((tmp_path / "report.json").read_text())["summary"]["worst"]
        assert worst[0]["frame"] == 33 and worst[0]["score"] is None  # NaN
        assert worst[0]["picture"] == "report/worst-01-frame-000033.png"
        scores = [entry["score"] for entry in worst[1:]]
        assert scores == sorted(scores, reverse=True) and len(worst) == 5  # half seconds
        named = {entry["picture"].removeprefix("report/") for entry in worst}
        assert {path.name for path in (tmp_path / "report").iterdir()} == {"sheet.png", "curves.png", *named}
        assert all(read_image(path).std() > 1 for path in (tmp_path / "report").iterdir())

    def test_a_run_that_went_on_publishes_the_same(self, recorder, tmp_path):
        recorder.publish(tmp_path / "a.json", clip="a", settings={})
        recorder.flush()
        with Recorder(tmp_path / "parts", frames=60, repaired=10) as again:
            again.publish(tmp_path / "b.json", clip="a", settings={})
        assert content(tmp_path / "a") == content(tmp_path / "b")
        assert (tmp_path / "a.json").read_text().replace("a/worst", "b/worst") == (tmp_path / "b.json").read_text()

    def test_nothing_is_replaced_unasked(self, recorder, tmp_path):
        path = tmp_path / "report.json"
        path.write_text("mine")
        with pytest.raises(OutputExistsError, match="is there already"):
            recorder.publish(path, clip="a", settings={})
        assert path.read_text() == "mine" and not (tmp_path / "report").exists()
        recorder.publish(path, clip="a", settings={}, overwrite=True)
        path.unlink()
        with pytest.raises(OutputExistsError, match="report is there already"):
            recorder.publish(path, clip="a", settings={})
        recorder.publish(path, clip="b", settings={}, overwrite=True)
        assert json.loads(path.read_text())["clip"] == "b"

    def test_a_folder_with_other_things_is_never_replaced(self, recorder, tmp_path):
        (tmp_path / "holiday").mkdir()
        (tmp_path / "holiday" / "beach.jpg").write_bytes(b"sun")
        with pytest.raises(OutputError, match=r"holds more than a report's pictures, such as beach\.jpg"):
            recorder.publish(tmp_path / "holiday.json", clip="a", settings={}, overwrite=True)
        assert (tmp_path / "holiday" / "beach.jpg").read_bytes() == b"sun"

    def test_nothing_half_written_stays(self, recorder, tmp_path, monkeypatch):
        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(report, "_curves", full)
        with pytest.raises(OutputError, match=r"report\.json cannot be written: No space left on device; make room"):
            recorder.publish(tmp_path / "report.json", clip="a", settings={})
        assert [path.name for path in tmp_path.iterdir()] == ["parts"]

    def test_a_picture_that_a_power_cut_took_is_left_out(self, recorder, tmp_path):
        (tmp_path / "parts" / "frame-000033.png").unlink()
        (tmp_path / "parts" / "frame-000000.png").write_bytes(b"")
        recorder.publish(tmp_path / "report.json", clip="a", settings={})
        worst = json.loads((tmp_path / "report.json").read_text())["summary"]["worst"]
        assert 33 not in [entry["frame"] for entry in worst] and worst[0]["rank"] == 1

    @pytest.mark.parametrize("count", [0, 1])
    def test_a_short_clip_can_be_published(self, tmp_path, count):
        with Recorder(tmp_path / "parts") as recorder:
            for observation in made_up(count):
                recorder.add(observation)
            recorder.publish(tmp_path / "report.json", clip="a", settings={})
        assert len(json.loads((tmp_path / "report.json").read_text())["frames"]) == count

    def test_memory_does_not_grow_with_the_clip(self, tmp_path, monkeypatch):
        alive, most, original = weakref.WeakSet(), [0], Row.from_json

        def counted(line):
            row = original(line)
            alive.add(row)
            most[0] = max(most[0], len(alive))
            return row

        with Recorder(tmp_path / "parts") as recorder:
            for observation in made_up(600, rate=1000):  # of two slots, so that few are drawn
                recorder.add(observation)
            monkeypatch.setattr(Row, "from_json", counted)
            recorder.publish(tmp_path / "report.json", clip="a", settings={})
        assert most[0] <= 40
        assert len(json.loads((tmp_path / "report.json").read_text())["frames"]) == 600


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report.txt", r"does not end in \.json, as a report does: call it report\.txt\.json"),
        ("no/report.json", "there is no folder"),
        ("file.json", "is a file, but the report's pictures go into a folder of that name"),
    ],
)
def test_a_report_that_cannot_be_written_is_told_before_work_starts(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=message):
        check_report(tmp_path / name, overwrite=True)
