"""Label dropout and classifier-free guidance."""

import math

import numpy as np
import pytest
import torch

from ddpm_course.diffusion import PREDICTIONS, Diffusion
from ddpm_course.exact import EmpiricalDenoiser
from ddpm_course.guidance import Guided, drop_labels
from ddpm_course.sampling import sample_steps
from ddpm_course.schedule import NoiseSchedule

NULL = 10
SCHEDULE = NoiseSchedule.cosine(100)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


class Conditional:
    """A conditional model that counts its calls: not a Module, the contract asks for none."""

    null_label = NULL

    def __init__(self):
        self.batches = []

    def __call__(self, xt, t, y=None):
        self.batches.append(len(xt))
        assert len(t) == len(y) == len(xt)
        return torch.sin(xt + t.reshape(-1, 1, 1, 1)) * (1 + y.reshape(-1, 1, 1, 1))


X, T, Y = randn(4, 2, 3, 3), torch.tensor([3, 50, 50, 99]), torch.tensor([0, 1, 2, 9])
UNLABELLED = torch.full((4,), NULL)


# drop_labels


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_each_label_is_dropped_on_its_own(p):
    y, n = torch.arange(10).repeat(1000), 10_000
    dropped = drop_labels(y, p, NULL, seeded()) == NULL
    # Binomial bounds of five standard deviations: for all, for each class, and for pairs of neighbours.
    assert abs(int(dropped.sum()) - n * p) < 5 * math.sqrt(n * p * (1 - p))
    assert (dropped.reshape(1000, 10).sum(0) - 1000 * p).abs().max() < 5 * math.sqrt(1000 * p * (1 - p))
    both, q = int((dropped[::2] & dropped[1::2]).sum()), p * p
    assert abs(both - n / 2 * q) < 5 * math.sqrt(n / 2 * q * (1 - q))


def test_a_small_batch_is_not_dropped_as_a_whole():
    # A published implementation draws one number for the batch.
    shares = [float((drop_labels(torch.zeros(16, dtype=torch.int64), 0.5, NULL, seeded(i)) == NULL).float().mean()) for i in range(20)]
    assert 0 < min(shares) and max(shares) < 1


def test_labels_that_stay_are_unchanged():
    y = torch.arange(10).repeat(50)
    dropped = drop_labels(y, 0.3, NULL, seeded())
    assert torch.equal(dropped[dropped != NULL], y[dropped != NULL])
    assert dropped.dtype == torch.int64 and dropped.shape == y.shape


def test_none_and_all():
    y = torch.arange(10)
    assert torch.equal(drop_labels(y, 0, NULL, seeded()), y)
    assert torch.equal(drop_labels(y, 1, NULL, seeded()), torch.full((10,), NULL))


def test_the_input_is_left_as_it_was():
    y = torch.arange(10)
    drop_labels(y, 0.9, NULL, seeded())
    assert torch.equal(y, torch.arange(10))


def test_the_generator_decides_alone():
    y, before = torch.arange(100), torch.get_rng_state()
    assert torch.equal(drop_labels(y, 0.5, 100, seeded(1)), drop_labels(y, 0.5, 100, seeded(1)))
    assert not torch.equal(drop_labels(y, 0.5, 100, seeded(1)), drop_labels(y, 0.5, 100, seeded(2)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match="0..1"):
        drop_labels(torch.arange(3), p, NULL)


# Guided


def test_scale_1_is_conditional_in_a_single_pass():
    model = Conditional()
    assert torch.equal(Guided(model, 1)(X, T, Y), Conditional()(X, T, Y))
    assert model.batches == [4]


def test_scale_0_is_unconditional_in_a_single_pass():
    model = Conditional()
    assert torch.equal(Guided(model, 0)(X, T, Y), Conditional()(X, T, UNLABELLED))
    assert model.batches == [4]


@pytest.mark.parametrize("scale", [2.0, 0.5, 7.5, -1.0])
def test_other_scales_extrapolate_in_one_pass_of_a_doubled_batch(scale):
    model = Conditional()
    cond, uncond = Conditional()(X, T, Y).double(), Conditional()(X, T, UNLABELLED).double()
    # The paper's form (Ho & Salimans 2022, eq. 6): (1 + w) cond - w uncond, w = scale - 1
    w = scale - 1
    assert torch.allclose(Guided(model, scale)(X, T, Y).double(), (1 + w) * cond - w * uncond, atol=1e-4)
    assert model.batches == [8]


def test_an_image_already_unlabelled_is_not_guided():
    assert torch.allclose(Guided(Conditional(), 5.0)(X, T, UNLABELLED), Conditional()(X, T, UNLABELLED), atol=1e-5)


@pytest.mark.parametrize("scale", [0, 1, 2.0])
def test_guidance_without_labels_is_refused(scale):
    with pytest.raises(ValueError, match="pass y"):
        Guided(Conditional(), scale)(X, T)


def test_an_unconditional_model_cannot_be_guided():
    unconditional = Conditional()
    unconditional.null_label = None
    for model in (unconditional, lambda x, t, y=None: x):
        with pytest.raises(ValueError, match="null_label"):
            Guided(model, 2.0)


# On an exact mixture

IMAGES, LABELS = randn(12, 1, 2, 2, seed=5).clamp(-1, 1), torch.arange(12) % 3


class Said:
    """The exact guess of x0 of a labelled data set, said as eps, v or x0; written on alpha_bar, apart from Diffusion."""

    null_label = 3

    def __init__(self, prediction):
        self.prediction, self.denoiser = prediction, EmpiricalDenoiser(IMAGES, SCHEDULE, LABELS)

    def __call__(self, xt, t, y=None):
        x0 = self.denoiser(xt, t, y)
        ab = SCHEDULE.alpha_bar[t].reshape(-1, 1, 1, 1)
        eps = (xt - ab.sqrt() * x0) / (1 - ab).sqrt()
        return {"x0": x0, "eps": eps, "v": ab.sqrt() * eps - (1 - ab).sqrt() * x0}[self.prediction]


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_guiding_eps_v_or_x0_gives_the_same_guess(scale):
    xt, t, y = randn(4, 1, 2, 2), torch.tensor([20, 50, 70, 85]), torch.tensor([0, 1, 2, 0])
    guesses = [Diffusion(SCHEDULE, p).denoise(Guided(Said(p), scale), xt, t, y, clip=False)[0] for p in PREDICTIONS]
    for guess in guesses[1:]:
        assert torch.allclose(guess, guesses[0], atol=1e-4)


def test_guided_guess_of_a_mixture_is_the_brute_force_one():
    def mean(images, xt, ab):
        logs = np.array([-((xt - math.sqrt(ab) * x) ** 2).sum() / (2 * (1 - ab)) for x in images])
        weights = np.exp(logs - logs.max())
        return np.tensordot(weights / weights.sum(), images, 1)

    xt, t, y, scale = randn(4, 1, 2, 2), torch.tensor([20, 50, 70, 85]), torch.tensor([0, 1, 2, 0]), 2.5
    guess = Guided(EmpiricalDenoiser(IMAGES, SCHEDULE, LABELS), scale)(xt, t, y)
    data = IMAGES.double().numpy()
    for i in range(4):
        ab = float(SCHEDULE.log_alpha_bar[t[i]].double().exp())
        x = xt[i].double().numpy()
        cond, uncond = mean(data[(LABELS == y[i]).numpy()], x, ab), mean(data, x, ab)
        assert np.abs(guess[i].numpy() - (uncond + scale * (cond - uncond))).max() < 1e-4


def test_stronger_guidance_says_the_label_more_often_and_varies_less():
    # Two overlapping classes on a line, 40 points each. Guidance must push samples away from the other class.
    points = torch.cat([0.35 + 0.3 * randn(40), -0.35 + 0.3 * randn(40, seed=1)]).clamp(-1, 1).reshape(-1, 1, 1, 1)
    labels = torch.arange(2).repeat_interleave(40)
    denoiser = EmpiricalDenoiser(points, SCHEDULE, labels)
    y = torch.zeros(400, dtype=torch.int64)
    samples = {}
    for scale in (0.0, 1.0, 3.0):
        xT = randn(400, 1, 1, 1, seed=2)
        *_, last = sample_steps(Diffusion(SCHEDULE, "x0"), Guided(denoiser, scale), xT, y=y, timesteps=50, solver="ddim")
        samples[scale] = last.x.flatten()
    said = {scale: float((x > 0).float().mean()) for scale, x in samples.items()}
    assert abs(said[0.0] - float((points > 0).float().mean())) < 0.1  # unconditional: both classes
    assert abs(said[1.0] - float((points[:40] > 0).float().mean())) < 0.1
    assert said[3.0] > 0.99 and said[3.0] > said[1.0] > said[0.0]
    assert samples[3.0].std() < samples[1.0].std()
