"""The clip: frames of a short video and its index masks, read lazily from wherever they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from vosnb.clips.masks import VOID, as_mask, object_ids, read_mask
from vosnb.clips.numbering import gapless
from vosnb.clips.pictures import MAX_PIXELS, ClipError, read_frame, require_frame

__all__ = ["Clip", "Lazy", "clip_of", "gapless"]


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

    def __iter__(self):
        for i in range(self._length):  # Sequence's own would take an IndexError of `get` for the end
            yield self._get(i)


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
    numbering: Callable[[], list[int]] | None = field(default=None, repr=False)

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
        try:
            frames, masks = list(frames), None if masks is None else list(masks)
        except TypeError:
            raise ClipError(f"Clip '{name}' needs a list of frames, and one of masks or None.") from None
        masks = [None] * len(frames) if masks is None else masks
        frames = [require_frame(frame, f"Frame {t} of clip '{name}'") for t, frame in enumerate(frames)]
        masks = [None if m is None else as_mask(m, f"Mask {t} of clip '{name}'") for t, m in enumerate(masks)]
        clip = cls(name, frames, masks, info)
        for what, items in (("Frame", frames), ("Mask", masks)):
            for t, item in enumerate(items):
                if item is not None and item.shape[:2] != clip.size:
                    raise ClipError(
                        f"{what} {t} of clip '{name}' is {item.shape[:2]}, not {clip.size}; resize it first "
                        "(a mask with nearest neighbour)."
                    )
        ids = sorted({k for m in masks if m is not None for k in object_ids(m)})
        if ids and ids[-1] != len(ids):
            raise ClipError(
                f"The masks of clip '{name}' have the object ids {', '.join(map(str, ids))}; "
                f"renumber the objects 1..{len(ids)}."
            )
        return clip

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
            cure = "give one with an object in it"
            if later is not None:
                cure = f"the first with an object is that of frame {later}: let the clip begin there"
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

    @cached_property
    def ids(self) -> list[int]:
        """ids[k - 1] is the id that object k has in the files that it came from; may read every mask."""
        if "ids" in self.info:
            return list(self.info["ids"])
        return self.numbering() if self.numbering else list(range(1, max(self.objects, default=0) + 1))

    @cached_property
    def labels(self) -> list[int]:
        """labels[k - 1] is what stands for object k in mask files that are written: its id, where all fit."""
        count = max(self.objects, default=0)
        fit = len(self.ids) >= count and len({*self.ids}) == len(self.ids) and all(0 < i < VOID for i in self.ids)
        return self.ids if fit else list(range(1, count + 1))

    def labelled(self, mask: np.ndarray) -> np.ndarray:
        """A mask (H, W) of the clip's objects as it is written: with their `labels`; void stays void."""
        table = np.arange(VOID + 1, dtype=np.uint8)
        table[1 : len(self.labels) + 1] = self.labels
        return table[mask]

    @property
    def names(self) -> list[str]:
        """What the frames' files are called, without suffix; their numbers where they come from no such files."""
        return list(self.info.get("names") or (f"{t:05d}" for t in range(len(self))))

    def only(self, k: int = 1) -> "Clip":
        """The clip in which object `k` alone is annotated, as object 1; all others are background (S0, section 4.2).

        Raises ClipError for an object that the clip has not.
        """
        if k not in self.objects:
            raise ClipError(f"Clip '{self.name}' has no object {k!r}; it has {self.objects or 'nothing to track'}.")

        def keep(mask):
            return np.where(mask == VOID, VOID, mask == k).astype(np.uint8)

        info = dict(self.info)
        if "ids" in info:
            info["ids"] = info["ids"][k - 1 : k]
        for key in {"seen", "categories"} & info.keys():
            info[key] = {1: info[key][k]} if k in info[key] else {}
        return replace(self, masks=_each(self.masks, keep), info=info, numbering=lambda: self.ids[k - 1 : k])

    def resized(self, height: int | None = None, width: int | None = None) -> "Clip":
        """The clip at another size; with one side given the other keeps the aspect ratio.

        Frames are averaged when they shrink; masks take the nearest pixel, so a tiny object may vanish.
        Raises ClipError for sides that are no whole numbers from 1 on, and for more than 8192 x 8192 pixels.
        """
        h, w = self.size
        if height is None and width is None:
            raise ClipError("resized() needs a height, a width or both, in pixels.")
        for side in (height, width):
            if side is not None and (isinstance(side, bool) or not isinstance(side, int | np.integer) or side < 1):
                raise ClipError(f"resized() needs whole numbers of pixels from 1 on: {side!r} is not.")
        size = (width or max(1, round(w * height / h)), height or max(1, round(h * width / w)))  # cv2 wants (W, H)
        if size[0] * size[1] > MAX_PIXELS:
            raise ClipError(f"resized() to {size[0]} x {size[1]} pixels is too large; 8192 x 8192 is the most.")
        how = cv2.INTER_AREA if size[1] < h else cv2.INTER_LINEAR
        return replace(
            self,
            frames=_each(self.frames, lambda frame: cv2.resize(frame, size, interpolation=how)),
            masks=_each(self.masks, lambda mask: cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)),
        )

    def subclip(self, start: int = 0, stop: int | None = None) -> "Clip":
        """Frames start..stop-1 as a clip; indices count as in a slice. Raises ClipError if none is left."""
        if not all(i is None or isinstance(i, int | np.integer) for i in (start, stop)):
            raise ClipError(f"subclip() needs whole numbers of frames: {start!r} to {stop!r} are not.")
        if not range(len(self))[start:stop]:
            raise ClipError(f"Clip '{self.name}' has {len(self)} frames; from {start} to {stop} there is none.")
        info = {key: value[start:stop] if key == "names" else value for key, value in self.info.items()}
        return replace(self, frames=self.frames[start:stop], masks=self.masks[start:stop], info=info)


def _each(items, change):
    """A lazy view of `items` with `change` applied to each that is not None."""

    def get(i):
        return None if (item := items[i]) is None else change(item)

    return Lazy(len(items), get, getattr(items, "sources", None))


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
    numbering = getattr(read, "ids", None)
    sources = getattr(frames, "sources", frames)
    lazily = Lazy(len(frames), frame, sources), Lazy(len(masks), mask, masks)
    clip = Clip(name, *lazily, names | (info or {}), numbering)
    return clip
