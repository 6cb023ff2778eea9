r"""The error of a selection, recomputed in exact arithmetic.

Every finite float64 is a whole multiple of u = 2⁻¹⁰⁷⁴, so :math:`X^\top s - z` is a vector of integers in that unit.
A compiled loop, which releases the GIL, adds the selected rows into 32-bit digits. Python's integers then hold D
numbers. :func:`error_upper_bound` and :func:`error_lower_bound` round the error up and down to the nearest float64, in
L∞ and in L2. :func:`exact_objective` computes it in fractions, one number at a time: it is slow, and independent of the
digits.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numba
import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray
from slth.errors import InputError
from slth.rss.problem import Problem

# u = 2^UNIT_EXPONENT divides every finite float64.
UNIT_EXPONENT = -1074
# 32-bit digits of a sum: 2098 bits for the range of float64, and 46 for carries and the sign.
DIGITS = 67


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
    value = objective_in_units(problem, selected)
    # A float64 is a whole multiple of u: if it is not below √value, it is not below the next integer either.
    length = value if problem.norm == "linf" or value == 0 else math.isqrt(value - 1) + 1
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
    value = objective_in_units(problem, selected)
    length = value if problem.norm == "linf" else math.isqrt(value)
    excess = max(0, length.bit_length() - 53)
    return math.ldexp(length >> excess, excess + UNIT_EXPONENT)


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
    digits = _sum_digits(problem.vectors.view(np.int64), chosen, problem.target.view(np.int64))
    data, width = digits.astype("<u4", copy=False).tobytes(), 4 * DIGITS
    residual = [int.from_bytes(data[i : i + width], "little", signed=True) for i in range(0, len(data), width)]
    return max(map(abs, residual)) if problem.norm == "linf" else sum(value * value for value in residual)


@numba.njit(nogil=True, cache=True)
def _sum_digits(vectors, chosen, target):  # type: ignore[no-untyped-def]
    """Σ vectors[chosen] − target from the bits of float64 entries, in two's complement: uint32 (D, DIGITS)."""
    total = np.zeros((target.size, DIGITS), np.int64)
    for d in range(target.size):
        _add_float(total[d], target[d], -1)
    for i in chosen:
        for d in range(target.size):
            _add_float(total[d], vectors[i, d], 1)
    digits = np.empty((target.size, DIGITS), np.uint32)
    for d in range(target.size):
        carry = 0
        for k in range(DIGITS):
            carry += total[d, k]
            digits[d, k] = carry & 0xFFFFFFFF
            carry >>= 32
    return digits


@numba.njit(nogil=True, cache=True, inline="always")
def _add_float(total, bits, sign):  # type: ignore[no-untyped-def]
    """Add the float64 with these bits, times sign, to digits. As int64 they hold 2^30 additions without a carry."""
    exponent = (bits >> 52) & 0x7FF
    mantissa = bits & 0xFFFFFFFFFFFFF
    if exponent:
        mantissa |= 1 << 52
        exponent -= 1
    if bits < 0:
        sign = -sign
    place, shift = exponent >> 5, exponent & 31
    low = (mantissa & 0xFFFFFFFF) << shift  # below 2^63
    high = (mantissa >> 32) << shift  # below 2^52
    total[place] += sign * (low & 0xFFFFFFFF)
    total[place + 1] += sign * ((low >> 32) + (high & 0xFFFFFFFF))
    total[place + 2] += sign * (high >> 32)


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
