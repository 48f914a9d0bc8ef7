"""Fine-tuning a network to each object's first frame, in few steps (S4; lessons 11 and 12)."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.func import functional_call

from vosnb.features import Device, Weights
from vosnb.methods.mask_rcnn import boxes_of, load_mask_rcnn
from vosnb.methods.meta import MetaLearner, Tensors, fine_tune
from vosnb.methods.one_shot import load_one_shot, merge_maximum, spatial_transforms
from vosnb.settings import Count, NotNegative, Seed, Steps
from vosnb.trackers.base import NetworkTracker, ShortSide, resize


@dataclass
class Followed:
    """One object, and the network that knows it."""

    image: torch.Tensor  # (1, 3, h, w), the frame that it was given on, and
    mask: torch.Tensor  # (1, 1, h, w), its mask there
    first: Tensors  # theta^T, tuned to that frame alone
    theta: Tensors  # what it is segmented with now
    recent: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)  # later frames, and answers to them
    seen: int = 0  # later frames


class OneShotTracker(NetworkTracker):
    """What one-shot trackers share: a network tuned to each object by itself, and now and then to its own answers.

    learner: start and rates; or weights, the name or file of them. steps: T. rate: one for all parameters, None for the
    learned ones. transforms: images of a step, each the first frame turned and scaled at random; 0: itself.
    online: whether, after every `every` frames, the network goes back to where the first frame had left it, and from
        there takes `adapt_steps` on that frame and the `recent` last ones with the answers to them (S4 section 3.3).
    seed: of what is drawn at random. The other settings: `NetworkTracker`.
    """

    WEIGHTS = "one-shot"

    def __init__(
        self,
        steps: Steps = 10,
        rate: NotNegative | None = None,
        transforms: Steps = 0,
        online: bool = False,
        every: Count = 5,
        adapt_steps: Steps = 10,
        recent: Count = 2,
        learner: MetaLearner | None = None,
        weights: Weights | None = None,
        seed: Seed = 0,
        short_side: ShortSide = 96,
        device: Device = None,
    ):
        super().__init__(short_side, device)
        learner = learner or self._load(weights or self.WEIGHTS)
        if rate is None and not learner.rates:
            raise ValueError("no rates were learned with these weights: give one, as in rate=0.1.")
        self.net = learner.net.to(self.device).eval()
        self.start_from = {name: x.detach() for name, x in learner.theta.items()}
        rates = learner.rates if rate is None else dict.fromkeys(self.start_from, torch.tensor(rate))
        self.rates = {name: x.detach().to(self.device) for name, x in rates.items()}
        self.steps, self.transforms, self.seed = steps, transforms, seed
        self.online, self.every, self.adapt_steps, self.recent = online, every, adapt_steps, recent

    def _load(self, weights: str | Path) -> MetaLearner:
        raise NotImplementedError

    def _loss(self, images: torch.Tensor, masks: torch.Tensor, theta: Tensors) -> torch.Tensor:
        """L_seg of the network with parameters theta: images (B, 3, h, w), masks (B, 1, h, w)."""
        raise NotImplementedError

    def _probability(self, image: torch.Tensor, object: Followed) -> torch.Tensor:
        """Where the object is in the next frame (1, 3, h, w): (h, w) in 0..1."""
        raise NotImplementedError

    def _reset(self):
        self.followed: list[Followed] = []

    def _add(self, frame, mask, ids):
        image = self._fit(frame)
        for m in self._fit_masks(mask, ids, image.shape[-2:]):
            self._follow(image, m[None])

    def _follow(self, image: torch.Tensor, mask: torch.Tensor) -> None:
        """A new object: its network, tuned to the first frame."""
        r = np.random.default_rng([self.seed, len(self.followed)])
        repeated = [x.expand(self.transforms, -1, -1, -1) for x in (image, mask)]

        def loss(theta: Tensors, t: int) -> torch.Tensor:
            return self._loss(*(spatial_transforms(*repeated, r) if self.transforms else (image, mask)), theta)

        tuned = fine_tune(loss, self.start_from, self.rates, self.steps)
        self.followed.append(Followed(image, mask, tuned, tuned))

    def _step(self, frame):
        image = self._fit(frame)
        together = merge_maximum(torch.stack([self._probability(image, object) for object in self.followed]))
        if self.online:
            winner = together.argmax(0)
            for k, object in enumerate(self.followed, 1):
                self._remember(object, image, (winner == k)[None, None].float())
        return resize(together[None], frame.shape[:2])[0]

    def _remember(self, object: Followed, image: torch.Tensor, mask: torch.Tensor) -> None:
        """A frame and the answer to it, for the next adaptation; nothing is learned from an empty one."""
        object.seen += 1
        if mask.any():
            object.recent = [*object.recent, (image, mask)][-self.recent :]
        if object.seen % self.every == 0 and object.recent:
            images, masks = (torch.cat(x) for x in zip((object.image, object.mask), *object.recent, strict=True))
            object.theta = fine_tune(
                lambda theta, t: self._loss(images, masks, theta), object.first, self.rates, self.adapt_steps
            )


class ConvolutionalTracker(OneShotTracker):
    """`one-shot`: the fully convolutional net, from a start and with rates that were learned for ten steps or so."""

    def _load(self, weights):
        return load_one_shot(weights)

    def _loss(self, images, masks, theta):
        return self.net.loss(functional_call(self.net, theta, (images,)), masks)

    def _probability(self, image, object):
        return torch.sigmoid(functional_call(self.net, object.theta, (image,)))[0, 0]


class FinetunedParentTracker(ConvolutionalTracker):
    """`parent+finetune`: the same net, trained in the ordinary way, and one rate for all of it, found by search."""

    WEIGHTS = "one-shot-parent"

    def __init__(self, rate: NotNegative | None = 0.1, **one_shot):
        super().__init__(rate=rate, **one_shot)


@dataclass
class Propagated(Followed):
    """One object, and where it is looked for."""

    box: torch.Tensor | None = None  # (4,), of the frame before, and
    refuge: torch.Tensor | None = None  # the one to go back to, when it was not found there
    generator: torch.Generator | None = None  # of what moves the boxes


class EOSVOSTracker(OneShotTracker):
    """`e-osvos-10`: Mask R-CNN, tuned to each object, then the best box of each frame and the mask in it (S4).

    propagate: whether half of the proposals begin at the box of the frame before (S4 section 3.3). After a frame
        without the object they begin where it was at the start, or with `online`, when the network was last adapted.
    The other settings: `OneShotTracker`.
    """

    WEIGHTS = "e-osvos"

    def __init__(self, propagate: bool = True, recent: Count = 2, short_side: ShortSide = 128, **one_shot):
        super().__init__(recent=recent, short_side=short_side, **one_shot)
        self.propagate = propagate

    def _load(self, weights):
        return load_mask_rcnn(weights)

    def _loss(self, images, masks, theta):
        return functional_call(self.net, theta, (images, masks))

    def _follow(self, image, mask):
        super()._follow(image, mask)
        object, box = self.followed[-1], boxes_of(mask)[0, 0]
        generator = torch.Generator().manual_seed(self.seed)
        self.followed[-1] = Propagated(**vars(object), box=box, refuge=box, generator=generator)

    def _probability(self, image, object):
        given = (image, None, object.generator, object.box) if self.propagate else (image,)
        found = functional_call(self.net, object.theta, given)
        object.box = found.boxes[0] if found.scores[0] >= 0.5 else object.refuge
        return torch.sigmoid(found.logits[0])

    def _remember(self, object, image, mask):
        super()._remember(object, image, mask)
        if object.seen % self.every == 0 and mask.any():
            object.refuge = boxes_of(mask)[0, 0]


class EOSVOS50Tracker(EOSVOSTracker):
    """`e-osvos-50`: fifty steps on the first frame."""

    def __init__(self, steps: Steps = 50, **e_osvos):
        super().__init__(steps=steps, **e_osvos)


class EOSVOSOnATracker(EOSVOSTracker):
    """`e-osvos-10-OnA`: ten steps on the first frame, and ten after every five frames."""

    def __init__(self, online: bool = True, **e_osvos):
        super().__init__(online=online, **e_osvos)


class EOSVOS50OnATracker(EOSVOSOnATracker):
    """`e-osvos-50-OnA`: fifty steps, and adaptation."""

    def __init__(self, steps: Steps = 50, **e_osvos):
        super().__init__(steps=steps, **e_osvos)
