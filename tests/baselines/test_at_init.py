"""Pruning at initialisation against derivatives taken by hand, by finite differences and by the whole Hessian."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from slth import data
from slth.baselines import at_init, synflow
from slth.baselines.at_init import drawn, examples, grasp_scores, snip_scores
from slth.baselines.found import fine_tuned
from slth.baselines.frozen import frozen_form, normalised
from slth.baselines.masks import Masks, Scores, counts, keep_top, maskable
from slth.baselines.recipe import Recipe
from slth.baselines.synflow import connected, synflow_masks, synflow_scores
from slth.errors import InputError, TrainingError
from slth.networks.models import digits_cnn, lenet5, resnet20
from slth.progress import Lines


@pytest.fixture(scope="module")
def digits() -> data.Split:
    return data.load("digits", "train")


@pytest.fixture
def small() -> nn.Sequential:
    """83 weights, smooth, with biases and a BatchNorm, in double precision."""
    return nn.Sequential(
        nn.Conv2d(1, 3, 2, stride=2), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4), nn.Tanh(),
        nn.Linear(4, 3),
    ).double()  # fmt: skip


@pytest.fixture
def batch() -> data.Split:
    return data.Split(torch.rand(12, 1, 4, 4).double(), torch.arange(12) % 3)


def flat_loss(
    network: nn.Module, batch: data.Split, temperature: float
) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
    """The loss as a function of all weights in one vector, with statistics of the batch, and that vector."""
    weights = maskable(network)
    sizes = [weight.numel() for weight in weights.values()]
    network.train()

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = zip(weights.items(), vector.split(sizes), strict=True)
        values = {name: part.reshape(weight.shape) for (name, weight), part in parts}
        return functional.cross_entropy(functional_call(network, values, (batch.images,)) / temperature, batch.labels)

    return loss, torch.cat([weight.detach().flatten() for weight in weights.values()])


def test_snip_is_the_slope_of_switching_a_weight_off(small: nn.Sequential, batch: data.Split) -> None:
    """|g w| is |dL/dc| at c = 1 of the factor c on w: by central differences."""
    loss, vector = flat_loss(small, batch, 1.0)
    scores = torch.cat([score.flatten() for score in snip_scores(small, batch).values()])
    for i in range(len(vector)):
        step = torch.zeros_like(vector)
        step[i] = 1e-5
        slope = (loss(vector * (1 + step)) - loss(vector * (1 - step))).detach() / 2e-5
        assert float(scores[i]) == pytest.approx(abs(float(slope)), rel=1e-5, abs=1e-9)


def test_grasp_is_the_hessian_times_the_gradient(small: nn.Sequential, batch: data.Split) -> None:
    loss, vector = flat_loss(small, batch, 200.0)
    hessian = torch.autograd.functional.hessian(loss, vector)
    gradient = torch.autograd.functional.jacobian(loss, vector)
    scores = torch.cat([score.flatten() for score in grasp_scores(small, batch).values()])
    assert torch.allclose(scores, vector * (hessian @ gradient), rtol=1e-8, atol=1e-14)


def test_grasp_removes_what_raises_the_gradients_norm_most(small: nn.Sequential, batch: data.Split) -> None:
    """To shrink w by a small part changes ‖g‖² by −2 w Hg of that part."""
    loss, vector = flat_loss(small, batch, 200.0)

    def norm(at: torch.Tensor) -> float:
        return float(torch.autograd.functional.jacobian(loss, at).square().sum())

    scores = torch.cat([score.flatten() for score in grasp_scores(small, batch).values()])
    lowest = int(scores.argmin())
    shrunk = vector.clone()
    shrunk[lowest] *= 1 - 1e-4
    assert norm(shrunk) > norm(vector)
    assert (norm(shrunk) - norm(vector)) / 1e-4 == pytest.approx(-2 * float(scores[lowest]), rel=1e-2)


def test_synflow_counts_what_all_paths_through_a_weight_carry() -> None:
    """One path at a time: R is the sum over paths of the product of |w|."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    first, second = (weight.detach().double().abs().numpy() for weight in maskable(model).values())
    expected = [np.zeros_like(first), np.zeros_like(second)]
    for i, j, k in product(range(4), range(3), range(2)):
        path = first[j, i] * second[k, j]
        expected[0][j, i] += path
        expected[1][k, j] += path
    scores = list(synflow_scores(model, (1, 2, 2)).values())
    assert all(np.allclose(score.numpy(), wanted) for score, wanted in zip(scores, expected, strict=True))


def test_synflow_scores_add_up_to_the_same_in_every_layer_of_a_chain() -> None:
    """R is homogeneous of degree one in every layer; BatchNorm is |γ|, biases are nothing, max-pooling lets pass."""
    model: Any = digits_cnn()
    nn.init.uniform_(model.norm1.weight, -1, 1)
    nn.init.normal_(model.norm1.bias)
    model.norm1.running_mean.fill_(3.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sums = [float(score.sum()) for score in synflow_scores(model, (1, 8, 8)).values()]
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_synflow_neither_overflows_nor_empties_a_layer_of_a_deep_network() -> None:
    """Single precision overflows when weights are large; what is pruned once stays pruned."""
    model = resnet20()
    with torch.no_grad():
        for weight in maskable(model).values():
            weight.mul_(1000)
    assert all(bool(score.isfinite().all()) for score in synflow_scores(model, (1, 8, 8)).values())
    masks = synflow_masks(drawn(digits_cnn(), 0), (1, 8, 8), 0.01)
    assert min(kept for kept, _ in counts(masks).values()) > 0
    assert sum(kept for kept, _ in counts(masks).values()) == round(0.01 * 7166)


def test_synflow_prunes_step_by_step_and_nothing_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    whole = keep_top

    def watched(scores: Scores, density: float, among: Masks) -> Masks:
        masks = whole(scores, density, among=among)
        seen.append((density, sum(int(mask.sum()) for mask in masks.values())))
        assert all(not (masks[name] & ~among[name]).any() for name in masks)
        return masks

    monkeypatch.setattr(synflow, "keep_top", watched)
    synflow_masks(digits_cnn(), (1, 8, 8), 0.1, iterations=7)
    assert [density for density, _ in seen] == pytest.approx([0.1 ** (i / 7) for i in range(1, 8)])
    assert [count for _, count in seen] == [round(density * 7166) for density, _ in seen]


@pytest.mark.parametrize("method", at_init.CRITERIA)
@pytest.mark.parametrize("density", [0.004, 0.1, 1.0])
def test_counts_are_exact_and_seeds_decide(digits: data.Split, method: str, density: float) -> None:
    found = at_init.find(digits_cnn(), digits, density=density, method=method, seed=3)
    assert sum(kept for kept, _ in counts(found.masks).values()) == round(density * 7166)
    assert found.untouched
    again = at_init.find(digits_cnn(), digits, density=density, method=method, seed=3)
    assert all(torch.equal(found.masks[name], again.masks[name]) for name in found.masks)


@pytest.mark.parametrize("method", ["magnitude", "snip", "grasp"])
def test_masks_are_one_ranking_of_all_weights(digits: data.Split, method: str) -> None:
    found = at_init.find(digits_cnn(), digits, density=0.2, method=method, seed=5)
    batch = examples(digits, 10, 5)
    scores = {
        "magnitude": lambda: {name: weight.detach().abs() for name, weight in maskable(found.network).items()},
        "snip": lambda: snip_scores(found.network, batch),
        "grasp": lambda: grasp_scores(found.network, batch),
    }[method]()
    flat = torch.cat([score.flatten() for score in scores.values()])
    kept = torch.cat([mask.flatten() for mask in found.masks.values()])
    assert float(flat[kept].min()) >= float(flat[~kept].max())


def test_weights_are_drawn_by_the_seed_and_left_alone_otherwise(digits: data.Split) -> None:
    model = digits_cnn()
    before, noise = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    one, two, other = (drawn(model, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(noise, torch.get_rng_state())
    assert torch.equal(one["conv1.weight"], two["conv1.weight"])
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])
    for method in at_init.CRITERIA:
        found = at_init.find(model, digits, density=0.1, method=method, seed=1)
        after = found.network.state_dict()
        assert torch.equal(after["fc1.weight"], one["fc1.weight"])
        assert not after["norm1.running_mean"].any()  # scores leave running statistics as they were
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_as_many_examples_of_every_class(digits: data.Split) -> None:
    batch = examples(digits, 7, 0)
    assert batch.labels.bincount().tolist() == [7] * 10
    assert not torch.equal(batch.images, examples(digits, 7, 1).images)
    with pytest.raises(InputError, match="Lower per_class"):
        examples(data.Split(digits.images[:40], digits.labels[:40]), 10, 0)


def test_layer_collapse_is_said_and_not_trained(digits: data.Split) -> None:
    """Magnitudes at initialisation are of the layers' scales: the wide layers go first, and go entirely."""
    lines: list[str] = []
    found = at_init.find(digits_cnn(), digits, density=0.004, method="magnitude", progress=Lines(lines.append))
    assert "fc1.weight" in found.collapsed
    assert any("layer collapse" in line and "fc1.weight" in line for line in lines)
    assert bool(found.module()(digits.images[:3]).isfinite().all())
    with pytest.raises(TrainingError, match="layer collapse"):
        fine_tuned(found, digits, recipe=Recipe(epochs=1))


def test_what_is_pruned_at_initialisation_stays_pruned_in_training(digits: data.Split) -> None:
    found = at_init.find(digits_cnn(), digits, density=0.2, method="snip")
    module, history = fine_tuned(found, digits, recipe=Recipe(epochs=2, weight_decay=1e-2, batch=64))
    assert history.steps == 2 * -(-len(digits) // 64)
    assert all(not weight[~found.masks[name]].any() for name, weight in maskable(module).items())


def test_connected_weights_are_those_on_a_path_by_brute_force() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2))
    masks = {name: torch.rand(weight.shape) < 0.35 for name, weight in maskable(model).items()}
    one, two, three = masks.values()
    expected = [torch.zeros_like(mask) for mask in masks.values()]
    for i, j, k, l in product(range(4), range(5), range(5), range(2)):  # noqa: E741
        if one[j, i] and two[k, j] and three[l, k]:
            expected[0][j, i] = expected[1][k, j] = expected[2][l, k] = True
    found = connected(model, (1, 2, 2), masks)
    assert all(torch.equal(mask, wanted) for mask, wanted in zip(found.values(), expected, strict=True))
    assert 0 < sum(int(mask.sum()) for mask in found.values()) < sum(int(mask.sum()) for mask in masks.values())


@pytest.mark.parametrize(
    "options", [{"method": "lamp"}, {"density": 0.0}, {"density": 1.1}, {"per_class": 0}, {"seed": -1}]
)
def test_bad_options_are_refused(digits: data.Split, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        at_init.find(digits_cnn(), digits, **{"density": 0.1, "method": "snip", **options})


def test_a_normalised_network_has_the_layers_of_its_frozen_form() -> None:
    model = lenet5()
    ours, theirs = normalised(model), frozen_form(model, seed=0)
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]
    assert [name for name, _ in frozen_form(ours, seed=0).named_modules()] == [name for name, _ in ours.named_modules()]
    assert torch.equal(ours.get_parameter("fc3.bias"), model.get_parameter("fc3.bias"))
    assert "fc3_norm" not in dict(ours.named_modules())
    assert "conv1_norm" not in dict(model.named_modules())
