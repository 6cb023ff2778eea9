"""Operations: the table of what a network may contain between its linear maps, and the way to add to it."""

from slth.networks.operations.operation import ModuleForm, Operation
from slth.networks.operations.registry import ATTRIBUTES, REGISTRY, Registry, register

__all__ = ["ATTRIBUTES", "REGISTRY", "ModuleForm", "Operation", "Registry", "register"]
