"""The widgets' JavaScript in plain Chromium, through the self-contained HTML file: no server, no kernel."""

import time

import numpy as np
import pytest
from examples import affinity, clip, explorer, player

from vosnb.widgets import MaskPlayer, to_html


def show(page, widget, tmp_path):
    """Open the widget's exported file and wait until it has drawn once."""
    page.goto(to_html(widget, tmp_path / "widget.html").as_uri())
    page.wait_for_selector(".vosnb[data-drawn]")
    return page.locator(".vosnb")


def drawn(page, number: int):
    """Wait until the widget has drawn this frame or cell."""
    page.wait_for_selector(f'.vosnb[data-drawn="{number}"]')


def pixel(page, panel: int, x: float, y: float) -> np.ndarray:
    """The RGB of a panel's canvas at a fraction of its width and height."""
    script = """([panel, x, y]) => {
        const canvas = document.querySelectorAll(".vosnb canvas")[panel];
        return [...canvas.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data]; }"""
    return np.array(page.evaluate(script, [panel, x, y]))[:3]


def point(page, locator, x: float, y: float, click: bool = True):
    """Move the mouse to a fraction of an element's box, and click."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    where = box["x"] + x * box["width"], box["y"] + y * box["height"]
    page.mouse.click(*where) if click else page.mouse.move(*where)


def test_player_draws_frame_and_masks(page, tmp_path):
    widget = player(frame=0, alpha=1.0)
    show(page, widget, tmp_path)
    drawn(page, 0)
    orange, background = np.array([230, 159, 0]), pixel(page, 0, 0.95, 0.05)
    # Inside object 1, left of its number, opaque tint: exactly the palette's colour; outside, the frame.
    assert np.abs(pixel(page, 0, 0.18, 0.35) - orange).max() <= 2
    assert np.abs(background - orange).max() > 40
    assert page.locator("canvas").count() == 2


def test_player_keyboard(page, tmp_path):
    root = show(page, player(), tmp_path)
    root.focus()
    for key, frame in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", 7),
        ("ArrowRight", 7),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        drawn(page, frame)
    assert root.get_attribute("data-shown") == "truth,still"
    page.keyboard.press("2")
    page.wait_for_selector('.vosnb[data-shown="still"]')
    page.keyboard.press("s")
    page.wait_for_selector('.vosnb[data-shown="truth,still"]')
    opacity = page.locator("label input")
    before = float(opacity.input_value())
    page.keyboard.press("-")
    assert float(opacity.input_value()) == pytest.approx(before - 0.05)
    page.keyboard.press("+")
    assert float(opacity.input_value()) == pytest.approx(before)
    page.keyboard.press("f")
    assert page.get_by_role("button", name="fill").get_attribute("aria-pressed") == "false"


def test_player_plays_and_stops(page, tmp_path):
    root = show(page, player(fps=20.0), tmp_path)
    root.focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.vosnb').dataset.drawn > 2")
    page.keyboard.press("Space")
    page.wait_for_timeout(150)
    stopped = root.get_attribute("data-drawn")
    page.wait_for_timeout(300)
    assert root.get_attribute("data-drawn") == stopped


def test_player_is_slow_for_who_wants_little_motion(page, tmp_path):
    page.emulate_media(reduced_motion="reduce")
    show(page, player(fps=20.0), tmp_path)
    start = time.monotonic()
    page.get_by_role("button", name="play").click()
    drawn(page, 2)
    assert time.monotonic() - start > 0.9  # two frames a second, instead of twenty


def test_player_mouse(page, tmp_path):
    show(page, player(), tmp_path)
    point(page, page.locator(".curve svg"), 0.99, 0.5)
    drawn(page, 7)
    point(page, page.locator("input.time"), 0.01, 0.5)
    drawn(page, 0)
    page.get_by_role("button", name="still", exact=True).click()
    page.wait_for_selector('.vosnb[data-shown="still"]')
    assert page.locator("figure:visible").count() == 1
    assert "J" not in page.locator("figcaption:visible").inner_text()  # frame 0 has no score
    point(page, page.locator(".curve svg"), 0.99, 0.5)
    drawn(page, 7)
    assert "still  J 0.20" in page.locator("figcaption:visible").inner_text()


def test_player_of_a_clip_without_masks(page, tmp_path):
    frames, _ = clip(3)
    root = show(page, MaskPlayer(frames, alt="Two discs cross."), tmp_path)
    root.focus()
    page.keyboard.press("End")
    drawn(page, 2)
    assert page.locator(".curve").count() == 0


def test_void_is_hatched_and_missing_masks_are_named(page, tmp_path):
    frames, _ = clip(2)
    void = np.full(frames[0].shape[:2], 255, np.uint8)
    show(page, MaskPlayer(frames, {"void": [void, None]}, alt="A void mask, then none.", alpha=1.0), tmp_path)
    row = np.array([pixel(page, 0, 0.5 + dx / frames[0].shape[1], 0.5) for dx in range(6)])
    assert 1 <= (np.abs(row - 200).max(1) <= 3).sum() <= 3  # two of six pixels along a row are grey lines
    page.locator(".vosnb").focus()
    page.keyboard.press("End")
    drawn(page, 1)
    assert "no mask here" in page.locator("figcaption").inner_text()


def test_explorer_hover_pin_and_keys(page, tmp_path):
    root = show(page, explorer(), tmp_path)
    query, reading = page.locator(".query canvas"), page.locator(".reading")
    point(page, query, 0.35, 0.25, click=False)  # row 1, column 3 of 6 x 10
    drawn(page, 13)
    assert "row 1, column 3" in reading.inner_text()
    assert f"largest affinity {affinity(13).max():.2g} in frame 0, row 1, column 3" in reading.inner_text()
    assert "h = 0.22" in reading.inner_text()
    point(page, query, 0.55, 0.75)  # a click pins: the mouse no longer moves the cell, the keys do
    drawn(page, 45)
    point(page, query, 0.1, 0.1, click=False)
    root.focus()
    page.keyboard.press("ArrowRight")
    drawn(page, 46)
    page.keyboard.press("ArrowUp")
    drawn(page, 36)
    assert "pinned" in reading.inner_text()
    # The memory cell at the same place is the brightest of all, and brighter in frame 0 than in frame 4.
    here, elsewhere = pixel(page, 1, 0.63, 0.54).sum(), pixel(page, 1, 0.05, 0.05).sum()
    assert here > 600 > pixel(page, 2, 0.63, 0.54).sum() > elsewhere


def test_explorer_heatmap_and_scales(page, tmp_path):
    root = show(page, explorer(), tmp_path)
    root.focus()
    before = pixel(page, 0, 0.97, 0.97).sum()
    page.keyboard.press("h")
    page.wait_for_function("document.querySelector('.query figcaption').textContent.includes('heatmap')")
    assert pixel(page, 0, 0.97, 0.97).sum() > before + 100  # h is 1 in the last cell
    dim = pixel(page, 1, 0.75, 0.6).sum()
    page.get_by_role("button", name="log").click()
    page.wait_for_function("document.querySelector('.bar .faint').textContent.includes('e-')")
    assert pixel(page, 1, 0.75, 0.6).sum() > dim
    assert page.get_by_role("button", name="log").get_attribute("aria-pressed") == "true"


def test_explorer_table_is_coarse_when_the_grid_is_fine(page, tmp_path):
    frames, _ = clip(2)
    rows, columns = 48, 80  # 3840 queries x 3840 memory cells would be 15 MB
    from vosnb.widgets import AffinityExplorer

    def probe(i):
        values = np.full((1, rows, columns), 1e-6, np.float32)
        values.flat[i] = 0.5
        return values

    widget = AffinityExplorer(
        frames, query=1, memory=[0], grid=(rows, columns), probe=probe, alt="Each cell finds itself."
    )
    root = show(page, widget, tmp_path)
    assert (tmp_path / "widget.html").stat().st_size < 6e6
    point(page, page.locator(".query canvas"), 0.31, 0.47, click=False)
    page.wait_for_function("document.querySelector('.reading').textContent.includes('column 24')")
    cell = int(root.get_attribute("data-drawn"))
    assert (
        f"row {cell // columns}, column {cell % columns}; largest affinity 0.50 in frame 0, row {cell // columns}"
        in (page.locator(".reading").inner_text())
    )


def test_text_that_looks_like_html_stays_text(page, tmp_path):
    frames, masks = clip(2)
    evil = '</script><img src=x onerror="window.broken = 1">'
    root = show(page, MaskPlayer(frames, {evil: masks}, alt=f"A name {evil} and \u2028 quotes ' \" `${{1}}`"), tmp_path)
    assert page.evaluate("window.broken") is None
    assert evil in root.get_attribute("aria-label")
    assert evil in page.locator("figcaption").inner_text()


def test_player_has_the_pads_keys_too(page, tmp_path):
    root = show(page, player(), tmp_path)
    root.focus()
    for key, frame in ((".", 1), (".", 2), (",", 1)):
        page.keyboard.press(key)
        drawn(page, frame)
    page.keyboard.press("p")
    page.wait_for_function("document.querySelector('.vosnb').dataset.drawn > 1")


@pytest.mark.parametrize("frame", [0, 3, 7])
def test_curve_and_slider_line_up(page, tmp_path, frame):
    show(page, player(frame=frame), tmp_path)
    cursor = page.locator(".curve .cursor").bounding_box()
    slider = page.locator("input.time").bounding_box()
    thumb = slider["x"] + 8 + frame / 7 * (slider["width"] - 16)
    assert cursor["x"] + cursor["width"] / 2 == pytest.approx(thumb, abs=1.5)
    page.locator(".vosnb").screenshot(path=tmp_path / "player.png")
