"""What every study does: run trackers on the same clips, once, and keep a row for each."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vosnb.benchmark import bench, interval
from vosnb.clips import Clip
from vosnb.files import write_text
from vosnb.paths import RESULTS, ROOT
from vosnb.trackers.base import Tracker

Makers = dict[str, Callable[[], Tracker]]


def gains(
    run: str, plain: Callable[[], Tracker], makers: Makers, clips: list[Clip], objects: str = "first"
) -> dict[str, dict]:
    """{name: J of that tracker, and what it gains on `plain`, on the same clips}.

    run: under build/studies/RUN.json it is kept how far it came; the same call goes on there. gain has a 95 % paired
    interval low .. high; won and lost count clips.
    """
    clips = [replace(clip, info={**clip.info, "difficulty": None}) for clip in clips]
    kept = ROOT / "build" / "studies" / f"{run}.json"
    results = bench({"plain": plain} | makers, clips, objects=objects, json_path=kept)
    scores = {row["tracker"]: row for row in results["rows"]}
    pairs = {pair["tracker"]: pair for pair in results["pairs"] if pair["reference"] == "plain"}
    found = {}
    for name in makers:
        pair, score = pairs[name], scores[name]
        row = {"clips": pair["clips"], "J_without": scores["plain"]["J"], "J": score["J"], "fps": score["fps"]}
        found[name] = row | gain_of(pair)
    return found


def gain_of(pair: dict) -> dict:
    """What a pair of trackers in `bench`'s results says of J, under the names that all rows have."""
    names = {"gain": "J_gain", "low": "J_gain_low", "high": "J_gain_high", "won": "wins", "lost": "losses"}
    return {name: pair[theirs] for name, theirs in names.items()}


def compared(J: np.ndarray, before: np.ndarray) -> dict:
    """What J of some clips gains over J of the same clips before: the mean with its interval, clips won and lost."""
    gain = J - before
    low, high = interval(gain)
    return {"gain": gain.mean(), "low": low, "high": high, "won": int((gain > 0).sum()), "lost": int((gain < 0).sum())}


def speed(records: list[dict], whole: bool = False) -> float:
    """Frames/s over all these clips: of those after the first, or `whole`, with the time that the first ones took."""
    frames, seconds = (sum(record[key] for record in records) for key in ("frames", "seconds"))
    return (frames + len(records)) / (seconds + sum(r["start_s"] for r in records)) if whole else frames / seconds


def rounded(row: dict) -> dict:
    """Four decimals."""
    exact = str | int | None
    return {key: v if isinstance(v, exact) else np.round(v, 4).tolist() for key, v in row.items()}


def write(name: str, command: str, rows: list[dict]) -> None:
    """data/results/NAME.json: the command that makes it, and a line for each row."""
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    write_text(RESULTS / f"{name}.json", f'{{\n "command": "{command}",\n "rows": [\n{lines}\n ]\n}}\n')
