r"""Batched pursuit on a torch device: b instances of one shape at once, on a GPU or the CPU.

Every step is one batched product X·r, one argmax per instance and one masked update. The product takes b·n·D
multiply-adds on 8·b·n·D bytes: it is limited by memory bandwidth, of which a GPU has much. Then come single and pair
flips among the smallest candidates, by their Gram matrices. The selections return to the host, where their errors are
recomputed exactly: no error depends on the device's arithmetic. torch is imported on first use; the rest of
:mod:`slth.rss` never needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from slth.arrays import BoolArray, FloatArray
from slth.errors import InputError
from slth.rss.flips import MIN_GAIN

# Pairs are flipped among this many of the smallest candidates.
PAIR_SIZE = 256
# Instances whose pairs are scored at once. Each takes five matrices of 8·256² bytes.
PAIR_BATCH = 256


def pursue_on_device(vectors: FloatArray, targets: FloatArray, device: str) -> BoolArray:
    """Selections of b instances by pursuit and pair flips on a torch device.

    Args:
        vectors: float64 (b, n, D), the candidates of each instance.
        targets: float64 (b, D), the target of each instance.
        device: name of the torch device, such as ``cuda``.

    Returns:
        bool (b, n), one selection per instance.

    Raises:
        InputError: torch is not installed, or cannot use the device.
    """
    torch = _torch(device)
    with torch.no_grad():
        x = torch.as_tensor(vectors, dtype=torch.float64, device=device)
        residual = torch.as_tensor(targets, dtype=torch.float64, device=device).clone()
        sign = torch.ones(x.shape[:2], dtype=x.dtype, device=device)
        norms = (x * x).sum(dim=2)
        _flip_singles(torch, x, residual, sign, norms)
        small = norms.argsort(dim=1, stable=True)[:, :PAIR_SIZE]
        for start in range(0, len(x), PAIR_BATCH):
            part = slice(start, start + PAIR_BATCH)  # views: residual and sign change in place
            _flip_pairs(torch, x[part], residual[part], sign[part], small[part])
        return np.asarray((sign < 0).cpu().numpy())


def _flip_singles(torch: Any, x: Any, residual: Any, sign: Any, norms: Any) -> None:
    """Make the best single flip of every instance until none helps; ``residual`` and ``sign`` change in place."""
    batch = torch.arange(len(x), device=x.device)
    while True:
        gain = 2.0 * sign * torch.einsum("bnd,bd->bn", x, residual) - norms
        best, where = gain.max(dim=1)
        moving = best > MIN_GAIN * (residual * residual).sum(dim=1)
        if not bool(moving.any()):
            return
        step = torch.where(moving, sign[batch, where], torch.zeros_like(best))
        residual -= step[:, None] * x[batch, where]
        sign[batch, where] = torch.where(moving, -sign[batch, where], sign[batch, where])


def _flip_pairs(torch: Any, x: Any, residual: Any, sign: Any, small: Any) -> None:
    """Make the best flip of one or two among ``small`` in every instance, until none helps."""
    batch = torch.arange(len(x), device=x.device)
    core = torch.gather(x, 1, small[:, :, None].expand(-1, -1, x.shape[2]))
    gram = core @ core.transpose(1, 2)
    diagonal = torch.diagonal(gram, dim1=1, dim2=2)
    size = core.shape[1]
    while True:
        own = torch.gather(sign, 1, small)
        gain = 2.0 * own * torch.einsum("bmd,bd->bm", core, residual) - diagonal
        both = gain[:, :, None] + gain[:, None, :] - 2.0 * own[:, :, None] * own[:, None, :] * gram
        torch.diagonal(both, dim1=1, dim2=2).copy_(gain)
        best, where = both.flatten(1).max(dim=1)
        moving = best > MIN_GAIN * (residual * residual).sum(dim=1)
        if not bool(moving.any()):
            return
        first, second = where // size, where % size
        for place, active in ((first, moving), (second, moving & (first != second))):
            index = small[batch, place]
            step = torch.where(active, sign[batch, index], torch.zeros_like(best))
            residual -= step[:, None] * x[batch, index]
            sign[batch, index] = torch.where(active, -sign[batch, index], sign[batch, index])


def _torch(device: str) -> Any:
    """The torch module, after checking that it can use ``device``."""
    try:
        torch = import_module("torch")
    except ImportError as cause:
        raise InputError("device needs torch; it is not installed. Install it, or leave device out.") from cause
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as cause:
        reason = str(cause).splitlines()[0]
        raise InputError(
            f"device must be one torch can use, such as cpu or cuda; got {device!r} ({reason})."
        ) from cause
    return torch
