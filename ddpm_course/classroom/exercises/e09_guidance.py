"""Exercises of notebook 09: the guided guess from one doubled batch, and labels dropped one by one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from . import Case, Exercise, randn, uniform


def guide(model, xt, t, y, scale, null_label):
    """The guided guess, from a single call of the model.

    model: model(xt, t, y) returns a guess, as xt; the label null_label means that no label is told.
    xt: (B, C, H, W); t, y: int64 (B,); scale: a number.
    Returns the unlabelled guess plus scale times the way from it to the labelled one, as xt.
    """
    labels = torch.cat([y, torch.full_like(y, null_label)])
    cond, uncond = model(torch.cat([xt, xt]), torch.cat([t, t]), labels).chunk(2)
    return uncond + scale * (cond - uncond)


class _Labelled(nn.Module):
    """A network whose guess depends on the image, on t and on the label, for each image apart. It counts its calls.

    Its table has more rows than labels, so that -1, null_label + 1 and 10 say something of their own instead of failing.
    """

    calls: Tensor

    def __init__(self, seed: int, null_label: int):
        super().__init__()
        self.null_label = null_label
        self.table = nn.Parameter(randn(seed, 13, 3))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, xt: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None:
            y = torch.full((len(xt),), self.null_label)
        if not len(xt) == len(t) == len(y):
            raise ValueError(f"The model got {len(xt)} images, {len(t)} timesteps and {len(y)} labels.")
        if y.is_floating_point():
            raise ValueError("The model takes whole numbers as labels.")
        self.calls += 1
        a, b, c = self.table[y].reshape(-1, 3, 1, 1, 1).unbind(1)
        channel = torch.arange(1, xt.shape[1] + 1).reshape(-1, 1, 1)
        return torch.sin(xt + a + t.reshape(-1, 1, 1, 1) / 7) * channel + b * xt.flip(-1) + c


def _guide_cases(seed: int) -> list[Case]:
    def case(label: str, scale: float, null_label: int, *size: int) -> Case:
        k = seed + 10 * len(label)
        t = 1 + (uniform(k + 1, size[0]) * 20).long()
        y = (uniform(k + 2, size[0]) * (null_label - 1)).long() + 1  # never 0: that would hide a null label of 0
        return Case(label, (_Labelled(k + 3, null_label), randn(k + 4, *size), t, y, scale, null_label))

    return [
        case("a batch at scale 3", 3.0, 10, 4, 1, 4, 5),
        case("scale 1, which should give the labelled guess", 1.0, 3, 3, 1, 5, 4),
        case("scale 0, which should give the unlabelled guess", 0.0, 10, 3, 1, 4, 4),
        case("a scale between 0 and 1", 0.4, 5, 2, 3, 4, 5),
        case("images of four channels", 2.0, 10, 4, 4, 4, 4),
        case("a single image at scale 7.5", 7.5, 10, 1, 1, 5, 4),
    ]


def _asked(model, xt, t, y, null_label):
    """The two guesses, from one call."""
    labels = torch.cat([y, torch.full_like(y, null_label)])
    return model(torch.cat([xt, xt]), torch.cat([t, t]), labels).chunk(2)


def _mixed(mix: Callable):
    """Another mixture of the right guesses: mix(cond, uncond, scale)."""
    return lambda model, xt, t, y, scale, null: mix(*_asked(model, xt, t, y, null), scale)


def _fed(feed: Callable):
    """Another doubled batch: feed(xt, t, y, null) gives what the model is called with, the labelled half first."""
    def wrong(model, xt, t, y, scale, null):
        cond, uncond = model(*feed(xt, t, y, torch.full_like(y, null))).chunk(2)
        return uncond + scale * (cond - uncond)
    return wrong


def _channels(which: Callable[[Tensor], slice], rest: int):
    """Only these channels are guided; the rest is that of the labelled (0) or of the unlabelled guess (1)."""
    def wrong(model, xt, t, y, scale, null):
        both = _asked(model, xt, t, y, null)
        cond, uncond = both
        out = both[rest].clone()
        part = which(xt)
        out[:, part] = uncond[:, part] + scale * (cond - uncond)[:, part]
        return out
    return wrong


def _two_calls(model, xt, t, y, scale, null_label):
    cond, uncond = model(xt, t, y), model(xt, t, torch.full_like(y, null_label))
    return uncond + scale * (cond - uncond)


def _two_calls_none(model, xt, t, y, scale, null_label):
    cond, uncond = model(xt, t, y), model(xt, t, None)
    return uncond + scale * (cond - uncond)


def _two_same(model, xt, t, y, scale, null_label):
    cond, uncond = model(xt, t, y), model(xt, t, y)
    return uncond + scale * (cond - uncond)


def _pushed_only_above_one(model, xt, t, y, scale, null_label):
    if scale <= 1:
        return model(xt, t, y)
    return guide(model, xt, t, y, scale, null_label)


def _call_of_each_image(model, xt, t, y, scale, null_label):
    return torch.cat([guide(model, xt[k : k + 1], t[k : k + 1], y[k : k + 1], scale, null_label) for k in range(len(xt))])


GUIDE = Exercise(
    guide,
    hints=(
        "Join the images to themselves, and the timesteps too. Join the labels to as many null labels. Ask once, "
        "then take the answer apart.",
        "`torch.cat` joins, `torch.full_like` makes the null labels, `chunk` takes apart. What goes in first comes out first.",
    ),
    cases=_guide_cases,
    changes=("model",),
    mistakes={
        "The push is turned round: it should lead from the unlabelled guess towards the labelled one.": (
            _mixed(lambda c, u, s: u - s * (c - u)),
            _mixed(lambda c, u, s: u + s * (u - c)),
        ),
        "This is the other convention, in which 0 is no push at all: here scale 1 should give the labelled guess.": (
            _mixed(lambda c, u, s: c + s * (c - u)),
            _mixed(lambda c, u, s: (1 + s) * c - s * u),
        ),
        "It starts from the labelled guess: the scale is counted from the unlabelled one.":
            _mixed(lambda c, u, s: c + (s - 1) * (u - c)),
        "The scale is taken less 1 here: at scale 1 this gives the unlabelled guess, and the labelled one is right.":
            _mixed(lambda c, u, s: u + (s - 1) * (c - u)),
        "The unlabelled half was told the labels, too: then both guesses agree, and no scale can matter.": (
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([y, y]))),
            lambda model, xt, t, y, scale, null: model(xt, t, y),
            _two_same,
            _mixed(lambda c, u, s: c),
        ),
        "Neither half was told the labels: look at what becomes of y before it is joined.": (
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([null, null]))),
            lambda model, xt, t, y, scale, null: model(xt, t, torch.full_like(y, null)),
        ),
        "The halves have changed places: what went in first comes out first.": (
            _mixed(lambda c, u, s: c + s * (u - c)),
            _mixed(lambda c, u, s: (1 - s) * c + s * u),
        ),
        "Only some of the channels are guided: all of them should be, however many there are.": (
            _channels(lambda xt: slice(0, 3), 0),
            _channels(lambda xt: slice(0, 3), 1),
            _channels(lambda xt: slice(0, 1), 0),
            _channels(lambda xt: slice(0, 1), 1),
            _channels(lambda xt: slice(0, -1), 0),
            _channels(lambda xt: slice(0, -1), 1),
        ),
        "The model is called twice: put both halves into one batch, and call it once.": (_two_calls, _two_calls_none),
        "The model is called once for each image: one call can take them all.": _call_of_each_image,
        "Below scale 1 nothing is mixed: scale 0 should give the unlabelled guess.": _pushed_only_above_one,
        "The unlabelled guess is missing: the push alone is no guess.": _mixed(lambda c, u, s: s * (c - u)),
        "The labelled guess itself is multiplied: only the difference of the two should be.": (
            _mixed(lambda c, u, s: u + s * c),
            _mixed(lambda c, u, s: s * c),
            _mixed(lambda c, u, s: s * c - u),
        ),
        "The weights do not sum to 1: what one guess gains, the other must lose.": (
            _mixed(lambda c, u, s: s * c + (s - 1) * u),
            _mixed(lambda c, u, s: (1 + s) * c - u),
            _mixed(lambda c, u, s: s * c - s * u + c + u),
        ),
        "The scale is squared: it should count once.": _mixed(lambda c, u, s: u + s**2 * (c - u)),
        "The result is clipped: a guess may leave [-1, 1], and the walk clips it later.":
            _mixed(lambda c, u, s: (u + s * (c - u)).clamp(-1, 1)),
        "The null label is taken to be 0: that is one of the labels. It comes in as null_label.": (
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([y, null * 0]))),
            lambda model, xt, t, y, scale, null: _two_calls(model, xt, t, y, scale, 0),
        ),
        "The null label is taken to be -1: that wraps round to the last row of a table. It comes in as null_label.":
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([y, null * 0 - 1]))),
        "The null label is one too large: labels are counted from 0, so their number is the first free one.":
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([y, null + 1]))),
        "The null label is one too small: that is the last of the labels.":
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([y, null - 1]))),
        "The null label is taken to be 10: it comes in as null_label.":
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([y, null * 0 + 10]))),
        "The timesteps are multiplied by 2: they should come twice, each as it was.":
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t]) * 2, torch.cat([y, null]))),
        "The timesteps of the second half are others: both halves need the same t, in the same order.": (
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t * 0]), torch.cat([y, null]))),
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t * 2]), torch.cat([y, null]))),
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t + len(t)]), torch.cat([y, null]))),
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), torch.cat([t, t.flip(0)]), torch.cat([y, null]))),
        ),
        "t goes 0, 0, 1, 1 where the images go 0, 1, 0, 1: join each in the same way.":
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt]), t.repeat_interleave(2), torch.cat([y, null]))),
        "The images go 0, 0, 1, 1 and are cut into halves: those mix images. Join with cat.": (
            _fed(lambda xt, t, y, null: (xt.repeat_interleave(2, 0), torch.cat([t, t]), torch.cat([y, null]))),
            _fed(lambda xt, t, y, null: (xt.repeat_interleave(2, 0), t.repeat_interleave(2), torch.cat([y, null]))),
            _fed(lambda xt, t, y, null: (xt.repeat_interleave(2, 0), t.repeat_interleave(2), torch.stack([y, null], 1).flatten())),
        ),
        "The unlabelled half sees another image: both halves need the same xt.": (
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt * 0]), torch.cat([t, t]), torch.cat([y, null]))),
            _fed(lambda xt, t, y, null: (torch.cat([xt, xt.flip(0)]), torch.cat([t, t]), torch.cat([y, null]))),
        ),
    },
)


def drop_labels(y, p, null_label, generator):
    """Hide some labels from the network: each, on its own and with probability p, becomes null_label.

    y: int64 (B,); generator: a torch.Generator, the only source of randomness.
    Returns new labels, int64 (B,). y stays as it was.
    """
    dropped = torch.rand(y.shape, generator=generator) < p
    return torch.where(dropped, null_label, y)


def _drop_cases(seed: int) -> list[Case]:
    """p = 0 and p = 1, where nothing is left to chance. The probes look at what lies between."""
    def case(label: str, size: int, p: float, null_label: int) -> Case:
        y = (uniform(seed + size, size) * (null_label - 1)).long() + 1
        return Case(label, (y, p, null_label, torch.Generator().manual_seed(seed + 1)))

    return [
        case("p = 0, where every label stays", 9, 0.0, 10),
        case("p = 1, where every label goes", 8, 1.0, 10),
        case("another null label", 7, 1.0, 4),
        case("a single label", 1, 1.0, 10),
        case("p = 0 and another null label", 12, 0.0, 4),
    ]


ONE_DRAW = "One draw decides for the whole batch: each label should be dropped on its own."
SAME_MASK = "The same places are dropped at every call: draw from the generator that comes in, and leave its seed alone."
FIXED_COUNT = "Every batch loses the same number of labels: each label should be decided on its own, so that the number varies."
BY_LABEL = "Equal labels are dropped together: two of the same label should be decided apart."
NEIGHBOURS = "Neighbours are dropped together: each label needs a draw of its own."
INVERTED = "The probability is turned round: at p = 0 all labels should stay."
UNIFORM = "The numbers are Gaussian, with negative ones among them: the comparison with p needs uniform ones."


def _drop_share(fn: Callable, p: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which of 20,000 labels are dropped; and the labels."""
    y = torch.arange(20_000) % 10
    out = fn(y.clone(), p, 10, generator)
    return (torch.as_tensor(out) == 10), y


def _drops_each_alone(fn: Callable) -> str | None:
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(16) % 10
    batches = torch.stack([torch.as_tensor(fn(y.clone(), 0.5, 10, generator)) == 10 for _ in range(60)])
    if bool((batches == batches[0]).all()):
        mixed = batches[0].any() and not batches[0].all()
        return SAME_MASK if mixed else "At p = 0.5 the same happens to every label: draw a random number for each."
    counts = batches.sum(1)
    if bool(((counts == 0) | (counts == 16)).all()):
        return ONE_DRAW
    if bool((counts == counts[0]).all()):
        return FIXED_COUNT
    return None


def _drops_by_the_generator(fn: Callable) -> str | None:
    first, again = (_drop_share(fn, 0.3, torch.Generator().manual_seed(5))[0] for _ in range(2))
    if not torch.equal(first, again):
        return "The same generator, seeded alike, gives other labels: all randomness should come from it."
    if torch.equal(first, _drop_share(fn, 0.3, torch.Generator().manual_seed(6))[0]):
        return SAME_MASK
    return None


def _drops_the_right_share(fn: Callable) -> str | None:
    generator = torch.Generator().manual_seed(2)
    for p in (0.1, 0.5, 0.8):
        dropped, y = _drop_share(fn, p, generator)
        share = float(dropped.float().mean())
        by_label = torch.stack([dropped[y == k].float().mean() for k in range(10)])
        if float((by_label - p).abs().max()) > 0.3 * min(p, 1 - p) and float(by_label.std()) > 0.1:
            return BY_LABEL
        if abs(share - p) > 5 * (p * (1 - p) / len(y)) ** 0.5:
            return f"At p = {p} it drops {share:.0%} of the labels: it should be {p:.0%}."
        if float((by_label - p).abs().max()) > 5 * (p * (1 - p) / 2000) ** 0.5:
            return "Some labels are dropped more often than others: the label should not matter."
        both = float((dropped[1:] & dropped[:-1]).float().mean())
        if abs(both - p * p) > 8 * (p * p / len(y)) ** 0.5:
            return NEIGHBOURS
        halves = float((dropped[:10_000] == dropped[10_000:]).float().mean())
        if abs(halves - (p * p + (1 - p) ** 2)) > 0.05:
            return "A pattern of drops comes again and again within a batch: each label needs a draw of its own."
    return None


def _dropping(mask: Callable, replace: Callable | None = None):
    """A wrong way: mask(y, p, generator) says which are dropped, replace(y, null) what they become."""
    def wrong(y, p, null_label, generator):
        new = replace(y, null_label) if replace else torch.full_like(y, null_label)
        return torch.where(mask(y, p, generator), new, y)
    return wrong


def _rand(y, p, generator):
    return torch.rand(y.shape, generator=generator) < p


def _fixed(y, p, generator):
    mask = torch.zeros(len(y), dtype=torch.bool)
    mask[torch.randperm(len(y), generator=generator)[: round(p * len(y))]] = True
    return mask


def _first_ones(y, p, generator):
    torch.rand(1, generator=generator)
    return torch.arange(len(y)) < round(p * len(y))


DROP_LABELS = Exercise(
    drop_labels,
    hints=(
        "Draw a number between 0 and 1 for each label. Those below p are dropped.",
        "`torch.rand` takes a shape and a generator. `torch.where` takes the null label where the draw says so, and y elsewhere.",
    ),
    cases=_drop_cases,
    variants=("non-contiguous",),
    probes=(_drops_each_alone, _drops_by_the_generator, _drops_the_right_share),
    mistakes={
        ONE_DRAW: (
            _dropping(lambda y, p, g: (torch.rand(1, generator=g) < p).expand(len(y))),
            lambda y, p, null, g: torch.full_like(y, null) if torch.rand((), generator=g) < p else y.clone(),
            lambda y, p, null, g: torch.full_like(y, null) if torch.rand((), generator=g) < p else y,
        ),
        INVERTED: (
            _dropping(lambda y, p, g: ~_rand(y, p, g)),
            _dropping(lambda y, p, g: torch.rand(y.shape, generator=g) > p),
        ),
        "Dropped labels become 0: that is one of the labels. They should become null_label.": (
            _dropping(_rand, lambda y, null: torch.zeros_like(y)),
            lambda y, p, null, g: y * ~_rand(y, p, g),
        ),
        "The null label is taken to be -1: it comes in as null_label.":
            _dropping(_rand, lambda y, null: torch.full_like(y, -1)),
        "Dropped labels are turned negative: they should become null_label.":
            _dropping(_rand, lambda y, null: -y),
        "The labels that stay are turned negative: they should be as they were.":
            lambda y, p, null, g: torch.where(_rand(y, p, g), null, -y),
        "The labels that stay are lost: only the dropped ones should change.": (
            lambda y, p, null, g: torch.where(_rand(y, p, g), null, torch.zeros_like(y)),
            lambda y, p, null, g: null * _rand(y, p, g).long(),
        ),
        "The null label is taken to be 10: it comes in as null_label.":
            _dropping(_rand, lambda y, null: torch.full_like(y, 10)),
        "Dropped labels become other labels at random: they should become null_label.":
            lambda y, p, null, g: torch.where(_rand(y, p, g), torch.randint(0, null, y.shape, generator=g), y),
        "Dropped labels are taken out of the batch: it should keep its length.":
            lambda y, p, null, g: y[~_rand(y, p, g)],
        "This is the mask: the labels were asked for.": (
            lambda y, p, null, g: _rand(y, p, g),
            lambda y, p, null, g: _rand(y, p, g).long(),
        ),
        UNIFORM: _dropping(lambda y, p, g: torch.randn(y.shape, generator=g) < p),
        SAME_MASK: _dropping(lambda y, p, g: _rand(y, p, torch.Generator().manual_seed(0))),
        FIXED_COUNT: (_dropping(_fixed),),
        BY_LABEL: _dropping(lambda y, p, g: (torch.rand(100, generator=g) < p)[y]),
        NEIGHBOURS: _dropping(lambda y, p, g: _rand(y[::2], p, g).repeat_interleave(2)[: len(y)]),
        "It drops nothing: p and the generator are not used.": lambda y, p, null, g: y.clone(),
    },
)


EXERCISES = (GUIDE, DROP_LABELS)
