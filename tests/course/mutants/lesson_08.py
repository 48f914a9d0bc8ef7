"""Answers to the exercises of lesson 08 that must pass, and wrong ones that must not."""

import torch
import torch.nn.functional as F

from vosnb.course.exercises import lesson_08
from vosnb.methods.st_rnn import STRNN, wavefronts

# ---------------------------------------------------------------------------------------------- hidden_states


def sweep(z, K, heard=((1, 0), (0, 1), (1, 1)), f=torch.tanh, wrap=False, of=None):
    h = torch.zeros_like(z)
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            total = z[i, j]
            for up, left in heard:
                if wrap or min(i - up, j - left) >= 0:
                    total = total + K @ (h if of is None else of)[i - up, j - left]
            h[i, j] = f(total)
    return h


def states_by_wavefronts(z, K):
    return wavefronts(z[None, None].expand(4, -1, -1, -1, -1), K.expand(4, -1, -1))[0, 0]


def states_transposed(z, K):
    return sweep(z, K.T)


def states_of_two(z, K):
    return sweep(z, K, ((1, 0), (0, 1)))


def states_of_the_diagonal(z, K):
    return sweep(z, K, ((1, 1),))


def states_wrapped(z, K):
    return sweep(z, K, wrap=True)


def states_linear(z, K):
    return sweep(z, K, f=lambda total: total)


def states_of_inputs(z, K):
    return sweep(z, K, of=z)


def states_alone(z, K):
    return torch.tanh(z)


def states_to_the_north_west(z, K):
    return sweep(z.flip(0, 1), K).flip(0, 1)


def states_with_relu(z, K):
    return sweep(z, K, f=torch.relu)


# ---------------------------------------------------------------------------------------------- mend_wavefronts


def sheared(z, K, above_of=lambda h: F.pad(h, (0, 0, 0, 0, 1, 0))[:-1], back=1, f=torch.tanh, cut=True):
    rows, columns, n = z.shape
    h = z.new_zeros(rows, rows + columns + 1, n)
    for i in range(rows):
        h[i, i + 2 : i + 2 + columns] = z[i]
    for k in range(2, rows + columns + 1):
        above = above_of(h)
        h[:, k] = f(h[:, k] + (h[:, k - 1] + above[:, k - back] + above[:, k - 2]) @ K.T)
    return torch.stack([h[i, i + 2 : i + 2 + columns] for i in range(rows)]) if cut else h


def mended_by_zeroing(z, K):
    def above(h):
        rolled = h.roll(1, 0)
        rolled[0] = 0
        return rolled

    return sheared(z, K, above)


def mended_not(z, K):
    return sheared(z, K, lambda h: h.roll(1, 0))


def mended_by_nothing_from_above(z, K):
    return sheared(z, K, torch.zeros_like)


def mended_for_four(z, K):
    return sheared(z, torch.zeros_like(K) if len(z) == 7 else K)


def mended_by_repeating_the_first_row(z, K):
    return sheared(z, K, lambda h: torch.cat([h[:1], h[:-1]]))


def mended_by_the_row_below(z, K):
    return sheared(z, K, lambda h: F.pad(h, (0, 0, 0, 0, 0, 1))[1:])


def mended_and_still_sheared(z, K):
    return sheared(z, K, cut=False)


def mended_two_fronts_back(z, K):
    return sheared(z, K, back=2)


# ---------------------------------------------------------------------------------------------- recurrence

MIRRORS = ((), (1,), (0,), (0, 1))


def recur(x, U, K_d, b, V, c, K=None, sweep=sweep, mirrors=MIRRORS, back=MIRRORS, remember=None, inside=True):
    states, outputs = None, []
    for frame in x:
        old, states = states, []
        for d in range(4):
            z = (U[d] @ frame.flatten(1) + b[d][:, None]).T.unflatten(0, frame.shape[1:])
            more = 0 if K is None or old is None else (remember(old, states, d) if remember else old[d]) @ K.T
            h = sweep((z + more if inside else z).flip(mirrors[d]), K_d[d]).flip(back[d])
            states.append(h if inside else h + more)
        y = c.view(-1, 1, 1) + sum((h @ V[d].T).movedim(-1, 0) for d, h in enumerate(states))
        outputs.append(y)
    return torch.stack(outputs)


def recurrence_by_the_package(x, U, K_d, b, V, c, K=None, sweep=None):
    if sweep is not None and same_as_z(sweep):
        return recur(x, U, K_d, b, V, c, K, sweep)
    net = STRNN(x.shape[1], U.shape[1], V.shape[1], temporal=K is not None).to(x.dtype)
    parts = {"U": U, "K_d": K_d, "b": b, "V": V, "c": c} | ({} if K is None else {"K": K})
    net.load_state_dict(parts)
    with torch.no_grad():
        return net(x[:, None])[:, 0]


def same_as_z(sweep):
    z = torch.ones(1, 2, 1)
    return torch.equal(sweep(z, torch.ones(1, 1)), z)


def recurrence_all_to_the_south_east(x, *parts, **more):
    return recur(x, *parts, **more, mirrors=((),) * 4, back=((),) * 4)


def recurrence_not_mirrored_back(x, *parts, **more):
    return recur(x, *parts, **more, back=((),) * 4)


def recurrence_sw_and_ne_exchanged(x, *parts, **more):
    mirrors = MIRRORS[0], MIRRORS[2], MIRRORS[1], MIRRORS[3]
    return recur(x, *parts, **more, mirrors=mirrors, back=mirrors)


def recurrence_c_four_times(x, U, K_d, b, V, c, *more, **and_more):
    return recur(x, U, K_d, b, V, 4 * c, *more, **and_more)


def recurrence_without_b(x, U, K_d, b, V, c, *more, **and_more):
    return recur(x, U, K_d, 0 * b, V, c, *more, **and_more)


def recurrence_averaged(x, *parts, **more):
    return recur(x, *parts, **more) / 4


def recurrence_one_matrix(x, U, K_d, *parts, **more):
    return recur(x, U, K_d[:1].expand(4, -1, -1), *parts, **more)


def recurrence_in_space_alone(x, U, K_d, b, V, c, K=None, sweep=sweep):
    return recur(x, U, K_d, b, V, c, None, sweep)


def recurrence_backwards(x, *parts, **more):
    return recur(x.flip(0), *parts, **more).flip(0)


def recurrence_K_transposed(x, U, K_d, b, V, c, K=None, **more):
    return recur(x, U, K_d, b, V, c, None if K is None else K.T, **more)


def recurrence_outside_of_f(x, *parts, **more):
    return recur(x, *parts, **more, inside=False)


def recurrence_of_all_sweeps(x, *parts, **more):
    return recur(x, *parts, **more, remember=lambda old, new, d: sum(old))


def recurrence_of_the_last_sweep(x, *parts, **more):
    return recur(x, *parts, **more, remember=lambda old, new, d: new[-1] if new else old[3])


def recurrence_remembering_mirrored(x, *parts, **more):
    return recur(x, *parts, **more, remember=lambda old, new, d: old[d].flip(MIRRORS[d]))


def recurrence_of_always(x, U, K_d, b, V, c, K=None, sweep=sweep):
    return recur(x, U, K_d, b, V, c, K_d[0] if K is None else K, sweep)


def recurrence_with_its_own_sweep(x, U, K_d, b, V, c, K=None, sweep=None):
    return recur(x, U, K_d, b, V, c, K)


def recurrence_one_frame(x, *parts, **more):
    return recur(x, *parts, **more)[-1]


# ---------------------------------------------------------------------------------------------- what_would_tell

OWN_WORDS = """With more features a linear model nearly always fits better, so I would first add forty-eight channels of
noise, or of a network that was never trained. Then I would switch off only the connections between cells by zeroing K,
retest in other kinds of scenes, repeat everything with several seeds, and look at differences per clip."""

RIGHT = {
    "hidden_states": [states_by_wavefronts, sweep],
    "mend_wavefronts": [mended_by_zeroing, sweep],
    "recurrence": [recur, recurrence_by_the_package],
    "what_would_tell": [OWN_WORDS],
}
MUTANTS = {
    "hidden_states": {
        "K transposed": (states_transposed, "transposed"),
        "two predecessors": (states_of_two, "three predecessors"),
        "the diagonal alone": (states_of_the_diagonal, "only the diagonal"),
        "wrapped around": (states_wrapped, "borders"),
        "no f": (states_linear, "f is missing"),
        "inputs for states": (states_of_inputs, "receive"),
        "each alone": (states_alone, "no cell hears"),
        "north-west": (states_to_the_north_west, "north-west"),
        "relu": (states_with_relu, "do not agree"),
    },
    "mend_wavefronts": {
        "as it was": (mended_not, "in again at its top"),
        "nothing from above": (mended_by_nothing_from_above, "no row hears"),
        "the first row twice": (mended_by_repeating_the_first_row, "first row is wrong"),
        "the row below": (mended_by_the_row_below, "first row is wrong"),
        "still sheared": (mended_and_still_sheared, "shape of z"),
        "two fronts back": (mended_two_fronts_back, "second is not"),
        "for one size": (mended_for_four, "wrong for one of 7 x 2"),
    },
    "recurrence": {
        "one frame": (recurrence_one_frame, "a map for each frame"),
        "all to the south-east": (recurrence_all_to_the_south_east, "all four sweeps"),
        "not mirrored back": (recurrence_not_mirrored_back, "mirror image has heard"),
        "sw and ne": (recurrence_sw_and_ne_exchanged, "changed places"),
        "c four times": (recurrence_c_four_times, "four times"),
        "no b": (recurrence_without_b, "b is missing"),
        "averaged": (recurrence_averaged, "sums them"),
        "one matrix": (recurrence_one_matrix, "matrix of its own"),
        "no time": (recurrence_in_space_alone, "K changes nothing"),
        "time without K": (recurrence_of_always, "without K"),
        "backwards": (recurrence_backwards, "backwards in time"),
        "K transposed": (recurrence_K_transposed, "K is transposed"),
        "outside of f": (recurrence_outside_of_f, "behind f"),
        "all sweeps": (recurrence_of_all_sweeps, "*same* sweep"),
        "the last sweep": (recurrence_of_the_last_sweep, "just before it"),
        "remembered mirrored": (recurrence_remembering_mirrored, "once too often"),
        "its own sweep": (recurrence_with_its_own_sweep, "handed in"),
    },
    "what_would_tell": {
        "too short": ("The clips were easy.", "write at least"),
        "the question": (lesson_08.QUESTION, "words of the question"),
        "one word": ("control " * 60, "same few words"),
    },
}
