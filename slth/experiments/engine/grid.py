"""The grids and seeds of a spec: how they may be written, and the points that a grid stands for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from slth.experiments.engine.study import Point

# SQLite's integers end here.
LARGEST_SEED = 2**63 - 1

Grid = dict[str, tuple[Any, ...]]


def _with_lists(grid: Any) -> Any:
    """Make a list of one of each single value in a grid."""
    if not isinstance(grid, Mapping):
        return grid
    return {key: values if isinstance(values, list | tuple) else (values,) for key, values in grid.items()}


def _checked_seeds(value: Any) -> Any:
    numbers = value if isinstance(value, list | tuple) else (value,)
    least = 0 if numbers is value else 1  # a list names seeds; a single number says how many
    if not all(isinstance(one, int) and not isinstance(one, bool) and one >= least for one in numbers):
        raise ValueError("expected a number of seeds ≥ 1, or a list of seeds ≥ 0")
    if any(one > LARGEST_SEED for one in numbers):
        raise ValueError(f"expected seeds of at most {LARGEST_SEED:,}")
    return value


Seeds = Annotated[int | tuple[int, ...], BeforeValidator(_checked_seeds)]
Grids = tuple[Annotated[Grid, BeforeValidator(_with_lists)], ...]


def product(kind: type[Point], grid: Mapping[str, Sequence[Any]]) -> Iterable[Point]:
    """Make the points of a grid: every combination of its values, the last key fastest.

    Args:
        kind: the type of the points.
        grid: parameter → values.

    Returns:
        The points.
    """
    return (kind(**dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values()))
