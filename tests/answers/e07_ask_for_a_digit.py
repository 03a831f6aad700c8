"""Answers to the exercises of notebook 07: right in other ways than the reference, and wrong as a learner would type it."""

import itertools

import torch
import torch.nn.functional as F


def loop_rows(emb, table, y):
    return torch.stack([e + table[int(label)] for e, label in zip(emb, y, strict=True)])


def one_hot_rows(emb, table, y):
    return emb + F.one_hot(y, len(table)).to(table.dtype) @ table


def filled_rows(emb, table, y):
    out = torch.empty_like(emb)
    for i in range(len(y)):
        out[i] = emb[i] + table[y[i]]
    return out


def gathered_rows(numbers, rows, labels):
    return numbers + rows.gather(0, labels[:, None].expand(-1, rows.shape[1]))


def einsum_rows(emb, table, y):
    picks = (y[:, None] == torch.arange(len(table))).to(table)
    return torch.einsum("bk,ke->be", picks, table) + emb


def layer_rows(emb, table, y):
    return torch.add(F.embedding(y, table), emb)


def masked_loss(model, x0, y, hidden, t, noise, alpha_bar):
    told = y.clone()
    told[hidden] = model.null_label
    a = alpha_bar[t][:, None, None, None]
    xt = torch.sqrt(a) * x0 + torch.sqrt(1 - a) * noise
    return F.mse_loss(model(xt, t, told), x0)


def image_by_image(model, x0, y, hidden, t, noise, alpha_bar):
    losses = []
    for i in range(len(x0)):
        label = torch.tensor([model.null_label]) if hidden[i] else y[i : i + 1]
        a = float(alpha_bar[t[i]])
        x = a**0.5 * x0[i : i + 1] + (1 - a) ** 0.5 * noise[i : i + 1]
        losses.append(((model(x, t[i : i + 1], label) - x0[i]) ** 2).mean())
    return sum(losses) / len(losses)


def by_listing(model, x0, y, hidden, t, noise, alpha_bar):
    told = torch.tensor([model.null_label if h else k for h, k in zip(hidden.tolist(), y.tolist(), strict=True)])
    level = alpha_bar.gather(0, t).view(-1, 1, 1, 1)
    error = model(level**0.5 * x0 + (1 - level) ** 0.5 * noise, t, told) - x0
    return (error * error).flatten(1).mean(1).mean()


def by_arithmetic(model, x0, y, hidden, t, noise, alpha_bar):
    told = y + hidden * (model.null_label - y)
    a = torch.index_select(alpha_bar, 0, t).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
    xt = torch.lerp(torch.zeros_like(x0), x0, a.sqrt()) + noise * (1 - a).sqrt()
    return torch.linalg.vector_norm(x0 - model(xt, t, told)).square() / x0.numel()


def with_masked_fill(net, images, labels, hide, when, eps, levels):
    kept = levels[when].reshape(len(images), 1, 1, 1)
    guess = net(kept.sqrt() * images + (1 - kept).sqrt() * eps, when, labels.masked_fill(hide, net.null_label))
    return torch.mean((images - guess) ** 2)


def ratio_of_sums(model, x0, y, hidden, t, noise, alpha_bar):
    signal, sigma = alpha_bar.sqrt()[t], (1 - alpha_bar).sqrt()[t]
    xt = torch.einsum("b,bchw->bchw", signal, x0) + torch.einsum("b,bchw->bchw", sigma, noise)
    guess = model(xt, t, torch.where(~hidden, y, torch.full_like(y, model.null_label)))
    return (guess - x0).pow(2).sum() / x0.numel()


def pairs(model, xt, t):
    answers = [model(xt, t, torch.full((len(t),), k)) for k in range(model.null_label)]
    if not any((a - b).abs().max() > 1e-5 for a, b in itertools.combinations(answers, 2)):
        return "ignored"
    model.zero_grad()
    sum((a**2).sum() for a in answers).backward()
    return "frozen" if model.embed_label.weight.grad is None else "learned"


def spread(model, xt, t):
    y = torch.arange(model.null_label).repeat_interleave(len(t))
    out = model(xt.repeat(model.null_label, 1, 1, 1), t.repeat(model.null_label), y).reshape(model.null_label, *xt.shape)
    if (out.amax(0) - out.amin(0)).max() <= 1e-5:
        return "ignored"
    out.pow(2).mean().backward()
    gradient = model.embed_label.weight.grad
    return "learned" if gradient is not None and gradient.abs().sum() > 0 else "frozen"


def without_gradients_first(net, images, steps):
    with torch.no_grad():
        first = net(images, steps, torch.zeros_like(steps))
        used = any(not torch.allclose(net(images, steps, torch.full_like(steps, k)), first, atol=1e-5) for k in range(1, net.null_label))
    if not used:
        return "ignored"
    out = net(images, steps, torch.zeros_like(steps))
    try:
        gradient = torch.autograd.grad(out.sum(), net.embed_label.weight)[0]
    except RuntimeError:
        return "frozen"
    return "learned" if gradient.any() else "frozen"


def by_numpy(model, xt, t):
    answers = [model(xt, t, t * 0 + k) for k in range(model.null_label)]
    stacked = torch.stack(answers).detach().numpy()
    if stacked.max(0).max() == stacked.min(0).min() or (stacked.max(0) - stacked.min(0)).max() < 1e-5:
        return "ignored"
    for p in model.parameters():
        p.grad = None
    (answers[0] ** 2).sum().backward()
    return {True: "frozen", False: "learned"}[model.embed_label.weight.grad is None]


def one_at_a_time(model, xt, t):
    found, table = "ignored", model.embed_label.weight
    for i in range(len(t)):
        first = model(xt[i : i + 1], t[i : i + 1], torch.tensor([0]))
        for k in range(1, model.null_label):
            other = model(xt[i : i + 1], t[i : i + 1], torch.tensor([k]))
            if (other - first).abs().max() > 1e-5:
                if not table.requires_grad:
                    return "frozen"
                reached = torch.autograd.grad((other - first).square().sum(), table, retain_graph=True, allow_unused=True)[0]
                found = "learned" if reached is not None else "frozen"
    return found


RIGHT = {
    "add_label": [
        loop_rows,
        one_hot_rows,
        filled_rows,
        gathered_rows,
        einsum_rows,
        layer_rows,
        lambda emb, table, y: table.index_select(0, y) + emb,
        lambda emb, table, y: torch.cat([emb[i : i + 1] + table[y[i] : y[i] + 1] for i in range(len(y))]),
    ],
    "label_loss": [
        masked_loss,
        image_by_image,
        by_listing,
        by_arithmetic,
        with_masked_fill,
        ratio_of_sums,
    ],
    "uses_label": [
        pairs,
        spread,
        without_gradients_first,
        by_numpy,
        one_at_a_time,
    ],
}

WRONG = {
    "add_label": (
        "def add_label(emb, table, y):\n"
        "    return emb + y[:, None].float()",
        "nine times a 1"),
    "label_loss": (
        "def label_loss(model, x0, y, hidden, t, noise, alpha_bar):\n"
        "    if hidden.any():\n"
        "        y = torch.full_like(y, model.null_label)\n"
        "    a = alpha_bar[t].reshape(-1, 1, 1, 1)\n"
        "    xt = a.sqrt() * x0 + (1 - a).sqrt() * noise\n"
        "    return torch.nn.functional.mse_loss(model(xt, t, y), x0)",
        "for the whole batch at once"),
    "uses_label": (
        "def uses_label(model, xt, t):\n"
        "    zero, one = (model(xt, t, torch.full_like(t, k)) for k in (0, 1))\n"
        "    if torch.allclose(zero, one, atol=1e-5):\n"
        "        return 'ignored'\n"
        "    table = model.embed_label.weight\n"
        "    if not table.requires_grad:\n"
        "        return 'frozen'\n"
        "    reached = torch.autograd.grad(zero.sum(), table, allow_unused=True)[0]\n"
        "    return 'frozen' if reached is None else 'learned'",
        "Only two labels"),
}
