"""Answers to the exercises of notebook 12: right in other ways than the reference, and wrong as a learner would type it."""

import math

import torch


def pair_by_normal(x0, alpha_bar_t, generator):
    eps = torch.empty(x0.shape).normal_(generator=generator)
    return alpha_bar_t**0.5 * x0 + (1 - alpha_bar_t) ** 0.5 * eps, eps


def pair_as_lists(x0, alpha_bar_t, generator):
    eps = torch.normal(0.0, 1.0, x0.shape, generator=generator)
    xt = torch.stack([a.sqrt() * x + (1 - a).sqrt() * e for x, a, e in zip(x0, alpha_bar_t, eps, strict=True)])
    return [xt, eps]


def pair_by_lerp(x0, alpha_bar_t, generator):
    noise = torch.randn(*x0.shape, generator=generator)
    return torch.addcmul(alpha_bar_t.sqrt() * x0, torch.sqrt(1 - alpha_bar_t), noise), noise


def pair_in_double(x0, alpha_bar_t, generator):
    noise = torch.randn(x0.shape, generator=generator)
    a = alpha_bar_t.double()
    return (a.sqrt() * x0 + (1 - a).sqrt() * noise).to(x0.dtype), noise


def pair_by_angle(x0, alpha_bar_t, generator):
    angle = torch.arccos(torch.sqrt(alpha_bar_t))
    noise = torch.randn(size=x0.shape, generator=generator)
    return angle.cos() * x0 + angle.sin() * noise, noise


def visits_loop(T, n):
    t, visits = T - 1, []
    while len(visits) < n:
        visits.append(t)
        t = t - T // n
    return visits


def visits_mended(T, n):
    stride = T // n
    return [k * stride + stride - 1 for k in reversed(range(n))]


def chain_in_place(x0, betas, generator):
    x = x0.clone()
    for k in range(len(betas)):
        eps = torch.randn(x.shape, generator=generator)
        x = torch.sqrt(1 - betas[k]) * x + torch.sqrt(betas[k]) * eps
    return x


def chain_by_floats(x0, betas, generator):
    x = x0
    for beta in betas.tolist():
        x = math.sqrt(1 - beta) * x + math.sqrt(beta) * torch.empty(x0.shape).normal_(generator=generator)
    return x


def chain_recursive(x0, betas, generator):
    if len(betas) == 0:
        return x0
    beta = betas[0]
    x = (1 - beta) ** 0.5 * x0 + beta**0.5 * torch.randn(x0.shape, generator=generator)
    return chain_recursive(x, betas[1:], generator)


def chain_all_at_once(x0, betas, generator):
    noises, x = torch.randn(betas.shape + x0.shape, generator=generator), x0
    for k, beta in enumerate(betas):
        x = (1 - beta) ** 0.5 * x + beta**0.5 * noises[k]
    return x


def chain_by_weights(x0, betas, generator):
    x, kept = torch.zeros_like(x0), (1 - betas).sqrt()
    for k in range(len(betas)):
        x = x + betas[k].sqrt() * kept[k + 1 :].prod() * torch.randn(x0.shape, generator=generator)
    return kept.prod() * x0 + x


RIGHT = {
    "noisy_pair": [pair_by_normal, pair_as_lists, pair_by_lerp, pair_in_double, pair_by_angle],
    "short_visits": [
        visits_loop,
        visits_mended,
        lambda T, n: list(range(T - 1, -1, -(T // n))),
        lambda T, n: list(range(T))[:: -(T // n)],
        lambda T, n: [round(T - k * T / n) - 1 for k in range(n)],
        lambda T, n: torch.arange(T - 1, -1, -(T // n)).tolist(),
    ],
    "noise_chain": [chain_in_place, chain_by_floats, chain_recursive, chain_all_at_once, chain_by_weights],
}

WRONG = {
    "noisy_pair": ("""def noisy_pair(x0, alpha_bar_t, generator):
    noise = 2 * torch.rand(x0.shape, generator=generator) - 1
    xt = alpha_bar_t.sqrt() * x0 + (1 - alpha_bar_t).sqrt() * noise
    return xt, noise
""", "still uniform"),
    "short_visits": ("""def short_visits(T, n):
    visits = [k * (T // n) for k in reversed(range(n))]
    visits[0] = T - 1
    return visits
""", "Only the first was moved"),
    "noise_chain": ("""def noise_chain(x0, betas, generator):
    x, noise = x0, torch.randn(x0.shape, generator=generator)
    for beta in betas:
        x = (1 - beta).sqrt() * x + beta.sqrt() * noise
    return x
""", "one and the same noise"),
}
