"""Walking back from noise: ancestral (DDPM), DDIM and DPM-Solver++(2M), as one generator of steps.

The three step functions are pure: they take the sample x at level alpha_bar_t, the (clipped) guess x0, and return
the sample at level alpha_bar_s, s < t. Levels are Python floats or tensors that broadcast with x; alpha_bar_s = 1
is the clean image. The noise in x, eps = (x - sqrt(alpha_bar_t) x0) / sqrt(1 - alpha_bar_t), follows from x and x0,
so it always matches the clipped guess.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .diffusion import Diffusion
from .guidance import Guided

SOLVERS = ("ddpm", "ddim", "dpmpp")
Level = float | Tensor


def ddpm_step(x: Tensor, x0: Tensor, alpha_bar_t: Level, alpha_bar_s: Level, noise: Tensor | None = None,
              variance: str = "small") -> Tensor:
    """Draw x_s from q(x_s | x_t, x_0) with the guess in place of x_0 (Ho et al. 2020, eq. 6-7 and algorithm 2).

    variance: "small" is the posterior's own, "large" the forward step's beta (both in section 3.2).
    noise: N(0, I) of x's shape; None takes the mean, as the last step must.
    """
    beta = 1 - alpha_bar_t / alpha_bar_s  # variance of q(x_t | x_s)
    mean = (alpha_bar_s**0.5 * beta * x0 + (1 - beta) ** 0.5 * (1 - alpha_bar_s) * x) / (1 - alpha_bar_t)
    if noise is None:
        return mean
    return mean + (beta if variance == "large" else beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)) ** 0.5 * noise


def ddim_step(x: Tensor, x0: Tensor, alpha_bar_t: Level, alpha_bar_s: Level, noise: Tensor | None = None,
              eta: float = 0.0) -> Tensor:
    """Move the guess and its noise to level s (Song et al. 2021, eq. 12 and 16).

    eta: 0 is deterministic, 1 has the variance of the small ancestral step. noise: as in `ddpm_step`.
    """
    eps = (x - alpha_bar_t**0.5 * x0) / (1 - alpha_bar_t) ** 0.5
    variance = eta**2 * (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)
    x_s = alpha_bar_s**0.5 * x0 + (1 - alpha_bar_s - variance) ** 0.5 * eps
    return x_s if noise is None else x_s + variance**0.5 * noise


def dpmpp_step(x: Tensor, x0: Tensor, alpha_bar_t: float, alpha_bar_s: float, x0_before: Tensor | None = None,
               alpha_bar_before: float | None = None) -> Tensor:
    """DPM-Solver++(2M): the flow, with x_0 extrapolated from two guesses in log-SNR (Lu et al. 2022, algorithm 2).

    x0_before, alpha_bar_before: the guess and the level of the step before (s < t < before). Without them, and
    for the last step to the clean image, whose log-SNR is infinite, the step is of first order: DDIM's.
    Levels are floats here: one for the whole batch.
    """
    if x0_before is not None and alpha_bar_before is not None and alpha_bar_s < 1:
        log_snr = [torch.tensor(a, dtype=torch.float64).logit() for a in (alpha_bar_before, alpha_bar_t, alpha_bar_s)]
        ratio = float((log_snr[2] - log_snr[1]) / (log_snr[1] - log_snr[0]))
        x0 = x0 + ratio / 2 * (x0 - x0_before)
    sigma = ((1 - alpha_bar_s) / (1 - alpha_bar_t)) ** 0.5
    return sigma * x + (alpha_bar_s**0.5 - sigma * alpha_bar_t**0.5) * x0


class Step(NamedTuple):
    """One step of a sampler, from timestep t to s < t (s = -1 is the clean image)."""

    t: int
    s: int
    x: Tensor  # the sample after the step, at level s
    x0: Tensor  # the guess the step was made with
    eps: Tensor  # the noise that goes with it


def sample_steps(diffusion: Diffusion, model, xT: Tensor, *, y: Tensor | None = None,
                 timesteps: int | Sequence[int] | None = None, solver: str = "ddpm", eta: float = 0.0,
                 variance: str = "small", spacing: str = "trailing", clip: bool = True,
                 generator: torch.Generator | Sequence[torch.Generator] | None = None) -> Iterator[Step]:
    """Walk from xT, noise of the first timestep's level, to the clean image; yield every step.

    xT: float (B, ...); y: int64 (B,) or None. timesteps: a strictly decreasing list, a number of steps spaced by
    `spacing`, or None for all T. solver: "ddpm", "ddim" (with `eta`) or "dpmpp". No noise is added on the last step.
    generator: one for the batch, or one for each image (then an image does not depend on its batch).
    ValueError for an option that the solver lacks, or timesteps that do not decrease within {0..T-1}.
    """
    visits = _timesteps(diffusion, timesteps, spacing)
    _check_options(solver, eta, variance)
    if isinstance(generator, Sequence) and len(generator) != len(xT):
        raise ValueError(f"{len(generator)} generators for {len(xT)} images: give one for each, or a single one.")
    return _walk(diffusion, model, xT, y, visits, solver, eta, variance, clip, generator)


def _walk(diffusion, model, x, y, visits, solver, eta, variance, clip, generator) -> Iterator[Step]:
    levels = diffusion.schedule.levels([*visits, -1])
    before: tuple = (None, None)
    for i, (t, s) in enumerate(zip(visits, [*visits[1:], -1], strict=True)):
        with torch.no_grad():
            x0, eps = diffusion.denoise(model, x, torch.full((len(x),), t, device=x.device), y, clip=clip)
            at, to = levels[i], levels[i + 1]
            random = s >= 0 and (solver == "ddpm" or eta > 0)
            noise = draw_noise(x.shape, generator, x.device) if random else None
            if solver == "ddpm":
                x = ddpm_step(x, x0, at, to, noise, variance)
            elif solver == "ddim":
                x = ddim_step(x, x0, at, to, noise, eta if random else 0.0)
            else:
                x = dpmpp_step(x, x0, at, to, *before)
                before = (x0, at)
        yield Step(t, s, x, x0, eps)


def sample(diffusion: Diffusion, model, *, labels: Tensor | Sequence[int] | None = None, n: int | None = None, seed: int = 0,
           scale: float = 1.0, solver: str = "ddpm", timesteps: int | Sequence[int] | None = 25, batch_size: int = 250,
           shape: Sequence[int] | None = None, progress=iter, **options) -> Tensor:
    """Draw images: float (N, C, H, W) in [-1, 1], on the model's device.

    labels: one for each image, or None with `n` for unconditional ones (the null label of a conditional model).
    scale: of the guidance; other than 1 is refused for a model trained without label dropout.
    Image k of a seed depends on neither batch_size nor the other labels: each draws from a stream of its own.
    shape: of one image, for a model other than UNet, whose config knows it.
    progress: wraps the list of batches, `tqdm` for instance. options: of `sample_steps`.
    """
    if (labels is None) == (n is None):
        raise ValueError("Pass labels, one for each image, or n for unconditional images: one of the two.")
    if not math.isfinite(scale):
        raise ValueError(f"scale={scale} is no guidance scale: give a finite number, such as 2.")
    if (scale != 1 or labels is None) and getattr(model, "label_dropout", None) == 0:
        what = f"Guidance scale {scale:g}" if scale != 1 else "An image without a label"
        raise ValueError(
            f"{what} needs a model that has seen the null label; this one was trained without label dropout. "
            "Use scale=1 and labels, or train with label_dropout=0.1."
        )
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    y = None if labels is None else torch.as_tensor(labels, dtype=torch.int64)
    if y is not None:
        classes = getattr(model, "null_label", None)
        if classes is not None and len(y) and (int(y.min()) < 0 or int(y.max()) >= classes):
            raise ValueError(f"Labels must lie in 0..{classes - 1}; these run from {int(y.min())} to {int(y.max())}.")
        n = len(y)
    assert n is not None
    guided = model if scale == 1 else Guided(model, scale)
    if shape is None:
        config = getattr(model, "config", None)
        if config is None:
            raise ValueError(f"{type(model).__name__} does not say what it draws: pass shape=(1, 28, 28), or that of one of your images.")
        shape = (config.in_channels, config.image_size, config.image_size)
    images = torch.empty(n, *shape, device=device)
    with evaluating(model):
        for batch in progress(torch.arange(n).split(batch_size) if n else []):
            streams = [image_stream(seed, int(k)) for k in batch]
            x = draw_noise((len(batch), *shape), streams, device)
            on_device = None if y is None else y[batch].to(device)
            for step in sample_steps(diffusion, guided, x, y=on_device, timesteps=timesteps, solver=solver, generator=streams, **options):
                x = step.x
            images[batch] = x
    return images.clamp(-1, 1)


def image_stream(seed: int, k: int) -> torch.Generator:
    """The random stream of image k of a seed."""
    # Seeds 0, 1, 2, ... share no stream up to 1,000,003 images each: image 1,000,003 of seed 0 would be image 0 of seed 1.
    return torch.Generator().manual_seed((seed * 1_000_003 + k) & 0x7FFF_FFFF_FFFF_FFFF)


def draw_noise(shape: Sequence[int], generator, device: torch.device) -> Tensor:
    """N(0, I) of a shape, from one generator or one for each image, drawn where the generator lives."""
    if isinstance(generator, Sequence):
        return torch.stack([torch.randn(tuple(shape[1:]), generator=g, device=g.device) for g in generator]).to(device)
    source = generator.device if generator is not None else device
    return torch.randn(tuple(shape), generator=generator, device=source).to(device)


@contextlib.contextmanager
def evaluating(model) -> Iterator[None]:
    """Dropout off and no gradients, and the model's mode restored afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def _timesteps(diffusion: Diffusion, timesteps: int | Sequence[int] | None, spacing: str) -> list[int]:
    T = diffusion.schedule.T
    if timesteps is None or isinstance(timesteps, int):
        return diffusion.schedule.timesteps(T if timesteps is None else timesteps, spacing)
    visits = [int(t) for t in timesteps]
    if not visits or visits[0] >= T or visits[-1] < 0 or any(a <= b for a, b in zip(visits, visits[1:], strict=False)):
        raise ValueError(f"timesteps must be a strictly decreasing list within {T - 1}..0, such as [{T - 1}, {T // 2}, 0].")
    return visits


def _check_options(solver: str, eta: float, variance: str) -> None:
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, not {solver!r}.")
    if variance not in ("small", "large"):
        raise ValueError(f"variance must be 'small' or 'large', not {variance!r}.")
    if variance == "large" and solver != "ddpm":
        raise ValueError(f"variance='large' belongs to solver='ddpm'; {solver} has no such choice.")
    if eta != 0 and solver != "ddim":
        raise ValueError(f"eta belongs to solver='ddim'; {solver} has no such choice.")
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in 0..1, not {eta}.")
