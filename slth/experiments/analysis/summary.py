"""Rows of a study summarised: grouped by their parameters, as medians with ranges, and what is missing of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slth.experiments.engine.study import Row
from slth.report import Section


@dataclass(frozen=True)
class Spread:
    """Median and range of a few measurements.

    Attributes:
        median: of the measurements.
        low: the least.
        high: the greatest.
    """

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Iterable[float]) -> Spread:
        """Summarise one or more values."""
        known = np.array(list(values), dtype=float)
        return Spread(float(np.median(known)), float(known.min()), float(known.max()))

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.median:.3g}"
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


def finished_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows that have results."""
    return [row for row in rows if row.status == "done" and row.result]


def grouped(rows: Sequence[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by the values of some parameters.

    Args:
        rows: of one study.
        *names: of the parameters.

    Returns:
        Values → the rows that have them, in increasing order of the values.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.point[name] for name in names), []).append(row)
    return dict(sorted(groups.items()))


def settings(
    rows: Sequence[Row], *, varied: Sequence[str], named: Sequence[str]
) -> list[tuple[tuple[Any, ...], str, list[Row]]]:
    """Groups of rows that share a setting: within a group, only ``varied`` and the seed differ.

    The spread within a group, at equal values of ``varied``, therefore reflects only the seed.

    Args:
        rows: of one study, at least one.
        varied: parameters that a section shows side by side.
        named: parameters that the title of a section states; groups are sorted by them.

    Returns:
        For each group: the values of ``named``, a text on what else sets it apart from the others, and its rows.
    """
    free = [name for name in rows[0].point if name not in (*varied, *named)]
    other = [name for name in free if len({str(row.point[name]) for row in rows}) > 1]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = (*(row.point[name] for name in named), *(str(row.point[name]) for name in other))
        groups.setdefault(key, []).append(row)
    found = []
    for key, some in sorted(groups.items()):
        said = "".join(f", {name} {some[0].point[name]}" for name in other)
        found.append((key[: len(named)], said, some))
    return found


def missing_combinations(rows: Sequence[Row], *names: str) -> str:
    """A sentence on the combinations of parameters and seed that have no row.

    Args:
        rows: finished ones.
        *names: of the parameters. Every value that occurs is expected with every other, for every seed.

    Returns:
        The sentence, or an empty string if none is missing.
    """
    seen = {(*(row.point[name] for name in names), row.seed) for row in rows}
    wanted = int(np.prod([len(set(values)) for values in zip(*seen, strict=True)])) if seen else 0
    if len(seen) == wanted:
        return ""
    return (
        f"{wanted - len(seen)} of the {wanted} combinations of {', '.join(names)} and seed have no finished row: they "
        "are not part of the grid, failed, or are still to come."
    )


def no_rows(title: str) -> list[Section]:
    """The only section of a study that has no finished rows."""
    return [Section(title, "No finished rows yet: run the study, or look at its failures with slth study status.")]


def paragraphs(*texts: str) -> str:
    """The texts that are not empty, as paragraphs."""
    return "\n\n".join(text for text in texts if text)


def percent(share: float) -> str:
    """A share in percent: 0.1234 → 12.34%. Shares below 1% have two significant digits."""
    return f"{100 * share:.2f}%" if share >= 0.01 else f"{100 * share:.2g}%"
