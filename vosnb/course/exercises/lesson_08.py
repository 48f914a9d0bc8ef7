"""Exercises of lesson 08: one sweep over a map, ways through it, its gradient, and the loss as printed."""

import math

import torch

from vosnb.course.exercises import Exercise, expect, same


def _normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


# ---------------------------------------------------------------------------------------------- hidden_states


def hidden_states_reference(z, K):
    rows, columns, _ = z.shape
    h = torch.zeros_like(z)
    for i in range(rows):
        for j in range(columns):
            total = z[i, j].clone()
            for a, b in ((i - 1, j), (i, j - 1), (i - 1, j - 1)):
                if a >= 0 and b >= 0:
                    total += K @ h[a, b]
            h[i, j] = torch.tanh(total)
    return h


def _sweep(z, K, heard, f=torch.tanh, wrap=False):
    """Like the reference, with other predecessors, another f, or a map without borders."""
    h = torch.zeros_like(z)
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            there = [(i - up, j - left) for up, left in heard if wrap or (i >= up and j >= left)]
            h[i, j] = f(z[i, j] + sum(K @ h[a, b] for a, b in there))
    return h


def _check_hidden_states(answer):
    z, K = 0.7 * _normal(1, 4, 5, 3), 0.4 * _normal(2, 3, 3)
    three = ((1, 0), (0, 1), (1, 1))
    got = answer(z.clone(), K.clone())

    expect(
        not same(got, torch.tanh(z)),
        "no cell hears from any other in yours: that is f(z). What is missing is the sum over the predecessors.",
    )
    expect(
        not same(got, _sweep(z, K.T, three)),
        "K is transposed in yours. S2-E1 has the matrix before the state: K @ h, or h @ K.T.",
    )
    expect(
        not same(got, _sweep(z, K, three[:2])),
        "the cell above and to the left is missing. With 8 neighbours there are three predecessors.",
    )
    expect(
        not same(got, _sweep(z, K, three[2:])),
        "only the diagonal predecessor is heard in yours; the cells above and to the left are missing.",
    )
    expect(
        not same(got, _sweep(z.flip(0, 1), K, three).flip(0, 1)),
        "yours runs to the north-west: it hears from below and from the right.",
    )
    expect(
        not same(got, _sweep(z, K, three, wrap=True)),
        "the borders: index -1 is the *last* row or column to Python. A cell in the first row has none above it.",
    )
    expect(
        not same(got, _sweep(z, K, three, f=lambda total: total)),
        "f is missing: the state is tanh of the whole sum.",
    )
    padded = torch.nn.functional.pad(z, (0, 0, 1, 0, 1, 0))
    heard = (padded[:-1, 1:] + padded[1:, :-1] + padded[:-1, :-1]) @ K.T
    expect(
        not same(got, torch.tanh(z + heard)),
        "you added what the predecessors *receive*, z. A cell hears their states h, and through these all that came "
        "before.",
    )
    expect(
        same(got, hidden_states_reference(z, K), 1e-9),
        "the states do not agree: row by row, h[i, j] = tanh(z[i, j] + K h above + K h left + K h of the diagonal).",
    )


hidden_states = Exercise(
    name="hidden_states",
    title="A sweep to the south-east",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=(
        "Two loops, rows and columns from the first to the last: what a cell needs has then been computed.",
        "The predecessors of (i, j) are (i - 1, j), (i, j - 1) and (i - 1, j - 1), as far as they exist.",
        "total = z[i, j]; for each predecessor total = total + K @ h[a, b]; then h[i, j] = torch.tanh(total).",
    ),
    reference=hidden_states_reference,
    check=_check_hidden_states,
)

# ---------------------------------------------------------------------------------------------- ways


def ways_reference(down, right, neighbours):
    if down == 0 or right == 0:
        return 1
    count = {}
    for i in range(down + 1):
        for j in range(right + 1):
            diagonal = count[i - 1, j - 1] if neighbours == 8 and i and j else 0
            count[i, j] = count[i - 1, j] + count[i, j - 1] + diagonal if i and j else 1
    return count[down, right]


def _check_ways(answer):
    got = {(i, j, n): answer(i, j, n) for i in range(5) for j in range(5) for n in (4, 8)}

    def is_always(rule, neighbours=(4, 8)):
        return all(same(value, rule(i, j)) for (i, j, n), value in got.items() if n in neighbours)

    expect(
        not is_always(lambda i, j: i + j) and not is_always(lambda i, j: i + j, (4,)),
        "that is the *length* of a way, down + right steps. How many different ones are there?",
    )
    expect(
        not is_always(lambda i, j: 2 ** (i + j), (4,))
        and not is_always(lambda i, j: 2 ** (i + j) if i and j else 1, (4,)),
        "two choices at each step give 2^(steps), but most of these ways end in another cell of the same wavefront.",
    )
    expect(
        same(got[0, 3, 4], 1) and same(got[2, 0, 8], 1) and same(got[0, 0, 4], 1),
        "straight down or straight right there is just one way, and one (to stay) from a cell to itself.",
    )
    expect(
        not is_always(lambda i, j: math.comb(i + j, i)),
        "with 8 neighbours a way may also take diagonal steps; yours has the same number as with 4.",
    )
    expect(
        is_always(lambda i, j: math.comb(i + j, i), (4,)),
        "with 4 neighbours the last step came from above or from the left: ways(i, j) = ways(i - 1, j) + ways(i, j - "
        "1).",
    )
    expect(
        is_always(lambda i, j: ways_reference(i, j, 8), (8,)),
        "with 8 neighbours the last step came from above, from the left or from the diagonal: add the ways to these "
        "three.",
    )
    expect(
        same(float(answer(60, 60, 4)) / math.comb(120, 60), 1.0),
        "right for short ways, but not for long ones: Python's whole numbers are exact, those of NumPy and torch "
        "overflow.",
    )


ways = Exercise(
    name="ways",
    title="How many ways lead there?",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=(
        "The last step into a cell came from one of its predecessors. So add up the ways to these.",
        "One way leads to each cell of the first row and of the first column. From there on fill a table.",
        "count[i, j] = count[i - 1, j] + count[i, j - 1], and + count[i - 1, j - 1] with 8 neighbours.",
    ),
    reference=ways_reference,
    check=_check_ways,
)

# ---------------------------------------------------------------------------------------------- gradient_by_hand


def gradient_by_hand_reference(h, g, K):
    rows, columns, _ = h.shape
    dz = torch.zeros_like(h)
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            total = g[i, j].clone()
            if i + 1 < rows:
                total += K.T @ dz[i + 1, j]
            if j + 1 < columns:
                total += K.T @ dz[i, j + 1]
            dz[i, j] = (1 - h[i, j] ** 2) * total
    return dz


def _backward(h, g, K, slope, pulled=lambda dz, total: dz):
    """Like the reference, with another slope (n,) of h, or with something else handed back to the predecessors."""
    back, dz = torch.zeros_like(h), torch.zeros_like(h)
    for i in reversed(range(h.shape[0])):
        for j in reversed(range(h.shape[1])):
            total = g[i, j].clone()
            for a, b in ((i + 1, j), (i, j + 1)):
                if a < h.shape[0] and b < h.shape[1]:
                    total += K @ back[a, b]
            dz[i, j] = slope(h[i, j]) * total
            back[i, j] = pulled(dz[i, j], total)
    return dz


def _check_gradient_by_hand(answer):
    z, K, g = 0.8 * _normal(3, 4, 5, 3), 0.4 * _normal(4, 3, 3), _normal(5, 4, 5, 3)
    h = _sweep(z, K, ((1, 0), (0, 1)))
    got = answer(h.clone(), g.clone(), K.clone())

    def slope(h):
        return 1 - h**2

    expect(
        not same(got, slope(h) * g),
        "each state counts for itself alone in yours. It is also heard by the cells below and to the right.",
    )
    expect(
        not same(got, _backward(h, g, K.T, torch.ones_like)),
        "the slope of tanh, 1 - h^2, is missing.",
    )
    expect(
        not same(got, _backward(h, g, K.T, slope, lambda dz, total: total)),
        "the slope of tanh is there at the end, but not on the way: what a cell hands back is dz, the slope included.",
    )
    expect(
        not same(got, _backward(h, g, K.T, lambda h: 1 - h)),
        "the slope of tanh at the state h is 1 - h^2: square the state.",
    )
    expect(
        not same(got, _backward(h, g, K, slope)),
        "forwards a state is multiplied with K, so backwards with its transpose: K.T @ dz.",
    )
    turned = _backward(h.flip(0, 1), g.flip(0, 1), K.T, slope).flip(0, 1)
    expect(
        not same(got, turned),
        "yours runs with the sweep. Gradients come from the cells that *heard* this one: from below and from the "
        "right, so begin at the last cell.",
    )
    expect(
        same(got, gradient_by_hand_reference(h, g, K), 1e-9),
        "not the gradient: dz[i, j] = (1 - h[i, j]^2) (g[i, j] + K' dz below + K' dz to the right).",
    )


gradient_by_hand = Exercise(
    name="gradient_by_hand",
    title="The sweep, backwards",
    difficulty=4,
    importance=3,
    minutes=15,
    hints=(
        "A state matters in three places: in the loss itself (g), in the cell below, and in the cell to the right.",
        "So run from the last cell to the first. total = g[i, j] + K.T @ dz[i + 1, j] + K.T @ dz[i, j + 1], where they "
        "exist.",
        "tanh comes last forwards, and so first backwards: dz[i, j] = (1 - h[i, j] ** 2) * total.",
    ),
    reference=gradient_by_hand_reference,
    check=_check_gradient_by_hand,
)

# ---------------------------------------------------------------------------------------------- ratio_loss


def ratio_loss_reference(anchors, positives, negatives, alpha):
    near = torch.cdist(anchors, positives).min(1).values ** 2
    far = torch.cdist(anchors, negatives).min(1).values ** 2
    return (near / (far + alpha)).mean()


def _check_ratio_loss(answer):
    a, p, n, alpha = _normal(6, 4, 3), _normal(7, 5, 3), 1.5 * _normal(8, 7, 3), 0.3
    P, N = ((a[:, None] - pool).square().sum(-1) for pool in (p, n))  # (anchors, pool)
    near, far = P.min(1).values, N.min(1).values
    got = answer(a, p, n, alpha)

    expect(
        not same(got, near / (far + alpha)),
        "one number for each anchor. Average them: the loss is one number.",
    )
    expect(
        not same(got, (near / (far + alpha)).sum()),
        "you summed over the anchors, as the paper prints it. Average, so that large objects do not count more.",
    )
    expect(
        not same(got, (P.mean(1) / (N.mean(1) + alpha)).mean()),
        "you averaged over the pools. Only the *nearest* positive and the nearest negative count: min over p, min over "
        "n.",
    )
    expect(
        not same(got, (near.sqrt() / (far.sqrt() + alpha)).mean()),
        "the distances are squared in S2-E4.",
    )
    expect(
        not same(got, (far / (near + alpha)).mean()),
        "upside down: the distance to the positives should become small, so it stands above.",
    )
    expect(not same(got, (near / far).mean()), "alpha is missing in the denominator.")
    expect(
        not same(got, near.sum() / (far + alpha).sum()),
        "a ratio of sums. Each anchor has a ratio of its own; these are averaged.",
    )
    across = P.min(0).values.mean() / (N.min(0).values.mean() + alpha)
    expect(
        not same(got, across) and not same(got, P.min() / (N.min() + alpha)),
        "the minimum runs over the pool, for each anchor by itself: over dimension 1 of (anchors, pool).",
    )
    expect(
        same(got, ratio_loss_reference(a, p, n, alpha), 1e-6),
        "not S2-E4: the mean over anchors of min ||a - p||^2 / (min ||a - n||^2 + alpha).",
    )


ratio_loss = Exercise(
    name="ratio_loss",
    title="The loss, as printed",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=(
        "torch.cdist(anchors, pool) holds all distances, (anchors, pool). They are not squared yet.",
        "For each anchor the smallest: .min(1).values, or .amin(1). Once for either pool.",
        "(near**2 / (far**2 + alpha)).mean()",
    ),
    reference=ratio_loss_reference,
    check=_check_ratio_loss,
)
