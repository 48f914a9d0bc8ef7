"""A clip in the cells in which a network sees it: who is whose look-alike, and how much of each cell each group covers.

Object 1 is the one that is followed (S0 section 4.2); lessons ask what the other groups read from it.
"""

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.clips import Clip
from vosnb.clips.masks import VOID, object_ids
from vosnb.features import STRIDE
from vosnb.trackers.base import resize


def whole_cells(clip: Clip, short_side: int) -> Clip:
    """The clip at the size at which a tracker with this short side (pixels) sees it, which whole cells fill.

    A cell is STRIDE x STRIDE pixels. Frames whose shorter side is longer are shrunk to it; none is enlarged beyond the
    rest of a cell.
    """
    shrink = min(1, short_side / min(clip.size))
    height, width = (max(2, round(side * shrink / STRIDE)) * STRIDE for side in clip.size)
    return clip if clip.size == (height, width) else clip.resized(height, width)


def groups(clip: Clip) -> dict[str, list[int]]:
    """{group: numbers of its objects in the masks}, for "object", "look-alikes", "others", "ground", in this order.

    Look-alikes are of object 1's species. Where nothing is known of species, every other object of frame 0 counts as
    a look-alike.
    """
    species = [group for *_, group in clip.info.get("species", [])]
    numbers = range(1, len(species) + 1) if species else object_ids(clip.first_mask)
    rest = [k for k in numbers if k > 1]
    alike = [k for k in rest if not species or species[k - 1] == species[0]]
    return {"object": [1], "look-alikes": alike, "others": [k for k in rest if k not in alike], "ground": [0]}


def coverage(clip: Clip, t: int) -> torch.Tensor:
    """Which share of each cell every one of the `groups` covers in frame t: (4, N) float32, 0..1.

    The clip's sides are multiples of STRIDE (`whole_cells`), and frame t is annotated; N = H/8 * W/8 cells, row by row.
    """
    masks = np.stack([np.isin(clip.masks[t], numbers) for numbers in groups(clip).values()])
    return F.avg_pool2d(torch.from_numpy(masks).float(), STRIDE).flatten(1)


def late_frames(clip: Clip, count: int = 1) -> list[int]:
    """The last `count` frames, at most, in which object 1 shows at least one cell's worth of pixels, in their order.

    Frame 0 is not among them. Where there are none it is the last frame that is annotated.
    """
    annotated = [t for t, mask in enumerate(clip.masks) if mask is not None]
    seen = [t for t in annotated if t > 0 and (clip.masks[t] == 1).sum() >= STRIDE**2]
    return seen[-count:] or annotated[-1:]


def to_cells(mask: np.ndarray, grid: tuple[int, int]) -> torch.Tensor:
    """Which share of each cell background and objects 1..K of an index mask (H, W) cover: (K + 1, h * w) float32.

    grid: (h, w) cells, which together cover the mask. Background comes first, and void (255) counts as background.
    """
    count = int(np.where(mask == VOID, 0, mask).max())
    objects = torch.from_numpy(np.stack([mask == k for k in range(1, count + 1)])).float()[None]
    covered = resize(objects, grid)[0].flatten(1)
    return torch.cat([1 - covered.sum(0, keepdim=True), covered])


def to_pixels(p: torch.Tensor, grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Maps over cells (K + 1, h * w) as maps over pixels (K + 1, H, W), bilinear."""
    return resize(p.view(1, len(p), *grid), size)[0]
