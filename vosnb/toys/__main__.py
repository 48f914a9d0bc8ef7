"""Write the shipped clips and their picture: python -m vosnb.toys --write data/toys --sheet data/toys/contact_sheet.jpg

And, before all, the sprites: python -m vosnb.toys --sprites FOLDER, where FOLDER is what `npm pack` gives, unpacked.
"""

from pathlib import Path

import click
import numpy as np

from vosnb.toys.kinds import make_sprites
from vosnb.toys.splits import generate, write_benchmark

# Two seeds for each difficulty, chosen by eye.
SHOWN = {
    "easy": (341, 302),
    "lookalike": (341, 342),
    "twins": (331, 332),
    "occlusion": (303, 327),
    "deformation": (331, 341),
    "light": (312, 342),
    "camera": (341, 342),
    "reappear": (331, 341),
    "moved": (331, 342),
}


def contact_sheet(times=(0, 8, 16, 23), shown=None, scale=0.6) -> np.ndarray:
    """(H, W, 3) uint8: a row for each difficulty, four frames of two clips, the target outlined in the first."""
    from vosnb.show import grid, overlay

    panels, titles = [], []
    for difficulty, seeds in (shown or SHOWN).items():
        for seed in seeds:
            clip = generate(seed, difficulty, times=times)
            target = (clip.masks[0] == 1).astype(np.uint8)
            for frame, mask in zip(clip.frames, [target, *[None] * (len(times) - 1)], strict=True):
                panels.append(overlay(frame, mask, fill=False, numbers=False, scale=scale))
            titles += [difficulty if seed == seeds[0] else "", *[f"frame {t}" for t in times[1:]]]
    return grid(panels, titles, columns=2 * len(times), gap=4)


@click.command()
@click.option("--sprites", type=click.Path(exists=True), help="The unpacked npm package to make the sprites from.")
@click.option("--write", "root", type=click.Path(), help="Folder to write the test clips into.")
@click.option("--sheet", type=click.Path(), help="Picture file to write the contact sheet to.")
def main(sprites, root, sheet):
    """Make the sprites, write the test clips in DAVIS layout with clips.json, write the contact sheet: any of these."""
    if sprites:
        make_sprites(sprites)
    if root:
        write_benchmark(root)
    if sheet:
        from vosnb.clips.masks import write_frame

        write_frame(Path(sheet), contact_sheet(), quality=82)


if __name__ == "__main__":
    main()
