"""Files are written whole or not at all."""

from __future__ import annotations

import os

import pytest

from slth.errors import InputError
from slth.files import write_whole


@pytest.mark.parametrize("existing", [False, True])
def test_a_failed_write_leaves_what_was_there(digits_ticket, existing, monkeypatch, tmp_path):
    path = tmp_path / "t.slth"
    if existing:
        path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"cannot write .*t\.target\.safetensors: No space left"):
        digits_ticket.save(path)
    assert [p.name for p in tmp_path.iterdir()] == (["t.slth"] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_an_interrupted_write_leaves_nothing(monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "report.txt", "half")
    assert list(tmp_path.iterdir()) == []


def test_writing_where_no_folder_is_says_so(digits_ticket, tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*No such file or directory"):
        digits_ticket.save(tmp_path / "missing" / "t.slth")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="cannot write"):
        digits_ticket.save(tmp_path)


def test_written_files_can_be_read_by_others(tmp_path):
    path = write_whole(tmp_path / "report.txt", "größer\n")
    assert path.read_text(encoding="utf-8") == "größer\n"
    assert path.stat().st_mode & 0o777 == 0o644
