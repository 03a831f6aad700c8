"""Checks that name the mistake: `check.q_sample(q_sample)` runs the learner's function and says what is wrong with it, if anything.

A check never raises, decides within two seconds of computing, and keeps the learner's best result, and what was right, in the
record of `store`.
"""

from __future__ import annotations

import ast
import dis
import functools
import html
import inspect
import linecache
import math
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import store
from .compare import different, dtypes_of, kind_of
from .exercises import EXERCISES, Case, Exercise
from .sandbox import Stop, TimeUp, call, in_time

SECONDS = 1.5  # for all calls of a check together; stopping a runaway takes up to 0.2 more
WORDS = 25  # the longest message
SIGNS = {"right": "✓", "wrong": "✗", "not attempted": "○"}
COLOURS = {"right": ("#14491a", "#e8f5e9"), "wrong": ("#8e1b1b", "#fdecea"), "not attempted": ("#37474f", "#eceff1")}
RANKS = ("not attempted", "wrong", "right")


@dataclass(frozen=True)
class Verdict:
    """status: "right", "wrong" or "not attempted"; message: one sentence. as_ours: right, and as exact in type as the reference."""

    status: str
    message: str
    as_ours: bool = True

    def __repr__(self) -> str:
        return f"{SIGNS[self.status]} {self.status}: {self.message}"

    def _repr_html_(self) -> str:
        ink, paper = COLOURS[self.status]  # both given, so that a dark theme changes neither
        return (
            f'<div style="color:{ink};background:{paper};border-left:5px solid {ink};padding:0.5em 1em;max-width:50em">'
            f'<b style="color:{ink}">{SIGNS[self.status]} {self.status.capitalize()}</b><br>{html.escape(self.message)}</div>'
        )


@dataclass(frozen=True)
class Progress:
    """All exercises with their best status so far: rows of (notebook, exercise, status)."""

    rows: tuple[tuple[str, str, str], ...]

    def __repr__(self) -> str:
        lines = [f"{notebook:24} {name:20} {SIGNS[status]} {status}" for notebook, name, status in self.rows]
        return "\n".join([*lines, self._sum()])

    def _repr_html_(self) -> str:
        def line(tag: str, *cells: str) -> str:
            return "<tr>" + "".join(f'<{tag} style="text-align:left">{html.escape(cell)}</{tag}>' for cell in cells) + "</tr>"

        body = "".join(line("td", notebook, name, f"{SIGNS[status]} {status}") for notebook, name, status in self.rows)
        head = line("th", "Notebook", "Exercise", "Status")
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table><p>{self._sum()}</p>"

    def _sum(self) -> str:
        return f"{sum(status == 'right' for *_, status in self.rows)} of {len(self.rows)} exercises are right."


class Checks:
    """`check.NAME(fn)` for every exercise; `check.use`, `check.mine`, `check.progress`, `check.forget`."""

    def __getattr__(self, name: str) -> Callable[[Any], Verdict]:
        if name not in EXERCISES:
            raise AttributeError(f"There is no exercise {name!r}. There are: {', '.join(EXERCISES)}.")
        exercise = EXERCISES[name]

        def check_exercise(fn: Any) -> Verdict:
            return _check(exercise, fn)

        check_exercise.__name__ = name
        check_exercise.__doc__ = f"Judge your {name}.\n\n{inspect.getdoc(exercise.solution)}"
        return check_exercise

    def __dir__(self) -> list[str]:
        return [*EXERCISES, "use", "mine", "progress", "forget"]

    def __repr__(self) -> str:
        return f"check.NAME(your function), for NAME in: {', '.join(EXERCISES)}"

    def use(self, fn: Any, reference: Callable | str | None = None) -> Callable:
        """The learner's fn where it is right, else the reference (default: the course's solution); prints which.

        reference: a function; or the exercise's name, which tells it where nothing was written: check.use(None, "q_sample").
        fn is judged anew, so that a repair of anything it calls counts. ValueError where the exercise cannot be told by a name.
        """
        names = [reference] if isinstance(reference, str) else [getattr(candidate, "__name__", None) for candidate in (reference, fn)]
        exercise = next((EXERCISES[name] for name in names if name in EXERCISES), None)
        if exercise is None:
            raise ValueError(f"check.use needs the reference solution of an exercise. There are: {', '.join(EXERCISES)}.")
        verdict = _check(exercise, fn)
        if verdict.status == "right" and verdict.as_ours:
            print(f"Your own {exercise.name} is used from here on.")
            return fn
        why = "is right, but of another number type" if verdict.status == "right" else f"is {verdict.status}"
        print(f"Your {exercise.name} {why}: the course's own is used from here on.")
        return reference if callable(reference) else exercise.solution

    def mine(self, name: str) -> Callable:
        """The learner's own right answer to an exercise of any notebook, from the record; else the course's. Prints which.

        It was kept as text when it was found right. It is run and judged anew here, where only torch, math and numpy are at hand.
        """
        if name not in EXERCISES:
            raise ValueError(f"There is no exercise {name!r}. There are: {', '.join(EXERCISES)}.")
        exercise = EXERCISES[name]
        fn = _from_record(exercise)
        whose = "your own" if fn else "the course's own"
        print(f"{name}, of notebook {exercise.notebook[:2]}: {whose} is used.")
        return fn or exercise.solution

    def progress(self) -> Progress:
        """A table of all exercises and the best that was reached in each. It stays on this machine."""
        return Progress(tuple((exercise.notebook, exercise.name, _best(exercise)) for exercise in EXERCISES.values()))

    def forget(self) -> None:
        """Erase the record of all exercises."""
        store.forget("exercise")
        store.forget("answer")


check = Checks()


def _check(exercise: Exercise, fn: Any) -> Verdict:
    result = in_time(lambda: _judge_anything(exercise, fn), SECONDS)
    verdict = _out_of_time(fn, result) if isinstance(result, TimeUp) else result
    if RANKS.index(verdict.status) > RANKS.index(_best(exercise)):  # a fresh notebook, run through, takes nothing away
        store.record("exercise", exercise.name, verdict.status)
    source = _source(exercise, fn) if verdict.status == "right" and verdict.as_ours else None
    if source and source != store.recall("answer", exercise.name):
        store.record("answer", exercise.name, source)
    return verdict


def _source(exercise: Exercise, fn: Any) -> str | None:
    """The text of a function that was written with `def` under the exercise's name."""
    try:
        source = textwrap.dedent(inspect.getsource(fn))
        (definition,) = ast.parse(source).body
    except (OSError, TypeError, ValueError, SyntaxError):
        return None
    return source if isinstance(definition, ast.FunctionDef) and definition.name == exercise.name else None


def _from_record(exercise: Exercise) -> Callable | None:
    """The right answer that was kept, if it is still right by itself."""
    source = store.recall("answer", exercise.name)
    if not isinstance(source, str):
        return None
    made: dict[str, Any] = {"torch": torch, "math": math, "np": np, "nn": nn, "F": torch.nn.functional, "Tensor": Tensor}

    def judged() -> bool:
        exec(compile(source, f"<your {exercise.name}>", "exec"), made)  # the learner's own words, from the learner's own cache
        return judge(exercise, made.get(exercise.name)).status == "right"

    return made[exercise.name] if in_time(lambda: _holds(judged), SECONDS) is True else None


def _holds(judged: Callable[[], bool]) -> bool:
    try:
        return judged()
    except Stop:
        raise
    except BaseException:
        return False


def _best(exercise: Exercise) -> str:
    kept = store.recall("exercise", exercise.name)
    return kept if isinstance(kept, str) and kept in RANKS else "not attempted"


def _judge_anything(exercise: Exercise, fn: Any) -> Verdict:
    try:
        return judge(exercise, fn)
    except Stop:
        raise
    except BaseException as error:  # an odd object, whose own methods fail
        return _wrong(f"What it does or returns could not be judged: {_told(error)}")


def judge(exercise: Exercise, fn: Any) -> Verdict:
    """The verdict, without a time limit: `check` adds it."""
    if fn is None or fn is ...:
        return _not_attempted(exercise)
    if not callable(fn):
        return _wrong(f"{kind_of(fn).capitalize()} came in: pass the function itself, check.{exercise.name}({exercise.name}).")
    if complaint := _signature(exercise, fn):
        return _wrong(complaint)
    count = len(exercise.cases(0))
    trials = [_try(exercise, fn, index) for index in range(count)]
    if _untouched(exercise, fn, trials[0]):
        return _not_attempted(exercise)
    sick = exercise.sick
    if sick is not None and _alike(exercise, trials, (_ours(exercise, sick, index) for index in range(count))):
        return Verdict("not attempted", f"{exercise.name} still does what the patient's did: repair it, then run both cells again.")
    for reference in (*exercise.also, exercise.solution):
        expected = [_ours(exercise, reference, index) for index in range(count)]
        complaints = [_compared(exercise, trial, want) for trial, want in zip(trials, expected, strict=True)]
        if not any(complaints):
            break
    else:
        return _wrong(_cause(exercise, fn, trials, expected, complaints))
    if complaint := _side_effect(exercise, trials) or _fragile(exercise, reference, fn, trials[0]):
        return _wrong(complaint)
    for probe in exercise.probes:
        if complaint := probe(fn):
            return _wrong(complaint)
    for trial, want in zip(trials, expected, strict=True):
        for got, wanted in zip(dtypes_of(trial.value), dtypes_of(want.value), strict=False):
            if got != wanted:
                return Verdict("right", f"The values are right. They are {got}; a network will ask for {wanted}.", as_ours=False)
    return Verdict("right", f"{exercise.name} does what it should.")


@dataclass(frozen=True)
class _Trial:
    """What came of one case: the value or the error, the arguments that are meant to change as they are now, and what else happened."""

    case: Case
    value: Any
    after: tuple
    error: BaseException | None
    disturbed: str
    changed: tuple[str, ...]  # names of the arguments that are no longer what they were


def _try(exercise: Exercise, fn: Callable, index: int, variant: Callable[[Any], Any] | None = None) -> _Trial:
    def build() -> Case:
        case = exercise.cases(0)[index]
        return Case(case.label, tuple(map(variant, case.args))) if variant else case

    case, untouched = build(), build()
    outcome = call(exercise.applied(fn), case.args)
    named = list(zip(exercise.arguments, case.args, untouched.args, strict=True))
    changed = tuple(name for name, arg, before in named if name not in exercise.changes and different(arg, before, 0, 0))
    after = tuple(arg for name, arg, _ in named if name in exercise.changes)
    return _Trial(untouched, outcome.value, after, outcome.error, outcome.disturbed, changed)


@functools.cache
def _ours(exercise: Exercise, fn: Callable, index: int, variant: Callable[[Any], Any] | None = None) -> _Trial:
    """The trial of a function of the course: the reference or a known mistake. It is always the same."""
    return _try(exercise, fn, index, variant)


def _compared(exercise: Exercise, trial: _Trial, want: _Trial, any_type: bool = False) -> str | None:
    """How a trial differs from another, as the end of a sentence."""
    if trial.error is not None:
        return "error"
    if not (exercise.changes and _nothing(want.value)) and (
            found := different(trial.value, want.value, exercise.rtol, exercise.atol, any_type)):
        return found
    for name, got, wanted in zip((n for n in exercise.arguments if n in exercise.changes), trial.after, want.after, strict=True):
        if found := different(got, wanted, exercise.rtol, exercise.atol, any_type):
            return f"{found.rstrip('.')} in `{name}`, as it is afterwards."
    return None


def _nothing(value: Any) -> bool:
    return value is None or value is ... or (isinstance(value, list) and len(value) > 0 and all(map(_nothing, value)))


def _cause(exercise: Exercise, fn: Callable, trials: list[_Trial], expected: list[_Trial], complaints: list[str | None]) -> str:
    """The most telling sentence about a function that is wrong on some case."""
    for sentence, mistake in exercise.known_mistakes():
        if _alike(exercise, trials, (_ours(exercise, mistake, index) for index in range(len(trials)))):
            return sentence
    first = next(index for index, complaint in enumerate(complaints) if complaint)
    trial, complaint = trials[first], complaints[first]
    if trial.error is not None:
        return _failed(fn, trial.error, trial.case.label)
    assert complaint is not None
    if not complaint.startswith("off by"):
        return f"On {trial.case.label}: {complaint}" if any(c is None for c in complaints) else complaint[0].upper() + complaint[1:]
    if effect := _side_effect(exercise, trials):
        return effect
    for position, name in enumerate(exercise.arguments):
        if _ignored(exercise, fn, position, trials, expected):
            return f"`{name}` has no effect on the result."
    right = [t.case.label for t, c in zip(trials, complaints, strict=True) if c is None]
    return f"{f'Right on {right[0]}, wrong' if right else 'The values are wrong'} on {trial.case.label}: {complaint}"


def _alike(exercise: Exercise, trials: list[_Trial], others: Iterable[_Trial]) -> bool:
    """Whether two functions did the same on every case: the same values (some at least), and the same kinds of errors."""
    for trial, other in zip(trials, others, strict=True):
        if type(trial.error) is not type(other.error):
            return False
        if trial.error is None and _compared(exercise, trial, other, any_type=True):
            return False
    return any(trial.error is None for trial in trials)


def _side_effect(exercise: Exercise, trials: list[_Trial]) -> str | None:
    for trial in trials:
        if trial.changed:
            return f"It changes its input `{trial.changed[0]}` in place: whoever called it still needs the old values."
        if trial.disturbed == "random" and not exercise.draws:
            return "It draws or seeds random numbers of its own: all that it needs comes in through its arguments."
        if trial.disturbed and trial.disturbed != "random":
            return f"It changes torch's {trial.disturbed} for everyone: leave that as it was."
    return None


def _fragile(exercise: Exercise, reference: Callable, fn: Callable, first: _Trial) -> str | None:
    """What is wrong where the ordinary cases are right: other kinds of input, and a second call."""
    for name in exercise.variants:
        for index in range(len(exercise.cases(0))):
            trial = _try(exercise, fn, index, VARIANTS[name])
            if trial.error is not None:
                return _failed(fn, trial.error, INPUTS[name])
            if complaint := _compared(exercise, trial, _ours(exercise, reference, index, VARIANTS[name])):
                return f"Right on ordinary input, wrong on {INPUTS[name]}: {complaint}"
            if effect := _side_effect(exercise, [trial]):
                return effect
    again = _try(exercise, fn, 0)
    if _compared(exercise, again, first):
        return "Called again with the same input, it gives another result: it keeps something from call to call."
    return None


def _gradient(value: Any) -> Any:
    images = isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 1 and value.numel() > len(value)
    return value.requires_grad_() if images else value


def _strided(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    return value.mT.contiguous().mT if value.ndim > 1 else value.repeat_interleave(2)[::2]


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, nn.Module) or (isinstance(value, Tensor) and value.is_floating_point()) else value


VARIANTS = {"float64": _double, "non-contiguous": _strided, "gradient": _gradient}
INPUTS = {
    "float64": "float64 input",
    "non-contiguous": "input that is not contiguous in memory",
    "gradient": "images that carry a gradient",
}


def _ignored(exercise: Exercise, fn: Callable, position: int, trials: list[_Trial], expected: list[_Trial]) -> bool:
    """Whether the argument at this position leaves fn's result alone, but not the reference's."""
    matters = False
    for trial, want in zip(trials, expected, strict=True):
        args = list(exercise.cases(0)[trials.index(trial)].args)
        args[position] = _altered(args[position])
        ours, theirs = (call(exercise.applied(f), tuple(args)).value for f in (exercise.solution, fn))
        if trial.error is not None or different(theirs, trial.value, exercise.rtol, exercise.atol):
            return False
        matters = matters or bool(different(ours, want.value, exercise.rtol, exercise.atol))
    return matters


def _altered(value: Any) -> Any:
    if isinstance(value, Tensor) and value.numel() and not value.is_floating_point() and value.dtype != torch.bool:
        return value.max() - value
    if isinstance(value, nn.Module):
        with torch.no_grad():
            for parameter in value.parameters():
                parameter.div_(2)
    return value / 2 if isinstance(value, float) or (isinstance(value, Tensor) and value.is_floating_point()) else value


def _signature(exercise: Exercise, fn: Callable) -> str | None:
    """What is wrong with the arguments that fn takes. They are passed by position, so other names will do."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # some built-in functions have none
        return None
    names, expected = list(signature.parameters), list(exercise.arguments)
    try:
        signature.bind(*expected)
    except TypeError:
        return f"It cannot be called with its {len(expected)} arguments, which are: {', '.join(expected)}."
    if sorted(names) == sorted(expected) and names != expected:
        return f"Its arguments are in another order: they come as {', '.join(expected)}."
    return None


def _untouched(exercise: Exercise, fn: Callable, first: _Trial) -> bool:
    code = _code(fn)
    if isinstance(first.error, NotImplementedError):
        innermost = first.error.__traceback__
        while innermost and innermost.tb_next:
            innermost = innermost.tb_next
        # torch raises this error, too, but from C: a `raise` of the learner's is an instruction in the frame itself
        return innermost is not None and dis.opname[innermost.tb_frame.f_code.co_code[innermost.tb_lasti]] == "RAISE_VARARGS"
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
    empty = code is not None and all(step.opname in idle for step in dis.get_instructions(code))
    return empty and first.error is None and _nothing(first.value)


def _failed(fn: Callable, error: BaseException, label: str) -> str:
    if isinstance(error, SystemExit):
        return f"It ends the program ({type(error).__name__}) where it should return a value."
    if isinstance(error, RecursionError):
        return "It calls itself without end."
    line = ""
    code, step = _code(fn), error.__traceback__
    while step:
        if code and step.tb_frame.f_code.co_filename == code.co_filename:
            line = _line(code, step.tb_lineno)
        step = step.tb_next
    return f"{f'{line} fails' if line else 'It fails'} on {label}: {_told(error)}"


def _out_of_time(fn: Any, ran_out: TimeUp) -> Verdict:
    code, frame, line = _code(fn), ran_out.frame, ""
    while frame and code and not line:
        line = _line(code, _lineno(frame)) if frame.f_code.co_filename == code.co_filename else ""
        frame = frame.f_back
    where = f", in {line[0].lower()}{line[1:]}" if line else ""
    cause = "take the print out of its loop" if ran_out.printed > 1000 else "look for a loop that never ends, or for too much work"
    return _wrong(f"It was still running after {SECONDS} seconds{where}: {cause}.")


def _lineno(frame: FrameType) -> int:
    return frame.f_lineno or frame.f_code.co_firstlineno


def _line(code: CodeType, number: int) -> str:
    text = linecache.getline(code.co_filename, number).strip()
    return f"Line {number}" + (f" (`{text if len(text) <= 40 else text[:39] + '…'}`)" if text else "")


def _code(fn: Any) -> CodeType | None:
    code = getattr(fn, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _told(error: BaseException) -> str:
    """An error in one line: its kind, and the first line of what it says."""
    try:
        said = str(error).strip().splitlines()[0][:160]
    except Exception:
        said = ""
    if re.search(r"must be Tensor, not (float|int)|'(float|int)' object has no attribute", said):
        return "a plain number came in, not a tensor; ** 0.5 takes both."
    return f"{type(error).__name__}{f': {said}' if said else ''}"


def _wrong(message: str) -> Verdict:
    words = message.split()
    return Verdict("wrong", " ".join(words if len(words) <= WORDS else [*words[:WORDS], "…"]))


def _not_attempted(exercise: Exercise) -> Verdict:
    return Verdict("not attempted", f"{exercise.name} is still to be written: fill in its body, then run both cells again.")
