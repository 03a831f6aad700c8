"""Pictures in one style: colour-blind-safe, labelled, on a light ground that stays legible in dark mode.

Each function returns a `Picture`, a matplotlib Figure that shows itself once and carries a sentence for those
who cannot see it. pyplot is not used, so nothing is shown twice and nothing is left open.
"""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Rectangle

from .display import DRAWING, bundle
from .viewer import pixels, png

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito: told apart by everyone
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))  # and without colour
MARKERS = ("o", "^", "s", "D", "v", "P")
INK, GRID = "#222222", "#DDDDDD"
DPI, WIDTH = 100, 720
# matplotlib's own font has no Chinese, Japanese or Korean; after it the machine's is asked, so that all kinds can be named.
WIDE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Arial Unicode MS", "Hiragino Sans GB",
              "Microsoft YaHei", "Malgun Gothic")
FAMILY = ["DejaVu Sans", *(name for name in WIDE_FONTS if name in {font.name for font in font_manager.fontManager.ttflist})]
STYLE: Any = {
    "font.family": FAMILY,
    "figure.dpi": DPI, "savefig.dpi": DPI, "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white",
    "font.size": 10, "axes.titlesize": 10, "axes.labelsize": 10, "figure.titlesize": 11, "text.color": INK, "axes.labelcolor": INK,
    "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": GRID, "grid.linewidth": 0.8, "lines.linewidth": 2,
    "legend.framealpha": 0.9, "legend.edgecolor": "white", "axes.prop_cycle": cycler(color=COLOURS),
}
Given = ParamSpec("Given")


def _styled(draw: Callable[Given, Picture]) -> Callable[Given, Picture]:
    """Draw in this style, and while nothing else is drawn."""
    @functools.wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> Picture:
        with DRAWING, matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


class Picture(Figure):
    """A Figure with `alt`, the sentence that says what is to be seen."""

    alt: str = ""

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        return bundle(self.alt, png=png(self))


@_styled
def digit_grid(images, row_labels: Sequence[object] | None = None, column_labels: Sequence[object] | None = None,
               title: str | None = None, *, columns: int = 10, limits: tuple[float, float] = (-1.0, 1.0),
               alt: str | None = None) -> Picture:
    """A grid of images, each pixel a whole number of screen pixels.

    images: (rows, columns, C, H, W), or (N, C, H, W) or a list of (C, H, W), laid out row by row in `columns`;
    uint8, or float with `limits` as black and white.
    """
    tiles = [pixels(image, limits) for row in images for image in (row if getattr(row, "ndim", 3) == 4 else [row])]
    if getattr(images, "ndim", 0) == 5:
        columns = images.shape[1]
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    for labels, count, what in ((row_labels, rows, "row"), (column_labels, columns, "column")):
        if labels is not None and len(labels) != count:
            raise ValueError(f"{len(labels)} {what} labels for {count} {what}s of images: give one for each.")
    height, width = tiles[0].shape[:2]
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * (height + 1), i % columns * (width + 1)
        canvas[y : y + height, x : x + width] = tile if tile.ndim == 3 else tile[..., None]
    zoom = max(1, min(5 if rows <= 2 else 3, WIDTH // canvas.shape[1]))
    left = 14 + max((8 * len(str(label)) + 4 for label in row_labels or []), default=-8)
    top = 6 + 22 * (column_labels is not None) + 26 * (title is not None)
    figure, (axes,) = _exact([(canvas.shape[1] * zoom, canvas.shape[0] * zoom)], left, top)
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    axes.set_xticks(np.arange(columns) * (width + 1) + (width - 1) / 2, map(str, column_labels or [""] * columns))
    longest = max(len(str(label)) for label in column_labels or [""])
    axes.tick_params(axis="x", labelsize=10 if 9 * longest < (width + 1) * zoom else 8)  # else neighbours would touch
    axes.set_yticks(np.arange(rows) * (height + 1) + (height - 1) / 2, map(str, row_labels or [""] * rows))
    if title is not None:
        figure.text(0.5, 1 - 8 / (figure.get_figheight() * DPI), title, ha="center", va="top", fontsize=11)
    figure.alt = alt or " ".join(filter(None, [
        f"{title}:" if title else "", f"{len(tiles)} images in {rows} row{'s' * (rows > 1)} of {columns}.",
        f"Rows: {_listed(row_labels)}." if row_labels is not None else "",
        f"Columns: {_listed(column_labels)}." if column_labels is not None else "",
    ]))
    return figure


def strip(images, titles: Sequence[object] | None = None, title: str | None = None, **more: Any) -> Picture:
    """One row of images, a word above each. More options as for `digit_grid`."""
    return digit_grid(images, column_labels=titles, title=title, columns=len(images), **more)


@_styled
def histograms(values: Mapping[str, Any], images: Sequence[Any] | None = None, *, xlabel: str = "pixel value", normal: bool = True,
               span: float = 4.0, top: float = 1.0, title: str | None = None, alt: str | None = None) -> Picture:
    """A histogram for each name, side by side on the same axes; above each its image, if given.

    values: {name: numbers}. normal: draw the density of N(0, 1) over each. Bars higher than `top` are cut.
    """
    figure, grid = _figure(min(7.2, 0.5 + 1.7 * len(values)), 1.9 + 1.4 * (images is not None), len(values), 1 + (images is not None))
    bins = np.linspace(-span, span, 49)
    line = np.linspace(-span, span, 200)
    for i, (name, numbers) in enumerate(values.items()):
        if images is not None:
            grid[0][i].imshow(pixels(images[i]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            grid[0][i].set_axis_off()
        axes = grid[-1][i]
        axes.hist(np.clip(_array(numbers).ravel(), -span, span), bins=bins, density=True, color=COLOURS[0])
        if normal:
            axes.plot(line, np.exp(-(line**2) / 2) / math.sqrt(2 * math.pi), color=COLOURS[1], linewidth=1.5,
                      label="N(0, 1)" if i == len(values) - 1 else None)
        axes.set(xlim=(-span, span), ylim=(0, top), xlabel=xlabel, xticks=[-span / 2, 0, span / 2])
        grid[0][i].set_title(name)
        if i:
            axes.set_yticklabels([])
    grid[-1][0].set_ylabel("density")
    if normal:
        grid[-1][-1].legend(loc="upper right", handlelength=1.2, fontsize=8)
    moments = "; ".join(f"{name}: mean {_array(v).mean():.2f}, standard deviation {_array(v).std():.2f}" for name, v in values.items())
    return _finish(figure, title, alt or f"Histograms of the {xlabel}. {moments}.")


@_styled
def curves(x, ys: Mapping[str, Any], xlabel: str, ylabel: str, points: Mapping[str, tuple[Any, Any]] | None = None, *,
           log: str = "", ticks: tuple[Sequence[float], Sequence[float]] = ((), ()), ylim: tuple[float, float] | None = None,
           smooth: int = 1, images: Mapping[str, Any] | None = None, title: str | None = None, alt: str | None = None) -> Picture:
    """Curves over x, and measured points: those that bear a curve's name get its colour.

    x: numbers, or {name: numbers} where curves have their own. log: "x", "y" or "xy" for logarithmic axes.
    ticks: the numbers that stand on the x axis, and on the y axis; none given, matplotlib chooses.
    smooth: each curve shows the means of so many values in turn, where the last of them stands.
    images: {title: image, or (N, C, H, W) as a square of images}, shown to the right, one above the other.
    """
    if smooth > 1:
        x = {name: _array(x[name] if isinstance(x, Mapping) else x)[smooth - 1 :: smooth] for name in ys}
        ys = {name: _array(y)[: len(y) // smooth * smooth].reshape(-1, smooth).mean(1) for name, y in ys.items()}
    if images:
        figure, grid = _figure(7.2, 3.4, 2, len(images), width_ratios=[3, 1])
        for panel, (name, image) in zip(grid[:, 1], images.items(), strict=True):
            panel.imshow(_tiled(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            panel.set_title(name)
            panel.set_axis_off()
        for panel in grid[1:, 0]:
            panel.remove()
        grid[0, 0].set_subplotspec(grid[0, 0].get_gridspec()[:, 0])
    else:
        figure, grid = _figure(6.4, 3.6)
    axes, names = grid[0][0], [*ys, *(name for name in points or {} if name not in ys)]
    look = {name: (COLOURS[i % len(COLOURS)], LINES[i % len(LINES)]) for i, name in enumerate(names)}
    for name, y in ys.items():
        axes.plot(_array(x[name] if isinstance(x, Mapping) else x), _array(y), color=look[name][0], linestyle=look[name][1], label=name)
    for name, (px, py) in (points or {}).items():
        label = f"{name}, measured" if name in ys else name
        axes.plot(_array(px), _array(py), "o", color=look[name][0], markeredgecolor="white", markersize=6, label=label)
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if "x" in log else "linear", yscale="log" if "y" in log else "linear")
    for axis, numbers in zip((axes.xaxis, axes.yaxis), ticks, strict=True):
        if len(numbers):
            axis.set_ticks(numbers, [f"{number:g}" for number in numbers])
            axis.set_ticks([], minor=True)
    if ylim:
        axes.set_ylim(*ylim)
    if len(names) > 1 or points:
        axes.legend()
    ends = "; ".join(f"{name} goes from {_array(y)[0]:.3g} to {_array(y)[-1]:.3g}" for name, y in ys.items())
    return _finish(figure, title, alt or f"{ylabel} over {xlabel}. {ends}.")


@_styled
def plane(points: Mapping[str, Any] | None = None, arrows: tuple[Any, Any] | None = None, paths: Any = None, *,
          grounds: Sequence[str] = (), shares: Mapping[str, Any] | None = None, span: float = 1.6,
          panels: Sequence[Mapping[str, Any]] | None = None, titles: Sequence[str] | None = None, alt: str | None = None) -> Picture:
    """Points, arrows and paths in two dimensions, on square axes from -span to span.

    points: {name: (N, 2)}, drawn in this order; those named in `grounds` are small and pale, a ground for the others.
    shares: {name: (N,) in 0 to 1}: the area of a point of that name grows with its share; 0 is a small dot.
    arrows: (from, to), both (N, 2). paths: (steps, N, 2), N lines that end in a dot.
    panels: several such pictures side by side, each a dict of points, shares, arrows and paths; then titles, one for each.
    """
    panels = panels if panels is not None else [dict(points=points or {}, shares=shares, arrows=arrows, paths=paths)]
    side = (7.2 - 0.7) / len(panels) - 0.15  # of one of several panels, in inches
    figure, grid = _figure(*((4.4, 4.4) if len(panels) == 1 else (7.2, side + 0.95 + 0.2 * (titles is not None))), len(panels))
    names = list(dict.fromkeys(name for panel in panels for name in panel.get("points") or {}))
    front = [name for name in names if name not in grounds]
    for i, (axes, panel) in enumerate(zip(grid[0], panels, strict=True)):
        for name, xy in (panel.get("points") or {}).items():
            xy = _array(xy).reshape(-1, 2)
            if name in grounds:
                axes.scatter(xy[:, 0], xy[:, 1], s=6, color="#BBBBBB", label=name)
            else:
                k = front.index(name) % len(COLOURS)
                share = (panel.get("shares") or {}).get(name)
                area = (26 if len(xy) < 200 else 8) if share is None else 10 + 400 * _array(share)
                axes.scatter(xy[:, 0], xy[:, 1], s=area, color=COLOURS[k], marker=MARKERS[k], edgecolor="white",
                             linewidth=0.4, label=name, zorder=3)
        if panel.get("arrows") is not None:
            a, b = (_array(end).reshape(-1, 2) for end in panel["arrows"])
            axes.quiver(a[:, 0], a[:, 1], b[:, 0] - a[:, 0], b[:, 1] - a[:, 1], angles="xy", scale_units="xy", scale=1,
                        color=INK, alpha=0.75, width=0.005, zorder=2)
        if panel.get("paths") is not None:
            lines = _array(panel["paths"])
            axes.plot(lines[..., 0], lines[..., 1], color=COLOURS[0], linewidth=0.8, alpha=0.6, zorder=2)
            axes.scatter(lines[-1, :, 0], lines[-1, :, 1], s=16, color=COLOURS[0], edgecolor="white", linewidth=0.4, zorder=4)
        axes.set(xlim=(-span, span), ylim=(-span, span), aspect="equal", xlabel="first coordinate" if len(panels) < 4 else None)
        if i:
            axes.set_yticklabels([])
        if titles is not None:
            axes.set_title(titles[i])
    grid[0][0].set_ylabel("second coordinate" if len(panels) < 4 else "")
    if names:
        handles = {label: handle for axes in grid[0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    counts = ", ".join(f"{len(_array(xy).reshape(-1, 2))} {name}" for panel in panels for name, xy in (panel.get("points") or {}).items())
    return _finish(figure, None, alt or f"Points in two dimensions: {counts}.")


@_styled
def bars(values: Mapping[str, float], ylabel: str, *, spread: Mapping[str, tuple[float, float]] | None = None,
         title: str | None = None, alt: str | None = None) -> Picture:
    """A bar for each name, its value written above. spread: {name: (low, high)}, drawn as a line on the bar."""
    figure, grid = _figure(min(7.2, 1.2 + 1.1 * len(values)), 3.0)
    axes, heights = grid[0][0], [float(value) for value in values.values()]
    axes.bar(range(len(values)), heights, color=COLOURS[0], width=0.65)
    for i, (name, height) in enumerate(zip(values, heights, strict=True)):
        low, high = (spread or {}).get(name, (height, height))
        if spread and name in spread:
            axes.plot([i, i], [low, high], color=INK, linewidth=1.5, marker="_", markersize=8)
        axes.annotate(f"{height:.3g}", (i, max(height, high)), ha="center", va="bottom", textcoords="offset points", xytext=(0, 2))
    axes.set_xticks(range(len(values)), [textwrap.fill(str(name), 14) for name in values])
    axes.set_ylabel(ylabel)
    axes.margins(y=0.12)
    axes.grid(axis="x", visible=False)
    listed = "; ".join(f"{name} {height:.3g}" for name, height in zip(values, heights, strict=True))
    return _finish(figure, title, alt or f"{ylabel}: {listed}.")


@_styled
def lanes(rows: Mapping[str, Mapping[str, Sequence[tuple[float, float, str]]]], xlabel: str, *, alt: str | None = None) -> Picture:
    """What went on when: panels one above the other on the same axis, each with lanes of bars.

    rows: {panel: {lane: [(start, length, what), ...]}}. Bars of one `what` have one colour and one hatching.
    """
    figure, grid = _figure(7.2, 0.5 + 1.15 * len(rows), 1, len(rows), sharex=True)
    kinds = list(dict.fromkeys(what for panel in rows.values() for bars in panel.values() for *_, what in bars))
    for axes, (title, panel) in zip(grid[:, 0], rows.items(), strict=True):
        for y, bars in enumerate(panel.values()):
            for k, kind in enumerate(kinds):
                if spans := [(start, length) for start, length, what in bars if what == kind]:
                    axes.broken_barh(spans, (y - 0.38, 0.76), color=COLOURS[k % len(COLOURS)], hatch=("", "//", "", "xx")[k % 4],
                                     edgecolor="white", linewidth=0.3, label=kind)
        axes.set_yticks(range(len(panel)), panel)
        axes.set(title=title, ylim=(len(panel) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
    grid[-1, 0].set_xlabel(xlabel)
    handles = {label: handle for axes in grid[:, 0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend([handles[kind] for kind in kinds], kinds, loc="outside lower center", ncols=len(kinds))
    listed = "; ".join(f"{title}: {_listed(list(panel))}" for title, panel in rows.items())
    return _finish(figure, None, alt or f"What went on when: {listed}.")


@_styled
def heat(matrix, xlabel: str, ylabel: str, label: str, *, extent: tuple[float, float, float, float] | None = None,
         limits: tuple[float, float] | None = None, names: Sequence[object] | None = None, title: str | None = None,
         alt: str | None = None) -> Picture:
    """A matrix (rows, columns) as colours, row 0 at the bottom. extent: (left, right, bottom, top) in units of the axes.

    names: of the rows and the columns of a square matrix; then row 0 stands at the top. label: what the colours mean.
    limits: the values at the ends of the colour bar; around 0, blue and red diverge.
    """
    figure, grid = _figure(6.4, 3.6)
    array = _array(matrix)
    low, high = limits or (float(array.min()), float(array.max()))
    shown = grid[0][0].imshow(array, origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high, interpolation="nearest",
                              cmap="cividis" if low >= 0 or high <= 0 else "RdBu_r")
    grid[0][0].set(xlabel=xlabel, ylabel=ylabel)
    grid[0][0].grid(False)
    if names is not None:
        grid[0][0].set_xticks(range(len(array)), map(str, names), rotation=40, ha="right")
        grid[0][0].set_yticks(range(len(array)), map(str, names))
        grid[0][0].invert_yaxis()
    figure.colorbar(shown, ax=grid[0][0], label=label)
    return _finish(figure, title, alt or f"{label} over {xlabel} and {ylabel}, from {array.min():.3g} to {array.max():.3g}.")


@_styled
def board(rows: Mapping[str, Mapping[str, tuple[str, bool]]], *, alt: str | None = None) -> Picture:
    """A table as a picture: {row: {column: (words, marked)}}. Marked fields are dark, so that they are seen from afar."""
    columns = [*next(iter(rows.values()))]
    figure, grid = _figure(7.2, 1.2 + 0.34 * len(rows))
    axes = grid[0][0]
    for i, fields in enumerate(rows.values()):
        for j, (words, marked) in enumerate(fields[column] for column in columns):
            axes.add_patch(Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, color="#B34A00" if marked else "#EEF3F6"))
            axes.text(j, i, words, ha="center", va="center", fontsize=9, **(dict(color="white", weight="bold") if marked else {}))
    axes.set_xticks(range(len(columns)), [column.replace(" ", "\n") for column in columns], fontsize=9)
    axes.set_yticks(range(len(rows)), [*rows])
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    marks = "; ".join(f"{row}: {_listed([column for column in columns if fields[column][1]]) or 'none'}" for row, fields in rows.items())
    return _finish(figure, None, alt or f"A table of {len(rows)} rows and {len(columns)} columns. Marked: {marks}.")


@_styled
def ladder(rungs: Sequence[tuple[str, tuple[int, int], float]], skips: Sequence[tuple[int, int]] = (), *,
           ends: tuple[Any, Any] | None = None, alt: str | None = None) -> Picture:
    """A network as a ladder: a box for each part, as high as its maps and as wide as its channels are many; below, its cost.

    rungs: (name, (channels, side), multiply-adds) in the order of the forward pass; smaller maps stand lower. skips: (from, to)
    as positions in rungs. ends: the image that goes in and the one that comes out, drawn on the level of their size.
    """
    figure = Picture(figsize=(7.2, 4.2), layout="constrained")
    rows = figure.add_gridspec(4, 1)
    axes, below = figure.add_subplot(rows[:3]), figure.add_subplot(rows[3])
    images = [pixels(image) for image in ends or ()]
    sides = sorted({*(side for _, (_, side), _ in rungs), *(image.shape[0] for image in images)}, reverse=True)
    tall = {side: 0.3 + 0.7 * side / sides[0] for side in sides}
    level = {side: -1.15 * i for i, side in enumerate(sides)}
    widest, last = max(channels for _, (channels, _), _ in rungs), len(rungs)
    for side in sides:
        axes.text(-2.0, level[side], f"{side} × {side}", ha="right", va="center", fontsize=9)
        axes.axhline(level[side], color=GRID, linewidth=0.8, zorder=0)
    for i, (_, (channels, side), _) in enumerate(rungs):
        width = 0.34 + 0.46 * channels / widest
        corner = (i - width / 2, level[side] - tall[side] / 2)
        axes.add_patch(Rectangle(corner, width, tall[side], facecolor="#BFE3F7", edgecolor=INK))
        axes.text(i, level[side], str(channels), ha="center", va="center", fontsize=8)
    for k, (start, end) in enumerate(sorted(skips, key=lambda pair: pair[1] - pair[0])):
        feet = [level[side] + tall[side] / 2 for side in (rungs[start][1][1], rungs[end][1][1])]
        y = max(feet) + 0.1 + 0.09 * (k % 2)
        axes.plot([start, start, end, end], [feet[0], y, y, feet[1]], color=COLOURS[1], linestyle="--", linewidth=1.2)
    for x, image in zip((-1, last), images, strict=False):
        zoom = max(1, 56 // image.shape[0]) * 72 / DPI  # whole screen pixels
        shown = OffsetImage(image, zoom=zoom, cmap="gray", norm=Normalize(0, 255), interpolation="nearest")
        axes.add_artist(AnnotationBbox(shown, (x, level[image.shape[0]]), frameon=False))
    costs = [cost / 1e6 for *_, cost in rungs]
    below.bar(range(last), costs, color=COLOURS[0], width=0.7)
    for i, cost in enumerate(costs):
        below.annotate(f"{cost:.2g}", (i, cost), ha="center", va="bottom", fontsize=8)
    below.set_xticks(range(last), [name.replace(" ", "\n") for name, *_ in rungs], fontsize=8)
    below.set(ylabel="million\nmultiply-adds", ylim=(0, 1.3 * max(costs)))
    below.grid(axis="x", visible=False)
    for panel in (axes, below):
        panel.set_xlim(-3.0, last + 0.8)
    axes.set_axis_off()
    axes.set_ylim(level[sides[-1]] - 0.6, 0.75)
    parts = ", ".join(f"{name} {channels} x {side} x {side}" for name, (channels, side), _ in rungs)
    across = f"{len(skips)} {'skip leads' if len(skips) == 1 else 'skips lead'} across"
    return _finish(figure, None, alt or f"A network as a ladder of {last} parts: {parts}. "
                   f"{across}. Together {sum(costs):.3g} million multiply-adds.")


@_styled
def sheet(tiles: Sequence[np.ndarray], captions: Sequence[str], per_row: int) -> Picture:
    """Pictures of one size (uint8 H, W, 3) with a caption under each: the film strip that stands in for a viewer."""
    height, width = tiles[0].shape[:2]
    scale = min(1.0, (WIDTH - 10) / per_row / width)
    cell = (max(60, round(width * scale)), round(height * scale))
    wrapped = [textwrap.fill(caption, max(8, cell[0] // 6)) for caption in captions]
    below = 8 + 14 * (1 + max(text.count("\n") for text in wrapped))
    figure, grid = _exact([cell] * len(tiles), 6, 6, per_row, below)
    for axes, tile, caption in zip(grid, tiles, wrapped, strict=True):
        axes.imshow(tile, interpolation="nearest" if scale == 1 else "antialiased", aspect="auto")
        axes.set_xlabel(caption, fontsize=8, labelpad=3)
        axes.set(xticks=[], yticks=[])
    return figure


def _exact(cells: Sequence[tuple[int, int]], left: int, top: int, per_row: int = 1, below: int = 0) -> tuple[Picture, list[Axes]]:
    """Bare axes of exact sizes in screen pixels, row by row."""
    (w, h), rows = cells[0], math.ceil(len(cells) / per_row)
    width, height = left + per_row * (w + 6), top + rows * (h + below) + 6
    figure = Picture(figsize=(width / DPI, height / DPI))
    boxes = []
    for i in range(len(cells)):
        x, y = left + i % per_row * (w + 6), height - top - i // per_row * (h + below) - h
        axes = figure.add_axes((x / width, y / height, w / width, h / height))
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        boxes.append(axes)
    return figure, boxes


def _figure(width: float, height: float, columns: int = 1, rows: int = 1, **more: Any) -> tuple[Picture, Any]:
    figure = Picture(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **more)


def _finish(figure: Picture, title: str | None, alt: str) -> Picture:
    if title:
        figure.suptitle(title)
    figure.alt = f"{title}. {alt}" if title else alt
    return figure


def _tiled(images) -> np.ndarray:
    """An image as `pixels` makes it; of a batch (N, C, H, W) the first images that fill a square, row by row."""
    if getattr(images, "ndim", 3) != 4:
        return pixels(images)
    side = math.isqrt(len(images))
    tiles = [pixels(image) for image in images[: side * side]]
    return np.concatenate([np.concatenate(tiles[row * side : (row + 1) * side], 1) for row in range(side)])


def _array(values) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=np.float64)


def _listed(labels: Sequence[object]) -> str:
    return ", ".join(map(str, labels))
