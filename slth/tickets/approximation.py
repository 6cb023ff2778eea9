"""The kernels a ticket amounts to: the sums of its kept candidates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slth.errors import InputError
from slth.tickets.ticket import Ticket


def approximated_weight(ticket: Ticket, layer: int, sign: str = "+") -> npt.NDArray[np.float64]:
    r"""The weight that a layer of the ticket applies to the positive (or negative) part of its input.

    .. math:: \hat K_c = \sum_{t \text{ kept},\, u_t > 0} |u_t| V_t, \qquad
              \text{or } −\sum_{t \text{ kept},\, u_t < 0} |u_t| V_t \text{ for sign "-"}

    Returns:
        float64, the shape of the target's weight (c_out, c_in, d, d) or (c_out, c_in).

    Raises:
        InputError: a layer the ticket does not have, or a sign the layer's input cannot have.
    """
    if not 0 <= layer < len(ticket.target.maps):
        raise InputError(f"layer must lie between 0 and {len(ticket.target.maps) - 1}; got {layer}.")
    linear = ticket.target.maps[layer]
    if sign not in tuple(linear.signs):
        raise InputError(f"sign must be one of {', '.join(linear.signs)} for layer {linear.name}; got {sign!r}.")
    columns = []
    for channel in range(linear.channels[0]):
        rows = ticket.kept[layer][channel]
        mixing = ticket.parent.mixing(layer, channel, rows)
        group = ticket.parent.candidates(layer, channel, rows)[mixing > 0 if sign == "+" else mixing < 0]
        columns.append(group.sum(axis=0) if sign == "+" else -group.sum(axis=0))
    shape = (linear.channels[0], linear.weight.shape[0], *linear.weight.shape[2:])
    return np.stack(columns).reshape(shape).swapaxes(0, 1)
