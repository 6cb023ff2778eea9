"""A data set of a user's own, named on the command line as ``path.py:function``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from slth.data.split import Split, from_dataset
from slth.errors import DataError


def is_own(name: str) -> bool:
    """Whether ``name`` has the form ``path.py:function``."""
    return ".py:" in name


def load_own(name: str, split: str) -> Split:
    """Call ``function(split)`` of a Python file, and read the torch ``Dataset`` (or :class:`Split`) that it returns.

    Args:
        name: ``path.py:function``. split: ``train`` or ``test``, handed on.

    Raises:
        DataError: no such file or function, the function fails, or it returns something else.
    """
    path_text, _, function = name.rpartition(":")
    path = Path(path_text)
    if not path.is_file():
        raise DataError(f"data of your own must be path.py:function with a file that exists; got {name!r}.")
    loader = importlib.util.spec_from_file_location(f"slth_own_{path.stem}", path)
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    sys.modules[loader.name] = module  # where dataclasses and pickle look for it
    try:
        loader.loader.exec_module(module)
        found = getattr(module, function)(split)
        if hasattr(found, "__len__") and hasattr(found, "__getitem__"):
            return found if isinstance(found, Split) else from_dataset(found)
    except DataError:
        raise
    except Exception as cause:
        raise DataError(f"{name} failed: {type(cause).__name__}: {cause}. Run it in Python to see where.") from cause
    raise DataError(f"{name} must return a torch Dataset for {split!r}; got {type(found).__name__}.")
