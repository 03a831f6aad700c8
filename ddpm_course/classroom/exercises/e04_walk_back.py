"""Exercises of notebook 04: where x_s was when both ends are known, one step back, and a walk through chosen timesteps."""

from __future__ import annotations

import math

import torch

from . import Case, Exercise, randn, uniform


def posterior_mean_variance(x0, xt, alpha_bar_t, alpha_bar_s):
    """Where x_s was, when x_0 and x_t are both known.

    x0, xt: images (B, C, H, W); the levels: floats, alpha_bar_t < alpha_bar_s <= 1.
    Returns (mean, as x0; variance, one number).
    """
    beta = 1 - alpha_bar_t / alpha_bar_s
    mean = (alpha_bar_s**0.5 * beta * x0 + (1 - beta) ** 0.5 * (1 - alpha_bar_s) * xt) / (1 - alpha_bar_t)
    return mean, beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)


def _levels(seed: int, count: int) -> list[float]:
    return sorted(uniform(seed, count, low=0.15, high=0.85).tolist())


def _posterior_cases(seed: int) -> list[Case]:
    a, b, c = _levels(seed, 3)
    return [
        Case("a large step", (1.5 * randn(seed, 3, 2, 4, 5), randn(seed + 1, 3, 2, 4, 5), a * 0.8, c)),
        Case("a small step", (1.5 * randn(seed + 2, 2, 1, 5, 4), randn(seed + 3, 2, 1, 5, 4), b * 0.9, b)),
        Case("the last step, to the clean image", (1.5 * randn(seed + 4, 1, 1, 4, 4), randn(seed + 5, 1, 1, 4, 4), c, 1.0)),
    ]


def _beta(t, s):
    """Variance of x_t given x_s, for levels in any order (complex roots would hide what went wrong)."""
    return 1 - t / s


def _bell(clean=None, noisy=None, variance=None):
    """A wrong posterior: these parts differ. Each is a function of (alpha_bar_t, alpha_bar_s)."""
    def wrong(x0, xt, t, s):
        weight0 = (clean or (lambda t, s: s**0.5 * _beta(t, s) / (1 - t)))(t, s)
        weight_t = (noisy or (lambda t, s: (t / s) ** 0.5 * (1 - s) / (1 - t)))(t, s)
        return weight0 * x0 + weight_t * xt, (variance or _small)(t, s)
    return wrong


def _small(t, s):
    return _beta(t, s) * (1 - s) / (1 - t)


def _certainties(x0, xt, t, s):
    of_clean, of_noisy = 1 / (1 - s), (t / s) / (1 - t / s)
    variance = 1 / (of_clean + of_noisy)
    return variance * (of_clean * s**0.5 * x0 + of_noisy * xt / (t / s) ** 0.5), variance


def _unrooted(x0, xt, t, s):
    return (s * _beta(t, s) * x0 + t / s * (1 - s) * xt) / (1 - t), _small(t, s)


POSTERIOR = Exercise(
    posterior_mean_variance,
    hints=(
        "First `beta`, from the ratio of the two levels. Then the two fractions of the text.",
        "All divisors are the same, the noise of xt. Beside x0 stands beta, beside xt the noise of level s.",
    ),
    cases=_posterior_cases,
    mistakes={
        "This is the standard deviation: the variance was asked for.":
            _bell(variance=lambda t, s: _small(t, s) ** 0.5),
        "The variance is beta, that of the step forward: knowing x_0 as well makes the bell narrower.":
            _bell(variance=_beta),
        "The variance is that of x_s when x_0 alone is known: x_t is a second clue, and narrows it.":
            _bell(variance=lambda t, s: 1 - s),
        "The variance has its fraction upside down: the last step, to the clean image, should leave none.": (
            _bell(variance=lambda t, s: _beta(t, s) * (1 - t) / (1 - s) if s < 1 else float("inf")),
            _bell(variance=lambda t, s: _beta(t, s) * (1 - t) / (1 - s)),
        ),
        "The two weights are swapped: look which clue each of them belongs to.": (
            _bell(clean=lambda t, s: (t / s) ** 0.5 * (1 - s) / (1 - t), noisy=lambda t, s: s**0.5 * _beta(t, s) / (1 - t)),
            lambda x0, xt, t, s: posterior_mean_variance(xt, x0, t, s),
        ),
        "The weight of x0 has the level of x_t under its root: the bell stands at level s.":
            _bell(clean=lambda t, s: t**0.5 * _beta(t, s) / (1 - t)),
        "Under the root beside xt stands an alpha_bar, what all steps together keep: this one step keeps another share.": (
            _bell(noisy=lambda t, s: t**0.5 * (1 - s) / (1 - t)),
            _bell(noisy=lambda t, s: s**0.5 * (1 - s) / (1 - t)),
        ),
        "These weights belong to the centres of the two bells: x0 and xt have to be brought to level s first.":
            _bell(clean=lambda t, s: _beta(t, s) / (1 - t), noisy=lambda t, s: t / s * (1 - s) / (1 - t)),
        "The weights lack their roots: images are multiplied by amplitudes, and a level is a share of variance.": (
            _unrooted,
            _bell(clean=lambda t, s: s * _beta(t, s) / (1 - t)),
            _bell(noisy=lambda t, s: t / s * (1 - s) / (1 - t)),
        ),
        "The divisor is taken at level s: it should be the noise of x_t.": (
            lambda x0, xt, t, s: ((s**0.5 * _beta(t, s) * x0 + (t / s) ** 0.5 * (1 - s) * xt) / (1 - s), _beta(t, s)),
            lambda x0, xt, t, s: ((s**0.5 * _beta(t, s) * x0 + (t / s) ** 0.5 * (1 - s) * xt) / (1 - s), _small(t, s)),
        ),
        "Something is not divided: both the weights and the variance have the noise of x_t as their divisor.": (
            _bell(clean=lambda t, s: s**0.5 * _beta(t, s)),
            _bell(noisy=lambda t, s: (t / s) ** 0.5 * (1 - s)),
            _bell(variance=lambda t, s: _beta(t, s) * (1 - s)),
            lambda x0, xt, t, s: (s**0.5 * _beta(t, s) * x0 + (t / s) ** 0.5 * (1 - s) * xt, _small(t, s)),
            lambda x0, xt, t, s: (s**0.5 * _beta(t, s) * x0 + (t / s) ** 0.5 * (1 - s) * xt, _beta(t, s) * (1 - s)),
            lambda x0, xt, t, s: (s**0.5 * _beta(t, s) * x0 + (t / s) ** 0.5 * (1 - s) * xt / (1 - t), _small(t, s)),
        ),
        "The weight of xt has the noise of level t above: that cancels, and the other clue's noise, at level s, belongs there.":
            _bell(noisy=lambda t, s: (t / s) ** 0.5),
        "The roots of the two weights are swapped: each amplitude belongs to the clue it was worn down by.":
            _bell(clean=lambda t, s: (t / s) ** 0.5 * _beta(t, s) / (1 - t), noisy=lambda t, s: s**0.5 * (1 - s) / (1 - t)),
        "beta is the noise of all steps up to t here: it should be that of the one step from s to t.": (
            lambda x0, xt, t, s: ((s**0.5 * (1 - t) * x0 + t**0.5 * (1 - s) * xt) / (1 - t), 1 - s),
            _bell(clean=lambda t, s: s**0.5, variance=lambda t, s: 1 - s),
        ),
        "beta is the difference of the levels here: levels are products, so one step is found by a ratio.": (
            lambda x0, xt, t, s: ((s**0.5 * (s - t) * x0 + (1 - s + t) ** 0.5 * (1 - s) * xt) / (1 - t), (s - t) * (1 - s) / (1 - t)),
            _bell(clean=lambda t, s: s**0.5 * (s - t) / (1 - t), variance=lambda t, s: (s - t) * (1 - s) / (1 - t)),
        ),
        "beta is the ratio of the levels here: that is what the step keeps, and beta is the rest.":
            lambda x0, xt, t, s: ((s**0.5 * (t / s) * x0 + (1 - t / s) ** 0.5 * (1 - s) * xt) / (1 - t), t / s * (1 - s) / (1 - t)),
        "The levels are swapped: s is the less noisy one, and its alpha_bar is the larger.": (
            lambda x0, xt, t, s: ((t**0.5 * (1 - s / t) * x0 + (s / t) ** 0.5 * (1 - t) * xt) / (1 - s), (1 - s / t) * (1 - t) / (1 - s)),
            lambda x0, xt, t, s: ((t**0.5 * (1 - s / t) * x0 + (s / t) ** 0.5 * (1 - t) * xt) / (1 - s)
                                  if s < 1 else torch.full_like(x0, torch.nan), math.nan),
        ),
        "On the last step the clean image leaves no noise, and one over no noise fails: multiply the fractions out.": (
            _certainties,  # a ZeroDivisionError where alpha_bar_s is 1
            lambda x0, xt, t, s: _certainties(x0, xt, t, torch.tensor(s)),  # not a number there
        ),
        "Two results were asked for, and in this order: mean, variance.": (
            lambda x0, xt, t, s: posterior_mean_variance(x0, xt, t, s)[::-1],
            lambda x0, xt, t, s: posterior_mean_variance(x0, xt, t, s)[0],
            lambda x0, xt, t, s: posterior_mean_variance(x0, xt, t, s)[1],
        ),
        "The variance is one number here: it is the same for every pixel.":
            lambda x0, xt, t, s: (posterior_mean_variance(x0, xt, t, s)[0], torch.full_like(x0, _small(t, s))),
        "The mean is clipped: it stands at level s, where an image may leave [-1, 1].":
            lambda x0, xt, t, s: (posterior_mean_variance(x0, xt, t, s)[0].clamp(-1, 1), _small(t, s)),
        "x0 is clipped here: take it as it comes.":
            lambda x0, xt, t, s: posterior_mean_variance(x0.clamp(-1, 1), xt, t, s),
        "The mean forgets x_t: this is where x_s lies when x_0 alone is known.":
            lambda x0, xt, t, s: (s**0.5 * x0, _small(t, s)),
        "The mean forgets x_0: this only undoes the shrinking of the last step.": (
            lambda x0, xt, t, s: (xt / (t / s) ** 0.5, _small(t, s)),
            lambda x0, xt, t, s: (xt / (t / s) ** 0.5, (s - t) / t),
        ),
        "The terms are subtracted: the mean lies between two clues, and both pull.":
            _bell(noisy=lambda t, s: -((t / s) ** 0.5) * (1 - s) / (1 - t)),
    },
)


def ddpm_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    """One step back, from x at level alpha_bar_t to x_s at level alpha_bar_s.

    x, x0 (the guess): images (B, C, H, W); the levels: floats, alpha_bar_t < alpha_bar_s <= 1.
    noise: N(0, 1), as x; None asks for the mean alone.
    Returns x_s, as x.
    """
    beta = 1 - alpha_bar_t / alpha_bar_s
    mean = (alpha_bar_s**0.5 * beta * x0 + (1 - beta) ** 0.5 * (1 - alpha_bar_s) * x) / (1 - alpha_bar_t)
    if noise is None:
        return mean
    variance = beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return mean + variance**0.5 * noise


def _step_cases(seed: int) -> list[Case]:
    a, b, c = _levels(seed + 50, 3)

    def case(label: str, place: int, t: float, s: float, *shape: int, noise: bool = True) -> Case:
        x, x0, eps = (size * randn(seed + 10 * place + i, *shape) for i, size in enumerate((1.2, 1.5, 1.0)))
        return Case(label, (x, x0, t, s, eps if noise else None))

    return [
        case("a large step", 0, a * 0.8, c, 3, 2, 4, 5),
        case("a small step", 1, b * 0.9, b, 2, 1, 5, 4),
        case("a step without noise", 2, a, b + 0.05, 2, 3, 4, 4, noise=False),
        case("the last step, to the clean image", 3, c, 1.0, 1, 1, 4, 4, noise=False),
        case("a last step that is handed noise all the same", 4, b, 1.0, 2, 1, 3, 4),
    ]


def _stepped(clean=None, noisy=None, width=None, mean=None):
    """A wrong ddpm_step: these parts differ. Each is a function of the levels; mean replaces (x, x0, t, s) -> mean."""
    bell = _bell(clean, noisy)

    def wrong(x, x0, t, s, noise):
        centre = mean(x, x0, t, s) if mean else bell(x0, x, t, s)[0]
        return centre if noise is None else centre + (width or (lambda t, s: _small(t, s) ** 0.5))(t, s) * noise
    return wrong


def _always(x, x0, t, s, noise):
    return posterior_mean_variance(x0, x, t, s)[0] + _small(t, s) ** 0.5 * noise


def _as_truth(x, x0, t, s, noise):
    if noise:  # a tensor here: torch refuses
        return _always(x, x0, t, s, noise)
    return posterior_mean_variance(x0, x, t, s)[0]


def _ddim(x, x0, t, s):
    return s**0.5 * x0 + (1 - s) ** 0.5 * (x - t**0.5 * x0) / (1 - t) ** 0.5


DDPM_STEP = Exercise(
    ddpm_step,
    hints=(
        "First beta, from the ratio of the levels. Then the mean. Then the noise, if there is any.",
        "A variance is not a width: take its root before you multiply the noise.",
    ),
    cases=_step_cases,
    mistakes={
        "It fails where noise is None: that asks for the mean alone.": (
            _always,
            lambda x, x0, t, s, noise: _always(x, x0, t, s, noise) if s < 1 else x0,
        ),
        "`if noise` asks a whole tensor for yes or no: compare with None.": _as_truth,
        "Noise is added on the last step: it uses beta, where the posterior's own variance is 0.":
            _stepped(width=lambda t, s: _beta(t, s) ** 0.5),
        "Noise is added on the last step, where nothing is left to be unsure of: alpha_bar_s = 1 means the clean image.": (
            _stepped(width=lambda t, s: _small(t, s) ** 0.5 if s < 1 else _beta(t, s) ** 0.5),
            _stepped(width=lambda t, s: _small(t, s) ** 0.5 if s < 1 else 1.0),
        ),
        "The noise is as wide as all noise at level s: most of that is in x already.":
            _stepped(width=lambda t, s: (1 - s) ** 0.5),
        "The noise is multiplied by a variance: its width is the root of that.": (
            _stepped(width=_small),
            _stepped(width=_beta),
        ),
        "The noise is added at full width: it should be as wide as the posterior.": _stepped(width=lambda t, s: 1.0),
        "No noise is added: this is the mean, also where noise is given.": _stepped(width=lambda t, s: 0.0),
        "The noise is subtracted: for random noise it is no harm, but here the formula adds it.":
            _stepped(width=lambda t, s: -(_small(t, s) ** 0.5)),
        "The noise is drawn anew inside the function: use the argument `noise`, so that a step can be repeated.":
            lambda x, x0, t, s, noise: ddpm_step(x, x0, t, s, None if noise is None else torch.randn_like(x)),
        "The guess comes back as it is: a step only moves a little towards it.":
            _stepped(mean=lambda x, x0, t, s: x0, width=lambda t, s: 0.0),
        "This noises the guess anew to level s, and x has no part in it: the posterior needs both.":
            _stepped(mean=lambda x, x0, t, s: s**0.5 * x0, width=lambda t, s: (1 - s) ** 0.5),
        "The guess at level t's scale plus a little noise: x has no part in it, and the level is the wrong one.":
            _stepped(mean=lambda x, x0, t, s: t**0.5 * x0, width=lambda t, s: _beta(t, s) ** 0.5),
        "This keeps the noise that is in x and adds none: that is DDIM, another sampler, of notebook 10.":
            _stepped(mean=_ddim, width=lambda t, s: 0.0),
        "x and x0 have swapped their weights: x is the noisy one, and the guess x0 is the clean one.":
            lambda x, x0, t, s, noise: ddpm_step(x0, x, t, s, noise),
        "The weight of x0 has alpha_bar_t under its root, where alpha_bar_s is meant.":
            _stepped(clean=lambda t, s: t**0.5 * _beta(t, s) / (1 - t)),
        "Under the root beside x stands an alpha_bar, what all steps together keep: this one step keeps another share.": (
            _stepped(noisy=lambda t, s: t**0.5 * (1 - s) / (1 - t)),
            _stepped(noisy=lambda t, s: s**0.5 * (1 - s) / (1 - t)),
        ),
        "The weights lack their roots: images are multiplied by amplitudes, and a level is a share of variance.": (
            _stepped(clean=lambda t, s: s * _beta(t, s) / (1 - t), noisy=lambda t, s: t / s * (1 - s) / (1 - t)),
            _stepped(clean=lambda t, s: s * _beta(t, s) / (1 - t)),
            _stepped(noisy=lambda t, s: t / s * (1 - s) / (1 - t)),
        ),
        "The mean is not divided by the noise of x_t: its weights come out too small.": (
            _stepped(clean=lambda t, s: s**0.5 * _beta(t, s), noisy=lambda t, s: (t / s) ** 0.5 * (1 - s)),
            _stepped(clean=lambda t, s: s**0.5 * _beta(t, s)),
            _stepped(noisy=lambda t, s: (t / s) ** 0.5 * (1 - s)),
        ),
        "beta is the noise of all steps up to t here: it should be that of the one step from s to t.": (
            _stepped(clean=lambda t, s: s**0.5, noisy=lambda t, s: t**0.5 * (1 - s) / (1 - t), width=lambda t, s: (1 - s) ** 0.5),
            _stepped(clean=lambda t, s: s**0.5, noisy=lambda t, s: t**0.5 * (1 - s) / (1 - t)),
        ),
        "beta is the difference of the levels here: levels are products, so one step is found by a ratio.":
            _stepped(clean=lambda t, s: s**0.5 * (s - t) / (1 - t), noisy=lambda t, s: (1 - s + t) ** 0.5 * (1 - s) / (1 - t),
                     width=lambda t, s: ((s - t) * (1 - s) / (1 - t)) ** 0.5),
        "beta is the ratio of the levels here: that is what the step keeps, and beta is the rest.":
            _stepped(clean=lambda t, s: s**0.5 * (t / s) / (1 - t), noisy=lambda t, s: (1 - t / s) ** 0.5 * (1 - s) / (1 - t),
                     width=lambda t, s: (t / s * (1 - s) / (1 - t)) ** 0.5),
        "The levels are swapped: s is the less noisy one, and its alpha_bar is the larger.":
            lambda x, x0, t, s, noise: ddpm_step(x, x0, torch.tensor(s), torch.tensor(t), noise),
        "The mean is clipped, at a level where images may leave [-1, 1]. What is clipped is the guess, and before.": (
            _stepped(mean=lambda x, x0, t, s: posterior_mean_variance(x0, x, t, s)[0].clamp(-1, 1)),
            lambda x, x0, t, s, noise: ddpm_step(x, x0, t, s, noise).clamp(-1, 1),
        ),
        "The guess is clipped here: whoever makes the guess has to do that, so take it as it comes.":
            lambda x, x0, t, s, noise: ddpm_step(x, x0.clamp(-1, 1), t, s, noise),
        "Every image gets the noise of the first one: each needs its own.":
            lambda x, x0, t, s, noise: ddpm_step(x, x0, t, s, None if noise is None else noise[:1]),
        "The guess is added as noise would be: this mean is the formula for a guessed noise, and x0 is a guessed image.":
            _stepped(mean=lambda x, x0, t, s: (x - _beta(t, s) / (1 - t) ** 0.5 * x0) / (t / s) ** 0.5),
    },
)


def walk(guess, step, xT, alpha_bar, visits, noise):
    """Walk from noise to clean images, by way of `visits` alone.

    guess(x, t) -> x0, t int64 (B,); step(x, x0, alpha_bar_t, alpha_bar_s, noise) -> x_s.
    xT: noise (B, ...); alpha_bar: (T,); visits: falling timesteps, such as [999, 700, 200].
    noise: (len(visits), B, ...), one for each step; the last step, to the clean image, gets None.
    Returns the last x, as xT.
    """
    x = xT
    for i, t in enumerate(visits):
        last = i == len(visits) - 1
        x0 = guess(x, torch.full((len(x),), t))
        alpha_bar_s = 1.0 if last else alpha_bar[visits[i + 1]]
        x = step(x, x0, alpha_bar[t], alpha_bar_s, None if last else noise[i])
    return x


def _a_guess(x, t):
    """Nonlinear in x, and another one for every t: what is left out or repeated shows."""
    if not isinstance(t, torch.Tensor) or t.dtype != torch.int64 or t.shape != x.shape[:1]:
        what = f"{t.dtype} {tuple(t.shape)}" if isinstance(t, torch.Tensor) else f"a {type(t).__name__}"
        raise ValueError(f"guess needs t as int64 of shape ({len(x)},), one for each image; it got {what}.")
    when = t.reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype)
    return torch.tanh(x * (1 + when / 5) + torch.sin(3 * when))


def _a_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    """The step with the variance of the step forward: noise on the last step shows."""
    t, s = (torch.as_tensor(a, dtype=x.dtype) for a in (alpha_bar_t, alpha_bar_s))
    mean = (s**0.5 * (1 - t / s) * x0 + (t / s) ** 0.5 * (1 - s) * x) / (1 - t)
    return mean if noise is None else mean + (1 - t / s).abs() ** 0.5 * noise  # finite for a wrong order, too


def _walk_cases(seed: int) -> list[Case]:
    alpha_bar = torch.cumprod(1 - uniform(seed, 12, low=0.1, high=0.3), 0)

    def case(label: str, place: int, visits: list[int], *shape: int) -> Case:
        xT, noise = randn(seed + 10 * place, *shape), randn(seed + 10 * place + 1, len(visits), *shape)
        return Case(label, (_a_guess, _a_step, xT, alpha_bar.clone(), visits, noise))

    return [
        case("four visits", 1, [11, 8, 5, 1], 3, 1, 4, 5),
        case("every timestep", 2, list(range(11, -1, -1)), 2, 2, 3, 3),
        case("a single visit", 3, [9], 2, 1, 4, 4),
        case("points in the plane", 4, [10, 6, 3], 5, 2),
    ]


def _walked(visits=lambda visits: visits, level=None, noise=None, seen=None, guessed=None, moved=None, stop=0):
    """A wrong walk: these parts differ. level(alpha_bar, visits, i) -> alpha_bar_s; noise(noise, i, last); seen(visits, i): the t of
    the guess; guessed(x, xT): what is guessed from; moved(x, x0): where the step starts; stop: how many steps are left out."""
    def wrong(guess, step, xT, alpha_bar, given, eps):
        x, order = xT, visits(list(given))
        for i, t in enumerate(order[: len(order) - stop]):
            last = i == len(order) - 1
            x0 = guess(guessed(x, xT) if guessed else x, torch.full((len(x),), seen(order, i) if seen else t))
            s = level(alpha_bar, order, i) if level else 1.0 if last else alpha_bar[order[i + 1]]
            x = step(moved(x, x0) if moved else x, x0, alpha_bar[t], s, noise(eps, i, last) if noise else None if last else eps[i])
        return x
    return wrong


def _restarted(guess, step, xT, alpha_bar, visits, noise):
    x = xT
    for i, t in enumerate(visits):
        last = i == len(visits) - 1
        x0 = guess(x, torch.full((len(x),), t))
        x = step(xT, x0, alpha_bar[t], 1.0 if last else alpha_bar[visits[i + 1]], None if last else noise[i])
    return x


def _jumped(guess, step, xT, alpha_bar, visits, noise):
    x = xT
    for t in visits:
        x = guess(x, torch.full((len(x),), t))
    return x


def _last_or(value):
    return lambda eps, i, last: None if last else value(eps, i)


WALK = Exercise(
    walk,
    hints=(
        "One turn of the loop: guess, then step. It needs two levels, of this visit and of the next.",
        "The last visit has no next one: its level to go to is 1. `enumerate` counts the visits.",
    ),
    cases=_walk_cases,
    mistakes={
        "Noise is added on the last step: it goes to the clean image, and should get None.":
            _walked(noise=lambda eps, i, last: eps[i]),
        "The last step goes to the wrong level: index -1 wraps round to the LAST alpha_bar, and the clean image has 1.": (
            _walked(level=lambda table, visits, i: table[[*visits, -1][i + 1]]),
            _walked(level=lambda table, visits, i: table[[*visits, -1][i + 1]], noise=lambda eps, i, last: eps[i]),
        ),
        "It steps to t-1 and then goes on from the next visit: the levels between are skipped, so step to the next visit.": (
            _walked(level=lambda table, visits, i: table[visits[i] - 1] if visits[i] > 0 else 1.0),
            _walked(level=lambda table, visits, i: table[visits[i] - 1]),
            _walked(level=lambda table, visits, i: 1.0 if i == len(visits) - 1 else table[visits[i] - 1]),
        ),
        "The last step goes back to the first visit: the clean image has level 1.":
            _walked(level=lambda table, visits, i: table[visits[(i + 1) % len(visits)]]),
        "The last step goes to alpha_bar[0]: that is the least noisy level, and the clean image has 1.":
            _walked(level=lambda table, visits, i: table[[*visits, 0][i + 1]]),
        "The last step goes to level 0: that is pure noise, and the clean image has 1.":
            _walked(level=lambda table, visits, i: 0.0 if i == len(visits) - 1 else table[visits[i + 1]]),
        "It stops one step early: from the last visit there is still a step to the clean image.": (
            _walked(stop=1),
            _walked(level=lambda table, visits, i: table[visits[min(i + 1, len(visits) - 1)]]),  # a step that leads nowhere
        ),
        "The first visit is left out: xT is at its level, and the first guess is made there.":
            lambda guess, step, xT, alpha_bar, visits, noise: walk(guess, step, xT, alpha_bar, visits[1:], noise[1:]),
        "It walks from the wrong end: visits fall, from the noisiest to the last.":
            _walked(visits=lambda visits: visits[::-1]),
        "Every step aims at the clean image: only the last one does.": _walked(level=lambda table, visits, i: 1.0),
        "The guess itself is walked on with: a step moves only a little towards it, to the level of the next visit.": (
            _jumped,
            _walked(level=lambda table, visits, i: 1.0, noise=lambda eps, i, last: None),
        ),
        "No noise is added on the way: every step but the last gets its own.":
            _walked(noise=lambda eps, i, last: None),
        "The same noise comes in at every step: each has its own.": (
            _walked(noise=_last_or(lambda eps, i: eps[0])),
            _walked(noise=lambda eps, i, last: eps[0]),
            _walked(noise=_last_or(lambda eps, i: eps[-1])),
        ),
        "The noises come in the wrong order: noise[i] belongs to the step from visits[i].": (
            _walked(noise=_last_or(lambda eps, i: eps[len(eps) - 1 - i])),
            _walked(noise=_last_or(lambda eps, i: eps[i + 1])),
            _walked(noise=_last_or(lambda eps, i: eps[i - 1])),
        ),
        "New noise is drawn inside the function: use the argument `noise`, so that a walk can be repeated.": (
            _walked(noise=_last_or(lambda eps, i: torch.randn_like(eps[0]))),
            _walked(noise=lambda eps, i, last: torch.randn_like(eps[0])),
        ),
        "The guess is asked for with the number of the step: it needs the timestep.": (
            _walked(seen=lambda visits, i: i),
            _walked(seen=lambda visits, i: len(visits) - 1 - i),
        ),
        "The guess is asked for with the timestep of the next visit: x is still at the level of this one.": (
            _walked(seen=lambda visits, i: visits[min(i + 1, len(visits) - 1)]),
            _walked(seen=lambda visits, i: [*visits, -1][i + 1]),
            _walked(seen=lambda visits, i: [*visits, 0][i + 1]),
        ),
        "The guess is asked for with a timestep one too low: it needs the t whose level x has.":
            _walked(seen=lambda visits, i: visits[i] - 1),
        "The guess is always told the same timestep: it has to know how noisy x is now.": (
            _walked(seen=lambda visits, i: visits[0]),
            _walked(seen=lambda visits, i: visits[-1]),
            _walked(seen=lambda visits, i: 0),
        ),
        "Every guess is made from xT: after the first step there is a better x.":
            _walked(guessed=lambda x, xT: xT),
        "Every step starts from xT: it should start where the last one ended.": _restarted,
        "The step starts from the guess: it should start from x, and move towards the guess.":
            _walked(moved=lambda x, x0: x0),
        "The step takes x and the guess in the wrong order.":
            lambda guess, step, *rest: walk(guess, lambda x, x0, t, s, noise: step(x0, x, t, s, noise), *rest),
        "The step takes its two levels in the wrong order: first that of x, then that it goes to.": (
            lambda guess, step, *rest: walk(guess, lambda x, x0, t, s, noise: step(x, x0, s, t, noise), *rest),
        ),
        "Only the first step is taken: is the `return` inside the loop?":
            lambda guess, step, xT, alpha_bar, visits, noise: step(
                xT, guess(xT, torch.full((len(xT),), visits[0])), alpha_bar[visits[0]],
                alpha_bar[visits[1]] if len(visits) > 1 else 1.0, noise[0] if len(visits) > 1 else None),
        "xT comes back as it was: is the new x kept from turn to turn?":
            lambda guess, step, xT, alpha_bar, visits, noise: xT,
    },
)

EXERCISES = (POSTERIOR, DDPM_STEP, WALK)
