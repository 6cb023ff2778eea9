r"""Where solutions begin to exist: the first moment of the number of solutions.

Let Y be the number of subsets S of n candidates, of one size k or of any size, with
:math:`\|\sum_S X_i − z\|_∞ ≤ ε`. Then

.. math:: E[Y] = \sum_k \binom{n}{k} P_k, \qquad P(Y ≥ 1) ≤ E[Y],

with the hit probability P_k of :mod:`slth.theory.hits`. The threshold is the smallest n with E[Y] ≥ 1. Below the n
with E[Y] = p, no method succeeds with probability p: that is a theorem, for every law and target. Above the threshold
nothing is promised. The leading order is n ≈ D·log2(1/ε).

The sums here are float64 with a relative accuracy of 1e-6 or better; they are not interval arithmetic.

Source: first_moment
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, logsumexp

from slth.arrays import FloatArray, IntArray
from slth.errors import InputError, check_int, check_positive
from slth.theory.hits import check_target, log_hit

# Up to this n all sizes are summed. Beyond, this many sizes are sampled first, to find those that matter.
_SAMPLED_SIZES = 512
# Sizes whose terms lie this many nats below the largest are left out.
_NEGLIGIBLE_NATS = 60.0
# The largest n for subsets of any size, and the largest n for subsets of one size.
LARGEST_N_ANY_SIZE = 200_000
LARGEST_N_ONE_SIZE = 2**62


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Where the expected number of solutions reaches ``count``.

    Attributes:
        n: the smallest integer at which E[Y] ≥ ``count``.
        k: the size asked for, or the size that most solutions have at n.
        log2_count: log2 E[Y] at n.
        crossing: where log2 E[Y], interpolated between n − 1 and n, equals log2 of ``count``.
    """

    n: int
    k: int
    log2_count: float
    crossing: float


def log2_expected_count(
    *, n: int, D: int, eps: float, z: float | npt.ArrayLike, law: str = "nsn", k: int | None = None
) -> float:
    r"""The binary logarithm of the expected number of solutions.

    The number is :math:`\binom{n}{k} P_k`, or its sum over all k, the empty set included.

    Args:
        n: number of candidates, ≥ 0.
        D: dimension.
        eps: ε (L∞).
        z: one number for every coordinate, or an array (D,).
        law: law of the candidates: ``nsn``, ``gaussian`` or ``uniform``.
        k: size of the subsets; None for any size.

    Returns:
        log2 E[Y]; −∞ when no subset can hit.

    Raises:
        InputError: an argument is out of range, or k > n.

    Source: first_moment
    """
    solutions = _ExpectedSolutions(D, eps, z, law, k)
    check_int("n", n, 0, LARGEST_N_ANY_SIZE if k is None else LARGEST_N_ONE_SIZE, "It is the number of candidates.")
    if k is not None and k > n:
        raise InputError(f"k must be ≤ n: a subset of {k} needs as many candidates; got n = {n}, k = {k}.")
    return float(logsumexp(solutions.log_terms(n)[1])) / math.log(2)


def width(
    *,
    D: int,
    eps: float,
    z: float | npt.ArrayLike,
    law: str = "nsn",
    k: int | None = None,
    count: float = 1.0,
) -> Threshold:
    r"""The first-moment threshold: the smallest n with E[Y] ≥ ``count``.

    Args:
        D: dimension.
        eps: ε (L∞).
        z: one number for every coordinate, or an array (D,).
        law: law of the candidates: ``nsn``, ``gaussian`` or ``uniform``.
        k: size of the subsets; None for any size.
        count: 1 for the threshold; a probability p for an n below which P(Y ≥ 1) < p.

    Raises:
        InputError: an argument is out of range, no sum of k candidates reaches z, or the threshold is beyond the
            largest n that is supported.

    Source: first_moment
    """
    check_positive("count", count, "It is an expected number of solutions.")
    solutions, goal = _ExpectedSolutions(D, eps, z, law, k), math.log(count)
    most = LARGEST_N_ANY_SIZE if k is None else LARGEST_N_ONE_SIZE
    if k is not None and np.isneginf(solutions.log_hit(np.array([k]))[0]):
        reach = "|z_i| ≤ ε, for an empty sum is 0" if k == 0 else f"|z_i| < k + ε = {k + eps:g}"
        raise InputError(f"sums of k = {k} {law} vectors reach z only if {reach}. Choose a larger k.")

    def total(n: int) -> float:
        return float(logsumexp(solutions.log_terms(n)[1]))

    low, high = (0 if k is None else k) - 1, max(1, k or 0)  # total(low) < goal ≤ total(high)
    while high < most and total(high) < goal:
        low, high = high, min(2 * high, most)
    if total(high) < goal:
        raise InputError(
            f"the threshold lies above n = {most:,}, the largest that is supported (eps = {eps:g}, D = {D}, k = {k}). "
            "Ask for a larger eps, a smaller D, or another k."
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if total(middle) >= goal else (middle, high)
    sizes, terms = solutions.log_terms(high)
    here = float(logsumexp(terms))
    before = total(low) if low >= (k or 0) else -math.inf
    step = (here - goal) / (here - before) if math.isfinite(before) else 0.0
    return Threshold(
        n=high, k=int(sizes[np.argmax(terms)]), log2_count=here / math.log(2), crossing=high - min(step, 1.0)
    )


class _ExpectedSolutions:
    """The logarithms of C(n, k)·P_k over k, with each P_k computed once."""

    def __init__(self, D: int, eps: float, z: float | npt.ArrayLike, law: str, k: int | None) -> None:
        check_target(D, eps, z)
        if k is not None:
            check_int("k", k, 0, hint="It is the size of a subset.")
        self.D, self.eps, self.z, self.law, self.k = D, eps, z, law, k
        self._log_hits: dict[int, float] = {}

    def log_hit(self, sizes: IntArray) -> FloatArray:
        """The logarithms of P_k for some sizes k."""
        new = [size for size in sizes.tolist() if size not in self._log_hits]
        if new:
            found = log_hit(k=np.array(new), D=self.D, eps=self.eps, z=self.z, law=self.law)
            self._log_hits.update(zip(new, found.tolist(), strict=True))
        return np.array([self._log_hits[size] for size in sizes.tolist()])

    def log_terms(self, n: int) -> tuple[IntArray, FloatArray]:
        """The sizes that matter for n, and for each the logarithm of the expected number of solutions."""
        if self.k is not None:
            sizes = np.array([self.k])
            return sizes, self._log_terms_of(n, sizes)
        sizes = np.unique(np.linspace(0, n, min(n, _SAMPLED_SIZES) + 1).astype(np.int64))
        terms = self._log_terms_of(n, sizes)
        if len(sizes) == n + 1 or np.isneginf(terms.max()):  # the latter where no sum reaches the target
            return sizes, terms
        alive = np.flatnonzero(terms > terms.max() - _NEGLIGIBLE_NATS)
        sizes = np.arange(sizes[max(alive[0] - 1, 0)], sizes[min(alive[-1] + 1, len(sizes) - 1)] + 1)
        return sizes, self._log_terms_of(n, sizes)

    def _log_terms_of(self, n: int, sizes: IntArray) -> FloatArray:
        choices = -np.log1p(float(n)) - betaln(n - sizes + 1.0, sizes + 1.0)  # log C(n, k), also for n = 2^62
        return np.asarray(choices + self.log_hit(sizes))
