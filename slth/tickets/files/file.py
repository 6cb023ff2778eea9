"""The ``.slth`` file of a ticket: safetensors throughout, of which nothing is ever executed.

Tensors
    ``kept.{i}`` uint8: the kept hidden channels of layer i, numbered as in :mod:`slth.tickets.files.places` and coded
    as in :mod:`slth.tickets.files.coding`.

    ``stays.{path}``: trained numbers of what the ticket does not replace, such as layers that were left out and
    normalisations. Most tickets have none.

    ``header`` uint8: zlib-compressed JSON of format_version, parent (seed, law, layers), target (steps, maps, modules,
    input_range, sizes, conditions, hash), structure, codes (α and β of each layer), layers (the reports), info.

The ``slth`` entry of the safetensors metadata is the SHA-256 over every tensor's name, type, shape and bytes. A file
that does not match it is not loaded. The digest guards against damage, not against a forger: ``verify`` recomputes what
a header claims. The same search always gives the same file: times, and the machine, are stated in the card only.

Version 4 is written. Version 3, which lacks the sizes of the inputs, is read, and written again for such a ticket.
Version 2 is read too (:mod:`slth.tickets.files.format2`).

The file holds none of the target's weights, because the ticket is rebuilt from the seed. The weights go into a file
beside it (``name.target.safetensors``). Verification reads that file, and the ticket's header states the target's hash.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from slth.errors import InputError, TicketFileError, UnregisteredError
from slth.files import write_whole
from slth.networks.target import Target
from slth.tickets.files import format2
from slth.tickets.files.card import card_of_file, card_path
from slth.tickets.files.coding import encode
from slth.tickets.files.header import (
    FORMAT_VERSION,
    MALFORMED,
    UNREADABLE,
    WITHOUT_SIZES,
    Tensors,
    Weights,
    pack_header,
    record_from_header,
    unpack_header,
)
from slth.tickets.files.places import places_of
from slth.tickets.record.record import Record


def save_record(record: Record, path: str | Path) -> Path:
    """Write a ticket, its target and its card beside it, each whole or not at all.

    Args:
        record: the ticket's record.
        path: the ``.slth`` file to write.

    Returns:
        ``path``.

    Raises:
        InputError: the file has the name of its card, or the folder cannot be written to.
    """
    path = Path(path)
    if path.suffix == ".md":
        raise InputError(
            f"a ticket's name must not end in .md, the suffix of its card; got {path}. Call it {path.stem}.slth."
        )
    tensors: Tensors = {f"stays.{name}": values for name, values in record.target.kept_tensors().items()}
    codes = []
    for i, (channels, blocks) in enumerate(zip(record.channels, record.kept, strict=True)):
        alpha, beta, tensors[f"kept.{i}"] = encode(*places_of(channels, blocks))
        codes.append((alpha, beta))
    tensors["header"] = pack_header(record, codes)
    card = card_of_file(record, path)
    if record.target.known:
        _save_target(record.target, target_path(path))
    write_whole(path, save_tensors(tensors, {"slth": _content_digest(tensors)}))
    write_whole(card_path(path), card)
    return path


def target_path(path: Path) -> Path:
    """The file with the target's weights, beside the ticket at ``path``."""
    return path.with_suffix(".target.safetensors")


def load_record(path: str | Path, target: str | Path | Weights | None = None) -> Record:
    """Read a ``.slth`` file.

    Args:
        path: the file to read.
        target: the target's weights: their file, or name of a layer → (weight, bias). The default is the file beside
            the ticket's, if there is one. Without the weights the ticket can be run, but not verified.

    Returns:
        The ticket's record.

    Raises:
        TicketFileError: the file is missing, truncated, altered, not a ticket or of another format version; or the
            target is not the one that the ticket was found for.
    """
    path = Path(path)
    raw = _read_bytes(path, "a ticket file")
    tensors = _parse_tensors(path, raw)
    if _stated_digest(path, raw) != _content_digest(tensors):
        raise _damaged(path, "its content does not match its digest")
    header = _parse_header(path, tensors)
    if target is None and target_path(path).is_file():
        target = target_path(path)
    given: Weights | None
    if isinstance(target, str | Path):
        shown = Path(target).name
        given, stated = _load_target(Path(target))
    else:
        given, stated, shown = target, None, "the target that was given"
    try:
        record = record_from_header(header, tensors, given)
    except UnregisteredError as cause:
        raise TicketFileError(f"{path.name} needs an operation that this program does not know: {cause}") from cause
    except MALFORMED as cause:
        # The digest is right, but this version writes no such header: the file is forged, or from another program.
        raise _damaged(path, f"its header is not that of a ticket ({type(cause).__name__}: {cause})") from cause
    if given is None:
        return record
    binding = _check_target(record, path.name, shown, stated)
    return replace(
        record,
        target=replace(record.target, binding=binding),
        info={**record.info, "target_hash": record.target.hash()},
    )


def _check_target(record: Record, name: str, target_name: str, stated: str | None) -> str:
    """Compare the target's hash with those that its file and the ticket state; return what the file's hash binds."""
    found, wanted = record.target.hash(), record.info["target_hash"]
    without_range = record.target.hash(with_range=False)  # stated by files of format version 2
    if stated not in (None, found, without_range):
        raise TicketFileError(
            f"{name} and {target_name} describe different networks: the target's file states the hash {stated[:16]}…, "
            f"the ticket's graph with these weights has {found[:16]}…. One of them was changed, or they do not belong "
            "together."
        )
    if wanted not in (found, without_range):
        raise TicketFileError(
            f"{target_name} is not the target of {name}: the ticket states the hash {wanted[:16]}…, this one has "
            f"{found[:16]}…. Pass the target that the ticket was found for."
        )
    return "nothing" if stated is None else "all" if stated == found else "graph"


def _save_target(target: Target, path: Path) -> None:
    """Write the target's weights."""
    tensors: Tensors = {}
    for linear in target.maps:
        tensors[f"{linear.name}.weight"] = linear.weight
        if linear.bias is not None:
            tensors[f"{linear.name}.bias"] = linear.bias
    write_whole(path, save_tensors(tensors, {"slth_target": target.hash()}))


def _load_target(path: Path) -> tuple[Weights, str | None]:
    """Read the target's weights and the hash that their file states, if any; whether they fit is checked later."""
    raw = _read_bytes(path, "a target's safetensors file")
    tensors = _parse_tensors(path, raw)
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    weights = {name: (tensors[f"{name}.weight"], tensors.get(f"{name}.bias")) for name in names}
    return weights, _stated(raw, "slth_target")


def _read_bytes(path: Path, what: str) -> bytes:
    """The content of a file; ``what`` it should be, for the message."""
    if not path.is_file():
        raise TicketFileError(f"{what} was expected at {path}; nothing is there. Check the path.")
    try:
        return path.read_bytes()
    except OSError as cause:
        raise TicketFileError(f"cannot read {path}: {cause.strerror}. Check its permissions.") from cause


def _parse_tensors(path: Path, raw: bytes) -> Tensors:
    """The tensors of a safetensors file."""
    try:
        return dict(load_tensors(raw))
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as cause:
        raise _damaged(path, "its tensors cannot be read") from cause


def _stated_digest(path: Path, raw: bytes) -> str:
    """The digest that a ticket's file states."""
    stated = _stated(raw, "slth")
    if stated is None:
        raise _damaged(path, "it states no digest")
    return stated


def _stated(raw: bytes, key: str) -> str | None:
    """An entry of the metadata in a safetensors frame: 8 bytes of length, then JSON. None if it is not there."""
    try:
        frame = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        return str(frame["__metadata__"][key])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _parse_header(path: Path, tensors: Tensors) -> dict[str, Any]:
    """The header of a file, in this format version."""
    try:
        header = unpack_header(tensors["header"])
    except UNREADABLE as cause:
        raise _damaged(path, "its header cannot be read") from cause
    version = header["format_version"]
    if version == format2.VERSION:
        try:
            return format2.upgrade(header)
        except MALFORMED as cause:
            raise _damaged(path, "its header is not that of a ticket") from cause
    if version not in (WITHOUT_SIZES, FORMAT_VERSION):
        advice = "Update slth to open it." if version > FORMAT_VERSION else "Find the ticket again."
        raise TicketFileError(
            f"{path.name} has format version {version}; this slth reads versions {format2.VERSION} to "
            f"{FORMAT_VERSION}. {advice}"
        )
    return header


def _content_digest(tensors: Tensors) -> str:
    """The SHA-256 over every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name}:{array.dtype.str}:{array.shape}:".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _damaged(path: Path, why: str) -> TicketFileError:
    """The error for a file that is not an intact ticket."""
    return TicketFileError(
        f"{path.name} is not an intact ticket: {why}. Copy or download it again, or find the ticket anew."
    )
