"""The clip that tests of layouts write and read, and what it means to get the same one back."""

import numpy as np

from vosnb.clips import Clip, masks


def make_clip(name="pond", frames=12, size=(40, 60), late=5, **info) -> Clip:
    """Object 1 moves to the right from the start, object 2 appears at frame `late`, a strip at the bottom is void."""
    h, w = size
    pictures = np.zeros((frames, h, w, 3), np.uint8)
    ids = np.zeros((frames, h, w), np.uint8)
    for t in range(frames):
        pictures[t] = np.linspace(20, 200, w).astype(np.uint8)[None, :, None] // 2 + 8 * t
        ids[t, 5:15, 2 + t : 14 + t] = 1
        if t >= late:
            ids[t, 20:32, 30:45] = 2
        ids[t, -3:] = masks.VOID
    return Clip.from_arrays(name, pictures, ids, **info)


def assert_same(clip: Clip, other: Clip, void=True, loss=6):
    """Equal masks (void taken for background if a layout cannot hold it), and frames within what JPEG loses."""
    assert len(clip) == len(other) and clip.size == other.size
    for t in range(len(other)):
        mask = other.masks[t] if void else np.where(other.masks[t] == masks.VOID, 0, other.masks[t])
        np.testing.assert_array_equal(clip.masks[t], mask)
        assert clip.masks[t].dtype == np.uint8 and clip.frames[t].dtype == np.uint8
        assert np.abs(clip.frames[t].astype(int) - other.frames[t]).mean() < loss
