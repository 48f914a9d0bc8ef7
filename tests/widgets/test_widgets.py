"""The widgets without a browser: what they draw, what they answer, what stands in for them, what they refuse."""

import subprocess
import sys

import nbformat
import numpy as np
import pytest
from browser.examples import GRID, affinity, clip, explorer, player

from vosnb import show
from vosnb.paths import ROOT
from vosnb.widgets import AffinityExplorer, MaskPlayer, to_html
from vosnb.widgets.affinity_explorer import scaled

FRAMES, MASKS = clip(3)
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.mark.parametrize("make, kind", [(player, "image/png"), (explorer, "image/jpeg")])
def test_stand_in_is_a_picture_with_its_text(make, kind, monkeypatch):
    monkeypatch.setenv("VOSNB_HEADLESS", "0")
    widget = make()
    data, metadata = widget._repr_mimebundle_()
    assert data["text/plain"] == repr(widget) == widget.alt == metadata[kind]["alt"]
    assert data[kind].startswith({"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8"}[kind])
    assert len(data[kind]) <= 300_000
    assert WIDGET_VIEW in data  # JupyterLab with a kernel shows the widget itself
    monkeypatch.setenv("VOSNB_HEADLESS", "1")
    data, metadata = widget._repr_mimebundle_()
    assert set(data) - {"text/html"} == {"text/plain", kind} and metadata[kind]["alt"] == widget.alt


def test_player_renders_the_frame_asked_for():
    widget = player()
    first, last = widget.render({"frame": 0}), widget.render({"frame": 7})
    assert first.dtype == np.uint8 and first.shape == last.shape and (first != last).any()
    assert widget.frame == 0  # a render changes nothing
    widget.frame = 7
    assert (widget.render() == last).all()


def test_player_renders_side_by_side_or_one():
    widget = player()
    assert widget.side_by_side
    alone = widget.render({"side_by_side": False, "chosen": "still"})
    assert widget.render().shape[1] > 1.5 * alone.shape[1]
    assert (alone[: alone.shape[0] - 80] != widget.render({"side_by_side": False})[: alone.shape[0] - 80]).any()


def test_player_opacity_and_fill():
    widget = MaskPlayer(FRAMES, {"truth": MASKS}, alt="Two discs.")
    orange = np.array(show.rgb(show.PALETTE[0]))
    count = lambda **state: (np.abs(widget.render(state).astype(int) - orange).max(-1) <= 2).sum()  # noqa: E731
    opaque, outline = count(alpha=1.0), count(alpha=1.0, fill=False)
    assert opaque > 1000 > 3 * outline > 0
    assert count(alpha=0.0) == outline


def test_player_curves_follow_the_scores():
    scores = [1.0, float("nan"), 0.0]
    widget = MaskPlayer(FRAMES, {"truth": MASKS}, scores={"truth": scores}, alt="Two discs.")
    assert widget.scores == [[1.0, None, 0.0]]
    assert widget.render().shape[0] > MaskPlayer(FRAMES, {"truth": MASKS}, alt="Two discs.").render().shape[0]


def test_frames_travel_as_jpeg_and_masks_exactly():
    import cv2

    widget = player()
    assert all(frame[:2] == b"\xff\xd8" for frame in widget.frames)
    back = cv2.imdecode(np.frombuffer(widget.masks[0][5], np.uint8), cv2.IMREAD_UNCHANGED)
    assert (back == clip()[1][5]).all()
    assert widget.masks[1] == [widget.masks[0][0]] * 8


def test_explorer_answers_every_question():
    asked, sent = [], []

    def probe(i):
        asked.append(i)
        if i == 7:
            raise RuntimeError("no keys")
        return affinity(i)

    widget = explorer(probe)
    widget.send = lambda content, buffers=None: sent.append((content, buffers))
    for cell in (3, 7, 60):
        widget._handle_custom_msg({"type": "probe", "cell": cell}, [])
    (answer, buffers), (failed, _), (outside, _) = sent
    assert answer == {"type": "affinity", "cell": 3}
    assert (np.frombuffer(buffers[0], np.float32).reshape(2, *GRID) == affinity(3)).all()
    assert failed["text"] == "RuntimeError: no keys" and "query cell 60 does not exist" in outside["text"]
    assert asked[1:] == [3, 7]


def test_explorer_brings_the_answer_of_its_first_cell_so_that_a_busy_kernel_is_not_asked():
    asked = []
    widget = explorer(lambda i: asked.append(i) or affinity(i), cell=7)
    assert widget.answered == 7 and asked == [7]
    np.testing.assert_array_equal(np.frombuffer(widget.answer, np.float32), np.float32(affinity(7)).ravel())


def test_explorer_renders_cell_heatmap_and_scales():
    widget = explorer(cell=0)
    seen = [widget.render(), widget.render({"cell": 35}), widget.render({"view": "heatmap"})]
    seen += [widget.render({"scale": scale}) for scale in ("linear", "log")][1:]
    assert all((a != b).any() for i, a in enumerate(seen) for b in seen[:i])
    assert widget.cell == 0 and widget.view == "affinity"


def test_scales():
    values = np.array([0.0, 1e-5, 1e-2, 0.1])
    assert np.allclose(scaled(values, "row", 0.4), values / 0.1)
    assert np.allclose(scaled(values, "linear", 0.4), values / 0.4)
    assert np.allclose(scaled(values, "log", 0.4), [0, 0, 0.75, 1])


def test_explorer_takes_a_torch_probe():
    torch = pytest.importorskip("torch")
    widget = explorer(lambda i: torch.tensor(affinity(i), requires_grad=True))
    assert (widget.affinity(3) == affinity(3)).all()


def test_exported_table_keeps_the_affinity():
    state = explorer().export_state()
    assert state["stride"] == 1
    table = np.frombuffer(state["table"], np.uint8).reshape(60, 2, *GRID)
    back = np.frombuffer(state["peaks"], np.float32)[:, None, None, None] * (table / 255.0) ** 2
    truth = np.stack([affinity(i) for i in range(60)])
    assert np.abs(back - truth).max() < 0.01 * truth.max()


def test_exported_page_needs_nothing_else(tmp_path):
    page = to_html(player(), tmp_path / "player.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page
    assert page.count("<script") == 1 and f'alt="{player().alt}"' in page


def test_stand_ins_pass_nbval_and_keep_their_text(tmp_path):
    """Executed by a program, and stored: then a fresh kernel must agree, picture and text, and a page shows both."""
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    cells = [
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests' / 'browser')!r})\nimport examples",
        "examples.player()",
        "examples.explorer()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    ExecutePreprocessor(timeout=120, kernel_name="python3", store_widget_state=False).preprocess(notebook, {})
    nbformat.write(notebook, tmp_path / "stored.ipynb")
    texts = [[output.data["text/plain"] for output in cell.outputs] for cell in notebook.cells]
    assert texts == [[], [player().alt], [explorer().alt]]
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert f'alt="{player().alt}"' in page
    run = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*run, tmp_path / "stored.ipynb"], capture_output=True, text=True, cwd=tmp_path)
    assert "3 passed" in done.stdout, done.stdout[-2000:]


def some_player(frames=FRAMES, masks=None, **options):
    return MaskPlayer(frames, {"truth": MASKS} if masks is None else masks, alt="Two discs.", **options)


def bare_explorer(**options):
    given = {"query": 2, "memory": [0], "grid": GRID, "probe": lambda i: affinity(i, 1), "alt": "A cell."} | options
    return AffinityExplorer(FRAMES, **given)


BAD = {
    "there are no frames": lambda: some_player([], {}),
    "frame 1 is 40 x 160 but frame 0 is 96 x 160": lambda: some_player([FRAMES[0], FRAMES[1][:40]], {}),
    "a frame must be": lambda: some_player([MASKS[0]], {}),
    "3 frames but 2 masks of 'truth'": lambda: some_player(masks={"truth": MASKS[:2]}),
    "'truth', frame 0: the mask is 96 x 80 but": lambda: some_player(masks={"truth": [m[:, :80] for m in MASKS]}),
    "scores are named 'other'": lambda: some_player(scores={"other": [1, 1, 1]}),
    "3 frames but 1 scores of 'truth'": lambda: some_player(scores={"truth": [1]}),
    "frame 3 does not exist: the clip has frames 0 to 2": lambda: some_player(frame=3),
    "no mask named 'other'": lambda: some_player(chosen="other"),
    "the state has no 'time'": lambda: some_player().render({"time": 1}),
    "frame -1 does not exist": lambda: some_player().render({"frame": -1}),
    "there is no memory": lambda: bare_explorer(memory=[]),
    "frame 9 does not exist": lambda: bare_explorer(memory=[9]),
    r"grid=\(0, 3\) must be": lambda: bare_explorer(grid=(0, 3)),
    r"the heatmap is \(2, 2\) but the grid is \(6, 10\)": lambda: bare_explorer(heatmap=np.eye(2)),
    r"probe\(35\) is \(2, 6, 10\)": lambda: bare_explorer(probe=affinity),
    "there is no heatmap to show": lambda: bare_explorer(view="heatmap"),
    "query cell 60 does not exist": lambda: bare_explorer(cell=60),
    "there is no scale 'cubic'": lambda: bare_explorer().render({"scale": "cubic"}),
    "alt= must say": lambda: MaskPlayer(FRAMES, alt=" "),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_gets_one_clear_sentence(message):
    with pytest.raises(ValueError, match=message) as caught:
        BAD[message]()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize("make", [lambda: MaskPlayer(FRAMES), lambda: AffinityExplorer(FRAMES, query=0, memory=[0])])
def test_text_is_required(make):
    with pytest.raises(TypeError, match="alt"):
        make()
