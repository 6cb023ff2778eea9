"""Headers that claim as much as they can are refused in seconds and with little memory, measured in a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import PROGRAM, hostile_files
from torch import nn

from slth.tickets import find_ticket

MOST_SECONDS = 10.0
MOST_BYTES = 1e9


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of memory is read from /proc")
def test_no_header_costs_ten_seconds_or_a_gigabyte(tiny_file: Path, tmp_path: Path) -> None:
    """One process opens and verifies all files, so its peak of memory is that of the worst, torch included."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    narrow = find_ticket(model, width=8, input_range=(0, 1)).save(tmp_path / "narrow.slth")
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name, content in hostile_files(narrow, tiny_file):
        (folder / f"{name}.slth").write_bytes(content)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(list(folder.iterdir())) > 40
    for name, outcome, _, seconds, peak in lines:
        assert outcome.startswith(("TicketFileError: ", "not verified")), (name, outcome)
        assert seconds < MOST_SECONDS, (name, seconds)
        assert peak < MOST_BYTES, (name, peak)
