"""Mask R-CNN's parts, held to loops over boxes and pixels (and to torchvision where it exists); then the whole."""

import json

import numpy as np
import pytest
import torch
from torch.func import functional_call

from vosnb.features import save_weights
from vosnb.methods.mask_rcnn import (
    NOTHING,
    MaskRCNN,
    anchors_of,
    balanced,
    box_iou,
    boxes_of,
    clip_boxes,
    decode,
    encode,
    extend_proposals,
    load_mask_rcnn,
    nms,
    paste,
    roi_align,
)
from vosnb.methods.meta import fine_tune, learning_rates
from vosnb.methods.one_shot import LOSSES, NORMS

SIZE = (64, 80)


def random_boxes(*shape, size=SIZE, seed=0, least=1.0):
    r = torch.Generator().manual_seed(seed)
    corners = torch.rand(*shape, 2, 2, generator=r) * (torch.tensor(size).flip(0) - least)
    low, high = corners.amin(-2), corners.amax(-2) + least
    return torch.cat([low, high], -1)


def greedy(boxes, threshold):
    """Suppression box by box: indices of those that stay."""
    stays = []
    for i in range(len(boxes)):
        if all(box_iou(boxes[i : i + 1], boxes[j : j + 1]).item() <= threshold for j in stays):
            stays.append(i)
    return stays


def bin_by_bin(image, box, out, stride, samples):
    """RoIAlign of one map (h, w), point by point."""
    (h, w), (left, top, right, bottom) = image.shape, box.tolist()
    pooled = torch.zeros(out, out, dtype=image.dtype)
    for i in range(out * samples):
        for j in range(out * samples):
            y = (top + (i + 0.5) / (out * samples) * (bottom - top)) / stride - 0.5
            x = (left + (j + 0.5) / (out * samples) * (right - left)) / stride - 0.5
            y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            above = image[y0, x0] * (1 - x + x0) + image[y0, x1] * (x - x0)
            below = image[y1, x0] * (1 - x + x0) + image[y1, x1] * (x - x0)
            pooled[i // samples, j // samples] += (above * (1 - y + y0) + below * (y - y0)) / samples**2
    return pooled


def scene(seed=0, objects=1, size=SIZE, images=1):
    """Bright rectangles on noise: images (B, 3, H, W) and masks (B, K, H, W)."""
    r = np.random.default_rng(seed)
    x, masks = torch.from_numpy(r.normal(0, 0.3, (images, 3, *size))).float(), torch.zeros(images, objects, *size)
    for b in range(images):
        for k in range(objects):
            top, left = r.integers(4, size[0] - 28), 4 + k * 38 + r.integers(0, 6)
            masks[b, k, top : top + 22, left : left + 26] = 1
            x[b] += masks[b, k] * torch.tensor([2.0, -1.0, k])[:, None, None]
    return x, masks


def network(seed=0, **settings):
    torch.manual_seed(seed)
    return MaskRCNN(**settings)


def test_boxes_are_around_masks_and_zero_around_nothing():
    masks = torch.zeros(2, 2, 20, 30)
    masks[0, 0, 3:7, 11:20] = 1
    masks[0, 0, 5, 25] = 0.4  # less than one half
    masks[0, 1, 19, 29] = masks[1, 0, 0, 0] = 0.6
    expected = [[[11, 3, 20, 7], [29, 19, 30, 20]], [[0, 0, 1, 1], [0, 0, 0, 0]]]
    assert boxes_of(masks).tolist() == expected


def test_iou_counts_pixels():
    boxes = random_boxes(7, seed=1).round()
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    drawn = [(x >= b[0]) & (x < b[2]) & (y >= b[1]) & (y < b[3]) for b in boxes]
    expected = [[(a & b).sum() / (a | b).sum() for b in drawn] for a in drawn]
    torch.testing.assert_close(box_iou(boxes, boxes), torch.tensor(expected))
    assert not box_iou(torch.zeros(1, 4), torch.tensor([[0.0, 0, 5, 5], [0, 0, 0, 0]])).any()


def test_moves_are_undone_and_limited():
    anchors, boxes = random_boxes(50, seed=2, least=5.0), random_boxes(50, seed=3, least=5.0)
    torch.testing.assert_close(decode(anchors, encode(anchors, boxes)), boxes, atol=1e-3, rtol=1e-4)
    moved = decode(torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[10.0, -5, 0, 1e9]]))
    torch.testing.assert_close(moved, torch.tensor([[10.0, -160, 20, 160]]))
    assert clip_boxes(torch.tensor([[-3.0, -2, 99, 70]]), SIZE).tolist() == [[0, 0, 80, 64]]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7])
def test_suppression_is_that_of_box_after_box(threshold):
    boxes = random_boxes(6, 40, seed=4, least=20.0)
    stays = nms(boxes, threshold)
    assert [row.nonzero()[:, 0].tolist() for row in stays] == [greedy(group, threshold) for group in boxes]
    assert stays.sum() < stays.numel() or threshold == 0.7


def test_suppression_along_a_chain_lets_every_second_box_stay():
    boxes = torch.stack([torch.tensor([4.0 * i, 0, 4 * i + 10, 10]) for i in range(9)])  # neighbours alone overlap
    assert nms(boxes, 0.4).tolist() == [True, False] * 4 + [True]


def test_against_torchvision():
    ops = pytest.importorskip("torchvision.ops", exc_type=Exception)
    boxes = random_boxes(60, seed=5, least=4.0)
    expected = ops.nms(boxes, torch.linspace(1, 0, 60), 0.3)
    assert nms(boxes, 0.3).nonzero()[:, 0].tolist() == expected.tolist()
    torch.testing.assert_close(box_iou(boxes, boxes), ops.box_iou(boxes, boxes))
    maps = torch.randn(1, 3, 16, 20)
    expected = ops.roi_align(maps, [boxes], 7, 1 / 4, 2, aligned=True)
    torch.testing.assert_close(roi_align(maps, boxes[None], 7, 4)[0], expected, atol=1e-5, rtol=1e-5)
    masks = torch.rand(1, 1, *SIZE)
    torch.testing.assert_close(boxes_of(masks)[0], ops.masks_to_boxes(masks[0] > 0.5) + torch.tensor([0.0, 0, 1, 1]))


@pytest.mark.parametrize(("out", "stride", "samples"), [(7, 4, 2), (3, 8, 3), (5, 1, 2)])
def test_roi_align_reads_every_point_bilinearly(out, stride, samples):
    maps = torch.randn(2, 2, SIZE[0] // stride, SIZE[1] // stride, dtype=torch.float64)
    boxes = torch.cat(
        [random_boxes(2, 3, seed=6), torch.tensor([[[0.0, 0, 80, 64]], [[79.5, 60, 80, 64]]])], 1
    ).double()
    found = roi_align(maps, boxes, out, stride, samples)
    for b in range(2):
        for p in range(4):
            for c in range(2):
                expected = bin_by_bin(maps[b, c], boxes[b, p], out, stride, samples)
                torch.testing.assert_close(found[b, p, c], expected)


def test_roi_align_is_exact_where_rounding_would_not_be():
    """On a ramp, a bin is the ramp at the bin's centre, to a fraction of a cell."""
    ramp = torch.arange(20.0).expand(1, 1, 16, 20)  # of stride 4: at x pixels it is x / 4 - 1 / 2
    found = roi_align(ramp, torch.tensor([[[9.3, 8, 37.3, 36]]]), 7, 4)[0, 0, 0, 0]
    torch.testing.assert_close(found, (9.3 + 4 * (torch.arange(7) + 0.5)) / 4 - 0.5)


def test_roi_align_has_a_second_derivative():
    maps = torch.randn(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[[1.3, 2, 14, 15.5]]], dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: roi_align(x, boxes, 2, 4).square().sum(), maps)


def test_pasting_puts_a_mask_where_it_was_read():
    _, masks = scene()
    box = torch.tensor([[[2.0, 3, 61, 59]]])
    read = roi_align(masks, box, 28, 1)[0, 0]
    back = paste(read, box[0], SIZE)
    assert ((back > 0.5) == (masks[0] > 0.5)).float().mean() > 0.985
    outside = torch.ones(SIZE, dtype=bool)
    outside[3:59, 2:61] = False
    assert (back[0][outside] == NOTHING).all() and (back[0][~outside] >= 0).all()


def test_anchors_stand_on_cells_and_have_the_size_of_their_level():
    anchors = anchors_of(((16, 20), (8, 10), (4, 5)))
    assert len(anchors) == 3 * (320 + 80 + 20)
    size = anchors[:, 2:] - anchors[:, :2]
    torch.testing.assert_close(size.prod(1).unique().sqrt().round().unique(), torch.tensor([20.0, 40, 80]))
    torch.testing.assert_close((size[:3, 1] / size[:3, 0]), torch.tensor([0.5, 1, 2]))
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    torch.testing.assert_close(centres[3], torch.tensor([6.0, 2]))  # the second cell of the first row
    torch.testing.assert_close(centres[-1], torch.tensor([72.0, 56]))


def test_half_of_the_proposals_are_copies_of_the_last_box_grown_by_a_tenth_at_most():
    proposals, last = random_boxes(24, seed=7), torch.tensor([30.0, 5, 78, 45])
    extended = extend_proposals(proposals, last, SIZE, torch.Generator().manual_seed(0))
    assert torch.equal(extended[:12], proposals[:12]) and extended.shape == proposals.shape
    copies, most = extended[12:], clip_boxes(last + torch.tensor([-4.8, -4, 4.8, 4]), SIZE)
    outward = torch.tensor([-1, -1, 1, 1])
    assert ((copies - last) * outward >= 0).all() and ((most - copies) * outward >= 0).all()
    assert len(copies.unique(dim=0)) == 12 and copies[:, 2].max() == 80
    again = extend_proposals(proposals, last, SIZE, torch.Generator().manual_seed(0))
    other = extend_proposals(proposals, last, SIZE, torch.Generator().manual_seed(1))
    assert torch.equal(extended, again) and not torch.equal(extended, other)


def test_positives_weigh_as_much_as_negatives_and_the_rest_nothing():
    logits = torch.tensor([2.0, -1, 0, 3, 50])
    positive, negative = (
        torch.tensor([True, False, False, False, False]),
        torch.tensor([False, True, True, True, False]),
    )
    cost = torch.nn.functional.softplus
    expected = (cost(torch.tensor(-2.0)) + cost(torch.tensor([-1.0, 0, 3])).mean()) / 2
    torch.testing.assert_close(balanced(logits, positive, negative), expected)
    torch.testing.assert_close(balanced(logits, positive, positive & False), cost(torch.tensor(-2.0)) / 2)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", NORMS)
def test_the_loss_has_three_parts_and_teaches_every_weight(norm, loss):
    net, (images, masks) = network(norm=norm, loss=loss), scene(objects=2, images=2)
    losses = net.losses(images, masks)
    assert list(losses) == ["rpn", "box", "mask"] and all(x > 0 for x in losses.values())
    total = net(images, masks)
    torch.testing.assert_close(total, sum(losses.values()))
    total.backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_masks_of_objects_that_are_not_there_change_nothing():
    net, (images, masks) = network().eval(), scene()
    empty = torch.zeros_like(masks)
    torch.testing.assert_close(net(images, torch.cat([empty, masks, empty], 1)), net(images, masks))
    losses = net.losses(images, empty)
    assert losses["mask"] == 0 and losses["rpn"] > 0 and losses["box"] > 0


def test_an_image_without_the_object_teaches_that_nothing_is_there():
    net, (images, masks) = network().train(), scene()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with torch.no_grad():
        before = net(images).scores.item()
    for _ in range(3):
        optimizer.zero_grad()
        net(images, 0 * masks).backward()
        assert all(p.grad.isfinite().all() for p in net.parameters())
        optimizer.step()
    with torch.no_grad():
        assert net(images).scores.item() < before - 0.02


def test_proposals_are_the_best_anchors_moved_without_near_duplicates():
    net = network()
    anchors = anchors_of(((16, 20), (8, 10), (4, 5)))
    logits, moves = torch.randn(1, len(anchors)), torch.randn(1, len(anchors), 4)
    found = net.propose(anchors, logits, moves, SIZE)[0]
    order = logits[0].argsort(descending=True)[: net.CANDIDATES]
    boxes = clip_boxes(decode(anchors[order], moves[0, order]), SIZE)
    torch.testing.assert_close(found, boxes[greedy(boxes, 0.7)][: net.proposals])


def test_true_boxes_take_turns_exact_first_then_shaken():
    net, true = network(), torch.tensor([[[10.0, 10, 30, 40], [0, 0, 0, 0], [40, 20, 60, 50]]])
    copies = net.copies(true, SIZE, torch.Generator().manual_seed(0))[0]
    assert len(copies) == net.COPIES and torch.equal(copies[:2], true[0, [0, 2]])
    overlap = box_iou(copies[2:], true[0])
    assert overlap.argmax(1).tolist() == [0, 2] * 3 and (overlap.amax(1) < 1).all() and (overlap.amax(1) > 0.45).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_some_steps_on_one_frame_find_the_object_in_another(loss):
    net, (images, masks) = network(loss=loss), scene(seed=1)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        net(images, masks).backward()
        optimizer.step()
    images, masks = scene(seed=2)
    with torch.no_grad():
        found = net.eval()(images)
    assert found.boxes.shape == (1, 4) and found.scores[0] > 0.5
    assert box_iou(found.boxes, boxes_of(masks)[0]).item() > 0.6
    drawn = found.logits > 0
    assert (drawn & (masks[0] > 0)).sum() > 0.6 * (drawn | (masks[0] > 0)).sum()


def test_an_unlikely_box_is_no_detection():
    net, (images, _) = network().eval(), scene(images=2)
    for bias, nothing in ((-3.0, True), (3.0, False)):
        torch.nn.init.constant_(net.box_score.bias, bias)
        with torch.no_grad():
            found = net(images)
        assert ((found.scores < 0.5) == nothing).all()
        assert (found.logits == NOTHING).all() == nothing and found.logits.shape == (2, *SIZE)


def test_the_last_box_is_looked_at_again():
    """A network that does not move boxes and draws everything answers with what it was given."""
    net, (images, _) = network().eval(), scene()
    for layer in (net.anchor_score, net.box_move):
        torch.nn.init.zeros_(layer.weight)
    last = torch.tensor([11.0, 9, 35, 37])
    with torch.no_grad():
        maps = net.pyramid(images)
        given = net.propose(*net.score_anchors(maps), SIZE)[0]
        extended = extend_proposals(given, last, SIZE, torch.Generator().manual_seed(3))
        best = net.judge(maps, extended[None])[0][0].argmax()
        found = net(images, last_box=last, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(found.boxes[0], extended[best])


def test_group_normalisation_does_not_ask_who_else_is_in_the_batch():
    images, masks = scene(images=2, objects=2)
    for norm, alone in (("group", True), ("batch", False)):
        net = network(norm=norm).train()
        both, one = net.pyramid(images)[0][:1], net.pyramid(images[:1])[0]
        assert torch.allclose(both, one, atol=1e-4) == alone


def test_frames_need_not_be_multiples_of_the_coarsest_stride():
    images, masks = scene(size=(72, 88))
    net = network().eval()
    assert net(images).logits.shape == (1, 72, 88) and net(images, masks).isfinite()


def test_fine_tuning_from_outside_lowers_the_loss_and_leaves_the_network_alone():
    net, (images, masks) = network(), scene(seed=1)
    theta = {name: p.detach() for name, p in net.named_parameters()}
    before, seen = {name: p.clone() for name, p in theta.items()}, []
    fine_tune(
        lambda theta, t: functional_call(net, theta, (images, masks)),
        theta,
        learning_rates(theta, "neuron", 0.1),
        4,
        watch=lambda t, theta, loss: seen.append(loss.item()),
    )
    assert seen[-1] < 0.9 * seen[0]
    assert all(torch.equal(p, before[name]) for name, p in net.named_parameters())


def test_weights_come_back_with_their_settings(tmp_path):
    net = network(norm="batch", loss="cross-entropy", proposals=12)
    card = {"network": "MaskRCNN", "settings": json.dumps(net.settings)}
    save_weights(net, tmp_path / "net.safetensors", **card)
    loaded = load_mask_rcnn(tmp_path / "net.safetensors").net
    assert loaded.settings == net.settings and not loaded.training
    torch.testing.assert_close(loaded.smooth[0].weight, net.smooth[0].weight, atol=1e-3, rtol=1e-3)
    save_weights(net, tmp_path / "other.safetensors", **card | {"network": "OneShotNet"})
    with pytest.raises(ValueError, match="no weights of a MaskRCNN"):
        load_mask_rcnn(tmp_path / "other.safetensors")


def test_unknown_settings_are_told():
    with pytest.raises(ValueError, match="choose from group, batch; cross-entropy, lovasz"):
        MaskRCNN(norm="layer")
    with pytest.raises(ValueError, match="choose from group, batch; cross-entropy, lovasz"):
        MaskRCNN(loss="dice")
