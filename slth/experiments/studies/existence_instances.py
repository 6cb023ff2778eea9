"""Random instances of the existence study, and the point that names them."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from slth.arrays import FloatArray
from slth.experiments.engine.study import Point

# Size of the target's entries. Certified widths are asked for the box [−TARGET, TARGET]^D.
TARGET = 0.5
# Methods that find without proving. Their default work is limited by counts, not by time: machines agree on outcomes.
FINDERS = ("core", "relax")

SolverName = Literal["exact", "core", "relax", "certified"]


class Instances(Point):
    """Instances for a method, or the width that is certified for a dimension and a tolerance.

    Attributes:
        method: of :func:`slth.rss.solve_batch`, or ``certified``.
        D: dimension. Exact search reaches no threshold above D = 12.
        n: number of candidates; None for ``certified``.
        eps: tolerance ε that a width is certified for; None for the other methods.
        trials: number of instances; None for ``certified``.
    """

    method: SolverName
    D: Annotated[int, Field(ge=1, le=12)]
    n: Annotated[int, Field(ge=1)] | None = None
    eps: Annotated[float, Field(gt=0, le=0.25)] | None = None
    trials: Annotated[int, Field(ge=1)] | None = None


def draw_instances(point: Instances, seed: int) -> tuple[FloatArray, FloatArray]:
    """Draw the instances of a point: n NSN candidates in R^D each, and a corner of the box as the target.

    Args:
        point: with ``n`` and ``trials``.
        seed: of the study. An instance depends on the seed, D, n and its number alone: all methods get the same ones.

    Returns:
        Candidates of shape (trials, n, D), and targets of shape (trials, D).
    """
    assert point.n is not None
    assert point.trials is not None
    vectors = np.empty((point.trials, point.n, point.D))
    for trial in range(point.trials):
        rng = np.random.default_rng([seed, point.D, point.n, trial])
        vectors[trial] = rng.standard_normal((point.n, 1)) * rng.standard_normal((point.n, point.D))
    return vectors, np.full((point.trials, point.D), TARGET)
