"""What the nodes of a recorded graph say of themselves: where they stand, whether they are random, what they keep."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import fx

from slth.errors import InputError
from slth.networks.graph import Ref
from slth.networks.tracing.values import Stored

# Operations that torch calls random because they may contain dropout.
_MAY_DROP = ("lstm", "gru", "rnn_tanh", "rnn_relu", "scaled_dot_product_attention")


def keeps_type(name: str, node: fx.Node, args: Any) -> bool:
    """Whether a conversion leaves real numbers real: slth computes with one precision of its own.

    Args:
        name: name of the ATen operation.
        node: the node that calls it.
        args: the values of its positional arguments.
    """
    if name not in ("to", "_to_copy", "type_as", "float", "double", "half", "bfloat16"):
        return False
    before, after = getattr(node.args[0], "meta", {}).get("val"), node.meta.get("val")
    if not isinstance(before, torch.Tensor) or not isinstance(after, torch.Tensor) or isinstance(args[0], Stored):
        return False
    return before.dtype == after.dtype or (before.is_floating_point() and after.is_floating_point())


def is_random(name: str, target: object) -> bool:
    """Whether an operation draws random numbers also in evaluation mode.

    Args:
        name: name of the ATen operation.
        target: the operation.
    """
    if name in _MAY_DROP:
        return False
    return isinstance(target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in target.tags


def rank_of(node: fx.Node) -> int | None:
    """Number of axes of a node's first argument; None if that is no tensor.

    Args:
        node: the node.
    """
    value = node.args[0].meta.get("val") if node.args and isinstance(node.args[0], fx.Node) else None
    return value.ndim if isinstance(value, torch.Tensor) else None


def path_of(node: fx.Node) -> str:
    """Path of the module that a node belongs to; "" for the model itself.

    Args:
        node: the node.
    """
    stack = node.meta.get("nn_module_stack") or {}
    return next((path.split("@")[0] for path, _ in reversed(stack.values()) if not path.startswith("_empty")), "")


def plain_output(value: Any) -> Any:
    """A network's output as ordinary containers.

    Args:
        value: references in the containers that the model returns.

    Raises:
        InputError: a container is not a tuple, a list or a dict.
    """
    if isinstance(value, Ref) or value is None or isinstance(value, int | float | str):
        return value
    if type(value) in (tuple, list):
        return type(value)(plain_output(one) for one in value)
    if type(value) in (dict, OrderedDict):
        return {name: plain_output(one) for name, one in value.items()}
    raise InputError(
        f"the model must return tensors, or tuples, lists and dicts of them; got {type(value).__name__}. "
        "Wrap the model in one that returns the tensor you need."
    )
