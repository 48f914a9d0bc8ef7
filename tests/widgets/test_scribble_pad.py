"""The scribble pad without a browser: strokes in, masks out, undo, files, what it draws and what it refuses."""

import asyncio
import json
import zipfile

import cv2
import numpy as np
import pytest
from browser.examples import Discs, Slow, clip, pad
from click.testing import CliRunner

from vosnb import show
from vosnb.cli import main
from vosnb.clips import open_clip, palette, read_mask, write_frame
from vosnb.clips.video import Video
from vosnb.methods.scribbles import Scribble, from_davis
from vosnb.trackers.grabcut import GrabCutSegmenter
from vosnb.widgets import ScribblePad, scribble_pad, to_html


def stroke(frame=0, k=1, x=0.25, y=0.5) -> Scribble:
    return Scribble(frame, k, [[x - 0.05, y], [x, y], [x + 0.05, y]])


BOX = Scribble(0, 1, [(0.42, 0.1), (0.08, 0.6)], box=True)  # around the first disc of frame 0


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


def test_boxes_go_round_and_are_counted(tmp_path):
    widget = pad(Discs(), scribbles=[BOX])
    widget.add([stroke(frame=1), stroke(k=0)])
    assert widget._reading().startswith("1 box, 2 strokes on frames 0, 1; answer in ")
    assert [step.get("box") for step in sum(widget.steps, [])] == [True, None, None]
    other = pad()
    other.load(widget.save(tmp_path / "boxes.json"))
    assert sorted(s.box for s in other.scribbles) == [False, False, True]
    widget.clear()
    assert widget._reading() == "0 strokes"
    widget._handle_custom_msg({"type": "add", "id": "7", "strokes": [other.steps[0][0]]}, [])
    assert widget.heard["trouble"] == "" and widget._reading().startswith("1 box on frame 0")


@pytest.mark.parametrize("k", [1, 2])
def test_a_box_is_drawn_as_a_dashed_rectangle(k):
    box = Scribble(0, k, [(0.9, 0.1), (0.6, 0.9)], box=True)
    bare, drawn = (pad(scribbles=boxes).render()[:-40] for boxes in ((), [box]))
    color = np.array(show.rgb(show.PALETTE[k - 1]))
    ink = (np.abs(drawn.astype(int) - color).max(-1) <= 2) & (bare != drawn).any(-1)
    left, top, right, bottom = (np.array([0.6, 0.1, 0.9, 0.9]) * (480, 288, 480, 288)).round().astype(int)
    for side in (ink[top - 2 : top + 2, left:right].any(0), ink[top:bottom, right - 2 : right + 2].any(1)):
        assert 0.4 < side.mean() < 0.8 and (np.diff(side.astype(int)) == 1).sum() >= 3  # dashes, one after the other
    assert not ink[top + 5 : bottom - 5, left + 5 : right - 5].any()


def test_the_tool_is_told_in_the_picture_and_no_other_is_taken():
    widget = pad(tool="box")
    stroke, box, ground = (
        widget.render({"tool": t, "object": k})[-40:] for t, k in (("stroke", 1), ("box", 1), ("box", 0))
    )
    assert (stroke != box).any() and (ground == widget.render({"tool": "stroke", "object": 0})[-40:]).all()


# ------------------------------------------------------------------------------- redo, advice, what comes by and by


def test_redo_brings_back_what_undo_took(monkeypatch):
    segmenter = Discs()
    widget = pad(segmenter)
    widget._handle_custom_msg(message("add", stroke(k=0)), [])  # refused
    widget.add([stroke(k=2, x=0.75)])
    whole = widget.masks
    widget.undo()
    widget.undo()
    assert widget.scribbles == [] and not widget.masks.any()
    widget._handle_custom_msg(message("redo"), [])
    assert widget.waiting == 1 and not widget.masks.any()  # it had no answer
    widget.redo()
    assert (widget.masks == whole).all() and widget.waiting == 0 and segmenter.asked == [[0, 2], [0, 2]]
    widget.redo()  # nothing is left
    assert len(widget.scribbles) == 2
    widget.clear()
    widget.redo()
    assert [s.object for s in widget.scribbles] == [0]
    widget.add([stroke()])
    widget.redo()  # what comes after a new stroke is gone
    assert [s.object for s in widget.scribbles] == [0, 1]


def test_a_segmenter_that_can_redo_is_not_asked_again():
    segmenter = Discs()
    widget = pad(segmenter, scribbles=[stroke()])
    answer = widget.masks
    segmenter.redo = lambda: answer
    known = widget.answers
    widget.undo()
    assert widget.answers == known + 1
    widget.redo()
    assert segmenter.asked == [[1]] and (widget.masks == answer).all() and widget.waiting == 0
    assert widget.answers == known + 2


def test_the_frame_that_is_farthest_is_next_where_the_segmenter_does_not_know():
    widget = pad(Discs())
    assert widget.suggest().startswith("Frame 0: nothing is painted yet")
    widget.add([stroke(frame=1)])
    assert widget.advice == ""
    widget._handle_custom_msg(message("suggest"), [])
    assert widget.frame == 7 and "as far from the frames with strokes (1)" in widget.advice
    widget.add([stroke(frame=t) for t in range(8)])
    assert "every frame has strokes already" in widget.suggest()
    widget = pad(Slow())
    assert widget.suggest() == "Frame 5: the two discs meet there." and widget.frame == 5
    widget._segmenter.suggest = lambda: None
    assert widget.suggest() == "Frame 5: nothing is painted yet, and you may begin on any frame."


def test_without_a_loop_the_answer_is_carried_when_one_says_so():
    widget = pad(Slow(), scribbles=[stroke(frame=3)])
    assert [mask.any() for mask in widget.masks] == [t == 3 for t in range(8)]
    assert (widget.carried, widget.total) == (0, 8) and "carried through the clip: 0%" in widget._reading()
    widget.propagate()
    assert widget.masks.any((1, 2)).all() and (labels(widget) == widget.masks).all()
    assert (widget.carried, widget.total) == (8, 8) and "carried" not in widget._reading()
    widget.propagate()  # nothing is left
    assert widget._segmenter.begun == widget._segmenter.ended == 1
    widget.undo()
    assert widget.carried < widget.total  # other frames have masks of what was taken back
    widget.propagate()
    assert widget._segmenter.begun == 2 and not widget.masks.any()
    plain = pad(Discs(), scribbles=[stroke()])
    plain.propagate()
    assert plain.total == 0


def test_steps_that_come_fast_are_shown_now_and_then():
    widget = pad(Slow(), scribbles=[stroke()])
    kept = []
    widget._keep = lambda masks: kept.append(masks) or ScribblePad._keep(widget, masks)
    widget.propagate()
    assert len(kept) == 2 and widget.carried == 8 and (widget.masks == widget._segmenter.masks).all()


def until(condition, seconds: float = 5):
    """Let the loop run until this holds."""

    async def wait():
        while not condition():
            await asyncio.sleep(0.001)

    return asyncio.wait_for(wait(), seconds)


def test_in_a_loop_it_is_carried_between_strokes(monkeypatch):
    monkeypatch.setenv("VOSNB_HEADLESS", "0")
    monkeypatch.setattr(scribble_pad, "SHOWN_EVERY", 0)

    async def session():
        slow = Slow()
        widget = pad(slow)
        widget._handle_custom_msg(message("add", stroke()), [])
        assert (widget.carried, widget.total, slow.begun) == (0, 8, 0)  # not before the answer is out
        await until(lambda: widget.carried == 2)
        widget._handle_custom_msg(message("add", stroke(k=2, x=0.75)), [])
        assert slow.closed == 1 and widget.carried == 0 and widget.heard["trouble"] == ""
        await until(lambda: widget.carried == 1)
        for kind, begun in (("undo", 3), ("redo", 4)):
            widget._handle_custom_msg(message(kind), [])
            await until(lambda: widget.carried == 3)
            assert slow.begun == begun
        widget._handle_custom_msg(message("hold"), [])  # a stroke is being drawn
        await asyncio.sleep(0.05)
        assert widget.carried == 3
        widget._handle_custom_msg(message("go on"), [])  # it was dropped
        await until(lambda: widget.carried == 4)
        widget.propagate()  # goes on with what has begun
        assert slow.begun == 4 and slow.ended == 1 and widget.carried == 8 and widget._task is None
        widget._handle_custom_msg(message("clear"), [])
        await until(lambda: widget.carried == 8)
        assert slow.begun == 5 and not widget.masks.any()
        slow.propagate = broken
        widget._handle_custom_msg(message("add", stroke()), [])
        await until(lambda: widget.heard["trouble"])
        assert widget.heard["trouble"] == "the masks are carried no farther: ZeroDivisionError: division by zero"
        assert widget.carried == 1 and widget._task is None
        with pytest.raises(ZeroDivisionError):
            widget.propagate()

    def broken():
        yield 1, 8, np.zeros((8, 96, 160), np.uint8)
        1 / 0  # noqa: B018

    asyncio.run(session())


def test_where_nobody_looks_on_nothing_is_carried_by_itself(monkeypatch):
    monkeypatch.setenv("VOSNB_HEADLESS", "1")

    async def session():
        widget = pad(Slow(), scribbles=[stroke()])
        await asyncio.sleep(0.05)
        assert (widget.carried, widget.total, widget._segmenter.begun) == (0, 8, 0)

    asyncio.run(session())


# ------------------------------------------------------------------------------------------------------------ files


def test_all_masks_as_zip_video_and_coco_are_carried_to_the_end_first(tmp_path):
    widget = pad(Slow(), sequence="discs", fps=5.0, scribbles=[stroke(k=3)])
    path = widget.save_zip(tmp_path / "masks.zip")
    assert widget.carried == 8
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    assert all((read_mask(tmp_path / f"{t:05d}.png") == widget.masks[t]).all() for t in range(8))
    film = Video(widget.save_video(tmp_path / "overlay.mp4"))
    assert (film.length, film.fps) == (8, 5.0)
    content = json.loads(widget.save_coco(tmp_path / "coco.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [f"{t:05d}.png" for t in range(8)]
    assert [a["area"] for a in content["annotations"]] == [(mask == 3).sum() for mask in widget.masks]
    assert {a["attributes"]["track_id"] for a in content["annotations"]} == {3}
    for save in (pad().save_zip, pad().save_coco, pad().save_video):
        with pytest.raises(ValueError, match="there is no mask yet"):
            save(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_the_browser_gets_files(monkeypatch):
    widget = pad(Slow(), sequence="two/discs", frame=1, scribbles=[stroke(frame=1)])
    sent = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append((content, buffers)))
    for what in ("mask", "masks", "scribbles", "video", "coco"):
        widget._handle_custom_msg(message("save", what=what), [])
        assert widget.heard == {"id": "7", "trouble": ""}
    assert [content["name"].partition("-")[2] for content, _ in sent] == [
        "00001.png",
        "masks.zip",
        "scribbles.json",
        "overlay.mp4",
        "coco.json",
    ]
    assert all(content["id"] == "7" and "/" not in content["name"] and data for content, (data,) in sent)
    widget._handle_custom_msg(message("save", what="kernel"), [])
    assert "cannot save that" in widget.heard["trouble"] and len(sent) == 5


def test_a_brush_is_kept_in_files_and_drawn_as_wide(tmp_path):
    wide, plain = Scribble(0, 1, [[0.3, 0.5], [0.7, 0.5]], width=20), Scribble(0, 1, [[0.3, 0.5], [0.7, 0.5]])
    widget = pad(scribbles=[wide])
    assert widget.steps[0][0]["width"] == 20 and widget.brush == 1
    (read,) = from_davis(widget.save(tmp_path / "scribbles.json"))
    assert read.width == 20
    widget._handle_custom_msg({"type": "add", "id": "7", "strokes": [widget.steps[0][0]]}, [])
    assert widget.scribbles[1].width == 20
    bare = pad().render()
    inks = [(pad(scribbles=[one]).render() != bare)[:-40].any(-1).any(1).sum() for one in (plain, wide)]
    assert inks[0] < 25 < 55 < inks[1] < 70  # 20 pixels, magnified 3 times
    with pytest.raises(ValueError, match="brush"):
        pad(brush=41)


# ------------------------------------------------------------------------------------------------------------ masks


def test_from_a_box_to_a_saved_mask_that_run_takes(tmp_path):
    for t, frame in enumerate(clip()[0]):
        write_frame(tmp_path / "clip" / f"shot{t}.png", frame)
    frames = open_clip(tmp_path / "clip").frames[:1]
    widget = ScribblePad(frames, GrabCutSegmenter(frames), alt="Two discs; the first is to be followed.")
    widget.add([BOX])
    path = widget.save_mask(tmp_path / "new" / "first_mask.png")
    assert (read_mask(path) == widget.masks[0]).all() and (widget.masks[0] == 1).sum() > 500
    colours = cv2.imread(str(path))[..., ::-1]
    assert (colours[widget.masks[0] == 1] == palette()[1]).all()  # what one sees of it
    command = ["run", str(tmp_path / "clip"), "--mask", str(path), "--out", str(tmp_path / "out"), "--tracker", "still"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert (read_mask(tmp_path / "out" / "shot7.png") == widget.masks[0]).all()


def test_masks_of_the_frames_with_strokes_are_saved_under_the_frames_names(tmp_path):
    widget = pad(GrabCutSegmenter(clip()[0]), scribbles=[BOX, Scribble(4, 2, [[0.5, 0.7]]), Scribble(5, 0, [[0, 0]])])
    assert [p.name for p in widget.save_masks(tmp_path)] == ["00000.png", "00004.png"]
    named = widget.save_masks(tmp_path, [f"shot{t}" for t in range(8)])
    assert [p.name for p in named] == ["shot0.png", "shot4.png"] and (read_mask(named[1]) == widget.masks[4]).all()
    widget.frame = 4
    assert (read_mask(widget.save_mask(tmp_path / "shown.png")) == widget.masks[4]).all()
    with pytest.raises(ValueError, match="2 names for 8 frames"):
        widget.save_masks(tmp_path, ["a", "b"])


NO_MASK = {
    "there is no mask yet": lambda: pad(scribbles=[BOX]),
    "the mask of frame 0 is empty": lambda: pad(GrabCutSegmenter(clip()[0]), scribbles=[Scribble(3, 1, [[0.5, 0.5]])]),
    "the mask of frame 3 is empty": lambda: pad(GrabCutSegmenter(clip()[0]), scribbles=[BOX], frame=3),
    "have no answer yet": lambda: refused(pad(Discs(), scribbles=[BOX])),
}


def refused(widget):
    """A pad whose last stroke waits for its answer."""
    widget._segmenter.add = lambda scribbles: 1 / 0
    widget._handle_custom_msg(message("add", stroke()), [])
    return widget


@pytest.mark.parametrize("text", NO_MASK)
def test_where_there_is_no_mask_none_is_written(text, tmp_path):
    with pytest.raises(ValueError, match=text):
        NO_MASK[text]().save_mask(tmp_path / "mask.png")
    with pytest.raises(ValueError):
        pad().save_masks(tmp_path)
    with pytest.raises(ValueError, match="frame 8 does not exist"):
        pad(Discs(), scribbles=[BOX]).save_mask(tmp_path / "mask.png", 8)
    assert not list(tmp_path.iterdir())


def test_only_what_changed_is_drawn_anew(monkeypatch):
    widget = pad(GrabCutSegmenter(clip()[0]), scribbles=[BOX])
    drawn, known = [], widget.drawings
    monkeypatch.setattr("vosnb.widgets.base.label_png", lambda mask: drawn.append(mask) or b"new")
    widget.add([Scribble(4, 2, [[0.5, 0.7]])])
    assert len(drawn) == 1 and [t for t, png in enumerate(widget.labels) if png == b"new"] == [4]
    assert widget.drawings[:4] == known[:4] and widget.drawings[4] != known[4]


def test_render_shows_masks_and_ink_of_the_frame():
    widget = pad(Discs(), alpha=1.0)
    bare = widget.render()
    widget.add([stroke(frame=2)])
    orange = np.array(show.rgb(show.PALETTE[0]))
    count = lambda image: (np.abs(image.astype(int) - orange).max(-1) <= 2).sum()  # noqa: E731
    assert count(bare) == 0 and count(widget.render({"frame": 1})) > 1000
    without = show.overlay(clip()[0][2], widget.masks[2], 1.0, scale=480 / 160)
    ink = (widget.render({"frame": 2})[:-40] != without).any(-1)
    y, x = np.nonzero(ink)
    assert 100 < ink.sum() < 1000 and widget.frame == 0
    assert abs(y.mean() / 288 - 0.5) < 0.02 and 0.15 < x.min() / 480 < x.max() / 480 < 0.32  # the stroke, its number


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
    assert data["text/plain"] == widget.alt == metadata["image/jpeg"]["alt"] and len(data["image/jpeg"]) < 300_000
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
    "there is no tool 'lasso': choose stroke, eraser or box": lambda: pad(tool="lasso"),
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


ODD = {"frame": 0, "object": 1, "path": [[0.5, 0.5]]}


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        "undo",
        {},
        {"type": None},
        {"type": ["add"]},
        {"type": "save"},
        {"type": "add"},
        {"type": "add", "strokes": None},
        {"type": "add", "strokes": "ink"},
        {"type": "add", "strokes": {"0": ODD}},
        {"type": "add", "strokes": []},
        {"type": "load"},
        {"type": "load", "davis": None},
        {"type": "load", "davis": "/etc/passwd"},
        {"type": "load", "davis": {"scribbles": [[{"object_id": 1, "path": [[0.5, 0.5]], "box": True}]] * 8}},
        *(
            {"type": "add", "strokes": [wrong]}
            for wrong in (
                None,
                [],
                "ink",
                {},
                {"frame": 0, "object": 1},
                *(ODD | {"frame": t} for t in (8, -1, "0", None, 10**30, [0])),
                *(ODD | {"object": k} for k in (255, -1, "1", None, 1.5)),
                *(ODD | {"path": p} for p in (None, 3, "path", [], [[]], [[2, 2]], [[10**400, 0]], [["x", "y"]], {})),
                *(ODD | {"box": b} for b in (True, 1, "yes", None)),
                *(ODD | {"width": w} for w in (0, 41, 2.5, "wide", True, [1])),
            )
        ),
    ],
)
def test_whatever_the_browser_sends_is_answered(sent):
    widget = pad(Discs(), scribbles=[stroke()])
    masks = widget.masks
    widget._handle_custom_msg(sent, [])
    trouble = widget.heard["trouble"]
    assert trouble.endswith(".") and "Error" not in trouble and "\n" not in trouble
    assert len(widget.scribbles) == 1 and widget.masks is masks
