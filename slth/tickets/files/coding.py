r"""Kept channels in as few bits as they need: one yes or no for each place, in an arithmetic code.

An instance that keeps k of its n places chose one of :math:`\binom{n}{k}` subsets. Its places are coded one after the
other, each with the probability that it is kept given those before it,

.. math:: P(\text{kept}) = \frac{\alpha + \text{kept so far}}{\alpha + \beta + \text{seen so far}}

anew for every instance: :math:`\log_2 \binom{n}{k}` bits and those that k itself needs under a beta-binomial law,
whose α and β are chosen for each layer. The coder is a range coder of 32 bits with probabilities in 65536ths; all its
numbers are integers or single IEEE operations, so every machine reads what any other wrote.

Source: martin1979
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt
from scipy.special import betaln

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

_TOP = np.uint64(1 << 24)
_LOW = np.uint64(0xFFFFFFFF)
_8 = np.uint64(8)
_16 = np.uint64(16)


def encode(positions: Places, sizes: Places) -> tuple[float, float, Bytes]:
    """Code the kept places of some instances.

    Args:
        positions: kept places, int64, increasing; places are numbered through all instances one after the other.
        sizes: number of places of each instance, int64.

    Returns:
        (α, β, bytes).

    Raises:
        ValueError: the positions do not increase, or lie outside the instances.
    """
    if len(positions) and ((np.diff(positions) <= 0).any() or positions[0] < 0 or positions[-1] >= sizes.sum()):
        raise ValueError(f"positions must increase from 0 to below {int(sizes.sum())}")
    counts = np.diff(np.searchsorted(positions, np.concatenate([[0], np.cumsum(sizes)])))
    alpha, beta, bits = _prior(counts, sizes)
    # Rounding the probabilities costs below a hundredth of a bit a place: this is room for twice that and more.
    room = np.empty(int(bits / 4) + int(sizes.sum()) // 64 + 1024, dtype=np.uint8)
    return alpha, beta, room[: _write(positions, sizes, alpha, beta, room)].copy()


def decode(alpha: float, beta: float, data: Bytes, sizes: Places) -> Places:
    """The positions that :func:`encode` coded.

    Args:
        alpha: α of the code.
        beta: β of the code.
        data: the code, uint8 (n,).
        sizes: number of places of each instance, int64.

    Returns:
        Kept places, int64, increasing.

    Raises:
        ValueError: α or β out of range, data of another type, too few bytes or too many.
    """
    if not (0 < alpha < 1e9 and 0 < beta < 1e9):
        raise ValueError(f"alpha and beta must lie in (0, 1e9); got {alpha} and {beta}")
    if data.ndim != 1 or data.dtype != np.uint8:
        raise ValueError(f"code must be uint8 of shape (n,); got {data.dtype} of shape {data.shape}")
    positions = np.empty(int(sizes.sum()), dtype=np.int64)
    count, used = _read(data, sizes, float(alpha), float(beta), positions)
    if used != len(data):
        raise ValueError(f"code must have {used} bytes; got {len(data)}")
    return positions[:count].copy()


def optimal_bits(total: int, kept: int) -> float:
    """log2 of the number of ways to keep some of several things.

    Args:
        total: how many there are.
        kept: how many are kept.
    """
    return (math.lgamma(total + 1) - math.lgamma(kept + 1) - math.lgamma(total - kept + 1)) / math.log(2)


def _prior(counts: Places, sizes: Places) -> tuple[float, float, float]:
    """The α and β with the right mean that make the code shortest, of strengths α + β = 2, 4, 8, …, and its bits."""
    share = (float(counts.sum()) + 0.5) / (float(sizes.sum()) + 1.0)
    best, chosen = math.inf, (1.0, 1.0, 0.0)
    for power in range(1, 25):
        alpha, beta = 2.0**power * share, 2.0**power * (1 - share)
        bits = float((betaln(alpha, beta) - betaln(counts + alpha, sizes - counts + beta)).sum())
        if bits < best:
            best, chosen = bits, (alpha, beta, bits / math.log(2))
    return chosen


@numba.njit(nogil=True, cache=True)
def _probability(alpha, beta, kept, seen):  # type: ignore[no-untyped-def]
    """P(kept) in 65536ths, never 0 or 1."""
    share = (alpha + kept) / ((alpha + beta) + seen) * 65536.0
    return np.uint64(np.int64(max(1.0, min(share, 65535.0))))


@numba.njit(nogil=True, cache=True)
def _write(positions, sizes, alpha, beta, out):  # type: ignore[no-untyped-def]
    """Code every place into ``out``; the number of bytes. Carries run through the bytes already written."""
    low = np.uint64(0)
    width = _LOW
    length = 0
    place = 0
    following = 0
    for i in range(sizes.size):
        kept = 0
        for seen in range(sizes[i]):
            bound = (width >> _16) * _probability(alpha, beta, kept, seen)
            if following < positions.size and positions[following] == place:
                width = bound
                following += 1
                kept += 1
            else:
                low += bound
                width -= bound
                if low > _LOW:
                    low &= _LOW
                    back = length - 1
                    while out[back] == 255:
                        out[back] = 0
                        back -= 1
                    out[back] += 1
            while width < _TOP:
                out[length] = low >> np.uint64(24)
                length += 1
                low = (low << _8) & _LOW
                width <<= _8
            place += 1
    for _ in range(4):
        out[length] = low >> np.uint64(24)
        length += 1
        low = (low << _8) & _LOW
    return length


@numba.njit(nogil=True, cache=True)
def _read(data, sizes, alpha, beta, positions):  # type: ignore[no-untyped-def]
    """Fill ``positions``; how many there are, and how many bytes the writer must have written."""
    code = np.uint64(0)
    for i in range(4):
        code = (code << _8) | np.uint64(data[i] if i < data.size else 0)
    width = _LOW
    used = 4
    place = 0
    count = 0
    for i in range(sizes.size):
        kept = 0
        for seen in range(sizes[i]):
            bound = (width >> _16) * _probability(alpha, beta, kept, seen)
            if code < bound:
                width = bound
                positions[count] = place
                count += 1
                kept += 1
            else:
                code -= bound
                width -= bound
            while width < _TOP:
                code = (code << _8) | np.uint64(data[used] if used < data.size else 0)
                used += 1
                width <<= _8
            place += 1
        if used > data.size:
            break
    return count, used
