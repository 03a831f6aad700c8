"""The exact denoisers against numerical integration and brute force in float64."""

import math

import numpy as np
import pytest
import torch

from ddpm_course.exact import EmpiricalDenoiser, GaussianDenoiser
from ddpm_course.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule.linear(100)
ALPHA_BAR = np.cumprod(1 - SCHEDULE.betas.double().numpy())
TIMES = [0, 3, 30, 70, 99]


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def brute_force(images, xt, alpha_bar):
    """E[x0 | xt] over a list of images, one at a time, in float64."""
    images, xt = images.double().numpy(), xt.double().numpy()
    logs = np.array([-((xt - math.sqrt(alpha_bar) * x) ** 2).sum() / (2 * (1 - alpha_bar)) for x in images])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    return sum(w * x for w, x in zip(weights, images, strict=True)), weights


@pytest.mark.parametrize("t", TIMES)
def test_gaussian_noise_guess_is_the_closed_form(t):
    # eps* = sqrt(1 - ab) (x - sqrt(ab) mu) / (ab s^2 + 1 - ab), the score of N(sqrt(ab) mu, ab s^2 + 1 - ab)
    mu, s, ab = 0.3, 0.6, ALPHA_BAR[t]
    xt = randn(5, 1, 2, 2)
    x0 = GaussianDenoiser(mu, s, SCHEDULE)(xt, torch.full((5,), t)).double()
    eps = (xt.double() - math.sqrt(ab) * x0) / math.sqrt(1 - ab)
    expected = math.sqrt(1 - ab) * (xt.double() - math.sqrt(ab) * mu) / (ab * s**2 + 1 - ab)
    assert torch.allclose(eps, expected, atol=1e-4)


@pytest.mark.parametrize("t", TIMES)
def test_gaussian_guess_is_the_integral(t):
    mu, s, ab, x = -0.4, 0.25, ALPHA_BAR[t], 0.8
    grid = np.linspace(-6, 6, 400_001)
    logp = -((grid - mu) ** 2) / (2 * s**2) - (x - math.sqrt(ab) * grid) ** 2 / (2 * (1 - ab))
    p = np.exp(logp - logp.max())
    guess = GaussianDenoiser(mu, s, SCHEDULE)(torch.tensor([[x]]), torch.tensor([t]))
    assert float(guess) == pytest.approx((p * grid).sum() / p.sum(), abs=1e-5)


def test_gaussian_treats_each_coordinate_and_each_time_on_its_own():
    mean, std = torch.tensor([0.0, 1.0, -1.0]), torch.tensor([0.1, 1.0, 3.0])
    xt, t = randn(2, 3), torch.tensor([5, 80])
    together = GaussianDenoiser(mean, std, SCHEDULE)(xt, t)
    for i in range(2):
        for j in range(3):
            alone = GaussianDenoiser(float(mean[j]), float(std[j]), SCHEDULE)(xt[i : i + 1, j : j + 1], t[i : i + 1])
            assert float(together[i, j]) == pytest.approx(float(alone), abs=1e-6)


def test_gaussian_without_spread_always_answers_its_mean():
    guess = GaussianDenoiser(0.7, 0.0, SCHEDULE)(randn(4, 1, 2, 2), torch.tensor([0, 10, 50, 99]))
    assert torch.allclose(guess, torch.full_like(guess, 0.7))


@pytest.mark.parametrize("t", TIMES)
def test_empirical_guess_is_the_brute_force_mean(t):
    images, xt = randn(7, 2, 3, 3).clamp(-1, 1), randn(4, 2, 3, 3, seed=1)
    denoiser = EmpiricalDenoiser(images, SCHEDULE)
    guess, weights = denoiser(xt, torch.full((4,), t)), denoiser.weights(xt, torch.full((4,), t))
    assert guess.shape == xt.shape and weights.shape == (4, 7)
    for i in range(4):
        mean, expected = brute_force(images, xt[i], ALPHA_BAR[t])
        assert np.abs(guess[i].numpy() - mean).max() < 1e-4
        assert np.abs(weights[i].numpy() - expected).max() < 1e-4


def test_empirical_guess_keeps_its_digits_on_bright_images():
    # 784 pixels near 1: the logits are of the order of 784 / (1 - ab), their differences of the order of 1.
    images = 0.95 + 0.01 * randn(5, 1, 28, 28)
    t, ab = 10, ALPHA_BAR[10]
    xt = math.sqrt(ab) * images[:1] + math.sqrt(1 - ab) * randn(1, 1, 28, 28, seed=1)
    mean, weights = brute_force(images, xt[0], ab)
    assert 0.2 < weights.max() < 0.9  # the case is undecided
    denoiser = EmpiricalDenoiser(images, SCHEDULE)
    assert np.abs(denoiser.weights(xt, torch.tensor([t]))[0].numpy() - weights).max() < 5e-3
    assert np.abs(denoiser(xt, torch.tensor([t]))[0].numpy() - mean).max() < 1e-3


def test_empirical_rows_of_a_batch_keep_their_own_time():
    images, xt, t = randn(6, 1, 2, 2), randn(3, 1, 2, 2, seed=1), torch.tensor([0, 40, 99])
    denoiser = EmpiricalDenoiser(images, SCHEDULE)
    for i in range(3):
        assert torch.allclose(denoiser(xt, t)[i], denoiser(xt[i : i + 1], t[i : i + 1])[0], atol=1e-6)


def test_labels_keep_the_images_of_that_label():
    images, labels, xt = randn(8, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]), randn(3, 1, 2, 2, seed=1)
    denoiser = EmpiricalDenoiser(images, SCHEDULE, labels)
    t, y = torch.tensor([60, 60, 20]), torch.tensor([2, 0, 1])
    guess = denoiser(xt, t, y)
    for i in range(3):
        mean, _ = brute_force(images[labels == y[i]], xt[i], ALPHA_BAR[t[i]])
        assert np.abs(guess[i].numpy() - mean).max() < 1e-4
    assert bool((denoiser.weights(xt, t, y)[labels[None] != y[:, None]] == 0).all())


def test_null_label_and_no_label_keep_all_images():
    images, labels, xt = randn(6, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2]), randn(2, 1, 2, 2, seed=1)
    denoiser, t = EmpiricalDenoiser(images, SCHEDULE, labels), torch.tensor([60, 30])
    assert denoiser.null_label == 3
    plain = EmpiricalDenoiser(images, SCHEDULE)(xt, t)
    assert torch.allclose(denoiser(xt, t, torch.tensor([3, 3])), plain) and torch.allclose(denoiser(xt, t), plain)


def test_at_little_noise_the_guess_is_the_nearest_image():
    images = randn(20, 1, 3, 3).clamp(-1, 1)
    xt = images + 0.02 * randn(20, 1, 3, 3, seed=1)
    nearest = torch.cdist(xt.flatten(1), images.flatten(1)).argmin(1)
    guess = EmpiricalDenoiser(images, NoiseSchedule.linear(1000))(xt, torch.zeros(20, dtype=torch.int64))
    assert torch.equal(nearest, torch.arange(20)) and torch.allclose(guess, images, atol=1e-4)


def test_at_full_noise_the_guess_is_nearly_the_mean_image():
    images = randn(20, 1, 3, 3).clamp(-1, 1)
    guess = EmpiricalDenoiser(images, NoiseSchedule.cosine(1000))(randn(2, 1, 3, 3, seed=1), torch.tensor([999, 999]))
    assert torch.allclose(guess, images.mean(0).expand(2, -1, -1, -1), atol=1e-3)


def test_labels_without_labelled_images_are_refused():
    with pytest.raises(ValueError, match="no labels"):
        EmpiricalDenoiser(randn(4, 1, 2, 2), SCHEDULE)(randn(1, 1, 2, 2), torch.tensor([0]), torch.tensor([0]))


@pytest.mark.parametrize("y", [1, 4, -1])
def test_a_label_that_no_image_has_is_refused(y):
    # Else every weight is 0/0 and the guess is NaN.
    denoiser = EmpiricalDenoiser(randn(4, 1, 2, 2), SCHEDULE, torch.tensor([0, 0, 2, 2]))
    with pytest.raises(ValueError, match="[Ll]abel"):
        denoiser(randn(1, 1, 2, 2), torch.tensor([50]), torch.tensor([y]))


@pytest.mark.parametrize("images", [torch.zeros(0, 1, 2, 2), torch.zeros(3, 1, 2, 2, dtype=torch.uint8)])
def test_no_images_and_bytes_are_refused(images):
    with pytest.raises(ValueError, match="floats in"):
        EmpiricalDenoiser(images, SCHEDULE)
