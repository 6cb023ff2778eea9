"""In-place operations of a recorded graph, written as operations that make a new tensor.

``torch.export`` can do this for every program, but takes several times as long as the recording. Most networks need
the simplest case only: a value is overwritten that nobody else holds, as by ``nn.ReLU(inplace=True)`` and ``x += y``.
"""

from __future__ import annotations

import torch
from torch import fx

from slth.networks.tracing.forms import IDLE, operation_name


def rewrite_overwrites(graph: fx.Graph) -> bool:
    """Replace in-place operations by others, where each overwrites a value that nobody else holds.

    Args:
        graph: the recorded graph; it is changed.

    Returns:
        Whether no operation of the graph overwrites anything any more. If not, the graph may be changed in part, and
        computes what it computed.
    """
    _remove_idle(graph)
    order = {node: i for i, node in enumerate(graph.nodes)}
    holders: dict[fx.Node, fx.Node] = {}  # node → the node that made the memory in which its value lies
    for node in list(graph.nodes):
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            inner = [
                getattr(graph.owning_module, str(one.target)) for one in node.all_input_nodes if one.op == "get_attr"
            ]
            if not all(rewrite_overwrites(one.graph) for one in inner):
                return False
        if not overwrites(node):
            shares = source is not None and _may_share(node)
            holders[node] = holders[source] if shares and source is not None else node
            continue
        if source is not None and _is_idle(node):
            node.replace_all_uses_with(source)
            graph.erase_node(node)
            continue
        functional = _without_overwriting(node)
        if source is None or functional is None or not _held_alone(source, node, holders, order):
            return False
        with graph.inserting_before(node):
            made = graph.call_function(functional, node.args, node.kwargs)
        made.meta = dict(node.meta)
        order[made] = order[node]
        holders[made] = made
        node.replace_all_uses_with(made)
        for user in [user for user in source.users if order[user] > order[node]]:
            user.replace_input_with(source, made)
        graph.erase_node(node)
    return True


def _remove_idle(graph: fx.Graph) -> None:
    """Take out dropout that drops nothing: it hands on its input itself, which a later step may overwrite."""
    for node in list(graph.nodes):
        place = IDLE.get(operation_name(node.target).removesuffix("_"))
        if place is not None and len(node.args) > place and node.args[place] is False and "native" not in node.name:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def overwrites(node: fx.Node) -> bool:
    """Whether a node overwrites one of its inputs.

    Args:
        node: a node of a recorded graph.
    """
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _may_share(node: fx.Node) -> bool:
    """Whether the value of a node may lie in the memory of its first input."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return True
    return any(one.alias_info is not None for one in node.target._schema.returns)


def _is_idle(node: fx.Node) -> bool:
    """Whether an in-place operation changes nothing, as dropout in evaluation mode."""
    place = IDLE.get(operation_name(node.target).removesuffix("_"))
    return place is not None and len(node.args) > place and node.args[place] is False


def _held_alone(source: fx.Node, node: fx.Node, holders: dict[fx.Node, fx.Node], order: dict[fx.Node, int]) -> bool:
    """Whether a value is no view, no input of the graph, and has no view that is read after ``node``."""
    if holders[source] is not source or source.op != "call_function":
        return False
    views = [one for one, holder in holders.items() if holder is source and one is not source]
    return all(order[user] <= order[node] for view in views for user in view.users)


def _without_overwriting(node: fx.Node) -> torch._ops.OpOverload | None:
    """The operation that computes the same and makes a new tensor, if there is one."""
    assert isinstance(node.target, torch._ops.OpOverload)
    name, overload = operation_name(node.target), node.target._overloadname
    if not name.endswith("_") or name.endswith("__"):
        return None
    packet = getattr(torch.ops.aten, name[:-1], None)
    found = getattr(packet, overload, None)
    before, after = getattr(node.args[0], "meta", {}).get("val"), node.meta.get("val")
    same = isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor) and before.is_floating_point()
    return found if same and isinstance(found, torch._ops.OpOverload) else None
