"""Results get names of their own, and what cannot be done is refused before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import bgmv2
from bgmv2.batch import Settings, plan
from bgmv2.batch.job import is_there
from bgmv2.batch.ledger import JOURNAL, LEDGER, Journal, Ledger, Outcome
from bgmv2.config import CheckConfig
from bgmv2.job import name_of


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Make small files, each of its own content, with a plate for all in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plate.png").write_bytes(b"plate")

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode() * 10)
        return tmp_path

    return make


def planned(*sources, settings=None, plate="plate.png", out="out"):
    return plan(sources, out=out, plate=plate, settings=settings)


def outputs(made):
    return {role: path for task in made.todo for role, path in task.job.outputs().items()}


def finish(made, *, only=None):
    """Write what a batch would write, and say so in ledger and journal."""
    made.out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.read(made.out)
    for task in made.todo:
        if only is not None and task.name not in only:
            continue
        results = {}
        for role, path in task.job.outputs().items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(b"result of " + task.fingerprint.encode())
            results[role] = (str(Path(path).relative_to(made.out)), name_of(path))
        ledger.begin(task.name, task.fingerprint, task.job.outputs())
        outcome = Outcome(task.name, task.fingerprint, results, frames=1, seconds=1.0)
        Journal(made.out).add(outcome)
        ledger.done(outcome)


def test_results_are_called_after_their_clips(tree):
    root = tree("shots/a.mp4", "shots/day1/b.x.mov")
    roles = {"com": ".mp4", "rgba": "/", "pha": ".####.png", "fgr": "/####.exr"}
    made = planned("shots", settings=Settings(results=roles, check=CheckConfig(report=".json")))
    tasks = {task.name: task.job for task in made.todo}
    assert tasks["a"].results == {
        "com": f"{root}/out/a.com.mp4",
        "rgba": f"{root}/out/a.rgba/",
        "pha": f"{root}/out/a.pha.####.png",
        "fgr": f"{root}/out/a.fgr/####.exr",
    }
    assert tasks["a"].check.report == f"{root}/out/a.report.json"
    assert tasks["day1/b.x"].results["com"] == f"{root}/out/day1/b.x.com.mp4"
    assert not (root / "out").exists()


def test_the_longest_come_first(tree):
    root = tree("short.mp4", "long.mp4", "pictures/1.png", "pictures/2.png")
    (root / "long.mp4").write_bytes(b"x" * 1000)
    assert [task.name for task in planned("short.mp4", "long.mp4", "pictures").todo] == ["long", "pictures", "short"]


@pytest.mark.parametrize(
    ("role", "ending", "said"),
    [
        ("com", "out.mp4", "results are called after their clips, so 'out.mp4' says too much: give what follows"),
        ("com", "mp4", "so 'mp4' says too much"),
        ("com", "/../../x.####.png", "says too much"),
        ("com", ".avi", "would be no result: give what follows the name of each clip, .mp4, .mov"),
        ("com", ".png", "would be no result"),
        ("com", "-", "so '-' says too much"),
        ("com", "", "so '' says too much"),
        ("rgba", ".mp4", "holds no transparency"),
    ],
)
def test_endings_that_make_no_result(tree, role, ending, said):
    tree("a.mp4")
    settings = Settings(results={role: ending})
    with pytest.raises(bgmv2.OutputError) as error:
        planned("a.mp4", settings=settings)
    assert said in str(error.value)


def test_codecs_are_checked_before(tree):
    tree("a.mp4")
    settings = Settings(encode=bgmv2.EncodeConfig(codec="prores"))
    with pytest.raises(bgmv2.OutputError, match=r"\.mp4 does not hold ProRes"):
        planned("a.mp4", settings=settings)


@pytest.mark.parametrize(
    "names", [("shots/a.mp4", "shots/a.mov"), ("shots/a.mp4", "shots/A.mp4"), ("shots/e\u0301.mp4", "shots/\u00e9.mp4")]
)
def test_two_clips_of_one_result_are_refused(tree, names):
    tree(*names)
    with pytest.raises(bgmv2.OutputError) as error:
        planned("shots")
    first, advice = str(error.value).splitlines()
    assert " would both be written to " in first and "rename one of them" in advice


def test_two_folders_of_one_name_collide_but_not_their_parent(tree):
    tree("x/day/a.mp4", "y/day/a.mp4")
    with pytest.raises(bgmv2.OutputError, match="would both be written to"):
        planned("x/day", "y/day")
    assert [task.name for task in planned("?/day/*.mp4").todo] == ["x/day/a", "y/day/a"]


def test_a_result_inside_of_another_is_refused(tree):
    tree("shots/a.mp4", "shots/a.rgba/b.mp4")
    settings = Settings(results={"rgba": "/"})
    with pytest.raises(bgmv2.OutputError, match=r"a\.rgba/b\.rgba/ would be written into .*a\.rgba"):
        planned("shots", settings=settings)


@pytest.mark.parametrize("overwrite", [False, True])
def test_inputs_are_safe(tree, overwrite):
    tree("shots/a.mp4", "shots/a.com.mp4")
    settings = Settings(encode=bgmv2.EncodeConfig(overwrite=overwrite))
    with pytest.raises(bgmv2.OutputError, match=r"shots/a\.com\.mp4 is read, so .* cannot be written over it"):
        planned("shots", out="shots", settings=settings)
    with pytest.raises(bgmv2.OutputError, match="is read"):
        planned("shots/a.mp4", out="shots", settings=replace(settings, backdrop="shots/a.com.mp4"))


def test_links_and_folders_of_inputs_are_safe(tree):
    root = tree("shots/a.mp4", "out/a.pha/1.png", "out/a.fgr.0001.png")
    overwrite = bgmv2.EncodeConfig(overwrite=True)
    (root / "out/a.com.mp4").hardlink_to(root / "shots/a.mp4")
    with pytest.raises(bgmv2.OutputError, match=r"a\.mp4 is read"):
        planned("shots/a.mp4", settings=Settings(encode=overwrite))
    for results, backdrop in (({"pha": "/"}, "out/a.pha/1.png"), ({"fgr": ".####.png"}, "out/a.fgr.0001.png")):
        with pytest.raises(bgmv2.OutputError, match=r"\.png is read"):
            planned("shots/a.mp4", settings=Settings(results=results, backdrop=backdrop, encode=overwrite))


def test_what_is_there_already_is_refused(tree):
    tree("shots/a.mp4", "out/a.com.mp4")
    with pytest.raises(bgmv2.OutputExistsError, match=r"a\.com\.mp4 is there already, not of this batch"):
        planned("shots")
    overwrite = Settings(encode=bgmv2.EncodeConfig(overwrite=True))
    (task,) = planned("shots", settings=overwrite).todo
    assert task.job.encode.overwrite and not task.job.encode.resume


def test_numbered_pictures_that_are_there_are_seen(tree):
    tree("shots/a.mp4", "out/a.pha.0007.png")
    with pytest.raises(bgmv2.OutputExistsError, match=r"a\.pha\.####\.png is there already"):
        planned("shots", settings=Settings(results={"pha": ".####.png"}))
    assert not is_there("out/a.pha.####.exr")


def test_out_must_be_a_folder(tree):
    tree("shots/a.mp4", "out")
    with pytest.raises(bgmv2.OutputError, match="out is a file, but results go into a folder"):
        planned("shots")


def test_what_is_finished_is_left_alone(tree):
    root = tree("shots/a.mp4", "shots/b.mp4")
    finish(planned("shots"), only={"a"})
    again = planned("shots")
    assert ([task.name for task in again.todo], [task.name for task in again.finished]) == (["b"], ["a"])
    assert again.todo[0].job.encode.resume
    (root / "out" / LEDGER).unlink()
    assert [task.name for task in planned("shots").finished] == ["a"], "the journal knows it, too"


def test_finished_clips_are_no_sources_of_the_same_batch(tree):
    tree("shots/a.mp4")
    finish(planned("shots", out="shots"))
    again = planned("shots", out="shots")
    assert ([task.name for task in again.todo], [task.name for task in again.finished]) == ([], ["a"])


def test_other_settings_replace_results_only_with_leave(tree):
    tree("shots/a.mp4", "shots/b.mp4")
    finish(planned("shots"))
    other = Settings(backdrop="blue")
    with pytest.raises(bgmv2.OutputExistsError, match="is there already, of other settings or inputs"):
        planned("shots", settings=other)
    made = planned("shots", settings=replace(other, encode=bgmv2.EncodeConfig(overwrite=True)))
    assert len(made.todo) == 2 and not any(task.job.encode.resume for task in made.todo)
    finish(made, only={"a"})
    made = planned("shots", settings=replace(other, encode=bgmv2.EncodeConfig(overwrite=True)))
    assert [task.name for task in made.finished] == ["a"], "so --overwrite can be gone on with, too"


def test_another_clip_of_the_same_name_is_not_taken_for_finished(tree):
    root = tree("shots/a.mp4")
    finish(planned("shots"))
    (root / "shots/a.mp4").write_bytes(b"filmed anew")
    with pytest.raises(bgmv2.OutputExistsError, match="of other settings or inputs"):
        planned("shots")


def test_changed_results_are_not_replaced_and_missing_ones_are_made(tree):
    root = tree("shots/a.mp4")
    settings = Settings(results={"com": ".mp4", "pha": ".mp4"})
    finish(planned("shots", settings=settings))
    (root / "out/a.pha.mp4").unlink()
    (task,) = planned("shots", settings=settings).todo
    assert task.job.encode.overwrite and task.job.encode.resume
    (root / "out/a.com.mp4").write_bytes(b"edited by hand")
    with pytest.raises(bgmv2.OutputExistsError, match="changed since"):
        planned("shots", settings=settings)


def test_results_of_a_driver_that_died_are_its_own(tree):
    """It died after a result got its name, and before anybody wrote that down."""
    root = tree("shots/a.mp4")
    (task,) = planned("shots").todo
    (root / "out").mkdir()
    Ledger.read(root / "out").begin(task.name, task.fingerprint, task.job.outputs())
    (root / "out/a.com.mp4").write_bytes(b"whole")
    (again,) = planned("shots").todo
    assert again.job.encode.overwrite and again.job.encode.resume


@pytest.mark.parametrize("end", ["failed", "stopped"])
def test_what_is_put_in_the_place_of_a_clip_that_came_to_no_end_is_safe(tree, end):
    root = tree("shots/a.mp4", "shots/b.mp4")
    settings = Settings(results={"com": ".mp4", "pha": ".mp4"})
    made = planned("shots", settings=settings)
    (root / "out").mkdir()
    ledger = Ledger.read(root / "out")
    for task in made.todo:
        ledger.begin(task.name, task.fingerprint, task.job.outputs())
        (root / f"out/{task.name}.com.mp4").write_bytes(b"whole")
        ledger.failed(task.name, "the disk is full") if end == "failed" else ledger.stopped(task.name)
    assert len(planned("shots", settings=settings).todo) == 2, "what it left itself may be replaced"
    (root / "out/b.pha.mp4").write_bytes(b"made by hand meanwhile")
    with pytest.raises(bgmv2.OutputExistsError, match=r"out/b\.com\.mp4 is there already"):
        planned("shots", settings=settings)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "clips": {"a": {"x": 1}}}'])
def test_a_damaged_ledger(tree, text):
    root = tree("shots/a.mp4")
    (root / "out").mkdir()
    (root / "out" / LEDGER).write_text(text)
    with pytest.raises(bgmv2.OutputError, match=r"\.bgmv2-batch\.json is damaged"):
        planned("shots")


def test_a_ledger_of_the_future(tree):
    root = tree("shots/a.mp4")
    (root / "out").mkdir()
    (root / "out" / LEDGER).write_text('{"version": 2, "clips": {}}')
    with pytest.raises(bgmv2.OutputError, match="of version 2, this is 1: update bgmv2"):
        planned("shots")


def test_a_line_of_the_journal_that_was_cut_off(tree):
    root = tree("shots/a.mp4", "shots/b.mp4")
    finish(planned("shots"))
    journal = root / "out" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-20])
    assert len(Journal(root / "out").outcomes()) == 1
    assert len(planned("shots").finished) == 2, "the ledger knows it, too"
