"""Answers to the exercises of notebook 04: right in other ways than the reference, and wrong as a learner would type it."""

import math

import numpy as np
import torch


def by_alphas(x0, xt, at, as_):
    alpha = at / as_
    return math.sqrt(as_) * (1 - alpha) / (1 - at) * x0 + math.sqrt(alpha) * (1 - as_) / (1 - at) * xt, (1 - alpha) * (1 - as_) / (1 - at)


def by_certainties(x0, xt, at, as_):
    """The two bells of the text, with the clean image as a case of its own."""
    if as_ == 1:
        return x0, 0.0
    alpha = at / as_
    first, second = 1 / (1 - as_), alpha / (1 - alpha)
    variance = 1 / (first + second)
    return variance * (first * as_**0.5 * x0 + second * xt / alpha**0.5), variance


def by_noise(x0, xt, at, as_):
    """Ho et al. 2020, eq. 11: the mean from the noise that goes with x0."""
    eps = (xt - at**0.5 * x0) / (1 - at) ** 0.5
    beta = 1 - at / as_
    return (xt - beta / (1 - at) ** 0.5 * eps) / (1 - beta) ** 0.5, beta * (1 - as_) / (1 - at)


def by_loop(x0, xt, at, as_):
    beta, mean = 1 - at / as_, torch.empty_like(x0)
    for i in range(len(x0)):
        mean[i] = (np.sqrt(as_) * beta * x0[i] + np.sqrt(1 - beta) * (1 - as_) * xt[i]) / (1 - at)
    return mean, torch.tensor(beta * (1 - as_) / (1 - at))


def by_tensors(x0, xt, at, as_):
    t, s = torch.tensor(at, dtype=torch.float64), torch.tensor(as_, dtype=torch.float64)
    beta = 1 - t / s
    mean = (torch.sqrt(s) * beta / (1 - t)).to(x0) * x0 + (torch.sqrt(1 - beta) * (1 - s) / (1 - t)).to(x0) * xt
    return [mean, (beta * (1 - s) / (1 - t)).item()]


def by_covariance(x0, xt, at, as_):
    """Conditioning a pair of Gaussians: x_s and x_t, x_0 known."""
    var_s, var_t, covariance = 1 - as_, 1 - at, (at / as_) ** 0.5 * (1 - as_)
    return as_**0.5 * x0 + covariance / var_t * (xt - at**0.5 * x0), var_s - covariance**2 / var_t


def loop_step(x, x0, at, as_, noise):
    mean, variance = by_alphas(x0, x, at, as_)
    out = mean.clone()
    if noise is not None and as_ != 1.0:
        for i in range(len(x)):
            out[i] += math.sqrt(variance) * noise[i]
    return out


def zeros_for_none(x, x0, at, as_, noise):
    noise = torch.zeros_like(x) if noise is None else noise
    mean, variance = by_covariance(x0, x, at, as_)
    return mean + max(variance, 0.0) ** 0.5 * noise


def through_eps(x, x0, at, as_, noise):
    mean, variance = by_noise(x0, x, at, as_)
    return mean if noise is None else mean + noise * variance**0.5


def ddim_with_eta_one(x, x0, at, as_, noise):
    """Song et al. 2021, eq. 12 with eta = 1 is the same step."""
    eps = (x - at**0.5 * x0) / (1 - at) ** 0.5
    sigma = ((1 - as_) / (1 - at) * (1 - at / as_)) ** 0.5
    x_s = as_**0.5 * x0 + (1 - as_ - sigma**2) ** 0.5 * eps
    return x_s + sigma * noise if noise is not None else x_s


def logged(x, x0, at, as_, noise):
    """The variance by its logarithm, clipped from below, as in Ho's own code."""
    mean, variance = by_tensors(x0, x, at, as_)
    if noise is None:
        return mean
    return mean + math.exp(0.5 * math.log(max(variance, 1e-20))) * noise


def clean_asked_first(x, x0, at, as_, noise):
    if as_ == 1:
        return x0
    mean, variance = by_certainties(x0, x, at, as_)
    return mean + (0 if noise is None else variance**0.5 * noise)


def pairs(guess, step, xT, alpha_bar, visits, noise):
    levels = [alpha_bar[t].item() for t in visits] + [1.0]
    x = xT
    for i in range(len(visits)):
        t = torch.tensor([visits[i]] * x.shape[0])
        x = step(x, guess(x, t), levels[i], levels[i + 1], noise[i] if i + 1 < len(visits) else None)
    return x


def zipped(guess, step, xT, alpha_bar, visits, noise):
    x = xT.clone()
    with torch.no_grad():
        for t, s, eps in zip(visits, [*visits[1:], -1], noise, strict=True):
            steps = torch.full((x.shape[0],), t, dtype=torch.long)
            x = step(x, guess(x, steps), alpha_bar[t], alpha_bar[s] if s >= 0 else 1.0, eps if s >= 0 else None)
    return x


def last_apart(guess, step, xT, alpha_bar, visits, noise):
    x = xT
    for here, there, eps in zip(visits, visits[1:], noise, strict=False):
        x = step(x, guess(x, torch.ones(len(x), dtype=torch.int64) * here), alpha_bar[here], alpha_bar[there], eps)
    t = visits[-1]
    return step(x, guess(x, torch.full((len(x),), t)), alpha_bar[t], torch.tensor(1.0), None)


def recursive(guess, step, xT, alpha_bar, visits, noise):
    t, *rest = visits
    s = alpha_bar[rest[0]] if rest else 1
    x = step(xT, guess(xT, torch.as_tensor(t).repeat(len(xT))), alpha_bar[t], s, noise[0] if rest else None)
    return recursive(guess, step, x, alpha_bar, rest, noise[1:]) if rest else x


def the_guess_is_the_end(guess, step, xT, alpha_bar, visits, noise):
    """The mean of the step to the clean image is the guess."""
    x, count = xT, 0
    while True:
        t = visits[count]
        x0 = guess(x, torch.full_like(x.flatten(1)[:, 0], t, dtype=torch.int64))
        count += 1
        if count == len(visits):
            return x0
        x = step(x, x0, float(alpha_bar[t]), float(alpha_bar[visits[count]]), noise[count - 1])


def padded(guess, step, xT, alpha_bar, visits, noise):
    table = torch.cat([alpha_bar, torch.ones(1, dtype=alpha_bar.dtype)])  # here index -1 IS the clean image
    x, where = xT, [*visits, -1]
    for i in range(len(where) - 1):
        t = torch.zeros(len(x)).long() + where[i]
        x = step(x, guess(x, t), table[where[i]], table[where[i + 1]], None if where[i + 1] == -1 else noise[i])
    return x


RIGHT = {
    "posterior_mean_variance": [by_alphas, by_certainties, by_noise, by_loop, by_tensors, by_covariance],
    "ddpm_step": [loop_step, zeros_for_none, through_eps, ddim_with_eta_one, logged, clean_asked_first],
    "walk": [pairs, zipped, last_apart, recursive, the_guess_is_the_end, padded],
}

WRONG = {
    "posterior_mean_variance": (
        "def posterior_mean_variance(x0, xt, alpha_bar_t, alpha_bar_s):\n"
        "    beta = 1 - alpha_bar_t / alpha_bar_s\n"
        "    mean = (alpha_bar_t**0.5 * beta * x0 + (1 - beta)**0.5 * (1 - alpha_bar_s) * xt) / (1 - alpha_bar_t)\n"
        "    return mean, beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)",
        "the level of x_t under its root"),
    "ddpm_step": (
        "def ddpm_step(x, x0, alpha_bar_t, alpha_bar_s, noise):\n"
        "    beta = 1 - alpha_bar_t / alpha_bar_s\n"
        "    mean = (alpha_bar_s**0.5 * beta * x0 + (1 - beta)**0.5 * (1 - alpha_bar_s) * x) / (1 - alpha_bar_t)\n"
        "    return mean if noise is None else mean + beta**0.5 * noise",
        "Noise is added on the last step"),
    "walk": (
        "def walk(guess, step, xT, alpha_bar, visits, noise):\n"
        "    x = xT\n"
        "    for t, s, eps in zip(visits, visits[1:] + [-1], noise):\n"
        "        x0 = guess(x, torch.full((len(x),), t))\n"
        "        x = step(x, x0, alpha_bar[t], alpha_bar[s], eps if s >= 0 else None)\n"
        "    return x",
        "index -1 wraps round"),
}
