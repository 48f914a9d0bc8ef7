"""A round of scribbles after many others: sums kept, against solving afresh; and the solver beside scikit-learn's.

    python benchmarks/ridge.py

float64, one thread; medians, the ways in turns. scikit-learn is no part of the course: without it, its row is left out.
"""

import statistics
import time

import torch

from vosnb.methods.ridge import Ridge, ridge

FEATURES, CLASSES, NEW, LAMBDA = 256, 2, 500, 10.0


def samples(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    r = torch.Generator().manual_seed(n)
    labels = torch.randint(CLASSES, (n,), generator=r)
    return torch.randn(FEATURES, n, generator=r, dtype=torch.float64), torch.eye(CLASSES).double()[labels].T


def medians(ways: dict, repeats: int = 7) -> list[float]:
    """Milliseconds of each way, taken in turns."""
    taken = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            taken[name].append(1000 * (time.perf_counter() - began))
    return [statistics.median(times) for times in taken.values()]


def main():
    torch.set_num_threads(1)
    print(f"a round of {NEW} pixels, {FEATURES} features, {CLASSES} classes")
    print(f"{'seen':>8} {'kept, ms':>9} {'afresh, ms':>11}")
    new = samples(NEW)
    for seen in (500, 5_000, 50_000):
        old = samples(seen)
        sums = Ridge(FEATURES, CLASSES)
        sums.add(*old)
        all_X, all_Y = (torch.cat(pair, 1) for pair in zip(old, new, strict=True))

        def kept(sums=sums):
            sums.add(*new)
            W = sums.solve(LAMBDA)
            sums.remove(*new)  # so that each repeat begins as the first; it counts here
            return W

        def afresh(X=all_X, Y=all_Y):
            return ridge(X, Y, LAMBDA)

        torch.testing.assert_close(kept(), afresh(), atol=1e-9, rtol=1e-9)
        fast, slow = medians({"kept": kept, "afresh": afresh})
        print(f"{seen:>8} {fast:>9.2f} {slow:>11.2f}   {slow / fast:.1f} times")
    try:
        from sklearn.linear_model import Ridge as Reference
    except ImportError:
        return
    X, Y = samples(4000)
    model = Reference(alpha=LAMBDA, fit_intercept=False, solver="cholesky")
    inputs, targets = X.T.contiguous().numpy(), Y.T.contiguous().numpy()
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        difference = abs(ridge(X, Y, LAMBDA).T.numpy() - model.fit(inputs, targets).coef_).max()
        ours, theirs = medians({"ours": lambda: ridge(X, Y, LAMBDA), "theirs": lambda: model.fit(inputs, targets)})
    print(f"\n4000 samples: {ours:.1f} ms, scikit-learn {theirs:.1f} ms; W differs by {difference:.0e}")


if __name__ == "__main__":
    main()
