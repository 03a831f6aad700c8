"""The MNIST article's program in our own words: the rival of time_to_quality.py.

A plain conditional U-Net at 32x32: double convolutions with BatchNorm, 64-128-256 channels, max-pool down, bilinear
up, skips concatenated; the label's embedding is added to the time's, and the sum, projected, to every block. It is
trained in float32 on the mean square error of the noise: linear schedule, T=1000, Adam 5e-4, batch 128, no average.
2.17 M parameters, 908 MFLOP an image forward, as the article's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_course import Diffusion, ImageData, NoiseSchedule, to_float
from ddpm_course.unet import SinusoidalTime

BATCH, LR, SIZE = 128, 5e-4, 32


class DoubleConv(nn.Module):
    """Twice convolution, BatchNorm, ReLU; then the projected embedding is added."""

    def __init__(self, inputs: int, outputs: int, embedding: int):
        super().__init__()
        layers: list[nn.Module] = []
        for width in (inputs, outputs):
            layers += [nn.Conv2d(width, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.convs = nn.Sequential(*layers)
        self.project = nn.Linear(embedding, outputs)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.convs(x) + self.project(F.relu(emb))[:, :, None, None]


class ArticleUNet(nn.Module):
    """model(xt, t, y): the contract of the course, at 32x32."""

    def __init__(self, embedding: int = 256, num_classes: int = 10):
        super().__init__()
        self.time = nn.Sequential(SinusoidalTime(embedding), nn.Linear(embedding, embedding), nn.ReLU(), nn.Linear(embedding, embedding))
        self.label = nn.Embedding(num_classes, embedding)
        self.inlet = DoubleConv(1, 64, embedding)
        self.down1 = DoubleConv(64, 128, embedding)
        self.down2 = DoubleConv(128, 256, embedding)
        self.up1 = DoubleConv(256 + 128, 128, embedding)
        self.up2 = DoubleConv(128 + 64, 64, embedding)
        self.outlet = nn.Conv2d(64, 1, 1)

    def forward(self, xt: Tensor, t: Tensor, y: Tensor) -> Tensor:
        emb = self.time(t) + self.label(y)
        a = self.inlet(xt, emb)
        b = self.down1(F.max_pool2d(a, 2), emb)
        c = self.down2(F.max_pool2d(b, 2), emb)
        b = self.up1(torch.cat([_twice(c), b], 1), emb)
        return self.outlet(self.up2(torch.cat([_twice(b), a], 1), emb))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class ArticleTraining:
    """The article's loop, a step at a time; `seen` counts images."""

    def __init__(self, data: ImageData, seed: int = 0):
        torch.manual_seed(seed)
        self.model = ArticleUNet()
        self.diffusion = Diffusion(NoiseSchedule.linear(), "eps")
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LR)
        self.images = F.pad(data.images, (2, 2, 2, 2))  # 28 -> 32 with background, which spares the article a blur
        self.labels = data.labels
        self.generator = torch.Generator().manual_seed(seed)
        self.seen = 0

    def step(self) -> None:
        index = torch.randint(len(self.images), (BATCH,), generator=self.generator)
        loss = self.diffusion.loss(self.model, to_float(self.images[index]), self.labels[index], generator=self.generator).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.seen += BATCH
