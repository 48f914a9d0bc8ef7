"""`make gpu-check`, as far as a machine without a GPU can tell: what it compares, and when it fails."""

import numpy as np
import pytest
import torch

from vosnb import gpu_check
from vosnb.clips import Clip
from vosnb.course import headless
from vosnb.trackers import TRACKERS, StillTracker


@pytest.fixture
def clips():
    mask = np.zeros((5, 40, 60), np.uint8)
    mask[:, 10:20, 10:30] = 1
    frames = np.random.default_rng(0).integers(0, 255, (5, 40, 60, 3), dtype=np.uint8)
    return [Clip.from_arrays(name, frames, mask) for name in ("warm-up", "timed")]


class Turned(StillTracker):
    """Turns the mask upside down on one device, but not on the other."""

    def __init__(self, device=None):
        super().__init__()
        self.device = device

    def _step(self, frame):
        answer = super()._step(frame)
        return answer.flip(1) if self.device == "meta" else answer


def test_trackers_without_a_device_agree_with_themselves(clips):
    row = gpu_check.compare("histogram", clips)
    assert row["equal"] == 1 and row["fps cpu"] > 0 and row["fps cuda"] > 0


class Handed(Turned):
    """Takes its device by way of the class below it."""

    def __init__(self, **below):
        super().__init__(**below)


@pytest.mark.parametrize("kind", [Turned, Handed])
def test_masks_that_differ_between_devices_are_seen(monkeypatch, clips, kind):
    monkeypatch.setitem(TRACKERS, "turned", kind)
    assert gpu_check.compare("turned", clips, ("cpu", "cpu"))["equal"] == 1
    differing = 2 * 200 / 2400  # an object of 200 pixels leaves its place for another, in all frames but the first
    assert gpu_check.compare("turned", clips, ("cpu", "meta"))["equal"] == pytest.approx(1 - differing * 4 / 5)


def test_without_a_gpu_it_says_so_and_does_nothing(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main() == 0
    assert "skipped" in capsys.readouterr().out


@pytest.mark.parametrize("equal, result, code", [(1.0, "ok", 0), (0.9, "ok", 1), (1.0, "cell 3: ValueError", 1)])
def test_it_fails_when_masks_differ_or_a_lesson_fails(monkeypatch, capsys, clips, equal, result, code):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(gpu_check, "load", lambda *_, **__: clips)
    monkeypatch.setattr(gpu_check, "compare", lambda name, clips: {"tracker": name, "equal": equal})
    monkeypatch.setattr(headless, "run_course", lambda jobs: [{"lesson": "00", "seconds": 1.0, "result": result}])
    assert gpu_check.main() == code
    said = capsys.readouterr().out
    assert "a card" in said and all(name in said for name in TRACKERS if name != "masks")
    assert ("differ in more than 1%" in said) == (equal < 1)
