"""Exercises of notebook 14: pixels as a network wants them, known pixels put back into a walk, the arc between two noises."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from . import Case, Exercise, randn, uniform


def to_model_range(image):
    """The pixels of an image file, as a network wants them.

    image: uint8, (H, W) grey, or (H, W, 3) colour, or (H, W, 4) with alpha, where 255 is opaque and 0 is transparent.
    Returns float32 in [-1, 1], (1, H, W) or (3, H, W). What has an alpha is laid on white.
    """
    pixels = image.float() / 127.5 - 1
    if image.ndim == 2:
        return pixels[None]
    pixels = pixels.permute(2, 0, 1)
    if len(pixels) == 4:
        opaque = (pixels[3:] + 1) / 2
        pixels = opaque * pixels[:3] + 1 - opaque
    return pixels


def _range_cases(seed: int) -> list[Case]:
    def image(k: int, *shape: int) -> Tensor:
        return (uniform(seed + k, *shape) * 256).to(torch.uint8)

    cut_out = image(2, 6, 5, 4)
    cut_out[0, :, 3], cut_out[1, :, 3] = 0, 255
    return [
        Case("a colour image", (image(0, 4, 6, 3),)),
        Case("a grey image", (image(1, 5, 7),)),
        Case("an image with alpha", (cut_out,)),
        Case("a colour image 4 high and 3 wide", (image(3, 4, 3, 3),)),
        Case("a dark grey image", (image(4, 3, 4) // 3,)),
        Case("a single pixel with alpha", (image(5, 1, 1, 4) // 2 + 50,)),
    ]


def _as_ours(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1


def _on_white(pixels: Tensor, opaque: Tensor) -> Tensor:
    return opaque * pixels + 1 - opaque


def _scaled(scale: Callable[[Tensor], Tensor], white: float = 1.0):
    """Another range; what has an alpha is laid on that range's white."""
    def wrong(image):
        if image.ndim == 2:
            return scale(image)[None]
        pixels = scale(image[..., :3]).permute(2, 0, 1)
        if image.shape[2] == 4:
            opaque = image[..., 3:].permute(2, 0, 1) / 255
            pixels = opaque * pixels + (1 - opaque) * white
        return pixels
    return wrong


def _laid(lay: Callable[[Tensor, Tensor], Tensor]):
    """Another way with alpha: lay(pixels, opaque), both in the right range."""
    def wrong(image):
        if image.ndim == 2 or image.shape[2] == 3:
            return to_model_range(image)
        pixels = _as_ours(image).permute(2, 0, 1)
        return lay(pixels[:3], (pixels[3:] + 1) / 2)
    return wrong


def _ordered(order: Callable[[Tensor], Tensor]):
    """Another order of the axes, of the image in colour (H, W, 3)."""
    def wrong(image):
        if image.ndim == 2:
            return to_model_range(image)
        pixels = _as_ours(image)
        if image.shape[2] == 4:
            pixels = _on_white(pixels[..., :3], (pixels[..., 3:] + 1) / 2)
        return order(pixels)
    return wrong


def _grey(make: Callable[[Tensor], Tensor]):
    return lambda image: make(image) if image.ndim == 2 else to_model_range(image)


TO_MODEL_RANGE = Exercise(
    to_model_range,
    hints=(
        "Make floats first: 0 should become -1, and 255 should become 1. Then move the channels to the front.",
        "As a share between 0 and 1, alpha weighs the colour. What is left of 1 weighs white, and white is 1 here.",
    ),
    cases=_range_cases,
    variants=("non-contiguous",),
    mistakes={
        "The range is [0, 1]: black should be -1, so that the noise of mean 0 lies in the middle.":
            _scaled(lambda p: p.float() / 255),
        "The range is [0, 2]: it should be moved down, so that black is -1.":
            _scaled(lambda p: p.float() / 127.5, 2.0),
        "The range is [-0.5, 0.5]: it should be twice as wide.":
            _scaled(lambda p: p.float() / 255 - 0.5, 0.5),
        "The range is that of bytes, 0 to 255: black should be -1 and white 1.":
            _scaled(lambda p: p.float(), 255.0),
        "Black and white have changed places: 0 should become -1.":
            _scaled(lambda p: 1 - p.float() / 127.5, -1.0),
        "White ends just below 1: the largest byte is 255, not 256.": (
            _scaled(lambda p: p.float() / 128 - 1),
            _scaled(lambda p: p.float() / 128 - 1, 255 / 128 - 1),
            _scaled(lambda p: p.float() / 256 * 2 - 1),
        ),
        "Only a few shades are left: it divides whole numbers, which cuts the rest off. Make floats first.": (
            _scaled(lambda p: (p // 127).float() - 1),
            _scaled(lambda p: (p // 128).float() * 2 - 1),
            _scaled(lambda p: (p // 255).float() * 2 - 1),
        ),
        "It computes in bytes, which wrap round at 256: make floats first.": (
            _scaled(lambda p: (p * 2).float() / 255 - 1),
            _scaled(lambda p: (p * 2 - 255).float() / 255),
        ),
        "Each image is stretched from its darkest to its brightest pixel: a dark picture should stay dark.": (
            lambda image: (to_model_range(image) - to_model_range(image).min()) / (
                to_model_range(image).max() - to_model_range(image).min()).clamp(min=1e-6) * 2 - 1,
            lambda image: to_model_range(image) / to_model_range(image).abs().max(),
        ),
        "Each image is brought to mean 0 and deviation 1: the range should be the same for all images.":
            lambda image: (to_model_range(image) - to_model_range(image).mean()) / to_model_range(image).std(correction=0).clamp(min=1e-6),
        "The channels stand last: a network wants (C, H, W).":
            _ordered(lambda p: p),
        "Height and width have changed places: the picture lies on its side.": (
            _ordered(lambda p: p.permute(2, 1, 0)),
            _ordered(lambda p: p.T if p.ndim == 2 else p.permute(2, 1, 0)),
        ),
        "The axes are in the wrong order: channels, height, width was asked for.":
            _ordered(lambda p: p.permute(1, 2, 0)),
        "The numbers are only cut up anew, which mixes pixels and channels: axes must be moved.":
            _ordered(lambda p: p.reshape(p.shape[2], p.shape[0], p.shape[1])),
        "Red and blue have changed places: the channels should keep their order.":
            _ordered(lambda p: p.permute(2, 0, 1).flip(0)),
        "Only one channel of the colours is left.": (
            _ordered(lambda p: p.permute(2, 0, 1)[:1]),
            _ordered(lambda p: p.permute(2, 0, 1).mean(0, keepdim=True)),
        ),
        "Alpha is cut off: where an image is transparent, any colour may be stored beneath.":
            _laid(lambda p, opaque: p),
        "Alpha is kept as a fourth channel: the network takes three.":
            _laid(lambda p, opaque: torch.cat([p, opaque * 2 - 1])),
        "What is transparent lies on black: white was asked for.":
            _laid(lambda p, opaque: opaque * p - 1 + opaque),
        "What is transparent becomes 0, and that is a middle grey in this range: white is 1.":
            _laid(lambda p, opaque: opaque * p),
        "Alpha is turned round: 255 is opaque, and 0 shows the ground.":
            _laid(lambda p, opaque: _on_white(p, 1 - opaque)),
        "Alpha weighs from -1 to 1 here: as a share it should run from 0 to 1.": (
            _laid(lambda p, opaque: _on_white(p, opaque * 2 - 1)),
            _laid(lambda p, opaque: (opaque * 2 - 1) * p),
        ),
        "Alpha weighs from 0 to 255 here: as a share it should run from 0 to 1.":
            _laid(lambda p, opaque: _on_white(p, opaque * 255)),
        "White is added on top of the whole colour: what is opaque should not become brighter.": (
            _laid(lambda p, opaque: p + 1 - opaque),
            _laid(lambda p, opaque: (p + 1 - opaque).clamp(-1, 1)),
        ),
        "A pixel is either colour or white here: what is half transparent is half of each.": (
            _laid(lambda p, opaque: torch.where(opaque > 0.5, p, 1.0)),
            _laid(lambda p, opaque: torch.where(opaque > 0, p, 1.0)),
            _laid(lambda p, opaque: torch.where(opaque == 1, p, 1.0)),
        ),
        "A grey image lacks its channel: (1, H, W) was asked for.":
            _grey(lambda image: _as_ours(image)),
        "A grey image has three equal channels here: one is enough.": (
            _grey(lambda image: _as_ours(image)[None].repeat(3, 1, 1)),
            _grey(lambda image: torch.stack([_as_ours(image)] * 3)),
        ),
        "A grey image has its channel last: it stands first.":
            _grey(lambda image: _as_ours(image)[..., None]),
        "A batch of one image is returned: the image itself was asked for.":
            lambda image: to_model_range(image)[None],
        "The number type is still uint8, which knows no -1: make floats.":
            lambda image: to_model_range(image).to(torch.uint8),
    },
)


def inpaint_step(x, picture, mask, s, alpha_bar, noise):
    """Put the known pixels back into a sample, as noisy as it is itself.

    x: (B, C, H, W), just walked to timestep s, a whole number; s = -1 is the clean image. picture: clean, as x.
    mask: bool (B, 1, H, W), True where the picture is known. alpha_bar: (T,), of each timestep. noise: N(0, 1), as x.
    Returns x with its known pixels replaced, as x.
    """
    level = alpha_bar[s] if s >= 0 else 1.0
    known = level**0.5 * picture + (1 - level) ** 0.5 * noise
    return torch.where(mask, known, x)


def _inpaint_cases(seed: int) -> list[Case]:
    alpha_bar = torch.cumprod(1 - torch.linspace(0.02, 0.3, 12), 0)

    def case(label: str, s: int, *size: int) -> Case:
        k = seed + 7 * len(label)
        mask = uniform(k, size[0], 1, *size[2:]) < 0.6
        return Case(label, (randn(k + 1, *size), uniform(k + 2, *size, low=-1), mask, s, alpha_bar.clone(), randn(k + 3, *size)))

    return [
        case("a timestep in the middle", 6, 3, 3, 4, 5),
        case("s = -1, the clean image", -1, 2, 3, 5, 4),
        case("s = 0, the last noisy level", 0, 4, 1, 4, 5),
        case("a single image in much noise", 10, 1, 1, 5, 6),
        case("a batch in some noise", 3, 5, 2, 4, 4),
    ]


def _level(s: int, alpha_bar: Tensor):
    return alpha_bar[s] if s >= 0 else 1.0


def _known(mix: Callable):
    """Other known pixels: mix(picture, level, noise)."""
    return lambda x, picture, mask, s, alpha_bar, noise: torch.where(mask, mix(picture, _level(s, alpha_bar), noise), x)


def _at(level: Callable):
    """The right mixture at another level: level(s, alpha_bar)."""
    def wrong(x, picture, mask, s, alpha_bar, noise):
        a = level(s, alpha_bar)
        return torch.where(mask, a**0.5 * picture + (1 - a) ** 0.5 * noise, x)
    return wrong


def _joined(join: Callable):
    """The right known pixels, joined with the sample in another way: join(known, mask, x)."""
    return lambda x, picture, mask, s, alpha_bar, noise: join(
        _level(s, alpha_bar) ** 0.5 * picture + (1 - _level(s, alpha_bar)) ** 0.5 * noise, mask, x)


INPAINT_STEP = Exercise(
    inpaint_step,
    hints=(
        "Noise the picture to the level that the sample has now: notebook 01's jump. Then choose pixel by pixel.",
        "The clean image, s = -1, has level 1 and is not in the table. `torch.where` takes one or the other.",
    ),
    cases=_inpaint_cases,
    mistakes={
        "The known pixels are put in clean: the network expects them to be as noisy as the rest.":
            _known(lambda picture, level, noise: picture),
        "The mask is inverted: True means known.": (
            _joined(lambda known, mask, x: torch.where(mask, x, known)),
            _joined(lambda known, mask, x: torch.where(~mask, known, x)),
        ),
        "At s = -1 it reads the LAST entry of the table, pure noise: the clean image has level 1.":
            _at(lambda s, alpha_bar: alpha_bar[s]),
        "There is noise on the known pixels of the clean image: at s = -1 they are exactly the picture's.":
            _at(lambda s, alpha_bar: alpha_bar[max(s, 0)]),
        "They get the level that the step came from: the sample is at s already.": (
            _at(lambda s, alpha_bar: alpha_bar[s + 1]),
            _at(lambda s, alpha_bar: alpha_bar[s + 1] if s >= 0 else 1.0),
        ),
        "They are one level too clean: the sample is at s.": (
            _at(lambda s, alpha_bar: alpha_bar[s - 1] if s > 0 else 1.0),
            _at(lambda s, alpha_bar: alpha_bar[max(s - 1, 0)] if s >= 0 else 1.0),
            _at(lambda s, alpha_bar: alpha_bar[s - 1] if s >= 0 else 1.0),
        ),
        "At s = 0 there is still some noise: only s = -1 is the clean image.":
            _at(lambda s, alpha_bar: alpha_bar[s] if s > 0 else 1.0),
        "Both weights are variances: pictures and noise are multiplied by roots of those.":
            _known(lambda picture, level, noise: level * picture + (1 - level) * noise),
        "The picture is multiplied by a variance: its weight is the root of that.":
            _known(lambda picture, level, noise: level * picture + (1 - level) ** 0.5 * noise),
        "The noise is multiplied by a variance: its weight is the root of that.":
            _known(lambda picture, level, noise: level**0.5 * picture + (1 - level) * noise),
        "The two weights have changed places: at a clean level nearly all is picture.":
            _known(lambda picture, level, noise: (1 - level) ** 0.5 * picture + level**0.5 * noise),
        "The picture keeps its full size: in the jump it shrinks as the noise grows.":
            _known(lambda picture, level, noise: picture + (1 - level) ** 0.5 * noise),
        "The picture shrinks, but its noise is missing.":
            _known(lambda picture, level, noise: level**0.5 * picture),
        "The noise has its full size at every level: it should be none at the clean image.": (
            _known(lambda picture, level, noise: level**0.5 * picture + noise),
            _known(lambda picture, level, noise: picture + noise),
        ),
        "The noise is subtracted: in the jump it is added.":
            _known(lambda picture, level, noise: level**0.5 * picture - (1 - level) ** 0.5 * noise),
        "Only noise is put in: the picture is missing.": (
            _known(lambda picture, level, noise: (1 - level) ** 0.5 * noise),
            _known(lambda picture, level, noise: noise + 0 * picture),
        ),
        "The mask is not used: all pixels come from the picture, and nothing is left to fill.":
            _joined(lambda known, mask, x: known),
        "The sample comes back as it was: nothing is replaced.":
            _joined(lambda known, mask, x: x.clone()),
        "The unknown pixels are lost: they should stay as the walk made them.": (
            _joined(lambda known, mask, x: mask * known),
            _joined(lambda known, mask, x: torch.where(mask, known, torch.zeros_like(x))),
        ),
        "At s = -1 nothing is put back: there, too, the known pixels are the picture's.":
            lambda x, picture, mask, s, alpha_bar, noise: x.clone() if s < 0 else inpaint_step(x, picture, mask, s, alpha_bar, noise),
        "At s = -1 the whole picture comes back: only its known pixels should.":
            lambda x, picture, mask, s, alpha_bar, noise: picture.clone() if s < 0 else inpaint_step(x, picture, mask, s, alpha_bar, noise),
        "The known pixels are added to the sample's own: they should take their place.":
            _joined(lambda known, mask, x: x + mask * known),
        "Half of each is taken where the picture is known: its pixels should take the sample's place.":
            _joined(lambda known, mask, x: torch.where(mask, (known + x) / 2, x)),
        "Every image gets the mask of the first one: each has its own.":
            _joined(lambda known, mask, x: torch.where(mask[:1], known, x)),
        "Every image gets the noise of the first one: each has its own.":
            _known(lambda picture, level, noise: level**0.5 * picture + (1 - level) ** 0.5 * noise[:1]),
        "Every image gets the first picture: each has its own.":
            _known(lambda picture, level, noise: level**0.5 * picture[:1] + (1 - level) ** 0.5 * noise),
        "The noise is drawn anew: use the one that comes in, so that a step can be repeated.":
            _known(lambda picture, level, noise: level**0.5 * picture + (1 - level) ** 0.5 * torch.randn_like(picture)),
        "The result is clipped: noisy pixels may lie outside of [-1, 1].": (
            lambda *given: inpaint_step(*given).clamp(-1, 1),
            _joined(lambda known, mask, x: torch.where(mask, known.clamp(-1, 1), x)),
        ),
    },
)


def slerp(a, b, w):
    """From one noise to another, along the arc between them.

    a, b: noise, (C, H, W), of different directions; w: a number, 0 gives a and 1 gives b.
    Returns the noise at this share of the angle between the two, (C, H, W).
    """
    angle = torch.acos((a * b).sum() / (a.norm() * b.norm()))
    return (torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b) / torch.sin(angle)


def _slerp_cases(seed: int) -> list[Case]:
    def case(label: str, w: float, alike: float, longer: float, *size: int) -> Case:
        k = seed + 5 * len(label)
        a = randn(k, *size)
        return Case(label, (a, alike * a + longer * randn(k + 1, *size), w))

    return [
        case("a third of the way", 1 / 3, 0.6, 1.0, 3, 4, 5),
        case("w = 0, which is a", 0.0, 0.3, 1.0, 1, 4, 6),
        case("w = 1, which is b", 1.0, 0.3, 1.0, 1, 5, 4),
        case("noises of different lengths", 0.7, 0.2, 2.0, 3, 3, 4),
        case("noises that point apart", 0.25, -0.8, 0.7, 2, 4, 3),
        case("half of the way", 0.5, 0.5, 1.5, 1, 3, 3),
    ]


def _weighed(weigh: Callable):
    """Other weights: weigh(w, angle) gives those of a and b."""
    def wrong(a, b, w):
        angle = torch.acos((a * b).sum() / (a.norm() * b.norm()))
        of_a, of_b = weigh(w, angle)
        return of_a * a + of_b * b
    return wrong


def _angled(measure: Callable):
    """The right weights of another angle: measure(a, b)."""
    def wrong(a, b, w):
        angle = measure(a, b)
        return (torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b) / torch.sin(angle)
    return wrong


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / (a.norm() * b.norm())


def _line(a, b, w):
    return (1 - w) * a + w * b


SLERP = Exercise(
    slerp,
    hints=(
        "Take each noise as one long arrow. The cosine of their angle is their product, summed, over both lengths.",
        "The weights are sines of the two parts of the angle, each divided by the sine of the whole.",
    ),
    cases=_slerp_cases,
    mistakes={
        "This is the straight line: in the middle it leaves the shell on which noise lies.":
            _line,
        "This is the straight line, brought to a length: its steps are not equal shares of the angle.": (
            lambda a, b, w: _line(a, b, w) / _line(a, b, w).norm() * ((1 - w) * a.norm() + w * b.norm()),
            lambda a, b, w: _line(a, b, w) / _line(a, b, w).norm() * a.norm(),
            lambda a, b, w: _line(a, b, w) / ((1 - w) ** 2 + w**2) ** 0.5,
        ),
        "These weights suit independent noises, whatever their angle: the arc takes the sines of its parts.": (
            lambda a, b, w: (1 - w) ** 0.5 * a + w**0.5 * b,
            _weighed(lambda w, angle: (torch.cos(w * torch.pi / 2 + 0 * angle), torch.sin(w * torch.pi / 2 + 0 * angle))),
        ),
        "It runs the other way: w = 0 should give a.": (
            _weighed(lambda w, angle: (torch.sin(w * angle) / torch.sin(angle), torch.sin((1 - w) * angle) / torch.sin(angle))),
            lambda a, b, w: _line(b, a, w),
        ),
        "The division by the sine of the whole angle is missing: w = 0 should give a itself.":
            _weighed(lambda w, angle: (torch.sin((1 - w) * angle), torch.sin(w * angle))),
        "The weights are cosines: at w = 0 b should weigh nothing.": (
            _weighed(lambda w, angle: (torch.cos((1 - w) * angle) / torch.cos(angle), torch.cos(w * angle) / torch.cos(angle))),
            _weighed(lambda w, angle: (torch.cos((1 - w) * angle) / torch.sin(angle), torch.cos(w * angle) / torch.sin(angle))),
            _weighed(lambda w, angle: (torch.cos((1 - w) * angle), torch.cos(w * angle))),
        ),
        "The angle is divided, not its sine.":
            _weighed(lambda w, angle: (torch.sin((1 - w) * angle) / angle, torch.sin(w * angle) / angle)),
        "The shares stand outside of the sines: they divide the angle, not its sine.": (
            _weighed(lambda w, angle: ((1 - w) * torch.sin(angle), w * torch.sin(angle))),
        ),
        "Here the cosine stands where the angle should: take its arc.":
            _angled(_cosine),
        "The lengths are missing from the cosine: their product alone is no cosine.": (
            _angled(lambda a, b: torch.acos((a * b).sum())),
            _angled(lambda a, b: torch.acos((a * b).mean())),
            _angled(lambda a, b: torch.acos((a * b).mean() / (a.norm() * b.norm()))),
        ),
        "The lengths are squared in the cosine: divide by both, each once.": (
            _angled(lambda a, b: torch.acos((a * b).sum() / (a.square().sum() * b.square().sum()))),
            _angled(lambda a, b: torch.acos((a * b).sum() / a.square().sum())),
        ),
        "Only one of the two lengths divides the product: the cosine needs both.": (
            _angled(lambda a, b: torch.acos((a * b).sum() / a.norm())),
            _angled(lambda a, b: torch.acos((a * b).sum() / b.norm())),
        ),
        "Each row has an angle of its own here: an image of noise is one arrow.": (
            _angled(lambda a, b: torch.acos((a * b).sum(-1, keepdim=True) / (a.norm(dim=-1, keepdim=True) * b.norm(dim=-1, keepdim=True)))),
        ),
        "Each channel has an angle of its own here: an image of noise is one arrow.": (
            _angled(lambda a, b: torch.acos((a * b).sum((1, 2), keepdim=True) / (
                a.norm(dim=(1, 2), keepdim=True) * b.norm(dim=(1, 2), keepdim=True)))),
        ),
        "The arc of the sine is not that of the cosine: with it, opposite noises get the wrong angle.":
            _angled(lambda a, b: torch.asin(_cosine(a, b))),
        "The angle is in degrees: the sine takes it as it comes from the arc.":
            _angled(lambda a, b: torch.rad2deg(torch.acos(_cosine(a, b)))),
        "The sign of the angle's cosine is lost: noises that point apart have more than a right angle.":
            _angled(lambda a, b: torch.acos(_cosine(a, b).abs())),
        "The noises are brought to one length first: the formula takes a and b as they are.": (
            lambda a, b, w: slerp(a / a.norm(), b / b.norm(), w) * a.norm(),
            lambda a, b, w: slerp(a / a.norm(), b / b.norm(), w) * ((1 - w) * a.norm() + w * b.norm()),
            lambda a, b, w: slerp(a / a.norm(), b / b.norm(), w) * a.numel() ** 0.5,
        ),
        "The two parts are subtracted: both noises are added.":
            _weighed(lambda w, angle: (torch.sin((1 - w) * angle) / torch.sin(angle), -torch.sin(w * angle) / torch.sin(angle))),
        "The result is brought to length 1: noise of this many pixels is longer.": (
            lambda a, b, w: slerp(a, b, w) / slerp(a, b, w).norm(),
            lambda a, b, w: slerp(a / a.norm(), b / b.norm(), w),
        ),
    },
)


EXERCISES = (TO_MODEL_RANGE, INPAINT_STEP, SLERP)
