r"""Kept channels as few bits as they need: gaps between positions, in a Rice code.

All places that a mask of a layer could keep are numbered, one instance after the other; the kept ones are increasing
numbers below the total N. k of them drawn at random need :math:`\log_2 \binom{N}{k}` bits. Their gaps are nearly
geometric, for which a Rice code with the right parameter b is within a few per cent of the optimum: a gap g is
written as ⌊g/2^b⌋ zeros, a one, and the b low bits of g.

Source: rice1971
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from slth.tickets.ticket import Ticket, instance_signs

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
# 2^40 is beyond any position: a larger parameter never pays.
MAX_PARAMETER = 40


def encode(positions: Positions) -> tuple[int, Bytes]:
    """(b, bytes) of increasing positions ≥ 0, with the b that takes the fewest bits; ValueError for others."""
    gaps = np.diff(positions, prepend=-1) - 1
    if (gaps < 0).any():
        raise ValueError("positions must increase from 0 or above")
    sizes = [int((gaps >> b).sum()) + len(gaps) * (1 + b) for b in range(MAX_PARAMETER)]
    parameter = int(np.argmin(sizes))
    quotients = gaps >> parameter
    lengths = quotients + 1 + parameter
    starts = np.cumsum(lengths) - lengths
    bits = np.zeros(sizes[parameter], dtype=np.uint8)
    bits[starts + quotients] = 1
    for b in range(parameter):
        bits[starts + quotients + 1 + b] = (gaps >> (parameter - 1 - b)) & 1
    return parameter, np.packbits(bits)


def decode(parameter: int, data: Bytes, count: int) -> Positions:
    """The ``count`` positions that :func:`encode` wrote.

    Raises:
        ValueError: the bytes hold fewer, or more than padding after them.
    """
    room = 8 * len(data)
    # The largest position that so many bits can hold must be a number of 64 bits.
    if not 0 <= parameter < MAX_PARAMETER or not 0 <= count <= room or (room + count) << parameter >= 2**62:
        raise ValueError(f"{len(data)} bytes with parameter {parameter} cannot hold {count} positions")
    gaps = np.empty(count, dtype=np.int64)
    used = _read(np.unpackbits(data), parameter, gaps)
    if used < 0 or len(data) != -(-used // 8):
        raise ValueError(f"{len(data)} bytes do not hold {count} positions")
    return np.asarray(np.cumsum(gaps + 1) - 1)


def optimal_bits(total: int, kept: int) -> float:
    """log2 of the number of ways to keep ``kept`` of ``total``."""
    return (math.lgamma(total + 1) - math.lgamma(kept + 1) - math.lgamma(total - kept + 1)) / math.log(2)


def ideal_bits(ticket: Ticket) -> float:
    """Σ over the ticket's instances of log2 C(n, k): what the choice of its kept channels takes at least."""
    total = 0.0
    for i, linear in enumerate(ticket.target.maps):
        for channel, block in enumerate(ticket.kept[i]):
            positive, negative = ticket.parent.count_signs(i, channel)
            mixing = ticket.parent.mixing(i, channel, block.rows)
            parts = np.repeat(np.arange(len(block.counts)), block.counts)
            for sign in instance_signs(linear.signs, channel, linear.channels[0]):
                inside = mixing > 0 if sign == "+" else mixing < 0
                kept = np.bincount(parts[inside], minlength=len(block.counts))
                size = positive if sign == "+" else negative
                total += sum(optimal_bits(size, int(k)) for k in kept)
    return total


@numba.njit(nogil=True, cache=True)
def _read(bits, parameter, gaps):  # type: ignore[no-untyped-def]
    """Fill ``gaps``; the number of bits used, or -1 when they do not suffice."""
    place = 0
    for i in range(gaps.size):
        quotient = 0
        while place < bits.size and bits[place] == 0:
            quotient += 1
            place += 1
        place += 1
        if place + parameter > bits.size:
            return -1
        low = 0
        for _ in range(parameter):
            low = 2 * low + bits[place]
            place += 1
        gaps[i] = (quotient << parameter) + low
    return place
