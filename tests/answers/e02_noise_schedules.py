"""Answers to the exercises of notebook 02: right in other ways than the reference, and wrong as a learner would type it."""

import math

import numpy as np
import torch


def snr_loop(alpha_bar):
    out = torch.zeros_like(alpha_bar)
    for i, a in enumerate(alpha_bar.flatten()):
        out.view(-1)[i] = math.log(a.item() / (1 - a.item()))
    return out


def snr_in_steps(alpha_bar):
    signal = alpha_bar.clone()
    noise = 1 - signal
    signal /= noise
    return signal.log_()


def loop_of_floats(T):
    first, last, betas = 1e-4 * 1000 / T, 0.02 * 1000 / T, []
    for i in range(T):
        betas.append(first + (last - first) * i / (T - 1))
    return torch.tensor(betas)


def filled(T):
    betas = torch.empty(T)
    for t in range(T):
        betas[t] = (0.1 + 19.9 * t / (T - 1)) / T
    return betas


def step_by_step(T):
    def f(time):
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    return torch.tensor([min(1 - f((i + 1) / T) / f(i / T), 0.999) for i in range(T)])


def with_alpha_bar(T, s=0.008):
    steps = torch.linspace(0, T, T + 1)
    alpha_bar = torch.cos((steps / T + s) / (1 + s) * math.pi * 0.5).square()
    alpha_bar = alpha_bar / alpha_bar[0]
    return torch.clip(1 - alpha_bar[1:] / alpha_bar[:-1], 0, 0.999)


def one_step_at_a_time(T):
    betas, before = torch.zeros(T), math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    for t in range(T):
        after = math.cos(((t + 1) / T + 0.008) / 1.008 * math.pi / 2) ** 2
        betas[t] = min(0.999, (before - after) / before)
        before = after
    return betas


def by_half_angles(T):
    f = (1 + torch.cos((torch.arange(T + 1).double() / T + 0.008) / 1.008 * torch.pi)) / 2
    return torch.minimum((f[:-1] - f[1:]) / f[:-1], torch.tensor(0.999).double()).float()


def numpy_cosine(T):
    f = np.cos((np.linspace(0, 1, T + 1) + 0.008) / 1.008 * np.pi / 2) ** 2
    return torch.from_numpy(np.clip(1 - f[1:] / f[:-1], None, 0.999).astype(np.float32))


RIGHT = {
    "log_snr": [
        snr_loop,
        snr_in_steps,
        torch.logit,
        lambda ab: ab.log() - (1 - ab).log(),
        lambda ab: torch.log(ab) - torch.log1p(-ab),
        lambda ab: -torch.log((1 - ab) / ab),
        lambda ab: 2 * torch.log(ab**0.5 / (1 - ab) ** 0.5),
        lambda ab: torch.log2(ab / (1 - ab)) * math.log(2),
        lambda ab: torch.from_numpy(np.log(ab.numpy() / (1 - ab.numpy()))) if ab.ndim else torch.tensor(math.log(ab / (1 - ab))),
        lambda ab: (ab.double() / (1 - ab.double())).log().to(ab.dtype),
        lambda ab: torch.special.logit(ab, eps=None),
        lambda ab: torch.log(ab / (1 - ab) + 1e-20),
    ],
    "linear_betas": [
        loop_of_floats,
        filled,
        lambda T: torch.linspace(1e-4 * 1000 / T, 0.02 * 1000 / T, T),
        lambda T: torch.linspace(0.1 / T, 20 / T, T),
        lambda T: (1000 / T) * torch.linspace(0.0001, 0.02, steps=T),
        lambda T: torch.linspace(1e-4, 0.02, T, dtype=torch.float64).mul(1000 / T).float(),
        lambda T: torch.linspace(1e-4, 0.02, T, dtype=torch.float64) / (T / 1000),
        lambda T: torch.from_numpy(np.linspace(0.1, 20, T) / T),
        lambda T: torch.tensor(np.linspace(1e-4, 0.02, T) * 1000 / T, dtype=torch.float32),
        lambda T: 1000 / T * (1e-4 + torch.arange(T) / (T - 1) * (0.02 - 1e-4)),
        lambda number: torch.lerp(torch.full((number,), 0.1), torch.full((number,), 20.0), torch.linspace(0, 1, number)) / number,
        lambda T, first=1e-4, last=0.02: torch.linspace(last, first, T).flip(0) * 1000 / T,
    ],
    "cosine_betas": [
        step_by_step,
        with_alpha_bar,
        one_step_at_a_time,
        by_half_angles,
        numpy_cosine,
        lambda T: torch.tensor(step_by_step(T).tolist(), dtype=torch.float64),
        lambda T: (1 - torch.exp(2 * torch.cos((torch.linspace(0, 1, T + 1).double() + 0.008) / 1.008 * torch.pi / 2).log().diff())).clip(
            max=0.999).float(),
        lambda T: torch.stack([1 - torch.cos(torch.tensor((i + 1) / T + 0.008) / 1.008 * torch.pi / 2) ** 2
                               / torch.cos(torch.tensor(i / T + 0.008) / 1.008 * torch.pi / 2) ** 2 for i in range(T)]).clamp(0, 0.999),
    ],
}

WRONG = {
    "log_snr": (
        "def log_snr(alpha_bar):\n    return torch.log(alpha_bar / 1 - alpha_bar)",
        "Brackets are missing"),
    "linear_betas": (
        "def linear_betas(T):\n    return torch.linspace(1e-4, 0.02, T)",
        "those of a thousand steps"),
    "cosine_betas": (
        "def cosine_betas(T):\n    time = torch.arange(T + 1) / T\n    f = torch.cos((time + 0.008) / 1.008 * torch.pi / 2) ** 2\n"
        "    return 1 - f[1:] / f[:-1]",
        "no beta may exceed 0.999"),
}
