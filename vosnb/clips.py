"""Clips: the frames of a short video and its index masks, read lazily from wherever they are.

An index mask is an (H, W) uint8 array: 0 is background, 1..K are the objects, 255 is void (pixels that nobody scores).

    load("embedded", "test")    the clips that come with the course; `load("davis2017", "val")` or a folder work alike
    open_clip("holiday.mp4")    one folder of frames or one video file
    write_davis(clip, folder)   and its kin: the same clip in the layout of a benchmark

This file holds the clip itself and the DAVIS layout; `masks.py` reads image files, `video.py` videos, `layouts.py` the
layouts of YouTube-VOS and OVIS. Whatever is wrong with a file, the reader says in one sentence what it is and how to
mend it (`ClipError`).
"""

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from vosnb.masks import VOID, ClipError, object_ids, read_frame, read_mask, write_frame, write_mask
from vosnb.paths import DATA, cache_dir
from vosnb.video import Video

FRAME_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class Lazy(Sequence):
    """A sequence of `length` items, each made by `get(index)` when it is asked for; slices are lazy as well.

    sources: what each item is made from (a path, say), for messages.
    """

    def __init__(self, length: int, get: Callable[[int], object], sources: Sequence | None = None):
        self._length, self._get, self.sources = length, get, sources or [None] * length

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        if isinstance(index, slice):
            chosen = range(self._length)[index]
            return Lazy(len(chosen), lambda i: self._get(chosen[i]), self.sources[index])
        return self._get(range(self._length)[index])  # range checks the index and counts negative ones from the end


@dataclass(frozen=True, eq=False)
class Clip:
    """A short video with its masks.

    frames: sequence of T (H, W, 3) uint8 RGB frames.
    masks: sequence of T (H, W) uint8 index masks, None where a frame is not annotated.
    info: what else is known: "difficulty", "fps", "names" (of the frames' files), "seen" ({object: was its category
        seen in training}),
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

        Without masks no frame is annotated. Raises ClipError for other shapes or types, and for ids other than 1..K.
        """
        masks = [None] * len(frames) if masks is None else [None if m is None else np.asarray(m) for m in masks]
        clip = cls(name, frames, masks, info)
        for t, frame in enumerate(frames):
            frame = np.asarray(frame)
            if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
                raise ClipError(f"Frame {t} of clip '{name}' is not an (H, W, 3) uint8 RGB array; convert it first.")
            if frame.shape[:2] != clip.size:
                raise ClipError(f"Frame {t} of clip '{name}' is {frame.shape[:2]}, not {clip.size}; resize it first.")
        for t, mask in enumerate(masks):
            if mask is not None and (mask.shape != clip.size or mask.dtype.kind not in "bui" or mask.max() > VOID):
                raise ClipError(
                    f"Mask {t} of clip '{name}' is not an array of {clip.size} ids in 0..255; "
                    "resize it with nearest neighbour and renumber its objects."
                )
        _require_no_gap([k for m in masks if m is not None for k in object_ids(m)], f"The masks of clip '{name}' have")
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
        mask, where = self.masks[0], f"The first mask of clip '{self.name}'"
        if isinstance(self.masks, Lazy) and isinstance(self.masks.sources[0], Path):
            where += f" ({self.masks.sources[0]})"
        if mask is None or not object_ids(mask):
            fault = "is missing" if mask is None else "is empty: there is nothing to track"
            later = min(self.appearances.values(), default=None)
            cure = "give one with an object in it" if later is None else f"start at one: clip.subclip({later})"
            raise ClipError(f"{where} {fault}; {cure}.")
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
            info["ids"] = info["ids"][k - 1 : k]
        for key in {"seen", "categories"} & info.keys():
            info[key] = {1: info[key][k]} if k in info[key] else {}
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
        info = {key: value[start:stop] if key == "names" else value for key, value in self.info.items()}
        return replace(self, frames=self.frames[start:stop], masks=self.masks[start:stop], info=info)


def _each(items, change):
    """A lazy view of `items` with `change` applied to each that is not None."""

    def get(i):
        return None if (item := items[i]) is None else change(item)

    return Lazy(len(items), get, getattr(items, "sources", None))


def _require_no_gap(ids: Iterable[int], who_have: str):
    """Raise ClipError unless the ids, in any order and however often, are 1..K."""
    ids = sorted(set(ids))
    if ids and ids[-1] != len(ids):
        raise ClipError(
            f"{who_have} the object ids {', '.join(map(str, ids))}; "
            f"renumber the objects 1..{len(ids)} and save the masks with write_mask."
        )


# ----------------------------------------------------------------------------------------------- clips from files


def clip_of(name: str, frames: Sequence, masks: Sequence, info: dict | None = None, read: Callable = read_mask) -> Clip:
    """A clip that is read as it is looked at, and whose sizes are checked then.

    frames: image paths, or a lazy sequence of (H, W, 3) arrays.
    masks: for each frame what `read` turns into an index mask (a path, by default), or None.
    """

    def fitting(image, what):
        if image.shape[:2] != clip.size:
            (h, w), (height, width) = image.shape[:2], clip.size
            raise ClipError(
                f"{what} is {w} x {h} pixels but the first frame of clip '{name}' is {width} x {height}; "
                "bring all to one size (masks with nearest neighbour)."
            )
        return image

    def frame(t):
        image = read_frame(frames[t]) if isinstance(frames[t], Path) else frames[t]
        return image if t == 0 else fitting(image, frames[t])

    def mask(t):
        what = masks[t] if isinstance(masks[t], Path) else f"The mask of frame {t}"
        return None if masks[t] is None else fitting(read(masks[t]), what)

    names = {"names": [p.stem for p in frames]} if isinstance(frames[0], Path) else {}
    clip = Clip(name, Lazy(len(frames), frame), Lazy(len(masks), mask, masks), names | (info or {}))
    return clip


def gapless(masks: Sequence, read: Callable = read_mask) -> Callable:
    """`read` for a clip of these masks, with ClipError if an id is left out that no other mask of the clip has."""

    @cache
    def everywhere():
        return {k for source in masks if source is not None for k in object_ids(read(source))}

    def checked(source):
        mask = read(source)
        found = object_ids(mask)
        if found and found[-1] != len(found):
            _require_no_gap(everywhere(), f"{source if isinstance(source, Path) else 'The mask'} and its clip have")
        return mask

    return checked


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, by number where their names are numbers, else by name; ClipError if none."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES and not p.name.startswith(".")]
    if not files:
        raise ClipError(f"{folder} holds no images ({', '.join(sorted(FRAME_SUFFIXES))}); give a folder of frames.")
    return sorted(files, key=lambda p: (int(p.stem) if p.stem.isdigit() else 0, p.name))


def consecutive(files: list[Path]) -> list[Path]:
    """The files, or ClipError if their numbers skip one; a constant step (every fifth frame) is fine."""
    if all(p.stem.isdigit() for p in files):
        steps = [int(b.stem) - int(a.stem) for a, b in pairwise(files)]
        for file, step in zip(files, steps, strict=False):
            if step != min(steps):
                missing = file.with_stem(f"{int(file.stem) + min(steps):0{len(file.stem)}d}")
                raise ClipError(f"{missing} is missing between its neighbours; restore it or renumber the frames.")
    return files


def folder_or_error(path: Path, what: str) -> Path:
    """`path` if it is a folder, else ClipError with the names that come near."""
    if path.is_dir():
        return path
    beside = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    raise ClipError(f"There is no {what} {path}; {_near(path.name, beside, 'check the path')}.")


def split_or_error(root: Path, split: str, known: dict):
    """known[split], else ClipError with the splits that there are."""
    if split in known:
        return known[split]
    raise ClipError(
        f"{root} has no split '{split}' but {', '.join(known)}; {_near(split, known, 'choose one of these')}."
    )


def _near(name: str, known: Iterable[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"perhaps you mean {' or '.join(near)}" if near else otherwise


def open_clip(path: str | Path, mask: str | Path | np.ndarray | None = None) -> Clip:
    """A clip of one folder of frames or one video file.

    mask: that of the first frame, as a PNG or an (H, W) array; or a folder of PNGs named like the frames (00000.png
    and so on for a video); or nothing.

    Raises ClipError if there is nothing that can be read and, when it is looked at, for a mask that does not fit.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        frames = consecutive(image_files(path))
        names = [p.stem for p in frames]
        info = {"names": names}
    elif path.exists():
        video = Video(path)
        frames, info = Lazy(video.length, video.frame), {"fps": video.fps}
        names = [f"{t:05d}" for t in range(video.length)]
    else:
        raise ClipError(f"There is no folder or video {path}; check the path.")

    masks = [None] * len(frames)
    if isinstance(mask, str | Path) and Path(mask).is_dir():
        masks = [file if (file := Path(mask) / f"{name}.png").exists() else None for name in names]
        if not any(masks):
            raise ClipError(f"No mask in {mask} is named like a frame ({names[0]}.png ...); rename the masks.")
    elif mask is not None:
        masks[0] = Path(mask) if isinstance(mask, str | Path) else np.array(mask, np.uint8)
    return clip_of(path.stem, frames, masks, info, gapless(masks, lambda m: read_mask(m) if isinstance(m, Path) else m))


def write_folder(clip: Clip, folder: str | Path, suffix: str = ".jpg") -> None:
    """Write frames to <folder>/00000.jpg ... and masks, where there are any, to <folder>/masks/00000.png ..."""
    for t, (frame, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        write_frame(Path(folder) / f"{t:05d}{suffix}", frame)
        if mask is not None:
            write_mask(Path(folder) / "masks" / f"{t:05d}.png", mask)


# ---------------------------------------------------------------------------------------------------- DAVIS layout


def read_davis(root: Path, split: str, limit: int | None = None, resolution: str | None = None) -> list[Clip]:
    """The clips of a split in DAVIS layout, 2016 or 2017.

        JPEGImages/<resolution>/<clip>/00000.jpg   Annotations/<resolution>/<clip>/00000.png
        ImageSets/<2017, 2016 or resolution>/<split>.txt   names of clips (DAVIS 2016: pairs of paths), line by line

    resolution: default "480p", or the first there is. Without ImageSets every clip belongs to every split.
    Frames without a mask file are not annotated. `clips.json` at the root ({"clips": {name: {...}}}) adds to info.

    Raises ClipError for an unknown split or resolution, and for a clip whose folder or frames are missing.
    """
    sizes = sorted(p.name for p in folder_or_error(root / "JPEGImages", "folder of clips").iterdir() if p.is_dir())
    resolution = resolution or ("480p" if "480p" in sizes or not sizes else sizes[0])
    if resolution not in sizes:
        raise ClipError(f"{root} has no frames of resolution '{resolution}'; it has {', '.join(sizes) or 'none'}.")
    lists = {}
    for place in ("2017", "2016", resolution, "."):
        for file in sorted((root / "ImageSets" / place).glob("*.txt")):
            lists.setdefault(file.stem, file)
    if lists:
        entries = [
            line.split()[0] for line in split_or_error(root, split, lists).read_text().splitlines() if line.strip()
        ]
        names = list(dict.fromkeys(Path(e).parent.name if "/" in e else e for e in entries))
    else:
        names = sorted(p.name for p in (root / "JPEGImages" / resolution).iterdir() if p.is_dir())
    about = json.loads((root / "clips.json").read_text())["clips"] if (root / "clips.json").exists() else {}
    return [_davis_clip(root, name, resolution, dict(about.get(name, {}))) for name in names[:limit]]


def _davis_clip(root: Path, name: str, resolution: str, info: dict) -> Clip:
    frames = image_files(folder_or_error(root / "JPEGImages" / resolution / name, "folder of frames"))
    masks = {p.stem: p for p in (root / "Annotations" / resolution / name).glob("*.png")}
    orphans = sorted(masks.keys() - {p.stem for p in frames})
    if orphans:
        frame = frames[0].with_stem(orphans[0])
        raise ClipError(
            f"{frame} is missing, though there is a mask {masks[orphans[0]]}; restore it or remove the mask."
        )
    if "seen" in info:
        info["seen"] = {int(k): v for k, v in info["seen"].items()}  # json has string keys only
    masks = [masks.get(p.stem) for p in frames]
    return clip_of(name, consecutive(frames), masks, info, gapless(masks))


def write_davis(
    clip: Clip,
    root: str | Path,
    split: str | None = None,
    resolution: str = "480p",
    year: str = "2017",
    quality: int = 95,
) -> None:
    """Write a clip in DAVIS layout and, if a split is given, its name into ImageSets/<year>/<split>.txt.

    year: "2017" writes palette masks, "2016" black-and-white ones in which all objects are one.
    quality: of the JPEG frames.
    """
    root = Path(root)
    for t, (frame, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        write_frame(root / "JPEGImages" / resolution / clip.name / f"{t:05d}.jpg", frame, quality)
        if mask is not None:
            write_mask(root / "Annotations" / resolution / clip.name / f"{t:05d}.png", mask, binary=year == "2016")
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
            return _generated(split, limit)
        return read_davis(DATA, split, limit, resolution)
    if str(dataset).startswith("davis20"):
        from vosnb.downloads import DATASETS

        if dataset not in DATASETS:
            raise ClipError(f"There is no data set '{dataset}'; {_near(dataset, DATASETS, 'choose davis2017')}.")
        root = cache_dir() / dataset
        if not root.is_dir():
            raise ClipError(f"{dataset} is not in {root.parent}; get it with `vosnb data {dataset}`.")
        return read_davis(root, "val" if split == "test" else split, limit, resolution)
    root = folder_or_error(Path(dataset).expanduser(), "data set")
    if (root / "JPEGImages").is_dir() and not (root / "meta.json").exists():
        return read_davis(root, split, limit, resolution)
    from vosnb import layouts

    if layouts.is_youtube_vos(root):
        return layouts.read_youtube_vos(root, split, limit)
    if layouts.is_ovis(root):
        return layouts.read_ovis(root, split, limit)
    raise ClipError(
        f"{root} is in none of the layouts DAVIS (JPEGImages/), YouTube-VOS (meta.json), OVIS (annotations_*.json); "
        "give the folder that holds these, or open_clip() for a single clip."
    )


def _generated(split: str, limit: int | None) -> list[Clip]:
    from vosnb import creatures

    if not split.startswith("generated"):
        return creatures.benchmark(split, count=limit)
    try:
        start, count = (int(number) for number in split.removeprefix("generated:").split(":"))
    except ValueError:
        raise ClipError(f"'{split}' is not of the form generated:START:COUNT, as in generated:1000:40.") from None
    return creatures.benchmark("generated", start, count if limit is None else min(count, limit))
