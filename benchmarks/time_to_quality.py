"""Label accuracy and distance against training seconds: our recipe and the MNIST article's, from nothing, in one run.

    python benchmarks/time_to_quality.py            # in full: the article for 40 minutes
    python benchmarks/time_to_quality.py --short    # the article for 4 minutes

Both learn from the same images (MNIST, or the 5,000 embedded digits) and are read at each mark with the same sampler
(DDIM, 50 steps, 200 labels) by the same judge; seconds count training steps alone. The two take turns in slices, so
that a noisy machine is noisy for both. Where the machine is faster in bfloat16, ours is trained in it and in float32.
To measure a laptop without AMX on a machine that has it: ONEDNN_MAX_CPU_ISA=AVX512_CORE (or AVX2).
Writes benchmarks/results/time_to_quality-NAME.csv and .png.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from pathlib import Path

import torch
from article import ArticleTraining

from ddpm_course import frechet_distance, get_recipe, label_accuracy, load_data, load_judge, sample_steps, to_uint8
from ddpm_course.data import atomic_file
from ddpm_course.machine import fastest_dtype
from ddpm_course.metrics import features_of
from ddpm_course.sampling import draw_noise, evaluating, image_stream
from ddpm_course.training import Trainer, measure_speed

MARKS = (10, 20, 30, 40, 60, 90, 120, 180, 240)
ARTICLE_MARKS = (60, 240, 600, 1200, 1800, 2400)  # few: drawing 200 digits with its network takes a minute and a half
OURS_SECONDS, SLICE = 240, 10.0
SAMPLES = 200
ARTICLE_GOAL = 0.455  # read after 40 minutes of the article's program on two cores, in the measurement that this one repeats


class Contestant:
    """Something that learns by `step`, with a clock that runs only while it does."""

    def __init__(self, name, trainer, model, diffusion, size, marks):
        self.name, self.trainer, self.model, self.diffusion, self.size = name, trainer, model, diffusion, size
        self.marks = list(marks)
        self.clock = 0.0

    def turn(self) -> bool:
        """Learn for a slice or up to the next mark; whether a mark was reached."""
        until = min(self.clock + SLICE, self.marks[0])
        while self.clock < until:
            start = time.perf_counter()
            self.trainer.step()
            self.clock += time.perf_counter() - start
        if self.clock >= self.marks[0]:
            self.marks.pop(0)
            return True
        return False

    def draw(self) -> torch.Tensor:
        """uint8 (SAMPLES, 1, 28, 28), labels 0..9 in turn."""
        labels = torch.arange(SAMPLES) % 10
        x = draw_noise((SAMPLES, 1, self.size, self.size), [image_stream(1, k) for k in range(SAMPLES)], torch.device("cpu"))
        with evaluating(self.model):
            for step in sample_steps(self.diffusion, self.model, x, y=labels, timesteps=50, solver="ddim"):
                x = step.x
        margin = (self.size - 28) // 2
        return to_uint8(x[:, :, margin : self.size - margin, margin : self.size - margin])


def ours(data, dtype: str, seconds: float) -> Contestant:
    recipe = get_recipe("demo")
    model, diffusion = recipe.build()
    config = dataclasses.replace(recipe.train, dtype=dtype)
    speed = measure_speed(model, diffusion, data, config, torch.device("cpu"))
    config = dataclasses.replace(config, images=int(speed * seconds))
    trainer = Trainer(model, diffusion, data, config, torch.device("cpu"))
    return Contestant(f"ours, {dtype}", trainer, trainer.ema.model, diffusion, 28, [mark for mark in MARKS if mark <= seconds])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="two minutes of ours, four of the article's")
    parser.add_argument("--name", default=torch.backends.cpu.get_cpu_capability().lower(), help="of the result files")
    arguments = parser.parse_args()

    data = load_data("mnist", download=False)
    judge, _ = load_judge("judge-mnist")
    dtypes = ["float32"] + (["bfloat16"] if fastest_dtype(torch.device("cpu")) == "bfloat16" else [])
    contestants = [ours(data, dtype, 120 if arguments.short else OURS_SECONDS) for dtype in dtypes]
    article = ArticleTraining(data)
    marks = ARTICLE_MARKS[:2] if arguments.short else ARTICLE_MARKS
    contestants.append(Contestant("article, float32", article, article.model, article.diffusion, 32, marks))

    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    reference = features_of(judge, data.images[order[:5000]])
    rows: list[dict] = []
    while any(contestant.marks for contestant in contestants):
        for contestant in contestants:
            if contestant.marks and contestant.turn():
                drawn = contestant.draw()
                accuracy = label_accuracy(judge, drawn, torch.arange(SAMPLES) % 10)
                rows.append({
                    "who": contestant.name, "seconds": round(contestant.clock, 1), "images_seen": contestant.trainer.seen,
                    "label_accuracy": accuracy.value, "low": round(accuracy.low, 4), "high": round(accuracy.high, 4),
                    "frechet_distance": round(frechet_distance(features_of(judge, drawn), reference), 3),
                })
                print(rows[-1], flush=True)
                write(rows, arguments.name + ("-short" if arguments.short else ""))
    goal = max([ARTICLE_GOAL] + [row["label_accuracy"] for row in rows if row["who"].startswith("article")])
    for name in sorted({row["who"] for row in rows if row["who"].startswith("ours")}):
        reached = [row["seconds"] for row in rows if row["who"] == name and row["label_accuracy"] > goal]
        print(f"{name} passes {goal:.1%} after {reached[0]:.0f} s." if reached else f"{name} does not pass {goal:.1%}.")


def write(rows: list[dict], name: str) -> None:
    """The CSV and the picture, after every mark."""
    folder = Path(__file__).parent / "results"
    with atomic_file(folder / f"time_to_quality-{name}.csv") as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    styles = {"ours, float32": ("#0072B2", "o-"), "ours, bfloat16": ("#009E73", "s-"), "article, float32": ("#D55E00", "^--")}
    for who, (colour, style) in styles.items():
        mine = [row for row in rows if row["who"] == who]
        if mine:
            seconds = [row["seconds"] for row in mine]
            axes[0].plot(seconds, [row["label_accuracy"] for row in mine], style, color=colour, label=who)
            axes[0].fill_between(seconds, [row["low"] for row in mine], [row["high"] for row in mine], color=colour, alpha=0.15)
            axes[1].plot(seconds, [row["frechet_distance"] for row in mine], style, color=colour, label=who)
    axes[0].set(xscale="log", xlabel="seconds of training, two CPU cores", ylabel="label accuracy, 95 % interval", ylim=(0, 1))
    axes[1].set(xscale="log", yscale="log", xlabel="seconds of training, two CPU cores", ylabel="Frechet distance on the judge's features")
    axes[0].legend(loc="upper left")
    with atomic_file(folder / f"time_to_quality-{name}.png") as temporary:
        figure.savefig(temporary, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
