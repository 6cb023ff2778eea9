"""Models: the built-in architectures by name, untrained or with weights from a safetensors file."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from slth.errors import DataError, InputError, check_choice
from slth.networks.architectures import (
    LENET5_PADDINGS,
    conv2,
    digits_cnn,
    lenet5,
    mlp,
    resnet20,
    separable,
    vgg_small,
)

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "build",
    "conv2",
    "digits_cnn",
    "example_input",
    "lenet5",
    "load_weights",
    "mlp",
    "resnet20",
    "separable",
    "vgg_small",
]


@dataclass(frozen=True)
class Architecture:
    """A built-in architecture, as the command line offers it.

    Attributes:
        build: returns an untrained network; its arguments have defaults.
        input_shape: shape of one input, without a batch axis.
        summary: one line for the command line.
    """

    build: Callable[..., nn.Sequential]
    input_shape: tuple[int, ...]
    summary: str


ARCHITECTURES: dict[str, Architecture] = {
    "lenet5": Architecture(
        lenet5, (1, 28, 28), "LeNet-5, first convolution padded (fc1: 400); with weights, padded as fc1 says"
    ),
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
    """Build an untrained network for given images and classes.

    Args:
        arch: name of a built-in architecture.
        shape: shape of one image: (C, H, H).
        classes: number of outputs.

    Raises:
        InputError: the architecture is unknown, or does not take such images.
    """
    check_choice("arch", arch, tuple(ARCHITECTURES))
    if len(shape) != 3 or shape[1] != shape[2]:
        raise InputError(f"images must be square, (C, H, H), for a built-in architecture; got {shape}.")
    make = ARCHITECTURES[arch].build
    if arch == "mlp":
        return make(sizes=(math.prod(shape), 500, classes))
    known = inspect.signature(make).parameters
    options = {"in_channels": shape[0], "side": shape[1], "classes": classes}
    return make(**{name: value for name, value in options.items() if name in known})


def load_weights(arch: str, path: str | Path) -> nn.Sequential:
    """Build a network and load its weights from a safetensors file.

    A layer has a bias if the file has one for it. The padding of ``lenet5`` is the one that gives fc1 its inputs.

    Args:
        arch: name of a built-in architecture.
        path: the safetensors file.

    Returns:
        The network in evaluation mode.

    Raises:
        InputError: the architecture is unknown, or tensors do not fit it. The message names them; its note holds the
            lines of Python that load another network.
        DataError: the file is not there, or is not a safetensors file.
    """
    check_choice("arch", arch, tuple(ARCHITECTURES))
    path = Path(path)
    if not path.is_file():
        raise DataError(f"weights must be a safetensors file; nothing is at {path}. Check the path.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as cause:
        raise DataError(f"{path} is not a readable safetensors file ({cause}). Re-save or copy it again.") from cause
    model = ARCHITECTURES[arch].build(**_inferred_padding(arch, tensors))
    _set_biases(model, tensors)
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
        refusal = InputError(
            f"{path.name} does not fit arch {arch}: {'; '.join(wrong[:4])}{more}. Choose another --arch, or load it "
            "with --model mymodel.py:trained and a file mymodel.py of five lines:"
        )
        refusal.add_note(_loading_lines(arch, path))
        raise refusal
    model.load_state_dict(tensors)
    return model.eval()


def _inferred_padding(arch: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """The padding of LeNet-5 that gives fc1 as many inputs as the file says; the default where none does."""
    weight = tensors.get("fc1.weight")
    if arch != "lenet5" or weight is None or weight.ndim != 2:
        return {}
    inputs = {len(lenet5(padding=padding).get_parameter("fc1.weight")[0]): padding for padding in LENET5_PADDINGS}
    return {"padding": inputs[weight.shape[1]]} if weight.shape[1] in inputs else {}


def _set_biases(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give every convolution and linear layer a bias if the file has one for it, and take it away if not."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            has_bias = f"{name}.bias" in tensors
            module.bias = nn.Parameter(torch.zeros(len(module.weight))) if has_bias else None


def _loading_lines(arch: str, path: Path) -> str:
    """Five lines of Python that load a network of one's own; the first names its class."""
    shape = ", ".join(map(str, (1, *ARCHITECTURES[arch].input_shape)))
    return "\n".join(
        (
            "import torch, safetensors.torch, mynet  # mynet.py holds the class Net of the network that you trained",
            "def trained():",
            "    model = mynet.Net()",
            f"    model.load_state_dict(safetensors.torch.load_file({str(path.resolve())!r}))",
            f"    return model.eval(), torch.zeros({shape})  # an input of its shape",
        )
    )


def example_input(arch: str) -> torch.Tensor:
    """An input of zeros for a built-in architecture, with a batch axis of 1."""
    return torch.zeros(1, *ARCHITECTURES[arch].input_shape)
