"""A study on a Dask cluster of processes on loopback: a worker is killed half-way, a scheduler goes away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from listeners import Reports

from slth.errors import InputError
from slth.experiments.engine.runner import read_study, run_study
from slth.experiments.engine.spec import Spec, parse_spec

pytest.importorskip("distributed", reason="Dask is an extra: pip install 'slth[distributed]'")
HERE = Path(__file__).parent


class Cluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.folder = folder
        file = folder / "scheduler.json"
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        deadline = time.monotonic() + 30
        while not file.exists() or not file.read_text().strip():
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        self.address = json.loads(file.read_text())["address"]
        for _ in range(2):
            self.start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1",
                       "--local-directory", str(folder))  # fmt: skip

    def start(self, kind: str, *options: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        environment = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
        with (self.folder / "log").open("a") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(name="cluster")
def _cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.stop()


def spec(text: str) -> Spec:
    return parse_spec(f'study = "tiny_study:STUDY"\n{text}', label="tiny.toml", home=str(HERE))


def test_a_study_outlives_half_of_its_workers(cluster: Cluster, tmp_path: Path) -> None:
    def kill_one(facts: Mapping[str, Any]) -> None:
        if facts["event"] == "point" and facts["done"] == 30:
            cluster.processes[2].kill()

    values = ", ".join(map(str, range(60)))
    sleepy = spec(f"[point]\nms = 20\n[[grid]]\na = [{values}]\n")
    totals = run_study(sleepy, tmp_path / "s", engine="dask", scheduler=cluster.address, progress=Reports(kill_one))
    assert (totals.done, totals.failed, totals.missing) == (60, 0, 0)
    assert cluster.processes[2].wait(10) == -9
    # The same table as from this machine alone; parameters are the same, so the rows have the same keys.
    run_study(sleepy, tmp_path / "local", workers=1)

    def table(folder: str) -> list[tuple[Any, ...]]:
        rows = read_study(tmp_path / folder).rows
        return [(row.key, row.result["value"], row.result["many"], row.status) for row in rows]

    assert table("s") == table("local")
    assert {row.provenance["engine"] for row in read_study(tmp_path / "s").rows} == {"dask"}
    # One thread, a budget that holds in Dask's threads too, and failures as rows.
    odd = spec('[[grid]]\ndo = ["hang", "raise"]\n[budget]\nseconds = 0.5\n')
    totals = run_study(odd, tmp_path / "odd", engine="dask", scheduler=cluster.address)
    assert (totals.done, totals.failed) == (0, 2)
    hung, raised = read_study(tmp_path / "odd").rows
    one = spec('[point]\ndo = "threads"\n')
    assert run_study(one, tmp_path / "one", engine="dask", scheduler=cluster.address).done == 1
    (threads,) = read_study(tmp_path / "one").rows
    assert (threads.result["slth"], threads.result["torch"], set(threads.result["pools"])) == (1, 1, {1})
    assert "longer than its budget of 0.5 s" in hung.error
    assert "a = 0 is not to be" in raised.error


def test_a_scheduler_that_goes_away_ends_the_run_and_keeps_the_rows(cluster: Cluster, tmp_path: Path) -> None:
    def kill_scheduler(facts: Mapping[str, Any]) -> None:
        if facts["event"] == "point" and facts["done"] == 10:
            cluster.processes[0].kill()

    sleepy = spec("[point]\nms = 20\n[[grid]]\na = [" + ", ".join(map(str, range(200))) + "]\n")
    began = time.monotonic()
    with pytest.raises(InputError, match=r"went away. What is finished is kept; run the same command again"):
        run_study(sleepy, tmp_path / "s", engine="dask", scheduler=cluster.address, progress=Reports(kill_scheduler))
    assert time.monotonic() - began < 60
    assert 10 <= read_study(tmp_path / "s").totals.done < 200


def test_dask_on_this_machine_survives_a_point_that_kills_its_workers(tmp_path: Path) -> None:
    """Without a scheduler Dask starts its own workers, with nannies that replace them."""
    deadly = spec('[[grid]]\na = [1, 2, 3]\n[[grid]]\ndo = "die"\n[budget]\nretries = 0\n')
    totals = run_study(deadly, tmp_path / "s", engine="dask", workers=2)
    assert (totals.done, totals.failed) == (3, 1)
    (failed,) = (row for row in read_study(tmp_path / "s").rows if row.status == "failed")
    assert "WorkerDiedError: its worker died" in failed.error
