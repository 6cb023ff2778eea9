"""The doctor: checks that this installation computes what it should."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch

from slth.data import available, data_folder
from slth.environment import environment
from slth.errors import available_memory, human_bytes
from slth.networks import extract, models
from slth.networks.generator import random_rows
from slth.rss import Problem, Status, solve
from slth.rss.threads import thread_count
from slth.tickets import find_ticket

# SHA-256 of 3 × 101 normals of the parent with seed 7, the same on every machine.
GENERATOR_DIGEST = "f82dd727185d8c06aeb0d35a071135d983d9e3f68b1e13f1d5fec9e9c94987b1"


# Optional extra → the packages it installs, and what they are for.
EXTRAS = (
    ("export", ("onnx", "onnxscript", "onnxruntime"), "slth ticket export --onnx"),
    ("proofs", ("sympy",), "the symbolic lemmas of slth proofs"),
    ("filters", ("torch_pruning",), "slth train filters"),
    ("zoo", ("torchvision", "timm"), "python -m benchmarks.zoo"),
    ("distributed", ("distributed",), "slth study run --engine dask"),
    ("parquet", ("pyarrow",), "slth study export --parquet"),
    ("notebooks", ("jupytext", "nbmake", "ipykernel"), "the notebooks"),
    ("tensorboard", ("tensorboard",), "slth train --tensorboard"),
)


@dataclass(frozen=True)
class Check:
    """The finding of one check.

    Attributes:
        name: of what was checked.
        ok: whether it is as it must be.
        found: what there is, in a line.
    """

    name: str
    ok: bool
    found: str


def examine() -> list[Check]:
    """List versions and machine, and compare the generator, the solver and a tiny search with known answers."""
    record = environment()
    packages = ", ".join(f"{name} {version}" for name, version in record["packages"].items())
    checks = [
        Check("versions", True, f"Python {record['python']}, {packages}"),
        Check(
            "machine", True, f"{record['system']}, {thread_count(None)} cores, {human_bytes(available_memory())} free"
        ),
        Check("data folder", True, f"{data_folder() or 'SLTH_DATA is not set'}; names: {', '.join(available())}"),
        Check("torch", True, f"{torch.get_num_threads()} threads, CUDA {'yes' if torch.cuda.is_available() else 'no'}"),
    ]
    checks += [_extra(*row) for row in EXTRAS]
    for name, check in (("generator", _check_generator), ("solver", _check_solver), ("search", _check_search)):
        checks.append(_guarded(name, check))
    return checks


def generator_digest() -> str:
    """The digest of this machine's generator, to be compared with :data:`GENERATOR_DIGEST`."""
    rows = random_rows(law="normal", seed=7, layer=1, part=1, channel=2, rows=np.arange(3), size=101)
    return hashlib.sha256(np.ascontiguousarray(rows, dtype="<f4").tobytes()).hexdigest()


def _extra(extra: str, packages: tuple[str, ...], purpose: str) -> Check:
    """Whether an optional extra is installed; it is no fault if it is not."""
    missing = [package for package in packages if find_spec(package) is None]
    found = f"installed: {purpose}" if not missing else f"not installed: {purpose} needs pip install 'slth[{extra}]'"
    return Check(f"extra {extra}", True, found)


def _guarded(name: str, check: Callable[[], tuple[bool, str]]) -> Check:
    try:
        ok, found = check()
    except Exception as error:  # a broken installation may fail in any way, and that is a finding
        ok, found = False, f"{type(error).__name__}: {error}"
    return Check(name, ok, found)


def _check_generator() -> tuple[bool, str]:
    same = generator_digest() == GENERATOR_DIGEST
    return same, "bits as specified" if same else "other bits than specified: tickets of other machines will not verify"


def _check_solver() -> tuple[bool, str]:
    # 1 + 4 + 16 = 21 is the only subset of powers of two with that sum.
    vectors = np.ldexp(1.0, np.arange(10))[:, None]
    solution = solve(Problem(vectors=vectors, target=np.array([21.0])))
    ok = solution.status is Status.optimal and solution.error == 0 and solution.selected[[0, 2, 4]].all()
    return bool(ok), f"{solution.method}: {solution.message}"


def _check_search() -> tuple[bool, str]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        target = extract(models.mlp(sizes=(4, 3)), input_range=(0, 1))
    ticket = find_ticket(target, width=400)
    verification = ticket.verify()
    return bool(verification), f"{ticket.kept_channels} channels kept, verified" if verification else "does not verify"
