"""`vosnb doctor`: each check finds what it is for, and says what mends it."""

import contextlib
import importlib.metadata
import json
import os
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from vosnb import trackers
from vosnb.course import doctor
from vosnb.course.doctor import Result, Trouble, examine, report


def trouble(check, *args, **kwargs) -> Trouble:
    with pytest.raises(Trouble) as caught:
        check(*args, **kwargs)
    return caught.value


# ----------------------------------------------------------------------------------------------------- the report


def test_a_check_that_fails_or_breaks_does_not_keep_the_others_from_running(capsys):
    def wrong():
        raise Trouble("it is wrong", "Do this.")

    def lesser():
        raise Trouble("it is lacking", "Or that.", optional=True)

    def broken():
        raise KeyError("surprise")

    results = list(examine([("a", wrong), ("b", broken), ("c", lesser), ("d", lambda: "fine")]))
    assert [r.state for r in results] == ["FAIL", "FAIL", "note", "ok"]
    assert (results[0].cure, results[2].cure, results[3].cure) == ("Do this.", "Or that.", "")
    assert "KeyError: 'surprise'" in results[1].found and results[1].cure
    assert report(results) is False
    said = capsys.readouterr().out
    assert "cure: Do this." in said and "2 checks failed" in said


def test_what_is_only_optional_does_not_fail(capsys):
    assert report([Result("a", "ok", "fine"), Result("b", "note", "lacking", "Get it.")]) is True
    assert "cure: Get it." in capsys.readouterr().out


@pytest.mark.parametrize("cured", [True, False])
def test_the_exit_code_tells(monkeypatch, cured):
    from vosnb.cli import main

    def check():
        if not cured:
            raise Trouble("it is wrong", "Do this.")
        return "fine"

    monkeypatch.setattr(doctor, "CHECKS", [("one", check)])
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == (0 if cured else 1)
    assert ("All is well" in result.output) == cured


def test_every_check_is_among_those_that_the_doctor_makes():
    assert [name for name, _ in doctor.CHECKS] == [
        *("python", "packages", "device", "memory", "folders"),
        *("kernel", "lab extensions", "widgets", "test browser", "self-test"),
    ]


# ------------------------------------------------------------------------------------------------ what is installed


def test_python():
    assert doctor.python_version().startswith(".".join(map(str, sys.version_info[:3])))
    assert "3.10.9 is too old" in str(trouble(doctor.python_version, (3, 10, 9)))


INSTALLED = {d.name.lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}


def installed(monkeypatch, **changes):
    """Pretend that packages have other versions, or (None) are not there."""
    versions = INSTALLED | {name.replace("_", "-"): version for name, version in changes.items()}
    found = [SimpleNamespace(name=name, version=version) for name, version in versions.items() if version]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: found)


def test_packages(monkeypatch):
    assert "torch" in doctor.packages()
    installed(monkeypatch, anywidget=None)
    found = trouble(doctor.packages)
    assert "anywidget is not installed" in str(found) and "make lab" in found.cure
    installed(monkeypatch, numpy="1.19.0")
    assert "numpy is 1.19.0, but vosnb needs" in str(trouble(doctor.packages))
    installed(monkeypatch, opencv_python="4.9.0")
    found = trouble(doctor.packages)
    assert "overwrite each other" in str(found) and "uninstall -y opencv-python " in found.cure


def test_device(monkeypatch):
    import torch

    assert f"torch {torch.__version__}" in doctor.device()

    def refuse():
        raise RuntimeError("no kernel image is available\nfor this old card")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", refuse)
    found = trouble(doctor.device)
    assert "cannot use it (no kernel image is available)" in str(found) and "CUDA_VISIBLE_DEVICES" in found.cure


def test_more_threads_than_a_hub_allows_are_noted(monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    monkeypatch.setenv("CPU_LIMIT", "1.0")
    found = trouble(doctor.device)
    assert "64 threads, but only 1 of" in str(found) and found.optional and "OMP_NUM_THREADS to 1" in found.cure


def test_memory():
    assert doctor.memory(8 * 2**30) == "8.0 GB free"
    found = trouble(doctor.memory, 2**30)
    assert found.optional and "1.0 GB free" in str(found)


@pytest.mark.parametrize("variable", ["VOSNB_DATA", "JUPYTER_RUNTIME_DIR"])
def test_folders(monkeypatch, tmp_path, variable):
    for name in ("VOSNB_DATA", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert str(tmp_path) in doctor.folders()
    assert os.listdir(tmp_path / "VOSNB_DATA") == []
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / "file" / "below"))
    found = trouble(doctor.folders)
    assert str(tmp_path / "file" / "below") in str(found) and variable in found.cure


def test_chromium_is_only_for_the_tests(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = trouble(doctor.chromium)
    assert found.optional and "apt-get install chromium" in found.cure
    program = tmp_path / "chromium-browser"
    program.touch(mode=0o755)
    assert doctor.chromium() == str(program)


# ------------------------------------------------------------------------------------- from the kernel to the browser


def kernelspec(monkeypatch, tmp_path, program: str):
    """Put another kernel named python3 before the real one."""
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-c", program, "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")


def test_kernel():
    assert "in this environment" in doctor.kernel()


def test_a_kernel_that_dies(monkeypatch, tmp_path):
    kernelspec(monkeypatch, tmp_path, "raise SystemExit(3)")
    assert "does not start" in str(trouble(doctor.kernel))


def test_a_kernel_of_another_environment(monkeypatch, tmp_path):
    kernelspec(
        monkeypatch,
        tmp_path,
        "import sys, ipykernel.kernelapp as app; sys.prefix = '/elsewhere'; app.launch_new_instance()",
    )
    found = trouble(doctor.kernel)
    assert "runs /elsewhere" in str(found) and "ipykernel install --sys-prefix" in found.cure


def test_no_kernel(monkeypatch):
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    def none(self, name):
        raise NoSuchKernel(name)

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", none)
    assert "no kernel python3" in str(trouble(doctor.kernel))


def test_lab_extensions_of_this_environment():
    assert "anywidget" in doctor.lab_extensions()


def test_a_lab_extension_that_another_installation_shadows(monkeypatch, tmp_path):
    folder = tmp_path / "labextensions" / "anywidget"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "anywidget", "version": "0.1.0", "jupyterlab": {}}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    found = trouble(doctor.lab_extensions)
    assert "another installation" in str(found) and str(folder) in found.cure


def test_lab_extensions_missing_disabled_or_of_another_version(monkeypatch):
    import jupyterlab_server.config as config

    real = config.get_federated_extensions
    monkeypatch.setattr(config, "get_page_config", lambda *_: {"disabledExtensions": ["anywidget:plugin"]})
    found = trouble(doctor.lab_extensions)
    assert "anywidget is disabled" in str(found) and "labextension enable anywidget" in found.cure
    monkeypatch.setattr(config, "get_page_config", lambda *_: {})

    def without(name, **changes):
        return lambda paths: {k: v | changes for k, v in real(paths).items() if k != name}

    monkeypatch.setattr(config, "get_federated_extensions", without("@jupyter-widgets/jupyterlab-manager"))
    found = trouble(doctor.lab_extensions)
    assert "jupyterlab-manager is missing" in str(found) and "jupyterlab_widgets" in found.cure
    monkeypatch.setattr(config, "get_federated_extensions", without("", version="0.0.1"))
    assert "but 0.0.1 in JupyterLab" in str(trouble(doctor.lab_extensions))


@pytest.fixture(scope="module")
def server():
    with doctor.jupyter_server(120) as address_and_token:
        yield address_and_token


@pytest.fixture
def channels(server):
    opened = doctor._channels(*server, timeout=120)
    yield opened
    opened.close()


def test_a_message_goes_to_the_page_and_back(channels):
    assert 0 < doctor._echo(channels, doctor.ECHO_WIDGET) < 60


def test_a_widget_that_cannot_be_made(channels):
    found = trouble(doctor._echo, channels, "import no_such_widget_library")
    assert "ModuleNotFoundError" in str(found) and found.cure


def test_a_kernel_that_tells_the_browser_nothing(channels):
    assert "told the browser nothing" in str(trouble(doctor._echo, channels, "1 + 1"))


def test_a_websocket_that_does_not_get_through(monkeypatch, server):
    def cut(*_):
        raise ConnectionResetError("reset by a proxy")

    monkeypatch.setattr(doctor, "jupyter_server", lambda timeout: contextlib.nullcontext(server))
    monkeypatch.setattr(doctor, "_channels", cut)
    found = trouble(doctor.widgets)
    assert "reset by a proxy" in str(found) and "NO_PROXY" in found.cure


def test_a_server_that_does_not_start(monkeypatch, tmp_path):
    stub = tmp_path / "python"
    stub.write_text("#!/bin/sh\nexit 1\n")
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))
    found = trouble(doctor.widgets)
    assert "stops as soon as it starts" in str(found) and "jupyter server" in found.cure


def test_a_server_that_never_listens(monkeypatch, tmp_path):
    stub = tmp_path / "python"
    stub.write_text("#!/bin/sh\nexec sleep 60\n")
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))
    assert "did not open its port" in str(trouble(doctor.widgets, timeout=0.5))


# ------------------------------------------------------------------------------------------------------ the self-test


def test_self_test_with_the_shipped_weights():
    assert "J 0." in doctor.self_test()


def test_self_test_tells_a_tracker_that_works_from_one_that_does_not(monkeypatch):
    real = trackers.make_tracker
    monkeypatch.setattr(trackers, "make_tracker", lambda name, **settings: real("still"))
    assert f"expected at least {doctor.SELF_TEST_J}" in str(trouble(doctor.self_test))


def test_self_test_without_weights(tmp_path):
    found = trouble(doctor.self_test, tmp_path / "lost.safetensors")
    assert "lost.safetensors" in str(found) and "git checkout" in found.cure
