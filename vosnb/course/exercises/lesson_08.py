"""Exercises of lesson 08: a sweep, a fault, the whole recurrence, and what would tell."""

import torch
import torch.nn.functional as F

from vosnb.course.exercises import Exercise, expect, same, written

THREE = ((1, 0), (0, 1), (1, 1))  # predecessors with 8 neighbours: rows up, columns to the left


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
    got = answer(z.clone(), K.clone())

    expect(
        not same(got, torch.tanh(z)),
        "no cell hears from any other in yours: that is f(z). What is missing is the sum over the predecessors.",
    )
    expect(
        not same(got, _sweep(z, K.T, THREE)),
        "K is transposed in yours. S2-E1 has the matrix before the state: K @ h, or h @ K.T.",
    )
    expect(
        not same(got, _sweep(z, K, THREE[:2])),
        "the cell above and to the left is missing. With 8 neighbours there are three predecessors.",
    )
    expect(
        not same(got, _sweep(z, K, THREE[2:])),
        "only the diagonal predecessor is heard in yours; the cells above and to the left are missing.",
    )
    expect(
        not same(got, _sweep(z.flip(0, 1), K, THREE).flip(0, 1)),
        "yours runs to the north-west: it hears from below and from the right.",
    )
    expect(
        not same(got, _sweep(z, K, THREE, wrap=True)),
        "the borders: index -1 is the *last* row or column to Python. A cell in the first row has none above it.",
    )
    expect(
        not same(got, _sweep(z, K, THREE, f=lambda total: total)),
        "f is missing: the state is tanh of the whole sum.",
    )
    padded = F.pad(z, (0, 0, 1, 0, 1, 0))
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
    kind="warm-up",
    task="One sweep to the south-east, as S2-E1 says it: each cell adds K times the states of the cells above it, to "
    "the left of it, and between these two, to what it is given; then comes tanh.",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=(
        "Two loops, rows and columns from the first to the last: what a cell needs has then been computed.",
        "The predecessors of (i, j) are (i - 1, j), (i, j - 1) and (i - 1, j - 1), as far as they exist.",
        "Sum first, over what the cell is given and what it hears, and squash once, at the end. K is a matrix, and "
        "stands before the state that it is applied to.",
    ),
    reference=hidden_states_reference,
    check=_check_hidden_states,
)

# ---------------------------------------------------------------------------------------------- mend_wavefronts


def mend_wavefronts_reference(z, K):
    rows, columns, n = z.shape
    h = z.new_zeros(rows, rows + columns + 1, n)
    for i in range(rows):
        h[i, i + 2 : i + 2 + columns] = z[i]
    for k in range(2, rows + columns + 1):
        above = F.pad(h, (0, 0, 0, 0, 1, 0))[:-1]
        heard = h[:, k - 1] + above[:, k - 1] + above[:, k - 2]
        h[:, k] = torch.tanh(h[:, k] + heard @ K.T)
    return torch.stack([h[i, i + 2 : i + 2 + columns] for i in range(rows)])


def mend_wavefronts_faulty(z, K):
    rows, columns, n = z.shape
    h = z.new_zeros(rows, rows + columns + 1, n)
    for i in range(rows):
        h[i, i + 2 : i + 2 + columns] = z[i]
    for k in range(2, rows + columns + 1):
        above = h.roll(1, 0)
        heard = h[:, k - 1] + above[:, k - 1] + above[:, k - 2]
        h[:, k] = torch.tanh(h[:, k] + heard @ K.T)
    return torch.stack([h[i, i + 2 : i + 2 + columns] for i in range(rows)])


def _check_mend_wavefronts(answer):
    z, K = 0.7 * _normal(9, 4, 6, 3), 0.4 * _normal(10, 3, 3)
    want, got = hidden_states_reference(z, K), answer(z.clone(), K.clone())
    expect(
        tuple(getattr(got, "shape", ())) == (4, 6, 3),
        "the states must come back in the shape of z, (H, W, n): the sheared map is a workspace.",
    )
    expect(
        not same(got, mend_wavefronts_faulty(z, K)),
        "light still comes out at the bottom of the frame and in again at its top. What should the first row hear from "
        "above?",
    )
    expect(
        not same(got, _sweep(z, K, ((0, 1),))),
        "now no row hears from another at all: the leak is closed, and with it the way from above.",
    )
    expect(
        not same(got[0], want[0]) or same(got[1], want[1], 1e-9),
        "the first row is right and the second is not: every other row must still hear from the one above it.",
    )
    expect(
        same(got[0], want[0], 1e-9),
        "the first row is wrong. With no row above it, it hears from its left neighbour alone.",
    )
    expect(same(got, want, 1e-9), "not the states of the double loop, though the first rows agree.")
    tall = 0.7 * _normal(11, 7, 2, 3)
    expect(
        same(answer(tall, K), hidden_states_reference(tall, K), 1e-9),
        "right for a map of 4 x 6 cells, wrong for one of 7 x 2.",
    )


mend_wavefronts = Exercise(
    name="mend_wavefronts",
    title="Light from below",
    kind="bug hunt",
    task="This program computes a sweep wavefront by wavefront. The light of a cell near the bottom also appears at "
    "the top, above it, where a sweep to the south-east can never carry it. Mend the program.",
    difficulty=3,
    importance=4,
    minutes=15,
    hints=(
        "Follow the light in the picture: it leaves the map at the bottom. Which cells take it up?",
        "Which row stands `above` row 0? Print `torch.arange(4).roll(1)`.",
        "The first row should hear zeros from above. `F.pad(..., (0, 0, 0, 0, 1, 0))` puts a row of zeros before the "
        "first one; then there is one row too many at the end.",
    ),
    reference=mend_wavefronts_reference,
    faulty=mend_wavefronts_faulty,
    check=_check_mend_wavefronts,
)

# ---------------------------------------------------------------------------------------------- recurrence


def recurrence_reference(x, U, K_d, b, V, c, K=None, sweep=hidden_states_reference):
    before, outputs = [None] * 4, []
    for t, frame in enumerate(x):
        y = c[:, None, None]
        for d, mirrored in enumerate(([], [1], [0], [0, 1])):
            z = torch.einsum("nc,chw->hwn", U[d], frame) + b[d]
            if K is not None and t > 0:
                z = z + before[d] @ K.T
            before[d] = sweep(z.flip(mirrored), K_d[d]).flip(mirrored)
            y = y + torch.einsum("on,hwn->ohw", V[d], before[d])
        outputs.append(y)
    return torch.stack(outputs)


def _recur(x, U, K_d, b, V, c, K=None, turns=((), (1,), (0,), (0, 1)), back=True, inside=True, heard=None, each_c=1):
    """Like the reference, with other mirrors, K outside of f, or hearing something else of the frame before."""
    before, outputs = [0 * U[d, :, 0].expand(*x.shape[2:], -1) for d in range(4)], []
    for t, frame in enumerate(x):
        old, y = list(before), each_c * c[:, None, None]
        for d, axes in enumerate(turns):
            z = torch.einsum("nc,chw->hwn", U[d], frame) + b[d]
            remembered = 0 * z if K is None or t == 0 else (old[d] if heard is None else heard(old, before, d)) @ K.T
            h = hidden_states_reference((z + (remembered if inside else 0)).flip(axes), K_d[d])
            before[d] = (h.flip(axes) if back else h) + (0 if inside else remembered)
            y = y + torch.einsum("on,hwn->ohw", V[d], before[d])
        outputs.append(y)
    return torch.stack(outputs)


def _parameters(seed: int, inputs=2, hidden=3, outputs=2):
    """U, K_d, b, V, c of a small recurrence, and K."""
    sizes = ((4, hidden, inputs), (4, hidden, hidden), (4, hidden), (4, outputs, hidden), (outputs,), (hidden, hidden))
    U, K_d, b, V, c, K = (0.5 * _normal(seed + n, *size) for n, size in enumerate(sizes))
    return (U, K_d, b, V, c), K


def _check_recurrence(answer):
    x, (parts, K) = _normal(20, 3, 2, 4, 5), _parameters(21)
    U, K_d, b, V, c = parts
    space, one = answer(x.clone(), *parts), answer(x[:1].clone(), *parts)
    expect(
        tuple(getattr(space, "shape", ())) == (3, 2, 4, 5),
        "the result has a map for each frame, (T, O, H, W): stack what the frames give.",
    )
    same_way = _recur(x[:1], *parts, turns=((), (), (), ()))
    expect(
        not same(one, same_way),
        "all four sweeps run to the south-east in yours. Mirror z before a sweep, and the states after it.",
    )
    expect(
        not same(one, _recur(x[:1], *parts, back=False)),
        "you mirrored the map and never mirrored the states back: each cell gets what its mirror image has heard.",
    )
    expect(
        not same(one, _recur(x[:1], *parts, turns=((), (0,), (1,), (0, 1)))),
        "sw and ne have changed places. In a sweep to the south-west, columns run backwards and rows do not.",
    )
    expect(
        not same(one, _recur(x[:1], *parts, each_c=4)),
        "c is there four times. It belongs to the output y, not to each of the sweeps.",
    )
    expect(
        not same(one, _recur(x[:1], U, K_d, 0 * b, V, c)),
        "b is missing: every sweep has a bias of its own, before f.",
    )
    expect(
        not same(one, _recur(x[:1], *parts) / 4),
        "you averaged over the four sweeps. S2-E1 sums them.",
    )
    expect(
        not same(one, _recur(x[:1], U, K_d[:1].expand(4, -1, -1), b, V, c)),
        "K_d has an index: every sweep has a matrix of its own. Yours takes the first one for all.",
    )
    expect(same(one, _recur(x[:1], *parts), 1e-9), "one frame alone (S2-E1) is not right yet; leave time for later.")
    expect(
        same(space, _recur(x, *parts), 1e-9),
        "without K (K=None) no frame hears from another, and yours does.",
    )

    got = answer(x.clone(), *parts, K)
    expect(not same(got, space), "K changes nothing in yours: no frame hears from the one before.")
    expect(
        not same(got, _recur(x.flip(0), *parts, K).flip(0)),
        "yours runs backwards in time: frame t hears from frame t + 1.",
    )
    expect(not same(got, _recur(x, *parts, K.T)), "K is transposed in yours. As K @ h for each cell, that is h @ K.T.")
    expect(
        not same(got, _recur(x, *parts, K, inside=False)),
        "what comes from the frame before is added behind f. It belongs inside, into z, and so it takes part in the "
        "sweep.",
    )
    expect(
        not same(got, _recur(x, *parts, K, heard=lambda old, new, d: sum(old))),
        "each sweep hears from all four sweeps of the frame before. S2-E2 joins the states of the *same* sweep.",
    )
    expect(
        not same(got, _recur(x, *parts, K, heard=lambda old, new, d: new[d - 1] if d else old[3])),
        "a sweep hears from the sweep that was computed just before it. Keep four states, one a direction.",
    )
    expect(
        not same(got, _recur(x, *parts, K, heard=lambda old, new, d: old[d].flip([[], [1], [0], [0, 1]][d]))),
        "the remembered states are mirrored once too often: what a cell remembers lies in another place of the frame.",
    )
    expect(
        same(got[:1], space[:1], 1e-9),
        "frame 0 has nothing before it, and yet K changes it in yours.",
    )
    expect(
        same(got, _recur(x, *parts, K), 1e-9),
        "not S2-E2: z = U x + b, plus K times the same sweep's states of the frame before; then the sweep.",
    )
    marked = answer(x, *parts, K, sweep=lambda z, K_d: z)
    expect(
        same(marked, recurrence_reference(x, *parts, K, sweep=lambda z, K_d: z), 1e-9),
        "right, but with a sweep of your own: use the one that is handed in, so that a faster one can take its place.",
    )


recurrence = Exercise(
    name="recurrence",
    title="The whole recurrence",
    kind="build",
    task="Put S2-E2 together: for each frame four sweeps, each on its own mirror image, each hearing from its own "
    "states in the frame before; and their sum. The rest of the lesson runs on it.",
    difficulty=3,
    importance=5,
    minutes=30,
    hints=(
        "Begin with one frame and one direction: z of all cells by `torch.einsum`, a sweep, and V on its states.",
        "Directions 0 to 3 are se, sw, ne, nw. `z.flip([1])` mirrors columns, `z.flip([0])` rows; the same flip takes "
        "the states back.",
        "Keep a list of four states, not mirrored. From the second frame on, each of them, times K, is added to the z "
        "of its own direction, before z is mirrored.",
    ),
    reference=recurrence_reference,
    check=_check_recurrence,
)

# ---------------------------------------------------------------------------------------------- what_would_tell

QUESTION = (
    "Somebody joins 48 channels of a trained recurrence to the features of a classifier of pixels. Mean J rises by "
    "0.02 over 160 clips, and they conclude that it helps pixels to hear from the rest of the frame. What else could "
    "have raised J? Which runs would tell?"
)
what_would_tell = Exercise(
    name="what_would_tell",
    title="Was it the hearing?",
    kind="open question",
    task=QUESTION,
    difficulty=3,
    importance=5,
    minutes=10,
    hints=(
        "List everything that is different between the two rows, not only the sweeps.",
        "A classifier has 48 more channels to choose from. Would any 48 do?",
        "Which number in S2-E1 must be zero for a cell to hear nothing, while all else stays as it is?",
    ),
    reference="Three other things have changed. The classifier has 48 channels more, and any channels might help it: "
    "so run a recurrence of the same size with random matrices. These channels were trained on video, which the "
    "backbone was not: so run the trained one with all K zero, where a cell hears nobody and everything else is as it "
    "was. And the clips may look like those of the training: so measure in a world that nobody trained on, and on real "
    "video. Each comparison is made clip by clip, from the same first mask, with an interval. What K adds over K zero "
    "is what hearing is worth; spatial against temporal, also paired, says what time is worth; and a second training "
    "from another seed says whether all of this was luck.",
    rubric=(
        "It names that there are more channels, and an untrained recurrence, or random channels, as control.",
        "It separates training from hearing: the trained channels with all K set to zero.",
        "It asks for clips of another kind than those of the training.",
        "It compares the same clips in pairs, with an interval, or repeats the training from another seed.",
    ),
    check=written(25, QUESTION),
)
