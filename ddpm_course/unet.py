"""The denoising U-Net of Ho et al. (2020), unconditional or label-conditioned.

Down through the levels, a middle with attention, up again with skips; told the time, and where asked the label,
by one embedding that every residual block receives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class UNetConfig:
    """The shape of a `UNet`.

    in_channels, image_size: of the (square) images. channels: width of each level, finest first.
    blocks: residual blocks a level on the way down; one more on the way up.
    attention: the sides (after patching) of the feature maps that get attention; the middle always does.
    num_classes: None is unconditional. dropout: inside the residual blocks.
    patch: fold patch x patch pixels into channels first, so that the finest level is that much smaller.
    conditioning: the embedding is added to ("add", Ho) or scales and shifts ("scale-shift", Dhariwal & Nichol 2021).
    groups: of every GroupNorm. head_channels: width of an attention head. embedding: width of the embedding of time and
    label; None is four times the first level's, as Ho's.
    """

    in_channels: int = 1
    image_size: int = 28
    channels: tuple[int, ...] = (64, 128)
    blocks: int = 1
    attention: tuple[int, ...] = ()
    num_classes: int | None = None
    dropout: float = 0.0
    patch: int = 1
    conditioning: str = "add"
    groups: int = 32
    head_channels: int = 64
    embedding: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # a card, read from JSON, gives lists
        object.__setattr__(self, "attention", tuple(self.attention))
        if self.conditioning not in ("add", "scale-shift"):
            raise ValueError(f"conditioning must be 'add' or 'scale-shift', not {self.conditioning!r}.")
        if not self.channels:
            raise ValueError("A U-Net needs at least one level: channels=(64,) for instance.")
        numbers = (*self.channels, self.in_channels, self.image_size, self.blocks, self.patch, self.groups, self.head_channels)
        if min(numbers) < 1:
            raise ValueError("channels, in_channels, image_size, blocks, patch, groups and head_channels must be at least 1.")
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, or None for an unconditional model, not {self.num_classes}.")
        divisor = self.patch * 2 ** (len(self.channels) - 1)
        if self.image_size % divisor:
            lower = self.image_size // divisor * divisor
            raise ValueError(
                f"image_size {self.image_size} must be divisible by {divisor} "
                f"(patch {self.patch} times 2 for each of the {len(self.channels) - 1} halvings): "
                f"use {f'{lower} or ' if lower else ''}{lower + divisor} pixels, or fewer levels."
            )
        for width in self.channels:
            if width % self.groups:
                raise ValueError(f"A level of {width} channels does not divide into {self.groups} groups: change channels or groups.")


class UNet(nn.Module):
    """model(xt, t, y=None) -> the same shape as xt. What the output means (eps, v, x0) is known to `Diffusion` alone.

    xt: float (B, in_channels, image_size, image_size); t: int64 (B,); y: int64 (B,) in {0..num_classes},
    where num_classes is the null label; y=None on a conditional model means the null label for all.
    The output of a fresh network is 0: every residual branch ends in a zero-initialised layer.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        self.null_label = config.num_classes
        self.label_dropout: float | None = None  # set by training and loading: how often the null label was seen
        first, *_ = widths = config.channels
        embedding = config.embedding or 4 * first
        pixels = config.in_channels * config.patch**2

        def block(inputs: int, outputs: int, side: int) -> ResidualBlock:
            return ResidualBlock(inputs, outputs, embedding, config, attention=side in config.attention)

        self.sinusoids = SinusoidalTime(embedding // 4)
        self.embed_time = nn.Sequential(nn.Linear(embedding // 4, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.embed_label = nn.Embedding(config.num_classes + 1, embedding) if config.num_classes else None

        self.inlet = nn.Conv2d(pixels, first, 3, padding=1)
        side, width, skips = config.image_size // config.patch, first, [first]
        self.down = nn.ModuleList()
        for level, outputs in enumerate(widths):
            if level > 0:
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                side, skips = side // 2, [*skips, width]
            for _ in range(config.blocks):
                self.down.append(block(width, outputs, side))
                width, skips = outputs, [*skips, outputs]

        self.middle = nn.ModuleList(ResidualBlock(width, width, embedding, config, attention=first) for first in (True, False))

        self.up = nn.ModuleList()
        for level, outputs in reversed(list(enumerate(widths))):
            for _ in range(config.blocks + 1):
                self.up.append(block(width + skips.pop(), outputs, side))
                width = outputs
            if level > 0:
                self.up.append(Upsample(width))
                side *= 2
        assert not skips
        self.outlet = nn.Sequential(nn.GroupNorm(config.groups, width), nn.SiLU(), zero_(nn.Conv2d(width, pixels, 3, padding=1)))

    def forward(self, xt: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        self._check(xt, t, y)
        emb = F.silu(self.embed(t, y))

        h = self.inlet(F.pixel_unshuffle(xt, self.config.patch))
        skips = [h]
        for stage in self.down:
            h = stage(h, emb) if isinstance(stage, ResidualBlock) else stage(h)
            skips.append(h)
        for stage in self.middle:
            h = stage(h, emb)
        for stage in self.up:
            h = stage(torch.cat([h, skips.pop()], 1), emb) if isinstance(stage, ResidualBlock) else stage(h)
        assert not skips
        return F.pixel_shuffle(self.outlet(h), self.config.patch)

    def embed(self, t: Tensor, y: Tensor | None = None) -> Tensor:
        """(B, embedding): what is told to every block. The time's numbers, plus the label's row of a table."""
        emb = self.embed_time(self.sinusoids(t).to(self.inlet.weight.dtype))
        if self.embed_label is not None and self.null_label is not None:
            emb = emb + self.embed_label(torch.full_like(t, self.null_label) if y is None else y)
        return emb

    def inner_matrices(self) -> Iterator[nn.Parameter]:
        """The weights that map features to features: neither the first and last convolution nor the label table."""
        outer = {id(p) for part in (self.inlet, self.outlet, self.embed_label) if part is not None for p in part.parameters()}
        return (p for p in self.parameters() if p.ndim >= 2 and id(p) not in outer)

    def _check(self, xt: Tensor, t: Tensor, y: Tensor | None) -> None:
        expected = (self.config.in_channels, self.config.image_size, self.config.image_size)
        if xt.shape[1:] != expected:
            raise ValueError(f"This U-Net takes images of shape (B, {', '.join(map(str, expected))}), not {tuple(xt.shape)}.")
        if t.shape != xt.shape[:1]:
            raise ValueError(f"t must have shape ({len(xt)},), one timestep for each image, not {tuple(t.shape)}.")
        if y is None:
            return
        if self.null_label is None:
            raise ValueError("This U-Net is unconditional (num_classes=None): it takes no labels.")
        if y.shape != t.shape:
            raise ValueError(f"y must have shape ({len(xt)},), one label for each image, not {tuple(y.shape)}.")
        if y.device.type == "cpu" and len(y) and (int(y.min()) < 0 or int(y.max()) > self.null_label):
            raise ValueError(
                f"Labels must lie in 0..{self.null_label - 1} (or {self.null_label}, the null label); "
                f"these run from {int(y.min())} to {int(y.max())}."
            )


class SinusoidalTime(nn.Module):
    """t (B,) -> (B, width): sines and cosines of t at wavelengths from 2 pi to 10,000 * 2 pi (Vaswani et al. 2017)."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, t: Tensor) -> Tensor:
        # Made here in float32, no buffer: a frequency rounded to bfloat16 with its model, times 999, is another time.
        half = self.width // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device) / max(half - 1, 1))
        angle = t[:, None].float() * frequencies
        return F.pad(torch.cat([angle.sin(), angle.cos()], 1), (0, self.width % 2))


class ResidualBlock(nn.Module):
    """x + conv(norm(conv(norm(x)) with the embedding)): two 3x3 convolutions, the second zero at the start; attention on request."""

    def __init__(self, inputs: int, outputs: int, embedding: int, config: UNetConfig, attention: bool = False):
        super().__init__()
        self.scale_shift = config.conditioning == "scale-shift"
        self.norm1 = nn.GroupNorm(config.groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.condition = nn.Linear(embedding, outputs * (2 if self.scale_shift else 1))
        self.norm2 = nn.GroupNorm(config.groups, outputs)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = zero_(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = Attention(outputs, config) if attention else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        condition = self.condition(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = condition.chunk(2, 1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + condition)
        return self.attention(self.shortcut(x) + self.conv2(self.dropout(F.silu(h))))


class Attention(nn.Module):
    """x + projection(attention(norm(x))): every position looks at every other, through scaled_dot_product_attention."""

    def __init__(self, width: int, config: UNetConfig):
        super().__init__()
        self.heads = max(1, width // config.head_channels)
        if width % self.heads:
            raise ValueError(f"{width} channels do not divide into heads of {config.head_channels}: change head_channels.")
        self.norm = nn.GroupNorm(config.groups, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.projection = zero_(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        # (B, 3C, H, W) -> three of (B, heads, HW, C / heads); for channels-last images, without a copy.
        width = x.shape[1]
        q, k, v = self.qkv(self.norm(x)).flatten(2).mT.unflatten(2, (3, self.heads, width // self.heads)).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).mT.reshape(x.shape)
        return x + self.projection(h)


class Upsample(nn.Module):
    """A 3x3 convolution, then twice the side by nearest neighbour.

    Ho et al. take them in the other order, which does the same convolution on four times as many pixels.
    """

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.conv(x), scale_factor=2.0, mode="nearest")


def zero_(layer: nn.Conv2d) -> nn.Conv2d:
    """The same layer, with all its parameters zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
