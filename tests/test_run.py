"""`vosnb run`: masks, overlay, interruption, resumption, and what it refuses."""

import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import vosnb.run
from vosnb import trackers
from vosnb.clips import Clip, ClipError, read_mask
from vosnb.methods.scribbles import Scribble, to_davis
from vosnb.run import run, run_scribbles
from vosnb.video import Video

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
    monkeypatch.setattr(vosnb.run, "OVERLAY_HEIGHT", 90)


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
    assert not (tmp_path / "out" / "resume.pt").exists()


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
    monkeypatch.setattr(vosnb.run, "SAVE_EVERY", -1)
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


def test_the_matching_tracker_can_be_saved_and_goes_on_as_if_nothing_had_happened(clip, tmp_path):
    from vosnb.methods.matching import MatchingNet

    torch.manual_seed(0)
    one, other = (trackers.make_tracker("matching", net=MatchingNet(), device="cpu") for _ in range(2))
    other.net = one.net
    for tracker in (one, other):
        tracker.start(clip.frames[0], clip.first_mask)
    for t in range(1, 4):
        one.step(clip.frames[t])
        other.step(clip.frames[t])
    torch.save(other, tmp_path / "t.pt")
    other = torch.load(tmp_path / "t.pt", weights_only=False)
    assert torch.equal(one.step(clip.frames[4]), other.step(clip.frames[4]))


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
    with pytest.raises(ClipError, match="first mask"):
        run(other, tmp_path / "out", "histogram")
    assert same(masks_in(tmp_path / "out"), before)


def test_refuses_a_folder_that_it_did_not_make(clip, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ClipError, match="did not make it"):
        run(clip, tmp_path, "still")
    with pytest.raises(ClipError, match="did not make it"):
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


def test_video_falls_back_to_a_format_that_works(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(vosnb.run, "CODECS", ((".mp4", "none"), (".avi", "MJPG")))
    _, video = run(clip, tmp_path / "out", "still")
    assert video.name == "overlay.avi" and Video(video).length == T
    assert not (tmp_path / "out" / "overlay.mp4").exists()


def test_says_so_when_no_format_works_and_keeps_the_masks(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(vosnb.run, "CODECS", ((".mp4", "none"),))
    with pytest.raises(ClipError, match="disk is full"):
        run(clip, tmp_path / "out", "still")
    assert len(masks_in(tmp_path / "out")) == T


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
    assert masks["00000.png"][15, 9] == 1 and masks["00003.png"][24, 45] == 0
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
