"""Jointed bodies: outlines, joints and how they move. Lengths are in body lengths, x points forward and y down."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

COAT, SECOND, THIRD, ACCENT, DARK, EYE = range(6)  # how a part is coloured: the coat's pattern, or one plain colour


@dataclass
class Part:
    """A rigid piece of a body: its outline at rest (V, 2), the joint it turns about, and its swing."""

    outline: np.ndarray
    joint: tuple = (0.0, 0.0)
    parent: int | None = None  # index of the part that carries this one
    rest: float = 0.0  # angle at rest, radians
    swing: float = 0.0  # greatest swing about the joint, radians, at deformation 1
    rate: float = 1.0  # swings per stride
    phase: float = 0.0  # radians
    tone: int = COAT
    shade: float = 1.0  # brightness; far limbs are darker


@dataclass
class Body:
    """Parts in the order in which they are drawn, a bend of the whole, and painted details such as eyes."""

    plan: str
    parts: list
    bend: str | None = None  # "wave" (fish, worms), "twist" (stars), "wobble" (blobs)
    bend_size: float = 0.0
    bend_number: float = 0.0  # wave number (radians a body length) or number of lobes
    stride: float = 0.5  # radians a frame
    details: tuple = ()  # (part, x, y, radius, tone): discs painted on a part
    stands: bool = True  # on the ground, where it casts a shadow
    tilt: float = 1.0  # how readily it leans and turns; 1 is an animal on its legs

    @cached_property
    def foot(self) -> float:
        """How far the body reaches down at rest."""
        return max(float(part.outline[:, 1].max()) for part in self.parts)

    @cached_property
    def outlines(self) -> tuple:
        """All outlines in one: x and y (V,), and for each part how many corners it has and where they start."""
        counts = np.array([len(part.outline) for part in self.parts])
        x, y = np.concatenate([part.outline for part in self.parts]).T.copy()
        return x, y, counts, np.cumsum(counts) - counts

    @cached_property
    def _joints(self) -> np.ndarray:
        """Of every part: rest, swing, rate, phase and the joint's x and y, (6, P)."""
        return np.array([(p.rest, p.swing, p.rate, p.phase, *p.joint) for p in self.parts], np.float64).T.copy()

    @cached_property
    def _carried(self) -> list:
        """(parts, the parents that carry them), first the parts that hang on a root, then those that hang on these."""

        def depth(index):
            parent = self.parts[index].parent
            return 0 if parent is None else 1 + depth(parent)

        depths, levels = [depth(index) for index in range(len(self.parts))], []
        for level in range(1, max(depths) + 1):
            carried = [index for index, other in enumerate(depths) if other == level]
            levels.append((carried, [self.parts[index].parent for index in carried]))
        return levels

    def pose(self, t, phase: float, vigour: float) -> np.ndarray:
        """Affine maps (a, b, c, d, e, f), x' = ax + by + c, y' = dx + ey + f, from rest to posed, (6, T, P).

        t: times (T, 1).
        """
        rest, swing, rate, start, x, y = self._joints
        angle = rest + vigour * swing * np.sin(rate * self.stride * t + start + phase)
        c, s = np.cos(angle), np.sin(angle)
        maps = np.array((c, -s, x - c * x + s * y, s, c, y - s * x - c * y))
        for carried, parents in self._carried:
            maps[..., carried] = compose(maps[..., parents], maps[..., carried])
        return maps

    def bent(self, x, y, t, phase: float, vigour: float, undo: bool = False):
        """Bend the posed points (arrays x, y), or `undo` the bend; every bend has an exact inverse."""
        turn = self.stride * t + phase
        size = float(-vigour * self.bend_size if undo else vigour * self.bend_size)
        if self.bend == "wave":  # sideways, growing from the head to the tail
            reach = np.clip(0.55 - x, 0.05, 1.4)
            return x, y + size * reach * np.sin(float(self.bend_number) * x + turn)
        if self.bend == "twist":  # the further out, the more it is turned
            angle = (size * np.sin(turn)).astype(x.dtype) * np.sqrt(x * x + y * y)
            c, s = np.cos(angle), np.sin(angle)
            return c * x - s * y, s * x + c * y
        if self.bend == "wobble":  # the radius depends on the direction
            direction = np.arctan2(y, x)
            lobes = np.cos(2 * direction + 0.6 * turn) + 0.6 * np.cos(self.bend_number * direction - turn)
            scale = 1 + float(vigour * self.bend_size) * lobes
            scale = 1 / scale if undo else scale
            return x * scale, y * scale
        return x, y


# An affine map is six numbers, or six arrays of them for several maps at once.


def compose(outer, inner) -> tuple:
    """The affine map that applies `inner`, then `outer`."""
    a, b, c, d, e, f = outer
    g, h, i, j, k, m = inner
    return a * g + b * j, a * h + b * k, a * i + b * m + c, d * g + e * j, d * h + e * k, d * i + e * m + f


def inverse(affine) -> tuple:
    """The inverse of an affine map."""
    a, b, c, d, e, f = affine
    k = 1 / (a * e - b * d)
    return e * k, -b * k, (b * f - c * e) * k, -d * k, a * k, (c * d - a * f) * k


def apply(affine, x, y) -> tuple:
    """The points x, y after an affine map."""
    a, b, c, d, e, f = affine
    return a * x + b * y + c, d * x + e * y + f


# Outlines -----------------------------------------------------------------------------------------------------------


def smooth(points, rounds: int = 2) -> np.ndarray:
    """A closed polygon with its corners cut (Chaikin 1974), which tends to a quadratic B-spline."""
    points = np.asarray(points, np.float64)
    for _ in range(rounds):
        following = np.concatenate([points[1:], points[:1]])
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1).reshape(-1, 2)
    return points


def oval(x, y, rx, ry, n: int = 20) -> np.ndarray:
    """An ellipse with n corners."""
    turns = np.arange(n) * (2 * np.pi / n)
    return np.stack([x + rx * np.cos(turns), y + ry * np.sin(turns)], -1)


_turns = np.linspace(-np.pi / 2, np.pi / 2, 6)[:, None]
HALF_TURN = np.cos(_turns), np.sin(_turns)


def limb(x0, y0, x1, y1, w0, w1) -> np.ndarray:
    """A rounded, tapering limb between two points, with widths w0 and w1 at its ends."""
    along = np.array([x1 - x0, y1 - y0], np.float64)
    along /= np.hypot(*along)
    across = np.array([-along[1], along[0]])
    start, end = np.array([x0, y0]), np.array([x1, y1])
    c, s = HALF_TURN
    far = end + w1 / 2 * (c * along + s * across)
    near = start + w0 / 2 * (-c * along - s * across)
    return np.concatenate([far, near])
