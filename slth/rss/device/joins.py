r"""The joins of many trees at once on a torch device: what :mod:`slth.rss.tree_build` does for one tree.

Trees with equally many lists of equally many candidates are joined together, step by step: every instance makes the
next join of its own tree, children first. The cells have the seeds of the compiled code, so the lists are the same,
except where rounding decides (see :mod:`slth.rss.device.lists`).

An instance takes :func:`instance_bytes`, and a part of the batch has as many as fit the device. At D = 9 and n = 1000
that is 2.9 MB for the default effort (4 lists of 2¹² sums), and 7.4 GB for an effort of 20 s (43 lists of 2²² sums in
64 bits). So a GPU of 139 GiB would join 31,000 of the one at a time, and 12 of the other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, IntArray
from slth.rss.control import Control
from slth.rss.device.backend import TorchDevice, load_torch
from slth.rss.device.cells import MOST_INSTANCES, Lists
from slth.rss.device.lists import Output, join_batch, nearest_batch
from slth.rss.tree_build import LOOKED_AT, MOST_LOOKED_AT, WIDENING, Tree, branch_nodes, root_rounds, seed_of
from slth.rss.tree_shape import Shape

# The share of the memory for the pairs that are looked at at a time. More than MOST_PAIRS_AT_ONCE gain no speed.
PAIR_SHARE, MOST_PAIRS_AT_ONCE = 0.25, 2**24
# The bytes of such a pair, beside two rows of the pool and their sum.
PAIR_BYTES = 80
# The bytes that a join takes for each entry of its two lists, beside their rows: keys, orders and places.
WORK_BYTES = 2 * 120


@dataclass
class Schedule:
    """The joins of one tree in the order in which they are made, and where their lists lie.

    Attributes:
        nodes: the joins below the root.
        children: the two children of each of them; last, those of the root.
        slots: the slots of the two children and of the join. Those of the root's children come last.
        normal: whether both children are leaves of the same branch.
        width: how many slots are in use at once.
    """

    nodes: list[int] = field(default_factory=list)
    children: list[tuple[int, int]] = field(default_factory=list)
    slots: list[tuple[int, int, int]] = field(default_factory=list)
    normal: list[bool] = field(default_factory=list)
    width: int = 0


def plan_joins(shape: Shape) -> Schedule:
    """The schedule of a tree: depth first, so that few lists are alive at once."""
    plan, slots, free = Schedule(), dict[int, int](), list[int]()
    in_branch = {int(one) for node in branch_nodes(shape) for one in shape.order(node)}

    def take() -> int:
        if not free:
            free.append(plan.width)
            plan.width += 1
        return free.pop()

    root = shape.lists + len(shape.children) - 1
    for node in [int(one) for one in shape.order(root)]:
        if node < shape.lists:
            slots[node] = take()
            continue
        one, other = (int(child) for child in shape.children[node - shape.lists])
        plan.children.append((one, other))
        own = -1 if node == root else take()
        plan.slots.append((slots[one], slots[other], own))
        if node != root:
            plan.nodes.append(node)
            plan.normal.append(node in in_branch and max(one, other) < shape.lists)
            slots[node] = own
            free += [slots.pop(one), slots.pop(other)]
    return plan


def instance_bytes(tree: Tree) -> float:
    """Bytes that the joins of a tree take on a device, without the pairs that are looked at."""
    (lists, bits, dimension), item = tree.halves.shape, tree.halves.itemsize
    row = dimension * item
    alive = math.log2(lists) + 3
    need: float = tree.shape.capacity * (8.0 * lists + (alive + 3) * row + WORK_BYTES) + lists * bits * row
    return need


def join_trees(
    trees: Sequence[Tree], seed: int, control: Control, device: TorchDevice, *, euclidean: bool
) -> list[list[BoolArray]]:
    """What :func:`slth.rss.tree_build.best_choices` finds, for many trees.

    Args:
        trees: the lists of each instance.
        seed: seed of the cells.
        control: its limits. Nothing is found in trees that are not joined by the deadline.
        device: where the lists are joined.
        euclidean: whether the nearest pair is that in L2, not in L∞.

    Returns:
        For each tree its choices, bool (k, t) each.
    """
    alike = defaultdict[tuple[Any, ...], list[int]](list)
    for i, tree in enumerate(trees):
        alike[tree.halves.shape, tree.halves.dtype].append(i)
    found: list[list[BoolArray]] = [[] for _ in trees]
    for members in alike.values():
        one = trees[members[0]]
        row = one.halves.shape[2] * one.halves.itemsize
        pairs = int(min(MOST_PAIRS_AT_ONCE, max(2**10, PAIR_SHARE * device.memory / (PAIR_BYTES + 3 * row))))
        number = int((1 - PAIR_SHARE) * device.memory / instance_bytes(one))
        number = max(1, min(number, MOST_INSTANCES))
        for start in range(0, len(members), number):
            part = members[start : start + number]
            choices = _Joins([trees[i] for i in part], seed, device, pairs).choices(control, euclidean=euclidean)
            for i, mine in zip(part, choices, strict=True):
                found[i] = mine
    return found


class _Joins:
    """Trees of equally many lists that are joined together."""

    def __init__(self, trees: Sequence[Tree], seed: int, device: TorchDevice, pairs: int) -> None:
        torch = load_torch()
        self.shape, self.seed, self.pairs = trees[0].shape, seed, pairs
        self.counted = trees[0].counted
        plans = [plan_joins(tree.shape) for tree in trees]
        # Each with a row for each tree and a column for each step.
        self.nodes = np.array([plan.nodes for plan in plans], dtype=np.int64).reshape(len(trees), -1)
        self.children, self.slots = (
            np.array([getattr(plan, name) for plan in plans]) for name in ("children", "slots")
        )
        self.normal = np.array([plan.normal for plan in plans], dtype=bool).reshape(len(trees), -1)
        self.halves = torch.as_tensor(np.stack([tree.halves for tree in trees]), device=device.name)
        self.starts = torch.as_tensor(np.stack([tree.starts for tree in trees]), device=device.name)
        width, capacity = max(plan.width for plan in plans), self.shape.capacity
        empty = {"device": device.name, "dtype": self.halves.dtype}
        self.pool = torch.empty((len(trees) * width * capacity, self.halves.shape[3]), **empty)
        steps = self.nodes.shape[1]
        self.parents = torch.empty((steps, len(trees), capacity, 2), dtype=torch.int32, device=device.name)
        # Where the list of each slot begins in the pool, and how many entries it has.
        self.bases = np.arange(len(trees) * width).reshape(len(trees), width) * capacity
        self.counts = np.zeros((len(trees), width), dtype=np.int64)

    def choices(self, control: Control, *, euclidean: bool) -> list[list[BoolArray]]:
        """For each tree its choices; none when the deadline passes before the last join."""
        size, wanted = len(self.bases), 1 << self.shape.bits
        every = np.arange(size)
        for step in range(self.nodes.shape[1]):
            if control.expired():
                return [[] for _ in every]
            a, b = self._lists(step)
            own = self.slots[:, step, 2]
            out = Output(self.bases[every, own], self.parents[step], self.pairs)
            seeds = np.array([seed_of(self.seed, int(node)) for node in self.nodes[:, step]])
            made = join_batch(a, b, wanted, LOOKED_AT * wanted, self.normal[:, step], seeds, out)
            self.counts[every, own] = made.counts
        return self._trace(self._nearest(*self._lists(-1), control, euclidean=euclidean))

    def _lists(self, step: int) -> tuple[Lists, Lists]:
        """The two lists of each tree that a step joins. Those of leaves are written now."""
        sides = []
        for side in range(2):
            slots, children = self.slots[:, step, side], self.children[:, step, side]
            leaves, every = np.flatnonzero(children < self.shape.lists), np.arange(len(slots))
            if len(leaves):
                self._write_leaves(leaves, children[leaves], slots[leaves])
            sides.append(Lists(self.pool, self.bases[every, slots], self.counts[every, slots]))
        return sides[0], sides[1]

    def _write_leaves(self, trees: IntArray, leaves: IntArray, slots: IntArray) -> None:
        """Write all sums start + Σ_b ±halves_b; bit b of the place of a sum is 1 for the sign +."""
        torch = load_torch()
        count = 1 << self.shape.bits
        where, which = (torch.as_tensor(one, device=self.pool.device) for one in (trees, leaves))
        halves = self.halves[where, which]
        sums = torch.empty((len(trees), count, halves.shape[2]), dtype=halves.dtype, device=halves.device)
        sums[:, 0] = self.starts[where, which] - halves.sum(1, dtype=halves.dtype)
        for i in range(self.shape.bits):
            torch.add(sums[:, : 1 << i], halves[:, i, None], alpha=2, out=sums[:, 1 << i : 2 << i])
        base = torch.as_tensor(self.bases[trees, slots], device=self.pool.device)
        self.pool[base[:, None] + torch.arange(count, device=base.device)] = sums
        self.counts[trees, slots] = count

    def _nearest(self, a: Lists, b: Lists, control: Control, *, euclidean: bool) -> npt.NDArray[np.int64]:
        """The places of the nearest pairs of the last two lists: int64 (b, rounds, 2); −1 where none is found."""
        root, rounds = self.shape.lists + len(self.shape.children) - 1, root_rounds(self.shape)
        found = np.full((len(self.bases), rounds, 2), -1)
        for i in range(rounds):
            left, looked_at = np.flatnonzero((a.counts > 0) & (b.counts > 0)), LOOKED_AT * 2.0**self.shape.bits
            while len(left) and looked_at <= MOST_LOOKED_AT * 2.0**self.shape.bits and not control.expired():
                seeds = np.full(len(left), seed_of(self.seed, root + i))
                found[left, i] = nearest_batch(
                    a.of(left), b.of(left), looked_at, seeds,
                    euclidean=euclidean, counted=self.counted, pairs=self.pairs,
                )  # fmt: skip
                left = left[found[left, i, 0] < 0]
                looked_at *= WIDENING
        return found

    def _trace(self, pairs: npt.NDArray[np.int64]) -> list[list[BoolArray]]:
        """The choices that the pairs of the last two lists are the sums of, in the order of the compiled code."""
        torch = load_torch()
        device, every = self.pool.device, np.arange(len(pairs))
        places = np.full((*pairs.shape[:2], self.shape.lists + self.nodes.shape[1]), -1)
        for side in range(2):
            places[every, :, self.children[:, -1, side]] = pairs[:, :, side]
        here, every = (torch.as_tensor(one, device=device) for one in (places, every))
        for step in reversed(range(self.nodes.shape[1])):
            nodes, children = (torch.as_tensor(one[:, step], device=device) for one in (self.nodes, self.children))
            place = here[every, :, nodes]
            parents = self.parents[step][every[:, None], place.clamp(min=0)].long()
            for side in range(2):
                here[every, :, children[:, side]] = torch.where(place >= 0, parents[:, :, side], -1)
        leaves = here[:, :, : self.shape.lists].cpu().numpy()
        chosen = (leaves[..., None] >> np.arange(self.shape.bits) & 1).astype(bool)
        different = [{pair: r for r, pair in enumerate(map(tuple, mine.tolist())) if pair[0] >= 0} for mine in pairs]
        return [[mine[rounds[pair]] for pair in sorted(rounds)] for mine, rounds in zip(chosen, different, strict=True)]
