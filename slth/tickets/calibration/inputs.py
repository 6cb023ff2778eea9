"""The inputs that a search is calibrated on: checked, divided into batches, and named by hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from slth.errors import InputError
from slth.networks.target import Target
from slth.tickets.record.images import hash_images

# Inputs that go through the networks together; fewer if there are few, so that some batches can be held out.
BATCH = 128
LEAST_BATCHES = 8
# Every so many batches, one is held out while the shrinkage is chosen.
HELD_OUT_EVERY = 4
# Single inputs whose hashes are recorded, so that an evaluation can tell whether it uses some of them again.
MARKED, MARK_DIGITS = 64, 16

Inputs = torch.Tensor | Sequence[torch.Tensor]


@dataclass(frozen=True, eq=False)
class CalibrationInputs:
    """Unlabelled inputs of a network.

    Attributes:
        tensors: one tensor (N, …) for each input of the network.
        batch: how many of the N go through the network together.
    """

    tensors: tuple[torch.Tensor, ...]
    batch: int

    @staticmethod
    def of(inputs: Inputs, target: Target) -> CalibrationInputs:
        """Check inputs before any work starts.

        Args:
            inputs: a tensor (N, …), or one for each input of the network.
            target: the network.

        Raises:
            InputError: they are no tensors, empty, of different lengths, not finite, or outside of the input range.
        """
        tensors = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
        names = [step.name for step in target.steps if step.kind == "input"]
        if not tensors or not all(isinstance(one, torch.Tensor) and one.ndim for one in tensors):
            raise InputError("calibrate must be a tensor (N, …), or a tuple of them for several inputs. Pass inputs.")
        counts = {len(one) for one in tensors}
        if len(counts) > 1 or 0 in counts or len(tensors) > len(names):
            raise InputError(
                f"calibrate must have the same number N ≥ 1 of examples for each of {', '.join(names)}; got shapes "
                f"{', '.join(str(tuple(one.shape)) for one in tensors)}."
            )
        ranges = target.input_range if isinstance(target.input_range, Mapping) else None
        for name, values in zip(names, tensors, strict=False):
            span = target.input_range if ranges is None else ranges.get(name)
            low, high = float(values.min()), float(values.max())
            if not (np.isfinite(low) and np.isfinite(high)) or (span and not (span[0] <= low and high <= span[1])):
                wanted = "be finite" if span is None else f"lie in the input range [{span[0]:g}, {span[1]:g}]"
                raise InputError(f"calibrate: values of {name} must {wanted}; got {low:g} to {high:g}.")
        count = counts.pop()
        fixed = next((one[0] for one in target.sizes.values() if one and one[0] is not None), None)
        if fixed is not None and count % fixed:
            raise InputError(
                f"calibrate must have a multiple of {fixed} examples, because the network takes {fixed} at a time; "
                f"got {count}."
            )
        return CalibrationInputs(tensors, fixed or max(1, min(BATCH, count // LEAST_BATCHES)))

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batches(self) -> list[tuple[torch.Tensor, ...]]:
        """The inputs of the network, batch by batch."""
        return list(zip(*(one.split(self.batch) for one in self.tensors), strict=True))

    def describe(self) -> dict[str, Any]:
        """Their number, SHA-256 and some single hashes, as JSON."""
        hashes = [hash_images(one) for one in self.tensors]
        digest = hashes[0] if len(hashes) == 1 else hashlib.sha256(":".join(hashes).encode()).hexdigest()
        places = np.unique(np.linspace(0, len(self) - 1, MARKED).astype(np.int64))
        return {"images": len(self), "images_sha256": digest, "marks": marks(self.tensors[0][torch.from_numpy(places)])}


def count_seen(info: Mapping[str, Any], images: torch.Tensor) -> int:
    """How many images are known to be among those that a ticket was calibrated on.

    Args:
        info: the ticket's info.
        images: (N, …).
    """
    claim = info.get("calibration")
    recorded = claim.get("marks") if isinstance(claim, Mapping) else None
    if not isinstance(recorded, list):
        return 0
    known = {one for one in recorded if isinstance(one, str)}
    return sum(one in known for one in marks(images))


def marks(images: torch.Tensor) -> list[str]:
    """The beginning of the hash of each single image of (N, …)."""
    return [hash_images(one)[:MARK_DIGITS] for one in images]
