"""Diagrams of ideas as SVG, made by code: ink of a middle tone on the page's own ground, all else on pale cards."""

import html
import math

from vosnb.show.pictures import Drawing
from vosnb.show.plots import INK, TONES

CARD, DARK = "#F4F1EA", "#222222"  # a pale card and what is written on it: 14 : 1, on any page
TARGET, OTHER, GROUND = TONES[1], TONES[0], "#D9D4C7"


class Canvas:
    """An SVG being drawn, in pixels from the top left corner."""

    def __init__(self, width: int, height: int, title: str):
        self.width, self.height, self.title, self.parts = width, height, title, []

    def box(self, x, y, width, height, fill="none", stroke="none", round_=0, line=1.5):
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{round_}" '
            f'fill="{fill}" stroke="{stroke}" stroke-width="{line:g}"/>'
        )

    def text(self, x, y, words, color=INK, size=15, anchor="middle", bold=False):
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{color}" font-size="{size}" text-anchor="{anchor}"{weight}>'
            f"{html.escape(str(words))}</text>"
        )

    def arrow(self, x0, y0, x1, y1, color=INK, line=2.0):
        """From one point to the other, with a head that grows with the line."""
        length, head = math.hypot(x1 - x0, y1 - y0), 6 + 1.2 * line
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        bx, by = x1 - head * dx, y1 - head * dy
        self.parts.append(
            f'<path d="M{x0:.1f} {y0:.1f}L{bx:.1f} {by:.1f}" stroke="{color}" stroke-width="{line:g}"/>'
            f'<path d="M{x1:.1f} {y1:.1f}L{bx - head / 2 * dy:.1f} {by + head / 2 * dx:.1f}'
            f'L{bx + head / 2 * dy:.1f} {by - head / 2 * dx:.1f}Z" fill="{color}"/>'
        )

    def svg(self) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" role="img" font-family="system-ui, Helvetica, Arial, sans-serif">'
            f"<title>{html.escape(self.title)}</title>\n" + "\n".join(self.parts) + "\n</svg>\n"
        )


MEMORY = (".TT...", ".TT...", "......", "...OO.")  # a frame of the memory: T target, O a look-alike, . ground
QUERY = ("......", "...TT.", "...TT.", "OO....")  # the frame after it: both have moved
WEIGHTS = (((2, 0), 0.28), ((2, 1), 0.62), ((4, 3), 0.10))  # cells of the memory (column, row) like the query's cell
CELL = 34


def matching_diagram(*, alt: str | None = None) -> Drawing:
    """Keys, values, affinity and memory: how one cell of a new frame gets its answer from the cells of an old one."""
    alt = alt or (
        "A memory frame and a new frame as grids of cells. Every cell has a key; memory cells also have a value, "
        "target or not. Three arrows lead from memory cells to one cell of the new frame, as thick as their affinity: "
        "two from the target, 0.28 and 0.62, one from a look-alike, 0.10. The cell reads 0.28 + 0.62 = 0.90 target."
    )
    canvas = Canvas(820, 372, "Matching with a memory")
    left, right, top = (28, 106), (308, 106), 106
    canvas.text(left[0] + 3 * CELL, 24, "memory: frame 0", bold=True)
    canvas.text(left[0] + 3 * CELL, 46, "each cell: a key (what it looks like)", size=14)
    canvas.text(left[0] + 3 * CELL, 65, "and a value (target or not)", size=14)
    canvas.text(right[0] + 3 * CELL, 24, "query: frame 1", bold=True)
    canvas.text(right[0] + 3 * CELL, 46, "each cell: a key of its own,", size=14)
    canvas.text(right[0] + 3 * CELL, 65, "no label yet", size=14)
    _cells(canvas, *left, MEMORY, valued=True)
    _cells(canvas, *right, QUERY, valued=False)
    asked = (3, 1)
    x1, y1 = (right[i] + CELL * (asked[i] + 0.5) for i in (0, 1))
    canvas.box(x1 - CELL / 2, y1 - CELL / 2, CELL, CELL, stroke=DARK, line=3)
    for ((column, row), weight), end in zip(WEIGHTS, (-10, 0, 12), strict=True):
        x0, y0, y2 = left[0] + CELL * (column + 1), left[1] + CELL * (row + 0.5), y1 + end
        canvas.arrow(x0, y0, x1 - CELL / 2 - 2, y2, INK, 1.5 + 9 * weight)
        x = (left[0] + 6 * CELL + right[0]) / 2
        y = y0 + (y2 - y0) * (x - x0) / (x1 - CELL / 2 - x0)
        canvas.box(x - 20, y - 10, 40, 20, fill=CARD, round_=4)
        canvas.text(x, y + 5, f"{weight:.2f}", DARK, 14)
    canvas.text(left[0] + 3 * CELL, top + 4 * CELL + 24, "keys alike: affinity high", size=14)
    canvas.text(right[0] + 3 * CELL, top + 4 * CELL + 24, "softmax: the weights sum to 1", size=14)
    canvas.arrow(right[0] + 6 * CELL + 8, y1, 578, y1, INK, 3)
    _readout(canvas, 586, top)
    canvas.text(410, 318, "read-out = sum of affinity × value:", bold=True)
    canvas.text(410, 342, "0.28 × 1 + 0.62 × 1 + 0.10 × 0 = 0.90", size=16)
    canvas.text(410, 364, "the missing 0.10 is read from the look-alike", size=14)
    return Drawing(canvas.svg(), alt, canvas.width)


def _cells(canvas: Canvas, left: float, top: float, rows, valued: bool) -> None:
    """A frame as a grid of cells; its colour stands for the key, the number in its corner is the value."""
    canvas.box(left - 6, top - 6, CELL * len(rows[0]) + 12, CELL * len(rows) + 12, fill=CARD, round_=6)
    for r, line in enumerate(rows):
        for c, what in enumerate(line):
            x, y = left + CELL * c, top + CELL * r
            canvas.box(x + 1, y + 1, CELL - 2, CELL - 2, fill={"T": TARGET, "O": "#E59A6B", ".": GROUND}[what])
            if valued:
                canvas.text(x + 9, y + CELL - 6, int(what == "T"), "#000000" if what == "T" else DARK, 13)


def _readout(canvas: Canvas, left: float, top: float) -> None:
    """The new frame's answers: how much target each cell read out."""
    canvas.text(left + 3 * CELL, 24, "read-out: the mask", bold=True)
    canvas.text(left + 3 * CELL, 46, "how much target", size=14)
    canvas.text(left + 3 * CELL, 65, "each cell has read", size=14)
    canvas.box(left - 6, top - 6, CELL * 6 + 12, CELL * 4 + 12, fill=CARD, round_=6)
    likes = {"T": (0.90, 0.94, 0.88, 0.92), "O": (0.22, 0.18), ".": (0.02,)}
    seen = dict.fromkeys(likes, 0)
    for r, line in enumerate(QUERY):
        for c, what in enumerate(line):
            value = likes[what][seen[what] % len(likes[what])]
            seen[what] += 1
            shade = round(245 - 215 * value)
            x, y = left + CELL * c, top + CELL * r
            canvas.box(x + 1, y + 1, CELL - 2, CELL - 2, fill=f"#{shade:02X}{shade:02X}{shade:02X}")
            if value > 0.1:
                canvas.text(x + CELL / 2, y + CELL / 2 + 5, f"{value:.2f}", "white" if value > 0.5 else DARK, 13)
    canvas.text(left + 3 * CELL, top + 4 * CELL + 24, "dark: target", size=14)


def target_diagram(*, alt: str | None = None) -> Drawing:
    """D, the target model: features of cells, two linear layers, scores, and labels that they are compared with."""
    alt = alt or (
        "The target model from left to right. A frame's features: a grid of cells, each a vector. w1, 1 by 1, makes "
        "hidden channels of each cell alone. w2, 3 by 3, makes one score of a cell and its eight neighbours. U brings "
        "the scores up to the pixels, where they are compared with the labels, 1 on the object and 0 elsewhere."
    )
    canvas = Canvas(820, 236, "The target model")
    top, size = 62, 24
    for left, name, depth in ((20, "features x", 4), (226, "hidden channels", 2), (432, "scores", 1)):
        canvas.text(left + 3 * size, 24, name, bold=True)
        for shift in range(5 * depth - 5, -1, -5):
            canvas.box(left + shift - 2, top - shift - 2, 6 * size + 4, 4 * size + 4, fill=CARD, stroke=DARK, line=1)
        for row, column in ((row, column) for row in range(4) for column in range(6)):
            seen = name == "hidden channels" and row >= 1 and 2 <= column <= 4
            on = name == "scores" and (row, column) in {(1, 2), (1, 3), (2, 2), (2, 3), (2, 4)}
            fill = TARGET if on else OTHER if seen else GROUND
            canvas.box(left + size * column + 1, top + size * row + 1, size - 2, size - 2, fill=fill)
        if name != "hidden channels":
            canvas.box(left + 3 * size, top + 2 * size, size, size, stroke=DARK, line=3)
    middle = top + 2 * size
    for x, name in ((190, "w1, 1 × 1"), (396, "w2, 3 × 3"), (595, "U")):
        canvas.arrow(x - 6, middle, x + 28, middle, INK, 3)
        canvas.text(x + 10, top + 4 * size + 34, name, size=15)
    canvas.text(706, 24, "labels, on pixels", bold=True)
    canvas.box(634, top - 2, 6 * size + 4, 4 * size + 4, fill=GROUND)
    canvas.parts.append(f'<ellipse cx="708" cy="{middle}" rx="36" ry="27" fill="{TARGET}"/>')
    canvas.text(410, 214, "w1 mixes the channels of one cell, w2 looks at a cell and its eight neighbours", size=14)
    canvas.text(410, 232, "the loss: squares of U(scores) - labels, over all pixels", size=14)
    return Drawing(canvas.svg(), alt, canvas.width)
