"""How good are the samples? A judge reads them; distances, diversity and nearest neighbours say the rest.

All statistics are computed in float64 on the CPU. The judge's penultimate features are the space in which the distances are measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .data import ImageData, to_float
from .judge import Judge


@torch.no_grad()
def features_of(judge: Judge, images: Tensor, batch_size: int = 500) -> Tensor:
    """(N, C, H, W) uint8 or float -> float64 (N, features) on the CPU."""
    device = next(judge.parameters()).device
    return torch.cat([judge.features(part.to(device)).double().cpu() for part in images.split(batch_size)])


@dataclass(frozen=True)
class Proportion:
    """A share of successes, with its 95 % Wilson interval (Wilson 1927)."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"


def proportion(successes: int, n: int, z: float = 1.959964) -> Proportion:
    """The Wilson score interval: right near 0 and 1, where the usual one leaves [0, 1]."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes in {n} trials make no proportion.")
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Proportion(p, max(0.0, centre - half), min(1.0, centre + half), n)


@torch.no_grad()
def label_accuracy(judge: Judge, images: Tensor, labels: Tensor, batch_size: int = 500) -> Proportion:
    """How often the judge reads the label that was asked for. images: uint8 or float in [-1, 1]; labels: int64 (N,)."""
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{len(images)} images and labels of shape {tuple(labels.shape)}: there must be one label for each image.")
    return proportion(int((_read(judge, images, batch_size) == labels.cpu()).sum()), len(labels))


@torch.no_grad()
def _read(judge: Judge, images: Tensor, batch_size: int = 500) -> Tensor:
    """The label that the judge reads in each image: int64 (N,), on the CPU."""
    if not images.isfinite().all():
        raise ValueError("Some pixels are not finite (NaN or infinite): no judge can read these images.")
    device = next(judge.parameters()).device
    return torch.cat([judge(part.to(device)).argmax(1).cpu() for part in images.split(batch_size)])


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of two sets of features (N, D) (Heusel et al. 2017, eq. 6).

    Biased upwards for few samples: compare only at equal N, and beside the real-versus-real floor.
    """
    a, b = _feature_pair(a, b)
    if min(len(a), len(b)) < 2:
        raise ValueError("The Frechet distance needs at least two samples on each side.")
    cov_a, cov_b = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)
    # The eigenvalues of C_a C_b are those of the symmetric root_a C_b root_a: no complex square root is needed.
    values, vectors = torch.linalg.eigh(cov_a)
    root_a = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross)


def kernel_distance(a: Tensor, b: Tensor, subsets: int = 100, size: int = 500, seed: int = 0) -> tuple[float, float]:
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3 (Binkowski et al. 2018): mean and deviation over subsets.

    a, b: features (N, D), more than one on each side; subsets are drawn without replacement, of at most `size`.
    """
    a, b = _feature_pair(a, b)
    size = min(size, len(a), len(b))
    if size < 2:
        raise ValueError("The kernel distance needs at least two samples on each side.")
    generator = torch.Generator().manual_seed(seed)

    def pick(x: Tensor) -> Tensor:
        return x[torch.randperm(len(x), generator=generator)[:size]]

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def between(x: Tensor, y: Tensor) -> float:
        xx, yy = kernel(x, x), kernel(y, y)
        own = (xx.sum() - xx.trace() + yy.sum() - yy.trace()) / (size * (size - 1))  # without i = j: unbiased
        return float(own - 2 * kernel(x, y).mean())

    values = torch.tensor([between(pick(a), pick(b)) for _ in range(subsets)], dtype=torch.float64)
    return float(values.mean()), float(values.std(correction=0))


def diversity(features: Tensor, labels: Tensor) -> float:
    """Mean Euclidean distance between two different samples of one label, averaged over the labels.

    features: (N, D), of the judge or flattened pixels; a label with a single sample is left out.
    """
    features = features.flatten(1).double()
    values = []
    for label in labels.unique():
        group = features[labels == label]
        if len(group) > 1:
            values.append(torch.cdist(group, group).sum() / (len(group) * (len(group) - 1)))
    if not values:
        raise ValueError("Diversity within a label needs at least two samples of one: draw more.")
    return float(torch.stack(values).mean())


def nearest_neighbours(images: Tensor, reference: Tensor, same: bool = False) -> tuple[Tensor, Tensor]:
    """The nearest reference image of each image: distances (N,) and indices (N,), Euclidean, pixels in [-1, 1].

    images, reference: uint8 or float (N, C, H, W). same: both are one set, and no image is its own neighbour.
    """
    x, r = (to_float(i) if i.dtype == torch.uint8 else i for i in (images, reference))
    x, r = x.flatten(1).double(), r.flatten(1).double()
    distances, indices = [], []
    for start in range(0, len(x), 500):
        d = torch.cdist(x[start : start + 500], r)
        if same:
            rows = torch.arange(len(d))
            d[rows, start + rows] = torch.inf
        nearest = d.min(1)
        distances.append(nearest.values)
        indices.append(nearest.indices)
    return torch.cat(distances), torch.cat(indices)


SAME_IMAGE = 1 / 255  # half a grey level in a single pixel, where pixels lie in [-1, 1]


def near_copies(images: Tensor, labels: Tensor, reference: Tensor, reference_labels: Tensor, quantile: float = 0.01) -> int:
    """How many images lie closer to a training image of their label than all but 1 % of the training images lie to another.

    The rule's threshold is, label by label, the 1 % quantile of the training images' own nearest-neighbour distances, doubles
    left out: fresh real images would be counted about 1 % of the time. An image that equals a training image is always counted.
    """
    count = 0
    for label in {*labels.tolist()} & {*reference_labels.tolist()}:
        own = reference[reference_labels == label].unique(dim=0)
        threshold = SAME_IMAGE
        if len(own) > 1:
            threshold = max(threshold, float(nearest_neighbours(own, own, same=True)[0].quantile(quantile)))
        count += int((nearest_neighbours(images[labels == label], own)[0] < threshold).sum())
    return count


def _feature_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"Distances compare features (N, D) of one D, not {tuple(a.shape)} and {tuple(b.shape)}.")
    return a.double().cpu(), b.double().cpu()


@dataclass(frozen=True)
class Beside:
    """A figure of the samples, and the same figure of as many real images."""

    drawn: float
    real: float

    @property
    def ratio(self) -> float:
        """drawn / real"""
        return self.drawn / self.real


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. Distances are measured on the judge's features, diversity there and in pixels."""

    accuracy: Proportion | None
    diversity: Beside
    diversity_pixels: Beside
    frechet: float
    frechet_floor: float
    kernel: tuple[float, float]
    kernel_floor: tuple[float, float]
    near_copies: int
    near_copies_rule: str


NEAR_COPY_RULE = (
    "closer (Euclidean, pixels) to a training image of its label than 99 % of the training images of that label "
    "are to their own nearest neighbour"
)


def evaluate(judge: Judge, images: Tensor, labels: Tensor | None, data: ImageData, held_out: ImageData | None = None) -> Evaluation:
    """Samples against real images, each distance beside its real-versus-real floor at the same number of images.

    images: uint8 (N, C, H, W); labels: what was asked for, None for unconditional samples, which the judge then labels
    for the diversity. data: what the model was trained on. The reference is `held_out` where there is one (test
    images), and N training images give the floor; else the training images are split: N for the floor, the others
    as the reference.
    """
    n = min(len(images), len(data) // 2)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    order = order[data.labels[order].argsort(stable=True)]  # by label: both parts hold the labels in the same shares
    chosen = torch.zeros(len(data), dtype=torch.bool)
    chosen[order[torch.arange(n) * len(data) // n]] = True
    real, reference = data[chosen], held_out if held_out is not None else data[~chosen]
    drawn_features, real_features, reference_features = (features_of(judge, i) for i in (images, real.images, reference.images))
    read = labels if labels is not None else _read(judge, images)
    return Evaluation(
        accuracy=label_accuracy(judge, images, labels) if labels is not None else None,
        diversity=Beside(diversity(drawn_features, read), diversity(real_features, real.labels)),
        diversity_pixels=Beside(diversity(to_float(images), read), diversity(to_float(real.images), real.labels)),
        frechet=frechet_distance(drawn_features[:n], reference_features),
        frechet_floor=frechet_distance(real_features, reference_features),
        kernel=kernel_distance(drawn_features, reference_features),
        kernel_floor=kernel_distance(real_features, reference_features),
        near_copies=near_copies(images, read, data.images, data.labels),
        near_copies_rule=NEAR_COPY_RULE,
    )
