"""Extraction: a target computes what its model computes, and parts that cannot be extracted are named."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cnns import part_of, shake_norms
from instances import digits_model
from torch import nn

from slth.errors import InputError
from slth.networks import extract, models
from slth.networks.signs import Range

# Name → (function that builds the model, shape of an input without its batch axis, number of linear maps).
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "lenet5": (models.lenet5, (1, 28, 28), 5),
    "lenet5-no-bias": (lambda: models.lenet5(bias=False), (1, 28, 28), 5),
    "lenet5-valid": (lambda: models.lenet5(padding="valid"), (1, 28, 28), 5),
    "lenet5-valid-no-bias": (lambda: models.lenet5(padding="valid", bias=False), (1, 28, 28), 5),
    "mlp": (lambda: models.mlp(sizes=(64, 20, 20, 5)), (1, 8, 8), 3),
    "mlp-no-bias": (lambda: models.mlp(sizes=(64, 5), bias=False), (1, 8, 8), 1),
    "conv2": (lambda: models.conv2(stages=(4,), side=12, hidden=16, in_channels=3), (3, 12, 12), 5),
    "digits": (digits_model, (1, 8, 8), 4),
}


def agree(model: nn.Module, x: torch.Tensor) -> None:
    """The extracted target computes what the model computes in evaluation mode, up to float32 rounding."""
    model.eval()
    target = extract(model, example_input=x)
    with torch.no_grad():
        expected, got = model(x), target.to_module()(x)
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", MODELS)
def test_target_computes_what_the_model_computes(name: str) -> None:
    build, shape, _ = MODELS[name]
    agree(build(), torch.randn(4, *shape))


@pytest.mark.parametrize("name", MODELS)
def test_target_holds_every_weight_once(name: str) -> None:
    build, _, count = MODELS[name]
    target = extract(build())
    assert len(target.maps) == count
    for linear in target.maps:
        whole = np.stack([linear.column(c) for c in range(linear.channels[0])])
        shape = (linear.channels[0], linear.channels[1], *linear.weight.shape[2:])
        assert (whole.reshape(shape).swapaxes(0, 1) == linear.weight).all()
        assert linear.dimension == whole.shape[1]
        if linear.bias is None:
            assert len(linear.instances) == linear.channels[0]
            with pytest.raises(InputError, match="no bias"):
                linear.column(linear.channels[0])
        else:
            assert (linear.column(linear.channels[0]) == linear.bias).all()
    assert target.weight_count == sum(p.numel() for p in target.to_module().parameters())


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(2, 3, 3, stride=2, padding=(1, 0), dilation=(1, 2)),
        nn.Conv2d(2, 3, 3, padding="same"),
        nn.Conv2d(2, 3, (1, 4), padding=1, padding_mode="reflect"),
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, affine=False)),
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)),
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)),
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d((2, 3)), nn.Dropout2d(0.4)),
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(3, 2), nn.BatchNorm1d(2)),
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(2), nn.Identity(), nn.Dropout(0.3)),
    ],
    ids=lambda module: type(list(module.children())[-1] if isinstance(module, nn.Sequential) else module).__name__,
)
def test_options_of_layers_survive(module: nn.Module) -> None:
    agree(nn.Sequential(module), torch.randn(3, 2, 9, 9))


def test_an_option_that_changes_the_result_is_not_dropped() -> None:
    """divisor_override changes the result of AvgPool2d."""
    agree(nn.Sequential(nn.Conv2d(2, 3, 3), nn.AvgPool2d(2, divisor_override=3)), torch.randn(3, 2, 9, 9))


def test_nested_sequentials_keep_their_order_and_names() -> None:
    inner = OrderedDict(conv=nn.Conv2d(1, 3, 3), norm=nn.BatchNorm2d(3), relu=nn.ReLU())
    head = nn.Sequential(nn.Sequential(nn.Linear(12, 4)), nn.ReLU(), nn.Linear(4, 2))
    model = nn.Sequential(OrderedDict(features=nn.Sequential(inner), flatten=nn.Flatten(), head=head))
    model.eval()
    part_of(inner["norm"], "running_mean").uniform_(-1, 1)
    target = extract(model)
    assert [linear.name for linear in target.maps] == ["features.conv", "head.0.0", "head.2"]
    agree(model, torch.randn(5, 1, 4, 4))


def test_names_that_differ_only_in_dots_stay_apart() -> None:
    inner = nn.Sequential(OrderedDict(b=nn.Linear(3, 3)))
    agree(nn.Sequential(OrderedDict(a=inner, a_b=nn.Linear(3, 3))), torch.randn(5, 3))


def test_a_module_used_twice_is_there_twice() -> None:
    """One ReLU in two places is common, and named_children() lists it once only."""
    relu = nn.ReLU()
    agree(nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu), torch.randn(5, 3))
    linear = nn.Linear(3, 3)
    agree(nn.Sequential(linear, relu, linear), torch.randn(5, 3))


def test_a_single_layer_is_a_target_too() -> None:
    agree(nn.Linear(3, 2), torch.randn(5, 3))


class Doubled(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = 2 * super().forward(x)  # type: ignore[no-untyped-call]  # torch has no types here
        return out


class Gated(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()), (2,)),
        (nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), (4, 5, 5)),
        (nn.Sequential(OrderedDict(gate=Gated(), out=nn.Linear(2, 2))), (2,)),
        (nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.GELU())), (2,)),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3)), (3, 5, 5)),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2)), (2,)),
        (Doubled(nn.Linear(2, 2)), (2,)),
    ],
    ids=["sigmoid", "groups", "gate", "gelu", "norm-first", "norm-after-relu", "own-forward"],
)
def test_what_is_not_a_plain_chain_of_layers_is_extracted_too(model: nn.Module, shape: tuple[int, ...]) -> None:
    shake_norms(model)
    agree(model, torch.randn(3, *shape))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)), "running statistics"),
        (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(5)), "running_mean should contain 3 elements not 5"),
        (nn.Sequential(nn.ReLU(), nn.Flatten()), "no conv or linear layer"),
        (nn.Sequential(), "no conv or linear layer"),
        (Gated(), "no conv or linear layer"),
        ("lenet5", "model must be a torch.nn.Module; got str"),
    ],
)
def test_what_cannot_be_extracted_is_named(model: nn.Module, words: str) -> None:
    with pytest.raises(InputError, match=words):
        extract(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_found(value: float) -> None:
    model = models.mlp(sizes=(4, 3, 2))
    with torch.no_grad():
        part_of(model, "fc2.weight")[1, 2] = value
    with pytest.raises(InputError, match=r"fc2\.weight must be finite; got -?(nan|inf) at index \(1, 2\) \(1 such"):
        extract(model)


def test_weights_beyond_float32_are_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2, dtype=torch.float64))
    with torch.no_grad():
        part_of(model, "0.weight")[0, 0] = 1e60
    with pytest.raises(InputError, match="fit float32"):
        extract(model)


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (torch.zeros(1, 3, 28, 28), r"shape \(1, 3, 28, 28\) does not fit"),
        (torch.zeros(1, 1, 20, 20), "does not fit"),
        (torch.zeros(5), r"shape \(5,\) does not fit.*with its batch axis.*weight is \(6, 1, 5, 5\)"),
        (torch.zeros(1, 28, 28), r"shape \(1, 28, 28\) does not fit.*with its batch axis"),
        (np.zeros((1, 1, 28, 28)), "torch tensor"),
        (torch.full((1, 1, 28, 28), 1.5), r"must lie in input_range = \(0, 1\)"),
        (torch.full((1, 1, 28, 28), -0.01), "input_range"),
        (torch.full((1, 1, 28, 28), float("nan")), "example_input"),
    ],
)
def test_an_example_that_does_not_fit_is_refused(example: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        extract(models.lenet5(), example_input=example, input_range=(0, 1))


@pytest.mark.parametrize("bad", [(1, 0), (0,), (0, 1, 2), "ab", "01", 5, (float("nan"), 1), (0, None)])
def test_an_input_range_that_makes_no_sense_is_refused(bad: Any) -> None:
    with pytest.raises(InputError, match="input_range"):
        extract(models.lenet5(), input_range=bad)


@pytest.mark.parametrize(
    ("input_range", "first"),
    [
        (None, "+-"), ((0, 1), "+"), ((0.5, 2), "+"), ((-1, 1), "+-"), ((-1, 0), "-"), ((-3, -1), "-"), ((0, 0), "+"),
        ((-float("inf"), float("inf")), "+-"),
    ],
)  # fmt: skip
def test_signs_follow_from_the_range_and_the_relus(input_range: Range | None, first: str) -> None:
    """Pooling, flattening and dropout keep signs; after a linear layer any sign can come; a ReLU leaves ``+``."""
    model = nn.Sequential(
        nn.Dropout(0.1), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 1), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(8, 3), nn.Linear(3, 3), nn.ReLU(), nn.Identity(), nn.Linear(3, 1),
    )  # fmt: skip
    signs = [linear.signs for linear in extract(model, input_range=input_range).maps]
    assert signs == [first, "+", "+-", "+-", "+"]


def test_the_hash_sees_every_bit() -> None:
    model = models.mlp(sizes=(4, 3, 2))
    before = extract(model).hash()
    assert extract(model).hash() == before
    assert extract(model, input_range=(0, 1)).hash() != before
    with torch.no_grad():
        bias = part_of(model, "fc1.bias")
        bias[0] = torch.nextafter(bias[0], torch.tensor(1.0))
    assert extract(model).hash() != before


def test_extraction_leaves_the_model_as_it_is() -> None:
    model = models.digits_cnn().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    target = extract(model, example_input=torch.rand(2, 1, 8, 8))
    target.maps[0].weight[:] = 0
    assert model.training
    assert all((value == before[name]).all() for name, value in model.state_dict().items())


def test_what_a_ticket_would_change_silently_is_refused() -> None:
    pool = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2, return_indices=True))
    with pytest.raises(InputError, match="max_pool2d_with_indices whose further results are used in 1"):
        extract(pool)
    with pytest.raises(InputError, match="must be real"):
        extract(nn.Sequential(nn.Linear(2, 2, dtype=torch.complex64)))
    norm = nn.BatchNorm1d(2)
    part_of(norm, "running_var").fill_(-1.0)
    with pytest.raises(InputError, match="running variance ≥ 0; got -1"):
        extract(nn.Sequential(nn.Linear(2, 2), norm))
