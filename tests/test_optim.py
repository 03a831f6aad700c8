"""The moving average against torch's AveragedModel, Muon against torch's Muon and the singular value decomposition."""

import pytest
import torch
from tiny import randn
from torch import nn

from ddpm_course.optim import EMA, Muon, orthogonalized

# --- the moving average -------------------------------------------------------------------------------------------


def test_ema_equals_averaged_model_with_the_same_decays():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))

    def average(averaged, current, updates):
        decay = min(0.97, 1 - (1 + int(updates)) ** -0.75)
        return decay * averaged + (1 - decay) * current

    theirs = torch.optim.swa_utils.AveragedModel(model, avg_fn=average)
    ours = EMA(model, max_decay=0.97)
    for step in range(300):
        with torch.no_grad():
            for i, tensor in enumerate(model.state_dict().values()):
                if tensor.is_floating_point():
                    tensor.copy_(randn(*tensor.shape, seed=1000 * i + step).abs())
        ours.update(model)
        theirs.update_parameters(model)
    for (name, mine), (_, other) in zip(ours.model.state_dict().items(), theirs.module.state_dict().items(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6, msg=name)


def test_ema_does_not_touch_the_model_and_takes_no_gradient():
    model = nn.Linear(3, 3).train()
    before = model.weight.detach().clone()
    ema = EMA(model)
    ema.update(model)
    assert torch.equal(model.weight, before) and model.training
    assert not ema.model.training
    assert not any(p.requires_grad for p in ema.model.parameters())


def test_ema_first_update_forgets_the_random_start():
    model = nn.Linear(3, 3)
    ema = EMA(model)
    nn.init.constant_(model.weight, 7.0)
    ema.update(model)
    assert torch.equal(ema.model.weight, model.weight)


def test_ema_warms_up_with_power_three_quarters():
    ema = EMA(nn.Linear(1, 1), max_decay=0.9999)
    decays = []
    for updates in (0, 1, 15, 9_000, 9_999, 11_000, 10_000_000):
        ema.updates = updates
        decays.append(ema.decay())
    assert decays[0] == 0
    assert decays[1] == pytest.approx(1 - 2**-0.75)
    assert decays[2] == pytest.approx(1 - 1 / 8)  # 16^(3/4) = 8
    assert decays[3] < 0.999 <= decays[4] + 1e-12 and decays[5] > 0.999  # 10,000^(3/4) = 1,000
    assert decays[6] == 0.9999


# --- Muon ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 16), (48, 12), (12, 48)])
def test_orthogonalized_keeps_the_singular_vectors_and_evens_the_values(shape):
    matrix = randn(*shape, seed=4)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    core = u.T @ orthogonalized(matrix[None])[0] @ vh.T
    values = core.diagonal()
    assert bool(((values > 0.6) & (values < 1.3)).all())
    assert float((core - values.diag()).abs().max()) < 1e-3


@pytest.mark.parametrize("shape", [(24, 24), (64, 16), (16, 64)])
def test_muon_equals_torchs(shape):
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")  # it came with torch 2.9; older ones have nothing to compare with
    ours, theirs = (nn.Parameter(randn(*shape)) for _ in range(2))
    start = ours.detach().clone()
    optimizers = [Muon([ours], lr=0.02), torch.optim.Muon([theirs], lr=0.02, weight_decay=0.0, momentum=0.95, nesterov=True)]
    for step in range(6):
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = randn(*shape, seed=step + 1)
            optimizer.step()
    moved, wanted = ours.detach() - start, theirs.detach() - start
    assert float((moved - wanted).norm() / wanted.norm()) < 0.03  # torch iterates in bfloat16


def test_muon_takes_a_convolution_as_a_matrix():
    flat, conv = nn.Parameter(randn(8, 18)), nn.Parameter(randn(8, 18).reshape(8, 2, 3, 3))
    flat.grad, conv.grad = randn(8, 18, seed=1), randn(8, 18, seed=1).reshape(8, 2, 3, 3)
    Muon([flat], lr=0.1).step()
    Muon([conv], lr=0.1).step()
    torch.testing.assert_close(conv.detach().flatten(1), flat.detach())
