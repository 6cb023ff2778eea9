r"""NSN vectors: moments and characteristic functions (dacunha2023, certified).

For Y_i = Z·W_i with Z and all W_i normal, E Y_i = 0, Var Y_i = 1, E Y_i⁴ = 9, Cov = 0, E[Y_1²Y_2²] = 3, and

.. math:: E e^{i⟨t, Y⟩} = (1 + \|t\|^2)^{-1/2}, \qquad
          E e^{i⟨t, Σ_S Y⟩} = (1 + \|t\|^2)^{-k/2} = E_{A \sim χ^2_k} e^{-A \|t\|^2/2}

The last equality says that given the scales, Σ_S Y ~ N(0, A·I) with A ~ χ²_k. sympy computes the integrals for every t
and every k > 0, and the moments twice: directly, and from the derivatives of the characteristic function. The check
establishes the identities; it says nothing about the random numbers that slth draws. False variant: E[Y_1²Y_2²] = 1, as
if coordinates were independent.
"""

from __future__ import annotations

from proofs_check.check import Lemma, holds


def margin(false_variant: bool) -> float:
    """1 when every identity simplifies to 0 or to true, −1 otherwise."""
    import sympy as sp

    z, a = sp.symbols("z a", real=True)
    t1, t2 = sp.symbols("t1 t2", real=True)
    tau, k = sp.symbols("tau k", positive=True)
    normal = sp.exp(-(z**2) / 2) / sp.sqrt(2 * sp.pi)
    moment = {m: sp.integrate(z**m * normal, (z, -sp.oo, sp.oo)) for m in (1, 2, 4)}
    mixed = 1 if false_variant else 3
    direct = (
        moment[1] ** 2 == 0,
        moment[2] * moment[2] == 1,
        moment[4] * moment[4] == 9,
        moment[2] * moment[1] ** 2 == 0,
        moment[4] * moment[2] ** 2 == mixed,
    )
    one = sp.integrate(sp.exp(-(z**2) * tau / 2) * normal, (z, -sp.oo, sp.oo))
    density = a ** (k / 2 - 1) * sp.exp(-a / 2) / (2 ** (k / 2) * sp.gamma(k / 2))
    whole = sp.integrate(
        (density * sp.exp(-a * tau / 2)).subs(a, sp.Symbol("p", positive=True)),
        (sp.Symbol("p", positive=True), 0, sp.oo),
    )
    phi = (1 + t1**2 + t2**2) ** sp.Rational(-1, 2)

    def derivative(m1: int, m2: int) -> sp.Expr:
        value = sp.diff(phi, *[t1] * m1, *[t2] * m2) if m1 + m2 else phi
        return sp.simplify(value.subs({t1: 0, t2: 0}) / sp.I ** (m1 + m2))

    return holds(
        *direct,
        sp.simplify(one - (1 + tau) ** sp.Rational(-1, 2)) == 0,
        sp.simplify(whole / (1 + tau) ** (-k / 2)) == 1,
        derivative(1, 0) == 0,
        derivative(2, 0) == 1,
        derivative(1, 1) == 0,
        derivative(4, 0) == 9,
        derivative(2, 2) == mixed,
    )


LEMMA = Lemma(
    name="NSN moments and characteristic function",
    kind="symbolic",
    margin=margin,
    establishes="the identities for all t and k; nothing about any generator",
)
