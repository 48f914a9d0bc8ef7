"""`vosnb bench`: run trackers over clips, score them, and say how sure the differences are.

    results = bench("still,matching:memory=first", "embedded", "val", json_path="data/results/mine.json")
    print(table(results))

`score.py` says what is measured, `table.py` how it is summed up. The first clip is begun once untimed, so that nobody
pays for warming up.
"""

import json
import multiprocessing
import platform
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

import vosnb
from vosnb import datasets
from vosnb.audience import live
from vosnb.benchmark.save import digest, files_of, refuse_others
from vosnb.benchmark.score import FAILURES, PROTOCOLS, left_out, score_one, score_tracker, unit
from vosnb.benchmark.store import Store, describe, digest_of, hash_of
from vosnb.benchmark.table import by_tracker, pairs_of, rows_of
from vosnb.clips import Clip
from vosnb.files import check_writable, safe_name
from vosnb.paths import ROOT
from vosnb.trackers import Tracker, make_tracker, parse_tracker, split_spec


def bench(
    trackers: str | Sequence[str] | Mapping[str, Callable[[], Tracker]],
    dataset: str | Path | Sequence[Clip] = "embedded",
    split: str = "test",
    objects: str | None = None,
    json_path: str | Path | None = None,
    limit: int | None = None,
    progress: bool = True,
    difficulties: str | Sequence[str] | None = None,
    save: str | Path | None = None,
    jobs: int = 1,
) -> dict:
    """Run trackers over clips and tabulate the scores.

    trackers: specs for `parse_tracker`, in a list or separated by commas; or {name: function that makes a tracker}. The
        first is the reference that the others are compared with.
    dataset, split, limit: as for `vosnb.clips.load`; or a list of clips.
    objects: a protocol of PROTOCOLS, by default "first" for generated clips and "all" for others.
    difficulties: those of the clips that are wanted, in a list or separated by commas; all by default.
    json_path: where the results go. Beside it, scores are kept clip by clip, so that the same call goes on where one
        was stopped; scores whose weights, settings or data have changed since are made again.
    save: a folder for the predicted masks, laid out as `save.py` says; clips whose masks are not there are run again.
    jobs: processes that work side by side, for a data set and specs; their speed and memory are marked with "jobs".

    Returns {"command", "versions", "dataset", "split", "objects", "trackers", "rows", "pairs", "clips"}: `clips` holds
    the scores of each tracker on each clip, or why there are none as "left_out"; `rows` those of each tracker and
    difficulty ("all" first), with the interval of J; `pairs` the difference in J between any two trackers, with its
    interval, wins and losses.
    Raises ValueError for unknown trackers, settings or protocols, ClipError for an unusable data set, ValueError or
    OSError where results or masks cannot be written or would take the place of others.
    """
    makers = _makers(trackers)
    if jobs > 1 and (isinstance(trackers, Mapping) or not isinstance(dataset, str | Path)):
        raise ValueError("several jobs load clips and make trackers by name: give a data set and specs, or one job.")
    clips, dataset = (
        (datasets.load(dataset, split, None if difficulties else limit), str(dataset))
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
    objects = objects or ("first" if dataset in datasets.WORLDS else "all")
    if objects not in PROTOCOLS:
        raise ValueError(f"there is no protocol {objects!r}: choose from {', '.join(PROTOCOLS)}.")
    if save is not None and objects == "each":
        raise ValueError(
            "masks of objects that were followed alone overlap and make no one mask: save with all, or first."
        )
    if not isinstance(clips, Sequence) or not all(isinstance(clip, Clip) for clip in clips):
        raise ValueError("the data set is a name, a folder, or a list of clips: this is none of them.")
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
    folders = {spec: None if save is None else Path(save).expanduser() / safe_name(spec) for spec in running}
    for folder in filter(None, folders.values()):
        check_writable(folder / "00000.png")
        for clip in clips:
            refuse_others(folder, clip)
    store = Store(json_path, header, names)

    records: list[dict] = []
    bar = tqdm(total=len(names) * len(running), unit="clip", leave=False, disable=not (progress and live()))

    def work() -> Iterator[tuple[str, Clip, str | None, dict | None]]:
        """(spec, clip, fingerprint, the record that is there already) for all that there is to do."""
        for clip in clips:
            try:
                clip = replace(clip, masks=list(clip.masks))  # decoded once: they are needed again and again
                data = digest_of(clip)
            except FAILURES as error:
                for spec in running:
                    yield spec, clip, None, left_out(spec, clip, error)
                continue
            for spec in running:
                bar.set_description(f"{spec}, {clip.name}", refresh=False)
                fingerprint = hash_of(json.dumps([header["trackers"][spec], objects]).encode(), data.encode())
                record = store.find(spec, clip.name, fingerprint)
                if record and folders[spec] and not _saved(record, folders[spec], clip):
                    record = None
                yield spec, clip, fingerprint, record

    def keep(record: dict, fingerprint: str | None = None) -> None:
        if fingerprint:
            record["fingerprint"] = fingerprint
            store.append(record)
        records.append(record)
        bar.update()

    try:
        with bar:
            if jobs > 1:
                _side_by_side(work(), keep, dataset, split, objects, folders, jobs)
            else:
                warm: set[str] = set()
                for spec, clip, fingerprint, record in work():
                    if record is not None:
                        keep(record)
                    else:
                        keep(unit(spec, running[spec], clip, objects, folders[spec], warm), fingerprint)
    except KeyboardInterrupt:
        kept = f"are kept beside {json_path}; the same command goes on from there" if json_path else "are lost"
        print(f"Stopped: the scores of {len(records)} of {bar.total} runs {kept}.", file=sys.stderr)
        raise
    order = [(spec, name) for spec in running for name in names]
    records.sort(key=lambda record: order.index((record["tracker"], record["clip"])))
    results = {
        "command": _command(list(makers), header, json_path, limit, difficulties, save, jobs),
        "versions": _versions(),
        **header,
        "rows": rows_of(records),
        "pairs": pairs_of(records),
        "clips": records,
    }
    store.finish(results)
    return results


def _saved(record: dict, folder: Path, clip: Clip) -> bool:
    """Whether the masks of a record are still those in the folder."""
    return record.get("saved") is not None and record["saved"] == digest(files_of(folder, clip))


def _side_by_side(work, keep, dataset: str, split: str, objects: str, folders: dict, jobs: int) -> None:
    """Do the work in processes of their own; what is kept is kept by this one alone.

    Raises ValueError when a process dies.
    """
    pending: dict[Future, str] = {}

    def collect(timeout: float | None) -> None:
        done, _ = wait(pending, timeout, FIRST_COMPLETED)
        for future in done:
            keep(future.result() | {"jobs": jobs}, pending.pop(future))

    threads = max(1, torch.get_num_threads() // jobs)
    spawn = multiprocessing.get_context("spawn")  # a fork would take over the threads' locks, but not the threads
    pool = ProcessPoolExecutor(jobs, spawn, _begin_worker, (threads,))
    try:
        for spec, clip, fingerprint, record in work:
            if record is not None:
                keep(record)
            else:
                future = pool.submit(score_one, spec, dataset, split, clip.name, objects, folders[spec])
                pending[future] = fingerprint
            collect(0)
        while pending:
            collect(None)
    except BrokenExecutor:
        raise ValueError(
            "a process of the benchmark ended by itself: perhaps memory ran out, so take fewer jobs (a script that "
            'calls `bench` must do so under `if __name__ == "__main__":`).'
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once and without a word; the driver says it all
    torch.set_num_threads(threads)


def _makers(trackers) -> dict[str, tuple[Callable[[], Tracker], dict]]:
    """{spec: (function that makes the tracker, its settings)}."""
    if isinstance(trackers, Mapping):  # of a partial function, the settings can be seen and are part of what is kept
        given = {spec: getattr(make, "keywords", {}) for spec, make in trackers.items()}
        plain = (bool, int, float, str, type(None))
        return {
            spec: (make, {k: v for k, v in given[spec].items() if isinstance(v, plain)})
            for spec, make in trackers.items()
        }
    specs = split_spec(trackers, ",") if isinstance(trackers, str) else trackers
    if not isinstance(specs, Sequence) or not specs or not all(isinstance(spec, str) for spec in specs):
        raise ValueError("the trackers are names, as in still,matching, or a list of them: give at least one.")
    specs = [spec.strip() for spec in specs]
    if len(set(specs)) < len(specs):
        raise ValueError(f"a tracker is named twice in {', '.join(specs)}: give each once.")
    parsed = {spec: parse_tracker(spec) for spec in specs}
    return {
        spec: (lambda n=name, s=settings: make_tracker(n, **s), settings) for spec, (name, settings) in parsed.items()
    }


def _command(specs: list[str], header: dict, json_path, limit, difficulties, save, jobs: int) -> str:
    """The command line of these results."""
    words = ["vosnb", "bench", "--tracker", ",".join(specs), "--data", header["dataset"] or "CLIPS"]
    words += ["--split", header["split"]] if header["split"] else []
    words += ["--objects", header["objects"]] + (["--limit", str(limit)] if limit else [])
    words += ["--difficulty", ",".join(difficulties)] if difficulties else []
    if json_path:
        path = Path(json_path).resolve()
        words += ["--json", str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name)]
    words += ["--save", str(save)] if save else []
    words += ["--jobs", str(jobs)] if jobs > 1 else []
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


def rerun_sample(results: dict, count: int = 2, seed: int = 0) -> list[tuple[dict, dict]]:
    """Run the trackers of stored results again on a few of their clips, to hold the one to the other.

    Returns (stored record, fresh record) for each tracker and each of `count` scored clips drawn with `seed`. Raises
    ValueError for results on clips that `load` does not know, and what `make_tracker` and `score_tracker` raise.
    """
    if results["dataset"] is None:
        raise ValueError("these results are on a list of clips, which cannot be loaded again.")
    names = sorted(
        {record["clip"] for record in results["clips"]}
        - {record["clip"] for record in results["clips"] if "left_out" in record}
    )
    sample = np.random.default_rng(seed).choice(names, min(count, len(names)), replace=False).tolist()
    stored = by_tracker(results["clips"])
    running = {spec: make() for spec, (make, _) in _makers(list(results["trackers"])).items()}
    pairs = []
    for clip in (clip for clip in datasets.load(results["dataset"], results["split"]) if clip.name in sample):
        for spec, tracker in running.items():  # not by `bench`, whose warming up takes as long again
            fresh = {"tracker": spec} | score_tracker(tracker, clip, results["objects"])
            pairs.append((stored[spec][clip.name], fresh))
    return pairs
