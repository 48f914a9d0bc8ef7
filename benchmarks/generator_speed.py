"""Generated frames per second, on one core: whole clips of each difficulty, and the short samples that training draws.

    python benchmarks/generator_speed.py [--clips N]

128 x 128, 24 frames; composing a scene and painting it are part of the time. CPU seconds, each clip at the best of
three rounds, since what else the machine does only ever adds.
"""

import argparse
import time

import cv2

from vosnb.creatures import DIFFICULTIES, generate


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=4, help="clips of each difficulty")
    clips = parser.parse_args().clips
    cv2.setNumThreads(1)
    generate(0)  # the first clip also loads the photographs
    total = 0.0
    for difficulty in DIFFICULTIES:
        spent = cpu_seconds(lambda seed, difficulty=difficulty: generate(seed, difficulty, "val"), clips)
        total += spent
        print(f"{difficulty:12} {24 * clips / spent:7.0f} frames/s")
    print(f"{'all':12} {24 * clips * len(DIFFICULTIES) / total:7.0f} frames/s")
    sample = cpu_seconds(lambda seed: generate(seed, "train", times=[3, 9, 15]), 4 * clips) / (4 * clips)
    print(f"a training sample of three frames: {1000 * sample:.0f} ms")


def cpu_seconds(make, count: int) -> float:
    total = 0.0
    for seed in range(count):
        rounds = []
        for _ in range(3):
            began = time.process_time()
            make(seed)
            rounds.append(time.process_time() - began)
        total += min(rounds)
    return total


if __name__ == "__main__":
    main()
