r"""Likelihood ratio of two correlated hits (certified, line 7).

For centred normal (X, X') with variances s, s' and covariance ρ√(ss'), and ŷ = y/√s, ŷ' = y'/√s':

.. math:: \log \frac{f(y, y')}{f_s(y) f_{s'}(y')} = -\tfrac12 \log(1 - ρ^2)
          + \frac{ρ}{1+ρ} \frac{ŷ^2 + ŷ'^2}{2} - \frac{ρ\,(ŷ - ŷ')^2}{2 (1 - ρ^2)}

The last term is never positive; dropping it gives the bound. sympy derives the left side from the inverse of the
covariance matrix and cancels the difference of the two sides, for all values. False variant: a factor ρ/(2(1+ρ)) in
place of ρ/(1+ρ).
"""

from __future__ import annotations

from proofs_check.check import Lemma, holds


def margin(false_variant: bool) -> float:
    """1 when the difference of the two sides simplifies to 0, −1 otherwise."""
    import sympy as sp

    rho, s, t = sp.symbols("rho s t", positive=True)
    y, x = sp.symbols("y x", real=True)
    covariance = sp.Matrix([[s, rho * sp.sqrt(s * t)], [rho * sp.sqrt(s * t), t]])
    point = sp.Matrix([y, x])
    quadratic = (point.T * covariance.inv() * point)[0]
    exponent = -quadratic / 2 + y**2 / (2 * s) + x**2 / (2 * t)
    first, second = y / sp.sqrt(s), x / sp.sqrt(t)
    factor = rho / (1 + rho) / (2 if false_variant else 1)
    claimed = factor * (first**2 + second**2) / 2 - rho * (first - second) ** 2 / (2 * (1 - rho**2))
    return holds(
        sp.simplify(covariance.det() / (s * t) - (1 - rho**2)) == 0,
        sp.simplify(exponent - claimed) == 0,
    )


LEMMA = Lemma(
    name="likelihood ratio of two hits",
    kind="symbolic",
    margin=margin,
    establishes="the identity behind the bound of r_i, for all variances, correlations and points",
)
