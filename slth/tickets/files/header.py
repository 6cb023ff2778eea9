"""The header of a ``.slth`` file: the description of a record as JSON, packed by zlib, and the record read from it.

A header may come from anybody. What it claims is bounded before memory or time is spent on it, and nothing in it is
ever executed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from slth.errors import SlthError, check_choice, check_int
from slth.networks.linear_map import Array, conv_like
from slth.networks.parent import Parent
from slth.networks.structure import STRUCTURES
from slth.networks.target import Target, assemble
from slth.tickets.files.coding import Bytes
from slth.tickets.files.places import read_blocks
from slth.tickets.record.instance import input_channels
from slth.tickets.record.record import LayerReport, Record

FORMAT_VERSION = 4
# The version of a target that states no sizes of its inputs, as earlier versions of slth extracted it.
WITHOUT_SIZES = 3
# What differs between two runs of the same search. The card states it; the file does not hold it.
CIRCUMSTANCES = ("environment", "seconds")
# What a header may claim: mixing weights that opening the file regenerates, and input channels. For each byte of the
# codes it may claim more, so that large tickets can be opened. Measured: both take some five seconds on one core.
MAX_MIXING = 2**28
MIXING_PER_BYTE = 2**12
MAX_CHANNELS = 2**16
# Weights of a target. Each of them may have its own selection.
MAX_WEIGHTS = 2**28
# Bytes that a header may unpack to. That of ResNet-20 has 26 kB (4 kB packed). A value of empty lists takes more than a
# hundred times its length in memory.
MAX_HEADER = 2**22
# Exceptions raised when a packed header cannot be read.
UNREADABLE = (zlib.error, ValueError, KeyError, TypeError, RecursionError, MemoryError)
# Exceptions raised when a header that can be read does not describe a record.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError, SlthError)

CONV_OPTIONS = {
    "conv": ("stride", "padding", "dilation", "padding_mode"),
    "conv_transpose": ("stride", "padding", "dilation", "padding_mode", "output_padding"),
    "linear": (),
}
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
# Largest stride, dilation or padding; more than any image has pixels on a side.
MAX_SIDE = 2**20

Tensors = dict[str, npt.NDArray[Any]]
Weights = Mapping[str, tuple[Array, Array | None]]


def pack_header(record: Record, codes: Sequence[tuple[float, float]]) -> Bytes:
    """Describe a record and pack the description. The same search gives the same bytes.

    Args:
        record: the record.
        codes: (α, β) of the code of each layer.

    Returns:
        The packed header, uint8 (n,).
    """
    header = {
        "format_version": FORMAT_VERSION if record.target.sizes else WITHOUT_SIZES,
        "parent": record.parent.describe(),
        "target": {**record.target.describe(), "hash": record.info.get("target_hash", record.target.hash())},
        "structure": record.structure,
        "codes": [{"alpha": alpha, "beta": beta} for alpha, beta in codes],
        "layers": _without_circumstances([asdict(report) for report in record.layers]),
        "info": _without_circumstances({key: value for key, value in record.info.items() if key != "target_hash"}),
    }
    return np.frombuffer(zlib.compress(json.dumps(header, sort_keys=True).encode(), 9), dtype=np.uint8)


def _without_circumstances(value: Any) -> Any:
    """JSON without the entries that differ between two runs of the same search."""
    if isinstance(value, Mapping):
        return {key: _without_circumstances(one) for key, one in value.items() if key not in CIRCUMSTANCES}
    return [_without_circumstances(one) for one in value] if isinstance(value, list | tuple) else value


def unpack_header(packed: Bytes) -> dict[str, Any]:
    """Unpack a header.

    Returns:
        The header, with an integer ``format_version``.

    Raises:
        ValueError: the header cannot be read. Any other exception in UNREADABLE means the same.
    """
    reader = zlib.decompressobj()
    text = reader.decompress(packed.tobytes(), MAX_HEADER)
    if not reader.eof:
        raise ValueError(f"a header must unpack to at most {MAX_HEADER} bytes")
    header = dict(json.loads(text))
    if not isinstance(header["format_version"], int):
        raise TypeError("format_version is not a number")
    return header


def record_from_header(header: dict[str, Any], tensors: Tensors, given: Weights | None) -> Record:
    """Build the record that a header describes.

    Args:
        header: the unpacked header.
        tensors: the tensors of the file.
        given: the target's weights by name of a layer; None when they are not known.

    Returns:
        The record, without a check that the weights have the hash that the header states.

    Raises:
        UnregisteredError: the target has an operation that is not registered.
        ValueError: the header does not describe a record. Any other exception in MALFORMED means the same.
    """
    kept = {name.removeprefix("stays."): values for name, values in tensors.items() if name.startswith("stays.")}
    target = Target.from_description(header["target"], lambda linear: _map_weights(linear, given), kept)
    assemble(target, lambda linear: conv_like(linear, linear.channels[0]))  # checks names and options, in no memory
    if bool(target.sizes) != (header["format_version"] == FORMAT_VERSION):
        raise ValueError(f"a target {'with' if target.sizes else 'without'} sizes is not of this format version")
    parent = Parent.from_description(header["parent"])
    structure = check_choice("structure", header["structure"], tuple(STRUCTURES))
    if not all(spec.fits(linear) for spec, linear in zip(parent.layers, target.maps, strict=True)):
        raise ValueError("the parent's layers are not those of the target")
    mixing = sum(layer.width * len(layer.channels) for layer in parent.layers)
    code_bytes = sum(values.size for name, values in tensors.items() if name.startswith("kept."))
    if mixing > MAX_MIXING + MIXING_PER_BYTE * code_bytes or target.weight_count > MAX_WEIGHTS:
        raise ValueError(f"it claims {mixing} mixing weights for a target of {target.weight_count} weights")
    inputs = sum(len(layer.channels) for layer in parent.layers)
    if inputs > MAX_CHANNELS + code_bytes:
        raise ValueError(f"it claims {inputs} input channels in {code_bytes} bytes")
    channels = input_channels(parent, target, structure)
    info = {**header["info"], "target_hash": str(header["target"]["hash"])}
    shapes = tuple(tuple(check_int("input_shapes", side, 0) for side in one) for one in info.get("input_shapes") or ())
    return Record(
        parent=parent,
        target=replace(target, example_shapes=shapes, example_types=tuple(map(str, info.get("input_types") or ()))),
        structure=structure,
        kept=tuple(
            read_blocks(layer, code["alpha"], code["beta"], tensors[f"kept.{i}"])
            for i, (layer, code) in enumerate(zip(channels, header["codes"], strict=True))
        ),
        layers=tuple(LayerReport(**report) for report in header["layers"]),
        info=info,
    )


def _map_weights(described: dict[str, Any], given: Weights | None) -> tuple[Array, Array | None]:
    """The weight and bias of a linear map from its description; NaN of the claimed shape when they are not known."""
    shape = tuple(check_int("shape", side, 1) for side in described["shape"])
    groups = check_int("groups", described["groups"], 1)
    right = described["kind"] in CONV_OPTIONS and described["signs"] in ("+", "-", "+-")
    if not right or shape[0] % groups:
        raise ValueError(f"{described['name']} is not a linear map of {groups} groups")
    _check_options(described, len(shape) - 2)
    if given is None:  # A broadcast array of any claimed shape takes no memory.
        unknown = np.broadcast_to(np.float32(np.nan), shape)
        return unknown, np.broadcast_to(np.float32(np.nan), shape[:1]) if described["bias"] else None
    weight, bias = given[described["name"]]
    found = [(array.shape, array.dtype) for array in (weight, bias) if array is not None]
    single = np.dtype(np.float32)
    if found != [(shape, single), (shape[:1], single)][: 1 + described["bias"]]:
        raise ValueError(f"the target's {described['name']} is not float32 of shape {shape}")
    return weight, bias


def _check_options(described: dict[str, Any], axes: int) -> None:
    """Raise ValueError unless the options of a linear map are those of a layer that torch can run."""
    options, name, kind = described["options"], described["name"], described["kind"]
    unknown = set(options) - set(CONV_OPTIONS[kind])
    if unknown:
        raise ValueError(f"{name} has options that no layer of kind {kind} has: {sorted(unknown)}")
    for option, least in (("stride", 1), ("dilation", 1), ("padding", 0), ("output_padding", 0)):
        value = options.get(option, [least] * axes)
        if option == "padding" and kind == "conv" and value in ("same", "valid"):
            continue
        if not isinstance(value, list) or len(value) != axes:
            raise ValueError(f"{option} of {name} must be {axes} numbers; got {value!r}")
        for side in value:
            check_int(f"{option} of {name}", side, least, MAX_SIDE)
    modes = PADDING_MODES if kind == "conv" else ("zeros",)
    if options.get("padding_mode", "zeros") not in modes:
        raise ValueError(f"padding_mode of {name} must be one of {', '.join(modes)}")
