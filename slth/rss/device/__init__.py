"""Batches of instances on a torch device, a GPU or torch's CPU: ``tree``, ``relax`` and ``pursuit``.

The modules bear the names of the compiled code whose steps they make for many instances at once. Selections return to
the host, where their errors are recomputed exactly: no error depends on the device's arithmetic.
"""

from slth.rss.device.batch import DEVICE_SOLVERS, check_method, solve_on_device

__all__ = ["DEVICE_SOLVERS", "check_method", "solve_on_device"]
