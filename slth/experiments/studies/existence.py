r"""Existence: from how many random candidates on is there a subset within ε of a target, and can it be found?

For each (D, n), ``trials`` instances of n NSN candidates in R^D are drawn. The target is a corner of the box
[−1/2, 1/2]^D: any corner, for the law does not change with the sign of a coordinate, and the place in the box that the
fewest subsets reach on average. Each instance is solved to *proved* optimality by ``exact``: its least error decides
every ε at once. The same instances go to the methods of ``FINDERS``, which prove nothing. The sizes n surround the
first-moment thresholds.

:mod:`slth.experiments.studies.existence_fit` makes sense of the rows.

Source: first_moment
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from slth.errors import InputError, SlthError
from slth.experiments.engine.study import Point, Row, Study
from slth.rss import Status, solve_batch
from slth.rss.threads import thread_count
from slth.theory import certified, thresholds

if TYPE_CHECKING:
    from slth.report import Section

# The target's entries, and the box that certified widths are asked for.
BOX = 0.5
# Methods that find without proving, with the work they do by default: the outcome does not depend on the machine.
FINDERS = ("core", "relax")
# Sizes run below and above each first-moment threshold: the success probability goes from near 0 to near 1 there.
BELOW, ABOVE = 4, 4

Method = Literal["exact", "core", "relax", "certified"]


class Instances(Point):
    """``trials`` instances of (D, n) for a method; or, for ``certified``, the width that is proved for (D, ε)."""

    method: Method
    # Above D = 12 exact search reaches no threshold.
    D: Annotated[int, Field(ge=1, le=12)]
    n: Annotated[int, Field(ge=1)] | None = None
    eps: Annotated[float, Field(gt=0, le=0.25)] | None = None
    trials: Annotated[int, Field(ge=1)] | None = None


def points(grid: Mapping[str, Sequence[Any]]) -> Iterator[Instances]:
    """Sizes around the thresholds of D × ε for each method, and the certified width of each (D, ε).

    Args:
        grid: ``D``, ``eps``, and ``trials``, a single number.
    """
    if set(grid) != {"D", "eps", "trials"} or len(grid["trials"]) != 1:
        raise InputError(f"a grid of existence names D, eps and one number of trials; got {', '.join(grid)}.")
    (trials,) = grid["trials"]
    for D in grid["D"]:
        certificates = [Instances(method="certified", D=D, eps=eps) for eps in grid["eps"]]  # checks D and ε
        centres = [thresholds.width(D=D, eps=eps, z=BOX).n for eps in grid["eps"]]
        near = sorted({n for c in centres for n in range(max(1, c - BELOW), c + ABOVE + 1)})
        # What polynomial time needs grows like 1/ε: sizes by factors of √2, up to D^{3/2}/ε.
        steps = range(2 * math.ceil(math.log2(D**1.5 / min(grid["eps"]))))
        wide = sorted({round(2 ** (i / 2)) for i in steps})
        plan: tuple[tuple[Method, list[int]], ...] = (("exact", near), ("core", near), ("relax", wide))
        for method, sizes in plan:
            yield from (Instances(method=method, D=D, n=n, trials=trials) for n in sizes)
        yield from certificates


def run_point(point: Instances, seed: int) -> dict[str, Any]:
    """Run one point.

    Returns:
        For a method of slth.rss ``errors`` (rounded up) and ``lower_bounds`` (proved), one each a trial, and
        ``seconds_each``, wall seconds times threads an instance; for ``certified``: n, k and success, or a note.
    """
    return _certify(point) if point.method == "certified" else _solve(point, seed)


def instances(point: Instances, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(vectors (trials, n, D), targets (trials, D)) of a point: a function of seed, D, n and the trial's number."""
    assert point.n is not None
    assert point.trials is not None
    vectors = np.empty((point.trials, point.n, point.D))
    for trial in range(point.trials):
        rng = np.random.default_rng([seed, point.D, point.n, trial])
        vectors[trial] = rng.standard_normal((point.n, 1)) * rng.standard_normal((point.n, point.D))
    return vectors, np.full((point.trials, point.D), BOX)


def sections(rows: Sequence[Row]) -> list[Section]:
    """Tables and figures; see :func:`slth.experiments.studies.existence_fit.sections`."""
    from slth.experiments.studies import existence_fit  # which draws: workers do not

    return existence_fit.sections(rows)


def _solve(point: Instances, seed: int) -> dict[str, Any]:
    vectors, targets = instances(point, seed)
    found = solve_batch(vectors=vectors, targets=targets, method=point.method)
    return {
        "errors": found.error.tolist(),
        "lower_bounds": found.lower_bound.tolist(),
        "unproved": sum(status != Status.optimal for status in found.status),
        "seconds_each": found.seconds * min(thread_count(None), len(targets)) / len(targets),
    }


def _certify(point: Instances) -> dict[str, Any]:
    assert point.eps is not None
    try:
        found = certified.width(D=point.D, eps=point.eps, delta=0.5, z_bound=BOX)
    except SlthError as refusal:
        return {"note": str(refusal)}
    return {"n": int(found.n), "k": int(found.k), "success": float(found.success)}


STUDY = Study(
    name="existence",
    title="Exists, found, proven: candidates that one subset sum needs",
    about=(
        "For random instances, drawn as a parent draws its channels, exact search decides whether a subset within ε of "
        "the target exists; each outcome is proved. Half of the instances have one from n_½ candidates on, which is "
        "set beside the n at which the expected number of solutions is one (that number is a bound on the probability "
        "of success, for any n), beside what polynomial-time methods need to find a subset, beside the width that is "
        "certified to suffice, and beside the width theorem's form, whose constant is assumed to be one.\n\n"
        "n_½ is where a monotone fit of the success frequencies crosses one half; intervals are 95 % bootstrap "
        "intervals. Exponents are effective ones over the range shown, not asymptotic."
    ),
    point=Instances,
    run=run_point,
    sections=sections,
    points=points,
)
