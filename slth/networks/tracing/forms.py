"""Forms: how each ATen operation is written as a step.

Most operations have the name and the arguments of a function of torch. The tables below hold the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from slth.networks.operations import REGISTRY

# Arguments that say where a tensor lies and how, and not what it holds.
_PLACES = ("device", "layout", "pin_memory", "memory_format", "non_blocking", "copy", "implicit", "half_to_float",
           "cudnn_enable", "generate_vmap_rule")  # fmt: skip
# Arguments that stay positional; the others get their names.
_POSITIONAL = ("self", "input", "other", "tensors", "exponent", "query", "key", "mat1", "mat2", "batch1", "batch2",
               "vec", "vec2", "mask", "condition", "x1", "x2", "path", "tensor")  # fmt: skip
# ATen operation → the function or method that computes the same, and the new names of its arguments.
_RENAMED: dict[str, tuple[str, Mapping[str, str]]] = {
    "view": ("torch.reshape", {"size": "shape"}),
    "_unsafe_view": ("torch.reshape", {"size": "shape"}),
    "split": ("torch.split", {"split_size": "split_size_or_sections"}),
    "split_with_sizes": ("torch.split", {"split_sizes": "split_size_or_sections"}),
    "constant_pad_nd": ("functional.pad", {}),
    "_adaptive_avg_pool2d": ("functional.adaptive_avg_pool2d", {}),
    "_softmax": ("torch.softmax", {}),
    "_log_softmax": ("torch.log_softmax", {}),
    "_conj": ("torch.conj", {}),
    "log_sigmoid": ("functional.logsigmoid", {}),
}
# Operations of several results, of which a step computes the first: the function, and how many arguments it takes.
FIRST_RESULT = {
    "max_pool1d_with_indices": ("functional.max_pool1d", 6),
    "max_pool2d_with_indices": ("functional.max_pool2d", 6),
    "max_pool3d_with_indices": ("functional.max_pool3d", 6),
    "adaptive_max_pool1d": ("functional.adaptive_max_pool1d", 2),
    "adaptive_max_pool2d": ("functional.adaptive_max_pool2d", 2),
    "adaptive_max_pool3d": ("functional.adaptive_max_pool3d", 2),
    "native_layer_norm": ("torch.layer_norm", 5),
}
# Operations that hand on their input as it is.
UNCHANGED = ("alias", "clone", "contiguous", "detach", "lift", "lift_fresh", "lift_fresh_copy", "positive",
             "resolve_conj", "resolve_neg")  # fmt: skip
# Operations that change nothing in evaluation mode, with the place of the argument that says so.
IDLE = {"dropout": 2, "native_dropout": 2, "feature_dropout": 2, "alpha_dropout": 2, "feature_alpha_dropout": 2}


@dataclass(frozen=True, kw_only=True)
class StepForm:
    """A step without its name.

    Attributes:
        kind: ``function`` or ``method``.
        call: name in :mod:`slth.networks.operations`.
        args: positional arguments.
        options: keyword arguments.
    """

    kind: str = "function"
    call: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any]


def operation_name(target: object) -> str:
    """The name of an ATen operation without its overload; "" for what is no ATen operation.

    Args:
        target: what a node of the recorded graph calls.
    """
    if isinstance(target, torch._ops.OpOverload) and target.namespace == "aten":
        return target._schema.name.split("::")[1]
    return ""


def named_arguments(target: torch._ops.OpOverload, args: tuple[Any, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an ATen call by name, in the order of its schema, without those that say where a tensor lies.

    Args:
        target: the operation.
        args: positional arguments.
        options: keyword arguments.
    """
    names = [one.name for one in target._schema.arguments]
    given = dict(zip(names, args, strict=False)) | dict(options)
    return {name: given[name] for name in names if name in given and name not in _PLACES}


def form_of(name: str, given: dict[str, Any], rank: int | None) -> StepForm | None:
    """The step that computes an ATen operation.

    Args:
        name: the operation's name.
        given: its arguments by name.
        rank: number of axes of its first argument, if that is a tensor.

    Returns:
        The form; None if no registered operation computes this.
    """
    if name in _SPECIAL:
        return _SPECIAL[name](given, rank)
    if name in _METHODS:
        values = list(given.values())
        return StepForm(kind="method", call=_METHODS[name], args=tuple(values), options={})
    call, new_names = _RENAMED.get(name, ("", {}))
    if not call:
        known = (f"torch.{name}", f"functional.{name}", name.replace("linalg_", "linalg."))
        call = next((one for one in known if one in REGISTRY.functions), "")
    if not call:
        return None
    if given.get("alpha") == 1 and name in ("add", "sub"):
        del given["alpha"]
    if given.get("dtype", True) is None or (name in _SUMS and _is_real(given.get("dtype"))):
        del given["dtype"]
    return _arranged(call, {new_names.get(key, key): value for key, value in given.items()})


def _arranged(call: str, given: Mapping[str, Any]) -> StepForm:
    """A function with its leading tensors by position and the rest by name."""
    positional = []
    for i, (key, value) in enumerate(given.items()):
        if i and key not in _POSITIONAL:
            break
        positional.append(value)
    return StepForm(call=call, args=tuple(positional), options=dict(list(given.items())[len(positional) :]))


def _is_real(dtype: Any) -> bool:
    return isinstance(dtype, torch.dtype) and dtype.is_floating_point


def _slice(given: dict[str, Any], rank: int | None) -> StepForm | None:
    dim, start, end, step = given.get("dim", 0), given.get("start"), given.get("end"), given.get("step", 1)
    axes_before = dim if dim >= 0 else dim + (rank or 0)
    end = None if isinstance(end, int) and end >= 2**62 else end
    index = (*[slice(None)] * axes_before, slice(start or None, end, None if step == 1 else step))
    return StepForm(call="operator.getitem", args=(given["self"], index), options={})


def _index(given: dict[str, Any], rank: int | None) -> StepForm | None:
    index = tuple(slice(None) if one is None else one for one in given["indices"])
    return StepForm(call="operator.getitem", args=(given["self"], index), options={})


def _reverse_subtraction(given: dict[str, Any], rank: int | None) -> StepForm | None:
    if given.get("alpha", 1) != 1:
        return None
    return StepForm(call="operator.sub", args=(given["other"], given["self"]), options={})


def _reciprocal(given: dict[str, Any], rank: int | None) -> StepForm | None:
    return StepForm(call="operator.truediv", args=(1.0, given["self"]), options={})


def _interpolation(mode: str) -> Callable[[dict[str, Any], int | None], StepForm | None]:
    def form(given: dict[str, Any], rank: int | None) -> StepForm | None:
        size, scales = given.get("output_size"), given.get("scale_factors")
        options = {"size": size} if size is not None else {"scale_factor": scales}
        if given.get("align_corners"):
            options["align_corners"] = True
        return StepForm(call="functional.interpolate", args=(given["input"],), options=options | {"mode": mode})

    return form


def _padding(mode: str) -> Callable[[dict[str, Any], int | None], StepForm | None]:
    def form(given: dict[str, Any], rank: int | None) -> StepForm | None:
        return StepForm(call="functional.pad", args=(given["self"],), options={"pad": given["padding"], "mode": mode})

    return form


def _copy(given: dict[str, Any], rank: int | None) -> StepForm | None:
    return StepForm(kind="method", call="expand_as", args=(given["src"], given["self"]), options={})


def _dot_product_attention(given: dict[str, Any], rank: int | None) -> StepForm | None:
    if given.get("dropout_p"):
        return None
    options = {key: given[key] for key in ("attn_mask", "is_causal", "scale", "enable_gqa") if given.get(key)
               is not None and given[key] is not False}  # fmt: skip
    inputs = given["query"], given["key"], given["value"]
    return StepForm(call="functional.scaled_dot_product_attention", args=inputs, options=options)


_SPECIAL: dict[str, Callable[[dict[str, Any], int | None], StepForm | None]] = {
    "slice": _slice,
    "index": _index,
    "copy": _copy,
    "rsub": _reverse_subtraction,
    "reciprocal": _reciprocal,
    "scaled_dot_product_attention": _dot_product_attention,
    **{f"upsample_nearest{axes}d": _interpolation("nearest") for axes in (1, 2, 3)},
    **{f"_upsample_nearest_exact{axes}d": _interpolation("nearest-exact") for axes in (1, 2, 3)},
    "upsample_linear1d": _interpolation("linear"),
    "upsample_bilinear2d": _interpolation("bilinear"),
    "upsample_trilinear3d": _interpolation("trilinear"),
    "upsample_bicubic2d": _interpolation("bicubic"),
    **{f"{kind}_pad{axes}d": _padding(mode)
       for kind, mode in (("reflection", "reflect"), ("replication", "replicate")) for axes in (1, 2, 3)},
}  # fmt: skip
# Operations that tensors have as methods only.
_METHODS = {"expand": "expand", "repeat": "repeat", "sym_size": "size", "sym_numel": "numel", "expand_as": "expand_as",
            "view_as": "view_as"}  # fmt: skip
_SUMS = ("mean", "sum", "softmax", "log_softmax", "_softmax", "_log_softmax", "cumsum", "prod")
