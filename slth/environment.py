"""Where a result came from: versions and machine, recorded in every file that slth writes."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

PACKAGES = ("slth", "numpy", "scipy", "numba", "torch")


def environment() -> dict[str, Any]:
    """Versions of what computes, and the machine, as JSON. Names no user, host or path."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "packages": versions,
    }
