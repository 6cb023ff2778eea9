r"""Neurons: one ReLU neuron imitated by removing neurons, beside the blocked construction of the same size.

The target is x ↦ relu(⟨w, x⟩) on the unit circle of R². Removing whole neurons of a random two-layer network leaves
:math:`\sum_{t \in S} v_t\, \mathrm{relu}(⟨u_t, x⟩)`, and whatever S is,

.. math:: \sup_{\|x\| = 1} |\text{error}| \;\ge\; \tfrac14 \sin θ, \qquad
          θ = \min_t \angle(w, ± u_t) \approx \frac{π}{2n},

because the target's kink can only come from a neuron's kink (proofs_check/neuron_pruning.py). The published statement
is that Ω(1/ε) neurons are needed. Integer programming on a grid of angles searches the best S and proves a lower bound;
the error of the S that it finds is computed exactly. The blocked construction with n hidden neurons has n/4 candidates
for each input and sign. It needs four one-dimensional subset sums, which are solved to proved optimality, and a second
ReLU, which does not increase the error.

Source: ferre2026
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy.optimize import Bounds, LinearConstraint, milp

from slth.arrays import FloatArray
from slth.experiments.engine.study import Point, Study
from slth.experiments.studies.neurons_sections import sections
from slth.rss import Problem, Status, solve

WEIGHT = np.array([0.6, -0.8])
# Angles of the programme's even grid, beside the kinks. More of them raise the proved bound a little, and cost time.
GRID_ANGLES = 64
# Groups of hidden neurons in the blocked construction, one for each of two inputs and two signs.
GROUPS = 4


class NeuronPoint(Point):
    """One construction with n hidden neurons.

    Attributes:
        n: number of hidden neurons; a multiple of four for ``blocked``.
        construction: ``neuron`` removes neurons and nothing else; ``blocked`` first reduces the 1×1 layer to the
            blocked mask, and then removes neurons.
        nodes: limit of the integer programme, in nodes of branch and bound. A limit of time could not be repeated.
    """

    n: int = Field(ge=4, le=4096)
    construction: Literal["neuron", "blocked"]
    nodes: int = Field(default=1000, ge=1)

    @model_validator(mode="after")
    def _check_groups(self) -> NeuronPoint:
        if self.construction == "blocked" and self.n % GROUPS:
            raise ValueError(f"n must be a multiple of {GROUPS} for the blocked construction; got {self.n}.")
        return self


def run(point: NeuronPoint, seed: int) -> dict[str, Any]:
    """Draw the random network, and search the neurons to keep.

    Args:
        point: the construction and its size.
        seed: of the random network.

    Returns:
        ``error`` of the best mask found; ``lower``, a proved bound on the error of every mask; ``theorem``, the
        theorem's bound for these neurons; ``proved``, whether the search is complete; ``kept`` neurons. For ``blocked``
        the bounds and ``kept`` are None.
    """
    rng = np.random.default_rng([seed, point.n, point.construction == "blocked"])
    if point.construction == "blocked":
        return blocked(rng, point.n)
    first, second = rng.standard_normal((point.n, 2)), rng.standard_normal(point.n)
    return prune_neurons(first, second, point.nodes)


def blocked(rng: np.random.Generator, n: int) -> dict[str, Any]:
    """Build the blocked construction. Its error is at most the Euclidean norm of the two inputs' errors.

    Args:
        rng: draws the random weights.
        n: number of hidden neurons, a multiple of four.

    Returns:
        As :func:`run`.
    """
    squares, proved = 0.0, True
    for weight in WEIGHT:
        worst = 0.0
        for wanted in (weight, weight):  # one for each sign: |u|·v has the same law in both groups, and −v that of v
            candidates = np.abs(rng.standard_normal(n // GROUPS)) * rng.standard_normal(n // GROUPS)
            problem = Problem(vectors=candidates[:, None], target=np.array([wanted]))
            found = solve(problem, threads=1)
            proved = proved and found.status is Status.optimal
            worst = max(worst, found.error)
        squares += worst**2
    return {"error": math.sqrt(squares), "lower": None, "theorem": None, "proved": proved, "kept": None}


def prune_neurons(first: FloatArray, second: FloatArray, nodes: int) -> dict[str, Any]:
    """Search the best set of neurons to keep on a grid of angles, and compute its error over the whole circle.

    Args:
        first: weights u of the first layer, shape (n, 2).
        second: weights v of the second layer, shape (n,).
        nodes: limit of the search.

    Returns:
        As :func:`run`.
    """
    n, angles = len(second), grid(first)
    x = np.column_stack([np.cos(angles), np.sin(angles)])
    features, wanted = second * np.maximum(x @ first.T, 0), np.maximum(x @ WEIGHT, 0)
    ones = np.ones((len(x), 1))
    found = milp(
        np.append(np.zeros(n), 1.0),
        constraints=LinearConstraint(
            np.block([[features, -ones], [-features, -ones]]), ub=np.append(wanted, -wanted)
        ),
        bounds=Bounds(np.zeros(n + 1), np.append(np.ones(n), np.inf)),
        integrality=np.append(np.ones(n), 0),
        options={"node_limit": nodes, "mip_rel_gap": 0.0},
    )  # fmt: skip
    # When the programme runs out of nodes, its masks are poor. A greedy mask, improved by flips, is often better.
    greedy = solve(Problem(vectors=features.T, target=wanted), "pursuit", threads=1).selected
    masks = [np.zeros(n, dtype=bool), improve_by_flips(features, wanted, greedy)]
    if found.x is not None:
        masks.append(found.x[:n] > 0.5)
    error, kept = min(((sup_error(first[mask], second[mask]), mask) for mask in masks), key=lambda pair: pair[0])
    bound = float(found.mip_dual_bound) if found.mip_dual_bound is not None else 0.0
    return {
        "error": error,
        "lower": max(bound, 0.0),
        "theorem": smallest_sine(first) / 4,
        "proved": found.status == 0,
        "kept": int(kept.sum()),
    }


def improve_by_flips(features: FloatArray, wanted: FloatArray, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Flip one or two neurons at a time, as long as that lowers the L∞ error on the grid.

    Args:
        features: contribution of each neuron at each angle, shape (m, n).
        wanted: the target at each angle, shape (m,).
        kept: the mask to begin with, shape (n,).

    Returns:
        A mask that no flip of one or two neurons improves.
    """
    kept, n = kept.copy(), features.shape[1]
    while True:
        change = np.where(kept, -1.0, 1.0) * features
        rest = features @ kept - wanted
        best, flips = float(np.abs(rest).max()), []
        for i in range(n):
            once = rest + change[:, i]
            errors = np.abs(once[:, None] + change[:, i + 1 :]).max(axis=0)
            places = [([i], float(np.abs(once).max()))]
            if len(errors):
                places.append(([i, i + 1 + int(errors.argmin())], float(errors.min())))
            for flip, error in places:
                if error < best * (1 - 1e-12):
                    best, flips = error, flip
        if not flips:
            return kept
        kept[flips] ^= True


def grid(first: FloatArray) -> FloatArray:
    """The programme's angles: an even grid, every kink, the target's kink, and the nearest kink's mirror images."""
    own, theta = math.atan2(WEIGHT[0], -WEIGHT[1]), math.asin(smallest_sine(first))
    kinks = np.append(np.arctan2(first[:, 0], -first[:, 1]), [own, own - theta, own + theta])
    return np.concatenate([np.linspace(0, 2 * np.pi, GRID_ANGLES, endpoint=False), kinks, kinks + np.pi])


def sup_error(first: FloatArray, second: FloatArray) -> float:
    """The largest error |Σ v_t relu(⟨u_t, x⟩) − relu(⟨w, x⟩)| over the unit circle, exactly.

    On an arc between two kinks the difference is ⟨a, x⟩, a sinusoid of amplitude ‖a‖. Its largest absolute value is at
    an end of the arc, or ‖a‖ if ±a/‖a‖ lies inside.

    Args:
        first: weights u of the first layer, shape (n, 2).
        second: weights v of the second layer, shape (n,).

    Returns:
        The supremum.
    """
    own = math.atan2(WEIGHT[0], -WEIGHT[1])
    kinks = np.append(np.arctan2(first[:, 0], -first[:, 1]), own)
    ends = np.sort(np.concatenate([kinks, kinks + np.pi]) % (2 * np.pi))
    worst = 0.0
    for low, high in zip(ends, np.append(ends[1:], ends[0] + 2 * np.pi), strict=True):
        middle = np.array([math.cos((low + high) / 2), math.sin((low + high) / 2)])
        slope = second[first @ middle > 0] @ first[first @ middle > 0] - WEIGHT * (middle @ WEIGHT > 0)
        at_ends = max(abs(slope @ [math.cos(end), math.sin(end)]) for end in (low, high))
        top = math.atan2(slope[1], slope[0])
        inside = any((top + shift - low) % (2 * math.pi) <= high - low for shift in (0.0, math.pi))
        worst = max(worst, float(at_ends), float(np.hypot(*slope)) if inside else 0.0)
    return worst


def smallest_sine(first: FloatArray) -> float:
    """The least sin θ, where θ is the angle between a neuron's kink and the target's."""
    cosine = np.abs(first @ WEIGHT) / (np.hypot(first[:, 0], first[:, 1]) * np.hypot(*WEIGHT))
    return math.sqrt(max(0.0, 1 - float(cosine.max()) ** 2))


STUDY = Study(
    name="neurons",
    title="One ReLU neuron: removing neurons alone, or after blocking",
    about="Removing whole neurons of a random network, and nothing else, cannot imitate even a single ReLU neuron of "
    "two inputs well: its kink must come from a random neuron whose own kink happens to be near, so that an error ε "
    "takes on the order of 1/ε neurons. The channel-blocked mask of da Cunha, d'Amore and Natale (2023) removes that "
    "obstacle: hidden neurons then see one input each, and on the order of log(1/ε) of them suffice. The study "
    "searches the best set of neurons by integer programming, with proved bounds, and solves the blocked "
    "construction's four subset sums exactly.",
    point=NeuronPoint,
    run=run,
    sections=sections,
)
