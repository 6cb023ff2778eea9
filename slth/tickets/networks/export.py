"""Exporting a ticket for other programs: ONNX, a torch.export archive or plain tensors, each checked before writing."""

from __future__ import annotations

import importlib
import io
import logging
import math
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from slth.errors import InputError, SlthError
from slth.files import write_whole
from slth.networks.graph import GraphNetwork, Step
from slth.networks.sizes import check_sizes
from slth.progress import Progress, follow
from slth.tickets.networks.compact import compact_module
from slth.tickets.record.inputs import known_shapes, make_inputs
from slth.tickets.record.record import Record

# Largest difference allowed between an exported network and the ticket's module, relative to the largest output. They
# may differ in the order of their float32 sums only.
TOLERANCE = 1e-4
# Examples in the check. Two, because some exporters treat a batch of one as a special case.
_CHECK_BATCH = 2


def export_ticket(
    record: Record,
    path: str | Path,
    form: str,
    *,
    shapes: list[tuple[int, ...]] | None = None,
    progress: bool | Progress = False,
) -> float:
    """Write the compact network to ``path`` in a form that other programs read, whole or not at all.

    Args:
        record: the ticket.
        path: the file to write.
        form: ``onnx`` (needs slth[export]), ``torch-export`` (``torch.export.load`` reads it) or ``safetensors``
            (the state dict of ``to_module()``).
        shapes: shapes of the inputs, without the batch axis; None for those of the example that the ticket was found
            with. The exported network takes batches of any size.
        progress: True for bars with the time left, or a listener. It hears of a task ``regenerate`` with a step for
            each random number, and then of a task with the name of the form: to run the ticket, to translate it and
            run the translation, to compare and write.

    Returns:
        The largest difference between the outputs of the exported network, run by its own runtime, and those of the
        ticket, relative to the largest output.

    Raises:
        InputError: the form is unknown, the shapes are not known, or a package is missing.
        SlthError: the exported network computes something else; nothing was written.
    """
    if form not in FORMS:
        raise InputError(f"form must be one of {', '.join(FORMS)}; got {form!r}.")
    inputs = make_inputs(record, shapes or known_shapes(record, "shapes"), _CHECK_BATCH, random=True)
    given = {step.name: one.shape for step, one in zip(_input_steps(record), inputs, strict=False)}
    check_sizes(record.target.sizes, record.target.conditions, given)
    module = compact_module(record, progress=progress)
    with follow(progress, {form: 3}) as listener:
        with torch.no_grad():
            wanted = _output_arrays(module(*inputs))
        listener.advance(form)
        data, got = FORMS[form](module, inputs)
        listener.advance(form)
        gap = _largest_gap(got, wanted)
        if not gap <= TOLERANCE:
            raise SlthError(
                f"the exported network differs from the ticket by {gap:.2g} of its largest output; expected at most "
                f"{TOLERANCE:g}. Nothing was written; please report this."
            )
        write_whole(Path(path), data)
        listener.advance(form)
    return gap


def _onnx(module: GraphNetwork, inputs: tuple[torch.Tensor, ...]) -> tuple[bytes, list[Any]]:
    """An ONNX file, and the outputs that onnxruntime computes from it."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _require(package)
    import onnxruntime

    # The exporter logs a line for every optional package that is not installed.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            inputs,
            input_names=[step.name for step in module.network_inputs][: len(inputs)],
            dynamo=True,
            verbose=False,
            external_data=False,
            dynamic_shapes=_free_batch(inputs),
        )
        assert program is not None
        path = Path(folder) / "ticket.onnx"
        program.save(path)
        data = path.read_bytes()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return data, session.run(None, {name: one.numpy() for name, one in zip(names, inputs, strict=True)})


def _torch_export(module: GraphNetwork, inputs: tuple[torch.Tensor, ...]) -> tuple[bytes, list[Any]]:
    """A torch.export archive, and the outputs of the network that is loaded from it."""
    for values in (*module.parameters(), *module.buffers()):
        values.data = values.data.clone()  # the archive refuses the odd strides that numpy gives axes of length one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, inputs, dynamic_shapes=_free_batch(inputs))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    again = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    with torch.no_grad():
        return buffer.getvalue(), _output_arrays(again(*inputs))


def _safetensors(module: GraphNetwork, inputs: tuple[torch.Tensor, ...]) -> tuple[bytes, list[Any]]:
    """The state dict as safetensors, and the outputs of the network with the tensors read back."""
    data = safetensors.torch.save({name: value.contiguous() for name, value in module.state_dict().items()})
    module.load_state_dict(safetensors.torch.load(data))
    with torch.no_grad():
        return data, _output_arrays(module(*inputs))


FORMS: dict[str, Callable[[GraphNetwork, tuple[torch.Tensor, ...]], tuple[bytes, list[Any]]]] = {
    "onnx": _onnx,
    "torch-export": _torch_export,
    "safetensors": _safetensors,
}


def _free_batch(inputs: tuple[torch.Tensor, ...]) -> tuple[Any, ...]:
    """Dynamic shapes for a network of ``*args``: the batch axis may have any length that the graph allows."""
    return (tuple({0: torch.export.Dim.AUTO} for _ in inputs),)


def _input_steps(record: Record) -> list[Step]:
    """The steps of the inputs, in order."""
    return [step for step in record.target.steps if step.kind == "input"]


def _largest_gap(got: list[Any], wanted: list[Any]) -> float:
    """The largest difference of two lists of arrays, relative to the largest number in them; NaN equals NaN here."""
    largest = gap = 0.0
    for a, b in zip(got, wanted, strict=True):
        usual = np.isfinite(b)
        if not np.array_equal(a[~usual], b[~usual], equal_nan=True):
            return math.inf
        first, second = a[usual].astype(np.float64), b[usual].astype(np.float64)
        largest = max(largest, float(np.abs(second).max(initial=0.0)))
        gap = max(gap, float(np.abs(first - second).max(initial=0.0)))
    return gap / (largest or 1.0)


def _output_arrays(value: Any) -> list[Any]:
    """The tensors that a network returned, in order, as arrays."""
    if isinstance(value, torch.Tensor):
        return [value.detach().numpy()]
    parts = value.values() if isinstance(value, dict) else value
    return [one for part in parts for one in _output_arrays(part)]


def _require(package: str) -> None:
    """Refuse to export when a package is not installed."""
    try:
        importlib.import_module(package)
    except ImportError as cause:
        raise InputError(
            f"exporting to ONNX needs {package}, which is not installed. pip install 'slth[export]'"
        ) from cause
