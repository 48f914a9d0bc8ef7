"""Index masks as image files, and what can be wrong with them.

An index mask is an (H, W) uint8 array: 0 is background, 1..K are the objects, 255 is void (pixels that nobody scores).

A mask file says in one of two ways which pixel belongs to which object. *Ids*: numbers, as data sets have them, in a
palette picture or a grey one. *Colours*: as one paints, one flat colour an object on black. `painting` finds out which;
`read_mask` makes ids of either; `vosnb.clips.clip.gapless` does so for all masks of a clip together.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from vosnb.clips.pictures import (
    ClipError,
    as_path,
    open_header,
    open_picture,
    read_frame,
    require_frame,
    save,
    write_frame,
)

__all__ = [
    "VOID", "ClipError", "Painting", "as_mask", "colour_ids", "mask_from_colours", "object_ids", "painting", "palette",
    "read_frame", "read_mask", "write_frame", "write_mask",
]  # fmt: skip

VOID = 255
WHITE = 0xFFFFFF
MAX_COLOURS = 32  # painted in one clip; beyond, they are those of a photograph
PAINT = 64  # grey levels from here on look like paint or soft edges, below like ids
EXACT = ("PNG", "BMP", "GIF", "TIFF", "PPM")  # what keeps every pixel as it was


class Painting(NamedTuple):
    """What a mask file holds. values: (H, W) ids or, if `colours`, codes 0xRRGGBB; 0 is background.

    palette: codes of the palette, where the ids come with one that is not DAVIS's: should the masks of a clip have
    different ones, their ids mean nothing, and `painted` are the colours.
    """

    values: np.ndarray
    colours: bool = False
    palette: tuple[int, ...] = ()

    def painted(self) -> "Painting":
        return Painting(np.array(self.palette)[self.values], True) if self.palette else self


def palette() -> np.ndarray:
    """The (256, 3) uint8 colours of DAVIS and PASCAL VOC: the bits of the index dealt out to red, green and blue."""
    index, colours = np.arange(256), np.zeros((256, 3), int)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
    return colours.astype(np.uint8)


def _codes(colours: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 colours as numbers 0xRRGGBB, int32."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


DAVIS = _codes(palette())
DAVIS_IDS = {int(code): k for k, code in enumerate(DAVIS)}


def object_ids(mask: np.ndarray) -> list[int]:
    """The object ids in a mask, without background and void."""
    counts = cv2.calcHist([np.ascontiguousarray(mask, np.uint8)], [0], None, [256], [0, 256]).ravel()
    return [int(k) for k in np.flatnonzero(counts[1:VOID]) + 1]


def read_mask(path: str | Path) -> np.ndarray:
    """An index mask (H, W) uint8 from a PNG, or a BMP, GIF or TIFF, as it is to be seen (EXIF orientation).

    Ids are read from grey pictures and palette ones whose palette begins with black, up to 16 bits deep; black and
    white alone (DAVIS 2016) hold one object. Other palettes and RGB pictures are read by their colours, one flat colour
    an object: those of DAVIS's palette stand for its ids, others are numbered from 1 by their code (red, green, blue).
    What is transparent is background.

    Raises ClipError for smoothed edges (each step would become an object), for pictures that are no mask, for lossy
    formats, and for a file that cannot be read.
    """
    found = painting(path)
    if not found.colours:
        return found.values
    known = colour_ids(np.unique(found.values), str(path))
    codes = np.array(sorted(known))
    return np.array([known[c] for c in codes.tolist()], np.uint8)[np.searchsorted(codes, found.values)]


def colour_ids(codes: Iterable[int], who: str) -> dict[int, int]:
    """{colour code: id}: DAVIS's where all codes are of its palette, else 1, 2, ... by code. ClipError if too many."""
    codes = {0, *map(int, codes)}
    if codes <= DAVIS_IDS.keys():
        return {code: DAVIS_IDS[code] for code in codes}
    if len(codes) > MAX_COLOURS + 1:
        raise ClipError(
            f"{who} has {len(codes) - 1} colours that would each become an object: its edges were smoothed, or it is a "
            "photograph; paint each object in one flat colour on black, without anti-aliasing, and save it as PNG."
        )
    return {code: k for k, code in enumerate(sorted(codes))}


def painting(path: str | Path) -> Painting:
    """What a mask file holds, ids or colours; raises what `read_mask` does."""
    image = open_picture(path := as_path(path, "the mask"))
    if image.format not in (*EXACT, None) or "jpeg" in str(image.info.get("compression")):
        raise ClipError(
            f"{path} is stored as {image.format}, which may blur its edges and change its ids; export it as PNG."
        )
    clear = _transparent(image, path)
    if image.mode in ("P", "PA"):
        found = _of_palette(image, clear, path)
    elif image.mode == "1":
        found = Painting(np.array(image, np.uint8))
    elif image.mode in ("L", "LA") or image.mode.startswith(("I", "F")):
        found = Painting(
            _ids_of_grey(_cleared(np.array(image.getchannel(0) if image.mode == "LA" else image), clear), path)
        )
    else:
        colours = np.array(image.convert("RGB"))
        codes = _cleared(_codes(colours), clear)
        grey = bool(((np.ptp(colours, axis=2) == 0) | (codes == 0)).all())
        ids = object_ids(codes & VOID) if grey else []
        if ids and (ids[-1] == len(ids) or ids[-1] < PAINT):  # ids, three times each
            found = Painting(_ids_of_grey(np.uint8(codes & VOID), path))
        else:
            found = Painting(_flat_colours(codes, path), True)
    if clear is not None and clear.any() and not clear.all() and not found.values.any():
        raise ClipError(f"{path} holds nothing but black on a transparent ground; paint the object white.")
    return Painting(_cleared(found.values, clear), *found[1:])


def _palette_of(image: Image.Image) -> np.ndarray:
    """The colour codes in an image's palette, 256 at most."""
    return _codes(np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:256])


def stored_palette(path: Path) -> tuple[int, ...]:
    """The colour codes in the palette of a picture, from its header; nothing where it has none, or DAVIS's."""
    with open_header(path) as image:
        codes = _palette_of(image) if image.mode in ("P", "PA") else np.array([], np.int32)
    return () if (codes == DAVIS[: len(codes)]).all() else tuple(codes.tolist())


def _cleared(values: np.ndarray, clear: np.ndarray | None) -> np.ndarray:
    return values if clear is None else np.where(clear, 0, values).astype(values.dtype)


def _transparent(image: Image.Image, path: Path) -> np.ndarray | None:
    """Where an image is fully transparent, (H, W) bool, or None where it knows no transparency."""
    if not image.has_transparency_data or image.mode.startswith(("I", "F")):
        return None
    alpha = np.array(image.convert("RGBA"))[..., 3]
    steps = object_ids(np.where(alpha == VOID, VOID - 1, alpha))
    if len(steps) > 1 and len(_flat(alpha) - {0}) < len(steps):
        raise ClipError(f"{path} has soft edges ({len(steps)} steps of transparency); export it without anti-aliasing.")
    return alpha == 0


def _of_palette(image: Image.Image, clear: np.ndarray | None, path: Path) -> Painting:
    """Ids or colours of a palette picture.

    DAVIS's palette, one that begins with black, and one that gives all ids the same colour hold ids. Black, white and
    greys alone, and palettes that begin otherwise, as paint programs make them, hold colours.
    """
    index = np.array(image.getchannel(0) if image.mode == "PA" else image)
    stored = _palette_of(image)
    table = np.zeros(256, np.int32)
    table[: len(stored)] = stored
    colours = np.stack([table >> 16, table >> 8 & 255, table & 255], 1)
    counts = cv2.calcHist([index if clear is None else index[~clear]], [0], None, [256], [0, 256])
    used = np.flatnonzero(counts)
    known = table[used]
    same = len(used) > 1 and len(set(known.tolist())) == 1
    if same or (known == DAVIS[used]).all():
        _require_hard_edges(object_ids(index), index, path)
        return Painting(index)
    if (np.ptp(colours[used], axis=1) == 0).all():
        if (colours[used, 0] == used).all():
            return Painting(_ids_of_grey(_cleared(index, clear), path))
        return Painting(_flat_colours(_cleared(table[index], clear), path), True)
    codes = _flat_colours(_cleared(table[index], clear), path, may_be_ids=table[0] == 0)
    return Painting(index, False, tuple(table.tolist())) if table[0] == 0 else Painting(codes, True)


def _ids_of_grey(values: np.ndarray, path: Path) -> np.ndarray:
    """The ids (H, W) uint8 that grey levels of any depth are."""
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or values.min() < 0:
        raise ClipError(f"{path} holds numbers that are no ids; save it as 8-bit PNG, with ids 0, 1, 2, ...")
    top = int(values.max())
    if top > VOID and top <= 65535 and (values % 257 == 0).all():  # 8 bits, stretched to 16
        values, top = values // 257, top // 257
    if top > VOID:
        raise ClipError(f"{path} has values up to {top}, and ids are at most 254; number its objects 1, 2, 3, ...")
    mask = values.astype(np.uint8)
    if np.isin(mask, (0, VOID)).all():
        return (mask > 0).astype(np.uint8)
    found = object_ids(mask)
    _require_hard_edges(found, mask, path, paint=found[-1] >= PAINT)
    return mask


def _require_hard_edges(found: list[int], mask: np.ndarray, path: Path, paint: bool = False) -> None:
    """Raise ClipError where ids with gaps look like the steps of smoothed edges: most of them are nowhere wide.

    paint: they are grey levels that may as well be paint; then one thin level, or white beside them, is enough.
    """
    if not found or found[-1] == len(found):
        return
    levels = len(found) + (VOID in mask)
    thin = len(set(found) - _flat(mask))
    if levels > 10 and 2 * thin > len(found) or paint and (thin or VOID in mask):
        raise ClipError(
            f"{path} has {levels} grey levels that would each become an object: its edges were smoothed (export it "
            "without anti-aliasing, resize it with nearest neighbour), or its objects are painted in greys (paint each "
            "in a colour of its own)."
        )


def _flat(values: np.ndarray) -> set[int]:
    """The values that fill at least one square of 2 x 2 pixels."""
    corner = values[:-1, :-1]
    same = (corner == values[1:, :-1]) & (corner == values[:-1, 1:]) & (corner == values[1:, 1:])
    return set(np.unique(corner[same]).tolist())


def _flat_colours(codes: np.ndarray, path: Path, may_be_ids: bool = False) -> np.ndarray:
    """The colour codes, or ClipError where they are those of smoothed edges, of a photograph, or lack a background.

    The colour of a smoothed edge is nowhere more than a pixel or so wide, and a blend of two that are.
    """
    levels = np.unique(codes).tolist()
    if not may_be_ids:
        colour_ids(levels, str(path))
        if 0 not in levels and levels != [WHITE] and not set(levels) <= DAVIS_IDS.keys():
            raise ClipError(f"{path} has no black, which is the background; paint on black.")
    flat = _flat(codes) | {0}
    blends = [code for code in levels if code not in flat and _is_blend(code, flat)]
    if blends:
        raise ClipError(
            f"{path} has {len(levels) - (0 in levels)} colours, some of smoothed edges only (#{blends[0]:06x}); export "
            "it without anti-aliasing, and resize masks with nearest neighbour only."
        )
    return codes


def _is_blend(code: int, flat: set[int]) -> bool:
    """Whether a colour is a mixture of two of the others, to the rounding."""
    colours = np.array([[c >> 16, c >> 8 & 255, c & 255] for c in (code, *flat)], float)
    a, b = colours[1:, None], colours[None, 1:]
    way = b - a
    share = ((colours[0] - a) * way).sum(2, keepdims=True) / np.maximum((way**2).sum(2, keepdims=True), 1)
    near = np.abs(a + share * way - colours[0]).max(2) <= 2
    return bool((near & (share[..., 0] > 0) & (share[..., 0] < 1)).any())


def mask_from_colours(rgb: np.ndarray) -> np.ndarray:
    """The (H, W) index mask of an (H, W, 3) picture painted in palette colours; ClipError for any other colour."""
    codes, known = (c.astype(int) @ (1 << 16, 1 << 8, 1) for c in (require_frame(rgb, "The picture"), palette()))
    if not np.isin(codes, known).all():
        raise ClipError(
            f"The picture has {len(np.unique(codes))} colours, some outside the DAVIS palette; "
            "paint it in palette() colours, with hard edges, and keep it from JPEG."
        )
    order = np.argsort(known)
    return order[np.searchsorted(known[order], codes)].astype(np.uint8)


def as_mask(mask, what: str) -> np.ndarray:
    """The mask as (H, W) uint8, or ClipError unless it is an array of whole numbers from 0 to 255."""
    array = np.asarray(mask)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "buif":
        raise ClipError(f"{what} is not an (H, W) array of ids but {array.shape} {array.dtype}; convert it first.")
    with np.errstate(invalid="ignore"):
        ids = array.astype(np.uint8)
    if (ids != array).any():
        raise ClipError(f"{what} is not an array of {array.shape} ids in 0..255, whole numbers; renumber its objects.")
    return ids


def write_mask(path: str | Path, mask: np.ndarray, binary: bool = False) -> None:
    """Save an (H, W) index mask as a PNG with the DAVIS palette, whole or not at all; folders are made as needed.

    binary: write DAVIS 2016's black and white instead, with all objects as one and void as background.
    Raises ClipError for anything but whole numbers from 0 to 255, and for a name that does not end in .png.
    """
    ids = as_mask(mask, f"The mask for {path}")
    if Path(path).suffix.lower() != ".png":
        raise ClipError(f"{path} names no format that keeps ids; let it end in .png.")
    if binary:
        image = Image.fromarray(np.where((ids > 0) & (ids != VOID), 255, 0).astype(np.uint8))
    else:
        image = Image.fromarray(ids)
        image.putpalette(palette().tobytes())
    save(image, path)
