"""What a device that is not here would say is put into PyTorch's mouth."""

import numpy as np
import pytest
import torch

from bgmv2 import Bgmv2Warning, DeviceError
from bgmv2.device import choose_dtype, integers_to, open_device, told_of_memory


@pytest.fixture
def old_card(monkeypatch):
    """A CUDA device for which this build of torch has no kernels."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    asked = []

    def zeros(*_, device):
        asked.append(device)
        raise RuntimeError("CUDA error: no kernel image is available\nand much more")

    monkeypatch.setattr(torch, "zeros", zeros)
    return asked


def test_the_cpu_takes_over_from_a_card_that_cannot_compute(old_card):
    with pytest.warns(Bgmv2Warning, match=r"^cuda:1 does not compute \(CUDA error: no kernel image is available\), so"):
        assert open_device("auto") == torch.device("cpu")
    # The device of the caller's thread, which in others would be another one.
    assert old_card == [torch.device("cuda", 1)]


def test_a_card_that_was_named_and_cannot_compute_is_an_error(old_card):
    with pytest.raises(DeviceError, match=r"^cuda:0 does not compute \(CUDA error: [^\n]*: take cpu"):
        open_device("cuda:0")


def test_float32_is_not_rounded_to_tf32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: torch.ones(1))
    assert open_device("cuda:0") == torch.device("cuda", 0)
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("card", "capability", "dtype"),
    [
        ("NVIDIA GeForce GTX 1660 Ti", (7, 5), torch.float32),
        ("NVIDIA GeForce GTX 1080", (6, 1), torch.float32),
        ("NVIDIA H200", (9, 0), torch.float16),
    ],
)
def test_float16_is_chosen_where_convolutions_can(monkeypatch, card, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_dtype("auto", torch.device("cuda", 0)) == dtype
    assert choose_dtype("float16", torch.device("cuda", 0)) == torch.float16


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to\nallocate"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_full_memory_is_told_in_words(error):
    with pytest.raises(DeviceError, match="^mps has too little memory for 64x48: [^\n]* or take cpu$"):
        with told_of_memory(torch.device("mps"), "64x48"):
            raise error


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="^shapes$"), told_of_memory(torch.device("cpu"), "64x48"):
        raise RuntimeError("shapes")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_arrive_as_they_are(dtype):
    pixels = np.arange(24, dtype=dtype).reshape(2, 4, 3)[:, ::-1]
    there = integers_to(torch.device("cpu"), pixels)
    assert there.numpy().dtype == dtype and np.array_equal(there.numpy(), pixels)
