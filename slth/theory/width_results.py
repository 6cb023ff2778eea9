"""What a certified width says: of one subset sum, of one layer, of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CertifiedWidth:
    """A number of candidates that provably suffices for one subset sum.

    Attributes:
        n: candidates in all, ``blocks`` · ``block_size``.
        k: size of the subset, which lies within one block.
        success: a rigorous lower bound of the probability of the claim, rounded down; it is ≥ 1 − ``delta``.
        block_size: candidates of one block.
        blocks: number of independent blocks.
        block_success: a rigorous lower bound of the success probability of one block.
        D: the dimension asked for.
        eps: the tolerance asked for.
        delta: the failure probability asked for.
        z_bound: the bound on every |z_i| asked for.
        uniform: whether the claim holds for all targets of the box at once.
        net_points: targets of the covering net; 1 for a fixed target.
        block_eps: the tolerance at each of these targets.
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


@dataclass(frozen=True, kw_only=True)
class LayerWidth:
    """A width that provably suffices for one layer.

    Attributes:
        name: name of the layer.
        width: random hidden channels per input channel, both signs together.
        tolerance: ε', the certified kernel error.
        scale: scale of the candidates; it is a free choice because ReLU is positively homogeneous.
        group: the certificate for the candidates of one sign, in units of ``scale``.
    """

    name: str
    width: int
    tolerance: float
    scale: float
    group: CertifiedWidth


@dataclass(frozen=True, kw_only=True)
class NetworkWidth:
    """Widths that provably suffice for a network, and the claim that they prove.

    Attributes:
        layers: the width of every layer, in order.
        eps: sup error of the network's output.
        delta: failure probability.
        input_max: the largest |input|.
        instances: subset sums in the union bound.
    """

    layers: tuple[LayerWidth, ...]
    eps: float
    delta: float
    input_max: float
    instances: int
