"""A folder for what takes long to compute and can be computed again, kept apart for every version of the code."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import platformdirs

from slth.errors import InputError
from slth.files import write_whole

# Who waits this long for another process computes the same itself.
LONGEST_WAIT_SECONDS = 3600.0


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


def made_once(folder: Path | None, name: str, make: Callable[[], bytes]) -> bytes:
    """What a function makes, from a file if it was made before.

    Processes that ask at the same time wait for the first of them. A file that is damaged is made again.

    Args:
        folder: where it is kept; None for nowhere, so that it is made each time.
        name: of the file; it must tell everything that the content depends on, beside the code.
        make: computes the content.

    Returns:
        The content.
    """
    if folder is None:
        return make()
    path = folder / name
    found = _read_whole(path)
    if found is not None:
        return found
    with _alone(folder / f"{name}.lock"):
        found = _read_whole(path)  # by now another process may have made it
        if found is None:
            found = make()
            with suppress(InputError):  # a full disk costs the next one its time, and nobody the result
                write_whole(path, hashlib.sha256(found).digest() + found)
    return found


def _read_whole(path: Path) -> bytes | None:
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    digest, content = raw[:32], raw[32:]
    return content if hashlib.sha256(content).digest() == digest else None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that the system releases with the process; where there are no locks, go on without."""
    try:
        lock = sqlite3.connect(path, timeout=LONGEST_WAIT_SECONDS)
    except sqlite3.Error:
        yield
        return
    with closing(lock):
        with suppress(sqlite3.Error):
            lock.execute("BEGIN EXCLUSIVE")
        yield
