"""Run a learner's code where it can do little harm: in time, without a sound, and with the global state put back.

It is not a prison: what a learner's function may do by accident is kept harmless, what it may do on purpose is not.
C code that never lets go of Python's lock, such as `sum(itertools.count())`, cannot be stopped from inside Python.
"""

from __future__ import annotations

import ctypes
import io
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import numpy as np
import torch

SEED = 271_828_183  # one that nobody picks: a function that sets its own must show


class Stop(SystemExit):
    """Thrown into code that is out of time. A SystemExit: should it come late, the thread still ends without a traceback."""


@dataclass(frozen=True)
class TimeUp:
    """What `in_time` returns in place of a result: the frames that were running, and how many lines had been printed."""

    frame: FrameType | None
    printed: int


def in_time(work: Callable[[], Any], seconds: float) -> Any:
    """`work()` in a thread of its own; TimeUp after so many seconds. Prints nothing; torch, numpy and random are left as found.

    They are seconds that the thread computes, or spends asleep. Where the system tells it, waiting for a core of a busy machine does
    not count, up to twenty times as many seconds; elsewhere they are up to four times as many on the clock. So no right answer is late.

    work must not raise. A thread that sleeps inside C code is left behind, to end when it wakes.
    """
    done: list[Any] = []
    over: list[bool] = []

    def run() -> None:
        with suppress(Stop):
            try:
                done.append(work())
            finally:
                over.append(True)

    thread = threading.Thread(target=run, daemon=True)
    with _quiet(thread) as printed, _state_put_back():
        thread.start()
        try:
            began = last = time.monotonic()
            computed = idle = 0.0
            while thread.is_alive() and computed < seconds and idle < seconds * patience() and last - began < 20 * seconds:
                thread.join(0.02)
                computed, wants_more = _use(thread)
                now = time.monotonic()
                last, idle = now, idle + (0.0 if wants_more else now - last)
            frame = sys._current_frames().get(thread.ident or 0) if thread.is_alive() else None
        finally:  # also on the learner's own Ctrl-C
            _stop(thread, over)
    return done[0] if done else TimeUp(frame, printed[0])


def patience() -> float:
    """How much longer things take on this machine now than on an idle one: 1 to 4."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # Windows does not tell
    return min(4.0, max(1.0, load / (os.cpu_count() or 1)))


def _use(thread: threading.Thread) -> tuple[float, bool]:
    """Seconds of a core that the thread has had, and whether it has or wants one now; 0 and False where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):  # Linux: man proc, state, utime and stime
        stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, stat[11:13])) / os.sysconf("SC_CLK_TCK"), stat[0] == "R"
    return 0.0, False


def _stop(thread: threading.Thread, over: list[bool]) -> None:
    deadline = time.monotonic() + 0.2
    while thread.is_alive() and not over and time.monotonic() < deadline:  # again: an `except:` may have caught it
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Stop))
        thread.join(0.01)


class _Muted(io.TextIOBase):
    """A stream that swallows what one thread writes and passes on the rest."""

    def __init__(self, stream: TextIO, thread: threading.Thread, printed: list[int]):
        self.stream, self.thread, self.printed = stream, thread, printed

    def write(self, text: str) -> int:
        if threading.get_ident() != self.thread.ident:
            return self.stream.write(text)
        self.printed[0] += 1
        return len(text)

    def flush(self) -> None:
        if threading.get_ident() != self.thread.ident:
            self.stream.flush()


@contextmanager
def _quiet(thread: threading.Thread) -> Iterator[list[int]]:
    printed = [0]
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Muted(stream, thread, printed) for stream in kept)
    try:
        yield printed
    finally:
        sys.stdout, sys.stderr = kept


@contextmanager
def _state_put_back() -> Iterator[None]:
    """What is global to the process; the grad mode belongs to a thread and needs no care here."""
    dtype, states = torch.get_default_dtype(), (random.getstate(), np.random.get_state())
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            random.setstate(states[0])
            np.random.set_state(states[1])


@dataclass(frozen=True)
class Outcome:
    """What one call did: its value or the error it raised, and what it left changed in the process ("" for nothing)."""

    value: Any
    error: BaseException | None
    disturbed: str


def call(fn: Callable, args: tuple) -> Outcome:
    """fn(*args), always from the same random state. Never raises, but for Stop."""
    value, error = None, None
    with torch.enable_grad():
        torch.default_generator.manual_seed(SEED)  # alone: torch.manual_seed would seed the GPU, too
        random.seed(SEED)
        np.random.seed(SEED)
        dtype, before = torch.get_default_dtype(), _random_state()
        try:
            value = fn(*args)
        except Stop:
            raise
        except BaseException as raised:
            error = raised
        disturbed = "random" if _random_state() != before else ""
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
            disturbed = "default dtype"
        if not torch.is_grad_enabled():
            disturbed = "grad mode"
    return Outcome(value, error, disturbed)


def _random_state() -> tuple:
    numpy_state: Any = np.random.get_state()
    return torch.default_generator.get_state().numpy().tobytes(), random.getstate(), numpy_state[1].tobytes(), numpy_state[2]
