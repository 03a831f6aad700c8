"""Exercises of notebook 03: how likely each clean point is, and from the image to the noise and back."""

from __future__ import annotations

import math

import torch

from . import Case, Exercise, randn, uniform


def posterior_weights(xt, points, alpha_bar_t):
    """How likely each clean point is to be the one that xt was made from, when all are as likely beforehand.

    xt: noisy points (B, D); points: the clean points (N, D); alpha_bar_t: the level of xt, a float.
    Returns the weights, (B, N): each row is about one noisy point and sums to 1.
    """
    difference = xt[:, None] - alpha_bar_t**0.5 * points
    distance = difference.square().sum(2)
    return torch.softmax(-distance / (2 * (1 - alpha_bar_t)), dim=1)


def _noised(seed: int, points: torch.Tensor, rows: int, alpha_bar_t: float) -> torch.Tensor:
    return alpha_bar_t**0.5 * points[:rows] + (1 - alpha_bar_t) ** 0.5 * randn(seed, rows, points.shape[1])


def _weights_cases(seed: int) -> list[Case]:
    plane, square, one = randn(seed, 5, 2), randn(seed + 1, 4, 4), randn(seed + 2, 6, 3)
    images = 0.03 * randn(seed + 3, 7, 3 * 28 * 28)  # exp(-distance) is 0 here, in float64 too
    far = _noised(seed + 7, plane, 3, 0.5)
    far[1] += 50
    return [
        Case("three noisy points in the plane", (_noised(seed + 4, plane, 3, 0.36), plane, 0.36)),
        Case("a single noisy point", (_noised(seed + 5, one, 1, 0.8), one, 0.8)),
        Case("as many noisy points as clean ones", (_noised(seed + 6, square, 4, 0.25), square, 0.25)),
        Case("two colour images", (_noised(seed + 8, images, 2, 0.5), images, 0.5)),
        Case("a batch in which one point lies far out", (far, plane, 0.5)),
    ]


def _weights(distance=None, exponent=None, normalise=None):
    """A wrong posterior_weights: these parts differ. exponent(squared distance, level); normalise(exponents)."""
    def wrong(xt, points, alpha_bar_t):
        squared = (distance or _squared)(xt, points, alpha_bar_t)
        logits = (exponent or (lambda d, a: -d / (2 * (1 - a))))(squared, alpha_bar_t)
        return (normalise or (lambda e: torch.softmax(e, 1)))(logits)
    return wrong


def _squared(xt, points, alpha_bar_t):
    return (xt[:, None] - alpha_bar_t**0.5 * points).square().sum(2)


def _divided(e):
    return e.exp() / e.exp().sum(1, keepdim=True)


POSTERIOR_WEIGHTS = Exercise(
    posterior_weights,
    hints=(
        "Noising shrinks the clean points first. Measure how far each noisy point is from each shrunk one, and square that.",
        "`xt[:, None]` has the shape (B, 1, D) and meets (N, D) as (B, N, D). "
        "Then come the exponent of the bell, and softmax over the points.",
    ),
    cases=_weights_cases,
    mistakes={
        "The rows do not sum to 1: over which axis are the weights normalised?":
            _weights(normalise=lambda e: torch.softmax(e, 0)),
        "The whole table sums to 1: each noisy point needs weights that sum to 1 by themselves.":
            _weights(normalise=lambda e: torch.softmax(e.flatten(), 0).reshape(e.shape)),
        "The weights are not normalised: these are the heights of the bells.": (
            _weights(normalise=torch.exp),
            _weights(normalise=lambda e: torch.exp(e) / len(e.T)),
        ),
        "For images exp gives 0 for every point, and 0/0 is NaN: softmax takes care of that.": (
            _weights(normalise=_divided),
            _weights(normalise=lambda e: (e.exp().T / e.exp().sum(1)).T),
        ),
        "For images exp gives 0 for every point, and a tiny number in the divisor leaves weights of 0: take softmax.": (
            _weights(normalise=lambda e: e.exp() / (e.exp().sum(1, keepdim=True) + 1e-8)),
            _weights(normalise=lambda e: e.exp() / (e.exp().sum(1, keepdim=True) + 1e-12)),
            _weights(normalise=lambda e: e.exp() / e.exp().sum(1, keepdim=True).clamp(min=1e-12)),
            _weights(normalise=lambda e: torch.nan_to_num(_divided(e))),
        ),
        "One largest exponent is taken for the whole table: each row needs its own, else a far point gets NaN.":
            _weights(normalise=lambda e: _divided(e - e.max())),
        "The sums are divided along the wrong axis: keep the summed dimension.":
            _weights(normalise=lambda e: e.exp() / e.exp().sum(1)),
        "Each row is divided by its largest entry: it should sum to 1.":
            _weights(normalise=lambda e: torch.exp(e - e.max(1, keepdim=True).values)),
        "These are logarithms: the weights themselves were asked for.":
            _weights(normalise=lambda e: torch.log_softmax(e, 1)),
        "These are exponents, not yet weights: the last step is missing.": _weights(normalise=lambda e: e),
        "Each weight comes from its own sigmoid: they must share what is 1 in all.": _weights(normalise=torch.sigmoid),
        "All weight goes to the nearest point: the others get their share by how near they are.":
            _weights(normalise=lambda e: (e == e.max(1, keepdim=True).values).float()),
        "The points are not shrunk: at this level a clean point has lost some of its size.": (
            _weights(distance=lambda xt, points, a: _squared(xt, points, 1.0)),
            _weights(distance=lambda xt, points, a: _squared(xt, points, 1.0), normalise=_divided),
        ),
        "The points are shrunk by the share of variance: an amplitude is its root.": (
            _weights(distance=lambda xt, points, a: _squared(xt, points, a**2)),
            _weights(distance=lambda xt, points, a: _squared(xt, points, a**2), normalise=_divided),
        ),
        "The points are shrunk by the noise's amplitude: that is the other of the two roots.":
            _weights(distance=lambda xt, points, a: _squared(xt, points, 1 - a)),
        "Signal and noise have changed places: alpha_bar_t is what is left of the image.":
            lambda xt, points, alpha_bar_t: posterior_weights(xt, points, 1 - alpha_bar_t),
        "The weights go with one over the distance: a Gaussian bell falls off in another way.": (
            _weights(normalise=lambda e: (1 / e) / (1 / e).sum(1, keepdim=True)),
            _weights(normalise=lambda e: (-e) ** -0.5 / ((-e) ** -0.5).sum(1, keepdim=True)),
        ),
        "These compare by products alone: how large each point itself is belongs to the distance, too.": (
            lambda xt, points, alpha_bar_t: torch.softmax(alpha_bar_t**0.5 * xt @ points.T / (1 - alpha_bar_t), 1),
            lambda xt, points, alpha_bar_t: torch.softmax(xt @ points.T, 1),
        ),
        "The noisy points are shrunk: they are shrunk already, the clean ones are not.": (
            _weights(distance=lambda xt, points, a: _squared(a**0.5 * xt, points, 1.0)),
            _weights(distance=lambda xt, points, a: _squared(a**0.5 * xt, points, a)),
        ),
        "The noisy points are blown up to clean size: then the noise is larger, too, and its variance is another.":
            _weights(distance=lambda xt, points, a: _squared(xt / a**0.5, points, 1.0)),
        "The exponent is divided by a standard deviation: a bell has the noise's variance there.":
            _weights(exponent=lambda d, a: -d / (2 * (1 - a) ** 0.5)),
        "The variance is squared: 1 - alpha_bar is a variance already.":
            _weights(exponent=lambda d, a: -d / (2 * (1 - a) ** 2)),
        "The noise's variance is one minus alpha_bar: here the signal's share stands in its place.":
            _weights(exponent=lambda d, a: -d / (2 * a)),
        "The noise's variance is missing: the same distance means less where there is more noise.": (
            _weights(exponent=lambda d, a: -d / 2),
            _weights(exponent=lambda d, a: -d),
        ),
        "It multiplies by the variance: more noise should make the weights more alike. Mind the brackets.":
            _weights(exponent=lambda d, a: -d / 2 * (1 - a)),
        "The factor 1/2 of the bell is missing.": (
            _weights(exponent=lambda d, a: -d / (1 - a)),
            _weights(exponent=lambda d, a: -d / (1 - a), normalise=_divided),
        ),
        "The 2 is on the wrong side of the division: it makes the exponent smaller, not larger.":
            _weights(exponent=lambda d, a: -2 * d / (1 - a)),
        "The farthest point gets the most weight: check the sign of the exponent.": (
            _weights(exponent=lambda d, a: d / (2 * (1 - a))),
            _weights(exponent=lambda d, a: d / (2 * (1 - a)), normalise=_divided),
        ),
        "The distance is not squared: a bell falls with the square of the distance.": (
            _weights(distance=lambda xt, points, a: torch.cdist(xt, a**0.5 * points)),
            _weights(distance=lambda xt, points, a: _squared(xt, points, a).sqrt()),
        ),
        "The squares are averaged over the dimensions: their sum is what counts. A mean makes every guess too blurred.":
            (_weights(distance=lambda xt, points, a: (xt[:, None] - a**0.5 * points).square().mean(2)),
             _weights(distance=lambda xt, points, a: 2 * (xt[:, None] - a**0.5 * points).square().mean(2))),
        "The differences are summed without squares: opposite ones cancel.":
            _weights(distance=lambda xt, points, a: (xt[:, None] - a**0.5 * points).sum(2)),
        "The differences are summed first and squared then: square each one.":
            _weights(distance=lambda xt, points, a: (xt[:, None] - a**0.5 * points).sum(2).square()),
        "These are sums of absolute values: a Gaussian bell is made of squares.":
            _weights(distance=lambda xt, points, a: (xt[:, None] - a**0.5 * points).abs().sum(2)),
        "The sign in the difference is wrong: it adds the point instead of comparing with it.":
            _weights(distance=lambda xt, points, a: (xt[:, None] + a**0.5 * points).square().sum(2)),
        "Noisy and clean points are paired off row by row: every noisy point must meet every clean one.":
            _weights(distance=lambda xt, points, a: (xt - a**0.5 * points).square().sum(1), normalise=lambda e: torch.softmax(e, 0)),
        "The axes are swapped: a row for each noisy point, a column for each clean one.": (
            lambda xt, points, alpha_bar_t: posterior_weights(xt, points, alpha_bar_t).T,
            lambda xt, points, alpha_bar_t: torch.softmax(-_squared(xt, points, alpha_bar_t).T / (2 * (1 - alpha_bar_t)), 0),
        ),
        "The clean points are weighed by the noisy ones: it is the other way round.":
            lambda xt, points, alpha_bar_t: torch.softmax(-_squared(points, xt, alpha_bar_t) / (2 * (1 - alpha_bar_t)), 1),
        "Every noisy point gets the weights of the first one.":
            lambda xt, points, alpha_bar_t: posterior_weights(xt[:1], points, alpha_bar_t).expand(len(xt), -1),
        "This is the average of the points: the weights were asked for, the average comes after.":
            lambda xt, points, alpha_bar_t: posterior_weights(xt, points, alpha_bar_t) @ points,
        "All points get the same weight: near ones should have more.": (
            lambda xt, points, alpha_bar_t: torch.full((len(xt), len(points)), 1 / len(points)),
            lambda xt, points, alpha_bar_t: torch.softmax(torch.zeros(len(xt), len(points)), 1),
        ),
    },
    rtol=5e-3,  # exponents of a thousand, in float32
    atol=1e-4,
)


def eps_from_x0(xt, x0, alpha_bar_t):
    """The noise that leads from this guess of the clean image to x_t: the jump, solved for eps.

    xt, x0: images (B, C, H, W); alpha_bar_t: a float, or a tensor (B, 1, 1, 1) with a level for each image.
    Returns eps, as xt.
    """
    return (xt - alpha_bar_t**0.5 * x0) / (1 - alpha_bar_t) ** 0.5


def x0_from_eps(xt, eps, alpha_bar_t):
    """The clean image that leads with this guess of the noise to x_t: the jump, solved for x_0.

    xt, eps: images (B, C, H, W); alpha_bar_t: a float, or a tensor (B, 1, 1, 1) with a level for each image.
    Returns x0, as xt. Nothing is clipped.
    """
    return (xt - (1 - alpha_bar_t) ** 0.5 * eps) / alpha_bar_t**0.5


def _pair_cases(seed: int) -> list[Case]:
    levels = uniform(seed, 5, 1, 1, 1, low=0.1, high=0.9)
    return [
        Case("one level for all", (randn(seed + 1, 2, 3, 4, 5) + 0.5, randn(seed + 2, 2, 3, 4, 5), float(levels[4]))),
        Case("a batch with a level for each image", (randn(seed + 3, 4, 2, 3, 4) + 0.5, randn(seed + 4, 4, 2, 3, 4), levels[:4])),
        Case("a single image", (randn(seed + 5, 1, 1, 5, 5) + 0.5, randn(seed + 6, 1, 1, 5, 5), levels[3:4])),
        Case("images in much noise", (randn(seed + 7, 2, 1, 4, 4) + 0.5, randn(seed + 8, 2, 1, 4, 4), 0.01)),
    ]



def _first_level(alpha_bar_t):
    return alpha_bar_t if isinstance(alpha_bar_t, float) else alpha_bar_t[0]


EPS_FROM_X0 = Exercise(
    eps_from_x0,
    hints=(
        "Write the jump down: x_t is a weight times the image plus a weight times the noise. Bring the image to the left side.",
        "What is left is the noise with its weight. Both weights are roots, and the last step is a division.",
    ),
    cases=_pair_cases,
    mistakes={
        "Both weights are variances: the roots are missing.":
            lambda xt, x0, a: (xt - a * x0) / (1 - a),
        "It is divided by the noise's variance: its weight in the jump is the root of that.":
            lambda xt, x0, a: (xt - a**0.5 * x0) / (1 - a),
        "The image's weight is a variance: the root is missing there.":
            lambda xt, x0, a: (xt - a * x0) / (1 - a) ** 0.5,
        "The two weights are swapped: which of them belongs to the image?": (
            lambda xt, x0, a: (xt - (1 - a) ** 0.5 * x0) / a**0.5,
            lambda xt, x0, a: (xt - (1 - a) * x0) / a,
        ),
        "The division is missing: this is the noise as it stands in x_t, already weakened.":
            lambda xt, x0, a: xt - a**0.5 * x0,
        "It multiplies by the noise's weight where it should divide.": (
            lambda xt, x0, a: (xt - a**0.5 * x0) * (1 - a) ** 0.5,
            lambda xt, x0, a: (xt - a**0.5 * x0) * (1 - a),
        ),
        "It divides by the image's weight: the noise's own weight is the other one.":
            lambda xt, x0, a: (xt - a**0.5 * x0) / a**0.5,
        "The image is subtracted at full size: in x_t it has faded.": (
            lambda xt, x0, a: (xt - x0) / (1 - a) ** 0.5,
            lambda xt, x0, a: xt - x0,
        ),
        "x_t and x0 have changed places: the faded image is taken out of the noisy one.":
            lambda xt, x0, a: eps_from_x0(x0, xt, a),
        "The sign is turned: it points from the noise to the image.":
            lambda xt, x0, a: (a**0.5 * x0 - xt) / (1 - a) ** 0.5,
        "This is the score: turn its sign and rescale it, and it is the noise.":
            lambda xt, x0, a: (a**0.5 * x0 - xt) / (1 - a),
        "The image is added: it has to be taken out of x_t.":
            lambda xt, x0, a: (xt + a**0.5 * x0) / (1 - a) ** 0.5,
        "Only the image is divided: brackets are missing around the difference.":
            lambda xt, x0, a: xt - a**0.5 * x0 / (1 - a) ** 0.5,
        "Only x_t is divided: brackets are missing around the difference.":
            lambda xt, x0, a: xt / (1 - a) ** 0.5 - a**0.5 * x0,
        "The noise's weight is one minus a root: the subtraction and the root are in the wrong order.":
            lambda xt, x0, a: (xt - a**0.5 * x0) / (1 - a**0.5),
        "The noise's weight has the wrong sign inside its root.":
            lambda xt, x0, a: (xt - a**0.5 * x0) / (1 + a) ** 0.5,
        "This is the jump itself: it makes a noisy image, and it was to be solved for the noise.": (
            lambda xt, x0, a: a**0.5 * xt + (1 - a) ** 0.5 * x0,
            lambda xt, x0, a: a**0.5 * x0 + (1 - a) ** 0.5 * xt,
        ),
        "x_t is divided by its image's weight first: then the noise has another weight.":
            lambda xt, x0, a: (xt / a**0.5 - x0) / (1 - a) ** 0.5,
        "The result is clipped: noise is not bound to [-1, 1].":
            lambda xt, x0, a: eps_from_x0(xt, x0, a).clamp(-1, 1),
        "alpha_bar is taken for its root: both weights come out squared.": (
            lambda xt, x0, a: (xt - a * x0) / (1 - a**2) ** 0.5,
            lambda xt, x0, a: (xt - a**2 * x0) / (1 - a**2) ** 0.5,
        ),
        "Every image gets the level of the first one: each has its own.":
            lambda xt, x0, a: eps_from_x0(xt, x0, _first_level(a)),
        "It works for a tensor only: the level may also be a plain float.": (
            lambda xt, x0, a: (xt - torch.sqrt(a) * x0) / torch.sqrt(1 - a),
            lambda xt, x0, a: (xt - a.sqrt() * x0) / (1 - a).sqrt(),
        ),
        "It works for one level only: a batch may bring a tensor with a level for each image.":
            lambda xt, x0, a: (xt - math.sqrt(a) * x0) / math.sqrt(1 - a),
    },
)


X0_FROM_EPS = Exercise(
    x0_from_eps,
    hints=(
        "The same line as before, the other way round. Take the noise out of x_t, as strong as it stands there.",
        "What is left is the image, faded. Undo the fading: at large t that blows up whatever is wrong with the noise.",
    ),
    cases=_pair_cases,
    mistakes={
        "Both weights are variances: the roots are missing.":
            lambda xt, eps, a: (xt - (1 - a) * eps) / a,
        "The noise's weight is a variance: the root is missing there.":
            lambda xt, eps, a: (xt - (1 - a) * eps) / a**0.5,
        "It is divided by the share of variance: the image has faded by the root of that.":
            lambda xt, eps, a: (xt - (1 - a) ** 0.5 * eps) / a,
        "The two weights are swapped: which of them belongs to the noise?": (
            lambda xt, eps, a: (xt - a**0.5 * eps) / (1 - a) ** 0.5,
            lambda xt, eps, a: (xt - a * eps) / (1 - a),
        ),
        "The division is missing: this is the image as it stands in x_t, faded.":
            lambda xt, eps, a: xt - (1 - a) ** 0.5 * eps,
        "It multiplies by the image's weight where it should divide: the image fades twice.": (
            lambda xt, eps, a: (xt - (1 - a) ** 0.5 * eps) * a**0.5,
            lambda xt, eps, a: (xt - (1 - a) ** 0.5 * eps) * a,
        ),
        "It divides by the noise's weight: the image's own weight is the other one.":
            lambda xt, eps, a: (xt - (1 - a) ** 0.5 * eps) / (1 - a) ** 0.5,
        "The noise is subtracted at full strength: in x_t it has a weight.": (
            lambda xt, eps, a: (xt - eps) / a**0.5,
            lambda xt, eps, a: xt - eps,
        ),
        "x_t and eps have changed places: the weakened noise is taken out of the noisy image.":
            lambda xt, eps, a: x0_from_eps(eps, xt, a),
        "The sign is turned: the image comes out as its negative.":
            lambda xt, eps, a: ((1 - a) ** 0.5 * eps - xt) / a**0.5,
        "The noise is added once more: it has to be taken out of x_t.":
            lambda xt, eps, a: (xt + (1 - a) ** 0.5 * eps) / a**0.5,
        "Only the noise is divided: brackets are missing around the difference.":
            lambda xt, eps, a: xt - (1 - a) ** 0.5 * eps / a**0.5,
        "Only x_t is divided: brackets are missing around the difference.":
            lambda xt, eps, a: xt / a**0.5 - (1 - a) ** 0.5 * eps,
        "The noise's weight is one minus a root: the subtraction and the root are in the wrong order.":
            lambda xt, eps, a: (xt - (1 - a**0.5) * eps) / a**0.5,
        "The noise's weight has the wrong sign inside its root.":
            lambda xt, eps, a: (xt - (1 + a) ** 0.5 * eps) / a**0.5,
        "This is the jump itself: it makes a noisy image, and it was to be solved for the clean one.": (
            lambda xt, eps, a: a**0.5 * xt + (1 - a) ** 0.5 * eps,
            lambda xt, eps, a: a**0.5 * eps + (1 - a) ** 0.5 * xt,
        ),
        "These are the weights for a guess of v, of notebook 06: here the guess is of the noise.":
            lambda xt, eps, a: a**0.5 * xt - (1 - a) ** 0.5 * eps,
        "The result is clipped: that is a step of its own, and this one undoes the jump exactly.":
            lambda xt, eps, a: x0_from_eps(xt, eps, a).clamp(-1, 1),
        "alpha_bar is taken for its root: both weights come out squared.": (
            lambda xt, eps, a: (xt - (1 - a**2) ** 0.5 * eps) / a,
            lambda xt, eps, a: (xt - (1 - a**2) ** 0.5 * eps) / a**2,
        ),
        "Every image gets the level of the first one: each has its own.":
            lambda xt, eps, a: x0_from_eps(xt, eps, _first_level(a)),
        "It works for a tensor only: the level may also be a plain float.": (
            lambda xt, eps, a: (xt - torch.sqrt(1 - a) * eps) / torch.sqrt(a),
            lambda xt, eps, a: (xt - (1 - a).sqrt() * eps) / a.sqrt(),
        ),
        "It works for one level only: a batch may bring a tensor with a level for each image.":
            lambda xt, eps, a: (xt - math.sqrt(1 - a) * eps) / math.sqrt(a),
    },
)

EXERCISES = (POSTERIOR_WEIGHTS, EPS_FROM_X0, X0_FROM_EPS)
