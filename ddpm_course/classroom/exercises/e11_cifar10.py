"""Exercises of notebook 11: what a training will cost, from a few measured steps; and images mirrored one by one."""

from __future__ import annotations

import torch
from torch import Tensor

from . import Case, Exercise, randn, uniform


def run_cost(step_seconds, batch_size, images):
    """How many seconds a training will take.

    step_seconds: (K,), measured seconds of an odd number of single steps. The first are slow, some are disturbed: take their median.
    batch_size: images in a step; images: how many the training is to see. A last batch that would not be full is left out.
    Returns a number.
    """
    steps = images // batch_size
    return steps * float(step_seconds.median())


def _cost_cases(seed: int) -> list[Case]:
    def case(label: str, count: int, batch_size: int, images: int) -> Case:
        k = 10 * seed + count
        seconds = 0.2 + 0.1 * uniform(k, count)
        seconds[0] += 3.0  # it warms up
        seconds[1 + int(uniform(k + 1, 1) * (count - 1))] += 4.0  # something else ran
        return Case(label, (seconds, batch_size, images))

    return [
        case("nine steps of 128, 900,000 images", 9, 128, 900_000),
        case("seven steps of 64, images that fill their batches", 7, 64, 64_000),
        case("eleven steps of 100, and 250 images", 11, 100, 250),
        case("five steps of one image", 5, 1, 730),
    ]


def _cost(step=lambda s: float(s.median()), steps=lambda images, batch: images // batch, more=lambda x: x):
    """A wrong cost: these parts differ."""
    return lambda step_seconds, batch_size, images: more(steps(images, batch_size) * step(step_seconds))


RUN_COST = Exercise(
    run_cost,
    hints=(
        "How many steps are there? What does one of them take, when nothing disturbs it?",
        "Whole steps: `//` divides and leaves the rest out. A tensor has a `median`; `float` makes a number of it.",
    ),
    cases=_cost_cases,
    variants=("float64", "non-contiguous"),
    mistakes={
        "The mean counts the slow first step and the disturbed one: take the median.": (
            _cost(lambda s: float(s.mean())),
            _cost(lambda s: float(s.sum()) / len(s)),
        ),
        "Only the first step is used, and it warms up: take the median of all.": _cost(lambda s: float(s[0])),
        "Only the last step is used: it may be the disturbed one. Take the median of all.": _cost(lambda s: float(s[-1])),
        "The fastest step is taken for the usual one: that promises too much. Take the median.": _cost(lambda s: float(s.min())),
        "The slowest step is taken for the usual one: take the median.": _cost(lambda s: float(s.max())),
        "The measured times are added up: they are repeated measurements of one thing.": (
            _cost(lambda s: float(s.sum())),
            lambda step_seconds, batch_size, images: float(step_seconds.sum()),
        ),
        "Without the first step, but still the mean: one disturbed step moves it. Take the median.":
            _cost(lambda s: float(s[1:].mean())),
        "The first step is left out: the median bears a slow one, and an even number of steps has no middle one.":
            _cost(lambda s: float(s[1:].median())),
        "This is the step in the middle of the measuring: the median is the middle one by size.":
            _cost(lambda s: float(s[len(s) // 2])),
        "This has a step for each image: a step sees batch_size images.": _cost(steps=lambda images, batch: images),
        "The batch is multiplied where it should divide: larger batches need fewer steps.":
            _cost(steps=lambda images, batch: images * batch),
        "A last batch that is not full is counted: whole batches alone are trained on.": (
            _cost(steps=lambda images, batch: -(-images // batch)),
            _cost(steps=lambda images, batch: images / batch),
            _cost(steps=lambda images, batch: images // batch + 1),
        ),
        "These are minutes or hours: seconds were asked for.": (
            _cost(more=lambda x: x / 60),
            _cost(more=lambda x: x / 3600),
        ),
        "This is the number of steps: each takes its time.": _cost(lambda s: 1.0),
        "This is the time of one step: how many are there?": _cost(steps=lambda images, batch: 1),
        "These are images a second: the time of the whole training was asked for.":
            lambda step_seconds, batch_size, images: batch_size / float(step_seconds.median()),
        "Steps are divided by the seconds of one: they should be multiplied.":
            lambda step_seconds, batch_size, images: images // batch_size / float(step_seconds.median()),
        "The number of measured steps does not belong in it: they were only measured.": (
            lambda step_seconds, batch_size, images: images // batch_size * float(step_seconds.median()) * len(step_seconds),
            lambda step_seconds, batch_size, images: images // batch_size * float(step_seconds.median()) / len(step_seconds),
        ),
    },
)


def mirror(x, which):
    """Mirror some of the images, left to right.

    x: (B, C, H, W); which: bool (B,), True for the images that are mirrored. The others stay as they are.
    Returns new images, as x. x stays as it was.
    """
    return torch.where(which.reshape(-1, 1, 1, 1), x.flip(-1), x)


def _mirror_cases(seed: int) -> list[Case]:
    def case(label: str, which: list[bool], *size: int) -> Case:
        return Case(label, (randn(10 * seed + len(which), len(which), *size), torch.tensor(which)))

    return [
        case("three of five colour images", [True, False, True, True, False], 3, 4, 6),
        case("one of four", [False, False, True, False], 3, 5, 5),
        case("none", [False] * 3, 3, 4, 4),
        case("all", [True] * 6, 3, 6, 6),
        case("one grey image", [True], 1, 3, 5),
        case("images as many as their rows and columns", [True, False, False, True, True, False, False, True], 8, 8, 8),
    ]


def _some(change):
    """Another change of the images that are meant."""
    return lambda x, which: torch.where(which[:, None, None, None], change(x), x)


def _filled(x: Tensor, which: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out[which] = x[which].flip(-1)
    return out


MIRROR = Exercise(
    mirror,
    hints=(
        "One line can mirror the whole batch. A second takes the mirrored image where `which` says so, and the image elsewhere.",
        "`flip` turns an axis round. `torch.where` chooses; for that, `which` needs three more axes of length 1: `reshape` makes them.",
    ),
    cases=_mirror_cases,
    mistakes={
        "The images are upside down: this turns the rows round. Left and right are the last axis.": _some(lambda x: x.flip(-2)),
        "The images are turned by half a circle: only left and right should change places.": _some(lambda x: x.flip(-1, -2)),
        "Red and blue have changed places: this turns the colours round. Left and right are the last axis.": (
            _some(lambda x: x.flip(1)),
            _some(lambda x: x.flip(-3)),
        ),
        "Colours and columns are both turned round: only left and right should change places.": _some(lambda x: x.flip(1, -1)),
        "The images have changed places in the batch: each should stay where it is.": (
            _some(lambda x: x.flip(0)),
            _some(lambda x: x.flip(0, -1)),
            _some(lambda x: x.flip(0, 1, 2, 3)),
        ),
        "The others are mirrored: True means mirrored.": lambda x, which: torch.where(which[:, None, None, None], x, x.flip(-1)),
        "All images are mirrored: only those of `which` should be.": (
            lambda x, which: x.flip(-1),
            lambda x, which: x.flip(-1) if bool(which.any()) else x.clone(),
        ),
        "`which` has one axis and x has four: give it three more of length 1, or it meets columns where it should meet images.": (
            lambda x, which: torch.where(which, x.flip(-1), x),
            lambda x, which: torch.where(which[:, None], x.flip(-1), x),
            lambda x, which: torch.where(which[:, None, None], x.flip(-1), x),
        ),
        "One image decides for the whole batch: each should follow its own entry of `which`.": (
            lambda x, which: x.flip(-1) if bool(which[0]) else x.clone(),
            lambda x, which: x.flip(-1) if bool(which.all()) else x.clone(),
            lambda x, which: x.flip(-1) if float(which.float().mean()) > 0.5 else x.clone(),
        ),
        "Nothing is mirrored.": lambda x, which: x.clone(),
        "The other images are lost: they should stay as they are.": (
            _filled,
            lambda x, which: x.flip(-1) * which[:, None, None, None],
        ),
        "Only the mirrored images come back: the batch should keep its length.": lambda x, which: x[which].flip(-1),
        "Rows and columns have changed places: mirrored is not transposed.": lambda x, which: torch.where(
            which[:, None, None, None], x.mT if x.shape[-1] == x.shape[-2] else x, x),
        "The image is negative, not mirrored.": _some(lambda x: -x),
        "The mirrored image lies over the other: it should take its place.": (
            _some(lambda x: (x + x.flip(-1)) / 2),
            _some(lambda x: x + x.flip(-1)),
        ),
        "The columns are rolled, not turned round.": (
            _some(lambda x: x.roll(1, -1)),
            _some(lambda x: x.roll(x.shape[-1] // 2, -1)),
        ),
    },
)


EXERCISES = (RUN_COST, MIRROR)
