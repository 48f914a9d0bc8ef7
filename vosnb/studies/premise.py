"""S0's premise: a generic matcher meets a special clip. What do adapted keys gain, the longer the matcher was trained?

    python -m vosnb.studies.premise FOLDER WEIGHTS ... --split dev --split lookalikes_dev

WEIGHTS are of the matcher on photographs, at several moments of one training (`vosnb train matching --keep-every`), or
of trainings that began in other ways (`--keys random`). FOLDER holds the clips, see `vosnb.studies.worlds`; the lists
are for choosing settings. Object 1 alone, static and updated memory. Writes data/results/premise.json: of each file of
weights and each list a row for each memory, with J without and with adapted keys, the gain, its 95 % paired interval,
clips won and lost.
"""

import argparse
from functools import partial
from pathlib import Path

import torch

from vosnb.datasets import load
from vosnb.features import weights_card
from vosnb.studies.common import gains, rounded, write
from vosnb.trackers import make_tracker

MEMORIES = {"static": "first", "updated": "every+last"}
CARD = {
    "steps": None,
    "keys": "features",
}  # what a row says of the training, and what is meant where the card is silent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of clips in DAVIS, YouTube-VOS or OVIS layout")
    parser.add_argument("weights", nargs="+", help="files of weights of the matcher on photographs")
    parser.add_argument("--split", action="append", help="a list of clips; may be given several times")
    parser.add_argument("--clips", type=int, help="take so many of each list")
    given = parser.parse_args()
    torch.set_num_threads(2)
    splits = given.split or ["val"]
    rows = [
        row for split in splits for file in given.weights for row in rows_of(given.folder, split, file, given.clips)
    ]
    options = "".join(f" --split {split}" for split in splits) + (f" --clips {given.clips}" if given.clips else "")
    write("premise", f"python -m vosnb.studies.premise FOLDER WEIGHTS{options}", rows)


def rows_of(folder: str, split: str, file: str, clips: int | None) -> list[dict]:
    """A row for each memory; a run that was stopped goes on where it was (build/studies/)."""
    card, found = weights_card(file), []
    for memory, schedule in MEMORIES.items():
        settings = {"backbone": "photos", "weights": file, "memory": schedule}
        plain, adapted = (partial(make_tracker, name, **settings) for name in ("matching", "matching+context"))
        run = f"premise-{Path(file).stem}-{split}-{memory}"
        gain = gains(run, plain, {"adapted": adapted}, load(folder, split)[:clips])["adapted"]
        gain.pop("fps")  # of a machine with other work
        where = {"list": split, "memory": memory, "weights": Path(file).stem}
        found.append(rounded(where | {name: card.get(name, default) for name, default in CARD.items()} | gain))
    return found


if __name__ == "__main__":
    main()
