"""Stochastic Gaussian gates on frozen weights: one gate for each weight, each filter or each input channel.

In training z = clip(μ + σε, 0, 1) with ε ~ N(0, 1); in evaluation z = clip(μ, 0, 1). The loss is

    CE + λ · Σ_g n_g Φ(μ_g/σ) / N,        n_g of N weights behind gate g,

whose second term is the expected fraction of weights behind open gates. The gradient is that of the clipped sum; there
is no straight-through estimator. The ticket is the *boolean* mask μ > 0 on the weights as they were drawn, not the
network of soft gates; BatchNorm is recalibrated for it on training inputs. Its density is an outcome of λ. λ is given,
or it is adjusted during training by the density reached so far, without any held-out label.

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

from slth.baselines.found import Found, search
from slth.baselines.frozen import frozen_form
from slth.baselines.masks import Masks, check_density, density_of, maskable
from slth.baselines.objective import Moment, Objective
from slth.baselines.recipe import Recipe
from slth.baselines.scored import Scored
from slth.baselines.synflow import connected
from slth.data import Split
from slth.errors import InputError, check_choice, check_positive
from slth.progress import Progress

# For MNIST on a laptop. Chosen with one seed on 5,000 validation images, after training LeNet-5 on 10,000. Tried: Adam
# 0.01, 0.03, 0.1 with constant λ = 0.1, 1, 10 (seven runs), then with λ adjusted by LAMBDA_GAIN = 10 and 100 (five
# runs), and all three structures after training on 5,000 images (six runs).
RECIPE = Recipe(epochs=8, optimiser="adam", learning_rate=0.03)

GATED_UNITS = ("weight", "filter", "channel")
# As in the paper of Gaussian gates: μ = σ = ½ at first, so a sixth of the gates are shut and a sixth are wide open.
SIGMA = 0.5
MU_INIT = 0.5
LAMBDA_INIT = 0.1
# Where λ is adjusted, the wanted density falls to the one asked for during this fraction of the run, and
# λ = LAMBDA_GAIN·max(0, log(density/wanted))/wanted.
RAMP_FRACTION = 0.7
LAMBDA_GAIN = 100.0


class Gated(Scored):
    """A frozen network and its gates.

    Args:
        network: in frozen form.
        structure: ``weight`` has one gate for each weight. ``filter`` gates the outputs of every layer but the last,
            because classes are not removed; a gate multiplies the output of the layer's BatchNorm where it has one
            (before it, normalisation would cancel the gate and its gradient). ``channel`` gates the inputs of every
            layer but the first, because pixels are not removed.
        sigma: σ > 0, standard deviation of the noise.
        mu_init: initial μ.
        penalty: initial λ > 0.

    Source: yamada2020
    """

    strength: torch.Tensor

    def __init__(
        self, network: nn.Module, *, structure: str = "weight", sigma: float = SIGMA, mu_init: float = MU_INIT,
        penalty: float = LAMBDA_INIT,
    ) -> None:  # fmt: skip
        shapes = gate_shapes(network, structure)
        super().__init__(network, {name: torch.full(shape, float(mu_init)) for name, shape in shapes.items()})
        self.sigma = check_positive("sigma", sigma, "It is the standard deviation of a gate's noise.")
        self.gated = tuple(shapes)
        self.norms = _norms_behind(network) if structure == "filter" else {}
        # A buffer, so that a checkpoint holds it.
        self.register_buffer("strength", torch.tensor(check_positive("penalty", penalty, "It is λ, of open gates.")))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (B, C) of the gated network."""
        weights = maskable(self.network)
        effective = {
            f"{self.norms[name]}.weight" if name in self.norms else name:
            z.flatten() if name in self.norms else weights[name] * z
            for name, z in self.multipliers().items()
        }  # fmt: skip
        outputs: torch.Tensor = functional_call(self.network, effective, (x,))
        return outputs

    def multipliers(self) -> dict[str, torch.Tensor]:
        """The gates z of every gated weight, in a shape that broadcasts to the weight."""
        means = {name: self.score(name) for name in self.gated}
        if not self.training:
            return {name: mean.clamp(0, 1) for name, mean in means.items()}
        return {name: (mean + self.sigma * torch.randn_like(mean)).clamp(0, 1) for name, mean in means.items()}

    def masks(self) -> Masks:
        """See :class:`slth.baselines.scored.Scored`."""
        masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in maskable(self.network).items()}
        return {name: mask & (self.score(name) > 0) if name in self.gated else mask for name, mask in masks.items()}

    def penalty(self) -> torch.Tensor:
        """Σ_g n_g Φ(μ_g/σ)/N, the expected fraction of weights behind open gates."""
        sizes = {name: weight.numel() for name, weight in maskable(self.network).items()}
        open_ = [_normal_cdf(self.score(name) / self.sigma).mean() * sizes[name] for name in self.gated]
        return torch.stack(open_).sum() / sum(sizes.values())

    def steer(self, wanted: float) -> None:
        """Set λ by how much denser the masks are than ``wanted``; to 0 if they are not denser."""
        excess = math.log(max(density_of(self.masks()), wanted) / wanted)
        self.strength.fill_(LAMBDA_GAIN * excess / wanted)


def gate_shapes(network: nn.Module, structure: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the gates of each gated weight (out, in, …): the weight's shape, (out, 1, …) or (1, in, …).

    Args:
        network: in frozen form.
        structure: ``weight``, ``filter`` or ``channel``; see :class:`Gated`.

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
    """Search a strong ticket of a random network by stochastic gates.

    Args:
        model: an ordinary architecture, left unchanged; its frozen random form is searched.
        data: the training data.
        density: fraction of all weights to keep, in (0, 1]; what is found comes near it.
        recipe: how the gates are trained; recipe.seed controls the data order and the noise.
        seed: seed of the weights.
        structure: ``weight``, ``filter`` or ``channel``; see :class:`Gated`.
        penalty: λ > 0, held constant: the density follows from it. None adjusts λ towards ``density``.
        sigma: σ > 0, standard deviation of the noise.
        init: how the weights are drawn: ``signed_constant``, ``kaiming_normal``, ``kaiming_uniform``, or ``given`` for
            those of the model; see :func:`slth.baselines.frozen.frozen_form`.
        validation: monitored only; never used for selection. The accuracy is that of the soft gates.
        checkpoint: file to continue from; see :func:`slth.baselines.training.train`.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
        progress: who listens; True for bars.

    Returns:
        ``notes`` hold ``structure``, ``sigma``, ``steered`` (whether λ was adjusted), ``penalty`` (λ at the end) and
        ``connected`` (the density without weights that lie on no path from input to output, see
        :func:`slth.baselines.synflow.connected`).

    Raises:
        InputError: density outside (0, 1], λ ≤ 0, σ ≤ 0, or what training refuses.
        TrainingError: the loss is not finite.

    Source: tsayag2026
    """
    check_density(density)
    scored = Gated(
        frozen_form(model, seed=seed, init=init), structure=structure, sigma=sigma,
        penalty=LAMBDA_INIT if penalty is None else penalty,
    )  # fmt: skip

    def loss(model: nn.Module, logits: torch.Tensor, labels: torch.Tensor, moment: Moment) -> torch.Tensor:
        return functional.cross_entropy(logits, labels) + scored.strength * scored.penalty()

    def after_step(model: nn.Module, moment: Moment) -> None:
        if penalty is None:
            scored.steer(density ** min(1.0, (moment.step + 1) / (RAMP_FRACTION * moment.steps)))

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
    """Weight → the BatchNorm that follows its layer, where one does: in these models it is the next module."""
    modules = [(name, module) for name, module in network.named_modules() if not list(module.children())]
    return {
        f"{name}.weight": after
        for (name, _), (after, norm) in pairwise(modules)
        if f"{name}.weight" in maskable(network) and isinstance(norm, nn.modules.batchnorm._BatchNorm)
    }


def _normal_cdf(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * torch.erfc(-x / math.sqrt(2))
