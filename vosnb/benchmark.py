"""`vosnb bench`: run trackers over clips, score them, and say how sure the differences are.

    results = bench("still,matching:memory=first", "embedded", "val", json_path="data/results/mine.json")
    print(table(results))

What is measured, for each tracker and clip:

- J, F and their statistics, as `vosnb.metrics.score_clip` defines them, averaged over objects; means over clips weigh
  each clip by its objects, as DAVIS does.
- `fps`: frames after the first, over the seconds that the tracker itself took for them. Reading frames and scoring do
  not count. `start_s` are the seconds for the first frame, in which a method may adapt. The first clip is begun once
  untimed, so that nobody pays for warming up.
- `peak_memory_mb`: on CUDA the most memory that PyTorch held for tensors while the tracker ran; on the CPU the largest
  resident size of the whole process in that time, Python, PyTorch and the loaded trackers included (on systems other
  than Linux: since the process began).

Intervals are 95 % percentile intervals of a bootstrap over clips, the unit that is drawn at random; trackers are
compared on the same draws (paired).
"""

import hashlib
import json
import math
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

import vosnb
from vosnb.clips import Clip, load
from vosnb.lesson import live
from vosnb.metrics import score_clip, youtube_vos_g
from vosnb.paths import RESULTS, ROOT
from vosnb.trackers import Tracker, make_tracker, parse_tracker, segment

PROTOCOLS = {
    "first": "object 1 alone is given and scored (S0, section 4.2)",
    "all": "all objects at once (DAVIS 2017, YouTube-VOS)",
    "each": "every object of the first frame in turn, alone",
}
SCORES = ("J", "F", "J_recall", "J_decay", "F_recall", "F_decay")
RESAMPLES = 10_000


# ---------------------------------------------------------------- running


def bench(
    trackers: str | Sequence[str] | Mapping[str, Callable[[], Tracker]],
    dataset: str | Path | Sequence[Clip] = "embedded",
    split: str = "test",
    objects: str | None = None,
    json_path: str | Path | None = None,
    limit: int | None = None,
    progress: bool = True,
    difficulties: str | Sequence[str] | None = None,
) -> dict:
    """Run trackers over clips and tabulate the scores.

    trackers: specs for `parse_tracker`, in a list or separated by commas; or {name: function that makes a tracker}. The
        first is the reference that the others are compared with.
    dataset, split, limit: as for `vosnb.clips.load`; or a list of clips.
    objects: a protocol of PROTOCOLS, by default "first" for the embedded clips and "all" for others.
    difficulties: those of the clips that are wanted, in a list or separated by commas; all by default.
    json_path: where the results go. Beside it, scores are kept clip by clip, so that the same call goes on where one
        was stopped; scores whose weights, settings or data have changed since are made again.

    Returns {"command", "versions", "dataset", "split", "objects", "trackers", "rows", "pairs", "clips"}: `clips` holds
    the scores of each tracker on each clip, `rows` those of each tracker and difficulty ("all" first), with the
    interval of J, `pairs` the difference in J between any two trackers, with its interval, wins and losses.
    Raises ValueError for unknown trackers, settings or protocols, ClipError for unusable data, and ValueError when
    json_path holds results that this call would drop.
    """
    makers = _makers(trackers)
    clips, dataset = (
        (load(dataset, split, None if difficulties else limit), str(dataset))
        if isinstance(dataset, str | Path)
        else (dataset, None)
    )
    if isinstance(difficulties, str):
        difficulties = [name.strip() for name in difficulties.split(",")]
    if difficulties:
        known = list(dict.fromkeys(str(clip.info.get("difficulty")) for clip in clips))
        if unknown := [name for name in difficulties if name not in known]:
            raise ValueError(f"no clip is of difficulty {unknown[0]!r}: there are {', '.join(known)}.")
        clips = [clip for clip in clips if clip.info.get("difficulty") in difficulties][:limit]
    objects = objects or ("first" if dataset == "embedded" else "all")
    if objects not in PROTOCOLS:
        raise ValueError(f"there is no protocol {objects!r}: choose from {', '.join(PROTOCOLS)}.")
    names = [clip.name for clip in clips]
    if not names or len(set(names)) < len(names):
        raise ValueError("there must be at least one clip, and no two of one name.")
    running = {spec: make() for spec, (make, _) in makers.items()}
    header = {
        "dataset": dataset,
        "split": split if dataset else None,
        "objects": objects,
        "trackers": {spec: describe(running[spec], settings) for spec, (_, settings) in makers.items()},
    }
    store = _Store(json_path, header, names)

    records, warm = [], set()
    bar = tqdm(total=len(names) * len(running), unit="clip", leave=False, disable=not (progress and live()))
    try:
        with bar:
            for clip in clips:
                clip = replace(clip, masks=list(clip.masks))  # decoded once: they are needed again and again
                digest = _digest(clip)
                for spec, tracker in running.items():
                    bar.set_description(f"{spec}, {clip.name}", refresh=False)
                    fingerprint = _hash(json.dumps([header["trackers"][spec], objects]).encode(), digest.encode())
                    record = store.find(spec, clip.name, fingerprint)
                    if record is None:
                        if spec not in warm:
                            _warm_up(tracker, clip, objects)
                            warm.add(spec)
                        record = {"tracker": spec} | score_tracker(tracker, clip, objects)
                        record["fingerprint"] = fingerprint
                        store.append(record)
                    records.append(record)
                    bar.update()
    except KeyboardInterrupt:
        kept = f"are kept beside {json_path}; the same command goes on from there" if json_path else "are lost"
        print(f"Stopped: the scores of {len(records)} of {bar.total} runs {kept}.", file=sys.stderr)
        raise
    order = list(running)
    records.sort(key=lambda record: order.index(record["tracker"]))
    results = {
        "command": _command(list(makers), header, json_path, limit, difficulties),
        "versions": _versions(),
        **header,
        "rows": _rows(records),
        "pairs": _pairs(records),
        "clips": records,
    }
    store.finish(results)
    return results


def _makers(trackers) -> dict[str, tuple[Callable[[], Tracker], dict]]:
    """{spec: (function that makes the tracker, its settings)}."""
    if isinstance(trackers, Mapping):  # of a partial function, the settings can be seen and are part of what is kept
        given = {spec: getattr(make, "keywords", {}) for spec, make in trackers.items()}
        plain = (bool, int, float, str, type(None))
        return {
            spec: (make, {k: v for k, v in given[spec].items() if isinstance(v, plain)})
            for spec, make in trackers.items()
        }
    specs = [spec.strip() for spec in (trackers.split(",") if isinstance(trackers, str) else trackers)]
    if len(set(specs)) < len(specs):
        raise ValueError(f"a tracker is named twice in {', '.join(specs)}: give each once.")
    parsed = {spec: parse_tracker(spec) for spec in specs}
    return {
        spec: (lambda n=name, s=settings: make_tracker(n, **s), settings) for spec, (name, settings) in parsed.items()
    }


def _parts(clip: Clip, objects: str) -> list[Clip]:
    """The clips that a tracker is run on, under a protocol."""
    if objects == "all":
        return [clip]
    return [clip.only(k) for k in ([1] if objects == "first" else [k for k, t in clip.appearances.items() if t == 0])]


class _Timed:
    """A tracker whose seconds are counted."""

    def __init__(self, tracker: Tracker):
        self.tracker, self.start_seconds, self.step_seconds, self.steps = tracker, 0.0, 0.0, 0

    def _clock(self, function, *arguments):
        begin = time.perf_counter()
        answer = function(*arguments)
        if torch.cuda.is_initialized():  # what the GPU was given may not be done yet
            torch.cuda.synchronize()
        return answer, time.perf_counter() - begin

    def start(self, frame, mask):
        _, seconds = self._clock(self.tracker.start, frame, mask)
        self.start_seconds += seconds

    def add(self, frame, mask):
        _, seconds = self._clock(self.tracker.add, frame, mask)
        self.step_seconds += seconds

    def step(self, frame):
        answer, seconds = self._clock(self.tracker.step, frame)
        self.step_seconds += seconds
        self.steps += 1
        return answer


def _warm_up(tracker: Tracker, clip: Clip, objects: str) -> None:
    part = _parts(clip, objects)[0]
    first = min(part.appearances.values(), default=0)
    for _ in segment(tracker, part.subclip(first, first + 2)):
        pass


def score_tracker(tracker: Tracker, clip: Clip, objects: str = "all") -> dict:
    """Run a tracker over one clip under a protocol and score it; the record that `bench` keeps for each clip.

    J, F and their recall and decay are means over the clip's objects; J_objects and F_objects list them one by one.
    Raises ValueError, with the name of the clip, when there is nothing to track or to score.
    """
    device = torch.device(getattr(tracker, "device", "cpu"))
    per_object, seen = [], []
    start_seconds = step_seconds = steps = peak = 0
    for part in _parts(clip, objects):
        timed = _Timed(tracker)
        _reset_peak(device)
        try:
            predictions = [mask for _, mask, _ in segment(timed, part)]
            peak = max(peak, _peak_mb(device))
            scores = score_clip(part.masks, predictions, appearances=part.appearances)
        except ValueError as error:
            raise ValueError(f"clip {clip.name!r}: {error}") from error
        start_seconds, step_seconds = start_seconds + timed.start_seconds, step_seconds + timed.step_seconds
        steps += timed.steps
        for k, (j, f) in enumerate(zip(scores.stats_J, scores.stats_F, strict=True), start=1):
            if j:
                per_object.append((j.mean, f.mean, j.recall, j.decay, f.recall, f.decay))
                seen.append(part.info.get("seen", {}).get(k))
    values = np.array(per_object).T
    means = dict(zip(SCORES, values.mean(axis=1).tolist(), strict=True))
    record = {
        "clip": clip.name,
        "difficulty": clip.info.get("difficulty"),
        "objects": len(per_object),
        "J": means["J"],
        "F": means["F"],
        "JF": (means["J"] + means["F"]) / 2,
        **means,
        "frames": steps,
        "seconds": step_seconds,
        "fps": steps / step_seconds,
        "start_s": start_seconds,
        "peak_memory_mb": peak,
        "J_objects": values[0].tolist(),
        "F_objects": values[1].tolist(),
    }
    return _rounded(record if None in seen else record | {"seen": seen})


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif (clear := Path("/proc/self/clear_refs")).exists():
        with suppress(OSError):  # some containers do not allow it: then the peak is that since the process began
            clear.write_text("5")  # Linux: begin the peak of the resident size anew


def _peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if (status := Path("/proc/self/status")).exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


# ---------------------------------------------------------------- keeping


class _Store:
    """The scores that are there already, in the results file and in a file of lines beside it that grows clip by clip.

    Raises ValueError when they include any that the run at hand would not make again.
    """

    def __init__(self, json_path, header: dict, clips: Sequence[str]):
        self.path = Path(json_path) if json_path else None
        self.records, self.told = {}, False
        if self.path is None:
            return
        self.lines = self.path.with_suffix(".partial.jsonl")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for file, (old, records) in {self.path: _read_results(self.path), self.lines: _read_lines(self.lines)}.items():
            for key in ("dataset", "split", "objects") if old else ():
                if old.get(key) != header[key]:
                    self._refuse(file, f"results for {key} {old.get(key)!r}, this run is for {header[key]!r}")
            for record in records:
                if record["tracker"] not in header["trackers"] or record["clip"] not in clips:
                    self._refuse(file, f"scores of {record['tracker']} on {record['clip']}, which this run leaves out")
                self.records[record["tracker"], record["clip"]] = record
        if not self.lines.exists():
            self._write_line({key: header[key] for key in ("dataset", "split", "objects")})

    def _refuse(self, file: Path, what: str):
        raise ValueError(f"{file} holds {what}: give another file, or delete that one.")

    def find(self, tracker: str, clip: str, fingerprint: str) -> dict | None:
        record = self.records.get((tracker, clip))
        if record is None or record["fingerprint"] == fingerprint:
            return record
        if not self.told:
            self.told = True
            print(
                f"Some scores in {self.path} are of other weights, settings or data, and are made again.",
                file=sys.stderr,
            )
        return None

    def append(self, record: dict) -> None:
        if self.path:
            self._write_line(record)

    def _write_line(self, item: dict) -> None:
        with self.lines.open("a") as file:
            file.write(json.dumps(item) + "\n")

    def finish(self, results: dict) -> None:
        if self.path:
            half_written = self.path.with_suffix(".tmp")
            half_written.write_text(_pretty(results))
            half_written.replace(self.path)
            self.lines.unlink()


def _read_results(path: Path) -> tuple[dict, list]:
    if not path.exists():
        return {}, []
    try:
        results = json.loads(path.read_text())
        return results, results["clips"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise ValueError(f"{path} is not a file of results: give another file, or delete that one.") from None


def _read_lines(path: Path) -> tuple[dict, list]:
    """The header and the records of the lines; what a killed run wrote halfway is left out."""
    items = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            items.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return (items[0], items[1:]) if items else ({}, [])


def _pretty(results: dict) -> str:
    """JSON with one line for each row, pair and clip."""
    parts = []
    for key, value in results.items():
        if isinstance(value, list):
            text = "[\n" + ",\n".join("  " + json.dumps(item) for item in value) + "\n ]"
        else:
            text = json.dumps(value)
        parts.append(f' "{key}": {text}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def describe(tracker: Tracker, settings: dict) -> dict:
    """What distinguishes a tracker: its settings, the values of its networks, its device."""
    nets = [value for value in vars(tracker).values() if isinstance(value, torch.nn.Module)]
    tensors = [t.detach().cpu().numpy() for net in nets for t in net.state_dict().values()]
    device = torch.device(getattr(tracker, "device", "cpu"))
    return {
        "class": type(tracker).__name__,
        "settings": settings,
        "weights": _hash(*map(np.ascontiguousarray, tensors)) if tensors else None,
        "device": device.type,
    }


def _digest(clip: Clip) -> str:
    ends = [np.ascontiguousarray(clip.frames[t]) for t in (0, -1)]
    masks = [b"none" if mask is None else np.ascontiguousarray(mask) for mask in clip.masks]
    return _hash(*ends, *masks)


def _hash(*buffers) -> str:
    digest = hashlib.sha256()
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()[:16]


def _command(specs: list[str], header: dict, json_path, limit, difficulties) -> str:
    """The command line of these results."""
    words = ["vosnb", "bench", "--tracker", ",".join(specs), "--data", header["dataset"] or "CLIPS"]
    words += ["--split", header["split"]] if header["split"] else []
    words += ["--objects", header["objects"]] + (["--limit", str(limit)] if limit else [])
    words += ["--difficulty", ",".join(difficulties)] if difficulties else []
    if json_path:
        path = Path(json_path).resolve()
        words += ["--json", str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name)]
    return shlex.join(words)


def _versions() -> dict:
    return {
        "vosnb": vosnb.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "processor": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "threads": torch.get_num_threads(),
    }


# ---------------------------------------------------------------- summing up


def _groups(records: list[dict]) -> dict[str, list[str]]:
    """{difficulty: names of its clips}, "all" first; only "all" where clips have no difficulty."""
    groups: dict[str, dict] = {"all": {}}
    for record in records:
        for difficulty in ("all", record["difficulty"]):
            if difficulty:
                groups.setdefault(difficulty, {})[record["clip"]] = None
    return {difficulty: list(names) for difficulty, names in groups.items()}


def _by_tracker(records: list[dict]) -> dict[str, dict[str, dict]]:
    """{tracker: {clip: record}}."""
    table: dict[str, dict] = {}
    for record in records:
        table.setdefault(record["tracker"], {})[record["clip"]] = record
    return table


def _rows(records: list[dict]) -> list[dict]:
    rows = []
    for tracker, of_clip in _by_tracker(records).items():
        for difficulty, names in _groups(records).items():
            chosen = [of_clip[name] for name in names]
            weights = np.array([record["objects"] for record in chosen])
            means = {key: float(np.average([r[key] for r in chosen], weights=weights)) for key in SCORES}
            low, high = interval([r["J"] for r in chosen], weights)
            row = {
                "tracker": tracker,
                "difficulty": difficulty,
                "clips": len(chosen),
                "objects": int(weights.sum()),
                "J": means["J"],
                "J_low": low,
                "J_high": high,
                "F": means["F"],
                "JF": (means["J"] + means["F"]) / 2,
                **means,
                "fps": sum(r["frames"] for r in chosen) / sum(r["seconds"] for r in chosen),
                "start_s": float(np.mean([r["start_s"] for r in chosen])),
                "peak_memory_mb": max(r["peak_memory_mb"] for r in chosen),
            }
            known = [r for r in chosen if "seen" in r]
            if known:
                row |= youtube_vos_g(
                    *(np.concatenate([r[key] for r in known]) for key in ("J_objects", "F_objects", "seen"))
                )
            rows.append(_rounded(row))
    return rows


def _pairs(records: list[dict]) -> list[dict]:
    pairs = []
    table = _by_tracker(records)
    for reference, tracker in combinations(table, 2):
        for difficulty, names in _groups(records).items():
            a, b = ([table[who][name] for name in names] for who in (reference, tracker))
            weights = np.array([record["objects"] for record in a])
            gains = np.array([y["J"] - x["J"] for x, y in zip(a, b, strict=True)])
            low, high = interval(gains, weights)
            pair = {
                "reference": reference,
                "tracker": tracker,
                "difficulty": difficulty,
                "clips": len(names),
                "J_gain": float(np.average(gains, weights=weights)),
                "J_gain_low": low,
                "J_gain_high": high,
                "wins": int((gains > 0).sum()),
                "losses": int((gains < 0).sum()),
            }
            pairs.append(_rounded(pair))
    return pairs


def interval(values, weights=None, level: float = 0.95) -> tuple[float, float]:
    """The bootstrap interval of the (weighted) mean of one value (n,) a clip: percentiles of RESAMPLES resampled means.

    Clips are drawn with replacement, from a fixed seed: every tracker is judged on the same draws, and so is the
    difference of two (values = differences clip by clip). NaN for a single clip.
    """
    values = np.asarray(values, float)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, float)
    if len(values) < 2:
        return math.nan, math.nan
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    means = (values * weights)[draws].sum(axis=1) / weights[draws].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _rounded(record: dict) -> dict:
    """Six decimals, as results are stored; NaN becomes None, which JSON knows."""

    def short(value):
        if isinstance(value, list):
            return [short(item) for item in value]
        if isinstance(value, float):
            return None if math.isnan(value) else round(value, 6)
        return value

    return {key: short(value) for key, value in record.items()}


def table(results: dict, difficulties: Sequence[str] | None = None, markdown: bool = False) -> str:
    """The results as text: scores by difficulty and tracker, then how much each tracker gains on those before it.

    difficulties: which to show, in this order; all by default. markdown: a table for notebooks, not aligned text.
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

    overall = ["G"] if any("G" in row for row in results["rows"]) else []  # where clips know what training saw
    scores = [["difficulty", "tracker", "clips", "objects", "J", "95 % interval", "F", "J&F", *overall]]
    scores[0] += ["frames/s", "peak MB"]
    for row in chosen(results["rows"]):
        numbers = [f"{row[key]:.3f}" for key in ("J", "F", "JF")]
        scores.append([row["difficulty"], row["tracker"], str(row["clips"]), str(row["objects"]), numbers[0]])
        scores[-1] += [_range(row["J_low"], row["J_high"], ".3f"), *numbers[1:]]
        scores[-1] += [f"{row[key]:.3f}" if key in row else "" for key in overall]
        scores[-1] += [f"{row['fps']:.1f}", f"{row['peak_memory_mb']:.0f}"]
    text = _grid(scores, markdown)

    gains = [["difficulty", "tracker", "against", "gain in J", "95 % interval", "better on", "worse on", "clips"]]
    for pair in chosen(results["pairs"]):
        gains.append([pair["difficulty"], pair["tracker"], pair["reference"], f"{pair['J_gain']:+.3f}"])
        gains[-1] += [_range(pair["J_gain_low"], pair["J_gain_high"], "+.3f")]
        gains[-1] += [str(pair[key]) for key in ("wins", "losses", "clips")]
    return text + ("\n\n" + _grid(gains, markdown) if results["pairs"] else "")


def _range(low: float | None, high: float | None, digits: str) -> str:
    return "one clip" if low is None else f"[{low:{digits}}, {high:{digits}}]"


def _grid(rows: list[list[str]], markdown: bool) -> str:
    """Rows of text as an aligned table: two text columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<", "<"] + [">"] * (len(widths) - 2)
    lines = [[f"{cell:{s}{w}}" for cell, s, w in zip(row, sides, widths, strict=True)] for row in rows]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rule = ["-" * w if s == "<" else "-" * (w - 1) + ":" for s, w in zip(sides, widths, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


# ---------------------------------------------------------------- results that lessons show


def load_results(name: str) -> dict:
    """The results in data/results/<name>.json, as `bench` wrote them; FileNotFoundError with the names there are."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in RESULTS.glob("*.json"))) or "none"
        raise FileNotFoundError(
            f"there are no results {name!r} in data/results, but {there}: make them with vosnb bench."
        )
    return _read_results(path)[0]


def rerun_sample(results: dict, count: int = 2, seed: int = 0) -> list[tuple[dict, dict]]:
    """Run the trackers of stored results again on a few of their clips, to hold the one to the other.

    Returns (stored record, fresh record) for each tracker and each of `count` clips drawn with `seed`. Raises
    ValueError for results on clips that `load` does not know, and what `make_tracker` and `score_tracker` raise.
    """
    if results["dataset"] is None:
        raise ValueError("these results are on a list of clips, which cannot be loaded again.")
    names = sorted({record["clip"] for record in results["clips"]})
    sample = np.random.default_rng(seed).choice(names, min(count, len(names)), replace=False).tolist()
    stored = _by_tracker(results["clips"])
    running = {spec: make() for spec, (make, _) in _makers(list(results["trackers"])).items()}
    pairs = []
    for clip in (clip for clip in load(results["dataset"], results["split"]) if clip.name in sample):
        for spec, tracker in running.items():  # not by `bench`, whose warming up takes as long again
            fresh = {"tracker": spec} | score_tracker(tracker, clip, results["objects"])
            pairs.append((stored[spec][clip.name], fresh))
    return pairs
