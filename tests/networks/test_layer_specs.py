"""The layers of a target with their norms, for certified network widths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cnns import part_of
from torch import nn

from slth.errors import InputError
from slth.networks import extract, models
from slth.theory.certified import network_width
from slth.theory.composition import LayerSpec


def test_a_chain_gives_its_layers_in_order() -> None:
    model = models.lenet5()
    specs = extract(model, input_range=(0, 1)).layer_specs()
    assert [spec.name for spec in specs] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert [spec.dimension for spec in specs] == [150, 400, 120, 84, 10]
    assert {spec.signs for spec in specs} == {1}
    rows = part_of(model, "conv2.weight").detach().abs().double().flatten(1).sum(dim=1)
    assert specs[1].row_norm == pytest.approx(float(rows.max()), rel=1e-12)


def test_network_width_takes_a_target_as_it_takes_its_layers() -> None:
    torch.manual_seed(0)
    target = extract(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)), input_range=(0, 1))
    widths = network_width(target, eps=0.2, delta=0.1)
    layers = [LayerSpec.from_weights(m.name, m.weight, m.bias, signs=len(m.signs)) for m in target.maps]
    assert widths == network_width(layers, eps=0.2, delta=0.1)
    assert all(np.isfinite(layer.width) and layer.width > 0 for layer in widths.layers)


def test_a_layer_used_twice_counts_twice() -> None:
    shared = nn.Linear(2, 2)
    specs = extract(nn.Sequential(shared, nn.ReLU(), shared)).layer_specs()
    assert [spec.name for spec in specs] == ["0", "0"]


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.first(x)
        return out


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Sum(), "not part of a chain"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), "with groups"),
        (nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2)), "Sigmoid"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2, divisor_override=1)), "divides by another number"),
    ],
)
def test_what_the_proof_does_not_cover_is_refused(model: nn.Module, words: str) -> None:
    with pytest.raises(InputError, match=words):
        extract(model).layer_specs()
