"""The scribble pad without a browser: strokes in, masks out, undo, files, what it draws and what it refuses."""

import json

import cv2
import numpy as np
import pytest
from browser.examples import Discs, clip, pad

from vosnb import show
from vosnb.methods.scribbles import Scribble, from_davis
from vosnb.widgets import ScribblePad, to_html


def stroke(frame=0, k=1, x=0.25, y=0.5) -> Scribble:
    return Scribble(frame, k, [[x - 0.05, y], [x, y], [x + 0.05, y]])


def message(kind: str, *strokes: Scribble, **content) -> dict:
    """What the browser sends."""
    if strokes:
        content["strokes"] = [{"frame": s.frame, "object": s.object, "path": s.path.tolist()} for s in strokes]
    return {"type": kind, "id": "7", **content}


def labels(widget) -> np.ndarray:
    """The masks as the browser gets them."""
    return np.stack([cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED) for png in widget.labels])


def test_a_stroke_is_answered_on_every_frame():
    widget = pad(Discs())
    assert widget.masks is None and widget.labels == []
    widget._handle_custom_msg(message("add", stroke(frame=3, k=2)), [])
    assert widget.heard == {"id": "7", "trouble": ""}
    assert (widget.masks[:, 48, 40] == 2).all() and (labels(widget) == widget.masks).all()
    assert len(widget.drawings) == 8 and widget.seconds > 0 and widget.waiting == 0
    (scribble,) = widget.scribbles
    assert (scribble.frame, scribble.object) == (3, 2) and (scribble.path == stroke().path).all()


def test_only_what_is_new_goes_to_the_segmenter_and_undo_takes_it_back():
    segmenter = Discs()
    widget = pad(segmenter)
    widget.add([stroke()])
    one = widget.masks
    widget.add([stroke(k=2, x=0.75), stroke(k=0, x=0.5)])
    assert segmenter.asked == [[1], [2, 0]]
    widget._handle_custom_msg(message("undo"), [])
    assert (widget.masks == one).all() and [s.object for s in widget.scribbles] == [1]
    widget.undo()
    assert not widget.masks.any() and widget.scribbles == [] and widget.steps == []
    widget.undo()  # nothing is left
    assert widget.heard["trouble"] == "" and not segmenter.before


def test_a_refused_stroke_stays_and_goes_along_with_the_next():
    segmenter = Discs()
    widget = pad(segmenter)
    widget._handle_custom_msg(message("add", stroke(k=0)), [])
    assert widget.heard["trouble"] == "paint an object too." and widget.waiting == 1
    assert len(widget.scribbles) == len(widget.steps) == 1 and widget.masks is None
    widget._handle_custom_msg(message("add", stroke(k=1, x=0.75)), [])
    assert widget.heard["trouble"] == "" and widget.waiting == 0 and segmenter.asked == [[0, 1]]
    widget.undo()  # one stroke, though both came in with one answer
    assert widget.waiting == 1 and [s.object for s in widget.scribbles] == [0] and not widget.masks.any()
    widget.undo()
    assert widget.waiting == 0 and widget.scribbles == []
    with pytest.raises(ValueError, match="paint an object too"):
        widget.add([stroke(k=0)])
    assert len(widget.scribbles) == 1


def test_an_error_is_told_with_its_kind():
    segmenter = Discs()
    segmenter.add = lambda scribbles: 1 / 0
    widget = pad(segmenter)
    widget._handle_custom_msg(message("add", stroke()), [])
    assert widget.heard["trouble"] == "ZeroDivisionError: division by zero" and widget.waiting == 1


def test_clear():
    widget = pad(Discs(), scribbles=[stroke()])
    widget.add([stroke(frame=5)])
    widget._handle_custom_msg(message("clear"), [])
    assert widget.scribbles == [] and not widget.masks.any() and not labels(widget).any()


def test_without_a_segmenter_strokes_are_collected():
    widget = pad(scribbles=[stroke(), stroke(k=0)])
    widget.add([stroke(frame=7)])
    assert len(widget.scribbles) == 3 and widget.waiting == 0 and widget.seconds is None and widget.labels == []
    widget.undo()
    assert len(widget.scribbles) == 2
    widget.clear()
    assert widget.scribbles == []


def test_more_objects_than_announced():
    widget = pad(scribbles=[stroke(k=5)])
    assert widget.objects == 5
    widget.object = 5


def test_numbers_of_numpy_and_masks_from_before_the_pad():
    segmenter = Discs()
    segmenter.add([stroke(k=2)])
    widget = pad(segmenter)
    assert (widget.masks[:, 48, 40] == 2).all() and (labels(widget) == widget.masks).all()
    widget.add([Scribble(np.int64(1), np.int64(3), stroke(x=0.75).path)])
    json.dumps(widget.steps)  # as they travel
    widget.undo()
    assert (widget.masks[:, 48, 40] == 2).all() and not (widget.masks == 3).any()


def test_files_go_round(tmp_path):
    widget = pad(Discs(), sequence="discs", scribbles=[stroke(frame=6), stroke(frame=2, k=2)])
    path = widget.save(tmp_path / "scribbles.json")
    stored = json.loads(path.read_text())
    assert stored["sequence"] == "discs" and [len(frame) for frame in stored["scribbles"]] == [0, 0, 1, 0, 0, 0, 1, 0]
    other = pad(Discs())
    other._handle_custom_msg(message("load", davis=stored), [])
    assert other.heard["trouble"] == "" and [(s.frame, s.object) for s in other.scribbles] == [(2, 2), (6, 1)]
    assert len(other.steps) == 1  # undone as it came
    assert all((a.path == b.path).all() for a, b in zip(other.scribbles, from_davis(path), strict=True))
    other._handle_custom_msg(message("load", davis={"scribbles": [[]]}), [])
    assert "8" in other.heard["trouble"] and len(other.scribbles) == 2


def test_render_shows_masks_and_ink_of_the_frame():
    widget = pad(Discs(), alpha=1.0)
    bare = widget.render()
    widget.add([stroke(frame=2)])
    orange = np.array(show.rgb(show.PALETTE[0]))
    count = lambda image: (np.abs(image.astype(int) - orange).max(-1) <= 2).sum()  # noqa: E731
    assert count(bare) == 0 and count(widget.render({"frame": 1})) > 1000
    without = show.overlay(clip()[0][2], widget.masks[2], 1.0, scale=420 / 160)
    ink = (widget.render({"frame": 2})[:-40] != without).any(-1)
    y, x = np.nonzero(ink)
    assert 100 < ink.sum() < 1000 and widget.frame == 0
    assert abs(y.mean() / 252 - 0.5) < 0.02 and 0.15 < x.min() / 420 < x.max() / 420 < 0.32  # the stroke, its number


def test_render_tells_objects_and_background_apart():
    inks = [pad(scribbles=[stroke(k=k)]).render()[:-40] for k in (0, 1, 2)]
    assert all((a != b).any(-1).sum() > 50 for i, a in enumerate(inks) for b in inks[:i])


def test_a_dot_is_a_stroke():
    widget = pad(Discs(), scribbles=[Scribble(0, 1, [[0.5, 0.5]])])
    assert (widget.masks[:, 48, 80] == 1).all()
    assert (widget.render() != pad(Discs()).render()).any()


def test_stand_in_and_exported_page(tmp_path):
    widget = pad(Discs(), scribbles=[stroke()])
    data, metadata = widget._repr_mimebundle_()
    assert data["text/plain"] == widget.alt == metadata["image/png"]["alt"] and len(data["image/png"]) < 120_000
    assert widget.live and not widget.export_state()["live"]
    page = to_html(widget, tmp_path / "pad.html").read_text()
    assert page.count("<script") == 1 and "https://" not in page


class Short(Discs):
    def add(self, scribbles):
        return super().add(scribbles)[:5]


BAD = {
    "there are no frames": lambda: ScribblePad([], alt="Nothing."),
    "alt= must say": lambda: ScribblePad(np.zeros((1, 8, 8, 3), np.uint8), alt=""),
    "frame 8 does not exist: the clip has frames 0 to 7": lambda: pad(frame=8),
    "object 3 does not exist: there are 1 to 2": lambda: pad(object=3),
    "frame 9 does not exist": lambda: pad(scribbles=[stroke(frame=9)]),
    "there is no stroke to add": lambda: pad().add([]),
    "answered with 5 masks for 8 frames": lambda: pad(Short(), scribbles=[stroke()]),
    "the mask is 96 x 80 but": lambda: pad(Discs(width=80), scribbles=[stroke()]),
    "the state has no 'time'": lambda: pad().render({"time": 1}),
}


@pytest.mark.parametrize("text", BAD)
def test_bad_input_gets_one_clear_sentence(text):
    with pytest.raises(ValueError, match=text) as caught:
        BAD[text]()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_a_stroke_beyond_the_clip_is_not_kept():
    widget = pad(Discs())
    widget._handle_custom_msg(message("add", stroke(frame=9)), [])
    assert "frame 9 does not exist" in widget.heard["trouble"] and widget.steps == []
