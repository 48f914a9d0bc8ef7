"""`vosnb run`: masks, overlay, interruption, resumption, and what it refuses."""

import errno
import json
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vosnb import trackers
from vosnb.clips import Clip, ClipError, open_clip, read_mask, write_frame, write_mask
from vosnb.clips.scribbles import Scribble, from_davis, to_davis
from vosnb.clips.video import Video, write_video
from vosnb.files import explain
from vosnb.methods.scribbles import draw
from vosnb.run import export, following, run, run_scribbles
from vosnb.run.overlay import write_overlay
from vosnb.show import overlays
from vosnb.trackers import interactive
from vosnb.trackers.follow import corrected

T, H, W = 12, 45, 61


class Drift(trackers.Tracker):
    """Moves the mask by a growing number of pixels, so that only an unbroken memory gives the right masks."""

    after_step = staticmethod(lambda steps: None)

    def _reset(self):
        self.steps = 0

    def _add(self, frame, mask, ids):
        self.mask = torch.from_numpy(mask == 1).float()

    def _step(self, frame):
        self.steps += 1
        self.mask = self.mask.roll(self.steps, 1)
        Drift.after_step(self.steps)
        return torch.stack([1 - self.mask, self.mask])


@pytest.fixture
def clip():
    tiles = np.random.default_rng(0).integers(0, 255, (T, 3, 4, 3), dtype=np.uint8)
    frames = np.stack([cv2.resize(tile, (W, H)) for tile in tiles])  # smooth, so that the videos are written quickly
    mask = np.zeros((H, W), np.uint8)
    mask[10:20, 5:15] = 1
    return Clip.from_arrays("noise", frames, [mask] + [None] * (T - 1), fps=10.0)


@pytest.fixture(autouse=True)
def drift(monkeypatch):
    monkeypatch.setitem(trackers.TRACKERS, "drift", Drift)
    monkeypatch.setattr(overlays, "HEIGHT", 90)
    monkeypatch.setattr(overlays, "CODECS", overlays.CODECS[1:])  # the first, VP9, takes four times as long


def interrupt_at(monkeypatch, frame, how=lambda: os.kill(os.getpid(), signal.SIGINT)):
    monkeypatch.setattr(Drift, "after_step", staticmethod(lambda steps: how() if steps == frame else None))


def masks_in(folder):
    return {file.name: read_mask(file) for file in sorted(Path(folder).glob("*.png"))}


def same(a, b):
    return a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)


def test_writes_a_mask_for_each_frame_and_a_video_that_opens(clip, tmp_path):
    done, video = run(clip, tmp_path / "out", "drift")
    masks = masks_in(tmp_path / "out")
    assert done == T and list(masks) == [f"{t:05d}.png" for t in range(T)]
    assert (masks["00000.png"] == clip.first_mask).all()
    assert (masks["00003.png"] == np.roll(clip.first_mask, 1 + 2 + 3, 1)).all()
    video = Video(video)
    assert (video.length, video.fps, video.frame(0).shape[0]) == (T, pytest.approx(10), 90)
    assert not (tmp_path / "out" / "resume.safetensors").exists()


def test_masks_are_named_like_the_frames(clip, tmp_path):
    names = [f"shot_{2 * t}" for t in range(T)]
    clip.info["names"] = names
    run(clip, tmp_path / "out", "still")
    assert sorted(masks_in(tmp_path / "out")) == sorted(f"{name}.png" for name in names)


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_done_and_resumes_to_the_same_masks(clip, tmp_path, monkeypatch, which):
    run(clip, tmp_path / "whole", "drift")
    interrupt_at(monkeypatch, 5, lambda: os.kill(os.getpid(), which))
    done, video = run(clip, tmp_path / "cut", "drift")
    assert done == 6 and len(masks_in(tmp_path / "cut")) == 6
    assert Video(video).length == 6

    steps = []
    monkeypatch.setattr(Drift, "after_step", staticmethod(steps.append))
    done, _ = run(clip, tmp_path / "cut", "drift")
    assert done == T and steps == list(range(6, T))  # what was done is not done again
    assert same(masks_in(tmp_path / "cut"), masks_in(tmp_path / "whole"))


def test_the_handlers_of_the_caller_are_back_after_a_run(clip, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    interrupt_at(monkeypatch, 2)
    run(clip, tmp_path / "out", "drift")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_interrupt_ends_at_once(clip, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 5, lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            run(clip, tmp_path / "out", "drift")
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_killed_run_resumes_from_its_last_copy(clip, tmp_path, monkeypatch):
    def die():
        raise MemoryError

    run(clip, tmp_path / "whole", "drift")
    monkeypatch.setattr(following, "SAVE_EVERY", -1)
    interrupt_at(monkeypatch, 7, die)
    with pytest.raises(MemoryError):
        run(clip, tmp_path / "cut", "drift")
    steps = []
    monkeypatch.setattr(Drift, "after_step", staticmethod(steps.append))
    run(clip, tmp_path / "cut", "drift")
    assert steps[0] == 7
    assert same(masks_in(tmp_path / "cut"), masks_in(tmp_path / "whole"))


def test_a_finished_run_is_not_done_again(clip, tmp_path, monkeypatch):
    run(clip, tmp_path / "out", "drift")
    steps = []
    monkeypatch.setattr(Drift, "after_step", staticmethod(steps.append))
    assert run(clip, tmp_path / "out", "drift")[0] == T and not steps


def test_refuses_to_mix_trackers_settings_or_clips(clip, tmp_path):
    run(clip, tmp_path / "out", "histogram")
    before = masks_in(tmp_path / "out")
    with pytest.raises(ClipError, match="tracker 'histogram', this one has 'still'.*--out"):
        run(clip, tmp_path / "out", "still")
    with pytest.raises(ClipError, match="settings"):
        run(clip, tmp_path / "out", "histogram", {"bins": 4})
    with pytest.raises(ClipError, match=f"frames {T}, this one has {T - 2}"):
        run(clip.subclip(0, T - 2), tmp_path / "out", "histogram")
    other = Clip.from_arrays("noise", list(clip.frames), [np.roll(clip.first_mask, 1, 0)] + [None] * (T - 1))
    with pytest.raises(ClipError, match="The mask of frame 00000 has changed since"):
        run(other, tmp_path / "out", "histogram")
    assert same(masks_in(tmp_path / "out"), before)


def test_refuses_a_folder_that_it_did_not_make(clip, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ClipError, match="did not make it"):
        run(clip, tmp_path, "still")
    with pytest.raises(ClipError, match="thesis.tex is a file; give another --out"):
        run(clip, tmp_path / "thesis.tex", "still")
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_an_unknown_tracker_or_setting_leaves_no_folder_behind(clip, tmp_path):
    for name, settings in (("stil", {}), ("still", {"bins": 3})):
        with pytest.raises(ValueError):
            run(clip, tmp_path / "out", name, settings)
    assert not (tmp_path / "out").exists()


def test_run_json_tells_how_the_masks_were_made(clip, tmp_path):
    run(clip, tmp_path / "out", "histogram", {"bins": 8})
    note = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (note["tracker"], note["settings"], note["frames"], note["size"]) == ("histogram", {"bins": 8}, T, [H, W])


def test_every_format_of_an_overlay_works(clip, tmp_path, monkeypatch):
    for suffix, codec in ((".mp4", "vp09"), (".mp4", "mp4v"), (".avi", "MJPG")):
        monkeypatch.setattr(overlays, "CODECS", ((suffix, codec),))
        assert Video(run(clip, tmp_path / codec, "still")[1]).length == T


def test_video_falls_back_to_a_format_that_works(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(overlays, "CODECS", ((".mp4", "none"), (".avi", "MJPG")))
    _, video = run(clip, tmp_path / "out", "still")
    assert video.name == "overlay.avi" and Video(video).length == T
    assert not (tmp_path / "out" / "overlay.mp4").exists()


def test_says_so_when_no_format_works_and_keeps_the_masks(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(overlays, "CODECS", ((".mp4", "none"),))
    with pytest.raises(ClipError, match="masks are all there, but this OpenCV can write no video.*none"):
        run(clip, tmp_path / "out", "still")
    assert len(masks_in(tmp_path / "out")) == T


# ------------------------------------------------------------------------------ masks that are there, and the state


def empty(file):
    file.write_bytes(b"")


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def of_another_size(file):
    write_mask(file, np.zeros((3, 4), np.uint8))


@pytest.mark.parametrize("damage", [empty, cut, of_another_size, Path.unlink])
@pytest.mark.parametrize("t", [0, 4, T - 1])
def test_a_mask_that_is_gone_or_damaged_is_made_again(clip, tmp_path, capsys, damage, t):
    whole, out = tmp_path / "whole", tmp_path / "out"
    for folder in (whole, out):
        run(clip, folder, "drift")
    damage(out / f"{t:05d}.png")
    (out / "overlay.mp4").unlink()
    done, video = run(clip, out, "drift")
    assert done == T == Video(video).length
    assert "followed from its beginning again; masks that are there stay" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.glob("*.png")} == {p.name: p.read_bytes() for p in whole.glob("*.png")}


def test_a_mask_thrown_away_before_a_stopped_run_goes_on_is_made_again(clip, tmp_path, monkeypatch, capsys):
    run(clip, tmp_path / "whole", "drift")
    interrupt_at(monkeypatch, 5)
    run(clip, tmp_path / "out", "drift")
    monkeypatch.setattr(Drift, "after_step", staticmethod(lambda steps: None))
    (tmp_path / "out" / "00003.png").unlink()
    assert run(clip, tmp_path / "out", "drift")[0] == T
    assert "The mask of frame 00003 is missing or damaged" in capsys.readouterr().err
    assert same(masks_in(tmp_path / "out"), masks_in(tmp_path / "whole"))


@pytest.mark.parametrize("damage, says", [(empty, "is damaged"), (cut, "is damaged"), (Path.unlink, "is missing")])
def test_without_its_state_a_stopped_run_begins_again_and_says_so(clip, tmp_path, monkeypatch, capsys, damage, says):
    run(clip, tmp_path / "whole", "drift")
    interrupt_at(monkeypatch, 5)
    run(clip, tmp_path / "out", "drift")
    damage(tmp_path / "out" / "resume.safetensors")
    steps = []
    monkeypatch.setattr(Drift, "after_step", staticmethod(steps.append))
    assert run(clip, tmp_path / "out", "drift")[0] == T and steps == list(range(1, T))
    assert f"resume.safetensors {says}: the clip is followed from its beginning" in capsys.readouterr().err
    assert same(masks_in(tmp_path / "out"), masks_in(tmp_path / "whole"))


def test_a_state_of_another_run_is_not_taken_up(clip, tmp_path, monkeypatch, capsys):
    interrupt_at(monkeypatch, 5)
    run(clip, tmp_path / "out", "drift")
    other = Clip.from_arrays("noise", clip.frames, [np.roll(clip.first_mask, 3, 0)] + [None] * (T - 1))
    run(other, tmp_path / "other", "drift")
    (tmp_path / "other" / "resume.safetensors").replace(tmp_path / "out" / "resume.safetensors")
    run(clip, tmp_path / "out", "drift")
    assert "is of another run: the clip is followed" in capsys.readouterr().err


def test_a_mask_that_a_user_has_mended_stays_and_is_told(clip, tmp_path, capsys):
    out = tmp_path / "out"
    run(clip, out, "drift")
    mine = np.ones((H, W), np.uint8)
    write_mask(out / "00003.png", mine)
    (out / "00007.png").unlink()
    run(clip, out, "drift")
    assert (read_mask(out / "00003.png") == mine).all() and (out / "00007.png").exists()
    assert "00003.png in" in (said := capsys.readouterr().err) and "differ from the tracker's answer" in said


class Sealed(Drift):
    """Holds what cannot be kept."""

    def _reset(self):
        super()._reset()
        self.held = iter([])


@pytest.mark.parametrize("trouble", ["a tracker that cannot be kept", "no room for it"])
def test_a_state_that_cannot_be_kept_is_told_and_stops_nothing(clip, tmp_path, monkeypatch, capsys, trouble):
    monkeypatch.setitem(trackers.TRACKERS, "sealed", Sealed)
    if trouble == "no room for it":
        monkeypatch.setattr(following, "save_state", no_space)
    name = "drift" if trouble == "no room for it" else "sealed"
    interrupt_at(monkeypatch, 5)
    run(clip, tmp_path / "out", name)
    said = capsys.readouterr().err
    assert "The tracker was not kept" in said and ("disk is full" if "room" in trouble else "list_iterator") in said
    interrupt_at(monkeypatch, None)
    assert run(clip, tmp_path / "out", name)[0] == T


# ------------------------------------------------------------------------------------- what a run is known by


@pytest.fixture
def files(tmp_path, clip):
    """A folder of frames and one of masks, with the first."""
    for t, frame in enumerate(clip.frames):
        write_frame(tmp_path / "frames" / f"{t:05d}.jpg", frame)
    write_mask(tmp_path / "masks" / "00000.png", clip.first_mask)
    return tmp_path


def run_files(folder, out="out", tracker="still"):
    return run(open_clip(folder / "frames", folder / "masks"), folder / out, tracker)


def more_frames(folder):
    shutil.copy(folder / "frames" / "00011.jpg", folder / "frames" / "00012.jpg")


def another_frame(folder):
    shutil.copy(folder / "frames" / "00004.jpg", folder / "frames" / "00003.jpg")


def another_mask(folder):
    write_mask(folder / "masks" / "00000.png", np.eye(H, W, dtype=np.uint8))


def one_more_mask(folder):
    write_mask(folder / "masks" / "00004.png", 2 * np.eye(H, W, dtype=np.uint8))


@pytest.mark.parametrize(
    "change, says",
    [
        (another_frame, "Frame 00003.jpg has changed since .*out was begun.*another --out, or delete"),
        (more_frames, f"frames {T}, this one has {T + 1}; give another --out, or delete"),
        (another_mask, "The mask of frame 00000 has changed since"),
        (one_more_mask, "The mask of frame 00004 is new since"),
    ],
)
def test_what_has_changed_since_is_named(files, change, says):
    run_files(files)
    before = masks_in(files / "out")
    change(files)
    with pytest.raises(ClipError, match=says):
        run_files(files)
    assert same(masks_in(files / "out"), before)
    assert run_files(files, "fresh")[0] >= T


def test_a_video_that_has_changed_is_named(clip, tmp_path):
    for n, frames in enumerate((clip.frames, clip.frames[::-1])):
        write_video(tmp_path / "film.avi", [frame[:44, :60] for frame in frames])
        film = open_clip(tmp_path / "film.avi", clip.first_mask[:44, :60])
        if n == 0:
            assert run(film, tmp_path / "out", "still")[0] == T == run(film, tmp_path / "out", "still")[0]
    with pytest.raises(ClipError, match="The video has changed since"):
        run(film, tmp_path / "out", "still")


OLD = {"vosnb": "0.1.0", "frames": T, "first mask": "f00"}


@pytest.mark.parametrize("left", ["", json.dumps(OLD, indent=1)[:5], json.dumps(OLD, indent=1)[:40], "\0" * 9])
def test_what_a_killed_run_left_of_run_json_does_not_block_a_folder_of_nothing_else(clip, tmp_path, left):
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(left)
    (out / ".0123456789ab.half.json").write_text("{")
    assert run(clip, out, "still")[0] == T
    assert {p.name for p in out.iterdir()} == {p.name for p in run(clip, tmp_path / "o", "still")[1].parent.iterdir()}


@pytest.mark.parametrize("left", ["", "{", json.dumps(OLD, indent=1), '{"name": "a shopping list"}', "[]"])
def test_a_run_json_that_says_nothing_is_told_where_there_is_something_to_lose(clip, tmp_path, left):
    out = tmp_path / "out"
    run(clip, out, "still")
    (out / "run.json").write_text(left)
    with pytest.raises(
        ClipError, match="run.json is damaged, empty, or of another version.*give another --out, or del"
    ):
        run(clip, out, "still")
    assert (out / "run.json").read_text() == left and len(masks_in(out)) == T


def test_a_foreign_run_json_alone_is_left_alone(clip, tmp_path):
    (tmp_path / "run.json").write_text('{"name": "my shoes"}')
    with pytest.raises(ClipError, match="of another version or program"):
        run(clip, tmp_path, "still")
    assert os.listdir(tmp_path) == ["run.json"] and "shoes" in (tmp_path / "run.json").read_text()


def test_a_folder_without_masks_is_open_to_any_run(clip, tmp_path):
    run(clip, tmp_path, "still")
    for file in tmp_path.glob("*.png"):
        file.unlink()
    run(clip, tmp_path, "histogram")
    assert json.loads((tmp_path / "run.json").read_text())["tracker"] == "histogram"


def test_a_fault_that_is_found_late_leaves_no_folder(clip, tmp_path, monkeypatch):
    def fails(self, *_):
        raise ValueError("this setting was wrong")

    monkeypatch.setattr(Drift, "_add", fails)
    with pytest.raises(ValueError, match="was wrong"):
        run(clip, tmp_path / "a" / "b", "drift")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("out, says", [("file/sub", "a part of this path is a file"), ("x" * 300, "name is too long")])
def test_a_folder_that_cannot_be_is_told_with_its_path(clip, tmp_path, out, says):
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as error:
        run(clip, tmp_path / out, "still")
    assert says in explain(error.value) and str(tmp_path / out) in explain(error.value)


def test_two_frames_of_one_name_are_told(clip, tmp_path):
    clip.info["names"] = ["a"] * 2 + [f"{t}" for t in range(2, T)]
    with pytest.raises(ClipError, match="Two frames of 'noise' are named a"):
        run(clip, tmp_path / "out", "still")
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------------------------- later masks


def masked(clip, given, **info):
    """The clip with these masks: {frame: mask}."""
    return Clip.from_arrays("noise", clip.frames, [given.get(t) for t in range(T)], **info)


def box(y, x, k=1, size=8):
    mask = np.zeros((H, W), np.uint8)
    mask[y : y + size, x : x + size] = k
    return mask


def test_a_run_starts_where_the_first_mask_is(clip, tmp_path, capsys):
    run(masked(clip, {0: 0 * box(1, 1), 5: box(9, 9)}), tmp_path, "drift")
    masks = masks_in(tmp_path)
    assert len(masks) == T and not masks["00004.png"].any()
    assert (masks["00005.png"] == box(9, 9)).all() and (masks["00006.png"] == box(9, 10)).all()
    said = capsys.readouterr().err
    assert "The first mask is that of frame 00005: the 5 frames before it get empty ones." in said
    assert "not used: the mask of frame 00000" in said


def test_a_clip_without_any_object_is_told(clip, tmp_path):
    with pytest.raises(ClipError, match="is empty: there is nothing to track"):
        run(masked(clip, {0: 0 * box(1, 1)}), tmp_path / "out", "still")
    with pytest.raises(ClipError, match="is missing"):
        run(masked(clip, {}), tmp_path / "out", "still")
    assert not (tmp_path / "out").exists()


def test_a_later_mask_corrects_the_object_and_the_tracker_goes_on_from_it(clip, tmp_path, monkeypatch, capsys):
    given = masked(clip, {0: box(9, 9), 4: box(20, 30), 8: 0 * box(1, 1)})
    run(given, tmp_path / "whole", "drift")
    masks = masks_in(tmp_path / "whole")
    assert (masks["00004.png"] == box(20, 30)).all() and (masks["00006.png"] == box(20, 33)).all()
    said = capsys.readouterr().err
    assert "corrected by the mask of frame 00004." in said and "not used: the mask of frame 00008." in said
    interrupt_at(monkeypatch, 2)  # in frame 2, and two after the correction
    run(given, tmp_path / "cut", "drift"), run(given, tmp_path / "cut", "drift")
    assert run(given, tmp_path / "cut", "drift")[0] == T and same(masks_in(tmp_path / "cut"), masks)


def test_a_correction_of_one_object_leaves_others_to_the_tracker_and_may_bring_in_another(clip, tmp_path, capsys):
    first, later = box(2, 2) + box(20, 20, 2), box(4, 4) + box(30, 40, 3)
    later[:, 50:] = 255
    run(masked(clip, {0: first, 3: later}), tmp_path, "still")
    wanted = np.where(later == 255, 0, later) + box(20, 20, 2)
    assert (masks_in(tmp_path)["00003.png"] == wanted).all() and (masks_in(tmp_path)["00009.png"] == wanted).all()
    assert "followed no further" not in capsys.readouterr().err


def test_a_tracker_that_starts_anew_hears_of_the_rest_of_the_clip(clip, tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(Drift, "about", lambda self, clip: heard.append(len(clip)))
    run(masked(clip, {0: box(9, 9), 4: box(20, 30)}), tmp_path, "drift")
    assert heard == [T, T - 4]


def test_where_a_correction_is_void_the_tracker_s_answer_stays():
    answer, given = np.array([[1, 1, 2, 2, 0, 0]]), np.array([[0, 255, 1, 255, 1, 0]])
    assert corrected(answer, given).tolist() == [[0, 1, 1, 2, 1, 0]]
    assert corrected(answer, np.array([[0, 0, 0, 0, 0, 2]])).tolist() == [[1, 1, 0, 0, 0, 2]]


def test_an_object_that_a_correction_loses_is_told(clip, tmp_path, capsys):
    run(masked(clip, {0: box(2, 2) + box(20, 20, 2), 3: box(16, 16, size=20)}), tmp_path, "still")
    assert "Not to be seen in frame 00003, where others are corrected, and followed no further: object 2." in (
        capsys.readouterr().err
    )


def test_masks_keep_the_ids_and_names_that_came(clip, tmp_path):
    given = masked(clip, {0: box(2, 2) + box(20, 20, 2)}, ids=[4, 9], names=[f"shot {t}" for t in range(T)])
    run(given, tmp_path, "still")
    assert set(np.unique(read_mask(tmp_path / "shot 7.png"))) == {0, 4, 9}
    assert json.loads((tmp_path / "run.json").read_text())["ids"] == [4, 9]


# ---------------------------------------------------------------------------------------- kills and full disks


def no_space(path, *_, **__):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def test_a_full_disk_at_any_write_never_reads_as_success_and_a_rerun_completes(clip, tmp_path, monkeypatch):
    run(clip.subclip(0, 4), tmp_path / "whole", "drift")
    replace, left = os.replace, [0]

    def full(source, target):
        left[0] -= 1
        if left[0] < 0:
            no_space(target)
        replace(source, target)

    for writes in range(6):  # run.json, four masks, the overlay
        out = tmp_path / f"{writes}"
        monkeypatch.setattr(os, "replace", full)
        left[0] = writes
        with pytest.raises((OSError, ClipError)) as error:
            run(clip.subclip(0, 4), out, "drift")
        told = explain(error.value) if isinstance(error.value, OSError) else str(error.value)
        assert "the disk is full; free some space" in told and (writes < 5 or "The masks are all there" in told)
        assert out.exists() == (writes > 1) and not list(out.glob(".*"))
        monkeypatch.setattr(os, "replace", replace)
        assert run(clip.subclip(0, 4), out, "drift")[0] == 4 and same(masks_in(out), masks_in(tmp_path / "whole"))


@pytest.mark.parametrize("full", [True, False])
def test_an_overlay_that_cannot_be_written_is_told_with_the_true_reason(clip, tmp_path, monkeypatch, full):
    def fails(path, *_):
        raise OSError(errno.ENOSPC, "No space left on device", str(path)) if full else ClipError("OpenCV's fault")

    monkeypatch.setattr(overlays, "write_video", fails)
    with pytest.raises(
        ClipError, match="masks are all there, but.*" + ("disk is full" if full else "no video of them")
    ):
        run(clip, tmp_path, "still")
    assert len(masks_in(tmp_path)) == T and not list(tmp_path.glob("*overlay*"))


def test_a_damaged_frame_is_told_as_itself_by_the_overlay(files):
    run_files(files)
    given = open_clip(files / "frames", files / "masks")
    (files / "frames" / "00003.jpg").write_bytes(b"")
    with pytest.raises(ClipError, match="00003.jpg is (empty|damaged)"):
        write_overlay(given, sorted((files / "out").glob("*.png")), files)


@pytest.mark.parametrize(
    "size, shown",
    [
        ((2, 3000), (16, 1920)),
        ((3000, 2), (1920, 16)),
        ((400, 500), (400, 500)),
        ((45, 61), (90, 122)),
        ((7, 7), (90, 90)),
    ],
)
def test_an_overlay_is_as_large_as_the_clip_within_bounds(tmp_path, size, shown):
    odd = Clip.from_arrays("odd", np.zeros((2, *size, 3), np.uint8), [np.ones(size, np.uint8), None])
    _, video = run(odd, tmp_path, "still")
    assert Video(video).frame(1).shape[:2] == shown


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process that it forks")
@pytest.mark.parametrize("seed", range(6))
def test_a_run_killed_at_any_instant_completes_byte_identical(clip, tmp_path, seed):
    """benchmarks/kill_runs.py kills more, and aims at the last mask."""
    run(clip, tmp_path / "whole", "drift")
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            run(clip, tmp_path / "out", "drift")
        os._exit(0)
    time.sleep(np.random.default_rng(seed).uniform(0, 0.25))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert run(clip, tmp_path / "out", "drift")[0] == T
    whole, out = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in ("whole", "out"))
    assert whole == out


# -------------------------------------------------------------------------------------------- json for others


def test_coco_holds_the_masks_as_pycocotools_reads_them(clip, tmp_path):
    COCO = pytest.importorskip("pycocotools.coco").COCO
    given = masked(clip, {0: box(2, 2) + box(20, 20, 2), 6: box(40, 50, 3)}, ids=[4, 9, 2])
    run(given, tmp_path, "still")
    coco = COCO(export(given, tmp_path, "coco"))
    assert [coco.imgs[t + 1]["file_name"] for t in range(T)] == [f"{t:05d}.png" for t in range(T)]
    for t in range(T):
        mask = read_mask(tmp_path / f"{t:05d}.png")
        found = coco.loadAnns(coco.getAnnIds(imgIds=t + 1))
        assert [a["attributes"]["track_id"] for a in found] == sorted(set(np.unique(mask)) - {0})
        for a in found:
            there = mask == a["attributes"]["track_id"]
            assert (coco.annToMask(a) == there).all() and a["area"] == there.sum()
            assert a["bbox"] == [*(n[0] for n in there.nonzero()[::-1]), 8, 5 if a["bbox"][1] == 40 else 8]


def test_youtube_vis_holds_one_annotation_an_object(files):
    run_files(files)
    content = json.loads(export(open_clip(files / "frames", files / "masks"), files / "out", "youtube-vis").read_text())
    assert content["videos"][0]["file_names"] == [f"frames/{t:05d}.jpg" for t in range(T)]
    (track,) = content["annotations"]
    assert track["id"] == 1 and track["areas"] == [100] * T


# ------------------------------------------------------------------------------------------------ scribbles


@pytest.fixture
def saved(tmp_path):
    """A stroke on the square of `clip`, one on the ground of another frame, as the pad saves them."""
    strokes = [Scribble(0, 1, [[0.1, 0.25], [0.2, 0.4]]), Scribble(3, 0, [[0.6, 0.5], [0.9, 0.6]])]
    file = tmp_path / "scribbles.json"
    file.write_text(json.dumps(to_davis(strokes, T, "noise")))
    return file


def test_scribbles_take_the_place_of_a_mask(clip, saved, tmp_path):
    clip = Clip.from_arrays("noise", list(clip.frames), [None] * T, fps=10.0)
    done, video = run_scribbles(clip, tmp_path / "out", saved, "ridge", {"lam": 3.0})
    masks = masks_in(tmp_path / "out")
    assert done == len(masks) == T and Video(video).length == T
    for t, label in ((0, 1), (3, 0)):
        ink = draw([stroke for stroke in from_davis(saved) if stroke.frame == t], clip.size)
        assert set(masks[f"0000{t}.png"][ink >= 0]) == {label}
    assert run_scribbles(clip, tmp_path / "out", saved, "ridge", {"lam": 3.0})[0] == T  # the same once more
    with pytest.raises(ClipError, match="give another --out"):
        run_scribbles(clip, tmp_path / "out", saved, "ridge")


@pytest.mark.parametrize(
    "tracker, settings, says",
    [("matching", {}, "needs a first mask: with scribbles"), ("ridge", {"short_side": 64}, "no setting 'short_side'")],
)
def test_scribbles_and_a_tracker_that_has_no_use_for_them(clip, saved, tmp_path, tracker, settings, says):
    with pytest.raises(ValueError, match=says):
        run_scribbles(clip, tmp_path / "out", saved, tracker, settings)
    assert not (tmp_path / "out").exists()


def test_scribbles_of_another_clip_are_told(clip, saved, tmp_path):
    with pytest.raises(ValueError, match="12 frames, and this one has 5"):
        run_scribbles(clip.subclip(0, 5), tmp_path / "out", saved)


def test_scribbles_write_again_what_is_damaged_and_notice_what_has_changed(files, saved, monkeypatch, capsys):
    def go():
        return run_scribbles(open_clip(files / "frames"), files / "out", saved, "ridge")

    go()
    first = (files / "frames" / "00003.jpg").read_bytes()
    before = {p.name: p.read_bytes() for p in (files / "out").glob("*.png")}
    (files / "out" / "00007.png").write_bytes(b"")
    assert go()[0] == T and before == {p.name: p.read_bytes() for p in (files / "out").glob("*.png")}
    capsys.readouterr()
    monkeypatch.setattr(interactive, "InteractiveSegmenter", None)
    go()  # nothing is computed again
    another_frame(files)
    with pytest.raises(ClipError, match="Frame 00003.jpg has changed"):
        go()
    (files / "frames" / "00003.jpg").write_bytes(first)
    saved.write_text(saved.read_text().replace("0.1", "0.15"))
    with pytest.raises(ClipError, match="What was drawn has changed"):
        go()


@pytest.mark.parametrize(
    "settings",
    [
        {"lam": "x"},
        {"lam": 0},
        {"seed": -1},
        {"seed": 1.5},
        {"backbone": "x"},
    ],
    ids=str,
)
def test_settings_for_scribbles_that_make_no_sense_are_told_before_anything_is_made(clip, saved, tmp_path, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        run_scribbles(clip, tmp_path / "out", saved, "ridge", settings)
    assert not (tmp_path / "out").exists()
