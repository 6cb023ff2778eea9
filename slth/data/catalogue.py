"""Which data sets are at hand, told from the files alone: nothing is loaded, and torch is not imported."""

from __future__ import annotations

import os
from pathlib import Path

from slth.data import cifar

_DEFAULT_FOLDER = Path("..") / "shared" / "data"


def data_folder() -> Path | None:
    """``$SLTH_DATA`` if it is set, else ``../shared/data`` if that exists, else None."""
    stated = os.environ.get("SLTH_DATA")
    if stated:
        return Path(stated)
    return _DEFAULT_FOLDER if _DEFAULT_FOLDER.is_dir() else None


def available() -> dict[str, str]:
    """The names that :func:`slth.data.load` takes here, with a line about each."""
    found = {"digits": "1,797 digits of 8×8 pixels (bundled with scikit-learn); test: every fourth"}
    folder = data_folder()
    if folder is not None and folder.is_dir():
        for child in sorted(folder.iterdir()):
            files = sorted(f.name for f in child.glob("*-ubyte*")) if child.is_dir() else []
            if files:
                found[child.name] = f"IDX files: {', '.join(files)}"
        for name in ("cifar10", "cifar100"):
            place = cifar.find(folder, name)
            if place is not None:
                found[name] = f"official files: {place.name}"
    return found
