"""Call a function in a file of the user, named as ``path.py:function``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from slth.errors import InputError


def call(spec: str, what: str, *arguments: Any) -> Any:
    """Call a function of a Python file.

    Args:
        spec: ``path.py:function``.
        what: what the function is for, in messages: ``--model``, say.
        *arguments: passed to the function.

    Returns:
        What the function returns.

    Raises:
        InputError: no such file or function, or the function fails.
    """
    path_text, _, name = spec.rpartition(":")
    path = Path(path_text)
    if not path_text or not name or not path.is_file():
        raise InputError(f"{what} must be path.py:function with a file that exists; got {spec!r}. Check the path.")
    loader = importlib.util.spec_from_file_location(f"slth_user_{path.stem}", path)
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    sys.modules[loader.name] = module  # where dataclasses and pickle look for it
    try:
        loader.loader.exec_module(module)
        return getattr(module, name)(*arguments)
    except Exception as cause:
        raise InputError(f"{spec} failed: {type(cause).__name__}: {cause}. Run it in Python to see where.") from cause
