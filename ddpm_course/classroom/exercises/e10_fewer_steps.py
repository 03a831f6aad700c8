"""Exercises of notebook 10: a step that keeps its noise, a guess carried forward, the cheapest way that is good enough."""

from __future__ import annotations

from collections.abc import Callable

import torch

from . import Case, Exercise, randn, uniform


def ddim_step(x, x0, alpha_bar_t, alpha_bar_s, noise, eta):
    """One step of DDIM, from x at level alpha_bar_t to x_s at level alpha_bar_s.

    x: images (B, C, H, W); x0: the guess, as it comes from a network: it may leave [-1, 1], so clip it first.
    The levels: floats, alpha_bar_t < alpha_bar_s <= 1. noise: N(0, 1), as x; eta: 0 to 1.
    Returns x_s, as x.
    """
    x0 = x0.clamp(-1, 1)
    eps = (x - alpha_bar_t**0.5 * x0) / (1 - alpha_bar_t) ** 0.5
    variance = eta**2 * (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)
    return alpha_bar_s**0.5 * x0 + (1 - alpha_bar_s - variance) ** 0.5 * eps + variance**0.5 * noise


def _ddim_cases(seed: int) -> list[Case]:
    a, b, c = sorted(uniform(seed, 3, low=0.2, high=0.8).tolist())

    def case(label: str, place: int, t: float, s: float, eta: float, *shape: int) -> Case:
        x, x0, noise = (size * randn(seed + 10 * place + i, *shape) for i, size in enumerate((1.2, 1.5, 1.0)))
        return Case(label, (x, x0, t, s, noise, eta))

    return [
        case("a large step with eta 0.6", 1, a * 0.7, c, 0.6, 3, 2, 4, 5),
        case("a small step with eta 1", 2, b * 0.9, b, 1.0, 2, 1, 5, 4),
        case("a step with eta 0", 3, a, b + 0.1, 0.0, 2, 3, 4, 4),
        case("the last step, to the clean image, with eta 0", 4, c, 1.0, 0.0, 1, 1, 4, 4),
        case("the last step with eta 0.8", 5, b, 1.0, 0.8, 2, 1, 3, 4),
    ]


def _small(t, s, eta=1.0):
    return eta**2 * (1 - s) / (1 - t) * (1 - t / s)


def _moved(clean=lambda t, s: s**0.5, old=lambda t, s, var: (1 - s - var) ** 0.5, new=lambda t, s, var: var**0.5, variance=_small,
           eps=None, first=lambda x0: x0.clamp(-1, 1), then=lambda x0: x0.clamp(-1, 1)):
    """A wrong ddim_step: these parts differ. clean, old, new: the weights of the guess, of the noise in x, of the new noise.

    eps(x, x0, t): the noise in x; first: what is done to the guess before it is found; then: before the guess is moved.
    """
    def wrong(x, x0, t, s, noise, eta):
        var = variance(t, s, eta)
        found = (eps or _eps)(x, first(x0), t)
        return clean(t, s) * then(x0) + old(t, s, var) * found + new(t, s, var) * noise
    return wrong


def _eps(x, x0, t):
    return (x - t**0.5 * x0) / (1 - t) ** 0.5


def _as_it_is(x0):
    return x0


def _at_last(value: Callable):
    """Right, but on the last step value(x, x0, noise) comes back."""
    return lambda x, x0, t, s, noise, eta: value(x, x0, noise) if s == 1 else ddim_step(x, x0, t, s, noise, eta)


def _ancestral(x, x0, t, s, noise, eta):
    beta, x0 = 1 - t / s, x0.clamp(-1, 1)
    return (s**0.5 * beta * x0 + (1 - beta) ** 0.5 * (1 - s) * x) / (1 - t) + (beta * (1 - s) / (1 - t)) ** 0.5 * noise


DDIM_STEP = Exercise(
    ddim_step,
    hints=(
        "Four lines: the clipped guess, the noise that x holds beside it, the new variance, the sum of all.",
        "New noise of some variance takes as much from the old noise. Together both have the variance of level s. Weights are roots.",
    ),
    cases=_ddim_cases,
    mistakes={
        "The noise in x was found beside the unclipped guess: after the clip find it anew, or the two do not make x together.":
            _moved(first=_as_it_is),
        "The guess is not clipped: it may leave [-1, 1], and clean pixels never do.":
            _moved(first=_as_it_is, then=_as_it_is),
        "The noise was found beside the clipped guess, but the unclipped one is moved on.": _moved(then=_as_it_is),
        "The guess is clipped to [0, 1]: images here lie in [-1, 1].":
            _moved(first=lambda x0: x0.clamp(0, 1), then=lambda x0: x0.clamp(0, 1)),
        "The result is clipped: at level s an image may leave [-1, 1]. What is clipped is the guess.": (
            lambda *given: ddim_step(*given).clamp(-1, 1),
            lambda *given: _moved(first=_as_it_is, then=_as_it_is)(*given).clamp(-1, 1),
        ),
        "x is clipped: at level t an image may leave [-1, 1]. What is clipped is the guess.":
            lambda x, *rest: ddim_step(x.clamp(-1, 1), *rest),
        "The guess is scaled by level t: x_s stands at level s.": _moved(clean=lambda t, s: t**0.5),
        "The noise in x is found with level s: x stands at level t.": (
            lambda x, x0, t, s, noise, eta: s**0.5 * x0.clamp(-1, 1) + noise * _small(t, s, eta) ** 0.5
            + (1 - s - _small(t, s, eta)) ** 0.5 * (_eps(x, x0.clamp(-1, 1), s) if s < 1 else torch.full_like(x, torch.nan)),
            lambda x, x0, t, s, noise, eta: s**0.5 * x0.clamp(-1, 1) + noise * _small(t, s, eta) ** 0.5
            + (1 - s - _small(t, s, eta)) ** 0.5 * _eps(x, x0.clamp(-1, 1), s),  # a ZeroDivisionError where s is 1
        ),
        "The old noise comes in with level t's width: level s is less noisy.": (
            _moved(old=lambda t, s, var: (1 - t - var) ** 0.5),
            _moved(old=lambda t, s, var: (1 - t) ** 0.5),
        ),
        "The weights lack their roots: a level is a share of variance, and images are multiplied by amplitudes.": (
            _moved(clean=lambda t, s: s),
            _moved(old=lambda t, s, var: 1 - s - var),
            _moved(clean=lambda t, s: s, old=lambda t, s, var: 1 - s - var),
            _moved(eps=lambda x, x0, t: (x - t * x0) / (1 - t)),
            _moved(clean=lambda t, s: s, old=lambda t, s, var: 1 - s - var, new=lambda t, s, var: var,
                   eps=lambda x, x0, t: (x - t * x0) / (1 - t)),
        ),
        "The noise in x is not found right: x less the scaled guess, divided by the root of its variance.": (
            _moved(eps=lambda x, x0, t: x - t**0.5 * x0),
            _moved(eps=lambda x, x0, t: (x - t**0.5 * x0) / (1 - t)),
            _moved(eps=lambda x, x0, t: (x - t * x0) / (1 - t) ** 0.5),
            _moved(eps=lambda x, x0, t: (x - x0) / (1 - t) ** 0.5),
            _moved(eps=lambda x, x0, t: (x - t**0.5 * x0) / t**0.5),
        ),
        "The noise in x has its sign turned, or is subtracted: it should stay where it was.": _moved(eps=lambda x, x0, t: -_eps(x, x0, t)),
        "x itself stands where its noise belongs: first take the guess out of it.": _moved(eps=lambda x, x0, t: x),
        "The new noise is multiplied by a variance: its width is the root of that.": _moved(new=lambda t, s, var: var),
        "What is taken from the old noise is a width: variances add, so a variance should be taken.": (
            _moved(old=lambda t, s, var: (1 - s - var**0.5) ** 0.5),
            _moved(old=lambda t, s, var: (1 - s) ** 0.5 - var**0.5),
        ),
        "The old noise stays whole, and new noise comes on top: together they are too much for level s.":
            _moved(old=lambda t, s, var: (1 - s) ** 0.5),
        "The old noise makes way, but no new noise comes in its place.": _moved(new=lambda t, s, var: 0.0),
        "Nothing new is added, whatever eta says: this is the step with eta 0.":
            _moved(variance=lambda t, s, eta: 0.0),
        "eta is not squared: it multiplies the width, and the variance is the square of that.": (
            _moved(variance=lambda t, s, eta: eta * _small(t, s)),
            lambda x, x0, t, s, noise, eta: _moved(old=lambda t, s, var: (1 - s - eta * _small(t, s)) ** 0.5)(x, x0, t, s, noise, eta),
        ),
        "eta reaches only one of the two noises: what comes in new is what the old one gives up.": (
            lambda x, x0, t, s, noise, eta: _moved(old=lambda t, s, var: (1 - s - _small(t, s)) ** 0.5)(x, x0, t, s, noise, eta),
            lambda x, x0, t, s, noise, eta: _moved(new=lambda t, s, var: _small(t, s) ** 0.5)(x, x0, t, s, noise, eta),
        ),
        "eta has no effect: this is the step with eta 1, notebook 04's.": (
            _moved(variance=lambda t, s, eta: _small(t, s)),
            _ancestral,
        ),
        "All old noise is exchanged: this noises the guess anew, and x has no part in it.": (
            lambda x, x0, t, s, noise, eta: s**0.5 * x0.clamp(-1, 1) + (1 - s) ** 0.5 * noise,
            _moved(variance=lambda t, s, eta: 1 - s),
        ),
        "The old noise and the new one have swapped their weights.":
            _moved(old=lambda t, s, var: var**0.5, new=lambda t, s, var: (1 - s - var) ** 0.5),
        "The guess and the noise have swapped their weights.":
            _moved(clean=lambda t, s: (1 - s) ** 0.5, old=lambda t, s, var: (s - var) ** 0.5),
        "Noise is left on the last step: the variance uses beta, where beta-tilde is 0 at the clean image.": (
            _moved(variance=lambda t, s, eta: eta**2 * (1 - t / s)),  # a complex number there
            _moved(variance=lambda t, s, eta: eta**2 * (1 - t / s), old=lambda t, s, var: max(0.0, 1 - s - var) ** 0.5),
        ),
        "The last step does not end at the clean image: at level 1 the guess is all there is.": (
            _at_last(lambda x, x0, noise: x),
            _at_last(lambda x, x0, noise: x.clamp(-1, 1)),
            _at_last(lambda x, x0, noise: x0),
            lambda x, x0, t, s, noise, eta: ddim_step(x, x0, t, min(s, 0.9999), noise, eta),
            lambda x, x0, t, s, noise, eta: ddim_step(x, x0, t, min(s, 0.999), noise, eta),
        ),
        "The variance of the new noise has its first fraction upside down.": (
            _moved(variance=lambda t, s, eta: eta**2 * (1 - t) / (1 - s) * (1 - t / s) if s < 1 else float("nan")),
            _moved(variance=lambda t, s, eta: eta**2 * (1 - t) / (1 - s) * (1 - t / s)),
            _moved(variance=lambda t, s, eta: eta**2 * (1 - t) / (1 - s) * (1 - t / s) if s < 1 else 0.0),
        ),
        "The variance of the new noise lacks a factor: it is beta-tilde of notebook 04, times eta squared.": (
            _moved(variance=lambda t, s, eta: eta**2 * (1 - s) / (1 - t)),
            _moved(variance=lambda t, s, eta: eta**2 * (1 - s)),
            _moved(variance=lambda t, s, eta: eta**2 * (1 - s) * (1 - t / s)),
        ),
        "beta is the difference of the levels here: levels are products, so one step is found by a ratio.":
            _moved(variance=lambda t, s, eta: eta**2 * (1 - s) / (1 - t) * (s - t)),
        "beta is the ratio of the levels here: that is what the step keeps, and beta is the rest.":
            _moved(variance=lambda t, s, eta: eta**2 * (1 - s) / (1 - t) * t / s),
        "The levels are swapped: s is the less noisy one, and its alpha_bar is the larger.": (
            lambda x, x0, t, s, noise, eta: ddim_step(x, x0, s, t, noise, eta),
            lambda x, x0, t, s, noise, eta: ddim_step(x, x0, torch.tensor(s), torch.tensor(t), noise, eta),
        ),
        "The noise is drawn anew inside the function: use the argument `noise`, so that a step can be repeated.":
            lambda x, x0, t, s, noise, eta: ddim_step(x, x0, t, s, torch.randn_like(x), eta),
        "Every image gets the noise of the first one: each needs its own.":
            lambda x, x0, t, s, noise, eta: ddim_step(x, x0, t, s, noise[:1], eta),
        "The new noise is subtracted: for random noise it is no harm, but here the formula adds it.":
            _moved(new=lambda t, s, var: -(var**0.5)),
        "The guess comes back as it is: only on the last step is it all.":
            lambda x, x0, t, s, noise, eta: x0.clamp(-1, 1),
    },
)


def extrapolate(x0, x0_before, alpha_bar_before, alpha_bar_t, alpha_bar_s):
    """The guess for the middle of the coming step, on a line through the last two guesses.

    x0: the guess at level alpha_bar_t, where x is now; x0_before: the one before, at alpha_bar_before (as x0).
    The line is drawn over the log-SNR, log(alpha_bar / (1 - alpha_bar)); the step leads to alpha_bar_s.
    On the last step alpha_bar_s is 1 and its log-SNR infinite: there the guess stays as it is.
    The levels: floats, alpha_bar_before < alpha_bar_t < alpha_bar_s <= 1. Returns a guess, as x0.
    """
    if alpha_bar_s == 1:
        return x0
    before, here, there = torch.tensor([alpha_bar_before, alpha_bar_t, alpha_bar_s]).logit()
    return x0 + (there - here) / (here - before) / 2 * (x0 - x0_before)


def _extrapolate_cases(seed: int) -> list[Case]:
    a, b, c = sorted(uniform(seed + 3, 3, low=0.0, high=0.1).tolist())

    def case(label: str, place: int, before: float, t: float, s: float, *shape: int) -> Case:
        return Case(label, (randn(seed + 10 * place, *shape), randn(seed + 10 * place + 1, *shape), before, t, s))

    return [
        case("a large step after a small one", 1, 0.2 + a, 0.32 + b, 0.75 + c, 3, 1, 4, 5),
        case("a small step after a large one", 2, 0.05 + a, 0.55 + b, 0.68 + c, 2, 3, 3, 4),
        case("the last step, to the clean image", 3, 0.4 + a, 0.8 + b, 1.0, 2, 1, 3, 4),
        case("steps near the clean image", 4, 0.6 + a, 0.85 + b, 0.97 + c / 10, 4, 2, 2, 3),
    ]


def _log_snr(a):
    return torch.tensor(a, dtype=torch.float64).logit()


def _line_through(scale=_log_snr, ratio=lambda b, t, s: (s - t) / (t - b), factor: float = 0.5, join=None, last=True):
    """A wrong extrapolation: these parts differ. join(x0, x0_before, weight); last: whether the last step is apart."""
    def wrong(x0, x0_before, before, t, s):
        if last and s == 1:
            return x0
        weight = float(ratio(*(scale(a) for a in (before, t, s)))) * factor
        return join(x0, x0_before, weight) if join else x0 + weight * (x0 - x0_before)
    return wrong


def _python_log(x0, x0_before, before, t, s):
    b, h, e = (float(_log_snr(a)) if a < 1 else 1 / 0 for a in (before, t, s))  # as log(1 / 0) fails
    return x0 + (e - h) / (h - b) / 2 * (x0 - x0_before)


def _to_the_middle_of_alpha_bar(x0, x0_before, before, t, s):
    b, h, middle = (float(_log_snr(a)) for a in (before, t, (t + s) / 2))
    return x0 + (middle - h) / (h - b) * (x0 - x0_before)


EXTRAPOLATE = Exercise(
    extrapolate,
    hints=(
        "From the guess before to the guess now it changed by so much, over one stride of log-SNR. How far is half the coming stride?",
        "`torch.tensor(a).logit()` is the log-SNR. Coming stride by last stride, halved, times the change of the guess.",
    ),
    cases=_extrapolate_cases,
    mistakes={
        "This is the guess for the end of the step: the step needs the one for its middle.": _line_through(factor=1.0),
        "The two strides are upside down: the coming one is measured in units of the last one.":
            _line_through(ratio=lambda b, t, s: (t - b) / (s - t)),
        "The strides are taken as equal: they differ in log-SNR, and their ratio belongs here.": (
            _line_through(ratio=lambda b, t, s: 1.0),
            _line_through(ratio=lambda b, t, s: 1.0, factor=1.0),
        ),
        "It goes back to the guess before: the line should be followed onwards.": (
            _line_through(join=lambda x0, before, w: x0 - w * (x0 - before)),
            _line_through(join=lambda x0, before, w: x0 + w * (before - x0)),
        ),
        "It starts from the guess before: it should go on from the newer one.": (
            _line_through(join=lambda x0, before, w: before + w * (x0 - before)),
        ),
        "This is the mean of the two guesses: the middle of the coming step lies ahead of both.":
            _line_through(join=lambda x0, before, w: (x0 + before) / 2),
        "The two guesses have swapped their places.": lambda x0, x0_before, *levels: extrapolate(x0_before, x0, *levels),
        "On the last step the log-SNR is infinite, and so becomes the result: there the guess stays as it is.": (
            _line_through(last=False),
            _python_log,  # a ZeroDivisionError
        ),
        "On the last step something else than the guess comes back.": (
            lambda x0, x0_before, b, t, s: x0_before if s == 1 else extrapolate(x0, x0_before, b, t, s),
            lambda x0, x0_before, b, t, s: x0 * 0 if s == 1 else extrapolate(x0, x0_before, b, t, s),
            lambda x0, x0_before, b, t, s: x0 + (x0 - x0_before) / 2 if s == 1 else extrapolate(x0, x0_before, b, t, s),
        ),
        "The line is drawn over alpha_bar: it should be drawn over the log-SNR.": (
            _line_through(scale=lambda a: a),
            _line_through(scale=lambda a: a, last=False),
        ),
        "The line is drawn over the SNR: its logarithm is missing.": (
            _line_through(scale=lambda a: a / (1 - a)),
            _line_through(scale=lambda a: (a / (1 - a)) ** 0.5),
        ),
        "The line is drawn over log alpha_bar: the noise, one minus it, belongs in the ratio as well.": (
            _line_through(scale=lambda a: torch.tensor(a).log()),
            _line_through(scale=lambda a: torch.tensor(a).log(), last=False),
        ),
        "The line is drawn over the logarithm of the noise alone: the signal belongs in the ratio as well.":
            _line_through(scale=lambda a: -torch.tensor(1 - a).log()),
        "The last stride is counted from the guess before to the end: it ends where x is now.":
            _line_through(ratio=lambda b, t, s: (s - t) / (s - b)),
        "The coming stride is counted from the guess before: it begins where x is now.":
            _line_through(ratio=lambda b, t, s: (s - b) / (t - b)),
        "The middle is taken in alpha_bar: the line is drawn over the log-SNR, and so its middle counts.": (
            lambda x0, x0_before, b, t, s: x0 if s == 1 else _to_the_middle_of_alpha_bar(x0, x0_before, b, t, s),
            lambda x0, x0_before, b, t, s: _to_the_middle_of_alpha_bar(x0, x0_before, b, t, s),
        ),
        "The strides are multiplied: one should be measured in units of the other.":
            _line_through(ratio=lambda b, t, s: (s - t) * (t - b)),
        "The guess before has no effect: two guesses make a line.": lambda x0, x0_before, b, t, s: x0,
        "The guess is left out: this is only what has to be added to it.":
            _line_through(join=lambda x0, before, w: w * (x0 - before)),
        "The result is clipped: the mean of a step may be carried beyond [-1, 1]. What is clipped is each guess, before.": (
            lambda *given: extrapolate(*given).clamp(-1, 1),
            lambda x0, x0_before, *levels: extrapolate(x0.clamp(-1, 1), x0_before.clamp(-1, 1), *levels),
        ),
    },
)


def cheapest(table, least, most):
    """The fastest way of drawing that is good enough; None where no way is.

    table: {name: (seconds, low, high, distance)}; low to high is the 95 % interval of the share read as asked.
    least: the share that must be reached even at the low end of the interval; most: the largest distance allowed.
    Both bounds may just be met. Returns a name of the table, or None.
    """
    enough = [name for name, (seconds, low, high, distance) in table.items() if low >= least and distance <= most]
    return min(enough, key=lambda name: table[name][0], default=None)


def _cheapest_cases(seed: int) -> list[Case]:
    def case(label: str, k: int, least: float, most: float, rows: list[tuple[float, float, float, float]]) -> Case:
        names = [f"{letter}{int(1 + 40 * u)}" for letter, u in zip("abcdefghij", uniform(seed + k, len(rows)).tolist(), strict=False)]
        return Case(label, (dict(zip(names, rows, strict=True)), least, most))

    u = 0.005 * float(uniform(seed + 9, 1))
    return [
        # The fastest fails, in several ways; of those that are good enough the fastest is neither first nor last, nor the best.
        case("a table of ten", 1, 0.95, 2.0, [
            (0.3, 0.2, 0.4, 9.0), (0.6, 0.5, 0.6, 1.0), (0.9, 0.91 + u, 0.95 + u, 1.9), (1.0, 0.96, 0.99, 2.3 + u), (5.0, 0.956, 0.97, 1.8),
            (6.0, 0.975, 0.995, 1.1), (3.0, 0.955 + u, 0.985, 1.7), (4.0, 0.97, 0.999, 0.9 - u), (2.0, 0.945 - u, 0.95, 1.5),
            (4.5, 0.96, 0.98, 1.9),
        ]),
        case("a table whose bounds are just met", 2, 0.93, 1.5, [
            (5.0, 0.98, 0.99, 1.0), (2.0 + u, 0.93, 0.96, 1.5), (1.0, 0.92, 0.999, 0.4), (0.5, 0.97, 0.98, 3.0),
            (1.5, 0.99, 0.999, 1.6 + u),
        ]),
        case("a table where nothing is good enough", 3, 0.99, 1.0, [(1.0, 0.98, 0.999, 0.5), (2.0, 0.995, 0.999, 1.2 + u)]),
        case("a table without rows", 4, 0.9, 1.0, []),
        case("a table where everything is good enough", 5, 0.5, 9.0, [
            (3.0, 0.99, 0.999, 0.5), (2.5 - u, 0.6, 0.7, 8.0), (7.0, 0.9, 0.95, 0.4),
        ]),
    ]


def _chosen(enough=lambda row, least, most: row[1] >= least and row[3] <= most, by=lambda row: row[0], pick=min):
    """A wrong choice: these parts differ."""
    def wrong(table, least, most):
        names = [name for name, row in table.items() if enough(row, least, most)]
        return pick(names, key=lambda name: by(table[name]), default=None)
    return wrong


def _first(names, key, default):
    return names[0] if names else default


def _only_the_fastest(table, least, most):
    name = min(table, key=lambda name: table[name][0], default=None)
    return name if name is not None and table[name][1] >= least and table[name][3] <= most else None


CHEAPEST = Exercise(
    cheapest,
    hints=(
        "First the names that are good enough, then the fastest among them.",
        "A dictionary gives names and rows by `items()`. `min` takes a `key` to compare by, and a `default` for an empty list.",
    ),
    cases=_cheapest_cases,
    variants=(),
    mistakes={
        "It compares the middle or the high end of the interval: chance alone may have lifted those, so ask the low end.": (
            _chosen(enough=lambda row, least, most: row[2] >= least and row[3] <= most),
            _chosen(enough=lambda row, least, most: (row[1] + row[2]) / 2 >= least and row[3] <= most),
        ),
        "Only the share is looked at: a blur may be read as asked, and the distance tells.":
            _chosen(enough=lambda row, least, most: row[1] >= least),
        "Only the distance is looked at: the share read as asked must be reached, too.":
            _chosen(enough=lambda row, least, most: row[3] <= most),
        "One bound is enough here: both must be met.": _chosen(enough=lambda row, least, most: row[1] >= least or row[3] <= most),
        "Only the fastest of all is tested: look for the good ones first, then for the fastest of them.": _only_the_fastest,
        "Nothing is asked of the rows: this is the fastest of all.": _chosen(enough=lambda row, least, most: True),
        "The distance must be larger here: small is near, and near is good.":
            _chosen(enough=lambda row, least, most: row[1] >= least and row[3] >= most),
        "The share must be smaller here: it has to reach `least`.":
            _chosen(enough=lambda row, least, most: row[1] <= least and row[3] <= most),
        "A bound that is just met is refused: it is met.": (
            _chosen(enough=lambda row, least, most: row[1] > least and row[3] < most),
            _chosen(enough=lambda row, least, most: row[1] >= least and row[3] < most),
            _chosen(enough=lambda row, least, most: row[1] > least and row[3] <= most),
        ),
        "The first of the good ones comes back, by its place or its name: the fastest was asked for.": _chosen(pick=_first),
        "The last of the good ones comes back, by its place or its name: the fastest was asked for.":
            _chosen(pick=lambda names, key, default: names[-1] if names else default),
        "The slowest of the good ones comes back.": _chosen(pick=max),
        "The best of the good ones comes back: good enough is enough, and the fastest was asked for.": (
            _chosen(by=lambda row: row[3]),
            _chosen(by=lambda row: -row[1]),
            _chosen(by=lambda row: -row[2]),
        ),
        "Where nothing is good enough it fails: return None there.": (
            lambda table, least, most: min((name for name, row in table.items() if row[1] >= least and row[3] <= most),
                                           key=lambda name: table[name][0]),
            lambda table, least, most: sorted((row[0], name) for name, row in table.items() if row[1] >= least and row[3] <= most)[0][1],
        ),
        "The seconds come back: the name was asked for.":
            lambda table, least, most: (lambda name: None if name is None else table[name][0])(cheapest(table, least, most)),
        "All that are good enough come back: only the fastest was asked for.":
            lambda table, least, most: [name for name, row in table.items() if row[1] >= least and row[3] <= most],
    },
)

EXERCISES = (DDIM_STEP, EXTRAPOLATE, CHEAPEST)
