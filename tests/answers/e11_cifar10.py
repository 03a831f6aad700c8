"""Answers to the exercises of notebook 11: right in other ways than the reference, and wrong as a learner would type it."""

import statistics

import numpy as np
import torch
from torchvision.transforms import functional


def cost_of_lists(step_seconds, batch_size, images):
    return statistics.median(step_seconds.tolist()) * int(images / batch_size)


def cost_sorted(step_seconds, batch_size, images):
    in_order = sorted(float(s) for s in step_seconds)
    seconds = 0.0
    seen = 0
    while seen + batch_size <= images:
        seen += batch_size
        seconds += in_order[len(in_order) // 2]
    return seconds


def cost_numpy(step_seconds, batch_size, images):
    return float(np.median(step_seconds.numpy())) * (images - images % batch_size) / batch_size


def mirror_loop(x, which):
    out = []
    for image, flag in zip(x, which, strict=True):
        out.append(image.flip(2) if flag else image)
    return torch.stack(out)


def mirror_in_a_copy(x, which):
    out = x.clone()
    out[which] = x[which].flip(-1)
    return out


def mirror_by_weights(x, which):
    w = which.to(x.dtype).view(-1, 1, 1, 1)
    return w * torch.flip(x, dims=[3]) + (1 - w) * x


def mirror_by_index(x, which):
    width = x.shape[-1]
    columns = torch.where(which[:, None], torch.arange(width - 1, -1, -1), torch.arange(width))
    return x.gather(3, columns[:, None, None, :].expand(x.shape))


RIGHT = {
    "run_cost": [
        cost_of_lists,
        cost_sorted,
        cost_numpy,
        lambda seconds, size, n: torch.median(seconds).item() * (n // size),
        lambda seconds, size, n: seconds.quantile(0.5) * torch.tensor(n).div(size, rounding_mode="floor"),
    ],
    "mirror": [
        mirror_loop,
        mirror_in_a_copy,
        mirror_by_weights,
        mirror_by_index,
        lambda x, which: torch.stack([functional.hflip(image) if flag else image for image, flag in zip(x, which.tolist(), strict=True)]),
    ],
}

WRONG = {
    "run_cost": ("""def run_cost(step_seconds, batch_size, images):
    return images // batch_size * step_seconds.mean().item()
""", "The mean counts the slow first step"),
    "mirror": ("""def mirror(x, which):
    x[which] = x[which].flip(-1)
    return x
""", "It changes its input `x` in place"),
}
