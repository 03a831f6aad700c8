"""What only a notebook needs. The command line and the rest of the package do not know it.

>>> from ddpm_course import classroom
>>> room = classroom.setup()
"""

from importlib import import_module
from typing import Any

from .anatomy import anatomy
from .background import my_training, start_training
from .beside import beside
from .knobs import knobs
from .live import live
from .questions import predict, quiz
from .room import setup
from .source import show_source
from .viewer import frames, label_picker

__all__ = [
    "anatomy", "beside", "check", "frames", "knobs", "label_picker", "live", "my_training", "plots", "predict", "quiz", "setup",
    "show_source", "start_training",
]


def __getattr__(name: str) -> Any:
    # The two that cost something to import, when they are asked for.
    if name == "plots":
        return import_module(".plots", __name__)
    if name == "check":
        return import_module(".checks", __name__).check
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
