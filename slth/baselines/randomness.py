"""The random numbers of a training run: its seeds, the order of the data, and augmentation."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from slth.baselines.recipe import Recipe


def mixed(*numbers: int) -> int:
    """Make one 63-bit seed of several numbers.

    Two different sequences have different seeds in practice. (seed, purpose, …) keeps the random numbers of one purpose
    apart from those of another. Purposes: 0 order of the data, 1 noise, 2 augmentation, 3 scores, 4 masks, 5 examples,
    6 the network that a ticket is planted in. Other weights are drawn from the plain seed.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def order_of(recipe: Recipe, epoch: int, examples: int) -> torch.Tensor:
    """The order in which an epoch visits the examples.

    Args:
        recipe: its seed decides.
        epoch: counted from 0.
        examples: number of examples N.

    Returns:
        A permutation, int64 (N,).
    """
    generator = torch.Generator().manual_seed(mixed(recipe.seed, 0, epoch))
    return torch.randperm(examples, generator=generator)


def augmented(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Shift each image by up to an eighth of its side, and mirror it with chance ½.

    Args:
        images: (B, C, H, W); zeros move in at the borders.
        seed: seed of shifts and mirrors.
    """
    generator = torch.Generator().manual_seed(seed)
    count, side = len(images), images.shape[-1]
    reach = max(1, side // 8)
    shifts = torch.randint(-reach, reach + 1, (count, 2), generator=generator).to(images.device)
    mirrored = (torch.rand(count, generator=generator) < 0.5).to(images.device)
    rows = torch.arange(images.shape[-2], device=images.device)
    columns = torch.arange(side, device=images.device).expand(count, side)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = functional.pad(images, (reach,) * 4)
    r = (rows[None] + reach + shifts[:, :1])[:, None, :, None]
    c = (columns + reach + shifts[:, 1:])[:, None, None, :]
    return padded[torch.arange(count, device=images.device)[:, None, None, None],
                  torch.arange(images.shape[1], device=images.device)[None, :, None, None], r, c]  # fmt: skip
