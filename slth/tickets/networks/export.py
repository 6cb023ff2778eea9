"""A ticket for other programs: ONNX, a torch.export archive, or plain tensors, each checked before it is kept."""

from __future__ import annotations

import importlib
import io
import logging
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
from slth.networks.graph import GraphNetwork
from slth.tickets.networks.compact import compact_module
from slth.tickets.record.record import Record

# An exported network may differ from the ticket's module by the order of its float32 sums, and by no more than this,
# relative to the largest output.
TOLERANCE = 1e-4
# Examples of the check; two, since some exporters treat a batch of one by itself.
_BATCH = 2


def export_ticket(record: Record, path: str | Path, form: str, *, shapes: list[tuple[int, ...]] | None = None) -> float:
    """Write the compact network to ``path`` in another program's form, whole or not at all.

    Args:
        record: the ticket.
        path: the file to write.
        form: ``onnx`` (needs slth[export]), ``torch-export`` (``torch.export.load`` reads it) or ``safetensors``
            (the state dict of ``to_module()``).
        shapes: of the inputs, without batch axis; default: those the ticket was found with. The batch stays free.

    Returns:
        The largest difference between what was written, run by its own runtime, and the ticket, relative to the
        largest output.

    Raises:
        InputError: an unknown form, no shapes, a missing package. SlthError: what was written computes something else.
    """
    if form not in FORMS:
        raise InputError(f"form must be one of {', '.join(FORMS)}; got {form!r}.")
    known = [tuple(shape) for shape in record.info.get("input_shapes") or ()]
    chosen = shapes or known
    if not chosen:
        raise InputError("the ticket does not know its input's shape: it was found without example_input. Pass shapes.")
    module = compact_module(record)
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(torch.rand(_BATCH, *shape, generator=generator) for shape in chosen)
    with torch.no_grad():
        wanted = _flat(module(*inputs))
    data, got = FORMS[form](module, inputs)
    largest = max(float(np.abs(one).max()) for one in wanted)
    gap = max(float(np.abs(a - b).max()) for a, b in zip(got, wanted, strict=True)) / (largest or 1.0)
    if not gap <= TOLERANCE:
        raise SlthError(
            f"the exported network differs from the ticket by {gap:.2g} of its largest output; expected at most "
            f"{TOLERANCE:g}. Nothing was written; please report this."
        )
    write_whole(Path(path), data)
    return gap


def _onnx(module: GraphNetwork, inputs: tuple[torch.Tensor, ...]) -> tuple[bytes, list[Any]]:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _need(package)
    import onnxruntime

    # The exporter logs a line for every optional package that is not there.
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
            dynamic_shapes=_free(inputs),
        )
        assert program is not None
        path = Path(folder) / "ticket.onnx"
        program.save(path)
        data = path.read_bytes()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return data, session.run(None, {name: one.numpy() for name, one in zip(names, inputs, strict=True)})


def _torch_export(module: GraphNetwork, inputs: tuple[torch.Tensor, ...]) -> tuple[bytes, list[Any]]:
    for values in (*module.parameters(), *module.buffers()):
        values.data = values.data.clone()  # the archive refuses the odd strides that numpy gives axes of length one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, inputs, dynamic_shapes=_free(inputs))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    again = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    with torch.no_grad():
        return buffer.getvalue(), _flat(again(*inputs))


def _safetensors(module: GraphNetwork, inputs: tuple[torch.Tensor, ...]) -> tuple[bytes, list[Any]]:
    data = safetensors.torch.save({name: value.contiguous() for name, value in module.state_dict().items()})
    module.load_state_dict(safetensors.torch.load(data))
    with torch.no_grad():
        return data, _flat(module(*inputs))


FORMS: dict[str, Callable[[GraphNetwork, tuple[torch.Tensor, ...]], tuple[bytes, list[Any]]]] = {
    "onnx": _onnx,
    "torch-export": _torch_export,
    "safetensors": _safetensors,
}


def _free(inputs: tuple[torch.Tensor, ...]) -> tuple[Any, ...]:
    """Dynamic shapes for a network of ``*args``: the batch axis may be anything the graph allows."""
    return (tuple({0: torch.export.Dim.AUTO} for _ in inputs),)


def _flat(value: Any) -> list[Any]:
    """The tensors that a network returned, in order, as arrays."""
    if isinstance(value, torch.Tensor):
        return [value.detach().numpy()]
    parts = value.values() if isinstance(value, dict) else value
    return [one for part in parts for one in _flat(part)]


def _need(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as cause:
        raise InputError(
            f"exporting to ONNX needs {package}, which is not installed. pip install 'slth[export]'"
        ) from cause
