"""One door to every data set: the clips that come with the course, downloaded ones, folders of one's own."""

from pathlib import Path

from vosnb import creatures, toys
from vosnb.clips.clip import Clip
from vosnb.clips.davis import read_davis
from vosnb.clips.downloads import DATASETS
from vosnb.clips.folders import near, split_or_error
from vosnb.clips.layouts import has_data, masks_of, splits_of
from vosnb.clips.masks import ClipError
from vosnb.clips.ovis import annotation_files, read_ovis
from vosnb.clips.youtube_vos import notes_of, read_youtube_vos
from vosnb.paths import DATA, cache_dir

# Splits of the worlds that the course generates: is a split stored, or generated when it is read?
EMBEDDED = {"val": True, "test": True, "train": False, "test-large": False}
CREATURES = dict.fromkeys(("val", "test", "test-large", "moved"), False)
TOYS = {"test": True, "test-large": False, "moved": False}
WORLDS = {"embedded": EMBEDDED, "creatures": CREATURES, "toys": TOYS, "film": {"test": True}}
FOLDERS = {"toys": DATA / "toys", "film": DATA / "film"}  # of what is stored; the embedded clips lie in data/ itself
# The film's licence asks that this stands wherever a picture of it is shown.
FILM_CREDIT = "Big Buck Bunny, (c) Blender Foundation, CC BY 3.0, peach.blender.org"


def load(
    dataset: str | Path = "embedded", split: str = "test", limit: int | None = None, resolution: str | None = None
) -> list[Clip]:
    """The clips of a data set, at most `limit` of them and at least one; nothing is decoded before it is looked at.

    dataset: "embedded", the course's own clips: splits "val" and "test", and, generated as they are read,
            "train", "test-large" and "generated:START:COUNT" (seeds START..START+COUNT-1, all difficulties in turn);
        "creatures", the same clips at 240 pixels instead of 128, all generated: splits "val", "test", "test-large",
            "moved" (the camera jumps) and "generated:START:COUNT";
        "toys", a world that no network here was trained in, at 240 x 426: split "test", and, generated, "test-large",
            "moved" and "generated:START:COUNT";
        "film", one clip of 36 frames of the film Big Buck Bunny, 480 x 854, to look at: its first mask is painted by
            hand and it has no later ones, so nothing can be scored on it (show `FILM_CREDIT` with its pictures);
        "davis2016", "davis2017" or "davis2017-full": downloaded with `vosnb data`, splits "train" and "val" ("test"
            stands for "val" there: the masks of the others are not public);
        a folder in the layout of DAVIS, MOSE, LVOS, YouTube-VOS, OVIS or YouTube-VIS, with or without its splits; or
            with a folder of frames and one of masks (see `read_davis`).
    resolution: which of several sizes to read in DAVIS layout, default "480p".

    Raises ClipError if the data set, the split or a clip's folder is missing or unusable. A clip that is there and
    damaged says so when it is looked at.
    """
    if not isinstance(split, str) or not split:
        raise ClipError(f'The split is {split!r}; give its name, as "val".')
    if limit is not None and (isinstance(limit, bool) or not hasattr(limit, "__index__") or limit < 1):
        raise ClipError(f"limit is {limit!r}; give the number of clips to load, at least 1.")
    name = str(dataset)
    if name in WORLDS:
        return _world(name, split, limit, resolution)
    if name in DATASETS and ((root := cache_dir() / name).is_dir() or not Path(name).is_dir()):
        if not root.is_dir():
            raise ClipError(f"{name} is not in {root.parent}; get it with `vosnb data {name}`.")
        return read_davis(root, "val" if split == "test" else split, limit, resolution)
    root = Path(name).expanduser()
    if root.is_file():
        raise ClipError(f"{name} is a file, not a data set; give the folder that it lies in.")
    if not name or not root.is_dir():
        beside = [p.name for p in root.parent.iterdir() if p.is_dir()] if root.parent.is_dir() else []
        hint = near(root.name.lower(), [*WORLDS, *DATASETS, *beside], "check the path")
        raise ClipError(f"There is no data set '{name}'; {hint}.")
    return _folder(root, split, limit, resolution)


def _folder(root: Path, split: str, limit: int | None, resolution: str | None) -> list[Clip]:
    """The clips of a folder, whatever its layout is."""
    files, splits = annotation_files(root), {}
    if not has_data(root):
        splits = splits_of(root)
        if not splits and not files:
            raise ClipError(
                f"{root} is in none of the layouts DAVIS, MOSE (JPEGImages/), YouTube-VOS, LVOS (meta.json), OVIS, "
                "YouTube-VIS (annotations_*.json, instances.json); give the folder that holds these. A single clip "
                "goes to `vosnb run`."
            )
        split_or_error(root, split, files | splits)
    base = splits.get(split, root)
    if notes_of(base):
        _no_resolution(resolution, base)
        return read_youtube_vos(base, split, limit)
    if files and (split in files or base == root) and not (has_data(base) and masks_of(base)):
        _no_resolution(resolution, base)
        return read_ovis(root, split, limit)
    return read_davis(base, split, limit, resolution)


def _no_resolution(resolution: str | None, where: str | Path) -> None:
    if resolution is not None:
        raise ClipError(f"{where} has its clips in one size; leave the resolution '{resolution}' out.")


def _world(name: str, split: str, limit: int | None, resolution: str | None) -> list[Clip]:
    """The clips of one of the worlds that the course generates."""
    if name == "toys" and split in ("train", "val"):
        raise ClipError(f"toys has no split '{split}': nothing is trained or chosen on toys; take test or test-large.")
    if not split.startswith("generated") and split_or_error(name, split, WORLDS[name]):
        return read_davis(FOLDERS.get(name, DATA), split, limit, resolution)
    if name == "film":
        raise ClipError("film is a single clip that is stored, and none of it is generated; leave the split out.")
    _no_resolution(resolution, f"'{split}'")
    start, count = _generated(split, limit) if split.startswith("generated") else (None, limit)
    split = split.partition(":")[0]
    if name == "toys":
        return toys.benchmark(split, start, count)
    return creatures.benchmark(split, start, count, creatures.LARGE if name == "creatures" else creatures.SIZES)


def _generated(split: str, limit: int | None) -> tuple[int, int]:
    """(start, count) of generated:START:COUNT, at most `limit` clips."""
    try:
        start, count = (int(number) for number in split.removeprefix("generated:").split(":"))
    except ValueError:
        start, count = 0, 0
    if start < 0 or count < 1:
        raise ClipError(f"'{split}' is not of the form generated:START:COUNT, as in generated:1000:40.")
    return start, count if limit is None else min(count, limit)
