"""A clip of one's own in the notebook: what files become, what is said of those that are none, and a whole round."""

import cv2
import numpy as np
import pytest
from traitlets.config import PyFileConfigLoader

from vosnb.audience import live
from vosnb.clips import Clip, ClipError
from vosnb.clips.scribbles import Scribble
from vosnb.course import own_clip
from vosnb.course.own_clip import OwnClip, read
from vosnb.paths import ROOT
from vosnb.trackers import make_tracker
from vosnb.widgets import Webcam
from vosnb.widgets.base import jpeg


def picture(x, size=(60, 90)):
    """A PNG: a red square on grey, x pixels from the left."""
    frame = np.full((*size, 3), 128, np.uint8)
    frame[20:40, x : x + 20] = (0, 0, 220)
    return cv2.imencode(".png", frame)[1].tobytes()


PICTURES = {f"shot {t}.png": picture(20 + 3 * t) for t in range(4)}


@pytest.fixture
def own():
    first = np.zeros((60, 90), np.uint8)
    first[20:40, 20:40] = 1
    return OwnClip(make_tracker("histogram"), Clip.from_arrays("film", np.zeros((1, 60, 90, 3), np.uint8), first[None]))


def test_pictures_become_the_frames_in_the_order_of_their_names():
    clip = read(dict(reversed(PICTURES.items())))
    assert len(clip) == 4 and clip.size == (60, 90)
    lefts = [np.nonzero(frame[30, :, 0] > 200)[0][0] for frame in clip.frames]
    assert lefts == [20, 23, 26, 29]


def test_a_video_is_read_at_eight_frames_a_second_and_made_small(tmp_path):
    file = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 24, (640, 480))
    for _ in range(150):
        writer.write(np.full((480, 640, 3), 90, np.uint8))
    writer.release()
    clip = read({"../my video.avi": file.read_bytes()})
    assert clip.size == (240, 320)
    assert len(clip) == own_clip.FRAMES


@pytest.mark.parametrize(
    "files, said",
    [
        ({"one.png": picture(20)}, "a single picture"),
        ({"a.png": picture(20), "b.mp4": b""}, "b.mp4 is no picture"),
        ({"a.png": picture(20), "b.png": picture(20, (50, 90))}, "size"),
        ({"a.mp4": b"no video"}, "a.mp4"),
    ],
)
def test_files_that_are_no_clip_are_answered_by_a_sentence(own, files, said):
    with pytest.raises(ClipError, match=said):
        read(files)
    own.take(files)
    assert said in own.said.value and own.pad is None


def test_a_box_is_followed_to_the_end(own):
    own.take(PICTURES)
    own.follow()
    assert "Nothing is marked" in own.said.value
    own.pad.add([Scribble(0, 1, [(0.18, 0.3), (0.48, 0.7)], box=True)])
    own.follow()
    assert "Done" in own.said.value
    mask = own.player._masks["followed"][3]
    assert mask[30, 35] == 1 and mask[30, 25] == 0  # the square has moved by nine pixels


def test_where_nobody_looks_on_a_picture_stands_in(own):
    assert not live()
    data, metadata = own._repr_mimebundle_()
    assert "image/jpeg" in data and "application/vnd.jupyter.widget-view+json" not in data
    assert "button" in metadata["image/jpeg"]["alt"]


def test_where_somebody_looks_on_there_is_the_button_and_the_picture_for_later(own, monkeypatch):
    monkeypatch.setenv("VOSNB_HEADLESS", "0")
    data, _ = own._repr_mimebundle_()
    assert {"image/jpeg", "application/vnd.jupyter.widget-view+json"} <= data.keys()


def test_a_video_of_a_phone_fits_into_a_message_to_the_kernel():
    config = PyFileConfigLoader("jupyter_server_config.py", path=str(ROOT / "jupyter")).load_config()
    assert config.ServerApp.tornado_settings["websocket_max_message_size"] >= 100e6


def test_pictures_of_a_webcam_become_the_frames_in_the_order_of_time(own):
    frames = [np.full((60, 90, 3), 10 * t, np.uint8) for t in range(12)]
    own.webcam._hear(own.webcam, {"type": "pictures"}, [memoryview(jpeg(frame)) for frame in frames])
    assert "12 frames" in own.said.value and own.pad is not None
    assert [round(frame.mean() / 10) for frame in own.clip.frames] == list(range(12))
    own.webcam._hear(own.webcam, {"type": "pictures"}, [b"no picture"] * 2)
    assert "webcam" in own.said.value or "picture" in own.said.value


def test_a_webcam_has_a_picture_that_stands_in_and_says_what_it_cannot_be(own):
    assert own.webcam.render().mean() < 255 and not own.webcam.export_state()["live"]
    with pytest.raises(ValueError, match="count"):
        Webcam(print, alt="Take pictures.", count=0)
