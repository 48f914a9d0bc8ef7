"""Names of files: which are frames, which are masks, in what order they come, and whether one is missing.

Hidden files (`.DS_Store`, `._00000.jpg`, those of a save that was killed), folders, and files of other kinds are no
frames and no masks.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from vosnb.clips.pictures import FRAME_SUFFIXES, ClipError

MASK_SUFFIXES = {".png", ".bmp", ".gif", ".tif", ".tiff"}  # that keep every pixel
LOSSY_SUFFIXES = {".jpg", ".jpeg", ".webp"}

NUMBER = r"(?:(?<![^\s_=(])-)?\d+"  # a minus sign counts at the start of a name and behind _, =, ( and space
WHOLE = re.compile(rf"({NUMBER})")
DECIMAL = re.compile(rf"((?<!\d\.){NUMBER}\.\d+(?!\.?\d)|{NUMBER})")  # 1.5, but not the 1.5 in 1.5.2
CLOCK = re.compile(r"(?<!\d)[012]?\d[-_.:h][0-5]\d[-_.:m][0-5]\d(?!\d)")  # 10-30-05
DATE = re.compile(r"(?<!\d)(19|20)\d\d[-_.]?(0[1-9]|1[0-2])[-_.]?([0-2]\d|3[01])(?!\d{1,5}(?!\d))")  # 2024-01-31


def _parts(stems: list[str]) -> list[list]:
    """Each name as text, number, text, ..., number, text; the numbers as Decimal.

    A point within a number is that of a decimal, but only separates where two names would be the same number (1.1 and
    1.10) and where the digits behind it count frames (shot2.0001).
    """
    split = [DECIMAL.split(stem) for stem in stems]
    fractions = {len(part.partition(".")[2]) for parts in split for part in parts[1::2]} - {0}
    values = {(*parts[::2], *map(Decimal, parts[1::2])) for parts in split}
    if len(fractions) == 1 and min(fractions) >= 4 or len(values) < len(set(stems)):
        split = [WHOLE.split(stem) for stem in stems]
    return [[Decimal(part) if i % 2 else part for i, part in enumerate(parts)] for parts in split]


def _plain(files: list[Path]) -> bool:
    """Whether all names are numbers of one length, as in most data sets; thousands of clips need no closer look."""
    stems = [os.path.splitext(file.name)[0] for file in files]
    return len({len(stem) for stem in stems}) == 1 and (joined := "".join(stems)).isascii() and joined.isdigit()


def in_order(files: Iterable[Path]) -> list[Path]:
    """The files by name, where numbers within names count as numbers: 2 before 10, 1.25 before 1.5, -2 before -1."""
    files = list(files)
    if _plain(files):
        return sorted(files, key=lambda file: file.name)
    keys = [[p.casefold() if isinstance(p, str) else p for p in parts] for parts in _parts([f.stem for f in files])]
    return [file for _, _, file in sorted(zip(keys, (f.name for f in files), files, strict=True))]


def _listed(folder: Path, suffixes: set[str]) -> list[Path]:
    """The files of a folder with these suffixes, in small or capital letters; ClipError for one that is no file."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or os.path.splitext(entry.name)[1].lower() not in suffixes or entry.is_dir():
                continue
            if not entry.is_file():
                raise ClipError(f"{folder / entry.name} is a link to nothing, or no file; restore or remove it.")
            found.append(folder / entry.name)
    return in_order(found)


def image_files(folder: Path, mask: Path | None = None) -> list[Path]:
    """The frames in a folder, in the order of the numbers in their names.

    mask: a file that is no frame, though it lies among them, by whatever path it is called.
    Raises ClipError if there are none, and for two of one name (00000.jpg and 00000.png, 1.jpg and 01.jpg).
    """
    files = _listed(folder, FRAME_SUFFIXES)
    if mask is not None and mask.exists():
        files = [file for file in files if not file.samefile(mask)]
    if not files:
        raise ClipError(_no_images(folder))
    _require_one_each(folder, files)
    return files


def mask_files(folder: Path) -> dict[str, Path]:
    """{name of the frame: file of its mask} for the masks in a folder, in order; nothing where there is no such folder.

    Raises ClipError for two masks of one frame, and for masks that are all stored with loss.
    """
    if not folder.is_dir():
        return {}
    files = _listed(folder, MASK_SUFFIXES)
    if not files and (lossy := _listed(folder, LOSSY_SUFFIXES)):
        raise ClipError(
            f"{lossy[0]} may have blurred edges and changed ids, as masks in such files; export them as PNG."
        )
    found = {}
    for file in files:
        if (other := found.setdefault(file.stem, file)) is not file:
            raise ClipError(f"{other} and {file.name} are masks of one frame; remove one of them.")
    return found


def _no_images(folder: Path) -> str:
    """What to say of a folder without frames: whether they lie a folder or two deeper."""
    kinds = ", ".join(sorted(FRAME_SUFFIXES))
    deeper = (p for depth in ("*", "*/*", "*/*/*") for p in sorted(folder.glob(depth)))
    holders = [p for p in deeper if p.is_dir() and not p.name.startswith(".") and _listed(p, FRAME_SUFFIXES)][:3]
    if holders:
        return f"{folder} holds no images itself, but {', '.join(map(str, holders))} does; give one such folder."
    return f"{folder} holds no images ({kinds}); give a folder of frames."


def _require_one_each(folder: Path, files: list[Path]) -> None:
    """Raise ClipError where two files would be one frame, or one is none by its name."""
    by_stem = {}
    for file in files:
        by_stem.setdefault(file.stem, []).append(file)
    twins = [pair for pair in by_stem.values() if len(pair) > 1]
    if not twins and _plain(files):
        return
    if twins:
        names = " and ".join(f.name for f in twins[0])
        if len(twins) > 1 and all(any(f.suffix.lower() == ".png" for f in pair) for pair in twins):
            raise ClipError(
                f"{folder} has masks beside its frames, it seems ({names}, {len(twins)} pairs); move the masks to a "
                "folder of their own and give that as the mask."
            )
        raise ClipError(f"{folder} has two frames of one name, {names}; remove or rename one of them.")
    parts = _parts([f.stem for f in files])
    for (a, one), (b, other) in pairwise(zip(files, parts, strict=True)):
        if one == other:
            raise ClipError(f"{folder} has two frames of one number, {a.name} and {b.name}; remove or rename one.")
    stems = {}
    for file, p in zip(files, parts, strict=True):
        stems.setdefault(tuple(p[::2]), []).append(file)
    shape, numbered = max(stems.items(), key=lambda item: len(item[1]))
    if len(shape) == 1 or 2 * len(numbered) < len(files) or len(numbered) < 2:
        return
    known = {file.stem for file in numbered}
    for file, p in zip(files, parts, strict=True):
        if tuple(p[::2]) != shape:
            start = next((file.stem[:n] for n in range(len(file.stem) - 1, 0, -1) if file.stem[:n] in known), None)
            rest = file.stem[len(start or "") :]
            if len(p) == 1 or start is not None and not rest[0].isdigit() and not re.match(r"\.\d", rest):
                raise ClipError(
                    f"{file} is not named like the frames beside it ({numbered[0].name} ...): a mask or a copy? "
                    "Move it to another folder, or rename it."
                )


def consecutive(files: list[Path]) -> list[Path]:
    """The files, in order, or ClipError if their numbers skip one.

    Names are numbered when exactly one whole number in them varies. A constant step (every fifth frame) is fine, also
    a rounded one (0, 2, 5, 7). Time stamps may have any steps: names with a date or a time of day (10-30-05), decimal
    numbers, numbers from 100 million on (seconds since 1970), and steps of 16 and more (milliseconds).
    """
    if len(files) < 3 or _plain(files) and len({int(b.stem) - int(a.stem) for a, b in pairwise(files)}) == 1:
        return files
    parts = _parts([f.stem for f in files])
    one_shape = all(p[::2] == parts[0][::2] for p in parts)
    varying = [i for i in range(1, len(parts[0]), 2) if any(p[i] != parts[0][i] for p in parts)] if one_shape else []
    if len(varying) != 1 or any(CLOCK.search(f.stem) or DATE.search(f.stem) for f in (files[0], files[-1])):
        return files
    values = [p[varying[0]] for p in parts]
    if any(v != v.to_integral_value() or abs(v) >= 10**8 for v in values):
        return files
    steps = Counter(int(b - a) for a, b in pairwise(values))
    step = min(steps)
    if len(steps) == 1 or step >= 16 or step >= 2 and max(steps) == step + 1:
        return files
    before = next(i for i, (a, b) in enumerate(pairwise(values)) if b - a != step)
    pieces = WHOLE.split(files[before].stem)
    width = len(pieces[varying[0]].lstrip("-"))
    pieces[varying[0]] = f"{int(values[before]) + step:0{width}d}"
    missing = files[before].with_stem("".join(pieces))
    raise ClipError(f"{missing} is missing between its neighbours; restore it or renumber the frames.")
