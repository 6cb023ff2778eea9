"""What may stay in a network between its linear maps: modules, functions and methods, and what each does to signs.

A ticket's file names these and nothing else, so that opening one never runs foreign code. The effect of an operation
says what is known of its output's sign from its inputs':

* ``keep``: as the inputs' (of several, of all of them together); ``plus``: never negative; ``any``: nothing is known;
* ``flip``: the inputs' sign turned round; ``product``: the sign rule of a product.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Kept:
    """A kind of module that stays: the constructor arguments that say all there is about it, and its effect.

    ``tensors`` are parameters and buffers that stay as they were trained (they are not part of the ticket).
    """

    module: type[nn.Module]
    options: tuple[str, ...] = ()
    effect: str = "keep"
    tensors: tuple[str, ...] = ()


_POOL = ("kernel_size", "stride", "padding")
_MAX = (*_POOL, "dilation", "ceil_mode")
_AVERAGE = (*_POOL, "ceil_mode", "count_include_pad")
_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
_NORM = ("num_features", "eps", "affine", "track_running_stats")
_STATISTICS = ("weight", "bias", "running_mean", "running_var")

_KINDS = (
    # Activations, entry by entry. GELU, SiLU and their like take negative numbers to negative ones and vice versa.
    Kept(nn.ReLU, (), "plus"), Kept(nn.ReLU6, (), "plus"), Kept(nn.Sigmoid, (), "plus"),
    Kept(nn.Hardsigmoid, (), "plus"), Kept(nn.Softplus, ("beta", "threshold"), "plus"),
    Kept(nn.ELU, ("alpha",)), Kept(nn.SELU), Kept(nn.CELU, ("alpha",)), Kept(nn.GELU, ("approximate",)),
    Kept(nn.SiLU), Kept(nn.Mish), Kept(nn.Tanh), Kept(nn.Softsign), Kept(nn.Hardswish), Kept(nn.Tanhshrink),
    Kept(nn.Hardshrink, ("lambd",)), Kept(nn.Softshrink, ("lambd",)), Kept(nn.LeakyReLU, ("negative_slope",), "any"),
    Kept(nn.Hardtanh, ("min_val", "max_val"), "any"), Kept(nn.Threshold, ("threshold", "value"), "any"),
    Kept(nn.LogSigmoid, (), "any"), Kept(nn.PReLU, ("num_parameters",), "any", ("weight",)),
    # Over an axis.
    Kept(nn.Softmax, ("dim",), "plus"), Kept(nn.LogSoftmax, ("dim",), "any"),
    Kept(nn.LayerNorm, ("normalized_shape", "eps", "elementwise_affine"), "any", ("weight", "bias")),
    Kept(nn.GroupNorm, ("num_groups", "num_channels", "eps", "affine"), "any", ("weight", "bias")),
    *(Kept(norm, _NORM, "any", _STATISTICS) for norm in (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)),
    Kept(nn.LocalResponseNorm, ("size", "alpha", "beta", "k")),
    # Pooling, padding, shapes, and what does nothing in evaluation mode.
    *(Kept(pool, _MAX) for pool in (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)),
    Kept(nn.AvgPool1d, _AVERAGE),
    *(Kept(pool, (*_AVERAGE, "divisor_override")) for pool in (nn.AvgPool2d, nn.AvgPool3d)),
    *(Kept(pool, ("output_size",)) for pool in (
        nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
        nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)),
    *(Kept(pad, ("padding",)) for pad in (
        nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d,
        nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d,
        nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d)),
    *(Kept(pad, ("padding", "value"), "any") for pad in (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)),
    Kept(nn.Flatten, ("start_dim", "end_dim")), Kept(nn.Unflatten, ("dim", "unflattened_size")),
    Kept(nn.PixelShuffle, ("upscale_factor",)), Kept(nn.PixelUnshuffle, ("downscale_factor",)),
    Kept(nn.ChannelShuffle, ("groups",)), Kept(nn.Identity), Kept(nn.UpsamplingNearest2d, ("size", "scale_factor")),
    Kept(nn.Upsample, ("size", "scale_factor", "mode", "align_corners"), "any"),
    *(Kept(drop, ("p",)) for drop in (
        nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)),
    # Linear maps that were left out of the search.
    *(Kept(conv, _CONV, "any", ("weight", "bias")) for conv in (nn.Conv1d, nn.Conv2d, nn.Conv3d)),
    Kept(nn.Linear, ("in_features", "out_features"), "any", ("weight", "bias")),
    *(Kept(norm, _NORM, "any", _STATISTICS) for norm in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)),
)  # fmt: skip
KEPT_MODULES: dict[type[nn.Module], Kept] = {kind.module: kind for kind in _KINDS}
KEPT_BY_NAME: dict[str, Kept] = {kind.module.__name__: kind for kind in _KINDS}


@dataclass(frozen=True)
class Function:
    """A function that stays, under the name it has in a file."""

    call: Callable[..., Any]
    effect: str


def _table(effects: dict[str, tuple[str, ...]], *sources: tuple[str, Any]) -> dict[str, Function]:
    return {
        f"{prefix}.{name}": Function(getattr(source, name), effect)
        for prefix, source in sources
        for effect, names in effects.items()
        for name in names
        if hasattr(source, name)
    }


FUNCTIONS: dict[str, Function] = {
    **_table(
        {
            "keep": ("add", "getitem", "pos"),
            "product": ("mul", "truediv"),
            "flip": ("neg",),
            "any": ("sub", "pow", "floordiv", "mod"),
        },
        ("operator", operator),
    ),
    "builtins.getattr": Function(getattr, "any"),
    **_table(
        {
            "keep": (
                "add", "cat", "concat", "concatenate", "stack", "flatten", "unflatten", "reshape", "permute",
                "transpose", "squeeze", "unsqueeze", "chunk", "split", "mean", "sum", "amax", "amin", "maximum",
                "minimum", "tanh", "flip", "roll", "movedim", "swapaxes", "adaptive_avg_pool1d", "selu", "celu",
                "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "select", "narrow", "tile", "unbind",
                "clone", "dropout", "conj",
            ),
            "plus": ("relu", "sigmoid", "abs", "exp", "square", "softmax", "sqrt"),
            "product": ("mul", "multiply", "div", "divide", "true_divide"),
            "flip": ("neg", "negative"),
            "any": ("sub", "subtract", "clamp", "clip", "pow", "log_softmax", "log", "sin", "cos", "rsqrt"),
        },
        ("torch", torch),
    ),
    **_table(
        {
            "keep": (
                "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
                "adaptive_avg_pool1d",
                "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
                "adaptive_max_pool3d", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
                "feature_alpha_dropout", "gelu", "silu", "elu", "selu", "celu", "mish", "hardswish", "softsign", "tanh",
                "tanhshrink", "hardshrink", "softshrink", "pixel_shuffle", "pixel_unshuffle", "local_response_norm",
                "normalize",
            ),
            "plus": ("relu", "relu6", "sigmoid", "hardsigmoid", "softplus", "softmax"),
            "any": ("leaky_relu", "hardtanh", "threshold", "logsigmoid", "log_softmax", "pad", "interpolate"),
        },
        ("functional", functional),
    ),
}  # fmt: skip
# torch gives one object several names; the first one listed is the one that is written.
FUNCTION_NAMES: dict[Any, str] = {function.call: name for name, function in reversed(FUNCTIONS.items())}

METHODS: dict[str, str] = {
    **dict.fromkeys(
        (
            "view", "reshape", "flatten", "unflatten", "permute", "transpose", "contiguous", "squeeze", "unsqueeze",
            "mean", "sum", "amax", "amin", "add", "chunk", "split", "expand", "expand_as", "view_as", "tanh", "t",
            "repeat", "clone", "detach", "float", "select", "narrow", "unbind", "movedim", "swapaxes", "maximum",
            "minimum", "flip", "roll",
        ),
        "keep",
    ),
    **dict.fromkeys(("relu", "sigmoid", "abs", "exp", "square", "softmax", "sqrt", "size", "dim", "numel"), "plus"),
    **dict.fromkeys(("mul", "div", "multiply", "divide"), "product"),
    **dict.fromkeys(("neg", "negative"), "flip"),
    **dict.fromkeys(("sub", "clamp", "clip", "pow", "log_softmax", "log", "rsqrt"), "any"),
}  # fmt: skip
# Attributes of a tensor that may be read.
ATTRIBUTES = ("shape", "ndim")
