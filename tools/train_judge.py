"""Train judges on the real images and ship the first: `python tools/train_judge.py mnist`, or `cifar10 --seeds 0 1`.

Writes ddpm_course/checkpoints/judge-NAME.safetensors and its card, which holds the test accuracy of every seed. The other seeds
say how much of it is chance; were the best one shipped, its figure would be too good. Refuses to replace a better judge.
A judge that was trained is kept in build/judges, and is not trained again while judge.py stays as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from ddpm_course import judge as method
from ddpm_course.checkpoints import SHIPPED, load_judge, save_model
from ddpm_course.data import load_data
from ddpm_course.judge import train_judge
from ddpm_course.machine import describe_device
from ddpm_course.metrics import label_accuracy

KEPT = Path(__file__).parent.parent / "build" / "judges"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("mnist", "cifar10"))
    parser.add_argument("--images", type=int, default=720_000, help="training images to see")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()

    data, test = load_data(arguments.data), load_data(arguments.data, split="test")
    name, trained = f"judge-{arguments.data}", []
    way = hashlib.sha256(Path(method.__file__).read_bytes()).hexdigest()[:8]
    for seed in arguments.seeds:
        path = KEPT / f"{name}-{arguments.images}-{arguments.batch}-{way}-seed{seed}.safetensors"
        if not path.is_file():
            start = time.perf_counter()
            judge = train_judge(data, arguments.images, arguments.batch, seed=seed, progress=lambda steps: tqdm(steps, mininterval=10))
            save_model(path, judge, {
                "judge": judge.arguments,
                "data": data.source.split(",")[0],
                "class_names": list(data.class_names),
                "images_seen": arguments.images,
                "batch_size": arguments.batch,
                "seed": seed,
                "seconds": round(time.perf_counter() - start, 1),
                "device": describe_device(torch.device("cpu")),
                "torch": torch.__version__,
            })
        judge, card = load_judge(path)
        accuracy = label_accuracy(judge, test.images, test.labels)
        print(f"seed {seed}: {accuracy} of the {len(test):,} test images read right; trained for {card['seconds']:.0f} s.", flush=True)
        trained.append((judge, {**card, "test_accuracy": accuracy.value, "test_images": len(test)}))

    judge, card = trained[0]
    before = json.loads((SHIPPED / f"{name}.json").read_text())["test_accuracy"] if (SHIPPED / f"{name}.json").is_file() else 0.0
    if card["test_accuracy"] < before:
        print(f"Not shipped: the judge in place reads {before:.2%}.")
        return 1
    card["test_accuracy_by_seed"] = {str(other["seed"]): other["test_accuracy"] for _, other in trained}
    save_model(SHIPPED / f"{name}.safetensors", judge, card, torch.float16)
    print(f"Written: {SHIPPED / name}.safetensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
