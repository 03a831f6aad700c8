"""A training seen while it runs: a bar, the speed, the loss and the newest samples; a few plain lines where no front end is."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from .display import bundle, caption_html, show, widgets
from .viewer import png

EVERY = 0.25  # seconds between two updates of the widget
LINES = 10  # of the text form, spread evenly


class Live:
    """What `live` returns: a `report` for `train`. bar, caption, image, widget: the parts; None in the text form."""

    def __init__(self, what: str, run_dir: str | Path | None):
        self.what, self.previews = what, Path(run_dir) / "previews" if run_dir is not None else None
        self.bar: Any = None
        self.caption: Any = None
        self.image: Any = None
        self.widget: Any = None
        self.shown, self.printed, self.preview = 0.0, -1, ""

    def __call__(self, record: dict) -> None:
        """Show a record of the training's history."""
        done = record["images"] >= record["of"]
        if self.widget is None and not self._starts():
            tenth = LINES * record["images"] // record["of"]
            if tenth != self.printed:
                self.printed = tenth
                print(f"{self.what}: {self.line(record)}", flush=True)
            return
        if done or time.monotonic() - self.shown > EVERY:
            self.shown = time.monotonic()
            self.bar.value = record["images"] / record["of"]
            self.bar.bar_style = "success" if done else ""
            self.caption.value = caption_html(f"{self.what}: {self.line(record)}")
            self._show_preview()

    @staticmethod
    def line(record: dict) -> str:
        """A record in words."""
        speed = f"loss {record['loss']:.3f}, {record['images_per_second']:,.0f} images/s"
        left = "done" if record["images"] >= record["of"] else _in_words(record["seconds_left"])
        return f"{record['images']:,} of {record['of']:,} images, {speed}, {left}"

    def _starts(self) -> bool:
        """Make and show the widget, where one can be seen."""
        W = widgets()
        if W is None or os.environ.get("DDPM_COURSE_STATIC", "") not in ("", "0") or not _in_a_kernel():
            return False
        self.bar = W.FloatProgress(value=0.0, min=0.0, max=1.0, layout=W.Layout(width="340px"))
        self.caption = W.HTML("")
        self.image = W.Image(format="png", layout=W.Layout(display="none", max_width="100%"))
        self.widget = W.VBox([self.bar, self.caption, self.image], layout=W.Layout(align_items="flex-start"))
        show(bundle(f"{self.what}: its progress is shown here while it runs.", widget=self.widget))
        return True

    def _show_preview(self) -> None:
        names = sorted(path.name for path in self.previews.glob("*.png")) if self.previews is not None else []
        if self.previews is not None and names and names[-1] != self.preview:
            from PIL import Image

            self.preview = names[-1]
            with Image.open(self.previews / self.preview) as picture:
                self.image.value = png(_as_array(picture), zoom=2 if picture.width < 400 else 1)
            self.image.layout.display = ""


def live(what: str = "Training", run_dir: str | Path | None = None) -> Live:
    """A `report` for `train`: train(..., report=live("Training")).

    what: the word before the figures. run_dir: the training's own, whose newest preview is shown, too. Without a front end, or
    with DDPM_COURSE_STATIC=1, it prints about ten lines.
    """
    return Live(what, run_dir)


def _in_words(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s left" if minutes else f"{rest} s left"


def _in_a_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def _as_array(picture):
    import numpy as np

    return np.asarray(picture.convert("RGB"))
