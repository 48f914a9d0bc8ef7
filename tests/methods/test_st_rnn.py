"""Recurrences over cells and frames (S2 section 2.2), held to the double loop and to independent code."""

import numpy as np
import pytest
import torch

from vosnb.methods.losses import METRICS, metric_loss, nearest
from vosnb.methods.st_rnn import (
    PREDECESSORS,
    STRNN,
    SWEEPS,
    ContextNet,
    Recurrences,
    deaf,
    double_loop,
    turn,
    turn_back,
    untrained,
    wavefronts,
)
from vosnb.paths import ROOT

SIZES = [(5, 6), (6, 5), (1, 7), (7, 1), (1, 1), (2, 2)]


@pytest.fixture(scope="module")
def oracle():
    return {k: torch.from_numpy(v) for k, v in np.load(ROOT / "tests" / "oracles" / "dagrnn.npz").items()}


def filled(oracle, neighbours, activation, temporal) -> STRNN:
    rnn = STRNN(4, 3, 4, neighbours, activation, temporal).double()
    state = {
        f"{ours}": torch.stack([oracle[f"{its}_{d}"] for d in SWEEPS])
        for ours, its in zip(("U", "K_d", "b", "V"), "UKbV", strict=True)
    }
    rnn.load_state_dict(state | {"c": oracle["c"]} | ({"K": oracle["Kt"]} if temporal else {}))
    return rnn


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("neighbours", [4, 8])
def test_S2_E1_against_an_independent_loop(oracle, neighbours, activation):
    y = filled(oracle, neighbours, activation, temporal=False)(oracle["x"][None])[0]
    torch.testing.assert_close(y, oracle[f"eq1_{activation}_{neighbours}nb"], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("neighbours", [4, 8])
def test_S2_E2_against_an_independent_loop(oracle, neighbours, activation):
    y = filled(oracle, neighbours, activation, temporal=True)(oracle["xs"])
    torch.testing.assert_close(y, oracle[f"eq2_{activation}_{neighbours}nb"], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("port, ours", [("se", "se"), ("sw", "ne"), ("ne", "sw"), ("nw", "nw")])
def test_a_sweep_is_that_of_the_public_port(oracle, port, ours):
    """Which hears of x as it is, has a bias in one sweep's output alone, and two names the other way round."""
    x = oracle["x"].movedim(1, -1)
    h = wavefronts(turn(x), oracle["w_hh"].expand(4, -1, -1), neighbours=4)
    h = turn_back(h)[SWEEPS.index(ours)]
    torch.testing.assert_close(h.movedim(-1, 1), oracle[f"port_{port}_hidden"], atol=1e-12, rtol=1e-12)
    y = h @ oracle["w_yh"].T + (oracle["bias"] if port == "se" else 0)
    torch.testing.assert_close(y.movedim(-1, 1), oracle[f"port_{port}_out"], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("neighbours", [4, 8])
def test_wavefronts_are_the_double_loop(size, neighbours):
    g = torch.Generator().manual_seed(sum(size))
    z, K = torch.randn(4, 2, *size, 3, generator=g).double(), 0.4 * torch.randn(4, 3, 3, generator=g).double()
    torch.testing.assert_close(wavefronts(z, K, neighbours), double_loop(z, K, neighbours), atol=1e-14, rtol=1e-12)


def test_a_cell_hears_from_all_cells_towards_the_corner_and_from_no_other():
    for neighbours in PREDECESSORS:
        z = torch.zeros(4, 1, 5, 6, 2, dtype=torch.double, requires_grad=True)
        wavefronts(z, torch.eye(2, dtype=torch.double).expand(4, 2, 2), neighbours)[0, 0, 3, 2].sum().backward()
        heard = z.grad.abs().sum((0, 1, -1)) > 0
        expected = torch.zeros(5, 6, dtype=torch.bool)
        expected[:4, :3] = True
        assert torch.equal(heard, expected)


def test_all_four_sweeps_hear_from_everywhere_and_frames_only_from_earlier_ones():
    rnn = STRNN(2, 3, 2).double()
    x = torch.randn(3, 1, 2, 4, 5, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    rnn(x)[1, 0, :, 2, 2].sum().backward()
    heard = x.grad.abs().sum((1, 2)) > 0
    assert heard[:2].all() and not heard[2].any()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("temporal", [True, False])
def test_gradients_are_those_of_finite_differences(activation, temporal):
    torch.manual_seed(1)
    rnn = STRNN(2, 2, 2, activation=activation, temporal=temporal).double()
    x = torch.randn(2, 1, 2, 2, 3).double().requires_grad_()
    names = [name for name, _ in rnn.named_parameters()]

    def run(x, *values):
        return torch.func.functional_call(rnn, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(run, (x, *rnn.parameters()))


def test_without_time_frames_do_not_matter_to_each_other():
    rnn, x = STRNN(2, 3, 2, temporal=False), torch.randn(3, 2, 2, 4, 4)
    torch.testing.assert_close(rnn(x)[2], rnn(x[2:])[0])


def test_the_first_states_do_not_explode_with_size():
    torch.manual_seed(0)
    for activation in ("tanh", "relu"):
        rnn, x = STRNN(8, 8, 8, activation=activation), torch.rand(6, 1, 8, 40, 40)
        with torch.no_grad():
            small, large = rnn(x[..., :5, :5]).abs().max(), rnn(x).abs().max()
        assert large < 12 * small and large.isfinite()


def test_turning_back_undoes_turning():
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(turn_back(turn(x)), x.expand(4, -1, -1, -1, -1))


def test_unknown_choices_are_told():
    with pytest.raises(ValueError, match="take 4 or 8"):
        STRNN(2, 2, 2, neighbours=6)
    with pytest.raises(ValueError, match="choose from softplus"):
        metric_loss(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 1), "triplet")


def test_S2_E4_by_hand():
    a, p, n = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.5], [3.0]]), torch.tensor([[2.0]])
    assert nearest(a, p).tolist() == [0.25, 0.25] and nearest(a, n).tolist() == [4.0, 1.0]
    ratio = (0.25 / 4.1 + 0.25 / 1.1) / 2
    assert metric_loss(a, p, n, "ratio").item() == pytest.approx(ratio, rel=1e-6)
    assert metric_loss(a, p, n, "margin").item() == pytest.approx((0 + 0.25) / 2)
    expected = (np.log1p(np.exp(0.25 - 4)) + np.log1p(np.exp(0.25 - 1))) / 2
    assert metric_loss(a, p, n, "softplus").item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", METRICS)
def test_only_the_loss_as_printed_is_content_with_features_that_are_all_the_same(kind):
    same = torch.ones(5, 3)
    assert (metric_loss(same, same, same, kind).item() == 0) == (kind == "ratio")


def test_the_context_net_takes_the_matchers_maps():
    net = ContextNet().eval()
    at8 = net.encoder(torch.zeros(2, 3, 32, 48))[2]
    assert net.temporal(at8[:, None]).shape == net.spatial(at8[:, None]).shape == (2, 1, 48, 4, 6)


def test_a_deaf_network_hears_from_no_other_cell_and_frame_and_the_given_one_stays():
    net = Recurrences(3)
    x = torch.randn(2, 1, 3, 4, 5, requires_grad=True)
    for rnn in (deaf(net).spatial, deaf(net).temporal):
        (heard,) = torch.autograd.grad(rnn(x)[1, 0, :, 2, 2].sum(), x)
        assert (heard != 0).any((1, 2)).nonzero().tolist() == [[1, 2, 2]]
    assert net.temporal.K.abs().max() > 0 and net.spatial.K_d.abs().max() > 0


def test_untrained_recurrences_are_those_of_their_seed_and_leave_the_others_draws_alone():
    torch.manual_seed(3)
    one, after = untrained(1), torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1)) and torch.equal(one.temporal.U, untrained(1).temporal.U)
    assert not torch.equal(one.temporal.U, untrained(2).temporal.U)
