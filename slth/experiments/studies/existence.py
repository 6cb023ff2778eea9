r"""Existence: how many random candidates does it take for a subset within ε of a target to exist, and to be found?

For each (D, n), ``trials`` instances of n NSN candidates in R^D are drawn. The target is a corner of the box
[−1/2, 1/2]^D, which is the place in the box that the fewest subsets reach on average; which corner does not matter,
because the law does not change with the sign of a coordinate. ``exact`` solves each instance to *proved* optimality,
so that its least error decides every ε at once. The methods of ``FINDERS``, which prove nothing, get the same
instances. The sizes n surround the first-moment thresholds.

:mod:`slth.experiments.studies.existence_fit` fits curves to the rows and draws them.

Source: first_moment
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slth.errors import InputError, SlthError
from slth.experiments.engine.study import Row, Study
from slth.experiments.studies.existence_instances import TARGET, Instances, SolverName, draw_instances
from slth.rss import Status, solve_batch
from slth.rss.threads import thread_count
from slth.theory import certified, thresholds

if TYPE_CHECKING:
    from slth.report import Section

# Sizes run from so many below each first-moment threshold to so many above: the success probability goes from near 0
# to near 1 there.
BELOW, ABOVE = 4, 4


def points(grid: Mapping[str, Sequence[Any]]) -> Iterator[Instances]:
    """Sizes around the thresholds of D × ε for each method, and the certified width of each (D, ε).

    Args:
        grid: lists ``D`` and ``eps``, and ``trials``, a list of one number.

    Yields:
        The points, by dimension, method and size.

    Raises:
        InputError: the grid has other keys, or several numbers of trials.
    """
    if set(grid) != {"D", "eps", "trials"} or len(grid["trials"]) != 1:
        raise InputError(f"a grid of existence names D, eps and one number of trials; got {', '.join(grid)}.")
    (trials,) = grid["trials"]
    for D in grid["D"]:
        certificates = [Instances(method="certified", D=D, eps=eps) for eps in grid["eps"]]  # checks D and ε
        centres = [thresholds.width(D=D, eps=eps, z=TARGET).n for eps in grid["eps"]]
        near = sorted({n for c in centres for n in range(max(1, c - BELOW), c + ABOVE + 1)})
        # Polynomial time needs a number of candidates that grows like 1/ε: sizes by factors of √2, up to D^{3/2}/ε.
        half_octaves = range(2 * math.ceil(math.log2(D**1.5 / min(grid["eps"]))))
        wide = sorted({round(2 ** (i / 2)) for i in half_octaves})
        plan: tuple[tuple[SolverName, list[int]], ...] = (("exact", near), ("core", near), ("relax", wide))
        for method, sizes in plan:
            yield from (Instances(method=method, D=D, n=n, trials=trials) for n in sizes)
        yield from certificates


def run_point(point: Instances, seed: int) -> dict[str, Any]:
    """Solve the instances of a point, or certify its width.

    Args:
        point: instances and method.
        seed: of the instances.

    Returns:
        For a method of slth.rss: ``errors`` (rounded up) and ``lower_bounds`` (proved), one for each trial;
        ``unproved``, the number of trials without a proof; ``seconds_each``, thread seconds for each instance. For
        ``certified``: ``n``, ``k`` and ``success``, or a ``note`` on why there is no width.
    """
    return _certify(point) if point.method == "certified" else _solve(point, seed)


def sections(rows: Sequence[Row]) -> list[Section]:
    """Tables and figures; see :func:`slth.experiments.studies.existence_fit.sections`."""
    from slth.experiments.studies import existence_fit  # it imports matplotlib, which a worker does not need

    return existence_fit.sections(rows)


def _solve(point: Instances, seed: int) -> dict[str, Any]:
    vectors, targets = draw_instances(point, seed)
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
        found = certified.width(D=point.D, eps=point.eps, delta=0.5, z_bound=TARGET)
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
