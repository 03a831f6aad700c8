# Where the course is missing, Colab gets it; the packages that Colab has stay as they are.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("ddpm_course") is None:
    if "google.colab" not in sys.modules:
        raise ModuleNotFoundError(
            "This kernel lacks the course: start JupyterLab with `make lab`, "
            "or run `pip install -e .[course]` in the course's folder."
        )
    course = os.environ.get("DDPM_COURSE_WHEEL", "git+{{repository}}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", course]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            "The course could not be installed; run this cell again in a minute. "
            f"pip said:\n{done.stderr}"
        )
    importlib.invalidate_caches()

from ddpm_course import classroom

room = classroom.setup()
