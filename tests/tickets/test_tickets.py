"""Tickets as networks: they equal the masked parent, obey their error bounds, and hold nothing but kept channels."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from slth.errors import InputError, MemoryEstimateError
from slth.networks import extract
from slth.tickets import Ticket, find_ticket
from slth.tickets.networks.compact import PrunedConv, compact_module, keep_all
from slth.tickets.networks.explicit import explicit_parent
from slth.tickets.record.approximation import approximated_weight
from slth.tickets.record.record import Kept

EXAMPLE = torch.zeros(1, 2, 8, 8)
RANGES = {"positive": (0.0, 1.0), "any": None, "negative": (-1.0, 0.0)}

NETWORKS = {
    "conv": lambda: nn.Sequential(nn.Conv2d(2, 3, 3, padding=1)),
    "conv-no-bias": lambda: nn.Sequential(nn.Conv2d(2, 3, 3, bias=False)),
    "stride-dilation": lambda: nn.Sequential(nn.Conv2d(2, 3, (2, 3), stride=2, padding=(1, 2), dilation=(2, 1))),
    "deep": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Linear(8, 3)
    ),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)),
}


def inputs(input_range: tuple[float, float] | None, count: int = 4) -> torch.Tensor:
    x = torch.randn(count, 2, 8, 8)
    return x if input_range is None else torch.rand(x.shape) * (input_range[1] - input_range[0]) + input_range[0]


def same(one: Kept, other: Kept) -> bool:
    return all(
        np.array_equal(a.counts, b.counts) and np.array_equal(a.rows, b.rows)
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("signs", RANGES)
@pytest.mark.parametrize("network", NETWORKS)
def test_ticket_is_the_masked_parent(network: str, signs: str) -> None:
    """The compact network equals the whole parent times the 0/1 masks, for inputs of any sign."""
    ticket = find_ticket(NETWORKS[network](), example_input=EXAMPLE, width=160, input_range=RANGES[signs], seed=2)
    assert ticket.verify()
    assert ticket.kept_channels
    masked = explicit_parent(ticket.parent, ticket.target, ticket.masks())
    x = inputs(None)  # also of signs that the ticket was not found for: the identity holds for every input
    with torch.no_grad():
        assert relative(ticket.to_module()(x), masked(x)) < 1e-5


@pytest.mark.parametrize("network", NETWORKS)
def test_everything_kept_is_the_parent_itself(network: str) -> None:
    target = extract(NETWORKS[network](), example_input=EXAMPLE)
    parent = find_ticket(target, width=12, seed=3).parent
    x = inputs(None)
    with torch.no_grad():
        whole = compact_module(keep_all(parent, target))(x)
        assert relative(whole, explicit_parent(parent, target)(x)) < 1e-5


@pytest.mark.parametrize("signs", RANGES)
def test_masks_keep_whole_channels_and_block_the_others(signs: str) -> None:
    """A hidden channel is kept everywhere or nowhere, and sees its own input channel only."""
    ticket = find_ticket(NETWORKS["conv"](), width=30, input_range=RANGES[signs])
    masks = ticket.masks()["0"]
    mixing, kernel = masks["mixing"].reshape(2, 30, 2), masks["kernel"].reshape(3, 2, 30, 9)
    assert not mixing[0, :, 1].any()
    assert not mixing[1, :, 0].any()
    for channel in range(2):
        kept = torch.from_numpy(np.isin(np.arange(30), ticket.kept[0][channel].rows))
        assert (mixing[channel, :, channel] == kept).all()
        assert (kernel[:, channel] == kept[None, :, None]).all()
    kept = torch.from_numpy(np.isin(np.arange(30), ticket.kept[0][2].rows))
    assert kept.any()
    assert (masks["bias"] == kept).all()
    assert (masks["bias_kernel"] == kept[None, :]).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_module_holds_the_kept_channels_and_nothing_else(network: str) -> None:
    """A layer with K kept channels has K·(1 + D) parameters. None of them is zero, and none can be trained."""
    ticket = find_ticket(NETWORKS[network](), example_input=EXAMPLE, width=40)
    expected = 0
    for linear, blocks in zip(ticket.target.maps, ticket.kept, strict=True):
        c_in, c_out = linear.channels
        expected += sum(len(block.rows) for block in blocks[:c_in]) * (1 + linear.dimension)
        expected += sum(len(block.rows) for block in blocks[c_in:]) * (1 + c_out)
    parameters = list(ticket.to_module().parameters())
    assert sum(p.numel() for p in parameters) == expected
    assert all((p != 0).all() for p in parameters)
    assert not any(p.requires_grad for p in parameters)
    assert sum(report.weights for report in ticket.layers) == expected
    assert ticket.kept_channels == sum(len(block.rows) for blocks in ticket.kept for block in blocks)


def test_the_bias_keeps_only_channels_that_see_its_one() -> None:
    """relu(u·1) is zero for u < 0: such channels would be dead weight, whatever signs the layer's inputs have."""
    ticket = find_ticket(NETWORKS["conv"](), width=100)
    assert ticket.target.maps[0].signs == "+-"
    assert (ticket.parent.mixing(0, 2, ticket.kept[0][2].rows) > 0).all()
    assert (ticket.parent.mixing(0, 0, ticket.kept[0][0].rows) < 0).any()


def test_the_mixing_layer_is_a_grouped_convolution() -> None:
    """PrunedConv computes it elementwise; torch's grouped 1×1 convolution must agree."""
    ticket = find_ticket(NETWORKS["stride-dilation"](), width=60)
    block = ticket.to_module().get_submodule("0")
    assert isinstance(block, PrunedConv)
    assert block.bias is not None
    x = inputs(None)
    hidden = functional.conv2d(x[:, block.source], block.mixing[:, None], groups=len(block.source))
    assert relative(block.conv(hidden.relu()) + block.bias()[:, None, None], block(x)) < 1e-6


def test_a_batch_computed_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch, digits_ticket: Ticket) -> None:
    module, x = digits_ticket.to_module(), torch.rand(7, 1, 8, 8)
    given = x.clone()
    whole = module(x)
    monkeypatch.setattr("slth.tickets.networks.compact.PART_BYTES", 1.0)
    assert relative(module(x), whole) < 1e-6
    assert (x == given).all()
    assert module(x[:0]).shape == (0, 10)


@pytest.mark.parametrize("signs", RANGES)
@pytest.mark.parametrize("network", ["conv", "conv-no-bias", "stride-dilation"])
def test_the_output_error_obeys_its_bound(network: str, signs: str) -> None:
    """|out − target| ≤ d²·c_in·ε'·‖X‖max + bias error, without a factor 2 for two signs (slth.theory.propagation)."""
    model = NETWORKS[network]()
    ticket = find_ticket(model, width=200, input_range=RANGES[signs])
    x = 3 * inputs(RANGES[signs], count=50).double()
    entries = ticket.target.maps[0].weight[0].size  # d²·c_in
    report = ticket.layers[0]
    bound = entries * report.error * float(x.abs().max()) + (report.bias_error or 0.0)
    with torch.no_grad():
        worst = float((ticket.to_module().double()(x) - model.double()(x)).abs().max())
    assert 0.01 * bound < worst <= bound * (1 + 1e-12)


@pytest.mark.parametrize("signs", RANGES)
def test_the_approximated_weight_is_what_the_layer_applies(signs: str) -> None:
    """On inputs of one sign a ticket's layer is an ordinary convolution, with errors as reported."""
    ticket = find_ticket(NETWORKS["conv"](), width=100, input_range=RANGES[signs])
    wanted = torch.from_numpy(ticket.target.maps[0].weight)
    errors = []
    for sign in ticket.target.maps[0].signs:
        weight = torch.from_numpy(approximated_weight(ticket, 0, sign))
        x = inputs((0.0, 1.0)).double() * (1 if sign == "+" else -1)
        block = ticket.to_module().double().get_submodule("0")
        assert isinstance(block, PrunedConv)
        assert block.bias is not None
        assert relative(functional.conv2d(x, weight, padding=1) + block.bias()[:, None, None], block(x)) < 1e-12
        errors.append(float((weight - wanted).abs().max()))
    assert max(errors) == pytest.approx(ticket.layers[0].error, rel=1e-12)


@pytest.mark.parametrize(("layer", "sign"), [(1, "+"), (-1, "+"), (0, "x"), (0, "+-"), (0, "")])
def test_the_approximated_weight_of_no_layer_or_no_sign_is_refused(layer: int, sign: str) -> None:
    ticket = find_ticket(NETWORKS["conv"](), width=10)
    with pytest.raises(InputError, match="layer" if sign == "+" else "sign"):
        approximated_weight(ticket, layer, sign)


def test_a_layer_of_zeros_keeps_nothing_and_is_exact() -> None:
    zero_conv, zero_linear = nn.Conv2d(1, 2, 3), nn.Linear(48, 2)
    with torch.no_grad():
        for parameter in (*zero_conv.parameters(), *zero_linear.parameters()):
            parameter.zero_()
    model = nn.Sequential(zero_conv, nn.ReLU(), nn.Conv2d(2, 3, 3), nn.Flatten(), zero_linear)
    ticket = find_ticket(model, width=50, input_range=(0, 1))
    first, _, last = ticket.layers
    assert (first.kept, first.error, first.bias_error, first.relative_rms) == (0, 0.0, 0.0, 0.0)
    assert (last.kept, last.error) == (0, 0.0)
    assert ticket.verify()
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        assert (ticket.to_module()(x) == 0).all()
        assert ticket.to_module().get_submodule("0")(x).shape == zero_conv(x).shape


def test_a_random_control_has_the_same_counts_and_signs() -> None:
    ticket = find_ticket(NETWORKS["deep"](), width=60)
    control = ticket.random_like(seed=1)
    for layer, blocks in enumerate(control):
        for channel, block in enumerate(blocks):
            mine = ticket.kept[layer][channel]
            assert (block.counts == mine.counts).all()
            assert len(np.unique(block.rows)) == len(mine.rows)
            assert (np.diff(block.rows) > 0).all()
            drawn, found = (np.sign(ticket.parent.mixing(layer, channel, b.rows)).sum() for b in (block, mine))
            assert drawn == found
    assert not same(control, ticket.kept)
    assert same(control, ticket.random_like(seed=1))
    assert not same(control, ticket.random_like(seed=2))
    x = torch.rand(20, 2, 8, 8)
    with torch.no_grad():
        expected = ticket.target.to_module()(x)
        random = compact_module(dataclasses.replace(ticket, kept=control))(x)
        assert (ticket.to_module()(x) - expected).norm() < 0.2 * (random - expected).norm()


def test_what_is_for_small_widths_refuses_large_ones() -> None:
    ticket = find_ticket(nn.Sequential(nn.Linear(2, 2)), width=5)
    layer = dataclasses.replace(ticket.parent.layers[0], width=2**31, c_in=10**6)
    huge = dataclasses.replace(ticket, parent=dataclasses.replace(ticket.parent, layers=(layer,)))
    with pytest.raises(MemoryEstimateError, match="the masks"):
        huge.masks()
    with pytest.raises(MemoryEstimateError, match="the explicit parent"):
        explicit_parent(huge.parent, huge.target)


def test_a_width_of_one_is_poor_but_valid() -> None:
    ticket = find_ticket(NETWORKS["deep"](), width=1)
    assert ticket.verify()
    assert ticket.to_module()(inputs(None)).shape == (4, 3)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
def test_every_padding_mode_is_that_of_the_target(mode: Literal["zeros", "reflect", "circular"]) -> None:
    """1×1 layers have no bias and ReLU keeps zero: padding the hidden channels is padding the input."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, padding_mode=mode))
    ticket = find_ticket(model, width=120)
    x = torch.randn(4, 2, 6, 6)
    masked = explicit_parent(ticket.parent, ticket.target, ticket.masks())(x)
    compact = ticket.to_module()(x)
    assert (compact - masked).abs().max() <= 1e-5 * masked.abs().max()
    report = ticket.layers[0]
    assert report.bias_error is not None
    assert (compact - model(x)).abs().max() <= 18 * report.error * x.abs().max() + report.bias_error
