"""The record of a ticket: which hidden channels of the parent it keeps, and how well they approximate the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from slth.errors import check_int, check_positive
from slth.networks.parent import Parent
from slth.networks.target import Target
from slth.tickets.record.instance import ChannelIndices, Channels, input_channels


@dataclass(frozen=True, eq=False)
class Block:
    """The kept hidden channels of one input channel, for each part of its slice.

    A part is what the structure keeps or removes as a whole: the one slice for ``channel``, each output's kernel for
    ``kernel``, each entry for ``weight``. Every part has its own selection.

    Attributes:
        rows: numbers of the kept hidden channels, int64 (Σ counts,), part after part, increasing within each part.
        counts: how many of ``rows`` belong to each part, int64 (parts,).
    """

    rows: ChannelIndices
    counts: ChannelIndices

    def parts(self) -> list[ChannelIndices]:
        """The hidden channels of each part."""
        return np.split(self.rows, np.cumsum(self.counts)[:-1])

    @property
    def used(self) -> ChannelIndices:
        """The hidden channels that at least one part keeps, increasing; all others are removed as a whole."""
        return self.rows if len(self.counts) == 1 else np.unique(self.rows)

    def mask(self) -> npt.NDArray[np.bool_]:
        """Which of the used hidden channels each part keeps: bool (len(used), parts)."""
        used = self.used
        mask = np.zeros((len(used), len(self.counts)), dtype=bool)
        mask[np.searchsorted(used, self.rows), self.part_numbers()] = True
        return mask

    def part_numbers(self) -> ChannelIndices:
        """The number of the part that each entry of ``rows`` belongs to: int64, as long as ``rows``."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @staticmethod
    def of(parts: Sequence[ChannelIndices]) -> Block:
        """A block from the hidden channels of each part."""
        return Block(np.concatenate(parts).astype(np.int64), np.array([len(part) for part in parts], dtype=np.int64))


# A tuple for each layer, with one block for each of its input channels, the bias channel last.
Kept = tuple[tuple[Block, ...], ...]


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """What was found for one layer.

    Attributes:
        name: name of the layer in the target.
        kind: ``conv``, ``conv_transpose`` or ``linear``.
        dimension: D of one instance, without the bias channel.
        width: hidden channels per input channel, both signs together.
        usable: units that could be kept: pairs of a part and a hidden channel whose sign the input can have. A unit
            is a channel, a kernel or a weight, as the structure says.
        kept: how many of the usable units are kept.
        channels: hidden channels of which at least one unit is kept.
        weights: random numbers that are kept, in both layers of the pair.
        random: random numbers that the parent has, in both layers of the pair.
        error: max of ‖Σ kept candidates ∓ K‖∞ over input channels and signs, rounded up; in units of the weights.
        bias_error: the same for the bias channel; None without a bias.
        relative_rms: root mean square of the kernel error over that of the kernel, both signs together.
        seconds: time spent on the layer, summed over threads; None when the report was read from a file, which does
            not hold it.
    """

    name: str
    kind: str
    dimension: int
    width: int
    usable: int
    kept: int
    channels: int
    weights: int
    random: int
    error: float
    bias_error: float | None
    relative_rms: float
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("dimension", "width", "usable", "kept", "channels", "weights", "random"):
            check_int(name, getattr(self, name), 0)
        for name in ("error", "relative_rms", "bias_error", "seconds"):
            value = getattr(self, name)
            if value is not None or name in ("error", "relative_rms"):
                check_positive(name, value, zero_ok=True)

    @property
    def density(self) -> float:
        """The kept fraction of the usable units."""
        return self.kept / self.usable if self.usable else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """A structured subnetwork of a random parent that approximates a target, found without training.

    The record is pure data. :class:`slth.tickets.Ticket` adds what can be done with it.

    Attributes:
        parent: the random network, as a specification: its weights follow from the seed and are not stored.
        target: the network that the ticket approximates.
        structure: what is kept or removed as a whole: ``channel`` (hidden channels), ``kernel`` or ``weight``.
        kept: kept[layer][channel] is the :class:`Block` of that input channel.
        layers: one report for each layer.
        info: how the ticket was found (method, shapes of the inputs, environment), and its certificates. The
            environment is not in the ticket's file.

    Source: dacunha2023
    """

    parent: Parent
    target: Target
    structure: str
    kept: Kept
    layers: tuple[LayerReport, ...]
    info: dict[str, Any]

    @property
    def kept_channels(self) -> int:
        """Number of kept hidden channels, all layers together."""
        return sum(layer.channels for layer in self.layers)

    @cached_property
    def channels(self) -> Channels:
        """channels[layer][channel]: the input channels, in the order of ``kept``."""
        return input_channels(self.parent, self.target, self.structure)
