"""Weights of others: padding and biases follow from the tensors, and what fits nothing is loaded with five lines."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from slth.cli.arguments import load_target
from slth.errors import InputError
from slth.networks import models

# What somebody else would write: LeNet-5 with the padding of each convolution, and the layers that have biases.
NET = """
import torch
from torch import nn
from torch.nn import functional

class Net(nn.Module):
    def __init__(self, pads=(2, 2), biased=(), inputs=784, hidden=120):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=pads[0], bias="conv1" in biased)
        self.conv2 = nn.Conv2d(6, 16, 5, padding=pads[1], bias="conv2" in biased)
        self.fc1 = nn.Linear(inputs, hidden, bias="fc1" in biased)
        self.fc2 = nn.Linear(hidden, 84, bias="fc2" in biased)
        self.fc3 = nn.Linear(84, 10, bias="fc3" in biased)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(functional.relu(self.fc2(functional.relu(self.fc1(x)))))
"""
SCOPE: dict[str, Any] = {}
exec(NET, SCOPE)
LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")


@pytest.mark.parametrize(("pads", "inputs"), [((0, 0), 256), ((2, 0), 400), ((2, 2), 784)])
@pytest.mark.parametrize("biased", [LAYERS, (), ("fc1", "fc2", "fc3"), ("conv2",)])
def test_lenet5_of_others(pads: tuple[int, int], inputs: int, biased: tuple[str, ...], tmp_path: Path) -> None:
    theirs = SCOPE["Net"](pads, biased, inputs)
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    ours, example = load_target(arch="lenet5", weights=tmp_path / "w.safetensors", model=None)
    assert isinstance(example, torch.Tensor)
    x = torch.rand(3, *example.shape[1:])
    assert torch.equal(ours(x), theirs(x))
    assert {name for name, one in ours.named_modules() if getattr(one, "bias", None) is not None} == set(biased)


def test_padding_is_told_by_the_shapes_of_no_other_architecture() -> None:
    sizes = [models.lenet5(padding=padding).get_submodule("fc1").in_features for padding in ("valid", "same", "both")]
    assert sizes == [256, 400, 784]
    model = models.lenet5(padding="both", side=4)
    assert model(torch.zeros(1, 1, 4, 4)).shape == (1, 10)
    with pytest.raises(InputError, match="padding must be one of same, valid, both"):
        models.lenet5(padding="full")


def test_biases_follow_the_file_in_every_architecture(tmp_path: Path) -> None:
    for arch, (place, biased) in itertools.product(("resnet20", "vgg-small", "mlp"), enumerate((True, False))):
        theirs = models.ARCHITECTURES[arch].build()
        for module in theirs.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.bias = nn.Parameter(torch.rand(len(module.weight))) if biased else None
        path = tmp_path / f"{arch}{place}.safetensors"
        save_file(theirs.state_dict(), path)
        x = torch.rand(2, *models.ARCHITECTURES[arch].input_shape)
        assert torch.equal(models.load_weights(arch, path)(x), theirs.eval()(x))


def test_five_lines_load_what_fits_no_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note of the refusal, written to a file as it stands, loads the network."""
    theirs = SCOPE["Net"]((2, 2), LAYERS, 784, 100)
    path = tmp_path / "it's mine.safetensors"
    save_file(theirs.state_dict(), path)
    with pytest.raises(InputError, match=r"fc1.weight must have shape \(120, 784\), got \(100, 784\)") as refused:
        load_target(arch="lenet5", weights=path, model=None)
    (lines,) = refused.value.__notes__
    assert len(lines.splitlines()) == 5
    (tmp_path / "mynet.py").write_text(NET.replace("hidden=120", "hidden=100").replace("biased=()", f"biased={LAYERS}"))
    (tmp_path / "mymodel.py").write_text(lines)
    monkeypatch.setattr(sys, "path", list(sys.path))
    ours, example = load_target(arch=None, weights=None, model=f"{tmp_path / 'mymodel.py'}:trained")
    monkeypatch.delitem(sys.modules, "mynet")
    assert isinstance(example, torch.Tensor)
    x = torch.rand(2, *example.shape[1:])
    assert torch.equal(ours(x), theirs(x))
    assert ours(example).shape == (1, 10)
