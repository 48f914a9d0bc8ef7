"""A student arrives: `vosnb start`, then the command that it prints, and a real JupyterLab answers; no browser."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from vosnb.course import notebooks, student
from vosnb.paths import ROOT

OVERRIDES = ROOT / "jupyter" / "labconfig" / "default_setting_overrides.json"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """api(path): what the JupyterLab answers that the printed command starts, for somebody without any settings."""
    home = tmp_path_factory.mktemp("home")
    command = student.start(home / "my own course")[-1].splitlines()[-1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command += f" --no-browser --ServerApp.ip=127.0.0.1 --port={port} --ServerApp.port_retries=0"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    environment |= {"HOME": str(home), "JUPYTER_TOKEN": "t"}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, shell=True, cwd=home, env=environment, start_new_session=True, **streams)

    def ask(path, parse=json.loads):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/{urllib.parse.quote(path, safe='/?=&:@')}")
        request.add_header("Authorization", "token t")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return parse(answer.read())

    try:
        deadline = time.monotonic() + 240  # idle machines take 4 s
        while True:
            try:
                ask("api/status")
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, f"does not start: {command}"
                time.sleep(0.2)
        yield ask
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def test_the_students_folder_is_all_that_jupyterlab_shows(api):
    shown = {item["name"]: item["type"] for item in api("api/contents")["content"]}
    shown |= {item["path"]: item["type"] for item in api("api/contents/deeper")["content"]}
    assert {f"{name}.ipynb" for name in notebooks.lessons()} | {"GLOSSARY.md"} <= shown.keys()
    assert not {"vosnb", "data", "source", student.GIVEN} & shown.keys()
    lesson = api("api/contents/00_start_here.ipynb")
    assert lesson["type"] == "notebook" and lesson["writable"]
    opening, *others = [cell["outputs"] for cell in lesson["content"]["cells"] if cell.get("outputs")]
    assert any("image/webp" in output.get("data", {}) for output in opening) and not others  # the film it begins with
    assert api("api/contents/GLOSSARY.md?type=file&format=text")["content"].startswith("# ")


def test_nothing_pops_up_and_markdown_opens_as_a_page(api):
    """A student's own choice, in JupyterLab's settings, comes before these."""
    for plugin, ours in json.loads(OVERRIDES.read_text()).items():
        answer = api(f"lab/api/settings/{plugin}")
        assert answer["settings"] == {}
        assert {name: answer["schema"]["properties"][name]["default"] for name in ours} == ours
    assert ours["defaultViewers"] == {"markdown": "Markdown Preview"}
    news = api("lab/api/settings/@jupyterlab/apputils-extension:notification")["schema"]["properties"]
    assert (news["fetchNews"]["default"], news["checkForUpdates"]["default"]) == ("false", False)


def test_the_extension_of_the_course_is_there(api):
    page = api("lab", bytes.decode)
    (config,) = [part.split("</script>")[0] for part in page.split('id="jupyter-config-data"')[1:]]
    extensions = json.loads(config.partition(">")[2])["federated_extensions"]
    assert {"vosnb", "anywidget", "@jupyter-widgets/jupyterlab-manager"} <= {item["name"] for item in extensions}
