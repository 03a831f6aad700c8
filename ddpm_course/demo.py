"""The main job: train a label-conditioned DDPM on this machine from nothing, draw digits on request, measure them."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from .checkpoints import load_judge, write_json
from .data import atomic_file, load_data, to_uint8, write_png
from .machine import pick_device
from .metrics import evaluate, label_accuracy
from .recipes import get_recipe
from .sampling import sample
from .training import begun, measure_speed, plan_images, train

TRAINING_SECONDS = 300.0  # of the six minutes; the rest is for drawing and measuring 1,500 digits
STEPS = 20  # of the ancestral sampler; see benchmarks/README.md


def run_demo(out: str | Path, seed: int = 0, *, images: int | None = None, samples: int = 1000, say: Callable[[str], None] = print,
             report: Callable[[dict], None] | None = None) -> dict:
    """Train, draw, measure; write digits.png, samples.npz and report.json into `out`; return the report.

    images: to see in training; by default as many as this machine manages in TRAINING_SECONDS. An interrupted demo goes
    on where it stopped; a finished one is not trained again unless out/run is deleted.
    """
    out = Path(out)
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(phase: str) -> None:
        nonlocal clock
        seconds[phase] = round(time.perf_counter() - clock, 2)
        clock = time.perf_counter()

    device = pick_device()
    data = load_data("mnist", download=False)
    judge, _ = load_judge("judge-mnist")
    recipe = get_recipe("demo")
    config = dataclasses.replace(recipe.train, seed=seed)
    earlier = begun(out / "run")
    if earlier is not None and images is None:
        images = earlier["train"]["images"]
    lap("load")

    model, diffusion = recipe.build(seed)
    if images is None:
        speed = measure_speed(model, diffusion, data, config, device)
        images = plan_images(speed, TRAINING_SECONDS)
        say(f"This machine sees about {speed:,.0f} images a second: training on {images:,}.")
    config = dataclasses.replace(config, images=images)
    lap("plan")
    say(f"Learning to turn noise into the digit asked for, from {len(data):,} real ones ({data.source}).")
    result = train(model, diffusion, data, config, out / "run", device=device, report=report)
    lap("train")

    labels, labels_guided = torch.arange(samples) % 10, torch.arange(samples // 2) % 10
    say(f"Drawing {samples:,} digits as asked, unguided, and {len(labels_guided):,} more at guidance scale 2.")
    drawn = to_uint8(sample(diffusion, result.model, labels=labels, seed=seed, timesteps=STEPS)).cpu()
    lap("sample")
    guided = to_uint8(sample(diffusion, result.model, labels=labels_guided, seed=seed + 1, scale=2.0, timesteps=STEPS)).cpu()
    lap("sample_guided")
    figures = evaluate(judge, drawn, labels, data)
    diversities = {"in pixels": figures.diversity_pixels, "on the judge's features": figures.diversity}
    unguided, at_two = label_accuracy(judge, drawn, labels), label_accuracy(judge, guided, labels_guided)
    lap("measure")

    summary = {
        "seconds": {**seconds, "train": round(result.seconds, 2), "total": round(sum(seconds.values()), 2)},
        "images_seen": result.images_seen,
        "images_per_second": round(result.images_per_second, 1),
        "device": result.device,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "dtype": result.dtype,
        "seed": seed,
        "data": data.source,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "label_accuracy_unguided": dataclasses.asdict(unguided),
        "label_accuracy_scale_2": dataclasses.asdict(at_two),
        "diversity": {name: dataclasses.asdict(value) | {"ratio": value.ratio} for name, value in diversities.items()},
        "frechet_distance": figures.frechet,
        "frechet_distance_real_floor": figures.frechet_floor,
        "near_copies": figures.near_copies,
        "near_copies_of": samples,
        "near_copies_rule": figures.near_copies_rule,
        "sampler": {"solver": "ddpm", "steps": STEPS},
    }
    columns = min(10, samples // 10)
    write_grid(out / "digits.png", drawn[: 10 * columns].reshape(columns, 10, 1, 28, 28).transpose(0, 1).flatten(0, 1), columns)
    with atomic_file(out / "samples.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, images=drawn[:, 0].numpy(), labels=labels.numpy())
    write_json(out / "report.json", summary)
    say(f"Label accuracy, unguided: {unguided}; at guidance scale 2: {at_two}.")
    shares = ", ".join(f"{value.ratio:.2f} {name}" for name, value in diversities.items())
    say(f"Diversity within a label, as a share of real digits': {shares} (where misread digits count as diverse).")
    say(f"Frechet distance: {figures.frechet:.2f}; real digits from other real digits: {figures.frechet_floor:.2f}.")
    say(f"Near-copies of training digits: {figures.near_copies} of {samples} (about {samples // 100} if all were new real digits).")
    total = sum(seconds.values())
    say(f"{result.images_seen:,} images in {result.seconds:.0f} s of training on {result.device}, {result.dtype}; {total:.0f} s in all.")
    say(f"Files: {out / 'digits.png'}, {out / 'samples.npz'}, {out / 'report.json'}")
    return summary


def write_grid(path: str | Path, images: torch.Tensor, columns: int = 10, zoom: int = 3) -> None:
    """uint8 images (N, C, H, W) as one PNG, row by row, each pixel drawn zoom x zoom."""
    from torchvision.utils import make_grid

    grid = make_grid(images, nrow=columns, padding=1, pad_value=64)
    grid = grid.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
    write_png(path, grid)
