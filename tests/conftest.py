"""What tests of more than one file need."""

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
