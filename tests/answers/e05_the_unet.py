"""Answers to the exercises of notebook 05: right in other ways than the reference, and wrong as a learner would type it."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def one_line(block, x, emb):
    return block.shortcut(x) + block.conv2(
        F.silu(block.norm2(block.conv1(F.silu(block.norm1(x))) + block.condition(emb).unsqueeze(-1).unsqueeze(-1))))


def by_steps(block, x, emb):
    kept = x
    x = block.norm1(x)
    x = nn.SiLU()(x)
    x = block.conv1(x)
    time = block.condition(emb)
    x = x + time.view(x.shape[0], x.shape[1], 1, 1)
    x = nn.functional.silu(block.norm2(x))
    x = block.conv2(x)
    return x + block.shortcut(kept)


def one_image_at_a_time(block, x, emb):
    out = []
    for image, e in zip(x, emb, strict=True):
        h = block.conv1(F.silu(block.norm1(image[None])))
        h = h + block.condition(e)[None, :, None, None]
        out.append(block.shortcut(image[None]) + block.conv2(F.silu(block.norm2(h))))
    return torch.cat(out)


def by_hand(block, x, emb):
    def silu(z):
        return z * torch.sigmoid(z)

    h = block.conv1(silu(block.norm1(x)))
    h += block.condition(emb)[..., None, None]  # h is its own
    h = block.conv2(silu(block.norm2(h)))
    h += block.shortcut(x)
    return h


def channels_last(block, x, emb):
    h = block.conv1(F.silu(block.norm1(x))).permute(2, 3, 0, 1) + block.condition(emb)
    return torch.add(block.conv2(F.silu(block.norm2(h.permute(2, 3, 0, 1)))), block.shortcut(x))


def channel_by_channel(layers, image, vector):
    h = layers.conv1(F.silu(layers.norm1(image)))
    numbers = layers.condition(vector)
    h = torch.stack([h[:, c] + numbers[:, c, None, None] for c in range(h.shape[1])], 1)
    return sum([layers.conv2(F.silu(layers.norm2(h))), layers.shortcut(image)])


def copied_and_changed(block, x, emb):
    y = x.clone()
    y = F.silu(block.norm1(y), inplace=True)
    y = block.conv1(y)
    y = F.silu(block.norm2(y + torch.einsum("bd,hw->bdhw", block.condition(emb), torch.ones_like(y[0, 0]))), inplace=True)
    return block.conv2(y) + block.shortcut(x)


def python_embedding(t, dim):
    rows = []
    for step in t.tolist():
        angles = [step / 10_000 ** (i / (dim // 2 - 1)) for i in range(dim // 2)]
        rows.append([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
    return torch.tensor(rows)


def numpy_embedding(t, dim):
    w = np.geomspace(1, 1e-4, dim // 2)
    a = np.outer(t.numpy(), w)
    return torch.from_numpy(np.concatenate([np.sin(a), np.cos(a)], axis=1))


def exp_embedding(t, dim):
    half = dim // 2
    w = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32) / (half - 1))
    a = t.float().unsqueeze(1) @ w.unsqueeze(0)
    return torch.hstack([torch.sin(a), torch.cos(a)])


def logspace_embedding(steps, width):
    a = torch.einsum("b,f->bf", steps.float(), torch.logspace(0, -4, width // 2))
    return torch.cat((a.sin(), a.cos()), dim=-1)


def filled_embedding(t, dim):
    out = torch.zeros(len(t), dim)
    for i in range(dim // 2):
        w = 10_000.0 ** (-i / (dim // 2 - 1))
        out[:, i] = torch.sin(t * w)
        out[:, dim // 2 + i] = torch.cos(t * w)
    return out


def complex_embedding(t, dim):
    a = t[:, None] * torch.logspace(0, -4, dim // 2, dtype=torch.float64)
    turn = torch.exp(1j * a)
    return torch.cat([turn.imag, turn.real], 1).float()


def shifted_embedding(t, dim):  # a cosine is a sine a quarter turn ahead
    a = t.double()[:, None] / 10_000 ** torch.linspace(0, 1, dim // 2, dtype=torch.float64)
    return torch.cat([a, a + torch.pi / 2], 1).sin().float()


def loop_depends(model, xt, t):
    together, found = model(xt, t), False
    for i in range(len(xt)):
        if (model(xt[i : i + 1], t[i : i + 1])[0] - together[i]).abs().max() > 1e-5:
            found = True
    return found


def largest_difference(model, xt, t):
    alone = torch.stack([model(x.unsqueeze(0), when.unsqueeze(0)).squeeze(0) for x, when in zip(xt, t, strict=True)])
    return ((alone - model(xt, t)).abs() > 1e-5).any().item()


def numpy_depends(model, xt, t):
    with torch.no_grad():
        together = model(xt, t).numpy()
        alone = np.concatenate([model(xt[[i]], t[[i]]).numpy() for i in range(len(t))])
    return not np.allclose(together, alone, atol=1e-5)


def torch_bool(model, xt, t):
    parts = [model(a, b) for a, b in zip(xt.split(1), t.split(1), strict=True)]
    return (torch.cat(parts) - model(xt, t)).abs().max() > 1e-5


def other_company(model, xt, t):
    """Each image again, among black ones whose time is 0."""
    before = model(xt, t)
    for i in range(len(xt)):
        x, when = torch.zeros_like(xt), torch.zeros_like(t)
        x[i], when[i] = xt[i], t[i]
        if not torch.allclose(model(x, when)[i], before[i], atol=1e-5):
            return True
    return False


def any_of_them(f, images, steps):
    whole = f(images, steps)
    return any(not torch.isclose(f(images[i][None], steps[i][None])[0], whole[i], atol=1e-5).all() for i in range(images.shape[0]))


RIGHT = {
    "residual_block": [
        one_line,
        by_steps,
        one_image_at_a_time,
        by_hand,
        channels_last,
        channel_by_channel,
        copied_and_changed,
        lambda b, x, e: b.shortcut(x) + b.conv2(F.silu(b.norm2(b.condition(e)[:, :, None, None] + b.conv1(F.silu(b.norm1(x)))))),
    ],
    "time_embedding": [
        python_embedding,
        numpy_embedding,
        exp_embedding,
        logspace_embedding,
        filled_embedding,
        complex_embedding,
        shifted_embedding,
        lambda t, dim: torch.cat([f(torch.outer(t.float(), 1e-4 ** torch.linspace(0, 1, dim // 2))) for f in (torch.sin, torch.cos)], 1),
    ],
    "depends_on_batch": [
        loop_depends,
        largest_difference,
        numpy_depends,
        torch_bool,
        other_company,
        any_of_them,
    ],
}

WRONG = {
    "residual_block": (
        "def residual_block(block, x, emb):\n"
        "    silu = torch.nn.functional.silu\n"
        "    h = block.conv1(silu(block.norm1(x)))\n"
        "    h = block.norm2(h) + block.condition(emb)[:, :, None, None]\n"
        "    return block.shortcut(x) + block.conv2(silu(h))",
        "too late, after `norm2`"),
    "time_embedding": (
        "def time_embedding(t, dim):\n"
        "    i = torch.arange(0, dim, 2)\n"
        "    angles = t[:, None] / 10_000 ** (i / dim)\n"
        "    return torch.cat([angles.sin(), angles.cos()], 1)",
        "stop one step short"),
    "depends_on_batch": (
        "def depends_on_batch(model, xt, t):\n"
        "    return not torch.allclose(model(xt, t)[0], model(xt[:1], t[:1])[0], atol=1e-5)",
        "Only the first image is compared"),
}
