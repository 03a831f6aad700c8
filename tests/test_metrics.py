"""Metrics against scipy, torchmetrics and closed forms; the shipped judge against the real test digits."""

import math
import os

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial.distance
import scipy.stats
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import digits, randn
from torch import nn

from ddpm_course.checkpoints import load_judge
from ddpm_course.data import ImageData, load_data, to_float
from ddpm_course.judge import Judge, _mirror_and_shift, train_judge, whitening
from ddpm_course.metrics import (
    diversity,
    evaluate,
    features_of,
    frechet_distance,
    kernel_distance,
    label_accuracy,
    near_copies,
    nearest_neighbours,
    proportion,
)


@pytest.fixture(scope="module")
def judge():
    return load_judge("judge-mnist")[0]


def two_sets(n, m, d, seed=0):
    """Two sets of correlated features with different means."""
    mixing = randn(d, d, seed=seed, dtype=torch.float64)
    a = randn(n, d, seed=seed + 1, dtype=torch.float64) @ mixing
    b = randn(m, d, seed=seed + 2, dtype=torch.float64) @ mixing.T * 0.7 + 0.5
    return a, b


# --- Frechet distance ---------------------------------------------------------------------------------------------


def frechet_by_scipy(a, b):
    """The definition, with scipy's square root of a general matrix."""
    a, b = a.numpy(), b.numpy()
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root))


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 8), (100, 500, 32), (50, 60, 2)])
def test_frechet_equals_scipy(n, m, d):
    a, b = two_sets(n, m, d)
    assert frechet_distance(a, b) == pytest.approx(frechet_by_scipy(a, b), rel=1e-4)


@pytest.mark.parametrize(("n", "m", "d"), [(10, 15, 32), (300, 12, 24)])
def test_frechet_of_few_samples_equals_torchmetrics(n, m, d):
    """Fewer samples than dimensions: the covariances have no full rank."""
    fid = pytest.importorskip("torchmetrics.image.fid")
    a, b = two_sets(n, m, d)
    theirs = fid._compute_fid(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T))
    assert frechet_distance(a, b) == pytest.approx(float(theirs), rel=1e-4)


def test_frechet_equals_torchmetrics_with_a_network():
    fid = pytest.importorskip("torchmetrics.image.fid")

    class Features(nn.Module):
        num_features = 12

        def forward(self, images):
            return (to_float(images).flatten(1) @ randn(784, 12, seed=9)).double()

    network = Features()
    theirs = fid.FrechetInceptionDistance(feature=network)
    real, fake = digits(400).images[:200], digits(400).images[200:].flip(-1)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    assert frechet_distance(network(real), network(fake)) == pytest.approx(float(theirs.compute()), rel=1e-4)


def test_frechet_of_diagonal_gaussians_has_a_closed_form():
    """The sum of (mean_a - mean_b)^2 + (deviation_a - deviation_b)^2, for samples whitened to be exact."""
    x = randn(400, 5, seed=1, dtype=torch.float64)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    means, deviations = torch.arange(5.0).double(), torch.tensor([0.5, 1.0, 2.0, 3.0, 4.0]).double()
    wanted = float(((means - 1) ** 2 + (deviations - 2) ** 2).sum())
    assert frechet_distance(x * deviations + means, x * 2 + 1) == pytest.approx(wanted, rel=1e-9)


def test_frechet_is_zero_for_equal_sets_symmetric_and_works_in_one_dimension():
    a, b = two_sets(80, 90, 6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    x, y = a[:, :1], b[:, :1]
    assert frechet_distance(x, y) == pytest.approx(float((x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2), rel=1e-9)


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance])
def test_distances_refuse_what_they_cannot_compare(measure):
    with pytest.raises(ValueError, match=r"one D.*\(5, 3\).*\(5, 4\)"):
        measure(torch.zeros(5, 3), torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"\(N, D\)"):
        measure(torch.zeros(5, 3, 2), torch.zeros(5, 3, 2))
    with pytest.raises(ValueError, match="two samples"):
        measure(torch.zeros(1, 3), torch.zeros(5, 3))


# --- kernel distance ----------------------------------------------------------------------------------------------


def test_kernel_distance_equals_torchmetrics():
    kid = pytest.importorskip("torchmetrics.image.kid")
    a, b = two_sets(120, 120, 16)
    mean, deviation = kernel_distance(a, b, subsets=3, size=120)
    assert mean == pytest.approx(float(kid.poly_mmd(a, b)), rel=1e-6)
    assert deviation == pytest.approx(0, abs=1e-9 * abs(mean))


def test_kernel_distance_by_double_loop():
    a, b = two_sets(7, 7, 3)

    def kernel(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    own = sum(kernel(s[i], s[j]) for s in (a, b) for i in range(7) for j in range(7) if i != j) / 42
    cross = sum(kernel(x, y) for x in a for y in b) / 49
    assert kernel_distance(a, b, subsets=1)[0] == pytest.approx(own - 2 * cross, rel=1e-9)


def test_kernel_distance_is_unbiased():
    """Of two samples of one law it is zero on average, and so below zero about as often as above."""
    values = [kernel_distance(randn(40, 4, seed=2 * k), randn(40, 4, seed=2 * k + 1), subsets=1)[0] for k in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(200)
    assert 40 < sum(value < 0 for value in values) < 160


def test_kernel_distance_uses_subsets_of_the_size_given():
    a, b = two_sets(300, 200, 8)
    mean, deviation = kernel_distance(a, b, subsets=20, size=50)
    assert deviation > 0
    assert mean == pytest.approx(kernel_distance(a, b, subsets=1, size=200)[0], abs=4 * deviation)
    assert kernel_distance(a, b, subsets=20, size=50) == (mean, deviation)
    assert kernel_distance(a, b, subsets=20, size=50, seed=1) != (mean, deviation)


# --- shares -------------------------------------------------------------------------------------------------------


@given(n=st.integers(1, 20_000), share=st.floats(0, 1))
def test_proportion_equals_scipys_wilson_interval(n, share):
    successes = round(n * share)
    ours = proportion(successes, n)
    theirs = scipy.stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert ours.value == successes / n and ours.n == n
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=1e-6), pytest.approx(theirs.high, abs=1e-6))


def test_proportion_in_words():
    assert str(proportion(9, 10)) == "90.0% [59.6%, 98.2%]"  # the interval of Wilson for 9 of 10, as printed in textbooks


@pytest.mark.parametrize(("successes", "n"), [(-1, 10), (11, 10), (0, 0)])
def test_no_proportion_of_nothing(successes, n):
    with pytest.raises(ValueError, match="no proportion"):
        proportion(successes, n)


# --- diversity and neighbours -------------------------------------------------------------------------------------


def test_diversity_equals_scipy():
    features, labels = randn(60, 7), torch.arange(60) % 3
    wanted = np.mean([scipy.spatial.distance.pdist(features[labels == k].double().numpy()).mean() for k in range(3)])
    assert diversity(features, labels) == pytest.approx(wanted, rel=1e-6)
    assert diversity(features.reshape(60, 1, 7, 1), labels) == pytest.approx(wanted, rel=1e-6)


def test_diversity_of_copies_is_zero_and_unequal_groups_count_alike():
    assert diversity(torch.ones(20, 4), torch.arange(20) % 2) == pytest.approx(0, abs=1e-6)
    features = torch.tensor([[0.0], [2.0], [0.0], [4.0], [0.0]])
    assert diversity(features, torch.tensor([0, 0, 1, 1, 1])) == pytest.approx((2 + 8 / 3) / 2)


def test_diversity_needs_two_of_a_label():
    with pytest.raises(ValueError, match="at least two"):
        diversity(torch.zeros(3, 2), torch.tensor([0, 1, 2]))


def test_nearest_neighbours_equal_scipy():
    images, reference = digits(1200).images[:700], digits(1200).images[700:]
    distances, indices = nearest_neighbours(images, reference)
    table = scipy.spatial.distance.cdist(to_float(images).flatten(1).double().numpy(), to_float(reference).flatten(1).double().numpy())
    assert np.allclose(distances.numpy(), table.min(1), rtol=1e-6)
    assert np.array_equal(indices.numpy(), table.argmin(1))
    floats, _ = nearest_neighbours(to_float(images), reference)
    assert torch.equal(floats, distances)


def test_no_image_is_its_own_neighbour_in_one_set():
    images = digits(800).images
    distances, indices = nearest_neighbours(images, images, same=True)
    x = to_float(images).flatten(1).double().numpy()
    table = scipy.spatial.distance.cdist(x, x)
    np.fill_diagonal(table, np.inf)
    assert np.array_equal(indices.numpy(), table.argmin(1))
    assert np.allclose(distances.numpy(), table.min(1), rtol=1e-6)
    assert nearest_neighbours(images, images)[0].max() < 1e-5


def test_exact_copies_are_all_counted():
    data = load_data("mnist5k")
    assert near_copies(data.images[::20], data.labels[::20], data.images, data.labels) == 250


def test_copies_of_another_label_are_not_counted():
    data = load_data("mnist5k")
    zeros, ones = data[data.labels == 0], data[data.labels == 1]
    assert near_copies(ones.images[:50], torch.zeros(50, dtype=torch.int64), zeros.images, zeros.labels) == 0


def test_doubles_among_the_training_images_hide_no_copies():
    data = digits(100)
    zeros = torch.zeros(len(data), dtype=torch.int64)
    with_double = torch.cat([data.images, data.images[:3]])
    assert near_copies(data.images[:50], zeros[:50], with_double, torch.zeros(103, dtype=torch.int64)) == 50
    apart, _ = nearest_neighbours(data.images, data.images, same=True)
    least = int(apart.argmin())
    rest = torch.arange(100) != least  # the first to be a near-copy of what is left, doubles or not
    for reference in (data.images[rest], torch.cat([data.images[rest], data.images[rest][:1]])):
        assert near_copies(data.images[[least]], zeros[:1], reference, torch.zeros(len(reference), dtype=torch.int64)) == 1


def test_copies_of_the_only_image_of_a_label_are_counted():
    data = digits(20)
    ten = data.images[:1].expand(10, -1, -1, -1)
    assert near_copies(ten, torch.zeros(10, dtype=torch.int64), data.images[:1], torch.zeros(1, dtype=torch.int64)) == 10
    assert near_copies(data.images[1:11], torch.zeros(10, dtype=torch.int64), data.images[:1], torch.zeros(1, dtype=torch.int64)) == 0
    assert near_copies(data.images[:4], torch.full((4,), 7), data.images[:1], torch.zeros(1, dtype=torch.int64)) == 0  # nothing to copy


def test_about_one_per_cent_of_fresh_real_images_are_counted():
    data = load_data("mnist5k")
    fresh = torch.arange(5000) % 5 == 0
    count = near_copies(data.images[fresh], data.labels[fresh], data.images[~fresh], data.labels[~fresh])
    assert 2 <= count <= 25  # of 1,000


# --- the judge ----------------------------------------------------------------------------------------------------


def test_judge_refuses_another_size():
    with pytest.raises(ValueError, match=r"reads 1x28x28 images, not 3x32x32"):
        Judge()(torch.zeros(2, 3, 32, 32))


def test_judge_reads_bytes_and_floats_alike(judge):
    images = digits(64).images
    with torch.no_grad():
        torch.testing.assert_close(judge(images), judge(to_float(images)))


def test_features_do_not_depend_on_the_batch(judge):
    images = digits(60).images
    features = features_of(judge, images)
    assert features.dtype == torch.float64 and features.shape == (60, 64)
    torch.testing.assert_close(features_of(judge, images, batch_size=7), features, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(judge.to_logits(features.float()), judge(images), rtol=1e-4, atol=1e-4)


def test_label_accuracy_counts():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.anywhere = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return torch.eye(10)[torch.full((len(images),), 3)]

    labels = torch.arange(50) % 10
    assert label_accuracy(Constant(), digits(50).images, labels) == proportion(5, 50)
    assert label_accuracy(Constant(), digits(50).images, labels, batch_size=7) == proportion(5, 50)


def test_label_accuracy_needs_a_label_for_each_image(judge):
    with pytest.raises(ValueError, match="5 images and labels of shape"):
        label_accuracy(judge, digits(5).images, torch.zeros(4, dtype=torch.int64))


def test_label_accuracy_of_what_cannot_be_read_is_refused(judge):
    images = digits(10).images
    with pytest.raises(ValueError, match=r"labels of shape \(10, 1\)"):  # would be compared each with each
        label_accuracy(judge, images, torch.zeros(10, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match="not finite"):  # argmax of NaN is 0, and so would be right
        label_accuracy(judge, torch.full((10, 1, 28, 28), math.nan), torch.zeros(10, dtype=torch.int64))


def test_a_judge_can_be_trained():
    small = digits(400, 8)
    trained = train_judge(small, images=6400, batch=64, seed=1)
    assert not trained.training
    assert label_accuracy(trained, small.images, small.labels).low > 0.3
    again = train_judge(small, images=256, batch=64, seed=1).state_dict()
    once_more = train_judge(small, images=256, batch=64, seed=1).state_dict()
    assert all(torch.equal(again[name], once_more[name]) for name in again)


def test_a_judge_of_colour_images_can_be_trained():
    """Bright things at the left or the right edge of a coloured ground: told apart by colour, as mirror images are mixed in."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    images = torch.randint(120, (300, 3, 16, 16), generator=generator, dtype=torch.uint8)
    images[torch.arange(300), labels, 4:12] += 60
    data = ImageData(images, labels, ("red", "green", "blue"), "made")
    trained = train_judge(data, images=2400, batch=60, seed=1)
    assert trained.arguments["residual"] and not trained.training
    assert label_accuracy(trained, images, labels).value > 0.9
    assert features_of(trained, images[:4]).shape == (4, 128)
    again, once_more = (train_judge(data, images=120, batch=60, seed=1).state_dict() for _ in range(2))
    assert all(torch.equal(again[name], once_more[name]) for name in again)


def test_whitened_patches_are_white():
    """Against numpy: what the filters answer is uncorrelated and has mean square 1; the second half is the first one's negative."""
    images = to_float(digits(200).images).repeat(1, 3, 1, 1) * torch.tensor([1.0, 0.5, 0.2])[:, None, None]
    images = images + 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    filters = whitening(images, least=0.0)
    assert filters.shape == (24, 3, 2, 2) and torch.equal(filters[:12], -filters[12:])
    patches = np.lib.stride_tricks.sliding_window_view(images.double().numpy(), (2, 2), axis=(2, 3))  # (N, 3, 27, 27, 2, 2)
    answers = np.einsum("ncijab,fcab->nijf", patches, filters[:12].double().numpy()).reshape(-1, 12)
    assert np.allclose(answers.T @ answers / len(answers), np.eye(12), atol=1e-3)
    assert whitening(torch.ones(2, 1, 4, 4)).isfinite().all()


def test_mirrored_and_shifted_images_are_images_of_the_same_things():
    """Each is a window of its own image, or of its mirror image, padded by reflection: found again by search, for every one."""
    x = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    out = _mirror_and_shift(x, torch.Generator().manual_seed(1), most=2)
    found = []
    for image, changed in zip(x, out, strict=True):
        for mirrored in (False, True):
            padded = F.pad((image.flip(-1) if mirrored else image)[None], (2, 2, 2, 2), mode="reflect")[0]
            found += [(mirrored, top, left) for top in range(5) for left in range(5)
                      if torch.equal(padded[:, top : top + 8, left : left + 8], changed)]
    assert len(found) == len(x)
    assert {mirrored for mirrored, _, _ in found} == {False, True} and len(set(found)) > 6


def test_training_a_judge_leaves_the_global_random_state_alone():
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    train_judge(digits(50, 8), images=64, batch=32)
    assert torch.equal(torch.rand(2), wanted)


def test_shipped_judge_reads_the_offline_digits(judge):
    data = load_data("mnist5k")
    assert label_accuracy(judge, data.images, data.labels).value >= 0.99


@pytest.mark.skipif(not os.path.isdir(os.path.join(os.environ.get("DDPM_COURSE_DATA", ""), "MNIST")),
                    reason="DDPM_COURSE_DATA holds no MNIST")
def test_shipped_judge_reads_the_test_digits(judge):
    test = load_data("mnist", split="test")
    found = label_accuracy(judge, test.images, test.labels)
    assert found.value >= 0.993
    assert found.value == pytest.approx(load_judge("judge-mnist")[1]["test_accuracy"], abs=5e-4)


def test_shipped_judge_reads_no_digits_in_noise(judge):
    """A judge that sees one digit everywhere could not tell bad samples: pure noise must not read as asked."""
    noise = (torch.rand(500, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
    assert label_accuracy(judge, noise, torch.arange(500) % 10).value < 0.3


# --- all figures at once ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thousand():
    return digits(1000)


def test_fresh_real_digits_stand_at_the_floor(judge, thousand):
    """The floor must not be raised by other shares of the labels: clusters that far apart would dominate the distance."""
    fresh = digits(1500)[1000:]
    found = evaluate(judge, fresh.images, fresh.labels, thousand)
    assert found.accuracy.value > 0.98
    assert found.diversity.ratio == pytest.approx(1, rel=0.1) and found.diversity_pixels.ratio == pytest.approx(1, rel=0.1)
    assert found.frechet_floor < 1.5
    assert 0.5 < found.frechet / found.frechet_floor < 2
    assert abs(found.kernel[0] - found.kernel_floor[0]) < 0.5 * abs(found.kernel_floor[0])  # both below zero: the labels are balanced


def test_noise_is_far_from_the_floor(judge, thousand):
    noise = (torch.rand(200, 1, 28, 28, generator=torch.Generator().manual_seed(1)) * 255).to(torch.uint8)
    found = evaluate(judge, noise, torch.arange(200) % 10, thousand)
    assert found.accuracy.value < 0.3
    assert found.frechet > 5 * found.frechet_floor
    assert found.kernel[0] > 5 * abs(found.kernel_floor[0])
    assert found.near_copies == 0


def test_training_digits_are_named_copies(judge, thousand):
    found = evaluate(judge, thousand.images[:100], thousand.labels[:100], thousand)
    assert found.near_copies == 100
    assert "99 %" in found.near_copies_rule


def test_held_out_images_are_the_reference_where_there_are_some(judge, thousand):
    drawn, held_out = thousand[:200], thousand[800:]
    found = evaluate(judge, drawn.images, drawn.labels, thousand[:800], held_out)
    assert found.frechet == pytest.approx(frechet_distance(features_of(judge, drawn.images), features_of(judge, held_out.images)), rel=1e-6)


def test_unconditional_samples_have_no_label_accuracy(judge, thousand):
    found = evaluate(judge, thousand.images[:100], None, thousand)
    assert found.accuracy is None
    assert found.diversity.drawn == pytest.approx(diversity(features_of(judge, thousand.images[:100]), thousand.labels[:100]), rel=0.05)


@pytest.mark.parametrize("n", [20, 30])
def test_few_samples_are_evaluated_too(judge, thousand, n):
    """Of so few real images some label comes only once."""
    found = evaluate(judge, thousand.images[:n], thousand.labels[:n], thousand)
    assert math.isfinite(found.diversity.real) and math.isfinite(found.frechet)


def test_unconditional_samples_that_hold_one_label_once_are_evaluated(judge):
    data = load_data("mnist5k")
    images = torch.cat([data.images[data.labels == 1][:60], data.images[data.labels == 7][:1]])
    found = evaluate(judge, images, None, ImageData(data.images[::5], data.labels[::5], data.class_names, ""))
    assert math.isfinite(found.diversity.drawn)
