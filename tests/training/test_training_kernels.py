"""Training of S3's kernels, in miniature: the stages, the same samples for every row, and a killed run."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vosnb.clips import Clip
from vosnb.features import load_weights, save_weights, to_image, weights_card, weights_file
from vosnb.methods.dynamic_kernels import KernelNet, load_kernel_net
from vosnb.methods.matching import MatchingNet
from vosnb.trackers import segment
from vosnb.trackers.kernels import KernelTracker
from vosnb.training import dynamic_kernels, loop, refinement

TINY = {"steps": 4, "batch": 1, "count": 2, "device": "cpu"}


@pytest.fixture(autouse=True)
def in_miniature(monkeypatch, tmp_path, in_this_process):
    monkeypatch.setitem(refinement.RECIPES, "creatures", refinement.RECIPES["creatures"]._replace(side=64))
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(loop, "ROOT", tmp_path)
    monkeypatch.setattr(refinement, "ProcessPoolExecutor", in_this_process)


def test_clips_are_drawn_once_and_kept_whole(monkeypatch):
    frames, masks = dynamic_kernels.clips(3, 2)
    assert frames.shape == (2, 8, 64, 64, 3) and masks.shape == (2, 8, 2, 64, 64) and masks.dtype == bool
    again, same = dynamic_kernels.clips(3, 2)
    monkeypatch.setattr(dynamic_kernels, "draw_clips", None)
    np.testing.assert_array_equal(frames, again)
    np.testing.assert_array_equal(masks, same)
    np.testing.assert_array_equal(frames[1], refinement.draw_clip(3, 1, same_species=dynamic_kernels.SAME_SPECIES)[0])


def test_a_pseudo_video_moves_mask_and_colours_together():
    frame, masks = np.full((64, 64, 3), 60, np.uint8), np.zeros((2, 64, 64), bool)
    frame[20:44, 16:40], masks[0, 20:44, 16:40] = 200, True
    frames, labels = dynamic_kernels.pseudo_video(frame, masks, 3, np.random.default_rng(0))
    assert frames.shape == (3, 64, 64, 3) and labels.shape == (3, 2, 64, 64) and not labels[:, 1].any()
    for f, m in zip(frames, labels[:, 0], strict=True):
        assert 200 < m.sum() < 1500
        middle = (f[m].mean() + f[~m].mean()) / 2
        assert ((f.mean(-1) > middle) == m).mean() > 0.98
    assert all((labels[a] != labels[b]).any() for a, b in [(0, 1), (0, 2), (1, 2)])
    assert len({tuple(f[0, 0]) for f in frames}) == 3


def test_samples_depend_on_seed_and_step_alone_and_are_in_the_order_of_time():
    frames, masks = dynamic_kernels.clips(0, 2)
    for static, length in ((True, 3), (False, 4)):
        images, truth, together = dynamic_kernels.batch_of(frames, masks, 0, 7, 3, static)
        assert images.shape == (length, 3, 64, 64, 3) and truth.shape == (length, 3, 2, 64, 64)
        assert not (truth[:, together, 0] & truth[:, together, 1]).any()
        again, other = (dynamic_kernels.batch_of(frames, masks, 0, step, 3, static)[0] for step in (7, 8))
        assert np.array_equal(images, again) and not np.array_equal(images, other)
    time = np.broadcast_to(np.arange(8, dtype=np.uint8)[:, None, None, None], (2, 8, 64, 64, 3))
    images, *_ = dynamic_kernels.batch_of(time, masks, 0, 7, 3, False)
    assert (np.diff(images[:, :, 0, 0, 0].astype(int), axis=0) > 0).all()


@pytest.mark.parametrize("static", [True, False])
def test_a_few_steps_on_one_batch_bring_the_loss_down(static):
    torch.manual_seed(0)
    net = KernelNet(aspp=True).eval()
    images, truth, together = dynamic_kernels.batch_of(*dynamic_kernels.clips(0, 2), 0, 0, 1, static)
    batch = to_image(images, "cpu"), torch.from_numpy(truth).float(), torch.from_numpy(together)
    optimizer, losses = torch.optim.AdamW(net.parameters(), 1e-3), []
    for _ in range(4):
        loss = dynamic_kernels.sample_loss(net, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    unused = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


def test_training_goes_through_a_clip_as_the_tracker_does(monkeypatch):
    torch.manual_seed(0)
    net = KernelNet().begin_as(load_weights(MatchingNet(), "matching")).eval()
    torch.nn.init.normal_(net.generator.layers[-1].weight, std=0.1)
    frames, masks = dynamic_kernels.clips(0, 2)
    frames, masks = frames[0, :4], np.repeat(masks[0, :4, :1], 2, 1)  # one object, twice
    logits, loss = [], dynamic_kernels.soft_mask_loss
    monkeypatch.setattr(dynamic_kernels, "soft_mask_loss", lambda x, y: (logits.append(x), loss(x, y))[1])
    batch = to_image(frames[:, None], "cpu"), torch.from_numpy(masks)[:, None].float(), torch.tensor([False])
    with torch.no_grad():
        dynamic_kernels.sample_loss(net, *batch)
    clip = Clip.from_arrays("sample", frames, masks[:, 0].astype(np.uint8))
    answers = [p for *_, p in segment(KernelTracker(net=net, device="cpu", every=1), clip) if p is not None]
    for x, p in zip(logits, answers, strict=True):
        torch.testing.assert_close(torch.sigmoid(2 * x[0, 0]), p[1], atol=1e-3, rtol=0)


@pytest.mark.parametrize("kernels", dynamic_kernels.KERNELS)
def test_every_row_is_written_with_its_parts_and_loads(tmp_path, kernels):
    name = dynamic_kernels.name_of(kernels, aspp=kernels == "both")
    path = dynamic_kernels.train(
        kernels, kernels == "both", out=tmp_path / f"{name}.safetensors", **TINY | {"steps": 1}
    )
    net, card = load_kernel_net(path), weights_card(path)
    assert tuple(net.settings["kernels"]) == dynamic_kernels.KERNELS[kernels] and path.stat().st_size < 4e6
    assert card["seed"] == "0" and card["steps"] == "1"
    assert all(torch.isfinite(p).all() for p in net.parameters())


def test_rows_are_called_like_their_trackers():
    rows = [("none", False), ("global", False), ("local", False), ("both", False), ("both", True)]
    names = ["kernels-none", "kernels-global", "kernels-local", "kernels", "kernels+aspp"]
    assert [dynamic_kernels.name_of(*row) for row in rows] == names


def test_a_killed_run_resumes_to_the_same_weights(monkeypatch, tmp_path):
    whole = load_file(dynamic_kernels.train(out=tmp_path / "whole.safetensors", **TINY))
    calls, loss = [], dynamic_kernels.sample_loss

    def killed_at_the_fourth(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss(*args)

    monkeypatch.setattr(dynamic_kernels, "sample_loss", killed_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        dynamic_kernels.train(out=tmp_path / "cut.safetensors", **TINY)
    monkeypatch.setattr(dynamic_kernels, "sample_loss", loss)
    resumed = load_file(dynamic_kernels.train(out=tmp_path / "cut.safetensors", resume=True, **TINY))
    assert whole.keys() == resumed.keys()
    for name in whole:
        torch.testing.assert_close(resumed[name], whole[name], atol=1e-3, rtol=1e-3)


def test_it_begins_as_the_matcher_it_was_given(tmp_path):
    torch.manual_seed(5)
    save_weights(MatchingNet(), tmp_path / "other.safetensors")
    path = dynamic_kernels.train(
        start_from=tmp_path / "other.safetensors", out=tmp_path / "from.safetensors", **TINY | {"steps": 1}
    )
    ours, other = load_file(path), load_file(tmp_path / "other.safetensors")
    names = [name for name in other if name.endswith("query_key.weight")]
    assert names and all((ours[name] - other[name]).abs().max() < 2e-3 for name in names)


def test_a_shallower_backbone_begins_with_the_blocks_it_has_room_for(tmp_path):
    path = dynamic_kernels.train(shallow=True, out=tmp_path / "shallow.safetensors", **TINY | {"steps": 1})
    ours, matcher = load_file(path), load_file(weights_file("matching"))
    deepest = {name for name in matcher if name.startswith("query_encoder.stride8.2.")}
    assert deepest and not deepest & ours.keys() and load_kernel_net(path).settings["shallow"]
    name = "query_encoder.stride8.1.body.0.0.weight"
    assert (ours[name] - matcher[name]).abs().max() < 2e-3
    assert dynamic_kernels.name_of("both", False, shallow=True) == "kernels-shallow"


def test_what_cannot_be_is_told(tmp_path):
    with pytest.raises(ValueError, match="choose from none, global, local, both"):
        dynamic_kernels.train("glocal")
    with pytest.raises(FileNotFoundError, match="train without --resume"):
        dynamic_kernels.train(out=tmp_path / "none.safetensors", resume=True, **TINY)
