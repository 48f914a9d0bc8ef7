"""Lovasz losses, held to the code of their authors, and to what they are by definition."""

import pytest
import torch

from vosnb.methods.losses import lovasz_extension, lovasz_gradient, lovasz_hinge, lovasz_softmax

HINGE = {
    "per_image": {"per_image": True},
    "batch": {"per_image": False},
    "ignore255": {"ignore": 255},
    "soft_targets": {},
    "one_pixel": {},
}
SOFTMAX = {"present": {}, "all": {"classes": "all"}, "per_image": {"per_image": True}, "ignore": {"ignore": 255}}


@pytest.fixture
def known(oracle):
    return oracle("lovasz")


def check(loss, x, known, case):
    torch.testing.assert_close(loss.detach(), known[f"{case}_loss"], atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.autograd.grad(loss, x)[0], known[f"{case}_grad"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", HINGE)
def test_hinge_against_its_authors(known, case):
    x = known[f"hinge_{case}_logits"].requires_grad_()
    check(lovasz_hinge(x, known[f"hinge_{case}_labels"], **HINGE[case]), x, known, f"hinge_{case}")


@pytest.mark.parametrize("case", SOFTMAX)
def test_softmax_against_its_authors(known, case):
    x = known[f"softmax_{case}_logits"].requires_grad_()
    loss = lovasz_softmax(torch.softmax(x, 1), known[f"softmax_{case}_labels"], **SOFTMAX[case])
    check(loss, x, known, f"softmax_{case}")
    torch.testing.assert_close(torch.softmax(x, 1), known[f"softmax_{case}_probs"])


def test_gradient_of_the_jaccard_loss_against_its_authors(known):
    torch.testing.assert_close(lovasz_gradient(known["grad_gt_sorted"]), known["grad_value"], atol=1e-6, rtol=0)


def test_where_pixels_are_right_or_wrong_it_is_the_jaccard_loss():
    r = torch.Generator().manual_seed(0)
    truth, found = (torch.rand(5, 40, generator=r, dtype=torch.float64) > 0.6 for _ in range(2))
    jaccard = 1 - (truth & found).sum(1).double() / (truth | found).sum(1)
    torch.testing.assert_close(lovasz_extension((truth ^ found).double(), truth.double()), jaccard)


def test_double_precision_all_void_and_nothing_there():
    logits = torch.linspace(-1, 2, 12, dtype=torch.float64).view(1, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: lovasz_hinge(x, torch.eye(3, 4)[None]), logits)
    assert lovasz_hinge(logits, torch.zeros(1, 3, 4)).item() == 3  # 1 + the largest logit
    loss = lovasz_hinge(logits, torch.full((1, 3, 4), 255), ignore=255)
    assert loss.item() == 0 and not torch.autograd.grad(loss, logits)[0].any()
    p = torch.full((1, 2, 3, 4), 0.5, requires_grad=True)
    loss = lovasz_softmax(p, torch.full((1, 3, 4), 255), ignore=255)
    assert loss.item() == 0 and not torch.autograd.grad(loss, p)[0].any()


def test_unknown_classes_are_told():
    with pytest.raises(ValueError, match="choose from present, all"):
        lovasz_softmax(torch.rand(1, 2, 3, 4), torch.zeros(1, 3, 4), classes="some")
