"""Instances and oracles that several test files share. The oracles compute in integers and fractions only."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import torch
from torch import nn

from slth.arrays import FloatArray
from slth.networks import models
from slth.rss import Problem

# Every float64 is a whole multiple of this unit, so sums of such multiples are exact.
UNIT = Fraction(1, 2**1074)


# Methods that use all the time they are given; without a limit they end by themselves.
ANYTIME = {"core", "local", "relax", "tree"}
# Methods that round the instance.
ROUNDING = {"cpsat"}
# The integer solvers.
INTEGER = {"highs", "scip", *ROUNDING}


def guard(method: str) -> float | None:
    """A time limit far above what a tiny instance needs, so that a solver that never ends fails instead of hanging."""
    return None if method in ANYTIME else 10.0


def nsn(n: int, D: int, seed: int, *, cardinality: int | None = None, reach: float = 1.0) -> Problem:
    """An NSN instance: candidate Y_i = Z·Z_i, target uniform in [−reach, reach]^D."""
    rng = np.random.default_rng([seed, n, D])
    vectors = rng.normal(size=(n, 1)) * rng.normal(size=(n, D))
    return Problem(vectors=vectors, target=rng.uniform(-reach, reach, D), cardinality=cardinality)


def core(D: int, m: int, seed: int) -> FloatArray:
    """m NSN candidates of dimension D sorted by decreasing norm, as the vertex kernels want them."""
    vectors = nsn(m, D, seed).vectors
    return np.ascontiguousarray(vectors[np.argsort(-np.linalg.norm(vectors, axis=1))])


def as_integers(values: np.ndarray) -> list[list[int]]:
    """A float64 matrix as exact integers, in units of 2⁻¹⁰⁷⁴."""
    return [[int(Fraction(value) / UNIT) for value in row] for row in np.atleast_2d(values).tolist()]


def all_errors(problem: Problem) -> dict[tuple[int, ...], Fraction]:
    """The exact error of every selection that the problem allows, computed without numpy, slth or rounding."""
    rows, goal = as_integers(problem.vectors), as_integers(problem.target)[0]
    errors = {}
    sums = [[-value for value in goal]]
    for row in rows:  # Selections in binary order: bit i of the index says whether row i is selected.
        sums += [[a + b for a, b in zip(total, row, strict=True)] for total in sums]
    for code, total in enumerate(sums):
        bits = tuple((code >> i) & 1 for i in range(len(rows)))
        if problem.cardinality is None or sum(bits) == problem.cardinality:
            errors[bits] = max(abs(value) for value in total) * UNIT
    return errors


def optimum(problem: Problem) -> Fraction:
    """The smallest exact error, by brute force over all selections."""
    return min(all_errors(problem).values())


def tiny_problems() -> dict[str, Problem]:
    """Instances with n ≤ 10 that are hard to treat correctly: ties, zeros, duplicates, extreme magnitudes."""
    rng = np.random.default_rng(2024)
    plain = {f"nsn-{D}": nsn(10, D, seed=D) for D in range(1, 6)}
    small = nsn(8, 3, seed=11)
    integers = rng.integers(-2, 3, size=(10, 2)).astype(float)
    line = rng.integers(-3, 4, size=(10, 1)) * np.array([[1.0, -2.0, 0.5, 4.0]])
    half_zero = nsn(9, 2, seed=12).vectors * (np.arange(9) % 2)[:, None]
    mixed = small.vectors * 10.0 ** np.array([-300, 250, -8, 0, 0, 3, 0, -150])[:, None]
    return {
        **plain,
        "integers": Problem(vectors=integers, target=np.array([3.0, -1.0])),
        "integers-off": Problem(vectors=integers, target=np.array([0.5, 0.5])),
        "zero-vectors": Problem(vectors=half_zero, target=np.array([0.4, -0.3])),
        "all-zero": Problem(vectors=np.zeros((6, 2)), target=np.array([0.25, -1.0])),
        "duplicates": Problem(vectors=np.repeat(nsn(3, 3, seed=13).vectors, 3, axis=0), target=small.target),
        "collinear": Problem(vectors=line, target=np.array([2.0, -4.0, 1.0, 8.5])),
        "opposite": Problem(vectors=np.array([[1.0, 1.0], [-1.0, -1.0]] * 4), target=np.array([1.5, 0.5])),
        "tiny": Problem(vectors=small.vectors * 1e-300, target=small.target * 1e-300),
        "huge": Problem(vectors=small.vectors * 1e250, target=small.target * 1e250),
        "subnormal": Problem(vectors=small.vectors * 1e-318, target=small.target * 1e-318),
        "mixed": Problem(vectors=mixed, target=small.target),
        "far-target": Problem(vectors=small.vectors * 1e-200, target=small.target),
        "zero-target": Problem(vectors=small.vectors, target=np.zeros(3)),
        "one": Problem(vectors=np.array([[0.7, -0.2]]), target=np.array([0.5, 0.0])),
        "one-by-one": Problem(vectors=np.array([[2.0]]), target=np.array([-1.0])),
    }


def selections(n: int) -> list[np.ndarray]:
    """All 2ⁿ boolean selections."""
    return [np.array(bits, dtype=bool) for bits in itertools.product((False, True), repeat=n)]


def digits_model() -> nn.Sequential:
    """The demo's architecture, untrained, with random BatchNorm statistics, which folding must not ignore."""
    torch.manual_seed(0)
    model = models.digits_cnn()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.2)
    return model.eval()
