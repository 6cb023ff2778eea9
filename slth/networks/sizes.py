"""InputSizes of a network's inputs: which are fixed, which are free, and the conditions under which the steps hold.

A condition compares sizes, such as ``x[2] % 2 == 0`` for an even height. It is data: a small grammar of integer
arithmetic, which is read and never executed as code.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slth.errors import InputError

# Name of an input → its sizes, with None for a free one.
InputSizes = Mapping[str, tuple[int | None, ...]]

# Longer conditions are refused, and more of them in one file: every run of the network reads them.
MAX_LENGTH = 500
MAX_CONDITIONS = 1000
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_GRAMMAR = (ast.BinOp, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Name, ast.Subscript, ast.Load, ast.And, ast.Or,
            ast.Not, ast.USub, *_BINARY, *_COMPARISONS)  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max}


def check_condition(text: str, sizes: InputSizes | None = None) -> None:
    """Refuse a condition that is not of the grammar.

    Args:
        text: the condition.
        sizes: the inputs' sizes; the condition must be about some of them. None for a condition on any inputs.

    Raises:
        ValueError: it is not of the grammar, or about something else.
    """
    try:
        if len(text) > MAX_LENGTH:
            raise SyntaxError
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as cause:
        raise ValueError(f"{text!r} is no condition on sizes") from cause
    for node in ast.walk(tree):
        allowed = isinstance(node, _GRAMMAR)
        if isinstance(node, ast.Constant):
            allowed = type(node.value) is int
        if isinstance(node, ast.Call):
            allowed = isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS and not node.keywords
        if not allowed:
            raise ValueError(f"{text!r} is no condition on sizes: {type(node).__name__} is not part of the grammar")
        if isinstance(node, ast.Subscript) and sizes is not None and not _names_a_size(node, sizes):
            raise ValueError(f"{text!r} is no condition on the sizes of {', '.join(sizes) or 'an input'}")
    try:
        evaluate(text, {name: (1,) * len(one) for name, one in (sizes or {}).items()})
    except (TypeError, RecursionError) as cause:
        raise ValueError(f"{text!r} is no condition on sizes") from cause


def _names_a_size(node: ast.Subscript, sizes: InputSizes) -> bool:
    """Whether ``x[i]`` is a size of an input."""
    if not isinstance(node.value, ast.Name) or not isinstance(node.slice, ast.Constant):
        return False
    axis, count = node.slice.value, len(sizes.get(node.value.id, ()))
    return type(axis) is int and axis < count


def check_sizes(sizes: InputSizes, conditions: Sequence[str], shapes: Mapping[str, Sequence[int]]) -> None:
    """Refuse inputs of sizes for which the network's steps were not recorded.

    Args:
        sizes: the sizes that the network takes.
        conditions: conditions on them.
        shapes: name of an input → its shape.

    Raises:
        InputError: a size is another one than the network takes; the message names it.
    """
    for name, expected in sizes.items():
        got = tuple(shapes.get(name, expected))
        if len(got) != len(expected) or any(a is not None and a != b for a, b in zip(expected, got, strict=True)):
            raise InputError(
                f"input {name} must have the shape {show_sizes(expected)}; got {got}. The network was extracted with "
                "these sizes fixed: pass such an input, or extract it again with an example of the new shape."
            )
    for text in conditions:
        if not evaluate(text, shapes):
            raise InputError(
                f"the network was extracted for inputs with {text}; got shapes "
                f"{', '.join(f'{name} {tuple(shape)}' for name, shape in shapes.items())}. Its control flow depends "
                "on this: extract it again with an example of the new shape."
            )


def show_sizes(sizes: Sequence[int | None]) -> str:
    """InputSizes as text, with n for the free batch axis and * for other free ones."""
    shown = ["n" if i == 0 and size is None else "*" if size is None else str(size) for i, size in enumerate(sizes)]
    return f"({', '.join(shown)}{',' if len(shown) == 1 else ''})"


def evaluate(text: str, shapes: Mapping[str, Sequence[int]]) -> bool:
    """Whether a condition holds.

    Args:
        text: the condition.
        shapes: name of an input → its shape; a condition on another input holds.
    """
    try:
        return bool(_value(ast.parse(text, mode="eval").body, shapes))
    except (KeyError, IndexError):
        return True
    except ArithmeticError:
        return False


def _value(node: ast.AST, shapes: Mapping[str, Sequence[int]]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return shapes[node.value.id][_value(node.slice, shapes)]
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_value(node.left, shapes), _value(node.right, shapes))
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, shapes)
        return not value if isinstance(node.op, ast.Not) else -value
    if isinstance(node, ast.BoolOp):
        parts = (_value(one, shapes) for one in node.values)
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.Compare):
        values = [_value(one, shapes) for one in (node.left, *node.comparators)]
        return all(_COMPARISONS[type(op)](a, b) for op, a, b in zip(node.ops, values[:-1], values[1:], strict=True))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _FUNCTIONS[node.func.id](*(_value(one, shapes) for one in node.args))
    raise ValueError(f"{type(node).__name__} is not part of a condition on sizes")
