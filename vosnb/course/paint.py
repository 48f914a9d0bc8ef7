"""`vosnb paint`: a notebook that opens the scribble pad on a video of one's own."""

import os
import shlex
import sys
from pathlib import Path

import nbformat

from vosnb.clips import open_clip
from vosnb.course.notebooks import CourseError
from vosnb.files import write_text
from vosnb.paths import ROOT

FRAMES = 100  # at most, unless the reader asks for more: each takes memory
SIDE = 480  # pixels: of larger frames the shorter side becomes that

TITLE = """# Paint: {name}

Press *Run > Run All Cells*. Under the second cell the pad appears: paint on an object, look at other frames, and
correct them; *which frame next?* proposes one. The button *save …* gives you masks, scribbles or a video."""

OPEN = """from vosnb.clips import open_clip
from vosnb.trackers.interactive import ClipFeatures, InteractiveSegmenter
from vosnb.widgets import ScribblePad

FIRST, LAST = 0, {last}  # frames to paint on, of 0 to {end}
SIDE = {side}  # pixels of the shorter side

clip = open_clip({clip!r}).subclip(FIRST, LAST + 1).resized({which}=SIDE)
frames = list(clip.frames)"""

PAINT = """features = ClipFeatures(frames, bar=True)
pad = ScribblePad(
    frames,
    InteractiveSegmenter(features),
    alt="Scribble pad: the frames of {name}, and the masks of what you paint on.",
    sequence=clip.name,
    fps=clip.info.get("fps") or 24,
)
pad"""

SAVE = """if pad.scribbles:  # run this when you have painted: everything that "save …" offers, beside this notebook
    pad.save(f"{clip.name}-scribbles.json")
    pad.save_zip(f"{clip.name}-masks.zip")
    pad.save_coco(f"{clip.name}-coco.json")
    print("Look at", pad.save_video(f"{clip.name}-overlay.mp4"))"""


def paint(clip: Path, out: Path | None = None) -> Path:
    """Write the notebook for a video file or a folder of frames; returns its path.

    out: a folder, by default the one that the clip is in, or the notebook's own name, which ends in .ipynb. Raises
    ClipError for what is no clip, CourseError where there is such a notebook already, OSError.
    """
    opened = open_clip(clip)
    folder = clip.absolute().parent if out is None else out
    notebook = folder if folder.suffix == ".ipynb" else folder / f"{opened.name}-paint.ipynb"
    if os.path.lexists(notebook):
        command = shlex.join([Path(sys.executable).name, "-m", "jupyter", "lab", str(notebook)])
        raise CourseError(f"{notebook} exists already: open it (`{command}`), or give another name with --out.")
    clip = clip.expanduser().absolute()
    here = clip.parent == notebook.absolute().parent
    values = {
        "name": opened.name.replace('"', "'"),
        "clip": clip.name if here else str(clip),
        "end": len(opened) - 1,
        "last": min(len(opened), FRAMES) - 1,
        "side": min(*opened.size, SIDE),
        "which": "height" if opened.size[0] <= opened.size[1] else "width",
    }
    cells = [nbformat.v4.new_markdown_cell(TITLE.format(**values))]
    cells += [nbformat.v4.new_code_cell(source.format(**values)) for source in (OPEN, PAINT)]
    cells.append(nbformat.v4.new_code_cell(SAVE))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    return write_text(notebook, nbformat.writes(content) + "\n")


def lab(notebook: Path) -> None:
    """Become JupyterLab with this notebook open, with the course's settings, as `make lab` starts it."""
    root_may = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [sys.executable, "-m", "jupyter", "lab", *root_may, str(notebook)]
    sys.stdout.flush()
    os.execve(sys.executable, command, os.environ | {"JUPYTER_CONFIG_PATH": str(ROOT / "jupyter")})
