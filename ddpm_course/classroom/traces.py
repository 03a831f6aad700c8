"""A profiler's trace: what a CPU and a GPU did when. Read alike, whether torch.profiler recorded it or `queue_trace` made it.

An event is a dict as in the file that `prof.export_chrome_trace` writes: "name", "cat" (cpu_op, cuda_runtime, kernel),
"ts" and "dur", both in microseconds.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Event = dict[str, Any]


def queue_trace(steps: int = 3, item: bool = False, *, kernels: int = 40, launch: float = 8.0, kernel: float = 30.0,
                between: float = 250.0) -> list[Event]:
    """The trace of a made-up machine, computed by the rule of the queue. No GPU was measured for it.

    The CPU spends `between` us of Python on each step, then launches its kernels, `launch` us each, into a queue. The GPU
    takes them from the queue in order, `kernel` us each. With `item`, the CPU ends each step as `loss.item()` does: it waits
    until the queue is empty.
    """
    events: list[Event] = []
    cpu = gpu = 0.0
    for _ in range(steps):
        events.append(_event("the loop's own Python", "cpu_op", cpu, between))
        cpu += between
        for k in range(kernels):
            events.append(_event("cudaLaunchKernel", "cuda_runtime", cpu, launch))
            cpu += launch
            begin = max(gpu, cpu)
            gpu = begin + kernel
            events.append(_event(f"kernel_{k}", "kernel", begin, kernel))
        if item:  # three names for one wait: the method, its inside, and what it calls
            wait = max(gpu - cpu, 0.0) + launch
            events += [_event("aten::item", "cpu_op", cpu, wait + 4), _event("aten::_local_scalar_dense", "cpu_op", cpu + 1, wait + 2),
                       _event("cudaStreamSynchronize", "cuda_runtime", cpu + 2, wait)]
            cpu += wait + 4
    return events


def _event(name: str, cat: str, ts: float, dur: float) -> Event:
    return {"ph": "X", "name": name, "cat": cat, "ts": ts, "dur": dur}


def profiled(work: Callable[[], object]) -> torch.profiler.profile:
    """torch.profiler while this works, of the GPU too where there is one. What its C++ part writes to stderr is left out."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with torch.profiler.profile(activities=activities) as profiler:
            work()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    return profiler


def recorded(work: Callable[[], object]) -> list[Event]:
    """The events that `profiled` notes, as `export_chrome_trace` writes them."""
    profiler = profiled(work)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return [event for event in json.loads(path.read_text())["traceEvents"] if event.get("ph") == "X" and "dur" in event]


def spans(events: Sequence[Event], cat: str, name: str = "") -> Tensor:
    """Start and end of the events of this category (and name), as (N, 2) in microseconds; float64, as times since 1970 are long."""
    found = [(event["ts"], event["ts"] + event["dur"]) for event in events
             if event.get("cat") == cat and event["name"].startswith(name)]
    return torch.tensor(found, dtype=torch.float64).reshape(-1, 2)


def lanes(events: Sequence[Event]) -> Mapping[str, list[tuple[float, float, str]]]:
    """The two lanes of a picture (`plots.lanes`), in milliseconds: what the CPU did, at the top level, and what the GPU did."""
    begin = min(event["ts"] for event in events)
    words = {"cudaLaunchKernel": "launches", "aten::item": "waits in .item()", "the loop's own Python": "Python"}

    def bar(event: Event, word: str) -> tuple[float, float, str]:
        return (event["ts"] - begin) / 1e3, event["dur"] / 1e3, word

    return {"CPU": [bar(event, words[event["name"]]) for event in events if event["name"] in words],
            "GPU": [bar(event, "kernels") for event in events if event["cat"] == "kernel"]}
