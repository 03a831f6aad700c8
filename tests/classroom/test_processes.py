"""Programs in processes of their own: they run, fail, are killed, and none is left."""

import os
import signal
import sys
import time

import pytest

from ddpm_course.classroom import killable, processes
from ddpm_course.classroom.exercises import EXERCISES
from ddpm_course.classroom.killable import BATCH, Folder, Parts, losses, start_killable

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


def program(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(text)
    return path


def test_a_program_that_ends_well(tmp_path):
    ran = processes.run(program(tmp_path, "import os, sys\nprint('args', *sys.argv[1:])\nprint('threads', os.environ['OMP_NUM_THREADS'])"),
                        "one", 2, threads=3)
    assert ran.ok and ran.why == "" and ran.seconds > 0
    assert ran.said.split("\n")[:2] == ["args one 2", "threads 3"] and ran.lines("args") == ["args one 2"]


def test_the_package_is_found_and_torchruns_words_are_not_passed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.chdir(tmp_path)
    text = "import importlib.util, os\nprint(importlib.util.find_spec('ddpm_course') is not None, 'RANK' in os.environ)"
    ran = processes.run(program(tmp_path, text))
    assert ran.said.strip() == "True False"


def test_a_program_that_fails_says_why_in_a_sentence(tmp_path):
    ran = processes.run(program(tmp_path, "raise ValueError('the moon is full')"))
    assert not ran.ok and ran.why == "It ended with code 1: ValueError: the moon is full."
    assert "Traceback" in ran.said and "Traceback" not in ran.why


@posix
def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path):
    text = "import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n" \
           "print(child.pid, flush=True)\ntime.sleep(600)"
    ran = processes.run(program(tmp_path, text), seconds=3)
    assert ran.why == "It was not done within 3 seconds."
    child, until = int(ran.said), time.monotonic() + 10
    while time.monotonic() < until and alive(child):
        time.sleep(0.05)
    assert not alive(child)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"  # a zombie has ended; its new parent has not asked yet
    except OSError:
        return False


@posix
def test_a_kill_is_a_sigkill(tmp_path):
    process = processes.start(program(tmp_path, "import time\nprint('up', flush=True)\ntime.sleep(600)"), said=tmp_path / "said.txt")
    assert processes.wait_for(lambda: (tmp_path / "said.txt").read_text() == "up\n", process)
    processes.kill(process)
    assert process.returncode == -signal.SIGKILL
    assert not processes.wait_for(lambda: False, process)  # it has ended: nothing to wait for
    processes.kill(process)  # and its number may be another's by now


def test_waiting_ends_with_the_time(tmp_path):
    process = processes.start(program(tmp_path, "import time\ntime.sleep(600)"), said=tmp_path / "said.txt")
    assert not processes.wait_for(lambda: False, process, seconds=0.05)
    processes._end_all()
    assert process.poll() is not None


def test_no_torchrun_is_said_and_nothing_is_started(monkeypatch):
    monkeypatch.setattr(processes, "_popen", lambda *given: pytest.fail("started"))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        assert "Windows" in processes.torchrun("x.py").why
    monkeypatch.setattr(processes.dist, "is_available", lambda: False)
    ran = processes.torchrun("x.py")
    assert not ran.ok and "no gloo" in ran.why and ran.said == ""


@pytest.mark.skipif(bool(processes.no_torchrun()), reason="no torchrun here")
def test_torchrun_starts_processes_that_meet_and_restarts_a_fallen_one(tmp_path):
    text = """
import os, signal
import torch
import torch.distributed as dist
from ddpm_course import TrainConfig, training
training._join(torch.device("cpu"), TrainConfig())
total = torch.ones(1)
dist.all_reduce(total)
life, rank = os.environ["TORCHELASTIC_RESTART_COUNT"], dist.get_rank()
print(f"life {life} rank {rank} of {int(total)}\\n", end="")  # the end in the same write, or two processes' lines get mixed
dist.barrier()
if (life, rank) == ("0", 1):
    os.kill(os.getpid(), signal.SIGKILL)
dist.barrier()
"""
    ran = processes.torchrun(program(tmp_path, text), restarts=1)
    assert ran.ok, ran.said
    assert sorted(ran.lines("life")) == [f"life {life} rank {rank} of 2" for life in (0, 1) for rank in (0, 1)]
    fallen = processes.torchrun(program(tmp_path, "raise ValueError('the moon is full')"))
    assert not fallen.ok and fallen.why.startswith("It ended with code 1")


def test_scratch_folders_are_new():
    one, other = processes.scratch(), processes.scratch()
    assert one != other and one.is_dir() and not list(one.iterdir())


# --- the small training that may be killed ------------------------------------------------------------------------


def test_a_folder_is_a_disk(tmp_path):
    disk = Folder(tmp_path / "new" / "folder")
    assert "run" not in disk
    disk.write("new", {"seen": 3})
    disk.rename("new", "run")
    assert "run" in disk and "new" not in disk and disk.read("run") == {"seen": 3}


def test_the_parts_are_the_same_every_time_and_learn(tmp_path):
    one, other = Parts(tmp_path / "losses.txt"), Parts(watch=True)
    for parts in (one, other):
        seen = 0
        while seen < 20 * BATCH:
            seen = parts.learn(seen)
    assert one.losses == other.losses == losses(tmp_path) and len(one.losses) == 20
    assert [*one.losses][-1] == 20 * BATCH and list(one.losses.values())[-1] < 0.8 * one.losses[BATCH]
    assert [*other.watched] == [5 * BATCH, 10 * BATCH, 15 * BATCH, 20 * BATCH] and not one.watched


def test_losses_of_a_line_that_was_cut_short(tmp_path):
    assert losses(tmp_path) == {}
    (tmp_path / "losses.txt").write_text("32 0.5\n64 0.25\n64 0.125\n96 0.")
    assert losses(tmp_path) == {32: 0.5, 64: 0.125}


def test_killed_and_started_again_it_joins_itself(tmp_path):
    whole, killed = (start_killable(tmp_path / name, 60 * BATCH) for name in ("whole", "killed"))
    assert processes.wait_for(lambda: len(losses(tmp_path / "killed")) > 5, killed)
    processes.kill(killed)
    assert 5 < len(losses(tmp_path / "killed"))
    killed = start_killable(tmp_path / "killed", 60 * BATCH)
    assert (whole.wait(), killed.wait()) == (0, 0), (tmp_path / "killed" / "said.txt").read_text()
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole") and len(losses(tmp_path / "whole")) == 60


def test_the_learners_own_loop_is_used_when_it_is_right(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(killable, "start", lambda *given, said: None)
    source = EXERCISES["resumable"].solution_source()
    start_killable(tmp_path / "course", 1, own=True)
    assert (tmp_path / "course" / "loop.py").read_text() == source and "the course's own is used" in capsys.readouterr().out
    killable.store.record("answer", "resumable", source.replace('"run"', '"mine"'))
    start_killable(tmp_path / "own", 1, own=True)
    assert '"mine"' in (tmp_path / "own" / "loop.py").read_text() and "your own is used" in capsys.readouterr().out
    start_killable(tmp_path / "own", 1, own=True)  # the second life keeps the loop of the first
    start_killable(tmp_path / "not-asked", 1)
    assert capsys.readouterr().out == "" and (tmp_path / "not-asked" / "loop.py").read_text() == source
    assert os.environ["XDG_CACHE_HOME"]  # the record is that of the test
