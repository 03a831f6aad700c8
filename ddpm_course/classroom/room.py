"""Where a notebook runs: which device, which mode, which digits. Said in one line, and held in one object."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from ..checkpoints import Loaded, load_checkpoint
from ..data import DataError, ImageData, cache_dir, load_data
from ..machine import describe_device, pick_device

Value = TypeVar("Value")


@dataclass(frozen=True)
class Room:
    """device: where models run; fast: fewer images, the same code; data: the training digits, `ImageData`."""

    device: torch.device
    fast: bool
    data: ImageData

    def pick(self, full: Value, fast: Value) -> Value:
        """The value for the mode at hand."""
        return fast if self.fast else full

    def run_dir(self, name: str) -> Path:
        """A folder for a training, to be passed to `train`: in the learner's cache, the same for these data whenever it is asked for.

        In fast mode it is a new one for each kernel and goes with it, so that a test trains, and two tests do not meet.
        """
        if self.fast:
            return _fast_runs() / name
        return cache_dir() / "classroom" / "runs" / f"{name}-{'mnist' if is_mnist(self.data) else 'mnist5k'}"

    def trained(self, name: str) -> Loaded | None:
        """The learner's own model: that of the finished training in `run_dir(name)`, else None."""
        folder = self.run_dir(name)
        return load_checkpoint(folder) if (folder / "model.safetensors").is_file() else None

    def __repr__(self) -> str:
        cpu, count = self.device.type == "cpu", torch.get_num_threads()
        where = f"{count} CPU thread{'s' if count > 1 else ''}" if cpu else describe_device(self.device)
        offline = "" if is_mnist(self.data) else ", the copy that works offline"
        return f"Ready: {where}; {'fast' if self.fast else 'full'} mode; {len(self.data):,} MNIST digits{offline}."


def setup(download: bool = False) -> Room:
    """Look around and say in one line what was found. `download=True` may fetch MNIST; without it no network is used."""
    room = Room(pick_device(), fast(), training_digits(download))
    print(room)
    return room


def fast() -> bool:
    """Whether DDPM_COURSE_FAST asks for the fast mode."""
    return os.environ.get("DDPM_COURSE_FAST", "") not in ("", "0")


@functools.cache
def _fast_runs() -> Path:
    folder = tempfile.mkdtemp(prefix="ddpm-course-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@functools.cache  # read once a kernel
def training_digits(download: bool = False) -> ImageData:
    """MNIST from this machine, else the 5,000 digits that work offline: those with their labels in turn, not sorted."""
    with contextlib.redirect_stderr(io.StringIO()):  # the room's line says which it is
        data = load_data("mnist", download=download)
    if is_mnist(data):
        return data
    place_in_class = (data.labels[:, None] == torch.arange(10)).cumsum(0).gather(1, data.labels[:, None])[:, 0]
    return data[torch.argsort(place_in_class * 10 + data.labels)]


@functools.cache
def photos(download: bool = False) -> ImageData:
    """CIFAR-10's training images from this machine, else 2,000 drawn pictures of ten kinds of things: `source` says which."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return load_data("cifar10", download=download)
    except DataError:
        from .drawn import drawn_data  # with PIL: most notebooks need neither

        return drawn_data(2000)


def is_mnist(data: ImageData) -> bool:
    """Whether these are MNIST's own files, and not the offline copy."""
    return data.source.startswith("MNIST")
