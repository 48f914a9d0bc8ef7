"""Does a tracker go by place? The same content, seen by memory and query at two places.

    python -m vosnb.studies.place

Two measures on clips of `twins`, object 1 alone. "moved apart": the first frame is one window of a larger frame, all
later ones another one, 48 pixels to the side; scored where both see, against windows that lie at the same place.
"rolled": the later frames are rolled by a quarter of their width. Pixels are those that the tracker looks at. Nothing
of an object's looks changes, so that what is lost is what the tracker took from places. Writes data/results/place.json.
"""

import argparse

import numpy as np
import torch

from vosnb import creatures
from vosnb.clips import Clip
from vosnb.metrics import jaccard
from vosnb.studies.common import compared, rounded, write
from vosnb.trackers import make_tracker, segment
from vosnb.trackers.base import Tracker

APART = 48  # pixels
WINDOWS = {"photos": (240, 424), "creatures": (128, 224)}  # (H, W) at which trackers look, by backbone
TRACKERS = {
    "matching": "creatures",
    "base-net": "creatures",
    "target-model": "creatures",
    "matching:backbone=photos": "photos",
    "matching+context:backbone=photos": "photos",
    "target-model:backbone=photos": "photos",
    "nearest": "photos",
}


def larger(backbone: str, count: int, frames: int = 20, first: int = 4_000_000) -> list[Clip]:
    """Clips of twins that are APART pixels wider than the tracker's window."""
    h, w = WINDOWS[backbone]
    return [creatures.generate(first + k, "twins", "test", (h, w + APART), frames).only(1) for k in range(count)]


def window(clip: Clip, first: int, later: int, width: int) -> Clip:
    """Columns first .. of frame 0 and columns later .. of all others, `width` of them."""
    begin = [first] + [later] * (len(clip) - 1)
    cut = [(f[:, x : x + width], m[:, x : x + width]) for f, m, x in zip(clip.frames, clip.masks, begin, strict=True)]
    return Clip.from_arrays(clip.name, [f for f, _ in cut], [m for _, m in cut])


def rolled(clip: Clip, by: int) -> Clip:
    """All frames but the first rolled to the right."""
    shift = [0] + [by] * (len(clip) - 1)
    frames, masks = ([np.roll(x, s, 1) for x, s in zip(part, shift, strict=True)] for part in (clip.frames, clip.masks))
    return Clip.from_arrays(clip.name, frames, masks)


def J_of(tracker: Tracker, clip: Clip, columns: slice = slice(None)) -> float:
    """Mean J of object 1 in these columns of the frames after the first, of those that show it there."""
    found = []
    for t, answer, _ in segment(tracker, clip):
        truth = clip.masks[t][:, columns] == 1
        if t and truth.any():
            found.append(jaccard(answer[:, columns] == 1, truth))
    return float(np.mean(found))


def losses(tracker: Tracker, clips: list[Clip], width: int) -> dict[str, np.ndarray]:
    """J of each clip: {"same place", "moved apart", "as it is", "rolled"}.

    The first two of clips whose target is, in frame 0, where both windows see; there alone they are scored.
    """
    found = {"same place": [], "moved apart": [], "as it is": [], "rolled": []}
    for clip in clips:
        target = clip.masks[0] == 1
        if target[:, APART:width].sum() > 0.9 * target.sum():
            found["same place"].append(J_of(tracker, window(clip, APART, APART, width), slice(0, width - APART)))
            found["moved apart"].append(J_of(tracker, window(clip, 0, APART, width), slice(0, width - APART)))
        whole = window(clip, 0, 0, width)
        found["as it is"].append(J_of(tracker, whole))
        found["rolled"].append(J_of(tracker, rolled(whole, width // 4)))
    return {name: np.array(values) for name, values in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=10)
    count = parser.parse_args().clips
    torch.set_num_threads(1)
    rows = []
    for name, backbone in TRACKERS.items():
        J = losses(make_tracker(name), larger(backbone, count), WINDOWS[backbone][1])
        for before, after in (("same place", "moved apart"), ("as it is", "rolled")):
            row = {"tracker": name, "measure": after, "clips": len(J[before])}
            row |= {"J_before": J[before].mean(), "J": J[after].mean()} | compared(J[after], J[before])
            rows.append(rounded(row))
    write("place", f"python -m vosnb.studies.place --clips {count}", rows)


if __name__ == "__main__":
    main()
