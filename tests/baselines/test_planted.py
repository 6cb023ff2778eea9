"""Planted tickets and planted subset sums: the truth is there, it is exact, and searches are scored against it."""

from __future__ import annotations

import copy
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from slth.baselines import planted_searches, planted_sums
from slth.baselines import planted_tickets as planted
from slth.baselines.found import masked
from slth.baselines.frozen import frozen_form
from slth.baselines.masks import density_of, maskable, random_masks, weights_hash
from slth.baselines.recipe import Recipe
from slth.baselines.training import accuracy
from slth.data import Split, load
from slth.errors import InputError
from slth.networks.models import mlp
from slth.rss import exact_error, solve
from slth.tickets import find_ticket


@pytest.fixture(scope="module")
def small() -> planted.PlantedTicket:
    return planted.problem(load("digits", "train"), load("digits", "test"), hidden=(8, 8), widths=(32, 48))


def nets(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    target, mother = mlp(sizes=(6, 3, 4, 2), bias=False), mlp(sizes=(6, 20, 30, 2), bias=False)
    return target, frozen_form(mother, seed=seed, init="kaiming_normal", normalise=False)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_planted_computes_the_target_up_to_one_factor(seed: int) -> None:
    target, mother = nets(seed)
    with torch.no_grad():
        target.get_parameter("fc1.weight")[0, :4] = 0  # a weight that is zero is no part of the ticket
        target.get_parameter("fc2.weight")[1] = 0  # nor is a dead neuron
    network, truth = planted.plant(target, mother)
    x = torch.randn(50, 6, dtype=torch.float64)
    alone, whole = masked(network, truth).double()(x), target.double()(x)
    factor = float((alone * whole).sum().detach() / whole.square().sum().detach())
    assert factor > 0
    torch.testing.assert_close(alone, factor * whole, rtol=1e-4, atol=1e-5)
    for (name, mask), weight in zip(truth.items(), maskable(target).values(), strict=True):
        assert int(mask.sum()) == int((weight != 0).sum()), name


def test_the_mother_is_left_as_it_was_but_for_the_ticket() -> None:
    target, mother = nets()
    before = copy.deepcopy(mother.state_dict())
    network, truth = planted.plant(target, mother)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), mother.state_dict().values(), strict=True))
    for name, weight in maskable(network).items():
        same = weight == maskable(mother)[name]
        assert bool(same[~truth[name]].all())
        assert not bool(same[truth[name]].any())


def test_each_neuron_takes_the_closest_free_one_and_its_norm() -> None:
    """Against a plain search over the angles of the first layer."""
    target, mother = nets(3)
    network, truth = planted.plant(target, mother)
    w, v = target.get_parameter("fc1.weight").detach().numpy(), mother.get_parameter("fc1.weight").detach().numpy()
    free = list(range(20))
    for i in np.argsort(-np.linalg.norm(w, axis=1)):
        cosines = {j: w[i] @ v[j] / (np.linalg.norm(w[i]) * np.linalg.norm(v[j])) for j in free}
        j = max(cosines, key=lambda j: cosines[j])
        free.remove(j)
        assert bool(truth["fc1.weight"][j].all())
        expected = w[i] * np.linalg.norm(v[j]) / np.linalg.norm(w[i])
        np.testing.assert_allclose(network.get_parameter("fc1.weight")[j].detach().numpy(), expected, rtol=1e-5)
    assert not bool(truth["fc1.weight"][free].any())


def test_planted_weights_are_as_large_as_the_others() -> None:
    target, mother = nets(1)
    network, truth = planted.plant(target, mother)
    for name, weight in maskable(network).items():
        mine, there = weight[truth[name]], maskable(mother)[name][truth[name]]
        assert float(mine.norm()) == pytest.approx(float(there.norm()), rel=1e-5)


def test_the_truth_has_accuracy_one(small: planted.PlantedTicket) -> None:
    assert accuracy(masked(small.network, small.truth), small.test) == 1
    assert accuracy(masked(small.network, small.truth), small.train) == 1
    assert accuracy(small.network, small.test) < 0.6
    assert accuracy(small.target, load("digits", "test")) > 0.8  # worth finding
    assert small.density == density_of(small.truth) == (64 * 8 + 8 * 8 + 8 * 10) / (64 * 32 + 32 * 48 + 48 * 10)


def test_sparse_targets_are_planted_sparse() -> None:
    half = planted.problem(load("digits", "train"), load("digits", "test"), density=0.25)
    assert sum(int(mask.sum()) for mask in half.truth.values()) == round(0.25 * (64 * 8 + 8 * 10))
    assert accuracy(masked(half.network, half.truth), half.test) == 1


def test_scores_of_a_search(small: planted.PlantedTicket) -> None:
    perfect = planted.score(small.truth, small.truth)
    assert perfect["recall"] == perfect["precision"] == 1
    everything = planted.score({name: torch.ones_like(mask) for name, mask in small.truth.items()}, small.truth)
    assert everything["recall"] == 1
    assert everything["precision"] == everything["chance"] == pytest.approx(small.density)
    nothing = planted.score({name: ~mask for name, mask in small.truth.items()}, small.truth)
    assert nothing["recall"] == nothing["precision"] == 0
    empty = planted.score({name: torch.zeros_like(mask) for name, mask in small.truth.items()}, small.truth)
    assert empty["precision"] == 0
    # A random mask at density ½ over 656 planted weights: recall ½ with deviation 0.02; 7 of them, p < 1e-11.
    drawn = planted.score(random_masks(small.network, dict.fromkeys(small.truth, 0.5), 0), small.truth)
    assert drawn["recall"] == pytest.approx(0.5, abs=0.14)


@pytest.mark.parametrize("method", planted_searches.SEARCHES)
def test_every_search_can_be_run_on_it(small: planted.PlantedTicket, method: str) -> None:
    before = weights_hash(small.network)
    epochs, rate = {"imp": (2, 0.1), "gates": (20, 0.5)}.get(method, (10, 0.1))
    recipe = Recipe(epochs=epochs, batch=64, learning_rate=rate)
    masks = planted_searches.masks_of(small, method=method, recipe=recipe)
    scores = planted_searches.scores_of(small, masks)
    assert weights_hash(small.network) == before
    assert scores["density"] == pytest.approx(small.density, rel=0.25)  # gates come near it, the others are exact
    assert 0 < scores["recall"] < 0.9  # none of them finds the ticket that is there
    assert scores["accuracy"] < 0.95
    assert scores["precision"] == pytest.approx(scores["recall"] * small.density / scores["density"])


def test_edge_popup_sees_some_of_it(small: planted.PlantedTicket) -> None:
    recipe = Recipe(epochs=30, batch=64, learning_rate=0.1)
    masks = planted_searches.masks_of(small, method="edge-popup", recipe=recipe)
    scores = planted_searches.scores_of(small, masks)
    # A random mask's recall is the density 0.16, ± 0.015.
    assert scores["chance"] + 0.05 < scores["recall"] < 0.9
    assert 0.4 < scores["accuracy"] < 1


def test_planted_sums_are_exact_and_found_where_they_are_alone() -> None:
    for seed in range(3):
        instance = planted_sums.planted_sum(n=18, dimension=4, kept=6, seed=seed)
        assert instance.truth.sum() == 6
        assert exact_error(instance.problem, instance.truth) == Fraction(instance.error) < Fraction(1, 10**14)
        found = planted_sums.score_sum(instance, solve(instance.problem, method="exact"))
        assert found["reached"] == found["recall"] == found["precision"] == 1


def test_a_search_that_misses_is_scored_so() -> None:
    instance = planted_sums.planted_sum(n=400, dimension=12, kept=40)
    found = planted_sums.score_sum(instance, solve(instance.problem, method="pursuit"))
    assert found["reached"] == 0
    assert found["error"] > 1e-6 > found["planted_error"]
    assert found["recall"] < 1


@pytest.fixture(scope="module")
def cnn() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3, bias=False))


def test_planted_networks_are_sums_of_their_candidates(cnn: nn.Sequential) -> None:
    before = copy.deepcopy(cnn.state_dict())
    made = planted_sums.planted_network(cnn, width=40, kept=5, seed=7)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), cnn.state_dict().values(), strict=True))
    weight = made.model.get_parameter("3.weight").detach().double().numpy()  # (3, 16): one instance a column
    for channel in range(16):
        rows = made.truth[1, channel].used
        assert len(rows) == 5
        assert np.all(made.parent.mixing(1, channel, rows) > 0)
        expected = made.parent.candidates(1, channel, rows).sum(axis=0)
        np.testing.assert_allclose(weight[:, channel], expected, rtol=1e-6, atol=1e-6)
    bias = made.parent.candidates(0, 2, made.truth[0, 2].used).sum(axis=0)
    np.testing.assert_allclose(made.model.get_parameter("0.bias").detach().numpy(), bias, rtol=1e-6, atol=1e-6)


def test_exact_search_reaches_what_is_planted_and_others_are_scored(cnn: nn.Sequential) -> None:
    # About 14 candidates an instance, D ≥ 3: 2^14 subsets, and none but the planted one within rounding of the sum.
    made = planted_sums.planted_network(cnn, width=28, kept=4, seed=1)
    ticket = find_ticket(made.model, **made.options, method="exact", threads=1)
    found = planted_sums.score_ticket(made, ticket)
    assert ticket.parent == made.parent
    assert found["reached"] == found["recall"] == found["precision"] == 1
    assert found["error"] == found["planted_error"] == max(layer.error for layer in ticket.layers) < 1e-5
    wide = planted_sums.planted_network(cnn, width=120, kept=20, seed=1)
    missed = planted_sums.score_ticket(wide, find_ticket(wide.model, **wide.options, method="pursuit", threads=1))
    assert missed["reached"] < 0.5
    assert missed["recall"] < 1
    assert missed["error"] > wide_error(missed)
    with pytest.raises(InputError, match="planted parent"):
        planted_sums.score_ticket(wide, ticket)


def wide_error(found: dict[str, float]) -> float:
    assert found["planted_error"] < 1e-4
    return found["planted_error"]


def test_refusals(cnn: nn.Sequential) -> None:
    target, mother = nets()
    digits = load("digits", "train")
    with pytest.raises(InputError, match="Widen the mother"):
        planted.plant(mother, target)
    with pytest.raises(InputError, match="as many layers"):
        planted.plant(mlp(sizes=(6, 3, 2), bias=False), mother)
    with pytest.raises(InputError, match="must have no biases"):
        planted.plant(mlp(sizes=(6, 3, 4, 2)), mother)
    with pytest.raises(InputError, match="Sequential of Linear, ReLU and Flatten"):
        planted.plant(cnn, mother)
    with pytest.raises(InputError, match="two classes at least"):
        planted.problem(Split(digits.images, digits.labels * 0), digits)
    with pytest.raises(InputError, match="names and shapes"):
        planted.score({}, {"fc1.weight": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(InputError, match="kept must be an integer between 1 and 5; got 6"):
        planted_sums.planted_sum(n=5, dimension=2, kept=6)
    with pytest.raises(InputError, match="may be negative"):
        planted_sums.planted_network(cnn, width=20, kept=2, input_range=(-1.0, 1.0))
    with pytest.raises(InputError, match="are to be planted"):
        planted_sums.planted_network(cnn, width=10, kept=9)
    normed = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    with pytest.raises(InputError, match="such as BatchNorm"):
        planted_sums.planted_network(normed, width=40, kept=3)
