"""Networks: target architectures, the linear maps of a target, the operations between them, and the random parent."""

from slth.networks import models
from slth.networks.extract import extract
from slth.networks.kept_module import KeptModule
from slth.networks.linear_map import LinearMap
from slth.networks.operations import ModuleForm, Operation, register
from slth.networks.parent import Parent, ParentLayer, make_parent
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
