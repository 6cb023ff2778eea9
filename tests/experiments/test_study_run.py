"""The runner on this machine, and the command line of studies: results, failures, resumption, exports, reports."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from listeners import Reports
from rich.console import Console

from slth.cli import study as cli_study
from slth.errors import InputError
from slth.experiments.engine import pool, results, tables
from slth.experiments.engine.registry import load_study
from slth.experiments.engine.rerun import is_clock, rerun
from slth.experiments.engine.runner import read_study, run_study
from slth.experiments.engine.spec import Spec, load_spec, parse_spec
from slth.experiments.engine.store import Store
from slth.experiments.engine.study import Row, last_line
from slth.experiments.engine.worker import GRACE_SECONDS
from slth.experiments.engine.writable_store import write_store
from slth.rss.threads import thread_count

HERE = Path(__file__).parent


def tiny(text: str) -> Spec:
    return parse_spec(f'study = "tiny_study:STUDY"\n{text}', label="tiny.toml", home=str(HERE))


def rows_of(folder: Path) -> list[Row]:
    return read_study(folder).rows


@pytest.fixture(scope="module", name="done")
def _done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six rows, for tests that read it."""
    folder = tmp_path_factory.mktemp("done")
    run_study(tiny("seeds = 2\n[[grid]]\na = [1, 2, 3]\n"), folder, workers=1, command="slth study run tiny.toml")
    return folder


def test_rows_hold_results_and_where_they_come_from(done: Path) -> None:
    held = read_study(done)
    assert [(row.point["a"], row.seed) for row in held.rows] == [(a, seed) for a in (1, 2, 3) for seed in (0, 1)]
    assert len({row.key for row in held.rows}) == 6
    for row in held.rows:
        rng = np.random.default_rng([row.seed, row.point["a"]])
        assert (row.result["value"], row.result["many"]) == (rng.standard_normal(), rng.standard_normal(3).tolist())
        assert row.status == "done"
        assert 0 < row.seconds < 10
        assert 1e7 < row.peak_memory < 1e9
        assert row.provenance["spec"] == held.spec.digest
        assert row.provenance["budget"] == {"retries": 2, "seconds": None}
        assert row.provenance["environment"]["packages"]["numpy"] == np.__version__
        assert "commit" in row.provenance
    assert (held.totals.total, held.totals.done, held.totals.failed, held.totals.missing) == (6, 6, 0, 0)
    assert (done / "spec.toml").read_text() == held.spec.text
    assert [one["command"] for one in held.runs] == ["slth study run tiny.toml"]


def test_only_what_is_missing_runs(tmp_path: Path) -> None:
    listener = Reports()
    small, large = tiny("[[grid]]\na = [1, 2]\n"), tiny("seeds = 2\n[[grid]]\na = [2, 3]\n")
    run_study(small, tmp_path, workers=1)
    before = {row.key: row for row in rows_of(tmp_path)}
    totals = run_study(large, tmp_path, workers=1, progress=listener)
    events = listener.facts
    assert (totals.total, totals.done) == (4, 4)
    assert listener.calls == [("begin", "points", 4, 1), *[("advance", "points", 1)] * 3, ("end", "points")]
    assert events[0] == {"event": "start", "study": "tiny", "total": 4, "done": 1, "missing": 3}
    assert [event["event"] for event in events[1:]] == ["point"] * 3 + ["end"]
    assert json.loads(json.dumps(events)) == events
    assert [event["done"] for event in events[1:4]] == [2, 3, 4]
    assert events[3]["eta"] == 0
    again = {row.key: row for row in rows_of(tmp_path)}
    assert [again[key] for key in before if key in again] == [row for row in before.values() if row.key in again]
    assert len(before.keys() & again.keys()) == 1
    with Store(tmp_path) as store:
        assert len(store.rows()) == 5  # what another spec of the study asked for stays
    events.clear()
    run_study(large, tmp_path, engine="dask", scheduler="tcp://nowhere:1", progress=listener)  # nothing to run
    assert [event["event"] for event in events] == ["start", "end"]


def test_failures_are_rows_and_the_others_are_done(tmp_path: Path) -> None:
    odd = '["raise", "exit", "die", "hang", "odd", "list"]'
    text = f"[[grid]]\na = [1, 2]\n[[grid]]\ndo = {odd}\n[budget]\nseconds = 0.5\n"
    totals = run_study(tiny(f"{text}retries = 1\n"), tmp_path, workers=2)
    assert (totals.done, totals.failed) == (2, 6)
    rows = rows_of(tmp_path)
    assert [row.status for row in rows] == ["done"] * 2 + ["failed"] * 6
    ends = [last_line(row.error) for row in rows[2:]]
    assert ends[0] == "RuntimeError: a = 0 is not to be"
    assert ends[1] == "SystemExit: enough"
    assert ends[2].startswith(
        "WorkerDiedError: its worker died 2 times while it ran alone. The exit codes of the workers are {EXIT(3)"
    )
    assert ends[3].endswith("PointTimeoutError: the point took longer than its budget of 0.5 s")
    assert ends[4].startswith("TypeError: a result must be JSON; it holds object")
    assert ends[5] == "TypeError: a result must be a dict of what was measured; got list."
    assert all(row.result == {} for row in rows[2:])
    assert 'in run\n    raise RuntimeError(f"a = {point.a}' in rows[2].error


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no alarm that could end a worker")
def test_a_point_in_compiled_code_ends_at_its_limit_and_takes_nobody_along(tmp_path: Path) -> None:
    """Stuck with and without the lock of the interpreter; the others run once each, beside it and after it."""
    (marks := tmp_path / "marks").mkdir()
    text = (
        f'study = "stuck_study:STUDY"\n[point]\nfolder = {str(marks)!r}\n[budget]\nseconds = 1\n'
        '[[grid]]\nwhere = ["numba", "numba without the lock", "C"]\n[[grid]]\na = [1, 2, 3, 4, 5, 6]\n'
    )
    listener = Reports()
    spec = parse_spec(text, label="stuck.toml", home=str(HERE))
    totals = run_study(spec, tmp_path / "s", workers=2, progress=listener)
    assert (totals.done, totals.failed) == (6, 3)
    stuck, others = rows_of(tmp_path / "s")[:3], rows_of(tmp_path / "s")[3:]
    for row in stuck:
        first, last = row.error.strip().splitlines()
        assert first == "Compiled code did not come back to Python: the worker was ended 2 s later."
        assert last.endswith("PointTimeoutError: the point took longer than its budget of 1 s")
        assert row.seconds == 1 + GRACE_SECONDS
    assert [row.result["value"] for row in others] == [1, 2, 3, 4, 5, 6]
    assert sorted(mark.read_text() for mark in marks.iterdir()) == ["x"] * 9  # nobody ran twice
    assert listener.facts[-1]["elapsed"] < 60  # two spells of 3 s and five starts of a worker, on a busy machine
    assert rerun(tmp_path / "s", stuck[0].key).differences == {}  # it fails the same way


def test_a_point_that_dies_late_is_still_known_for_the_killer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies only after the engine has looked several times."""
    monkeypatch.setattr(pool, "CHECK_SECONDS", 0.05)
    spec = tiny('[point]\nms = 300\n[[grid]]\na = [1]\ndo = ["", "die"]\n[budget]\nretries = 1\n')
    totals = run_study(spec, tmp_path, workers=2)
    assert (totals.done, totals.failed) == (1, 1)
    assert "its worker died 2 times" in rows_of(tmp_path)[1].error


def test_the_innocent_survive_a_worker(tmp_path: Path) -> None:
    """A point kills its worker the first time it runs, among many that do not; no retry is left to waste."""
    (marks := tmp_path / "marks").mkdir()
    text = f"[point]\nfolder = {str(marks)!r}\nms = 5\n[budget]\nretries = 0\n[[grid]]\na = [1, 2, 3, 4, 5, 6, 7, 8]\n"
    totals = run_study(tiny(text + '[[grid]]\na = 10\ndo = "die once"\n'), tmp_path / "s", workers=2)
    assert (totals.done, totals.failed) == (9, 0)
    assert [mark.name for mark in marks.iterdir()] == ["10-0"]


def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    spec = tiny(f'[[grid]]\na = [1, 2]\nfolder = {str(tmp_path)!r}\ndo = "drift"\n')  # fails until its files are there
    (tmp_path / "1-0").write_text("x")
    assert run_study(spec, tmp_path / "s", workers=1).failed == 1
    (tmp_path / "2-0").write_text("y")
    listener = Reports()
    assert run_study(spec, tmp_path / "s", workers=1, progress=listener).done == 2
    assert len(listener.facts) == 3
    assert [row.result["value"] for row in rows_of(tmp_path / "s")] == ["x", "y"]


def test_one_thread_in_workers_and_quiet_on_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_study(tiny('[[grid]]\ndo = ["print", "threads"]\n'), tmp_path, workers=1)
    (row,) = (row for row in rows_of(tmp_path) if row.point["do"] == "threads")
    assert (row.result["slth"], row.result["torch"]) == (1, 1)
    assert set(row.result["pools"]) == {1}
    captured = capfd.readouterr()
    assert "not JSON" not in captured.out
    assert "not JSON" in captured.err


def test_a_worker_imports_what_its_study_names_and_nothing_heavy_beside_it(tmp_path: Path) -> None:
    run_study(tiny('[point]\ndo = "imports"\n'), tmp_path, workers=1)
    (row,) = rows_of(tmp_path)
    assert row.result == {"imported": ["stringprep"]}


def test_peak_memory_is_that_of_the_point(tmp_path: Path) -> None:
    """400 MB in the first point must not show in the second, which the same process runs."""
    run_study(tiny('[[grid]]\na = [1, 0]\ndo = "grow"\n'), tmp_path, workers=1)
    first, second = rows_of(tmp_path)
    assert first.peak_memory > 4e8
    if Path("/proc/self/clear_refs").exists():
        assert second.peak_memory < 3e8


def test_threads_can_be_set_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLTH_THREADS", "3")
    assert thread_count(None) == 3
    assert thread_count(2) == 2
    monkeypatch.setenv("SLTH_THREADS", "many")
    with pytest.raises(InputError, match="SLTH_THREADS must be a whole number ≥ 1; got 'many'"):
        thread_count(None)


def test_an_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    def stop(facts: Mapping[str, Any]) -> None:
        if facts.get("done") == 3:
            raise KeyboardInterrupt

    listener = Reports(stop)
    spec = tiny("[point]\nms = 20\n[[grid]]\na = [1, 2, 3, 4, 5, 6]\n")
    with pytest.raises(KeyboardInterrupt):
        run_study(spec, tmp_path, workers=1, progress=listener)
    assert listener.calls[-1] == ("end", "points")
    assert read_study(tmp_path).totals.done == 3
    assert run_study(spec, tmp_path, workers=1).done == 6


def test_another_study_does_not_share_a_folder(done: Path) -> None:
    with pytest.raises(InputError, match=r"holds the study 'tiny_study:STUDY'\. Choose another folder"):
        run_study(load_spec("existence"), done)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "ray"}, "engine must be one of local, dask"),
        ({"workers": 0}, "workers must be an integer between 1"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "Add --engine dask"),
    ],
)
def test_engines_that_make_no_sense(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run_study(tiny("[point]\na = 1\n"), tmp_path, **options)


def test_a_row_reproduces_or_says_what_differs(tmp_path: Path) -> None:
    (tmp_path / "0-0").write_text("before")
    spec = tiny(f'[[grid]]\nfolder = {str(tmp_path)!r}\ndo = ["", "drift", "raise", "die"]\n[budget]\nretries = 1\n')
    run_study(spec, tmp_path, workers=1)
    same, drift, failing, deadly = rows_of(tmp_path)
    found = rerun(tmp_path, same.key[:8])
    assert (found.differences, found.row) == ({}, same)
    assert found.seconds > 0
    for one in (failing, deadly):
        assert rerun(tmp_path, one.key).differences == {}  # it fails the same way
    assert rerun(tmp_path, drift.key).differences == {}
    (tmp_path / "0-0").write_text("after")
    found = rerun(tmp_path, drift.key)
    assert found.differences == {"value": ("before", "after")}  # not its latency, and not its NaN
    (tmp_path / "0-0").unlink()
    found = rerun(tmp_path, drift.key)
    assert found.differences["error"][0] == ""
    assert "FileNotFoundError" in found.differences["error"][1]


def test_what_changed_of_the_installation_is_named(tmp_path: Path, done: Path) -> None:
    with write_store(tmp_path) as store, Store(done) as other:
        row = other.rows()[0]
        store.begin(spec=json.dumps(other.runs()[-1]["spec"]), command="")
        origin = {**row.provenance, "commit": "0123", "environment": {"packages": {"numpy": "0.9"}}}
        store.add(key=row.key, study="tiny", point=json.dumps(row.point), seed=row.seed, result=json.dumps(row.result),
                  origin=json.dumps(origin))  # fmt: skip
    changes = rerun(tmp_path, row.key).changes
    assert changes["environment.packages.numpy"] == ("0.9", np.__version__)
    assert changes["commit"][0] == "0123"
    assert "processor" not in changes  # it is the same


def test_clocks_are_known_by_name() -> None:
    study = load_study("tiny_study:STUDY")
    for name in ("seconds", "a.seconds_each.b", "latency", "x.latency"):
        assert is_clock(name, study)
    assert not is_clock("value", study)


def test_csv_and_parquet_hold_every_row(done: Path, tmp_path: Path) -> None:
    assert tables.export_csv(done, tmp_path / "r.csv") == tables.export_parquet(done, tmp_path / "r.parquet") == 6
    with (tmp_path / "r.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    from pyarrow import parquet

    columns = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    for row, line, other in zip(rows_of(done), read, columns, strict=True):
        assert (line["key"], other["key"]) == (row.key, row.key)
        assert float(line["result.value"]) == other["result.value"] == row.result["value"]
        assert json.loads(line["result.many"]) == other["result.many"] == row.result["many"]
        assert (int(line["point.a"]), other["point.a"]) == (row.point["a"], row.point["a"])
        assert other["provenance.environment.python"] == row.provenance["environment"]["python"]


def test_columns_of_several_types_are_written(tmp_path: Path) -> None:
    with write_store(tmp_path) as store:
        for i, value in enumerate(("1", '"text"', "[1, 2]", "null", "NaN")):
            store.add(key=str(i), study="s", point="{}", seed=i, result=f'{{"x": {value}, "y": {{"z": {i}}}}}')
    tables.export_parquet(tmp_path, tmp_path / "r.parquet")
    from pyarrow import parquet

    columns = parquet.read_table(tmp_path / "r.parquet")
    found = [None if one is None else json.loads(one) for one in columns["result.x"].to_pylist()]
    assert found[:4] == [1, "text", [1, 2], None]
    assert isinstance(found[4], float)
    assert math.isnan(found[4])
    assert columns["result.y.z"].to_pylist() == [0, 1, 2, 3, 4]


def test_parquet_without_pyarrow_says_what_to_install(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r'pip install "slth\[parquet\]", or use --csv'):
        tables.export_parquet(done, tmp_path / "r.parquet")


def test_dask_that_is_not_installed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r'pip install "slth\[distributed\]", or use --engine local'):
        pool.open_pool("dask")


def test_figures_and_report(done: Path, tmp_path: Path) -> None:
    sections, written = results.plot_study(done)
    assert [path.name for path in written] == ["tiny-1-values-all.png", "tiny-1-values-all.svg"]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in written[1].read_text()
    assert [section.title for section in sections] == ["Values & all", "Words"]
    page = results.report_study(done).read_text()
    for words in ("Values &amp; all", "6 of 6 points done", "slth study run tiny.toml", "environment.packages.numpy",
                  "a = [1, 2, 3]", "Nothing."):  # fmt: skip
        assert words in page
    assert "Points that failed" not in page


@pytest.fixture(name="place")
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study of one's own, its spec, and nothing else."""
    (tmp_path / "mine.py").write_text((HERE / "tiny_study.py").read_text())
    (tmp_path / "mine.toml").write_text(
        'study = "mine:STUDY"\ntitle = "Mine"\nseeds = 2\n[[grid]]\na = [1, 2]\n[smoke]\nseeds = 1\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    def slth(*arguments: str) -> tuple[int, str, str]:
        return run(capsys, monkeypatch, *arguments)

    code, out, err = slth("study", "run", "mine.toml", "--smoke", "--out", "s", "--workers", "1")
    assert (code, err) == (0, "")
    first, last = out.strip().splitlines()  # where no terminal is, one line each
    assert first == "tiny: 2 points, 0 of them done before"
    assert last.startswith("2 done, 0 failed in ")
    code, out, _ = slth("study", "run", "mine.toml", "--out", "s", "--workers", "1", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["start", "point", "point", "end"]
    code, out, _ = slth("study", "status", "s", "--json")
    assert {**json.loads(out), "spec": 0} == {"study": "tiny", "spec": 0, "total": 4, "done": 4, "failed": 0,
                                              "missing": 0, "failures": []}  # fmt: skip
    code, out, _ = slth("study", "status", "s")
    assert "tiny" in out
    code, out, _ = slth("study", "export", "s", "--csv", "r.csv", "--parquet", "r.parquet")
    assert out == "4 rows written: r.csv\n4 rows written: r.parquet\n"
    code, out, _ = slth("study", "plot", "s")
    assert "Values & all" in out
    assert "written: s/tiny-1-values-all.svg" in out
    code, out, _ = slth("report", "s")
    assert (code, out) == (0, "written: s/report.html\n")
    page = (place / "s" / "report.html").read_text()
    assert "<h1>Mine</h1>" in page
    assert "slth study run mine.toml --smoke --out s --workers 1" in page
    key = next(csv.DictReader((place / "r.csv").open()))["key"]
    code, out, _ = slth("study", "rerun", "s", key)
    assert code == 0
    assert f"{key}: a = 1, b = 1.0" in out
    assert "reproduces; " in out
    monkeypatch.chdir("/")  # the folder knows where its study is
    assert slth("study", "status", str(place / "s"))[0] == 0
    code, out, _ = slth("study", "list", "--json")
    listed = {one["name"]: one for one in json.loads(out)}
    assert listed["existence"]["points"] > listed["existence"]["smoke_points"] > 0
    assert "existence" in slth("study", "list")[1]


def test_a_run_that_cannot_begin_changes_nothing(tmp_path: Path, done: Path) -> None:
    """A folder shows the run before, not one that found no workers."""
    folder = tmp_path / "s"
    shutil.copytree(done, folder)
    before = read_study(folder)
    with pytest.raises(InputError, match="engine must be one of"):
        run_study(tiny("[point]\na = 77\n"), folder, engine="locl")
    with pytest.raises(InputError, match="workers must be"):  # also where there is nothing left to do
        run_study(before.spec, folder, workers=0)
    after = read_study(folder)
    assert (after.spec, after.runs, after.rows) == (before.spec, before.runs, before.rows)


def test_a_file_that_no_run_wrote_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "spec.toml"
    mine.write_text("# my own notes\n")
    for a in (1, 2):
        spec = tiny(f"[point]\na = {a}\n")
        run_study(spec, tmp_path, workers=1)
    assert mine.read_text() == "# my own notes\n"
    mine.unlink()
    run_study(spec, tmp_path, workers=1)
    assert mine.read_text() == spec.text


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(cli_study, "console", Console(file=screen, force_terminal=True, width=100))
    listener = cli_study._listener(False)
    listener.begin("points", 1000, 400)
    listener.report("points", {"event": "start", "study": "tiny", "total": 1000, "done": 400, "missing": 600})
    for done in (401, 402):
        listener.advance("points")
        listener.report("points", {"event": "point", "done": done, "failed": 3, "rate": 12.5, "eta": 3661.2})
    listener.report("points", {"event": "end", "done": 402, "failed": 3, "elapsed": 1.0})
    listener.end("points")
    for words in (
        "tiny: 1,000 points, 400 of them done before",
        "1:01:01 left",
        "405/1000",
        "3 failed",
        "12.5/s",
        "402 done, 3 failed",
    ):
        assert words in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())


def test_commands_that_fail_say_so_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    def says(*arguments: str) -> str:
        code, out, err = run(capsys, monkeypatch, *arguments)
        assert code == 1
        assert "Traceback" not in out + err
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    assert "no study is called 'exist'" in says("study", "run", "exist", "--out", "s")
    (place / "bad.toml").write_text('study = "mine:STUDY"\n[[grid]]\na = [1]\ndo = ["raise"]\n')
    assert "1 of 1 points failed. See why with: slth study status s" in says("study", "run", "bad.toml", "--out", "s")
    code, out, _ = run(capsys, monkeypatch, "study", "status", "s")
    assert (code, "RuntimeError: a = 1 is not to be" in out) == (0, True)
    assert "no point of this study is done" in says("study", "plot", "s")
    assert "no point of this study is done" in says("report", "s")
    assert "nothing to write" in says("study", "export", "s")
    assert "cannot write" in says("study", "export", "s", "--csv", "missing/r.csv")
    assert "0 rows of s have a key that begins with 'zzz'; it must be one" in says("study", "rerun", "s", "zzz")
    assert "have a key that begins with ''; it must be one" in says("study", "rerun", "s", "")
    assert "holds no study" in says("study", "status", "elsewhere")
    assert "holds the study 'mine:STUDY'" in says("study", "run", "existence", "--smoke", "--out", "s")
    (place / "file").touch()
    assert "cannot make the folder" in says("study", "run", "mine.toml", "--out", "file/s")
    (place / "typo.toml").write_text('studdy = "mine:STUDY"\n')
    assert "typo.toml has an unknown key 'studdy'; did you mean 'study'?" in says(
        "study", "run", "typo.toml", "--out", "s"
    )
    (place / "gone.toml").write_text('study = "gone:STUDY"\n[point]\na = 1\n')
    assert "cannot import 'gone'" in says("study", "run", "gone.toml", "--out", "t")
    (place / "broken.py").write_text("def run(:\n")
    (place / "broken.toml").write_text('study = "broken:STUDY"\n[point]\na = 1\n')
    assert "SyntaxError: invalid syntax" in says("study", "run", "broken.toml", "--out", "t")
    (place / "nameless.toml").write_text('study = ":STUDY"\n[point]\na = 1\n')
    assert "cannot import ''" in says("study", "run", "nameless.toml", "--out", "t")
    assert "workers must be an integer between 1 and" in says(
        "study", "run", "mine.toml", "--out", "u", "--workers", "0"
    )
    assert not (place / "u").exists()
    with write_store(place / "v"):
        pass
    assert "v holds no run. Start one with" in says("study", "status", "v")
    with write_store("s"):
        assert "another process is writing s" in says("study", "run", "mine.toml", "--out", "s")
    began = time.monotonic()
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in says(
        "study", "run", "mine.toml", "--out", "u", "--engine", "dask", "--scheduler", "tcp://127.0.0.1:9"
    )
    assert "no Dask scheduler answers at nonsense" in says(
        "study", "run", "mine.toml", "--out", "u", "--engine", "dask", "--scheduler", "nonsense"
    )
    assert time.monotonic() - began < 30


def test_a_reader_follows_a_run_and_ctrl_c_ends_it_cleanly(place: Path) -> None:
    """From another process, as a user would: status while it runs, then SIGINT, exit 130, and nothing lost."""
    (place / "slow.toml").write_text(
        'study = "mine:STUDY"\n[point]\nms = 30\n[[grid]]\na = ' + str(list(range(1000))) + "\n"
    )
    command = [sys.executable, "-m", "slth", "study", "run", "slow.toml", "--out", "s", "--json", "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    assert process.stdout is not None
    counts = []
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "point" and event["done"] in (5, 15):
            counts.append(read_study(place / "s").totals.done)
            if len(counts) == 2:
                process.send_signal(2)
                break
    _, err = process.communicate()
    watchdog.cancel()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "interrupted" in err
    assert 5 <= counts[0] < counts[1] < 1000
    assert counts[1] <= read_study(place / "s").totals.done < 1000
