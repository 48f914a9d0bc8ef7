"""D alone on photographs' features: what it should see of a frame, and how it should learn.

    python -m vosnb.studies.photographs FOLDER --split dev

Settings are chosen here: FOLDER holds real clips that settings may be chosen on, and creatures of the val stream stand
beside them. Parts (`--part`, by default all):
"features": which maps of the backbone, whitened how, at which size, with a static target model;
"settings": of the optimiser, the samples and the memory, one turned at a time, with a model that is updated.

A run that was stopped goes on where it was (build/studies/). Writes data/results/target_photos.json: a row for each
setting and list of clips, with J, frames/s, the gain over the default, its 95 % paired interval, clips won and lost.
"""

import argparse
import json
from functools import partial

import torch
import torch.nn.functional as F

from vosnb import creatures
from vosnb.clips import Clip
from vosnb.datasets import load
from vosnb.efficientnet import of_one_length
from vosnb.features import Whitening
from vosnb.methods.refinement import UntrainedTargetNet
from vosnb.paths import RESULTS
from vosnb.studies.common import gains, rounded, write
from vosnb.trackers import make_tracker

KINDS = ("easy", "lookalike", "occlusion", "deformation", "light", "reappear")
FRAMES = 24


class Sees(UntrainedTargetNet):
    """D's features, put together otherwise: maps (0 is the deepest) at stride 8, and how they are normalised."""

    def __init__(self, maps=(0,), length: bool = False, floor: float = 0.03, whiten: bool = True):
        super().__init__()
        self.maps, self.length, self.floor, self.whitened = maps, length, floor, whiten

    def together(self, maps: list[torch.Tensor]) -> torch.Tensor:
        size = maps[0].shape[-2:]
        x = torch.cat([F.adaptive_avg_pool2d(maps[i], size) for i in self.maps], 1)
        return of_one_length(x) if self.length else x

    def begin(self, maps):
        x = self.together(maps)
        self.whiten = Whitening(x.shape[1], self.floor)
        cells = x.movedim(1, -1).flatten(0, -2)
        if self.whitened:
            self.whiten.fit(cells)
        else:
            self.whiten.mean.copy_(cells.mean(0))
            self.whiten.matrix.copy_(torch.diag(1 / cells.std(0)))

    def features(self, maps):
        return self.whiten(self.together(maps))


FEATURES = {
    "strides 8 and 4": {"net": {"maps": (0, 1)}},
    "strides 8, 4 and 2": {"net": {"maps": (0, 1, 2)}},
    "of one length": {"net": {"length": True}},
    "strides 8 and 4, of one length": {"net": {"maps": (0, 1), "length": True}},
    "each channel by itself": {"net": {"whiten": False}},
    "floor .003": {"net": {"floor": 0.003}},
    "floor .3": {"net": {"floor": 0.3}},
    "320 pixels": {"short_side": 320},
}
SETTINGS = {
    "c = 16": {"hidden": 16},
    "c = 64": {"hidden": 64},
    "K = 10": {"augmented": 10},
    "K = 20": {"augmented": 20},
    "8 Gauss-Newton steps": {"gauss_newton": 8},
    "lambda 3": {"regularisation": 3.0},
    "lambda 100": {"regularisation": 100.0},
    "lambda 300": {"regularisation": 300.0},
    "kappa_min .03": {"kappa": 0.03},
    "kappa_min .25": {"kappa": 0.25},
    "t_s = 1": {"update_every": 1},
    "t_s = 4": {"update_every": 4},
    "not updated": {"update_every": None},
    "eta .05": {"rate": 0.05},
    "eta .1": {"rate": 0.1},
    "first frame's share .25": {"first_minimum": 0.25},
    "first frame's share .5": {"first_minimum": 0.5},
    "labels as in the code": {"remember": "argmax"},
    "threshold .4": {"threshold": 0.4},
    "threshold .45": {"threshold": 0.45},
    "threshold .55": {"threshold": 0.55},
    "scale 6": {"scale": 6.0},
    "scale 24": {"scale": 24.0},
}


def maker(net: dict | None = None, threshold: float = 0.5, scale: float = 12.0, **turned):
    sees = Sees(**net or {})
    sees.THRESHOLD, sees.SCALE = threshold, scale
    return make_tracker("target-model", backbone="photos", net=sees, **turned)


PARTS = {"features": (FEATURES, {}), "settings": (SETTINGS, {"update_every": 2})}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of real clips, in DAVIS, YouTube-VOS or OVIS layout")
    parser.add_argument("--split", default="dev", help="a list of its clips that settings may be chosen on")
    parser.add_argument("--part", choices=PARTS, action="append", help="by default all")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lists = {
        given.split: [clip.only(1).subclip(0, min(len(clip), FRAMES)) for clip in load(given.folder, given.split)],
        "creatures": [
            creatures.generate(3_000_000 + k, kind, "val", (240, 240), FRAMES) for k, kind in enumerate(KINDS)
        ],
    }
    path, rows = RESULTS / "target_photos.json", []
    stored = json.loads(path.read_text())["rows"] if path.exists() else []
    for part in given.part or PARTS:
        for name, clips in lists.items():
            rows += tried(part, name, clips)
    rows = [row for row in stored if row["part"] not in (given.part or PARTS)] + rows
    write("target_photos", f"python -m vosnb.studies.photographs FOLDER --split {given.split}", rows)


def tried(part: str, name: str, clips: list[Clip]) -> list[dict]:
    turned, always = PARTS[part]
    makers = {what: partial(maker, **always | settings) for what, settings in turned.items()}
    found = gains(f"photographs-{part}-{name}", partial(maker, **always), makers, clips)
    return [rounded({"part": part, "list": name, "setting": what} | row) for what, row in found.items()]


if __name__ == "__main__":
    main()
