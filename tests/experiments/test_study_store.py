"""The store: rows as they were written, one writer, many readers, old and new formats, disks that are full."""

from __future__ import annotations

import json
import math
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from slth.errors import DataError, InputError
from slth.experiments.engine.runner import run_study
from slth.experiments.engine.spec import parse_spec
from slth.experiments.engine.store import FILE_NAME, Store
from slth.experiments.engine.writable_store import WritableStore, write_store
from slth.progress import Lines


def add(store: WritableStore, key: str, **values: Any) -> None:
    point = json.dumps(values.pop("point", {"D": 4}))
    store.add(key=key, study=values.pop("study", "s"), point=point, seed=values.pop("seed", 0), **values)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    with write_store(tmp_path / "new" / "folder") as store:
        add(store, "a", point={"D": 4, "eps": 0.1}, seed=3, result='{"x": [1, NaN, 1e-300]}', seconds=0.1,
            peak_memory=2.0**40, origin='{"commit": "c"}')  # fmt: skip
        add(store, "b", error="Traceback\nö", origin='{"commit": "c"}')
    with Store(tmp_path / "new" / "folder") as store:
        first, second = store.rows()
    assert (first.key, first.study, first.point, first.seed) == ("a", "s", {"D": 4, "eps": 0.1}, 3)
    assert (first.status, first.error, first.seconds, first.peak_memory) == ("done", "", 0.1, 2.0**40)
    assert first.result["x"][0] == 1
    assert math.isnan(first.result["x"][1])
    assert first.result["x"][2] == 1e-300
    assert first.provenance["commit"] == "c"
    assert first.provenance["time"].endswith("+00:00")
    assert (second.status, second.error, second.result) == ("failed", "Traceback\nö", {})


def test_a_later_row_takes_the_place_of_its_key(tmp_path: Path) -> None:
    with write_store(tmp_path) as store:
        add(store, "a", error="no")
        add(store, "b")
        add(store, "a", result='{"x": 1}')
        assert store.statuses() == {"b": "done", "a": "done"}
        assert [(row.key, row.result) for row in store.rows()] == [("b", {}), ("a", {"x": 1})]


def test_filters(tmp_path: Path) -> None:
    points = [
        {"D": 4, "eps": 0.1, "on": True, "name": "a", "n": None},
        {"D": 9, "eps": 1 / 3, "on": False, "name": 'q"'},
    ]
    with write_store(tmp_path) as store:
        for i, point in enumerate(points):
            for seed in range(2):
                add(store, f"k{i}{seed}", point=point, seed=seed, study="st"[i], error="" if seed else "no")

        def keys(**filters: Any) -> list[str]:
            return [row.key for row in store.rows(**filters)]

        assert keys(study="t") == ["k10", "k11"]
        assert keys(status="done") == ["k01", "k11"]
        assert keys(seed=1, study="s") == ["k01"]
        assert keys(key="k1") == ["k10", "k11"]
        assert keys(key="%") == []
        assert keys(where={"D": 9}) == keys(where={"D": 9.0}) == ["k10", "k11"]
        assert keys(where={"eps": 1 / 3, "on": False}) == ["k10", "k11"]
        assert keys(where={"eps": 0.1, "on": True, "name": "a", "n": None}) == ["k00", "k01"]
        assert keys(where={"name": 'q"'}) == ["k10", "k11"]
        assert keys(where={"D": "9"}) == []


def test_a_second_writer_is_refused_while_readers_read(tmp_path: Path) -> None:
    with write_store(tmp_path) as store:
        add(store, "a")
        with pytest.raises(InputError, match=r"another process is writing .* slth study status"), write_store(tmp_path):
            pass
        code = (
            "import sys; from slth.experiments.engine.writable_store import *\n"
            "print(len(Store(sys.argv[1]).rows()))\n"
            "with write_store(sys.argv[1]): pass\n"
        )
        other = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
        assert other.stdout == "1\n"
        assert "another process is writing" in other.stderr
        with Store(tmp_path) as reader:
            add(store, "b")
            assert [row.key for row in reader.rows()] == ["a", "b"]  # each reading sees what is committed by then
    with write_store(tmp_path) as store:
        assert len(store.rows()) == 2


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; from slth.experiments.engine.writable_store import *\n"
        "with write_store(sys.argv[1]) as store:\n"
        "    store.add(key='a', study='s', point='{}', seed=0)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    with write_store(tmp_path) as store:
        assert store.statuses() == {"a": "done"}


@pytest.mark.parametrize("opened", [Store, lambda folder: write_store(folder).__enter__()])
def test_stores_that_cannot_be_read_are_refused_and_left_alone(tmp_path: Path, opened: Callable[[Path], Store]) -> None:
    with write_store(tmp_path) as store:
        add(store, "a")
    for version, words in ((99, "99, of a newer slth; this one reads 2"), (1, "1, of an older slth; this one reads 2")):
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
            database.execute(f"PRAGMA user_version = {version}")
        before = (tmp_path / FILE_NAME).read_bytes()
        with pytest.raises(InputError, match=f"has format {words}") as caught:
            opened(tmp_path)
        assert "\n" not in str(caught.value)
        assert (tmp_path / FILE_NAME).read_bytes() == before
    other = tmp_path / "other"
    other.mkdir()
    with closing(sqlite3.connect(other / FILE_NAME)) as database:
        database.execute("CREATE TABLE mine (x)")
    before = (other / FILE_NAME).read_bytes()
    with pytest.raises(InputError, match="is not a store of slth"):
        opened(other)
    assert (other / FILE_NAME).read_bytes() == before
    with closing(sqlite3.connect(other / FILE_NAME)) as database:
        database.execute("PRAGMA user_version = 2")  # as ours has
    before = (other / FILE_NAME).read_bytes()
    with pytest.raises(InputError, match="is not a store of slth"):
        opened(other)
    assert (other / FILE_NAME).read_bytes() == before
    (other / FILE_NAME).write_text("a diary, and longer than the header of a database: " * 10)
    with pytest.raises(InputError, match="damaged, or not a store"):
        opened(other)


def test_folders_that_hold_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no study\. Make one with: slth study run"):
        Store(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"), write_store(tmp_path / "file"):
        pass
    (tmp_path / "dir" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(InputError, match="cannot open or write"), write_store(tmp_path / "dir"):
        pass


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused to a writer; a reader reads it. Permissions do not bind root, so SQLite's own refusals stand in."""
    with write_store(tmp_path) as store:
        add(store, "a")
    honest: Callable[..., sqlite3.Connection] = sqlite3.connect

    def refuse(path: object, *arguments: Any, **options: Any) -> sqlite3.Connection:
        if "immutable" in str(path):
            return honest(path, *arguments, **options)
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with Store(tmp_path) as reader:
        assert len(reader.rows()) == 1
    with pytest.raises(InputError, match=r"unable to open database file. Choose another folder, or make this one"):
        write_store(tmp_path).__enter__()


FILL = """
import resource, signal, sys
from slth.errors import SlthError
from slth.experiments.engine.writable_store import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with write_store(sys.argv[1]) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
    try:
        for i in range(1000):
            store.add(key=str(i), study="s", point="{}", seed=i, result='{"x": "' + 10_000 * "x" + '"}')
    except SlthError as error:
        print(i, error, sep="|")
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the system has no limit on file sizes")
def test_a_full_disk_loses_no_row_that_was_committed(tmp_path: Path) -> None:
    """A limit on file sizes fails a write in its middle, as a full disk does."""
    done = subprocess.run([sys.executable, "-c", FILL, tmp_path], capture_output=True, text=True, check=True)
    count, _, words = done.stdout.strip().partition("|")
    assert 10 < int(count) < 1000
    assert "Rows committed so far are safe; make room, then run the same command again." in words
    assert "\n" not in words
    with Store(tmp_path) as store:
        assert [row.seed for row in store.rows()] == list(range(int(count)))
    with write_store(tmp_path) as store:
        add(store, "after")


def test_nothing_else_lies_in_the_folder(tmp_path: Path) -> None:
    with write_store(tmp_path) as store:
        add(store, "a")
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["rows.lock", "rows.sqlite"]


def without_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on SQLite works as on a file system where its processes cannot share memory: no log is possible."""
    honest: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connect(path: object, *arguments: Any, **options: Any) -> sqlite3.Connection:
        text = str(path) if str(path).startswith("file:") else Path(str(path)).absolute().as_uri()
        uri = f"{text}{'&' if '?' in text else '?'}vfs=unix-dotfile"
        return honest(uri, *arguments, **{**options, "uri": True})

    monkeypatch.setattr(sqlite3, "connect", connect)


def journal_mode(folder: Path) -> str:
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        return str(database.execute("PRAGMA journal_mode").fetchone()[0])


def test_where_no_log_is_possible_another_journal_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with write_store(tmp_path / "log") as store:
        add(store, "a")
        assert store.notice == ""
    assert journal_mode(tmp_path / "log") == "wal"
    without_shared_memory(monkeypatch)
    for folder in ("new", "log"):  # a new store, and one that was copied from a disk with a log
        with write_store(tmp_path / folder) as store:
            assert "is on a file system without shared memory, such as NFS" in store.notice
            assert "'delete'" in store.notice
            assert "\n" not in store.notice
            add(store, "b")
            with Store(tmp_path / folder) as reader:
                assert reader.statuses()["b"] == "done"
            add(store, "c")
        assert journal_mode(tmp_path / folder) == "delete"
    with Store(tmp_path / "log") as reader:
        assert sorted(reader.statuses()) == ["a", "b", "c"]
    monkeypatch.undo()
    with write_store(tmp_path / "log") as store:  # back on a disk with shared memory
        assert store.notice == ""
    assert journal_mode(tmp_path / "log") == "wal"


class _NoLog(sqlite3.Connection):
    """NFS as SQLite sees it: the locks that a log needs are refused."""

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        if statement == "PRAGMA journal_mode = WAL":
            error = sqlite3.OperationalError("locking protocol")
            error.sqlite_errorcode = sqlite3.SQLITE_PROTOCOL
            raise error
        return super().execute(statement, *arguments)


def test_a_refused_log_is_done_without_and_the_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Callable[..., sqlite3.Connection] = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *some, **more: honest(*some, **{"factory": _NoLog, **more}))
    said: list[str] = []
    spec = parse_spec('study = "tiny_study:STUDY"\n[point]\na = 1\n', label="t.toml", home=str(Path(__file__).parent))
    assert run_study(spec, tmp_path, workers=1, progress=Lines(said.append)).done == 1
    assert len(said) == 1
    assert "such as NFS" in said[0]
