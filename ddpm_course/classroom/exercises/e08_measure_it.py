"""Exercises of notebook 08: accuracy with its interval, an unbiased kernel distance, and the test that unmasks a copier."""

from __future__ import annotations

import torch

from . import Case, Exercise, randn, uniform


def accuracy_interval(logits, labels):
    """How often the judge reads what was asked for, and the 95 % Wilson interval of that share.

    logits: (N, classes), what the judge says of each image; labels: int64 (N,), what was asked for.
    Returns (share, low, high), three numbers in 0 to 1.
    """
    n, z = len(labels), 1.96
    p = float((logits.argmax(1) == labels).float().mean())
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return p, centre - half, centre + half


def _read(seed: int, right: list[bool], classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels: where `right`, the largest logit is the label's; the images that are read wrong stand anywhere."""
    n = len(right)
    hit = torch.tensor(right)[torch.randperm(n, generator=torch.Generator().manual_seed(seed))]
    labels = (uniform(seed + 1, n) * classes).long()
    other = (labels + 1 + (uniform(seed + 2, n) * (classes - 1)).long()) % classes
    logits = randn(seed + 3, n, classes)
    first = torch.where(hit, labels, other)
    logits[torch.arange(n), first] += 6.0
    logits[torch.arange(n), (first + 1) % classes] -= 12.0  # far below 0: sizes and squares mislead
    return logits, labels


def _accuracy_cases(seed: int) -> list[Case]:
    k = 10 * seed
    return [
        Case("40 images, 5 of them read wrong", _read(k, [True] * 35 + [False] * 5, 10)),
        Case("25 images, all read as asked", _read(k + 4, [True] * 25, 10)),
        Case("12 images of 4 classes, 8 of them read wrong", _read(k + 8, [True] * 4 + [False] * 8, 4)),
    ]


def _share(logits, labels) -> float:
    return float((logits.argmax(1) == labels).double().mean())


def _wilson(p: float, n: float, z: float = 1.96, order=lambda p, low, high: (p, low, high)):
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return order(p, centre - half, centre + half)


def _interval(share=_share, count=lambda logits, labels: len(labels), z: float = 1.96, order=lambda p, low, high: (p, low, high)):
    """A wrong interval: these parts differ."""
    return lambda logits, labels: _wilson(share(logits, labels), count(logits, labels), z, order)


def _built(make):
    """An interval by another formula: make(p, n) -> (low, high), or more."""
    def wrong(logits, labels):
        p = _share(logits, labels)
        made = make(p, len(labels))
        return (p, *made) if len(made) == 2 else made
    return wrong


def _usual(p: float, n: float, z: float = 1.96, ddof: int = 0) -> tuple[float, float]:
    half = z * (p * (1 - p) / (n - ddof)) ** 0.5
    return p - half, p + half


def _agresti(p: float, n: int) -> tuple[float, float]:
    z = 1.96
    more = n + z**2
    return _usual((p * n + z**2 / 2) / more, more)


def _plus_four(p: float, n: int) -> tuple[float, float]:
    return _usual((p * n + 2) / (n + 4), n + 4)


def _parts(p: float, n: float, *, z: float = 1.96, top: float | None = None, divisor: float | None = None, inner: float | None = None,
           outer: float | None = None) -> tuple[float, float]:
    """Wilson's interval with some of its parts replaced."""
    divisor = 1 + z**2 / n if divisor is None else divisor
    centre = (p + (z**2 / (2 * n) if top is None else top)) / divisor
    root = (p * (1 - p) / n + (z**2 / (4 * n**2) if inner is None else inner)) ** 0.5
    half = (z / divisor if outer is None else outer) * root
    return centre - half, centre + half


ACCURACY = Exercise(
    accuracy_interval,
    hints=(
        "First the share p: the place of the largest number in a row is the judge's reading. Then centre, then half the width.",
        "n is the number of images, z is 1.96. The same divisor stands under the centre and under the half width.",
    ),
    cases=_accuracy_cases,
    variants=("float64", "non-contiguous"),
    mistakes={
        "This is the usual interval of school books: where all images are read as asked, its width is 0.": (
            _built(_usual),
            _built(lambda p, n: (max(0.0, _usual(p, n)[0]), min(1.0, _usual(p, n)[1]))),
            _built(lambda p, n: _usual(p, n, ddof=1)),
        ),
        "This is the usual interval with one standard deviation: no width where all are right, elsewhere it holds about 68 times in 100.":
            _built(lambda p, n: _usual(p, n, 1.0)),
        "The shares are in percent: they should lie in 0 to 1.": (
            _interval(order=lambda p, low, high: (100 * p, 100 * low, 100 * high)),
            _interval(order=lambda p, low, high: (100 * p, low, high)),
        ),
        "This is the mean probability that the judge gives to the label: count how often its first choice is the label.":
            _interval(lambda logits, labels: float(logits.softmax(1)[torch.arange(len(labels)), labels].double().mean())),
        "This is how sure the judge is of its reading, whatever it reads: compare the reading with the label.":
            _interval(lambda logits, labels: float(logits.softmax(1).amax(1).double().mean())),
        "The smallest logit is taken for the reading: the judge reads the largest.":
            _interval(lambda logits, labels: float((logits.argmin(1) == labels).double().mean())),
        "This is the share of wrong readings: those read as asked are meant.":
            _interval(lambda logits, labels: 1 - _share(logits, labels)),
        "n is the number of classes here: it should be the number of images.": (
            _interval(count=lambda logits, labels: logits.shape[1]),
            _interval(count=lambda logits, labels: int(labels.max()) + 1),
        ),
        "n counts the numbers in logits here: it should count the images.":
            _interval(count=lambda logits, labels: logits.numel()),
        "n counts only the images that were read as asked: all that were judged belong in it.":
            _interval(count=lambda logits, labels: int((logits.argmax(1) == labels).sum())),
        "The share is divided by n once more: the mean has done that.":
            _interval(lambda logits, labels: _share(logits, labels) / len(labels)),
        "The number of right readings stands where the share belongs: divide by n.":
            lambda logits, labels: (_share(logits, labels) * len(labels), *_wilson(_share(logits, labels), len(labels))[1:]),
        "The interval is one standard deviation wide to each side: that holds 68 %, not 95 %.": _interval(z=1.0),
        "This z leaves 5 % on one side: that is an interval of 90 %, for 95 % leave 2.5 % on each side.": (
            _interval(z=1.645), _interval(z=1.64), _interval(z=1.65),
        ),
        "This z makes an interval of 99 %: 95 % were asked for.": (_interval(z=2.576), _interval(z=2.58)),
        "z is 2 here, a rule of thumb: for 95 % it is 1.96.": _interval(z=2.0),
        "z is 0.95 here: that is the confidence. The number of standard deviations that holds 95 % is 1.96.": _interval(z=0.95),
        "The bounds are swapped: first share, then low, then high.":
            _interval(order=lambda p, low, high: (p, high, low)),
        "The order is share, low, high.": (
            _interval(order=lambda p, low, high: (low, p, high)),
            _interval(order=lambda p, low, high: (low, high, p)),
        ),
        "Three numbers were asked for: share, low, high.": (
            _interval(order=lambda p, low, high: (low, high)),
            _interval(order=lambda p, low, high: p),
            _interval(order=lambda p, low, high: (p, (low, high))),
            _interval(order=lambda p, low, high: (p, (high - low) / 2)),
        ),
        "The middle of the interval comes back as the share: the share itself is what was counted.":
            _interval(order=lambda p, low, high: ((low + high) / 2, low, high)),
        "The half width is right, but laid around the share: Wilson's interval has its own centre, nearer to one half.":
            _interval(order=lambda p, low, high: (p, p - (high - low) / 2, p + (high - low) / 2)),
        "This is the interval after Agresti and Coull: the centre is Wilson's, the width is not.": (_built(_agresti), _built(_plus_four)),
        "The half width lacks its root.":
            _built(lambda p, n: _around(p, n, _half(p, n) ** 2 * (1 + 1.96**2 / n) / 1.96)),
        "z is not squared in the centre or in the divisor: all but the first z of the half width are.": (
            _built(lambda p, n: _parts(p, n, top=1.96 / (2 * n))),
            _built(lambda p, n: _parts(p, n, divisor=1 + 1.96 / n)),
            _built(lambda p, n: _parts(p, n, top=1.96 / (2 * n), divisor=1 + 1.96 / n)),
            _built(lambda p, n: _parts(p, n, top=1.96 / (2 * n), divisor=1 + 1.96 / n, inner=1.96 / (4 * n**2))),
        ),
        "Under the root, z²/(4n²): its n is squared, too, and so is its z.": (
            _built(lambda p, n: _parts(p, n, inner=1.96**2 / (4 * n))),
            _built(lambda p, n: _parts(p, n, inner=1.96 / (4 * n**2))),
            _built(lambda p, n: _parts(p, n, inner=1.96**2 / (2 * n) ** 2 / n)),
            _built(lambda p, n: _parts(p, n, inner=1.96**2 / (2 * n**2))),
        ),
        "Something is not divided by 1 + z²/n: the centre is, and so is the half width.": (
            _built(lambda p, n: _parts(p, n, outer=1.96)),
            _built(lambda p, n: (_parts(p, n, divisor=1.0)[0], _parts(p, n, divisor=1.0)[1])),
            _built(lambda p, n: (p + 1.96**2 / (2 * n) - _half(p, n), p + 1.96**2 / (2 * n) + _half(p, n))),
        ),
        "In the centre z²/(2n) is added to the share: here it is z²/n or nothing.": (
            _built(lambda p, n: _parts(p, n, top=1.96**2 / n)),
            _built(lambda p, n: _parts(p, n, top=0.0)),
        ),
        "The second term under the root is missing: it is what keeps the width above 0 at 100 %.":
            _built(lambda p, n: _parts(p, n, inner=0.0)),
        "The results are rounded: leave that to whoever prints them.": (
            _interval(order=lambda p, low, high: (round(p, 2), round(low, 2), round(high, 2))),
            _interval(order=lambda p, low, high: (p, round(low, 2), round(high, 2))),
        ),
    },
)


def _half(p: float, n: float) -> float:
    low, high = _wilson(p, n)[1:]
    return (high - low) / 2


def _around(p: float, n: float, half: float) -> tuple[float, float]:
    low, high = _wilson(p, n)[1:]
    return (low + high) / 2 - half, (low + high) / 2 + half


def kernel_distance(a, b):
    """The unbiased squared kernel distance of two sets, with k(x, y) = (x·y / D + 1)³.

    a: features (N, D); b: features (M, D); N and M may differ. Returns one number.
    """
    n, m, D = len(a), len(b), a.shape[1]
    k_aa, k_bb, k_ab = (a @ a.T / D + 1) ** 3, (b @ b.T / D + 1) ** 3, (a @ b.T / D + 1) ** 3
    within_a = (k_aa.sum() - k_aa.trace()) / (n * (n - 1))
    within_b = (k_bb.sum() - k_bb.trace()) / (m * (m - 1))
    return within_a + within_b - 2 * k_ab.mean()


def _kernel_cases(seed: int) -> list[Case]:
    k = 10 * seed
    # Of one kind, and by chance more alike across than within: the distance is negative, at seed 0.
    same = [randn(2, 9, 3), randn(3, 6, 3)] if seed == 0 else [randn(k + 5, 9, 3), randn(k + 6, 6, 3)]
    return [
        Case("two different sets", (0.8 * randn(k, 7, 5), 1.1 * randn(k + 1, 10, 5) + 0.6)),
        Case("two sets of one kind", (same[0], same[1])),
        Case("sets of equal size", (randn(k + 2, 6, 4) + 0.5, 0.7 * randn(k + 3, 6, 4))),
    ]


def _cubic(x, y):
    return (x @ y.mT / x.shape[-1] + 1) ** 3


def _off(k):
    """Mean of a square matrix without its diagonal."""
    return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))


def _kernel(kernel=_cubic, own=_off, own_b=None, cross=lambda k: k.mean(), join=lambda x, y, z: x + y - 2 * z):
    """A wrong distance: these parts differ. own: of a matrix within a set; cross: of that between; join: of the three numbers."""
    return lambda a, b: join(own(kernel(a, a)), (own_b or own)(kernel(b, b)), cross(kernel(a, b)))


def _no_corner(k):
    """Mean of a matrix without its diagonal, which is no square one."""
    return (k.sum() - k.diagonal().sum()) / (k.numel() - len(k.diagonal()))


def _gauss(x, y):
    return torch.exp(-torch.cdist(x, y).square() / (2 * x.shape[1]))


def _sizes(k_own):
    """Both sets' sums divided by the same set's number of pairs."""
    def wrong(a, b):
        n = len(a) if k_own == "a" else len(b)
        aa, bb = _cubic(a, a), _cubic(b, b)
        return (aa.sum() - aa.trace() + bb.sum() - bb.trace()) / (n * (n - 1)) - 2 * _cubic(a, b).mean()
    return wrong


KERNEL = Exercise(
    kernel_distance,
    hints=(
        "Three matrices of similarities: within a, within b, between. Each becomes one number, a mean.",
        "Within a set, an image and itself are no pair: take `trace()` from the sum. N images then have N(N-1) pairs.",
    ),
    cases=_kernel_cases,
    mistakes={
        "Each image is compared with itself, too: these pairs on the diagonal are alike by nature, and make the distance biased.":
            _kernel(own=lambda k: k.mean()),
        "The diagonal is left out of the sum, but counted in the divisor: N images have N(N-1) pairs.":
            _kernel(own=lambda k: (k.sum() - k.trace()) / k.numel()),
        "The diagonal stays in the sum, but not in the divisor.":
            _kernel(own=lambda k: k.sum() / (len(k) * (len(k) - 1))),
        "The diagonal is left out for one of the two sets alone.": (
            _kernel(own_b=lambda k: k.mean()),
            _kernel(own=lambda k: k.mean(), own_b=_off),
        ),
        "Between the sets nothing is left out: there no image meets itself.": (
            _kernel(cross=_no_corner),
            _kernel(cross=lambda k: (k.sum() - k.diagonal().sum()) / k.numel()),
        ),
        "Only half of the pairs are summed, but all are counted.":
            _kernel(own=lambda k: k.triu(1).sum() / (len(k) * (len(k) - 1))),
        "Sums, where means are meant: each needs its number of pairs as divisor.": (
            _kernel(own=lambda k: k.sum() - k.trace(), cross=lambda k: k.sum()),
            _kernel(own=lambda k: k.sum(), cross=lambda k: k.sum()),
            _kernel(cross=lambda k: k.sum()),
        ),
        "The similarity between the sets counts twice: a difference squared is aa + bb - 2ab.": (
            _kernel(join=lambda x, y, z: x + y - z),
            _kernel(join=lambda x, y, z: (x + y) / 2 - z),
        ),
        "The similarity between the sets is added: it should make the distance smaller.":
            _kernel(join=lambda x, y, z: x + y + 2 * z),
        "The sign is turned: similarity within counts up, similarity between counts down.":
            _kernel(join=lambda x, y, z: 2 * z - x - y),
        "One of the two sets is missing: both have a similarity within.": (
            _kernel(join=lambda x, y, z: x - 2 * z),
            _kernel(join=lambda x, y, z: y - 2 * z),
            _kernel(join=lambda x, y, z: x - z),
            _kernel(join=lambda x, y, z: 2 * x - 2 * z),
        ),
        "Both sets are divided by the same number of pairs: they may differ in size.": (_sizes("a"), _sizes("b")),
        "The kernel lacks its 1, or adds it after the power, where it cancels in the end.": (
            _kernel(lambda x, y: (x @ y.mT / x.shape[-1]) ** 3),
            _kernel(lambda x, y: (x @ y.mT / x.shape[-1]) ** 3 + 1),
        ),
        "The kernel does not divide by D, the number of features.":
            _kernel(lambda x, y: (x @ y.mT + 1) ** 3),
        "The kernel divides the wrong thing by D: only x·y, and not the 1.":
            _kernel(lambda x, y: ((x @ y.mT + 1) / x.shape[-1]) ** 3),
        "The kernel divides by √D: here it is D.":
            _kernel(lambda x, y: (x @ y.mT / x.shape[-1] ** 0.5 + 1) ** 3),
        "The kernel divides by the number of images: D is the number of features.":
            _kernel(lambda x, y: (x @ y.mT / len(x) + 1) ** 3),
        "The kernel lacks its power of 3.":
            _kernel(lambda x, y: x @ y.mT / x.shape[-1] + 1),
        "The kernel's power is 2: it should be 3.":
            _kernel(lambda x, y: (x @ y.mT / x.shape[-1] + 1) ** 2),
        "This kernel is a bell curve of the distance: here it is (x·y / D + 1)³.": _kernel(_gauss),
        "This compares distances, not similarities: the kernel is (x·y / D + 1)³.": (
            _kernel(torch.cdist),
            lambda a, b: 2 * torch.cdist(a, b).mean() - _off(torch.cdist(a, a)) - _off(torch.cdist(b, b)),
        ),
        "It is cut off at 0: an unbiased estimate must be free to fall below, else its mean is too large.": (
            _kernel(join=lambda x, y, z: (x + y - 2 * z).clamp(min=0)),
            _kernel(join=lambda x, y, z: (x + y - 2 * z).relu()),
        ),
        "Its absolute value is taken: an unbiased estimate must be free to fall below 0, else its mean is too large.":
            _kernel(join=lambda x, y, z: (x + y - 2 * z).abs()),
        "A root is taken: the squared distance is asked for, and it may be negative.": (
            _kernel(join=lambda x, y, z: (x + y - 2 * z) ** 0.5),
            _kernel(join=lambda x, y, z: (x + y - 2 * z).clamp(min=0) ** 0.5),
        ),
        "Only the means of the two sets are compared: the kernel belongs on every pair.":
            lambda a, b: ((a.mean(0) - b.mean(0)) ** 2).sum(),
        "The diagonal of the similarities is all that is used: every image of a meets every image of b.":
            lambda a, b: _off(_cubic(a, a)) + _off(_cubic(b, b)) - 2 * _cubic(a, b).diagonal().mean(),
        "The features are shifted or scaled first: the kernel takes them as they are.": (
            lambda a, b: kernel_distance(a - a.mean(0), b - b.mean(0)),
            lambda a, b: kernel_distance(a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)),
        ),
    },
)


def copy_test(samples, training, held_out):
    """The share of the samples whose nearest training image is nearer than their nearest held-out image.

    samples: float (N, C, H, W) in [-1, 1]; training: uint8 (M, C, H, W); held_out: uint8 (K, C, H, W).
    Distances are Euclidean, over all pixels. Of the two sets take the first min(M, K) images. Returns one number.
    """
    n, x = min(len(training), len(held_out)), samples.flatten(1)
    to_training = torch.cdist(x, (training[:n] / 127.5 - 1).flatten(1)).amin(1)
    to_held_out = torch.cdist(x, (held_out[:n] / 127.5 - 1).flatten(1)).amin(1)
    return (to_training < to_held_out).float().mean()


def _bytes(seed: int, *shape: int) -> torch.Tensor:
    return (256 * uniform(seed, *shape)).to(torch.uint8)


def _copy_cases(seed: int) -> list[Case]:
    def case(label: str, place: int, n: int, sizes: tuple[int, int], *shape: int) -> Case:
        k = 100 * seed + 10 * place
        training, held_out = _bytes(k, sizes[0], *shape), _bytes(k + 1, sizes[1], *shape)
        near = torch.cat([training, held_out, training if place % 2 else held_out])  # near both, and nearer on average to one of them
        pick = (uniform(k + 2, n) * len(near)).long()
        samples = 0.8 * (near[pick] / 127.5 - 1) + 0.45 * randn(k + 3, n, *shape)
        return Case(label, (samples.clamp(-1, 1), training, held_out))

    def half_way(k: int, n: int) -> Case:
        """Each sample a little nearer to a training image than to a held-out one: the least change of an image shows."""
        training, held_out = _bytes(k, n, 1, 6, 6), _bytes(k + 1, n, 1, 6, 6)
        lean = 0.5 + 3e-4
        return Case("samples half way between two images", (lean * _floats(training) + (1 - lean) * _floats(held_out), training, held_out))

    return [
        case("more training images than held-out ones", 1, 37, (17, 6), 1, 3, 4),
        case("more held-out images than training ones", 2, 31, (5, 14), 1, 3, 3),
        case("sets of equal size, in colour", 3, 29, (9, 9), 3, 2, 3),
        half_way(100 * seed + 40, 23),
    ]


def _floats(images):
    return images / 127.5 - 1


def _copies(scale=_floats, mine=lambda x: x, cut=lambda a, b: min(len(a), len(b)), distance=torch.cdist, nearest=lambda d: d.amin(1),
            judge=lambda to_training, to_held_out: (to_training < to_held_out).float().mean()):
    """A wrong test: these parts differ."""
    def wrong(samples, training, held_out):
        n = cut(training, held_out)
        x = mine(samples).flatten(1)
        return judge(*(nearest(distance(x, scale(images[:n]).float().flatten(1))) for images in (training, held_out)))
    return wrong


def _own(samples, training, held_out):
    """Within one set, where each image is its own nearest."""
    x = samples.flatten(1)
    n = min(len(training), len(held_out))
    return (torch.cdist(x, x).amin(1) < torch.cdist(x, _floats(held_out[:n]).flatten(1)).amin(1)).float().mean()


def _all_training(samples, training, held_out):
    x = samples.flatten(1)
    n = min(len(training), len(held_out))
    return (torch.cdist(x, _floats(training).flatten(1)).amin(1) < torch.cdist(x, _floats(held_out[:n]).flatten(1)).amin(1)).float().mean()


def _by_samples(samples, training, held_out):
    n = min(len(samples), len(training), len(held_out))
    return copy_test(samples[:n], training, held_out)


def _real_against_real(samples, training, held_out):
    """Judges the samples by how near held-out images come to training images."""
    n = min(len(training), len(held_out))
    t, h = (_floats(images[:n]).flatten(1) for images in (training, held_out))
    return (torch.cdist(samples.flatten(1), t).amin(1) < torch.cdist(h, t).amin(1).median()).float().mean()


COPY = Exercise(
    copy_test,
    hints=(
        "Twice the same: bring the images to the range of the samples, then keep each sample's smallest distance.",
        "`torch.cdist` takes two tables, a row for each image. The smallest of each row answers how near; then compare and take the mean.",
    ),
    cases=_copy_cases,
    variants=("non-contiguous", "gradient"),
    mistakes={
        "Training and held-out are swapped: a copier should get a large share.": (
            _copies(judge=lambda t, h: (h < t).float().mean()),
            lambda samples, training, held_out: copy_test(samples, held_out, training),
        ),
        "The larger set keeps all its images, and has the nearest one by its size alone: take equally many of both.": (
            _copies(cut=lambda a, b: max(len(a), len(b))),
            _all_training,
        ),
        "Some samples are left out: all of them are tested.": _by_samples,
        "The uint8 images keep another range than the samples, which lie in [-1, 1]: the nearest are then the darkest.": (
            _copies(scale=lambda x: x.float()),
            _copies(scale=lambda x: x.float(), mine=lambda x: x.to(torch.uint8).float()),
            _copies(scale=lambda x: x.float(), mine=lambda x: 255 * x),
            _copies(scale=lambda x: x / 255),
            _copies(scale=lambda x: x / 256),
        ),
        "The uint8 images are shifted, but not scaled to [-1, 1]: divide by 127.5.": (
            _copies(scale=lambda x: x / 255 - 1),
            _copies(scale=lambda x: x / 255 - 0.5),
            _copies(scale=lambda x: (x.float() - 127.5) / 255),
            _copies(scale=lambda x: x.float() - 127.5),
        ),
        "uint8 arithmetic wraps round: make floats of the images before anything is subtracted.":
            _copies(scale=lambda x: (x - 127).float() / 127.5),
        "This compares numbers that stand for all samples together: compare sample by sample, then return the share.": (
            _copies(nearest=lambda d: d.min()),
            _copies(judge=lambda t, h: (t < h).float().mean() > 0.5),
            _copies(judge=lambda t, h: bool((t < h).float().mean() > 0.5)),
            _copies(judge=lambda t, h: (t.mean() < h.mean()).float()),
            _copies(judge=lambda t, h: t.mean() / h.mean()),
            _copies(judge=lambda t, h: h.mean() - t.mean()),
            _copies(judge=lambda t, h: t.mean() - h.mean()),
            _copies(judge=lambda t, h: (t - h).mean()),
            _copies(judge=lambda t, h: (h - t).mean()),
            _copies(judge=lambda t, h: (t / h).mean()),
        ),
        "The farthest image is taken: the nearest is meant.": _copies(nearest=lambda d: d.amax(1)),
        "The mean distance to all images is taken: the nearest one alone tells of copying.": _copies(nearest=lambda d: d.mean(1)),
        "This finds the nearest sample of each image: the nearest image of each sample is meant, along the other axis.":
            _copies(nearest=lambda d: d.amin(0)),
        "These are positions, not distances: argmin says which image, min how near it is.": _copies(nearest=lambda d: d.argmin(1)),
        "A sample is compared with the samples: its nearest is itself, at distance 0.": _own,
        "Distances are sums of absolute differences here: Euclidean ones are asked for.":
            _copies(distance=lambda x, y: torch.cdist(x, y, p=1)),
        "This takes the largest difference of one pixel: Euclidean distances are asked for.":
            _copies(distance=lambda x, y: torch.cdist(x, y, p=torch.inf)),
        "The samples are multiplied with the images: that is a similarity, not a distance.": (
            _copies(distance=lambda x, y: x @ y.T),
            _copies(distance=lambda x, y: -(x @ y.T)),
        ),
        "This is the number of samples: divide by how many there are.": _copies(judge=lambda t, h: (t < h).float().sum()),
        "The share is in percent: it should lie in 0 to 1.": _copies(judge=lambda t, h: 100 * (t < h).float().mean()),
        "This is a verdict for each sample: take the mean of them.": (
            _copies(judge=lambda t, h: t < h),
            _copies(judge=lambda t, h: (t < h).float()),
        ),
        "The share is measured from one half: return the share itself.": _copies(judge=lambda t, h: (t < h).float().mean() - 0.5),
        "The yardstick is the distance of held-out images to training images: here a sample's own two distances are compared.":
            _real_against_real,
        "This counts samples nearer than a number typed by hand. How near is near depends on the data: compare with held-out images.": (
            *(_copies(judge=lambda t, h, limit=limit: (t < limit).float().mean()) for limit in (0.1, 0.5, 1.0, 1.5, 2.0)),
        ),
    },
)

EXERCISES = (ACCURACY, KERNEL, COPY)
