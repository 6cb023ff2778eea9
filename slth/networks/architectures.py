"""Architectures of targets: functions that build an untrained ``nn.Sequential`` with named layers."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from slth.errors import InputError, check_choice, check_int

LENET5_PADDINGS = ("same", "valid", "both")


def lenet5(
    *, padding: str = "same", bias: bool = True, side: int = 28, in_channels: int = 1, classes: int = 10
) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max-pooling.

    Args:
        padding: ``same`` pads the first convolution by 2, and fc1 has 400 inputs (for 28×28 images); ``valid`` pads
            nothing, and fc1 has 256; ``both`` pads both convolutions by 2, and fc1 has 784.
        bias: whether every layer has a bias.
        side: height and width of an input image, at least 4 with both padded, 12 with one, 16 with none.
        in_channels: channels of an input image.
        classes: number of outputs.
    """
    check_choice("padding", padding, LENET5_PADDINGS)
    first, second = 0 if padding == "valid" else 2, 2 if padding == "both" else 0
    check_int("side", side, {"both": 4, "same": 12, "valid": 16}[padding], hint="LeNet-5 pools twice.")
    remaining = ((side - 4 + 2 * first) // 2 - 4 + 2 * second) // 2
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 6, 5, padding=first, bias=bias),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5, padding=second, bias=bias),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * remaining**2, 120, bias=bias),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84, bias=bias),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, classes, bias=bias),
        )
    )


def mlp(*, sizes: tuple[int, ...] = (784, 500, 10), bias: bool = True) -> nn.Sequential:
    """A fully connected ReLU network on flattened inputs, with layers ``fc1``, ``fc2`` and so on.

    Args:
        sizes: number of inputs, widths of the hidden layers, number of outputs.
        bias: whether every layer has a bias.
    """
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
    """Conv-2 (frankle2019), and Conv-4 or Conv-6 with two or three stages.

    A stage is two 3×3 convolutions with same padding and a 2×2 max-pool. Two hidden linear layers and an output layer
    follow the last stage.

    Args:
        stages: channels of the convolutions in each stage.
        side: height and width of an input image.
        hidden: width of the two hidden linear layers.
        in_channels: channels of an input image.
        bias: whether every layer has a bias.
        classes: number of outputs.
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
    """A residual block: two 3×3 convolutions with BatchNorm, added to a shortcut.

    The shortcut is the identity where the shapes agree, and a strided 1×1 convolution with BatchNorm otherwise.

    Args:
        c_in: input channels.
        c_out: output channels.
        stride: stride of the first convolution and of the shortcut.
    """

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
        """Apply the block to images (N, c_in, H, W)."""
        hidden = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x))


def resnet20(*, in_channels: int = 1, classes: int = 10) -> nn.Sequential:
    """ResNet-20 (he2016): three stages of three residual blocks with 16, 32 and 64 channels, global average pooling.

    Args:
        in_channels: channels of an input image.
        classes: number of outputs.
    """
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
    """A small network in the form of VGG (simonyan2014): stages of convolutions, then one linear layer.

    A stage is two 3×3 convolutions with BatchNorm and ReLU, and a 2×2 max-pool.

    Args:
        channels: channels of the convolutions in each stage.
        side: height and width of an input image.
        in_channels: channels of an input image.
        classes: number of outputs.
    """
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
    """A depthwise-separable network (howard2017): a strided convolution, then pairs of depthwise and 1×1 convolutions.

    Args:
        channels: output channels of the first convolution and of each pair.
        in_channels: channels of an input image.
        classes: number of outputs.
    """
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
    """The demo's target: a small CNN for scikit-learn's 1×8×8 digits, with biases and one BatchNorm.

    Args:
        side: height and width of an input image.
        in_channels: channels of an input image.
        classes: number of outputs.
    """
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
