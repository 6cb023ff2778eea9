"""The program of a model: the ATen operations that it runs on an example input, with sizes as symbols.

``torch.export`` records them. It follows hooks, parametrisations and functions alike, because it sees the arithmetic
itself. InputSizes of the inputs stay free where the model allows it.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.export import Dim, ExportedProgram

from slth.errors import InputError
from slth.networks.tracing.in_place import rewrite_overwrites
from slth.networks.tracing.leaves import leaves_of
from slth.networks.tracing.size_limit import ShortSizes
from slth.networks.tracing.undisturbed import undisturbed

# Folders whose code is not the model's own: torch, slth and Python.
_LIBRARIES = tuple(Path(file).parent for file in (torch.__file__, Path(__file__).parents[1], contextlib.__file__))
# Which sizes of the inputs are free: the first of these with which the model can be recorded.
FREEDOMS = ("all", "batch", "none")
# What these tell developers of torch is of no use here.
_LOGGERS = ("torch.export", "torch._export", "torch.fx.experimental.symbolic_shapes", "torch._dynamo")


@dataclass(frozen=True, kw_only=True)
class Program:
    """What ``torch.export`` recorded of a model.

    Attributes:
        graph: the ATen operations; no operation overwrites a value.
        inputs: placeholder of a user's input → its name in the model's ``forward``.
        tensors: placeholder of a stored tensor → (its path, the tensor).
        sizes: name of an input → its sizes, with None for a free one.
        form: the form of the model's output, for ``torch.utils._pytree``.
        guards: conditions on the sizes of the inputs, under which the recorded operations are the model's; None if
            this version of torch does not tell them.
        leaves: paths of registered modules that stay whole, in the order of their numbers.
    """

    graph: fx.Graph
    inputs: dict[str, str]
    tensors: dict[str, tuple[str, torch.Tensor]]
    sizes: dict[str, tuple[int | None, ...]]
    form: Any
    guards: tuple[str, ...] | None
    leaves: tuple[str, ...]


def record(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Program:
    """Record the operations that a model runs in evaluation mode on example inputs.

    Args:
        model: the model; it runs on ``inputs``, and stays as it is.
        inputs: the example inputs, each with its batch axis. A size of 1 is recorded as fixed.

    Returns:
        The program.

    Raises:
        InputError: control flow depends on values, or ``torch.export`` cannot follow the model; the message names the
            line of the model's code. Or the model overwrites an input or a buffer.
    """
    with undisturbed(model), _quiet(), torch.no_grad(), leaves_of(model) as leaves:
        for free, last in zip(FREEDOMS, (*[False] * (len(FREEDOMS) - 1), True), strict=True):
            try:
                with ShortSizes():
                    exported = torch.export.export(
                        model, inputs, dynamic_shapes=_free_sizes(model, inputs, free), strict=False
                    )
                if not rewrite_overwrites(exported.graph):
                    exported.graph_module.recompile()
                    exported = exported.run_decompositions({})
                break
            except Exception as cause:  # The model's own code runs here and may raise anything.
                if last or _depends_on_values(cause):
                    raise InputError(_reason(cause)) from cause
    return _program(model, exported, leaves)


def _program(model: nn.Module, exported: ExportedProgram, leaves: tuple[str, ...]) -> Program:
    signature = exported.graph_signature
    for kind, changed in (("input", signature.user_inputs_to_mutate), ("buffer", signature.buffers_to_mutate)):
        for name in changed.values():
            raise InputError(
                f"the model overwrites its {kind} {name}, which a ticket never does. "
                + ("Copy it first (x = x.clone())." if kind == "input" else "Remove the part that counts or stores.")
            )
    tensors: dict[str, tuple[str, torch.Tensor]] = {}
    stored = {**exported.state_dict, **exported.constants}
    paths = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    paths |= signature.inputs_to_lifted_tensor_constants
    # A tensor that several modules share has the name that comes first in the model.
    named = [*model.named_parameters(), *model.named_buffers()]
    first = {id(value): name for name, value in reversed(named)}
    for placeholder, path in paths.items():
        tensors[placeholder] = first.get(id(stored[path]), path), stored[path]
    names = [str(name) for name in signature.user_inputs if isinstance(name, str)]
    inputs = dict(zip(names, _input_names(model, len(names)), strict=True))
    shapes = {node.name: node.meta["val"].shape for node in exported.graph.nodes if node.name in inputs}
    return Program(
        graph=exported.graph,
        inputs=inputs,
        sizes={
            inputs[name]: tuple(size if isinstance(size, int) else None for size in shape)
            for name, shape in shapes.items()
        },
        tensors=tensors,
        form=exported.call_spec.out_spec,
        guards=tuple(exported._guards_code or ()) if hasattr(exported, "_guards_code") else None,
        leaves=leaves,
    )


def _free_sizes(model: nn.Module, inputs: tuple[torch.Tensor, ...], which: str) -> tuple[Any, ...]:
    """The sizes of every input that are free until the model fixes them; ``which`` is one of ``FREEDOMS``."""
    axes = {"all": None, "batch": 1, "none": 0}[which]
    free: list[Any] = [dict.fromkeys(range(one.ndim)[:axes], Dim.AUTO) for one in inputs]
    parameters = list(inspect.signature(model.forward).parameters.values())
    for i, parameter in enumerate(parameters):
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return (*free[:i], tuple(free[i:]))
    return tuple(free)


def _input_names(model: nn.Module, count: int) -> list[str]:
    """Names of the first ``count`` inputs in the model's ``forward``."""
    names: list[str] = []
    for parameter in inspect.signature(model.forward).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{i}" for i in range(count - len(names))]
        elif parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            names.append(parameter.name)
    return names[:count]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the export says to developers of torch from the user."""
    levels = [(logging.getLogger(name), logging.getLogger(name).level) for name in _LOGGERS]
    sink = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        warnings.simplefilter("ignore")
        for logger, _ in levels:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in levels:
                logger.setLevel(level)


def _reason(cause: Exception) -> str:
    """Why a model cannot be recorded, in one line, with the line of code where it happened."""
    text = next((line for line in str(cause).splitlines() if line.strip()), type(cause).__name__).strip()
    if _depends_on_values(cause):
        text = "its control flow, or a size in it, depends on the values of a tensor"
    text = re.sub(r"\s+", " ", text)[:300].rstrip(".")
    return (
        f"the model cannot be traced: {text}{_place(cause)}. slth needs a graph that does not depend on the values of "
        "its inputs; replace such `if`s, loops and sizes, or extract only the part that can be traced."
    )


def _depends_on_values(cause: Exception) -> bool:
    return "data-dependent" in str(cause) or "DataDependent" in type(cause).__name__


def _place(cause: BaseException | None) -> str:
    """Where the model's own code raised: file, line and text; empty if only code of libraries was running."""
    while cause is not None:
        for frame in reversed(traceback.extract_tb(cause.__traceback__)):
            if not any(Path(frame.filename).is_relative_to(folder) for folder in _LIBRARIES):
                line = f": `{frame.line}`" if frame.line else ""
                return f" ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name}{line})"
        cause = cause.__cause__ or cause.__context__
    return ""
