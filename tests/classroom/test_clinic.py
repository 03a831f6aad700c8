"""The clinic: each fault is found by its own tests and by no other, the healthy programs by none."""

import pytest
import torch

from ddpm_course.classroom import check, clinic
from ddpm_course.classroom.checks import judge
from ddpm_course.classroom.exercises import EXERCISES
from ddpm_course.classroom.room import training_digits

ILL = {
    "healthy, face": set(), "A": {"noise_moments"}, "B": {"hidden_labels"}, "C": {"other_weights"}, "D": {"blind_report"},
    "healthy, digits": set(), "E": {"first_visit"}, "F": {"one_step", "two_steps", "all_levels"},
    "F, width repaired": {"two_steps", "all_levels"}, "F, noise repaired": {"one_step", "all_levels"},
}  # fmt: skip


@pytest.fixture(scope="module")
def programs():
    return clinic.ward(training_digits()[:1000], batches=100)


def test_every_fault_against_every_test(programs):
    """`looks` needs a full training: the notebook asserts it."""
    assert {*programs} == {*ILL}
    for name, program in programs.items():
        assert {label for label, test in clinic.TESTS.items() if label != "looks" and test(program).ill} == ILL[name], name


def test_each_test_is_ill_for_somebody():
    assert set.union(*ILL.values()) == {*clinic.TESTS} - {"looks"}


@pytest.mark.parametrize(("name", "fn", "words"), [
    ("drop_labels", clinic.sick_hide, "One draw decides"),
    ("noise_step", lambda x, beta, noise: (1 - beta) ** 0.5 * x + beta * noise, "standard deviation"),
])
def test_earlier_checks_name_the_fault_and_leave_the_record_alone(name, fn, words):
    before = check.progress().rows
    verdict = clinic.consult(name, fn)
    assert verdict.status == "wrong" and words in verdict.message
    assert check.progress().rows == before


def test_who_repairs_nothing_is_told_so():
    sick = [exercise for exercise in EXERCISES.values() if exercise.sick is not None]
    assert len(sick) == 3
    for exercise in sick:
        verdict = judge(exercise, exercise.sick)
        assert verdict.status == "not attempted" and "still does what the patient's did" in verdict.message


def test_the_healthy_parts_are_right():
    assert clinic.consult("ema_update", clinic.ema_update).status == "right"
    assert clinic.consult("drop_labels", clinic.drop_labels).status == "right"
    assert [clinic.warm_decay(k) for k in (0, 10**9)] == [0.0, 0.9999]


def test_a_training_is_repeatable_and_kept(programs):
    again = clinic.ward(training_digits()[:1000], batches=100)["healthy, face"]
    first = clinic.train(programs["healthy, face"])
    assert clinic.train(programs["healthy, face"]) is first
    assert clinic.train(again).losses == first.losses and len(first.losses) == 100
    assert first.losses[-1] < 0.5 * first.losses[0]


def test_the_slow_average_learns_the_same_network(programs):
    ours, hers = clinic.train(programs["healthy, face"]), clinic.train(programs["C"])
    assert ours.losses == hers.losses
    assert all(torch.equal(a, b) for a, b in zip(ours.model.parameters(), hers.model.parameters(), strict=True))


def test_the_lying_report_stops_the_training(programs):
    made = clinic.train(programs["D"])
    assert len(made.losses) == 50 and made.reports[0][1] < 1e-4


def test_the_face_has_labelled_parts():
    points, labels = clinic.face(2000, torch.Generator().manual_seed(0))
    assert points.shape == (2000, 2) and points.abs().max() < 1 and labels.unique().tolist() == [0, 1, 2]
    assert (points[labels == 2, 1] < 0).all() and (points[labels == 1, 1] > 0).all()
