"""INSTRUCTOR.md's run sheets and questions, from the notebooks' cells, their stored runs, questions and exercises.

Nothing in them is typed: the clock is the reading time and the measured run of cells, the questions are those that learners
are asked. `tools/build_notebooks.py` calls `fill`, and `figures`, from which the doctor tells whether a machine keeps up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from notebook_run import code_cells, own_source, reading_seconds, run_seconds, tags

from ddpm_course.classroom.exercises import EXERCISES
from ddpm_course.classroom.questions import LETTERS, Question, find


class Plan(NamedTuple):
    """minutes: how many there are. parts: numbers of notebooks, and breaks of so many minutes. whole: every cell, not the short path."""

    minutes: int
    parts: tuple[str | int, ...]
    whole: bool = False


PLANS = {
    "90 minutes": Plan(90, ("00", "01", "03", 5, "04", "07", "09")),
    "180 minutes": Plan(180, ("00", "01", "02", "03", 10, "04", "05", "06", 10, "07", "08", "09")),
    # six hours of teaching each, and eighty minutes of breaks
    "day one": Plan(440, ("00", "01", "02", 10, "03", "04", 60, "05", "06", 10, "07"), whole=True),
    "day two": Plan(440, ("08", "09", 10, "10", "11", 60, "12", "13", 10, "14"), whole=True),
}
LUNCH = 45  # minutes from which on a break is called so
ASKS = re.compile(r'predict\("(.+?)"\)')
PLANNED = re.compile(r"planned\((?:.|\n)*?seconds=(\d+)")  # a training that is to take so many seconds on any machine
SPEED = re.compile(r"([\d,]+) images/s, done")


class Section(NamedTuple):
    """A section of a path. asks: numbers of its questions; exercises: names; quiz: whether the self-check stands in it."""

    title: str
    minutes: float
    asks: list[str]
    exercises: list[str]
    runs: float
    quiz: bool


def fill(text: str, notebooks: dict[str, tuple[str, list, dict[str, float]]]) -> str:
    """INSTRUCTOR.md with its blocks made anew. notebooks: name -> (title, cells of the learning edition, seconds of each cell)."""
    blocks = {name: sheet(plan, notebooks) for name, plan in PLANS.items()}
    blocks["questions"] = "\n".join(asked(name, title, cells) for name, (title, cells, _) in notebooks.items())
    for name, block in blocks.items():
        before, start, after = text.partition(f"<!-- built: {name} -->\n")
        _, end, rest = after.partition("<!-- end -->")
        if not (start and end):
            raise SystemExit(f"INSTRUCTOR.md must hold a block `<!-- built: {name} -->` ... `<!-- end -->`.")
        text = before + start + block + end + rest
    return text


def figures(notebooks: dict[str, tuple[str, list, dict[str, float]]], outputs: dict[str, list]) -> str:
    """What the doctor reads, as JSON. notebooks: as in `fill`; outputs: name -> cells of the stored run.

    images_per_second: of the demo's network, trained alone, in the stored runs. For each sheet: its minutes, when it ends, the
    seconds of its planned trainings by notebook, and those that its other cells ran.
    """
    speeds = [float(found[-1].replace(",", "")) for cells in outputs.values() for cell in code_cells({"cells": cells})
              if PLANNED.search(cell.source) and 'get_recipe("demo")' in cell.source
              and (found := SPEED.findall("".join(output.get("text", "") for output in cell.outputs)))]
    sheets = {}
    for name, plan in PLANS.items():
        clock, other, trainings = 0.0, 0.0, {}
        for number, (_, cells, seconds) in _of_plan(plan, notebooks):
            path = _path(cells, plan.whole)
            clock += (reading_seconds(path) + run_seconds(path, seconds)) / 60
            planned = [cell for cell in path if cell.cell_type == "code" and PLANNED.search(cell.source)]
            trainings |= {number: sum(int(PLANNED.search(cell.source)[1]) for cell in planned)} if planned else {}
            other += run_seconds([cell for cell in path if cell not in planned], seconds)
        breaks = sum(part for part in plan.parts if isinstance(part, int))
        sheets[name] = {"minutes": plan.minutes, "end": round(clock + breaks, 1), "other_seconds": round(other, 1), "trainings": trainings}
    return json.dumps({"images_per_second": max(speeds, default=0.0), "sheets": sheets}, indent=2) + "\n"


def _of_plan(plan: Plan, notebooks: dict) -> Iterator[tuple[str, tuple]]:
    by_number = {name[:2]: name for name in notebooks}
    return ((part, notebooks[by_number[part]]) for part in plan.parts if part in by_number)


def sheet(plan: Plan, notebooks: dict) -> str:
    """The table of one path: when each section starts, what is done in it, what is asked."""
    by_number, clock = {name[:2]: name for name in notebooks}, 0.0
    rows = ["| clock | section | to do | ask |", "|---|---|---|---|"]
    for part in plan.parts:
        if isinstance(part, int):
            rows.append(f"| {_clock(clock)} | **{'Lunch' if part >= LUNCH else 'Break'}** | {part} minutes | |")
            clock += part
        elif part in by_number:
            name = by_number[part]
            title, cells, seconds = notebooks[name]
            found = [*sections(name, cells, seconds, plan.whole)]
            rows.append(f"| {_clock(clock)} | **{part} · {title}** | {round(sum(section.minutes for section in found))} minutes | |")
            for section in found:
                do = [f"exercise `{exercise}`" for exercise in section.exercises]
                do += [f"a cell runs {section.runs:.0f} minute{'s' * (round(section.runs) > 1)}"] if section.runs >= 0.75 else []
                do += ["self-check"] if section.quiz else []
                rows.append(f"| {_clock(clock)} | {section.title} | {', '.join(do)} | {', '.join(section.asks)} |")
                clock += section.minutes
    rows.append(f"| {_clock(clock)} | **End** | {round(plan.minutes - clock)} minutes are left for questions | |")
    return "\n".join(rows) + "\n"


def _path(cells: list, whole: bool) -> list:
    return cells if whole else [cell for cell in cells if tags(cell) & {"spine", "setup"}]


def sections(name: str, cells: list, seconds: dict[str, float], whole: bool = False) -> Iterator[Section]:
    """A path's sections: those of its cells between one heading `##` and the next."""
    numbers = {question.id: number for number, question, _ in numbered(name, cells)}
    title, part = "Opening", []
    for cell in [*_path(cells, whole), None]:
        heading = re.match(r"##? (.+)", cell.source) if cell is not None and cell.cell_type == "markdown" else None
        if part and (heading or cell is None):
            code = "\n".join(own_source(c) for c in part if c.cell_type == "code")
            run = run_seconds(part, seconds)
            exercises = [exercise for exercise in EXERCISES if re.search(rf"^def {exercise}\(", code, re.MULTILINE)]
            asks = [numbers[id] for id in ASKS.findall(code)]
            yield Section(title, (reading_seconds(part) + run) / 60, asks, exercises, run / 60, "quiz(" in code)
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
