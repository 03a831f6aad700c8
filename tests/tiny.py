"""Small things that several test files share: a tiny U-Net, a few real digits, a recipe for the command line.

Run as a script it is the command line itself, with one more recipe: `python tiny.py train tiny --data mnist5k`.
"""

import dataclasses
import functools
import io
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ddpm_course.data import ImageData, load_data
from ddpm_course.diffusion import Diffusion
from ddpm_course.recipes import RECIPES, Recipe
from ddpm_course.schedule import NoiseSchedule
from ddpm_course.training import TrainConfig, train
from ddpm_course.unet import UNet, UNetConfig

HERE = Path(__file__).parent
UNET = UNetConfig(channels=(8, 16), groups=4, patch=2, num_classes=10)
SMALL = dataclasses.replace(UNET, image_size=8)
TRAIN = TrainConfig(
    images=640, batch_size=16, lr=2e-3, warmup_images=64, ema_images=64, dtype="float32", log_images=64, checkpoint_seconds=0.0
)
RECIPE = Recipe("tiny", "a tiny network for the tests", data="mnist5k", unet=UNET, train=TRAIN)


@functools.cache
def digits(n: int = 256, size: int = 28) -> ImageData:
    """n real digits, the labels in turn; size 8 averages 3x3 pixels of the middle."""
    data = load_data("mnist5k")
    data = data[torch.arange(5000).reshape(10, 500).T.flatten()[:n]]
    if size == 28:
        return data
    pooled = F.avg_pool2d(data.images[:, :, 2:26, 2:26].float(), 3).round().to(torch.uint8)
    return dataclasses.replace(data, images=pooled)


def build(seed: int = 0, unet: UNetConfig = SMALL, prediction: str = "v") -> tuple[UNet, Diffusion]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = UNet(unet)
    return model, Diffusion(NoiseSchedule.cosine(), prediction)


def run(run_dir=None, data=None, model=None, **changes):
    """Train the small network on 8x8 digits. report: passed on."""
    report = changes.pop("report", None)
    fresh, diffusion = build()
    config = dataclasses.replace(TRAIN, **changes)
    return train(model or fresh, diffusion, digits(256, 8) if data is None else data, config, run_dir, device="cpu", report=report)


def run_alone(run_dir, changes, pause=0.0) -> None:
    """`run` in a process of its own, with one thread; a pause after each record leaves time to kill it."""
    torch.set_num_threads(1)
    run(run_dir, report=lambda record: time.sleep(pause), **changes)


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def picture(shape, seed, kind="JPEG") -> bytes:
    """A smooth random picture as an image file. shape: (H, W) is grey, (H, W, 3) in colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, *shape[2:]), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize(shape[1::-1]).save(out, kind)
    return out.getvalue()


def environment(cache, **more) -> dict:
    """For a process started by a test: the package and this folder are found, one thread, a cache of its own, no data."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DDPM_COURSE_DATA", "WORLD_SIZE", "RANK", "LOCAL_RANK", "PYTHONPATH")}
    path = os.pathsep.join([str(HERE.parent), str(HERE)])
    return kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cache), "CUDA_VISIBLE_DEVICES": ""} | more


if __name__ == "__main__":
    from ddpm_course.cli import main

    RECIPES["tiny"] = RECIPE
    sys.exit(main())
