"""The ``.slth`` file: safetensors with a JSON header. Nothing in it is ever executed.

Tensors
    ``kept.{i}.counts`` int32 (instances,), ``kept.{i}.gaps`` uint16 or uint32: the kept hidden channels of layer i,
    block after block, each index stored as its distance from the one before (−1 before the first);
    ``target.{i}.weight``, ``target.{i}.bias`` float32: the target, so that the file can be verified by itself.

Header (the ``slth`` entry of the safetensors metadata: 64 hexadecimal digits, then JSON)
    format_version, parent (seed, law, layers), target (stages, hash), layers (the reports), info. The digits are the
    SHA-256 over the JSON's bytes and every tensor's name, type, shape and bytes. A file that does not match its
    digest is not loaded. It guards against damage, not against a forger: what a header claims, ``verify`` recomputes.
    One metadata entry, because safetensors writes several in any order: the same ticket gives the same file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from slth.errors import SlthError, TicketFileError
from slth.files import write_whole
from slth.networks.parent import Parent
from slth.networks.target import KeptModule, LinearMap, Target, describe
from slth.tickets.ticket import LayerReport, Rows, Ticket

FORMAT_VERSION = 1
Tensors = dict[str, npt.NDArray[Any]]


def save_ticket(ticket: Ticket, path: str | Path) -> Path:
    """Write ``ticket`` to ``path``, whole or not at all, and return the path."""
    tensors: Tensors = {}
    for i, (linear, blocks) in enumerate(zip(ticket.target.maps, ticket.kept, strict=True)):
        tensors[f"kept.{i}.counts"] = np.array([len(rows) for rows in blocks], dtype=np.int32)
        gaps = np.concatenate([np.diff(rows, prepend=-1) for rows in blocks])
        small = gaps.max(initial=0) < 2**16
        tensors[f"kept.{i}.gaps"] = gaps.astype(np.uint16 if small else np.uint32)
        tensors[f"target.{i}.weight"] = linear.weight
        if linear.bias is not None:
            tensors[f"target.{i}.bias"] = linear.bias
    header = {
        "format_version": FORMAT_VERSION,
        "parent": ticket.parent.describe(),
        "target": {
            "stages": [describe(stage) for stage in ticket.target.stages],
            "hash": ticket.target.hash(),
        },
        "layers": [asdict(report) for report in ticket.layers],
        "info": {key: value for key, value in ticket.info.items() if key != "target_hash"},
    }
    text = json.dumps(header)
    return write_whole(path, save_tensors(tensors, {"slth": _digest(text, tensors) + text}))


def load_ticket(path: str | Path) -> Ticket:
    """Read a ``.slth`` file.

    Raises:
        TicketFileError: missing, truncated, altered, not a ticket, or of a newer format version.
    """
    path = Path(path)
    if not path.is_file():
        raise TicketFileError(f"a ticket file was expected at {path}; nothing is there. Check the path.")
    try:
        raw = path.read_bytes()
    except OSError as cause:
        raise TicketFileError(f"cannot read {path}: {cause.strerror}. Check its permissions.") from cause
    header, text, stated = _header(path, raw)
    try:
        tensors = load_tensors(raw)
        intact = stated == _digest(text, tensors)
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as cause:
        raise _damaged(path, "its tensors cannot be read") from cause
    if not intact:
        raise _damaged(path, "its content does not match its digest")
    try:
        return _build(header, tensors)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, SlthError) as cause:
        # Intact, yet not what this version writes: somebody else's file, or an edited one with a new digest.
        raise _damaged(path, f"its header is not that of a ticket ({type(cause).__name__}: {cause})") from cause


def _header(path: Path, raw: bytes) -> tuple[dict[str, Any], str, str]:
    """The slth header, its text and the stated digest, from the safetensors frame: 8 bytes of length, then JSON."""
    try:
        size = int.from_bytes(raw[:8], "little")
        if len(raw) < 8 or size > len(raw) - 8:
            raise ValueError("shorter than its header says")
        frame = json.loads(raw[8 : 8 + size])
        entry = frame["__metadata__"]["slth"]
        stated, text = entry[:64], entry[64:]
        header = json.loads(text)
        version = header["format_version"]
        if not isinstance(version, int):
            raise TypeError("format_version is not a number")
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        raise _damaged(path, "its header cannot be read") from cause
    if version > FORMAT_VERSION:
        raise TicketFileError(
            f"{path.name} has format version {version}; this slth reads up to {FORMAT_VERSION}. Update slth to open it."
        )
    return dict(header), text, stated


def _build(header: dict[str, Any], tensors: Tensors) -> Ticket:
    target = _target(header["target"]["stages"], tensors)
    kept = tuple(_blocks(tensors[f"kept.{i}.counts"], tensors[f"kept.{i}.gaps"]) for i in range(len(target.maps)))
    info = dict(header["info"])
    if info.get("input_range") is not None:
        info["input_range"] = tuple(info["input_range"])
    return Ticket(
        parent=Parent.from_description(header["parent"]),
        target=target,
        kept=kept,
        layers=tuple(LayerReport(**report) for report in header["layers"]),
        info={**info, "target_hash": header["target"]["hash"]},
    )


def _target(stages: list[dict[str, Any]], tensors: Tensors) -> Target:
    built: list[LinearMap | KeptModule] = []
    index = 0
    for stage in stages:
        if stage["type"] in ("conv", "linear"):
            weight = tensors[f"target.{index}.weight"]
            if list(weight.shape) != stage["shape"] or weight.dtype != np.float32:
                raise ValueError(f"target.{index}.weight is not float32 of shape {stage['shape']}")
            built.append(
                LinearMap(
                    name=stage["name"],
                    kind=stage["type"],
                    weight=weight,
                    bias=tensors[f"target.{index}.bias"] if stage["bias"] else None,
                    options=stage["options"],
                    signs=stage["signs"],
                )
            )
            index += 1
        else:
            module = KeptModule(name=stage["name"], type=stage["type"], options=stage["options"])
            module.build()  # only the few modules of KEPT_MODULES can be built; anything else fails here
            built.append(module)
    return Target(stages=tuple(built))


def _blocks(counts: npt.NDArray[Any], gaps: npt.NDArray[Any]) -> tuple[Rows, ...]:
    if (counts < 0).any() or int(counts.sum()) != len(gaps):
        raise ValueError("the counts of kept channels do not add up")
    ends = np.cumsum(counts.astype(np.int64))
    return tuple(np.cumsum(part.astype(np.int64)) - 1 for part in np.split(gaps, ends[:-1]))


def _digest(text: str, tensors: Tensors) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name}:{array.dtype.str}:{array.shape}:".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _damaged(path: Path, why: str) -> TicketFileError:
    return TicketFileError(
        f"{path.name} is not an intact ticket: {why}. Copy or download it again, or find the ticket anew."
    )
