"""Proving a recorded certificate again, from the ticket alone, without trust in the record."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from slth.errors import InputError
from slth.progress import Progress
from slth.tickets.certify.agreement import certified_agreement
from slth.tickets.certify.forms import Tensor
from slth.tickets.certify.network import largest_difference, prove_network
from slth.tickets.record.images import hash_images
from slth.tickets.record.record import Record

# Largest relative difference between a recorded bound and the recomputed one. Both are rigorous, but their last bits
# depend on the order of float64 sums, which differs from machine to machine.
TOLERANCE = 1e-6


def recheck_network(record: Record, claim: Mapping[str, Any], progress: bool | Progress = False) -> tuple[str, ...]:
    """Prove a recorded network certificate again.

    ``proved`` is computed again with as many unknowns, and ``found`` at the recorded worst input, without a new search.
    ``observed`` is about data and is not checked.

    Args:
        record: the ticket.
        claim: what :meth:`~slth.tickets.certify.certificate.NetworkCertificate.describe` returned.
        progress: the listener that is told of every step of the proof.

    Returns:
        One sentence for each claim that does not hold.
    """
    try:
        shape = tuple(int(side) for side in claim["shape"])
        low, high, unknowns = float(claim["low"]), float(claim["high"]), int(claim["unknowns"])
        claimed = {name: float(claim[name]) for name in ("proved", "found", "norm_bound")}
        worst = np.frombuffer(base64.b64decode(claim["worst_input"], validate=True), dtype="<f4").reshape(1, *shape)
    except (KeyError, TypeError, ValueError, binascii.Error) as cause:
        return (f"the certificate's record is incomplete ({cause})",)
    if not (0 <= unknowns <= 10**6 and -math.inf < low <= high < math.inf and all(side > 0 for side in shape)):
        return ("the certificate's record does not describe a box of inputs",)
    x = torch.from_numpy(worst.astype(np.float64))
    if not bool(((low <= x) & (x <= high)).all()):
        return ("the certificate's worst input lies outside its box",)
    try:
        result = prove_network(record, low, high, shape, unknowns, progress)
        got = {
            "proved": float(result.delta_box.largest.max()),
            "norm_bound": result.norm_bound,
            "found": largest_difference(record, x),
        }
    except InputError as cause:
        return (f"the certificate's record does not fit the network: {cause}",)
    return tuple(
        f"the certificate's {name} is recorded as {claimed[name]:.9g}, recomputed as {got[name]:.9g}"
        for name in got
        if not math.isclose(got[name], claimed[name], rel_tol=TOLERANCE, abs_tol=1e-12)
    )


def recheck_agreement(
    record: Record, claim: Mapping[str, Any], images: Tensor, progress: bool | Progress = False
) -> tuple[str, ...]:
    """Prove a recorded certified agreement again.

    Args:
        record: the ticket.
        claim: what :meth:`~slth.tickets.certify.certificate.AgreementCertificate.describe` returned.
        images: the data that it is about, float32 (N, …); only the first ones, as many as the claim names, are used.
        progress: the listener that is told of every finished example.

    Returns:
        One sentence for each claim that does not hold.
    """
    try:
        count, radius, unknowns = int(claim["examples"]), float(claim["radius"]), int(claim["unknowns"])
        low, high, certified = float(claim["low"]), float(claim["high"]), int(claim["certified"])
    except (KeyError, TypeError, ValueError) as cause:
        return (f"the certificate's record is incomplete ({cause})",)
    if not 0 < count <= len(images):
        return (f"the certificate is about {count} examples; {len(images)} are given",)
    if "images_sha256" in claim and claim["images_sha256"] != hash_images(images[:count]):
        return (f"the certificate is about other images than the first {count} that were given",)
    try:
        again = certified_agreement(
            record, images[:count], radius=radius, low=low, high=high, unknowns=unknowns, progress=progress
        )
    except InputError as cause:
        return (f"the certificate's record does not fit the data: {cause}",)
    got = int(again.certified.sum())
    if got == certified:
        return ()
    return (f"the certificate states {certified} certified of {count} examples at radius {radius:.4g}; found {got}",)
