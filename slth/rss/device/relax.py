r"""``relax`` for many instances at once on a torch device: :mod:`slth.rss.relax` for a batch.

Each stage is that of the compiled code, with its starting points and its rules for ties: the pursuit of the large
candidates (float64), the box, the walk and the dive (float32), the flips. The device adds in another order, so where
two candidates are within rounding of each other it may take the other one, and the rest of the way then differs.
Measured on torch's CPU: at least 97 % of the selections are equal up to D = 16 (260 instances), 93 % at D = 36 (30),
and one of four at D = 144. The errors have the same distribution.

Memory, worked out for D = 4608, n = 8D: an instance takes 2.14 GB at most, while it walks. That is its core in float64,
up to three times in float32, and five D × D matrices; before, its candidates and the core in float64 take 2.04 GB. A
GPU of 139 GiB, of which 119 GB are used, holds 55 such instances, so 512 of them go in 10 parts. (On torch's CPU the
measured peaks were 94 to 100 % of the plan, for D = 144 and 576.) An instance takes about 40·D³ operations in the walk
and 10·D³ in the dive and the flips, 4.9e12, and its matrices are read for some 400 GB. At 50 TFLOPS and 4 TB/s that
would be 0.1 s for the operations and 0.1 s for the memory. The 14,000 steps of a walk take 0.4 ms each for a whole part
if a launch takes 8 µs, or 0.1 s for an instance. This is a plan, not a measurement: no GPU was at hand.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from slth.rss.control import Control, Incumbent
from slth.rss.device.backend import TorchDevice, load_torch
from slth.rss.device.flips import improve_best_batch
from slth.rss.device.pursuit import flip_greedily, stack
from slth.rss.device.vertex import round_vertices
from slth.rss.problem import Problem
from slth.rss.relax import (
    CORE_RATIO,
    DENSE_RATIO,
    GAIN_SHARE,
    HANDOVER_FRACTION,
    OVERTIME_SECONDS,
    WIDE_RATIO,
    thin,
    thinned_size,
)


def solve_relaxed(
    problems: Sequence[Problem], controls: Sequence[Control], device: TorchDevice, threads: int
) -> list[Incumbent]:
    """Solve by rounded vertices of the relaxation, as many instances at once as the memory of a torch device allows.

    Args:
        problems: the instances, of any sizes and of one dimension and norm, without a fixed size.
        controls: their limits, alike except for the units of eps. With a time limit every part of the batch gets an
            equal share of what is left; its first pass is never cut.
        device: where the instances go.
        threads: not used: the host has nothing to do.

    Returns:
        The best selection found for each; nothing is proved.
    """
    alike, dim = defaultdict[int, list[int]](list), problems[0].dimension
    ratio = CORE_RATIO if controls[0].deadline is None else WIDE_RATIO
    for i, one in enumerate(problems):
        # Zero vectors change nothing and are never selected.
        count = np.count_nonzero(np.einsum("nd,nd->n", one.vectors, one.vectors))
        alike[min(ratio * dim, int(count))].append(i)
    parts = []
    for core, members in alike.items():
        need = instance_bytes(max(problems[i].size for i in members), dim, core)
        at_once = int(max(1, device.memory // need))
        parts += [(core, members[start : start + at_once]) for start in range(0, len(members), at_once)]
    found: dict[int, Incumbent] = {}
    for number, (core, part) in enumerate(parts):
        own = [problems[i] for i in part]
        limits = [controls[i] for i in part]
        if (deadline := limits[0].deadline) is not None:
            now = time.monotonic()
            limits = [replace(one, deadline=now + (deadline - now) / (len(parts) - number)) for one in limits]
        found |= zip(part, _solve_part(own, limits, device, core), strict=True)
    return [found[i] for i in range(len(problems))]


def instance_bytes(n: int, dimension: int, core: int) -> float:
    """Bytes that an instance takes on a device, at most.

    Args:
        n: number of candidates.
        dimension: D.
        core: number of candidates of the core.
    """
    face = min(core, dimension + dimension // 8)
    pool = min(core, max(2 * dimension, 128))
    thinned = thinned_size(n, DENSE_RATIO * dimension)
    first = 8.0 * n * dimension + (8.0 * thinned * dimension if thinned < n else 0.0) + 60.0 * n
    walk = 12.0 * core * dimension + 20.0 * dimension**2 + 800.0 * core
    dive = 24.0 * face * dimension + 20.0 * face**2
    flips = 12.0 * pool * dimension + 8.0 * pool**2
    return 8.0 * core * dimension + max(first, walk, dive, flips) + 200.0 * core


def _solve_part(
    problems: Sequence[Problem], controls: Sequence[Control], device: TorchDevice, count: int
) -> list[Incumbent]:
    """The selections of instances with cores of ``count`` candidates each."""
    if not count:
        return [Incumbent(selected=np.zeros(one.size, dtype=bool)) for one in problems]
    torch, control = load_torch(), controls[0]
    x, targets, norms = stack(problems, device)
    order = norms.masked_fill(norms == 0, math.inf).argsort(dim=1, stable=True)
    small = order[:, :count].flip(1)
    core = _rows(x, small)
    start = _approach(x, targets, norms, order, core, control)
    goal = targets - (start.double()[:, None] @ x)[:, 0]
    del x
    best, least = torch.zeros_like(small, dtype=torch.bool), torch.full_like(goal[:, 0], math.inf)
    good_enough = torch.as_tensor([one.eps or 0.0 for one in controls], device=device.name)
    restarts, rng = 0, None
    while True:
        began = time.monotonic()
        point = np.full(count, 0.5) if rng is None else np.minimum(0.5 * rng.uniform(0.5, 1.5, count), 1.0)
        entries = torch.as_tensor(point, device=device.name).repeat(len(problems), 1)
        residual = round_vertices(core, goal, entries)
        chosen = improve_best_batch(core, residual, entries > 0.5)
        left = goal - (chosen.double()[:, None] @ core)[:, 0]
        error = left.abs().amax(1) if problems[0].norm == "linf" else left.norm(dim=1)
        better = error < least
        best, least = torch.where(better[:, None], chosen, best), torch.where(better, error, least)
        restarts += 1
        if control.deadline is None or control.expired() or bool((least <= good_enough).all()):
            break
        if 2 * time.monotonic() - began > control.deadline + OVERTIME_SECONDS:
            break  # another pass would take as long
        rng = np.random.default_rng([control.seed, restarts])
    selected = start.scatter(1, small, best).cpu().numpy()
    stats = {"core": count, "restarts": restarts}
    return [Incumbent(selected=mine[: one.size], stats=stats) for mine, one in zip(selected, problems, strict=True)]


def _approach(x: Any, targets: Any, norms: Any, order: Any, core: Any, control: Control) -> Any:
    """Select large candidates until the core can do the rest: bool (b, n)."""
    torch = load_torch()
    residual = targets - 0.5 * core.sum(1)
    energy, count = residual.square().sum(1), core.shape[1]
    reach = (core @ residual[:, :, None]).abs().sum((1, 2)) / 2
    selected = torch.zeros_like(norms, dtype=torch.bool)
    numbers = ((norms > 0).sum(1) - count).cpu().numpy()
    stop = torch.where(energy <= HANDOVER_FRACTION * reach, math.inf, HANDOVER_FRACTION * reach / energy.sqrt())
    dense = DENSE_RATIO * x.shape[2]
    samples = [thin(int(number), dense) for number in numbers]
    for whole in (False, True):
        if not whole and all(len(one) == number for one, number in zip(samples, numbers, strict=True)):
            continue
        size = int(max(numbers if whole else map(len, samples)))
        ranks = [np.arange(number) for number in numbers] if whole else samples
        # Places after the candidates of an instance are filled with its smallest one, which may not be flipped here.
        padded = np.stack([np.pad(count + rank, (0, size - len(rank))) for rank in ranks])
        places = order.gather(1, torch.as_tensor(padded, device=x.device)).sort(dim=1)[0]
        allowed = torch.zeros_like(selected).scatter_(1, places, True).scatter_(1, order[:, :count], False)
        free = norms.masked_fill(~allowed | selected | (norms == 0), math.inf)
        if whole:
            sign = torch.ones_like(norms)
            flip_greedily(x, residual, sign, free, control, stop=stop, gain_share=GAIN_SHARE)
            selected |= sign < 0
        else:
            sign = torch.ones_like(places, dtype=norms.dtype)
            flip_greedily(
                _rows(x, places), residual, sign, free.gather(1, places), control, stop=stop, gain_share=GAIN_SHARE
            )
            flipped = torch.zeros_like(norms).scatter_add_(1, places, (sign < 0).to(norms.dtype))
            selected |= flipped > 0
    return selected


def _rows(x: Any, places: Any) -> Any:
    """Some of the candidates of each instance."""
    return x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))
