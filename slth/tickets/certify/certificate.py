"""The results of certification: brackets and proved agreement, and their description as JSON."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The bracket of the largest difference ‖δ‖∞ after one linear map.

    Attributes:
        name: name of the map.
        found: a lower bound, from the inputs that were found for the network's output.
        proved: an upper bound.
        open: fraction of the map's outputs whose sign the proof leaves open. Each of them widens the bracket.
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
        low: least value of an input entry.
        high: greatest value of an input entry.
        shape: shape of one input, without the batch axis.
        proved: a rigorous upper bound.
        found: a rigorous lower bound.
        norm_bound: the upper bound that the layer bounds of :mod:`slth.theory.propagation` compose to; it knows the
            kernel errors, ‖K̂‖∞ and the largest activations alone.
        observed: a lower bound from the given images; None without images.
        worst: the input at which ``found`` was found, float32.
        limits: one bracket for each use of a linear map.
        unknowns: largest number of unknowns that the affine forms share.
        seconds: wall time.
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
        """The ratio proved / found, which is 1 if both are the truth."""
        return self.proved / self.found if self.found else math.inf if self.proved else 1.0

    def describe(self) -> dict[str, Any]:
        """The certificate as JSON, where ``worst_input`` is base64 of little-endian float32."""
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
    """The examples around which target and ticket provably predict the same class, within L∞ distance ``radius``.

    Attributes:
        radius: radius of the balls around the examples, in units of the input.
        low: least value of an input entry; the balls are clipped to [low, high].
        high: greatest value of an input entry.
        certified: whether both networks provably predict one class for all inputs of the ball, bool (N,).
        disagree: whether the networks provably predict different classes at the example itself, bool (N,).
        observed: whether the networks predict the same class at the example itself in float64, bool (N,).
        classes: the class that the target predicts at the example itself, int64 (N,).
        difference: a proved bound on ‖f̂ − f‖∞ over the ball, float64 (N,); NaN where nothing was proved about the ball
            because the example itself is not certified.
        unknowns: largest number of unknowns that the affine forms share.
        seconds: wall time.
        images_sha256: SHA-256 of the examples, as :func:`slth.tickets.record.images.hash_images` computes it.
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
    images_sha256: str = ""

    @property
    def fraction(self) -> float:
        """The fraction of the examples that are certified."""
        return float(self.certified.mean())

    def describe(self) -> dict[str, Any]:
        """The certificate as JSON, with totals in place of single examples."""
        proved = self.difference[np.isfinite(self.difference)]
        return {
            "radius": self.radius,
            "low": self.low,
            "high": self.high,
            "examples": len(self.certified),
            "images_sha256": self.images_sha256,
            "certified": int(self.certified.sum()),
            "fraction": self.fraction,
            "observed": float(self.observed.mean()),
            "disagree": int(self.disagree.sum()),
            "median_difference": float(np.median(proved)) if len(proved) else None,
            "largest_difference": float(proved.max()) if len(proved) else None,
            "unknowns": self.unknowns,
            "seconds": round(self.seconds, 2),
        }
