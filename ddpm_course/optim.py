"""What turns gradients into weights beside AdamW: Muon for the inner matrices, and the moving average that is sampled from."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised (Jordan 2024, kellerjordan.github.io/posts/muon): for the matrices inside a network.

    Each step moves a matrix along the semi-orthogonal matrix nearest to its Nesterov momentum, so that all directions
    learn at one pace, times sqrt(max(1, rows / columns)). A convolution counts as a matrix of output channels by the
    rest. torch.optim.Muon, which takes no convolutions, is its oracle.
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure: its gradients are made outside
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}  # matrices of one shape are orthogonalised together
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                updates = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if not state:
                        state["momentum"] = torch.zeros_like(parameter)
                    momentum, grad = state["momentum"], parameter.grad
                    assert grad is not None
                    momentum.lerp_(grad, 1 - group["momentum"])
                    updates.append(grad.lerp(momentum, group["momentum"]).flatten(1))
                rows, columns = updates[0].shape
                steps = orthogonalized(torch.stack(updates)) * max(1.0, rows / columns) ** 0.5
                for parameter, step in zip(parameters, steps, strict=True):
                    parameter.add_(step.reshape(shape), alpha=-group["lr"])


def orthogonalized(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Nearly U V^T of each of the matrices (B, rows, columns) = U S V^T, by a quintic Newton-Schulz iteration.

    The singular values end between about 0.7 and 1.2, which is even enough.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices) / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):  # x <- a x + (b X + c X^2) x, where X = x x^T
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class EMA:
    """An exponential moving average of a model's weights, in float32, that warms up.

    The decay of update k = 0, 1, ... is min(max_decay, 1 - (1 + k)^-3/4): early averages forget the random start.
    """

    def __init__(self, model: nn.Module, max_decay: float = 0.9999, updates: int = 0):
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.max_decay, self.updates = max_decay, updates

    def decay(self) -> float:
        """The decay of the next update."""
        return min(self.max_decay, 1 - (1 + self.updates) ** -0.75)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """average <- decay * average + (1 - decay) * model; buffers are copied."""
        torch._foreach_lerp_(list(self.model.parameters()), [p.detach() for p in model.parameters()], 1 - self.decay())
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
        self.updates += 1
