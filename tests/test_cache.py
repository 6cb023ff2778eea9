"""What is kept on disk belongs to one version of the code, and nothing depends on its being there."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from slth.apps import bound_curves
from slth.cache import cache_folder, code_digest, made_once, writable_cache_folder


def test_another_package_has_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLTH_CACHE", str(tmp_path))
    assert cache_folder("x", "slth.rss") == tmp_path / f"x-{code_digest('slth.rss')}"
    assert len({code_digest("slth.rss"), code_digest("slth.theory"), code_digest("slth.errors")}) == 3
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv("SLTH_CACHE")
    assert cache_folder("x", "slth.rss").parent.name == "slth"


def test_a_folder_that_cannot_be_written_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLTH_CACHE", str(tmp_path / "file"))
    assert writable_cache_folder("x", "slth.rss") is None
    monkeypatch.setattr(bound_curves, "PLOT_EPS", [0.2, 0.1])
    assert len(bound_curves.bound_curves(1, 0.5, 1.0)) == 6


def test_a_second_drawing_computes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLTH_CACHE", str(tmp_path))
    monkeypatch.setattr(bound_curves, "PLOT_EPS", [0.2, 0.1])
    first = bound_curves.bound_curves(1, 0.5, 1.0)
    monkeypatch.setattr("slth.theory.bounds.compute", lambda *_, **__: pytest.fail("it was computed again"))
    assert bound_curves.bound_curves(1, 0.5, 1.0) == first


def test_what_was_made_is_read_and_what_was_damaged_is_made_again(tmp_path: Path) -> None:
    made = []

    def make() -> bytes:
        made.append(1)
        return b"content"

    assert [made_once(tmp_path, "a", make) for _ in range(3)] == [b"content"] * 3
    assert len(made) == 1
    whole = (tmp_path / "a").read_bytes()
    for damaged in (whole[:-1], whole[:10], b"", whole[:40] + b"x"):
        (tmp_path / "a").write_bytes(damaged)
        assert made_once(tmp_path, "a", make) == b"content"
        assert (tmp_path / "a").read_bytes() == whole
    assert len(made) == 5
    assert made_once(None, "a", make) == b"content"
    assert len(made) == 6


def test_a_full_or_lockless_disk_costs_time_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("locking protocol")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    assert made_once(tmp_path, "a", lambda: b"content") == b"content"
    assert made_once(tmp_path, "a", lambda: pytest.fail("it is there")) == b"content"
    assert made_once(tmp_path / "nowhere", "a", lambda: b"content") == b"content"


ASK = """
import os, sys, time
import sqlite3
import subprocess
import sys
from pathlib import Path
from slth.cache import made_once

def make():
    with open(sys.argv[1] + "/made", "a") as log:
        log.write("x")
    time.sleep(0.5)
    return b"content"

print("ready", flush=True)
sys.stdin.readline()
print(made_once(Path(sys.argv[1]), "a", make))
"""


def test_of_two_processes_that_ask_at_once_one_works(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ASK, str(tmp_path)]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in both] == ["b'content'\n"] * 2
    assert (tmp_path / "made").read_text() == "x"
