"""Training of S4's fully convolutional rows, in miniature."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from vosnb import cli
from vosnb.features import weights_card
from vosnb.methods.meta import TaskSet
from vosnb.methods.one_shot import load_one_shot
from vosnb.training import loop, meta

TINY = {"steps": 4, "count": 3, "device": "cpu"}


@pytest.fixture(autouse=True)
def in_miniature(monkeypatch, tmp_path):
    for name, value in {
        "SIZE": 32,
        "T": 2,
        "TASKS": 2,
        "TESTS": 1,
        "FRAMES": 4,
        "ORDINARY": 2,
        "clips": squares,
    }.items():
        monkeypatch.setattr(meta, name, value)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(loop, "ROOT", tmp_path)


def squares(seed, count):
    """Bright squares on noise, standing in for drawn clips: two objects each."""
    r = np.random.default_rng(seed)
    frames = r.integers(0, 80, (count, 4, 48, 48, 3), dtype=np.uint8)
    masks = np.zeros((count, 4, 2, 48, 48), bool)
    for n in range(count):
        for k in range(2):
            y, x = r.integers(0, 24, 2)
            masks[n, :, k, y : y + 16, x : x + 16] = True
            frames[n, masks[n, :, k]] = r.integers(120, 255, 3)
    return frames, masks


def test_clips_are_shrunk_with_their_masks():
    frames, masks = squares(0, 2)
    small, labels = meta.shrunk(frames, masks, 24)
    assert small.shape == (2, 4, 24, 24, 3) and labels.shape == (2, 4, 2, 24, 24) and labels.dtype == bool
    np.testing.assert_allclose(small.mean((2, 3)), frames.mean((2, 3)), atol=0.6)
    np.testing.assert_allclose(labels.mean((-2, -1)), masks.mean((-2, -1)), atol=0.03)


def test_tasks_depend_on_seed_and_step_alone_and_share_colours():
    found = TaskSet(*meta.shrunk(*squares(0, 3), 32))
    first, again, other = (meta.tasks_of(found, 0, step, 2, 1) for step in (7, 7, 8))
    for task, same, another in zip(first, again, other, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(task, same, strict=True))
        assert not torch.equal(task.train_images, another.train_images)
        assert task.train_images.shape == (1, 3, 32, 32) and task.test_masks.shape == (1, 1, 32, 32)
        inside = [(x * m).sum((0, 2, 3)) / m.sum() for x, m in ((task[0], task[1]), (task[2], task[3])) if m.any()]
        assert len(inside) == 1 or inside[0].sub(inside[1]).abs().max() < 1  # channels in the same order


@pytest.mark.parametrize("learn", ["parent", "one", "layer", "neuron"])
def test_every_row_is_written_with_its_parts_and_loads(tmp_path, learn):
    path = meta.train(learn, **TINY | {"steps": 2})
    learner, card = load_one_shot(path), weights_card(path)
    assert (
        card["learn"] == learn
        and card["steps"] == ("2" if learn == "parent" else "4")
        and path.parent.name == "weights"
    )
    rates = {"parent": 0, "one": 1, "layer": 24, "neuron": sum(len(p) for p in learner.theta.values())}[learn]
    values = torch.cat([torch.zeros(0), *(rate.flatten() for rate in learner.rates.values())])
    assert learner.rates.keys() == (learner.theta.keys() if rates else set())
    assert len(values.unique()) <= rates and (values > 0.04).all() and (values < 0.16).all()


@pytest.mark.parametrize("learn", ["parent", "neuron"])
def test_training_brings_the_loss_down(monkeypatch, learn):
    losses, fit = [], meta.fit

    def watched(name, parts, batches, learn, steps, resume):
        return fit(name, parts, batches, lambda *batch: (losses.append(learn(*batch)), losses[-1])[1], steps, resume)

    monkeypatch.setattr(meta, "fit", watched)
    meta.train(learn, **TINY | {"steps": 40})
    assert np.mean(losses[-8:]) < 0.85 * np.mean(losses[:8])


def test_second_order_is_another_gradient():
    first, second = (load_file(meta.train(order=order, **TINY)) for order in ("first", "second"))
    assert max((first[name].float() - second[name].float()).abs().max() for name in first) > 1e-4


def test_averages_of_batches_are_those_of_the_ordinary_steps():
    parent = load_file(meta.train("parent", norm="batch", **TINY | {"steps": 2}))
    child = load_file(meta.train(norm="batch", loss="lovasz", **TINY))
    averages = [name for name in child if name.endswith("num_batches_tracked")]
    assert averages and all(child[name] == parent[name] == 2 for name in averages)


def test_a_start_is_learned_after_ordinary_steps(monkeypatch):
    called = []
    for name in ("learn_frames", "learn_tasks"):
        ours = getattr(meta, name)
        monkeypatch.setattr(meta, name, lambda *given, name=name, ours=ours: (called.append(name), ours(*given))[1])
    meta.train("parent", **TINY)
    assert called == ["learn_frames"] * 4
    meta.train(**TINY)
    assert called[4:] == ["learn_frames"] * 2 + ["learn_tasks"] * 4


def test_all_objects_are_one_task_or_each_one(monkeypatch):
    seen, ours = [], meta.tasks_of
    monkeypatch.setattr(meta, "tasks_of", lambda found, *given: (seen.append(len(found)), ours(found, *given))[1])
    for settings in ({}, {"tasks": "all"}, {"learn": "parent"}):
        meta.train(**TINY, **settings)
    assert seen == [3, 3, *[6] * 4, *[3] * 6, *[3] * 4]


def test_rows_have_names():
    assert meta.name_of("neuron", "group", "cross-entropy", "first", "single") == "one-shot"
    assert meta.name_of("parent", "batch", "cross-entropy", "first", "single") == "one-shot-parent-batch"
    assert meta.name_of("one", "group", "lovasz", "second", "all") == "one-shot-one-lovasz-second-all"


def test_a_killed_run_resumes_to_the_same_weights(monkeypatch, tmp_path):
    whole = load_file(meta.train("layer", out=tmp_path / "whole.safetensors", **TINY))
    calls, draw = [], meta.tasks_of

    def killed_at_the_fourth(*given):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return draw(*given)

    monkeypatch.setattr(meta, "tasks_of", killed_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        meta.train("layer", out=tmp_path / "cut.safetensors", **TINY)
    monkeypatch.setattr(meta, "tasks_of", draw)
    resumed = load_file(meta.train("layer", out=tmp_path / "cut.safetensors", resume=True, **TINY))
    assert whole.keys() == resumed.keys()
    for name in whole:
        torch.testing.assert_close(resumed[name], whole[name], atol=1e-3, rtol=1e-3)


def test_the_command(tmp_path):
    run = CliRunner().invoke(
        cli.main, ["train", "meta", "--learn", "one", "--steps", "1", "--out", str(tmp_path / "x.safetensors")]
    )
    assert run.exit_code == 0, run.output
    wrong = CliRunner().invoke(cli.main, ["train", "matching", "--learn", "one"])
    assert wrong.exit_code == 2 and "--learn is for `vosnb train meta`" in wrong.output


def test_what_cannot_be_is_told(tmp_path):
    with pytest.raises(ValueError, match="choose from parent, one, layer, neuron"):
        meta.train("weight")
    with pytest.raises(ValueError, match="choose from first, second"):
        meta.train(order="third")
    with pytest.raises(FileNotFoundError, match="train without --resume"):
        meta.train(resume=True, **TINY)


def test_a_parent_that_there_is_spares_the_ordinary_training(tmp_path, monkeypatch):
    parent = meta.train("parent", **TINY, out=tmp_path / "parent.safetensors")
    monkeypatch.setattr(meta, "learn_frames", None)
    path = meta.train("one", loss="lovasz", **TINY | {"steps": 1}, start_from=parent)
    ours, given = load_one_shot(path).net, load_one_shot(parent).net
    torch.testing.assert_close(ours.logit.weight, given.logit.weight, atol=5e-3, rtol=0)
    assert ours.settings["loss"] == "lovasz"
    with pytest.raises(ValueError, match="does not fit this network"):
        meta.train("one", norm="batch", **TINY, start_from=parent)


def test_a_task_whose_steps_lead_to_infinity_teaches_nothing():
    net = meta.OneShotNet("batch", widths=(8, 8, 8, 8)).eval()
    rates = meta.learning_rates(dict(net.named_parameters()), "one", 1e30)
    tasks = meta.tasks_of(TaskSet(*meta.shrunk(*squares(0, 3), 32)), 0, 0, 2, 1)
    assert meta.learn_tasks(learner := meta.MetaLearner(net, rates), tasks, "first") == 0
    assert all(p.grad is None for p in [*net.parameters(), *learner.rates.values()])
