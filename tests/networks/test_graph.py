"""The graph of a target: inputs and outputs of every form, shared weights, layers left out, and what is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cnns import Own, Resnet, part_of, relative, shake_norms
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from slth.errors import InputError, SlthError
from slth.networks import extract
from slth.tickets import find_ticket, load_ticket
from slth.tickets.networks.explicit import explicit_parent

# Two tensors → what a network returns.
Form = Callable[[torch.Tensor, torch.Tensor], Any]


class TwoInputs(nn.Module):
    """A network of two inputs and one that is left out; ``form`` makes its output."""

    def __init__(self, form: Form = torch.add) -> None:
        super().__init__()
        self.image, self.text, self.form = nn.Conv2d(1, 3, 3), nn.Linear(4, 3), form

    def forward(self, x: torch.Tensor, note: torch.Tensor, scale: object = None) -> Any:
        return self.form(self.image(x).mean((2, 3)), self.text(note))


def two_inputs(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, 1, 5, 5), torch.randn(count, 4)


def test_several_inputs_by_place_and_by_name() -> None:
    model, (x, note) = TwoInputs(), two_inputs()
    target = extract(model, example_input=(x, note))
    assert [linear.name for linear in target.maps] == ["image", "text"]
    ticket = find_ticket(target, width=40)
    for whole, expected in ((target.to_module(), model(x, note)), (ticket.to_module(), None)):
        out = whole(x, note)
        assert expected is None or relative(out, expected) < 1e-5
        for again in (whole(x, note=note), whole(note=note, x=x)):
            assert torch.equal(again, out)
    wrong_inputs: list[tuple[torch.Tensor | None, ...]] = [(x,), (x, note, None)]
    for wrong in wrong_inputs:
        with pytest.raises(InputError, match=r"the network takes x, note; got \d positional inputs"):
            ticket.to_module()(*wrong)
    with pytest.raises(InputError, match="and other"):
        ticket.to_module()(x, note, other=note)


def test_a_default_that_is_a_number_is_kept(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, input: torch.Tensor, factor: float = 2.5, *, shift: float = -1) -> torch.Tensor:
            out: torch.Tensor = self.fc(input) * factor + shift
            return out

    model, x = Scaled(), torch.randn(4, 3)
    module = load_ticket(find_ticket(model, width=40).save(tmp_path / "t.slth")).target.to_module()
    assert relative(module(input=x), model(x)) < 1e-6
    with pytest.raises(InputError, match="the network takes input; got 0 positional inputs and input, factor"):
        module(input=x, factor=3)


FORMS: dict[str, Form] = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [a, b, a],
    "dict": lambda a, b: {"a": a, "both": (a, {"b": b})},
    "numbers": lambda a, b: {0: a, 1: b},
    "beside": lambda a, b: (a, None, 3, "text", b),
}


@pytest.mark.parametrize("form", FORMS)
def test_outputs_keep_their_form(form: str, tmp_path: Path) -> None:
    model, given = TwoInputs(FORMS[form]), two_inputs()
    ticket = find_ticket(model, width=30, example_input=given)
    same(ticket.target.to_module()(*given), model(*given))
    same(load_ticket(ticket.save(tmp_path / "t.slth")).to_module()(*given), ticket.to_module()(*given))


def same(got: Any, expected: Any) -> None:
    """Both have one form, and tensors agree up to float32 rounding."""
    assert type(got) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert relative(got, expected) < 1e-5
    elif isinstance(expected, dict):
        assert list(got) == list(expected)
        same(list(got.values()), list(expected.values()))
    elif isinstance(expected, tuple | list):
        for one, other in zip(got, expected, strict=True):
            same(one, other)
    else:
        assert got == expected


def test_a_layer_used_twice_is_one_map_and_one_block() -> None:
    conv = nn.Conv2d(2, 2, 3, padding=1)
    model = Own(lambda m, x: m.conv(functional.relu(m.conv(x))) - m.conv(x), conv=conv)
    x = torch.rand(3, 2, 5, 5)
    target = extract(model, example_input=x, input_range=(0, 1))
    assert len(target.maps) == 1
    ticket = find_ticket(target, width=40)
    assert ticket.verify()
    with torch.no_grad():
        masked = explicit_parent(ticket.parent, ticket.target, ticket.masks())(x)
        assert relative(ticket.to_module()(x), masked) < 1e-5
    assert sum(p.numel() for p in ticket.to_module().parameters()) == ticket.layers[0].weights


def test_a_shared_layer_sees_the_signs_of_all_its_inputs() -> None:
    fc = nn.Linear(3, 3)
    relu_twice = Own(lambda m, x: m.fc(functional.relu(m.fc(functional.relu(x)))), fc=fc)
    once_bare = Own(lambda m, x: m.fc(functional.relu(m.fc(x))), fc=fc)
    assert extract(relu_twice).maps[0].signs == "+"
    assert extract(once_bare).maps[0].signs == "+-"
    assert extract(once_bare, input_range=(0, 1)).maps[0].signs == "+"
    assert extract(once_bare, input_range=(-1, 0)).maps[0].signs == "+-"


def test_tied_parameters_are_one_map() -> None:
    """Layers that share weight and bias are one map; with another bias or stride they are two."""
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight, second.bias = first.weight, first.bias
    model = nn.Sequential(first, nn.ReLU(), second)
    assert [linear.name for linear in extract(model, example_input=torch.randn(2, 3)).maps] == ["0"]
    second.bias = nn.Parameter(torch.randn(3))
    assert [linear.name for linear in extract(model, example_input=torch.randn(2, 3)).maps] == ["0", "2"]
    one, two = nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False, stride=2)
    two.weight = one.weight
    assert len(extract(nn.Sequential(one, two), example_input=torch.randn(2, 2, 4, 4)).maps) == 2


def test_a_shared_convolution_with_several_norms_is_not_folded() -> None:
    parts = {"conv": nn.Conv2d(2, 2, 1), "one": nn.BatchNorm2d(2), "two": nn.BatchNorm2d(2)}
    model = shake_norms(Own(lambda m, x: m.two(m.conv(m.one(m.conv(x)))), **parts)).eval()
    x = torch.randn(3, 2, 4, 4)
    target = extract(model, example_input=x)
    assert [linear.name for linear in target.maps] == ["conv", "one", "two"]
    assert relative(target.to_module()(x), model(x)) < 1e-5
    # A convolution whose output another step reads too is not folded either.
    model = shake_norms(Own(lambda m, x: (lambda y: m.one(y) + y)(m.conv(x)), **parts)).eval()
    assert relative(extract(model, example_input=x).to_module()(x), model(x)) < 1e-5


@pytest.mark.parametrize("hook", [weight_norm, torch.nn.utils.parametrizations.spectral_norm])
def test_parametrised_layers_of_one_shape_are_different_maps(hook: Callable[[nn.Module], nn.Module]) -> None:
    """Their weight is a new tensor at every access, so its id cannot identify it."""
    model = nn.Sequential(*[hook(nn.Linear(4, 4, bias=False)) for _ in range(4)]).eval()
    x = torch.randn(3, 4)
    target = extract(model, example_input=x)
    assert len(target.maps) == 4
    with torch.no_grad():
        assert relative(target.to_module()(x), model(x)) < 1e-5


def test_layers_may_have_the_names_of_slth_s_own_attributes() -> None:
    class Names(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps, self.inputs, self.input = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
            self.x, self.output, self.add = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, input: torch.Tensor, add: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.output(self.x(self.input(self.inputs(self.steps(input)))) + self.add(add))
            return out

    model, given = Names(), (torch.randn(2, 3), torch.randn(2, 3))
    target = extract(model, example_input=given)
    assert relative(target.to_module()(*given), model(*given)) < 1e-5
    assert relative(target.to_module()(add=given[1], input=given[0]), model(*given)) < 1e-5


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"only": ["layers.*"]}, ["conv1", "fc"]),
        ({"only": "fc"}, None),
        ({"skip": ["conv1", "fc"]}, ["conv1", "fc"]),
        ({"skip": "*.downsample.*"}, ["layers.1.downsample.0", "layers.2.downsample.0"]),
        ({"only": ["layers.*"], "skip": ["layers.?.conv2"]}, ["conv1", "fc", *(f"layers.{i}.conv2" for i in range(3))]),
    ],
)
def test_layers_can_be_left_out(options: dict[str, Any], left: list[str] | None, tmp_path: Path) -> None:
    model, x = shake_norms(Resnet()).eval(), torch.rand(3, 1, 8, 8)
    whole = extract(model)
    names = [linear.name for linear in whole.maps]
    left = [name for name in names if name != "fc"] if left is None else left
    target = extract(model, example_input=x, **options)
    assert [linear.name for linear in target.maps] == [name for name in names if name not in left]
    assert sorted(module.name for module in target.modules if module.tensors) == sorted(left)
    numbers = {linear.name: linear.weight_count for linear in whole.maps}
    assert target.weight_count == sum(numbers[name] for name in names if name not in left)
    assert target.kept_count == sum(numbers[name] for name in left)
    assert target.coverage == target.weight_count / sum(numbers.values())
    assert whole.coverage == 1
    ticket = find_ticket(target, width=40)
    again = load_ticket(ticket.save(tmp_path / "part.slth"))
    assert again.verify()
    with torch.no_grad():
        assert relative(target.to_module()(x), model(x)) < 1e-5
        assert torch.equal(again.to_module()(x), ticket.to_module()(x))
        masked = explicit_parent(ticket.parent, target, ticket.masks())(x)
        assert relative(ticket.to_module()(x), masked) < 1e-5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ["conv9"]}, "only names no layer 'conv9'; expected some of conv1, layers.0.conv1"),
        ({"skip": ["fc", "bn1"]}, "skip names no layer 'bn1'"),
        ({"skip": "*"}, "leave no layer to replace"),
        ({"only": []}, "leave no layer to replace"),
        ({"only": "fc", "skip": ["fc"]}, "leave no layer to replace"),
    ],
)
def test_what_is_left_out_must_exist_and_not_be_all(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        extract(Resnet(), **options)


def test_kept_numbers_are_the_model_s(tmp_path: Path) -> None:
    """LayerNorm, PReLU, and parameters and buffers that the graph reads directly."""
    parts = {"fc": nn.Linear(4, 4), "norm": nn.LayerNorm(4), "prelu": nn.PReLU(4)}
    model = Own(lambda m, x: m.prelu(m.norm(m.fc(x))) * m.gamma + m.table + m.count, **parts)
    for path in ("norm.weight", "prelu.weight"):
        nn.init.uniform_(part_of(model, path), 0.5, 2)
    model.gamma = nn.Parameter(torch.randn(4))
    model.register_buffer("table", torch.randn(1, 4))
    model.register_buffer("count", torch.tensor(3))
    x = torch.randn(5, 4)
    ticket = find_ticket(model, width=40, example_input=x)
    target = load_ticket(ticket.save(tmp_path / "t.slth")).target
    expected = {"norm.weight", "norm.bias", "prelu.weight", "gamma", "table", "count"}
    assert set(target.kept_tensors()) == expected
    assert target.kept_count == 4 + 4 + 4 + 4 + 4 + 1
    assert target.constants["count"].dtype == np.int64
    assert relative(target.to_module()(x), model(x)) < 1e-5


def test_a_model_in_training_stays_in_training() -> None:
    model = nn.Sequential(
        nn.Linear(3, 3), nn.Dropout(), nn.Sequential(nn.BatchNorm1d(3), nn.Dropout()), nn.Linear(3, 1)
    )
    model.train()
    model[2].eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    ticket = find_ticket(model, width=20, example_input=torch.randn(4, 3))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    x = torch.randn(50, 3)
    assert torch.equal(ticket.to_module()(x), ticket.to_module()(x))  # Dropout does nothing in a ticket.
    with pytest.raises(SlthError):
        find_ticket(model, width=20, example_input=torch.randn(4, 2))
    assert [module.training for module in model.modules()] == modes


def test_each_input_has_its_own_range(tmp_path: Path) -> None:
    model = TwoInputs()
    x, note = (one.clamp(0, 1) for one in two_inputs())
    ranges: dict[str, Any] = {"x": (0, 1), "note": (-2, 0)}
    assert [one.signs for one in extract(model, example_input=(x, -note), input_range=ranges).maps] == ["+", "-"]
    ranges = {"note": (0, 1)}
    assert [one.signs for one in extract(model, example_input=(x, note), input_range=ranges).maps] == ["+-", "+"]
    ranges = {"x": (np.float32(0), 1), "note": None}
    ticket = find_ticket(model, width=30, example_input=(x, note), input_range=ranges)
    assert ticket.target.input_range == {"x": (0.0, 1.0), "note": None}
    assert load_ticket(ticket.save(tmp_path / "t.slth")).target.input_range == ticket.target.input_range
    with pytest.raises(InputError, match="input_range names no input 'y'; the model has x, note\\."):
        extract(model, example_input=(x, note), input_range={"y": (0, 1)})
    with pytest.raises(InputError, match="must lie in input_range = \\(0, 1\\)"):
        extract(model, example_input=two_inputs(), input_range={"note": (0, 1)})
