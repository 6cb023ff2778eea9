"""The registry: the table of operations that a network may contain between its linear maps.

A ticket file can name only these operations, so that opening a file never runs foreign code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from slth.errors import InputError, UnregisteredError
from slth.networks.operations.builtin import BUILTIN
from slth.networks.operations.operation import ModuleForm, Operation

# The attributes of a tensor that a network may read.
ATTRIBUTES = ("shape", "ndim")


class Registry:
    """Operations, found by name or by one of their forms.

    Args:
        operations: the operations known from the start. Files write a function that has several names by the first.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations: dict[str, Operation] = {}
        self.modules: dict[type[nn.Module], ModuleForm] = {}
        self.functions: dict[str, Callable[..., Any]] = {}
        self.function_names: dict[Any, str] = {}
        self._by_module: dict[str, Operation] = {}
        self._by_function: dict[str, Operation] = {}
        self._by_method: dict[str, Operation] = {}
        for operation in operations:
            self.add(operation)

    def add(self, operation: Operation) -> Operation:
        """Add an operation; see :func:`register`."""
        taken = [
            *([f"operation {operation.name}"] if operation.name in self.operations else []),
            *(
                f"module {form.module.__name__}"
                for form in operation.modules
                if form.module.__name__ in self._by_module
            ),
            *(f"function {name}" for name in operation.functions if name in self.functions),
            *(f"method {name}" for name in operation.methods if name in self._by_method),
        ]
        if taken:
            raise InputError(f"{taken[0]} is registered already. Files name it, so it must be unique: choose another.")
        self.operations[operation.name] = operation
        for form in operation.modules:
            self.modules[form.module] = form
            self._by_module[form.module.__name__] = operation
        for name, function in operation.functions.items():
            self.functions[name] = function
            self.function_names.setdefault(function, name)
            self._by_function[name] = operation
        self._by_method.update(dict.fromkeys(operation.methods, operation))
        return operation

    @property
    def own_modules(self) -> tuple[type[nn.Module], ...]:
        """The module classes of operations that are not built in."""
        built_in = {one.name for one in BUILTIN}
        return tuple(
            form.module for one in self.operations.values() if one.name not in built_in for form in one.modules
        )

    def remove(self, name: str) -> None:
        """Forget an operation and all its forms."""
        operation = self.operations.pop(name)
        for form in operation.modules:
            del self.modules[form.module], self._by_module[form.module.__name__]
        for function_name, function in operation.functions.items():
            del self.functions[function_name], self._by_function[function_name]
            self.function_names.pop(function, None)
        for method in operation.methods:
            del self._by_method[method]

    def form(self, type_name: str) -> ModuleForm:
        """The form of a module class, by its name in files.

        Raises:
            UnregisteredError: no such class is registered; the message says how to register one.
        """
        operation = self._by_module.get(type_name)
        if operation is None:
            raise UnregisteredError(f"module {type_name} is not registered. {_HOW_TO_REGISTER}")
        return next(form for form in operation.modules if form.module.__name__ == type_name)

    def find(self, kind: str, name: str) -> Operation | None:
        """The operation that a step calls, or None.

        Args:
            kind: ``module``, ``function`` or ``method``.
            name: name of the module's class, the function or the method, as in files.

        Returns:
            The operation, or None if it is not registered.
        """
        return {"module": self._by_module, "function": self._by_function, "method": self._by_method}[kind].get(name)

    def get(self, kind: str, name: str) -> Operation:
        """The operation that a step calls.

        Args:
            kind: ``module``, ``function`` or ``method``.
            name: name of the module's class, the function or the method, as in files.

        Raises:
            UnregisteredError: the operation is not registered; the message says how to register it.
        """
        operation = self.find(kind, name)
        if operation is None:
            raise UnregisteredError(f"{kind} {name} is not registered. {_HOW_TO_REGISTER}")
        return operation


_HOW_TO_REGISTER = (
    "If it is an operation of your own, register it first, in every program that finds or loads the ticket: "
    "slth.networks.register(Operation(…))."
)

REGISTRY = Registry(BUILTIN)


def register(operation: Operation) -> Operation:
    """Register an operation of your own, so that models that use it can be targets.

    Files store the constructor arguments of a module, so these must describe an instance completely, and each must be
    an attribute of the instance too. Without a relaxation, tickets can be found, verified and run, but not certified::

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
        operation: the operation. It stays registered until the program ends; every program that loads such a ticket
            must register it too.

    Returns:
        ``operation``.

    Raises:
        InputError: the name of the operation, or of one of its forms, is taken.
    """
    return REGISTRY.add(operation)
