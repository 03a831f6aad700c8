"""Why a recipe is what it is: each choice taken back, one at a time, at equal time.

    python benchmarks/choices.py                                   # every variant of the demo's recipe, one after the other
    python benchmarks/choices.py "AdamW alone" patch               # those whose name begins so
    python benchmarks/choices.py --recipe cifar10-cpu --seconds 150

Each variant learns on one thread, for --seconds of processor time (which a busy machine does not shorten). The demo learns from the
5,000 embedded digits, then draws 500 as asked, which the judge reads. cifar10-cpu learns from CIFAR-10's training images. In so short
a time nothing that could be read comes of it, so its guesses are measured: their squared error on 500 test images at six levels of noise.
Weights are kept in build/choices, so that a variant is trained once; rows are added to benchmarks/results/choices[-cifar10].csv.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from pathlib import Path

import torch

from ddpm_course import Loaded, get_recipe, label_accuracy, load_checkpoint, load_data, load_judge, q_sample, sample, to_float, to_uint8
from ddpm_course.checkpoints import save_model
from ddpm_course.data import ImageData
from ddpm_course.machine import fastest_dtype
from ddpm_course.metrics import evaluate
from ddpm_course.recipes import Recipe
from ddpm_course.training import Trainer

HERE = Path(__file__).parent
KEPT = HERE.parent / "build" / "choices"
TABLES = {"demo": "choices.csv", "cifar10-cpu": "choices-cifar10.csv"}


def variants(base: Recipe) -> dict[str, Recipe]:
    """The recipe, and the recipe with one choice changed."""

    def unet(**change) -> Recipe:
        return dataclasses.replace(base, unet=dataclasses.replace(base.unet, **change))

    def training(**change) -> Recipe:
        return dataclasses.replace(base, train=dataclasses.replace(base.train, **change))

    both = {
        "the recipe": base,
        "AdamW alone": training(muon_lr=0.0, lr=2e-3),
        "twice the rates": training(muon_lr=2 * base.train.muon_lr, lr=2 * base.train.lr),
        "half the rates": training(muon_lr=base.train.muon_lr / 2, lr=base.train.lr / 2),
        "target v": dataclasses.replace(base, prediction="v"),
        "target x0": dataclasses.replace(base, prediction="x0"),
        "target eps": dataclasses.replace(base, prediction="eps"),
        "linear schedule": dataclasses.replace(base, schedule="linear"),
        "cosine schedule": dataclasses.replace(base, schedule="cosine"),
        "min-SNR weight, gamma 5": dataclasses.replace(base, min_snr_gamma=5.0),
        "embedding added": unet(conditioning="add"),
        "two blocks a level": unet(blocks=2),
        "batch 64": training(batch_size=64, lr=base.train.lr / 2**0.5, muon_lr=base.train.muon_lr / 2**0.5),
        "dropout 0.1": unet(dropout=0.1),
        "labels dropped half as often": training(label_dropout=base.train.label_dropout / 2),
        "timesteps not stratified": training(stratify=False),
        "constant learning rate": training(lr_end=1.0),
        "average over 500 images": training(ema_images=500),
    }
    if base.data == "mnist":
        own = {
            "narrower: 16, 64 channels": unet(channels=(16, 64), groups=1),
            "wider: 32, 96 channels": unet(channels=(32, 96)),
            "patches of 4, one level of 64": unet(channels=(64,), patch=4),
            "norms in groups of 4 channels": unet(groups=8),
        }
    else:
        own = {
            "two levels: 32, 64": unet(channels=(32, 64), groups=2),
            "two levels: 48, 96": unet(channels=(48, 96), groups=3),
            "two levels: 64, 128": unet(channels=(64, 128), groups=4),
            "wider: 48, 96, 192": unet(channels=(48, 96, 192), groups=3),
            "patches of 4: 64, 128": unet(channels=(64, 128), groups=4, patch=4),
            "patches of 4: 96, 192": unet(channels=(96, 192), groups=6, patch=4),
            "attention at 8": unet(attention=(8,)),
        }
    return both | own


def trained(name: str, recipe: Recipe, data: ImageData, seconds: float, seed: int) -> Path:
    """The folder of a variant's weights, trained for `seconds` of processor time unless that was done before."""
    kept = KEPT / f"{recipe.name}-{seconds:g}s-seed{seed}" / "".join(c if c.isalnum() else "-" for c in name)
    if (kept / "model.safetensors").is_file():
        return kept
    device = torch.device("cpu")
    config = dataclasses.replace(recipe.train, seed=seed, dtype=fastest_dtype(device))
    probe = Trainer(*recipe.build(seed), data, config, device)
    for _ in range(3):
        probe.step()
    start = time.process_time()
    for _ in range(10):
        probe.step()
    images = int(seconds * 10 * config.batch_size / (time.process_time() - start))
    config = dataclasses.replace(config, images=images, warmup_images=min(config.warmup_images, images // 10),
                                 ema_images=min(config.ema_images, images // 12))
    trainer = Trainer(*recipe.build(seed), data, config, device)
    start = time.process_time()
    while trainer.seen < images // config.batch_size * config.batch_size:
        trainer.step()
    save_model(kept / "model.safetensors", trainer.ema.model, {**trainer._card(), "cpu_seconds": round(time.process_time() - start)})
    return kept


def measure(name: str, recipe: Recipe, data: ImageData, seconds: float, seed: int) -> dict:
    """Train, draw, measure."""
    loaded = load_checkpoint(trained(name, recipe, data, seconds, seed))
    seen = {"variant": name, "seed": seed, "images_seen": loaded.card["images_seen"], "cpu_seconds": loaded.card["cpu_seconds"]}
    if recipe.data == "cifar10":
        return seen | guess_errors(loaded)
    judge, _ = load_judge(f"judge-{recipe.data}")
    labels = torch.arange(500) % 10
    drawn = to_uint8(sample(loaded.diffusion, loaded.model, labels=labels, timesteps=20))
    guided = to_uint8(sample(loaded.diffusion, loaded.model, labels=labels[:200], timesteps=20, scale=2.0, seed=1))
    found = evaluate(judge, drawn, labels, data)
    assert found.accuracy is not None
    return seen | {
        "label_accuracy": found.accuracy.value, "low": round(found.accuracy.low, 3), "high": round(found.accuracy.high, 3),
        "label_accuracy_scale_2": label_accuracy(judge, guided, labels[:200]).value,
        "frechet_distance": round(found.frechet, 2), "frechet_floor": round(found.frechet_floor, 2),
        "diversity_pixels": round(found.diversity_pixels.ratio, 3),
    }


@torch.no_grad()
def guess_errors(loaded: Loaded) -> dict[str, float]:
    """{log-SNR: mean squared error of the guess for the clean image}, on 500 test images with their labels, the same noise for all."""
    test = load_data("cifar10", split="test")[torch.arange(0, 10_000, 20)]
    x0, schedule = to_float(test.images), loaded.diffusion.schedule
    noise, errors = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)), {}
    for level in (-5, -3, -1, 1, 3, 5):
        t = torch.full((250,), int((schedule.snr.log() - level).abs().argmin()))
        parts = zip(x0.split(250), noise.split(250), test.labels.split(250), strict=True)
        guesses = [loaded.diffusion.denoise(loaded.model, q_sample(schedule, x, t, eps), t, y)[0] for x, eps, y in parts]
        errors[f"log_snr_{level}"] = round(float((torch.cat(guesses) - x0).square().mean()), 4)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="how the names of the wanted variants begin")
    parser.add_argument("--recipe", choices=tuple(TABLES), default="demo")
    parser.add_argument("--seconds", type=float, default=180, help="processor time of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-only", action="store_true", help="train and keep the weights; measure another time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    base = get_recipe(arguments.recipe)
    data = load_data("mnist5k" if base.data == "mnist" else base.data)
    for name, recipe in variants(base).items():
        if arguments.names and not any(name.startswith(wanted) for wanted in arguments.names):
            continue
        if name != "the recipe" and recipe == base:
            continue
        if arguments.train_only:
            print(trained(name, recipe, data, arguments.seconds, arguments.seed), flush=True)
            continue
        row = measure(name, recipe, data, arguments.seconds, arguments.seed)
        print(row, flush=True)
        results = HERE / "results" / TABLES[arguments.recipe]
        new = not results.exists()
        with open(results, "a", newline="") as file:
            table = csv.DictWriter(file, row.keys())
            if new:
                table.writeheader()
            table.writerow(row)


if __name__ == "__main__":
    main()
