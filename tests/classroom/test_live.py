"""The report of a training, as a widget and as text."""

import io
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny import environment, run

from ddpm_course.classroom import live

module = import_module("ddpm_course.classroom.live")  # its name in the package is the function's


def record(images, of=1000, left=65.0):
    return {"images": images, "of": of, "loss": 0.25, "images_per_second": 1234.4, "seconds_left": left}


@pytest.fixture
def kernel(monkeypatch):
    """As in a notebook with a front end: what is shown is kept."""
    shown = []
    monkeypatch.delenv("DDPM_COURSE_STATIC", raising=False)
    shell = SimpleNamespace(kernel=object())
    display = SimpleNamespace(display=lambda data, raw: shown.append(data))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, display=display))
    return shown


def test_text_has_about_ten_lines_and_says_what_counts(capsys):
    report = live("Training")
    for images in range(10, 1001, 10):
        report(record(images))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11 and report.widget is None
    assert lines[0] == "Training: 10 of 1,000 images, loss 0.250, 1,234 images/s, 1 min 5 s left"
    assert lines[-1].endswith("done")


def test_text_of_a_few_records_has_a_line_for_each(capsys):
    report = live()
    for images in (400, 800, 1000):
        report(record(images, left=9.6))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0].endswith("10 s left")


def test_widget_follows_and_nothing_is_printed(kernel, capsys, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.0)
    report = live("My training")
    for images in (250, 500, 1000):
        report(record(images))
        assert report.bar.value == images / 1000
        assert f"My training: {images:,} of 1,000 images, loss 0.250" in report.caption.value
    assert report.bar.bar_style == "success" and report.image.layout.display == "none"
    (data,) = kernel
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == report.widget.model_id
    assert "My training" in data["text/plain"] and capsys.readouterr().out == ""


def test_widget_is_not_flooded_but_sees_the_end(kernel):
    report = live()
    for images in range(1, 1000):
        report(record(images))
    assert report.bar.value < 0.9  # a second has not passed
    report(record(1000))
    assert report.bar.value == 1


def test_static_mode_and_a_plain_shell_get_text(kernel, capsys, monkeypatch):
    monkeypatch.setenv("DDPM_COURSE_STATIC", "1")
    live()(record(1000))
    monkeypatch.delenv("DDPM_COURSE_STATIC")
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    live()(record(1000))
    assert capsys.readouterr().out.count("done") == 2 and not kernel


def test_the_newest_samples_are_shown(kernel, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.0)
    report = live(run_dir=tmp_path)
    result = run(tmp_path, images=192, preview_images=64, report=report)
    assert report.bar.value == 1 and report.preview == "000000128.png"  # the last one is made after the last report
    shown = Image.open(io.BytesIO(report.image.value))
    assert shown.size == (2 * (10 * 9 + 1), 2 * (4 * 9 + 1)) and len(np.unique(np.asarray(shown))) > 4
    assert report.image.layout.display == "" and result.images_seen == 192


def test_it_is_imported_lightly(tmp_path):
    program = "import sys; from ddpm_course.classroom import live; assert not {'PIL', 'ipywidgets', 'IPython'} & set(sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
