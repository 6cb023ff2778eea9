"""Masks: exact counts, ties, what never returns, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slth.baselines import masks as m
from slth.errors import InputError, TrainingError
from slth.networks import models


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4))


def test_masks_are_about_weights_of_convolutions_and_linear_layers() -> None:
    assert list(m.maskable(net())) == ["0.weight", "3.weight"]
    assert list(m.maskable(nn.Linear(2, 3))) == ["weight"]
    with pytest.raises(InputError, match="got none"):
        m.maskable(nn.ReLU())


@given(
    values=st.lists(st.integers(-2, 2), min_size=2, max_size=40),
    density=st.floats(0.01, 1.0),
    cut=st.integers(1, 39),
)
@settings(max_examples=200, deadline=None)
def test_keep_top_keeps_exactly_the_largest_ties_included(values: list[int], density: Any, cut: int) -> None:
    """The oracle sorts (−score, place) in Python."""
    cut = min(cut, len(values) - 1)
    scores = {"a": torch.tensor(values[:cut]).float(), "b": torch.tensor(values[cut:]).float()}
    kept = m.keep_top(scores, density)
    count = max(1, round(density * len(values)))
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
    assert torch.cat([kept["a"], kept["b"]]).nonzero().flatten().tolist() == sorted(expected)


def test_layers_keep_the_same_fraction_each() -> None:
    scores = {"a": torch.rand(10, 10), "b": torch.rand(20)}
    kept = m.keep_top(scores, 0.25, scope="layer")
    assert m.counts(kept) == {"a": (25, 100), "b": (5, 20)}
    assert m.density_of(kept) == 0.25


def test_pruned_weights_never_return() -> None:
    """Whatever their scores: +∞ outside the mask, −∞ inside."""
    among = {"a": torch.tensor([True, False, True, True])}
    scores = {"a": torch.tensor([-torch.inf, torch.inf, -1e30, 0.0])}
    assert m.keep_top(scores, 0.75, among=among)["a"].tolist() == [True, False, True, True]
    assert m.keep_top(scores, 0.5, among=among)["a"].tolist() == [False, False, True, True]
    with pytest.raises(InputError, match="only 3 are left"):
        m.keep_top(scores, 1.0, among=among)


@pytest.mark.parametrize("density", [0, -0.1, 1.5, float("nan"), "half", None, True])
def test_density_outside_its_range_is_refused(density: Any) -> None:
    with pytest.raises(InputError, match="density"):
        m.keep_top({"a": torch.rand(3)}, density)


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        m.keep_top({"a": torch.tensor([1.0, torch.nan])}, 0.5)
    with pytest.raises(InputError, match="scope"):
        m.keep_top({"a": torch.rand(3)}, 0.5, scope="everywhere")


def test_shuffling_keeps_counts_and_moves_weights() -> None:
    before = m.keep_top({"a": torch.rand(30, 30), "b": torch.rand(50)}, 0.3)
    after = m.shuffled(before, seed=1)
    assert m.counts(after) == m.counts(before)
    assert not torch.equal(after["a"], before["a"])
    assert torch.equal(after["a"], m.shuffled(before, seed=1)["a"])
    assert not torch.equal(after["a"], m.shuffled(before, seed=2)["a"])


def test_random_masks_have_the_fractions_asked_for() -> None:
    model = net()
    kept = m.random_masks(model, {"0.weight": 0.5, "3.weight": 0.125}, seed=0)
    assert m.counts(kept) == {"0.weight": (6, 12), "3.weight": (6, 48)}


def test_what_does_not_fit_is_refused_and_collapse_is_reported() -> None:
    model = net()
    good = {name: torch.ones_like(w, dtype=torch.bool) for name, w in m.maskable(model).items()}
    m.check_masks(good, model)
    with pytest.raises(InputError, match=r"3\.weight"):
        m.check_masks({"0.weight": good["0.weight"]}, model)
    with pytest.raises(InputError, match="bool of shape"):
        m.check_masks({**good, "3.weight": good["3.weight"].float()}, model)
    with pytest.raises(InputError, match="bool of shape"):
        m.check_masks({**good, "3.weight": good["3.weight"].T.contiguous()}, model)
    empty = {**good, "0.weight": torch.zeros_like(good["0.weight"])}
    assert m.collapsed(empty) == ["0.weight"]
    with pytest.raises(TrainingError, match=r"layer collapse.*0\.weight"):
        m.check_masks(empty, model)
    m.check_masks(empty, model, whole=False)


@pytest.mark.parametrize("make", [lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
                                  lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.1)])  # fmt: skip
def test_held_weights_stay_zero_under_momentum_and_decay(make: Callable[..., torch.optim.Optimizer]) -> None:
    model = net()
    kept = m.keep_top({name: w.abs() for name, w in m.maskable(model).items()}, 0.3)
    before = {name: w.detach().clone() for name, w in m.maskable(model).items()}
    with m.held(model, kept):
        optimiser = make(model.parameters())
        for _ in range(5):
            optimiser.zero_grad()
            model(torch.rand(8, 1, 3, 3)).square().sum().backward()
            optimiser.step()
    for name, weight in m.maskable(model).items():
        assert not weight[~kept[name]].any()
        assert (weight[kept[name]] != before[name][kept[name]]).all()
    model(torch.rand(2, 1, 3, 3)).sum().backward()
    assert not any(w._backward_hooks for w in m.maskable(model).values())


def test_the_hash_sees_every_parameter() -> None:
    model = models.digits_cnn()
    first = m.weights_hash(model)
    assert first == m.weights_hash(model)
    with torch.no_grad():
        model.get_parameter("fc2.bias")[3] += 1e-6
    assert first != m.weights_hash(model)
