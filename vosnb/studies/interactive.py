"""Rounds of correction by a robot: what each part of S2 is worth, and two of its settings.

    python -m vosnb.studies.interactive

Eight rounds on every clip of test-large, with object 1 alone and, on fewer clips, with all objects; then lambda, on
clips of the val stream. A run that was stopped goes on where it was (build/studies/). Writes data/results/
interactive.json and interactive_settings.json: a row for each variant and difficulty, with J after each round, its mean
over rounds, DAVIS's AUC and J&F@60s, and what that mean and the AUC gain over those of the row's reference, with 95 %
paired intervals. (Our rounds take hundredths of a second of DAVIS's 240: AUC is all but J&F after the last round.)
"""

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from vosnb import creatures
from vosnb.benchmark import interval
from vosnb.clips import Clip
from vosnb.datasets import load
from vosnb.methods.robot import Robot
from vosnb.paths import ROOT
from vosnb.studies.common import write
from vosnb.trackers.interactive import InteractiveSegmenter
from vosnb.trackers.session import InteractiveSession, Round, curve

VARIANTS = {  # name: settings of the segmenter
    "ridge": {"parts": (("none", "metric"),)},
    "ridge, as many negatives as positives": {"parts": (("none", "metric"),), "negatives": 1},
    "ridge+rnn": {"parts": (("rnn", "metric"),)},
    "ridge+st-rnn": {"parts": (("st-rnn", "metric"),)},
    "ridge+st-rnn, two backbones": {"parts": (("st-rnn", "metric"), ("none", "matching"))},
    "ridge+st-rnn, two backbones, propagated": {
        "parts": (("st-rnn", "metric"), ("none", "matching")),
        "propagated": 0.5,
    },
}
CONFUSED = ("lookalike", "twins")  # S2's aim, taken together
CURVES = {"lam": (0.01, 1.0, 10.0, 100.0, 1000.0, 1e4), "negatives": (1, 3, 10, 30)}  # settings turned
ROUNDS = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, help="no more than this many of test-large")
    parser.add_argument("--multi", type=int, default=24, help="clips on which all objects are followed")
    parser.add_argument("--val", type=int, default=3, help="clips for the settings, of each of four difficulties")
    given = parser.parse_args()
    torch.set_num_threads(1)
    clips = load("embedded", "test-large", limit=given.clips)
    rows = []
    for objects, some in (("first", [clip.only(1) for clip in clips]), ("all", clips[: given.multi])):
        records = play_all(f"interactive-{objects}", some, VARIANTS)
        rows += [{"objects": objects} | row for row in tabulate(records, reference="ridge")]
    command = "python -m vosnb.studies.interactive"
    write("interactive", command, rows)
    kinds = ("easy", "lookalike", "twins", "deformation")
    val = [creatures.generate(3_000_000 + k, kind, "val", (128, 128), 24) for k in range(given.val) for kind in kinds]
    val = [clip.only(1) for clip in val]
    rows = []
    for setting, values in CURVES.items():
        turned = {
            f"{name}, {value:g}": VARIANTS[name] | {setting: value}
            for name in ("ridge", "ridge+st-rnn")
            for value in values
        }
        records = play_all(f"interactive-{setting}", val, turned)
        found = tabulate(records, reference="ridge, 10")  # the default of both
        rows += [{"study": setting} | row for row in found if row["difficulty"] == "all"]
    write("interactive_settings", command, rows)


def play(clip: Clip, name: str, settings: dict) -> dict:
    """A robot's rounds on a clip: a record of J, F and seconds of each; the features count to the first round."""
    began = time.perf_counter()
    segmenter = InteractiveSegmenter(clip.frames, **settings)
    before = time.perf_counter() - began
    played = InteractiveSession(clip, segmenter, Robot(), ROUNDS).run()
    seconds = [row.seconds + before * (row.round == 1) for row in played]
    record = {"variant": name, "clip": clip.name, "difficulty": clip.info["difficulty"]}
    return record | {"J": [row.J for row in played], "F": [row.F for row in played], "seconds": seconds}


def play_all(run: str, clips: list[Clip], variants: dict[str, dict]) -> list[dict]:
    """Records of all variants on all clips, two at a time; those of build/studies/RUN.jsonl are not played again."""
    kept = ROOT / "build" / "studies" / f"{run}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    records = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(record["clip"], record["variant"]) for record in records}
    with kept.open("a") as file, ProcessPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for clip in tqdm(clips, run):
            held = Clip.from_arrays(clip.name, list(clip.frames), list(clip.masks), **clip.info)  # lazy ones stay here
            left = {name: settings for name, settings in variants.items() if (clip.name, name) not in done}
            for record in pool.map(partial(play, held), left, left.values()):
                print(json.dumps(record), file=file, flush=True)
                records.append(json.loads(json.dumps(record)))
    order = {name: n for n, name in enumerate(variants)}
    return sorted((r for r in records if r["variant"] in order), key=lambda record: order[record["variant"]])


def tabulate(records: list[dict], reference: str) -> Iterator[dict]:
    """A row for each variant over all clips, over those of `CONFUSED`, and over those of each difficulty."""
    kinds = list(dict.fromkeys(record["difficulty"] for record in records))
    groups = {"all": kinds, "+".join(CONFUSED): CONFUSED} | {kind: (kind,) for kind in kinds}
    for group, members in groups.items():
        some = [record for record in records if record["difficulty"] in members]
        base = {record["clip"]: record for record in some if record["variant"] == reference}
        for variant in dict.fromkeys(record["variant"] for record in some):
            its = [record for record in some if record["variant"] == variant]
            pairs = [(record, base[record["clip"]]) for record in its]
            gains = np.array([np.mean(by_round(one)) - np.mean(by_round(other)) for one, other in pairs])
            areas = np.array([curve([rounds(one)]).auc - curve([rounds(other)]).auc for one, other in pairs])
            line = curve([rounds(record) for record in its])
            J = np.mean([by_round(record) for record in its], 0)
            row = {"variant": variant, "difficulty": group, "clips": len(its), "J": J.round(4).tolist()}
            row |= {"mean_J": J.mean(), "AUC": line.auc, "JF60": line.at(60), "reference": reference}
            row |= dict(zip(("gain", "low", "high"), (gains.mean(), *interval(gains)), strict=True))
            row |= {"won": int((gains > 0).sum()), "lost": int((gains < 0).sum())}
            row |= dict(zip(("AUC_gain", "AUC_low", "AUC_high"), (areas.mean(), *interval(areas)), strict=True))
            row |= {"round_seconds": np.median([s for record in its for s in record["seconds"][1:]])}
            yield {name: round(float(v), 4) if isinstance(v, float | np.floating) else v for name, v in row.items()}


def rounds(record: dict) -> list[Round]:
    """A record as the session's rows, for the curve of J&F against seconds."""
    parts = zip(record["J"], record["F"], record["seconds"], strict=True)
    return [Round(n + 1, 0, seconds, tuple(J), tuple(F)) for n, (J, F, seconds) in enumerate(parts)]


def by_round(record: dict) -> list[float]:
    """J after each of eight rounds, mean over objects; a session that had nothing more to correct keeps its last."""
    J = [float(np.mean(of_objects)) for of_objects in record["J"]]
    return J + J[-1:] * (ROUNDS - len(J))


if __name__ == "__main__":
    main()
