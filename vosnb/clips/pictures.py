"""Picture files: opened with care, read as they say that they are to be seen, and written.

Pillow's plugins raise whatever they please on damaged files; here that becomes one sentence (`ClipError`).
"""

import io
import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from vosnb.files import FileError, written

MAX_PIXELS = 2**26  # 8192 x 8192: frames of 8K fit in, and the largest picture takes 200 MB as RGB
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
FRAME_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
ORIENTATION = 0x0112  # EXIF's tag
TURNS = {  # what is to be done to the stored pixels
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `open_picture` refuses these itself


class ClipError(FileError):
    """A clip, mask or data set that cannot be used; the message says what is wrong and how to mend it."""


def as_path(path, what: str) -> Path:
    """The path, or ClipError where it is none, but an array or a number."""
    if not isinstance(path, str | os.PathLike):
        raise ClipError(f"{what} is given by its path, and {type(path).__name__} is none; give a text or a Path.")
    return Path(path)


def regular_file(path: Path) -> Path:
    """`path` if it is a file with something in it, else ClipError; OSError where it may not be looked at.

    Nothing is opened: to open a pipe that nobody writes to waits for ever.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        what = "is a link to nothing" if os.path.islink(path) else "is missing"
        raise ClipError(f"{path} {what}; restore the file, or check the path.") from None
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise ClipError(f"{path} is {what} where a file is wanted; check the path.")
    if status.st_size == 0:
        raise ClipError(f"{path} is empty (0 bytes); copy or download it again.")
    return path


def require_pixels(path: Path, width: float, height: float) -> None:
    """Raise ClipError for pictures that are larger than this package takes."""
    if width * height > MAX_PIXELS:
        raise ClipError(f"{path} is too large ({width:.0f} x {height:.0f} pixels, 8192 x 8192 at most); scale it down.")


def open_header(path: Path) -> Image.Image:
    """A picture whose pixels are not read yet. Raises what `open_picture` does."""
    regular_file(path)
    try:
        image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError:
        raise ClipError(f"{path} is too large (8192 x 8192 pixels at most); scale it down.") from None
    except Image.UnidentifiedImageError:
        raise ClipError(
            f"{path} is damaged, or no picture that can be read (PNG, JPEG, BMP, TIFF, WebP); copy or convert it again."
        ) from None
    except Exception as error:
        raise _damaged(path, error) from None
    require_pixels(path, *image.size)
    return image


def _orientation(image: Image.Image) -> int:
    """What EXIF says; 1 where it says nothing that makes sense, and for TIFF, which Pillow turns itself."""
    try:
        orientation = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 1
    return orientation if orientation in TURNS else 1


def _damaged(path: Path, error: Exception) -> Exception:
    """What to raise for an error of Pillow: the system's own errors stay what they are."""
    if isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno is not None:
        return error
    return ClipError(f"{path} is damaged or cut off ({error}); copy or download it again.")


def picture_size(path: Path) -> tuple[int, int]:
    """(H, W) in pixels as the picture is to be seen, from the file's header. Raises what `open_picture` does."""
    with open_header(path) as image:
        return image.size if _orientation(image) >= 5 else image.size[::-1]


def open_picture(path: Path) -> Image.Image:
    """A decoded picture, turned as its EXIF orientation says.

    Raises ClipError if the file is missing, empty, cut off, too large, no picture, or several pictures (pages or an
    animation; the second picture in a camera's JPEG is a preview, and the first is taken).
    """
    image = open_header(path)
    orientation = _orientation(image)
    try:
        if image.format == "TIFF":  # mapped into memory, Pillow garbles one that is to be turned
            image = Image.open(io.BytesIO(path.read_bytes()), formats=FORMATS)
        count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        image.load()
    except Exception as error:
        raise _damaged(path, error) from None
    if count > 1:
        raise ClipError(f"{path} holds {count} pictures; save each of them as a file of its own.")
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def read_frame(path: str | Path) -> np.ndarray:
    """A picture file as (H, W, 3) uint8 RGB, as it is to be seen.

    It is turned as its EXIF orientation says; what is transparent lies over black; 16 bits are scaled to 8.
    Raises ClipError if it is missing, cut off, too large, no picture, or holds numbers that are no grey levels.
    """
    image = open_picture(Path(path))
    if image.mode.startswith(("I", "F")):
        values = np.array(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ClipError(f"{path} holds numbers that are no 8-bit or 16-bit grey levels; save it as 8-bit PNG.")
        return np.repeat(np.uint8((values.astype(np.uint32) + 128) // 257)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return np.array(image.convert("RGB"))


def write_frame(path: str | Path, frame: np.ndarray, quality: int = 95) -> None:
    """Save an (H, W, 3) uint8 RGB frame; the suffix names the format, `quality` is JPEG's.

    Folders are made as needed; the file is written whole or not at all. Raises ClipError for anything but such an
    array and for a suffix that is none of FRAME_SUFFIXES.
    """
    frame = require_frame(frame, f"The frame for {path}")
    if Path(path).suffix.lower() not in FRAME_SUFFIXES:
        raise ClipError(f"{path} names no format for a frame; let it end in {', '.join(sorted(FRAME_SUFFIXES))}.")
    save(Image.fromarray(frame), path, quality=quality)


def require_frame(frame, what: str) -> np.ndarray:
    """The frame as an array, or ClipError unless it is (H, W, 3) uint8; what: how the message begins."""
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
        raise ClipError(
            f"{what} is not an (H, W, 3) uint8 RGB array but {frame.shape} {frame.dtype}; convert it first."
        )
    return frame


def save(image: Image.Image, path: str | Path, **how) -> None:
    """Save a picture, whole or not at all; OSError is the system's, ClipError says that the format cannot hold it."""
    try:
        with written(path) as half:
            image.save(half, **how)
    except FileError:
        raise
    except (ValueError, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise ClipError(f"{path} cannot be written ({error}); take another size or format.") from None
