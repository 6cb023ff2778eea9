"""Forged files with new digests: nothing in them is run or built, and no unreasonable claim is believed."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forgery import Header, Put, caught, forge, read_header, seal, step
from safetensors.numpy import load

from slth.errors import TicketFileError
from slth.tickets import Ticket, load_ticket
from slth.tickets.checks.verification import UNCHECKED_BINDING
from slth.tickets.files.file import target_path
from slth.tickets.files.header import MAX_HEADER


def update_target(header: Header, **changes: Any) -> None:
    header["target"].update(changes)


EXECUTABLE: dict[str, Callable[[Header], object]] = {
    "a function of os": lambda h: step(h, "function").update(call="os.system", args=["touch pwned"]),
    "eval": lambda h: step(h, "function").update(call="builtins.eval", args=["open('pwned', 'w')"]),
    "a method": lambda h: step(h, "method").update(call="__reduce__"),
    "another method": lambda h: step(h, "method").update(call="apply_"),
    "an attribute": lambda h: step(h, "function").update(call="builtins.getattr", args=[{"ref": "x"}, "__class__"]),
    "an attribute of a reference": lambda h: step(h, "function").update(
        call="builtins.getattr", args=[{"ref": "x"}, {"ref": "x"}]
    ),
    "a step of another kind": lambda h: step(h, "function").update(kind="eval"),
    "an unknown dtype": lambda h: step(h, "method").update(args=[{"ref": "x"}, {"dtype": "load"}]),
    "a lazy part of torch": lambda h: step(h, "method").update(args=[{"ref": "x"}, {"dtype": "_inductor"}]),
    "a value of an unknown kind": lambda h: step(h, "method").update(args=[{"__class__": "x"}]),
    "an abstract module": lambda h: h["target"]["modules"][0].update(type="Module"),
    "a type by its path": lambda h: h["target"]["modules"][0].update(type="torch.nn.Module"),
    "an option of an unknown kind": lambda h: h["target"]["modules"][0].update(options={"__class__": 1}),
    "options that are no dict": lambda h: h["target"]["modules"][0].update(options=[["in_features", 8]]),
    "a name that is a method": lambda h: rename(h, "left", "forward"),
    "a name that is private": lambda h: rename(h, "left", "_modules"),
    "a name of dots": lambda h: rename(h, "left", ".."),
    "no name": lambda h: rename(h, "left", ""),
    "a name inside a layer": lambda h: rename(h, "left", "fc.weight"),
    "a step that reads itself": lambda h: step(h, "method").update(args=[{"ref": step(h, "method")["name"]}]),
    "a step that reads the future": lambda h: step(h, "module").update(args=[{"ref": "output"}]),
    "two steps of one name": lambda h: step(h, "module").update(name="x"),
    "no output": lambda h: h["target"]["steps"].pop(),
    "no steps": lambda h: h["target"].update(steps=[]),
    "no groups": lambda h: [one["maps"][0].update(groups=0) for one in (h["target"],)],
    "half a group": lambda h: h["parent"]["layers"][0].update(groups=0.5),
    "groups that do not divide": lambda h: h["target"]["maps"][0].update(groups=3),
    "no signs": lambda h: h["target"]["maps"][0].update(signs=""),
    "signs twice": lambda h: h["target"]["maps"][0].update(signs="++"),
    "an unknown kind of layer": lambda h: h["target"]["maps"][0].update(kind="os"),
    "an option of a conv": lambda h: h["target"]["maps"][0]["options"].update(device="cuda"),
    "a padding mode": lambda h: h["target"]["maps"][0]["options"].update(padding_mode="evil"),
    "a kernel of floats": lambda h: h["parent"]["layers"][0].update(kernel=[2.0, 2.0]),
    "outputs of floats": lambda h: h["parent"]["layers"][0].update(c_out=2.0),
    "an error of text": lambda h: h["layers"][0].update(error="small"),
    "an RMS of nothing": lambda h: h["layers"][0].update(relative_rms=None),
    "an infinite error": lambda h: h["layers"][0].update(error=float("inf")),
    "usable text": lambda h: h["layers"][0].update(usable="many"),
    "a version without sizes": lambda h: h.update(format_version=3),
    **{f"sizes {sizes!r}": partial(update_target, sizes=sizes) for sizes in (
        {}, {"y": [None]}, {"x": [None], "y": [1]}, {"x": "1133"}, {"x": None}, {"x": [-1, 1, 3, 3]}, {"x": [1.5]},
        {"x": [True, 1, 3, 3]}, ["x"], 3)},
    **{f"condition {text!r}"[:60]: partial(update_target, conditions=[text]) for text in (
        "__import__('os').system('touch pwned')", "open('pwned', 'w')", "9**9**9 > x[0]", "x.shape == 3", "x == 3",
        "y[0] > 1", "x[9] > 1", "x[-1] > 1", "x[0][0] > 1", "x[x[0]] > 1", "x['a'] > 1", "min() > 1", "min(1) > 1",
        "min(*x) > 1", "lambda: 1", "[x[0] for x in 3]", "x[0] if x[1] else 2", "(x := 3) > 1", "'a' * 9 > x[0]",
        "x[0] >", "", "x[0] > 1 # " + "x" * 500, 3, None, ["x[0] > 1"])},
    "a condition for a list": lambda h: h["target"].update(conditions="x[0] > 1"),
    "too many conditions": lambda h: h["target"].update(conditions=["x[0] > 1"] * 1001),
}  # fmt: skip


def rename(header: Header, old: str, new: str) -> None:
    """Rename a kept module wherever it is named."""
    for one in (*header["target"]["modules"], *header["target"]["steps"]):
        for key in ("name", "call"):
            one[key] = new if one.get(key) == old else one.get(key, "")


@pytest.mark.parametrize("what", EXECUTABLE)
def test_a_forger_who_writes_every_digest_is_refused(
    what: str, tiny_file: Path, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the target and without it: the file is refused when it is opened; nothing is built or run."""
    monkeypatch.chdir(tmp_path)
    file = put(forge(tiny_file, EXECUTABLE[what]))
    for _ in range(2):
        with pytest.raises(TicketFileError, match=r"f\.slth"):
            load_ticket(file)
        target_path(file).unlink(missing_ok=True)
    assert not (tmp_path / "pwned").exists()


def test_the_forger_s_hash_is_right(tiny_file: Path, put: Put) -> None:
    """A forger may rename a step: the file then is a valid ticket for another target."""
    assert load_ticket(put(forge(tiny_file, lambda header: None))).verify()
    file = put(forge(tiny_file, lambda header: step(header, "output").update(name="end")))
    with pytest.raises(TicketFileError, match=r"describe different networks: the target's file states the hash"):
        load_ticket(file)
    # Only where nobody states the hash of the target, the file passes for a ticket for another one, and says so.
    weights = load(target_path(tiny_file).read_bytes())
    given = {name.removesuffix(".weight"): (values, weights.get(name.replace(".weight", ".bias")))
             for name, values in weights.items() if name.endswith(".weight")}  # fmt: skip
    renamed = load_ticket(file, given).verify()
    assert renamed
    assert UNCHECKED_BINDING["nothing"] in renamed.unchecked
    assert renamed.target_hash != load_ticket(tiny_file).verify().target_hash


def outsize(header: Header, **changes: Any) -> None:
    """Let a header claim unreasonable sizes."""
    for name, value in changes.items():
        if name == "outputs":
            header["target"]["maps"][1]["shape"][0] = header["parent"]["layers"][1]["c_out"] = value
        elif name == "inputs":
            header["target"]["maps"][1]["shape"][1] = header["parent"]["layers"][1]["c_in"] = value
        elif name == "width":
            header["parent"]["layers"][1]["width"] = header["layers"][1]["width"] = value
        elif name == "left":
            header["target"]["modules"][0]["options"]["in_features"] = value
        elif name == "count":
            header["codes"][1]["count"] = value


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": 2**31}, {"inputs": 10**12}, {"outputs": 2**70}, {"width": 2**31}, {"width": 2**31 - 1},
        {"count": 10**12}, {"left": 10**12},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("structure", ["weight", "channel"])
def test_claims_beyond_reason_take_no_time_and_no_memory(
    changes: dict[str, Any], structure: str, tiny_file: Path, put: Put
) -> None:
    """Without the target, nothing but the limits of slth bounds the shapes that a header claims."""

    def change(header: Header) -> None:
        outsize(header, **changes)
        header["structure"] = structure

    file = put(forge(tiny_file, change))
    target_path(file).unlink()
    began = time.process_time()
    with pytest.raises(TicketFileError, match=r"f\.slth"):
        load_ticket(file)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("depth", [*range(100, 520, 10), 5000, 100_000])
def test_nesting_is_refused_or_harmless(depth: int, tiny_file: Path, tiny_ticket: Ticket, put: Put) -> None:
    """Nesting deeper than Python's stack, or just as deep: the file is refused without a crash."""
    tensors = dict(load(tiny_file.read_bytes()))
    header = read_header(tensors)
    step(header, "method")["args"] = ["here"]
    text = json.dumps(header).replace('"here"', '{"tuple": [' * depth + "1" + "]}" * depth)
    packed = np.frombuffer(zlib.compress(text.encode()), dtype=np.uint8)
    assert caught(put(seal({**tensors, "header": packed})), tiny_ticket) == "refused"


def test_a_header_that_unpacks_to_gigabytes_is_refused(tiny_file: Path, put: Put) -> None:
    tensors = dict(load(tiny_file.read_bytes()))
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(b" " * 2**20) for _ in range(2 * MAX_HEADER // 2**20)) + packer.flush()
    tensors["header"] = np.frombuffer(bomb, dtype=np.uint8)
    with pytest.raises(TicketFileError, match="header cannot be read"):
        load_ticket(put(seal(tensors)))
