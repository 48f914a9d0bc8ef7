"""Scribbles: drawn as davisinteractive draws them, there and back through its json, and what a segmenter learns."""

import json

import numpy as np
import pytest

from vosnb.clips import ClipError
from vosnb.clips import scribbles as scribbles_file
from vosnb.methods.scribbles import Scribble, boxes, bresenham, draw, from_davis, select, to_davis
from vosnb.paths import ROOT

ORACLE = np.load(ROOT / "tests" / "oracles" / "interactive.npz")

SIZE = (40, 60)


def scribbles_of(name):
    """The scribbles in an oracle's flat arrays."""
    paths = np.split(ORACLE[f"{name}_paths"], np.cumsum(ORACLE[f"{name}_lens"])[:-1])
    return [
        Scribble(ORACLE[f"{name}_annotated"].item(), k, path)
        for k, path in zip(ORACLE[f"{name}_ids"].tolist(), paths, strict=True)
    ]


@pytest.mark.parametrize("name", [f"{robot}_frame{t}" for robot in ("service", "default") for t in (None, 2)])
def test_ink_is_davisinteractive_s(name):
    scribbles = scribbles_of(name)
    np.testing.assert_array_equal(draw(scribbles, (120, 200)), ORACLE[f"{name}_mask"])
    np.testing.assert_array_equal(draw(scribbles, (120, 200), joined=False), ORACLE[f"{name}_mask_nobres"])


def test_lines_are_davisinteractive_s():
    np.testing.assert_array_equal(bresenham(ORACLE["bresenham_in"]), ORACLE["bresenham_out"])


def test_a_line_leaves_no_gap_and_stays_within_half_a_pixel():
    corners = np.random.default_rng(0).integers(-30, 30, (50, 2))
    for a, b in zip(corners[:-1], corners[1:], strict=True):
        line = bresenham([a, b])
        assert (line[0] == a).all() and (line[-1] == b).all()
        assert len(line) == abs(b - a).max() + 1 and (abs(np.diff(line, axis=0)).max(1, initial=0) <= 1).all()
        exact = a + np.linspace(0, 1, len(line))[:, None] * (b - a)
        assert abs(line - exact).max() < 0.5 + 1e-9


def test_points_alone_leave_gaps_that_lines_fill():
    stroke = Scribble(0, 2, [[0, 0], [1, 1]])
    assert (draw([stroke], SIZE, joined=False) == 2).sum() == 2
    assert (draw([stroke], SIZE) == 2).sum() == 60


def test_later_ink_covers_earlier_and_thick_ink_holds_thin():
    strokes = [Scribble(0, 1, [[0.1, 0.5], [0.9, 0.5]]), Scribble(3, 0, [[0.5, 0.1], [0.5, 0.9]])]
    thin, thick = draw(strokes, SIZE), draw(strokes, SIZE, thickness=5)
    assert thin[19, 29] == 0 and thin[19, 20] == 1 and thin.dtype == thick.dtype == np.int16
    assert (thick[thin >= 0] >= 0).all() and (thick >= 0).sum() > 4 * (thin >= 0).sum()
    assert (thick[17:22, 15] == 1).all() and (thick[[15, 23], 15] == -1).all()
    assert (draw([], SIZE) == -1).all()
    corner = [Scribble(0, 1, [[1.0, 1.0]])]
    assert np.argwhere(draw(corner, SIZE) == 1).tolist() == [[39, 59]]
    assert draw(corner, SIZE, thickness=3)[39, 59] == 1


@pytest.mark.parametrize("width", [1, 2, 3, 8, 15, 40])
def test_a_brush_covers_what_is_within_half_its_width(width):
    path = np.array([(0.21, 0.5), (0.61, 0.7)])
    ink = draw([Scribble(0, 2, path, width=width)], (120, 200))
    y, x = np.mgrid[:120, :200] + 0.5
    start, way = path[0] * (200, 120), (path[1] - path[0]) * (200, 120)
    along = np.clip(((x - start[0]) * way[0] + (y - start[1]) * way[1]) / (way @ way), 0, 1)
    far = np.hypot(x - start[0] - along * way[0], y - start[1] - along * way[1])
    assert (ink[far < width / 2 - 1] == 2).all() and (ink[far > width / 2 + 1.5] == -1).all()
    dot = np.argwhere(draw([Scribble(0, 1, [(0.999, 0.0)], width=width)], (120, 200)) == 1)
    assert dot.min(0)[0] == 0 and dot.max(0)[1] == 199


@pytest.mark.parametrize("width", [0, 41, -3, 1.5, "3", True])
def test_a_width_that_cannot_be_is_refused(width):
    with pytest.raises(ValueError, match="1 to 40"):
        Scribble(0, 1, [(0.5, 0.5)], width=width)


# ------------------------------------------------------------------------------------------------------------- json


def test_json_holds_scribbles_there_and_back(tmp_path):
    strokes = [*scribbles_of("service_frame2"), Scribble(0, np.int64(7), [[0, 1 / 3]])]
    file = tmp_path / "strokes.json"
    file.write_text(json.dumps(to_davis(strokes, 6, "clip")))
    data = json.loads(file.read_text())
    assert data["sequence"] == "clip" and [len(frame) for frame in data["scribbles"]] == [1, 0, 5, 0, 0, 0]
    for back in (from_davis(data, frames=6), from_davis(file), from_davis(str(file))):
        expected = [strokes[-1], *strokes[:-1]]
        assert [(s.frame, s.object) for s in back] == [(s.frame, s.object) for s in expected]
        assert all((a.path == b.path).all() for a, b in zip(back, expected, strict=True))


def test_boxes_are_kept_and_files_without_them_are_as_ever():
    line, box = Scribble(0, 1, [[0.1, 0.2], [0.3, 0.1]]), Scribble(1, 2, [[0.3, 0.1], [0.1, 0.2]], box=True)
    data = json.loads(json.dumps(to_davis([line, box], 2, "clip")))
    assert data["scribbles"][0] == [{"path": [[0.1, 0.2], [0.3, 0.1]], "object_id": 1}]
    assert data["scribbles"][1] == [{"path": [[0.3, 0.1], [0.1, 0.2]], "object_id": 2, "box": True}]
    assert [s.box for s in from_davis(data)] == [False, True]
    assert (draw([box], SIZE) == -1).all()  # no ink


@pytest.mark.parametrize(
    ("k", "path", "box", "says"),
    [
        (1, [[0, 0]], True, "two opposite corners"),
        (1, [[0, 0], [0.5, 0.5], [1, 1]], True, "two opposite corners"),
        (1, [[0, 0.5], [1, 0.5]], True, "two opposite corners"),
        (0, [[0, 0], [1, 1]], True, "around an object"),
        (1, [[0, 0], [1, 1]], 2, "box"),
        (1, [[0, 0], [1, 1]], None, "box"),
    ],
)
def test_what_is_no_box_is_told(k, path, box, says):
    for make in (
        lambda: Scribble(0, k, path, box),
        lambda: from_davis({"scribbles": [[{"object_id": k, "path": path, "box": box}]]}),
    ):
        with pytest.raises(ValueError, match=says):
            make()


def test_the_benchmark_s_own_files_hold_more_and_are_read():
    stroke = {"path": [[0.5, 0.25]], "object_id": 1, "start_time": 0.0, "end_time": 2.5}
    (found,) = from_davis({"scribbles": [[], [stroke]], "sequence": "bear", "annotated_frame": 1})
    assert (found.frame, found.object, found.path.tolist()) == (1, 1, [[0.5, 0.25]])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "damaged: .*object"),
        ({"sequence": "x"}, "scribbles: field required"),
        ({"scribbles": {"0": []}}, "scribbles: .* array"),
        ({"scribbles": [[], None]}, r"scribbles\.1: .* array"),
        ({"scribbles": [[], [{"path": [[0, 0]]}]]}, r"scribbles\.1\.0\.object_id: field required"),
        ({"scribbles": [["ink"]]}, r"scribbles\.0\.0: "),
        ({"scribbles": [[{"object_id": 1, "path": []}]]}, r"scribbles\.0\.0\.path: .*at least 1 item"),
        ({"scribbles": [[{"object_id": 1, "path": [[1, 2, 3]]}]]}, r"path\.0: .*at most 2 items"),
        ({"scribbles": [[{"object_id": 1, "path": [[0.1], [0.1, 0.2]]}]]}, r"path\.0: .*at least 2 items"),
        ({"scribbles": [[{"object_id": 1, "path": [["a", "b"]]}]]}, r"path\.0\.0: .*valid number"),
        ({"scribbles": [[{"object_id": 1, "path": [[120, 80]]}]]}, "fractions"),
        ({"scribbles": [[{"object_id": 1, "path": [[float("nan"), 0]]}]]}, "fractions"),
        ({"scribbles": [[{"object_id": "1", "path": [[0, 0]]}]]}, "object_id: .*valid integer"),
        ({"scribbles": [[{"object_id": -1, "path": [[0, 0]]}]]}, "object is a whole number"),
        ({"scribbles": [[{"object_id": 255, "path": [[0, 0]]}]]}, "object is one of 0 to 254"),
    ],
)
def test_what_is_wrong_in_a_json_is_told(data, says, tmp_path):
    file = tmp_path / "strokes.json"
    file.write_text(json.dumps(data))
    with pytest.raises(ClipError, match=says) as told:
        from_davis(file)
    assert "strokes.json" in str(told.value)
    if isinstance(data, dict):
        with pytest.raises(ClipError):
            from_davis(data)


def test_scribbles_have_limits(tmp_path, monkeypatch):
    file = tmp_path / "strokes.json"
    file.write_text(json.dumps({"scribbles": [[{"object_id": 1, "path": [[0, 0]] * 20}]]}))
    monkeypatch.setattr(scribbles_file, "MAX_POINTS", 19)
    with pytest.raises(ClipError, match="more than 19 points"):
        from_davis(file)
    monkeypatch.setattr(scribbles_file, "MAX_BYTES", 100)
    with pytest.raises(ClipError, match="too large for scribbles"):
        from_davis(file)
    file.write_text('{"scribbles": ' + "[" * 100000)
    monkeypatch.undo()
    with pytest.raises(ClipError, match="damaged"):
        from_davis(file)


def test_what_does_not_fit_is_told(tmp_path):
    with pytest.raises(ValueError, match="is missing"):
        from_davis(tmp_path / "missing.json")
    (tmp_path / "cut.json").write_text('{"scribbles": [')
    with pytest.raises(ValueError, match="cut.json is damaged: it is no json"):
        from_davis(tmp_path / "cut.json")
    with pytest.raises(ValueError, match="clip of 2 frames, and this one has 5"):
        from_davis({"scribbles": [[], []]}, frames=5)
    with pytest.raises(ValueError, match="on frame 5, but the clip ends with frame 4"):
        to_davis([Scribble(5, 1, [[0, 0]])], 5, "clip")
    with pytest.raises(ValueError, match="frame is a whole number"):
        Scribble(0.5, 1, [[0, 0]])
    with pytest.raises(ValueError, match="different sizes"):
        select(draw([], SIZE), np.zeros((4, 4)), 1, np.random.default_rng(0))


# ------------------------------------------------------------------------------------------------------- selection


def ink(**rectangles):
    labels = np.full(SIZE, -1, np.int16)
    for k, (top, left, bottom, right) in rectangles.items():
        labels[top:bottom, left:right] = int(k[1:])
    return labels


def test_boxes_are_tight_times_the_margin():
    labels = ink(k1=(10, 20, 20, 40), k3=(30, 30, 31, 31))
    assert boxes(labels, margin=1) == {1: (10, 20, 20, 40), 3: (30, 30, 31, 31)}
    assert boxes(labels) == {1: (9, 18, 21, 42), 3: (29, 29, 32, 32)}
    assert boxes(ink()) == {}


def test_boxes_end_at_the_border():
    assert boxes(ink(k0=(0, 0, 40, 30), k2=(35, 50, 40, 60))) == {0: (0, 0, 40, 33), 2: (34, 49, 40, 60)}


@pytest.mark.parametrize("seed", range(3))
def test_negatives_are_as_many_as_positives_outside_boxes_and_predicted_background(seed):
    labels = ink(k1=(10, 10, 12, 40), k2=(25, 5, 30, 10), k0=(3, 50, 5, 55))
    prediction = np.zeros(SIZE, np.uint8)
    prediction[:, 45:] = 1
    samples = select(labels, prediction, None, np.random.default_rng(seed))
    assert (samples[labels >= 0] == labels[labels >= 0]).all()
    assert (samples > 0).sum() == (samples == 0).sum() == 60 + 25
    new = (samples == 0) & (labels == -1)
    assert new.sum() == 85 - 10 and not (new & (prediction > 0)).any()
    for top, left, bottom, right in boxes(labels).values():
        assert not new[top:bottom, left:right].any()


def test_negatives_are_drawn_evenly_from_where_they_may_be():
    labels = ink(k1=(15, 20, 25, 40))
    (box,) = boxes(labels).values()
    free = np.ones(SIZE, bool)
    free[box[0] : box[2], box[1] : box[3]] = False
    rng = np.random.default_rng(0)
    counts = sum((select(labels, None, 200, rng) == 0).astype(int) for _ in range(400))
    assert (counts[~free] == 0).all() and counts.sum() == 400 * 200
    mean = 400 * 200 / free.sum()  # of binomial counts; six standard deviations
    assert abs(counts[free] - mean).max() < 6 * np.sqrt(mean)


def test_selection_with_little_or_no_room():
    rng, labels = np.random.default_rng(0), ink(k1=(10, 10, 30, 50))
    np.testing.assert_array_equal(select(labels, np.ones(SIZE), None, rng), labels)  # all predicted as foreground
    np.testing.assert_array_equal(select(labels, None, 0, rng), labels)
    prediction = np.ones(SIZE)
    prediction[0, :7] = 0
    assert (select(labels, prediction, None, rng) == 0).sum() == 7  # of 800
    background = ink(k0=(10, 10, 30, 50))
    np.testing.assert_array_equal(select(background, None, None, rng), background)  # negatives are not taken away
    assert (select(ink(), None, None, rng) == -1).all()
    assert (select(ink(), None, 30, rng) == 0).sum() == 30


def test_selection_is_the_seed_s_and_leaves_its_input_alone():
    labels = ink(k1=(10, 10, 12, 40))
    before = labels.copy()
    first, again, other = (select(labels, None, None, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any() and (labels == before).all()
