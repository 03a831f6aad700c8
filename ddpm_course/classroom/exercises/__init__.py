"""The exercises. One file, `eNN_name.py`, for each notebook that has any; a new file is found by itself.

A file holds, for each exercise, the reference solution, `cases(seed)` that builds the inputs, and the mistakes people
make, each as the sentence that names it and the code that makes it. The tests judge all of them without another line.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Case(NamedTuple):
    """Inputs of one call. label: a phrase that completes "wrong on ..."."""

    label: str
    args: tuple


@dataclass(frozen=True, eq=False)
class Exercise:
    """What a learner writes, and how it is judged.

    solution: the reference. Its name is the exercise's, its docstring the task, with shapes. It may use torch alone.
    hints: two, the second saying more.
    cases: cases(seed) builds the inputs anew at each call, the same for the same seed; the checks use seed 0. Values should
        be large enough that every mistake shows, and shapes should set apart what broadcasts by chance.
    mistakes: {sentence that names the cause: wrong implementation, or several}. At most 25 words; it gives no solution away.
    probes: extra judges, probe(fn) -> a sentence or None, for what outputs cannot show. They see only what passed the cases.
    changes: names of arguments that the function is meant to change; they are compared like its result, a module by its weights
        and buffers. Where the reference returns None besides, what is returned does not count.
    calls: how often a case calls the function, with the same arguments: what it leaves behind shows in the next call.
    sick: a program to repair. The stub is its body; a function that does what it does has repaired nothing: "not attempted".
    also: other references, as right as `solution`, whose results differ from its: by random numbers drawn in another order, say.
    draws: the function may draw from the global random state.
    variants: kinds of input that must work as well: "float64", "non-contiguous", "gradient" (on images, not on tables).
    """

    solution: Callable
    hints: tuple[str, str]
    cases: Callable[[int], list[Case]]
    mistakes: dict[str, Callable | tuple[Callable, ...]]
    probes: tuple[Callable[[Callable], str | None], ...] = ()
    changes: tuple[str, ...] = ()
    calls: int = 1
    sick: Callable | None = None
    also: tuple[Callable, ...] = ()
    draws: bool = False
    variants: tuple[str, ...] = ("float64", "non-contiguous", "gradient")
    rtol: float = 1e-3
    atol: float = 1e-5
    arguments: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", tuple(inspect.signature(self.solution).parameters))

    @property
    def name(self) -> str:
        return self.solution.__name__

    @property
    def notebook(self) -> str:
        """The notebook it belongs to, from the file's name: exercises/e01_forward_noising.py -> "01_forward_noising"."""
        return self.solution.__module__.rpartition(".")[2].removeprefix("e")

    def known_mistakes(self) -> list[tuple[str, Callable]]:
        """(sentence, implementation), one for each implementation."""
        return [(sentence, fn) for sentence, made in self.mistakes.items() for fn in (made if isinstance(made, tuple) else (made,))]

    def applied(self, fn: Callable) -> Callable:
        """What one case does with fn: a call, or a list of `calls`."""
        return fn if self.calls == 1 else lambda *args: [fn(*args) for _ in range(self.calls)]

    def solution_source(self) -> str:
        """Source of the reference."""
        return inspect.getsource(self.solution)

    def stub(self) -> str:
        """What the learner starts from: signature and docstring of the reference, and a line to replace or a body to repair."""
        source = self.solution_source()
        function = ast.parse(source).body[0]
        assert isinstance(function, ast.FunctionDef)
        lines = source.splitlines()[: function.body[0].end_lineno]
        body = ['    raise NotImplementedError("Write me")'] if self.sick is None else inspect.getsource(self.sick).splitlines()[1:]
        return "\n".join([*lines, *body]) + "\n"


def randn(seed: int, *shape: int) -> Tensor:
    """N(0, 1) of this shape; always the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def uniform(seed: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform in [low, high); always the same."""
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def _found() -> dict[str, Exercise]:
    exercises: dict[str, Exercise] = {}
    modules: list[Any] = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__) if m.name.startswith("e")]
    for exercise in (exercise for module in modules for exercise in module.EXERCISES):
        if exercise.name in exercises:
            raise ValueError(f"Two exercises are called {exercise.name}: rename one.")
        exercises[exercise.name] = exercise
    return exercises


EXERCISES = _found()  # in the order of the notebooks
