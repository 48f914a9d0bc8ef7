"""A scene: creatures on their ways, occluders, a camera and light, rendered at any time t (in frames).

A scene is drawn from a seed in two steps. Geometry (bodies, paths, camera, occluders) comes first and is all that the
masks depend on: outlines in float64, rounded to 1/16 of a subpixel, filled by integer arithmetic. Appearance (coats,
background, light, noise) has its own stream of random numbers and is painted only when a frame is first asked for.
Colours are drawn at twice the resolution and averaged; a mask pixel belongs to an object that covers three of its four
subpixels, since filled outlines include their border.
"""

import math
from functools import cached_property

import cv2
import numpy as np

from vosnb.creatures import textures
from vosnb.creatures.actors import FOREGROUND, TEXELS, Actor, Moments
from vosnb.creatures.bodies import Body, Part, smooth
from vosnb.creatures.coats import Coat
from vosnb.creatures.jumps import Jumps
from vosnb.creatures.plans import PLANS, SPLIT_PLANS

SUPERSAMPLING = 2
GROUND_TEXELS = 1.0  # texture pixels per frame pixel of the ground
MARGIN = 0.3  # ground painted beyond the frame, in frame heights; further out it is mirrored


class Scene:
    """Everything in a clip; `mask(t)` and `frame(t)` render it.

    rng, rng_looks: independent generators, of geometry and of appearance. size: (H, W) in pixels.
    """

    def __init__(self, rng, rng_looks, split: str, size, frames: int, knobs):
        self.split, self.size, self.frames, self.knobs = split, size, frames, knobs
        self.aspect = size[1] / size[0]
        self._looks, self.painted, self._foreseen = rng_looks, False, {}
        self._cast(rng)
        self._set_camera(rng)
        self._set_occluders(rng)
        self.jumps = Jumps(rng, knobs.jumps, frames, self.aspect, lambda t: self.path(0, t))

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
            met = self.path(0, time) + rng.normal(0, 0.04, 2) * (1, 1 if kind == "bush" else 0)
            body = Body(str(kind), [Part(outline) for outline in outlines])
            self.occluders.append((body, self._anchor(met, time)))

    def _anchor(self, seen, t: float) -> np.ndarray:
        """The place in the foreground that is seen at `seen` at time t."""
        zoom, c, s, *offset = self.camera(t)
        x, y = (seen - [self.aspect / 2, 0.5]) / zoom
        return np.array([self.aspect / 2 + c * x + s * y, 0.5 - s * x + c * y]) - FOREGROUND * np.array(offset)

    def camera(self, t) -> tuple:
        """(zoom, cos, sin, x, y) at times t: the roll's cosine and sine, the ground's offset in frame heights."""
        column = np.asarray(t)[..., None]
        phase = 0.15 * column + self.pan_phase
        sway = self.pan_sway * (np.sin(phase) - np.sin(self.pan_phase))
        shake = self.shake * (np.sin(np.stack([1.9 * t, 2.3 * t + 1], -1)) - np.sin([0.0, 1.0]))
        offset = self.pan * column + sway + shake - self.follow * self.actors[0].moved(t)
        roll = self.roll * t + self.roll_sway * (np.sin(0.2 * t + self.pan_phase[0]) - np.sin(self.pan_phase[0]))
        zoom = np.exp(np.clip(self.zoom * t, -0.3, 0.45))
        return zoom, np.cos(roll), np.sin(roll), offset[..., 0], offset[..., 1]

    def where(self, index: int, t, camera=None) -> np.ndarray:
        """Where creature `index` is seen at times t, in frame heights from the upper left corner, (..., 2).

        camera: what `camera(t)` says, if that is known.
        """
        seen = self.path(index, t, camera)
        return seen + self.jumps(t) if self.jumps else seen

    def path(self, index: int, t, camera=None) -> np.ndarray:
        """Where it would be seen if the camera did not jump."""
        actor = self.actors[index]
        zoom, c, s, *offset = camera or self.camera(t)
        centre = np.array([self.aspect / 2, 0.5])
        x, y = np.moveaxis(actor.place + actor.moved(t) + np.stack(offset, -1) - centre, -1, 0)
        seen = np.stack([zoom * (c * x - s * y), zoom * (s * x + c * y)], -1)
        reach = centre - 0.08 if index == 0 else centre + 0.05
        seen = centre + reach * np.tanh(seen / reach)  # slow down at the border instead of leaving
        if index == 0 and self.hidden_target:
            start, end, ramp, side = self.excursion
            away = _ramp((t - start) / ramp) * (1 - _ramp((t - end) / ramp))
            half_body = 1.1 * actor.scale * np.exp(abs(actor.growth)) * zoom
            exit_x = -half_body if side[0] < 0 else self.aspect + half_body
            seen = seen + away[..., None] * (np.stack([exit_x, seen[..., 1] + side[1]], -1) - seen)
        return seen

    # Rendering ------------------------------------------------------------------------------------------------------

    def foresee(self, times, supersampling: int = SUPERSAMPLING):
        """Compute where everything is at these times together: much faster than one time after the other."""
        self._foreseen[supersampling] = Moments(self, times, supersampling)

    def _moment(self, t: float, supersampling: int) -> tuple:
        """(moments, row) of time t, which need not have been foreseen."""
        moments = self._foreseen.get(supersampling)
        if moments is None or t not in moments.rows:
            moments = Moments(self, [t], supersampling)
        return moments, moments.rows[t]

    @cached_property
    def order(self) -> list:
        """Creatures from the furthest to the nearest."""
        return sorted(range(len(self.actors)), key=lambda i: self.actors[i].depth)

    @cached_property
    def _bodies(self) -> list:
        """(body, label, number of its first part) as they are drawn: creatures, then occluders; parts count from 1."""
        bodies = [(self.actors[index].body, index + 1) for index in self.order]
        bodies += [(body, 0) for body, _ in self.occluders]
        first = np.cumsum([1, *(len(body.parts) for body, _ in bodies)]).tolist()
        return [(body, label, number) for (body, label), number in zip(bodies, first, strict=False)]

    @cached_property
    def _label_of_part(self) -> np.ndarray:
        table = np.zeros(256, np.uint8)  # eight riders behind four fences have 184 parts
        for body, label, first in self._bodies:
            table[first : first + len(body.parts)] = label
        return table

    def _parts(self, moments, row: int, only: int | None = None) -> np.ndarray:
        """The canvas, with the number of the part that is seen at each subpixel, 0 for the ground.

        The numbers give the labels, and say where each part's colours go.
        """
        canvas = np.zeros(moments.shape, np.uint8)
        for (_, label, first), outlines in zip(self._bodies, moments.outlines, strict=True):
            if only is None or label == only + 1:
                outlines.fill(canvas, row, first)
        return canvas

    def labels(self, t: float, supersampling: int = SUPERSAMPLING, only: int | None = None) -> np.ndarray:
        """Labels of the canvas at time t. `only`: that creature, with nothing before it."""
        return cv2.LUT(self._parts(*self._moment(t, supersampling), only), self._label_of_part)

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
        noise, grain = rng.uniform(0, knobs.noise), rng.standard_normal((height + 32, width + 32, 1), dtype=np.float32)
        tint = rng.uniform(0, 0.5) * rng.standard_normal((height + 32, width + 32, 3), dtype=np.float32)
        tint += grain
        tint *= noise
        self.noise = tint
        self.noise_spots = rng.integers(0, 32, (251, 2)).tolist()  # where each moment cuts its noise out of it
        self.painted = True

    def _shadow(self, image, to_screen, foot):
        """A soft dark ellipse on the ground under a standing creature; to_screen: to pixels of `image`."""
        a, b, c, d, e, f = to_screen
        x, y = c + foot * b, f + foot * abs(e)
        rx, ry = 0.5 * math.hypot(a, d), 0.11 * math.hypot(b, e)
        x0, y0, x1, y1 = int(x - rx), int(y - ry), int(x + rx) + 1, int(y + ry) + 1
        cx0, cy0, cx1, cy1 = max(0, x0), max(0, y0), min(image.shape[1], x1), min(image.shape[0], y1)
        if cx0 >= cx1 or cy0 >= cy1:
            return
        u = ((np.arange(cx0, cx1, dtype=np.float32) - x) / rx)[None] ** 2
        v = ((np.arange(cy0, cy1, dtype=np.float32) - y) / ry)[:, None] ** 2
        dark = 1 - 0.45 * np.maximum(1 - u - v, 0)
        dark = cv2.merge([dark] * 4).reshape(len(dark), -1)  # numpy is slow over a last axis of four
        region = image.reshape(len(image), -1)[cy0:cy1, 4 * cx0 : 4 * cx1]
        np.multiply(region, dark, out=region, casting="unsafe")

    def frame(self, t: float) -> tuple:
        """(frame (H, W, 3) uint8 RGB, mask (H, W) uint8) at time t."""
        if not self.painted:
            self._paint_everything()
        t = float(t)
        height, width = self.size
        moments, row = self._moment(t, SUPERSAMPLING)
        zoom, c, s, dx, dy = moments.camera[row]
        # frame pixel = zoom * roll * (ground texel / texels + pan - ground centre) + frame centre
        x = self.parallax * dx * height - self.ground.shape[1] / (2 * GROUND_TEXELS)
        y = self.parallax * dy * height - self.ground.shape[0] / (2 * GROUND_TEXELS)
        k, (jump_x, jump_y) = zoom / GROUND_TEXELS, self.jumps(t) * height
        x, y = zoom * (c * x - s * y) + width / 2 + jump_x, zoom * (s * x + c * y) + height / 2 + jump_y
        matrix = np.array([[k * c, -k * s, x], [k * s, k * c, y]])
        image = cv2.warpAffine(self.ground, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        for (body, label, _), outlines in zip(self._bodies, moments.outlines, strict=True):
            if label and body.stands:
                self._shadow(image, [value / SUPERSAMPLING for value in outlines.to_screen[row]], body.foot)
        size = (SUPERSAMPLING * width, SUPERSAMPLING * height)
        image = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)  # the ground has no edges to be drawn finely
        parts = self._parts(moments, row)
        coats = [*(self.coats[index] for index in self.order), *self.occluder_coats]
        for (_, _, first), outlines, coat in zip(self._bodies, moments.outlines, coats, strict=True):
            outlines.paint(image, parts, row, first, coat)
        mask = settle(cv2.LUT(parts, self._label_of_part))
        image = cv2.resize(self._smeared(image, moments.speed[row]), (width, height), interpolation=cv2.INTER_AREA)
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
        if self.defocus > 0.25:
            image = cv2.GaussianBlur(image, (0, 0), self.defocus)
        return self._exposed(image, mask, t, moments.places[row]), mask

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

    def _exposed(self, image, mask, t, places):
        """Light and sensor: exposure and colour cast, moving shade, light on each creature's side, noise."""
        height, width = mask.shape
        strength, wide, tall, speed = self.shade
        x, y = self._rulers
        a, b = wide * x, tall * y + speed * t
        waves = np.hstack([np.cos(b), np.sin(b)]) @ np.vstack([np.sin(a), np.cos(a)])  # sin(a + b), by the sum formula
        light = 1 + strength * waves
        sides = np.zeros((3, 256), np.float32)  # of each label: a slope across, one down, and an offset
        for label, (actor, (cx, cy)) in enumerate(zip(self.actors, places, strict=True), 1):
            amount, angle, turn = actor.light
            amount, angle = amount / actor.scale, angle + turn * t
            slope = amount * math.cos(angle), amount * math.sin(angle)
            sides[:, label] = *slope, -slope[0] * cx - slope[1] * cy
        across, down, offset = (cv2.LUT(mask, side) for side in sides)
        slopes = across * x + down * y + offset
        light *= 1 + np.minimum(np.maximum(slopes, -0.5), 0.5)
        gain = np.exp(self.gain * (np.sin(0.13 * t + self.gain_phase) - np.sin(self.gain_phase)))
        gain = np.minimum(gain, 1.35).astype(np.float32)
        top, left = self.noise_spots[round(16 * t) % len(self.noise_spots)]
        image = image * cv2.merge([light * channel for channel in gain.tolist()])
        noise = self.noise[top : top + height, left : left + width]
        return cv2.add(image, noise, dtype=cv2.CV_8U)  # rounds, and stops at 0 and 255


def _ramp(x):
    """A smooth step from 0 at x = 0 to 1 at x = 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def settle(labels: np.ndarray) -> np.ndarray:
    """From 2 x 2 subpixel labels to a mask: the second smallest of the four, so a label that covers three wins."""
    height, width = labels.shape
    low, high = cv2.min(labels[::2], labels[1::2]), cv2.max(labels[::2], labels[1::2])
    (a, b), (c, d) = (cv2.split(pairs.reshape(height // 2, width // 2, 2)) for pairs in (low, high))
    return cv2.min(cv2.max(a, b), cv2.min(c, d))
