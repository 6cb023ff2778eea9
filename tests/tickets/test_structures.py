"""The structures weight, kernel and channel: three ways to mask one parent, and what each keeps."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from cnns import relative
from torch import nn

from slth.errors import InputError
from slth.networks import extract, make_parent
from slth.networks.structure import STRUCTURES
from slth.tickets import Ticket, find_ticket, load_ticket
from slth.tickets.files.file import target_path
from slth.tickets.files.places import ideal_bits
from slth.tickets.networks.explicit import explicit_parent
from slth.tickets.record.approximation import approximated_weight, kept_candidates


def network() -> nn.Module:
    """Layers 0 (two groups), 2 (no bias) and 5 (linear), for 4×6×6 inputs."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), groups=2), nn.ReLU(), nn.Conv2d(6, 3, 2, bias=False), nn.AdaptiveMaxPool2d(1),
        nn.Flatten(), nn.Linear(3, 5),
    )  # fmt: skip


@pytest.fixture(scope="module", params=STRUCTURES)
def ticket(request: pytest.FixtureRequest) -> Ticket:
    return find_ticket(network(), width=50, seed=3, structure=request.param)


# For layers 0, 2 and 5: D of an instance, D of one of the bias channel, and the number of parts of either channel.
SIZES = {
    "channel": [(6 * 3, 6, 1, 1), (4 * 3, None, 1, None), (5, 5, 1, 1)],
    "kernel": [(6, 1, 3, 6), (4, None, 3, None), (1, 1, 5, 5)],
    "weight": [(1, 1, 18, 6), (1, None, 12, None), (1, 1, 5, 5)],
}


def test_dimension_and_number_of_instances(ticket: Ticket) -> None:
    for i, (size, bias_size, parts, bias_parts) in enumerate(SIZES[ticket.structure]):
        linear, report = ticket.target.maps[i], ticket.layers[i]
        c_in = linear.channels[0]
        assert [linear.part_size(ticket.structure, c) for c in range(c_in)] == [size] * c_in
        assert [len(block.counts) for block in ticket.kept[i][:c_in]] == [parts] * c_in
        assert report.dimension == size
        if bias_size is not None:
            assert linear.part_size(ticket.structure, c_in) == bias_size
            assert len(ticket.kept[i][c_in].counts) == bias_parts
        for block in ticket.kept[i]:
            assert sum(len(rows) for rows in block.parts()) == len(block.rows) == block.counts.sum()
            assert all((np.diff(rows) > 0).all() for rows in block.parts())
            assert block.used.tolist() == sorted(set(block.rows.tolist()))
            columns = [set(block.used[kept].tolist()) for kept in block.mask().T]
            assert columns == [set(rows.tolist()) for rows in block.parts()]


def test_every_part_is_the_sum_of_its_own_candidates(ticket: Ticket) -> None:
    """The reported error is that of exact sums over each part's rows and sign, from the parent's numbers alone."""
    for i, linear in enumerate(ticket.target.maps):
        worst = {False: Fraction(0), True: Fraction(0)}
        for channel in linear.instances:
            bias = channel == linear.channels[0]
            goals = linear.column(channel).reshape(len(ticket.kept[i][channel].counts), -1)
            for p, rows in enumerate(ticket.kept[i][channel].parts()):
                mixing = ticket.parent.mixing(i, channel, rows)
                slices = ticket.parent.slices(i, channel, rows).reshape(len(rows), len(goals), -1)[:, p]
                for sign in "+" if bias else linear.signs:
                    total = [Fraction(0) for _ in goals[p]]
                    for u, row in zip(mixing.tolist(), slices.tolist(), strict=True):
                        if (u > 0) == (sign == "+"):
                            total = [t + abs(Fraction(u)) * Fraction(v) for t, v in zip(total, row, strict=True)]
                    wanted = [Fraction(z) * (1 if sign == "+" else -1) for z in goals[p].tolist()]
                    worst[bias] = max(worst[bias], *(abs(a - b) for a, b in zip(total, wanted, strict=True)))
        report = ticket.layers[i]
        reported = {False: report.error, True: report.bias_error or 0.0}
        for bias, exact in worst.items():
            assert exact <= Fraction(reported[bias]) <= exact + 2 * Fraction(math.ulp(reported[bias]))


def test_module_masks_and_approximation_agree(ticket: Ticket) -> None:
    x = torch.randn(5, 4, 6, 6)
    masked = explicit_parent(ticket.parent, ticket.target, ticket.masks())
    with torch.no_grad():
        assert relative(ticket.to_module()(x), masked(x)) < 1e-5
        # On inputs of one sign the first layer is a convolution with the approximated weight.
        for sign in "+-":
            weight = approximated_weight(ticket, 0, sign)
            bias = kept_candidates(ticket.channels[0][4], ticket.kept[0][4])["+"].sum(axis=0)
            inputs = x.abs().double() * (1 if sign == "+" else -1)
            conv = torch.nn.functional.conv2d(inputs, torch.from_numpy(weight), torch.from_numpy(bias), groups=2)
            assert relative(ticket.to_module().double().get_submodule("0")(inputs), conv) < 1e-12
            error = np.abs(weight - ticket.target.maps[0].weight).max()
            assert error <= ticket.layers[0].error * (1 + 1e-12)


def test_masks_remove_what_the_structure_says(ticket: Ticket) -> None:
    """Masks always remove whole filters of the 1×1 layer; of the d×d layer, entries, kernels or channels."""
    masks = ticket.masks()
    for linear, report in zip(ticket.target.maps, ticket.layers, strict=True):
        mask = masks[linear.name]
        c_in, c_out = linear.channels
        kernel, mixing = mask["kernel"], mask["mixing"]
        assert kernel.shape == (c_out, c_in // linear.groups * 50, *linear.kernel)
        assert mixing.shape == (50 * c_in, c_in)
        assert (mixing.sum(dim=1) <= 1).all()
        flat = kernel.reshape(*kernel.shape[:2], -1)
        if ticket.structure != "weight":
            assert (flat.all(dim=2) == flat.any(dim=2)).all()
        if ticket.structure == "channel":
            grouped = flat.reshape(linear.groups, c_out // linear.groups, -1)
            assert (grouped == grouped[:, :1]).all()
        # A hidden channel stays in the 1×1 layer exactly when something of it stays in the d×d layer.
        group_rows = flat.reshape(linear.groups, c_out // linear.groups, c_in // linear.groups * 50, -1)
        stays = group_rows.any(dim=(1, 3)).reshape(-1)
        assert (mixing.any(dim=1) == stays).all()
        count = sum(int(mask[name].sum()) for name in mask)
        assert count == report.weights
        assert sum(int(mask[name].sum()) for name in ("mixing", "bias") if name in mask) == report.channels


def test_counts_by_hand(ticket: Ticket) -> None:
    """kept, channels, weights, random, usable and density of every report."""
    for i, report in enumerate(ticket.layers):
        size, bias_size, parts, bias_parts = SIZES[ticket.structure][i]
        linear = ticket.target.maps[i]
        sizes = [size] * linear.channels[0] + ([] if bias_size is None else [bias_size])
        counts = [parts] * linear.channels[0] + ([] if bias_parts is None else [bias_parts])
        blocks = ticket.kept[i]
        assert report.kept == sum(len(block.rows) for block in blocks)
        assert report.channels == sum(len(set(block.rows.tolist())) for block in blocks)
        assert report.weights == report.channels + sum(len(b.rows) * s for b, s in zip(blocks, sizes, strict=True))
        assert report.random == 50 * sum(1 + s * c for s, c in zip(sizes, counts, strict=True))
        usable = 0
        for channel, count in enumerate(counts):
            mixing = ticket.parent.mixing(i, channel)
            bias = channel == linear.channels[0]
            usable += count * int((mixing > 0).sum() if bias or linear.signs == "+" else (mixing != 0).sum())
        assert report.usable == usable
        assert report.density == report.kept / usable
    assert ticket.kept_channels == sum(report.channels for report in ticket.layers)


def test_the_random_control_has_the_same_counts(ticket: Ticket) -> None:
    control = ticket.random_like(seed=5)
    different = 0
    for i, blocks in enumerate(control):
        for channel, block in enumerate(blocks):
            mine = ticket.kept[i][channel]
            assert block.counts.tolist() == mine.counts.tolist()
            for drawn, found in zip(block.parts(), mine.parts(), strict=True):
                assert (np.diff(drawn) > 0).all()
                signs = [np.sign(ticket.parent.mixing(i, channel, rows)).sum() for rows in (drawn, found)]
                assert signs[0] == signs[1]
                different += drawn.tolist() != found.tolist()
    assert different > 10
    assert dataclasses.replace(ticket, kept=control).verify().failures  # it is no ticket


def test_a_saved_ticket_is_small_and_comes_back(ticket: Ticket, tmp_path: Path) -> None:
    """The file takes the logarithm of the number of choices, times 1.3 at most, and 4 kB for the rest."""
    path = ticket.save(tmp_path / "t.slth")
    again = load_ticket(path)
    assert again.verify()
    assert again.layers == tuple(dataclasses.replace(report, seconds=None) for report in ticket.layers)
    for blocks, mine in zip(again.kept, ticket.kept, strict=True):
        for a, b in zip(blocks, mine, strict=True):
            assert a.rows.dtype == b.rows.dtype == a.counts.dtype == np.int64
            assert (a.rows == b.rows).all()
            assert (a.counts == b.counts).all()
    assert path.stat().st_size <= 1.3 * ideal_bits(ticket) / 8 + 4000
    target_path(path).unlink()
    x = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        assert torch.equal(load_ticket(path).to_module()(x), ticket.to_module()(x))


def test_a_large_file_is_near_the_best_code(tmp_path: Path) -> None:
    """Each of 10,000 weights has its own selection among 50 channels: 62 kB of choices."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(100, 100, bias=False))
    ticket = find_ticket(model, width=50, structure="weight", input_range=(0, 1))
    size = ticket.save(tmp_path / "t.slth").stat().st_size
    best = ideal_bits(ticket) / 8
    assert best > 20_000
    assert best <= size <= 1.3 * best + 4000
    assert load_ticket(tmp_path / "t.slth").verify()


def test_the_parent_is_the_same_for_all_structures() -> None:
    """Bit for bit, given the scale: a structure concerns the masks only."""
    target = extract(network())
    parents = [make_parent(target, width=20, seed=9, scale=0.01, structure=structure) for structure in STRUCTURES]
    assert parents[0] == parents[1] == parents[2]
    automatic = {s: make_parent(target, width=20, seed=9, structure=s) for s in STRUCTURES}
    rows = np.arange(20)
    for channel in range(5):
        first = automatic["weight"]
        assert all((p.mixing(0, channel) == first.mixing(0, channel)).all() for p in automatic.values())
        units = [
            p.slices(0, channel, rows) / np.float32(p.layers[0].bias_scale if channel == 4 else p.layers[0].scale)
            for p in automatic.values()
        ]
        assert all(np.allclose(one, units[0], rtol=3e-7) for one in units)


def test_scales_reach_the_largest_kernel_or_weight() -> None:
    """The scale is RMS / min(10, r·n/√D) with n = width/2.

    For kernels and weights, RMS is that of the largest part and r = 0.03; for channels, that of all and r = 0.1.
    """
    target = extract(network())
    weight = target.maps[1].weight.astype(np.float64)  # (3, 6, 2, 2)
    largest = {
        "channel": (math.sqrt(np.square(weight).mean()), 0.1, 12),
        "kernel": (math.sqrt(np.square(weight).mean(axis=(2, 3)).max()), 0.03, 4),
        "weight": (np.abs(weight).max(), 0.03, 1),
    }
    for structure, (rms, reach, size) in largest.items():
        for width in (30, 100_000):
            scale = make_parent(target, width=width, seed=0, structure=structure).layers[1].scale
            assert scale == pytest.approx(rms / min(10, reach * (width / 2) / math.sqrt(size)), rel=1e-6)


def test_a_weight_that_is_zero_keeps_nothing_in_any_structure() -> None:
    conv = nn.Conv2d(2, 2, 2)
    with torch.no_grad():
        conv.weight[0] = 0
        assert conv.bias is not None
        conv.bias.zero_()
    model = nn.Sequential(conv)
    for structure in ("weight", "kernel"):
        ticket = find_ticket(model, width=60, structure=structure)
        size = ticket.target.maps[0].part_size(structure, 0)
        for block in ticket.kept[0][:2]:
            counts = block.counts.reshape(2, 4 // size)
            assert (counts[1] > 0).all()
            assert (counts[0] == 0).all()
        assert ticket.verify()
    assert ticket.kept[0][2].counts.tolist() == [0, 0]


def test_an_unknown_structure_is_refused() -> None:
    with pytest.raises(InputError, match="structure must be one of weight, kernel, channel; got 'filter'"):
        find_ticket(network(), width=5, structure="filter")


def test_finer_structures_are_nearer() -> None:
    """At the same width, a selection for each weight is nearer than one for each kernel, and that than one for all."""
    errors = [find_ticket(network(), width=400, structure=structure).layers[0].relative_rms for structure in STRUCTURES]
    assert errors[0] < errors[1] / 10
    assert errors[1] < errors[2] / 2
