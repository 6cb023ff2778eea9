"""Gem-Miner (Rare Gems): scores in [0, 1] are rounded to masks, and the lowest scores are frozen to zero step by step.

f(x; w ⊙ q ⊙ 1[p ≥ ½]) with frozen weights w, flags q and scores p. Rounding is straight through. The loss is
CE + λ‖p‖₂² over all scores; p is projected to [0, 1] after every step. After epochs T, 2T, … < E the lowest
1 − e^{−cT} of the scores with q = 1, of all layers together, get q = 0 for good.

With c = ln(1/s)/E the flags left at the end are s^{T⌊(E−1)/T⌋/E}, more than the density s aimed at. With the last
freeze in place of E, as in the authors' code, they are s, and a period of training follows. The mask found is
q ⊙ 1[p ≥ ½].

Source: sreenivasan2022
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from slth.baselines.found import Found, recalibrated_for, search
from slth.baselines.frozen import frozen_form
from slth.baselines.masks import Masks, check_density, counts, keep_top, maskable, shuffled, weights_hash
from slth.baselines.objective import Moment, Objective
from slth.baselines.randomness import mixed
from slth.baselines.recipe import Recipe
from slth.baselines.scored import Scored
from slth.data import Split
from slth.errors import InputError, check_int, check_positive
from slth.progress import Progress

# Published for ResNet-20 on CIFAR-10: λ at density 0.59 % (5e-5 at 1.4 %), and T = 5.
PUBLISHED = Recipe(epochs=150, batch=128, learning_rate=0.1, momentum=0.9, weight_decay=0.0, schedule="cosine")
PENALTY = 1e-4
PERIOD = 5
# For MNIST on a laptop, with λ as above and T = 1: 800 steps must move scores as far as 58,000 published ones. Chosen
# with one seed on 5,000 validation images, after training LeNet-5 on 10,000 for density 0.05. Tried: SGD 1, 3, 10 with
# λ = 1e-5 and 1, 3 with 1e-4, Adam 0.03 with both and 0.1 with 1e-5, eight runs.
RECIPE = Recipe(epochs=10, optimiser="adam", learning_rate=0.03)


class GemMiner(Scored):
    """A frozen network, scores p uniform on [0, 1], and flags q that tell which scores are not frozen.

    Args:
        network: in frozen form.
        seed: seed of the scores.

    Source: sreenivasan2022
    """

    def __init__(self, network: nn.Module, *, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(mixed(seed, 3))  # apart from the signs of the weights
        weights = maskable(network)
        super().__init__(network, {name: torch.rand(w.shape, generator=generator) for name, w in weights.items()})
        for name, weight in weights.items():
            self.register_buffer(_flag(name), torch.ones(weight.shape, dtype=torch.bool))

    def flags(self) -> Masks:
        """The flags q: True where a score is not frozen."""
        return {name: self.get_buffer(_flag(name)) for name in maskable(self.network)}

    def multipliers(self) -> dict[str, torch.Tensor]:
        """See :class:`slth.baselines.scored.Scored`."""
        return {name: _rounded(self.score(name), flag) for name, flag in self.flags().items()}

    def masks(self) -> Masks:
        """See :class:`slth.baselines.scored.Scored`."""
        return {name: flag & (self.score(name).detach() >= 0.5) for name, flag in self.flags().items()}

    def project(self) -> None:
        """Put every score back into [0, 1]."""
        with torch.no_grad():
            for score in self.scores.values():
                score.clamp_(0, 1)

    def freeze(self, density: float) -> None:
        """Freeze the lowest scores of all layers together until exactly max(1, round(density·N)) are not frozen."""
        kept = keep_top({name: self.score(name) for name in maskable(self.network)}, density, among=self.flags())
        for name, flag in self.flags().items():
            flag.copy_(kept[name])

    def penalty(self) -> torch.Tensor:
        """‖p‖₂² over all scores, frozen ones included."""
        return torch.stack([score.square().sum() for score in self.scores.values()]).sum()


def last_freeze(epochs: int, period: int) -> int:
    """The last epoch after which scores are frozen: the largest multiple of ``period`` below ``epochs``, or 0.

    Args:
        epochs: E, epochs of the run.
        period: T, epochs between freezes.
    """
    return period * ((epochs - 1) // period)


def flags_after(epochs: int, *, density: float, period: int, horizon: int) -> float:
    """Fraction of flags left after a number of epochs: e^{−cT⌊epochs/T⌋} with c = ln(1/s)/horizon.

    Args:
        epochs: number of finished epochs.
        density: s, reached at the horizon.
        period: T, epochs between freezes.
        horizon: number of epochs after which the fraction would be s.

    Source: sreenivasan2022
    """
    return math.exp(-math.log(1 / density) / horizon * period * (epochs // period))


def find(
    model: nn.Module,
    data: Split,
    *,
    density: float,
    recipe: Recipe,
    seed: int = 0,
    penalty: float = PENALTY,
    period: int = PERIOD,
    horizon: int | None = None,
    init: str = "signed_constant",
    validation: Split | None = None,
    checkpoint: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | Progress = False,
) -> Found:
    """Search a ticket of a random network by Gem-Miner; it is trained by :func:`slth.baselines.found.fine_tuned`.

    Args:
        model: an ordinary architecture, left unchanged; its frozen random form is searched.
        data: the training data.
        density: s, the fraction of all weights aimed at, in (0, 1]; what is found may keep fewer, and with a longer
            horizon more.
        recipe: how the scores are trained; recipe.seed controls the data order.
        seed: seed of weights and scores.
        penalty: λ > 0, the weight of the L2 penalty on the scores.
        period: T, epochs between freezes; fewer than the recipe has.
        horizon: number of epochs after which the flags would be down to s. None for the last freeze; the recipe's
            epochs give the paper's c = ln(1/s)/E.
        init: how the weights are drawn: ``signed_constant``, ``kaiming_normal``, ``kaiming_uniform``, or ``given`` for
            those of the model; see :func:`slth.baselines.frozen.frozen_form`.
        validation: monitored only; never used for selection.
        checkpoint: file to continue from; see :func:`slth.baselines.training.train`.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
        progress: who listens; True for bars.

    Returns:
        ``notes`` hold ``flags`` (fraction of scores not frozen at the end), ``penalty``, ``period`` and ``horizon``.

    Raises:
        InputError: density outside (0, 1], λ ≤ 0, T outside 1 … E − 1, or what training refuses.
        TrainingError: the loss is not finite.

    Source: sreenivasan2022
    """
    check_density(density)
    check_positive("penalty", penalty, "It is λ of λ‖p‖².")
    check_int("epochs", recipe.epochs, 2, hint="Scores are frozen between epochs.")
    check_int("period", period, 1, recipe.epochs - 1, hint="It is the number of epochs between freezes.")
    last = last_freeze(recipe.epochs, period)
    horizon = check_int("horizon", last if horizon is None else horizon, last, hint="Flags never fall below density.")
    scored = GemMiner(frozen_form(model, seed=seed, init=init), seed=seed)

    def loss(model: nn.Module, logits: torch.Tensor, labels: torch.Tensor, moment: Moment) -> torch.Tensor:
        return functional.cross_entropy(logits, labels) + penalty * scored.penalty()

    def after_epoch(model: nn.Module, moment: Moment) -> None:
        done = moment.epoch + 1
        if done % period == 0 and done <= last:
            scored.freeze(flags_after(done, density=density, period=period, horizon=horizon))

    objective = Objective(loss=loss, after_step=lambda model, moment: scored.project(), after_epoch=after_epoch)

    def notes(masks: Masks) -> Mapping[str, Any]:
        pairs = counts(scored.flags()).values()
        alive = sum(kept for kept, _ in pairs) / sum(total for _, total in pairs)
        return {"flags": alive, "penalty": penalty, "period": period, "horizon": horizon}

    return search(
        "gem-miner", scored, data, asked=density, recipe=recipe, objective=objective, validation=validation,
        checkpoint=checkpoint, device=device, progress=progress, notes=notes,
    )  # fmt: skip


def sanity_checks(
    found: Found, model: nn.Module, data: Split, *, seed: int, init: str = "signed_constant"
) -> dict[str, Found]:
    """Make the controls that a ticket must beat: its mask shuffled within layers, and its mask on new random weights.

    A mask that carries no more information than how many weights each layer keeps loses nothing by either. BatchNorm is
    recalibrated for both. (The third check, random tickets with smart ratios, is a method of its own:
    :mod:`slth.baselines.smart`.)

    Args:
        found: the ticket, in frozen form.
        model: the architecture it was found for.
        data: the training data.
        seed: seed of the shuffle and of the new weights; it must differ from the seed of the search.
        init: how the new weights are drawn; see :func:`slth.baselines.frozen.frozen_form`.

    Returns:
        ``shuffled`` and ``redrawn``.

    Raises:
        InputError: the seed draws the weights of the ticket itself.

    Source: sreenivasan2022
    """
    redrawn, moved = frozen_form(model, seed=seed, init=init), shuffled(found.masks, mixed(seed, 4))
    if _same_weights(redrawn, found.network):
        raise InputError(f"seed {seed} draws the weights of the ticket itself. Choose another seed.")
    return {
        "shuffled": replace(
            found, method=f"{found.method}, shuffled", masks=moved,
            network=recalibrated_for(found.network, moved, data.images),
        ),
        "redrawn": replace(
            found, method=f"{found.method}, redrawn", network=recalibrated_for(redrawn, found.masks, data.images),
            weights=(weights_hash(redrawn),) * 2,
        ),
    }  # fmt: skip


def _same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks of one architecture have the same weights."""
    return all(torch.equal(a, b) for a, b in zip(maskable(one).values(), maskable(other).values(), strict=True))


def _flag(name: str) -> str:
    return "flag:" + name.replace(".", "/")


class _Rounded(torch.autograd.Function):
    """q·1[p ≥ ½]; where q = 1 the gradient passes unchanged."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, flag: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(flag)
        return ((scores >= 0.5) & flag).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (flag,) = ctx.saved_tensors
        return gradient * flag, None


# torch gives apply no types.
_rounded: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = _Rounded.apply
