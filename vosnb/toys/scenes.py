"""A scene: toys on their ways, things in front of them, a camera and light, rendered at any time t (in frames).

A scene is drawn from a seed in two steps. Geometry (kinds, paths, camera, occluders, jumps) comes first and is all that
the masks depend on. Appearance (colours, ground, light, noise) has its own stream of random numbers and is painted only
when a frame is first asked for. Everything is laid over the ground from the back to the front with its alpha channel;
a mask pixel belongs to the foremost cutout that is more than half opaque there, and to the background if that is none
or a thing.
"""

import math
from functools import cached_property

import cv2
import numpy as np

from vosnb.creatures.jumps import Jumps
from vosnb.toys.actors import Cutout, Toy
from vosnb.toys.kinds import KINDS, THINGS, sprite
from vosnb.toys.looks import Light, any_colouring, colourings, paint_ground

MARGIN = 0.3  # ground painted beyond the frame, in frame heights; further out it is mirrored
FOREGROUND = 1.15  # occluders shift this much more than the toys when the camera pans
SHADOW = {"walks": 0.0, "rolls": 0.0, "crawls": -0.02, "swims": 0.03, "flies": 0.13, "stands": 0.0}  # how far below
TALL = {"fir", "tree", "palm", "cactus", "sunflower", "plant"}


class Scene:
    """Everything in a clip; `mask(t)` and `frame(t)` render it.

    rng, rng_looks: independent generators, of geometry and of appearance. size: (H, W) in pixels.
    """

    def __init__(self, rng, rng_looks, size, frames: int, knobs):
        self.size, self.frames, self.knobs = size, frames, knobs
        self.aspect = size[1] / size[0]
        self._looks, self.painted = rng_looks, False
        self._cast(rng)
        self._set_camera(rng)
        self._set_occluders(rng)
        self.jumps = Jumps(rng, knobs.jumps, frames, self.aspect, lambda t: self.path(0, t))
        for toy in self.toys:
            toy.prepare(toy.scale * math.exp(abs(toy.growth)) * size[0] * 1.15)

    # Geometry -------------------------------------------------------------------------------------------------------

    def _cast(self, rng):
        """Choose the kinds, the individuals and their places; toy 0 is the target."""
        knobs, self.toys = self.knobs, []
        count = int(rng.integers(int(knobs.toys[0]), int(knobs.toys[1]) + 1))
        self.same = bool(rng.random() < knobs.same_species)
        self.delta = float(rng.uniform(*knobs.species_difference))
        area = rng.uniform(*np.sqrt(knobs.area)) ** 2 / 100 * self.aspect
        kinds = [KINDS[i] for i in rng.permutation(len(KINDS))[:count]]
        self.kinds = [kinds[0]] * count if self.same else kinds
        self.differences = [self.delta if k == 0 or self.same else 0.5 for k in range(count)]
        for index, (kind, difference) in enumerate(zip(self.kinds, self.differences, strict=True)):
            spread = 0.28 * (min(1.2, difference) if self.same else 1.0)
            share = area * (1 if index == 0 else math.exp(rng.uniform(-spread, spread)))
            place = self._free_place(rng)
            self.toys.append(Toy(rng, kind, place, share, difference, knobs, self.frames, self.aspect))
        nearness = [toy.place[1] + toy.foot + SHADOW[toy.manner] + rng.uniform(0, 0.1) for toy in self.toys]
        self._order = sorted(range(count), key=nearness.__getitem__)  # from the furthest to the nearest
        self.hidden_target = bool(rng.random() < knobs.leave_and_return)
        start, away = self.frames * rng.uniform(0.12, 0.28), self.frames * rng.uniform(0.38, 0.46)
        nearer = 1.0 if self.toys[0].place[0] > self.aspect / 2 else -1.0
        self.excursion = (start, start + away, max(3.0, 0.22 * self.frames), nearer)

    def _free_place(self, rng):
        for distance in np.linspace(0.45, 0.1, 16):
            place = np.array([rng.uniform(0.17, self.aspect - 0.17), rng.uniform(0.3, 0.78)])
            if all(np.hypot(*(place - toy.place) * [1, 1.4]) > distance for toy in self.toys):
                break
        return place

    def _set_camera(self, rng):
        c = self.knobs.camera
        self.follow = rng.uniform(0, self.knobs.follow)
        self.pan, self.pan_phase = c * rng.normal(0, 0.004, 2) * [1, 0.5], rng.uniform(0, 2 * np.pi, 2)
        self.pan_sway, self.shake = 0.03 * c * rng.uniform(0, 1), 0.002 * c * rng.uniform(0, 1)
        self.zoom, self.roll = c * rng.normal(0, 0.004), c * rng.normal(0, 0.002)
        self.roll_sway = 0.02 * c * rng.normal()

    def _set_occluders(self, rng):
        """Put things in the foreground where the target will pass; each has a place in the order."""
        self.occluders, self.order = [], [*self._order]
        low, high = self.knobs.occluders
        names = list(THINGS)
        for number in range(int(rng.integers(int(low), int(high) + 1))):
            kind = names[rng.integers(len(names))]
            tall = rng.uniform(0.55, 0.9) if kind in TALL else rng.uniform(0.26, 0.42)
            thing = Cutout(kind, tall / (sprite(kind).shape[0] - 4))
            time = rng.uniform(0.3, 0.75) * self.frames
            met = self.path(0, time) + [rng.normal(0, 0.03), rng.uniform(0, 0.12)]
            thing.place = self._anchor(met, time)
            thing.prepare(thing.scale * self.size[0] * 1.3)
            self.occluders.append(thing)
            behind = self.order.index(0) + 1 if rng.random() < 0.4 else len(self.order)
            self.order.insert(behind, -1 - number)

    def _anchor(self, seen, t: float) -> np.ndarray:
        """The place in the foreground that is seen at `seen` at time t."""
        zoom, angle, x, y = self.camera(t)
        turned = (seen - [self.aspect / 2, 0.5]) / zoom @ _rotation(angle)
        return turned + [self.aspect / 2, 0.5] - FOREGROUND * np.array([x, y])

    def camera(self, t) -> tuple:
        """(zoom, roll, x, y) at times t: the roll's angle and the ground's offset in frame heights."""
        t = np.asarray(t, np.float64)
        column = t[..., None]
        phase = 0.15 * column + self.pan_phase
        sway = self.pan_sway * (np.sin(phase) - np.sin(self.pan_phase)) * [1, 0.5]
        shake = self.shake * (np.sin(np.stack([1.9 * t, 2.3 * t + 1], -1)) - np.sin([0.0, 1.0]))
        offset = self.pan * column + sway + shake - self.follow * self.toys[0].moved(t)
        roll = self.roll * t + self.roll_sway * (np.sin(0.2 * t + self.pan_phase[0]) - np.sin(self.pan_phase[0]))
        return np.exp(np.clip(self.zoom * t, -0.3, 0.4)), roll, offset[..., 0], offset[..., 1]

    def where(self, index: int, t, camera=None) -> np.ndarray:
        """Where the middle of toy `index` is seen at times t, in frame heights from the upper left corner, (..., 2).

        camera: what `camera(t)` says, if that is known.
        """
        return self.path(index, t, camera) + self.jumps(t)

    def path(self, index: int, t, camera=None) -> np.ndarray:
        """Where it would be seen if the camera did not jump."""
        t, toy, camera = np.asarray(t, np.float64), self.toys[index], camera or self.camera(t)
        seen = self._seen(toy.place + toy.moved(t), camera, 1.0)
        centre = np.array([self.aspect / 2, 0.5])
        reach = centre - 0.1 if index == 0 else centre + 0.05
        seen = centre + reach * np.tanh((seen - centre) / reach)  # slow down at the border instead of leaving
        if index == 0 and self.hidden_target:
            start, end, ramp, side = self.excursion
            away = _ramp((t - start) / ramp) * (1 - _ramp((t - end) / ramp))
            half = toy.scale * toy.longest * 0.8 * np.exp(abs(toy.growth)) * camera[0]
            exit_x = -half if side < 0 else self.aspect + half
            seen = seen + np.stack([away * (exit_x - seen[..., 0]), 0 * away], -1)
        return seen

    def _seen(self, places, camera, nearness: float) -> np.ndarray:
        """Where places of the scene (..., 2) are seen through the camera."""
        zoom, roll, x, y = camera
        c, s, centre = np.cos(roll), np.sin(roll), np.array([self.aspect / 2, 0.5])
        x, y = np.moveaxis(places - centre, -1, 0) + nearness * np.stack([x, y])
        return centre + np.stack([zoom * (c * x - s * y), zoom * (s * x + c * y)], -1)

    def _facing(self, index: int, t: float) -> float:
        """Where toy `index` looks; a target that leaves and comes back looks where it goes."""
        facing = self.toys[index].facing(t)
        if index == 0 and self.hidden_target:
            start, end, _, side = self.excursion
            facing += (side - facing) * float(_ramp((t - start + 2) / 4))
            facing += (-side - facing) * float(_ramp((t - end + 3) / 4))
        return facing

    def stances(self, t: float, scale: float = 1.0) -> list:
        """[(cutout, number, stance)] from the back to the front: number is a toy's index, or negative for a thing.

        scale: frame pixels a pixel. A stance is what `Cutout.lookup` takes.
        """
        zoom, roll, *_ = camera = tuple(float(value) for value in self.camera(t))
        height, found = self.size[0] * scale, []
        for number in self.order:
            if number >= 0:
                cutout = self.toys[number]
                up, size, angle, wide, tall = cutout.stance(t, self._facing(number, t))
                x, y = self.where(number, t, camera).tolist()
                x, y = x + zoom * up * math.sin(roll), y - zoom * up * math.cos(roll)
            else:
                cutout = self.occluders[-1 - number]
                x, y = (self._seen(cutout.place, camera, FOREGROUND) + self.jumps(t)).tolist()
                size, angle, wide, tall = cutout.scale, 0.0, 1.0, 1.0
            stance = (x * height - 0.5, y * height - 0.5, zoom * size * height, angle + roll, wide, tall)
            found.append((cutout, number, stance))
        return found

    # Rendering ------------------------------------------------------------------------------------------------------

    def labels(self, t: float, scale: float = 1.0, only: int | None = None) -> np.ndarray:
        """The index mask at time t, at a scale. `only`: that toy, with nothing before it."""
        mask = np.zeros([round(side * scale) for side in self.size], np.uint8)
        for cutout, number, stance in self.stances(t, scale):
            if (only is None or number == only) and (found := cutout.lookup(stance, t, mask.shape)):
                (left, top, right, bottom), maps = found
                opaque = cv2.remap(cutout.outline, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) > 127
                np.putmask(mask[top:bottom, left:right], opaque, max(0, number + 1))
        return mask

    def mask(self, t: float, only: int | None = None) -> np.ndarray:
        """The index mask at time t, (H, W) uint8."""
        return self.labels(float(t), only=only)

    def frame(self, t: float) -> tuple:
        """(frame (H, W, 3) uint8 RGB, mask (H, W) uint8) at time t."""
        if not self.painted:
            self._paint_everything()
        t, mask = float(t), np.zeros(self.size, np.uint8)
        image, stances = self._ground_at(t), self.stances(t)
        for cutout, _, stance in stances:
            cast_shadow(image, cutout, stance)
        for cutout, number, stance in stances:
            if found := cutout.lookup(stance, t, self.size):
                (left, top, right, bottom), maps = found
                seen = cv2.remap(cutout.picture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
                alpha = lay_over(image[top:bottom, left:right], seen)
                np.putmask(mask[top:bottom, left:right], alpha > 127, max(0, number + 1))
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
        if self.defocus > 0.25:
            image = cv2.GaussianBlur(image, (0, 0), self.defocus)
        return self.light.exposed(image, t), mask

    @cached_property
    def margin(self) -> float:
        return MARGIN + 0.3 * bool(self.jumps)

    def _ground_at(self, t: float) -> np.ndarray:
        """The ground as the camera sees it, (H, W, 4) uint8: OpenCV warps four channels twice as fast as three."""
        height, width = self.size
        zoom, roll, x, y = (float(value) for value in self.camera(t))
        jump_x, jump_y = (self.jumps(t) * height).tolist()
        # frame pixel = zoom * roll * (ground pixel + pan - ground centre) + frame centre + jump
        turn = zoom * _rotation(roll)
        shift = turn @ [x * height - self.ground.shape[1] / 2, y * height - self.ground.shape[0] / 2]
        matrix = np.column_stack([turn, shift + [width / 2 + jump_x, height / 2 + jump_y]])
        return cv2.warpAffine(self.ground, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)

    # Appearance -----------------------------------------------------------------------------------------------------

    def _paint_everything(self):
        """Draw all that has to do with appearance, in a fixed order, from its own stream."""
        rng, knobs = self._looks, self.knobs
        height, width = self.size
        self.colourings = colourings(rng, self.differences)
        for toy, colouring in zip(self.toys, self.colourings, strict=True):
            toy.picture = toy.fitted(colouring.painted(toy.kind))
        for thing in self.occluders:
            thing.picture = thing.fitted(any_colouring(rng).painted(thing.kind))
        tall, wide = (int(side + 2 * self.margin * height) for side in (height, width))
        ground = cv2.cvtColor(paint_ground(rng, tall, wide, knobs.photos), cv2.COLOR_RGB2RGBA)
        names, count = list(THINGS), rng.poisson(9 * knobs.clutter * wide / tall)
        for y in np.sort(rng.uniform(0.45, 1.0, count)) * tall:
            thing = Cutout(names[rng.integers(len(names))], 1.0)
            size = rng.uniform(0.13, 0.28) * (0.35 + 0.75 * y / tall) * height / thing.longest
            thing.prepare(size)
            thing.picture = thing.fitted(any_colouring(rng).painted(thing.kind))
            stance = (rng.uniform(0, wide), y, size, 0.0, rng.choice([-1.0, 1.0]), 1.0)
            cast_shadow(ground, thing, stance)
            if found := thing.lookup(stance, 0.0, ground.shape[:2]):
                (left, top, right, bottom), maps = found
                seen = cv2.remap(thing.picture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
                lay_over(ground[top:bottom, left:right], seen)
        focus = rng.uniform(0, 0.4 + knobs.blur) * height / 240
        self.ground = cv2.GaussianBlur(ground, (0, 0), focus) if focus > 0.3 else ground
        self.defocus = rng.uniform(0, knobs.blur) * height / 240
        self.light = Light(rng, self.size, knobs)
        self.painted = True


def lay_over(region, picture) -> np.ndarray:
    """Lay a premultiplied picture (h, w, 4) uint8 over a region of an image, in place; returns its alpha (h, w)."""
    alpha = cv2.extractChannel(picture, 3)
    through = cv2.bitwise_not(alpha)
    cv2.add(cv2.multiply(region, cv2.merge([through] * 4), scale=1 / 255), picture, dst=region)
    return alpha


def cast_shadow(image, cutout, stance):
    """A soft dark ellipse on the ground under a cutout, fainter and further below where it flies."""
    x, y, size, _, wide, tall = stance
    below = SHADOW[cutout.manner] * image.shape[0]
    rx = 0.52 * size * abs(wide) * cutout.extent[0]
    ry = 0.16 * rx + 0.03 * size * cutout.extent[1]
    y += 0.5 * size * tall * cutout.extent[1] - 0.3 * ry + below
    x0, y0 = max(0, int(x - rx)), max(0, int(y - ry))
    x1, y1 = min(image.shape[1], int(x + rx) + 2), min(image.shape[0], int(y + ry) + 2)
    if x0 >= x1 or y0 >= y1:
        return
    u = ((np.arange(x0, x1, dtype=np.float32) - np.float32(x)) / np.float32(rx))[None] ** 2
    v = ((np.arange(y0, y1, dtype=np.float32) - np.float32(y)) / np.float32(ry))[:, None] ** 2
    strength = 0.55 / (1 + 9 * max(0.0, SHADOW[cutout.manner]))
    dark = cv2.convertScaleAbs(1 - strength * np.maximum(1 - u - v, 0), alpha=255)
    region = image[y0:y1, x0:x1]
    cv2.multiply(region, cv2.merge([dark] * 4), dst=region, scale=1 / 255)


def _rotation(angle) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])


def _ramp(x):
    """A smooth step from 0 at x = 0 to 1 at x = 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
