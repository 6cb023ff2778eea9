"""Calibration measures against hand-worked tables, scikit-learn and plain loops."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from slth.baselines import calibration
from slth.errors import InputError


def logits_for(confidences: list[float]) -> torch.Tensor:
    """Two classes; the first is predicted with the given confidence."""
    p = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([p.log(), (1 - p).log()], dim=1)


@pytest.fixture(scope="module")
def noisy() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn((237, 5), generator=generator) * 2
    labels = torch.where(
        torch.rand(237, generator=generator) < 0.6,
        logits.argmax(dim=1),
        torch.randint(0, 5, (237,), generator=generator),
    )
    return logits, labels


def test_expected_calibration_error_by_hand() -> None:
    # Confidences 0.62, 0.68 (right, wrong), 0.95 (right, right), 0.55 (wrong).
    logits = logits_for([0.62, 0.68, 0.95, 0.95, 0.55])
    labels = torch.tensor([0, 1, 0, 0, 1])
    # Bins of width 0.1: (0.5, 0.6]: |0 − 0.55|; (0.6, 0.7]: |0.5 − 0.65|; (0.9, 1]: |1 − 0.95|.
    assert calibration.ece(logits, labels) == pytest.approx((0.55 + 2 * 0.15 + 2 * 0.05) / 5)
    # Two bins of equal mass: the three least confident, then the two most: |1/3 − 1.85/3|, |1 − 0.95|.
    assert calibration.ece(logits, labels, bins=2, scheme="mass") == pytest.approx((0.85 + 2 * 0.05) / 5)
    # One bin: |accuracy − mean confidence|, whichever way it is cut.
    for scheme in calibration.SCHEMES:
        assert calibration.ece(logits, labels, bins=1, scheme=scheme) == pytest.approx(abs(3 / 5 - 3.75 / 5))


def test_bins_are_open_below_and_closed_above() -> None:
    edge = torch.tensor([[0.0, 0.0], [0.0, -800.0]])  # confidences exactly ½ and 1
    table = calibration.reliability(edge, torch.tensor([0, 0]), bins=2)
    assert table.count.tolist() == [1, 1]
    assert table.lower.tolist() == [0.0, 0.5]
    assert table.upper.tolist() == [0.5, 1.0]
    assert table.confidence.tolist() == [0.5, 1.0]
    assert calibration.reliability(edge, torch.tensor([0, 0]), bins=4).count.tolist() == [0, 1, 0, 1]


def test_empty_bins_are_empty_and_add_nothing() -> None:
    table = calibration.reliability(logits_for([0.95, 0.96]), torch.tensor([0, 1]))
    assert table.count.tolist() == [0] * 9 + [2]
    assert bool(table.accuracy[:9].isnan().all())
    assert bool(table.confidence[:9].isnan().all())
    assert float(table.accuracy[9]) == 0.5
    few = calibration.reliability(logits_for([0.95, 0.96]), torch.tensor([0, 1]), bins=3, scheme="mass")
    assert few.count.tolist() == [1, 1, 0]
    assert math.isnan(float(few.upper[2]))
    assert calibration.ece(logits_for([0.95, 0.96]), torch.tensor([0, 1]), bins=3, scheme="mass") == pytest.approx(
        (0.05 + 0.96) / 2
    )


@pytest.mark.parametrize("bins", [1, 7, 10, 400])
@pytest.mark.parametrize("scheme", calibration.SCHEMES)
def test_against_a_plain_loop(noisy: tuple[torch.Tensor, torch.Tensor], scheme: str, bins: int) -> None:
    logits, labels = noisy
    exponentials = np.exp(logits.double().numpy())
    p = exponentials / exponentials.sum(axis=1, keepdims=True)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels.numpy()
    if scheme == "width":
        edges = np.linspace(0, 1, bins + 1)
        groups = [np.flatnonzero((confidence > a) & (confidence <= b)) for a, b in pairwise(edges)]
    else:
        groups = np.array_split(np.argsort(confidence, kind="stable"), bins)
    expected = sum(len(g) / 237 * abs(right[g].mean() - confidence[g].mean()) for g in groups if len(g))
    assert calibration.ece(logits, labels, bins=bins, scheme=scheme) == pytest.approx(expected)
    table = calibration.reliability(logits, labels, bins=bins, scheme=scheme)
    assert table.count.tolist() == [len(g) for g in groups]


def test_proper_scores(noisy: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = noisy
    p = logits.double().softmax(dim=1).numpy()
    assert calibration.nll(logits, labels) == pytest.approx(log_loss(labels.numpy(), p))
    onehot = np.eye(5)[labels.numpy()]
    assert calibration.brier(logits, labels) == pytest.approx(((p - onehot) ** 2).sum() / 237)
    assert calibration.accuracy(logits, labels) == (p.argmax(axis=1) == labels.numpy()).mean()


@pytest.mark.parametrize("rounded", [False, True])
def test_auroc_against_scikit_learn(noisy: tuple[torch.Tensor, torch.Tensor], rounded: bool) -> None:
    logits = noisy[0].round() if rounded else noisy[0]  # rounded: many ties
    outside = torch.randn((100, 5), generator=torch.Generator().manual_seed(9))
    outside = outside.round() if rounded else outside
    scores = torch.cat([logits, outside]).double().softmax(dim=1).amax(dim=1)
    expected = roc_auc_score([1] * 237 + [0] * 100, scores.numpy())
    assert calibration.auroc(logits, outside) == pytest.approx(expected)
    assert calibration.auroc(logits, logits) == pytest.approx(0.5)


def test_all_measures_in_one_call(noisy: tuple[torch.Tensor, torch.Tensor]) -> None:
    found = calibration.measures(*noisy)
    assert set(found) == {"accuracy", "nll", "brier", "ece", "ece_mass"}
    assert calibration.measures(*noisy, ood_logits=noisy[0] / 9)["auroc"] > 0.9


def test_refusals(noisy: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = noisy
    with pytest.raises(InputError, match=r"labels must lie between 0 and 4.*got 0 to 5"):
        calibration.measures(logits, torch.where(labels == 0, 5, labels).clamp(0, 5) * 1 - (labels == 1).long())
    with pytest.raises(InputError, match=r"labels \(N,\) with N ≥ 1; got \(237, 5\) and \(236,\)"):
        calibration.nll(logits, labels[1:])
    with pytest.raises(InputError, match="N ≥ 1"):
        calibration.ece(logits[:0], labels[:0])
    with pytest.raises(InputError, match="logits must be finite"):
        calibration.brier(logits / 0, labels)
    with pytest.raises(InputError, match="scheme must be one of width, mass"):
        calibration.ece(logits, labels, scheme="area")
    with pytest.raises(InputError, match="bins must be"):
        calibration.ece(logits, labels, bins=0)
    with pytest.raises(InputError, match="outside must be logits"):
        calibration.auroc(logits, logits[:0])
