"""Which dtype this machine is faster with: measured once, kept, and done without a cache."""

import math

import pytest
import torch

from ddpm_course import machine
from ddpm_course.data import cache_dir
from ddpm_course.machine import describe_device, fastest_dtype, pick_device

CPU = torch.device("cpu")



@pytest.mark.parametrize(("float32", "bfloat16", "wanted"), [(2.0, 1.0, "bfloat16"), (1.2, 1.0, "float32"), (1.0, math.inf, "float32")])
def test_faster_dtype_is_measured_once_and_kept(monkeypatch, float32, bfloat16, wanted):
    seconds = {torch.float32: float32, torch.bfloat16: bfloat16}
    measured = []
    monkeypatch.setattr(machine, "_conv_seconds", lambda device, dtype: measured.append(dtype) or seconds[dtype])
    assert fastest_dtype(CPU) == wanted
    assert fastest_dtype(CPU) == wanted
    assert len(measured) == 2
    assert list(cache_dir().glob("*.json"))


def test_a_broken_or_unwritable_cache_of_dtypes_is_done_without(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_conv_seconds", lambda device, dtype: 1.0)
    cache_dir().mkdir(parents=True)
    (cache_dir() / "fastest-dtype.json").write_text('{"cpu": ')
    assert fastest_dtype(CPU) == "float32"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert fastest_dtype(CPU) == "float32"


def test_dtype_is_really_measured():
    assert fastest_dtype(CPU) in ("float32", "bfloat16")


def test_device_is_described_with_what_its_speed_depends_on():
    words = describe_device(CPU)
    assert words.startswith("cpu") and str(torch.get_num_threads()) in words and torch.backends.cpu.get_cpu_capability() in words


def test_device_is_one_that_can_compute():
    assert (torch.zeros(2, device=pick_device()) + 1).sum().item() == 2
