"""Clips: the frames of a short video and its index masks, read lazily from wherever they are.

An index mask is an (H, W) uint8 array: 0 is background, 1..K are the objects, 255 is void (pixels that nobody scores).

    load("embedded", "test")    the clips that come with the course; `load("davis2017", "val")` or a folder work alike
    open_clip("holiday.mp4")    one folder of frames or one video file
    write_davis(clip, folder)   and its kin: the same clip in the layout of a benchmark

This file holds the clip itself, the DAVIS layout, folders and video files; image files are read in `masks.py`, the
layouts of YouTube-VOS and OVIS in `layouts.py`. Whatever is wrong with a file, the reader says in one sentence what it
is and how to mend it (`ClipError`).
"""

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vosnb.masks import VOID, ClipError, object_ids, read_frame, read_mask, require_contiguous, write_frame, write_mask
from vosnb.paths import DATA, cache_dir

FRAME_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class Lazy(Sequence):
    """A sequence of `length` items, each made by `get(index)` when it is asked for; slices are lazy as well."""

    def __init__(self, length: int, get: Callable[[int], object]):
        self._length, self._get = length, get

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        if isinstance(index, slice):
            chosen = range(self._length)[index]
            return Lazy(len(chosen), lambda i: self._get(chosen[i]))
        return self._get(range(self._length)[index])  # range checks the index and counts negative ones from the end


@dataclass(frozen=True, eq=False)
class Clip:
    """A short video with its masks.

    frames: sequence of T (H, W, 3) uint8 RGB frames.
    masks: sequence of T (H, W) uint8 index masks, None where a frame is not annotated.
    info: what else is known: "difficulty", "fps", "seen" ({object: was its category seen in training}),
        "ids" (the objects' ids in the data set, where its masks had to be renumbered to 1..K).

    Raises ClipError if there are not as many masks as frames, or no frames at all.
    """

    name: str
    frames: Sequence
    masks: Sequence
    info: dict = field(default_factory=dict)

    def __post_init__(self):
        if len(self.frames) == 0:
            raise ClipError(f"Clip '{self.name}' has no frames; give it at least one.")
        if len(self.frames) != len(self.masks):
            raise ClipError(
                f"Clip '{self.name}' has {len(self.frames)} frames but {len(self.masks)} masks; "
                "give one mask a frame, None where there is no annotation."
            )

    @classmethod
    def from_arrays(cls, name: str, frames, masks=None, **info) -> "Clip":
        """A clip of arrays: frames (T, H, W, 3) uint8 RGB, masks (T, H, W) or a list of (H, W) or None.

        Without masks no frame is annotated. Raises ClipError for other shapes or types.
        """
        masks = [None] * len(frames) if masks is None else [None if m is None else np.asarray(m) for m in masks]
        clip = cls(name, frames, masks, info)
        for t, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
            if np.ndim(frame) != 3 or np.shape(frame)[2] != 3 or np.asarray(frame).dtype != np.uint8:
                raise ClipError(f"Frame {t} of clip '{name}' is not an (H, W, 3) uint8 RGB array; convert it first.")
            for what, size in (("Frame", np.shape(frame)[:2]), ("Mask", clip.size if mask is None else mask.shape)):
                if size != clip.size:
                    raise ClipError(f"{what} {t} of clip '{name}' is {size}, not {clip.size}; resize it first.")
        return replace(clip, masks=[None if m is None else m.astype(np.uint8) for m in masks])

    def __len__(self):
        return len(self.frames)

    @cached_property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.frames[0].shape[:2]

    @cached_property
    def first_mask(self) -> np.ndarray:
        """The (H, W) mask that a tracker starts on. Raises ClipError where there is nothing to start on."""
        mask = self.masks[0]
        if mask is None:
            raise ClipError(
                f"Clip '{self.name}' has no mask for its first frame; give one, e.g. open_clip(path, mask)."
            )
        found = object_ids(mask)
        if not found:
            later = min(self.appearances.values(), default=None)
            cure = "annotate an object in it" if later is None else f"start where one appears: clip.subclip({later})"
            raise ClipError(f"The first mask of clip '{self.name}' is empty, there is nothing to track; {cure}.")
        if found != list(range(1, len(found) + 1)):  # an id may be missing here only if it appears later
            require_contiguous(self.objects, f"the masks of clip '{self.name}'")
        return mask

    @cached_property
    def appearances(self) -> dict[int, int]:
        """{object id: index of the first annotated frame in which it occurs}, by frame; reads every mask."""
        first = {}
        for t, mask in enumerate(self.masks):
            for k in [] if mask is None else object_ids(mask):
                first.setdefault(k, t)
        return first

    @property
    def objects(self) -> list[int]:
        """The ids that occur in the clip, in increasing order."""
        return sorted(self.appearances)

    def only(self, k: int = 1) -> "Clip":
        """The clip in which object `k` alone is annotated, as object 1; all others are background (S0, section 4.2)."""

        def keep(mask):
            return np.where(mask == VOID, VOID, mask == k).astype(np.uint8)

        info = dict(self.info)
        if "ids" in info:
            info["ids"] = [info["ids"][k - 1]]
        if "seen" in info:
            info["seen"] = {1: info["seen"][k]}
        return replace(self, masks=_each(self.masks, keep), info=info)

    def resized(self, height: int | None = None, width: int | None = None) -> "Clip":
        """The clip at another size; with one side given the other keeps the aspect ratio.

        Frames are averaged when they shrink; masks take the nearest pixel, so a tiny object may vanish.
        """
        h, w = self.size
        if height is None and width is None:
            raise ClipError("resized() needs a height, a width or both, in pixels.")
        size = (width or max(1, round(w * height / h)), height or max(1, round(h * width / w)))  # cv2 wants (W, H)
        how = cv2.INTER_AREA if size[1] < h else cv2.INTER_LINEAR
        return replace(
            self,
            frames=_each(self.frames, lambda frame: cv2.resize(frame, size, interpolation=how)),
            masks=_each(self.masks, lambda mask: cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)),
        )

    def subclip(self, start: int = 0, stop: int | None = None) -> "Clip":
        """Frames start..stop-1 as a clip; indices count as in a slice."""
        return replace(self, frames=self.frames[start:stop], masks=self.masks[start:stop])


def _each(items, change):
    """A lazy view of `items` with `change` applied to each that is not None."""

    def get(i):
        return None if (item := items[i]) is None else change(item)

    return Lazy(len(items), get)


# ------------------------------------------------------------------------------------------- clips from image files


def clip_of_files(name: str, frames: list[Path], masks: list, info: dict | None = None) -> Clip:
    """A clip whose frames are image files; `masks` holds a path, a function of no arguments, or None for each frame.

    Sizes are checked as files are read: a frame or mask that differs from the first frame raises ClipError.
    """

    def checked(image, path):
        if image.shape[:2] != clip.size:
            (h, w), (height, width) = image.shape[:2], clip.size
            raise ClipError(
                f"{path} is {w} x {h} pixels but the first frame of clip '{name}' is {width} x {height}; "
                "bring all to one size (masks with nearest neighbour)."
            )
        return image

    def frame(t):
        image = read_frame(frames[t])
        return image if t == 0 else checked(image, frames[t])

    def mask(t):
        source = masks[t]
        if source is None:
            return None
        if callable(source):
            return checked(source(), f"The mask of {frames[t]}")
        return checked(read_mask(source), source)

    clip = Clip(name, Lazy(len(frames), frame), Lazy(len(masks), mask), info or {})
    return clip


def _images(folder: Path) -> list[Path]:
    """The image files of a folder, by number where the names are numbers, else by name."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES and not p.name.startswith(".")]
    return sorted(files, key=lambda p: (int(p.stem) if p.stem.isdigit() else 0, p.name))


def _require_no_gap(files: list[Path]):
    """Raise ClipError if the numbers in the file names skip one (a constant step, as in every fifth frame, is fine)."""
    if len(files) < 3 or not all(p.stem.isdigit() for p in files):
        return
    numbers = [int(p.stem) for p in files]
    step = min(b - a for a, b in zip(numbers, numbers[1:], strict=False))
    for file, a, b in zip(files, numbers, numbers[1:], strict=False):
        if b - a != step:
            missing = file.with_stem(f"{a + step:0{len(file.stem)}d}")
            raise ClipError(f"{missing} is missing between its neighbours; restore it or renumber the frames.")


def _folder(path: Path, what: str) -> Path:
    """`path` if it is a folder, else ClipError with the names that come near."""
    if path.is_dir():
        return path
    beside = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    raise ClipError(f"There is no {what} {path}{_close(path.name, beside)}.")


def _close(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


# ------------------------------------------------------------------------------------------------------ DAVIS layout


def read_davis(root: Path, split: str, resolution: str | None = None, limit: int | None = None) -> list[Clip]:
    """The clips of a split in DAVIS layout, 2016 or 2017.

        JPEGImages/<resolution>/<clip>/00000.jpg   Annotations/<resolution>/<clip>/00000.png
        ImageSets/<2017 or 2016 or resolution>/<split>.txt   clip names, or DAVIS 2016's pairs of paths, line by line

    resolution: default "480p", or the only one there is. Without ImageSets every clip belongs to every split.
    Frames without a mask file are not annotated. `clips.json` beside the folders adds to the clips' info.
    """
    resolution = _resolution(root, resolution)
    names = _split(root, split, resolution)
    about = json.loads((root / "clips.json").read_text())["clips"] if (root / "clips.json").exists() else {}
    return [_davis_clip(root, name, resolution, about.get(name, {})) for name in names[:limit]]


def _resolution(root: Path, wanted: str | None) -> str:
    known = sorted(p.name for p in (root / "JPEGImages").iterdir() if p.is_dir())
    if wanted is None:
        wanted = "480p" if "480p" in known or not known else known[0]
    if wanted not in known:
        raise ClipError(f"{root} has no frames of resolution '{wanted}'; it has {', '.join(known) or 'none'}.")
    return wanted


def _split(root: Path, split: str, resolution: str) -> list[str]:
    lists = [
        p for place in ("2017", "2016", resolution, ".") for p in sorted((root / "ImageSets" / place).glob("*.txt"))
    ]
    if not lists:
        return sorted(p.name for p in (root / "JPEGImages" / resolution).iterdir() if p.is_dir())
    for file in lists:
        if file.stem == split:
            entries = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
            return list(dict.fromkeys(Path(e).parent.name if "/" in e else e for e in entries))
    raise unknown_split(root, split, [p.stem for p in lists])


def unknown_split(where, split: str, known: Iterable[str]) -> ClipError:
    known = list(dict.fromkeys(known))
    return ClipError(f"{where} has no split '{split}'{_close(split, known)}; it has {', '.join(known)}.")


def _davis_clip(root: Path, name: str, resolution: str, about: dict) -> Clip:
    frames = _images(_folder(root / "JPEGImages" / resolution / name, "folder of frames"))
    folder = root / "Annotations" / resolution / name
    masks = {p.stem: p for p in folder.glob("*.png")} if folder.is_dir() else {}
    orphans = sorted(masks.keys() - {p.stem for p in frames})
    if orphans:
        raise ClipError(
            f"{masks[orphans[0]]} has no frame {root / 'JPEGImages' / resolution / name / orphans[0]}.jpg; "
            "restore the frame or remove the mask."
        )
    _require_no_gap(frames)
    info = dict(about)
    if "seen" in info:
        info["seen"] = {int(k): v for k, v in info["seen"].items()}  # json has string keys only
    return clip_of_files(name, frames, [masks.get(p.stem) for p in frames], info)


def write_davis(
    clip: Clip,
    root: Path,
    split: str | None = None,
    resolution: str = "480p",
    year: str = "2017",
    quality: int = 95,
) -> None:
    """Write a clip in DAVIS layout, and its name into ImageSets/<year>/<split>.txt if a split is given.

    year "2016" writes black-and-white masks in which all objects are one. Frames are JPEG of that quality.
    """
    root = Path(root)
    for t, (frame, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        write_frame(root / "JPEGImages" / resolution / clip.name / f"{t:05d}.jpg", frame, quality)
        if mask is not None:
            file = root / "Annotations" / resolution / clip.name / f"{t:05d}.png"
            if year == "2016":
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.where((mask > 0) & (mask != VOID), 255, 0).astype(np.uint8)).save(file)
            else:
                write_mask(file, mask)
    if split is not None:
        file = root / "ImageSets" / year / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        names = file.read_text().split() if file.exists() else []
        file.write_text("\n".join(dict.fromkeys([*names, clip.name])) + "\n")


# ------------------------------------------------------------------------------------------------ data sets by name


def load(
    dataset: str | Path = "embedded", split: str = "test", limit: int | None = None, resolution: str | None = None
) -> list[Clip]:
    """The clips of a data set, at most `limit` of them; nothing is decoded before it is looked at.

    dataset: "embedded", the course's own clips: splits "val" and "test", and, generated as they are read,
            "train", "test-large" and "generated:START:COUNT" (seeds START..START+COUNT-1, all difficulties in turn);
        "davis2016", "davis2017" or "davis2017-full": downloaded with `vosnb data`, splits "train" and "val" ("test"
            stands for "val" there: the masks of the others are not public);
        a folder in DAVIS, YouTube-VOS or OVIS layout.
    resolution: which of several sizes to read in DAVIS layout, default "480p".

    Raises ClipError if the data set, the split or a file is missing or unusable.
    """
    if limit is not None and limit < 1:
        raise ClipError(f"limit is {limit}; give the number of clips to load, at least 1.")
    if dataset == "embedded":
        if split in ("train", "test-large") or split.startswith("generated"):
            return _generated(split)[:limit]
        return read_davis(DATA, split, resolution, limit)
    if str(dataset).startswith("davis20"):
        from vosnb.downloads import DATASETS

        if dataset not in DATASETS:
            raise ClipError(f"There is no data set '{dataset}'{_close(dataset, DATASETS)}.")
        root = cache_dir() / dataset
        if not root.is_dir():
            raise ClipError(f"{dataset} is not in {root.parent}; get it with `vosnb data {dataset}`.")
        return read_davis(root, "val" if split == "test" else split, resolution, limit)
    root = _folder(Path(dataset).expanduser(), "data set")
    if (root / "JPEGImages").is_dir() and not (root / "meta.json").exists():
        return read_davis(root, split, resolution, limit)
    from vosnb import layouts

    if layouts.is_youtube_vos(root):
        return layouts.read_youtube_vos(root, split, limit)
    if layouts.is_ovis(root):
        return layouts.read_ovis(root, split, limit)
    raise ClipError(
        f"{root} is in none of the layouts DAVIS (JPEGImages/), YouTube-VOS (meta.json), OVIS (annotations_*.json); "
        "give the folder that holds these, or open_clip() for a single clip."
    )


def _generated(split: str) -> list[Clip]:
    from vosnb import creatures

    if not split.startswith("generated"):
        return creatures.benchmark(split)
    try:
        start, count = (int(number) for number in split.removeprefix("generated:").split(":"))
    except ValueError:
        raise ClipError(f"'{split}' is not of the form generated:START:COUNT, as in generated:1000:40.") from None
    return creatures.benchmark("generated", start, count)
