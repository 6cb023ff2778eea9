r"""Scale freedom: ReLU is positively homogeneous, so a layer's scale is a free choice (derived).

.. math:: V * \mathrm{relu}(u X) = (V/s) * \mathrm{relu}(s\,u X), \qquad s > 0

The check is exact: it uses powers of two, for which both sides have the same bits. False variant: s < 0.
"""

from __future__ import annotations

import numpy as np

from proofs_check.check import Lemma


def margin(false_variant: bool) -> float:
    """1 − the largest difference of the two sides (0 when it holds), over scales 2⁻⁸ … 2⁸."""
    rng = np.random.default_rng(2)
    x, u, v = rng.standard_normal(50), rng.standard_normal(20), rng.standard_normal(20)
    worst = 0.0
    for power in range(-8, 9):
        s = 2.0**power * (-1.0 if false_variant else 1.0)
        left = v[:, None] * np.maximum(u[:, None] * x, 0)
        right = (v / s)[:, None] * np.maximum((s * u)[:, None] * x, 0)
        worst = max(worst, float(np.abs(left - right).max()))
    return 1.0 - worst if not worst or worst > 1 else -worst


LEMMA = Lemma(
    name="ReLU homogeneity",
    kind="exhaustive",
    margin=margin,
    establishes="bit-for-bit equality for powers of two; other scales add rounding only",
)
