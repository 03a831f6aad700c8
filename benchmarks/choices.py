"""Why the demo's recipe is what it is: each choice taken back, one at a time, at equal time.

    python benchmarks/choices.py                       # every variant, one after the other
    python benchmarks/choices.py "AdamW alone" patch   # those whose name begins so

Each variant learns from the 5,000 embedded digits on one thread, for --seconds of processor time (which a busy
machine does not shorten), then draws 500 digits as asked, with the demo's sampler. The rows are added to
benchmarks/results/choices.csv.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from pathlib import Path

import torch

from ddpm_course import get_recipe, label_accuracy, load_data, load_judge, sample, to_uint8
from ddpm_course.demo import STEPS
from ddpm_course.machine import fastest_dtype
from ddpm_course.metrics import evaluate
from ddpm_course.recipes import Recipe
from ddpm_course.training import Trainer

RESULTS = Path(__file__).parent / "results" / "choices.csv"


def variants() -> dict[str, Recipe]:
    """The recipe, and the recipe with one choice changed."""
    base = get_recipe("demo")

    def unet(**change) -> Recipe:
        return dataclasses.replace(base, unet=dataclasses.replace(base.unet, **change))

    def training(**change) -> Recipe:
        return dataclasses.replace(base, train=dataclasses.replace(base.train, **change))

    return {
        "the recipe": base,
        "AdamW alone": training(muon_lr=0.0, lr=2e-3),
        "twice the rates": training(muon_lr=2 * base.train.muon_lr, lr=2 * base.train.lr),
        "half the rates": training(muon_lr=base.train.muon_lr / 2, lr=base.train.lr / 2),
        "target v": dataclasses.replace(base, prediction="v"),
        "target eps": dataclasses.replace(base, prediction="eps"),
        "linear schedule": dataclasses.replace(base, schedule="linear"),
        "min-SNR weight, gamma 5": dataclasses.replace(base, min_snr_gamma=5.0),
        "embedding added": unet(conditioning="add"),
        "narrower: 16, 64 channels": unet(channels=(16, 64), groups=1),
        "wider: 32, 96 channels": unet(channels=(32, 96)),
        "two blocks a level": unet(blocks=2),
        "patches of 4, one level of 64": unet(channels=(64,), patch=4),
        "norms in groups of 4 channels": unet(groups=8),
        "batch 64": training(batch_size=64, lr=base.train.lr / 2**0.5, muon_lr=base.train.muon_lr / 2**0.5),
        "dropout 0.1": unet(dropout=0.1),
        "labels dropped half as often": training(label_dropout=base.train.label_dropout / 2),
        "timesteps not stratified": training(stratify=False),
        "constant learning rate": training(lr_end=1.0),
        "average over 500 images": training(ema_images=500),
    }


def measure(name: str, recipe: Recipe, seconds: float, seed: int) -> dict:
    """Train for `seconds` of processor time, draw, measure."""
    torch.set_num_threads(1)
    device, data = torch.device("cpu"), load_data("mnist5k")
    model, diffusion = recipe.build(seed)
    config = dataclasses.replace(recipe.train, seed=seed, dtype=fastest_dtype(device))
    probe = Trainer(*recipe.build(seed), data, config, device)
    for _ in range(3):
        probe.step()
    start = time.process_time()
    for _ in range(10):
        probe.step()
    speed = 10 * config.batch_size / (time.process_time() - start)
    config = dataclasses.replace(config, images=int(speed * seconds))
    trainer = Trainer(model, diffusion, data, config, device)
    start = time.process_time()
    while trainer.seen < config.images // config.batch_size * config.batch_size:
        trainer.step()
    spent = time.process_time() - start

    judge, _ = load_judge("judge-mnist")
    labels = torch.arange(500) % 10
    drawn = to_uint8(sample(diffusion, trainer.ema.model, labels=labels, timesteps=STEPS))
    guided = to_uint8(sample(diffusion, trainer.ema.model, labels=labels[:200], timesteps=STEPS, scale=2.0, seed=1))
    found = evaluate(judge, drawn, labels, data)
    assert found.accuracy is not None
    return {
        "variant": name, "seed": seed, "images_seen": trainer.seen, "cpu_seconds": round(spent),
        "label_accuracy": found.accuracy.value, "low": round(found.accuracy.low, 3), "high": round(found.accuracy.high, 3),
        "label_accuracy_scale_2": label_accuracy(judge, guided, labels[:200]).value,
        "frechet_distance": round(found.frechet, 2), "frechet_floor": round(found.frechet_floor, 2),
        "diversity_pixels": round(found.diversity_pixels.ratio, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="how the names of the wanted variants begin")
    parser.add_argument("--seconds", type=float, default=180, help="processor time of each training")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name, recipe in variants().items():
        if arguments.names and not any(name.startswith(wanted) for wanted in arguments.names):
            continue
        row = measure(name, recipe, arguments.seconds, arguments.seed)
        print(row, flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        new = not RESULTS.exists()
        with open(RESULTS, "a", newline="") as file:
            table = csv.DictWriter(file, row.keys())
            if new:
                table.writeheader()
            table.writerow(row)


if __name__ == "__main__":
    main()
