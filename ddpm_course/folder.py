"""A folder of pictures, as people have them: every kind of file becomes 8-bit grey or RGB, and every liberty taken is a note.

Two passes: the headers say whether all is grey and of one size, so that what cannot be taken is refused in seconds;
then the pixels, of which no more than the result is kept in memory.
"""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

IMAGE_SUFFIXES = {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
SPLITS = {"train", "test", "val", "valid", "validation"}
GREY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N"}
LARGEST = 8 * 2**30  # bytes of pixels; more was hardly meant
ORIENTATION = 0x0112  # the EXIF tag


class DataError(ValueError):
    """The data asked for cannot be read. The message says what to do."""


class Pictures(NamedTuple):
    """images: uint8 (N, C, H, W); labels: one for each, into class_names; notes: what was done that one should know."""

    images: np.ndarray
    labels: list[int]
    class_names: tuple[str, ...]
    notes: list[str]


def read_folder(folder: Path, split: str = "train", size: int | None = None) -> Pictures:
    """The pictures of a folder: a sub-folder is a class, a folder without sub-folders is one class.

    split: "train" or "test", where the folder holds folders of that name; both count labels by the classes of "train".
    size: scale and crop each to size x size. A file that cannot be read is left out and named; DataError where more than
    one in ten are such, where there is none at all, and without `size` where sizes differ.
    """
    if size is not None and size < 1:
        raise DataError(f"size={size} is no size: give the side in pixels, such as size=32.")
    notes: list[str] = []
    odd: dict[str, list[Path]] = {}
    broken: dict[Path, str] = {}
    root = _split(folder, split)
    classes = _classes(root, folder, notes)
    files = {path: name for name, paths in classes.items() for path in paths}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's, of large or half-broken files: the notes say what matters
        headers = dict(_each(files, _header, broken))
        _about_broken(broken, root, len(files))
        mode = "L" if all(mode in GREY_MODES for mode, _ in headers.values()) else "RGB"
        _check_sizes(root, {tuple(sorted(shape)) for _, shape in headers.values()}, size, len(headers) * len(mode))
        images = dict(_each(headers, lambda path: _decoded(path, mode, size, path, odd), broken))
    notes += _about_broken(broken, root, len(files))
    _check_sizes(root, {image.shape[:0:-1] for image in images.values()}, size, 0)
    notes += [f"{what}: {_some(root, paths)}." for what, paths in odd.items()]
    held = {files[path] for path in images}
    if gone := [name for name in classes if name not in held]:
        notes.append(f"classes without a readable image are left out: {', '.join(gone)}.")
    names = [name for name in classes if name in held] if split == "train" else _names_of_train(folder, root, held)
    return Pictures(np.stack([*images.values()]), [names.index(files[path]) for path in images], tuple(names), notes)


def read_image(file, name: str) -> np.ndarray:
    """One image file as RGB, uint8 (3, H, W). DataError, with `name`, where it cannot be read."""
    try:
        return _decoded(file, "RGB", None, Path(name), {})
    except Exception as error:
        raise DataError(f"{name} is not a readable image ({_reason(error)}). Delete or replace it.") from None


# --- which files, and of which class ------------------------------------------------------------------------------


def _split(folder: Path, split: str) -> Path:
    inside = _folders(folder)
    wanted = next((entry for entry in inside if entry.name.lower() == split), None)
    # A class may be called "train": beside planes, and without folders of its own, it is one.
    if wanted is not None and (_folders(wanted) or {entry.name.lower() for entry in inside} <= SPLITS):
        return wanted
    if split == "test":
        raise DataError(f"{folder} has no folder 'test'. Make one, with a sub-folder per class.")
    return folder


def _names_of_train(folder: Path, root: Path, held: set[str]) -> list[str]:
    """The classes by which the labels of `root`, a test split, are counted: one that lacks a class must not renumber the others."""
    train = _split(folder, "train")
    names = sorted(held) if train == folder else list(_classes(train, folder, []))
    if strange := sorted(held - set(names)):
        raise DataError(f"{root} holds classes that {train} does not: {', '.join(strange)}. Give both the same sub-folders.")
    return names


def _classes(root: Path, folder: Path, notes: list[str]) -> dict[str, list[Path]]:
    """The image files of each class, classes and files in the order of their names, as torchvision's ImageFolder has them.

    Without sub-folders there is one class, which bears the name of `folder`.
    """
    found: dict[str, list[Path]] = {}
    others: list[Path] = []
    for entry in _folders(root):
        paths = found.setdefault(_word(entry.name), [])
        for path in _files(entry):
            (paths if path.suffix.lower() in IMAGE_SUFFIXES else others).append(path)
    loose = [path for path in root.iterdir() if path.is_file() and not path.name.startswith(".")]
    others += [path for path in loose if path.suffix.lower() not in IMAGE_SUFFIXES]
    loose = sorted((path for path in loose if path.suffix.lower() in IMAGE_SUFFIXES), key=_parts)
    classes = {name: sorted(paths, key=_parts) for name, paths in found.items() if paths}
    if not classes and loose:
        classes, loose = {_word(folder.resolve().name): loose}, []
        notes.append(f"there are no class folders, so all images are one class, {next(iter(classes))!r}.")
    if not classes:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"No images in {root}: it needs one sub-folder per class, with images ({kinds}) inside{_suffixes(others)}.")
    if len(classes) == 1 and found and all(len(path.relative_to(root).parts) > 2 for path in classes[next(iter(classes))]):
        notes.append(f"all images are one class, {next(iter(classes))!r}. If its sub-folders are the classes, give that folder instead.")
    if empty := [name for name in found if name not in classes]:
        notes.append(f"folders without images are left out: {', '.join(empty)}.")
    if loose:
        notes.append(f"images beside the class folders are left out: {_some(root, loose)}. Move them into one.")
    if others:
        notes.append(f"files that are no images by their names are left out: {len(others)}{_suffixes(others)}.")
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault("".join(name.casefold().split()), []).append(name)
    for group in (group for group in alike.values() if len(group) > 1):
        notes.append(f"classes that differ in case or blanks alone are kept apart: {group}. If they are one, move their images together.")
    return classes


def _folders(folder: Path) -> list[Path]:
    """The folders inside, without hidden ones, and without links that lead back up."""
    up = {folder.resolve(), *folder.resolve().parents}
    inside = (e for e in folder.iterdir() if e.is_dir() and not e.name.startswith(".") and e.resolve() not in up)
    return sorted(inside, key=_parts)


def _parts(path: Path) -> tuple[str, ...]:
    """What paths are sorted by: Windows compares them without case, and classes would get other numbers there."""
    return path.parts


def _files(folder: Path) -> Iterable[Path]:
    """The files inside and deeper, without hidden ones: a folder linked deeper down is not entered."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _word(name: str) -> str:
    """A name of the file system as a word to print and to type: é is one letter, whichever way the disk spells it."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _some(root: Path, paths: list[Path]) -> str:
    """How many, and which for example."""
    names = [_word(str(path.relative_to(root))) if path.is_relative_to(root) else str(path) for path in paths]
    return names[0] if len(names) == 1 else f"{len(names)}, such as {names[0]}"


def _suffixes(paths: list[Path]) -> str:
    """Of files that are no images by their names."""
    kinds = sorted({path.suffix.lower() or path.name for path in paths})[:5]
    return f" ({', '.join(kinds)}: pictures among them can be saved as PNG or JPEG)" if kinds else ""


# --- pixels -------------------------------------------------------------------------------------------------------


def _each(paths: Iterable[Path], read, broken: dict[Path, str]):
    for path in paths:
        try:
            yield path, read(path)
        except Exception as error:  # PIL and its codecs have many words for a broken file
            broken[path] = _reason(error)


def _header(path: Path) -> tuple[str, tuple[int, int]]:
    from PIL import Image

    with Image.open(path) as image:
        return image.mode, image.size


def _decoded(file, mode: str, size: int | None, path: Path, odd: dict[str, list[Path]]) -> np.ndarray:
    """uint8 (C, H, W) of a file. What one should know of it is noted in `odd`, under the name `path`."""
    from PIL import Image, ImageOps

    def note(what: str) -> None:
        odd.setdefault(what, []).append(path)

    with Image.open(file) as opened:
        if getattr(opened, "n_frames", 1) > 1:
            note("of several pictures in one file the first is taken")
        if opened.getexif().get(ORIENTATION, 1) > 1:
            note("turned upright, as the camera noted")
        if size is not None:
            opened.draft(None, (3 * size, 3 * size))  # a JPEG is decoded at a fraction of its size, if that is enough
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > 65_535:
            raise ValueError("32 bits a pixel, and no telling which value is white")
        image = Image.fromarray((pixels / 257).round().astype(np.uint8))  # PIL's own way cuts off at 255
        note("16 bits a pixel become 8, with 65535 as white")
    elif image.mode == "F":
        raise ValueError("floating-point pixels, and no telling which value is white")
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            note("transparent parts are laid on white")
    if image.mode == "CMYK":
        note("CMYK becomes RGB without a colour profile, so that colours are near, not exact")
    image = image.convert(mode)
    if size is not None:
        if image.width != image.height:
            note("not square, so that the middle is taken")
        if min(image.size) < size:
            note(f"smaller than {size} x {size}, so enlarged")
        image = ImageOps.fit(image, (size, size))  # shorter side to `size`, then the middle
    array = np.array(image)
    return array[None] if mode == "L" else array.transpose(2, 0, 1)


def _check_sizes(root: Path, shapes: set[tuple[int, int]], size: int | None, planes: int) -> None:
    """shapes: those of the images, in pixels. planes: how many there are in all, one a channel."""
    if size is None and len(shapes) > 1:
        some = " and ".join(f"{width}x{height}" for width, height in sorted(shapes)[:2])
        raise DataError(f"The images in {root} have {len(shapes)} sizes, among them {some}. Give one: load_data(..., size=32).")
    needed = planes * (size**2 if size is not None else max((width * height for width, height in shapes), default=0))
    if needed > LARGEST:
        raise DataError(f"The images in {root} would take {needed / 2**30:.0f} GiB of memory. Give a small size: load_data(..., size=32).")


def _about_broken(broken: dict[Path, str], root: Path, count: int) -> list[str]:
    """The note on files that could not be read, if there are any; DataError where they are too many for a note."""
    if not broken:
        return []
    first, reason = next(iter(broken.items()))
    if 10 * len(broken) > count:
        more = f", and {len(broken) - 1} more of {count} files are not" if len(broken) > 1 else ""
        raise DataError(f"{first} is not a readable image ({reason}){more}. Delete or replace {'them' if more else 'it'}.")
    return [f"not readable, so left out: {_some(root, [*broken])} ({reason})."]


def _reason(error: Exception) -> str:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "of no known kind" if said.startswith("cannot identify") else said
