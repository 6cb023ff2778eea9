"""One method, one seed, one folder: what ``slth train`` does.

The folder holds ``result.json`` (the point, the seed, what was measured), ``ticket.safetensors`` (the network's
weights, where a removed weight is zero), ``masks.safetensors`` if there are masks, and checkpoints. ``run.json`` (point
and seed) is written first, so that no run goes on from another run's checkpoints. A folder with a result is done; a run
in a folder with checkpoints goes on from them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from slth.environment import environment
from slth.errors import InputError, check_choice, check_int
from slth.experiments.contest.contestant import Contestant, prepare
from slth.experiments.contest.job import Outcome
from slth.experiments.contest.judge import judge
from slth.experiments.contest.methods import METHODS
from slth.files import write_whole
from slth.progress import Lines, Progress, listening

RESULT_FILE = "result.json"
STARTED_FILE = "run.json"
# Ensembles and sanity checks derive other seeds from this one; torch takes none above 2⁶⁴.
MOST_SEED = 2**53


def run_one(
    point: Contestant,
    seed: int,
    folder: str | Path,
    *,
    device: str = "cpu",
    progress: bool | Progress = Lines(print),
) -> dict[str, Any]:
    """Run one point into a folder, or read the result that the folder holds.

    Args:
        point: the contestant.
        seed: of weights, scores, parents and the order of the data.
        folder: of this run alone; it is made if it does not exist.
        device: ``cpu`` or ``cuda``.
        progress: who hears of the training and its lines of news; False for nobody.

    Returns:
        ``point``, ``seed``, ``result`` (see :func:`slth.experiments.contest.judge.judge`), ``environment``.

    Raises:
        InputError: the folder holds another run's result or checkpoints, or cannot be made.
    """
    folder, listener = Path(folder), listening(progress)
    check_int("seed", seed, 0, MOST_SEED)
    asked: dict[str, Any] = {"point": point.model_dump(mode="json"), "seed": seed}
    stored = read_result(folder)
    # Without a checkpoint there is nothing to go on from, so that another run may use the folder.
    begun = _read(folder / STARTED_FILE) if any(folder.glob("*.pt")) else None
    _refuse_another(folder, asked, stored or begun)
    if stored is not None:
        listener.say(f"already there: {folder / RESULT_FILE}")
        return stored
    job, is_new = prepare(point, seed, folder=folder, device=device, progress=listener), not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise InputError(f"cannot make the folder {folder}: {cause.strerror}. Choose another with --out.") from cause
    write_whole(folder / STARTED_FILE, json.dumps(asked, indent=2) + "\n")
    try:
        outcome = METHODS[point.method](job)
    except InputError:
        _forget(folder, is_new)
        raise
    result = judge(point, job, outcome)
    _write_tensors(folder, outcome)
    stored = {**asked, "result": result, "environment": environment()}
    # Written last: a folder with a result is complete.
    write_whole(folder / RESULT_FILE, json.dumps(stored, indent=2) + "\n")
    return stored


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result that a folder holds, or None.

    Raises:
        InputError: the file is damaged.
    """
    return _read(folder / RESULT_FILE)


def check_device(device: str) -> str:
    """The device, if this machine has it.

    Raises:
        InputError: it is neither ``cpu`` nor ``cuda``, or torch sees no GPU.
    """
    check_choice("device", device, ("cpu", "cuda"))
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda is not at hand: torch sees no GPU here. Use --device cpu.")
    return device


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text())
        return {"point": stored["point"], "seed": stored["seed"], **stored}
    except (ValueError, KeyError, TypeError) as cause:
        raise InputError(f"{path} is not a result of slth train. Choose another folder with --out.") from cause


def _forget(folder: Path, is_new: bool) -> None:
    """Leave nothing of a run that was refused before its first checkpoint."""
    if not any(folder.glob("*.pt")):
        (folder / STARTED_FILE).unlink(missing_ok=True)
    if is_new and not any(folder.iterdir()):
        folder.rmdir()


def _refuse_another(folder: Path, asked: dict[str, Any], held: dict[str, Any] | None) -> None:
    """Raise :class:`InputError` if the folder holds a run, finished or begun, that is not the one asked for."""
    if held is None:
        return
    differing = [name for name, value in asked["point"].items() if held["point"].get(name) != value]
    differing += [] if held["seed"] == asked["seed"] else ["seed"]
    if differing:
        raise InputError(f"{folder} holds a run with another {', '.join(differing)}. Choose another folder with --out.")


def _write_tensors(folder: Path, outcome: Outcome) -> None:
    network: nn.Module = outcome.tuned if outcome.tuned is not None else outcome.network
    tensors = {name: value.contiguous().clone() for name, value in network.state_dict().items()}
    write_whole(folder / "ticket.safetensors", safetensors.torch.save(tensors))
    if outcome.found is not None:
        masks = {name: mask.contiguous() for name, mask in outcome.found.masks.items()}
        write_whole(folder / "masks.safetensors", safetensors.torch.save(masks))
