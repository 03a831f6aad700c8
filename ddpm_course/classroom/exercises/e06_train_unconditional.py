"""Exercises of notebook 06: one step of training, the average of the weights, and the velocity."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from . import Case, Exercise, randn, uniform


def training_step(model, optimizer, x0, alpha_bar, generator):
    """One step of training: noise the images, let the model guess the noise, and learn from its error.

    model(xt, t) returns its guess of the noise, as xt. optimizer: of the model's weights.
    x0: clean images (B, C, H, W). alpha_bar: (T,). generator: a torch.Generator, for both draws:
    first t, int64 (B,) in {0..T-1}, each as likely; then the noise, N(0, 1), as x0.
    Returns the loss of this step, a single number: the mean squared error of the guess.
    """
    t = torch.randint(len(alpha_bar), (len(x0),), generator=generator)
    noise = torch.randn(x0.shape, generator=generator)
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    xt = a.sqrt() * x0 + (1 - a).sqrt() * noise
    loss = (model(xt, t) - noise).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


class _Tiny(nn.Module):
    """A mix of the image, its mirror image and its mean; then a scale and a shift for each t.

    It notes whether gradients were made, and `_Descent` whether that was so at its first step.
    """

    learned: Tensor
    stepped: Tensor

    def __init__(self, seed: int, T: int):
        super().__init__()
        self.weight = nn.Parameter(randn(seed, 3))
        self.table = nn.Parameter(randn(seed + 1, T, 2) / 2)
        self.register_buffer("learned", torch.zeros(()))
        self.register_buffer("stepped", torch.zeros(()))
        self.weight.register_hook(self.note)

    def forward(self, xt: Tensor, t: Tensor | None = None, y: Tensor | None = None) -> Tensor:
        h = self.weight[0] * xt + self.weight[1] * xt.flip(-1) + self.weight[2] * xt.mean((1, 2, 3), keepdim=True)
        if t is None:
            return h
        if t.is_floating_point():  # another time than was meant, and no error: so that the mistake can be named
            t = (t * 1000).long() % len(self.table)
        scale, shift = self.table[t.flatten()].reshape(-1, 2, 1, 1, 1).unbind(1)
        return (1 + scale) * h + shift

    def note(self, gradient: Tensor) -> None:
        self.learned.fill_(1)


class _Descent:
    """Gradient descent with momentum, as torch.optim.SGD does it; the first of those takes seconds to import."""

    def __init__(self, model: _Tiny, lr: float, momentum: float):
        self.model, self.lr, self.momentum = model, lr, momentum
        self.param_groups = [{"params": list(model.parameters()), "lr": lr}]
        self.velocity: dict[int, Tensor] = {}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for k, parameter in enumerate(self.model.parameters()):
            if parameter.grad is not None:
                before = self.velocity.get(k)
                self.velocity[k] = parameter.grad.clone() if before is None else self.momentum * before + parameter.grad
                parameter.sub_(self.velocity[k], alpha=self.lr)
        if self.model.stepped == 0:
            self.model.stepped.fill_(1 + self.model.learned)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.model.parameters():
            parameter.grad = None if set_to_none or parameter.grad is None else torch.zeros_like(parameter)


def _training_cases(seed: int) -> list[Case]:
    def case(label: str, momentum: float, *shape: int) -> Case:
        T = 9
        model = _Tiny(seed + len(label), T)
        optimizer = _Descent(model, 0.1, momentum)
        alpha_bar = torch.cumprod(1 - uniform(seed + 1, T, low=0.1, high=0.3), 0)
        x0 = (randn(seed + 2 + shape[0], *shape) + 0.5).clamp(-1, 1)
        return Case(label, (model, optimizer, x0, alpha_bar, torch.Generator().manual_seed(seed + 3)))

    return [
        case("a batch of four", 0.0, 4, 1, 6, 5),
        case("a batch as large as its images are wide", 0.0, 5, 1, 5, 5),
        case("a batch of colour images, and momentum", 0.5, 3, 3, 4, 4),
        case("a single image", 0.0, 1, 1, 5, 4),
    ]


def _step(t=None, noise=None, xt=None, ask=None, target=None, loss=None, learn=None, backwards=False):
    """A training step with some of its parts replaced; `backwards`: the noise is drawn before t."""
    def step(model, optimizer, x0, alpha_bar, generator):
        def draw_t():
            return t(len(alpha_bar), len(x0), generator) if t else torch.randint(len(alpha_bar), (len(x0),), generator=generator)

        def draw_noise():
            return noise(x0, generator) if noise else torch.randn(x0.shape, generator=generator)

        if backwards:
            eps = draw_noise()
            level = draw_t()
        else:
            level = draw_t()
            eps = draw_noise()
        x = xt(x0, alpha_bar, level, eps) if xt else _noisy(alpha_bar[level].reshape(-1, 1, 1, 1), x0, eps)
        guess = ask(model, x, level, alpha_bar) if ask else model(x, level)
        wanted = target(x0, x, eps) if target else eps
        error = loss(guess, wanted) if loss else (guess - wanted).square().mean()
        if learn:
            return learn(error, optimizer)
        error.backward()
        optimizer.step()
        optimizer.zero_grad()
        return error.detach()

    return step


def _noisy(a, x0, noise):
    return a.sqrt() * x0 + (1 - a).sqrt() * noise


def _either(**parts):
    """A mistake in both orders of drawing."""
    return _step(**parts), _step(**parts, backwards=True)


def _weights(signal, sigma):
    """A wrong way to x_t: weights as functions of alpha_bar_t (B, 1, 1, 1)."""
    def xt(x0, alpha_bar, t, noise):
        a = alpha_bar[t].reshape(-1, 1, 1, 1)
        return signal(a) * x0 + sigma(a) * noise
    return xt


def _shaped(*shape: int):
    return lambda x0, alpha_bar, t, noise: _noisy(alpha_bar[t].reshape(shape), x0, noise)


def _learning(*order: str):
    """The last lines in another order; "backward", "step", "zero_grad"."""
    def learn(loss, optimizer):
        for name in order:
            getattr(loss if name == "backward" else optimizer, name)()
        return loss.detach()
    return learn


def _by_rand(backwards: bool):
    return _step(t=lambda T, B, g: (torch.rand(B, generator=g) * T).long(), backwards=backwards)


TRAINING_STEP = Exercise(
    training_step,
    hints=(
        "Five things in this order: draw t and the noise, jump to x_t, ask the model, compare, learn. "
        "The jump is `q_sample` of notebook 01.",
        "To learn takes three calls. The loss makes gradients, the optimizer uses them, then it clears them for the next batch.",
    ),
    cases=_training_cases,
    changes=("model",),
    calls=3,
    also=(_step(backwards=True), _by_rand(False), _by_rand(True)),
    variants=(),
    mistakes={
        "t is never T-1, the noisiest level, where every walk starts: randint already leaves out its upper end.":
            _either(t=lambda T, B, g: torch.randint(T - 1, (B,), generator=g)),
        "t is never 0: timesteps are counted from 0, and the last steps of every walk need it.":
            _either(t=lambda T, B, g: torch.randint(1, T, (B,), generator=g)),
        "t misses both of its ends, 0 and T-1: no walk could start or finish well.":
            _either(t=lambda T, B, g: torch.randint(1, T - 1, (B,), generator=g)),
        "The range of t is the size of the batch: it should be the length of alpha_bar.":
            _either(t=lambda T, B, g: torch.randint(B, (B,), generator=g)),
        "One t is drawn for the whole batch: each image needs one of its own.":
            _either(t=lambda T, B, g: torch.randint(T, (1,), generator=g).expand(B)),
        "The generator is not used for everything: draw both t and the noise from it, so that a run can be repeated.": (
            *_either(t=lambda T, B, g: torch.randint(T, (B,))),
            *_either(noise=lambda x0, g: torch.randn_like(x0)),
            *_either(t=lambda T, B, g: torch.randint(T, (B,)), noise=lambda x0, g: torch.randn_like(x0)),
            *_either(noise=lambda x0, g: torch.rand_like(x0)),
            *_either(t=lambda T, B, g: torch.randint(T, (B,)), noise=lambda x0, g: torch.rand_like(x0)),
        ),
        "The noise is uniform: it should be Gaussian, N(0, 1). Look for an n at the end of torch's function.": (
            *_either(noise=lambda x0, g: torch.rand(x0.shape, generator=g)),
            *_either(noise=lambda x0, g: torch.rand(x0.shape, generator=g) * 2 - 1),
        ),
        "All images get the same noise: each needs its own.":
            _either(noise=lambda x0, g: torch.randn(x0[:1].shape, generator=g).expand_as(x0)),
        "The model sees the clean image: there is no noise in it to be found.":
            _either(xt=lambda x0, ab, t, noise: x0),
        "The model sees the bare noise: it would learn to copy its input.":
            _either(xt=lambda x0, ab, t, noise: noise),
        "Both weights of x_t are variances: the roots are missing.":
            _either(xt=_weights(lambda a: a, lambda a: 1 - a)),
        "The image's weight in x_t is a variance: its root is missing.":
            _either(xt=_weights(lambda a: a, lambda a: (1 - a).sqrt())),
        "The noise's weight in x_t is a variance: its root is missing.":
            _either(xt=_weights(lambda a: a.sqrt(), lambda a: 1 - a)),
        "The two weights of x_t are swapped: where alpha_bar is near 1, the image should be nearly clean.": (
            *_either(xt=_weights(lambda a: (1 - a).sqrt(), lambda a: a.sqrt())),
            *_either(xt=_weights(lambda a: 1 - a, lambda a: a)),
        ),
        "The noise's weight is one minus a root: the subtraction and the root are in the wrong order.":
            _either(xt=_weights(lambda a: a.sqrt(), lambda a: 1 - a.sqrt())),
        "The noise is subtracted in x_t: the model is then asked for its negative.":
            _either(xt=_weights(lambda a: a.sqrt(), lambda a: -(1 - a).sqrt())),
        "The image keeps its full size in x_t: as noise comes in, the image must fade.": (
            *_either(xt=_weights(torch.ones_like, lambda a: (1 - a).sqrt())),
            *_either(xt=_weights(torch.ones_like, torch.ones_like)),
        ),
        "The image is missing from x_t: only scaled noise is left.":
            _either(xt=_weights(torch.zeros_like, lambda a: (1 - a).sqrt())),
        "x_t is clipped: a noisy image may leave [-1, 1], and the tails of the noise belong to it.":
            _either(xt=lambda x0, ab, t, noise: _noisy(ab[t].reshape(-1, 1, 1, 1), x0, noise).clamp(-1, 1)),
        "It reads alpha_bar one step too early: at t = 0 the index -1 even wraps round to the last entry.":
            _either(xt=lambda x0, ab, t, noise: _noisy(ab[t - 1].reshape(-1, 1, 1, 1), x0, noise)),
        "It reads alpha_bar one step too late: the table's last entry belongs to t = T-1.":
            _either(xt=lambda x0, ab, t, noise: _noisy(ab[(t + 1).clamp(max=len(ab) - 1)].reshape(-1, 1, 1, 1), x0, noise)),
        "The (B,) weights of x_t meet the wrong axis: they broadcast along the width, not along the batch.": _either(xt=_shaped(-1)),
        "The weights of x_t meet the rows, not the batch: count the dimensions they need.": _either(xt=_shaped(-1, 1)),
        "The weights of x_t meet the channels, not the batch: count the dimensions they need.": _either(xt=_shaped(-1, 1, 1)),
        "alpha_bar is already the running product: here it is multiplied up once more.":
            _either(xt=lambda x0, ab, t, noise: _noisy(torch.cumprod(ab, 0)[t].reshape(-1, 1, 1, 1), x0, noise)),
        "The model is not told t: without it, it cannot know how much noise to look for.":
            _either(ask=lambda model, x, t, ab: model(x)),
        "The model is given t divided by T: it was built for the integers themselves.": (
            *_either(ask=lambda model, x, t, ab: model(x, t / len(ab))),
            *_either(ask=lambda model, x, t, ab: model(x, t / (len(ab) - 1))),
        ),
        "The model is given alpha_bar where t belongs: it makes its own sense of time.":
            _either(ask=lambda model, x, t, ab: model(x, ab[t])),
        "The model's guess is compared with the clean image: the noise was asked for.":
            _either(target=lambda x0, x, noise: x0),
        "The model's guess is compared with x_t, which it was given: the noise was asked for.":
            _either(target=lambda x0, x, noise: x),
        "The squared errors are summed: their mean was asked for, whatever the size of the batch.":
            _either(loss=lambda guess, wanted: (guess - wanted).square().sum()),
        "The squared errors of each image are summed: take the mean over pixels, too.": (
            *_either(loss=lambda guess, wanted: (guess - wanted).square().sum((1, 2, 3)).mean()),
            *_either(loss=lambda guess, wanted: (guess - wanted).square().sum() / len(guess)),
        ),
        "The errors are taken without their sign, not squared: their best guess would be a median, not a mean.":
            _either(loss=lambda guess, wanted: (guess - wanted).abs().mean()),
        "The errors are not squared: positive and negative ones cancel.": (
            *_either(loss=lambda guess, wanted: (guess - wanted).mean()),
            *_either(loss=lambda guess, wanted: (wanted - guess).mean()),
        ),
        "The mean is taken before the square: positive and negative errors cancel.":
            _either(loss=lambda guess, wanted: (guess - wanted).mean().square()),
        "A root is taken of the mean: the mean squared error has none.": (
            *_either(loss=lambda guess, wanted: (guess - wanted).square().mean().sqrt()),
            *_either(loss=lambda guess, wanted: (guess - wanted).norm()),
        ),
        "The loss is halved: the mean squared error has no factor.":
            _either(loss=lambda guess, wanted: (guess - wanted).square().mean() / 2),
        "Every image is compared with the noise of every other: two shapes broadcast in the loss. Print them.": (
            *_either(loss=lambda guess, wanted: (guess - wanted[:, 0]).square().mean()),
            *_either(loss=lambda guess, wanted: (guess[:, 0] - wanted).square().mean()),
            *_either(loss=lambda guess, wanted: (guess - wanted.mean((1, 2, 3))).square().mean()),
            *_either(loss=lambda guess, wanted: (guess.mean((1, 2, 3)) - wanted.mean((1, 2, 3), keepdim=True)).square().mean()),
        ),
        "The gradients are never cleared: they add up from step to step.": _either(learn=_learning("backward", "step")),
        "The gradients are cleared before the optimizer has used them: nothing is learned.":
            _either(learn=_learning("backward", "zero_grad", "step")),
        "No gradients are made: nothing tells the optimizer which way to go.": (
            *_either(learn=_learning("zero_grad", "step")),
            *_either(learn=_learning("step")),
        ),
        "The optimizer never takes its step: the weights stay as they are.": (
            *_either(learn=_learning("zero_grad", "backward")),
            *_either(learn=_learning("backward")),
        ),
        "The weights stay as they are: neither gradients are made nor a step taken.": (
            *_either(learn=_learning("zero_grad")),
            *_either(learn=_learning()),
        ),
        "The optimizer steps before this batch has given its gradients: it is one batch late, or learns nothing.": (
            *_either(learn=_learning("step", "backward", "zero_grad")),
            *_either(learn=_learning("zero_grad", "step", "backward")),
        ),
        "The optimizer takes two steps on one batch: one was asked for.": _either(learn=_learning("backward", "step", "step", "zero_grad")),
    },
)


def ema_update(average, model, decay):
    """Move each weight of `average` towards `model`'s: average <- decay * average + (1 - decay) * model.

    average, model: two networks built alike. decay: a float in [0, 1); near 1, the average moves slowly.
    Changes average in place, leaves model alone, returns nothing. Buffers, such as counters, are copied.
    """
    with torch.no_grad():
        for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
        for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)


class _Part(nn.Module):
    def __init__(self, seed: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(randn(seed, 3, 2) + 1), nn.Parameter(randn(seed + 1, 3))
        self.register_buffer("mean", randn(seed + 2, 2))
        self.register_buffer("count", torch.tensor(seed % 97 + 5))
        self.inner = nn.PReLU(init=float(randn(seed + 3, 1)))


def _average_cases(seed: int) -> list[Case]:
    return [
        Case("an average that carries no gradient", (_Part(seed).requires_grad_(False), _Part(seed + 10), 0.75)),
        Case("an average that may carry a gradient", (_Part(seed + 20), _Part(seed + 30), 0.9)),
        Case("decay 0", (_Part(seed + 40).requires_grad_(False), _Part(seed + 50), 0.0)),
    ]


def _shares_no_memory(fn):
    average, model = _Part(1).requires_grad_(False), _Part(11)
    fn(average, model, 0.0)
    before = copy.deepcopy(average.state_dict())
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    if any(not torch.equal(value, before[name]) for name, value in average.state_dict().items()):
        return "The average shares memory with the model: when the model learns on, the average changes with it."
    return None


def _records_nothing(fn):
    average, model = _Part(1).requires_grad_(False), _Part(11)
    fn(average, model, 0.5)
    if any(tensor.requires_grad for tensor in (*average.parameters(), *average.buffers())):
        return "The average is recorded for gradients, so memory grows with each update: switch them off for it."
    return None


def _averaging(rule, buffers=lambda mine, theirs, decay: mine.copy_(theirs)):
    """A wrong update: rule and buffers change `mine` in place."""
    def update(average, model, decay):
        with torch.no_grad():
            for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
                rule(mine, theirs, decay)
            for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
                buffers(mine, theirs, decay)
    return update


def _leave(mine, theirs, decay):
    pass


def _lerp(mine, theirs, decay):
    mine.lerp_(theirs, 1 - decay)


def _lerp_any(mine, theirs, decay):
    mine.copy_(decay * mine + (1 - decay) * theirs)


def _lerp_floats(mine, theirs, decay):
    if mine.is_floating_point():
        mine.lerp_(theirs, 1 - decay)
    else:
        mine.copy_(theirs)


def _first_alone(average, model, decay):
    with torch.no_grad():
        mine, theirs = next(average.parameters()), next(model.parameters())
        mine.lerp_(theirs, 1 - decay)


EMA_UPDATE = Exercise(
    ema_update,
    hints=(
        "Go through the weights of both networks side by side. Each weight of the average changes in place, without gradients.",
        "`parameters` of the two networks come in the same order, so zip pairs them. `lerp_`, `mul_` and `add_` change a tensor in place.",
    ),
    cases=_average_cases,
    changes=("average",),
    variants=(),
    probes=(_shares_no_memory, _records_nothing),
    mistakes={
        "The decay is on the wrong side: near 1, the average should stay nearly what it was.": (
            _averaging(lambda mine, theirs, decay: mine.lerp_(theirs, decay)),
            _averaging(lambda mine, theirs, decay: mine.lerp_(theirs, decay), _leave),
        ),
        "The average is replaced by the model: nothing of its past is kept.": (
            _averaging(lambda mine, theirs, decay: mine.copy_(theirs)),
            _averaging(lambda mine, theirs, decay: mine.copy_(theirs), _leave),
        ),
        "The average stays as it was: a new tensor was made where the old one should change in place.": (
            _averaging(_leave, _leave),
            _averaging(_leave),
        ),
        "The buffers are left behind: copy them from the model.": _averaging(_lerp, _leave),
        "The buffers are averaged: they are no weights, and a count has no half. Copy them.": (
            _averaging(_lerp, _lerp_any),
            _averaging(_lerp, _lerp_floats),
            _averaging(_lerp, lambda mine, theirs, decay: _lerp(mine, theirs, decay) if mine.is_floating_point() else None),
        ),
        "The model is added in full: its share should be what decay leaves.": (
            _averaging(lambda mine, theirs, decay: mine.mul_(decay).add_(theirs)),
            _averaging(lambda mine, theirs, decay: mine.mul_(decay).add_(theirs), _leave),
        ),
        "The average keeps its full size while the model is added: the two shares should sum to 1.": (
            _averaging(lambda mine, theirs, decay: mine.add_(theirs, alpha=1 - decay)),
            _averaging(lambda mine, theirs, decay: mine.add_(theirs, alpha=1 - decay), _leave),
        ),
        "The average only shrinks: the model's share is missing.": (
            _averaging(lambda mine, theirs, decay: mine.mul_(decay)),
            _averaging(lambda mine, theirs, decay: mine.mul_(decay), _leave),
        ),
        "The average moves away from the model: the sign of the difference is turned.": (
            _averaging(lambda mine, theirs, decay: mine.add_(mine - theirs, alpha=1 - decay)),
            _averaging(lambda mine, theirs, decay: mine.add_(mine - theirs, alpha=1 - decay), _leave),
        ),
        "Both get the same weight, whatever the decay: it is a plain mean.": (
            _averaging(lambda mine, theirs, decay: mine.lerp_(theirs, 0.5)),
            _averaging(lambda mine, theirs, decay: mine.lerp_(theirs, 0.5), _leave),
        ),
        "Only the first of the weights is averaged: go through all of them.": _first_alone,
    },
)


def v_target(x0, noise, alpha_bar_t):
    """The velocity of x_t: sqrt(alpha_bar_t) of the noise, less sqrt(1 - alpha_bar_t) of the image.

    x0: clean images (B, C, H, W); noise: N(0, 1), as x0; alpha_bar_t: (B, 1, 1, 1), between 0 and 1.
    Returns v, as x0.
    """
    return alpha_bar_t.sqrt() * noise - (1 - alpha_bar_t).sqrt() * x0


def _velocity_cases(seed: int) -> list[Case]:
    level = uniform(seed, 6, 1, 1, 1, low=0.1, high=0.9)
    return [
        Case("a batch with different levels", (randn(seed + 1, 4, 1, 5, 6) + 0.5, randn(seed + 2, 4, 1, 5, 6), level[:4])),
        Case("a single image", (randn(seed + 3, 1, 3, 4, 4) + 0.5, randn(seed + 4, 1, 3, 4, 4), level[4:5])),
        Case("an image nearly clean", (randn(seed + 5, 1, 1, 4, 5) + 0.5, randn(seed + 6, 1, 1, 4, 5), torch.full((1, 1, 1, 1), 0.97))),
    ]


def _pair(first, second):
    """A function of two images and a level, with these weights as functions of alpha_bar_t."""
    return lambda one, two, a: first(a) * one + second(a) * two


V_TARGET = Exercise(
    v_target,
    hints=(
        "The two weights are those of the jump, but they have changed places. And one term is subtracted.",
        "Near the clean end alpha_bar_t is 1, and the velocity is all noise. At the noisy end it is minus the image.",
    ),
    cases=_velocity_cases,
    variants=("float64", "non-contiguous"),
    mistakes={
        "The sign is turned: the image is what is subtracted.":
            _pair(lambda a: (1 - a).sqrt(), lambda a: -a.sqrt()),
        "The two terms are added: a velocity is a difference.":
            _pair(lambda a: (1 - a).sqrt(), lambda a: a.sqrt()),
        "This is x_t itself: in the velocity the weights change places, and one term is subtracted.":
            _pair(lambda a: a.sqrt(), lambda a: (1 - a).sqrt()),
        "The two weights are swapped: where alpha_bar_t is near 1, the velocity is nearly all noise.": (
            _pair(lambda a: -a.sqrt(), lambda a: (1 - a).sqrt()),
            _pair(lambda a: -a, lambda a: 1 - a),
            _pair(lambda a: a.sqrt(), lambda a: -(1 - a).sqrt()),
        ),
        "Both weights are variances: the roots are missing.":
            _pair(lambda a: a - 1, lambda a: a),
        "The image's weight is a variance: its root is missing.":
            _pair(lambda a: a - 1, lambda a: a.sqrt()),
        "The noise's weight is a variance: its root is missing.":
            _pair(lambda a: -(1 - a).sqrt(), lambda a: a),
        "The image's weight is one minus a root: the subtraction and the root are in the wrong order.":
            _pair(lambda a: a.sqrt() - 1, lambda a: a.sqrt()),
        "The noise keeps its full size: its weight should fall with alpha_bar_t.":
            _pair(lambda a: -(1 - a).sqrt(), torch.ones_like),
        "Both have full weight: each should be scaled by its level.":
            _pair(lambda a: -torch.ones_like(a), torch.ones_like),
        "The image is missing: this is only scaled noise.":
            _pair(torch.zeros_like, lambda a: a.sqrt()),
        "The noise is missing: this is only the image, scaled.": (
            _pair(lambda a: -(1 - a).sqrt(), torch.zeros_like),
            _pair(lambda a: (1 - a).sqrt(), torch.zeros_like),
        ),
        "This is the noise as it is: the velocity mixes it with the image.": _pair(torch.zeros_like, torch.ones_like),
        "The result is clipped: a velocity may leave [-1, 1].": lambda x0, noise, a: v_target(x0, noise, a).clamp(-1, 1),
        "Every image gets the level of the first one: each has its own.": lambda x0, noise, a: v_target(x0, noise, a[:1]),
    },
)


EXERCISES = (TRAINING_STEP, EMA_UPDATE, V_TARGET)
