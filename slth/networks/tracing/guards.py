"""Guards: what ``torch.export`` assumed of the sizes of the inputs, as fixed sizes and conditions."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence

import torch

from slth.networks.sizes import InputSizes, check_condition, evaluate

# The least and the greatest value that an expression can have.
Span = tuple[float, float]


def free_sizes(
    sizes: InputSizes, guards: Sequence[str] | None, given: Sequence[torch.Tensor]
) -> tuple[dict[str, tuple[int | None, ...]], tuple[str, ...]]:
    """Which sizes of the inputs are free, and the conditions on them.

    A guard that compares free sizes with a number, such as the number of inputs of a linear layer, fixes these sizes
    to those of the example. InputSizes of the batch stay free.

    Args:
        sizes: name of an input → its sizes as recorded, with None for a symbol.
        guards: Python expressions over ``L['x'].size()[i]``; None if they are not known, and only batches are free.
        given: the example's inputs, in the order of ``sizes``.

    Returns:
        Name of an input → its sizes, with None for a free one; and the conditions that are not always true.
    """
    fixed = {name: list(one) for name, one in sizes.items()}
    shapes = {name: tuple(one.shape) for name, one in zip(sizes, given, strict=True)}
    conditions, complete = [], guards is not None
    for guard in guards or ():
        text = re.sub(r"L\['(\w+)'\](?:\[(\d+)\])?\.size\(\)\[(\d+)\]", _renamed, guard)
        text = re.sub(r"\b(?:torch\.sym_)?(min|max)\(", r"\1(", text.replace("Min(", "min(").replace("Max(", "max("))
        try:
            check_condition(text)
        except ValueError:
            complete = False
            continue
        conditions.append(text)
        tree = ast.parse(text, mode="eval").body
        if _fixes(tree):
            for name, axis in _sizes_in(tree):
                fixed[name][axis] = shapes[name][axis]
    if not complete:  # An assumption that cannot be checked later: only the batch stays free.
        for name, shape in shapes.items():
            fixed[name][1:] = shape[1:]
    found = {name: tuple(one) for name, one in fixed.items()}
    open_conditions = [text for text in conditions if not _always(text, found)]
    return found, tuple(dict.fromkeys(open_conditions))


def only_refuses_one(text: str) -> bool:
    """Whether a condition is about the number of examples alone, and refuses a single example and no other number.

    Args:
        text: the condition.
    """
    sizes = set(_sizes_in(ast.parse(text, mode="eval").body))
    if not sizes or any(axis for _, axis in sizes):
        return False
    return [evaluate(text, {name: (count,) for name, _ in sizes}) for count in (1, 2, 3, 4, 5)] == [False, *[True] * 4]


def _renamed(match: re.Match[str]) -> str:
    name, place, axis = match.groups()
    return f"{name}[{axis}]" if place is None else f"{name}_{place}[{axis}]"


def _fixes(tree: ast.expr) -> bool:
    """Whether a condition says that one size, or an expression of sizes other than batch sizes, is a number."""
    if not (isinstance(tree, ast.Compare) and len(tree.ops) == 1 and isinstance(tree.ops[0], ast.Eq)):
        return False
    sides = [set(_sizes_in(one)) for one in (tree.left, tree.comparators[0])]
    if isinstance(tree.left, ast.Subscript) and not sides[1]:
        return True
    divides = any(isinstance(node, ast.Mod) for node in ast.walk(tree))
    return bool(sides[0]) != bool(sides[1]) and not divides and all(axis for _, axis in sides[0] | sides[1])


def _sizes_in(tree: ast.AST) -> list[tuple[str, int]]:
    return [
        (node.value.id, node.slice.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, int)
    ]


def _always(text: str, sizes: Mapping[str, tuple[int | None, ...]]) -> bool:
    """Whether a condition holds for all free sizes, as far as interval arithmetic shows."""
    return _truth(ast.parse(text, mode="eval").body, sizes) is True


def _truth(node: ast.AST, sizes: Mapping[str, tuple[int | None, ...]]) -> bool | None:
    if isinstance(node, ast.BoolOp):
        parts = [_truth(one, sizes) for one in node.values]
        wanted = isinstance(node.op, ast.And)
        return wanted if all(one is wanted for one in parts) else None
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return None
    (low, high), (other_low, other_high) = _span(node.left, sizes), _span(node.comparators[0], sizes)
    operator = type(node.ops[0])
    if operator in (ast.Lt, ast.LtE):
        (low, high), (other_low, other_high), operator = (
            (other_low, other_high), (low, high), {ast.Lt: ast.Gt, ast.LtE: ast.GtE}[operator]
        )  # fmt: skip
    if operator is ast.Eq:
        return True if low == high == other_low == other_high else None
    if operator is ast.NotEq:
        return True if high < other_low or low > other_high else None
    return True if (low > other_high if operator is ast.Gt else low >= other_high) else None


def _span(node: ast.AST, sizes: Mapping[str, tuple[int | None, ...]]) -> Span:
    """The least and the greatest value of an expression; all free sizes are at least 1."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value, node.value
    if isinstance(node, ast.Subscript):
        ((name, axis),) = _sizes_in(node)
        size = sizes[name][axis]
        return (1, math.inf) if size is None else (size, size)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        low, high = _span(node.operand, sizes)
        return -high, -low
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        choose = min if node.func.id == "min" else max
        spans = [_span(one, sizes) for one in node.args]
        return choose(low for low, _ in spans), choose(high for _, high in spans)
    if isinstance(node, ast.BinOp):
        return _binary(node.op, _span(node.left, sizes), _span(node.right, sizes))
    return -math.inf, math.inf


def _binary(operator: ast.operator, left: Span, right: Span) -> Span:
    if isinstance(operator, ast.Add):
        return left[0] + right[0], left[1] + right[1]
    if isinstance(operator, ast.Sub):
        return left[0] - right[1], left[1] - right[0]
    if isinstance(operator, ast.Mult):
        ends = [0 if 0 in (a, b) else a * b for a in left for b in right]
        return min(ends), max(ends)
    if isinstance(operator, ast.FloorDiv) and right[0] == right[1] > 0:
        low, high = (one if math.isinf(one) else one // right[0] for one in left)
        return low, high
    if isinstance(operator, ast.Mod) and right[0] == right[1] > 0:
        if left[0] == left[1]:
            return left[0] % right[0], left[0] % right[0]
        return 0, right[0] - 1
    return -math.inf, math.inf
