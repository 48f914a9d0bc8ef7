"""Nearest neighbours: labels handed on by likeness alone, nothing trained. What every trained network has to beat."""

import torch
import torch.nn.functional as F

from vosnb.efficientnet import load_photographs
from vosnb.settings import Count, Positive, Steps
from vosnb.trackers.base import SHORT_SIDES, NetworkTracker, resize


class NearestTracker(NetworkTracker):
    """`nearest`: each cell takes the labels of the cells that look most like it, in the first frame and the last ones.

    Likeness is the cosine between features of the backbone that learned from photographs. neighbours: how many cells
    it asks. sharpness: of the softmax that weighs their labels. last: answers that it also asks, beside frame 0.
    The other settings: `NetworkTracker`.
    """

    def __init__(self, neighbours: Count = 20, sharpness: Positive = 20.0, last: Steps = 3, **network):
        super().__init__(**{"short_side": SHORT_SIDES["photos"]} | network)
        self.neighbours, self.sharpness, self.last = neighbours, sharpness, last
        self.photos = load_photographs(self.device).look

    def _reset(self):
        self.first: list[tuple[torch.Tensor, torch.Tensor]] = []  # (C, N) features and (1 + K, N) labels of their cells
        self.answers: list[tuple[torch.Tensor, torch.Tensor]] = []

    def _features(self, frame) -> torch.Tensor:
        return F.normalize(self.photos(self._fit(frame)).at8[0], dim=0)

    def _add(self, frame, mask, ids):
        x = self._features(frame)
        new = self._fit_masks(mask, ids, x.shape[-2:])[:, 0].flatten(1)
        known = len(self.objects) - len(ids)
        labels = torch.cat([1 - new.sum(0, keepdim=True), new.new_zeros(known, new.shape[1]), new])
        told = new.sum(0) > 0 if known else slice(None)  # the mask of a newcomer says nothing of who was there before
        self.first, self.answers = (
            [(f, F.pad(m, (0, 0, 0, len(ids)))) for f, m in memory] for memory in (self.first, self.answers)
        )
        self.first.append((x.flatten(1)[:, told], labels[:, told]))

    def _step(self, frame):
        x = self._features(frame)
        memory = self.first + self.answers
        features, labels = (torch.cat(part, 1) for part in zip(*memory, strict=True))
        likeness = self.sharpness * x.flatten(1).T @ features
        top = likeness.topk(min(self.neighbours, likeness.shape[1]), dim=1)
        p = (labels[:, top.indices] * top.values.softmax(1)).sum(-1)
        self.answers = [*self.answers, (x.flatten(1), p)][-self.last :] if self.last else []
        return resize(p.view(1, -1, *x.shape[-2:]), frame.shape[:2])[0]
