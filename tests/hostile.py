"""Ticket files whose headers claim as much as they can, and a program that opens each and measures what it costs."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from forgery import Header, forge, read_header, seal, step
from safetensors.numpy import load

from slth.tickets.files.header import MAX_HEADER

# Opens every file of a folder, verifies what opens, and prints what each took and the peak memory of all.
PROGRAM = """
import json, pathlib, resource, sys, time
from slth.tickets import load_ticket
import slth.tickets.certify
resource.setrlimit(resource.RLIMIT_DATA, (3 * 2**30, 3 * 2**30))  # so that a failure does not take the machine down
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.slth")):
    began = time.perf_counter(), time.process_time()
    try:
        outcome = "verified" if load_ticket(path).verify() else "not verified"
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"[:200]
    status = pathlib.Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    taken = [time.perf_counter() - began[0], time.process_time() - began[1]]
    print(json.dumps([path.stem, outcome, *taken, peak]), flush=True)
"""


def hostile_files(narrow: Path, tiny: Path) -> Iterator[tuple[str, bytes]]:
    """Forged files with all digests right.

    Args:
        narrow: a ticket of one linear layer with one input and one output, which can claim the greatest width.
        tiny: a ticket with a convolution, a linear layer and one that is left out.

    Yields:
        (name, content).
    """
    for power in (23, 26, 31):
        for alpha, beta in ((1.0, 1.0), (1e8, 1e-8), (1e-8, 1e8)):
            yield f"width-{power}-{alpha:g}", forge(narrow, widen(2**power - 1, alpha, beta))
    for name, change in CLAIMS.items():
        yield name, forge(tiny, change)
    for name, text in FILLED.items():
        yield name, with_text(tiny, text)


def widen(width: int, alpha: float, beta: float) -> Callable[[Header], None]:
    """A change of the width and of the prior of the code, under which nearly all or nearly none would be kept."""

    def change(header: Header) -> None:
        header["parent"]["layers"][0]["width"] = header["layers"][0]["width"] = width
        header["codes"][0] = {"alpha": alpha, "beta": beta}

    return change


def with_text(path: Path, text: str) -> bytes:
    """The file with some JSON, written by hand, in place of an argument of a step."""
    tensors = dict(load(path.read_bytes()))
    header = read_header(tensors)
    step(header, "method")["args"] = ["here"]
    packed = zlib.compress(json.dumps(header).replace('"here"', text).encode(), 1)
    return seal({**tensors, "header": np.frombuffer(packed, dtype=np.uint8)})


def _shape(header: Header, layer: int, axis: int, value: Any) -> None:
    header["target"]["maps"][layer]["shape"][axis] = value
    header["parent"]["layers"][layer]["c_out" if axis == 0 else "c_in"] = value


def _left(header: Header, size: int) -> None:
    header["target"]["modules"][0]["options"].update(in_features=size)


def _sizes(header: Header, sizes: list[Any]) -> None:
    header["target"]["sizes"] = {"x": sizes}


def _conditions(header: Header, conditions: list[Any]) -> None:
    header["target"]["conditions"] = conditions


def _groups(header: Header, groups: int) -> None:
    header["target"]["maps"][0].update(groups=groups)


def _certificate(header: Header, **changes: Any) -> None:
    network = {
        "shape": [1, 3, 3], "low": -1.0, "high": 1.0, "unknowns": 10**6, "proved": 1.0, "found": 0.0, "norm_bound": 1.0,
        "worst_input": base64.b64encode(np.zeros(9, "<f4").tobytes()).decode(), **changes,
    }  # fmt: skip
    header["info"]["certificate"] = {"network": network, "agreement": []}


def _repeat_step(header: Header, times: int) -> None:
    steps = header["target"]["steps"]
    first = next(i for i, one in enumerate(steps) if one["kind"] == "function")
    more = [{**steps[first], "name": f"again_{i}"} for i in range(times)]
    header["target"]["steps"] = steps[: first + 1] + more + steps[first + 1 :]


def _double(header: Header, times: int) -> None:
    """Each step adds up its predecessor with itself, so that 2^times paths lead through the graph."""
    steps = header["target"]["steps"]
    source, more = steps[0]["name"], []
    for i in range(times):
        more.append({"name": f"twice_{i}", "kind": "function", "call": "operator.add",
                     "args": [{"ref": source}, {"ref": source}], "options": {}})  # fmt: skip
        source = f"twice_{i}"
    header["target"]["steps"] = steps[:1] + more + steps[1:]


CLAIMS: dict[str, Callable[[Header], object]] = {
    **{f"outputs-{power}": partial(_shape, layer=1, axis=0, value=2**power) for power in (17, 20, 28, 31, 62, 70)},
    **{f"inputs-{power}": partial(_shape, layer=1, axis=1, value=2**power - 8) for power in (16, 20, 28, 31, 62, 70)},
    **{f"left-{power}": partial(_left, size=2**power) for power in (20, 31, 62)},
    "sizes": partial(_sizes, sizes=[None] * 10**6),
    "size": partial(_sizes, sizes=[10**4000]),
    "conditions": partial(_conditions, conditions=["x[0]>0"] * 10**5),
    "long-conditions": partial(_conditions, conditions=["+".join(["x[0]"] * 99) + " > 0"] * 999),
    "condition": partial(_conditions, conditions=["-" * 490 + "x[0]"]),
    "power": partial(_conditions, conditions=["*".join(["x[0]"] * 99) + " < 0"]),
    **{f"groups-{power}": partial(_groups, groups=2**power) for power in (20, 40)},
    "kernel": lambda h: h["target"]["maps"][0].update(shape=[2, 1, 2**15, 2**15]),
    "axes": lambda h: h["target"]["maps"][0].update(shape=[2, 1] + [1] * 10**5),
    "stride": lambda h: h["target"]["maps"][0]["options"].update(stride=[2**20, 2**20]),
    "padding": lambda h: h["target"]["maps"][0]["options"].update(padding=[2**20, 2**20]),
    "dilation": lambda h: h["target"]["maps"][0]["options"].update(dilation=[2**20, 2**20]),
    "usable": lambda h: h["layers"][0].update(usable=10**18),
    "input-shape": lambda h: h["info"].update(input_shapes=[[2**31, 2**31, 2**31]]),
    "input-shapes": lambda h: h["info"].update(input_shapes=[[1, 3, 3]] * 10**5),
    "seed": lambda h: h["parent"].update(seed=10**4000),
    "layers": lambda h: h["parent"].update(layers=h["parent"]["layers"] * 10_000),
    "maps": lambda h: h["target"].update(maps=h["target"]["maps"] * 10_000),
    "modules": lambda h: h["target"].update(modules=h["target"]["modules"] * 20_000),
    "steps": lambda h: _repeat_step(h, 20_000),
    "paths": lambda h: _double(h, 300),
    "certificate": _certificate,
    "certificate-shape": lambda h: _certificate(h, shape=[2**20, 2**20]),
    "certificate-box": lambda h: _certificate(h, low=-1e308, high=1e308),
    "agreements": lambda h: h["info"].update(certificate={"network": None, "agreement": [{}] * 10**6}),
    "name": lambda h: h["target"]["maps"][0].update(name="x" * 10**7),
    "info": lambda h: h["info"].update(task="x" * 10**7),
}  # fmt: skip
# JSON of nearly the greatest length that a header may have, in place of an argument.
_ROOM = MAX_HEADER - 2**16
FILLED = {
    "numbers": "[" + "0," * (_ROOM // 2 - 1) + "0]",
    "lists": "[" + "[]," * (_ROOM // 3 - 1) + "[]]",
    "text": '"' + "x" * (_ROOM - 2) + '"',
    "digits": "1" * _ROOM,
    "deep": "[" * (_ROOM // 2) + "]" * (_ROOM // 2),
    "spaces": " " * _ROOM + "0",
}
