"""Answers to the exercises of notebook 09: right in other ways than the reference, and wrong as a learner would type it."""

import numpy as np
import torch

from ddpm_course import Guided
from ddpm_course import drop_labels as package_drop


def unlabelled_first(model, xt, t, y, scale, null_label):
    null = torch.zeros_like(y) + null_label
    out = model(torch.cat((xt, xt), dim=0), torch.cat((t, t), dim=0), torch.cat((null, y), dim=0))
    uncond, cond = torch.chunk(out, 2, dim=0)
    return torch.lerp(uncond, cond, float(scale))


def the_papers_form(model, xt, t, y, scale, null_label):
    w, n = scale - 1, len(xt)
    both = model(xt.repeat(2, 1, 1, 1), t.repeat(2), torch.cat([y, y.new_full(y.shape, null_label)]))
    return (1 + w) * both[:n] - w * both[n:]


def interleaved(model, xt, t, y, scale, null_label):
    labels = torch.stack([y, torch.full_like(y, null_label)], 1).flatten()
    both = model(xt.repeat_interleave(2, 0), t.repeat_interleave(2), labels)
    cond, uncond = both[0::2], both[1::2]
    return scale * cond + (1 - scale) * uncond


def image_after_image(model, xt, t, y, scale, null_label):
    x2, t2, y2 = [], [], []
    for label in (y, torch.full(y.shape, null_label, dtype=torch.int64)):
        for k in range(xt.shape[0]):
            x2.append(xt[k]), t2.append(int(t[k])), y2.append(int(label[k]))
    with torch.no_grad():
        out = model(torch.stack(x2), torch.tensor(t2), torch.tensor(y2))
    result = torch.zeros_like(xt)
    for k in range(xt.shape[0]):
        result[k] = out[xt.shape[0] + k] + scale * (out[k] - out[xt.shape[0] + k])
    return result


def one_pass_where_one_does(model, xt, t, y, scale, null_label):
    if scale == 1:
        return model(xt, t, y)
    if scale == 0:
        return model(xt, t, torch.full_like(y, null_label))
    doubled = torch.cat([xt] * 2), torch.cat([t] * 2), torch.nn.functional.pad(y, (0, len(y)), value=null_label)
    cond, uncond = model(*doubled).split(len(xt))
    return cond + (scale - 1) * (cond - uncond)


def weights_and_einsum(model, xt, t, y, scale, null_label):
    out = model(xt.expand(2, *xt.shape).flatten(0, 1), t.expand(2, -1).flatten(), torch.cat([y, y * 0 + null_label]))
    weights = torch.tensor([scale, 1 - scale], dtype=out.dtype)
    return torch.einsum("k,kbchw->bchw", weights, out.unflatten(0, (2, len(xt))))


def with_the_package(model, xt, t, y, scale, null_label):
    model.null_label = null_label
    return Guided(model, scale)(xt, t, y)


def in_double(model, xt, t, y, scale, null_label):
    out = model(torch.vstack([xt, xt]), torch.hstack([t, t]), torch.hstack([y, torch.full_like(y, null_label)]))
    cond, uncond = out.double().tensor_split(2)
    return (uncond + scale * (cond - uncond)).to(xt.dtype)


def drop_loop(y, p, null_label, generator):
    out = []
    for label in y.tolist():
        out.append(null_label if torch.rand(1, generator=generator).item() < p else label)
    return torch.tensor(out)


def drop_masked(y, p, null_label, generator):
    out = y.clone()
    out[torch.rand(len(y), generator=generator) < p] = null_label
    return out


def drop_by_keeping(y, p, null_label, generator):
    keep = torch.rand(y.shape, generator=generator, dtype=torch.float64) >= p
    return y * keep + null_label * ~keep


def drop_bernoulli(y, p, null_label, generator):
    return y.masked_fill(torch.bernoulli(torch.full(y.shape, float(p)), generator=generator).bool(), null_label)


def drop_numpy(y, p, null_label, generator):
    seed = int(torch.randint(2**31, (1,), generator=generator))
    mask = np.random.default_rng(seed).random(len(y)) < p
    return torch.from_numpy(np.where(mask, null_label, y.numpy()))


RIGHT = {
    "guide": [
        unlabelled_first,
        the_papers_form,
        interleaved,
        image_after_image,
        one_pass_where_one_does,
        weights_and_einsum,
        with_the_package,
        in_double,
    ],
    "drop_labels": [
        drop_loop,
        drop_masked,
        drop_by_keeping,
        drop_bernoulli,
        drop_numpy,
        package_drop,
        lambda y, p, null_label, generator: torch.where(torch.rand(y.shape, generator=generator) > 1 - p, null_label, y),
        lambda labels, q, none, g: torch.where(torch.empty(labels.shape).uniform_(generator=g) < q, torch.full_like(labels, none), labels),
    ],
}

WRONG = {
    "guide": ("""def guide(model, xt, t, y, scale, null_label):
    null = torch.full_like(y, null_label)
    out = model(torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([y, null]))
    uncond, cond = out.chunk(2)
    return uncond + scale * (cond - uncond)
""", "The halves have changed places"),
    "drop_labels": ("""def drop_labels(y, p, null_label, generator):
    if torch.rand(1, generator=generator) < p:
        return torch.full_like(y, null_label)
    return y
""", "One draw decides for the whole batch"),
}
