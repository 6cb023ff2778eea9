"""The robust loss against the convex problem that it is said to solve, given to scipy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from slth.baselines import dro
from slth.baselines.objective import Moment, cross_entropy
from slth.baselines.recipe import Recipe
from slth.baselines.training import train
from slth.data import Split
from slth.errors import InputError

LOSSES = np.array([0.05, 0.3, 0.31, 1.2, 2.5, 0.9])
Vector = npt.NDArray[np.float64]
LAMS = (0.3, 1.0, 5.0, 50.0)


def kl(z: Vector) -> float:
    z = np.maximum(z, 1e-300)
    return float((z * np.log(z * len(z))).sum())


def solved(objective: Callable[[Vector], float], constraints: Sequence[Any] = ()) -> Vector:
    """argmax over the simplex by SLSQP, which knows nothing of softmax."""
    n = len(LOSSES)
    start = LOSSES + 1  # not uniform, where the ball's constraint has no slope
    start = start / start.sum()
    solver: Any = minimize  # its stubs accept no plain function
    found = solver(
        lambda z: -objective(z), start, method="SLSQP", bounds=[(1e-12, 1)] * n,
        constraints=[{"type": "eq", "fun": lambda z: z.sum() - 1}, *constraints],
        options={"ftol": 1e-12, "maxiter": 2000},
    )  # fmt: skip
    assert found.success, found.message
    best: Vector = found.x
    return best


@pytest.mark.parametrize("lam", LAMS)
def test_the_closed_form_solves_the_regularised_problem(lam: float) -> None:
    z = solved(lambda z: float(z @ LOSSES) - lam * kl(z))
    losses = torch.tensor(LOSSES)
    np.testing.assert_allclose(dro.weights(losses, lam).numpy(), z, atol=2e-5)
    assert float(dro.value(losses, lam)) == pytest.approx(float(z @ LOSSES) - lam * kl(z), abs=1e-9)
    assert float(dro.robust_loss(losses, lam)) == pytest.approx(float(z @ LOSSES), abs=1e-4)


@pytest.mark.parametrize("lam", LAMS)
def test_the_same_weights_are_the_worst_case_of_a_ball(lam: float) -> None:
    losses = torch.tensor(LOSSES)
    eta = dro.radius(losses, lam)
    assert eta == pytest.approx(kl(dro.weights(losses, lam).numpy()))
    z = solved(lambda z: float(z @ LOSSES), [{"type": "ineq", "fun": lambda z: eta - kl(z)}])
    # The optimum is quadratic in z: a value good to 1e-9 gives weights good to a few 1e-5.
    assert float(dro.robust_loss(losses, lam)) == pytest.approx(float(z @ LOSSES), abs=1e-6)
    np.testing.assert_allclose(dro.weights(losses, lam).numpy(), z, atol=2e-3)


@pytest.mark.parametrize("lam", LAMS)
def test_gradients(lam: float) -> None:
    """Held weights: the gradient of the robust problem's value, by differences of scipy's optimum. Not held: that of
    Σ softmax(ℓ/λ)·ℓ, by differences of itself."""
    losses = torch.tensor(LOSSES, requires_grad=True)
    held = torch.autograd.grad(dro.robust_loss(losses, lam), losses)[0].numpy()
    free = torch.autograd.grad(dro.robust_loss(losses, lam, detach=False), losses)[0].numpy()
    np.testing.assert_allclose(held, torch.autograd.grad(dro.value(losses, lam), losses)[0].numpy(), atol=1e-12)
    z = dro.weights(torch.tensor(LOSSES), lam).numpy()
    np.testing.assert_allclose(free, z * (1 + (LOSSES - z @ LOSSES) / lam), atol=1e-12)
    for i in range(len(LOSSES)):
        step = np.zeros(len(LOSSES))
        step[i] = 1e-3

        def optimum(at: Vector) -> float:
            z = solved(lambda z: float(z @ at) - lam * kl(z))
            return float(z @ at) - lam * kl(z)

        def plain(at: Vector) -> float:
            p = np.exp(at / lam) / np.exp(at / lam).sum()
            return float(p @ at)

        assert held[i] == pytest.approx((optimum(LOSSES + step) - optimum(LOSSES - step)) / 2e-3, abs=1e-4)
        assert free[i] == pytest.approx((plain(LOSSES + step) - plain(LOSSES - step)) / 2e-3, abs=1e-5)


def test_differentiating_the_weights_can_raise_easy_losses() -> None:
    losses = torch.tensor([0.0, 3.0], requires_grad=True)
    free = torch.autograd.grad(dro.robust_loss(losses, 1.0, detach=False), losses)[0]
    held = torch.autograd.grad(dro.robust_loss(losses, 1.0), losses)[0]
    assert float(free[0]) < 0 < float(held[0])


def test_limits() -> None:
    losses = torch.tensor(LOSSES)
    assert float(dro.robust_loss(losses, math.inf)) == float(losses.mean())
    assert float(dro.value(losses, math.inf)) == float(losses.mean())
    assert dro.weights(losses, math.inf).tolist() == [1 / 6] * 6
    assert dro.radius(losses, math.inf) == pytest.approx(0)
    assert float(dro.robust_loss(losses, 1e-4)) == pytest.approx(2.5)
    assert dro.radius(losses, 1e-4) == pytest.approx(math.log(6))
    assert float(dro.robust_loss(losses, 1e9)) == pytest.approx(float(losses.mean()))
    assert math.isfinite(float(dro.value(losses * 1e4, 1e-3)))


def test_the_focus_hardens() -> None:
    rates = [dro.focus(8.0, epoch, 4) for epoch in range(4)]
    assert rates == pytest.approx([8.0, 4 + 4 * math.sqrt(0.5), 4.0, 4 - 4 * math.sqrt(0.5)])
    assert dro.focus(math.inf, 3, 4) == math.inf
    assert dro.focus(8.0, 0, 1) == 8.0


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


@pytest.fixture(scope="module")
def blobs() -> Split:
    labels = torch.arange(60) % 3
    noise = torch.rand((60, 1, 2, 2), generator=torch.Generator().manual_seed(0))
    return Split(noise + labels[:, None, None, None] / 3, labels)


def test_no_focus_is_plain_training_to_the_bit(blobs: Split) -> None:
    a, b, c = net(), net(), net()
    recipe = Recipe(epochs=2, batch=16)
    train(a, blobs, recipe=recipe)
    train(b, blobs, recipe=recipe, objective=dro.robust(math.inf))
    train(c, blobs, recipe=recipe, objective=dro.robust(1.0))
    assert torch.equal(a.get_parameter("1.weight"), b.get_parameter("1.weight"))
    assert not torch.equal(a.get_parameter("1.weight"), c.get_parameter("1.weight"))


def test_the_objective_is_the_loss_of_its_epoch(blobs: Split) -> None:
    model = net()
    logits = model(blobs.images)
    moment = Moment(step=7, steps=16, epoch=1, epochs=4)
    each = nn.functional.cross_entropy(logits, blobs.labels, reduction="none")
    found = dro.robust(2.0).loss(model, logits, blobs.labels, moment)
    gamma = 1 + math.cos(math.pi / 4)
    assert float(found.detach()) == pytest.approx(float(((each / gamma).softmax(0) * each).sum().detach()))
    assert float(found.detach()) > float(cross_entropy(model, logits, blobs.labels, moment).detach())


def test_an_ensemble_is_the_mean_of_logits(blobs: Split) -> None:
    members = [net(), net()]
    with torch.no_grad():
        members[1].get_parameter("1.weight").neg_()
        members[1].get_parameter("1.bias").zero_()
    x = blobs.images[:5]
    expected = (members[0](x) + members[1](x)) / 2
    torch.testing.assert_close(dro.Ensemble(members)(x), expected)
    torch.testing.assert_close(dro.Ensemble(members[:1])(x), members[0](x))


def test_tickets_are_members_and_untouched(blobs: Split) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3))
    recipe = Recipe(epochs=2, batch=16)
    options: dict[str, Any] = {"density": 0.5, "recipe": recipe}
    robust = dro.tickets(model, blobs, lams=(1.0, math.inf), seeds=(0, 1), **options)
    plain = dro.tickets(model, blobs, lams=(math.inf, math.inf), seeds=(0, 1), **options)
    assert all(found.untouched and found.density == 0.5 for found in robust)
    # The same seed and λ = ∞ is the same ticket; another λ is another one of the same random weights.
    assert all(torch.equal(a, b) for a, b in zip(robust[1].masks.values(), plain[1].masks.values(), strict=True))
    assert robust[0].weights == plain[0].weights
    assert robust[0].history.epochs[-1]["loss"] != plain[0].history.epochs[-1]["loss"]
    logits = dro.Ensemble([found.module() for found in robust]).eval()(blobs.images)
    assert logits.shape == (60, 3)


def test_refusals(blobs: Split) -> None:
    wrong: list[Any] = [0.0, -1.0, float("nan"), -math.inf, "10"]
    for lam in wrong:
        with pytest.raises(InputError, match="lam must be a finite number > 0"):
            dro.robust(lam)
        with pytest.raises(InputError, match="lam must be"):
            dro.robust_loss(torch.ones(3), lam)
    with pytest.raises(InputError, match="epoch must be an integer between 0 and 3; got 4"):
        dro.focus(1.0, 4, 4)
    with pytest.raises(InputError, match="as long as each other; got 2 and 1"):
        dro.tickets(net(), blobs, density=0.5, lams=(1.0, 2.0), seeds=(0,), recipe=Recipe())
    with pytest.raises(InputError, match="one network at least"):
        dro.Ensemble([])
