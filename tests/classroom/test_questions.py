"""Predictions and quizzes: their texts, their buttons, what stands in for them, what is kept."""

import re

import pytest

from ddpm_course import NoiseSchedule
from ddpm_course.classroom import questions, store
from ddpm_course.classroom.questions import predict, quiz

ALL = [(kind, question) for (kind, _), group in questions._load().items() for question in group]
WIDGET = "application/vnd.jupyter.widget-view+json"


def test_the_notebooks_have_their_questions():
    found = [(kind, id) for kind, id in questions._load()]
    for start in ("start-", "forward-"):
        assert sum(kind == "prediction" and id.startswith(start) for kind, id in found) == 3
    assert all(3 <= len(questions._load()["quiz", id]) <= 5 for id in ("start-here", "forward-noising"))


@pytest.mark.parametrize("kind, question", ALL, ids=lambda value: getattr(value, "id", value))
def test_every_option_is_explained_and_short(kind, question):
    assert sum(option.right for option in question.options) == 1
    assert len({option.text for option in question.options}) == len(question.options) >= 3
    for text in [question.question, *(o.text for o in question.options), *(o.why for o in question.options)]:
        assert text and text == text.strip()
        for sentence in re.split(r"(?<=[.?!:]) ", text):
            assert len(sentence.split()) <= 25, sentence
    assert all(option.why.endswith((".", "?")) for option in question.options)


def test_the_right_one_is_not_always_in_one_place():
    assert len({question.options.index(question.right) for _, question in ALL}) >= 3


def test_figures_that_the_texts_name():
    schedule = NoiseSchedule.linear()
    betas, alpha_bar = schedule.betas.double(), schedule.alpha_bar.double()
    assert f"{betas.sum():.2f}" == "10.05" and f"{betas.sum().sqrt():.2f}" == "3.17" and f"{(betas.sum() + 0.3812).sqrt():.2f}" == "3.23"
    assert f"{alpha_bar[500].sqrt():.2f}" == "0.28" and f"{alpha_bar[500]:.2f}" == "0.08" and f"{(1 - alpha_bar[500]).sqrt():.2f}" == "0.96"
    assert f"{alpha_bar[999].sqrt():.3f}" == "0.006" and round((betas[-1] / betas[0]).item()) == 200
    variance = 0.0
    for beta in betas.tolist():  # the noise multiplied by beta
        variance = (1 - beta) * variance + beta**2
    assert f"{variance**0.5:.2f}" == "0.14"


def test_a_prediction_gives_nothing_away_and_is_kept():
    shown = predict("forward-drop-root")
    data = shown._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html", WIDGET}
    why = shown.asked[0].question.right.why
    assert "About 3." in data["text/plain"] and "About 3." in data["text/html"]
    assert why not in data["text/html"] and "details" not in data["text/html"] and why not in str(shown.asked[0].feedback.value)
    shown.asked[0].buttons[2].click()
    assert "You say C" in shown.asked[0].feedback.value and why not in shown.asked[0].feedback.value
    assert store.recall("prediction", "forward-drop-root") == "About 10."
    again = predict("forward-drop-root").asked[0]
    assert [button.button_style for button in again.buttons] == ["", "", "info", ""]


def test_a_prediction_that_waits_says_for_which_notebook():
    for id, said in (("start-copies", "You say A.</b> Notebook 09 asks again."), ("forward-drop-root", "You say A.</b> Run on and see.")):
        asked = predict(id).asked[0]
        asked.buttons[0].click()
        assert said in asked.feedback.value


def test_reveal_prints_what_was_said_beside_what_was_measured(capsys):
    predict.reveal("forward-drop-root", 3.2297)
    out = capsys.readouterr().out
    assert "You said: nothing yet" in out and "Measured: 3.23" in out and "So: About 3. Variances add" in out
    predict("forward-drop-root").asked[0].choose(2)
    predict.reveal("forward-drop-root", "3.2 (1,000 digits)")
    out = capsys.readouterr().out
    assert "You said: About 10." in out and "Measured: 3.2 (1,000 digits)" in out and "10 is the variance" in out
    store.record("prediction", "forward-drop-root", "an option of an older version")
    predict.reveal("forward-drop-root", 3)
    assert "an option of an older version" in capsys.readouterr().out


def test_a_quiz_explains_each_choice():
    shown = quiz("forward-noising")
    asked = shown.asked[1]
    asked.buttons[0].click()
    assert "not this one" in asked.feedback.value and "published slip" in asked.feedback.value
    assert asked.buttons[0].button_style == "warning"
    asked.buttons[1].click()
    assert "B: right" in asked.feedback.value and [b.button_style for b in asked.buttons] == ["", "success", ""]
    assert store.all("quiz") == {"forward-noising/2": "√β"}
    page = shown._repr_mimebundle_()["text/html"]
    assert page.count("<details>") == 4 and all(questions.prose(o.why) in page for a in shown.asked for o in a.question.options)
    assert "details" not in shown._repr_mimebundle_()["text/plain"]


def test_without_ipywidgets_the_text_is_there(monkeypatch, capsys):
    monkeypatch.setattr(questions, "widgets", lambda: None)
    shown = quiz("start-here")
    assert set(shown._repr_mimebundle_()) == {"text/plain", "text/html"}
    shown.asked[0].choose(1)
    assert store.recall("quiz", "start-here/1")


@pytest.mark.parametrize("ask", [predict, quiz, lambda id: predict.reveal(id, 1)])
def test_an_unknown_id_names_the_known_ones(ask):
    with pytest.raises(ValueError, match=r"start-"):
        ask("no-such")
