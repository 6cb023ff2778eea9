"""The torch device that a batch runs on: torch is loaded on first use, and the device's memory is asked for.

torch is imported here alone, so that the rest of :mod:`slth.rss` never needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from slth.errors import InputError

# The share of a GPU's free memory that a batch may take. The rest is for what the routines of torch need themselves.
GPU_SHARE = 0.8


@dataclass(frozen=True)
class TorchDevice:
    """A torch device that was found to work.

    Attributes:
        name: its name, such as ``cuda``.
        memory: bytes that the arrays of one part of a batch may take.
    """

    name: str
    memory: float


@cache
def load_torch() -> Any:
    """The torch module."""
    return import_module("torch")


def open_device(name: str, max_memory: float) -> TorchDevice:
    """Check that torch can use a device.

    Args:
        name: name of the torch device, such as ``cuda``.
        max_memory: bytes that a batch may take, unless the device is a GPU with a memory of its own.

    Returns:
        The device.

    Raises:
        InputError: torch is not installed, or cannot use the device.
    """
    try:
        torch = load_torch()
    except ImportError as cause:
        raise InputError("device needs torch; it is not installed. Install it, or leave device out.") from cause
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as cause:
        reason = str(cause).splitlines()[0]
        raise InputError(f"device must be one torch can use, such as cpu or cuda; got {name!r} ({reason}).") from cause
    if torch.device(name).type == "cuda":
        max_memory = GPU_SHARE * torch.cuda.mem_get_info(name)[0]
    return TorchDevice(name, max_memory)
