r"""Stochastic Gaussian gates on frozen weights: of single weights, of filters, or of input channels.

z = clip(μ + σε, 0, 1), ε ~ N(0, 1), one gate a weight or one for a whole group, in evaluation z = clip(μ, 0, 1); loss

    CE + λ · Σ_g n_g Φ(μ_g/σ) / N,        n_g of N weights behind gate g,

whose second term is the expected fraction of weights behind open gates. The gradient is that of the clipped sum: no
straight-through estimator. The ticket is the *boolean* mask μ > 0 on the weights as they were drawn, not the network
of soft gates; BatchNorm is recalibrated for it on training inputs. Its density is an outcome of λ, which is given, or
steered in training by the density reached so far: by nothing that has seen a label it should not.

Source: tsayag2026
Source: yamada2020
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from slth.baselines.at_init import connected
from slth.baselines.found import Found, search
from slth.baselines.frozen import frozen_form
from slth.baselines.masks import Masks, check_density, density_of, maskable
from slth.baselines.recipe import Recipe
from slth.baselines.scored import Scored
from slth.baselines.training import Moment, Objective
from slth.data import Split
from slth.errors import InputError, check_choice, check_positive
from slth.progress import Progress

# For MNIST on a laptop. Chosen on 5,000 validation images after training LeNet-5 on 10,000: Adam 0.01, 0.03, 0.1 with
# λ = 0.1, 1, 10 held (seven runs), then steered with PUSH = 10 and 100 (five runs), and on 5,000 images all three
# structures (six runs), all of one seed.
RECIPE = Recipe(epochs=8, optimiser="adam", learning_rate=0.03)

GATED_UNITS = ("weight", "filter", "channel")
# As in the paper of Gaussian gates: μ = σ = ½ at first, so that a sixth of the gates are shut and a sixth wide open.
SIGMA = 0.5
START = 0.5
# λ at first, and where it is steered: the part of the run in which the density sinks to the one asked for, and how
# hard it is pushed, λ = PUSH·max(0, log(density/wanted))/wanted.
FIRST = 0.1
SINKING = 0.7
PUSH = 100.0


class Gated(Scored):
    """A frozen network and its gates.

    Args:
        network: in frozen form. structure: ``weight``; ``filter`` gates the outputs of every layer but the last
            (classes are not removed), behind its BatchNorm where it has one: before it a factor would be normalised
            away, and its gradient with it; ``channel`` gates the inputs of every layer but the first (pixels are not
            removed). sigma: σ > 0, of the noise. start: μ at first. penalty: λ > 0 at first.

    Source: yamada2020
    """

    strength: torch.Tensor

    def __init__(
        self, network: nn.Module, *, structure: str = "weight", sigma: float = SIGMA, start: float = START,
        penalty: float = FIRST,
    ) -> None:  # fmt: skip
        shapes = gate_shapes(network, structure)
        super().__init__(network, {name: torch.full(shape, float(start)) for name, shape in shapes.items()})
        self.sigma = check_positive("sigma", sigma, "It is the standard deviation of a gate's noise.")
        self.gated = tuple(shapes)
        self.norms = _norms_behind(network) if structure == "filter" else {}
        # A buffer, so that a checkpoint holds it.
        self.register_buffer("strength", torch.tensor(check_positive("penalty", penalty, "It is λ, of open gates.")))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = maskable(self.network)
        effective = {
            f"{self.norms[name]}.weight" if name in self.norms else name:
            z.flatten() if name in self.norms else weights[name] * z
            for name, z in self.multipliers().items()
        }  # fmt: skip
        return functional_call(self.network, effective, (x,))

    def multipliers(self) -> dict[str, torch.Tensor]:
        """z of every gated weight, of a shape that broadcasts to it."""
        means = {name: self.score(name) for name in self.gated}
        if not self.training:
            return {name: mean.clamp(0, 1) for name, mean in means.items()}
        return {name: (mean + self.sigma * torch.randn_like(mean)).clamp(0, 1) for name, mean in means.items()}

    def masks(self) -> Masks:
        masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in maskable(self.network).items()}
        return {name: mask & (self.score(name) > 0) if name in self.gated else mask for name, mask in masks.items()}

    def penalty(self) -> torch.Tensor:
        """Σ_g n_g Φ(μ_g/σ)/N, the expected fraction of weights behind open gates."""
        sizes = {name: weight.numel() for name, weight in maskable(self.network).items()}
        open_ = [_normal_cdf(self.score(name) / self.sigma).mean() * sizes[name] for name in self.gated]
        return torch.stack(open_).sum() / sum(sizes.values())

    def steer(self, wanted: float) -> None:
        """Set λ by how much denser the masks are than ``wanted``; to 0 where they are not."""
        excess = math.log(max(density_of(self.masks()), wanted) / wanted)
        self.strength.fill_(PUSH * excess / wanted)


def gate_shapes(network: nn.Module, structure: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the gates of each gated weight (out, in, …): its own, (out, 1, …) or (1, in, …).

    Raises:
        InputError: unknown structure, a network of one layer where filters or channels are gated, or channels of
            grouped convolutions.
    """
    check_choice("structure", structure, GATED_UNITS)
    weights = {name: tuple(weight.shape) for name, weight in maskable(network).items()}
    if structure == "weight":
        return weights
    names = list(weights)[:-1] if structure == "filter" else list(weights)[1:]
    if not names:
        raise InputError(f"{structure} gates need a network of two layers at least; got one. Gate weights instead.")
    grouped = [name for name in names if getattr(network.get_submodule(name.rpartition(".")[0]), "groups", 1) > 1]
    if grouped and structure == "channel":
        raise InputError(f"channel gates need ungrouped convolutions; got {', '.join(grouped)}. Gate filters instead.")
    axis = 0 if structure == "filter" else 1
    return {name: tuple(side if i == axis else 1 for i, side in enumerate(weights[name])) for name in names}


def find(
    model: nn.Module,
    data: Split,
    *,
    density: float,
    recipe: Recipe,
    seed: int = 0,
    structure: str = "weight",
    penalty: float | None = None,
    sigma: float = SIGMA,
    init: str = "signed_constant",
    validation: Split | None = None,
    checkpoint: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | Progress = False,
) -> Found:
    """A strong ticket of a random network by stochastic gates.

    Args:
        model: an ordinary architecture, left as it is; its frozen random form is searched. data: of training.
        density: asked for; steering comes near it. recipe: of the gates. seed: of the weights; the recipe's is of
            data and noise. structure: ``weight``, ``filter`` or ``channel``, see :class:`Gated`.
        penalty: λ > 0, held throughout, and the density is what comes of it; None to steer λ towards ``density``.
        sigma: σ > 0. init: of the weights. validation: of the network of soft gates;
            decides nothing. checkpoint, device, progress: see :func:`slth.baselines.training.train`.

    Returns:
        Notes: ``structure``, ``sigma``, ``steered``, ``penalty`` (λ at the end), ``connected`` (the density without
        weights that no path from input to output uses, see :func:`slth.baselines.at_init.connected`).

    Raises:
        InputError: density outside (0, 1], λ ≤ 0, σ ≤ 0, or what training refuses. TrainingError: the loss is not
            finite.

    Source: tsayag2026
    """
    check_density(density)
    scored = Gated(
        frozen_form(model, seed=seed, init=init), structure=structure, sigma=sigma,
        penalty=FIRST if penalty is None else penalty,
    )  # fmt: skip

    def loss(model: nn.Module, logits: torch.Tensor, labels: torch.Tensor, moment: Moment) -> torch.Tensor:
        return functional.cross_entropy(logits, labels) + scored.strength * scored.penalty()

    def after_step(model: nn.Module, moment: Moment) -> None:
        if penalty is None:
            scored.steer(density ** min(1.0, (moment.step + 1) / (SINKING * moment.steps)))

    def notes(masks: Masks) -> Mapping[str, Any]:
        useful = connected(scored.network, tuple(data.images.shape[1:]), masks)
        return {
            "structure": structure, "sigma": sigma, "steered": penalty is None, "penalty": float(scored.strength),
            "connected": density_of(useful),
        }  # fmt: skip

    return search(
        f"gates of {structure}s", scored, data, asked=density, recipe=recipe,
        objective=Objective(loss=loss, after_step=after_step), validation=validation, checkpoint=checkpoint,
        device=device, progress=progress, notes=notes,
    )  # fmt: skip


def _norms_behind(network: nn.Module) -> dict[str, str]:
    """Weight → the BatchNorm that follows its layer, where one does: in these models the next module is it."""
    modules = [(name, module) for name, module in network.named_modules() if not list(module.children())]
    return {
        f"{name}.weight": after
        for (name, _), (after, norm) in pairwise(modules)
        if f"{name}.weight" in maskable(network) and isinstance(norm, nn.modules.batchnorm._BatchNorm)
    }


def _normal_cdf(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * torch.erfc(-x / math.sqrt(2))
