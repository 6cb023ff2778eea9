"""How wide a random network must be to hold the target: the layer and network bounds, one function each.

ε is the error of the network's output (dacunha2023, dacunha2022cnn, …) or of one layer's (pensia2020, ferre2026,
plantnseek2022), as each docstring says. Some theorems are recorded without a formula: their bound has a form and
never a number.
"""

from __future__ import annotations

import math

from slth.theory import statement as bound
from slth.theory.statement import Bound, Hypothesis, assumed, check, magnitude, scaled, small, solved


def dacunha2023(
    *, d: int, c_in: int, c_out: int, depth: int, eps: float, norm: float | None = None, constant: float | None = None
) -> Bound:
    """n_i = C·d^12·c_out^6·log³(d²·c_out·c_in·ℓ/ε): structured pruning, every such CNN within ε, probability 1−ε.

    Source: dacunha2023
    """
    check(d=d, c_in=c_in, c_out=c_out, depth=depth, eps=eps, norm=norm)
    log = math.log(float(d) ** 2 * c_out * c_in * depth / eps)
    return scaled(
        "dacunha2023", float(d) ** 12 * float(c_out) ** 6 * log**3, constant,
        quantity="n_i of a parent with 2·n_i hidden channels per input channel",
        hypotheses=(small(eps), _norm(norm), assumed("inputs in [−1, 1], zero padding, no bias, normal weights")),
    )  # fmt: skip


def pensia2020(*, c_in: int, c_out: int, eps: float, d: int = 1, constant: float | None = None) -> Bound:
    """n = C·c_in·log(2·c_in·c_out/ε) hidden units: a linear layer within ε, weight by weight.

    Source: pensia2020
    """
    check(d=d, c_in=c_in, c_out=c_out, eps=eps)
    return scaled(
        "pensia2020", c_in * math.log(2 * float(c_in) * c_out / eps), constant,
        quantity="hidden units of the layer, weight pruning",
        hypotheses=(small(eps), Hypothesis(text="a linear layer, d = 1", holds=d == 1, got=str(d)),
                    assumed("‖W‖ ≤ 1, ‖x‖ ≤ 1, entries U[−1, 1]")),
    )  # fmt: skip


def dacunha2022cnn(
    *, weights: int, depth: int, eps: float, delta: float, norm: float | None = None, constant: float | None = None
) -> Bound:
    """C·k·log(k·ℓ/min(ε, δ)) parameters: a CNN of k parameters within ε with probability 1−δ, weight by weight.

    Source: dacunha2022cnn
    """
    check(weights=weights, depth=depth, eps=eps, delta=delta, norm=norm)
    return scaled(
        "dacunha2022cnn", weights * math.log(float(weights) * depth / min(eps, delta)), constant,
        quantity="random parameters in all, weight pruning", hypotheses=(small(eps), _norm(norm)),
    )  # fmt: skip


def malach2020(*, eps: float, delta: float, depth: int) -> Bound:
    """poly(d, n, ℓ, 1/ε, log 1/δ) at depth 2ℓ: the polynomial is not recorded, so there is never a number.

    Source: malach2020
    """
    check(eps=eps, delta=delta, depth=depth)
    form = "poly(d, n, ℓ, 1/ε, log 1/δ), exponents not recorded"
    return _unstated("malach2020", form, "width of the network, weight pruning", small(eps))


def orseau2020(*, eps: float) -> Bound:
    """A logarithmic factor of neurons per target weight: what is in the logarithm is not recorded.

    Source: orseau2020
    """
    check(eps=eps)
    form = "C · log(…) per target weight, argument not recorded"
    return _unstated("orseau2020", form, "neurons per target weight, weight pruning", small(eps))


def burkholz2022(*, eps: float) -> Bound:
    """Depth ℓ+1 instead of 2ℓ, at a quadratic overhead against pensia2020: not recorded as a formula.

    Source: burkholz2022
    """
    check(eps=eps)
    form = "a quadratic overhead against pensia2020, formula not recorded"
    return _unstated("burkholz2022", form, "width of the network, depth ℓ+1, weight pruning", small(eps))


def plantnseek2022(*, d: int, c_in: int, c_out: int, depth: int, eps: float, delta: float) -> Bound:
    """The least n with (1 − c_out·(1 − ε^k)^n)^ℓ ≥ 1−δ, k = d²·c_in: the ticket is there without being planted.

    ε is the tolerance of one parameter, the ℓ layers are taken to be alike.

    Source: plantnseek2022
    """
    check(d=d, c_in=c_in, c_out=c_out, depth=depth, eps=eps, delta=delta)
    share = -math.expm1(math.log1p(-delta) / depth)  # failure that each layer may have
    log_hit = min(d**2 * c_in * math.log(eps), -1e-12)
    # c_out·(1 − ε^k)^n ≤ share; for a tiny ε^k, −log(1 − ε^k) is ε^k itself and may not fit float64.
    rate = log_hit if log_hit < -40 else math.log(-math.log1p(-math.exp(log_hit)))
    log_n = math.log(math.log(c_out / share)) - rate
    value = float(math.ceil(math.exp(log_n))) if log_n < 700 else None
    return solved(
        "plantnseek2022", value, "explicit", quantity="random neurons of the layer",
        form=magnitude(log_n) if value is None or value > 1e15 else bound.number(value),
        hypotheses=(small(eps), assumed("uniform entries")),
    )  # fmt: skip


def kumar2025(*, units: int, precision: float, constant: float | None = None) -> Bound:
    """Width C·d·log(1/δ): a quantised target of width d and precision δ, exactly, weight by weight.

    Source: kumar2025
    """
    check(units=units, precision=precision)
    return scaled(
        "kumar2025", units * math.log(1 / precision), constant,
        quantity="width of the network, weight pruning", hypotheses=(_precise(precision),),
    )  # fmt: skip


def kumar2025_lower(*, units: int, precision: float, constant: float | None = None) -> Bound:
    """C·d²·log(1/δ) parameters are necessary for every quantised target of width d and precision δ.

    Source: kumar2025
    """
    check(units=units, precision=precision)
    return scaled(
        "kumar2025", float(units) ** 2 * math.log(1 / precision), constant, direction=bound.NECESSARY,
        quantity="random parameters, weight pruning", hypotheses=(_precise(precision),),
    )  # fmt: skip


def otsuka2025(*, units: int, eps: float) -> Bound:
    """C·d·log(…/ε) hidden dimensions of an attention head: what is over ε is not recorded.

    Source: otsuka2025
    """
    check(units=units, eps=eps)
    form = f"C · {units:,} · log(…/{eps:g}), numerator not recorded"
    return _unstated("otsuka2025", form, "hidden dimensions of keys and values, weight pruning", small(eps))


def ferre2026_neurons(*, eps: float, constant: float | None = None) -> Bound:
    """C/ε hidden neurons are necessary where whole neurons are pruned and nothing else: no blocked mask.

    Source: ferre2026
    """
    check(eps=eps)
    return scaled(
        "ferre2026", 1 / eps, constant, direction=bound.NECESSARY, quantity="hidden neurons, neuron pruning alone",
        hypotheses=(small(eps), assumed("one bias-free ReLU neuron, no blocked mask")),
    )  # fmt: skip


def ferre2026_weights(*, eps: float, constant: float | None = None) -> Bound:
    """C·log(1/ε) hidden neurons suffice for the same neuron where single weights are pruned.

    Source: ferre2026
    """
    check(eps=eps)
    return scaled(
        "ferre2026", math.log(1 / eps), constant, quantity="hidden neurons, weight pruning",
        hypotheses=(small(eps), assumed("one bias-free ReLU neuron")),
    )  # fmt: skip


def _norm(norm: float | None) -> Hypothesis:
    holds = None if norm is None else norm <= 1
    return Hypothesis(text="kernels with ‖K‖₁ ≤ 1", holds=holds, got="" if norm is None else f"{norm:.3g}")


def _precise(precision: float) -> Hypothesis:
    return Hypothesis(text="precision δ < 1", holds=precision < 1, got=f"{precision:g}")


def _unstated(reference: str, form: str, quantity: str, *hypotheses: Hypothesis) -> Bound:
    return solved(reference, None, "C unspecified", form=form, quantity=quantity, hypotheses=hypotheses)
