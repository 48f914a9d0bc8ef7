"""The files of `bench`: only ours are touched, damaged ones are told, and two runs may end on one file."""

import concurrent.futures
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from vosnb.benchmark import bench, score_one, store, table
from vosnb.cli import main
from vosnb.clips import Clip, write_davis
from vosnb.trackers import StillTracker

SIZE = (24, 32)


def clip(name):
    masks = np.zeros((5, *SIZE), np.uint8)
    for t in range(5):
        masks[t, 4:12, 2 + t : 10 + t] = 1
    return Clip.from_arrays(name, np.full((5, *SIZE, 3), 90, np.uint8), masks)


CLIPS = [clip("a"), clip("b")]


@pytest.fixture
def data(tmp_path):
    for c in CLIPS:
        write_davis(c, tmp_path / "set", split="val")
    return tmp_path / "set"


class Watched(StillTracker):
    starts = 0

    def _reset(self):
        Watched.starts += 1
        super()._reset()


def run(file, trackers=None, clips=CLIPS, **how):
    return bench(trackers or {"still": Watched}, clips, json_path=file, progress=False, **how)


# ---------------------------------------------------------------- files of others


@pytest.mark.parametrize(
    "content", [b"mine\n", b"{}\n", b"[]", b'"x"', b"\n1", b"\xff\xfe", b'{"dataset": 1}\n', b"[" * 5000]
)
def test_a_partial_file_that_is_not_ours_is_refused_and_stays(tmp_path, content):
    lines, other = tmp_path / "j.partial.jsonl", tmp_path / "j.tmp"
    lines.write_bytes(content), other.write_bytes(b"mine")
    with pytest.raises(ValueError, match="j.partial.jsonl is not a file that vosnb bench made"):
        run(tmp_path / "j.json")
    assert lines.read_bytes() == content
    lines.unlink()
    run(tmp_path / "j.json")
    assert other.read_bytes() == b"mine" and not lines.exists()


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"clips": []}', "[" * 5000, '{"clips": 3', "\x00"])
def test_a_results_file_of_another_kind_is_refused_and_stays(tmp_path, content):
    file = tmp_path / "j.json"
    file.write_text(content)
    with pytest.raises(ValueError, match="j.json is not a file of results .*give another file"):
        run(file)
    assert file.read_text() == content and [p.name for p in tmp_path.iterdir()] == ["j.json"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda r: r["clips"][0].pop("J"),
        lambda r: r["clips"][0].update(J="0.5"),
        lambda r: r["clips"][0].update(J_objects=[]),
        lambda r: r["clips"][0].update(objects=0),
        lambda r: r["clips"][0].update(clip=None),
        lambda r: r["clips"].append([]),
        lambda r: r.update(clips={}),
        lambda r: r.update(trackers=[]),
        lambda r: r.pop("dataset"),
    ],
)
def test_results_of_the_wrong_shape_are_refused(tmp_path, harm):
    results = run(tmp_path / "j.json")
    harm(results)
    (tmp_path / "j.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match="j.json is not a file of results"):
        run(tmp_path / "j.json")


def test_damaged_lines_are_made_again_and_the_others_kept(tmp_path):
    file, lines = tmp_path / "j.json", tmp_path / "j.partial.jsonl"
    records = run(file)["clips"]
    header = {"dataset": None, "split": None, "objects": "all"}
    damaged = json.dumps(records[0] | {"J": None})
    lines.write_text("\n".join([json.dumps(header), damaged, json.dumps(records[1]), json.dumps(records[0])[:50]]))
    file.unlink()
    Watched.starts = 0
    assert len(run(file)["clips"]) == 2 and Watched.starts == 2  # warm-up and clip a
    assert not lines.exists()


@pytest.mark.parametrize("where", ["", "file.txt/j.json", "set"])
def test_a_place_that_cannot_be_written_is_told_before_the_run(tmp_path, data, where):
    (tmp_path / "file.txt").write_text("x")
    Watched.starts = 0
    with pytest.raises((ValueError, OSError)):
        run(tmp_path / where)
    assert Watched.starts == 0


# ---------------------------------------------------------------- several runs on one file


class Meanwhile(StillTracker):
    """While it runs, another run begins and ends on the same file."""

    other = None

    def _step(self, frame):
        if Meanwhile.other:
            other, Meanwhile.other = Meanwhile.other, None
            other()
        return super()._step(frame)


def test_two_runs_that_end_together_on_one_file_both_end_well(tmp_path):
    file = tmp_path / "j.json"
    Meanwhile.other = lambda: run(file, {"still": StillTracker})
    results = run(file, {"still": Meanwhile})
    assert [p.name for p in tmp_path.iterdir()] == ["j.json"]
    assert json.loads(file.read_text())["clips"] == results["clips"]


def test_a_run_does_not_drop_what_another_run_has_written_meanwhile(tmp_path, capsys):
    file = tmp_path / "j.json"
    Meanwhile.other = lambda: store.Store(file, HEADER | {"trackers": {"x": {}}}, ["a"]).finish(OTHER)
    results = run(file, {"still": Meanwhile})
    assert json.loads(file.read_text()) == OTHER and "these results are in" in capsys.readouterr().err
    assert json.loads((tmp_path / "j-2.json").read_text())["clips"] == results["clips"]


HEADER = {"dataset": None, "split": None, "objects": "all"}
OTHER = HEADER | {"trackers": {"x": {}}, "rows": [], "pairs": []}
OTHER |= {"clips": [{"tracker": "x", "clip": "a", "difficulty": None, "left_out": "no reason"}]}


def test_lines_that_another_run_cleared_away_are_written_again(tmp_path):
    file = tmp_path / "j.json"
    kept = store.Store(file, HEADER | {"trackers": {"x": {}}}, ["a", "b"])
    records = [OTHER["clips"][0] | {"clip": name} for name in "ab"]
    kept.append(records[0])
    kept.lines.unlink()
    kept.append(records[1])
    assert [json.loads(line) for line in kept.lines.read_text().splitlines()] == [HEADER, *records]


# ---------------------------------------------------------------- side by side


def test_score_one_runs_on_any_executor(data):
    rows = bench("still", data, "val", progress=False)["clips"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(score_one, "still", str(data), "val", name, "all") for name in "ab"]
        found = [future.result() for future in futures]
    for key in ("tracker", "clip", "J", "F", "J_objects"):
        assert [row[key] for row in found] == [row[key] for row in rows]
    with pytest.raises(ValueError, match="no clip 'c'"):
        score_one("still", str(data), "val", "c", "all")


def test_two_jobs_score_as_one_and_mark_what_they_measured(data, tmp_path):
    (data / "Annotations/480p/b/00002.png").write_bytes(b"no image")
    alone = bench("still", data, "val", progress=False)
    both = bench("still", data, "val", "all", tmp_path / "j.json", progress=False, jobs=2, save=tmp_path / "s")
    (a, b), (a2, b2) = alone["clips"], both["clips"]
    assert (a["J"], a["F"], b["left_out"]) == (a2["J"], a2["F"], b2["left_out"])
    assert a2["jobs"] == both["rows"][0]["jobs"] == 2 and "2 clips side by side" in table(both)
    assert len(list((tmp_path / "s/still/a").glob("*.png"))) == 5
    assert "jobs" not in a and "side by side" not in table(alone)
    with pytest.raises(ValueError, match="give a data set and specs"):
        bench({"still": StillTracker}, data, jobs=2)


def test_a_process_that_dies_is_told(data, monkeypatch):
    class Dying(concurrent.futures.ThreadPoolExecutor):
        def __init__(self, jobs, *_):
            super().__init__(jobs)

        def submit(self, *_):
            raise concurrent.futures.BrokenExecutor

    monkeypatch.setattr(sys.modules["vosnb.benchmark.bench"], "ProcessPoolExecutor", Dying)
    with pytest.raises(ValueError, match="take fewer jobs .*__main__"):
        bench("still", data, "val", progress=False, jobs=2)


# ---------------------------------------------------------------- tables that fit


@pytest.mark.parametrize(
    "trackers", ["still,histogram", "still,histogram:bins=16,histogram:bins=8:flip=true:scales=1/1.25"]
)
def test_the_table_fits_a_terminal(data, trackers):
    said = CliRunner().invoke(
        main, ["bench", "--tracker", trackers, "--data", str(data), "--split", "val"], env={"COLUMNS": "80"}
    )
    assert said.exit_code == 0 and max(map(len, said.output.splitlines())) <= 80
    assert all(spec in said.output for spec in trackers.split(","))


def test_columns_that_say_nothing_new_are_left_out():
    heading = table(bench({"still": StillTracker}, CLIPS, progress=False)).splitlines()[0].split()
    assert "objects" not in heading and "difficulty" not in heading and "G" not in heading and "J&F" in heading
    same = {"rows": [], "pairs": [], "trackers": {"x": {"class": ""}}, "clips": []}
    row = dict.fromkeys(("J", "F", "JF", "J_low", "J_high", "fps", "peak_memory_mb"), 0.5)
    same["rows"] = [row | {"tracker": "x", "difficulty": "all", "clips": 9, "objects": 9}]
    assert "J&F" not in table(same) and "[0.500, 0.500]" in table(same)
