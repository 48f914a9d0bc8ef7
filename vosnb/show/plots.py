"""Plots that are legible on JupyterLab's light and dark grounds: their style, the forest plot, the scoreboard."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager

from vosnb.drawing import numbers_in
from vosnb.paths import RESULTS
from vosnb.show.pictures import Picture, figure, plain

# The tone that stands off equally, 4.3 : 1, from white and from JupyterLab's dark ground (#111111). Small text should
# have 4.5 : 1, which no single tone has on both; so text in this ink is never smaller than nine points.
INK = "#797979"
# For lines and marks, in this order: each stands off at least 3 : 1 from both grounds, and all from each other.
TONES = ("#1F7FC4", "#D55E00", "#009E73", "#B565A7", "#A67C00", "#7A6FE0")
GAIN, LOSS = TONES[0], TONES[1]
# Grid lines behind labels. Ticks that are made when a figure is drawn know nothing of `style`, so this is said to them.
LIGHT = {"color": INK, "alpha": 0.2, "lw": 0.6}

STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "lines.linewidth": 2,
}


@contextmanager
def style():
    """What is drawn with matplotlib inside has a transparent ground, ink for both themes and ticks of nine points.

        with show.style():
            fig = Figure((6, 3))                       # of matplotlib.figure; nothing of pyplot is needed
            axes = fig.subplots()
            axes.plot(x, y, color=show.TONES[0])
        show.figure(fig, alt="...")

    A function can have it as a decorator, `@show.style()`. Matplotlib's settings are afterwards as they were.
    """
    import matplotlib
    from matplotlib import cycler

    with matplotlib.rc_context(STYLE | {"axes.prop_cycle": cycler(color=TONES)}):
        yield


def forest(
    rows: Sequence[Mapping], *, alt: str, label: str | Callable[[Mapping], str] = "step", xlabel: str = "gain in mean J"
) -> Picture:
    """A forest plot: one row for each comparison, its gain and interval on one shared axis, and a line at zero.

    rows: from the top to the bottom, as `data/results/*.json` have them: mappings with `gain`, `low`, `high`, and where
    they are known `won` and `lost` (clips), `paper`, the paper's number, which becomes a tick, and `better`, "down"
    where less is better, which exchanges the two colours; label: the key of a row's name, or a function that makes the
    name. Intervals clear of zero have a full mark and a colour, others are hollow. Raises ValueError for a row without
    these numbers, or whose interval does not hold its gain.
    """
    from matplotlib.figure import Figure

    if not rows:
        raise ValueError("there is nothing to show: give at least one row with gain, low and high.")
    names, gains = [], []
    for row in rows:
        if missing := [key for key in ("gain", "low", "high") if row.get(key) is None]:
            raise ValueError(f"a row of a forest plot needs gain, low and high; {dict(row)} has no {missing[0]}.")
        gain, low, high = numbers_in([row[key] for key in ("gain", "low", "high")], "a forest plot", 1)
        if not low <= gain <= high:
            raise ValueError(f"the interval {low} to {high} does not hold its gain {gain}: look at low and high.")
        if not callable(label) and label not in row:
            raise ValueError(f"a row has no {label!r} to be named by; label= takes one of {', '.join(map(str, row))}.")
        names.append(str(label(row) if callable(label) else row[label]))
        gains.append((gain, low, high))
    with style():
        fig = Figure((8.2, 0.75 + 0.34 * len(rows)))
        axes = fig.subplots()
        axes.axvline(0, color=INK, lw=1.8)
        for y, (row, (gain, low, high)) in enumerate(zip(rows, gains, strict=True)):
            up, down = (LOSS, GAIN) if row.get("better") == "down" else (GAIN, LOSS)
            color = up if low > 0 else down if high < 0 else INK
            axes.plot([low, high], [y, y], color=color, lw=2.2, solid_capstyle="butt")
            axes.plot(gain, y, "o", ms=7, color=color, mfc=color if color != INK else "none", mew=1.8)
            if (paper := row.get("paper")) is not None:
                axes.plot([paper, paper], [y - 0.3, y + 0.3], color=TONES[2], lw=2.2)
                axes.text(paper, y - 0.32, "paper", color=TONES[2], fontsize=9, ha="center", va="bottom")
            won = f"   {row['won']} won, {row['lost']} lost" if "won" in row and "lost" in row else ""
            number = f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]{won}"
            axes.text(1.02, y, number, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        axes.set_yticks(range(len(rows)), [plain(name) for name in names])
        axes.set(ylim=(len(rows) - 0.5, -0.9), xlabel=plain(xlabel))
        axes.tick_params("y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", **LIGHT)
        axes.locator_params(axis="x", nbins=6)
    return figure(fig, alt=alt)


# ---------------------------------------------------------------- the scoreboard

# Who is on the scoreboard, in the order of lessons: (lesson, name shown, tracker in data/results/worlds.json).
SCOREBOARD = (
    ("00", "still", "still"),
    ("00", "histogram", "histogram"),
    ("01", "nearest", "nearest"),
    ("01", "matching", "matching:backbone=photos"),
    ("03", "matching + context", "matching+context:backbone=photos"),
    ("04", "target model", "target-model:backbone=photos:update_every=2"),
    ("06", "frtm", "frtm:backbone=photos"),
)
WORLDS = {  # panel: (world, list) there
    "creatures": ("creatures", "all"),
    "toys": ("toys", "easy"),
    "toys, twins": ("toys", "twins"),
    "real video": ("real", "report"),
}


class Scoreboard(Picture):
    """The scoreboard as a picture. `rows` are its numbers, and `text` says them where pictures cannot be shown."""

    def __init__(self, picture: Picture, rows: list[dict]):
        self.alt, self.width, self.png, self.rows = picture.alt, picture.width, picture.png, rows

    @property
    def text(self) -> str:
        width = max(len(row["name"]) for row in self.rows)
        lines = [f"{'':{width}}  " + "  ".join(f"{world:>11}" for world in [*WORLDS, "frames/s"])]
        for row in self.rows:
            numbers = [f"{row[world]['J']:11.2f}" for world in WORLDS] + [f"{row['fps']:11.3g}"]
            lines.append(f"{row['name']:{width}}  " + "  ".join(numbers))
        return "\n".join(lines)

    def _repr_mimebundle_(self, include=None, exclude=None):
        data, metadata = super()._repr_mimebundle_(include, exclude)
        return data | {"text/plain": f"{self.alt}\n\n{self.text}"}, metadata


def scoreboard(upto: str, *, alt: str | None = None) -> Scoreboard:
    """The trackers so far, one row each: mean J with its 95 % interval in each world, and frames a second.

    upto: the name of the last tracker to show, as in `SCOREBOARD`, so that the board grows by a row from lesson to
    lesson; that row is drawn in colour. alt: by default a sentence with the best tracker of each world. The numbers are
    those of data/results/worlds.json; frames/s are of a toy at 240 x 432 on two cores that did nothing else
    (data/results/target_photos.json). Raises ValueError for a name that
    is not on the board.
    """
    names = [name for _, name, _ in SCOREBOARD]
    if upto not in names:
        raise ValueError(f"{upto!r} is not on the scoreboard; there are {', '.join(names)}.")
    rows = _scores(names.index(upto) + 1)
    best = [max(rows, key=lambda row: row[world]["J"]) for world in WORLDS]
    found = "; ".join(f"{w}: {row['name']}, {row[w]['J']:.2f}" for w, row in zip(WORLDS, best, strict=True))
    alt = alt or f"Scoreboard of {len(rows)} trackers, mean J with 95 % intervals. Best so far on {found}."
    return Scoreboard(figure(_board(rows), alt=alt), rows)


def _scores(count: int) -> list[dict]:
    """The first rows of the board: {"lesson", "name", "fps", world: its row in worlds.json}."""
    stored = json.loads((RESULTS / "worlds.json").read_text())["rows"]
    known = {(row["world"], row["list"], row["tracker"]): row for row in stored if "tracker" in row}
    costs = json.loads((RESULTS / "target_photos.json").read_text())["rows"]
    fps = {row["setting"]: row["fps"] for row in costs if row["part"] == "cost"}
    rows = []
    for lesson, name, tracker in SCOREBOARD[:count]:
        worlds = {world: known[(*where, tracker)] for world, where in WORLDS.items()}
        rows.append({"lesson": lesson, "name": name, "fps": fps[tracker]} | worlds)
    return rows


@style()
def _board(rows: list[dict]):
    from matplotlib.figure import Figure

    fig = Figure((8.2, 0.85 + 0.36 * len(rows)))
    panels = fig.subplots(1, len(WORLDS) + 1, sharey=True, width_ratios=[1] * len(WORLDS) + [0.55])
    for axes, world in zip(panels, WORLDS, strict=False):
        for y, row in enumerate(rows):
            J, low, high = (row[world][key] for key in ("J", "J_low", "J_high"))
            color = GAIN if y == len(rows) - 1 else INK
            axes.plot([low, high], [y, y], color=color, lw=2)
            axes.plot(J, y, "o", ms=6, color=color)
            axes.annotate(f"{J:.2f}", (J, y), (0, 5), textcoords="offset points", ha="center", color=color, fontsize=9)
        axes.set(xlim=(0, 1), title=f"{world} ({rows[0][world]['clips']})", xticks=(0, 0.5, 1))
        axes.set_xticklabels(("0", ".5", "1"))
        axes.grid(axis="x", **LIGHT)
    for y, row in enumerate(rows):
        color = GAIN if y == len(rows) - 1 else INK
        panels[-1].text(0.5, y, f"{row['fps']:.3g}", ha="center", va="center", color=color)
    panels[-1].set(title="frames/s", xlim=(0, 1), xticks=())
    panels[-1].spines["bottom"].set_visible(False)
    panels[0].set_yticks(range(len(rows)), [f"{row['lesson']}  {row['name']}" for row in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.7)
    for axes in panels:
        axes.tick_params("y", length=0)
        axes.spines["left"].set_visible(False)
    fig.supxlabel("mean J on so many clips (in brackets), with its 95 % interval", fontsize=9)
    return fig
