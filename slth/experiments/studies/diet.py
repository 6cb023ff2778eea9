"""Lottery tickets on a data diet: which examples make a good rewind point for iterative pruning.

A point names the examples that the rewind point is pre-trained on (``all``, or a ``random``, ``easy`` or ``hard``
subset of a given size) and its step t_r. Iterative magnitude pruning then starts there, on all training images. Two
things are measured: the ticket's accuracy, and whether the rewind point is linearly mode connected, which means that
two copies of it, trained with different orders of the data, have no error barrier between them.

Source: paul2022
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from slth import figures
from slth.experiments.analysis.intervals import format_interval, in_percent, interval
from slth.experiments.analysis.summary import finished_rows, no_rows
from slth.experiments.engine.study import Point, Row, Study
from slth.report import Section

if TYPE_CHECKING:
    import torch

    from slth.experiments.contest.job import Job


class Diet(Point):
    """One way to a rewind point.

    Attributes:
        kind: of the subset; ``all`` for the ordinary rewind point.
        size: of the subset, in examples; 0 for ``all``.
        rewind: t_r, in steps.
        density: of the ticket.
        fraction: of the weights that each level prunes.
        epochs: of each level's training.
        replicates: number of networks whose EL2N scores order the examples.
        score_steps: number of steps that each of them is trained for.
        arch: a name in :data:`slth.networks.models.ARCHITECTURES`.
        data: a name of a data set.
        examples: number of training images; None for all.
        validation: number of training images that are held out.
        test: number of test images, the first ones; None for all.
        recipe: changes to the recipe of iterative pruning, by name.
    """

    kind: Literal["all", "random", "easy", "hard"] = "all"
    size: Annotated[int, Field(ge=0)] = 0
    rewind: Annotated[int, Field(ge=0)] = 0
    density: Annotated[float, Field(gt=0, le=1)] = 0.05
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    epochs: Annotated[int, Field(ge=1)] = 5
    replicates: Annotated[int, Field(ge=1)] = 2
    score_steps: Annotated[int, Field(ge=1)] = 40
    arch: str = "lenet5"
    data: str = "mnist"
    examples: Annotated[int, Field(ge=2)] | None = None
    validation: Annotated[int, Field(ge=0)] = 1000
    test: Annotated[int, Field(ge=1)] | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_size(self) -> Diet:
        if (self.kind == "all") != (self.size == 0):
            raise ValueError("size must be 0 for kind 'all', and the number of examples for a subset")
        return self


def run(point: Diet, seed: int) -> dict[str, Any]:
    """Pre-train, prune iteratively, and measure the barrier between two children of the rewind point.

    Args:
        point: the way to a rewind point.
        seed: of the weights, the subset and the order of the data.

    Returns:
        ``levels``: (density, test accuracy) pairs; ``barrier`` and ``loss_barrier`` between the children, on test
        data; ``connected``: whether the error barrier is below two percentage points; ``own_connected``: fraction of
        test examples without a barrier of their own error; ``start_accuracy`` of the rewind point.
    """
    from slth.baselines import connectivity, data_diet, imp
    from slth.baselines.training import accuracy
    from slth.experiments.contest.images import test_data

    job = _job(point, seed)
    recipe = job.resolve_recipe(imp.RECIPE)
    test = test_data(point.data, point.test)
    model = job.model()
    if point.kind == "all":
        start = imp.rewind_point(model, job.data, recipe=recipe, step=point.rewind)
    else:
        scores = _el2n_scores(point.model_copy(update={"kind": "all", "size": 0, "rewind": 0}).model_dump_json())
        chosen = data_diet.subset(point.size, kind=point.kind, scores=scores, seed=seed)
        start = data_diet.pretrained(model, job.data, chosen, recipe=recipe, step=point.rewind)
    first, second = connectivity.children(
        start, job.data, recipe=recipe, first_step=point.rewind, seeds=(seed, seed + 1)
    )
    line = connectivity.between(first, second, test, calibration=job.data)
    levels = imp.prune(start, job.data, recipe=recipe, rewind=point.rewind,
                       densities=imp.schedule(point.density, point.fraction))  # fmt: skip
    return {
        "levels": [[level.density, accuracy(level.network, test)] for level in levels],
        "barrier": line.barrier, "loss_barrier": line.loss_barrier, "connected": line.connected,
        "own_connected": line.examples, "start_accuracy": accuracy(start, test),
    }  # fmt: skip


def sections(rows: Sequence[Row]) -> list[Section]:
    """Accuracy and connectivity by kind, size and t_r."""
    known = finished_rows(rows)
    if not known:
        return no_rows("Tickets by rewind point")
    shown = table(known)
    bars = {
        name: in_percent(interval([row.result["levels"][-1][1] for row in mine]))
        for name, mine in _by_rewind_point(known).items()
    }
    return [
        Section(
            "Tickets by rewind point",
            verdict(known) or "The rows do not show a subset beside all images yet: there is nothing to compare.",
            header=shown["header"],
            rows=shown["rows"],
            figure=figures.intervals(bars, quantity="test accuracy of the ticket (%)"),
            caption="Accuracy of the sparsest ticket from each rewind point; 95 % bootstrap intervals.",
        )
    ]


def table(rows: Sequence[Row]) -> dict[str, Any]:
    """A line for each rewind point, as text: ``header`` and ``rows``."""
    lines = []
    for name, mine in _by_rewind_point(rows).items():
        final = interval([row.result["levels"][-1][1] for row in mine])
        barrier = interval([row.result["barrier"] for row in mine])
        linked = sum(row.result["connected"] for row in mine)
        own = sum(row.result["own_connected"] for row in mine) / len(mine)
        density = mine[0].result["levels"][-1][0]
        lines.append((
            name, str(len(mine)), f"{density:.3g}", format_interval(final), format_interval(barrier),
            f"{linked} of {len(mine)}", f"{100 * own:.2f} %",
        ))  # fmt: skip
    header = ("rewind point", "seeds", "density", "accuracy of the ticket", "error barrier", "pairs connected",
              "examples connected")  # fmt: skip
    return {"header": header, "rows": lines}


def verdict(rows: Sequence[Row]) -> str:
    """Whether a subset makes as good a start as all images, in sentences; empty if there is nothing to compare."""
    found = []
    for rewind in sorted({row.point["rewind"] for row in rows}):
        here = [row for row in rows if row.point["rewind"] == rewind]
        whole = {row.seed: row.result["levels"][-1][1] for row in here if row.point["kind"] == "all"}
        for kind, size in sorted({(row.point["kind"], row.point["size"]) for row in here} - {("all", 0)}):
            pairs = [
                (row.result["levels"][-1][1], whole[row.seed])
                for row in here if (row.point["kind"], row.point["size"]) == (kind, size) and row.seed in whole
            ]  # fmt: skip
            if pairs:
                gap = interval([a - b for a, b in pairs])
                word = "worse" if gap[2] < 0 else "better" if gap[1] > 0 else "not told apart"
                word = word if len(pairs) > 1 else "one seed, too few to tell"
                found.append(f"t_r = {rewind}, {kind} {size:,} against all: {format_interval(gap)}, {word}.")
    return " ".join(found)


def _by_rewind_point(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by the name of their rewind point; those of a group differ in the seed."""
    groups: dict[tuple[int, str, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.point["rewind"], row.point["kind"], row.point["size"]].append(row)
    return {
        f"t_r = {rewind}, {kind}" + (f" {size:,}" if size else ""): mine
        for (rewind, kind, size), mine in sorted(groups.items())
    }


def _job(point: Diet, seed: int) -> Job:
    from slth.experiments.contest.images import training_data
    from slth.experiments.contest.job import Job

    data, validation = training_data(point.data, point.examples, point.validation)
    return Job(arch=point.arch, data=data, validation=validation, density=point.density, epochs=point.epochs, seed=seed,
               recipe=point.recipe, norm=False)  # fmt: skip


@functools.lru_cache(maxsize=4)
def _el2n_scores(described: str) -> torch.Tensor:
    """EL2N scores of a task. They depend on its training images and recipe, not on the seed of a row."""
    from slth.baselines import data_diet, imp

    point = Diet.model_validate_json(described)
    job = _job(point, 0)
    recipe = job.resolve_recipe(imp.RECIPE)
    networks = data_diet.replicates(
        lambda seed: replace(job, seed=10_000 + seed).model(), job.data, recipe=recipe, steps=point.score_steps,
        count=point.replicates,
    )  # fmt: skip
    return data_diet.el2n(networks, job.data)


STUDY = Study(
    name="diet",
    title="Lottery tickets on a data diet",
    about=(
        "The rewind point of iterative magnitude pruning is made from all training images or from a random, easy or "
        "hard subset (by EL2N scores), for several t_r and sizes; pruning itself sees all images. The published claim "
        "is that a small random subset makes as good a start at the same t_r, and an easy one needs fewer steps."
    ),
    point=Diet,
    run=run,
    sections=sections,
    imports=(
        "slth.experiments.contest.job",
        "slth.baselines.connectivity",
        "slth.baselines.data_diet",
        "slth.baselines.imp",
    ),
)
