"""A drawn stand-in for the learner's own pictures: ten kinds of things, no two pictures alike.

Every picture is drawn at `FINE` times its size and averaged down, so that edges are smooth. A thing is drawn in a
frame of its own: (0, 0) is its middle, 1 its half height, y points down; the pen turns, mirrors and places it.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable
from math import cos, pi, sin
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image, ImageDraw

from ..data import ImageData

FINE = 4
Colour = tuple[int, int, int]
Point = tuple[float, float]
WHITE, INK = (252, 250, 244), (46, 40, 52)


def drawn_data(n: int = 2000, size: int = 32, seed: int = 0) -> ImageData:
    """n drawn pictures, uint8 RGB (n, 3, size, size); the ten classes take turns, picture k depends on (seed, k) and size alone."""
    pictures = [np.asarray(draw(k % len(THINGS), size, Random(f"{seed}-{k}"))).transpose(2, 0, 1) for k in range(n)]
    images = torch.from_numpy(np.stack(pictures)) if pictures else torch.empty(0, 3, size, size, dtype=torch.uint8)
    return ImageData(images, torch.arange(n) % len(THINGS), tuple(THINGS), f"drawn by ddpm_course.classroom.drawn, seed {seed}")


def drawn_folder(folder: str | Path, n: int = 2000, size: int = 32, seed: int = 0) -> Path:
    """The pictures of `drawn_data` as PNG files, folder/<class>/<k>.png."""
    for name in THINGS:
        (Path(folder) / name).mkdir(parents=True, exist_ok=True)
    for k in range(n):
        name = list(THINGS)[k % len(THINGS)]
        draw(k % len(THINGS), size, Random(f"{seed}-{k}")).save(Path(folder) / name / f"{k:05d}.png")
    return Path(folder)


def draw(label: int, size: int, rng: Random) -> Image.Image:
    """One picture of class `label`, size x size."""
    side = size * FINE
    image = Image.new("RGB", (side, side))
    list(THINGS.values())[label](image, rng)
    return image.resize((size, size), Image.Resampling.BOX)


# --- tools --------------------------------------------------------------------------------------------------------


class Pen:
    """Filled shapes in the frame of one thing: `at` its middle and `scale` its half height, in shares of the picture."""

    def __init__(self, image: Image.Image, at: Point = (0.5, 0.5), scale: float = 0.5, tilt: float = 0.0, mirror: bool = False):
        self.draw, self.side = ImageDraw.Draw(image), image.width
        self.at, self.scale, self.cos, self.sin, self.sign = at, scale, cos(tilt), sin(tilt), -1 if mirror else 1

    def place(self, point: Point) -> Point:
        x, y = self.sign * point[0] * self.scale, point[1] * self.scale
        return ((self.at[0] + x * self.cos - y * self.sin) * self.side, (self.at[1] + x * self.sin + y * self.cos) * self.side)

    def shape(self, points: Iterable[Point], fill: Colour) -> None:
        self.draw.polygon([self.place(point) for point in points], fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour, turn: float = 0.0, arc: Point = (0, 2 * pi)) -> None:
        angles = [arc[0] + (arc[1] - arc[0]) * k / 36 for k in range(37)]
        ring = [(rx * cos(a), ry * sin(a)) for a in angles]
        self.shape([(x + u * cos(turn) - v * sin(turn), y + u * sin(turn) + v * cos(turn)) for u, v in ring], fill)

    def dot(self, x: float, y: float, r: float, fill: Colour) -> None:
        self.oval(x, y, r, r, fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def stroke(self, points: Iterable[Point], width: float, fill: Colour) -> None:
        placed = [self.place(point) for point in points]
        self.draw.line(placed, fill, max(1, round(width * self.scale * self.side)), joint="curve")


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """hue in turns (0 red, 1/3 green, 2/3 blue); saturation and value in [0, 1]."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return round(255 * r), round(255 * g), round(255 * b)


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, lighter above."""
    r, g, b = (min(255, round(part * factor)) for part in colour)
    return r, g, b


def bright(rng: Random, *hues: Point, value: float = 0.92) -> Colour:
    """A strong colour, its hue from one of the ranges given, or any."""
    low, high = rng.choice(hues) if hues else (0.0, 1.0)
    return hsv(rng.uniform(low, high), rng.uniform(0.6, 0.85), value * rng.uniform(0.92, 1.05))


def wash(image: Image.Image, top: Colour, bottom: Colour) -> None:
    """A vertical gradient over the whole picture."""
    share = np.linspace(0, 1, image.height)[:, None, None]
    rows = (1 - share) * np.array(top) + share * np.array(bottom)
    image.paste(Image.fromarray(np.broadcast_to(rows.round().astype(np.uint8), (image.height, image.width, 3)).copy()))


def sky(image: Image.Image, rng: Random, clouds: int = 2) -> None:
    """Day, morning, evening or dusk."""
    day = (hsv(rng.uniform(0.53, 0.58), 0.55, 0.95), hsv(0.53, 0.16, 1.0))
    morning = (hsv(0.55, 0.35, 0.95), hsv(rng.uniform(0.08, 0.13), 0.3, 1.0))
    evening = (hsv(rng.uniform(0.70, 0.78), 0.45, 0.72), hsv(rng.uniform(0.02, 0.07), 0.5, 1.0))
    wash(image, *rng.choice([day, day, morning, evening]))
    for _ in range(rng.randint(0, clouds)):
        cloud = Pen(image, (rng.uniform(0.05, 0.95), rng.uniform(0.06, 0.35)), rng.uniform(0.06, 0.1))
        for x, y, r in ((-1.1, 0.2, 0.7), (0, -0.2, 1.0), (1.1, 0.2, 0.7)):
            cloud.oval(x, y, r, 0.75 * r, WHITE)


def meadow(image: Image.Image, rng: Random, height: float = 0.25) -> None:
    """Two hills at the bottom."""
    hue, pen = rng.uniform(0.22, 0.36), Pen(image)
    pen.oval(rng.uniform(-0.9, 0.9), 1.7, 1.8, 0.7 + 2 * height, hsv(hue, 0.5, 0.66))
    pen.oval(rng.uniform(-0.6, 0.6), 1.9, 2.6, 0.85 + 2 * height, hsv(hue, 0.55, 0.78))


def jitter(rng: Random, x: float = 0.5, y: float = 0.5, by: float = 0.07) -> Point:
    return x + rng.uniform(-by, by), y + rng.uniform(-by, by)


# --- the ten things -----------------------------------------------------------------------------------------------


def balloon(image: Image.Image, rng: Random) -> None:
    sky(image, rng, clouds=3)
    pen = Pen(image, jitter(rng, 0.5, 0.5), rng.uniform(0.34, 0.44), rng.uniform(-0.12, 0.12))
    first = bright(rng)
    second = rng.choice([WHITE, bright(rng), hsv(0.13, 0.6, 1.0)])
    for x in (-0.3, 0.3):
        pen.stroke([(1.3 * x, 0.2), (0.6 * x, 0.8)], 0.05, INK)
    pen.shape([(-0.55, 0.1), (0.55, 0.1), (0.16, 0.52), (-0.16, 0.52)], shade(first, 0.85))
    pen.dot(0, -0.28, 0.72, first)
    pen.oval(0, -0.28, 0.42, 0.72, second)
    pen.shape([(-0.36, 0.12), (0.36, 0.12), (0.1, 0.52), (-0.1, 0.52)], second)
    pen.oval(0, -0.28, 0.16, 0.72, first)
    pen.shape([(-0.13, 0.15), (0.13, 0.15), (0.04, 0.52), (-0.04, 0.52)], first)
    pen.box(-0.2, 0.74, 0.2, 1.0, hsv(0.08, 0.6, 0.55))


def boat(image: Image.Image, rng: Random) -> None:
    sky(image, rng)
    sea, level = hsv(rng.uniform(0.5, 0.62), 0.65, 0.75), rng.uniform(0.62, 0.72)
    Pen(image, (0.5, level), 1.0).box(-0.5, 0, 0.5, 1, sea)
    pen = Pen(image, (0.5 + rng.uniform(-0.1, 0.1), level - 0.16), rng.uniform(0.36, 0.46), rng.uniform(-0.08, 0.08), rng.random() < 0.5)
    pen.stroke([(0, -0.95), (0, 0.4)], 0.07, hsv(0.07, 0.6, 0.4))
    pen.shape([(0.06, -0.9), (0.06, 0.25), (0.75, 0.25)], rng.choice([WHITE, bright(rng)]))
    if rng.random() < 0.7:
        pen.shape([(-0.08, -0.7), (-0.08, 0.25), (-0.6, 0.25)], rng.choice([WHITE, bright(rng)]))
    pen.shape([(-0.95, 0.36), (0.95, 0.36), (0.62, 0.76), (-0.66, 0.76)], bright(rng, (0.0, 0.1), (0.55, 0.7), value=0.75))
    pen.box(-0.95, 0.33, 0.95, 0.43, WHITE)
    for row in range(3):
        y, x = level + 0.07 + 0.09 * row, rng.uniform(-0.1, 0.3)
        for k in range(3):
            left = x + 0.35 * k
            Pen(image, (0, 0), 1.0).stroke([(left, y), (left + 0.06, y - 0.02), (left + 0.12, y)], 0.02, shade(sea, 1.25))


def butterfly(image: Image.Image, rng: Random) -> None:
    hue = rng.random()
    wash(image, hsv(hue, 0.14, 1.0), hsv(hue + 0.1, 0.3, 0.93))
    pen = Pen(image, jitter(rng), rng.uniform(0.36, 0.45), rng.uniform(-0.45, 0.45))
    wing = bright(rng, (hue + 0.3, hue + 0.7))
    lower, spot = rng.choice([wing, shade(wing, 0.75)]), rng.choice([WHITE, hsv(0.14, 0.6, 1.0), INK])
    spread = rng.uniform(0.85, 1.05)
    for side in (-1, 1):
        pen.oval(side * 0.5 * spread, 0.42, 0.4, 0.36, shade(lower, 0.8), side * 0.6)
        pen.oval(side * 0.48 * spread, 0.4, 0.3, 0.26, lower, side * 0.6)
        pen.oval(side * 0.55 * spread, -0.32, 0.56, 0.42, shade(wing, 0.75), side * -0.6)
        pen.oval(side * 0.53 * spread, -0.3, 0.46, 0.32, wing, side * -0.6)
        pen.dot(side * 0.62 * spread, -0.38, 0.14, spot)
        pen.dot(side * 0.5 * spread, 0.42, 0.1, spot)
        pen.stroke([(0, -0.55), (side * 0.24, -0.95)], 0.06, INK)
    pen.oval(0, 0, 0.1, 0.62, INK)


def cat(image: Image.Image, rng: Random) -> None:
    hue = rng.random()
    wash(image, hsv(hue, 0.3, 0.95), hsv(hue + 0.06, 0.45, 0.85))
    pen = Pen(image, jitter(rng, 0.5, 0.54, 0.05), rng.uniform(0.36, 0.44), rng.uniform(-0.2, 0.2))
    fur = rng.choice([(88, 82, 90), (232, 152, 72), (244, 232, 214), (150, 108, 78), (168, 172, 184), (58, 52, 60)])
    dark, inner = shade(fur, 0.72), (240, 160, 165)
    for side in (-1, 1):
        pen.shape([(side * 0.88, -0.95), (side * 0.92, 0.0), (side * 0.18, -0.55)], fur)
        pen.shape([(side * 0.78, -0.72), (side * 0.78, -0.2), (side * 0.36, -0.5)], inner)
    pen.oval(0, 0.12, 0.98, 0.84, fur)
    if rng.random() < 0.6:
        for x in (-0.25, 0, 0.25):
            pen.stroke([(x, -0.66), (0.7 * x, -0.3)], 0.1, dark)
    pen.oval(0, 0.52, 0.46, 0.32, shade(fur, 1.35) if sum(fur) < 600 else WHITE)
    iris = rng.choice([(120, 200, 90), (245, 205, 70), (90, 180, 225)])
    for side in (-1, 1):
        pen.oval(side * 0.42, -0.02, 0.23, 0.25, iris)
        pen.oval(side * 0.42, 0.0, 0.1, 0.2, INK)
        for y in (0.42, 0.62):
            pen.stroke([(side * 0.42, 0.48), (side * 1.02, y - 0.06)], 0.035, WHITE if sum(fur) < 500 else INK)
    pen.shape([(-0.13, 0.32), (0.13, 0.32), (0, 0.48)], (235, 120, 130))
    pen.stroke([(-0.24, 0.52), (-0.12, 0.64), (0, 0.52), (0.12, 0.64), (0.24, 0.52)], 0.06, INK)


def fish(image: Image.Image, rng: Random) -> None:
    hue = rng.uniform(0.47, 0.62)
    wash(image, hsv(hue, 0.4, 0.95), hsv(hue + 0.05, 0.75, 0.62))
    if rng.random() < 0.5:
        Pen(image).oval(rng.uniform(-0.5, 0.5), 1.15, 1.6, 0.4, hsv(0.12, 0.4, 0.9))
    if rng.random() < 0.6:
        x = rng.choice([-0.75, 0.75])
        for shift in (-0.12, 0.08):
            leaf = [(x + shift + 0.08 * sin(4 * k / 5 + 9 * shift), 1 - 0.16 * k) for k in range(6)]
            Pen(image).stroke(leaf, 0.09, hsv(0.38, 0.65, 0.55))
    mirror = rng.random() < 0.5
    pen = Pen(image, jitter(rng, by=0.08), rng.uniform(0.36, 0.44), rng.uniform(-0.25, 0.25), mirror)
    body = bright(rng, (0.93, 1.15), (0.75, 0.9))
    fin = shade(body, 0.78)
    pen.shape([(-0.5, 0), (-1.05, -0.5), (-0.9, 0), (-1.05, 0.5)], fin)
    pen.shape([(-0.35, -0.35), (0.05, -0.85), (0.4, -0.4)], fin)
    pen.shape([(-0.15, 0.35), (-0.1, 0.75), (0.25, 0.4)], fin)
    height = rng.uniform(0.46, 0.62)
    pen.oval(0.12, 0, 0.8, height, body)
    if rng.random() < 0.6:
        stripe = rng.choice([WHITE, hsv(0.13, 0.55, 1.0), shade(body, 0.65)])
        for x, reach in ((-0.2, 0.86), (0.16, 0.94)):
            pen.shape([(x - 0.09, -height * reach), (x + 0.09, -height * reach), (x + 0.13, 0), (x + 0.09, height * reach),
                       (x - 0.09, height * reach), (x - 0.03, 0)], stripe)
    pen.dot(0.56, -0.14, 0.16, WHITE)
    pen.dot(0.6, -0.14, 0.09, INK)
    pen.stroke([(0.9, 0.16), (0.68, 0.2)], 0.06, INK)
    for k in range(rng.randint(1, 3)):
        x = pen.at[0] + (-0.42 if mirror else 0.42) + rng.uniform(-0.03, 0.03)
        Pen(image, (x, pen.at[1] - 0.1 - 0.12 * k), rng.uniform(0.02, 0.04)).dot(0, 0, 1, hsv(0.52, 0.15, 1.0))


def flower(image: Image.Image, rng: Random) -> None:
    if rng.random() < 0.5:
        sky(image, rng, clouds=1)
        meadow(image, rng, 0.14)
    else:
        hue = rng.uniform(0.1, 0.6)
        wash(image, hsv(hue, 0.12, 1.0), hsv(hue, 0.3, 0.92))
    x, y = jitter(rng, 0.5, 0.38, 0.07)
    green, bend = hsv(rng.uniform(0.27, 0.38), 0.65, 0.55), rng.uniform(-0.1, 0.1)
    frame = Pen(image, (x, y), 1.0)
    frame.stroke([(bend * (k / 6) ** 2, 0.7 * k / 6) for k in range(7)], 0.045, green)
    for side in (-1, 1):
        frame.oval(side * 0.13 + bend * 0.3, 0.36 + side * 0.04, 0.14, 0.06, green, -side * 0.5)
    pen = Pen(image, (x, y), rng.uniform(0.27, 0.34), rng.uniform(0, 2))
    petal, count = bright(rng, (0.72, 1.15), (0.58, 0.7)), rng.randint(5, 8)
    if rng.random() < 0.2:
        petal = WHITE
    for k in range(count):
        angle = 2 * pi * k / count
        tone = petal if k % 2 else shade(petal, 0.9)
        pen.oval(0.6 * cos(angle), 0.6 * sin(angle), 0.42, 1.75 / count, tone, angle)
    pen.dot(0, 0, 0.32, hsv(rng.uniform(0.1, 0.15), 0.75, 1.0) if petal[2] > 90 or petal == WHITE else hsv(0.07, 0.7, 0.4))


def house(image: Image.Image, rng: Random) -> None:
    sky(image, rng)
    meadow(image, rng, rng.uniform(0.1, 0.22))
    pen = Pen(image, jitter(rng, 0.5, 0.53, 0.06), rng.uniform(0.34, 0.42), mirror=rng.random() < 0.5)
    wall = hsv(rng.choice([0.1, 0.13, 0.02, 0.55, 0.95]), rng.uniform(0.1, 0.35), rng.uniform(0.9, 1.0))
    roof = bright(rng, (0.97, 1.06), (0.55, 0.62), (0.75, 0.8), value=0.72)
    door, glass = bright(rng, value=0.6), rng.choice([hsv(0.14, 0.5, 1.0), hsv(0.55, 0.4, 0.95)])
    wide, top = rng.uniform(0.72, 0.95), rng.uniform(-0.2, 0.0)
    pen.box(0.32, -0.95, 0.55, -0.3, shade(roof, 0.75))
    pen.box(-wide, top, wide, 0.95, wall)
    pen.box(0.72 * wide, top, wide, 0.95, shade(wall, 0.9))
    pen.shape([(-wide - 0.18, top + 0.06), (0, -0.98), (wide + 0.18, top + 0.06)], roof)
    pen.box(-0.62 * wide - 0.14, 0.36, -0.62 * wide + 0.3, 0.95, door)
    for x in (0.42 * wide,) if rng.random() < 0.6 else (0.12 * wide, 0.68 * wide):
        reach = 0.24 if x == 0.42 * wide else 0.17
        pen.box(x - reach, 0.3, x + reach, 0.66, WHITE)
        pen.box(x - reach + 0.06, 0.36, x + reach - 0.06, 0.6, glass)
    if rng.random() < 0.5:
        pen.dot(0, -0.38, 0.16, glass)


def mushroom(image: Image.Image, rng: Random) -> None:
    hue = rng.choice([0.3, 0.42, 0.12])
    wash(image, hsv(hue, 0.2, 0.95), hsv(hue, 0.45, 0.7))
    Pen(image).oval(rng.uniform(-0.4, 0.4), 1.3, 1.9, rng.uniform(0.65, 0.85), hsv(rng.uniform(0.24, 0.34), 0.6, 0.5))
    pen = Pen(image, jitter(rng, 0.5, 0.54, 0.06), rng.uniform(0.36, 0.44), rng.uniform(-0.12, 0.12))
    cap = bright(rng, (0.96, 1.03), (0.96, 1.03), (0.05, 0.11), (0.72, 0.8), value=0.85)
    slim = rng.uniform(0.2, 0.32)
    pen.shape([(-slim, -0.1), (slim, -0.1), (slim + 0.12, 0.92), (-slim - 0.12, 0.92)], hsv(0.1, 0.12, 0.96))
    pen.shape([(slim * 0.4, -0.1), (slim, -0.1), (slim + 0.12, 0.92), (slim * 0.6, 0.92)], hsv(0.1, 0.2, 0.84))
    pen.oval(0, 0.02, 0.86, 0.2, hsv(0.09, 0.25, 0.82))
    tall = rng.uniform(0.75, 1.0)
    pen.oval(0, 0.02, 0.95, tall, cap, arc=(pi, 2 * pi))
    for x, y, r in ((-0.52, -0.28, 0.14), (-0.08, -0.62, 0.17), (0.4, -0.4, 0.15), (0.02, -0.2, 0.11), (0.68, -0.12, 0.1)):
        pen.oval(x, y * tall, r, 0.85 * r, WHITE)


def sun(image: Image.Image, rng: Random) -> None:
    sky(image, rng, clouds=1)
    if rng.random() < 0.6:
        meadow(image, rng, rng.uniform(0.0, 0.12))
    pen = Pen(image, jitter(rng, 0.5, 0.46, 0.1), rng.uniform(0.34, 0.44), rng.uniform(0, 1))
    disc, count = hsv(rng.uniform(0.09, 0.155), rng.uniform(0.65, 0.8), 1.0), rng.randint(8, 13)
    for k in range(count):
        angle, half = 2 * pi * k / count, 1.9 / count
        tip, left, right = ((r * cos(angle + a), r * sin(angle + a)) for r, a in ((1.0, 0), (0.62, half), (0.62, -half)))
        pen.shape([tip, left, right], hsv(0.09, 0.75, 1.0))
    pen.dot(0, 0, 0.62, disc)
    face = Pen(image, pen.at, pen.scale)
    for side in (-1, 1):
        face.dot(side * 0.22, -0.1, 0.08, INK)
        face.dot(side * 0.38, 0.12, 0.1, (250, 150, 110))
    face.stroke([(0.24 * cos(a), 0.08 + 0.2 * sin(a)) for a in (0.3, 0.8, 1.3, pi - 1.3, pi - 0.8, pi - 0.3)], 0.07, INK)


def tree(image: Image.Image, rng: Random) -> None:
    sky(image, rng)
    meadow(image, rng, rng.uniform(0.05, 0.18))
    pen = Pen(image, jitter(rng, 0.5, 0.5, 0.06), rng.uniform(0.38, 0.46))
    hue = rng.choice([rng.uniform(0.25, 0.4), rng.uniform(0.25, 0.4), rng.uniform(0.02, 0.1), 0.93])
    leaf = hsv(hue, 0.45 if hue == 0.93 else 0.68, 0.95 if hue == 0.93 else 0.72 if hue > 0.2 else 0.9)
    pen.shape([(-0.12, 0.0), (0.12, 0.0), (0.2, 0.98), (-0.2, 0.98)], hsv(0.07, 0.55, 0.42))
    if rng.random() < 0.35:
        green = hsv(rng.uniform(0.33, 0.45), 0.6, 0.55)
        for k, (top, bottom, wide) in enumerate(((-0.1, 0.7, 0.78), (-0.55, 0.28, 0.62), (-1.0, -0.15, 0.45))):
            pen.shape([(0, top), (wide, bottom), (-wide, bottom)], shade(green, 0.85 + 0.16 * k))
        return
    crowns = [(-0.4, -0.1, 0.44), (0.4, -0.1, 0.44), (0.0, -0.48, 0.5)]
    for x, y, r in crowns:
        pen.dot(x, y + 0.06, r, shade(leaf, 0.82))
    for x, y, r in crowns:
        pen.dot(x - 0.06, y - 0.04, 0.84 * r, leaf)
    if hue > 0.2 and hue != 0.93 and rng.random() < 0.5:
        fruit = rng.choice([(225, 60, 50), (250, 190, 60)])
        for x, y in ((-0.5, 0.02), (0.1, -0.15), (-0.1, -0.6), (0.5, -0.2), (0.28, -0.55)):
            pen.dot(x, y, 0.1, fruit)


THINGS: dict[str, Callable[[Image.Image, Random], None]] = {  # by name, as folders are read
    "balloon": balloon, "boat": boat, "butterfly": butterfly, "cat": cat, "fish": fish,
    "flower": flower, "house": house, "mushroom": mushroom, "sun": sun, "tree": tree,
}
