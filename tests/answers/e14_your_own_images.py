"""Answers to the exercises of notebook 14: right in other ways than the reference, and wrong as a learner would type it."""

import math

import numpy as np
import torch


def range_by_pil(image):
    array = image.numpy()
    if array.ndim == 2:
        return torch.from_numpy(array.astype("float32") / 255).unsqueeze(0) * 2 - 1
    if array.shape[2] == 4:
        colour, alpha = array[..., :3].astype(np.float64), array[..., 3:].astype(np.float64) / 255
        array = colour * alpha + 255 * (1 - alpha)
    return torch.from_numpy(np.moveaxis(array, -1, 0) / 127.5 - 1).to(torch.float32)


def range_in_bytes(image):
    x = image.to(torch.float32)
    if x.dim() == 3 and x.size(2) == 4:
        x = x[:, :, :3] * (x[:, :, 3:] / 255) + 255 * (1 - x[:, :, 3:] / 255)
    x = x.unsqueeze(0) if x.dim() == 2 else x.movedim(2, 0)
    return (x - 127.5) / 127.5


def range_by_lerp(image):
    x = (image / 255.0).mul(2).sub(1)
    if x.ndim == 3 and x.shape[-1] == 4:
        *rgb, alpha = x.unbind(-1)
        return torch.stack([torch.lerp(torch.ones_like(c), c, (alpha + 1) / 2) for c in rgb])
    return x[None] if x.ndim == 2 else torch.stack(x.unbind(-1))


def range_by_einsum(image):
    if image.ndim == 2:
        image = image[:, :, None]
    x = torch.einsum("hwc->chw", image.double())
    if x.shape[0] == 4:
        x = (x[:3] * x[3] + 255 * (255 - x[3])) / 255
    return (2 * x / 255 - 1).float()


def range_pixel_by_pixel(image):
    pixels = image.tolist()
    if image.ndim == 2:
        return torch.tensor([[[v / 127.5 - 1 for v in row] for row in pixels]])
    def on_white(p, c):
        a = p[3] / 255 if len(p) == 4 else 1.0
        return (p[c] * a + 255 * (1 - a)) / 127.5 - 1
    return torch.tensor([[[on_white(p, c) for p in row] for row in pixels] for c in range(3)])


def inpaint_with_numbers(x, picture, mask, s, alpha_bar, noise):
    a = 1.0 if s == -1 else float(alpha_bar[s])
    known = math.sqrt(a) * picture + math.sqrt(1 - a) * noise
    return mask * known + ~mask * x


def inpaint_by_index(x, picture, mask, s, alpha_bar, noise):
    levels = torch.cat([torch.ones_like(alpha_bar[:1]), alpha_bar])
    a = levels[s + 1]
    out = x.clone()
    where = mask.expand_as(x)
    out[where] = (a.sqrt() * picture + (1 - a).sqrt() * noise)[where]
    return out


def inpaint_early_return(x, picture, mask, s, alpha_bar, noise):
    if s < 0:
        return torch.where(mask, picture, x)
    a = alpha_bar[s].view(1, 1, 1, 1)
    return torch.where(mask, a.sqrt() * picture + torch.sqrt(1 - a) * noise, x)


def inpaint_image_by_image(x, picture, mask, s, alpha_bar, noise):
    a = alpha_bar[s] if s > -1 else torch.tensor(1.0)
    rows = [torch.where(m, a**0.5 * p + (1 - a) ** 0.5 * e, image) for image, p, m, e in zip(x, picture, mask, noise, strict=True)]
    return torch.stack(rows)


def inpaint_by_lerp(x, picture, mask, s, alpha_bar, noise):
    level = alpha_bar[s] if s >= 0 else alpha_bar.new_ones(())
    return torch.lerp(x, level.sqrt() * picture + (1 - level).sqrt() * noise, mask.to(x.dtype))


def inpaint_numpy(x, picture, mask, s, alpha_bar, noise):
    a = 1.0 if s == -1 else alpha_bar[s].item()
    x, picture, noise = x.detach(), picture.detach(), noise.detach()
    known = np.sqrt(a) * picture.numpy() + np.sqrt(1 - a) * noise.numpy()
    return torch.from_numpy(np.where(mask.numpy(), known, x.numpy()).astype(x.numpy().dtype))


def slerp_flat(a, b, w):
    u, v = a.flatten(), b.flatten()
    theta = torch.arccos(torch.dot(u, v) / (u.norm() * v.norm()))
    return (u * torch.sin((1 - w) * theta) / theta.sin() + v * torch.sin(w * theta) / theta.sin()).view_as(a)


def slerp_with_numbers(a, b, w):
    u, v = a.detach(), b.detach()
    cosine = float((u * v).sum()) / math.sqrt(float((u**2).sum()) * float((v**2).sum()))
    angle = math.acos(cosine)
    return math.sin((1 - w) * angle) / math.sin(angle) * a + math.sin(w * angle) / math.sin(angle) * b


def slerp_by_similarity(a, b, w):
    angle = torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).clamp(-1, 1).acos()
    return ((1 - w) * angle).sin() / angle.sin() * a + (w * angle).sin() / angle.sin() * b


def slerp_by_turning(a, b, w):
    """Turn a towards b in their plane. The lengths of a and b are stretched along the way as the formula does."""
    u, v = a / a.norm(), b / b.norm()
    angle = torch.acos((u * v).sum())
    across = (v - (u * v).sum() * u) / torch.sin(angle)
    of_b = torch.sin(w * angle) / torch.sin(angle)
    of_a = torch.cos(w * angle) - of_b * torch.cos(angle)
    return a * of_a + b.norm() * of_b * (torch.cos(angle) * u + torch.sin(angle) * across)


def slerp_in_double(a, b, w):
    x, y = a.double(), b.double()
    angle = torch.atan2((x * y.norm() - y * x.norm()).norm(), (x * y.norm() + y * x.norm()).norm()) * 2
    return ((torch.sin(angle - w * angle) * x + torch.sin(w * angle) * y) / torch.sin(angle)).to(a.dtype)


RIGHT = {
    "to_model_range": [
        range_by_pil,
        range_in_bytes,
        range_by_lerp,
        range_by_einsum,
        range_pixel_by_pixel,
    ],
    "inpaint_step": [
        inpaint_with_numbers,
        inpaint_by_index,
        inpaint_early_return,
        inpaint_image_by_image,
        inpaint_by_lerp,
        inpaint_numpy,
    ],
    "slerp": [
        slerp_flat,
        slerp_with_numbers,
        slerp_by_similarity,
        slerp_by_turning,
        slerp_in_double,
        lambda start, end, share: slerp_flat(end, start, 1 - share),
    ],
}

WRONG = {
    "to_model_range": ("""def to_model_range(image):
    x = image / 255
    if image.ndim == 2:
        return x.unsqueeze(0)
    x = x.permute(2, 0, 1)
    if x.shape[0] == 4:
        x = x[:3] * x[3:] + (1 - x[3:])
    return x
""", "The range is [0, 1]"),
    "inpaint_step": ("""def inpaint_step(x, picture, mask, s, alpha_bar, noise):
    a = alpha_bar[s]
    known = a.sqrt() * picture + (1 - a).sqrt() * noise
    return torch.where(mask, known, x)
""", "reads the LAST entry"),
    "slerp": ("""def slerp(a, b, w):
    return (1 - w) * a + w * b
""", "This is the straight line"),
}
