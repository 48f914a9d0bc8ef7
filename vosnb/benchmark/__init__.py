"""Trackers over data sets, scored: `score.py` runs one on one clip, `bench.py` many on many, `store.py` keeps the
scores, `save.py` the masks, `table.py` sums up; `given.py` scores masks of other programs."""

from vosnb.benchmark.bench import bench, rerun_sample
from vosnb.benchmark.given import score, score_table
from vosnb.benchmark.score import PROTOCOLS, SCORES, score_one, score_tracker
from vosnb.benchmark.store import describe, load_results
from vosnb.benchmark.table import RESAMPLES, interval, table
from vosnb.trackers import parse_tracker

__all__ = [
    "PROTOCOLS", "RESAMPLES", "SCORES", "bench", "describe", "interval", "load_results", "parse_tracker",
    "rerun_sample", "score", "score_one", "score_table", "score_tracker", "table",
]  # fmt: skip
