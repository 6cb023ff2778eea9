"""Call a function in a file of the user, named as ``path.py:function``."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from slth.errors import InputError


def call(spec: str, what: str, *arguments: Any) -> Any:
    """Call a function of a Python file. The file's folder goes on ``sys.path``, as when Python runs the file.

    Args:
        spec: ``path.py:function``.
        what: what the function is for, in messages: ``--model``, say.
        *arguments: passed to the function.

    Returns:
        What the function returns.

    Raises:
        InputError: no such file or function, or the function fails or exits.
    """
    path_text, _, name = spec.rpartition(":")
    path = Path(path_text)
    if not path_text or not name or not path.is_file():
        raise InputError(f"{what} must be path.py:function with a file that exists; got {spec!r}. Check the path.")
    loader = importlib.util.spec_from_file_location(f"slth_user_{path.stem}", path)
    if loader is None or loader.loader is None:
        raise InputError(f"{what} must be path.py:function with a Python file; got {spec!r}. Name a file in .py.")
    module = importlib.util.module_from_spec(loader)
    sys.modules[loader.name] = module  # where dataclasses and pickle look for it
    folder = str(path.resolve().parent)
    if folder not in sys.path:  # its neighbours are imported by the file, or later by what the function returned
        sys.path.insert(0, folder)
    try:
        loader.loader.exec_module(module)
        function = getattr(module, name, None)
        if callable(function):
            return function(*arguments)
    except SystemExit as cause:
        raise InputError(f"{spec} called sys.exit({cause.code!r}). {what} needs a function that returns.") from cause
    except Exception as cause:
        said = (str(cause).splitlines() or [""])[0]
        raise InputError(f"{spec} failed: {type(cause).__name__}: {said}. Run it in Python to see where.") from cause
    functions = [known for known, value in vars(module).items() if callable(value) and not known.startswith("_")]
    near = difflib.get_close_matches(name, functions, 1, cutoff=0.6)
    hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(functions) or 'no function'}."
    raise InputError(f"{what} names the function {name!r}, which {path.name} does not have. {hint}")
