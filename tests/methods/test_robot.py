"""The robot: held to davisinteractive, and what it does where errors are empty, thin, round or everywhere."""

import cv2
import numpy as np
import pytest

from vosnb.methods.robot import Robot, bezier, longest_paths
from vosnb.methods.scribbles import draw
from vosnb.paths import ROOT

ORACLE = np.load(ROOT / "tests" / "oracles" / "interactive.npz")

KERNELS = {"service": 0.2, "default": 0.15}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("frame", [None, 2])
def test_scribbles_are_davisinteractive_s(name, frame):
    found = Robot(KERNELS[name]).scribbles(ORACLE["gt"], ORACLE["pred"], frame)
    case = f"{name}_frame{frame}"
    assert {s.frame for s in found} == set(ORACLE[f"{case}_annotated"].tolist())
    assert [s.object for s in found] == ORACLE[f"{case}_ids"].tolist()
    assert [len(s.path) for s in found] == ORACLE[f"{case}_lens"].tolist()
    np.testing.assert_allclose(np.concatenate([s.path for s in found]), ORACLE[f"{case}_paths"], atol=1e-12, rtol=0)
    np.testing.assert_array_equal(draw(found, (120, 200)), ORACLE[f"{case}_mask"])


@pytest.mark.parametrize("name", KERNELS)
def test_skeletons_are_davisinteractive_s(name):
    truth, prediction, error = ORACLE["gt"], ORACLE["pred"], ORACLE[f"{name}_errmask"]
    np.testing.assert_array_equal((truth[0] == 1) & (prediction[0] != 1), error)
    np.testing.assert_array_equal(Robot(KERNELS[name]).skeleton(error), ORACLE[f"{name}_skel"])


@pytest.mark.parametrize("name", KERNELS)
def test_a_first_round_is_davisinteractive_s(name):
    first = Robot(KERNELS[name]).scribbles(ORACLE["gt"])
    assert {s.frame for s in first} == {0}
    np.testing.assert_array_equal(draw(first, (120, 200)), ORACLE[f"{name}_emptypred_mask"])


def test_bezier_curves_are_davisinteractive_s():
    curve = bezier(ORACLE["bezier_in"][::-1], 50)  # there a curve starts at the last point
    np.testing.assert_allclose(curve, ORACLE["bezier_out"], atol=1e-12, rtol=0)


def test_a_curve_keeps_its_ends_and_stays_among_its_control_points():
    path = np.stack([np.arange(1000.0), 50 * np.sin(np.arange(1000) / 9)], 1)
    curve = bezier(path)
    assert curve.shape == (1000, 2) and abs(curve[[0, -1]] - path[[0, -1]]).max() < 1e-9
    np.testing.assert_allclose(curve[:, 0], np.linspace(0, 999, 1000), atol=1e-6)
    assert abs(curve[:, 1]).max() < 50
    longer = np.concatenate([path, path])
    assert bezier(longer) is longer


# ------------------------------------------------------------------------------------------------------ the graph


def picture(text):
    return np.array([[c == "#" for c in row] for row in text.split()])


def test_the_longest_path_passes_by_short_branches():
    (path,) = longest_paths(picture("....#.... ...#..... ########. .....#... ........."))
    assert path.tolist() in ([[x, 2] for x in range(8)], [[x, 2] for x in range(7, -1, -1)])


def test_a_ring_is_cut_and_walked():
    ring = picture("..###.. .#...#. #.....# .#...#. ..###..")
    (path,) = longest_paths(ring)
    assert len(path) == ring.sum() == 12  # a tree of a cycle is a path through all of it
    assert (abs(np.diff(path, axis=0)).max(1) == 1).all()


def test_every_part_has_its_path_if_it_is_not_too_short():
    parts = picture("####..... ......... ...###... ......... #...##### ")
    paths = longest_paths(parts)
    assert [len(path) for path in paths] == [4, 5] and (paths[1][:, 1] == 4).all()
    assert [len(path) for path in longest_paths(parts, nodes=1)] == [4, 3, 1, 5]
    assert longest_paths(np.zeros((5, 5), bool)) == []


# ------------------------------------------------------------------------------------------------------ the robot


def blobs(*ellipses, size=(80, 100)):
    """A frame (1, H, W) of ellipses (id, x, y, half width), a half higher than wide: a disk has no skeleton to draw."""
    y, x = np.mgrid[: size[0], : size[1]]
    mask = np.zeros((1, *size), np.uint8)
    for k, cx, cy, r in ellipses:
        mask[0, (x - cx) ** 2 + ((y - cy) / 1.5) ** 2 <= r * r] = k
    return mask


def near(region):
    """A region and the pixels left of and above it: to there, paths by W and H slip when drawn at W - 1 and H - 1."""
    return cv2.dilate(region.astype(np.uint8), np.ones((2, 2), np.uint8), anchor=(0, 0)).astype(bool)


def test_it_tells_every_object_and_background_where_it_was_lost():
    truth, prediction = blobs((1, 25, 30, 16), (2, 70, 30, 16)), blobs((2, 25, 30, 16), (1, 70, 60, 14))
    found = Robot().scribbles(truth, prediction)
    assert {s.object for s in found} == {0, 1, 2}
    labels = draw(found, truth.shape[1:])
    for k in (0, 1, 2):
        assert near((truth[0] == k) & (prediction[0] != k))[labels == k].all() and (labels == k).any()


def test_it_says_nothing_where_nothing_is_wrong_or_all_errors_are_thin():
    truth = blobs((1, 50, 40, 20))
    assert Robot().scribbles(truth, truth) == []
    thin = truth.copy()
    thin[0, 40, 10:90:2] = 1  # single pixels
    assert Robot().scribbles(truth, thin) == []
    assert Robot().scribbles(np.zeros_like(truth)) == []


def test_a_disk_has_no_skeleton_to_draw():
    y, x = np.mgrid[:80, :100]
    disk = ((x - 50) ** 2 + (y - 40) ** 2 <= 16**2).astype(np.uint8)
    assert Robot().skeleton(disk).sum() < Robot().nodes
    assert Robot().scribbles(disk[None]) == []


def test_a_prediction_all_of_foreground_gets_background_ink_alone():
    truth = blobs((1, 50, 40, 12))
    found = Robot().scribbles(truth, np.ones_like(truth))
    assert found and {s.object for s in found} == {0}
    assert near(truth[0] == 0)[draw(found, truth.shape[1:]) == 0].all()


def test_void_is_never_wrong():
    truth = blobs((255, 50, 40, 25), (1, 50, 40, 12))
    prediction = blobs((1, 50, 40, 25))
    assert Robot().scribbles(truth, prediction) == []


def test_the_worst_frame_is_the_one_of_the_lowest_mean_j():
    truth = np.concatenate([blobs((1, 30, 40, 15), (2, 70, 40, 15))] * 3)
    prediction = np.concatenate(
        [
            blobs((1, 30, 40, 9), (2, 70, 40, 15)),
            blobs((1, 30, 40, 10), (2, 70, 40, 10)),
            blobs((1, 30, 40, 8), (2, 70, 40, 15)),
        ]
    )
    assert {s.frame for s in Robot().scribbles(truth, prediction)} == {1}
    assert {s.frame for s in Robot().scribbles(truth, prediction, 0)} == {0}


def test_the_same_region_gets_the_same_skeleton():
    region = ORACLE["service_errmask"]
    first, again, *others = (Robot(seed=seed).skeleton(region) for seed in (3, 3, 4, 5))
    assert (first == again).all()
    assert any((first != other).any() for other in others)  # the medial axis has ties, which a seed decides


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Robot(kernel=1.5), "kernel=1.5"),
        (lambda: Robot().scribbles(np.zeros((4, 5))), r"\(T, H, W\)"),
        (lambda: Robot().scribbles(np.zeros((2, 4, 5)), np.zeros((1, 4, 5))), r"these are \(2, 4, 5\) and \(1, 4, 5\)"),
        (lambda: Robot().scribbles(np.zeros((2, 4, 5)), frame=2), "no frame 2: the clip has frames 0 to 1"),
    ],
)
def test_what_cannot_be_is_told(call, says):
    with pytest.raises(ValueError, match=says):
        call()
