"""Images and labels in memory, and how to take parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from slth.errors import DataError, InputError, check_int


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    Attributes:
        images: float32 (N, C, H, W), in [0, 1].
        labels: int64 (N,), class numbers from 0.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: torch.Tensor | Sequence[int] | slice) -> Split:
        """The examples that a torch index chooses."""
        return Split(self.images[chosen], self.labels[chosen])

    @property
    def classes(self) -> int:
        """Number of classes: one more than the largest label."""
        return int(self.labels.max()) + 1


def from_pixels(pixels: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> Split:
    """Make a :class:`Split` of pixels and class numbers.

    Args:
        pixels: uint8 (N, C, H, W); they are divided by 255.
        labels: integers (N,).
    """
    images = torch.from_numpy(pixels.astype(np.float32) / np.float32(255))
    return Split(images, torch.from_numpy(labels.astype(np.int64)))


def from_dataset(dataset: Any) -> Split:
    """Read a torch ``Dataset`` (or any sequence) of (image tensor, label) into memory, each item once.

    Where the data set draws at random, what it gave on this one reading is kept.

    Raises:
        DataError: no items, or items other than (tensor (C, H, W) or (features,), class number) of one shape.
    """
    images, labels = [], []
    for i in range(len(dataset)):
        item = dataset[i]
        if not (isinstance(item, Sequence) and len(item) == 2 and isinstance(item[0], torch.Tensor)):
            raise DataError(
                f"item {i} of the data set must be (image tensor, class number); got {type(item).__name__}. "
                "Convert images to tensors in the data set."
            )
        try:
            labels.append(int(item[1]))
        except (TypeError, ValueError) as cause:
            raise DataError(
                f"item {i} of the data set must have a class number; got {item[1]!r}. Number them."
            ) from cause
        images.append(item[0].float())
    if not images:
        raise DataError("a data set must hold examples; got none.")
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise DataError(f"images must have one shape; got {', '.join(map(str, sorted(shapes)[:3]))}. Resize them.")
    return Split(torch.stack(images), torch.tensor(labels, dtype=torch.int64))


def held_out(data: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Divide training examples at random into those to train on and those to validate on.

    Args:
        data: N examples.
        count: number of validation examples, between 1 and N − 1.
        seed: seed of the choice.

    Returns:
        The examples to train on, and the ``count`` examples to validate on.

    Raises:
        InputError: ``count`` is not between 1 and N − 1.
    """
    check_int("count", count, 1, len(data) - 1, f"The data has {len(data)} examples.")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return data[order[count:]], data[order[:count]]


def subset(data: Split, count: int | None, seed: int) -> Split:
    """Choose examples at random.

    Args:
        data: N examples.
        count: number of examples, between 1 and N; None for all of them.
        seed: seed of the choice.

    Raises:
        InputError: ``count`` is not between 1 and N.
    """
    if count is None:
        return data
    if not 1 <= count <= len(data):
        raise InputError(f"count must lie between 1 and {len(data)}, the number of examples; got {count}.")
    return data[torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:count]]
