"""The store: rows as they were written, one writer, many readers, old and new formats, disks that are full."""

from __future__ import annotations

import json
import math
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from slth.errors import DataError, InputError
from slth.experiments.engine import store as module
from slth.experiments.engine.store import APPLICATION, NAME, VERSION, Store, write_store


def add(store, key: str, **values) -> None:
    point = json.dumps(values.pop("point", {"D": 4}))
    store.add(key=key, study=values.pop("study", "s"), point=point, seed=values.pop("seed", 0), **values)


def test_rows_come_back_as_they_were(tmp_path):
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


def test_a_later_row_takes_the_place_of_its_key(tmp_path):
    with write_store(tmp_path) as store:
        add(store, "a", error="no")
        add(store, "b")
        add(store, "a", result='{"x": 1}')
        assert store.statuses() == {"b": "done", "a": "done"}
        assert [(row.key, row.result) for row in store.rows()] == [("b", {}), ("a", {"x": 1})]


def test_filters(tmp_path):
    points = [
        {"D": 4, "eps": 0.1, "on": True, "name": "a", "n": None},
        {"D": 9, "eps": 1 / 3, "on": False, "name": 'q"'},
    ]
    with write_store(tmp_path) as store:
        for i, point in enumerate(points):
            for seed in range(2):
                add(store, f"k{i}{seed}", point=point, seed=seed, study="st"[i], error="" if seed else "no")

        def keys(**filters) -> list[str]:
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


def test_a_second_writer_is_refused_while_readers_read(tmp_path):
    with write_store(tmp_path) as store:
        add(store, "a")
        with pytest.raises(InputError, match=r"another process is writing .* slth study status"), write_store(tmp_path):
            pass
        code = (
            "import sys; from slth.experiments.engine.store import *\n"
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


def test_the_lock_dies_with_its_process(tmp_path):
    code = (
        "import os, sys; from slth.experiments.engine.store import *\n"
        "with write_store(sys.argv[1]) as store:\n"
        "    store.add(key='a', study='s', point='{}', seed=0)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    with write_store(tmp_path) as store:
        assert store.statuses() == {"a": "done"}


# Format 1 as it was written, with two rows of one origin and one of another.
VERSION_1 = f"""
PRAGMA application_id = {APPLICATION};
CREATE TABLE runs (id INTEGER PRIMARY KEY, began TEXT NOT NULL, spec TEXT NOT NULL, command TEXT NOT NULL);
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, study TEXT NOT NULL, point TEXT NOT NULL, seed INTEGER NOT NULL,
    status TEXT NOT NULL, result TEXT NOT NULL, error TEXT NOT NULL, seconds REAL NOT NULL, peak_memory REAL NOT NULL,
    provenance TEXT NOT NULL
);
INSERT INTO runs VALUES (1, '2026-01-01T00:00:00+00:00', '{{"study": "s"}}', 'slth study run s');
INSERT INTO rows VALUES
    (5, 'a', 's', '{{"D": 4}}', 0, 'done', '{{"x": 1}}', '', 0.5, 1e6, '{{"commit": "c", "time": "t1"}}'),
    (6, 'b', 's', '{{"D": 4}}', 1, 'failed', '{{}}', 'why', 0.0, 0.0, '{{"commit": "c", "time": "t2"}}'),
    (7, 'c', 's', '{{"D": 9}}', 0, 'done', '{{"x": 2}}', '', 0.5, 1e6, '{{"commit": "d"}}');
PRAGMA user_version = 1;
"""


@pytest.mark.parametrize("writer", [False, True])
def test_version_1_is_brought_up_to_date(tmp_path, writer):
    with closing(sqlite3.connect(tmp_path / NAME)) as database:
        database.executescript(VERSION_1)
    if writer:
        with write_store(tmp_path) as store:
            add(store, "d")
    with Store(tmp_path) as store:
        rows, runs = store.rows(), store.runs()
    assert [row.key for row in rows] == ["a", "b", "c", "d"][: 3 + writer]
    assert [row.provenance for row in rows[:3]] == [
        {"commit": "c", "time": "t1"}, {"commit": "c", "time": "t2"}, {"commit": "d", "time": ""},
    ]  # fmt: skip
    assert (rows[0].result, rows[1].error, rows[2].point) == ({"x": 1}, "why", {"D": 9})
    assert runs[0]["command"] == "slth study run s"
    with closing(sqlite3.connect(tmp_path / NAME)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
        columns = database.execute("SELECT name FROM pragma_table_info('rows')").fetchall()
        fresh = tmp_path / "fresh"
        with write_store(fresh), closing(sqlite3.connect(fresh / NAME)) as other:
            assert columns == other.execute("SELECT name FROM pragma_table_info('rows')").fetchall()


def test_a_migration_is_done_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    with closing(sqlite3.connect(tmp_path / NAME)) as database:
        database.executescript(VERSION_1)
    honest = module.MIGRATIONS[1]
    monkeypatch.setitem(module.MIGRATIONS, 1, honest + "INSERT INTO nowhere VALUES (1);")
    with pytest.raises(InputError, match="no such table: nowhere"), write_store(tmp_path):
        pass
    monkeypatch.setitem(module.MIGRATIONS, 1, honest)
    with Store(tmp_path) as store:
        assert len(store.rows()) == 3


@pytest.mark.parametrize("opened", [Store, lambda folder: write_store(folder).__enter__()])
def test_stores_that_cannot_be_read_are_refused_and_left_alone(tmp_path, opened):
    with write_store(tmp_path) as store:
        add(store, "a")
    with closing(sqlite3.connect(tmp_path / NAME)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match=r"has format 99, of a newer slth; this one reads up to 2"):
        opened(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    with closing(sqlite3.connect(other / NAME)) as database:
        database.execute("CREATE TABLE mine (x)")
    before = (other / NAME).read_bytes()
    with pytest.raises(InputError, match="is not a store of slth"):
        opened(other)
    assert (other / NAME).read_bytes() == before
    with closing(sqlite3.connect(other / NAME)) as database:
        database.execute("PRAGMA user_version = 1")  # as our first format has
    before = (other / NAME).read_bytes()
    with pytest.raises(InputError, match="is not a store of slth"):
        opened(other)
    assert (other / NAME).read_bytes() == before
    (other / NAME).write_text("a diary, and longer than the header of a database: " * 10)
    with pytest.raises(InputError, match="damaged, or not a store"):
        opened(other)


def test_folders_that_hold_none(tmp_path):
    with pytest.raises(DataError, match=r"holds no study\. Make one with: slth study run"):
        Store(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"), write_store(tmp_path / "file"):
        pass
    (tmp_path / "dir" / NAME).mkdir(parents=True)
    with pytest.raises(InputError, match="cannot open or write"), write_store(tmp_path / "dir"):
        pass


def test_a_read_only_folder(tmp_path, monkeypatch):
    """Refused to a writer; a reader reads it. Permissions do not bind root, so SQLite's own refusals stand in."""
    with write_store(tmp_path) as store:
        add(store, "a")
    honest = sqlite3.connect

    def refuse(path, *arguments, **options):
        if "immutable" in str(path):
            return honest(path, *arguments, **options)
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with Store(tmp_path) as store:
        assert len(store.rows()) == 1
    with pytest.raises(InputError, match=r"unable to open database file. Choose another folder, or make this one"):
        write_store(tmp_path).__enter__()


FILL = """
import resource, signal, sys
from slth.errors import SlthError
from slth.experiments.engine.store import *
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
def test_a_full_disk_loses_no_row_that_was_committed(tmp_path):
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


def test_nothing_else_lies_in_the_folder(tmp_path):
    with write_store(tmp_path) as store:
        add(store, "a")
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["rows.lock", "rows.sqlite"]
