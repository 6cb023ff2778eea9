r"""Linear mode connectivity: whether two networks trained from one start lie in one valley.

Two *children* of a start differ in nothing but the order of the data. If the error does not rise on the straight line
between them, the start is past the point where noise decides which valley a run ends in, which is when iterative
magnitude pruning from that start has been seen to work.

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

# Frankle et al. call a pair connected below two points of error: more than the noise of a run, less than any valley.
CONNECTED = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    r"""What happens on the way from a network a to a network b.

    Attributes:
        alphas: places on the line, from 0 (a) to 1 (b). errors: fraction wrong at each. losses: mean cross-entropy.
        barrier: max over α of err(α) minus the mean of err at both ends. loss_barrier: the same of the loss.
        examples: fraction of examples whose own 0-1 error has no barrier: right all along if right at both ends,
            never connected if right at one end alone, connected if wrong at both.
    """

    alphas: tuple[float, ...]
    errors: tuple[float, ...]
    losses: tuple[float, ...]
    examples: float

    @property
    def barrier(self) -> float:
        return _barrier(self.errors)

    @property
    def loss_barrier(self) -> float:
        return _barrier(self.losses)

    @property
    def connected(self) -> bool:
        """Whether the error barrier is below two points."""
        return self.barrier < CONNECTED


def children(
    start: nn.Module, data: Split, *, recipe: Recipe, first_step: int, seeds: Sequence[int] = (0, 1),
    masks: Mapping[str, torch.Tensor] | None = None, device: str | torch.device = "cpu",
) -> list[nn.Module]:  # fmt: skip
    """Copies of ``start`` trained from ``first_step`` to the end, one for each seed of the order of the data."""
    grown = []
    for seed in seeds:
        child = copy.deepcopy(start)
        train(child, data, recipe=replace(recipe, seed=seed), masks=masks, first_step=first_step, device=device)
        grown.append(child)
    return grown


def between(a: nn.Module, b: nn.Module, data: Split, *, calibration: Split | None = None, points: int = 11) -> Line:
    r"""Error and loss at (1−α)·a + α·b for α = 0, 1/(points−1), …, 1.

    Args:
        a, b: networks of one architecture; left as they are.
        data: where errors are measured: test data, or training data as Frankle et al. do.
        calibration: training data from which BatchNorm statistics are taken anew at every place, both ends included.
            The mean of two networks' statistics is not the statistics of the mean network. None where there is no
            BatchNorm.
        points: places, both ends included; 2 at least.

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
            "networks with BatchNorm need calibration data on the way between them; got none. Pass training data."
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


def fraction_connected(lines: Sequence[Line]) -> float:
    """Fraction of pairs whose error barrier is below two points."""
    if not lines:
        raise InputError("lines must hold one pair at least; got none.")
    return sum(line.connected for line in lines) / len(lines)


def _barrier(values: Sequence[float]) -> float:
    return max(values) - (values[0] + values[-1]) / 2
