"""Forward process, posterior, targets and loss against Bayes, exact recursions and diffusers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddpm_course.diffusion import PREDICTIONS, Diffusion, posterior, q_sample, q_step
from ddpm_course.exact import GaussianDenoiser
from ddpm_course.schedule import NoiseSchedule

DIFFUSERS_NAME = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scalar(value):
    return torch.tensor([[float(value)]])


def schedules():
    return [NoiseSchedule.linear(200), NoiseSchedule.cosine(200)]


def diffusers_scheduler(schedule, **config):
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDPMScheduler(num_train_timesteps=schedule.T, trained_betas=schedule.betas.tolist(), **config)
    theirs.alphas_cumprod = torch.tensor(1 - schedule.betas.double().numpy()).cumprod(0)  # float64: theirs is float32
    return theirs


@pytest.fixture(params=schedules(), ids=["linear", "cosine"])
def schedule(request):
    return request.param


# Forward


@pytest.mark.parametrize("last", [0, 1, 99, 199])
def test_composed_steps_have_the_moments_of_the_jump(schedule, last):
    # x_t = gain * x_0 + noise of variance V, both read off q_step by calling it on 0 and 1. No Monte Carlo.
    gain, V = 1.0, 0.0
    for t in range(last + 1):
        step = torch.tensor([t])
        a = float(q_step(schedule, scalar(1), step, scalar(0)).double())
        b = float(q_step(schedule, scalar(0), step, scalar(1)).double())
        gain, V = a * gain, a**2 * V + b**2
    t = torch.tensor([last])
    assert float(q_sample(schedule, scalar(1), t, scalar(0))) == pytest.approx(gain, rel=1e-5)
    assert float(q_sample(schedule, scalar(0), t, scalar(1))) ** 2 == pytest.approx(V, rel=1e-5)


def test_the_chain_of_a_published_exercise_has_the_right_moments():
    # x0 = .5 after 100 steps of 1e-4..0.02, T=200, unscaled: published answers got .388/.003 and .705/.033 here.
    schedule = NoiseSchedule.from_betas(torch.linspace(1e-4, 0.02, 200, dtype=torch.float64))
    x, generator = torch.full((20_000,), 0.5), torch.Generator().manual_seed(0)
    for t in range(100):
        x = q_step(schedule, x, torch.full((20_000,), t), torch.randn(20_000, generator=generator))
    # Standard errors: sqrt(.398/20000) = .0045 and .398 sqrt(2/20000) = .004; the bounds are 4 of them.
    assert float(x.mean()) == pytest.approx(0.388, abs=0.018)
    assert float(x.var()) == pytest.approx(0.398, abs=0.016)


def test_forward_steps_preserve_unit_variance(schedule):
    t = torch.arange(schedule.T)
    for step in (q_step, q_sample):
        a = step(schedule, torch.ones(schedule.T), t, torch.zeros(schedule.T))
        b = step(schedule, torch.zeros(schedule.T), t, torch.ones(schedule.T))
        assert torch.allclose(a.square() + b.square(), torch.ones(schedule.T), atol=1e-6)


def test_the_jump_to_the_clean_level_is_the_image(schedule):
    x0 = randn(3, 1, 2, 2)
    assert torch.equal(q_sample(schedule, x0, torch.full((3,), -1), randn(3, 1, 2, 2, seed=1)), x0)


def test_q_sample_is_add_noise_of_diffusers(schedule):
    x0, noise, t = randn(6, 2, 3, 3), randn(6, 2, 3, 3, seed=1), torch.tensor([0, 1, 10, 77, 150, 199])
    theirs = diffusers_scheduler(schedule).add_noise(x0.double(), noise.double(), t)
    assert torch.allclose(q_sample(schedule, x0, t, noise).double(), theirs, atol=2e-6)


@pytest.mark.parametrize("t", [-1, 200])
def test_q_step_refuses_what_is_no_timestep(t):
    with pytest.raises(ValueError, match="0..199"):
        q_step(NoiseSchedule.linear(200), scalar(0), torch.tensor([t]), scalar(0))


@pytest.mark.parametrize("t", [torch.tensor([3]), torch.tensor([[3]] * 4), torch.tensor([3.0] * 4)], ids=["one", "column", "float"])
@pytest.mark.parametrize("step", [q_step, q_sample])
def test_a_misshapen_t_is_refused(step, t):
    x = torch.zeros(4, 1, 2, 2)
    with pytest.raises(ValueError, match="one for each image"):
        step(NoiseSchedule.linear(200), x, t, x)


# Posterior


@pytest.mark.parametrize("t, s", [(1, 0), (50, 49), (199, 198), (60, 20), (199, 0), (199, 100)])
def test_posterior_is_bayes_on_a_grid(schedule, t, s):
    # q(x_s | x_t, x_0) is proportional to q(x_s | x_0) q(x_t | x_s), integrated by brute force in float64.
    alpha_bar = np.cumprod(1 - schedule.betas.double().numpy())
    x0, xt = 0.7, -0.4
    ratio = alpha_bar[t] / alpha_bar[s]
    grid = np.linspace(-8, 8, 400_001)
    logp = -((grid - math.sqrt(alpha_bar[s]) * x0) ** 2) / (2 * (1 - alpha_bar[s]))
    logp -= (xt - math.sqrt(ratio) * grid) ** 2 / (2 * (1 - ratio))
    p = np.exp(logp - logp.max())
    p /= p.sum()
    mean = (p * grid).sum()
    variance = (p * (grid - mean) ** 2).sum()
    ours = posterior(schedule, scalar(x0), scalar(xt), torch.tensor([t]), torch.tensor([s]))
    assert float(ours[0]) == pytest.approx(mean, abs=2e-5)
    assert float(ours[1]) == pytest.approx(variance, rel=1e-4)


def test_posterior_variance_is_that_of_diffusers(schedule):
    theirs = diffusers_scheduler(schedule)
    t = torch.arange(1, schedule.T)
    x = torch.zeros(len(t), 1)
    _, variance = posterior(schedule, x, x, t)
    expected = torch.stack([theirs._get_variance(int(i), variance_type="fixed_small") for i in t])
    assert torch.allclose(variance.flatten().double(), expected, rtol=5e-5, atol=0)


def test_posterior_at_the_clean_level_is_the_image_itself(schedule):
    x0, xt, t = randn(3, 1, 2, 2), randn(3, 1, 2, 2, seed=1), torch.tensor([0, 7, 199])
    mean, variance = posterior(schedule, x0, xt, t, torch.full((3,), -1))
    assert torch.equal(mean, x0)
    assert variance.shape == (3, 1, 1, 1) and torch.equal(variance, torch.zeros(3, 1, 1, 1))


def test_posterior_steps_to_t_minus_1_unless_told(schedule):
    x0, xt, t = randn(3, 4), randn(3, 4, seed=1), torch.tensor([0, 7, 199])
    for a, b in zip(posterior(schedule, x0, xt, t), posterior(schedule, x0, xt, t, t - 1), strict=True):
        assert torch.equal(a, b)


@given(st.data())
def test_noising_then_stepping_back_gives_the_marginal(data):
    # If x_t ~ q(x_t | x_0), then x_s drawn from the posterior must be ~ q(x_s | x_0): mean and variance compose.
    schedule = schedules()[data.draw(st.integers(0, 1))]
    t = data.draw(st.integers(1, 199))
    s = data.draw(st.integers(0, t - 1))
    T, S = torch.tensor([t]), torch.tensor([s])
    of_x0, variance = (float(v) for v in posterior(schedule, scalar(1), scalar(0), T, S))
    of_xt = float(posterior(schedule, scalar(0), scalar(1), T, S)[0])
    a, b = float(q_sample(schedule, scalar(1), T, scalar(0))), float(q_sample(schedule, scalar(0), T, scalar(1)))
    assert of_x0 + of_xt * a == pytest.approx(float(q_sample(schedule, scalar(1), S, scalar(0))), rel=1e-4)
    assert of_xt**2 * b**2 + variance == pytest.approx(float(q_sample(schedule, scalar(0), S, scalar(1))) ** 2, rel=2e-4)


@pytest.mark.parametrize("t, s", [(5, 5), (5, 6), (-1, -2), (200, 3), (5, -2)])
def test_posterior_refuses_to_walk_forward_or_out_of_range(t, s):
    with pytest.raises(ValueError):
        posterior(NoiseSchedule.linear(200), scalar(0), scalar(0), torch.tensor([t]), torch.tensor([s]))


# Targets


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_denoise_undoes_target(schedule, prediction):
    x0, noise, t = randn(4, 1, 3, 3).clamp(-1, 1), randn(4, 1, 3, 3, seed=1), torch.tensor([0, 30, 100, 150])
    diffusion = Diffusion(schedule, prediction)
    target = diffusion.target(x0, noise, t)
    guess, eps = diffusion.denoise(lambda x, t, y: target, q_sample(schedule, x0, t, noise), t, clip=False)
    assert torch.allclose(guess, x0, atol=1e-4) and torch.allclose(eps, noise, atol=1e-4)


def test_v_target_is_get_velocity_of_diffusers(schedule):
    x0, noise, t = randn(6, 2, 3, 3), randn(6, 2, 3, 3, seed=1), torch.tensor([0, 1, 10, 77, 150, 199])
    theirs = diffusers_scheduler(schedule).get_velocity(x0.double(), noise.double(), t)
    assert torch.allclose(Diffusion(schedule, "v").target(x0, noise, t).double(), theirs, atol=2e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_guess_is_that_of_diffusers(schedule, prediction):
    theirs = diffusers_scheduler(schedule, prediction_type=DIFFUSERS_NAME[prediction], clip_sample=True)
    output, xt = randn(1, 2, 3, 3), randn(1, 2, 3, 3, seed=1)
    for t in (0, 40, 120, 180):
        expected = theirs.step(output, t, xt, generator=torch.Generator()).pred_original_sample
        x0, _ = Diffusion(schedule, prediction).denoise(lambda x, t, y: output, xt, torch.tensor([t]))
        assert torch.allclose(x0, expected.float(), atol=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_clipped_guess_and_noise_match(schedule, prediction):
    output, xt, t = 3 * randn(5, 1, 4, 4), 2 * randn(5, 1, 4, 4, seed=1), torch.tensor([0, 20, 90, 150, 199])
    x0, eps = Diffusion(schedule, prediction).denoise(lambda x, t, y: output, xt, t)
    assert float(x0.max()) == 1 and float(x0.min()) == -1  # both bounds act here
    assert torch.allclose(q_sample(schedule, x0, t, eps), xt, atol=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_without_clip_the_guess_may_leave_the_range(prediction):
    schedule = NoiseSchedule.linear(200)
    output, xt, t = 3 * randn(3, 1, 4, 4), 2 * randn(3, 1, 4, 4, seed=1), torch.tensor([0, 90, 150])
    x0, eps = Diffusion(schedule, prediction).denoise(lambda x, t, y: output, xt, t, clip=False)
    assert float(x0.abs().max()) > 2
    assert torch.allclose(q_sample(schedule, x0, t, eps), xt, atol=1e-4)


def test_denoise_hands_the_labels_on():
    seen = []
    y = torch.tensor([4, 2])
    Diffusion(NoiseSchedule.linear(200)).denoise(lambda x, t, y: seen.append(y) or x, torch.zeros(2, 1), torch.tensor([3, 5]), y)
    assert torch.equal(seen[0], y)


def test_denoise_refuses_a_model_output_of_another_shape():
    # Else one channel would silently spread over three.
    x = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match="must agree"):
        Diffusion(NoiseSchedule.linear(200)).denoise(lambda x, t, y: x[:, :1], x, torch.tensor([3, 5]))


@pytest.mark.parametrize("t", [-1, 200])
def test_denoise_refuses_what_is_no_timestep(t):
    with pytest.raises(ValueError, match="0..199"):
        Diffusion(NoiseSchedule.linear(200)).denoise(lambda x, t, y: x, scalar(0), torch.tensor([t]))


@pytest.mark.parametrize("arguments", [{"prediction": "epsilon"}, {"min_snr_gamma": 0}, {"min_snr_gamma": -1.0}])
def test_unknown_settings_are_refused(arguments):
    with pytest.raises(ValueError):
        Diffusion(NoiseSchedule.linear(200), **arguments)


# Loss


def as_prediction(denoiser, schedule, prediction):
    """The x0 denoiser's guess, said as eps or v. Written on alpha_bar, apart from Diffusion."""

    def model(xt, t, y=None):
        x0 = denoiser(xt, t, y)
        alpha_bar = schedule.log_alpha_bar.double().exp()[t].reshape(-1, *[1] * (xt.ndim - 1))
        eps = (xt - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()
        return {"x0": x0, "eps": eps, "v": alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * x0}[prediction].float()

    return model


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("t", [20, 100, 180])
def test_loss_of_the_exact_denoiser_is_the_posterior_variance(prediction, t):
    # The least loss anyone can reach: Var(x0 | xt) = s^2 (1 - ab) / (ab s^2 + 1 - ab), scaled to the target's unit.
    schedule, std, n = NoiseSchedule.cosine(200), 0.5, 40_000
    ab = float(schedule.alpha_bar[t])
    variance = std**2 * (1 - ab) / (ab * std**2 + 1 - ab)
    unit = {"x0": 1, "eps": ab / (1 - ab), "v": 1 / (1 - ab)}[prediction]
    model = as_prediction(GaussianDenoiser(0.2, std, schedule), schedule, prediction)
    generator = torch.Generator().manual_seed(t)
    x0 = 0.2 + std * torch.randn(n, 1, generator=generator)
    loss = Diffusion(schedule, prediction).loss(model, x0, t=torch.full((n,), t), generator=generator)
    # The square of a Gaussian has a relative standard error of sqrt(2/n) = 0.7 %; the bound is 4 of them.
    assert float(loss.mean()) == pytest.approx(variance * unit, rel=4 * math.sqrt(2 / n))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_loss_of_a_perfect_answer_is_zero(schedule, prediction):
    diffusion = Diffusion(schedule, prediction, min_snr_gamma=5)
    x0, noise, t = randn(3, 1, 2, 2), randn(3, 1, 2, 2, seed=1), torch.tensor([0, 50, 199])
    target = diffusion.target(x0, noise, t)
    assert torch.equal(diffusion.loss(lambda x, t, y: target, x0, t=t, noise=noise), torch.zeros(3))


@given(st.integers(0, 199), st.floats(0.1, 50), st.integers(0, 1))
def test_min_snr_weights_agree_after_conversion_to_x0(t, gamma, which):
    # One wrong guess of x0, said in three ways, must cost the same: min(SNR, gamma) times its square error.
    schedule = schedules()[which]
    x0, noise, T = randn(2, 1, 3, 3), randn(2, 1, 3, 3, seed=1), torch.full((2,), t)

    def wrong(xt, t, y):
        return x0 + torch.tensor([0.3, 2.0]).reshape(2, 1, 1, 1)

    snr = 1 / math.expm1(-float(schedule.log_alpha_bar.double()[t]))
    expected = min(snr, gamma) * torch.tensor([0.3, 2.0]) ** 2
    for prediction in ("x0", "v", "eps"):
        loss = Diffusion(schedule, prediction, gamma).loss(as_prediction(wrong, schedule, prediction), x0, t=T, noise=noise)
        # Near pure noise, a float32 eps tells x0 only to about 1e-7 / sqrt(SNR).
        assert torch.allclose(loss, expected, rtol=2e-3 + 1e-6 * snr**-0.5, atol=1e-6), prediction


def test_min_snr_weight_of_v_has_the_plus_one(schedule):
    # Hang et al. 2023; diffusers had it wrong once: huggingface/diffusers#5106
    t = torch.arange(schedule.T)
    snr = schedule.alpha_bar.double() / -torch.expm1(schedule.log_alpha_bar.double())
    weight = Diffusion(schedule, "v", 5.0).weight(t)
    assert weight.shape == (schedule.T,)
    assert torch.allclose(weight.double(), snr.clamp(max=5) / (snr + 1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_plain_loss_is_not_weighted(schedule, prediction):
    assert torch.equal(Diffusion(schedule, prediction).weight(torch.arange(schedule.T)), torch.ones(schedule.T))


def test_loss_is_one_number_an_image_and_no_image_leaks_into_another(schedule):
    diffusion, x0, t = Diffusion(schedule, "v", 5), randn(4, 2, 3, 3), torch.tensor([0, 60, 120, 199])
    noise = randn(4, 2, 3, 3, seed=1)
    loss = diffusion.loss(lambda x, t, y: torch.sin(x), x0, t=t, noise=noise)
    assert loss.shape == (4,)
    for i in range(4):
        alone = diffusion.loss(lambda x, t, y: torch.sin(x), x0[i : i + 1], t=t[i : i + 1], noise=noise[i : i + 1])
        assert float(alone) == pytest.approx(float(loss[i]), rel=1e-6)


def test_loss_draws_every_timestep_and_noise_of_unit_variance():
    seen = {}

    def spy(xt, t, y):
        seen.update(xt=xt, t=t)
        return torch.zeros_like(xt)

    schedule = NoiseSchedule.cosine(10)
    loss = Diffusion(schedule).loss(spy, torch.zeros(5000, 4), generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(seen["t"], minlength=10)
    # 500 expected of each, standard deviation 21: five of them
    assert len(counts) == 10 and seen["t"].dtype == torch.int64 and int((counts - 500).abs().max()) < 106
    # mean square of the noise: 20,000 numbers, standard error .01
    assert float(loss.mean()) == pytest.approx(1, abs=0.04)


def test_loss_repeats_with_the_generator_and_changes_with_the_seed(schedule):
    def loss(seed):
        return Diffusion(schedule).loss(lambda x, t, y: x, torch.ones(8, 4), generator=torch.Generator().manual_seed(seed))

    assert torch.equal(loss(1), loss(1)) and not torch.equal(loss(1), loss(2))


def test_loss_leaves_the_global_random_state_alone(schedule):
    before = torch.get_rng_state()
    Diffusion(schedule).loss(lambda x, t, y: x, torch.ones(8, 4), generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


X = torch.zeros(4, 1, 2, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"noise": torch.zeros(1, 1, 2, 2)},
        {"noise": torch.zeros(4, 2, 2)},
        {"t": torch.tensor([1])},
        {"t": torch.tensor([[1]] * 4)},
        {"t": torch.tensor([1.0] * 4)},
        {"t": torch.tensor([1, 2, 3, -1])},
        {"t": torch.tensor([1, 2, 3, 200])},
        {"model": lambda x, t, y: x[:1]},
        {"model": lambda x, t, y: x.flatten(1)},
        {"model": lambda x, t, y: x.mean((1, 2, 3))},
    ],
)
def test_loss_refuses_shapes_that_would_broadcast_and_times_out_of_range(arguments):
    arguments = {"model": lambda x, t, y: x, "t": torch.tensor([0, 1, 2, 199]), "noise": X, **arguments}
    with pytest.raises(ValueError):
        Diffusion(NoiseSchedule.linear(200)).loss(arguments.pop("model"), X, **arguments)


@pytest.mark.parametrize("noise_shape", [(1, 1, 4, 4), (4, 1, 1, 4), (1, 4, 4), (4,), (), (4, 3, 4, 4)])
@pytest.mark.parametrize("noising", [q_sample, q_step])
def test_noise_that_would_be_shared_is_refused(schedule, noising, noise_shape):
    with pytest.raises(ValueError, match=r"noise has shape .*, the images \(4, 1, 4, 4\): they must agree"):
        noising(schedule, torch.zeros(4, 1, 4, 4), torch.tensor([0, 1, 2, 3]), torch.zeros(noise_shape))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_nothing_is_changed_in_place(schedule, prediction):
    t = torch.tensor([0, 90, 199])
    tensors = [3 * randn(3, 1, 2, 2, seed=i) for i in range(3)]
    copies = [x.clone() for x in [*tensors, t, schedule.log_alpha_bar, schedule.betas]]
    x0, noise, output = tensors
    diffusion = Diffusion(schedule, prediction, 5)
    q_step(schedule, x0, t, noise)
    q_sample(schedule, x0, t, noise)
    posterior(schedule, x0, noise, t)
    diffusion.loss(lambda x, t, y: output, x0, t=t, noise=noise)
    diffusion.denoise(lambda x, t, y: output, noise, t)
    assert all(torch.equal(a, b) for a, b in zip([*tensors, t, schedule.log_alpha_bar, schedule.betas], copies, strict=True))


def test_loss_of_a_bfloat16_model_is_float32(schedule):
    loss = Diffusion(schedule).loss(lambda x, t, y: x.bfloat16(), torch.ones(4, 3), generator=torch.Generator().manual_seed(0))
    assert loss.dtype == torch.float32
