"""Target architectures: ``nn.Sequential`` networks with named layers.

Each function returns an untrained network; :func:`load_weights` fills one from a safetensors file.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from slth.errors import DataError, InputError, check_choice, check_int


def lenet5(
    *, padding: str = "same", bias: bool = True, side: int = 28, in_channels: int = 1, classes: int = 10
) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998, with ReLU and max-pooling), for 1×28×28 inputs if nothing else is said.

    Args:
        padding: ``same`` pads the first convolution by 2 (fc1 sees 400 inputs); ``valid`` pads nothing (256).
        bias: whether every layer has one. side: height and width of an input, at least 12 (16 unpadded).
        classes: outputs.
    """
    check_choice("padding", padding, ("same", "valid"))
    same = padding == "same"
    check_int("side", side, 12 if same else 16, hint="LeNet-5 pools twice.")
    left = ((side if same else side - 4) // 2 - 4) // 2
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 6, 5, padding=2 if same else 0, bias=bias),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5, bias=bias),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * left**2, 120, bias=bias),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84, bias=bias),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, classes, bias=bias),
        )
    )


def mlp(*, sizes: tuple[int, ...] = (784, 500, 10), bias: bool = True) -> nn.Sequential:
    """Fully connected ReLU network on flattened inputs, layers ``fc1``, ``fc2``, …"""
    if len(sizes) < 2:
        raise InputError(f"sizes must name at least an input and an output width; got {sizes}.")
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for i, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        layers[f"fc{i}"] = nn.Linear(n_in, n_out, bias=bias)
        if i < len(sizes) - 1:
            layers[f"relu{i}"] = nn.ReLU()
    return nn.Sequential(layers)


def conv2(
    *, stages: tuple[int, ...] = (64,), side: int = 28, hidden: int = 256, in_channels: int = 1, bias: bool = True,
    classes: int = 10,
) -> nn.Sequential:  # fmt: skip
    """Conv-2 (frankle2019), and with two or three ``stages`` Conv-4 and Conv-6: stages of two same-padded 3×3
    convolutions and a 2×2 max-pool, then two hidden linear layers.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before = in_channels
    for stage, width in enumerate(stages, start=1):
        for i in (2 * stage - 1, 2 * stage):
            layers[f"conv{i}"] = nn.Conv2d(before, width, 3, padding=1, bias=bias)
            layers[f"relu{i}"] = nn.ReLU()
            before = width
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
        side //= 2
    layers["flatten"] = nn.Flatten()
    sizes = (before * side**2, hidden, hidden, classes)
    for i, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        layers[f"fc{i}"] = nn.Linear(n_in, n_out, bias=bias)
        if i < 3:
            layers[f"fc_relu{i}"] = nn.ReLU()
    return nn.Sequential(layers)


class Residual(nn.Module):
    """Two 3×3 convolutions with BatchNorm, added to a shortcut: the identity, or a strided 1×1 convolution."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        same = stride == 1 and c_in == c_out
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x))


def resnet20(*, in_channels: int = 1, classes: int = 10) -> nn.Sequential:
    """ResNet-20 (he2016): three stages of three residual blocks with 16, 32 and 64 channels, global average pooling."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(in_channels, 16, 3, padding=1, bias=False), norm=nn.BatchNorm2d(16), relu=nn.ReLU()
    )
    before = 16
    for stage, channels in enumerate((16, 32, 64), start=1):
        for block in range(1, 4):
            stride = 2 if block == 1 and stage > 1 else 1
            layers[f"stage{stage}_block{block}"] = Residual(before, channels, stride)
            before = channels
    layers |= OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(64, classes))
    return nn.Sequential(layers)


def vgg_small(
    *, channels: tuple[int, ...] = (16, 32, 64), side: int = 28, in_channels: int = 1, classes: int = 10
) -> nn.Sequential:
    """VGG's form (simonyan2014) in small: stages of two 3×3 convolutions with BatchNorm and a max-pool, one linear."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before = in_channels
    for stage, width in enumerate(channels, start=1):
        for conv in (1, 2):
            layers[f"conv{stage}_{conv}"] = nn.Conv2d(before, width, 3, padding=1, bias=False)
            layers[f"norm{stage}_{conv}"] = nn.BatchNorm2d(width)
            layers[f"relu{stage}_{conv}"] = nn.ReLU()
            before = width
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
        side //= 2
    layers |= OrderedDict(flatten=nn.Flatten(), fc=nn.Linear(before * side**2, classes))
    return nn.Sequential(layers)


def separable(*, channels: tuple[int, ...] = (16, 32, 64), in_channels: int = 1, classes: int = 10) -> nn.Sequential:
    """A depthwise-separable network (howard2017): a strided convolution, then pairs of a 3×3 depthwise and a 1×1."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(in_channels, channels[0], 3, stride=2, padding=1, bias=False),
        norm=nn.BatchNorm2d(channels[0]),
        relu=nn.ReLU(),
    )
    before = channels[0]
    for i, width in enumerate(channels[1:], start=1):
        layers[f"depth{i}"] = nn.Conv2d(before, before, 3, stride=2, padding=1, groups=before, bias=False)
        layers[f"depth_norm{i}"] = nn.BatchNorm2d(before)
        layers[f"depth_relu{i}"] = nn.ReLU()
        layers[f"point{i}"] = nn.Conv2d(before, width, 1, bias=False)
        layers[f"point_norm{i}"] = nn.BatchNorm2d(width)
        layers[f"point_relu{i}"] = nn.ReLU()
        before = width
    layers |= OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(before, classes))
    return nn.Sequential(layers)


def digits_cnn(*, side: int = 8, in_channels: int = 1, classes: int = 10) -> nn.Sequential:
    """The demo's target: a small CNN for scikit-learn's 1×8×8 digits, with biases and a BatchNorm to fold."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 6, 3, padding=1, bias=False),
            norm1=nn.BatchNorm2d(6),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(6, 12, 3, padding=1),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(12 * (side // 2) ** 2, 32),
            relu3=nn.ReLU(),
            fc2=nn.Linear(32, classes),
        )
    )


@dataclass(frozen=True)
class Architecture:
    """What the command line knows of a model: how to build it and the shape of one input."""

    build: Callable[..., nn.Sequential]
    input_shape: tuple[int, ...]
    summary: str


ARCHITECTURES: dict[str, Architecture] = {
    "lenet5": Architecture(lenet5, (1, 28, 28), "LeNet-5, first convolution padded (fc1: 400)"),
    "lenet5-valid": Architecture(
        functools.partial(lenet5, padding="valid"), (1, 28, 28), "LeNet-5, no padding (fc1: 256)"
    ),
    "mlp": Architecture(mlp, (1, 28, 28), "784-500-10 ReLU network"),
    "conv2": Architecture(conv2, (1, 28, 28), "Conv-2: two 3×3 convolutions of 64, linear 256-256-10"),
    "conv4": Architecture(
        functools.partial(conv2, stages=(64, 128)), (1, 28, 28), "Conv-4: Conv-2 and two convolutions of 128"
    ),
    "conv6": Architecture(
        functools.partial(conv2, stages=(64, 128, 256)), (1, 28, 28), "Conv-6: Conv-4 and two convolutions of 256"
    ),
    "resnet20": Architecture(resnet20, (1, 28, 28), "ResNet-20: nine residual blocks of 16, 32, 64 channels"),
    "vgg-small": Architecture(vgg_small, (1, 28, 28), "VGG in small: six 3×3 convolutions of 16, 32, 64 channels"),
    "separable": Architecture(separable, (1, 28, 28), "depthwise-separable: 16, 32, 64 channels"),
    "digits": Architecture(digits_cnn, (1, 8, 8), "the demo's small CNN for 8×8 digits"),
}


def build(arch: str, *, shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """An untrained ``arch`` for square images of ``shape`` (C, H, H) and so many classes.

    Raises:
        InputError: unknown architecture, or images that it does not take.
    """
    check_choice("arch", arch, tuple(ARCHITECTURES))
    if len(shape) != 3 or shape[1] != shape[2]:
        raise InputError(f"images must be square, (C, H, H), for a built-in architecture; got {shape}.")
    make = ARCHITECTURES[arch].build
    if arch == "mlp":
        return make(sizes=(math.prod(shape), 500, classes))
    known = inspect.signature(make).parameters
    wanted = {"in_channels": shape[0], "side": shape[1], "classes": classes}
    return make(**{name: value for name, value in wanted.items() if name in known})


def load_weights(arch: str, path: str | Path) -> nn.Sequential:
    """Build ``arch`` and fill it from a safetensors file; biases are used exactly if the file has them.

    Raises:
        InputError: unknown architecture, or tensors that do not fit it (each is named).
        DataError: no such file, or not a safetensors file.
    """
    check_choice("arch", arch, tuple(ARCHITECTURES))
    path = Path(path)
    if not path.is_file():
        raise DataError(f"weights must be a safetensors file; nothing is at {path}. Check the path.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as cause:
        raise DataError(f"{path} is not a readable safetensors file ({cause}). Re-save or copy it again.") from cause
    takes_bias = "bias" in inspect.signature(ARCHITECTURES[arch].build).parameters
    has_bias = any(name.endswith(".bias") for name in tensors)
    model = ARCHITECTURES[arch].build(**({"bias": has_bias} if takes_bias else {}))
    expected = model.state_dict()
    wrong = [f"{name} is missing (expected {tuple(t.shape)})" for name, t in expected.items() if name not in tensors]
    wrong += [f"{name} is not part of {arch}" for name in tensors if name not in expected]
    wrong += [
        f"{name} must have shape {tuple(expected[name].shape)}, got {tuple(t.shape)}"
        for name, t in tensors.items()
        if name in expected and expected[name].shape != t.shape
    ]
    if wrong:
        more = f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise InputError(f"{path.name} does not fit arch {arch}: {'; '.join(wrong[:4])}{more}. Choose another --arch.")
    model.load_state_dict(tensors)
    return model.eval()


def example_input(arch: str) -> torch.Tensor:
    """Zeros of the shape of one input of ``arch``, with a batch axis of 1."""
    return torch.zeros(1, *ARCHITECTURES[arch].input_shape)
