"""Exported networks answer as the network does, at any size, and nothing else gets a name."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bgmv2 import DeviceError, Matter, OutputError, WeightsError, export
from bgmv2.cli import main
from bgmv2.config import EXPORTS
from bgmv2.errors import Bgmv2Warning, OutputExistsError
from bgmv2.nn.checkpoint import checksum, load_model
from bgmv2.nn.portable import Portable
from bgmv2.video import list_images, read_image, write_image
from bgmv2.video.open import open_source


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An exported file of each kind whose packages are there, and what was said when it was made."""
    made = {}
    for kind, suffix in EXPORTS.items():
        path = tmp_path_factory.mktemp("exported") / f"net{suffix}"
        try:
            made[kind] = path, export.export(load_model(), kind, path, pixels=None)
        except WeightsError as error:
            assert "pip install" in str(error)
    return made


@pytest.fixture
def pair():
    g = torch.Generator().manual_seed(1)
    return lambda *size: [torch.rand(1, 3, *size, generator=g) for _ in range(2)]


@pytest.mark.parametrize("kind", EXPORTS)
def test_a_file_answers_as_the_network_does(files, kind):
    if kind not in files:
        pytest.skip(f"the packages for {kind} are not installed: pip install 'bgmv2[{kind}]'")
    path, said = files[kind]
    assert len(said) >= 3 and max(said.values()) <= 1e-4
    about, engine = export._KINDS[kind].read(path, "float32")
    model = load_model()
    assert about == export.Exported(model.config, None, checksum(model.state_dict()))
    again = export.compare(model, engine, pixels=None, follows=kind != "torchscript")
    assert again == pytest.approx(said, abs=1e-5)
    assert set(path.parent.iterdir()) == set(export._files(path))


@pytest.mark.parametrize("mode", ["sampling", "thresholding", "full"])
@pytest.mark.parametrize("size", [(61, 90), (40, 64), (7, 5)])
@pytest.mark.parametrize("leaves_half", [False, True], ids=["all", "half"])
def test_the_portable_network_is_the_network(pair, mode, size, leaves_half):
    model = load_model(refine_mode=mode, refine_threshold=0.02, refine_sample_pixels=800)
    src, bgr = pair(*size)
    with torch.inference_mode():
        first = model(src, bgr)
        if leaves_half:
            expected = F.interpolate(first[4], size=first[5].shape[2:], mode="bilinear")
            model.refiner.floor = float(expected[first[5] == 1].median())
        wanted, got = model(src, bgr), Portable(model, pixels=800)(src, bgr)
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 1e-5
    assert (wanted[5].sum() < first[5].sum()) == (leaves_half and mode == "sampling")


def test_what_differs_gets_no_name(tmp_path, monkeypatch):
    class Other(Portable):
        def forward(self, src, bgr):
            pha, *rest = super().forward(src, bgr)
            return pha + 0.01, *rest

    monkeypatch.setitem(
        export._KINDS,
        "torchscript",
        export.Kind(
            lambda model, about, path: path.write_bytes(b"x"),
            lambda path, precision: (None, Other(load_model(), pixels=80_000)),
        ),
    )
    with pytest.raises(OutputError, match="differs by 0.01 from the network"):
        export.export(load_model(), "torchscript", tmp_path / "a.torchscript", pixels=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [0, 1])
@pytest.mark.parametrize("height", [180, 61])
def test_what_is_no_number_gets_no_name(answer, height):
    class Broken(Portable):
        def forward(self, src, bgr):
            answers = list(super().forward(src, bgr))
            if src.shape[2] == height:
                answers[answer] = torch.full_like(answers[answer], torch.nan)
            return tuple(answers)

    model = load_model()
    found = export.compare(model, Broken(model, pixels=None), pixels=None)
    assert max(found.values()) == float("inf") and sum(value == float("inf") for value in found.values()) == 1


@pytest.mark.parametrize("scale", [0.35, 0.3333, 1 / 3, 0.01])
def test_the_portable_network_sees_pictures_at_the_network_s_size(pair, scale):
    model = load_model(backbone_scale=scale, refine_sample_pixels=800)
    src, bgr = pair(40, 320)
    with torch.inference_mode():
        ours, theirs = Portable(model, pixels=800)(src, bgr), model(src, bgr)
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    assert ours[2].shape[2:] == (max(1, int(40 * scale + 1e-9)), int(320 * scale + 1e-9))
    assert (ours[0] - theirs[0]).abs().max() <= 1e-5


def test_names_are_checked_before_work(tmp_path):
    with pytest.raises(OutputError, match=r"onnx files end in \.onnx: call it a\.onnx"):
        export.export(load_model(), "onnx", tmp_path / "a.xml", pixels=None)
    (tmp_path / "a.bin").touch()
    with pytest.raises(OutputExistsError):
        export.export(load_model(), "openvino", tmp_path / "a.xml", pixels=None)


def test_a_matter_takes_an_exported_file(files, pair):
    pytest.importorskip("onnxruntime")
    path, _ = files["onnx"]
    matter, plain = Matter(path), Matter(device="cpu", scale=0.25)
    assert str(matter) == "mobilenetv2 on cpu in float32 by onnxruntime"
    src, bgr = pair(72, 128)
    ours, theirs = matter.matte(src, plate=bgr), plain.matte(src, plate=bgr)
    assert (ours.pha - theirs.pha).abs().max() <= 1e-4 and ours.ref.equal(theirs.ref)
    two = matter.matte(torch.cat([src, bgr]), plate=torch.cat([bgr, src]))
    assert (two.pha[:1] - ours.pha).abs().max() <= 1e-5
    assert matter.fingerprint == Matter(path).fingerprint != plain.fingerprint
    with pytest.raises(WeightsError, match="settled in"):
        Matter(path, scale=0.5)
    with pytest.raises(WeightsError, match="read by onnxruntime and openvino, not by torch"):
        Matter(path, engine="torch")
    with pytest.raises(DeviceError, match="computes in float32"):
        Matter(path, precision="bfloat16")


def test_convert_computes_alike_with_an_exported_file(files, make_clip, tmp_path):
    pytest.importorskip("onnxruntime")
    clip, plate, found = make_clip("clip.mp4"), tmp_path / "plate.png", {}
    with open_source(clip) as source:
        shown = next(iter(source)).pixels
    write_image(plate, shown[:, ::-1])
    for name, words in {"torch": ["--scale", "1/4"], "onnx": ["--weights", files["onnx"][0]]}.items():
        words = [
            "convert",
            clip,
            "--plate",
            plate,
            "--pha",
            tmp_path / name,
            "--align",
            "off",
            "--device",
            "cpu",
            *words,
        ]
        assert main([str(word) for word in words]) == 0
        found[name] = np.stack([read_image(path) for path in list_images(tmp_path / name)]).astype(int)
    assert found["torch"].shape == found["onnx"].shape and found["torch"].std() > 5
    assert np.abs(found["torch"] - found["onnx"]).max() <= 1


def test_a_network_is_prepared_once(files, tmp_path, monkeypatch, pair):
    pytest.importorskip("onnxruntime")
    asked = []

    def quickly(model, kind, path, *, pixels, overwrite):
        asked.append((model.backbone_scale, kind, pixels))
        shutil.copy(files["onnx"][0], path)

    monkeypatch.setattr(export, "export", quickly)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    src, bgr = pair(48, 64)
    with pytest.warns(Bgmv2Warning, match="prepared for onnxruntime"):
        first = Matter(engine="onnxruntime", scale=0.25).matte(src, plate=bgr)
    again = Matter(engine="onnxruntime", scale=0.25).matte(src, plate=bgr)  # no warning, which would be an error here
    assert asked == [(0.25, "onnx", None)] and again.pha.equal(first.pha)
    theirs = Matter(device="cpu", scale=0.25).matte(src, plate=bgr)
    assert (first.pha - theirs.pha).abs().max() <= 1e-4
    with pytest.warns(Bgmv2Warning, match="prepared for onnxruntime"):
        Matter(engine="onnxruntime", scale=0.25, pixels=160).matte(src, plate=bgr)
    assert asked[1:] == [(0.25, "onnx", 160)] and len(list((tmp_path / "bgmv2").iterdir())) == 2
    for kept in (tmp_path / "bgmv2").iterdir():  # a power cut
        kept.write_bytes(b"")
    with pytest.warns(Bgmv2Warning, match="prepared for onnxruntime"):
        assert Matter(engine="onnxruntime", scale=0.25).matte(src, plate=bgr).pha.equal(first.pha)


def test_a_strange_file_is_told(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "a.onnx"
    with pytest.raises(WeightsError, match="there is no file"):
        Matter(path)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="damaged or not for onnxruntime"):
        Matter(path)
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.helper.set_model_props(model, {"config": json.dumps({"eyes": 2}), "pixels": "", "sha256": ""})
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="was not made by bgmv2 export"):
        Matter(path)
