"""Generated frames of toys per second, on one core: whole clips of each difficulty.

    python benchmarks/toys_speed.py [--clips N]

240 x 426, 24 frames; composing a scene and painting it are part of the time. CPU seconds, each clip at the best of
three rounds, since what else the machine does only ever adds.
"""

import argparse

import cv2
from generator_speed import cpu_seconds

from vosnb.toys import DIFFICULTIES, generate


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2, help="clips of each difficulty")
    clips = parser.parse_args().clips
    cv2.setNumThreads(1)
    generate(0)  # the first clip also loads photographs and sprites
    total = 0.0
    for difficulty in DIFFICULTIES:
        spent = cpu_seconds(lambda seed, difficulty=difficulty: generate(seed, difficulty), clips)
        total += spent
        print(f"{difficulty:12} {24 * clips / spent:7.0f} frames/s")
    print(f"{'all':12} {24 * clips * len(DIFFICULTIES) / total:7.0f} frames/s")


if __name__ == "__main__":
    main()
