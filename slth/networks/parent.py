r"""The parent: a random network that its seed determines, and of which any channel can be computed at any time.

For a linear map with kernels K (c_out × c_in × d × d) the parent has two layers, with a ReLU between them:

* a 1×1 layer c_in → width·c_in in blocks: the hidden channels t = 0 … width − 1 of block c see only input channel c,
  with mixing weight :math:`u_{c,t}`;
* a d×d layer width·c_in → c_out with slices :math:`V_{c,t} ∈ R^{c_out × d × d}`.

All weights are drawn i.i.d. from the law, and V is multiplied by the layer's scale. Hidden channel t of block c then
contributes :math:`V_{c,t} * \mathrm{relu}(u_{c,t} X_c)`. Its candidate vector is :math:`|u_{c,t}| V_{c,t} ∈ R^D`,
D = d²·c_out; for the law ``normal`` it is normally-scaled normal (NSN). A bias is one more input channel (number
c_in), which is constantly one and has 1×1 slices, D = c_out.

The numbers come from :mod:`slth.networks.generator`. Weights are float32, so candidates, which are products of two
weights, are exact in float64.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slth.errors import InputError, check_choice, check_int, check_positive
from slth.networks.generator import WEIGHT_LAWS, random_rows
from slth.networks.linear_map import LinearMap

# The largest width: far more than memory allows, and far less than the generator can number.
MAX_WIDTH = 2**31
# Mixing weights computed at a time, where a block is read from its start.
_CHUNK_SIZE = 2**20


@dataclass(frozen=True, kw_only=True)
class ParentLayer:
    """The specification of one layer pair of the parent.

    Attributes:
        name: name of the target's layer.
        c_in: input channels, without the bias channel.
        c_out: output channels.
        kernel: (d, …) of a convolution, () of a linear layer.
        width: hidden channels per input channel, both signs together (the paper's 2n).
        bias: whether there is a bias channel.
        scale: factor on V, a float32 value.
        bias_scale: factor on V for the bias channel, a float32 value; 1 without a bias.
        groups: groups of channels, as in the target.
    """

    name: str
    c_in: int
    c_out: int
    kernel: tuple[int, ...]
    width: int
    bias: bool
    scale: float
    bias_scale: float
    groups: int = 1

    def dimension(self, channel: int) -> int:
        """D, the entries of V_t: d²·c_out/groups, or c_out for the bias channel."""
        return self.c_out if channel == self.c_in else self.c_out // self.groups * math.prod(self.kernel)

    def fits(self, linear: LinearMap) -> bool:
        """Whether name, channels, groups, kernel and bias are those of a linear map."""
        own = self.name, self.c_in, self.c_out, self.groups, self.kernel, self.bias
        same = own == (linear.name, *linear.channels, linear.groups, linear.kernel, linear.bias is not None)
        return same and (self.bias or self.bias_scale == 1.0)  # Without a bias, only one value describes the layer.

    @property
    def channels(self) -> range:
        """Numbers of the input channels, with c_in for the bias channel if there is one."""
        return range(self.c_in + self.bias)

    @property
    def weight_count(self) -> int:
        """Number of random weights of the pair: width·(1 + D) for each input channel."""
        return sum(self.width * (1 + self.dimension(channel)) for channel in self.channels)


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A random network, given by its seed, its law and the specifications of its layers.

    Attributes:
        seed: 0 ≤ seed < 2⁶⁴.
        law: distribution of the weights: ``normal`` or ``uniform``.
        layers: one specification for each linear map of the target.

    Source: dacunha2023
    """

    seed: int
    law: str
    layers: tuple[ParentLayer, ...]

    def __post_init__(self) -> None:
        check_int("seed", self.seed, 0, 2**64 - 1)
        check_choice("law", self.law, WEIGHT_LAWS)
        for layer in self.layers:
            for count in (layer.c_in, layer.c_out, layer.groups, *layer.kernel):
                check_int(f"channels, groups and kernel of {layer.name}", count, 1)
            check_int(
                f"width of {layer.name}",
                layer.width,
                1,
                MAX_WIDTH,
                "It counts hidden channels per input channel.",
            )
            for value in (layer.scale, layer.bias_scale if layer.bias else 1.0):
                check_positive(f"scale of {layer.name}", value)
                with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and is refused below
                    nearest = float(np.float32(value))
                if value != nearest:
                    raise InputError(f"scale of {layer.name} must be a float32 number; got {value!r}. Round it.")

    def mixing(self, layer: int, channel: int, rows: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """Mixing weights u of hidden channels of a block.

        Args:
            layer: number of the layer pair.
            channel: number of the input channel; c_in is the bias channel.
            rows: numbers of the hidden channels in the block, in any order: int64 (m,); None for all.

        Returns:
            float32 (m,).
        """
        rows = np.arange(self.layers[layer].width) if rows is None else rows
        # One block of the generator holds four consecutive u, so whole blocks are generated first. Neighbouring rows of
        # one block share it. Sorting the rows, to share more, would take longer than generating the numbers.
        blocks = rows >> 2
        starts = np.diff(blocks, prepend=-1) != 0
        values = self._rows(layer, 0, channel, blocks[starts], 4).reshape(-1)
        mixing: npt.NDArray[np.float32] = values[(np.cumsum(starts) - 1) * 4 + (rows & 3)]
        return mixing

    def slices(self, layer: int, channel: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Slices V of hidden channels of a block, multiplied by the scale.

        Args:
            layer: number of the layer pair.
            channel: number of the input channel; c_in is the bias channel.
            rows: numbers of the hidden channels in the block, in any order: int64 (m,).

        Returns:
            float32 (m, D), the D entries in (c_out, d, d) order.
        """
        spec = self.layers[layer]
        scale = spec.bias_scale if channel == spec.c_in else spec.scale
        return self._rows(layer, 1, channel, rows, spec.dimension(channel)) * np.float32(scale)

    def candidates(self, layer: int, channel: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Candidates |u|·V of hidden channels of a block.

        Args:
            layer: number of the layer pair.
            channel: number of the input channel; c_in is the bias channel.
            rows: numbers of the hidden channels in the block, in any order: int64 (m,).

        Returns:
            float64 (m, D): exact products of float32 numbers.
        """
        mixing = np.abs(self.mixing(layer, channel, rows)).astype(np.float64)
        return self.slices(layer, channel, rows) * mixing[:, None]

    def sign_group(self, layer: int, channel: int, sign: str) -> npt.NDArray[np.int64]:
        """The sign group of a block: its hidden channels whose u has a given sign.

        Args:
            layer: number of the layer pair.
            channel: number of the input channel; c_in is the bias channel.
            sign: ``+`` or ``-``.

        Returns:
            Numbers of the hidden channels in increasing order: int64, about width/2 of them.
        """
        mixing = self.mixing(layer, channel)
        return np.flatnonzero(mixing > 0 if sign == "+" else mixing < 0)

    def rows_of_ranks(self, layer: int, channel: int, sign: str, ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The hidden channels at given ranks of a sign group. It works in chunks, so that any width fits memory.

        Args:
            layer: number of the layer pair.
            channel: number of the input channel; c_in is the bias channel.
            sign: ``+`` or ``-``.
            ranks: positions in the sign group, increasing, from 0 on: int64 (m,).

        Returns:
            Numbers of the hidden channels: int64 (m,).

        Raises:
            ValueError: a rank is beyond the end of the group.
        """
        found, passed = [np.empty(0, dtype=np.int64)], 0
        for start in range(0, self.layers[layer].width if len(ranks) else 0, _CHUNK_SIZE):
            stop = min(start + _CHUNK_SIZE, self.layers[layer].width)
            mixing = self.mixing(layer, channel, np.arange(start, stop))
            group = start + np.flatnonzero(mixing > 0 if sign == "+" else mixing < 0)
            first, last = np.searchsorted(ranks, [passed, passed + len(group)])
            found.append(group[ranks[first:last] - passed])
            passed += len(group)
            if last == len(ranks):
                return np.concatenate(found)
        if len(ranks):
            raise ValueError(
                f"rank {ranks[-1]} out of range: block {channel} has {passed} hidden channels of sign {sign}"
            )
        return found[0]

    def count_signs(self, layer: int, channel: int, limit: int | None = None) -> tuple[int, int]:
        """Count the positive and negative mixing weights of a block, in chunks, so that any width fits memory.

        Args:
            layer: number of the layer pair.
            channel: number of the input channel; c_in is the bias channel.
            limit: stop counting once both numbers are above it; None counts all.

        Returns:
            (positive, negative).
        """
        width, positive, negative = self.layers[layer].width, 0, 0
        for start in range(0, width, _CHUNK_SIZE):
            if limit is not None and min(positive, negative) > limit:
                break
            mixing = self.mixing(layer, channel, np.arange(start, min(start + _CHUNK_SIZE, width)))
            positive += int((mixing > 0).sum())
            negative += int((mixing < 0).sum())
        return positive, negative

    def describe(self) -> dict[str, Any]:
        """The specification as JSON."""
        return {"seed": self.seed, "law": self.law, "layers": [asdict(layer) for layer in self.layers]}

    @staticmethod
    def from_description(data: dict[str, Any]) -> Parent:
        """The parent that a description from :meth:`describe` stands for."""
        layers = tuple(ParentLayer(**{**layer, "kernel": tuple(layer["kernel"])}) for layer in data["layers"])
        return Parent(seed=data["seed"], law=data["law"], layers=layers)

    def _rows(
        self, layer: int, part: int, channel: int, rows: npt.NDArray[np.int64], size: int
    ) -> npt.NDArray[np.float32]:
        return random_rows(law=self.law, seed=self.seed, layer=layer, part=part, channel=channel, rows=rows, size=size)
