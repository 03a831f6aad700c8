"""A JupyterLab of the tests' own, and a notebook that is open in it."""

import ast
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
from notebook_run import environment, learners_cache

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MADE_BY = {"frames": "FrameViewer", "knobs": "Knobs", "label_picker": "LabelPicker"}  # {function: class} of what moves
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PICTURES = ROOT / "build" / "browser"
SETTINGS = {  # nothing that asks the network, and no dialogue over the page
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "docmanager-extension/plugin": '{"autosave": false}',
}
ASK = """async expression => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const asked = kernel.requestExecute({code: '', silent: true, user_expressions: {answer: expression}});
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error('the kernel does not answer')), 180_000));
    const answer = (await Promise.race([asked.done, late])).content.user_expressions.answer;
    if (answer.status !== 'ok') throw new Error(answer.evalue);
    return answer.data['text/plain'];
}"""
DIGEST = """async picture => {
    const bytes = await (await fetch(picture.src)).arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return Array.from(digest, byte => byte.toString(16).padStart(2, '0')).join('');
}"""
STOPWATCH = """picture => {
    globalThis.times = [];
    if (picture.timed) return;
    picture.timed = true;
    addEventListener('keydown', () => { globalThis.pressed = performance.now(); }, {capture: true});
    picture.addEventListener('load', () => requestAnimationFrame(() => times.push(performance.now() - pressed)));
}"""
NEW_PICTURE = """before => new Promise(done => {  // or five seconds: two places may have the same picture
    const until = performance.now() + 5000;
    const look = () => times.length > before || performance.now() > until ? done() : setTimeout(look, 5);
    look();
})"""


def moving(path):
    """{slug: class} of a notebook's code cells that end by showing something to move, read from their source."""
    found, names = {}, {}
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and (kind := _kind(node.value)):
                names |= {ast.unparse(target): kind for target in node.targets}
        if tree.body and isinstance(last := tree.body[-1], ast.Expr) and (kind := _kind(last.value) or names.get(ast.unparse(last.value))):
            found[cell.id] = kind
    return found


def _kind(node):
    return MADE_BY.get(ast.unparse(node.func).split(".")[-1]) if isinstance(node, ast.Call) else None


@contextlib.contextmanager
def jupyterlab(notebooks, home):
    """Serve a copy of these notebooks from the folder `home`, in fast mode, with an empty cache; yields an address with a gap {0}."""
    for path in notebooks:
        shutil.copy(path, home)
    for name, text in SETTINGS.items():
        file = home / "config" / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--port-retries=0",
               f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home}", "--LabApp.expose_app_in_browser=True"]
    with learners_cache(ROOT, finished=False) as cache, open(home / "lab.log", "w") as log:
        variables = environment(cache) | {"DDPM_COURSE_FAST": "1", "JUPYTER_CONFIG_DIR": str(home / "config"),
                                          "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "IPYTHONDIR": str(home / "ipython")}
        server = subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT)

        def answers():
            assert server.poll() is None, f"JupyterLab did not start:\n{(home / 'lab.log').read_text()}"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=10).close()
            except (urllib.error.URLError, OSError):
                return False
            return True

        try:
            wait(answers, "JupyterLab answers", 120)
            yield f"http://127.0.0.1:{port}/lab/workspaces/{{0}}/tree/{{0}}.ipynb?token={token}"
        finally:
            server.terminate()
            server.wait(30)


class Notebook:
    """A notebook that is open in JupyterLab, in a page of playwright. cells: those of the file, in order."""

    def __init__(self, page, path, address):
        self.page, self.path, self.name = page, path, path.stem
        self.cells = nbformat.read(path, 4).cells
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(address.format(self.name), timeout=120_000)
        where = "globalThis.jupyterapp?.shell.currentWidget?.context?.path"
        wait(lambda: page.evaluate(where) == path.name and self.idle(), f"{path.name} is open", 240)
        page.evaluate("""() => {
            if (jupyterapp.shell.leftCollapsed === false) jupyterapp.commands.execute('application:toggle-left-area');
            for (const cell of jupyterapp.shell.currentWidget.content.widgets) cell.node.dataset.slug = cell.model.id;
        }""")

    def run_all(self):
        """Run every cell, and wait for the end; AssertionError that names the first cell that fails."""
        meant = {cell.id for cell in self.cells if "raises-exception" in cell.metadata.get("tags", [])}
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")

        def ended():
            for slug, (_, outputs) in self.outputs().items():
                error = next((output for output in outputs if output["output_type"] == "error"), None)
                assert error is None or slug in meant, f"{self.name}: cell {slug} fails: {error['ename']}: {error['evalue']}"
            return self.idle() and all(count for count, _ in self.outputs().values())

        wait(ended, "all cells have run", 900)  # some of them train

    def close(self):
        """Close the page, and end the kernel."""
        self.page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")
        self.page.close()

    def idle(self):
        return self.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status") == "idle"

    def outputs(self):
        """{slug: (execution count, outputs)} of the code cells, as nbformat has them."""
        found = self.page.evaluate("jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.sharedModel.toJSON())")
        return {cell["id"]: (cell["execution_count"], cell["outputs"]) for cell in found if cell["cell_type"] == "code"}

    def python(self, expression):
        """The value of an expression in the notebook's kernel: what Python can write as a literal."""
        return ast.literal_eval(self.page.evaluate(ASK, expression))

    def shown(self, slug):
        """What the kernel calls the value that a code cell shows."""
        return f"Out[{self.outputs()[slug][0]}]"

    def code(self, part=""):
        """The code cells whose source has this part."""
        return [cell for cell in self.cells if cell.cell_type == "code" and part in cell.source]

    def cell(self, slug):
        """The cell on the screen, scrolled to."""
        place = [cell.id for cell in self.cells].index(slug)
        self.page.evaluate("place => jupyterapp.shell.currentWidget.content.scrollToItem(place)", place)
        return self.page.locator(f'[data-slug="{slug}"]')

    def text(self, slug):
        """What a code cell shows, as text."""
        area = self.cell(slug).locator(".jp-Cell-outputWrapper")
        area.scroll_into_view_if_needed()  # what is out of sight is not rendered, and has no text
        return area.inner_text()

    def run(self, slug, source=None):
        """Click into a cell, type over its source if asked, press Shift-Enter; what is then under it, as text."""
        before = self.outputs()[slug][0]
        self.cell(slug).locator(".cm-content").first.click()
        if source is not None:
            self.page.keyboard.press("Control+A")
            self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Shift+Enter")
        wait(lambda: self.outputs()[slug][0] not in (before, None) and self.idle(), f"{slug} has run", 300)
        return self.text(slug)

    def theme(self, name):
        self.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", name)
        wait(lambda: self.page.evaluate("document.body.dataset.jpThemeName") == name, f"the theme is {name}")

    def picture(self, name, slug=None):
        """Keep a screenshot, of one cell or of the whole notebook."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"{self.name[:2]}-{name}.png"
        if slug:
            self.cell(slug).screenshot(path=path)
            return
        usual = self.page.viewport_size
        height = self.page.evaluate("Math.max(...[...document.querySelectorAll('.jp-Notebook, .jp-Notebook *')].map(e => e.scrollHeight))")
        self.page.set_viewport_size({"width": usual["width"], "height": min(height + 200, 16_000)})
        self.cell(self.cells[0].id)
        self.page.wait_for_timeout(1000)
        self.page.screenshot(path=path)
        self.page.set_viewport_size(usual)


class Slider:
    """One of a cell's sliders, and the picture that changes with it."""

    def __init__(self, notebook, slug, nth=0):
        self.notebook, self.slug, self.page = notebook, slug, notebook.page
        cell = notebook.cell(slug)
        self.handle, self.track = cell.locator(".noUi-handle").nth(nth), cell.locator(".noUi-base").nth(nth)
        self.picture = cell.locator("img.widget-image")

    @property
    def place(self):
        return round(float(self.handle.get_attribute("aria-valuenow")))

    def walk(self, stop, shows):
        """Press arrow keys until `stop`, and wait for shows(place) after each; milliseconds from each key to its new picture."""
        self.picture.evaluate(STOPWATCH)
        self.handle.focus()
        way, key = (1, "ArrowRight") if stop > self.place else (-1, "ArrowLeft")
        for place in range(self.place + way, stop + way, way):
            before = self.page.evaluate("times.length")
            self.page.keyboard.press(key)
            self.page.evaluate(NEW_PICTURE, before)  # nothing else is asked meanwhile
            wait(lambda place=place: self.place == place and shows(place), f"{key} shows place {place} of {self.slug}")
        return self.page.evaluate("times")

    def click(self, share):
        """Click on the track, this share of the way along."""
        self.track.click(position={"x": share * self.track.bounding_box()["width"], "y": 2})

    def drag(self, share):
        """Take the handle, and let it go this share of the way along."""
        def taken():
            self.handle.hover()  # when it has come to rest
            self.page.mouse.down()
            if self.handle.evaluate("handle => handle.classList.contains('noUi-active')"):
                return True
            self.page.mouse.up()  # the page has moved meanwhile
            return False

        wait(taken, f"the handle of {self.slug} is taken")
        box = self.track.bounding_box()
        self.page.mouse.move(box["x"] + share * box["width"], box["y"], steps=8)
        self.page.mouse.up()


def wait(true, what, seconds=60):
    """Wait until true() is; AssertionError that tells `what` when it never comes."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"waited {seconds} s in vain until {what}"
        time.sleep(0.05)
