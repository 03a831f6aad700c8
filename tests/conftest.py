"""Settings that every test file shares."""

import urllib.error

import pytest
from hypothesis import settings

# The same examples on every run, on slow machines too, and no database left in the tree.
settings.register_profile("course", max_examples=25, deadline=None, derandomize=True, database=None)
settings.load_profile("course")


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    """No test reaches the network through torchvision, or the user's cache."""
    import torchvision.datasets.cifar
    import torchvision.datasets.mnist

    def refuse(url, *_, **__):
        raise urllib.error.URLError(f"no network in tests: {url}")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", refuse)
    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", refuse)


def pytest_terminal_summary(terminalreporter):
    """Print what tests have recorded as their "summary", from all workers."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [value for report in reports if report.when == "call" for name, value in report.user_properties if name == "summary"]
    if lines:
        terminalreporter.section("what was counted")
        terminalreporter.write_line("\n".join(sorted(lines)))
