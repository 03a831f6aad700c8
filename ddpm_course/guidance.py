"""Classifier-free guidance (Ho & Salimans 2022): labels dropped in training, two guesses combined in sampling."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def drop_labels(y: Tensor, p: float, null_label: int, generator: torch.Generator | None = None) -> Tensor:
    """Replace each label, on its own and with probability p, by the null label. y: int64 (B,) -> int64 (B,)."""
    if not 0 <= p <= 1:
        raise ValueError(f"The share of labels to drop must lie in 0..1, not {p}.")
    device = generator.device if generator is not None else y.device
    dropped = torch.rand(y.shape, generator=generator, device=device) < p
    return torch.where(dropped.to(y.device), null_label, y)


class Guided(nn.Module):
    """A model again: uncond + scale * (cond - uncond).

    scale 0 is unconditional, 1 conditional (each a single pass), above 1 guided (one pass of a doubled batch).
    The paper's w is scale - 1. Guiding the output is the same for eps, v and x0: each is affine in the others.
    """

    def __init__(self, model, scale: float):
        super().__init__()
        if getattr(model, "null_label", None) is None:
            raise ValueError("Guidance needs a label-conditioned model, one with a null_label.")
        self.model, self.scale, self.null_label = model, scale, model.null_label

    def forward(self, xt: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None:
            raise ValueError("Guidance needs labels: pass y, or use the model itself.")
        if self.scale == 1:
            return self.model(xt, t, y)
        null = torch.full_like(y, self.null_label)
        if self.scale == 0:
            return self.model(xt, t, null)
        cond, uncond = self.model(torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([y, null])).chunk(2)
        return uncond + self.scale * (cond - uncond)
