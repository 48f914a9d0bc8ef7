"""Training of the recurrences, in miniature: it learns, and a killed run goes on as if nothing had happened."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vosnb.features import load_weights
from vosnb.methods.st_rnn import STRNN, ContextNet
from vosnb.training import loop, st_rnn


@pytest.fixture(autouse=True)
def in_miniature(monkeypatch, tmp_path):
    """Noise of 64 x 64 pixels in place of generated clips, and on it a bright square that moves."""

    def squares(seed, count):
        r = np.random.default_rng(seed)
        frames = r.integers(60, 120, (count, 8, 64, 64, 3)).astype(np.uint8)
        masks = np.zeros((count, 8, 2, 64, 64), bool)
        for t in range(8):
            masks[:, t, :, 16:40, 2 * t : 2 * t + 24] = True
        frames[masks[:, :, 0]] += np.uint8(100)
        return frames, masks

    monkeypatch.setattr(st_rnn, "clips", squares)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(loop, "ROOT", tmp_path)


SETTINGS = {"steps": 6, "batch": 2, "count": 3, "device": "cpu"}


def test_a_batch_is_a_pure_function_of_seed_and_step_and_in_the_order_of_time():
    frames = np.broadcast_to(np.arange(8, dtype=np.uint8)[None, :, None, None, None], (3, 8, 16, 16, 3))
    masks = np.zeros((3, 8, 2, 16, 16), bool)
    images, truth, anchor = st_rnn.batch_of(frames, masks, 0, 7, 5)
    assert images.shape == (4, 5, 16, 16, 3) and truth.shape == (4, 5, 16, 16) and 0 <= anchor < 4
    assert (np.diff(images[..., 0, 0, 0].astype(int), axis=0) > 0).all()
    for part, same in zip((images, truth, anchor), st_rnn.batch_of(frames, masks, 0, 7, 5), strict=True):
        np.testing.assert_array_equal(part, same)
    assert not np.array_equal(images, st_rnn.batch_of(frames, masks, 0, 8, 5)[0])


def test_an_object_that_is_in_no_frame_has_no_loss():
    assert st_rnn.sample_loss(torch.randn(4, 2, 3, 8, 8), np.zeros((4, 2, 64, 64), bool), 0, "softplus", 0) is None


@pytest.mark.parametrize("kind", ["softplus", "margin", "ratio"])
def test_the_length_of_features_does_not_change_the_loss(kind):
    _, masks = st_rnn.clips(0, 2)
    y, masks = torch.randn(4, 2, 6, 8, 8), masks.swapaxes(0, 1)[:4, :, 0]
    one, other = (st_rnn.sample_loss(scale * y, masks, 1, kind, 0) for scale in (1, 50))
    torch.testing.assert_close(one, other)


def test_a_few_steps_on_one_batch_bring_the_loss_down():
    torch.manual_seed(0)
    rnn, x = STRNN(8, 6, 6), torch.randn(4, 2, 8, 8, 8)
    _, masks = st_rnn.clips(0, 2)
    masks = masks.swapaxes(0, 1)[:4, :, 0]
    optimizer, losses = torch.optim.Adam(rnn.parameters(), 1e-2), []
    for _ in range(25):
        loss = st_rnn.sample_loss(rnn(x), masks, 0, "softplus", 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_first_step_trains_the_extractor_and_the_second_leaves_it(tmp_path, monkeypatch):
    """S2 section 2.4.1. Weights of the extractor after the first step alone are those after both."""
    kept, fit = {}, st_rnn.fit

    def watched(name, parts, batches, learn, steps, resume):
        def learn_and_look(step, *batch):
            kept[step] = {name: value.clone() for name, value in parts["net"].encoder.named_parameters()}
            return learn(step, *batch)

        return fit(name, parts, batches, learn_and_look, steps, resume)

    monkeypatch.setattr(st_rnn, "fit", watched)
    st_rnn.train(**SETTINGS, out=tmp_path / "two.safetensors")
    differ = lambda a, b: any(not torch.equal(kept[a][name], kept[b][name]) for name in kept[a])  # noqa: E731
    assert differ(0, 2) and not differ(2, 5)


def test_a_killed_run_resumes_to_the_same_weights(monkeypatch, tmp_path):
    whole = load_file(st_rnn.train(**SETTINGS, out=tmp_path / "whole.safetensors"))
    calls, loss = [], st_rnn.sample_loss

    def killed_on_the_way(*args):
        calls.append(args)
        if len(calls) == 8:  # both recurrences have a loss in the second step
            raise KeyboardInterrupt
        return loss(*args)

    monkeypatch.setattr(st_rnn, "sample_loss", killed_on_the_way)
    with pytest.raises(KeyboardInterrupt):
        st_rnn.train(**SETTINGS, out=tmp_path / "cut.safetensors")
    monkeypatch.setattr(st_rnn, "sample_loss", loss)
    resumed = load_file(st_rnn.train(**SETTINGS, out=tmp_path / "cut.safetensors", resume=True))
    assert whole.keys() == resumed.keys()
    for name in whole:
        torch.testing.assert_close(resumed[name], whole[name], atol=1e-3, rtol=1e-3)


def test_what_is_written_can_be_loaded_and_is_small(tmp_path):
    path = st_rnn.train(**SETTINGS | {"steps": 3}, out=tmp_path / "one.safetensors")
    assert path.stat().st_size < 4e6
    net = load_weights(ContextNet(), path)
    assert not net.training and all(torch.isfinite(p).all() for p in net.parameters())


def test_nothing_to_resume_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="train without --resume"):
        st_rnn.train(**SETTINGS, out=tmp_path / "none.safetensors", resume=True)
