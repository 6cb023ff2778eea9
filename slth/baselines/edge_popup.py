"""edge-popup: every frozen weight has a score, and the weights of the largest scores of each layer are kept.

f(x; w ⊙ m(s)) with m_l(s) = 1 on the round(density·N_l) largest |s_l| of layer l. The gradient is straight through:
∂m/∂|s| := 1 for kept and removed weights alike.

Source: ramanujan2020
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slth.baselines.found import Found, search
from slth.baselines.frozen import frozen_form
from slth.baselines.masks import Masks, check_density, largest, maskable
from slth.baselines.objective import Objective
from slth.baselines.randomness import mixed
from slth.baselines.recipe import Recipe
from slth.baselines.scored import Scored
from slth.data import Split
from slth.progress import Progress

# Weight decay acts on the scores. Published for 100 epochs of CIFAR-10.
PUBLISHED = Recipe(epochs=100, batch=128, learning_rate=0.1, momentum=0.9, weight_decay=1e-4, schedule="cosine")

# For MNIST on a laptop, where few steps must move scores far. Chosen with one seed on 5,000 validation images, after
# training LeNet-5 on 10,000. Tried at density 0.5 (5 epochs): SGD 0.1, 0.3, 1, 3, 10, 30 and Adam 0.001, 0.01; SGD from
# 1 on lay within 0.2 points. Tried at 0.05 (10 epochs): SGD 1, 3, 10, 30, 100 and Adam 0.03, 0.1, eleven runs. The last
# four were repeated after a change of the random numbers; SGD 3 was best (0.94; another seed: 0.85).
RECIPE = Recipe(epochs=5, learning_rate=3.0)


class EdgePopup(Scored):
    """A frozen network and its scores, kaiming_uniform(a = √5), so uniform on ±1/√fan_in.

    Args:
        network: in frozen form.
        density: fraction of the weights of every layer to keep, in (0, 1].
        seed: seed of the scores.

    Source: ramanujan2020
    """

    def __init__(self, network: nn.Module, *, density: float, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(mixed(seed, 3))
        super().__init__(
            network,
            {
                name: nn.init.kaiming_uniform_(torch.empty(weight.shape), a=math.sqrt(5), generator=generator)
                for name, weight in maskable(network).items()
            },
        )
        self.density = check_density(density)

    def multipliers(self) -> dict[str, torch.Tensor]:
        """See :class:`slth.baselines.scored.Scored`."""
        return {name: _top_fraction(self.score(name), self.density) for name in maskable(self.network)}

    def masks(self) -> Masks:
        """See :class:`slth.baselines.scored.Scored`."""
        return {name: _top_mask(self.score(name).detach(), self.density) for name in maskable(self.network)}


def find(
    model: nn.Module,
    data: Split,
    *,
    density: float,
    recipe: Recipe,
    seed: int = 0,
    init: str = "signed_constant",
    scale_fan: bool = False,
    objective: Objective | None = None,
    validation: Split | None = None,
    checkpoint: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | Progress = False,
) -> Found:
    """Search a strong ticket of a random network by edge-popup.

    Args:
        model: an ordinary architecture, left unchanged; its frozen random form is searched.
        data: the training data.
        density: fraction of the weights of every layer to keep, in (0, 1].
        recipe: how the scores are trained; recipe.seed controls the data order.
        seed: seed of weights and scores.
        init: how the weights are drawn: ``signed_constant``, ``kaiming_normal``, ``kaiming_uniform``, or ``given`` for
            those of the model; see :func:`slth.baselines.frozen.frozen_form`.
        scale_fan: whether the weights are drawn larger by 1/√density, to make up for those removed; see
            :func:`slth.baselines.frozen.frozen_form`.
        objective: what is minimised; None for plain cross-entropy.
        validation: monitored only; never used for selection.
        checkpoint: file to continue from; see :func:`slth.baselines.training.train`.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
        progress: who listens; True for bars.

    Raises:
        InputError: density outside (0, 1], or what training refuses.
        TrainingError: the loss is not finite.

    Source: ramanujan2020
    """
    network = frozen_form(model, seed=seed, init=init, density=check_density(density) if scale_fan else None)
    scored = EdgePopup(network, density=density, seed=seed)
    return search(
        "edge-popup", scored, data, asked=density, recipe=recipe, objective=objective, validation=validation,
        checkpoint=checkpoint, device=device, progress=progress,
    )  # fmt: skip


def _top_mask(scores: torch.Tensor, density: float) -> torch.Tensor:
    count = max(1, round(density * scores.numel()))
    return largest(scores.abs().reshape(-1), count).reshape(scores.shape)


class _TopFraction(torch.autograd.Function):
    """1 on the largest |s|, 0 elsewhere; the gradient passes to |s| unchanged."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, density: float) -> torch.Tensor:
        ctx.save_for_backward(scores)
        return _top_mask(scores, density).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (scores,) = ctx.saved_tensors
        return gradient * scores.sign(), None


# torch gives apply no types.
_top_fraction: Callable[[torch.Tensor, float], torch.Tensor] = _TopFraction.apply
