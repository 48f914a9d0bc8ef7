"""Figures of lessons: filmstrips, heatmaps, curves, bars, each with the text of what it shows."""

import numpy as np
from PIL import Image, ImageDraw

from vosnb.drawing import SERIES, check_frame, font, grid, heat_colors, heat_over, numbers_in, overlay, shorten, tiled
from vosnb.settings import Count, Positive, Share, Steps, between, checked
from vosnb.show.pictures import SIDES, WIDTH, Photo, Picture, figure, plain, sized

HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---")


@checked
def picture(frame, mask=None, *, alt: str, alpha: Share = 0.5, title: str = "", width: Positive = 420) -> Picture:
    """One frame, with its mask if there is one, shown `width` pixels wide."""
    frame = check_frame(frame)
    image = overlay(frame, mask, alpha, scale=width / frame.shape[1])
    return Picture(grid([image], [title]), alt)


@checked
def filmstrip(
    frames, masks=None, times=None, *, alt: str, titles=None, alpha: Share = 0.5, width: Positive = WIDTH
) -> Picture:
    """Frames at some times side by side, with masks; one row for each entry if masks is a dict.

    frames: a `Clip` (whose own masks are then shown by default) or a sequence of (H, W, 3) frames; masks: a sequence of
    index masks (None where there is none), or {name: sequence}; times: frame numbers, five spread evenly by default;
    titles: one for each panel in reading order instead of name and frame number.
    """
    if hasattr(frames, "frames"):
        frames, masks = frames.frames, frames.masks if masks is None else masks
    if not sized(frames):
        raise ValueError("there is nothing to show: the clip has no frames.")
    times = np.unique(np.linspace(0, len(frames) - 1, 5).round().astype(int)) if times is None else list(times)
    if not len(times):
        raise ValueError("there is nothing to show: give at least one frame number as times=[..].")
    if wrong := [t for t in times if not isinstance(t, int | np.integer) or not -len(frames) <= t < len(frames)]:
        raise ValueError(f"frame {wrong[0]!r} does not exist: the clip has frames 0 to {len(frames) - 1}.")
    rows = masks if isinstance(masks, dict) else {"": masks}
    side = (width - 6 * (len(times) - 1)) / len(times)
    panels, names = [], []
    for name, row in rows.items():
        if row is not None and sized(row) != len(frames):
            raise ValueError(f"there are {len(frames)} frames but {sized(row)} masks{name and f' of {name}'}.")
        for t in times:
            frame = frames[t]
            panels.append(overlay(frame, None if row is None else row[t], alpha, scale=side / frame.shape[1]))
            names.append(f"{name}, frame {t}" if name else f"frame {t}")
    return Picture(grid(panels, titles or names, len(times)), alt)


@checked
def contact_sheet(
    clips, *, alt: str, time: Steps = 0, columns: Count = 6, width: Positive = WIDTH, limit: Count = 200_000
) -> Picture:
    """One frame of each clip with its mask, under the clip's name and difficulty."""
    panels, titles = [], []
    side = (width - 6 * (columns - 1)) / columns
    for clip in clips:
        if time >= len(clip.frames):
            raise ValueError(f"clip {clip.name!r} has no frame {time}: it ends with frame {len(clip.frames) - 1}.")
        frame = clip.frames[time]
        fit = min(side / frame.shape[1], 0.75 * side / frame.shape[0])
        panels.append(overlay(frame, clip.masks[time], 0.35, scale=fit))
        difficulty = clip.info.get("difficulty", "")
        titles.append(clip.name if difficulty in clip.name else f"{clip.name} ({difficulty})")
    return Picture(grid(panels, titles, columns), alt, limit)


@checked
def heatmap(
    frame, values, *, alt: str, mask=None, top: Positive | None = None, label: str = "", titles=None
) -> Picture:
    """Non-negative values on a coarse grid over the frame, with a scale; a small PNG. Larger, as JPEG: `heat`.

    values: (h, w), or {title: (h, w)} for several panels that share the scale; frame and mask: one, or one for each
    panel; top: the value shown brightest, by default the largest; label: what the scale measures.
    """
    panels, frames, masks = _panels(frame, values, mask)
    top = top or max(np.nan_to_num(panel).max() for panel in panels.values()) or 1.0
    side = min(360, (WIDTH - 70) / len(panels) - 6)
    images = [
        heat_over(f, panel / top, m, scale=side / f.shape[1])
        for f, m, panel in zip(frames, masks, panels.values(), strict=True)
    ]
    sheet = grid(images, titles or list(panels))
    return Picture(np.hstack([sheet, _color_scale(sheet.shape[0], top, label)]), alt)


@checked
def heat(
    frame, values, mask=None, *, alt: str, top: Positive = 1.0, columns: between(1, 3) | None = None, label: str = ""
) -> Photo:
    """Non-negative values on a coarse grid over frames, large, with their scale below; stored as JPEG.

    frame: (H, W, 3), one for all panels or a list with one for each; values: (h, w), or {title: (h, w)}; mask: index
    masks whose outlines are drawn, one or a list as well; top: the value that is shown brightest; label: what the scale
    measures. Raises ValueError where numbers of panels do not fit.
    """
    panels, frames, masks = _panels(frame, values, mask)
    columns = columns or min(2, len(panels))
    images = [
        heat_over(f, panel / top, m, scale=SIDES[columns] / check_frame(f).shape[1])
        for f, m, panel in zip(frames, masks, panels.values(), strict=True)
    ]
    sheet = tiled(images, list(panels), columns)
    return Photo(np.vstack([sheet, _scale_below(sheet.shape[1], top, label)]), alt)


@checked
def curves(
    values: dict,
    *,
    alt: str,
    x=None,
    xlabel: str = "frame",
    ylabel: str = "J",
    ylim=None,
    bands=None,
    mark=None,
    title: str = "",
    log: bool = False,
) -> Picture:
    """Lines {name: sequence} over x (by default 0, 1, ..), told apart by colour, dashes and markers.

    bands: {name: (low, high)} of the same lengths, drawn as shaded intervals; mark: an x at which a vertical line
    stands; log: logarithmic y. NaN leaves a gap.
    """
    if not values or not isinstance(values, dict):
        raise ValueError("there is nothing to show: give at least one curve, as {name: values}.")
    fig, axes = _axes(6.4, 2.8)
    for i, (name, y) in enumerate(values.items()):
        y = numbers_in(y, f"the curve {name!r}", 1)
        along = np.arange(len(y)) if x is None else np.asarray(x)
        if len(along) != len(y):
            raise ValueError(f"the curve {name!r} has {len(y)} values but x has {len(along)}.")
        style = {"color": SERIES[i % len(SERIES)], "ls": ("-", "--", ":", "-.")[i % 4], "marker": "osD^v*"[i % 6]}
        axes.plot(along, y, **style, ms=4, markevery=max(1, len(y) // 8), lw=1.8, label=plain(name))
        if bands and name in bands:
            band = numbers_in(bands[name], f"the band of {name!r}", 2)
            if band.shape != (2, len(y)):
                raise ValueError(f"the band of {name!r} is {band.shape}: give (low, high), each of {len(y)} numbers.")
            axes.fill_between(along, *band, color=style["color"], alpha=0.15, lw=0)
    if mark is not None:
        axes.axvline(mark, color="#666666", lw=1)
    axes.set(xlabel=plain(xlabel), ylabel=plain(ylabel), title=plain(title), yscale="log" if log else "linear")
    if np.issubdtype(np.asarray(along).dtype, np.integer):  # there is no frame 2.5
        axes.locator_params(axis="x", integer=True)
    if ylim:
        axes.set_ylim(*ylim)
    if len(values) > 1 or "" not in values:
        axes.legend(frameon=False)
    return figure(fig, alt=alt)


@checked
def bars(values: dict, *, alt: str, ylabel: str = "J", title: str = "", ylim=None) -> Picture:
    """Bars {name: value}, {name: (value, low, high)} with intervals, or either in groups: {group: {name: ..}}.

    Names keep their colour and hatching over the groups; every bar carries its number.
    """
    if not values or not isinstance(values, dict):
        raise ValueError("there is nothing to show: give at least one bar, as {name: value}.")
    grouped = isinstance(next(iter(values.values())), dict)
    groups = values if grouped else {name: {name: value} for name, value in values.items()}
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    fig, axes = _axes(min(8.2, 1.6 + 0.55 * sum(len(group) for group in groups.values()) + 0.3 * len(groups)), 2.8)
    place, ticks, shown = 0.0, [], set()
    for group, entries in groups.items():
        start = place
        for name, entry in entries.items():
            entry = numbers_in(entry, f"the bar {name!r}").ravel()
            if len(entry) not in (1, 3):
                raise ValueError(f"the bar {name!r} has {len(entry)} numbers: give its value, or (value, low, high).")
            value, low, high = entry if len(entry) == 3 else entry.repeat(3)
            i = names.index(name)
            style = {"color": SERIES[i % len(SERIES)], "hatch": HATCHES[i % len(HATCHES)], "edgecolor": "white"}
            axes.bar(place, value, 0.9, **style, label="" if name in shown else plain(name))
            shown.add(name)
            if high > low:
                axes.vlines(place, low, high, color="black", lw=1.4)
            axes.annotate(f"{value:.2f}", (place, high), (0, 2), textcoords="offset points", ha="center", fontsize=8)
            place += 1
        ticks.append(((start + place - 1) / 2, plain(group)))
        place += 0.6 if grouped else 0
    axes.set_xticks(*zip(*ticks, strict=True))
    axes.set(ylabel=plain(ylabel), title=plain(title))
    if ylim:
        axes.set_ylim(*ylim)
    if grouped and len(names) > 1:
        axes.legend(frameon=False, ncols=len(names), loc="lower left", bbox_to_anchor=(0, 1))
    return figure(fig, alt=alt)


# ---------------------------------------------------------------- parts


def _panels(frame, values, mask) -> tuple[dict[str, np.ndarray], list, list]:
    """{title: grid (h, w)} with a frame and a mask for each, or a ValueError that says what does not fit."""
    panels = values if isinstance(values, dict) else {"": values}
    panels = {name: numbers_in(panel, "a heatmap", 2) for name, panel in panels.items()}
    if not panels:
        raise ValueError("there is nothing to show: give one grid (h, w), or a dict of grids, one for each panel.")
    frames = list(frame) if isinstance(frame, (list, tuple)) else [frame] * len(panels)
    masks = list(mask) if isinstance(mask, (list, tuple)) else [mask] * len(panels)
    if not len(frames) == len(masks) == len(panels):
        raise ValueError(f"there are {len(panels)} panels but {len(frames)} frames and {len(masks)} masks.")
    return panels, frames, masks


def _scale_below(width: int, top: float, label: str) -> np.ndarray:
    """A dark strip (26, width, 3) that reads heat colours as numbers from 0 to `top`, and says what they measure."""
    sheet = Image.new("RGB", (width, 26), "#111111")
    ramp = heat_colors(np.linspace(0, 1, 160))[None].repeat(12, 0)
    sheet.paste(Image.fromarray(np.rint(ramp).astype(np.uint8)), (22, 7))
    pen = ImageDraw.Draw(sheet)
    pen.text((8, 13), "0", "white", font(14), "lm")
    pen.text((190, 13), shorten(f"{top:.2g}   {label}".rstrip(), width - 198, 14), "white", font(14), "lm")
    return np.array(sheet)


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
