"""Pictures for lessons, each with a text for readers who cannot see it.

    frames, film                   frames of video with contours, standing and moving      video.py
    forest, scoreboard, style      plots that are legible on light and dark grounds        plots.py
    matching_diagram               ideas, drawn                                            diagrams.py
    heat                           values on a grid over frames, large                     figures.py
    picture, filmstrip, heatmap, curves, bars, contact_sheet                               figures.py
    Picture, Photo, Film, Drawing, figure: what they all are, and how they are stored      pictures.py

What is drawn on frames is in `vosnb/drawing.py`, whose functions can be had here as well.
"""

from vosnb.drawing import (
    CONTOURS,
    DASHES,
    HEAT,
    PALETTE,
    SERIES,
    VOID,
    anchors,
    check_frame,
    check_mask,
    contour_colors,
    contoured,
    dashed,
    font,
    grid,
    heat_colors,
    heat_over,
    numbers_in,
    object_color,
    objects,
    outlines,
    overlay,
    rgb,
    shorten,
    size,
    tiled,
)
from vosnb.show.diagrams import matching_diagram, target_diagram
from vosnb.show.figures import HATCHES, bars, contact_sheet, curves, filmstrip, heat, heatmap, picture
from vosnb.show.pictures import WIDTH, Drawing, Film, Photo, Picture, check_alt, encode_png, figure, plain, sized
from vosnb.show.plots import INK, TONES, forest, scoreboard, style
from vosnb.show.video import film, frames

__all__ = [
    "CONTOURS", "DASHES", "Drawing", "Film", "HATCHES", "HEAT", "INK", "PALETTE", "Photo", "Picture", "SERIES",
    "TONES", "VOID", "WIDTH", "anchors", "bars", "check_alt", "check_frame", "check_mask", "contact_sheet",
    "contour_colors", "contoured", "curves", "dashed", "encode_png", "figure", "film", "filmstrip", "font", "forest",
    "frames", "grid", "heat", "heat_colors", "heat_over", "heatmap", "matching_diagram", "numbers_in", "object_color",
    "objects", "outlines", "overlay", "picture", "plain", "rgb", "scoreboard", "shorten", "size", "sized", "style",
    "target_diagram", "tiled",
]  # fmt: skip
