"""Widgets that know clips and arrays, not methods: each a Python class beside its small JavaScript module.

MaskPlayer        scrub and play a clip with any number of masks, and their scores below
AffinityExplorer  point at a place and see where in memory its affinity goes
ScribblePad       paint strokes and boxes on any frame, see what a segmenter makes of them, save its masks
Webcam            take some pictures with the reader's camera
to_html           any of them as one self-contained HTML file
"""

from vosnb.widgets.affinity_explorer import AffinityExplorer
from vosnb.widgets.base import to_html
from vosnb.widgets.mask_player import MaskPlayer
from vosnb.widgets.scribble_pad import ScribblePad
from vosnb.widgets.webcam import Webcam

__all__ = ["AffinityExplorer", "MaskPlayer", "ScribblePad", "Webcam", "to_html"]
