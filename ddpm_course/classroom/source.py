"""The package's own code, shown in a notebook: what is read is what runs."""

from __future__ import annotations

import hashlib
import inspect
import re
from pathlib import Path
from typing import Any

from .display import bundle, show

PACKAGE = Path(__file__).resolve().parent.parent


def show_source(*objects: Any) -> None:
    """Show functions, methods or classes of the package, each under the place where it stands.

    As Markdown, so that its colours are those of the reader's theme, light or dark.
    """
    for obj in objects:
        source, place = source_of(obj), _place(obj)
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", source)), default=0))
        show(bundle(f"# {place}\n{source}", markdown=f"`{place}`\n{fence}python\n{source}\n{fence}"))


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
