"""`vosnb paint`: the notebook that it writes runs, and what it refuses is told in a sentence."""

import os
import sys

import nbformat
import numpy as np
import pytest
from click.testing import CliRunner

from vosnb.cli import main
from vosnb.clips import write_frame
from vosnb.clips.video import write_video
from vosnb.course import paint
from vosnb.paths import ROOT


def vosnb(*words):
    return CliRunner().invoke(main, ["paint", *map(str, words)])


@pytest.fixture
def video(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (6, 48, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "a holiday.avi", frames, fps=12)
    return tmp_path / "a holiday.avi"


def code(notebook) -> list[str]:
    return [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]


def test_the_notebook_lies_beside_the_video_and_runs(video, monkeypatch):
    result = vosnb(video, "--no-lab")
    notebook = video.with_name("a holiday-paint.ipynb")
    assert result.exit_code == 0 and result.output == f"{notebook} is written.\n"
    cells = code(notebook)
    assert "open_clip('a holiday.avi')" in cells[0] and "FIRST, LAST = 0, 5" in cells[0] and "SIDE = 48 " in cells[0]
    monkeypatch.chdir(video.parent)
    names = {}
    exec(cells[0].replace("LAST = 0, 5", "LAST = 1, 3"), names)
    exec(PARTS, names)
    exec(cells[1].rsplit("\n", 1)[0], names)
    pad = names["pad"]
    assert len(pad.frames) == 3 and (pad.width, pad.height, pad.fps, pad.sequence) == (64, 48, 12.0, "a holiday")
    exec(cells[2], names)  # nothing is painted: nothing is written
    assert not list(video.parent.glob("*.json"))
    pad.add([names["Scribble"](0, 1, [[0.5, 0.5], [0.6, 0.5]])])
    exec(cells[2], names)
    kinds = ("coco.json", "masks.zip", "overlay.mp4", "paint.ipynb", "scribbles.json")
    assert sorted(path.name for path in video.parent.glob("a holiday-*")) == [f"a holiday-{kind}" for kind in kinds]


PARTS = """
from vosnb.clips.scribbles import Scribble
import vosnb.trackers.interactive as interactive
class Quick:
    def __init__(self, frames):
        self.before = []
        self.masks = __import__("numpy").zeros((len(frames), *frames[0].shape[:2]), "uint8")
    def add(self, scribbles):
        self.before.append(self.masks)
        self.masks = self.masks.copy()
        self.masks[:, 20:30, 20:40] = 1
        return self.masks
ClipFeatures, InteractiveSegmenter = lambda frames, bar: frames, Quick
"""


def test_a_folder_of_frames_elsewhere_and_a_name_of_ones_own(tmp_path):
    for t in range(3):
        write_frame(tmp_path / "shots" / f"{t}.png", np.full((1000, 600, 3), t, np.uint8))
    assert vosnb(tmp_path / "shots", "--out", tmp_path / "new", "--no-lab").exit_code == 0
    first = code(tmp_path / "new" / "shots-paint.ipynb")[0]
    assert f"open_clip({str(tmp_path / 'shots')!r})" in first and "SIDE = 480 " in first
    names = {}
    exec(first, names)
    assert names["frames"][0].shape == (800, 480, 3)
    assert vosnb(tmp_path / "shots", "--out", tmp_path / "new" / "mine.ipynb", "--no-lab").exit_code == 0
    assert code(tmp_path / "new" / "mine.ipynb")[0] == first


def test_what_is_wrong_is_told_in_a_sentence(video):
    (video.parent / "notes.txt").write_text("no video")
    assert vosnb(video, "--no-lab").exit_code == 0
    before = video.with_name("a holiday-paint.ipynb").read_bytes()
    for words, told in (
        (("nothing.mp4",), "There is no folder or video nothing.mp4; check the path."),
        ((video.parent / "notes.txt",), "notes.txt is no video"),
        ((video,), "a holiday-paint.ipynb exists already: open it"),
    ):
        result = vosnb(*words)
        assert result.exit_code == 1 and told in result.output and len(result.output.splitlines()) == 1
    assert video.with_name("a holiday-paint.ipynb").read_bytes() == before


def test_jupyterlab_is_started_with_the_courses_settings(video, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "execve", lambda *given: seen.append(given))
    assert vosnb(video).exit_code == 0
    ((program, command, environment),) = seen
    assert program == sys.executable and command[1:4] == ["-m", "jupyter", "lab"]
    assert command[-1] == str(video.with_name("a holiday-paint.ipynb"))
    assert environment["JUPYTER_CONFIG_PATH"] == str(ROOT / "jupyter") and paint.FRAMES == 100
