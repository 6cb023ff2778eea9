"""Linear mode connectivity: whether two networks trained from one start lie in one valley of the loss.

Two *children* of a start differ in nothing but the order of the data. If the error does not rise on the straight line
between them, noise no longer decides which valley a run from this start ends in. Iterative magnitude pruning has been
seen to work from such starts.

Source: frankle2020
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from slth.baselines.calibration import check_labels
from slth.baselines.found import recalibrated
from slth.baselines.recipe import Recipe
from slth.baselines.training import logits_of, train
from slth.data import Split
from slth.errors import InputError, check_int

# Frankle et al. call a pair connected if its error barrier is below two points, which is more than the noise of a run.
CONNECTED_BELOW = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """Error and loss on the straight line from a network a to a network b.

    Attributes:
        alphas: places on the line, from 0 (a) to 1 (b).
        errors: fraction of wrong predictions at each place.
        losses: mean cross-entropy at each place, in nats.
        examples: fraction of examples whose own 0-1 error has no barrier. An example that is right at both ends must be
            right all along. One that is right at one end only has a barrier, and one that is wrong at both has none.
    """

    alphas: tuple[float, ...]
    errors: tuple[float, ...]
    losses: tuple[float, ...]
    examples: float

    @property
    def barrier(self) -> float:
        """The error barrier: max over α of err(α), minus the mean error of both ends."""
        return _barrier(self.errors)

    @property
    def loss_barrier(self) -> float:
        """The loss barrier: max over α of loss(α), minus the mean loss of both ends."""
        return _barrier(self.losses)

    @property
    def connected(self) -> bool:
        """Whether the error barrier is below two points."""
        return self.barrier < CONNECTED_BELOW


def children(
    start: nn.Module, data: Split, *, recipe: Recipe, first_step: int, seeds: Sequence[int] = (0, 1),
    masks: Mapping[str, torch.Tensor] | None = None, device: str | torch.device = "cpu",
) -> list[nn.Module]:  # fmt: skip
    """Train copies of a network to the end of the recipe, each with another order of the data.

    Args:
        start: the common start; it is left unchanged.
        data: the training data.
        recipe: how the copies are trained; its seed is replaced.
        first_step: the step of the recipe that ``start`` is at.
        seeds: one seed of the data order for each copy.
        masks: weights to hold at zero; None for none.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.

    Returns:
        The trained copies, in the order of ``seeds``.
    """
    grown = []
    for seed in seeds:
        child = copy.deepcopy(start)
        train(child, data, recipe=replace(recipe, seed=seed), masks=masks, first_step=first_step, device=device)
        grown.append(child)
    return grown


def between(a: nn.Module, b: nn.Module, data: Split, *, calibration: Split | None = None, points: int = 11) -> Line:
    """Measure error and loss at (1−α)·a + α·b for α = 0, 1/(points−1), …, 1.

    Args:
        a: the network at α = 0; it is left unchanged.
        b: the network at α = 1, of the same architecture; it is left unchanged.
        data: where errors are measured: test data, or training data as Frankle et al. do.
        calibration: training data from which BatchNorm statistics are computed again at every place, both ends
            included: the mean of two networks' statistics is not the statistics of the mean network. None
            without BatchNorm.
        points: number of places, both ends included; at least 2.

    Raises:
        InputError: networks that differ in shape, BatchNorm without ``calibration``, or labels that do not fit.

    Source: frankle2020
    """
    check_int("points", points, 2, hint="Both ends are points.")
    mine, theirs = a.state_dict(), b.state_dict()
    if {name: value.shape for name, value in mine.items()} != {name: value.shape for name, value in theirs.items()}:
        raise InputError("the two networks must have one architecture; their parameters differ. Pass two children.")
    norms = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in a.modules())
    if norms and calibration is None:
        raise InputError(
            "networks with BatchNorm need calibration data on the line between them; got none. Pass training data."
        )
    middle = copy.deepcopy(a)
    alphas = tuple(i / (points - 1) for i in range(points))
    labels = data.labels.cpu()
    wrong, losses = [], []
    for alpha in alphas:
        middle.load_state_dict({
            name: torch.lerp(value, theirs[name], alpha) if value.is_floating_point() else value
            for name, value in mine.items()
        })  # fmt: skip
        here = recalibrated(middle, calibration.images) if norms and calibration is not None else middle
        logits = logits_of(here, data.images)
        check_labels(logits, labels)
        wrong.append(logits.argmax(dim=1) != labels)
        losses.append(float(functional.cross_entropy(logits.double(), labels)))
    errors = torch.stack(wrong)  # (points, N)
    own = errors.amax(dim=0).double() - (errors[0].double() + errors[-1].double()) / 2
    return Line(
        alphas=alphas,
        errors=tuple(errors.double().mean(dim=1).tolist()),
        losses=tuple(losses),
        examples=float((own <= 0).double().mean()),
    )


def _barrier(values: Sequence[float]) -> float:
    return max(values) - (values[0] + values[-1]) / 2
