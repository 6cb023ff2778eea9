r"""Error propagation through one layer (propagation).

.. math:: \|K * X − \hat K * X\|_∞ \le d^2 c_{in} ε' \|X\|_{max}

when the positive and the negative sign group are each approximated within ε'. There is no factor 2, because X⁺ and X⁻
have disjoint support. The check evaluates the error at its extreme points, where it attains the bound, and at random
ones. False variant: the bound without the factor c_in.
"""

from __future__ import annotations

import numpy as np

from proofs_check.check import Lemma
from slth.theory import layer_output_bound


def margin(false_variant: bool) -> float:
    """Smallest slack of bound·(1 + 1e-12) over the realised change, in units of the bound."""
    rng = np.random.default_rng(1)
    slack = np.inf
    for case in range(200):
        d, c_in = int(rng.integers(1, 4)), int(rng.integers(2, 5))
        eps, top = float(rng.uniform(0.01, 1)), float(rng.uniform(0.5, 2))
        x = rng.uniform(-top, top, (c_in, d, d))
        plus, minus = (rng.uniform(-eps, eps, (c_in, d, d)) for _ in range(2))
        if case % 2:  # the extreme point: every error at its limit, with the worst sign
            x = top * np.sign(x)
            plus, minus = np.full_like(x, eps), np.full_like(x, eps)
        change = abs(float((plus * np.maximum(x, 0)).sum() + (minus * np.maximum(-x, 0)).sum()))
        bound = layer_output_bound(taps=d * d, c_in=1 if false_variant else c_in, error=eps, input_max=top)
        slack = min(slack, (bound * (1 + 1e-12) - change) / bound)
    return float(slack)


LEMMA = Lemma(
    name="error propagation, one layer",
    kind="exhaustive",
    margin=margin,
    establishes="the bound holds at its extreme points and on random errors; convexity covers the rest",
)
