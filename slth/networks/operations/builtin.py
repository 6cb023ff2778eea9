"""The table of the built-in operations: one row for each operation, with all its forms."""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from slth.networks.operations import functions
from slth.networks.operations.by_options import (
    average_lipschitz,
    clamp_keeps_zero,
    clamp_signs,
    conversion_signs,
    interpolation_lipschitz,
    interpolation_relaxation,
    interpolation_signs,
    leaky_relu_lipschitz,
    pad_relaxation,
    pad_signs,
    pads_zero,
)
from slth.networks.operations.operation import (
    Addition,
    Average,
    Clamp,
    Identity,
    LeakyRelu,
    MaxPool,
    ModuleForm,
    Monotone,
    Negation,
    Operation,
    Rearrangement,
    Relu,
    Scaling,
    SignFunction,
    SizeOnly,
)

_SOURCES = {
    "operator": operator,
    "builtins": builtins,
    "math": math,
    "torch": torch,
    "linalg": torch.linalg,
    "functional": functional,
    "slth": functions,
}

_POOL = ("kernel_size", "stride", "padding")
_MAX = (*_POOL, "dilation", "ceil_mode")
_AVERAGE = (*_POOL, "ceil_mode", "count_include_pad")
_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
_NORM = ("num_features", "eps", "affine", "track_running_stats")
_STATISTICS = ("weight", "bias", "running_mean", "running_var")
_AFFINE = ("weight", "bias")

# Properties that several rows share.
_CONTRACTS: dict[str, Any] = {"lipschitz": 1.0, "keeps_zero": True}
_EXACT: dict[str, Any] = {"relaxation": Rearrangement(), **_CONTRACTS}
_VIEW: dict[str, Any] = {**_EXACT, "shares_memory": True}
_PADS: dict[str, Any] = {"relaxation": Rearrangement(pads=True), **_CONTRACTS}
_CLAMP: dict[str, Any] = {"lipschitz": 1.0, "keeps_zero": clamp_keeps_zero}
_IDLE: dict[str, Any] = {"relaxation": Identity(), "shares_memory": True, **_CONTRACTS}


def _op(
    name: str, signs: str | SignFunction, *modules: ModuleForm, functions: str = "", methods: str = "", **rest: Any
) -> Operation:
    """A row of the table; functions (by their names in files) and methods are listed with spaces between them."""
    found = {}
    for path in functions.split():
        source, _, attribute = path.partition(".")
        if hasattr(_SOURCES[source], attribute):  # An older torch may lack it.
            found[path] = getattr(_SOURCES[source], attribute)
    return Operation(name=name, signs=signs, modules=modules, functions=found, methods=tuple(methods.split()), **rest)


def _form(module: type[nn.Module], *options: str, tensors: tuple[str, ...] = ()) -> ModuleForm:
    return ModuleForm(module, options, tensors)


def _function_and_method(names: str, signs: str = "keep", **rest: Any) -> tuple[Operation, ...]:
    """Operations that torch has both as a function and as a method, under one name."""
    return tuple(_op(name, signs, functions=f"torch.{name}", methods=name, **rest) for name in names.split())


def _max_pool(axes: int, pool: type[nn.Module], adaptive: type[nn.Module]) -> tuple[Operation, ...]:
    name, adaptive_name = f"max_pool{axes}d", f"adaptive_max_pool{axes}d"
    return (
        _op(name, "keep", _form(pool, *_MAX), functions=f"functional.{name}", relaxation=MaxPool(axes), **_CONTRACTS),
        _op(adaptive_name, "keep", _form(adaptive, "output_size"), functions=f"functional.{adaptive_name}",
            relaxation=MaxPool(axes, adaptive=True), **_CONTRACTS),
    )  # fmt: skip


def _average_pool(axes: int, pool: type[nn.Module], adaptive: type[nn.Module]) -> tuple[Operation, ...]:
    name, adaptive_name = f"avg_pool{axes}d", f"adaptive_avg_pool{axes}d"
    options = _AVERAGE if axes == 1 else (*_AVERAGE, "divisor_override")
    # torch.adaptive_avg_pool1d and functional's are one function, which files call by its first name.
    sources = ("torch", "functional") if axes == 1 else ("functional",)
    return (
        _op(name, "keep", _form(pool, *options), functions=f"functional.{name}", relaxation=Average(),
            lipschitz=average_lipschitz, keeps_zero=True),
        _op(adaptive_name, "keep", _form(adaptive, "output_size"),
            functions=" ".join(f"{source}.{adaptive_name}" for source in sources),
            relaxation=Average(), **_CONTRACTS),
    )  # fmt: skip


def _padding(*pads: type[nn.Module]) -> tuple[Operation, ...]:
    """Padding with zeros or with entries of the input, which keeps their signs."""
    return tuple(_op(pad.__name__.lower(), "keep", _form(pad, "padding"), **_PADS) for pad in pads)


def _dropout(name: str, module: type[nn.Module], functions: str) -> Operation:
    return _op(name, "keep", _form(module, "p"), functions=functions, **_IDLE)


# The first class that matches a module counts, so a class stands before one whose forward it inherits: ReLU6 before
# Hardtanh.
ACTIVATIONS = (
    _op("relu", "plus", _form(nn.ReLU), functions="torch.relu functional.relu", methods="relu", relaxation=Relu(),
        **_CONTRACTS),
    _op("relu6", "plus", _form(nn.ReLU6), functions="functional.relu6", relaxation=Clamp(0.0, 6.0), **_CONTRACTS),
    _op("sigmoid", "plus", _form(nn.Sigmoid), functions="torch.sigmoid functional.sigmoid", methods="sigmoid",
        relaxation=Monotone((0.0, 0.25)), lipschitz=0.25),
    _op("hardsigmoid", "plus", _form(nn.Hardsigmoid), functions="functional.hardsigmoid", lipschitz=1 / 6),
    _op("softplus", "plus", _form(nn.Softplus, "beta", "threshold"), functions="functional.softplus"),
    # The next ones keep the sign of each number.
    _op("elu", "keep", _form(nn.ELU, "alpha"), functions="functional.elu"),
    _op("selu", "keep", _form(nn.SELU), functions="torch.selu functional.selu", relaxation=Monotone((0.0, 1.7581)),
        lipschitz=1.7581, keeps_zero=True),
    _op("celu", "keep", _form(nn.CELU, "alpha"), functions="torch.celu functional.celu"),
    _op("gelu", "keep", _form(nn.GELU, "approximate"), functions="functional.gelu"),
    _op("silu", "keep", _form(nn.SiLU), functions="functional.silu"),
    _op("mish", "keep", _form(nn.Mish), functions="functional.mish"),
    _op("tanh", "keep", _form(nn.Tanh), functions="torch.tanh functional.tanh", methods="tanh",
        relaxation=Monotone((0.0, 1.0)), **_CONTRACTS),
    _op("softsign", "keep", _form(nn.Softsign), functions="functional.softsign", relaxation=Monotone((0.0, 1.0)),
        **_CONTRACTS),
    _op("hardswish", "keep", _form(nn.Hardswish), functions="functional.hardswish"),
    _op("tanhshrink", "keep", _form(nn.Tanhshrink), functions="functional.tanhshrink", **_CONTRACTS),
    _op("hardshrink", "keep", _form(nn.Hardshrink, "lambd"), functions="functional.hardshrink"),
    _op("softshrink", "keep", _form(nn.Softshrink, "lambd"), functions="functional.softshrink"),
    _op("leaky_relu", "any", _form(nn.LeakyReLU, "negative_slope"), functions="functional.leaky_relu",
        relaxation=LeakyRelu(), lipschitz=leaky_relu_lipschitz, keeps_zero=True),
    _op("hardtanh", clamp_signs, _form(nn.Hardtanh, "min_val", "max_val"), functions="functional.hardtanh",
        relaxation=Clamp(-1.0, 1.0, ("min_val", "max_val")), **_CLAMP),
    _op("threshold", "any", _form(nn.Threshold, "threshold", "value"), functions="functional.threshold"),
    _op("logsigmoid", "any", _form(nn.LogSigmoid), functions="functional.logsigmoid",
        relaxation=Monotone((0.0, 1.0)), lipschitz=1.0),
    _op("prelu", "any", _form(nn.PReLU, "num_parameters", tensors=("weight",)), functions="torch.prelu"),
    _op("glu", "any", functions="functional.glu"),
    _op("erf", "keep", functions="torch.erf", relaxation=Monotone((0.0, 1.1284)), lipschitz=1.1284, keeps_zero=True),
)  # fmt: skip

NORMALISATIONS = (
    _op("softmax", "plus", _form(nn.Softmax, "dim"), functions="torch.softmax functional.softmax", methods="softmax"),
    _op("log_softmax", "any", _form(nn.LogSoftmax, "dim"), functions="torch.log_softmax functional.log_softmax",
        methods="log_softmax"),
    _op("layer_norm", "any", _form(nn.LayerNorm, "normalized_shape", "eps", "elementwise_affine", tensors=_AFFINE),
        functions="torch.layer_norm"),
    _op("group_norm", "any", _form(nn.GroupNorm, "num_groups", "num_channels", "eps", "affine", tensors=_AFFINE),
        functions="torch.group_norm"),
    _op("instance_norm", "any", functions="torch.instance_norm"),
    *(_op(path.split(".")[1], "any", functions=path) for path in ("torch.batch_norm", "functional.rms_norm")),
    _op("vector_norm", "plus", functions="linalg.vector_norm"),
    *(_op(f"instance_norm{axes}d", "any", _form(norm, *_NORM, tensors=_STATISTICS))
      for axes, norm in enumerate((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), start=1)),
    _op("local_response_norm", "keep", _form(nn.LocalResponseNorm, "size", "alpha", "beta", "k"),
        functions="functional.local_response_norm"),
    _op("normalize", "keep", functions="functional.normalize"),
)  # fmt: skip

POOLING = (
    *_max_pool(1, nn.MaxPool1d, nn.AdaptiveMaxPool1d),
    *_max_pool(2, nn.MaxPool2d, nn.AdaptiveMaxPool2d),
    *_max_pool(3, nn.MaxPool3d, nn.AdaptiveMaxPool3d),
    *_average_pool(1, nn.AvgPool1d, nn.AdaptiveAvgPool1d),
    *_average_pool(2, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
    *_average_pool(3, nn.AvgPool3d, nn.AdaptiveAvgPool3d),
    *_function_and_method("mean sum", relaxation=Average()),
    *_function_and_method("amax amin maximum minimum"),
)

PADDING = (
    *_padding(nn.ZeroPad1d, nn.ReflectionPad1d, nn.ReplicationPad1d, nn.CircularPad1d),
    *_padding(nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d),
    *_padding(nn.ZeroPad3d, nn.ReflectionPad3d, nn.ReplicationPad3d, nn.CircularPad3d),
    *(_op(pad.__name__.lower(), "any", _form(pad, "padding", "value"), relaxation=pad_relaxation)
      for pad in (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)),
    _op("pad", pad_signs, functions="functional.pad", relaxation=pad_relaxation, lipschitz=1.0, keeps_zero=pads_zero),
)  # fmt: skip

SHAPES = (
    _op("flatten", "keep", _form(nn.Flatten, "start_dim", "end_dim"), functions="torch.flatten", methods="flatten",
        **_VIEW),
    _op("unflatten", "keep", _form(nn.Unflatten, "dim", "unflattened_size"), functions="torch.unflatten",
        methods="unflatten", **_VIEW),
    *_function_and_method("reshape permute transpose squeeze unsqueeze", **_VIEW),
    *_function_and_method("chunk split unbind select narrow movedim swapaxes", **_VIEW),
    *(_op(name, "keep", methods=name, **_VIEW)
      for name in ("view", "view_as", "t", "expand", "expand_as", "contiguous", "detach")),
    _op("getitem", "keep", functions="operator.getitem", **_VIEW),
    *_function_and_method("flip roll clone", **_EXACT),
    *(_op(name, "keep", functions=f"torch.{name}", **_EXACT) for name in ("stack", "tile", "conj")),
    _op("cat", "keep", functions="torch.cat torch.concat torch.concatenate", **_EXACT),
    _op("repeat", "keep", methods="repeat", **_EXACT),
    *_function_and_method("gather index_select masked_select"),
    *(_op(name, "keep", functions=f"torch.{name}") for name in ("select_scatter", "slice_scatter", "index_put")),
    *(_op(name, "keep", functions=f"functional.{name}") for name in ("unfold", "fold")),
    *(_op(name, "keep", functions=f"torch.{name}") for name in ("tril", "triu")),
    _op("masked_fill", "any", functions="torch.masked_fill", methods="masked_fill"),
    *(_op(name, "any", functions=f"torch.{name}") for name in ("meshgrid", "where", "fill", "full_like")),
    *(_op(name, "any", functions=f"slth.{name}", relaxation=SizeOnly()) for name in ("arange", "full")),
    *(_op(name, "plus", functions=f"torch.{name}") for name in ("zeros_like", "ones_like")),
    _op("one_hot", "plus", functions="slth.one_hot"),
    _op("pixel_shuffle", "keep", _form(nn.PixelShuffle, "upscale_factor"),
        functions="torch.pixel_shuffle functional.pixel_shuffle", **_EXACT),
    _op("pixel_unshuffle", "keep", _form(nn.PixelUnshuffle, "downscale_factor"),
        functions="torch.pixel_unshuffle functional.pixel_unshuffle", **_EXACT),
    _op("channel_shuffle", "keep", _form(nn.ChannelShuffle, "groups"), functions="torch.channel_shuffle", **_EXACT),
    _op("upsampling_nearest2d", "keep", _form(nn.UpsamplingNearest2d, "size", "scale_factor"), **_EXACT),
    _op("interpolate", interpolation_signs, _form(nn.Upsample, "size", "scale_factor", "mode", "align_corners"),
        functions="functional.interpolate", relaxation=interpolation_relaxation, lipschitz=interpolation_lipschitz,
        keeps_zero=True),
    *(_op(name, "plus", methods=name, relaxation=SizeOnly()) for name in ("size", "dim", "numel")),
    _op("getattr", "any", functions="builtins.getattr", relaxation=SizeOnly()),
)  # fmt: skip

IDLE = (
    _op("identity", "keep", _form(nn.Identity), **_VIEW),
    _op("float", "keep", methods="float", **_IDLE),
    _op("to", conversion_signs, methods="to"),
    _dropout("dropout", nn.Dropout, "torch.dropout functional.dropout"),
    _dropout("dropout1d", nn.Dropout1d, "functional.dropout1d"),
    _dropout("dropout2d", nn.Dropout2d, "functional.dropout2d"),
    _dropout("dropout3d", nn.Dropout3d, "functional.dropout3d"),
    _dropout("alpha_dropout", nn.AlphaDropout, "functional.alpha_dropout"),
    _dropout("feature_alpha_dropout", nn.FeatureAlphaDropout, "functional.feature_alpha_dropout"),
)

ARITHMETIC = (
    _op("add", "keep", functions="operator.add torch.add", methods="add", operands=True, relaxation=Addition()),
    _op("sub", "any", functions="operator.sub torch.sub torch.subtract", methods="sub", relaxation=Addition(-1)),
    _op("mul", "product", functions="operator.mul torch.mul torch.multiply", methods="mul multiply", operands=True,
        relaxation=Scaling()),
    _op("div", "product", functions="operator.truediv torch.div torch.divide torch.true_divide", methods="div divide",
        operands=True, relaxation=Scaling(divides=True)),
    _op("neg", "flip", functions="operator.neg torch.neg torch.negative", methods="neg negative",
        relaxation=Negation(), **_CONTRACTS),
    _op("pos", "keep", functions="operator.pos", **_EXACT),
    *(_op(name, "any", functions=f"operator.{name}") for name in ("floordiv", "mod")),
    _op("pow", "any", functions="operator.pow torch.pow", methods="pow"),
    _op("clamp", clamp_signs, functions="torch.clamp torch.clip", methods="clamp clip",
        relaxation=Clamp(options=("min", "max")), **_CLAMP),
    _op("clamp_min", clamp_signs, functions="torch.clamp_min", relaxation=Clamp(options=("min",)), **_CLAMP),
    _op("clamp_max", "any", functions="torch.clamp_max", relaxation=Clamp(options=("max",)), **_CLAMP),
    *_function_and_method("abs exp square sqrt", "plus"),
    *_function_and_method("log rsqrt prod", "any"),
    *(_op(name, "any", functions=f"torch.{name}") for name in ("sin", "cos", "tan", "atan", "expm1", "log1p")),
    *(_op(name, "keep", functions=f"torch.{name}") for name in ("floor", "ceil", "round", "trunc", "sign", "cumsum")),
    *(_op(name, "plus", functions=f"torch.{name}") for name in ("std", "var", "argmax", "argmin", "isnan", "isinf")),
    *(_op(name, "any", functions=f"torch.{name}") for name in ("max", "min", "topk", "sort", "logsumexp", "var_mean")),
    *(_op(name, "plus", functions=f"operator.{name} torch.{name}") for name in ("eq", "ne", "lt", "le", "gt", "ge")),
    *(_op(name, "plus", functions=f"torch.{name}") for name in (
        "logical_and", "logical_or", "logical_not", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_not", "any",
        "all")),
    *(_op(name, "product", functions=f"torch.{name}")
      for name in ("matmul", "bmm", "mm", "einsum", "outer", "mv", "dot")),
    *(_op(name, "any", functions=f"torch.{name}") for name in ("baddbmm", "addmm", "addcmul", "lerp")),
    _op("attention", "any", functions="functional.scaled_dot_product_attention"),
    # Arithmetic of sizes.
    *(_op(f"integer_{name}", "any", functions=f"math.{name}") for name in ("floor", "ceil", "trunc")),
    *(_op(name, "any", functions=f"torch.{name}")
      for name in ("sym_max", "sym_min", "sym_int", "sym_float", "sym_not", "sym_ite", "sym_sum")),
)  # fmt: skip

# Linear maps that were left out of the search. Certificates need no relaxation for the convolutions and linear layers:
# they treat them as linear maps.
LINEAR_MAPS = (
    *(_op(f"conv{axes}d", "any", _form(conv, *_CONV, tensors=_AFFINE), functions=f"torch.conv{axes}d")
      for axes, conv in enumerate((nn.Conv1d, nn.Conv2d, nn.Conv3d), start=1)),
    *(_op(f"conv_transpose{axes}d", "any", _form(conv, *_CONV, "output_padding", tensors=_AFFINE),
          functions=f"torch.conv_transpose{axes}d")
      for axes, conv in enumerate((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), start=1)),
    _op("linear", "any", _form(nn.Linear, "in_features", "out_features", tensors=_AFFINE),
        functions="functional.linear"),
    *(_op(f"batch_norm{axes}d", "any", _form(norm, *_NORM, tensors=_STATISTICS))
      for axes, norm in enumerate((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), start=1)),
)  # fmt: skip

BUILTIN = (*ACTIVATIONS, *NORMALISATIONS, *POOLING, *PADDING, *SHAPES, *IDLE, *ARITHMETIC, *LINEAR_MAPS)
