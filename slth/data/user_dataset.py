"""A data set that a function in a user's Python file returns, named as ``path.py:function``."""

from __future__ import annotations

from slth.data.split import Split, from_dataset
from slth.errors import DataError
from slth.user_code import call


def names_function(name: str) -> bool:
    """Whether the name of a data set has the form ``path.py:function``."""
    return ".py:" in name


def load_from_function(name: str, split: str) -> Split:
    """Call ``function(split)`` of a Python file, and read the torch ``Dataset`` (or :class:`Split`) that it returns.

    Args:
        name: ``path.py:function``.
        split: ``train`` or ``test``; the function's argument.

    Raises:
        InputError: there is no such file or function, or the function fails.
        DataError: the function returns something else.
    """
    found = call(name, "data of your own", split)
    if isinstance(found, Split):
        return found
    if not (hasattr(found, "__len__") and hasattr(found, "__getitem__")):
        raise DataError(f"{name} must return a torch Dataset for {split!r}; got {type(found).__name__}.")
    try:
        return from_dataset(found)
    except DataError:
        raise
    except Exception as cause:  # the data set's own code
        raise DataError(f"{name} failed: {type(cause).__name__}: {cause}. Run it in Python to see where.") from cause
