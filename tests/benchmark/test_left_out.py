"""What cannot be scored is a row that says so, and stops nothing."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from vosnb.benchmark import bench, rerun_sample, table
from vosnb.cli import main
from vosnb.clips import load, write_frame, write_mask
from vosnb.metrics import score_clip
from vosnb.trackers import StillTracker

SIZE = (24, 32)


def mask(t, k=1):
    index = np.zeros(SIZE, np.uint8)
    index[4:12, 2 + t : 10 + t] = k
    return index


def davis(root, name, annotated, length=5):
    """A clip in DAVIS's layout whose masks lie at some frames only."""
    for t in range(length):
        write_frame(root / "JPEGImages/480p" / name / f"{t:05d}.jpg", np.full((*SIZE, 3), 40 * t, np.uint8))
    for t in annotated:
        write_mask(root / "Annotations/480p" / name / f"{t:05d}.png", mask(t))


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "set"
    davis(root, "whole", range(5))
    return root


def records(results):
    return {record["clip"]: record for record in results["clips"]}


# ---------------------------------------------------------------- objects


def test_an_object_that_no_mask_shows_is_not_scored():
    truth = [np.where(m == 1, 1, np.roll(m, 8, 0) * 3).astype(np.uint8) for m in map(mask, range(5))]
    assert score_clip(truth, truth).stats_J[1] is None
    nothing = score_clip([mask(t) for t in range(5)], [mask(0)] * 5, n_objects=2)
    assert nothing.stats_J[1] is None and nothing.J_mean < 1


def test_an_object_of_meta_json_that_nobody_ever_sees_does_not_score_1(tmp_path):
    base, five = tmp_path / "valid", ["00000", "00002", "00004"]
    for t in range(7):
        write_frame(base / "JPEGImages/abc" / f"{t:05d}.jpg", np.zeros((*SIZE, 3), np.uint8))
    for name in five:
        shown = mask(int(name)) + (np.roll(mask(0, 3), 10, 0) if name != "00000" else 0)
        write_mask(base / "Annotations/abc" / f"{name}.png", shown)
    objects = {"1": {"frames": five}, "2": {"frames": ["00002"]}, "3": {"frames": five[1:]}}
    (base / "meta.json").write_text(json.dumps({"videos": {"abc": {"objects": objects}}}))
    (record,) = bench("still", tmp_path, "valid", progress=False)["clips"]
    assert record["objects"] == 2 and record["J_objects"][1] == 1 and 0 < record["J_objects"][0] < 1


# ---------------------------------------------------------------- clips


@pytest.mark.parametrize(
    ("annotated", "reason", "ran"),
    [
        ([], "no mask with an object: nothing to track", False),
        ([0], "first mask only: nothing to score", True),
        ([2], "first mask only: nothing to score", True),
        ([0, 4], "no annotated frame between", True),
    ],
)
def test_a_clip_with_too_few_masks_is_told_and_the_others_go_on(data, annotated, reason, ran):
    davis(data, "poor", annotated)
    found = records(bench("still", data, "val", progress=False))
    assert reason in found["poor"]["left_out"] and ("fps" in found["poor"]) == ran
    assert "left_out" not in found["whole"] and 0 < found["whole"]["J"] < 1


def test_an_empty_first_mask_and_a_clip_of_one_frame_stop_nothing(data):
    davis(data, "empty", [])
    write_mask(data / "Annotations/480p/empty/00000.png", np.zeros(SIZE, np.uint8))
    davis(data, "single", [0], length=1)
    for objects in ("first", "all", "each"):
        found = records(bench("still", data, "val", objects, progress=False))
        assert "nothing to track" in found["empty"]["left_out"]
        assert found["single"]["fps"] is None and "nothing to score" in found["single"]["left_out"]
        assert found["whole"]["J"] > 0


@pytest.mark.parametrize("file", ["JPEGImages/480p/hurt/00000.jpg", "JPEGImages/480p/hurt/00003.jpg"])
def test_a_damaged_frame_is_named(data, file):
    davis(data, "hurt", range(5))
    (data / file).write_bytes((data / file).read_bytes()[:200])
    found = records(bench("still", data, "val", progress=False))
    assert file in found["hurt"]["left_out"] and found["whole"]["J"] > 0


def test_a_damaged_mask_is_named_for_every_tracker_and_the_summary_counts_the_clip_once(data, tmp_path):
    davis(data, "hurt", range(5))
    (data / "Annotations/480p/hurt/00003.png").write_bytes(b"no image")
    results = bench("still,histogram", data, "val", progress=False, json_path=tmp_path / "r.json")
    said = table(results)
    assert "Left out of the scores: 1 of 2 clips." in said and "hurt: " in said and "00003.png is damaged" in said
    assert [row["clips"] for row in results["rows"]] == [1, 1] and results["pairs"][0]["clips"] == 1
    assert len(rerun_sample(results)) == 2  # of what was scored
    write_mask(data / "Annotations/480p/hurt/00003.png", mask(3))
    mended = bench("still,histogram", data, "val", progress=False, json_path=tmp_path / "r.json")
    assert not any("left_out" in record for record in mended["clips"])


class Failing(StillTracker):
    """Fails on the clip that begins white."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def _add(self, frame, mask, ids):
        super()._add(frame, mask, ids)
        self.white = frame.min() > 200

    def _step(self, frame):
        if self.white:
            raise self.error
        return super()._step(frame)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no key."), "no key."),
        (RuntimeError("mat1 and mat2\nshapes"), "RuntimeError: mat1 and mat2"),
        (torch.OutOfMemoryError("CUDA out of memory."), "not enough memory"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_a_tracker_that_fails_on_a_clip_goes_on_with_the_next(data, error, reason):
    davis(data, "bright", range(5))
    write_frame(data / "JPEGImages/480p/bright/00000.jpg", np.full((*SIZE, 3), 255, np.uint8))

    clips = load(data, "val")
    results = bench({"failing": lambda: Failing(error), "still": StillTracker}, clips, progress=False)
    failed, whole, *others = results["clips"]
    assert failed["left_out"] == reason and whole["clip"] == "whole" and len(others) == 2
    assert f"bright (failing): {reason}" in table(results)
    assert [(row["tracker"], row["clips"]) for row in results["rows"]] == [("failing", 1), ("still", 2)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, TypeError])
def test_ctrl_c_and_mistakes_in_a_program_still_stop(data, error, capsys):
    write_frame(data / "JPEGImages/480p/whole/00000.jpg", np.full((*SIZE, 3), 255, np.uint8))

    with pytest.raises(error):
        bench({"failing": lambda: Failing(error())}, load(data, "val"), progress=False)


def test_first_masks_alone_make_a_table_of_speeds_without_scores(data):
    for file in sorted((data / "Annotations/480p/whole").glob("*.png"))[1:]:
        file.unlink()
    said = CliRunner().invoke(main, ["bench", "--tracker", "still", "--data", str(data), "--split", "val"])
    assert said.exit_code == 0 and "frames/s" in said.output and " J " not in said.output
    assert "whole: first mask only: nothing to score" in said.output


def test_where_nothing_ran_at_all_the_command_fails(data):
    (data / "Annotations/480p/whole/00002.png").write_bytes(b"no image")
    said = CliRunner().invoke(main, ["bench", "--tracker", "still", "--data", str(data), "--split", "val"])
    assert said.exit_code == 1 and "00002.png is damaged" in said.output


def test_many_clips_are_left_out_for_one_reason_in_one_line(data):
    for i in range(8):
        davis(data, f"first{i}", [0])
    said = table(bench("still", data, "val", progress=False))
    assert "first0, first1, first2, first3, first4 and 3 more: first mask only" in said
