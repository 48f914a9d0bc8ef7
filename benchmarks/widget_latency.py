"""How long the mask player takes to answer a dragged slider: 60 frames of 480 x 854, two masks side by side.

    python benchmarks/widget_latency.py

In Chromium, through the exported page: from the slider's input event until the frame is drawn, and until the browser
has painted it. Beside it the straightforward way, blending each frame in Python and sending it as a PNG: the kernel's
share alone, without the way to the browser and back (which adds some 10 to 100 ms).
"""

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from vosnb import show
from vosnb.widgets import MaskPlayer, to_html

SIZE, LENGTH = (480, 854), 60
WATCH = """() => {
    const slider = document.querySelector("input.time"), root = document.querySelector(".vosnb");
    const asked = new Map();
    window.answers = [];
    slider.addEventListener("input", () => asked.set(slider.value, performance.now()), { capture: true });
    new MutationObserver(() => {
        const since = asked.get(root.dataset.drawn), drawn = performance.now();
        if (since === undefined) return;
        asked.delete(root.dataset.drawn);
        const painted = () => window.answers.push([drawn - since, performance.now() - since]);
        requestAnimationFrame(() => setTimeout(painted));
    }).observe(root, { attributeFilter: ["data-drawn"] });
}"""


def video(length: int = LENGTH) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A grainy clip with two discs that cross: frames and index masks."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(0, 256, (30, 53, 3), dtype=np.uint8), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    frames, masks = [], []
    for t in range(length):
        mask = np.zeros(SIZE, np.uint8)
        cv2.circle(mask, (150 + 9 * t, 180), 100, 1, -1)
        cv2.circle(mask, (700 - 9 * t, 320), 90, 2, -1)
        frame = np.where(mask[..., None] > 0, 255 - ground, ground)
        grain = rng.normal(0, 4, frame.shape)  # sensor noise, so that frames are as hard to compress as real ones
        frames.append(np.clip(frame + grain, 0, 255).astype(np.uint8))
        masks.append(mask)
    return frames, masks


def drag(page, widget, path: Path, moves: int = 60) -> np.ndarray:
    """Drag the slider of the exported widget from end to end and back; (n, 2) milliseconds to drawn and to painted."""
    page.goto(to_html(widget, path).as_uri())
    page.wait_for_selector(".vosnb[data-drawn]")
    page.evaluate(WATCH)
    slider = page.locator("input.time")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 8, y)
    page.mouse.down()
    for along in [*np.linspace(0, 1, moves), *np.linspace(1, 0, moves)]:
        page.mouse.move(box["x"] + 8 + along * (box["width"] - 16), y)
        page.wait_for_timeout(16)  # a mouse reports about 60 times a second
    page.mouse.up()
    page.wait_for_timeout(500)
    return np.array(page.evaluate("window.answers"))


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))
    from conftest import CHROMIUM, FLAGS
    from playwright.sync_api import sync_playwright

    frames, masks = video()
    widget = MaskPlayer(frames, {"truth": masks, "still": [masks[0]] * LENGTH}, alt="Two discs cross.")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_default_timeout(120_000)
        times = drag(page, widget, Path(folder) / "player.html")
        megabytes = (Path(folder) / "player.html").stat().st_size / 1e6
        browser.close()
    start = time.perf_counter()
    for t in range(5):
        for mask in (masks[t], masks[0]):
            cv2.imencode(".png", show.overlay(frames[t], mask))
    python = (time.perf_counter() - start) / 5 * 1000

    print(
        f"{LENGTH} frames of {SIZE[0]} x {SIZE[1]}, two masks; exported page {megabytes:.1f} MB; {len(times)} answers"
    )
    print("                                     median   95 %")
    for name, column in (("slider to drawn, in the browser", 0), ("slider to painted, in the browser", 1)):
        print(f"{name:36}{np.median(times[:, column]):5.0f} ms{np.percentile(times[:, column], 95):5.0f} ms")
    print(f"{'blend and encode in Python':36}{python:5.0f} ms  (before anything travels)")


if __name__ == "__main__":
    main()
