"""The frozen random form: what is drawn, what is stripped, where BatchNorm goes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from slth.baselines.frozen import INITS, frozen_form
from slth.baselines.masks import maskable, weights_hash
from slth.errors import InputError
from slth.networks import models


@pytest.mark.parametrize("arch", sorted(models.ARCHITECTURES))
def test_every_architecture_has_a_frozen_form(arch: str) -> None:
    model = models.ARCHITECTURES[arch].build()
    before = weights_hash(model)
    form = frozen_form(model, seed=3)
    assert weights_hash(model) == before
    assert list(maskable(form)) == list(maskable(model))
    assert [name for name, _ in form.named_parameters()] == list(maskable(form))
    assert not any(p.requires_grad for p in form.parameters())
    x = torch.rand(2, *models.ARCHITECTURES[arch].input_shape)
    form.train()
    assert form(x).shape == model.eval()(x).shape
    layers = [type(one) for one in form.modules()]
    assert not any(isinstance(one, nn.modules.batchnorm._BatchNorm) and one.affine for one in form.modules())
    linear = sum(issubclass(one, nn.Conv2d | nn.Linear) for one in layers)
    norms = sum(issubclass(one, nn.modules.batchnorm._BatchNorm) for one in layers)
    assert norms == linear - 1


@pytest.mark.parametrize("init", INITS[:3])
@pytest.mark.parametrize("density", [None, 0.25])
def test_weights_have_the_standard_deviation_of_the_formula(init: str, density: float | None) -> None:
    """30,000 weights: their second moment is within 4 % of σ² but with chance < 1e-8 (its standard error is 0.8 %)."""
    form = frozen_form(nn.Sequential(nn.Linear(300, 100)), seed=0, init=init, density=density)
    sigma = math.sqrt(2 / (300 * (density or 1)))
    weight = form.get_parameter("0.weight")
    assert float(weight.square().mean()) == pytest.approx(sigma**2, rel=0.04)
    if init == "signed_constant":
        assert torch.allclose(weight.abs(), torch.tensor(sigma))
    else:
        assert len(weight.unique()) > 20_000
    again = frozen_form(nn.Sequential(nn.Linear(300, 100)), seed=0, init=init, density=density)
    assert torch.equal(again.get_parameter("0.weight"), weight)
    other = frozen_form(nn.Sequential(nn.Linear(300, 100)), seed=1, init=init, density=density)
    assert not torch.equal(other.get_parameter("0.weight"), weight)


def test_what_cannot_be_frozen_is_refused() -> None:
    with pytest.raises(InputError, match="LayerNorm"):
        frozen_form(nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)), seed=0)
    with pytest.raises(InputError, match="init"):
        frozen_form(nn.Linear(3, 3), seed=0, init="zeros")
    with pytest.raises(InputError, match="density"):
        frozen_form(nn.Linear(3, 3), seed=0, density=0)
    with pytest.raises(InputError, match="got none"):
        frozen_form(nn.ReLU(), seed=0)


def test_without_normalising_nothing_is_added() -> None:
    form = frozen_form(models.lenet5(), seed=0, normalise=False)
    assert [name for name, _ in form.named_children()] == [name for name, _ in models.lenet5().named_children()]


def test_a_network_given_in_frozen_form_is_copied_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False))
    form = frozen_form(model, seed=5, init="given")
    assert weights_hash(form) == weights_hash(model)
    assert form is not model
    assert not any(p.requires_grad for p in form.parameters())
    with pytest.raises(InputError, match=r"0\.bias"):
        frozen_form(nn.Sequential(nn.Linear(4, 3)), seed=0, init="given")
