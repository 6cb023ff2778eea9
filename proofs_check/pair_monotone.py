r"""Monotonicity of the pair bound in its coordinates (certified, lines 8 and 10).

With a = 1 − o(1−u), a' = 1 − ou, q = u(1−u):  a a' = 1 − o + o²q,  1 − ρ² = o·G,  G = (1 − o + oq)/(1 − o + o²q), and

.. math:: ∂_o G \propto q\,(1 - 2o + (1-q) o^2), \quad ∂_q G \propto o (1 - o)^2, \quad
          ∂_o \frac{2 - o}{a a'} \propto 1 - 4oq + o^2 q, \quad ∂_o(oG) \propto \text{a polynomial} \ge 0

with positive factors (the squared denominators). The derivative dp/dt of the hit probability p(ζ; t^{-2}) is as the
proof states it. sympy checks the identities for all values; the factors of ∂_o(oG) show its sign. False variant:
(1 + q) in place of (1 − q) in ∂_o G.
"""

from __future__ import annotations

from proofs_check.check import Lemma, holds


def margin(false_variant: bool) -> float:
    """1 when every identity cancels, −1 otherwise."""
    import sympy as sp

    o, u, q, t = sp.symbols("o u q t", positive=True)
    z, eps = sp.symbols("z epsilon", positive=True)
    product = 1 - o + o**2 * q
    big = (1 - o + o * q) / product
    a, b = 1 - o * (1 - u), 1 - o * u
    sign = 1 if false_variant else -1
    phi = sp.exp(-(t**2) / 2) / sp.sqrt(2 * sp.pi)

    def cdf(x: sp.Expr) -> sp.Expr:
        return (1 + sp.erf(x / sp.sqrt(2))) / 2

    hit = cdf((z + eps) * t) - cdf((z - eps) * t)
    claimed = (z + eps) * phi.subs(t, (z + eps) * t) - (z - eps) * phi.subs(t, (z - eps) * t)
    crossing = sp.log((z + eps) / (z - eps)) - 2 * z * eps * t**2
    ratio = sp.log((z + eps) / (z - eps)) - ((z + eps) ** 2 - (z - eps) ** 2) * t**2 / 2
    rising = sp.factor(sp.together(sp.diff(o * big, o) * product**2))
    return holds(
        sp.expand(a * b - product.subs(q, u * (1 - u))) == 0,
        sp.cancel(1 - (1 - o) ** 2 / product - o * big) == 0,
        sp.cancel(sp.diff(big, o) * product**2 - q * (1 - 2 * o + (1 + sign * q) * o**2)) == 0,
        sp.cancel(sp.diff(big, q) * product**2 - o * (1 - o) ** 2) == 0,
        sp.cancel(sp.diff((2 - o) / product, o) * product**2 - (1 - 4 * o * q + o**2 * q)) == 0,
        # (1 − o)((1 − o) + 2 o q) has no negative term on [0, 1].
        sp.expand(rising - (1 - o) * ((1 - o) + 2 * o * q)) == 0,
        sp.simplify(sp.diff(hit, t) - claimed) == 0,
        sp.expand(crossing - ratio) == 0,
    )


LEMMA = Lemma(
    name="monotonicity of the pair bound",
    kind="symbolic",
    margin=margin,
    establishes="the derivatives that say at which corner of a box the bound is largest, for all values",
)
