r"""Sample bounds: how many random vectors have a subset that sums to a target, one function for each bound.

Each function takes the numbers of the instance and, where the theorem leaves its constant open, a value for that
constant (None leaves it a letter). It returns a :class:`~slth.theory.evaluation.Bound`. ε is the L∞ tolerance of one
subset sum and D its dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq

from slth.theory import thresholds
from slth.theory.evaluation import (
    MEASURED,
    NECESSARY,
    SHARP,
    SUFFICIENT,
    Bound,
    Hypothesis,
    check_constant,
    computed_bound,
    describe_constant,
    eps_below_one,
    proportional_bound,
    undecided,
)
from slth.theory.formatting import format_number
from slth.theory.parameters import check_parameters

CANDIDATES = "candidates n of one subset sum"
# The factor c of relax_scaling, fitted to measurements with the relaxation of slth.rss.
FITTED_CONSTANT = 0.35


def lueker1998(*, eps: float, D: int = 1, constant: float | None = None) -> Bound:
    """Candidates n = C·log(1/ε): with high probability every z in [−1, 1] is a subset sum of uniform samples.

    Args:
        eps: tolerance ε.
        D: dimension; the theorem needs 1.
        constant: value assumed for C.

    Source: lueker1998
    """
    return _logarithmic_bound("lueker1998", eps, D, constant)


def dacunha2023rss(*, eps: float, D: int = 1, constant: float | None = None) -> Bound:
    """Candidates n = C·log(1/ε), as lueker1998, for targets in [−1/2, 1/2] and by an elementary proof.

    Args:
        eps: tolerance ε.
        D: dimension; the theorem needs 1.
        constant: value assumed for C.

    Source: dacunha2023rss
    """
    return _logarithmic_bound("dacunha2023rss", eps, D, constant)


def becchetti2022(*, D: int, eps: float, constant: float | None = None) -> Bound:
    """Candidates n = C·D³·log(1/ε)·(log(1/ε) + log D): covers every z in [−1, 1]^D.

    Args:
        D: dimension.
        eps: tolerance ε (L∞).
        constant: value assumed for C.

    Source: becchetti2022
    """
    check_parameters(D=D, eps=eps)
    log = math.log(1 / eps)
    return proportional_bound(
        "becchetti2022", float(D) ** 3 * log * (log + math.log(D)), constant,
        quantity=CANDIDATES, hypotheses=(eps_below_one(eps), undecided("a continuous law around the origin")),
    )  # fmt: skip


def nsn_mrss(*, D: int, eps: float, constant: float | None = None) -> Bound:
    """Candidates n = k² with k = C·D³·log(D/ε): NSN vectors, fixed size k, constant probability.

    Args:
        D: dimension.
        eps: tolerance ε (L∞).
        constant: value assumed for C.

    Source: nsn_mrss
    """
    check_parameters(D=D, eps=eps)
    return proportional_bound(
        "nsn_mrss", (float(D) ** 3 * math.log(D / eps)) ** 2, constant, power=2, quantity=CANDIDATES,
        hypotheses=(Hypothesis(text="ε ≤ 1/4", holds=eps <= 0.25, got=f"{eps:g}"), undecided("‖z‖₁ ≤ √k")),
    )  # fmt: skip


def natale2024(*, k: int, eps: float, D: int = 1, constant: float | None = None) -> Bound:
    """The least n ≥ 2k with n·H2(k/n) ≥ C·log2(k/ε): size k, each z in [−√k, √k], constant probability.

    Args:
        k: size of the subset.
        eps: tolerance ε.
        D: dimension; the theorem needs 1.
        constant: value assumed for C.

    Source: natale2024
    """
    return _fixed_size_bound(k, eps, D, constant, power=1)


def natale2024_uniform(*, k: int, eps: float, D: int = 1, constant: float | None = None) -> Bound:
    """The least n ≥ 2k with n·H2(k/n) ≥ C·log2²(k/ε): size k, all z in [−√k, √k] at once, probability 1−ε.

    Args:
        k: size of the subset.
        eps: tolerance ε.
        D: dimension; the theorem needs 1.
        constant: value assumed for C.

    Source: natale2024
    """
    return _fixed_size_bound(k, eps, D, constant, power=2)


def npp(*, D: int, eps: float, constant: float | None = None) -> Bound:
    """The least n with C·√n·2^{−n/D} ≤ ε: the best partition (signs ±1) of n normal vectors.

    Args:
        D: dimension.
        eps: discrepancy ε of the partition (L∞).
        constant: value assumed for C.

    Source: npp
    """
    check_parameters(D=D, eps=eps)
    check_constant(constant)
    value = None
    if constant is not None:
        peak = max(1.0, D / (2 * math.log(2)))  # √n·2^{−n/D} falls beyond this n

        def excess(n: float) -> float:
            return math.log2(constant / eps) + 0.5 * math.log2(n) - n / D

        value = _least_integer(excess, peak)
    return computed_bound(
        "npp", value, describe_constant(constant), direction=SHARP, quantity="vectors n of one partition",
        form=f"least n with C · √n · 2^(−n/{D}) ≤ {eps:g}",
        hypotheses=(eps_below_one(eps), undecided("D = 1, or ω(1) ≤ D ≤ o(n)")),
    )  # fmt: skip


def first_moment(*, D: int, eps: float, z: float = 0.5, delta: float = 0.5, law: str = "nsn") -> Bound:
    """The least n with E[number of solutions] ≥ 1−δ: with fewer candidates, success is less likely than 1−δ.

    Args:
        D: dimension.
        eps: tolerance ε (L∞).
        z: |z_i| of every coordinate of the target, for candidates of unit variance.
        delta: failure probability δ.
        law: law of the candidates, one of :data:`~slth.theory.hits.CANDIDATE_LAWS`.

    Source: first_moment
    """
    check_parameters(D=D, eps=eps, z=z, delta=delta, law=law)
    least = thresholds.width(D=D, eps=eps, z=z, law=law, count=1 - delta).n
    return computed_bound(
        "first_moment", float(least), "explicit", direction=NECESSARY, quantity=CANDIDATES,
        form=f"{least:,}", hypotheses=(Hypothesis(text=f"i.i.d. {law} candidates, |z_i| = {z:g}", holds=True),),
    )  # fmt: skip


def certified(*, D: int, eps: float, z: float = 0.5, delta: float = 0.5) -> Bound:
    """The least n found for which success ≥ 1−δ is proved, in interval arithmetic; every constant explicit.

    Args:
        D: dimension.
        eps: tolerance ε (L∞).
        z: a bound on every |z_i| of the target, for candidates of unit variance.
        delta: failure probability δ.

    Source: certified
    """
    check_parameters(D=D, eps=eps, z=z, delta=delta)
    from slth.theory import certified as certified_widths  # importing its interval arithmetic takes a moment

    if eps >= certified_widths.LARGEST_EPS:
        return computed_bound(
            "certified", None, "explicit", direction=SUFFICIENT, quantity=CANDIDATES, form="no width",
            hypotheses=(Hypothesis(text=f"ε < {certified_widths.LARGEST_EPS:g}", holds=False, got=f"{eps:g}"),),
        )  # fmt: skip
    width = certified_widths.width(D, eps, delta, z)
    return computed_bound(
        "certified", float(width.n), "explicit", direction=SUFFICIENT, quantity=CANDIDATES, form=f"{width.n:,}",
        hypotheses=(Hypothesis(text=f"NSN candidates, a fixed target with |z_i| ≤ {z:g}", holds=True),),
    )  # fmt: skip


def relax_scaling(*, D: int, eps: float, constant: float | None = None) -> Bound:
    """Candidates n ≈ c·D^{3/2}/ε: the measured need of slth's relaxation, polynomial time; c = 0.35 was fitted.

    Args:
        D: dimension.
        eps: tolerance ε (L∞).
        constant: value of c; None is the fitted one.

    Source: relax_scaling
    """
    check_parameters(D=D, eps=eps)
    check_constant(constant)
    size = float(D) ** 1.5 / eps
    return computed_bound(
        "relax_scaling", (FITTED_CONSTANT if constant is None else constant) * size,
        f"with fitted c = {FITTED_CONSTANT}" if constant is None else f"with c = {constant:g} given",
        direction=MEASURED, quantity=CANDIDATES, form=f"c · {format_number(size)}",
        hypotheses=(undecided("NSN candidates of unit variance, targets of that size, large D"),),
    )  # fmt: skip


def _logarithmic_bound(reference: str, eps: float, D: int, constant: float | None) -> Bound:
    """C·log(1/ε) for uniform samples in one dimension."""
    check_parameters(eps=eps, D=D)
    hypotheses = (eps_below_one(eps), _one_dimension(D), undecided("uniform samples"))
    return proportional_bound(reference, math.log(1 / eps), constant, quantity=CANDIDATES, hypotheses=hypotheses)


def _fixed_size_bound(k: int, eps: float, D: int, constant: float | None, power: int) -> Bound:
    """The least n ≥ 2k with n·H2(k/n) ≥ C·log2(k/ε)^power."""
    check_parameters(k=k, eps=eps, D=D)
    check_constant(constant)
    size = math.log2(k / eps) ** power
    value = None
    if constant is not None and eps < 1:

        def excess(n: float) -> float:
            share = k / n
            entropy = -share * math.log2(share) - (1 - share) * math.log1p(-share) / math.log(2)
            return constant * size - n * entropy

        value = _least_integer(excess, 2.0 * k)
    return computed_bound(
        "natale2024", value, describe_constant(constant), quantity=CANDIDATES,
        form=f"least n ≥ {2 * k:,} with n·H2({k}/n) ≥ C · {format_number(size)}",
        hypotheses=(eps_below_one(eps), _one_dimension(D), undecided("|z| ≤ √k")),
    )  # fmt: skip


def _one_dimension(D: int) -> Hypothesis:
    return Hypothesis(text="D = 1", holds=D == 1, got=str(D))


def _least_integer(excess: Callable[[float], float], low: float) -> float:
    """The least integer n ≥ low at which the decreasing function ``excess`` is ≤ 0; infinity beyond 1e300."""
    if excess(low) <= 0:
        return float(math.ceil(low))
    high = 2 * low
    while excess(high) > 0:
        high *= 2
        if high > 1e300:
            return math.inf
    return float(math.ceil(float(brentq(excess, high / 2, high, rtol=1e-12))))
