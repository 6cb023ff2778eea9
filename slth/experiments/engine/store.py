"""The rows of a study in a folder: SQLite in WAL mode, one writer, any number of readers.

Every row is committed as it comes, so that a process killed at any moment leaves what it had finished. The writer
holds a lock that the system releases with its process, however that ends; readers see what is committed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from slth.errors import DataError, InputError
from slth.experiments.engine.study import Row

NAME, LOCK = "rows.sqlite", "rows.lock"
VERSION = 2
# "slth", so that another program's database is not taken for a store.
APPLICATION = 0x736C7468

TABLES = f"""
PRAGMA application_id = {APPLICATION};
CREATE TABLE runs (id INTEGER PRIMARY KEY, began TEXT NOT NULL, spec TEXT NOT NULL, command TEXT NOT NULL);
CREATE TABLE origins (id INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE);
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, study TEXT NOT NULL, point TEXT NOT NULL, seed INTEGER NOT NULL,
    status TEXT NOT NULL, result TEXT NOT NULL, error TEXT NOT NULL, seconds REAL NOT NULL, peak_memory REAL NOT NULL,
    time TEXT NOT NULL, origin INTEGER NOT NULL REFERENCES origins (id)
);
CREATE INDEX rows_by_study ON rows (study, status);
"""
# version → what makes the next one of it.
MIGRATIONS = {
    # Version 1 repeated the provenance, time included, in every row: most of the file.
    1: """
CREATE TABLE origins (id INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE);
INSERT OR IGNORE INTO origins (content) SELECT json_remove(provenance, '$.time') FROM rows;
ALTER TABLE rows RENAME TO old;
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, study TEXT NOT NULL, point TEXT NOT NULL, seed INTEGER NOT NULL,
    status TEXT NOT NULL, result TEXT NOT NULL, error TEXT NOT NULL, seconds REAL NOT NULL, peak_memory REAL NOT NULL,
    time TEXT NOT NULL, origin INTEGER NOT NULL REFERENCES origins (id)
);
INSERT INTO rows SELECT old.id, key, study, point, seed, status, result, error, seconds, peak_memory,
    coalesce(json_extract(provenance, '$.time'), ''), origins.id
    FROM old JOIN origins ON origins.content = json_remove(provenance, '$.time');
DROP TABLE old;
CREATE INDEX rows_by_study ON rows (study, status);
"""
}


class Store:
    """Rows in a folder, to read, or with :func:`write_store` to write.

    Raises:
        DataError: the folder holds no store. InputError: a store of a newer slth, or one that cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / NAME
        if not self.path.is_file():
            raise DataError(f"{folder} holds no study. Make one with: slth study run NAME --out {folder}")
        with _clear(self.path):
            self._database = _connect(self.path, read_only=True)
            with self._closed_on_error():
                self._check_version()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._database.close()

    def rows(
        self,
        *,
        study: str | None = None,
        status: str | None = None,
        seed: int | None = None,
        where: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> list[Row]:
        """Rows in the order they were finished.

        Args:
            study, status, seed: only those of it. where: only points whose parameters have these values.
            key: only keys that begin so.
        """
        terms, values = ["1"], list[Any]()
        for column, value in (("study", study), ("status", status), ("seed", seed)):
            if value is not None:
                terms.append(f"{column} = ?")
                values.append(value)
        for name, value in (where or {}).items():
            # Both sides pass through the same reader of numbers.
            terms.append("json_extract(point, ?) IS json_extract(?, '$')")
            values += [f'$."{name}"', json.dumps(value)]
        if key is not None:
            terms.append("substr(key, 1, ?) = ?")
            values += [len(key), key]
        query = (
            "SELECT key, study, point, seed, status, result, error, seconds, peak_memory, time, origin FROM rows "
            f"WHERE {' AND '.join(terms)} ORDER BY id"
        )
        with _clear(self.path):
            found = self._database.execute(query, values).fetchall()
            origins = {number: json.loads(text) for number, text in self._database.execute("SELECT * FROM origins")}
        # Texts are decoded together, and the point that seeds share once: most of the time goes there.
        texts = list(dict.fromkeys(one[2] for one in found))
        points = dict(zip(texts, _decoded(texts), strict=True))
        results = _decoded([one[5] for one in found])
        return [
            Row(
                key=one[0],
                study=one[1],
                point=points[one[2]],
                seed=one[3],
                status=one[4],
                result=result,
                error=one[6],
                seconds=one[7],
                peak_memory=one[8],
                provenance={**origins[one[10]], "time": one[9]},
            )
            for one, result in zip(found, results, strict=True)
        ]

    def statuses(self) -> dict[str, str]:
        """key → status, without the rows."""
        with _clear(self.path):
            return dict(self._database.execute("SELECT key, status FROM rows"))

    def runs(self) -> list[dict[str, Any]]:
        """Every start of a run: ``began``, ``spec`` as JSON, ``command``."""
        with _clear(self.path):
            found = self._database.execute("SELECT began, spec, command FROM runs ORDER BY id").fetchall()
        return [{"began": began, "spec": json.loads(spec), "command": command} for began, spec, command in found]

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """An open connection may hold locks for as long as a traceback is kept."""
        try:
            yield
        except BaseException:
            self._database.close()
            raise

    def _version(self) -> int:
        """Of a store; another program's database is refused, whatever its version says."""
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION or version < 1:
            raise InputError(f"{self.path} is not a store of slth. Choose another folder.")
        return int(version)

    def _check_version(self) -> None:
        version = self._version()
        if version > VERSION:
            raise InputError(
                f"{self.path} has format {version}, of a newer slth; this one reads up to {VERSION}. Update."
            )
        if version < VERSION:
            self._database.close()
            with write_store(self.path.parent):
                pass  # opening it to write brings it up to date
            self._database = _connect(self.path, read_only=True)


class WritableStore(Store):
    """A store that this process alone may write; see :func:`write_store`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._database = _connect(self.path, read_only=False)
        self._origins: dict[str, int] = {}
        with self._closed_on_error():
            self._prepare()

    def begin(self, *, spec: str, command: str) -> None:
        """Note that a run begins, of ``spec`` as JSON."""
        with _clear(self.path):
            self._database.execute("INSERT INTO runs (began, spec, command) VALUES (?, ?, ?)", (now(), spec, command))

    def add(
        self, *, key: str, study: str, point: str, seed: int, result: str = "{}", error: str = "", seconds: float = 0.0,
        peak_memory: float = 0.0, origin: str = "{}",
    ) -> None:  # fmt: skip
        """Commit a row; ``point``, ``result`` and ``origin`` are JSON text. A failed row gives way to a later one."""
        with _clear(self.path):
            if origin not in self._origins:
                self._database.execute("INSERT OR IGNORE INTO origins (content) VALUES (?)", (origin,))
                found = self._database.execute("SELECT id FROM origins WHERE content = ?", (origin,))
                (self._origins[origin],) = found.fetchone()
            status = "failed" if error else "done"
            self._database.execute(
                "INSERT OR REPLACE INTO rows (key, study, point, seed, status, result, error, seconds, peak_memory, "
                "time, origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (key, study, point, seed, status, result, error, seconds, peak_memory, now(), self._origins[origin]),
            )

    def _prepare(self) -> None:
        if self._database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            self._script(TABLES, VERSION)
        version = self._version()
        while version in MIGRATIONS and version < VERSION:
            self._script(MIGRATIONS[version], version + 1)
            version += 1
        self._check_version()
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last rows, a kill none

    def _script(self, script: str, version: int) -> None:
        """All of it or nothing, with the version it makes."""
        self._database.executescript(f"BEGIN IMMEDIATE;{script}PRAGMA user_version = {version};COMMIT;")


@contextmanager
def write_store(folder: str | Path) -> Iterator[WritableStore]:
    """The store of a folder, made if there is none, for this process alone to write.

    Raises:
        InputError: another process is writing it, the folder cannot be written, the disk is full, a newer store.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise InputError(f"cannot make the folder {folder}: {cause.strerror}. Choose another with --out.") from cause
    # SQLite's own locks are released with the process and work wherever SQLite does.
    with _clear(folder / LOCK):
        lock = sqlite3.connect(folder / LOCK, timeout=0.0, isolation_level=None)
    with closing(lock):
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as cause:
            if cause.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise InputError(
                    f"another process is writing {folder}. Wait for it, or look on with: slth study status {folder}"
                ) from cause
            raise _cannot_write(folder / LOCK, cause) from cause
        with _clear(folder / NAME):
            store = WritableStore(folder)
        with store:
            yield store


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _decoded(texts: list[str]) -> list[Any]:
    return list(json.loads(f"[{','.join(texts)}]"))


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        return sqlite3.connect(path, timeout=30.0, isolation_level=None)
    uri = path.resolve().as_uri()
    try:
        database = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=30.0, isolation_level=None)
        database.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        log = path.with_name(f"{NAME}-wal")
        if log.is_file() and log.stat().st_size:
            raise  # rows that are still in the log would be passed over
        # A WAL store in a folder that cannot be written, such as an archive: nobody writes it, so it may be read as is.
        database = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
        database.execute("SELECT count(*) FROM sqlite_master")
    return database


@contextmanager
def _clear(path: Path) -> Iterator[None]:
    """SQLite's complaints as one line of ours."""
    try:
        yield
    except sqlite3.Error as cause:
        raise _cannot_write(path, cause) from cause


def _cannot_write(path: Path, cause: sqlite3.Error) -> InputError:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return InputError(
            f"cannot write {path}: {cause}. Rows committed so far are safe; make room, then run the same command again."
        )
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return InputError(f"{path} is damaged, or not a store of slth ({cause}). Move it away or restore a copy.")
    return InputError(f"cannot open or write {path}: {cause}. Choose another folder, or make this one writable.")
