"""CIFAR-10 and CIFAR-100 from the official files: archives or folders, binary or Python version.

The Python version is a pickle. It is read by an unpickler that can make arrays and nothing else.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slth.errors import DataError


@dataclass(frozen=True)
class _Layout:
    """The files of each split, and where a record has its label: under a key of a pickle, or in its first bytes."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    key: bytes = b""
    label_bytes: int = 0


_LAYOUTS = {
    "cifar-10-batches-py": _Layout(tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",), key=b"labels"),
    "cifar-100-python": _Layout(("train",), ("test",), key=b"fine_labels"),
    "cifar-10-batches-bin": _Layout(
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",), label_bytes=1
    ),
    "cifar-100-binary": _Layout(("train.bin",), ("test.bin",), label_bytes=2),
}
_FOLDER_IN_ARCHIVE = {
    "cifar-10-python.tar.gz": "cifar-10-batches-py",
    "cifar-10-binary.tar.gz": "cifar-10-batches-bin",
    "cifar-100-python.tar.gz": "cifar-100-python",
    "cifar-100-binary.tar.gz": "cifar-100-binary",
}
_OFFICIAL_NAMES = {
    "cifar10": [name for name in (*_LAYOUTS, *_FOLDER_IN_ARCHIVE) if "cifar-10-" in name],
    "cifar100": [name for name in (*_LAYOUTS, *_FOLDER_IN_ARCHIVE) if "cifar-100-" in name],
}
_PIXELS = 3 * 32 * 32
_PICKLE_NAMES = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
_ARRAY_MAKERS = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}

Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def find(folder: Path, name: str) -> Path | None:
    """Where a data set lies in a folder.

    Args:
        folder: the data folder.
        name: ``cifar10`` or ``cifar100``.

    Returns:
        An official folder or archive, or None if the folder holds neither.
    """
    return next((folder / place for place in _OFFICIAL_NAMES.get(name, ()) if (folder / place).exists()), None)


def is_official(path: Path) -> bool:
    """Whether a path has the name of an official folder or archive."""
    return path.name in {*_LAYOUTS, *_FOLDER_IN_ARCHIVE}


def read(path: Path, split: str) -> Arrays:
    """Read an official folder or archive.

    Args:
        path: the folder or archive.
        split: ``train`` or ``test``.

    Returns:
        Images uint8 (N, 3, 32, 32) and labels int64 (N,).

    Raises:
        DataError: a file is missing or truncated, or is not what its name says.
    """
    folder = _FOLDER_IN_ARCHIVE.get(path.name, path.name)
    layout = _LAYOUTS[folder]
    files = layout.train if split == "train" else layout.test
    try:
        if path.is_dir():
            raws = [(path / name).read_bytes() for name in files]
        else:
            with tarfile.open(path) as archive:
                raws = [_archive_member(archive, f"{folder}/{name}") for name in files]
        parts = [_unpickle(raw, layout.key) if layout.key else _records(raw, layout.label_bytes) for raw in raws]
    except (OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, zlib.error, pickle.UnpicklingError,
            tarfile.TarError) as cause:  # fmt: skip
        raise DataError(
            f"{path} does not hold the official files {', '.join(files)} whole ({cause}). Copy or download it again."
        ) from cause
    return np.concatenate([one for one, _ in parts]), np.concatenate([labels for _, labels in parts])


def _archive_member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is not a file")
    return file.read()


def _records(raw: bytes, label_bytes: int) -> Arrays:
    records = np.frombuffer(raw, np.uint8)
    if not raw or len(raw) % (_PIXELS + label_bytes):
        raise ValueError(f"{len(raw)} bytes are not a whole number of records")
    records = records.reshape(-1, _PIXELS + label_bytes)
    return records[:, label_bytes:].reshape(-1, 3, 32, 32), records[:, label_bytes - 1].astype(np.int64)


def _unpickle(raw: bytes, key: bytes) -> Arrays:
    batch = _Unpickler(io.BytesIO(raw), encoding="bytes").load()
    pixels, labels = np.asarray(batch[b"data"], np.uint8), np.asarray(batch[key], np.int64)
    if pixels.shape != (len(labels), _PIXELS):
        raise ValueError(f"data of shape {pixels.shape} for {len(labels)} labels")
    return pixels.reshape(-1, 3, 32, 32), labels


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PICKLE_NAMES | _ARRAY_MAKERS:
            # Older files name the function as it was called before numpy moved it.
            return super().find_class("numpy._core.multiarray" if (module, name) in _ARRAY_MAKERS else module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a data set")
