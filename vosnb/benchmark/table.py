"""Rows, paired differences and their intervals from the scores of clips, and all of it as text.

Intervals are 95 % percentile intervals of a bootstrap over clips, the unit that is drawn at random; trackers are
compared on the same draws (paired). Means over clips weigh each clip by its objects, as DAVIS does. Clips that could
not be scored are in no mean, and listed below the tables.
"""

import math
import string
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from vosnb.benchmark.score import SCORES, rounded
from vosnb.metrics import youtube_vos_g

RESAMPLES = 10_000
LISTED = 5  # clips by name that are left out for one reason
FEW = 5  # below so many clips an interval from a bootstrap is far too narrow, and is not shown


def _groups(records: list[dict]) -> dict[str, list[str]]:
    """{difficulty: names of its clips}, "all" first; only "all" where clips have no difficulty."""
    groups: dict[str, dict] = {"all": {}}
    for record in records:
        for difficulty in ("all", record["difficulty"]):
            if difficulty:
                groups.setdefault(difficulty, {})[record["clip"]] = None
    return {difficulty: list(names) for difficulty, names in groups.items()}


def by_tracker(records: list[dict]) -> dict[str, dict[str, dict]]:
    """{tracker: {clip: record}}."""
    table: dict[str, dict] = {}
    for record in records:
        table.setdefault(record["tracker"], {})[record["clip"]] = record
    return table


def rows_of(records: list[dict]) -> list[dict]:
    """A row for each tracker and difficulty; scores are None where no clip could be scored."""
    rows = []
    for tracker, of_clip in by_tracker(records).items():
        for difficulty, names in _groups(records).items():
            chosen = [of_clip[name] for name in names]
            scored, ran = _scored(chosen), [record for record in chosen if "fps" in record]
            weights = np.array([record["objects"] for record in scored])
            means = {key: _mean([r[key] for r in scored], weights) for key in SCORES}
            low, high = interval([r["J"] for r in scored], weights) if scored else (math.nan, math.nan)
            seconds = sum(r["seconds"] for r in ran)
            row = {
                "tracker": tracker,
                "difficulty": difficulty,
                "clips": len(scored),
                "objects": int(weights.sum()),
                "J": means["J"],
                "J_low": low,
                "J_high": high,
                "F": means["F"],
                "JF": (means["J"] + means["F"]) / 2,
                **means,
                "fps": sum(r["frames"] for r in ran) / seconds if seconds else math.nan,
                "start_s": _mean([r["start_s"] for r in ran]),
                "peak_memory_mb": max((r["peak_memory_mb"] for r in ran), default=math.nan),
            }
            if len(scored) < len(chosen):
                row["left_out"] = len(chosen) - len(scored)
            if (at_a_time := max((r.get("jobs", 1) for r in ran), default=1)) > 1:
                row["jobs"] = at_a_time
            known = [r for r in scored if "seen" in r]
            if known:
                row |= youtube_vos_g(
                    *(np.concatenate([r[key] for r in known]) for key in ("J_objects", "F_objects", "seen"))
                )
            rows.append(rounded(row))
    return rows


def _scored(records: list[dict]) -> list[dict]:
    return [record for record in records if "left_out" not in record]


def _mean(values: list[float], weights: Sequence[float] | None = None) -> float:
    return float(np.average(values, weights=weights)) if values else math.nan


def pairs_of(records: list[dict]) -> list[dict]:
    """Any two trackers, on the clips on which both were scored."""
    pairs = []
    table = by_tracker(records)
    for reference, tracker in combinations(table, 2):
        for difficulty, names in _groups(records).items():
            both = [(table[reference][name], table[tracker][name]) for name in names]
            both = [pair for pair in both if len(_scored(pair)) == 2]
            if not both:
                continue
            weights = np.array([record["objects"] for record, _ in both])
            gains = np.array([y["J"] - x["J"] for x, y in both])
            low, high = interval(gains, weights)
            pair = {
                "reference": reference,
                "tracker": tracker,
                "difficulty": difficulty,
                "clips": len(both),
                "J_gain": float(np.average(gains, weights=weights)),
                "J_gain_low": low,
                "J_gain_high": high,
                "wins": int((gains > 0).sum()),
                "losses": int((gains < 0).sum()),
            }
            pairs.append(rounded(pair))
    return pairs


def interval(values, weights=None, level: float = 0.95) -> tuple[float, float]:
    """The bootstrap interval of the (weighted) mean of one value (n,) a clip: percentiles of RESAMPLES resampled means.

    Clips are drawn with replacement, from a fixed seed: every tracker is judged on the same draws, and so is the
    difference of two (values = differences clip by clip). NaN for a single clip. Raises ValueError where values or
    weights are no such numbers.
    """
    try:
        values = np.asarray(values, float)
        weights = np.ones(len(values)) if weights is None else np.asarray(weights, float)
    except (TypeError, ValueError):
        raise ValueError("an interval is of numbers, one for each clip: these are none.") from None
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("an interval needs one finite number for each clip, of at least one: leave out what has none.")
    if weights.shape != values.shape or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError("weights are one number for each clip, none below 0 and not all 0, as their objects.")
    if not 0 < level < 1:
        raise ValueError(f"level={level} is no share between 0 and 1: take 0.95.")
    if len(values) < 2:
        return math.nan, math.nan
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    means = (values * weights)[draws].sum(axis=1) / weights[draws].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


# ---------------------------------------------------------------- as text


def table(
    results: dict, difficulties: Sequence[str] | None = None, markdown: bool = False, width: int | None = None
) -> str:
    """The results as text: scores by difficulty and tracker, how much each tracker gains on those before it, notes.

    difficulties: which to show, in this order; all by default. markdown: a table for notebooks, not aligned text.
    width: of the terminal; where lines would be longer, speeds go into a table of their own, and then letters stand
    for the trackers.
    """
    known = list(dict.fromkeys(row["difficulty"] for row in results["rows"]))
    difficulties = known if difficulties is None else list(difficulties)
    if unknown := set(difficulties) - set(known):
        raise ValueError(f"no results for difficulty {unknown.pop()!r}: there are {', '.join(known)}.")

    def chosen(rows):
        return sorted(
            (row for row in rows if row["difficulty"] in difficulties),
            key=lambda r: difficulties.index(r["difficulty"]),
        )

    rows, pairs = chosen(results["rows"]), chosen(results["pairs"])
    trackers = list(dict.fromkeys(row["tracker"] for row in rows))
    replayed = {spec for spec, about in results["trackers"].items() if about["class"] == "ReplayTracker"}
    letters = {spec: _letter(i) for i, spec in enumerate(trackers)}
    for apart, names in ((False, {}), (True, {}), (True, letters)):
        columns = _scores(rows)
        if apart:
            parts = [columns, _speeds([row for row in rows if row["difficulty"] == rows[0]["difficulty"]], replayed)]
        else:
            parts = [columns | _speeds(rows, replayed)]
        parts += [_gains(pairs)] if pairs else []
        texts = [grid(_renamed(part, names), markdown) for part in parts]
        if markdown or width is None or max(len(line) for text in texts for line in text.splitlines()) <= width:
            break
    legend = [f"{letter}: {spec}" for spec, letter in names.items()]
    return "\n\n".join(filter(None, [*texts, "\n".join(legend), "\n".join(_notes(results, rows, replayed))]))


def _letter(i: int) -> str:
    return string.ascii_uppercase[i] if i < 26 else f"T{i}"


def _renamed(columns: dict[str, list[str]], names: dict[str, str]) -> list[list[str]]:
    """Columns as lines, the first of headings; trackers under their short names."""
    for heading in {"tracker", "against"} & columns.keys():
        columns = columns | {heading: [names.get(cell, cell) for cell in columns[heading]]}
    return [list(columns), *map(list, zip(*columns.values(), strict=True))]


def _who(rows: list[dict]) -> dict[str, list[str]]:
    difficulties = [row["difficulty"] for row in rows]
    who = {"difficulty": difficulties} if set(difficulties) != {"all"} else {}
    return who | {"tracker": [row["tracker"] for row in rows]}


def _scores(rows: list[dict]) -> dict[str, list[str]]:
    """Columns of scores; one that says nothing new is left out."""
    columns = _who(rows) | {"clips": [str(row["clips"]) for row in rows]}
    if any("left_out" in row for row in rows):
        columns["left out"] = [str(row.get("left_out", 0)) for row in rows]
    if all(row["J"] is None for row in rows):
        return columns
    if any(row["objects"] != row["clips"] for row in rows):
        columns["objects"] = [str(row["objects"]) for row in rows]
    columns["J"] = [_number(row["J"]) for row in rows]
    columns["95 % interval"] = [_range(row["J_low"], row["J_high"], ".3f", row["clips"]) for row in rows]
    columns["F"] = [_number(row["F"]) for row in rows]
    if any(_number(row["J"]) != _number(row["F"]) for row in rows):
        columns["J&F"] = [_number(row["JF"]) for row in rows]
    if any(_both_seen(row) for row in rows):
        columns["G"] = [_number(row.get("G")) if _both_seen(row) else "" for row in rows]
    return columns


def _both_seen(row: dict) -> bool:
    """Whether there are objects of seen and of unseen kinds, so that G is another mean than J&F."""
    return row.get("J_seen") is not None and row.get("J_unseen") is not None


def _speeds(rows: list[dict], replayed: set[str]) -> dict[str, list[str]]:
    return _who(rows) | {
        "frames/s": ["-" if row["tracker"] in replayed else _number(row["fps"], ".1f") for row in rows],
        "peak MB": [_number(row["peak_memory_mb"], ".0f") for row in rows],
    }


def _gains(pairs: list[dict]) -> dict[str, list[str]]:
    return _who(pairs) | {
        "against": [pair["reference"] for pair in pairs],
        "J gain": [_number(pair["J_gain"], "+.3f") for pair in pairs],
        "95 % interval": [_range(pair["J_gain_low"], pair["J_gain_high"], "+.3f", pair["clips"]) for pair in pairs],
        "better": [str(pair["wins"]) for pair in pairs],
        "worse": [str(pair["losses"]) for pair in pairs],
        "clips": [str(pair["clips"]) for pair in pairs],
    }


def _notes(results: dict, rows: list[dict], replayed: set[str]) -> list[str]:
    """What a reader of the tables must know, and why clips are left out."""
    notes = []
    if any(_both_seen(row) for row in rows):
        notes.append("G: the mean of J and F over objects of kinds that training knew, and of others (YouTube-VOS).")
    if replayed & {row["tracker"] for row in rows}:
        notes.append("frames/s: masks that a folder holds already have none.")
    if (at_a_time := max((row.get("jobs", 1) for row in rows), default=1)) > 1:
        notes.append(f"frames/s and memory were measured with {at_a_time} clips side by side.")
    return notes + left_out_notes(results["clips"], list(results["trackers"]))


def left_out_notes(records: list[dict], trackers: Sequence[str] = ()) -> list[str]:
    """How many clips have no score, and why: a line for each reason, with the trackers where it is not all of them."""
    whom: dict[tuple[str, str], list[str]] = {}
    for record in records:
        if "left_out" in record:
            whom.setdefault((record["clip"], record["left_out"]), []).append(record.get("tracker"))
    if not whom:
        return []
    alike: dict[tuple[str, str], list[str]] = {}
    for (clip, reason), of in whom.items():
        alike.setdefault((reason, "" if len(of) == max(1, len(trackers)) else f" ({', '.join(of)})"), []).append(clip)
    notes = [f"Left out of the scores: {len({c for c, _ in whom})} of {len({r['clip'] for r in records})} clips."]
    for (reason, of), clips in alike.items():
        more = f" and {len(clips) - LISTED} more" if len(clips) > LISTED else ""
        notes.append(f"  {', '.join(clips[:LISTED])}{more}{of}: {reason}")
    return notes


def _number(value: float | None, digits: str = ".3f") -> str:
    return "-" if value is None else f"{value:{digits}}"


def _range(low: float | None, high: float | None, digits: str, clips: int) -> str:
    return "n too small" if low is None or clips < FEW else f"[{low:{digits}}, {high:{digits}}]"


def grid(rows: list[list[str]], markdown: bool = False) -> str:
    """Rows of text as an aligned table: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<" if heading in ("difficulty", "tracker", "against", "clip") else ">" for heading in rows[0]]
    lines = [[f"{cell:{s}{w}}" for cell, s, w in zip(row, sides, widths, strict=True)] for row in rows]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rule = ["-" * w if s == "<" else "-" * (w - 1) + ":" for s, w in zip(sides, widths, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])
