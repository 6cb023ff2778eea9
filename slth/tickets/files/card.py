"""The card beside a ticket, in Markdown: what it is, how it was found, how good it is, and how to check that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slth.files import write_whole
from slth.tickets.record.record import Record

# Entries of the ticket's info that only the person who found it can state.
STATED = ("task", "data", "licence")


def write_card(record: Record, path: Path) -> Path:
    """Write the card of a ticket beside its file, with the suffix ``.md``.

    Args:
        record: the ticket.
        path: the file that the ticket is saved to.

    Returns:
        The path of the card.
    """
    return write_whole(path.with_suffix(".md"), card(record, path.name))


def card(record: Record, name: str) -> str:
    """The text of the card, in Markdown.

    Args:
        record: the ticket.
        name: name of the ticket's file.
    """
    parent, info = record.parent, record.info
    weights = sum(layer.weights for layer in record.layers)
    random = sum(layer.random for layer in record.layers)
    lines = [
        f"# {name}: a strong lottery ticket",
        "",
        "A subnetwork of a random network that approximates a trained target. No weight was trained: the file holds a "
        "seed and the numbers of what is kept.",
        "",
        *(f"- {key}: {info.get(key, 'not stated')}" for key in STATED),
        f"- target: {record.target.weight_count:,} weights in {len(record.target.maps)} layers, SHA-256 "
        f"`{info.get('target_hash', record.target.hash())}`"
        + (f"; {record.target.kept_count:,} trained numbers stay as they are" if record.target.kept_count else ""),
        f"- parent: seed {parent.seed}, {parent.law} law, {random:,} random weights, never stored",
        f"- kept: {record.kept_channels:,} hidden channels, {weights:,} weights ({weights / random:.2%}), "
        f"structure {record.structure}",
        f"- inputs: {range_in_words(info.get('input_range', 'not stated'))}",
        f"- certificate: {_certificate_in_words(info.get('certificate'))}",
        f"- found with slth {info.get('environment', {}).get('packages', {}).get('slth', '?')}, method "
        f"{info.get('method', '?')}",
        "",
        "| layer | D | width | kept | density | largest error (exact, rounded up) | relative RMS error |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {one.name} | {one.dimension} | {one.width:,} | {one.kept:,} | {one.density:.2%} | {one.error:.3g} "
            f"| {one.relative_rms:.2%} |"
            for one in record.layers
        ),
        "",
        "```",
        f"slth ticket verify {name}    # regenerates the kept channels from the seed, recomputes every error",
        f"slth ticket show {name}",
        "```",
        "",
    ]
    return "\n".join(lines)


def _certificate_in_words(record: Any) -> str:
    """What the recorded certificate proves, in a sentence."""
    claims = ["kernel errors below are exact"]
    if isinstance(record, dict):
        network = record.get("network")
        if network:
            claims.append(
                f"outputs differ by at most {network['proved']:.4g} for every input in [{network['low']:g}, "
                f"{network['high']:g}] (an input with {network['found']:.4g} was found)"
            )
        for one in record.get("agreement", ()):
            claims.append(
                f"the same class as the target, provably, for every input within {one['radius']:.4g} of "
                f"{one['certified']:,} of {one['examples']:,} examples"
            )
    return "; ".join(claims)


def range_in_words(input_range: Any) -> str:
    """An input range in words; if the inputs have names, the range of each."""
    if isinstance(input_range, dict):
        return "; ".join(f"{name} {range_in_words(one)}" for name, one in input_range.items())
    if isinstance(input_range, tuple):
        return f"in [{input_range[0]:g}, {input_range[1]:g}]"
    return input_range or "of any sign"
