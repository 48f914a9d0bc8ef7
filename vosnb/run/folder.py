"""The folder that a run writes to: what the run in it is known by, and which of its masks are there.

`run.json` names the clip's files by digests of their contents, and the tracker by its settings, weights and versions.
A run goes on in a folder only if all of these are the same.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict

import vosnb
from vosnb.clips import Clip, ClipError, read_mask
from vosnb.files import read_json, write_text

NOTE, RESUME = "run.json", "resume.safetensors"
MADE_AGAIN = (NOTE, RESUME, "overlay.mp4", "overlay.avi")  # nothing is lost with these
BEGINS = b'{\n "vosnb":'  # every run.json that was ever written
HALF = re.compile(r"\.[0-9a-f]{12}\.half(\.\w+)?")  # what a killed run leaves of a file that it was writing
CURE = "give another --out, or delete that folder to begin anew"


class Note(BaseModel):
    """What run.json holds: see `identity`."""

    model_config = ConfigDict(extra="allow")

    vosnb: str
    versions: dict[str, str]
    frames: int
    size: list[int]
    ids: list[int]
    files: dict[str, str]


def mask_files(clip: Clip, out: Path) -> list[Path]:
    """Where the mask of each frame goes. Raises ClipError when two would be one file."""
    names = clip.names
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ClipError(f"Two frames of '{clip.name}' are named {twice[0]}, and so would be their masks; rename one.")
    return [out / f"{name}.png" for name in names]


def identity(clip: Clip, **about) -> dict:
    """What must be the same for two runs to share a folder: versions, contents of all frames and masks, and `about`.

    Frames that come from files are known by the files' bytes, which is quick for long videos too; others, and masks, by
    their pixels.
    """
    versions = {"torch": torch.__version__, "numpy": np.__version__, "opencv": cv2.__version__}
    known = {"vosnb": vosnb.__version__, "versions": versions} | about
    known |= {"frames": len(clip), "size": list(clip.size), "files": _contents(clip), "ids": clip.labels}
    return json.loads(json.dumps(known, default=lambda thing: type(thing).__name__))  # as it will be read again


def _contents(clip: Clip) -> dict[str, str]:
    """{what it is: digest} of every frame and mask."""
    names, contents = [printable(name) for name in clip.names], {}
    sources = getattr(clip.frames, "sources", [None] * len(clip))
    of_files = all(isinstance(source, Path) for source in sources)
    if of_files and len({*sources}) < len(clip):
        contents["the video"] = digest_of(sources[0])
    elif of_files:
        contents = {f"frame {printable(source.name)}": digest_of(source) for source in sources}
    else:
        contents = {f"frame {name}": digest_of(frame) for name, frame in zip(names, clip.frames, strict=True)}
    for name, mask in zip(names, clip.masks, strict=True):
        if mask is not None:
            contents[f"the mask of frame {name}"] = digest_of(mask)
    return contents


def printable(name: str) -> str:
    """A file's name as text that every program can write, whatever its bytes are."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def digest_of(source: Path | np.ndarray) -> str:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    array = np.ascontiguousarray(source)
    return hashlib.sha256(f"{array.shape} {array.dtype}".encode() + array.tobytes()).hexdigest()[:16]


@contextmanager
def claimed(out: Path, known: dict) -> Iterator[None]:
    """Make the folder this run's own. What was made for it is gone again if it ends without a mask.

    Raises ClipError if the folder belongs to something else, OSError if it cannot be written to.
    """
    new = _is_free(out, known)
    made = [folder for folder in (out, *out.parents) if not folder.exists()] if new else []
    try:
        if new:
            write_text(out / NOTE, json.dumps(known, indent=1))
            (out / RESUME).unlink(missing_ok=True)
        for left in out.iterdir():
            if HALF.fullmatch(left.name):
                left.unlink()
        yield
    finally:
        if new and not any(out.glob("*.png")):
            with suppress(OSError):
                (out / NOTE).unlink(missing_ok=True)
                for folder in made:
                    folder.rmdir()


def _is_free(out: Path, known: dict) -> bool:
    """Whether the folder is new to this run; False where it goes on. ClipError if it is neither."""
    if out.exists() and not out.is_dir():
        raise ClipError(f"{out} is a file; give another --out, a folder that is new or empty.")
    there = {path for path in out.iterdir() if not path.name.startswith(".")} if out.exists() else set()
    note = out / NOTE
    if note not in there:
        if there:
            raise ClipError(f"{out} exists and `vosnb run` did not make it; give another --out, new or empty.")
        return True
    of_value = {path for path in there if path.name not in MADE_AGAIN}
    try:
        before = read_json(note, Note, ClipError).model_dump()
    except ClipError:
        data = note.read_bytes().strip(b"\0 \n")
        if not of_value and (data.startswith(BEGINS) or BEGINS.startswith(data)):  # of a run that was killed
            return True
        raise ClipError(
            f"{note} is damaged, empty, or of another version or program, so that nobody knows what the files beside "
            f"it were made from; {CURE}."
        ) from None
    difference = _difference(out, before, known)
    if difference and of_value:
        raise ClipError(difference)
    return bool(difference)


def _difference(out: Path, before: Mapping, now: Mapping) -> str | None:
    """A sentence about what is not as it was when the folder was begun."""
    for key in dict.fromkeys([*now, *before]):
        old, new = before.get(key), now.get(key)
        if key == "files":
            words = {"has changed": [k for k in new if old.get(k, new[k]) != new[k]]}
            words |= {"is new": [k for k in new if k not in old], "is gone": [k for k in old if k not in new]}
            for what, files in words.items():
                if files:
                    more = f" (and {len(files) - 1} more)" if files[1:] else ""
                    begun = f"since {out} was begun, whose masks are of what was there before"
                    return f"{files[0][0].upper()}{files[0][1:]}{more} {what} {begun}; {CURE}."
        elif old != new:
            return f"{out} holds a run with {key} {old!r}, this one has {new!r}; {CURE}."
    return None


def is_mask(file: Path, size: tuple[int, int]) -> bool:
    """Whether a mask of this size is there, whole to its last byte."""
    try:
        with Image.open(file) as image:
            image.verify()
        return written_mask(file).shape == size
    except (ClipError, OSError, SyntaxError, ValueError):
        return False


def written_mask(file: Path) -> np.ndarray:
    """A mask (H, W) that a run wrote. Its ids are taken as they are: nobody smoothed its edges.

    Raises what `read_mask` does.
    """
    with suppress(OSError, SyntaxError, ValueError), Image.open(file, formats=("PNG",)) as image:
        if image.mode == "P":
            return np.array(image)
    return read_mask(file)
