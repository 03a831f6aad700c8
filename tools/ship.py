"""Ship a trained model with the package: `python tools/ship.py runs/mnist-seed0 mnist`.

Draws and measures it, writes the figures into its card, and the weights in half precision and the card into
ddpm_course/checkpoints. Needs the data that the model was trained on, and the test images.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import torch

from ddpm_course.checkpoints import SHIPPED, load_checkpoint, load_judge, save_model
from ddpm_course.data import load_data, to_uint8
from ddpm_course.machine import pick_device
from ddpm_course.metrics import evaluate
from ddpm_course.sampling import sample

STEPS = 25
SHARES = (0.01, 0.1, 1.0)  # of the training, whose previews are shipped
LARGEST = 14 * 2**20  # bytes in one file: larger ones are refused by some hosts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("name", help="what load_checkpoint will know it as")
    parser.add_argument("--data", default="mnist", choices=("mnist", "cifar10"))
    parser.add_argument("--n", type=int, default=2000, help="images to draw and measure")
    parser.add_argument("--limits", default="", help="what the model cannot do, in a sentence for its card")
    arguments = parser.parse_args()

    trained = load_checkpoint(arguments.run)
    path = SHIPPED / f"{arguments.name}.safetensors"
    card = {**trained.card, "data": {**trained.card["data"], "source": trained.card["data"]["source"].split(", ")[0]}}
    save_model(path, trained.model, card, torch.float16, LARGEST)
    kept = {int(file.stem): file for file in (arguments.run / "previews").glob("[0-9]*.png")}
    previews = SHIPPED / f"{arguments.name}-previews"
    shutil.rmtree(previews, ignore_errors=True)  # those of the model before
    for share in SHARES if kept else ():
        file = kept[min(kept, key=lambda images: abs(images - share * card["images_seen"]))]
        previews.mkdir(exist_ok=True)
        shutil.copy(file, previews / file.name)

    loaded = load_checkpoint(path)  # what is measured is what is shipped
    judge, _ = load_judge(f"judge-{arguments.data}")
    data, test = load_data(arguments.data), load_data(arguments.data, split="test")
    classes = loaded.model.config.num_classes
    measured: dict[str, dict] = {}
    for scale in (1.0,) if classes is None else (1.0, 2.0) if arguments.data == "mnist" else (0.0, 1.0, 2.0, 3.0):
        labels = None if classes is None or scale == 0 else torch.arange(arguments.n) % classes
        wanted = {"n": arguments.n} if labels is None else {"labels": labels, "scale": scale}
        images = to_uint8(sample(loaded.diffusion, loaded.model.to(pick_device()), timesteps=STEPS, **wanted)).cpu()
        found = evaluate(judge, images, labels, data, test)
        measured[f"scale {scale:g}"] = dataclasses.asdict(found)
        print(f"scale {scale:g}: label accuracy {found.accuracy}, Frechet distance {found.frechet:.3f} (real: {found.frechet_floor:.3f}), "
              f"kernel {found.kernel[0]:.4f} (real: {found.kernel_floor[0]:.4f}), "
              f"diversity {found.diversity_pixels.ratio:.2f} in pixels, near-copies {found.near_copies} of {arguments.n}", flush=True)
    card["measured"] = {"images": arguments.n, "solver": "ddpm", "steps": STEPS, **measured}
    if arguments.limits:
        card["limits"] = arguments.limits
    save_model(path, trained.model, card, torch.float16, LARGEST)
    print(f"{path} ({sum(p.stat().st_size for p in SHIPPED.glob(f'{arguments.name}*.safetensors')) / 2**20:.1f} MB)")


if __name__ == "__main__":
    main()
