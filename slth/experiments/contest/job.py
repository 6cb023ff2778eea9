"""Job, what a method of the contest is given, and Outcome, what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slth.baselines.found import Found
from slth.baselines.frozen import normalised
from slth.baselines.recipe import Recipe
from slth.data import Split
from slth.errors import check_keys
from slth.networks import models
from slth.progress import Progress

# Fine-tuning after a search over frozen weights. Its learning rate is a tenth of the search's, as published.
FINE_TUNING = Recipe(learning_rate=0.01, schedule="cosine")


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What a method is given.

    The test set is not part of a job: no method sees it.

    Attributes:
        arch: a name in :data:`slth.networks.models.ARCHITECTURES`.
        data: training images.
        validation: images held out of training, or None.
        density: fraction of weights to keep, in (0, 1].
        epochs: length of one training run.
        seed: of weights, scores, parents and the order of the data.
        recipe: changes to the method's default recipe, by name.
        options: of the method, by name.
        norm: whether BatchNorm follows every layer but the last. The frozen random form has it; with it in every
            network, all methods have the same layers.
        folder: where checkpoints are kept; None for nowhere.
        device: ``cpu`` or ``cuda``.
        progress: who is told of the training.
    """

    arch: str
    data: Split
    validation: Split | None
    density: float
    epochs: int
    seed: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    norm: bool = True
    folder: Path | None = None
    device: str = "cpu"
    progress: bool | Progress = False

    def model(self) -> nn.Module:
        """The untrained architecture, with weights drawn by the seed and inputs and outputs that fit the data."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = models.build(self.arch, shape=tuple(self.data.images.shape[1:]), classes=self.data.classes)
        return normalised(model) if self.norm else model

    def resolve_recipe(self, default: Recipe) -> Recipe:
        """A method's default recipe, with this job's epochs, seed and changes.

        Raises:
            InputError: a change names nothing in a recipe.
        """
        known = [name for name in default.as_dict() if name not in ("epochs", "seed")]
        check_keys("recipe", self.recipe, known)
        changes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.recipe.items()
        }
        return replace(default, epochs=self.epochs, seed=self.seed, **changes)

    def checkpoint(self, name: str) -> Path | None:
        """The file that a training run of this name keeps its state in, or None."""
        return None if self.folder is None else self.folder / f"{name}.pt"


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a method gives back.

    Attributes:
        network: the ticket as the search found it.
        kept: number of its weights.
        total: number of weights it was chosen from.
        epochs: length of all training in the search, in passes over the job's data.
        seconds: duration of the search.
        untouched: whether all weights are as they were drawn.
        found: the masks and their network, if there are any. They can be fine-tuned, shuffled and redrawn.
        tuned: the ticket trained further, if the search itself has done that.
        tuned_epochs: length of that further training. ``epochs`` and ``seconds`` do not count it.
        tuning: default recipe of fine-tuning ``found``.
        levels: (density, network) of the tickets on the way, if the search passes through other densities.
        notes: what else is worth recording, JSON-ready.
    """

    network: nn.Module
    kept: int
    total: int
    epochs: float
    seconds: float
    untouched: bool
    found: Found | None = None
    tuned: nn.Module | None = None
    tuned_epochs: float = 0.0
    tuning: Recipe = FINE_TUNING
    levels: tuple[tuple[float, nn.Module], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
