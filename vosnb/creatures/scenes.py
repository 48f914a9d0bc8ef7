"""A scene: creatures on their ways, occluders, a camera and light, rendered at any time t (in frames).

A scene is drawn from a seed in two steps. Geometry (bodies, paths, camera, occluders) comes first and is all that the
masks depend on: outlines in float64, rounded to 1/16 of a subpixel, filled by integer arithmetic. Appearance (coats,
background, light, noise) has its own stream of random numbers and is painted only when a frame is first asked for.
Colours are drawn at twice the resolution and averaged; a mask pixel belongs to an object that covers three of its four
subpixels, since filled outlines include their border.
"""

import math
from functools import cached_property, wraps

import cv2
import numpy as np

from vosnb.creatures import textures
from vosnb.creatures.bodies import PLANS, SPLIT_PLANS, Body, Part, apply, compose, inverse, smooth
from vosnb.creatures.coats import Coat

SUPERSAMPLING = 2
GRID = 16  # outlines are rounded to this fraction of a subpixel
TEXELS, GROUND_TEXELS = 1.75, 1.25  # texture pixels per frame pixel, of coats and of the ground
MARGIN = 0.3  # ground painted beyond the frame, in frame heights; further out it is mirrored
FOREGROUND = 1.15  # occluders shift this much more than the creatures when the camera pans
BEYOND = {"borderMode": cv2.BORDER_REPLICATE}  # what is beyond a painted patch looks like its edge


def remembered(method):
    """A method that keeps its answers in the object; they must not be changed."""

    @wraps(method)
    def answer(self, *arguments):
        known = self.__dict__.setdefault("_remembered", {})
        key = (method, *arguments)
        if key not in known:
            known[key] = method(self, *arguments)
        return known[key]

    return answer


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

    def moved(self, t: float) -> np.ndarray:
        """How far it has come since t = 0."""
        phase = self.sway_rate * t + self.sway_phase
        return self.drift * t + self.sway * (np.sin(phase) - np.sin(self.sway_phase))

    def shape(self, t: float) -> tuple:
        """The linear map (a, b, d, e) from body to scene lengths: size, stance, foreshortening."""
        size = self.scale * np.exp(self.growth * np.sin(0.5 * np.pi * min(1.0, t / self.growth_time)))
        turn = np.cos(np.pi * self.turns * t / 24)
        wide = np.sign(turn) * max(0.4, abs(turn)) * self.flip
        squash = 1 + self.squash * np.sin(self.body.stride * t + self.phase)
        angle = self.flip * (self.angle + self.spin * t + self.rock * np.sin(self.body.stride * t + self.phase))
        c, s = size * np.cos(angle), size * np.sin(angle)
        return tuple(float(value) for value in (c * wide * squash, -s / squash, s * wide * squash, c / squash))


def silhouette_area(body: Body) -> float:
    """Area of the body at rest, in squared body lengths."""
    canvas = np.zeros((128, 160), np.uint8)
    for part in body.parts:
        cv2.fillPoly(canvas, [np.round(part.outline * 50 + [80, 70]).astype(np.int32)], 1)
    return max(0.05, cv2.countNonZero(canvas) / 2500)


class Scene:
    """Everything in a clip; `mask(t)` and `frame(t)` render it.

    rng, rng_looks: independent generators, of geometry and of appearance. size: (H, W) in pixels.
    """

    def __init__(self, rng, rng_looks, split: str, size, frames: int, knobs):
        self.split, self.size, self.frames, self.knobs = split, size, frames, knobs
        self.aspect = size[1] / size[0]
        self._looks, self.painted = rng_looks, False
        self._cast(rng)
        self._set_camera(rng)
        self._set_occluders(rng)

    # Geometry -------------------------------------------------------------------------------------------------------

    def _cast(self, rng):
        """Choose the species, the individuals and their places; actor 0 is the target."""
        knobs, self.actors, self.species, self.difference = self.knobs, [], [], []
        count = int(rng.integers(int(knobs.creatures[0]), int(knobs.creatures[1]) + 1))
        self.same = bool(rng.random() < knobs.same_species)
        self.delta = float(rng.uniform(*knobs.species_difference))
        area = rng.uniform(*np.sqrt(knobs.area)) ** 2 / 100
        for index in range(count):
            species = self.species[0] if index and self.same else self._species(rng)
            difference = self.delta if index == 0 or self.same else 0.5
            spread = 0.05 * min(1.0, self.delta)
            proportions = np.random.default_rng(species["seed"])

            def own(spread=spread):
                return 1 + spread * float(np.clip(rng.normal(), -2, 2))

            body = PLANS[species["plan"]](proportions, own, self.split)
            share = area * self.aspect if index == 0 else area * self.aspect * rng.uniform(0.6, 1.4)
            self.actors.append(Actor(rng, body, self._free_place(rng, body.stands), share, knobs, self.frames))
            self.species.append(species)
            self.difference.append(difference)
        self.hidden_target = rng.random() < knobs.leave_and_return
        start, away = self.frames * rng.uniform(0.2, 0.4), self.frames * rng.uniform(0.25, 0.4)
        side = np.array([rng.choice([-1.0, 1.0]), rng.normal(0, 0.2)])
        self.excursion = (start, start + away, max(3.0, 0.14 * self.frames), side)

    def _species(self, rng) -> dict:
        """A new species; outside of training it may be unseen: its plan or its texture is the split's own."""
        seen = self.split == "train" or rng.random() >= self.knobs.unseen
        of_plan = of_texture = "train"
        if not seen and rng.choice([True, False]):
            of_plan = self.split
        elif not seen:
            of_texture = self.split
        plans, families = SPLIT_PLANS[of_plan], textures.TEXTURES[of_texture]
        return {
            "plan": plans[rng.integers(len(plans))],
            "texture": families[rng.integers(len(families))],
            "seed": [int(rng.integers(1 << 31)), textures.SPLITS.index(self.split)],
            "frequency": textures.banded(rng, self.split, 1.6, 4.0),
            "angle": rng.uniform(0, np.pi),
            "seen": bool(seen),
        }

    def _free_place(self, rng, stands):
        for distance in np.linspace(0.34, 0.1, 12):
            place = np.array([rng.uniform(0.16, self.aspect - 0.16), rng.uniform(0.4 if stands else 0.2, 0.8)])
            if all(np.hypot(*(place - other.place)) > distance for other in self.actors):
                break
        return place

    def _set_camera(self, rng):
        c = self.knobs.camera
        self.follow = rng.uniform(0, self.knobs.follow)
        self.pan, self.pan_phase = c * rng.normal(0, 0.004, 2), rng.uniform(0, 2 * np.pi, 2)
        self.pan_sway, self.shake = 0.03 * c * rng.uniform(0, 1), 0.0025 * c * rng.uniform(0, 1)
        self.zoom, self.roll = c * rng.normal(0, 0.004), c * rng.normal(0, 0.004)
        self.roll_sway = 0.03 * c * rng.normal()
        self.parallax = rng.uniform(0.6, 1.0)

    def _set_occluders(self, rng):
        """Put things in the foreground where the target will pass."""
        self.occluders = []
        low, high = self.knobs.occluders
        for _ in range(int(rng.integers(int(low), int(high) + 1))):
            kind = rng.choice(["trunk", "posts", "bush"])
            if kind == "trunk":
                y = np.linspace(-1.6, 1.6, 9)
                half = rng.uniform(0.03, 0.075) * (1 + 0.18 * rng.normal(size=(2, 9)))
                lean = rng.normal(0, 0.12) * y
                edge = np.concatenate([np.stack([lean - half[0], y], -1), np.stack([lean + half[1], y], -1)[::-1]])
                outlines = [smooth(edge, 1)]
            elif kind == "posts":
                width, gap, top = rng.uniform(0.03, 0.045), rng.uniform(0.2, 0.34), rng.uniform(0.1, 0.3)
                box = np.array([[-0.5, -1], [0.5, -1], [0.5, 1], [-0.5, 1]])
                outlines = [box * [width, 1.0] + [i * gap, 1 - top] for i in (-1, 0, 1)]
                outlines.append(box * [2 * gap + width, 0.5 * width] + [0, 0.5 * width + rng.uniform(-0.5, 0.5) * top])
            else:
                turns = np.linspace(0, 2 * np.pi, 25)[:-1]
                radius = rng.uniform(0.08, 0.16) * (1 + 0.13 * rng.normal(size=24))
                bush = np.stack([1.2 * radius * np.cos(turns), radius * np.sin(turns)], -1)
                outlines = [smooth(bush, 1)]
            time = rng.uniform(0.25, 0.8) * self.frames
            met = self.where(0, time) + rng.normal(0, 0.04, 2) * (1, 1 if kind == "bush" else 0)
            body = Body(str(kind), [Part(outline) for outline in outlines])
            self.occluders.append((body, self._anchor(met, time)))

    def _anchor(self, seen, t: float) -> np.ndarray:
        """The place in the foreground that is seen at `seen` at time t."""
        zoom, c, s, *offset = self.camera(t)
        x, y = (seen - [self.aspect / 2, 0.5]) / zoom
        return np.array([self.aspect / 2 + c * x + s * y, 0.5 - s * x + c * y]) - FOREGROUND * np.array(offset)

    @remembered
    def camera(self, t: float) -> tuple:
        """(zoom, cos, sin, x, y) at time t: the roll's cosine and sine, the ground's offset in frame heights."""
        phase = 0.15 * t + self.pan_phase
        sway = self.pan_sway * (np.sin(phase) - np.sin(self.pan_phase))
        shake = self.shake * (np.sin([1.9 * t, 2.3 * t + 1]) - np.sin([0.0, 1.0]))
        offset = self.pan * t + sway + shake - self.follow * self.actors[0].moved(t)
        roll = self.roll * t + self.roll_sway * (np.sin(0.2 * t + self.pan_phase[0]) - np.sin(self.pan_phase[0]))
        zoom = np.exp(min(max(self.zoom * t, -0.3), 0.45))
        return tuple(float(value) for value in (zoom, np.cos(roll), np.sin(roll), *offset))

    @remembered
    def where(self, index: int, t: float) -> np.ndarray:
        """Where creature `index` is seen at time t, in frame heights from the upper left corner."""
        actor = self.actors[index]
        zoom, c, s, dx, dy = self.camera(t)
        centre = np.array([self.aspect / 2, 0.5])
        x, y = actor.place + actor.moved(t) + [dx, dy] - centre
        seen = zoom * np.array([c * x - s * y, s * x + c * y])
        reach = centre - 0.08 if index == 0 else centre + 0.05
        seen = centre + reach * np.tanh(seen / reach)  # slow down at the border instead of leaving
        if index == 0 and self.hidden_target:
            start, end, ramp, side = self.excursion
            away = _ramp((t - start) / ramp) * (1 - _ramp((t - end) / ramp))
            half_body = 1.1 * actor.scale * np.exp(abs(actor.growth)) * zoom
            exit_x = -half_body if side[0] < 0 else self.aspect + half_body
            seen = seen + away * (np.array([exit_x, seen[1] + side[1]]) - seen)
        return seen

    # Rendering ------------------------------------------------------------------------------------------------------

    def _draw(self, body, to_screen, t, phase, vigour, label, labels, image=None, coat=None):
        """Draw a body's parts: its label into `labels`, its colours into `image` if there is one.

        to_screen: affine map from body lengths to subpixels of the canvas. The outlines of all parts are moved at once,
        since a numpy call costs more than the few numbers of a part.
        """
        poses, (x, y, counts, starts) = body.pose(t, phase, vigour), body.outlines
        if body.bend:
            x, y = body.bent(*apply(poses.repeat(counts, 1), x, y), t, phase, vigour)
            x, y = apply(to_screen, x, y)
        else:
            whole = np.array(compose(to_screen, poses))
            x, y = apply(whole.repeat(counts, 1), x, y)
        corners = np.rint(np.array([x, y]) * GRID).astype(np.int32)
        low = np.maximum(np.minimum.reduceat(corners, starts, 1) // GRID, 0)
        high = (np.maximum.reduceat(corners, starts, 1) + 1) // GRID + 2
        high = np.minimum(high, np.array(labels.shape[::-1])[:, None])
        boxes = zip(*low.tolist(), *high.tolist(), strict=True)
        shown = [(index, box) for index, box in enumerate(boxes) if box[0] < box[2] and box[1] < box[3]]
        if not shown:
            return
        # Number the parts where they can be seen; the numbers give the label, and say where each part's colours go.
        numbers, corners = np.zeros(labels.shape, np.uint8), np.ascontiguousarray(corners.T)
        ends, starts = (starts + counts).tolist(), starts.tolist()
        for index, _ in shown:
            cv2.fillPoly(numbers, [corners[starts[index] : ends[index]]], index + 1, shift=4)
        lefts, tops, rights, bottoms = zip(*(box for _, box in shown), strict=True)
        x0, y0, x1, y1 = min(lefts), min(tops), max(rights), max(bottoms)
        np.putmask(labels[y0:y1, x0:x1], numbers[y0:y1, x0:x1], label)
        if image is None:
            return
        # Back from subpixels to each patch: one affine map, or the bend undone in between.
        if body.bend:
            u, v = np.arange(x0, x1, dtype=np.float32)[None], np.arange(y0, y1, dtype=np.float32)[:, None]
            g, h, i, j, k, m = inverse(to_screen)
            u, v = body.bent(g * u + (h * v + i), j * u + (k * v + m), t, phase, vigour, undo=True)
            back = coat.density * np.array(inverse(poses))
            back[2::3] -= coat.corners
            back = back.T.tolist()
        else:
            back = coat.density * np.array(inverse(whole))
            back[2::3] = back[::3] * low[0] + back[1::3] * low[1] + (back[2::3] - coat.corners)
            back = back.T.reshape(-1, 2, 3)
        for index, (left, top, right, bottom) in shown:
            patch, _ = coat.patches[index]
            if body.bend:
                part = slice(top - y0, bottom - y0), slice(left - x0, right - x0)
                colours = cv2.remap(patch, *apply(back[index], u[part], v[part]), cv2.INTER_LINEAR, **BEYOND)
            else:
                flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                colours = cv2.warpAffine(patch, back[index], (right - left, bottom - top), flags=flags, **BEYOND)
            seen = numbers[top:bottom, left:right] == index + 1
            cv2.copyTo(colours, seen.view(np.uint8), image[top:bottom, left:right])

    def _to_screen(self, index: int, t: float, subpixels: float) -> tuple:
        actor = self.actors[index]
        zoom, c, s, *_ = self.camera(t)
        g, h, j, k = actor.shape(t)
        x, y = self.where(index, t)
        return _screen((c * g - s * j, c * h - s * k, s * g + c * j, s * h + c * k), zoom, x, y, subpixels)

    def _occluder_to_screen(self, at, t: float, subpixels: float) -> tuple:
        zoom, c, s, dx, dy = self.camera(t)
        centre_x, centre_y = self.aspect / 2, 0.5
        x, y = at[0] + FOREGROUND * dx - centre_x, at[1] + FOREGROUND * dy - centre_y
        x, y = centre_x + zoom * (c * x - s * y), centre_y + zoom * (s * x + c * y)
        return _screen((c, -s, s, c), zoom, x, y, subpixels)

    def labels(self, t: float, supersampling: int = SUPERSAMPLING, image=None, only: int | None = None) -> np.ndarray:
        """Labels of the canvas at time t; drawn into `image` as well. `only`: that creature, with nothing before it."""
        height, width = self.size[0] * supersampling, self.size[1] * supersampling
        labels = np.zeros((height, width), np.uint8)
        for index in self.order:
            if only is not None and index != only:
                continue
            actor = self.actors[index]
            coat = None if image is None else self.coats[index]
            to_screen = self._to_screen(index, t, height)
            if image is not None and actor.body.stands:
                self._shadow(image, to_screen, actor.body.foot)
            self._draw(actor.body, to_screen, t, actor.phase, actor.vigour, index + 1, labels, image, coat)
        if only is None:
            for number, (body, at) in enumerate(self.occluders):
                coat = None if image is None else self.occluder_coats[number]
                to_screen = self._occluder_to_screen(at, t, height)
                self._draw(body, to_screen, 0.0, 0.0, 0.0, 0, labels, image, coat)
        return labels

    @cached_property
    def order(self) -> list:
        """Creatures from the furthest to the nearest."""
        return sorted(range(len(self.actors)), key=lambda i: self.actors[i].depth)

    def mask(self, t: float, only: int | None = None) -> np.ndarray:
        """The index mask at time t, (H, W) uint8."""
        return settle(self.labels(t, only=only))

    # Appearance -----------------------------------------------------------------------------------------------------

    def _paint_everything(self):
        """Draw all that has to do with appearance, in a fixed order, from its own stream."""
        rng, knobs = self._looks, self.knobs
        palette = textures.scene_palette(rng, knobs.muted)
        for species in self.species:
            if "colours" not in species:
                chosen = [palette[i] for i in rng.permutation(5)[:4]]
                species["colours"] = [textures.jitter(rng, colour, 0.015, 0.04, 0.04) for colour in chosen]
        height, width = self.size
        self.coats = []
        for actor, species, difference in zip(self.actors, self.species, self.difference, strict=True):
            density = TEXELS * actor.scale * height * min(1.5, math.exp(max(actor.growth, 0.0)))
            self.coats.append(Coat(rng, actor.body, species, self.split, density, difference))
        self.occluder_coats = []
        for body, *_ in self.occluders:
            colours = [textures.jitter(rng, palette[i]) for i in rng.permutation(5)[:4]]
            look = {
                "colours": colours,
                "texture": str(rng.choice(["noise", "patches", "photo"])),
                "frequency": 6.0,
                "angle": 0.0,
            }
            self.occluder_coats.append(Coat(rng, body, look, self.split, 0.8 * height, 0.0))
        tall, wide = (int(GROUND_TEXELS * (side + 2 * MARGIN * height)) for side in (height, width))
        ground = textures.background(rng, self.split, tall, wide, palette, knobs)
        self.ground = cv2.cvtColor(ground, cv2.COLOR_RGB2RGBA)  # like the coats
        drift = knobs.light_drift
        self.gain = drift * (0.1 * rng.normal(0, 1, 3) + rng.choice([-1, 1]) * rng.uniform(0.1, 0.5))
        self.gain_phase = rng.uniform(0, 2 * np.pi)
        rate, direction = rng.uniform(1.5, 5), rng.uniform(0, 2 * np.pi)
        strength = rng.uniform(0, 0.12 + 0.3 * min(1.0, drift))
        self.shade = tuple(
            float(v) for v in (strength, rate * np.cos(direction), rate * np.sin(direction), rng.normal(0, 0.12))
        )
        self.smear = rng.uniform(0, knobs.blur) * height / 128 * SUPERSAMPLING
        self.defocus = 0.5 * rng.uniform(0, knobs.blur) * height / 128
        noise, grain = rng.uniform(0, knobs.noise), rng.standard_normal((height + 64, width + 64, 1), dtype=np.float32)
        tint = rng.uniform(0, 0.5) * rng.standard_normal((height + 64, width + 64, 3), dtype=np.float32)
        tint += grain
        tint *= noise
        self.noise = tint.reshape(height + 64, -1)
        self.noise_seed = int(rng.integers(1 << 30))
        self.painted = True

    def _shadow(self, image, to_screen, foot):
        """A soft dark ellipse on the ground under a standing creature."""
        a, b, c, d, e, f = to_screen
        x, y = c + foot * b, f + foot * abs(e)
        rx, ry = 0.5 * math.hypot(a, d), 0.11 * math.hypot(b, e)
        x0, y0, x1, y1 = int(x - rx), int(y - ry), int(x + rx) + 1, int(y + ry) + 1
        cx0, cy0, cx1, cy1 = max(0, x0), max(0, y0), min(image.shape[1], x1), min(image.shape[0], y1)
        if cx0 >= cx1 or cy0 >= cy1:
            return
        u = ((np.arange(cx0, cx1, dtype=np.float32) - x) / rx)[None] ** 2
        v = ((np.arange(cy0, cy1, dtype=np.float32) - y) / ry)[:, None] ** 2
        dark = _spread(1 - 0.45 * np.clip(1 - u - v, 0, 1), 4)
        region = image.reshape(len(image), -1)[cy0:cy1, 4 * cx0 : 4 * cx1]
        np.multiply(region, dark, out=region, casting="unsafe")

    def frame(self, t: float) -> tuple:
        """(frame (H, W, 3) uint8 RGB, mask (H, W) uint8) at time t."""
        if not self.painted:
            self._paint_everything()
        t = float(t)
        height, width = self.size
        zoom, c, s, dx, dy = self.camera(t)
        # canvas pixel = supersampling * (zoom * roll * (ground texel / texels + pan - ground centre) + frame centre)
        z, n = zoom * SUPERSAMPLING, SUPERSAMPLING / 2
        x = self.parallax * dx * height - self.ground.shape[1] / (2 * GROUND_TEXELS)
        y = self.parallax * dy * height - self.ground.shape[0] / (2 * GROUND_TEXELS)
        k = z / GROUND_TEXELS
        matrix = np.array(
            [[k * c, -k * s, z * (c * x - s * y) + n * width], [k * s, k * c, z * (s * x + c * y) + n * height]]
        )
        size = (SUPERSAMPLING * width, SUPERSAMPLING * height)
        image = cv2.warpAffine(self.ground, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
        mask = settle(self.labels(t, image=image))
        speed = self.where(0, t + 0.5) - self.where(0, t - 0.5)
        image = cv2.resize(self._smeared(image, speed), (width, height), interpolation=cv2.INTER_AREA)
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
        if self.defocus > 0.25:
            image = cv2.GaussianBlur(image, (0, 0), self.defocus)
        return self._exposed(image, mask, t), mask

    @cached_property
    def _rulers(self) -> tuple:
        """x (1, W) and y (H, 1) of the pixels, in frame heights."""
        height, width = self.size
        x = np.linspace(0, self.aspect, width, dtype=np.float32)[None]
        return x, np.linspace(0, 1, height, dtype=np.float32)[:, None]

    def _smeared(self, image, speed):
        """Motion blur along the target's way, at most `smear` subpixels long."""
        length = min(self.smear, float(np.hypot(*speed)) * image.shape[0])
        if length < 1.5:
            return image
        size = int(length) | 1
        line = np.zeros((size, size), np.float32)
        way = speed / np.hypot(*speed) * (size // 2)
        start, end = (tuple(int(round(size // 2 + side * w)) for w in way) for side in (-1, 1))
        cv2.line(line, start, end, 1.0)
        return cv2.filter2D(image, -1, line / line.sum())

    def _exposed(self, image, mask, t):
        """Light and sensor: exposure and colour cast, moving shade, light on each creature's side, noise."""
        height, width = mask.shape
        strength, across, down, speed = self.shade
        x, y = self._rulers
        light = 1 + strength * np.sin(across * x + (down * y + speed * t))
        for index, actor in enumerate(self.actors):
            amount, angle, turn = actor.light
            cx, cy = (float(value) for value in self.where(index, t))
            reach = 1.1 * actor.scale
            x0, x1 = (int(min(max((cx + side * reach) * height, 0), width)) for side in (-1, 1))
            y0, y1 = (int(min(max((cy + side * reach) * height, 0), height)) for side in (-1, 1))
            if x0 < x1 and y0 < y1:
                amount, angle = amount / actor.scale, angle + turn * t
                slope = amount * math.cos(angle) * (x[:, x0:x1] - cx) + amount * math.sin(angle) * (y[y0:y1] - cy)
                np.clip(slope, -0.5, 0.5, out=slope)
                light[y0:y1, x0:x1] *= 1 + slope * (mask[y0:y1, x0:x1] == index + 1)
        gain = np.exp(self.gain * (np.sin(0.13 * t + self.gain_phase) - np.sin(self.gain_phase)))
        gain = np.minimum(gain, 1.35).astype(np.float32)
        spot = np.random.default_rng([self.noise_seed, int(round(16 * t))]).integers(0, 64, 2)
        image = image.reshape(height, -1) * _spread(light, 3)
        image *= np.tile(gain, width)
        image += self.noise[spot[0] : spot[0] + height, 3 * spot[1] : 3 * (spot[1] + width)]
        np.maximum(image, 0, out=image)
        np.minimum(image, 255, out=image)
        return image.astype(np.uint8).reshape(height, width, 3)


def _spread(plane, channels: int) -> np.ndarray:
    """(H, W) to (H, W * channels): a value for every channel; numpy is slow over a last axis of three or four."""
    return cv2.merge([plane] * channels).reshape(len(plane), -1)


def _screen(linear, zoom, x, y, subpixels) -> tuple:
    """The affine map to canvas subpixels of a linear map to frame heights, with the origin seen at (x, y)."""
    a, b, d, e = (zoom * subpixels * value for value in linear)
    return a, b, float(x) * subpixels - 0.5, d, e, float(y) * subpixels - 0.5


def _ramp(x: float) -> float:
    """A smooth step from 0 at x = 0 to 1 at x = 1."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def settle(labels: np.ndarray) -> np.ndarray:
    """From 2 x 2 subpixel labels to a mask: the second smallest of the four, so a label that covers three wins."""
    low, high = np.minimum(labels[::2], labels[1::2]), np.maximum(labels[::2], labels[1::2])
    a, b, c, d = low[:, ::2], low[:, 1::2], high[:, ::2], high[:, 1::2]
    return np.minimum(np.maximum(a, b), np.minimum(c, d))
