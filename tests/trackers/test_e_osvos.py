"""e-OSVOS as a tracker: where it looks for the object, where it goes back to, and what it learns from its answers."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from vosnb import creatures
from vosnb.features import save_weights
from vosnb.methods.mask_rcnn import NOTHING, Detections, MaskRCNN, boxes_of, paste
from vosnb.methods.meta import MetaLearner, learning_rates
from vosnb.trackers import segment
from vosnb.trackers.one_shot import EOSVOS50OnATracker, EOSVOS50Tracker, EOSVOSOnATracker, EOSVOSTracker

SIZE = (64, 80)


@pytest.fixture(scope="module")
def clip():
    return creatures.generate(3, "easy", "val", SIZE, 7)


def learner_of(rate=0.02, **settings):
    torch.manual_seed(0)
    net = MaskRCNN(**settings).eval()
    return MetaLearner(net, learning_rates(dict(net.named_parameters()), "neuron", rate))


def run(clip, tracker):
    return torch.stack([p for *_, p in segment(tracker, clip) if p is not None])


class Told(nn.Module):
    """Stands in for Mask R-CNN: finds the boxes it is told to (None: nothing), and remembers where it was to look."""

    def __init__(self, boxes):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.boxes, self.asked, self.taught = iter(boxes), [], []

    def forward(self, images, masks=None, generator=None, last_box=None):
        if masks is not None:
            self.taught.append((images, masks))
            return (self.weight - 1).square().sum()
        self.asked.append(last_box)
        box, size = next(self.boxes), images.shape[-2:]
        if box is None:
            return Detections(torch.zeros(1, 4), torch.zeros(1), torch.full((1, *size), NOTHING))
        boxes = torch.tensor([box]).float()
        return Detections(boxes, torch.ones(1), paste(torch.full((1, 2, 2), 9.0), boxes, size))


def told(clip, boxes, **settings):
    """The tracker after a clip on which a network found these boxes; its first mask is object 1's."""
    net = Told(boxes)
    tracker = EOSVOSTracker(learner=MetaLearner(net, {}), rate=0.1, device="cpu", steps=2, **settings)
    return tracker, net, run(clip.only(1), tracker)


BOXES = [[10, 8, 30, 40], None, [12, 8, 32, 40], None, [16, 8, 36, 40], [40, 20, 70, 50]]


def test_it_looks_where_the_object_was_and_after_a_loss_where_it_was_given(clip):
    _, net, p = told(clip, BOXES)
    given = boxes_of(torch.from_numpy(clip.first_mask == 1).float()).tolist()
    assert [box.tolist() for box in net.asked] == [given, BOXES[0], given, BOXES[2], given, BOXES[4]]
    for answer, box in zip(p, BOXES, strict=True):
        assert (answer[1] > 0.5).sum() == (0 if box is None else (box[2] - box[0]) * (box[3] - box[1]))


def test_with_adaptation_it_goes_back_to_where_it_was_adapted(clip):
    _, net, _ = told(clip, BOXES, online=True, every=3, adapt_steps=1)
    given = boxes_of(torch.from_numpy(clip.first_mask == 1).float()).tolist()
    assert [box.tolist() for box in net.asked] == [given, BOXES[0], given, BOXES[2], BOXES[2], BOXES[4]]


def test_without_propagation_it_looks_everywhere(clip):
    _, net, _ = told(clip, BOXES, propagate=False)
    assert net.asked == [None] * 6


def test_adaptation_learns_from_the_first_frame_and_the_last_two_answers(clip):
    tracker, net, _ = told(clip, BOXES, online=True, every=3, adapt_steps=4)
    assert [len(images) for images, _ in net.taught] == [1] * 2 + [3] * 4 + [3] * 4
    (object,) = tracker.followed
    images, masks = net.taught[-1]
    assert torch.equal(images[0], object.image[0]) and torch.equal(masks[0], object.mask[0])
    assert boxes_of(masks[1:, 0]).tolist() == [BOXES[4], BOXES[5]]
    first, adapted = object.first["weight"], object.theta["weight"]
    torch.testing.assert_close(1 - first, torch.tensor([0.8**2]))  # each step brings it nearer to 1 by a fifth,
    torch.testing.assert_close(1 - adapted, torch.tensor([0.8**6]))  # and the second adaptation forgot the first


def test_objects_are_looked_for_apart_and_the_surer_one_wins(clip):
    net = Told([[10, 8, 30, 40], [20, 8, 50, 40]] + [None, [20, 8, 50, 40]])
    tracker = EOSVOSTracker(learner=MetaLearner(net, {}), rate=0.1, device="cpu", steps=0)
    mask = np.where(np.isin(clip.first_mask, clip.objects[:2]), clip.first_mask, 0).astype(np.uint8)
    tracker.start(clip.frames[0], mask)
    assert tracker.step(clip.frames[1]).shape == (3, *SIZE)
    labels = tracker.step(clip.frames[2]).argmax(0)
    assert set(labels.unique().tolist()) == {0, 2} and (labels == 2).sum() == 30 * 32
    given = [boxes_of(torch.from_numpy(mask == k).float()).tolist() for k in clip.objects[:2]]
    assert [box.tolist() for box in net.asked] == [*given, [10, 8, 30, 40], [20, 8, 50, 40]]


def test_a_clip_after_another_is_as_if_alone(clip):
    for settings in ({}, {"online": True, "every": 2, "adapt_steps": 1}, {"transforms": 2}):
        tracker = EOSVOSTracker(learner=learner_of(), device="cpu", steps=2, **settings)
        assert torch.equal(run(clip.only(1), tracker), run(clip.only(1), tracker))


def test_the_boxes_of_one_object_are_moved_as_if_it_were_alone(clip):
    settings = {"learner": learner_of(), "device": "cpu", "steps": 1}
    mask = np.where(np.isin(clip.first_mask, clip.objects[:2]), clip.first_mask, 0).astype(np.uint8)
    both, alone = EOSVOSTracker(**settings), EOSVOSTracker(**settings)
    both.start(clip.frames[0], mask)
    alone.start(clip.frames[0], np.where(mask == clip.objects[1], mask, 0).astype(np.uint8))
    for frame in clip.frames[1:4]:
        both.step(frame)
        alone.step(frame)
        torch.testing.assert_close(both.followed[1].box, alone.followed[0].box)


def test_steps_on_the_first_frame_draw_the_object_there(clip):
    first = clip.only(1)

    def overlap(steps):
        tracker = EOSVOSTracker(learner=learner_of(), rate=0.1, device="cpu", steps=steps)
        tracker.start(first.frames[0], first.first_mask)
        found, true = tracker.step(first.frames[0])[1].numpy() > 0.5, first.first_mask == 1
        return (found & true).sum() / (found | true).sum()

    assert overlap(60) > max(0.5, overlap(0) + 0.2)


def test_the_names_differ_in_steps_and_adaptation():
    kinds = (EOSVOSTracker, EOSVOS50Tracker, EOSVOSOnATracker, EOSVOS50OnATracker)
    made = [kind(learner=learner_of(), device="cpu") for kind in kinds]
    assert [(t.steps, t.online) for t in made] == [(10, False), (50, False), (10, True), (50, True)]
    assert EOSVOSOnATracker(learner=learner_of(), device="cpu", steps=3).steps == 3


def test_weights_of_another_network_are_told(tmp_path):
    learner = learner_of(loss="cross-entropy")
    path = tmp_path / "w.safetensors"
    save_weights(learner, path, network="MaskRCNN", settings=json.dumps(learner.net.settings))
    tracker = EOSVOSTracker(weights=str(path), device="cpu")
    assert tracker.net.settings == learner.net.settings and len(tracker.rates) == len(tracker.start_from)
    with pytest.raises(ValueError, match="vosnb train e-osvos"):
        EOSVOSTracker(weights="matching", device="cpu")
