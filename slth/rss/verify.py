r"""The error of a selection, recomputed in exact arithmetic.

Every finite float64 is an integer multiple of a power of two, so :math:`X^\top s - z` is an exact rational
number. :func:`exact_error` returns it as a fraction; :func:`verify` returns the smallest float64 that is
not below it, at the speed of ``math.fsum`` (a correctly rounded sum, so its sign tells which way it rounded).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from slth.errors import InputError
from slth.rss.problem import BoolArray, Problem


def verify(problem: Problem, selected: npt.ArrayLike) -> float:
    """‖Xᵀs − z‖∞ as a float64 that is never below the exact value, and less than two ulps above it.

    Args:
        problem: the instance.
        selected: bool (n,), or 0/1 integers of that shape.

    Raises:
        InputError: wrong shape, an entry that is not 0/1, or the wrong number of ones for ``cardinality``.
    """
    rows = problem.vectors[check_selection(problem, selected)]
    # The rows are transposed once so that each coordinate is one contiguous list for fsum.
    columns = rows.T.tolist() if len(rows) else [[] for _ in range(problem.dimension)]
    for column, goal in zip(columns, problem.target.tolist(), strict=True):
        column.append(-goal)
    rounded = [math.fsum(column) for column in columns]
    worst = max(abs(value) for value in rounded)
    # Rounding went down somewhere at the maximum? Then the next float64 is the bound.
    for column, value in zip(columns, rounded, strict=True):
        if abs(value) == worst:
            rest = math.fsum([*column, -value])
            if rest and (rest > 0) == (value > 0):
                return math.nextafter(worst, math.inf)
    return worst


def exact_error(problem: Problem, selected: npt.ArrayLike) -> Fraction:
    """‖Xᵀs − z‖∞ as an exact fraction. Slow and certain: for tests and for ties within rounding."""
    rows = problem.vectors[check_selection(problem, selected)]
    worst = Fraction(0)
    for j, goal in enumerate(problem.target.tolist()):
        total = sum((Fraction(value) for value in rows[:, j].tolist()), start=-Fraction(goal))
        worst = max(worst, abs(total))
    return worst


def check_selection(problem: Problem, selected: npt.ArrayLike) -> BoolArray:
    """Return ``selected`` as bool (n,) if it is a selection that the problem allows."""
    array = np.asarray(selected)
    if array.shape != (problem.size,):
        raise InputError(
            f"selected must have shape (n,) = ({problem.size},); got {array.shape}. Pass one flag per candidate."
        )
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise InputError(f"selected must hold 0/1 or booleans; got values in [{array.min()}, {array.max()}].")
    chosen = array.astype(bool)
    if problem.cardinality is not None and int(chosen.sum()) != problem.cardinality:
        raise InputError(
            f"selected must have exactly cardinality = {problem.cardinality} ones; got {int(chosen.sum())}."
        )
    return chosen
