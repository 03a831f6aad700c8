"""The judge: a small classifier of real images, which reads samples. It is trained here, and shipped for digits and for CIFAR-10.

Digits get a plain network and small affine distortions; colour images a residual network, flips and shifts. The latter begins with
fixed filters that whiten small patches, and halves the image in each of three short blocks (the design of Jordan 2024,
"94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498, made narrower and residual).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .data import ImageData, to_float
from .optim import Muon


class Judge(nn.Module):
    """A convolutional classifier: a body, `features` numbers for each image, then the logits.

    images: uint8 (B, C, H, W), or float in [-1, 1], of the size it was built for -> logits (B, num_classes). Once trained, a residual
    judge answers with the mean over an image and its mirror image.
    width: channels of the first layer. residual: the body has residual blocks (He et al. 2015) and pools what it saw everywhere;
    without them every place keeps weights of its own, which suits centred digits.
    """

    def __init__(self, in_channels: int = 1, image_size: int = 28, num_classes: int = 10, width: int = 24, features: int = 64,
                 residual: bool = False):
        super().__init__()
        self.arguments = dict(in_channels=in_channels, image_size=image_size, num_classes=num_classes, width=width, features=features)
        if residual:
            self.arguments["residual"] = True
            whitened = 8 * in_channels  # a patch of 2 x 2 pixels has 4 * in_channels directions, each with two signs
            self.body = nn.Sequential(
                nn.Conv2d(in_channels, whitened, 2, bias=False),
                nn.ReLU(inplace=True),
                _halve(whitened, 2 * width),
                Residual(2 * width),
                _halve(2 * width, 4 * width),
                Residual(4 * width),
                _halve(4 * width, 8 * width),
                Residual(8 * width),
                nn.AdaptiveMaxPool2d(1),
            )
            self.body[0].weight.requires_grad_(False)  # see `whitening`
            outputs = 8 * width
        else:
            self.body = nn.Sequential(
                _conv(in_channels, width, 5),
                nn.MaxPool2d(2),
                _conv(width, 2 * width),
                _conv(2 * width, 2 * width),
                nn.MaxPool2d(2),
                _conv(2 * width, 4 * width),
                _conv(4 * width, 4 * width),
            )
            outputs = 4 * width * (image_size // 4) ** 2
        self.to_features = nn.Sequential(nn.Flatten(), nn.Linear(outputs, features), nn.ReLU())
        self.to_logits = nn.Linear(features, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, features): what the distances are measured on."""
        size, channels = self.arguments["image_size"], self.arguments["in_channels"]
        if images.shape[1:] != (channels, size, size):
            raise ValueError(f"This judge reads {channels}x{size}x{size} images, not {'x'.join(map(str, images.shape[1:]))}.")
        return self.to_features(self.body(to_float(images) if images.dtype == torch.uint8 else images))

    def forward(self, images: Tensor) -> Tensor:
        logits = self.to_logits(self.features(images))
        if self.training or "residual" not in self.arguments:
            return logits
        return (logits + self.to_logits(self.features(images.flip(-1)))) / 2


MUON_LR, SHRINK = 0.06, 0.0012  # for the residual network's inner convolutions, at the peak: a step's rate, and what it takes off them


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.MaxPool2d(2, ceil_mode=True), nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """x + a convolution of it."""

    def __init__(self, width: int):
        super().__init__()
        self.inner = _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def whitening(images: Tensor, least: float = 5e-4) -> Tensor:
    """Filters that make the patches of 2 x 2 pixels of these images white: their answers are uncorrelated, with mean square near 1.

    images: float (N, C, H, W) in [-1, 1]. least: added to each variance, so that what hardly varies is not blown up to noise.
    Returns (8 C, C, 2, 2): the eigenvectors of the patches' second moments, each divided by its root, then the same with the
    opposite sign (Page 2019, "How to Train Your ResNet 8: Bag of Tricks").
    """
    channels = images.shape[1]
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 4 * channels)
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (directions / (variances + least).sqrt()).T.reshape(-1, channels, 2, 2)
    return torch.cat([filters, -filters])


def train_judge(data: ImageData, images: int = 720_000, batch: int = 128, lr: float = 3e-3, seed: int = 0, progress=iter) -> Judge:
    """Train a judge on real images: cross-entropy, AdamW, one cycle of the learning rate, images changed a little each time.

    images: how many are seen in all. progress: wraps the iterator of steps, `tqdm` for instance. Colour images are taken to be
    photographs: a residual network behind whitening filters, Muon for its inner matrices, mirror images and shifts.
    """
    channels, size = data.images.shape[1], data.images.shape[-1]
    photographs = channels == 3
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if photographs:
            judge = Judge(channels, size, len(data.class_names), width=32, features=128, residual=True)
            judge.body[0].weight.data = whitening(to_float(data.images[torch.randperm(len(data))[:3000]]))
        else:
            judge = Judge(channels, size, len(data.class_names))
        judge.to(memory_format=torch.channels_last).train()
        inner = [p for p in judge.body.parameters() if p.ndim == 4 and p.requires_grad] if photographs else []
        rest = [p for p in judge.parameters() if p.requires_grad and not any(p is other for other in inner)]
        optimizers: list[tuple[torch.optim.Optimizer, float]] = [(torch.optim.AdamW(rest, lr=lr, weight_decay=0.05), lr)]
        if inner:
            optimizers.append((Muon(inner, lr=MUON_LR), MUON_LR))
        steps = images // batch
        order = torch.cat([torch.randperm(len(data), generator=generator) for _ in range(math.ceil(images / len(data)))])
        for step in progress(range(steps)):
            cycle = min(1, 10 * (step + 1) / steps) * 0.5 * (1 + math.cos(math.pi * step / steps))
            for optimizer, peak in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = peak * cycle
            index = order[step * batch : (step + 1) * batch]
            x = to_float(data.images[index])
            x = _mirror_and_shift(x, generator) if photographs else _distort(x, generator)
            loss = F.cross_entropy(judge(x), data.labels[index], label_smoothing=0.2 if photographs else 0.05)
            judge.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in inner:
                    p.mul_(1 - SHRINK * cycle)
            for optimizer, _ in optimizers:
                optimizer.step()
    return judge.eval()


def _mirror_and_shift(x: Tensor, generator: torch.Generator, most: int = 4) -> Tensor:
    """Mirror half of the images, and shift each by up to `most` pixels; what comes in from outside is the reflected edge."""
    n, _, height, width = x.shape
    mirrored = torch.rand(n, generator=generator) < 0.5
    x = F.pad(torch.where(mirrored[:, None, None, None], x.flip(-1), x), (most,) * 4, mode="reflect")
    top, left = torch.randint(2 * most + 1, (2, n, 1), generator=generator)
    rows, columns = (top + torch.arange(height))[:, :, None], (left + torch.arange(width))[:, None, :]
    return x[torch.arange(n)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)


def _distort(x: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by up to 12 degrees, scale by up to 10 %, shift by up to 7 % of the width, image by image."""
    n = len(x)
    draw = torch.rand(n, 4, generator=generator) * 2 - 1
    angle, scale, shift = draw[:, 0] * math.radians(12), 1 + 0.1 * draw[:, 1], 0.14 * draw[:, 2:]
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, grid, padding_mode="zeros", align_corners=False) - 1
