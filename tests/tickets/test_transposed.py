"""Transposed convolutions in tickets: masks, folding, files, costs and norms, with groups, strides and dilation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cnns import relative
from forgery import caught, forge
from torch import nn

from slth.networks import extract
from slth.tickets import Ticket, certify_network, find_ticket, load_ticket
from slth.tickets.certify.norms import entry_norm, map_norm
from slth.tickets.checks.cost import measure_cost
from slth.tickets.files.file import target_path
from slth.tickets.networks.compact import compact_module, keep_all
from slth.tickets.networks.explicit import explicit_parent

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "1d": (nn.ConvTranspose1d(2, 3, 3, stride=2), (2, 5)),
    "2d": (nn.ConvTranspose2d(2, 3, (2, 3), stride=(2, 1), padding=(0, 1), output_padding=(1, 0)), (2, 4, 4)),
    "3d": (nn.ConvTranspose3d(1, 2, 2, bias=False), (1, 3, 2, 2)),
    "groups": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=2, groups=2), (4, 4, 3)),
    "dilation": (nn.ConvTranspose2d(2, 2, 3, dilation=2, stride=3, output_padding=2), (2, 3, 3)),
    "depthwise": (nn.ConvTranspose1d(3, 3, 4, stride=2, groups=3, bias=False), (3, 4)),
}


def found(name: str, structure: str = "kernel", **options: Any) -> tuple[Ticket, torch.Tensor]:
    layer, shape = LAYERS[name]
    x = torch.randn(3, *shape)
    return find_ticket(nn.Sequential(layer), width=60, seed=3, structure=structure, example_input=x, **options), x


@pytest.mark.parametrize("structure", ["channel", "kernel"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_form_of_the_ticket_is_the_same_network(name: str, structure: str, tmp_path: Path) -> None:
    ticket, x = found(name, structure)
    loaded = load_ticket(ticket.save(tmp_path / "t.slth"))
    assert loaded.verify()
    with torch.no_grad():
        assert relative(ticket.target.to_module()(x), LAYERS[name][0](x)) < 1e-5
        compact = loaded.to_module()(x)
        assert relative(explicit_parent(ticket.parent, ticket.target, ticket.masks())(x), compact) < 1e-5
        assert relative(ticket.folded()(x), compact) < 1e-5
        whole = compact_module(keep_all(ticket.parent, ticket.target))(x)
        assert relative(explicit_parent(ticket.parent, ticket.target)(x), whole) < 1e-5


@pytest.mark.parametrize("name", LAYERS)
def test_norms_bound_the_matrix_of_the_layer(name: str) -> None:
    """The operator norm, and the row norm of its specification, against the layer written out as a matrix."""
    layer, shape = LAYERS[name]
    target = extract(nn.Sequential(layer), example_input=torch.zeros(1, *shape))
    (linear,) = target.maps
    units = torch.eye(int(np.prod(shape))).reshape(-1, *shape)
    with torch.no_grad():
        matrix = (layer(units) - layer(torch.zeros(1, *shape))).flatten(1).double()  # (inputs, outputs)
    largest = float(torch.linalg.matrix_norm(matrix, ord=2))
    weight = torch.from_numpy(linear.weight).double()
    assert largest * (1 - 1e-6) <= map_norm(linear, weight, shape) <= 3 * largest
    assert largest * (1 - 1e-6) <= entry_norm(weight)
    if linear.groups == 1:
        (spec,) = target.layer_specs()
        rows = float(matrix.abs().sum(dim=0).max())
        assert rows * (1 - 1e-6) <= spec.row_norm
        assert (spec.c_in, spec.c_out, spec.dimension) == (*linear.channels, linear.dimension)


@pytest.mark.parametrize("name", LAYERS)
def test_the_operations_of_the_target_are_counted(name: str) -> None:
    ticket, x = found(name)
    (linear,) = ticket.target.maps
    target, _ = measure_cost(ticket, runs=1)
    assert target.flops == 2 * linear.weight.size * x[0, 0].numel()


@pytest.mark.parametrize("name", ["2d", "groups", "dilation"])
def test_a_layer_that_is_left_out_is_followed_by_certificates(name: str) -> None:
    layer, shape = LAYERS[name]
    model = nn.Sequential(layer, nn.ReLU(), nn.Conv2d(layer.out_channels, 2, 2))
    ticket = find_ticket(model, width=60, skip="0", input_range=(0, 1), example_input=torch.rand(1, *shape))
    certificate = certify_network(ticket)
    assert certificate.limits[0].proved == 0.0
    assert 0 < certificate.found <= certificate.proved <= certificate.norm_bound


def test_the_width_of_convolutions_counts_for_transposed_ones() -> None:
    """Unless they have one of their own."""
    model = nn.Sequential(nn.Conv1d(1, 1, 1), nn.ConvTranspose1d(1, 1, 1))
    for width, expected in (
        ({"conv": 5}, [5, 5]),
        ({"conv": 5, "conv_transpose": 7}, [5, 7]),
        ({"conv": 5, "1": 9}, [5, 9]),
    ):
        assert [layer.width for layer in find_ticket(model, width=width).parent.layers] == expected


@pytest.mark.parametrize(
    ("option", "value"),
    [("output_padding", [5, 5]), ("output_padding", [-1, 0]), ("output_padding", "same"), ("padding", "same"),
     ("padding_mode", "reflect"), ("stride", [0, 1]), ("bias", True)],
)  # fmt: skip
def test_options_that_cannot_run_are_refused(option: str, value: Any, tmp_path: Path) -> None:
    ticket, _ = found("groups")
    path = ticket.save(tmp_path / "f.slth")
    path.write_bytes(forge(path, lambda header: header["target"]["maps"][0]["options"].update({option: value})))
    assert caught(path, ticket) == "refused"
    target_path(path).unlink()  # also where no target's file states a hash
    assert caught(path, ticket) in ("refused", "not verified")
