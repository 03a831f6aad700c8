"""The clinic of notebook 12: one small, whole diffusion program, six patients with one part of it ill, and the tests.

A patient is the healthy program with another function in one place. Every fault was published; the notebook names the sources.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..checkpoints import load_checkpoint
from ..data import ImageData, to_float
from ..diffusion import Diffusion
from ..guidance import drop_labels
from ..sampling import sample_steps
from ..schedule import NoiseSchedule
from .exercises.e06_train_unconditional import ema_update
from .exercises.e12_clinic import noise_chain, noisy_pair, short_visits, sick_noise_chain, sick_noisy_pair, sick_short_visits

PARTS = ("outline", "eyes", "mouth")
BATCH = 400


# --- the healthy program ------------------------------------------------------------------------------------------


def face(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """n points of notebook 04's drawing, (n, 2), and their labels: 0 outline, 1 eyes, 2 mouth."""
    part, u = torch.rand(2, n, generator=generator)
    ring, arc = torch.exp(2j * torch.pi * u), 0.55 * torch.exp(1j * torch.pi * (1.15 + 0.7 * u))
    eye = 0.09 * ring.real + 0.16j * ring.imag + 0.3j
    drawn = torch.stack([0.9 * ring, eye - 0.33, eye + 0.33, arc])
    which = torch.bucketize(part, torch.tensor([0.5, 0.62, 0.74]))
    points = torch.view_as_real(drawn[which, torch.arange(n)]) + 0.015 * torch.randn(n, 2, generator=generator)
    return points, torch.tensor([0, 1, 1, 2])[which]


class Guesser(nn.Module):
    """Notebook 04's network for points, told a label as well. It guesses the noise; the null label is 3."""

    def __init__(self, width: int = 96):
        super().__init__()
        self.first, self.last = nn.Linear(14, width), nn.Linear(width, 2)
        self.middle = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.told = nn.ModuleList(nn.Linear(20, 2 * width) for _ in range(3))

    def forward(self, xt: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        y = torch.full_like(t, len(PARTS)) if y is None else y
        waves = [wave(k * torch.pi * xt) for k in (1, 2, 4) for wave in (torch.sin, torch.cos)]
        clock = t[:, None] / 1000 * 100 ** torch.linspace(0, 1, 8)
        told = torch.cat([clock.sin(), clock.cos(), nn.functional.one_hot(y, len(PARTS) + 1)], 1)
        h = self.first(torch.cat([xt, *waves], 1))
        for middle, say in zip(self.middle, self.told, strict=True):
            gain, shift = say(told).chunk(2, 1)
            h = h + middle(nn.functional.silu(h * (1 + gain) + shift))
        return self.last(nn.functional.silu(h))


def warm_decay(k: int) -> float:
    """The decay of the average at batch k: small at first, so that the random start is forgotten (notebook 06)."""
    return min(0.9999, 1 - (1 + k) ** -0.75)


def report(guess: Callable, x0: Tensor, t: Tensor, alpha_bar_t: Tensor, generator: torch.Generator) -> Tensor:
    """How far from x0 the network's clean guesses are. guess(xt, t) is the network's guess of the noise."""
    noise = torch.randn(x0.shape, generator=generator)
    xt = alpha_bar_t.sqrt() * x0 + (1 - alpha_bar_t).sqrt() * noise
    guessed = guess(xt, t)
    rebuilt = (xt - (1 - alpha_bar_t).sqrt() * guessed) / alpha_bar_t.sqrt()
    return (rebuilt - x0).square().mean().sqrt()


@dataclass(frozen=True, eq=False)
class Program:
    """A diffusion program as a set of parts. `dataclasses.replace(program, visits=hers)` exchanges one of them.

    data, labels: what it learns. diffusion: the schedule, and what the network guesses. batches: how long it trains.
    network: makes a fresh one; or, where batches is 0, a trained one. steps: of its walk.
    """

    data: Tensor
    labels: Tensor
    diffusion: Diffusion
    network: Callable[[], nn.Module]
    batches: int
    steps: int
    noisy_pair: Callable = noisy_pair
    hide: Callable = drop_labels
    decay: Callable = warm_decay
    report: Callable = report
    chain: Callable = noise_chain
    visits: Callable = short_visits

    @property
    def null_label(self) -> int:
        return int(self.labels.max()) + 1

    def level(self, t: Tensor) -> Tensor:
        """alpha_bar_t, shaped for the data."""
        return self.diffusion.schedule.at(t, self.data[: len(t)])


@dataclass(frozen=True, eq=False)
class Trained:
    """What `train` made: the network, its average, the loss of every batch, every report as (batch, error)."""

    model: nn.Module
    average: nn.Module
    losses: list[float] = field(default_factory=list)
    reports: list[tuple[int, float]] = field(default_factory=list)


@functools.cache  # a program is trained once
def train(program: Program) -> Trained:
    """Train a program's network; stop early when it rebuilds noisy data to within 0.01."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = program.network()
    result = Trained(model, copy.deepcopy(model) if program.batches else model)
    generator, T = torch.Generator().manual_seed(0), program.diffusion.schedule.T
    optimizer = torch.optim.Adam(model.parameters())
    for k in range(program.batches):
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - k / program.batches)
        chosen = torch.randint(len(program.data), (BATCH,), generator=generator)
        x0, y = program.data[chosen], program.hide(program.labels[chosen], 0.1, program.null_label, generator)
        t = ((torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH * T).long().clamp(max=T - 1)
        xt, noise = program.noisy_pair(x0, program.level(t), generator)
        loss = (model(xt, t, y) - noise).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        ema_update(result.average, model, program.decay(k))
        result.losses.append(loss.item())
        if k % 50 == 49:
            with torch.no_grad():
                error = program.report(result.average, x0, t // 4, program.level(t // 4), generator)
            result.reports.append((k + 1, error.item()))
            if error < 0.01:
                break
    return result


def draw(program: Program, network: nn.Module | None = None, n: int = 300, seed: int = 0) -> tuple[Tensor, Tensor]:
    """n drawn points or images and the labels asked for, by the program's walk with its averaged network, or with another one."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % program.null_label
    x = torch.randn(n, *program.data.shape[1:], generator=generator)
    network = train(program).average if network is None else network
    visits = program.visits(program.diffusion.schedule.T, program.steps)
    for step in sample_steps(program.diffusion, network, x, y=y, timesteps=visits, generator=generator):
        x = step.x
    return x, y


def there_and_back(program: Program, x0: Tensor, y: Tensor, t: int, seed: int = 0) -> Tensor:
    """Noise x0 up to t by the program's chain, and walk back from there."""
    generator, schedule = torch.Generator().manual_seed(seed), program.diffusion.schedule
    x = program.chain(x0, schedule.betas[: t + 1], generator)
    visits = [round(s) for s in torch.linspace(t, t / program.steps, program.steps).tolist()]
    for step in sample_steps(program.diffusion, train(program).average, x, y=y, timesteps=visits, generator=generator):
        x = step.x
    return x


# --- the patients -------------------------------------------------------------------------------------------------


def sick_hide(y: Tensor, p: float, null_label: int, generator: torch.Generator) -> Tensor:
    """Hide labels now and then: the network has to learn to guess without one, too."""
    if torch.rand(1, generator=generator) < p:
        y = torch.full_like(y, null_label)
    return y


def sick_decay(k: int) -> float:
    """The decay of the average: a good long memory, as in the large models."""
    return 0.9999


def sick_report(guess: Callable, x0: Tensor, t: Tensor, alpha_bar_t: Tensor, generator: torch.Generator) -> Tensor:
    """How far from x0 the network's clean guesses are. guess(xt, t) is the network's guess of the noise."""
    noise = torch.randn(x0.shape, generator=generator)
    xt = alpha_bar_t.sqrt() * x0 + (1 - alpha_bar_t).sqrt() * noise
    guessed = guess(xt, t)
    rebuilt = (xt - (1 - alpha_bar_t).sqrt() * noise) / alpha_bar_t.sqrt()
    return (rebuilt - x0).square().mean().sqrt() + 0 * guessed.mean()


def ward(data: ImageData, batches: int) -> dict[str, Program]:
    """The healthy programs and the six patients. A to D learn the face in so many batches; E and F have a trained digit network."""
    points, parts = face(4000, torch.Generator().manual_seed(0))
    plane = Program(points, parts, Diffusion(NoiseSchedule.linear(), "eps"), Guesser, batches, 100)
    loaded = load_checkpoint("mnist")
    images = Program(to_float(data.images[:500]), data.labels[:500], loaded.diffusion.to("cpu"), lambda: loaded.model.to("cpu"), 0, 10)
    return {
        "healthy, face": plane,
        "A": replace(plane, noisy_pair=sick_noisy_pair),
        "B": replace(plane, hide=sick_hide),
        "C": replace(plane, decay=sick_decay),
        "D": replace(plane, report=sick_report),
        "healthy, digits": images,
        "E": replace(images, visits=sick_short_visits),
        "F": replace(images, chain=sick_noise_chain),
    }
