"""What a method of the harness is given, and what it gives back."""

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

# A frozen network's weights after the search, fine-tuned: lower, as the published 0.01 is to the search's 0.1.
TUNE = Recipe(learning_rate=0.01, schedule="cosine")


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What a method is given.

    Attributes:
        arch: a name in :data:`slth.networks.models.ARCHITECTURES`. data, validation: of training; the test set is not
            here. density: asked for. epochs: of one training run. recipe: overrides of the method's own recipe.
        options: of the method. norm: BatchNorm after every layer but the last, as the frozen random form has it, so
            that all methods have the same layers. seed: of weights, scores, parents and the order of the data.
        folder: for checkpoints. progress: who listens to training.
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
        """The untrained architecture, drawn by the seed, with as many inputs and outputs as the data asks for."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = models.build(self.arch, shape=tuple(self.data.images.shape[1:]), classes=self.data.classes)
        return normalised(model) if self.norm else model

    def made(self, own: Recipe) -> Recipe:
        """The method's recipe with this job's epochs, seed and overrides."""
        known = [name for name in own.as_dict() if name not in ("epochs", "seed")]
        check_keys("recipe", self.recipe, known)
        changes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.recipe.items()
        }
        return replace(own, epochs=self.epochs, seed=self.seed, **changes)

    def checkpoint(self, name: str) -> Path | None:
        """Where the state of a run is kept."""
        return None if self.folder is None else self.folder / f"{name}.pt"


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a method gives back.

    Attributes:
        network: the ticket as it was found. kept, total: weights. epochs: of all training in the search, in passes
            over the job's data. seconds: of the search.
        found: masks and their network, where there are any: what can be fine-tuned, shuffled, redrawn.
        tuned: the ticket trained further, where the search itself has done that. tuned_epochs: of that training, where
            ``epochs`` and ``seconds`` leave it out.
        tuning: how ``found`` is trained further, if it is.
        levels: (density, network) on the way, where the search passes through other densities.
        untouched: whether all weights are as they were drawn. notes: JSON-ready.
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
    tuning: Recipe = TUNE
    levels: tuple[tuple[float, nn.Module], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
