"""Clips in cells: their size is that of the trackers, their groups follow species, and coverage adds up."""

import numpy as np
import pytest
import torch

from vosnb import creatures
from vosnb.clips import Clip
from vosnb.clips.masks import VOID
from vosnb.course.cells import coverage, groups, late_frames, to_cells, to_pixels, whole_cells
from vosnb.trackers import make_tracker


def make_clip(masks, **info):
    masks = [None if mask is None else np.asarray(mask, np.uint8) for mask in masks]
    height, width = masks[0].shape
    return Clip.from_arrays("made", np.zeros((len(masks), height, width, 3), np.uint8), masks, **info)


def mask_of(*boxes, size=(16, 24), empty=0):
    """An index mask: object k fills the k-th box (top, left, height, width)."""
    mask = np.full(size, empty, np.uint8)
    for k, (top, left, height, width) in enumerate(boxes, 1):
        mask[top : top + height, left : left + width] = k
    return mask


@pytest.mark.parametrize("size", [(128, 160), (130, 171), (480, 854), (854, 480), (100, 200), (10, 12)])
def test_whole_cells_are_those_of_the_trackers(size):
    clip = make_clip([mask_of((0, 0, 9, 9), size=size)])
    tracker = make_tracker("matching", device="cpu")
    fitted = whole_cells(clip, tracker.short_side)
    assert fitted.size == tuple(tracker._fit(clip.frames[0]).shape[-2:])
    assert fitted.frames[0].shape[:2] == fitted.masks[0].shape == fitted.size
    assert whole_cells(fitted, tracker.short_side) is fitted


def test_look_alikes_are_of_the_target_s_species():
    boxes = [(0, 0, 4, 4), (0, 8, 4, 4), (8, 0, 4, 4)]
    clip = make_clip([mask_of(*boxes)], species=[("fish", "dots", 0), ("newt", "plain", 1), ("fish", "dots", 0)])
    assert groups(clip) == {"object": [1], "look-alikes": [3], "others": [2], "ground": [0]}
    twins = creatures.generate(3, "twins", times=[0])
    assert groups(twins)["look-alikes"] == list(range(2, len(twins.info["species"]) + 1))


def test_where_no_species_is_known_all_others_of_frame_0_are_look_alikes():
    first = mask_of((0, 0, 4, 4), (0, 8, 4, 4))
    first[15] = 255
    later = mask_of((0, 0, 4, 4), (0, 8, 4, 4), (8, 0, 4, 4))
    assert groups(make_clip([first, later])) == {"object": [1], "look-alikes": [2], "others": [], "ground": [0]}


def test_coverage_is_the_share_of_pixels_of_each_cell_and_void_belongs_to_nobody():
    boxes = [(0, 0, 8, 12), (8, 16, 4, 8)]
    mask = mask_of(*boxes)
    mask[:8, 16:] = 255
    found = coverage(make_clip([mask]), 0)
    torch.testing.assert_close(found[0], torch.tensor([1, 0.5, 0, 0, 0, 0]))
    torch.testing.assert_close(found[1], torch.tensor([0, 0, 0, 0, 0, 0.5]))
    assert not found[2].any()
    torch.testing.assert_close(found.sum(0), torch.tensor([1.0, 1, 0, 1, 1, 1]))


def test_late_frames_are_the_last_in_which_the_target_shows_a_cell_of_pixels():
    seen, small, gone = mask_of((0, 0, 8, 8)), mask_of((0, 0, 8, 7)), mask_of((0, 0, 0, 0), (8, 8, 8, 8))
    clip = make_clip([seen, seen, None, seen, small, seen, gone, None])
    assert late_frames(clip) == [5]
    assert late_frames(clip, 2) == [3, 5]
    assert late_frames(clip, 9) == [1, 3, 5]
    assert late_frames(make_clip([seen, gone, small, None])) == [2]
    assert late_frames(make_clip([seen, None])) == [0]


def test_labels_go_to_cells_and_back_to_pixels():
    mask = np.zeros((16, 24), np.uint8)
    mask[:8, :8], mask[8:, 8:16], mask[8:, 16:] = 1, 2, VOID
    labels = to_cells(mask, (2, 3))
    assert labels.shape == (3, 6)
    torch.testing.assert_close(labels.sum(0), torch.ones(6))
    assert labels.argmax(0).tolist() == [1, 0, 0, 0, 2, 0]  # void is background
    pixels = to_pixels(labels, (2, 3), (16, 24))
    assert pixels.shape == (3, 16, 24) and pixels[:, 2, 2].argmax() == 1 and pixels[:, 14, 12].argmax() == 2
