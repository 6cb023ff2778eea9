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
    """‖Xᵀs − z‖ as a float64 that is never below the exact value, and at most a few ulps above it.

    Args:
        problem: the instance; its norm is meant.
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
    if problem.norm == "l2":
        return _length_up([_round_up(column, value) for column, value in zip(columns, rounded, strict=True)])
    worst = max(abs(value) for value in rounded)
    # Rounding went down somewhere at the maximum? Then the next float64 is the bound.
    return max(_round_up(column, value) for column, value in zip(columns, rounded, strict=True) if abs(value) == worst)


def exact_error(problem: Problem, selected: npt.ArrayLike) -> Fraction:
    """‖Xᵀs − z‖∞ as an exact fraction. Slow and certain: for tests and for ties within rounding.

    Raises:
        InputError: the problem's norm is l2, whose values are irrational; see :func:`exact_objective`.
    """
    if problem.norm != "linf":
        raise InputError("exact_error must be asked of a problem with norm linf; got l2. Use exact_objective.")
    return exact_objective(problem, selected)


def exact_objective(problem: Problem, selected: npt.ArrayLike) -> Fraction:
    """What orders selections, exactly: ‖Xᵀs − z‖∞, or ‖Xᵀs − z‖₂² for norm l2."""
    rows = problem.vectors[check_selection(problem, selected)]
    gaps = [
        sum((Fraction(value) for value in rows[:, j].tolist()), start=-Fraction(goal))
        for j, goal in enumerate(problem.target.tolist())
    ]
    return max(map(abs, gaps)) if problem.norm == "linf" else sum((gap * gap for gap in gaps), start=Fraction(0))


def exceeds(problem: Problem, bound: float, selected: npt.ArrayLike) -> bool:
    """Whether ``bound`` ≥ the exact error of ``selected``, decided in rational arithmetic."""
    stated = Fraction(bound)
    return (stated if problem.norm == "linf" else stated * stated) >= exact_objective(problem, selected)


def below(problem: Problem, error: float, selected: npt.ArrayLike) -> float:
    """The largest float64 not above the exact error of ``selected``, given :func:`verify`'s bound from above."""
    exact = exact_objective(problem, selected)
    while (Fraction(error) if problem.norm == "linf" else Fraction(error) ** 2) > exact:
        error = math.nextafter(error, 0.0)
    return error


def _round_up(column: list[float], value: float) -> float:
    """|Σ column| rounded up, given its correctly rounded sum."""
    rest = math.fsum([*column, -value])
    return math.nextafter(abs(value), math.inf) if rest and (rest > 0) == (value > 0) else abs(value)


def _length_up(entries: list[float]) -> float:
    """√(Σ entries²) rounded up; scaled by a power of two so that squares neither overflow nor vanish."""
    largest = max(entries)
    if largest == 0.0:
        return 0.0
    exponent = math.frexp(largest)[1]
    squares = [math.nextafter(math.ldexp(value, -exponent) ** 2, math.inf) for value in entries if value]
    total = math.nextafter(math.fsum(squares), math.inf)
    return math.nextafter(math.ldexp(math.nextafter(math.sqrt(total), math.inf), exponent), math.inf)


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
