"""What recurrences add to photographs' features (S2 section 2.2): space, time, and the controls.

    python -m vosnb.studies.st_rnn FOLDER --split dev

FOLDER holds real clips that settings may be chosen on; creatures of the val stream stand beside them, and toys, which
nothing learned from, all 240 pixels high. The ridge is solved on frame 0 and goes through the first 24 frames:
object 1, J. Parts (`--part`, by default all): "mask", solved on the whole mask; "strokes", on a robot's strokes, as a
user's first round; "settings", lambda of the mask's ridge, turned.

Trackers: "none" sees the backbone's maps; "rnn" and "st-rnn" see the recurrences' output beside them, and "alone" that
of the spatio-temporal one alone, as in the paper. Controls: "untrained" recurrences of the same size, and "deaf" ones,
K_d = K = 0 in the trained. A run that was stopped goes on where it was (build/studies/).

Writes data/results/st_rnn.json, where rows of other parts stay: a row for each tracker, and one for each step from one
tracker to another, with its gain, 95 % paired interval, clips won and lost.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from vosnb import creatures, toys
from vosnb.benchmark import bench
from vosnb.clips import Clip
from vosnb.datasets import load
from vosnb.efficientnet import load_photographs
from vosnb.features import load_weights
from vosnb.methods.ridge import Ridge
from vosnb.methods.robot import Robot
from vosnb.methods.scribbles import draw, select
from vosnb.methods.st_rnn import Recurrences, deaf, untrained
from vosnb.paths import RESULTS, ROOT
from vosnb.studies.common import gain_of, gains, rounded, write
from vosnb.studies.target import KINDS
from vosnb.trackers.interactive import at_pixels
from vosnb.trackers.ridge import RidgeTracker

FRAMES, CLIPS = 24, 8  # the second of creatures, and of toys
TRACKERS = {  # {name: its settings}; whatever a step begins with comes before what it leads to
    "none": {},
    "untrained": {"context": "st-rnn", "control": "untrained"},
    "deaf": {"context": "st-rnn", "control": "deaf"},
    "rnn": {"context": "rnn"},
    "st-rnn": {"context": "st-rnn"},
    "deaf alone": {"context": "st-rnn", "control": "deaf", "alone": True},
    "alone": {"context": "st-rnn", "alone": True},
}
STEPS = {  # {step: (before, after)}
    "space": ("none", "rnn"),
    "space and time": ("none", "st-rnn"),
    "time": ("rnn", "st-rnn"),
    "more features, untrained": ("none", "untrained"),
    "more features, deaf": ("none", "deaf"),
    "hearing": ("deaf", "st-rnn"),
    "training": ("untrained", "st-rnn"),
    "alone": ("none", "alone"),
    "alone, hearing": ("deaf alone", "alone"),
}
LAMBDAS = {f"lambda {lam:g}": {"lam": lam} for lam in (10.0, 30.0, 300.0, 1000.0)}
STROKES = {"lam": 10.0, "negatives": 10}  # as the interactive segmenter's


class Once:
    """The backbone, which looks at each frame once, for all trackers: these go through a clip one after the other."""

    def __init__(self):
        self.look, self.seen = load_photographs().maps, {}

    def __call__(self, image: torch.Tensor):
        key = image.numpy().tobytes()
        if key not in self.seen:
            if len(self.seen) >= FRAMES:
                self.seen.clear()
            self.seen[key] = self.look(image)
        return self.seen[key]


class StrokesTracker(RidgeTracker):
    """The ridge, solved on a robot's strokes on the first mask, and on `negatives` times as many background pixels."""

    def __init__(self, negatives: int = STROKES["negatives"], **ridge):
        super().__init__(**ridge)
        self.negatives = negatives

    def _add(self, frame, mask, ids):
        seen = self.features(self._fit(frame))[0]
        ink = draw(Robot().scribbles(mask[None], frame=0), mask.shape)
        if not (ink > 0).any():
            raise ValueError("the object is too small for a stroke")
        labels = select(ink, None, self.negatives * int((ink > 0).sum()), np.random.default_rng(0))
        y, x = np.nonzero(labels >= 0)
        Y = F.one_hot(torch.from_numpy(labels[y, x]).long()).T
        ridge = Ridge(len(seen), len(Y), self.device)
        ridge.add(at_pixels(seen, y, x, mask.shape), Y)
        self.W = ridge.solve(self.lam).float()


def made(kind: type[RidgeTracker], encoder: Once, control: str | None = None, **settings) -> RidgeTracker:
    """A ridge on photographs' features; control: what stands in the trained recurrences' place."""
    nets = {"untrained": untrained, "deaf": lambda: deaf(load_weights(Recurrences(), "st-rnn-photos"))}
    tracker = kind(backbone="photos", net=control and nets[control](), device="cpu", **settings)
    tracker.features.encoder = encoder
    return tracker


PARTS = {"mask": partial(made, RidgeTracker), "strokes": partial(made, StrokesTracker, lam=STROKES["lam"])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of real clips, in DAVIS, YouTube-VOS or OVIS layout")
    parser.add_argument("--split", default="dev", help="a list of its clips that settings may be chosen on")
    parser.add_argument("--part", choices=[*PARTS, "settings"], action="append", help="by default all")
    given = parser.parse_args()
    torch.set_num_threads(1)
    generated = [(3_000_000 + k, KINDS[k % len(KINDS)]) for k in range(CLIPS)]
    lists = {
        "creatures": lambda: [creatures.generate(seed, kind, "val", (240, 240), FRAMES) for seed, kind in generated],
        "toys": lambda: [toys.generate(seed, kind, frames=FRAMES) for seed, kind in generated],
        given.split: lambda: [shrunk(clip) for clip in load(given.folder, given.split)],
    }
    encoder = Once()
    for part in given.part or [*PARTS, "settings"]:
        for name, clips in lists.items():
            if part == "settings" and name == "toys":
                continue  # no setting is chosen on toys
            rows = chosen(name, clips(), encoder) if part == "settings" else compared(part, name, clips(), encoder)
            command = f"python -m vosnb.studies.st_rnn {Path(given.folder).name} --split {given.split}"
            write("st_rnn", command, merged(rows))


def shrunk(clip: Clip) -> Clip:
    """Object 1 of a clip in its first frames, 240 pixels high, decoded once."""
    clip = clip.only(1).subclip(0, min(len(clip), FRAMES)).resized(240)
    return Clip.from_arrays(clip.name, list(clip.frames), list(clip.masks), **clip.info)


def compared(part: str, name: str, clips: list[Clip], encoder: Once) -> list[dict]:
    """Rows of all trackers and steps on a list of clips."""
    makers = {what: partial(PARTS[part], encoder, **settings) for what, settings in TRACKERS.items()}
    kept = ROOT / "build" / "studies" / f"st-rnn-{part}-{name}.json"
    results, where = bench(makers, clips, objects="first", json_path=kept), {"part": part, "list": name}
    scores = {row["tracker"]: row for row in results["rows"] if row["difficulty"] == "all"}
    pairs = {(p["reference"], p["tracker"]): p for p in results["pairs"] if p["difficulty"] == "all"}
    rows = [
        where | {"tracker": what} | {key: row[key] for key in ("clips", "J", "J_low", "J_high")}
        for what, row in scores.items()
    ]
    for step, (before, after) in STEPS.items():
        J = {"clips": scores[after]["clips"], "J_before": scores[before]["J"], "J_after": scores[after]["J"]}
        rows.append(where | {"step": step, "before": before, "after": after} | J | gain_of(pairs[before, after]))
    return [rounded(row) for row in rows]


def chosen(name: str, clips: list[Clip], encoder: Once) -> list[dict]:
    """What each lambda gains over the tracker's own, without recurrences."""
    plain = PARTS["mask"]
    found = gains(
        f"st-rnn-settings-{name}",
        partial(plain, encoder),
        {what: partial(plain, encoder, **turned) for what, turned in LAMBDAS.items()},
        clips,
    )
    for row in found.values():
        del row["fps"]  # frames are looked at once, for all
    return [rounded({"part": "settings", "list": name, "setting": what} | row) for what, row in found.items()]


def merged(rows: list[dict]) -> list[dict]:
    """These rows, and those that are stored and were not made again."""
    path = RESULTS / "st_rnn.json"
    stored = json.loads(path.read_text())["rows"] if path.exists() else []
    again = {(row["part"], row["list"]) for row in rows}
    return [row for row in stored if (row["part"], row["list"]) not in again] + rows


if __name__ == "__main__":
    main()
