"""What is kept of a benchmark: scores clip by clip, the results file, and by what they are known again."""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from vosnb.benchmark.score import SCORES
from vosnb.clips import Clip
from vosnb.files import check_writable, read_json, write_text
from vosnb.paths import RESULTS
from vosnb.trackers import ReplayTracker, Tracker


class _Kept(BaseModel):
    """Json of ours: these keys must be as they are here, and others may come with them."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Record(_Kept):
    """A tracker on a clip: its scores, or in `left_out` why there are none."""

    tracker: str
    clip: str
    difficulty: str | None
    left_out: str | None = None
    objects: int = 0
    J: float = 0.0
    F: float = 0.0
    JF: float = 0.0
    J_recall: float = 0.0
    J_decay: float = 0.0
    F_recall: float = 0.0
    F_decay: float = 0.0
    frames: int = 0
    seconds: float = 0.0
    fps: float | None = None
    start_s: float = 0.0
    peak_memory_mb: float = 0.0
    J_objects: list[float] = []
    F_objects: list[float] = []
    seen: list[bool] = []
    fingerprint: str | None = None

    @model_validator(mode="after")
    def whole(self):
        """Nothing that the tables add up is missing."""
        scored = self.left_out is None
        wanted = (
            {"frames", "seconds", "start_s", "peak_memory_mb"} if scored or "fps" in self.model_fields_set else set()
        )
        wanted |= {"fps", "objects", "F_objects", "J_objects", *SCORES} if scored else set()
        if missing := sorted(wanted - self.model_fields_set):
            raise ValueError(f"{missing[0]} is missing")
        if scored and not 0 < self.objects == len(self.J_objects) == len(self.F_objects):
            raise ValueError("objects is not the number of J_objects and F_objects")
        if self.seen and len(self.seen) != self.objects:
            raise ValueError("seen does not go with the objects")
        return self


class Header(_Kept):
    """What all records of a file have in common."""

    dataset: str | None
    split: str | None
    objects: str


class Results(Header):
    trackers: dict[str, dict]
    rows: list[dict]
    pairs: list[dict]
    clips: list[Record]


COMMON = tuple(Header.model_fields)


def load_results(name: str) -> dict:
    """The results in data/results/<name>.json, as `bench` wrote them; FileNotFoundError with the names there are."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in RESULTS.glob("*.json"))) or "none"
        raise FileNotFoundError(
            f"there are no results {name!r} in data/results, but {there}: make them with vosnb bench."
        )
    return _read_results(path)


class Store:
    """The scores that are there already, in the results file and in a file of lines beside it that grows clip by clip.

    Several runs may share the file. Raises ValueError when it, or the file of lines, is not ours, and when they include
    scores that the run at hand would not make again; OSError when they cannot be written.
    """

    def __init__(self, json_path, header: dict, clips: Sequence[str]):
        self.path = Path(json_path).expanduser() if json_path else None
        self.records: dict[tuple[str, str], dict] = {}
        self.made: list[dict] = []
        self.told = False
        if self.path is None:
            return
        check_writable(self.path)
        self.header, self.clips = {key: header[key] for key in (*COMMON, "trackers")}, clips
        self.lines = self.path.with_name(f"{self.path.stem}.partial.jsonl")
        stored = _read_results(self.path) if self.path.exists() else {}
        header_there, records, cut = _read_lines(self.lines)
        for file, old, found in ((self.path, stored, stored.get("clips", [])), (self.lines, header_there, records)):
            if lost := self._lost(old, found):
                raise ValueError(f"{file} holds {lost}: give another file, or delete that one.")
            self.records |= {(record["tracker"], record["clip"]): record for record in found}
        if cut or not header_there:  # or the next line would go on in the one that was cut off
            self._write_lines(records)

    def _lost(self, old: dict, records: list[dict]) -> str | None:
        """What of these results would be gone if those of this run took their place."""
        for key in COMMON if old else ():
            if old.get(key) != self.header[key]:
                return f"results for {key} {old.get(key)!r}, this run is for {self.header[key]!r}"
        for record in records:
            if record["tracker"] not in self.header["trackers"] or record["clip"] not in self.clips:
                return f"scores of {record['tracker']} on {record['clip']}, which this run leaves out"
        return None

    def find(self, tracker: str, clip: str, fingerprint: str) -> dict | None:
        """The record of a tracker on a clip, if it is of these weights, settings and data, and ran at all."""
        record = self.records.get((tracker, clip))
        if record is None or "fps" not in record:  # what failed may have been mended
            return None
        if record.get("fingerprint") == fingerprint:
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
            self.made.append(record)
            try:
                lines = os.open(self.lines, os.O_WRONLY | os.O_APPEND)
            except FileNotFoundError:  # another run on this file has ended, and cleared the lines away
                return self._write_lines(self.made)
            try:
                os.write(lines, json.dumps(record).encode() + b"\n")  # in one piece: other runs may write as well
            finally:
                os.close(lines)

    def _write_lines(self, records: list[dict]) -> None:
        items = [{key: self.header[key] for key in COMMON}, *records]
        write_text(self.lines, "".join(json.dumps(item) + "\n" for item in items))

    def finish(self, results: dict) -> Path | None:
        """Write the results; returns where. That is another file if another run has put other scores there."""
        if not self.path:
            return None
        path, number = self.path, 2
        while path.exists() and not self._may_replace(path):
            path, number = self.path.with_name(f"{self.path.stem}-{number}{self.path.suffix}"), number + 1
        if path != self.path:
            print(f"{self.path} was written by another run meanwhile; these results are in {path}.", file=sys.stderr)
        write_text(path, pretty(results))
        self.lines.unlink(missing_ok=True)
        return path

    def _may_replace(self, path: Path) -> bool:
        try:
            there = _read_results(path)
        except ValueError:
            return False
        return not self._lost(there, there["clips"])


def _read_results(path: Path) -> dict:
    """Results as `bench` wrote them. Raises ValueError where a file holds anything else."""
    try:
        return read_json(path, Results, ValueError).model_dump(exclude_unset=True)
    except ValueError as error:
        what = str(error).removeprefix(f"{path} is damaged: ").rpartition("; ")[0]
        raise ValueError(f"{path} is not a file of results ({what}): give another file, or delete that one.") from None


def _read_lines(path: Path) -> tuple[dict, list[dict], bool]:
    """The header and the records of the lines, and whether any was cut off; those are left out.

    Raises ValueError for a file of another kind: its first line is no header of ours.
    """
    if not path.exists() or not (content := path.read_bytes()):
        return {}, [], False
    lines = content.split(b"\n")
    try:
        header = Header.model_validate_json(lines[0]).model_dump(exclude_unset=True)
    except ValidationError:
        raise ValueError(
            f"{path} is not a file that vosnb bench made, and the run would need its name: move it away, or give "
            "another --json."
        ) from None
    records = []
    for line in lines[1:-1]:
        try:
            records.append(Record.model_validate_json(line).model_dump(exclude_unset=True))
        except ValidationError:
            continue
    return header, records, len(records) < len(lines) - 2 or lines[-1] != b""


def pretty(results: dict) -> str:
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
    """What distinguishes a tracker: its settings, the values of its networks or the masks it replays, its device."""
    nets = [value for value in vars(tracker).values() if isinstance(value, torch.nn.Module)]
    tensors = [t.detach().cpu().numpy() for net in nets for t in net.state_dict().values()]
    members = [member for member, _ in getattr(tracker, "members", [])]
    replayed = [part.digest.encode() for part in (tracker, *members) if isinstance(part, ReplayTracker)]
    device = torch.device(getattr(tracker, "device", "cpu"))
    return {
        "class": type(tracker).__name__,
        "settings": settings,
        "weights": hash_of(*map(np.ascontiguousarray, tensors), *replayed) if tensors or replayed else None,
        "device": device.type,
    }


def digest_of(clip: Clip) -> str:
    ends = [np.ascontiguousarray(clip.frames[t]) for t in (0, -1)]
    masks = [b"none" if mask is None else np.ascontiguousarray(mask) for mask in clip.masks]
    return hash_of(*ends, *masks)


def hash_of(*buffers) -> str:
    digest = hashlib.sha256()
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()[:16]
