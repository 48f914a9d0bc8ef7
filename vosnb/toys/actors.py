"""Toys on their ways: where each is, how it stands and bends, and which point of its picture is seen at which pixel.

Masks depend on this alone: places in float64, rounded to 1/32 of a picture's pixel, from where on all is whole numbers.
"""

import math

import cv2
import numpy as np

from vosnb.toys.kinds import BORDER, MANNER, sprite

STEPS = 32  # pictures are looked up at this fraction of a pixel, which is OpenCV's
FINENESS = 1.15  # picture pixels to a frame pixel, where the toy is largest
NARROWEST = 0.34  # of its width: how a toy is seen that turns
TURN = 2.2  # frames that a turn takes, about
RATES = {"walks": (0.75, 1.1), "swims": (0.45, 0.8), "flies": (0.9, 1.3), "crawls": (0.7, 1.0), "rolls": (0.8, 1.2)}
BOUNCE = {"walks": 0.035, "swims": 0.03, "flies": 0.05, "crawls": 0.0, "rolls": 0.008}  # share of its height
ROCK = {"walks": 0.05, "swims": 0.09, "flies": 0.09, "crawls": 0.12, "rolls": 0.015}  # radians
ON_GROUND = {"walks", "rolls", "crawls"}


class Cutout:
    """A picture that is placed in the frame: a toy, or a thing that stands there.

    scale: frame heights a picture pixel, at the start. `outline` is the alpha channel at the size that is needed.
    """

    manner, phase, rate, vigour = "stands", 0.0, 0.0, 0.0

    def __init__(self, kind: str, scale: float, stretch: float = 1.0):
        self.kind, self.scale, self.stretch = kind, scale, stretch
        height, width = sprite(kind).shape[:2]
        self.extent = width - 2 * BORDER, height - 2 * BORDER  # picture pixels
        self.longest = max(self.extent)

    def prepare(self, pixels: float):
        """Cut the outline for a frame in which a picture pixel is at most so many pixels long."""
        self.shrunk = min(1.0, FINENESS * pixels)
        self.outline = self.fitted(sprite(self.kind)[..., 3])

    def fitted(self, image) -> np.ndarray:
        """A picture of this kind at the size of the outline, and with its transparent border."""
        height, width = image.shape[:2]
        size = tuple(max(4, round(side * self.shrunk)) for side in (width, height))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if self.shrunk < 1 else image
        return cv2.copyMakeBorder(image, *[BORDER] * 4, cv2.BORDER_CONSTANT, value=0)

    def bend(self, p, q, t: float):
        """How far what is seen at (p, q), shares of width and height, lies from there at rest; in longest sides.

        p and q are pairs of a row (1, W) and a column (H, 1), whose sum they are.
        """
        return 0.0, 0.0

    @property
    def reach(self) -> float:
        """The furthest that `bend` takes anything, in longest sides."""
        return 0.0

    def lookup(self, stance, t: float, shape):
        """(box, maps) of this cutout in a frame of this shape, or None where it is not in it.

        stance: (x, y) of its middle in pixels, pixels a picture pixel, angle, width as a share (negative: mirrored),
        height as a share. box: (left, top, right, bottom); maps: what `cv2.remap` takes, for the outline.
        """
        x, y, size, angle, wide, tall = stance
        c, s = math.cos(angle), math.sin(angle)
        half_w = size * abs(wide) * (self.extent[0] / 2 + self.reach * self.longest) + 2
        half_h = size * tall * (self.extent[1] / 2 + self.reach * self.longest) + 2
        dx, dy = abs(c) * half_w + abs(s) * half_h, abs(s) * half_w + abs(c) * half_h
        left, right = max(0, math.floor(x - dx)), min(shape[1], math.ceil(x + dx) + 1)
        top, bottom = max(0, math.floor(y - dy)), min(shape[0], math.ceil(y + dy) + 1)
        if left >= right or top >= bottom:
            return None
        across, down = np.arange(left, right)[None] - x, np.arange(top, bottom)[:, None] - y
        width, height = self.extent
        wide, tall = size * wide * width, size * tall * height
        p = c / wide * across + 0.5, s / wide * down
        q = -s / tall * across + 0.5, c / tall * down
        du, dv = self.bend(p, q, t)
        u, v = (
            self._steps(sum_of, side, shrunk, moved)
            for sum_of, side, shrunk, moved in zip((p, q), self.extent, self.outline.shape[::-1], (du, dv), strict=True)
        )
        whole = cv2.merge([(u >> 5).astype(np.int16), (v >> 5).astype(np.int16)])
        return (left, top, right, bottom), (whole, ((v & 31) << 5 | (u & 31)).astype(np.uint16))

    def _steps(self, share, side: int, shrunk: int, moved) -> np.ndarray:
        """From shares of a side, and longest sides to be moved by, to STEPS of a pixel of the outline, int32.

        The outline's border is BORDER pixels wide, and what was the border of the picture besides.
        """
        factor = STEPS * (shrunk - 2 * BORDER) / (side + 2 * BORDER)
        row, column = share
        places = (row * (side * factor) + (BORDER * factor + (BORDER - 0.5) * STEPS)) + column * (side * factor)
        if self.reach:
            places += moved * (self.longest * factor)
        return np.rint(places, out=places).astype(np.int32)


class Toy(Cutout):
    """A cutout with a way through the scene. Positions are in frame heights, times in frames."""

    def __init__(self, rng, kind: str, place, area: float, difference: float, knobs, frames: int, aspect: float):
        """area: of its outline, in squared frame heights; difference: how far this one is from others of its kind."""

        def own(spread):
            return math.exp(spread * min(1.2, difference) * float(np.clip(rng.normal(), -1.5, 1.5)))

        inside = np.count_nonzero(sprite(kind)[..., 3] > 127)
        super().__init__(kind, math.sqrt(area / inside) * own(0.09), own(0.06))
        self.place, self.manner = np.asarray(place), MANNER[kind]
        self.on_ground = self.manner in ON_GROUND
        self.phase, self.rate = rng.uniform(0, 2 * np.pi), rng.uniform(*RATES[self.manner])
        self.vigour = knobs.deformation * rng.uniform(0.75, 1.15)
        inwards = np.sign(aspect / 2 - self.place[0]) * (1 if rng.random() < 0.8 else -1)
        speed = knobs.motion * np.array([rng.uniform(0.009, 0.018), rng.normal(0, 0.002 if self.on_ground else 0.005)])
        self.drift = speed * [inwards, 1]
        self.sway = knobs.motion * rng.uniform(0.2, 1, 2) * ([0.02, 0.006] if self.on_ground else [0.03, 0.04])
        self.sway_rate, self.sway_phase = rng.uniform(0.08, 0.22, 2), rng.uniform(0, 2 * np.pi, 2)
        self.turn_at = frames * rng.uniform(0.3, 0.75) if rng.random() < knobs.turning else None
        self.lean = rng.uniform(-1, 1) * {"crawls": 0.6, "swims": 0.15, "flies": 0.12}.get(self.manner, 0.03)
        self.growth = math.log(knobs.scale_change) * rng.uniform(-1, 1)
        self.growth_time = 0.8 * max(frames, 2)

    @property
    def foot(self) -> float:
        """How far below its middle it stands, in frame heights."""
        return self.scale * self.extent[1] / (2 * self.stretch)

    def moved(self, t) -> np.ndarray:
        """How far it has come since t = 0, (..., 2)."""
        t = np.asarray(t, np.float64)
        way = t
        if self.turn_at is not None:  # there and back, with a soft turn
            way = TURN * (_log_cosh(self.turn_at / TURN) - _log_cosh((t - self.turn_at) / TURN))
        phase = self.sway_rate * t[..., None] + self.sway_phase
        return self.drift * np.stack([way, t], -1) + self.sway * (np.sin(phase) - np.sin(self.sway_phase))

    def facing(self, t: float) -> float:
        """Where it looks: -1 left, 1 right, in between while it turns."""
        heading = 1.0 if self.drift[0] > 0 else -1.0
        return heading if self.turn_at is None else -heading * math.tanh((t - self.turn_at) / TURN)

    def stance(self, t: float, facing: float) -> tuple:
        """(how far it is up from its place, size, angle, width, height): all but the place of what `lookup` takes."""
        growth = math.exp(self.growth * math.sin(0.5 * math.pi * min(1.0, t / self.growth_time)))
        beat = math.sin(self.rate * t + self.phase)
        wide = -math.copysign(max(NARROWEST, abs(facing)), facing)
        wide *= 1 - 0.05 * self.vigour * (1 + math.sin(0.31 * t + 2 * self.phase)) / 2
        squash = 1 + 0.03 * self.vigour * math.sin(2 * self.rate * t + self.phase + 1)
        height = self.scale * self.extent[1]
        up = BOUNCE[self.manner] * self.vigour * height * (abs(beat) if self.manner == "walks" else beat)
        if self.on_ground and self.manner != "crawls":  # feet stay where they are
            up += height * (growth * squash - 1) / (2 * self.stretch)
        angle = self.lean * math.copysign(1.0, wide) + ROCK[self.manner] * self.vigour * math.sin(
            self.rate * t + self.phase + 0.7
        )
        return up, self.scale * growth, angle, wide * self.stretch / squash, squash / self.stretch

    @property
    def reach(self) -> float:
        return 0.13 * self.vigour

    def bend(self, p, q, t):
        beat, v = self.rate * t + self.phase, self.vigour
        if self.manner == "walks":  # legs go to and fro in turn, heads nod
            legs = np.minimum(np.maximum((q[0] + q[1] - 0.6) * 2.5, 0), 1)
            legs *= legs
            legs *= _wave(0.085 * min(v, 1.4), 7.5, p, beat)  # a stronger one would fold what it bends
            return legs + _flat(q, -0.03 * v * math.sin(beat + 1)), _wave(0.015 * v, 3.0, p, beat)
        if self.manner == "rolls":
            return _flat(q, -0.025 * v * math.sin(beat)), _wave(0.010 * v, 5.0, p, 1.7 * beat)
        if self.manner == "swims":  # a wave from head to tail
            tail = _wave(0.07 * v, -4.0, p, beat)
            tail *= _flat(p, 0.75) + 0.25
            return _wave(0.02 * v, 5.0, q, 0.8 * beat), tail
        if self.manner == "flies":  # wings go up and down
            return _flat(q, 0.02 * v * math.sin(0.6 * beat)), np.abs(_flat(p, 1.0) - 0.5) * (0.17 * v * math.sin(beat))
        return _wave(0.06 * v, 5.0, q, beat), _wave(0.02 * v, 6.0, p, 1.3 * beat)


def _wave(size: float, rate: float, share, phase: float) -> np.ndarray:
    """size * sin(rate * (row + column) + phase), by the sum formula: two sines a row and column, not one a pixel."""
    row, column = rate * share[0], rate * share[1] + phase
    return (size * np.hstack([np.cos(column), np.sin(column)])) @ np.vstack([np.sin(row), np.cos(row)])


def _flat(share, slope: float) -> np.ndarray:
    return slope * share[0] + slope * share[1]


def _log_cosh(x):
    return np.logaddexp(x, -x) - math.log(2)
