"""Lottery tickets on a data diet: how the rewind point was made, and what iterative pruning makes of it.

A point names the examples that the rewind point was pre-trained on (``all``, or a ``random``, ``easy`` or ``hard``
subset of a size), and the step t_r; iterative magnitude pruning goes on from there on all training images. Beside the
ticket's accuracy stands whether the start is linearly mode connected: whether two children of it, trained with
different orders of the data, have no error barrier between them.

Source: paul2022
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator

from slth import figures
from slth.baselines import connectivity, data_diet, imp
from slth.baselines.recipe import Recipe
from slth.baselines.training import accuracy
from slth.experiments.analysis.intervals import interval, show
from slth.experiments.contest.job import Job
from slth.experiments.engine.study import Point, Row, Study
from slth.experiments.studies.compare import test_data, training_data
from slth.report import Section


class Diet(Point):
    """One way to a rewind point.

    Attributes:
        kind: of the subset; ``all`` for the ordinary rewind point. size: of the subset, in examples.
        rewind: t_r in steps. density: of the ticket. fraction: pruned a level. epochs: of each level's training.
        replicates, score_steps: of the networks whose EL2N scores order the examples.
        arch, data, examples, validation, test, recipe: as in ``compare``.
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
    def _consistent(self) -> Diet:
        if (self.kind == "all") != (self.size == 0):
            raise ValueError("size must be 0 for kind 'all', and the number of examples for a subset")
        return self


def run(point: Diet, seed: int) -> dict[str, Any]:
    """Pre-train, prune iteratively, and look at the line between two children of the rewind point.

    Returns:
        ``levels``: (density, test accuracy) pairs; ``barrier`` and ``loss_barrier`` between the children, on test
        data; ``connected``: whether the error barrier is below two points; ``own_connected``: fraction of test
        examples whose own error has no barrier; ``start_accuracy`` of the rewind point.
    """
    job = _job(point, seed)
    recipe = job.made(imp.RECIPE)
    test = test_data(point.data, point.test)
    model = job.model()
    if point.kind == "all":
        start = imp.rewind_point(model, job.data, recipe=recipe, step=point.rewind)
    else:
        scores = _scores(point.model_copy(update={"kind": "all", "size": 0, "rewind": 0}).model_dump_json())
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
    """Accuracy of the tickets by kind, size and t_r, and connectivity beside it."""
    shown = table(rows)
    bars = {
        name: tuple(100 * one for one in interval([row.result["levels"][-1][1] for row in mine]))
        for name, mine in _grouped(rows).items()
    }
    return [
        Section(
            "Tickets by rewind point",
            verdict(rows),
            header=shown["header"],
            rows=shown["rows"],
            figure=figures.intervals(bars, quantity="test accuracy of the ticket (%)"),  # type: ignore[arg-type]
            caption="Accuracy of the sparsest ticket from each rewind point; 95 % bootstrap intervals.",
        )
    ]


def table(rows: Sequence[Row]) -> dict[str, Any]:
    """``header`` and ``rows``, text, one line a rewind point."""
    lines = []
    for name, mine in _grouped(rows).items():
        final = interval([row.result["levels"][-1][1] for row in mine])
        barrier = interval([row.result["barrier"] for row in mine])
        linked = sum(row.result["connected"] for row in mine)
        own = sum(row.result["own_connected"] for row in mine) / len(mine)
        density = mine[0].result["levels"][-1][0]
        lines.append((name, str(len(mine)), f"{density:.3g}", show(final), show(barrier), f"{linked} of {len(mine)}",
                      f"{100 * own:.2f} %"))  # fmt: skip
    header = ("rewind point", "seeds", "density", "accuracy of the ticket", "error barrier", "pairs connected",
              "examples connected")  # fmt: skip
    return {"header": header, "rows": lines}


def verdict(rows: Sequence[Row]) -> str:
    """What the rows say of the claim that a small random or an easy subset makes as good a start, in sentences."""
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
                word = word if len(pairs) > 1 else "one seed, which decides nothing"
                found.append(f"t_r = {rewind}, {kind} {size:,} against all: {show(gap)}, {word}.")
    return " ".join(found)


def _grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by rewind point, named: they differ in the seed."""
    groups: dict[tuple[int, str, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.point["rewind"], row.point["kind"], row.point["size"]].append(row)
    return {
        f"t_r = {rewind}, {kind}" + (f" {size:,}" if size else ""): mine
        for (rewind, kind, size), mine in sorted(groups.items())
    }


def _job(point: Diet, seed: int) -> Job:
    data, validation = training_data(point.data, point.examples, point.validation)
    return Job(arch=point.arch, data=data, validation=validation, density=point.density, epochs=point.epochs, seed=seed,
               recipe=point.recipe, norm=False)  # fmt: skip


@functools.lru_cache(maxsize=4)
def _scores(described: str) -> torch.Tensor:
    """EL2N scores of a task: of its training images and recipe alone, whatever the seed of the row."""
    point = Diet.model_validate_json(described)
    job = _job(point, 0)
    recipe: Recipe = job.made(imp.RECIPE)
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
)
