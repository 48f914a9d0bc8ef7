"""Kernels that the object writes (S3): tables 2 and 3, on clips of test-large.

    python -m vosnb.studies.kernels

Each row of table 2 is trained with three seeds by `vosnb train dynamic-kernels`, each time on the same clips and for as
long; what is trained already stays in build/kernels/. A run that was stopped goes on where it was (build/studies/), and
`--seed` does the part of one seed, so that seeds can run beside each other. Writes data/results/kernels.json:

- "table 2": J of each row, and what it gains over the row without kernels on the same clips and seeds. Intervals are
  over clips and seeds: both are drawn anew.
- "matcher": the same for the shipped weights, as they are and with flip, against the matcher.
- "table 3": flip, scales and an ensemble of two backbones, against the plain tracker, on the first clips.

Frames/s are those of the same runs, in which trackers take turns clip by clip: what they say of each other is fair even
where other work ran beside them.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vosnb.benchmark import RESAMPLES, bench
from vosnb.clips import Clip
from vosnb.datasets import load
from vosnb.paths import ROOT
from vosnb.studies.common import compared, rounded, speed, write
from vosnb.trackers import make_tracker
from vosnb.training.dynamic_kernels import name_of, train

ROWS = {
    "none": ("none", False),
    "global": ("global", False),
    "local": ("local", False),
    "both": ("both", False),
    "both + ASPP": ("both", True),
}
SEEDS = (0, 1, 2)
SHIPPED = 0  # the seed whose weights are in data/weights/
TRICKS = {  # rows of table 3
    "plain": "kernels",
    "flip": "kernels:flip=true",
    "flip, scales": "kernels:flip=true:scales=1/1.25",
    "ensemble": "kernels++kernels@weights=kernels-shallow",
    "ensemble, flip, scales": "kernels++kernels@weights=kernels-shallow:flip=true:scales=1/1.25",
}
STUDIES = ROOT / "build" / "studies"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=160, help="no more than this many of test-large")
    parser.add_argument("--tricks", type=int, default=24, help="clips for table 3")
    parser.add_argument("--seed", type=int, choices=SEEDS, help="only train and play the rows of this seed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    clips = load("embedded", "test-large", limit=given.clips)
    if given.seed is not None:
        play(given.seed, clips)
        return
    records = [play(seed, clips) for seed in SEEDS]
    rows = table_2(records) + against_matcher(records[SHIPPED]["both"], clips) + table_3(clips[: given.tricks])
    write("kernels", f"python -m vosnb.studies.kernels --clips {len(clips)} --tricks {given.tricks}", rows)


def weights_of(row: str, seed: int) -> Path:
    """Where the weights of a row and a seed are; trained first if they are not there."""
    kernels, aspp = ROWS[row]
    path = ROOT / "build" / "kernels" / f"{name_of(kernels, aspp)}-s{seed}.safetensors"
    return path if path.exists() else train(kernels, aspp, seed=seed, out=path)


def play(seed: int, clips: list[Clip]) -> dict[str, dict]:
    """The scores of a seed: {row: {clip: record}}."""
    makers = {row: partial(make_tracker, "kernels", weights=str(weights_of(row, seed))) for row in ROWS}
    results = bench(makers, clips, objects="first", json_path=STUDIES / f"kernels-s{seed}.json")
    found = {row: {} for row in ROWS}
    for record in results["clips"]:
        found[record["tracker"]][record["clip"]] = record
    return found


def crossed_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The bootstrap interval of the mean of values (S, N) of S seeds and N clips: both are drawn with replacement."""
    r = np.random.default_rng(0)
    seeds, clips = (r.integers(n, size=(RESAMPLES, n)) for n in values.shape)
    means = np.take_along_axis(values[seeds].mean(1), clips, 1).mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def table_2(records: list[dict[str, dict]]) -> list[dict]:
    """A row for each row and difficulty; won and lost count clips, each by its mean over seeds."""
    difficulty = {name: record["difficulty"] for name, record in records[0]["none"].items()}
    rows = []
    for kind in ["all", *dict.fromkeys(difficulty.values())]:
        names = [name for name in difficulty if kind in ("all", difficulty[name])]
        J = {row: np.array([[seed[row][name]["J"] for name in names] for seed in records]) for row in ROWS}
        for row in ROWS:
            gains = J[row] - J["none"]
            fps = speed([seed[row][name] for seed in records for name in names])
            (J_low, J_high), (low, high) = crossed_interval(J[row]), crossed_interval(gains)
            found = {"study": "table 2", "row": row, "tracker": name_of(*ROWS[row]), "difficulty": kind}
            found |= {"clips": len(names), "seeds": len(records), "J": J[row].mean(), "J_low": J_low, "J_high": J_high}
            found |= {"gain": gains.mean(), "low": low, "high": high}
            found |= {"won": int((gains.mean(0) > 0).sum()), "lost": int((gains.mean(0) < 0).sum())}
            rows.append(rounded(found | {"fps": fps, "by_seed": gains.mean(1).tolist()}))
    return rows


def against_matcher(kernels: dict[str, dict], clips: list[Clip]) -> list[dict]:
    """The shipped kernels, {clip: record}, against the matcher, by difficulty: as they are, with flip, and both so."""

    def scored(run: str, spec: str) -> dict[str, dict]:
        results = bench([spec], clips, objects="first", json_path=STUDIES / f"kernels-{run}.json")
        return {record["clip"]: record for record in results["clips"]}

    plain, flipped = scored("matcher", "matching"), scored("flip", TRICKS["flip"])
    pairs = {
        "plain": (kernels, plain),
        "flip": (flipped, plain),
        "flip, matcher too": (flipped, scored("matcher-flip", "matching:flip=true")),
    }
    rows = []
    for row, (after, before) in pairs.items():
        for kind in ["all", *dict.fromkeys(record["difficulty"] for record in plain.values())]:
            names = [name for name, record in plain.items() if kind in ("all", record["difficulty"])]
            J, J_matching = (np.array([records[name]["J"] for name in names]) for records in (after, before))
            found = {"study": "matcher", "row": row, "difficulty": kind, "clips": len(names)}
            found |= {"J_matching": J_matching.mean(), "J": J.mean()}
            rows.append(rounded(found | compared(J, J_matching)))
    return rows


def table_3(clips: list[Clip]) -> list[dict]:
    """Tricks at inference, against the tracker without them."""
    results = bench(list(TRICKS.values()), clips, objects="first", json_path=STUDIES / "kernels-tricks.json")
    records = {spec: [r for r in results["clips"] if r["tracker"] == spec] for spec in TRICKS.values()}
    J = {spec: np.array([record["J"] for record in found]) for spec, found in records.items()}
    rows = []
    for row, spec in TRICKS.items():
        found = {"study": "table 3", "row": row, "tracker": spec, "clips": len(clips), "J": J[spec].mean()}
        found |= compared(J[spec], J[TRICKS["plain"]])
        rows.append(rounded(found | {"fps": speed(records[spec])}))
    return rows


if __name__ == "__main__":
    main()
