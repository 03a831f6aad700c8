"""The learner's own record: exercises, predictions, quiz answers, as one JSON file in the user's cache.

Nothing leaves the machine. Deleting the file, or `forget()`, erases everything.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from ..data import atomic_file, cache_dir

_unsaved: dict[str, dict] = {}  # what could not be written: kept for this session


def path() -> Path:
    """Where the record is kept."""
    return cache_dir() / "classroom" / "record.json"


def record(kind: str, id: str, value: object) -> None:
    """Keep a value (anything JSON can hold) under a kind ("exercise", "prediction", "quiz") and an id.

    Never raises for the disk's sake: a record that cannot be written lives until the kernel ends.
    """
    json.dumps(value)  # a TypeError here is the caller's mistake, not the disk's
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path().with_suffix(".lock"), timeout=2):  # two notebooks may be open
            known = _read()
            known.setdefault(kind, {})[id] = value
            with atomic_file(path()) as temporary:
                temporary.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
        _unsaved.get(kind, {}).pop(id, None)
    except (OSError, Timeout):
        _unsaved.setdefault(kind, {})[id] = value


def recall(kind: str, id: str) -> object:
    """The value kept, or None."""
    return all(kind).get(id)


def all(kind: str) -> dict[str, object]:
    """Everything kept of a kind, as {id: value}."""
    return _read().get(kind, {}) | _unsaved.get(kind, {})


def forget(kind: str | None = None) -> None:
    """Erase the record, or one kind of it."""
    for known in list(_unsaved) if kind is None else [kind]:
        _unsaved.pop(known, None)
    rest = {} if kind is None else {k: v for k, v in _read().items() if k != kind}
    with contextlib.suppress(OSError, Timeout):
        if rest:
            with FileLock(path().with_suffix(".lock"), timeout=2), atomic_file(path()) as temporary:
                temporary.write_text(json.dumps(rest, indent=2, sort_keys=True) + "\n")
        else:
            path().unlink(missing_ok=True)


def _read() -> dict[str, dict]:
    try:
        known = json.loads(path().read_text())
        if isinstance(known, dict) and set(map(type, known.values())) <= {dict}:
            return known
    except OSError:  # not there yet, or not to be read
        return {}
    except ValueError:
        pass
    aside = path().with_suffix(".broken.json")
    with contextlib.suppress(OSError):
        path().replace(aside)
        print(f"Your record of answers could not be read. It was set aside as {aside}; a new one is begun.", file=sys.stderr)
    return {}
