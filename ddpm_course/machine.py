"""The machine the course runs on: its device, in words, and the dtype it is fastest with."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import time
from pathlib import Path

import torch
from torch import nn

from .checkpoints import CheckpointError, write_json
from .data import cache_dir


def pick_device() -> torch.device:
    """CUDA (the local rank's, under torchrun), else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fastest_dtype(device: torch.device) -> str:
    """"bfloat16" where a convolution is at least 1.3 times faster with it, else "float32"; measured once, kept in the cache."""
    key = f"{describe_device(device)}; {_cpu_name()}; torch {torch.__version__}; {os.environ.get('ONEDNN_MAX_CPU_ISA', 'all instructions')}"
    kept = cache_dir() / "fastest-dtype.json"
    known: dict = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(kept.read_text())
    if known.get(key) not in ("float32", "bfloat16"):
        seconds = {dtype: _conv_seconds(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
        known[key] = "bfloat16" if seconds[torch.float32] > 1.3 * seconds[torch.bfloat16] else "float32"
        with contextlib.suppress(CheckpointError):
            write_json(kept, known)
    return known[key]


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):  # the instructions, not the name: what virtual machines report truly
                return " ".join(flag for flag in line.split() if flag.startswith(("avx", "amx")))
    return platform.processor()


def _conv_seconds(device: torch.device, dtype: torch.dtype) -> float:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        layer = nn.Conv2d(64, 64, 3, padding=1).to(device).to(memory_format=torch.channels_last)
        x = torch.randn(8 if device.type == "cpu" else 512, 64, 14, 14, device=device).contiguous(memory_format=torch.channels_last)
    times = []
    try:
        for _ in range(4):
            start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
                loss = layer(x).float().square().sum()
            loss.backward()
            loss.item()  # waits for the device
            times.append(time.perf_counter() - start)
            if times[0] > 0.5:
                break  # emulated: the answer is clear
    except RuntimeError:
        return math.inf  # this device cannot
    return min(times)


def describe_device(device: torch.device) -> str:
    """A device in words, with what its speed depends on."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return "mps: Apple GPU"
    threads = torch.get_num_threads()
    return f"cpu: {platform.machine()}, {threads} {'thread' if threads == 1 else 'threads'}, {torch.backends.cpu.get_cpu_capability()}"
