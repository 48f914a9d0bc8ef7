"""Reading the memory with and without holding the affinity: time and memory of both, in one run.

    python benchmarks/memory_read.py

480p at stride 16 (30 x 54 cells), keys of 32 and values of 64 channels, a memory of 1 to 20 frames; one thread.
"""

import time

import torch

from vosnb.methods.matching import affinity, read_flat, read_memory


def plain(query_keys, memory_keys, memory_values):
    """The straightforward way: the whole affinity, then the product."""
    return read_memory(affinity(query_keys, memory_keys), memory_values)


def allocated(read, *tensors) -> float:
    """MiB that a read allocates."""
    with torch.profiler.profile(profile_memory=True) as profile:
        read(*tensors)
    return sum(max(0, event.self_cpu_memory_usage) for event in profile.key_averages()) / 2**20


def seconds(read, *tensors) -> float:
    began = time.perf_counter()
    read(*tensors)
    return time.perf_counter() - began


@torch.no_grad()
def main(repeats: int = 7):
    torch.set_num_threads(1)
    r = torch.Generator().manual_seed(0)
    n = 30 * 54
    print(f"{'frames':>6} {'plain ms':>9} {'flat ms':>9} {'ratio':>6} {'plain MiB':>10} {'flat MiB':>9}")
    for frames in (1, 5, 20):
        tensors = [torch.randn(1, c, m, generator=r) for c, m in ((32, n), (32, n * frames), (64, n * frames))]
        assert torch.allclose(plain(*tensors), read_flat(*tensors), atol=1e-5)
        times = {plain: [], read_flat: []}
        for _ in range(repeats):  # interleaved, so that a busy neighbour slows both
            for read, taken in times.items():
                taken.append(seconds(read, *tensors))
        slow, fast = (1000 * sorted(taken)[repeats // 2] for taken in times.values())
        memory = [allocated(read, *tensors) for read in times]
        print(f"{frames:>6} {slow:>9.1f} {fast:>9.1f} {slow / fast:>6.1f} {memory[0]:>10.1f} {memory[1]:>9.1f}")


if __name__ == "__main__":
    main()
