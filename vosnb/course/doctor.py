"""`vosnb doctor`: is everything here that a lesson needs? Each check that fails names its cure.

A check is a function without arguments that returns what it found, as a short text, or raises `Trouble` with what is
wrong and what mends it. `examine` runs them one after the other and turns whatever happens into a `Result`.
"""

import importlib.metadata
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vosnb.machine import free_memory, processors
from vosnb.paths import ROOT, cache_dir

SELF_TEST_J = 0.6  # on a clip where the first mask, never moved, has 0.35
REINSTALL = "Install the pinned set again: `make clean`, then `make lab`."


class Trouble(Exception):
    """What is wrong, what mends it, and whether lessons work all the same (`optional`)."""

    def __init__(self, found: str, cure: str, optional: bool = False):
        super().__init__(found)
        self.cure, self.optional = cure, optional


@dataclass(frozen=True)
class Result:
    """One line of the doctor's report. state: "ok", "note" (only something optional is missing) or "FAIL"."""

    name: str
    state: str
    found: str
    cure: str = ""
    seconds: float = 0.0


def examine(checks: Iterable[tuple[str, Callable[[], str]]]) -> Iterator[Result]:
    """Run (name, check) pairs in order; an unexpected error fails the check in which it happens, not the doctor."""
    for name, check in checks:
        start, cure = time.perf_counter(), ""
        try:
            state, found = "ok", check()
        except Trouble as trouble:
            state, found, cure = ("note" if trouble.optional else "FAIL"), str(trouble), trouble.cure
        except Exception as error:
            state, found, cure = "FAIL", f"{type(error).__name__}: {error}", REINSTALL
        yield Result(name, state, found, cure, time.perf_counter() - start)


# --------------------------------------------------------------------------------------------------- what is installed


def python_version(version=None) -> str:
    """Python 3.11 or newer."""
    version = tuple(version or sys.version_info)[:3]
    text = ".".join(map(str, version))
    if version < (3, 11):
        raise Trouble(
            f"{text} is too old", "Install Python 3.11 or newer, then `make clean` and `make lab PYTHON=...`."
        )
    return f"{text} at {sys.prefix}"


def packages() -> str:
    """Every package that vosnb needs, in the range that pyproject.toml asks for, and a single OpenCV."""
    from packaging.requirements import Requirement

    installed = {d.name.lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    shown = []
    for line in importlib.metadata.requires("vosnb") or []:
        needs = Requirement(line)
        version = installed.get(needs.name.lower())
        if version is None:
            raise Trouble(f"{needs.name} is not installed", REINSTALL)
        if not needs.specifier.contains(version, prereleases=True):
            raise Trouble(f"{needs.name} is {version}, but vosnb needs {needs.specifier}", REINSTALL)
        shown.append(f"{needs.name} {version}")
    for other in ("opencv-python", "opencv-contrib-python"):
        if other in installed:
            raise Trouble(
                f"{other} and opencv-python-headless are both installed and overwrite each other's files",
                f"Run `python -m pip uninstall -y {other} opencv-python-headless`, then `make clean` and `make lab`.",
            )
    return ", ".join(shown)


def device() -> str:
    """Where torch computes, and that it really can."""
    import torch

    where, name = ("cuda", "CUDA device") if torch.cuda.is_available() else ("cpu", "CPU")
    try:
        name = torch.cuda.get_device_name() if where == "cuda" else name
        torch.ones(8, 8, device=where).matmul(torch.ones(8, 8, device=where)).sum().item()
    except (RuntimeError, AssertionError) as error:  # the latter from a torch that was built without CUDA
        raise Trouble(
            f"{name} is there but torch {torch.__version__} cannot use it ({str(error).splitlines()[0]})",
            "Update its driver, or hide it: set CUDA_VISIBLE_DEVICES to the empty string before `make lab`.",
        ) from error
    threads, ours = torch.get_num_threads(), processors()
    found = f"{name}, torch {torch.__version__}, {threads} thread{'s' * (threads > 1)}"
    if threads > ours:
        raise Trouble(
            f"{found}, but only {ours} of the processors may be used", f"Set OMP_NUM_THREADS to {ours}.", True
        )
    return f"{found} of {ours} core{'s' * (ours > 1)}"


def memory(available: int | None = None) -> str:
    """Free main memory, as far as we may take it: a lesson may take 1.5 GB."""
    free = (free_memory() if available is None else available) / 2**30
    if free < 1.5:
        raise Trouble(
            f"{free:.1f} GB free, a lesson may need 1.5 GB", "Close other programs or shut down idle kernels.", True
        )
    return f"{free:.1f} GB free"


def folders() -> str:
    """The folders that the course writes to: downloads, and Jupyter's runtime files."""
    from jupyter_core.paths import jupyter_runtime_dir

    cures = {
        cache_dir(): "Set VOSNB_DATA to a folder that you may write to.",
        Path(jupyter_runtime_dir()): "Set JUPYTER_RUNTIME_DIR to a folder that you may write to.",
    }
    for folder, cure in cures.items():
        probe = folder / f".vosnb-{secrets.token_hex(4)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise Trouble(f"cannot write to {folder} ({error.strerror})", cure) from error
    return f"downloads go to {cache_dir()}"


# --------------------------------------------------------------------------------- from the kernel to the browser


def kernel() -> str:
    """Notebooks name the kernel `python3`: it must start, and be this environment."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    from jupyter_client.manager import start_new_kernel

    try:
        KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        raise Trouble("there is no kernel python3", REINSTALL) from None
    try:
        manager, client = start_new_kernel(
            kernel_name="python3", startup_timeout=30, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except Exception as error:
        raise Trouble(f"the kernel python3 does not start ({error})", REINSTALL) from error
    printed = []
    try:
        client.execute_interactive(
            "import sys; print(sys.prefix, end='')",
            timeout=30,
            output_hook=lambda message: printed.append(message["content"].get("text", "")),
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    prefix = "".join(printed)
    if prefix != sys.prefix:
        raise Trouble(
            f"the kernel python3 runs {prefix}, not {sys.prefix}",
            f"Run `{sys.executable} -m ipykernel install --sys-prefix`.",
        )
    return "python3 starts, in this environment"


def lab_extensions() -> str:
    """The browser's half of ipywidgets and anywidget: there, enabled, of this environment, of the right version."""
    from jupyter_core.paths import jupyter_path
    from jupyterlab.commands import get_app_dir
    from jupyterlab_server.config import get_federated_extensions, get_page_config

    found = get_federated_extensions(jupyter_path("labextensions"))
    config = get_page_config(jupyter_path("labextensions"), Path(get_app_dir()) / "settings")
    for name, package in {
        "@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets",
        "anywidget": "anywidget",
    }.items():
        if name not in found:
            again = f"`{sys.executable} -m pip install --force-reinstall --no-deps {package}`"
            raise Trouble(f"JupyterLab's extension {name} is missing", f"Run {again}.")
        if any(name == off.split(":")[0] for off in config.get("disabledExtensions", [])):
            raise Trouble(f"JupyterLab's extension {name} is disabled", f"Run `jupyter labextension enable {name}`.")
        where = Path(found[name]["ext_path"])
        if not where.is_relative_to(sys.prefix):
            raise Trouble(f"JupyterLab takes {name} from another installation, {where}", f"Remove {where}.")
    python, browser = importlib.metadata.version("anywidget"), found["anywidget"]["version"]
    if python != browser:
        raise Trouble(f"anywidget is {python} in Python but {browser} in JupyterLab", REINSTALL)
    return f"ipywidgets {importlib.metadata.version('ipywidgets')} and anywidget {python}, installed and enabled"


def widgets(code: str | None = None, timeout: float = 60) -> str:
    """A widget's way to the browser and back through a real Jupyter server: the page asks n, Python answers n + 1."""
    from websocket import WebSocketException

    with jupyter_server(timeout) as (address, token):
        try:
            with closing(_channels(address, token, timeout)) as socket_:
                milliseconds = 1000 * _echo(socket_, code or ECHO_WIDGET)
        except (OSError, WebSocketException) as error:
            raise Trouble(
                f"the websocket to the kernel failed ({error})",
                "Let 127.0.0.1 pass without a proxy (NO_PROXY=127.0.0.1,localhost) and through the firewall.",
            ) from error
    return f"a message went to the browser's side and back in {milliseconds:.0f} ms"


ECHO_WIDGET = """
import anywidget, traitlets

class Echo(anywidget.AnyWidget):
    _esm = "export default {}"
    asked = traitlets.Int().tag(sync=True)
    answer = traitlets.Int().tag(sync=True)

    @traitlets.observe("asked")
    def _reply(self, change):
        self.answer = change.new + 1

echo = Echo()
"""


@contextmanager
def jupyter_server(timeout: float) -> Iterator[tuple[str, str]]:
    """A Jupyter server as `make lab` starts it, on a free loopback port; yields (host:port, token), then ends it."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex()
    options = ["--ServerApp.open_browser=False", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    options += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={Path.home()}"]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "server", *options],
        env=os.environ | {"JUPYTER_TOKEN": token, "JUPYTER_CONFIG_PATH": str(ROOT / "jupyter")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + timeout
        while True:
            if server.poll() is not None:
                raise Trouble("the Jupyter server stops as soon as it starts", "Run `jupyter server` to see why.")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise Trouble(
                        f"the Jupyter server did not open its port in {timeout:.0f} s",
                        "Let programs listen on 127.0.0.1, then run `jupyter server` to see why.",
                    ) from None
                time.sleep(0.1)
        yield f"127.0.0.1:{port}", token
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def _channels(address: str, token: str, timeout: float):
    """Start a kernel on the server and open the websocket that a notebook page would open."""
    import requests
    import websocket

    with requests.Session() as session:
        session.trust_env = False  # as the browser does, reach 127.0.0.1 without a proxy
        reply = session.post(
            f"http://{address}/api/kernels",
            json={"name": "python3"},
            headers={"Authorization": f"token {token}"},
            timeout=timeout,
        )
        reply.raise_for_status()
    url = f"ws://{address}/api/kernels/{reply.json()['id']}/channels?token={token}"
    return websocket.create_connection(url, timeout=timeout, http_no_proxy=["127.0.0.1"])


def _echo(channels, code: str) -> float:
    """Make a widget in the kernel, set `asked` as a page would, wait for `answer`; returns the seconds that took."""

    def send(kind, content):
        header = {
            "msg_id": secrets.token_hex(8),
            "msg_type": kind,
            "session": "doctor",
            "username": "",
            "version": "5.3",
        }
        channels.send(
            json.dumps({"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content})
        )

    # The kernel is done when it says "idle": its reply comes through another channel and may overtake the widget.
    send("execute_request", {"code": code, "silent": False, "store_history": False})
    start = 0.0
    while True:
        message = json.loads(channels.recv())
        kind, content = message["msg_type"], message["content"]
        if kind == "error":
            raise Trouble(f"a widget cannot be made in the kernel ({content['ename']}: {content['evalue']})", REINSTALL)
        done = kind == "status" and content["execution_state"] == "idle"
        if done and message["parent_header"].get("msg_type") == "execute_request" and not start:
            raise Trouble("the kernel made a widget but told the browser nothing about it", REINSTALL)
        data = content.get("data", {})
        if kind == "comm_open" and data.get("state", {}).get("_model_module") == "anywidget":
            start = time.perf_counter()
            send("comm_msg", {"comm_id": content["comm_id"], "data": {"method": "update", "state": {"asked": 41}}})
        if kind == "comm_msg" and data.get("method") == "update" and data["state"].get("answer") == 42:
            return time.perf_counter() - start


def chromium() -> str:
    """The browser that the tests drive; lessons run in any browser."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise Trouble("no chromium (only `make test` needs it)", "Install it: `sudo apt-get install chromium`.", True)


# ----------------------------------------------------------------------------------------------------- the self-test


def self_test(weights: str = "matching") -> str:
    """Generate an easy clip, follow its target with the shipped weights, and score the masks."""
    import numpy as np

    from vosnb import creatures, metrics
    from vosnb.trackers import make_tracker, segment

    start = time.perf_counter()
    clip = creatures.generate(5, "easy", split="val", frames=12).only(1)
    try:
        tracker = make_tracker("matching", weights=weights)
    except (FileNotFoundError, ValueError) as error:
        raise Trouble(str(error), "Restore the shipped weights: `git checkout -- data/weights`.") from error
    masks = [mask for _, mask, _ in segment(tracker, clip)]
    j = float(np.mean([metrics.jaccard(clip.masks[t] == 1, masks[t] == 1) for t in range(1, len(clip))]))
    if not j >= SELF_TEST_J:
        raise Trouble(
            f"the matching tracker reaches J {j:.2f} on an easy clip, expected at least {SELF_TEST_J}",
            "Restore code and weights: `git status` shows what differs from what was shipped.",
        )
    return f"generated, tracked and scored {len(clip)} frames in {time.perf_counter() - start:.1f} s: J {j:.2f}"


CHECKS: list[tuple[str, Callable[[], str]]] = [
    ("python", python_version),
    ("packages", packages),
    ("device", device),
    ("memory", memory),
    ("folders", folders),
    ("kernel", kernel),
    ("lab extensions", lab_extensions),
    ("widgets", widgets),
    ("test browser", chromium),
    ("self-test", self_test),
]


def report(results: Iterable[Result], echo: Callable[[str], None] = print) -> bool:
    """Print one line a result, with its cure below where there is one; returns whether nothing failed."""
    failed = 0
    for result in results:
        echo(f"{result.state:>4}  {result.name:<15} {result.found}")
        if result.cure:
            echo(f"{'':22}cure: {result.cure}")
        failed += result.state == "FAIL"
    echo(
        "All is well."
        if not failed
        else f"{failed} check{'s' * (failed > 1)} failed; each cure stands below its check."
    )
    return not failed


def main() -> int:
    """Run every check; returns 0 if lessons will run here, else 1."""
    return 0 if report(examine(CHECKS)) else 1
