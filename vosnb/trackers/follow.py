"""A tracker through a whole clip."""

from collections.abc import Iterator

import numpy as np
import torch

from vosnb.clips import VOID, Clip, object_ids
from vosnb.trackers.base import Tracker


def segment(
    tracker: Tracker, clip: Clip, start: int = 0, corrections: bool = False
) -> Iterator[tuple[int, np.ndarray, torch.Tensor | None]]:
    """Run a tracker over a clip; yields (t, index mask (H, W) uint8, probabilities (K + 1, H, W) or None at the start).

    Each object is given once, where it first appears (YouTube-VOS has objects that come later); its true mask is the
    answer there. Before the first object the answer is empty.
    start: the frame to go on with, for a tracker that has seen those before it and has heard of the clip (`about`).
    corrections: a later mask of objects that are known already corrects them: the answer is then `corrected`, and the
        tracker starts anew with it. An object that is not to be seen in that frame is followed no further, unless a
        later mask shows it. Not for benchmarks, whose later masks are the truth to be found.
    Raises ValueError when no frame of the clip is annotated.
    """
    if start == 0 and hasattr(tracker, "about"):  # a lesson's own may be no `Tracker`
        tracker.about(clip)
    arrivals: dict[int, list[int]] = {}
    for k, t in clip.appearances.items():
        arrivals.setdefault(t, []).append(k)
    if not arrivals:
        raise ValueError(f"clip {clip.name!r} has no mask to start from: annotate its first frame.")
    for t in range(start, len(clip)):
        frame, probabilities = clip.frames[t], None
        answer = np.zeros(frame.shape[:2], np.uint8)
        if tracker_started := t > min(arrivals):
            probabilities = tracker.step(frame)
            answer = probabilities.max(0).indices.to(torch.uint8).numpy()  # argmax(0) takes 25 times as long
        if corrections and tracker_started and corrected_objects(clip, t):
            answer = corrected(answer, clip.masks[t])
            if hasattr(tracker, "about"):
                tracker.about(clip.subclip(t))
            tracker.start(frame, answer)
        elif t in arrivals:
            new = np.where(np.isin(clip.masks[t], arrivals[t]), clip.masks[t], 0).astype(np.uint8)
            (tracker.add if tracker_started else tracker.start)(frame, new)
            answer = np.where(new > 0, new, answer)
        yield t, answer, probabilities


def corrected_objects(clip: Clip, t: int) -> list[int]:
    """The objects that the mask of frame t shows and that are known before it."""
    mask = clip.masks[t]
    return [] if mask is None else [k for k in object_ids(mask) if clip.appearances[k] < t]


def corrected(answer: np.ndarray, given: np.ndarray) -> np.ndarray:
    """A tracker's answer (H, W) with a mask that was given: the objects that this one shows are where it shows them.

    Where it is void, and for objects that it does not show, the tracker's answer stays; so that all of a clip's objects
    need not be drawn again to correct one.
    """
    others = np.where(np.isin(answer, object_ids(given)), 0, answer)
    return np.select([given == VOID, given > 0], [answer, given], others).astype(np.uint8)
