r"""Greedy pursuits of many instances at once on a torch device: :mod:`slth.rss.pursuit` for a batch.

Every step is one batched product X·r, one argmax per instance and one masked update. The product takes b·n·D
multiply-adds on 8·b·n·D bytes: it is limited by memory bandwidth, of which a GPU has much. Then come single and pair
flips among the smallest candidates, by their Gram matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slth.rss.control import Control, Incumbent
from slth.rss.device.backend import TorchDevice, load_torch
from slth.rss.flips import MIN_GAIN
from slth.rss.problem import Problem

# Pairs are flipped among this many of the smallest candidates.
PAIR_SIZE = 256
# Instances whose pairs are scored at once. Each takes five matrices of 8·256² bytes.
PAIR_BATCH = 256


def solve_pursuits(
    problems: Sequence[Problem], controls: Sequence[Control], device: TorchDevice, threads: int
) -> list[Incumbent]:
    """Solve by pursuit and pair flips on a torch device, as many instances at once as its memory allows.

    Args:
        problems: the instances, of any sizes and of one dimension.
        controls: their limits, alike except for the units of eps. The pursuit stops at their deadline.
        device: where the candidates go.
        threads: not used: the host has nothing to do.

    Returns:
        The selection found for each; nothing is proved.
    """
    torch = load_torch()
    largest = max(one.size for one in problems)
    # The candidates, and of each instance of a part of PAIR_BATCH the matrices of its pairs.
    need = 8.0 * largest * (problems[0].dimension + 8) + 40.0 * min(largest, PAIR_SIZE) ** 2
    at_once = int(max(1, device.memory // need))
    found = []
    for start in range(0, len(problems), at_once):
        part = problems[start : start + at_once]
        x, residual, norms = stack(part, device)
        sign = torch.ones_like(norms)
        flip_greedily(x, residual, sign, norms, controls[0])
        small = norms.masked_fill(_padding(part, norms), torch.inf).argsort(dim=1, stable=True)[:, :PAIR_SIZE]
        for first in range(0, len(part), PAIR_BATCH):
            some = slice(first, first + PAIR_BATCH)  # views: residual and sign change in place
            _flip_pairs(x[some], residual[some], sign[some], small[some], controls[0])
        selected = (sign < 0).cpu().numpy()
        found += [Incumbent(selected=mine[: one.size]) for mine, one in zip(selected, part, strict=True)]
    return found


def stack(problems: Sequence[Problem], device: TorchDevice) -> tuple[Any, Any, Any]:
    """The candidates and the targets of instances on a device.

    Args:
        problems: the instances, of one dimension.
        device: where they go.

    Returns:
        Tensors (X, float64 (b, n, D), with zeros after the candidates of an instance that has fewer; z, float64 (b, D);
        the squared norms of the candidates, float64 (b, n)).
    """
    torch = load_torch()
    largest, dim = max(one.size for one in problems), problems[0].dimension
    x = torch.zeros((len(problems), largest, dim), dtype=torch.float64, device=device.name)
    z = torch.empty((len(problems), dim), dtype=torch.float64, device=device.name)
    norms = torch.empty_like(x[:, :, 0])
    for i, one in enumerate(problems):
        x[i, : one.size] = torch.as_tensor(one.vectors)
        z[i] = torch.as_tensor(one.target)
        norms[i] = x[i].square().sum(1)  # of one instance at a time, because the squares take as much as X
    return x, z, norms


def flip_greedily(
    x: Any, residual: Any, sign: Any, norms: Any, control: Control, *, stop: Any = 0.0, gain_share: float = 1.0
) -> None:
    """Flip greedily in every instance, as :func:`slth.rss.pursuit.pursue` does, until none helps or the time is up.

    Args:
        x: a tensor float64 (b, n, D), the candidates.
        residual: a tensor float64 (b, D). It is changed in place.
        sign: a tensor float64 (b, n), 1 for unselected and −1 for selected candidates. It is changed in place.
        norms: a tensor float64 (b, n), their squared L2 norms; infinity for those that may not be flipped.
        control: the pursuit stops at its deadline.
        stop: a tensor float64 (b,): L2 norms of the residuals that are small enough.
        gain_share: after the best flip, a step also makes those flips whose gain, recomputed, is at least this fraction
            of the best one's.
    """
    torch = load_torch()
    every = torch.arange(len(x), device=x.device)
    while not control.expired():
        energy = residual.square().sum(1)
        gain = 2.0 * sign * (x @ residual[:, :, None])[:, :, 0] - norms
        best, where = gain.max(dim=1)
        going = (energy > stop**2) & (best > MIN_GAIN * energy)
        if not bool(going.any()):
            return
        number, order = torch.ones_like(where), where[:, None]
        if gain_share < 1.0:
            number = ((gain >= gain_share * best[:, None]) & going[:, None]).sum(1)
            order = gain.topk(int(number.max()), dim=1)[1]
        for rank in range(order.shape[1]):
            place = order[:, rank]
            row, own = x[every, place], sign[every, place]
            if rank:
                again = 2.0 * own * (row * residual).sum(1) - norms[every, place]
                made = going & (rank < number) & (again >= gain_share * best)
            else:
                made = going
            residual -= torch.where(made, own, 0.0)[:, None] * row
            sign[every, place] = torch.where(made, -own, own)
            if gain_share < 1.0:
                going = going & (residual.square().sum(1) > stop**2)


def _padding(problems: Sequence[Problem], norms: Any) -> Any:
    """Which places hold no candidate: bool (b, n)."""
    torch = load_torch()
    sizes = torch.as_tensor([one.size for one in problems], device=norms.device)
    return torch.arange(norms.shape[1], device=norms.device) >= sizes[:, None]


def _flip_pairs(x: Any, residual: Any, sign: Any, small: Any, control: Control) -> None:
    """Make the best flip of one or two among ``small`` in every instance, until none helps or the time is up."""
    torch = load_torch()
    batch = torch.arange(len(x), device=x.device)
    core = torch.gather(x, 1, small[:, :, None].expand(-1, -1, x.shape[2]))
    gram = core @ core.transpose(1, 2)
    diagonal = torch.diagonal(gram, dim1=1, dim2=2)
    size = core.shape[1]
    while not control.expired():
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
