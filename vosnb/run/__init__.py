"""`vosnb run`: follow the objects of first masks, or of scribbles, through any folder of frames or video file.

Into the output folder go one palette PNG a frame, named like the frame; `overlay.mp4` to look at; and `run.json`, which
says what the masks were made from and with. A run that was stopped or killed goes on where it was: besides the masks
the tracker itself is kept in `resume.safetensors` (its memory is more than the masks it wrote), so that the masks of a
resumed run are those of an uninterrupted one. Every file is written whole or not at all.
"""

from vosnb.run.exports import EXPORTS, export
from vosnb.run.following import run, run_scribbles

__all__ = ["EXPORTS", "export", "run", "run_scribbles"]
