"""Context in space and time: recurrences over four directed graphs of cells, and over frames (S2 section 2.2).

Neighbouring cells of a feature map form a graph with cycles. Four sweeps without cycles stand in for it, each towards
one corner: in a sweep to the south-east a cell hears from the cells above and to the left of it, and through them from
everything there. `double_loop` says it cell by cell; `wavefronts` computes the same, all cells of an antidiagonal at a
time, because none of these hears from another: H + W - 1 steps instead of H W.

Shapes: T frames of B clips, x (T, B, C, H, W); hidden states h and what feeds them z (4, B, H, W, n), one each for the
sweeps to se, sw, ne, nw, turned such that every sweep runs to the south-east.
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import nn

from vosnb import efficientnet
from vosnb.features import WIDTHS, Backbone

SWEEPS = ("se", "sw", "ne", "nw")
ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}
PREDECESSORS = {4: ((1, 0), (0, 1)), 8: ((1, 0), (0, 1), (1, 1))}  # by neighbourhood: rows up, columns to the left


def turn(x: torch.Tensor) -> torch.Tensor:
    """x (B, H, W, n) four times, mirrored such that each sweep runs to the south-east: (4, B, H, W, n)."""
    return torch.stack([x, x.flip(2), x.flip(1), x.flip(1, 2)])


def turn_back(h: torch.Tensor) -> torch.Tensor:
    """Undo `turn`: (4, B, H, W, n), each sweep's states back in their places."""
    return torch.stack([h[0], h[1].flip(2), h[2].flip(1), h[3].flip(1, 2)])


def double_loop(z: torch.Tensor, K: torch.Tensor, neighbours: int = 8, activation: str = "tanh") -> torch.Tensor:
    """h^i = f(z^i + sum over predecessors j of K_d h^j) (S2-E1), cell by cell: the definition, and slow.

    z (4, B, H, W, n) holds U_d x + b_d, K is (4, n, n); returns h (4, B, H, W, n).
    """
    f, h = ACTIVATIONS[activation], {}
    rows, columns = z.shape[2:4]
    for i in range(rows):
        for j in range(columns):
            total = z[:, :, i, j]
            for up, left in PREDECESSORS[neighbours]:
                if i >= up and j >= left:
                    total = total + h[i - up, j - left] @ K.mT
            h[i, j] = f(total)
    return torch.stack([torch.stack([h[i, j] for j in range(columns)], 2) for i in range(rows)], 2)


def wavefronts(z: torch.Tensor, K: torch.Tensor, neighbours: int = 8, activation: str = "tanh") -> torch.Tensor:
    """What `double_loop` computes, one antidiagonal after the other (S2-E1). Time and memory are linear in H W."""
    f, (rows, columns) = ACTIVATIONS[activation], z.shape[2:4]
    front = (torch.arange(rows)[:, None] + torch.arange(columns)).flatten().to(z.device)  # of each cell
    order, sizes = front.argsort(stable=True), front.bincount().tolist()  # in a front, cells come from top to bottom
    one = two = z.new_zeros(*z.shape[:2], 2, z.shape[-1])  # the two fronts before, an empty cell at either end
    top_one = top_two = 0  # the rows that they begin in
    found = []
    for k, cells in enumerate(z.flatten(2, 3)[:, :, order].split(sizes, 2)):
        top, n = max(0, k - columns + 1), sizes[k]
        above = top - top_one  # where the cell above the first one is
        heard = one[:, :, above : above + n] + one[:, :, above + 1 : above + 1 + n]
        if neighbours == 8:
            heard = heard + two[:, :, top - top_two : top - top_two + n]
        found.append(f(cells + heard @ K.mT[:, None]))
        one, two, top_one, top_two = F.pad(found[-1], (0, 0, 1, 1)), one, top, top_one
    return torch.cat(found, 2)[:, :, order.argsort()].unflatten(2, (rows, columns))


class STRNN(nn.Module):
    """The spatio-temporal RNN (S2-E2), or without `temporal` the spatial one (S2-E1), over feature maps.

    inputs, hidden, outputs: channels of x, h, y. neighbours: a cell has 4 or 8; a sweep then hears from 2 or 3.
    K_d and K begin as multiples of the identity which sum to 0.9 over all that a cell hears from: the state of a cell
    counts along the number of ways that lead there, which grows like binomials do; with 0.9 it fades instead.
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, neighbours: int = 8, activation: str = "tanh", temporal=True
    ):
        super().__init__()
        if neighbours not in PREDECESSORS or activation not in ACTIVATIONS:
            raise ValueError(f"neighbours={neighbours}, activation={activation!r}: take 4 or 8, 'tanh' or 'relu'.")
        self.neighbours, self.activation = neighbours, activation
        share = 0.9 / (len(PREDECESSORS[neighbours]) + bool(temporal))
        self.U = nn.Parameter(torch.randn(4, hidden, inputs) / inputs**0.5)
        self.K_d = nn.Parameter(share * torch.eye(hidden).repeat(4, 1, 1))
        self.K = nn.Parameter(share * torch.eye(hidden)) if temporal else None
        self.b = nn.Parameter(torch.zeros(4, hidden))
        self.V = nn.Parameter(torch.randn(4, outputs, hidden) / (4 * hidden) ** 0.5)
        self.c = nn.Parameter(torch.zeros(outputs))

    def step(self, x: torch.Tensor, before: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """One frame, x (B, C, H, W), after one with the states `before`: y (B, O, H, W) and its states, as `before`."""
        z = torch.einsum("bchw,dnc->dbhwn", x, self.U) + self.b[:, None, None, None]
        z = turn_back(z)  # mirroring undoes itself: this turns each sweep's own
        if self.K is not None and before is not None:
            z = z + before @ self.K.T
        h = wavefronts(z, self.K_d, self.neighbours, self.activation)
        y = torch.einsum("dbhwn,don->bohw", turn_back(h), self.V) + self.c[:, None, None]
        return y, h

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (T, B, C, H, W) -> y (T, B, O, H, W); a frame hears from those before it, never from those after."""
        if self.K is None:  # frames are as clips are: nothing to each other
            return self.step(x.flatten(0, 1))[0].unflatten(0, x.shape[:2])
        outputs, h = [], None
        for frame in x:
            y, h = self.step(frame, h)
            outputs.append(y)
        return torch.stack(outputs)


class Recurrences(nn.Module):
    """What `vosnb train st-rnn` learns: context for a frozen backbone's map at stride 8, once it is standardised.

    inputs: channels of the map, by default of the backbone that learned from photographs. spatial (S2-E1) and temporal
    (S2-E2) make 48 channels each from 32 hidden ones.
    """

    def __init__(
        self,
        inputs: int = efficientnet.WIDTHS[-1],
        hidden: int = 32,
        outputs: int = 48,
        neighbours: int = 8,
        activation: str = "tanh",
    ):
        super().__init__()
        self.spatial = STRNN(inputs, hidden, outputs, neighbours, activation, temporal=False)
        self.temporal = STRNN(inputs, hidden, outputs, neighbours, activation)


class ContextNet(Recurrences):
    """Recurrences over a feature extractor of their own, which was trained with them (S2 section 2.4.1) on creatures.

    encoder: an image to maps at stride 4 and 8.
    """

    def __init__(self, *of_recurrences):
        super().__init__(WIDTHS[-1], *of_recurrences)
        self.encoder = Backbone()


def untrained(seed: int = 0) -> Recurrences:
    """A control: as many channels as the trained recurrences add, of recurrences that learned nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Recurrences().eval()


def deaf(net: Recurrences) -> Recurrences:
    """A control: the same network with K_d = K = 0, so that no cell hears from another, nor from another frame."""
    net = deepcopy(net)
    for K in (net.spatial.K_d, net.temporal.K_d, net.temporal.K):
        K.data.zero_()
    return net
