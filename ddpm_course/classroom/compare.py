"""How one result of a function differs from another, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def different(got: Any, want: Any, rtol: float, atol: float, any_type: bool = False) -> str | None:
    """How `got` differs from `want`, as the end of a sentence; None where it does not. any_type: of tensors, compare values alone."""
    if isinstance(want, nn.Module):
        got, want = got.state_dict() if isinstance(got, nn.Module) else got, want.state_dict()
    if isinstance(want, dict | list | tuple):
        kinds: Any = dict if isinstance(want, dict) else list | tuple
        if not isinstance(got, kinds) or len(got) != len(want) or (isinstance(want, dict) and set(got) != set(want)):
            length = f" of length {len(got)}" if isinstance(got, kinds) else ""
            return f"it returns {kind_of(got)}{length} where {kind_of(want)} of length {len(want)} is expected."
        pairs: list[Any] = [(got[key], want[key]) for key in want] if isinstance(want, dict) else list(zip(got, want, strict=True))
        return next((found for a, b in pairs if (found := different(a, b, rtol, atol, any_type))), None)
    if isinstance(want, bool) and isinstance(got, bool | np.bool_):
        return None if got == want else f"it says {bool(got)} where {want} is right."
    if isinstance(want, bool | int | float | Tensor):
        return _different_numbers(got, want, rtol, atol, any_type)
    if isinstance(want, str | None):
        return None if got == want else f"it returns {kind_of(got)}, {got!r}, where {want!r} is expected."
    return None  # a model, a generator: not ours to compare


def _different_numbers(got: Any, want: bool | int | float | Tensor, rtol: float, atol: float, any_type: bool) -> str | None:
    if got is None:
        return "it returns None: is a `return` missing at its end?"
    expected = torch.as_tensor(want).detach().cpu()
    if isinstance(got, bool | int | float) and expected.ndim == 0:
        got = torch.tensor(got)
    if not isinstance(got, Tensor):
        hint = ": is there a stray comma?" if isinstance(got, tuple) and len(got) == 1 else "."
        return f"it returns {kind_of(got)} where {'a tensor' if isinstance(want, Tensor) else 'a number'} is expected{hint}"
    got = got.detach().cpu()
    if got.shape != expected.shape:
        return f"it returns shape {tuple(got.shape)} where {tuple(expected.shape)} is expected."
    floats = expected.is_floating_point()
    if not any_type and (got.is_floating_point() != floats or got.is_complex() or (floats and got.itemsize < 4)):
        return f"it returns {got.dtype} where {expected.dtype} is expected."
    if got.is_complex() and expected.is_complex() and any_type:  # two roots of negative numbers: the same slip
        return None if torch.allclose(got, expected.to(got), rtol, atol, equal_nan=True) else "off, and complex."
    if got.is_complex() or expected.is_complex():
        return f"it returns {got.dtype} where {expected.dtype} is expected."
    got, expected = got.double(), expected.double()
    if bool((got.isfinite() < expected.isfinite()).any()):
        return f"it returns {'NaN' if bool(got.isnan().any()) else 'infinity'} somewhere."
    if torch.allclose(got, expected, rtol, atol, equal_nan=True):
        return None
    return f"off by up to {(got - expected).nan_to_num().abs().max():.2g}."


def dtypes_of(value: Any) -> Iterator[torch.dtype]:
    if isinstance(value, Tensor):
        yield value.dtype
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from dtypes_of(part)


def kind_of(value: Any) -> str:
    if value is None:
        return "None"
    name = "numpy array" if isinstance(value, np.ndarray) else type(value).__name__.lower()
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
