"""Questions before a cell is run (`predict`) and at a notebook's end (`quiz`).

Their texts stand in questions/*.toml, so that the cell that asks does not give the answer away. What was chosen is
kept in the learner's record. Buttons where a kernel runs; the question and its options as text where none does.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import store
from .display import bundle, prose, show, widgets

LETTERS = "ABCDEF"
RIGHT, WRONG, CHOSEN = "#007A5E", "#B34A00", "#0072B2"  # a word goes with each, never the colour alone


@dataclass(frozen=True)
class Option:
    """One answer: its text, why it is right or what is behind it when it is wrong."""

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """id: under which the choice is kept; exactly one option is right. reopened: "09" for a prediction that waits for notebook 09."""

    id: str
    question: str
    options: tuple[Option, ...]
    reopened: str = ""

    @property
    def right(self) -> Option:
        return next(option for option in self.options if option.right)

    def text(self) -> str:
        """The question and its options, without the answer."""
        return "\n".join([self.question, *(f"  {letter}. {option.text}" for letter, option in zip(LETTERS, self.options, strict=False))])

    def html(self) -> str:
        items = "".join(f'<li style="list-style:upper-alpha">{prose(option.text)}</li>' for option in self.options)
        return (f'<div style="line-height:1.5"><p style="margin:0 0 4px"><b>{prose(self.question)}</b></p>'
                f'<ol style="margin:0 0 6px">{items}</ol></div>')

    def answers(self) -> str:
        """Every option explained, folded."""
        items = "".join(f"<li><b>{letter}: {'right' if option.right else 'no'}.</b> {prose(option.why)}</li>"
                        for letter, option in zip(LETTERS, self.options, strict=False))
        return f"<details><summary>Answers</summary><ul>{items}</ul></details>"


class Asked:
    """One question on the screen. buttons[i].click() chooses option i; feedback: what is said then; widget: all of it."""

    def __init__(self, question: Question, kind: str):
        self.question, self.kind = question, kind
        self.buttons: list[Any] = []
        self.feedback: Any = None
        self.widget: Any = None
        if (W := widgets()) is None:
            return
        for i, option in enumerate(question.options):
            button = W.Button(description=LETTERS[i], tooltip=option.text, layout=W.Layout(width="48px"))
            button.on_click(lambda _, i=i: self.choose(i))
            self.buttons.append(button)
        self.feedback = W.HTML()
        self.widget = W.VBox([W.HTML(question.html()), W.HBox(self.buttons), self.feedback])
        if (before := self._before()) is not None:
            self._react(before)

    def choose(self, i: int) -> None:
        """Choose option i, as its button does."""
        store.record(self.kind, self.question.id, self.question.options[i].text)
        self._react(i)

    def _before(self) -> int | None:
        said = store.recall(self.kind, self.question.id)
        return next((i for i, option in enumerate(self.question.options) if option.text == said), None)

    def _react(self, i: int) -> None:
        option = self.question.options[i]
        if self.kind == "prediction":
            later = f"Notebook {self.question.reopened} asks again." if self.question.reopened else "Run on and see."
            style, colour, said = "info", CHOSEN, f"<b>You say {LETTERS[i]}.</b> {later}"
        elif option.right:
            style, colour, said = "success", RIGHT, f"<b>{LETTERS[i]}: right.</b> {prose(option.why)}"
        else:
            style, colour, said = "warning", WRONG, f"<b>{LETTERS[i]}: not this one.</b> {prose(option.why)}"
        for j, button in enumerate(self.buttons):
            button.button_style = style if j == i else ""
        if self.feedback is not None:
            self.feedback.value = _box(colour, said)


class Shown:
    """Questions as a cell's result. asked: one `Asked` for each question."""

    def __init__(self, questions: tuple[Question, ...], kind: str):
        self.kind = kind
        self.asked = [Asked(question, kind) for question in questions]
        W = widgets()
        self.widget = W.VBox([a.widget for a in self.asked], layout=W.Layout(grid_gap="14px", max_width="720px")) if W else None

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        questions = [asked.question for asked in self.asked]
        page = "".join(_box(CHOSEN, q.html() + (q.answers() if self.kind == "quiz" else "")) for q in questions)
        return bundle("\n\n".join(q.text() for q in questions), html=page, widget=self.widget)


class _Predict:
    """predict("id") asks; predict.reveal("id", measured) opens the answer."""

    def __call__(self, id: str) -> Shown:
        """Ask before the cell is run, and keep the choice. The result of a cell: put it last."""
        return Shown((find("prediction", id),), "prediction")

    def reveal(self, id: str, measured: object) -> None:
        """Print what was said beside what was measured. measured: a number, or a short text with its unit."""
        question = find("prediction", id)
        said = store.recall("prediction", id)
        chosen = next((option for option in question.options if option.text == said), None)
        value = f"{measured:.3g}" if isinstance(measured, float) else str(measured)
        lines = [("You said", str(said) if said is not None else "nothing yet"), ("Measured", value)]
        if chosen is not None and not chosen.right:
            lines.append(("What is behind it", chosen.why))
        lines.append(("So", f"{question.right.text.rstrip('.')}. {question.right.why}"))
        rows = "".join(f"<div><b>{name}:</b> {prose(text)}</div>" for name, text in lines)
        colour = CHOSEN if chosen is None else RIGHT if chosen.right else WRONG
        show(bundle("\n".join(f"{name}: {text}" for name, text in lines), html=_box(colour, rows)))


predict = _Predict()


def quiz(id: str) -> Shown:
    """The self-check of a notebook: each choice is explained at once. The result of a cell: put it last."""
    return Shown(_load()["quiz", id], "quiz") if ("quiz", id) in _load() else _unknown("quiz", id)


def find(kind: str, id: str) -> Question:
    """The question of a kind, "prediction" or "quiz", and an id."""
    return _load()[kind, id][0] if (kind, id) in _load() else _unknown(kind, id)


def _unknown(kind: str, id: str) -> Any:
    raise ValueError(f"No {kind} called {id!r}: there are {', '.join(sorted(known for k, known in _load() if k == kind))}.")


@functools.cache
def _load() -> dict[tuple[str, str], tuple[Question, ...]]:
    """{(kind, id): questions} of all files; ValueError for what is written wrongly."""
    found: dict[tuple[str, str], tuple[Question, ...]] = {}
    for file in sorted((Path(__file__).parent / "questions").glob("*.toml")):
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        entries = [("prediction", entry["id"], [entry]) for entry in content.get("prediction", [])]
        entries += [("quiz", entry["id"], entry["question"]) for entry in content.get("quiz", [])]
        for kind, id, raw in entries:
            if (kind, id) in found:
                raise ValueError(f"{file.name}: the {kind} {id!r} is there twice.")
            names = [id] if kind == "prediction" else [f"{id}/{i + 1}" for i in range(len(raw))]
            questions = tuple(Question(name, one["question"], tuple(Option(**option) for option in one["option"]), one.get("reopened", ""))
                              for name, one in zip(names, raw, strict=True))
            for question in questions:
                if sum(option.right for option in question.options) != 1 or not 2 <= len(question.options) <= len(LETTERS):
                    raise ValueError(f"{file.name}: {question.id!r} needs 2 to {len(LETTERS)} options, exactly one of them right.")
            found[kind, id] = questions
    return found


def _box(colour: str, inside: str) -> str:
    return f'<div style="border-left:4px solid {colour};padding:4px 12px;margin:6px 0;max-width:680px;line-height:1.5">{inside}</div>'
