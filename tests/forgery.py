"""What a forger of tickets can do: read the tensors and the header of a file, change them, and write new digests."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from slth.errors import TicketFileError
from slth.tickets import Ticket, load_ticket
from slth.tickets.files.file import target_path
from slth.tickets.files.header import Tensors
from slth.tickets.record.record import LayerReport

Header = dict[str, Any]
# The fixture `put`: writes bytes to a file with the target beside it, and returns the file's path.
Put = Callable[[bytes], Path]


def same(one: Ticket, other: Ticket) -> bool:
    """Whether two tickets are the same in everything that can be recomputed."""
    return (
        (one.parent, one.structure, one.target.hash()) == (other.parent, other.structure, other.target.hash())
        and [without_floats(report) for report in one.layers] == [without_floats(report) for report in other.layers]
        and all(
            np.array_equal(a.rows, b.rows) and np.array_equal(a.counts, b.counts)
            for x, y in zip(one.kept, other.kept, strict=True)
            for a, b in zip(x, y, strict=True)
        )
    )


def without_floats(report: LayerReport) -> LayerReport:
    """A report without its time, and with nine digits of its RMS error, which no other machine has to the last bit."""
    return dataclasses.replace(report, seconds=0.0, relative_rms=float(f"{report.relative_rms:.8g}"))


def caught(file: Path, whole: Ticket) -> str:
    """How a file was found out; any other exception than a TicketFileError that names the file is a crash."""
    try:
        loaded = load_ticket(file)
    except TicketFileError as error:
        return "refused" if file.name in str(error) else ""
    if not loaded.verify():
        return "not verified"
    return "the same" if same(loaded, whole) else ""


def seal(tensors: Tensors) -> bytes:
    """A file of these tensors with the digest that belongs to them, written as the format says."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name}:{tensors[name].dtype.str}:{tensors[name].shape}:".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    sealed: bytes = save(tensors, {"slth": digest.hexdigest()})
    return sealed


def read_header(tensors: Tensors) -> Header:
    """The header of a file, unpacked."""
    return dict(json.loads(zlib.decompress(tensors["header"].tobytes())))


def with_header(tensors: Tensors, header: Any) -> bytes:
    """A sealed file of these tensors with another header."""
    packed = np.frombuffer(zlib.compress(json.dumps(header).encode(), 9), dtype=np.uint8)
    return seal({**tensors, "header": packed})


def forge(path: Path, change: Callable[[Header], object]) -> bytes:
    """A file with a changed header that states the right hash of the changed target: all that a forger can do."""
    tensors = dict(load(path.read_bytes()))
    header = read_header(tensors)
    change(header)
    digest = hashlib.sha256()
    target = {key: value for key, value in header["target"].items() if key != "hash"}
    digest.update(json.dumps(target, sort_keys=True).encode())
    weights = load(target_path(path).read_bytes())
    for linear in target["maps"]:
        for kind in ("weight", "bias"):
            if f"{linear['name']}.{kind}" in weights:
                digest.update(weights[f"{linear['name']}.{kind}"].tobytes())
    stays = {name.removeprefix("stays."): values for name, values in tensors.items() if name.startswith("stays.")}
    for name, values in sorted(stays.items()):
        digest.update(f"{name}:{values.dtype.str}:{values.shape}:".encode() + values.tobytes())
    header["target"]["hash"] = digest.hexdigest()
    return with_header(tensors, header)


def step(header: Header, kind: str) -> dict[str, Any]:
    """The first step of a kind in a header."""
    steps: list[dict[str, Any]] = header["target"]["steps"]
    return next(one for one in steps if one["kind"] == kind)
