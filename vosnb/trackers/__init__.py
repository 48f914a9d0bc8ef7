"""One interface for everything that follows objects through a video, and a name for each way of doing it.

    tracker = make_tracker("matching", memory="first")
    tracker.start(frame, mask)            # RGB frame (H, W, 3) uint8, index mask (H, W): 0 background, 1..K, 255 void
    probabilities = tracker.step(frame)   # (K + 1, H, W) float32 on the CPU, sums to one, background first

`segment(tracker, clip)` does this for a whole clip.
"""

import difflib
import inspect
import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from vosnb.clips import Clip
from vosnb.trackers.base import Tracker
from vosnb.trackers.kernels import (
    GlobalKernelTracker,
    KernelASPPTracker,
    KernelTracker,
    LocalKernelTracker,
    NoKernelTracker,
)
from vosnb.trackers.matching import ContextTracker, MatchingTracker
from vosnb.trackers.mixed import AdaptedKernelTracker, SolvedTargetTracker
from vosnb.trackers.one_shot import (
    ConvolutionalTracker,
    EOSVOS50OnATracker,
    EOSVOS50Tracker,
    EOSVOSOnATracker,
    EOSVOSTracker,
    FinetunedParentTracker,
)
from vosnb.trackers.ridge import ContextRidgeTracker, RidgeTracker, VideoRidgeTracker
from vosnb.trackers.simple import HistogramTracker, StillTracker
from vosnb.trackers.target import (
    BaseNetTracker,
    CoarseTracker,
    FastTargetTracker,
    FinetunedBaseNetTracker,
    FixedTargetTracker,
    TargetTracker,
)
from vosnb.trackers.tricks import Ensemble

TRACKERS: dict[str, Callable[..., Tracker]] = {
    "still": StillTracker,
    "histogram": HistogramTracker,
    "matching": MatchingTracker,
    "matching+context": ContextTracker,
    "target-model": CoarseTracker,
    "frtm-static": FixedTargetTracker,
    "frtm": TargetTracker,
    "frtm-fast": FastTargetTracker,
    "base-net": BaseNetTracker,
    "base-net+finetune": FinetunedBaseNetTracker,
    "ridge": RidgeTracker,
    "ridge+rnn": ContextRidgeTracker,
    "ridge+st-rnn": VideoRidgeTracker,
    "kernels-none": NoKernelTracker,
    "kernels-global": GlobalKernelTracker,
    "kernels-local": LocalKernelTracker,
    "kernels": KernelTracker,
    "kernels+aspp": KernelASPPTracker,
    "one-shot": ConvolutionalTracker,
    "parent+finetune": FinetunedParentTracker,
    "e-osvos-10": EOSVOSTracker,
    "e-osvos-50": EOSVOS50Tracker,
    "e-osvos-10-OnA": EOSVOSOnATracker,
    "e-osvos-50-OnA": EOSVOS50OnATracker,
    "kernels+context": AdaptedKernelTracker,
    "frtm+ridge": SolvedTargetTracker,
}


def tracker_names() -> list[str]:
    """The names that `make_tracker` knows."""
    return list(TRACKERS)


def settings_of(tracker: Callable) -> list[str]:
    """The settings that a tracker takes: its own, and where it hands on others (`**`), those of the class below it."""
    if not inspect.isclass(tracker):
        return list(inspect.signature(tracker).parameters)
    names = []
    for kind in tracker.__mro__:
        own = inspect.signature(kind).parameters.values()
        names += [p.name for p in own if p.kind is not p.VAR_KEYWORD and p.name not in names]
        if all(p.kind is not p.VAR_KEYWORD for p in own):
            break
    return names


def parse_tracker(spec: str) -> tuple[str, dict]:
    """("matching", {"memory": "first", "every": 5}) from "matching:memory=first:every=5".

    Values are numbers, true, false, null, or else text. Raises ValueError for a spec that is not of this form.
    """
    name, *parts = spec.strip().split(":")
    settings = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not (name and key and equals and value):
            raise ValueError(f"tracker {spec!r} is not of the form NAME:SETTING=VALUE:SETTING=VALUE; mend {part!r}.")
        try:
            settings[key] = json.loads(value)
        except json.JSONDecodeError:
            settings[key] = value
    if not name:
        raise ValueError("a tracker without a name: give names separated by single commas, as in still,matching.")
    return name, settings


def make_tracker(name: str, flip: bool = False, scales: float | str | Sequence[float] = 1, **settings) -> Tracker:
    """A tracker by its name, with settings; raises ValueError on a name or a setting that it does not know.

    Several names with ++ in between are an ensemble: "matching++frtm". The settings are for all of them; each can have
    more of its own: "matching++matching@memory=first@short_side=160". flip, scales: tricks of
    `vosnb.trackers.tricks.Ensemble` that every tracker can use; several scales also as text, "1/1.25".
    """
    if not isinstance(flip, bool):
        raise ValueError(f"flip={flip!r} is neither true nor false; settings of one of several trackers come after @.")
    members = []
    for member in name.split("++"):
        kind, own = parse_tracker(member.replace("@", ":"))
        members.append(_make(kind, settings | own))
    try:
        scales = [float(scale) for scale in (scales.split("/") if isinstance(scales, str) else np.ravel(scales))]
    except ValueError:
        raise ValueError(f"scales={scales!r} are not numbers: write them as in 1/1.25.") from None
    if len(members) == 1 and not flip and scales == [1]:
        return members[0]
    return Ensemble(*members, flip=flip, scales=scales)


def _make(name: str, settings: dict) -> Tracker:
    if name not in TRACKERS:
        close = difflib.get_close_matches(name, TRACKERS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no tracker {name!r}: choose from {', '.join(TRACKERS)}.{hint}")
    known = settings_of(TRACKERS[name])
    if unknown := [key for key in settings if key not in known]:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise ValueError(f"tracker {name!r} has no setting {unknown[0]!r}: {takes}; all take flip and scales.")
    return TRACKERS[name](**settings)


def segment(tracker: Tracker, clip: Clip, start: int = 0) -> Iterator[tuple[int, np.ndarray, torch.Tensor | None]]:
    """Run a tracker over a clip; yields (t, index mask (H, W) uint8, probabilities (K + 1, H, W) or None at the start).

    Each object is given once, where it first appears (YouTube-VOS has objects that come later); its true mask is the
    answer there. start: the frame to go on with, for a tracker that has seen those before it.
    Raises ValueError when no frame of the clip is annotated.
    """
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
        if t in arrivals:
            new = np.where(np.isin(clip.masks[t], arrivals[t]), clip.masks[t], 0).astype(np.uint8)
            (tracker.add if tracker_started else tracker.start)(frame, new)
            answer = np.where(new > 0, new, answer)
        yield t, answer, probabilities
