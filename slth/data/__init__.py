"""Data sets in memory: digits (bundled), IDX files, CIFAR's official files, and data sets from a user's code.

The names below are imported on first use, so that listing the data sets does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slth.data.catalogue import available, data_folder
    from slth.data.sets import load, read_idx
    from slth.data.split import Split, from_dataset, held_out, subset

__all__ = ["Split", "available", "data_folder", "from_dataset", "held_out", "load", "read_idx", "subset"]

_HOMES = {
    **dict.fromkeys(("available", "data_folder"), "slth.data.catalogue"),
    **dict.fromkeys(("load", "read_idx"), "slth.data.sets"),
    **dict.fromkeys(("Split", "from_dataset", "held_out", "subset"), "slth.data.split"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'slth.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
