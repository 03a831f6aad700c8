"""The clinic of notebook 12: one small, whole diffusion program, six patients with one part of it ill, and the tests.

A patient is the healthy program with another function in one place. Every fault was published; the notebook names the sources.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import time
from collections.abc import Callable, Iterator, Mapping
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
from .checks import Verdict, judge
from .exercises import EXERCISES
from .exercises.e06_train_unconditional import ema_update
from .exercises.e12_clinic import noise_chain, noisy_pair, short_visits, sick_noise_chain, sick_noisy_pair, sick_short_visits

PARTS = ("outline", "eyes", "mouth")
BATCH = 800  # large, so that the loss of a batch says something about it


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
    assert guessed.shape == xt.shape
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


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """What is this small gains little from a second thread, and would wait for it at every step where a core is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@functools.cache  # a program is trained once
@_one_thread()
@torch.enable_grad()
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


@_one_thread()
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
    assert guessed.shape == xt.shape
    rebuilt = (xt - (1 - alpha_bar_t).sqrt() * noise) / alpha_bar_t.sqrt()
    return (rebuilt - x0).square().mean().sqrt()


def same_noise_chain(x0: Tensor, betas: Tensor, generator: torch.Generator) -> Tensor:
    """The last patient's chain, half repaired: a step has the right width, and all steps add one noise."""
    x, noise = x0, torch.randn(x0.shape, generator=generator)
    for beta in betas:
        x = (1 - beta).sqrt() * x + beta.sqrt() * noise
    return x


def narrow_chain(x0: Tensor, betas: Tensor, generator: torch.Generator) -> Tensor:
    """The other half: every step has noise of its own, and is too narrow."""
    x = x0
    for beta in betas:
        x = (1 - beta).sqrt() * x + beta * torch.randn(x0.shape, generator=generator)
    return x


def ward(data: ImageData, batches: int) -> dict[str, Program]:
    """Two healthy programs, the six patients, and F with one or the other of its faults repaired.

    Those with the face have to learn it, in so many batches. Those with digits have a trained network.
    """
    points, parts = face(4000, torch.Generator().manual_seed(0))
    plane = Program(points, parts, Diffusion(NoiseSchedule.linear(), "eps"), Guesser, batches, 100)
    loaded = load_checkpoint("mnist")
    images = Program(to_float(data.images[:500]), data.labels[:500], loaded.diffusion.to("cpu"), lambda: loaded.model.to("cpu"), 0, 5)
    return {
        "healthy, face": plane,
        "A": replace(plane, noisy_pair=sick_noisy_pair),
        "B": replace(plane, hide=sick_hide),
        "C": replace(plane, decay=sick_decay),
        "D": replace(plane, report=sick_report),
        "healthy, digits": images,
        "E": replace(images, visits=sick_short_visits),
        "F": replace(images, chain=sick_noise_chain),
        "F, width repaired": replace(images, chain=same_noise_chain),
        "F, noise repaired": replace(images, chain=narrow_chain),
    }


# --- the tests ----------------------------------------------------------------------------------------------------


class Finding(NamedTuple):
    """What a test says: a number, whether it is ill, and both in words."""

    number: float
    ill: bool
    said: str


def first_visit(program: Program) -> Finding:
    """Where the walk starts from pure noise, how much of an image is left at that level?"""
    first = program.visits(program.diffusion.schedule.T, program.steps)[0]
    left = float(program.diffusion.schedule.alpha_bar[first].sqrt())
    return Finding(left, left > 0.05, f"the walk starts at t = {first}, where {left:.0%} of an image is left")


def hidden_labels(program: Program) -> Finding:
    """Of 200 batches of 50 labels, in how many are all labels hidden, or none?"""
    generator, y = torch.Generator().manual_seed(0), torch.zeros(50, dtype=torch.int64)
    hidden = torch.stack([program.hide(y, 0.1, 3, generator) == 3 for _ in range(200)]).float().mean(1)
    same = float(((hidden == 0) | (hidden == 1)).float().mean())
    return Finding(same, same > 0.2, f"{hidden.mean():.0%} are hidden; {same:.0%} of the batches are all hidden or all told")


def noise_moments(program: Program) -> Finding:
    """Has the noise that the network is to guess mean 0 and spread 1?"""
    x0 = program.data[:2000]
    noise = program.noisy_pair(x0, program.level(torch.full((len(x0),), 500)), torch.Generator().manual_seed(0))[1]
    mean, spread = round(float(noise.mean()), 2) + 0.0, round(float(noise.std()), 2)  # + 0.0: no minus before a zero
    off = max(abs(mean), abs(spread - 1))
    return Finding(off, off > 0.2, f"the noise has mean {mean:.2f} and spread {spread:.2f}; 0 and 1 are right")


def one_step(program: Program) -> Finding:
    """From a field of zeros, one step with beta = 0.04: is the spread its root, 0.2?"""
    spread = float(program.chain(torch.zeros(9000, 2), torch.tensor([0.04]), torch.Generator().manual_seed(0)).std())
    return Finding(spread, abs(spread - 0.2) > 0.04, f"a step with beta 0.04 makes a spread of {spread:.2f}; 0.20 is right")


def two_steps(program: Program) -> Finding:
    """Does the second step bring noise of its own? Take the first one out of it, and compare the two."""
    zeros, beta = torch.zeros(9000, 2), torch.tensor([0.04])
    first = program.chain(zeros, beta, torch.Generator().manual_seed(0))
    both = program.chain(zeros, beta.repeat(2), torch.Generator().manual_seed(0))
    second = both - (1 - beta).sqrt() * first
    alike = abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]))
    return Finding(alike, alike > 0.2, f"the noises of two steps are {alike:.0%} alike; 0% is right")


def blind_report(program: Program) -> Finding:
    """Give the report a network that always answers 0. A report that stays good has not asked it."""
    x0, t = program.data[:400], torch.full((400,), 300)
    error = float(program.report(lambda xt, t: torch.zeros_like(xt), x0, t, program.level(t), torch.Generator().manual_seed(0)))
    return Finding(error, error < 0.1, f"with a network that says nothing, the reported error is {error:.2f}")


def all_levels(program: Program) -> Finding:
    """Zeros, noised by the chain to three levels: is the spread that of the jump at each?"""
    schedule, ratios = program.diffusion.schedule, []
    for amplitude in (0.9, 0.6, 0.3):
        t = int((schedule.alpha_bar.sqrt() - amplitude).abs().argmin())
        x = program.chain(torch.zeros(3000, 2), schedule.betas[: t + 1], torch.Generator().manual_seed(0))
        ratios.append(float(x.std() / (1 - schedule.alpha_bar[t]).sqrt()))
    off = max(abs(ratio - 1) for ratio in ratios)
    return Finding(off, off > 0.15, "spread against the jump's, early to late: " + ", ".join(f"{ratio:.2f}" for ratio in ratios))


@_one_thread()
@torch.no_grad()
def other_weights(program: Program) -> Finding:
    """Is the average, which draws, as good a guesser as the network that was trained?"""
    made, x0, T = train(program), program.data[: 400 if program.batches else 50], program.diffusion.schedule.T
    t = torch.arange(len(x0)) * T // len(x0)
    xt, _ = noisy_pair(x0, program.level(t), torch.Generator().manual_seed(0))
    losses = [float((program.diffusion.denoise(network, xt, t, program.labels[: len(x0)])[0] - x0).square().mean())
              for network in (made.average, made.model)]
    ratio = losses[0] / losses[1]
    return Finding(ratio, ratio > 1.5, f"the average's error is {ratio:.2f} times that of the network itself")


@torch.no_grad()
def looks(program: Program) -> Finding:
    """What you see: the share of drawn data that are farther from real ones of their label than 19 in 20 other real ones are."""
    half = len(program.data) // 2

    def far(data: Tensor, y: Tensor) -> Tensor:
        apart = torch.cdist(data.flatten(1), program.data[:half].flatten(1))
        return apart.masked_fill(y[:, None] != program.labels[:half], torch.inf).min(1).values

    usual = far(program.data[half:], program.labels[half:]).quantile(0.95)
    odd = float((far(*draw(program, n=300 if program.batches else 100)) > usual).float().mean())
    return Finding(odd, odd > 0.25, f"{odd:.0%} of what is drawn lies unusually far from real data, where 5% is usual")


TESTS = {test.__name__: test for test in (noise_moments, hidden_labels, first_visit, one_step, two_steps, blind_report, all_levels,
                                          other_weights, looks)}


def consult(name: str, fn: Callable) -> Verdict:
    """What an earlier notebook's check says of fn. Your record stays as it is: this is somebody else's function."""
    return judge(EXERCISES[name], fn)


def examine(programs: Mapping[str, Program]) -> dict[str, dict[str, tuple[Finding, float]]]:
    """Every test on every program: {program: {test: (finding, seconds)}}. The trainings are not in the seconds."""
    found: dict[str, dict[str, tuple[Finding, float]]] = {}
    for name, program in programs.items():
        train(program)
        found[name] = {}
        for label, test in TESTS.items():
            started = time.perf_counter()
            found[name][label] = test(program), time.perf_counter() - started
    return found
