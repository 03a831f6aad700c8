"""Can the course run on this machine? A table of checks; what is wrong comes with its remedy.

Nothing is downloaded. Every check catches what it tries, so that one fault does not hide the next.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from .checkpoints import SHIPPED, CheckpointError, load_checkpoint, load_judge, read_tensors, shipped_names
from .data import CIFAR10_CLASSES, CIFAR10_JPEG, DataError, cache_dir, load_data
from .machine import describe_device, fastest_dtype, pick_device
from .recipes import get_recipe
from .training import measure_speed, plan_images

FAIL_GIB, WARN_GIB = 0.5, 2.0
SHEETS = Path(__file__).with_name("run_sheets.json")  # written by tools/run_sheets.py with INSTRUCTOR.md
MARKS = {"ok": "ok", "warn": "warn", "fail": "FAIL"}


@dataclass(frozen=True)
class Check:
    """One line of the table. status: "ok", "warn" (the course runs, with less) or "fail"; remedy: empty when ok."""

    name: str
    status: str
    detail: str
    remedy: str = ""


def main(classroom: bool = False) -> int:
    """Print the table; 0 when the course can run, 1 when a check failed. classroom: make ready for a class, too, and measure."""
    checks = examine()
    if classroom:
        print("Reading data and models, and training for ten seconds ...", flush=True)
        checks += prepare()
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{MARKS[check.status]:4}  {check.name:{width}}  {check.detail}")
        if check.remedy:
            print(f"{'':4}  {'':{width}}  -> {check.remedy}")
    failed = [check.name for check in checks if check.status == "fail"]
    warned = [check.name for check in checks if check.status == "warn"]
    print()
    if failed:
        print(f"The course cannot run yet. To repair: {', '.join(failed)}.")
    else:
        print("The course can run." + (f" Worth a look: {', '.join(warned)}." if warned else ""))
    return 1 if failed else 0


def examine() -> list[Check]:
    """All checks, in the order of the table."""
    return [
        _python(),
        _torch(),
        _torchvision(),
        _packages(),
        *_device(),
        _mnist5k(),
        _mnist(),
        _cifar10(),
        _folder("this folder", Path.cwd(), "Change to a folder of your own, or name one with --out or --run-dir."),
        _folder("cache", cache_dir(), "Set XDG_CACHE_HOME to a folder that you can write in."),
        _checkpoints(),
        _kernel(),
    ]


def prepare() -> list[Check]:
    """For a class: what takes time at its first use is done now, and whether this machine keeps up with the run sheets is measured."""
    return [_data_read(), _models(), *_sheets()]


def _data_read() -> Check:
    """Read whole what is there; JPEG files are decoded once, and kept in the cache."""
    read = []
    for name, found in (("mnist5k", _mnist5k()), ("mnist", _mnist()), ("cifar10", _cifar10())):
        if found.status == "ok":
            try:
                read += [f"{name} ({len(load_data(name, download=False)):,} images)"]
            except Exception as error:
                said = f"{name} is found, but cannot be read: {_first_line(error)}"
                return Check("data, read", "fail", said, "Repair it, or take it away.")
    if not read:
        return Check("data, read", "fail", "no images at all", "See the line mnist5k.")
    return Check("data, read", "ok", ", ".join(read))


def _models() -> Check:
    names = [name for name in shipped_names() if not name.startswith("judge")]
    try:
        for name in names:
            load_checkpoint(name)
    except Exception as error:
        return Check("models, loaded", "fail", _first_line(error), "Install the course again.")
    return Check("models, loaded", "ok", ", ".join(names))


def _sheets() -> list[Check]:
    """Train for ten seconds, and tell when each run sheet would end here."""
    try:
        sheets = json.loads(SHEETS.read_text())
        recipe = get_recipe("demo")
        model, diffusion = recipe.build()
        speed = measure_speed(model, diffusion, load_data("mnist5k"), recipe.train, pick_device(), seconds=10)
    except Exception as error:
        return [Check("speed", "fail", f"could not be measured: {_first_line(error)}", "Repair what the lines above name first.")]
    said = f"{speed:,.0f} images a second; where the sheets were measured, {sheets['images_per_second']:,.0f}"
    checks = [keeps_up(name, sheet, speed, sheets["images_per_second"]) for name, sheet in sheets["sheets"].items()]
    return [Check("speed", "ok", said), *checks]


def keeps_up(name: str, sheet: dict, speed: float, measured: float) -> Check:
    """Whether a run sheet ends in its time on a machine that trains at this speed, where the sheet's was `measured`.

    What is read and done takes its time anywhere. A training is planned to take its seconds on any machine, but sees no fewer
    images than `plan_images` wants, so that a slow machine takes longer. All other cells are taken to slow down as the speed does.
    """
    slower = max(1.0, measured / speed)
    fewest = plan_images(0.0, 0.0)
    late = sheet["other_seconds"] * (slower - 1) + sum(max(0.0, fewest / speed - seconds) for seconds in sheet["trainings"].values())
    end = sheet["end"] + late / 60
    said = f"ends after {end:.0f} of its {sheet['minutes']} minutes"
    said += f", {late / 60:.0f} later than planned" if late >= 60 else ""
    if sheet["trainings"]:
        last = max(sheet["trainings"], key=lambda number: sheet["trainings"][number])
        said += f"; the longest training, of {last}, sees {plan_images(speed, sheet['trainings'][last]):,} images"
    if end <= sheet["minutes"]:
        return Check(name, "ok", said)
    remedy = "Plan more time, leave notebooks out, or show the trainings in the reading editions: see INSTRUCTOR.md."
    return Check(name, "fail", said, remedy)


def _python() -> Check:
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < (3, 11):  # noqa: UP036 (pip refuses an older one, a plain checkout does not)
        return Check("Python", "fail", found, "Install Python 3.11 or newer, and the course into it.")
    return Check("Python", "ok", found)


def _torch() -> Check:
    if _older(torch.__version__, bound := _bounds().get("torch", "0")):
        return Check("torch", "fail", torch.__version__, f"Run: pip install --upgrade 'torch>={bound}' torchvision")
    return Check("torch", "ok", torch.__version__)


def _torchvision() -> Check:
    # The usual fault: torch and torchvision of different builds. Then the import fails in its compiled part.
    remedy = "torch and torchvision must come from the same place. Run: pip install --force-reinstall torch torchvision"
    try:
        version = importlib.import_module("torchvision").__version__
        importlib.import_module("torchvision.datasets")
    except Exception as error:
        return Check("torchvision", "fail", f"cannot be imported: {_first_line(error)}", remedy)
    if _older(version, _bounds().get("torchvision", "0")):
        return Check("torchvision", "fail", f"{version} is too old", "Run: pip install --upgrade torch torchvision")
    return Check("torchvision", "ok", version)


def _packages() -> Check:
    """Everything else that pyproject.toml asks for; the course's own metadata are the list."""
    bounds = {name: bound for name, bound in _bounds().items() if name not in ("torch", "torchvision")}
    if not bounds:
        return Check("packages", "warn", "ddpm-course itself is not installed", 'In its folder, run: pip install -e ".[course]"')
    wrong: list[str] = []
    right: list[str] = []
    for name, bound in bounds.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        (wrong if _older(version, bound) else right).append(f"{name} {version}")
    if wrong:
        names = " ".join(f"'{name}>={bound}'" for name, bound in bounds.items())
        return Check("packages", "fail", ", ".join(wrong), f"Run: pip install --upgrade {names}")
    return Check("packages", "ok", ", ".join(right))


def _bounds() -> dict[str, str]:
    """The lower bounds of the installed ddpm-course, extras left out: {"torch": "2.6", ...}; empty when it is not installed."""
    try:
        lines = importlib.metadata.requires("ddpm-course") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = [re.fullmatch(r"([\w-]+)(?:>=([\d.]+))?", line.strip()) for line in lines if ";" not in line]
    return {match[1]: match[2] or "0" for match in found if match}


def _older(version: str, bound: str) -> bool:
    """Does version come before bound? Number by number, as far as the bound goes: "2.10.0+cpu" does not come before "2.6"."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.split(r"[^\d.]", text)[0].split(".") if part]

    have, need = numbers(version), numbers(bound)
    return have[: len(need)] < need


def _device() -> list[Check]:
    try:
        device = pick_device()
        torch.ones(2, device=device).sum().item()
        words = describe_device(device)
        dtype = fastest_dtype(device)
    except Exception as error:  # a driver that does not fit is seen at the first use
        remedy = "Repair the driver, or hide the GPU from torch: set CUDA_VISIBLE_DEVICES to an empty value."
        return [Check("device", "fail", _first_line(error), remedy)]
    chosen = Check("training in", "ok", dtype)
    if device.type == "cpu":
        words += f", of {os.cpu_count()} logical cores"
        if Path("/dev/nvidia0").exists():
            remedy = "There is an NVIDIA GPU that this build of torch cannot use: see https://pytorch.org/get-started"
            return [Check("device", "warn", words, remedy), chosen]
    return [Check("device", "ok", words), chosen]


def _mnist5k() -> Check:
    try:
        return Check("mnist5k", "ok", load_data("mnist5k").source)
    except DataError as error:
        return Check("mnist5k", "fail", "the offline digits cannot be read", str(error))


def _mnist() -> Check:
    if (pointed := _points_nowhere("mnist")) is not None:
        return pointed
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # what it says when it falls back to mnist5k
            source = load_data("mnist", download=False).source
    except DataError as error:
        return Check("mnist", "fail", "found, but cannot be read", str(error))
    except Exception as error:  # without a torchvision that works, nothing of MNIST can be read
        return Check("mnist", "warn", f"cannot be looked for: {_first_line(error)}", "Repair torchvision first.")
    if source.startswith("MNIST"):
        return Check("mnist", "ok", source)
    return Check(
        "mnist", "warn", "not on this machine; the 5,000 offline digits stand in for it",
        "To have all 60,000, let `ddpm-course train mnist` download them (12 MB), or point DDPM_COURSE_DATA at them.",
    )


def _cifar10() -> Check:
    """Only looked for, not read: that takes seconds, or half a minute for JPEG files."""
    if (pointed := _points_nowhere("cifar10")) is not None:
        return pointed
    for word, place in (("DDPM_COURSE_DATA", os.environ.get("DDPM_COURSE_DATA")), ("cache", cache_dir())):
        if not place:
            continue
        root = Path(place)
        if os.path.isdir(root / "cifar-10-batches-py"):  # os.path: a folder that cannot be entered is no error
            return Check("cifar10", "ok", f"CIFAR-10, {word}: {root}")
        if any(os.path.isdir(folder / "train" / CIFAR10_CLASSES[0]) for folder in (root / "cifar10", root)):
            return Check("cifar10", "ok", f"CIFAR-10 as image files, {word}: {root}")
        if os.path.isfile(root / CIFAR10_JPEG):
            return Check("cifar10", "ok", f"CIFAR-10 as JPEG files (not the original pixels), {word}: {root / CIFAR10_JPEG}")
    return Check(
        "cifar10", "warn", "not on this machine",
        "`ddpm-course train cifar10-cpu` downloads it (170 MB); or point DDPM_COURSE_DATA at it. The digits do not need it.",
    )


def _points_nowhere(name: str) -> Check | None:
    place = os.environ.get("DDPM_COURSE_DATA")
    if place and not os.path.isdir(place):
        remedy = "Set it to the folder that holds the data, or unset it."
        return Check(name, "warn", f"DDPM_COURSE_DATA is {place}, and that is no folder", remedy)
    return None


def _folder(name: str, folder: Path, remedy: str) -> Check:
    """Can files be written there, and is there room for them?"""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"ddpm")
    except OSError as error:
        return Check(name, "warn", f"{folder} cannot be written: {error.strerror or error}", remedy)
    free = shutil.disk_usage(folder).free / 2**30
    status = "fail" if free < FAIL_GIB else "warn" if free < WARN_GIB else "ok"
    room = "" if status == "ok" else f"Free some space: {WARN_GIB:g} GiB are enough for runs, data and checkpoints."
    return Check(name, status, f"{folder}, {free:.1f} GiB free", room)


def _checkpoints() -> Check:
    remedy = "Install the course again: its files in ddpm_course/checkpoints are missing or damaged."
    names = shipped_names()
    try:
        load_judge()
        for name in names:
            read_tensors(SHIPPED / f"{name}.safetensors")
    except CheckpointError as error:
        return Check("checkpoints", "fail", str(error), remedy)
    return Check("checkpoints", "ok", ", ".join(names))


def _kernel() -> Check:
    remedy = 'Run: pip install ".[course]" (the command line works without it)'
    if importlib.util.find_spec("ipykernel") is None or importlib.util.find_spec("jupyter_client") is None:
        return Check("kernel", "warn", "no Jupyter kernel in this Python", remedy)
    try:
        specs = importlib.import_module("jupyter_client.kernelspec").find_kernel_specs()
    except Exception as error:
        return Check("kernel", "warn", f"Jupyter cannot list its kernels: {_first_line(error)}", remedy)
    if "python3" not in specs:
        return Check("kernel", "warn", "no kernel called python3", "Run: python -m ipykernel install --user --name python3")
    return Check("kernel", "ok", f"python3, ipykernel {importlib.metadata.version('ipykernel')}")


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
