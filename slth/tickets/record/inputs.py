"""Inputs of a ticket's network, made from the shapes of the example that it was extracted with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from slth.errors import InputError
from slth.networks.graph import Ref
from slth.networks.sizes import evaluate
from slth.networks.target import Target
from slth.tickets.record.record import Record

# Batch sizes that are tried where the conditions on the sizes exclude the wanted one.
_BATCHES = range(1, 9)
# The types that an input can have, by their names in a file.
_TYPES = {
    str(one).removeprefix("torch."): one
    for one in (torch.float32, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
}


def known_shapes(record: Record, instead: str) -> list[tuple[int, ...]]:
    """The shapes of the inputs of the example, without the batch axis.

    Args:
        record: the ticket.
        instead: what to pass where the shapes are not known, for the message.

    Returns:
        One shape for each input.

    Raises:
        InputError: they are not known.
    """
    shapes = [tuple(shape) for shape in record.info.get("input_shapes") or ()]
    if not shapes:
        raise InputError(
            "the ticket does not know the shapes of its inputs: it was found by an older version, without an example. "
            f"Pass {instead}."
        )
    return shapes


def make_inputs(
    record: Record, shapes: Sequence[Sequence[int]], batch: int, *, random: bool = False, device: str = "cpu"
) -> tuple[torch.Tensor, ...]:
    """Inputs on which a ticket's network can run, of the types of the example.

    Args:
        record: the ticket.
        shapes: shape of each input, without its batch axis.
        batch: number of examples; a network that fixes another number gets that.
        random: whether real numbers are random, from 0 to 1, and numbers of entries of a table, as of words, random
            among these. All else is zeros.
        device: torch's device.

    Returns:
        One tensor for each shape.

    Raises:
        InputError: there are more shapes than inputs.
    """
    target = record.target
    names = [step.name for step in target.steps if step.kind == "input"]
    if len(shapes) > len(names):
        raise InputError(f"the network takes {', '.join(names)}; got {len(shapes)} shapes. Pass one for each input.")
    types = [_TYPES.get(str(one), torch.float32) for one in record.info.get("input_types") or [""] * len(names)]
    entries, generator = _table_sizes(target), torch.Generator().manual_seed(0)
    made = []
    for name, shape, dtype in zip(names, _with_batch(target, names, shapes, batch), types, strict=False):
        values = torch.zeros(shape, dtype=dtype, device=device)
        if random and dtype.is_floating_point:
            values = torch.rand(shape, generator=generator)
        elif random and name in entries:
            values = torch.randint(entries[name], shape, generator=generator).to(dtype)
        made.append(values)
    return tuple(made)


def _with_batch(
    target: Target, names: Sequence[str], shapes: Sequence[Sequence[int]], batch: int
) -> list[tuple[int, ...]]:
    """The shapes with the wanted number of examples, or with another one that the network takes."""
    found = []
    for count in (batch, *_BATCHES):
        first = [target.sizes[name][0] if target.sizes.get(name) else None for name in names]
        found.append([(count if size is None else size, *shape) for size, shape in zip(first, shapes, strict=False)])
        given = dict(zip(names, found[-1], strict=False))
        if all(evaluate(text, given) for text in target.conditions):
            return found[-1]
    return found[0]


def _table_sizes(target: Target) -> dict[str, int]:
    """Name of an input that numbers entries → number of entries."""
    found: dict[str, int] = {}
    for step in target.steps:
        if step.call == "slth.one_hot" and isinstance(step.args[0], Ref):
            name, count = step.args[0].name, int(step.options["count"])
            found[name] = min(count, found.get(name, count))
    return found
