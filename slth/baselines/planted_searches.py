"""Every search of this package on a planted ticket: the same mother network, the same data, the planted density."""

from __future__ import annotations

import copy
from collections.abc import Callable

from slth.baselines import at_init, edge_popup, gates, gem_miner, imp
from slth.baselines.found import Found, masked
from slth.baselines.masks import Masks
from slth.baselines.planted_tickets import PlantedTicket, score
from slth.baselines.recipe import Recipe
from slth.baselines.training import accuracy
from slth.errors import check_choice

_FIND: dict[str, Callable[..., Found]] = {
    "edge-popup": edge_popup.find,
    "gates": gates.find,
    "gem-miner": gem_miner.find,
}
SEARCHES = (*_FIND, *at_init.CRITERIA, "imp")


def masks_of(
    planted: PlantedTicket, *, method: str, recipe: Recipe, density: float | None = None, seed: int = 0
) -> Masks:
    """The masks that a method finds in the mother network.

    Args:
        planted: the planted problem.
        method: one of ``SEARCHES``.
        recipe: how scores, gates or the levels of IMP are trained. IMP has ten levels and so ten times the epochs, and
            it trains the weights.
        density: fraction of all weights to keep; None for the planted one.
        seed: seed of scores and examples.

    Raises:
        InputError: unknown method, or what the method refuses.

    Source: plantnseek2022
    """
    check_choice("method", method, SEARCHES)
    density = planted.density if density is None else density
    if method in _FIND:
        found = _FIND[method](planted.network, planted.train, init="given", density=density, recipe=recipe, seed=seed)
        return found.masks
    if method != "imp":
        return at_init.masks_of(planted.network, planted.train, density=density, method=method, seed=seed)
    start = copy.deepcopy(planted.network).requires_grad_(True)
    fraction = 1 - density ** (1 / 10) if density < 1 else 0.2
    *_, last = imp.prune(start, planted.train, recipe=recipe, rewind=0, densities=imp.schedule(density, fraction))
    return last.masks


def scores_of(planted: PlantedTicket, masks: Masks) -> dict[str, float]:
    """Recall and precision of the planted weights, and ``accuracy`` of the mother's untrained weights under the masks.

    The planted ticket has accuracy 1. Masks of pruning at initialisation and of IMP are meant to be trained; here they
    are judged without training.

    Args:
        planted: the planted problem.
        masks: what a search keeps of the mother network.

    Returns:
        The entries of :func:`slth.baselines.planted_tickets.score`, and ``accuracy`` on the test data.
    """
    return score(masks, planted.truth) | {"accuracy": accuracy(masked(planted.network, masks), planted.test)}
