"""Exercises of notebook 07: the label in one line, the loss with labels, and a test of what a network does with its label."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import Case, Exercise, randn, uniform


def add_label(emb, table, y):
    """Tell the network the label: add the label's row of a table to the embedding of the time.

    emb: (B, E), the time's numbers. y: int64 (B,) in {0..K}, a label for each image.
    table: (K + 1, E), a row for each label. It is learned: gradients must reach it. Returns (B, E).
    """
    return emb + table[y]


def _labels(seed: int, n: int, count: int) -> Tensor:
    """n labels below count; both ends are among them where there is room."""
    y = torch.randint(count, (n,), generator=torch.Generator().manual_seed(seed))
    if n > 2:
        y[0], y[-1] = count - 1, 0
        y[1] = min(1, count - 1)
    return y


def _row_cases(seed: int) -> list[Case]:
    def case(label: str, n: int, rows: int, width: int) -> Case:
        s = seed + 100 * len(label)
        return Case(label, (randn(s, n, width) + 0.3, randn(s + 1, rows, width) - 0.2, _labels(s + 2, n, rows)))

    return [
        case("five images", 5, 11, 8),
        case("as many images as rows and numbers", 6, 6, 6),
        case("more images than rows", 7, 4, 5),
        case("a single image", 1, 5, 3),
    ]


def _row(reads: Callable[[Tensor, Tensor], Tensor]):
    """A mistake in which row is read."""
    return lambda emb, table, y: emb + reads(table, y)


def _reaches_the_table(fn) -> str | None:
    emb, table, y = _row_cases(0)[0].args
    out = fn(emb.requires_grad_(), table.requires_grad_(), y)
    if out.requires_grad:
        out.square().sum().backward()
    if table.grad is None:
        return "No gradient reaches the table: it would stay frozen as it was drawn. Look for detach, data, numpy or no_grad."
    if emb.grad is None:
        return "No gradient reaches `emb`: the embedding of the time could no longer learn. Look for detach, data, numpy or no_grad."
    return None


ADD_LABEL = Exercise(
    add_label,
    hints=(
        "An index may be a whole tensor: a list of labels picks a list of rows, in one go.",
        "Pick a row for each image, and you hold numbers of the same shape as `emb`. One sum is left.",
    ),
    cases=_row_cases,
    mistakes={
        "The label is ignored: what comes out is the time alone.": lambda emb, table, y: emb,
        "The time is lost: the row belongs on top of `emb`.": lambda emb, table, y: table[y],
        "One of the two is subtracted: here time and label are added.": (
            _row(lambda table, y: -table[y]),
            lambda emb, table, y: table[y] - emb,
        ),
        "Time and label are multiplied: here they are added.": (
            lambda emb, table, y: emb * table[y],
            lambda emb, table, y: emb * (1 + table[y]),
        ),
        "Time and label are put side by side: the blocks expect as many numbers as before, so add them.": (
            lambda emb, table, y: torch.cat([emb, table[y]], 1),
            lambda emb, table, y: torch.cat([emb, table[y]], 0),
            lambda emb, table, y: torch.stack([emb, table[y]]),
        ),
        "The label's number itself is added: then 9 is nine times a 1. Its row of the table was asked for.": (
            _row(lambda table, y: y[:, None]),
            _row(lambda table, y: y[:, None] / 10),
            _row(lambda table, y: y[:, None] / len(table)),
            _row(lambda table, y: y[:, None] / (len(table) - 1)),
            lambda emb, table, y: emb + y,
            _row(lambda table, y: F.one_hot(y, table.shape[1])),
        ),
        "Every image gets the row of the first one's label: each has its own.": (
            _row(lambda table, y: table[y[0]]),
            _row(lambda table, y: table[y[:1]]),
        ),
        "Every image gets the null label's row, the last one.": _row(lambda table, y: table[-1]),
        "The row is picked by the image's place in the batch, not by its label.": (
            _row(lambda table, y: table[: len(y)]),
            _row(lambda table, y: table[torch.arange(len(y)) % len(table)]),
        ),
        "It reads the row before the label's: labels are counted from 0.": _row(lambda table, y: table[y - 1]),
        "It reads the row after the label's: labels are counted from 0.": (
            _row(lambda table, y: table[(y + 1).clamp(max=len(table) - 1)]),
            _row(lambda table, y: table[(y + 1) % len(table)]),
            _row(lambda table, y: table[y + 1]),
        ),
        "The table is read from its end: row 0 belongs to label 0.": (
            _row(lambda table, y: table.flip(0)[y]),
            _row(lambda table, y: table[-y]),
        ),
        "Labels pick columns: a label's numbers stand in a row of the table.": (
            _row(lambda table, y: table.T[y]),
            _row(lambda table, y: table[:, y]),
            _row(lambda table, y: table[:, y].T),
        ),
        "Labels and images are no longer in the same order.": (
            _row(lambda table, y: table[y].flip(0)),
            _row(lambda table, y: table[y.sort().values]),
            _row(lambda table, y: table[y.roll(1)]),
        ),
        "All images get the same numbers: rows of the whole batch, or of the whole table, are taken together.": (
            _row(lambda table, y: table[y].mean(0)),
            _row(lambda table, y: table[y].sum(0)),
            _row(lambda table, y: table.mean(0)),
            _row(lambda table, y: table.sum(0)),
        ),
        "The numbers of a row are taken together: each belongs to one number of `emb`.": (
            _row(lambda table, y: table[y].mean(1, keepdim=True)),
            _row(lambda table, y: table[y].sum(1, keepdim=True)),
        ),
        "The sum is scaled: time and label come in at full size.": (
            lambda emb, table, y: (emb + table[y]) / 2,
            lambda emb, table, y: (emb + table[y]) / 2**0.5,
            lambda emb, table, y: emb + table[y] / 10,
        ),
        "A SiLU or ReLU comes in: that is for later, in the network.": (
            lambda emb, table, y: F.silu(emb + table[y]),
            lambda emb, table, y: F.relu(emb + table[y]),
            lambda emb, table, y: emb + F.silu(table[y]),
        ),
    },
    probes=(_reaches_the_table,),
)


def label_loss(model, x0, y, hidden, t, noise, alpha_bar):
    """The loss with labels: the mean squared error of the guessed image.

    model: model(xt, t, y) returns its guess of x0. model.null_label: the label that stands for no label.
    x0, noise: (B, C, H, W). y, t: int64 (B,). alpha_bar: (T,).
    hidden: bool (B,). Where it is True, the model is told the null label; elsewhere that image's y.
    Returns a single number.
    """
    told = torch.where(hidden, model.null_label, y)
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    xt = a.sqrt() * x0 + (1 - a).sqrt() * noise
    return (model(xt, t, told) - x0).square().mean()


class _Listener(nn.Module):
    """A mix of the image and its mirror image, moved by the time and the label. Without a label it takes the null label."""

    def __init__(self, seed: int, labels: int, T: int):
        super().__init__()
        self.null_label = labels
        self.weight, self.times = nn.Parameter(randn(seed, 2)), nn.Parameter(randn(seed + 1, T))
        self.rows = nn.Parameter(randn(seed + 2, labels + 1, 2))

    def forward(self, xt: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        y = torch.full((len(xt),), self.null_label) if y is None else y
        scale, shift = F.embedding(y, self.rows).reshape(-1, 2, 1, 1, 1).unbind(1)  # -1 is no label, and an error
        return (1 + scale) * (self.weight[0] * xt + self.weight[1] * xt.flip(-1)) + shift + self.times[t].reshape(-1, 1, 1, 1)


def _loss_cases(seed: int) -> list[Case]:
    def case(label: str, hidden: list[int], *size: int, T: int = 9, labels: int = 6) -> Case:
        s, n = seed + 100 * len(label), len(hidden)
        model = _Listener(s, labels, T)
        x0, noise = (randn(s + 5, n, *size) / 2 + 0.2).clamp(-1, 1), randn(s + 6, n, *size)
        t = torch.randint(1, min(T, labels), (n,), generator=torch.Generator().manual_seed(s + 7))
        t[0] = 0
        y = _labels(s + 8, n, labels)
        y[0] = labels - 1
        alpha_bar = torch.cumprod(1 - uniform(s + 9, T, low=0.15, high=0.35), 0)
        return Case(label, (model, x0, y, torch.tensor(hidden, dtype=torch.bool), t, noise, alpha_bar))

    return [
        case("a batch with two hidden labels", [0, 1, 0, 1, 0], 1, 4, 3),
        case("a batch with no hidden label", [0, 0, 0, 0], 1, 4, 4),
        case("a batch with all labels hidden", [1, 1, 1], 1, 3, 5),
        case("colour images as wide and as many as their channels", [1, 0, 0], 3, 3, 3),
        case("a single image", [0], 1, 4, 3),
    ]


def _loss(told=None, xt=None, ask=None, target=None, error=None):
    """label_loss with some of its parts replaced."""
    def loss(model, x0, y, hidden, t, noise, alpha_bar):
        label = told(y, hidden, model.null_label) if told else torch.where(hidden, model.null_label, y)
        x = xt(x0, noise, alpha_bar, t) if xt else _noisy(alpha_bar[t].reshape(-1, 1, 1, 1), x0, noise)
        guess = ask(model, x, t, label) if ask else model(x, t, label)
        wanted = target(x0, noise, x) if target else x0
        return error(guess, wanted, hidden) if error else (guess - wanted).square().mean()

    return loss


def _noisy(a: Tensor, x0: Tensor, noise: Tensor) -> Tensor:
    return a.sqrt() * x0 + (1 - a).sqrt() * noise


def _weights(signal, sigma):
    def xt(x0, noise, alpha_bar, t):
        a = alpha_bar[t].reshape(-1, 1, 1, 1)
        return signal(a) * x0 + sigma(a) * noise
    return _loss(xt=xt)


def _shaped(*shape: int):
    return _loss(xt=lambda x0, noise, alpha_bar, t: _noisy(alpha_bar[t].reshape(shape), x0, noise))


def _if_any(y, hidden, null):
    return torch.full_like(y, null) if hidden.any() else y


def _left_out(model, x0, y, hidden, t, noise, alpha_bar):
    seen = ~hidden
    return label_loss(model, x0[seen], y[seen], hidden[seen], t[seen], noise[seen], alpha_bar)


def _loss_reaches_the_model(fn) -> str | None:
    args = _loss_cases(0)[0].args
    out = fn(*args)
    if isinstance(out, Tensor) and out.requires_grad:
        out.backward()
    silent = [name for name, parameter in args[0].named_parameters() if parameter.grad is None]
    return f"No gradient reaches the model's `{silent[0]}`, so it could never learn: look for detach, item or no_grad." if silent else None


LABEL_LOSS = Exercise(
    label_loss,
    hints=(
        "Three parts: the label that is told of each image, the jump of notebook 01, the error of the guess.",
        "torch.where chooses image by image between two values. The model takes the noisy images, their times, and the labels told.",
    ),
    cases=_loss_cases,
    mistakes={
        "The model is not told any label: it takes that for the null label, and never learns the others.":
            _loss(ask=lambda model, x, t, label: model(x, t)),
        "`hidden` is ignored: every image's own label is told.": _loss(told=lambda y, hidden, null: y),
        "`hidden` is turned round: the labels that should be told are hidden.":
            _loss(told=lambda y, hidden, null: torch.where(hidden, y, null)),
        "Labels are hidden for the whole batch at once: each image has its own entry in `hidden`.": (
            _loss(told=_if_any),
            _loss(told=lambda y, hidden, null: torch.full_like(y, null) if hidden.all() else y),
            _loss(told=lambda y, hidden, null: torch.full_like(y, null) if hidden[0] else y),
            _loss(told=lambda y, hidden, null: torch.where(hidden[:1], null, y)),
        ),
        "A hidden label becomes 0, and 0 is a digit: use the null label.": (
            _loss(told=lambda y, hidden, null: y * ~hidden),
            _loss(told=lambda y, hidden, null: torch.where(hidden, 0, y)),
        ),
        "A hidden label becomes -1, which is no label at all: use the null label.": (
            _loss(told=lambda y, hidden, null: torch.where(hidden, -1, y)),
            _loss(told=lambda y, hidden, null: y * (1 - 2 * hidden.long())),
        ),
        "Hidden labels become a real one, next to the null label: the null label is model.null_label itself.":
            _loss(told=lambda y, hidden, null: torch.where(hidden, null - 1, y)),
        "Images whose label is hidden are left out: they are learned from, too.": (
            _left_out,
            _loss(error=lambda guess, wanted, hidden: (guess - wanted)[~hidden].square().mean()),
        ),
        "Labels and images no longer belong together: each image must keep its own label.": (
            _loss(told=lambda y, hidden, null: torch.where(hidden, null, y.flip(0))),
            _loss(told=lambda y, hidden, null: torch.where(hidden, null, y).flip(0)),
            _loss(told=lambda y, hidden, null: torch.where(hidden, null, y.roll(1))),
            _loss(told=lambda y, hidden, null: torch.where(hidden, null, y).roll(1)),
            _loss(told=lambda y, hidden, null: torch.where(hidden, null, y.sort().values)),
            _loss(told=lambda y, hidden, null: torch.where(hidden, null, y).sort().values),
        ),
        "All images are told the first one's label: each has its own.":
            _loss(told=lambda y, hidden, null: torch.where(hidden, null, y[:1])),
        "Time and label are swapped: the model takes x_t, then t, then the label.":
            _loss(ask=lambda model, x, t, label: model(x, label, t)),
        "Every image is told the first one's time: each has its own.":
            _loss(ask=lambda model, x, t, label: model(x, t[:1].expand_as(t), label)),
        "The guess is compared with the noise: this model guesses the clean image.":
            _loss(target=lambda x0, noise, x: noise),
        "The guess is compared with x_t, which the model was given: the clean image was asked for.":
            _loss(target=lambda x0, noise, x: x),
        "The model sees the clean image: there is nothing to guess.":
            _loss(xt=lambda x0, noise, alpha_bar, t: x0),
        "The model sees the bare noise: nothing of the image is left in it.":
            _loss(xt=lambda x0, noise, alpha_bar, t: noise),
        "Both weights of x_t are variances: the roots are missing.": _weights(lambda a: a, lambda a: 1 - a),
        "The image's weight in x_t is a variance: its root is missing.": _weights(lambda a: a, lambda a: (1 - a).sqrt()),
        "The noise's weight in x_t is a variance: its root is missing.": _weights(lambda a: a.sqrt(), lambda a: 1 - a),
        "The two weights of x_t are swapped: where alpha_bar is near 1, the image should be nearly clean.": (
            _weights(lambda a: (1 - a).sqrt(), lambda a: a.sqrt()),
            _weights(lambda a: 1 - a, lambda a: a),
        ),
        "The noise's weight is one minus a root: the subtraction and the root are in the wrong order.":
            _weights(lambda a: a.sqrt(), lambda a: 1 - a.sqrt()),
        "The noise is subtracted in x_t: it should be added.": _weights(lambda a: a.sqrt(), lambda a: -(1 - a).sqrt()),
        "It reads alpha_bar one step too early: at t = 0 the index -1 even wraps round to the last entry.":
            _loss(xt=lambda x0, noise, ab, t: _noisy(ab[t - 1].reshape(-1, 1, 1, 1), x0, noise)),
        "It reads alpha_bar one step too late.":
            _loss(xt=lambda x0, noise, ab, t: _noisy(ab[t + 1].reshape(-1, 1, 1, 1), x0, noise)),
        "alpha_bar is already the running product: here it is multiplied up once more.":
            _loss(xt=lambda x0, noise, ab, t: _noisy(torch.cumprod(ab, 0)[t].reshape(-1, 1, 1, 1), x0, noise)),
        "The (B,) weights of x_t meet the wrong axis: they broadcast along the width, not along the batch.": _shaped(-1),
        "The weights of x_t meet the rows, not the batch: count the dimensions they need.": _shaped(-1, 1),
        "The weights of x_t meet the channels, not the batch: count the dimensions they need.": _shaped(-1, 1, 1),
        "A loss for each image is returned: their mean was asked for.":
            _loss(error=lambda guess, wanted, hidden: (guess - wanted).square().flatten(1).mean(1)),
        "The squared errors are summed: their mean was asked for, whatever the size of the batch.":
            _loss(error=lambda guess, wanted, hidden: (guess - wanted).square().sum()),
        "The squared errors of each image are summed: take the mean over pixels, too.":
            _loss(error=lambda guess, wanted, hidden: (guess - wanted).square().sum((1, 2, 3)).mean()),
        "The errors are taken without their sign, not squared.":
            _loss(error=lambda guess, wanted, hidden: (guess - wanted).abs().mean()),
        "The errors are not squared: positive and negative ones cancel.": (
            _loss(error=lambda guess, wanted, hidden: (guess - wanted).mean()),
            _loss(error=lambda guess, wanted, hidden: (wanted - guess).mean()),
        ),
        "The mean is taken before the square: positive and negative errors cancel.":
            _loss(error=lambda guess, wanted, hidden: (guess - wanted).mean().square()),
        "A root is taken of the mean: the mean squared error has none.":
            _loss(error=lambda guess, wanted, hidden: (guess - wanted).square().mean().sqrt()),
        "Every guess is compared with every image: two shapes broadcast in the loss. Print them.": (
            _loss(error=lambda guess, wanted, hidden: (guess - wanted[:, 0]).square().mean()),
            _loss(error=lambda guess, wanted, hidden: (guess[:, 0] - wanted).square().mean()),
        ),
    },
    probes=(_loss_reaches_the_model,),
)


def uses_label(model, xt, t):
    """Find out, by experiment, what a network does with its label: "ignored", "frozen" or "learned".

    "ignored": at the same xt and t, all labels 0..K-1 get the same answer. Differences below 0.00001 count as none.
    "frozen": some answers differ, but no gradient goes from them to the table, model.embed_label.weight.
    "learned": some answers differ, and a gradient goes to the table.
    model: model(xt, t, y), with K = model.null_label. xt: (B, C, H, W); t and y: int64 (B,). Returns one of the words.
    """
    answers = torch.stack([model(xt, t, torch.full_like(t, label)) for label in range(model.null_label)])
    if torch.allclose(answers, answers[:1].expand_as(answers), atol=1e-5):
        return "ignored"
    table = model.embed_label.weight
    if not table.requires_grad:
        return "frozen"
    (gradient,) = torch.autograd.grad(answers.square().sum(), table, allow_unused=True)
    return "frozen" if gradient is None else "learned"


class _Told(nn.Module):
    """A model that is told its label in some way: answer(model, xt, t, row of the label)."""

    def __init__(self, seed: int, answer: Callable[..., Tensor], rows: Callable[[Tensor], Tensor], learns: bool):
        super().__init__()
        self.null_label, self.answer = 5, answer
        self.embed_label = nn.Embedding.from_pretrained(rows(randn(seed + 1, 6, 1)), freeze=not learns)
        self.weight = nn.Parameter(randn(seed, 1) + 0.5)

    def forward(self, xt: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        y = torch.full_like(t, self.null_label) if y is None else y
        told = self.embed_label(y).reshape(-1, 1, 1, 1)
        return self.answer(self, self.weight * xt.tanh() * (1 + t.reshape(-1, 1, 1, 1) / 500), t.reshape(-1, 1, 1, 1), told)


def _told_cases(seed: int) -> list[Case]:
    def case(label: str, answer: Callable[..., Tensor], rows: Callable[[Tensor], Tensor] = lambda rows: rows, learns: bool = True) -> Case:
        s = seed + 10 * len(label)
        t = torch.tensor([40, 300, 900, 120])
        return Case(label, (_Told(s, answer, rows, learns), randn(s + 2, 4, 1, 3, 4), t))

    def opposite(h: Tensor) -> Tensor:
        return torch.tensor([1 + 1e-6, -1, 1, -1]).to(h)  # not exactly: the gradient of their sum must not be 0

    def numbered(rows: Tensor) -> Tensor:
        return torch.arange(6.0)[:, None] / 4

    def equal_but(*changed: int) -> Callable[[Tensor], Tensor]:
        def rows(drawn: Tensor) -> Tensor:
            same = torch.full_like(drawn, 0.3)
            same[list(changed)] = 1.1
            return same
        return rows

    return [
        case("a network that adds its label", lambda m, h, t, told: h + told),
        case("a network that does not look", lambda m, h, t, told: h),
        case("a network whose label is detached", lambda m, h, t, told: h + told.detach()),
        case("a network whose table takes no gradient", lambda m, h, t, told: h * (1 + told), learns=False),
        case("a fresh network, which answers 0", lambda m, h, t, told: 0 * (h + told)),
        case("a network that tells only the last label apart", lambda m, h, t, told: h + told, equal_but(4)),
        case("a network that tells only the first label apart", lambda m, h, t, told: h + told, equal_but(0)),
        case("a network that tells only a middle label apart", lambda m, h, t, told: h + told, equal_but(2)),
        case("a network that knows only whether there is a label", lambda m, h, t, told: h + told, equal_but(5)),
        case("a network that listens in much noise only", lambda m, h, t, told: h + told * (t > 500)),
        case("a network that listens in little noise only", lambda m, h, t, told: h + told * (t < 100)),
        case("a network that listens at some times only", lambda m, h, t, told: h + told * ((t > 100) & (t < 200))),
        case("a network on which a label has little effect", lambda m, h, t, told: h + 1e-3 * told, numbered),
        case("a network in which rounding depends on the label", lambda m, h, t, told: h + 5e-6 * told, numbered),
        case("a network whose changes cancel in the mean", lambda m, h, t, told: h + told * opposite(h)),
        case("a network that gets brighter from label to label", lambda m, h, t, told: h + told, numbered),
        case("a network that gets darker from label to label", lambda m, h, t, told: h - told, numbered),
        case("a network that reads the table and not the label", lambda m, h, t, told: h + m.embed_label.weight.mean()),
    ]


def _answers(model, xt, t, labels=None) -> Tensor:
    return torch.stack([model(xt, t, torch.full_like(t, label)) for label in labels or range(model.null_label)])


def _differ(answers: Tensor, atol: float = 1e-5) -> bool:
    return not torch.allclose(answers, answers[:1].expand_as(answers), atol=atol)


def _reached(model, answers: Tensor) -> bool:
    table = model.embed_label.weight
    return table.requires_grad and torch.autograd.grad(answers.square().sum(), table, allow_unused=True)[0] is not None


def _verdict(used: Callable[..., bool], reached: Callable[..., bool] = _reached):
    """used(model, xt, t): whether answers differ; reached(model, answers): whether a gradient goes to the table."""
    def say(model, xt, t):
        if not used(model, xt, t):
            return "ignored"
        return "learned" if reached(model, _answers(model, xt, t)) else "frozen"
    return say


USES_LABEL = Exercise(
    uses_label,
    hints=(
        "Two experiments. First: keep xt and t, change the label alone, and compare the answers. Second: ask the answers for a gradient.",
        "Give all images label 0, then 1, and so on. For the second experiment, torch.autograd.grad with allow_unused returns None "
        "where no way leads to the table. It raises an error for a table that takes no gradient.",
    ),
    cases=_told_cases,
    mistakes={
        "It always says the same word: some networks do something else.": (
            lambda model, xt, t: "ignored", lambda model, xt, t: "frozen", lambda model, xt, t: "learned",
        ),
        "It never says frozen: ask whether a gradient goes to the table.": (
            _verdict(lambda *given: _differ(_answers(*given)), lambda model, answers: True),
            _verdict(lambda *given: _differ(_answers(*given)), lambda model, answers: answers.requires_grad),
        ),
        "It never says learned: ask whether a gradient goes to the table.":
            _verdict(lambda *given: _differ(_answers(*given)), lambda model, answers: False),
        "Frozen and learned are swapped.":
            _verdict(lambda *given: _differ(_answers(*given)), lambda *given: not _reached(*given)),
        "Used and ignored are swapped.": _verdict(lambda *given: not _differ(_answers(*given))),
        "Only the table's own flag is asked: a table may want gradients, and get none.":
            _verdict(lambda *given: _differ(_answers(*given)), lambda model, answers: model.embed_label.weight.requires_grad),
        "It looks at the gradient alone: a network may read the table and still ignore the label.":
            lambda model, xt, t: "learned" if _reached(model, _answers(model, xt, t)) else "ignored",
        "Only two labels are compared: a network may tell apart only some of them.": (
            _verdict(lambda model, xt, t: _differ(_answers(model, xt, t, [0, 1]))),
            _verdict(lambda model, xt, t: _differ(_answers(model, xt, t, [0, model.null_label - 1]))),
            _verdict(lambda model, xt, t: _differ(_answers(model, xt, t, [1, 2]))),
        ),
        "The last label is left out: K labels are 0 to K-1.":
            _verdict(lambda model, xt, t: _differ(_answers(model, xt, t, range(model.null_label - 1)))),
        "The first label is left out: labels are counted from 0.":
            _verdict(lambda model, xt, t: _differ(_answers(model, xt, t, range(1, model.null_label)))),
        "The null label is compared, too: to know whether there is a label is not to know which.": (
            _verdict(lambda model, xt, t: _differ(_answers(model, xt, t, range(model.null_label + 1)))),
            _verdict(lambda model, xt, t: _differ(_answers(model, xt, t, range(1, model.null_label + 1)))),
        ),
        "A label is compared with no label: to know whether there is a label is not to know which.": (
            _verdict(lambda model, xt, t: _differ(torch.stack([model(xt, t), model(xt, t, torch.zeros_like(t))]))),
            _verdict(lambda model, xt, t: _differ(_answers(model, xt, t, [0, model.null_label]))),
        ),
        "It asks for exact equality: rounding alone makes a difference.": (
            _verdict(lambda *given: not torch.equal(*torch.broadcast_tensors(
                _answers(*given), _answers(*given)[:1]))),
            _verdict(lambda *given: _differ(_answers(*given), 1e-9)),
        ),
        "The tolerance is too wide: a small effect counts, too.": (
            _verdict(lambda *given: _differ(_answers(*given), 1e-2)),
            _verdict(lambda *given: _differ(_answers(*given), 1e-1)),
        ),
        "Only the first image is compared: another may be the one that changes.":
            _verdict(lambda *given: _differ(_answers(*given)[:, :1])),
        "Only the last image is compared: another may be the one that changes.":
            _verdict(lambda *given: _differ(_answers(*given)[:, -1:])),
        "Means or sums are compared: changes of opposite sign cancel in them.": (
            _verdict(lambda *given: _differ(_answers(*given).mean((1, 2, 3, 4)))),
            _verdict(lambda *given: _differ(_answers(*given).sum((1, 2, 3, 4)))),
            _verdict(lambda *given: _differ(_answers(*given).mean((2, 3, 4)))),
        ),
        "Only changes of one sign count: take their absolute values.": (
            _verdict(lambda *given: bool((_answers(*given) - _answers(*given)[:1]).max() > 1e-5)),
            _verdict(lambda *given: bool((_answers(*given)[:1] - _answers(*given)).max() > 1e-5)),
        ),
        "One image that changes is enough: ask for any of them, not for all.":
            _verdict(lambda *given: bool(((_answers(*given) - _answers(*given)[:1]).abs() > 1e-5).any(0).all())),
        "The answer is compared with the image that went in: compare two answers of the model.":
            _verdict(lambda model, xt, t: not torch.allclose(model(xt, t, torch.zeros_like(t)), xt, atol=1e-5)),
        "Images of one batch are compared with each other: they differ anyway. Change the label alone.":
            _verdict(lambda model, xt, t: _differ(model(xt, t, torch.arange(len(t)) % model.null_label))),
    },
    variants=(),
)

EXERCISES = (ADD_LABEL, LABEL_LOSS, USES_LABEL)
