"""``tree`` for many instances at once: planned on the host as for one, joined on a torch device.

The host chooses the shape of each tree and settles the other candidates, with the code of :mod:`slth.rss.tree` and in
several threads. The joins are those of :mod:`slth.rss.device.joins`. Without a time limit the selections are those of
``solve``, except where rounding decides. With a time limit all instances share it: every round builds a tree for each
instance, and the next round has larger trees as long as they will fit the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from slth.rss.control import Control, Incumbent
from slth.rss.device.backend import TorchDevice
from slth.rss.device.joins import join_trees
from slth.rss.problem import Problem
from slth.rss.relax import solve_relax
from slth.rss.threads import map_threads
from slth.rss.tree import (
    ENTRIES_PER_SECOND,
    GROWTH,
    SEED_STEP,
    WORTHWHILE,
    nearest_selection,
    next_entries,
    plant,
)
from slth.rss.tree_build import Tree

# The budget of the first trees under a time limit, in entries of each. They are small, because there may be many.
FIRST_ENTRIES = 2.0**14


def solve_trees(
    problems: Sequence[Problem], controls: Sequence[Control], device: TorchDevice, threads: int
) -> list[Incumbent]:
    """Solve by trees of lists of subset sums, joined on a torch device.

    Args:
        problems: the instances, of any sizes and dimensions.
        controls: their limits, alike except for the units of eps.
        device: where the lists are joined.
        threads: how many threads of the host plan the trees.

    Returns:
        The best selection found for each; nothing is proved.
    """
    pairs = list(zip(problems, controls, strict=True))
    firsts = map_threads(lambda pair: solve_relax(pair[0], replace(pair[1], deadline=None)), pairs, threads)
    best = [first.selected for first in firsts]
    errors = [one.length(one.target - chosen @ one.vectors) for one, chosen in zip(problems, best, strict=True)]
    built: list[list[Tree]] = [[] for _ in problems]
    least = [math.inf] * len(problems)  # the error to expect of the best tree
    control = controls[0]
    entries = control.effort * ENTRIES_PER_SECOND if control.deadline is None else FIRST_ENTRIES
    seed, left = SEED_STEP * control.seed, list(range(len(problems)))
    while left and not control.expired():
        began = time.monotonic()
        planted = map_threads(lambda i: plant(problems[i], entries, controls[i]), left, threads)  # noqa: B023
        trees: dict[int, Tree] = {}
        for i, tree in zip(left, planted, strict=True):
            if tree is None or not _worthwhile(tree.shape.expected, least[i], control):
                continue
            trees[i], least[i] = tree, min(least[i], tree.shape.expected)
        for norm in {problems[i].norm for i in trees}:
            mine = [i for i in trees if problems[i].norm == norm]
            found = join_trees([trees[i] for i in mine], seed, control, device, euclidean=norm == "l2")
            for i, choices in zip(mine, found, strict=True):
                selected, error = nearest_selection(problems[i], trees[i], choices)
                built[i].append(trees[i])
                if selected is not None and error < errors[i]:
                    best[i], errors[i] = selected, error
        left = [i for i in trees if not _reached(errors[i], controls[i].eps)]
        if control.deadline is None:
            left = [i for i in left if control.eps is not None]
            entries *= GROWTH
        elif trees:
            now = time.monotonic()
            largest = max((tree.shape for tree in trees.values()), key=lambda shape: shape.lists << shape.bits)
            entries = next_entries(largest, entries, now - began, control.deadline - now)
            seed += 1
    return [
        Incumbent(selected=chosen, stats={"trees": len(mine), **first.stats, **_shape_stats(mine)})
        for chosen, mine, first in zip(best, built, firsts, strict=True)
    ]


def _worthwhile(expected: float, least: float, control: Control) -> bool:
    """Whether a tree is built after one with the error ``least`` to expect."""
    return expected < least if control.deadline is None else expected <= WORTHWHILE * least


def _reached(error: float, eps: float | None) -> bool:
    return eps is not None and error <= eps


def _shape_stats(trees: list[Tree]) -> dict[str, float]:
    """What is told of the last tree."""
    if not trees:
        return {}
    shape = trees[-1].shape
    return {"lists": shape.lists, "candidates_per_list": shape.bits, "expected": shape.expected}
