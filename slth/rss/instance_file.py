"""An instance in a file: an .npz archive with ``vectors`` (n, D), ``target`` (D,) and optionally ``cardinality``."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slth.errors import DataError, InputError, SlthError, check_memory
from slth.rss.problem import Problem

# What numpy and zipfile raise on archives that are damaged, encrypted or compressed in an unknown way.
_UNREADABLE = (
    ValueError, OSError, EOFError, TypeError, KeyError, RuntimeError, NotImplementedError, OverflowError, MemoryError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
# Reading holds an array as stored, and as float64.
COPIES = 2


def read_instance(path: Path, norm: str = "linf") -> Problem:
    """Read the problem in an .npz file. Pickles are not loaded, and what does not fit memory is refused unread.

    Args:
        path: the file, with arrays ``vectors`` (n, D) and ``target`` (D,) of real numbers, and optionally a whole
            number ``cardinality``.
        norm: ``linf`` or ``l2``.

    Returns:
        The problem.

    Raises:
        DataError: not a readable .npz file.
        InputError: arrays that are missing, of another type, or that make no problem.
        MemoryEstimateError: the arrays would not fit memory.
    """
    if not path.is_file():
        raise DataError(f"an instance was expected at {path}; nothing is there. Check the path.")
    try:
        with zipfile.ZipFile(path) as archive:
            stored = sum(entry.file_size for entry in archive.infolist())
        check_memory(f"reading {path.name}", float(COPIES * stored), None, "Use slth.rss.solve_stream for such sizes.")
        with np.load(path, allow_pickle=False) as arrays:
            missing = [name for name in ("vectors", "target") if name not in arrays]
            if missing:
                raise InputError(f"{path.name} must hold vectors and target; {', '.join(missing)} is missing.")
            vectors, target = (_real(name, arrays[name]) for name in ("vectors", "target"))
            cardinality = _whole("cardinality", arrays["cardinality"]) if "cardinality" in arrays else None
    except SlthError:
        raise
    except _UNREADABLE as cause:
        said = (str(cause).splitlines() or [""])[0] or type(cause).__name__
        raise DataError(
            f"{path.name} is not a readable .npz of numbers ({said}). Write it with numpy.savez."
        ) from cause
    return Problem(vectors=vectors, target=target, cardinality=cardinality, norm=norm)


def _real(name: str, array: Any) -> npt.NDArray[Any]:
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name} must be an array of real numbers; got other bytes. Write it with numpy.savez.")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} must be an array of real numbers; got {array.dtype}. Convert it with astype(float).")
    return array


def _whole(name: str, array: Any) -> int:
    array = np.asarray(array)
    if array.shape != () or array.dtype.kind not in "iu":
        raise InputError(
            f"{name} must be one whole number; got {array.dtype} of shape {array.shape}. Save it as an int, or leave "
            "it out."
        )
    return int(array)
