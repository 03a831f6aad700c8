"""The package's own code, shown in a notebook: what is read is what runs."""

from __future__ import annotations

import hashlib
import html
import inspect
from pathlib import Path
from typing import Any

from .display import bundle, show

PACKAGE = Path(__file__).resolve().parent.parent
GROUND = "#FCFCFC"  # on a darker one some of pygments' colours are too faint to read


def show_source(*objects: Any) -> None:
    """Show functions, methods or classes of the package, each under the place where it stands."""
    for obj in objects:
        source, place = source_of(obj), _place(obj)
        style = (f"margin:0;padding:8px 12px;background:{GROUND};border:1px solid #DDDDDD;color:#222;"
                 "font:13px/1.4 monospace;white-space:pre;overflow-x:auto")
        page = (f'<div style="font-size:90%;margin:6px 0 2px"><code>{html.escape(place)}</code></div>'
                f'<pre style="{style}">{_highlighted(source)}</pre>')
        show(bundle(f"# {place}\n{source}", html=page))


def source_of(obj: Any) -> str:
    """The source text, without the indentation of a method. TypeError for what has none."""
    try:
        return inspect.cleandoc("\n" + inspect.getsource(_unwrapped(obj))).rstrip()
    except (TypeError, OSError):
        raise TypeError(f"{obj!r} has no source to show: give a function, a method or a class.") from None


def source_hash(*objects: Any) -> str:
    """16 hexadecimal digits that change when the source of any of the objects does."""
    return hashlib.sha256("\0".join(map(source_of, objects)).encode()).hexdigest()[:16]


def _unwrapped(obj: Any) -> Any:
    if isinstance(obj, property):
        obj = obj.fget
    return inspect.unwrap(obj) if callable(obj) else obj


def _place(obj: Any) -> str:
    obj = _unwrapped(obj)
    path = Path(inspect.getsourcefile(obj) or "").resolve()
    inside = path.relative_to(PACKAGE.parent).as_posix() if path.is_relative_to(PACKAGE) else path.name
    return f"{getattr(obj, '__qualname__', obj)}, in {inside}"


def _highlighted(source: str) -> str:
    """The source as lines of HTML, in colours where pygments is there."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ImportError:
        return html.escape(source)
    # Bare: around it pygments would put its class `highlight`, which JupyterLab's dark theme paints.
    return highlight(source, PythonLexer(), HtmlFormatter(noclasses=True, nowrap=True)).rstrip()
