"""Linear layers among ATen operations: convolutions, products with a stored matrix, embeddings and BatchNorm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from slth.networks.graph import Ref
from slth.networks.tracing.forms import StepForm
from slth.networks.tracing.values import Stored

# From a name and a tensor to a stored tensor.
MakeStored = Callable[[str, torch.Tensor], Stored]

_CONVOLUTIONS = tuple(f"conv{axes}d" for axes in (1, 2, 3))
_TRANSPOSED = tuple(f"conv_transpose{axes}d" for axes in (1, 2, 3))
_NORMS = ("batch_norm", "native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit")


def linear_form(name: str, given: dict[str, Any], store: MakeStored) -> StepForm | None:
    """The form of an operation that may be a linear map of its input, with its weights by name.

    Args:
        name: the ATen operation.
        given: its arguments by name.
        store: makes a stored tensor of a weight that is rearranged.

    Returns:
        A call of ``torch.conv…``, ``torch.conv_transpose…``, ``functional.linear`` or ``torch.batch_norm``; None for
        other operations and for products of two activations.
    """
    if name == "convolution":
        return _convolution(given)
    if name in (*_CONVOLUTIONS, *_TRANSPOSED):
        return _with_options(f"torch.{name}", given, "input")
    if name == "linear":
        return _with_options("functional.linear", given, "input")
    if name in _NORMS:
        return _norm(given)
    if name in ("matmul", "mm"):
        matrix = given["other"] if name == "matmul" else given["mat2"]
        return _product(given["self"], matrix, None, store) if _is_matrix(matrix) else None
    if name == "addmm" and _is_matrix(given["mat2"]) and given.get("beta", 1) == given.get("alpha", 1) == 1:
        bias = given["self"]
        if isinstance(bias, Stored) and bias.value.ndim == 1:
            return _product(given["mat1"], given["mat2"], bias, store)
    return None


def _with_options(call: str, given: dict[str, Any], first: str) -> StepForm:
    options = {key: value for key, value in given.items() if key != first}
    return StepForm(call=call, args=(given[first],), options=options)


def _convolution(given: dict[str, Any]) -> StepForm:
    """The form that every convolution has after some decompositions."""
    axes = len(given["stride"])
    transposed = given.pop("transposed")
    padding = given.pop("output_padding")
    if transposed:
        given["output_padding"] = padding
    return _with_options(f"torch.conv_transpose{axes}d" if transposed else f"torch.conv{axes}d", given, "input")


def _norm(given: dict[str, Any]) -> StepForm:
    options = {
        "weight": given.get("weight"),
        "bias": given.get("bias"),
        "running_mean": given.get("running_mean"),
        "running_var": given.get("running_var"),
        "training": bool(given.get("training", False)),
        "momentum": given["momentum"],
        "eps": given["eps"],
        "cudnn_enabled": False,
    }
    return StepForm(call="torch.batch_norm", args=(given["input"],), options=options)


def _is_matrix(value: Any) -> bool:
    """Whether a value is a stored real matrix."""
    return isinstance(value, Stored) and value.value.ndim == 2 and value.value.is_floating_point()


def _product(x: Any, matrix: Stored, bias: Stored | None, store: MakeStored) -> StepForm | None:
    """x·W + b as a linear layer, whose weight is the transpose of W."""
    if not isinstance(x, Ref):
        return None
    weight = store(f"{matrix.name}.T", matrix.value.T.contiguous())
    return StepForm(call="functional.linear", args=(x,), options={"weight": weight, "bias": bias})
