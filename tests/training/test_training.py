"""Training of the shipped weights, in miniature: it learns, and a killed run goes on as if nothing had happened."""

import pickle
from functools import partial
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vosnb.efficientnet import WIDTHS, load_photographs
from vosnb.features import load_weights
from vosnb.methods.matching import MatchingNet, PhotographMatchingNet, affinity
from vosnb.methods.refinement import RefinementNet, UntrainedTargetNet
from vosnb.trackers import make_tracker
from vosnb.training import e_osvos, loop, matching, refinement


@pytest.fixture(autouse=True)
def in_miniature(monkeypatch, tmp_path):
    for name, value in {
        "SIZE": 64,
        "SMALL": 64,
        "LARGE": 96,
        "WINDOW": 64,
        "SMALL_WINDOW": 64,
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


def test_the_frames_of_a_sample_are_windows_at_places_of_their_own(monkeypatch):
    monkeypatch.setattr(matching, "ZOOM", (1.0, 1.0))
    cut, whole = [], matching.window

    def noted(frame, mask, *rest):
        cut.append((frame, whole(frame, mask, *rest)))
        return cut[-1][1]

    monkeypatch.setattr(matching, "window", noted)
    places = []
    samples = matching.Windows(3, 8)
    for i in range(8):
        cut.clear()
        frames, masks, _ = samples[i]
        assert frames.shape == (3, 64, 64, 3) and masks.shape == (3, 2, 64, 64) and masks[0].any()
        found = []
        for frame, (part, _) in cut:
            assert part.base is not None and part.shape == (64, 64, 3)
            y, x = divmod((part.__array_interface__["data"][0] - frame.__array_interface__["data"][0]) // 3, 96)
            np.testing.assert_array_equal(frame[y : y + 64, x : x + 64], part)
            found.append((y, x))
        places.append(found)
    spread = np.array(places).std(1).mean()  # of a coordinate within a sample, in pixels of 0 .. 32
    assert spread > 4
    for part, same in zip(matching.Windows(3, 8)[5], samples[5], strict=True):
        np.testing.assert_array_equal(part, same)


def test_keys_on_photographs_begin_as_the_backbones_own_features():
    maps = load_photographs().look(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    net = PhotographMatchingNet()
    net.begin_keys(maps, sharpness=20.0)
    mask = torch.ones(2, 1, 64, 96)
    key, _ = net.encode_memory(maps, mask, 0 * mask)
    query = net.encode_query(maps).key.flatten(2)
    like = torch.nn.functional.normalize(maps.at8.flatten(2), dim=1)
    cosine = torch.softmax(20.0 * like.transpose(1, 2) @ like, -1)
    assert (affinity(query, key) - cosine).abs().sum(-1).mean() < 0.15  # of two: 64 of 232 directions are kept
    assert net.query_key.in_channels == WIDTHS[2]


@pytest.mark.parametrize("backbone", matching.BACKBONES)
def test_a_few_steps_on_one_batch_bring_the_loss_down(backbone):
    torch.manual_seed(0)
    kind, mixture = matching.BACKBONES[backbone]
    net, see = kind(), load_photographs().look if backbone == "photos" else None
    samples = mixture(0, 4)
    frames, masks, together = (torch.as_tensor(np.stack(x)) for x in zip(*(samples[i] for i in range(4)), strict=True))
    images, truth = matching.to_image(frames.numpy(), "cpu").transpose(0, 1), masks.float().transpose(0, 1)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        loss = matching.sample_loss(net, images, truth, together, see)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("backbone", matching.BACKBONES)
def test_a_killed_run_resumes_to_the_same_weights(monkeypatch, tmp_path, backbone):
    settings = {"steps": 4, "batch": 2, "workers": 0, "device": "cpu", "backbone": backbone}
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


@pytest.mark.parametrize("backbone", matching.BACKBONES)
def test_what_is_written_can_be_loaded_and_is_small(tmp_path, backbone):
    path = matching.train(
        steps=1, batch=2, workers=0, device="cpu", out=tmp_path / "one.safetensors", backbone=backbone
    )
    assert path.stat().st_size < 4e6
    net = load_weights(matching.BACKBONES[backbone][0](), path)
    assert not net.training and all(torch.isfinite(p).all() for p in net.parameters())


def test_training_goes_on_from_given_weights(tmp_path):
    settings = {"steps": 1, "batch": 2, "workers": 0, "device": "cpu"}
    first = matching.train(**settings, out=tmp_path / "first.safetensors")
    then = matching.train(**settings, out=tmp_path / "then.safetensors", start_from=first, learning_rate=1e-9, seed=1)
    first, then = load_file(first), load_file(then)
    learned = [name for name in first if name.endswith(("conv.weight", "key.weight"))]
    assert learned and all(torch.equal(first[name], then[name]) for name in learned)


def test_weights_of_steps_on_the_way_are_kept_when_asked_for(tmp_path):
    settings = {"batch": 1, "workers": 0, "device": "cpu", "seed": 3}
    matching.train(steps=3, keep_every=2, out=tmp_path / "w.safetensors", **settings)
    assert sorted(file.name for file in tmp_path.glob("*.safetensors")) == ["w-2.safetensors", "w.safetensors"]
    half, whole = (load_file(tmp_path / f"{name}.safetensors") for name in ("w-2", "w"))
    assert any(not torch.equal(half[name], whole[name]) for name in half)


def test_nothing_to_resume_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="train without --resume"):
        matching.train(steps=1, out=tmp_path / "none.safetensors", resume=True)


def test_the_shipped_weights_are_small_and_have_a_card():
    from vosnb.paths import WEIGHTS

    for path in WEIGHTS.glob("*.safetensors"):
        assert path.stat().st_size <= 4e6
        assert f"## {path.stem}" in (WEIGHTS / "README.md").read_text()
    load_weights(MatchingNet(), "matching")
    load_weights(PhotographMatchingNet(), "matching-photos")


def test_what_was_drawn_is_kept_until_its_key_is_another():
    drawn = []

    def draw():
        drawn.append({"a": np.arange(3) + len(drawn)})
        return drawn[-1]

    for key, last, times in (("one", 2, 1), ("one", 2, 1), ("two", 3, 2), ("two", 3, 2)):
        found = loop.kept("some", draw, key)
        assert found.keys() == {"a"} and found["a"][-1] == last and len(drawn) == times


def test_without_out_the_shipped_weights_stay_as_they_are(tmp_path):
    path = matching.train(steps=1, batch=1, workers=0, device="cpu")
    assert path == tmp_path / "build" / "weights" / "matching-photos.safetensors" and path.exists()
    path = matching.train(steps=1, batch=1, workers=0, device="cpu", backbone="creatures")
    assert path == tmp_path / "build" / "weights" / "matching.safetensors" and path.exists()


def test_a_wrong_out_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(matching, "fit", None)
    (tmp_path / "notes").write_text("mine")
    for out, error in (("w", ValueError), (tmp_path / "notes" / "w.safetensors", OSError), (tmp_path, ValueError)):
        with pytest.raises(error):
            matching.train(steps=1, out=out)
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None])
def test_a_checkpoint_that_is_damaged_or_of_another_training_is_told(tmp_path, damage):
    checkpoint = tmp_path / "build" / "training" / "w.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(damage) if damage is not None else torch.save({"net": {}, "done": 1}, checkpoint)
    with pytest.raises(ValueError, match="is damaged, or of another training: train without --resume"):
        matching.train(steps=1, batch=1, workers=0, device="cpu", out=tmp_path / "w.safetensors", resume=True)


def test_what_goes_to_other_processes_can_be_sent_where_they_are_not_forked():
    samples = matching.Samples(3, 10, small=2, noise=0.0)
    samples[0]  # a clip is kept now, which stays behind
    sent = pickle.loads(ForkingPickler.dumps(torch.utils.data.Subset(samples, range(3))))
    np.testing.assert_array_equal(sent[2][0], samples[2][0])
    work = [
        matching.worker_init,
        torch.set_num_threads,
        partial(refinement.draw_clip, 0),
        partial(e_osvos.draw_clip, 0),
    ]
    for name, net in (("creatures", RefinementNet()), ("photos", UntrainedTargetNet())):
        encoder = refinement.load_backbone(name)
        work.append(partial(refinement.score_clip, net, encoder, refinement.RECIPES[name]))
    for function in work:
        pickle.loads(ForkingPickler.dumps(function))


def test_damaged_clips_that_were_kept_are_drawn_again(tmp_path):
    (tmp_path / "build" / "training").mkdir(parents=True)
    for damage in (b"", b"no arrays", b"PK\x03\x04 cut"):
        (tmp_path / "build" / "training" / "some.npz").write_bytes(damage)
        assert loop.kept("some", lambda: {"a": np.arange(3)})["a"][2] == 2


@pytest.mark.parametrize("what, taker", [("refinement", "frtm"), ("base-net", "base-net")])
def test_s1_is_trained_on_photographs_and_its_trackers_take_what_came_out(
    monkeypatch, tmp_path, in_this_process, what, taker
):
    monkeypatch.setattr(refinement, "ProcessPoolExecutor", in_this_process)
    monkeypatch.setitem(refinement.RECIPES, "photos", refinement.RECIPES["photos"]._replace(side=64))
    file = refinement.train(what, steps=2, batch=2, count=1, device="cpu", backbone="photos")
    assert file == tmp_path / "build" / "weights" / f"{what}-photos.safetensors"
    drawn = refinement.clips(0, 1, "photos")  # kept since the training
    frame = refinement.draw_clip(0, 0, side=64)[0][0]
    mask, scores = drawn["masks"][0, 0, 0], drawn["scores"][0, 0, 0]
    inside = mask.reshape(8, 8, 8, 8).mean((1, 3)) > 0.5
    assert scores[inside].mean() > scores[~inside].mean() + 0.3  # target models know their first frame
    tracker = make_tracker(taker, backbone="photos", weights=file, short_side=64, device="cpu")
    tracker.start(frame, mask.astype(np.uint8))
    p = tracker.step(frame)
    assert p.shape == (2, 64, 64) and torch.allclose(p.sum(0), torch.ones(64, 64), atol=1e-5)


def some_clips():
    """Three clips, as `refinement.clips` gives them: D is right about object 1 of clip 2 alone, in frames 0 to 3."""
    r = np.random.default_rng(0)
    masks, scores = np.zeros((3, 8, 2, 16, 16), bool), np.zeros((3, 8, 2, 2, 2), np.float16)
    masks[..., :8, :8] = True
    scores[..., 1, 1] = 1
    scores[2, :4, 1] = [[1, 0], [0, 0]]
    maps = {f"map{d}": r.normal(size=(3, 8, 2, s, s)).astype(np.float16) for d, s in enumerate((2, 4, 8))}
    return {"masks": masks, "scores": scores} | maps


def test_R_is_trained_where_D_is_right_and_never_on_the_frame_that_D_learned():
    assert refinement.clear(some_clips()).tolist() == [[2, 1, 1], [2, 2, 1], [2, 3, 1]]


def test_a_step_of_S1_draws_the_same_samples_again_and_mirrors_whole_batches():
    found, samples = some_clips(), np.array([[2, 1, 1], [0, 5, 0]])
    straight = mirrored = 0
    for step in range(12):
        first, first_mask, maps, mask, scores = refinement.batch_of(found, samples, 0, step, 3)
        again = refinement.batch_of(found, samples, 0, step, 3)
        np.testing.assert_array_equal(again[2][0], maps[0])
        assert [x.shape for x in (*maps, mask)] == [(3, 2, 2, 2), (3, 2, 4, 4), (3, 2, 8, 8), (3, 16, 16)]
        for i in range(3):
            ways = [(n, t, k, way) for n, t, k in samples for way in (1, -1)]
            ((n, t, k, way),) = (w for w in ways if (maps[2][i] == found["map2"][w[0], w[1], ..., :: w[3]]).all())
            straight, mirrored = straight + (way == 1), mirrored + (way == -1)
            np.testing.assert_array_equal(mask[i], found["masks"][n, t, k][:, ::way])
            np.testing.assert_array_equal(scores[i], found["scores"][n, t, k][:, ::way])
            np.testing.assert_array_equal(first[1][i], found["map1"][n, 0][..., ::way])
            np.testing.assert_array_equal(first_mask[i], found["masks"][n, 0, k][:, ::way])
    assert straight and mirrored
