"""CIFAR-10 and CIFAR-100 from the official files, archives or folders, binary or Python version.

The Python version is a pickle: it is read by an unpickler that knows arrays and nothing else.
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
class _Form:
    """Files of each split, and where a record keeps its label: under a key of a pickle, or in its bytes."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    key: bytes = b""
    label_bytes: int = 0


_FORMS = {
    "cifar-10-batches-py": _Form(tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",), key=b"labels"),
    "cifar-100-python": _Form(("train",), ("test",), key=b"fine_labels"),
    "cifar-10-batches-bin": _Form(
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",), label_bytes=1
    ),
    "cifar-100-binary": _Form(("train.bin",), ("test.bin",), label_bytes=2),
}
_ARCHIVES = {
    "cifar-10-python.tar.gz": "cifar-10-batches-py",
    "cifar-10-binary.tar.gz": "cifar-10-batches-bin",
    "cifar-100-python.tar.gz": "cifar-100-python",
    "cifar-100-binary.tar.gz": "cifar-100-binary",
}
_PLACES = {
    "cifar10": [name for name in (*_FORMS, *_ARCHIVES) if "cifar-10-" in name],
    "cifar100": [name for name in (*_FORMS, *_ARCHIVES) if "cifar-100-" in name],
}
_PIXELS = 3 * 32 * 32
_ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
_REBUILD = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}

Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def find(folder: Path, name: str) -> Path | None:
    """Where ``cifar10`` or ``cifar100`` lies in ``folder``: an official folder or archive of it, or None."""
    return next((folder / place for place in _PLACES.get(name, ()) if (folder / place).exists()), None)


def is_official(path: Path) -> bool:
    """Whether ``path`` is named as the official folders and archives are."""
    return path.name in {*_FORMS, *_ARCHIVES}


def read(path: Path, split: str) -> Arrays:
    """Images uint8 (N, 3, 32, 32) and labels int64 (N,) of an official folder or archive.

    Raises:
        DataError: a missing, truncated or foreign file.
    """
    folder = _ARCHIVES.get(path.name, path.name)
    form = _FORMS[folder]
    files = form.train if split == "train" else form.test
    try:
        if path.is_dir():
            raws = [(path / name).read_bytes() for name in files]
        else:
            with tarfile.open(path) as archive:
                raws = [_member(archive, f"{folder}/{name}") for name in files]
        parts = [_unpickle(raw, form.key) if form.key else _records(raw, form.label_bytes) for raw in raws]
    except (OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, zlib.error, pickle.UnpicklingError,
            tarfile.TarError) as cause:  # fmt: skip
        raise DataError(
            f"{path} does not hold the official files {', '.join(files)} whole ({cause}). Copy or download it again."
        ) from cause
    return np.concatenate([one for one, _ in parts]), np.concatenate([labels for _, labels in parts])


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file")
    return file.read()


def _records(raw: bytes, label_bytes: int) -> Arrays:
    records = np.frombuffer(raw, np.uint8)
    if not raw or len(raw) % (_PIXELS + label_bytes):
        raise ValueError(f"{len(raw)} bytes are no whole number of records")
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
        if (module, name) in _ALLOWED | _REBUILD:
            # numpy moved the function; both names mean the same one
            return super().find_class("numpy._core.multiarray" if (module, name) in _REBUILD else module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a data set")
