"""Shapes and prices of a network's parts, against counts made by hand."""

import pytest
import torch
from torch import nn

from ddpm_course.classroom.anatomy import anatomy
from ddpm_course.unet import UNet, UNetConfig

NETWORK = UNet(UNetConfig(channels=(8, 16), patch=2, groups=2)).eval()
X, T = torch.zeros(1, 1, 28, 28), torch.tensor([5])


def test_parts_come_in_the_order_in_which_they_ran():
    parts, answer = anatomy(NETWORK, X, T)
    assert [part.name for part in parts] == ["inlet", "down 0", "down 1", "down 2", "middle 0", "middle 1",
                                             "up 0", "up 1", "up 2", "up 3", "up 4", "outlet"]
    assert parts[6].rung[:2] == ("up 0", (16, 7)) and parts[6].into.shape == (1, 32, 7, 7)
    assert torch.equal(answer, NETWORK(X, T).detach())
    assert not any(module._forward_hooks for module in NETWORK.modules())


def test_multiply_adds_are_those_counted_by_hand():
    parts = {part.name: part for part in anatomy(NETWORK, X, T)[0]}
    assert parts["inlet"].multiply_adds == 4 * 8 * 9 * 14 * 14
    assert parts["down 1"].multiply_adds == 8 * 8 * 9 * 7 * 7
    assert parts["down 2"].multiply_adds == (8 * 16 * 9 + 16 * 16 * 9 + 8 * 16) * 7 * 7 + 32 * 16  # and the time's linear layer
    assert parts["outlet"].multiply_adds == parts["inlet"].multiply_adds


def test_hooks_are_gone_after_an_error_too():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.inlet = nn.Conv2d(1, 1, 1)

        def forward(self, xt, t):
            raise ValueError("no")

    network = Fails()
    with pytest.raises(ValueError, match="no"):
        anatomy(network, X, T)
    assert not network.inlet._forward_hooks
