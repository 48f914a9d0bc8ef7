"""Clips of toys with exact masks, generated from a seed: a second world, in which no network of ours is ever trained.

    clip = generate(7, "lookalike", species_difference=0.2)     one clip; any field of `Knobs` can be turned
    clips = benchmark("test")                                   the clips of a split, rendered as they are looked at

Object 1 is the target: visible at t = 0, at least 60 % of it unoccluded. The calls are those of `vosnb.creatures`.
`kinds.py` lists what toys there are, `knobs.py` says what can be turned, `actors.py` moves and bends them, `looks.py`
paints colours, ground and light, `scenes.py` puts them together and renders, `splits.py` defines the benchmark.
"""

from vosnb.creatures.knobs import KnobError
from vosnb.toys.knobs import DIFFICULTIES, Knobs
from vosnb.toys.splits import benchmark, generate, write_benchmark

__all__ = ["DIFFICULTIES", "KnobError", "Knobs", "benchmark", "generate", "write_benchmark"]
