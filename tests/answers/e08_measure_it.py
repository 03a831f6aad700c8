"""Answers to the exercises of notebook 08: right in other ways than the reference, and wrong as a learner would type it."""

import math
from statistics import NormalDist

import numpy as np
import torch

from ddpm_course.data import to_float
from ddpm_course.metrics import nearest_neighbours, proportion


def by_package(logits, labels):
    found = proportion(int((logits.argmax(1) == labels).sum()), len(labels))
    return found.value, found.low, found.high


def by_counting(logits, labels):
    right = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        right += row.index(max(row)) == label
    n, z = len(labels), NormalDist().inv_cdf(0.975)
    low, high = sorted(
        (2 * right + z * z + sign * z * math.sqrt(z * z + 4 * right * (1 - right / n))) / (2 * (n + z * z)) for sign in (-1, 1)
    )
    return [right / n, low, high]


def by_solving(logits, labels):
    """The rates q with |p - q| = z sqrt(q (1 - q) / n): the roots of a parabola, found by numpy."""
    n, z = labels.numel(), 1.959964
    p = float(np.mean(logits.numpy().argmax(axis=1) == labels.numpy()))
    roots = np.roots([1 + z**2 / n, -(2 * p + z**2 / n), p**2]).real
    return p, float(roots.min()), float(roots.max())


def by_bisection(logits, labels):
    n, z = len(labels), 1.96
    p = (logits.max(1).indices == labels).double().mean().item()

    def edge(inside, outside):
        for _ in range(80):
            middle = (inside + outside) / 2
            if n * (p - middle) ** 2 <= z**2 * middle * (1 - middle):
                inside = middle
            else:
                outside = middle
        return inside

    return p, edge(p, 0.0), edge(p, 1.0)


def by_tensors(logits, labels):
    n, z = torch.tensor(float(len(labels))), torch.tensor(1.96)
    p = (logits.softmax(1).argmax(1) == labels).float().mean()
    shrink = n / (n + z**2)
    half = shrink * z * torch.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    centre = shrink * p + (1 - shrink) * 0.5
    return p, (centre - half).clamp(0, 1), (centre + half).clamp(0, 1)


def by_topk(logits, labels):
    hits = (logits.topk(1, dim=1).indices[:, 0] - labels).eq(0).sum().item()
    n, z2 = len(logits), 1.96**2
    p = hits / n
    centre = (hits + z2 / 2) / (n + z2)
    half = 1.96 / (n + z2) * math.sqrt(n * p * (1 - p) + z2 / 4)
    return p, max(0.0, centre - half), min(1.0, centre + half)


def by_loops(a, b):
    def k(x, y):
        return (x.dot(y) / len(x) + 1) ** 3

    total = 0
    for one, other, same in ((a, a, True), (b, b, True), (a, b, False)):
        values = [k(x, y) for i, x in enumerate(one) for j, y in enumerate(other) if not (same and i == j)]
        total = total + sum(values) / len(values) * (1 if same else -2)
    return total


def by_masks(a, b):
    def mean_of_pairs(x, y, same):
        k = torch.einsum("id,jd->ij", x, y).div(x.shape[1]).add(1).pow(3)
        return k[~torch.eye(len(k), dtype=torch.bool)].mean() if same else k.mean()

    return mean_of_pairs(a, a, True) + mean_of_pairs(b, b, True) - 2 * mean_of_pairs(a, b, False)


def by_triangles(a, b):
    D = a.shape[-1]

    def within(x):
        pairs = torch.combinations(torch.arange(len(x)))
        return ((x[pairs[:, 0]] * x[pairs[:, 1]]).sum(1) / D + 1).pow(3).mean()

    return within(a) + within(b) - 2 * ((a[:, None] * b[None]).sum(-1) / D + 1).pow(3).mean()


def by_fill(a, b):
    ab, d = torch.cat([a, b]), a.shape[1]
    k = torch.matmul(ab, ab.t()).div(d).add(1) ** 3
    n, m = len(a), len(b)
    aa, bb, between = k[:n, :n].clone().fill_diagonal_(0), k[n:, n:].clone().fill_diagonal_(0), k[:n, n:]
    return aa.sum() / n / (n - 1) + bb.sum() / m / (m - 1) - 2 * between.sum() / (n * m)


def by_expansion(a, b):
    """(u + 1)^3 = u^3 + 3u^2 + 3u + 1, power by power."""
    result = 0.0
    for power, factor in ((3, 1), (2, 3), (1, 3)):
        def within(x, power=power):
            u = (x @ x.T / x.shape[1]) ** power
            return (u.sum() - u.diagonal().sum()) / (len(x) ** 2 - len(x))

        result = result + factor * (within(a) + within(b) - 2 * ((a @ b.T / a.shape[1]) ** power).mean())
    return result


def in_float64(a, b):
    x, y = a.double(), b.double()
    n, m = len(x), len(y)
    aa, bb, ab = ((u @ v.T / x.shape[1] + 1) ** 3 for u, v in ((x, x), (y, y), (x, y)))
    own = (aa.sum() - aa.diag().sum()) / (n * (n - 1)) + (bb.sum() - bb.diag().sum()) / (m * (m - 1))
    return (own - 2 * ab.mean()).to(a.dtype)


def by_neighbours(samples, training, held_out):
    n = min(len(training), len(held_out))
    near = nearest_neighbours(samples, training[:n])[0] < nearest_neighbours(samples, held_out[:n])[0]
    return near.float().mean()


def by_search(samples, training, held_out):
    n, count = min(len(training), len(held_out)), 0
    with torch.no_grad():
        for x in samples:
            near, far = (min(float((x - to_float(image)).square().sum()) for image in images[:n]) for images in (training, held_out))
            count += near < far
    return count / len(samples)


def by_one_table(samples, training, held_out):
    """One search over both sets: in which of them is the nearest?"""
    n = min(training.shape[0], held_out.shape[0])
    both = torch.cat([training[:n], held_out[:n]]).float().div(127.5).sub(1)
    distances = torch.cdist(samples.reshape(len(samples), -1), both.reshape(2 * n, -1))
    return (distances.argmin(dim=1) < n).double().mean().item()


def by_squares(samples, training, held_out):
    n = min(len(training), len(held_out))
    x = samples.flatten(1)

    def squared(images):
        y = to_float(images[:n]).flatten(1)
        return (x.square().sum(1)[:, None] - 2 * x @ y.T + y.square().sum(1)[None]).min(dim=1).values

    return torch.lt(squared(training), squared(held_out)).to(torch.float32).mean()


def in_bytes(samples, training, held_out):
    """Everything in 0 to 255."""
    n = min(len(training), len(held_out))
    x = (samples + 1) * 127.5
    nearest = [torch.norm((x[:, None] - images[None, :n].float()).flatten(2), dim=2).min(1)[0] for images in (training, held_out)]
    return torch.sum(nearest[0] < nearest[1]) / len(samples)


def by_sort(samples, training, held_out):
    n = min(len(training), len(held_out))
    gaps = []
    for images in (held_out, training):
        d = (samples.unsqueeze(1) - (images[:n].double() / 127.5 - 1).unsqueeze(0)).pow(2).mean((2, 3, 4))
        gaps.append(d.sort(1).values[:, 0])
    return torch.where(gaps[1] < gaps[0], 1.0, 0.0).mean()


RIGHT = {
    "accuracy_interval": [by_package, by_counting, by_solving, by_bisection, by_tensors, by_topk],
    "kernel_distance": [by_loops, by_masks, by_triangles, by_fill, by_expansion, in_float64],
    "copy_test": [by_neighbours, by_search, by_one_table, by_squares, in_bytes, by_sort],
}

WRONG = {
    "accuracy_interval": (
        "def accuracy_interval(logits, labels):\n"
        "    p = (logits.argmax(dim=1) == labels).float().mean().item()\n"
        "    half = 1.96 * (p * (1 - p) / len(labels)) ** 0.5\n"
        "    return p, max(0, p - half), min(1, p + half)",
        "its width is 0"),
    "kernel_distance": (
        "def kernel_distance(a, b):\n"
        "    def k(x, y):\n"
        "        return (x @ y.T / x.shape[1] + 1) ** 3\n"
        "    return k(a, a).mean() + k(b, b).mean() - 2 * k(a, b).mean()",
        "compared with itself"),
    "copy_test": (
        "def copy_test(samples, training, held_out):\n"
        "    n = min(len(training), len(held_out))\n"
        "    near = [torch.cdist(samples.flatten(1), images[:n].float().flatten(1)).min(1).values\n"
        "            for images in (training, held_out)]\n"
        "    return (near[0] < near[1]).float().mean()",
        "keep another range than the samples"),
}
