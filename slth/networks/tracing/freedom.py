"""Which sizes of a model's inputs are free: as many as ``torch.export`` can follow.

All sizes are tried first. Where that fails, or makes sizes that are too complicated, only the batch is free. At last no
size is.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config

from slth.networks.tracing.size_limit import ShortSizes


def export(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> ExportedProgram:
    """What ``torch.export`` records with as many free sizes as possible.

    Args:
        model: the model.
        inputs: its example inputs.

    Returns:
        The recorded program.
    """
    for axes in (None, 1):
        try:
            with ShortSizes(), _few_assumptions():
                return torch.export.export(model, inputs, dynamic_shapes=_free_sizes(model, inputs, axes), strict=False)
        except Exception as cause:  # The model's own code runs here and may raise anything.
            if depends_on_values(cause):
                raise
    return torch.export.export(model, inputs, strict=False)


def depends_on_values(cause: Exception) -> bool:
    """Whether a model cannot be recorded because its control flow depends on the values of its inputs.

    Args:
        cause: what ``torch.export`` raised.
    """
    return "data-dependent" in str(cause) or "DataDependent" in type(cause).__name__


@contextlib.contextmanager
def _few_assumptions() -> Iterator[None]:
    """Let torch assume of no size that it differs from 1, if this version can: it would be a condition."""
    if not hasattr(_config, "backed_size_oblivious"):
        yield
        return
    before = _config.backed_size_oblivious
    _config.backed_size_oblivious = True
    try:
        yield
    finally:
        _config.backed_size_oblivious = before


def _free_sizes(model: nn.Module, inputs: tuple[torch.Tensor, ...], axes: int | None) -> tuple[Any, ...]:
    """The sizes of the first axes of every input, or of all, are free until the model fixes them."""
    free: list[Any] = [dict.fromkeys(range(one.ndim)[:axes], Dim.AUTO) for one in inputs]
    for i, parameter in enumerate(inspect.signature(model.forward).parameters.values()):
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return (*free[:i], tuple(free[i:]))
    return tuple(free)
