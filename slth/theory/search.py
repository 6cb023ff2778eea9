"""The search behind a certified width: floating point proposes subset size, block size and number of blocks; the
certificate is computed for what was proposed, and the block size moved to the smallest that still has one.

Source: certified
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from flint import arb, ctx, fmpq
from scipy import special

from slth.theory import enclosures
from slth.theory.moments import Proposal, proposal, success

# Work limits. A certificate evaluates up to half a million cells, about 0.05 s, for each unit of k.
LARGEST_SUBSET = 2000
LARGEST_BLOCK = 10**6
# Shares of ε that the radius of a covering net may take.
NET_SHARES = tuple(2.0**-i for i in range(1, 9))
# Success probabilities of one block that are tried when blocks are combined.
BLOCK_SUCCESSES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A target of bounded entries, the tolerance, and the failure probability that all blocks together may have."""

    dim: int
    eps: float
    z_bound: float
    failure: fmpq

    def proposal(self, k: int) -> Proposal:
        """What floating point says about a subset size, and the window of scales it prefers."""
        return proposal(k, self.dim, self.eps, self.z_bound)

    def success(self, n: int, k: int) -> arb:
        """The certificate of one block."""
        return success(n, self.proposal(k).chosen)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Blocks of ``size`` candidates, each hit by a k-subset with probability at least ``success``."""

    size: int
    k: int
    blocks: int
    success: arb


def search(question: Question) -> Answer | None:
    """The least total of candidates found; None when no certificate was found within the work limit.

    Source: certified
    """
    start = _first_guess(question)
    if start is None:
        return None
    proposed: dict[int, tuple[float, int, int]] = {}

    def total(k: int) -> float:
        if not 1 <= k <= LARGEST_SUBSET:
            return math.inf
        if k not in proposed:
            proposed[k] = _cheapest(question, k)
        return proposed[k][0]

    k = _descend(total, start)
    if not math.isfinite(total(k)):
        return None
    _, size, blocks = proposed[k]
    return _settle(question, k, size, blocks)


def covering_net(dim: int, eps: float, delta: float, z_bound: float) -> tuple[float, int]:
    r"""(ε₁, c): c^D centres of [−ζ, ζ]^D such that a subset within ε₁ of the nearest is within ε of any point.

    .. math:: c = \lceil ζ/η \rceil, \quad η = ε - ε_1

    in exact arithmetic; how ε is shared between ε₁ and η is chosen by the leading term of the width.

    Source: certified
    """

    def net(share: float) -> tuple[float, int]:
        tolerance = eps * (1 - share)
        return tolerance, max(1, math.ceil(Fraction(z_bound) / (Fraction(eps) - Fraction(tolerance))))

    def cost(share: float) -> float:
        tolerance, side = net(share)
        return (dim * math.log(side) - math.log(delta) + 1) * math.log(10 * math.sqrt(dim) / tolerance)

    return net(min(NET_SHARES, key=cost))


def missed(chance: arb, blocks: int) -> arb:
    """(1 − p)^m: the probability that every one of m independent blocks fails, bounded from above.

    Source: certified
    """
    with ctx.workprec(enclosures.BITS):
        return (1 - chance) ** blocks


def _cheapest(question: Question, k: int) -> tuple[float, int, int]:
    """(candidates in all, block size, blocks) that floating point proposes for a subset size; inf when none."""
    failure = -_log(question.failure)
    found = [(math.inf, 0, 0)]
    counts = {1, *(math.ceil(failure / -math.log1p(-p)) for p in BLOCK_SUCCESSES)}
    for blocks in sorted(counts):
        size = question.proposal(k).smallest(-math.expm1(-failure / blocks), min(LARGEST_BLOCK, 1000 * k))
        if size is not None:
            found.append((float(size * blocks), size, blocks))
    return min(found)


def _first_guess(question: Question) -> int | None:
    """A subset size from E[number of hits] = 4 with overlaps that cost about a half; None above the work limit."""
    share = min(0.4, math.sqrt(-math.expm1(-0.5 / question.dim)))
    for size in (2**i * 4 for i in range(24)):
        k = max(1, round(share * size))
        hit = math.log(2 * question.eps / math.sqrt(2 * math.pi * k)) - question.z_bound**2 / (2 * k)
        subsets = special.gammaln(size + 1) - special.gammaln(k + 1) - special.gammaln(size - k + 1)
        if subsets + question.dim * hit > math.log(4):
            return k if k <= LARGEST_SUBSET else None
    return None


def _descend(total: Callable[[int], float], k: int) -> int:
    """A local minimum of ``total`` over the integers, by steps that are halved until they are 1."""
    while math.isinf(total(k)) and 2 * k <= LARGEST_SUBSET:
        k *= 2  # a far target, or cells too coarse for a small subset
    step = max(1, k // 3)
    while step:
        best = min((k, k - step, k + step), key=total)
        if best == k:
            step //= 2
        k = best
    return k


def _settle(question: Question, k: int, proposed: int, blocks: int) -> Answer | None:
    """The smallest certified block size near the proposed one."""
    chances: dict[int, arb] = {}

    def enough(n: int) -> bool:
        chances[n] = question.success(n, k)
        return bool(missed(chances[n], blocks) <= arb(question.failure))

    low, high = k - 1, proposed
    while not enough(high):
        low, high = high, high + max(1, high // 50)
        if high > LARGEST_BLOCK:
            return None
    while high - low > 1:
        # The certificate is on finer cells than the proposal: the answer is a little below it, seldom far.
        middle = max((low + high) // 2, high - max(1, high // 25))
        low, high = (low, middle) if enough(middle) else (middle, high)
    return Answer(size=high, k=k, blocks=blocks, success=chances[high])


def _log(x: fmpq) -> float:
    """log of a rational that may be far below what a float can hold."""
    return float(arb(x).log())
