"""Three committed tickets: they verify, they are written again byte for byte, and the same search finds them again.

``tests/vectors/tickets`` was written once, by an earlier version. A file of an earlier version must keep verifying.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slth.tickets import find_ticket, load_ticket

FOLDER = Path(__file__).parents[1] / "vectors" / "tickets"
NAMES = ("channel", "kernel", "weight")
FILES = ("{}.slth", "{}.target.safetensors", "{}.md")


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_ticket_verifies_and_is_written_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    ticket = load_ticket(FOLDER / f"{name}.slth")
    assert ticket.verify()
    ticket.save(tmp_path / f"{name}.slth")
    for file in FILES:
        written = (tmp_path / file.format(name)).read_bytes()
        assert written == (FOLDER / file.format(name)).read_bytes(), file


@pytest.mark.parametrize("name", NAMES)
def test_the_same_search_finds_a_committed_ticket_again(name: str) -> None:
    """The rows that are kept, from the target, the width, the seed and the law alone."""
    committed = load_ticket(FOLDER / f"{name}.slth")
    layers = committed.parent.layers
    again = find_ticket(
        committed.target, width={layer.name: layer.width for layer in layers}, seed=committed.parent.seed,
        law=committed.parent.law, structure=committed.structure,
    )  # fmt: skip
    assert again.parent == committed.parent
    for blocks, committed_blocks in zip(again.kept, committed.kept, strict=True):
        for one, other in zip(blocks, committed_blocks, strict=True):
            assert np.array_equal(one.rows, other.rows)
            assert np.array_equal(one.counts, other.counts)
    for report, recorded in zip(again.layers, committed.layers, strict=True):
        assert (report.error, report.relative_rms) == (recorded.error, recorded.relative_rms)
        assert report.bias_error == recorded.bias_error
