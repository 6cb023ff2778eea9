"""What the sections of every study do with rows: group them, take medians, and say what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slth.experiments.engine.study import Row
from slth.report import Section


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of a few measurements."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Iterable[float]) -> Spread:
        """Of at least one value."""
        known = np.array(list(values), dtype=float)
        return Spread(float(np.median(known)), float(known.min()), float(known.max()))

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.median:.3g}"
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


def done(rows: Sequence[Row]) -> list[Row]:
    """The rows that have results."""
    return [row for row in rows if row.status == "done" and row.result]


def grouped(rows: Sequence[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by the values of these parameters, in increasing order of them."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.point[name] for name in names), []).append(row)
    return dict(sorted(groups.items()))


def settings(
    rows: Sequence[Row], *, varied: Sequence[str], named: Sequence[str]
) -> list[tuple[tuple[Any, ...], str, list[Row]]]:
    """Rows that differ in ``varied`` and the seed only, so that a spread over them is one over seeds.

    Args:
        varied: parameters that a section shows side by side. named: those that its title says, by which groups sort.

    Returns:
        For each group the values of ``named``, what else tells it from the others as text, and its rows.
    """
    free = [name for name in rows[0].point if name not in (*varied, *named)]
    other = [name for name in free if len({str(row.point[name]) for row in rows}) > 1]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = (*(row.point[name] for name in named), *(str(row.point[name]) for name in other))
        groups.setdefault(key, []).append(row)
    made = []
    for key, some in sorted(groups.items()):
        said = "".join(f", {name} {some[0].point[name]}" for name in other)
        made.append((key[: len(named)], said, some))
    return made


def holes(rows: Sequence[Row], *names: str) -> str:
    """A sentence on what is missing of the product of the values that each name takes and the seeds, or nothing."""
    seen = {(*(row.point[name] for name in names), row.seed) for row in rows}
    wanted = int(np.prod([len(set(values)) for values in zip(*seen, strict=True)])) if seen else 0
    if len(seen) == wanted:
        return ""
    return (
        f"{wanted - len(seen)} of the {wanted} combinations of {', '.join(names)} and seed have no finished row: they "
        "are not part of the grid, failed, or are still to come."
    )


def nothing(title: str) -> list[Section]:
    """What there is to say without rows."""
    return [Section(title, "No finished rows yet: run the study, or look at its failures with slth study status.")]


def paragraphs(*texts: str) -> str:
    """The texts that are not empty, as paragraphs."""
    return "\n\n".join(text for text in texts if text)


def percent(share: float) -> str:
    """0.1234 → 12.34%; small shares keep two digits."""
    return f"{100 * share:.2f}%" if share >= 0.01 else f"{100 * share:.2g}%"
