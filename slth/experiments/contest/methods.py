"""The methods of the contest: every way to a ticket, trained or not, behind one signature.

A method takes a :class:`~slth.experiments.contest.job.Job` and returns an
:class:`~slth.experiments.contest.job.Outcome`. This module says for each method which network it starts from, what its
search costs in epochs, and what its ticket is.
"""

from __future__ import annotations

import inspect
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
from slth.errors import InputError, check_keys
from slth.experiments.contest.job import Job, Outcome
from slth.tickets import find_ticket

# For dense networks, and for fine-tuning after pruning at initialisation: Adam with one cycle needs no tuning here.
DENSE_TRAINING = Recipe(optimiser="adam", learning_rate=2e-3, schedule="one-cycle")

Method = Callable[[Job], Outcome]


def dense(job: Job) -> Outcome:
    """The whole network, trained: the reference of all other methods."""
    if job.options:
        raise InputError(f"dense training has no options; got {', '.join(job.options)}. Change its recipe instead.")
    return _trained(job)


def by_search(find: Callable[..., Found], default: Recipe) -> Method:
    """A method that is a single search, as most are.

    Args:
        find: the search. Its arguments that a job does not fill in are the method's options.
        default: its recipe, which a job may change.

    Returns:
        The method.
    """

    def run(job: Job) -> Outcome:
        _check_options(job, find)
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
    """IMP with rewinding.

    Options are ``rewind``, the step t_r (0); ``fraction``, the fraction pruned at each level (0.2); and ``total``,
    whether the levels share the job's epochs (False), for comparisons at equal compute.
    """
    check_keys("options", job.options, ("rewind", "fraction", "total"))
    if job.density >= 1:
        raise InputError(f"iterative pruning must end below density 1; got {job.density:g}. For 1, train dense.")
    densities = imp.schedule(job.density, job.options.get("fraction", 0.2))
    recipe = job.resolve_recipe(imp.RECIPE)
    if job.options.get("total", False):
        recipe = replace(recipe, epochs=max(1, round(recipe.epochs / len(densities))))
    rewind = job.options.get("rewind", 0)
    start = imp.rewind_point(job.model(), job.data, recipe=recipe, step=rewind, folder=job.folder, device=job.device,
                             progress=job.progress)  # fmt: skip
    levels = list(
        imp.prune(start, job.data, recipe=recipe, rewind=rewind, densities=densities, validation=job.validation,
                  folder=job.folder, device=job.device, progress=job.progress)
    )  # fmt: skip
    steps = rewind + sum(level.history.steps for level in levels[:-1])
    per_epoch = recipe.steps(len(job.data)) / recipe.epochs
    last = levels[-1]
    kept, total = _count(last.masks)
    return Outcome(
        network=masked(start, last.masks).cpu(), tuned=last.network.cpu(), kept=kept, total=total, untouched=False,
        epochs=steps / per_epoch, tuned_epochs=last.history.steps / per_epoch,
        seconds=sum(level.history.seconds for level in levels[:-1]),
        levels=tuple((level.density, level.network.cpu()) for level in levels), notes={"rewind": rewind},
    )  # fmt: skip


def at_initialisation(criterion: str) -> Method:
    """A method of :mod:`slth.baselines.at_init`: the ticket is chosen before any training."""

    def run(job: Job) -> Outcome:
        _check_options(job, at_init.find)
        _check_no_recipe(job)
        found = at_init.find(job.model(), job.data, density=job.density, method=criterion, seed=job.seed,
                             progress=job.progress, **job.options)  # fmt: skip
        return replace(_outcome(found), tuning=DENSE_TRAINING)

    return run


def smart_random(job: Job) -> Outcome:
    """Random masks with smart layer-wise ratios."""
    _check_options(job, smart.find)
    _check_no_recipe(job)
    found = smart.find(job.model(), density=job.density, seed=job.seed, progress=job.progress, **job.options)
    return replace(_outcome(found), tuning=DENSE_TRAINING)


def filter_pruning(job: Job) -> Outcome:
    """Whole filters are pruned from a trained network, and the small one is trained for as many epochs.

    Options are those of :func:`slth.baselines.filters.find`.
    """
    _check_options(job, filters.find)
    recipe = job.resolve_recipe(DENSE_TRAINING)
    found = filters.find(
        job.model(), job.data, density=job.density, recipe=recipe, fine_tuning=recipe, seed=job.seed,
        validation=job.validation, checkpoint=job.checkpoint("search"), device=job.device, progress=job.progress,
        **job.options,
    )  # fmt: skip
    return replace(_outcome(found), network=found.network, tuned=found.compact, found=None)


def ensemble(lams: tuple[float, ...]) -> Method:
    """An ensemble of edge-popup tickets, one for each λ of the robust loss.

    Options are ``lams``, the λ of the members (``inf`` for plain training), and ``init`` and ``scale_fan`` of
    edge-popup.
    """

    def run(job: Job) -> Outcome:
        check_keys("options", job.options, ("lams", "init", "scale_fan"))
        options = {"scale_fan": True, **job.options}
        chosen = _lambdas(options.pop("lams", lams))
        recipe = job.resolve_recipe(dro.RECIPE)
        # No two ensembles of a study share a member's seed.
        parts = dro.tickets(
            job.model(), job.data, density=job.density, lams=chosen,
            seeds=[1000 * job.seed + i for i in range(len(chosen))], recipe=recipe, folder=job.folder,
            device=job.device, progress=job.progress, **options,
        )  # fmt: skip
        return Outcome(
            network=dro.Ensemble([part.module() for part in parts]), untouched=all(part.untouched for part in parts),
            kept=sum(_count(part.masks)[0] for part in parts), total=sum(_count(part.masks)[1] for part in parts),
            epochs=float(recipe.epochs * len(parts)), seconds=sum(part.seconds for part in parts),
            notes={"lams": [str(lam) for lam in chosen]},
        )  # fmt: skip

    return run


def subset_sum(job: Job) -> Outcome:
    """A dense network is trained as the target; its ticket is found by subset sum, without training.

    Options are ``width``, ``structure`` and other arguments of :func:`slth.tickets.find_ticket`. The density is what
    the ticket keeps of its random parent; it follows from the width, and the job's ``density`` plays no part. The
    epochs are those of the target.
    """
    filled = ("model", "example_input", "seed", "progress")
    check_keys(
        "options", job.options, [name for name in inspect.signature(find_ticket).parameters if name not in filled]
    )
    target = _trained(job)
    options = {"width": 10_000, "input_range": (0.0, 1.0), **job.options}
    ticket = find_ticket(
        target.network, example_input=job.data.images[:1], seed=job.seed, progress=job.progress, **options
    )
    kept, total = sum(layer.weights for layer in ticket.layers), sum(layer.random for layer in ticket.layers)
    return Outcome(
        network=ticket.folded(), tuned=None, kept=kept, total=total, epochs=target.epochs,
        seconds=sum(layer.seconds for layer in ticket.layers), untouched=True,
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


def _check_options(job: Job, find: Callable[..., Any]) -> None:
    """Raise :class:`InputError` for an option that is no argument of ``find``, or one that a job fills in itself."""
    filled = {"model", "data", "density", "recipe", "fine_tuning", "method", "seed", "objective", "validation",
              "checkpoint", "device", "progress"}  # fmt: skip
    check_keys("options", job.options, [name for name in inspect.signature(find).parameters if name not in filled])


def _lambdas(given: Any) -> list[float]:
    try:
        chosen = [float(lam) for lam in given]
    except (TypeError, ValueError):
        chosen = []
    if not chosen:
        raise InputError(f"lams must be a list of numbers > 0 (inf for plain training), one a member; got {given!r}.")
    return [dro.check_lambda(lam) for lam in chosen]


def _check_no_recipe(job: Job) -> None:
    if job.recipe:
        raise InputError(
            "a method that does not train has no recipe to change; got "
            f"{', '.join(job.recipe)}. Change that of its fine-tuning (tune, or --tune)."
        )


def _outcome(found: Found) -> Outcome:
    kept, total = _count(found.masks)
    return Outcome(
        network=found.module(), kept=kept, total=total, epochs=float(len(found.history.epochs)), seconds=found.seconds,
        untouched=found.untouched, found=found, notes={**found.notes, "collapsed": found.collapsed},
    )  # fmt: skip


def _count(masks: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    pairs = counts(masks).values()
    return sum(kept for kept, _ in pairs), sum(total for _, total in pairs)
