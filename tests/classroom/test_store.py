"""The learner's record: kept, erased, and never in the way."""

import json
import threading

import pytest

from ddpm_course.classroom import store


def test_kept_and_erased():
    assert store.recall("prediction", "a") is None and store.all("prediction") == {}
    store.record("prediction", "a", {"choice": 2})
    store.record("prediction", "b", [1])
    store.record("quiz", "a", "x")
    assert store.recall("prediction", "a") == {"choice": 2}
    assert store.all("prediction") == {"a": {"choice": 2}, "b": [1]}
    store.forget("quiz")
    assert store.all("quiz") == {} and store.recall("prediction", "b") == [1]
    store.forget()
    assert store.all("prediction") == {} and not store.path().exists()


def test_one_readable_file():
    store.record("quiz", "a", "é")
    assert json.loads(store.path().read_text()) == {"quiz": {"a": "é"}}


@pytest.mark.parametrize("text", ["{", "[]", '{"quiz": 3}', ""])
def test_a_broken_file_is_set_aside(text, capsys):
    store.path().parent.mkdir(parents=True)
    store.path().write_text(text)
    assert store.recall("quiz", "a") is None
    assert "set aside" in capsys.readouterr().err
    assert store.path().with_suffix(".broken.json").read_text() == text
    store.record("quiz", "a", 1)
    assert store.recall("quiz", "a") == 1


def test_where_nothing_can_be_written_the_session_remembers(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    store.record("quiz", "a", 1)
    assert store.recall("quiz", "a") == 1
    store.forget()
    assert store.recall("quiz", "a") is None


def test_a_value_that_json_cannot_hold_is_a_mistake():
    with pytest.raises(TypeError):
        store.record("quiz", "a", object())


def test_two_notebooks_at_once_lose_nothing():
    def write(name):
        for i in range(20):
            store.record("quiz", f"{name}{i}", i)

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.all("quiz")) == 40
