"""What more objects cost in S3's kernel head: all at once, and one after the other.

    python benchmarks/dynamic_kernels.py

float32, one thread, the decoder's map of a frame of 128 x 128 pixels: 24 channels of 64 x 64. The head is what comes on
top of the matcher: three fully connected layers write the kernels, and the map is convolved with them. "a map each" is
what the decoder gives, one for each object; "one map" is shared by all.
"""

import statistics
import time

import torch

from vosnb.methods.dynamic_kernels import KernelGenerator, convolve


def head(generator, means, x):
    return convolve(x, generator(*means), generator.channels)


def one_by_one(generator, means, x):
    maps = x.expand(means.shape[1], -1, -1, -1)
    return torch.cat([head(generator, means[:, n : n + 1], maps[n : n + 1]) for n in range(means.shape[1])])


@torch.no_grad()
def main(repeats: int = 200):
    torch.set_num_threads(1)
    print(f"{'layers':>16} {'':>11} {'K=1, us':>8} {'K=5':>8} {'times':>6} {'loop of 5':>10} {'times':>6}")
    for channels in ((24, 1), (24, 8, 8, 1)):
        generator = KernelGenerator(("global", "local"), 128, channels)
        for what, maps in (("a map each", 5), ("one map", 1)):
            means, x = torch.randn(2, 5, 128), torch.randn(maps, 24, 64, 64)
            ways = {
                "one": (head, means[:, :1], x[:1]),
                "five": (head, means, x),
                "loop": (one_by_one, means, x),
            }
            torch.testing.assert_close(head(generator, means, x), one_by_one(generator, means, x))
            taken = {name: [] for name in ways}
            for _ in range(repeats):  # in turns, so that a busy neighbour slows all
                for name, (way, *given) in ways.items():
                    began = time.perf_counter()
                    way(generator, *given)
                    taken[name].append(1e6 * (time.perf_counter() - began))
            one, five, loop = (statistics.median(taken[name]) for name in ways)
            row = f"{one:8.0f} {five:8.0f} {five / one:6.2f} {loop:10.0f} {loop / one:6.2f}"
            print(f"{str(channels):>16} {what:>11} {row}")


if __name__ == "__main__":
    main()
