"""Answers to the exercises, a file for each notebook that has any, named as in ddpm_course/classroom/exercises.

RIGHT: {exercise: five functions or more that are right in another way than the reference}.
WRONG: {exercise: (source that a learner might type, words of the sentence that names its mistake)}.
"""

import pkgutil
from importlib import import_module

RIGHT: dict[str, list] = {}
WRONG: dict[str, tuple[str, str]] = {}
for _module in pkgutil.iter_modules(__path__):
    _answers = import_module(f"{__name__}.{_module.name}")
    RIGHT |= _answers.RIGHT
    WRONG |= _answers.WRONG
