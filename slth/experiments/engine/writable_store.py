"""Write the rows of a study: one process at a time, each row committed when its point ends.

The writer holds a lock that the system releases with its process, however that ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from slth.errors import InputError
from slth.experiments.engine.store import APPLICATION, FILE_NAME, VERSION, Store, explain_error, plain_errors

LOCK_NAME = "rows.lock"
# What rows have in common (commit, versions, machine, …) lies once in origins: it would be most of the file.
TABLES = f"""
BEGIN IMMEDIATE;
PRAGMA application_id = {APPLICATION};
CREATE TABLE runs (id INTEGER PRIMARY KEY, began TEXT NOT NULL, spec TEXT NOT NULL, command TEXT NOT NULL);
CREATE TABLE origins (id INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE);
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, study TEXT NOT NULL, point TEXT NOT NULL, seed INTEGER NOT NULL,
    status TEXT NOT NULL, result TEXT NOT NULL, error TEXT NOT NULL, seconds REAL NOT NULL, peak_memory REAL NOT NULL,
    time TEXT NOT NULL, origin INTEGER NOT NULL REFERENCES origins (id)
);
CREATE INDEX rows_by_study ON rows (study, status);
PRAGMA user_version = {VERSION};
COMMIT;
"""


class WritableStore(Store):
    """A store that this process alone may write; :func:`write_store` opens it.

    Args:
        folder: a folder that is there; a store is made in it if it holds none.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._database = sqlite3.connect(self.path, timeout=30.0, isolation_level=None)
        self._origins: dict[str, int] = {}
        with self._closed_on_error():
            if self._count_tables() == 0:
                self._database.executescript(TABLES)
            self._check_version()
            self.notice = self._choose_journal()

    def _count_tables(self) -> int:
        query = "SELECT count(*) FROM sqlite_master"
        self._alone = False
        try:
            return int(self._database.execute(query).fetchone()[0])
        except sqlite3.OperationalError as cause:
            if not _lacks_shared_memory(cause):
                raise
        # A store with a log that was copied from another disk: who holds it alone can read it without shared memory.
        self._alone = True
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        return int(self._database.execute(query).fetchone()[0])

    def _choose_journal(self) -> str:
        """Write ahead to a log where the file system allows it; where it does not, say in a line what is done."""
        try:
            (mode,) = self._database.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as cause:
            if not _lacks_shared_memory(cause):
                raise
            mode = ""
        if mode != "wal" or self._alone:
            (mode,) = self._database.execute("PRAGMA journal_mode = DELETE").fetchone()
            self._database.execute("PRAGMA locking_mode = NORMAL")  # others may read while this process writes
        if mode == "wal":
            self._database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last rows, a kill none
            return ""
        # A journal is safe against kills if it reaches the disk before the rows do.
        self._database.execute("PRAGMA synchronous = FULL")
        return (
            f"{self.path.parent} is on a file system without shared memory, such as NFS: SQLite's journal has the mode "
            f"{mode!r} here. Rows are as safe, and each takes a little longer to write."
        )

    def begin(self, *, spec: str, command: str) -> None:
        """Note that a run begins.

        Args:
            spec: its spec, as JSON.
            command: what the user typed.
        """
        with plain_errors(self.path):
            self._database.execute("INSERT INTO runs (began, spec, command) VALUES (?, ?, ?)", (_now(), spec, command))

    def add(
        self,
        *,
        key: str,
        study: str,
        point: str,
        seed: int,
        result: str = "{}",
        error: str = "",
        seconds: float = 0.0,
        peak_memory: float = 0.0,
        origin: str = "{}",
    ) -> None:
        """Commit a row. It replaces the row of the same key, if there is one.

        Args:
            key: unique.
            study: name of the study.
            point: parameters of the point, as JSON.
            seed: seed of the point.
            result: what the study measured, as JSON.
            error: a traceback; empty if the point is done.
            seconds: wall time of the point.
            peak_memory: bytes.
            origin: the provenance, but for the time, as JSON.
        """
        with plain_errors(self.path):
            if origin not in self._origins:
                self._database.execute("INSERT OR IGNORE INTO origins (content) VALUES (?)", (origin,))
                found = self._database.execute("SELECT id FROM origins WHERE content = ?", (origin,))
                (self._origins[origin],) = found.fetchone()
            status = "failed" if error else "done"
            self._database.execute(
                "INSERT OR REPLACE INTO rows (key, study, point, seed, status, result, error, seconds, peak_memory, "
                "time, origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (key, study, point, seed, status, result, error, seconds, peak_memory, _now(), self._origins[origin]),
            )


@contextmanager
def write_store(folder: str | Path) -> Iterator[WritableStore]:
    """Open the store of a folder for this process alone to write.

    Args:
        folder: where the rows lie; folder and store are made if they are not there.

    Yields:
        The store.

    Raises:
        InputError: another process is writing it, the folder cannot be written, the disk is full, or the store has
            another format.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise InputError(f"cannot make the folder {folder}: {cause.strerror}. Choose another with --out.") from cause
    # SQLite's own locks are released with the process and work wherever SQLite does.
    with plain_errors(folder / LOCK_NAME):
        lock = sqlite3.connect(folder / LOCK_NAME, timeout=0.0, isolation_level=None)
    with closing(lock):
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as cause:
            if cause.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise InputError(
                    f"another process is writing {folder}. Wait for it, or look on with: slth study status {folder}"
                ) from cause
            raise explain_error(folder / LOCK_NAME, cause) from cause
        with plain_errors(folder / FILE_NAME):
            store = WritableStore(folder)
        with store:
            yield store


def _lacks_shared_memory(cause: sqlite3.OperationalError) -> bool:
    """Whether this may be the error of a file system on which the processes of SQLite cannot share memory."""
    codes = (sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF in codes


def _now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
