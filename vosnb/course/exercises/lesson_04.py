"""Exercises of lesson 04: the loss of the target model, pixel weights, and pixels folded into cells."""

import torch
import torch.nn.functional as F

from vosnb.course.exercises import Exercise, expect, same

# ---------------------------------------------------------------------------------------------- weighted_loss


def weighted_loss_reference(scores, labels, v, gamma):
    up = F.interpolate(scores, labels.shape[-2:], mode="bilinear", align_corners=False)
    errors = v * (labels - up)
    return (gamma * (errors**2).sum((1, 2, 3))).sum()


def _check_weighted_loss(answer):
    r = torch.Generator().manual_seed(2)
    s = torch.rand(2, 1, 3, 4, generator=r).double()
    y = (torch.rand(2, 1, 12, 16, generator=r) > 0.7).double()
    v, gamma = 0.5 + torch.rand(2, 1, 12, 16, generator=r).double(), torch.tensor([0.7, 0.3]).double()
    up = F.interpolate(s, (12, 16), mode="bilinear", align_corners=False)
    each = ((v * (y - up)) ** 2).sum((1, 2, 3))
    got = answer(s, y, v, gamma)

    expect(
        not same(got, gamma * each) and not same(got, each),
        "one number for each sample. The loss is their sum: it has one value to be made small.",
    )
    small_y, small_v = F.avg_pool2d(y, 4), F.avg_pool2d(v, 4)
    expect(
        not same(got, (gamma * ((small_v * (small_y - s)) ** 2).sum((1, 2, 3))).sum()),
        "you brought the labels down to the cells. U brings the scores up to the pixels, where the labels are exact.",
    )
    nearest = F.interpolate(s, (12, 16), mode="nearest")
    expect(
        not same(got, (gamma * ((v * (y - nearest)) ** 2).sum((1, 2, 3))).sum()),
        "your U copies the nearest cell. It is bilinear: mode='bilinear'.",
    )
    corners = F.interpolate(s, (12, 16), mode="bilinear", align_corners=True)
    expect(
        not same(got, (gamma * ((v * (y - corners)) ** 2).sum((1, 2, 3))).sum()),
        "align_corners=True puts the centres of the outermost cells on the outermost pixels. A cell's centre lies in "
        "the middle of its pixels: align_corners=False.",
    )
    expect(
        not same(got, (gamma * (v * (y - up) ** 2).sum((1, 2, 3))).sum()),
        "v stands inside the norm, so it is squared like the rest: (v (y - U s))^2, not v (y - U s)^2.",
    )
    expect(
        not same(got, (gamma**2 * each).sum()),
        "gamma is squared in yours. It stands before the norm; in a residual it would be its root.",
    )
    expect(not same(got, each.sum()), "gamma is missing: samples do not count alike.")
    expect(not same(got, (gamma * each.sqrt()).sum()), "that is the norm; the loss has its square.")
    expect(
        not same(got, (gamma * each).sum() / y[0].numel()) and not same(got, (gamma * each).mean()),
        "you averaged. S1-E2 sums over pixels and over samples, and lambda is measured against that sum.",
    )
    expect(
        not same(got, (gamma * ((y - v * up) ** 2).sum((1, 2, 3))).sum()),
        "v weighs the error, labels and scores alike: v (y - U s), not y - v U s.",
    )
    expect(
        same(got, weighted_loss_reference(s, y, v, gamma)),
        "the loss is not right: sum over k of gamma_k times the sum over pixels of (v (y - U s))^2.",
    )


weighted_loss = Exercise(
    name="weighted_loss",
    title="The loss on the labels",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=(
        "Three steps: scores to the size of the labels, errors times v, squares summed.",
        "F.interpolate(scores, labels.shape[-2:], mode='bilinear', align_corners=False) is U.",
        "Sum the squares over all but the first dimension, .sum((1, 2, 3)); multiply by gamma; sum again.",
    ),
    reference=weighted_loss_reference,
    check=_check_weighted_loss,
)

# ---------------------------------------------------------------------------------------------- pixel_weights


def pixel_weights_reference(labels, kappa=0.1):
    y = (labels > 0.5).to(labels.dtype)
    actual = y.mean((-2, -1), keepdim=True)
    wanted = actual.clamp_min(kappa)
    v = torch.where(y > 0, wanted / actual, (1 - wanted) / (1 - actual)).sqrt()
    unweighted = (y.sum((-2, -1), keepdim=True) < 10) | (actual == 1)
    return torch.where(unweighted, 1.0, v)


def _check_pixel_weights(answer):
    y = torch.zeros(4, 1, 20, 50).double()  # 1000 pixels: shares of 0.02, 0.3, 0.05 and 0.02
    for sample, pixels in zip(y.flatten(1), (20, 300, 50, 20), strict=True):
        sample[:pixels] = 1
    share = y.mean((-2, -1), keepdim=True)
    got = answer(y)

    def weights(wanted, root=True):
        v = torch.where(y > 0, wanted / share, (1 - wanted) / (1 - share))
        return v.sqrt() if root else v

    high, low = share.clamp_min(0.1), share.clamp_max(0.1)
    expect(
        not same(got, weights(low)) and not same(got, weights(low, root=False)),
        "with the min a small target keeps the weight 1 and a large one is damped: just the wrong way round. A small "
        "target is to be raised to kappa, so take the max.",
    )
    expect(
        not same(got, weights(high, root=False)),
        "the root is missing. The loss squares v, so that v = sqrt(kappa / share) weighs it by kappa / share.",
    )
    expect(
        not same(got, 1 / weights(high)) and not same(got, 1 / weights(high, root=False)),
        "your fraction is upside down: pixels of a small target count more, so its share stands below.",
    )
    whole = y.mean()
    together = torch.where(y > 0, whole.clamp_min(0.1) / whole, (1 - whole.clamp_min(0.1)) / (1 - whole)).sqrt()
    expect(not same(got, together), "one share for all samples: each has its own, over its own pixels, dims -2 and -1.")
    expect(
        not same(got, torch.where(y > 0, weights(high), 1.0)),
        "you raised the target and left the rest at 1. Then the weights no longer sum to the number of pixels; the "
        "background gets (1 - kappa) / (1 - share).",
    )
    always = weights(torch.full_like(share, 0.1))
    expect(
        not same(got, always),
        "a target of 30% is pulled *down* to kappa in yours. A large one is left alone: its weights are 1.",
    )
    expect(
        same(got, weights(high)),
        "the weights are not right: sqrt(kappa / share) on the target and sqrt((1 - kappa) / (1 - share)) elsewhere, "
        "with the larger of kappa and the share for kappa.",
    )
    wide = answer(y, kappa=0.4)
    expect(same(wide, weights(share.clamp_min(0.4))), "kappa is given, and not always 0.1.")
    soft = answer(0.9 * y + 0.05)
    expect(
        same(soft, weights(high)),
        "soft labels: a pixel belongs to the target where its label is above 0.5. Make the mask first, and take the "
        "share from it.",
    )
    few = torch.zeros(3, 1, 20, 50).double()
    for sample, pixels in zip(few.flatten(1), (0, 9, 10), strict=True):
        sample[:pixels] = 1
    found = torch.as_tensor(answer(few))
    expect(
        bool(found[0].isfinite().all()), "an empty mask has the share 0, and you divide by it. Its weights are all 1."
    )
    expect(
        same(found[:2], torch.ones(2, 1, 20, 50)),
        "fewer than 10 pixels are no target worth raising: one wrong pixel would rule the loss. All weights 1.",
    )
    ten = torch.where(few[2:] > 0, 0.1 / 0.01, 0.9 / 0.99).sqrt()
    expect(same(found[2:], ten), "10 pixels are enough; only fewer than 10 are left alone.")
    full = torch.as_tensor(answer(torch.ones(1, 1, 20, 50).double()))
    expect(
        same(full, torch.ones(1, 1, 20, 50)),
        "a mask that fills the frame: outside of it there is nothing, and 0 / 0 is not a number. All weights 1.",
    )


pixel_weights = Exercise(
    name="pixel_weights",
    title="Weigh the pixels",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=(
        "First the mask, labels > 0.5, as numbers; then its share of each sample, .mean((-2, -1), keepdim=True).",
        "The share that you want is share.clamp_min(kappa): small targets are raised, others stay as they are.",
        "torch.where(y > 0, wanted / share, (1 - wanted) / (1 - share)).sqrt(), and 1.0 for samples with fewer than 10 "
        "pixels and for full ones.",
    ),
    reference=pixel_weights_reference,
    check=_check_pixel_weights,
)

# ---------------------------------------------------------------------------------------------- fold_pixels


def fold_pixels_reference(U, v, y):
    weights = v**2
    return U.T @ (weights[:, None] * U), U.T @ (weights * y), (weights * y**2).sum()


def _check_fold_pixels(answer):
    r = torch.Generator().manual_seed(3)
    U = F.interpolate(torch.eye(4).double()[None], 11, mode="linear", align_corners=False)[0].T
    v, y, s = (torch.rand(n, generator=r).double() for n in (11, 11, 4))
    got = answer(U, v, y)
    expect(isinstance(got, (tuple, list)) and len(got) == 3, "return three things: G, b and the constant.")
    G, b, constant = got
    true_G, true_b, true_constant = fold_pixels_reference(U, v, y)

    expect(
        not same(G, U.T @ (v[:, None] * U)),
        "v is not squared in your G. The loss squares v (U s - y), so a pixel counts with v^2.",
    )
    expect(not same(G, U.T @ U), "v is missing in your G: pixels do not count alike.")
    expect(
        getattr(G, "shape", None) != (11, 11),
        "your G has a row for each pixel. It is to live on the cells: sum over the pixels, U.T on the left.",
    )
    expect(not same(G, 2 * true_G), "your G is twice too large: s' G s stands in the loss without a factor.")
    expect(same(G, true_G), "G is not right: U' diag(v^2) U, that is U.T @ (v**2 times the rows of U).")
    expect(not same(b, -true_b), "the sign of b: the loss already says - 2 s' b.")
    expect(not same(b, 2 * true_b), "b is twice too large: the 2 stands in front of s' b already.")
    expect(not same(b, U.T @ (v * y)) and not same(b, U.T @ y), "in b, too, each pixel counts with v^2.")
    expect(same(b, true_b), "b is not right: what each cell hears of the labels, U.T @ (v**2 * y).")
    expect(
        not same(constant, 0.0),
        "without the constant the minimum stays where it is, but the value is not the loss. It is the loss of s = 0.",
    )
    expect(same(constant, true_constant), "the constant is the loss where s = 0: the sum of (v y)^2.")
    expect(
        same(
            s @ torch.as_tensor(G) @ s - 2 * s @ torch.as_tensor(b) + torch.as_tensor(constant),
            ((v * (U @ s - y)) ** 2).sum(),
        ),
        "the three do not give the loss of every s.",
    )


fold_pixels = Exercise(
    name="fold_pixels",
    title="Fold the pixels into the cells",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=(
        "Multiply out: ||v (U s - y)||^2 is a sum over pixels of v^2 times ((U s)^2 - 2 (U s) y + y^2).",
        "(U s)^2 summed with weights v^2 is s' (U' diag(v^2) U) s. Do the same for the other two terms.",
        "diag(v^2) U needs no diagonal matrix: v[:, None] ** 2 * U scales the rows.",
    ),
    reference=fold_pixels_reference,
    check=_check_fold_pixels,
)
