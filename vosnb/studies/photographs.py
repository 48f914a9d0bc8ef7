"""S1 on photographs' features: what D should see of a frame, how it should learn, and what that costs.

    python -m vosnb.studies.photographs FOLDER --split dev

Settings are chosen here: FOLDER holds real clips that settings may be chosen on, and creatures of the val stream stand
beside them. Parts (`--part`, by default all):
"features": which maps of the backbone, whitened how, at which size, for D alone, learned on frame 0;
"settings": of the optimiser, the samples and the memory of `frtm`, one turned at a time;
"tuning": the base net tuned to frame 0, at several rates, on every third clip: it takes its time;
"cost": seconds of frame 0 and frames/s of S1's trackers and of all on the scoreboard, with as many threads as torch
    takes; nothing else should run then.

A run that was stopped goes on where it was (build/studies/). Writes data/results/target_photos.json, where rows of
other parts stay: a row for each setting and list of clips, with J, frames/s, the gain over the default, its 95 % paired
interval, clips won and lost.
"""

import argparse
import json
import time
from functools import partial

import torch

from vosnb import creatures, toys
from vosnb.clips import Clip
from vosnb.datasets import load
from vosnb.efficientnet import of_one_length
from vosnb.methods.refinement import UntrainedTargetNet
from vosnb.paths import RESULTS
from vosnb.studies.common import gains, rounded, write
from vosnb.studies.target import KINDS
from vosnb.trackers import make_tracker

FRAMES = 24


class Sees(UntrainedTargetNet):
    """D's features, put together otherwise: maps (0 is the deepest) at stride 8, and how they are normalised."""

    def __init__(self, maps=(0, 1, 2), length: bool = False, floor: float = 0.03, whiten: bool = True):
        super().__init__()
        self.maps, self.length, self.FLOOR, self.whitened = maps, length, floor, whiten

    def together(self, maps: list[torch.Tensor]) -> torch.Tensor:
        x = super().together([maps[i] for i in self.maps])
        return of_one_length(x) if self.length else x

    def begin(self, maps):
        super().begin(maps)
        if not self.whitened:
            cells = self.together(maps).movedim(1, -1).flatten(0, -2)
            self.whiten.matrix.copy_(torch.diag(1 / cells.std(0)))


FEATURES = {  # {what is turned: settings of `sees`}
    "stride 8 alone": {"maps": (0,)},
    "strides 8 and 4": {"maps": (0, 1)},
    "of one length": {"length": True},
    "each channel by itself": {"whiten": False},
    "floor .003": {"floor": 0.003},
    "floor .3": {"floor": 0.3},
    "320 pixels": {"short_side": 320},
    "c = 32": {"hidden": 32},
    "K = 5": {"augmented": 5},
    "K = 20": {"augmented": 20},
}
SETTINGS = {  # of `frtm`
    "not updated": {"update_every": None},
    "t_s = 1": {"update_every": 1},
    "t_s = 4": {"update_every": 4},
    "eta .05": {"rate": 0.05},
    "eta .2": {"rate": 0.2},
    "first frame's share .25": {"first_minimum": 0.25},
    "first frame's share .5": {"first_minimum": 0.5},
    "labels as in the code": {"remember": "argmax"},
    "updates by 10 CG iterations": {"update_iterations": 10},
    "lambda 3": {"regularisation": 3.0},
    "lambda 300": {"regularisation": 300.0},
    "kappa_min .03": {"kappa": 0.03},
    "kappa_min .25": {"kappa": 0.25},
    "8 Gauss-Newton steps": {"gauss_newton": 8},
    "c = 32": {"hidden": 32},
    "c = 128": {"hidden": 128},
    "K = 5": {"augmented": 5},
    "K = 20": {"augmented": 20},
    "320 pixels": {"short_side": 320},
}
RATES = {f"100 steps at {rate:g}": {"learning_rate": rate} for rate in (1e-4, 3e-4, 1e-3, 3e-3)}
ON_PHOTOS = ("matching", "matching+context", "target-model", "frtm-static", "frtm", "frtm-fast", "base-net")
COSTS = (  # as in worlds.json: all on the scoreboard, and S1's others
    *("still", "histogram", "nearest", "target-model:backbone=photos:update_every=2"),
    *(f"{name}:backbone=photos" for name in ON_PHOTOS),
)
SIZE, TIMED = (240, 432), 20  # pixels; frames


def sees(maps=(0, 1, 2), length=False, floor=0.03, whiten=True, **turned):
    """D alone, with a threshold of one half."""
    net = Sees(maps, length, floor, whiten)
    return make_tracker("target-model", backbone="photos", net=net, **turned)


def s1(name: str, **turned):
    return make_tracker(name, backbone="photos", **turned)


PARTS = {  # {part: (default, what is made, with which settings turned, every how manieth clip)}
    "features": (sees, sees, FEATURES, 1),
    "settings": (partial(s1, "frtm"), partial(s1, "frtm"), SETTINGS, 1),
    "tuning": (partial(s1, "base-net"), partial(s1, "base-net+finetune"), RATES, 3),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of real clips, in DAVIS, YouTube-VOS or OVIS layout")
    parser.add_argument("--split", default="dev", help="a list of its clips that settings may be chosen on")
    parser.add_argument("--part", choices=[*PARTS, "cost"], action="append", help="by default all")
    given = parser.parse_args()
    parts, rows = given.part or [*PARTS, "cost"], []
    if "cost" in parts:
        rows += costs()
    torch.set_num_threads(1)
    real = [clip.only(1).subclip(0, min(len(clip), FRAMES)) for clip in load(given.folder, given.split)]
    made = [creatures.generate(3_000_000 + k, kind, "val", (240, 240), FRAMES) for k, kind in enumerate(KINDS)]
    for part in parts:
        if part in PARTS:
            rows += tried(part, given.split, real) + tried(part, "creatures", made)
    path = RESULTS / "target_photos.json"
    stored = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = [row for row in stored if row["part"] not in parts] + rows
    write("target_photos", f"python -m vosnb.studies.photographs FOLDER --split {given.split}", rows)


def tried(part: str, name: str, clips: list[Clip]) -> list[dict]:
    """What each setting of a part gains on these clips."""
    default, made, turned, every = PARTS[part]
    makers = {what: partial(made, **settings) for what, settings in turned.items()}
    found = gains(f"photographs-{part}-{name}", default, makers, clips[::every])
    return [rounded({"part": part, "list": name, "setting": what} | row) for what, row in found.items()]


def costs() -> list[dict]:
    """Of a toy at 240 x 432: seconds of frame 0, and frames/s of the others."""
    clip, rows = toys.generate(0, "easy", size=SIZE, frames=TIMED + 1).only(1), []
    for name in COSTS:
        tracker = make_tracker(name)
        tracker.start(clip.frames[0], clip.first_mask)  # what is loaded or built at a first call is not counted
        tracker.step(clip.frames[1])
        began = time.perf_counter()
        tracker.start(clip.frames[0], clip.first_mask)
        started = time.perf_counter()
        for frame in clip.frames[1:]:
            tracker.step(frame)
        fps = TIMED / (time.perf_counter() - started)
        about = {"threads": torch.get_num_threads(), "start_s": started - began, "fps": fps}
        rows.append(rounded({"part": "cost", "list": "toys", "setting": name} | about))
    return rows


if __name__ == "__main__":
    main()
