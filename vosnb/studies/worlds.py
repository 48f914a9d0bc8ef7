"""Three worlds: creatures, where our networks learned, toys, which none of them ever saw, and real video.

    python -m vosnb.studies.worlds --real ../davis16 --split report --split lookalikes_report

Baselines, the matcher on both backbones with static and updated memory, with and without adapted keys (S0), and S1's
steps on both, on the same clips: object 1 alone, and for S1 all objects too. Creatures and toys are generated; FOLDER
holds clips as their owners publish them, and no clip of it is part of the project. A run that was stopped goes on where
it was (build/studies/).
Writes data/results/worlds.json: of each list of clips a row for each tracker, with J and its 95 % interval, and a row
for each step from one tracker to another, with the gain, its paired interval, clips won and lost. With `--part`,
`--world` or `--list`, rows that are not made again stay.
"""

import argparse
import json
from pathlib import Path

import torch

from vosnb.benchmark import bench
from vosnb.paths import RESULTS, ROOT
from vosnb.studies.common import gain_of, rounded, write

GENERATED = {  # world: {list: (split, difficulties, clips, objects)}
    "creatures": {
        "all": ("test-large", None, 16, "first"),
        "several objects": ("test-large", None, 5, "all"),
    },
    "toys": {
        "twins": ("test-large", ["twins"], 20, "first"),
        "easy": ("test-large", ["easy"], 12, "first"),
        "moved": ("moved", None, 8, "first"),
        "several objects": ("test-large", None, 5, "all"),
    },
}
SEVERAL = ["S1"]  # parts whose trackers run on lists of several objects too, as in S1's tables 2 and 3
TABLE_2 = ("JF", "G", "J_seen", "J_unseen", "F_seen", "F_unseen")  # kept of several objects
PHOTOS = ":backbone=photos"
BASELINES = ("still", "histogram", "nearest")
STEPS = {  # {part: {step: (before, after)}}
    "matching": {
        "backbone, static memory": ("matching:memory=first", f"matching{PHOTOS}:memory=first"),
        "backbone, updated memory": ("matching", f"matching{PHOTOS}"),
        "updated memory": (f"matching{PHOTOS}:memory=first", f"matching{PHOTOS}"),
        "S0 on creatures' backbone, static memory": ("matching:memory=first", "matching+context:memory=first"),
        "S0 on creatures' backbone, updated memory": ("matching", "matching+context"),
        "S0, static memory": (f"matching{PHOTOS}:memory=first", f"matching+context{PHOTOS}:memory=first"),
        "S0, updated memory": (f"matching{PHOTOS}", f"matching+context{PHOTOS}"),
        "training, beside nearest neighbours": ("nearest", f"matching{PHOTOS}"),
    },
    "S1 on creatures": {
        "S1 on creatures' backbone, base net to D alone": ("base-net", "target-model"),
        "S1 on creatures' backbone, D alone to D and R": ("target-model", "frtm-static"),
        "S1 on creatures' backbone, updated": ("frtm-static", "frtm"),
    },
    "S1": {
        "S1, beside matching": (f"matching{PHOTOS}", f"frtm{PHOTOS}"),
        "D alone, backbone": ("target-model", f"target-model{PHOTOS}"),
        "S1, base net to D alone": (f"base-net{PHOTOS}", f"target-model{PHOTOS}"),
        "S1, D alone to D and R": (f"target-model{PHOTOS}", f"frtm-static{PHOTOS}"),
        "S1, updated": (f"frtm-static{PHOTOS}", f"frtm{PHOTOS}"),
        "S1, fast": (f"frtm{PHOTOS}", f"frtm-fast{PHOTOS}"),
        "D alone, updated": (f"target-model{PHOTOS}", f"target-model{PHOTOS}:update_every=2"),
    },
}


def trackers_of(*parts: str) -> list[str]:
    """Of these parts, each once; baselines belong to matching."""
    named = [
        *(BASELINES if "matching" in parts else ()),
        *(t for part in parts for s in STEPS[part].values() for t in s),
    ]
    return list(dict.fromkeys(named))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", help="folder of clips in DAVIS, YouTube-VOS or OVIS layout")
    parser.add_argument("--split", action="append", help="a list of its clips; may be given several times")
    parser.add_argument("--world", action="append", choices=[*GENERATED, "real"], help="by default all")
    parser.add_argument("--list", action="append", help="of clips, as in worlds.json; by default all")
    parser.add_argument("--part", action="append", choices=STEPS, help="by default all")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    given = parser.parse_args()
    worlds = given.world or [*GENERATED, *(["real"] if given.real else [])]
    if "real" in worlds and not given.real:
        parser.error("real clips lie in a folder: give it with --real.")
    torch.set_num_threads(1)
    parts, rows = given.part or [*STEPS], []
    for world in worlds:
        lists = GENERATED.get(world) or {split: (split, None, None, "first") for split in given.split or ["val"]}
        for name, (split, difficulties, clips, objects) in lists.items():
            here = [part for part in parts if objects == "first" or part in SEVERAL]
            if not here or name not in (given.list or [name]):
                continue
            results = bench(
                trackers_of(*here),
                given.real if world == "real" else world,
                split,
                objects=objects,
                json_path=ROOT / "build" / "studies" / f"worlds-{'-'.join(here)}-{world}-{name}.json",
                limit=clips,
                difficulties=difficulties,
                jobs=given.jobs,
            )
            rows += rows_of(world, name, here, results)
    lists = "".join(f" --split {split}" for split in given.split or [])
    real = f" --real {Path(given.real).name}{lists}" if given.real else ""
    write("worlds", f"python -m vosnb.studies.worlds{real}", merged(rows))


def merged(rows: list[dict]) -> list[dict]:
    """These rows and those that are stored and were not made again: list by list, trackers before steps."""
    path = RESULTS / "worlds.json"
    stored = json.loads(path.read_text())["rows"] if path.exists() else []
    named = {(row["world"], row["list"], row.get("tracker"), row.get("step")): row for row in [*stored, *rows]}
    lists = list(dict.fromkeys(key[:2] for key in named))
    return [named[key] for key in sorted(named, key=lambda key: (lists.index(key[:2]), key[2] is None))]


def rows_of(world: str, name: str, parts: list[str], results: dict) -> list[dict]:
    """Rows of one list of clips: its trackers, then its steps."""
    where, found = {"world": world, "list": name}, []
    scores = {row["tracker"]: row for row in results["rows"] if row["difficulty"] == "all"}
    pairs = {(p["reference"], p["tracker"]): p for p in results["pairs"] if p["difficulty"] == "all"}
    for tracker, row in scores.items():
        kept = {key: row[key] for key in ("clips", "J", "J_low", "J_high", "fps", "peak_memory_mb")}
        if results["objects"] == "all":
            kept |= {key: row[key] for key in TABLE_2 if row.get(key) is not None}
        found.append(rounded(where | {"tracker": tracker} | kept))
    for step, (before, after) in (pair for part in parts for pair in STEPS[part].items()):
        row = where | {"step": step, "before": before, "after": after, "clips": scores[after]["clips"]}
        row |= {"J_before": scores[before]["J"], "J_after": scores[after]["J"]}
        known = (before, after) in pairs  # `bench` has each pair once, in the order of its trackers
        gain = gain_of(pairs[before, after]) if known else turned(gain_of(pairs[after, before]))
        found.append(rounded(row | gain))
    return found


def turned(gain: dict) -> dict:
    """What the other of two trackers gains; a single clip has no interval."""
    less = {key: None if gain[key] is None else -gain[key] for key in ("gain", "low", "high")}
    return {"gain": less["gain"], "low": less["high"], "high": less["low"], "won": gain["lost"], "lost": gain["won"]}


if __name__ == "__main__":
    main()
