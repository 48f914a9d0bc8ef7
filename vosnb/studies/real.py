"""The same steps on real clips: does what holds on generated ones hold where the networks are strangers?

    python -m vosnb.studies.real FOLDER --split val

FOLDER holds clips in DAVIS, YouTube-VOS or OVIS layout (lesson 00). The stored rows are of eight clips of DAVIS 2016's
training list, of 36 frames each; nothing was trained on them, and no clip of theirs is part of the project. Object 1
alone. Writes data/results/real.json: a row for each step, with J before and after it, the gain, its 95 % paired
interval, clips won and lost.
"""

import argparse

import torch

from vosnb.benchmark import bench
from vosnb.clips import Clip
from vosnb.datasets import load
from vosnb.paths import ROOT
from vosnb.studies.common import gain_of, rounded, write

STEPS = {  # method: {step: (before, after)}
    "S0": {
        "adapted keys, static memory": ("matching:memory=first", "matching+context:memory=first"),
        "adapted keys, updated memory": ("matching", "matching+context"),
    },
    "S1": {
        "base net to D alone": ("base-net", "target-model"),
        "D alone to D and R": ("target-model", "frtm-static"),
        "D and R to D and R, updated": ("frtm-static", "frtm"),
    },
    "S3": {"kernels": ("kernels-none", "kernels")},
    "side by side": {  # lesson 13
        name: ("matching", name) for name in ("kernels", "frtm", "ridge+st-rnn", "e-osvos-10-OnA", "kernels+context")
    }
    | {"closed form in D's place": ("frtm", "frtm+ridge")},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of clips in DAVIS, YouTube-VOS or OVIS layout")
    parser.add_argument("--split", default="val", help="the list of clips to take")
    given = parser.parse_args()
    torch.set_num_threads(1)
    write("real", f"python -m vosnb.studies.real FOLDER --split {given.split}", rows(load(given.folder, given.split)))


def rows(clips: list[Clip]) -> list[dict]:
    """A row for each of STEPS; a run that was stopped goes on where it was (build/studies/real.json)."""
    names = dict.fromkeys(name for steps in STEPS.values() for step in steps.values() for name in step)
    results = bench(list(names), clips, objects="first", json_path=ROOT / "build" / "studies" / "real.json")
    J = {row["tracker"]: row["J"] for row in results["rows"] if row["difficulty"] == "all"}
    pairs = {(p["reference"], p["tracker"]): p for p in results["pairs"] if p["difficulty"] == "all"}
    found = []
    for method, steps in STEPS.items():
        for step, (before, after) in steps.items():
            pair = pairs[before, after]
            row = {"method": method, "step": step, "before": before, "after": after, "clips": pair["clips"]}
            found.append(rounded(row | {"J_before": J[before], "J_after": J[after]} | gain_of(pair)))
    return found


if __name__ == "__main__":
    main()
