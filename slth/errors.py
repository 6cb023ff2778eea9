"""Errors a user can act on, and the checks that raise them.

Every message says what was wrong, what was expected, what was given, and what to do next.
The command line prints the message alone; a traceback there is a bug.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class SlthError(Exception):
    """Base of every error that slth raises on purpose."""


class InputError(SlthError, ValueError):
    """An argument, option or model that slth cannot work with."""


class UnregisteredError(InputError):
    """An operation that is not in the registry: somebody's own, which this program did not register."""


class TicketFileError(SlthError, ValueError):
    """A ``.slth`` file that is damaged, not from slth, or of a newer format."""


class DataError(SlthError, FileNotFoundError):
    """A file or data set that is not there, or that does not hold what it should."""


class MemoryEstimateError(SlthError, MemoryError):
    """A job that was refused before it started, because it would not fit into memory."""


class WorkLimitError(SlthError, RuntimeError):
    """A certificate that was not reached within the work limit. Nothing weaker is given in its place."""


class TrainingError(SlthError, RuntimeError):
    """Training that cannot go on: the loss is not a number, or a layer has no weights left."""


class TimeLimitError(SlthError, TimeoutError):
    """Work that was stopped because the time that it was given is over."""


def check_array(name: str, value: Any, shape: str, ndim: int, hint: str) -> npt.NDArray[np.float64]:
    """Return ``value`` as a finite C-contiguous float64 array of ``ndim`` dimensions, none of them empty.

    Args:
        name: name of the argument, for the message.
        value: anything that numpy can turn into an array.
        shape: expected shape in symbols, such as ``"(n, D) with n ≥ 1 and D ≥ 1"``.
        ndim: expected number of dimensions.
        hint: what to do next.

    Returns:
        The array.

    Raises:
        InputError: not numeric, wrong shape, or not finite.
    """
    import numpy as np  # here, so that the command line starts without it

    try:
        array = np.ascontiguousarray(value, dtype=np.float64)
    except (TypeError, ValueError) as cause:
        raise InputError(
            f"{name} must be an array of numbers of shape {shape}; got {type(value).__name__}. {hint}"
        ) from cause
    if np.ndim(value) != ndim or 0 in array.shape:
        raise InputError(f"{name} must have shape {shape}; got {np.shape(value)}. {hint}")
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise InputError(
            f"{name} must be finite; got {array[where]} at index {where} "
            f"({int((~finite).sum())} such entries). Remove or replace them first."
        )
    return array


def check_int(name: str, value: Any, low: int, high: int | None = None, hint: str = "") -> int:
    """Return ``value`` as an int within [low, high].

    Args:
        name: name of the argument, for the message.
        value: what was given.
        low: least value allowed.
        high: greatest value allowed; None for no bound.
        hint: what to do next.

    Returns:
        The int.

    Raises:
        InputError: not an integer, or out of range.
    """
    span = f"an integer ≥ {low}" if high is None else f"an integer between {low} and {high}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{name} must be {span}; got {value!r}. {hint}".rstrip())
    number = int(value)
    if number < low or (high is not None and number > high):
        raise InputError(f"{name} must be {span}; got {number}. {hint}".rstrip())
    return number


def check_positive(name: str, value: Any, hint: str = "", *, zero_ok: bool = False) -> float:
    """Return ``value`` as a finite float > 0.

    Args:
        name: name of the argument, for the message.
        value: what was given.
        hint: what to do next.
        zero_ok: whether zero is allowed.

    Returns:
        The float.

    Raises:
        InputError: not a number, not finite, or too small.
    """
    span = "a finite number ≥ 0" if zero_ok else "a finite number > 0"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name} must be {span}; got {value!r}. {hint}".rstrip())
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero_ok):
        raise InputError(f"{name} must be {span}; got {value}. {hint}".rstrip())
    return float(value)


def check_choice(name: str, value: Any, choices: tuple[str, ...] | list[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Args:
        name: name of the argument, for the message.
        value: what was given.
        choices: what is allowed.

    Returns:
        The value.

    Raises:
        InputError: another value; the message names the choices.
    """
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
    return str(value)


def check_keys(where: str, given: Iterable[str], known: Sequence[str]) -> None:
    """Refuse keys that are not known.

    Args:
        where: what the keys stand in, for the message.
        given: keys to check.
        known: keys that are allowed.

    Raises:
        InputError: a key is not known; the message names the nearest one that is.
    """
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
            raise InputError(f"{where} has an unknown key {key!r}; {hint}")


def human_bytes(count: float) -> str:
    """Write a number of bytes with a decimal unit: ``123456789`` → ``'123 MB'``."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if abs(count) < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return "more than 999 PB"


def check_memory(task: str, needed: float, limit: float | None, hint: str) -> None:
    """Refuse a task before it starts if it would not fit into memory.

    Args:
        task: what is to be done, for the message.
        needed: bytes that the task needs.
        limit: bytes that may be used; None for 80 % of what is free.
        hint: what to do next.

    Raises:
        MemoryEstimateError: the task needs more.
    """
    allowed = 0.8 * available_memory() if limit is None else limit
    if needed > allowed:
        raise MemoryEstimateError(
            f"{task} needs about {human_bytes(needed)} of memory; {human_bytes(allowed)} may be used. {hint}"
        )


def available_memory() -> float:
    """Bytes of memory that a process may still take before the system swaps, as the system estimates them."""
    import psutil  # here, so that the command line starts without it

    return float(psutil.virtual_memory().available)
