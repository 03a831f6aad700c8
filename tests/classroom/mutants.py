"""Wrong answers derived by rule from an exercise's reference: what a learner may write by a slip.

`mutants(exercise)` yields (rule, source, function). Each rule proposes replacements for one kind of node; every
proposal at every place is one mutant. A mutant may happen to be right: `equivalent` compares it with the reference on
many other inputs.
"""

import ast
import copy
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch

from ddpm_course.classroom import checks
from ddpm_course.classroom.compare import different
from ddpm_course.classroom.exercises import Exercise
from ddpm_course.classroom.sandbox import call

OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
METHODS = {
    "cumprod": ("cumsum", "logcumsumexp"), "cumsum": ("cumprod",), "prod": ("sum",), "sum": ("mean", "prod"), "mean": ("sum",),
    "sqrt": ("square", "rsqrt", "exp", "abs"), "square": ("sqrt", "abs"), "exp": ("log", "expm1"), "log": ("exp", "log1p"),
    "softmax": ("sigmoid", "log_softmax"), "randn_like": ("rand_like", "zeros_like"), "flatten": ("clone",),
}  # fmt: skip
COMPARES = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


INSTEAD = (
    "_e - 1", "_e + 1", "_e * 2", "-_e", "_e[:1]", "_e[0]", "_e.flip(0)", "_e.abs()", "_e.clamp(-1, 1)", "_e.mean()",
    "_e ** 0.5", "_e ** 2",
    "torch.rand_like(_e)", "torch.randn_like(_e)", "torch.zeros_like(_e)", "torch.ones_like(_e)",
)  # fmt: skip
STATEMENTS = {  # put before the body; {a} is each argument in turn
    "changes {a} first": "{a} *= 0.5",
    "changes {a} in place": "{a}.mul_(0.5)",
    "sets the seed": "torch.manual_seed(1)",
    "draws a number": "torch.rand(1)",
    "sets the default dtype": "torch.set_default_dtype(torch.float64)",
    "switches gradients off": "torch.set_grad_enabled(False)",
    "asks": "raise ValueError",
    "leaves": "raise SystemExit",
}
RETURNS = (
    "({e},)", "[{e}]", "({e}).numpy()", "({e}).tolist()", "({e}).half()", "({e}).long()", "({e}).sum()", "({e})[None]", "({e})[..., :-1]",
    "({e}) + 0.01", "({e}) * 1.01", "({e}) * float('nan')", "({e}) / 0", "({e}).clamp(-1, 1)", "({e}).abs()", "({e}).to(torch.complex64)",
    "print({e})", "(yield {e})", "lambda: {e}", "{a}.copy_({e})", "{a}", "None", "0", "torch.rand_like({e})",
)  # fmt: skip


def _parse(text: str, **parts: ast.AST) -> ast.AST:
    """The expression `text`, with names replaced by whole expressions."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node):
            return copy.deepcopy(parts.get(node.id, node))

    return Fill().visit(ast.parse(text, mode="eval").body)


def _expressions(node: ast.AST, names: list[str]) -> Iterator[tuple[str, ast.AST]]:
    """(rule, replacement) for one expression of the body."""
    if isinstance(node, ast.BinOp):
        for operator in OPERATORS:
            if not isinstance(node.op, operator):
                yield f"{type(node.op).__name__} becomes {operator.__name__}", ast.BinOp(node.left, operator(), node.right)
        yield "left part alone", node.left
        yield "right part alone", node.right
        yield "parts swapped", ast.BinOp(node.right, node.op, node.left)
        yield "sign of the right part", ast.BinOp(node.left, node.op, ast.UnaryOp(ast.USub(), node.right))
    if isinstance(node, ast.BinOp | ast.Subscript | ast.Call):
        yield "sign flipped", ast.UnaryOp(ast.USub(), node)
        yield "root of it", _parse("_e ** 0.5", _e=node)
        yield "square of it", _parse("_e ** 2", _e=node)
        yield "one minus it", _parse("1 - _e", _e=node)
        yield "transposed", _parse("_e.mT", _e=node)
        yield "first one for all", _parse("_e[:1]", _e=node)
        yield "turned round", _parse("_e.flip(0)", _e=node)
        yield "mean over everything", _parse("_e.mean()", _e=node)
        yield "gone", ast.Constant(0)
        yield "without effect", ast.Constant(1)
    if isinstance(node, ast.UnaryOp):
        yield "without its sign", node.operand
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARES:
        yield "comparison turned", ast.Compare(node.left, [COMPARES[type(node.ops[0])]()], node.comparators)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        for value in {node.value + 1, node.value - 1, node.value * 2, node.value / 2, -node.value} - {node.value}:
            yield f"{node.value} becomes {value}", ast.Constant(int(value) if float(value).is_integer() else value)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "turned", ast.Constant(not node.value)
    if isinstance(node, ast.Subscript):
        for change in ("_i - 1", "_i + 1", "_i[0]", "_i[:1]", "_i.flip(0)", "-_i", "0", "-1", "_i * 0", "_i.float().mean().long()"):
            yield f"index {change.replace('_i', 'i')}", ast.Subscript(node.value, _parse(change, _i=node.slice), node.ctx)
        yield "index dropped", node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id in ("torch", "F", "math")):
            yield f"without .{node.func.attr}()", node.func.value
        elif node.args:
            yield f"without {node.func.attr}()", node.args[0]
        for other in METHODS.get(node.func.attr, ()):
            yield f"{node.func.attr} becomes {other}", ast.Call(ast.Attribute(node.func.value, other, ast.Load()), node.args, node.keywords)
        for position in range(len(node.args)):
            yield f"argument {position + 1} dropped", ast.Call(node.func, node.args[:position] + node.args[position + 1 :], node.keywords)
        for position in range(len(node.keywords)):
            yield "keyword dropped", ast.Call(node.func, node.args, node.keywords[:position] + node.keywords[position + 1 :])
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        for other in names:
            if other != node.id:
                yield f"{node.id} becomes {other}", ast.Name(other, ast.Load())
        for change in INSTEAD:
            yield f"{node.id} becomes {change.replace('_e', node.id)}", _parse(change, _e=node)


def mutants(exercise: Exercise, pairs: int = 0) -> Iterator[tuple[str, str, Callable]]:
    """(rule, source, function) of every mutant once; then of `pairs` that break two rules, picked by a fixed seed."""
    reference = ast.parse(exercise.solution_source()).body[0]
    names = list(exercise.arguments)
    seen = {ast.unparse(reference)}
    single, pick = list(_edits(reference, names)), random.Random(0)
    made = [(rule, build()) for rule, build in single]
    for rule, build in pick.choices(single, k=pairs):
        once = build()
        second, build = pick.choice(list(_edits(once, names)))
        made.append((f"{rule}; {second}", build()))
    for rule, function in made:
        ast.fix_missing_locations(function)
        source = ast.unparse(function)
        if source in seen:
            continue
        seen.add(source)
        namespace = {"torch": torch, "math": math}
        try:
            exec(compile(source, "<mutant>", "exec"), namespace)
        except SyntaxError:
            continue
        yield rule, source, namespace[exercise.name]


def _edits(function: ast.FunctionDef, names: list[str]) -> Iterator[tuple[str, Callable[[], ast.FunctionDef]]]:
    """(rule, what builds the function) for every rule at every place."""
    start = 1 if ast.get_docstring(function) else 0
    inside = {id(node) for statement in function.body[start:] for node in ast.walk(statement)}
    for index, node in enumerate(ast.walk(function)):
        if id(node) not in inside:
            continue
        for rule, replacement in _expressions(node, names):
            yield rule, partial(_with, function, index, replacement)
        if isinstance(node, ast.Return) and node.value is not None:
            for text in RETURNS:
                for argument in names if "{a}" in text else [""]:
                    changed = ast.parse("return " + text.format(e=ast.unparse(node.value), a=argument)).body[0]
                    yield f"returns {text}", partial(_with, function, index, changed)
        if isinstance(node, ast.stmt):
            yield "statement dropped", partial(_with, function, index, ast.Pass())
    for rule, text in STATEMENTS.items():
        for argument in names if "{a}" in text else [""]:
            yield rule.format(a=argument), partial(_before, function, start, text.format(a=argument))


def _before(function: ast.FunctionDef, start: int, text: str) -> ast.FunctionDef:
    fresh = copy.deepcopy(function)
    fresh.body[start:start] = ast.parse(text).body
    return fresh


def _with(function: ast.FunctionDef, index: int, new: ast.AST) -> ast.FunctionDef:
    """A copy of the function in which the index-th node of its walk is `new`."""
    fresh = copy.deepcopy(function)
    target = list(ast.walk(fresh))[index]
    for parent in ast.walk(fresh):
        for name, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, name, copy.deepcopy(new))
            elif isinstance(value, list) and any(part is target for part in value):
                setattr(parent, name, [copy.deepcopy(new) if part is target else part for part in value])
    return fresh


def equivalent(exercise: Exercise, fn: Callable, seeds: int = 40) -> bool:
    """Whether fn does what the reference does on inputs that no check has seen; ten times closer than a check asks."""
    for seed in range(1, seeds + 1):
        for case, again in zip(exercise.cases(seed), exercise.cases(seed), strict=True):
            got, want = call(exercise.applied(fn), case.args), call(exercise.applied(exercise.solution), again.args)
            if exercise.changes and checks._nothing(want.value):
                got = replace(got, value=want.value)
            if got.error or different((got.value, *case.args), (want.value, *again.args), exercise.rtol / 10, exercise.atol / 10):
                return False
    return True
