"""The methods that have a form for a torch device, and how the instances of a batch get there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from slth.errors import InputError, MemoryEstimateError
from slth.rss.control import Control, Incumbent
from slth.rss.device.backend import TorchDevice, load_torch
from slth.rss.device.pursuit import solve_pursuits
from slth.rss.device.relax import solve_relaxed
from slth.rss.device.tree import solve_trees
from slth.rss.plan import Plan
from slth.rss.problem import Problem

DeviceSolver = Callable[[Sequence[Problem], Sequence[Control], TorchDevice, int], list[Incumbent]]

# The solver of each method that has a form for a device.
DEVICE_SOLVERS: dict[str, DeviceSolver] = {"tree": solve_trees, "relax": solve_relaxed, "pursuit": solve_pursuits}
# Of these, the ones that keep a fixed size.
KEEP_SIZE = ("tree",)


def check_method(method: str, cardinality: int | None) -> None:
    """Refuse what has no form for a device. ``auto`` has: the cores solve what the device cannot.

    Args:
        method: name of the method.
        cardinality: k of every instance, or None.

    Raises:
        InputError: the method has no such form, or does not keep a fixed size there.
    """
    if method == "auto":
        return
    if method not in DEVICE_SOLVERS:
        raise InputError(
            f"device needs a method that has a form for it: {', '.join(DEVICE_SOLVERS)} or auto; got {method!r}. "
            "Choose one of these, or leave device out."
        )
    if cardinality is not None and method not in KEEP_SIZE:
        raise InputError(
            f"on a device {method} takes selections of any size; got cardinality = {cardinality}. "
            f"Use {' or '.join(KEEP_SIZE)}, or leave device out."
        )


def solve_on_device(plans: Mapping[int, Plan], device: TorchDevice, threads: int) -> dict[int, Incumbent]:
    """Solve those of many planned instances on a device whose method has a form for it.

    Args:
        plans: number of the instance → its plan; the limits are alike.
        device: the device.
        threads: how many threads of the host may help.

    Returns:
        Number of the instance → its incumbent, in the units of the plan. The others are left to the cores.

    Raises:
        MemoryEstimateError: the device has not enough memory.
    """
    torch = load_torch()
    alike = defaultdict[tuple[str, int, str], list[int]](list)
    for i, plan in plans.items():
        if plan.method in DEVICE_SOLVERS and (plan.problem.cardinality is None or plan.method in KEEP_SIZE):
            alike[plan.method, plan.problem.dimension, plan.problem.norm].append(i)
    found: dict[int, Incumbent] = {}
    for (method, _, _), members in alike.items():
        problems, controls = ([getattr(plans[i], name) for i in members] for name in ("scaled", "control"))
        try:
            with torch.no_grad():
                incumbents = DEVICE_SOLVERS[method](problems, controls, device, threads)
        except torch.OutOfMemoryError as cause:
            raise MemoryEstimateError(
                f"{method} on {device.name} needs more memory than is free there ({device.memory:.3g} bytes may be "
                "used). End what else runs on it, take smaller instances, or leave device out."
            ) from cause
        found |= zip(members, incumbents, strict=True)
    return found
