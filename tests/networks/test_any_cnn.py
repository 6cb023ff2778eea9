"""Any CNN that can be traced is a target: the target computes what the model does, and a ticket is a masked parent."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from cnns import FUNCTIONS, LAYERS, NETWORKS, Own, relative, shake_norms
from torch import nn

from slth.networks import extract
from slth.networks.structure import STRUCTURES
from slth.tickets import find_ticket, load_ticket
from slth.tickets.networks.compact import compact_module, keep_all
from slth.tickets.networks.explicit import explicit_parent

IMAGES = (1, 8, 8)


def build(name: str) -> nn.Module:
    return shake_norms(NETWORKS[name]())


def agree(model: nn.Module, x: torch.Tensor) -> None:
    """The target computes what the model computes in evaluation mode; neither the model nor the input changes."""
    before, state, given = copy.deepcopy(model), model.training, x.clone()
    target = extract(model, example_input=x)
    assert extract(model, example_input=2 * x[:2]).hash() == target.hash()  # Values and batch change nothing.
    assert model.training == state
    model.eval()
    with torch.no_grad():
        assert relative(target.to_module()(x), model(x.clone())) < 1e-5
    assert torch.equal(x, given)
    assert all(
        torch.equal(a, b) for a, b in zip(before.state_dict().values(), model.state_dict().values(), strict=True)
    )
    assert vars(before).keys() == vars(model).keys()


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_is_what_it_was(name: str) -> None:
    model, shape = LAYERS[name]
    agree(shake_norms(model), torch.randn(3, *shape))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_what_it_was(name: str) -> None:
    agree(build(name).train(), torch.randn(3, *IMAGES))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_what_it_was(name: str) -> None:
    agree(Own(FUNCTIONS[name], conv=nn.Conv2d(2, 3, 1)), torch.rand(3, 2, 6, 6))


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_ticket_of_a_network_is_its_masked_parent(name: str, structure: str, tmp_path: Path) -> None:
    """The compact module, the masked explicit parent and the file agree, and every recorded error is right."""
    ticket = find_ticket(build(name), width=24, seed=4, structure=structure, input_range=(0, 1))
    assert ticket.verify()
    assert ticket.kept_channels
    x = torch.randn(3, *IMAGES)  # Also of signs that the ticket was not found for.
    with torch.no_grad():
        masked = explicit_parent(ticket.parent, ticket.target, ticket.masks())(x)
        compact = ticket.to_module()(x)
        assert relative(compact, masked) < 1e-5
        again = load_ticket(ticket.save(tmp_path / "t.slth"))
        assert again.verify()
        assert torch.equal(again.to_module()(x), compact)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_ticket_of_a_layer_is_its_masked_parent(name: str, structure: str) -> None:
    model, shape = LAYERS[name]
    x = torch.randn(3, *shape)
    ticket = find_ticket(shake_norms(model), example_input=x, width=40, seed=5, structure=structure)
    assert ticket.verify()
    with torch.no_grad():
        masked = explicit_parent(ticket.parent, ticket.target, ticket.masks())(x)
        assert relative(ticket.to_module()(x), masked) < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_a_ticket_that_keeps_everything_is_the_parent(name: str) -> None:
    target = extract(build(name))
    parent = find_ticket(target, width=6, seed=6).parent
    x = torch.randn(3, *IMAGES)
    with torch.no_grad():
        whole = compact_module(keep_all(parent, target))(x)
        assert relative(whole, explicit_parent(parent, target)(x)) < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_a_wide_ticket_is_near_its_target(name: str) -> None:
    """With 1,200 hidden channels per input channel, the outputs of each network are within five per cent."""
    model = build(name).eval()
    ticket = find_ticket(model, width=1200, seed=1, input_range=(0, 1), structure="kernel")
    x = torch.rand(20, *IMAGES)
    with torch.no_grad():
        assert relative(ticket.to_module()(x), model(x)) < 0.05


def test_names_of_layers_are_the_model_s() -> None:
    names = [linear.name for linear in extract(build("resnet")).maps]
    blocks = [f"layers.{i}.{name}" for i in range(3) for name in ("conv1", "conv2", "downsample.0")]
    blocks.remove("layers.0.downsample.0")
    assert sorted(names) == sorted(["conv1", *blocks, "fc"])
    assert names[0] == "conv1"
    assert names[-1] == "fc"
    target = extract(build("own"))
    # The norm follows a pool, so it is not folded: it is a depthwise map with a bias.
    norm = next(linear for linear in target.maps if linear.name == "norm")
    assert (norm.channels, norm.groups, norm.kernel, norm.dimension) == ((3, 3), 3, (1, 1), 1)
    assert sorted(target.constants) == ["gamma", "shift"]
    assert target.coverage == pytest.approx(1 - 6 / (6 + target.weight_count))


def test_relus_between_blocks_spare_half_of_the_work() -> None:
    """Every layer of the ResNet sees non-negative numbers only; after GELU and tanh, both signs can come."""
    assert {linear.signs for linear in extract(build("resnet"), input_range=(0, 1)).maps} == {"+"}
    signs = {linear.name: linear.signs for linear in extract(build("own"), input_range=(0, 1)).maps}
    assert signs == {"stem": "+", "norm": "+-", "left": "+-", "right": "+-", "mix": "+-", "head": "+-"}
