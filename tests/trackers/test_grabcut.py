"""Masks of single frames by GrabCut, from boxes, clicks and strokes; and what a box teaches the ridge."""

import json

import numpy as np
import pytest
from browser.examples import clip
from click.testing import CliRunner

from vosnb import clips
from vosnb.cli import main
from vosnb.clips.scribbles import Scribble, to_davis
from vosnb.methods.scribbles import draw
from vosnb.metrics import jaccard
from vosnb.trackers.grabcut import GrabCutSegmenter, grabcut
from vosnb.trackers.interactive import InteractiveSegmenter

FRAMES, MASKS = clip()
ONE = [(0.08, 0.1), (0.42, 0.6)]  # around each disc of frame 0
TWO = [(0.62, 0.5), (0.88, 0.9)]
INSIDE = [(0.25, 0.35)]


def box(k=1, path=ONE, frame=0) -> Scribble:
    return Scribble(frame, k, path, box=True)


def score(mask, k, t=0) -> float:
    return jaccard(MASKS[t] == k, mask == k)


@pytest.mark.parametrize("path", [INSIDE, [(0.2, 0.35), (0.3, 0.35)]])
def test_a_click_or_a_stroke_finds_the_disc(path):
    assert score(grabcut(FRAMES[0], [Scribble(0, 1, path)]), 1) > 0.9


@pytest.mark.parametrize("corners", [ONE, ONE[::-1], [(0.42, 0.1), (0.08, 0.6)]])
def test_a_box_finds_the_disc_whichever_corners_are_given_and_nothing_outside(corners):
    mask = grabcut(FRAMES[0], [box(path=corners)])
    assert score(mask, 1) > 0.9 and set(np.unique(mask)) == {0, 1}
    assert not mask[:, 70:].any() and not mask[60:].any()


def test_boxes_of_two_objects_and_the_smaller_lies_in_front():
    mask = grabcut(FRAMES[0], [box(), box(2, TWO)])
    assert min(score(mask, k) for k in (1, 2)) > 0.9
    inner = grabcut(FRAMES[0], [box(2, [(0.2, 0.25), (0.3, 0.45)]), box()])
    assert inner[33, 40] == 2 and inner[22, 40] == 1


def test_painted_pixels_keep_what_they_were_painted():
    strokes = [Scribble(0, 1, INSIDE), Scribble(0, 0, [(0.22, 0.2), (0.22, 0.5)]), Scribble(0, 2, [(0.3, 0.3)])]
    mask = grabcut(FRAMES[0], [box(), *strokes])
    assert (mask[20:47, 35] == 0).all() and mask[33, 40] == 1 and mask[28, 47] == 2


def test_ink_beyond_the_box_is_the_object_s():
    mask = grabcut(FRAMES[0], [box(), Scribble(0, 1, [(0.9, 0.1), (0.95, 0.1)])])
    assert mask[9, 145] == 1 and score(mask, 1) > 0.8


@pytest.mark.parametrize(
    "prompts",
    [
        [box(path=[(0, 0), (1, 1)])],
        [box(path=[(0.5, 0.5), (0.5001, 0.5001)])],
        [box(path=[(0.999, 0), (1, 1)])],
        [Scribble(0, 0, INSIDE)],
        [Scribble(0, 254, [(1, 1)])],
        [Scribble(0, 1, [(0.1 * i % 1, 0.07 * i % 1) for i in range(200)])],
        [Scribble(0, k, INSIDE) for k in (1, 2, 0)],
    ],
)
@pytest.mark.parametrize("size", [(96, 160), (1, 1), (2, 300), (300, 2)])
def test_any_prompt_on_any_frame_is_answered(prompts, size):
    frame = np.resize(FRAMES[0], (*size, 3))
    mask = grabcut(frame, prompts)
    assert mask.shape == size and mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 1, 2, 254}


def test_large_frames_are_cut_at_their_own_size():
    large = np.kron(FRAMES[0], np.ones((8, 8, 1), np.uint8))
    prompts = [box(), Scribble(0, 1, INSIDE), Scribble(0, 0, [(0.2, 0.31), (0.3, 0.39)])]
    mask = grabcut(large, prompts)
    ink = draw(prompts, (768, 1280), 8)
    assert (mask == ink)[ink >= 0].all()  # to the pixel
    assert mask.shape == (768, 1280) and jaccard(np.kron(MASKS[0] == 1, np.ones((8, 8), bool)), mask == 1) > 0.9


def test_a_segmenter_answers_on_the_frames_that_have_prompts_and_takes_back():
    segmenter = GrabCutSegmenter(FRAMES)
    assert segmenter.masks.shape == (8, 96, 160) and not segmenter.masks.any()
    first = segmenter.add([box()])
    both = segmenter.add([Scribble(0, 0, [(0.2, 0.35), (0.3, 0.35)]), box(2, [(0.4, 0.5), (0.6, 0.9)], frame=4)])
    assert score(first[0], 1) > 0.9 and (both[0] != first[0]).any() and score(both[4], 2, 4) > 0.9
    assert not both[[1, 2, 3, 5, 6, 7]].any() and len(segmenter.scribbles) == 3 and segmenter.seconds > 0
    assert (segmenter.undo() == first).all() and not segmenter.undo().any() and not segmenter.undo().any()
    assert (segmenter.add([box()]) == first).all()  # every time the same


def test_what_a_segmenter_cannot_take_is_told():
    segmenter = GrabCutSegmenter(FRAMES)
    for wrong in ([], [box(frame=8)]):
        with pytest.raises(ValueError, match="draw on frames 0 to 7"):
            segmenter.add(wrong)
    assert segmenter.scribbles == []
    with pytest.raises(ValueError, match="frame"):
        GrabCutSegmenter([np.zeros((4, 4), np.uint8)])


# ------------------------------------------------------------------------------------------------------- the ridge


def test_boxes_teach_the_ridge_one_after_the_other():
    segmenter = InteractiveSegmenter(FRAMES)
    first = segmenter.add([box()])
    assert score(first[0], 1) > 0.5
    both = segmenter.add([box(2, TWO)])
    assert min(score(both[0], k) for k in (1, 2)) > 0.5
    together = InteractiveSegmenter(FRAMES).add([box(), box(2, TWO)])
    assert (both == together).mean() > 0.99  # the first round's background is forgotten where the second box is
    np.testing.assert_array_equal(segmenter.undo(), first)
    assert (segmenter.add([box(2, TWO)]) == both).mean() > 0.999


def test_run_takes_boxes_too(tmp_path):
    for t, frame in enumerate(FRAMES):
        clips.write_frame(tmp_path / "clip" / f"{t:05d}.png", frame)
    (tmp_path / "boxes.json").write_text(json.dumps(to_davis([box(), box(2, TWO)], 8, "discs")))
    command = [
        "run",
        str(tmp_path / "clip"),
        "--scribbles",
        str(tmp_path / "boxes.json"),
        "--out",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert min(score(clips.read_mask(tmp_path / "out" / "00000.png"), k) for k in (1, 2)) > 0.5
