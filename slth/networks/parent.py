r"""The parent: a random network fixed by its seed, of which any channel can be recomputed at any time.

For a linear map with kernels K (c_out × c_in × d × d) the parent has, ReLU between them,

* a 1×1 layer c_in → width·c_in, channel-blocked: hidden channels t = 0 … width − 1 of block c see input channel c
  only, with weight :math:`u_{c,t}`;
* a d×d layer width·c_in → c_out with slices :math:`V_{c,t} ∈ R^{c_out × d × d}`.

Both are drawn i.i.d. from the law; V is multiplied by the layer's scale. Hidden channel t of block c then
contributes :math:`V_{c,t} * \mathrm{relu}(u_{c,t} X_c)`, and its candidate vector is
:math:`|u_{c,t}| V_{c,t} ∈ R^D`, D = d²·c_out (NSN in law for ``normal``). A bias is one more input channel
(number c_in) that is constantly one and has 1×1 slices, D = c_out.

The numbers come from :mod:`slth.networks.generator`. Weights are float32, so candidates (products of two of them)
are exact in float64.
"""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slth.errors import InputError, check_choice, check_int, check_positive
from slth.networks.generator import DEVIATION, WEIGHT_LAWS, random_rows
from slth.networks.linear_map import STRUCTURES, LinearMap
from slth.networks.target import Target

# "auto" scale: the target's root mean square in units of one candidate entry. The absolute error of a subset sum
# depends on (n, D) and hardly on the target, so a large target in these units has a small relative error. From 3
# to 10 it falls to a third for a tenth more kept channels; beyond, the channels grow faster (measured).
TARGET_RMS = 10.0
# n candidates of dimension D reach about 0.3·n/√D in root mean square (half the sum of |⟨x, w⟩|); a third of that
# leaves room for input channels above the average and for a solver that is not exhaustive.
REACH = 0.1
# Each kernel or weight has to be within reach by itself, and n is small where D is 1: the positive candidates of
# n = 24 sum to 7.6 on average, and to less than the largest weight's 0.72 in two of 10,000 instances.
LONE_REACH = 0.03
# 2³¹ hidden channels an input channel: far above what memory allows, far below what the counters can number.
MAX_WIDTH = 2**31
# Mixing weights counted at a time.
_CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class ParentLayer:
    """The specification of one layer pair of the parent.

    Attributes:
        name: of the target's layer. c_in, c_out: its channels. kernel: (d, d), or () for a linear layer.
        width: hidden channels per input channel, both signs together (the paper's 2n).
        bias: whether there is a bias channel.
        scale: factor on V (a float32 value). bias_scale: the same for the bias channel.
        groups: of channels that do not see each other, as in the target.
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
        """Entries of V_t of an input channel: d²·c_out/groups, or c_out for the bias channel."""
        return self.c_out if channel == self.c_in else self.c_out // self.groups * math.prod(self.kernel)

    def fits(self, linear: LinearMap) -> bool:
        """Whether this is a pair for that linear map: its name, channels, groups, kernel and bias."""
        mine = self.name, self.c_in, self.c_out, self.groups, self.kernel, self.bias
        same = mine == (linear.name, *linear.channels, linear.groups, linear.kernel, linear.bias is not None)
        return same and (self.bias or self.bias_scale == 1.0)  # a scale of nothing must not vary unnoticed

    @property
    def channels(self) -> range:
        """Input channels, the bias channel (number c_in) included if there is one."""
        return range(self.c_in + self.bias)

    @property
    def weight_count(self) -> int:
        """Random weights of the pair: width·(1 + D) for each input channel."""
        return sum(self.width * (1 + self.dimension(channel)) for channel in self.channels)


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A random network: seed, law and layer specifications, and nothing else.

    Attributes:
        seed: 0 ≤ seed < 2⁶⁴. law: ``normal`` or ``uniform``. layers: one specification per linear map.

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
                if check_positive(f"scale of {layer.name}", value) != float(np.float32(value)):
                    raise InputError(f"scale of {layer.name} must be a float32 number; got {value!r}. Round it.")

    def mixing(self, layer: int, channel: int, rows: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """u of the hidden channels ``rows`` (default: all) of a block: float32 (m,)."""
        rows = np.arange(self.layers[layer].width) if rows is None else rows
        # One Philox block holds four consecutive u: generate whole blocks, then pick. Runs of rows in one block are
        # generated once; sorting them would take longer than the numbers.
        numbers = rows >> 2
        fresh = np.diff(numbers, prepend=-1) != 0
        values = self._rows(layer, 0, channel, numbers[fresh], 4).reshape(-1)
        return values[(np.cumsum(fresh) - 1) * 4 + (rows & 3)]

    def slices(self, layer: int, channel: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """V of the hidden channels ``rows`` of a block, scaled: float32 (m, D), D in (c_out, d, d) order."""
        spec = self.layers[layer]
        scale = spec.bias_scale if channel == spec.c_in else spec.scale
        return self._rows(layer, 1, channel, rows, spec.dimension(channel)) * np.float32(scale)

    def candidates(self, layer: int, channel: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """|u|·V of the hidden channels ``rows`` of a block: float64 (m, D), exact products of float32 numbers."""
        mixing = np.abs(self.mixing(layer, channel, rows)).astype(np.float64)
        return self.slices(layer, channel, rows) * mixing[:, None]

    def sign_group(self, layer: int, channel: int, sign: str) -> npt.NDArray[np.int64]:
        """Hidden channels of a block whose u has the given sign, in order: int64, about width/2 of them."""
        mixing = self.mixing(layer, channel)
        return np.flatnonzero(mixing > 0 if sign == "+" else mixing < 0)

    def rows_of_ranks(self, layer: int, channel: int, sign: str, ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The hidden channels at increasing places ``ranks`` of a sign group, in chunks: any width fits memory.

        Raises:
            ValueError: the group has fewer members.
        """
        found, passed = [np.empty(0, dtype=np.int64)], 0
        for start in range(0, self.layers[layer].width if len(ranks) else 0, _CHUNK):
            stop = min(start + _CHUNK, self.layers[layer].width)
            mixing = self.mixing(layer, channel, np.arange(start, stop))
            group = start + np.flatnonzero(mixing > 0 if sign == "+" else mixing < 0)
            first, last = np.searchsorted(ranks, [passed, passed + len(group)])
            found.append(group[ranks[first:last] - passed])
            passed += len(group)
            if last == len(ranks):
                return np.concatenate(found)
        if len(ranks):
            raise ValueError(f"block {channel} has {passed} hidden channels of sign {sign}; rank {ranks[-1]} is none")
        return found[0]

    def count_signs(self, layer: int, channel: int, limit: int | None = None) -> tuple[int, int]:
        """(positive, negative) mixing weights of a block, counted in chunks: any width fits memory.

        Counting stops once both are above ``limit``: whoever expects fewer knows enough then.
        """
        width, positive, negative = self.layers[layer].width, 0, 0
        for start in range(0, width, _CHUNK):
            if limit is not None and min(positive, negative) > limit:
                break
            mixing = self.mixing(layer, channel, np.arange(start, min(start + _CHUNK, width)))
            positive += int((mixing > 0).sum())
            negative += int((mixing < 0).sum())
        return positive, negative

    def describe(self) -> dict[str, Any]:
        """The specification as JSON."""
        return {"seed": self.seed, "law": self.law, "layers": [asdict(layer) for layer in self.layers]}

    @staticmethod
    def from_description(data: dict[str, Any]) -> Parent:
        """The parent that :meth:`describe` described."""
        layers = tuple(ParentLayer(**{**layer, "kernel": tuple(layer["kernel"])}) for layer in data["layers"])
        return Parent(seed=data["seed"], law=data["law"], layers=layers)

    def _rows(
        self, layer: int, part: int, channel: int, rows: npt.NDArray[np.int64], size: int
    ) -> npt.NDArray[np.float32]:
        return random_rows(law=self.law, seed=self.seed, layer=layer, part=part, channel=channel, rows=rows, size=size)


def make_parent(
    target: Target,
    *,
    width: int | dict[str, int],
    seed: int,
    law: str = "normal",
    scale: str | float = "auto",
    structure: str = "channel",
) -> Parent:
    """The parent of a target. Nothing random is looked at: scales come from the target's norm alone.

    Args:
        width: hidden channels per input channel: one number, or a number for names and kinds of layers
            (``{"conv": 60000, "linear": 20000, "fc3": 5000}``; a name wins over its kind).
        seed: of everything. law: ``normal`` or ``uniform``.
        scale: ``auto``, or one positive number for every layer. ``auto`` makes the root mean square of the layer's
            weights equal to min(10, n/(10·√D)) standard deviations of a candidate entry, n = width/2.
        structure: what a mask will remove; it sets D, and nothing else of the parent. For ``kernel`` and ``weight``,
            the root mean square is that of the largest kernel or weight, and 0.03·n/√D takes the place of n/(10·√D).

    Raises:
        InputError: widths that are missing, below 1, or name no layer; a bad law, seed or scale.
    """
    check_choice("law", law, WEIGHT_LAWS)
    check_choice("structure", structure, STRUCTURES)
    if not (isinstance(scale, str) and scale == "auto"):
        check_positive("scale", scale, "Pass 'auto' or a positive number.")
    widths = _widths(target, width)

    def factor(linear: LinearMap, channels: range) -> float:
        if not isinstance(scale, str):
            return float(np.float32(scale))
        size = linear.part_size(structure, channels[0])
        squares = np.array([np.square(linear.column(c)).reshape(-1, size).mean(axis=1) for c in channels])
        rms = math.sqrt(squares.mean() if structure == "channel" else squares.max())
        reach = REACH if structure == "channel" else LONE_REACH
        wanted = min(TARGET_RMS, reach * (widths[linear.name] / 2) / math.sqrt(size))
        return float(np.float32(rms / (wanted * DEVIATION[law] ** 2))) if rms > 1e-30 else 1.0

    layers = tuple(
        ParentLayer(
            name=linear.name,
            c_in=linear.channels[0],
            c_out=linear.channels[1],
            kernel=linear.kernel,
            width=widths[linear.name],
            bias=linear.bias is not None,
            scale=factor(linear, range(linear.channels[0])),
            bias_scale=factor(linear, linear.instances[-1:]) if linear.bias is not None else 1.0,
            groups=linear.groups,
        )
        for linear in target.maps
    )
    return Parent(seed=seed, law=law, layers=layers)


def _widths(target: Target, width: int | dict[str, int]) -> dict[str, int]:
    hint = "It counts hidden channels per input channel, both signs together."
    check = functools.partial(check_int, low=1, high=MAX_WIDTH, hint=hint)
    if not isinstance(width, dict):
        return dict.fromkeys((linear.name for linear in target.maps), check("width", width))
    for key, value in width.items():
        check(f"width of {key}", value)
    names, kinds = [linear.name for linear in target.maps], ("conv", "linear")
    unknown = [key for key in width if key not in names and key not in kinds]
    if unknown:
        raise InputError(f"width names no layer {unknown[0]!r}; expected conv, linear, or one of {', '.join(names)}.")
    missing = [m.name for m in target.maps if m.name not in width and m.kind not in width]
    if missing:
        raise InputError(f"width is missing for {', '.join(missing)}; give one for each layer, or for conv and linear.")
    return {m.name: width.get(m.name, width.get(m.kind, 0)) for m in target.maps}
