"""The new matcher does not go by place, and the measure would show it if it did: the old one does."""

import numpy as np
import pytest
import torch

from vosnb.studies import place
from vosnb.trackers import HistogramTracker, StillTracker, make_tracker


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_windows_and_rolls_show_the_same_content_elsewhere():
    clip = place.larger("creatures", 1, frames=3)[0]
    moved, rolled = place.window(clip, 0, 48, 224), place.rolled(place.window(clip, 0, 0, 224), 56)
    assert clip.size == (128, 272) and moved.size == (128, 224)
    np.testing.assert_array_equal(moved.frames[0][:, 48:], clip.frames[0][:, 48:224])
    np.testing.assert_array_equal(moved.frames[1][:, :176], clip.frames[1][:, 48:224])
    np.testing.assert_array_equal(moved.masks[2], clip.masks[2][:, 48:272])
    np.testing.assert_array_equal(rolled.frames[2][:, 56:], clip.frames[2][:, :168])
    np.testing.assert_array_equal(rolled.masks[0], clip.masks[0][:, :224])


def test_what_knows_colour_alone_loses_nothing_and_what_knows_place_alone_loses_all():
    clips = place.larger("creatures", 3, frames=4)
    colour, still = (place.losses(tracker, clips, 224) for tracker in (HistogramTracker(), StillTracker()))
    np.testing.assert_allclose(colour["as it is"], colour["rolled"])
    assert still["rolled"].mean() < 0.05 < 0.5 < still["as it is"].mean()
    assert still["moved apart"].mean() < still["same place"].mean() - 0.3


def test_the_matcher_on_photographs_does_not_go_by_place_as_the_old_networks_did():
    lost = {}
    for name, backbone in (("matching", "photos"), ("matching", "creatures"), ("base-net", "creatures")):
        tracker = make_tracker(name, backbone=backbone, device="cpu")
        J = place.losses(tracker, place.larger(backbone, 4, frames=8), place.WINDOWS[backbone][1])
        lost[name, backbone] = (J["same place"] - J["moved apart"]).mean(), (J["as it is"] - J["rolled"]).mean()
    new, old, base = lost.values()
    assert max(new) < 0.05, lost
    assert old[1] > 0.1 and min(base) > 0.1, lost  # the control: these go by place, and the measure shows it
