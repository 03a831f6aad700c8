"""What is shown is what runs."""

import functools
import html
import re

import pytest

from ddpm_course import NoiseSchedule, q_sample
from ddpm_course.classroom import source


def test_functions_methods_classes_and_properties():
    assert source.source_of(q_sample).startswith("def q_sample(")
    assert source.source_of(NoiseSchedule.at).startswith("def at(self") and "\n    return " in source.source_of(NoiseSchedule.at)
    assert source.source_of(NoiseSchedule.linear).splitlines()[0] == "@classmethod"
    assert source.source_of(NoiseSchedule).startswith("class NoiseSchedule")
    assert "def alpha_bar" in source.source_of(NoiseSchedule.alpha_bar)
    assert source.source_of(functools.wraps(q_sample)(lambda: None)).startswith("def q_sample(")


def test_shown_as_text_and_as_a_page(capsys, monkeypatch):
    source.show_source(q_sample, NoiseSchedule.at)
    out = capsys.readouterr().out
    assert "# q_sample, in ddpm_course/diffusion.py\ndef q_sample(" in out and "in ddpm_course/schedule.py" in out
    shown = []
    monkeypatch.setattr(source, "show", shown.append)
    source.show_source(q_sample)
    page = shown[0]["text/html"]
    assert source.source_of(q_sample) in html.unescape(re.sub("<[^>]+>", "", page))
    assert "/work" not in page and "<script" not in page


def test_every_colour_of_the_code_can_be_read():
    """Contrast 4.5 or more (WCAG 2.1, 1.4.3). Stored pages keep the colours that pygments had when they were built."""
    default = pytest.importorskip("pygments.styles").get_style_by_name("default")

    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        return sum(w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
                   for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    ground = light(source.GROUND.removeprefix("#"))
    seen = {look["color"] for token, look in default if look["color"] and "Whitespace" not in str(token)}
    assert not [colour for colour in seen if (ground + 0.05) / (light(colour) + 0.05) < 4.5]


def test_the_hash_changes_with_the_source():
    assert source.source_hash(q_sample) == source.source_hash(q_sample) != source.source_hash(NoiseSchedule.at)
    assert re.fullmatch("[0-9a-f]{16}", source.source_hash(q_sample, NoiseSchedule))


def test_what_has_no_source_is_refused():
    with pytest.raises(TypeError, match="no source"):
        source.show_source(len)
    with pytest.raises(TypeError, match="no source"):
        source.source_of(3)
