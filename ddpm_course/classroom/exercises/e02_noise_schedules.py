"""Exercises of notebook 02: the ruler for noise levels, a linear schedule for any number of steps, and the cosine schedule."""

from __future__ import annotations

import math

import torch

from . import Case, Exercise, uniform


def log_snr(alpha_bar):
    """The logarithm of the signal-to-noise ratio: the ruler on which schedules are compared.

    alpha_bar: a tensor of any shape, each number between 0 and 1, neither of them reached.
    Returns the natural logarithm of the ratio, of the same shape; 0 where both weights are equal.
    """
    return torch.log(alpha_bar / (1 - alpha_bar))


def _level_cases(seed: int) -> list[Case]:
    faint = torch.tensor([2.4e-9, 4.0e-5, 0.13]) * uniform(seed, 1, low=0.9, high=1.1)
    return [
        Case("five levels", (uniform(seed + 1, 5, low=0.05, high=0.95),)),
        Case("the last levels of three schedules", (faint,)),
        Case("levels shaped for a batch of images", (uniform(seed + 2, 3, 1, 1, 1, low=0.05, high=0.95),)),
        Case("a single number in a tensor", (uniform(seed + 3, 1, low=0.6, high=0.9)[0],)),
    ]


LOG_SNR = Exercise(
    log_snr,
    hints=(
        "First the ratio, then the logarithm of it. The noise's share is what the image's share leaves of 1.",
        "Divide the share that is image by the share that is noise. Mind the brackets. Then take torch's natural logarithm.",
    ),
    cases=_level_cases,
    mistakes={
        "The ratio is upside down: the image's share stands above, the noise's share below.": (
            lambda alpha_bar: torch.log((1 - alpha_bar) / alpha_bar),
            lambda alpha_bar: -torch.log(alpha_bar / (1 - alpha_bar)),
        ),
        "The logarithm has base 10: the natural one was asked for.":
            lambda alpha_bar: torch.log10(alpha_bar / (1 - alpha_bar)),
        "The logarithm has base 2: the natural one was asked for.":
            lambda alpha_bar: torch.log2(alpha_bar / (1 - alpha_bar)),
        "These are decibels: the plain natural logarithm was asked for.": (
            lambda alpha_bar: 10 * torch.log10(alpha_bar / (1 - alpha_bar)),
            lambda alpha_bar: 20 * torch.log10(alpha_bar / (1 - alpha_bar)),
        ),
        "This is the logarithm of the ratio of amplitudes, half of what is asked: the ratio is one of variances.": (
            lambda alpha_bar: torch.log(torch.sqrt(alpha_bar / (1 - alpha_bar))),
            lambda alpha_bar: torch.log(alpha_bar.sqrt() / (1 - alpha_bar).sqrt()),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar)) / 2,
        ),
        "Only one of the two shares has a root: both are variances as they stand.": (
            lambda alpha_bar: torch.log(alpha_bar.sqrt() / (1 - alpha_bar)),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar).sqrt()),
        ),
        "The root is taken before the subtraction: the noise's share is one minus the image's share, without roots.": (
            lambda alpha_bar: torch.log(alpha_bar.sqrt() / (1 - alpha_bar.sqrt())),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar.sqrt())),
        ),
        "The logarithm is missing: this is the ratio itself.":
            lambda alpha_bar: alpha_bar / (1 - alpha_bar),
        "The ratio is upside down, and its logarithm is missing.":
            lambda alpha_bar: (1 - alpha_bar) / alpha_bar,
        "A ratio of logarithms is not the logarithm of a ratio.": (
            lambda alpha_bar: torch.log(alpha_bar) / torch.log(1 - alpha_bar),
            lambda alpha_bar: torch.log(1 - alpha_bar) / torch.log(alpha_bar),
        ),
        "The two logarithms are added: that belongs to a product, and a ratio is asked for.": (
            lambda alpha_bar: torch.log(alpha_bar) + torch.log(1 - alpha_bar),
            lambda alpha_bar: torch.log(alpha_bar * (1 - alpha_bar)),
        ),
        "This is the logarithm of the image's share alone: the noise is missing from the ratio.":
            lambda alpha_bar: torch.log(alpha_bar),
        "This is the logarithm of the noise's share alone: the image is missing from the ratio.":
            lambda alpha_bar: torch.log(1 - alpha_bar),
        "This is the reciprocal of the image's share, in logarithms: the noise is missing from the ratio.": (
            lambda alpha_bar: -torch.log(alpha_bar),
            lambda alpha_bar: torch.log(1 / alpha_bar),
        ),
        "The same share stands above and below: the ratio is 1 everywhere.": (
            lambda alpha_bar: torch.log((1 - alpha_bar) / (1 - alpha_bar)),
            lambda alpha_bar: torch.log(alpha_bar / alpha_bar),
        ),
        "Brackets are missing: the division comes before the subtraction here.": (
            lambda alpha_bar: torch.log(alpha_bar / 1 - alpha_bar),
            lambda alpha_bar: torch.log(1 - alpha_bar / 1 - alpha_bar),
        ),
        "The noise's share has the wrong sign: image and noise together make 1.":
            lambda alpha_bar: torch.log(alpha_bar / (1 + alpha_bar)),
        "The noise's share has its terms in the wrong order: it would be negative.":
            lambda alpha_bar: torch.log(alpha_bar / (alpha_bar - 1)),
        "One is added before the logarithm is taken: log1p is for something else.":
            lambda alpha_bar: torch.log1p(alpha_bar / (1 - alpha_bar)),
        "One is taken away from the ratio before its logarithm.":
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar) - 1),
        "One of the shares is squared: both are variances already.": (
            lambda alpha_bar: torch.log(alpha_bar**2 / (1 - alpha_bar)),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar) ** 2),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar**2)),
            lambda alpha_bar: torch.log(alpha_bar**2 / (1 - alpha_bar**2)),
        ),
        "Both shares are squared, which doubles the logarithm: they are variances already.": (
            lambda alpha_bar: 2 * torch.log(alpha_bar / (1 - alpha_bar)),
            lambda alpha_bar: torch.log((alpha_bar / (1 - alpha_bar)) ** 2),
        ),
        "This leads from the logarithm back to alpha_bar: it is the inverse of what is asked.":
            lambda alpha_bar: torch.sigmoid(alpha_bar),
        "The exponential is taken where the logarithm is meant.":
            lambda alpha_bar: torch.exp(alpha_bar / (1 - alpha_bar)),
        "The sign is lost: below 0 there is more noise than image.":
            lambda alpha_bar: log_snr(alpha_bar).abs(),
        "Small shares are raised: at the end of the cosine schedule alpha_bar is 0.000000002, and nothing may hide that.": (
            lambda alpha_bar: torch.log(alpha_bar.clamp(min=1e-3) / (1 - alpha_bar)),
            lambda alpha_bar: torch.log(alpha_bar.clamp(min=1e-4) / (1 - alpha_bar)),
            lambda alpha_bar: torch.log(alpha_bar.clamp(min=1e-5) / (1 - alpha_bar)),
            lambda alpha_bar: torch.log(alpha_bar.clamp(min=1e-6) / (1 - alpha_bar)),
            lambda alpha_bar: torch.log(alpha_bar.clamp(min=1e-7) / (1 - alpha_bar)),
            lambda alpha_bar: torch.log(alpha_bar.clamp(min=1e-8) / (1 - alpha_bar)),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar) + 1e-3),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar) + 1e-4),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar) + 1e-5),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar) + 1e-6),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar) + 1e-7),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar) + 1e-8),
            lambda alpha_bar: torch.log(alpha_bar / (1 - alpha_bar) + 1e-9),
        ),
        "It works for one number only: a whole table of alpha_bar may come in.": (
            lambda alpha_bar: torch.tensor(math.log(alpha_bar / (1 - alpha_bar))),
            lambda alpha_bar: torch.tensor(math.log(alpha_bar.item() / (1 - alpha_bar.item()))),
            lambda alpha_bar: math.log(alpha_bar / (1 - alpha_bar)),
        ),
        "It takes alpha_bar for the share of noise and builds the product again: alpha_bar is a running product already.":
            lambda alpha_bar: log_snr(torch.cumprod(alpha_bar, 0)),
    },
)


def linear_betas(T):
    """The linear schedule for any number of steps: it ends in noise as the one of a thousand steps does.

    T: the number of steps, an int above 20.
    Returns betas, float32 (T,), evenly spaced, smallest first. At T = 1000 they run from 0.0001 to 0.02.
    """
    return torch.linspace(1e-4, 0.02, T) * 1000 / T


def _linear_cases(seed: int) -> list[Case]:
    return [
        Case("T = 1000", (1000,)),
        Case("T = 200", (200,)),
        Case("T = 300", (300,)),
        Case("a T that divides nothing", (61 + 2 * (seed % 90),)),
        Case("more steps than a thousand", (1501 + 7 * (seed % 90),)),
    ]


def _usual(T, factor=1.0):
    return torch.linspace(1e-4, 0.02, T) * factor


def _every_fifth(T):
    return torch.linspace(1e-4, 0.02, 1000)[torch.linspace(0, 999, T).long()]


def _respaced(T):
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    at = torch.cat([torch.ones(1, dtype=torch.float64), kept[torch.linspace(999 / T, 999, T).round().long()]])
    return (1 - at[1:] / at[:-1]).float()


LINEAR_BETAS = Exercise(
    linear_betas,
    hints=(
        "Fewer steps must each do more. The sum of the betas decides what is left, and at T = 1000 it is about 10.",
        "Space the betas of a thousand steps over T entries. A fifth of the steps then needs every beta five times as large.",
    ),
    cases=_linear_cases,
    mistakes={
        "The betas are those of a thousand steps: with another T their sum is another, and so is what is left.": (
            _usual,
            _every_fifth,
            lambda T: (torch.linspace(1e-4, 0.02, 1000)[:: 1000 // T] if T <= 1000 else _usual(T)),
            lambda T: (torch.linspace(1e-4, 0.02, 1000)[:: 1000 // T][:T] if T <= 1000 else _usual(T)),
        ),
        "They are scaled the wrong way: fewer steps need larger betas, not smaller ones.": (
            lambda T: _usual(T, T / 1000),
            lambda T: _usual(T) * T / 1000,
        ),
        "Only the last beta is scaled: the first must grow by the same factor.":
            lambda T: torch.linspace(1e-4, 0.02 * 1000 / T, T),
        "Only the first beta is scaled: the last must grow by the same factor.":
            lambda T: torch.linspace(1e-4 * 1000 / T, 0.02, T),
        "The factor 5 belongs to 200 steps: it must follow T.": (
            lambda T: _usual(T, 5),
            lambda T: torch.linspace(5e-4, 0.1, T),
            lambda T: torch.linspace(1e-4, 0.1, T),
        ),
        "Each beta gathers up several steps exactly: that ends in noise, too, but plain multiples were asked for, evenly spaced.": (
            lambda T: 1 - (1 - _usual(T)) ** (1000 / T),
            lambda T: 1 - torch.exp(-_usual(T) * 1000 / T),
        ),
        "Their sum is brought to 10 exactly: with 0.0001 and 0.02 at the ends of a thousand steps it is 10.05.":
            lambda T: _usual(T) / _usual(T).sum() * 10,
        "They are scaled by a root: the sum of the betas must stay as it is, so the factor is no root.": (
            lambda T: _usual(T, (1000 / T) ** 0.5),
            lambda T: _usual(T, (T / 1000) ** 0.5),
        ),
        "They are scaled twice: their sum should be that of a thousand steps.":
            lambda T: _usual(T, (1000 / T) ** 2),
        "The factor is rounded to a whole number: it need not be one.": (
            lambda T: _usual(T) * (1000 // T),
            lambda T: _usual(T) * round(1000 / T),
            lambda T: _usual(T) * max(1, 1000 // T),
        ),
        "They grow when T shrinks, but never shrink when T grows: long schedules need smaller betas.":
            lambda T: _usual(T, max(1.0, 1000 / T)),
        "They are divided by T, and the thousand is forgotten: T = 1000 should give 0.0001 to 0.02.":
            lambda T: _usual(T, 1 / T),
        "They are multiplied by 1000, and T is forgotten: T = 1000 should give 0.0001 to 0.02.":
            lambda T: _usual(T, 1000),
        "They are multiplied by T: T = 1000 should give 0.0001 to 0.02.":
            lambda T: _usual(T, T),
        "The factor counts T + 1 steps: the schedule has T of them.":
            lambda T: _usual(T, 1000 / (T + 1)),
        "The factor counts T - 1 steps: the schedule has T of them.":
            lambda T: _usual(T, 1000 / (T - 1)),
        "The factor has 999 where the schedule of Ho et al. has a thousand steps.":
            lambda T: _usual(T, 999 / T),
        "The last beta is not reached: both ends belong to the schedule.": (
            lambda T: (1e-4 + torch.arange(T) * (0.02 - 1e-4) / T) * 1000 / T,
            lambda T: torch.linspace(1e-4, 0.02, T + 1)[:-1] * 1000 / T,
        ),
        "The first beta is missing: both ends belong to the schedule.": (
            lambda T: (1e-4 + torch.arange(1, T + 1) * (0.02 - 1e-4) / T) * 1000 / T,
            lambda T: torch.linspace(1e-4, 0.02, T + 1)[1:] * 1000 / T,
        ),
        "The line starts at 0: the first beta of a thousand steps is 0.0001.": (
            lambda T: torch.linspace(0, 0.02, T) * 1000 / T,
            lambda T: torch.arange(T) / T * 0.02 * 1000 / T,
            lambda T: torch.arange(T) / (T - 1) * 0.02 * 1000 / T,
            lambda T: torch.arange(1, T + 1) / T * 0.02 * 1000 / T,
        ),
        "There is one beta too many: T steps have T betas.":
            lambda T: torch.linspace(1e-4, 0.02, T + 1) * 1000 / T,
        "There is one beta too few: T steps have T betas.":
            lambda T: torch.linspace(1e-4, 0.02, T - 1) * 1000 / T,
        "T is ignored in their number: there are always a thousand betas.": (
            lambda T: torch.linspace(1e-4, 0.02, 1000) * 1000 / T,
            lambda T: torch.linspace(1e-4, 0.02, 1000),
        ),
        "The largest beta comes first: at t = 0 the step must be the smallest.": (
            lambda T: linear_betas(T).flip(0),
            lambda T: torch.linspace(0.02, 1e-4, T),
        ),
        "These are the shares that each step keeps: its beta is what it adds.": (
            lambda T: 1 - linear_betas(T),
            lambda T: 1 - _usual(T),
        ),
        "This is alpha_bar, the running product: the betas themselves were asked for.": (
            lambda T: torch.cumprod(1 - linear_betas(T), 0),
            lambda T: torch.cumprod(1 - _usual(T), 0),
        ),
        "The betas are all alike: on a linear schedule they grow from step to step.": (
            lambda T: torch.full((T,), 0.01005) * 1000 / T,
            lambda T: torch.full((T,), 0.02) * 1000 / T,
            lambda T: torch.full((T,), 10 / T),
        ),
        "Their roots are evenly spaced, not the betas: that is another schedule.":
            lambda T: torch.linspace(1e-4**0.5, 0.02**0.5, T) ** 2 * 1000 / T,
        "Their logarithms are evenly spaced, not the betas: that is another schedule.":
            lambda T: torch.logspace(-4, math.log10(0.02), T) * 1000 / T,
        "They are cut off at 0.02: with fewer steps the last betas must be larger than that.":
            lambda T: linear_betas(T).clamp(max=0.02),
        "They are taken from alpha_bar of a thousand steps: that ends in noise, too, but not on a straight line.": _respaced,
        "Their roots are returned, standard deviations: betas are variances.":
            lambda T: linear_betas(T) ** 0.5,
        "The first beta is ten times too large: at T = 1000 it is 0.0001.":
            lambda T: torch.linspace(1e-3, 0.02, T) * 1000 / T,
        "The last beta is ten times too large: at T = 1000 it is 0.02.":
            lambda T: torch.linspace(1e-4, 0.2, T) * 1000 / T,
        "The last beta is ten times too small: at T = 1000 it is 0.02.":
            lambda T: torch.linspace(1e-4, 0.002, T) * 1000 / T,
    },
    rtol=2e-4,  # 999 for 1000 is told apart
    atol=1e-8,
)


def cosine_betas(T):
    """The betas of the cosine schedule (Nichol & Dhariwal 2021, eq. 17).

    T: the number of steps, an int. The offset s is 0.008; no beta exceeds 0.999.
    Returns betas, float32 (T,): the entry of step t comes from f at the times t/T and (t+1)/T.
    """
    time = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((time + 0.008) / 1.008 * torch.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=0.999).float()


def _cosine_cases(seed: int) -> list[Case]:
    return [
        Case("T = 1000", (1000,)),
        Case("T = 50", (50,)),
        Case("a T that is odd", (101 + 2 * (seed % 90),)),
        Case("ten steps", (10,)),
    ]


def _f(time, s=0.008, quarter=math.pi / 2, power=2):
    return torch.cos((time + s) / (1 + s) * quarter) ** power


def _steps(f, most=0.999):
    return (1 - f[1:] / f[:-1]).clamp(max=most).float()


def _after_one(f):
    """betas from f at the times after each step, the first compared with 1."""
    return _steps(torch.cat([torch.ones(1, dtype=f.dtype), f]))


def _both(betas):
    """betas(time, T), time from 0 to 1, in float64 and in float32: where f comes near 0, the two differ."""
    return tuple(lambda T, dtype=dtype: betas(torch.arange(T + 1, dtype=dtype) / T, T) for dtype in (torch.float64, torch.float32))


def _cut(fn):
    """What the tolerance, wide enough for float32, would let pass."""
    largest = float(fn(1000).max())
    if largest > 0.99995:
        return "The last beta is 1: it would wipe the image out, so no beta may exceed 0.999."
    return None if abs(largest - 0.999) < 2e-4 else f"The largest beta is {largest:.4g}: the cut belongs at 0.999."


COSINE_BETAS = Exercise(
    cosine_betas,
    hints=(
        "Compute f first, at all times from 0 to 1; there is one time more than steps. A step lies between two neighbours.",
        "What a step keeps is f after it, divided by f before it. Beta is what is missing to 1. Cut the betas off last.",
    ),
    cases=_cosine_cases,
    mistakes={
        "Small betas are raised to 0.0001: the first of a thousand is smaller than that.": (
            *_both(lambda time, T: _steps(_f(time)).clamp(min=0.0001)),
            *_both(lambda time, T: _steps(_f(time), 0.9999).clamp(min=0.0001)),
        ),
        "The betas are cut off too low: only what lies above 0.999 is cut.": (
            *_both(lambda time, T: _steps(_f(time), 0.99)),
            *_both(lambda time, T: _steps(_f(time), 0.95)),
            *_both(lambda time, T: _steps(_f(time), 0.9)),
            *_both(lambda time, T: _steps(_f(time), 0.5)),
            *_both(lambda time, T: _steps(_f(time), 0.02)),
        ),
        "The cut raises every beta to 0.999: they should be at most that.":
            _both(lambda time, T: _steps(_f(time), 1.0).clamp(min=0.999)),
        "The values of f are cut off, not the betas.": (
            *_both(lambda time, T: _steps(_f(time).clamp(max=0.999), 1.0)),
            *_both(lambda time, T: _steps(_f(time).clamp(min=0.001), 1.0)),
            *_both(lambda time, T: _steps(_f(time).clamp(0.001, 0.999), 1.0)),
            *_both(lambda time, T: (1 - _f(time)[1:] / _f(time)[:-1].clamp(max=0.999)).float()),
        ),
        "The angle is in degrees: torch's cosine wants radians.": (
            *_both(lambda time, T: _steps(_f(time, quarter=90.0))),
            *_both(lambda time, T: _steps(_f(time, quarter=90.0)).clamp(min=0)),
        ),
        "The cosine is not squared: a step's beta would compare amplitudes, where variances are meant.": (
            *_both(lambda time, T: _steps(_f(time, power=1))),
            *_both(lambda time, T: _steps(_f(time, power=1)).clamp(min=0)),
            *_both(lambda time, T: _steps(_f(time).sqrt())),
        ),
        "The cosine is squared twice.":
            _both(lambda time, T: _steps(_f(time, power=4))),
        "The square is taken inside the cosine: the cosine itself is squared.": (
            *_both(lambda time, T: _steps(torch.cos(((time + 0.008) / 1.008 * math.pi / 2) ** 2))),
            *_both(lambda time, T: _steps(torch.cos(((time + 0.008) / 1.008 * math.pi / 2) ** 2)).clamp(min=0)),
        ),
        "It takes the sine: f must start near 1 and end at 0.":
            _both(lambda time, T: _steps(torch.sin((time + 0.008) / 1.008 * math.pi / 2) ** 2)),
        "The ratio is upside down: what a step keeps is f after it, divided by f before it.": (
            *_both(lambda time, T: (1 - _f(time)[:-1] / _f(time)[1:]).clamp(max=0.999).float()),
            *_both(lambda time, T: (1 - _f(time)[:-1] / _f(time)[1:]).clamp(0, 0.999).float()),
            *_both(lambda time, T: (_f(time)[:-1] / _f(time)[1:] - 1).clamp(max=0.999).float()),
        ),
        "The angle runs to pi, twice too far: the cosine comes back up, and the betas turn negative.": (
            *_both(lambda time, T: _steps(_f(time, quarter=math.pi))),
            *_both(lambda time, T: _steps(_f(time, quarter=math.pi)).clamp(min=0)),
        ),
        "The angle stops too early: at time 1 it should be a quarter turn.": (
            *_both(lambda time, T: _steps(_f(time, quarter=math.pi / 4))),
            *_both(lambda time, T: _steps(_f(time, quarter=1.0))),
        ),
        "The offset s is missing: without it the first betas are far too small.":
            _both(lambda time, T: _steps(_f(time, s=0.0))),
        "The offset s is ten times too large.":
            _both(lambda time, T: _steps(_f(time, s=0.08))),
        "The offset s is ten times too small.":
            _both(lambda time, T: _steps(_f(time, s=0.0008))),
        "The division by 1 + s is missing: the angle runs past a quarter turn.": (
            *_both(lambda time, T: _steps(torch.cos((time + 0.008) * math.pi / 2) ** 2)),
            *_both(lambda time, T: _steps(torch.cos((time + 0.008) * math.pi / 2) ** 2).clamp(min=0)),
        ),
        "Brackets are missing: time and s together are divided by 1 + s, then turned into an angle.": (
            *_both(lambda time, T: _steps(torch.cos((time + 0.008 / 1.008) * math.pi / 2) ** 2)),
            *_both(lambda time, T: _steps(torch.cos(time + 0.008 / 1.008 * math.pi / 2) ** 2)),
            *_both(lambda time, T: _steps(torch.cos((time + 0.008) / 1 + 0.008 * math.pi / 2) ** 2)),
        ),
        "The times run one step early: the first entry belongs to time 1/T, after one step, and the last to time 1.": (
            *_both(lambda time, T: _after_one(_f(time[:-1]) / _f(time[:1]))),
            *_both(lambda time, T: _after_one(_f(time[:-1]))),
            *_both(lambda time, T: torch.cat([torch.zeros(1), _steps(_f(time))])[:-1]),
            *_both(lambda time, T: _steps(_f(time - 1 / T))),
            *_both(lambda time, T: _steps(_f(time - 1 / T)).clamp(min=0)),
        ),
        "The times run one step late: the first step starts at time 0.": (
            *_both(lambda time, T: _steps(_f(time + 1 / T))),
            *_both(lambda time, T: _steps(_f(time + 1 / T)).clamp(min=0)),
        ),
        "The first step is compared with the last entry: nothing stands before the first, and an index of -1 wraps round.": (
            *_both(lambda time, T: (1 - _f(time)[:-1] / _f(time)[:-1].roll(1)).clamp(max=0.999).float()),
            *_both(lambda time, T: (1 - _f(time)[1:] / _f(time)[1:].roll(1)).clamp(max=0.999).float()),
            *_both(lambda time, T: (1 - _f(time) / _f(time).roll(1))[:-1].clamp(max=0.999).float()),
        ),
        "The first step is compared with 1, not with f at time 0: the paper divides by that value.":
            _both(lambda time, T: _after_one(_f(time[1:]))),
        "Time is divided by one too many: after T steps it must be 1.": (
            *_both(lambda time, T: _steps(_f(time * T / (T + 1)))),
            *_both(lambda time, T: _steps(_f((time * T + 1) / (T + 1)))),
        ),
        "Time is not divided by T: the steps themselves go into the cosine.": (
            lambda T: _steps(_f(torch.arange(T + 1, dtype=torch.float64))),
            lambda T: _steps(_f(torch.arange(T + 1))),
            lambda T: _steps(_f(torch.arange(T + 1))).clamp(min=0),
        ),
        "There is one beta too few: each step lies between two times, and the first of them is 0.": (
            lambda T: _steps(_f(torch.linspace(0, 1, T))),
            *_both(lambda time, T: _steps(_f(time[:-1]))),
            *_both(lambda time, T: _steps(_f(time[1:]))),
        ),
        "T is ignored: there are always a thousand betas.":
            lambda T: cosine_betas(1000),
        "These are the shares that each step keeps: beta is what is missing to 1.": (
            *_both(lambda time, T: (_f(time)[1:] / _f(time)[:-1]).float()),
            *_both(lambda time, T: (_f(time)[1:] / _f(time)[:-1]).clamp(max=0.999).float()),
        ),
        "This is alpha_bar, what is left: the betas were asked for.": (
            *_both(lambda time, T: _f(time)[1:].float()),
            *_both(lambda time, T: (_f(time)[1:] / _f(time)[0]).float()),
            *_both(lambda time, T: _f(time)[:-1].float()),
            *_both(lambda time, T: (_f(time) / _f(time)[0]).float()),
            *_both(lambda time, T: _f(time).float()),
            lambda T: torch.cumprod(1 - cosine_betas(T), 0),
        ),
        "This is one minus alpha_bar, the noise so far: a step's own part was asked for.": (
            *_both(lambda time, T: (1 - _f(time)[1:]).clamp(max=0.999).float()),
            *_both(lambda time, T: (1 - _f(time)[1:] / _f(time)[0]).clamp(max=0.999).float()),
            *_both(lambda time, T: (1 - _f(time)[1:]).float()),
        ),
        "Neighbours are subtracted: shares multiply, so a step keeps their ratio.":
            _both(lambda time, T: (_f(time)[:-1] - _f(time)[1:]).clamp(max=0.999).float()),
        "The largest beta comes first: time is turned round.":
            lambda T: cosine_betas(T).flip(0),
        "Their roots are returned, standard deviations: betas are variances.":
            lambda T: cosine_betas(T) ** 0.5,
    },
    probes=(_cut,),
    rtol=5e-3,  # float32 all the way is right, too
    atol=5e-6,
)

EXERCISES = (LINEAR_BETAS, LOG_SNR, COSINE_BETAS)
