"""Training of S2's recurrences, in miniature: two steps, one run, and a killed one goes on."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vosnb.features import load_weights
from vosnb.methods.matching import MatchingNet
from vosnb.methods.st_rnn import ContextNet
from vosnb.training import loop, refinement, st_rnn

SETTINGS = {"steps": 6, "batch": 2, "count": 3, "device": "cpu"}


@pytest.fixture(autouse=True)
def in_miniature(monkeypatch, tmp_path):
    monkeypatch.setattr(refinement, "SIZE", 64)
    drawn = [refinement.draw_clip(0, n, same_species=1.0) for n in range(3)]
    frames, masks = map(np.stack, zip(*drawn, strict=True))
    monkeypatch.setattr(st_rnn, "clips", lambda seed, count: (frames, masks))
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 1)
    monkeypatch.setattr(loop, "ROOT", tmp_path)


def test_a_sample_is_four_frames_in_order_and_one_object():
    frames, masks = st_rnn.clips(0, 3)
    images, truth, anchor = st_rnn.batch_of(frames, masks, 0, 7, 5)
    assert images.shape == (4, 5, 64, 64, 3) and truth.shape == (4, 5, 64, 64) and 0 <= anchor < 4
    again = st_rnn.batch_of(frames, masks, 0, 7, 5)
    assert all(np.array_equal(a, b) for a, b in zip((images, truth, anchor), again, strict=True))
    for b in range(5):  # some clip, mirrored or not, and frames of it in the order of time
        whole = [clip for clip in (*frames, *frames[..., ::-1, :]) if any((f == images[0, b]).all() for f in clip)]
        places = [next(t for t, f in enumerate(whole[0]) if (f == images[t_, b]).all()) for t_ in range(4)]
        assert places == sorted(set(places))


def test_the_encoder_learns_in_the_first_step_alone_and_time_in_the_second(tmp_path, monkeypatch):
    seen, fit = {}, st_rnn.fit

    def watched(name, parts, batches, learn, steps, resume):
        def look(step, *batch):
            seen[step] = {key: value.clone() for key, value in parts["net"].state_dict().items()}
            return learn(step, *batch)

        return fit(name, parts, batches, look, steps, resume)

    monkeypatch.setattr(st_rnn, "fit", watched)
    st_rnn.train(**SETTINGS, out=tmp_path / "a.safetensors")
    begin, second, end = seen[0], seen[2], seen[5]
    matcher = load_weights(MatchingNet(), "matching").query_encoder.state_dict()
    name = "stride8.0.body.0.0.weight"
    torch.testing.assert_close(begin[f"encoder.{name}"], matcher[name])
    assert not torch.equal(begin[f"encoder.{name}"], second[f"encoder.{name}"])
    assert torch.equal(second[f"encoder.{name}"], end[f"encoder.{name}"])
    assert torch.equal(begin["temporal.U"], second["temporal.U"]) and not torch.equal(
        end["temporal.K"], begin["temporal.K"]
    )
    assert not torch.equal(begin["spatial.U"], second["spatial.U"])
    torch.testing.assert_close(
        seen[3]["temporal.U"], second["spatial.U"], atol=0.01, rtol=0
    )  # began as the spatial one


def test_a_killed_run_resumes_to_the_same_weights(tmp_path, monkeypatch):
    whole = load_file(st_rnn.train(**SETTINGS, out=tmp_path / "whole.safetensors"))
    calls, loss = [], st_rnn.sample_loss

    def killed_in_the_second_step(*args):
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return loss(*args)

    monkeypatch.setattr(st_rnn, "sample_loss", killed_in_the_second_step)
    with pytest.raises(KeyboardInterrupt):
        st_rnn.train(**SETTINGS, out=tmp_path / "cut.safetensors")
    monkeypatch.setattr(st_rnn, "sample_loss", loss)
    resumed = load_file(st_rnn.train(**SETTINGS, out=tmp_path / "cut.safetensors", resume=True))
    assert whole.keys() == resumed.keys()
    for name in whole:
        torch.testing.assert_close(resumed[name], whole[name], atol=1e-3, rtol=1e-3)


def test_the_loss_falls_on_one_batch(tmp_path, monkeypatch):
    losses, descend, batch = [], st_rnn.descend, st_rnn.batch_of(*st_rnn.clips(0, 3), 0, 1, 3)
    monkeypatch.setattr(st_rnn, "batch_of", lambda *_: batch)
    monkeypatch.setattr(st_rnn, "descend", lambda loss, *rest: losses.append(descend(loss, *rest)) or losses[-1])
    st_rnn.train(**SETTINGS | {"steps": 36}, out=tmp_path / "a.safetensors")
    assert losses[0] > 0.1 and losses[11] < 0.8 * losses[0]  # the first step; the second sums two losses


def test_nothing_to_resume_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="train without --resume"):
        st_rnn.train(**SETTINGS, out=tmp_path / "none.safetensors", resume=True)


def test_the_shipped_weights_are_there():
    net = load_weights(ContextNet(), "st-rnn")
    assert all(torch.isfinite(p).all() for p in net.parameters())
