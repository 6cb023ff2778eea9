"""What of torchvision and timm can be extracted: ``python -m benchmarks.zoo [--only NAME …] [--resume]``.

Every network has random weights (:mod:`benchmarks.zoo_models`) and is extracted in a process of its own, on one thread,
with an example of two inputs at its usual resolution. The target is then compared with the network on inputs of other
values: three at that resolution, and two at a higher one where the network runs there. The error is the largest
difference, divided by the standard deviation of the network's outputs over inputs. Both compute in float32. Where
their rounding alone makes a larger error than is allowed, they are compared in float64. Seconds and peak memory are those of
the whole process until the target is there, with the network and the libraries in it.

Needs ``pip install 'slth[zoo]'``. Rows are written as they come; --resume keeps those that are there.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import nn

from benchmarks.record import RESULTS, peak_memory, print_table, read_json, write_json
from benchmarks.zoo_models import Entry, build, draw, entries
from slth.errors import InputError, human_bytes
from slth.networks import Target, extract
from slth.networks.sizes import check_sizes
from slth.progress import follow

ALLOWED = 1e-4
# Factor of the higher resolution, whose sides are then rounded up to a multiple of 32.
HIGHER = 1.25

Row = dict[str, Any]


def measure(entry: Entry) -> Row:
    """Extract one network and compare the target with it.

    Args:
        entry: the network.

    Returns:
        A row of the table: ``state`` is ``agrees``, ``differs``, ``refused`` (with ``reason``) or ``failed`` (an error
        that is no refusal, or a network that its library cannot build).
    """
    row: Row = {"key": entry.key, "library": entry.library, "name": entry.name, "group": entry.group}
    try:
        model, shape = build(entry)
    except Exception as cause:
        return row | {"state": "failed", "reason": f"its library does not build it: {_one_line(cause)}"}
    example = draw(2, shape, 1)
    with torch.no_grad():
        model(example[:1])  # So that what torch starts once does not count.
    began = time.perf_counter()
    try:
        target = extract(model, example_input=example)
    except InputError as cause:
        return row | {"state": "refused", "reason": _one_line(cause), "seconds": time.perf_counter() - began}
    except Exception as cause:
        return row | {"state": "failed", "reason": f"{type(cause).__name__}: {_one_line(cause)}"}
    row |= {
        "seconds": time.perf_counter() - began, "peak_memory": peak_memory(), "steps": len(target.steps),
        "maps": len(target.maps), "weights": target.weight_count, "coverage": target.coverage,
        "conditions": list(target.conditions), "input": list(shape),
        "parameters": sum(one.numel() for one in model.parameters()),
    }  # fmt: skip
    return row | compare(model, target, shape)


def compare(model: nn.Module, target: Target, shape: tuple[int, ...]) -> Row:
    """Errors of a target on inputs that are not the example.

    Args:
        model: the network.
        target: its target.
        shape: of an input, without the batch axis.

    Returns:
        ``errors``, one for each batch; ``resolution``: ``free``, or who fixes it; and ``state``.
    """
    network = target.to_module()
    batches = [draw(3, shape, 2)]
    higher = (*shape[:-2], *(int(-(-HIGHER * side // 32) * 32) for side in shape[-2:]))
    other = draw(2, higher, 3)
    try:
        with torch.no_grad():
            model(other)
        resolution = "free"
    except Exception:
        resolution, other = "fixed by the network", draw(2, shape, 3)
    try:
        shapes = dict(zip(target.sizes, [tuple(other.shape)], strict=True))
        check_sizes(target.sizes, target.conditions, shapes)
        batches.append(other)
    except InputError as cause:
        resolution = f"fixed by the target: {_one_line(cause)}"
    errors = [_error(model, network, one) for one in batches]
    row: Row = {"float32_errors": errors}
    if max(errors) > ALLOWED:
        try:
            model, network = model.double(), network.double()
            errors = [_error(model, network, one.double()) for one in batches]
        except (RuntimeError, TypeError) as cause:
            row["float64"] = _one_line(cause)
    return row | {
        "errors": errors, "resolution": resolution, "state": "agrees" if max(errors) <= ALLOWED else "differs",
    }  # fmt: skip


def _error(model: nn.Module, network: nn.Module, inputs: torch.Tensor) -> float:
    """The largest difference of two networks, divided by the deviation of the first one's outputs over inputs."""
    with torch.no_grad():
        pairs = list(zip(_tensors(model(inputs)), _tensors(network(inputs)), strict=True))
    worst = 0.0
    for expected, got in pairs:
        variation = float(expected.double().var(dim=0).mean().sqrt())
        worst = max(worst, float((expected.double() - got.double()).abs().max()) / max(variation, 1e-30))
    return worst


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    else:
        for one in value.values() if isinstance(value, dict) else value:
            yield from _tensors(one)


def _one_line(cause: BaseException) -> str:
    return re.sub(r"\s+", " ", str(cause)).strip()[:600]


def causes(row: Row) -> list[str]:
    """The operations for which a network was refused; the whole reason if it names none.

    Args:
        row: of a network that was refused.
    """
    listed = re.search(r"not supported: (.*?)\. slth replaces", row["reason"])
    found = (
        [one.partition(" in ")[0] for one in listed[1].split("; ")] if listed else [row["reason"].partition(": ")[0]]
    )
    return list(dict.fromkeys(found))


def run_apart(entry: Entry, limit: float) -> Row:
    """:func:`measure` in a process of its own, which begins as a copy of this one.

    Args:
        entry: the network.
        limit: seconds after which it is ended.
    """
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(entry, theirs))
    process.start()
    theirs.close()
    row: Row = {"key": entry.key, "library": entry.library, "name": entry.name, "group": entry.group}
    row |= {"state": "failed", "reason": f"no result after {limit:g} s"}
    try:
        if mine.poll(limit):
            row = mine.recv()
    except EOFError:
        process.join()
        row["reason"] = f"its process ended with code {process.exitcode}"
    process.kill()
    process.join()
    return row


def _send(entry: Entry, pipe: Connection) -> None:
    pipe.send(measure(entry))
    pipe.close()


def report(rows: Sequence[Row]) -> None:
    """Print the table of all networks, and the counts."""
    table = []
    for row in rows:
        cells = [row["key"], row["state"], *[f"{one:.1e}" for one in row.get("errors", ())][:2]]
        cells += [""] * (4 - len(cells))
        if "maps" in row:
            cells += [row["resolution"].partition(":")[0], row["maps"], f"{row['weights']:,}", f"{row['coverage']:.1%}",
                      f"{row['seconds']:.1f} s", human_bytes(row["peak_memory"])]  # fmt: skip
        table.append([*cells, *[""] * (10 - len(cells))])
    header = ("network", "state", "error", "other size", "resolution", "maps", "weights", "ticket", "time", "memory")
    print_table("The zoo", header, table)
    for row in rows:
        if row["state"] in ("refused", "failed"):
            print(f"{row['key']}: {row['state']}: {row['reason']}")
    states = Counter((row["library"], row["group"], row["state"]) for row in rows)
    print_table("Counts", ("library", "task", "state", "networks"), [(*key, n) for key, n in sorted(states.items())])
    why = Counter(one for row in rows if row["state"] == "refused" for one in causes(row))
    print_table("Refused", ("for", "networks"), why.most_common())


def main() -> None:
    """Run the zoo, print, and write ``results/zoo.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names or patterns, such as 'timm/*' or resnet50")
    parser.add_argument("--resume", action="store_true", help="keep the rows of an earlier run that are there")
    parser.add_argument("--again", action="store_true", help="with --resume: run again what did not agree")
    parser.add_argument("--json", default="zoo", metavar="NAME", help="write results/NAME.json (default: zoo)")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for one network")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [one for one in entries() if options.only is None or _matches(one, options.only)]
    rows: dict[str, Row] = {}
    if options.resume:
        rows = {row["key"]: row for row in read_json(options.json).get("networks", [])}
    left = [one for one in chosen if one.key not in rows or (options.again and rows[one.key]["state"] != "agrees")]
    gc.freeze()
    with follow(True, {"networks": len(left)}, unit="networks") as listener:
        for one in left:
            rows[one.key] = run_apart(one, options.limit)
            write_json(options.json, {"networks": list(rows.values())})
            listener.advance("networks")
    report([rows[one.key] for one in chosen])
    print(f"written: {(RESULTS / options.json).name}.json")


def _matches(entry: Entry, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(text, one) for one in patterns for text in (entry.key, entry.name))


if __name__ == "__main__":
    main()
