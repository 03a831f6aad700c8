"""Build the notebooks, README's table of them and the run sheets (INSTRUCTOR.md, and what the doctor reads), from notebooks/src/*.md.

A source is MyST markdown, read by jupytext. It becomes notebooks/NAME.ipynb, for learning (exercises open, no output but
the title picture's), and notebooks/solutions/NAME.ipynb, for reading (solutions in place, outputs of a full run). The run
is stored in the reading edition. It is made anew when code, questions, or sources that show_source shows have changed; from
unchanged sources every file comes out the same, byte for byte. CONTRIBUTING.md says how to write a source.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import math
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
import run_sheets
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_run import code_cells, digest, execute, own_source, reading_seconds, run_seconds, sha, tags

ROOT = Path(__file__).resolve().parent.parent
TAGS = {"spine", "title-picture", "exercise", "check", "hide-input",
        "waits", "raises-exception", "nbval-check-output", "nbval-ignore-output", "nbval-skip"}
TABLE = re.compile(r"(?<=<!-- built by tools/build_notebooks.py -->\n).*?(?=<!-- end -->)", re.DOTALL)
NUMBERS = {1: "one CPU core", 2: "two CPU cores", 4: "four CPU cores", 8: "eight CPU cores"}


class SourceError(SystemExit):
    """What cannot be built, or a run that failed: ends the program with the file, the cell and the cause."""


class Source:
    """One notebooks/src/NAME.md whose cells were checked, and the two editions made from it."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name, self.path = root, name, root / "notebooks" / "src" / f"{name}.md"
        self.learning, self.reading = root / "notebooks" / f"{name}.ipynb", root / "notebooks" / "solutions" / f"{name}.ipynb"
        self.setup = (root / "tools" / "setup_cell.py").read_text(encoding="utf-8").rstrip()
        self.repository = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
        parsed = jupytext.reads(self.path.read_text(encoding="utf-8"), "md:myst")
        self.title, self.cells = parsed.metadata.get("title"), parsed.cells
        slugs = [cell.metadata.get("slug", "") for cell in self.cells]
        for cell, slug in zip(self.cells, slugs, strict=True):
            ours = "include" in cell.metadata or "exercise" in cell.metadata
            for wrong, message in (
                (not re.fullmatch("[a-z0-9-]{1,64}", slug), f"needs a slug, at most 64 of a-z 0-9 -: {cell.source[:40]!r}"),
                (slugs.count(slug) > 1, "has the slug of another cell"),
                (tags(cell) - TAGS, f"has unknown tags {sorted(tags(cell) - TAGS)}; known are {sorted(TAGS)}"),
                (cell.metadata.get("include", "setup") != "setup", "includes something other than `setup`"),
                (ours and (cell.cell_type, cell.source) != ("code", ""), "is written by the build: it must be code with an empty body"),
            ):
                if wrong:
                    raise self.error(f"cell {slug!r} {message}")
        pictures, setups = ["title-picture" in tags(cell) for cell in self.cells], ["include" in cell.metadata for cell in self.cells]
        if not self.title or (sum(pictures), sum(setups)) != (1, 1):
            raise self.error("there must be a title in the front matter, one cell tagged title-picture, and one with `:include: setup`")

    def error(self, message: str) -> SourceError:
        return SourceError(f"{self.path.relative_to(self.root)}: {message}")

    def edition(self, reading: bool, run: NotebookNode | None) -> NotebookNode:
        """The notebook as it is to be written; the outputs, and the figures in the text, are those of `run`."""
        cells = [cell for made in self.cells for cell in self._cells(made, reading)]
        kept = {cell.id: cell for cell in code_cells(run)} if run else {}
        for cell in code_cells({"cells": cells}):
            if cell.id in kept and (reading or "title-picture" in tags(cell)):
                cell.execution_count, cell.outputs = kept[cell.id].execution_count, kept[cell.id].outputs
        record = run.metadata.ddpm_course if run else NotebookNode(seconds={}, cores=2)
        spine = [cell for cell in cells if tags(cell) & {"spine", "setup"}]
        other = f"[Exercises](../{self.name}.ipynb)" if reading else f"[Solutions](solutions/{self.name}.ipynb)"
        words = {"badges": f"{self.badge(self.reading if reading else self.learning)} · {other}",
                 "machine": NUMBERS.get(record.cores, f"{record.cores} CPU cores"),
                 "minutes_run": minutes(sum(record.seconds.values())), "minutes_read": minutes(reading_seconds(cells)),
                 "minutes_spine": minutes(reading_seconds(spine) + run_seconds(spine, record.seconds))}
        for cell in cells:
            if cell.cell_type == "markdown":
                if unknown := {*re.findall(r"\{\{(\w+)\}\}", cell.source)} - {*words}:
                    raise self.error(f"cell {cell.id!r} has the unknown placeholders {sorted(unknown)}; known are {sorted(words)}")
                cell.source = re.sub(r"\{\{(\w+)\}\}", lambda match: words[match[1]], cell.source)
        metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "accelerator": "GPU",
                    "language_info": {"name": "python"}, "colab": {"gpuType": "T4", "provenance": []}, "title": self.title}
        if reading and run:
            metadata["ddpm_course"] = record
        notebook = new_notebook(cells=cells, metadata=metadata, nbformat_minor=5)
        nbformat.validate(notebook)
        return notebook

    def _cells(self, made: NotebookNode, reading: bool) -> Iterator[NotebookNode]:
        slug, kept = made.metadata.slug, made.metadata.get("tags", [])
        if made.cell_type == "markdown":
            yield new_markdown_cell(made.source, id=slug, metadata={"tags": kept} if kept else {})
        elif "exercise" in made.metadata:
            from ddpm_course.classroom.exercises import EXERCISES

            if made.metadata.exercise not in EXERCISES:
                raise self.error(f"cell {slug!r}: ddpm_course.classroom.exercises has no {made.metadata.exercise!r}")
            exercise = EXERCISES[made.metadata.exercise]
            solution = exercise.solution_source().strip()
            yield new_code_cell(solution if reading else exercise.stub().strip(), id=slug, metadata={"tags": sorted({*kept, "exercise"})})
            folds = [(f"Hint {number}", hint) for number, hint in enumerate(exercise.hints, 1)]
            folds += [] if reading else [("Solution", f"```python\n{solution}\n```")]
            text = "\n\n".join(f"<details>\n<summary>{name}</summary>\n\n{fold.strip()}\n\n</details>" for name, fold in folds)
            yield new_markdown_cell(text, id=f"{slug}-hints", metadata={"tags": ["hints"]})
        elif "include" in made.metadata:
            yield new_code_cell(self.setup.replace("{{repository}}", self.repository), id=slug, metadata={"tags": [*kept, "setup"]})
        else:
            yield new_code_cell(made.source, id=slug, metadata={"tags": kept} if kept else {})

    def badge(self, notebook: Path) -> str:
        where = f"{self.repository.removeprefix('https://github.com/')}/blob/main/{notebook.relative_to(self.root).as_posix()}"
        picture = "https://colab.research.google.com/assets/colab-badge.svg"
        return f"[![Open in Colab]({picture})](https://colab.research.google.com/github/{where})"

    def row(self, run: NotebookNode | None) -> str:
        """The notebook's line of README's table."""
        learning, reading = (path.relative_to(self.root).as_posix() for path in (self.learning, self.reading))
        time = minutes(sum(run.metadata.ddpm_course.seconds.values())) if run else "not run"
        return f"| {self.name[:2]} | [{self.title}]({learning}) | {time} | [solutions]({reading}) | {self.badge(self.learning)} |\n"

    def seen(self, notebook: NotebookNode) -> dict[str, str]:
        """Hashes of what outputs depend on beside the code in sight: what show_source shows, the questions, the setup cell."""
        tree = ast.parse("\n".join(cell.source for cell in code_cells(notebook)))
        calls = [ast.unparse(shown) for node in ast.walk(tree)
                 if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "show_source" for shown in node.args]
        hashes, names = {"tools/setup_cell.py": sha(self.setup)}, {}
        questions = self.root / "ddpm_course" / "classroom" / "questions" / f"{self.name}.toml"
        if questions.exists():
            hashes[questions.name] = sha(questions.read_text(encoding="utf-8"))
        if calls:
            from ddpm_course.classroom.source import source_hash

            imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(imports, []), str(self.path), "exec"), names)
            try:
                hashes |= {f"show_source({call})": source_hash(eval(call, names)) for call in calls}
            except (NameError, AttributeError) as error:
                raise self.error(f"show_source shows only what the notebook imports: {error}") from None
        return hashes

    def stored_run(self) -> NotebookNode | None:
        with contextlib.suppress(OSError, nbformat.reader.NotJSONError):
            run = nbformat.read(self.reading, 4)
            return run if "ddpm_course" in run.metadata else None
        return None

    def stale(self, run: NotebookNode | None) -> str:
        """Why the stored run is not that of this source; "" when it is."""
        if run is None:
            return "it holds no run"
        if run.metadata.ddpm_course.digest != digest(run):
            return "code or outputs were changed after the run"
        fresh = self.edition(True, run)
        old, new = ({cell.id: own_source(cell) for cell in code_cells(notebook)} for notebook in (run, fresh))
        old, new = old | {"order of cells": [*old]} | run.metadata.ddpm_course.sources, new | {"order of cells": [*new]} | self.seen(fresh)
        changed = [name for name in old | new if old.get(name) != new.get(name)]
        return f"the run saw another {', '.join(changed)}" if changed else ""

    def execute(self) -> NotebookNode:
        run = self.edition(True, None)
        try:
            execute(run, self.reading.parent, self.root)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise self.error(f"the run failed\n{error}") from None
        run.metadata.ddpm_course.sources = self.seen(run)
        return run


def minutes(seconds: float) -> str:
    """Whole minutes, rounded up."""
    number = max(1, math.ceil(seconds / 60))
    return f"{number} minute{'s' * (number > 1)}"


def build(root: Path, names: list[str], *, check: bool = False, again: bool = False) -> list[str]:
    """Build these notebooks, or all, and write what has changed; nothing when `check`. Returns "file: cause" for each change."""
    sources = [Source(root, path.stem) for path in sorted((root / "notebooks" / "src").glob("*.md"))]
    if unknown := set(names) - {source.name for source in sources}:
        raise SourceError(f"notebooks/src has no {', '.join(sorted(unknown))}")
    changed, files, runs = [], {}, {source.name: source.stored_run() for source in sources}
    for source in (source for source in sources if source.name in (names or runs)):
        if cause := source.stale(runs[source.name]) or (again and not check and "a new run was asked for"):
            changed.append(f"{source.reading.relative_to(root)}: {cause}")
            if not check:
                print(f"{source.name}: running, as {cause}", flush=True)
                runs[source.name] = source.execute()
        for path, reading in ((source.learning, False), (source.reading, True)):
            files[path] = nbformat.writes(source.edition(reading, runs[source.name]), version=4) + "\n"
    rows = "".join(source.row(runs[source.name]) for source in sources)
    rows = f"| | notebook | full run on {NUMBERS[2]} | | |\n|---|---|---|---|---|\n{rows}"
    files[root / "README.md"] = TABLE.sub(lambda _: rows, (root / "README.md").read_text(encoding="utf-8"))
    sheets = {source.name: (source.title, source.edition(False, None).cells, runs[source.name].metadata.ddpm_course.seconds)
              for source in sources if runs[source.name]}
    files[root / "INSTRUCTOR.md"] = run_sheets.fill((root / "INSTRUCTOR.md").read_text(encoding="utf-8"), sheets)
    files[root / "ddpm_course" / "run_sheets.json"] = run_sheets.figures(sheets, {name: runs[name].cells for name in sheets})
    for path, text in files.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            changed.append(f"{path.relative_to(root)}: differs from what the sources give")
            if not check:
                path.write_text(text, encoding="utf-8", newline="\n")
    return changed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks to build, such as 01_forward_noising; all by default")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is not what the sources give")
    parser.add_argument("--run", action="store_true", help="make a new full run, though the stored one is good")
    arguments = parser.parse_args()
    changed = build(ROOT, arguments.names, check=arguments.check, again=arguments.run)
    print("\n".join(changed) or "Every notebook is what its source gives.")
    sys.exit(int(arguments.check and bool(changed)))
