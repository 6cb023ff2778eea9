"""Write files whole or not at all, and refuse a place that cannot be written to before the work begins."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from slth.errors import InputError


def write_whole(path: str | Path, data: bytes | str) -> Path:
    """Write a file so that an interruption leaves the old file or none, never a part.

    Args:
        path: where the file goes.
        data: its content; text is written as UTF-8.

    Returns:
        The path.

    Raises:
        InputError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    raw = data.encode() if isinstance(data, str) else data
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as cause:
        raise InputError(
            f"cannot write {path}: {cause.strerror}. Choose another folder, or make this one writable."
        ) from cause
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
    return path


def check_writable(path: str | Path, what: str) -> Path:
    """Refuse a path that :func:`write_whole` could not write, before the work whose result belongs there.

    Args:
        path: where a file is to go. It may exist already; its folder must.
        what: what names the file, such as ``--out``, for the message.

    Returns:
        The path.

    Raises:
        InputError: the name cannot be written in UTF-8, a folder has the name, or the folder of the file does not
            exist or cannot be written to.
    """
    path = Path(path)
    expected = f"{what} must name a file in a folder that exists and can be written to"
    _check_name(path, expected)
    if path.is_dir():
        raise InputError(f"{expected}; cannot write {path}: it is a folder. Add the name of a file.")
    if not os.path.exists(path.parent):
        raise InputError(
            f"{expected}; cannot write {path}: the folder {path.parent} does not exist. Make it first, or choose "
            "another."
        )
    _try_writing(path.parent, path.name, f"{expected}; cannot write {path}")
    return path


def check_folder(path: str | Path, what: str) -> Path:
    """Refuse a folder that cannot be made or written to, before the work whose results belong there.

    Args:
        path: a folder. If it does not exist, it is not made here.
        what: what names the folder, such as ``--out``, for the message.

    Returns:
        The path.

    Raises:
        InputError: the name cannot be written in UTF-8, or the folder cannot be made or written to.
    """
    path = Path(path)
    expected = f"{what} must name a folder that exists or can be made, and that can be written to"
    _check_name(path, expected)
    whole = path.absolute()
    nearest = next(one for one in (whole, *whole.parents) if os.path.exists(one))
    verb = "cannot write to" if path.is_dir() else "cannot make"
    _try_writing(nearest, "", f"{expected}; {verb} the folder {path}")
    return path


def _check_name(path: Path, expected: str) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as cause:
        raise InputError(f"{expected}; got {str(path)!r}, which is not UTF-8. Choose another name.") from cause


def _try_writing(folder: Path, name: str, failed: str) -> None:
    """Make and remove the file that :func:`write_whole` begins with; ``failed`` begins the message of a failure."""
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    except OSError as cause:
        raise InputError(f"{failed}: {cause.strerror}. Choose another, or make this one writable.") from cause
    os.close(handle)
    os.unlink(temporary)
