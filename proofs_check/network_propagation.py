r"""Error propagation through ℓ layers (propagation, certified).

With the kernel errors ε'_i of ``slth.theory.composition.tolerances`` in every sign group and bias, the output stays
within ε:

.. math:: e_ℓ = ε, \quad L_i e_{i-1} = \tfrac{i-1}{i} e_i, \quad
          ε'_i = \frac{e_i}{i\,(d_i^2 c_{i-1} (\|X_{i-1}\|_∞ + e_{i-1}) + [b])}

The check goes through all cases of a finite family: three layers of one channel, weights in {−1, −1/2, 1}, a bias of
1/4, ReLU between them, inputs in {−1, −1/2, 1}, and every combination of extreme errors of the positive group, the
negative group and the bias of each layer. It establishes the recursion where its terms can add up. Channels and taps
enter only through their product, which the one-layer check covers. False variant: every layer may use three times its
share of ε.
"""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np

from proofs_check.check import Lemma
from slth.theory.composition import LayerSpec, tolerances

EPS, BIAS = 0.1, 0.25


def margin(false_variant: bool, weights: tuple[float, ...] = (-1.0, -0.5, 1.0)) -> float:
    """Smallest slack (ε − change of the output)/ε over the family, plus 1e-9 for rounding.

    Args:
        false_variant: whether to check the false variant in place of the lemma.
        weights: the weights that a layer may have.
    """
    signs = np.array(list(product((-1.0, 1.0), repeat=9))).reshape(-1, 3, 3)
    worst = 0.0
    for kernel in product(weights, repeat=3):
        target = [
            LayerSpec(name=str(i), taps=1, c_in=1, c_out=1, row_norm=abs(w), largest=1.0, bias=BIAS)
            for i, w in enumerate(kernel)
        ]
        allowed = tolerances(target, EPS, 1.0)
        for start in (-1.0, -0.5, 1.0):
            exact, found = start, np.full(len(signs), start)
            for i, w in enumerate(kernel):
                error = allowed[i] * (3 if false_variant else 1) * signs[:, i]
                exact = w * exact + BIAS
                found = (w + error[:, 0]) * np.maximum(found, 0) - (w + error[:, 1]) * np.maximum(-found, 0)
                found = found + BIAS + error[:, 2]
                if i < 2:
                    exact, found = max(exact, 0.0), np.maximum(found, 0)
            worst = max(worst, float(np.abs(found - exact).max()))
    return (EPS - worst) / EPS + 1e-9


LEMMA = Lemma(
    name="error propagation, three layers",
    kind="exhaustive",
    margin=margin,
    establishes="the layers' tolerances keep the output within ε at every extreme point of the family",
    quick=partial(margin, weights=(-1.0, 1.0)),
)
