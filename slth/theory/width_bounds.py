"""Width bounds: how wide a random network must be to contain a target, one function for each bound.

ε is the error of the network's output (dacunha2023, dacunha2022cnn, …) or of one layer's output (pensia2020,
ferre2026, plantnseek2022); each docstring says which. Some theorems are recorded without a formula: their bound has a
form but never a number.
"""

from __future__ import annotations

import math

from slth.theory.evaluation import (
    NECESSARY,
    Bound,
    Hypothesis,
    computed_bound,
    eps_below_one,
    proportional_bound,
    undecided,
)
from slth.theory.formatting import format_exponential, format_number
from slth.theory.parameters import check_parameters


def dacunha2023(
    *, d: int, c_in: int, c_out: int, depth: int, eps: float, norm: float | None = None, constant: float | None = None
) -> Bound:
    """n_i = C·d^12·c_out^6·log³(d²·c_out·c_in·ℓ/ε): structured pruning, every such CNN within ε, probability 1−ε.

    Args:
        d: side of a kernel.
        c_in: input channels of the layer.
        c_out: output channels of the layer.
        depth: layers ℓ of the network.
        eps: error ε of the network's output.
        norm: largest ‖K‖₁ of a kernel tensor, if known.
        constant: value assumed for C.

    Source: dacunha2023
    """
    check_parameters(d=d, c_in=c_in, c_out=c_out, depth=depth, eps=eps, norm=norm)
    log = math.log(float(d) ** 2 * c_out * c_in * depth / eps)
    return proportional_bound(
        "dacunha2023", float(d) ** 12 * float(c_out) ** 6 * log**3, constant,
        quantity="n_i of a parent with 2·n_i hidden channels per input channel",
        hypotheses=(eps_below_one(eps), _unit_norm(norm),
                    undecided("inputs in [−1, 1], zero padding, no bias, normal weights")),
    )  # fmt: skip


def pensia2020(*, c_in: int, c_out: int, eps: float, d: int = 1, constant: float | None = None) -> Bound:
    """Hidden units n = C·c_in·log(2·c_in·c_out/ε): a linear layer within ε, weight by weight.

    Args:
        c_in: inputs of the layer.
        c_out: outputs of the layer.
        eps: error ε of the layer's output.
        d: side of a kernel; the theorem needs 1.
        constant: value assumed for C.

    Source: pensia2020
    """
    check_parameters(d=d, c_in=c_in, c_out=c_out, eps=eps)
    return proportional_bound(
        "pensia2020", c_in * math.log(2 * float(c_in) * c_out / eps), constant,
        quantity="hidden units of the layer, weight pruning",
        hypotheses=(eps_below_one(eps), Hypothesis(text="a linear layer, d = 1", holds=d == 1, got=str(d)),
                    undecided("‖W‖ ≤ 1, ‖x‖ ≤ 1, entries U[−1, 1]")),
    )  # fmt: skip


def dacunha2022cnn(
    *, weights: int, depth: int, eps: float, delta: float, norm: float | None = None, constant: float | None = None
) -> Bound:
    """C·k·log(k·ℓ/min(ε, δ)) parameters: a CNN of k parameters within ε with probability 1−δ, weight by weight.

    Args:
        weights: parameters k of the target.
        depth: layers ℓ of the network.
        eps: error ε of the network's output.
        delta: failure probability δ.
        norm: largest ‖K‖₁ of a kernel tensor, if known.
        constant: value assumed for C.

    Source: dacunha2022cnn
    """
    check_parameters(weights=weights, depth=depth, eps=eps, delta=delta, norm=norm)
    return proportional_bound(
        "dacunha2022cnn", weights * math.log(float(weights) * depth / min(eps, delta)), constant,
        quantity="random parameters in all, weight pruning", hypotheses=(eps_below_one(eps), _unit_norm(norm)),
    )  # fmt: skip


def malach2020(*, eps: float, delta: float, depth: int) -> Bound:
    """poly(d, n, ℓ, 1/ε, log 1/δ) at depth 2ℓ: the polynomial is not recorded, so there is never a number.

    Args:
        eps: error ε of the network's output.
        delta: failure probability δ.
        depth: layers ℓ of the target.

    Source: malach2020
    """
    check_parameters(eps=eps, delta=delta, depth=depth)
    form = "poly(d, n, ℓ, 1/ε, log 1/δ), exponents not recorded"
    return _bound_without_formula("malach2020", form, "width of the network, weight pruning", eps_below_one(eps))


def orseau2020(*, eps: float) -> Bound:
    """A logarithmic factor of neurons per target weight: what is in the logarithm is not recorded.

    Source: orseau2020
    """
    check_parameters(eps=eps)
    form = "C · log(…) per target weight, argument not recorded"
    return _bound_without_formula("orseau2020", form, "neurons per target weight, weight pruning", eps_below_one(eps))


def burkholz2022(*, eps: float) -> Bound:
    """Depth ℓ+1 instead of 2ℓ, at a quadratic overhead against pensia2020: not recorded as a formula.

    Source: burkholz2022
    """
    check_parameters(eps=eps)
    form = "a quadratic overhead against pensia2020, formula not recorded"
    quantity = "width of the network, depth ℓ+1, weight pruning"
    return _bound_without_formula("burkholz2022", form, quantity, eps_below_one(eps))


def plantnseek2022(*, d: int, c_in: int, c_out: int, depth: int, eps: float, delta: float) -> Bound:
    """The least n with (1 − c_out·(1 − ε^k)^n)^ℓ ≥ 1−δ, k = d²·c_in: the ticket is there without being planted.

    The bound treats the ℓ layers as alike.

    Args:
        d: side of a kernel.
        c_in: input channels of the layer.
        c_out: output channels of the layer.
        depth: layers ℓ of the network.
        eps: tolerance ε of one parameter.
        delta: failure probability δ.

    Source: plantnseek2022
    """
    check_parameters(d=d, c_in=c_in, c_out=c_out, depth=depth, eps=eps, delta=delta)
    layer_failure = -math.expm1(math.log1p(-delta) / depth)  # failure probability that each layer may have
    log_hit = min(d**2 * c_in * math.log(eps), -1e-12)
    # c_out·(1 − ε^k)^n ≤ layer_failure. For a tiny ε^k, −log(1 − ε^k) equals ε^k, which float64 may not hold.
    log_rate = log_hit if log_hit < -40 else math.log(-math.log1p(-math.exp(log_hit)))
    log_n = math.log(math.log(c_out / layer_failure)) - log_rate
    value = float(math.ceil(math.exp(log_n))) if log_n < 700 else None
    return computed_bound(
        "plantnseek2022", value, "explicit", quantity="random neurons of the layer",
        form=format_exponential(log_n) if value is None or value > 1e15 else format_number(value),
        hypotheses=(eps_below_one(eps), undecided("uniform entries")),
    )  # fmt: skip


def kumar2025(*, units: int, precision: float, constant: float | None = None) -> Bound:
    """Width C·d·log(1/δ): a quantised target of width d and precision δ, exactly, weight by weight.

    Args:
        units: width d of the target.
        precision: step δ of the target's values.
        constant: value assumed for C.

    Source: kumar2025
    """
    check_parameters(units=units, precision=precision)
    return proportional_bound(
        "kumar2025", units * math.log(1 / precision), constant,
        quantity="width of the network, weight pruning", hypotheses=(_precision_below_one(precision),),
    )  # fmt: skip


def kumar2025_lower(*, units: int, precision: float, constant: float | None = None) -> Bound:
    """C·d²·log(1/δ) parameters are necessary for every quantised target of width d and precision δ.

    Args:
        units: width d of the target.
        precision: step δ of the target's values.
        constant: value assumed for C.

    Source: kumar2025
    """
    check_parameters(units=units, precision=precision)
    return proportional_bound(
        "kumar2025", float(units) ** 2 * math.log(1 / precision), constant, direction=NECESSARY,
        quantity="random parameters, weight pruning", hypotheses=(_precision_below_one(precision),),
    )  # fmt: skip


def otsuka2025(*, units: int, eps: float) -> Bound:
    """C·d·log(…/ε) hidden dimensions of an attention head: what is over ε is not recorded.

    Args:
        units: input dimension d.
        eps: error ε of the head's output.

    Source: otsuka2025
    """
    check_parameters(units=units, eps=eps)
    form = f"C · {units:,} · log(…/{eps:g}), numerator not recorded"
    quantity = "hidden dimensions of keys and values, weight pruning"
    return _bound_without_formula("otsuka2025", form, quantity, eps_below_one(eps))


def ferre2026_neurons(*, eps: float, constant: float | None = None) -> Bound:
    """C/ε hidden neurons are necessary where whole neurons are pruned and nothing else: no blocked mask.

    Args:
        eps: error ε of the neuron's output.
        constant: value assumed for C.

    Source: ferre2026
    """
    check_parameters(eps=eps)
    return proportional_bound(
        "ferre2026", 1 / eps, constant, direction=NECESSARY, quantity="hidden neurons, neuron pruning alone",
        hypotheses=(eps_below_one(eps), undecided("one bias-free ReLU neuron, no blocked mask")),
    )  # fmt: skip


def ferre2026_weights(*, eps: float, constant: float | None = None) -> Bound:
    """C·log(1/ε) hidden neurons suffice for the same neuron where single weights are pruned.

    Args:
        eps: error ε of the neuron's output.
        constant: value assumed for C.

    Source: ferre2026
    """
    check_parameters(eps=eps)
    return proportional_bound(
        "ferre2026", math.log(1 / eps), constant, quantity="hidden neurons, weight pruning",
        hypotheses=(eps_below_one(eps), undecided("one bias-free ReLU neuron")),
    )  # fmt: skip


def _unit_norm(norm: float | None) -> Hypothesis:
    holds = None if norm is None else norm <= 1
    return Hypothesis(text="kernels with ‖K‖₁ ≤ 1", holds=holds, got="" if norm is None else f"{norm:.3g}")


def _precision_below_one(precision: float) -> Hypothesis:
    return Hypothesis(text="precision δ < 1", holds=precision < 1, got=f"{precision:g}")


def _bound_without_formula(reference: str, form: str, quantity: str, *hypotheses: Hypothesis) -> Bound:
    return computed_bound(reference, None, "C unspecified", form=form, quantity=quantity, hypotheses=hypotheses)
