"""Exact denoisers: the best guess E[x_0 | x_t] in closed form, for Gaussian and for finite data.

They follow the model contract with prediction="x0", so everything that takes a network takes them:
samplers are taught and tested with them, without any training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .schedule import NoiseSchedule


class GaussianDenoiser(nn.Module):
    """E[x_0 | x_t] where the data are N(mean, std^2), each coordinate on its own.

    mean, std: numbers or tensors that broadcast with one image.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, mean, std, schedule: NoiseSchedule):
        super().__init__()
        self.schedule = schedule
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("variance", torch.as_tensor(std, dtype=torch.float32) ** 2)

    def forward(self, xt: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        log = self.schedule.log_at(t, xt)
        signal, noise = (log / 2).exp(), -torch.expm1(log)
        gain = signal * self.variance / (log.exp() * self.variance + noise)
        return self.mean + gain * (xt - signal * self.mean)


class EmpiricalDenoiser(nn.Module):
    """E[x_0 | x_t] where the data are N images, each as likely as the next: an average weighted by closeness.

    images: float (N, ...); with labels, int64 (N,), a y given to the call keeps the images of that label,
    and the null label (labels.max() + 1) keeps all.
    """

    images: Tensor
    labels: Tensor | None

    def __init__(self, images: Tensor, schedule: NoiseSchedule, labels: Tensor | None = None):
        super().__init__()
        if len(images) == 0 or not images.is_floating_point():
            raise ValueError("EmpiricalDenoiser needs at least one image, as floats in [-1, 1]; see data.to_float.")
        self.schedule = schedule
        self.register_buffer("images", images)
        self.register_buffer("labels", labels)
        self.null_label = None if labels is None else int(labels.max()) + 1

    def weights(self, xt: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """(B, N) posterior probability of each image: softmax of -|x_t - sqrt(alpha_bar) x_i|^2 / (2 (1 - alpha_bar))."""
        flat, data = xt.flatten(1), self.images.flatten(1)
        log = self.schedule.log_at(t, flat)
        # |x_t|^2 is the same for every image and drops out of the softmax.
        logits = ((log / 2).exp() * flat @ data.T - log.exp() * data.square().sum(1) / 2) / -torch.expm1(log)
        if y is not None:
            if self.labels is None:
                raise ValueError("This EmpiricalDenoiser has no labels: build it with labels=... to ask for one.")
            keep = (y[:, None] == self.labels) | (y[:, None] == self.null_label)
            if y.device.type == "cpu" and not bool(keep.any(1).all()):
                raise ValueError(f"No image has one of the labels {y.unique().tolist()}: ask for a label that the data have.")
            logits = logits.masked_fill(~keep, -torch.inf)
        return logits.softmax(1)

    def forward(self, xt: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        return (self.weights(xt, t, y) @ self.images.flatten(1)).reshape(xt.shape)
