"""The command line: doctor, demo, train, sample, evaluate.

Errors are one sentence with the remedy and exit 2, never a traceback; Ctrl-C leaves a resumable state.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from . import demo, doctor
from .checkpoints import Loaded, load_checkpoint, load_judge, why_not_written, write_json
from .data import CIFAR10_CLASSES, DIGITS, DataError, ImageData, atomic_file, load_data, to_uint8
from .fid import PUBLISHED_N, fid_ready, inception_fid
from .machine import pick_device
from .metrics import evaluate
from .recipes import RECIPES, get_recipe
from .sampling import SOLVERS, sample
from .training import train


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status: 0 done, 1 the doctor found a fault, 2 an error, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt as interrupt:
        print(f"\n{str(interrupt) or 'Interrupted.'} Run the same command again to go on.", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("DDPM_COURSE_DEBUG"):
            raise
        known = isinstance(error, ValueError | OSError) or type(error).__module__.startswith("ddpm_course")
        hint = "" if known else " For the traceback, set DDPM_COURSE_DEBUG=1 and run again."
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError):
            folder = Path(error.filename or ".").absolute().parent
            text = f"Cannot write or read {error.filename or 'a file'}: {why_not_written(error, folder)}"
        print(f"ddpm-course: {text if known else f'{type(error).__name__}: {text}'}{hint}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ddpm-course", description="Diffusion models, built and trained on your own machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("doctor", help="can the course run here? a table, with remedies")
    command.add_argument("--classroom", action="store_true", help="before a class: fill the caches, and measure whether it keeps up")
    command.set_defaults(run=lambda arguments: doctor.main(arguments.classroom))

    command = commands.add_parser("demo", help="train on real digits from nothing, then draw and measure digits on request")
    command.add_argument("--out", type=Path, default=Path("demo"), help="folder of the results (default: demo)")
    command.add_argument("--seed", type=_count, default=0)
    command.set_defaults(run=_demo)

    command = commands.add_parser("train", help="train a recipe; run it again to resume", description=_recipes_in_words(),
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("recipe", metavar="RECIPE", help=", ".join(RECIPES))
    command.add_argument("--images", type=_positive,
                         help="how many images to see (default: the recipe's number); more than a run had planned make it longer")
    command.add_argument("--data", help="mnist, mnist5k, cifar10, or a folder of images by class, instead of the recipe's data")
    command.add_argument("--run-dir", type=Path, help="where the run lives (default: runs/RECIPE-seedSEED)")
    command.add_argument("--seed", type=_count, default=0)
    command.set_defaults(run=_train)

    command = commands.add_parser("sample", help="draw pictures on request")
    command.add_argument("model", metavar="NAME_OR_PATH", help="a shipped model, a run's folder, or a .safetensors file")
    command.add_argument("--labels", nargs="+", help="numbers or class names; default: every label")
    command.add_argument("--per-label", type=_positive, default=8)
    _add_sampler(command)
    command.add_argument("--out", type=Path, default=Path("samples.png"), help=".png for a grid, .npz for arrays")
    command.set_defaults(run=_sample)

    command = commands.add_parser("evaluate", help="label accuracy, distances, diversity, near-copies; a table and JSON")
    command.add_argument("model", metavar="NAME_OR_PATH")
    command.add_argument("--n", type=_positive, help=f"how many images to draw (default: 1000, or {PUBLISHED_N} with --fid)")
    _add_sampler(command)
    command.add_argument("--fid", action="store_true", help="the published FID, too: needs torch-fidelity and, once, a network")
    command.add_argument("--out", type=Path, help="write the JSON there, too")
    command.set_defaults(run=_evaluate)
    return parser


def _add_sampler(command: argparse.ArgumentParser) -> None:
    command.add_argument("--steps", type=_positive, default=25)
    command.add_argument("--solver", choices=SOLVERS, default="ddpm")
    command.add_argument("--guidance", type=float, default=1.0, help="scale: 0 unconditional, 1 conditional, above 1 guided")
    command.add_argument("--seed", type=_count, default=0)


def _recipes_in_words() -> str:
    return "recipes:\n" + "\n".join(f"  {name:20} {recipe.description}" for name, recipe in RECIPES.items())


def _demo(arguments: argparse.Namespace) -> int:
    with _Progress("learning to draw the digit asked for") as progress:
        demo.run_demo(arguments.out, arguments.seed, say=progress.say, report=progress.report)
    return 0


def _train(arguments: argparse.Namespace) -> int:
    recipe = get_recipe(arguments.recipe)
    data = load_data(arguments.data or recipe.data, size=_size_for(arguments.data, recipe.unet.image_size))
    recipe = recipe.fitted_to(data)
    config = dataclasses.replace(recipe.train, seed=arguments.seed, images=arguments.images or recipe.train.images)
    run_dir = arguments.run_dir or Path("runs") / f"{recipe.name}-seed{arguments.seed}"
    model, diffusion = recipe.build(arguments.seed)
    first = os.environ.get("RANK", "0") == "0"
    with _Progress(f"learning {recipe.description.split(',')[0]}", silent=not first) as progress:
        progress.say(f"{recipe.name}: {recipe.description}. Data: {data.source}. Run: {run_dir}")
        result = train(model, diffusion, data, config, run_dir, report=progress.report)
        progress.say(
            f"{result.images_seen:,} images in {result.seconds:.0f} s on {result.device}, {result.dtype}. "
            f"Draw with: ddpm-course sample {run_dir}"
        )
    return 0


def _sample(arguments: argparse.Namespace) -> int:
    loaded = load_checkpoint(arguments.model)
    if arguments.out.suffix not in (".png", ".npz"):
        raise ValueError(f"--out must end in .png or .npz, not {arguments.out.suffix or 'nothing'!r}.")
    labels = _labels(arguments.labels, loaded, arguments.per_label)
    n = arguments.per_label * 8 if labels is None else None
    images = _draw(loaded, labels, n, arguments)
    if arguments.out.suffix == ".npz":
        pixels = images[:, 0] if images.shape[1] == 1 else images.permute(0, 2, 3, 1)
        with atomic_file(arguments.out) as temporary, open(temporary, "wb") as file:
            if labels is None:
                np.savez_compressed(file, images=pixels.numpy())
            else:
                np.savez_compressed(file, images=pixels.numpy(), labels=labels.numpy())
    else:
        demo.write_grid(arguments.out, images, columns=8 if labels is None else arguments.per_label)
    print(f"{len(images)} images: {arguments.out}")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    loaded = load_checkpoint(arguments.model)
    names = tuple(loaded.card["data"]["class_names"])
    known = {DIGITS: ("mnist", "judge-mnist"), CIFAR10_CLASSES: ("cifar10", "judge-cifar10")}
    if names not in known:
        raise ValueError(f"There is a judge for digits and for CIFAR-10 classes alone, and this model draws {', '.join(names[:5])}.")
    data_name, judge_name = known[names]
    arguments.n = arguments.n or (PUBLISHED_N if arguments.fid else 1000)
    if arguments.fid:
        if loaded.model.config.in_channels != 3:
            raise ValueError("The published FID is one of colour images; for digits there is no convention. Leave out --fid.")
        fid_ready()  # before minutes or hours of drawing
    judge, _ = load_judge(judge_name)
    data, held_out = load_data(data_name), _held_out(data_name)
    classes = loaded.model.config.num_classes
    labels = None if classes is None or arguments.guidance == 0 else torch.arange(arguments.n) % classes
    images = _draw(loaded, labels, arguments.n if labels is None else None, arguments)
    found = evaluate(judge, images, labels, data, held_out)
    rows = [
        ("label accuracy", str(found.accuracy) if found.accuracy else "unconditional: not asked", ""),
        ("Frechet distance", f"{found.frechet:.3f}", f"{found.frechet_floor:.3f}"),
        ("kernel distance x 1000", f"{found.kernel[0] * 1e3:.3f} +- {found.kernel[1] * 1e3:.3f}", f"{found.kernel_floor[0] * 1e3:.3f}"),
        ("diversity within a label", f"{found.diversity.drawn:.2f}", f"{found.diversity.real:.2f}"),
        ("the same, in pixels", f"{found.diversity_pixels.drawn:.2f}", f"{found.diversity_pixels.real:.2f}"),
        ("near-copies of training images", f"{found.near_copies} of {arguments.n}", f"about {arguments.n // 100}"),
    ]
    print(f"{'':32}{'drawn':>28}{'real':>12}")
    for name, drawn, real in rows:
        print(f"{name:32}{drawn:>28}{real:>12}")
    fid = inception_fid(images, data.images) if arguments.fid else None
    if fid is not None:
        print(f"FID, Inception features: {fid:.2f}, {len(images):,} drawn against {len(data):,} training images ({data.source}).")
        if "JPEG" in data.source or len(images) != PUBLISHED_N:
            print(f"Published figures draw {PUBLISHED_N:,} images and use CIFAR-10's original pixels: do not set this one beside them.")
    asked = {key: getattr(arguments, key) for key in ("n", "guidance", "solver", "steps", "seed")}
    reference = held_out.source if held_out else "the other training images"
    figures = {"model": str(arguments.model), **asked, "data": data.source, "reference": reference, **dataclasses.asdict(found)}
    figures |= {"fid": fid} if arguments.fid else {}
    print(json.dumps(figures))
    if arguments.out:
        write_json(arguments.out, figures)
    return 0


def _draw(loaded: Loaded, labels: torch.Tensor | None, n: int | None, arguments: argparse.Namespace) -> torch.Tensor:
    scale = 1.0 if labels is None and arguments.guidance == 0 else arguments.guidance  # without labels there is nothing to leave out
    images = sample(
        loaded.diffusion, loaded.model.to(pick_device()), labels=labels, n=n, seed=arguments.seed, scale=scale,
        solver=arguments.solver, timesteps=arguments.steps, batch_size=100, progress=_batches,
    )
    return to_uint8(images).cpu()


def _labels(words: list[str] | None, loaded: Loaded, per_label: int) -> torch.Tensor | None:
    classes, names = loaded.model.config.num_classes, loaded.card["data"]["class_names"]
    if classes is None:
        if words:
            raise ValueError("This model is unconditional: it takes no --labels.")
        return None
    wanted = [] if words else list(range(classes))
    for word in words or []:
        label = names.index(word) if word in names else int(word) if word.removeprefix("-").isdecimal() else -1
        if not 0 <= label < classes:
            raise ValueError(f"No label {word!r}: use 0 to {classes - 1}, or one of {', '.join(names)}.")
        wanted.append(label)
    return torch.tensor(wanted).repeat_interleave(per_label)


def _held_out(name: str) -> ImageData | None:
    try:
        return load_data(name, split="test", download=False)
    except DataError:
        return None


def _size_for(data: str | None, size: int) -> int | None:
    """A folder of pictures is scaled to the recipe's size."""
    return size if data is not None and Path(data).expanduser().is_dir() else None


def _batches(parts) -> Iterator:
    return iter(tqdm(parts, desc="drawing", unit="batch", disable=not sys.stderr.isatty(), leave=False))


def _count(text: str) -> int:
    if not text.strip().removeprefix("-").isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no whole number")
    if int(text) < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return int(text)


def _positive(text: str) -> int:
    if _count(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


class _Progress:
    """A bar on a terminal; elsewhere a plain line now and then."""

    def __init__(self, what: str, silent: bool = False):
        self.what, self.silent, self.said = what, silent, time.monotonic()
        self.bar: tqdm | None = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_) -> None:
        if self.bar is not None:
            self.bar.close()

    def say(self, line: str) -> None:
        if self.silent:
            return
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        print(line, flush=True)

    def report(self, record: dict) -> None:
        if sys.stderr.isatty():
            if self.bar is None:
                self.bar = tqdm(total=record["of"], desc=self.what, unit="img", dynamic_ncols=True)
            self.bar.set_postfix(loss=f"{record['loss']:.3f}", refresh=False)
            self.bar.update(record["images"] - self.bar.n)
        elif record["images"] == record["of"] or time.monotonic() - self.said > 15:
            self.said = time.monotonic()
            print(f"{self.what}: {record['images']:,} of {record['of']:,} images, loss {record['loss']:.3f}, "
                  f"{record['seconds_left']:.0f} s left", flush=True)
