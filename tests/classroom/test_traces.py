"""Traces: the made-up one follows the rule of the queue, and is read as a recorded one is."""

import pytest
import torch

from ddpm_course.classroom import plots
from ddpm_course.classroom.exercises import EXERCISES
from ddpm_course.classroom.traces import lanes, queue_trace, recorded, spans

idle_share = EXERCISES["idle_share"].solution


def test_without_a_wait_the_gpu_sets_the_pace():
    kernels = spans(queue_trace(10, kernels=40, launch=8, kernel=30, between=250), "kernel")
    assert len(kernels) == 400
    assert kernels[:, 1].max() - kernels[:, 0].min() == pytest.approx(400 * 30)
    assert idle_share(kernels) == 0


def test_with_a_wait_each_step_loses_the_time_from_the_wait_to_the_first_launch():
    kernels = spans(queue_trace(10, True, kernels=40, launch=8, kernel=30, between=250), "kernel")
    length = kernels[:, 1].max() - kernels[:, 0].min()
    lost = 9 * (8 + 4 + 250 + 8)  # the call's own time, the loop's Python, the first launch; nine times between ten steps
    assert length == pytest.approx(400 * 30 + lost)
    assert float(idle_share(kernels)) == pytest.approx(lost / float(length))


def test_a_cpu_that_is_too_slow_sets_the_pace_and_a_wait_costs_little():
    slow = dict(kernels=40, launch=30.0, kernel=8.0, between=250.0)
    steps = [spans(queue_trace(10, item, **slow), "kernel") for item in (False, True)]
    free, waiting = (float(kernels[:, 1].max() - kernels[:, 0].min()) for kernels in steps)
    assert free > 10 * 40 * 30 and waiting / free < 1.05


def test_a_kernel_starts_after_its_launch_and_after_the_kernel_before_it():
    events = queue_trace(4, True)
    launches, kernels = spans(events, "cuda_runtime", "cudaLaunchKernel"), spans(events, "kernel")
    assert bool((kernels[:, 0] >= launches[:, 1]).all()) and bool((kernels[1:, 0] >= kernels[:-1, 1]).all())


def test_a_recorded_trace_has_the_same_form():
    events = recorded(lambda: torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).mm(torch.eye(64)).sum().item())
    names = {event["name"] for event in events if event.get("cat") == "cpu_op"}
    assert {"aten::mm", "aten::item", "aten::_local_scalar_dense"} <= names  # those that the made-up one uses
    for made in queue_trace(1, True):
        assert all(made.keys() <= event.keys() for event in events)
    found = spans(events, "cpu_op", "aten::mm")
    assert len(found) == 1 and found[0, 1] > found[0, 0]
    assert spans(events, "no such thing").shape == (0, 2)


def test_lanes_are_drawn():
    rows = lanes(queue_trace(2, True))
    assert [*rows] == ["CPU", "GPU"] and {what for *_, what in rows["CPU"]} == {"Python", "launches", "waits in .item()"}
    assert sum(length for _, length, what in rows["GPU"]) == pytest.approx(2 * 40 * 0.03)
    picture = plots.lanes({"with": rows, "without": lanes(queue_trace(2))}, "milliseconds")
    assert [axes.get_title() for axes in picture.axes] == ["with", "without"] and picture.axes[-1].get_xlabel() == "milliseconds"
    assert "with: CPU, GPU" in picture.alt
    assert [label.get_text() for label in picture.legends[0].get_texts()] == ["Python", "launches", "waits in .item()", "kernels"]
