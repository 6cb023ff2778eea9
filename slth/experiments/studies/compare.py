"""Tickets side by side: one point is one method at one density on one data set, from the search to the test set.

All methods get the same training images, the same held-out validation images, the same architecture and a stated number
of epochs. What is measured on test data is measured once, at the end, of what the search gave (``found``), of that
after fine-tuning (``tuned``), and, for a ticket of frozen weights, of its sanity checks. Nothing here decides anything
by test data.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import nn

from slth import data as datasets
from slth.baselines import calibration, smart
from slth.baselines.found import fine_tuned
from slth.baselines.gem_miner import sanity_checks
from slth.baselines.training import logits_of
from slth.data import Split, corruptions
from slth.errors import InputError, TrainingError, check_choice
from slth.experiments.contest.job import Job, Outcome
from slth.experiments.contest.methods import METHODS
from slth.experiments.engine.study import Point, Study
from slth.experiments.studies.compare_sections import sections

# Another seed than any ticket's own: of shuffled masks and of redrawn weights.
ANOTHER = 77_000
# Methods whose tickets are masks of frozen random weights: those can be shuffled and redrawn.
FROZEN = ("edge-popup", "gates", "gem-miner")


class Contestant(Point):
    """One method on one task.

    Attributes:
        method: of :data:`slth.experiments.contest.methods.METHODS`. arch, data: by name. density: asked for, in (0, 1].
        epochs: of one training run of the search. finetune: epochs after it; 0 for none.
        examples: of the training images, the same ones for every seed; None for all of them.
        validation: held out of the training images. test: first so many test images; None for all.
        recipe, options: overrides of the method's own; tune: of its fine-tuning. norm: BatchNorm after every layer but
            the last, as the frozen random form has it; all methods have the same layers then.
        sanity: fine-tune what the ticket must be better than, too (Gem-Miner's sanity checks): of frozen weights.
        unknown: a data set of unknown inputs, for AUROC. corrupted: severity 1–5 of corrupted inputs; 0 for none.
    """

    method: str
    arch: str = "lenet5"
    data: str = "mnist"
    density: Annotated[float, Field(gt=0, le=1)] = 1.0
    epochs: Annotated[int, Field(ge=1)] = 5
    finetune: Annotated[int, Field(ge=0)] = 0
    examples: Annotated[int, Field(ge=2)] | None = None
    validation: Annotated[int, Field(ge=0)] = 1000
    test: Annotated[int, Field(ge=1)] | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    tune: dict[str, Any] = Field(default_factory=dict)
    norm: bool = True
    sanity: bool = False
    unknown: str = ""
    corrupted: Annotated[int, Field(ge=0, le=5)] = 0

    @field_validator("method")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_choice("method", value, tuple(METHODS))

    @field_validator("sanity")
    @classmethod
    def _checkable(cls, value: bool, info: ValidationInfo) -> bool:
        if value and (info.data.get("method") not in FROZEN or not info.data.get("finetune")):
            raise ValueError(f"sanity checks are fine-tuned tickets of {', '.join(FROZEN)}; ask for finetune ≥ 1")
        return value


@functools.lru_cache(maxsize=4)
def training_data(name: str, examples: int | None, validation: int) -> tuple[Split, Split | None]:
    """Training and validation images of a task: the same ones for every method and every seed.

    Raises:
        InputError: more than there are, one class alone, or a data set whose test images are those of training.
            DataError: no such data.
    """
    whole, test = datasets.load(name, "train"), test_data(name, None)
    if torch.equal(whole.images, test.images):
        raise InputError(
            f"{name} has one split: it would be tested on what it was trained on. Choose data with training and test "
            "images apart."
        )
    rest, held = datasets.held_out(whole, validation, seed=0) if validation else (whole, None)
    data = datasets.subset(rest, examples, seed=1)
    classes = data.labels.unique()
    if len(classes) < 2 or int(classes[0]) < 0 or int(test.labels.max()) >= data.classes:
        raise InputError(
            f"training images must show two classes at least, and every class of the test images; got labels "
            f"{int(classes[0])} to {int(classes[-1])} for training and {int(test.labels.min())} to "
            f"{int(test.labels.max())} for testing. Check the labels, or take more examples."
        )
    return data, held


@functools.lru_cache(maxsize=4)
def test_data(name: str, count: int | None) -> Split:
    """The first ``count`` test images, or all."""
    whole = datasets.load(name, "test")
    return whole if count is None else whole[: min(count, len(whole))]


def prepare(point: Contestant, seed: int, **more: Any) -> Job:
    """What the method of a point is given; ``more`` goes into the job. Data that does not fit is refused here, before
    any work."""
    data, validation = training_data(point.data, point.examples, point.validation)
    if point.unknown:
        _unknown(point)
    return Job(
        arch=point.arch, data=data, validation=validation, density=point.density, epochs=point.epochs, seed=seed,
        recipe=point.recipe, options=point.options, norm=point.norm, **more,
    )  # fmt: skip


def run(point: Contestant, seed: int) -> dict[str, Any]:
    """Search, fine-tune, check, and measure on test data.

    Returns:
        ``density``, ``kept``, ``total``, ``untouched``, ``epochs`` and ``seconds`` of the search, ``notes``;
        ``stages``: ``found``, ``tuned``, ``shuffled``, ``redrawn``, ``smart`` as far as they were asked for, each
        with its measures; ``levels``: (density, accuracy) pairs on the way.
    """
    job = prepare(point, seed)
    return judge(point, job, METHODS[point.method](job))


def judge(point: Contestant, job: Job, outcome: Outcome) -> dict[str, Any]:
    """Everything that is reported of an outcome."""
    test = test_data(point.data, point.test)
    stages = {"found": _measured(point, outcome.network, test)}
    result: dict[str, Any] = {
        "density": outcome.kept / outcome.total, "kept": outcome.kept, "total": outcome.total,
        "untouched": outcome.untouched, "epochs": outcome.epochs, "seconds": outcome.seconds,
        "notes": dict(outcome.notes), "stages": stages,
    }  # fmt: skip
    if outcome.tuned is not None:
        stages["tuned"] = _measured(point, outcome.tuned, test)
        result["tuned_epochs"] = outcome.tuned_epochs
    elif point.finetune and outcome.found is not None:
        recipe = replace(job, epochs=point.finetune, recipe=point.tune).made(outcome.tuning)
        checked = {"tuned": outcome.found}
        if point.sanity:
            init = job.options.get("init", "signed_constant")
            checked |= sanity_checks(outcome.found, job.model(), job.data, seed=ANOTHER + job.seed, init=init)
            checked["smart"] = smart.find(job.model(), density=result["density"], seed=job.seed, frozen=True)
        for name, found in checked.items():
            try:
                tuned, history = fine_tuned(
                    found,
                    job.data,
                    recipe=recipe,
                    checkpoint=job.checkpoint(name),
                    device=job.device,
                    progress=job.progress,
                )
            except TrainingError as cause:  # a collapsed layer is an outcome, not the end of the study
                stages[name] = {"error": str(cause)}
                continue
            stages[name] = _measured(point, tuned, test) | {"seconds": history.seconds}
        result["tuned_epochs"] = point.finetune
    if outcome.levels:
        result["levels"] = [
            [density, calibration.accuracy(logits_of(network, test.images), test.labels)]
            for density, network in outcome.levels
        ]
    return result


def _measured(point: Contestant, network: nn.Module, test: Split) -> dict[str, Any]:
    logits = logits_of(network, test.images)
    outside = logits_of(network, _unknown(point).images) if point.unknown else None
    found: dict[str, Any] = calibration.measures(logits, test.labels, outside)
    table = calibration.reliability(logits, test.labels)
    full = table.count > 0
    found["reliability"] = {name: getattr(table, name)[full].tolist() for name in ("confidence", "accuracy", "count")}
    if point.corrupted:
        found["corrupted"] = {
            kind: calibration.accuracy(
                logits_of(network, _corrupted(point.data, point.test, kind, point.corrupted).images), test.labels
            )
            for kind in corruptions.KINDS
        }
    return found


def _unknown(point: Contestant) -> Split:
    unknown, known = test_data(point.unknown, None), test_data(point.data, None)
    if unknown.images.shape[1:] != known.images.shape[1:]:
        raise InputError(
            f"unknown inputs must have the shape of the known ones, {tuple(known.images.shape[1:])}; "
            f"{point.unknown} has {tuple(unknown.images.shape[1:])}. Choose another data set."
        )
    return unknown


@functools.lru_cache(maxsize=8)
def _corrupted(name: str, count: int | None, kind: str, severity: int) -> Split:
    return corruptions.corrupted(test_data(name, count), kind=kind, severity=severity)


STUDY = Study(
    name="compare",
    title="Tickets found beside tickets trained",
    about=(
        "Every method gets the same images, architecture and epochs; its ticket is measured once on test data, as "
        "found and after fine-tuning. Means over seeds with percentile bootstrap intervals: with three seeds they "
        "reach from about the least to the largest value. Density is the fraction of weights kept, counted; the "
        "subset-sum ticket's is what it keeps of its much wider random parent. Epochs are passes over the training "
        "images in the whole search, all members and levels included; the last level of iterative pruning, which "
        "trains the ticket itself, counts as what comes after."
    ),
    point=Contestant,
    run=run,
    sections=sections,
)
