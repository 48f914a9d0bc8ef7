"""From the masks of some frames to those of all: what carries a user's corrections through the clip (S2 section 3).

S2 hands the last round's masks to a network that propagates them; here it is S1's tracker, after every round: D learns
each object on all corrected frames at once (`target_model`), R draws the masks (`refinement`), and from the corrected
frames outward D learns on from what it found. The backbone's maps are there already, so that a frame costs R alone.
"""

from collections.abc import Iterator

import numpy as np
import torch

from vosnb.clips.masks import VOID
from vosnb.features import to_image
from vosnb.methods.augmentation import augment_first_frame
from vosnb.methods.matching import soft_aggregate
from vosnb.methods.target_model import Settings, TargetModel
from vosnb.trackers.base import resize
from vosnb.trackers.target import SUITED, load_offline

FIRST, LATER = 10, 4  # images that the first corrected frame is turned into, and each later one, itself included
LEARNED = 12  # of all these, about as many as D learns from: it has less to imagine where more was shown
UPDATE_EVERY = 4  # frames: t_s of S1, Algorithm 1


class Propagation:
    """Of one clip. What does not change from round to round is kept: a corrected frame's samples."""

    def __init__(self, frames, encoder, maps: list[torch.Tensor], seed: int = 0):
        """frames (H, W, 3) uint8; encoder: of the photographs; maps: its maps of all frames, deepest first."""
        self.frames, self.encoder, self.maps, self.seed = frames, encoder, maps, seed
        self.net = load_offline("refinement", "photos", None).to(maps[0].device)
        self.image_size = [8 * n for n in maps[0].shape[-2:]]
        self.kept: dict = {}  # (frame, object): how many samples were drawn, its mask, and the samples made of it

    def run(self, corrected: dict[int, np.ndarray]) -> Iterator[tuple[int, int, int, torch.Tensor] | tuple[int, int]]:
        """corrected {frame: index mask (H, W)}, in the order in which they were painted. Yields steps done, and of how
        many; after learning also a frame that nobody corrected and its probabilities (K + 1, H, W), those nearest to a
        corrected one first."""
        objects = sorted({int(k) for mask in corrected.values() for k in np.unique(mask)} - {0, VOID})
        times = list(corrected)
        left = [t for t in range(len(self.frames)) if t not in corrected]
        left.sort(key=lambda t: min(abs(t - known) for known in times))
        done, total = 0, len(objects) * (len(times) + 1) + len(left)
        targets = []
        images = max(2, LEARNED // len(times))
        for k in objects:
            found = []
            for t in times:
                most = max(2, (FIRST if t == times[0] else LATER) // len(objects))
                x, labels = self._samples(t, k, corrected[t], most)
                found.append((x[:images], labels[:images]))
                yield (done := done + 1), total
            targets.append([torch.cat(part) for part in zip(*found, strict=True)])
            yield (done := done + 1), total
        seen = torch.cat([x for x, _ in targets])
        self.net.begin([seen])
        settings = Settings(
            hidden=SUITED["photos"]["hidden"],
            iterations=(5, 10, 10, 10),
            regularisation=(30.0, 30.0),
            squared=False,
            rate=SUITED["photos"]["rate"],
            capacity=seen.shape[0] + len(left) // 2 + 2,
        )
        models = []
        for x, labels in targets:
            models.append(TargetModel(settings))
            models[-1].start(self.net.features([x]), labels)
        for n, t in enumerate(left):
            maps = [x[t : t + 1].float() for x in self.maps]
            x = self.net.features(maps)
            s = torch.cat([model.scores(x) for model in models])
            with torch.no_grad():
                p = soft_aggregate(torch.sigmoid(self.net(maps, s, self.image_size)[:, 0]))
            for model, label in zip(models, p[1:], strict=True):
                model.add(x, label[None, None])
                if (n + 1) % UPDATE_EVERY == 0:
                    model.update()
            found = torch.zeros(max(objects) + 1, *self.frames[t].shape[:2])
            found[[0, *objects]] = resize(p[None], self.frames[t].shape[:2])[0].cpu()
            yield (done := done + 1), total, t, found

    def _samples(self, t: int, k: int, mask: np.ndarray, most: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A corrected frame, and others like it, for object k: all maps together (n, C, h, w), and labels."""
        there = mask == k
        known = self.kept.get((t, k))
        if known is None or known[0] != most or not np.array_equal(known[1], there):
            if there.any():
                pictures, labels = augment_first_frame(self.frames[t], there.astype(np.uint8), most, self.seed)
            else:  # it is told that the object is not there
                pictures, labels = self.frames[t][None], there[None]
            device = self.maps[0].device
            shown = resize(to_image(pictures, device), self.image_size).split(1)
            x = torch.cat([self.net.together(list(self.encoder(one))[::-1]) for one in shown])
            y = resize(torch.from_numpy(np.asarray(labels, np.float32))[:, None].to(device), self.image_size)
            self.kept[t, k] = known = most, there, x, y
        return known[2:]
