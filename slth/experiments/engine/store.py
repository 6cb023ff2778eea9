"""Read the rows of a study: an SQLite file in a folder, with one writer and any number of readers.

Every row is committed when its point ends, so that a process that is killed at any moment leaves what it had finished.
Readers see what is committed. Who writes: :mod:`slth.experiments.engine.writable_store`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from slth.errors import DataError, InputError
from slth.experiments.engine.study import Row

FILE_NAME = "rows.sqlite"
VERSION = 2
# "slth" in ASCII, written into the file, so that the database of another program is not taken for a store.
APPLICATION = 0x736C7468


class Store:
    """The rows in a folder, to read.

    Args:
        folder: where a study was run.

    Raises:
        DataError: the folder holds no store.
        InputError: the store has another format, or cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / FILE_NAME
        if not self.path.is_file():
            raise DataError(f"{folder} holds no study. Make one with: slth study run NAME --out {folder}")
        with plain_errors(self.path):
            self._database = _connect_to_read(self.path)
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
        """Read the rows that fit every condition given, in the order in which their points ended.

        Args:
            study: name of the study.
            status: ``done`` or ``failed``.
            seed: seed of the point.
            where: parameter → value; the point has all these values.
            key: how the key of the row begins.

        Returns:
            The rows.
        """
        terms, values = ["1"], list[Any]()
        for column, value in (("study", study), ("status", status), ("seed", seed)):
            if value is not None:
                terms.append(f"{column} = ?")
                values.append(value)
        for name, value in (where or {}).items():
            # SQLite reads both sides from JSON, so that 4 and 4.0 are the same number.
            terms.append("json_extract(point, ?) IS json_extract(?, '$')")
            values += [f'$."{name}"', json.dumps(value)]
        if key is not None:
            terms.append("substr(key, 1, ?) = ?")
            values += [len(key), key]
        query = (
            "SELECT key, study, point, seed, status, result, error, seconds, peak_memory, time, origin FROM rows "
            f"WHERE {' AND '.join(terms)} ORDER BY id"
        )
        with plain_errors(self.path):
            found = self._database.execute(query, values).fetchall()
            origins = {number: json.loads(text) for number, text in self._database.execute("SELECT * FROM origins")}
        # Decoding takes most of the time: all texts are decoded at once, and a point once for all its seeds.
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
        """Read key → status, without the rows."""
        with plain_errors(self.path):
            return dict(self._database.execute("SELECT key, status FROM rows"))

    def runs(self) -> list[dict[str, Any]]:
        """Read every start of a run: ``began``, ``spec`` as its fields, ``command``."""
        with plain_errors(self.path):
            found = self._database.execute("SELECT began, spec, command FROM runs ORDER BY id").fetchall()
        return [{"began": began, "spec": json.loads(spec), "command": command} for began, spec, command in found]

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        # An open connection may hold locks for as long as a traceback is kept.
        try:
            yield
        except BaseException:
            self._database.close()
            raise

    def _check_version(self) -> None:
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        # The database of another program is refused, whatever its version says.
        if application != APPLICATION or version < 1:
            raise InputError(f"{self.path} is not a store of slth. Choose another folder.")
        if version > VERSION:
            raise InputError(
                f"{self.path} has format {version}, of a newer slth; this one reads {VERSION}. Update slth."
            )
        if version < VERSION:
            raise InputError(
                f"{self.path} has format {version}, of an older slth; this one reads {VERSION}. Run the study again in "
                "another folder."
            )


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turn an exception of SQLite into an :class:`InputError` of one line that says what to do.

    Args:
        path: the file that is read or written.
    """
    try:
        yield
    except sqlite3.Error as cause:
        raise explain_error(path, cause) from cause


def explain_error(path: Path, cause: sqlite3.Error) -> InputError:
    """Say in one line what SQLite could not do, and what to do next.

    Args:
        path: the file that is read or written.
        cause: SQLite's exception.

    Returns:
        The error to raise.
    """
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return InputError(
            f"cannot write {path}: {cause}. Rows committed so far are safe; make room, then run the same command again."
        )
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return InputError(f"{path} is damaged, or not a store of slth ({cause}). Move it away or restore a copy.")
    return InputError(f"cannot open or write {path}: {cause}. Choose another folder, or make this one writable.")


def _decoded(texts: list[str]) -> list[Any]:
    return list(json.loads(f"[{','.join(texts)}]"))


def _connect_to_read(path: Path) -> sqlite3.Connection:
    uri = path.resolve().as_uri()
    try:
        database = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=30.0, isolation_level=None)
        database.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        log = path.with_name(f"{FILE_NAME}-wal")
        if log.is_file() and log.stat().st_size:
            raise  # reading the file alone would pass over the rows that are still in the log
        # SQLite cannot open its log beside a store in a folder that cannot be written, such as an archive. Nobody
        # writes that store, so the file may be read as it is.
        database = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
        database.execute("SELECT count(*) FROM sqlite_master")
    return database
