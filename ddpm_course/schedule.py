"""How much of the image is left at each timestep: beta, alpha-bar, SNR; and which timesteps a short sampler visits.

Timesteps are {0..T-1}, t=0 the least noisy noised level; the clean image is t=-1, where alpha-bar is 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SPACINGS = ("trailing", "leading", "linspace")


class NoiseSchedule(nn.Module):
    """The variances of the forward process q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I).

    Built in float64 from T betas, kept as float32: `betas` (T,) and `log_alpha_bar` (T,), where
    alpha_bar_t = prod_{i<=t} (1 - beta_i) (Ho et al. 2020, eq. 4). The logarithm is what is kept because
    1 - alpha_bar from a float32 alpha_bar is wrong by 1.7e-4 at t=0; -expm1(log_alpha_bar) is not.
    The tables are non-persistent buffers: they follow a model to a device, never to another dtype.
    """

    betas: Tensor
    log_alpha_bar: Tensor

    def __init__(self, betas: Tensor, spec: dict):
        """Use `from_betas`, `linear` or `cosine`. spec: the name and arguments that build it again (`from_spec`)."""
        super().__init__()
        self.spec = spec
        betas = torch.as_tensor(betas, dtype=torch.float64, device="cpu")
        if betas.ndim != 1 or len(betas) == 0:
            raise ValueError(f"betas must be a list of at least one number, not of shape {tuple(betas.shape)}.")
        if not bool(((betas > 0) & (betas < 1)).all()):
            raise ValueError(
                f"Every beta must lie strictly between 0 and 1; these run from {betas.min():.4g} to {betas.max():.4g}. "
                "Use more timesteps or smaller betas."
            )
        self.register_buffer("betas", betas.float(), persistent=False)
        self.register_buffer("log_alpha_bar", torch.log1p(-betas).cumsum(0).float(), persistent=False)

    @classmethod
    def from_betas(cls, betas) -> NoiseSchedule:
        """Any betas (T,), each strictly between 0 and 1, taken as they are."""
        betas = torch.as_tensor(betas, dtype=torch.float64)
        return cls(betas, {"name": "from_betas", "betas": betas.tolist()})

    @classmethod
    def from_spec(cls, spec: dict) -> NoiseSchedule:
        """The schedule whose `.spec` this is: how a checkpoint's card remembers it."""
        arguments = dict(spec)
        name = arguments.pop("name", None)
        if name not in ("linear", "cosine", "from_betas"):
            raise ValueError(f"A schedule is 'linear', 'cosine' or 'from_betas', not {name!r}.")
        return getattr(cls, name)(**arguments)

    @classmethod
    def linear(cls, T: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> NoiseSchedule:
        """Betas on a line (Ho et al. 2020, section 4), scaled by 1000/T so that any T ends in noise.

        ValueError where a scaled beta would reach 1 (T <= 20 with the usual ends).
        """
        _check_T(T)
        if beta_end * 1000 / T >= 1 or beta_start * 1000 / T >= 1:
            raise ValueError(
                f"linear(T={T}) would need a beta of {max(beta_start, beta_end) * 1000 / T:.3g}, and a beta must stay below 1: "
                f"use T > {math.floor(1000 * max(beta_start, beta_end))}, or the cosine schedule."
            )
        betas = torch.linspace(beta_start * 1000 / T, beta_end * 1000 / T, T, dtype=torch.float64)
        return cls(betas, {"name": "linear", "T": T, "beta_start": beta_start, "beta_end": beta_end})

    @classmethod
    def cosine(cls, T: int = 1000, s: float = 0.008, max_beta: float = 0.999) -> NoiseSchedule:
        """alpha_bar = cos^2 of time, betas clipped at max_beta (Nichol & Dhariwal 2021, eq. 17)."""
        _check_T(T)
        time = torch.arange(T + 1, dtype=torch.float64) / T
        alpha_bar = torch.cos((time + s) / (1 + s) * math.pi / 2) ** 2
        betas = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=max_beta)
        return cls(betas, {"name": "cosine", "T": T, "s": s, "max_beta": max_beta})

    @property
    def T(self) -> int:
        """Number of timesteps."""
        return len(self.betas)

    @property
    def alpha_bar(self) -> Tensor:
        """(T,) share of the variance that is still signal."""
        return self.log_alpha_bar.exp()

    @property
    def snr(self) -> Tensor:
        """(T,) alpha_bar / (1 - alpha_bar), the signal-to-noise ratio in power."""
        return 1 / torch.expm1(-self.log_alpha_bar)

    def at(self, t: Tensor, like: Tensor) -> Tensor:
        """alpha_bar_t, shaped to broadcast with `like`. t: int64 (B,) in {-1..T-1}; t = -1, the clean image, gives 1."""
        return self.log_at(t, like).exp()

    def log_at(self, t: Tensor, like: Tensor) -> Tensor:
        """log alpha_bar_t, shaped as `at`: 1 - alpha_bar_t is -expm1 of it, without loss of digits."""
        self.check(t, like)
        values = self.log_alpha_bar[t.clamp(min=0)].where(t >= 0, 0.0)
        return values.reshape(-1, *[1] * (like.ndim - 1))

    def check(self, t: Tensor, like: Tensor, first: int = -1) -> None:
        """ValueError unless t is int64 (B,) in {first..T-1}, one for each image of `like`. Values are checked on the CPU alone."""
        if t.shape != like.shape[:1] or t.is_floating_point():
            raise ValueError(f"t must be integers of shape ({len(like)},), one for each image, not {t.dtype} {tuple(t.shape)}.")
        if t.device.type == "cpu" and len(t) and (int(t.min()) < first or int(t.max()) >= self.T):
            raise ValueError(f"t must lie in {first}..{self.T - 1}; it runs from {int(t.min())} to {int(t.max())}.")

    def levels(self, timesteps: list[int]) -> list[float]:
        """alpha_bar of each timestep as Python floats: what a sampler, whose batch shares one t, computes with."""
        table = self.log_alpha_bar.cpu().double().exp().tolist()  # cpu() first: MPS has no float64
        return [1.0 if t == -1 else table[t] for t in timesteps]

    def timesteps(self, n: int, spacing: str = "trailing") -> list[int]:
        """n timesteps for a short sampler, strictly decreasing (Lin et al. 2024, table 2).

        "trailing" starts at T-1 and steps down evenly; "leading" ends at 0 and never sees T-1;
        "linspace" holds both ends.
        """
        if spacing not in SPACINGS:
            raise ValueError(f"spacing must be one of {', '.join(SPACINGS)}, not {spacing!r}.")
        if not 1 <= n <= self.T:
            raise ValueError(f"A sampler of this schedule takes 1 to {self.T} steps, not {n}.")
        if spacing == "trailing":
            stride = self.T - (self.T - self.T / n)  # rounded as numpy.arange does: ties fall where the paper and diffusers have them
            return [round(self.T - i * stride) - 1 for i in range(n)]
        if spacing == "leading":
            return [i * (self.T // n) for i in reversed(range(n))]
        return [self.T - 1] if n == 1 else [round(i * ((self.T - 1) / (n - 1))) for i in reversed(range(n))]

    def _apply(self, fn, recurse=True):
        kept = self.betas, self.log_alpha_bar
        super()._apply(fn, recurse)
        self.betas, self.log_alpha_bar = (table.to(self.betas.device) for table in kept)  # the device moves, float32 stays
        return self


def _check_T(T: int) -> None:
    if T < 1:
        raise ValueError(f"A schedule needs at least one timestep, not T={T}.")
