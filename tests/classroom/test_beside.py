"""A training in a thread: started, joined, left alone, stopped, resumed, failed. All runs are real."""

import dataclasses
import importlib
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from filelock import FileLock
from tiny import SMALL, TRAIN, build, digits, environment, run

from ddpm_course.classroom import check
from ddpm_course.classroom.beside import Beside, _runs, _save_all, beside
from ddpm_course.training import TrainingError
from ddpm_course.unet import UNet

module = importlib.import_module("ddpm_course.classroom.beside")
CPU = torch.device("cpu")
LONG = 640_000


@pytest.fixture(autouse=True)
def nothing_left_running(monkeypatch):
    monkeypatch.setattr(module, "NICE", 0)  # on a busy machine the others would keep it waiting
    yield
    for training in _runs.values():
        training.stop()
    _runs.clear()


def start(run_dir, model=None, **changes) -> Beside:
    fresh, diffusion = build()
    return beside(model or fresh, diffusion, digits(256, 8), dataclasses.replace(TRAIN, **changes), run_dir, CPU)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def weights(result):
    return torch.cat([p.flatten() for p in result.model.parameters()])


def test_it_trains_as_train_does_and_waiting_gives_the_result(tmp_path, capsys):
    training = start(tmp_path / "beside", images=640)
    result = training.wait()
    assert result is training.result and result.images_seen == 640 and not training.running
    assert torch.equal(weights(result), weights(run(tmp_path / "plain", images=640)))
    assert training.line() == repr(training) == "The training is done: 640 images."
    assert "640 of 640 images" in capsys.readouterr().out
    assert (tmp_path / "beside" / "model.safetensors").is_file()


def test_the_caller_is_not_kept_waiting_and_is_told_how_far_it_is(tmp_path):
    begun = time.monotonic()
    training = start(tmp_path, images=LONG)
    assert time.monotonic() - begun < 5 and training.running and training.result is None
    until(lambda: training.record is not None)
    assert training.line().startswith("The training runs beside the notebook: ") and f"of {LONG:,} images" in training.line()
    x = torch.randn(200, 200)
    assert torch.equal(x @ torch.eye(200), x)  # and other work gets done


def test_a_second_start_joins_the_first(tmp_path):
    training = start(tmp_path, images=LONG)
    assert start(tmp_path, images=32) is training
    assert start(tmp_path / "." / "", images=32) is training
    assert [thread.name for thread in threading.enumerate()].count(training.thread.name) == 1
    other = start(tmp_path / "another", images=320)
    assert other is not training and other.wait().images_seen == 320 and training.running


def test_it_stops_after_a_step_and_resumes_bit_for_bit(tmp_path):
    class Slow(UNet):
        def forward(self, *given):
            time.sleep(0.02)
            return super().forward(*given)

    slow = Slow(SMALL)
    slow.load_state_dict(build()[0].state_dict())
    training = start(tmp_path / "run", slow, images=640)
    until(lambda: training.record is not None)
    training.stop()
    assert not training.running and training.result is None
    assert training.line().startswith("Stopped after ") and training.line().endswith("Start it again to go on from there.")
    with pytest.raises(TrainingError, match="Start it again"):
        training.wait()
    again = start(tmp_path / "run", images=640)
    assert again is not training and again.wait().images_seen == 640
    assert torch.equal(weights(again.result), weights(run(tmp_path / "whole", images=640)))


def test_a_finished_run_is_read_from_its_folder(tmp_path):
    first = start(tmp_path, images=320).wait()
    _runs.clear()  # a restarted kernel knows nothing
    before = (tmp_path / "state.safetensors").stat().st_mtime_ns
    assert torch.equal(weights(start(tmp_path, images=320).wait()), weights(first))
    assert (tmp_path / "state.safetensors").stat().st_mtime_ns == before


@pytest.fixture
def kernels_sigint():
    """SIGINT as a kernel handles it; a worker of pytest-xdist ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_stop_button_leaves_the_wait_and_not_the_training(tmp_path, kernels_sigint):
    training = start(tmp_path, images=LONG)
    until(lambda: training.record is not None)
    threading.Timer(0.5, lambda: signal.raise_signal(signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        training.wait()
    assert training.running
    seen = training.record["images"]
    until(lambda: training.record["images"] > seen)
    assert start(tmp_path, images=LONG) is training


class Failing(UNet):
    def forward(self, *given):
        raise RuntimeError("two shapes\ndo not fit")


def test_an_error_is_one_sentence_and_is_raised_by_wait(tmp_path, capfd):
    training = start(tmp_path, Failing(SMALL))
    until(lambda: not training.running)
    assert training.line() == "The training stopped: RuntimeError: two shapes do not fit"
    with pytest.raises(TrainingError, match="two shapes do not fit") as raised:
        training.wait()
    assert isinstance(raised.value.__cause__, RuntimeError)  # with the learner's own line in its traceback
    assert "Traceback" not in capfd.readouterr().err
    assert start(tmp_path, images=320).wait().images_seen == 320  # and it can be tried again


def test_a_folder_in_use_and_another_runs_folder_are_said(tmp_path):
    (tmp_path / "used").mkdir()
    with FileLock(tmp_path / "used" / "lock"):
        training = start(tmp_path / "used")
        with pytest.raises(TrainingError, match="Another process is training"):
            training.wait()
        assert training.line().startswith("The training stopped: Another process is training in ")
    start(tmp_path / "other", images=320).wait()
    with pytest.raises(TrainingError, match="holds another run"):
        start(tmp_path / "other", images=160).wait()


def test_checks_are_not_disturbed_by_a_training(tmp_path):
    """A check compares torch's global random state before and after the learner's call; a training must leave it alone."""
    training = start(tmp_path, images=LONG)
    until(lambda: training.record is not None)
    verdicts = {check.q_sample(lambda x0, alpha_bar, t, noise: x0).message for _ in range(3)}
    assert len(verdicts) == 1 and training.running
    torch.manual_seed(7)
    wanted = torch.rand(10_000)
    torch.manual_seed(7)
    found = []
    for part in range(100):
        found.append(torch.rand(100))
        time.sleep(0.002 * (part % 5 == 0))
    assert torch.equal(torch.cat(found), wanted) and training.running


def test_the_end_of_the_kernel_saves(tmp_path):
    training = start(tmp_path, images=LONG, checkpoint_seconds=3600.0)
    until(lambda: training.record is not None)
    assert not (tmp_path / "state.safetensors").is_file()
    _save_all()
    assert not training.running and (tmp_path / "state.safetensors").is_file()


PROGRAM = """
import dataclasses, sys, time
import torch
from tiny import TRAIN, build, digits
from ddpm_course.classroom.beside import beside
model, diffusion = build()
config = dataclasses.replace(TRAIN, images=640_000, checkpoint_seconds=3600.0)
training = beside(model, diffusion, digits(256, 8), config, sys.argv[1], torch.device("cpu"))
while training.record is None:
    time.sleep(0.01)
print("left")
"""


def test_a_kernel_that_ends_under_a_training_ends_cleanly(tmp_path):
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "run")], env=environment(tmp_path), capture_output=True,
                          text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
    assert (tmp_path / "run" / "state.safetensors").is_file()
    training = start(tmp_path / "run", images=LONG, checkpoint_seconds=3600.0)  # the next kernel goes on
    until(lambda: training.record is not None)
    assert training.record["images"] > 64
