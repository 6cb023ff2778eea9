"""Planted tickets: every search is asked for a ticket that is known to exist.

Methods that search masks get a random network in which a small trained one is hidden. The small one labels the data, so
that its ticket has accuracy 1. The subset-sum search gets a target whose slices are sums of known candidates of its
parent, so that the error of the planted ticket is rounding alone.

Source: plantnseek2022
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, field_validator

from slth import data as datasets
from slth import figures
from slth.errors import check_choice
from slth.experiments.analysis.intervals import format_interval, interval
from slth.experiments.engine.study import Point, Row, Study
from slth.report import Section

# Those of slth.baselines.planted_searches, written out so that a study is planned without torch, and the subset sum.
PLANTED_METHODS = (
    "edge-popup", "gates", "gem-miner", "random", "magnitude", "snip", "grasp", "synflow", "imp", "subset-sum",
)  # fmt: skip


class Hidden(Point):
    """One search for a planted ticket.

    Attributes:
        method: a name in ``PLANTED_METHODS``.
        data: a data set; the planted network labels its images.
        hidden: number of hidden neurons of the planted network.
        width: number of hidden neurons of the network it is planted in; for the subset sum, hidden channels per input
            channel.
        epochs: length of a training run.
        kept: number of candidates in each planted sum.
        options: of the method, by name.
    """

    method: str
    data: str = "digits"
    hidden: Annotated[int, Field(ge=1)] = 8
    width: Annotated[int, Field(ge=1)] = 64
    epochs: Annotated[int, Field(ge=1)] = 20
    kept: Annotated[int, Field(ge=1)] = 20
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("method")
    @classmethod
    def _check_method(cls, value: str) -> str:
        return check_choice("method", value, PLANTED_METHODS)


def run(point: Hidden, seed: int) -> dict[str, Any]:
    """Search at the planted density, and compare with what was planted.

    Args:
        point: the search.
        seed: of all networks, masks and the order of the data.

    Returns:
        For a method of masks, the scores of :func:`slth.baselines.planted_searches.scores_of`; for the subset sum,
        those of :func:`slth.baselines.planted_sums.score_ticket` and ``agreement`` with the target.
    """
    if point.method == "subset-sum":
        return _subset_sum(point, seed)
    from slth.baselines import edge_popup, gates, gem_miner, imp, planted_searches
    from slth.baselines import planted_tickets as planted

    train, test = datasets.load(point.data, "train"), datasets.load(point.data, "test")
    problem = planted.problem(train, test, hidden=(point.hidden,), widths=(point.width,), seed=seed)
    recipes = {"edge-popup": edge_popup.RECIPE, "gates": gates.RECIPE, "gem-miner": gem_miner.RECIPE}
    recipe = replace(recipes.get(point.method, imp.RECIPE), epochs=point.epochs, seed=seed)
    masks = planted_searches.masks_of(problem, method=point.method, recipe=recipe, seed=seed)
    return planted_searches.scores_of(problem, masks)


def _subset_sum(point: Hidden, seed: int) -> dict[str, Any]:
    import torch

    from slth.baselines import planted_sums
    from slth.networks import models
    from slth.tickets import evaluate, find_ticket

    test = datasets.load(point.data, "test")
    shape = tuple(test.images.shape[1:])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = models.mlp(sizes=(test.images[0].numel(), point.hidden, test.classes), bias=False)
    problem = planted_sums.planted_network(model, width=point.width, kept=point.kept, seed=seed)
    ticket = find_ticket(problem.model, example_input=torch.zeros(1, *shape), **problem.options, **point.options)
    scores = evaluate(ticket, test, controls=False)
    return {**planted_sums.score_ticket(problem, ticket), "agreement": scores[1].agreement, "accuracy": None}


def sections(rows: Sequence[Row]) -> list[Section]:
    """Accuracy, recall and errors of each search, beside those of the planted ticket."""
    shown = table(rows)
    bars = {
        name: interval([row.result["accuracy"] for row in mine])
        for name, mine in _by_search(rows).items() if mine[0].result["accuracy"] is not None
    }  # fmt: skip
    return [
        Section(
            "What was found of what was planted",
            "A planted ticket of masks has accuracy 1 by construction. Another ticket may be as good: low recall with "
            "accuracy 1 is no failure. The recall of a random mask is its density. The error of the planted subset sum "
            "is rounding; “reached” is the fraction of instances in which the search came as close.",
            header=shown["header"], rows=shown["rows"],
            figure=figures.intervals(bars, quantity="accuracy as found, on the planted network's labels", reference=1)
            if bars else None,
            caption="Accuracy of the ticket that each search found; the planted one has 1.",
        )
    ]  # fmt: skip


def table(rows: Sequence[Row]) -> dict[str, Any]:
    """A line for each method and width, as text: ``header`` and ``rows``."""
    lines = []
    for name, mine in _by_search(rows).items():
        cells = []
        for measure, percent in (("accuracy", True), ("agreement", True), ("recall", True), ("precision", True),
                                 ("density", True), ("reached", True), ("error", False)):  # fmt: skip
            got = [row.result[measure] for row in mine if row.result.get(measure) is not None]
            cells.append(format_interval(interval(got), percent=percent, digits=1 if percent else 5) if got else "–")
        lines.append((name, str(len(mine)), *cells))
    header = ("search", "seeds", "accuracy", "agreement", "recall", "precision", "density", "reached", "error")
    return {"header": header, "rows": lines}


def _by_search(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by method, width and options; those of a group differ in the seed."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (PLANTED_METHODS.index(row.point["method"]), row.point["width"], row.seed)):
        options = "".join(f", {name} {value}" for name, value in row.point["options"].items())
        groups[f"{row.point['method']}, width {row.point['width']:,}{options}"].append(row)
    return dict(groups)


STUDY = Study(
    name="planted",
    title="Planted tickets: does a search find what is there?",
    about=(
        "Ground truth for every search. A small trained network is hidden in a random one (closest neurons, scaled), "
        "and methods of masks look for it at its own density. The parent of a subset-sum ticket is fixed by its seed, "
        "so there the target is planted: a sum of known candidates."
    ),
    point=Hidden,
    run=run,
    sections=sections,
    imports=("slth.tickets", "slth.baselines.planted_searches", "slth.baselines.planted_sums"),
)
