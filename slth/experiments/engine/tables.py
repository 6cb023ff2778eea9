"""Write the rows of a folder as one table: CSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slth.errors import InputError
from slth.experiments.engine.store import Store
from slth.files import write_whole

# The columns of a row; those of its point, result and provenance follow.
COLUMNS = ("key", "study", "seed", "status", "seconds", "peak_memory", "error")


def export_csv(folder: str | Path, path: str | Path) -> int:
    """Write all rows of a folder as CSV: a column for each parameter and result, lists as JSON.

    Args:
        folder: where a study was run.
        path: where the file goes.

    Returns:
        The number of rows.
    """
    table = _flat_rows(folder)
    header = _header(table)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for row in table:
        writer.writerow([json.dumps(one) if isinstance(one := row.get(name, ""), list) else one for name in header])
    write_whole(path, text.getvalue())
    return len(table)


def export_parquet(folder: str | Path, path: str | Path) -> int:
    """Write all rows of a folder as Parquet: a column for each parameter and result.

    Args:
        folder: where a study was run.
        path: where the file goes.

    Returns:
        The number of rows.

    Raises:
        InputError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as cause:
        raise InputError(
            'Parquet needs pyarrow. Install it with: pip install "slth[parquet]", or use --csv.'
        ) from cause
    table = _flat_rows(folder)
    columns = {}
    for name in _header(table):
        values = [row.get(name) for row in table]
        try:
            columns[name] = pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):  # numbers in one row and text in another
            columns[name] = pyarrow.array([None if one is None else json.dumps(one) for one in values])
    data = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), data)
    write_whole(path, data.getvalue())
    return len(table)


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings into one with dotted names; the places in a list of mappings are names too.

    Args:
        value: ``{"a": {"b": 1}, "c": [{"d": 2}]}``, say.
        prefix: put before each name.

    Returns:
        ``{"a.b": 1, "c.0.d": 2}`` of the example.
    """
    flat: dict[str, Any] = {}
    for name, one in value.items():
        if isinstance(one, list) and any(isinstance(part, Mapping) for part in one):
            one = {str(i): part for i, part in enumerate(one)}
        flat |= flatten(one, f"{prefix}{name}.") if isinstance(one, Mapping) else {f"{prefix}{name}": one}
    return flat


def _flat_rows(folder: str | Path) -> list[dict[str, Any]]:
    with Store(folder) as store:
        rows = store.rows()
    return [
        {name: getattr(row, name) for name in COLUMNS}
        | flatten({"point": row.point, "result": row.result, "provenance": row.provenance})
        for row in rows
    ]


def _header(table: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in table for name in row)) or list(COLUMNS)
