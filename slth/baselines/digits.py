"""A small CNN trained on scikit-learn's digits: the target of the demo, the notebooks and the studies."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from slth.baselines.recipe import Recipe
from slth.baselines.reuse import train_once
from slth.baselines.training import train
from slth.data import Split
from slth.networks import models
from slth.progress import Progress

TARGET_RECIPE = Recipe(batch=64, optimiser="adam", learning_rate=3e-3, schedule="one-cycle")


def train_digits(
    images: Split, epochs: int, *, reuse: bool = False, progress: bool | Progress = False
) -> nn.Sequential:
    """Train the digits CNN from one fixed draw of its weights: the same network on every run of one machine.

    Args:
        images: training examples, 8×8 pixels in [0, 1].
        epochs: passes over them.
        reuse: whether the weights of an earlier training that was the same may be taken from the disk.
        progress: who listens: hears every step; True for a bar.

    Returns:
        The trained network, in evaluation mode.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.digits_cnn()
    recipe = replace(TARGET_RECIPE, epochs=epochs)
    if reuse:
        train_once(model, images, recipe=recipe)
    else:
        train(model, images, recipe=recipe, progress=progress)
    return model
