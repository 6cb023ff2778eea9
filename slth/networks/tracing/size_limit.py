"""A limit on how complicated the sizes of tensors may become while a model is recorded.

A size is an expression in the sizes of the inputs. Some networks, such as those that cut images into windows again and
again, make expressions that double with every layer. Recording them with free sizes would take hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# Largest number of terms in the expression of a size.
LIMIT = 100


class LongSizeError(Exception):
    """A size is more complicated than the limit allows."""


class ShortSizes(TorchFunctionMode):
    """Stops the recording at the first tensor with a size that is too complicated.

    Raises:
        LongSizeError: the expression of a size has more than :data:`LIMIT` terms.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Iterable[Any] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            for size in out.shape:
                if isinstance(size, torch.SymInt) and _is_long(size.node.expr):
                    raise LongSizeError(f"the size of a tensor has more than {LIMIT} terms")
        return out


def _is_long(expression: Any) -> bool:
    """Whether an expression has more than :data:`LIMIT` terms; they are counted only so far."""
    waiting, count = [expression], 0
    while waiting and count <= LIMIT:
        count += 1
        waiting.extend(waiting.pop().args)
    return count > LIMIT
