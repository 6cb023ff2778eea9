"""The clock on the wall is set forwards and backwards while something runs: durations, limits and rows do not care."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
from listeners import Reports

from slth.experiments.engine.runner import read_study, run_study
from slth.experiments.engine.spec import parse_spec

HERE = Path(__file__).parent
DAY = 86_400.0


@pytest.fixture(autouse=True)
def _jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock finds it set by many days, forwards and backwards in turn."""
    honest, jumps = time.time, itertools.cycle((0.0, 1000 * DAY, -1000 * DAY, DAY))
    monkeypatch.setattr(time, "time", lambda: honest() + next(jumps))


def test_a_study_tells_true_durations(tmp_path: Path) -> None:
    text = 'study = "tiny_study:STUDY"\n[point]\nms = 20\n[[grid]]\na = [1, 2, 3, 4, 5, 6]\n'
    listener, began = Reports(), time.monotonic()
    totals = run_study(parse_spec(text, label="t.toml", home=str(HERE)), tmp_path, workers=1, progress=listener)
    took = time.monotonic() - began
    assert (totals.done, totals.failed) == (6, 0)
    points = [facts for facts in listener.facts if facts["event"] == "point"]
    for facts in points:
        assert 6 / took / 6 <= facts["rate"] < 1 / 0.02  # of one worker whose points take 20 ms at least
        assert 0 <= facts["eta"] <= 6 * took
        assert math.isfinite(facts["eta"])
    assert 6 * 0.02 <= listener.facts[-1]["elapsed"] <= took
    assert all(0.02 <= row.seconds <= took for row in read_study(tmp_path).rows)


LIMITS = """
import itertools, sys, time
honest, jumps = time.time, itertools.cycle((0.0, 1e8, -1e8, 1e5))
time.time = lambda: honest() + next(jumps)

import numpy as np
from slth.experiments.engine.worker import Task, run_task
from slth.rss import Problem, solve

def run(point, limit):
    return run_task(Task("k", "tiny_study:STUDY", (sys.argv[1],), point, 0, limit))

began = time.monotonic()
ended = run({"do": "hang"}, 0.2)
assert "took longer than its budget of 0.2 s" in ended.error, ended
assert 0.2 <= ended.seconds <= time.monotonic() - began < 20, ended
assert run({"ms": 50}, 60.0).error == ""
rng = np.random.default_rng(0)
problem = Problem(vectors=rng.standard_normal((400, 20)), target=rng.standard_normal(20))
solve(problem, "local", time_limit=0.01, threads=1)  # compiles
began = time.monotonic()
found = solve(problem, "local", time_limit=0.3, threads=1)
assert 0.2 <= found.seconds <= time.monotonic() - began < 20, found
print("held")
"""


def test_limits_of_time_hold() -> None:
    """In a process of its own: a worker holds all libraries of its process to one thread for good."""
    done = subprocess.run([sys.executable, "-c", LIMITS, HERE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("held\n", "")
