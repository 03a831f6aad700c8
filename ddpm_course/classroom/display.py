"""One mime bundle for everything a notebook shows: a live widget, and beside it what stands in where no kernel runs."""

from __future__ import annotations

import base64
import html as html_module
import io
import re
import sys
import threading
from types import ModuleType

# One picture is drawn at a time: JupyterLab 4.4 and ipykernel 7 run what a slider does in another thread, beside the
# cell that runs, and matplotlib's settings are those of the whole process.
DRAWING = threading.RLock()


def bundle(text: str, *, html: str | None = None, png: bytes | None = None, widget=None) -> dict[str, object]:
    """The mime bundle. A front end shows the richest part it can: the widget, then the picture or the page, then the text."""
    data: dict[str, object] = {"text/plain": text}
    if html is not None:
        data["text/html"] = html
    if png is not None:
        data["image/png"] = base64.b64encode(_compact(png)).decode()
    if widget is not None:
        data["application/vnd.jupyter.widget-view+json"] = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return data


def _compact(png: bytes) -> bytes:
    """The PNG with a palette, a third of its size: up to 256 colours exactly, drawn curves to the eye. Photographs stay as they are."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    if image.getcolors(4096) is None:
        return png
    out = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(out, format="png", optimize=True)
    return min(out.getvalue(), png, key=len)


def show(data: dict[str, object]) -> None:
    """Show a bundle now: in a notebook as it is, elsewhere as text."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        ipython.display.display(data, raw=True)
    else:
        print(data["text/plain"])


def widgets() -> ModuleType | None:
    """ipywidgets, or None where it is not installed: then the stand-ins are all there is."""
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets


def prose(text: str) -> str:
    """A sentence as HTML: escaped, with `code` set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html_module.escape(text, quote=False))


def caption_html(text: str) -> str:
    """The sentence under a widget's picture."""
    return f'<div style="line-height:1.5;max-width:640px">{prose(text)}</div>'
