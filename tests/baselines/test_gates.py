"""Stochastic gates: penalty and gradient against numbers, groups, boolean masks, steering."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from slth import data
from slth.baselines import gates
from slth.baselines.frozen import frozen_form
from slth.baselines.gates import SIGMA, Gated, gate_shapes
from slth.baselines.masks import density_of, maskable
from slth.baselines.recipe import Recipe
from slth.baselines.training import accuracy
from slth.errors import InputError
from slth.networks.models import digits_cnn, separable

RECIPE = Recipe(epochs=6, optimiser="adam", learning_rate=0.1, batch=64)
# What a group shares, as axes of (out, in, …), and the layer left whole.
GROUPS = {"filter": ((1, 2, 3), "fc2.weight"), "channel": ((0, 2, 3), "conv1.weight")}


@pytest.fixture(scope="module")
def digits() -> data.Split:
    return data.load("digits", "train")


def gated(structure: str = "weight", **options: Any) -> Gated:
    scored = Gated(frozen_form(digits_cnn(), seed=0), structure=structure, **options)
    generator = torch.Generator().manual_seed(5)
    for score in scored.scores.values():
        score.data = torch.randn(score.shape, generator=generator)
    return scored


@pytest.mark.parametrize("structure", gates.GATED_UNITS)
def test_the_penalty_is_the_expected_fraction_of_weights_behind_open_gates(structure: str) -> None:
    """Σ_g n_g Φ(μ_g/σ)/N, with scipy's Φ, and by the frequency of z > 0 over many draws."""
    scored = gated(structure, sigma=0.7)
    weights = maskable(scored.network)
    total = sum(weight.numel() for weight in weights.values())
    expected = sum(
        norm.cdf(scored.score(name).detach().expand(weights[name].shape).double().numpy() / 0.7).sum()
        for name in scored.gated
    )
    assert float(scored.penalty().detach()) == pytest.approx(expected / total, rel=1e-5)
    scored.train()
    draws = [
        sum(int((z > 0).expand(weights[name].shape).sum()) for name, z in scored.multipliers().items())
        for _ in range(200)
    ]
    # The mean of 200 draws has at most 1/200 of one draw's variance; six standard errors: false failure below 1e-8.
    assert abs(np.mean(draws) - expected) < 6 * np.std(draws) / math.sqrt(200) + 1


@pytest.mark.parametrize("structure", gates.GATED_UNITS)
def test_the_penaltys_gradient_is_its_slope(structure: str) -> None:
    scored = gated(structure).double()
    scored.penalty().backward()
    for name in scored.gated:
        mean = scored.score(name)
        index = tuple(side // 2 for side in mean.shape)
        values = []
        for shift in (1e-4, -1e-4):
            with torch.no_grad():
                mean[index] += shift
                values.append(float(scored.penalty()))
                mean[index] -= shift
        assert mean.grad is not None
        assert float(mean.grad[index]) == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-5, abs=1e-12)


def test_gates_are_clipped_noise_in_training_and_clipped_means_in_evaluation() -> None:
    scored = gated(sigma=0.25)
    torch.manual_seed(9)
    z = scored.train().multipliers()
    torch.manual_seed(9)
    for name in scored.gated:
        mean = scored.score(name)
        assert torch.equal(z[name], (mean + 0.25 * torch.randn_like(mean)).clamp(0, 1))
    for name, value in scored.eval().multipliers().items():
        assert torch.equal(value, scored.score(name).clamp(0, 1))


def test_no_gradient_passes_a_gate_that_is_clipped() -> None:
    """What a straight-through estimator would let pass."""
    scored = Gated(frozen_form(nn.Linear(4, 3), seed=0), sigma=0.1)
    scored.score("weight").data = torch.tensor([-5.0, 0.5, 5.0]).reshape(3, 1).repeat(1, 4)
    scored.train()(torch.ones(1, 4)).sum().backward()
    gradient = scored.score("weight").grad
    assert gradient is not None
    assert not gradient[0].any()
    assert not gradient[2].any()
    # σ = 0.1 around ½: clipped with a chance below 1e-6.
    assert torch.allclose(gradient[1], scored.network.get_parameter("weight")[1])


@pytest.mark.parametrize("structure", ["filter", "channel"])
def test_a_group_is_kept_or_removed_as_a_whole(structure: str) -> None:
    scored = gated(structure)
    axes, whole = GROUPS[structure]
    masks = scored.masks()
    assert whole not in scored.gated
    assert bool(masks[whole].all())
    for name in scored.gated:
        mask = masks[name]
        group = [axis for axis in axes if axis < mask.dim()]
        assert mask.dtype == torch.bool
        assert torch.equal(mask.any(dim=group), mask.all(dim=group))
        assert torch.equal(mask.any(dim=group), scored.score(name).detach().flatten() > 0)
        assert len(scored.score(name).flatten()) == mask.shape[0 if structure == "filter" else 1]


@pytest.mark.parametrize("structure", ["filter", "channel"])
def test_gates_of_filters_work_behind_the_norm_and_those_of_channels_on_what_comes_in(structure: str) -> None:
    """With z in {0, 1} the gated network is the masked one, and the gradient of z is that of a factor by hand."""
    scored = gated(structure).eval()
    x = torch.rand(4, 1, 8, 8)
    for score in scored.scores.values():
        score.data = (score > 0).float()
    binary = scored(x)
    rows = {name: z.flatten() for name, z in scored.multipliers().items()}
    hooks = []
    for name, z in rows.items():
        layer = scored.network.get_submodule(scored.norms.get(name, name).removesuffix(".weight"))

        def side(values: torch.Tensor, z: torch.Tensor = z) -> torch.Tensor:
            return values * z.reshape(1, -1, *[1] * (values.dim() - 2))

        hooks.append(
            layer.register_forward_hook(lambda module, inputs, output, side=side: side(output))
            if structure == "filter"
            else layer.register_forward_pre_hook(lambda module, inputs, side=side: (side(inputs[0]),))
        )  # fmt: skip
    assert torch.allclose(scored.network(x), binary, atol=1e-5)
    for hook in hooks:
        hook.remove()
    assert len(scored.norms) == (3 if structure == "filter" else 0)


def test_a_filters_gate_has_a_gradient_in_training() -> None:
    """A factor before BatchNorm has none: it is normalised away."""
    scored = Gated(frozen_form(digits_cnn(), seed=0), structure="filter").train()
    scored(torch.rand(32, 1, 8, 8))[:, 0].sum().backward()
    slopes = torch.cat([score.grad.flatten().abs() for score in scored.scores.values()])
    assert float((slopes > 1e-3).float().mean()) > 0.3  # about two thirds of the gates are neither shut nor wide open


@pytest.mark.parametrize(("structure", "floor"), [("weight", 0.8), ("channel", 0.3), ("filter", 0.15)])
def test_a_ticket_is_boolean_on_weights_as_drawn_near_the_density_asked_for(
    digits: data.Split, structure: str, floor: float
) -> None:
    """Chance is 0.1. This network is narrow: 50 filters to choose from cannot do much (measured: 0.9, 0.5, 0.3)."""
    found = gates.find(digits_cnn(), digits, density=0.4, recipe=RECIPE, seed=1, structure=structure)
    assert found.untouched
    assert found.notes["steered"]
    assert found.notes["connected"] <= found.density
    assert abs(found.density - 0.4) < 0.15
    drawn = maskable(frozen_form(digits_cnn(), seed=1))
    for name, weight in maskable(found.module()).items():
        assert torch.equal(weight, torch.where(found.masks[name], drawn[name], 0.0))
    assert accuracy(found.module(), data.load("digits", "test")) > floor


def test_more_penalty_fewer_weights_and_one_seed_one_mask(digits: data.Split) -> None:
    recipe = Recipe(epochs=3, optimiser="adam", learning_rate=0.1, batch=64)
    few, again, many = (
        gates.find(digits_cnn(), digits, density=0.5, penalty=penalty, recipe=recipe) for penalty in (5.0, 5.0, 0.01)
    )
    assert few.density < many.density
    assert few.notes["penalty"] == 5.0
    assert not few.notes["steered"]
    assert all(torch.equal(few.masks[name], again.masks[name]) for name in few.masks)


def test_steering_raises_the_penalty_where_masks_are_too_dense() -> None:
    scored = gated()
    density, before = density_of(scored.masks()), float(scored.strength)
    scored.steer(density / 2)
    up = float(scored.strength)
    scored.steer(density * 4)
    assert before < up
    assert float(scored.strength) == 0
    assert "strength" in scored.state_dict()  # a resumed run steers on


@pytest.mark.parametrize(
    "options",
    [{"penalty": 0.0}, {"penalty": -1.0}, {"penalty": float("nan")}, {"sigma": 0.0}, {"structure": "kernel"},
     {"density": 0.0}, {"density": 2.0}],
)  # fmt: skip
def test_bad_options_are_refused(digits: data.Split, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        gates.find(digits_cnn(), digits, **{"density": 0.5, "recipe": RECIPE, **options})


def test_networks_that_cannot_be_gated_so_are_refused() -> None:
    with pytest.raises(InputError, match="two layers"):
        gate_shapes(nn.Linear(3, 2), "filter")
    with pytest.raises(InputError, match="ungrouped"):
        gate_shapes(separable(), "channel")
    assert SIGMA > 0
