"""The noise schedule against published constants, float64 and diffusers."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddpm_course.diffusion import posterior, q_sample
from ddpm_course.schedule import SPACINGS, NoiseSchedule

IMAGES = torch.zeros(3, 1, 2, 2)


def level(schedule, t):
    return float(schedule.at(torch.tensor([t]), torch.zeros(1, 1)))


def float64_log_alpha_bar(betas):
    return np.log1p(-np.asarray(betas, dtype=np.float64)).cumsum()


# Constants of this section: computed in float64 from the formulae of openai/improved-diffusion, gaussian_diffusion.py.


@pytest.mark.parametrize("t, alpha_bar", [(0, 0.9999), (499, 0.0785872429), (999, 4.0358298e-5)])
def test_linear_alpha_bar_is_the_published_one(t, alpha_bar):
    schedule = NoiseSchedule.linear(1000)
    assert level(schedule, t) == pytest.approx(alpha_bar, rel=3e-6)
    assert float(schedule.alpha_bar[t]) == pytest.approx(alpha_bar, rel=3e-6)


@pytest.mark.parametrize("t, alpha_bar", [(499, 0.49384359), (999, 2.42877e-9)])
def test_cosine_alpha_bar_is_the_published_one(t, alpha_bar):
    assert level(NoiseSchedule.cosine(1000), t) == pytest.approx(alpha_bar, rel=5e-6)


@pytest.mark.parametrize("name, alpha_bar", [("linear", 4.24665e-5), ("cosine", 1.51798e-10)])
def test_alpha_bar_at_the_end_of_4000_steps_is_the_published_one(name, alpha_bar):
    assert level(getattr(NoiseSchedule, name)(4000), 3999) == pytest.approx(alpha_bar, rel=5e-6)


@pytest.mark.parametrize("t, beta", [(0, 4.1284225e-5), (500, 0.0031556914), (998, 0.74999939), (999, 0.999)])
def test_cosine_betas_are_the_published_ones(t, beta):
    assert float(NoiseSchedule.cosine(1000).betas[t]) == pytest.approx(beta, rel=1e-6)


def test_cosine_clips_exactly_one_beta():
    assert int((NoiseSchedule.cosine(1000).betas >= 0.999 - 1e-6).sum()) == 1


def test_linear_sigma_range_is_the_published_one():
    sigma = NoiseSchedule.linear(1000).snr.rsqrt()
    assert float(sigma[-1]) == pytest.approx(157.407, abs=1e-3)
    assert float(sigma[0]) == pytest.approx(0.0100005, abs=1e-7)


def test_first_posterior_log_variance_is_the_published_one():
    # posterior_log_variance_clipped[0] of improved-diffusion
    x = torch.zeros(1, 1)
    _, variance = posterior(NoiseSchedule.linear(1000), x, x, torch.tensor([1]))
    assert math.log(float(variance)) == pytest.approx(-9.816725, abs=2e-6)
    assert float(variance) == pytest.approx(5.45319e-5, rel=2e-6)


# Precision


def test_noise_at_the_first_timestep_keeps_its_digits():
    # 1 - alpha_bar_0 is beta_0 = 1e-4 here. From a float32 alpha_bar it is wrong by 1.7e-4.
    schedule, x = NoiseSchedule.linear(1000), torch.zeros(1, 1)
    noise = -torch.expm1(schedule.log_at(torch.tensor([0]), x))
    assert float(noise) == pytest.approx(1e-4, rel=1e-6)
    assert float(q_sample(schedule, x, torch.tensor([0]), torch.ones(1, 1))) == pytest.approx(0.01, rel=1e-6)
    assert float(schedule.snr[0]) == pytest.approx(0.9999 / 1e-4, rel=1e-6)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_every_single_step_variance_agrees_with_float64(name):
    schedule = getattr(NoiseSchedule, name)(1000)
    log = schedule.log_alpha_bar
    assert log.dtype == torch.float32
    steps = -torch.expm1(torch.diff(log, prepend=torch.zeros(1))).double()
    if name == "linear":
        betas = np.linspace(1e-4, 0.02, 1000)
    else:
        # Nichol & Dhariwal 2021, eq. 17
        f = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - f[1:] / f[:-1], 0.999)
    assert np.abs(steps.numpy() / betas - 1).max() < 4e-5
    assert np.abs(log.double().numpy() - float64_log_alpha_bar(betas)).max() < 2e-6


@given(st.integers(21, 3000))
def test_linear_ends_in_noise_for_every_T(T):
    # sqrt(alpha_bar) is the share of the image left in the starting noise; 0.006 at T=1000
    assert math.sqrt(level(NoiseSchedule.linear(T), T - 1)) < 0.01


@given(st.integers(1, 500), st.sampled_from(["linear", "cosine"]))
def test_alpha_bar_falls_and_stays_between_0_and_1(T, name):
    if name == "linear":
        T += 20
    schedule = getattr(NoiseSchedule, name)(T)
    alpha_bar = schedule.alpha_bar
    assert schedule.T == T == len(alpha_bar) == len(schedule.betas)
    assert bool((torch.diff(alpha_bar) < 0).all()) and 0 < alpha_bar[-1] and alpha_bar[0] < 1


# at


def test_at_the_clean_level_is_exactly_one():
    values = NoiseSchedule.cosine(10).at(torch.tensor([-1, 0, 9]), IMAGES)
    assert float(values[0]) == 1.0
    assert values[1] < 1 and values[2] < values[1]


def test_at_broadcasts_with_the_images():
    schedule, t = NoiseSchedule.cosine(10), torch.tensor([0, 5, 9])
    assert schedule.at(t, IMAGES).shape == (3, 1, 1, 1)
    assert schedule.at(t, torch.zeros(3, 7)).shape == (3, 1)
    assert schedule.at(t, torch.zeros(3)).shape == (3,)
    assert torch.equal(schedule.at(t, IMAGES).flatten(), schedule.alpha_bar[[0, 5, 9]])


@pytest.mark.parametrize("t", [-2, 10])
def test_at_does_not_wrap_round(t):
    with pytest.raises(ValueError, match="-1..9"):
        NoiseSchedule.cosine(10).at(torch.tensor([0, t, 1]), IMAGES)


@pytest.mark.parametrize("t", [torch.tensor([1]), torch.tensor([[1], [2], [3]]), torch.tensor(1), torch.tensor([1.0, 2.0, 3.0])])
def test_at_refuses_another_shape_or_dtype(t):
    with pytest.raises(ValueError, match="one for each image"):
        NoiseSchedule.cosine(10).at(t, IMAGES)


def test_levels_agree_with_at():
    schedule = NoiseSchedule.linear(50)
    assert schedule.levels([49, 7, 0, -1]) == pytest.approx([level(schedule, t) for t in (49, 7, 0, -1)], rel=1e-6)
    assert schedule.levels([-1]) == [1.0]


# Construction


@pytest.mark.parametrize("T", [1, 19, 20])
def test_linear_refuses_a_beta_of_one(T):
    with pytest.raises(ValueError, match="use T > 20, or the cosine schedule"):
        NoiseSchedule.linear(T)


def test_linear_just_above_the_limit_is_built():
    assert float(NoiseSchedule.linear(21).betas[-1]) == pytest.approx(20 / 21)


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("T", [0, -3])
def test_no_timesteps_is_refused(name, T):
    with pytest.raises(ValueError):
        getattr(NoiseSchedule, name)(T)


def test_from_betas_takes_what_it_is_given():
    betas = [0.5, 0.1, 0.9]  # neither scaled, sorted nor clipped
    schedule = NoiseSchedule.from_betas(betas)
    assert schedule.betas.tolist() == pytest.approx(betas)
    assert schedule.alpha_bar.tolist() == pytest.approx([0.5, 0.45, 0.045], rel=1e-6)


@pytest.mark.parametrize("betas", [[], [0.0, 0.5], [0.5, 1.0], [-0.1], [float("nan")], [[0.1, 0.2]], 0.1])
def test_from_betas_refuses_what_is_no_variance(betas):
    with pytest.raises(ValueError):
        NoiseSchedule.from_betas(betas)


@pytest.mark.parametrize(
    "schedule",
    [
        NoiseSchedule.linear(200, 2e-4, 0.03),
        NoiseSchedule.cosine(30, s=0.02, max_beta=0.9),
        NoiseSchedule.from_betas(torch.tensor([0.1, 0.25])),
    ],
    ids=["linear", "cosine", "from_betas"],
)
def test_spec_builds_the_same_schedule_again_after_json(schedule):
    again = NoiseSchedule.from_spec(json.loads(json.dumps(schedule.spec)))
    assert torch.equal(again.log_alpha_bar, schedule.log_alpha_bar) and torch.equal(again.betas, schedule.betas)
    assert again.spec == schedule.spec


@pytest.mark.parametrize("spec", [{}, {"name": "sigmoid"}, {"name": "__init__"}])
def test_an_unknown_spec_is_refused(spec):
    with pytest.raises(ValueError, match="linear"):
        NoiseSchedule.from_spec(spec)


# What happens to it inside a model


@pytest.mark.parametrize("cast", [lambda m: m.to(torch.bfloat16), lambda m: m.half(), lambda m: m.double()], ids=["bf16", "half", "double"])
def test_tables_stay_float32_when_the_parent_changes_dtype(cast):
    parent = torch.nn.Sequential(torch.nn.Linear(2, 2), NoiseSchedule.linear(100))
    before = parent[1].log_alpha_bar.clone()
    cast(parent)
    assert parent[0].weight.dtype != torch.float32
    assert parent[1].log_alpha_bar.dtype == parent[1].betas.dtype == torch.float32
    assert torch.equal(parent[1].log_alpha_bar, before)


def test_tables_follow_the_parent_to_a_device():
    parent = torch.nn.Sequential(NoiseSchedule.linear(100)).to("meta")
    assert parent[0].log_alpha_bar.device.type == parent[0].betas.device.type == "meta"


def test_tables_are_no_part_of_a_checkpoint():
    schedule = NoiseSchedule.linear(100)
    assert schedule.state_dict() == {} and not list(schedule.parameters())
    schedule.load_state_dict({}, strict=True)


# Timesteps


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("T, n", [(1000, 2), (1000, 10), (1000, 25), (1000, 40), (1000, 500), (1000, 1000), (96, 32), (60, 12)])
def test_timesteps_are_those_of_diffusers(spacing, T, n):
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDIMScheduler(num_train_timesteps=T, timestep_spacing=spacing)
    theirs.set_timesteps(n)
    assert NoiseSchedule.cosine(T).timesteps(n, spacing) == theirs.timesteps.tolist()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("T", [7, 100, 333, 1000, 1024])
def test_every_number_of_timesteps_is_that_of_diffusers(T, spacing):
    diffusers = pytest.importorskip("diffusers")
    theirs, ours = diffusers.DDIMScheduler(num_train_timesteps=T, timestep_spacing=spacing), NoiseSchedule.cosine(T)
    for n in range(2, T + 1):
        theirs.set_timesteps(n)
        expected = theirs.timesteps.tolist()
        if len(expected) > n:  # "trailing" with 61 of 1000, for instance: they append t = -1, by rounding
            assert spacing == "trailing" and expected.pop() == -1
        assert ours.timesteps(n, spacing) == expected


@given(st.data(), st.integers(1, 1200), st.sampled_from(SPACINGS))
def test_timesteps_fall_strictly_within_range(data, T, spacing):
    n = data.draw(st.integers(1, T))
    steps = NoiseSchedule.cosine(T).timesteps(n, spacing)
    assert len(steps) == n and all(type(t) is int for t in steps)
    assert all(a > b for a, b in zip(steps, steps[1:], strict=False))
    assert 0 <= steps[-1] and steps[0] <= T - 1
    if spacing in ("trailing", "linspace"):
        assert steps[0] == T - 1
    if spacing == "leading" or (spacing == "linspace" and n > 1):
        assert steps[-1] == 0


@given(st.data(), st.integers(2, 1200))
def test_trailing_timesteps_are_even(data, T):
    n = data.draw(st.integers(1, T))
    steps = [*NoiseSchedule.cosine(T).timesteps(n), -1]
    gaps = [a - b for a, b in zip(steps, steps[1:], strict=False)]
    assert max(gaps) - min(gaps) <= 2 and all(abs(gap - T / n) <= 1 for gap in gaps)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_all_timesteps_are_all_timesteps(spacing):
    assert NoiseSchedule.cosine(37).timesteps(37, spacing) == list(range(36, -1, -1))


@pytest.mark.parametrize("spacing, first", [("trailing", 99), ("linspace", 99), ("leading", 0)])
def test_a_single_step(spacing, first):
    # With "linspace", diffusers would start from noise at t=0.
    assert NoiseSchedule.cosine(100).timesteps(1, spacing) == [first]


def test_trailing_is_the_default():
    assert NoiseSchedule.cosine(100).timesteps(4) == [99, 74, 49, 24]


@pytest.mark.parametrize("n, spacing", [(0, "trailing"), (101, "leading"), (-1, "linspace"), (5, "karras")])
def test_timesteps_refuses_what_it_cannot_do(n, spacing):
    with pytest.raises(ValueError):
        NoiseSchedule.cosine(100).timesteps(n, spacing)
