"""The neuron study: exact errors, the search against brute force, flips."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from slth.experiments.studies import neurons


def test_sup_error_by_a_fine_grid() -> None:
    rng = np.random.default_rng(5)
    angles = np.linspace(0, 2 * np.pi, 200_001)
    x = np.column_stack([np.cos(angles), np.sin(angles)])
    for n in (0, 1, 5):
        first, second = rng.standard_normal((n, 2)), rng.standard_normal(n)
        difference = np.maximum(x @ first.T, 0) @ second - np.maximum(x @ neurons.WEIGHT, 0)
        assert neurons.sup_error(first, second) == pytest.approx(float(np.abs(difference).max()), rel=1e-6)


def test_the_best_set_of_neurons_by_all_of_them() -> None:
    """2⁸ masks by brute force: the programme's bound is below their best error, and what it finds not far above."""
    rng = np.random.default_rng(6)
    first, second = rng.standard_normal((8, 2)), rng.standard_normal(8)
    found = neurons.prune_neurons(first, second, 10_000)
    kept = [np.array(mask, dtype=bool) for mask in itertools.product((0, 1), repeat=8)]
    best = min(neurons.sup_error(first[mask], second[mask]) for mask in kept)
    assert found["proved"]
    assert found["theorem"] <= best
    assert found["lower"] <= best * (1 + 1e-6)
    assert best <= found["error"] <= 1.1 * best


def test_blocked_neurons_come_in_fours() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        neurons.NeuronPoint(n=10, construction="blocked")
    assert neurons.NeuronPoint(n=10, construction="neuron").n == 10


def test_flips_end_where_no_flip_of_two_helps() -> None:
    rng = np.random.default_rng(7)
    features, wanted = rng.standard_normal((20, 9)), rng.standard_normal(20)

    def error(mask: np.ndarray) -> float:
        return float(np.abs(features @ mask - wanted).max())

    start = rng.random(9) < 0.5
    kept = neurons.improve_by_flips(features, wanted, start)
    assert error(kept) <= error(start)
    for i, j in itertools.product(range(9), repeat=2):
        other = kept.copy()
        other[list({i, j})] ^= True
        assert error(other) >= error(kept) * (1 - 1e-9)
