"""More first frames than one: the object cut out, moved, and pasted onto what was behind it (S1 section 3.1).

The lists that are drawn from, and how, are those of S1's code. Images are (H, W, 3) uint8, masks (H, W).
"""

import cv2
import numpy as np

OBJECT = {
    "angle": (5, -5, 10, -10, 20, -20, 30, -30, 45, -45),
    "flip": (False, False, False, False, True),
    "scale": (0.5, 0.7, 1.0, 1.5, 2.0, 2.5),
    "skew": ((0.0, 0.0), (0.0, 0.0), (0.1, 0.1)),
    "blur": (0.0, 0.0, 0.0, 2.0),
    "blur_angle": (0, 45, 90, 135),
}
BACKGROUND = {"scale": (1.0, 1.0, 1.2), "blur": (0.0, 0.0, 1.0, 2.0, 5.0), "blur_angle": (0, 45, 90, 135)}


def cut_and_inpaint(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The object (H, W, 4) with its mask as alpha, and the frame without it (H, W, 3), after Telea; uint8."""
    mask = (mask > 0).astype(np.uint8)
    hole = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2, 2)))
    return np.dstack([image * mask[..., None], 255 * mask]), cv2.inpaint(image, hole, 1, cv2.INPAINT_TELEA)


def transform(size, box, location=(0.5, 0.5), angle=0.0, flip=False, scale=1.0, skew=(0.0, 0.0), fit=True):
    """(3, 3): mirrored, scaled, turned by an angle in degrees, skewed, its centre moved to `location` (shares of W, H).

    size (H, W); box: centre x, y, width, height of the object. fit: the scale is kept such that the object is no
    larger than the frame and at least 10 pixels wide and high.
    """
    (H, W), (x, y, width, height) = size, box
    if fit:
        scale = min(scale, W / width, H / height) if scale * width > W or scale * height > H else scale
        scale = max(10 / width, 10 / height) if min(scale * width, scale * height) < 10 else scale
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    linear = np.array([[1, skew[0]], [skew[1], 1]]) @ [[c, s], [-s, c]] @ np.diag([-scale if flip else scale, scale])
    T = np.eye(3)
    T[:2, :2], T[:2, 2] = linear, np.array(location) * (W, H) - linear @ (x, y)
    return T


def blur_kernel(blur: float, angle: float) -> np.ndarray:
    """A streak: a Gaussian of variance `blur` along the angle (degrees) and 0.1 across it; (1, 1) for no blur."""
    if blur == 0:
        return np.ones((1, 1), np.float32)
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    R = np.array([[c, s], [-s, c]])
    half = int(blur / 2 + 0.5) // 2 * 2 + 1
    points = np.stack(np.meshgrid(*[np.arange(-half, half + 1)] * 2))
    G = np.exp(-0.5 * (points * np.tensordot(R @ np.diag([1 / blur, 10.0]) @ R.T, points, 1)).sum(0))
    return (G / G.sum()).astype(np.float32)


def warp(image: np.ndarray, T: np.ndarray, G: np.ndarray) -> np.ndarray:
    """Warped (bicubic), then blurred: (H, W, n) float32 in 0..255."""
    image = cv2.warpAffine(image.astype(np.float32), T[:2], image.shape[1::-1], flags=cv2.INTER_CUBIC)
    return cv2.filter2D(image.clip(0, 255), -1, G, borderType=cv2.BORDER_CONSTANT)


def paste(background: np.ndarray, cut: np.ndarray, mask: np.ndarray, T: np.ndarray, G: np.ndarray):
    """The object moved by T, blurred by G, on the background (H, W, 3): image and mask (never blurred), uint8."""
    moved = warp(cut, T, G)
    alpha = moved[..., 3:] / 255
    mask = cv2.warpAffine((mask > 0).astype(np.uint8), T[:2], mask.shape[::-1], flags=cv2.INTER_NEAREST)
    return (moved[..., :3] * alpha + background * (1 - alpha)).astype(np.uint8), mask


def draw(choices: dict, n: int, r: np.random.Generator) -> list[dict]:
    """n settings; each list, repeated until it is long enough, is shuffled by itself."""
    drawn = {}
    for name, values in choices.items():
        values = list(values) * -(-n // len(values))
        drawn[name] = [values[i] for i in r.permutation(len(values))[:n]]
    return [{name: values[i] for name, values in drawn.items()} for i in range(n)]


def grid(n: int, size: tuple[int, int], r: np.random.Generator) -> list[tuple[float, float]]:
    """n places spread over the frame, as shares of width and height: a grid, shaken a little."""
    aspect = size[1] / size[0]
    rows = int(np.ceil((n / aspect) ** 0.5))
    columns = int(np.ceil(aspect * rows))
    places = [((j + 0.5) / columns, (i + 0.5) / rows) for i in range(rows) for j in range(columns)]
    return [(x + r.normal(0, 0.125 / columns), y + r.normal(0, 0.125 / rows)) for x, y in places]


def augment_first_frame(image: np.ndarray, mask: np.ndarray, n: int = 5, seed: int = 0):
    """Frame 0 and n - 1 more like it (S1 section 3.1): images (n, H, W, 3) and masks (n, H, W), uint8.

    The object is cut out and the hole inpainted; then it is warped, blurred and pasted elsewhere. The lists drawn from
    are those of S1's code. Where nothing, or nothing but the object, is left to be seen, another is drawn.
    """
    if n < 1 or not mask.any():
        raise ValueError(f"augmentation: n={n} is at least 1, and the mask must show the object somewhere.")
    r, size, full = np.random.default_rng(seed), mask.shape, (mask > 0).all()
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    box = columns[0] + width / 2, rows[0] + height / 2, width, height
    cut, hole_filled = cut_and_inpaint(image, mask)
    images, masks, tries = [image], [(mask > 0).astype(np.uint8)], 0
    while len(images) < n:
        tries += 1
        if tries > 100:
            raise ValueError("augmentation: the object cannot be placed in the frame.")
        places = grid(n, size, r)
        for object, behind in zip(
            draw(OBJECT | {"location": places}, n - 1, r), draw(BACKGROUND, n - 1, r), strict=True
        ):
            G, G_behind = (blur_kernel(d.pop("blur"), d.pop("blur_angle")) for d in (object, behind))
            whole = size[1] / 2, size[0] / 2, size[1], size[0]
            background = warp(hole_filled, transform(size, whole, **behind, fit=False), G_behind)
            pasted, moved = paste(background, cut, mask, transform(size, box, **object), G)
            if moved.any() and (full or not moved.all()) and len(images) < n:
                images.append(pasted)
                masks.append(moved)
    return np.stack(images), np.stack(masks)
