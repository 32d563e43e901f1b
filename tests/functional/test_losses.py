import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import dense, oracles
from support.oracles import Loss
from torch import Tensor

from net2vec_pl.functional import LOSSES

EITHER = pytest.mark.parametrize("name", ["agreement", "bce"])
Problem = tuple[Tensor, Tensor, Tensor]


def problem(seed: int = 0, *, scale: float = 3.0, pairs: int = 4, size: int = 7) -> Problem:
    """Return logits and masks (P, size + 1, size) and alphas (P,); logits are double."""
    generator = torch.Generator().manual_seed(seed)
    shape = (pairs, size + 1, size)
    logits = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    masks = torch.rand(shape, generator=generator) < 0.3
    return logits, masks, torch.rand(pairs, generator=generator, dtype=torch.float64)


def evaluate(name: str, logits: Tensor, masks: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Return values and gradients; the loss overwrites a copy of the logits, and what is scrap."""
    gradients, scratch = logits.clone(), torch.full_like(logits, torch.nan)
    return LOSSES[name](gradients, masks.to(logits), alpha, scratch), gradients


def oracle_loss(name: Loss, logits: Tensor, mask: Tensor, alpha: float) -> float:
    value = oracles.agreement_loss if name == "agreement" else oracles.bce_loss
    return value(logits[None].numpy(), mask[None].numpy(), alpha)


def test_the_two_losses_have_their_names() -> None:
    assert list(LOSSES) == ["agreement", "bce"]


@EITHER
@pytest.mark.parametrize("scale", [0.1, 3.0, 60.0])
def test_values_are_the_oracles(name: Loss, scale: float) -> None:
    logits, masks, alpha = problem(scale=scale)
    values, _ = evaluate(name, logits, masks, alpha)
    for p, value in enumerate(values.tolist()):
        expected = oracle_loss(name, logits[p], masks[p], float(alpha[p]))
        assert value == pytest.approx(expected, rel=1e-9)


@EITHER
@pytest.mark.parametrize("scale", [0.1, 3.0, 60.0])
def test_gradients_are_the_oracles(name: Loss, scale: float) -> None:
    logits, masks, alpha = problem(scale=scale)
    _, gradients = evaluate(name, logits, masks, alpha)
    for p, gradient in enumerate(gradients):
        expected = oracles.logit_gradient(
            logits[p : p + 1].numpy(), masks[p : p + 1].numpy(), float(alpha[p]), name
        )
        np.testing.assert_allclose(gradient[None].numpy(), expected, rtol=1e-6, atol=1e-14)


@EITHER
def test_gradients_are_autograds(name: Loss) -> None:
    logits, masks, alpha = problem()
    values, gradients = evaluate(name, logits, masks, alpha)
    logits.requires_grad_()
    by_formula = dense.loss(name, logits, masks, alpha)
    (expected,) = torch.autograd.grad(by_formula.sum(), logits)
    torch.testing.assert_close(values, by_formula.detach())
    torch.testing.assert_close(gradients, expected)


@EITHER
def test_the_gradient_takes_the_place_of_the_logits_and_nothing_else_changes(name: Loss) -> None:
    logits, masks, alpha = problem()
    kept = logits.clone(), masks.clone(), alpha.clone()
    masks = masks.to(logits)
    LOSSES[name](logits, masks, alpha, torch.empty_like(logits))
    assert torch.equal(logits, evaluate(name, *kept)[1])
    assert torch.equal(masks.bool(), kept[1])
    assert torch.equal(alpha, kept[2])


class WithOwnGradient(torch.autograd.Function):
    """A loss whose backward is the gradient it returns, for gradcheck."""

    @staticmethod
    def forward(ctx: object, logits: Tensor, masks: Tensor, alpha: Tensor, name: str) -> Tensor:
        values, gradient = evaluate(name, logits, masks, alpha)
        vars(ctx)["gradient"] = gradient
        return values

    @staticmethod
    def backward(ctx: object, *upstream: Tensor) -> tuple[Tensor, None, None, None]:
        return vars(ctx)["gradient"] * upstream[0][:, None, None], None, None, None


@EITHER
def test_gradients_are_finite_differences(name: Loss) -> None:
    logits, masks, alpha = problem(pairs=2, size=3)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: WithOwnGradient.apply(x, masks, alpha, name),
        (logits,),
    )


@EITHER
def test_single_precision_is_close_to_double(name: Loss) -> None:
    logits, masks, alpha = problem(scale=10.0, size=60)
    value, gradient = evaluate(name, logits.float(), masks, alpha.float())
    exact_value, exact_gradient = evaluate(name, logits, masks, alpha)
    assert value.dtype == gradient.dtype == torch.float32
    torch.testing.assert_close(value.double(), exact_value, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=1e-4, atol=1e-6)


@given(area=st.integers(0, 20), alpha=st.floats(0, 1))
def test_at_zero_the_paper_loss_is_half_the_weighted_area(area: int, alpha: float) -> None:
    mask = (torch.arange(20) < area).view(1, 4, 5)
    weight = torch.tensor([alpha], dtype=torch.float64)
    value, _ = evaluate("agreement", torch.zeros(1, 4, 5, dtype=torch.float64), mask, weight)
    assert value.item() == pytest.approx(-0.5 * (alpha * area + (1 - alpha) * (20 - area)))


def test_at_zero_a_person_loses_what_the_papers_code_printed() -> None:
    # alpha and the mean loss per image of "person" on broden1_227, 113 x 113 pixels a mask.
    alpha = 0.878480
    mask = (torch.arange(113 * 113) < round((1 - alpha) * 113 * 113)).view(1, 113, 113)
    value, _ = evaluate("agreement", torch.zeros(1, 113, 113), mask, torch.tensor([alpha]))
    assert value.item() == pytest.approx(-1363, abs=0.5)


def test_the_paper_loss_is_bounded_by_twice_its_value_at_zero() -> None:
    _, masks, alpha = problem()
    at_zero, _ = evaluate("agreement", torch.zeros(masks.shape, dtype=torch.float64), masks, alpha)
    perfect = torch.where(masks, 1e3, -1e3).double()
    best, _ = evaluate("agreement", perfect, masks, alpha)
    worst, _ = evaluate("agreement", -perfect, masks, alpha)
    torch.testing.assert_close(best, 2 * at_zero)
    torch.testing.assert_close(worst, torch.zeros_like(worst))


@EITHER
def test_extreme_logits_stay_finite(name: Loss) -> None:
    _, masks, alpha = problem()
    for sign in (-1, 1):
        logits = torch.where(masks, sign * 1e4, -sign * 1e4)
        value, gradient = evaluate(name, logits.float(), masks, alpha.float())
        assert value.isfinite().all()
        assert gradient.isfinite().all()


@EITHER
def test_alpha_gives_both_sides_the_same_weight(name: Loss) -> None:
    # With alpha = 1 - area, the slopes at zero of concept and background cancel.
    _, masks, _ = problem()
    alpha = 1 - masks.double().mean((1, 2))
    _, gradients = evaluate(name, torch.zeros(masks.shape, dtype=torch.float64), masks, alpha)
    torch.testing.assert_close(gradients.sum((1, 2)), torch.zeros(len(masks)).double())


@EITHER
def test_pairs_do_not_mix(name: Loss) -> None:
    logits, masks, alpha = problem()
    values, gradients = evaluate(name, logits, masks, alpha)
    for p in range(len(logits)):
        one = slice(p, p + 1)
        value, gradient = evaluate(name, logits[one], masks[one], alpha[one])
        torch.testing.assert_close(value, values[one])
        torch.testing.assert_close(gradient, gradients[one])


@EITHER
def test_no_pairs_are_no_losses(name: Loss) -> None:
    none = torch.zeros(0, 3, 4)
    values, gradients = evaluate(name, none, none.bool(), torch.zeros(0))
    assert values.shape == (0,)
    assert gradients.shape == (0, 3, 4)
