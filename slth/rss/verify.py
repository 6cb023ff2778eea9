r"""The error of a selection, recomputed in exact arithmetic.

Every finite float64 is a whole multiple of u = 2⁻¹⁰⁷⁴, so :math:`X^\top s - z` is a vector of integers in that unit.
A compiled loop, which releases the GIL, adds the selected rows into 32-bit digits (:mod:`slth.rss.exact_sums`).
:func:`error_upper_bound` and :func:`error_lower_bound` round the error up and down to the nearest float64, in L∞ and in
L2. :func:`exact_objective` computes it in fractions, one number at a time: it is slow, and independent of the digits.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray
from slth.errors import InputError
from slth.rss.exact_sums import DIGITS, UNIT_EXPONENT, largest_errors, sum_digits
from slth.rss.problem import Problem


def error_upper_bound(problem: Problem, selected: npt.ArrayLike) -> float:
    """The error rounded up: the smallest float64 that is not below ‖Xᵀs − z‖.

    Args:
        problem: the instance; the error is measured in its norm.
        selected: s, bool (n,), or 0/1 integers of that shape.

    Returns:
        The error that solutions report.

    Raises:
        InputError: wrong shape, an entry that is not 0/1, or the wrong number of ones for ``cardinality``.
    """
    if problem.norm == "linf":
        return _linf_error(problem, selected, down=False)
    value = objective_in_units(problem, selected)
    # A float64 is a whole multiple of u: if it is not below √value, it is not below the next integer either.
    length = math.isqrt(value - 1) + 1 if value else 0
    excess = max(0, length.bit_length() - 53)
    return math.ldexp(-(-length >> excess), excess + UNIT_EXPONENT)


def error_lower_bound(problem: Problem, selected: npt.ArrayLike) -> float:
    """The error rounded down: the largest float64 that is not above ‖Xᵀs − z‖.

    Args:
        problem: the instance; the error is measured in its norm.
        selected: s, bool (n,), or 0/1 integers of that shape.

    Returns:
        A lower bound on the error of this selection.

    Raises:
        InputError: wrong shape, an entry that is not 0/1, or the wrong number of ones for ``cardinality``.
    """
    if problem.norm == "linf":
        return _linf_error(problem, selected, down=True)
    length = math.isqrt(objective_in_units(problem, selected))
    excess = max(0, length.bit_length() - 53)
    return math.ldexp(length >> excess, excess + UNIT_EXPONENT)


def _linf_error(problem: Problem, selected: npt.ArrayLike, *, down: bool) -> float:
    """The L∞ error, rounded up or down."""
    chosen = np.flatnonzero(check_selection(problem, selected))
    return float(largest_errors(problem.vectors, problem.target[None], chosen, np.array([len(chosen)]), down=down)[0])


def exact_error(problem: Problem, selected: npt.ArrayLike) -> Fraction:
    """‖Xᵀs − z‖∞ as an exact fraction. It is slow, and meant for tests.

    Args:
        problem: the instance, with norm ``linf``.
        selected: s, bool (n,), or 0/1 integers of that shape.

    Returns:
        The exact error.

    Raises:
        InputError: the problem's norm is l2, whose values are irrational; see :func:`exact_objective`.
    """
    if problem.norm != "linf":
        raise InputError("exact_error must be asked of a problem with norm linf; got l2. Use exact_objective.")
    return exact_objective(problem, selected)


def exact_objective(problem: Problem, selected: npt.ArrayLike) -> Fraction:
    """The quantity that is minimised, as an exact fraction: ‖Xᵀs − z‖∞, or ‖Xᵀs − z‖₂² for norm l2.

    Args:
        problem: the instance.
        selected: s, bool (n,), or 0/1 integers of that shape.

    Returns:
        The exact value. It is slow to compute.
    """
    rows = problem.vectors[check_selection(problem, selected)]
    gaps = [
        sum((Fraction(value) for value in rows[:, j].tolist()), start=-Fraction(goal))
        for j, goal in enumerate(problem.target.tolist())
    ]
    return max(map(abs, gaps)) if problem.norm == "linf" else sum((gap * gap for gap in gaps), start=Fraction(0))


def objective_in_units(problem: Problem, selected: npt.ArrayLike) -> int:
    """:func:`exact_objective` as an integer, computed fast.

    Args:
        problem: the instance.
        selected: s, bool (n,), or 0/1 integers of that shape.

    Returns:
        The value in units of u for norm linf, and of u² for norm l2.
    """
    chosen = np.flatnonzero(check_selection(problem, selected))
    digits = sum_digits(problem.vectors.view(np.int64), chosen, problem.target.view(np.int64))
    data, width = digits.astype("<u4", copy=False).tobytes(), 4 * DIGITS
    residual = [int.from_bytes(data[i : i + width], "little", signed=True) for i in range(0, len(data), width)]
    return max(map(abs, residual)) if problem.norm == "linf" else sum(value * value for value in residual)


def check_selection(problem: Problem, selected: npt.ArrayLike) -> BoolArray:
    """Return ``selected`` as booleans if it is a selection that the problem allows.

    Args:
        problem: the instance.
        selected: s, bool (n,), or 0/1 integers of that shape.

    Returns:
        bool (n,).

    Raises:
        InputError: wrong shape, an entry that is not 0/1, or the wrong number of ones for ``cardinality``.
    """
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
