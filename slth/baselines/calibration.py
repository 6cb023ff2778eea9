r"""Calibration: how far a classifier's confidence is from its accuracy, from logits and labels alone.

Throughout, p = softmax(logits) in float64, the prediction is the class of the largest p (the first of equal ones) and
the confidence of an example is that largest p. Tensors are on the CPU, as
:func:`slth.baselines.training.logits_of` returns them.

Source: guo2017
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch.nn import functional

from slth.errors import InputError, check_choice, check_int

BINS = 10
SCHEMES = ("width", "mass")


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """A reliability diagram as a table with one entry for each of B bins.

    Attributes:
        lower: float64 (B,). Scheme ``width``: lower edge; ``mass``: least confidence in the bin, NaN in an empty bin.
        upper: float64 (B,). Scheme ``width``: upper edge; ``mass``: largest confidence in the bin, NaN in an empty bin.
        count: int64 (B,), examples in the bin.
        confidence: float64 (B,), mean confidence in the bin; NaN in an empty bin.
        accuracy: float64 (B,), fraction of right predictions in the bin; NaN in an empty bin.
    """

    lower: torch.Tensor
    upper: torch.Tensor
    count: torch.Tensor
    confidence: torch.Tensor
    accuracy: torch.Tensor


def check_labels(logits: torch.Tensor, labels: torch.Tensor) -> None:
    """Raise unless logits are finite and labels name their columns.

    Args:
        logits: (N, C).
        labels: int64 (N,).

    Raises:
        InputError: other shapes, logits that are not finite, or labels outside 0 … C − 1.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise InputError(
            f"logits must have shape (N, C) and labels (N,) with N ≥ 1; got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}. Pass one row per example."
        )
    if not bool(logits.isfinite().all()):
        raise InputError("logits must be finite; they are not. Check the network that they come from.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        raise InputError(
            f"labels must lie between 0 and {logits.shape[1] - 1}, one for each column of logits; got {low} to {high}."
        )


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Fraction of examples whose prediction is their label.

    Args:
        logits: (N, C).
        labels: int64 (N,).
    """
    check_labels(logits, labels)
    return float((logits.argmax(dim=1) == labels).double().mean())


def nll(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean negative log-likelihood −ln p_y, in nats.

    Args:
        logits: (N, C).
        labels: int64 (N,).
    """
    check_labels(logits, labels)
    return float(functional.cross_entropy(logits.double(), labels))


def brier(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Brier score, in [0, 2]: the mean over examples of Σ_c (p_c − 1[c = y])², a sum over classes.

    Args:
        logits: (N, C).
        labels: int64 (N,).
    """
    check_labels(logits, labels)
    gap = logits.double().softmax(dim=1) - functional.one_hot(labels, logits.shape[1])
    return float(gap.square().sum(dim=1).mean())


def reliability(logits: torch.Tensor, labels: torch.Tensor, *, bins: int = BINS, scheme: str = "width") -> Reliability:
    """Confidence and accuracy in bins of confidence.

    Args:
        logits: (N, C).
        labels: int64 (N,).
        bins: number of bins B.
        scheme: ``width``: bin b holds the confidences in (b/B, (b+1)/B], and 0 belongs to the first bin. ``mass``:
            examples are sorted by confidence (equal ones in the order of the data) and cut into B runs; their sizes
            differ by one at most, and the larger runs come first.

    Raises:
        InputError: shapes or labels that do not fit.
    """
    check_labels(logits, labels)
    check_int("bins", bins, 1)
    check_choice("scheme", scheme, SCHEMES)
    confidence = logits.double().softmax(dim=1).amax(dim=1)
    right = (logits.argmax(dim=1) == labels).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    if scheme == "width":
        place = torch.bucketize(confidence, edges[1:-1])  # the b with edges[b] < confidence ≤ edges[b + 1]
        lower, upper = edges[:-1], edges[1:]
    else:
        runs = torch.tensor_split(torch.argsort(confidence, stable=True), bins)
        place = torch.empty(len(labels), dtype=torch.int64)
        for b, run in enumerate(runs):
            place[run] = b
        nothing = torch.tensor(torch.nan, dtype=torch.float64)
        lower = torch.stack([confidence[run].amin() if len(run) else nothing for run in runs])
        upper = torch.stack([confidence[run].amax() if len(run) else nothing for run in runs])
    count = torch.bincount(place, minlength=bins)
    return Reliability(
        lower=lower,
        upper=upper,
        count=count,
        confidence=torch.bincount(place, confidence, minlength=bins) / count,
        accuracy=torch.bincount(place, right, minlength=bins) / count,
    )


def ece(logits: torch.Tensor, labels: torch.Tensor, *, bins: int = BINS, scheme: str = "width") -> float:
    r"""Expected calibration error, in [0, 1].

    .. math:: \mathrm{ECE} = \sum_{b} \frac{n_b}{N} \, | \mathrm{accuracy}_b - \mathrm{confidence}_b |

    Empty bins add nothing. The estimate is biased upwards, and more so with fewer examples in a bin: compare values of
    equal N and B only.

    Args:
        logits: (N, C).
        labels: int64 (N,).
        bins: number of bins B.
        scheme: ``width`` or ``mass``; see :func:`reliability`.

    Source: guo2017
    """
    table = reliability(logits, labels, bins=bins, scheme=scheme)
    full = table.count > 0
    gap = (table.accuracy - table.confidence)[full].abs()
    return float((table.count[full] * gap).sum() / len(labels))


def auroc(inside: torch.Tensor, outside: torch.Tensor) -> float:
    """Probability that a known input has a higher confidence than an unknown one; ties count half, and 0.5 is chance.

    Args:
        inside: logits (N, C) of inputs from the training distribution.
        outside: logits (M, C) of inputs from elsewhere.
    """
    for name, logits in (("inside", inside), ("outside", outside)):
        if logits.ndim != 2 or not len(logits):
            raise InputError(f"{name} must be logits of shape (N, C) with N ≥ 1; got {tuple(logits.shape)}.")
    scores = torch.cat([logits.double().softmax(dim=1).amax(dim=1) for logits in (inside, outside)])
    ranks = rankdata(scores.numpy())  # equal scores share the mean of their ranks
    n, m = len(inside), len(outside)
    return float((np.sum(ranks[:n]) - n * (n + 1) / 2) / (n * m))


def measures(logits: torch.Tensor, labels: torch.Tensor, ood_logits: torch.Tensor | None = None) -> dict[str, float]:
    """Every measure of this module by name.

    Args:
        logits: (N, C).
        labels: int64 (N,).
        ood_logits: logits (M, C) of inputs from elsewhere (out of distribution); None leaves ``auroc`` out.

    Returns:
        ``accuracy``, ``nll``, ``brier``, ``ece``, ``ece_mass`` and, with ``ood_logits``, ``auroc``.
    """
    found = {
        "accuracy": accuracy(logits, labels),
        "nll": nll(logits, labels),
        "brier": brier(logits, labels),
        "ece": ece(logits, labels),
        "ece_mass": ece(logits, labels, scheme="mass"),
    }
    return found if ood_logits is None else found | {"auroc": auroc(logits, ood_logits)}
