"""The creatures of a scene on their ways, and the outlines of everything at several times at once.

Masks depend on these alone: outlines in float64, rounded to 1/16 of a subpixel, filled by integer arithmetic.
"""

import cv2
import numpy as np

from vosnb.creatures.bodies import Body, apply, compose, inverse

GRID = 16  # outlines are rounded to this fraction of a subpixel
TEXELS = 1.75  # texture pixels per frame pixel of coats
FOREGROUND = 1.15  # occluders shift this much more than the creatures when the camera pans
BEYOND = cv2.BORDER_REPLICATE  # a bend may reach beyond a painted patch by a little: it looks like its edge there


class Actor:
    """A body with a way through the scene. Positions are in frame heights, times in frames."""

    def __init__(self, rng, body: Body, place, area: float, knobs, frames: int):
        """area: the body's share of a frame one unit high and one wide, in [0, 1]."""
        self.body, self.place = body, np.asarray(place)
        self.scale = float(np.sqrt(area / silhouette_area(body)))
        self.phase = rng.uniform(0, 2 * np.pi)
        self.vigour = knobs.deformation * rng.uniform(0.7, 1.15)
        self.drift = knobs.motion * rng.normal(0, 1, 2) * [0.010, 0.006]
        self.sway = knobs.motion * rng.uniform(0.01, 0.055, 2)
        self.sway_rate, self.sway_phase = rng.uniform(0.08, 0.28, 2), rng.uniform(0, 2 * np.pi, 2)
        self.flip = -1.0 if self.drift[0] < 0 else 1.0
        self.angle = rng.uniform(-0.12, 0.12) * body.tilt * (1 if body.stands else 2)
        self.spin = rng.normal(0, 0.012) * body.tilt
        self.rock = rng.uniform(0, 0.08)
        self.growth = np.log(knobs.scale_change) * rng.uniform(-1, 1)
        self.growth_time = 0.8 * max(frames, 2)
        self.squash = 0.12 * knobs.deformation * rng.uniform(0, 1)
        self.turns = rng.uniform(0.6, 1.3) if rng.random() < knobs.turning else 0.0  # half turns in 24 frames
        self.light = (float(rng.uniform(0.1, 0.5)), float(rng.uniform(0, 2 * np.pi)), float(rng.normal(0, 0.09)))
        self.depth = self.place[1] + rng.uniform(0, 0.4)

    def moved(self, t) -> np.ndarray:
        """How far it has come since t = 0, (..., 2)."""
        t = np.asarray(t)[..., None]
        phase = self.sway_rate * t + self.sway_phase
        return self.drift * t + self.sway * (np.sin(phase) - np.sin(self.sway_phase))

    def shape(self, t) -> tuple:
        """The linear map (a, b, d, e) from body to scene lengths: size, stance, foreshortening."""
        size = self.scale * np.exp(self.growth * np.sin(0.5 * np.pi * np.minimum(1.0, t / self.growth_time)))
        turn = np.cos(np.pi * self.turns * t / 24)
        wide = np.sign(turn) * np.maximum(0.4, abs(turn)) * self.flip
        squash = 1 + self.squash * np.sin(self.body.stride * t + self.phase)
        angle = self.flip * (self.angle + self.spin * t + self.rock * np.sin(self.body.stride * t + self.phase))
        c, s = size * np.cos(angle), size * np.sin(angle)
        return c * wide * squash, -s / squash, s * wide * squash, c / squash


def silhouette_area(body: Body) -> float:
    """Area of the body at rest, in squared body lengths."""
    canvas = np.zeros((128, 160), np.uint8)
    for part in body.parts:
        cv2.fillPoly(canvas, [np.round(part.outline * 50 + [80, 70]).astype(np.int32)], 1)
    return max(0.05, cv2.countNonZero(canvas) / 2500)


class Outlines:
    """Where the parts of a body are on the canvas, at several times.

    All times and all parts are computed at once, since a numpy call costs more than the few numbers of one part.
    """

    def __init__(self, body: Body, to_screen, t, phase: float, vigour: float, shape):
        """to_screen: affine maps from body lengths to subpixels of the canvas, of this shape, at times t (T,)."""
        self.body, self.phase, self.vigour, self.t = body, phase, vigour, t.tolist()
        self.to_screen, self._back_maps = np.stack(to_screen, -1).tolist(), None
        to_screen, t = [value[:, None] for value in to_screen], t[:, None]
        poses, (x, y, counts, starts) = body.pose(t, phase, vigour), body.outlines
        self._maps = poses if body.bend else np.array(compose(to_screen, poses))
        x, y = apply(self._maps.repeat(counts, -1), x, y)
        if body.bend:
            x, y = apply(to_screen, *body.bent(x, y, t, phase, vigour))
        corners = np.rint(np.array([x, y]) * GRID).astype(np.int32)
        low = np.maximum(np.minimum.reduceat(corners, starts, -1) // GRID, 0)
        high = (np.maximum.reduceat(corners, starts, -1) + 1) // GRID + 2
        high = np.minimum(high, np.array(shape[::-1])[:, None, None])
        self._low, self._corners = low, np.ascontiguousarray(np.moveaxis(corners, 0, -1))
        self._ranges = list(zip(starts.tolist(), (starts + counts).tolist(), strict=True))
        boxes = np.concatenate([low, high]).transpose(1, 2, 0).tolist()
        self.shown = [
            [(index, box) for index, box in enumerate(at_t) if box[0] < box[2] and box[1] < box[3]] for at_t in boxes
        ]

    def fill(self, canvas, row: int, first: int):
        """Number the subpixels of each part, `first` and up."""
        corners = self._corners[row]
        for index, _ in self.shown[row]:
            start, end = self._ranges[index]
            cv2.fillPoly(canvas, [corners[start:end]], first + index, shift=4)

    def paint(self, image, parts, row: int, first: int, coat):
        """Colour the subpixels of `image` that bear the parts' numbers in `parts`."""
        shown, body = self.shown[row], self.body
        if not shown:
            return
        # Back from subpixels to each patch: one affine map, or the bend undone in between.
        back = self._back(coat)[row]
        if body.bend:
            lefts, tops, rights, bottoms = zip(*(box for _, box in shown), strict=True)
            x0, y0, x1, y1 = min(lefts), min(tops), max(rights), max(bottoms)
            u, v = np.arange(x0, x1, dtype=np.float32)[None], np.arange(y0, y1, dtype=np.float32)[:, None]
            a, b, c, d, e, f = inverse(self.to_screen[row])
            u, v = body.bent(a * u + (b * v + c), d * u + (e * v + f), self.t[row], self.phase, self.vigour, undo=True)
            unbent = cv2.merge([u, v])
        for index, (left, top, right, bottom) in shown:
            patch, _ = coat.patches[index]
            if body.bend:
                places = cv2.transform(unbent[top - y0 : bottom - y0, left - x0 : right - x0], back[index])
                colours = cv2.remap(patch, places, None, cv2.INTER_NEAREST, borderMode=BEYOND)
            else:
                flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
                colours = cv2.warpAffine(patch, back[index], (right - left, bottom - top), flags=flags)
            seen = parts[top:bottom, left:right] == first + index
            cv2.copyTo(colours, seen.view(np.uint8), image[top:bottom, left:right])

    def _back(self, coat):
        """For every time and part, the affine map to its patch: from its box on the canvas, or from its bent pose."""
        if self._back_maps is None:
            back = coat.density * np.array(inverse(self._maps))
            back[2::3] -= coat.corners[:, None]
            if not self.body.bend:
                back[2::3] += back[::3] * self._low[0] + back[1::3] * self._low[1]
            self._back_maps = back.transpose(1, 2, 0).reshape(*back.shape[1:], 2, 3)
        return self._back_maps


class Moments:
    """Where everything in a scene is at several times: `rows` says which row of all else is which time."""

    def __init__(self, scene, times, supersampling: int):
        self.rows = {time: row for row, time in enumerate(dict.fromkeys(times))}
        t = np.array(list(self.rows), np.float64)
        height, width = scene.size
        self.shape = height * supersampling, width * supersampling
        camera = zoom, c, s, dx, dy = scene.camera(t)
        places = [scene.where(index, t, camera) for index in range(len(scene.actors))]
        self.camera = np.stack(camera, -1).tolist()
        self.places = np.stack(places, 1).tolist()
        self.speed = scene.path(0, t + 0.5) - scene.path(0, t - 0.5)
        self.outlines = []
        for index in scene.order:
            actor = scene.actors[index]
            g, h, j, k = actor.shape(t)
            linear = c * g - s * j, c * h - s * k, s * g + c * j, s * h + c * k
            to_screen = self._screen(linear, zoom, *places[index].T)
            self.outlines.append(Outlines(actor.body, to_screen, t, actor.phase, actor.vigour, self.shape))
        for body, at in scene.occluders:
            x, y = at[0] + FOREGROUND * dx - scene.aspect / 2, at[1] + FOREGROUND * dy - 0.5
            x, y = scene.aspect / 2 + zoom * (c * x - s * y), 0.5 + zoom * (s * x + c * y)
            if scene.jumps:
                x, y = x + scene.jumps(t)[:, 0], y + scene.jumps(t)[:, 1]
            to_screen = self._screen((c, -s, s, c), zoom, x, y)
            self.outlines.append(Outlines(body, to_screen, 0 * t, 0.0, 0.0, self.shape))

    def _screen(self, linear, zoom, x, y) -> tuple:
        """The affine maps to canvas subpixels of linear maps to frame heights, with the origin seen at (x, y)."""
        subpixels = self.shape[0]
        a, b, d, e = (zoom * subpixels * value for value in linear)
        return a, b, x * subpixels - 0.5, d, e, y * subpixels - 0.5
