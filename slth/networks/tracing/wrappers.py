"""Models that other tools have wrapped or rewritten: what can be taken out of its wrapper, and what is refused."""

from __future__ import annotations

import torch
from torch import nn

from slth.errors import InputError

# Attribute of a wrapper that holds the model it wraps, where the wrapper changes nothing of what is computed.
_WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}


def unwrap(model: object) -> nn.Module:
    """The model inside DataParallel, DistributedDataParallel and ``torch.compile``; other models as they are.

    Args:
        model: the model. A wrapper that has hooks of its own is refused, because they would be lost.

    Returns:
        The model that computes.

    Raises:
        InputError: it is no module, or one that holds no network that can be read: scripted, exported or quantised.
    """
    if isinstance(model, torch.export.ExportedProgram):
        raise InputError("model must be a torch.nn.Module; got an ExportedProgram. Pass the model that was exported.")
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module; got {type(model).__name__}. Pass the network itself.")
    while type(model).__name__ in _WRAPPERS and type(model).__module__.startswith("torch."):
        if model._forward_hooks or model._forward_pre_hooks:
            raise InputError(
                f"the model is wrapped in {type(model).__name__}, and the wrapper has hooks. "
                "Register them on the model inside, or remove them."
            )
        model = getattr(model, _WRAPPERS[type(model).__name__])
        assert isinstance(model, nn.Module)
    _refuse(model)
    return model


def _refuse(model: nn.Module) -> None:
    """Refuse a model that holds a module from which no float network can be read."""
    for name, module in model.named_modules():
        where = f"layer {name} is" if name else "the model is"
        kind = type(module)
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(f"{where} a TorchScript module, whose code slth cannot follow. Pass the Python module.")
        if ".quantized" in kind.__module__:
            raise InputError(
                f"{where} quantised ({kind.__module__}.{kind.__name__}): its weights are packed integers. "
                "Pass the float model, before quantisation."
            )
        if any(nn.parameter.is_lazy(one) for one in (*module._parameters.values(), *module._buffers.values())):
            raise InputError(f"{where} lazy: it has no values yet. Call the model once on an input first.")
