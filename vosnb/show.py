"""Figures for lessons: frames with masks, filmstrips, heatmaps, curves, bars.

Every figure is a `Picture`: PNG bytes and, required, a text for readers who cannot see it. It displays as `image/png`
with that text as alternative, and as the text alone where pictures cannot be shown. Objects are told apart by
Okabe-Ito colours, by the dashes of their outlines and by their numbers; never by colour alone.

`overlay` and `heat_over` are plain functions from arrays to arrays; overlay videos and widgets use them as well.
"""

import io
import math
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

VOID = 255
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
DASHES = ((), (6, 3), (2, 2), (8, 2, 2, 2))  # on, off, .. in line widths; 4 dashes and 7 colours make 28 outlines
HEAT = ("#000004", "#420A68", "#932667", "#DD513A", "#FCA50A", "#FCFFA4")  # dark to bright: reads in grey as well
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---")
WIDTH = 820  # pixels: what a notebook's column shows without scaling


def rgb(color: str) -> tuple[int, int, int]:
    """ "#E69F00" -> (230, 159, 0)."""
    return tuple(bytes.fromhex(color[1:]))


def object_color(k: int) -> str:
    """The colour of object k = 1, 2, .. as "#RRGGBB"; it repeats after seven, the dashes do not."""
    return PALETTE[(k - 1) % len(PALETTE)]


def check_alt(alt) -> str:
    """The alternative text, or a ValueError that asks for one."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("alt= must say in a sentence what the picture shows, for readers who cannot see it.")
    return alt.strip()


# ---------------------------------------------------------------- pictures


class Picture:
    """A PNG with its alternative text, as the last line of a cell shows it.

    image: (H, W, 3) uint8. alt: what it shows, in a sentence. limit: bytes that the PNG may take (see `encode_png`).
    """

    def __init__(self, image: np.ndarray, alt: str, limit: int = 80_000):
        self.alt = check_alt(alt)
        self.png = encode_png(image, limit)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": self.png, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}

    def __repr__(self) -> str:
        return self.alt

    def save(self, path) -> None:
        """Write the PNG to `path`."""
        with open(path, "wb") as file:
            file.write(self.png)


def encode_png(image: np.ndarray, limit: int = 80_000) -> bytes:
    """(H, W, 3) uint8 -> PNG of at most `limit` bytes: with fewer colours if need be, then with fewer pixels.

    A notebook must stay small, and a photograph of 800 x 300 pixels as a true-colour PNG takes half a megabyte.
    """
    picture = Image.fromarray(image)
    data = _png(picture, compress_level=1)
    if len(data) <= 2 * limit and len(data := _png(picture)) <= limit:
        return data
    while True:
        for colors in (256, 128, 64):  # an octree is thirty times faster than Pillow's median cut, and packs better
            data = _png(picture.quantize(colors, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE))
            if len(data) <= limit:
                return data
        shrink = max(0.5, 0.97 * math.sqrt(limit / len(data)))
        picture = picture.resize([max(1, round(shrink * side)) for side in picture.size], Image.Resampling.LANCZOS)


def _png(picture: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png", **options)
    return buffer.getvalue()


def figure(fig, *, alt: str) -> Picture:
    """A matplotlib `Figure` (made without pyplot, so that nothing global remembers it) as a Picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return Picture(np.asarray(canvas.buffer_rgba())[..., :3].copy(), alt)


# ---------------------------------------------------------------- masks on frames


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


def overlay(frame, mask, alpha=0.5, contours=True, *, fill=True, numbers=True, scale=1.0) -> np.ndarray:
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
    if numbers and (places := anchors(mask)):
        picture = Image.fromarray(image)
        pen = ImageDraw.Draw(picture)
        for k, x, y in places:
            place = ((x + 0.5) * scale, (y + 0.5) * scale)
            pen.text(place, str(k), "white", font(max(10, height // 14)), "mm", stroke_width=1, stroke_fill="black")
        image = np.array(picture)
    return image


def heat_over(frame, values, mask=None, *, scale=1.0) -> np.ndarray:
    """Values in 0..1 on a coarse grid over the greyed frame: dark where 0, bright where 1, one square a cell.

    frame: (H, W, 3) uint8; values: (h, w); mask: (H, W) whose outlines are drawn too. Returns uint8 like `overlay`.
    """
    frame = check_frame(frame)
    height, width = (max(1, round(scale * side)) for side in frame.shape[:2])
    grey = cv2.cvtColor(cv2.resize(frame, (width, height)), cv2.COLOR_RGB2GRAY)[..., None]
    # nearest-neighbour by index, so that a grid which does not divide the frame still covers it evenly
    values = np.clip(np.nan_to_num(np.asarray(values, np.float32)), 0, 1)
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


def grid(panels, titles=None, columns: int | None = None, gap: int = 6) -> np.ndarray:
    """Panels of one size in rows on white, each under its title. Returns (H, W, 3) uint8."""
    if not len(panels):
        raise ValueError("there is nothing to show: the list of panels is empty.")
    titles = titles or [""] * len(panels)
    columns = min(columns or len(panels), len(panels))
    height, width = np.max([panel.shape[:2] for panel in panels], axis=0)
    head = 18 if any(titles) else 0
    rows = math.ceil(len(panels) / columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + head + gap) - gap), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        x, y = (i % columns) * (width + gap), (i // columns) * (height + head + gap)
        pen.text((x, y + head - 5), shorten(title, width), "#222222", font(12), "ls")
        sheet.paste(Image.fromarray(panel), (x, y + head))
    return np.array(sheet)


# ---------------------------------------------------------------- figures


def picture(frame, mask=None, *, alt: str, alpha=0.5, title: str = "", width: int = 420) -> Picture:
    """One frame, with its mask if there is one, shown `width` pixels wide."""
    frame = check_frame(frame)
    image = overlay(frame, mask, alpha, scale=width / frame.shape[1])
    return Picture(grid([image], [title]), alt)


def filmstrip(frames, masks=None, times=None, *, alt: str, titles=None, alpha=0.5, width: int = WIDTH) -> Picture:
    """Frames at some times side by side, with masks; one row for each entry if masks is a dict.

    frames: a `Clip` (whose own masks are then shown by default) or a sequence of (H, W, 3) frames; masks: a sequence of
    index masks (None where there is none), or {name: sequence}; times: frame numbers, five spread evenly by default;
    titles: one for each panel in reading order instead of name and frame number.
    """
    if hasattr(frames, "frames"):
        frames, masks = frames.frames, frames.masks if masks is None else masks
    if not len(frames):
        raise ValueError("there is nothing to show: the clip has no frames.")
    times = np.unique(np.linspace(0, len(frames) - 1, 5).round().astype(int)) if times is None else list(times)
    rows = masks if isinstance(masks, dict) else {"": masks}
    side = (width - 6 * (len(times) - 1)) / len(times)
    panels, names = [], []
    for name, row in rows.items():
        if row is not None and len(row) != len(frames):
            raise ValueError(f"there are {len(frames)} frames but {len(row)} masks{name and ' of ' + name}.")
        for t in times:
            frame = frames[t]
            panels.append(overlay(frame, None if row is None else row[t], alpha, scale=side / frame.shape[1]))
            names.append(f"{name}, frame {t}" if name else f"frame {t}")
    return Picture(grid(panels, titles or names, len(times)), alt)


def contact_sheet(clips, *, alt: str, time: int = 0, columns: int = 6, width: int = WIDTH, limit=200_000) -> Picture:
    """One frame of each clip with its mask, under the clip's name and difficulty."""
    panels, titles = [], []
    side = (width - 6 * (columns - 1)) / columns
    for clip in clips:
        frame = clip.frames[time]
        fit = min(side / frame.shape[1], 0.75 * side / frame.shape[0])
        panels.append(overlay(frame, clip.masks[time], 0.35, scale=fit))
        difficulty = clip.info.get("difficulty", "")
        titles.append(clip.name if difficulty in clip.name else f"{clip.name} ({difficulty})")
    return Picture(grid(panels, titles, columns), alt, limit)


def heatmap(frame, values, *, alt: str, mask=None, top: float | None = None, label: str = "", titles=None) -> Picture:
    """Non-negative values on a coarse grid over the frame, with a scale.

    values: (h, w), or {title: (h, w)} for several panels that share the scale; frame and mask: one, or one for each
    panel; top: the value shown brightest, by default the largest; label: what the scale measures.
    """
    panels = values if isinstance(values, dict) else {"": values}
    panels = {name: np.asarray(panel, float) for name, panel in panels.items()}
    if any(panel.ndim != 2 for panel in panels.values()) or not panels:
        raise ValueError("values must be one grid (h, w), or a dict of grids, one for each panel.")
    frames = list(frame) if isinstance(frame, (list, tuple)) else [frame] * len(panels)
    masks = list(mask) if isinstance(mask, (list, tuple)) else [mask] * len(panels)
    if not len(frames) == len(masks) == len(panels):
        raise ValueError(f"there are {len(panels)} panels but {len(frames)} frames and {len(masks)} masks.")
    top = top or max(np.nanmax(panel) for panel in panels.values()) or 1.0
    side = min(360, (WIDTH - 70) / len(panels) - 6)
    images = [
        heat_over(f, panel / top, m, scale=side / f.shape[1])
        for f, m, panel in zip(frames, masks, panels.values(), strict=True)
    ]
    sheet = grid(images, titles or list(panels))
    return Picture(np.hstack([sheet, _color_scale(sheet.shape[0], top, label)]), alt)


def curves(
    values: dict, *, alt: str, x=None, xlabel="frame", ylabel="J", ylim=None, bands=None, mark=None, title="", log=False
) -> Picture:
    """Lines {name: sequence} over x (by default 0, 1, ..), told apart by colour, dashes and markers.

    bands: {name: (low, high)} of the same lengths, drawn as shaded intervals; mark: an x at which a vertical line
    stands; log: logarithmic y. NaN leaves a gap.
    """
    if not values:
        raise ValueError("there is nothing to show: give at least one curve, as {name: values}.")
    fig, axes = _axes(6.4, 2.8)
    for i, (name, y) in enumerate(values.items()):
        y = np.asarray(y, float)
        along = np.arange(len(y)) if x is None else np.asarray(x)
        if len(along) != len(y):
            raise ValueError(f"the curve {name!r} has {len(y)} values but x has {len(along)}.")
        style = {"color": SERIES[i % len(SERIES)], "ls": ("-", "--", ":", "-.")[i % 4], "marker": "osD^v*"[i % 6]}
        axes.plot(along, y, **style, ms=4, markevery=max(1, len(y) // 8), lw=1.8, label=name)
        if bands and name in bands:
            axes.fill_between(along, *np.asarray(bands[name], float), color=style["color"], alpha=0.15, lw=0)
    if mark is not None:
        axes.axvline(mark, color="#666666", lw=1)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title, yscale="log" if log else "linear")
    if np.issubdtype(np.asarray(along).dtype, np.integer):  # there is no frame 2.5
        axes.locator_params(axis="x", integer=True)
    if ylim:
        axes.set_ylim(*ylim)
    if len(values) > 1 or "" not in values:
        axes.legend(frameon=False)
    return figure(fig, alt=alt)


def bars(values: dict, *, alt: str, ylabel="J", title="", ylim=None) -> Picture:
    """Bars {name: value}, {name: (value, low, high)} with intervals, or either in groups: {group: {name: ..}}.

    Names keep their colour and hatching over the groups; every bar carries its number.
    """
    if not values:
        raise ValueError("there is nothing to show: give at least one bar, as {name: value}.")
    grouped = isinstance(next(iter(values.values())), dict)
    groups = values if grouped else {name: {name: value} for name, value in values.items()}
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    fig, axes = _axes(min(8.2, 1.6 + 0.55 * sum(len(group) for group in groups.values()) + 0.3 * len(groups)), 2.8)
    place, ticks = 0.0, []
    for group, entries in groups.items():
        start = place
        for name, entry in entries.items():
            value, low, high = entry if np.ndim(entry) else (entry, entry, entry)
            i = names.index(name)
            style = {"color": SERIES[i % len(SERIES)], "hatch": HATCHES[i % len(HATCHES)], "edgecolor": "white"}
            axes.bar(place, value, 0.9, **style, label="" if name in axes.get_legend_handles_labels()[1] else name)
            if high > low:
                axes.vlines(place, low, high, color="black", lw=1.4)
            axes.annotate(f"{value:.2f}", (place, high), (0, 2), textcoords="offset points", ha="center", fontsize=8)
            place += 1
        ticks.append(((start + place - 1) / 2, group))
        place += 0.6 if grouped else 0
    axes.set_xticks(*zip(*ticks, strict=True))
    axes.set(ylabel=ylabel, title=title)
    if ylim:
        axes.set_ylim(*ylim)
    if grouped and len(names) > 1:
        axes.legend(frameon=False, ncols=len(names), loc="lower left", bbox_to_anchor=(0, 1))
    return figure(fig, alt=alt)


# ---------------------------------------------------------------- parts


def check_frame(frame) -> np.ndarray:
    """The frame as (H, W, 3) uint8, or a ValueError that says what it is instead."""
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"a frame must be (height, width, 3) uint8 RGB, not {frame.shape} {frame.dtype}.")
    return frame


def check_mask(mask, frame) -> np.ndarray:
    """The mask as (H, W) uint8, of the size of `frame`, or a ValueError that says what it is instead."""
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "biu":
        raise ValueError(f"a mask must be (height, width) of whole object numbers, not {mask.shape} {mask.dtype}.")
    if mask.shape != frame.shape[:2]:
        raise ValueError(f"the mask is {size(mask)} but the frame is {size(frame)}: resize one of them.")
    return mask.astype(np.uint8)


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


def _draw_outlines(image: np.ndarray, mask: np.ndarray, scale: float) -> None:
    """Draw the outlines of `mask`, magnified by `scale`, into `image`, with a dark rim where there is room for one."""
    thick = max(1, round(min(image.shape[:2]) / 200))
    rim = [((0, 0, 0), thick + 1)] if min(image.shape[:2]) > 150 else []
    for k, points in outlines(mask):
        pattern = [thick * length for length in DASHES[(k - 1) % len(DASHES)]]
        pieces = dashed((np.vstack([points, points[:1]]) + 0.5) * scale - 0.5, pattern)
        fixed = [np.rint(piece * 8).astype(np.int32) for piece in pieces]
        for color, width in (*rim, (rgb(object_color(k)), thick)):
            cv2.polylines(image, fixed, False, color, width, cv2.LINE_AA, shift=3)


def _color_scale(height: int, top: float, label: str) -> np.ndarray:
    """A strip (height, 70, 3) that reads heat colours as numbers from 0 to `top`."""
    sheet = Image.new("RGB", (70, height), "white")
    low, high = height - 6, 24
    ramp = heat_colors(np.linspace(1, 0, low - high))[:, None].repeat(12, 1)
    sheet.paste(Image.fromarray(np.rint(ramp).astype(np.uint8)), (10, high))
    pen = ImageDraw.Draw(sheet)
    pen.text((0, 13), shorten(label, 70), "#222222", font(12), "ls")
    pen.text((26, high + 4), f"{top:.2g}", "#222222", font(11), "lm")
    pen.text((26, low - 4), "0", "#222222", font(11), "lm")
    return np.array(sheet)


def _axes(width: float, height: float):
    """A matplotlib Figure and its axes in the style of the lessons, in inches at 100 dots an inch."""
    from matplotlib.figure import Figure

    fig = Figure((width, height), dpi=100, layout="constrained")
    axes = fig.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", lw=0.6)
    axes.set_axisbelow(True)
    return fig, axes
