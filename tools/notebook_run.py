"""A full run of a notebook, and what it leaves to be stored."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from nbclient import NotebookClient
from nbformat import NotebookNode

KEPT = Path("build") / "notebook-cache"  # trainings that a later notebook shows, finished: minutes that are spent once
RUNS = Path("ddpm_course") / "classroom" / "runs"

WORDS_A_MINUTE, CODE_LINES_A_MINUTE = 180, 20  # of a careful reader


def execute(notebook: NotebookNode, folder: Path, root: Path) -> None:
    """Run every cell in `folder`: full mode, on the CPU, with a cache that holds no learner's record.

    Sets outputs and counts, and metadata.ddpm_course: digest, seconds by cell, cores. Raises what nbclient raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", record_timing=True, coalesce_streams=True,
                            resources={"metadata": {"path": str(folder)}})
    code = "\n".join(cell.source for cell in code_cells(notebook))
    own, earlier = (set(re.findall(rf'{call}\("(.+?)"\)', code)) for call in ("run_dir", "trained"))
    with learners_cache(root, finished="my_training" in code and "start_training" not in code) as cache:
        copy_runs(root / KEPT, cache, earlier - own)
        client.execute(env=environment(cache) | {"CUDA_VISIBLE_DEVICES": ""})
        copy_runs(cache, root / KEPT, own)
    seconds = {}
    for cell in code_cells(notebook):
        start, end = (datetime.fromisoformat(cell.metadata.execution[key]) for key in ("iopub.execute_input", "shell.execute_reply"))
        seconds[cell.id] = round((end - start).total_seconds(), 1)
        for output in cell.outputs:  # a widget is dead without the kernel that made it; its picture and text stay
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            output.update({"metadata": {}} if "data" in output else {})
    notebook.metadata.ddpm_course = {"digest": digest(notebook), "seconds": seconds, "cores": os.cpu_count() or 1}


def environment(cache: Path) -> dict[str, str]:
    """This process's variables for a kernel that is to use `cache`, find the data all the same, and print progress as text."""
    from ddpm_course.data import cache_dir

    kept = {name: value for name, value in os.environ.items() if name != "DDPM_COURSE_FAST"}
    return {"DDPM_COURSE_DATA": str(cache_dir()), **kept, "DDPM_COURSE_STATIC": "1", "XDG_CACHE_HOME": str(cache)}


@contextmanager
def learners_cache(root: Path, finished: bool) -> Iterator[Path]:
    """An empty cache; or, for a notebook that shows the training started in an earlier one, a cache where it is finished."""
    if finished:
        cache = root / KEPT
        (cache / "ddpm_course" / "classroom" / "record.json").unlink(missing_ok=True)
        print("Training the model that the learner starts in notebook 00 ...", flush=True)
        program = "import sys; from ddpm_course.classroom import start_training; sys.exit(not start_training().wait(3600))"
        subprocess.run([sys.executable, "-c", program], env=environment(cache), check=True)
        yield cache
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        try:
            yield Path(cache)
        finally:
            stop_trainings(Path(cache))


def copy_runs(source: Path, cache: Path, names: set[str]) -> None:
    """Trainings of these names that are finished: what one notebook trains, a later one measures as the learner's own."""
    for name in names:
        finished = [path.parent for path in (source / RUNS).glob(f"{name}-*/model.safetensors")]
        if not finished and source.name == KEPT.name:
            print(f"No training {name!r} is kept in {KEPT}: the shipped model takes its place. Build its notebook with --run first.")
        for run in finished:
            shutil.copytree(run, cache / RUNS / run.name, dirs_exist_ok=True)


def stop_trainings(cache: Path) -> None:
    """End what a notebook started in the background and left."""
    for run in (cache / RUNS).glob("*/"):
        from ddpm_course.classroom.background import Training

        Training(run).stop()


def code_cells(notebook: dict) -> list[NotebookNode]:
    return [cell for cell in notebook["cells"] if cell.cell_type == "code"]


def own_source(cell: NotebookNode) -> str:
    """A code cell's source, but not the setup cell's: that holds the repository's address, which may change without a new run."""
    return "" if "setup" in cell.metadata.get("tags", []) else cell.source


def digest(notebook: NotebookNode) -> str:
    """Changes when code, outputs or their order do."""
    cells = [(cell.id, own_source(cell), cell.execution_count, cell.outputs) for cell in code_cells(notebook)]
    return sha(json.dumps(cells, sort_keys=True))


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def reading_seconds(cells: list[NotebookNode]) -> float:
    """How long a careful reader takes: words, lines of code, three minutes an exercise, half a minute a question."""
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    lines = sum(len(own_source(cell).splitlines()) for cell in code_cells({"cells": cells}))
    exercises = sum("exercise" in tags(cell) for cell in cells)
    questions = sum(own_source(cell).count("predict(") + 4 * own_source(cell).count("quiz(") for cell in code_cells({"cells": cells}))
    return 60 * (words / WORDS_A_MINUTE + lines / CODE_LINES_A_MINUTE + 3 * exercises + questions / 2)


def run_seconds(cells: list[NotebookNode], seconds: dict[str, float]) -> float:
    """How long the cells ran. One tagged `waits` is left out: it waits for what runs beside, while the learner reads."""
    return sum(seconds.get(cell.id, 0.0) for cell in cells if "waits" not in tags(cell))
