"""Every search of this package on a planted ticket: the same mother, the same data, the planted density."""

from __future__ import annotations

import copy
from collections.abc import Callable

from slth.baselines import at_init, edge_popup, gates, gem_miner, imp
from slth.baselines import planted_tickets as planted
from slth.baselines.found import masked
from slth.baselines.masks import Masks
from slth.baselines.planted_tickets import Planted
from slth.baselines.recipe import Recipe
from slth.baselines.training import accuracy
from slth.errors import check_choice

_SCORED: dict[str, Callable[..., Masks]] = {
    "edge-popup": lambda made, **options: edge_popup.find(made.network, made.train, init="given", **options).masks,
    "gates": lambda made, **options: gates.find(made.network, made.train, init="given", **options).masks,
    "gem-miner": lambda made, **options: gem_miner.find(made.network, made.train, init="given", **options).masks,
}
SEARCHES = (*_SCORED, *at_init.CRITERIA, "imp")


def masks_of(made: Planted, *, method: str, recipe: Recipe, density: float | None = None, seed: int = 0) -> Masks:
    """What a method keeps of the mother.

    Args:
        method: one of ``SEARCHES``. recipe: of scores, gates and the levels of IMP; it has ten levels and so ten times
            the epochs, and its weights are trained. density: None for the planted one. seed: of scores and examples.

    Raises:
        InputError: unknown method, or what the method refuses.

    Source: plantnseek2022
    """
    check_choice("method", method, SEARCHES)
    density = made.density if density is None else density
    if method in _SCORED:
        return _SCORED[method](made, density=density, recipe=recipe, seed=seed)
    if method != "imp":
        return at_init.masks_of(made.network, made.train, density=density, method=method, seed=seed)
    start = copy.deepcopy(made.network).requires_grad_(True)
    fraction = 1 - density ** (1 / 10) if density < 1 else 0.2
    *_, last = imp.prune(start, made.train, recipe=recipe, rewind=0, densities=imp.schedule(density, fraction))
    return last.masks


def scores_of(made: Planted, masks: Masks) -> dict[str, float]:
    """What :func:`slth.baselines.planted_tickets.score` gives, and ``accuracy``: of the mother's weights, untrained.

    The truth has accuracy 1. A method whose masks are meant to be trained on, as those of pruning at initialisation
    and of IMP are, is asked here for what it finds without that.
    """
    return planted.score(masks, made.truth) | {"accuracy": accuracy(masked(made.network, masks), made.test)}
