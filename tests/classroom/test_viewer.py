"""Frames that are moved by hand, and what stands in for them."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_course.classroom import viewer
from ddpm_course.classroom.viewer import frames, label_picker, pixels, png

WIDGET = "application/vnd.jupyter.widget-view+json"
IMAGES = [torch.full((1, 28, 28), level) for level in torch.linspace(-1, 1, 9)]


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def make(n=9):
    return frames(IMAGES[:n], [f"t = {i}: level {i}." for i in range(n)], "t")


def test_pixels_takes_every_usual_shape():
    assert pixels(torch.zeros(1, 4, 5)).shape == pixels(np.zeros((4, 5))).shape == (4, 5)
    assert pixels(torch.zeros(3, 4, 5)).shape == pixels(np.zeros((4, 5, 3), np.uint8)).shape == (4, 5, 3)
    assert pixels(torch.tensor([[-3.0, -1, 0, 1, 3, torch.nan]])).tolist() == [[0, 0, 128, 255, 255, 128]]
    assert pixels(torch.tensor([[7, 9]], dtype=torch.uint8)).tolist() == [[7, 9]]
    assert pixels(torch.zeros(2, 2, requires_grad=True, dtype=torch.bfloat16).float()).shape == (2, 2)
    for bad in (torch.zeros(2, 4, 5), torch.zeros(4), torch.zeros(1, 1, 4, 5)):
        with pytest.raises(ValueError, match="shape"):
            pixels(bad)


def test_png_is_the_same_every_time_and_large_enough_to_see():
    image = torch.rand(1, 28, 28)
    assert png(image) == png(image) and decoded(png(image)).shape == (168, 168)
    assert decoded(png(image, zoom=1)).tolist() == pixels(image).tolist()


def test_moving_the_slider_changes_picture_and_caption():
    shown = make()
    for i in (0, 5, 8, 3):
        shown.slider.value = i
        assert shown.image.value == shown.pngs[i] and f"level {i}." in shown.caption.value
    assert shown.slider.min == shown.play.min == 0 and shown.slider.max == shown.play.max == 8


def test_one_bundle_with_a_film_strip():
    shown = make()
    data = shown._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/png", WIDGET} and data[WIDGET]["model_id"] == shown.widget.model_id
    assert "9 pictures" in data["text/plain"] and "level 0." in data["text/plain"] and "level 8." in data["text/plain"]
    strip = decoded(base64.b64decode(data["image/png"]))
    assert strip.shape[1] <= 800 and strip.shape[0] < 260 and len(np.unique(strip[80])) >= 6
    assert shown.strip() == shown.strip()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_frames(n):
    assert decoded(make(n).strip()).ndim == 2


def test_wide_frames_stand_in_two_rows():
    wide = frames([torch.zeros(300, 500)] * 5, ["a"] * 5, "t")
    assert decoded(wide.strip()).shape[1] <= 740 and decoded(wide.strip()).shape[0] > 400


def test_frames_and_captions_must_agree():
    with pytest.raises(ValueError, match="one caption for each"):
        frames(IMAGES, ["one"], "t")
    with pytest.raises(ValueError, match="frames"):
        frames([], [], "t")


def test_captions_are_text_not_html():
    assert "&lt;b&gt;" in frames(IMAGES[:1], ["<b>"], "t").caption.value


def test_a_button_draws_its_label():
    drawn = []

    def draw(label):
        drawn.append(label)
        return torch.full((28, 28), label / 10)

    picker = label_picker(range(10), draw)
    assert drawn == [0] and "digit 0" in picker.caption.value and len(picker.buttons) == 10
    picker.buttons[7].click()
    assert drawn == [0, 7] and "digit 7" in picker.caption.value and picker.image.value == png(torch.full((28, 28), 0.7))
    assert not any(button.disabled for button in picker.buttons)
    assert set(picker._repr_mimebundle_()) == {"text/plain", "image/png", WIDGET}


def test_a_drawing_that_fails_says_so_and_leaves_the_buttons():
    def draw(label):
        if label == 3:
            raise RuntimeError("out of ink")
        return torch.zeros(4, 4)

    picker = label_picker([0, 3], draw)
    picker.buttons[1].click()
    assert "out of ink" in picker.caption.value and not picker.buttons[1].disabled


def test_without_ipywidgets_the_pictures_are_there(monkeypatch):
    monkeypatch.setattr(viewer, "widgets", lambda: None)
    assert set(make()._repr_mimebundle_()) == {"text/plain", "image/png"}
    assert set(label_picker([1], lambda label: torch.zeros(4, 4))._repr_mimebundle_()) == {"text/plain", "image/png"}
