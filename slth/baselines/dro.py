r"""Distributionally robust tickets, and ensembles whose members differ in how much weight they give to hard examples.

For losses ℓ of N examples and λ > 0 the regularised robust problem and its solution are

.. math:: \max_{z \in \Delta} \; z^\top \ell - \lambda \, \mathrm{KL}(z \| \tfrac1N \mathbf 1)
          \;=\; \lambda \ln \tfrac1N \textstyle\sum_n e^{\ell_n/\lambda}
          \qquad \text{at} \quad z_n \propto e^{\ell_n/\lambda}.

The same z maximises z·ℓ over the ball KL(z‖1/N) ≤ η, with η the divergence of z: λ is the multiplier of the ball. As
λ → ∞ the robust loss becomes the mean loss (ERM), and as λ → 0 the largest loss.

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
from slth.baselines.objective import Moment, Objective
from slth.baselines.recipe import Recipe
from slth.data import Split
from slth.errors import InputError, check_int, check_positive
from slth.progress import Progress, listening

# Published for CIFAR-10 at densities 0.03 to 0.05; momentum is our assumption.
PUBLISHED = Recipe(epochs=200, batch=128, learning_rate=0.1, weight_decay=1e-4)
LAMS = (10.0, 500.0, math.inf)
# For LeNet-5 on 5,000 images of MNIST, density 0.1 with ``scale_fan``. Tried with one seed on 5,000 validation images:
# ``scale_fan`` off and on (on was taken: without it logits are so small that the expected calibration error is 0.3),
# densities 0.1 and 0.3, λ = 1, 10, ∞ (also 500 without ``scale_fan``), weights of the loss held constant and
# differentiated, 2,000 images for 20 epochs and 1,000 for 40. The published λ were kept: with ``scale_fan`` no other
# that was tried was better calibrated than ∞.
RECIPE = Recipe(epochs=6, batch=64, learning_rate=0.1, weight_decay=1e-4)


def check_lambda(lam: float) -> float:
    """Return λ if it is a number > 0 or infinity; raise :class:`InputError` otherwise."""
    hint = "A smaller λ gives more weight to hard examples; math.inf is plain training."
    return math.inf if lam == math.inf else check_positive("lam", lam, hint)


def weights(losses: torch.Tensor, lam: float) -> torch.Tensor:
    """The maximiser z = softmax(ℓ/λ) of the robust problem; 1/N for λ = ∞.

    Args:
        losses: ℓ, (N,).
        lam: λ > 0, or infinity.

    Returns:
        z, (N,).
    """
    if check_lambda(lam) == math.inf:
        return torch.full_like(losses, 1 / len(losses))
    return (losses / lam).softmax(dim=0)


def value(losses: torch.Tensor, lam: float) -> torch.Tensor:
    """The maximum λ·ln(mean(exp(ℓ/λ))) of the robust problem; the mean for λ = ∞.

    Its gradient with respect to the losses is :func:`weights`.

    Args:
        losses: ℓ, (N,).
        lam: λ > 0, or infinity.

    Returns:
        A scalar tensor.
    """
    if check_lambda(lam) == math.inf:
        return losses.mean()
    return lam * ((losses / lam).logsumexp(dim=0) - math.log(len(losses)))


def radius(losses: torch.Tensor, lam: float) -> float:
    """η = KL(z‖1/N) of the maximiser, in nats: z is the worst case over the ball of this radius.

    Args:
        losses: ℓ, (N,).
        lam: λ > 0, or infinity.
    """
    z = weights(losses.double(), lam)
    return float((torch.special.xlogy(z, z)).sum() + math.log(len(z)))


def robust_loss(losses: torch.Tensor, lam: float, *, detach: bool = True) -> torch.Tensor:
    r"""The expected loss Σ z_n ℓ_n of the worst case z = softmax(ℓ/λ); exactly the mean for λ = ∞.

    Args:
        losses: ℓ of a batch, (N,).
        lam: λ > 0, or infinity.
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
    """γ_e = ½·(1 + cos(πe/E))·λ: it falls from λ towards 0, so the loss looks at harder examples as training goes on.

    Args:
        lam: λ > 0; infinity stays infinity.
        epoch: e, 0 ≤ e < E.
        epochs: E.
    """
    check_int("epoch", epoch, 0, epochs - 1)
    return check_lambda(lam) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def robust(lam: float, *, detach: bool = True) -> Objective:
    """An objective for any method that takes one: the robust loss of each batch at γ_e.

    Args:
        lam: λ > 0, or infinity.
        detach: whether the weights of the loss are held constant; see :func:`robust_loss`.

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
    """A network whose outputs are the mean of its members' **logits** (softmax comes after).

    Args:
        members: at least one network, all with the same inputs and outputs.

    Raises:
        InputError: no member.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise InputError("members must hold one network at least; got none.")
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mean logits (B, C) of the members."""
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
    """Search one edge-popup ticket for each pair (λ, seed): the members of an :class:`Ensemble`.

    A robust ensemble has different λ. The plain ensemble that it is compared with has as many members, λ = ∞ throughout
    and the same seeds.

    Args:
        model: an ordinary architecture, left unchanged; its frozen random form is searched.
        data: the training data.
        density: fraction of the weights of every layer to keep, in (0, 1].
        lams: λ of each ticket.
        seeds: seed of each ticket's weights, scores and data order; as many as ``lams``.
        recipe: how the scores are trained; its seed is replaced.
        detach: whether the weights of the loss are held constant; see :func:`robust_loss`.
        init: how the weights are drawn; see :func:`slth.baselines.frozen.frozen_form`.
        scale_fan: whether the weights are drawn larger by 1/√density, to make up for those removed; see
            :func:`slth.baselines.frozen.frozen_form`.
        folder: folder for one checkpoint for each ticket; None for none.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
        progress: who listens; True for bars.

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
