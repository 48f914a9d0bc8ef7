"""Masks that lie in a folder already, as a tracker: the answers of any program, beside ours in every table and player.

    make_tracker("masks", folder="sam2_masks")       # sam2_masks/<clip>/<name of the frame>.png

The PNGs hold the ids that the objects have in the data set, as `vosnb bench --save` and all servers have them.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch

from vosnb.clips import Clip, read_mask
from vosnb.clips.layouts import subfolders
from vosnb.clips.masks import object_ids
from vosnb.clips.names import mask_files
from vosnb.files import safe_name
from vosnb.trackers.base import Tracker

SURE = 0.95  # what a pixel's label counts; masks do not say how sure their program was, and an ensemble wants to know


def clip_folders(root: Path) -> Path:
    """The folder that holds a folder of masks for each clip: `root`, or what it alone holds (Annotations/480p/...)."""
    while not any(map(holds_masks, inside := subfolders(root))) and len(inside) == 1:
        (root,) = inside
    return root


def holds_masks(folder: Path) -> bool:
    return any(p.suffix.lower() == ".png" and not p.name.startswith(".") for p in folder.iterdir())


class ReplayTracker(Tracker):
    """Answers with the masks that a program wrote; `about` tells it the clip.

    folder: holds a folder of PNGs for each clip. Raises ValueError if it does not exist or holds nothing of the kind.
    """

    def __init__(self, folder: str = ""):
        super().__init__()
        if folder == "":
            raise ValueError("the tracker `masks` needs a folder to replay: masks:folder=DIR.")
        root = Path(str(folder)).expanduser()
        if not root.is_dir():
            raise ValueError(f"there is no folder of masks {folder}: check the path.")
        self.root = clip_folders(root)
        folders = [inside for inside in subfolders(self.root) if holds_masks(inside)]
        if not folders:
            raise ValueError(f"{folder} holds no masks: give a folder that holds a folder of PNGs for each clip.")
        digest = hashlib.sha256()
        for file in (file for inside in folders for file in mask_files(inside).values()):
            digest.update(f"{file.relative_to(self.root)}\0".encode(errors="surrogateescape") + file.read_bytes())
        self.digest = digest.hexdigest()[:16]
        self.names: list[str] | None = None

    def about(self, clip: Clip) -> None:
        """Raises ValueError if the clip has no folder of masks, or one whose ids are none of the clip's."""
        self.files, self.names = mask_files(clip_folder(self.root, clip.name)), clip.names
        self.first = min(clip.appearances.values(), default=0)
        self.label = np.zeros(256, np.uint8)  # {id in the files: object of the clip}
        ids = clip.labels
        self.label[ids] = np.arange(1, len(ids) + 1)
        refuse_strangers(self.files, set(clip.info.get("all ids", ids)))

    def _reset(self):
        if self.names is None:
            raise RuntimeError("masks are replayed for a clip: call about(clip) first, as `segment` does.")
        self.t = self.first

    def _add(self, frame, mask, ids):
        pass

    def _step(self, frame):
        self.t += 1
        name = self.names[self.t] if self.t < len(self.names) else f"frame {self.t}"
        if name not in self.files:
            raise ValueError(f"there is no mask of {name} in {next(iter(self.files.values())).parent}.")
        file = self.files[name]
        mask = read_mask(file)
        if mask.shape != frame.shape[:2]:
            (h, w), (height, width) = mask.shape, frame.shape[:2]
            raise ValueError(
                f"{file} is {w} x {h} pixels, its frame {width} x {height}: masks are of the frames' size."
            )
        label = torch.from_numpy(self.label[mask])
        hit = torch.stack([label == k for k in [0, *self.objects]])
        hit[0] |= ~hit.any(0)  # an object that this clip has not, or that has not come yet
        return torch.where(hit, SURE, (1 - SURE) / (len(hit) - 1))


def clip_folder(root: Path, name: str) -> Path:
    """The folder of a clip's masks; ValueError if there is none."""
    for folder in {name: None, safe_name(name): None}:
        if Path(folder).name == folder and (root / folder).is_dir():
            return root / folder
    raise ValueError(f"{root} has no folder of masks for clip {name!r}.")


def refuse_strangers(files: dict[str, Path], ids: set[int]) -> None:
    """Raise ValueError if the masks of a clip hold objects, and none of these: all would count as lost."""
    strangers: set[int] = set()
    for file in files.values():
        found = set(object_ids(read_mask(file)))
        if found & ids:
            return
        strangers |= found
    if strangers:
        theirs, ours = (", ".join(map(str, sorted(numbers))) for numbers in (strangers, ids))
        raise ValueError(f"the masks in {file.parent} hold the ids {theirs}, but the clip's are {ours}: renumber them.")
