"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slth.errors import InputError
from slth.files import write_whole
from slth.tickets import Ticket


@pytest.mark.parametrize("existing", [False, True])
def test_a_failed_write_leaves_what_was_there(
    digits_ticket: Ticket, existing: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "t.slth"
    if existing:
        path.write_bytes(b"old")

    replace = os.replace

    def full(source: str, target: str | Path) -> None:
        if Path(target).parent != tmp_path:  # numba writes its cache the same way
            return replace(source, target)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"cannot write .*t\.target\.safetensors: No space left"):
        digits_ticket.save(path)
    assert [p.name for p in tmp_path.iterdir()] == (["t.slth"] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_an_interrupted_write_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "report.txt", "half")
    assert list(tmp_path.iterdir()) == []


def test_writing_where_no_folder_is_says_so(digits_ticket: Ticket, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*No such file or directory"):
        digits_ticket.save(tmp_path / "missing" / "t.slth")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="cannot write"):
        digits_ticket.save(tmp_path)


def test_written_files_can_be_read_by_others(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "report.txt", "größer\n")
    assert path.read_text(encoding="utf-8") == "größer\n"
    assert path.stat().st_mode & 0o777 == 0o644
