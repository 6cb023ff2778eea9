"""A model that runs in evaluation mode and is afterwards as it was: modes, attributes, numbers and random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from slth.errors import InputError


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and restore it at the end.

    Restored are the modes, the attributes that ``forward`` or a hook sets, the values of the buffers, and torch's
    random state on the CPU.

    Args:
        model: the model.

    Raises:
        InputError: the model cannot be put into evaluation mode, as that of ``torch.export``.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    attributes = [dict(vars(module)) for module in modules]
    # Parameters and buffers lie in dictionaries of their own, which a hook may change too.
    tables = [(dict(module._parameters), dict(module._buffers)) for module in modules]
    values = [(buffer, buffer._version, buffer.detach().clone()) for buffer in model.buffers() if not buffer.is_meta]
    with torch.random.fork_rng(devices=[]):
        try:
            _evaluate(model)
            yield
        finally:
            for module, mode, kept, (parameters, buffers) in zip(modules, modes, attributes, tables, strict=True):
                vars(module).clear()
                vars(module).update(kept)
                tables_before: Any = ((module._parameters, parameters), (module._buffers, buffers))
                for table, before in tables_before:
                    table.clear()
                    table.update(before)
                module.training = mode
            with torch.no_grad():
                for buffer, version, value in values:
                    if buffer._version != version:
                        buffer.copy_(value)


def _evaluate(model: nn.Module) -> None:
    try:
        model.eval()
    except NotImplementedError as cause:
        raise InputError(
            f"the model is a {type(model).__name__} that torch.export made: it has lost its layers and its modes. "
            "Pass the model that was exported."
        ) from cause
