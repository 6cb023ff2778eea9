"""What the commands print of a ticket: its layers, its size and its cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slth.cli.show import echo, echo_json, table

if TYPE_CHECKING:
    from slth.tickets import Ticket


def calibrated_on(ticket: Ticket) -> int | None:
    """How many images a ticket says it was calibrated on; None if it does not say."""
    claim = ticket.info.get("calibration")
    count = claim.get("images") if isinstance(claim, dict) else None
    return count if isinstance(count, int) and count > 0 else None


def print_ticket(ticket: Ticket, file: Path, as_json: bool, cost: bool) -> None:
    """Print what a ticket holds.

    Args:
        ticket: the ticket.
        file: its file.
        as_json: whether JSON is printed instead of tables.
        cost: whether target and ticket are run, for their operations and milliseconds.
    """
    from slth.tickets.checks.cost import measure_cost
    from slth.tickets.files.card import calibration_in_words, inputs_in_words
    from slth.tickets.files.places import ideal_bits

    parent, size = ticket.parent, file.stat().st_size
    ideal = ideal_bits(ticket)
    costs = measure_cost(ticket) if cost and "input_shapes" in ticket.info else []
    if as_json:
        record: dict[str, Any] = {
            "file": str(file),
            "bytes": size,
            "ideal_bits": ideal,
            "parent": parent.describe(),
            "structure": ticket.structure,
            "target_hash": ticket.target.hash() if ticket.target.known else ticket.info["target_hash"],
            "input_range": ticket.target.input_range,
            "input_sizes": {name: list(sizes) for name, sizes in ticket.target.sizes.items()},
            "conditions": list(ticket.target.conditions),
            "coverage": ticket.target.coverage,
            "kept_channels": ticket.kept_channels,
            "layers": [asdict(layer) for layer in ticket.layers],
            "costs": [asdict(one) for one in costs],
            "info": {key: value for key, value in ticket.info.items() if key != "target_hash"},
        }
        echo_json(record)
        return
    header = ("layer", "D", "width", "kept", "density", "largest error", "relative RMS", "core seconds")
    # A file does not hold the times of the search.
    columns = len(header) - all(layer.seconds is None for layer in ticket.layers)
    table(
        header[:columns],
        [
            (
                layer.name,
                str(layer.dimension),
                f"{layer.width:,}",
                f"{layer.kept:,}",
                f"{layer.density:.2%}",
                f"{layer.error:.2g}",
                f"{layer.relative_rms:.2%}",
                "" if layer.seconds is None else f"{layer.seconds:.1f}",
            )[:columns]
            for layer in ticket.layers
        ],
    )
    if costs:
        table(
            ("network", "numbers held", "operations", "latency"),
            [(one.name, f"{one.weights:,}", f"{one.flops:,}", f"{one.milliseconds:.2f} ms") for one in costs],
        )
    random = sum(layer.random for layer in ticket.layers)
    count = ticket.target.weight_count
    echo(
        f"{file.name}: parent seed {parent.seed}, law {parent.law}, {random:,} random weights; structure "
        f"{ticket.structure}: {ticket.kept_channels:,} hidden channels and "
        f"{sum(layer.weights for layer in ticket.layers):,} random weights kept for {count:,} target weights"
        + (f" ({ticket.target.coverage:.1%} of the network)" if ticket.target.kept_count else "")
    )
    echo(f"inputs: {inputs_in_words(ticket.target)}")
    for claim in calibration_in_words(ticket.info):
        echo(f"calibrated {claim}")
    echo(
        f"{size:,} bytes, {8 * size / count:.1f} bits a target weight; log2 of the choices made is "
        f"{ideal / 8:,.0f} bytes, {ideal / count:.1f} bits"
    )
