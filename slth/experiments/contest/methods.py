"""The methods of the contest: every way to a ticket, trained or not, behind one signature.

A method takes a :class:`~slth.experiments.contest.job.Job` and returns an
:class:`~slth.experiments.contest.job.Outcome`. This module says for each method which network it starts from, what its
search costs in epochs, and what its ticket is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from slth.baselines import at_init, dro, edge_popup, filters, gates, gem_miner, imp, smart
from slth.baselines.found import Found, masked
from slth.baselines.masks import counts, maskable
from slth.baselines.recipe import Recipe
from slth.baselines.reuse import train_once
from slth.baselines.training import train
from slth.errors import InputError
from slth.experiments.contest.job import Job, Outcome
from slth.experiments.contest.options import Settings, read_options
from slth.tickets import find_ticket

# For dense networks, and for fine-tuning after pruning at initialisation: Adam with one cycle needs no tuning here.
DENSE_TRAINING = Recipe(optimiser="adam", learning_rate=2e-3, schedule="one-cycle")
SUBSET_SUM_DEFAULTS: dict[str, Any] = {"width": 10_000, "input_range": (0.0, 1.0)}

Method = Callable[[Job], Outcome]


def dense(job: Job) -> Outcome:
    """The whole network, trained: the reference of all other methods."""
    return _trained(job)


def by_search(find: Callable[..., Found], default: Recipe) -> Method:
    """A method that is a single search, as most are.

    Args:
        find: the search.
        default: its recipe, which a job may change.

    Returns:
        The method.
    """

    def run(job: Job) -> Outcome:
        found = find(
            job.model(), job.data, density=job.density, recipe=job.resolve_recipe(default), seed=job.seed,
            validation=job.validation,
            checkpoint=job.checkpoint("search"), device=job.device, progress=job.progress, **job.options,
        )  # fmt: skip
        return _outcome(found)

    return run


def gem_mining(job: Job) -> Outcome:
    """Gem-Miner. The published period T = 5 is for 150 epochs; a short run freezes scores more often."""
    period = min(gem_miner.PERIOD, max(1, job.epochs // 4))
    return by_search(gem_miner.find, gem_miner.RECIPE)(replace(job, options={"period": period, **job.options}))


def iterative_pruning(job: Job) -> Outcome:
    """IMP with rewinding."""
    return _prune_iteratively(job, **job.options)


def _prune_iteratively(job: Job, *, rewind: int = 0, fraction: float = 0.2, total: bool = False) -> Outcome:
    """IMP with its options.

    Args:
        job: what the method is given.
        rewind: the step t_r that every level starts from; 0 for the network as it was drawn.
        fraction: fraction of the remaining weights that a level prunes, in (0, 1).
        total: whether the levels share the job's epochs, for comparisons at equal compute; false gives the epochs to
            every level.
    """
    if job.density >= 1:
        raise InputError(f"iterative pruning must end below density 1; got {job.density:g}. For 1, train dense.")
    densities = imp.schedule(job.density, fraction)
    recipe = job.resolve_recipe(imp.RECIPE)
    if total:
        recipe = replace(recipe, epochs=max(1, round(recipe.epochs / len(densities))))
    start = imp.rewind_point(job.model(), job.data, recipe=recipe, step=rewind, folder=job.folder, device=job.device,
                             progress=job.progress)  # fmt: skip
    levels = list(
        imp.prune(start, job.data, recipe=recipe, rewind=rewind, densities=densities, validation=job.validation,
                  folder=job.folder, device=job.device, progress=job.progress)
    )  # fmt: skip
    steps = rewind + sum(level.history.steps for level in levels[:-1])
    per_epoch = recipe.steps(len(job.data)) / recipe.epochs
    last = levels[-1]
    kept, weights = _count(last.masks)
    return Outcome(
        network=masked(start, last.masks).cpu(), tuned=last.network.cpu(), kept=kept, total=weights, untouched=False,
        epochs=steps / per_epoch, tuned_epochs=last.history.steps / per_epoch,
        seconds=sum(level.history.seconds for level in levels[:-1]),
        levels=tuple((level.density, level.network.cpu()) for level in levels), notes={"rewind": rewind},
    )  # fmt: skip


def at_initialisation(criterion: str) -> Method:
    """A method of :mod:`slth.baselines.at_init`: the ticket is chosen before any training."""

    def run(job: Job) -> Outcome:
        found = at_init.find(job.model(), job.data, density=job.density, method=criterion, seed=job.seed,
                             progress=job.progress, **job.options)  # fmt: skip
        return replace(_outcome(found), tuning=DENSE_TRAINING)

    return run


def smart_random(job: Job) -> Outcome:
    """Random masks with smart layer-wise ratios."""
    found = smart.find(job.model(), density=job.density, seed=job.seed, progress=job.progress, **job.options)
    return replace(_outcome(found), tuning=DENSE_TRAINING)


def filter_pruning(job: Job) -> Outcome:
    """Whole filters are pruned from a trained network, and the small one is trained for as many epochs."""
    recipe = job.resolve_recipe(DENSE_TRAINING)
    found = filters.find(
        job.model(), job.data, density=job.density, recipe=recipe, fine_tuning=recipe, seed=job.seed,
        validation=job.validation, checkpoint=job.checkpoint("search"), device=job.device, progress=job.progress,
        **job.options,
    )  # fmt: skip
    return replace(_outcome(found), network=found.network, tuned=found.compact, found=None)


def ensemble(lams: tuple[float, ...]) -> Method:
    """An ensemble of edge-popup tickets, one for each λ of the robust loss.

    Args:
        lams: the λ of its members, where a job does not say others.
    """

    def run(job: Job) -> Outcome:
        return _join(job, **{"lams": lams, **job.options})

    return run


def _join(job: Job, *, lams: Any, init: str = "signed_constant", scale_fan: bool = True) -> Outcome:
    """An ensemble with its options.

    Args:
        job: what the method is given.
        lams: λ of the robust loss, one for each member, such as [0.5,2,"inf"]; inf for plain training.
        init: how the weights are drawn: ``signed_constant``, ``kaiming_normal``, ``kaiming_uniform``, or ``given`` for
            those of the model.
        scale_fan: whether the weights are drawn larger by 1/√density, to make up for those removed.
    """
    chosen, recipe = _lambdas(lams), job.resolve_recipe(dro.RECIPE)
    # No two ensembles of a study share a member's seed.
    parts = dro.tickets(
        job.model(), job.data, density=job.density, lams=chosen,
        seeds=[1000 * job.seed + i for i in range(len(chosen))], recipe=recipe, folder=job.folder,
        device=job.device, progress=job.progress, init=init, scale_fan=scale_fan,
    )  # fmt: skip
    return Outcome(
        network=dro.Ensemble([part.module() for part in parts]), untouched=all(part.untouched for part in parts),
        kept=sum(_count(part.masks)[0] for part in parts), total=sum(_count(part.masks)[1] for part in parts),
        epochs=float(recipe.epochs * len(parts)), seconds=sum(part.seconds for part in parts),
        notes={"lams": [str(lam) for lam in chosen]},
    )  # fmt: skip


def subset_sum(job: Job) -> Outcome:
    """A dense network is trained as the target; its ticket is found by subset sum, without training.

    Options are those of :func:`slth.tickets.find_ticket`. The density is what the ticket keeps of its random parent; it
    follows from the width, and the job's ``density`` plays no part. The epochs are those of the target.
    """
    target = _trained(job)
    options = {**SUBSET_SUM_DEFAULTS, **job.options}
    ticket = find_ticket(
        target.network, example_input=job.data.images[:1], seed=job.seed, progress=job.progress, **options
    )
    kept, total = sum(layer.weights for layer in ticket.layers), sum(layer.random for layer in ticket.layers)
    return Outcome(
        network=ticket.folded(), tuned=None, kept=kept, total=total, epochs=target.epochs,
        seconds=sum(layer.seconds or 0.0 for layer in ticket.layers), untouched=True,
        notes={"target_seconds": target.seconds, "kept_channels": ticket.kept_channels,
               "worst_relative_rms": max(layer.relative_rms for layer in ticket.layers)},
    )  # fmt: skip


METHODS: dict[str, Method] = {
    "dense": dense,
    "edge-popup": by_search(edge_popup.find, edge_popup.RECIPE),
    "gates": by_search(gates.find, gates.RECIPE),
    "gem-miner": gem_mining,
    "imp": iterative_pruning,
    **{name: at_initialisation(name) for name in at_init.CRITERIA},
    "smart-random": smart_random,
    "filters": filter_pruning,
    "dro-ensemble": ensemble(dro.LAMS),
    "plain-ensemble": ensemble((math.inf,) * len(dro.LAMS)),
    "subset-sum": subset_sum,
}
# The criterion is the method itself.
_AT_INIT = tuple(one for one in read_options(at_init.find) if one.name != "method")
# What can be set of each method: `slth train METHOD --help` shows it, and what is not in it is refused.
SETTINGS: dict[str, Settings] = {
    "dense": Settings(recipe=DENSE_TRAINING),
    "edge-popup": Settings(options=read_options(edge_popup.find), recipe=edge_popup.RECIPE),
    "gates": Settings(options=read_options(gates.find), recipe=gates.RECIPE),
    "gem-miner": Settings(
        options=read_options(gem_miner.find, period=f"{gem_miner.PERIOD}, or a fourth of the epochs if that is less"),
        recipe=gem_miner.RECIPE,
    ),
    "imp": Settings(options=read_options(_prune_iteratively), recipe=imp.RECIPE),
    **{name: Settings(options=_AT_INIT) for name in at_init.CRITERIA},
    "smart-random": Settings(options=read_options(smart.find)),
    "filters": Settings(options=read_options(filters.find), recipe=DENSE_TRAINING),
    "dro-ensemble": Settings(options=read_options(_join, lams=list(dro.LAMS)), recipe=dro.RECIPE),
    "plain-ensemble": Settings(options=read_options(_join, lams=["inf"] * len(dro.LAMS)), recipe=dro.RECIPE),
    "subset-sum": Settings(options=read_options(find_ticket, **SUBSET_SUM_DEFAULTS), recipe=DENSE_TRAINING),
}


def _trained(job: Job) -> Outcome:
    """The dense network: trained once for all points of a study, and in its own folder by a run that has one."""
    model, recipe = job.model(), job.resolve_recipe(DENSE_TRAINING)
    if job.folder is None and job.device == "cpu":
        seconds = train_once(model, job.data, recipe=recipe)
    else:
        seconds = train(model, job.data, recipe=recipe, validation=job.validation, checkpoint=job.checkpoint("dense"),
                        device=job.device, progress=job.progress).seconds  # fmt: skip
    total = sum(weight.numel() for weight in maskable(model).values())
    return Outcome(network=model.cpu(), kept=total, total=total, epochs=float(recipe.epochs), seconds=seconds,
                   untouched=False)  # fmt: skip


def _lambdas(given: Any) -> list[float]:
    try:
        chosen = [float(lam) for lam in given]
    except (TypeError, ValueError):
        chosen = []
    if not chosen:
        raise InputError(f"lams must be a list of numbers > 0 (inf for plain training), one a member; got {given!r}.")
    return [dro.check_lambda(lam) for lam in chosen]


def _outcome(found: Found) -> Outcome:
    kept, total = _count(found.masks)
    return Outcome(
        network=found.module(), kept=kept, total=total, epochs=float(len(found.history.epochs)), seconds=found.seconds,
        untouched=found.untouched, found=found, notes={**found.notes, "collapsed": found.collapsed},
    )  # fmt: skip


def _count(masks: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    pairs = counts(masks).values()
    return sum(kept for kept, _ in pairs), sum(total for _, total in pairs)
