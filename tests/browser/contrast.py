"""How well text and ink stand off from their ground, as WCAG counts it: 1 is not at all, 21 is black on white."""

import cv2
import numpy as np

# Every visible text in `root`: [text, its colour, the colours under it], blended with all that shines through.
TEXTS = """(root) => {
    const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = color;
        pen.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], [R, G, B]) => [a * r + (1 - a) * R, a * g + (1 - a) * G, a * b + (1 - a) * B];
    const found = [];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const [text, element] = [walker.currentNode.textContent.trim(), walker.currentNode.parentElement];
        if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
        const look = getComputedStyle(element);
        const color = rgba(element.closest("svg") ? look.fill : look.color);
        const grounds = [];
        for (let above = element; above; above = above.parentElement) {
            grounds.push(rgba(getComputedStyle(above).backgroundColor));
            color[3] *= getComputedStyle(above).opacity;
            if (grounds.at(-1)[3] === 1) break;
        }
        const ground = grounds.reduceRight((below, one) => over(one, below), [255, 255, 255]);
        found.push([text.slice(0, 60), over(color, ground), ground]);
    }
    return found;
}"""


def luminance(color) -> float:
    """Relative luminance of an sRGB colour, three numbers from 0 to 255."""
    c = np.asarray(color, float) / 255
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))


def ratio(one, other) -> float:
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def faint(locator) -> list[str]:
    """The visible texts in an element that stand off less than WCAG asks of text; of a sign, such as a tick, it asks
    less, and so the word beside it must say the same."""
    found = [(text, color, ground, ratio(color, ground)) for text, color, ground in locator.evaluate(TEXTS)]
    return [f"{r:.2f} : 1 has {text!r}, {color} on {ground}" for text, color, ground, r in found if r < least(text)]


def least(text: str) -> float:
    return 3.0 if text in ("✓", "✗", "·") else 4.5


def pixels(png: bytes) -> np.ndarray:
    """A PNG as (H, W, 3) uint8 RGB."""
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
