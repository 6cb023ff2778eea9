"""kill -9 at random times: nothing that was committed is lost, nothing is left running, the final table is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import orphans

from slth.experiments.engine.runner import Holding, read_study, run_study
from slth.experiments.engine.spec import load_spec
from slth.experiments.engine.store import FILE_NAME, Store

HERE = Path(__file__).parent
KILLS = 22
SPEC = 'study = "tiny_study:STUDY"\nseeds = 2\n[point]\nms = 12\n[[grid]]\na = [{}]\n'
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")


def start(folder: Path, workers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "slth", "study", "run", "kill.toml", "--out", "s", "--json", "--workers"]
    command.append(str(workers))
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def table(held: Holding) -> list[tuple[Any, ...]]:
    return [
        (row.key, row.status, row.seed, dict(row.point), {k: v for k, v in row.result.items() if k != "seconds"})
        for row in held.rows
    ]


def test_killed_at_random_times_a_study_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """Kills of the parent alone and of the whole group in turn, from before the store is there to mid-row."""
    rng = np.random.default_rng(7)
    (tmp_path / "tiny_study.py").write_text((HERE / "tiny_study.py").read_text())
    (tmp_path / "kill.toml").write_text(SPEC.format(", ".join(map(str, range(400)))))
    held: set[str] = set()
    progress = []
    for kill in range(KILLS):
        process = start(tmp_path, 1 + (kill % 4 == 3))
        if kill:  # the first is killed at any time at all; the others while they write, soon after their first row
            deadline = time.monotonic() + 30
            while '"point"' not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
                time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.25))
        assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
        if kill % 2:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert orphans(process.pid) == [], "workers outlived the process that started them"
        if (tmp_path / "s" / FILE_NAME).exists():
            with Store(tmp_path / "s") as store:
                status = store.statuses()
            assert held <= status.keys(), "a committed row is gone"
            assert set(status.values()) <= {"done"}
            progress.append(len(status) - len(held))
            held = set(status)
    assert sum(count > 0 for count in progress) >= 20, "it was not killed while it ran"
    assert len(held) < 800
    spec = load_spec(str(tmp_path / "kill.toml"))
    run_study(spec, tmp_path / "s", workers=2)
    quick = spec.model_copy(update={"point": {"ms": 0}})
    run_study(quick, tmp_path / "whole", workers=2)
    whole, killed = read_study(tmp_path / "whole"), read_study(tmp_path / "s")
    assert (whole.totals.done, killed.totals.done) == (800, 800)

    def timeless(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [(status, seed, {**point, "ms": 0}, result) for _, status, seed, point, result in rows]

    assert timeless(table(killed)) == timeless(table(whole))
