"""Colours, patterns and backgrounds. Everything is drawn once per clip from a seed; nothing here knows time.

Images are painted as three planes, (3, H, W), since numpy is slow over a last axis of three.
"""

from functools import cache

import cv2
import numpy as np

from vosnb.paths import DATA

SPLITS = ("train", "val", "test")
PHOTOS = {
    "train": ("astronaut", "brick", "camera", "coffee", "gravel", "hubble_deep_field"),
    "val": ("rocket", "retina"),
    "test": ("chelsea", "grass"),
}
TEXTURES = {
    "train": ("stripes", "spots", "patches", "gradient", "noise", "photo", "rings"),
    "val": ("zigzag",),  # in addition to those of training
    "test": ("scales",),
}
BANDS = 24  # a parameter's range is cut into this many bands, dealt to the splits in turn


def banded(rng, split: str, low: float, high: float) -> float:
    """A number in [low, high) from the bands that belong to one split, so that no two splits ever share a value.

    Of every eight bands, train owns six, val one and test one.
    """
    owned = [b for b in range(BANDS) if (b % 8 == 2, b % 8 == 5) == (split == "val", split == "test")]
    band = owned[rng.integers(len(owned))]
    return low + (high - low) * (band + rng.uniform(0.02, 0.98)) / BANDS


@cache
def photo(name: str) -> np.ndarray:
    """A shipped photograph, RGB uint8, at most 288 pixels long."""
    image = cv2.imread(str(DATA / "photos" / f"{name}.jpg"))
    if image is None:
        raise FileNotFoundError(f"The photograph data/photos/{name}.jpg is missing; restore it from the repository.")
    return np.ascontiguousarray(image[:, :, ::-1])


def random_photo_crop(rng, split: str, height: int, width: int, share=(0.5, 0.98)) -> np.ndarray:
    """A random crop of a photograph of this split, resized to (3, height, width) float32."""
    image = photo(PHOTOS[split][rng.integers(len(PHOTOS[split]))])
    crop = rng.uniform(*share) * min(image.shape[0] / height, image.shape[1] / width)
    h, w = max(8, int(crop * height)), max(8, int(crop * width))
    y, x = rng.integers(0, image.shape[0] - h + 1), rng.integers(0, image.shape[1] - w + 1)
    image = cv2.resize(image[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA)
    image = image[:, ::-1] if rng.random() < 0.5 else image
    return image.transpose(2, 0, 1).astype(np.float32, order="C")


# Colours ------------------------------------------------------------------------------------------------------------


def rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """HSV in [0, 1] to RGB float64 in 0..255; hue wraps, the others are clipped."""
    saturation, value = min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)
    channel = np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    return 255 * value * (1 + saturation * (np.clip(channel, 0, 1) - 1))


def scene_palette(rng, muted: float) -> list:
    """Five harmonious HSV colours: a key hue, its neighbours, a muted complement and a neutral, dark to light."""
    key, spread = rng.random(), rng.uniform(0.03, 0.1)
    calm = 1 - 0.75 * muted
    hues = [key, key + spread, key - spread, key + 0.5 + rng.normal(0, 0.06), key + rng.normal(0, 0.03)]
    greatest = [0.68, 0.62, 0.62, 0.55, 0.25]
    values = rng.permutation(np.linspace(0.3, 0.92, 5)) + rng.normal(0, 0.04, 5)
    return [
        (h, rng.uniform(0.25, 1.0) * s * (calm + 0.25), float(np.clip(v, 0.15, 0.95)))
        for h, s, v in zip(hues, greatest, values, strict=True)
    ]


def jitter(rng, colour, hue=0.02, saturation=0.05, value=0.06):
    """A colour near an HSV colour; the arguments are standard deviations."""
    return (
        colour[0] + rng.normal(0, hue),
        colour[1] + rng.normal(0, saturation),
        float(np.clip(colour[2] + rng.normal(0, value), 0.1, 0.95)),
    )


def pixels(planes) -> np.ndarray:
    """From C planes of numbers to an image (H, W, C) uint8: rounded, with what is too bright at 255."""
    return cv2.convertScaleAbs(cv2.merge([np.maximum(plane, 0) for plane in planes]))


# Patterns -----------------------------------------------------------------------------------------------------------


def value_noise(rng, height: int, width: int, cell: float) -> np.ndarray:
    """Smooth noise in about [0, 1], (height, width) float32; `cell` is the size of its features in pixels."""
    if cell >= 8:  # smooth enough to be drawn at half the size
        half = value_noise(rng, (height + 1) // 2, (width + 1) // 2, cell / 2)
        return cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)
    rows, columns = int(height / cell) + 3, int(width / cell) + 3
    grid = rng.random((rows, columns), dtype=np.float32)
    size = (max(width, int(columns * cell)), max(height, int(rows * cell)))
    return cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)[:height, :width]


def fractal_noise(rng, height: int, width: int, cell: float, octaves: int = 3) -> np.ndarray:
    """A sum of octaves of value noise, stretched to [0, 1]."""
    total = value_noise(rng, height, width, cell)
    for i in range(1, octaves):
        total += 0.55**i * value_noise(rng, height, width, max(2.0, cell / 2**i))
    low, high = float(total.min()), float(total.max())
    total -= low
    total /= high - low + 1e-6
    return total


def pattern(rng, family: str, split: str, x, y, frequency: float, angle: float) -> np.ndarray:
    """A pattern in [0, 1] over a grid of body coordinates x, y (H, W) float32, in body lengths."""
    height, width = x.shape
    cell = max(3.0, height / (frequency * max(0.3, float(np.ptp(y)))))
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    if family == "stripes":
        bent = along + 0.14 * (fractal_noise(rng, height, width, 2 * cell, 2) - 0.5)
        return 0.5 + 0.5 * np.tanh(3 * np.sin(2 * np.pi * frequency * bent))
    if family == "spots":
        bumps = value_noise(rng, height, width, 0.8 * cell)
        return 0.5 + 0.5 * np.tanh(14 * (bumps - np.quantile(bumps[::3, ::3], 0.62)))
    if family == "patches":
        bumps = fractal_noise(rng, height, width, 2.2 * cell, 2)
        return 0.5 + 0.5 * np.tanh(12 * (bumps - rng.uniform(0.42, 0.58)))
    if family == "gradient":
        ramp = across if rng.random() < 0.7 else along
        return 1 / (1 + np.exp(-9 * (ramp - rng.uniform(-0.15, 0.15))))
    if family == "noise":
        return fractal_noise(rng, height, width, cell, 3)
    if family == "rings":
        radius = np.hypot(x - rng.uniform(-0.4, 0.4), y - rng.uniform(-0.3, 0.3))
        return 0.5 + 0.5 * np.tanh(3 * np.sin(2 * np.pi * frequency * radius))
    if family == "photo":
        grey = random_photo_crop(rng, split, height, width, (0.25, 0.5)).mean(0)
        low, high = np.quantile(grey[::2, ::2], (0.03, 0.97))
        return np.clip((grey - low) / (high - low + 1e-3), 0, 1)
    if family == "zigzag":
        fold = np.abs((1.3 * frequency * across) % 1 - 0.5)
        return 0.5 + 0.5 * np.tanh(4 * np.sin(2 * np.pi * (frequency * along + fold)))
    if family == "scales":
        row = np.floor(1.6 * frequency * across)
        u = (1.6 * frequency * along + 0.5 * (row % 2)) % 1 - 0.5
        v = (1.6 * frequency * across) % 1
        return np.clip(1.35 - 1.6 * np.hypot(u, v - 0.1), 0, 1)
    raise ValueError(f"There is no texture family {family!r}.")


# Backgrounds --------------------------------------------------------------------------------------------------------


def background(rng, split: str, height: int, width: int, palette, knobs) -> np.ndarray:
    """A place for creatures to be, (height, width, 3) uint8, in colours that it shares with them."""
    own = scene_palette(rng, knobs.muted)
    shared = [palette[i] if rng.random() < knobs.camouflage else own[i] for i in range(5)]
    colours = np.array([rgb(*jitter(rng, colour, 0.015, 0.04, 0.05)) for colour in shared], np.float32)
    colours = colours[rng.permutation(5)]
    horizon = 0.0
    if rng.random() < knobs.photos:
        image = _photo_ground(rng, split, height, width, colours[..., None, None], knobs)
    else:
        horizon = rng.uniform(0.25, 0.5) if rng.random() < 0.6 else 0.0
        paint = _water if rng.random() < 0.25 else _land
        image = paint(rng, height, width, colours[..., None, None], int(horizon * height))
    image = pixels(image)
    for y in np.sort(rng.uniform(horizon + 0.02, 1, rng.poisson(knobs.clutter * 40 * width / height))):
        _clutter(rng, image, colours, y, horizon)
    focus = rng.uniform(0, 0.35 + knobs.blur) * height / 200
    return cv2.GaussianBlur(image, (0, 0), focus) if focus > 0.3 else image


def _photo_ground(rng, split, height, width, colours, knobs):
    """A crop of a photograph, tinted with the palette: colours are (5, 3, 1, 1), here and below."""
    image = random_photo_crop(rng, split, height, width)
    image = image * rng.uniform(0.75, 1.1) + rng.uniform(-10, 20)
    grey = image.mean(0)
    low, high = np.quantile(grey[::4, ::4], (0.02, 0.98))
    grey = np.clip((grey - low) / (high - low + 1e-3), 0, 1)
    dark, light = sorted(colours[:2], key=lambda colour: float(colour.sum()))
    share = rng.uniform(0.35, 0.9) * knobs.camouflage
    return image * (1 - share) + (dark + (light - dark) * grey) * share


def _land(rng, height, width, colours, horizon):
    """Earth of two or three colours; above a horizon, a sky with layers of hills in its haze, or a wall of boards."""
    squeeze = rng.uniform(1, 3) if horizon else 1.0  # ground seen at a slant
    tall = int(height * squeeze)
    coarse = fractal_noise(rng, tall, width, rng.uniform(0.12, 0.5) * height, 4)
    fine = fractal_noise(rng, tall, width, rng.uniform(0.03, 0.1) * height, 2)
    coarse, fine = (cv2.resize(n, (width, height), interpolation=cv2.INTER_AREA) for n in (coarse, fine))
    image = colours[0] + (colours[1] - colours[0]) * coarse
    image = image + (colours[2] - image) * (0.6 * fine * fine)
    image = image * (0.92 + 0.16 * fine)
    if not horizon:
        return image
    image *= np.linspace(0.85, 1.12, height, dtype=np.float32)[:, None]
    y = np.arange(height, dtype=np.float32)[:, None]
    haze = 0.55 * colours[3] + 0.45 * np.float32([[[225]], [[228]], [[230]]])
    if rng.random() < 0.25:  # a wall of boards
        board = rng.uniform(0.06, 0.16) * height
        seam = np.abs((np.arange(width) / board) % 1 - 0.5) > 0.46
        wall = colours[3] * (0.9 + 0.2 * coarse) * np.where(seam, 0.7, 1.0).astype(np.float32)
        return np.where(y < horizon, wall, image)
    sky = haze + (255 - haze) * np.linspace(0.1, 0.5, height, dtype=np.float32)[:, None]
    above = sky * (0.97 + 0.06 * coarse)
    for layer in range(int(rng.integers(1, 4)), 0, -1):
        hills = value_noise(rng, 3, width, rng.uniform(0.12, 0.5) * height)[1] - 0.4
        ridge = horizon - height * (0.07 * (layer - 1) + rng.uniform(0.05, 0.22) * hills)
        cover = np.clip(y - ridge + 0.5, 0, 1)
        shade = colours[(layer + 1) % 5] * (0.8 + 0.35 * fine)
        shade = shade + (haze - shade) * (0.25 * layer - 0.15)
        above = above + (shade - above) * cover
    return np.where(y < horizon, above, image)


def _water(rng, height, width, colours, _):
    """Water from above to the deep, with light that dances on it and a sandy bottom."""
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    light = 0.6 * colours[0] + 0.4 * np.float32([[[215]], [[230]], [[228]]])
    image = light + (0.75 * colours[1] - light) * depth
    waves = value_noise(rng, height, width, rng.uniform(0.08, 0.2) * height)
    ripples = np.abs(waves - value_noise(rng, height, width, 0.1 * height))
    image = image * (0.9 + 0.35 * np.exp(-9 * ripples) * (1 - 0.6 * depth))
    floor = height * (0.78 + 0.15 * (value_noise(rng, 3, width, 0.3 * height)[1] - 0.5))
    cover = np.clip((np.arange(height, dtype=np.float32)[:, None] - floor) / 3 + 0.5, 0, 1)
    sand = colours[2] * (0.85 + 0.3 * fractal_noise(rng, height, width, 0.06 * height, 2))
    return image + (sand - image) * cover


def _clutter(rng, image, colours, y: float, horizon: float):
    """One thing on the ground: a pebble, a leaf, a tuft or a slab, lit from above, smaller when far, drawn in place."""
    height, width = image.shape[:2]
    size = height * rng.uniform(0.015, 0.05) * (0.5 + (y - horizon) / (1 - horizon))
    x, y = rng.uniform(0, width), y * height
    colour = colours[rng.integers(5)] * rng.uniform(0.75, 1.2) + rng.normal(0, 6, 3)
    kind = rng.integers(4)
    if kind == 0:  # a pebble with a lit top
        turns = np.linspace(0, 2 * np.pi, 11)[:-1]
        radius = size * (1 + 0.25 * rng.normal(size=10))
        shape = np.stack([x + 1.2 * radius * np.cos(turns), y + 0.8 * radius * np.sin(turns)], -1)
        _fill(image, shape + [0.1 * size, 0.3 * size], 0.55 * colour)
        _fill(image, shape, colour)
        _fill(image, [x, y - 0.2 * size] + 0.6 * (shape - [x, y]), 1.15 * colour)
    elif kind == 1:  # a leaf
        turn, slim = rng.uniform(0, np.pi), rng.uniform(0.25, 0.5)
        s = np.linspace(0, 2 * np.pi, 13)[:-1]
        leaf = np.stack([1.6 * size * np.cos(s), slim * size * np.sin(s) * np.abs(np.sin(s))], -1)
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        _fill(image, leaf @ rotation + [x, y], colour)
    elif kind == 2:  # a tuft of blades
        for lean in rng.normal(0, 0.5, 5):
            tip = [x + 2 * size * lean, y - size * rng.uniform(1.2, 2.8)]
            _fill(image, np.array([[x - 0.2 * size, y], tip, [x + 0.2 * size, y]]), colour * rng.uniform(0.8, 1.2))
    else:  # a slab
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size * rng.uniform(0.5, 1.3, 2)
        corners = corners + rng.normal(0, 0.25 * size, (4, 2)) + [x, y]
        _fill(image, corners, 0.8 * colour)
        _fill(image, corners - [0.12 * size, 0.25 * size], colour)


def _fill(image, points, colour):
    points = np.round(np.asarray(points) * 16).astype(np.int32)
    cv2.fillPoly(image, [points], [min(max(c, 0.0), 255.0) for c in colour.tolist()], cv2.LINE_AA, 4)
