"""The judge: what is measured of a contestant's ticket, and the run from the search to the test set.

Test data are used once, at the end. Three things are measured on them: what the search gave (``found``), the same
after fine-tuning (``tuned``), and the sanity checks of a ticket of frozen weights. No decision depends on them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from slth.baselines import calibration, smart
from slth.baselines.found import fine_tuned
from slth.baselines.gem_miner import sanity_checks
from slth.baselines.training import logits_of
from slth.data import Split, corruptions
from slth.errors import TrainingError
from slth.experiments.contest.contestant import Contestant, prepare
from slth.experiments.contest.images import corrupted_data, test_data, unknown_data
from slth.experiments.contest.job import Job, Outcome
from slth.experiments.contest.methods import METHODS

# Stages of a ticket, and what tables call them.
STAGES = {
    "found": "as found", "tuned": "fine-tuned", "shuffled": "mask shuffled, tuned",
    "redrawn": "weights redrawn, tuned", "smart": "random with smart ratios, tuned",
}  # fmt: skip
# Measures of a stage: what tables call each, and whether it is a percentage.
MEASURES = {
    "accuracy": ("accuracy", True), "nll": ("NLL (nats)", False), "brier": ("Brier", False),
    "ece": ("ECE, equal width", True), "ece_mass": ("ECE, equal mass", True), "auroc": ("AUROC, unknown inputs", False),
}  # fmt: skip
# Added to a ticket's seed to draw its sanity checks, so that they share no seed with a ticket of the study.
SANITY_SEED_OFFSET = 77_000


def run(point: Contestant, seed: int) -> dict[str, Any]:
    """Search, fine-tune, check, and measure on test data.

    Args:
        point: the contestant.
        seed: of weights, scores, parents and the order of the data.

    Returns:
        As :func:`judge`.
    """
    job = prepare(point, seed)
    return judge(point, job, METHODS[point.method](job))


def judge(point: Contestant, job: Job, outcome: Outcome) -> dict[str, Any]:
    """Fine-tune and check an outcome as far as the contestant asks for it, and measure all of it on test data.

    Args:
        point: the contestant.
        job: what its method was given.
        outcome: what its method gave back.

    Returns:
        ``density``, ``kept``, ``total``, ``untouched``, ``epochs`` and ``seconds`` of the search, ``notes``;
        ``stages``: those of :data:`STAGES` that were asked for, each with its measures; ``tuned_epochs``, if there
        was fine-tuning; ``levels``: (density, accuracy) pairs of the tickets on the way, if there are any.
    """
    test = test_data(point.data, point.test)
    stages = {"found": _measure(point, outcome.network, test)}
    result: dict[str, Any] = {
        "density": outcome.kept / outcome.total, "kept": outcome.kept, "total": outcome.total,
        "untouched": outcome.untouched, "epochs": outcome.epochs, "seconds": outcome.seconds,
        "notes": dict(outcome.notes), "stages": stages,
    }  # fmt: skip
    if outcome.tuned is not None:
        stages["tuned"] = _measure(point, outcome.tuned, test)
        result["tuned_epochs"] = outcome.tuned_epochs
    elif point.finetune and outcome.found is not None:
        recipe = replace(job, epochs=point.finetune, recipe=point.tune).resolve_recipe(outcome.tuning)
        candidates = {"tuned": outcome.found}
        if point.sanity:
            init = job.options.get("init", "signed_constant")
            seed = SANITY_SEED_OFFSET + job.seed
            candidates |= sanity_checks(outcome.found, job.model(), job.data, seed=seed, init=init)
            candidates["smart"] = smart.find(job.model(), density=result["density"], seed=job.seed, frozen=True)
        for name, found in candidates.items():
            try:
                tuned, history = fine_tuned(
                    found,
                    job.data,
                    recipe=recipe,
                    checkpoint=job.checkpoint(name),
                    device=job.device,
                    progress=job.progress,
                )
            except TrainingError as cause:  # a collapsed layer is a result: the study goes on
                stages[name] = {"error": str(cause)}
                continue
            stages[name] = _measure(point, tuned, test) | {"seconds": history.seconds}
        result["tuned_epochs"] = point.finetune
    if outcome.levels:
        result["levels"] = [
            [density, calibration.accuracy(logits_of(network, test.images), test.labels)]
            for density, network in outcome.levels
        ]
    return result


def _measure(point: Contestant, network: nn.Module, test: Split) -> dict[str, Any]:
    """Accuracy and calibration of a network on test images, and on unknown and corrupted ones if asked for."""
    logits = logits_of(network, test.images)
    outside = logits_of(network, unknown_data(point.unknown, point.data).images) if point.unknown else None
    measured: dict[str, Any] = calibration.measures(logits, test.labels, outside)
    table = calibration.reliability(logits, test.labels)
    full = table.count > 0
    measured["reliability"] = {
        name: getattr(table, name)[full].tolist() for name in ("confidence", "accuracy", "count")
    }
    if point.corrupted:
        measured["corrupted"] = {
            kind: calibration.accuracy(
                logits_of(network, corrupted_data(point.data, point.test, kind, point.corrupted).images), test.labels
            )
            for kind in corruptions.KINDS
        }
    return measured
