"""Write files whole or not at all."""

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
