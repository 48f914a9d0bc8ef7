"""Colours, grounds and light of a clip of toys. Photographs are those of split `test` alone: nothing trains on them."""

import cv2
import numpy as np

from vosnb.creatures import Knobs as CreatureKnobs
from vosnb.creatures.textures import PHOTOS, background, fractal_noise, photo, rgb, scene_palette
from vosnb.toys.kinds import sprite

PAINTED = 0.6  # the size at which grounds are painted, as a share


class Colouring:
    """How one toy's colours are changed: hue turned, brighter or darker, in a coloured light."""

    def __init__(self, hue: float, saturation: float, value: float, cast):
        """hue: turns; saturation, value: factors; cast: (3,) factors of red, green and blue."""
        self.hue, self.saturation, self.value, self.cast = hue, saturation, value, np.asarray(cast)

    def painted(self, kind: str) -> np.ndarray:
        """The picture of a kind in these colours, (h, w, 4) uint8, premultiplied."""
        image = sprite(kind)
        hsv = cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2HSV_FULL)
        h, s, v = cv2.split(hsv)
        h = (h.astype(np.int32) + round(256 * self.hue)).astype(np.uint8)  # wraps
        s = cv2.convertScaleAbs(s, alpha=self.saturation)
        colours = cv2.cvtColor(cv2.merge([h, s, v]), cv2.COLOR_HSV2RGB_FULL)
        alpha = image[..., 3].astype(np.float32) / 255
        factors = (self.value * self.cast).tolist()
        planes = [
            cv2.convertScaleAbs(np.minimum(c * f, 255) * alpha)
            for c, f in zip(cv2.split(colours), factors, strict=True)
        ]
        return cv2.merge([*planes, image[..., 3]])


def colourings(rng, differences) -> list[Colouring]:
    """Colours of individuals, spread evenly, so that no two of a kind are alike unless their difference is 0."""
    count = len(differences)
    spread = np.stack([rng.permutation(np.linspace(-1, 1, count)) if count > 1 else rng.uniform(-1, 1, 1)
                       for _ in range(3)])  # fmt: skip
    spread = spread + rng.normal(0, 0.12, spread.shape)
    result = []
    for difference, (hue, saturation, value) in zip(differences, spread.T, strict=True):
        cast = rng.normal(0, 0.05, 3)
        result.append(
            Colouring(
                0.042 * difference * hue,
                np.exp(0.2 * difference * saturation),
                np.exp(0.13 * difference * value - 0.1),
                np.exp(difference * (cast - cast.mean())),
            )
        )
    return result


def any_colouring(rng) -> Colouring:
    """Colours of a thing that stands about: a little off, a little grey and dark, so that toys stand out."""
    return Colouring(
        rng.normal(0, 0.03), rng.uniform(0.45, 0.9), rng.uniform(0.6, 0.95), np.exp(rng.normal(0, 0.06, 3))
    )


# The ground ---------------------------------------------------------------------------------------------------------


def paint_ground(rng, height: int, width: int, photos: float) -> np.ndarray:
    """A ground to play on, (height, width, 3) uint8: painted, or a photograph in strange colours, or both."""
    painted = CreatureKnobs(photos=0.0, clutter=0.15, muted=0.35, camouflage=0.0, blur=0.3)
    small = round(PAINTED * height), round(PAINTED * width)  # it is soft, and a photograph sharp
    image = background(rng, "test", *small, scene_palette(rng, 0.35), painted)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < photos:
        image = _with_photo(rng, image)
    # Softer than the toys: less contrast, a light from above.
    level, contrast = rng.uniform(115, 165), rng.uniform(0.6, 0.95)
    lit = np.linspace(1.08, 0.92, height, dtype=np.float32)[:, None, None]
    image = (image - image.mean()) * contrast * lit + level * lit
    return cv2.convertScaleAbs(np.maximum(image, 0))


def _with_photo(rng, image):
    """A crop of a photograph, mirrored at its edges, in scrambled colours; some of the painted ground shows through."""
    height, width = image.shape[:2]
    names = PHOTOS["test"]
    picture = photo(names[rng.integers(len(names))])
    scale = rng.uniform(1.0, 2.2) * height / 384
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture.transpose(1, 0, 2))
    rows, columns = picture.shape[:2]
    top, left = int(rng.integers(0, rows)), int(rng.integers(0, columns))
    y, x = (_mirrored(np.arange(first, first + count), side)
            for first, count, side in ((top, height, rows), (left, width, columns)))  # fmt: skip
    picture = picture[y][:, x].astype(np.float32)
    grey = picture.mean(-1, keepdims=True)
    colour = picture[..., rng.permutation(3)] - grey
    hue = rgb(rng.random(), rng.uniform(0.1, 0.5), 1.0).astype(np.float32) / 255
    picture = grey * hue * rng.uniform(0.9, 1.3) + colour * rng.uniform(-1.3, 1.3)
    if rng.random() < 0.5:
        picture = 255 - picture
    share = rng.uniform(0.5, 1.0)
    if rng.random() < 0.5:  # patches of both
        patches = fractal_noise(rng, height, width, 0.3 * height, 3)[..., None]
        share = share * np.clip(6 * (patches - rng.uniform(0.25, 0.5)), 0, 1)
    return image + (picture - image) * share


def _mirrored(index, side: int):
    """Indices that go to and fro over 0 .. side - 1."""
    index = index % (2 * side)
    return np.minimum(index, 2 * side - 1 - index)


# Light and sensor ---------------------------------------------------------------------------------------------------


class Light:
    """Exposure and colour that drift, shade that moves, and the noise of the sensor."""

    def __init__(self, rng, size, knobs):
        height, width = size
        drift = knobs.light_drift
        self.gain = drift * (0.08 * rng.normal(0, 1, 3) + rng.choice([-1, 1]) * rng.uniform(0.1, 0.45))
        self.phase = rng.uniform(0, 2 * np.pi)
        rate, direction = rng.uniform(1.5, 5), rng.uniform(0, 2 * np.pi)
        self.strength = rng.uniform(0, 0.08 + 0.3 * min(1.0, drift))
        self.along = float(rate * np.cos(direction)), float(rate * np.sin(direction))
        self.speed = rng.normal(0, 0.12)
        self.x = np.linspace(0, width / height, width, dtype=np.float32)[None]
        self.y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        grain = rng.standard_normal((height + 32, width + 32, 1), dtype=np.float32)
        tint = rng.standard_normal((height + 32, width + 32, 3), dtype=np.float32)
        self.noise = rng.uniform(0.2, 1) * knobs.noise * (0.8 * grain + 0.5 * tint)
        self.spots = rng.integers(0, 32, (251, 2)).tolist()  # where each moment cuts its noise out of it

    def exposed(self, image, t: float) -> np.ndarray:
        """The image (H, W, 3) uint8 as a camera sees it at time t."""
        height, width = image.shape[:2]
        a, b = self.along[0] * self.x, self.along[1] * self.y + float(self.speed * t)
        waves = np.hstack([np.cos(b), np.sin(b)]) @ np.vstack([np.sin(a), np.cos(a)])  # sin(a + b), by the sum formula
        gain = np.exp(self.gain * (np.sin(0.13 * t + self.phase) - np.sin(self.phase)))
        light = 1 + float(self.strength) * waves
        light = cv2.merge([light * g for g in np.minimum(gain, 1.3).tolist()])
        image = cv2.multiply(image, light, dtype=cv2.CV_32F)
        top, left = self.spots[round(16 * t) % len(self.spots)]
        noise = self.noise[top : top + height, left : left + width]
        return cv2.add(image, noise, dtype=cv2.CV_8U)  # rounds, and stops at 0 and 255
