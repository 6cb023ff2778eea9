r"""Distributionally robust tickets, and ensembles of them: members that differ in how hard they look at hard examples.

For losses ℓ of N examples and λ > 0 the regularised robust problem and its solution are

.. math:: \max_{z \in \Delta} \; z^\top \ell - \lambda \, \mathrm{KL}(z \| \tfrac1N \mathbf 1)
          \;=\; \lambda \ln \tfrac1N \textstyle\sum_n e^{\ell_n/\lambda}
          \qquad \text{at} \quad z_n \propto e^{\ell_n/\lambda}.

The same z maximises z·ℓ alone over the ball KL(z‖1/N) ≤ η, with η the divergence of z: λ is the multiplier of the
ball. λ → ∞ is the mean loss (ERM), λ → 0 the largest one.

Source: sapkota2023
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from slth.baselines import edge_popup
from slth.baselines.found import Found
from slth.baselines.recipe import Recipe
from slth.baselines.training import Moment, Objective
from slth.data import Split
from slth.errors import InputError, check_int, check_positive
from slth.progress import Progress, listening

# As published for CIFAR-10, density 0.03 to 0.05; momentum is our assumption.
PUBLISHED = Recipe(epochs=200, batch=128, learning_rate=0.1, weight_decay=1e-4)
LAMS = (10.0, 500.0, math.inf)
# For LeNet-5 on 5,000 images of MNIST, density 0.1 with ``scale_fan``. Tried, on 5,000 validation images and one seed:
# ``scale_fan`` off and on (off, logits are so small that the expected calibration error is 0.3; taken: on), densities
# 0.1 and 0.3, λ = 1, 10, ∞ (500 too with it off), weights of the loss held and free, 2,000 images for 20 epochs and
# 1,000 for 40. λ are the published ones: with ``scale_fan`` none that was tried was better calibrated than ∞.
RECIPE = Recipe(epochs=6, batch=64, learning_rate=0.1, weight_decay=1e-4)


def check_lambda(lam: float) -> float:
    """Return λ if it is a number > 0 or infinity; raise :class:`InputError` otherwise."""
    hint = "It is how far from the hardest example the focus is; math.inf is plain training."
    return math.inf if lam == math.inf else check_positive("lam", lam, hint)


def weights(losses: torch.Tensor, lam: float) -> torch.Tensor:
    """The maximiser z = softmax(ℓ/λ) of the robust problem, (N,); 1/N for λ = ∞."""
    if check_lambda(lam) == math.inf:
        return torch.full_like(losses, 1 / len(losses))
    return (losses / lam).softmax(dim=0)


def value(losses: torch.Tensor, lam: float) -> torch.Tensor:
    """The maximum λ·ln(mean(exp(ℓ/λ))) of the robust problem, a scalar; the mean for λ = ∞. Its gradient in the
    losses is :func:`weights`."""
    if check_lambda(lam) == math.inf:
        return losses.mean()
    return lam * ((losses / lam).logsumexp(dim=0) - math.log(len(losses)))


def radius(losses: torch.Tensor, lam: float) -> float:
    """η = KL(z‖1/N) of the maximiser, in nats: the ball over which it is the worst case."""
    z = weights(losses.double(), lam)
    return float((torch.special.xlogy(z, z)).sum() + math.log(len(z)))


def robust_loss(losses: torch.Tensor, lam: float, *, detach: bool = True) -> torch.Tensor:
    r"""Σ z_n ℓ_n with z = softmax(ℓ/λ): the worst case's expected loss; exactly the mean for λ = ∞.

    Args:
        losses: of a batch, (N,). lam: λ > 0, or infinity.
        detach: True: z is held constant, and the gradient Σ z_n ∇ℓ_n is that of the robust problem, regularised or
            over the ball alike (Danskin). False: z is differentiated too, as the authors' code does, and the
            gradient is :math:`\sum z_n (1 + (\ell_n - L)/\lambda) \nabla \ell_n` with L the loss: descent then
            *raises* the losses below L − λ, which no ambiguity set asks for.

    Raises:
        InputError: λ that is not above 0.

    Source: sapkota2023
    """
    if check_lambda(lam) == math.inf:
        return losses.mean()
    z = weights(losses, lam)
    return ((z.detach() if detach else z) * losses).sum()


def focus(lam: float, epoch: int, epochs: int) -> float:
    """γ_e = ½·(1 + cos(πe/E))·λ for epoch 0 ≤ e < E: from λ towards 0, harder as training goes on; ∞ stays ∞."""
    check_int("epoch", epoch, 0, epochs - 1)
    return check_lambda(lam) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def robust(lam: float, *, detach: bool = True) -> Objective:
    """Training with the robust loss of each batch at γ_e: for any method that takes an objective.

    Raises:
        InputError: λ that is not above 0.

    Source: sapkota2023
    """
    check_lambda(lam)

    def loss(model: nn.Module, logits: torch.Tensor, labels: torch.Tensor, moment: Moment) -> torch.Tensor:
        each = functional.cross_entropy(logits, labels, reduction="none")
        return robust_loss(each, focus(lam, moment.epoch, moment.epochs), detach=detach)

    return Objective(loss=loss)


class Ensemble(nn.Module):
    """Mean of the members' **logits** (softmax comes after): one network to everything that takes one."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise InputError("members must hold one network at least; got none.")
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([member(x) for member in self.members]).mean(dim=0)


def tickets(
    model: nn.Module,
    data: Split,
    *,
    density: float,
    lams: Sequence[float],
    seeds: Sequence[int],
    recipe: Recipe,
    detach: bool = True,
    init: str = "signed_constant",
    scale_fan: bool = False,
    folder: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | Progress = False,
) -> list[Found]:
    """edge-popup tickets, one for each (λ, seed): the members of an :class:`Ensemble`, and its single rivals.

    A robust ensemble has different λ; a plain one of the same size, which it is compared with, has λ = ∞ throughout
    and the same seeds. The seed draws weights, scores and the order of the data.

    Args:
        lams, seeds: as long as each other. detach: see :func:`robust_loss`. folder: for one checkpoint a member.
            Everything else as in :func:`slth.baselines.edge_popup.find`.

    Raises:
        InputError: λ that is not above 0, or sequences that differ in length.

    Source: sapkota2023
    """
    if len(lams) != len(seeds):
        raise InputError(f"lams and seeds must be as long as each other; got {len(lams)} and {len(seeds)}.")
    objectives = [robust(lam, detach=detach) for lam in lams]
    listener = listening(progress)
    return [
        edge_popup.find(
            model, data, density=density, recipe=replace(recipe, seed=seed), seed=seed, init=init, scale_fan=scale_fan,
            objective=objective, checkpoint=None if folder is None else folder / f"member-{i}.pt", device=device,
            progress=listener,
        )
        for i, (objective, seed) in enumerate(zip(objectives, seeds, strict=True))
    ]  # fmt: skip
