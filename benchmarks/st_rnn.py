"""The recurrences of S2 by wavefronts, cell by cell, and how both grow: in one run.

    python benchmarks/st_rnn.py

float32, one thread, 8 neighbours. "a sweep at a time" visits the cells of each of the four sweeps for itself, as the
plain double loop does; "four at a time" is the double loop with the four sweeps side by side in each step.
"""

import statistics
import time

import torch

from vosnb.methods.st_rnn import STRNN, double_loop, wavefronts


def one_by_one(z, K):
    return torch.cat([double_loop(z[d : d + 1], K[d : d + 1]) for d in range(4)])


WAYS = {"wavefronts": wavefronts, "double loop, four at a time": double_loop, "a sweep at a time": one_by_one}


def states(cells: tuple[int, int], channels: int = 64):
    r = torch.Generator().manual_seed(0)
    return torch.randn(4, 1, *cells, channels, generator=r), 0.05 * torch.randn(4, channels, channels, generator=r)


def mebibytes(*tensors) -> float:
    """What the wavefronts allocate, all together."""
    with torch.profiler.profile(profile_memory=True) as profile:
        wavefronts(*tensors)
    return sum(max(0, event.self_cpu_memory_usage) for event in profile.key_averages()) / 2**20


@torch.no_grad()
def main(repeats: int = 5):
    torch.set_num_threads(1)
    z, K = states((30, 54))
    for way in WAYS.values():
        torch.testing.assert_close(way(z, K), wavefronts(z, K), atol=1e-4, rtol=1e-4)
    taken = {name: [] for name in WAYS}
    for _ in range(repeats):  # in turns, so that a busy neighbour slows all
        for name, way in WAYS.items():
            began = time.perf_counter()
            way(z, K)
            taken[name].append(1000 * (time.perf_counter() - began))
    fast = statistics.median(taken["wavefronts"])
    for name, times in taken.items():
        print(f"{name:>28} {statistics.median(times):7.1f} ms, {statistics.median(times) / fast:5.1f} times")
    print("\n       cells   ms   us a cell   MiB   KiB a cell")
    for cells in ((8, 8), (15, 27), (30, 54), (60, 108)):
        z, K = states(cells)
        times, n = [], cells[0] * cells[1]
        for _ in range(repeats):
            began = time.perf_counter()
            wavefronts(z, K)
            times.append(time.perf_counter() - began)
        middle, held = statistics.median(times), mebibytes(z, K)
        print(f"{str(cells):>12} {1e3 * middle:6.1f} {1e6 * middle / n:8.1f} {held:8.1f} {1024 * held / n:8.1f}")
    print("\nframes of 16 x 16 cells, 128 channels: ms")
    rnn = STRNN(128, 32, 48)
    for frames in (1, 4, 16, 24):
        x = torch.randn(frames, 1, 128, 16, 16)
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            rnn(x)
            times.append(1000 * (time.perf_counter() - began))
        print(f"{frames:>12} {statistics.median(times):6.1f}")


if __name__ == "__main__":
    main()
