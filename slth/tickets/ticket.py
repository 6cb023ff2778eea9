"""The ticket: which hidden channels of the parent are kept, how good that is, and everything it can become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from slth.errors import check_int, check_positive
from slth.networks.graph import GraphNetwork
from slth.networks.parent import Parent
from slth.networks.target import Target

if TYPE_CHECKING:
    from slth.tickets.checks.verification import Verification

ChannelIndices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Block:
    """The kept hidden channels of one input channel, for each part of its slice of the d×d layer.

    A part is what the structure keeps or removes as a whole: the one slice for ``channel``, each output's kernel for
    ``kernel``, each entry for ``weight``; every part has a selection of its own.

    Attributes:
        rows: int64 (Σ counts,), hidden channels, increasing within each part. counts: int64 (parts,).
    """

    rows: ChannelIndices
    counts: ChannelIndices

    def parts(self) -> list[ChannelIndices]:
        """The rows of each part."""
        return np.split(self.rows, np.cumsum(self.counts)[:-1])

    @property
    def used(self) -> ChannelIndices:
        """Hidden channels that some part keeps, increasing; all others are removed whole."""
        return self.rows if len(self.counts) == 1 else np.unique(self.rows)

    def mask(self) -> npt.NDArray[np.bool_]:
        """bool (len(used), parts): which parts keep which of the used hidden channels."""
        used = self.used
        mask = np.zeros((len(used), len(self.counts)), dtype=bool)
        mask[np.searchsorted(used, self.rows), np.repeat(np.arange(len(self.counts)), self.counts)] = True
        return mask

    @staticmethod
    def of(parts: Sequence[ChannelIndices]) -> Block:
        """A block from the rows of each part."""
        return Block(np.concatenate(parts).astype(np.int64), np.array([len(part) for part in parts], dtype=np.int64))


# One tuple per layer, in it one block per input channel (the bias channel last).
Kept = tuple[tuple[Block, ...], ...]


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """What was found for one layer.

    Attributes:
        name, kind: of the target's layer. dimension: D of one instance. width: hidden channels per input channel.
        usable: channels (kernels, weights: see :class:`Ticket`) whose hidden channel's sign can contribute.
        kept: how many of them are kept. channels: hidden channels that stay.
        weights: random numbers that stay, of both layers of the pair. random: how many there are in the parent.
        error: max over input channels and signs of ‖Σ kept candidates ∓ K‖∞, rounded up; in weight units.
        bias_error: the same for the bias channel, None without one.
        relative_rms: root mean square of the kernel error over that of the kernel (both signs).
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
class Ticket:
    """A structured subnetwork of a random parent that approximates a target, found without training.

    Attributes:
        parent: the random network (a specification: nothing random is stored).
        target: the network it approximates.
        structure: what is kept or removed as a whole: ``channel`` (hidden channels), ``kernel`` or ``weight``.
        kept: kept[layer][channel] is the :class:`Block` of that input channel.
        layers: one report per layer.
        info: where it came from (environment, method, input range).

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

    def to_module(self) -> GraphNetwork:
        """The ticket as a network that holds only the kept channels; same inputs and outputs as the target.

        Each linear map becomes a grouped 1×1 convolution onto the kept channels, ReLU, and a d×d convolution (for
        linear layers: the same with linear algebra). float32, evaluation mode. With structure ``channel`` it has no
        zeros for what was removed (a grouped target's groups are filled up to equal length); ``kernel`` and
        ``weight`` leave zeros in the d×d layer.
        """
        from slth.tickets.networks.compact import compact_module

        return compact_module(self.parent, self.target, self.kept)

    def folded(self) -> GraphNetwork:
        """The ticket's function with the kept candidates of every block summed: float32, the target's size and cost.

        Not a subnetwork any more: for measuring wide tickets. :meth:`to_module` agrees with it up to rounding.
        """
        from slth.tickets.certify.folded import fold_ticket, networks

        return networks(self, fold_ticket(self), torch.float32)[1]

    def masks(self) -> dict[str, dict[str, torch.Tensor]]:
        """0/1 masks over the explicit parent, for small widths, in the form ``torch.nn.utils.prune`` takes.

        Returns:
            bool tensors for each layer: ``mixing`` (width·c_in, c_in), the channel-blocked mask with removed filters'
            rows zero; ``kernel`` (c_out, width·c_in/groups, d, …), zero for what is removed; with a bias also ``bias``
            (width,) and ``bias_kernel`` (c_out, width).

        Raises:
            MemoryEstimateError: the masks would not fit memory.
        """
        from slth.tickets.networks.explicit import masks

        return masks(self.parent, self.kept)

    def verify(self, images: torch.Tensor | None = None) -> Verification:
        """Regenerate the kept channels from the seed and recompute every error; see :class:`Verification`.

        A recorded certificate is proved again: that of the network, and with ``images`` (the data it is about) also
        the certified agreement.
        """
        from slth.tickets.checks.verification import verify_ticket

        return verify_ticket(self, images)

    def save(self, path: str | Path) -> Path:
        """Write a ``.slth`` file (whole or not at all); :func:`slth.tickets.load_ticket` reads it."""
        from slth.tickets.files.file import save_ticket

        return save_ticket(self, path)

    def random_like(self, seed: int = 0) -> Kept:
        """The same number of usable units in every part and sign, drawn at random: the control."""
        rng = np.random.default_rng([seed, 7])
        layers = []
        for i, linear in enumerate(self.target.maps):
            blocks = []
            for channel in linear.instances:
                block = self.kept[i][channel]
                signs = instance_signs(linear.signs, channel, linear.channels[0])
                groups = {sign: self.parent.sign_group(i, channel, sign) for sign in signs}
                drawn = []
                for part in block.parts():
                    chosen = [np.empty(0, dtype=np.int64)]
                    for group in groups.values():
                        count = int(np.isin(part, group, assume_unique=True).sum())
                        chosen.append(rng.choice(group, size=count, replace=False))
                    drawn.append(np.sort(np.concatenate(chosen)))
                blocks.append(Block.of(drawn))
            layers.append(tuple(blocks))
        return tuple(layers)


def instance_signs(signs: str, channel: int, c_in: int) -> str:
    """Sign groups an input channel needs: the layer's, or ``"+"`` for the bias channel (constantly one)."""
    return "+" if channel == c_in else signs
