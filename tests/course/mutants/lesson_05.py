"""Answers to the exercises of lesson 05 that must pass, and wrong ones that must not."""

import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------------------------- gauss_newton_step


def step_by_least_squares(J, r):
    return torch.linalg.lstsq(J, -r[:, None]).solution[:, 0]


def step_by_cholesky(J, r):
    return -torch.cholesky_solve((J.T @ r)[:, None], torch.linalg.cholesky(J.T @ J))[:, 0]


def step_downhill(J, r):
    return -2 * J.T @ r


def step_uphill(J, r):
    return torch.linalg.solve(J.T @ J, J.T @ r)


def step_twice(J, r):
    return torch.linalg.solve(J.T @ J, -2 * J.T @ r)


def step_of_half(J, r):
    return torch.linalg.solve(2 * J.T @ J, -J.T @ r)


def step_by_diagonal(J, r):
    return -(J.T @ r) / torch.diag(J.T @ J)


def step_for_residuals(J, r):
    return torch.linalg.lstsq(J @ J.T, -r[:, None]).solution[:, 0] if len(J) == 6 else step_by_least_squares(J, r)


def step_for_first_residuals(J, r):
    n = J.shape[1]
    return torch.linalg.solve(J[:n], -r[:n])


def step_of_length_one(J, r):
    d = step_by_least_squares(J, r)
    return d / d.norm()


def step_damped(J, r):
    return torch.linalg.solve(J.T @ J + torch.eye(J.shape[1]).to(J), -J.T @ r)


# ---------------------------------------------------------------------------------------------- conjugate_direction


def direction_in_two_lines(r, p, Ap):
    beta = -torch.dot(r, Ap) / torch.dot(p, Ap)
    return r + beta * p


def direction_forgotten(r, p, Ap):
    return r.clone()


def direction_added(r, p, Ap):
    return r + (r @ Ap) / (p @ Ap) * p


def direction_orthogonal(r, p, Ap):
    return r - (r @ p) / (p @ p) * p


def direction_half_measured(r, p, Ap):
    return r - (r @ Ap) / (p @ p) * p


def direction_less_Ap(r, p, Ap):
    return r - (r @ Ap) / (p @ Ap) * Ap


def direction_beta(r, p, Ap):
    return -(r @ Ap) / (p @ Ap)


def direction_scaled(r, p, Ap):
    new = direction_in_two_lines(r, p, Ap)
    return new / new.norm()


def direction_the_other_way_round(r, p, Ap):
    return p - (p @ Ap) / (r @ Ap) * r


def direction_with_momentum(r, p, Ap):
    return r + 0.9 * p


def direction_kept(r, p, Ap):
    return p.clone()


# ---------------------------------------------------------------------------------------------- jvp_by_hand


def scores(x, w1, w2):
    return F.conv2d(F.conv2d(x, w1), w2, padding=1)


def jvp_by_autograd(x, w, p):
    return torch.func.jvp(lambda a, b: scores(x, a, b), tuple(w), tuple(p))[1]


def jvp_as_one_kernel(x, w, p):
    f = torch.einsum("hc,hij->cij", p[0][:, :, 0, 0], w[1][0]) + torch.einsum("hc,hij->cij", w[0][:, :, 0, 0], p[1][0])
    return F.conv2d(x, f[None], padding=1)


def jvp_of_p_alone(x, w, p):
    return scores(x, *p)


def jvp_first_layer(x, w, p):
    return scores(x, p[0], w[1])


def jvp_second_layer(x, w, p):
    return scores(x, w[0], p[1])


def jvp_whole_difference(x, w, p):
    return scores(x, w[0] + p[0], w[1] + p[1]) - scores(x, *w)


def jvp_with_scores(x, w, p):
    return scores(x, *w) + jvp_by_autograd(x, w, p)


def jvp_minus(x, w, p):
    return scores(x, p[0], w[1]) - scores(x, w[0], p[1])


def jvp_twice(x, w, p):
    return 2 * jvp_by_autograd(x, w, p)


def jvp_unpadded(x, w, p):
    return jvp_by_autograd(x, w, p)[..., 1:-1, 1:-1]


def jvp_by_small_steps(x, w, p):
    e = 0.1
    return (scores(x, w[0] + e * p[0], w[1] + e * p[1]) - scores(x, *w)) / e


RIGHT = {
    "gauss_newton_step": [step_by_least_squares, step_by_cholesky],
    "conjugate_direction": [direction_in_two_lines],
    "jvp_by_hand": [jvp_by_autograd, jvp_as_one_kernel],
}
MUTANTS = {
    "gauss_newton_step": {
        "downhill only": (step_downhill, "nothing more"),
        "uphill": (step_uphill, "the sign"),
        "twice the step": (step_twice, "factor of 2"),
        "half the step": (step_of_half, "factor of 2"),
        "diagonal": (step_by_diagonal, "diagonal"),
        "J J'": (step_for_residuals, "each residual"),
        "first residuals": (step_for_first_residuals, "forgot the others"),
        "length one": (step_of_length_one, "length is 1"),
        "damped": (step_damped, "not the minimum"),
    },
    "conjugate_direction": {
        "steepest descent": (direction_forgotten, "forgets p"),
        "added": (direction_added, "the sign"),
        "right angle": (direction_orthogonal, "right angle"),
        "half measured": (direction_half_measured, "denominator"),
        "A p taken away": (direction_less_Ap, "multiple of A p"),
        "beta": (direction_beta, "the whole direction"),
        "scaled": (direction_scaled, "scaled"),
        "the other way round": (direction_the_other_way_round, "scaled"),
        "momentum": (direction_with_momentum, "not conjugate"),
        "kept": (direction_kept, "not conjugate"),
    },
    "jvp_by_hand": {
        "p for w": (jvp_of_p_alone, "in place of w"),
        "first layer": (jvp_first_layer, "only one of the two"),
        "second layer": (jvp_second_layer, "only one of the two"),
        "whole difference": (jvp_whole_difference, "second order"),
        "with the scores": (jvp_with_scores, "change alone"),
        "minus": (jvp_minus, "with a minus"),
        "twice": (jvp_twice, "not squared yet"),
        "unpadded": (jvp_unpadded, "padding"),
        "a difference of steps": (jvp_by_small_steps, "not J p"),
    },
}
