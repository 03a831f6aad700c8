"""The samplers step by step against diffusers, its frozen numbers, and exact solutions."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddpm_course.checkpoints import load_checkpoint
from ddpm_course.diffusion import PREDICTIONS, Diffusion, posterior
from ddpm_course.exact import EmpiricalDenoiser, GaussianDenoiser
from ddpm_course.sampling import Step, ddim_step, ddpm_step, dpmpp_step, draw_noise, image_stream, sample, sample_steps
from ddpm_course.schedule import SPACINGS, NoiseSchedule
from ddpm_course.unet import UNet, UNetConfig

DIFFUSERS_NAME = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
SCHEDULES = {"linear": NoiseSchedule.linear(100), "cosine": NoiseSchedule.cosine(100)}
LINEAR_1000 = NoiseSchedule.linear(1000)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


def rough_model(x, t, y=None):
    """A fixed bounded function without meaning, unlike the right answer at every level."""
    t = t.reshape(-1, 1, 1, 1)
    return 1.5 * torch.sin(2 * x.roll(1, -1) + 0.1 * t) + 0.3 * torch.cos(5 * x + t)


def diffusers_scheduler(name, schedule, **config):
    diffusers = pytest.importorskip("diffusers")
    theirs = getattr(diffusers, name)(num_train_timesteps=schedule.T, trained_betas=schedule.betas.tolist(), **config)
    theirs.alphas_cumprod = (1 - schedule.betas.double()).cumprod(0)  # float64: theirs is float32
    return theirs


def assert_equal_steps(steps, x, their_step, tolerance=2e-5):
    """Each step of ours beside theirs, both from the same x, so that no error hides another's."""
    count = 0
    for step in steps:
        theirs = their_step(rough_model(x, torch.full((len(x),), step.t)), step.t, x).prev_sample
        scale = max(1.0, float(theirs.abs().max()))
        assert float((step.x - theirs).abs().max()) < tolerance * scale, f"step {step.t} -> {step.s}"
        x, count = step.x, count + 1
    return count


@pytest.fixture(params=["linear", "cosine"])
def schedule(request):
    return SCHEDULES[request.param]


@pytest.fixture(params=PREDICTIONS)
def prediction(request):
    return request.param


# Step by step against diffusers


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("n", [100, 20])
def test_ddpm_steps_are_those_of_diffusers(schedule, prediction, variance, clip, n):
    config = {"variance_type": f"fixed_{variance}", "clip_sample": clip, "prediction_type": DIFFUSERS_NAME[prediction]}
    # Leading: on a last step from t > 0, diffusers would add noise to the finished image.
    theirs = diffusers_scheduler("DDPMScheduler", schedule, timestep_spacing="leading", **config)
    theirs.set_timesteps(n)
    xT, noise = randn(2, 3, 4, 4), seeded(7)
    steps = sample_steps(Diffusion(schedule, prediction), rough_model, xT, timesteps=n, solver="ddpm", variance=variance,
                         spacing="leading", clip=clip, generator=seeded(7))
    assert assert_equal_steps(steps, xT, lambda out, t, x: theirs.step(out, t, x, generator=noise)) == n


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddim_steps_are_those_of_diffusers(schedule, prediction, eta, spacing, clip):
    config = {"clip_sample": clip, "prediction_type": DIFFUSERS_NAME[prediction], "timestep_spacing": spacing}
    theirs = diffusers_scheduler("DDIMScheduler", schedule, **config)
    theirs.set_timesteps(20)
    xT, noise = randn(2, 3, 4, 4), seeded(7)
    steps = sample_steps(Diffusion(schedule, prediction), rough_model, xT, timesteps=20, solver="ddim", eta=eta,
                         spacing=spacing, clip=clip, generator=seeded(7))

    def their_step(out, t, x):
        return theirs.step(out, t, x, eta=eta, use_clipped_model_output=True, generator=noise)

    assert assert_equal_steps(steps, xT, their_step) == 20


@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
@pytest.mark.parametrize("n", [5, 20])
def test_dpmpp_steps_are_those_of_diffusers(schedule, prediction, spacing, n):
    config = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint", "final_sigmas_type": "zero"}
    theirs = diffusers_scheduler("DPMSolverMultistepScheduler", schedule, timestep_spacing=spacing,
                                 prediction_type=DIFFUSERS_NAME[prediction], **config)
    theirs.set_timesteps(n)
    xT = randn(2, 3, 4, 4)
    steps = sample_steps(Diffusion(schedule, prediction), rough_model, xT, timesteps=theirs.timesteps.tolist(), solver="dpmpp", clip=False)
    assert assert_equal_steps(steps, xT, theirs.step, tolerance=1e-4) == n


# The same at random settings. They visit our timesteps (test_schedule compares the lists themselves).


@st.composite
def random_walks(draw):
    """(schedule, prediction, clip, visits): any schedule, number of steps and spacing, or any falling list of timesteps."""
    T = draw(st.sampled_from([2, 13, 100, 250, 1000]))
    kind = draw(st.sampled_from(["linear", "cosine", "any"]))
    if kind == "any":
        betas = draw(st.lists(st.floats(0.01, 0.3), min_size=2, max_size=40))
        schedule = NoiseSchedule.from_betas(betas)
    else:
        schedule = NoiseSchedule.cosine(T) if kind == "cosine" or T <= 20 else NoiseSchedule.linear(T)
    spacing = draw(st.sampled_from([*SPACINGS, "a list"]))
    if spacing == "a list":
        visits = sorted(draw(st.sets(st.integers(0, schedule.T - 1), min_size=1, max_size=25)), reverse=True)
    else:
        visits = schedule.timesteps(draw(st.integers(1, min(schedule.T, 25))), spacing)
    return schedule, draw(st.sampled_from(PREDICTIONS)), draw(st.booleans()), visits


@given(random_walks(), st.sampled_from(["small", "large"]))
def test_random_ddpm_walks_are_those_of_diffusers(walk, variance):
    schedule, prediction, clip, visits = walk
    theirs = diffusers_scheduler("DDPMScheduler", schedule, variance_type=f"fixed_{variance}", clip_sample=clip,
                                 prediction_type=DIFFUSERS_NAME[prediction])
    theirs.set_timesteps(timesteps=visits)
    xT, noise = randn(2, 3, 4, 4), seeded(7)
    steps = sample_steps(Diffusion(schedule, prediction), rough_model, xT, timesteps=visits, variance=variance, clip=clip,
                         generator=seeded(7))

    def their_step(out, t, x):
        step = theirs.step(out, t, x, generator=noise)
        # After t > 0 they add noise to the finished image; its mean is their guess.
        return step if t != visits[-1] else type(step)(prev_sample=step.pred_original_sample)

    assert assert_equal_steps(steps, xT, their_step) == len(visits)


@given(random_walks(), st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1)))
def test_random_ddim_walks_are_those_of_diffusers(walk, eta):
    schedule, prediction, clip, visits = walk
    theirs = diffusers_scheduler("DDIMScheduler", schedule, clip_sample=clip, prediction_type=DIFFUSERS_NAME[prediction])
    xT, noise, after = randn(2, 3, 4, 4), seeded(7), dict(zip(visits, [*visits[1:], -1], strict=True))
    steps = sample_steps(Diffusion(schedule, prediction), rough_model, xT, timesteps=visits, solver="ddim", eta=eta, clip=clip,
                         generator=seeded(7))

    def their_step(out, t, x):
        theirs.num_inference_steps = Fraction(schedule.T, t - after[t])  # they step by T // this, ours to the next visit
        return theirs.step(out, t, x, eta=eta, use_clipped_model_output=True, generator=noise)

    assert assert_equal_steps(steps, xT, their_step) == len(visits)


@given(random_walks())
def test_random_dpmpp_walks_are_those_of_diffusers(walk):
    schedule, prediction, clip, visits = walk
    config = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint", "final_sigmas_type": "zero"}
    # They have no clip_sample; dynamic thresholding that never exceeds 1 is the same clip.
    theirs = diffusers_scheduler("DPMSolverMultistepScheduler", schedule, prediction_type=DIFFUSERS_NAME[prediction], thresholding=clip,
                                 sample_max_value=1.0, **config)
    theirs.set_timesteps(timesteps=visits)
    xT = randn(2, 3, 4, 4)
    steps = sample_steps(Diffusion(schedule, prediction), rough_model, xT, timesteps=visits, solver="dpmpp", clip=clip)
    # A long step after a very short one multiplies the rounding of their float32 log-SNR by the ratio of the two.
    assert assert_equal_steps(steps, xT, theirs.step, tolerance=1e-3) == len(visits)


@pytest.mark.parametrize("name, options, config", [
    ("DDPMScheduler", {"solver": "ddpm"}, {"clip_sample": True}),
    ("DDIMScheduler", {"solver": "ddim"}, {"clip_sample": True}),
    ("DDIMScheduler", {"solver": "ddim", "eta": 0.5}, {"clip_sample": True}),
    ("DPMSolverMultistepScheduler", {"solver": "dpmpp"}, {"thresholding": True, "sample_max_value": 1.0}),
])
def test_the_shipped_network_draws_the_same_digits_through_diffusers(name, options, config):
    """A whole walk in a loop like their pipelines', by their own name for the cosine schedule: notebook 10 shows it."""
    diffusers = pytest.importorskip("diffusers")
    loaded, y, xT = load_checkpoint("mnist"), torch.arange(10), randn(10, 1, 28, 28)
    theirs = getattr(diffusers, name)(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="sample",
                                      timestep_spacing="trailing", **config)
    theirs.set_timesteps(10)
    more = {"generator": seeded(1)} if name == "DDPMScheduler" else {}
    if name == "DDIMScheduler":
        more = {"eta": options.get("eta", 0.0), "use_clipped_model_output": True, "generator": seeded(1)}
    x = xT
    for t in theirs.timesteps:
        with torch.no_grad():
            output = loaded.model(x, t.expand(10), y)
        x = theirs.step(output, t, x, **more).prev_sample
    *_, last = sample_steps(loaded.diffusion, loaded.model, xT, y=y, timesteps=10, generator=seeded(1), **options)
    assert float((last.x - x).abs().max()) < 0.02  # their float32 alpha-bar is off by 1e-4 where little noise is left


# Frozen numbers of diffusers' own tests (tests/schedulers), on its own sample and model


def golden_sample():
    return (torch.arange(768, dtype=torch.float64) / 768).reshape(3, 8, 8, 4).permute(3, 0, 1, 2)


def golden_model(x, t, y=None):
    t = t.double().reshape(-1, 1, 1, 1)
    return x * t / (t + 1)


@pytest.mark.parametrize("prediction, total", [("eps", 172.0067), ("v", 52.5302)])
def test_ddim_golden(prediction, total):
    steps = sample_steps(Diffusion(LINEAR_1000, prediction), golden_model, golden_sample(), timesteps=10, spacing="leading", solver="ddim")
    *_, last = steps
    assert float(last.x.abs().sum()) == pytest.approx(total, abs=1e-2)


def test_ddim_golden_with_another_start_of_beta():
    schedule = NoiseSchedule.linear(1000, beta_start=0.01)
    steps = list(sample_steps(Diffusion(schedule), golden_model, golden_sample(), timesteps=10, spacing="leading", solver="ddim"))
    assert float(steps[-1].x.abs().sum()) == pytest.approx(149.8295, abs=1e-2)
    # set_alpha_to_one=False ends at alpha_bar_0: the sample before the last step, which leaves t=0.
    assert steps[-2].s == 0 and float(steps[-2].x.abs().sum()) == pytest.approx(149.0784, abs=1e-2)


@pytest.mark.parametrize("prediction, mean", [("eps", 0.3301), ("v", 0.2251)])
def test_dpmpp_golden(prediction, mean):
    # Ends at alpha_bar_0 (sigma_min) with a second-order step, so it walks on the pure function.
    visits = [999, 899, 799, 699, 599, 500, 400, 300, 200, 100]  # linspace(0, 999, 11), without its 0
    diffusion, x, before = Diffusion(LINEAR_1000, prediction), golden_sample(), ()
    levels = LINEAR_1000.levels([*visits, 0])
    for t, at, to in zip(visits, levels, levels[1:], strict=False):
        x0, _ = diffusion.denoise(golden_model, x, torch.full((len(x),), t), clip=False)
        x, before = dpmpp_step(x, x0, at, to, *before), (x0, at)
    assert float(x.abs().mean()) == pytest.approx(mean, abs=1e-3)


def variance_of(step, t, s, **options):
    zero, (at, to) = torch.zeros(1, dtype=torch.float64), LINEAR_1000.levels([t, s])
    return float((step(zero, zero, at, to, torch.ones(1), **options) - step(zero, zero, at, to, torch.zeros(1), **options)) ** 2)


@pytest.mark.parametrize("t, variance", [(487, 0.00979), (999, 0.02)])
def test_ddpm_variance_golden(t, variance):
    assert variance_of(ddpm_step, t, t - 1) == pytest.approx(variance, abs=1e-5)


@pytest.mark.parametrize("t, s, variance", [(420, 400, 0.14771), (980, 960, 0.32460)])
def test_ddim_variance_golden(t, s, variance):
    assert variance_of(ddim_step, t, s, eta=1.0) == pytest.approx(variance, abs=1e-5)


# Exact solutions


def gaussian_guess(x, alpha_bar, std):
    """E[x0 | xt] for data N(0, std^2)."""
    return std**2 * alpha_bar**0.5 * x / (alpha_bar * std**2 + 1 - alpha_bar)


def flow_error(step, levels, std=0.5):
    """Relative error of a solver's gain. The exact flow scales x by the ratio of the marginals' standard deviations."""
    x, before = torch.ones(1, dtype=torch.float64), ()
    for at, to in zip(levels, levels[1:], strict=False):
        x0 = gaussian_guess(x, at, std)
        x = step(x, x0, at, to, *(before if step is dpmpp_step else ()))
        before = (x0, at)
    exact = math.sqrt((levels[-1] * std**2 + 1 - levels[-1]) / (levels[0] * std**2 + 1 - levels[0]))
    return abs(float(x) / exact - 1)


def uniform_log_snr(n):
    first, last = (math.log(a / (1 - a)) for a in LINEAR_1000.levels([999, 0]))
    return [1 / (1 + math.exp(-(first + (last - first) * i / n))) for i in range(n + 1)]


def test_ddim_is_of_first_order():
    errors = [flow_error(ddim_step, LINEAR_1000.levels([*LINEAR_1000.timesteps(n), -1])) for n in (20, 40, 80, 160)]
    assert errors[:2] == pytest.approx([0.1373, 0.0710], abs=1e-4)
    assert [a / b for a, b in zip(errors, errors[1:], strict=False)] == pytest.approx([2, 2, 2], abs=0.1)


def test_dpmpp_is_of_second_order():
    errors = [flow_error(dpmpp_step, uniform_log_snr(n)) for n in (40, 80, 160)]
    assert errors == pytest.approx([3.57e-3, 9.06e-4, 2.27e-4], rel=2e-3)
    assert [a / b for a, b in zip(errors, errors[1:], strict=False)] == pytest.approx([4, 4], abs=0.1)


def test_dpmpp_is_of_second_order_on_uneven_levels():
    # Smooth but far from uniform in log-SNR: a wrong step ratio would cost the order.
    def levels(n):
        first, last = (math.log(a / (1 - a)) for a in LINEAR_1000.levels([999, 0]))
        return [1 / (1 + math.exp(-(first + (last - first) * (i / n) ** 2))) for i in range(n + 1)]

    errors = [flow_error(dpmpp_step, levels(n)) for n in (80, 160, 320)]
    assert [a / b for a, b in zip(errors, errors[1:], strict=False)] == pytest.approx([4, 4], abs=0.4)


def test_dpmpp_with_one_guess_is_ddim():
    x, x0 = randn(4, 3), randn(4, 3, seed=1)
    for to in (0.9, 1.0):
        assert torch.allclose(dpmpp_step(x, x0, 0.3, to), ddim_step(x, x0, 0.3, to), atol=1e-6)


def test_dpmpp_ends_on_its_last_guess():
    x, x0, before = randn(4), randn(4, seed=1), randn(4, seed=2)
    assert torch.equal(dpmpp_step(x, x0, 0.9, 1.0, before, 0.5), x0)


def ancestral_variance(n, std, variance):
    """Var(x_0) / std^2 after n steps from N(0, 1). The step is affine, so its gain and its noise are read off by calling it."""
    total, levels = 1.0, LINEAR_1000.levels([*LINEAR_1000.timesteps(n), -1])
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for i, (at, to) in enumerate(zip(levels, levels[1:], strict=False)):
        gain = ddpm_step(one, gaussian_guess(one, at, std), at, to)
        spread = ddpm_step(zero, zero, at, to, one if i < n - 1 else None, variance)
        total = float(gain**2 * total + spread**2)
    return total / std**2


# From the exact recursion. With few steps the small variance loses spread on data N(0, 1).
@pytest.mark.parametrize("variance, expected", [("large", [0.9999, 0.9981, 0.9942, 0.897]), ("small", [0.9911, 0.9216, 0.8574, 0.5483])])
def test_ancestral_variance_of_standard_normal_data(variance, expected):
    assert [ancestral_variance(n, 1.0, variance) for n in (1000, 100, 50, 10)] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("variance, expected", [("large", 1.003), ("small", 0.9845)])
def test_ancestral_variance_of_narrow_data(variance, expected):
    assert ancestral_variance(1000, 0.5, variance) == pytest.approx(expected, abs=1e-4)


def test_ancestral_samples_of_gaussian_data_have_the_variance_of_the_recursion():
    # The whole sampler, with the exact denoiser as its network: 40,000 draws, standard error sqrt(2/40000) = 0.7 %.
    *_, last = sample_steps(Diffusion(LINEAR_1000, "x0"), GaussianDenoiser(0.25, 0.5, LINEAR_1000), randn(40_000, 1), timesteps=50,
                            variance="large", clip=False, generator=seeded(1))
    assert float(last.x.mean()) == pytest.approx(0.25, abs=0.012)
    assert float(last.x.var()) / 0.25 == pytest.approx(ancestral_variance(50, 0.5, "large"), rel=0.03)


@pytest.mark.parametrize("t, s", [(99, 98), (99, 40), (50, 0), (1, 0), (20, -1)])
def test_ddim_with_eta_1_is_ddpm_with_the_small_variance(schedule, t, s):
    x, x0, noise = (randn(3, 4, seed=i).double() for i in range(3))
    at, to = schedule.levels([t, s])
    assert torch.allclose(ddim_step(x, x0, at, to, noise, 1.0), ddpm_step(x, x0, at, to, noise), atol=1e-9)


def test_whole_ddim_walk_with_eta_1_is_the_ddpm_walk(schedule):
    diffusion, xT = Diffusion(schedule, "v"), randn(2, 1, 3, 3)
    ddim = sample_steps(diffusion, rough_model, xT, timesteps=20, solver="ddim", eta=1.0, generator=seeded(3))
    ddpm = sample_steps(diffusion, rough_model, xT, timesteps=20, solver="ddpm", generator=seeded(3))
    for a, b in zip(ddim, ddpm, strict=True):
        assert torch.allclose(a.x, b.x, atol=1e-3)  # rough_model amplifies rounding from step to step


@pytest.mark.parametrize("t, s", [(99, 98), (99, 40), (50, 0), (20, -1)])
def test_ddpm_step_is_the_posterior(schedule, t, s):
    x, x0, noise = (randn(3, 4, seed=i) for i in range(3))
    mean, variance = posterior(schedule, x0, x, torch.full((3,), t), torch.full((3,), s))
    assert torch.allclose(ddpm_step(x, x0, *schedule.levels([t, s]), noise), mean + variance.sqrt() * noise, atol=1e-5)


@given(st.floats(1e-9, 0.999), st.floats(0, 1), st.floats(0, 1))
def test_every_step_is_finite_and_keeps_a_noised_image_on_its_level(at, share, eta):
    # With the right x0, DDIM moves x_t to x_s of the same noise; its variance is split between old and new noise.
    to = min(1.0, at + share * (1 - at))
    x0, eps, noise = (randn(5, seed=i).double() for i in range(3))
    x = at**0.5 * x0 + (1 - at) ** 0.5 * eps
    moved = ddim_step(x, x0, at, to)
    assert torch.allclose(moved, to**0.5 * x0 + (1 - to) ** 0.5 * eps, atol=1e-6)
    zero = torch.zeros(1, dtype=torch.float64)
    kept = ddim_step((1 - at) ** 0.5 * (zero + 1), zero, at, to, zero, eta)
    added = ddim_step(zero, zero, at, to, zero + 1, eta)
    assert float(kept**2 + added**2) == pytest.approx(1 - to, abs=1e-9)
    for step in (ddim_step(x, x0, at, to, noise, eta), ddpm_step(x, x0, at, to, noise), ddpm_step(x, x0, at, to, noise, "large")):
        assert not step.is_complex() and bool(step.isfinite().all())


def test_levels_may_be_tensors():
    x, x0, noise = (randn(3, 2, seed=i).double() for i in range(3))
    at, to = torch.tensor([[0.1], [0.4], [0.7]]).double(), torch.tensor([[0.3], [0.9], [1.0]]).double()
    for i in range(3):
        levels = float(at[i]), float(to[i])
        assert torch.allclose(ddpm_step(x, x0, at, to, noise)[i], ddpm_step(x[i], x0[i], *levels, noise[i]))
        assert torch.allclose(ddim_step(x, x0, at, to, noise, 0.5)[i], ddim_step(x[i], x0[i], *levels, noise[i], 0.5))


# Finite data


@pytest.mark.parametrize("options", [{"solver": "ddpm"}, {"solver": "ddpm", "variance": "large"}, {"solver": "ddim"},
                                     {"solver": "ddim", "eta": 1.0}, {"solver": "dpmpp"}])  # fmt: skip
def test_samples_of_finite_data_are_the_data(schedule, options):
    images = randn(6, 1, 3, 3).clamp(-1, 1)
    denoiser, xT = EmpiricalDenoiser(images, schedule), randn(64, 1, 3, 3, seed=1)
    *_, last = sample_steps(Diffusion(schedule, "x0"), denoiser, xT, generator=seeded(2), **options)
    distance, nearest = torch.cdist(last.x.flatten(1), images.flatten(1)).min(1)
    assert float(distance.max()) < 1e-2
    assert len(nearest.unique()) >= 5  # all six, save for chance


def test_samples_of_labelled_data_have_the_label():
    schedule, images, labels = SCHEDULES["cosine"], randn(8, 1, 3, 3).clamp(-1, 1), torch.arange(8) % 4
    y = torch.arange(32) % 4
    *_, last = sample_steps(Diffusion(schedule, "x0"), EmpiricalDenoiser(images, schedule, labels), randn(32, 1, 3, 3, seed=1), y=y,
                            timesteps=50, solver="dpmpp")
    nearest = torch.cdist(last.x.flatten(1), images.flatten(1)).argmin(1)
    assert torch.equal(labels[nearest], y)


# The generator of steps


@pytest.mark.parametrize("solver", ["ddpm", "ddim", "dpmpp"])
def test_all_timesteps_make_T_steps_with_their_fields(solver):
    schedule = NoiseSchedule.cosine(12)
    diffusion, x = Diffusion(schedule, "v"), randn(2, 1, 3, 3)
    steps = list(sample_steps(diffusion, rough_model, x, solver=solver, generator=seeded()))
    assert [(step.t, step.s) for step in steps] == [(t, t - 1) for t in range(11, -1, -1)]
    assert Step._fields == ("t", "s", "x", "x0", "eps")
    for step in steps:
        x0, eps = diffusion.denoise(rough_model, x, torch.full((2,), step.t))
        assert torch.equal(step.x0, x0) and torch.equal(step.eps, eps)
        assert step.x.shape == x.shape and step.x.dtype == torch.float32
        x = step.x


def test_timesteps_as_a_list_are_visited_as_given():
    steps = sample_steps(Diffusion(SCHEDULES["linear"]), rough_model, randn(1, 1, 2, 2), timesteps=[90, 30, 2], solver="ddim")
    assert [(step.t, step.s) for step in steps] == [(90, 30), (30, 2), (2, -1)]


@pytest.mark.parametrize("spacing, expected", [("trailing", [99, 74, 49, 24]), ("leading", [75, 50, 25, 0]), ("linspace", [99, 66, 33, 0])])
def test_spacing_chooses_the_timesteps(spacing, expected):
    steps = sample_steps(Diffusion(SCHEDULES["linear"]), rough_model, randn(1, 1, 2, 2), timesteps=4, spacing=spacing)
    assert [step.t for step in steps] == expected


@pytest.mark.parametrize("options", [{"variance": "large"}, {"variance": "small"}, {"solver": "ddim", "eta": 1.0}])
@pytest.mark.parametrize("timesteps", [[99, 50, 10], [10, 0], [99]])
def test_no_noise_on_the_last_step(options, timesteps):
    diffusion, xT = Diffusion(SCHEDULES["linear"], "x0"), randn(2, 1, 3, 3)
    *_, last = sample_steps(diffusion, rough_model, xT, timesteps=timesteps, generator=seeded(), **options)
    assert last.s == -1 and torch.allclose(last.x, last.x0, atol=1e-5)


def test_every_other_step_of_ddpm_has_noise():
    def walk(seed):
        return list(sample_steps(Diffusion(SCHEDULES["linear"], "x0"), lambda x, t, y: 0 * x, torch.zeros(1, 1, 2, 2), timesteps=5,
                                 generator=seeded(seed)))

    for a, b in zip(walk(0)[:-1], walk(1)[:-1], strict=True):
        assert float((a.x - b.x).abs().min()) > 0


@pytest.mark.parametrize("solver", ["ddim", "dpmpp"])
def test_deterministic_solvers_draw_nothing(solver):
    before, generator = torch.get_rng_state(), seeded(5)
    list(sample_steps(Diffusion(SCHEDULES["linear"]), rough_model, randn(1, 1, 2, 2), timesteps=5, solver=solver, generator=generator))
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(generator.get_state(), seeded(5).get_state())


@pytest.mark.parametrize("options", [{"solver": "ddpm"}, {"solver": "ddim", "eta": 0.7}])
def test_a_generator_for_each_image_frees_it_from_its_batch(options):
    def walk(xT, generators):
        *_, last = sample_steps(Diffusion(SCHEDULES["cosine"], "v"), rough_model, xT, timesteps=10, generator=generators, **options)
        return last.x

    xT = randn(3, 1, 2, 2)
    together = walk(xT, [seeded(k) for k in range(3)])
    for k in range(3):
        assert torch.allclose(walk(xT[k : k + 1], [seeded(k)])[0], together[k], atol=1e-5)


def test_clip_bounds_every_guess():
    walk = {clip: list(sample_steps(Diffusion(SCHEDULES["linear"]), rough_model, randn(2, 1, 3, 3), timesteps=10, solver="ddim", clip=clip))
            for clip in (True, False)}  # fmt: skip
    assert all(float(step.x0.abs().max()) <= 1 for step in walk[True])
    assert max(float(step.x0.abs().max()) for step in walk[False]) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "euler"},
        {"solver": "dpmpp", "eta": 0.5},
        {"solver": "ddpm", "eta": 0.5},
        {"solver": "dpmpp", "variance": "large"},
        {"solver": "ddim", "variance": "large"},
        {"solver": "ddpm", "variance": "learned"},
        {"solver": "ddim", "eta": 1.5},
        {"solver": "ddim", "eta": -0.1},
        {"timesteps": 10, "spacing": "karras"},
        {"timesteps": 0},
        {"timesteps": 101},
        {"timesteps": []},
        {"timesteps": [50, 50, 0]},
        {"timesteps": [0, 50, 99]},
        {"timesteps": [100, 50]},
        {"timesteps": [50, -1]},
        {"generator": [seeded(0)]},
        {"generator": [seeded(0)] * 3},
    ],
    ids=lambda options: "-".join(sorted(options)),  # not str: an address differs between parallel workers
)
def test_an_option_that_cannot_be_had_is_refused_at_once(options):
    # At the call, not at the first step: nothing is iterated here.
    with pytest.raises(ValueError):
        sample_steps(Diffusion(SCHEDULES["linear"]), rough_model, randn(2, 1, 2, 2), **options)


def test_the_network_runs_without_gradients_and_the_caller_keeps_theirs():
    modes = []

    def model(x, t, y=None):
        modes.append(torch.is_grad_enabled())
        return x

    xT = randn(1, 1, 2, 2).requires_grad_()
    for step in sample_steps(Diffusion(SCHEDULES["linear"]), model, xT, timesteps=3, solver="ddim"):
        assert torch.is_grad_enabled() and not step.x.requires_grad
    assert modes == [False] * 3


def test_the_starting_noise_is_left_as_it_was():
    xT = randn(2, 1, 2, 2)
    for solver in ("ddpm", "ddim", "dpmpp"):
        list(sample_steps(Diffusion(SCHEDULES["linear"]), rough_model, xT, timesteps=4, solver=solver))
    assert torch.equal(xT, randn(2, 1, 2, 2))


# sample


class SmallNet(torch.nn.Module):
    """A network of `sample`'s needs (config, null_label, parameters), cheap, and the same for any batch."""

    def __init__(self, num_classes=4):
        super().__init__()
        self.config = UNetConfig(in_channels=2, image_size=4, channels=(8,), groups=4, num_classes=num_classes)
        self.null_label, self.label_dropout = num_classes, 0.1
        self.gain = torch.nn.Parameter(torch.tensor(0.7))
        self.drop = torch.nn.Dropout(0.5)
        self.batches = []

    def forward(self, xt, t, y=None):
        self.batches.append(len(xt))
        assert not torch.is_grad_enabled()
        if self.null_label is not None:
            y = torch.full_like(t, self.null_label) if y is None else y
            xt = xt + y.reshape(-1, 1, 1, 1)
        return self.drop(self.gain * torch.sin(xt))


DIFFUSION = Diffusion(SCHEDULES["cosine"], "v")
LABELS = [0, 3, 1, 2, 0]


@pytest.mark.parametrize("options", [{}, {"solver": "ddpm"}, {"solver": "ddim", "eta": 0.5}, {"scale": 2.0}])
def test_an_image_depends_neither_on_batch_size_nor_on_other_labels(options):
    model = SmallNet()
    images = sample(DIFFUSION, model, labels=LABELS, seed=3, timesteps=6, **options)
    assert images.shape == (5, 2, 4, 4) and float(images.abs().max()) <= 1 and images.dtype == torch.float32
    for batch_size in (1, 2, 5):
        again = sample(DIFFUSION, model, labels=LABELS, seed=3, timesteps=6, batch_size=batch_size, **options)
        assert torch.allclose(again, images, atol=1e-5)
    others = sample(DIFFUSION, model, labels=[3, 3, 1], seed=3, timesteps=6, **options)
    assert torch.allclose(others[1:], images[1:3], atol=1e-5) and not torch.allclose(others[0], images[0], atol=1e-2)


def test_batches_have_the_size_asked_for():
    model, seen = SmallNet(), []

    def progress(batches):
        seen.extend(len(batch) for batch in batches)
        return batches

    sample(DIFFUSION, model, n=5, timesteps=2, batch_size=2, progress=progress)
    assert seen == [2, 2, 1] and model.batches == [2, 2, 2, 2, 1, 1]


def test_a_real_network_gives_the_same_image_in_any_batch():
    torch.manual_seed(0)
    model = UNet(UNetConfig(in_channels=1, image_size=8, channels=(8, 16), groups=4, num_classes=3, dropout=0.1))
    torch.nn.init.normal_(model.outlet[-1].weight, std=0.1)
    together = sample(DIFFUSION, model, labels=[0, 1, 2], seed=1, timesteps=4)
    assert torch.allclose(sample(DIFFUSION, model, labels=[0, 1, 2], seed=1, timesteps=4, batch_size=1), together, atol=1e-4)


def test_a_seed_repeats_and_another_differs():
    model = SmallNet()
    first = sample(DIFFUSION, model, n=4, seed=1, timesteps=4)
    torch.manual_seed(99)  # the global state plays no part
    assert torch.equal(sample(DIFFUSION, model, n=4, seed=1, timesteps=4), first)
    assert not torch.allclose(sample(DIFFUSION, model, n=4, seed=2, timesteps=4), first, atol=1e-2)


def test_images_of_one_seed_and_label_differ():
    images = sample(DIFFUSION, SmallNet(), labels=[1] * 6, seed=0, timesteps=4).flatten(1)
    assert float((torch.cdist(images, images) + 10 * torch.eye(6)).min()) > 0.1


def test_n_images_are_those_of_the_null_label():
    model = SmallNet()
    unconditional = sample(DIFFUSION, model, n=3, timesteps=4)
    assert torch.allclose(sample(DIFFUSION, model, labels=[0, 1, 2], scale=0.0, timesteps=4), unconditional, atol=1e-6)
    assert not torch.allclose(sample(DIFFUSION, model, labels=[0, 1, 2], timesteps=4), unconditional, atol=1e-2)


def test_an_unconditional_model_is_sampled_by_number():
    assert sample(DIFFUSION, SmallNet(None), n=3, timesteps=4).shape == (3, 2, 4, 4)


def test_no_images_are_an_empty_batch():
    assert sample(DIFFUSION, SmallNet(), labels=[], timesteps=4).shape == (0, 2, 4, 4)
    assert sample(DIFFUSION, SmallNet(), n=0, timesteps=4).shape == (0, 2, 4, 4)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_restored_and_dropout_is_off(training):
    model = SmallNet().train(training)
    first = sample(DIFFUSION, model, n=2, timesteps=2)
    assert model.training is training and model.drop.training is training
    assert torch.equal(sample(DIFFUSION, model, n=2, timesteps=2), first)


def test_the_mode_is_restored_after_an_error():
    model = SmallNet().train()
    with pytest.raises(ValueError):
        sample(DIFFUSION, model, n=2, timesteps=1000)
    assert model.training


@pytest.mark.parametrize("labels", [[0, 4], [-1, 0]])
def test_labels_out_of_range_are_refused(labels):
    with pytest.raises(ValueError, match="0..3"):
        sample(DIFFUSION, SmallNet(), labels=labels, timesteps=2)


@pytest.mark.parametrize("arguments", [{}, {"labels": [1], "n": 1}])
def test_either_labels_or_n(arguments):
    with pytest.raises(ValueError, match="one of the two"):
        sample(DIFFUSION, SmallNet(), timesteps=2, **arguments)


@pytest.mark.parametrize("scale", [0.0, 2.0])
def test_guidance_is_refused_for_a_model_that_never_saw_the_null_label(scale):
    model = SmallNet()
    model.label_dropout = 0.0
    with pytest.raises(ValueError, match="label dropout"):
        sample(DIFFUSION, model, labels=[1], scale=scale, timesteps=2)
    with pytest.raises(ValueError, match="without a label.*label dropout"):
        sample(DIFFUSION, model, n=1, timesteps=2)
    assert sample(DIFFUSION, model, labels=[1], scale=1.0, timesteps=2).shape == (1, 2, 4, 4)


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_scale_that_is_no_number_is_refused(scale):
    with pytest.raises(ValueError, match="no guidance scale"):
        sample(DIFFUSION, SmallNet(), labels=[1], scale=scale, timesteps=2)


def test_guidance_is_refused_without_labels_and_for_an_unconditional_model():
    with pytest.raises(ValueError, match="labels"):
        sample(DIFFUSION, SmallNet(), n=1, scale=2.0, timesteps=2)
    with pytest.raises(ValueError, match="label-conditioned"):
        sample(DIFFUSION, SmallNet(None), n=1, scale=2.0, timesteps=2)


def test_guidance_and_a_single_pass_at_scale_1():
    model = SmallNet()
    sample(DIFFUSION, model, labels=[0, 1], timesteps=3)
    sample(DIFFUSION, model, labels=[0, 1], timesteps=3, scale=2.0)
    assert model.batches == [2, 2, 2, 4, 4, 4]


@pytest.mark.parametrize("option", [{"eta": 0.5}, {"variance": "large"}, {"spacing": "karras"}])
def test_sample_refuses_what_its_solver_lacks(option):
    with pytest.raises(ValueError):
        sample(DIFFUSION, SmallNet(), n=1, timesteps=2, solver="dpmpp", **option)


def test_streams_of_images_and_seeds_differ():
    first = {float(torch.randn(1, generator=image_stream(seed, k))) for seed in range(20) for k in range(20)}
    assert len(first) == 400
    ends = [image_stream(0, 1_000_002), image_stream(1, 0), image_stream(1, 1_000_002), image_stream(2, 0)]  # as far as it promises
    assert len({stream.initial_seed() for stream in ends}) == 4


def test_noise_is_drawn_image_by_image_or_at_once():
    stacked = draw_noise((2, 3), [seeded(0), seeded(1)], torch.device("cpu"))
    assert torch.equal(stacked, torch.stack([randn(3, seed=0), randn(3, seed=1)]))
    assert torch.equal(draw_noise((2, 3), seeded(0), torch.device("cpu")), randn(2, 3, seed=0))
