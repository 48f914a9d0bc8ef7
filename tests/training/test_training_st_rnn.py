"""Training of the recurrences, in miniature: it learns, and a killed run goes on as if nothing had happened."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vosnb.features import load_weights
from vosnb.methods.st_rnn import STRNN, Recurrences
from vosnb.training import loop, st_rnn

CLIPS = st_rnn.clips


@pytest.fixture(autouse=True)
def in_miniature(monkeypatch, tmp_path):
    """Noise in place of a backbone's maps, and in one channel of it an object that moves."""

    def squares(seed, count):
        r = np.random.default_rng(seed)
        maps, cover = r.normal(size=(count, 8, 6, 8, 8)), np.zeros((count, 8, 2, 8, 8))
        for t in range(8):
            cover[:, t, :, 2:5, t // 3 : t // 3 + 3] = 1
        maps[:, :, 0] += 3 * cover[:, :, 0]
        return {"maps": maps.astype(np.float16), "cover": cover.astype(np.float16)}

    monkeypatch.setattr(st_rnn, "clips", squares)
    monkeypatch.setattr(st_rnn, "Recurrences", lambda: Recurrences(6, 4, 5))
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(loop, "ROOT", tmp_path)


SETTINGS = {"steps": 6, "batch": 2, "count": 3, "device": "cpu"}


def test_clips_are_frames_in_a_row_as_the_photographs_backbone_sees_them(monkeypatch):
    drawn = []

    def draw_clips(seed, count, workers, **how):
        drawn.append(how)
        return np.zeros((count, 2, 240, 240, 3), np.uint8), np.ones((count, 2, 2, 240, 240), bool)

    monkeypatch.setattr(st_rnn, "draw_clips", draw_clips)
    found = CLIPS(0, 1, 1)
    assert found["maps"].shape == (1, 2, 232, 30, 30) and found["cover"].shape == (1, 2, 2, 30, 30)
    assert (found["cover"] == 1).all() and drawn[0]["in_a_row"] and drawn[0]["side"] == 240
    np.testing.assert_array_equal(CLIPS(0, 1)["maps"], found["maps"])
    assert len(drawn) == 1  # the second time, they come from the disk


def test_a_batch_is_a_pure_function_of_seed_and_step_and_in_the_order_of_time():
    found = {"maps": np.zeros((3, 8, 2, 4, 4), np.float16), "cover": np.zeros((3, 8, 2, 4, 4), np.float16)}
    for part in found.values():
        part += np.arange(8, dtype=np.float16)[None, :, None, None, None]
    maps, cover, times, anchor = st_rnn.batch_of(found, 0, 7, 5)
    assert maps.shape == (8, 5, 2, 4, 4) and cover.shape == (4, 5, 4, 4) and 0 <= anchor < 4
    assert (maps[:, 0, 0, 0, 0] == np.arange(8)).all() and (np.diff(times) > 0).all()
    np.testing.assert_array_equal(cover[:, 0, 0, 0], times)
    for part, same in zip((maps, cover, times, anchor), st_rnn.batch_of(found, 0, 7, 5), strict=True):
        np.testing.assert_array_equal(part, same)
    assert (times, anchor) != st_rnn.batch_of(found, 0, 8, 5)[2:]


def test_an_object_that_is_in_no_frame_has_no_loss():
    assert st_rnn.sample_loss(torch.randn(4, 2, 3, 8, 8), torch.zeros(4, 2, 8, 8), 0, "softplus", 0) is None


@pytest.mark.parametrize("kind", ["softplus", "margin", "ratio"])
def test_the_length_of_features_does_not_change_the_loss(kind):
    cover = torch.from_numpy(st_rnn.clips(0, 2)["cover"])[:, :4, 0].movedim(1, 0)
    y = torch.randn(4, 2, 6, 8, 8)
    one, other = (st_rnn.sample_loss(scale * y, cover, 1, kind, 0) for scale in (1, 50))
    torch.testing.assert_close(one, other)


def test_a_few_steps_on_one_batch_bring_the_loss_down():
    torch.manual_seed(0)
    rnn, x = STRNN(8, 6, 6), torch.randn(4, 2, 8, 8, 8)
    cover = torch.from_numpy(st_rnn.clips(0, 2)["cover"])[:, :4, 0].movedim(1, 0)
    optimizer, losses = torch.optim.Adam(rnn.parameters(), 1e-2), []
    for _ in range(25):
        loss = st_rnn.sample_loss(rnn(x), cover, 0, "softplus", 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_in_the_second_step_the_temporal_one_begins_as_the_spatial_one(tmp_path, monkeypatch):
    """S2 section 2.4.1."""
    kept, fit = {}, st_rnn.fit

    def watched(name, parts, batches, learn, steps, resume):
        def learn_and_look(step, *batch):
            kept[step] = {name: value.clone() for name, value in parts["net"].state_dict().items()}
            return learn(step, *batch)

        return fit(name, parts, batches, learn_and_look, steps, resume)

    monkeypatch.setattr(st_rnn, "fit", watched)
    st_rnn.train(**SETTINGS, out=tmp_path / "two.safetensors")
    moved = lambda name, a, b: (kept[a][name] - kept[b][name]).abs().max().item()  # noqa: E731
    assert moved("spatial.U", 0, 2) > 0 and moved("spatial.U", 2, 5) > 0
    assert moved("temporal.U", 0, 2) == 0 and moved("temporal.K", 0, 2) == 0
    assert moved("temporal.U", 2, 3) > 0 and moved("temporal.K", 3, 5) > 0
    assert (kept[3]["temporal.U"] - kept[2]["spatial.U"]).abs().max() < 3 * st_rnn.LEARNING_RATE


def test_a_killed_run_resumes_to_the_same_weights(monkeypatch, tmp_path):
    whole = load_file(st_rnn.train(**SETTINGS, out=tmp_path / "whole.safetensors"))
    calls, loss = [], st_rnn.sample_loss

    def killed_on_the_way(*args):
        calls.append(args)
        if len(calls) == 8:  # in the second step, where both recurrences have a loss
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
    net = load_weights(st_rnn.Recurrences(), path)
    assert not net.training and all(torch.isfinite(p).all() for p in net.parameters())


def test_nothing_to_resume_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="train without --resume"):
        st_rnn.train(**SETTINGS, out=tmp_path / "none.safetensors", resume=True)
