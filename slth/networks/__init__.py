"""Networks: target architectures, the linear maps of a target, and the random parent."""

from slth.networks import models
from slth.networks.extract import extract
from slth.networks.parent import Parent, ParentLayer, make_parent
from slth.networks.target import KeptModule, LinearMap, Target

__all__ = ["KeptModule", "LinearMap", "Parent", "ParentLayer", "Target", "extract", "make_parent", "models"]
