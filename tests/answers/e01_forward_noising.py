"""Answers to the exercises of notebook 01: right in other ways than the reference, and wrong as a learner would type it."""

import math

import numpy as np
import torch


def loop_step(x_prev, beta, noise):
    out = torch.empty_like(x_prev)
    for i in range(len(x_prev)):
        b = beta if isinstance(beta, float) else beta[i]
        out[i] = (1 - b) ** 0.5 * x_prev[i] + b**0.5 * noise[i]
    return out


def numpy_step(x_prev, beta, noise):
    return np.sqrt(1 - beta) * x_prev + np.sqrt(beta) * noise


def loop_sample(x0, t, noise, alpha_bar):
    rows = []
    for image, step, eps in zip(x0, t, noise, strict=True):
        a = alpha_bar[step].item()
        rows.append(math.sqrt(a) * image + math.sqrt(1 - a) * eps)
    return torch.stack(rows)


def filled_sample(x0, t, noise, alpha_bar):
    out = torch.zeros(x0.shape)  # float32, whatever came in
    for i in range(x0.shape[0]):
        out[i] = alpha_bar[t[i]] ** 0.5 * x0[i] + (1 - alpha_bar[t[i]]) ** 0.5 * noise[i]
    return out


def einsum_sample(x0, t, noise, alpha_bar):
    a = alpha_bar.gather(0, t)
    return torch.einsum("b,bchw->bchw", a.sqrt(), x0) + torch.einsum("b,bchw->bchw", (1 - a).sqrt(), noise)


def in_place_on_a_copy(x0, t, noise, alpha_bar):
    x = x0.clone()
    a = alpha_bar[t][:, None, None, None]
    x *= a**0.5
    x += torch.sqrt(1 - a) * noise
    return x


def double_sample(x0, t, noise, alpha_bar):
    a = alpha_bar.double()[t].view(-1, 1, 1, 1)
    return (a.sqrt() * x0.double() + (1 - a).sqrt() * noise.double()).to(x0.dtype)


def keywords(x, step, eps, table=None):
    a = table.index_select(0, step).reshape(x.shape[0], *[1] * (x.dim() - 1))
    return torch.lerp(torch.zeros_like(x), x, a.sqrt().expand_as(x)) + eps.mul((1 - a).sqrt())


def shaped(values):
    return values[:, None, None, None]


def python_floats(betas):
    left, out = 1.0, []
    for beta in betas.tolist():
        left *= 1 - beta
        out.append(left)
    return torch.tensor(out)


def filled_product(betas):
    out = torch.ones_like(betas)
    for i in range(len(betas)):
        out[i] = (1 - betas[: i + 1]).prod()
    return out


RIGHT = {
    "noise_step": [
        loop_step,
        numpy_step,
        lambda x, b, n: torch.sqrt(torch.as_tensor(1 - b)) * x + torch.sqrt(torch.as_tensor(b)) * n,
        lambda x, b, n: n * b**0.5 + x * (1 - b) ** 0.5,
        lambda x_prev, beta, noise: x_prev.mul((1 - beta) ** 0.5).add(noise * beta**0.5),
        lambda x_prev, beta, noise: x_prev - (1 - (1 - beta) ** 0.5) * x_prev + beta**0.5 * noise,
    ],
    "q_sample": [
        loop_sample,
        filled_sample,
        einsum_sample,
        in_place_on_a_copy,
        double_sample,
        keywords,
        lambda x0, t, n, ab: ab[t].view(-1, 1, 1, 1).sqrt() * x0 + (1 - ab[t].view(-1, 1, 1, 1)).sqrt() * n,
        lambda x0, t, n, ab: (ab[t].sqrt() * x0.permute(1, 2, 3, 0) + (1 - ab[t]).sqrt() * n.permute(1, 2, 3, 0)).permute(3, 0, 1, 2),
        lambda x0, t, n, ab: shaped(torch.from_numpy(np.sqrt(ab.numpy()))[t]) * x0 + shaped((1 - ab)[t]) ** 0.5 * n,
        lambda x0, t, n, ab: shaped((ab[t].log() / 2).exp()) * x0 + shaped((-torch.expm1(ab[t].log())).sqrt()) * n,
    ],
    "alpha_bar_of": [
        python_floats,
        filled_product,
        lambda betas: (1 - betas).cumprod(0),
        lambda betas: torch.cumprod(1 - betas.double(), -1).float(),
        lambda betas: torch.cumprod(1 - betas.double(), -1),
        lambda betas: torch.log1p(-betas).cumsum(0).exp(),
        lambda betas: torch.from_numpy(np.cumprod(1 - betas.numpy())),
        lambda betas: torch.stack([torch.prod(1 - betas[: i + 1]) for i in range(len(betas))]),
    ],
}

WRONG = {
    "noise_step": (
        "def noise_step(x_prev, beta, noise):\n    return x_prev + beta**0.5 * noise",
        "without shrinking it, the variance grows"),
    "alpha_bar_of": (
        "def alpha_bar_of(betas):\n    return 1 - betas",
        "the earlier steps are missing"),
    "q_sample": (
        "def q_sample(x0, t, noise, alpha_bar):\n    a = alpha_bar[t].reshape(-1, 1, 1, 1)\n    return a.sqrt() * x0 + (1 - a) * noise",
        "the root is missing there"),
}
