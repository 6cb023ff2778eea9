"""Where a result came from (versions, machine, source), as slth records it; and the memory that a process takes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("slth", "numpy", "scipy", "numba", "torch", "ortools")


def environment() -> dict[str, Any]:
    """Versions of the libraries that compute, and the machine, JSON-ready. It names no user, host or path."""
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


def processor() -> str:
    """Model of the processor, as the system names it; a measured time means little without it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        named = ""
    return named or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    import psutil  # here, so that the command line starts without it

    process = psutil.Process()
    if not hasattr(process, "cpu_affinity"):  # macOS binds no process to cores
        return psutil.cpu_count() or 1
    return len(process.cpu_affinity())


def source_commit() -> str:
    """Commit of the checkout that slth runs from, with ``-dirty`` if files were changed since.

    Returns:
        40 hexadecimal digits; an empty text if slth does not run from a checkout.
    """
    folder = Path(__file__).parent
    git = ["git", "-C", str(folder), "-c", "core.fsmonitor=false"]
    try:
        # The environment that slth is installed in may lie in the repository of another project: is this file tracked?
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True, timeout=10)
        described = ["describe", "--always", "--abbrev=40", "--match", "", "--dirty"]
        done = subprocess.run([*git, *described], capture_output=True, check=True, timeout=10, text=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


# psutil knows no peak on Linux and macOS, and cannot reset one: the kernel's own counter does both on Linux.
def reset_peak_memory() -> None:
    """Let :func:`peak_memory` count again from what is held now. Only Linux can; elsewhere nothing happens."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def peak_memory() -> float:
    """Bytes that this process held at most, since it began or since :func:`reset_peak_memory`."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            return next(1024.0 * float(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):  # not Linux, where getrusage counts the pages of the parent too
        import psutil

        peak = getattr(psutil.Process().memory_info(), "peak_wset", None)
        if peak is not None:
            return float(peak)  # Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
