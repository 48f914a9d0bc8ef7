"""What `vosnb bench` stored in data/results, against what the code gives now: a sample, run again.

A file of its own, so that it runs beside the other tests: it takes as long as half of them.
"""

import json

import pytest

from vosnb.benchmark import rerun_sample
from vosnb.clips import ClipError, load
from vosnb.paths import RESULTS

OF_BENCH = [file for file in sorted(RESULTS.glob("*.json")) if "clips" in json.loads(file.read_text())]  # not studies


@pytest.mark.parametrize("seed, file", list(enumerate(OF_BENCH)), ids=[file.stem for file in OF_BENCH])
def test_stored_results_are_what_the_code_gives(seed, file, strict):
    """J of a clip, run again; other processors round differently, and masks may differ by a few pixels."""
    results = strict(file)
    try:
        load(results["dataset"], results["split"], 1)
    except ClipError as error:
        pytest.skip(f"the clips of {file.name} are not here: {error}")
    for old, new in rerun_sample(results, count=1, seed=seed):
        adapts = "OnA" in old["tracker"]  # tunes a whole network again and again, which magnifies a last digit
        assert new["J"] == pytest.approx(old["J"], abs=0.05 if adapts else 0.02), (old["tracker"], old["clip"])
