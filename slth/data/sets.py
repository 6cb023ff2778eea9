"""Data sets by name or path: scikit-learn's digits (bundled), IDX files (MNIST and its kin), CIFAR's official files.

Named data sets are looked for in ``$SLTH_DATA``, or in ``../shared/data`` if that folder exists: IDX files in a folder
of the data set's name, CIFAR in the folders or archives that its authors distribute.
"""

from __future__ import annotations

import gzip
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from slth.data import cifar
from slth.data.catalogue import data_folder
from slth.data.split import Split, from_pixels
from slth.data.user_dataset import load_from_function, names_function
from slth.errors import DataError, check_choice

_IDX_DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def load(name: str, split: str = "test") -> Split:
    """Load a data set by name (see :func:`slth.data.available`) or by the path of its folder or archive.

    Args:
        name: ``digits``, ``cifar10``, ``cifar100``, a folder in the data folder, a path, or ``path.py:function`` for a
            function that returns a torch ``Dataset`` (see :func:`slth.data.user_dataset.load_from_function`).
        split: ``train`` or ``test``. A folder with one pair of files has one split, which both names give.

    Raises:
        DataError: nothing is there, or files are not what they should be.
    """
    check_choice("split", split, ("train", "test"))
    if name == "digits":
        return _digits(split)
    if names_function(name):
        return load_from_function(name, split)
    folder, base = Path(name), data_folder()
    official = folder if cifar.is_official(folder) else base and cifar.find(base, name)
    if official and official.exists():
        return from_pixels(*cifar.read(official, split))
    if not folder.is_dir():
        folder = (base or Path("nowhere")) / name
        if not folder.is_dir():
            where = f"in {base}" if base is not None else "because SLTH_DATA is not set"
            raise DataError(
                f"data must be 'digits', a folder with IDX or official CIFAR files, path.py:function, or a name in "
                f"$SLTH_DATA; no {name!r} found {where}. "
                "Set SLTH_DATA to the folder that holds it, or pass a path."
            )
    prefix = "train" if split == "train" else "t10k"
    images = _find_file(folder, f"{prefix}-images-idx3-ubyte", "images-idx3-ubyte")
    labels = _find_file(folder, f"{prefix}-labels-idx1-ubyte", "labels-idx1-ubyte")
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or classes.ndim != 1 or len(pixels) != len(classes):
        raise DataError(
            f"{folder} must hold images (N, H, W) and labels (N,); got {pixels.shape} and {classes.shape}. "
            "Check that the files belong together."
        )
    return from_pixels(pixels[:, None], classes)


def read_idx(path: Path) -> npt.NDArray[Any]:
    """Read an IDX file (gzipped or not) as an array.

    Raises:
        DataError: the file is truncated, or is not IDX.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        if len(raw) < 4 or raw[:2] != b"\x00\x00" or raw[2] not in _IDX_DTYPES:
            raise ValueError("no IDX magic number")
        shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4).astype(np.int64)
        return np.frombuffer(raw, np.dtype(_IDX_DTYPES[raw[2]]), offset=4 + 4 * raw[3]).reshape(shape)
    except (ValueError, OSError, EOFError, zlib.error) as cause:
        raise DataError(f"{path} is not a whole IDX file ({cause}). Copy or download it again.") from cause


def _find_file(folder: Path, *stems: str) -> Path:
    for stem in stems:
        for path in (folder / stem, folder / f"{stem}.gz"):
            if path.is_file():
                return path
    raise DataError(f"{folder} must hold {' or '.join(stems)} (or .gz); it does not. Check the folder.")


def _digits(split: str) -> Split:
    # The file is read where scikit-learn keeps it: importing scikit-learn takes longer than many a command.
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("digits come with scikit-learn, which is not installed. Install it: pip install scikit-learn")
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    images = torch.from_numpy((table[:, :-1].reshape(-1, 1, 8, 8) / 16.0).astype(np.float32))
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    test = torch.arange(len(labels)) % 4 == 3
    chosen = test if split == "test" else ~test
    return Split(images[chosen], labels[chosen])
