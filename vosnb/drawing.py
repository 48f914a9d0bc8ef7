"""Masks and heat drawn on frames: from arrays to arrays, for figures, overlay videos and widgets alike.

Objects are told apart by Okabe-Ito colours, by the dashes of their outlines and by their numbers; never by colour
alone.
"""

import math
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vosnb.clips.masks import VOID
from vosnb.settings import Count, Positive, Share, Steps, checked

PALETTE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#CC79A7",
    "#F0E442",
    "#D55E00",
    "#0072B2",
)  # Okabe & Ito, for objects 1, 2..
SERIES = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)  # the same, those legible as thin lines first
CONTOURS = ("#FF2FD6", "#00E5FF", "#FFE800", "#FF5A1F", "#7CFF3A", "#5B7BFF")  # vivid, for thin lines on any frame
PAINT = 0.7  # opacity of an object that is painted, as it consists of specks
DASHES = ((), (6, 3), (2, 2), (8, 2, 2, 2))  # on, off, .. in line widths; 4 dashes and 7 colours make 28 outlines
HEAT = ("#000004", "#420A68", "#932667", "#DD513A", "#FCA50A", "#FCFFA4")  # dark to bright: reads in grey as well


def rgb(color: str) -> tuple[int, int, int]:
    """ "#E69F00" -> (230, 159, 0)."""
    return tuple(bytes.fromhex(color[1:]))


def object_color(k: int) -> str:
    """The colour of object k = 1, 2, .. as "#RRGGBB"; it repeats after seven, the dashes do not."""
    return PALETTE[(k - 1) % len(PALETTE)]


def outlines(mask: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Closed outlines of every object: pairs of object id and (n, 2) integer points x, y; holes have theirs."""
    found = []
    for k in objects(mask):
        contours, _ = cv2.findContours((mask == k).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        found += [(k, points[:, 0]) for points in contours]
    return found


def anchors(mask: np.ndarray) -> list[tuple[int, int, int]]:
    """Where to write each object's number: (id, x, y) of its pixel farthest from its outline.

    That is the centre of a round object; the centroid of a curved one may lie outside of it.
    """
    found = []
    for k in objects(mask):
        inside = (mask == k).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(inside)  # distances in the whole frame take several times as long
        inside = np.pad(inside[top : top + height, left : left + width], 1)
        y, x = np.unravel_index(np.argmax(cv2.distanceTransform(inside, cv2.DIST_L2, 3)), inside.shape)
        found.append((k, left + int(x) - 1, top + int(y) - 1))
    return found


def objects(mask: np.ndarray) -> list[int]:
    """The ids that occur in an index mask, without background (0) and void (255)."""
    counts = np.bincount(np.ravel(mask), minlength=256)  # ten times faster than np.unique
    return [int(k) for k in np.flatnonzero(counts) if k not in (0, VOID)]


@checked
def overlay(
    frame, mask, alpha: Share = 0.5, contours=True, *, fill=True, numbers=True, scale: Positive = 1.0
) -> np.ndarray:
    """The frame with every object of the mask tinted, outlined and numbered.

    frame: (H, W, 3) uint8 RGB; mask: (H, W) index mask (0 background, 1..K, 255 void: grey hatching), or None for the
    frame alone; alpha: opacity of the tint, 0..1; scale: magnification, so that outlines and numbers stay crisp on
    small frames. Returns (round(scale H), round(scale W), 3) uint8. Raises ValueError where sizes or types do not fit.
    """
    frame = check_frame(frame)
    mask = None if mask is None else check_mask(mask, frame)
    height, width = (max(1, round(scale * side)) for side in frame.shape[:2])
    if (height, width) != frame.shape[:2]:
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    image = frame.copy()
    if mask is None:
        return image
    if fill:
        large = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)  # a copy at any scale
        tint = cv2.LUT(cv2.cvtColor(large, cv2.COLOR_GRAY2RGB), _colors())  # much faster than indexing
        tinted = cv2.addWeighted(frame, 1 - alpha, tint, alpha, 0)
        y, x = np.nonzero(large == VOID)
        hatched = (x + y) % 6 >= 2
        large[y[hatched], x[hatched]] = 0
        cv2.copyTo(tinted, (large > 0).astype(np.uint8), image)
    if contours:
        _draw_outlines(image, mask, scale)
    return _numbered(image, mask, scale) if numbers else image


def contour_colors(frames, masks) -> dict[int, str]:
    """{object: "#RRGGBB"}: for each object the colour of `CONTOURS` that its surroundings have least.

    frames: sequence of (H, W, 3) uint8; masks: as many (H, W) index masks, None where there is none. A colour is as
    good as it is far, in Lab, from the target's own colours and from the ground around it, in the first frame that
    shows the object (so a clip's first masks decide, whatever trackers answer later), and from the colours of objects
    before it.
    """
    shown: dict[int, int] = {}
    for t in range(len(frames)):
        if masks[t] is not None:
            shown = {k: t for k in objects(check_mask(masks[t], check_frame(frames[t])))} | shown
    candidates, chosen = _lab(np.array([[rgb(color) for color in CONTOURS]], np.uint8))[0], {}
    for k in sorted(shown):
        near = _lab(_surroundings(frames[shown[k]], np.asarray(masks[shown[k]]) == k)[None])[0]
        away = np.linalg.norm(candidates[:, None] - near[None], axis=-1)
        score = np.percentile(away, 5, axis=1)  # the nearest 5 %: a colour that the fur has in places is a bad one
        for color in chosen.values():
            between = np.linalg.norm(candidates - candidates[CONTOURS.index(color)], axis=1)
            score = np.minimum(score, 0.7 * between)
        chosen[k] = CONTOURS[int(np.argmax(score))]
    return chosen


def _in_specks(inside: np.ndarray) -> bool:
    """Whether most pixels of an object (H, W) lie on its own border; not asked of the smallest ones."""
    area = np.count_nonzero(inside)
    inner = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8))
    return area > 100 and np.count_nonzero(inner) < area / 2


def contoured(
    frame, mask, colors: dict[int, str] | None = None, *, fill: Share = 0.0, numbers=False, scale: Positive = 1.0
) -> np.ndarray:
    """The frame with a vivid contour, black-rimmed and without dashes, around each object of the mask.

    frame, mask: as `overlay` takes them. colors: {object: "#RRGGBB"}, by default `contour_colors` of this frame; fill:
    opacity of a tint inside; numbers: whether to write each object's number. An object in specks or threads, which
    outlines would bury, is painted instead. Returns uint8 of the scaled size.
    """
    frame = check_frame(frame)
    mask = None if mask is None else check_mask(mask, frame)
    if mask is None:
        return overlay(frame, None, scale=scale)
    colors = contour_colors([frame], [mask]) if colors is None else colors
    colors = {k: colors.get(k) or CONTOURS[(k - 1) % len(CONTOURS)] for k in objects(mask)}
    image = overlay(frame, None, scale=scale)
    large = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    specks = [k for k in colors if _in_specks(mask == k)]
    for k, color in colors.items():
        if opacity := max(fill, PAINT) if k in specks else fill:
            inside = large == k
            image[inside] = np.rint((1 - opacity) * image[inside] + opacity * np.array(rgb(color)))
    _draw_outlines(image, np.where(np.isin(mask, specks), 0, mask).astype(mask.dtype), scale, colors)
    return _numbered(image, mask, scale) if numbers else image


def _arranged(panels, titles, columns: int | None) -> tuple[list, list, int, int, int]:
    """Panels, a title for each, the number of columns, and the (height, width) in which every panel fits."""
    if not len(panels):
        raise ValueError("there is nothing to show: the list of panels is empty.")
    panels, titles = [check_frame(panel) for panel in panels], titles or [""] * len(panels)
    if len(titles) != len(panels):
        raise ValueError(f"there are {len(panels)} panels but {len(titles)} titles: give each one its own.")
    columns = min(columns or len(panels), len(panels))
    height, width = np.max([panel.shape[:2] for panel in panels], axis=0)
    return panels, titles, columns, height, width


def tiled(panels, titles=None, columns: Count | None = None, gap: Steps = 4, note: str = "") -> np.ndarray:
    """Panels of one size in rows, each with its title on a dark tag in its corner. Returns (H, W, 3) uint8.

    Between them is a grey that stands off from light and from dark pages. note: a line below all of them.
    """
    panels, titles, columns, height, width = _arranged(panels, titles, columns)
    rows = math.ceil(len(panels) / columns)
    across, down = columns * (width + gap) - gap, rows * (height + gap) - gap
    sheet = Image.new("RGB", (across, down + (20 if note else 0)), "#797979")
    pen = ImageDraw.Draw(sheet)
    for i, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        x, y = (i % columns) * (width + gap), (i // columns) * (height + gap)
        sheet.paste(Image.fromarray(panel), (x, y))
        if title:
            text = shorten(title, width - 12, 14)
            pen.rectangle((x, y, x + font(14).getlength(text) + 11, y + 21), "#111111")
            pen.text((x + 6, y + 16), text, "white", font(14), "ls")
    if note:
        pen.rectangle((0, down, across, down + 20), "#111111")
        pen.text((6, down + 14), shorten(note, across - 12), "white", font(12), "ls")
    return np.array(sheet)


@checked
def heat_over(frame, values, mask=None, *, scale: Positive = 1.0) -> np.ndarray:
    """Values in 0..1 on a coarse grid over the greyed frame: dark where 0, bright where 1, one square a cell.

    frame: (H, W, 3) uint8; values: (h, w); mask: (H, W) whose outlines are drawn too. Returns uint8 like `overlay`.
    """
    frame = check_frame(frame)
    height, width = (max(1, round(scale * side)) for side in frame.shape[:2])
    grey = cv2.cvtColor(cv2.resize(frame, (width, height)), cv2.COLOR_RGB2GRAY)[..., None]
    # nearest-neighbour by index, so that a grid which does not divide the frame still covers it evenly
    values = np.clip(np.nan_to_num(numbers_in(values, "a heatmap", 2)), 0, 1).astype(np.float32)
    rows, columns = (np.arange(n) * m // n for n, m in zip((height, width), values.shape, strict=True))
    value = values[rows[:, None], columns][..., None]
    opacity = 0.9 * value**0.6
    image = np.rint((1 - opacity) * 0.6 * grey + opacity * heat_colors(value[..., 0])).astype(np.uint8)
    if mask is not None:
        _draw_outlines(image, check_mask(mask, frame), scale)
    return image


def heat_colors(values: np.ndarray) -> np.ndarray:
    """Values in 0..1 of any shape -> (.., 3) float RGB of the heat scale."""
    stops = np.array([rgb(color) for color in HEAT], float)
    return np.stack([np.interp(values, np.linspace(0, 1, len(stops)), stops[:, c]) for c in range(3)], -1)


@checked
def grid(panels, titles=None, columns: Count | None = None, gap: Steps = 6) -> np.ndarray:
    """Panels of one size in rows on white, each under its title. Returns (H, W, 3) uint8."""
    panels, titles, columns, height, width = _arranged(panels, titles, columns)
    head = 18 if any(titles) else 0
    rows = math.ceil(len(panels) / columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + head + gap) - gap), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        x, y = (i % columns) * (width + gap), (i // columns) * (height + head + gap)
        pen.text((x, y + head - 5), shorten(title, width), "#222222", font(12), "ls")
        sheet.paste(Image.fromarray(panel), (x, y + head))
    return np.array(sheet)


# ---------------------------------------------------------------- parts


def check_frame(frame) -> np.ndarray:
    """The frame as (H, W, 3) uint8, or a ValueError that says what it is instead."""
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
        raise ValueError(f"a frame must be (height, width, 3) uint8 RGB, not {frame.shape} {frame.dtype}.")
    return frame


def check_mask(mask, frame) -> np.ndarray:
    """The mask as (H, W) uint8, of the size of `frame`, or a ValueError that says what it is instead."""
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "biu":
        raise ValueError(f"a mask must be (height, width) of whole object numbers, not {mask.shape} {mask.dtype}.")
    if mask.shape != frame.shape[:2]:
        raise ValueError(f"the mask is {size(mask)} but the frame is {size(frame)}: resize one of them.")
    if mask.size and (mask.min() < 0 or mask.max() > VOID):
        raise ValueError(f"the mask holds {mask.min()} to {mask.max()}: object numbers are 1 to 254, void is 255.")
    return mask.astype(np.uint8)


def numbers_in(values, what: str, ndim: int | None = None) -> np.ndarray:
    """The values as an array of float, or a ValueError that says what of them is none, or of another shape."""
    try:
        found = np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(f"{what} takes numbers, and these are not all numbers.") from None
    if ndim is not None and (found.ndim != ndim or not found.size):
        wanted = {1: "a sequence of numbers", 2: "a grid (h, w) of numbers"}[ndim]
        raise ValueError(f"{what} takes {wanted}, not an array of {found.shape}.")
    return found


def size(image: np.ndarray) -> str:
    """ "480 x 854", as messages write sizes: height first."""
    return f"{image.shape[0]} x {image.shape[1]}"


@cache
def font(pixels: int):
    """Pillow's own typeface at that size: the same picture on every machine."""
    return ImageFont.load_default(pixels)


def shorten(text: str, width: int, pixels: int = 12) -> str:
    """The text, cut with an ellipsis where it would be wider than `width` pixels."""
    if font(pixels).getlength(text) <= width:
        return text
    while text and font(pixels).getlength(text + "..") > width:
        text = text[:-1]
    return text + ".."


def dashed(points: np.ndarray, pattern) -> list[np.ndarray]:
    """A line through points (n, 2) as the pieces (m, 2) that a pattern of lengths (on, off, ..) leaves of it."""
    if not pattern:
        return [points]
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    starts = np.cumsum([0, *pattern])
    pieces = []
    for period in np.arange(0, along[-1], starts[-1]):
        for on, off in zip(starts[:-1:2], starts[1::2], strict=True):
            where = np.arange(period + on, min(period + off, along[-1]) + 0.5)
            if len(where) > 1:
                pieces.append(np.stack([np.interp(where, along, points[:, c]) for c in (0, 1)], 1))
    return pieces or [points]


@cache
def _colors() -> np.ndarray:
    """(1, 256, 3) uint8: the tint of each index; background is never shown, void is grey."""
    table = np.array([[(0, 0, 0)] + [rgb(object_color(k)) for k in range(1, 256)]], np.uint8)
    table[0, VOID] = 200
    return table


def _draw_outlines(image: np.ndarray, mask: np.ndarray, scale: float, colors: dict | None = None) -> None:
    """Draw the outlines of `mask`, magnified by `scale`, into `image`, with a dark rim where there is room for one.

    colors: {object: "#RRGGBB"}, of whole lines; by default objects have their usual colours and dashes.
    """
    side = min(image.shape[:2])
    thick = max(2 if colors else 1, round(side / 200))
    rim = [((0, 0, 0), thick + 1)] if colors or side > 150 else []
    for k, points in outlines(mask):
        pattern = [] if colors else [thick * length for length in DASHES[(k - 1) % len(DASHES)]]
        pieces = dashed((np.vstack([points, points[:1]]) + 0.5) * scale - 0.5, pattern)
        fixed = [np.rint(piece * 8).astype(np.int32) for piece in pieces]
        for color, width in (*rim, (rgb(colors[k] if colors else object_color(k)), thick)):
            cv2.polylines(image, fixed, False, color, width, cv2.LINE_AA, shift=3)


def _numbered(image: np.ndarray, mask: np.ndarray, scale: float) -> np.ndarray:
    """The image with each object's number in its middle."""
    places = anchors(mask)
    if not places:
        return image
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    for k, x, y in places:
        place, pixels = ((x + 0.5) * scale, (y + 0.5) * scale), max(10, image.shape[0] // 14)
        pen.text(place, str(k), "white", font(pixels), "mm", stroke_width=1, stroke_fill="black")
    return np.array(picture)


def _lab(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> CIE Lab, in which equal distances look about equally different."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _surroundings(frame: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(n, 3) uint8: the colours of an object and of a ring of ground around it, about 4000 of them."""
    reach = max(2, round(0.04 * min(frame.shape[:2])))
    grown = cv2.dilate(inside.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
    pixels = np.asarray(frame)[grown]
    return pixels[:: max(1, len(pixels) // 4000)]
