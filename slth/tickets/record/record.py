"""The record of a ticket: what is kept of the parent and how good it is, as frozen data."""

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
    """The kept hidden channels of one input channel, for each part of its slice of the d×d layer.

    A part is what the structure keeps or removes as a whole: the one slice for ``channel``, each output's kernel for
    ``kernel``, each entry for ``weight``. Every part has a selection of its own.

    Attributes:
        rows: int64 (Σ counts,), numbers of hidden channels, increasing within each part.
        counts: int64 (parts,), how many of ``rows`` belong to each part.
    """

    rows: ChannelIndices
    counts: ChannelIndices

    def parts(self) -> list[ChannelIndices]:
        """The hidden channels of each part."""
        return np.split(self.rows, np.cumsum(self.counts)[:-1])

    @property
    def used(self) -> ChannelIndices:
        """Hidden channels that some part keeps, increasing; all others are removed whole."""
        return self.rows if len(self.counts) == 1 else np.unique(self.rows)

    def mask(self) -> npt.NDArray[np.bool_]:
        """Bool (len(used), parts): which parts keep which of the used hidden channels."""
        used = self.used
        mask = np.zeros((len(used), len(self.counts)), dtype=bool)
        mask[np.searchsorted(used, self.rows), self.part_numbers()] = True
        return mask

    def part_numbers(self) -> ChannelIndices:
        """The part that each entry of ``rows`` belongs to: int64, as long as ``rows``."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @staticmethod
    def of(parts: Sequence[ChannelIndices]) -> Block:
        """A block from the hidden channels of each part."""
        return Block(np.concatenate(parts).astype(np.int64), np.array([len(part) for part in parts], dtype=np.int64))


# One tuple for each layer; in it one block for each input channel, the bias channel last.
Kept = tuple[tuple[Block, ...], ...]


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """What was found for one layer.

    Attributes:
        name: the target's name of the layer.
        kind: ``conv`` or ``linear``.
        dimension: D of one instance.
        width: hidden channels per input channel.
        usable: channels (kernels or weights, as the structure says) whose hidden channel's sign can contribute.
        kept: how many of the usable ones are kept.
        channels: hidden channels that stay.
        weights: random numbers that stay, in both layers of the pair.
        random: random numbers that the parent has, in both layers of the pair.
        error: max over input channels and signs of ‖Σ kept candidates ∓ K‖∞, rounded up; in weight units.
        bias_error: the same for the bias channel; None without a bias.
        relative_rms: root mean square of the kernel error over that of the kernel, for both signs.
        seconds: time spent on the layer, summed over threads.
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
    seconds: float

    def __post_init__(self) -> None:
        for name in ("dimension", "width", "usable", "kept", "channels", "weights", "random"):
            check_int(name, getattr(self, name), 0)
        for name in ("error", "relative_rms", "seconds"):
            check_positive(name, getattr(self, name), zero_ok=True)
        if self.bias_error is not None:
            check_positive("bias_error", self.bias_error, zero_ok=True)

    @property
    def density(self) -> float:
        """Kept fraction of what could be kept."""
        return self.kept / self.usable if self.usable else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """A structured subnetwork of a random parent that approximates a target, found without training.

    The record is pure data. :class:`slth.tickets.Ticket` is a record with everything that can be done with it.

    Attributes:
        parent: the random network (a specification: nothing random is stored).
        target: the network it approximates.
        structure: what is kept or removed as a whole: ``channel`` (hidden channels), ``kernel`` or ``weight``.
        kept: kept[layer][channel] is the :class:`Block` of that input channel.
        layers: one report per layer.
        info: where the ticket came from: environment, method, input range, certificates.

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
        """Hidden channels that stay, all layers together."""
        return sum(layer.channels for layer in self.layers)

    @cached_property
    def channels(self) -> Channels:
        """channels[layer][channel]: the input channels, in the order of ``kept``."""
        return input_channels(self.parent, self.target, self.structure)
