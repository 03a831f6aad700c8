"""Run the notebooks as on Colab: its Python, its old IPython and ipywidgets, pip's torch: `make colab-like`.

The setup cell installs the course from a wheel built here, and must leave every installed package as it was. Then all
notebooks run, both editions, in fast mode. The environment is kept in build/colab-like and used again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from notebook_run import code_cells, environment, learners_cache

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "colab-like"
PYTHON = HOME / "bin" / "python"
# What Colab had in August 2026 (googlecolab/backend-info), as far as it matters here. torch and its kin are pip's newest.
STACK = ["ipywidgets==7.7.1", "IPython==7.34.0", "ipykernel==6.17.1", "jupyter-client==7.4.9", "traitlets==5.7.1",
         "matplotlib==3.10.0", "numpy==2.1.3", "mlxtend==0.23.4", "torch", "torchvision",
         "safetensors", "filelock", "tqdm", "pillow", "scipy", "tensorboard"]
STUB = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"  # by it a notebook knows Colab


def python313() -> str:
    """A Python 3.13: $PYTHON313, python3.13, or pyenv's."""
    named, kept = os.environ.get("PYTHON313"), sorted((Path.home() / ".pyenv" / "versions").glob("3.13*/bin/python"))
    for python in [named] if named else ["python3.13", *map(str, reversed(kept))]:  # pyenv's own python3.13 may point at nothing
        with contextlib.suppress(OSError):
            done = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
            if done.stdout.strip() == "3 13":
                return python
    raise SystemExit("No Python 3.13 was found. Install one (`pyenv install 3.13`), or name it: make colab-like PYTHON313=/path/to/python")


def pip(*arguments: str | Path) -> str:
    """pip of the Colab-like environment; ends the program with its words when it fails."""
    done = subprocess.run([PYTHON, "-m", "pip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"pip {arguments[0]} failed:\n{done.stderr or done.stdout}")
    return done.stdout


def installed() -> dict[str, str]:
    return {package["name"]: package["version"] for package in json.loads(pip("list", "--format", "json"))}


def make() -> None:
    """The environment, unless one with the same packages is there."""
    stamp, wanted = HOME / "stack.txt", "\n".join(STACK)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print("Making build/colab-like with pip's torch: this is done once, takes minutes and some gigabytes.", flush=True)
    subprocess.run([python313(), "-m", "venv", "--clear", HOME], check=True)
    pip("install", "--quiet", *STACK)
    kernel, startup = HOME / "kernels" / "colab", HOME / "ipython" / "profile_default" / "startup"
    kernel.mkdir(parents=True)
    startup.mkdir(parents=True)
    argv = [str(PYTHON), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Colab-like", "language": "python"}))
    (startup / "colab.py").write_text(STUB)
    stamp.write_text(wanted)


def wheel() -> Path:
    """The course as a wheel, built from this tree."""
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # else files deleted since the last build would come along
    shutil.rmtree(HOME / "wheel", ignore_errors=True)
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", HOME / "wheel", ROOT)
    return next((HOME / "wheel").glob("*.whl"))


def run(notebook: NotebookNode, folder: Path, variables: dict[str, str]) -> None:
    """Run a notebook in the Colab-like kernel; ends the program with the traceback of the cell that fails."""
    client = NotebookClient(notebook, timeout=600, kernel_name="colab", resources={"metadata": {"path": str(folder)}})
    client.create_kernel_manager()
    client.km.kernel_spec_manager = KernelSpecManager(kernel_dirs=[str(HOME / "kernels")])
    try:
        client.execute(env=variables)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise SystemExit(f"failed\n{error}") from None


def main() -> None:
    notebooks = [*sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))]
    if not notebooks:
        raise SystemExit("There are no notebooks to run: build them with `make notebooks`.")
    make()
    pip("uninstall", "--quiet", "--yes", "ddpm-course")
    before = installed()
    print(", ".join(f"{name} {before[name]}" for name in ("torch", "numpy", "ipython", "ipykernel", "ipywidgets")), flush=True)
    course = wheel()
    print(f"{course.name}: built, {course.stat().st_size / 1e6:.1f} MB", flush=True)
    with learners_cache(ROOT, finished=False) as scratch:
        variables = environment(scratch) | {"DDPM_COURSE_WHEEL": str(course), "DDPM_COURSE_FAST": "1", "IPYTHONDIR": str(HOME / "ipython"),
                                            "DDPM_COURSE_DATA": str(scratch / "data"),  # Colab brings no data
                                            "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # a warning less on every start
        variables.pop("PYTHONPATH", None)
        setup = nbformat.read(notebooks[0], 4)
        setup.cells = [cell for cell in code_cells(setup) if "setup" in cell.metadata.get("tags", [])]
        run(setup, scratch, variables)
        after = installed()
        changed = [f"{name} {version} -> {after.get(name)}" for name, version in before.items() if after.get(name) != version]
        added = sorted(after.keys() - before.keys())
        if changed or added != ["ddpm-course"]:
            raise SystemExit(f"The setup cell changed what Colab has: {'; '.join(changed) or 'no version'}; added {', '.join(added)}.")
        print(f"setup cell: added ddpm-course {after['ddpm-course']}, changed none of {len(before)} packages", flush=True)
        for path in notebooks:
            print(f"{path.relative_to(ROOT)}: ", end="", flush=True)
            run(nbformat.read(path, 4), scratch, variables)
            print("passed", flush=True)


if __name__ == "__main__":
    sys.exit(main())
