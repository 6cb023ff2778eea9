"""What survives ``kill -9`` of find, train, study run and export at random moments: ``python -m benchmarks.soak``.

Each command first runs undisturbed, which gives its duration and its result. Then it is killed with its whole group of
processes, again and again in the same folder, each time at a random moment between 0.4 and 1.1 of that duration; before
that it imports. After every kill each file that has its final name must load, and a ticket must verify. After every
fourth kill, and after the last, the command runs to its end: the folder must then hold what the undisturbed run gave,
times and the machine's clock left out. A write that was killed may leave a file whose name begins with a dot; these are
counted, and no command reads them.

It takes about six minutes on two busy cores, and 100 MB of disk. ``--kills 4`` takes two. The moments follow from
``--seed``; what is under way at a moment depends on the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import safetensors.torch
import torch

from benchmarks.record import print_table, write_json
from slth.experiments.engine.store import FILE_NAME, Store
from slth.tickets import load_ticket

KILLS_A_ROUND = 4
# Kills come between these parts of the undisturbed duration. Before them nothing has been written yet.
MOMENTS = (0.4, 1.1)
# Workers look for their parent twice a second.
LONGEST_GOODBYE = 10.0
MODEL = """
import torch
from torch import nn

def trained():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)), torch.zeros(1, 1, 8, 8)
"""
SPEC = """
study = "width"
seeds = 2
[point]
epochs = 2
[[grid]]
width = [200, 400, 800]
"""
FIND = ("ticket", "find", "--model", "net.py:trained", "--width", "4000", "--out", "out/t.slth")
TRAIN = ("train", "edge-popup", "--arch", "digits", "--data", "digits", "--density", "0.3", "--epochs", "8",
         "--finetune", "4", "--out", "out/run")  # fmt: skip
COMMANDS: dict[str, tuple[str, ...]] = {
    "ticket find": FIND,
    "train": TRAIN,
    "study run": ("study", "run", "soak.toml", "--out", "out/study"),
    "ticket export": ("ticket", "export", "given.slth", "--safetensors", "out/t.safetensors", "--torch-export",
                      "out/t.pt2", "--onnx", "out/t.onnx"),
}  # fmt: skip


@dataclass(kw_only=True)
class Survival:
    """What was seen of one command.

    Attributes:
        command: what was run, without ``slth``.
        seconds: duration of the undisturbed run.
        kills: how often it was to be killed.
        hit: kills that found it running.
        files: files with their final names that were looked at after kills.
        half_written: those of them that did not load.
        temporaries: files of interrupted writes, their names beginning with a dot, that were there at the end.
        left_running: processes that outlived a kill.
        resumed: runs to the end after kills.
        resumed_right: those of them that gave what the undisturbed run gave.
    """

    command: str
    seconds: float
    kills: int = 0
    hit: int = 0
    files: int = 0
    half_written: list[str] = field(default_factory=list)
    temporaries: int = 0
    left_running: int = 0
    resumed: int = 0
    resumed_right: int = 0


def main() -> None:
    """Kill each command, print the table, write results/soak.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="how many in all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    asked = parser.parse_args()
    rng, began, survived = np.random.default_rng(asked.seed), time.perf_counter(), []
    shares = np.array_split(np.arange(asked.kills), len(COMMANDS))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SLTH_CACHE"] = str(Path(folder) / "cache")
        _prepare(Path(folder) / "given")
        for (name, command), share in zip(COMMANDS.items(), shares, strict=True):
            print(f"{name}: {len(share)} kills", flush=True)
            survived.append(soak(name, command, len(share), Path(folder), rng))
    header = ("command", "seconds undisturbed", "kills", "hit it running", "half-written files", "of files looked at",
              "temporary files", "processes left", "resumed right")  # fmt: skip
    rows = [
        (one.command, f"{one.seconds:.1f}", one.kills, one.hit, len(one.half_written), one.files, one.temporaries,
         one.left_running, f"{one.resumed_right} of {one.resumed}")
        for one in survived
    ]  # fmt: skip
    print_table("After kill -9", header, rows)
    results = {"seed": asked.seed, "kills": asked.kills, "seconds": time.perf_counter() - began,
               "commands": [asdict(one) for one in survived]}  # fmt: skip
    print(f"written: {write_json('soak', results)}")


def soak(name: str, command: tuple[str, ...], kills: int, root: Path, rng: np.random.Generator) -> Survival:
    """Kill one command at random moments, and look at what it leaves.

    Args:
        name: of the command.
        command: its arguments.
        kills: how often.
        root: a folder that holds ``given``, the inputs.
        rng: draws the moments.

    Returns:
        What was seen.
    """
    whole = _fresh(root, f"{name} undisturbed")
    _run(command, whole)  # the first run compiles and fills caches
    whole = _fresh(root, f"{name} undisturbed again")
    began = time.perf_counter()
    _run(command, whole)
    seen = Survival(command=name, seconds=time.perf_counter() - began)
    expected = contents(whole / "out")
    place = _fresh(root, f"{name} 0")
    for kill in range(1, kills + 1):
        seen.kills += 1
        hit, left = _kill(command, place, float(rng.uniform(*MOMENTS)) * seen.seconds)
        seen.hit += hit
        seen.left_running += left
        looked, broken = inspect(place / "out")
        seen.files += looked
        seen.half_written += broken
        if kill % KILLS_A_ROUND == 0 or kill == kills:
            _run(command, place)
            seen.resumed += 1
            seen.resumed_right += contents(place / "out") == expected
            seen.temporaries += sum(path.name.startswith(".") for path in (place / "out").rglob("*"))
            place = _fresh(root, f"{name} {kill}")
    return seen


def inspect(folder: Path) -> tuple[int, list[str]]:
    """Load every file of a folder that has its final name.

    Args:
        folder: what a killed command wrote to.

    Returns:
        How many files there are, and for each that does not load its name and why.
    """
    broken = []
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    for path in files:
        try:
            LOADERS[path.suffix](path)
        except Exception as cause:  # whatever a loader raises, the file is not whole
            broken.append(f"{path.name}: {type(cause).__name__}: {cause}")
    return len(files), broken


def contents(folder: Path) -> dict[str, Any]:
    """What the files of a folder say, without times.

    Args:
        folder: what a command that ran to its end wrote to.

    Returns:
        A value for each file that holds a result.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in RESULTS_OF and not path.name.startswith("."):
            found[path.relative_to(folder).as_posix()] = RESULTS_OF[path.suffix](path)
    return found


def _prepare(given: Path) -> None:
    given.mkdir()
    (given / "net.py").write_text(MODEL)
    (given / "soak.toml").write_text(SPEC)
    (given / "out").mkdir()
    _run(FIND, given)
    for path in (given / "out").iterdir():
        path.rename(given / path.name.replace("t.", "given.", 1))


def _fresh(root: Path, name: str) -> Path:
    place = root / name
    (place / "out").mkdir(parents=True)
    for path in (root / "given").iterdir():
        if path.is_file():
            (place / path.name).write_bytes(path.read_bytes())
    return place


def _start(command: tuple[str, ...], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "slth", *command], cwd=folder, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.DEVNULL, stderr=(folder / "stderr").open("wb"),
    )  # fmt: skip


def _run(command: tuple[str, ...], folder: Path) -> None:
    if _start(command, folder).wait() != 0:
        raise SystemExit(f"slth {' '.join(command)} failed: {(folder / 'stderr').read_text()[-500:]}")


def _kill(command: tuple[str, ...], folder: Path, moment: float) -> tuple[bool, int]:
    """Whether it still ran, and how many of its processes were alive ten seconds later."""
    process = _start(command, folder)
    time.sleep(moment)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + LONGEST_GOODBYE
    while (left := _alive(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return running, left


def _alive(session: int) -> int:
    count = 0
    for process in psutil.process_iter():
        try:
            count += os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return count


def _verified(path: Path) -> Any:
    ticket = load_ticket(path)
    found = ticket.verify()
    if not found:
        raise ValueError("; ".join(found.failures))
    return [[hashlib.sha256(block.rows.tobytes()).hexdigest() for block in layer] for layer in ticket.kept]


def _tensors(path: Path) -> Any:
    loaded = safetensors.torch.load_file(path)
    return {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in loaded.items()}


def _json(path: Path) -> Any:
    return _timeless(json.loads(path.read_text()))


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(one) for name, one in value.items() if "seconds" not in name and name != "environment"}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def _rows(path: Path) -> Any:
    with closing(sqlite3.connect(path)) as database:
        (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise ValueError(verdict)
    if path.name != FILE_NAME:
        return None
    with Store(path.parent) as store:
        return {row.key: (row.status, row.error, _timeless(dict(row.result))) for row in store.rows()}


def _onnx(path: Path) -> Any:
    import onnx

    model = onnx.load(path)
    onnx.checker.check_model(model)
    return [(node.op_type, list(node.input), list(node.output)) for node in model.graph.node]


def _nothing(path: Path) -> None:
    """A file that any content makes sense in, such as a log of SQLite, which SQLite itself reads."""


LOADERS: dict[str, Callable[[Path], Any]] = {
    ".slth": _verified, ".safetensors": _tensors, ".json": _json, ".sqlite": _rows, ".lock": _nothing, ".onnx": _onnx,
    ".toml": lambda path: tomllib.loads(path.read_text()), ".md": lambda path: path.read_text(),
    ".pt": lambda path: torch.load(path, weights_only=True), ".pt2": torch.export.load,
    ".sqlite-wal": _nothing, ".sqlite-shm": _nothing, ".lock-journal": _nothing, ".sqlite-journal": _nothing,
}  # fmt: skip
# Files that hold results; checkpoints, cards and copies of a spec are not compared.
RESULTS_OF = {suffix: LOADERS[suffix] for suffix in (".slth", ".safetensors", ".json", ".sqlite", ".onnx")}


if __name__ == "__main__":
    main()
