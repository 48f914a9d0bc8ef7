"""Write the shipped benchmark and its picture: python -m vosnb.creatures --write data --sheet data/contact_sheet.jpg"""

from pathlib import Path

import click
import numpy as np

from vosnb.creatures.splits import generate, write_benchmark

# Two seeds of the val stream for each difficulty, chosen by eye.
SHOWN = {
    "easy": (206, 210),
    "lookalike": (208, 203),
    "twins": (207, 202),
    "occlusion": (205, 201),
    "deformation": (204, 207),
    "light": (201, 206),
    "camera": (209, 205),
    "reappear": (210, 208),
}


def contact_sheet(times=(0, 8, 16, 23)) -> np.ndarray:
    """(H, W, 3) uint8: a row for each difficulty, four frames of two clips, the target outlined in the first."""
    from vosnb.show import grid, overlay

    panels, titles = [], []
    for difficulty, seeds in SHOWN.items():
        for seed in seeds:
            clip = generate(seed, difficulty, "val", times=times)
            frames = list(clip.frames)
            frames[0] = overlay(frames[0], (clip.masks[0] == 1).astype(np.uint8), fill=False, numbers=False)
            panels += frames
            titles += [difficulty if seed == seeds[0] else "", *[f"frame {t}" for t in times[1:]]]
    return grid(panels, titles, columns=2 * len(times), gap=4)


@click.command()
@click.option("--write", "root", type=click.Path(), help="Folder to write the val and test clips into.")
@click.option("--sheet", type=click.Path(), help="Picture file to write the contact sheet to.")
def main(root, sheet):
    """Write the val and test clips in DAVIS layout with clips.json, or the contact sheet, or both."""
    if root:
        write_benchmark(root)
    if sheet:
        from vosnb.clips.masks import write_frame

        write_frame(Path(sheet), contact_sheet(), quality=88)


if __name__ == "__main__":
    main()
