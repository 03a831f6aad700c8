"""Weights on disk: safetensors, each with a card (JSON) that says what they are and how to rebuild the model.

The card stands inside the file, so that the two cannot part, and beside it as NAME.json for people. Large weights lie in several
files: NAME.safetensors and NAME.part1.safetensors, NAME.part2.safetensors, ..., each with the card.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from .data import atomic_file
from .diffusion import Diffusion
from .judge import Judge
from .schedule import NoiseSchedule
from .unet import UNet, UNetConfig

SHIPPED = Path(__file__).parent / "checkpoints"
FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written. The message says what to do."""


@dataclass(frozen=True)
class Loaded:
    """A trained model, ready to sample: `sample(loaded.diffusion, loaded.model, labels=[7])`."""

    model: UNet
    diffusion: Diffusion
    card: dict


def write_tensors(path: str | Path, tensors: dict[str, Tensor], card: dict) -> None:
    """Tensors and their card as one safetensors file; a crash or a full disk leaves the old file as it was."""
    path = Path(path)
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_file(path) as temporary:
            save_file(ready, temporary, metadata={"card": json.dumps(card)})
    except (OSError, safetensors.SafetensorError) as error:
        reason = why_not_written(error, path.parent)
        raise CheckpointError(f"Cannot write {path}: {reason} What stood there before is untouched.") from error


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the card of a file written by `write_tensors`, or of the several files written by `save_model`."""
    path = Path(path)
    tensors, card = _read_file(path)
    for number in range(1, card.get("files", 1)):
        more, its_card = _read_file(_part(path, number))
        if its_card != card:
            raise CheckpointError(f"{_part(path, number)} does not belong to {path}: fetch both again.")
        tensors |= more
    return tensors, card


def _read_file(path: Path) -> tuple[dict[str, Tensor], dict]:
    if not path.is_file():
        raise CheckpointError(f"No checkpoint at {path}.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {})["card"])
            return {name: file.get_tensor(name) for name in file.keys()}, card
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} is cut short or no checkpoint of this course ({error}). Restore or delete it.") from error


def _part(path: Path, number: int) -> Path:
    return path.with_suffix(f".part{number}{path.suffix}")


def write_card(path: str | Path, card: dict) -> None:
    """The card for people, as NAME.json beside NAME.safetensors."""
    write_json(Path(path).with_suffix(".json"), card)


def write_json(path: str | Path, content: object) -> None:
    """JSON, written whole or not at all."""
    try:
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise CheckpointError(f"Cannot write {path}: {why_not_written(error, Path(path).parent)}") from error


def model_card(model: torch.nn.Module, diffusion: Diffusion) -> dict:
    """What is needed to rebuild the model and its diffusion."""
    return {
        "format": FORMAT,
        "unet": dataclasses.asdict(model.config) if isinstance(model, UNet) else None,
        "diffusion": {
            "schedule": diffusion.schedule.spec,
            "prediction": diffusion.prediction,
            "min_snr_gamma": diffusion.min_snr_gamma,
        },
        "label_dropout": getattr(model, "label_dropout", None),
    }


def load_checkpoint(name_or_path: str | Path) -> Loaded:
    """A shipped model by name, a run's folder, or a file: the averaged weights, on the CPU, in evaluation mode.

    CheckpointError, with the remedy, for an unknown name, a file cut short, or weights of another shape.
    """
    path = _find(name_or_path)
    tensors, card = read_tensors(path)
    try:
        if card.get("format") != FORMAT or not card.get("unet"):
            raise CheckpointError(f"{path} holds no U-Net of this course (format {card.get('format')}).")
        model = UNet(UNetConfig(**card["unet"]))
        recipe = card["diffusion"]
        diffusion = Diffusion(NoiseSchedule.from_spec(recipe["schedule"]), recipe["prediction"], recipe["min_snr_gamma"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"The card of {path} is of another version of the course ({error}): use that version.") from error
    averaged = {name.removeprefix("ema."): tensor for name, tensor in tensors.items() if name.startswith("ema.")}
    load_weights(model, averaged or tensors, path)
    model.label_dropout = card.get("label_dropout")
    return Loaded(model.eval(), diffusion, card)


def load_previews(name_or_path: str | Path) -> dict[int, Tensor]:
    """The grids of samples kept while a model was trained, always from the same noise: {images seen: uint8 (N, C, H, W)}.

    name_or_path: a shipped model, or a run's folder. Images stand row by row, a column a label. CheckpointError where none were kept.
    """
    from torchvision.io import read_image

    path = _find(name_or_path)
    size = _read_file(path)[1]["unet"]["image_size"]
    folder = path.parent / ("previews" if Path(name_or_path).is_dir() else f"{path.stem}-previews")
    found = {}
    for file in sorted(folder.glob("[0-9]*.png")):
        grid = read_image(str(file))[:, 1:, 1:]  # a line of one pixel surrounds each image
        tiles = grid.unfold(1, size + 1, size + 1).unfold(2, size + 1, size + 1)[..., :size, :size]
        found[int(file.stem)] = tiles.permute(1, 2, 0, 3, 4).flatten(0, 1).contiguous()
    if not found:
        raise CheckpointError(f"No previews in {folder}: train with preview_images above 0.")
    return found


def load_weights(module: torch.nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    """load_state_dict, with one clear sentence where names or shapes do not fit."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        name = next(iter(sorted(set(expected.items()) ^ set(found.items()))))[0]
        raise CheckpointError(
            f"The weights in {path} have another shape than the model: {name} is {found.get(name, 'missing')} "
            f"in the file and {expected.get(name, 'unknown')} in the model. Use the file that belongs to this card."
        )
    module.load_state_dict({name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()})


def save_model(path: str | Path, model: torch.nn.Module, card: dict, dtype: torch.dtype = torch.float32,
               largest: int | None = None) -> None:
    """The weights alone, for sampling, as PATH and its card as PATH with .json.

    dtype: float16 halves the file. largest: bytes of weights in one file, where a host takes no larger ones; then there are
    PATH's parts beside it. The first file is written last, so that it never stands without them.
    """
    files: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in model.state_dict().items():
        tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
        if largest is not None and files[-1] and size + tensor.nbytes > largest:
            files.append({})
            size = 0
        files[-1][name] = tensor
        size += tensor.nbytes
    path, card = Path(path), card if len(files) == 1 else {**card, "files": len(files)}
    for number, tensors in reversed(list(enumerate(files))):
        write_tensors(_part(path, number) if number else path, tensors, card)
    write_card(path, card)


def load_judge(name: str = "judge-mnist") -> tuple[Judge, dict]:
    """A shipped judge classifier and its card."""
    path = _find(name)
    tensors, card = read_tensors(path)
    if "judge" not in card:
        raise CheckpointError(f"{path} holds no judge.")
    judge = Judge(**card["judge"])
    load_weights(judge, tensors, path)
    return judge.eval(), card


def _find(name_or_path: str | Path) -> Path:
    path, shipped = Path(name_or_path), SHIPPED / f"{name_or_path}.safetensors"
    if path.is_dir():
        for candidate in ("model.safetensors", "state.safetensors"):
            if (path / candidate).is_file():
                return path / candidate
        if not shipped.is_file():  # torchvision's MNIST folder, say, does not hide the shipped model
            raise CheckpointError(f"{path} is a folder without model.safetensors: train into it first.")
    if path.is_file():
        return path
    if shipped.is_file():
        return shipped
    names = ", ".join(shipped_names())
    raise CheckpointError(f"No checkpoint called {str(name_or_path)!r}: use a path, or one of the shipped {names or '(none)'}.")


def shipped_names() -> list[str]:
    """The names of all weights that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors") if ".part" not in path.name)


def why_not_written(error: BaseException, folder: Path) -> str:
    """What keeps a file from being written, and the remedy, in a sentence."""
    number = getattr(error, "errno", None)
    text = str(error).lower()
    if number == errno.ENOSPC or "no space" in text or "os error 28" in text:
        free = shutil.disk_usage(folder).free // 2**20 if folder.exists() else 0
        return f"the disk is full ({free} MiB free). Free some space and run the same command again."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or "permission denied" in text:
        return f"no permission to write in {os.fspath(folder)}. Choose another folder."
    return f"{error}. Choose another folder, or repair this one."
