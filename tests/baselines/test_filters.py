"""Filter pruning: the small network is the masked one, counts and importance by hand, the ratio that is needed."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

from slth import data
from slth.baselines import filters
from slth.baselines.filters import cost, ratio_for, remove_filters
from slth.baselines.found import fine_tuned
from slth.baselines.masks import counts, density_of, maskable
from slth.baselines.recipe import Recipe
from slth.baselines.training import accuracy
from slth.errors import InputError
from slth.networks.models import ARCHITECTURES, conv2, digits_cnn, mlp
from slth.progress import Lines

pytest.importorskip("torch_pruning")

RECIPE = Recipe(epochs=5, batch=64, learning_rate=0.05)


@pytest.fixture(scope="module")
def digits() -> data.Split:
    return data.load("digits", "train")


def lively(model: nn.Module) -> nn.Module:
    """Parameters and statistics of BatchNorm that are not those of initialisation."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


def build(arch: str) -> tuple[nn.Module, tuple[int, ...]]:
    if arch == "conv6-small":  # the real one has millions of weights; the form is what counts
        return conv2(stages=(6, 8, 10), hidden=20), (1, 28, 28)
    return ARCHITECTURES[arch].build(), ARCHITECTURES[arch].input_shape


@pytest.mark.parametrize(
    "arch", ["lenet5", "lenet5-valid", "mlp", "conv6-small", "resnet20", "vgg-small", "separable", "digits"]
)
@pytest.mark.parametrize("ratio", [0.4, 0.999])
def test_removed_filters_and_filters_at_zero_are_the_same_network(arch: str, ratio: float) -> None:
    model, shape = build(arch)
    lively(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    removal = remove_filters(model, shape, ratio)
    x = torch.rand(4, *shape)
    with torch.no_grad():
        small, masked = removal.compact(x), removal.masked(x)
        assert torch.allclose(small, masked, atol=1e-5)
        assert small.shape == model(x).shape
        assert not torch.allclose(masked, model(x), atol=1e-3)
    sizes = {name: weight.numel() for name, weight in maskable(removal.compact).items()}
    assert {name: kept for name, (kept, _) in counts(removal.masks).items()} == sizes
    assert min(sizes.values()) > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_nothing_is_removed_at_ratio_zero() -> None:
    removal = remove_filters(digits_cnn(), (1, 8, 8), 0.0)
    assert density_of(removal.masks) == 1


def test_the_filters_of_smallest_norm_go() -> None:
    """conv1's own, by hand: three of six."""
    model = digits_cnn().eval()
    masks = remove_filters(model, (1, 8, 8), 0.5).masks
    norms = model.get_parameter("conv1.weight").detach().abs().sum(dim=(1, 2, 3))
    kept = masks["conv1.weight"].flatten(1).all(dim=1)
    assert torch.equal(masks["conv1.weight"].flatten(1).any(dim=1), kept)
    assert set(kept.nonzero().flatten().tolist()) == set(norms.topk(3).indices.tolist())
    assert torch.equal(masks["conv2.weight"].flatten(2).any(dim=2).any(dim=0), kept)
    # A channel of conv2 is sixteen inputs of fc1.
    rows = masks["conv2.weight"].flatten(1).any(dim=1)
    assert torch.equal(masks["fc1.weight"].any(dim=0), rows.repeat_interleave(16))
    assert bool(masks["fc2.weight"].any(dim=1).all())  # classes are not removed


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_inner_layers_keep_the_square_of_what_is_left(ratio: float) -> None:
    """784-200-200-10: exactly (1−ρ) of the first, (1−ρ)² of the second, (1−ρ) of the last."""
    kept = counts(remove_filters(mlp(sizes=(784, 200, 200, 10)), (1, 28, 28), ratio).masks)
    shares = [count / total for count, total in kept.values()]
    assert shares == pytest.approx([1 - ratio, (1 - ratio) ** 2, 1 - ratio])


@pytest.mark.parametrize("density", [0.5, 0.1, 0.03])
def test_the_ratio_is_the_smallest_that_reaches_the_density(density: float) -> None:
    model = digits_cnn()
    ratio = ratio_for(model, (1, 8, 8), density)
    assert density_of(remove_filters(model, (1, 8, 8), ratio).masks) <= density
    assert density_of(remove_filters(model, (1, 8, 8), ratio - 2 * filters.RATIO_TOLERANCE).masks) > density


def test_cost_by_hand() -> None:
    parameters, flops = cost(digits_cnn(), (1, 8, 8))
    assert parameters == 54 + 12 + 648 + 12 + 6144 + 32 + 320 + 10
    assert flops == 2 * (64 * 54 + 64 * 648 + 6144 + 320)


def test_a_trained_network_is_pruned_and_tuned(digits: data.Split) -> None:
    found = filters.find(digits_cnn(), digits, density=0.3, recipe=RECIPE, fine_tuning=RECIPE, seed=2)
    test = data.load("digits", "test")
    assert found.density <= 0.3
    assert not found.untouched
    assert len(found.history.epochs) == 10
    assert found.history.steps == 10 * -(-len(digits) // 64)
    assert sum(weight.numel() for weight in maskable(found.module()).values()) == sum(
        kept for kept, _ in counts(found.masks).values()
    )
    before, after = found.notes["parameters"]
    assert before == 7232
    assert after == sum(parameter.numel() for parameter in found.module().parameters())
    assert found.notes["flops"][1] < found.notes["flops"][0]
    assert accuracy(found.module(), test) > 0.85  # chance: 0.1
    more, _ = fine_tuned(found, digits, recipe=Recipe(epochs=1, learning_rate=0.01))
    assert accuracy(more, test) > 0.85


@pytest.mark.parametrize("options", [{"density": 0.0}, {"ratio": 1.0}, {"ratio": -0.1}])
def test_bad_options_are_refused_before_training(digits: data.Split, options: dict[str, Any]) -> None:
    def say(line: str) -> None:
        raise AssertionError("training began")

    with pytest.raises(InputError, match=next(iter(options))):
        filters.find(
            digits_cnn(),
            digits,
            **{"density": 0.3, "recipe": RECIPE, "fine_tuning": RECIPE, "progress": Lines(say), **options},
        )


def test_a_density_that_one_filter_a_layer_exceeds_is_refused(digits: data.Split) -> None:
    with pytest.raises(InputError, match=r"0\.001 was asked for"):
        filters.find(digits_cnn(), digits, density=0.001, recipe=RECIPE, fine_tuning=RECIPE)


def test_without_the_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(InputError, match=r'pip install "slth\[filters\]"'):
        remove_filters(digits_cnn(), (1, 8, 8), 0.5)
