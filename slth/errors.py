"""Errors a user can act on, and the checks that raise them.

Every message says what was wrong, what was expected, what came, and what to do next.
The command line prints the message alone; a traceback there is a bug.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


class SlthError(Exception):
    """Base of everything slth raises on purpose."""


class InputError(SlthError, ValueError):
    """An argument, option or model that cannot be worked with."""


class UnregisteredError(InputError):
    """An operation that is not in the registry: somebody's own, which this program did not register."""


class TicketFileError(SlthError, ValueError):
    """A ``.slth`` file that is damaged, foreign, or of a newer format."""


class DataError(SlthError, FileNotFoundError):
    """A data set that is not where it was said to be, or not what it was said to be."""


class MemoryEstimateError(SlthError, MemoryError):
    """A job refused before it started because it would not fit."""


class WorkLimitError(SlthError, RuntimeError):
    """A certificate that was not reached within the work limit: nothing weaker is handed out in its place."""


class TrainingError(SlthError, RuntimeError):
    """Training that cannot go on: its loss is not a number, or a layer has no weights left."""


def check_array(name: str, value: Any, shape: str, ndim: int, hint: str) -> npt.NDArray[np.float64]:
    """Return ``value`` as a finite C-contiguous float64 array of ``ndim`` dimensions, none of them empty.

    Args:
        name: what the caller calls it, e.g. ``"vectors"``.
        value: anything numpy can turn into an array.
        shape: the expected shape in symbols, e.g. ``"(n, D) with n ≥ 1 and D ≥ 1"``.
        ndim: expected number of dimensions.
        hint: what to do next.

    Raises:
        InputError: not numeric, wrong shape, or not finite.
    """
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
    """Return ``value`` as an int within [low, high]; raise :class:`InputError` otherwise."""
    span = f"an integer ≥ {low}" if high is None else f"an integer between {low} and {high}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{name} must be {span}; got {value!r}. {hint}".rstrip())
    if value < low or (high is not None and value > high):
        raise InputError(f"{name} must be {span}; got {value}. {hint}".rstrip())
    return int(value)


def check_positive(name: str, value: Any, hint: str = "", *, zero_ok: bool = False) -> float:
    """Return ``value`` as a finite float > 0 (≥ 0 with ``zero_ok``); raise :class:`InputError` otherwise."""
    span = "a finite number ≥ 0" if zero_ok else "a finite number > 0"
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{name} must be {span}; got {value!r}. {hint}".rstrip())
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero_ok):
        raise InputError(f"{name} must be {span}; got {value}. {hint}".rstrip())
    return float(value)


def check_choice(name: str, value: Any, choices: tuple[str, ...] | list[str]) -> str:
    """Return ``value`` if it is one of ``choices``; raise :class:`InputError` naming them otherwise."""
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
    return str(value)


def check_keys(where: str, given: Iterable[str], known: Sequence[str]) -> None:
    """Raise :class:`InputError` for the first key that is not known, naming the nearest one that is."""
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
            raise InputError(f"{where} has an unknown key {key!r}; {hint}")


def human_bytes(count: float) -> str:
    """``123456789`` → ``'123 MB'`` (decimal units)."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"


def check_memory(task: str, needed: float, limit: float | None, hint: str) -> None:
    """Refuse ``task`` before it starts if ``needed`` bytes exceed ``limit`` (default: 80 % of free memory)."""
    allowed = 0.8 * available_memory() if limit is None else limit
    if needed > allowed:
        raise MemoryEstimateError(
            f"{task} needs about {human_bytes(needed)} of memory; {human_bytes(allowed)} may be used. {hint}"
        )


def available_memory() -> float:
    """Bytes of memory this process may still take, from the kernel's own estimate where there is one."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return float(line.split()[1]) * 1024
    except OSError:
        pass  # Not Linux: assume a small laptop rather than guess high.
    return 8e9
