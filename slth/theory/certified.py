r"""Certified widths: how many random candidates suffice, with every constant computed and every step rigorous.

Candidates are NSN vectors Y_t = Z_t (Z_t1, …, Z_tD), all entries i.i.d. N(0, 1). The theorem behind all three
functions is a weighted, windowed second-moment bound; its proof, inequality by inequality, is
proofs_check/certified_width.md. Floating point proposes n and k; ball arithmetic certifies them.

Source: certified
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flint import fmpq, fmpz

from slth.errors import InputError, WorkLimitError, check_int, check_positive
from slth.theory import enclosures
from slth.theory.composition import LayerSpec, LayerWidth, NetworkWidth, group_width, tolerances
from slth.theory.overlap import LARGEST_DIMENSION
from slth.theory.search import LARGEST_BLOCK, LARGEST_SUBSET, Question, covering_net, missed, search

__all__ = ["CertifiedWidth", "LayerSpec", "NetworkWidth", "network_width", "success_lower_bound", "width"]

# The proof needs only ε > 0. Above 1/4 of a candidate's standard deviation there is little left to prove, and the
# bound it is compared with (dacunha2023) stops there.
LARGEST_EPS = 0.25
# Far from where floats of the search under- or overflow.
SMALLEST_EPS = 1e-100
LARGEST_TARGET = 1e6


@dataclass(frozen=True, kw_only=True)
class CertifiedWidth:
    """A number of candidates that provably suffices.

    Attributes:
        n: candidates in all: blocks · block_size. k: size of the subset, taken within one block.
        success: P(the claim) ≥ success, and success ≥ 1 − delta. A rigorous lower bound, rounded down.
        block_size, blocks: independent blocks of candidates. block_success: what one block is certified for.
        D, eps, delta, z_bound: what was asked for. uniform: the claim is for all targets of the box at once.
        net_points: targets of the covering net (1 for a fixed target). block_eps: tolerance at each of them.
    """

    n: int
    k: int
    success: float
    block_size: int
    blocks: int
    block_success: float
    D: int
    eps: float
    delta: float
    z_bound: float
    uniform: bool
    net_points: int
    block_eps: float

    @property
    def published_form(self) -> float:
        """D^6 log³(D/ε): the published form with its unspecified constant **assumed** to be C = 1.

        Source: dacunha2023
        """
        return float(self.D**6 * math.log(self.D / self.eps) ** 3)


def success_lower_bound(n: int, k: int, D: int, eps: float, z_bound: float) -> float:
    r"""A number p with P(some k-subset of n NSN candidates is within ε of z) ≥ p, rigorously.

    .. math:: \min_{\|z\|_∞ \le ζ} P\big(\exists S, |S| = k : \|Σ_{t∈S} Y_t - z\|_∞ \le ε\big) \;\ge\; p

    Args:
        n: candidates. k: subset size, 1 ≤ k ≤ n. D: dimension (≤ 4096). eps: ε in (0, 1/4), in units of a
            candidate's standard deviation. z_bound: ζ ≥ 0, a bound on every |z_i|.

    Returns:
        p in [0, 1], a lower bound of the exact probability, rounded down; 0.0 says that nothing is proved.

    Raises:
        InputError: a hypothesis does not hold; the message names it. WorkLimitError: k is above 2000.

    Source: certified
    """
    D, eps, z_bound = _check(D, eps, z_bound)
    n = check_int("n", n, 1, LARGEST_BLOCK)
    k = check_int("k", k, 1, n, "A subset of k candidates needs 1 ≤ k ≤ n.")
    if k > LARGEST_SUBSET:
        raise WorkLimitError(f"certificates are computed for k ≤ {LARGEST_SUBSET}; got k = {k}. Use smaller blocks.")
    question = Question(dim=D, eps=eps, z_bound=z_bound, failure=fmpq(1))
    return enclosures.below(question.success(n, k))


def width(D: int, eps: float, delta: float, z_bound: float, uniform: bool = False) -> CertifiedWidth:
    r"""The smallest number n of NSN candidates that this method can certify.

    A fixed target: for every z with ‖z‖∞ ≤ ζ,  P(∃ S : ‖Σ_S Y − z‖∞ ≤ ε) ≥ 1 − δ.
    Uniformly:      P(∀ z with ‖z‖∞ ≤ ζ  ∃ S : ‖Σ_S Y − z‖∞ ≤ ε) ≥ 1 − δ.

    Args:
        D: dimension. eps: ε in (0, 1/4). delta: δ in (0, 1), failure probability. z_bound: ζ ≥ 0.
        uniform: all targets of the box at once, by a covering net and the union bound.

    Returns:
        A :class:`CertifiedWidth`. "Smallest" is over what was tried; that it suffices is what is certified.

    Raises:
        InputError: a hypothesis does not hold. WorkLimitError: no certificate within the work limit.

    Source: certified
    """
    D, eps, z_bound = _check(D, eps, z_bound)
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
        success=enclosures.below(1 - fmpz(points) * missed(answer.success, answer.blocks)),
        block_size=answer.size,
        blocks=answer.blocks,
        block_success=enclosures.below(answer.success),
        D=D,
        eps=eps,
        delta=delta,
        z_bound=z_bound,
        uniform=uniform,
        net_points=points,
        block_eps=block_eps,
    )


class _Chain(Protocol):
    """A target that knows its layers: :class:`slth.networks.Target`."""

    def layer_specs(self) -> tuple[LayerSpec, ...]: ...


def network_width(
    target: Sequence[LayerSpec] | _Chain, eps: float, delta: float, *, input_max: float = 1.0
) -> NetworkWidth:
    r"""Random hidden channels per input channel, layer by layer, for a whole fixed target network.

    .. math:: P\big( \text{some channel ticket } g : \sup_{\|x\|_∞ \le x_{max}} \|g(x) - f(x)\|_∞ \le ε \big) \ge 1 - δ

    Args:
        target: an extracted target (``slth.networks.extract``), or one :class:`LayerSpec` a linear or convolutional
            layer, in order; between them ReLU or any other map that is 1-Lipschitz in the maximum norm and keeps 0 at
            0 (pooling, flattening).
        eps: sup error of the network's output. delta: failure probability in (0, 1). input_max: x_max.

    Returns:
        A :class:`NetworkWidth`. Weights are normal; every layer's scale is chosen from the target's largest weight
        alone, which positive homogeneity makes free.

    Raises:
        InputError: a hypothesis does not hold. WorkLimitError: a layer has no certificate within the work limit.

    Source: certified
    """
    delta = _check_probability("delta", delta)
    eps = check_positive("eps", eps, "It is the sup error of the network's output.")
    input_max = check_positive("input_max", input_max, "It bounds the network's inputs.")
    specs = tuple(target) if isinstance(target, Sequence) else target.layer_specs()
    allowed = tolerances(specs, eps, input_max)
    instances = sum(layer.instances for layer in specs)
    # Half of an instance's failure probability for having too few candidates of its sign, half for no subset.
    share = delta / (2 * instances) * (1 - 2.0**-40)
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


def _check(dim: int, eps: float, z_bound: float) -> tuple[int, float, float]:
    dim = check_int("D", dim, 1, LARGEST_DIMENSION, "D is the dimension of one subset-sum instance.")
    eps = check_positive("eps", eps, "It is the L∞ tolerance ε in units of a candidate's standard deviation.")
    if not SMALLEST_EPS <= eps < LARGEST_EPS:
        raise InputError(
            f"eps must satisfy the hypothesis 0 < ε < 1/4 (and ε ≥ {SMALLEST_EPS:g}, against underflow); got {eps:g}. "
            "Rescale target and tolerance together: a scale of the candidates is free."
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
