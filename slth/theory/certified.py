r"""Certified widths: how many random candidates suffice, with every constant computed and every step rigorous.

Candidates are NSN vectors Y_t = Z_t (Z_t1, …, Z_tD), all entries i.i.d. N(0, 1). All three functions rest on one
theorem: a second-moment bound in which every hit has a weight and only a window of scales is counted.
proofs_check/certified_width.md proves it, inequality by inequality. Floating point proposes n and k; ball arithmetic
certifies them.

Source: certified
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from flint import fmpq, fmpz

from slth.errors import InputError, WorkLimitError, check_int, check_positive
from slth.theory import enclosures
from slth.theory.composition import LayerSpec, group_width, tolerances
from slth.theory.pair_moments import LARGEST_DIMENSION
from slth.theory.width_results import CertifiedWidth, LayerWidth, NetworkWidth
from slth.theory.width_search import LARGEST_BLOCK, LARGEST_SUBSET, Question, all_blocks_fail, covering_net, search

__all__ = ["CertifiedWidth", "LayerSpec", "NetworkWidth", "network_width", "success_lower_bound", "width"]

# The proof needs only ε > 0. Above 1/4 of a candidate's standard deviation there is little left to prove, and the
# published bound that it is compared with (dacunha2023) ends there.
LARGEST_EPS = 0.25
# Limits that keep the floats of the search far from under- and overflow.
SMALLEST_EPS = 1e-100
LARGEST_TARGET = 1e6


def success_lower_bound(n: int, k: int, D: int, eps: float, z_bound: float) -> float:
    r"""A number p with P(some k-subset of n NSN candidates is within ε of z) ≥ p, rigorously.

    .. math:: \min_{\|z\|_∞ \le ζ} P\big(\exists S, |S| = k : \|Σ_{t∈S} Y_t - z\|_∞ \le ε\big) \;\ge\; p

    Args:
        n: number of candidates.
        k: subset size, 1 ≤ k ≤ n.
        D: dimension, at most 4096.
        eps: ε in (0, 1/4), in units of a candidate's standard deviation.
        z_bound: ζ ≥ 0, a bound on every |z_i|.

    Returns:
        p in [0, 1], a lower bound of the exact probability, rounded down; 0.0 says that nothing is proved.

    Raises:
        InputError: a hypothesis does not hold; the message names it.
        WorkLimitError: k is above 2000.

    Source: certified
    """
    D, eps, z_bound = _check_instance(D, eps, z_bound)
    n = check_int("n", n, 1, LARGEST_BLOCK)
    k = check_int("k", k, 1, n, "A subset of k candidates needs 1 ≤ k ≤ n.")
    if k > LARGEST_SUBSET:
        raise WorkLimitError(f"certificates are computed for k ≤ {LARGEST_SUBSET}; got k = {k}. Use smaller blocks.")
    question = Question(dim=D, eps=eps, z_bound=z_bound, failure=fmpq(1))
    return enclosures.rounded_down(question.success(n, k))


def width(D: int, eps: float, delta: float, z_bound: float, uniform: bool = False) -> CertifiedWidth:
    r"""The smallest number n of NSN candidates that this method can certify.

    For a fixed target, the claim is one for every z with ‖z‖∞ ≤ ζ; uniformly, it is one for all of them at once:

    .. math:: P(∃ S : \|Σ_S Y − z\|_∞ ≤ ε) ≥ 1 − δ \qquad\text{or}\qquad
              P(∀ z ∃ S : \|Σ_S Y − z\|_∞ ≤ ε) ≥ 1 − δ

    Args:
        D: dimension, at most 4096.
        eps: ε in (0, 1/4), in units of a candidate's standard deviation.
        delta: failure probability δ in (0, 1).
        z_bound: ζ ≥ 0, a bound on every |z_i|.
        uniform: whether the claim is uniform, which costs a covering net and the union bound.

    Returns:
        A :class:`CertifiedWidth`. Its n is certified to suffice; it is the smallest of the n that were tried.

    Raises:
        InputError: a hypothesis does not hold; the message names it.
        WorkLimitError: no certificate was found within the work limit.

    Source: certified
    """
    D, eps, z_bound = _check_instance(D, eps, z_bound)
    delta = _check_probability("delta", delta)
    block_eps, side = covering_net(D, eps, delta, z_bound) if uniform else (eps, 1)
    points = side**D
    failure = fmpq(*delta.as_integer_ratio()) / fmpz(points)
    answer = search(Question(dim=D, eps=block_eps, z_bound=z_bound, failure=failure))
    if answer is None:
        raise WorkLimitError(
            f"no certificate within the work limit (k ≤ {LARGEST_SUBSET}, {LARGEST_BLOCK:,} candidates a block) for "
            f"D = {D}, eps = {eps:g}, z_bound = {z_bound:g}, delta = {delta:g}. Raise eps, or lower D or z_bound."
        )
    return CertifiedWidth(
        n=answer.size * answer.blocks,
        k=answer.k,
        success=enclosures.rounded_down(1 - fmpz(points) * all_blocks_fail(answer.success, answer.blocks)),
        block_size=answer.size,
        blocks=answer.blocks,
        block_success=enclosures.rounded_down(answer.success),
        D=D,
        eps=eps,
        delta=delta,
        z_bound=z_bound,
        uniform=uniform,
        net_points=points,
        block_eps=block_eps,
    )


class _LayeredTarget(Protocol):
    """A target that lists its layers, as :class:`slth.networks.Target` does."""

    def layer_specs(self) -> tuple[LayerSpec, ...]: ...


def network_width(
    target: Sequence[LayerSpec] | _LayeredTarget, eps: float, delta: float, *, input_max: float = 1.0
) -> NetworkWidth:
    r"""For a fixed target network, the random hidden channels per input channel that suffice, layer by layer.

    .. math:: P\big( \text{some channel ticket } g : \sup_{\|x\|_∞ \le x_{max}} \|g(x) - f(x)\|_∞ \le ε \big) \ge 1 - δ

    Args:
        target: an extracted target (``slth.networks.extract``), or one :class:`LayerSpec` for each linear or
            convolutional layer, in order. Between them may be ReLU, and any other map that is 1-Lipschitz in the
            maximum norm and maps 0 to 0 (pooling, flattening).
        eps: sup error ε of the network's output.
        delta: failure probability δ in (0, 1).
        input_max: x_max, the largest |input|.

    Returns:
        A :class:`NetworkWidth`. The random weights are normal. Each layer's scale depends only on the layer's largest
        weight and its tolerance; positive homogeneity makes it a free choice.

    Raises:
        InputError: a hypothesis does not hold; the message names it.
        WorkLimitError: a layer has no certificate within the work limit.

    Source: certified
    """
    delta = _check_probability("delta", delta)
    eps = check_positive("eps", eps, "It is the sup error of the network's output.")
    input_max = check_positive("input_max", input_max, "It bounds the network's inputs.")
    specs = tuple(target) if isinstance(target, Sequence) else target.layer_specs()
    allowed = tolerances(specs, eps, input_max)
    instances = sum(layer.instances for layer in specs)
    # An instance fails with too few candidates of its sign, or with no subset: half of its probability for each.
    share = delta / (2 * instances) * (1 - enclosures.ROUNDING_SLACK)
    layers = []
    for layer, tolerance in zip(specs, allowed, strict=True):
        scale = layer.scale(tolerance)
        unit_eps, unit_target = math.nextafter(tolerance / scale, 0.0), math.nextafter(layer.largest / scale, math.inf)
        group = width(layer.dimension, unit_eps, share, unit_target)
        layers.append(
            LayerWidth(
                name=layer.name, width=group_width(group.n, share), tolerance=tolerance, scale=scale, group=group
            )
        )
    return NetworkWidth(layers=tuple(layers), eps=eps, delta=delta, input_max=input_max, instances=instances)


def _check_instance(dim: int, eps: float, z_bound: float) -> tuple[int, float, float]:
    dim = check_int("D", dim, 1, LARGEST_DIMENSION, "D is the dimension of one subset-sum instance.")
    eps = check_positive("eps", eps, "It is the L∞ tolerance ε in units of a candidate's standard deviation.")
    if not SMALLEST_EPS <= eps < LARGEST_EPS:
        raise InputError(
            f"eps must satisfy the hypothesis 0 < ε < 1/4 (and ε ≥ {SMALLEST_EPS:g}, against underflow); got {eps:g}. "
            "Rescale target and tolerance together: the scale of the candidates is a free choice."
        )
    z_bound = check_positive("z_bound", z_bound, "It bounds every |z_i|.", zero_ok=True)
    if z_bound > LARGEST_TARGET:
        raise InputError(
            f"z_bound must be at most {LARGEST_TARGET:g}, against overflow; got {z_bound:g}. "
            "Rescale target and tolerance together."
        )
    return dim, eps, z_bound


def _check_probability(name: str, value: float) -> float:
    check_positive(name, value, "It is a failure probability in (0, 1).")
    if not 1e-300 < value < 1:
        raise InputError(f"{name} must be a failure probability in (0, 1), at least 1e-300; got {value:g}.")
    return float(value)
