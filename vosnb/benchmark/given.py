"""`vosnb score`: masks that any program wrote, held to the truth, as vos-benchmark does it.

- The first and the last annotated frame do not count.
- An object counts from the first other frame in which the truth or the masks show it; one that the truth shows in none
  of these frames does not count.
- J and F are means over all objects, whatever clip they are in.

`bench` counts a little otherwise where objects come late: there an object counts after the frame of its first mask,
which a tracker is given. Unlike in vos-benchmark, void pixels (255) are in no score.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from vosnb import datasets
from vosnb.benchmark.score import FAILURES, SCORES, why_left_out
from vosnb.benchmark.store import pretty
from vosnb.benchmark.table import grid, left_out_notes
from vosnb.clips import Clip, read_mask
from vosnb.clips.folders import folder_or_error
from vosnb.clips.layouts import subfolders
from vosnb.clips.masks import VOID, object_ids
from vosnb.clips.names import mask_files
from vosnb.files import check_writable, read_json, write_text
from vosnb.metrics import boundary_f, jaccard, statistics
from vosnb.trackers.replay import (
    clip_folder,
    clip_folders,
    holds_masks,
    refuse_strangers,
)

Masks = dict[str, Callable[[], np.ndarray]]  # {name of the frame: reads its mask}, in the order of the frames


def score(truth: str | Path, masks: str | Path, split: str = "val", json_path: str | Path | None = None) -> dict:
    """J and F of folders of masks, per clip and per object.

    truth: a data set as `vosnb.clips.load` reads it, with its `split`; or a folder that holds a folder of PNGs for each
        clip; or the folder of PNGs of one clip.
    masks: a folder that holds a folder of PNGs for each clip (or, for one clip, these PNGs), named like the truth's.
    json_path: where the results go; an earlier file of `score` is replaced.

    Returns {"truth", "masks", "objects", "J", "F", "JF", "J_recall", ..., "clips", "unknown"}: "clips" holds the same
    of each clip, with "ids", "J_objects", "F_objects", or why it is not scored as "left_out"; what is odd about its
    masks is in "note". "unknown" names the clips of `masks` that the truth has not. Scores are None if no clip has any.
    Raises ClipError where truth or masks are nothing of the kind, ValueError where json_path holds something else.
    """
    json_path = None if json_path is None else Path(json_path).expanduser()
    if json_path is not None:
        _check_free(json_path)
    folder = folder_or_error(Path(masks).expanduser(), "folder of masks")
    single = holds_masks(folder)
    folder = folder if single else clip_folders(folder)
    truths = _truths(truth, split)
    if single and len(truths) > 1:
        if (name := folder.resolve().name) not in truths:
            raise ValueError(f"{masks} holds masks of one clip, and {truth} has none named {name!r}: give its truth.")
        truths = {name: truths[name]}
    clips = []
    for name, annotated in truths.items():
        try:
            clips.append({"clip": name} | _score_clip(name, annotated, folder, single))
        except FAILURES as error:
            clips.append({"clip": name, "left_out": why_left_out(error)})
    scored = [clip for clip in clips if "left_out" not in clip]
    objects = sum(clip["objects"] for clip in scored)
    weights = [clip["objects"] for clip in scored]
    means = {key: float(np.average([c[key] for c in scored], weights=weights)) if scored else None for key in SCORES}
    both = (means["J"] + means["F"]) / 2 if scored else None
    results = {"truth": str(truth), "masks": str(masks), "objects": objects, "JF": both} | means
    results["unknown"] = [] if single else [p.name for p in subfolders(folder) if p.name not in truths]
    results["clips"] = clips
    if json_path is not None:
        write_text(json_path, pretty(results))
    return results


class Scores(BaseModel):
    """What tells a file of `score` from others."""

    truth: str
    masks: str
    objects: int
    clips: list[dict]
    unknown: list[str]


def _check_free(path: Path) -> None:
    check_writable(path)
    if path.exists():
        try:
            read_json(path, Scores)
        except ValueError:
            raise ValueError(f"{path} was not made by vosnb score: give another file, or move that one away.") from None


def _truths(truth: str | Path, split: str) -> dict[str, Masks]:
    """{clip: its annotated frames}."""
    root = Path(truth).expanduser()
    if root.is_dir() and holds_masks(root):
        return {root.resolve().name: _of_files(root)}
    if root.is_dir() and not any((root / name).exists() for name in ("JPEGImages", "meta.json")):
        inside = [folder for folder in subfolders(clip_folders(root)) if holds_masks(folder)]
        if inside:
            return {folder.name: _of_files(folder) for folder in inside}
    return {clip.name: _of_clip(clip) for clip in datasets.load(str(truth), split)}


def _of_files(folder: Path) -> Masks:
    return {name: lambda file=file: read_mask(file) for name, file in mask_files(folder).items()}


def _of_clip(clip: Clip) -> Masks:
    """The masks of a clip with the ids that it has in its data set."""
    sources = getattr(clip.masks, "sources", [None])  # they say which frames are annotated, without decoding
    sources = sources if any(source is not None for source in sources) else list(clip.masks)
    return {
        name: lambda t=t: clip.labelled(clip.masks[t]) for t, name in enumerate(clip.names) if sources[t] is not None
    }


OTHERS = "vos-benchmark and davis2017-evaluation stop at that; here the clip is in no mean"


def _score_clip(name: str, truth: Masks, folder: Path, single: bool) -> dict:
    """The record of a clip. Raises ValueError where its masks cannot be scored."""
    names = list(truth)[1:-1]
    if not names:
        raise ValueError("nothing to score: no annotated frame but the first and the last, which do not count")
    if not single:
        try:
            folder = clip_folder(folder, name)
        except ValueError:
            raise ValueError(f"{folder / name} is missing ({OTHERS})") from None
    files = mask_files(folder)
    if missing := [name for name in names if name not in files]:
        more = f" and {len(missing) - 1} more masks are" if len(missing) > 1 else " is"
        raise ValueError(f"{folder / missing[0]}.png{more} missing ({OTHERS})")
    J: dict[int, list[float]] = {}
    F: dict[int, list[float]] = {}
    known, predicted = set[int](), set[int]()
    for name in names:
        true, found = truth[name](), read_mask(files[name])
        if found.shape != true.shape:
            (h, w), (height, width) = found.shape, true.shape
            raise ValueError(f"{files[name]} is {w} x {h} pixels, the truth {width} x {height}")
        known |= set(object_ids(true))
        predicted |= set(object_ids(found))
        for k in known | predicted:
            J.setdefault(k, []).append(jaccard(true == k, found == k, true == VOID))
            F.setdefault(k, []).append(boundary_f(true == k, found == k, true == VOID))
    if not known:
        raise ValueError("the truth shows no object: nothing to score")
    refuse_strangers({name: files[name] for name in names}, known)
    ids = sorted(known)
    each = [(statistics(J[k]), statistics(F[k])) for k in ids]
    columns = {
        "J": [j.mean for j, _ in each],
        "F": [f.mean for _, f in each],
        "J_recall": [j.recall for j, _ in each],
        "J_decay": [j.decay for j, _ in each],
        "F_recall": [f.recall for _, f in each],
        "F_decay": [f.decay for _, f in each],
    }
    means = {key: float(np.mean(values)) for key, values in columns.items()}
    record = {"objects": len(ids), "JF": (means["J"] + means["F"]) / 2} | means | {"ids": ids}
    record |= {f"{key}_objects": values for key, values in columns.items()}
    notes = []
    if never := sorted(known - predicted):
        notes.append(f"no mask holds {_list('object', never)}: counted as lost")
    if strangers := sorted(predicted - known):
        notes.append(f"the masks hold {_list('object', strangers)}, which the truth has not: counted as background")
    return record | ({"note": "; ".join(notes)} if notes else {})


def _list(what: str, numbers: list[int]) -> str:
    return f"{what}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def score_table(results: dict) -> str:
    """The results as text: a line for each object, the mean, and what is not scored or odd."""
    keys = ("J", "J_recall", "J_decay", "F", "F_recall", "F_decay")
    lines = [["clip", "object", "J&F", "J", "recall", "decay", "F", "recall", "decay"]]
    for clip in results["clips"]:
        for i, k in enumerate(clip.get("ids", [])):
            values = [clip[f"{key}_objects"][i] for key in keys]
            lines.append([clip["clip"], str(k), *(f"{value:.3f}" for value in ((values[0] + values[3]) / 2, *values))])
    parts = []
    if results["objects"]:
        lines.append(["all", str(results["objects"]), *(f"{results[key]:.3f}" for key in ("JF", *keys))])
        parts.append(grid(lines))
    notes = left_out_notes(results["clips"])
    notes += [f"{clip['clip']}: {clip['note']}" for clip in results["clips"] if "note" in clip]
    if unknown := results["unknown"]:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        notes.append(f"Not looked at, as the truth has no such clip: {', '.join(unknown[:5])}{more}.")
    return "\n\n".join(filter(None, [*parts, "\n".join(notes)]))
