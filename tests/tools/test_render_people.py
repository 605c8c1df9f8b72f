"""Planning, resuming and the shapes of the rendered training pictures; nothing here needs Blender."""

import base64
import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def tool(load_tool):
    module = load_tool("render_people")
    module.pixels, module.shapes = load_tool("rendering.pixels"), load_tool("rendering.shapes")
    return module


def test_a_picture_depends_on_seed_and_number_alone(tool):
    assert tool.plan(3, 7) == tool.plan(3, 7)
    assert tool.plan(3, 7) != tool.plan(4, 7)
    assert tool.plan(3, 7).rng().random() == tool.plan(3, 7).rng().random()
    assert tool.plan(3, 7).rng().random() != tool.plan(3, 8).rng().random()


def test_any_prefix_is_a_fair_mix(tool):
    shots = [tool.plan(0, index) for index in range(300)]
    for part in (shots[:100], shots):
        people = [shot for shot in part if shot.kind == "person"]
        assert 0.55 < len(people) / len(part) < 0.77
        close = [shot for shot in people if shot.framing in ("half", "portrait")]
        assert 0.4 < len(close) / len(people) < 0.65
    assert len({shot.subject for shot in shots}) > 15


@pytest.mark.parametrize(("only", "kind"), [("people", "person"), ("things", "thing")])
def test_one_kind_alone(tool, only, kind):
    assert {tool.plan(1, index, only=only).kind for index in range(20)} == {kind}


def test_only_what_is_missing_is_rendered(tool, tmp_path):
    shots = [tool.plan(0, index) for index in range(4)]
    (tmp_path / shots[1].file).touch()
    (tmp_path / shots[2].file).with_suffix(".part.png").touch()
    assert tool.missing(tmp_path, shots) == [shots[0], shots[2], shots[3]]


def test_the_manifest_names_every_picture_and_its_sources(tool, tmp_path):
    shots = [tool.plan(0, index) for index in range(3)]
    tool.write_manifest(tmp_path, shots, seed=0, size=64, only=None)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [line["file"] for line in manifest["pictures"]] == [shot.file for shot in shots]
    assert all(line["kind"] in ("person", "thing") for line in manifest["pictures"])
    assert all(source["licence"] for source in manifest["sources"])


def test_a_shorter_run_does_not_shorten_the_manifest(tool, tmp_path):
    shots = [tool.plan(0, index) for index in range(3)]
    for part in (shots, shots[:1]):
        tool.write_manifest(tmp_path, part, seed=0, size=64, only=None)
    assert len(json.loads((tmp_path / "manifest.json").read_text())["pictures"]) == 3


def test_a_folder_of_another_seed_is_refused(tool, tmp_path):
    tool.write_manifest(tmp_path, [tool.plan(0, 0)], seed=0, size=64, only=None)
    with pytest.raises(tool.RenderError, match="give another folder"):
        tool.write_manifest(tmp_path, [tool.plan(1, 0)], seed=1, size=64, only=None)


def test_a_panorama_comes_out_of_its_module(tool):
    text = f"export default 'data:application/exr;base64,{base64.b64encode(b'light').decode()}'\n"
    assert tool.decode_module(text) == b"light"


@pytest.mark.parametrize("flags", [["x", "--count", "0"], ["x", "--only", "cats"], []])
def test_wrong_flags_end_with_code_2(tool, flags, capsys):
    with pytest.raises(SystemExit) as end:
        tool.parser().parse_args(flags)
    assert end.value.code == 2


def test_softening_keeps_colours_straight(tool):
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[:, 16:] = (200, 100, 50, 255)
    soft = tool.pixels.soften(picture)
    edge = soft[8:-8, 15]
    assert (edge[:, 3] > 10).all() and (edge[:, 3] < 128).all()
    assert np.abs(edge[:, :3].astype(int) - (200, 100, 50)).max() <= 2  # no dark fringe
    assert (soft[8:-8, 24] == picture[8:-8, 24]).all()


def test_a_rod_is_whole_and_as_thick_as_asked(tool):
    rod = tool.shapes.rod((0, 0, 0), (0, 0, 2), 0.1)
    assert np.isfinite(rod.vertices).all()
    assert np.hypot(*rod.vertices[:, :2].T).max() == pytest.approx(0.1)
    assert np.ptp(rod.vertices[:, 2]) == pytest.approx(2)


def test_aim_turns_one_direction_onto_the_other(tool):
    for start, end in (((1, 0, 0), (0, 0, 1)), ((0, 0, 1), (0, 0, -1)), ((1, 2, 3), (1, 2, 3))):
        turned = tool.shapes.aim(start, end) @ tool.shapes.unit(np.array(start, float))
        assert turned == pytest.approx(tool.shapes.unit(np.array(end, float)), abs=1e-6)


def test_scatter_stays_on_the_chosen_part(tool):
    ball = tool.shapes.ball((0, 0, 0), (1, 1, 1))
    places, out = tool.shapes.scatter(ball, 200, np.random.default_rng(0), chosen=ball.vertices[:, 2] > 0.3)
    assert (places[:, 2] > 0.25).all()
    assert np.linalg.norm(out, axis=1) == pytest.approx(1)
    assert len(tool.shapes.scatter(ball, 5, np.random.default_rng(0), chosen=ball.vertices[:, 2] > 2)[0]) == 0


def test_noise_goes_where_the_subject_is_opaque_and_alpha_stays(tool):
    rng = np.random.default_rng(0)
    picture = np.full((48, 48, 4), 255, np.uint8)
    picture[..., :3] = np.clip(rng.normal(128, 12, (48, 48, 3)), 0, 255)
    picture[:, :20, 3] = rng.integers(0, 255, (48, 20))
    smooth = tool.pixels.smooth_inside(picture)
    assert smooth[8:-8, 28:-8, :3].std() < 0.5 * picture[8:-8, 28:-8, :3].std()
    assert (smooth[..., 3] == picture[..., 3]).all()
    assert (smooth[:, :20] == picture[:, :20]).all()
