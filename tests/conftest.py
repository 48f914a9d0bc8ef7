"""What tests of more than one file need."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

ORACLES = Path(__file__).parent / "oracles"


@pytest.fixture
def oracle():
    """oracle(name): {key: tensor} of what the authors' own code answered, or an independent evaluation; no texts."""
    return lambda name: {
        k: torch.as_tensor(v) for k, v in np.load(ORACLES / f"{name}.npz").items() if v.dtype.kind != "U"
    }


@pytest.fixture
def strict():
    """strict(path): what a JSON file holds; Python's NaN and Infinity, which JSON does not know, fail the test."""

    def read(path):
        def refuse(word):
            raise AssertionError(f"{path} is not JSON: {word}")

        return json.loads(path.read_text(), parse_constant=refuse)

    return read


class InThisProcess:
    """What stands in for a pool: two clips are not worth the processes."""

    def __init__(self, *_, **__): ...

    def __enter__(self):
        return self

    def __exit__(self, *_): ...

    def map(self, function, *items, chunksize=1):
        return map(function, *items)


@pytest.fixture
def in_this_process():
    """A class in the place of ProcessPoolExecutor."""
    return InThisProcess
