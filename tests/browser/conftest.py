"""Chromium, and a real JupyterLab of its own for it: free port, own HOME, settings and runtime directory."""

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import nbformat
import pytest

from vosnb.paths import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",  # a camera that shows a moving disc, for pages that may use one
]


LONGEST = (
    "test_lesson_00.py",
    "test_lesson_in_lab.py",
    "test_jupyterlab.py",
    "test_dark.py",
    "test_strokes.py",
    "test_pad.py",
)


def pytest_collection_modifyitems(items):
    """The files that take longest come first: two workers share the files, and shall end together."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def missing(what: str):
    """Skip, or fail where CI is set: there, a browser that is missing must not pass unnoticed."""
    message = (
        f"{what} is missing, so the widgets were not tried in a browser: install Debian's chromium and playwright."
    )
    pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, driven by playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright")
    if CHROMIUM is None:
        missing("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def new_page(browser, **options):
    page = browser.new_page(**{"viewport": {"width": 1000, "height": 900}} | options)
    page.set_default_timeout(90_000)  # a machine that also trains a network is slow to start a kernel
    return page


@contextmanager
def no_errors(page):
    """An AssertionError at its end if anything on the page threw an error meanwhile."""
    errors = []

    def heard(error):
        errors.append(error.stack or str(error))  # the stack says whose error it is

    page.on("pageerror", heard)
    yield
    page.remove_listener("pageerror", heard)
    assert not errors, "\n".join(errors)


@contextmanager
def fresh_page(browser, **options):
    """A page of its own."""
    page = new_page(browser, **options)
    with no_errors(page):
        yield page
        page.close()


@pytest.fixture(scope="session")
def shared(browser):
    """shared(): the page that tests in JupyterLab share, as loading takes seconds; another once it is closed."""
    pages = []

    def get():
        if not pages or pages[-1].is_closed():
            pages.append(new_page(browser))
        return pages[-1]

    return get


@pytest.fixture
def page(request, browser):
    """A page, fresh but in JupyterLab; the test fails if anything on it threw an error."""
    if "lab" not in request.fixturenames:
        with fresh_page(browser) as page:
            yield page
        return
    lab, page = request.getfixturevalue("lab"), request.getfixturevalue("shared")()
    failed = request.session.testsfailed
    try:
        with no_errors(page):
            yield page
        lab.close_all(page)
    finally:
        if request.session.testsfailed > failed:  # whatever it left behind is not for the next test
            page.close()


class Lab:
    """A running JupyterLab: `open` a notebook made of cells, run it, look at it."""

    def __init__(self, url: str, root, runtime):
        self.url, self.root, self.runtime = url, root, runtime

    def api(self, path: str, method: str = "GET"):
        request = urllib.request.Request(f"{self.url}/api/{path}?token=t", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def open(self, page, name: str, *cells: str):
        """Write a notebook with these code cells, open it in `page`, and start to run all of it."""
        self.write(name, *cells)
        self.visit(page, name)
        self.run_all(page)

    def write(self, name: str, *cells):
        """Write a notebook with these code cells, each a text or a whole cell."""
        cells = [nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.root / name)

    def visit(self, page, name: str):
        """Open a notebook of the root folder in `page`, and wait until it and its kernel are ready."""
        self.show(page, name)
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        page.evaluate(
            """async () => {
                const { sessionContext } = window.jupyterapp.shell.currentWidget;
                await sessionContext.ready;
                await sessionContext.session.kernel.info;
            }"""
        )

    def show(self, page, name: str):
        """Open a notebook of the root folder in `page`, where JupyterLab is loaded if it is not yet."""
        self.load(page)
        page.evaluate(
            """async (path) => {
                const panel = await window.jupyterapp.commands.execute("docmanager:open", { path });
                await panel.context.ready;
            }""",
            name,
        )

    def load(self, page):
        """Load JupyterLab in `page` if it is not there yet."""
        if not page.url.startswith(self.url):
            page.goto(f"{self.url}/lab?token=t&reset")
            page.wait_for_function("window.jupyterapp?.restored.then(() => true)")

    def theme(self, page, name: str):
        """Choose a theme, and wait until it is there."""
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        page.wait_for_selector(f'body[data-jp-theme-name="{name}"]', state="attached")

    def cells(self, page):
        """The code cells of the notebook, each scrolled into view: those out of sight are not drawn."""
        kinds = page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.map(({ model }) => model.type)")
        for number in (i for i, kind in enumerate(kinds) if kind == "code"):
            page.evaluate("number => window.jupyterapp.shell.currentWidget.content.scrollToItem(number)", number)
            yield page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{number}"]')

    def close_all(self, page):
        """Close what is open once its kernel has nothing more to do, and do not ask whether to save it.

        The widgets' manager throws where a notebook goes while a question of its own is on the way.
        """
        if page.url.startswith(self.url):
            page.evaluate(
                """async () => {
                    await window.jupyterapp.restored;
                    const open = [...window.jupyterapp.shell.widgets("main")];
                    const done = (kernel) => ["idle", "dead"].includes(kernel?.status);
                    const settled = ({ sessionContext: its }) =>
                        !its || (its.isReady && (!its.session || done(its.session.kernel)));
                    const moment = () => new Promise((go) => setTimeout(go, 100));
                    for (let i = 0; i < 100 && !open.every(settled); i++) await moment();
                    open.forEach((widget) => widget.dispose());
                }"""
            )

    def run_all(self, page):
        """Start to run all cells of the notebook."""
        page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def end_kernels(self):
        for session in self.api("sessions"):
            self.api(f"sessions/{session['id']}", "DELETE")

    def evaluate(self, name: str, expression: str):
        """The value of a Python expression in the notebook's kernel."""
        from jupyter_client import BlockingKernelClient

        kernel = next(session["kernel"]["id"] for session in self.api("sessions") if session["path"] == name)
        client = BlockingKernelClient(connection_file=str(self.runtime / f"kernel-{kernel}.json"))
        client.load_connection_file()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=30)
            ask = {"value": f"__import__('json').dumps({expression})"}
            reply = client.execute("", user_expressions=ask, store_history=False, reply=True, timeout=30)
            answer = reply["content"]["user_expressions"]["value"]
            assert answer["status"] == "ok", answer
            return json.loads(ast.literal_eval(answer["data"]["text/plain"]))
        finally:
            client.stop_channels()

    def wait_until(self, name: str, expression: str, value, seconds: float = 30):
        """Wait until the expression has this value in the notebook's kernel."""
        end = time.monotonic() + seconds
        while (found := self.evaluate(name, expression)) != value:
            assert time.monotonic() < end, f"{expression} is {found}, not {value}"
            time.sleep(0.1)


@pytest.fixture
def lab(server):
    """The running JupyterLab; the kernels that a test started end with it."""
    yield server
    server.end_kernels()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A real JupyterLab as `make lab` starts it, apart from the reader's own settings."""
    home = tmp_path_factory.mktemp("lab")
    root = home / "notebooks"
    root.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "VOSNB_HEADLESS": "0",  # somebody looks on, also where the tests themselves run unseen
        "HOME": str(home),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_CONFIG_PATH": str(ROOT / "jupyter"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    command = f"""-m jupyterlab --no-browser --allow-root --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0
        --IdentityProvider.token=t --ServerApp.root_dir={root} --LabApp.expose_app_in_browser=True""".split()
    with open(home / "log", "w") as log:
        process = subprocess.Popen([sys.executable, *command], env=environment, stdout=log, stderr=log)
    try:
        running = Lab(f"http://127.0.0.1:{port}", root, home / "runtime")
        end = time.monotonic() + 240  # idle machines take 4 s
        while True:
            try:
                running.api("status")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"JupyterLab did not start:\n{(home / 'log').read_text()[-2000:]}") from None
                time.sleep(0.2)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:  # it would wait for kernels that are slow to go; they end with it
            process.kill()
            process.wait()
