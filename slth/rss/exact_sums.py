r"""Sums of float64 numbers in exact arithmetic, compiled: one sum, or all the sums of a layer's input channel at once.

Every finite float64 is a whole multiple of u = 2⁻¹⁰⁷⁴. A sum is kept in 32-bit digits of that unit, so no addition is
rounded. :func:`sum_digits` hands the digits of a sum back. :func:`largest_errors` rounds |sum − goal| to float64
without leaving compiled code, which takes about a tenth of a microsecond a sum.
"""

from __future__ import annotations

import numba
import numpy as np

from slth.arrays import FloatArray, IntArray

# u = 2^UNIT_EXPONENT divides every finite float64.
UNIT_EXPONENT = -1074
# 32-bit digits of a sum: 2098 bits for the range of float64, and 46 for carries and the sign.
DIGITS = 67
# So many neighbouring columns are added up together: a cache line of float64.
_COLUMNS = 8


def largest_errors(
    rows: FloatArray, goals: FloatArray, members: IntArray, counts: IntArray, *, down: bool = False
) -> FloatArray:
    r"""The L∞ errors of many sums of rows, each over columns of its own, rounded up (or down).

    .. math:: e_p = \Big\| \sum_{i \in S_p} X_{i,p} - z_p \Big\|_\infty \qquad p = 1 … P

    Args:
        rows: X, float64 (m, P·D), finite.
        goals: z, float64 (P, D), finite.
        members: the sets S_1, S_2, … one after the other: numbers of rows, int64 (Σ counts,).
        counts: the sizes of the sets, int64 (P,).
        down: whether errors are rounded down.

    Returns:
        float64 (P,): for each sum the smallest float64 that is not below the exact error; rounded down, the largest
        float64 that is not above it.
    """
    errors = np.empty(len(goals), dtype=np.int64)
    _largest_errors(rows.view(np.int64), goals.view(np.int64), members, counts, down, errors)
    return errors.view(np.float64)


def squared_errors(rows: FloatArray, goals: FloatArray, members: IntArray, counts: IntArray) -> FloatArray:
    r"""The squared L2 errors of the same sums in ordinary float64, rounded as numpy rounds them.

    Each is ``np.square(rows[S_p, columns of p].sum(axis=0) - goals[p]).sum()``, to the last bit.

    Args:
        rows: X, float64 (m, P·D).
        goals: z, float64 (P, D).
        members: the sets S_1, S_2, … one after the other: numbers of rows, int64 (Σ counts,).
        counts: the sizes of the sets, int64 (P,).

    Returns:
        float64 (P,).
    """
    squares = np.empty(len(goals))
    _squared_errors(rows, goals, members, counts, squares)
    return squares


@numba.njit(nogil=True, cache=True)
def sum_digits(vectors, chosen, target):  # type: ignore[no-untyped-def]
    """Σ vectors[chosen] − target in digits.

    Args:
        vectors: the bits of float64 entries, int64 (n, D).
        chosen: numbers of rows, int64 (k,).
        target: the bits of float64 entries, int64 (D,).

    Returns:
        uint32 (D, DIGITS), in two's complement, the lowest digit first.
    """
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
    return place


@numba.njit(nogil=True, cache=True)
def _largest_errors(rows, goals, members, counts, down, errors):  # type: ignore[no-untyped-def]
    """Write the bits of the largest rounded error of each sum. Bits of numbers ≥ 0 are ordered like the numbers."""
    size = goals.shape[1]
    total = np.zeros((_COLUMNS, DIGITS), np.int64)
    begin = 0
    for p in range(goals.shape[0]):
        end = begin + counts[p]
        largest = np.int64(0)
        for first in range(0, size, _COLUMNS):
            width = min(_COLUMNS, size - first)
            least, most = np.int64(DIGITS), np.int64(0)
            for d in range(width):
                place = _add_float(total[d], goals[p, first + d], -1)
                least, most = min(least, place), max(most, place)
            for k in range(begin, end):
                row = rows[members[k]]
                for d in range(width):
                    place = _add_float(total[d], row[p * size + first + d], 1)
                    least, most = min(least, place), max(most, place)
            # A number fills three digits from its place on; carries and the sign need two more.
            stop = min(most + 5, DIGITS)
            for d in range(width):
                largest = max(largest, _rounded(total[d], least, stop, down))
                total[d, least:stop] = 0
        errors[p] = largest
        begin = end


@numba.njit(nogil=True, cache=True, inline="always")
def _rounded(total, least, stop, down):  # type: ignore[no-untyped-def]
    """The bits of |total| rounded up or down to float64; digits outside least … stop − 1 are zero."""
    carry = np.int64(0)
    for k in range(least, stop):
        carry += total[k]
        total[k] = carry & 0xFFFFFFFF
        carry >>= 32
    if carry < 0:  # the sum is negative: negate it
        carry = np.int64(1)
        for k in range(least, stop):
            carry += total[k] ^ 0xFFFFFFFF
            total[k] = carry & 0xFFFFFFFF
            carry >>= 32
    top = stop - 1
    while top >= least and total[top] == 0:
        top -= 1
    if top < least:
        return np.int64(0)
    high = 32
    while not total[top] >> (high - 1):
        high -= 1
    # The number has 32·top + high bits; all but the first 53 are rounded away.
    excess = max(32 * top + high - 53, 0)
    place, shift = excess >> 5, excess & 31
    kept = np.int64(0)
    for k in range(min(top, place + 2), place - 1, -1):
        below = 32 * (k - place) - shift
        kept += total[k] << below if below >= 0 else total[k] >> -below
    if down:
        return (excess << 52) + kept
    lost = total[place] & ((1 << shift) - 1) != 0
    for k in range(least, min(place, stop)):
        lost = lost or total[k] != 0
    # With excess 0 these are the bits of a whole number of units. Otherwise excess + 1 is the exponent, and the leading
    # bit of the mantissa adds one to it, as does a mantissa that is rounded up to 2^53.
    return (excess << 52) + kept + lost


@numba.njit(nogil=True, cache=True)
def _squared_errors(rows, goals, members, counts, squares):  # type: ignore[no-untyped-def]
    size = goals.shape[1]
    sums = np.empty(size)
    begin = 0
    for p in range(goals.shape[0]):
        end = begin + counts[p]
        if size == 1:  # numpy adds up a single column pairwise, and several columns row by row
            column = np.empty(end - begin)
            for k in range(begin, end):
                column[k - begin] = rows[members[k], p]
            sums[0] = _pairwise_sum(column)
        else:
            sums[:] = 0.0
            for k in range(begin, end):
                row = rows[members[k]]
                for d in range(size):
                    sums[d] += row[p * size + d]
        for d in range(size):
            gap = sums[d] - goals[p, d]
            sums[d] = gap * gap
        squares[p] = _pairwise_sum(sums)
        begin = end


@numba.njit(nogil=True, cache=True)
def _pairwise_sum(values):  # type: ignore[no-untyped-def]
    """The sum of values in the order of numpy's pairwise summation."""
    count = values.size
    if count < 8:
        total = 0.0
        for value in values:
            total += value
        return total
    if count > 128:
        half = count // 2
        half -= half % 8
        return _pairwise_sum(values[:half]) + _pairwise_sum(values[half:])
    parts = values[:8].copy()
    whole = count - count % 8
    for i in range(8, whole, 8):
        for j in range(8):
            parts[j] += values[i + j]
    total = ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]))
    for i in range(whole, count):
        total += values[i]
    return total
