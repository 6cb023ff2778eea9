"""The registry: the one table of operations that a network may contain between its linear maps.

A ticket's file names these operations and nothing else, so that opening a file never runs foreign code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from slth.errors import InputError, UnregisteredError
from slth.networks.operations.builtin import BUILTIN
from slth.networks.operations.operation import ModuleForm, Operation

# Attributes of a tensor that may be read.
ATTRIBUTES = ("shape", "ndim")


class Registry:
    """Operations by name, and by each of their forms.

    Args:
        operations: what is known from the start. Of a function with several names the first is the one written.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations: dict[str, Operation] = {}
        self.modules: dict[type[nn.Module], ModuleForm] = {}
        self.functions: dict[str, Callable[..., Any]] = {}
        self.function_names: dict[Any, str] = {}
        self._of_module: dict[str, Operation] = {}
        self._of_function: dict[str, Operation] = {}
        self._of_method: dict[str, Operation] = {}
        for operation in operations:
            self.add(operation)

    def add(self, operation: Operation) -> Operation:
        """Add an operation; see :func:`register`."""
        taken = [
            *([f"operation {operation.name}"] if operation.name in self.operations else []),
            *(
                f"module {form.module.__name__}"
                for form in operation.modules
                if form.module.__name__ in self._of_module
            ),
            *(f"function {name}" for name in operation.functions if name in self.functions),
            *(f"method {name}" for name in operation.methods if name in self._of_method),
        ]
        if taken:
            raise InputError(f"{taken[0]} is registered already. Files name it, so it must be unique: choose another.")
        self.operations[operation.name] = operation
        for form in operation.modules:
            self.modules[form.module] = form
            self._of_module[form.module.__name__] = operation
        for name, function in operation.functions.items():
            self.functions[name] = function
            self.function_names.setdefault(function, name)
            self._of_function[name] = operation
        self._of_method.update(dict.fromkeys(operation.methods, operation))
        return operation

    def remove(self, name: str) -> None:
        """Forget an operation and all its forms."""
        operation = self.operations.pop(name)
        for form in operation.modules:
            del self.modules[form.module], self._of_module[form.module.__name__]
        for function_name, function in operation.functions.items():
            del self.functions[function_name], self._of_function[function_name]
            self.function_names.pop(function, None)
        for method in operation.methods:
            del self._of_method[method]

    def form(self, type_name: str) -> ModuleForm:
        """The form of a module class, by the name that files have for it.

        Raises:
            UnregisteredError: no such class is registered; the message says how to register one.
        """
        operation = self._of_module.get(type_name)
        if operation is None:
            raise UnregisteredError(f"module {type_name} is not registered. {_ADVICE}")
        return next(form for form in operation.modules if form.module.__name__ == type_name)

    def find(self, kind: str, name: str) -> Operation | None:
        """The operation of a step.

        Args:
            kind: ``module``, ``function`` or ``method``.
            name: the module's class, or the function's or method's name, as files have it.

        Returns:
            The operation, or None if none is registered.
        """
        return {"module": self._of_module, "function": self._of_function, "method": self._of_method}[kind].get(name)

    def get(self, kind: str, name: str) -> Operation:
        """The operation of a step.

        Args:
            kind: ``module``, ``function`` or ``method``.
            name: the module's class, or the function's or method's name, as files have it.

        Returns:
            The operation.

        Raises:
            UnregisteredError: none is registered; the message says how to register one.
        """
        operation = self.find(kind, name)
        if operation is None:
            raise UnregisteredError(f"{kind} {name} is not registered. {_ADVICE}")
        return operation


_ADVICE = (
    "If it is an operation of your own, register it first, in every program that finds or loads the ticket: "
    "slth.networks.register(Operation(…))."
)

REGISTRY = Registry(BUILTIN)


def register(operation: Operation) -> Operation:
    """Teach slth an operation of your own: models that use it can then be targets.

    A module class must say all there is about an instance in constructor arguments that are attributes too, because
    files store these. Without a relaxation tickets are found, verified and run, but not certified::

        class Squareplus(nn.Module):  # (x + √(x² + b)) / 2, never negative, with slopes between 0 and 1
            def __init__(self, b: float = 1.0) -> None:
                super().__init__()
                self.b = b

            def forward(self, x):
                return (x + torch.sqrt(x * x + self.b)) / 2

        register(Operation(
            name="squareplus", signs="plus", modules=(ModuleForm(Squareplus, options=("b",)),),
            relaxation=Monotone(slopes=(0.0, 1.0)), lipschitz=1.0,
        ))

    Args:
        operation: what slth is to know of it. It holds until the program ends; every program that loads such a ticket
            has to register it too.

    Returns:
        ``operation``.

    Raises:
        InputError: its name, or the name of one of its forms, is taken.
    """
    return REGISTRY.add(operation)
