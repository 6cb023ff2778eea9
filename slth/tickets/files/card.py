"""The card beside a ticket, in Markdown: what it is, how it was found, how good it is, and how to check that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slth.networks.sizes import show_sizes
from slth.networks.target import Target
from slth.text import printable
from slth.tickets.record.record import Record

# Entries of the ticket's info that only the person who found it can state.
STATED = ("task", "data", "licence")
SEARCH = "## The search"


def card_of_file(record: Record, path: Path) -> str:
    """The text of the card beside a ticket's file.

    A ticket that was read from a file does not know how long its search took, and on which machine. If its card is
    there already, what that card says of the search stays.

    Args:
        record: the ticket.
        path: the file that the ticket is saved to.

    Returns:
        The text, in Markdown.
    """
    text, old = card(record, printable(path.name)), card_path(path)
    if SEARCH not in text and old.is_file():
        text += _search_of(old.read_text(encoding="utf-8", errors="replace"), text)
    return text


def card_path(path: Path) -> Path:
    """The card beside the ticket at ``path``."""
    return path.with_suffix(".md")


def _search_of(old: str, text: str) -> str:
    """What an old card says of the search, if it is the card of the same ticket; its certificate may be another."""
    claims = [line for line in text.splitlines() if line.startswith(("- target:", "- parent:", "- kept:", "|"))]
    body, heading, search = old.partition(f"\n{SEARCH}\n")
    return heading + search if set(claims) <= set(body.splitlines()) else ""


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
        f"- inputs: {inputs_in_words(record.target)}",
        f"- certificate: {_certificate_in_words(info.get('certificate'))}",
        f"- method: {info.get('method', 'not stated')}",
        *(f"- calibrated: {claim}" for claim in calibration_in_words(info)),
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
        *_search_in_words(record),
    ]
    return "\n".join(lines)


def _search_in_words(record: Record) -> list[str]:
    """On which machine and in what time the ticket was found; nothing if that is not known."""
    found = record.info.get("environment")
    packages = found.get("packages") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(packages, dict):
        return []
    lines = [
        SEARCH,
        "",
        f"- program: slth {packages.get('slth', '?')} on Python {found.get('python', '?')}, with "
        + ", ".join(f"{name} {version}" for name, version in packages.items() if name != "slth"),
        f"- machine: {found.get('system', '?')}, {found.get('cores', '?')} cores",
    ]
    times = [f"{one.name} {one.seconds:.1f}" for one in record.layers if one.seconds is not None]
    return [*lines, *([f"- seconds, summed over threads: {', '.join(times)}"] if times else []), ""]


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


def calibration_in_words(info: Mapping[str, Any]) -> list[str]:
    """On what a ticket was calibrated, in a sentence; nothing for one that was found from the weights alone.

    Args:
        info: the ticket's info.
    """
    claim = info.get("calibration")
    if not isinstance(claim, Mapping):
        return []
    count, digest = claim.get("images"), claim.get("images_sha256")
    if not isinstance(count, int) or not isinstance(digest, str):
        return ["on images that the record does not name"]
    return [f"on {count:,} unlabelled images (SHA-256 {printable(digest)}); errors are against the target's weights"]


def inputs_in_words(target: Target) -> str:
    """The inputs of a network in words: their sizes, ranges, and conditions on the sizes.

    Args:
        target: the network.

    Returns:
        For example ``x (n, 3, *, *) in [0, 1]; x[2] % 2 == 0``, with n for any batch and * for any other size; the
        range alone for a network of an older file.
    """
    if not target.sizes:
        return _range_in_words(target.input_range)
    named = target.input_range if isinstance(target.input_range, dict) else None
    parts = [
        f"{name} {show_sizes(sizes)} {_range_in_words(target.input_range if named is None else named.get(name))}"
        for name, sizes in target.sizes.items()
    ]
    return printable("; ".join([*parts, *target.conditions]))


def _range_in_words(input_range: Any) -> str:
    """An input range in words; if the inputs have names, the range of each."""
    if isinstance(input_range, dict):
        return "; ".join(f"{name} {_range_in_words(one)}" for name, one in input_range.items())
    if input_range is None:
        return "of any sign"
    return f"in [{input_range[0]:g}, {input_range[1]:g}]"
