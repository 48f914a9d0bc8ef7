"""The command line: every subcommand, what it hands on, and mistakes told in one sentence."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vosnb import cli, clips, run
from vosnb.cli import main
from vosnb.clips import Clip, downloads, read_mask, write_mask
from vosnb.clips.masks import write_frame
from vosnb.course import build, headless, style
from vosnb.methods.scribbles import Scribble, to_davis
from vosnb.paths import NOTEBOOKS
from vosnb.trackers import TRACKERS, settings_of
from vosnb.training import dynamic_kernels, matching


def vosnb(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def calls(monkeypatch):
    """Replace functions by recorders: calls(module, "name", result) returns the list of their arguments."""

    def record(module, name, result=None):
        seen = []
        monkeypatch.setattr(module, name, lambda *args, **kwargs: (seen.append((args, kwargs)), result)[1])
        return seen

    return record


def test_help_lists_every_command_and_is_quick_to_load():
    program = "import sys, vosnb.cli; print([m for m in ('torch', 'numpy', 'cv2', 'jupytext') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"
    said = vosnb("--help").output
    assert "..." not in said.split("Commands:")[1]  # no summary is cut
    for command in [
        "start",
        "reset",
        "doctor",
        "run",
        "paint",
        "bench",
        "train",
        "data",
        "student",
        "build",
        "course",
        "style",
    ]:
        assert f"  {command} " in said
        assert vosnb(command, "--help").exit_code == 0


@pytest.fixture
def shot(tmp_path):
    """A folder of five frames with unusual names, and a first mask."""
    rng = np.random.default_rng(0)
    for t in range(5):
        write_frame(tmp_path / "shot" / f"img_{t + 7:03d}.jpg", rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 5:20], mask[25:35, 30:50] = 1, 2
    write_mask(tmp_path / "first.png", mask)
    return tmp_path


def test_run_takes_the_scribbles_of_a_pad_instead_of_a_mask(shot):
    strokes = to_davis([Scribble(0, 1, [[0.1, 0.2], [0.3, 0.4]])], 5, "shot")
    (shot / "s.json").write_text(json.dumps(strokes))
    given = ("run", shot / "shot", "--tracker", "ridge", "--out", shot / "scribbled")
    said = vosnb(*given, "--scribbles", shot / "s.json")
    assert said.exit_code == 0 and "5 masks" in said.output
    both = vosnb(*given, "--scribbles", shot / "s.json", "--mask", shot / "first.png")
    for said in (both, vosnb(*given)):
        assert said.exit_code == 2 and "one of the two" in said.output


def test_run_writes_masks_named_like_the_frames(shot):
    said = vosnb(
        "run", shot / "shot", "--mask", shot / "first.png", "--tracker", "histogram:bins=4", "--out", shot / "o"
    )
    assert said.exit_code == 0 and "5 masks" in said.output and "overlay.mp4" in said.output
    assert sorted(p.name for p in (shot / "o").glob("*.png")) == [f"img_{t:03d}.png" for t in range(7, 12)]
    assert set(np.unique(read_mask(shot / "o" / "img_011.png"))) <= {0, 1, 2}
    assert json.loads((shot / "o" / "run.json").read_text())["settings"] == {"bins": 4}


def test_run_takes_a_video_file(shot):
    from vosnb.clips.video import write_video

    write_video(shot / "film.avi", clips.open_clip(shot / "shot").frames)
    said = vosnb("run", shot / "film.avi", "--mask", shot / "first.png", "--tracker", "still", "--out", shot / "o")
    assert said.exit_code == 0
    assert sorted(p.name for p in (shot / "o").glob("*.png")) == [f"{t:05d}.png" for t in range(5)]


def test_a_stopped_run_says_how_to_go_on_and_exits_like_an_interrupted_program(shot, calls):
    calls(run, "run", (2, shot / "o" / "overlay.mp4"))
    said = vosnb("run", shot / "shot", "--mask", shot / "first.png", "--out", shot / "o")
    assert said.exit_code == 130 and "2 of 5 frames" in said.output and "same command" in said.output


def test_mistakes_are_one_sentence_without_traceback(shot):
    mask, out = ("--mask", shot / "first.png"), ("--out", shot / "o")
    for words, said in {
        ("run", shot / "nowhere", *mask, *out): "There is no folder or video",
        ("run", shot / "shot", "--mask", shot / "no.png", *out): "no.png",
        ("run", shot / "shot", *mask, *out, "--tracker", "matchin"): "Did you mean 'matching'?",
        ("run", shot / "shot", *mask, *out, "--tracker", "still:bins=3"): "has no setting 'bins'",
        ("bench", "--tracker", "still", "--data", shot / "nowhere"): "There is no",
        ("bench", "--tracker", "still", "--split", "generated:x"): "generated:START:COUNT",
        ("reset", "77", shot): "77",
        ("course", "77"): "77",
        ("course", "--set", "MAX_CLIPS"): "NAME=VALUE",
    }.items():
        result = vosnb(*words)
        assert result.exit_code == 1, words
        assert result.output.startswith("Error: ") and said in result.output and "Traceback" not in result.output
    assert not (shot / "o").exists()


def test_missing_options_are_told_by_click(shot):
    assert vosnb("run", shot / "shot").exit_code == 2
    assert vosnb("train", "everything").exit_code == 2
    assert vosnb("data", "imagenet").exit_code == 2


def test_bench_prints_a_table_and_writes_json(tmp_path, monkeypatch):
    mask = np.zeros((4, 40, 60), np.uint8)
    mask[:, 5:20, 5:20] = 1
    clip = Clip.from_arrays("box", np.full((4, 40, 60, 3), 90, np.uint8), mask)
    monkeypatch.setattr("vosnb.datasets.load", lambda dataset, split, limit: [clip] if limit == 1 else [])
    said = vosnb("bench", "--tracker", "still", "--data", "embedded", "--limit", 1, "--json", tmp_path / "r.json")
    assert said.exit_code == 0 and "still" in said.output
    (row,) = [r for r in json.loads((tmp_path / "r.json").read_text())["rows"] if r["difficulty"] == "all"]
    assert row["tracker"] == "still" and row["J"] == 1.0


def test_train_and_data_hand_on_what_was_given_and_leave_other_defaults_alone(calls):
    trained, fetched = calls(matching, "train", "w.safetensors"), calls(downloads, "fetch", "there")
    assert "w.safetensors" in vosnb("train", "matching", "--steps", 3, "--out", "w.safetensors", "--resume").output
    vosnb("train", "matching", "--start-from", "matching", "--learning-rate", 1e-4)
    vosnb("train", "matching")
    assert trained == [
        ((), {"seed": 0, "resume": True, "steps": 3, "out": Path("w.safetensors")}),
        ((), {"seed": 0, "resume": False, "start_from": "matching", "learning_rate": 1e-4}),
        ((), {"seed": 0, "resume": False}),
    ]
    written = calls(dynamic_kernels, "train", "k.safetensors")
    vosnb("train", "dynamic-kernels", "--kernels", "local", "--aspp", "--shallow", "--seed", 2)
    assert written == [((), {"seed": 2, "resume": False, "kernels": "local", "aspp": True, "shallow": True})]
    assert "for `vosnb train dynamic-kernels` alone" in vosnb("train", "matching", "--aspp").output
    assert "davis2017 is in there" in vosnb("data", "davis2017", "--to", "x", "--url", "file:///d.zip").output
    assert fetched == [(("davis2017", Path("x"), "file:///d.zip", None), {})]


def test_every_data_set_that_can_be_fetched_is_offered():
    said = vosnb("data", "--help").output
    assert all(name in said for name in downloads.DATASETS | downloads.WEIGHTS)


def test_course_fails_when_a_lesson_fails(calls):
    seen = calls(headless, "run_course", [{"result": "ok"}])
    assert vosnb("course", "01", "--set", "MAX_CLIPS=1", "--set", "SPLIT=val").exit_code == 0
    assert seen == [((("01",), {"MAX_CLIPS": 1, "SPLIT": "val"}), {"jobs": 2})]
    calls(headless, "run_course", [{"result": "ok"}, {"result": "cell 3: ValueError"}])
    assert vosnb("course").exit_code == 1


def test_build_names_what_it_wrote(calls):
    seen = calls(build, "build", ["00_start_here"])
    assert vosnb("build", "0", "--no-execute").output == "notebooks/00_start_here.ipynb\n"
    assert seen == [((("0",),), {"execute": False})]


def test_style_fails_when_a_limit_is_broken(calls):
    seen = calls(style, "report", [])
    assert vosnb("style", "1").exit_code == 0
    assert seen == [((("1",),), {})]
    calls(style, "report", ["01_long: 61 cells in all, and 60 may be."])
    said = vosnb("style")
    assert said.exit_code == 1 and said.output == "01_long: 61 cells in all, and 60 may be.\n"


def test_students_get_a_folder_and_a_fresh_lesson(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = vosnb("start")
    assert said.exit_code == 0 and "my-course/00_start_here.ipynb" in said.output.splitlines()[-1]
    lesson, *rest = sorted(Path("my-course").glob("*.ipynb"))
    work = lesson.read_text().replace("Keep your eye", "My notes")
    lesson.write_text(work)
    again = vosnb("start").output
    assert "your work is safe" in again and "my-course/00_start_here.ipynb" in again.splitlines()[-1]
    assert lesson.read_text() == work
    assert vosnb("reset", lesson.name[:2]).exit_code == 0
    assert lesson.read_text() != work
    assert Path(f"my-course/{lesson.stem}.old-1.ipynb").read_text() == work
    said = vosnb("student", "edition").output.splitlines()
    deeper = sorted(Path("my-course/deeper").glob("*.ipynb"))
    assert {line.split(":")[0] for line in said} == {*(path.stem for path in [lesson, *rest, *deeper]), "GLOSSARY"}
    assert vosnb("student", NOTEBOOKS).exit_code == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            PermissionError(errno.EACCES, "denied", "w.safetensors"),
            1,
            "Error: w.safetensors: this is not allowed to you",
        ),
        (OSError(errno.ENOSPC, "full"), 1, "Error: The disk is full"),
        (FileNotFoundError("no weights at x: train them."), 1, "Error: no weights at x: train them."),
        (MemoryError(), 1, "Error: The memory is not enough"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
            1,
            "Error: The memory is not enough",
        ),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), 1, "Error: The memory is not enough"),
        (RecursionError(), 1, "Error: Something in a file is nested too deeply"),
        (KeyboardInterrupt(), 130, "Stopped."),
        (BrokenPipeError(errno.EPIPE, "nobody reads"), 1, ""),
    ],
)
def test_what_can_go_wrong_is_one_sentence(error, code, said, monkeypatch):
    def fails(**_):
        raise error

    monkeypatch.setattr(matching, "train", fails)
    result = vosnb("train", "matching")
    assert result.exit_code == code and result.output.startswith(said) and "Traceback" not in result.output
    assert result.output.count("\n") <= 1 and (said or not result.output)


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(matching, "train", lambda **_: {}["nothing"])
    assert isinstance(vosnb("train", "matching").exception, KeyError)


def test_training_says_where_the_weights_are_and_how_to_use_them(calls):
    calls(matching, "train", Path("build/weights/matching.safetensors"))
    for backbone, tracker in (("photos", "matching:backbone=photos"), ("creatures", "matching")):
        said = vosnb("train", "matching", "--backbone", backbone).output
        assert f"matching.safetensors; use them as {tracker}:weights=build/weights/matching.safetensors." in said
    assert vosnb("train", "matching").output == vosnb("train", "matching", "--backbone", "photos").output
    for what, tracker in cli.TAKERS.items():
        assert "weights" in settings_of(TRACKERS[tracker]), what


def test_a_name_that_a_terminal_cannot_show_is_no_error(calls):
    calls(matching, "train", Path("w\udcff.safetensors"))
    assert vosnb("train", "matching").exit_code == 0
