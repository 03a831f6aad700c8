"""Named settings: what to train, how long, on what. Every choice has its measured reason in benchmarks/README.md."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from .data import ImageData
from .diffusion import Diffusion
from .schedule import NoiseSchedule
from .training import TrainConfig
from .unet import UNet, UNetConfig


@dataclass(frozen=True)
class Recipe:
    """One thing to train. `build` makes the fresh model and its diffusion."""

    name: str
    description: str
    data: str
    unet: UNetConfig
    train: TrainConfig
    prediction: str = "x0"
    schedule: str = "cosine"
    min_snr_gamma: float | None = None

    def build(self, seed: int | None = None) -> tuple[UNet, Diffusion]:
        """A fresh model, its weights drawn from `seed` (the recipe's own by default), and the diffusion it learns."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.train.seed if seed is None else seed)
            model = UNet(self.unet)
        return model, Diffusion(NoiseSchedule.from_spec({"name": self.schedule}), self.prediction, self.min_snr_gamma)

    def fitted_to(self, data: ImageData) -> Recipe:
        """The same recipe for the size, the channels and the classes of other data."""
        channels, size = data.images.shape[1], data.images.shape[-1]
        classes = len(data.class_names) if self.unet.num_classes is not None else None
        return dataclasses.replace(self, unet=dataclasses.replace(self.unet, in_channels=channels, image_size=size, num_classes=classes))


def get_recipe(name: str) -> Recipe:
    """The recipe of a name; ValueError with the list of names for an unknown one."""
    if name not in RECIPES:
        raise ValueError(f"No recipe called {name!r}: choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]


# 16 channels or more to a norm's group: with fewer, and channels last, a CPU's bfloat16 GroupNorm takes ten times as long.
_DIGITS = UNetConfig(in_channels=1, image_size=28, channels=(32, 64), num_classes=10, patch=2, conditioning="scale-shift", groups=2)
_CIFAR = UNetConfig(in_channels=3, image_size=32, channels=(128, 256), blocks=2, attention=(16, 8), num_classes=10, patch=1)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "demo",
            "digits on request, from nothing in minutes on two CPU cores",
            data="mnist",
            unet=_DIGITS,
            train=TrainConfig(
                images=64_000, batch_size=128, lr=1.4e-3, muon_lr=0.014, warmup_images=3_000, ema_images=20_000, label_dropout=0.05,
                log_images=1_000,
            ),
        ),
        Recipe(
            "mnist",
            "digits on request, with a good budget",
            data="mnist",
            unet=dataclasses.replace(_DIGITS, blocks=2),
            train=TrainConfig(images=900_000, batch_size=128, lr=1.4e-3, muon_lr=0.014, ema_images=50_000, preview_images=100_000),
        ),
        Recipe(
            "mnist-unconditional",
            "digits, whichever come",
            data="mnist",
            unet=dataclasses.replace(_DIGITS, num_classes=None),
            train=TrainConfig(images=400_000, batch_size=128, lr=1.4e-3, muon_lr=0.014, ema_images=50_000, preview_images=40_000),
        ),
        Recipe(
            "cifar10-cpu",
            "small colour images by class, about two hours on two CPU cores",
            data="cifar10",
            unet=dataclasses.replace(
                _CIFAR, channels=(32, 64, 128), blocks=1, attention=(), patch=2, groups=2, conditioning="scale-shift",
            ),
            train=TrainConfig(
                images=1_600_000, batch_size=128, lr=1.4e-3, muon_lr=0.014, ema_images=50_000, flip=True, preview_images=16_000
            ),
        ),
        Recipe(
            "cifar10-colab",
            "small colour images by class, an hour or two on a Colab T4",
            data="cifar10",
            unet=dataclasses.replace(_CIFAR, channels=(96, 192), blocks=2, attention=(8,), patch=2, dropout=0.1),
            train=TrainConfig(
                images=6_000_000, batch_size=128, lr=4e-4, warmup_images=50_000, ema_images=200_000, flip=True, preview_images=60_000
            ),
            prediction="v",
        ),
        Recipe(
            "cifar10-full",
            "small colour images by class, under an hour on one data-centre GPU",
            data="cifar10",
            unet=dataclasses.replace(_CIFAR, channels=(96, 192, 192), blocks=2, attention=(16, 8), dropout=0.1),
            train=TrainConfig(
                images=25_000_000, batch_size=512, lr=1e-3, warmup_images=200_000, ema_images=500_000, flip=True,
                compile=True, log_images=51_200, preview_images=250_000,
            ),
            prediction="v",
        ),
    )
}
