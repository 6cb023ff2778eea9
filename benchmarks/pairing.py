"""Rows of two methods brought together: of one density and budget, and paired over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slth.experiments.analysis.intervals import Interval, interval, paired_difference
from slth.experiments.engine.study import Row
from slth.experiments.studies.compare_sections import by_method, values

# Fewer seeds than this have no interval, and decide nothing.
FEWEST_SEEDS = 2
# Parameters that two methods must share to be compared.
SHARED = ("arch", "data", "examples", "validation", "test", "norm", "epochs", "finetune")


def rows_of(rows: Sequence[Row], method: str, **options: Any) -> list[Row]:
    """Rows of a method with certain options.

    Args:
        rows: of one comparison.
        method: its name.
        **options: all that it has, by name.

    Returns:
        The rows that have exactly these options.
    """
    return [row for row in rows if row.point["method"] == method and row.point["options"] == options]


def rivals(ours: Sequence[Row], theirs: Sequence[Row]) -> list[tuple[list[Row], list[Row]]]:
    """Pairs of settings that share the density and the parameters ``SHARED``.

    Args:
        ours: rows of one method.
        theirs: rows of another.

    Returns:
        Pairs (rows of ours, rows of theirs), the densest first.
    """
    return [
        (mine, other)
        for (_, density), mine in sorted(by_method(ours).items(), key=lambda pair: -pair[0][1])
        for (_, same), other in by_method(theirs).items()
        if density == same and all(mine[0].point[key] == other[0].point[key] for key in SHARED)
    ]


def by_seed(rows: Sequence[Row], stage: str, measure: str) -> dict[int, float]:
    """A measure by seed.

    Args:
        rows: of one setting.
        stage: ``found``, ``tuned``, …
        measure: ``accuracy``, ``ece``, …

    Returns:
        Seed → value, in the order of the seeds. Seeds without a value are left out.
    """
    found = {
        row.seed: row.result["stages"].get(stage, {}).get(measure) for row in sorted(rows, key=lambda row: row.seed)
    }
    return {seed: float(value) for seed, value in found.items() if value is not None}


def paired_gap(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Interval:
    """Mean of ours minus theirs, paired over seeds, with its interval.

    Args:
        ours: seed → value.
        theirs: seed → value, for at least the same seeds.

    Returns:
        (mean, low, high).
    """
    return paired_difference(list(ours.values()), [theirs[seed] for seed in ours])


def lies_above(gap: Interval, seeds: int, least: float = 0.0) -> bool | None:
    """Whether a difference lies above a number.

    Args:
        gap: (mean, low, high) of the difference.
        seeds: how many it was measured for.
        least: the number.

    Returns:
        True if the whole interval lies above it, False if all lies below, None if neither or with too few seeds.
    """
    if seeds < FEWEST_SEEDS:
        return None
    return True if gap[1] > least else False if gap[2] < least else None


def found_accuracy(rows: Sequence[Row]) -> Interval:
    """Accuracy as found, with its interval over seeds."""
    return interval(values(rows, "found", "accuracy"))


def measured_density(rows: Sequence[Row]) -> float:
    """The measured density, as the mean over seeds."""
    return sum(float(row.result["density"]) for row in rows) / len(rows)
