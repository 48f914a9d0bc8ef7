"""Index masks and frames as image files, and what can be wrong with them.

An index mask is an (H, W) uint8 array: 0 is background, 1..K are the objects, 255 is void (pixels that nobody scores).
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

VOID = 255
MAX_OBJECTS = 32  # in one mask file; beyond, the "objects" are the grey levels of a smoothed edge


class ClipError(ValueError):
    """A clip, mask or data set that cannot be used; the message says what is wrong and how to mend it."""


def palette() -> np.ndarray:
    """The (256, 3) uint8 colours of DAVIS and PASCAL VOC: the bits of the index dealt out to red, green and blue."""
    index, colours = np.arange(256), np.zeros((256, 3), int)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
    return colours.astype(np.uint8)


def object_ids(mask: np.ndarray) -> list[int]:
    """The object ids in a mask, without background and void."""
    counts = cv2.calcHist([np.ascontiguousarray(mask, np.uint8)], [0], None, [256], [0, 256]).ravel()
    return [int(k) for k in np.flatnonzero(counts[1:VOID]) + 1]


def _open_image(path: Path) -> Image.Image:
    """A decoded image. Raises ClipError if the file is missing, cut off, or no image."""
    try:
        image = Image.open(path)
        image.load()
    except FileNotFoundError:
        raise ClipError(f"{path} is missing; restore the file or remove its number from the clip.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ClipError(f"{path} is damaged or cut off ({error}); copy or download it again.") from None
    return image


def read_frame(path: Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB. Raises ClipError if it is missing, cut off, or no image."""
    return np.array(_open_image(path).convert("RGB"))


def read_mask(path: str | Path) -> np.ndarray:
    """An index mask (H, W) uint8 from a PNG.

    Palette images and grey ones hold ids. Black and white alone (0 and 255, in DAVIS 2016) hold one object.

    Raises ClipError for a colour picture (its colours are no ids), for smoothed edges (each grey level would become an
    object), and for a file that cannot be read.
    """
    image = _open_image(Path(path))
    image = image.convert("L") if image.mode == "1" else image
    mask = np.array(image)
    if (
        image.mode in ("RGB", "RGBA")
        and np.isin(mask[..., :3], (0, 255)).all()
        and (np.ptp(mask[..., :3], 2) == 0).all()
    ):
        mask = mask[..., 0]  # black and white, though saved in colour
    elif image.mode in ("RGB", "RGBA"):
        raise ClipError(
            f"{path} is an RGB picture, not an index mask; "
            "turn its colours into ids with mask_from_colours and save them with write_mask."
        )
    elif image.mode not in ("P", "L"):
        raise ClipError(f"{path} is stored as {image.mode}, not as an 8-bit index mask; save it with write_mask.")
    if image.mode != "P" and np.isin(mask, (0, VOID)).all():
        return (mask > 0).astype(np.uint8)

    found = object_ids(mask)
    gaps = bool(found) and found[-1] != len(found)
    if len(found) > MAX_OBJECTS or (image.mode == "L" and gaps and (VOID in mask or len(found) > 10)):
        raise ClipError(
            f"{path} has {len(found)} grey levels that would each become an object: its edges were smoothed; "
            "export it without anti-aliasing, and resize masks with nearest neighbour only."
        )
    return mask


def mask_from_colours(rgb: np.ndarray) -> np.ndarray:
    """The (H, W) index mask of an (H, W, 3) picture painted in palette colours; ClipError for any other colour."""
    codes, known = (c.astype(int) @ (1 << 16, 1 << 8, 1) for c in (rgb, palette()))
    if not np.isin(codes, known).all():
        raise ClipError(
            f"The picture has {len(np.unique(codes))} colours, some outside the DAVIS palette; "
            "paint it in palette() colours, with hard edges, and keep it from JPEG."
        )
    order = np.argsort(known)
    return order[np.searchsorted(known[order], codes)].astype(np.uint8)


def write_mask(path: str | Path, mask: np.ndarray, binary: bool = False) -> None:
    """Save an (H, W) index mask as a PNG with the DAVIS palette; folders are made as needed.

    binary: write DAVIS 2016's black and white instead, with all objects as one and void as background.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if binary:
        image = Image.fromarray(np.where((mask > 0) & (mask != VOID), 255, 0).astype(np.uint8))
    else:
        image = Image.fromarray(np.asarray(mask).astype(np.uint8))
        image.putpalette(palette().tobytes())
    image.save(path)


def write_frame(path: str | Path, frame: np.ndarray, quality: int = 95) -> None:
    """Save an (H, W, 3) RGB frame; the suffix names the format, `quality` is JPEG's. Folders are made as needed."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame).save(path, quality=quality)
