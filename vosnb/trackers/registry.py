"""A name for each way of following objects: the trackers, by name and settings."""

import difflib
import inspect
import json
import re
from collections.abc import Callable, Sequence

import numpy as np

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
from vosnb.trackers.nearest import NearestTracker
from vosnb.trackers.one_shot import (
    ConvolutionalTracker,
    EOSVOS50OnATracker,
    EOSVOS50Tracker,
    EOSVOSOnATracker,
    EOSVOSTracker,
    FinetunedParentTracker,
)
from vosnb.trackers.replay import ReplayTracker
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
    "masks": ReplayTracker,
    "nearest": NearestTracker,
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


def split_spec(text: str, mark: str) -> list[str]:
    """The parts of a spec between marks; what stands in double quotes, as in folder="C:\\masks", is left whole."""
    return re.split(rf'{re.escape(mark)}(?=(?:[^"]*"[^"]*")*[^"]*$)', text)


def parse_tracker(spec: str) -> tuple[str, dict]:
    """("matching", {"memory": "first", "every": 5}) from "matching:memory=first:every=5".

    Values are numbers, true, false, null, or else text, which in double quotes may hold any character but these.
    Raises ValueError for a spec that is not of this form.
    """
    name, *parts = split_spec(_text(spec).strip(), ":")
    settings = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not (name and key and equals and value):
            raise ValueError(f"tracker {spec!r} is not of the form NAME:SETTING=VALUE:SETTING=VALUE; mend {part!r}.")
        if key in settings:
            raise ValueError(f"tracker {spec!r} is given {key} twice: leave one of them out.")
        if len(value) > 1 and value[0] == value[-1] == '"':  # as it stands: a backslash is a backslash
            settings[key] = value[1:-1]
            continue
        try:
            settings[key] = json.loads(value)
        except (ValueError, RecursionError):
            settings[key] = value
    if not name:
        raise ValueError("a tracker without a name: give names separated by single commas, as in still,matching.")
    return name, settings


def _text(spec) -> str:
    if not isinstance(spec, str):
        raise ValueError(f"a tracker is named by a text, as in 'matching:every=3', not by {spec!r}.")
    return spec


def make_tracker(name: str, flip: bool = False, scales: float | str | Sequence[float] = 1, **settings) -> Tracker:
    """A tracker by its name, with settings; raises ValueError on a name or a setting that it does not know.

    Several names with ++ in between are an ensemble: "matching++frtm". The settings are for all of them; each can have
    more of its own: "matching++matching@memory=first@short_side=160". flip, scales: tricks of
    `vosnb.trackers.tricks.Ensemble` that every tracker can use; several scales also as text, "1/1.25".
    """
    if not isinstance(flip, bool):
        raise ValueError(f"flip={flip!r} is neither true nor false; settings of one of several trackers come after @.")
    parsed = [parse_tracker(":".join(split_spec(member, "@"))) for member in split_spec(_text(name), "++")]
    members = [_make(kind, settings | own) for kind, own in parsed]
    try:
        scales = [float(scale) for scale in (scales.split("/") if isinstance(scales, str) else np.ravel(scales))]
    except (ValueError, TypeError):
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
    try:
        return TRACKERS[name](**settings)
    except ValueError as error:
        error.args = (f"tracker {name!r}: {error}",)
        raise
