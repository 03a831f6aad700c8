"""Answers to the exercises of notebook 06: right in other ways than the reference, and wrong as a learner would type it."""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F

from ddpm_course import NoiseSchedule, q_sample


def noise_first(model, optimizer, x0, alpha_bar, generator):
    eps = torch.randn(x0.shape, generator=generator)
    t = torch.randint(0, alpha_bar.shape[0], (x0.shape[0],), generator=generator)
    a = alpha_bar[t][:, None, None, None]
    optimizer.zero_grad()
    loss = F.mse_loss(model(a**0.5 * x0 + (1 - a) ** 0.5 * eps, t), eps)
    loss.backward()
    optimizer.step()
    return loss.item()


def image_by_image(model, optimizer, x0, alpha_bar, generator):
    t = torch.randint(len(alpha_bar), (len(x0),), generator=generator)
    noise = torch.empty_like(x0).normal_(generator=generator)
    total = 0.0
    optimizer.zero_grad()
    for k in range(len(x0)):
        a = float(alpha_bar[t[k]])
        xt = math.sqrt(a) * x0[k] + math.sqrt(1 - a) * noise[k]
        loss = F.mse_loss(model(xt[None], t[k : k + 1])[0], noise[k]) / len(x0)
        loss.backward()  # gradients of the images add up
        total += loss.item()
    optimizer.step()
    return total


def by_share(model, optimizer, x0, alpha_bar, generator):
    T = alpha_bar.size(0)
    t = (torch.rand(x0.size(0), generator=generator) * T).long()
    noise = torch.randn(*x0.shape, generator=generator)
    signal, sigma = (w.view(-1, 1, 1, 1) for w in (alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()))
    error = noise - model(signal * x0 + sigma * noise, t)
    loss = (error * error).sum() / error.numel()
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    return loss


def with_the_package(model, optimizer, x0, alpha_bar, generator):
    schedule = NoiseSchedule.from_betas(1 - alpha_bar.double() / torch.cat([torch.ones(1).double(), alpha_bar.double()[:-1]]))
    t = torch.randint(schedule.T, (len(x0),), generator=generator)
    noise = torch.randn(x0.shape, generator=generator)
    per_image = (model(q_sample(schedule, x0, t, noise), t) - noise).pow(2).flatten(1).mean(1)
    per_image.mean().backward()
    optimizer.step()
    model.zero_grad()
    return per_image.mean().detach()


def by_autograd(model, optimizer, x0, alpha_bar, generator):
    """Names, keywords and gradients written otherwise."""
    t = torch.randint(low=0, high=len(alpha_bar), size=[len(x0)], generator=generator)
    noise = torch.normal(torch.zeros_like(x0), 1, generator=generator)
    a = alpha_bar.index_select(0, t).reshape(len(x0), *[1] * (x0.ndim - 1))
    guess = model(torch.sqrt(a) * x0 + torch.sqrt(1 - a) * noise, t)
    loss = torch.linalg.vector_norm(guess - noise) ** 2 / noise.numel()
    for parameter, gradient in zip(model.parameters(), torch.autograd.grad(loss, model.parameters(), allow_unused=True), strict=True):
        parameter.grad = gradient
    optimizer.step()
    return float(loss.detach())


def by_names(average, model, decay):
    source = dict(model.named_parameters())
    with torch.no_grad():
        for name, mine in average.named_parameters():
            mine.mul_(decay).add_(source[name], alpha=1 - decay)
        for name, mine in average.named_buffers():
            mine.data.copy_(dict(model.named_buffers())[name])


@torch.no_grad()
def whole_state(average, model, decay):
    weights = {name for name, _ in model.named_parameters()}
    theirs = model.state_dict()
    average.load_state_dict({
        name: decay * mine + (1 - decay) * theirs[name] if name in weights else theirs[name].clone()
        for name, mine in average.state_dict().items()
    })


def data_alone(average, model, decay):
    for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
        mine.data = decay * mine.data + (1 - decay) * theirs.data
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)
    return average


def all_at_once(average, model, decay):
    torch._foreach_lerp_([p.data for p in average.parameters()], [p.data for p in model.parameters()], 1 - decay)
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.set_(theirs.clone())


def through_numpy(average, model, decay):
    with torch.no_grad():
        for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
            mine.copy_(torch.from_numpy(np.asarray(decay * mine.numpy(force=True) + (1 - decay) * theirs.numpy(force=True))))
        for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)


def a_step_towards(average, model, decay):
    with torch.inference_mode(False), torch.no_grad():
        before = copy.deepcopy(average)
        for mine, old, theirs in zip(average.parameters(), before.parameters(), model.parameters(), strict=True):
            mine -= (1 - decay) * (old - theirs)
        for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
            mine[...] = theirs


def v_loop(x0, noise, alpha_bar_t):
    out = torch.empty_like(x0)
    for k, a in enumerate(alpha_bar_t.flatten().tolist()):
        out[k] = math.sqrt(a) * noise[k] - math.sqrt(1 - a) * x0[k]
    return out


def v_by_angle(x0, noise, alpha_bar_t):
    angle = torch.acos(alpha_bar_t.sqrt())
    return torch.cos(angle) * noise - torch.sin(angle) * x0


def v_from_x(x0, noise, alpha_bar_t):
    signal, sigma = alpha_bar_t**0.5, (1 - alpha_bar_t) ** 0.5
    return (signal * (signal * x0 + sigma * noise) - x0) / sigma


def new_parameters(average, model, decay):
    for mine, theirs in zip(average.modules(), model.modules(), strict=True):
        for (name, old), (_, new) in zip([*mine.named_parameters(recurse=False)], [*theirs.named_parameters(recurse=False)], strict=True):
            setattr(mine, name, torch.nn.Parameter((decay * old + (1 - decay) * new).detach(), requires_grad=old.requires_grad))
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)


RIGHT = {
    "training_step": [noise_first, image_by_image, by_share, with_the_package, by_autograd],
    "ema_update": [by_names, whole_state, data_alone, all_at_once, through_numpy, a_step_towards, new_parameters],
    "v_target": [
        v_loop,
        v_by_angle,
        v_from_x,
        lambda x0, noise, a: noise * a**0.5 - x0 * (1 - a) ** 0.5,
        lambda x0, noise, a: torch.from_numpy(np.sqrt(a.numpy()) * noise.numpy() - np.sqrt(1 - a.numpy()) * x0.numpy()),
        lambda x0, noise, a: torch.addcmul(a.sqrt() * noise, (1 - a).sqrt(), x0, value=-1),
        lambda x, e, level: torch.sqrt(level).mul(e).sub(torch.sqrt(1 - level).mul(x)),
        lambda x0, noise, a: (a.double().sqrt() * noise.double() - (1 - a.double()).sqrt() * x0.double()).to(x0.dtype),
    ],
}

WRONG = {
    "training_step": ("""def training_step(model, optimizer, x0, alpha_bar, generator):
    t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
    noise = torch.randn(x0.shape, generator=generator)
    a = alpha_bar[t].view(-1, 1, 1, 1)
    loss = torch.nn.functional.mse_loss(model(a.sqrt() * x0 + (1 - a).sqrt() * noise, t), noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
""", "timesteps are counted from 0"),
    "ema_update": ("""def ema_update(average, model, decay):
    for mine, theirs in zip(average.parameters(), model.parameters()):
        mine = decay * mine + (1 - decay) * theirs
""", "a new tensor was made"),
    "v_target": (
        "def v_target(x0, noise, alpha_bar_t):\n    return alpha_bar_t * noise - (1 - alpha_bar_t) * x0",
        "the roots are missing"),
}
