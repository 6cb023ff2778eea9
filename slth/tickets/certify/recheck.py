"""A recorded certificate, proved again: from the ticket and the record alone, with no trust in who made it."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from slth.errors import InputError
from slth.tickets.certify.certify import certified_agreement, largest_difference, prove_network
from slth.tickets.certify.forms import Tensor
from slth.tickets.ticket import Ticket

# The proof's last bits depend on the order of float64 sums, and so on the machine: a bound within this of the record
# is the recorded bound. (Each of them is rigorous by itself.)
TOLERANCE = 1e-6


def recheck_network(ticket: Ticket, record: Mapping[str, Any]) -> tuple[str, ...]:
    """What does not hold of :meth:`NetworkCertificate.describe`'s record: one sentence each.

    ``proved`` is computed again with as many unknowns, ``found`` at the recorded worst input; no search is repeated.
    ``observed`` is about data and is left alone.
    """
    try:
        shape = tuple(int(side) for side in record["shape"])
        low, high, unknowns = float(record["low"]), float(record["high"]), int(record["unknowns"])
        claimed = {name: float(record[name]) for name in ("proved", "found", "norm_bound")}
        worst = np.frombuffer(base64.b64decode(record["worst_input"], validate=True), dtype="<f4").reshape(1, *shape)
    except (KeyError, TypeError, ValueError, binascii.Error) as cause:
        return (f"the certificate's record is not whole ({cause})",)
    if not (0 <= unknowns <= 10**6 and -math.inf < low <= high < math.inf and all(side > 0 for side in shape)):
        return ("the certificate's record names no box of inputs",)
    x = torch.from_numpy(worst.astype(np.float64))
    if not bool(((low <= x) & (x <= high)).all()):
        return ("the certificate's worst input is outside its box",)
    try:
        result = prove_network(ticket, low, high, shape, unknowns)
        got = {
            "proved": float(result.delta_box.largest.max()),
            "norm_bound": result.norm_bound,
            "found": largest_difference(ticket, x),
        }
    except InputError as cause:
        return (f"the certificate's record does not fit the network: {cause}",)
    return tuple(
        f"the certificate's {name} is recorded as {claimed[name]:.9g}, recomputed as {got[name]:.9g}"
        for name in got
        if not math.isclose(got[name], claimed[name], rel_tol=TOLERANCE, abs_tol=1e-12)
    )


def recheck_agreement(ticket: Ticket, record: Mapping[str, Any], images: Tensor) -> tuple[str, ...]:
    """What does not hold of :meth:`AgreementCertificate.describe`'s record, on the images it is about (the first N)."""
    try:
        count, radius, unknowns = int(record["examples"]), float(record["radius"]), int(record["unknowns"])
        low, high, certified = float(record["low"]), float(record["high"]), int(record["certified"])
    except (KeyError, TypeError, ValueError) as cause:
        return (f"the certificate's record is not whole ({cause})",)
    if not 0 < count <= len(images):
        return (f"the certificate is about {count} examples; {len(images)} are at hand",)
    try:
        again = certified_agreement(ticket, images[:count], radius=radius, low=low, high=high, unknowns=unknowns)
    except InputError as cause:
        return (f"the certificate's record does not fit: {cause}",)
    got = int(again.certified.sum())
    if got == certified:
        return ()
    return (f"the certificate's {certified} certified examples of {count} (radius {radius:.4g}) recompute as {got}",)
