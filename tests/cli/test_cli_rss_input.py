"""Hostile instances: every one is refused in one line, and nothing is written."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run

GOOD = {"vectors": np.ones((3, 2)), "target": np.ones(2)}


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, data in members.items():
            made.writestr(f"{name}.npy", data)


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def claimed(shape: tuple[int, ...]) -> bytes:
    """A file whose header claims a shape, with hardly any data."""
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + b"\0" * 64


def huge(path: Path) -> None:
    archive(path, {"vectors": claimed((10**9, 10**9)), "target": npy(np.ones(2))})


def large(path: Path) -> None:
    archive(path, {"vectors": claimed((10**7, 100)), "target": npy(np.ones(2))})


def negative(path: Path) -> None:
    archive(path, {"vectors": claimed((-1, 2)), "target": npy(np.ones(2))})


def encrypted(path: Path) -> None:
    archive(path, {name: npy(array) for name, array in GOOD.items()})
    raw = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = raw.find(mark)
        while place >= 0:
            raw[place + flags] |= 1
            place = raw.find(mark, place + 4)
    path.write_bytes(bytes(raw))


def unknown_compression(path: Path) -> None:
    archive(path, {name: npy(array) for name, array in GOOD.items()})
    raw = bytearray(path.read_bytes())
    for mark, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = raw.find(mark)
        while place >= 0:
            raw[place + method : place + method + 2] = struct.pack("<H", 77)
            place = raw.find(mark, place + 4)
    path.write_bytes(bytes(raw))


def corrupt(path: Path) -> None:
    archive(path, {"vectors": npy(np.random.default_rng(0).standard_normal((50, 2))), "target": npy(np.ones(2))})
    raw = bytearray(path.read_bytes())
    raw[120:160] = b"\xff" * 40
    path.write_bytes(bytes(raw))


def not_an_array(path: Path) -> None:
    archive(path, {"vectors": b"hello", "target": npy(np.ones(2))})


@pytest.mark.parametrize(
    "make", [huge, large, negative, encrypted, unknown_compression, corrupt, not_an_array],
    ids=lambda make: make.__name__,
)  # fmt: skip
def test_hostile_archives(
    make: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "i.npz"
    make(path)
    refused(path, "Write it with numpy.savez", tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"cardinality": np.inf}, "cardinality must be one whole number; got float64"),
        ({"cardinality": 2.7}, "cardinality must be one whole number"),
        ({"cardinality": np.array([1, 2])}, "of shape (2,)"),
        ({"cardinality": True}, "cardinality must be one whole number; got bool"),
        ({"cardinality": "2"}, "cardinality must be one whole number"),
        ({"vectors": np.ones((3, 2)) * 1j}, "vectors must be an array of real numbers; got complex128"),
        (
            {"vectors": np.ones((3, 2), dtype="datetime64[s]")},
            "vectors must be an array of real numbers; got datetime64",
        ),
        ({"vectors": np.array([["1", "2"]])}, "vectors must be an array of real numbers; got <U1"),
        ({"vectors": np.ones((3, 2), dtype=bool)}, "vectors must be an array of real numbers; got bool"),
        ({"target": np.array([b"1", b"2"])}, "target must be an array of real numbers; got |S1"),
    ],
)
def test_arrays_of_another_type(
    arrays: dict[str, Any],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    np.savez(tmp_path / "i.npz", **{**GOOD, **arrays})
    refused(tmp_path / "i.npz", says, tmp_path, capsys, monkeypatch)


def refused(
    path: Path, says: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "out.npz"
    code, _, err = run(capsys, monkeypatch, "rss", "solve", str(path), "--out", str(out))
    assert code == 1
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert says in err
    assert not out.exists()
