"""A data set of a user's own, named on the command line as ``path.py:function``."""

from __future__ import annotations

from slth.data.split import Split, from_dataset
from slth.errors import DataError
from slth.user_code import call


def is_own(name: str) -> bool:
    """Whether ``name`` has the form ``path.py:function``."""
    return ".py:" in name


def load_own(name: str, split: str) -> Split:
    """Call ``function(split)`` of a Python file, and read the torch ``Dataset`` (or :class:`Split`) that it returns.

    Args:
        name: ``path.py:function``. split: ``train`` or ``test``, handed on.

    Raises:
        InputError: no such file or function, or it fails. DataError: it returns something else.
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
