"""The problem, its solution and its status: the types that all solvers share."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from slth.arrays import BoolArray, FloatArray
from slth.errors import InputError, check_array, check_choice, check_int

NORMS = ("linf", "l2")
# n·max|vectors| + max|target| stays below this, so that sums cannot overflow.
MAX_REACH = 1e300


class Status(enum.StrEnum):
    """How a solve ended. The value is the message: what it means and what to do next."""

    optimal = "proved: no selection of the candidates has a smaller error"
    feasible = "a selection was found, not proved optimal; more time or method='exact' may improve it"
    infeasible = "proved: no selection reaches the requested eps; add candidates or raise eps"
    unknown = "no selection within eps was found, and none was excluded; give more time, or raise eps"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    r"""One multidimensional random subset-sum instance.

    .. math:: \min_{s \in \{0,1\}^n} \; \| X^\top s - z \|_\infty
              \quad \text{(or } \| \cdot \|_2 \text{; optionally subject to } \textstyle\sum_i s_i = k \text{)}

    Attributes:
        vectors: X, float64 (n, D): one row per candidate.
        target: z, float64 (D,).
        cardinality: k, or None when any size is allowed.
        norm: ``linf`` or ``l2``, the norm in which every error of this problem is measured.

    Raises:
        InputError: wrong shapes, NaN or infinity, k outside [0, n].

    Source: becchetti2022
    """

    vectors: FloatArray
    target: FloatArray
    cardinality: int | None = None
    norm: str = "linf"

    def __post_init__(self) -> None:
        vectors = check_array(
            "vectors", self.vectors, "(n, D) with n ≥ 1 and D ≥ 1", 2, "Pass one row per candidate channel."
        )
        target = check_array("target", self.target, "(D,)", 1, "Pass one number per column of vectors.")
        if target.shape[0] != vectors.shape[1]:
            raise InputError(
                f"target must have shape (D,) = ({vectors.shape[1]},) to match vectors {vectors.shape}; "
                f"got {target.shape}. Check which axis holds the candidates."
            )
        largest = float(max(vectors.max(), -vectors.min())) * vectors.shape[0] + float(np.abs(target).max())
        if not largest < MAX_REACH:
            raise InputError(
                f"n·max|vectors| + max|target| must stay below 1e300 so that sums cannot overflow; "
                f"got about {largest:.3g}. Rescale vectors and target by a power of two."
            )
        if self.cardinality is not None:
            check_int("cardinality", self.cardinality, 0, vectors.shape[0], "Choose k between 0 and n.")
        check_choice("norm", self.norm, NORMS)
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "target", target)

    def length(self, residual: FloatArray) -> float:
        """The norm of a residual (D,), in float64. Searches compare by it; reported errors are recomputed exactly."""
        return float(np.abs(residual).max()) if self.norm == "linf" else math.sqrt(float(residual @ residual))

    @property
    def size(self) -> int:
        """n, the number of candidates."""
        return int(self.vectors.shape[0])

    @property
    def dimension(self) -> int:
        """D, the number of coordinates."""
        return int(self.vectors.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """The selection that a method found, with its error recomputed exactly.

    Attributes:
        selected: bool (n,).
        error: ‖Xᵀs − z‖ in the problem's norm, rounded up to float64: never below the exact value.
        status: how the solve ended; see :class:`Status`.
        lower_bound: no selection has a smaller error than this; 0.0 when nothing is known.
        method: name of the method that found ``selected``.
        seconds: wall time of the solve.
        stats: facts about the run: iterations, and under ``chosen`` the method taken and why.
    """

    selected: BoolArray
    error: float
    status: Status
    lower_bound: float
    method: str
    seconds: float
    stats: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stats", MappingProxyType(dict(self.stats)))

    @property
    def message(self) -> str:
        """The status in words."""
        return self.status.value


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchSolution:
    """Solutions of b instances of one shape: the fields of :class:`Solution`, stacked.

    Attributes:
        selected: bool (b, n), one selection per instance.
        error: float64 (b,), rounded up.
        lower_bound: float64 (b,).
        status: b statuses.
        methods: names of the b methods that found the selections.
        seconds: wall time of the whole batch.
    """

    selected: BoolArray
    error: FloatArray
    lower_bound: FloatArray
    status: tuple[Status, ...]
    methods: tuple[str, ...]
    seconds: float
