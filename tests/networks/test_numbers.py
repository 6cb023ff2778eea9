"""The numbers of a target: they may have any precision, must be finite, and must fit into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cnns import Own, part_of
from torch import nn

from slth.errors import InputError
from slth.networks import ModuleForm, Operation, extract, register
from slth.networks.operations import REGISTRY
from slth.tickets import find_ticket


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Linear(3, 3, device="meta"), "0.weight has no values: it is on the meta device"),
        (nn.Conv2d(3, 3, 1, device="meta"), "0.weight has no values"),
        (nn.BatchNorm2d(3, device="meta"), "0.weight has no values"),
        (nn.LayerNorm(3, device="meta"), "0.weight has no values"),
        (nn.LazyLinear(3), "layer 0 is lazy: it has no values yet. Call the model once"),
        (nn.LazyConv2d(3, 2), "layer 0 is lazy: it has no values yet. Call the model once"),
        (nn.Linear(3, 3, dtype=torch.complex64), "0.weight must be real; got torch.complex64"),
        (nn.Linear(0, 3), r"0.weight has no entries: shape \(3, 0\). Remove the layer"),
        (nn.Linear(3, 0), "has no entries"),
        (nn.Conv2d(0, 3, 1), "has no entries"),
        (nn.LayerNorm(0), "has no entries"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element:UserWarning", "ignore:Lazy modules:UserWarning")
def test_layers_without_numbers_are_named(layer: nn.Module, words: str) -> None:
    with pytest.raises(InputError, match=words):
        extract(nn.Sequential(layer, nn.Linear(3, 3)))


@pytest.mark.parametrize("where", ["weight", "bias", "norm", "kept", "constant"])
@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e39])
def test_numbers_that_are_not_finite_in_float32_are_found_everywhere(where: str, value: float) -> None:
    parts = {"fc": nn.Linear(3, 3), "norm": nn.BatchNorm1d(3), "kept": nn.LayerNorm(3)}
    model = Own(lambda m, x: m.kept(m.norm(m.fc(x))) + m.constant, **parts)
    model.constant = nn.Parameter(torch.randn(3))
    model.double()
    paths = {"weight": "fc.weight", "bias": "fc.bias", "norm": "norm.bias", "kept": "kept.bias"}
    with torch.no_grad():
        part_of(model, paths.get(where, where)).view(-1)[1] = value
    with pytest.raises(InputError, match="must fit float32" if value == 1e39 else r"must be finite; got (nan|-inf)"):
        extract(model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_targets_of_other_precisions_are_their_float32(dtype: torch.dtype) -> None:
    """float16 and bfloat16 are exact, float64 is rounded. The model keeps its own numbers."""
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).to(dtype)
    target = extract(model, example_input=torch.rand(2, 1, 4, 4, dtype=dtype), input_range=(0, 1))
    assert {tensor.dtype for tensor in model.state_dict().values()} == {dtype, torch.int64}
    linear = target.maps[1]
    assert linear.weight.dtype == np.float32
    assert (linear.weight == part_of(model, "4.weight").detach().float().numpy()).all()
    ticket = find_ticket(target, width=30)
    assert ticket.verify()
    assert ticket.to_module()(torch.rand(2, 1, 4, 4)).dtype == torch.float32


class Odd:
    """Not a number, a shape or a name."""


class Tagged(nn.Module):
    def __init__(self, tag: object) -> None:
        super().__init__()
        self.tag = tag

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


@pytest.mark.parametrize("value", [Odd(), 1j, torch.float64, torch.device("cpu"), torch.Size([2])])
def test_what_a_file_cannot_hold_is_refused_before_the_search(value: object) -> None:
    """A shape can be written; an object of a class cannot."""
    register(Operation(name="tagged", signs="keep", modules=(ModuleForm(Tagged, options=("tag",)),)))
    try:
        model = nn.Sequential(nn.Linear(3, 3), Tagged(value))
        if isinstance(value, torch.Size):
            assert extract(model).modules[0].options["tag"] == [2]
        else:
            with pytest.raises(InputError, match="cannot be written to a file"):
                extract(model)
    finally:
        REGISTRY.remove("tagged")


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    stride: Any = np.int64(2)
    size: Any = np.int32(2)
    alpha: Any = np.float32(0.5)
    model = nn.Sequential(nn.Conv2d(2, 3, 1, stride=stride), nn.AvgPool2d(size), nn.ELU(alpha))
    ticket = find_ticket(model, width=30, example_input=torch.randn(2, 2, 8, 8))
    assert ticket.save(tmp_path / "t.slth").is_file()
