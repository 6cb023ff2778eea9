"""The search behind a certified width: floating point proposes, interval arithmetic certifies.

Floating point proposes a subset size, a block size and a number of blocks. The certificate is computed for this
proposal, and the block size is then moved to the smallest one that still has a certificate.

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
from slth.theory.second_moment import Proposal, best_proposal, success_lower_end

# Work limits. A certificate evaluates up to half a million cells, about 0.05 s, for each unit of k.
LARGEST_SUBSET = 2000
LARGEST_BLOCK = 10**6
# Shares of ε that are tried for the radius of a covering net.
NET_SHARES = tuple(2.0**-i for i in range(1, 9))
# Success probabilities of one block that are tried when blocks are combined.
BLOCK_SUCCESSES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a number of candidates must achieve.

    Attributes:
        dim: dimension D.
        eps: tolerance ε.
        z_bound: ζ ≥ max |z_i|.
        failure: the failure probability that all blocks together may have.
    """

    dim: int
    eps: float
    z_bound: float
    failure: fmpq

    def proposal(self, k: int) -> Proposal:
        """What floating point proposes for a subset size, with the window of scales it prefers."""
        return best_proposal(k, self.dim, self.eps, self.z_bound)

    def success(self, n: int, k: int) -> arb:
        """The certified success probability of one block.

        Args:
            n: candidates of the block.
            k: subset size.
        """
        return success_lower_end(n, self.proposal(k).setting)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Blocks of candidates that achieve it.

    Attributes:
        size: candidates of one block.
        k: subset size.
        blocks: number of blocks.
        success: certified probability that some k-subset of one block hits.
    """

    size: int
    k: int
    blocks: int
    success: arb


def search(question: Question) -> Answer | None:
    """The smallest total of candidates found; None when no certificate was found within the work limit.

    Source: certified
    """
    start = _first_subset_size(question)
    if start is None:
        return None
    proposed: dict[int, tuple[float, int, int]] = {}

    def total(k: int) -> float:
        if not 1 <= k <= LARGEST_SUBSET:
            return math.inf
        if k not in proposed:
            proposed[k] = _propose_blocks(question, k)
        return proposed[k][0]

    k = _local_minimum(total, start)
    if not math.isfinite(total(k)):
        return None
    _, size, blocks = proposed[k]
    return _certify_near(question, k, size, blocks)


def covering_net(dim: int, eps: float, delta: float, z_bound: float) -> tuple[float, int]:
    r"""The net that replaces all targets of a box by finitely many: the tolerance ε₁ at each, and c with c^D targets.

    The c^D centres in [−ζ, ζ]^D are such that a subset within ε₁ of the nearest one is within ε of any point, with

    .. math:: c = \lceil ζ/η \rceil, \quad η = ε - ε_1

    in exact arithmetic. The leading term of the width decides how ε is shared between ε₁ and η.

    Args:
        dim: dimension D.
        eps: tolerance ε at any target.
        delta: failure probability δ.
        z_bound: ζ, half the side of the box.

    Source: certified
    """

    def net(share: float) -> tuple[float, int]:
        tolerance = eps * (1 - share)
        return tolerance, max(1, math.ceil(Fraction(z_bound) / (Fraction(eps) - Fraction(tolerance))))

    def cost(share: float) -> float:
        tolerance, side = net(share)
        return (dim * math.log(side) - math.log(delta) + 1) * math.log(10 * math.sqrt(dim) / tolerance)

    return net(min(NET_SHARES, key=cost))


def all_blocks_fail(success: arb, blocks: int) -> arb:
    """(1 − p)^m: the probability that every one of m independent blocks fails.

    Args:
        success: probability p that one block succeeds; a lower bound gives an upper bound of the result.
        blocks: number m of blocks.

    Source: certified
    """
    with ctx.workprec(enclosures.BITS):
        return (1 - success) ** blocks


def _propose_blocks(question: Question, k: int) -> tuple[float, int, int]:
    """(candidates in all, block size, blocks) that floating point proposes for a subset size; inf when none."""
    exponent = -_log_of_rational(question.failure)  # failure = e^{−exponent}
    found = [(math.inf, 0, 0)]
    counts = {1, *(math.ceil(exponent / -math.log1p(-p)) for p in BLOCK_SUCCESSES)}
    for blocks in sorted(counts):
        size = question.proposal(k).smallest(-math.expm1(-exponent / blocks), min(LARGEST_BLOCK, 1000 * k))
        if size is not None:
            found.append((float(size * blocks), size, blocks))
    return min(found)


def _first_subset_size(question: Question) -> int | None:
    """A subset size to start from; None above the work limit.

    At it the expected number of hits is 4, and overlaps are rare enough to cost about half of the success.
    """
    share = min(0.4, math.sqrt(-math.expm1(-0.5 / question.dim)))
    for size in (2**i * 4 for i in range(24)):
        k = max(1, round(share * size))
        hit = math.log(2 * question.eps / math.sqrt(2 * math.pi * k)) - question.z_bound**2 / (2 * k)
        subsets = special.gammaln(size + 1) - special.gammaln(k + 1) - special.gammaln(size - k + 1)
        if subsets + question.dim * hit > math.log(4):
            return k if k <= LARGEST_SUBSET else None
    return None


def _local_minimum(total: Callable[[int], float], k: int) -> int:
    """A local minimum of ``total`` over the integers near k, by steps that are halved until they are 1."""
    while math.isinf(total(k)) and 2 * k <= LARGEST_SUBSET:
        k *= 2  # a far target, or cells too coarse for a small subset
    step = max(1, k // 3)
    while step:
        best = min((k, k - step, k + step), key=total)
        if best == k:
            step //= 2
        k = best
    return k


def _certify_near(question: Question, k: int, proposed: int, blocks: int) -> Answer | None:
    """The smallest certified block size near the proposed one; None beyond the work limit."""
    successes: dict[int, arb] = {}

    def enough(n: int) -> bool:
        successes[n] = question.success(n, k)
        return bool(all_blocks_fail(successes[n], blocks) <= arb(question.failure))

    low, high = k - 1, proposed
    while not enough(high):
        low, high = high, high + max(1, high // 50)
        if high > LARGEST_BLOCK:
            return None
    while high - low > 1:
        # The certificate has finer cells than the proposal: the answer is a little below it, seldom far below.
        middle = max((low + high) // 2, high - max(1, high // 25))
        low, high = (low, middle) if enough(middle) else (middle, high)
    return Answer(size=high, k=k, blocks=blocks, success=successes[high])


def _log_of_rational(x: fmpq) -> float:
    """The logarithm of a rational that may be far smaller than any float."""
    return float(arb(x).log())
