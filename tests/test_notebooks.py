"""The notebooks of this repository, and the tool that builds them.

nbval (see the Makefile) runs every cell; what it does not see is looked for here, in `flaws`: it never compares a cell without
a count, so that a stripped notebook would pass, nor pictures, nor how a page looks where no kernel runs.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from types import SimpleNamespace

import build_notebooks
import nbformat
import notebook_run
import pytest
import run_sheets
from build_notebooks import Source, SourceError, build, code_cells, tags

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.md"))
EDITIONS = [path for source in SOURCES
            for path in (ROOT / "notebooks" / f"{source.stem}.ipynb", ROOT / "notebooks" / "solutions" / f"{source.stem}.ipynb")]
LARGEST = 1_000_000  # bytes; GitHub stops showing much larger ones
SHOWN = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png"}  # what GitHub, Colab and JupyterLab all show

PATH = r"(?<![\w.:/])(/(home|content|tmp|root|work|Users)/|C:\\)"
UNSEEMLY = {r"\w*(Warning|Deprecated)\b": "a warning", PATH: "an absolute path", r"\bat 0x[0-9a-f]{6,}": "a memory address",
            r"\d+%\|": "a progress bar", "^<Figure size": "a figure without words for it",
            r"^(Int|Float|V|H|Text|HTML|Image|Button|Dropdown|Play)\w*\(.*=": "a widget without a stand-in"}


def flaws(notebook, reading):
    """What a built notebook must not have, as sentences."""
    cells, found = code_cells(notebook), []

    def wrong(where, message):
        found.append(f"{where}: {message}")

    if set(notebook.metadata) != {"kernelspec", "language_info", "accelerator", "colab", "title"} | ({"ddpm_course"} if reading else set()):
        wrong("metadata", f"holds {sorted(notebook.metadata)}")
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3" or notebook.metadata.get("language_info") != {"name": "python"}:
        wrong("metadata", "another kernel than python3, or a version")
    if (notebook.metadata.get("accelerator"), notebook.metadata.get("colab")) != ("GPU", {"gpuType": "T4", "provenance": []}):
        wrong("metadata", "Colab is not asked for a T4")
    ids = [cell.get("id", "") for cell in notebook.cells]
    if len(set(ids)) != len(ids) or not all(re.fullmatch("[a-z0-9-]{1,64}", slug) for slug in ids):
        wrong("ids", "are not unique slugs")
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)) and reading:
        wrong("counts", "are not 1 to n: it was not run from top to bottom")
    for cell in notebook.cells:
        if set(cell.metadata) - {"tags"}:
            wrong(cell.id, f"metadata {sorted(cell.metadata)}")
        if re.search(PATH, cell.source):
            wrong(cell.id, "an absolute path in the source")
        if "{{" in cell.source and re.search(r"\{\{\w+\}\}", cell.source):
            wrong(cell.id, "a placeholder is left")
    for cell in cells:
        try:
            names = {ast.unparse(node.func) for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)}
        except SyntaxError as error:
            wrong(cell.id, f"is not plain Python: {error}")
            continue
        if "input" in names:
            wrong(cell.id, "input() waits for ever where nobody answers")
        if not reading and cell.outputs and "title-picture" not in tags(cell):
            wrong(cell.id, "has outputs before the question is asked")
        if cell.outputs and cell.execution_count is None:
            wrong(cell.id, "has outputs without a count: nbval fails on it")
        if "nbval-check-output" in tags(cell) and reading and not cell.outputs:
            wrong(cell.id, "has nothing to compare")
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                wrong(cell.id, "holds an error")
            if output.get("name") == "stderr":
                wrong(cell.id, f"wrote to stderr: {output.text[:80]!r}")
            data = output.get("data", {})
            if set(data) - SHOWN:
                wrong(cell.id, f"holds {sorted(set(data) - SHOWN)}")
            if data and output.get("metadata"):
                wrong(cell.id, "output with metadata")
            text = "\n".join([output.get("text", ""), *(value for kind, value in data.items() if kind != "image/png")])
            for pattern, message in UNSEEMLY.items():
                if match := re.search(pattern, text, re.MULTILINE):
                    wrong(cell.id, f"shows {message}: {match[0]!r}")
    return found


def path_id(path):
    return path.relative_to(ROOT / "notebooks").as_posix()


# --- the notebooks ------------------------------------------------------------------------------------------------


def test_all_are_what_their_sources_give():
    """`tools/build_notebooks.py --check`: README's table, stale runs and package sources that pages show included."""
    result = subprocess.run([sys.executable, ROOT / "tools" / "build_notebooks.py", "--check"], capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, f"{result.stdout}{result.stderr}\nRun `make notebooks`."


def test_the_set_of_notebooks_is_that_of_the_sources_and_of_readme():
    assert sorted((ROOT / "notebooks").rglob("*[0-9]*.ipynb")) == sorted(EDITIONS)
    table = re.findall(r"^\| \d\d \| \[.+?\]\((.+?)\) .*\[solutions\]\((.+?)\)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [path for row in table for path in row] == [path.relative_to(ROOT).as_posix() for path in EDITIONS]
    assert [source.stem[:2] for source in SOURCES] == [f"{number:02}" for number in range(len(SOURCES))]


@pytest.mark.parametrize("path", EDITIONS, ids=path_id)
def test_a_notebook_has_no_flaws(path):
    assert path.stat().st_size < LARGEST
    assert flaws(nbformat.read(path, 4), reading=path.parent.name == "solutions") == []


@pytest.mark.parametrize("path", EDITIONS, ids=path_id)
def test_nothing_is_left_that_nbstripout_would_take(path):
    pytest.importorskip("nbstripout")
    command = [sys.executable, "-m", "nbstripout", "--verify", "--keep-output", "--keep-count", "--keep-id", "--extra-keys",
               "metadata.language_info.version cell.metadata.execution cell.metadata.outputId cell.metadata.colab cell.metadata.id", path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_short_path_is_short(source):
    notebook = nbformat.read(ROOT / "notebooks" / f"{source.stem}.ipynb", 4)
    spine = [cell for cell in notebook.cells if "spine" in tags(cell)]
    assert spine and sum("exercise" in tags(cell) for cell in spine) <= 1
    seconds = nbformat.read(ROOT / "notebooks" / "solutions" / f"{source.stem}.ipynb", 4).metadata.ddpm_course.seconds
    assert (build_notebooks.reading_seconds(spine) + build_notebooks.run_seconds(spine, seconds)) / 60 <= 15


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_prediction_is_answered(source):
    """In the notebook that asks, or in the later one that its entry names, once there is that one."""
    from ddpm_course.classroom.questions import _load

    for id in re.findall(r'^predict\("(.+?)"\)', source.read_text(), re.MULTILINE):
        reopened = _load()["prediction", id][0].reopened
        assert not reopened or reopened > source.stem[:2]
        for there in [path for path in SOURCES if path.stem[:2] == (reopened or source.stem[:2])]:
            assert re.search(rf'predict\.reveal\(\s*"{id}"', there.read_text()), f"{id} is not revealed in {there.name}"


@pytest.mark.parametrize("path", EDITIONS, ids=path_id)
def test_the_setup_cell_is_the_template(path):
    (cell,) = [cell for cell in nbformat.read(path, 4).cells if "setup" in tags(cell)]
    template = (ROOT / "tools" / "setup_cell.py").read_text().rstrip()
    assert cell.source == template.replace("{{repository}}", Source(ROOT, path.stem).repository)


# --- the setup cell -----------------------------------------------------------------------------------------------


def run_setup_cell(monkeypatch, *, installed, colab, pip=None):
    """Run the setup cell with the course hidden or not; returns the commands that it ran."""
    commands = []
    fake = types.ModuleType("ddpm_course")
    fake.classroom = SimpleNamespace(setup=lambda: "a room")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr("subprocess.run", lambda command, **_: commands.append(command) or pip or SimpleNamespace(returncode=0))
    monkeypatch.setitem(sys.modules, "ddpm_course", fake)
    monkeypatch.setitem(sys.modules, "ddpm_course.classroom", fake.classroom)
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    else:
        monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    code = (ROOT / "tools" / "setup_cell.py").read_text().replace("{{repository}}", "https://example.org/course")
    names = {}
    exec(compile(code, "setup cell", "exec"), names)
    assert names["room"] == "a room"
    return commands


def test_setup_on_colab_installs_the_course_and_nothing_else(monkeypatch):
    monkeypatch.delenv("DDPM_COURSE_WHEEL", raising=False)
    (command,) = run_setup_cell(monkeypatch, installed=False, colab=True)
    assert command[:4] == [sys.executable, "-m", "pip", "install"] and "--no-deps" in command
    assert [word for word in command[4:] if not word.startswith("-")] == ["git+https://example.org/course"]


def test_setup_on_colab_says_why_pip_failed(monkeypatch):
    with pytest.raises(RuntimeError, match="no route to host"):
        run_setup_cell(monkeypatch, installed=False, colab=True, pip=SimpleNamespace(returncode=1, stderr="no route to host"))


@pytest.mark.parametrize("colab", [False, True])
def test_setup_leaves_a_course_that_is_there_alone(monkeypatch, colab):
    assert run_setup_cell(monkeypatch, installed=True, colab=colab) == []


def test_setup_elsewhere_installs_nothing_and_says_what_to_do(monkeypatch):
    with pytest.raises(ModuleNotFoundError, match="make lab"):
        run_setup_cell(monkeypatch, installed=False, colab=False)


def test_what_the_setup_cell_leaves_out_is_on_colab():
    """--no-deps is safe only while Colab's image holds every dependency (googlecolab/backend-info, August 2026)."""
    there = {"torch", "torchvision", "numpy", "matplotlib", "mlxtend", "tqdm", "safetensors", "filelock"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]} <= there


# --- the tool -----------------------------------------------------------------------------------------------------

SMALL = """\
---
title: A small thing
---

+++ {"slug": "title", "tags": ["spine"]}

# Small
{{badges}} {{minutes_read}}, {{minutes_run}} on {{machine}}, {{minutes_spine}} for the short path. $\\frac{a}{{b}_c}$

```{code-cell}
:slug: setup
:include: setup
```

```{code-cell}
:slug: picture
:tags: [title-picture, spine]

from ddpm_course.schedule import NoiseSchedule
from ddpm_course.classroom import show_source
"the picture"
```

```{code-cell}
:slug: write-double
:exercise: double
:tags: [spine]
```

```{code-cell}
:slug: numbers
:tags: [nbval-check-output]

import os
print(os.environ.get("DDPM_COURSE_FAST"), os.environ["DDPM_COURSE_STATIC"], 2 + 2)
```

```{code-cell}
:slug: source

show_source(NoiseSchedule.cosine)
```
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A repository with one small notebook, and a registry with one exercise."""
    head = 'def double(x):\n    """Twice x."""\n    '
    double = SimpleNamespace(stub=lambda: head + 'raise NotImplementedError("Write me")\n',
                             solution_source=lambda: head + "return 2 * x\n", hints=("Add.", "Add `x` to it."))
    registry = types.ModuleType("ddpm_course.classroom.exercises")
    registry.EXERCISES = {"double": double}
    monkeypatch.setitem(sys.modules, "ddpm_course.classroom.exercises", registry)
    monkeypatch.setenv("DDPM_COURSE_FAST", "1")  # which a stored run must not see
    (tmp_path / "notebooks" / "src").mkdir(parents=True)
    (tmp_path / "tools").mkdir()
    (tmp_path / "notebooks" / "src" / "00_small.md").write_text(SMALL)
    (tmp_path / "tools" / "setup_cell.py").write_text('where = "{{repository}}"\nprint("Ready.")\n')
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "README.md").write_text("Before.\n<!-- built by tools/build_notebooks.py -->\n<!-- end -->\nAfter.\n")
    (tmp_path / "ddpm_course").mkdir()
    blocks = [*run_sheets.PLANS, "questions"]
    (tmp_path / "INSTRUCTOR.md").write_text("".join(f"<!-- built: {name} -->\n<!-- end -->\n" for name in blocks))
    return tmp_path


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def files_of(root):
    return {path: path.read_bytes() for path in [*root.rglob("*.ipynb"), root / "README.md", root / "INSTRUCTOR.md"]}


def test_building_from_nothing_and_again(small, monkeypatch):
    assert any("holds no run" in cause for cause in build(small, [], check=True))
    assert not list(small.rglob("*.ipynb"))  # a check writes nothing
    build(small, [])
    learning, reading = (nbformat.read(small / "notebooks" / name, 4) for name in ("00_small.ipynb", "solutions/00_small.ipynb"))
    assert flaws(learning, reading=False) == [] and flaws(reading, reading=True) == []

    before = files_of(small)
    with monkeypatch.context() as patch:
        patch.setattr(Source, "execute", None)  # nothing is stale, so nothing is run
        assert build(small, [], check=True) == [] and build(small, []) == []
    assert files_of(small) == before
    build(small, ["00_small"], again=True)
    clock = re.compile(rb'"[\w-]+": \d+\.\d+|\d:\d\d|\d+ minutes')  # a busy machine takes longer
    assert {path: clock.sub(b"", text) for path, text in files_of(small).items()} \
        == {path: clock.sub(b"", text) for path, text in before.items()}

    assert [cell.id for cell in learning.cells] == ["title", "setup", "picture", "write-double", "write-double-hints", "numbers", "source"]
    by_id, solved = {cell.id: cell for cell in learning.cells}, {cell.id: cell for cell in reading.cells}
    assert "NotImplementedError" in by_id["write-double"].source and "return 2 * x" in solved["write-double"].source
    assert by_id["write-double-hints"].source.count("<details>") == 3 and "return 2 * x" in by_id["write-double-hints"].source
    assert solved["write-double-hints"].source.count("<details>") == 2
    assert by_id["picture"].outputs and [cell.id for cell in code_cells(learning) if cell.outputs] == ["picture"]
    assert solved["numbers"].outputs[0].text == "None 1 4\n"  # full mode, text progress
    assert "def cosine" in json.dumps(solved["source"].outputs)
    assert re.search(r"4 minutes, 1 minute on \w+ CPU cores?, 4 minutes for", by_id["title"].source)
    repository = Source(small, "00_small").repository.removeprefix("https://github.com/")
    assert f"colab.research.google.com/github/{repository}/blob/main/notebooks/00_small.ipynb)" in by_id["title"].source
    assert f"/{repository}/blob/main/notebooks/solutions/00_small.ipynb)" in solved["title"].source
    assert ") · [Solutions](solutions/00_small.ipynb) 4" in by_id["title"].source
    assert ") · [Exercises](../00_small.ipynb) 4" in solved["title"].source
    assert (small / "README.md").read_text().count("00_small.ipynb") == 3

    # What makes a run stale, and is named. Text is not among it.
    source, kept = small / "notebooks" / "src" / "00_small.md", small / "notebooks" / "solutions" / "00_small.ipynb"

    def causes(path, old, new):
        text = path.read_text()
        change(path, old, new)
        found = "\n".join(build(small, [], check=True))
        path.write_text(text)
        return found

    shown = "show_source(NoiseSchedule.cosine)"
    assert causes(source, "2 + 2", "2 + 3").startswith("notebooks/solutions/00_small.ipynb: the run saw another numbers\n")
    assert f"another {shown}" in causes(kept, reading.metadata.ddpm_course.sources[shown], "0")
    assert "another tools/setup_cell.py" in causes(small / "tools" / "setup_cell.py", "Ready.", "Steady.")
    assert "changed after the run" in causes(kept, '"None 1 4\\n"', '"None 1 5\\n"')
    assert "the run saw" not in causes(source, "# Small", "# Tiny")
    assert causes(source, "# Small", "# Tiny").count("differs") == 2
    differs = "differs from what the sources give"
    assert causes(small / "notebooks" / "00_small.ipynb", 'Write me', "Write it") == f"notebooks/00_small.ipynb: {differs}"
    assert causes(small / "README.md", "1 minute", "9 minutes") == f"README.md: {differs}"
    renamed = causes(small / "pyproject.toml", "github.com/", "github.com/somebody-")
    assert renamed.count("differs") == 3 and "the run saw" not in renamed  # a new address asks for no new run


def test_a_failed_run_names_the_notebook_and_writes_nothing(small):
    change(small / "notebooks" / "src" / "00_small.md", "2 + 2", "1 / 0")
    with pytest.raises(SourceError, match=r"(?s)00_small.md: the run failed.*ZeroDivisionError"):
        build(small, [])
    assert not list(small.rglob("*.ipynb"))


@pytest.mark.parametrize(("old", "new", "message"), [
    ('"slug": "title", ', "", "'' needs a slug"),
    (":slug: numbers", ":slug: Numbers!", "'Numbers!' needs a slug"),
    (":slug: numbers", ":slug: picture", "'picture' has the slug of another cell"),
    ("nbval-check-output", "nbval-check-outputs", "'numbers' has unknown tags"),
    (":include: setup", ":include: footer", "includes something other"),
    (":exercise: double\n:tags: [spine]\n", ":exercise: double\n\nx = 1\n", "'write-double' is written by the build"),
    ("title: A small thing", "name: A small thing", "a title in the front matter"),
    ("[title-picture, spine]", "[spine]", "one cell tagged title-picture"),
    (":include: setup\n", "", "one with `:include: setup`"),
    (":exercise: double", ":exercise: triple", "'write-double': .* has no 'triple'"),
    ("{{minutes_read}}", "{{minutes}}", r"'title' has the unknown placeholders \['minutes'\]"),
    ("show_source(NoiseSchedule.cosine)", "show_source(unheard_of)", "only what the notebook imports"),
])
def test_a_source_with_a_slip_is_refused_by_name(small, old, new, message):
    change(small / "notebooks" / "src" / "00_small.md", old, new)
    with pytest.raises(SourceError, match=f"notebooks/src/00_small.md: .*{message}"):
        run = Source(small, "00_small").edition(True, None)
        Source(small, "00_small").seen(run)


def test_an_unknown_notebook_is_refused(small):
    with pytest.raises(SourceError, match="no 77_nothing"):
        build(small, ["77_nothing"])


def output(text):
    return nbformat.v4.new_output("stream", name="stdout", text=text)


def display(kind, text):
    return nbformat.v4.new_output("display_data", {kind: text})


@pytest.mark.parametrize(("plant", "message"), [
    (lambda cell, nb: nb.metadata.update(widgets={}), "metadata: holds"),
    (lambda cell, nb: nb.metadata.language_info.update(version="3.11"), "or a version"),
    (lambda cell, nb: nb.metadata.update(colab={}), "T4"),
    (lambda cell, nb: cell.update(id="setup"), "not unique"),
    (lambda cell, nb: cell.update(execution_count=7), "not 1 to n"),
    (lambda cell, nb: cell.update(execution_count=None), "without a count"),
    (lambda cell, nb: cell.metadata.update(execution={}), "numbers: metadata"),
    (lambda cell, nb: cell.update(source="open('/home/me/x')"), "absolute path"),
    (lambda cell, nb: cell.update(source="%pip install x"), "not plain Python"),
    (lambda cell, nb: cell.update(source="input()"), "input"),
    (lambda cell, nb: cell.update(outputs=[]), "nothing to compare"),
    (lambda cell, nb: cell.outputs.append(nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])), "an error"),
    (lambda cell, nb: cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text="oh")), "stderr"),
    (lambda cell, nb: cell.outputs[0].update(text="UserWarning: mind the gap"), "a warning"),
    (lambda cell, nb: cell.outputs[0].update(text="in /tmp/ipykernel_1/2.py"), "absolute path"),
    (lambda cell, nb: cell.outputs[0].update(text="<object at 0x7f00aa11>"), "memory address"),
    (lambda cell, nb: cell.outputs[0].update(text="  0%|     | 0/5"), "progress bar"),
    (lambda cell, nb: cell.outputs.append(display("image/svg+xml", "<svg/>")), "image/svg"),
    (lambda cell, nb: cell.outputs.append(display("text/plain", "VBox(children=(Play(),))")), "stand-in"),
    (lambda cell, nb: cell.outputs.append(display("text/plain", "<Figure size 640x480>")), "without words"),
])
def test_planted_flaws_are_found(plant, message):
    cells = [nbformat.v4.new_code_cell("x = 1", id="setup", execution_count=1),
             nbformat.v4.new_code_cell("print(4)", id="numbers", execution_count=2, metadata={"tags": ["nbval-check-output"]},
                                       outputs=[output("4\n")])]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"},
                "accelerator": "GPU", "title": "T", "colab": {"gpuType": "T4", "provenance": []}, "ddpm_course": {}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    assert flaws(notebook, reading=True) == []
    plant(notebook.cells[1], notebook)
    assert any(message in flaw for flaw in flaws(notebook, reading=True)), flaws(notebook, reading=True)


def test_the_learning_edition_keeps_its_answers_to_itself():
    cell = nbformat.v4.new_code_cell("print(4)", id="numbers", execution_count=2, outputs=[output("4\n")])
    assert any("before the question" in flaw for flaw in flaws(nbformat.v4.new_notebook(cells=[cell]), reading=False))


# --- nbval --------------------------------------------------------------------------------------------------------


def test_make_test_runs_nbval_on_both_editions():
    text = (ROOT / "Makefile").read_text()
    flags = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=240"]
    assert all(word in text for word in (*flags, "--dist loadscope", "DDPM_COURSE_FAST=1", "OMP_NUM_THREADS=1"))
    result = subprocess.run([sys.executable, "-m", "pytest", *flags, "--collect-only", "-q", "notebooks"], cwd=ROOT,
                            capture_output=True, text=True, timeout=240)
    collected = {line.partition("::")[0] for line in result.stdout.splitlines() if "::" in line}
    assert collected == {path.relative_to(ROOT).as_posix() for path in EDITIONS}


def test_the_run_sheets_fit_their_time_and_hold_their_path():
    text = (ROOT / "INSTRUCTOR.md").read_text()
    numbers = {path.stem[:2] for path in SOURCES}
    asked = {number: bool(long) for number, long in re.findall(r"^\*\*(\d\d\.\d)\*\*( \(long path\))?", text, re.MULTILINE)}
    for name, plan in run_sheets.PLANS.items():
        sheet = text.partition(f"<!-- built: {name} -->\n")[2].partition("<!-- end -->")[0]
        clocks = [60 * int(hours) + int(rest) for hours, rest in re.findall(r"^\| (\d):(\d\d) \|", sheet, re.MULTILINE)]
        assert clocks and clocks == sorted(clocks) and clocks[-1] <= plan.minutes, f"{name} does not hold {clocks[-1]}"
        assert re.findall(r"^\| \d:\d\d \| \*\*(\d\d) ", sheet, re.MULTILINE) == [part for part in plan.parts if part in numbers]
        in_sheet = set(re.findall(r"\d\d\.\d", re.sub(r"^\| \d:\d\d", "", sheet, flags=re.MULTILINE)))
        assert in_sheet and in_sheet == {number for number, long in asked.items() if number[:2] in plan.parts and (plan.whole or not long)}


def test_the_two_days_hold_all_of_the_course():
    parts = [part for name in ("day one", "day two") for part in run_sheets.PLANS[name].parts if isinstance(part, str)]
    assert parts == [f"{number:02}" for number in range(15)]


def test_the_doctors_figures_agree_with_the_sheets():
    text, figures = (ROOT / "INSTRUCTOR.md").read_text(), json.loads((ROOT / "ddpm_course" / "run_sheets.json").read_text())
    assert figures["images_per_second"] > 0 and [*figures["sheets"]] == [*run_sheets.PLANS]
    for name, sheet in figures["sheets"].items():
        hours, rest = re.search(r"\| (\d):(\d\d) \| \*\*End", text.partition(f"<!-- built: {name} -->\n")[2]).groups()
        assert sheet["end"] == pytest.approx(60 * int(hours) + int(rest), abs=1)
        assert 0 < sheet["other_seconds"] < 60 * sheet["end"] and sheet["minutes"] == run_sheets.PLANS[name].minutes
    assert figures["sheets"]["180 minutes"]["trainings"] == {"06": 300, "07": 205, "09": 60}  # as their cells ask for


def test_a_finished_training_is_kept_for_later_notebooks(tmp_path, capsys):
    kept, cache = tmp_path / notebook_run.KEPT, tmp_path / "cache"
    for run, file in (("07-labels-mnist5k", "model.safetensors"), ("08-other-mnist5k", "state.safetensors")):
        (cache / notebook_run.RUNS / run).mkdir(parents=True)
        (cache / notebook_run.RUNS / run / file).write_text(run)
    notebook_run.copy_runs(cache, kept, {"07-labels", "08-other"})
    assert [path.name for path in (kept / notebook_run.RUNS).iterdir()] == ["07-labels-mnist5k"]  # the other is not finished
    assert capsys.readouterr().out == ""
    notebook_run.copy_runs(kept, tmp_path / "next", {"07-labels", "08-other"})
    assert (tmp_path / "next" / notebook_run.RUNS / "07-labels-mnist5k" / "model.safetensors").is_file()
    assert "'08-other'" in capsys.readouterr().out
