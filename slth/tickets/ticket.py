"""The ticket: which hidden channels of the parent are kept, how good that is, and everything it can become."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import nn

from slth.networks.parent import Parent
from slth.networks.target import Target

if TYPE_CHECKING:
    from slth.tickets.verification import Verification

Rows = npt.NDArray[np.int64]
# One tuple per layer, in it one sorted index array per input channel (the bias channel last).
Kept = tuple[tuple[Rows, ...], ...]


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """What was found for one layer.

    Attributes:
        name, kind: of the target's layer. dimension: D = d²·c_out. width: hidden channels per input channel.
        usable: hidden channels whose sign can contribute, over all input channels.
        kept: how many of them are kept.
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
    error: float
    bias_error: float | None
    relative_rms: float
    seconds: float

    @property
    def density(self) -> float:
        """Kept fraction of the usable hidden channels."""
        return self.kept / self.usable if self.usable else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Ticket:
    """A structured subnetwork of a random parent that approximates a target, found without training.

    Attributes:
        parent: the random network (a specification: nothing random is stored).
        target: the network it approximates.
        kept: kept[layer][channel] are the kept hidden channels of that block, sorted.
        layers: one report per layer.
        info: where it came from (environment, method, input range).

    Source: dacunha2023
    """

    parent: Parent
    target: Target
    kept: Kept
    layers: tuple[LayerReport, ...]
    info: dict[str, Any]

    @property
    def kept_channels(self) -> int:
        """Hidden channels kept, all layers together."""
        return sum(layer.kept for layer in self.layers)

    def to_module(self) -> nn.Sequential:
        """The ticket as a network that holds only the kept channels; same input and output as the target.

        Each linear map becomes a grouped 1×1 convolution onto the kept channels, ReLU, and a dense d×d
        convolution (for linear layers: the same with linear algebra). float32, evaluation mode, no zero masks.
        """
        from slth.tickets.compact import compact_module

        return compact_module(self.parent, self.target, self.kept)

    def masks(self) -> dict[str, dict[str, npt.NDArray[np.bool_]]]:
        """0/1 masks over the explicit parent, for small widths.

        Returns:
            For each layer: ``mixing`` (width·c_in, c_in), the channel-blocked mask with removed filters' rows zero;
            ``kernel`` (c_out, width·c_in, d, d), zero for removed channels; with a bias also ``bias`` (width,).

        Raises:
            MemoryEstimateError: the masks would not fit memory.
        """
        from slth.tickets.explicit import masks

        return masks(self.parent, self.kept)

    def verify(self) -> Verification:
        """Regenerate the kept channels from the seed and recompute every error; see :class:`Verification`."""
        from slth.tickets.verification import verify_ticket

        return verify_ticket(self)

    def save(self, path: str | Path) -> Path:
        """Write a ``.slth`` file (whole or not at all); :func:`slth.tickets.load_ticket` reads it."""
        from slth.tickets.file import save_ticket

        return save_ticket(self, path)

    def random_like(self, seed: int = 0) -> Kept:
        """The same number of usable hidden channels in every block and sign, drawn at random: the control."""
        rng = np.random.default_rng([seed, 7])
        layers = []
        for i, linear in enumerate(self.target.maps):
            blocks = []
            for channel in linear.instances:
                mine = self.kept[i][channel]
                positive = self.parent.mixing(i, channel, mine) > 0
                parts = []
                for sign, count in (("+", int(positive.sum())), ("-", int((~positive).sum()))):
                    if count:
                        group = self.parent.sign_group(i, channel, sign)
                        parts.append(rng.choice(group, size=count, replace=False))
                blocks.append(np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64))
            layers.append(tuple(blocks))
        return tuple(layers)


def instance_signs(signs: str, channel: int, c_in: int) -> str:
    """Sign groups an input channel needs: the layer's, or ``"+"`` for the bias channel (constantly one)."""
    return "+" if channel == c_in else signs
