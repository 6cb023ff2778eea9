"""Trained networks used as study targets: trained once on one machine, loaded once a process."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slth import data
from slth.errors import DataError
from slth.experiments.engine.study import Point

if TYPE_CHECKING:  # a study is planned without torch
    import torch
    from torch import nn

    from slth.networks import Target

PIXEL_RANGE = (0.0, 1.0)
# What a study that loads a subject and finds its ticket imports while it runs.
SUBJECT_IMPORTS = ("slth.baselines.digits", "slth.experiments.analysis.ticket_errors", "slth.tickets")
LENET5_FILE = "pensia_lenet5.safetensors"


class SubjectPoint(Point):
    """Parameters that name a trained target.

    Attributes:
        target: ``digits``, the demo's CNN, which is trained here on bundled data; or ``lenet5`` on MNIST.
        epochs: length of the training of the digits CNN.
        weights: file of LeNet-5's weights; empty for pensia_lenet5.safetensors in $SLTH_TARGETS, or in the folder
            ``targets`` beside the data folder.
    """

    target: Literal["digits", "lenet5"] = "digits"
    epochs: int = Field(default=40, ge=1)
    weights: str = ""


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network, its target, and its test data. Its inputs are pixels, which are never negative.

    Attributes:
        name: ``digits`` or ``lenet5``.
        model: the trained network.
        target: the same network, extracted.
        test: the test data.
    """

    name: str
    model: nn.Module
    target: Target
    test: data.Split

    @property
    def example(self) -> torch.Tensor:
        """One input, with its batch axis."""
        return self.test.images[:1]

    def only(self, layer: str) -> Target:
        """The target of a ticket that replaces one layer and leaves the others as they were trained."""
        from slth.networks import extract

        return extract(self.model, example_input=self.example, input_range=PIXEL_RANGE, only=[layer])


def load_subject(point: SubjectPoint) -> Subject:
    """The subject of a point. Points of one process that name the same subject share the object and its weights.

    Raises:
        DataError: LeNet-5's weights or MNIST are not there.
    """
    return _load(point.target, point.epochs if point.target == "digits" else 0, point.weights)


@functools.cache
def _load(name: str, epochs: int, weights: str) -> Subject:
    from slth.baselines.digits import train_digits
    from slth.networks import extract, models

    if name == "digits":
        test = data.load("digits", "test")
        model: nn.Module = train_digits(data.load("digits", "train"), epochs, reuse=True)
    else:
        test = data.load("mnist", "test")
        model = models.load_weights("lenet5", _weights_file(weights))
    target = extract(model, example_input=test.images[:1], input_range=PIXEL_RANGE)
    return Subject(name, model, target, test)


def _weights_file(stated: str) -> Path:
    folder = os.environ.get("SLTH_TARGETS")
    beside = (data.data_folder() or Path("nowhere")).parent / "targets"
    path = Path(stated) if stated else (Path(folder) if folder else beside) / LENET5_FILE
    if not path.is_file():
        raise DataError(
            f"LeNet-5's weights were expected in {path}; there is no such file. Set weights or SLTH_TARGETS."
        )
    return path
