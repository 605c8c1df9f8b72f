import json

from bgmv2.doctor import Diagnosis, Finding
from bgmv2.doctor.findings import sorted_findings

NOTE = Finding("a", "note", "the camera moves", "keep --align every", {"moved": 3.0})
WARNING = Finding("b", "warning", "the plate is soft")
RESHOOT = Finding("c", "reshoot", "the plate is black", boxes=((1, 2, 3, 4),))


def test_the_worst_finding_is_the_verdict():
    assert Diagnosis(()).verdict == Diagnosis((NOTE,)).verdict == "good"
    assert Diagnosis((NOTE, WARNING)).verdict == "usable"
    assert Diagnosis((RESHOOT, WARNING, NOTE)).verdict == "reshoot"
    assert sorted_findings([NOTE, WARNING, RESHOOT, NOTE]) == (RESHOOT, WARNING, NOTE, NOTE)


def test_all_of_it_goes_into_json():
    told = json.loads(
        json.dumps(Diagnosis((RESHOOT, NOTE), {"share": 0.5, "focus": None}, ({"seconds": 0},)).to_json())
    )
    assert told["verdict"] == "reshoot" and told["numbers"] == {"share": 0.5, "focus": None}
    assert [finding["name"] for finding in told["findings"]] == ["c", "a"]
    assert told["findings"][0]["boxes"] == [[1, 2, 3, 4]] and told["findings"][1]["numbers"] == {"moved": 3.0}


def test_a_person_reads_sentence_and_advice():
    assert str(NOTE) == "the camera moves; keep --align every" and str(WARNING) == "the plate is soft"
    lines = str(Diagnosis((RESHOOT, NOTE))).splitlines()
    assert lines[0].startswith("reshoot: ") and lines[1:] == [
        "  X the plate is black",
        "  - the camera moves",
        "      keep --align every",
    ]
