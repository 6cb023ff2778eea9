"""Tickets side by side: one point is one method at one density on one data set, from the search to the test set.

All methods get the same training images, the same held-out validation images, the same architecture and a stated
number of epochs. What a point is and how it is measured is said in :mod:`slth.experiments.contest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slth.experiments.contest.contestant import Contestant
from slth.experiments.engine.study import Row, Study

if TYPE_CHECKING:
    from slth.report import Section


def run(point: Contestant, seed: int) -> dict[str, Any]:
    """Search, fine-tune, check, and measure on test data; see :func:`slth.experiments.contest.judge.run`.

    Args:
        point: the contestant.
        seed: of weights, scores, parents and the order of the data.

    Returns:
        What the judge measured.
    """
    from slth.experiments.contest import judge

    return judge.run(point, seed)


def sections(rows: Sequence[Row]) -> list[Section]:
    """Tables and figures; see :func:`slth.experiments.studies.compare_sections.sections`."""
    from slth.experiments.studies import compare_sections

    return compare_sections.sections(rows)


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
    imports=("slth.experiments.contest.judge",),
)
