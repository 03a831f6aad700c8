"""Train a judge on the real images and ship it: `python tools/train_judge.py mnist` (make judge).

Writes ddpm_course/checkpoints/judge-mnist.safetensors and its card; refuses to replace a better one.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch
from tqdm import tqdm

from ddpm_course.checkpoints import SHIPPED, CheckpointError, load_judge, save_model
from ddpm_course.data import load_data
from ddpm_course.machine import describe_device
from ddpm_course.metrics import label_accuracy, train_judge


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=("mnist",))
    parser.add_argument("--images", type=int, default=720_000, help="training images to see")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    data, test = load_data(arguments.data), load_data(arguments.data, split="test")
    start = time.perf_counter()
    judge = train_judge(data, arguments.images, seed=arguments.seed, progress=lambda steps: tqdm(steps, mininterval=10))
    seconds = time.perf_counter() - start
    accuracy = label_accuracy(judge, test.images, test.labels)
    print(f"{accuracy} of the {len(test):,} test images read right, after {seconds:.0f} s.")

    name = f"judge-{arguments.data}"
    try:
        before = load_judge(name)[1]["test_accuracy"]
    except CheckpointError:
        before = 0.0
    if accuracy.value < before:
        print(f"Not shipped: the judge in place reads {before:.2%}.")
        return 1
    card = {
        "judge": judge.arguments,
        "data": data.source.split(",")[0],
        "class_names": list(data.class_names),
        "images_seen": arguments.images,
        "seed": arguments.seed,
        "seconds": round(seconds, 1),
        "device": describe_device(torch.device("cpu")),
        "torch": torch.__version__,
        "test_accuracy": accuracy.value,
        "test_images": len(test),
    }
    save_model(SHIPPED / f"{name}.safetensors", judge, card)
    print(f"Written: {SHIPPED / name}.safetensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
