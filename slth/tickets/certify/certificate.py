"""What a certificate says: brackets, proved agreement, and their record as JSON."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How far the proof is from the truth after one linear map.

    Attributes:
        name: of the map. found, proved: bounds on ‖δ‖∞ there (found on the same inputs as the output's).
        open: fraction of its outputs whose sign the proof leaves open; every one costs.
    """

    name: str
    found: float
    proved: float
    open: float


@dataclass(frozen=True, kw_only=True)
class NetworkCertificate:
    r"""A bracket around the largest output difference over a box of inputs.

    .. math:: found \;≤\; \sup_{lo ≤ x ≤ hi} \| \hat f(x) − f(x) \|_∞ \;≤\; proved

    Attributes:
        low, high: of every input entry. shape: of one input. proved, found: rigorous, outward rounded.
        norm_bound: what theory.md's layer bounds compose to (kernel errors, ‖K̂‖∞ and largest activations alone).
        observed: largest difference on the given images, None without.
        worst: float32, the input at which ``found`` was found. limits: one entry per use of a linear map.
        unknowns: at most so many are shared by the affine forms. seconds: wall time.
    """

    low: float
    high: float
    shape: tuple[int, ...]
    proved: float
    found: float
    norm_bound: float
    observed: float | None
    worst: npt.NDArray[np.float32]
    limits: tuple[Limit, ...]
    unknowns: int
    seconds: float

    @property
    def ratio(self) -> float:
        """Proved / found: 1 would be the truth."""
        return self.proved / self.found if self.found else math.inf if self.proved else 1.0

    def describe(self) -> dict[str, Any]:
        """The certificate as JSON; ``worst_input`` is base64 of little-endian float32."""
        names = ("low", "high", "proved", "found", "norm_bound", "observed", "unknowns")
        return {
            **{name: getattr(self, name) for name in names},
            "ratio": self.ratio if self.found else None,
            "shape": list(self.shape),
            "limits": [vars(limit).copy() for limit in self.limits],
            "worst_input": base64.b64encode(self.worst.astype("<f4").tobytes()).decode(),
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, kw_only=True)
class AgreementCertificate:
    """For which examples target and ticket provably predict the same class, everywhere within L∞ distance ``radius``.

    Attributes:
        radius: of the balls, clipped to [low, high]. certified: bool (N,): one class, proved for both networks and all
            inputs of the ball. disagree: bool (N,): proved to differ at the example itself.
        observed: bool (N,): agree at the example itself in float64. classes: int64 (N,), the target's prediction there.
        difference: float64 (N,), proved bound on ‖f̂ − f‖∞ over the ball (NaN where the ball was not looked at,
            because the example itself is not certified). seconds: wall time.
    """

    radius: float
    low: float
    high: float
    certified: npt.NDArray[np.bool_]
    disagree: npt.NDArray[np.bool_]
    observed: npt.NDArray[np.bool_]
    classes: npt.NDArray[np.int64]
    difference: npt.NDArray[np.float64]
    unknowns: int
    seconds: float

    @property
    def fraction(self) -> float:
        """Of the examples, the certified ones."""
        return float(self.certified.mean())

    def describe(self) -> dict[str, Any]:
        """The certificate as JSON, example by example left out."""
        proved = self.difference[np.isfinite(self.difference)]
        return {
            "radius": self.radius,
            "low": self.low,
            "high": self.high,
            "examples": len(self.certified),
            "certified": int(self.certified.sum()),
            "fraction": self.fraction,
            "observed": float(self.observed.mean()),
            "disagree": int(self.disagree.sum()),
            "median_difference": float(np.median(proved)) if len(proved) else None,
            "largest_difference": float(proved.max()) if len(proved) else None,
            "unknowns": self.unknowns,
            "seconds": round(self.seconds, 2),
        }
