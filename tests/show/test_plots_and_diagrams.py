"""Plots and diagrams for light and dark pages: contrast, sizes of text, what forest plot and scoreboard show."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vosnb import show
from vosnb.show import diagrams, plots

ALT = "What the figure shows."
LIGHT, DARK = "#FFFFFF", "#111111"  # the grounds of JupyterLab's two themes
ROWS = [
    {"step": "better", "gain": 0.10, "low": 0.05, "high": 0.15, "won": 9, "lost": 3},
    {"step": "who knows", "gain": 0.01, "low": -0.05, "high": 0.06, "paper": 0.04},
    {"step": "worse", "gain": -0.20, "low": -0.30, "high": -0.10, "won": 1, "lost": 11},
]


def luminance(color: str) -> float:
    c = np.array(show.rgb(color)) / 255
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def contrast(a: str, b: str) -> float:
    """As WCAG defines it, 1 to 21."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def rgba(picture) -> np.ndarray:
    image = Image.open(io.BytesIO(picture.png))
    assert image.mode == "RGBA"  # true colour, never a palette
    return np.array(image)


def colored(image, color, within=12) -> np.ndarray:
    return (np.abs(image[..., :3].astype(int) - np.array(show.rgb(color))).max(-1) < within) & (image[..., 3] > 200)


# ---------------------------------------------------------------- contrast


@pytest.mark.parametrize("tone", [show.INK, *show.TONES])
@pytest.mark.parametrize("ground", [LIGHT, DARK])
def test_ink_and_lines_stand_off_from_both_grounds(tone, ground):
    assert contrast(tone, ground) >= (4.3 if tone == show.INK else 3)


def test_no_tone_could_be_better_text_on_both_grounds():
    """The best that one tone can reach is the root of white's contrast to the dark ground: 4.35, below WCAG's 4.5."""
    greys = [f"#{v:02X}{v:02X}{v:02X}" for v in range(256)]
    worst = {grey: min(contrast(grey, LIGHT), contrast(grey, DARK)) for grey in greys}
    assert max(worst.values()) < contrast(LIGHT, DARK) ** 0.5 < 4.5 and worst[show.INK] == max(worst.values())


def test_lines_differ_from_each_other():
    lab = show.contour_colors.__globals__["_lab"](np.array([[show.rgb(tone) for tone in show.TONES]], np.uint8))[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1000 * np.eye(len(lab))
    assert apart.min() > 20


# ---------------------------------------------------------------- style


def test_style_makes_figures_transparent_with_legible_ticks_and_leaves_nothing_behind():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with show.style():
        fig = Figure((5, 3))
        axes = fig.subplots()
        axes.plot([0, 1], [0, 1])
    assert dict(matplotlib.rcParams) == before
    assert all(label.get_fontsize() >= 9 for label in [*axes.get_xticklabels(), *axes.get_yticklabels()])
    picture = show.figure(fig, alt=ALT)
    image = rgba(picture)
    assert (image[..., 3] == 0).mean() > 0.8 and colored(image, show.TONES[0]).any() and colored(image, show.INK).any()
    assert picture.width == 500 < image.shape[1]  # sharper than it is shown
    assert picture._repr_mimebundle_()[1]["image/png"] == {"alt": ALT, "width": 500}


def test_a_figure_without_style_is_as_it_was():
    fig = Figure((3, 2), dpi=100)
    fig.subplots().plot([0, 1])
    picture = show.figure(fig, alt=ALT)
    assert Image.open(io.BytesIO(picture.png)).mode == "RGB" and picture.width is None


# ---------------------------------------------------------------- forest plot


def test_forest_rows_stand_in_order_and_tell_gains_from_losses_and_doubt():
    image = rgba(show.forest(ROWS, alt=ALT))
    middle = lambda color: np.nonzero(colored(image, color))[0].mean()  # noqa: E731
    assert middle(plots.GAIN) < middle(show.TONES[2]) < middle(plots.LOSS)  # better, the paper's tick, worse
    across = lambda color: np.nonzero(colored(image, color))[1].mean()  # noqa: E731
    assert across(plots.LOSS) < across(plots.GAIN)


def test_a_fall_is_a_gain_where_less_is_better():
    fall = {"step": "stolen", "gain": -0.2, "low": -0.3, "high": -0.1}
    seen = {
        better: [
            colored(rgba(show.forest([fall | better_row], alt=ALT)), color).any() for color in (plots.GAIN, plots.LOSS)
        ]
        for better, better_row in (("up", {}), ("down", {"better": "down"}))
    }
    assert seen == {"up": [False, True], "down": [True, False]}


def test_forest_takes_stored_rows_and_any_name():
    import json

    from vosnb.paths import RESULTS

    stored = json.loads((RESULTS / "worlds.json").read_text())["rows"]
    rows = [row for row in stored if row.get("step") and row["list"] == "report"]
    assert show.forest(rows, alt=ALT).alt == ALT
    show.forest(rows[:1], alt=ALT, label=lambda row: f"{row['before']} to {row['after']}")


@pytest.mark.parametrize(
    "message, rows",
    [
        ("at least one row", []),
        ("has no high", [{"step": "a", "gain": 0.1, "low": 0.0}]),
        ("does not hold its gain", [{"step": "a", "gain": 0.5, "low": 0.0, "high": 0.1}]),
        ("no 'step' to be named by", [{"gain": 0.1, "low": 0.0, "high": 0.2}]),
    ],
)
def test_forest_says_what_is_wrong_with_a_row(message, rows):
    with pytest.raises(ValueError, match=message) as caught:
        show.forest(rows, alt=ALT)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


# ---------------------------------------------------------------- scoreboard


def test_the_scoreboard_grows_row_by_row_in_the_order_of_lessons():
    lessons = [lesson for lesson, _, _ in plots.SCOREBOARD]
    assert lessons == sorted(lessons)
    boards = [show.scoreboard(name) for _, name, _ in plots.SCOREBOARD]
    assert [len(board.rows) for board in boards] == list(range(1, len(boards) + 1))
    heights = [rgba(board).shape[0] for board in boards]
    assert heights == sorted(set(heights))


def test_the_scoreboard_shows_stored_numbers_and_says_them_as_text():
    board = show.scoreboard("nearest")
    text = board._repr_mimebundle_()[0]["text/plain"]
    *_, last = text.splitlines()
    row = board.rows[-1]
    assert last.split() == ["nearest", *(f"{row[world]['J']:.2f}" for world in plots.WORLDS), f"{row['fps']:.3g}"]
    assert row["real video"]["tracker"] == "nearest" and row["real video"]["list"] == "report"
    assert text.startswith("Scoreboard of 3 trackers") and "real video: nearest, 0.72" in board.alt


def test_a_tracker_that_is_not_on_the_scoreboard_is_refused():
    with pytest.raises(ValueError, match="'sam' is not on the scoreboard; there are still, "):
        show.scoreboard("sam")


# ---------------------------------------------------------------- diagrams

SVG = "{http://www.w3.org/2000/svg}"


def test_the_matching_diagram_is_svg_with_title_text_and_arrows_as_thick_as_their_weights():
    drawing = show.matching_diagram()
    root = ET.fromstring(drawing.svg)
    assert root.find(f"{SVG}title").text == "Matching with a memory" and root.get("role") == "img"
    words = {element.text: element for element in root.iter(f"{SVG}text")}
    assert {"0.28", "0.62", "0.10", "0.90"} <= set(words)
    assert sum(weight for _, weight in diagrams.WEIGHTS) == pytest.approx(1)
    drawn = [float(p.get("stroke-width")) for p in root.iter(f"{SVG}path") if p.get("stroke-width")]
    by_weight = [w for _, w in diagrams.WEIGHTS]
    assert np.argsort(drawn[:3]).tolist() == np.argsort(by_weight).tolist()
    assert all(float(element.get("font-size")) >= 13 for element in words.values())


def test_the_target_diagram_names_its_parts_in_text_that_is_large_enough():
    root = ET.fromstring(show.target_diagram().svg)
    assert root.find(f"{SVG}title").text == "The target model" and root.get("role") == "img"
    words = {element.text: element for element in root.iter(f"{SVG}text")}
    assert {"w1, 1 × 1", "w2, 3 × 3", "U", "scores"} <= set(words)
    assert all(float(element.get("font-size")) >= 13 for element in words.values())


@pytest.mark.parametrize("diagram", [show.matching_diagram, show.target_diagram])
def test_the_text_of_a_diagram_is_legible_where_it_stands(diagram):
    root = ET.fromstring(diagram().svg)
    for element in root.iter(f"{SVG}text"):
        color, x, y = element.get("fill"), float(element.get("x")), float(element.get("y")) - 4
        below = [
            box.get("fill")
            for box in root.iter(f"{SVG}rect")
            if box.get("fill") != "none"
            and 0 <= x - float(box.get("x")) <= float(box.get("width"))
            and 0 <= y - float(box.get("y")) <= float(box.get("height"))
        ]
        grounds = below[-1:] or [LIGHT, DARK]
        color = {"white": LIGHT}.get(color, color)
        assert min(contrast(color, ground) for ground in grounds) >= 4.3, element.text


def test_a_diagram_shows_in_a_notebook_that_nobody_trusts():
    drawing = show.matching_diagram()
    data, _ = drawing._repr_mimebundle_()
    assert set(data) == {"text/html", "text/plain"} and data["text/plain"] == drawing.alt
    assert (
        data["text/html"].startswith('<img alt="A memory frame') and "data:image/svg+xml;base64," in data["text/html"]
    )
    assert show.matching_diagram().svg == drawing.svg


def test_a_diagram_can_be_saved(tmp_path):
    show.matching_diagram().save(tmp_path / "matching.svg")
    assert (tmp_path / "matching.svg").read_text().startswith("<svg")
