"""edge-popup, and what all searches for masks share: exact counts, gradients by hand, weights untouched."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from slth import data
from slth.baselines import edge_popup
from slth.baselines.edge_popup import EdgePopup
from slth.baselines.found import Found, fine_tuned, masked, recalibrated, warn
from slth.baselines.frozen import frozen_form
from slth.baselines.masks import counts, largest, maskable, weights_hash
from slth.baselines.recipe import Recipe
from slth.baselines.training import accuracy
from slth.errors import InputError, TrainingError
from slth.networks.models import digits_cnn
from slth.progress import Lines

RECIPE = Recipe(epochs=3, learning_rate=1.0, batch=64)


@pytest.fixture(scope="module")
def digits() -> data.Split:
    return data.load("digits", "train")


@pytest.fixture(scope="module")
def found(digits: data.Split) -> Found:
    return edge_popup.find(digits_cnn(), digits, density=0.3, recipe=RECIPE, seed=1)


@pytest.mark.parametrize("count", [1, 2, 57, 99, 100])
@pytest.mark.parametrize("levels", [2, 7, 1000])
def test_the_largest_are_those_of_a_stable_sort(count: int, levels: int) -> None:
    """Few levels mean many ties, the first of which are taken."""
    values = torch.randint(levels, (100,)).float()
    expected = torch.zeros(100, dtype=torch.bool)
    expected[np.argsort(-values.numpy(), kind="stable")[:count].copy()] = True
    assert torch.equal(largest(values, count), expected)
    assert torch.equal(largest(values.double(), count), expected)


def test_every_layer_keeps_its_fraction_exactly() -> None:
    network = frozen_form(digits_cnn(), seed=0)
    for density in (1e-6, 0.037, 0.5, 1.0):
        for kept, total in counts(EdgePopup(network, density=density).masks()).values():
            assert kept == max(1, round(density * total))


def test_forward_is_the_network_of_the_kept_weights() -> None:
    network = frozen_form(digits_cnn(), seed=0).eval()
    scored = EdgePopup(network, density=0.4, seed=3).eval()
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(scored(x), masked(network, scored.masks())(x))


def test_the_gradient_goes_straight_through_to_every_score() -> None:
    """One linear layer, loss Σ y: ∂/∂|s_ij| of Σ_i Σ_j w_ij m_ij x_j is w_ij x_j if m' is 1, kept or not."""
    network = frozen_form(nn.Linear(6, 4), seed=0)
    scored = EdgePopup(network, density=0.25, seed=2)
    x = torch.randn(1, 6)
    scored(x).sum().backward()
    scores = scored.score("weight")
    assert scores.grad is not None
    assert torch.allclose(scores.grad, network.get_parameter("weight") * x * scores.detach().sign())
    assert bool((scores.grad[~scored.masks()["weight"]] != 0).all())


def test_scores_are_uniform_within_one_over_the_root_of_the_fan() -> None:
    scores = EdgePopup(frozen_form(nn.Linear(400, 300), seed=0), density=0.5).score("weight").detach()
    assert 0.999 / 20 < float(scores.abs().max()) <= 1 / 20
    # 120,000 uniform numbers: the standard deviation is (1/20)/√3 to 1 % but for a chance below 1e-9.
    assert abs(float(scores.std()) * 20 * 3**0.5 - 1) < 0.01


def test_a_ticket_is_found_without_a_weight_touched(found: Found, digits: data.Split) -> None:
    assert found.untouched
    assert found.weights[0] == weights_hash(frozen_form(digits_cnn(), seed=1))
    assert found.weights[0] == weights_hash(found.network)
    assert {name: kept for name, (kept, _) in counts(found.masks).items()} == {
        name: round(0.3 * weight.numel()) for name, weight in maskable(digits_cnn()).items()
    }
    # Chance is 0.1; measured: 0.89.
    assert accuracy(found.module(), data.load("digits", "test")) > 0.8
    assert found.collapsed == []
    assert found.history.steps == 3 * -(-len(digits) // 64)


def test_weights_that_are_not_kept_are_zero_and_the_others_as_drawn(found: Found) -> None:
    drawn = maskable(frozen_form(digits_cnn(), seed=1))
    for name, weight in maskable(found.module()).items():
        assert torch.equal(weight, torch.where(found.masks[name], drawn[name], 0.0))


def test_one_seed_one_mask_another_seed_another(found: Found, digits: data.Split) -> None:
    again = edge_popup.find(digits_cnn(), digits, density=0.3, recipe=RECIPE, seed=1)
    other = edge_popup.find(digits_cnn(), digits, density=0.3, recipe=RECIPE, seed=2)
    assert all(torch.equal(found.masks[name], again.masks[name]) for name in found.masks)
    assert not all(torch.equal(found.masks[name], other.masks[name]) for name in found.masks)


def test_the_callers_model_and_random_numbers_are_left_alone(digits: data.Split) -> None:
    model = digits_cnn()
    before, noise = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    edge_popup.find(model, digits, density=0.3, recipe=replace(RECIPE, epochs=1))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(noise, torch.get_rng_state())


def test_a_search_goes_on_from_its_checkpoint(digits: data.Split, tmp_path: Path, found: Found) -> None:
    """A checkpoint after each epoch, the last of which is put back: the same masks as without a stop."""
    path = tmp_path / "search.pt"
    lines: list[str] = []

    class Stop(Exception): ...

    def say(line: str) -> None:
        lines.append(line)
        if line.startswith("epoch 2"):
            raise Stop

    options: dict[str, Any] = {"density": 0.3, "recipe": RECIPE, "seed": 1, "checkpoint": path}
    with pytest.raises(Stop):
        edge_popup.find(digits_cnn(), digits, progress=Lines(say), **options)
    resumed = edge_popup.find(digits_cnn(), digits, progress=Lines(lines.append), **options)
    assert any("goes on" in line for line in lines)
    assert all(torch.equal(found.masks[name], resumed.masks[name]) for name in found.masks)


def test_a_checkpoint_of_other_random_weights_is_refused(digits: data.Split, tmp_path: Path) -> None:
    options: dict[str, Any] = {"density": 0.5, "recipe": Recipe(epochs=1), "checkpoint": tmp_path / "run.pt"}
    edge_popup.find(digits_cnn(), digits, seed=0, **options)
    with pytest.raises(InputError, match="other random weights"):
        edge_popup.find(digits_cnn(), digits, seed=1, **options)


def test_fine_tuning_moves_what_is_kept_and_nothing_else(found: Found, digits: data.Split) -> None:
    """Momentum and weight decay are what brings pruned weights back where masks are applied to gradients alone."""
    recipe = Recipe(epochs=2, learning_rate=0.05, momentum=0.9, weight_decay=1e-2, batch=64)
    module, _ = fine_tuned(found, digits, recipe=recipe)
    before = maskable(found.module())
    for name, weight in maskable(module).items():
        assert not weight[~found.masks[name]].any()
        assert (weight != before[name])[found.masks[name]].float().mean() > 0.99
    assert weights_hash(found.network) == found.weights[0]


def test_recalibrated_statistics_are_those_of_the_inputs() -> None:
    """After one linear layer: mean and unbiased variance of each part, averaged over the parts."""
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5, momentum=0.3))
    x = torch.randn(90, 3)
    model(x * 7)  # statistics of something else
    before = copy.deepcopy(model.state_dict())
    fresh: Any = recalibrated(model, x, batch=30)
    parts = model[0](x).detach().reshape(3, 30, 5)
    assert torch.allclose(fresh[1].running_mean, parts.mean(dim=1).mean(dim=0), atol=1e-6)
    assert torch.allclose(fresh[1].running_var, parts.var(dim=1).mean(dim=0), atol=1e-6)
    assert fresh[1].momentum == 0.3
    assert not fresh.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(InputError, match="images"):
        recalibrated(model, x[:1])


@pytest.mark.parametrize("density", [0.0, -0.1, 1.01, float("nan"), True])
def test_densities_outside_the_unit_interval_are_refused(digits: data.Split, density: float) -> None:
    with pytest.raises(InputError, match="density"):
        edge_popup.find(digits_cnn(), digits, density=density, recipe=RECIPE)


def test_a_loss_that_is_no_number_is_an_error(digits: data.Split) -> None:
    broken = data.Split(digits.images * float("inf"), digits.labels)
    with pytest.raises(TrainingError, match="loss became nan"):
        edge_popup.find(digits_cnn(), broken, density=0.5, recipe=RECIPE)


def test_what_a_reader_must_not_overlook_is_said(found: Found) -> None:
    lines: list[str] = []
    empty = {name: torch.zeros_like(mask) for name, mask in found.masks.items()}
    warn(replace(found, masks=empty), Lines(lines.append))
    assert len(lines) == 1
    assert "layer collapse" in lines[0]
    warn(replace(found, asked=0.1), Lines(lines.append))
    assert "0.1 was asked for" in lines[1]
    with pytest.raises(TrainingError, match="layer collapse"):
        fine_tuned(replace(found, masks=empty), data.load("digits", "train"), recipe=RECIPE)
