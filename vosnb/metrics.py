"""How good is a mask? The scores of the DAVIS and YouTube-VOS benchmarks.

J (region) is intersection over union of two masks. F (boundary) is the harmonic mean of precision and recall of the
two boundaries, where a boundary pixel counts as found when the other boundary passes within a small Euclidean
distance of it. Every function agrees with davis2017-evaluation, except where that is wrong (see `statistics`).

Sources: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016;
Pont-Tuset et al., "The 2017 DAVIS Challenge"; Xu et al., "YouTube-VOS", ECCV 2018.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vosnb.clips.masks import VOID, object_ids


def jaccard(gt, pred, void=None):
    """Region similarity J: intersection over union, 1 when both masks are empty.

    gt, pred, void: (H, W) masks, or (T, H, W) stacks of them, True (or nonzero) inside; void pixels are ignored.
    Returns a float, or (T,) float64 for stacks. Raises ValueError when the shapes differ.
    """
    gt, pred, void = same_shape(gt, pred, void)
    if void is not None:
        gt, pred = gt & ~void, pred & ~void
    intersection = np.count_nonzero(gt & pred, axis=(-2, -1))
    union = np.count_nonzero(gt | pred, axis=(-2, -1))
    score = np.where(union == 0, 1.0, intersection / np.maximum(union, 1))
    return float(score) if score.ndim == 0 else score


def boundary_f(gt, pred, void=None, bound_th=0.008):
    """Boundary measure F: 2PR / (P + R) of the boundary pixels, 1 when neither mask has a boundary.

    A boundary pixel of one mask is matched when a boundary pixel of the other lies within `boundary_radius` of it.
    P is the matched share of the prediction's boundary, R that of the ground truth's.

    gt, pred, void: (H, W) masks, or (T, H, W) stacks, as for `jaccard`; void pixels are taken out of both masks first.
    bound_th: tolerance as a fraction of the image diagonal, or in whole pixels when at least 1.
    Returns a float, or (T,) float64 for stacks. Raises ValueError when the shapes differ.
    """
    if not isinstance(bound_th, int | float) or not 0 < bound_th < math.inf:
        raise ValueError(f"bound_th={bound_th!r} is no positive number: give a share of the diagonal, or whole pixels.")
    gt, pred, void = same_shape(gt, pred, void)
    if gt.ndim == 3:
        voids = [None] * len(gt) if void is None else void
        return np.array([boundary_f(*frame, bound_th) for frame in zip(gt, pred, voids, strict=True)])
    if void is not None:
        gt, pred = gt & ~void, pred & ~void
    radius = boundary_radius(gt.shape, bound_th)
    gt, pred = _boundary_bands(gt, radius), _boundary_bands(pred, radius)
    n_gt, n_pred = _count(gt), _count(pred)
    if n_gt == 0 or n_pred == 0:
        return float(n_gt == n_pred)
    precision = _count(pred & _dilate(gt, radius)) / n_pred
    recall = _count(gt & _dilate(pred, radius)) / n_gt
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_radius(shape, bound_th=0.008) -> int:
    """The distance in pixels up to which boundaries match in an image of `shape` (H, W): 8 for 480 x 854."""
    if not bound_th > 0:
        raise ValueError(f"bound_th must be positive, got {bound_th}")
    return int(bound_th) if bound_th >= 1 else math.ceil(bound_th * math.hypot(*shape))


def boundary_map(mask):
    """The pixels (H, W) of a mask (H, W) that differ from their right, lower or lower right neighbour.

    There is nothing beyond the image: a mask has no boundary where it touches the border.
    """
    return _differs(np.pad(np.asarray(mask, bool), ((0, 1), (0, 1)), "edge"))


def _differs(image):
    """Where an image (H + 1, W + 1) differs from its right, lower or lower right neighbour, bit by bit: (H, W)."""
    here = image[:-1, :-1]
    return (here ^ image[:-1, 1:]) | (here ^ image[1:, :-1]) | (here ^ image[1:, 1:])


# The straightforward F dilates both boundaries with a disk: at radius 8 it looks at 197 neighbours of each pixel.
# Here the image is cut into eight bands of rows that share one byte array, band k in bit k. Each OR of two such arrays
# then serves eight rows at once, and the disk is put together from a few shifted ORs.


def _boundary_bands(mask, radius):
    """The boundary map of a mask (H, W) in eight bands of h rows, as (h, S) bytes; S - W >= radius columns are zero.

    Band k holds rows k h to (k + 1) h - 1 in bit k; h >= radius, and rows below the image are zero.
    """
    height, width = mask.shape
    h = max(-(-height // 8), radius)
    packed, rows = np.zeros(h * width, np.uint8), mask.view(np.uint8).ravel()
    for k in reversed(range(8)):
        band = rows[k * h * width : (k + 1) * h * width]
        packed += packed  # all bits one up
        packed[: len(band)] |= band

    image = np.empty((h + 1, width + 1), np.uint8)  # with a row and a column more, for _differs
    image[:-1, :-1] = packed.reshape(h, width)
    image[-1] = image[0] >> 1  # below a band comes the first row of the next one
    image[:, -1] = image[:, -2]
    boundary = np.zeros((h, -(-(width + radius) // 8) * 8), np.uint8)
    boundary[:, :width] = _differs(image)
    k, y = divmod(height - 1, h)  # the last row of the image has nothing below it, so only its right neighbours count
    boundary[y] &= ~np.uint8(1 << k)
    boundary[y, : width - 1] |= (mask[-1, :-1] ^ mask[-1, 1:]).astype(np.uint8) << k
    return boundary


def _dilate(bands, radius):
    """Dilate bands (h, S) with the Euclidean disk x^2 + y^2 <= radius^2."""
    h, stride = bands.shape
    # Rows follow each other in one line, so a shift to any neighbour is a slice; S - W zeros keep rows apart.
    wide = np.concatenate([bands[-radius:] << 1, bands, bands[:radius] >> 1]).ravel()
    reach = 0  # by how many pixels `wide` is dilated along the rows already
    out = np.zeros(h * stride, np.uint8)
    for dy in range(radius, -1, -1):
        half_width = math.isqrt(radius**2 - dy**2)  # of the disk, dy rows from its centre
        while reach < half_width:
            step = min(half_width - reach, 2 * reach + 1)  # a larger step would leave holes
            narrow, wide = wide, wide.copy()
            wide[step:] |= narrow[:-step]
            wide[:-step] |= narrow[step:]
            reach += step
        for row in (radius - dy, radius + dy):
            out |= wide[row * stride : (row + h) * stride]
    return out.reshape(h, stride)


def _count(bands):
    return int(np.bitwise_count(bands.view(np.uint64)).sum(dtype=np.int64))


def same_shape(gt, pred, void):
    """The three as contiguous boolean arrays of one shape (H, W) or (T, H, W); void may be None.

    Raises ValueError when the shapes differ or are of another kind.
    """
    if gt is None or pred is None:
        raise ValueError("a score needs the ground truth and a prediction: give both as masks (H, W) or (T, H, W).")
    gt, pred, void = (None if mask is None else inside(mask) for mask in (gt, pred, void))
    if (
        gt.ndim not in (2, 3)
        or 0 in gt.shape[-2:]
        or any(mask is not None and mask.shape != gt.shape for mask in (pred, void))
    ):
        void_shape = "none" if void is None else void.shape
        raise ValueError(
            "masks must be (H, W) or (T, H, W) and of one shape, got ground truth "
            f"{gt.shape}, prediction {pred.shape}, void {void_shape}."
        )
    return gt, pred, void


def inside(mask) -> np.ndarray:
    """A mask as a contiguous boolean array, True where it is not zero; ValueError for probabilities."""
    mask = np.asarray(mask)
    if mask.dtype.kind not in "biu" and not (mask.dtype.kind == "f" and np.isin(mask, (0, 1)).all()):
        raise ValueError(f"a mask holds True and False, or ids, not {mask.dtype}: of probabilities take p > 0.5.")
    return np.ascontiguousarray(mask, bool)


@dataclass(frozen=True)
class Stats:
    """A measure over the frames of one object: its mean, recall (share of frames above 0.5) and decay."""

    mean: float
    recall: float
    decay: float


def statistics(per_frame) -> Stats:
    """Mean, recall and decay of per-frame scores (T,) of one object; T >= 1, ValueError otherwise.

    Decay is the mean over the first quarter of the frames minus that over the last; quarters share their end frames,
    as in davis2017-evaluation. There the quarters' bounds are uint8, so that from 256 frames on decay is NaN or wrong;
    here they are integers. NaN scores are left out of mean and decay, and count as a miss in recall.
    """
    values = _scores(per_frame)
    if values.ndim != 1 or len(values) == 0 or np.isnan(values).all():
        raise ValueError(f"statistics needs the scores (T,) of at least one frame, got shape {values.shape}.")
    bounds = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    first, last = values[bounds[0] : bounds[1] + 1], values[bounds[3] : bounds[4] + 1]
    return Stats(_mean(values), float(np.mean(values > 0.5)), _mean(first) - _mean(last))


def _scores(values) -> np.ndarray:
    """The values as an array of float, or a ValueError where they are no numbers."""
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError("scores are numbers, or NaN where there is none: these are not.") from None


def _mean(values):
    """The mean of what is not NaN; NaN if that is nothing."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else math.nan


@dataclass(frozen=True)
class ClipScores:
    """The scores of one clip: J and F (K, T) of K objects in the T scored frames, whose indices are `frames`.

    NaN where an object is not scored because it has not appeared yet, or never does. `stats_J` and `stats_F` hold the
    K objects' statistics (None for an object without a scored frame); J_mean, F_mean and JF average them over objects.
    """

    J: np.ndarray
    F: np.ndarray
    frames: tuple[int, ...]

    @property
    def stats_J(self) -> list[Stats | None]:
        return [_object_statistics(row) for row in self.J]

    @property
    def stats_F(self) -> list[Stats | None]:
        return [_object_statistics(row) for row in self.F]

    @property
    def J_mean(self) -> float:
        return _mean([s.mean for s in self.stats_J if s])

    @property
    def F_mean(self) -> float:
        return _mean([s.mean for s in self.stats_F if s])

    @property
    def JF(self) -> float:
        return (self.J_mean + self.F_mean) / 2


def _object_statistics(row):
    scored = row[~np.isnan(row)]
    return statistics(scored) if len(scored) else None


def score_clip(
    true_masks: Iterable, predicted_masks: Iterable, n_objects: int | None = None, appearances: dict | None = None
) -> ClipScores:
    """Score the predicted masks of one clip as DAVIS does, object by object.

    true_masks, predicted_masks: index masks (H, W) of all frames in order, 0 background, 1..K objects, 255 void (in the
    truth). A true mask of None is a frame that nobody annotated; what is predicted there is not looked at.
    n_objects: K; the largest id in the truth unless given.
    appearances: {object: frame of its first mask, which a tracker is given} for clips whose objects appear one after
    another, as in YouTube-VOS; an object is scored after that frame. DAVIS gives all objects in frame 0.

    The first and the last frame of the clip are not scored. An object that is in neither mask scores 1, one that the
    tracker never predicts scores as an empty mask. Raises ValueError when lengths or sizes differ, when an id is
    predicted that the clip has not, or when no frame is left to score.
    """
    truth, predictions = list(true_masks), list(predicted_masks)
    if len(truth) != len(predictions):
        raise ValueError(f"the clip has {len(truth)} frames but there are {len(predictions)} predicted masks.")
    for t, mask in enumerate(m for pair in zip(truth, predictions, strict=True) for m in pair):
        ids = np.asarray(np.zeros((1, 1), int) if mask is None else mask)
        if ids.ndim != 2 or ids.dtype.kind not in "biu" or not ids.size or ids.min() < 0 or ids.max() > VOID:
            what = "predicted" if t % 2 else "true"
            raise ValueError(f"the {what} mask of frame {t // 2} is no array (H, W) of object ids, 0 to 254, 255 void.")
    if not isinstance(n_objects, int | np.integer | None) or (n_objects is not None and n_objects < 0):
        raise ValueError(f"n_objects={n_objects!r} is no number of objects: leave it out to count those of the truth.")
    shown = {k for mask in truth if mask is not None for k in object_ids(mask)}
    given = dict.fromkeys(shown, 0) | (appearances or {})
    if n_objects is None:
        n_objects = max(shown, default=0)
    frames = tuple(t for t, mask in enumerate(truth) if mask is not None and 0 < t < len(truth) - 1)
    if not frames or n_objects == 0:
        raise ValueError(
            f"nothing to score: {len(truth)} frames, {len(frames)} of them annotated besides the first and the last, "
            f"{n_objects} object{'s' * (n_objects != 1)}."
        )

    J, F = np.full((2, n_objects, len(frames)), np.nan)
    for i, t in enumerate(frames):
        if predictions[t] is None:
            raise ValueError(f"there is no predicted mask of frame {t}: give an empty one where nothing is found.")
        gt, pred = np.asarray(truth[t]), np.asarray(predictions[t])
        if unknown := [k for k in object_ids(pred) if k > n_objects]:
            raise ValueError(f"frame {t} is predicted to hold object {unknown[0]}, but the clip has {n_objects}.")
        for k in range(1, n_objects + 1):
            if given.get(k, t) < t:
                J[k - 1, i] = jaccard(gt == k, pred == k, gt == VOID)
                F[k - 1, i] = boundary_f(gt == k, pred == k, gt == VOID)
    return ClipScores(J, F, frames)


def youtube_vos_g(J, F, seen) -> dict[str, float]:
    """YouTube-VOS's overall score G: the mean of J and F over objects of seen and of unseen categories.

    J, F: (N,) mean scores of N objects; seen: (N,) whether training knew the object's category. Returns J_seen,
    J_unseen, F_seen, F_unseen and G, the mean of these four. A group without objects has NaN scores, and G is then the
    mean of the two scores of the other group. Raises ValueError when lengths differ or there is no object.
    """
    J, F, seen = np.atleast_1d(_scores(J)), np.atleast_1d(_scores(F)), np.atleast_1d(np.asarray(seen, bool))
    if not len(J) == len(F) == len(seen) or len(J) == 0:
        raise ValueError(f"G needs J, F and seen of the same objects, got {len(J)}, {len(F)} and {len(seen)}.")
    parts = {
        "J_seen": _mean(J[seen]),
        "J_unseen": _mean(J[~seen]),
        "F_seen": _mean(F[seen]),
        "F_unseen": _mean(F[~seen]),
    }
    return parts | {"G": _mean(list(parts.values()))}
