"""Pictures: right numbers, whole pixels, one look, a sentence each."""

import base64
import io
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_course.classroom import plots
from ddpm_course.classroom.viewer import png

DOTS = torch.stack([torch.linspace(0, 6, 30).cos(), torch.linspace(0, 6, 30).sin()], 1)
DIGITS = torch.linspace(-1, 1, 10)[:, None, None, None].expand(10, 1, 28, 28)


def make():
    x = torch.arange(5)
    return {
        "grid": plots.digit_grid(DIGITS[:, None].expand(10, 4, 1, 28, 28), range(10), title="All"),
        "strip": plots.strip(DIGITS[:5], [f"t = {i}" for i in range(5)]),
        "histograms": plots.histograms({"a": torch.zeros(9), "b": torch.ones(9)}, list(DIGITS[:2])),
        "plane": plots.plane({"data": DOTS, "drawn": DOTS + 0.1}, (DOTS, DOTS * 0.9), grounds=["data"]),
        "planes": plots.plane(panels=[dict(points={"data": DOTS}), dict(points={"data": DOTS}, paths=DOTS[None] * x[:, None, None] / 5)],
                              titles=["before", "after"]),
        "bars": plots.bars({"plain": 0.5, "without skips": 1.25}, "loss", spread={"plain": (0.4, 0.6)}),
        "lanes": plots.lanes({"a": {"CPU": [(0, 1, "x"), (2, 1, "y")], "GPU": [(1, 2, "z")]}}, "seconds"),
        "heat": plots.heat(torch.eye(4), "t", "number", "value"),
        "heat with names": plots.heat(torch.eye(3), "read as", "asked for", "share", names=["cat", "dog", "ship"]),
        "board": plots.board({"healthy": {"one step": ("0.20", False)}, "F": {"one step": ("0.04", True)}}),
        "curves beside images": plots.curves(x, {"mean": x}, "t", "value", images={"first": DIGITS[0], "last": DIGITS[1]}),
        "ladder": plots.ladder([("inlet", (4, 28), 1e6), ("middle 1", (8, 14), 3e6), ("up", (4, 28), 2e6)], [(0, 2)],
                               ends=(DIGITS[0], DIGITS[1])),
        "curves": plots.curves(x, {"mean": x, "variance": x**2}, "t", "value", {"mean": (x, x), "other": (x, x)}),
    }


def drawn(figure):
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB"))


@pytest.mark.parametrize("name", make())
def test_shows_itself_once_the_same_every_time_on_an_opaque_light_ground(name):
    figure, again = make()[name], make()[name]
    data = figure._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/png"} and data["text/plain"].rstrip().endswith(".") and "<Figure" not in data["text/plain"]
    assert data == again._repr_mimebundle_()
    assert drawn(figure)[0, 0].tolist() == [255, 255, 255] and figure.dpi <= 100 and drawn(figure).shape[1] <= 800
    with matplotlib.rc_context({"figure.facecolor": "black"}):
        assert drawn(make()[name])[0, 0].tolist() == [255, 255, 255]


def test_stored_pictures_are_small_and_look_the_same():
    def stored(figure):
        data = base64.b64decode(figure._repr_mimebundle_()["image/png"])
        return data, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)

    data, shown = stored(make()["curves"])
    assert len(data) < len(png(make()["curves"])) / 2 and np.abs(shown - drawn(make()["curves"])).mean() < 0.2
    assert np.array_equal(stored(make()["grid"])[1], drawn(make()["grid"]))  # greys are kept exactly
    photograph = plots.strip(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    assert np.array_equal(stored(photograph)[1], drawn(photograph))


def test_names_in_any_script_are_drawn_where_the_machine_has_a_font(caplog):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        drawn(plots.strip(DIGITS[:2], ["\u732b", "\uace0\uc591\uc774"]))  # cat, in Chinese and in Korean
    assert bool(said) == (len(plots.FAMILY) == 1)  # matplotlib warns of each letter that no font has
    assert "findfont" not in caplog.text  # no font is named that is not there


def test_each_pixel_of_a_digit_is_a_whole_number_of_screen_pixels():
    board = torch.ones(1, 28, 28)
    board[:, ::2] = -1
    row = drawn(plots.strip([board] * 3, ["a", "b", "c"]))[:, :, 0]
    column = row[-150:, 20]
    runs = np.diff(np.flatnonzero(np.diff(column.astype(int))))
    assert set(runs) == {5}, runs


def test_grid_takes_lists_and_both_shapes():
    for images in (DIGITS, list(DIGITS), DIGITS.reshape(2, 5, 1, 28, 28), ((DIGITS + 1) * 127.5).to(torch.uint8)):
        assert "10 images" in plots.digit_grid(images, columns=5).alt
    assert "Rows: x_t, guess." in plots.digit_grid(DIGITS, ["x_t", "guess"], columns=5).alt
    assert plots.digit_grid(DIGITS, alt="Ten greys.").alt == "Ten greys."
    assert plots.strip(torch.zeros(2, 3, 32, 32)).alt


def test_labels_must_fit_the_images():
    with pytest.raises(ValueError, match="3 row labels for 2 rows"):
        plots.digit_grid(DIGITS, ["a", "b", "c"], columns=5)
    with pytest.raises(ValueError, match="column labels"):
        plots.strip(DIGITS, ["a"])


def test_histograms_say_mean_and_deviation():
    figure = plots.histograms({"t = 0": torch.tensor([-1.0, 1.0])})
    assert "t = 0: mean 0.00, standard deviation 1.00" in figure.alt
    assert sum(bar.get_height() * bar.get_width() for bar in figure.axes[0].patches) == pytest.approx(1)


def test_curves_stand_beside_images():
    picture = make()["curves beside images"]
    shown = picture.axes[1:]
    assert [axes.get_title() for axes in shown] == ["first", "last"] and all(len(axes.images) == 1 for axes in shown)
    picture.draw_without_rendering()
    curve, first, last = (axes.get_position() for axes in picture.axes)
    assert curve.height > 1.5 * first.height and first.x0 > curve.x1 and first.y0 > last.y0  # the curve is as tall as both


def test_a_batch_beside_a_curve_is_a_square_of_images():
    batch = torch.arange(0, 220, 20, dtype=torch.uint8)[:, None, None, None].expand(11, 1, 4, 5)
    shown = plots.curves([0, 1], {"a": [0, 1]}, "x", "y", images={"nine": batch}).axes[1].images[0].get_array()
    assert shown.shape == (12, 15)
    assert [int(shown[row, column]) for row, column in ((0, 0), (0, 14), (4, 0), (11, 14))] == [0, 40, 60, 160]


def test_smooth_curves_are_means_where_their_last_value_stands():
    line = plots.curves(range(10, 17), {"a": [1, 2, 3, 5, 7, 9, 100]}, "x", "y", smooth=3).axes[0].lines[0]
    assert line.get_xdata().tolist() == [12, 15] and line.get_ydata().tolist() == [2, 7]
    line = plots.curves({"a": range(4)}, {"a": torch.tensor([1.0, 3, 5, 7])}, "x", "y", smooth=2).axes[0].lines[0]
    assert line.get_xdata().tolist() == [1, 3] and line.get_ydata().tolist() == [2, 6]


def test_points_have_their_curves_colour_and_lines_differ_without_colour():
    axes = make()["curves"].axes[0]
    by_name = {line.get_label(): line for line in axes.lines}
    assert by_name["mean"].get_color() == by_name["mean, measured"].get_color() != by_name["variance"].get_color()
    assert by_name["mean"].get_linestyle() != by_name["variance"].get_linestyle()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("t", "value") and "mean goes from 0 to 4" in make()["curves"].alt


def test_numbers_on_an_axis_are_those_given():
    axes = plots.curves([1, 3, 5], {"a": [1, 20, 3]}, "x", "y", log="xy", ticks=([1, 3, 5], ())).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "3", "5"] and list(axes.get_xticks(minor=True)) == []
    assert len(axes.get_yticks(minor=True)) > 3


def test_pyplot_keeps_nothing():
    import matplotlib.pyplot

    make()
    assert matplotlib.pyplot.get_fignums() == []


def test_arrows_end_where_they_should_and_values_stand_on_their_bars():
    axes = plots.plane({"data": DOTS}, (DOTS, DOTS * 0.5)).axes[0]
    (arrows,) = [c for c in axes.collections if hasattr(c, "U")]
    assert np.allclose(np.c_[arrows.U, arrows.V], -0.5 * DOTS) and arrows.angles == "xy" and arrows.scale == 1
    (dots,) = plots.plane({"data": DOTS[:3]}, shares={"data": torch.tensor([0.0, 0.25, 0.75])}).axes[0].collections
    areas = dots.get_sizes()
    assert 0 < areas[0] < 20 and np.isclose(areas[2] - areas[0], 3 * (areas[1] - areas[0]))
    picture = plots.bars({"a": 0.5, "b": 1.25}, "loss")
    assert [text.get_text() for text in picture.axes[0].texts] == ["0.5", "1.25"] and "b 1.25" in picture.alt


def test_a_ladder_has_a_box_and_a_bar_for_each_part_and_smaller_maps_stand_lower():
    picture = make()["ladder"]
    rungs, below = picture.axes
    boxes = list(rungs.patches)
    assert [text.get_text() for text in rungs.texts if text.get_text().isdigit()] == ["4", "8", "4"]
    assert boxes[1].get_y() < boxes[0].get_y() == boxes[2].get_y() and boxes[1].get_height() < boxes[0].get_height()
    assert boxes[1].get_width() > boxes[0].get_width() and [bar.get_height() for bar in below.patches] == [1, 3, 2]
    (skip,) = [line for line in rungs.lines if line.get_linestyle() == "--"]
    assert (skip.get_xdata()[0], skip.get_xdata()[-1]) == (0, 2)
    assert "middle 1 8 x 14 x 14" in picture.alt and "1 skip leads across. Together 6 million" in picture.alt
    assert "2 skips lead" in plots.ladder([("a", (1, 2), 1), ("b", (1, 2), 1), ("c", (1, 2), 1)], [(0, 1), (1, 2)]).alt


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_panels_have_room_for_their_titles(count):
    picture = plots.plane(panels=[dict(points={"data": DOTS})] * count, titles=["t = 299"] * count)
    drawn(picture)  # places everything
    for axes in picture.axes:
        box = axes.title.get_window_extent()
        assert 0 <= box.x0 and box.x1 <= picture.bbox.width and box.y1 <= picture.bbox.height
        assert axes.get_window_extent().width > 0.8 * picture.bbox.width / count


def test_threads_draw_what_one_alone_draws():
    """A slider may draw while a cell does: each picture has its style, and none of it is left behind."""
    before = dict(matplotlib.rcParams)

    def draw(_):
        return png(plots.curves(range(5), {"a": range(5), "b": range(5)}, "x", "y"))

    alone, interval = draw(0), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that threads come between one another often
    try:
        with ThreadPoolExecutor(4) as pool:
            found = {*pool.map(draw, range(12))}
    finally:
        sys.setswitchinterval(interval)
    assert found == {alone} and dict(matplotlib.rcParams) == before
