r"""Hypergeometric identities of the overlap (certified, line 4).

.. math:: \sum_j h_j = 1, \qquad \sum_j j\,h_j = \frac{k^2}{n}, \qquad
          \sum_j j(j-1)\,h_j = \frac{k^2 (k-1)^2}{n (n-1)}

For k = 1 … 6 both sides are rational functions of a symbol n, and sympy cancels their difference to 0. For all k the
identities are Vandermonde's, which is not proved again here. False variant: mean k²/(n−1).
"""

from __future__ import annotations

from functools import partial

from proofs_check.check import Lemma, holds


def margin(false_variant: bool, largest: int = 6) -> float:
    """1 when the three identities cancel for every k, −1 otherwise.

    Args:
        false_variant: whether to check the false variant in place of the lemma.
        largest: the largest k.
    """
    import sympy as sp

    n = sp.Symbol("n")
    facts = []
    for k in range(1, largest + 1):
        weights = [
            sp.binomial(k, j)
            * _falling_factorial(n - k, k - j)
            / sp.factorial(k - j)
            * sp.factorial(k)
            / _falling_factorial(n, k)
            for j in range(k + 1)
        ]
        mean = sp.Integer(k * k) / (n - 1 if false_variant else n)
        second = sp.Integer(k * k * (k - 1) ** 2) / (n * (n - 1))
        facts += [
            sp.cancel(sum(weights) - 1) == 0,
            sp.cancel(sum(j * w for j, w in enumerate(weights)) - mean) == 0,
            sp.cancel(sum(j * (j - 1) * w for j, w in enumerate(weights)) - second) == 0,
        ]
    return holds(*facts)


def _falling_factorial(x: object, count: int) -> object:
    """The polynomial x (x − 1) … (x − count + 1)."""
    import sympy as sp

    return sp.expand(sp.prod([x - i for i in range(count)]))  # type: ignore[operator]


LEMMA = Lemma(
    name="hypergeometric identities",
    kind="symbolic",
    margin=margin,
    establishes="total, mean and second factorial moment of the overlap for every n and k ≤ 6",
    quick=partial(margin, largest=4),
)
