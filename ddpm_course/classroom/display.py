"""One mime bundle for everything a notebook shows: a live widget, and beside it what stands in where no kernel runs."""

from __future__ import annotations

import base64
import html as html_module
import re
import sys
from types import ModuleType


def bundle(text: str, *, html: str | None = None, png: bytes | None = None, widget=None) -> dict[str, object]:
    """The mime bundle. A front end shows the richest part it can: the widget, then the picture or the page, then the text."""
    data: dict[str, object] = {"text/plain": text}
    if html is not None:
        data["text/html"] = html
    if png is not None:
        data["image/png"] = base64.b64encode(png).decode()
    if widget is not None:
        data["application/vnd.jupyter.widget-view+json"] = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return data


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
