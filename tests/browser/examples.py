"""Small synthetic clips and the widgets on them, for every level of widget test."""

import time

import numpy as np

from vosnb.widgets import AffinityExplorer, MaskPlayer, ScribblePad

GRID = (6, 10)


def clip(length: int = 8, height: int = 96, width: int = 160) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two discs that cross a grainy background: frames (H, W, 3) uint8 and index masks (H, W)."""
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 130, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    frames, masks = [], []
    for t in range(length):
        along = (0.25 + 0.5 * t / max(1, length - 1)) * width
        one = (x - along) ** 2 + (y - 0.35 * height) ** 2 < (0.2 * height) ** 2
        two = (x - width + along) ** 2 + (y - 0.7 * height) ** 2 < (0.16 * height) ** 2
        mask = np.where(one, 1, np.where(two, 2, 0)).astype(np.uint8)
        frame = ground.copy()
        frame[one], frame[two] = (190, 120, 60), (80, 150, 170)
        frames.append(frame)
        masks.append(mask)
    return frames, masks


def player(length: int = 8, height: int = 96, width: int = 160, **options) -> MaskPlayer:
    frames, masks = clip(length, height, width)
    falling = [None, *np.linspace(1, 0.2, length - 1)]
    return MaskPlayer(
        frames,
        {"truth": masks, "still": [masks[0]] * length},
        scores={"truth": [1.0] * length, "still": falling},
        alt="Two discs cross; the true masks follow them, the first mask stays behind.",
        **options,
    )


def affinity(i: int, memory: int = 2) -> np.ndarray:
    """Attention that falls off with the distance from cell i; twice as much goes to the first memory frame."""
    y, x = np.mgrid[: GRID[0], : GRID[1]]
    near = np.exp(-0.5 * ((y - i // GRID[1]) ** 2 + (x - i % GRID[1]) ** 2))
    both = np.stack([near * (2 if m == 0 else 1) for m in range(memory)])
    return (both / both.sum()).astype(np.float32)


def explorer(probe=affinity, **options) -> AffinityExplorer:
    frames, masks = clip()
    heatmap = np.linspace(0, 1, GRID[0] * GRID[1]).reshape(GRID)
    return AffinityExplorer(
        frames,
        query=5,
        memory=[0, 4],
        grid=GRID,
        probe=probe,
        heatmap=heatmap,
        masks=masks,
        alt="A cell of frame 5 attends to cells nearby in frames 0 and 4.",
        **options,
    )


class Discs:
    """A segmenter that covers what was painted: a disc of the object's number around each stroke, on every frame."""

    def __init__(self, length: int = 8, height: int = 96, width: int = 160, radius: int = 12):
        self.masks = np.zeros((length, height, width), np.uint8)
        self.radius, self.before, self.asked, self.strict = radius, [], [], True

    def add(self, scribbles):
        """Refuses what is background alone, where it is strict."""
        if self.strict and not any(scribble.object for scribble in scribbles):
            raise ValueError("paint an object too.")
        self.before.append(self.masks)
        self.asked.append([scribble.object for scribble in scribbles])
        self.masks = self.masks.copy()
        y, x = np.mgrid[: self.masks.shape[1], : self.masks.shape[2]]
        for scribble in scribbles:
            left, top = scribble.path.mean(0) * self.masks.shape[:0:-1]
            self.masks[:, (x - left) ** 2 + (y - top) ** 2 < self.radius**2] = scribble.object
        return self.masks

    def undo(self):
        self.masks = self.before.pop()
        return self.masks


class Slow(Discs):
    """Discs that are drawn on the frames with strokes alone, and carried on to the others, one in `seconds`."""

    def __init__(self, seconds: float = 0.0, **size):
        super().__init__(**size)
        self.strict = False
        self.seconds, self.drawn, self.begun, self.ended, self.closed = seconds, [], 0, 0, 0

    def add(self, scribbles):
        carried, drawn = self.masks, {scribble.frame for scribble in scribbles}
        self.drawn.append(drawn)
        whole = super().add(scribbles)
        self.masks = np.stack([whole[t] if t in drawn else mask for t, mask in enumerate(carried)])
        return self.masks

    def undo(self):
        self.drawn.pop()
        return super().undo()

    def propagate(self):
        """What was drawn last is carried to all frames."""
        self.begun += 1
        source = self.masks[max(self.drawn[-1])] if self.drawn else 0
        try:
            for t in range(len(self.masks)):
                time.sleep(self.seconds)
                self.masks = self.masks.copy()
                self.masks[t] = source
                yield t + 1, len(self.masks), self.masks
            self.ended += 1
        except GeneratorExit:
            self.closed += 1
            raise

    def suggest(self):
        return 5, "the two discs meet there."


def pad(segmenter=None, **options) -> ScribblePad:
    return ScribblePad(clip()[0], segmenter, alt="Two discs cross; paint on them.", **options)
