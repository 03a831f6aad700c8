"""Several sliders over prepared values, and a picture that is drawn anew when one is moved; with a sheet that stands in for it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .display import bundle, caption_html, widgets
from .viewer import png


class Knobs:
    """What `knobs` returns. sliders ({name: slider}), image, caption: the parts; widget: all of them; None without ipywidgets."""

    def __init__(self, draw: Callable[..., Any], choices: Mapping[str, Any]):
        if not choices:
            raise ValueError("There is nothing to move: give at least one choice, such as knobs(draw, T=[100, 1000]).")
        self.draw = draw
        self.values = {name: list(choice.values() if isinstance(choice, Mapping) else choice) for name, choice in choices.items()}
        self.texts = {name: list(map(str, choice)) if isinstance(choice, Mapping) else [_text(value) for value in choice]
                      for name, choice in choices.items()}
        for name, texts in self.texts.items():
            if len(texts) < 2:
                raise ValueError(f"{name} has {len(texts)} value{'s' * (not texts)}: give two or more, or leave {name} out.")
            if len({*texts}) < len(texts):
                raise ValueError(f"Some values of {name} read alike ({', '.join(texts)}): give each a text of its own, {{text: value}}.")
        self._cache: dict[tuple[int, ...], tuple[bytes, str]] = {}
        self._lock = threading.RLock()  # sliders may move in another thread than the one that runs the cells
        first, caption = self.at(*(0 for _ in choices))
        self.sliders: Any = None
        self.image: Any = None
        self.caption: Any = None
        self.widget: Any = None
        if (W := widgets()) is None:
            return
        width = f"{max(map(len, choices)) + 1}ch"
        # The options are texts: values may be tensors or functions, which cannot be compared.
        self.sliders = {name: W.SelectionSlider(options=texts, value=texts[0], description=name, continuous_update=True,
                                                layout=W.Layout(width="460px", max_width="100%"), style={"description_width": width})
                        for name, texts in self.texts.items()}
        self.image = W.Image(value=first, format="png", layout=W.Layout(max_width="100%", object_fit="contain"))
        self.caption = W.HTML(caption_html(caption))
        for slider in self.sliders.values():
            slider.observe(self._moved, names="index")
        # As in FrameViewer: what is moved stands above the caption, so that a caption of two lines moves nothing.
        self.widget = W.VBox([self.image, *self.sliders.values(), self.caption], layout=W.Layout(align_items="flex-start"))

    @property
    def places(self) -> tuple[int, ...]:
        """Which of its values each knob is at."""
        return tuple(slider.index for slider in self.sliders.values()) if self.sliders else (0,) * len(self.values)

    @property
    def value(self) -> dict[str, Any]:
        """The present value of each knob."""
        return {name: self.values[name][i] for name, i in zip(self.values, self.places, strict=True)}

    def at(self, *places: int) -> tuple[bytes, str]:
        """PNG and caption where the knobs are at these places. Each is drawn once."""
        with self._lock:
            if places not in self._cache:
                drawn = self.draw(**{name: values[i] for (name, values), i in zip(self.values.items(), places, strict=True)})
                if not isinstance(drawn, tuple) or len(drawn) != 2 or not isinstance(drawn[1], str):
                    raise ValueError(f"draw must return a picture and its caption, a sentence; it returned {type(drawn).__name__}.")
                self._cache[places] = drawn[0] if isinstance(drawn[0], bytes) else png(drawn[0]), drawn[1]
            return self._cache[places]

    def _moved(self, _: Any) -> None:
        # Where all stand now counts, not the change: while the kernel draws, the front end holds the newest move back
        # and drops those before it.
        with self._lock:
            places = self.places
            try:
                self.image.value, said = self.at(*places)
            except Exception as error:  # in a callback a traceback would be lost; a sentence is seen
                said = self._failed(places, error)
            self.caption.value = caption_html(said)

    def _parts(self, places: Sequence[int]) -> list[str]:
        return [f"{name} = {texts[i]}" for (name, texts), i in zip(self.texts.items(), places, strict=True)]

    def _failed(self, places: Sequence[int], error: Exception) -> str:
        return f"{', '.join(self._parts(places))} could not be drawn: {error or type(error).__name__}"

    def _named(self, places: Sequence[int], said: str) -> str:
        """A caption as plain text that says where the knobs are, even when it does not by itself."""
        parts, said = self._parts(places), said.replace("`", "")
        return said if all(part in said for part in parts) else f"{', '.join(parts)}: {said}"

    def sheet(self) -> bytes:
        """A few combinations with their captions, as PNG. One knob: first, middle, last; two: the corners; more: each at its last."""
        from PIL import Image

        from .plots import sheet

        last = [len(values) - 1 for values in self.values.values()]
        chosen: list[tuple[int, ...]]
        if len(last) == 1:
            chosen = [(0,), (last[0] // 2,), (last[0],)]
        elif len(last) == 2:
            chosen = [(i, j) for i in (0, last[0]) for j in (0, last[1])]
        else:
            chosen = [(0,) * len(last), *(tuple(end * (i == k) for i, end in enumerate(last)) for k in range(len(last)))]
        tiles, said = [], []
        for places in dict.fromkeys(chosen):  # of two values, the first is the middle one, too
            try:
                picture, caption = self.at(*places)
                tiles.append(np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")))
                said.append(self._named(places, caption))
            except Exception as error:
                tiles.append(np.full((1, 1, 3), 255, np.uint8))
                said.append(self._failed(places, error))
        height, width = (max(tile.shape[side] for tile in tiles) for side in (0, 1))
        tiles = [np.pad(tile, ((0, height - tile.shape[0]), (0, width - tile.shape[1]), (0, 0)), constant_values=255) for tile in tiles]
        return png(sheet(tiles, said, min(len(tiles), max(2, 720 // (width + 8)))))

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        ranges = " and ".join(f"{name} ({_listed(texts)})" for name, texts in self.texts.items())
        first = (0,) * len(self.values)
        text = f"A picture to change by {ranges}. First: {self._named(first, self.at(*first)[1])}"
        return bundle(text, png=self.sheet(), widget=self.widget)


def knobs(draw: Callable[..., Any], /, **choices: Any) -> Knobs:
    """A slider for each choice; moving one shows draw(name=value, ...), which returns a picture and a sentence under it.

    >>> knobs(draw, T=[50, 100, 1000], noise={"little": 0.1, "much": 1.0})

    choices: two or more values, or {text: value}; the first of each is shown first. The picture: a `plots` picture, an
    image, or PNG bytes. Each combination is drawn once, when it is asked for: that should take less than 0.1 s.
    """
    return Knobs(draw, choices)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts) if len(texts) <= 8 else f"{texts[0]}, {texts[1]}, …, {texts[-1]}: {len(texts)} values"
