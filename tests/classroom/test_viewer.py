"""Frames that are moved by hand, and what stands in for them."""

import base64
import io
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_course.classroom.knobs import knobs
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


def drawing(drawn=None, size=28):
    """What knobs may draw with; notes in `drawn` what was asked for."""
    def draw(**wanted):
        if drawn is not None:
            drawn.append(wanted)
        numbers = [value for value in wanted.values() if isinstance(value, int | float)]
        return torch.full((size, size), sum(numbers) / 100), f"The level is {sum(numbers):g}."

    return draw


def test_knobs_draw_where_they_stand_and_each_combination_once():
    drawn = []
    shown = knobs(drawing(drawn), a=[1, 2, 3], b={"none": 0, "much": 90})
    assert shown.value == {"a": 1, "b": 0} and drawn == [{"a": 1, "b": 0}] and "level is 1." in shown.caption.value
    shown.sliders["a"].value = "3"
    shown.sliders["b"].value = "much"
    assert shown.value == {"a": 3, "b": 90} and "level is 93." in shown.caption.value
    assert shown.image.value == png(torch.full((28, 28), 0.93)) and len(drawn) == 3
    for a in ("1", "3", "1", "3"):
        shown.sliders["a"].value = a
    assert shown.sliders["a"].index == 2 and "level is 93." in shown.caption.value
    assert drawn == [{"a": 1, "b": 0}, {"a": 3, "b": 0}, {"a": 3, "b": 90}, {"a": 1, "b": 90}]
    shown._repr_mimebundle_(), shown._repr_mimebundle_()  # its four corners have been drawn
    assert len(drawn) == 4
    assert all(slider.continuous_update for slider in shown.sliders.values())


def test_knobs_take_any_value_that_has_a_text():
    quarter = torch.tensor(0.25)
    shown = knobs(lambda fn: (fn(quarter).expand(4, 4), "A root, or not."), fn={"as it is": abs, "root": torch.sqrt})
    shown.sliders["fn"].value = "root"
    assert shown.value == {"fn": torch.sqrt} and shown.image.value == png(torch.full((4, 4), 0.5))
    assert knobs(drawing(), beta=[0.1 + 0.2, 1e-4, 20.0]).texts == {"beta": ["0.3", "0.0001", "20"]}
    assert knobs(drawing(), draw=[1, 2], self=[3, 4]).value == {"draw": 1, "self": 3}
    assert knobs(lambda a: (b"a PNG", "Said."), a=range(2)).image.value == b"a PNG"


@pytest.mark.parametrize(("choices", "stand_in"), [
    ({"a": range(9)}, [{"a": 0}, {"a": 4}, {"a": 8}]),
    ({"a": [1, 2]}, [{"a": 1}, {"a": 2}]),
    ({"a": [1, 5, 2], "b": [3, 5, 4]}, [{"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4}]),
    ({"a": [0, 1, 5], "b": [0, 2], "c": [0, 3]},
     [{"a": 0, "b": 0, "c": 0}, {"a": 5, "b": 0, "c": 0}, {"a": 0, "b": 2, "c": 0}, {"a": 0, "b": 0, "c": 3}]),
])
@pytest.mark.parametrize("size", [28, 300])
def test_a_sheet_of_a_few_combinations_stands_in_for_knobs(choices, stand_in, size):
    drawn = []
    shown = knobs(drawing(drawn, size), **choices)
    data = shown._repr_mimebundle_()
    assert drawn == stand_in
    assert set(data) == {"text/plain", "image/png", WIDGET} and data[WIDGET]["model_id"] == shown.widget.model_id
    sheet = decoded(base64.b64decode(data["image/png"]))
    assert sheet.shape[1] <= 740 and len(np.unique(sheet)) > len(stand_in) and shown.sheet() == shown.sheet()


def test_knobs_say_in_words_what_can_be_moved():
    text = knobs(drawing(), T=[1, 2, 3], t={str(i): i for i in range(20)})._repr_mimebundle_()["text/plain"]
    assert text == "A picture to change by T (1, 2, 3) and t (0, 1, …, 19: 20 values). First: T = 1, t = 0: The level is 1."
    named = knobs(lambda T: (torch.zeros(4, 4), f"`T` = {T}: half is left."), T=[10, 20])
    assert named._repr_mimebundle_()["text/plain"].endswith("First: T = 10: half is left.")  # it is not said twice


def test_knobs_whose_pictures_differ_in_size_stand_in_on_one_sheet():
    shown = knobs(lambda size: (torch.zeros(size, 2 * size), "Black."), size=[10, 100])
    assert decoded(shown.sheet()).ndim == 2


def test_a_knob_that_cannot_be_drawn_says_so_and_moves_on():
    broken = [2]

    def draw(a, b):
        if a in broken:
            raise RuntimeError("out of <ink>")
        return torch.full((4, 4), a / 10), f"a is {a}."

    shown = knobs(draw, a=[1, 2], b=[1, 2])
    shown.sliders["a"].value = "2"
    assert "a = 2, b = 1 could not be drawn: out of &lt;ink&gt;" in shown.caption.value
    assert decoded(base64.b64decode(shown._repr_mimebundle_()["image/png"])).ndim == 2
    broken.clear()  # an error is not remembered
    shown.sliders["b"].value = "2"
    assert "a is 2." in shown.caption.value


def test_knobs_that_two_threads_ask_draw_once():
    """JupyterLab may move sliders in another thread than the one that runs cells."""
    drawn = []

    def draw(a):
        time.sleep(0.05)
        drawn.append(a)
        return torch.full((4, 4), a / 10), "Said."

    shown = knobs(draw, a=[1, 2])
    with ThreadPoolExecutor(4) as pool:
        found = {*pool.map(lambda _: shown.at(1), range(8))}
    assert drawn == [1, 2] and len(found) == 1


@pytest.mark.parametrize(("choices", "message"), [
    ({}, "at least one choice"),
    ({"a": [1, 2], "T": [100]}, "T has 1 value: give two or more, or leave T out"),
    ({"T": {}}, "T has 0 values: give two or more"),
    ({"beta": [0.1, 0.10000001]}, r"of beta read alike \(0.1, 0.1\): give each a text of its own"),
])
def test_knobs_refuse_what_cannot_be_moved(choices, message):
    with pytest.raises(ValueError, match=message):
        knobs(drawing(), **choices)


@pytest.mark.parametrize("returned", [torch.zeros(4, 4), (torch.zeros(4, 4),), ("said", torch.zeros(4, 4))])
def test_knobs_need_a_picture_and_a_sentence(returned):
    with pytest.raises(ValueError, match="a picture and its caption"):
        knobs(lambda a: returned, a=[1, 2])


def test_without_ipywidgets_the_pictures_are_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # import fails
    assert set(make()._repr_mimebundle_()) == {"text/plain", "image/png"}
    assert set(label_picker([1], lambda label: torch.zeros(4, 4))._repr_mimebundle_()) == {"text/plain", "image/png"}
    shown = knobs(drawing(), a=[1, 2])
    assert set(shown._repr_mimebundle_()) == {"text/plain", "image/png"} and shown.value == {"a": 1}
    assert shown.sliders is shown.image is shown.caption is shown.widget is None
