"""The forward process, its posterior, and the loss: everything between the schedule and the network.

Images are float (B, ...) in [-1, 1], timesteps int64 (B,). Every formula stands on a pair of levels
(alpha_bar_t, alpha_bar_s) with s < t, so that a sampler which skips levels needs no second set of formulas.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .schedule import NoiseSchedule

PREDICTIONS = ("eps", "v", "x0")


def q_step(schedule: NoiseSchedule, x_prev: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """One step of noising, x_t given x_{t-1} (Ho et al. 2020, eq. 2). t: int64 (B,) in {0..T-1}."""
    schedule.check(t, x_prev, first=0)  # a network or a beta is asked for: the clean level -1 is no timestep
    _check_noise(noise, x_prev)
    beta = schedule.betas[t].reshape(-1, *[1] * (x_prev.ndim - 1))
    return (1 - beta).sqrt() * x_prev + beta.sqrt() * noise


def q_sample(schedule: NoiseSchedule, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Jump from x_0 to x_t in one formula (Ho et al. 2020, eq. 4). t: int64 (B,) in {-1..T-1}."""
    _check_noise(noise, x0)
    signal, sigma = _signal_and_sigma(schedule, t, x0)
    return signal * x0 + sigma * noise


def posterior(schedule: NoiseSchedule, x0: Tensor, xt: Tensor, t: Tensor, s: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (B, ...) and variance (B, 1, ...) of q(x_s | x_t, x_0), s < t; s defaults to t-1 (Ho et al. 2020, eq. 6-7).

    At s = -1 the mean is x_0 and the variance 0.
    """
    schedule.check(t, xt, first=0)
    s = t - 1 if s is None else s
    if t.device.type == "cpu" and bool((s >= t).any()):
        raise ValueError("The posterior walks back: every s must be smaller than its t.")
    log_t, log_s = schedule.log_at(t, xt), schedule.log_at(s, xt)
    beta = -torch.expm1(log_t - log_s)  # variance of q(x_t | x_s)
    clean, noisy = -torch.expm1(log_s), -torch.expm1(log_t)  # 1 - alpha_bar at s and at t
    mean = (log_s / 2).exp() * beta / noisy * x0 + ((log_t - log_s) / 2).exp() * clean / noisy * xt
    return mean, beta * clean / noisy


class Diffusion(nn.Module):
    """A schedule and what the network predicts: turns `model(xt, t, y)` into a loss, and into (x0, eps).

    prediction: "eps" (Ho et al. 2020), "x0", or "v" = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0
    (Salimans & Ho 2022, appendix D). min_snr_gamma: weight of the loss, clipped at that SNR (Hang et al. 2023);
    None leaves the plain mean square of the target.
    """

    def __init__(self, schedule: NoiseSchedule, prediction: str = "eps", min_snr_gamma: float | None = None):
        super().__init__()
        if prediction not in PREDICTIONS:
            raise ValueError(f"prediction must be one of {', '.join(PREDICTIONS)}, not {prediction!r}.")
        if min_snr_gamma is not None and min_snr_gamma <= 0:
            raise ValueError(f"min_snr_gamma must be positive, not {min_snr_gamma}; 5 is the usual choice.")
        self.schedule = schedule
        self.prediction = prediction
        self.min_snr_gamma = min_snr_gamma

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network should say at x_t = q_sample(x0, t, noise)."""
        if self.prediction == "eps":
            return noise
        if self.prediction == "x0":
            return x0
        signal, sigma = _signal_and_sigma(self.schedule, t, x0)
        return signal * noise - sigma * x0

    def weight(self, t: Tensor) -> Tensor:
        """(B,) loss weight: min(SNR, gamma) of the x0 error, expressed for the target in use."""
        if self.min_snr_gamma is None:
            return torch.ones(len(t), device=t.device)
        snr = self.schedule.snr[t]
        per_unit = {"x0": torch.ones_like(snr), "eps": 1 / snr, "v": 1 / (snr + 1)}[self.prediction]
        return snr.clamp(max=self.min_snr_gamma) * per_unit

    def loss(self, model, x0: Tensor, y: Tensor | None = None, *, t: Tensor | None = None, noise: Tensor | None = None,
             generator: torch.Generator | None = None) -> Tensor:
        """(B,) weighted mean square error of each image (Ho et al. 2020, eq. 14).

        t and noise are drawn from `generator` where they are not given: t uniform over {0..T-1}, noise N(0, I).
        """
        device = generator.device if generator is not None else x0.device
        if t is None:
            t = torch.randint(self.schedule.T, (len(x0),), generator=generator, device=device).to(x0.device)
        if noise is None:
            noise = torch.randn(x0.shape, generator=generator, device=device).to(x0)
        self.schedule.check(t, x0, first=0)
        output = model(q_sample(self.schedule, x0, t, noise), t, y)
        target = self.target(x0, noise, t)
        if output.shape != target.shape:
            raise ValueError(f"The model returned {tuple(output.shape)} for images of {tuple(target.shape)}: they must agree.")
        return self.weight(t) * (output.float() - target).square().flatten(1).mean(1)

    def denoise(self, model, xt: Tensor, t: Tensor, y: Tensor | None = None, *, clip: bool = True) -> tuple[Tensor, Tensor]:
        """The network's guess (x0, eps), both of xt's shape; with `clip`, x0 in [-1, 1] and eps recomputed to match it."""
        self.schedule.check(t, xt, first=0)
        output = model(xt, t, y).float()
        if output.shape != xt.shape:
            raise ValueError(f"The model returned {tuple(output.shape)} for images of {tuple(xt.shape)}: they must agree.")
        signal, sigma = _signal_and_sigma(self.schedule, t, xt)
        if self.prediction == "eps":
            x0 = (xt - sigma * output) / signal
        elif self.prediction == "v":
            x0 = signal * xt - sigma * output
        else:
            x0 = output
        if clip:
            x0 = x0.clamp(-1, 1)
        elif self.prediction == "eps":
            return x0, output
        return x0, (xt - signal * x0) / sigma


def _check_noise(noise: Tensor, like: Tensor) -> None:
    """ValueError where images would share noise, or noise would copy images, by broadcasting."""
    if noise.shape != like.shape:
        raise ValueError(f"noise has shape {tuple(noise.shape)}, the images {tuple(like.shape)}: they must agree.")


def _signal_and_sigma(schedule: NoiseSchedule, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), shaped to broadcast with `like`."""
    log = schedule.log_at(t, like)
    return (log / 2).exp(), (-torch.expm1(log)).sqrt()
