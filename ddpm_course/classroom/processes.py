"""Programs in processes of their own: started, killed, and run many at a time by torchrun. None outlives the kernel."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist

_started: list[subprocess.Popen] = []


@dataclass(frozen=True)
class Ran:
    """What came of a program. said: all that it wrote; why: "" where it ended well, else one sentence; seconds: how long it took."""

    said: str
    why: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.why

    def lines(self, first: str) -> list[str]:
        """The lines that begin with this word, in the order in which they were written."""
        return [line for line in self.said.splitlines() if line.startswith(first)]


def scratch() -> Path:
    """A new folder that goes when the kernel ends."""
    folder = Path(tempfile.mkdtemp(prefix="ddpm-course-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def start(*arguments: object, said: Path, threads: int = 1) -> subprocess.Popen:
    """Python with these arguments, beside the notebook: start("train.py", folder, said=folder / "said.txt"), where its words go."""
    with open(said, "a") as file:
        return _popen([sys.executable, *map(str, arguments)], threads, file)


def run(*arguments: object, threads: int = 1, seconds: float = 200.0) -> Ran:
    """Python with these arguments, until it ends, or is ended after so many seconds."""
    return _ran([sys.executable, *map(str, arguments)], threads, seconds)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL: it ends at once, and cannot save, nor say a word."""
    if process.poll() is None:
        if hasattr(signal, "SIGKILL"):
            os.kill(process.pid, signal.SIGKILL)
        else:  # Windows has no signals; this is as sudden
            process.kill()
    process.wait()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen, seconds: float = 200.0) -> bool:
    """Wait until it holds; False where the process ends first, or the time is over."""
    until = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def torchrun(*arguments: object, processes: int = 2, restarts: int = 0, threads: int = 1, seconds: float = 200.0) -> Ran:
    """`torchrun --standalone --nproc-per-node PROCESSES --max-restarts RESTARTS` with a program and its arguments, on this machine."""
    if why := no_torchrun():
        return Ran("", why)
    # Standalone: a free port is found. The address of the machine itself, so that nothing is looked up in a network.
    options = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(processes), "--max-restarts", str(restarts)]
    return _ran([sys.executable, "-m", "torch.distributed.run", *options, *map(str, arguments)], threads, seconds)


def no_torchrun() -> str:
    """Why this machine cannot start processes that speak to each other; "" where it can."""
    if sys.platform == "win32":
        return "torchrun with gloo is not tried on Windows: use Linux there (WSL), a Mac, or Colab."
    if not (dist.is_available() and dist.is_gloo_available()):
        return "This build of torch has no gloo, by which processes on a CPU speak: install torch from pytorch.org."
    return ""


def _ran(command: list[str], threads: int, seconds: float) -> Ran:
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:  # a pipe would fill, and is held by grandchildren
        process, why = _popen(command, threads, said), ""
        try:
            if process.wait(seconds):
                why = f"It ended with code {process.returncode}"
        except subprocess.TimeoutExpired:
            why = f"It was not done within {seconds:.0f} seconds"
        finally:
            _end(process)
        said.seek(0)
        text = said.read()
    last = next((line.strip() for line in reversed(text.splitlines()) if "Error" in line or line.startswith("ddpm-course:")), "")
    return Ran(text, f"{why}{f': {last[:160]}' if last else ''}." if why else "", time.monotonic() - began)


def _popen(command: list[str], threads: int, said) -> subprocess.Popen:
    package = str(Path(__file__).resolve().parents[2])  # found there too when it is not installed
    ours = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    env = {name: value for name, value in os.environ.items() if name not in ours}
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    env |= {"PYTHONPATH": os.pathsep.join(filter(None, [package, env.get("PYTHONPATH")])), "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": env.get("GLOO_SOCKET_IFNAME", loopback)}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, env=env,
                               start_new_session=sys.platform != "win32")
    _started.append(process)
    return process


def _end(process: subprocess.Popen) -> None:
    """End a process and what it has started."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@atexit.register
def _end_all() -> None:
    for process in _started:
        if process.poll() is None:
            _end(process)
