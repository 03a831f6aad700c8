"""Exercises of notebook 12: three programs to repair. The last has two faults."""

from __future__ import annotations

import torch

from . import Case, Exercise, randn, uniform


def noisy_pair(x0, alpha_bar_t, generator):
    """Noisy data for a batch of training, and the noise that the network is to guess.

    x0: (B, ...) in [-1, 1]; alpha_bar_t: a tensor that broadcasts with x0; generator: a torch.Generator, for the noise.
    Returns xt, at that level, and the noise in it, both as x0.
    """
    noise = torch.randn(x0.shape, generator=generator)
    xt = alpha_bar_t.sqrt() * x0 + (1 - alpha_bar_t).sqrt() * noise
    return xt, noise


def sick_noisy_pair(x0, alpha_bar_t, generator):
    noise = torch.rand(x0.shape, generator=generator)
    xt = alpha_bar_t.sqrt() * x0 + (1 - alpha_bar_t).sqrt() * noise
    return xt, noise


def short_visits(T, n):
    """The timesteps of a short walk, from pure noise down; after the last one, the walk steps to the clean image.

    T: number of timesteps, 0 to T-1; n: how many are visited, a divisor of T.
    Returns a list of n whole numbers, falling by T/n each, whose first is the noisiest timestep.
    """
    return [T - 1 - k * (T // n) for k in range(n)]


def sick_short_visits(T, n):
    return [k * (T // n) for k in reversed(range(n))]


def noise_chain(x0, betas, generator):
    """Noise x0 step by step, one step for each beta.

    x0: (B, ...) in [-1, 1]; betas: (n,); generator: a torch.Generator, for the noise of every step.
    Returns x after the last step, as x0.
    """
    x = x0
    for beta in betas:
        noise = torch.randn(x0.shape, generator=generator)
        x = (1 - beta).sqrt() * x + beta.sqrt() * noise
    return x


def sick_noise_chain(x0, betas, generator):
    x, noise = x0, torch.randn(x0.shape, generator=generator)
    for beta in betas:
        x = (1 - beta).sqrt() * x + beta * noise
    return x


# --- a batch of training ------------------------------------------------------------------------------------------


def _pair_cases(seed: int) -> list[Case]:
    def case(label: str, k: int, *shape: int) -> Case:
        level = uniform(seed + k, shape[0], *[1] * (len(shape) - 1), low=0.1, high=0.9)
        return Case(label, (randn(seed + k + 1, *shape), level, torch.Generator().manual_seed(seed + k + 2)))

    return [
        case("points, each at a level of its own", 10, 5, 2),
        case("images, each at a level of its own", 20, 3, 2, 4, 5),
        case("a single image", 30, 1, 1, 5, 4),
    ]


def _paired(noise=None, signal=torch.sqrt, width=lambda a: (1 - a).sqrt(), back=lambda xt, noise: (xt, noise)):
    """A wrong noisy_pair: these parts differ. noise(shape, generator); signal, width: of the level; back: what is returned."""
    draw = noise or (lambda shape, g: torch.randn(shape, generator=g))

    def wrong(x0, alpha_bar_t, generator):
        drawn = draw(x0.shape, generator)
        return back(signal(alpha_bar_t) * x0 + width(alpha_bar_t) * drawn, drawn)

    return wrong


def _two_noises(x0, alpha_bar_t, generator):
    xt = alpha_bar_t.sqrt() * x0 + (1 - alpha_bar_t).sqrt() * torch.randn(x0.shape, generator=generator)
    return xt, torch.randn(x0.shape, generator=generator)


def _gives_x0(x0, alpha_bar_t, generator):
    return noisy_pair(x0, alpha_bar_t, generator)[0], x0


def _scaled_target(x0, alpha_bar_t, generator):
    xt, noise = noisy_pair(x0, alpha_bar_t, generator)
    return xt, (1 - alpha_bar_t).sqrt() * noise


NOISY_PAIR = Exercise(
    noisy_pair,
    sick=sick_noisy_pair,
    hints=(
        "The walk starts from N(0, 1). So what the network learns to take away must be of that kind, too.",
        "torch has two functions whose names differ by one letter. One draws between 0 and 1, the other draws a bell.",
    ),
    cases=_pair_cases,
    variants=("non-contiguous", "gradient"),
    mistakes={
        "The noise is still uniform: moved or stretched, it is no bell, and a walk starts from a bell.": (
            _paired(lambda shape, g: 2 * torch.rand(shape, generator=g) - 1),
            _paired(lambda shape, g: torch.rand(shape, generator=g) - 0.5),
            _paired(lambda shape, g: (torch.rand(shape, generator=g) - 0.5) * 12**0.5),
            _paired(lambda shape, g: (2 * torch.rand(shape, generator=g) - 1) * 3**0.5),
            _paired(lambda shape, g: torch.rand(shape, generator=g) * 12**0.5),
            _paired(lambda shape, g: (lambda u: (u - u.mean()) / u.std())(torch.rand(shape, generator=g))),
        ),
        "It draws from torch's own generator: use the one that comes in, so that a training can be repeated.": (
            _paired(lambda shape, g: torch.randn(shape)),
        ),
        "All noise is positive: a bell around 0 has both signs.": _paired(lambda shape, g: torch.randn(shape, generator=g).abs()),
        "Two noises are drawn: the network can only guess the one that is in xt.": _two_noises,
        "The levels lack their roots: an alpha_bar is a share of variance, and data are multiplied by amplitudes.":
            _paired(signal=lambda a: a, width=lambda a: 1 - a),
        "The noise lacks its root: 1 - alpha_bar is its variance, and a width is asked for.": _paired(width=lambda a: 1 - a),
        "The data lack their root: alpha_bar is a share of variance, and an amplitude is asked for.": _paired(signal=lambda a: a),
        "The two weights have changed places: where alpha_bar is near 1, nearly all is data.":
            _paired(signal=lambda a: (1 - a).sqrt(), width=torch.sqrt),
        "The two results have changed places: first xt, then the noise.": _paired(back=lambda xt, noise: (noise, xt)),
        "Two results were asked for: xt, and the noise in it.": (
            _paired(back=lambda xt, noise: xt),
            _paired(back=lambda xt, noise: noise),
        ),
        "The clean data come back as what is to be guessed: this program's network guesses noise.": _gives_x0,
        "The noise comes back at the width it has in xt: the network is to guess it at width 1.": _scaled_target,
        "All of the batch gets the same noise: each needs its own.":
            _paired(lambda shape, g: torch.randn(shape[1:], generator=g).expand(shape)),
        "xt is clipped: noisy data may leave [-1, 1].": _paired(back=lambda xt, noise: (xt.clamp(-1, 1), noise)),
        "The noise is clipped: then it is no bell any more.":
            _paired(lambda shape, g: torch.randn(shape, generator=g).clamp(-1, 1)),
        "The noise is subtracted in xt, and comes back with the other sign.":
            _paired(width=lambda a: -(1 - a).sqrt()),
    },
)


# --- the visits of a short walk -----------------------------------------------------------------------------------


def _visit_cases(seed: int) -> list[Case]:
    n = 3 + seed % 4
    return [
        Case("ten visits of a thousand timesteps", (1000, 10)),
        Case("a few visits", (12 * n, n)),
        Case("a single visit", (40 + seed, 1)),
        Case("every timestep", (24 + seed, 24 + seed)),
    ]


SHORT_VISITS = Exercise(
    short_visits,
    sick=sick_short_visits,
    hints=(
        "The walk begins in pure noise. Which timestep is that? Put it first, and count down from it.",
        "The stride is right, and so is the number of visits. Only the place is wrong: look where k = 0 should lie.",
    ),
    cases=_visit_cases,
    variants=(),
    mistakes={
        "They rise: a walk back starts at the noisiest timestep.": (
            lambda T, n: [T - 1 - k * (T // n) for k in reversed(range(n))],
            lambda T, n: [(k + 1) * (T // n) - 1 for k in range(n)],
            lambda T, n: [k * (T // n) for k in range(n)],
        ),
        "The first is T, and there is no such timestep: they are counted from 0.":
            lambda T, n: [T - k * (T // n) for k in range(n)],
        "The first is one stride below the noisiest timestep: that is where the second visit belongs.": (
            lambda T, n: [T - 1 - (k + 1) * (T // n) for k in range(n)],
            lambda T, n: [T - (k + 1) * (T // n) - 1 for k in range(n)],
        ),
        "The patient's list, moved up by one: the walk still misses the noisiest timestep.":
            lambda T, n: [k * (T // n) + 1 for k in reversed(range(n))],
        "The noisiest timestep stands in front of the patient's list now: that is one visit more than was asked for.": (
            lambda T, n: [T - 1, *[k * (T // n) for k in reversed(range(n))]],
        ),
        "Only the first was moved: the first stride is then longer than the others.":
            lambda T, n: [T - 1, *[k * (T // n) for k in reversed(range(n))][1:]],
        "The clean image, -1, is among them: it is where the last step leads, and no timestep.": (
            lambda T, n: [*[T - 1 - k * (T // n) for k in range(n)], -1],
            lambda T, n: list(range(T - 1, -2, -(T // n))),
        ),
        "0 is added at the end: that is one visit more than was asked for.":
            lambda T, n: [*[T - 1 - k * (T // n) for k in range(n)], 0],
        "Both ends are visited, 0 as well: then the stride is longer than T/n.":
            lambda T, n: [round((T - 1) * (1 - k / (n - 1))) if n > 1 else T - 1 for k in range(n)],
        "One visit is missing at the end.": lambda T, n: [T - 1 - k * (T // n) for k in range(n - 1)],
        "The stride is 1: n visits should reach from noise to the clean end.": lambda T, n: [T - 1 - k for k in range(n)],
        "The stride is n: it is T/n, so that n visits reach all the way.": lambda T, n: [T - 1 - k * n for k in range(n)],
    },
)


# --- the chain, with two faults -----------------------------------------------------------------------------------


def _chain_cases(seed: int) -> list[Case]:
    def case(label: str, k: int, steps: int, *shape: int) -> Case:
        betas = uniform(seed + k, steps, low=0.05, high=0.4)
        return Case(label, (randn(seed + k + 1, *shape), betas, torch.Generator().manual_seed(seed + k + 2)))

    return [
        case("four steps", 10, 4, 3, 1, 4, 5),
        case("a single step", 20, 1, 2, 1, 4, 4),
        case("two steps of points", 30, 2, 6, 2),
    ]


def _chained(keep=lambda beta: (1 - beta).sqrt(), width=torch.sqrt, fresh: bool = True, skip_last: bool = False):
    """A wrong noise_chain: these parts differ. keep, width: of beta; fresh: noise of its own for every step."""
    def wrong(x0, betas, generator):
        x, noise = x0, None
        for k, beta in enumerate(betas):
            noise = torch.randn(x0.shape, generator=generator) if fresh or noise is None else noise
            x = keep(beta) * x + (0 if skip_last and k == len(betas) - 1 else width(beta)) * noise
        return x
    return wrong


def _all_at_once(x0, betas, generator):
    noise = torch.randn(len(betas), *x0.shape, generator=generator)
    x = x0
    for beta, eps in zip(betas, noise):
        x = (1 - beta).sqrt() * x + beta.sqrt() * eps
    return x


def _jump(x0, betas, generator):
    a = (1 - betas).prod()
    return a.sqrt() * x0 + (1 - a).sqrt() * torch.randn(x0.shape, generator=generator)


def _reseeded(x0, betas, generator):
    x = x0
    for beta in betas:
        generator.manual_seed(0)
        x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(x0.shape, generator=generator)
    return x


def _from_x0(x0, betas, generator):
    for beta in betas:
        x = (1 - beta).sqrt() * x0 + beta.sqrt() * torch.randn(x0.shape, generator=generator)
    return x


def _first_step_only(x0, betas, generator):
    return noise_chain(x0, betas[:1], generator)


def _pixels_share(x0, betas, generator):
    x = x0
    for beta in betas:
        x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(1, generator=generator)
    return x


NOISE_CHAIN = Exercise(
    noise_chain,
    sick=sick_noise_chain,
    hints=(
        "There are two faults. One step alone shows the first of them: how wide is its noise?",
        "Two steps show the second: by what do they differ? Nothing that belongs to each step may stand before the loop.",
    ),
    cases=_chain_cases,
    also=(_all_at_once,),
    variants=("non-contiguous", "gradient"),
    mistakes={
        "The width of a step is right now. Another fault is left: all steps add one and the same noise.": _chained(fresh=False),
        "Every step has noise of its own now. Another fault is left: a single step is too narrow.": _chained(width=lambda b: b),
        "The width of a step is the square of beta here: that is narrower still.": (
            _chained(width=lambda b: b**2),
            _chained(width=lambda b: b**2, fresh=False),
        ),
        "The share that is kept lacks its root: a beta is a share of variance.": (
            _chained(keep=lambda b: 1 - b),
            _chained(keep=lambda b: 1 - b, fresh=False),
            _chained(keep=lambda b: 1 - b, width=lambda b: b),
            _chained(keep=lambda b: 1 - b, width=lambda b: b, fresh=False),
        ),
        "The two weights have changed places: a small beta should change x a little.": (
            _chained(keep=torch.sqrt, width=lambda b: (1 - b).sqrt()),
            _chained(keep=torch.sqrt, width=lambda b: (1 - b).sqrt(), fresh=False),
        ),
        "This is the jump, with one noise for all steps: the chain was asked for, step by step.": _jump,
        "The generator is seeded anew at every step: so every step draws the same noise.": _reseeded,
        "Every step starts from x0: it should start where the last one ended.": _from_x0,
        "Only one step is taken: is the `return` inside the loop?": _first_step_only,
        "The whole step shares one random number: each value needs its own.": _pixels_share,
        "The last step adds no noise: that is so on the way back, not here.": _chained(skip_last=True),
        "The old values are not scaled down: then the variance grows without end.": (
            _chained(keep=lambda b: 1.0),
            _chained(keep=lambda b: 1.0, fresh=False),
        ),
        "Every step adds noise at full width: it should be as wide as the root of its beta.": _chained(width=lambda b: 1.0),
    },
)


EXERCISES = (NOISY_PAIR, SHORT_VISITS, NOISE_CHAIN)
