"""INSTRUCTOR.md's run sheets and questions, from the notebooks' short paths, their stored runs, questions and exercises.

Nothing in them is typed: the clock is the reading time and the measured run of `spine` cells, the questions are those
that learners are asked. `tools/build_notebooks.py` calls `fill`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from notebook_run import code_cells, own_source, reading_seconds, run_seconds, tags

from ddpm_course.classroom.exercises import EXERCISES
from ddpm_course.classroom.questions import LETTERS, Question, find

PATHS = {  # minutes there are: numbers of notebooks, and breaks of so many minutes between them
    90: ("00", "01", "03", 5, "04", "07", "09"),
    180: ("00", "01", "02", "03", 10, "04", "05", "06", 10, "07", "08", "09"),
}
ASKS = re.compile(r'predict\("(.+?)"\)')


class Section(NamedTuple):
    """A section of a short path. asks: numbers of its questions; exercises: names."""

    title: str
    minutes: float
    asks: list[str]
    exercises: list[str]
    runs: float


def fill(text: str, notebooks: dict[str, tuple[str, list, dict[str, float]]]) -> str:
    """INSTRUCTOR.md with its blocks made anew. notebooks: name -> (title, cells of the learning edition, seconds of each cell)."""
    blocks = {f"{minutes} minutes": sheet(minutes, notebooks) for minutes in PATHS}
    blocks["questions"] = "\n".join(asked(name, title, cells) for name, (title, cells, _) in notebooks.items())
    for name, block in blocks.items():
        before, start, after = text.partition(f"<!-- built: {name} -->\n")
        _, end, rest = after.partition("<!-- end -->")
        if not (start and end):
            raise SystemExit(f"INSTRUCTOR.md must hold a block `<!-- built: {name} -->` ... `<!-- end -->`.")
        text = before + start + block + end + rest
    return text


def sheet(minutes: int, notebooks) -> str:
    """The table of one path: when each section starts, what is done in it, what is asked."""
    by_number, clock = {name[:2]: name for name in notebooks}, 0.0
    rows = ["| clock | section | to do | ask |", "|---|---|---|---|"]
    for part in PATHS[minutes]:
        if isinstance(part, int):
            rows.append(f"| {_clock(clock)} | **Break** | {part} minutes | |")
            clock += part
        elif part in by_number:
            name = by_number[part]
            title, cells, seconds = notebooks[name]
            found = [*sections(name, cells, seconds)]
            rows.append(f"| {_clock(clock)} | **{part} · {title}** | {round(sum(section.minutes for section in found))} minutes | |")
            for section in found:
                do = [f"exercise `{exercise}`" for exercise in section.exercises]
                do += [f"a cell runs {section.runs:.0f} minutes"] if section.runs >= 0.75 else []
                rows.append(f"| {_clock(clock)} | {section.title} | {', '.join(do)} | {', '.join(section.asks)} |")
                clock += section.minutes
    rows.append(f"| {_clock(clock)} | **End** | {round(minutes - clock)} minutes are left for questions | |")
    return "\n".join(rows) + "\n"


def sections(name: str, cells: list, seconds: dict[str, float]) -> Iterator[Section]:
    """The short path's sections: those of its cells between one heading `##` and the next."""
    numbers = {question.id: number for number, question, _ in numbered(name, cells)}
    title, part = "Opening", []
    spine = [cell for cell in cells if tags(cell) & {"spine", "setup"}]
    for cell in [*spine, None]:
        heading = re.match(r"##? (.+)", cell.source) if cell is not None and cell.cell_type == "markdown" else None
        if part and (heading or cell is None):
            code = "\n".join(own_source(c) for c in part if c.cell_type == "code")
            run = run_seconds(part, seconds)
            exercises = [exercise for exercise in EXERCISES if re.search(rf"^def {exercise}\(", code, re.MULTILINE)]
            asks = [numbers[id] for id in ASKS.findall(code)]
            yield Section(title, (reading_seconds(part) + run) / 60, asks, exercises, run / 60)
            part = []
        if heading:
            title = "Opening" if heading[0].startswith("# ") else heading[1].replace("|", "\\|")
        part.append(cell)


def numbered(name: str, cells: list) -> Iterator[tuple[str, Question, bool]]:
    """(number, question, whether the short path asks it) of a notebook's predictions, in the order in which they are asked."""
    found = [(cell, id) for cell in code_cells({"cells": cells}) for id in ASKS.findall(own_source(cell))]
    for i, (cell, id) in enumerate(found, 1):
        yield f"{name[:2]}.{i}", find("prediction", id), "spine" in tags(cell)


def asked(name: str, title: str, cells: list) -> str:
    """A notebook's questions with the answers to expect, and what goes wrong in its exercises."""
    lines = [f"### {name[:2]} · {title}", ""]
    for number, question, spine in numbered(name, cells):
        right = question.options.index(question.right)
        lines += [f"**{number}**{'' if spine else ' (long path)'} {question.question}", "",
                  f"- Expect **{LETTERS[right]}: {question.right.text}** {question.right.why}"]
        lettered = zip(LETTERS, question.options, strict=False)
        lines += [f"- {letter}: {option.text} *{option.why}*" for letter, option in lettered if not option.right]
        lines.append("")
    for exercise in (exercise for exercise in EXERCISES.values() if exercise.notebook == name):
        lines += [f"Mistakes in `{exercise.name}` that its checker names:", "", *(f"- {mistake}" for mistake in exercise.mistakes), ""]
    return "\n".join(lines)


def _clock(minutes: float) -> str:
    return f"{round(minutes) // 60}:{round(minutes) % 60:02}"
