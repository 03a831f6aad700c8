"""The learner's own training, beside the notebook: a process of its own that a restarted kernel does not end."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ..checkpoints import Loaded, load_checkpoint, write_json
from ..data import cache_dir
from ..recipes import get_recipe
from .room import fast, is_mnist, training_digits

_PROGRESS = re.compile(r"([\d,]+) of ([\d,]+) images, loss ([\d.]+), (\d+) s left")
NICE = 5  # the notebook comes first; at 10 a busy machine would starve it
COMMAND = [sys.executable, "-m", "ddpm_course"]
_children: dict[Path, subprocess.Popen] = {}  # started by this kernel


@dataclass(frozen=True)
class Training:
    """A training run on this machine. Nothing here raises because a run failed: `line()` says what happened."""

    run_dir: Path

    @property
    def done(self) -> bool:
        """Whether the finished model is there."""
        return (self.run_dir / "model.safetensors").is_file()

    @property
    def running(self) -> bool:
        """Whether a process is at work on it, started by this kernel or by an earlier one."""
        child = _children.get(self.run_dir)
        if child is not None and child.poll() is None:
            return True
        if child is None and self._pid(younger_than=120) is not None:  # it has not come to its lock yet
            return True
        lock = self.run_dir / "lock"  # held as long as the training lives
        try:
            if lock.is_file():  # asking for one would make it
                with FileLock(lock, timeout=0):
                    pass
        except Timeout:
            return True
        except OSError:
            pass  # not ours to read
        return False

    def line(self) -> str:
        """One sentence: how far it is, or what stopped it."""
        if self.done:
            return "Your training is done."
        log = self._log()
        progress = next((found for text in reversed(log) if (found := _PROGRESS.search(text))), None)
        if self.running:
            if progress is None:
                return "Your training is starting."
            seen, total, loss, left = progress.groups()
            return f"Your training: {seen} of {total} images, loss {loss}, about {left} s left."
        if not self.run_dir.is_dir():
            return "You have not started a training yet. Run start_training()."
        last = log[-1] if log else "it was ended before its first word."
        return f"Your training stopped: {last} Run start_training() to go on from its last save."

    def wait(self, seconds: float) -> bool:
        """Wait until it is done or has stopped, at most so long; whether it is done. Shows its progress on the way."""
        until, said = time.monotonic() + seconds, ""
        while not self.done and self.running and time.monotonic() < until:
            if (line := self.line()) != said:
                said = line
                print(line, flush=True)
            time.sleep(0.2)
        return self.done

    def model(self) -> Loaded | None:
        """The finished model; before that what was last saved (every minute); None when there is nothing yet."""
        if self.done or (self.run_dir / "state.safetensors").is_file():
            return load_checkpoint(self.run_dir)
        return None

    def stop(self) -> None:
        """Ask it to save and end, if it runs. start_training() goes on from there."""
        pid = self._pid()
        if pid is not None and self.running:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)

    def _pid(self, younger_than: float = math.inf) -> int | None:
        """The process that was started last, if it is there; None on Windows, where asking would end it."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            path = self.run_dir / "process.json"
            pid = json.loads(path.read_text())["pid"]
            if sys.platform != "win32" and time.time() - path.stat().st_mtime < younger_than:
                os.kill(pid, 0)
                return pid
        return None

    def _log(self) -> list[str]:
        with contextlib.suppress(OSError):
            return [text.strip() for text in (self.run_dir / "log.txt").read_text(errors="replace").splitlines() if text.strip()]
        return []

    def __repr__(self) -> str:
        return self.line()


def start_training(recipe: str = "demo", images: int | None = None) -> Training:
    """Train a recipe in the background, with low priority, and come back at once.

    Called again, in this notebook or another, it joins the run that is under way, or resumes one that was cut short.
    images: how many to see, instead of the recipe's number (in fast mode: twenty batches).
    """
    config = get_recipe(recipe).train
    images = images or (20 * config.batch_size if fast() else config.images)
    data = get_recipe(recipe).data
    if data == "mnist" and not is_mnist(training_digits()):
        data = "mnist5k"  # no download behind the learner's back
    training = Training(_runs() / f"{recipe}-{data}-{images}")
    write_json(_runs() / "latest.json", {"run": training.run_dir.name})
    if not training.done and not training.running:
        _start(training.run_dir, [recipe, "--data", data, "--images", str(images), "--run-dir", str(training.run_dir)])
    return training


def my_training() -> Training:
    """The run that start_training() was last called for, on this machine."""
    name = "none"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        name = json.loads((_runs() / "latest.json").read_text())["run"]
    return Training(_runs() / name)


def _start(run_dir: Path, arguments: list[str]) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    package = str(Path(__file__).resolve().parents[2])  # found there too when it is not installed
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    how: dict = {"start_new_session": True}  # out of reach of what ends the kernel
    if sys.platform == "win32":
        how = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    with open(run_dir / "log.txt", "w") as log:
        child = subprocess.Popen([*COMMAND, "train", *arguments], cwd=run_dir, stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": path}, **how)
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, child.pid, os.getpriority(os.PRIO_PROCESS, 0) + NICE)
    _children[run_dir] = child
    write_json(run_dir / "process.json", {"pid": child.pid})


def _runs() -> Path:
    return cache_dir() / "classroom" / "runs"
