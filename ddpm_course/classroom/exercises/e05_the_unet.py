"""Exercises of notebook 05: the residual block that is told the time, the embedding of the time, and a test for the batch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import Case, Exercise, randn


def residual_block(block, x, emb):
    """The forward pass of a residual block, as in the formula.

    block has the layers norm1, conv1, condition, norm2, conv2 and shortcut; silu is torch.nn.functional.silu.
    x: (B, C, H, W). emb: (B, E). condition(emb): (B, D), a number for each map that conv1 returns.
    Returns (B, D, H, W).
    """
    silu = torch.nn.functional.silu
    h = block.conv1(silu(block.norm1(x))) + block.condition(emb)[:, :, None, None]
    return block.shortcut(x) + block.conv2(silu(block.norm2(h)))


class _Layers(nn.Module):
    """The layers of a block; no weight is zero."""

    def __init__(self, seed: int, inputs: int, outputs: int, embedding: int):
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # the layers draw weights; they get others below
            self.norm1 = nn.GroupNorm(2, inputs, eps=0.1)  # large, so that even the size of x shows behind it
            self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
            self.condition = nn.Linear(embedding, outputs)
            self.norm2 = nn.GroupNorm(2, outputs, eps=0.1)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
            self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        with torch.no_grad():
            for k, parameter in enumerate(self.parameters()):
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
                parameter.copy_(randn(100 * seed + k, *parameter.shape) / fan_in**0.5 + (parameter.ndim == 1) / 2)

    def forward(self, *_):
        raise TypeError("block cannot be called itself: call its layers.")


def _block_cases(seed: int) -> list[Case]:
    def case(label: str, inputs: int, outputs: int, *size: int) -> Case:
        x = randn(seed + 10, size[0], inputs, *size[1:]) + 0.5
        return Case(label, (_Layers(seed + 1 + len(label), inputs, outputs, 5), x, randn(seed + 11, size[0], 5)))

    return [
        case("a block that keeps its width", 4, 4, 3, 5, 6),
        case("a block that widens", 4, 6, 2, 5, 3),
        case("as many images as channels, rows and columns", 4, 4, 4, 4, 4),
        case("a single image", 6, 4, 1, 4, 5),
    ]


def _shaped(values: Tensor) -> Tensor:
    return values[:, :, None, None]


def _first(block, x):
    return block.conv1(F.silu(block.norm1(x)))


def _tell(block, h, emb):
    return h + _shaped(block.condition(emb))


def _second(block, h):
    return block.conv2(F.silu(block.norm2(h)))


def _join(block, x, h):
    return block.shortcut(x) + h


def _flow(first=_first, tell=_tell, second=_second, join=_join):
    """A block with some of its four parts replaced."""
    return lambda block, x, emb: join(block, x, second(block, tell(block, first(block, x), emb)))


def _added(reshape):
    """The time added in another shape."""
    return _flow(tell=lambda block, h, emb: h + reshape(block.condition(emb)))


def _activated(activation):
    return _flow(lambda block, x: block.conv1(activation(block.norm1(x))), second=lambda block, h: block.conv2(activation(block.norm2(h))))


def _told_late(where):
    """The time is left out between the halves; where(block, h, c) is the second half with c, the time, in it."""
    return lambda block, x, emb: block.shortcut(x) + where(block, _first(block, x), _shaped(block.condition(emb)))


def _told_early(where):
    return lambda block, x, emb: block.shortcut(x) + _second(block, where(block, x, _shaped(block.condition(emb))))


def _gradient_flows(fn) -> str | None:
    case = _block_cases(0)[1]
    block, x, emb = case.args
    out = fn(block, x.requires_grad_(), emb.requires_grad_())
    if out.requires_grad:
        out.square().sum().backward()
    silent = [name for name, parameter in block.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    silent += [name for name, value in (("x", x), ("emb", emb)) if value.grad is None]
    if not silent:
        return None
    return f"No gradient reaches `{silent[0]}`, so it could never learn: look for detach, data or no_grad."


RESIDUAL_BLOCK = Exercise(
    residual_block,
    hints=(
        "One line for each convolution with what stands before it, and the time between the two. Keep x for the end.",
        "The numbers of the time have two dimensions, the maps four: give them the shape (B, D, 1, 1).",
    ),
    cases=_block_cases,
    mistakes={
        "The time is ignored: `emb` should have an effect on the result.": (
            _flow(tell=lambda block, h, emb: h),
            _added(lambda c: c.mean()),  # the same number for all channels: norm2 takes it out again
        ),
        "The time comes too late, after `norm2`: it belongs between conv1 and norm2.": (
            _told_late(lambda block, h, c: block.conv2(F.silu(block.norm2(h) + c))),
            _told_late(lambda block, h, c: block.conv2(F.silu(c + block.norm2(h)) + 0)),
        ),
        "The time comes too late, after the second activation: it belongs between conv1 and norm2.":
            _told_late(lambda block, h, c: block.conv2(F.silu(block.norm2(h)) + c)),
        "The time comes too late, at the very end: it belongs between conv1 and norm2.":
            _told_late(lambda block, h, c: _second(block, h) + c),
        "The time comes too early, before conv1: it belongs to what conv1 returns.": (
            _told_early(lambda block, x, c: block.conv1(F.silu(block.norm1(x)) + c)),
            _told_early(lambda block, x, c: block.conv1(F.silu(block.norm1(x) + c))),
            _told_early(lambda block, x, c: block.conv1(F.silu(block.norm1(x + c)))),
        ),
        "The time multiplies: here it is added.": (
            _flow(tell=lambda block, h, emb: h * _shaped(block.condition(emb))),
            _flow(tell=lambda block, h, emb: h * (1 + _shaped(block.condition(emb)))),
        ),
        "The time is subtracted: here it is added.":
            _flow(tell=lambda block, h, emb: h - _shaped(block.condition(emb))),
        "`emb` gets an activation of its own: it has had one, and goes to `condition` as it comes.": (
            _flow(tell=lambda block, h, emb: _tell(block, h, F.silu(emb))),
            _flow(tell=lambda block, h, emb: h + F.silu(_shaped(block.condition(emb)))),
        ),
        "Every image is told the time of the first one: each has its own.":
            _added(lambda c: c[:1, :, None, None]),
        "The numbers of the time meet rows and columns: (B, D) and (B, D, H, W) are lined up from the right.":
            _added(lambda c: c),
        "The numbers of the time meet channels and rows: count the dimensions they need.":
            (_added(lambda c: c[:, :, None]), _added(lambda c: c[:, None])),
        "The numbers of the time run along the width: there is one for each channel, the same for all pixels.":
            _added(lambda c: c[:, None, None, :]),
        "The numbers of the time run along the height: there is one for each channel, the same for all pixels.":
            _added(lambda c: c[:, None, :, None]),
        "Images and channels are swapped where the time is added: the first dimension is the image.":
            _added(lambda c: c.T[:, :, None, None]),
        "The shortcut is missing: this is a block, but not a residual one.":
            _flow(join=lambda block, x, h: h),
        "x itself is added: where the block changes the number of channels, the shortcut must bring x to its shape.":
            _flow(join=lambda block, x, h: x + h),
        "The sum is scaled: x should come out as it came in, plus the branch.": (
            _flow(join=lambda block, x, h: _join(block, x, h) / 2**0.5),
            _flow(join=lambda block, x, h: _join(block, x, h) / 2),
            _flow(join=lambda block, x, h: (block.shortcut(x) + h / 2**0.5)),
        ),
        "x is added twice: the shortcut brings all of it.": (
            _flow(join=lambda block, x, h: x + _join(block, x, h)),
            _flow(join=lambda block, x, h: block.shortcut(x) + _join(block, x, h)),
        ),
        "The branch is subtracted from the shortcut: here it is added.":
            _flow(join=lambda block, x, h: block.shortcut(x) - h),
        "The shortcut is subtracted from the branch: here it is added.":
            _flow(join=lambda block, x, h: h - block.shortcut(x)),
        "Shortcut and branch are multiplied: here they are added.":
            _flow(join=lambda block, x, h: block.shortcut(x) * h),
        "The shortcut takes x after a norm or an activation: keep the x that came in.": (
            _flow(join=lambda block, x, h: _join(block, F.silu(block.norm1(x)), h)),
            _flow(join=lambda block, x, h: _join(block, block.norm1(x), h)),
            _flow(join=lambda block, x, h: _join(block, F.silu(x), h)),
            _flow(join=lambda block, x, h: F.silu(block.norm1(x)) + h),
            _flow(join=lambda block, x, h: block.norm1(x) + h),
        ),
        "The shortcut is taken of the branch, not of x.": (
            _flow(join=lambda block, x, h: block.shortcut(h)),
            _flow(join=lambda block, x, h: block.shortcut(h) + h),
        ),
        "Only the shortcut is returned: what the convolutions made is lost.":
            _flow(join=lambda block, x, h: block.shortcut(x)),
        "The sum gets an activation: what comes out of a residual block is x plus something, as it is.": (
            _flow(join=lambda block, x, h: F.silu(_join(block, x, h))),
            _flow(join=lambda block, x, h: F.relu(_join(block, x, h))),
            _flow(join=lambda block, x, h: block.shortcut(x) + F.silu(h)),
        ),
        "The activation before conv1 is missing.":
            _flow(lambda block, x: block.conv1(block.norm1(x))),
        "The activation before conv2 is missing.":
            _flow(second=lambda block, h: block.conv2(block.norm2(h))),
        "Both activations are missing: without them, two convolutions are one.":
            _activated(lambda h: h),
        "This is another activation than silu.": (
            _activated(F.relu), _activated(F.gelu), _activated(torch.tanh), _activated(torch.sigmoid), _activated(F.leaky_relu),
        ),
        "Activation and norm are in the other order: the norm comes first.": (
            _flow(lambda block, x: block.conv1(block.norm1(F.silu(x))), second=lambda block, h: block.conv2(block.norm2(F.silu(h)))),
            _flow(lambda block, x: block.conv1(block.norm1(F.silu(x)))),
            _flow(second=lambda block, h: block.conv2(block.norm2(F.silu(h)))),
        ),
        "A norm comes after its convolution: here norm and activation stand before it.": (
            _flow(lambda block, x: F.silu(block.norm1(block.conv1(x))), second=lambda block, h: F.silu(block.norm2(block.conv2(h)))),
            _flow(lambda block, x: block.norm1(block.conv1(x)), second=lambda block, h: block.norm2(block.conv2(F.silu(h)))),
            _flow(second=lambda block, h: F.silu(block.norm2(block.conv2(h)))),
            _flow(lambda block, x: F.silu(block.norm1(block.conv1(x)))),
        ),
        "`norm1` is missing.":
            _flow(lambda block, x: block.conv1(F.silu(x))),
        "`norm2` is missing.":
            _flow(second=lambda block, h: block.conv2(F.silu(h))),
        "Both norms are missing.":
            _flow(lambda block, x: block.conv1(F.silu(x)), second=lambda block, h: block.conv2(F.silu(h))),
        "Norms without learned weights are used: norm1 and norm2 have a scale and a shift for each channel.":
            _flow(lambda block, x: block.conv1(F.silu(F.group_norm(x, 2))),
                  second=lambda block, h: block.conv2(F.silu(F.group_norm(h, 2)))),
        "The two norms are swapped, or one is used twice.": (
            _flow(lambda block, x: block.conv1(F.silu(block.norm2(x))), second=lambda block, h: block.conv2(F.silu(block.norm1(h)))),
            _flow(second=lambda block, h: block.conv2(F.silu(block.norm1(h)))),
            _flow(lambda block, x: block.conv1(F.silu(block.norm2(x)))),
        ),
        "The two convolutions are swapped, or one is used twice.": (
            _flow(lambda block, x: block.conv2(F.silu(block.norm1(x))), second=lambda block, h: block.conv1(F.silu(block.norm2(h)))),
            _flow(second=lambda block, h: block.conv1(F.silu(block.norm2(h)))),
            _flow(lambda block, x: block.conv2(F.silu(block.norm1(x)))),
        ),
        "conv2 is missing: the branch ends before it.": (
            _flow(second=lambda block, h: h),
            _flow(second=lambda block, h: F.silu(block.norm2(h))),
            _flow(second=lambda block, h: block.norm2(h)),
        ),
        "The first half is missing: conv1 is never called.":
            _flow(lambda block, x: x),
    },
    probes=(_gradient_flows,),
)


def time_embedding(t, dim):
    """Timesteps as vectors: sines and cosines of t at dim / 2 frequencies.

    t: int64 (B,). dim: even, 4 or more. Frequencies fall by equal factors from 1 to 1/10,000, both included.
    Returns (B, dim): first the sines of t times each frequency, in radians; then the cosines.
    """
    half = dim // 2
    frequencies = 10_000 ** (-torch.arange(half) / (half - 1))
    angles = t[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _time_cases(seed: int) -> list[Case]:
    def times(n: int) -> Tensor:
        return torch.randint(1, 1000, (n,), generator=torch.Generator().manual_seed(seed + n))

    return [
        Case("five times", (times(5), 8)),
        Case("as many times as frequencies", (times(6), 12)),
        Case("the first and the last timestep", (torch.tensor([0, 999, 1]), 32)),
        Case("a single time and the smallest width", (times(1), 4)),
    ]


def _steps(half):
    return torch.arange(half) / (half - 1)


def _alternating(a):
    return torch.stack([a.sin(), a.cos()], 2).flatten(1)


def _waves(frequencies=lambda half: 10_000 ** -_steps(half), angles=lambda t, w: t[:, None] * w,
           join=lambda a: torch.cat([a.sin(), a.cos()], 1)):
    """An embedding with some of its three parts replaced."""
    return lambda t, dim: join(angles(t, frequencies(dim // 2)))


TIME_EMBEDDING = Exercise(
    time_embedding,
    hints=(
        "Equal factors: each frequency is a power of 10,000, and the exponents run in equal steps from 0 to -1.",
        "Every time meets every frequency: a column times a row gives a table of angles. Then put two tables side by side.",
    ),
    cases=_time_cases,
    mistakes={
        "The last frequency is not 1/10,000: the exponents stop one step short of -1.": (
            _waves(lambda half: 10_000 ** (-torch.arange(half) / half)),
            _waves(lambda half: 10_000 ** (-torch.arange(half) / (half + 1))),
        ),
        "The first frequency is not 1: counting starts at 0.": (
            _waves(lambda half: 10_000 ** (-(torch.arange(half) + 1) / half)),
            _waves(lambda half: 10_000 ** (-(torch.arange(half) + 1) / (half - 1))),
            _waves(lambda half: 10_000 ** (-(torch.arange(half) + 1) / (half + 1))),
            _waves(lambda half: torch.logspace(1, -4, half)),
        ),
        "The frequencies fall too slowly: the last exponent is about -1/2.": (
            _waves(lambda half: 10_000 ** (-torch.arange(half) / (2 * half))),
            _waves(lambda half: 10_000 ** (-torch.arange(half) / (2 * half - 1))),
            _waves(lambda half: 10_000 ** (-_steps(half) / 2)),
        ),
        "The frequencies fall too fast: the last exponent is about -2.": (
            _waves(lambda half: 10_000 ** (-2 * _steps(half))),
            _waves(lambda half: 10_000 ** (-2 * torch.arange(half) / half)),
        ),
        "The base is missing: the frequencies fall to 1/e alone.":
            _waves(lambda half: torch.exp(-_steps(half))),
        "The base is another one: the lowest frequency is 1/10,000.": (
            _waves(lambda half: 1_000 ** -_steps(half)),
            _waves(lambda half: 100_000 ** -_steps(half)),
            _waves(lambda half: 1_000_000 ** -_steps(half)),
        ),
        "The logarithm is one to base 10: exp needs the natural one.":
            _waves(lambda half: torch.exp(-math.log10(10_000) * _steps(half))),
        "The frequencies grow up to 10,000: a sign in the exponent is turned.":
            (_waves(lambda half: 10_000 ** _steps(half)), _waves(lambda half: torch.exp(math.log(10_000) * _steps(half)))),
        "The frequencies fall by equal steps: they should fall by equal factors.":
            (_waves(lambda half: torch.linspace(1, 1e-4, half)), _waves(lambda half: 1 / torch.linspace(1, 1e4, half))),
        "The exponents are whole numbers: an integer division throws away what is behind the point.":
            _waves(lambda half: 10_000.0 ** -(torch.arange(half) // (half - 1))),
        "The frequencies come from the lowest to the highest: the first one is 1.":
            _waves(lambda half: 10_000 ** -_steps(half).flip(0)),
        "There is one frequency only: many are needed to tell near times and far times apart.":
            _waves(lambda half: torch.ones(half)),
        "The frequencies are rounded to 16 bits: times 999, a rounded frequency is another time.": (
            _waves(lambda half: (10_000 ** -_steps(half)).bfloat16().float()),
            _waves(lambda half: (10_000 ** -_steps(half)).half().float()),
        ),
        "Sines and cosines alternate: the numbers are right, their order is not.":
            _waves(join=_alternating),
        "Sines and cosines alternate, and the exponents stop one step short of -1: both are otherwise here.": (
            _waves(lambda half: 10_000 ** (-torch.arange(half) / half), join=_alternating),
            _waves(lambda half: torch.exp(torch.arange(half) * (-math.log(10_000) / half)), join=_alternating),
        ),
        "The cosines come first: the numbers are right, their order is not.":
            _waves(join=lambda a: torch.cat([a.cos(), a.sin()], 1)),
        "Both halves are sines.":
            _waves(join=lambda a: torch.cat([a.sin(), a.sin()], 1)),
        "Both halves are cosines.":
            _waves(join=lambda a: torch.cat([a.cos(), a.cos()], 1)),
        "These are the angles themselves: their sines and cosines are missing.":
            _waves(join=lambda a: torch.cat([a, a], 1)),
        "The sines are upside down: a sign is turned.": (
            _waves(join=lambda a: torch.cat([-a.sin(), a.cos()], 1)),
            _waves(angles=lambda t, w: -t[:, None] * w),
        ),
        "The cosines are upside down: a sign is turned.":
            _waves(join=lambda a: torch.cat([a.sin(), -a.cos()], 1)),
        "The angles are taken for degrees: torch counts in radians.":
            _waves(angles=lambda t, w: torch.deg2rad(t[:, None] * w)),
        "The angles are turned into degrees: torch counts in radians.":
            _waves(angles=lambda t, w: torch.rad2deg(t[:, None] * w)),
        "There is a factor of 2 pi too much: frequency 1 means one radian a step.":
            _waves(angles=lambda t, w: 2 * torch.pi * t[:, None] * w),
        "The angles are whole numbers: an integer division throws away what is behind the point.": (
            _waves(angles=lambda t, w: t[:, None] // (1 / w)),
            _waves(angles=lambda t, w: (t[:, None] * w).long().float()),
            _waves(angles=lambda t, w: (t[:, None] * w).round()),
        ),
        "t is divided by the number of steps: these frequencies are made for t from 0 to 999.": (
            _waves(angles=lambda t, w: t[:, None] / 1000 * w),
            _waves(angles=lambda t, w: t[:, None] / 999 * w),
        ),
        "t is counted from 1: it comes as it is, from 0.":
            _waves(angles=lambda t, w: (t[:, None] + 1) * w),
        "Times and frequencies are added: an angle is a product.":
            _waves(angles=lambda t, w: t[:, None] + w),
        "Times are divided by frequencies: an angle is a product.":
            _waves(angles=lambda t, w: t[:, None] / w),
        "Every image gets the first time: each has its own.":
            _waves(angles=lambda t, w: t[:1, None].expand(len(t), 1) * w),
        "Times and frequencies are lined up one to one: every time must meet every frequency.":
            _waves(angles=lambda t, w: t * w, join=lambda a: torch.cat([a.sin(), a.cos()])),
    },
    atol=1e-3,
)


def depends_on_batch(model, xt, t):
    """Whether a model's answer for an image changes with the batch's other images, or with their timesteps.

    model(xt, t) has the shape of xt: (B, C, H, W), B > 1. t: int64 (B,).
    Returns True or False. Differences below 0.00001 are rounding, and count as none.
    """
    together = model(xt, t)
    alone = torch.cat([model(xt[i : i + 1], t[i : i + 1]) for i in range(len(xt))])
    return not torch.allclose(together, alone, atol=1e-5)


def _each_alone(xt, t):
    return xt.tanh() * (1 + t.reshape(-1, 1, 1, 1) / 500) + xt.mean((1, 2, 3), keepdim=True)


def _over_the_batch(xt, t, training=True):
    if not training:
        return xt / 2
    mean, spread = xt.mean((0, 2, 3), keepdim=True), xt.std((0, 2, 3), keepdim=True, unbiased=False)
    return (xt - mean) / (spread + 0.1)


def _a_little(xt, t):
    return xt + 1e-3 * (xt.mean(0, keepdim=True) - xt)


def _rounds(xt, t):
    return xt + 1e-7 * len(xt)


def _those_before(xt, t):
    return xt.cumsum(0)


def _those_after(xt, t):
    return xt.flip(0).cumsum(0).flip(0)


def _in_pairs(xt, t):
    whole = len(xt) // 2 * 2
    pairs = xt[:whole].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    return xt + 0.5 * torch.cat([pairs, torch.zeros_like(xt[whole:])])


def _details_of_the_one_before(xt, t):
    """The mean of each image stays."""
    other = xt.roll(1, 0)
    return xt + 0.5 * (other - other.mean((1, 2, 3), keepdim=True))


def _from_the_third_on(xt, t):
    return torch.cat([xt[:2], xt[2:] + 0.5 * xt[1:-1]])


def _their_times(xt, t):
    return xt * (1 + t.float().mean() / 500)


def _light_of_the_others(xt):
    own = xt.abs().mean((1, 2, 3), keepdim=True)
    return own.sum() - own


def _darkens(xt, t):
    return xt - 0.1 * _light_of_the_others(xt)


def _brightens(xt, t):
    return xt + 0.1 * _light_of_the_others(xt)


def _answers_zero(xt, t):
    return torch.zeros_like(xt)


class _Model(nn.Module):
    def __init__(self, fn: Callable[..., Tensor]):
        super().__init__()
        self.fn = fn

    def forward(self, xt, t):
        return self.fn(xt, t, self.training) if self.fn is _over_the_batch else self.fn(xt, t)


def _batch_cases(seed: int) -> list[Case]:
    def case(label: str, fn: Callable[..., Tensor]) -> Case:
        t = torch.randint(1000, (4,), generator=torch.Generator().manual_seed(seed + len(label)))
        return Case(label, (_Model(fn), randn(seed + len(label), 4, 1, 3, 5) + 0.5, t.sort().values))

    return [
        case("a model that looks at each image alone", _each_alone),
        case("a model that normalises over the batch", _over_the_batch),
        case("a model that mixes in a little of the others", _a_little),
        case("a model whose rounding changes with the batch", _rounds),
        case("a model that mixes in the images before", _those_before),
        case("a model that mixes in the images after", _those_after),
        case("a model that mixes images in pairs", _in_pairs),
        case("a model that mixes in details of another image, and keeps each mean", _details_of_the_one_before),
        case("a model that leaves the first two images alone", _from_the_third_on),
        case("a model that uses the timesteps of the others", _their_times),
        case("a model that gets darker in company", _darkens),
        case("a model that gets brighter in company", _brightens),
        case("a fresh model, which answers 0", _answers_zero),
    ]


def _close(a, b, atol=1e-5):
    return torch.allclose(a, b, atol=atol)


def _alone(model, xt, t):
    return torch.cat([model(x[None], when[None]) for x, when in zip(xt, t, strict=True)])


def _beside_zeros(model, xt, t):
    """Each image again, with black images in place of its company, at the same times."""
    rows = []
    for i in range(len(xt)):
        others = torch.zeros_like(xt)
        others[i] = xt[i]
        rows.append(model(others, t)[i])
    return torch.stack(rows)


DEPENDS_ON_BATCH = Exercise(
    depends_on_batch,
    hints=(
        "An experiment: show the model the same image in two companies, and compare. The smallest company is none.",
        "Call the model on one image at a time, a slice of length 1, with its own t. "
        "Put the answers together; compare them all, with a tolerance.",
    ),
    cases=_batch_cases,
    mistakes={
        "The answer is turned round: True means that the company matters.":
            lambda model, xt, t: _close(model(xt, t), _alone(model, xt, t)),
        "It says False of every model: compare two answers that may differ.": (
            lambda model, xt, t: False,
            lambda model, xt, t: not _close(model(xt, t), model(xt, t)),
        ),
        "It says True of every model: some do not look at the company.":
            lambda model, xt, t: True,
        "It asks for exact equality: rounding alone makes a difference.": (
            lambda model, xt, t: not torch.equal(model(xt, t), _alone(model, xt, t)),
            lambda model, xt, t: not _close(model(xt, t), _alone(model, xt, t), 1e-9),
        ),
        "The tolerance is too wide: a small dependence counts, too.": (
            lambda model, xt, t: not _close(model(xt, t), _alone(model, xt, t), 1e-2),
            lambda model, xt, t: not _close(model(xt, t), _alone(model, xt, t), 1e-1),
        ),
        "Only the first image is compared: another one may be the one that changes.": (
            lambda model, xt, t: not _close(model(xt, t)[:1], model(xt[:1], t[:1])),
            lambda model, xt, t: not _close(model(xt, t)[0], model(xt[:1], t[:1])[0]),
        ),
        "Only the last image is compared: another one may be the one that changes.":
            lambda model, xt, t: not _close(model(xt, t)[-1:], model(xt[-1:], t[-1:])),
        "Only the first two images are compared: another one may be the one that changes.":
            lambda model, xt, t: depends_on_batch(model, xt[:2], t[:2]),
        "The same company in another order is still the same company.":
            lambda model, xt, t: not _close(model(xt, t), model(xt.flip(0), t.flip(0)).flip(0)),
        "The same company twice is hardly another company: its mean and its spread stay.":
            lambda model, xt, t: not _close(model(xt, t), model(torch.cat([xt, xt]), torch.cat([t, t]))[: len(xt)]),
        "Half of the company stays: an image may depend on one that is still there.":
            lambda model, xt, t: not _close(model(xt, t)[: len(xt) // 2], model(xt[: len(xt) // 2], t[: len(xt) // 2])),
        "Means or sums are compared: differences of opposite sign cancel in them.": (
            lambda model, xt, t: bool((model(xt, t) - _alone(model, xt, t)).mean().abs() > 1e-5),
            lambda model, xt, t: bool((model(xt, t) - _alone(model, xt, t)).sum().abs() > 1e-4),
            lambda model, xt, t: not _close(model(xt, t).mean(), _alone(model, xt, t).mean()),
            lambda model, xt, t: not _close(model(xt, t).mean((1, 2, 3)), _alone(model, xt, t).mean((1, 2, 3))),
        ),
        "Only differences of one sign count: take their absolute values.": (
            lambda model, xt, t: bool((model(xt, t) - _alone(model, xt, t)).max() > 1e-5),
            lambda model, xt, t: bool((_alone(model, xt, t) - model(xt, t)).max() > 1e-5),
        ),
        "One image that changes is enough: ask for any of them, not for all.": (
            lambda model, xt, t: all(not _close(a, b) for a, b in zip(model(xt, t), _alone(model, xt, t), strict=True)),
            lambda model, xt, t: bool(((model(xt, t) - _alone(model, xt, t)).abs() > 1e-5).all()),
        ),
        "It switches the model to evaluation mode: the question is about the model as it comes.":
            lambda model, xt, t: depends_on_batch(model.eval(), xt, t),
        "Only the images of the company were changed: their timesteps belong to it, too.":
            lambda model, xt, t: not _close(model(xt, t), _beside_zeros(model, xt, t)),
        "Only the timesteps of the company were changed: its images belong to it, too.":
            lambda model, xt, t: not _close(model(xt, t), torch.cat([model(xt, t[i].expand(len(t)))[i : i + 1] for i in range(len(t))])),
        "Every image is given the first timestep: each keeps its own, alone and in company.": (
            lambda model, xt, t: not _close(model(xt, t), torch.cat([model(x[None], t[:1]) for x in xt])),
            lambda model, xt, t: not _close(model(xt, t), torch.cat([model(x[None], torch.zeros_like(t[:1])) for x in xt])),
        ),
        "The answer is compared with the image that went in: compare two answers of the model.":
            lambda model, xt, t: not _close(model(xt, t), xt),
        "It compares the images of one batch with each other: the same image is needed twice, in two companies.": (
            lambda model, xt, t: not _close(model(xt, t)[0], model(xt, t)[1]),
            lambda model, xt, t: not _close(model(xt, t), model(xt, t)[:1].expand_as(xt)),
        ),
    },
)

EXERCISES = (RESIDUAL_BLOCK, TIME_EMBEDDING, DEPENDS_ON_BATCH)
