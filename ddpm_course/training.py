"""The training loop: one function, on a laptop's CPU, a GPU, or many processes under torchrun.

Work is counted in images seen. What a step does is a pure function of (config, images seen): the learning rate,
the data order, t, noise, dropped labels. Random draws are made for the global batch and then sliced by rank, so a
resumed run, and a run with another number of processes, do the same work.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import dataclasses
import json
import math
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from filelock import FileLock, Timeout
from torch import Tensor, nn

from .checkpoints import CheckpointError, load_weights, model_card, read_tensors, save_model, why_not_written, write_json, write_tensors
from .data import ImageData, atomic_file, to_float, to_uint8, write_png
from .diffusion import Diffusion
from .guidance import drop_labels
from .machine import describe_device, fastest_dtype, pick_device
from .optim import EMA, Muon
from .sampling import sample
from .unet import UNet

FINE = 2**62  # more images than anyone will see: no loss was other than finite so far


class TrainingError(RuntimeError):
    """Training cannot start or go on. The message says what to do."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Everything is counted in images seen, so that the settings survive another batch size.

    images: seen in all. batch_size: global, over all processes. lr: peak, reached after warmup_images, then down to
    lr_end * lr along half a cosine. muon_lr: above 0, the peak for the network's inner matrices, which Muon then trains
    and AdamW the rest; betas and weight_decay are AdamW's. ema_images: half-life of the weight average, once warmed up.
    preview_images, snapshot_images: how often a grid of samples, and the averaged weights, are kept, at the next log.
    label_dropout: share of labels replaced by the null label. stratify: spread the timesteps of a batch evenly over
    {0..T-1} (Kingma et al. 2021, appendix I.1). flip: mirror images left-right half of the time.
    dtype: "float32", "bfloat16" (autocast), or "auto": whichever this machine is faster with.
    """

    images: int = 100_000
    batch_size: int = 64
    lr: float = 1e-3
    warmup_images: int = 5_000
    lr_end: float = 0.0
    muon_lr: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    ema_images: int = 5_000
    label_dropout: float = 0.1
    stratify: bool = True
    flip: bool = False
    dtype: str = "auto"
    compile: bool = False
    seed: int = 0
    log_images: int = 2_000
    preview_images: int = 0  # 0: no previews
    snapshot_images: int = 0  # 0: no snapshots
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        if self.batch_size < 1 or self.images < self.batch_size:
            raise ValueError(f"images={self.images} must be at least one batch of {self.batch_size}.")
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"dtype must be 'auto', 'float32' or 'bfloat16', not {self.dtype!r}.")
        if not self.lr > 0:
            raise ValueError(f"lr must be positive, not {self.lr}.")


@dataclass
class TrainResult:
    """model: the averaged weights, in evaluation mode. history: one record per `log_images`."""

    model: nn.Module
    history: list[dict]
    images_seen: int
    seconds: float
    dtype: str
    device: str

    @property
    def images_per_second(self) -> float:
        """Over the whole of the training, resumed parts included."""
        return self.images_seen / self.seconds if self.seconds else 0.0


def learning_rate(config: TrainConfig, seen: int) -> float:
    """The learning rate after `seen` images: a line up, then half a cosine down."""
    return config.lr * _share_of_peak(config, seen)


def _share_of_peak(config: TrainConfig, seen: int) -> float:
    if seen < config.warmup_images:
        return (seen + config.batch_size) / (config.warmup_images + config.batch_size)
    progress = min(1.0, (seen - config.warmup_images) / max(1, config.images - config.warmup_images))
    return config.lr_end + (1 - config.lr_end) * 0.5 * (1 + math.cos(math.pi * progress))


def batch_indices(n: int, seen: int, batch_size: int, seed: int) -> Tensor:
    """Which of n images stand at positions seen .. seen + batch_size of the endless, epoch-wise shuffled stream. int64."""
    positions, parts = torch.arange(seen, seen + batch_size), []
    for epoch in range(seen // n, (seen + batch_size - 1) // n + 1):
        order = torch.randperm(n, generator=torch.Generator().manual_seed(mix(seed, epoch, 1)))
        parts.append(order[positions[(positions // n) == epoch] % n])
    return torch.cat(parts)


def mix(*numbers: int) -> int:
    """One 63-bit seed out of several numbers (splitmix64), so that neighbouring inputs give unrelated streams."""
    state = 0
    for number in numbers:
        state = (state ^ (number & 0xFFFF_FFFF_FFFF_FFFF)) + 0x9E37_79B9_7F4A_7C15 & 0xFFFF_FFFF_FFFF_FFFF
        state = (state ^ state >> 30) * 0xBF58_476D_1CE4_E5B9 & 0xFFFF_FFFF_FFFF_FFFF
        state = (state ^ state >> 27) * 0x94D0_49BB_1331_11EB & 0xFFFF_FFFF_FFFF_FFFF
        state ^= state >> 31
    return state >> 1


def measure_speed(model: nn.Module, diffusion: Diffusion, data: ImageData, config: TrainConfig, device: torch.device,
                  seconds: float = 4.0) -> float:
    """Images a second that training would see here: real steps on a copy of the model, the median of them."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trainer = Trainer(copy.deepcopy(model), diffusion, data, config, device)
        times: list[float] = []
        until = time.perf_counter() + seconds
        while len(times) < 5 or time.perf_counter() < until:
            start = time.perf_counter()
            trainer.step()
            float(trainer.loss_sum.sum())  # waits for the device
            times.append(time.perf_counter() - start)
    return config.batch_size / sorted(times)[len(times) // 2]


def plan_images(images_per_second: float, seconds: float, fewest: int = 20_000, most: int = 600_000) -> int:
    """How many images to train on in so many seconds: one of a ladder with steps of 10 %, from `fewest` to `most`.

    The ladder makes a machine plan the same run again, and so draw the same digits, though its speed varies a little.
    """
    images = fewest
    while images * 1.1 <= min(most, images_per_second * seconds):
        images = int(images * 1.1)
    return images


def begun(run_dir: str | Path) -> dict | None:
    """The card of the run that was begun in this folder, if there is one: its plan counts, whatever the machine's speed is now."""
    try:
        return json.loads((Path(run_dir) / "card.json").read_text())
    except (OSError, ValueError):
        return None


def planned(run_dir: str | Path, model: nn.Module, diffusion: Diffusion, data: ImageData, config: TrainConfig, device: torch.device,
            seconds: float) -> int:
    """How many images a training is to see: what a run begun in run_dir had planned, else what this machine manages in so many seconds."""
    earlier = begun(run_dir)
    return earlier["train"]["images"] if earlier else plan_images(measure_speed(model, diffusion, data, config, device), seconds)


@dataclass(frozen=True)
class _World:
    """This process among its equals under torchrun; alone without it."""

    rank: int = 0
    size: int = 1

    def any(self, flag: bool, device: torch.device) -> bool:
        if self.size == 1:
            return flag
        value = torch.tensor(float(flag), device=device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())

    def same(self, number: int, device: torch.device) -> bool:
        """Whether all processes say this number."""
        if self.size == 1:
            return True
        most = torch.tensor([number, -number], device=device)
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        return int(most[0]) == -int(most[1])

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def agree(self, word: str | None) -> str:
        """What the first process says."""
        words = [word]
        if self.size > 1:
            dist.broadcast_object_list(words)
        assert words[0] is not None
        return words[0]


def train(model: nn.Module, diffusion: Diffusion, data: ImageData | Tensor, config: TrainConfig, run_dir: str | Path | None = None, *,
          device: torch.device | str | None = None, report: Callable[[dict], None] | None = None,
          stop: Callable[[], bool] | None = None) -> TrainResult:
    """Train `model` in place; return its moving average.

    data: labelled images, or any float tensor (N, ...) that is taken as it is, without labels: points in a plane, say.
    With a run_dir, the state is saved there with the first record after every `checkpoint_seconds`, and the same call resumes it: bit
    for bit on the same machine, stack, thread count, number of processes and dtype. With more `images` than the run had planned, it goes on
    where it stands, at the longer plan's learning rate; card.json keeps the earlier plans. There: state.safetensors (everything),
    model.safetensors (the average, at the end), card.json, history.jsonl, previews/, snapshots/, TensorBoard events. `report`
    gets each record of the history: images, loss, loss_by_decile (of t), lr, images_per_second, seconds_left. `stop`, asked
    after each step, does what Ctrl-C does when it says True: save, and raise KeyboardInterrupt. In a thread beside others
    that is the only way to stop it. There torch's global random state is left to the others, unless the network has dropout
    layers.

    TrainingError for a loss that is not finite (the last good checkpoint stays), for a run_dir that another process
    is using or that holds another run, and for a batch that the processes cannot share.
    """
    device = torch.device(device) if device is not None else pick_device()
    world = _join(device, config)
    with contextlib.ExitStack() as stack:
        run = Path(run_dir) if run_dir is not None else None
        if run is not None and world.rank == 0:
            stack.enter_context(_locked(run))
        asked = stack.enter_context(_stop_requested())
        if _owns_global_state(model):
            stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        if isinstance(data, Tensor):
            if getattr(model, "null_label", None) is not None:
                raise TrainingError("This network takes labels, and a tensor has none: give it ImageData, which holds both.")
            data = ImageData(data, torch.zeros(len(data), dtype=torch.int64), ("unlabelled",), "a tensor")
        trainer = Trainer(model, diffusion, data, config, device, run, world, report)
        if trainer.tensorboard is not None:
            stack.callback(trainer.tensorboard.close)
        return trainer.train(lambda: bool(asked() or (stop is not None and stop())))


class Trainer:
    """What one call of `train` holds together: the model, its average, the optimiser, the images seen. `step` does one batch."""

    def __init__(self, model: nn.Module, diffusion: Diffusion, data: ImageData, config: TrainConfig, device: torch.device,
                 run: Path | None = None, world: _World = _World(), report: Callable[[dict], None] | None = None):
        layout = torch.channels_last if device.type == "cpu" or config.compile else torch.preserve_format
        self.model = model.to(device).to(memory_format=layout).train()
        self.diffusion, self.data, self.config = diffusion.to(device), data, config
        self.run, self.device, self.world, self.report = run, device, world, report
        self.images, self.labels = data.images.to(device), data.labels.to(device)
        self.null_label: int | None = getattr(model, "null_label", None)
        if not len(data):
            raise TrainingError(f"There are no images to learn from ({data.source}).")
        if self.null_label is not None and not 0 <= int(data.labels.min()) <= int(data.labels.max()) < self.null_label:
            raise TrainingError(f"Labels must lie in 0..{self.null_label - 1}; these run from {data.labels.min()} to {data.labels.max()}.")
        if isinstance(model, UNet):
            model.label_dropout = config.label_dropout if self.null_label is not None else None
        self.ema = EMA(model, max_decay=0.5 ** (config.batch_size / max(config.ema_images, 1)))
        if config.muon_lr and not isinstance(model, UNet):
            raise ValueError("Muon needs to know a network's inner matrices, and only UNet says them: use muon_lr=0.")
        inner = list(model.inner_matrices()) if config.muon_lr and isinstance(model, UNet) else []
        rest = [p for p in model.parameters() if not any(p is other for other in inner)]
        fused = device.type in ("cpu", "cuda")
        self.optimizers: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.AdamW(rest, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=fused), config.lr)
        ]
        if inner:
            self.optimizers.append((Muon(inner, lr=config.muon_lr), config.muon_lr))
        self.seen, self.seconds = 0, 0.0
        self.history: list[dict] = []
        self.earlier_plans: list[dict] = []  # of a run that was made longer: how many images it had planned, and when that changed
        # Loss by decile of t since the last record, and the first image at which it was not finite: read only when logged.
        self.loss_sum = torch.zeros(10, dtype=torch.float32, device=device)
        self.loss_count = torch.zeros(10, dtype=torch.float32, device=device)
        self.first_bad = torch.tensor(FINE, dtype=torch.int64, device=device)
        self.dtype = config.dtype
        if run is not None and (run / "state.safetensors").is_file():
            self._resume(run / "state.safetensors")
        if not world.same(len(data), device):
            mine = f"this one {len(data):,} images ({data.source})"
            raise TrainingError(f"The processes have different data, {mine}: give every host the same.")
        if not world.same(self.seen, device):
            raise TrainingError(f"The processes find different states in {run}: all hosts must see one folder, or have a copy of it.")
        if self.dtype == "auto":
            self.dtype = world.agree(fastest_dtype(device) if world.rank == 0 else None)
        self.tensorboard = _tensorboard(run, self.seen) if world.rank == 0 else None
        if config.compile:
            self.model.compile()
        self.seeded = _owns_global_state(model)
        self.network = nn.parallel.DistributedDataParallel(self.model) if world.size > 1 else self.model
        if world.size > 1 and self.seen:
            self._settle()

    def train(self, stop: Callable[[], bool]) -> TrainResult:
        config = self.config
        total = config.images // config.batch_size * config.batch_size
        saved_at = started = time.perf_counter()
        began, spent_before = self.seen, self.seconds
        if self.run is not None and self.world.rank == 0 and not (self.run / "state.safetensors").is_file():
            write_json(self.run / "card.json", self._card())  # the plan stands, though the run be killed before its first save
        while self.seen < total:
            self.step()
            self.seconds = spent_before + time.perf_counter() - started
            logged = self._due(config.log_images, self.seen - config.batch_size) or self.seen >= total
            if logged:
                since = self.history[-1]["images"] if self.history else 0
                self._log(total)
                if self._due(config.preview_images, since):
                    self._preview()
                if self._due(config.snapshot_images, since):
                    self._snapshot()
            # One process may stop after any step; many must agree, and do so when they log.
            if (logged or self.world.size == 1) and self.world.any(stop(), self.device):
                self._save()
                self.world.wait()  # for the first process's file: torchrun ends all when one is gone
                raise KeyboardInterrupt(f"Stopped after {self.seen:,} of {total:,} images.")
            due = logged and self.world.any(time.perf_counter() - saved_at > config.checkpoint_seconds, self.device)
            if due and self.seen < total:
                self._save()
                saved_at = time.perf_counter()
        finished = self.run is not None and (self.run / "model.safetensors").is_file()
        if began < total or not finished:
            self._save()
            if self.run is not None and self.world.rank == 0:
                save_model(self.run / "model.safetensors", self.ema.model, self._card())
        self.world.wait()  # whoever reads the run's files next finds them written
        return TrainResult(self.ema.model, self.history, self.seen, self.seconds, self.dtype, str(self.device))

    def step(self) -> None:
        """Learn from the next batch; a pure function of (config, images seen, weights)."""
        config, world = self.config, self.world
        share = slice(world.rank * config.batch_size // world.size, (world.rank + 1) * config.batch_size // world.size)
        x0, y, t, noise = self._global_batch()
        x0, t, noise, y = x0[share], t[share], noise[share], y[share] if y is not None else None
        if self.seeded:  # for dropout layers, the only users of the global state
            torch.manual_seed(mix(config.seed, self.seen, 3, world.rank))
        for optimizer, peak in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * _share_of_peak(config, self.seen)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == "bfloat16"):
            losses = self.diffusion.loss(self.network, x0, y, t=t, noise=noise)
        losses.mean().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip)
        for optimizer, _ in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.ema.update(self.model)
        with torch.no_grad():
            decile = t * 10 // self.diffusion.schedule.T
            self.loss_sum.index_add_(0, decile, losses.float())
            self.loss_count.index_add_(0, decile, torch.ones_like(losses, dtype=torch.float32))
            bad = (self.first_bad == FINE) & ~losses.sum().isfinite()
            self.first_bad = torch.where(bad, self.seen, self.first_bad)
        self.seen += config.batch_size

    def _settle(self) -> None:
        """A backward pass for nothing, before a resumed run goes on: after its first one, DistributedDataParallel sorts the gradients
        anew, and the sum over three processes or more depends, in its last digits, on that order."""
        few = slice(self.config.batch_size // self.world.size)
        x0, y, t, noise = self._global_batch()
        x0, t, noise, y = x0[few], t[few], noise[few], y[few] if y is not None else None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == "bfloat16"):
            losses = self.diffusion.loss(self.network, x0, y, t=t, noise=noise)
        losses.mean().backward()
        for optimizer, _ in self.optimizers:
            optimizer.zero_grad()

    def _global_batch(self) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        config, device, n, T = self.config, self.device, self.config.batch_size, self.diffusion.schedule.T
        index = batch_indices(len(self.images), self.seen, n, config.seed).to(device)
        generator = torch.Generator(device).manual_seed(mix(config.seed, self.seen, 2))
        x0 = self.images[index]
        x0 = to_float(x0) if x0.dtype == torch.uint8 else x0
        if config.flip:
            mirrored = torch.rand(n, generator=generator, device=device) < 0.5
            x0 = torch.where(mirrored.reshape(-1, *[1] * (x0.ndim - 1)), x0.flip(-1), x0)
        where = torch.rand(n, generator=generator, device=device)
        if config.stratify:
            where = (torch.randperm(n, generator=generator, device=device) + where) / n
        t = (where * T).long().clamp(max=T - 1)
        noise = torch.randn(x0.shape, generator=generator, device=device)
        y = None
        if self.null_label is not None:
            y = drop_labels(self.labels[index], config.label_dropout, self.null_label, generator)
        return x0, y, t, noise

    def _due(self, every: int, since: int) -> bool:
        """Whether another multiple of so many images was reached since then; 0 is never."""
        return every > 0 and self.seen // every != since // every

    def _log(self, total: int) -> None:
        if self.world.size > 1:
            for tensor in (self.loss_sum, self.loss_count):
                dist.all_reduce(tensor)
            dist.all_reduce(self.first_bad, op=dist.ReduceOp.MIN)
        if int(self.first_bad) < FINE:
            raise self._lost()
        sums, counts = self.loss_sum.tolist(), self.loss_count.tolist()
        rate = self.seen / max(self.seconds, 1e-9)
        record = {
            "images": self.seen,
            "of": total,
            "loss": sum(sums) / max(sum(counts), 1),
            "loss_by_decile": [s / c if c else None for s, c in zip(sums, counts, strict=True)],
            "lr": learning_rate(self.config, self.seen - self.config.batch_size),
            "images_per_second": rate,
            "seconds_left": (total - self.seen) / rate,
        }
        self.loss_sum.zero_()
        self.loss_count.zero_()
        self.history.append(record)
        if self.tensorboard is not None:
            for name in ("loss", "lr", "images_per_second"):
                self.tensorboard.add_scalar(name, record[name], self.seen)
        if self.report is not None and self.world.rank == 0:
            self.report(record)

    def _lost(self) -> TrainingError:
        image = min(int(self.first_bad), self.seen)
        kept = self.run is not None and (self.run / "state.safetensors").is_file()
        return TrainingError(
            f"The loss stopped being finite at image {image:,}. {f'The checkpoint in {self.run} is from before it. ' if kept else ''}"
            f"Start again with a smaller lr (now {self.config.lr:g}) or another seed (now {self.config.seed})."
        )

    def _preview(self) -> None:
        """A grid of samples, a column a label, always from the same noise: previews/<images seen>.png and TensorBoard."""
        if self.run is None or self.world.rank != 0:
            return
        from torchvision.utils import make_grid

        classes = self.null_label or 8
        labels = torch.arange(4 * classes) % classes
        wanted = {"labels": labels} if self.null_label else {"n": len(labels)}
        images = sample(self.diffusion, self.ema.model, seed=self.config.seed, **wanted)
        grid = make_grid(to_uint8(images).cpu(), nrow=classes, padding=1)
        path = self.run / "previews" / f"{self.seen:09d}.png"
        try:
            write_png(path, grid)
        except OSError as error:
            raise CheckpointError(f"Cannot write {path}: {why_not_written(error, path.parent)}") from error
        if self.tensorboard is not None:
            self.tensorboard.add_image("samples", grid, self.seen)

    def _snapshot(self) -> None:
        """The averaged weights of this moment, for `load_checkpoint`: snapshots/<images seen>.safetensors."""
        if self.run is not None and self.world.rank == 0:
            write_tensors(self.run / "snapshots" / f"{self.seen:09d}.safetensors", self.ema.model.state_dict(), self._card())

    def _card(self) -> dict:
        return {
            **model_card(self.model, self.diffusion),
            "train": dataclasses.asdict(self.config),
            "data": {"source": self.data.source, "images": len(self.data), "class_names": list(self.data.class_names)},
            **({"earlier_plans": self.earlier_plans} if self.earlier_plans else {}),
            "images_seen": self.seen,
            "seconds": round(self.seconds, 3),
            "device": describe_device(self.device),
            "dtype": self.dtype,
            "threads": torch.get_num_threads(),
            "processes": self.world.size,
            "torch": torch.__version__,
        }

    def _save(self) -> None:
        if self.run is None or self.world.rank != 0:
            return
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            raise self._lost()  # lost weights are never kept
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for optimizer, _ in self.optimizers:
                for key, value in optimizer.state.get(parameter, {}).items():
                    tensors[f"optimizer.{name}.{key}"] = value
        tensors |= {"log.sum": self.loss_sum, "log.count": self.loss_count}
        card = self._card()
        write_tensors(self.run / "state.safetensors", tensors, {**card, "history": self.history})
        write_json(self.run / "card.json", card)
        try:
            with atomic_file(self.run / "history.jsonl") as temporary:
                temporary.write_text("".join(json.dumps(record) + "\n" for record in self.history))
        except OSError:
            pass  # a copy for people; the state holds the history too

    def _resume(self, path: Path) -> None:
        tensors, card = read_tensors(path)
        mine = json.loads(json.dumps({**model_card(self.model, self.diffusion), "train": dataclasses.asdict(self.config)}))
        self.earlier_plans, planned = card.get("earlier_plans", []), card["train"]["images"]
        if planned < self.config.images:
            self.earlier_plans = [*self.earlier_plans, {"images": planned, "until": card["images_seen"]}]
            card["train"]["images"] = self.config.images
        for part, wanted in mine.items():
            if card.get(part) != wanted:
                raise TrainingError(
                    f"{path.parent} holds another run: {_difference(part, card.get(part), wanted)}. "
                    "Choose another folder, or delete this one to start again."
                )
        if card["data"]["images"] != len(self.data):
            raise TrainingError(
                f"{path.parent} was begun on {card['data']['images']} images ({card['data']['source']}) and not on the {len(self.data)} "
                "given now. Give it the same data, or choose another folder."
            )
        for prefix, module in (("model.", self.model), ("ema.", self.ema.model)):
            load_weights(module, {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}, path)
        for optimizer, _ in self.optimizers:
            names = {parameter: name for name, parameter in self.model.named_parameters()}
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                prefix = f"optimizer.{names[parameter]}."
                for key in (k for k in tensors if k.startswith(prefix)):
                    value = tensors[key]
                    # A moment gets its parameter's device and layout; a step counter lives where its optimiser wants it.
                    # A copy, for the file stays mapped into memory else, and some systems replace no file that is.
                    moment = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.clone().to(
                        parameter.device if self.device.type == "cuda" else "cpu")
                    optimizer.state[parameter][key.removeprefix(prefix)] = moment
        if self.world.rank == 0:  # the sums of all processes, to which the others add theirs
            self.loss_sum.copy_(tensors["log.sum"])
            self.loss_count.copy_(tensors["log.count"])
        self.seen, self.seconds, self.history = card["images_seen"], card["seconds"], card["history"]
        self.ema.updates = self.seen // self.config.batch_size
        self.dtype = card["dtype"]
        if planned < self.config.images and self.world.rank == 0:
            (path.parent / "model.safetensors").unlink(missing_ok=True)  # of the shorter plan; the state has its weights, too


def _difference(part: str, old: object, new: object) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(k for k in {**old, **new} if old.get(k) != new.get(k))
        return f"its {part}.{key} is {old.get(key)}, not {new.get(key)}"
    return f"its {part} is {old}, not {new}"


def _owns_global_state(model: nn.Module) -> bool:
    """Whether a training seeds torch's global random state: beside the main thread only for dropout layers, which draw from it."""
    return threading.current_thread() is threading.main_thread() or any(
        isinstance(part, nn.Dropout) and part.p > 0 for part in model.modules())


def _join(device: torch.device, config: TrainConfig) -> _World:
    """The process group of torchrun, if there is one. It is made once and kept: a second one would read the first one's keys."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1 or not dist.is_available():
        return _World()
    if config.batch_size % size:
        raise TrainingError(f"A batch of {config.batch_size} cannot be shared by {size} processes: choose a multiple of {size}.")
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        store, rank, size = next(dist.rendezvous("env://"))  # type: ignore[attr-defined]  # torch exports it without saying so
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=_fresh(store, rank, size), rank=rank, world_size=size)
        atexit.register(dist.destroy_process_group)
    return _World(dist.get_rank(), dist.get_world_size())


def _fresh(store: Any, rank: int, size: int, seconds: float = 600.0) -> Any:
    """A part of the store that no earlier life of these processes has written in.

    After a restart torchrun hands out the same store again. There stand the addresses of the dead, and whoever is quick reads them.
    So the first process answers to what the others say until each has heard it, and what it answers is the part's name.
    """
    name = uuid.uuid4().hex
    store.set(f"here/{rank}", name)
    if rank > 0:
        name_of_all = store.get(f"answer/{rank}/{name}").decode()  # waits for it
        store.set(f"heard/{rank}/{name_of_all}", "")
        return dist.PrefixStore(name_of_all, store)  # type: ignore[attr-defined]  # as rendezvous: exported without a word
    silent, until = set(range(1, size)), time.monotonic() + seconds
    while silent:
        for other in [other for other in silent if store.check([f"here/{other}"])]:
            store.set(f"answer/{other}/{store.get(f'here/{other}').decode()}", name)  # to a dead one, perhaps: it is said again
        silent = {other for other in silent if not store.check([f"heard/{other}/{name}"])}
        if time.monotonic() > until:
            raise TrainingError(f"Of {size} processes {len(silent)} did not come: see what they say, and start again.")
        time.sleep(0.01)
    return dist.PrefixStore(name, store)  # type: ignore[attr-defined]  # as rendezvous: exported without a word


@contextlib.contextmanager
def _locked(run: Path) -> Iterator[None]:
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / "lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise TrainingError(f"Another process is training in {run}: wait for it, stop it, or choose another folder.") from None
    except OSError as error:
        raise TrainingError(f"Cannot write in {run} ({error.strerror or error}): choose another folder.") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _stop_requested() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C (or SIGTERM) into a wish to stop after the step at hand; the second acts at once."""
    wished = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield wished.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def wish(number, frame) -> None:
        wished.set()
        restore()

    for number in before:
        signal.signal(number, wish)
    try:
        yield wished.is_set
    finally:
        restore()


def _tensorboard(run: Path | None, seen: int):
    """A writer into run_dir, if tensorboard is installed; what was logged after `seen` is taken back."""
    if run is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run), purge_step=seen + 1 if seen else None)
