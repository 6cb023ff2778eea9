"""The ``.slth`` file: safetensors throughout. Nothing in it is ever executed.

Tensors
    ``kept.{i}`` uint8: the kept hidden channels of layer i, as positions among what could be kept (input channel by
    input channel, sign by sign, part by part), coded as in :mod:`slth.tickets.files.coding`. ``stays.{path}``: trained
    numbers of what the ticket does not replace (layers left out, normalisations); usually none.

    ``header`` uint8: zlib-compressed JSON of format_version, parent (seed, law, layers), target (steps, maps,
    modules, hash), structure, codes (α and β of each layer), layers (the reports), info.

The ``slth`` entry of the safetensors metadata is the SHA-256 over every tensor's name, type, shape and bytes. A file
that does not match it is not loaded. It guards against damage, not against a forger: what a header claims, ``verify``
recomputes. The same ticket gives the same file.

The file holds none of the target's weights: the ticket is rebuilt from the seed. They go into a file of their own
beside it (``name.target.safetensors``), which verification reads and whose hash the ticket's header states.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from slth.errors import InputError, SlthError, TicketFileError, UnregisteredError, check_choice, check_int
from slth.files import write_whole
from slth.networks.example import as_recorded
from slth.networks.linear_map import Array, conv_like
from slth.networks.parent import Parent
from slth.networks.structure import STRUCTURES
from slth.networks.target import Target, assemble
from slth.tickets.files.card import write_card
from slth.tickets.files.coding import encode
from slth.tickets.files.places import places_of, read_blocks
from slth.tickets.record.instance import input_channels
from slth.tickets.record.record import LayerReport, Record

FORMAT_VERSION = 2
# Mixing weights that opening a file may regenerate: 2³² take a minute, more are a forged header.
MAX_MIXING = 2**32
# Weights of a target, each of which may have a selection of its own.
MAX_WEIGHTS = 2**28
# Bytes a header may unpack to: ResNet-20 takes 26 kB (4 kB packed).
MAX_HEADER = 2**26
# Exceptions raised on a malformed header.
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError, SlthError)
Tensors = dict[str, npt.NDArray[Any]]
Weights = Mapping[str, tuple[Array, Array | None]]


def save_record(record: Record, path: str | Path) -> Path:
    """Write a ticket, its target and its card beside it, each whole or not at all.

    Args:
        record: the record.
        path: the ``.slth`` file.

    Returns:
        ``path``.

    Raises:
        InputError: a name that the card would take, or a folder that cannot be written to.
    """
    path = Path(path)
    if path.suffix == ".md":
        raise InputError(f"a ticket must not end in .md, which its card does; got {path}. Call it {path.stem}.slth.")
    tensors: Tensors = {f"stays.{name}": values for name, values in record.target.kept_tensors().items()}
    codes = []
    for i, (channels, blocks) in enumerate(zip(record.channels, record.kept, strict=True)):
        alpha, beta, tensors[f"kept.{i}"] = encode(*places_of(channels, blocks))
        codes.append({"alpha": alpha, "beta": beta})
    header = {
        "format_version": FORMAT_VERSION,
        "parent": record.parent.describe(),
        "target": {**record.target.describe(), "hash": record.info.get("target_hash", record.target.hash())},
        "structure": record.structure,
        "codes": codes,
        "layers": [asdict(report) for report in record.layers],
        "info": {key: value for key, value in record.info.items() if key != "target_hash"},
    }
    tensors["header"] = np.frombuffer(zlib.compress(json.dumps(header).encode(), 9), dtype=np.uint8)
    if record.target.known:
        _save_target(record.target, target_path(path))
    write_whole(path, save_tensors(tensors, {"slth": _digest(tensors)}))
    write_card(record, path)
    return path


def target_path(path: Path) -> Path:
    """Where the target of the ticket at ``path`` lies."""
    return path.with_suffix(".target.safetensors")


def load_record(path: str | Path, target: str | Path | Weights | None = None) -> Record:
    """Read a ``.slth`` file.

    Args:
        path: the file.
        target: the target's weights: their file, or (weight, bias) by layer name; default: the file beside the
            ticket's, if it is there. Without one the ticket can be run, not verified.

    Returns:
        The ticket's record.

    Raises:
        TicketFileError: missing, truncated, altered, not a ticket, of another format version, or another's target.
    """
    path = Path(path)
    raw = _read(path, "a ticket file")
    tensors = _tensors(path, raw)
    if _stated_digest(path, raw) != _digest(tensors):
        raise _damaged(path, "its content does not match its digest")
    header = _header(path, tensors)
    if target is None and target_path(path).is_file():
        target = target_path(path)
    given = _load_target(Path(target)) if isinstance(target, str | Path) else target
    try:
        record = _build(header, tensors, given)
    except UnregisteredError as cause:
        raise TicketFileError(f"{path.name} needs an operation that this program does not know: {cause}") from cause
    except _MALFORMED as cause:
        # Intact, yet not what this version writes: somebody else's file, or an edited one with a new digest.
        raise _damaged(path, f"its header is not that of a ticket ({type(cause).__name__}: {cause})") from cause
    if given is not None and record.target.hash() != record.info["target_hash"]:
        raise TicketFileError(
            f"the target given for {path.name} must have the hash {record.info['target_hash'][:16]}… that the ticket "
            f"states; it has {record.target.hash()[:16]}…. Pass the target that the ticket was found for."
        )
    return record


def _save_target(target: Target, path: Path) -> None:
    tensors: Tensors = {}
    for linear in target.maps:
        tensors[f"{linear.name}.weight"] = linear.weight
        if linear.bias is not None:
            tensors[f"{linear.name}.bias"] = linear.bias
    write_whole(path, save_tensors(tensors, {"slth_target": target.hash()}))


def _load_target(path: Path) -> Weights:
    tensors = _tensors(path, _read(path, "a target's safetensors file"))
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    return {name: (tensors[f"{name}.weight"], tensors.get(f"{name}.bias")) for name in names}


def _read(path: Path, what: str) -> bytes:
    if not path.is_file():
        raise TicketFileError(f"{what} was expected at {path}; nothing is there. Check the path.")
    try:
        return path.read_bytes()
    except OSError as cause:
        raise TicketFileError(f"cannot read {path}: {cause.strerror}. Check its permissions.") from cause


def _tensors(path: Path, raw: bytes) -> Tensors:
    try:
        return dict(load_tensors(raw))
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as cause:
        raise _damaged(path, "its tensors cannot be read") from cause


def _stated_digest(path: Path, raw: bytes) -> str:
    """The digest that a file states, from the safetensors frame: 8 bytes of length, then JSON."""
    try:
        frame = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        return str(frame["__metadata__"]["slth"])
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        raise _damaged(path, "it states no digest") from cause


def _header(path: Path, tensors: Tensors) -> dict[str, Any]:
    try:
        reader = zlib.decompressobj()
        text = reader.decompress(tensors["header"].tobytes(), MAX_HEADER)
        if not reader.eof:
            raise ValueError("it does not end")
        header = dict(json.loads(text))
        version = header["format_version"]
        if not isinstance(version, int):
            raise TypeError("format_version is not a number")
    except (zlib.error, ValueError, KeyError, TypeError, RecursionError) as cause:
        raise _damaged(path, "its header cannot be read") from cause
    if version != FORMAT_VERSION:
        advice = "Update slth to open it." if version > FORMAT_VERSION else "Find the ticket again."
        raise TicketFileError(
            f"{path.name} has format version {version}; this slth reads version {FORMAT_VERSION}. {advice}"
        )
    return header


def _build(header: dict[str, Any], tensors: Tensors, given: Weights | None) -> Record:
    def weights(one: dict[str, Any]) -> tuple[Array, Array | None]:
        shape = tuple(check_int("shape", side, 1) for side in one["shape"])
        groups = check_int("groups", one["groups"], 1)
        if one["kind"] not in ("conv", "linear") or one["signs"] not in ("+", "-", "+-") or shape[0] % groups:
            raise ValueError(f"{one['name']} is no linear map of {groups} groups")
        if given is None:  # broadcast: a claimed shape takes no memory
            unknown = np.broadcast_to(np.float32(np.nan), shape)
            return unknown, np.broadcast_to(np.float32(np.nan), shape[:1]) if one["bias"] else None
        weight, bias = given[one["name"]]
        found = [(array.shape, array.dtype) for array in (weight, bias) if array is not None]
        if found != [(shape, np.float32), (shape[:1], np.float32)][: 1 + one["bias"]]:
            raise ValueError(f"the target's {one['name']} is not float32 of shape {shape}")
        return weight, bias

    kept = {name.removeprefix("stays."): values for name, values in tensors.items() if name.startswith("stays.")}
    target = Target.from_description(header["target"], weights, kept)
    assemble(target, lambda linear: conv_like(linear, linear.channels[0]))  # names and options; no memory
    parent = Parent.from_description(header["parent"])
    structure = check_choice("structure", header["structure"], tuple(STRUCTURES))
    if not all(spec.fits(linear) for spec, linear in zip(parent.layers, target.maps, strict=True)):
        raise ValueError("the parent's layers are not those of the target")
    mixing = sum(layer.width * len(layer.channels) for layer in parent.layers)
    if mixing > MAX_MIXING or target.weight_count > MAX_WEIGHTS:
        raise ValueError(f"{mixing} mixing weights for {target.weight_count} weights")
    info = dict(header["info"])
    if "input_range" in info:
        info["input_range"] = as_recorded(info["input_range"])
    channels = input_channels(parent, target, structure)
    return Record(
        parent=parent,
        target=target,
        structure=structure,
        kept=tuple(
            read_blocks(layer, code["alpha"], code["beta"], tensors[f"kept.{i}"])
            for i, (layer, code) in enumerate(zip(channels, header["codes"], strict=True))
        ),
        layers=tuple(LayerReport(**report) for report in header["layers"]),
        info={**info, "target_hash": str(header["target"]["hash"])},
    )


def _digest(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name}:{array.dtype.str}:{array.shape}:".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _damaged(path: Path, why: str) -> TicketFileError:
    return TicketFileError(
        f"{path.name} is not an intact ticket: {why}. Copy or download it again, or find the ticket anew."
    )
