"""Checkpoints of training: a file is written whole or not at all, and is refused by a run that it does not fit."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slth.errors import InputError
from slth.files import write_whole

FORMAT = 1


def save(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, run: dict[str, Any], step: int,
    history: dict[str, Any],
) -> None:  # fmt: skip
    """Write everything that a run needs to continue, the state of the random number generators included.

    Args:
        path: the file.
        model: the network as it is now.
        optimiser: its optimiser as it is now.
        run: what identifies the run, JSON-ready.
        step: number of steps taken.
        history: fields of :class:`slth.baselines.training.History`.
    """
    cuda = torch.cuda.get_rng_state() if _on_gpu(model) else None
    buffer = io.BytesIO()
    torch.save(
        {
            "format": FORMAT, "run": json.dumps(run, sort_keys=True), "step": step, "history": history,
            "model": model.state_dict(), "optimiser": optimiser.state_dict(), "noise": torch.get_rng_state(),
            "gpu_noise": cuda,
        },
        buffer,
    )  # fmt: skip
    write_whole(path, buffer.getvalue())


def restore(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, run: dict[str, Any], last: int
) -> tuple[int, dict[str, Any]]:
    """Fill model, optimiser and random number generators from a file.

    Args:
        path: the file.
        model: a network of the same architecture; it is filled.
        optimiser: its optimiser; it is filled.
        run: what identifies the run; must equal what is stored.
        last: the last step that the run is asked for.

    Returns:
        The step to continue from, and the history so far.

    Raises:
        InputError: not a checkpoint, or one of another model, recipe, data size, start or masks, or past step ``last``.
    """
    stored = _read(path)
    mine, theirs = model.state_dict(), stored["model"]
    wrong = [f"{name} {_shape(mine.get(name))} here, {_shape(theirs.get(name))} there"
             for name in sorted({*mine, *theirs})
             if _shape(mine.get(name)) != _shape(theirs.get(name))]  # fmt: skip
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InputError(
            f"{path} is a checkpoint of another architecture: {'; '.join(wrong[:3])}{more}. "
            "Choose another folder, or the model it was made with."
        )
    there = json.loads(stored["run"])
    odd = [f"{key} = {run.get(key)} here, {there.get(key)} there" for key in run if run[key] != there.get(key)]
    if odd:
        raise InputError(f"{path} is a checkpoint of another run: {'; '.join(odd)}. Choose another folder.")
    if stored["step"] > last:
        raise InputError(f"{path} is at step {stored['step']}, past the last one, {last}. Choose another folder.")
    model.load_state_dict(theirs)
    optimiser.load_state_dict(stored["optimiser"])
    torch.set_rng_state(stored["noise"])
    if stored["gpu_noise"] is not None and _on_gpu(model):
        torch.cuda.set_rng_state(stored["gpu_noise"])
    return stored["step"], stored["history"]


def _read(path: Path) -> dict[str, Any]:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as cause:
        raise InputError(f"{path} is not a readable checkpoint ({type(cause).__name__}). Move it away.") from cause
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise InputError(f"{path} is not a checkpoint of this version (format {FORMAT}). Move it away.")
    return stored


def _shape(value: torch.Tensor | None) -> str:
    return "absent" if value is None else str(tuple(value.shape))


def _on_gpu(model: nn.Module) -> bool:
    return any(value.is_cuda for value in model.state_dict().values())
