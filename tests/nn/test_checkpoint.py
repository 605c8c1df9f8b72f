"""Weights files: what is saved comes back, and what is not ours is refused in one line that says why."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from bgmv2.config import ModelConfig
from bgmv2.errors import WeightsError
from bgmv2.nn.checkpoint import load_checkpoint, load_model, mean_state, save_checkpoint
from bgmv2.nn.matting import MattingRefine

CONFIG = ModelConfig(backbone_scale=0.5, refine_mode="thresholding", refine_threshold=0.3)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return MattingRefine(CONFIG).state_dict()


@pytest.fixture
def weights(tmp_path, state):
    path = tmp_path / "w.safetensors"
    save_checkpoint(path, state, CONFIG)
    return path


def test_a_checkpoint_brings_its_configuration_and_numbers_back(weights, state):
    config, loaded = load_checkpoint(weights)
    assert config == CONFIG
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_half_precision_halves_the_file_and_loads_as_float32(tmp_path, weights, state):
    half = tmp_path / "half.safetensors"
    save_checkpoint(half, state, CONFIG, half=True)
    assert half.stat().st_size < 0.55 * weights.stat().st_size
    model = load_model(half)
    assert not model.training
    name = "decoder.conv4.weight"
    assert model.state_dict()[name].dtype == torch.float32
    assert torch.equal(model.state_dict()[name], state[name].half().float())


def test_overrides_change_the_configuration_and_none_does_not(weights):
    model = load_model(weights, refine_mode="full", backbone_scale=None)
    assert model.config.refine_mode == "full"
    assert model.config.backbone_scale == 0.5


@pytest.mark.parametrize("backbone", ["mobilenetv2", "resnet50"])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_a_published_checkpoint_is_a_plain_state_dict_and_loads_strictly(tmp_path, backbone, kernel_size):
    published = MattingRefine(ModelConfig(backbone=backbone, refine_kernel_size=kernel_size)).state_dict()
    path = tmp_path / "published.pth"
    torch.save(published, path)
    model = load_model(path)
    assert (model.config.backbone, model.config.refine_kernel_size) == (backbone, kernel_size)
    assert all(torch.equal(value, published[name]) for name, value in model.state_dict().items())


def test_missing_weights(tmp_path):
    with pytest.raises(WeightsError, match="there is no weights file"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 7, 1000, -1000])
def test_a_truncated_file_is_refused(weights, keep):
    data = weights.read_bytes()
    weights.write_bytes(data[:keep])
    with pytest.raises(WeightsError, match="damaged"):
        load_checkpoint(weights)


def test_a_flipped_bit_is_noticed(weights):
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(data)
    with pytest.raises(WeightsError, match="checksum"):
        load_checkpoint(weights)


def test_a_foreign_network_is_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"lm_head.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="begins with lm_head.weight"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("aspp.project.0.weight"), "it has no aspp.project.0.weight"),
        (lambda s: s.update({"decoder.conv1.weight": torch.zeros(1, 2)}), r"decoder.conv1.weight is \(1, 2\)"),
        (lambda s: s.update({"extra.weight": torch.zeros(1)}), "extra.weight has no place"),
    ],
)
def test_the_first_mismatch_is_named(tmp_path, state, change, message):
    changed = dict(state)
    change(changed)
    path = tmp_path / "changed.safetensors"
    save_checkpoint(path, changed, CONFIG)
    with pytest.raises(WeightsError, match=message):
        load_model(path)


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = tmp_path / "trap.pth"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WeightsError, match="damaged or no weights"):
        load_checkpoint(path)
    torch.save({"backbone.conv1.weight": Trap()}, path)
    with pytest.raises(WeightsError, match="damaged or no weights"):
        load_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


def test_a_strange_configuration_is_refused(tmp_path, state):
    path = tmp_path / "strange.safetensors"
    save_file(dict(state), path, metadata={"config": '{"backbone_scale": 7}'})
    with pytest.raises(WeightsError, match="configuration"):
        load_checkpoint(path)


def test_a_failed_save_leaves_the_earlier_file(weights, monkeypatch):
    before = weights.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("bgmv2.nn.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(weights, {}, CONFIG)
    assert weights.read_bytes() == before
    assert [p.name for p in weights.parent.iterdir()] == [weights.name]


def test_a_mean_is_one_of_floats_and_of_one_network():
    a, b = {"x": torch.tensor([0.0, 4.0]), "n": torch.tensor(3)}, {"x": torch.tensor([2.0, 0.0]), "n": torch.tensor(5)}
    mean = mean_state([a, b], [1, 3])
    assert torch.equal(mean["x"], torch.tensor([1.5, 1.0])) and mean["n"] == 5
    assert torch.equal(mean_state([a], [2])["x"], a["x"])
    for other in ({"x": torch.zeros(3), "n": torch.tensor(1)}, {"x": a["x"]}):
        with pytest.raises(ValueError, match="same network"):
            mean_state([a, other], [1, 1])
