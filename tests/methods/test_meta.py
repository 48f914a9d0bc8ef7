"""Meta-learned fine-tuning (S4), held to `higher`, learn2learn and the authors' optimiser, and to calculus by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from vosnb.features import save_weights
from vosnb.methods.meta import MetaLearner, TaskSet, fine_tune, learning_rates, load_learner


class OracleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.gn, self.c2 = nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Conv2d(4, 1, 1)

    def forward(self, x):
        return self.c2(torch.tanh(self.gn(self.c1(x))))


@pytest.fixture
def known(oracle):
    return oracle("maml_neuron_lr")


def learner_of(known):
    net = OracleNet().double()
    net.load_state_dict({name: known[f"init_{name}"] for name in net.state_dict()})
    return MetaLearner(net, {name: known[f"lr_{name}"] for name in net.state_dict()})


def losses_of(net, known):
    def loss(x, y):
        return lambda theta, t=0: F.binary_cross_entropy_with_logits(functional_call(net, theta, (x,)), y)

    return loss(known["xtr"], known["ytr"]), loss(known["xte"], known["yte"])


def exact(found, wanted):
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("order", ["first", "second", None])
def test_S4_E5_every_step_of_fine_tuning(known, order):
    learner = learner_of(known)
    train, _ = losses_of(learner.net, known)
    seen = []
    T = int(known["T"])
    theta = fine_tune(train, learner.theta, learner.rates, T, order, lambda t, at, loss: seen.append((t, at, loss)))
    exact(torch.stack([loss for *_, loss in seen]), known["first_train_losses"])
    for t, at in [*((t, at) for t, at, _ in seen[1:]), (T, theta)]:
        for name, x in at.items():
            exact(x.detach(), known[f"theta_{t}_{name}"])
    assert all(x.requires_grad == (order is not None) for x in theta.values())


@pytest.mark.parametrize("order", ["first", "second"])
def test_S4_E4_gradients_of_start_and_rates(known, order):
    learner = learner_of(known)
    value = learner.test_loss(*losses_of(learner.net, known), int(known["T"]), order)
    exact(value.detach(), known[f"{order}_meta_loss"])
    value.backward()
    for name, x in learner.theta.items():
        exact(x.grad, known[f"{order}_grad_init_{name}"])
        exact(learner.rates[name].grad, known[f"{order}_grad_lr_{name}"])


def test_S4_E4_one_parameter_by_hand():
    """Loss (theta - a)^2 / 2 inside and (theta - b)^2 / 2 outside: theta^T = a + (1 - lambda)^T (theta^0 - a)."""
    a, b, T, start, speed = 2.0, 3.0, 4, 0.5, 0.3
    for order in ("first", "second"):
        theta, rate = (torch.tensor([x], dtype=torch.float64, requires_grad=True) for x in (start, speed))
        tuned = fine_tune(lambda p, t: (p["x"] - a).square().sum() / 2, {"x": theta}, {"x": rate}, T, order)["x"]
        (tuned - b).square().sum().div(2).backward()
        left = (1 - speed) ** T
        end = a + left * (start - a)
        exact(tuned.item(), end)
        # each step's gradient is (1 - lambda)^t (theta^0 - a); first order takes it for a constant
        direct = -sum((1 - speed) ** t * (start - a) for t in range(T))
        through = -T * (1 - speed) ** (T - 1) * (start - a)
        exact(theta.grad.item(), (end - b) * (1 if order == "first" else left))
        exact(rate.grad.item(), (end - b) * (direct if order == "first" else through))


class Number(nn.Module):
    def __init__(self, x):
        super().__init__()
        self.x = nn.Parameter(torch.tensor(x, dtype=torch.float64))


def test_S4_E2_the_learned_start_is_best_after_the_step_and_the_parent_before():
    """Losses c_i (x - a_i)^2 / 2: the parent is the mean of a with weights c, the start that with c (1 - rate c)^2."""
    a, c = torch.tensor([[-1.0, 2.0], [1.6, 0.2]], dtype=torch.float64)
    learner, rate = MetaLearner(Number(0.0), {"x": torch.tensor(0.5, dtype=torch.float64)}), 0.5
    optimizer = torch.optim.SGD(learner.net.parameters(), 1.0)
    for _ in range(200):
        optimizer.zero_grad()
        for minimum, steep in zip(a, c, strict=True):

            def loss(theta, t=0, minimum=minimum, steep=steep):
                return steep * (theta["x"] - minimum) ** 2 / 2

            learner.test_loss(loss, loss, 1, "second").backward()
        optimizer.step()
    weights = c * (1 - rate * c) ** 2
    exact(learner.net.x.item(), ((weights * a).sum() / weights.sum()).item())
    assert abs(learner.net.x - (c * a).sum() / c.sum()) > 1


def test_S4_E3_many_steps_inside_end_at_the_minimum_of_the_train_loss():
    theta, a = {"x": torch.tensor([5.0, -3.0], dtype=torch.float64)}, torch.tensor([1.0, 2.0], dtype=torch.float64)
    tuned = fine_tune(lambda p, t: (p["x"] - a).square().sum(), theta, {"x": torch.tensor([0.3, 0.1])}, 200)
    exact(tuned["x"], a)


def test_steps_see_their_number():
    seen = []
    fine_tune(lambda p, t: (seen.append(t), p["x"].sum())[1], {"x": torch.ones(2)}, {"x": torch.tensor(0.1)}, 3)
    assert seen == [0, 1, 2]
    with pytest.raises(ValueError, match="choose from first, second, None"):
        fine_tune(lambda p, t: p["x"].sum(), {"x": torch.ones(2)}, {"x": torch.tensor(0.1)}, 3, "third")


def test_at_test_time_nothing_is_changed_or_kept(known):
    learner = learner_of(known)
    train, _ = losses_of(learner.net, known)
    before = {name: x.detach().clone() for name, x in learner.theta.items()}
    with torch.no_grad():
        theta = fine_tune(train, learner.theta, learner.rates, 3)
    for name, x in learner.theta.items():
        assert torch.equal(x, before[name]) and x.grad is None and theta[name].grad_fn is None
        assert not torch.equal(theta[name], before[name])


def test_rates_per_neuron_layer_and_network():
    theta = dict(OracleNet().named_parameters())
    neuron = learning_rates(theta, "neuron", 0.1)
    assert neuron["c1.weight"].shape == (4, 1, 1, 1) and neuron["c1.bias"].shape == (4,)
    assert sum(rate.numel() for rate in neuron.values()) == 4 * 4 + 1 + 1
    layer, one = learning_rates(theta, "layer", 0.1), learning_rates(theta, "one", 0.1)
    assert layer["c1.weight"] is layer["c1.bias"] is not layer["gn.weight"]
    assert len({id(rate) for rate in one.values()}) == 1
    for rates in (neuron, layer, one):
        assert all(torch.allclose(rate, torch.tensor(0.1)) for rate in rates.values())
        groups = MetaLearner(OracleNet(), rates).groups(1e-3, 2e-3, 1e-3)
        assert sum(p.numel() for p in groups[1]["params"]) == {id(neuron): 18, id(layer): 3, id(one): 1}[id(rates)]
    jittered = torch.cat([x.flatten() for x in learning_rates(theta, "neuron", 0.1, 0.5).values()])
    assert jittered.min() >= 0.05 and jittered.max() <= 0.15 and jittered.std() > 0.01
    with pytest.raises(ValueError, match="choose from one, layer, neuron"):
        learning_rates(theta, "weight")


def test_a_shared_rate_gets_the_sum_of_the_neurons_gradients(known):
    learner = learner_of(known)
    losses = losses_of(learner.net, known)
    neuron, one = (MetaLearner(learner.net, learning_rates(learner.theta, per, 0.3)) for per in ("neuron", "one"))
    for each in (neuron, one):
        each.test_loss(*losses, 2).backward()
    total = sum(rate.grad.sum() for rate in neuron.rates.values())
    exact(one.rates["c1.bias"].grad, total)


def test_rates_are_clamped_at_zero():
    learner = MetaLearner(OracleNet(), learning_rates(dict(OracleNet().named_parameters()), "neuron", 0.1))
    with torch.no_grad():
        learner.rates["c1.bias"].copy_(torch.tensor([-0.2, 0.0, 0.3, -1e-9]))
    learner.clamp()
    exact(learner.rates["c1.bias"].detach(), torch.tensor([0.0, 0.0, 0.3, 0.0]))


def test_radam_decoupled_is_the_authors_optimiser(oracle):
    known = oracle("radam")
    p = nn.Parameter(known["p0"].clone())
    lr, decay = float(known["lr"]), float(known["weight_decay"])
    optimizer = torch.optim.RAdam([p], lr, weight_decay=decay, decoupled_weight_decay=True)
    for gradient, wanted, ours in zip(known["grads"], known["traj_eosvos"], known["traj_torch_decoupled"], strict=True):
        p.grad = gradient.clone()
        optimizer.step()
        torch.testing.assert_close(p.detach(), wanted, atol=3e-7, rtol=0)
        torch.testing.assert_close(p.detach(), ours, atol=1e-10, rtol=0)


def test_a_learner_is_kept_and_found_again(tmp_path):
    learner = MetaLearner(OracleNet(), learning_rates(dict(OracleNet().named_parameters()), "one", 0.25))
    save_weights(learner, tmp_path / "w.safetensors")
    again = load_learner(OracleNet(), tmp_path / "w.safetensors")
    for name, x in learner.theta.items():
        torch.testing.assert_close(again.theta[name], x, atol=1e-3, rtol=1e-3)
        assert again.rates[name].item() == 0.25
    with pytest.raises(ValueError, match="does not fit this network"):
        load_learner(nn.Conv2d(3, 4, 3), tmp_path / "w.safetensors")
    changed = MetaLearner(OracleNet(), learning_rates(learner.theta, "one", 0.5))
    changed.load_state_dict(learner.state_dict())
    assert changed.rates["c1.bias"].item() == 0.25 and changed.rates["c1.bias"] is changed.rates["c2.weight"]


def clip_with(*shapes):
    """Frames that say their time, and masks of objects: squares (side, x), moving down a pixel a frame."""
    frames = np.broadcast_to(np.arange(6, dtype=np.uint8)[:, None, None, None], (6, 32, 32, 3))
    masks = np.zeros((6, len(shapes), 32, 32), bool)
    for t in range(6):
        for k, (side, x) in enumerate(shapes):
            masks[t, k, t : t + side, x : x + side] = True
    return frames, masks


def plain(images, masks, r):
    return images, masks


def test_each_object_of_each_clip_is_a_task():
    clips = [clip_with((8, 0), (8, 16)), clip_with((8, 0), (8, 0)), clip_with((8, 0), (1, 20))]
    frames, masks = (np.stack(part) for part in zip(*clips, strict=True))
    found = TaskSet(frames, masks)
    assert found.tasks == [(0, 0), (0, 1), (1, 0), (2, 0)]  # one object twice is one task; a speck is none
    assert TaskSet(frames, masks, together=True).tasks == [(0, 0), (1, 0), (2, 0)]
    assert TaskSet(frames, masks, together=True).masks[0].sum() == masks[0].sum()
    with pytest.raises(ValueError, match="lower `least`"):
        TaskSet(frames, masks, least=0.5)


def test_two_objects_are_two_tasks_with_the_same_first_image():
    frames, masks = (part[None] for part in clip_with((8, 0), (8, 16)))
    found = TaskSet(frames, masks)
    for seed in range(20):
        one, other = (found.draw(k, np.random.default_rng(seed), plain) for k in (0, 1))
        assert torch.equal(one.train_images, other.train_images) and torch.equal(one.test_images, other.test_images)
        assert not (one.train_masks * other.train_masks).any() and one.train_masks.any() and other.train_masks.any()


def test_train_and_test_frames_are_disjoint_and_augmented_apart():
    frames, masks = (part[None] for part in clip_with((8, 0), (8, 16)))
    masks[:, 2:, 0] = False  # only frames 0 and 1 show the first object
    calls = []

    def counted(images, masks, r):
        calls.append(len(images))
        return images, masks

    found, trained = TaskSet(frames, masks), set()
    for seed in range(20):
        task = found.draw(0, np.random.default_rng(seed), counted, tests=3)
        times = [int(((x[0, 0, 0] * 0.25 + 0.45) * 255).round()) for x in (*task.train_images, *task.test_images)]
        assert len(times) == len(set(times)) == 4
        trained.add(times[0])
        torch.testing.assert_close(task.test_masks[:, 0].bool(), torch.from_numpy(masks[0, times[1:], 0]))
    assert trained == {0, 1} and calls == [1, 3] * 20
