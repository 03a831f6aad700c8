"""The short path alone runs: what a cell tagged `spine` uses is made by an earlier one. Read from the code; nothing is run."""

import ast
import builtins
import re
import symtable
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbformat")
pytest.importorskip("jupytext")
pytest.importorskip("nbclient")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from build_notebooks import Source, code_cells, tags  # noqa: E402

SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.md"))
LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)  # what their bodies use may be made after them, in the same cell


def unmade(cells):
    """What would fail if these (slug, source) were all the code there is, as sentences."""
    made, found = {*dir(builtins), "__name__", "display", "get_ipython"}, []
    asked = set()
    for slug, source in cells:
        late = _run(ast.parse(source).body, made, missing := [])
        found += [f"{slug} uses {name}" for name in dict.fromkeys([*missing, *sorted(late - made)])]
        asked |= {*re.findall(r'predict\("(.+?)"\)', source)}
        found += [f"{slug} reveals {id}" for id in re.findall(r'predict\.reveal\(\s*"(.+?)"', source) if id not in asked]
    return found


def _run(statements, made, missing):
    """Walk statements in the order of their run: adds to `made` and `missing`; returns what the functions in them use."""
    late = set()
    for node in statements:
        if isinstance(node, ast.Try | ast.For | ast.AsyncFor | ast.While | ast.If | ast.With | ast.AsyncWith):
            for part in _parts(node):
                late |= _run(part, made, missing)
            continue
        used, bound = _names(node)
        if isinstance(node, LATER):
            late |= used
        else:
            missing += sorted(used - made)
        made |= bound
    return late


def _parts(node):
    """The pieces of a compound statement in order, each a list of statements."""
    match node:
        case ast.For() | ast.AsyncFor():
            yield [ast.Assign([node.target], node.iter)]
        case ast.While() | ast.If():
            yield [ast.Expr(node.test)]
        case ast.With() | ast.AsyncWith():
            yield [ast.Assign([item.optional_vars], item.context_expr) if item.optional_vars else ast.Expr(item.context_expr)
                   for item in node.items]
    yield node.body
    for handler in getattr(node, "handlers", []):
        yield [ast.Assign([ast.Name(handler.name or "_", ast.Store())], handler.type or ast.Constant(None)), *handler.body]
    yield getattr(node, "orelse", [])
    yield getattr(node, "finalbody", [])


def _names(node):
    """The global names that one statement uses, and those that it binds."""
    table = symtable.symtable(ast.unparse(ast.fix_missing_locations(ast.Module([node], []))), "cell", "exec")
    bound = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    used = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    inner = [*table.get_children()]
    while inner:
        scope = inner.pop()
        used |= {symbol.get_name() for symbol in scope.get_symbols() if symbol.is_referenced() and symbol.is_global()}
        inner += scope.get_children()
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        used.add(node.target.id)
    return used - {inside.target.id for inside in ast.walk(node) if isinstance(inside, ast.NamedExpr)}, bound


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
    (['f"{x:{w}.2f}"', "y: int = 3", "y"], ["1 uses w", "1 uses x"]),
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
