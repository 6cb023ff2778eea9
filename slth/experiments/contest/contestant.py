"""A contestant: one method on one task, and the job that its method is given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from slth.errors import check_choice
from slth.experiments.contest.catalogue import SUMMARIES
from slth.experiments.engine.study import Point

if TYPE_CHECKING:  # a contest is planned without torch
    from slth.experiments.contest.job import Job

# Methods whose tickets are masks of frozen random weights: those can be shuffled and redrawn.
FROZEN_METHODS = ("edge-popup", "gates", "gem-miner")
# Training that is longer than this is a slip of the finger.
MOST_EPOCHS = 1_000_000


class Contestant(Point):
    """One method on one task.

    Attributes:
        method: a name in :data:`slth.experiments.contest.methods.METHODS`.
        arch: a name in :data:`slth.networks.models.ARCHITECTURES`.
        data: a name of a data set.
        density: fraction of weights to keep, in (0, 1].
        epochs: length of one training run of the search.
        finetune: epochs of fine-tuning after the search; 0 for none.
        examples: number of training images, the same ones for every seed; None for all.
        validation: number of training images that are held out.
        test: number of test images, the first ones; None for all.
        recipe: changes to the method's recipe, by name.
        options: of the method, by name.
        tune: changes to the recipe of fine-tuning, by name.
        norm: whether BatchNorm follows every layer but the last, as in the frozen random form; all methods have the
            same layers then.
        sanity: whether the sanity checks of Gem-Miner are fine-tuned too: shuffled, redrawn and random tickets. For
            masks of frozen weights only.
        unknown: a data set of unknown inputs, for AUROC; empty for none.
        corrupted: severity of corrupted test inputs, 1 to 5; 0 for none.
    """

    method: str
    arch: str = "lenet5"
    data: str = "mnist"
    density: Annotated[float, Field(gt=0, le=1)] = 1.0
    epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] = 5
    finetune: Annotated[int, Field(ge=0, le=MOST_EPOCHS)] = 0
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
    def _check_method(cls, value: str) -> str:
        if value in SUMMARIES:
            return value
        from slth.experiments.contest.methods import METHODS

        return check_choice("method", value, tuple(METHODS))

    @field_validator("sanity")
    @classmethod
    def _check_sanity(cls, value: bool, info: ValidationInfo) -> bool:
        if value and (info.data.get("method") not in FROZEN_METHODS or not info.data.get("finetune")):
            raise ValueError(
                f"sanity checks are fine-tuned tickets of {', '.join(FROZEN_METHODS)}; ask for finetune ≥ 1"
            )
        return value


def prepare(point: Contestant, seed: int, **more: Any) -> Job:
    """The job of a contestant. What does not fit it is refused here, before any work.

    Args:
        point: the contestant.
        seed: of weights, scores, parents and the order of the data.
        **more: other fields of the job: ``folder``, ``device``.

    Returns:
        What the contestant's method is given.

    Raises:
        InputError: the data do not fit, see :func:`slth.experiments.contest.images.training_data`; the architecture is
            unknown, or does not take such images; the method has no such option, or the recipe no such entry.
        DataError: there is no such data set.
    """
    from slth.experiments.contest.images import training_data, unknown_data
    from slth.experiments.contest.job import FINE_TUNING, Job
    from slth.experiments.contest.methods import SETTINGS

    data, validation = training_data(point.data, point.examples, point.validation)
    if point.unknown:
        unknown_data(point.unknown, point.data)
    job = Job(
        arch=point.arch, data=data, validation=validation, density=point.density, epochs=point.epochs, seed=seed,
        recipe=point.recipe, options=point.options, norm=point.norm, **more,
    )  # fmt: skip
    job.model()
    settings = SETTINGS.get(point.method)
    if settings is not None:
        settings.check(point.options, point.recipe)
        if settings.recipe is not None:
            job.resolve_recipe(settings.recipe)
    replace(job, recipe=point.tune).resolve_recipe(FINE_TUNING)
    return job
