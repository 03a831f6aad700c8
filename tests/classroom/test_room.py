"""The room: which digits, which mode, one line."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import environment

from ddpm_course.classroom import room
from ddpm_course.data import CIFAR10_CLASSES
from ddpm_course.recipes import get_recipe
from ddpm_course.training import train


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch):
    monkeypatch.delenv("DDPM_COURSE_DATA", raising=False)
    room.training_digits.cache_clear()
    yield
    room.training_digits.cache_clear()


def test_photos_are_cifar10_where_it_is_and_drawn_pictures_elsewhere(tmp_path, monkeypatch, capsys):
    from PIL import Image

    room.photos.cache_clear()
    drawn = room.photos()
    assert len(drawn) == 2000 and drawn.images.shape[1:] == (3, 32, 32) and "drawn" in drawn.source
    assert capsys.readouterr().err == "" and room.photos() is drawn
    for name in CIFAR10_CLASSES:
        (tmp_path / "cifar10" / "train" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), "red").save(tmp_path / "cifar10" / "train" / name / "0.png")
    monkeypatch.setenv("DDPM_COURSE_DATA", str(tmp_path))
    room.photos.cache_clear()
    assert len(room.photos()) == 10 and room.photos().source.startswith("CIFAR-10")
    room.photos.cache_clear()


@pytest.mark.parametrize("value, is_fast", [(None, False), ("", False), ("0", False), ("1", True)])
def test_the_mode_is_the_environments(value, is_fast, monkeypatch, capsys):
    monkeypatch.delenv("DDPM_COURSE_FAST", raising=False)
    if value is not None:
        monkeypatch.setenv("DDPM_COURSE_FAST", value)
    found = room.setup()
    assert found.fast is is_fast and found.pick("full", "fast") == ("fast" if is_fast else "full")
    out = capsys.readouterr()
    assert out.out.count("\n") == 1 and out.err == "" and ("fast" if is_fast else "full") + " mode" in out.out


def test_without_mnist_the_offline_digits_come_with_their_labels_in_turn(capsys):
    found = room.setup()
    assert found.data.labels[:20].tolist() == [*range(10)] * 2
    assert len(found.data) == 5000 and torch.bincount(found.data.labels).tolist() == [500] * 10
    assert not room.is_mnist(found.data) and "offline" in capsys.readouterr().out
    assert isinstance(found.device, torch.device)


def test_the_line_names_no_folder(monkeypatch, tmp_path):
    assert "/" not in repr(room.setup())


def test_setup_downloads_only_when_asked(monkeypatch):
    asked = []
    real = room.load_data
    monkeypatch.setattr(room, "load_data", lambda name, download: asked.append(download) or real("mnist5k"))
    room.setup()
    room.setup(download=True)
    assert asked == [False, True]


def test_a_runs_folder_is_the_same_each_time_but_in_fast_mode(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = room.setup()
    full, fast = (dataclasses.replace(found, fast=fast) for fast in (False, True))
    assert full.run_dir("a") == full.run_dir("a") == tmp_path / "ddpm_course" / "classroom" / "runs" / "a-mnist5k"
    mnist = dataclasses.replace(found.data, source="MNIST train")
    assert dataclasses.replace(full, data=mnist).run_dir("a").name == "a-mnist"
    assert fast.run_dir("a") == fast.run_dir("a") != fast.run_dir("b") and tmp_path not in fast.run_dir("a").parents
    program = """
from ddpm_course.classroom import setup
folder = setup().run_dir("a")
folder.mkdir()
print(folder)
"""
    kernels = [subprocess.run([sys.executable, "-c", program], env=environment(tmp_path) | {"DDPM_COURSE_FAST": "1"}, capture_output=True,
                              text=True, timeout=240).stdout.splitlines()[-1] for _ in range(2)]
    assert kernels[0] != kernels[1] and not any(Path(folder).parent.exists() for folder in kernels)


def test_the_package_does_not_know_the_classroom_and_the_classroom_imports_lightly(tmp_path):
    program = """
import sys, ddpm_course
assert not [name for name in sys.modules if "classroom" in name]
from ddpm_course import classroom
assert not {"matplotlib", "ipywidgets", "IPython", "PIL"} & set(sys.modules)
assert classroom.plots.strip
assert set(classroom.__all__) <= {*dir(classroom), "check", "plots"}
"""
    result = subprocess.run([sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr


def test_trained_is_the_learners_finished_model_or_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = dataclasses.replace(room.setup(), fast=False)
    assert found.trained("mine") is None
    recipe = get_recipe("demo")
    model, diffusion = dataclasses.replace(recipe, unet=dataclasses.replace(recipe.unet, channels=(16,), groups=1)).build()
    config = dataclasses.replace(recipe.train, images=128, batch_size=32, warmup_images=32, ema_images=32, log_images=64)
    train(model, diffusion, found.data, config, found.run_dir("mine"), device="cpu")
    trained = found.trained("mine")
    assert trained is not None and trained.diffusion.prediction == diffusion.prediction and trained.card["images_seen"] == 128
