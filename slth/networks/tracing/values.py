"""Values while a recorded program becomes steps: references, stored tensors, and containers of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from slth.networks.graph import Ref


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that does not depend on the inputs.

    Attributes:
        name: path of the parameter or buffer, or the name of what computed it.
        value: the tensor, on the CPU.
    """

    name: str
    value: torch.Tensor


def leaves_in(value: Any) -> Iterator[Any]:
    """What a value holds, without its containers.

    Args:
        value: literals, :class:`~slth.networks.graph.Ref`, :class:`Stored`, and containers of them.
    """
    if isinstance(value, tuple | list):
        for one in value:
            yield from leaves_in(one)
    elif isinstance(value, dict):
        yield from leaves_in(list(value.values()))
    elif isinstance(value, slice):
        yield from (value.start, value.stop, value.step)
    else:
        yield value


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value with each thing that it holds replaced; containers become ordinary tuples, lists, dicts and slices.

    Args:
        value: as for :func:`leaves_in`.
        change: from a thing in the value to what takes its place.
    """
    if isinstance(value, tuple):
        return tuple(replaced(one, change) for one in value)
    if isinstance(value, list):
        return [replaced(one, change) for one in value]
    if isinstance(value, dict):
        return {name: replaced(one, change) for name, one in value.items()}
    if isinstance(value, slice):
        return slice(*(change(one) for one in (value.start, value.stop, value.step)))
    return change(value)


def is_stored(value: Any) -> bool:
    """Whether a value needs no input of the network: it holds stored tensors and literals only."""
    return not any(isinstance(one, Ref) for one in leaves_in(value))


def as_stored(name: str, result: Any) -> Any:
    """What a computation returned, with its tensors stored.

    Args:
        name: name of the computation.
        result: a tensor, a number, or a tuple or list of such results.
    """
    if isinstance(result, torch.Tensor):
        return Stored(name, result)
    if isinstance(result, tuple | list):
        return tuple(as_stored(f"{name}_{i}", one) for i, one in enumerate(result))
    return result
