"""A process of its own for an integer solver on a large instance, which can be stopped when its time is over.

HiGHS and SCIP look at the clock rarely: presolve of 10,000 candidates takes seconds beyond a limit of a third of one.
Building a model takes seconds as well. And compiled solvers print lines of their own. A process that is stopped at the
deadline, and whose output goes nowhere, ends all three. Meanwhile this process finds the selection of ``relax``. It is
the incumbent if the solver hands back none, and ``stats["incumbent"]`` says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slth.errors import InputError
from slth.progress import Silent
from slth.rss.control import Control, Incumbent
from slth.rss.problem import Problem
from slth.rss.relax import solve_relax

# The module that the process runs, and the files in its folder.
CHILD = "slth.rss.integer_child"
QUESTION, ANSWER = "question.npz", "answer.npz"
# From this many candidates, or entries of the matrix, an integer solver gets a process. Starting one takes a second.
LARGE_SIZE = 500
LARGE_ENTRIES = 4096
# The process is stopped this much after the deadline: a part of the time that it was given, and seconds.
GRACE = 0.1
GRACE_SECONDS = 0.2


def is_large(problem: Problem) -> bool:
    """Whether an integer solver gets a process of its own for this problem."""
    return problem.size >= LARGE_SIZE or problem.size * problem.dimension >= LARGE_ENTRIES


def solve_apart(problem: Problem, control: Control, solver: str, seconds: float) -> Incumbent:
    """Run an integer solver in a process of its own, and stop it when it is over its time.

    Args:
        problem: the instance.
        control: its limits.
        solver: a key of :data:`slth.rss.integer.MODELS`.
        seconds: the time from now on.

    Returns:
        What the solver found; the selection of ``relax`` if it found nothing.

    Raises:
        InputError: the solver does not take this instance, or is not installed.
    """
    end = time.monotonic() + seconds
    options = {
        "solver": solver,
        "cardinality": problem.cardinality,
        "norm": problem.norm,
        "eps": control.eps,
        "seed": control.seed,
        "threads": control.threads,
        "end": time.time() + seconds,  # a clock that both processes share
    }
    with tempfile.TemporaryDirectory(prefix="slth-integer-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        np.savez(folder / QUESTION, vectors=problem.vectors, target=problem.target, options=json.dumps(options))
        paths = [str(Path(__file__).parents[2]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        child = subprocess.Popen(
            [sys.executable, "-m", CHILD, name], env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            first = solve_relax(problem, replace(control, deadline=None, threads=1, progress=Silent()))
            code = child.wait(max(end + GRACE * seconds + GRACE_SECONDS - time.monotonic(), 0.0))
            message = "" if code == 0 else f"the solver's process ended with code {code}"
        except subprocess.TimeoutExpired:
            message = f"stopped: no answer {GRACE_SECONDS + GRACE * seconds:.2g} s after the limit of {seconds:.3g} s"
        finally:
            child.kill()
            child.wait()
        found = None if message else _read_answer(folder / ANSWER)
    if found is None:
        found = Incumbent(selected=first.selected & False, stats={"solver": solver, "message": message, "found": False})
    if not found.stats["found"]:
        # The time may have gone into building the model.
        found = replace(found, selected=first.selected, stats={**found.stats, "incumbent": "relax"})
    control.improved(problem.length(problem.target - found.selected @ problem.vectors))
    return found


def write_answer(folder: Path, incumbent: Incumbent | None, refusal: str = "") -> None:
    """Hand an incumbent back from the process.

    Args:
        folder: where the process was told to write.
        incumbent: what the solver found; None if it refused the instance.
        refusal: why it refused it.
    """
    facts: dict[str, Any] = {"refusal": refusal}
    if incumbent is not None:
        facts |= {"stats": dict(incumbent.stats), "lower_bound": incumbent.lower_bound}
    selected = np.empty(0, dtype=bool) if incumbent is None else incumbent.selected
    np.savez(folder / ANSWER, selected=selected, facts=json.dumps(facts))


def read_question(folder: Path) -> tuple[Problem, Control, str]:
    """The problem, its limits and the solver that the process is asked for.

    Args:
        folder: where the question is.
    """
    with np.load(folder / QUESTION) as data:
        options = json.loads(str(data["options"]))
        problem = Problem(
            vectors=data["vectors"], target=data["target"],
            cardinality=options["cardinality"], norm=options["norm"],
        )  # fmt: skip
    deadline = time.monotonic() + options["end"] - time.time()
    control = Control(eps=options["eps"], deadline=deadline, seed=options["seed"], threads=options["threads"])
    return problem, control, options["solver"]


def _read_answer(path: Path) -> Incumbent:
    with np.load(path) as data:
        facts, selected = json.loads(str(data["facts"])), data["selected"]
    if facts["refusal"]:
        raise InputError(facts["refusal"])
    return Incumbent(selected=selected, lower_bound=float(facts["lower_bound"]), stats=facts["stats"])
