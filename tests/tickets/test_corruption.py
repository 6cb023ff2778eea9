"""Ten thousand corruptions of a saved ticket: none verifies, none crashes, and none runs code.

Flipped bits and cuts do not match the digest. If a forger writes a new digest, verification must find what is wrong,
or the ticket must be the one that was saved, number for number.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forgery import Put, caught, read_header, same, seal, with_header
from safetensors.numpy import load, save

from slth.errors import SlthError, TicketFileError
from slth.tickets import Ticket, load_ticket
from slth.tickets.files.file import target_path
from slth.tickets.files.header import Tensors

FLIPS, CODES, HEADERS = 7000, 1000, 2000  # together 10,000


def test_the_forger_s_tools_work(tiny_file: Path, tiny_ticket: Ticket, put: Put) -> None:
    """An intact file verifies, also with its header packed and sealed again: only corruptions are refused below."""
    raw = tiny_file.read_bytes()
    tensors = load(raw)
    assert sorted(tensors) == ["header", "kept.0", "kept.1", "stays.gamma", "stays.left.bias", "stays.left.weight"]
    for data in (raw, seal(tensors), with_header(tensors, read_header(tensors))):
        file = put(data)
        assert load_ticket(file).verify()
        assert caught(file, tiny_ticket) == "the same"


def test_flipped_bits_and_cuts_are_refused(tiny_file: Path, tiny_ticket: Ticket, put: Put) -> None:
    """One to eight bits are flipped anywhere, or the end is cut or extended: the digest does not match."""
    raw, rng = tiny_file.read_bytes(), np.random.default_rng(0)
    for _ in range(FLIPS):
        data = bytearray(raw)
        kind = rng.integers(10)
        if kind == 0:
            data = data[: rng.integers(len(raw))]
        elif kind == 1:
            data += rng.bytes(int(rng.integers(1, 20)))
        elif kind == 2:  # a run of bytes moved, or written over another
            (start, other), size = rng.integers(len(raw), size=2), int(rng.integers(1, 64))
            data[start : start + size] = raw[other : other + size]
            if data == raw:
                continue
        else:
            for position in rng.choice(8 * len(raw), rng.integers(1, 9), replace=False).tolist():
                data[position // 8] ^= 1 << (position % 8)
        assert caught(put(bytes(data)), tiny_ticket) == "refused"


@pytest.mark.parametrize("part", range(4))
def test_every_bit_of_a_small_file_matters(part: int, tiny_file: Path, tiny_ticket: Ticket, put: Put) -> None:
    """Every bit, also those that JSON ignores and those of padding."""
    raw = tiny_file.read_bytes()
    for position in range(part * 2 * len(raw), (part + 1) * 2 * len(raw)):
        found = caught(put(flipped(raw, position)), tiny_ticket)
        assert found == "refused", f"bit {position % 8} of byte {position // 8}"


def test_flipped_bits_of_a_larger_file_are_refused(digits_ticket: Ticket, put: Put, tmp_path: Path) -> None:
    """1,500 bits anywhere."""
    raw = digits_ticket.save(tmp_path / "digits.slth").read_bytes()
    for position in np.random.default_rng(1).choice(8 * len(raw), 1500, replace=False).tolist():
        assert caught(put(flipped(raw, position)), digits_ticket) == "refused", position


def flipped(raw: bytes, position: int) -> bytes:
    data = bytearray(raw)
    data[position // 8] ^= 1 << (position % 8)
    return bytes(data)


def change_tensor(tensors: Tensors, rng: np.random.Generator) -> None:
    """Do one thing that can happen to the tensors of a file."""
    names = list(tensors)
    name, other = rng.choice(names, 2, replace=False).tolist()
    tensor = tensors[name]
    match int(rng.integers(8)):
        case 0:
            tensors[name], tensors[other] = tensors[other], tensor
        case 1:
            tensors[name] = tensor[: rng.integers(len(tensor))]
        case 2:
            tensors[name] = np.concatenate([tensor, tensor[: rng.integers(1, len(tensor) + 1)]])
        case 3:
            tensors[name] = tensor.astype(rng.choice(["u1", "i8", "f4", "f8", "u2"]))
        case 4:
            tensors[name] = tensor.reshape([(-1, 1), (1, -1), (1, 1, -1)][rng.integers(3)])
        case 5:
            del tensors[name]
        case 6:
            tensors[rng.choice(["kept.2", "kept.-1", "stays.", "../x", "__class__", "header "])] = tensors.pop(name)
        case _:
            raw = bytearray(tensor.tobytes())
            for position in rng.choice(8 * len(raw), rng.integers(1, 4), replace=False).tolist():
                raw[position // 8] ^= 1 << (position % 8)
            tensors[name] = np.frombuffer(bytes(raw), tensor.dtype).reshape(tensor.shape)


def test_changed_tensors_with_a_new_digest_are_found(tiny_file: Path, tiny_ticket: Ticket, put: Put) -> None:
    """Tensors are swapped, cut, extended, cast, reshaped, dropped, renamed, or their bits are flipped."""
    raw, rng = tiny_file.read_bytes(), np.random.default_rng(1)
    found = []
    for _ in range(CODES):
        tensors = dict(load(raw))
        change_tensor(tensors, rng)
        found.append(caught(put(seal(tensors)), tiny_ticket))
    assert "" not in found
    assert found.count("not verified") > 10  # codes that can be read, of other channels
    assert found.count("the same") < 100  # padding, other shapes of the same bytes


JUNK: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 7, 41, 2**40, 2**63, 2**64, 10**30, -0.5, 0.5, 1.0, 1e308, float("nan"),
    float("inf"), "", "0", "1", "+", "-", "+-", "weight", "channel", "conv", "linear", "os.system", "builtins.eval",
    "operator.add", "torch.relu", "__class__", "shape", "Module", "ReLU", "Linear", "a.b.c", "..", "x", "output",
    [], {}, [1], [[]], {"ref": "x"}, {"ref": "nothing"}, {"dtype": "load"}, {"slice": []}, {"tuple": 3},
    {"dict": [[1, 2]]}, {"call": 1}, [0, 0], [1, 2, 2, 2], [10**9, 10**9], [2**62, 4],
]  # fmt: skip
# What cannot be recomputed, and so cannot be verified: how the ticket was found.
STATED = {"info"}


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, except for what is merely stated."""
    if way:
        yield way
    if isinstance(value, dict):
        for key in value:
            if key not in STATED:
                yield from places(value[key], (*way, key))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from places(one, (*way, i))


def change_header(header: dict[str, Any], rng: np.random.Generator) -> None:
    """Change one place of a header."""
    found = list(places(header))
    *way, last = found[rng.integers(len(found))]
    owner: Any = header
    for step in way:
        owner = owner[step]
    value = owner[last]
    match int(rng.integers(6)):
        case 0:
            del owner[last]
        case 1 if isinstance(owner, list):
            owner.insert(int(rng.integers(len(owner) + 1)), copy.deepcopy(value))
        case 2 if isinstance(owner, list):
            other = int(rng.integers(len(owner)))
            owner[last], owner[other] = owner[other], value
        case 3 if isinstance(value, int | float) and not isinstance(value, bool):
            owner[last] = value + [1, -1, 0.5, 1e-12][rng.integers(4)]
        case 4 if isinstance(value, str) and value:
            place = int(rng.integers(len(value)))
            owner[last] = value[:place] + chr(rng.integers(32, 127)) + value[place + 1 :]
        case _:
            owner[last] = copy.deepcopy(JUNK[rng.integers(len(JUNK))])


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_in_what_is_merely_stated_does_not_crash(
    junk: Any, tiny_file: Path, tiny_ticket: Ticket, put: Put
) -> None:
    """How a ticket was found cannot be recomputed: such a file is refused, or it is the same ticket."""
    tensors = dict(load(tiny_file.read_bytes()))
    for key in (None, "method", "input_shapes", "environment", "other", "target_hash"):
        header = read_header(tensors)
        if key is None:
            header["info"] = junk
        else:
            header["info"][key] = junk
        allowed = ("refused", "the same", *(("not verified",) if key in (None, "input_shapes") else ()))
        assert caught(put(with_header(tensors, header)), tiny_ticket) in allowed


EVENTS: list[str] = []
WATCHED = {"exec", "compile", "import", "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen",
           "pickle.find_class", "ctypes.dlopen", "marshal.loads", "socket.connect", "shutil.rmtree"}  # fmt: skip
watching = False


def watch(event: str, args: tuple[Any, ...]) -> None:
    if watching and event in WATCHED:
        EVENTS.append(f"{event} {args[:1]}")


sys.addaudithook(watch)


def test_edited_headers_with_a_new_digest_are_found(tiny_file: Path, tiny_ticket: Ticket, put: Put) -> None:
    """Junk at any place of the header. Python's own audit says that nothing is compiled, imported or run."""
    global watching
    tensors, rng = dict(load(tiny_file.read_bytes())), np.random.default_rng(2)
    caught(tiny_file, tiny_ticket)  # what is imported at first use is
    found, slowest = [], 0.0
    EVENTS.clear()
    for _ in range(HEADERS):
        header = read_header(tensors)
        change_header(header, rng)
        file = put(with_header(tensors, header))
        began, watching = time.process_time(), True
        found.append(caught(file, tiny_ticket))
        watching = False
        slowest = max(slowest, time.process_time() - began)
        assert found[-1], header
    assert EVENTS == []
    assert slowest < 2
    assert found.count("refused") > HEADERS / 2
    assert found.count("not verified") > HEADERS / 40
    assert found.count("the same") < HEADERS / 10  # 1 for True, 1.0 or 1 + 1e-12; an element that was its own twin


def test_the_audit_would_see_code_run() -> None:
    global watching
    EVENTS.clear()
    watching = True
    exec("1 + 1")
    watching = False
    assert any(event.startswith("exec") for event in EVENTS)


def test_a_damaged_target_is_not_taken_for_the_target(tiny_file: Path, tiny_ticket: Ticket, put: Put) -> None:
    """Every bit of its numbers is flipped, and five hundred bits of its frame; then a bias gets another shape."""
    file = put(tiny_file.read_bytes())
    beside = target_path(file)
    raw = beside.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    rng = np.random.default_rng(3)
    for position in [*range(8 * start, 8 * len(raw)), *rng.integers(0, 8 * start, 500).tolist()]:
        beside.unlink()
        beside.write_bytes(flipped(raw, position))
        try:
            loaded = load_ticket(file)
        except SlthError:
            continue
        assert position < 8 * start
        assert same(loaded, tiny_ticket)  # what the frame says beside the numbers, which nobody reads
    tensors = dict(load(raw))
    tensors["conv.bias"] = tensors["conv.bias"].reshape(-1, 1)
    beside.write_bytes(save(tensors))
    with pytest.raises(TicketFileError, match="not float32 of shape"):
        load_ticket(file)
