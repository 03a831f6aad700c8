"""What happens inside a network: the size and the price of each of its parts, taken from a real forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Part:
    """One part in one forward pass. multiply_adds: those of its convolutions and matrix products."""

    name: str
    into: Tensor
    out: Tensor
    multiply_adds: float

    @property
    def rung(self) -> tuple[str, tuple[int, int], float]:
        """As `plots.ladder` takes it: (name, (maps, side), multiply-adds)."""
        return self.name, (self.out.shape[1], self.out.shape[-1]), self.multiply_adds


def anatomy(network: nn.Module, xt: Tensor, t: Tensor) -> tuple[list[Part], Tensor]:
    """The parts of a network that saw images (B, C, H, W), in the order in which they ran; and its answer to (xt, t).

    A part is a child of the network, or, where that is a ModuleList, each entry of it: "inlet", "down 0", "down 1".
    """
    from torch.utils.flop_counter import FlopCounterMode

    names = {}
    for name, child in network.named_children():
        for path in [f"{name}.{i}" for i in range(len(child))] if isinstance(child, nn.ModuleList) else [name]:
            names[path] = path.replace(".", " ")
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [network.get_submodule(path).register_forward_hook(
        lambda part, inputs, out, path=path: seen.update({path: (inputs[0], out)})) for path in names]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            answer = network(xt, t)
    finally:
        for hook in hooks:
            hook.remove()
    counted, root = counter.get_flop_counts(), type(network).__name__
    return [
        Part(names[path], into, out, sum(counted.get(f"{root}.{path}", {}).values()) / 2)  # a multiply and an add count as two
        for path, (into, out) in seen.items() if into.ndim == out.ndim == 4
    ], answer
