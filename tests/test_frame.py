"""What holds the repository together: packaging, Makefile, floors, citation."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ddpm_course

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
METHOD = ("schedule", "diffusion", "exact", "unet", "guidance", "sampling")
TARGETS = {"demo", "test", "test-slow", "lab", "notebooks", "lint", "bench"}


def run_python(program, **environment):
    """A fresh interpreter in the repository."""
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                          capture_output=True, text=True, timeout=240)


# --- packaging ----------------------------------------------------------------------------------------------------


def test_bounds_are_those_that_colab_satisfies():
    wanted = {"torch": "2.6", "torchvision": "0.21", "numpy": "2.0", "matplotlib": "3.10", "ipywidgets": "7.7.1", "mlxtend": "0.23.4"}
    found = dict(line.split(">=") for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["course"] if ">=" in line)
    assert {name: found[name] for name in wanted} == wanted
    assert PROJECT["requires-python"] == ">=3.11"


def test_base_dependencies_have_no_upper_caps():
    assert not [line for line in PROJECT["dependencies"] if re.search(r"<|==|~=", line)]


def test_environment_yml_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    (editable,) = pip  # everything else would be a second list of what pyproject.toml says
    extras = re.fullmatch(r"-e \.\[(.+)\]", editable)[1].split(",")
    assert "course" in extras and set(extras) <= set(PROJECT["optional-dependencies"])
    assert {entry for entry in environment["dependencies"] if isinstance(entry, str)} == {f"python{PROJECT['requires-python']}", "pip"}


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == ddpm_course.__version__
    assert citation["cff-version"] == "1.2.0" and citation["authors"] and citation["license"] == PROJECT["license"]


def test_the_command_exists():
    module, function = PROJECT["scripts"]["ddpm-course"].split(":")
    result = run_python(f"import sys; sys.argv = ['ddpm-course', '--help']; from {module} import {function}; sys.exit({function}())")
    assert result.returncode == 0, result.stderr
    assert "doctor" in result.stdout


def test_licences_are_there():
    for name in PROJECT["license-files"]:
        assert (ROOT / name).is_file()
    assert "MIT" in (ROOT / "LICENSE").read_text() and "CC BY 4.0" in (ROOT / "LICENSE-CC-BY-4.0.md").read_text()


# --- the Makefile -------------------------------------------------------------------------------------------------


def makefile_targets():
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_makefile_has_its_targets():
    assert makefile_targets() >= TARGETS


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_that_are_written_about_exist(name):
    code = " ".join(re.findall(r"```.*?```|`[^`\n]+`", (ROOT / name).read_text(), re.DOTALL))
    written = set(re.findall(r"\bmake ([a-z][a-z-]*)", code))
    assert written and written <= makefile_targets()


@pytest.fixture
def make(tmp_path):
    """Run make on a copy of the Makefile, with only these programs to be found as Pythons."""
    program = shutil.which("make")
    if program is None:
        pytest.skip("make is not installed")  # as on Windows, where the commands are typed without it
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in ("sed", "awk", "touch"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))

    def run(*arguments, pythons=()):
        for name, script in dict(pythons).items():
            path = tmp_path / "bin" / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHON" and not k.startswith("M")}  # as outside of `make test`
        environment["PATH"] = str(tmp_path / "bin")
        return subprocess.run([program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_make_alone_lists_the_targets(make):
    result = make()
    assert result.returncode == 0, result.stderr
    assert {line.split()[1] for line in result.stdout.splitlines()} >= TARGETS


def test_make_notebooks_without_notebooks_says_so_and_installs_nothing(make):
    result = make("notebooks")
    assert result.returncode == 0 and "no notebooks yet" in result.stdout


def test_make_without_a_python_says_what_to_do(make):
    result = make("demo", pythons={"python3": "exit 1"})  # what an old Python, or a version manager's empty shim, answers
    assert result.returncode == 2
    assert "No Python 3.11 or newer" in result.stderr.splitlines()[0] and "python.org" in result.stderr


def test_make_without_ensurepip_says_what_to_do(make):
    bare = f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    result = make("demo", pythons={"python3.12": "exit 127", "python3": bare})
    assert result.returncode == 2
    assert f"apt install python3.{sys.version_info.minor}-venv" in result.stderr.splitlines()[0]


def test_make_passes_by_a_python_that_cannot_make_environments(make, tmp_path):
    bare = f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    # A stand-in that makes no real environment: what it is asked for is what counts.
    whole = f'if [ "$1" = -m ]; then mkdir -p "$3"; echo made; exit 0; fi; exec {sys.executable} "$@"'
    (tmp_path / "bin" / "mkdir").symlink_to(shutil.which("mkdir"))
    result = make(".venv/.made", pythons={"python3.13": bare, "python3": whole})
    assert result.returncode == 0, result.stderr
    assert "(python3)" in result.stdout and (tmp_path / ".venv" / ".made").is_file()
    assert "up to date" in make(".venv/.made").stdout  # made once


def test_ci_runs_tests_and_lint():
    path = ROOT / ".ci" / "run"
    text = path.read_text()
    assert os.access(path, os.X_OK) and "set -euo pipefail" in text
    assert re.search(r"^make test$", text, re.MULTILINE) and re.search(r"^make lint$", text, re.MULTILINE)


# --- the floors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHOD)
def test_method_modules_import_python_torch_and_each_other_alone(name):
    tree = ast.parse((ROOT / "ddpm_course" / f"{name}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            outside = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            outside = {node.module.split(".")[0]}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1 and node.module in METHOD, f"{name}.py imports .{node.module}"
            continue
        else:
            continue
        assert outside <= {"torch", *sys.stdlib_module_names}, f"{name}.py imports {outside}"


def test_method_floor_works_where_only_torch_is_installed():
    program = f"""
import sys, types
for name in ("torchvision", "matplotlib", "mlxtend", "tqdm", "safetensors", "filelock", "PIL", "scipy", "tensorboard"):
    sys.modules[name] = None  # importing it is an ImportError from here on
package = types.ModuleType("ddpm_course")  # the floor without the house: __init__ imports the practice floor
package.__path__ = [{str(ROOT / "ddpm_course")!r}]
sys.modules["ddpm_course"] = package
import torch
from ddpm_course.diffusion import Diffusion
from ddpm_course.exact import GaussianDenoiser
from ddpm_course.guidance import Guided
from ddpm_course.sampling import sample
from ddpm_course.schedule import NoiseSchedule
from ddpm_course.unet import UNet, UNetConfig
torch.set_num_threads(1)
diffusion = Diffusion(NoiseSchedule.cosine(20))
model = UNet(UNetConfig(image_size=8, channels=(32,), num_classes=3))
x0, y = torch.zeros(2, 1, 8, 8), torch.tensor([0, 2])
diffusion.loss(model, x0, y).mean().backward()
model.label_dropout = 0.1
images = sample(diffusion, model.eval(), labels=[0, 2], timesteps=3, scale=2.0)
assert images.shape == (2, 1, 8, 8) and images.isfinite().all()
above = {{"data", "training", "metrics", "recipes", "checkpoints", "cli", "doctor", "demo"}}
loaded = {{name.removeprefix("ddpm_course.") for name in sys.modules if name.startswith("ddpm_course.")}}
assert not loaded & above, loaded & above
"""
    result = run_python(program)
    assert result.returncode == 0, result.stderr


def test_import_costs_little_more_than_torch():
    heavy = ("torchvision", "matplotlib", "mlxtend", "tensorboard", "ipywidgets", "pandas", "sklearn", "IPython", "diffusers", "scipy")
    result = run_python(f"import sys, torch; before = set(sys.modules); import ddpm_course; "
                        f"print(*[name for name in {heavy!r} if name in sys.modules and name not in before])")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
