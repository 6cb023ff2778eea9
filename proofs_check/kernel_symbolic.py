r"""Kernel-pruning identity for all values (dacunha2023).

.. math:: \sum_t V_t * \mathrm{relu}(u_t X) = \Big(\sum_{u_t > 0} u_t V_t\Big) * X^+
          + \Big(\sum_{u_t < 0} |u_t| V_t\Big) * X^-

Every |u_t|, every |x_p| and every entry of V_t is a symbol; sympy expands both sides for each pattern of signs. There
are two hidden channels, a kernel of two entries, a line of three, strides 1 and 2, and paddings 0 and 1. Both sides
are sums over t and over positions, so more of them bring nothing new. False variant: |u_t| replaced by u_t in the
negative group.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from proofs_check.check import Lemma, holds

CHANNELS, SIZE, LENGTH = 2, 2, 3


def margin(false_variant: bool) -> float:
    """1 when the difference of the two sides expands to 0 for every sign pattern, stride and padding, else −1."""
    import sympy as sp

    magnitudes = sp.symbols(f"u:{CHANNELS}", positive=True)
    values = sp.symbols(f"x:{LENGTH}", positive=True)
    kernels = [sp.symbols(f"v{t}_:{SIZE}", real=True) for t in range(CHANNELS)]
    facts = []
    for signs in product((1, -1), repeat=CHANNELS + LENGTH):
        u = [s * m for s, m in zip(signs, magnitudes, strict=False)]
        x = [s * m for s, m in zip(signs[CHANNELS:], values, strict=True)]
        groups = {
            sign: [
                sum(
                    ((1 if false_variant else sign) * u[t] if sign < 0 else u[t]) * kernels[t][i]
                    for t in range(CHANNELS)
                    if signs[t] == sign
                )
                for i in range(SIZE)
            ]
            for sign in (1, -1)
        }
        for stride, padding in product((1, 2), (0, 1)):
            left = [
                sum(terms)
                for terms in zip(
                    *(_slide([sp.Max(u[t] * p, 0) for p in x], kernels[t], stride, padding) for t in range(CHANNELS)),
                    strict=True,
                )
            ]
            plus = _slide([sp.Max(p, 0) for p in x], groups[1], stride, padding)
            minus = _slide([sp.Max(-p, 0) for p in x], groups[-1], stride, padding)
            facts += [sp.expand(a - b - c) == 0 for a, b, c in zip(left, plus, minus, strict=True)]
    return holds(*facts)


def _slide(plane: list[Any], kernel: Any, stride: int, padding: int) -> list[Any]:
    """Cross-correlation of a line with a kernel, zero padding and stride."""
    padded = [0] * padding + plane + [0] * padding
    starts = range(0, len(padded) - SIZE + 1, stride)
    return [sum(kernel[i] * padded[start + i] for i in range(SIZE)) for start in starts]


LEMMA = Lemma(
    name="kernel-pruning identity, symbols",
    kind="symbolic",
    margin=margin,
    establishes="the identity for all values of each sign pattern of a small convolution; linearity carries it on",
)
