"""Clips of look-alike creatures with exact masks, generated from a seed.

    clip = generate(7, "lookalike", species_difference=0.2)     one clip; any field of `Knobs` can be turned
    clips = benchmark("test")                                   the clips of a split, rendered as they are looked at

Object 1 is the target: visible at t = 0, at least 60 % of it unoccluded. `knobs.py` says what can be turned,
`textures.py` paints colours, patterns and backgrounds, `bodies.py` builds and moves the animals, `coats.py` dresses
them, `jumps.py` makes the camera jump, `scenes.py` puts all into a scene and renders it, `splits.py` defines and writes
the benchmark.
"""

from vosnb.creatures.knobs import DIFFICULTIES, TRAINING, KnobError, Knobs
from vosnb.creatures.splits import LARGE, SIZES, benchmark, generate, write_benchmark

__all__ = [
    "DIFFICULTIES",
    "LARGE",
    "SIZES",
    "TRAINING",
    "KnobError",
    "Knobs",
    "benchmark",
    "generate",
    "write_benchmark",
]
