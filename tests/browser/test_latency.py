"""A dragged slider answers promptly at 480p. The bound is generous: test machines are busy; benchmarks/ has figures."""

import sys

import numpy as np

from vosnb.paths import ROOT
from vosnb.widgets import MaskPlayer


def test_a_dragged_slider_answers(page, tmp_path):
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from widget_latency import drag, video

    frames, masks = video(length=15)
    widget = MaskPlayer(frames, {"truth": masks, "still": [masks[0]] * len(masks)}, alt="Two discs cross.")
    times = drag(page, widget, tmp_path / "player.html", moves=15)
    assert len(times) >= 5
    assert np.median(times[:, 0]) < 250
