"""The parent: widths, scales, addresses, and candidates that are exact."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from slth.errors import InputError
from slth.networks import Parent, Target, extract, make_parent
from slth.networks.generator import WEIGHT_LAWS, random_rows
from slth.networks.parent import MAX_WIDTH


def target_of(*modules: nn.Module, shape: tuple[int, ...] | None = None) -> Target:
    """The target of some layers, for inputs of a shape; None derives one."""
    return extract(nn.Sequential(*modules), example_input=None if shape is None else torch.randn(2, *shape))


@pytest.fixture
def target() -> Target:
    """Layers named 0 (convolution with bias), 2 (convolution without) and 4 (linear, with bias)."""
    layers = nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, (1, 2), bias=False), nn.Flatten(), nn.Linear(4, 5)
    return target_of(*layers, shape=(2, 3, 4))


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (7, [7, 7, 7]),
        (np.int64(9), [9, 9, 9]),
        ({"conv": 10, "linear": 20}, [10, 10, 20]),
        ({"conv": 10, "linear": 20, "2": 30}, [10, 30, 20]),  # A name wins over its kind.
        ({"2": 30, "linear": 20, "conv": 10}, [10, 30, 20]),  # The order does not matter.
        ({"0": 1, "2": 2, "4": 3}, [1, 2, 3]),
    ],
)
def test_width_of_each_layer(target: Target, width: int | dict[str, int], expected: list[int]) -> None:
    parent = make_parent(target, width=width, seed=0)
    assert [layer.width for layer in parent.layers] == expected


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (0, "width must be"),
        (-3, "got -3"),
        (2.5, "got 2.5"),
        (True, "got True"),
        ("many", "many"),
        (None, "None"),
        (MAX_WIDTH + 1, str(MAX_WIDTH)),
        (10**30, str(MAX_WIDTH)),
        ({"conv": 10}, "missing for 4"),
        ({}, "missing for 0, 2, 4"),
        ({"conv": 10, "linear": 5, "fc9": 3}, "'fc9'"),
        ({"conv": 10, "linear": 0}, "width of linear"),
        ({"conv": 10, "linear": 5, "2": -1}, "width of 2"),
    ],
)
def test_a_wrong_width_is_named(target: Target, width: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_parent(target, width=width, seed=0)


def test_the_largest_width_costs_nothing_until_it_is_used(target: Target) -> None:
    """No number is drawn before it is needed."""
    parent = make_parent(target, width=MAX_WIDTH, seed=0)
    last = np.array([MAX_WIDTH - 1])
    assert parent.candidates(0, 1, last).shape == (1, 27)
    assert parent.layers[0].weight_count == MAX_WIDTH * (2 * (1 + 27) + (1 + 3))


@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 2**64}, {"seed": 1.5}, {"law": "cauchy"}, {"scale": 0}])
@pytest.mark.parametrize("also", [{}, {"width": {"conv": 3, "linear": 3}}])
def test_other_options_are_checked(target: Target, options: dict[str, Any], also: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        make_parent(target, **{"width": 5, "seed": 0, **options, **also})


@pytest.mark.parametrize("scale", ["automatic", -1.0, float("nan"), float("inf"), None, [1.0]])
def test_a_wrong_scale_is_named(target: Target, scale: Any) -> None:
    with pytest.raises(InputError, match="scale"):
        make_parent(target, width=5, seed=0, scale=scale)


@pytest.mark.parametrize("law", WEIGHT_LAWS)
@pytest.mark.parametrize("width", [6, 600, 60_000])
def test_scales_come_from_the_norm_alone(law: str, width: int) -> None:
    """A scale is the root mean square over min(10, n/(10·√D)) deviations of a candidate, for all signs and seeds."""
    first, second = nn.Linear(6, 4), nn.Linear(6, 4)
    with torch.no_grad():
        second.weight.copy_(-first.weight)
        second.bias.copy_(first.bias * torch.tensor([1.0, -1, 1, -1]))
    one = make_parent(target_of(first), width=width, seed=0, law=law).layers[0]
    other = make_parent(target_of(second), width=width, seed=9, law=law).layers[0]
    assert (one.scale, one.bias_scale) == (other.scale, other.bias_scale)
    for scale, values in ((one.scale, first.weight), (one.bias_scale, first.bias)):
        assert scale == float(np.float32(scale))  # The recorded scale is the factor that is used.
        rms = float(values.detach().double().square().mean().sqrt())
        candidate = scale * (1 if law == "normal" else 1 / 3)  # Deviation of one entry of |u|·V.
        assert rms / candidate == pytest.approx(min(10, (width / 2) / (10 * 4**0.5)), rel=1e-6)


def test_a_given_scale_holds_for_every_layer_and_a_zero_layer_has_scale_one() -> None:
    target = target_of(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    assert {layer.scale for layer in make_parent(target, width=3, seed=0, scale=0.1).layers} == {float(np.float32(0.1))}
    zero = nn.Linear(3, 2)
    nn.init.zeros_(zero.weight)
    assert make_parent(target_of(zero), width=3, seed=0).layers[0].scale == 1.0


@pytest.mark.parametrize("law", WEIGHT_LAWS)
def test_the_description_is_json_and_describes_everything(target: Target, law: str) -> None:
    parent = make_parent(target, width={"conv": 11, "linear": 12}, seed=2**63 + 1, law=law)
    again = Parent.from_description(json.loads(json.dumps(parent.describe())))
    assert again == parent
    rows = np.array([10, 3])
    assert (again.candidates(1, 2, rows) == parent.candidates(1, 2, rows)).all()


def test_numbers_come_from_their_address(target: Target) -> None:
    """u is part 0 of the layer pair, V is part 1 times the scale; the bias is channel c_in with a scale of its own."""
    parent = make_parent(target, width=50, seed=3)
    address: dict[str, Any] = {"law": "normal", "seed": 3, "layer": 2}
    spec = parent.layers[2]
    rows = np.arange(50)
    mixing = random_rows(**address, part=0, channel=1, rows=np.arange(13), size=4).ravel()[:50]
    assert (parent.mixing(2, 1) == mixing).all()
    for channel, scale in ((1, spec.scale), (4, spec.bias_scale)):
        drawn = random_rows(**address, part=1, channel=channel, rows=rows, size=5)
        assert (parent.slices(2, channel, rows) == drawn * np.float32(scale)).all()
    assert parent.slices(1, 0, rows).shape == (50, 4 * 1 * 2)
    assert parent.slices(0, 2, rows).shape == (50, 3)  # The bias of a convolution has 1×1 slices.


@pytest.mark.parametrize("law", WEIGHT_LAWS)
def test_candidates_are_exact_products(target: Target, law: str) -> None:
    parent = make_parent(target, width=40, seed=4, law=law)
    rows = np.array([0, 7, 39, 7])
    for layer, channel in ((0, 1), (0, 2), (2, 0)):
        mixing, slices = parent.mixing(layer, channel, rows), parent.slices(layer, channel, rows)
        candidates = parent.candidates(layer, channel, rows)
        assert mixing.dtype == slices.dtype == np.float32
        assert candidates.dtype == np.float64
        for u, v, x in zip(mixing.tolist(), slices.tolist(), candidates.tolist(), strict=True):
            assert [Fraction(value) for value in x] == [abs(Fraction(u)) * Fraction(value) for value in v]


def test_sign_groups_partition_the_hidden_channels(target: Target) -> None:
    parent = make_parent(target, width=1001, seed=5)
    for channel in parent.layers[0].channels:
        mixing = parent.mixing(0, channel)
        positive, negative = (parent.sign_group(0, channel, sign) for sign in "+-")
        assert sorted([*positive.tolist(), *negative.tolist()]) == list(range(1001))
        assert (mixing[positive] > 0).all()
        assert (mixing[negative] < 0).all()
        assert (np.diff(positive) > 0).all()
        # Each sign has a chance of 1/2: outside 500 ± 95 with probability below 2e-9; the seed is fixed.
        assert abs(len(positive) - 500) < 95


def test_signs_are_counted_without_holding_them_all(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = make_parent(target, width=1001, seed=5)
    expected = tuple(len(parent.sign_group(0, 1, sign)) for sign in "+-")
    assert parent.count_signs(0, 1) == expected
    monkeypatch.setattr("slth.networks.parent._CHUNK_SIZE", 100)
    assert parent.count_signs(0, 1) == expected


def test_any_mixing_weights_are_computed_without_the_others(target: Target) -> None:
    """Hidden channels come in any order and with repeats; a parent of another width has the same numbers."""
    parent = make_parent(target, width=999, seed=6)
    whole = parent.mixing(0, 1)
    rows = np.random.default_rng(0).integers(0, 999, 2000)
    assert whole.shape == (999,)
    assert (parent.mixing(0, 1, rows) == whole[rows]).all()
    assert parent.mixing(0, 1, rows[:0]).shape == (0,)
    wider = make_parent(target, width=5000, seed=6, scale=0.5)
    parent = make_parent(target, width=999, seed=6, scale=0.5)
    assert (wider.mixing(0, 1)[:999] == whole).all()
    assert (wider.slices(0, 1, rows[:20]) == parent.slices(0, 1, rows[:20])).all()


def test_channels_and_layers_share_no_numbers(target: Target) -> None:
    parent = make_parent(target, width=100, seed=7)
    blocks = [parent.mixing(i, channel) for i, layer in enumerate(parent.layers) for channel in layer.channels]
    values = np.concatenate(blocks)
    assert len(np.unique(values)) == len(values)
