"""Gem-Miner against its closed form and against a loop written out; its sanity checks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from slth import data
from slth.baselines import gem_miner, smart
from slth.baselines.edge_popup import EdgePopup
from slth.baselines.found import Found, fine_tuned
from slth.baselines.frozen import frozen_form
from slth.baselines.gem_miner import GemMiner, flags_after, last_freeze, sanity_checks
from slth.baselines.masks import counts, density_of, maskable
from slth.baselines.randomness import mixed, order_of
from slth.baselines.recipe import Recipe
from slth.baselines.training import accuracy
from slth.errors import InputError
from slth.networks.models import digits_cnn
from slth.progress import Lines

RECIPE = Recipe(epochs=8, learning_rate=3.0, batch=64)


@pytest.fixture(scope="module")
def digits() -> data.Split:
    return data.load("digits", "train")


@pytest.fixture(scope="module")
def found(digits: data.Split) -> Found:
    return gem_miner.find(digits_cnn(), digits, density=0.1, recipe=RECIPE, seed=1, period=1, penalty=1e-4)


def test_flags_follow_the_closed_form() -> None:
    """Freezing the fraction 1 − e^{−cT} again and again, and c = ln(1/s)/E."""
    density, epochs, period = 0.03, 23, 4
    left, rate = 1.0, math.log(1 / density) / epochs
    for epoch in range(epochs):
        if epoch % period == 0 and epoch > 0:
            left -= (1 - math.exp(-rate * period)) * left
        assert flags_after(epoch, density=density, period=period, horizon=epochs) == pytest.approx(left)
    # The authors' code: 1 − s^{1/⌊(E−1)/T⌋} a freeze.
    last = last_freeze(epochs, period)
    assert last == 20
    per_freeze = density ** (1 / ((epochs - 1) // period))
    assert flags_after(2 * period, density=density, period=period, horizon=last) == pytest.approx(per_freeze**2)
    assert flags_after(last, density=density, period=period, horizon=last) == pytest.approx(density)


def test_freezing_takes_the_lowest_scores_of_all_layers_and_they_stay_frozen() -> None:
    scored = GemMiner(frozen_form(digits_cnn(), seed=0), seed=0)
    flat = torch.cat([scored.score(name).detach().flatten() for name in scored.flags()])
    before = scored.flags()
    for density in (0.6, 0.25, 0.01):
        scored.freeze(density)
        after = scored.flags()
        kept = torch.cat([flag.flatten() for flag in after.values()])
        assert int(kept.sum()) == round(density * len(flat))
        assert float(flat[kept].min()) > float(flat[~kept].max())
        assert all(not (after[name] & ~before[name]).any() for name in after)
        before = {name: flag.clone() for name, flag in after.items()}
    for name, score in scored.scores.items():
        score.data.fill_(1.0 if "conv1" in name else 0.9)
    scored.freeze(0.005)  # scores that have risen do not unfreeze
    assert all(not (flag & ~before[name]).any() for name, flag in scored.flags().items())


def test_the_gradient_goes_straight_through_the_rounding_but_not_through_flags() -> None:
    network = frozen_form(nn.Linear(6, 4), seed=0)
    scored = GemMiner(network, seed=2)
    scored.freeze(0.5)
    flag = scored.flags()["weight"]
    x = torch.randn(1, 6)
    scored(x).sum().backward()
    gradient = scored.score("weight").grad
    assert gradient is not None
    assert torch.equal(gradient, network.get_parameter("weight") * x * flag)
    assert torch.equal(scored.masks()["weight"], flag & (scored.score("weight") >= 0.5))


def test_scores_know_nothing_of_the_weights_drawn_from_the_same_seed() -> None:
    """Were they the same uniform numbers, p ≥ ½ would mean w > 0. 784,000 signs: six standard errors are 0.007."""
    network = frozen_form(nn.Linear(784, 1000), seed=5)
    for score in (
        GemMiner(network, seed=5).score("weight") - 0.5,
        EdgePopup(network, density=1.0, seed=5).score("weight"),
    ):
        assert abs(float((score.detach().sign() * network.get_parameter("weight").sign()).mean())) < 0.007


def test_penalty_and_projection() -> None:
    scored = GemMiner(frozen_form(digits_cnn(), seed=0), seed=0)
    scored.freeze(0.1)
    expected = sum(float(score.detach().double().square().sum()) for score in scored.scores.values())
    assert float(scored.penalty().detach()) == pytest.approx(expected, rel=1e-5)  # frozen scores count
    for score in scored.scores.values():
        score.data.sub_(0.5).mul_(4)
    scored.project()
    values = torch.cat([score.detach().flatten() for score in scored.scores.values()])
    assert float(values.min()) == 0
    assert float(values.max()) == 1


def test_a_search_is_the_loop_written_out(digits: data.Split) -> None:
    """One linear layer, SGD with momentum: scores, flags and masks step by step."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    recipe = Recipe(epochs=5, learning_rate=0.5, batch=128, schedule="constant")
    few = data.Split(digits.images[:400], digits.labels[:400])
    found = gem_miner.find(model, few, density=0.2, recipe=recipe, seed=4, period=2, penalty=1e-2)
    w = maskable(frozen_form(model, seed=4))["1.weight"]
    p = torch.rand(w.shape, generator=torch.Generator().manual_seed(mixed(4, 3))).requires_grad_(True)
    q, moved = torch.ones_like(w), torch.zeros_like(w)
    for epoch in range(5):
        if epoch in (2, 4):  # every T = 2 epochs, not epoch 0; s = 0.2 at epoch 4
            count = round(0.2 ** (epoch / 4) * w.numel())
            low = torch.where(q > 0, p.detach(), -1.0).flatten().sort(descending=True).values[count - 1]
            q = q * (p.detach() >= low)
        order = order_of(recipe, epoch, 400)
        for start in range(0, 400, 128):
            chosen = order[start : start + 128]
            rounded = p + ((p >= 0.5).float() - p).detach()
            logits = few.images[chosen].flatten(1) @ (w * q * rounded).T
            loss = functional.cross_entropy(logits, few.labels[chosen]) + 1e-2 * (p * p).sum()
            (slope,) = torch.autograd.grad(loss, p)
            moved = 0.9 * moved + slope
            p = (p.detach() - 0.5 * moved).clamp(0, 1).requires_grad_(True)
    assert torch.equal(found.masks["1.weight"], (q * (p.detach() >= 0.5)).bool())
    assert found.notes["flags"] == pytest.approx(0.2, abs=1 / 640)
    assert 0 < found.density < 0.2


def test_a_ticket_keeps_no_more_than_it_was_asked_for(found: Found, digits: data.Split) -> None:
    assert found.untouched
    assert 0 < found.density <= found.notes["flags"] == pytest.approx(0.1, abs=1e-4)
    assert accuracy(found.module(), data.load("digits", "test")) > 0.7  # chance: 0.1; measured: see the next test
    again = gem_miner.find(digits_cnn(), digits, density=0.1, recipe=RECIPE, seed=1, period=1, penalty=1e-4)
    assert all(torch.equal(found.masks[name], again.masks[name]) for name in found.masks)


def test_a_longer_horizon_keeps_more_and_says_so(digits: data.Split) -> None:
    lines: list[str] = []
    recipe = replace(RECIPE, epochs=3)
    longer = gem_miner.find(
        digits_cnn(),
        digits,
        density=0.1,
        recipe=recipe,
        period=1,
        horizon=3,
        penalty=1e-9,
        progress=Lines(lines.append),
    )
    assert longer.notes["flags"] == pytest.approx(0.1 ** (2 / 3), abs=1e-3)
    assert any("0.1 was asked for" in line for line in lines) == (longer.density > 0.1)
    assert longer.density > 0.1


def test_sanity_checks_keep_the_counts_and_cost_accuracy(found: Found, digits: data.Split) -> None:
    test = data.load("digits", "test")
    checks = sanity_checks(found, digits_cnn(), digits, seed=77)
    ours = accuracy(found.module(), test)
    for name, check in checks.items():
        assert counts(check.masks) == counts(found.masks)
        assert accuracy(check.module(), test) < ours - 0.2, name
    assert not all(torch.equal(found.masks[name], checks["shuffled"].masks[name]) for name in found.masks)
    assert all(torch.equal(found.masks[name], checks["redrawn"].masks[name]) for name in found.masks)
    with pytest.raises(InputError, match="another seed"):
        sanity_checks(found, digits_cnn(), digits, seed=1)


def test_random_tickets_with_smart_ratios_follow_their_formula() -> None:
    """Far from full layers: (L−l+1)² + (L−l+1) in proportion, 0.3 of the last, the whole exact."""
    sizes = {name: weight.numel() for name, weight in maskable(digits_cnn()).items()}
    total = sum(sizes.values())
    for density in (4 / total, 5 / total, 0.005, 0.03, 0.2, 0.7, 0.97, 1.0):
        kept = smart.smart_counts(digits_cnn(), density)
        assert sum(kept.values()) == round(density * total)
        assert all(1 <= kept[name] <= sizes[name] for name in sizes)
    kept = smart.smart_counts(digits_cnn(), 0.05)
    shares = {"conv1.weight": 4**2 + 4, "conv2.weight": 3**2 + 3, "fc1.weight": 2**2 + 2}
    gamma = (sum(kept.values()) - kept["fc2.weight"]) / sum(shares[name] * sizes[name] for name in shares)
    assert kept["fc2.weight"] == round(0.3 * 320)
    assert all(abs(kept[name] - gamma * shares[name] * sizes[name]) <= 1 for name in shares)
    ticket = smart.find(digits_cnn(), density=0.05, seed=3, frozen=True)
    assert {name: count for name, (count, _) in counts(ticket.masks).items()} == kept
    with pytest.raises(InputError, match="layers needs one"):
        smart.smart_counts(digits_cnn(), 1e-4)


def test_fine_tuning_helps_and_keeps_the_mask(found: Found, digits: data.Split) -> None:
    test = data.load("digits", "test")
    recipe = Recipe(epochs=4, learning_rate=0.03, weight_decay=1e-3, batch=64)
    module, _ = fine_tuned(found, digits, recipe=recipe)
    assert density_of({name: weight != 0 for name, weight in maskable(module).items()}) == found.density
    assert all(not weight[~found.masks[name]].any() for name, weight in maskable(module).items())
    assert accuracy(module, test) > accuracy(found.module(), test)


@pytest.mark.parametrize(
    "options",
    [{"penalty": 0.0}, {"penalty": -1.0}, {"period": 0}, {"period": 8}, {"horizon": 3}, {"density": 0.0},
     {"density": 1.5}],
)  # fmt: skip
def test_bad_options_are_refused(digits: data.Split, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        gem_miner.find(digits_cnn(), digits, **{"density": 0.1, "recipe": RECIPE, "period": 1, **options})
