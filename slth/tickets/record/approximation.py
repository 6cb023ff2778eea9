"""The weights that a ticket approximates its target with: sums of kept candidates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slth.errors import InputError
from slth.networks.linear_map import LinearMap
from slth.tickets.record.instance import InputChannel
from slth.tickets.record.record import Block, Record


def approximated_weight(record: Record, layer: int, sign: str = "+") -> npt.NDArray[np.float64]:
    r"""The weight that a layer of the ticket applies to the positive (or negative) part of its input.

    .. math:: \hat K_c = \sum_{t \text{ kept},\, u_t > 0} |u_t| V_t, \qquad
              \text{or } −\sum_{t \text{ kept},\, u_t < 0} |u_t| V_t \text{ for sign "-"}

    Args:
        record: the ticket.
        layer: index of the layer.
        sign: ``+`` or ``-``.

    Returns:
        float64, of the shape of the target's weight.

    Raises:
        InputError: the ticket has no such layer, or the layer's input cannot have the sign.
    """
    if not 0 <= layer < len(record.target.maps):
        raise InputError(f"layer must lie between 0 and {len(record.target.maps) - 1}; got {layer}.")
    linear = record.target.maps[layer]
    if sign not in tuple(linear.signs):
        raise InputError(f"sign must be one of {', '.join(linear.signs)} for layer {linear.name}; got {sign!r}.")
    pairs = zip(record.channels[layer], record.kept[layer], strict=True)
    columns = [kept_candidates(channel, block)[sign].sum(axis=0) for channel, block in pairs if not channel.is_bias]
    weight = as_weight(linear, np.stack(columns))
    return weight if sign == "+" else -weight


def as_weight(linear: LinearMap, columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Arrange the slices of all input channels in the shape of the map's weight.

    Args:
        linear: the linear map.
        columns: the slices, float64 (c_in, D), one row for each input channel.

    Returns:
        float64 (c_out, c_in/groups, d, …).
    """
    c_in, outputs = linear.channels[0], linear.channels[1] // linear.groups
    shaped = columns.reshape(linear.groups, c_in // linear.groups, outputs, *linear.kernel)
    return np.ascontiguousarray(shaped.swapaxes(1, 2)).reshape(linear.weight.shape)


def kept_candidates(channel: InputChannel, block: Block) -> dict[str, npt.NDArray[np.float64]]:
    """The kept candidates |u_t|·V_t of one input channel, grouped by the sign of u_t.

    Args:
        channel: the input channel.
        block: the hidden channels that are kept of it.

    Returns:
        Sign → float64 (used, D), zero in the rows of the other sign and where a part does not keep the hidden channel.
    """
    used, mask = block.used, block.mask()
    positive = (channel.mixing(used) > 0)[:, None]
    candidates = channel.candidates(used)
    groups = {"+": mask & positive, "-": mask & ~positive}
    return {sign: candidates * np.repeat(chosen, channel.part_size, axis=1) for sign, chosen in groups.items()}
