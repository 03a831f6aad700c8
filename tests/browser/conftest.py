"""One JupyterLab and one Chromium for all tests; each notebook is opened and run once, when its first test comes."""

from pathlib import Path

import pytest
from lab import CHROMIUM, NOTEBOOKS, Notebook, jupyterlab


def pytest_collection_modifyitems(items):
    """All tests of one notebook after another: it is closed when the next one comes."""
    here = [(place, item) for place, item in enumerate(items) if item.path.parent == Path(__file__).parent]

    def notebook(item):
        return item.callspec.params["notebook"].name if hasattr(item, "callspec") else ""

    ordered = sorted((item for _, item in here), key=notebook)
    for (place, _), item in zip(here, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    with jupyterlab(NOTEBOOKS, tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("Chromium is missing")  # one test fails for it, and says what to do
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: `make browser` installs it")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def opened():
    """{path: the notebook that is open now, or why it could not be run}."""
    return {}


@pytest.fixture
def notebook(request, chromium, lab, opened):
    """The learning edition that the test names by its path: opened, and run from top to bottom."""
    if request.param not in opened:
        while opened:
            if isinstance(before := opened.popitem()[1], Notebook):
                before.close()
        try:
            opened[request.param] = started = Notebook(chromium.new_page(viewport={"width": 1200, "height": 900}), request.param, lab)
            started.run_all()
        except Exception as error:
            opened[request.param] = error
    if isinstance(opened[request.param], Exception):
        raise opened[request.param]  # for the first test and for all others, without another wait
    return opened[request.param]
