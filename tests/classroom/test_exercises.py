"""Every exercise, without naming one: a new file in exercises/ is judged by these tests as it is.

What is right in another way than the reference, and what is wrong as learners type it, is in tests/answers.
"""

import ast
import inspect
import itertools
import re
import time
import warnings

import pytest
import torch
from answers import RIGHT, WRONG
from mutants import equivalent, mutants

from ddpm_course.classroom import checks
from ddpm_course.classroom.compare import different
from ddpm_course.classroom.exercises import EXERCISES
from ddpm_course.classroom.sandbox import TimeUp, in_time

PAIRS = 60  # mutants that break two rules, for each exercise
each = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def words(text):
    return len(text.split())


@each
def test_reference_is_right_and_quick(exercise):
    start = time.process_time()
    verdict = checks.judge(exercise, exercise.solution)
    assert verdict.status == "right", verdict
    assert time.process_time() - start < 0.75  # half of what a learner's function has


@each
def test_other_references_are_right(exercise):
    assert [checks.judge(exercise, reference).status for reference in exercise.also] == ["right"] * len(exercise.also)


@each
def test_stub_is_the_reference_without_its_body(exercise):
    namespace = {"torch": torch}
    exec(compile(exercise.stub(), "<stub>", "exec"), namespace)
    stub = namespace[exercise.name]
    assert stub.__doc__ == exercise.solution.__doc__
    assert checks.judge(exercise, stub).status == "not attempted"
    if exercise.sick is not None:  # to be repaired: its body, and what is right in it may stand there
        assert exercise.stub().endswith(inspect.getsource(exercise.sick).partition("\n")[2])
        return
    assert exercise.stub().endswith('raise NotImplementedError("Write me")\n')
    body = ast.parse(exercise.solution_source()).body[0].body[1:]
    assert not any(ast.unparse(statement) in exercise.stub() for statement in body)


@each
def test_reference_stands_alone(exercise):
    """It is shown in a cell of a notebook that has imported torch."""
    namespace = {"torch": torch}
    exec(compile(exercise.solution_source(), "<solution>", "exec"), namespace)
    assert checks.judge(exercise, namespace[exercise.name]).status == "right"


@each
def test_words_are_few_and_keep_the_solution(exercise):
    body = ast.parse(exercise.solution_source()).body[0].body[1:]
    terms = {ast.unparse(node) for statement in body for node in ast.walk(statement) if isinstance(node, ast.BinOp | ast.Call)}
    assert len(exercise.hints) == 2
    for sentence in [*exercise.mistakes, *exercise.hints]:
        assert words(sentence) <= (checks.WORDS if sentence in exercise.mistakes else 40), sentence
        assert sentence[-1] in ".?"
        for term in terms:
            assert term.replace(" ", "") not in sentence.replace(" ", ""), (term, sentence)
    for part in re.split(r"(?<=[.?])\s", " ".join(exercise.hints)):
        assert words(part) <= 20, part


@each
def test_name_is_free(exercise):
    assert exercise.name.isidentifier()
    assert exercise.name not in vars(checks.Checks)
    assert re.fullmatch(r"\d\d_\w+", exercise.notebook)
    assert not set(exercise.variants) - set(checks.VARIANTS)
    assert not set(exercise.changes) - set(exercise.arguments)


@each
def test_cases_are_the_same_every_time_and_new_for_another_seed(exercise):
    state = torch.get_rng_state()
    first, again, other = exercise.cases(0), exercise.cases(0), exercise.cases(1)
    assert torch.equal(state, torch.get_rng_state())
    assert len({case.label for case in first}) == len(first) == len(other)
    same = [different(a.args, b.args, 0, 0) for a, b in zip(first, again, strict=True)]
    assert same == [None] * len(first)
    assert any(different(a.args, b.args, 0, 0) for a, b in zip(first, other, strict=True))


MISTAKES = [(exercise, sentence, fn) for exercise in EXERCISES.values() for sentence, fn in exercise.known_mistakes()]


@pytest.mark.parametrize(("exercise", "sentence", "fn"), MISTAKES, ids=[f"{e.name}-{i}" for i, (e, *_) in enumerate(MISTAKES)])
def test_known_mistake_is_named(exercise, sentence, fn):
    verdict = checks.judge(exercise, fn)
    assert (verdict.status, verdict.message) == ("wrong", sentence)


def judged(exercise, fn):
    verdict = in_time(lambda: checks._judge_anything(exercise, fn), 10)
    return checks._out_of_time(fn, verdict) if isinstance(verdict, TimeUp) else verdict


@each
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])  # a sample each time, all of them in `make test-slow`
def test_no_mutant_survives(exercise, every, record_property):
    counts = dict(named=0, described=0, untouched=0, equivalent=0)
    survivors, same, wordy = [], [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for rule, source, fn in itertools.islice(mutants(exercise, PAIRS), 0, None, every):
            verdict = judged(exercise, fn)
            if verdict.status == "right":
                (same if equivalent(exercise, fn) else survivors).append(f"{rule}:\n{source}")
            elif verdict.status == "wrong":
                counts["named" if verdict.message in exercise.mistakes else "described"] += 1
            else:
                counts["untouched"] += 1
            if words(verdict.message) > checks.WORDS + 1:  # and a sign that something is left out
                wordy.append(verdict.message)
    counts["equivalent"] = len(same)
    killed = sum(counts.values()) - len(same)
    share = 100 * killed / (killed + len(survivors))
    record_property(
        "summary",
        f"{exercise.name}: {killed} of {killed + len(survivors)} mutants refused ({share:.1f} %): {counts['named']} by a known mistake, "
        f"{counts['described']} by what differs, {counts['untouched']} as not attempted; {len(same)} more are equivalent",
    )
    assert not survivors, "\n\n".join(survivors)
    assert not wordy
    assert killed > 50 / every
    assert every > 1 or len(same) < 0.25 * killed, "\n\n".join(same)  # many equivalents are a sign of cases that show too little


ANSWERS = [(name, fn) for name, answers in RIGHT.items() for fn in answers]


@pytest.mark.parametrize(("name", "fn"), ANSWERS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(ANSWERS)])
def test_right_in_another_way(name, fn):
    verdict = checks.judge(EXERCISES[name], fn)
    assert verdict.status == "right", verdict


def test_each_exercise_has_other_right_answers():
    assert set(RIGHT) == set(EXERCISES)
    assert min(map(len, RIGHT.values())) >= 5


@each
def test_a_typed_mistake_is_named(exercise):
    source, named = WRONG[exercise.name]
    namespace = {"torch": torch}
    exec(compile(source, "<answer>", "exec"), namespace)
    verdict = checks.judge(exercise, namespace[exercise.name])
    assert verdict.status == "wrong" and named in verdict.message
