"""Coats: how an individual of a species looks. Painted once per clip, at the size at which it will be seen."""

import cv2
import numpy as np

from vosnb.creatures import textures
from vosnb.creatures.bodies import COAT, DARK, EYE, Body, Part


class Coat:
    """How one creature looks: a painted patch for every part of its body."""

    def __init__(self, rng, body: Body, species: dict, split: str, density: float, difference: float):
        """density: texture pixels a body length; difference: how far this individual is from the species' type."""

        def off(size):
            return size * difference * rng.choice([-1, 1]) * rng.uniform(0.5, 1.0)

        self.density = density
        hue, saturation, value = off(0.085), off(0.15), off(0.16)
        shares = (1, 0.7, 0.7, 0.4)  # of the change in brightness; the accent changes least
        tones = [
            (h + hue, s + saturation, v + value * share)
            for (h, s, v), share in zip(species["colours"], shares, strict=True)
        ]
        self.tones = [textures.rgb(*tone).astype(np.float32)[:, None, None] for tone in tones]
        frequency = species["frequency"] * (1 + off(0.25))
        angle = species["angle"] + off(0.5)
        low = np.min([part.outline.min(0) for part in body.parts], 0) - 3 / density
        high = np.max([part.outline.max(0) for part in body.parts], 0) + 3 / density
        width, height = (np.ceil((high - low) * density)).astype(int)
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = x / density + np.float32(low[0]), y / density + np.float32(low[1])
        mix = textures.pattern(rng, species["texture"], split, x, y, frequency, angle).astype(np.float32)
        coat = self.tones[0] * (1 - mix) + self.tones[1] * mix
        self._mark(rng, coat, x, y, difference)
        grain = 1 + 0.10 * (textures.value_noise(rng, height, width, 4.0) - 0.5)
        self.patches = [self._patch(part, coat, grain, low) for part in body.parts]
        for index, *disc in body.details:
            self._paint(*self.patches[index], *disc)
        self.corners = density * np.array([corner for _, corner in self.patches]).T  # in texture pixels, (2, parts)

    def _mark(self, rng, coat, x, y, difference):
        """Sometimes a mark of its own: a blaze, a saddle or a collar in another colour."""
        if rng.random() > 0.6 * min(1.0, difference):
            return
        cx, cy = rng.uniform(-0.4, 0.4), rng.uniform(-0.15, 0.15)
        inside = ((x - cx) / rng.uniform(0.1, 0.22)) ** 2 + ((y - cy) / rng.uniform(0.1, 0.3)) ** 2 < 1
        coat[:, inside] = 0.25 * coat[:, inside] + 0.75 * self.tones[rng.integers(2, 4)][:, 0]

    def _patch(self, part: Part, coat, grain, low):
        """The painted rectangle around a part (uint8) and its corner: rounded by shade at the edge, lit from above.

        It has a fourth channel that nobody looks at: OpenCV warps four channels twice as fast as three.
        """
        points = (part.outline - low) * self.density
        height, width = grain.shape
        x0, y0 = np.maximum(np.floor(points.min(0)).astype(int) - 2, 0)
        x1, y1 = np.minimum(np.ceil(points.max(0)).astype(int) + 3, (width, height))
        inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(inside, [np.round(points - [x0, y0]).astype(np.int32)], 1)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
        depth = np.sqrt(np.minimum(depth / (0.75 * depth.max() + 1e-3), 1))
        lit = np.linspace(0.14, -0.16, y1 - y0, dtype=np.float32)[:, None] + (0.66 + 0.36 * depth)
        if part.tone == COAT:
            colour = coat[:, y0:y1, x0:x1]
        elif part.tone == DARK:
            colour = np.float32([[[38]], [[36]], [[40]]])
        else:
            colour = self.tones[part.tone] * grain[y0:y1, x0:x1]
        red, green, blue = colour * (part.shade * lit)
        corner = (float(low[0] + x0 / self.density), float(low[1] + y0 / self.density))
        return textures.pixels([red, green, blue, red]), corner

    def _paint(self, patch, corner, x, y, radius, tone):
        """An eye, or a dark disc, at (x, y) in body lengths."""

        def disc(dx, dy, r, colour):
            at = [(x + dx - corner[0]) * self.density * 16, (y + dy - corner[1]) * self.density * 16]
            size = max(1, round(r * self.density * 16))
            cv2.circle(patch, (round(at[0]), round(at[1])), size, colour, -1, cv2.LINE_AA, 4)

        if tone == EYE:
            disc(0, 0, 1.1 * radius, (225, 222, 214))
            disc(0.25 * radius, 0.05 * radius, 0.72 * radius, (26, 24, 28))
            disc(0.45 * radius, -0.25 * radius, 0.24 * radius, (245, 245, 245))
        else:
            disc(0, 0, radius, (40, 34, 36))
