"""The target model: its parts held to the authors' code, its shortcuts held to the plain way."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from vosnb.methods.gauss_newton import AutogradProblem, GaussNewton, History, dot
from vosnb.methods.target_model import (
    Folded,
    NormalEquations,
    SampleMemory,
    Settings,
    TargetLoss,
    TargetModel,
    fold,
    pixel_weights,
    target_residuals,
    target_scores,
)

# Pixel weights --------------------------------------------------------------------------------------------------------


def test_S1_E4_pixel_weights_are_those_of_the_authors_but_finite_on_a_full_mask(oracle):
    o = oracle("frtm_pixel_weights")
    found = pixel_weights(o["y"], o["tf"].item())
    torch.testing.assert_close(found[:-1], o["weights"][:-1], atol=1e-6, rtol=0)
    assert o["weights"][-1].isnan().all() and o["y"][-1].all()
    torch.testing.assert_close(found[-1], torch.ones_like(found[-1]))


def mask(pixels, size=(20, 50)):
    y = torch.zeros(size[0] * size[1], dtype=torch.float64)
    y[:pixels] = 1
    return y.view(1, 1, *size)


def test_S1_E4_with_max_a_small_target_counts_as_kappa_and_with_min_a_large_one_does():
    """Of 1000 pixels: the target's share of the loss's weight, v squared."""

    def share(pixels, **settings):
        y = mask(pixels)
        v = pixel_weights(y, 0.1, **settings)
        return ((v**2 * y).sum() / (v**2).sum()).item()

    assert share(20) == pytest.approx(0.1) and share(300) == pytest.approx(0.3)
    assert share(20, share="min") == pytest.approx(0.02) and share(300, share="min") == pytest.approx(0.1)
    literal = pixel_weights(mask(20), 0.1, root=False)
    assert literal.unique().tolist() == pytest.approx([0.9 / 0.98, 5.0])
    torch.testing.assert_close(pixel_weights(mask(20), 0.1) ** 2, literal)


@pytest.mark.parametrize("share", ["max", "min"])
@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("pixels", [0, 1, 9, 10, 999, 1000])
def test_empty_tiny_and_full_masks_have_finite_weights(share, root, pixels):
    v = pixel_weights(mask(pixels), 0.1, share, root)
    assert v.isfinite().all() and v.min() > 0
    assert (v == 1).all() == (pixels < 10 or (pixels >= 100) == (share == "max"))


def test_soft_labels_are_weighted_as_the_mask_they_mean_and_each_sample_by_itself():
    soft = mask(20) * 0.9 + 0.05
    torch.testing.assert_close(pixel_weights(soft), pixel_weights(mask(20)))
    both = torch.cat([mask(20), mask(60)])
    torch.testing.assert_close(pixel_weights(both), torch.cat([pixel_weights(mask(20)), pixel_weights(mask(60))]))


# The loss, folded onto the cells --------------------------------------------------------------------------------------


def samples(size=(5, 7), pixels=(40, 48), K=3, C=10, c=4, k=3, seed=0):
    """Features, labels, pixel weights and sample weights of K samples, and parameters w; all of them random."""
    r = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=r, dtype=torch.float64)

    x, w = uniform(K, C, *size), [uniform(c, C, 1, 1) - 0.5, uniform(1, c, k, k) - 0.5]
    return x, (uniform(K, 1, *pixels) > 0.8).double(), uniform(K, 1, *pixels), uniform(K), w


def part(folded, k):
    return Folded(*(p[k : k + 1] for p in folded))


def up(s, pixels):
    return F.interpolate(s[:, None], pixels, mode="bilinear", align_corners=False)


SIZES = [
    ((5, 7), (40, 48)),
    ((6, 4), (23, 31)),
    ((7, 9), (7, 9)),
    ((8, 9), (5, 4)),
    ((1, 3), (8, 24)),
    ((4, 5), (9, 5)),
]


@pytest.mark.parametrize(("size", "pixels"), SIZES)
def test_nine_neighbours_are_all_of_the_upsampled_pixels(size, pixels):
    """G, cell by cell, against U' diag(v^2) U with torch's U; whole ratios, odd ones, none, and downwards."""
    _, y, v, _, _ = samples(size, pixels)
    folded, cells = fold(y, v, size), size[0] * size[1]
    unit = torch.eye(cells, dtype=torch.float64).view(cells, *size)
    U = up(unit, pixels).flatten(1).T
    for k in range(3):
        weights = v[k].flatten() ** 2
        G = torch.cat([part(folded, k).apply(e[None]).flatten()[None] for e in unit])
        torch.testing.assert_close(G, U.T @ (weights[:, None] * U), atol=1e-9, rtol=0)
        torch.testing.assert_close(folded.target[k].flatten(), U.T @ (weights * y[k].flatten()), atol=1e-9, rtol=0)


def test_at_label_size_480p_too():
    _, y, v, _, _ = samples((30, 54), (480, 854))
    s = torch.randn(3, 30, 54, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    folded = fold(y, v, (30, 54))
    found = (s * folded.apply(s)).sum((1, 2)) - 2 * (s * folded.target).sum((1, 2)) + folded.constant
    torch.testing.assert_close(found, ((v * (up(s, (480, 854)) - y)) ** 2).sum((1, 2, 3)), rtol=1e-11, atol=0)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("size", "pixels"), SIZES)
def test_S1_E2_closed_form_loss_gradient_and_curvature_are_those_of_the_plain_way(size, pixels, k):
    x, y, v, gamma, w = samples(size, pixels, k=k)
    lambdas = (0.1, 0.2)
    plain = AutogradProblem(lambda w: target_residuals(w, x, y, v, gamma, lambdas))
    ours = TargetLoss(x, fold(y, v, size), gamma, lambdas, k)
    p = [torch.randn(q.shape, generator=torch.Generator().manual_seed(i), dtype=q.dtype) for i, q in enumerate(w)]
    (loss, gradient), (expected, expected_gradient) = (way.loss_and_gradient(w) for way in (ours, plain))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    for a, b in zip([*gradient, *ours.curvature(w, p)], [*expected_gradient, *plain.curvature(w, p)], strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def test_curvature_of_the_closed_form_is_symmetric_and_positive_definite():
    x, y, v, gamma, w = samples()
    problem = TargetLoss(x, fold(y, v, x.shape[-2:]), gamma, (0.1, 0.2))
    a, b = (
        [torch.randn(q.shape, generator=torch.Generator().manual_seed(s), dtype=q.dtype) for q in w] for s in (1, 2)
    )
    torch.testing.assert_close(dot(a, problem.curvature(w, b)), dot(b, problem.curvature(w, a)), rtol=1e-12, atol=0)
    assert dot(a, problem.curvature(w, a)) > 0.1 * dot([a[0]], [a[0]]) + 0.2 * dot([a[1]], [a[1]])


def test_S1_E1_scores_of_the_closed_form_are_two_convolutions():
    x, y, v, gamma, w = samples(k=5)
    problem = TargetLoss(x, fold(y, v, x.shape[-2:]), gamma, (0.1, 0.2), 5)
    torch.testing.assert_close(problem.scores(problem.join(*w)), target_scores(x, w)[:, 0], rtol=0, atol=1e-13)
    torch.testing.assert_close(target_scores(3 * x, w), 3 * target_scores(x, w))  # linear, no bias
    torch.testing.assert_close(target_scores(x, [-w[0], w[1]]), -target_scores(x, w))


# w2 alone -------------------------------------------------------------------------------------------------------------


def as_kernel(flat, c, k=3):
    return flat.view(k * k, c).T.reshape(1, c, k, k)


def stored(x1, folded, k=3):
    equations = NormalEquations(len(x1) + 2, x1.shape[1], k)
    for slot, sample in enumerate(x1):
        equations.put(slot, sample, part(folded, slot))
    return equations


def test_w2_alone_is_the_ridge_regression_that_the_authors_optimiser_converges_to(oracle):
    """With lambda = reg^2: that the code does not take the root of lambda is no slip of the eye."""
    o = oracle("frtm_w2_exact")
    equations = stored(o["x1"], fold(o["y"], o["pixel_weights"], o["x1"].shape[-2:]))
    reg = o["filter_reg"].item()
    found = as_kernel(equations.problem(o["sample_weights"], reg**2).solve(), 4)
    torch.testing.assert_close(found, o["w2_dense"], atol=1e-10, rtol=0)
    torch.testing.assert_close(found, o["w2_cg200"], atol=1e-10, rtol=0)
    other = as_kernel(equations.problem(o["sample_weights"], reg).solve(), 4)
    assert (other - o["w2_dense"]).abs().max() > 1e-2


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("size", "pixels"), SIZES)
def test_normal_equations_are_the_loss_in_w2(size, pixels, k):
    x, y, v, gamma, w = samples(size, pixels, k=k)
    folded, x1 = fold(y, v, size), F.conv2d(x, w[0])
    problem = stored(x1, folded, k).problem(gamma, 0.2)
    loss, gradient = problem.loss_and_gradient([w[1][0].flatten(1).T])
    plain = AutogradProblem(lambda w2: target_residuals([w[0], w2[0]], x, y, v, gamma, (0.0, 0.2)))
    expected, expected_gradient = plain.loss_and_gradient([w[1]])
    torch.testing.assert_close(loss, expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(as_kernel(gradient[0], 4, k), expected_gradient[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(problem.A, problem.A.T, rtol=0, atol=1e-10)


def test_a_replaced_slot_and_new_weights_leave_nothing_of_the_old():
    x, y, v, gamma, w = samples(K=4)
    folded, x1 = fold(y, v, x.shape[-2:]), F.conv2d(x, w[0])
    equations = stored(x1[:3], folded)
    equations.problem(gamma[:3], 0.2)
    equations.put(1, x1[3], part(folded, 3))
    found = equations.problem(gamma[[0, 3, 2]], 0.2)
    order = [0, 3, 2]
    fresh = stored(x1[order], Folded(*(p[order] for p in folded))).problem(gamma[order], 0.2)
    torch.testing.assert_close(found.A, fresh.A, rtol=0, atol=0)
    torch.testing.assert_close(found.b, fresh.b, rtol=0, atol=0)


# The memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "initial", "settings"),
    [
        ("frtm_{}_K1", 1, {"first": 2.0}),
        ("frtm_{}_K5", 5, {"first": 2.0}),
        ("frtm_{}_K20", 20, {"first": 2.0}),
        ("atom_{}_K20_min025", 20, {"first": 1.0, "first_minimum": 0.25}),
    ],
)
def test_weights_and_slots_of_150_samples_are_those_of_the_authors_and_of_atom(oracle, name, initial, settings):
    o = oracle("frtm_sample_memory")
    first = settings.pop("first")
    memory = SampleMemory(o["capacity"].item(), o["lr"].item(), **settings)
    memory.start(initial, first)
    weights, slots = [memory.weights.clone()], []
    for _ in range(150):
        slots.append(memory.insert())
        weights.append(memory.weights.clone())
    torch.testing.assert_close(torch.stack(weights), o[name.format("w")], atol=1e-12, rtol=0)
    assert slots == o[name.format("ind")].tolist()


@pytest.mark.parametrize("initial", [1, 5, 20])
def test_the_first_frame_is_given_away_when_the_authors_give_it_away_unless_it_is_protected(oracle, initial):
    expected = oracle("frtm_sample_memory")[f"frtm_first_frame_replaced_at_K{initial}"].item()

    def first_lost(minimum):
        memory = SampleMemory(first_minimum=minimum)
        memory.start(initial)
        return next((n for n in range(300) if memory.insert() == 0), None)

    assert first_lost(0.0) == expected
    assert first_lost(0.25) is None


def test_the_newest_sample_comes_to_weigh_the_rate():
    memory = SampleMemory(80, 0.1)
    memory.start(5)
    assert memory.weights[:5].tolist() == pytest.approx([2 / 6] + [1 / 6] * 4)
    for _ in range(200):
        slot = memory.insert()
    assert memory.weights[slot].item() == pytest.approx(0.1, abs=1e-4)
    assert memory.filled == 80 and memory.weights.sum().item() == pytest.approx(1)


# All of it, held to the authors' run: 5 Gauss-Newton steps, then 20 frames --------------------------------------------


def authors(o, **settings):
    found = {"regularisation": "filter_reg", "scales": "precond"}
    settings |= {name: tuple(o[key].tolist()) for name, key in found.items()}
    return Settings(
        hidden=8, iterations=tuple(o["init_iters"].tolist()), update_iterations=o["update_iters"].item(),
        capacity=o["capacity"].item(), rate=o["learning_rate"].item(), kappa=o["tf"].item(), **settings,
    )  # fmt: skip


def first_frame(o):
    x, v = o["x"], o["pixel_weights"].to(o["x"])
    folded, gamma = fold(o["y"].to(x), v, x.shape[-2:]), o["sample_weights_init"]
    return TargetLoss(x, folded, gamma, authors(o).lambdas)


def five_steps(o, w, forgetting=0.0):
    """The loss before and after each Gauss-Newton step (6), and w after each (5, n)."""
    problem, optimiser, history = first_frame(o), GaussNewton(authors(o).scales, forgetting=forgetting), History()
    after = []
    for n in o["init_iters"].tolist():
        w = optimiser.run(problem, w, (n,), history)
        after.append(torch.cat([p.flatten() for p in w]))
    return torch.tensor([*history.loss[::2], history.loss[-1]], dtype=torch.float64), torch.stack(after)


def test_five_steps_in_float64_have_the_losses_and_weights_of_the_authors(oracle):
    """45 CG iterations, each of which makes rounding larger (test_gauss_newton.py). So the first step is held to 1e-8
    and 1e-7, and the later ones to what the last bits of w make of our own run: that is 1e-6 to 1e-4 of the loss, for
    J'J in closed form as for that of torch."""
    o = oracle("frtm_gncg_f64_forget750")
    w = [o["w1_0"], o["w2_0"]]
    expected = torch.cat([o["w1_after_gn"].flatten(1), o["w2_after_gn"][:5].flatten(1)], 1)
    expected_losses = torch.cat([o["loss_before_after"][:1, 0], o["loss_before_after"][:5, 1]])
    losses, after = five_steps(o, w)
    off, off_losses = (after - expected).abs().amax(1), (losses / expected_losses - 1).abs()
    assert off[0] < 1e-7 and off_losses[:2].max() < 1e-8
    r, moved, moved_losses = torch.Generator().manual_seed(0), [], []
    for _ in range(4):
        bits = [p * (1 + 2.2e-16 * torch.randn(p.shape, generator=r, dtype=p.dtype).sign()) for p in w]
        other_losses, other = five_steps(o, bits)
        moved.append((after - other).abs().amax(1))
        moved_losses.append((losses / other_losses - 1).abs())
    assert off.max() < 10 * torch.stack(moved).max() < 1e-2
    assert off_losses.max() < 10 * torch.stack(moved_losses).max() < 1e-2


def test_the_authors_forgetting_of_750_is_a_reset_and_one_of_75_is_not(oracle):
    o = oracle("frtm_gncg_f64_forget750")
    w = [o["w1_0"], o["w2_0"]]
    reset, theirs, kept = (five_steps(o, w, f)[1] for f in (0.0, o["direction_forget_factor"].item(), 0.9**75))
    assert torch.equal(reset, theirs) and (kept[-1] - reset[-1]).abs().max() > 0.1


def test_five_steps_in_float32_have_their_losses_within_three_percent(oracle):
    o = oracle("frtm_gncg_f32_forget750")
    history = History()
    GaussNewton(authors(o).scales).run(first_frame(o), [o["w1_0"], o["w2_0"]], o["init_iters"].tolist(), history)
    torch.testing.assert_close(torch.tensor(history.loss[:5]), o["loss_before_after"][:5, 0].float(), rtol=0.03, atol=0)
    assert history.loss[5] == pytest.approx(o["loss_before_after"][4, 1].item(), rel=0.03)


def run_clip(o, settings, frames=20):
    """The authors' 20 frames after their w1 and w2 of the first frame: slots, scores, weights and w2 after each."""
    model = TargetModel(replace(settings, iterations=()))
    model.start(o["x"], o["y"], o["pixel_weights"], [o["w1_final"], o["w2_after_gn"][4]])
    after_start = model.w[1]
    slots, scores, weights, w2 = [], [], [], []
    for t in range(frames):
        x, labels = o["upd_feat"][t : t + 1], o["upd_labels"][t : t + 1]
        scores.append(model.scores(x)[0])
        slots.append(model.add(x, labels, pixel_weights(labels.float())))
        if (t + 1) % o["train_skipping"].item() == 0:
            model.update()
        weights.append(model.memory.weights.clone())
        w2.append(model.w[1])
    return model, after_start, slots, torch.stack(scores), torch.stack(weights), torch.stack(w2)


def test_twenty_frames_are_remembered_and_learned_from_as_the_authors_do(oracle):
    """Ten CG iterations on the normal equations of 72 unknowns, where the authors iterate over all pixels."""
    o = oracle("frtm_gncg_f64_forget750")
    _, after_start, slots, scores, weights, w2 = run_clip(o, authors(o))
    torch.testing.assert_close(after_start, o["w2_after_init"], atol=1e-7, rtol=0)
    assert slots == o["upd_replace_ind"].tolist()
    torch.testing.assert_close(weights, o["upd_sample_weights"], atol=1e-12, rtol=0)
    torch.testing.assert_close(w2, o["upd_w2"], atol=1e-7, rtol=0)
    torch.testing.assert_close(scores, o["upd_scores"], atol=1e-6, rtol=0)


def test_the_losses_around_each_update_are_the_authors_and_solving_exactly_goes_lower(oracle):
    o = oracle("frtm_gncg_f64_forget750")
    before_after = o["loss_before_after"][6:]
    ends = {}
    for iterations in (10, None):
        model = run_clip(o, authors(o), frames=7)[0]
        x, labels = o["upd_feat"][7:8], o["upd_labels"][7:8]
        model.add(x, labels, pixel_weights(labels.float()))
        model.settings = Settings(**{**vars(model.settings), "update_iterations": iterations})
        history = History()
        model.update(history)
        problem = model.equations.problem(model.memory.weights[: model.memory.filled], model.settings.lambdas[1])
        ends[iterations] = problem.loss_and_gradient([model.w[1][0].flatten(1).T])[0].item()
        if iterations:
            assert history.loss == pytest.approx(before_after[0].tolist(), rel=1e-8)
    assert ends[10] == pytest.approx(before_after[0, 1].item(), rel=1e-8)
    assert ends[None] < ends[10]


# The model by itself --------------------------------------------------------------------------------------------------


def scene(shift=0, K=4, seed=0):
    """Features in which a disk differs from the rest, and its mask: (K, 12, 15, 20) and (K, 1, 60, 80)."""
    r = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    y = ((rows - 30) ** 2 + (columns - 30 - shift) ** 2 < 150).float().expand(K, 1, 60, 80)
    directions = torch.randn(2, 12, 1, 1, generator=torch.Generator().manual_seed(7))
    share = F.adaptive_avg_pool2d(y, (15, 20))
    return share * directions[0] + (1 - share) * directions[1] + 0.5 * torch.randn(K, 12, 15, 20, generator=r), y


def iou(scores, y):
    found, y = up(scores[:, 0], y.shape[-2:]) > 0.5, y > 0.5
    return ((found & y).sum() / (found | y).sum()).item()


SMALL = {"hidden": 8, "iterations": (5, 10, 10)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", [{}, {"init": "normal"}, {"forgetting": 0.9**75}, {"update_iterations": 10}])
def test_a_model_learned_on_the_first_frame_finds_the_object_elsewhere(dtype, settings):
    model, history = TargetModel(Settings(**SMALL, **settings)), History()
    x, y = scene()
    model.start(x.to(dtype), y, history=history)
    assert model.w[0].dtype == model.w[1].dtype == dtype
    assert history.loss[-1] < 0.5 * history.loss[0]
    moved, where = scene(shift=25, K=1, seed=1)
    assert iou(model.scores(moved.to(dtype)), where) > 0.8


def test_an_update_follows_an_object_that_changes_and_forgets_what_it_is_told_to_forget():
    model = TargetModel(Settings(**SMALL, rate=0.3))
    x, y = scene()
    model.start(x, y)
    changed = 0.3 * x[:1] + 0.7 * x[:1].flip(1)
    before = iou(model.scores(changed), y[:1])
    for _ in range(8):
        assert model.add(changed, y[:1]) is not None
    model.update()
    assert iou(model.scores(changed), y[:1]) > max(0.8, before + 0.1)


def test_an_update_costs_the_same_however_many_frames_were_seen():
    model = TargetModel(Settings(**SMALL, capacity=6))
    x, y = scene()
    model.start(x, y)

    def allocated(frames):
        for _ in range(frames):
            model.add(x[:1], y[:1])
        with torch.profiler.profile(profile_memory=True) as profile:
            model.update()
        return sum(max(0, event.self_cpu_memory_usage) for event in profile.key_averages())

    assert allocated(2) == allocated(30)
    assert model.memory.filled == len(model.equations.stored) == 6


@pytest.mark.parametrize("pixels", [0, 9, 10, 4800])
def test_masks_without_an_object_are_not_remembered_and_full_ones_do_no_harm(pixels):
    model = TargetModel(Settings(**SMALL))
    x, y = scene()
    model.start(x, y)
    before = model.memory.weights.clone()
    labels = torch.zeros(4800)
    labels[:pixels] = 1
    slot = model.add(x[:1], labels.view(1, 1, 60, 80))
    assert (slot is None) == (pixels < 10) == torch.equal(before, model.memory.weights)
    model.update()
    assert model.w[1].isfinite().all()


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_an_empty_or_full_first_mask_is_learned_without_a_nan(fill):
    model = TargetModel(Settings(**SMALL))
    x, y = scene()
    model.start(x, torch.full_like(y, fill))
    assert all(p.isfinite().all() for p in model.w)
    assert (model.scores(x)[:, :, 2:-2, 2:-2].mean() > 0.5) == (fill == 1)


def test_the_same_seed_gives_the_same_model_and_the_named_inits_have_their_spread():
    x, y = scene()
    models = [TargetModel(Settings(**SMALL, seed=seed)) for seed in (0, 0, 1)]
    for model in models:
        model.start(x, y)
    assert torch.equal(models[0].w[1], models[1].w[1]) and not torch.equal(models[0].w[1], models[2].w[1])
    for init, spread in ("uniform", (3 * 1024) ** -0.5), ("normal", (2 / 1024) ** 0.5):
        w1, _ = TargetModel(Settings(init=init)).initial(1024)
        assert w1.std().item() == pytest.approx(spread, rel=0.02)


def test_regularisation_read_as_the_paper_prints_it_pulls_harder():
    assert Settings().lambdas == pytest.approx((1e-8, 1e-4)) and Settings(squared=False).lambdas == (1e-4, 1e-2)
    x, y = scene()
    sizes = []
    for squared in (True, False):
        model = TargetModel(Settings(**SMALL, regularisation=(0.3, 0.3), squared=squared))
        model.start(x.double(), y)
        sizes.append(sum(p.square().sum().item() for p in model.w))
    assert sizes[1] < 0.95 * sizes[0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"share": "mean"}, "max, min"),
        ({"init": "zeros"}, "uniform, normal"),
        ({"kernel": 2}, "kernel odd"),
        ({"kappa": 1.0}, "kappa inside 0..1"),
        ({"regularisation": (0.0, 1.0)}, "regularisation above 0"),
        ({"iterations": (5, -1)}, "negative"),
        ({"update_iterations": -1}, "negative"),
        ({"direction": "newton"}, "fletcher-reeves"),
        ({"rate": 1.0}, "rate lies inside"),
    ],
)
def test_settings_that_cannot_be_are_told_before_anything_runs(wrong, says):
    with pytest.raises(ValueError, match=says):
        Settings(**wrong)


def test_more_first_samples_than_slots_are_told():
    x, y = scene()
    with pytest.raises(ValueError, match="do not fit"):
        TargetModel(Settings(**SMALL, capacity=4, first_minimum=0.25)).start(x, y)
