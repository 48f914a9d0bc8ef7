"""The scores against davis2017-evaluation's numbers, against a plain F, and by hand where the reference is wrong."""

import math
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from vosnb import metrics
from vosnb.metrics import VOID, boundary_f, boundary_map, boundary_radius, jaccard, score_clip, statistics

ORACLES = Path(__file__).parent / "oracles"
RNG_SEED = 0


@pytest.fixture(scope="module")
def oracle():
    return dict(np.load(ORACLES / "davis_jf.npz"))


def masks(oracle, name):
    return np.unpackbits(oracle[name], axis=-1)[..., : int(oracle["width"])].astype(bool)


def disk(radius):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (x**2 + y**2 <= radius**2).astype(np.uint8)


def plain_f(gt, pred, radius):
    """F by dilating both boundaries with the disk, as the reference does."""
    gt, pred = boundary_map(gt), boundary_map(pred)
    if not gt.any() or not pred.any():
        return float(gt.any() == pred.any())
    near_gt, near_pred = (cv2.dilate(b.view(np.uint8), disk(radius)).astype(bool) for b in (gt, pred))
    precision, recall = (pred & near_gt).sum() / pred.sum(), (gt & near_pred).sum() / gt.sum()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def blob(rng, shape):
    """A wobbly outline, a noisy one, or a mask that fills nearly everything."""
    smooth = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), rng.uniform(0.3, 8))
    return smooth > np.quantile(smooth, rng.choice([0.03, 0.5, 0.9, 0.999]))


# ---------------------------------------------------------------- oracles


def test_J_and_F_of_mask_pairs_equal_davis(oracle):
    gt, pred, void = (masks(oracle, name) for name in ("gt", "pred", "void"))
    for i, case in enumerate(oracle["case_names"]):
        assert jaccard(gt[i], pred[i]) == pytest.approx(oracle["J"][i], abs=1e-12), case
        assert boundary_f(gt[i], pred[i]) == pytest.approx(oracle["F"][i], abs=1e-12), case
        assert jaccard(gt[i], pred[i], void[i]) == pytest.approx(oracle["J_void"][i], abs=1e-12), case
        assert boundary_f(gt[i], pred[i], void[i]) == pytest.approx(oracle["F_void"][i], abs=1e-12), case


def test_stacks_score_as_their_frames(oracle):
    gt, pred, void = (masks(oracle, name) for name in ("gt", "pred", "void"))
    np.testing.assert_allclose(jaccard(gt, pred, void), oracle["J_void"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(boundary_f(gt, pred), oracle["F"], rtol=0, atol=1e-12)


def test_boundary_maps_equal_davis(oracle):
    for name in ("gt", "pred"):
        expected = masks(oracle, f"bmap_{name}")
        assert all((boundary_map(m) == b).all() for m, b in zip(masks(oracle, name), expected, strict=True))


def test_boundary_radius_equals_davis(oracle):
    assert [boundary_radius(shape) for shape in oracle["radius_shapes"]] == oracle["radius"].tolist()
    assert boundary_radius((480, 854), bound_th=3) == 3
    with pytest.raises(ValueError, match="bound_th"):
        boundary_radius((480, 854), bound_th=0)


@pytest.mark.parametrize("radius", [1, 2, 3, 4, 8])
def test_dilating_one_pixel_gives_the_disk_of_scikit_image(radius):
    expected = np.load(ORACLES / "davis_disks.npz")[f"disk_{radius}"]
    size = 2 * radius + 1
    corner = np.zeros((size + 1, size + 1), bool)
    corner[radius + 1 :, radius + 1 :] = True  # its boundary's corner is at (radius, radius)
    point = metrics._boundary_bands(corner, radius)
    h, stride = point.shape
    rows = np.unpackbits(point[None], axis=0, bitorder="little").reshape(8 * h, stride)
    only = np.zeros_like(rows)
    only[radius, radius] = rows[radius, radius]
    bands = np.packbits(only.reshape(8, h, stride), axis=0, bitorder="little")[0]
    grown = np.unpackbits(metrics._dilate(bands, radius)[None], axis=0, bitorder="little").reshape(8 * h, stride)
    assert (grown[:size, :size] == expected).all()


def test_statistics_equal_davis_up_to_255_frames(oracle):
    for n in (1, 2, 3, 4, 5, 8, 10, 23, 70, 100, 255):
        s = statistics(oracle[f"stat_in_{n}"])
        np.testing.assert_allclose((s.mean, s.recall, s.decay), oracle[f"stat_MRD_{n}"], rtol=0, atol=1e-12)


def test_multi_object_sequence_equals_davis(oracle):
    """Three objects, two predicted, nine frames of which the first and the last do not count."""
    gt, pred = masks(oracle, "seq_gt"), masks(oracle, "seq_pred")
    assert (gt.sum(axis=0) <= 1).all() and (pred.sum(axis=0) <= 1).all()  # so that an index mask can hold them
    truth = sum((k + 1) * gt[k].astype(np.uint8) for k in range(3))
    predicted = sum((k + 1) * pred[k].astype(np.uint8) for k in range(2))
    scores = score_clip(truth, predicted)
    np.testing.assert_allclose(scores.J, oracle["seq_J"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.F, oracle["seq_F"], rtol=0, atol=1e-12)
    for stats, name in ((scores.stats_J, "seq_J_MRD"), (scores.stats_F, "seq_F_MRD")):
        np.testing.assert_allclose([(s.mean, s.recall, s.decay) for s in stats], oracle[name], rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.JF, oracle["seq_JF_mean"], rtol=0, atol=1e-12)
    assert scores.frames == tuple(range(1, 8))


# ---------------------------------------------------------------- beyond the reference


@pytest.mark.parametrize("n", [256, 257, 300, 400, 1000])
def test_decay_of_long_clips(n):
    """A straight fall from 1 to 0: first and last quarter differ by 3/4 of it, whatever the length."""
    s = statistics(np.linspace(1, 0, n))
    assert s.decay == pytest.approx(0.75, abs=2 / n)
    assert s.mean == pytest.approx(0.5) and s.recall == pytest.approx(0.5, abs=1 / n)


def test_statistics_of_undefined_scores():
    s = statistics([1.0, math.nan, 1.0, 1.0])
    assert (s.mean, s.recall) == (1.0, 0.75)
    with pytest.raises(ValueError, match="at least one frame"):
        statistics([])


def test_fast_F_equals_plain_F():
    rng = np.random.default_rng(RNG_SEED)
    for i in range(150):
        shape = tuple(rng.integers(1, 120, 2))
        gt, pred = blob(rng, shape), blob(rng, shape)
        if i % 3 == 0:
            pred = np.roll(gt, tuple(rng.integers(-9, 10, 2)), (0, 1))
        radius = int(rng.integers(1, 20))
        assert boundary_f(gt, pred, bound_th=radius) == plain_f(gt, pred, radius), (shape, radius)


@pytest.mark.parametrize("shape", [(480, 854), (481, 853), (1080, 1920), (9, 700), (700, 9)])
def test_fast_F_equals_plain_F_at_video_sizes(shape):
    rng = np.random.default_rng(RNG_SEED)
    gt = blob(rng, shape)
    pred = gt ^ (cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 4) > 0.2)
    assert 0 < boundary_f(gt, pred) == plain_f(gt, pred, boundary_radius(shape)) <= 1


def test_F_takes_a_third_of_the_time_of_the_dilation():
    """The best of interleaved runs: load from elsewhere slows both, and rarely every run of one of them."""
    y, x = np.mgrid[:480, :854]
    gt = ((x - 400) / 150) ** 2 + ((y - 230) / 110 + 0.2 * np.sin(x / 15)) ** 2 < 1
    pred = np.roll(gt, (4, 9), (0, 1))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        seconds = {plain_f: [], boundary_f: []}
        for _ in range(30):
            for function, arguments in ((plain_f, (gt, pred, 8)), (boundary_f, (gt, pred))):
                start = time.perf_counter()
                function(*arguments)
                seconds[function].append(time.perf_counter() - start)
    finally:
        cv2.setNumThreads(threads)
    assert min(seconds[boundary_f]) < min(seconds[plain_f]) / 3


def test_void_pixels_do_not_count():
    """Whatever is predicted inside the void, the scores are the same."""
    rng = np.random.default_rng(RNG_SEED)
    gt, pred, void = (blob(rng, (60, 80)) for _ in range(3))
    for filled in (pred | void, pred & ~void):
        assert jaccard(gt, filled, void) == jaccard(gt, pred, void)
        assert boundary_f(gt, filled, void) == boundary_f(gt, pred, void)
    truth = np.where(void, VOID, gt).astype(np.uint8)
    scores = score_clip([truth] * 3, [pred.astype(np.uint8)] * 3)
    assert scores.J[0, 0] == jaccard(gt, pred, void) and scores.F[0, 0] == boundary_f(gt, pred, void)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(4, 4\), prediction \(4, 5\)"):
        jaccard(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match="one shape"):
        boundary_f(np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((2, 2)))


# ---------------------------------------------------------------- clips


def index_mask(*boxes):
    mask = np.zeros((20, 30), np.uint8)
    for k, (top, left) in enumerate(boxes, start=1):
        mask[top : top + 6, left : left + 6] = k
    return mask


def test_an_object_that_appears_later_is_scored_after_its_first_mask():
    alone, both = index_mask((2, 2)), index_mask((2, 2), (10, 20))
    truth = [alone, alone, both, both, both]
    scores = score_clip(truth, [alone] * 5, appearances={1: 0, 2: 2})
    assert score_clip(truth, [alone] * 5).J[1].tolist() == [1, 0, 0]  # DAVIS knows no late objects
    assert scores.frames == (1, 2, 3)
    np.testing.assert_array_equal(scores.J, [[1, 1, 1], [np.nan, np.nan, 0]])
    assert scores.J_mean == 0.5 and scores.stats_J[1].recall == 0


def test_an_object_seen_in_the_last_frame_only_is_left_out():
    alone, both = index_mask((2, 2)), index_mask((2, 2), (10, 20))
    scores = score_clip([alone, alone, alone, both], [alone] * 4, appearances={1: 0, 2: 3})
    assert scores.stats_F[1] is None and scores.JF == 1


def test_frames_without_annotation_are_not_scored():
    mask, nothing = index_mask((2, 2)), np.zeros((20, 30), np.uint8)
    scores = score_clip([mask, None, mask, None, mask, None], [mask, nothing, mask, nothing, nothing, nothing])
    assert scores.frames == (2, 4)
    np.testing.assert_array_equal(scores.J, [[1, 0]])


def test_long_clips_and_objects_that_left():
    """300 frames; the object leaves after 100, and a tracker that says so scores 1 from there on."""
    mask, nothing = index_mask((2, 2)), index_mask()
    truth = [mask] * 100 + [nothing] * 200
    assert score_clip(truth, truth).JF == 1
    stays = score_clip(truth, [mask] * 300)
    assert stays.stats_J[0].mean == pytest.approx(99 / 298) and stays.stats_J[0].decay == 1


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([index_mask((2, 2))] * 4, [index_mask((2, 2))] * 3, "4 frames but there are 3"),
        ([index_mask((2, 2))] * 3, [index_mask((2, 2), (10, 20))] * 3, "hold object 2, but the clip has 1"),
        ([index_mask((2, 2))] * 2, [index_mask((2, 2))] * 2, "nothing to score"),
        ([index_mask()] * 5, [index_mask()] * 5, "nothing to score"),
        ([index_mask((2, 2))] * 3, [np.zeros((20, 31), np.uint8)] * 3, "one shape"),
    ],
)
def test_bad_clips_are_refused(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        score_clip(truth, predicted)


def test_G_is_the_mean_over_seen_and_unseen():
    g = metrics.youtube_vos_g(J=[0.8, 0.6, 0.2], F=[0.9, 0.7, 0.4], seen=[True, True, False])
    assert g == pytest.approx({"J_seen": 0.7, "J_unseen": 0.2, "F_seen": 0.8, "F_unseen": 0.4, "G": 0.525})


def test_G_of_one_group_is_the_mean_of_its_two_scores():
    g = metrics.youtube_vos_g(J=[0.8, 0.6], F=[0.9, 0.7], seen=[False, False])
    assert g["G"] == pytest.approx(0.75) and math.isnan(g["J_seen"]) and math.isnan(g["F_seen"])
    with pytest.raises(ValueError, match="same objects"):
        metrics.youtube_vos_g([], [], [])
