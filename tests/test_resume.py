"""A run that is killed, interrupted, or shared by processes does the same work as one that is left alone."""

import contextlib
import dataclasses
import json
import math
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from tiny import HERE, TRAIN, build, digits, environment, run, run_alone

from ddpm_course import training
from ddpm_course.checkpoints import load_checkpoint, read_tensors
from ddpm_course.data import to_float
from ddpm_course.training import TrainingError, batch_indices, begun, learning_rate

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch.utils.tensorboard", "torchvision.datasets"])
TIMES = ("images_per_second", "seconds_left")  # what no two runs share


def without_times(history: list[dict]) -> list[dict]:
    return [{key: value for key, value in record.items() if key not in TIMES} for record in history]


def history_of(run_dir) -> list[dict]:
    return without_times([json.loads(line) for line in (run_dir / "history.jsonl").read_text().splitlines()])


def assert_bit_equal(one, other):
    for name in ("model.safetensors", "state.safetensors"):
        a, b = load_file(one / name), load_file(other / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), name
    assert history_of(one) == history_of(other)


def start(run_dir, pause=0.0, **changes):
    process = CONTEXT.Process(target=run_alone, args=(run_dir, changes, pause))
    process.start()
    return process


def wait_for(condition, alive, seconds=90.0):
    until = time.monotonic() + seconds
    while not condition():
        assert alive(), "the process ended too soon"
        assert time.monotonic() < until, "the process is too slow"
        time.sleep(0.005)


def seen(run_dir) -> int:
    path = run_dir / "state.safetensors"
    return read_tensors(path)[1]["images_seen"] if path.is_file() else 0


@pytest.mark.parametrize("muon_lr", [0.0, 0.01])
def test_killed_again_and_again_equals_uninterrupted(tmp_path, muon_lr):
    changes = {"images": 1200, "log_images": 32, "muon_lr": muon_lr}
    whole = start(tmp_path / "whole", **changes)
    dice = random.Random(os.urandom(8))
    killed = tmp_path / "killed"
    for _ in range(4):
        begun = seen(killed)
        process = start(killed, pause=0.2, **changes)
        wait_for(lambda begun=begun: seen(killed) > begun, process.is_alive)
        time.sleep(dice.uniform(0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert begun < seen(killed) < 1200
    for process in (start(killed, **changes), whole):
        process.join(120)
        assert process.exitcode == 0
    assert_bit_equal(tmp_path / "whole", killed)


def test_a_second_process_in_the_same_directory_is_refused(tmp_path):
    process = start(tmp_path, images=160_000)
    try:
        wait_for(lambda: seen(tmp_path) > 0, process.is_alive)
        with pytest.raises(TrainingError, match=r"Another process.*another folder"):
            run(tmp_path, images=160_000)
        assert process.is_alive()
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_and_resumes_bit_for_bit(tmp_path, number):
    def stop(record):
        if record["images"] == 128:
            signal.raise_signal(number)

    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    run(tmp_path / "whole", images=256)
    with pytest.raises(KeyboardInterrupt, match="Stopped after 128 of 256"):
        run(tmp_path / "run", images=256, report=stop)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert seen(tmp_path / "run") == 128
    run(tmp_path / "run", images=256)
    assert_bit_equal(tmp_path / "whole", tmp_path / "run")


def test_a_caller_may_stop_it_and_it_resumes_bit_for_bit(tmp_path):
    """As a thread must be stopped, which gets no signals."""
    run(tmp_path / "whole", images=256)
    (model, diffusion), config = build(), dataclasses.replace(TRAIN, images=256)
    answers = iter([False] * 7 + [True])
    with pytest.raises(KeyboardInterrupt, match="Stopped after 128 of 256"):
        training.train(model, diffusion, digits(256, 8), config, tmp_path / "run", device="cpu", stop=lambda: next(answers))
    run(tmp_path / "run", images=256)
    assert_bit_equal(tmp_path / "whole", tmp_path / "run")


def interrupted_between_records(run_dir, monkeypatch, at, **changes):
    """Stop after `at` images, where nothing is recorded: the sums of the loss are carried over."""
    step = training.Trainer.step

    def stop_there(self):
        step(self)
        if self.seen == at:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "step", stop_there)
        with pytest.raises(KeyboardInterrupt, match=f"Stopped after {at}"):
            run(run_dir, **changes)
    assert seen(run_dir) == at


def test_an_interrupt_between_two_records_keeps_their_sums(tmp_path, monkeypatch):
    changes = {"images": 192, "checkpoint_seconds": 1e9}
    run(tmp_path / "whole", **changes)
    interrupted_between_records(tmp_path / "run", monkeypatch, 96, **changes)
    run(tmp_path / "run", **changes)
    assert_bit_equal(tmp_path / "whole", tmp_path / "run")


def test_a_dtype_once_chosen_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "fastest_dtype", lambda device: "bfloat16")
    interrupted_between_records(tmp_path, monkeypatch, 96, images=192, dtype="auto")
    monkeypatch.setattr(training, "fastest_dtype", lambda device: "float32")
    assert run(tmp_path, images=192, dtype="auto").dtype == "bfloat16"


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch):
    first = run(tmp_path, images=64)
    kept = (tmp_path / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(training.Trainer, "step", lambda self: pytest.fail("trained again"))
    again = run(tmp_path, images=64)
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == kept
    assert again.images_seen == 64 and again.history == first.history and again.seconds == pytest.approx(first.seconds, abs=0.01)
    assert all(torch.equal(a, b) for a, b in zip(first.model.state_dict().values(), again.model.state_dict().values(), strict=True))


def test_a_longer_plan_goes_on_where_the_run_stands(tmp_path, monkeypatch):
    for name in ("one", "other"):
        run(tmp_path / name, images=64, warmup_images=16)
    result = run(tmp_path / "one", images=192, warmup_images=16)
    interrupted_between_records(tmp_path / "other", monkeypatch, 96, images=192, warmup_images=16)
    run(tmp_path / "other", images=192, warmup_images=16)
    assert_bit_equal(tmp_path / "one", tmp_path / "other")

    shorter, longer = (dataclasses.replace(TRAIN, images=images, warmup_images=16) for images in (64, 192))
    assert [record["images"] for record in result.history] == [64, 128, 192] and result.images_seen == 192
    assert [record["lr"] for record in result.history] == [
        learning_rate(shorter, 48), learning_rate(longer, 112), learning_rate(longer, 176)
    ]
    assert all(begun(tmp_path / name)["earlier_plans"] == [{"images": 64, "until": 64}] for name in ("one", "other"))
    run(tmp_path / "one", images=256, warmup_images=16)
    assert [plan["images"] for plan in begun(tmp_path / "one")["earlier_plans"]] == [64, 192]


def test_a_longer_plan_that_is_stopped_at_its_end_leaves_no_model_of_the_shorter(tmp_path):
    """Ours: the file of the shorter plan stood there, so the longer one's was never written."""
    run(tmp_path, images=64)
    steps = iter(range(8))
    model, diffusion = build()
    with pytest.raises(KeyboardInterrupt):
        training.train(model, diffusion, digits(256, 8), dataclasses.replace(TRAIN, images=128), tmp_path, device="cpu",
                       stop=lambda: next(steps) == 3)
    assert load_checkpoint(tmp_path).card["images_seen"] == 128
    result = run(tmp_path, images=128)
    assert result.images_seen == 128 and read_tensors(tmp_path / "model.safetensors")[1]["images_seen"] == 128


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists what is mapped")
def test_the_state_is_not_kept_mapped_into_memory(tmp_path, monkeypatch):
    """Windows replaces no file that is: the first save after a resume would fail there."""
    interrupted_between_records(tmp_path, monkeypatch, 96, images=192)
    mapped: list[bool] = []
    run(tmp_path, images=192, report=lambda record: mapped.append(str(tmp_path) in Path("/proc/self/maps").read_text()))
    assert mapped and not any(mapped)


def test_a_lost_model_file_is_written_again(tmp_path):
    run(tmp_path, images=64)
    before = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    run(tmp_path, images=64)
    after = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_seconds_and_history_go_on(tmp_path, monkeypatch):
    interrupted_between_records(tmp_path, monkeypatch, 96, images=192)
    spent = read_tensors(tmp_path / "state.safetensors")[1]["seconds"]
    result = run(tmp_path, images=192)
    assert [record["images"] for record in result.history] == [64, 128, 192]
    assert result.seconds > spent > 0


def test_control_c_on_the_command_line(tmp_path):
    """The real process gets the real signal: exit 130, a sentence, and the same weights in the end."""
    command = [sys.executable, str(HERE / "tiny.py"), "train", "tiny", "--data", "mnist5k", "--images", "320", "--run-dir"]
    settings = {"cwd": tmp_path, "env": environment(tmp_path / "cache"), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    whole = subprocess.Popen([*command, "whole"], **settings)
    process = subprocess.Popen([*command, "run"], **settings)
    wait_for((tmp_path / "run" / "state.safetensors").is_file, lambda: process.poll() is None)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"Stopped after \d+ of 320 images\. Run the same command again to go on\.", error)
    assert "Traceback" not in error
    assert 0 < seen(tmp_path / "run") < 320
    again = subprocess.run([*command, "run"], **settings, timeout=120)
    assert again.returncode == 0, again.stderr
    assert whole.wait(timeout=120) == 0
    whole.communicate()
    assert_bit_equal(tmp_path / "whole", tmp_path / "run")


# --- two processes under torchrun ---------------------------------------------------------------------------------

WORLD = {"images": 320, "lr": 1e-3}
THREE = {"images": 480, "batch_size": 24, "log_images": 48, "checkpoint_seconds": 1e9}


def processes() -> None:
    """What each of them does; run by torchrun, below. Answers are left as files in the folder given."""
    folder, rank = sys.argv[1], os.environ["RANK"]
    os.chdir(folder)
    answers = {}

    def attempt(name, work):
        try:
            answers[name] = work()
        except (Exception, KeyboardInterrupt) as error:
            answers[name] = f"{type(error).__name__}: {error}"

    torch.set_num_threads(1)
    if len(sys.argv) > 2:
        return dying(int(rank))
    (two_processes if os.environ["WORLD_SIZE"] == "2" else three_processes)(attempt, int(rank))
    with open(f"answers-{rank}.json", "w") as file:
        json.dump(answers, file)


def dying(rank) -> None:
    """The second process kills itself; in their next life the first one comes late, so that what it left in the store is found first."""
    first_life, records = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0", iter(range(100))

    def stop():
        if rank == 1 and first_life and next(records) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    if rank == 0 and not first_life:
        time.sleep(2)
    (model, diffusion), config = build(), dataclasses.replace(TRAIN, **WORLD)
    training.train(model, diffusion, digits(256, 8), config, "fallen", device="cpu", stop=stop)


def two_processes(attempt, rank) -> None:
    def say_dtype():
        training.fastest_dtype = lambda device: ("float32", "bfloat16")[rank]
        return run(None, images=32, dtype="auto").dtype

    attempt("whole", lambda: run("two", **WORLD).images_seen)
    attempt("resumed", lambda: run("resumed", **WORLD | {"checkpoint_seconds": 1e9}).images_seen)
    attempt("odd batch", lambda: run("odd", batch_size=15).images_seen)
    attempt("nan", lambda: run("nan", bad_image(), **WORLD).images_seen)
    attempt("dtype", say_dtype)


def three_processes(attempt, rank) -> None:
    def stopped():
        (model, diffusion), config = build(), dataclasses.replace(TRAIN, **THREE)
        records = iter(range(1, 100))
        training.train(model, diffusion, digits(256, 8), config, "stopped", device="cpu", stop=lambda: next(records) == 2)

    def asked_nothing():
        (model, diffusion), config = build(), dataclasses.replace(TRAIN, **THREE)
        return training.train(model, diffusion, digits(256, 8), config, device="cpu", stop=lambda: None).images_seen

    attempt("whole", lambda: run("whole", **THREE).images_seen)
    attempt("there", lambda: os.path.exists("whole/model.safetensors"))
    attempt("stopped", stopped)
    attempt("asked nothing", asked_nothing)
    attempt("saved", lambda: seen(Path("stopped")))
    attempt("resumed", lambda: run("stopped", **THREE).images_seen)
    attempt("other state", lambda: run("whole" if rank == 0 else f"elsewhere-{rank}", **THREE).images_seen)
    attempt("other data", lambda: run(None, digits(256 if rank else 128, 8), **THREE).images_seen)


def bad_image():
    """Not a number at position 136: in the second process's half of the batch that begins at 128."""
    images = to_float(digits(256, 8).images)
    images[batch_indices(256, 136, 1, 0)] = math.nan
    return dataclasses.replace(digits(256, 8), images=images)


def launched(tmp_path_factory, processes, prepare=lambda folder: None):
    """The answers of so many processes, and the folder they worked in; started once, though many tests workers ask."""
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else tmp_path_factory.mktemp("world")
    folder = shared / f"{processes}-processes"
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            folder.mkdir()
            prepare(folder)
            command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), __file__, folder]
            done = subprocess.run(command, env=environment(folder / "cache"), capture_output=True, text=True, timeout=240)
            (folder / "said.txt").write_text(done.stdout + done.stderr)
    with contextlib.suppress(FileNotFoundError):
        return folder, [json.loads((folder / f"answers-{rank}.json").read_text()) for rank in range(processes)]
    pytest.fail((folder / "said.txt").read_text()[-3000:])


@pytest.fixture(scope="module")
def torchrun(tmp_path_factory):
    """Two processes; the run that they resume was begun by one."""
    def prepare(folder):
        (folder / "resumed").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            interrupted_between_records(folder / "resumed", patch, 96, **WORLD | {"checkpoint_seconds": 1e9})

    return launched(tmp_path_factory, 2, prepare)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return launched(tmp_path_factory, 3)


def assert_close_runs(one, other):
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-4
    mine, theirs = history_of(one), history_of(other)
    assert [record["images"] for record in mine] == [record["images"] for record in theirs]
    for x, y in zip(mine, theirs, strict=True):
        assert x["loss"] == pytest.approx(y["loss"], abs=1e-4)
        assert x["loss_by_decile"] == [value if value is None else pytest.approx(value, abs=1e-4) for value in y["loss_by_decile"]]
        assert x["lr"] == y["lr"]


def test_two_processes_equal_one(torchrun, tmp_path):
    folder, answers = torchrun
    assert [answer["whole"] for answer in answers] == [320, 320]
    run(tmp_path, **WORLD)
    assert_close_runs(tmp_path, folder / "two")
    assert json.loads((folder / "two" / "card.json").read_text())["processes"] == 2


def test_a_worker_that_dies_is_restarted_by_torchrun_and_joins_the_curve(torchrun):
    folder, _ = torchrun
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    settings = {"env": environment(folder / "cache"), "capture_output": True, "text": True, "timeout": 240}
    done = subprocess.run([*command, __file__, folder, "dying"], **settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "exitcode: -9" in done.stderr  # it did die
    assert_bit_equal(folder / "two", folder / "fallen")


def test_a_run_begun_by_one_process_is_finished_by_two(torchrun, tmp_path):
    folder, answers = torchrun
    assert [answer["resumed"] for answer in answers] == [320, 320]
    run(tmp_path, **WORLD)
    assert_close_runs(tmp_path, folder / "resumed")


def test_a_batch_that_cannot_be_shared_is_refused(torchrun):
    _, answers = torchrun
    for answer in answers:
        assert re.match(r"TrainingError: A batch of 15 cannot be shared by 2 processes: choose a multiple of 2", answer["odd batch"])


def test_two_processes_name_the_right_image(torchrun):
    folder, answers = torchrun
    for answer in answers:
        assert "at image 128." in answer["nan"]
    assert 0 < seen(folder / "nan") <= 128


def test_two_processes_use_one_dtype(torchrun):
    _, answers = torchrun
    assert answers[0]["dtype"] == answers[1]["dtype"]
    assert answers[0]["dtype"] in ("float32", "bfloat16")


def test_three_processes_resume_bit_for_bit(three):
    """Sums of three depend on their order, which DistributedDataParallel changes after its first step."""
    folder, answers = three
    for answer in answers:
        assert (answer["whole"], answer["resumed"], answer["asked nothing"]) == (480, 480, 480)
        assert answer["stopped"] == "KeyboardInterrupt: Stopped after 96 of 480 images."
    assert_bit_equal(folder / "whole", folder / "stopped")


def test_no_process_leaves_before_the_files_are_written(three):
    _, answers = three
    assert [(answer["there"], answer["saved"]) for answer in answers] == [(True, 96)] * 3


def test_hosts_that_do_not_share_the_folder_or_the_data_are_told_so(three):
    _, answers = three
    for answer in answers:
        assert re.match("TrainingError: The processes find different states in .*: all hosts must see one folder", answer["other state"])
        assert re.match(r"TrainingError: .* different data, this one (256|128) images .*: give every host the same", answer["other data"])


if __name__ == "__main__":
    processes()
