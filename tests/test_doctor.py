"""The doctor: what it finds, what it advises, and its exit status."""

import importlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tomllib
import types
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from ddpm_course import cli, data, doctor, training
from ddpm_course.doctor import Check

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """A cache, a working folder and no data of one's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DDPM_COURSE_DATA", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def found(name):
    (check,) = [check for check in doctor.examine() if check.name == name]
    assert check.status in ("ok", "warn", "fail")
    assert bool(check.remedy) == (check.status != "ok"), "what is not ok, and only that, comes with a remedy"
    return check


def test_every_check_has_a_status_and_a_remedy_where_it_needs_one():
    checks = doctor.examine()
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        assert check.status in ("ok", "warn", "fail") and check.detail
        assert bool(check.remedy) == (check.status != "ok"), check


def test_it_does_not_download(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("the doctor tried to download")

    monkeypatch.setattr(data, "_download", refuse)
    assert found("mnist").status == "warn" and found("cifar10").status == "warn"


def test_it_says_which_torch_device_and_dtype():
    assert found("torch").detail == torch.__version__
    device = found("device")
    assert device.detail.split(":")[0] in ("cpu", "cuda", "mps")
    if device.detail.startswith("cpu"):
        assert torch.backends.cpu.get_cpu_capability() in device.detail
    assert found("training in").detail in ("float32", "bfloat16")


# --- the table and the exit status --------------------------------------------------------------------------------


def test_table_is_aligned_ascii_with_remedies(monkeypatch, capsys):
    checks = [Check("a", "ok", "one"), Check("longer", "warn", "two", "do this"), Check("b", "fail", "three", "do that")]
    monkeypatch.setattr(doctor, "examine", lambda: checks)
    assert doctor.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "ok    a       one",
        "warn  longer  two",
        "              -> do this",
        "FAIL  b       three",
        "              -> do that",
    ]
    assert lines[-1] == "The course cannot run yet. To repair: b."


@pytest.mark.parametrize("status, code", [("ok", 0), ("warn", 0), ("fail", 1)])
def test_exit_status(monkeypatch, capsys, status, code):
    monkeypatch.setattr(doctor, "examine", lambda: [Check("thing", status, "detail", "" if status == "ok" else "remedy")])
    assert cli.main(["doctor"]) == code
    assert ("can run" if code == 0 else "cannot run") in capsys.readouterr().out


def test_the_command_prints_the_table():
    result = subprocess.run([sys.executable, "-m", "ddpm_course", "doctor"], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert "Traceback" not in result.stderr
    names = [check.name for check in doctor.examine()]
    assert [name for name in names if f"  {name} " in result.stdout] == names
    assert result.returncode == ("FAIL" in result.stdout)


# --- before a class -----------------------------------------------------------------------------------------------


SHEET = {"minutes": 90, "end": 80.0, "other_seconds": 120.0, "trainings": {"07": 205, "09": 60}}


@pytest.mark.parametrize("speed, status, minutes", [
    (2000.0, "ok", 80),  # a faster machine ends no earlier: reading takes its time
    (900.0, "ok", 80),
    (300.0, "ok", 84),  # 120 seconds become 360; 20,000 images take 67 seconds and not 60
    (100.0, "fail", 98),  # 1080 seconds; 09's take 200 and not 60
])
def test_when_a_sheet_ends_on_this_machine(speed, status, minutes):
    check = doctor.keeps_up("90 minutes", SHEET, speed, 900.0)
    assert check.status == status and check.detail.startswith(f"ends after {minutes} of its 90 minutes")
    assert ("later than planned" in check.detail) == (speed < 900)
    assert bool(check.remedy) == (status == "fail")


def test_it_tells_how_many_images_the_longest_training_sees():
    assert "the longest training, of 07, sees 20,000 images" in doctor.keeps_up("x", SHEET, 50.0, 900.0).detail
    images = training.plan_images(900.0, 205.0)
    assert f"of 07, sees {images:,} images" in doctor.keeps_up("x", SHEET, 900.0, 900.0).detail
    assert "training" not in doctor.keeps_up("x", SHEET | {"trainings": {}}, 900.0, 900.0).detail


def test_the_figures_of_the_sheets_come_with_the_package():
    figures = json.loads(doctor.SHEETS.read_text())
    assert figures["images_per_second"] > 0
    for name, sheet in figures["sheets"].items():
        assert doctor.keeps_up(name, sheet, figures["images_per_second"], figures["images_per_second"]).status == "ok"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert doctor.SHEETS.name in project["tool"]["setuptools"]["package-data"]["ddpm_course"]


@pytest.mark.parametrize("speed, code", [(1e6, 0), (1.0, 1)])
def test_before_a_class(monkeypatch, capsys, speed, code):
    asked = []
    monkeypatch.setattr(doctor, "measure_speed", lambda *given, seconds: asked.append(seconds) or speed)
    assert cli.main(["doctor", "--classroom"]) == code
    out = capsys.readouterr().out
    assert asked == [10] and f"{speed:,.0f} images a second" in out and "90 minutes" in out
    assert "mnist5k (5,000 images)" in out and "models, loaded" in out
    assert ("-> Plan more time" in out) == bool(code)


def test_before_a_class_the_speed_is_really_measured(monkeypatch):
    monkeypatch.setattr(doctor, "measure_speed", lambda *given, seconds: training.measure_speed(*given, seconds=0.0))
    speed, *sheets = doctor._sheets()
    assert speed.status == "ok" and len(sheets) >= 2 and int(speed.detail.split()[0].replace(",", "")) > 0


def test_figures_that_are_missing_are_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "SHEETS", tmp_path / "run_sheets.json")
    (check,) = doctor._sheets()
    assert check.status == "fail" and check.remedy


def test_data_that_cannot_be_read_whole(monkeypatch):
    def broken(name, **more):
        raise data.DataError("cut short")

    monkeypatch.setattr(doctor, "load_data", broken)
    monkeypatch.setattr(doctor, "_mnist5k", lambda: Check("mnist5k", "ok", "there"))
    check = doctor._data_read()
    assert check.status == "fail" and "mnist5k is found, but cannot be read: cut short" in check.detail and check.remedy


# --- faults -------------------------------------------------------------------------------------------------------


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")  # a permission would not stop root
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    check = found("cache")
    assert check.status == "warn" and "cannot be written" in check.detail and "XDG_CACHE_HOME" in check.remedy


@pytest.mark.parametrize("gib, status", [(0.4, "fail"), (1.5, "warn"), (3.0, "ok")])
def test_disk_space(monkeypatch, gib, status):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 0, int(gib * 2**30)))
    for name in ("this folder", "cache"):
        check = found(name)
        assert check.status == status and f"{gib:.1f} GiB free" in check.detail


def test_torchvision_that_does_not_fit_torch(monkeypatch):
    real = importlib.import_module

    def broken(name, *rest):
        if name.startswith("torchvision"):
            raise RuntimeError("operator torchvision::nms does not exist\nsecond line")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", broken)
    check = found("torchvision")
    assert check.status == "fail" and check.detail.endswith("operator torchvision::nms does not exist")
    assert "pip install" in check.remedy and "torchvision" in check.remedy


def test_gpu_whose_driver_does_not_fit(monkeypatch):
    def broken():
        raise RuntimeError("CUDA driver version is insufficient")

    monkeypatch.setattr(doctor, "pick_device", broken)
    check = found("device")
    assert check.status == "fail" and "driver" in check.detail and "CUDA_VISIBLE_DEVICES" in check.remedy


def test_packages_missing_or_too_old(monkeypatch):
    asked = ["torch>=2.6", "numpy>=99.0", "tqdm", "no-such-package>=1", 'pytest; extra == "test"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: asked)
    check = found("packages")
    assert check.status == "fail"
    assert "no-such-package is missing" in check.detail and "numpy" in check.detail and "tqdm" not in check.detail
    assert "'numpy>=99.0'" in check.remedy and "pytest" not in check.remedy


def test_torch_too_old(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["torch>=99.1", "torchvision>=0.21"])
    check = found("torch")
    assert check.status == "fail" and "torch>=99.1" in check.remedy


@pytest.mark.parametrize("version, bound, older", [
    ("2.10.0+cpu", "2.6", False), ("2.15.0a0+git1", "2.6", False), ("2.6", "2.6", False),
    ("2.5.1", "2.6", True), ("0.9", "0.21", True), ("3", "3.1", True),
])
def test_versions_are_compared_as_numbers(version, bound, older):
    assert doctor._older(version, bound) is older


def test_no_shipped_checkpoints_or_a_damaged_one(tmp_path, monkeypatch):
    from ddpm_course import checkpoints

    for module in (doctor, checkpoints):
        monkeypatch.setattr(module, "SHIPPED", tmp_path)
    assert found("checkpoints").status == "fail"
    (tmp_path / "judge-mnist.safetensors").write_bytes(b"\x00" * 100)
    check = found("checkpoints")
    assert check.status == "fail" and "cut short" in check.detail


def test_shipped_checkpoints_can_be_read():
    assert "judge-mnist" in found("checkpoints").detail


# --- data ---------------------------------------------------------------------------------------------------------


def test_offline_digits_are_there():
    assert found("mnist5k").status == "ok"


def test_data_folder_that_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_COURSE_DATA", str(tmp_path / "nowhere"))
    for name in ("mnist", "cifar10"):
        check = found(name)
        assert check.status == "warn" and "nowhere" in check.detail and "unset it" in check.remedy


@pytest.mark.parametrize("path", ["cifar-10-batches-py", "cifar10/train/airplane", "train/airplane"])
def test_cifar10_is_found_as_a_folder(tmp_path, monkeypatch, path):
    (tmp_path / "data" / path).mkdir(parents=True)
    monkeypatch.setenv("DDPM_COURSE_DATA", str(tmp_path / "data"))
    assert found("cifar10").status == "ok" and "DDPM_COURSE_DATA" in found("cifar10").detail


def test_cifar10_is_found_as_an_archive_in_the_cache():
    archive = data.cache_dir() / data.CIFAR10_JPEG
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"")
    check = found("cifar10")
    assert check.status == "ok" and "not the original pixels" in check.detail and "cache" in check.detail


def test_mnist_that_is_broken_is_a_fault(tmp_path, monkeypatch):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x05")
    monkeypatch.setenv("DDPM_COURSE_DATA", str(tmp_path / "data"))
    check = found("mnist")
    assert check.status == "fail" and "Delete" in check.remedy


# --- the kernel ---------------------------------------------------------------------------------------------------


def test_no_kernel(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ipykernel" else real(name, *rest))
    check = found("kernel")
    assert check.status == "warn" and 'pip install ".[course]"' in check.remedy


def test_kernel_of_another_name(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: types.SimpleNamespace(submodule_search_locations=None))
    monkeypatch.setitem(sys.modules, "jupyter_client", types.ModuleType("jupyter_client"))
    kernelspec = types.ModuleType("jupyter_client.kernelspec")
    kernelspec.find_kernel_specs = lambda: {"julia": "/somewhere"}
    monkeypatch.setitem(sys.modules, "jupyter_client.kernelspec", kernelspec)
    assert doctor._kernel().status == "warn" and "ipykernel install" in doctor._kernel().remedy
