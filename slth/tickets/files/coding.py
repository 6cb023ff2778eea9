r"""An arithmetic code for the kept channels of a layer, close to the fewest bits possible.

An instance that keeps k of its n places chose one of :math:`\binom{n}{k}` subsets. The code has one yes or no for each
place, coded with the probability that the place is kept, given the places before it in the same instance:

.. math:: P(\text{kept}) = \frac{\alpha + \text{kept so far}}{\alpha + \beta + \text{seen so far}}

This takes :math:`\log_2 \binom{n}{k}` bits, and the bits for k itself under a beta-binomial law. Its α and β are chosen
for each layer. The coder is a range coder of 32 bits with probabilities in 65536ths. It uses integers and single IEEE
operations only, so that every machine reads what any other machine wrote.

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

# Kept places that a code may hold, whatever its length, and for each of its bytes. Every kept place takes some 80 bytes
# of memory while a file is read. A ticket that keeps fewer than half of its places keeps at most 8 for each byte.
MOST_KEPT = 2**22
KEPT_PER_BYTE = 64

# The coder's interval is narrowed place by place; a byte is moved out whenever its width falls below this.
_LEAST_WIDTH = np.uint64(1 << 24)
_FULL_WIDTH = np.uint64(0xFFFFFFFF)
_BYTE = np.uint64(8)
_PROBABILITY_BITS = np.uint64(16)


def encode(positions: Places, sizes: Places) -> tuple[float, float, Bytes]:
    """Code the kept places of the instances of a layer.

    Args:
        positions: kept places, int64, increasing; places are numbered through all instances, one after the other.
        sizes: number of places of each instance, int64.

    Returns:
        (α, β, code), the code as uint8 (n,).

    Raises:
        ValueError: the positions do not increase, or lie outside the instances.
    """
    if len(positions) and ((np.diff(positions) <= 0).any() or positions[0] < 0 or positions[-1] >= sizes.sum()):
        raise ValueError(f"positions must increase from 0 to below {int(sizes.sum())}")
    counts = np.diff(np.searchsorted(positions, np.concatenate([[0], np.cumsum(sizes)])))
    alpha, beta, bits = _fit_prior(counts, sizes)
    # Rounding the probabilities costs less than a hundredth of a bit for each place; the buffer holds more than that.
    buffer = np.empty(int(bits / 4) + int(sizes.sum()) // 64 + 1024, dtype=np.uint8)
    return alpha, beta, buffer[: _write_code(positions, sizes, alpha, beta, buffer)].copy()


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
        ValueError: α or β is out of range; the code is of another type or length; or it keeps more places than it has
            bytes for.
    """
    if not (0 < alpha < 1e9 and 0 < beta < 1e9):
        raise ValueError(f"alpha and beta must lie in (0, 1e9); got {alpha} and {beta}")
    if data.ndim != 1 or data.dtype != np.uint8:
        raise ValueError(f"code must be uint8 of shape (n,); got {data.dtype} of shape {data.shape}")
    most = MOST_KEPT + KEPT_PER_BYTE * len(data)
    positions = np.empty(min(int(sizes.sum()), most), dtype=np.int64)
    count, used = _read_code(data, sizes, float(alpha), float(beta), positions)
    if count > len(positions):
        raise ValueError(f"code of {len(data)} bytes keeps more than {most} places")
    if used != len(data):
        raise ValueError(f"code must have {used} bytes; got {len(data)}")
    return positions[:count].copy()


def optimal_bits(total: int, kept: int) -> float:
    """The bits needed to choose some of several things: log2 of the binomial coefficient.

    Args:
        total: number of things.
        kept: number of things that are chosen.
    """
    return (math.lgamma(total + 1) - math.lgamma(kept + 1) - math.lgamma(total - kept + 1)) / math.log(2)


def _fit_prior(counts: Places, sizes: Places) -> tuple[float, float, float]:
    """(α, β, bits) of the shortest code, among priors with the right mean and strength α + β = 2, 4, 8, …."""
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
def _write_code(positions, sizes, alpha, beta, out):  # type: ignore[no-untyped-def]
    """Code every place into ``out`` and return the number of bytes; a carry runs back through the bytes written."""
    low = np.uint64(0)
    width = _FULL_WIDTH
    length = 0
    place = 0
    following = 0
    for i in range(sizes.size):
        kept = 0
        for seen in range(sizes[i]):
            bound = (width >> _PROBABILITY_BITS) * _probability(alpha, beta, kept, seen)
            if following < positions.size and positions[following] == place:
                width = bound
                following += 1
                kept += 1
            else:
                low += bound
                width -= bound
                if low > _FULL_WIDTH:
                    low &= _FULL_WIDTH
                    back = length - 1
                    while out[back] == 255:
                        out[back] = 0
                        back -= 1
                    out[back] += 1
            while width < _LEAST_WIDTH:
                out[length] = low >> np.uint64(24)
                length += 1
                low = (low << _BYTE) & _FULL_WIDTH
                width <<= _BYTE
            place += 1
    for _ in range(4):
        out[length] = low >> np.uint64(24)
        length += 1
        low = (low << _BYTE) & _FULL_WIDTH
    return length


@numba.njit(nogil=True, cache=True)
def _read_code(data, sizes, alpha, beta, positions):  # type: ignore[no-untyped-def]
    """Fill ``positions``, and return their number and the number of bytes that the writer must have written.

    The number is one more than ``positions`` has room for if the code keeps more places than that.
    """
    code = np.uint64(0)
    for i in range(4):
        code = (code << _BYTE) | np.uint64(data[i] if i < data.size else 0)
    width = _FULL_WIDTH
    used = 4
    place = 0
    count = 0
    for i in range(sizes.size):
        kept = 0
        for seen in range(sizes[i]):
            bound = (width >> _PROBABILITY_BITS) * _probability(alpha, beta, kept, seen)
            if code < bound:
                width = bound
                if count == positions.size:
                    return count + 1, used
                positions[count] = place
                count += 1
                kept += 1
            else:
                code -= bound
                width -= bound
            while width < _LEAST_WIDTH:
                code = (code << _BYTE) | np.uint64(data[used] if used < data.size else 0)
                used += 1
                width <<= _BYTE
            if used > data.size:
                return count, used
            place += 1
    return count, used
