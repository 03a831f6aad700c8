"""A training beside the notebook: started, joined, cut short, resumed, failed; each in one sentence."""

import json
import sys
import time

import pytest
import tiny
from tiny import HERE

from ddpm_course import RECIPES
from ddpm_course.classroom import background
from ddpm_course.classroom.background import my_training, start_training


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The recipe is tiny, the process is a real one."""
    monkeypatch.setitem(RECIPES, "tiny", tiny.RECIPE)
    monkeypatch.setattr(background, "COMMAND", [sys.executable, str(HERE / "tiny.py")])
    monkeypatch.setattr(background, "NICE", 0)  # on a busy machine the others would keep it waiting
    monkeypatch.delenv("DDPM_COURSE_FAST", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    for child in background._children.values():
        child.kill()
        child.wait()
    background._children.clear()


def pretend(monkeypatch, program):
    monkeypatch.setattr(background, "COMMAND", [sys.executable, "-c", program])


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def test_before_anything_was_started():
    mine = my_training()
    assert not mine.done and not mine.running and mine.model() is None and mine.wait(5) is False
    assert "not started" in repr(mine) and "start_training()" in mine.line()
    mine.stop()


def test_started_joined_and_done():
    training = start_training("tiny", images=320)
    assert training.running and "starting" in training.line()
    process = background._children[training.run_dir].pid
    assert start_training("tiny", images=320) == training == my_training()
    assert background._children[training.run_dir].pid == process
    assert training.wait(120), training.line()
    assert training.line() == "Your training is done." and training.model().card["images_seen"] == 320
    until(lambda: not training.running)
    assert start_training("tiny", images=320).done and background._children[training.run_dir].pid == process


def test_a_restarted_kernel_finds_the_process(monkeypatch):
    pretend(monkeypatch, "import time; time.sleep(60)")
    training = start_training("tiny")
    child = background._children.pop(training.run_dir)  # what a new kernel does not know
    assert my_training().running and start_training("tiny") == training and not background._children
    training.stop()
    assert child.wait(10) == -15
    assert not training.running and "ended before its first word" in training.line()


def test_the_lock_tells_of_a_training_long_begun():
    training = start_training("tiny", images=640_000)
    until(lambda: (training.run_dir / "state.safetensors").is_file() or not training.running, 120)
    child = background._children.pop(training.run_dir)
    (training.run_dir / "process.json").unlink()
    assert training.running
    assert training.model() is not None  # the last save
    assert "of 640,000 images" in training.line() or "starting" in training.line()
    child.terminate()
    child.wait(60)
    assert not training.running and "Run start_training() to go on" in training.line()


def test_progress_is_read_from_the_log(monkeypatch):
    pretend(monkeypatch, "import time; print('learning: 1,280 of 64,000 images, loss 0.123, 42 s left', flush=True); time.sleep(60)")
    training = start_training("tiny")
    until(lambda: "1,280" in training.line())
    assert training.line() == "Your training: 1,280 of 64,000 images, loss 0.123, about 42 s left."


def test_a_failure_is_one_sentence_with_the_logs_last_line(monkeypatch):
    pretend(monkeypatch, "print('one'); print('ddpm-course: the disk is full.')")
    training = start_training("tiny")
    until(lambda: not training.running)
    assert training.line().startswith("Your training stopped: ddpm-course: the disk is full.") and "\n" not in training.line()
    assert not training.wait(5) and training.model() is None
    pretend(monkeypatch, "import time; time.sleep(60)")
    assert start_training("tiny").running  # and it can be tried again


def test_fast_mode_sees_few_images_and_nothing_is_downloaded(monkeypatch):
    started = []
    monkeypatch.setattr(background, "_start", lambda run_dir, arguments: started.append(arguments))
    monkeypatch.setattr(background, "training_digits", lambda: tiny.digits(10))
    start_training()
    monkeypatch.setenv("DDPM_COURSE_FAST", "1")
    start_training()
    full, fast = (dict(zip(a[1::2], a[2::2], strict=True)) for a in started)
    assert full["--data"] == fast["--data"] == "mnist5k"
    assert int(fast["--images"]) < 3000 < int(full["--images"]) and full["--run-dir"] != fast["--run-dir"]


def test_a_broken_note_is_no_note(monkeypatch):
    pretend(monkeypatch, "")
    start_training("tiny")
    (background._runs() / "latest.json").write_text("{")
    assert "not started" in my_training().line()
    (background._runs() / "latest.json").write_text(json.dumps(3))
    assert "not started" in my_training().line()


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match="demo"):
        start_training("no-such")
