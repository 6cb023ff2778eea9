"""What a method adds to training: a loss, and what it does after each step and each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where a run is; everything is counted from 0.

    Attributes:
        step: the step that is being taken.
        steps: number of steps of the whole run.
        epoch: the epoch that the step belongs to.
        epochs: number of epochs of the whole run.
    """

    step: int
    steps: int
    epoch: int
    epochs: int


def cross_entropy(model: nn.Module, logits: torch.Tensor, labels: torch.Tensor, moment: Moment) -> torch.Tensor:
    """Mean cross-entropy of a batch, in nats.

    Args:
        model: not used.
        logits: (B, C).
        labels: int64 (B,).
        moment: not used.
    """
    return functional.cross_entropy(logits, labels)


def _nothing(model: nn.Module, moment: Moment) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a method adds to training.

    Attributes:
        loss: (model, logits (B, C), labels (B,), moment) → scalar tensor to minimise.
        after_step: (model, moment), called after each step, without gradients.
        after_epoch: (model, moment), called after each whole epoch, without gradients; ``moment.epoch`` is the epoch
            that has just ended.
    """

    loss: Callable[[nn.Module, torch.Tensor, torch.Tensor, Moment], torch.Tensor] = cross_entropy
    after_step: Callable[[nn.Module, Moment], None] = _nothing
    after_epoch: Callable[[nn.Module, Moment], None] = _nothing
