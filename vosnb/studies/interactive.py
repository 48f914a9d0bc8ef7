"""Rounds of correction by a robot, in three worlds: what S2 as printed reaches, and what each part of ours is worth.

    python -m vosnb.studies.interactive --real ../davis16 --split report --split lookalikes_report

Eight rounds on every clip. Settings were chosen on other clips (data/weights/README.md). A run that was stopped goes on
where it was (build/studies/). Writes data/results/interactive.json: of each list of clips a row for each variant, with
J and J&F after each round, the mean of J&F over the rounds (the area under them, `mean_JF`), DAVIS's AUC and J&F@60s,
seconds of an answer and of its propagation, the share of painted pixels that keep their label, corrected frames that a
later round made worse, and what `mean_JF` gains over the reference, with its 95 % paired interval. (Our rounds take a
second or two of DAVIS's 240: AUC is all but J&F after the last round.) With `--world` or `--list`, other rows stay.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vosnb.clips import Clip
from vosnb.clips.scribbles import Scribble
from vosnb.datasets import load
from vosnb.methods.robot import Robot
from vosnb.methods.scribbles import NO_INK, draw
from vosnb.metrics import jaccard
from vosnb.paths import RESULTS, ROOT
from vosnb.studies.common import compared, rounded, write
from vosnb.trackers.interactive import PHOTOS, ClipFeatures, InteractiveSegmenter, PaperSegmenter
from vosnb.trackers.session import InteractiveSession, Round, curve

ROUNDS, FRAMES = 8, 20
LISTS = {  # {world: {list: (split, difficulties, clips, objects)}}
    "toys": {
        "easy": ("test-large", ["easy"], 6, "first"),
        "twins": ("test-large", ["twins"], 6, "first"),
        "several objects": ("test-large", None, 3, "all"),
    },
    "creatures": {"all": ("test-large", None, 6, "first")},
}


class Unhanded(InteractiveSegmenter):
    """Painted frames alone: nothing is carried to the others."""

    def finish(self):
        return self.masks


VARIANTS = {  # {name: (class, its settings)}
    "ours": (InteractiveSegmenter, {}),
    "without propagation": (Unhanded, {}),
    "S2 as printed": (PaperSegmenter, {"negatives": 1, "propagated": 0.5}),
    "S2, two backbones": (PaperSegmenter, {"negatives": 1, "parts": (PHOTOS, ("none", "matching")), "propagated": 0.5}),
}
REFERENCE = "S2 as printed"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", help="folder of clips in DAVIS, YouTube-VOS or OVIS layout")
    parser.add_argument("--split", action="append", help="a list of its clips; may be given several times")
    parser.add_argument("--world", action="append", choices=[*LISTS, "real"], help="by default all")
    parser.add_argument("--list", action="append", help="of clips; by default all")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="by default all")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    given = parser.parse_args()
    worlds = given.world or [*LISTS, *(["real"] if given.real else [])]
    if "real" in worlds and not given.real:
        parser.error("real clips lie in a folder: give it with --real.")
    variants, rows = given.variant or [*VARIANTS], []
    for world in worlds:
        lists = LISTS.get(world) or {split: (split, None, None, "first") for split in given.split or ["val"]}
        for name, (split, difficulties, count, objects) in lists.items():
            if name not in (given.list or [name]):
                continue
            source = given.real if world == "real" else world
            clips = [c for c in load(source, split) if difficulties is None or c.info["difficulty"] in difficulties]
            clips = clips[:: max(1, len(clips) // count)][:count] if count else clips  # of all difficulties
            clips = [clip.only(1) if objects == "first" else clip for clip in clips]
            clips = [clip.subclip(0, min(len(clip), FRAMES)) for clip in clips]
            records = play_all(f"interactive-{world}-{name}", clips, variants, given.jobs)
            rows += [{"world": world, "list": name, **row} for row in tabulate(records)]
    path = RESULTS / "interactive.json"
    stored = json.loads(path.read_text())["rows"] if path.exists() else []
    named = {(r["world"], r["list"], r["variant"]): r for r in [*stored, *rows]}
    lists = "".join(f" --split {split}" for split in given.split or [])
    real = f" --real {Path(given.real).name}{lists}" if given.real else ""
    write("interactive", f"python -m vosnb.studies.interactive{real}", list(named.values()))


class Watched:
    """A segmenter, and what became of painted pixels and of corrected frames from round to round."""

    def __init__(self, segmenter, truth: np.ndarray):
        self.segmenter, self.truth, self.drawn = segmenter, truth, []
        self.honoured, self.lowered, self.known = [], 0, {}

    def add(self, scribbles: list[Scribble]) -> np.ndarray:
        self.drawn += scribbles
        return self.segmenter.add(scribbles)

    def finish(self) -> np.ndarray:
        masks = self.segmenter.finish()
        self.look(masks)
        return masks

    def look(self, masks: np.ndarray) -> None:
        kept = []
        for t in sorted({s.frame for s in self.drawn}):
            ink = draw([s for s in self.drawn if s.frame == t], masks.shape[1:])
            kept.append((masks[t] == ink)[ink != NO_INK])
            J = np.mean([jaccard(self.truth[t] == k, masks[t] == k) for k in np.unique(self.truth[t]) if k])
            self.lowered += self.known.get(t, 0) - 1e-6 > J
            self.known[t] = J
        self.honoured.append(float(np.concatenate(kept).mean()))


def play(clip: Clip, name: str) -> dict:
    """A robot's rounds on a clip: a record of J, F and seconds of each; the features count to the first round."""
    torch.set_num_threads(1)
    made, settings = VARIANTS[name]
    began = time.perf_counter()
    watched = Watched(made(ClipFeatures(clip.frames), **settings), np.stack(list(clip.masks)))
    before = time.perf_counter() - began
    finish = "last" if made is PaperSegmenter else "every"
    session = InteractiveSession(clip, watched, Robot(), ROUNDS, max_time=None, finish=finish)
    played = []
    for row in session:
        played.append(row)
        if finish == "last" and len(played) < ROUNDS:
            watched.look(session.masks)
    record = {"variant": name, "clip": clip.name, "J": [row.J for row in played], "F": [row.F for row in played]}
    record |= {"seconds": [row.seconds + before * (row.round == 1) for row in played]}
    record |= {"answered": [row.answered for row in played], "features": before}
    return record | {"honoured": watched.honoured, "lowered": int(watched.lowered)}


def play_all(run: str, clips: list[Clip], variants: list[str], jobs: int) -> list[dict]:
    """Records of all variants on all clips; those of build/studies/RUN.jsonl are not played again."""
    kept = ROOT / "build" / "studies" / f"{run}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    records = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(record["clip"], record["variant"]) for record in records}
    with kept.open("a") as file, ProcessPoolExecutor(jobs) as pool:
        for clip in tqdm(clips, run):
            held = Clip.from_arrays(clip.name, list(clip.frames), list(clip.masks), **clip.info)  # lazy ones stay here
            left = [name for name in variants if (clip.name, name) not in done]
            for record in pool.map(partial(play, held), left):
                print(json.dumps(record), file=file, flush=True)
                records.append(json.loads(json.dumps(record)))
    order = {name: n for n, name in enumerate(VARIANTS)}
    return sorted((r for r in records if r["variant"] in variants), key=lambda record: order[record["variant"]])


def tabulate(records: list[dict]) -> list[dict]:
    """A row for each variant."""
    base = {record["clip"]: record for record in records if record["variant"] == REFERENCE}
    found = []
    for variant in dict.fromkeys(record["variant"] for record in records):
        its = [record for record in records if record["variant"] == variant]
        line = curve([rounds(record) for record in its])
        J, JF = (np.mean([by_round(record, *parts) for record in its], 0) for parts in ("J", "JF"))
        row = {"variant": variant, "clips": len(its), "J": J, "JF": JF, "mean_JF": JF.mean()}
        row |= {"AUC": line.auc, "JF60": line.at(60)}
        row |= {"answer_s": np.median([s for record in its for s in record["answered"]])}
        row |= {"round_s": np.median([s for record in its for s in record["seconds"][1:]])}
        row |= {"honoured": min(min(record["honoured"]) for record in its)}
        row |= {"lowered": sum(record["lowered"] for record in its)}
        if base and variant != REFERENCE:
            pairs = [[np.mean(by_round(one, "J", "F")) for one in (r, base[r["clip"]])] for r in its]
            row |= {"reference": REFERENCE} | compared(*np.array(pairs).T)
        found.append(rounded(row))
    return found


def rounds(record: dict) -> list[Round]:
    """A record as the session's rows, for the curve of J&F against seconds."""
    parts = zip(record["J"], record["F"], record["seconds"], strict=True)
    return [Round(n + 1, 0, seconds, tuple(J), tuple(F)) for n, (J, F, seconds) in enumerate(parts)]


def by_round(record: dict, *parts: str) -> list[float]:
    """J, or J and F, after each of eight rounds, mean over objects; what had nothing more to correct keeps its last."""
    scores = np.mean([[np.mean(of_objects) for of_objects in record[part]] for part in parts], 0).tolist()
    return scores + scores[-1:] * (ROUNDS - len(scores))


if __name__ == "__main__":
    main()
