"""Learned starts against hand-made ones (S4): table 1 and figure 3, on clips of test-large.

    python -m vosnb.studies.one_shot

The weights of all rows are those of `vosnb train meta` and `vosnb train e-osvos` (data/weights/). What is tuned with
one rate gets the best one for its number of steps, searched on clips of the val stream. A run that was stopped goes on
where it was (build/studies/), and `--part` plays the rows of one of the two networks, so that both can run beside each
other. Writes data/results/one_shot.json, in which "study" says what a row is:

- "rate": a rate of the search.
- "table 1": J of a row, by difficulty, and what it gains over the row that it is compared with, clip by clip.
- "figure 3": J&F and frames/s against the steps T. Frames/s are all frames of a clip over all the time that it took,
  the tuning to its first frame included.
"""

import argparse
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch

from vosnb import creatures
from vosnb.benchmark import bench, interval
from vosnb.clips import Clip
from vosnb.datasets import load
from vosnb.paths import ROOT
from vosnb.studies.common import compared, rounded, speed, write

VAL_SEED = 50_000  # of the first clip for the search; those of split "val" are others
Rates = dict[int, float]  # the best one for so many steps
Rows = dict[str, tuple[str, str | None]]  # name: tracker, and the row that it is compared with
Curves = dict[str, dict[int, str]]  # name: tracker for each T
Records = dict[str, list[dict]]  # tracker: scores of each clip


def u_net(rates: Rates) -> tuple[Rows, Curves]:
    hand_made = {T: f"parent+finetune:steps={T}:rate={rate}" for T, rate in rates.items()}
    learned = {T: f"one-shot:steps={T}" for T in rates}
    online = {T: f"one-shot:steps={T}:online=true" for T in (5, 10, 50)}
    ten, neurons = "hand-made, 10 steps", "learned start, a rate for each neuron"
    rows = {f"hand-made, {T} steps": (hand_made[T], None) for T in (5, 10, 50, 100)}
    rows |= {
        "learned start, one rate": ("one-shot:weights=one-shot-one", ten),
        "learned start, a rate for each layer": ("one-shot:weights=one-shot-layer", ten),
        neurons: (learned[10], ten),
        "learned start, a rate for each neuron, 5 steps": (learned[5], "hand-made, 5 steps"),
        "batch norm": ("one-shot:weights=one-shot-batch", neurons),
        "Lovász": ("one-shot:weights=one-shot-lovasz", neurons),
        "second order": ("one-shot:weights=one-shot-second", neurons),
        "split broken": ("one-shot:weights=one-shot-all", neurons),
        "random transforms": ("one-shot:transforms=3", neurons),
        "online adaptation": (online[10], neurons),
    }
    return rows, {"hand-made": hand_made, "learned": learned, "learned, adapted online": online}


def mask_rcnn(rates: Rates) -> tuple[Rows, Curves]:
    hand_made = f"e-osvos-10:weights=e-osvos-parent:rate={rates[10]}:propagate=false"
    learned = {T: f"e-osvos-10:steps={T}" for T in (1, 5, 10, 20, 50)}
    online = {T: f"e-osvos-10-OnA:steps={T}" for T in (10, 50)}
    parent, plain, boxes = "Mask R-CNN, hand-made, 10 steps", "Mask R-CNN, learned, 10 steps", "+ box propagation"
    rows = {
        parent: (hand_made, None),
        plain: ("e-osvos-10:propagate=false", parent),
        boxes: (learned[10], plain),
        "+ online adaptation": (online[10], boxes),
        "e-osvos-50": (learned[50], boxes),
        "e-osvos-50-OnA": (online[50], "e-osvos-50"),
    }
    return rows, {"e-osvos": learned, "e-osvos, adapted online": online}


class Part(NamedTuple):
    """One of the two networks: what is tuned with one rate, for how many steps, the rates tried, and what is played."""

    parent: str
    steps: tuple[int, ...]
    rates: tuple[float, ...]
    played: Callable[[Rates], tuple[Rows, Curves]]


PARTS = {
    "u-net": Part("parent+finetune", (1, 3, 5, 10, 20, 50, 100), (0.02, 0.05, 0.1, 0.2, 0.4), u_net),
    "mask-rcnn": Part("e-osvos-10:weights=e-osvos-parent:propagate=false", (10,), (0.005, 0.01, 0.02, 0.04), mask_rcnn),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=160, help="no more than this many of test-large")
    parser.add_argument("--val", type=int, default=16, help="clips of the val stream for the search")
    parser.add_argument("--part", choices=PARTS, help="only play the rows of this network")
    given = parser.parse_args()
    torch.set_num_threads(1)
    clips = load("embedded", "test-large", limit=given.clips)
    searched, tables, figures = [], [], []
    for part in [given.part] if given.part else PARTS:
        rows, rates = search(part, given.val)
        table, curves = PARTS[part].played(rates)
        specs = [spec for spec, _ in table.values()] + [spec for curve in curves.values() for spec in curve.values()]
        records = play(f"one-shot-{part}", specs, clips)
        searched += rows
        tables += tabulate(table, records)
        figures += points(curves, records)
    if not given.part:
        command = f"python -m vosnb.studies.one_shot --clips {len(clips)} --val {given.val}"
        write("one_shot", command, [rounded(row) for row in searched + tables + figures])


def search(part: str, count: int) -> tuple[list[dict], Rates]:
    """What a part's parent reaches with each rate on so many val clips, and the best one for each number of steps."""
    kinds = list(creatures.DIFFICULTIES)
    clips = [creatures.generate(VAL_SEED + n, kinds[n % len(kinds)], "val") for n in range(count)]
    parent, steps, rates, _ = PARTS[part]
    tried = {(T, rate): f"{parent}:steps={T}:rate={rate}" for T in steps for rate in rates}
    records = play(f"one-shot-rates-{part}", tried.values(), clips)
    J = {key: mean(records[spec], "J") for key, spec in tried.items()}
    rows = [
        {"study": "rate", "tracker": parent, "T": T, "rate": rate, "clips": count, "J": J[T, rate]} for T, rate in tried
    ]
    return rows, {T: max(rates, key=lambda rate, T=T: J[T, rate]) for T in steps}


def play(run: str, specs: Iterable[str], clips: list[Clip]) -> Records:
    specs = list(dict.fromkeys(specs))
    results = bench(specs, clips, objects="first", json_path=ROOT / "build" / "studies" / f"{run}.json")
    return {spec: [record for record in results["clips"] if record["tracker"] == spec] for spec in specs}


def tabulate(table: Rows, records: Records) -> list[dict]:
    """A row for each row of the table and difficulty."""
    rows = []
    for row, (spec, against) in table.items():
        for kind in ["all", *dict.fromkeys(record["difficulty"] for record in records[spec])]:
            own = of_difficulty(kind, records[spec])
            found = {"study": "table 1", "row": row, "tracker": spec, "against": against, "difficulty": kind}
            found |= {"clips": len(own), **scores(own), "F": mean(own, "F"), "JF": mean(own, "JF")}
            if against:
                found |= compared(J_of(own), J_of(of_difficulty(kind, records[table[against][0]])))
            found |= {"start_s": mean(own, "start_s"), "fps": speed(own)}
            rows.append(found)
    return rows


def points(curves: Curves, records: Records) -> list[dict]:
    """A row for each point of the figure."""
    return [
        {"study": "figure 3", "curve": curve, "T": T, "tracker": spec, "clips": len(records[spec])}
        | scores(records[spec])
        | {"JF": mean(records[spec], "JF"), "fps": speed(records[spec], whole=True)}
        for curve, specs in curves.items()
        for T, spec in specs.items()
    ]


def of_difficulty(kind: str, records: list[dict]) -> list[dict]:
    return [record for record in records if kind in ("all", record["difficulty"])]


def scores(records: list[dict]) -> dict:
    """Mean J, and its interval over clips."""
    return dict(zip(("J", "J_low", "J_high"), (mean(records, "J"), *interval(J_of(records))), strict=True))


def J_of(records: list[dict]) -> np.ndarray:
    return np.array([record["J"] for record in records])


def mean(records: list[dict], key: str) -> float:
    return float(np.mean([record[key] for record in records]))


if __name__ == "__main__":
    main()
