"""Where a result came from: versions, machine and source, recorded in what slth writes; and what it took of memory."""

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


def processor() -> str:
    """The processor's model, as the system names it: what times are to be read with."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        named = ""
    return named or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def source_commit() -> str:
    """Commit of the checkout that slth runs from, ``-dirty`` if its code was changed since; empty if it is none."""
    folder = Path(__file__).parent
    git = ["git", "-C", str(folder), "-c", "core.fsmonitor=false"]
    try:
        # Another project's repository may hold the environment that slth is installed in.
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True, timeout=10)
        described = ["describe", "--always", "--abbrev=40", "--match", "", "--dirty"]
        done = subprocess.run([*git, *described], capture_output=True, check=True, timeout=10, text=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def reset_peak_memory() -> None:
    """Start :func:`peak_memory` again from what is held now, where the system can (Linux)."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass  # the peak is then that of the whole process


def peak_memory() -> float:
    """Most bytes this process has held, since it began or since :func:`reset_peak_memory`."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            return next(1024.0 * float(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):  # not Linux; getrusage would do there too, but counts the parent's pages
        import resource  # which Windows lacks

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
