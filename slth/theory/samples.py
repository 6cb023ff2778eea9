r"""How many random vectors have a subset that sums to the target: the sample bounds, one function each.

A function takes the instance's numbers and the constant its theorem leaves open (None: it stays a letter), and
returns a :class:`~slth.theory.statement.Bound`. ε is the L∞ tolerance of one subset sum, D its dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq

from slth.theory import statement as bound
from slth.theory import thresholds
from slth.theory.statement import Bound, Hypothesis, assumed, check, number, scaled, small, solved

CANDIDATES = "candidates n of one subset sum"
# Measured with the relaxation of slth.rss; see relax_scaling.
FITTED = 0.35


def lueker1998(*, eps: float, D: int = 1, constant: float | None = None) -> Bound:
    """n = C·log(1/ε): with high probability every z in [−1, 1] is a subset sum of uniform samples.

    Source: lueker1998
    """
    check(eps=eps, D=D)
    return scaled("lueker1998", math.log(1 / eps), constant, quantity=CANDIDATES, hypotheses=_line(eps, D))


def dacunha2023rss(*, eps: float, D: int = 1, constant: float | None = None) -> Bound:
    """n = C·log(1/ε), as lueker1998, for targets in [−1/2, 1/2] and by an elementary proof.

    Source: dacunha2023rss
    """
    check(eps=eps, D=D)
    return scaled("dacunha2023rss", math.log(1 / eps), constant, quantity=CANDIDATES, hypotheses=_line(eps, D))


def becchetti2022(*, D: int, eps: float, constant: float | None = None) -> Bound:
    """n = C·D³·log(1/ε)·(log(1/ε) + log D): covers every z in [−1, 1]^D.

    Source: becchetti2022
    """
    check(D=D, eps=eps)
    log = math.log(1 / eps)
    return scaled(
        "becchetti2022", float(D) ** 3 * log * (log + math.log(D)), constant,
        quantity=CANDIDATES, hypotheses=(small(eps), assumed("a continuous law around the origin")),
    )  # fmt: skip


def nsn_mrss(*, D: int, eps: float, constant: float | None = None) -> Bound:
    """n = k² with k = C·D³·log(D/ε): NSN vectors, fixed size k, constant probability.

    Source: nsn_mrss
    """
    check(D=D, eps=eps)
    return scaled(
        "nsn_mrss", (float(D) ** 3 * math.log(D / eps)) ** 2, constant, power=2, quantity=CANDIDATES,
        hypotheses=(Hypothesis(text="ε ≤ 1/4", holds=eps <= 0.25, got=f"{eps:g}"), assumed("‖z‖₁ ≤ √k")),
    )  # fmt: skip


def natale2024(*, k: int, eps: float, D: int = 1, constant: float | None = None) -> Bound:
    """The least n ≥ 2k with n·H2(k/n) ≥ C·log2(k/ε): size k, each z in [−√k, √k], constant probability.

    Source: natale2024
    """
    return _natale(k, eps, D, constant, power=1)


def natale2024_uniform(*, k: int, eps: float, D: int = 1, constant: float | None = None) -> Bound:
    """The least n ≥ 2k with n·H2(k/n) ≥ C·log2²(k/ε): size k, all z in [−√k, √k] at once, probability 1−ε.

    Source: natale2024
    """
    return _natale(k, eps, D, constant, power=2)


def npp(*, D: int, eps: float, constant: float | None = None) -> Bound:
    """The least n with C·√n·2^{−n/D} ≤ ε: the best partition (signs ±1) of n normal vectors.

    Source: npp
    """
    check(D=D, eps=eps)
    bound.check_constant(constant)
    value = None
    if constant is not None:
        turn = max(1.0, D / (2 * math.log(2)))  # √n·2^{−n/D} falls from here on

        def excess(n: float) -> float:
            return math.log2(constant / eps) + 0.5 * math.log2(n) - n / D

        value = _least(excess, turn)
    return solved(
        "npp", value, bound.said(constant), direction=bound.SHARP, quantity="vectors n of one partition",
        form=f"least n with C · √n · 2^(−n/{D}) ≤ {eps:g}",
        hypotheses=(small(eps), assumed("D = 1, or ω(1) ≤ D ≤ o(n)")),
    )  # fmt: skip


def first_moment(*, D: int, eps: float, z: float = 0.5, delta: float = 0.5, law: str = "nsn") -> Bound:
    """The least n with E[number of solutions] ≥ 1−δ: with fewer candidates, success is less likely than 1−δ.

    Source: first_moment
    """
    check(D=D, eps=eps, z=z, delta=delta, law=law)
    least = thresholds.width(D=D, eps=eps, z=z, law=law, count=1 - delta).n
    return solved(
        "first_moment", float(least), "explicit", direction=bound.NECESSARY, quantity=CANDIDATES,
        form=f"{least:,}", hypotheses=(Hypothesis(text=f"i.i.d. {law} candidates, |z_i| = {z:g}", holds=True),),
    )  # fmt: skip


def certified(*, D: int, eps: float, z: float = 0.5, delta: float = 0.5) -> Bound:
    """The least n found for which success ≥ 1−δ is proved, in interval arithmetic; every constant explicit.

    Source: certified
    """
    check(D=D, eps=eps, z=z, delta=delta)
    from slth.theory import certified as theorem  # its interval arithmetic takes a moment to load

    if eps >= theorem.LARGEST_EPS:
        return solved(
            "certified", None, "explicit", direction=bound.SUFFICIENT, quantity=CANDIDATES, form="no width",
            hypotheses=(Hypothesis(text=f"ε < {theorem.LARGEST_EPS:g}", holds=False, got=f"{eps:g}"),),
        )  # fmt: skip
    width = theorem.width(D, eps, delta, z)
    return solved(
        "certified", float(width.n), "explicit", direction=bound.SUFFICIENT, quantity=CANDIDATES, form=f"{width.n:,}",
        hypotheses=(Hypothesis(text=f"NSN candidates, a fixed target with |z_i| ≤ {z:g}", holds=True),),
    )  # fmt: skip


def relax_scaling(*, D: int, eps: float, constant: float | None = None) -> Bound:
    """n ≈ c·D^{3/2}/ε: what slth's relaxation was measured to need, polynomial time; c = 0.35 was fitted.

    Source: relax_scaling
    """
    check(D=D, eps=eps)
    bound.check_constant(constant)
    size = float(D) ** 1.5 / eps
    return solved(
        "relax_scaling", (FITTED if constant is None else constant) * size,
        f"with fitted c = {FITTED}" if constant is None else f"with c = {constant:g} given",
        direction=bound.MEASURED, quantity=CANDIDATES, form=f"c · {number(size)}",
        hypotheses=(assumed("NSN candidates of unit variance, targets of that size, large D"),),
    )  # fmt: skip


def _line(eps: float, D: int) -> tuple[Hypothesis, ...]:
    return small(eps), Hypothesis(text="D = 1", holds=D == 1, got=str(D)), assumed("uniform samples")


def _natale(k: int, eps: float, D: int, constant: float | None, power: int) -> Bound:
    check(k=k, eps=eps, D=D)
    bound.check_constant(constant)
    size = math.log2(k / eps) ** power
    value = None
    if constant is not None and eps < 1:

        def excess(n: float) -> float:
            share = k / n
            entropy = -share * math.log2(share) - (1 - share) * math.log1p(-share) / math.log(2)
            return constant * size - n * entropy

        value = _least(excess, 2.0 * k)
    return solved(
        "natale2024", value, bound.said(constant), quantity=CANDIDATES,
        form=f"least n ≥ {2 * k:,} with n·H2({k}/n) ≥ C · {number(size)}",
        hypotheses=(small(eps), Hypothesis(text="D = 1", holds=D == 1, got=str(D)), assumed("|z| ≤ √k")),
    )  # fmt: skip


def _least(excess: Callable[[float], float], low: float) -> float:
    """The least whole n ≥ low where the decreasing function ``excess`` is not positive; infinity beyond 1e300."""
    if excess(low) <= 0:
        return float(math.ceil(low))
    high = 2 * low
    while excess(high) > 0:
        high *= 2
        if high > 1e300:
            return math.inf
    return float(math.ceil(float(brentq(excess, high / 2, high, rtol=1e-12))))
