"""Functions that torch lacks in the form in which a step needs them: tensors whose size depends on the inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def arange(
    like: torch.Tensor, start: float, end: float, step: float = 1, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """The numbers start, start + step, … below end, on the device of another tensor.

    Args:
        like: a tensor on the device.
        start: the first number.
        end: the end, which is not included.
        step: the difference of two numbers.
        dtype: the type; None for that of the numbers.
    """
    return torch.arange(start, end, step, dtype=dtype, device=like.device)


def full(like: torch.Tensor, size: Sequence[int], fill: float, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A tensor of one number, on the device of another tensor.

    Args:
        like: a tensor on the device.
        size: the shape.
        fill: the number.
        dtype: the type; None for a real one.
    """
    return torch.full(tuple(size), fill, dtype=dtype or torch.get_default_dtype(), device=like.device)


def one_hot(numbers: torch.Tensor, count: int) -> torch.Tensor:
    """A one at the place of each number, and zeros elsewhere.

    Args:
        numbers: integers from 0 to count − 1, of any shape.
        count: number of places.

    Returns:
        Real numbers of the shape of ``numbers`` with an axis of length ``count`` behind it.
    """
    places = torch.arange(count, device=numbers.device)
    return (numbers.unsqueeze(-1) == places).to(torch.get_default_dtype())
