"""A folder for what takes long to compute and can be computed again, kept apart for every version of the code."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

import platformdirs


def cache_folder(purpose: str, *packages: str) -> Path:
    """Where results of some code are kept: in ``$SLTH_CACHE``, or in the user's cache folder.

    Args:
        purpose: what is kept there, one word.
        *packages: dotted names of the packages of slth whose code decides the results. Another version of that code
            has another folder.

    Returns:
        The folder; it need not exist yet.
    """
    stated = os.environ.get("SLTH_CACHE")
    root = Path(stated) if stated else Path(platformdirs.user_cache_dir("slth", appauthor=False))
    return root / f"{purpose}-{code_digest(*packages)}"


def writable_cache_folder(purpose: str, *packages: str) -> Path | None:
    """Like :func:`cache_folder`, made if it does not exist; None where nothing can be written.

    Args:
        purpose: what is kept there, one word.
        *packages: dotted names of the packages of slth whose code decides the results.
    """
    folder = cache_folder(purpose, *packages)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


@cache
def code_digest(*packages: str) -> str:
    """A digest of the source of some packages of slth: 12 hexadecimal digits.

    Args:
        *packages: dotted names such as ``slth.theory``; a module counts as a package.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for package in packages:
        place = root.joinpath(*package.split(".")[1:])
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        for file in files:
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
