"""F of a 480 x 854 mask pair: vosnb's against dilating both boundaries with the Euclidean disk, in one process.

    python benchmarks/f_measure_speed.py [--repeats N]

The two run in turns (plain, ours, plain, ours, ...) on one thread; the table shows medians and their ratio. The two
must agree to the last bit on every pair.
"""

import argparse
import time
from functools import partial

import cv2
import numpy as np

from vosnb.metrics import boundary_f, boundary_radius

SHAPE = (480, 854)


def plain_f(gt, pred, radius, disk):
    """The straightforward way: two boundary maps, two dilations with the disk, two overlaps."""
    gt, pred = plain_boundary(gt), plain_boundary(pred)
    n_gt, n_pred = np.count_nonzero(gt), np.count_nonzero(pred)
    if n_gt == 0 or n_pred == 0:
        return float(n_gt == n_pred)
    near_gt = cv2.dilate(gt.view(np.uint8), disk).view(bool)
    near_pred = cv2.dilate(pred.view(np.uint8), disk).view(bool)
    precision, recall = np.count_nonzero(pred & near_gt) / n_pred, np.count_nonzero(gt & near_pred) / n_gt
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def plain_boundary(mask):
    boundary = np.zeros_like(mask)
    boundary[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
    boundary[:-1] |= mask[:-1] ^ mask[1:]
    boundary[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return boundary


def ellipse(x, y, cx, cy, a, b):
    return ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1


def mask_pairs():
    """Name -> (truth, prediction): what trackers meet, then the worst cases."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)

    def noise(sigma):
        field = cv2.GaussianBlur(rng.standard_normal(SHAPE), (0, 0), sigma)
        return field / field.std()

    def shift(mask):
        return np.roll(mask, (3, 5), (0, 1))

    small = ellipse(x, y, 430, 240, 60, 45)
    body = ellipse(x, y, 400, 230, 150, 80) | ellipse(x, y, 560, 190, 50, 45)
    legs = [ellipse(x, y, cx, 330, 16, 70) for cx in (300, 350, 450, 500)]
    creature = np.logical_or.reduce([body, *legs])
    ragged = creature ^ ((noise(2) > 1.2) & (noise(20) > 0))
    large = noise(25) > 0
    return {
        "small ellipse, shifted": (small, shift(small)),
        "creature, shifted": (creature, shift(creature)),
        "creature, ragged prediction": (creature, ragged),
        "blobs over the whole frame": (large, shift(large)),
        "white noise": (rng.random(SHAPE) < 0.5, rng.random(SHAPE) < 0.5),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=60, help="timed runs of each way on each pair")
    repeats = parser.parse_args().repeats
    cv2.setNumThreads(1)
    radius = boundary_radius(SHAPE)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    print(f"F of {SHAPE[0]} x {SHAPE[1]} masks, radius {radius}, one thread, medians of {repeats} interleaved runs")
    print(f"{'masks':28} {'F':>6} {'dilation':>10} {'vosnb':>10} {'share':>6}")
    for name, (gt, pred) in mask_pairs().items():
        ways = (partial(plain_f, gt, pred, radius, disk), partial(boundary_f, gt, pred))
        scores = [way() for way in ways]
        assert scores[0] == scores[1], f"{name}: the two ways give {scores}"
        seconds = np.zeros((2, repeats))
        for run in range(repeats):
            for i, way in enumerate(ways):
                start = time.perf_counter()
                way()
                seconds[i, run] = time.perf_counter() - start
        plain, ours = np.median(seconds, axis=1)
        print(f"{name:28} {scores[0]:6.3f} {plain * 1e3:7.2f} ms {ours * 1e3:7.2f} ms {ours / plain:6.2f}")


if __name__ == "__main__":
    main()
