"""One numbering of the objects for all masks of a clip."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from vosnb.clips.masks import DAVIS_IDS, VOID, WHITE, Painting, colour_ids, object_ids, painting, stored_palette
from vosnb.clips.pictures import ClipError


def gapless(masks: Sequence) -> "Numbering":
    """The reader of a clip's masks that numbers its objects 1..K; masks: paths, (H, W) arrays of ids, or None."""
    return Numbering(masks)


class Numbering:
    """Reads the masks of one clip with one numbering for all: ids without gaps, colours the same in every mask.

    Ids keep their order; colours of DAVIS's palette stand for its ids, others are numbered by their code. A mask whose
    own ids are 1..n is the same in any such numbering: only others need a look at all masks of the clip.
    """

    def __init__(self, masks: Sequence):
        self._masks = [m for m in masks if m is not None]

    def __call__(self, source: Path | np.ndarray) -> np.ndarray:
        """The (H, W) uint8 mask with ids 1..K. Raises ClipError as `read_mask`, also for ids mixed with colours."""
        found = self._read(source)
        if not found.colours:
            ids = object_ids(found.values)
            if not ids or ids[-1] == len(ids):
                return found.values
        elif not found.values.any():
            return found.values.astype(np.uint8)
        numbers = self._numbers[found.colours]
        labels = np.array(sorted(numbers))
        return np.array([numbers[i] for i in labels.tolist()], np.uint8)[np.searchsorted(labels, found.values)]

    def ids(self) -> list[int]:
        """The id in the files, or of the colour, of each object 1..K; reads every mask."""
        by_number = {number: label for label, number in self._numbers[False].items()}
        return [by_number[k] for k in range(1, len(by_number) - 1)]

    @property
    def _where(self) -> str:
        files = [m for m in self._masks if isinstance(m, Path)]
        return f"The masks of this clip ({files[0]} ...)" if files else "The masks of this clip"

    def _read(self, source: Path | np.ndarray) -> Painting:
        found = painting(source) if isinstance(source, Path) else Painting(source)
        return found if not found.palette or self._palettes_agree else found.painted()

    @cached_property
    def _palettes_agree(self) -> bool:
        """Whether indices mean the same in all masks: the palettes are the same, as far as they go."""
        files = [m for m in self._masks if isinstance(m, Path)]
        palettes = {colours for file in files if (colours := stored_palette(file))}
        longest = max(palettes, key=len, default=())
        return all(longest[: len(colours)] == colours for colours in palettes)

    @cached_property
    def _numbers(self) -> tuple[dict[int, int], dict[int, int]]:
        """{id: number} and {colour code: number} over all masks of the clip, with background and void."""
        ids, codes = set(), set()
        for source in self._masks:
            found = self._read(source)
            (codes if found.colours else ids).update(np.unique(found.values).tolist())
        ids, codes = ids - {0, VOID}, codes - {0}
        of_code = {WHITE: 1} if codes == {WHITE} else colour_ids(codes, self._where)
        if ids and codes and not codes <= {WHITE} | DAVIS_IDS.keys():
            raise ClipError(f"{self._where} hold ids in some files and colours in others; save all of them in one way.")
        labels = sorted(ids | {i for i in of_code.values()} - {0, VOID})
        number = {0: 0, VOID: VOID} | {label: k for k, label in enumerate(labels, 1)}
        return number, {code: number[i] for code, i in of_code.items()} | {0: 0}
