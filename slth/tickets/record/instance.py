r"""Subset-sum instances: one for each layer, input channel, sign of the input and part.

The weight of a linear map has one slice for each input channel. The structure cuts the slice into parts: the whole
slice (``channel``), its d×d kernels (``kernel``) or its entries (``weight``). The instance of part p and a sign is

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

# In a large sign group, the SCREEN_RATIO·D hidden channels of smallest |u| are all generated. The relax method needs
# the 16D candidates of smallest norm; a norm is |u|·√D up to a small factor, so 24D of smallest |u| include them.
# Lists of subset sums need more at small D, some hundred of the smallest.
SCREEN_RATIO, LEAST_SCREENED = 24, 1024
# Bytes that a worker holds at its peak for each candidate entry: float64 candidates, float32 slices, a working copy.
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
        index: number of the input channel; c_in is the bias channel.
        structure: ``channel``, ``kernel`` or ``weight``.
    """

    parent: Parent
    layer: int
    linear: LinearMap
    index: int
    structure: str

    @property
    def is_bias(self) -> bool:
        """Whether this is the bias channel, whose input is always one."""
        return self.index == self.linear.channels[0]

    @property
    def width(self) -> int:
        """Number of hidden channels that see this input channel, of both signs."""
        return self.parent.layers[self.layer].width

    @property
    def part_size(self) -> int:
        """Dimension D of one instance: the number of entries in a part."""
        return self.linear.part_size(self.structure, self.index)

    @property
    def parts(self) -> int:
        """Number of parts of the slice; each part has its own selection."""
        return self.parent.layers[self.layer].dimension(self.index) // self.part_size

    @property
    def search_bytes(self) -> float:
        """Bytes that a worker holds at its peak when it searches this input channel, estimated from above."""
        # A sign group has width/2 members, give or take a few standard deviations; `rows` of them pass the screen.
        # The mixing weights of the whole width are needed as well, together with the indices that sort them.
        rows = thinned_size(0.55 * self.width + 200, screened_size(self.part_size))
        size = rows * self.parts * self.part_size * BYTES_PER_ENTRY + 48.0 * self.width
        # The solver also holds Gram matrices of its core, which has 4D candidates, and their update.
        return size + 3 * 8 * (4.0 * self.part_size) ** 2

    @property
    def goals(self) -> Candidates:
        """The slice of the target's weight (or its bias), part by part: float64 (parts, part_size)."""
        return self.linear.column(self.index).reshape(-1, self.part_size)

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """The instances of each sign that the input can have; the bias channel's input is one, never negative."""
        return tuple(Instance(channel=self, sign=sign) for sign in ("+" if self.is_bias else self.linear.signs))

    def mixing(self, rows: ChannelIndices) -> npt.NDArray[np.float32]:
        """Mixing weights u of the hidden channels ``rows``: float32 (m,)."""
        return self.parent.mixing(self.layer, self.index, rows)

    def slices(self, rows: ChannelIndices) -> npt.NDArray[np.float32]:
        """Slices V of the hidden channels ``rows``, from the d×d layer: float32 (m, parts·part_size)."""
        return self.parent.slices(self.layer, self.index, rows)

    def candidates(self, rows: ChannelIndices) -> Candidates:
        """Candidate vectors |u|·V of the hidden channels ``rows``: float64 (m, parts·part_size), exact products."""
        return self.parent.candidates(self.layer, self.index, rows)

    def group_sizes(self, limit: int | None = None) -> dict[str, int]:
        """Number of hidden channels of each sign, counted in chunks so that any width fits memory.

        Args:
            limit: counting stops once both numbers exceed it; None counts all.

        Returns:
            Sign → number. Both signs are counted, whether the input can have them or not.
        """
        return dict(zip("+-", self.parent.count_signs(self.layer, self.index, limit), strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Instance:
    """The instances of one layer, input channel and sign, one for each part, over the same group of hidden channels.

    Attributes:
        channel: the input channel.
        sign: ``+`` or ``-``, the sign of the input and of the mixing weights in the group.
    """

    channel: InputChannel
    sign: str

    @property
    def goals(self) -> Candidates:
        """The sums that the kept candidates must reach: float64 (parts, part_size); −K for negative inputs."""
        return self.channel.goals if self.sign == "+" else -self.channel.goals

    def group(self) -> ChannelIndices:
        """The hidden channels whose mixing weight has the sign: int64, increasing, about half of the width."""
        return self.channel.parent.sign_group(self.channel.layer, self.channel.index, self.sign)

    def group_at(self, ranks: ChannelIndices) -> ChannelIndices:
        """The hidden channels at some places of the group, found in chunks so that any width fits memory.

        Args:
            ranks: places in the group, int64, increasing.

        Returns:
            Hidden channels, int64, as many as ``ranks``.

        Raises:
            ValueError: a place is beyond the end of the group.
        """
        return self.channel.parent.rows_of_ranks(self.channel.layer, self.channel.index, self.sign, ranks)

    def holds(self, mixing: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """Which mixing weights have the sign: bool, the shape of ``mixing``."""
        return mixing > 0 if self.sign == "+" else mixing < 0

    def screened(self, group: ChannelIndices) -> ChannelIndices:
        """The members of the group that are worth generating, chosen by |u| alone: int64, increasing.

        A candidate's norm is about |u|·√D. The smallest candidates set the error of a selection. The large ones only
        bring the target within reach of the small ones, and for that a few of every size do as well as all of them
        (:func:`slth.rss.relax.thin`). The others are never generated.
        """
        places = thin(len(group), screened_size(self.channel.part_size))
        if len(places) == len(group):
            return group
        order = np.argsort(np.abs(self.channel.mixing(group)), kind="stable")
        return np.sort(group[order[places]])

    def candidates(self, rows: ChannelIndices) -> Candidates:
        """Candidate vectors of the hidden channels ``rows``; see :meth:`InputChannel.candidates`."""
        return self.channel.candidates(rows)


def screened_size(dimension: int) -> int:
    """How many of the smallest candidates of an instance of some dimension are all generated."""
    return max(LEAST_SCREENED, SCREEN_RATIO * dimension)


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
