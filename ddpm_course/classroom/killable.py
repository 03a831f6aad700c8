"""A small training on real digits that may be killed: `python -m ddpm_course.classroom.killable FOLDER IMAGES LOOP`.

The loop is the learner's `resumable`, or the course's. Here is what it is given: fresh parts, a batch to learn, a real disk.
"""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data import load_data, to_float
from ..diffusion import Diffusion
from ..schedule import NoiseSchedule
from ..unet import UNet, UNetConfig
from . import store
from .checks import check
from .exercises import EXERCISES
from .processes import start

BATCH = 32


class Folder:
    """A real disk for `resumable`: a file for each name."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    def __contains__(self, name: str) -> bool:
        return (self.path / name).is_file()

    def read(self, name: str) -> Any:
        return torch.load(self.path / name)

    def write(self, name: str, state: Any) -> None:
        torch.save(state, self.path / name)

    def rename(self, old: str, new: str) -> None:
        os.replace(self.path / old, self.path / new)  # in one instant: the old file or the new one, never half of one


class Parts:
    """What a small training is made of, fresh, and always the same. learn(seen): one more batch.

    losses: {images seen: loss of the batch}, which go into the file `log`, too. watch: now and then note the loss of the
    average on 256 fixed digits, in `watched`.
    """

    def __init__(self, log: Path | None = None, watch: bool = False):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.model = UNet(UNetConfig(channels=(8, 16), groups=4, patch=2))
        self.average = copy.deepcopy(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), betas=(0.9, 0.99))
        self.generator = torch.Generator().manual_seed(0)
        self.digits, self.diffusion = to_float(load_data("mnist5k").images), Diffusion(NoiseSchedule.cosine(), "x0")
        self.losses: dict[int, float] = {}
        self.watched: dict[int, float] = {}
        self.log, self.watch = log, watch

    def learn(self, seen: int) -> int:
        self.optimizer.param_groups[0]["lr"] = 4e-3 * min(1.0, (seen + BATCH) / 640)
        x0 = self.digits[torch.randint(len(self.digits), (BATCH,), generator=self.generator)]
        loss = self.diffusion.loss(self.model, x0, generator=self.generator).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mine.lerp_(theirs, 0.02)
        seen += BATCH
        self.losses[seen] = loss.item()
        if self.log is not None:
            with open(self.log, "a") as file:
                file.write(f"{seen} {loss.item()!r}\n")
        if self.watch and seen % (5 * BATCH) == 0:
            fixed = torch.Generator().manual_seed(1)
            with torch.no_grad():
                self.watched[seen] = self.diffusion.loss(self.average, self.digits[:256], generator=fixed).mean().item()
        return seen

    def run(self, loop: Callable, disk: Any, until: int) -> None:
        loop(disk, self.model, self.average, self.optimizer, self.generator, self.learn, until)


def losses(folder: str | Path) -> dict[int, float]:
    """{images seen: loss} of a run in this folder, over all its lives; a batch that was learned again counts as it was last."""
    path = Path(folder) / "losses.txt"
    rows = [line.split() for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")] if path.is_file() else []
    return {int(seen): float(loss) for seen, loss in rows}


def start_killable(folder: str | Path, images: int, own: bool = False) -> subprocess.Popen:
    """The small training in a process of its own. Called again for the same folder, it goes on where it was.

    own: with the learner's own `resumable`, where that is right; else with the course's. Prints which.
    """
    folder, exercise = Path(folder), EXERCISES["resumable"]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "loop.py").is_file():
        mine = own and check.mine(exercise.name) is not exercise.solution
        text = store.recall("answer", exercise.name) if mine else exercise.solution_source()
        (folder / "loop.py").write_text(str(text), encoding="utf-8")
    return start("-m", __name__, folder, images, said=folder / "said.txt")


def main() -> None:
    folder, images = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    names: dict[str, Any] = {"torch": torch, "math": math, "np": np, "nn": nn, "F": nn.functional, "Tensor": Tensor}
    exec(compile((folder / "loop.py").read_text(encoding="utf-8"), "loop.py", "exec"), names)
    parts = Parts(folder / "losses.txt")
    parts.run(names["resumable"], Folder(folder), images)


if __name__ == "__main__":
    main()
