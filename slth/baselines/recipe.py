"""Recipes: everything that determines a training run except the model and the data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from slth.errors import InputError, check_choice, check_int, check_positive


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Epochs, optimiser, schedule and order of the data.

    Attributes:
        epochs: passes over the training data.
        batch: examples in a step; the last step of an epoch may have fewer.
        optimiser: ``sgd`` or ``adam``.
        learning_rate: the largest learning rate of the schedule.
        momentum: of SGD.
        weight_decay: L2, added to the gradient.
        schedule: ``cosine`` (to zero), ``one-cycle`` (up to the learning rate over the first 30 %, then down),
            ``multistep`` (×0.1 at each of ``milestones``) or ``constant``.
        milestones: fractions of the run, in (0, 1).
        augment: whether images are shifted by up to an eighth of the side and mirrored at random (photographs; not
            digits).
        seed: seed of the order of the data and of all noise in training.
    """

    epochs: int = 5
    batch: int = 128
    optimiser: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    milestones: tuple[float, ...] = (0.5, 0.75)
    augment: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 1, hint="It is the number of passes over the training data.")
        check_int("batch", self.batch, 1)
        check_int("seed", self.seed, 0)
        check_choice("optimiser", self.optimiser, ("sgd", "adam"))
        check_choice("schedule", self.schedule, ("cosine", "one-cycle", "multistep", "constant"))
        check_positive("learning_rate", self.learning_rate)
        check_positive("weight_decay", self.weight_decay, zero_ok=True)
        check_positive("momentum", self.momentum, zero_ok=True)
        listed = isinstance(self.milestones, tuple | list)
        if not listed or not all(isinstance(at, int | float) and 0 < at < 1 for at in self.milestones):
            raise InputError(f"milestones must be fractions of the run, in (0, 1); got {self.milestones}.")

    def steps(self, examples: int) -> int:
        """Number of steps of a whole run on so many examples."""
        return self.epochs * -(-examples // self.batch)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step; it depends on the step alone, so a run can start anywhere.

        Args:
            step: 0 ≤ step < steps.
            steps: number of steps of the whole run.
        """
        done = step / steps
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "multistep":
            return self.learning_rate * 0.1 ** sum(done >= at for at in self.milestones)
        if self.schedule == "cosine":
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        rise, least = 0.3, 1 / 25
        share = done / rise if done < rise else (1 - done) / (1 - rise)
        return self.learning_rate * (least + (1 - least) * 0.5 * (1 - math.cos(math.pi * share)))

    def make_optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make a new optimiser of the parameters that require gradients.

        Raises:
            InputError: no parameter requires gradients.
        """
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if not trained:
            raise InputError("a model to train must have parameters that require gradients; got none.")
        if self.optimiser == "adam":
            return torch.optim.Adam(trained, lr=self.learning_rate, weight_decay=self.weight_decay)
        return torch.optim.SGD(trained, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)

    def as_dict(self) -> dict[str, Any]:
        """The fields, JSON-ready."""
        return {**asdict(self), "milestones": list(self.milestones)}
