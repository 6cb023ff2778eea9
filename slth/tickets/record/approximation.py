"""The kernels a ticket amounts to: the sums of its kept candidates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slth.errors import InputError
from slth.networks.parent import Parent
from slth.networks.target import LinearMap
from slth.tickets.ticket import Block, Ticket


def approximated_weight(ticket: Ticket, layer: int, sign: str = "+") -> npt.NDArray[np.float64]:
    r"""The weight that a layer of the ticket applies to the positive (or negative) part of its input.

    .. math:: \hat K_c = \sum_{t \text{ kept},\, u_t > 0} |u_t| V_t, \qquad
              \text{or } −\sum_{t \text{ kept},\, u_t < 0} |u_t| V_t \text{ for sign "-"}

    Returns:
        float64, the shape of the target's weight.

    Raises:
        InputError: a layer the ticket does not have, or a sign the layer's input cannot have.
    """
    if not 0 <= layer < len(ticket.target.maps):
        raise InputError(f"layer must lie between 0 and {len(ticket.target.maps) - 1}; got {layer}.")
    linear = ticket.target.maps[layer]
    if sign not in tuple(linear.signs):
        raise InputError(f"sign must be one of {', '.join(linear.signs)} for layer {linear.name}; got {sign!r}.")
    c_in = linear.channels[0]
    columns = np.stack([channel_sum(ticket.parent, layer, c, ticket.kept[layer][c], sign) for c in range(c_in)])
    weight = as_weight(linear, columns)
    return weight if sign == "+" else -weight


def as_weight(linear: LinearMap, columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What every input channel contributes, (c_in, D), in the shape of the map's weight."""
    c_in, outputs = linear.channels[0], linear.channels[1] // linear.groups
    shaped = columns.reshape(linear.groups, c_in // linear.groups, outputs, *linear.kernel)
    return np.ascontiguousarray(shaped.swapaxes(1, 2)).reshape(linear.weight.shape)


def channel_sum(parent: Parent, layer: int, channel: int, block: Block, sign: str) -> npt.NDArray[np.float64]:
    """Σ |u_t|·V_t over the kept hidden channels of one sign, each entry over its own part's: float64 (D,)."""
    return np.asarray(kept_candidates(parent, layer, channel, block)[sign].sum(axis=0))


def kept_candidates(parent: Parent, layer: int, channel: int, block: Block) -> dict[str, npt.NDArray[np.float64]]:
    """By sign of u_t: |u_t|·V_t of a block's used hidden channels, zero where a part does not keep it, (used, D)."""
    used, mask = block.used, block.mask()
    positive = (parent.mixing(layer, channel, used) > 0)[:, None]
    candidates = parent.candidates(layer, channel, used)
    size = candidates.shape[1] // mask.shape[1]
    groups = {"+": mask & positive, "-": mask & ~positive}
    return {sign: candidates * np.repeat(chosen, size, axis=1) for sign, chosen in groups.items()}
