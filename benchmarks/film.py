"""README's film: one noise, walked back ten times, once for each label. `python benchmarks/film.py` writes results/film.png.

The shipped model `mnist`, 100 ancestral steps, guidance scale 2; seed 0. A column a label; the rows are moments of the walk.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.utils import make_grid, save_image

from ddpm_course import Guided, load_checkpoint, sample_steps

TARGET = Path(__file__).parent / "results" / "film.png"
MOMENTS = (899, 699, 549, 399, 249, -1)  # timesteps reached


def main() -> None:
    loaded = load_checkpoint("mnist")
    labels = torch.arange(10)
    streams = [torch.Generator().manual_seed(0) for _ in labels]  # the same start, and the same noise on the way
    start = torch.stack([torch.randn(1, 28, 28, generator=stream) for stream in streams])
    walk = sample_steps(loaded.diffusion, Guided(loaded.model, 2.0), start, y=labels, timesteps=100, generator=streams)
    rows = [start, *(step.x for step in walk if step.s in MOMENTS)]
    grid = make_grid(torch.cat(rows).clamp(-1, 1), nrow=10, padding=1, pad_value=1.0, normalize=True, value_range=(-1, 1))
    save_image(grid.repeat_interleave(2, 1).repeat_interleave(2, 2), TARGET)
    print(f"{TARGET}: {len(rows)} moments of {len(labels)} walks")


if __name__ == "__main__":
    main()
