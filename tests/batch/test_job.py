"""A job goes through JSON unchanged, and its fingerprint tells apart what makes a difference."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from fractions import Fraction

import pytest

import bgmv2
from bgmv2.batch import Job
from bgmv2.config import CheckConfig


@pytest.fixture
def job(tmp_path):
    for name in ("a.mp4", "plate.png", "sea.jpg", "g.png", "w.pth"):
        (tmp_path / name).write_bytes(name.encode())
    return Job(
        clip=str(tmp_path / "a.mp4"),
        plate=str(tmp_path / "plate.png"),
        results={"com": str(tmp_path / "out/a.com.mp4"), "pha": str(tmp_path / "out/a.pha/")},
        backdrop=str(tmp_path / "sea.jpg"),
        composite=bgmv2.CompositeConfig(garbage=str(tmp_path / "g.png"), keep_shadow=0.5),
        read=bgmv2.ReadConfig(start=1.5, rate=Fraction(24000, 1001)),
        run=bgmv2.RunConfig(weights=str(tmp_path / "w.pth"), refine="full"),
        encode=bgmv2.EncodeConfig(crf=3, overwrite=True),
        check=CheckConfig(report=str(tmp_path / "out/a.report.json"), verify=True),
    )


def test_json_there_and_back(job):
    assert Job.from_json(job.to_json()) == job
    plain = Job(clip="a", plate="b", results={"com": "c.mp4"})
    assert Job.from_json(plain.to_json()) == plain


def test_what_is_read_and_written(job, tmp_path):
    names = ["a.mp4", "plate.png", "sea.jpg", "g.png", "w.pth"]
    assert job.inputs() == [str(tmp_path / name) for name in names]
    assert replace(job, backdrop="green").inputs() == [str(tmp_path / name) for name in names if name != "sea.jpg"]
    assert list(job.outputs()) == ["com", "pha", "report"]


@pytest.mark.parametrize("name", ["a.mp4", "plate.png", "sea.jpg", "g.png", "w.pth"])
def test_other_contents_are_another_job(job, tmp_path, name):
    before = job.fingerprint()
    assert before == job.fingerprint()
    (tmp_path / name).write_bytes(b"something else")
    assert job.fingerprint() != before


def test_other_settings_are_another_job(job):
    others = [
        replace(job, backdrop="green"),
        replace(job, results={"com": job.results["com"]}),
        replace(job, results={**job.results, "com": job.results["com"].replace(".mp4", ".mov")}),
        replace(job, composite=replace(job.composite, keep_shadow=0.4)),
        replace(job, read=replace(job.read, start=None)),
        replace(job, read=replace(job.read, rate=Fraction(24))),
        replace(job, run=replace(job.run, refine="sampling")),
        replace(job, run=replace(job.run, weights=None)),
        replace(job, encode=replace(job.encode, crf=4)),
        replace(job, check=CheckConfig()),
    ]
    names = {job.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(names) == 1 + len(others)


def test_what_makes_no_difference(job, tmp_path):
    moved = tmp_path / "moved.mp4"
    (tmp_path / "a.mp4").rename(moved)
    same = replace(
        job,
        clip=str(moved),
        run=replace(job.run, device="cpu"),
        encode=replace(job.encode, overwrite=False, resume=True, segment=10),
        check=replace(job.check, report=str(tmp_path / "elsewhere.json")),
    )
    (tmp_path / "a.mp4").write_bytes(moved.read_bytes())
    assert same.fingerprint() == job.fingerprint()


def test_numbered_pictures_have_a_fingerprint(job, tmp_path):
    folder = tmp_path / "take"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"picture")
    many = replace(job, clip=str(folder))
    before = many.fingerprint()
    (folder / "3.png").write_bytes(b"picture")
    assert many.fingerprint() != before


def test_every_setting_of_a_conversion_is_one_of_a_job():
    keywords = set(inspect.signature(bgmv2.convert).parameters) - {"matter", "watch"}
    roles = {"com", "pha", "fgr", "rgba", "err", "ref", "shadow"}
    assert {field.name for field in fields(Job)} == (keywords - roles) | {"results"}
