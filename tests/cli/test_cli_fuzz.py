"""Hostile command lines: no traceback, the right exit code, nothing written by a line that was refused."""

from __future__ import annotations

import hashlib
import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_lines
import numpy as np
import pytest
import torch
import typer
from command_line import run
from hostile_lines import BROKEN, Line, commands, lines
from known_lines import VALID
from safetensors.torch import save_file
from torch import nn

from slth.cli.app import app
from slth.experiments.engine.runner import run_study
from slth.experiments.engine.spec import load_spec
from slth.networks import models
from slth.tickets import find_ticket

MODEL = """
import torch
from torch import nn

def trained():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU(), nn.Linear(3, 2)), torch.zeros(1, 1, 8, 8)
"""
# Where the long computations begin: a line that comes so far was accepted.
WORK = (
    "slth.apps.demo.train_digits",
    "slth.apps.doctor.examine",
    "slth.apps.reproduce.solve_weights",
    "slth.apps.reproduce._accuracy",
    "slth.experiments.contest.methods.train",
    "slth.experiments.engine.runner.complete",
    "slth.theory.certified.width",
    "slth.tickets.networks.export.export_ticket",
    "proofs_check.run.judge",
)
TREE = typer.main.get_command(app)
COMMANDS = commands(TREE)
Outcome = tuple[int | None, str]


class WorkBeganError(BaseException):
    """The line was accepted: its work would begin now."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that valid lines name, and the broken ones."""
    folder = tmp_path_factory.mktemp("whole")
    for name, content in BROKEN.items():
        (folder / name).write_bytes(content)
    (folder / "MODEL.py").write_text(MODEL)
    np.savez(folder / "INSTANCE.npz", vectors=np.sin(np.arange(12.0)).reshape(6, 2), target=np.ones(2))
    save_file(models.mlp(bias=False).state_dict(), folder / "MLP.safetensors")
    save_file(models.lenet5().state_dict(), folder / "LENET5.safetensors")
    (folder / "EMPTY").mkdir()
    (folder / "DATA" / "mnist").mkdir(parents=True)
    for name, shape in (("t10k-images-idx3-ubyte", (3, 28, 28)), ("t10k-labels-idx1-ubyte", (3,))):
        head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
        (folder / "DATA" / "mnist" / name).write_bytes(head + bytes(math.prod(shape)))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU(), nn.Linear(3, 10))
    find_ticket(model, width=40, input_range=(0, 1), example_input=torch.zeros(1, 1, 8, 8)).save(folder / "TICKET.slth")
    tiny = Path(hostile_lines.__file__).parent / "experiments" / "tiny_study.py"
    (folder / "tiny_study.py").write_bytes(tiny.read_bytes())
    (folder / "spec.toml").write_text('study = "tiny_study:STUDY"\n[point]\na = 1\n')
    run_study(load_spec(str(folder / "spec.toml")), folder / "STUDY", workers=1)
    return folder


@pytest.fixture(name="folder")
def _folder(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, in which the lines are called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLTH_DATA", str(whole / "DATA"))
    return Path(shutil.copytree(whole, tmp_path / "files"))


@pytest.fixture(name="enter")
def _enter(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[Line], Outcome]:
    """Call a line up to its work: exit code (None if its work began) and standard error."""

    def begin(*_: object, **__: object) -> Any:
        raise WorkBeganError

    # Typer makes the tree of commands anew for each line, which takes longer than the line.
    monkeypatch.setattr("slth.cli.app.app", TREE)
    for place in WORK:
        monkeypatch.setattr(place, begin)

    def enter(line: Line) -> Outcome:
        try:
            code, _, err = run(capsys, monkeypatch, *line.words)
        except WorkBeganError:
            return None, capsys.readouterr().err
        return code, err

    return enter


def test_there_are_enough_lines_and_a_valid_one_of_each_command(tmp_path: Path) -> None:
    made = {command: list(lines(command, parameters, tmp_path)) for command, parameters in COMMANDS.items()}
    assert sum(map(len, made.values())) >= 1500
    assert sum(bool(line.wrong) for found in made.values() for line in found) >= 1000
    assert set(VALID) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_valid_line_is_accepted(command: str, folder: Path, enter: Callable[[Line], Outcome]) -> None:
    first = next(lines(command, COMMANDS[command], folder))
    code, err = enter(first)
    assert code in (None, 0), err


@pytest.mark.parametrize(
    ("line", "code", "err", "fault"),
    [
        (Line(("x",)), 0, "", ""),
        (Line(("x",)), None, "", ""),
        (Line(("x",), "--n 'x'"), 0, "", "must be refused"),
        (Line(("x",), "--n 'x'"), None, "", "must be refused"),
        (Line(("x",), "--n 'x'"), 1, "error: n must be …\n", ""),
        (Line(("x",), "--n 'x'"), 1, "error: no such net, write:\n    import torch\n", ""),
        (Line(("x",), "--n 'x'"), 1, "", "not a line of error"),
        (Line(("x",), "--n 'x'"), 1, "Traceback …\nerror: no\n", "not a line of error"),
        (Line(("x",), "--n 'x'"), 2, "Usage: …\nError: no\n", ""),
        (Line(("x",), "--n 'x'"), 2, "error: no\n", "not an error of usage"),
        (Line(("x",)), 130, "", "exit code 130"),
    ],
)
def test_the_judge(line: Line, code: int | None, err: str, fault: str) -> None:
    assert fault in judge(line, code, err)
    assert bool(fault) == bool(judge(line, code, err))


@pytest.mark.parametrize("command", COMMANDS)
def test_hostile_lines(command: str, folder: Path, enter: Callable[[Line], Outcome]) -> None:
    faults = []
    for line in lines(command, COMMANDS[command], folder):
        for made in folder.glob("NEW*"):  # by a line that was accepted
            shutil.rmtree(made) if made.is_dir() else made.unlink()
        before = contents(folder)
        try:
            code, err = enter(line)
        except Exception as error:
            faults.append((line, f"traceback: {type(error).__name__}: {str(error)[:200]}"))
            continue
        if fault := judge(line, code, err):
            faults.append((line, fault))
        after = contents(folder)
        if code and after != before:
            faults.append((line, "refused, and the folder is changed"))
        if any(name.endswith(".tmp") or "/." in name for name in after):
            faults.append((line, "a temporary file is left"))
    assert not faults, "".join(
        f"\nslth {' '.join(map(repr, line.words))[:300]}\n  wrong: {line.wrong}\n  {fault}" for line, fault in faults
    )


def judge(line: Line, code: int | None, err: str) -> str:
    """What is wrong with the exit code and the message of a line; empty if nothing is."""
    if not line.wrong and code in (None, 0):
        return ""
    if code == 1:
        rows = err.splitlines()  # a line for each error; lines to copy are indented
        is_one = rows and rows[0].startswith("error: ") and all(row.startswith(("error: ", "    ")) for row in rows)
        return "" if is_one else f"not a line of error: {err!r}"
    if code == 2:
        return "" if "Error: " in err and "Traceback" not in err else f"not an error of usage: {err!r}"
    return f"exit code {code}, though it must be refused" if code in (None, 0) else f"exit code {code}"


def contents(folder: Path) -> dict[str, str]:
    """Path → hash, of everything in a folder."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }
