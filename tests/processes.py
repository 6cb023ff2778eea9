"""Processes that a test started, looked up in /proc."""

from __future__ import annotations

import time
from pathlib import Path

# Workers notice within half a second that their parent is gone; a busy machine may take longer.
LONGEST_GOODBYE = 10.0


def orphans(group: int) -> list[int]:
    """Processes of a group that are still alive after they had time to end.

    Args:
        group: number of the group, which is that of its first process.
    """
    deadline = time.monotonic() + LONGEST_GOODBYE
    while (found := _alive(group)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _alive(group: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it ended while we looked
        if int(process_group) == group and state not in "ZX":
            found.append(int(stat.parent.name))
    return found
