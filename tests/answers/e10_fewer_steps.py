"""Answers to the exercises of notebook 10: right in other ways than the reference, and wrong as a learner would type it."""

import math

import numpy as np
import torch

from ddpm_course.sampling import ddim_step as package_step


def with_the_package(x, x0, at, as_, noise, eta):
    return package_step(x, x0.clamp(-1, 1), at, as_, noise, eta)


def by_math(x, guess, at, as_, noise, eta):
    guess = torch.clip(guess, -1.0, 1.0)
    eps = (x - math.sqrt(at) * guess) / math.sqrt(1 - at)
    sigma = eta * math.sqrt((1 - as_) / (1 - at)) * math.sqrt(1 - at / as_)
    return math.sqrt(as_) * guess + math.sqrt(1 - as_ - sigma**2) * eps + sigma * noise


def last_apart(x, x0, at, as_, noise, eta):
    x0 = x0.clamp(-1, 1)
    if as_ == 1:
        return x0
    eps = (x - at**0.5 * x0) * (1 - at) ** -0.5
    beta = 1 - at / as_
    new = eta**2 * beta * (1 - as_) / (1 - at)
    return as_**0.5 * x0 + max(1 - as_ - new, 0) ** 0.5 * eps + new**0.5 * noise


def as_a_ratio_of_widths(x, x0, at, as_, noise, eta):
    """x_s from x, without naming the noise in it."""
    x0 = torch.minimum(torch.maximum(x0, -torch.ones_like(x0)), torch.ones_like(x0))
    new = eta * eta * (as_ - at) * (1 - as_) / (as_ * (1 - at))
    keep = ((1 - as_ - new) / (1 - at)) ** 0.5
    return keep * x + (as_**0.5 - keep * at**0.5) * x0 + new**0.5 * noise


def image_by_image(x, x0, at, as_, noise, eta):
    out = torch.zeros_like(x)
    for k in range(len(x)):
        clean = x0[k].clip(-1, 1)
        eps = (x[k] - np.sqrt(at) * clean) / np.sqrt(1 - at)
        var = eta**2 * (1 - as_) / (1 - at) * (1 - at / as_)
        out[k] = np.sqrt(as_) * clean + np.sqrt(1 - as_ - var) * eps + np.sqrt(var) * noise[k]
    return out


def in_tensors(x, x0, at, as_, noise, eta):
    t, s = torch.tensor(at, dtype=torch.float64), torch.tensor(as_, dtype=torch.float64)
    x0 = x0.clamp(min=-1, max=1)
    eps = (x - t.sqrt() * x0) / (1 - t).sqrt()
    var = eta**2 * (1 - s) / (1 - t) * (1 - t / s)
    return s.sqrt() * x0 + (1 - s - var).clamp(min=0).sqrt() * eps + var.sqrt() * noise


def by_python_log(x0, before, ab, at, as_):
    if as_ >= 1:
        return x0.clone()
    b, t, s = (math.log(a / (1 - a)) for a in (ab, at, as_))
    return x0 + 0.5 * (s - t) / (t - b) * (x0 - before)


def by_half_log_snr(x0, before, ab, at, as_):
    """lambda = log(sqrt(alpha_bar) / sigma), as the paper has it: half of the log-SNR, so the ratio is the same."""
    if as_ == 1.0:
        return x0
    b, t, s = (0.5 * math.log(a) - 0.5 * math.log(1 - a) for a in (ab, at, as_))
    r = (t - b) / (s - t)
    return (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * before


def by_a_line(x0, before, ab, at, as_):
    if as_ == 1:
        return x0
    b, t, s = np.log([ab, at, as_]) - np.log1p([-ab, -at, -as_])
    slope = (x0 - before) / float(t - b)
    return x0 + slope * float((t + s) / 2 - t)


def by_lerp(x0, before, ab, at, as_):
    if not as_ < 1:
        return x0
    b, t, s = torch.logit(torch.tensor([ab, at, as_], dtype=torch.float64)).tolist()
    return torch.lerp(before, x0, ((t + s) / 2 - b) / (t - b))


def by_where(x0, before, ab, at, as_):
    b, t, s = torch.tensor([ab, at, as_], dtype=torch.float64).logit().tolist()
    weight = 0.0 if math.isinf(s) else (s - t) / (2 * (t - b))
    return x0 + weight * (x0 - before)


def sorted_by_time(table, least, most):
    for name in sorted(table, key=lambda name: table[name][0]):
        if table[name][1] >= least and table[name][3] <= most:
            return name
    return None


def by_loop(table, least, most):
    best, fastest = None, float("inf")
    for name in table:
        seconds, low, _, distance = table[name]
        if seconds < fastest and not low < least and not distance > most:
            best, fastest = name, seconds
    return best


def by_tuples(table, least, most):
    good = [(row[0], name) for name, row in table.items() if row[1] >= least and row[-1] <= most]
    return min(good)[1] if good else None


def by_filter(table, least, most):
    good = dict(filter(lambda item: item[1][1] >= least and item[1][3] <= most, table.items()))
    return min(good, key=good.get) if good else None  # rows compare by their first number, the seconds


def by_numpy(table, least, most):
    if not table:
        return None
    rows = np.array(list(table.values()))
    seconds = np.where((rows[:, 1] >= least) & (rows[:, 3] <= most), rows[:, 0], np.inf)
    return list(table)[int(seconds.argmin())] if np.isfinite(seconds.min()) else None


def by_try(table, least, most):
    try:
        return min(row for row in ((r[0], name) for name, r in table.items() if r[1] >= least and r[3] <= most))[1]
    except ValueError:
        return None


RIGHT = {
    "ddim_step": [with_the_package, by_math, last_apart, as_a_ratio_of_widths, image_by_image, in_tensors],
    "extrapolate": [by_python_log, by_half_log_snr, by_a_line, by_lerp, by_where],
    "cheapest": [sorted_by_time, by_loop, by_tuples, by_filter, by_numpy, by_try],
}

WRONG = {
    "ddim_step": (
        "def ddim_step(x, x0, alpha_bar_t, alpha_bar_s, noise, eta):\n"
        "    eps = (x - alpha_bar_t**0.5 * x0) / (1 - alpha_bar_t)**0.5\n"
        "    x0 = x0.clamp(-1, 1)\n"
        "    variance = eta**2 * (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)\n"
        "    return alpha_bar_s**0.5 * x0 + (1 - alpha_bar_s - variance)**0.5 * eps + variance**0.5 * noise",
        "beside the unclipped guess"),
    "extrapolate": (
        "def extrapolate(x0, x0_before, alpha_bar_before, alpha_bar_t, alpha_bar_s):\n"
        "    b, t, s = torch.tensor([alpha_bar_before, alpha_bar_t, alpha_bar_s]).logit()\n"
        "    return x0 + (s - t) / (t - b) / 2 * (x0 - x0_before)",
        "log-SNR is infinite"),
    "cheapest": (
        "def cheapest(table, least, most):\n"
        "    good = [n for n, (seconds, low, high, far) in table.items() if high >= least and far <= most]\n"
        "    return min(good, key=lambda n: table[n][0], default=None)",
        "the high end of the interval"),
}
