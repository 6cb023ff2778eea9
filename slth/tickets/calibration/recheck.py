"""Recomputing the goals of a calibrated ticket from its images and its kept channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from slth.errors import InputError
from slth.tickets.calibration.goals import LayerGoals, calibrate, settings
from slth.tickets.calibration.inputs import CalibrationInputs, Inputs
from slth.tickets.calibration.moments import Matrix
from slth.tickets.record.approximation import kept_candidates
from slth.tickets.record.instance import Candidates, Instance
from slth.tickets.record.record import Record

# Goals come from ordinary floating point. A recomputed error may differ by this much, relative to itself or to the root
# mean square of the layer's weights.
TOLERANCE, WEIGHT_TOLERANCE = 1e-2, 1e-3


def recheck_calibration(record: Record, inputs: Inputs | None) -> tuple[list[str], list[str], list[str]]:
    """Compute the goals of a calibrated ticket again, and compare the errors against them with the recorded ones.

    Args:
        record: the ticket, whose kept channels are well-formed.
        inputs: the inputs that it was calibrated on; None if they are not at hand.

    Returns:
        Sentences for what does not hold, for what was checked, and for what was not.
    """
    claim = record.info.get("calibration")
    if claim is None:
        return (["images to check a calibration were given; the ticket was not calibrated"] if inputs is not None else
                []), [], []  # fmt: skip
    try:
        stated = {str(one["name"]): LayerGoals(**one) for one in claim["layers"]}
        same = set(stated) == {linear.name for linear in record.target.maps}
        named = int(claim["images"]), str(claim["images_sha256"])
        foreign = claim["settings"] != settings()
    except (KeyError, TypeError, ValueError) as cause:
        return [f"the calibration's record is incomplete ({cause})"], [], []
    if not same:
        return ["the calibration's record does not name the target's layers"], [], []
    if inputs is None:
        return [], [], [f"the goals were not computed again: that needs the {named[0]:,} images of the calibration"]
    if foreign:
        return [], [], ["the goals were not computed again: the ticket was calibrated with other settings"]
    try:
        given = CalibrationInputs.of(inputs, record.target)
        found = given.describe()
        if (found["images"], found["images_sha256"]) != named:
            return [f"the ticket was calibrated on {named[0]:,} other images than those given"], [], []
        shrinkages = {name: one.shrinkage for name, one in stated.items()}
        again = calibrate(record.target, record.channels, given, _replay(record), shrinkages=shrinkages)
    except (InputError, np.linalg.LinAlgError) as cause:
        return [f"the calibration's record does not fit the images: {cause}"], [], []
    wrong = []
    for linear, goals in zip(record.target.maps, again, strict=True):
        size = float(np.sqrt(np.square(linear.weight.astype(np.float64)).mean()))
        for key in ("shift", "goal_error", "bias_goal_error"):
            recorded, value = getattr(stated[linear.name], key), getattr(goals, key)
            if not _close(recorded, value, WEIGHT_TOLERANCE * (1.0 if key == "shift" else size)):
                wrong.append(f"{linear.name}: the calibration's {key} is recorded as {recorded}, recomputed as {value}")
    return wrong, [] if wrong else ["the goals of the calibration are computed again"], []


def _close(recorded: Any, value: float | None, least: float) -> bool:
    if recorded is None or value is None:
        return recorded is value
    return math.isclose(float(recorded), value, rel_tol=TOLERANCE, abs_tol=least)


def _replay(record: Record) -> Any:
    """What stands in for the search: the sums of the channels that the record keeps."""

    def sums(
        block: Sequence[Instance], goals: Sequence[Candidates], metrics: Sequence[Matrix | None]
    ) -> list[Candidates]:
        found = []
        for one in block:
            kept = record.kept[one.channel.layer][one.channel.index]
            found.append(kept_candidates(one.channel, kept)[one.sign].sum(axis=0))
        return found

    return sums
