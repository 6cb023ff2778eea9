"""What cannot come to a good end is refused before the work begins, in one line that says what to do."""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import run

from slth.errors import InputError
from slth.files import check_folder, check_writable
from slth.tickets import Ticket

Refuse = Callable[..., str]
NOT_UTF8 = os.fsdecode(b"bad\xff")
# Each command that writes a file: its arguments, with OUT for the path, and the suffix of that file.
WRITERS = {
    "ticket find": (["--model", "MODEL:trained", "--width", "100", "--out", "OUT"], ".slth"),
    "ticket export": (["TICKET", "--onnx", "OUT"], ".onnx"),
    "rss solve": (["INSTANCE", "--out", "OUT"], ".npz"),
    "bounds plot": (["--out", "OUT"], ".png"),
    "study export": (["STUDY", "--csv", "OUT"], ".csv"),
}
# What does the work of each, and must not be called.
WORKERS = (
    "slth.cli.arguments.load_target",
    "slth.tickets.load_ticket",
    "slth.rss.solve",
    "slth.apps.bound_curves.bound_curves",
    "slth.experiments.engine.tables.export_csv",
    "slth.experiments.contest.solo.run_one",
    "slth.apps.demo.train_digits",
)


@pytest.fixture(name="refuse")
def _refuse(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Call a command that must refuse before it works, and return its error line."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    for worker in WORKERS:
        monkeypatch.setattr(worker, work)

    def refuse(*arguments: object) -> str:
        code, out, err = run(capsys, monkeypatch, *map(str, arguments))
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert len(err.splitlines()) == 1
        return err

    return refuse


@pytest.mark.parametrize("command", WRITERS)
def test_a_file_that_cannot_be_written(
    command: str, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, suffix = WRITERS[command]
    np.savez(tmp_path / "i.npz", vectors=np.ones((3, 2)), target=np.ones(2))
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / "file").touch()
    places = {"INSTANCE": str(tmp_path / "i.npz")}

    def says(out: Path) -> str:
        before = sorted(tmp_path.rglob("*"))
        said = refuse(*command.split(), *({**places, "OUT": str(out)}.get(one, one) for one in options))
        assert sorted(tmp_path.rglob("*")) == before
        return said

    assert f"the folder {tmp_path}/nope does not exist. Make it first" in says(tmp_path / "nope" / f"x{suffix}")
    assert "it is a folder. Add the name of a file" in says(tmp_path / f"folder{suffix}")
    assert "Not a directory" in says(tmp_path / "file" / f"x{suffix}")
    assert "File name too long" in says(tmp_path / ("x" * 250 + suffix))
    said = says(tmp_path / (NOT_UTF8 + suffix))
    assert rf"bad\udcff{suffix}', which is not UTF-8. Choose another name." in said

    def denied(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", denied)
    assert "Permission denied. Choose another, or make this one writable." in says(tmp_path / f"x{suffix}")


def test_the_files_beside_a_ticket_can_be_written_too(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "x.md").mkdir()
    said = refuse("ticket", "find", "--model", "m.py:f", "--width", "9", "--out", tmp_path / "x.slth")
    assert f"cannot write {tmp_path}/x.md: it is a folder" in said
    assert "it is a folder" in refuse("ticket", "find", "--model", "m.py:f", "--width", "9", "--out", ".")


@pytest.mark.parametrize(
    "command", [["train", "edge-popup", "--data", "digits", "--arch", "digits"], ["demo"]], ids=["train", "demo"]
)
def test_a_folder_that_cannot_be_written(command: list[str], refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper" / "still"):
        assert f"cannot make the folder {folder}: Not a directory" in refuse(*command, "--out", folder)
    assert "not UTF-8" in refuse(*command, "--out", tmp_path / NOT_UTF8)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_the_demo_refuses_a_seed_first(seed: int, refuse: Refuse, tmp_path: Path) -> None:
    said = refuse("demo", "--seed", seed, "--out", tmp_path / "demo")
    assert f"seed must be an integer between 0 and {2**64 - 1}; got {seed}" in said
    assert list(tmp_path.iterdir()) == []


def test_a_check_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").write_text("old")
    for name in ("old", "new"):
        assert check_writable(tmp_path / name, "--out") == tmp_path / name
    check_folder(tmp_path / "a" / "b", "--out")
    monkeypatch.chdir(tmp_path)
    check_writable("new", "--out")
    check_folder("here", "--out")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("old", "old")]

    def denied(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", denied)
    with pytest.raises(InputError, match=r"cannot write to the folder .*: Permission denied"):
        check_folder(tmp_path, "--out")


def test_a_certificate_that_cannot_be_recorded(
    digits_ticket: Ticket, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = digits_ticket.save(tmp_path / "t.slth")

    def denied(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr(tempfile, "mkstemp", denied)
    monkeypatch.setattr("slth.tickets.certify_network", work)
    code, _, err = run(capsys, monkeypatch, "ticket", "certify", str(file))
    assert code == 1
    assert err.startswith("error: FILE, which --save writes to, must name a file")
    assert "Permission denied" in err


@pytest.mark.parametrize("stated", [None, (1.0, 0.0), (-math.inf, math.inf), (0.0, math.inf)])
def test_a_certificate_without_a_range_names_the_option(
    stated: tuple[float, float] | None,
    digits_ticket: Ticket,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    target = dataclasses.replace(digits_ticket.target, input_range=stated)
    file = dataclasses.replace(digits_ticket, target=target).save(tmp_path / "t.slth")
    for worker in ("slth.data.load", "slth.tickets.certify_network"):
        monkeypatch.setattr(worker, work)
    code, _, err = run(capsys, monkeypatch, "ticket", "certify", str(file), "--data", "digits")
    assert code == 1
    assert "Pass --input-range lo,hi, such as 0,1 for pixels" in err
    assert len(err.splitlines()) == 1
    for given in ("1,0", "0,inf", "nan,1"):
        code, _, err = run(capsys, monkeypatch, "ticket", "certify", str(file), "--input-range", given)
        assert (code, err) == (1, f"error: --input-range must be lo,hi with lo ≤ hi, both finite; got {given}.\n")


@pytest.mark.parametrize(
    ("typed", "says"),
    [("nope", "No such command 'nope'.\n"), ("tiket", "No such command 'tiket'. Did you mean 'ticket'?")],
)
def test_a_command_is_suggested_only_when_it_is_close(
    typed: str, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run(capsys, monkeypatch, typed)
    assert code == 2
    assert says in err
