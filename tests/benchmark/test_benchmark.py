"""`bench` on clips whose scores are known beforehand, stopped and resumed; stored results against fresh runs."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from vosnb.benchmark import bench, interval, load_results, parse_tracker, rerun_sample, store, table
from vosnb.clips import Clip, Lazy, write_davis
from vosnb.metrics import jaccard
from vosnb.trackers import StillTracker, Tracker

SIZE = (24, 32)


class Seer(Tracker):
    """Reads the true mask in the red channel, where `clip` hides it; right on every pixel."""

    starts = 0

    def _reset(self):
        Seer.starts += 1

    def _add(self, frame, mask, ids):
        pass

    def _step(self, frame):
        return torch.stack([torch.from_numpy(frame[..., 0] == k) for k in [0, *self.objects]]).float()


def index_mask(*lefts):
    mask = np.zeros(SIZE, np.uint8)
    for k, left in enumerate(lefts, start=1):
        mask[8 * k - 6 : 8 * k, left : left + 8] = k
    return mask


def clip(name, *speeds, length=5, **info):
    """One object for each speed (pixels a frame), in rows of their own."""
    masks = [index_mask(*(2 + speed * t for speed in speeds)) for t in range(length)]
    frames = [np.stack([mask, mask, mask], axis=-1) for mask in masks]
    return Clip.from_arrays(name, frames, masks, **info)


def still_J(speed, length=5):
    """J of the first mask, never moved, for an object of width 8: overlap over union, frames 1 to length - 2."""
    return np.mean([(8 - speed * t) / (8 + speed * t) for t in range(1, length - 1)])


CLIPS = [
    clip("quiet", 0, difficulty="easy"),
    clip("pair", 1, 2, difficulty="hard"),
    clip("quick", 2, difficulty="hard"),
]
BOTH = {"still": StillTracker, "seer": Seer}


def row(results, tracker, difficulty="all"):
    (found,) = [r for r in results["rows"] if (r["tracker"], r["difficulty"]) == (tracker, difficulty)]
    return found


# ---------------------------------------------------------------- scores


def test_means_weigh_clips_by_their_objects():
    results = bench(BOTH, CLIPS)
    still = row(results, "still")
    assert still["J"] == pytest.approx(np.mean([still_J(v) for v in (0, 1, 2, 2)]), abs=1e-6)
    assert (still["clips"], still["objects"]) == (3, 4)
    assert row(results, "still", "hard")["J"] == pytest.approx(np.mean([still_J(v) for v in (1, 2, 2)]), abs=1e-6)
    assert row(results, "still", "easy")["JF"] == 1 and row(results, "seer")["J"] == 1
    per_clip = {r["clip"]: r for r in results["clips"] if r["tracker"] == "still"}
    assert per_clip["pair"]["J_objects"] == pytest.approx([still_J(1), still_J(2)], abs=1e-6)
    assert per_clip["pair"]["J"] == pytest.approx((still_J(1) + still_J(2)) / 2, abs=1e-6)


def test_protocols():
    counts = {protocol: row(bench(BOTH, CLIPS, objects=protocol), "still") for protocol in ("first", "all", "each")}
    assert {protocol: r["objects"] for protocol, r in counts.items()} == {"first": 3, "all": 4, "each": 4}
    assert counts["first"]["J"] == pytest.approx(np.mean([still_J(v) for v in (0, 1, 2)]), abs=1e-6)
    assert counts["each"]["J"] == pytest.approx(counts["all"]["J"], abs=1e-6)
    with pytest.raises(ValueError, match="choose from first, all, each"):
        bench(BOTH, CLIPS, objects="some")


def test_objects_that_come_later_are_given_and_scored_then():
    alone, both = index_mask(2), index_mask(2, 10)
    masks = [alone, alone, both, both, both]
    late = Clip.from_arrays("late", [np.stack([m] * 3, axis=-1) for m in masks], masks)
    (record,) = bench({"still": StillTracker}, [late])["clips"]
    assert record["J_objects"] == [1, 1]


def test_pairs_count_wins_and_losses_against_the_first():
    (every,) = [pair for pair in bench(BOTH, CLIPS)["pairs"] if pair["difficulty"] == "all"]
    assert (every["reference"], every["tracker"]) == ("still", "seer")
    assert (every["wins"], every["losses"], every["clips"]) == (2, 0, 3)
    assert every["J_gain"] == pytest.approx(1 - np.mean([still_J(v) for v in (0, 1, 2, 2)]), abs=1e-6)
    assert every["J_gain_low"] <= every["J_gain"] <= every["J_gain_high"]


def test_G_where_clips_know_what_training_saw():
    clips = [clip("old", 0, seen={1: True}), clip("new", 2, seen={1: False})]
    results = bench({"still": StillTracker}, clips)
    still = row(results, "still")
    assert (still["J_seen"], still["F_seen"]) == (1, 1)
    assert still["J_unseen"] == pytest.approx(still_J(2), abs=1e-6)
    assert table(results).splitlines()[0].split()[-4:] == ["G", "frames/s", "peak", "MB"]
    assert still["G"] == pytest.approx((2 + still["J_unseen"] + still["F_unseen"]) / 4, abs=1e-5)
    assert "G" not in row(bench({"still": StillTracker}, CLIPS), "still")


def test_reading_frames_does_not_count_as_tracking():
    fast = CLIPS[0]

    def slowly(t):
        time.sleep(0.03)
        return fast.frames[t]

    slow = Clip("slow", Lazy(len(fast), slowly), fast.masks)
    (record,) = bench({"still": StillTracker}, [slow])["clips"]
    assert record["frames"] == 4 and record["seconds"] + record["start_s"] < 4 * 0.03
    assert record["fps"] == pytest.approx(4 / record["seconds"], rel=1e-2)


class Glutton(StillTracker):
    def _step(self, frame):
        np.ones(25_000_000)  # 200 MB, written to
        return super()._step(frame)


def test_peak_memory_is_that_of_the_tracker():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system does not let a process begin its peak of memory anew")
    results = bench({"glutton": Glutton, "still": StillTracker}, [CLIPS[0]])
    assert row(results, "glutton")["peak_memory_mb"] - row(results, "still")["peak_memory_mb"] > 150


def test_there_must_be_a_clip():
    with pytest.raises(ValueError, match="at least one clip"):
        bench({"still": StillTracker}, [])


# ---------------------------------------------------------------- intervals


def test_interval_of_many_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(0.7, 0.2, 400)
    low, high = interval(values)
    margin = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - margin, abs=0.1 * margin)
    assert high == pytest.approx(values.mean() + margin, abs=0.1 * margin)


def test_intervals_are_weighted_and_paired():
    a, weights = np.random.default_rng(0).random(30), np.array([1] * 29 + [1000])
    low, high = interval(a, weights)
    assert high == pytest.approx(a[-1], abs=0.05) and low < high  # the heavy clip is in most draws
    b = a + 0.1
    assert interval(b - a) == pytest.approx((0.1, 0.1))  # far narrower than either tracker's own
    assert np.subtract(interval(b), interval(a)) == pytest.approx([0.1, 0.1])  # the same draws
    assert all(map(math.isnan, interval([0.5])))


# ---------------------------------------------------------------- specs


def test_specs():
    assert parse_tracker("matching") == ("matching", {})
    name, settings = parse_tracker("matching:memory=every+last:every=5:beta=0.1:soft=true:net=null")
    assert name == "matching"
    assert settings == {"memory": "every+last", "every": 5, "beta": 0.1, "soft": True, "net": None}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("histogram:bins", "mend 'bins'"),
        ("histogram:bins=", "mend 'bins='"),
        ("histogram:=8", "mend '=8'"),
        ("histogram:bins=8:", "mend ''"),
        ("still,,histogram", "without a name"),
        ("still,still", "named twice"),
        ('masks:folder="a:b,c', "mend 'b'"),
        ("stil", "Did you mean 'still'"),
        ("histogram:bin=8", "no setting 'bin'"),
    ],
)
def test_bad_specs_get_one_clear_sentence(spec, message):
    with pytest.raises(ValueError, match=message):
        bench(spec, CLIPS)


# ---------------------------------------------------------------- files


def scores(results):
    """The part of the results that does not depend on the clock."""
    return [[r[key] for key in ("tracker", "clip", "difficulty", "J", "F", "J_objects")] for r in results["clips"]]


def test_the_file_holds_the_results(tmp_path, strict):
    file = tmp_path / "mine.json"
    results = bench("still,histogram:bins=8", CLIPS, json_path=file)
    stored = strict(file)
    assert stored == results and not list(tmp_path.glob("*.jsonl"))
    wanted = {"tracker", "difficulty", "clips", "objects", "J", "F", "JF", "fps", "J_low", "J_high", "peak_memory_mb"}
    assert all(wanted <= r.keys() for r in stored["rows"])
    assert [r["difficulty"] for r in stored["rows"]] == ["all", "easy", "hard"] * 2
    assert stored["trackers"]["histogram:bins=8"]["settings"] == {"bins": 8}
    assert "--tracker still,histogram:bins=8" in stored["command"] and stored["versions"]["torch"] == torch.__version__


class Mortal(Seer):
    """Is stopped when it starts for the n-th time."""

    left = 0

    def _reset(self):
        Mortal.left -= 1
        if Mortal.left < 0:
            raise KeyboardInterrupt
        super()._reset()


def test_a_run_that_is_stopped_goes_on_where_it_was(tmp_path, capsys):
    file, trackers = tmp_path / "mine.json", {"still": StillTracker, "seer": Mortal}
    Mortal.left = 3  # warm-up and two clips
    with pytest.raises(KeyboardInterrupt):
        bench(trackers, CLIPS, json_path=file)
    assert "5 of 6 runs are kept" in capsys.readouterr().err and not file.exists()
    lines = file.with_suffix(".partial.jsonl")
    lines.write_text(lines.read_text()[:-40])  # and killed while it wrote the last of them

    Mortal.left, Seer.starts = 100, 0
    results = bench(trackers, CLIPS, json_path=file)
    assert Seer.starts == 2  # warm-up and the one clip left
    assert scores(results) == scores(bench(trackers, CLIPS))

    Seer.starts = 0
    assert bench(trackers, CLIPS, json_path=file)["clips"] == results["clips"] and Seer.starts == 0


class Weighted(StillTracker):
    def __init__(self, value=0.0):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(self.net.weight, value)
        torch.nn.init.zeros_(self.net.bias)


def test_scores_of_other_weights_or_data_are_made_again(tmp_path, capsys, strict):
    file = tmp_path / "mine.json"
    first = bench({"net": Weighted}, CLIPS, json_path=file)
    assert bench({"net": Weighted}, CLIPS, json_path=file)["clips"] == first["clips"]
    assert not capsys.readouterr().err

    retrained = bench({"net": lambda: Weighted(1.0)}, CLIPS, json_path=file)
    assert "other weights, settings or data" in capsys.readouterr().err
    assert retrained["trackers"]["net"]["weights"] != first["trackers"]["net"]["weights"]
    assert {a["fingerprint"] for a in retrained["clips"]}.isdisjoint(a["fingerprint"] for a in first["clips"])

    changed = [CLIPS[0], clip("pair", 2, 2, difficulty="hard"), CLIPS[2]]
    again = bench({"net": lambda: Weighted(1.0)}, changed, json_path=file)
    same = [a == b for a, b in zip(retrained["clips"], again["clips"], strict=True)]
    assert same == [True, False, True] and strict(file) == again


def test_results_are_never_dropped_silently(tmp_path):
    file = tmp_path / "mine.json"
    bench(BOTH, CLIPS, json_path=file)
    before = file.read_bytes()
    for trackers, clips, objects in (({"seer": Seer}, CLIPS, None), (BOTH, CLIPS[:2], None), (BOTH, CLIPS, "each")):
        with pytest.raises(ValueError, match="give another file, or delete that one"):
            bench(trackers, clips, objects=objects, json_path=file)
    assert file.read_bytes() == before
    more = bench(BOTH | {"net": Weighted}, CLIPS, json_path=file)  # adding is no loss
    assert len(more["rows"]) == 9
    file.write_text("[]")
    with pytest.raises(ValueError, match="not a file of results"):
        bench(BOTH, CLIPS, json_path=file)


# ---------------------------------------------------------------- tables and stored results


def test_tables():
    results = bench(BOTH, CLIPS)
    lines = table(results).splitlines()
    assert lines[0].split()[:5] == ["difficulty", "tracker", "clips", "objects", "J"]
    assert len(lines) == 1 + 6 + 1 + 1 + 3
    assert lines[1].split()[:5] == ["all", "still", "3", "4", f"{row(results, 'still')['J']:.3f}"]
    assert lines[1].split()[5:8] == ["n", "too", "small"]  # an interval over three clips would look certain
    marked = table(results, ["hard", "all"], markdown=True).splitlines()
    assert marked[1].startswith("| ---") and [line.split()[1] for line in marked[2:6]] == ["hard", "hard", "all", "all"]
    with pytest.raises(ValueError, match="there are all, easy, hard"):
        table(results, ["twins"])


def test_a_sample_of_stored_results_can_be_run_again(tmp_path):
    for c in CLIPS:
        write_davis(c, tmp_path / "set", split="test")
    stored = bench("still,histogram:bins=8", tmp_path / "set", "test", json_path=tmp_path / "mine.json")
    assert stored["objects"] == "all" and row(stored, "still")["clips"] == 3
    pairs = rerun_sample(stored, count=2)
    assert len(pairs) == 4 and len({old["clip"] for old, _ in pairs}) == 2
    for old, new in pairs:
        assert (old["tracker"], old["clip"], old["J_objects"]) == (new["tracker"], new["clip"], new["J_objects"])
    with pytest.raises(ValueError, match="list of clips"):
        rerun_sample(bench(BOTH, CLIPS))


def test_load_results_knows_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    stored = bench(BOTH, CLIPS, json_path=tmp_path / "ours.json")
    assert load_results("ours") == stored
    with pytest.raises(FileNotFoundError, match="but ours"):
        load_results("theirs")


def test_a_still_mask_scores_what_jaccard_says():
    """The shipped tracker through the whole of `bench`, held to J computed by hand."""
    moving = clip("moving", 1)
    (record,) = bench("still", [moving])["clips"]
    by_hand = [jaccard(moving.masks[t] == 1, moving.masks[0] == 1) for t in range(1, 4)]
    assert record["J"] == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert still_J(1) == pytest.approx(np.mean(by_hand))


def test_clips_of_one_difficulty_alone_and_a_difficulty_that_does_not_exist():
    results = bench({"still": StillTracker}, CLIPS, difficulties="hard", progress=False)
    assert {record["clip"] for record in results["clips"]} == {"pair", "quick"}
    assert "--difficulty hard" in results["command"]
    with pytest.raises(ValueError, match="'twins': there are easy, hard"):
        bench({"still": StillTracker}, CLIPS, difficulties=["twins"], progress=False)
