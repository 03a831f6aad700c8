"""Exercises of notebook 01: one step of noising, the product of its factors, and the jump to any timestep."""

from __future__ import annotations

import math

import torch

from . import Case, Exercise, randn, uniform


def noise_step(x_prev, beta, noise):
    """One step of noising: x_t from x_{t-1}.

    x_prev: images (B, C, H, W); beta: the variance to add, a float or a tensor (B, 1, 1, 1); noise: N(0, 1), as x_prev.
    Returns x_t, as x_prev.
    """
    return (1 - beta) ** 0.5 * x_prev + beta**0.5 * noise


def _step_cases(seed: int) -> list[Case]:
    beta = uniform(seed, 6, 1, 1, 1, low=0.1, high=0.9)
    return [
        Case("a float beta", (randn(seed, 2, 3, 4, 5) + 0.5, float(beta[5]), randn(seed + 1, 2, 3, 4, 5))),
        Case("a batch with one beta for each image", (randn(seed + 2, 4, 2, 3, 4) + 0.5, beta[:4], randn(seed + 3, 4, 2, 3, 4))),
        Case("a single image", (randn(seed + 4, 1, 1, 5, 5) + 0.5, beta[4:5], randn(seed + 5, 1, 1, 5, 5))),
    ]


NOISE_STEP = Exercise(
    noise_step,
    hints=(
        "The image shrinks a little, then a little noise comes on top. Both weights depend on beta alone.",
        "A weight multiplies a standard deviation, and beta is a variance. The two squared weights add up to 1.",
    ),
    cases=_step_cases,
    mistakes={
        "The noise is scaled by beta, which is a variance: the weight of the noise is a standard deviation.": (
            lambda x_prev, beta, noise: (1 - beta) ** 0.5 * x_prev + beta * noise,
            lambda x_prev, beta, noise: x_prev + beta * noise,
        ),
        "beta is squared: it is a variance already, not a standard deviation.":
            lambda x_prev, beta, noise: (1 - beta**2) ** 0.5 * x_prev + beta * noise,
        "The result is clipped: a noisy image may leave [-1, 1], and the tails of the noise belong to it.":
            lambda x_prev, beta, noise: noise_step(x_prev, beta, noise).clamp(-1, 1),
        "The image is kept at full size: without shrinking it, the variance grows with every step.":
            lambda x_prev, beta, noise: x_prev + beta**0.5 * noise,
        "The image is scaled by the share of variance it keeps: take the matching factor for its amplitude.":
            lambda x_prev, beta, noise: (1 - beta) * x_prev + beta**0.5 * noise,
        "Both weights are variances here: amplitudes are what an image and a noise are multiplied by.":
            lambda x_prev, beta, noise: (1 - beta) * x_prev + beta * noise,
        "The two weights are swapped: a small beta should leave most of the image.": (
            lambda x_prev, beta, noise: beta**0.5 * x_prev + (1 - beta) ** 0.5 * noise,
            lambda x_prev, beta, noise: beta * x_prev + (1 - beta) * noise,
        ),
        "The image's weight is one minus a root: the subtraction and the root are in the wrong order.":
            lambda x_prev, beta, noise: (1 - beta**0.5) * x_prev + beta**0.5 * noise,
        "The image's weight has the wrong sign inside its root: it should be below 1.":
            lambda x_prev, beta, noise: (1 + beta) ** 0.5 * x_prev + beta**0.5 * noise,
        "The noise is subtracted: for random noise it is no harm, but here the formula adds it.":
            lambda x_prev, beta, noise: (1 - beta) ** 0.5 * x_prev - beta**0.5 * noise,
        "The noise is uniform, and not the one given: use the argument `noise`.": (
            lambda x_prev, beta, noise: (1 - beta) ** 0.5 * x_prev + beta**0.5 * torch.rand_like(x_prev),
            lambda x_prev, beta, noise: (1 - beta) ** 0.5 * x_prev + beta * torch.rand_like(x_prev),
            lambda x_prev, beta, noise: x_prev + beta * torch.rand_like(x_prev),
        ),
        "The noise is drawn anew inside the function: use the argument `noise`, so that a step can be repeated.":
            lambda x_prev, beta, noise: (1 - beta) ** 0.5 * x_prev + beta**0.5 * torch.randn_like(x_prev),
        "No noise is added: the result is only a smaller image.": (
            lambda x_prev, beta, noise: (1 - beta) ** 0.5 * x_prev,
            lambda x_prev, beta, noise: (1 - beta) * x_prev,
        ),
        "The image is missing from the result: only scaled noise is left.":
            lambda x_prev, beta, noise: beta**0.5 * noise,
        "Every image gets the noise of the first one: each needs its own.":
            lambda x_prev, beta, noise: (1 - beta) ** 0.5 * x_prev + beta**0.5 * noise[:1],
        "Every image gets the beta of the first one: each has its own.":
            lambda x_prev, beta, noise: noise_step(x_prev, beta if isinstance(beta, float) else beta[0], noise),
        "It works for a tensor only: beta may also be a plain float.": (
            lambda x_prev, beta, noise: torch.sqrt(1 - beta) * x_prev + torch.sqrt(beta) * noise,  # a TypeError for floats
            lambda x_prev, beta, noise: (1 - beta).sqrt() * x_prev + beta.sqrt() * noise,  # an AttributeError
        ),
        "It works for a single beta only: a batch may bring a tensor with one beta for each image.":
            lambda x_prev, beta, noise: math.sqrt(1 - beta) * x_prev + math.sqrt(beta) * noise,
    },
)


def alpha_bar_of(betas):
    """How much of the image's variance is left after each step: alpha_bar_t, the product of (1 - beta_i) for i = 0..t.

    betas: (T,), each between 0 and 1.
    Returns alpha_bar, (T,): its first entry belongs to t = 0, where one step has been taken.
    """
    return torch.cumprod(1 - betas, dim=0)


def _betas_cases(seed: int) -> list[Case]:
    return [
        Case("five betas", (uniform(seed, 5, low=0.1, high=0.6),)),
        Case("a single beta", (uniform(seed + 1, 1, low=0.1, high=0.9),)),
        Case("a hundred betas", (torch.linspace(1e-3, 0.2, 100),)),  # no more: a slow loop is right, too
    ]


def _shifted(betas):
    return torch.cat([torch.ones_like(betas[:1]), torch.cumprod(1 - betas, 0)])


ALPHA_BAR_OF = Exercise(
    alpha_bar_of,
    hints=(
        "Each step keeps a share of the variance. Two steps keep a share of a share.",
        "First make the tensor of shares, one for each step. Then look for torch's running product.",
    ),
    cases=_betas_cases,
    mistakes={
        "These are products of the betas: each beta is what a step adds, not what it keeps.":
            lambda betas: torch.cumprod(betas, 0),
        "The betas are summed up: shares of shares multiply, they do not add.": (
            lambda betas: torch.cumsum(betas, 0),
            lambda betas: 1 - torch.cumsum(betas, 0),
        ),
        "The shares that are kept are summed: the result grows, where less and less should be left.":
            lambda betas: torch.cumsum(1 - betas, 0),
        "One minus the product of the betas is not the product of one minus each beta.":
            lambda betas: 1 - torch.cumprod(betas, 0),
        "This is what each step keeps on its own: the earlier steps are missing.":
            lambda betas: 1 - betas,
        "It starts at 1, one step late: at t = 0 the first step has been taken.":
            lambda betas: _shifted(betas)[:-1],
        "It has one entry too many: the clean image, before any step, is not part of the table.": _shifted,
        "It runs one step ahead: the first step is missing from every product.": (
            lambda betas: torch.cumprod(torch.cat([1 - betas[1:], torch.ones_like(betas[:1])]), 0),
            lambda betas: torch.cumprod(1 - betas[1:], 0),
            lambda betas: torch.cumprod(1 - betas, 0) / (1 - betas[0]),
        ),
        "Here is the amplitude that is left: the share of the variance was asked for.":
            lambda betas: torch.cumprod(1 - betas, 0).sqrt(),
        "This is the variance of the noise: the share that is still image was asked for.":
            lambda betas: 1 - torch.cumprod(1 - betas, 0),
        "The product runs from the last step to the first: time is turned round.": (
            lambda betas: torch.cumprod(1 - betas.flip(0), 0),
            lambda betas: torch.cumprod(1 - betas, 0).flip(0),
            lambda betas: torch.cumprod(1 - betas.flip(0), 0).flip(0),
        ),
        "Only the product over all steps is returned: one value for each step was asked for.": (
            lambda betas: torch.prod(1 - betas),
            lambda betas: torch.cumprod(1 - betas, 0)[-1],
            lambda betas: torch.prod(1 - betas).expand(len(betas)),
        ),
        "A step multiplies by more than 1 here: check the sign in front of beta.":
            lambda betas: torch.cumprod(1 + betas, 0),
        "The logarithm is returned: take the step back from sums of logarithms to products.":
            lambda betas: torch.cumsum(torch.log(1 - betas), 0),
    },
)


def q_sample(x0, t, noise, alpha_bar):
    """Jump from x_0 to x_t in one formula, for a batch in which every image has a timestep of its own.

    x0: images (B, C, H, W); t: int64 (B,) in {0..T-1}; noise: N(0, 1), as x0; alpha_bar: (T,).
    Returns x_t, as x0.
    """
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * noise


def _sample_cases(seed: int) -> list[Case]:
    alpha_bar = torch.cumprod(1 - uniform(seed, 8, low=0.1, high=0.35), 0)

    def case(label: str, t: list[int], *shape: int) -> Case:
        x0, noise = randn(seed + len(t), len(t), *shape) + 0.5, randn(seed + len(t) + 100, len(t), *shape)
        return Case(label, (x0, torch.tensor(t), noise, alpha_bar.clone()))

    return [
        case("a single image", [3], 1, 6, 6),
        case("a batch with different t", [2, 6, 4, 1], 3, 5, 6),
        case("a batch as large as its images are wide", [4, 1, 6, 3, 5], 1, 5, 5),
        case("the first and the last timestep", [0, 7], 1, 4, 3),
        case("a batch with one t for all", [5, 5, 5], 2, 4, 5),
    ]


def _each(values):
    return values.reshape(-1, 1, 1, 1)


def _jump(signal, sigma):
    """A wrong q_sample with these weights, functions of alpha_bar_t (B, 1, 1, 1)."""
    return lambda x0, t, noise, alpha_bar: signal(_each(alpha_bar[t])) * x0 + sigma(_each(alpha_bar[t])) * noise


def _mapped(**changed):
    """The reference with some of its arguments replaced: functions of (x0, t, noise, alpha_bar)."""
    def wrong(*args):
        named = dict(zip(("x0", "t", "noise", "alpha_bar"), args, strict=True))
        return q_sample(**named | {name: change(*args) for name, change in changed.items()})
    return wrong


def _unshaped(x0, t, noise, alpha_bar):
    a = alpha_bar[t]
    return a.sqrt() * x0 + (1 - a).sqrt() * noise


def _two_dimensions(x0, t, noise, alpha_bar):
    a = alpha_bar[t].reshape(-1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * noise


def _three_dimensions(x0, t, noise, alpha_bar):
    a = alpha_bar[t].reshape(-1, 1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * noise


Q_SAMPLE = Exercise(
    q_sample,
    hints=(
        "Two weights again, one for the image and one for the noise. This time they come from alpha_bar at each image's t.",
        "Index the table with the whole tensor t. Then give the (B,) result the shape (B, 1, 1, 1), so that it meets the right axis.",
    ),
    cases=_sample_cases,
    mistakes={
        "The noise's weight is a variance: the root is missing there.":
            _jump(lambda a: a.sqrt(), lambda a: 1 - a),
        "The image's weight is a variance: the root is missing there.":
            _jump(lambda a: a, lambda a: (1 - a).sqrt()),
        "Both weights are variances: amplitudes are what an image and a noise are multiplied by.":
            _jump(lambda a: a, lambda a: 1 - a),
        "The two weights are swapped: where alpha_bar is near 1, the image should be nearly clean.": (
            _jump(lambda a: (1 - a).sqrt(), lambda a: a.sqrt()),
            _jump(lambda a: 1 - a, lambda a: a),
        ),
        "The noise's weight is one minus a root: the subtraction and the root are in the wrong order.":
            _jump(lambda a: a.sqrt(), lambda a: 1 - a.sqrt()),
        "The image keeps its full size: as noise comes in, the image must fade.":
            _jump(torch.ones_like, lambda a: (1 - a).sqrt()),
        "The noise comes in at full strength at every t: its weight should depend on t.":
            _jump(lambda a: a.sqrt(), torch.ones_like),
        "The noise's weight has the wrong sign inside its root: it should be below 1.":
            _jump(lambda a: a.sqrt(), lambda a: (1 + a).sqrt()),
        "Both terms have the same weight: one should fade as the other grows.": (
            _jump(lambda a: a.sqrt(), lambda a: a.sqrt()),
            _jump(lambda a: (1 - a).sqrt(), lambda a: (1 - a).sqrt()),
        ),
        "The noise is subtracted: for random noise it is no harm, but here the formula adds it.":
            _jump(lambda a: a.sqrt(), lambda a: -(1 - a).sqrt()),
        "The result is clipped: a noisy image may leave [-1, 1], and the tails of the noise belong to it.":
            lambda x0, t, noise, alpha_bar: q_sample(x0, t, noise, alpha_bar).clamp(-1, 1),
        "No noise is added: the result is only a fainter image.": (
            _jump(lambda a: a.sqrt(), torch.zeros_like),
            _jump(lambda a: a, torch.zeros_like),
        ),
        "The image is missing from the result: only scaled noise is left.":
            _jump(torch.zeros_like, lambda a: (1 - a).sqrt()),
        "The noise is uniform, and not the one given: use the argument `noise`.": (
            _mapped(noise=lambda x0, t, noise, alpha_bar: torch.rand_like(x0)),
            lambda x0, t, noise, alpha_bar: _jump(lambda a: a.sqrt(), lambda a: 1 - a)(x0, t, torch.rand_like(x0), alpha_bar),
        ),
        "The noise is drawn anew inside the function: use the argument `noise`, so that a jump can be repeated.":
            _mapped(noise=lambda x0, t, noise, alpha_bar: torch.randn_like(x0)),
        "Every image gets the noise of the first one: each needs its own.":
            _mapped(noise=lambda x0, t, noise, alpha_bar: noise[:1].expand_as(x0)),
        "Every image gets the t of the first one: a batch may hold different timesteps.":
            _mapped(t=lambda x0, t, noise, alpha_bar: t[:1].expand_as(t)),
        "It reads alpha_bar one step too early: at t = 0 the index -1 even wraps round to the last entry.":
            _mapped(t=lambda x0, t, noise, alpha_bar: t - 1),
        "It reads alpha_bar one step too early: the table's first entry already belongs to t = 0.": (
            _mapped(t=lambda x0, t, noise, alpha_bar: (t - 1).clamp(min=0)),
            _mapped(alpha_bar=lambda x0, t, noise, alpha_bar: torch.cat([torch.ones(1), alpha_bar[:-1]])),
        ),
        "It reads alpha_bar one step too late: the table's last entry belongs to t = T-1.": (
            _mapped(t=lambda x0, t, noise, alpha_bar: t + 1),
            _mapped(t=lambda x0, t, noise, alpha_bar: (t + 1).clamp(max=len(alpha_bar) - 1)),
            _mapped(t=lambda x0, t, noise, alpha_bar: (t + 1) % len(alpha_bar)),
        ),
        "It counts timesteps from the wrong end of the table.":
            _mapped(t=lambda x0, t, noise, alpha_bar: len(alpha_bar) - 1 - t),
        "The (B,) weights meet the wrong axis: they broadcast along the width, not along the batch.": _unshaped,
        "The weights meet the channels, not the batch: count the dimensions they need.": _three_dimensions,
        "The weights meet the rows, not the batch: count the dimensions they need.": _two_dimensions,
        "It takes `t` for one number: a whole tensor of timesteps comes in, one for each image.": (
            lambda x0, t, noise, alpha_bar: alpha_bar[t.item()] ** 0.5 * x0 + (1 - alpha_bar[t.item()]) ** 0.5 * noise,
            lambda x0, t, noise, alpha_bar: math.sqrt(alpha_bar[t]) * x0 + math.sqrt(1 - alpha_bar[t]) * noise,
            lambda x0, t, noise, alpha_bar: alpha_bar[int(t)] ** 0.5 * x0 + (1 - alpha_bar[int(t)]) ** 0.5 * noise,
        ),
        "It takes the share that one step keeps (alpha): the jump needs the product over all steps so far (alpha_bar).":
            _mapped(alpha_bar=lambda x0, t, noise, alpha_bar: alpha_bar / torch.cat([torch.ones(1), alpha_bar[:-1]])),
        "alpha_bar is already the running product: here it is multiplied up once more.":
            _mapped(alpha_bar=lambda x0, t, noise, alpha_bar: torch.cumprod(alpha_bar, 0)),
        "alpha_bar is taken for beta: it is the share that is kept, not what is added.":
            _mapped(alpha_bar=lambda x0, t, noise, alpha_bar: torch.cumprod(1 - alpha_bar, 0)),
    },
)

EXERCISES = (NOISE_STEP, Q_SAMPLE, ALPHA_BAR_OF)
