"""A training in a thread of the kernel, so that the cells that follow can be read and run while it goes on.

A process of its own (`background`) trains a recipe. A thread trains what the learner wrote in a cell.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from pathlib import Path

import torch
from torch import nn

from ..data import ImageData
from ..diffusion import Diffusion
from ..machine import fastest_dtype
from ..training import TrainConfig, TrainingError, TrainResult, train
from .live import Live, live

NICE = 3  # the cells come first: the thread gets the smaller share of a busy core, and all of an idle one
LAST_SAVE = 20.0  # seconds that the end of the kernel waits for a step and a save
_runs: dict[Path, Beside] = {}


class Beside:
    """What `beside` returns. run_dir: the training's folder. result: its TrainResult when it is done, else None."""

    def __init__(self, run_dir: Path):
        self.run_dir, self.result = run_dir, None
        self.error: BaseException | None = None
        self.record: dict | None = None  # the newest of the training's history
        self.thread: threading.Thread | None = None
        self.wish = threading.Event()

    result: TrainResult | None

    @property
    def running(self) -> bool:
        """Whether the thread is at work."""
        return self.thread is not None and self.thread.is_alive()

    def line(self) -> str:
        """One sentence: how far it is, or what stopped it. Never raises."""
        if self.result is not None:
            return f"The training is done: {self.result.images_seen:,} images."
        if isinstance(self.error, KeyboardInterrupt):
            return f"{self.error} Start it again to go on from there."
        if self.error is not None:
            return f"The training stopped: {_in_one_line(self.error)}"
        if self.record is None:
            return "The training is starting."
        return f"The training runs beside the notebook: {Live.line(self.record)}."

    def wait(self) -> TrainResult:
        """Show its progress until it is done, and return its result.

        The stop button leaves the wait; the training goes on, and another wait() joins it. What stopped the training is raised here.
        """
        show, seen = live("Training", self.run_dir), None
        while self.running:
            if self.record is not seen and self.record is not None:
                seen = self.record
                show(seen)
            time.sleep(0.1)
        if self.result is not None:
            if self.record is not seen and self.record is not None:
                show(self.record)
            return self.result
        if isinstance(self.error, TrainingError):
            raise self.error
        raise TrainingError(self.line()) from self.error

    def stop(self) -> None:
        """Ask it to save and end, and wait until it has. Starting it again goes on from there."""
        self.wish.set()
        if self.thread is not None:
            self.thread.join()

    def _start(self, *given) -> None:
        self.thread = threading.Thread(target=self._train, args=given, name=f"training in {self.run_dir.name}", daemon=True)
        self.thread.start()

    def _train(self, model: nn.Module, diffusion: Diffusion, data: ImageData, config: TrainConfig, device: torch.device) -> None:
        if sys.platform == "linux":  # there a thread has a priority of its own, which the threads that it starts inherit
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICE)
        try:
            self.result = train(model, diffusion, data, config, self.run_dir, device=device, report=self._note, stop=self.wish.is_set)
        except BaseException as error:  # a traceback from a thread would stand under whichever cell is running
            self.error = error

    def _note(self, record: dict) -> None:
        self.record = record

    def __repr__(self) -> str:
        return self.line()


def beside(model: nn.Module, diffusion: Diffusion, data: ImageData, config: TrainConfig, run_dir: str | Path,
           device: torch.device) -> Beside:
    """Start `train` with these arguments in a thread, and come back at once.

    Called again for the same run_dir while it is under way, it joins that training, whatever else is passed. After a stop, an
    error or a restart of the kernel it resumes from the folder; a finished one is read from there. When the kernel ends, the
    training saves first. The model, the diffusion and the data belong to the thread until it is done.
    """
    folder = Path(run_dir).resolve()
    known = _runs.get(folder)
    if known is not None and known.running:
        return known
    if config.dtype == "auto":
        fastest_dtype(device)  # measured once a machine, and better before two threads share it
    started = _runs[folder] = Beside(folder)
    started._start(model, diffusion, data, config, device)
    return started


@atexit.register
def _save_all() -> None:
    """The kernel ends: every training saves, if it can do so in time."""
    running = [run for run in _runs.values() if run.running]
    for run in running:
        run.wish.set()
    until = time.monotonic() + LAST_SAVE
    for run in running:
        if run.thread is not None:
            run.thread.join(max(0.0, until - time.monotonic()))


def _in_one_line(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, TrainingError) else f"{type(error).__name__}: {said}" if said else f"{type(error).__name__}."
