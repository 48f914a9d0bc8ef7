"""Training of the shipped weights, in miniature: it learns, and a killed run goes on as if nothing had happened."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vosnb.features import load_weights
from vosnb.methods.matching import MatchingNet
from vosnb.training import loop, matching


@pytest.fixture(autouse=True)
def in_miniature(monkeypatch, tmp_path):
    for name, value in {
        "SIZE": 64,
        "SMALL": 64,
        "DRAWN": 3,
        "POOL": 1,
    }.items():
        monkeypatch.setattr(matching, name, value)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(loop, "ROOT", tmp_path)


def test_samples_are_a_pure_function_of_seed_and_index():
    first, again = matching.Samples(3, 10), matching.Samples(3, 10)
    again[9]  # another order of asking
    for part, same in zip(first[2], again[2], strict=True):
        np.testing.assert_array_equal(part, same)
    frames, masks, together = first[2]
    assert frames.shape == (3, 64, 64, 3) and masks.shape == (3, 2, 64, 64)
    assert masks[0].any((1, 2)).all() and not (together and (masks[:, 0] & masks[:, 1]).any())
    assert not np.array_equal(frames, matching.Samples(4, 10)[2][0])


def test_a_few_steps_on_one_batch_bring_the_loss_down():
    torch.manual_seed(0)
    net = MatchingNet()
    frames, masks, together = (
        torch.as_tensor(np.stack(x)) for x in zip(*(matching.Samples(0, 4)[i] for i in range(4)), strict=True)
    )
    images, truth = matching.to_image(frames.numpy(), "cpu").transpose(0, 1), masks.float().transpose(0, 1)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        loss = matching.sample_loss(net, images, truth, together)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_a_killed_run_resumes_to_the_same_weights(monkeypatch, tmp_path):
    settings = {"steps": 4, "batch": 2, "workers": 0, "device": "cpu"}
    whole = load_file(matching.train(**settings, out=tmp_path / "whole.safetensors"))
    calls, loss = [], matching.sample_loss

    def killed_at_the_fourth(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss(*args)

    monkeypatch.setattr(matching, "sample_loss", killed_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        matching.train(**settings, out=tmp_path / "cut.safetensors")
    monkeypatch.setattr(matching, "sample_loss", loss)
    resumed = load_file(matching.train(**settings, out=tmp_path / "cut.safetensors", resume=True))
    assert whole.keys() == resumed.keys()
    for name in whole:
        torch.testing.assert_close(resumed[name], whole[name], atol=1e-3, rtol=1e-3)


def test_what_is_written_can_be_loaded_and_is_small(tmp_path):
    path = matching.train(steps=1, batch=2, workers=0, device="cpu", out=tmp_path / "one.safetensors")
    assert path.stat().st_size < 4e6
    net = load_weights(MatchingNet(), path)
    assert not net.training and all(torch.isfinite(p).all() for p in net.parameters())


def test_training_goes_on_from_given_weights(tmp_path):
    settings = {"steps": 1, "batch": 2, "workers": 0, "device": "cpu"}
    first = matching.train(**settings, out=tmp_path / "first.safetensors")
    then = matching.train(**settings, out=tmp_path / "then.safetensors", start_from=first, learning_rate=1e-9, seed=1)
    first, then = load_file(first), load_file(then)
    learned = [name for name in first if name.endswith(("conv.weight", "key.weight"))]
    assert learned and all(torch.equal(first[name], then[name]) for name in learned)


def test_nothing_to_resume_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="train without --resume"):
        matching.train(steps=1, out=tmp_path / "none.safetensors", resume=True)


def test_the_shipped_weights_are_small_and_have_a_card():
    from vosnb.paths import WEIGHTS

    for path in WEIGHTS.glob("*.safetensors"):
        assert path.stat().st_size <= 4e6
        assert f"## {path.stem}" in (WEIGHTS / "README.md").read_text()
    load_weights(MatchingNet(), "matching")


def test_what_was_drawn_is_kept_until_its_key_is_another():
    drawn = []

    def draw():
        drawn.append({"a": np.arange(3) + len(drawn)})
        return drawn[-1]

    for key, last, times in (("one", 2, 1), ("one", 2, 1), ("two", 3, 2), ("two", 3, 2)):
        found = loop.kept("some", draw, key)
        assert found.keys() == {"a"} and found["a"][-1] == last and len(drawn) == times
