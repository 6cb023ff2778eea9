"""Training a target: one small loop for the demo and the benchmarks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from slth.data import Split


def train(
    model: nn.Module,
    data: Split,
    *,
    epochs: int,
    batch: int = 64,
    learning_rate: float = 3e-3,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> nn.Module:
    """Train a classifier with Adam and a one-cycle learning rate; the same weights on every run of one machine.

    Args:
        model: changed in place. data: training images and labels; nothing else is looked at.
        epochs, batch, learning_rate: the rate is the highest one of the cycle.
        seed: of the order of the examples. say: told the mean loss of each epoch.

    Returns:
        The model, in evaluation mode.
    """
    generator = torch.Generator().manual_seed(seed)
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    steps = epochs * -(-len(data) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps)
    for epoch in range(epochs):
        total = 0.0
        for part in torch.randperm(len(data), generator=generator).split(batch):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(data.images[part]), data.labels[part])
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(part)
        say(f"epoch {epoch + 1} of {epochs}: loss {total / len(data):.4f}")
    return model.eval()
