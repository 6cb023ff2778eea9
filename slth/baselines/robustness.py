"""Robustness: accuracy of a network on corrupted inputs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from slth.baselines.training import accuracy
from slth.data import Split, corruptions


def under_corruptions(
    model: nn.Module, data: Split, *, kinds: Sequence[str] = corruptions.KINDS,
    severities: Sequence[int] = corruptions.SEVERITIES, seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """Accuracy by ``kind-severity``, and ``corrupted``, the mean of all of them.

    Args:
        data: clean images in [0, 1], which are corrupted anew: the same for every model at one ``seed``.
    """
    found = {
        f"{kind}-{severity}": accuracy(model, corruptions.corrupted(data, kind=kind, severity=severity, seed=seed))
        for kind in kinds
        for severity in severities
    }
    return found | {"corrupted": sum(found.values()) / len(found)}
