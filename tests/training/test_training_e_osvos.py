"""Training of e-OSVOS, in miniature: the clips, the parent, the meta-training from it, and killed runs of both."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from vosnb.cli import main
from vosnb.features import to_image, weights_card
from vosnb.methods.mask_rcnn import MaskRCNN, load_mask_rcnn
from vosnb.methods.meta import MetaLearner, TaskSet, learning_rates
from vosnb.training import e_osvos, loop

TINY = {"steps": 3, "parent_steps": 3, "batch": 1, "count": 2, "device": "cpu"}


@pytest.fixture(autouse=True)
def in_miniature(monkeypatch, tmp_path, in_this_process):
    for name, value in {"SIZE": 64, "TASKS": 1, "T": 1, "ProcessPoolExecutor": in_this_process}.items():
        monkeypatch.setattr(e_osvos, name, value)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 1)
    for module in (loop, e_osvos):
        monkeypatch.setattr(module, "ROOT", tmp_path)


def test_clips_are_drawn_once_with_each_object_by_itself(monkeypatch):
    frames, masks = e_osvos.clips(3, 2)
    assert frames.shape == (2, 8, 64, 64, 3) and masks.shape == (2, 8, 4, 64, 64) and masks.dtype == bool
    assert masks[:, :, 0].any((-2, -1)).any(1).all() and masks.sum(2).max() == 1
    again, same = e_osvos.clips(3, 2)
    monkeypatch.setattr(e_osvos, "draw_clip", None)
    np.testing.assert_array_equal(e_osvos.clips(3, 2)[0], frames)
    np.testing.assert_array_equal(again, frames)
    np.testing.assert_array_equal(same, masks)
    with pytest.raises(TypeError):
        e_osvos.clips(4, 2)


def test_samples_depend_on_seed_and_step_alone_and_are_mirrored_whole():
    frames, masks = e_osvos.clips(0, 2)
    frames = np.repeat(masks.any(2)[..., None], 3, -1).astype(np.uint8)  # objects are 1, the rest is 0
    shown = np.argwhere(masks.any((-3, -2, -1)))
    images, truth = e_osvos.batch_of(frames, masks, shown, 0, 5, 6)
    assert images.shape == (6, 64, 64, 3) and truth.shape == (6, 4, 64, 64)
    np.testing.assert_array_equal(images[..., 0] == 1, truth.any(1))
    known = [frames[n, t, ..., 0] for n, t in shown]
    mirrored = [not any(np.array_equal(image[..., 0], frame) for frame in known) for image in images]
    assert 0 < sum(mirrored) < 6
    again, other = (e_osvos.batch_of(frames, masks, shown, 0, step, 6)[0] for step in (5, 6))
    assert np.array_equal(images, again) and not np.array_equal(images, other)


def test_a_few_steps_on_one_batch_bring_the_parents_loss_down():
    torch.manual_seed(0)
    net, (frames, masks) = MaskRCNN(loss="cross-entropy"), e_osvos.clips(0, 2)
    images, truth = to_image(frames[:, 0], "cpu"), torch.from_numpy(masks[:, 0])
    optimizer, losses = torch.optim.AdamW(net.parameters(), e_osvos.PARENT_RATE), []
    for _ in range(8):
        loss = net(images, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


def test_meta_training_moves_the_start_and_the_rates():
    torch.manual_seed(0)
    net = MaskRCNN()
    learner = MetaLearner(net, learning_rates(dict(net.named_parameters()), "layer", 0.01))
    before = {name: x.clone() for name, x in learner.state_dict().items()}
    found = TaskSet(*e_osvos.clips(0, 2))
    e_osvos.meta_train(learner, found, "meta", 8, 0, False, torch.device("cpu"))
    after = learner.state_dict()
    moved = {name for name, x in after.items() if not torch.equal(x, before[name])}
    assert moved == set(before)
    assert all((x >= 0).all() for name, x in after.items() if name.startswith("rates."))


def test_both_stages_are_written_and_load(tmp_path):
    path = e_osvos.train(out=tmp_path / "e.safetensors", learn="layer", norm="batch", **TINY | {"steps": 1})
    learner, card = load_mask_rcnn(path), weights_card(path)
    assert learner.net.settings == {"norm": "batch", "loss": "lovasz", "proposals": 24}
    assert learner.rates.keys() == dict(learner.net.named_parameters()).keys() and path.stat().st_size < 8e5
    assert (card["seed"], card["learn"], card["steps"]) == ("0", "layer", "1")
    parent = load_mask_rcnn(tmp_path / "build" / "training" / "e-parent.safetensors")
    assert parent.rates == {} and parent.net.settings["loss"] == "cross-entropy"


@pytest.mark.parametrize(("stage", "call"), [("descend", 2), ("rcnn_loss", 4)])
def test_a_run_killed_in_either_stage_resumes_to_the_same_weights(monkeypatch, tmp_path, stage, call):
    whole = load_file(e_osvos.train(out=tmp_path / "whole.safetensors", **TINY))
    calls, function = [], getattr(e_osvos, stage)

    def killed(*args):
        calls.append(args)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*args)

    monkeypatch.setattr(e_osvos, stage, killed)
    with pytest.raises(KeyboardInterrupt):
        e_osvos.train(out=tmp_path / "cut.safetensors", **TINY)
    resumed = load_file(e_osvos.train(out=tmp_path / "cut.safetensors", resume=True, **TINY))
    assert whole.keys() == resumed.keys()
    for name in whole:
        torch.testing.assert_close(resumed[name], whole[name], atol=1e-3, rtol=1e-3)


def test_a_parent_that_is_given_is_not_trained(monkeypatch, tmp_path):
    parent = tmp_path / "parent.safetensors"
    e_osvos.write(net := MaskRCNN(loss="cross-entropy"), parent, net)
    monkeypatch.setattr(e_osvos, "train_parent", None)
    path = e_osvos.train(out=tmp_path / "e.safetensors", start_from=parent, **TINY | {"steps": 1})
    ours, given = load_mask_rcnn(path).net, load_mask_rcnn(parent).net
    torch.testing.assert_close(ours.smooth[0].weight, given.smooth[0].weight, atol=5e-3, rtol=0)
    assert ours.settings["loss"] == "lovasz"


def test_what_cannot_be_is_told(tmp_path):
    with pytest.raises(ValueError, match="choose from one, layer, neuron"):
        e_osvos.train(learn="parent")
    with pytest.raises(ValueError, match="choose from group, batch; cross-entropy, lovasz"):
        e_osvos.train(norm="layer")
    with pytest.raises(FileNotFoundError, match="train without --resume"):
        e_osvos.train(out=tmp_path / "none.safetensors", resume=True, **TINY)


def test_the_command_hands_its_options_on(monkeypatch):
    given = {}
    monkeypatch.setattr(e_osvos, "train", lambda **settings: given.update(settings) or "here")
    command = "train e-osvos --steps 7 --parent-steps 9 --learn layer --norm batch --loss lovasz --seed 3"
    said = CliRunner().invoke(main, command.split()).output
    assert said == "Weights are in here; use them as e-osvos-10:weights=here.\n"
    expected = {"steps": 7, "parent_steps": 9, "learn": "layer", "norm": "batch", "loss": "lovasz", "seed": 3}
    assert given == expected | {"resume": False}
    refused = CliRunner().invoke(main, ["train", "meta", "--parent-steps", "9"])
    assert refused.exit_code == 2 and "vosnb train e-osvos" in refused.output
