"""Small results take their names when they are whole."""

import pytest

from bgmv2.errors import OutputError
from bgmv2.video.sink import replacing


def test_a_file_is_replaced_when_the_new_one_is_whole(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.parent == tmp_path and temporary.name.startswith(".")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (OSError(28, "No space left on device"), OutputError, "scores.json cannot be written.*make room"),
        (OutputError("no such colours"), OutputError, "^no such colours$"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
    ids=["disk", "told", "interrupted"],
)
def test_after_a_failure_the_old_file_is_there_and_nothing_else(tmp_path, error, raised, said):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with pytest.raises(raised, match=said), replacing(path) as temporary:
        temporary.write_text("ne")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
