"""Frames drawn beforehand and moved by hand: a slider, a play button, label buttons. Each has a picture that stands in for it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .display import DRAWING, bundle, caption_html, widgets


def pixels(image, limits: tuple[float, float] = (-1.0, 1.0)) -> np.ndarray:
    """A tensor or array (H, W), (C, H, W) or (H, W, 3) as uint8 (H, W) or (H, W, 3); floats: `limits` are black and white."""
    array = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] != 3):
        raise ValueError(f"An image has shape (H, W), (1, H, W), (3, H, W) or (H, W, 3), not {array.shape}.")
    if array.dtype != np.uint8:
        low, high = limits
        array = ((np.nan_to_num(array.astype(np.float64)).clip(low, high) - low) / (high - low) * 255).round().astype(np.uint8)
    return array


def png(image, zoom: int | None = None) -> bytes:
    """A figure or an image as PNG, the same bytes every time. zoom: how large each pixel of an image is drawn (default: to 168 or more)."""
    out = io.BytesIO()
    if hasattr(image, "savefig"):
        with DRAWING:
            image.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()
    from PIL import Image

    array = pixels(image)
    zoom = zoom or max(1, -(-168 // array.shape[1]))
    Image.fromarray(array.repeat(zoom, 0).repeat(zoom, 1)).save(out, format="png", optimize=True)
    return out.getvalue()


class FrameViewer:
    """What `frames` returns. play, slider, image, caption: the parts; widget: all of them together; None without ipywidgets."""

    def __init__(self, pngs: Sequence[bytes], captions: Sequence[str], label: str, interval: int):
        if len(pngs) != len(captions) or not pngs:
            raise ValueError(f"{len(pngs)} frames and {len(captions)} captions: give one caption for each frame.")
        self.pngs, self.captions, self.label = list(pngs), list(captions), label
        self.play: Any = None
        self.slider: Any = None
        self.image: Any = None
        self.caption: Any = None
        self.widget: Any = None
        if (W := widgets()) is None:
            return
        last = len(pngs) - 1
        self.play = W.Play(min=0, max=last, step=1, interval=interval, description=f"Play {label}")
        self.slider = W.IntSlider(min=0, max=last, description=label, readout=False, continuous_update=True,
                                  layout=W.Layout(width="340px"), style={"description_width": "initial"})
        self.image = W.Image(value=self.pngs[0], format="png", layout=W.Layout(max_width="100%", object_fit="contain"))
        self.caption = W.HTML(caption_html(captions[0]))
        W.jslink((self.play, "value"), (self.slider, "value"))
        self.slider.observe(self._moved, names="value")
        # The picture and its caption stand above the controls, so that a caption of two lines moves nothing.
        self.widget = W.VBox([self.image, W.HBox([self.play, self.slider]), self.caption], layout=W.Layout(align_items="flex-start"))

    def _moved(self, change: Any) -> None:
        self.image.value = self.pngs[change["new"]]
        self.caption.value = caption_html(self.captions[change["new"]])

    def strip(self) -> bytes:
        """A few of the frames side by side, as PNG."""
        from PIL import Image

        from .plots import sheet

        arrays = [np.asarray(Image.open(io.BytesIO(frame)).convert("RGB")) for frame in self.pngs]
        most = 6 if arrays[0].shape[1] <= 200 else 4
        chosen = np.unique(np.linspace(0, len(arrays) - 1, most).round().astype(int))
        shown = [self.captions[i].split(":")[0].rstrip(".") for i in chosen]
        return png(sheet([arrays[i] for i in chosen], shown, most if most == 6 else min(2, len(chosen))))

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        text = f"{len(self.pngs)} pictures to move through by {self.label}. First: {self.captions[0]} Last: {self.captions[-1]}"
        return bundle(text, png=self.strip(), widget=self.widget)


def frames(pngs: Sequence[Any], captions: Sequence[str], label: str, interval: int = 150) -> FrameViewer:
    """A viewer with a slider and a play button. Arrow keys move the slider.

    pngs: PNG bytes, or whatever `png` takes, all of one size. captions: a sentence for each; what stands before a
    colon names the frame in the film strip ("t = 500: the digit is barely there."). interval: milliseconds a frame.
    """
    return FrameViewer([frame if isinstance(frame, bytes) else png(frame) for frame in pngs], captions, label, interval)


class LabelPicker:
    """What `label_picker` returns. buttons, image, caption, widget: the parts, for tests."""

    def __init__(self, labels: Sequence[Any], draw: Callable[[Any], bytes], what: str):
        self.labels, self.draw, self.what = list(labels), draw, what
        self.buttons: list[Any] = []
        self.image: Any = None
        self.caption: Any = None
        self.widget: Any = None
        self.picture = self._drawn(self.labels[0])
        if (W := widgets()) is None:
            return
        self.image = W.Image(value=self.picture, format="png", layout=W.Layout(max_width="100%"))
        self.caption = W.HTML(caption_html(self._said(self.labels[0])))
        for label in self.labels:
            button = W.Button(description=str(label), tooltip=f"Draw {what} {label}", layout=W.Layout(width="auto", min_width="40px"))
            button.on_click(lambda _, label=label: self.press(label))
            self.buttons.append(button)
        row = W.HBox(self.buttons, layout=W.Layout(flex_flow="row wrap"))
        self.widget = W.VBox([row, self.image, self.caption], layout=W.Layout(align_items="flex-start"))

    def press(self, label: Any) -> None:
        """Draw a label, as its button does."""
        for button in self.buttons:
            button.disabled = True
        self.caption.value = caption_html(f"Drawing {self.what} {label} …")
        try:
            self.image.value = self._drawn(label)
            self.caption.value = caption_html(self._said(label))
        except Exception as error:  # in a callback a traceback would be lost; a sentence is seen
            self.caption.value = caption_html(f"{self.what.capitalize()} {label} could not be drawn: {error}")
        finally:
            for button in self.buttons:
                button.disabled = False

    def _drawn(self, label: Any) -> bytes:
        drawn = self.draw(label)
        return drawn if isinstance(drawn, bytes) else png(drawn)

    def _said(self, label: Any) -> str:
        return f"You asked for {self.what} {label}. Press again for another."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        text = f"A button for each of {', '.join(map(str, self.labels))} draws it. Shown: {self.what} {self.labels[0]}."
        return bundle(text, png=self.picture, widget=self.widget)


def label_picker(labels: Sequence[Any], draw: Callable[[Any], Any], what: str = "the digit") -> LabelPicker:
    """A button for each label; pressing it calls draw(label), which returns PNG bytes or whatever `png` takes.

    The first label is drawn at once: that picture stands in where no kernel runs. what: the word before the label.
    """
    return LabelPicker(labels, draw, what)
