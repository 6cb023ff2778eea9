r"""Neurons: one ReLU neuron by removing neurons alone, beside the blocked construction with as many hidden neurons.

The target is x ↦ relu(⟨w, x⟩) on the unit circle of R². Removing whole neurons of a random two-layer network leaves
:math:`\sum_{t \in S} v_t\, \mathrm{relu}(⟨u_t, x⟩)`, and whatever S is,

.. math:: \sup_{\|x\| = 1} |\text{error}| \;\ge\; \tfrac14 \sin θ, \qquad
          θ = \min_t \angle(w, ± u_t) \approx \frac{π}{2n},

because the target's kink can only come from another one (proofs_check/neuron_pruning.py); that Ω(1/ε) neurons are
needed is the published statement. The best S is searched by integer programming on a grid of angles, with a proved
lower bound; the error of what it finds is computed exactly. The blocked construction with n hidden neurons has n/4
candidates for each input and sign: four one-dimensional subset sums, solved to proved optimality, and a second ReLU,
which does not increase the error.

Source: ferre2026
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy.optimize import Bounds, LinearConstraint, milp

from slth.experiments.engine.study import Point, Study
from slth.experiments.studies.neurons_sections import sections
from slth.rss import Problem, Status, solve

Array = npt.NDArray[np.float64]

WEIGHT = np.array([0.6, -0.8])
# Angles of the programme: an even grid, and every kink. More of them raise the proved bound a little, and cost time.
GRID = 64
# Hidden neurons of the blocked construction come in groups: two inputs, two signs.
GROUPS = 4


class NeuronPoint(Point):
    """One construction with n hidden neurons.

    Attributes:
        n: hidden neurons; a multiple of four for ``blocked``. construction: ``neuron`` (neurons removed, nothing else)
            or ``blocked`` (of the 1×1 layer only the blocked mask is left, then neurons are removed).
        nodes: of branch and bound that the integer programme may take: not a time, so that a row can be repeated.
    """

    n: int = Field(ge=4, le=4096)
    construction: Literal["neuron", "blocked"]
    nodes: int = Field(default=1000, ge=1)

    @model_validator(mode="after")
    def _whole_groups(self) -> NeuronPoint:
        if self.construction == "blocked" and self.n % GROUPS:
            raise ValueError(f"n must be a multiple of {GROUPS} for the blocked construction; got {self.n}.")
        return self


def run(point: NeuronPoint, seed: int) -> dict[str, Any]:
    """The best error found, what is proved of the best there is, and the theorem's bound for these neurons."""
    rng = np.random.default_rng([seed, point.n, point.construction == "blocked"])
    if point.construction == "blocked":
        return blocked(rng, point.n)
    first, second = rng.standard_normal((point.n, 2)), rng.standard_normal(point.n)
    return prune_neurons(first, second, point.nodes)


def blocked(rng: np.random.Generator, n: int) -> dict[str, Any]:
    """Error of the blocked construction: at most the Euclidean norm of the two inputs' errors, in every quadrant."""
    squares, proved = 0.0, True
    for weight in WEIGHT:
        worst = 0.0
        for wanted in (weight, weight):  # |u|·v has the same law in both sign groups, and −v that of v
            candidates = np.abs(rng.standard_normal(n // GROUPS)) * rng.standard_normal(n // GROUPS)
            problem = Problem(vectors=candidates[:, None], target=np.array([wanted]))
            found = solve(problem, threads=1)
            proved = proved and found.status is Status.optimal
            worst = max(worst, found.error)
        squares += worst**2
    return {"error": math.sqrt(squares), "lower": None, "theorem": None, "proved": proved, "kept": None}


def prune_neurons(first: Array, second: Array, nodes: int) -> dict[str, Any]:
    """The best set of neurons to keep, on a grid of angles; the error of what is found over the whole circle.

    Args:
        first: u, (n, 2). second: v, (n,). nodes: for the search.
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
    # Out of nodes the programme's own masks are poor: a greedy one with flips of up to two stands in for them.
    greedy = solve(Problem(vectors=features.T, target=wanted), "pursuit", threads=1).selected
    masks = [np.zeros(n, dtype=bool), flipped(features, wanted, greedy)]
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


def flipped(features: Array, wanted: Array, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A mask that no flip of one or two neurons brings nearer to ``wanted``, in L∞ on the grid, from ``kept`` on.

    Args:
        features: what each neuron contributes at each angle, (m, n). wanted: (m,).
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


def grid(first: Array) -> Array:
    """The programme's angles: even ones, every kink, and the target's with the nearest kink's mirror images."""
    own, theta = math.atan2(WEIGHT[0], -WEIGHT[1]), math.asin(smallest_sine(first))
    kinks = np.append(np.arctan2(first[:, 0], -first[:, 1]), [own, own - theta, own + theta])
    return np.concatenate([np.linspace(0, 2 * np.pi, GRID, endpoint=False), kinks, kinks + np.pi])


def sup_error(first: Array, second: Array) -> float:
    """sup over the circle of |Σ v_t relu(⟨u_t, x⟩) − relu(⟨w, x⟩)|, from the arcs between kinks.

    On an arc the difference is ⟨a, x⟩, a sinusoid of amplitude ‖a‖: its largest value is at an end, or ‖a‖ where
    ±a/‖a‖ lies inside.
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


def smallest_sine(first: Array) -> float:
    """sin θ of the neuron whose kink is nearest to the target's."""
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
