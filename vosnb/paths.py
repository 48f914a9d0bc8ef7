"""Where things are: what the project ships, and where downloads go."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
WEIGHTS = DATA / "weights"
RESULTS = DATA / "results"
NOTEBOOKS = ROOT / "notebooks"


def cache_dir() -> Path:
    """The folder for downloaded data sets: `$VOSNB_DATA`, or `~/.cache/vosnb`."""
    return Path(os.environ.get("VOSNB_DATA", Path.home() / ".cache" / "vosnb")).expanduser()
