"""Small networks of every kind that can be a target, and a measure of how far two outputs differ."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

LINEAR_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def shake_norms(model: nn.Module) -> nn.Module:
    """The model, its norms with random statistics and parameters: ignoring them would change the outputs."""
    for module in model.modules():
        if not isinstance(module, LINEAR_LAYERS):
            for name in ("running_mean", "bias"):
                fill_uniform(module, name, -1, 1)
            for name in ("running_var", "weight"):
                fill_uniform(module, name, 0.5, 2)
    return model


def fill_uniform(module: nn.Module, name: str, low: float, high: float) -> None:
    """Draw a parameter or buffer of a module anew; nothing happens if the module has none of that name."""
    tensor = getattr(module, name, None)
    if isinstance(tensor, torch.Tensor):
        with torch.no_grad():
            tensor.uniform_(low, high)


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference of two tensors, divided by the largest expected entry."""
    assert got.shape == expected.shape
    assert expected.abs().max() > 0
    return float(((got - expected).abs().max() / expected.abs().max()).detach())


# (module, input) → output.
Forward = Callable[[Any, torch.Tensor], Any]


def part_of(model: nn.Module, path: str) -> Any:
    """A module, parameter or buffer of a model by its path, without the type: nn.Module does not know the types."""
    found: Any = model
    for name in path.split("."):
        found = getattr(found, name)
    return found


class Own(nn.Module):
    """A module whose forward is a given function of the module and its inputs.

    Args:
        function: (module, input) → output.
        **parts: layers and parameters that the module is to hold.
    """

    def __init__(self, function: Forward, **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


class Residual(nn.Module):
    """A residual block as torchvision writes it: in-place ReLUs, ``+=``, a 1×1 convolution where shapes differ."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.downsample = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out: torch.Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        result: torch.Tensor = self.relu(out)
        return result


class Resnet(nn.Module):
    """ResNet-20 with two channels instead of sixteen, and one block in each stage instead of three."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.layers = nn.Sequential(Residual(2, 2), Residual(2, 3, 2), Residual(3, 4, 2))
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers(functional.relu(self.bn1(self.conv1(x))))
        x = functional.adaptive_avg_pool2d(x, 1)
        out: torch.Tensor = self.fc(x.view(x.size(0), -1))
        return out


class Gate(nn.Module):
    """A network as a user may write it: BatchNorm after a pool, branches, concatenation, a learned scale, a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.left = nn.Conv2d(3, 2, 3, padding=1)
        self.right = nn.Conv2d(3, 4, 1)
        self.mix = nn.Conv2d(6, 3, 3, padding=1, groups=3)
        self.gamma = nn.Parameter(torch.rand(3, 1, 1) + 0.5)
        self.shift: torch.Tensor
        self.register_buffer("shift", torch.randn(3, 1, 1))
        self.head = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(functional.max_pool2d(self.stem(x), 2))
        branches = torch.cat((torch.tanh(self.left(x)), functional.gelu(self.right(x))), dim=1)
        x = x + self.gamma * self.mix(branches) + self.shift
        out: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return out


def vgg() -> nn.Module:
    """A VGG: two stages of convolutions with BatchNorm and ReLU, pooling, two linear layers, Dropout."""
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(True),
                nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(True), nn.MaxPool2d(2),
                nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(True), nn.MaxPool2d(2),
            ),
            flatten=nn.Flatten(),
            classifier=nn.Sequential(nn.Linear(24, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 5)),
        )
    )  # fmt: skip


def separable() -> nn.Module:
    """Depthwise and pointwise convolutions with ReLU6, as in MobileNet."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU6(inplace=True),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(4), nn.ReLU6(inplace=True),
        nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip


# Whole networks for 1×8×8 images, as people write them: name → function that builds one.
NETWORKS: dict[str, Callable[[], nn.Module]] = {"resnet": Resnet, "vgg": vgg, "separable": separable, "own": Gate}

# Single layers and pairs: name → (model, shape of an input without its batch axis).
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv1d": (nn.Conv1d(3, 4, 3, stride=2, dilation=2), (3, 12)),
    "conv1d-same": (nn.Conv1d(2, 3, 4, padding="same", bias=False), (2, 9)),
    "conv2d": (nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (2, 8, 9)),
    "conv3d": (nn.Conv3d(2, 3, (2, 3, 1), stride=(1, 2, 1), padding=(1, 1, 0)), (2, 4, 5, 3)),
    **{
        f"{mode}-{extent}d": (conv(2, 3, 3, padding=1, padding_mode=mode), (2, *[5] * extent))
        for mode in ("zeros", "reflect", "replicate", "circular")
        for extent, conv in ((1, nn.Conv1d), (2, nn.Conv2d), (3, nn.Conv3d))
        if (mode, extent) != ("reflect", 3)
    },
    "reflect-3d": (nn.Conv3d(2, 3, (3, 3, 1), padding=(1, 2, 0), padding_mode="reflect"), (2, 4, 4, 3)),
    "groups": (nn.Conv2d(4, 6, 3, groups=2), (4, 6, 6)),
    "groups-1d": (nn.Conv1d(6, 6, 2, groups=3, stride=2, bias=False), (6, 9)),
    "groups-3d": (nn.Conv3d(4, 2, 2, groups=2), (4, 3, 3, 3)),
    "depthwise": (nn.Conv2d(3, 3, 3, groups=3, padding=1), (3, 5, 5)),
    "multiplier": (nn.Conv2d(3, 6, 3, groups=3, padding=1, bias=False), (3, 5, 5)),
    "linear": (nn.Linear(5, 3), (5,)),
    "linear-sequence": (nn.Linear(5, 3), (7, 5)),
    "linear-deep": (nn.Linear(5, 3, bias=False), (2, 3, 5)),
    "folded-1d": (nn.Sequential(nn.Conv1d(2, 3, 3, bias=False), nn.BatchNorm1d(3)), (2, 8)),
    "folded-2d": (nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4)), (2, 6, 6)),
    "folded-3d": (nn.Sequential(nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3)), (2, 3, 3, 3)),
    "folded-linear": (nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)), (5,)),
    "norm-after-pool": (nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.BatchNorm2d(3)), (2, 6, 6)),
    "pre-activation": (nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(True), nn.Conv2d(2, 3, 3)), (2, 5, 5)),
    "norm-1d": (nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 3)), (5,)),
    "norm-1d-length": (nn.Sequential(nn.BatchNorm1d(2), nn.Conv1d(2, 3, 3)), (2, 6)),
    "norm-3d": (nn.Sequential(nn.BatchNorm3d(2), nn.Conv3d(2, 3, 2)), (2, 3, 3, 3)),
    "norm-norm": (nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)), (2, 3, 3)),
    "norm-alone": (nn.BatchNorm2d(3), (3, 4, 4)),
    "layer-norm": (nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.PReLU(4), nn.Linear(4, 3)), (5,)),
    "group-norm": (nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.Conv2d(4, 2, 1)), (2, 6, 6)),
    "instance-norm": (
        nn.Sequential(nn.Conv1d(2, 4, 3), nn.InstanceNorm1d(4, affine=True, track_running_stats=True)),
        (2, 8),
    ),
}  # fmt: skip

# Operations that a forward writes itself, rather than as layers: name → forward.
FUNCTIONS: dict[str, Forward] = {
    "functional": lambda m, x: functional.leaky_relu(functional.avg_pool2d(m.conv(x), 2), 0.2).flatten(1),
    "inplace": lambda m, x: functional.relu(m.conv(x), inplace=True).sigmoid_(),
    "view": lambda m, x: m.conv(x).view(x.size(0), -1),
    "shape": lambda m, x: m.conv(x).reshape(x.shape[0], 3, -1).permute(0, 2, 1),
    "mean": lambda m, x: m.conv(x).mean((2, 3), keepdim=True),
    "slices": lambda m, x: m.conv(x[:, :, 1:, ::2])[:, 1:, ...],
    "chunk": lambda m, x: torch.cat(m.conv(x).split([1, 2], dim=1)[::-1], 1),
    "gate": lambda m, x: (lambda y: y[:, :1] * torch.sigmoid(y[:, 1:]))(m.conv(x)),
    "arithmetic": lambda m, x: 2 - m.conv(x) / 3 + 0.5 * x.sum(1, keepdim=True) ** 2,
    "augmented": lambda m, x: augmented(m.conv(x), m.conv(x)),
    "clamp": lambda m, x: m.conv(x).clamp(min=-0.1, max=0.3),
    "tensor": lambda m, x: m.conv(x) * torch.tensor([1.0, -2.0, 3.0]).view(3, 1, 1),
    "weight": lambda m, x: m.conv(x) + m.conv.weight.mean(),
    "pad": lambda m, x: m.conv(functional.pad(x, (1, 0, 2, 1), value=0.5)),
    "interpolate": lambda m, x: functional.interpolate(m.conv(x), scale_factor=2, mode="bilinear"),
    "stack": lambda m, x: torch.stack([m.conv(x), m.conv(-x)]).amax(0),
    "channels-last": lambda m, x: m.conv(x.contiguous(memory_format=torch.channels_last)),
}


def augmented(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Every augmented assignment on a value that nothing else reads."""
    x += y
    x *= 0.5
    x -= 1
    x /= 3
    return x
