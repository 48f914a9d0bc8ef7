"""A robot that scribbles where a segmentation is wrong, in place of a user (S2 section 3; DAVIS's interactive track).

For each object, and for background: the pixels that it lost -> opening -> medial axis -> a graph of its pixels -> the
longest path of every part -> a Bezier curve. The curve has every pixel of the path as a control point, so it is much
shorter and smoother than the path.

Source: Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation". Held to its davisinteractive package,
with that one's loose ends tied: the medial axis draws its ties from a seed, and ties of edges and paths go to the
pixel that comes first, row by row.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BPoly
from scipy.sparse.csgraph import connected_components, dijkstra, minimum_spanning_tree
from skimage.filters import rank
from skimage.graph import pixel_graph
from skimage.morphology import disk, medial_axis

from vosnb.clips.masks import VOID
from vosnb.clips.scribbles import Scribble
from vosnb.metrics import jaccard


@dataclass(frozen=True)
class Robot:
    """kernel: the opening's radius is kernel / 2 times the root of the region's area, but not above max_radius pixels.

    (0.2 is the benchmark's setting, its class's default is 0.15.) nodes: shorter parts of a skeleton are left out.
    points: samples of a curve. seed: of the medial axis's ties; the same errors get the same scribbles.
    """

    kernel: float = 0.2
    seed: int = 0
    max_radius: float = 16
    nodes: int = 4
    points: int = 1000

    def __post_init__(self):
        if not 0 <= self.kernel < 1:
            raise ValueError(f"kernel={self.kernel}: take a fraction from 0 to below 1.")

    def scribbles(
        self, truth: np.ndarray, prediction: np.ndarray | None = None, frame: int | None = None
    ) -> list[Scribble]:
        """Corrections on one frame: masks (T, H, W) of the truth and of what was predicted (None: nothing yet).

        frame: the one to correct; that of the lowest J, averaged over objects, if not given. No scribbles where nothing
        is wrong, or errors are all too thin for a disk or too round for a skeleton of some length.

        Raises ValueError where shapes differ or the clip has no such frame.
        """
        truth = np.asarray(truth)
        prediction = np.zeros_like(truth) if prediction is None else np.asarray(prediction)
        if truth.ndim != 3 or truth.shape != prediction.shape:
            raise ValueError(
                f"truth and prediction are (T, H, W) both: these are {truth.shape} and {prediction.shape}."
            )
        ids = [int(k) for k in np.unique(truth) if k not in (0, VOID)]
        if frame is None:
            scores = [jaccard(truth == k, prediction == k, truth == VOID) for k in ids]
            frame = int(np.sum(scores, axis=0).argmin()) if ids else 0
        if not 0 <= frame < len(truth):
            raise ValueError(f"there is no frame {frame}: the clip has frames 0 to {len(truth) - 1}.")
        size = truth.shape[:0:-1]
        return [
            Scribble(frame, k, bezier(path, self.points) / size)
            for k in [0, *ids]
            for path in longest_paths(self.skeleton((truth[frame] == k) & (prediction[frame] != k)), self.nodes)
        ]

    def skeleton(self, region: np.ndarray) -> np.ndarray:
        """The medial axis (H, W) of a region (H, W) opened with a disk: the kernel's, or one that leaves pixels.

        A region that loses all its pixels to every disk of more than one pixel's radius has none.
        """
        opened = region = np.asarray(region, np.uint8)
        radius = min(self.kernel / 2 * np.sqrt(region.sum()), self.max_radius)
        while radius > 1:
            opened = rank.maximum(rank.minimum(region, disk(radius)), disk(radius))
            if opened.any():
                break
            radius *= 0.9
        return medial_axis(np.pad(opened, 1).astype(bool), rng=self.seed)[1:-1, 1:-1]


def longest_paths(skeleton: np.ndarray, nodes: int = 4) -> list[np.ndarray]:
    """The longest path (n, 2) of x, y in each 8-connected part, of at least `nodes` pixels, of a skeleton (H, W).

    A spanning tree of the shortest edges cuts the cycles; from the pixel farthest from any, the farthest is at the
    path's other end. Far is meant in steps, be they straight or diagonal.
    """
    if not skeleton.any():
        return []
    graph, pixels = pixel_graph(skeleton, connectivity=2)
    graph.data += np.linspace(0, 0.1, graph.nnz)  # of equal edges, 1 or root 2, the first: no sort may choose
    tree = minimum_spanning_tree(graph)
    n, part = connected_components(tree, directed=False)
    paths = []
    for members in (np.flatnonzero(part == k) for k in range(n)):
        if len(members) < nodes:
            continue
        branch = tree[members][:, members]
        start = dijkstra(branch, directed=False, indices=0, unweighted=True).argmax()
        steps, before = dijkstra(branch, directed=False, indices=start, unweighted=True, return_predecessors=True)
        path = [steps.argmax()]
        while path[-1] != start:
            path.append(before[path[-1]])
        y, x = np.unravel_index(pixels[members[path]], skeleton.shape)
        paths.append(np.stack([x, y], 1).astype(float))
    return paths


def bezier(path: np.ndarray, points: int = 1000) -> np.ndarray:
    """`points` samples (points, 2) of the Bezier curve with control points `path` (n, 2); the path if n is more."""
    return path if len(path) > points else BPoly(path[:, None], [0, 1])(np.linspace(0, 1, points))
