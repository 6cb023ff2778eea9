"""Networks: targets with their linear maps and the operations between them, and the random parent of a target."""

from slth.networks import models
from slth.networks.extract import extract
from slth.networks.kept_module import KeptModule
from slth.networks.linear_map import LinearMap
from slth.networks.operations import ModuleForm, Operation, register
from slth.networks.parent import Parent, ParentLayer
from slth.networks.parent_sizes import make_parent
from slth.networks.target import Target

__all__ = [
    "KeptModule",
    "LinearMap",
    "ModuleForm",
    "Operation",
    "Parent",
    "ParentLayer",
    "Target",
    "extract",
    "make_parent",
    "models",
    "register",
]
