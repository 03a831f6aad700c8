"""Answers to the exercises of notebook 03: right in other ways than the reference, and wrong as a learner would type it."""

import math

import numpy as np
import torch


def loop_weights(xt, points, alpha_bar_t):
    rows = []
    for noisy in xt:
        exponents = []
        for point in points:
            gap = noisy - math.sqrt(alpha_bar_t) * point
            exponents.append(-(gap * gap).sum() / (2 * (1 - alpha_bar_t)))
        largest = max(exponents)
        heights = [torch.exp(e - largest) for e in exponents]
        rows.append(torch.stack(heights) / sum(heights))
    return torch.stack(rows)


def python_weights(xt, points, alpha_bar_t):
    signal, rows = alpha_bar_t**0.5, []
    for noisy in xt.tolist():
        squares = [sum((a - signal * b) ** 2 for a, b in zip(noisy, point, strict=True)) for point in points.tolist()]
        exponents = [-square / 2 / (1 - alpha_bar_t) for square in squares]
        heights = [math.exp(e - max(exponents)) for e in exponents]
        rows.append([h / sum(heights) for h in heights])
    return torch.tensor(rows, dtype=xt.dtype)


def numpy_weights(xt, points, alpha_bar_t):
    a, b = xt.detach().numpy(), np.sqrt(alpha_bar_t) * points.detach().numpy()
    e = -((a[:, None, :] - b[None]) ** 2).sum(-1) / (2 * (1 - alpha_bar_t))
    w = np.exp(e - e.max(axis=1, keepdims=True))
    return torch.from_numpy(w / w.sum(axis=1, keepdims=True))


def expanded_weights(xt, points, alpha_bar_t):  # |x_t|^2 is the same for all points and left out
    e = (alpha_bar_t**0.5 * xt @ points.T - alpha_bar_t * points.square().sum(1) / 2) / (1 - alpha_bar_t)
    return e.softmax(-1)


def logsumexp_weights(x, clean, level):
    e = -torch.cdist(x, math.sqrt(level) * clean).pow(2) / (2 - 2 * level)
    return (e - e.logsumexp(1, keepdim=True)).exp()


def einsum_weights(xt, points, alpha_bar_t):
    d = xt.unsqueeze(1) - points.unsqueeze(0) * alpha_bar_t**0.5
    return torch.nn.functional.softmax(torch.einsum("bnd,bnd->bn", d, d) * (-0.5 / (1 - alpha_bar_t)), dim=-1)


def normal_weights(xt, points, alpha_bar_t):
    bump = torch.distributions.Normal(alpha_bar_t**0.5 * points, (1 - alpha_bar_t) ** 0.5)
    return torch.stack([bump.log_prob(x).sum(1) for x in xt]).softmax(1)


def double_weights(xt, points, alpha_bar_t):
    d = torch.cdist(xt.double(), points.double() * alpha_bar_t**0.5) ** 2
    return torch.softmax(-0.5 * d / (1 - alpha_bar_t), 1).to(xt.dtype)


def rows_one_by_one(xt, points, alpha_bar_t):
    out = torch.zeros(xt.shape[0], points.shape[0])
    for i in range(xt.shape[0]):
        out[i] = torch.softmax(-((xt[i] - alpha_bar_t**0.5 * points) ** 2).sum(1) / (2 * (1 - alpha_bar_t)), 0)
    return out


def loop_eps(xt, x0, alpha_bar_t):
    out = torch.empty_like(xt)
    for i in range(len(xt)):
        a = alpha_bar_t if isinstance(alpha_bar_t, float) else alpha_bar_t[i].item()
        out[i] = (xt[i] - math.sqrt(a) * x0[i]) / math.sqrt(1 - a)
    return out


def loop_x0(xt, eps, alpha_bar_t):
    out = torch.empty_like(xt)
    for i in range(len(xt)):
        a = alpha_bar_t if isinstance(alpha_bar_t, float) else alpha_bar_t[i].item()
        out[i] = (xt[i] - math.sqrt(1 - a) * eps[i]) / math.sqrt(a)
    return out


def in_place_on_a_copy(xt, eps, alpha_bar_t):
    x = xt.clone()
    x -= (1 - alpha_bar_t) ** 0.5 * eps
    x /= alpha_bar_t**0.5
    return x


def solved_for_noise(xt, x0, alpha_bar_t):
    snr = alpha_bar_t / (1 - alpha_bar_t)
    return xt * (1 - alpha_bar_t) ** -0.5 - snr**0.5 * x0


RIGHT = {
    "posterior_weights": [
        loop_weights,
        python_weights,
        numpy_weights,
        expanded_weights,
        logsumexp_weights,
        einsum_weights,
        normal_weights,
        double_weights,
        rows_one_by_one,
        lambda xt, points, a: (-0.5 * ((xt[:, None, :] - points[None] * a**0.5) ** 2).sum(-1) / (1 - a)).softmax(dim=1),
        lambda xt, points, a: torch.softmax(-((points[:, None] * a**0.5 - xt) ** 2).sum(2).T / 2 / (1 - a), dim=1),
        lambda xt, points, a: torch.softmax(-(((xt[:, None] - math.sqrt(a) * points) / math.sqrt(1 - a)).norm(dim=2) ** 2) / 2, 1),
    ],
    "eps_from_x0": [
        loop_eps,
        solved_for_noise,
        lambda xt, x0, a: (xt - np.sqrt(a) * x0) / np.sqrt(1 - a),
        lambda xt, x0, a: (xt - torch.as_tensor(a).sqrt() * x0) / torch.as_tensor(1 - a).sqrt(),
        lambda xt, x0, a: -(a**0.5 * x0 - xt) / (1 - a) ** 0.5,
        lambda xt, x0, a: -((1 - a) ** 0.5) * (a**0.5 * x0 - xt) / (1 - a),
        lambda x, clean, level: x.sub(clean * level**0.5).div((1 - level) ** 0.5),
    ],
    "x0_from_eps": [
        loop_x0,
        in_place_on_a_copy,
        lambda xt, eps, a: (xt - np.sqrt(1 - a) * eps) / np.sqrt(a),
        lambda xt, eps, a: xt / a**0.5 - (1 / a - 1) ** 0.5 * eps,
        lambda xt, eps, a: (xt - torch.as_tensor(1 - a).sqrt() * eps) * torch.as_tensor(a).rsqrt(),
        lambda xt, eps, a: (xt.double() - (1 - a) ** 0.5 * eps.double()).div(a**0.5).to(xt.dtype),
        lambda x, noise, level: torch.add(x, noise * (1 - level) ** 0.5, alpha=-1) * level**-0.5,
    ],
}

WRONG = {
    "posterior_weights": (
        "def posterior_weights(xt, points, alpha_bar_t):\n"
        "    d = torch.cdist(xt, alpha_bar_t ** 0.5 * points) ** 2\n"
        "    w = torch.exp(-d / (2 * (1 - alpha_bar_t)))\n"
        "    return w / w.sum(dim=1, keepdim=True)",
        "0/0 is NaN"),
    "eps_from_x0": (
        "def eps_from_x0(xt, x0, alpha_bar_t):\n    return (xt - alpha_bar_t ** 0.5 * x0) / (1 - alpha_bar_t)",
        "divided by the noise's variance"),
    "x0_from_eps": (
        "def x0_from_eps(xt, eps, alpha_bar_t):\n    return xt - (1 - alpha_bar_t) ** 0.5 * eps",
        "The division is missing"),
}
