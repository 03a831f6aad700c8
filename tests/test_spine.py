"""The short path alone runs: what a cell tagged `spine` uses is made by an earlier one. Read from the code; nothing is run."""

import builtins
import dis
import inspect
import re
import types
from pathlib import Path

import pytest
from build_notebooks import Source, code_cells, tags

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.md"))


def unmade(cells):
    """What would fail if these (slug, source) were all the code there is, as sentences."""
    made, asked, found = {*dir(builtins), "__name__", "__annotations__", "display", "get_ipython"}, set(), []
    for slug, source in cells:
        missing, late = [], []
        _walk(compile(source, slug, "exec"), made, missing, late)
        missing += [name for name in late if name not in made]
        found += [f"{slug} uses {name}" for name in dict.fromkeys(missing)]
        asked |= {*re.findall(r'predict\("(.+?)"\)', source)}
        found += [f"{slug} reveals {id}" for id in re.findall(r'predict\.reveal\(\s*"(.+?)"', source) if id not in asked]
    return found


def _walk(code, made, missing, late):
    """Follow names through bytecode, which stands in the order of the source. late: what functions use, once they are called."""
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname == "STORE_NAME":
            made.add(name)
        elif instruction.opname in ("LOAD_NAME", "LOAD_GLOBAL") and name not in made:
            missing.append(name)
        elif isinstance(name, types.CodeType):
            if not name.co_flags & inspect.CO_NEWLOCALS:  # a class: its body runs at once, in names of its own
                _walk(name, {*made, "__module__", "__qualname__"}, missing, late)
            else:
                _walk(name, made, missing if name.co_name.endswith(("comp>", "<genexpr>")) else late, late)


def learning(name, spine):
    """(slug, source) of the code cells that a learner gets, or of those of the short path."""
    cells = code_cells(Source(ROOT, name).edition(False, None))
    return [(cell.id, cell.source) for cell in cells if not spine or tags(cell) & {"spine", "setup"}]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_short_path_needs_no_other_cell(source):
    assert unmade(learning(source.stem, spine=True)) == []


@pytest.mark.parametrize(("cells", "found"), [
    (["x = 1", "x + 1", "print(x)"], []),
    (["import os.path as p, json", "from a import b as c", "p, json, c"], []),
    (["from a import b as c", "b"], ["2 uses b"]),
    (["x = x + 1"], ["1 uses x"]),
    (["x += 1"], ["1 uses x"]),
    (["print(y)\ny = 1"], ["1 uses y"]),
    (["[i * k for i in range(3)]"], ["1 uses k"]),
    (["[i for i in range(3)]", "i"], ["2 uses i"]),
    (["{k: v for k, v in {}.items() if k}", "(lambda a, *b: (a, b, c))"], ["2 uses c"]),
    (["for i, (a, b) in enumerate(z):\n    a\nelse:\n    n = i", "i, a, b, n"], ["1 uses z"]),
    (["for w in w:\n    pass"], ["1 uses w"]),
    (["with open('x') as f, f as g:\n    g", "f"], []),
    (["try:\n    q\nexcept OSError as e:\n    print(e)\nfinally:\n    r"], ["1 uses q", "1 uses r"]),
    (["if (m := 3) > 2:\n    m\nelif n:\n    o", "m"], ["1 uses n", "1 uses o"]),
    (["while True:\n    p = 1\n    break", "p"], []),
    (["def f(a, b=d):\n    e = a + h\n    return f(e)", "e, f"], ["1 uses d", "1 uses h", "2 uses e"]),
    (["def f():\n    return g()\n\n\ndef g():\n    return 1", "f()"], []),  # g is there when f is called
    (["class A(B):\n    c = 1\n\n    def d(self):\n        return self.c, A, e", "A().c, c"], ["1 uses B", "1 uses e", "2 uses c"]),
    (['predict("a")', 'predict.reveal("a", 1)'], ["1 uses predict", "2 uses predict"]),
    (["from a import predict", 'predict.reveal(\n    "a", 1)'], ["2 reveals a"]),
    (['f"{x:{w}.2f}"', "y: int = 3", "y"], ["1 uses x", "1 uses w"]),
])
def test_planted_flaws_are_found(cells, found):
    assert unmade([(str(number), cell) for number, cell in enumerate(cells, 1)]) == found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_cell_together_lacks_nothing(source):
    """So that a name that is reported is one that the short path lacks, not one that this reading of the code overlooks."""
    assert unmade(learning(source.stem, spine=False)) == []


def test_a_cell_taken_from_the_short_path_is_missed():
    cells = [cell for cell in learning("01_forward_noising", spine=True) if cell[0] != "write-q-sample"]
    assert unmade(cells) == ["check-q-sample uses q_sample", "use-q-sample uses q_sample"]
