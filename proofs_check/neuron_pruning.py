r"""Removing neurons alone needs a width of about 1/ε (the phenomenon of arXiv 2603.02234, abstract).

The target is x ↦ relu(⟨w, x⟩) in R². Neurons are removed from a random network Σ_t v_t relu(⟨u_t, x⟩), and nothing
else. Let θ be the smallest angle between w and any ±u_t. On the arc |φ| ≤ θ around the target's kink the target is
relu(sin φ), but every function that the pruned network can compute is linear. Whatever the mask,

.. math:: \sup_{\|x\| = 1} |\text{error}| \;\ge\;
          \min_{α, β} \max_{|φ| \le θ} |\mathrm{relu}(\sin φ) - α \sin φ - β \cos φ| \;\ge\; \tfrac14 \sin θ

(The last step adds the errors at φ = ±θ and subtracts 2 cos θ times the error at 0.) For random u_t the smallest angle
of n neurons is about π/(2n), so the bound falls like 1/n. The check has three parts. The error of the best
*fractional* mask, a linear programme that no mask can beat, must be above the bound. The slope of the mean log of the
bound against log n over widths 8 … 512 must lie in [−1.2, −0.8]. And the blocked construction with 64 hidden neurons,
whose instances are one-dimensional subset sums solved exactly, must be better than the bound at n = 64. The slope's
standard error is under 0.02, so a false alarm has probability below 1e-15. The check does not claim that neuron
pruning attains 1/n. False variant: the slope of the error of the blocked construction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.optimize import linprog

from proofs_check.check import Lemma
from slth.arrays import FloatArray

WIDTHS = (8, 16, 32, 64, 128, 256, 512)
BLOCKED = (8, 10, 12, 14, 16)
WEIGHT = np.array([0.6, -0.8])


def margin(false_variant: bool, repeats: int = 400) -> float:
    """The smallest of 0.2 − |slope + 1|, log(bound/blocked error) at 64 neurons, and the excess of the programmes.

    Args:
        false_variant: whether to check the false variant in place of the lemma.
        repeats: number of random networks of each width.
    """
    rng = np.random.default_rng(7)
    pruned = [_mean_log(_neuron_bound, rng, n, repeats) for n in WIDTHS]
    blocked = [_mean_log(_blocked_error, rng, n, max(repeats // 10, 10)) for n in BLOCKED]
    widths, logs = (BLOCKED, blocked) if false_variant else (WIDTHS, pruned)
    slope = float(np.polyfit(np.log(widths), logs, 1)[0])
    better = pruned[WIDTHS.index(4 * 16)] - blocked[BLOCKED.index(16)]  # as many hidden neurons in all
    above = min(_fractional_excess(rng, n) for n in (16, 32, 64) for _ in range(4))
    return min(0.2 - abs(slope + 1), better, above)


def _fractional_excess(rng: np.random.Generator, n: int) -> float:
    """1 − (lower bound)/(error of the best mask with entries in [0, 1]), on a grid with every kink and ±θ."""
    u, v = rng.standard_normal((n, 2)), rng.standard_normal(n)
    target_kink, theta = np.arctan2(WEIGHT[0], -WEIGHT[1]), math.asin(_smallest_sine(u))
    kinks = np.append(np.arctan2(u[:, 0], -u[:, 1]), [target_kink, target_kink - theta, target_kink + theta])
    angles = np.concatenate([np.linspace(0, 2 * np.pi, 200, endpoint=False), kinks, kinks + np.pi])
    x = np.stack([np.cos(angles), np.sin(angles)], 1)
    features, target = v * np.maximum(x @ u.T, 0), np.maximum(x @ WEIGHT, 0)
    ones = np.ones((len(x), 1))
    rows = np.block([[features, -ones], [-features, -ones]])
    cost = np.append(np.zeros(n), 1.0)
    limits = [(0.0, 1.0)] * n + [(0.0, None)]
    best = linprog(cost, A_ub=rows, b_ub=np.append(target, -target), bounds=limits, method="highs")
    return 1 - _smallest_sine(u) / 4 / (best.fun or 0.0)


def _mean_log(
    draw: Callable[[np.random.Generator, int], float], rng: np.random.Generator, n: int, repeats: int
) -> float:
    """The mean of the logarithm of a random error."""
    return float(np.mean([np.log(draw(rng, n)) for _ in range(repeats)]))


def _neuron_bound(rng: np.random.Generator, n: int) -> float:
    """The bound sin(θ)/4 for n random neurons: no mask has a smaller error on the circle."""
    return _smallest_sine(rng.standard_normal((n, 2))) / 4


def _smallest_sine(u: FloatArray) -> float:
    """The sine of θ, from the neuron whose kink is nearest to the target's."""
    cosine = np.abs(u @ WEIGHT) / np.hypot(u[:, 0], u[:, 1])
    return math.sqrt(max(0.0, 1 - float(cosine.max()) ** 2))


def _blocked_error(rng: np.random.Generator, n: int) -> float:
    """Error on the circle of the blocked construction, n candidates of each sign for each of the two inputs.

    Each input and sign approximates its weight by a subset sum of products of two normals; the hidden output passes
    relu once more, which does not increase the error.
    """
    subsets = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    errors = []
    for weight in WEIGHT:
        groups = []
        for _ in range(2):
            sums = subsets @ (np.abs(rng.standard_normal(n)) * rng.standard_normal(n))
            groups.append(float(np.abs(sums - weight).min()))
        errors.append(max(groups))
    return math.hypot(*errors)


LEMMA = Lemma(
    name="neuron pruning alone: error about 1/width",
    kind="statistical",
    margin=margin,
    establishes="a lower bound of every mask's error falls like 1/n; the blocked construction beats it at 64 neurons",
    quick=partial(margin, repeats=100),
)
