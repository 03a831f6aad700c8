"""nbval runs the notebooks in fast mode, and away from the learner's own record and training."""

import os
from pathlib import Path

from notebook_run import environment, learners_cache

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config):
    cache = learners_cache(ROOT, finished=False)
    os.environ.setdefault("DDPM_COURSE_FAST", "1")
    os.environ.update(environment(cache.__enter__()))
    config.add_cleanup(lambda: cache.__exit__(None, None, None))
