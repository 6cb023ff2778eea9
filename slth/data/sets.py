"""Data sets: scikit-learn's digits (bundled), and IDX files (MNIST and its kin) by path.

IDX files are looked for in ``$SLTH_DATA/NAME``, or ``../shared/data/NAME`` where that folder exists. Images come
as float32 (N, 1, H, W) in [0, 1], labels as int64 (N,).
"""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from slth.errors import DataError, check_choice

_FALLBACK = Path("..") / "shared" / "data"
_DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


@dataclass(frozen=True, eq=False)
class Split:
    """Images float32 (N, 1, H, W) in [0, 1] and labels int64 (N,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


def data_folder() -> Path | None:
    """``$SLTH_DATA`` if it is set, else ``../shared/data`` if that exists, else None."""
    stated = os.environ.get("SLTH_DATA")
    if stated:
        return Path(stated)
    return _FALLBACK if _FALLBACK.is_dir() else None


def available() -> dict[str, str]:
    """Names that :func:`load` takes, with a line about each."""
    found = {"digits": "1,797 digits of 8×8 pixels (bundled with scikit-learn); test: every fourth"}
    folder = data_folder()
    if folder is not None and folder.is_dir():
        for child in sorted(folder.iterdir()):
            files = sorted(f.name for f in child.glob("*-ubyte*")) if child.is_dir() else []
            if files:
                found[child.name] = f"IDX files: {', '.join(files)}"
    return found


def load(name: str, split: str = "test") -> Split:
    """Load a data set by name (see :func:`available`) or by the path of a folder with IDX files.

    Args:
        name: ``digits``, a folder below the data folder, or a path.
        split: ``train`` or ``test``. A folder with one pair of files has one split, whatever the name.

    Raises:
        DataError: nothing there, or files that are not what they should be.
    """
    check_choice("split", split, ("train", "test"))
    if name == "digits":
        return _digits(split)
    folder = Path(name)
    if not folder.is_dir():
        base = data_folder()
        folder = (base or Path("nowhere")) / name
        if not folder.is_dir():
            where = f"in {base}" if base is not None else "because SLTH_DATA is not set"
            raise DataError(
                f"data must be 'digits', a folder with IDX files, or a name in $SLTH_DATA; no {name!r} found {where}. "
                "Set SLTH_DATA to the folder that holds it, or pass a path."
            )
    prefix = "train" if split == "train" else "t10k"
    images = _one(folder, f"{prefix}-images-idx3-ubyte", "images-idx3-ubyte")
    labels = _one(folder, f"{prefix}-labels-idx1-ubyte", "labels-idx1-ubyte")
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or classes.ndim != 1 or len(pixels) != len(classes):
        raise DataError(
            f"{folder} must hold images (N, H, W) and labels (N,); got {pixels.shape} and {classes.shape}. "
            "Check that the files belong together."
        )
    return Split(
        torch.from_numpy(pixels.astype(np.float32) / np.float32(255)).unsqueeze(1),
        torch.from_numpy(classes.astype(np.int64)),
    )


def read_idx(path: Path) -> npt.NDArray[Any]:
    """An IDX file (gzipped or not) as an array.

    Raises:
        DataError: truncated, or not IDX.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        if len(raw) < 4 or raw[:2] != b"\x00\x00" or raw[2] not in _DTYPES:
            raise ValueError("no IDX magic number")
        shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4).astype(np.int64)
        return np.frombuffer(raw, np.dtype(_DTYPES[raw[2]]), offset=4 + 4 * raw[3]).reshape(shape)
    except (ValueError, OSError, EOFError, zlib.error) as cause:
        raise DataError(f"{path} is not a whole IDX file ({cause}). Copy or download it again.") from cause


def _one(folder: Path, *stems: str) -> Path:
    for stem in stems:
        for path in (folder / stem, folder / f"{stem}.gz"):
            if path.is_file():
                return path
    raise DataError(f"{folder} must hold {' or '.join(stems)} (or .gz); it does not. Check the folder.")


def _digits(split: str) -> Split:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy((bunch.images / 16.0).astype(np.float32)).unsqueeze(1)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    test = torch.arange(len(labels)) % 4 == 3
    chosen = test if split == "test" else ~test
    return Split(images[chosen], labels[chosen])
