r"""Subset-sum instances: what the hidden channels of one input channel are to sum to, for inputs of one sign.

The d×d layer of a linear map has one slice for each input channel. The structure cuts the slice into parts: the whole
slice (``channel``), its d×d kernels (``kernel``) or its entries (``weight``). For each part p and each sign of input

.. math:: \min_{S_p} \Big\| \sum_{t \in S_p} |u_t| V_{t,p} \mp K_p \Big\|_\infty

where t runs over the hidden channels whose mixing weight u_t has that sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from slth.networks.linear_map import LinearMap
from slth.networks.parent import Parent
from slth.networks.target import Target
from slth.rss.relax import thin, thinned_size

# Of a large sign group this many times D of the smallest |u| are generated: the relax method takes 4D as its core
# and 16D densely, by norm; a norm differs from |u|·√D by a small factor.
SCREEN_RATIO = 24
# Bytes a worker holds at its peak, per candidate entry: float32 slices, float64 candidates, one working copy.
BYTES_PER_ENTRY = 8 + 4 + 8

ChannelIndices = npt.NDArray[np.int64]
Candidates = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class InputChannel:
    """One input channel of a linear map, and the hidden channels of the parent that see it.

    Attributes:
        parent: the random network.
        layer: index of the linear map, in the order of the target.
        linear: the linear map.
        index: number of the input channel; c_in stands for the bias channel.
        structure: ``channel``, ``kernel`` or ``weight``.
    """

    parent: Parent
    layer: int
    linear: LinearMap
    index: int
    structure: str

    @property
    def is_bias(self) -> bool:
        """Whether this is the bias channel, which is constantly one."""
        return self.index == self.linear.channels[0]

    @property
    def width(self) -> int:
        """Number of hidden channels that see this input channel, of both signs."""
        return self.parent.layers[self.layer].width

    @property
    def part_size(self) -> int:
        """Dimension D of one instance: entries of one part."""
        return self.linear.part_size(self.structure, self.index)

    @property
    def parts(self) -> int:
        """Number of parts of the slice; each has a selection of its own."""
        return self.parent.layers[self.layer].dimension(self.index) // self.part_size

    @property
    def search_bytes(self) -> float:
        """What a worker holds at its peak to search this input channel, estimated from above."""
        # A sign group has width/2 ± a few deviations, of which the screen lets this many through; the mixing weights
        # of both signs are needed whole, with the bookkeeping of sorting them.
        rows = thinned_size(0.55 * self.width + 200, SCREEN_RATIO * self.part_size)
        size = rows * self.parts * self.part_size * BYTES_PER_ENTRY + 48.0 * self.width
        # Gram matrices of the core (4D candidates) and their update.
        return size + 3 * 8 * (4.0 * self.part_size) ** 2

    @property
    def goals(self) -> Candidates:
        """The slice of the target's weight (or its bias), part by part: float64 (parts, part_size)."""
        return self.linear.column(self.index).reshape(-1, self.part_size)

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """One instance for each sign that the input can have. The bias channel's input is one, so never negative."""
        return tuple(Instance(channel=self, sign=sign) for sign in ("+" if self.is_bias else self.linear.signs))

    def mixing(self, rows: ChannelIndices) -> npt.NDArray[np.float32]:
        """Mixing weights u of hidden channels ``rows``: float32 (m,)."""
        return self.parent.mixing(self.layer, self.index, rows)

    def slices(self, rows: ChannelIndices) -> npt.NDArray[np.float32]:
        """Slices V of hidden channels ``rows`` of the d×d layer: float32 (m, parts·part_size)."""
        return self.parent.slices(self.layer, self.index, rows)

    def candidates(self, rows: ChannelIndices) -> Candidates:
        """Candidate vectors |u|·V of hidden channels ``rows``: float64 (m, parts·part_size), exact products."""
        return self.parent.candidates(self.layer, self.index, rows)

    def group_sizes(self, limit: int | None = None) -> dict[str, int]:
        """Number of hidden channels of each sign, counted in chunks so that any width fits memory.

        Args:
            limit: stop counting once both numbers are above it; None counts all.

        Returns:
            Sign → number, for both signs, whether the input needs them or not.
        """
        return dict(zip("+-", self.parent.count_signs(self.layer, self.index, limit), strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Instance:
    """The subset sums of one layer, input channel and sign: one for each part, over one group of hidden channels.

    Attributes:
        channel: the input channel.
        sign: ``+`` or ``-``: of the input, and of the mixing weights of the group.
    """

    channel: InputChannel
    sign: str

    @property
    def goals(self) -> Candidates:
        """What the kept candidates are to sum to: float64 (parts, part_size); −K for negative inputs."""
        return self.channel.goals if self.sign == "+" else -self.channel.goals

    def group(self) -> ChannelIndices:
        """Hidden channels whose mixing weight has the sign, in order: int64, about half of the width."""
        return self.channel.parent.sign_group(self.channel.layer, self.channel.index, self.sign)

    def group_at(self, ranks: ChannelIndices) -> ChannelIndices:
        """Hidden channels at some places of the group, in chunks so that any width fits memory.

        Args:
            ranks: places in the group, int64, increasing.

        Returns:
            int64, as long as ``ranks``.

        Raises:
            ValueError: the group has fewer members.
        """
        return self.channel.parent.rows_of_ranks(self.channel.layer, self.channel.index, self.sign, ranks)

    def holds(self, mixing: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """Which mixing weights have the sign: bool, the shape of ``mixing``."""
        return mixing > 0 if self.sign == "+" else mixing < 0

    def screened(self, group: ChannelIndices) -> ChannelIndices:
        """The members of the group that are worth generating, chosen by |u| alone: int64, in order.

        A candidate's norm is about |u|·√D. The error of a selection is set by the smallest candidates. The large ones
        only bring the target within their reach, for which some of every size do as well as all of them
        (:func:`slth.rss.relax.thin`). The rest is never generated.
        """
        places = thin(len(group), SCREEN_RATIO * self.channel.part_size)
        if len(places) == len(group):
            return group
        order = np.argsort(np.abs(self.channel.mixing(group)), kind="stable")
        return np.sort(group[order[places]])

    def candidates(self, rows: ChannelIndices) -> Candidates:
        """Candidate vectors of hidden channels ``rows``; see :meth:`InputChannel.candidates`."""
        return self.channel.candidates(rows)


Channels = tuple[tuple[InputChannel, ...], ...]


def input_channels(parent: Parent, target: Target, structure: str) -> Channels:
    """Every input channel of every linear map, the bias channel last.

    Args:
        parent: the random network.
        target: the network it is to approximate.
        structure: ``channel``, ``kernel`` or ``weight``.

    Returns:
        One tuple for each linear map, in the order of the target.
    """
    return tuple(
        tuple(
            InputChannel(parent=parent, layer=layer, linear=linear, index=index, structure=structure)
            for index in linear.instances
        )
        for layer, linear in enumerate(target.maps)
    )
