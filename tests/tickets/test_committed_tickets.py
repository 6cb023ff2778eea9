"""Committed tickets of both format versions: they verify, and are written again byte for byte; searches repeat.

``tests/vectors/tickets`` was written once, by earlier versions. A file of an earlier version must keep verifying.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forgery import read_header, with_header
from safetensors.numpy import load

from slth.errors import TicketFileError
from slth.tickets import find_ticket, load_ticket
from slth.tickets.checks.verification import UNCHECKED_BINDING
from slth.tickets.files.file import target_path
from slth.tickets.record.record import Record

FOLDER = Path(__file__).parents[1] / "vectors" / "tickets"
NAMES = ("channel", "kernel", "weight")
FILES = ("{}.slth", "{}.target.safetensors", "{}.md")


def committed_file(version: int, name: str) -> Path:
    return FOLDER / f"format{version}" / f"{name}.slth"


def assert_same_choice(one: Record, other: Record) -> None:
    """The same parent, and the same hidden channels with the same errors."""
    assert one.parent == other.parent
    for blocks, other_blocks in zip(one.kept, other.kept, strict=True):
        for block, other_block in zip(blocks, other_blocks, strict=True):
            assert np.array_equal(block.rows, other_block.rows)
            assert np.array_equal(block.counts, other_block.counts)
    for report, recorded in zip(one.layers, other.layers, strict=True):
        assert (report.error, report.relative_rms) == (recorded.error, recorded.relative_rms)
        assert report.bias_error == recorded.bias_error


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_ticket_verifies_and_is_written_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    ticket = load_ticket(committed_file(3, name))
    verification = ticket.verify()
    assert verification
    assert verification.unchecked == ()
    shutil.copy(committed_file(3, name).with_suffix(".md"), tmp_path)  # it alone knows the machine and the times
    ticket.save(tmp_path / f"{name}.slth")
    for file in FILES:
        written = (tmp_path / file.format(name)).read_bytes()
        assert written == (FOLDER / "format3" / file.format(name)).read_bytes(), file


@pytest.mark.parametrize("name", NAMES)
def test_a_ticket_of_format_2_verifies_and_says_what_its_hash_does_not_cover(name: str, tmp_path: Path) -> None:
    old, new = (load_ticket(committed_file(version, name)) for version in (2, 3))
    verification = old.verify()
    assert verification
    assert verification.unchecked == (UNCHECKED_BINDING["graph"],)
    assert old.target.hash() == new.target.hash()
    assert_same_choice(old, new)
    path = old.save(tmp_path / f"{name}.slth")  # in format 3
    assert path.read_bytes() == committed_file(3, name).read_bytes()
    assert load_ticket(path).verify().unchecked == ()


def test_a_ticket_of_format_2_is_converted_without_its_target(tmp_path: Path) -> None:
    """It keeps the hash that it states, so that its target still fits."""
    path = tmp_path / "t.slth"
    shutil.copy(committed_file(2, "channel"), path)
    load_ticket(path).save(path)
    shutil.copy(target_path(committed_file(2, "channel")), target_path(path))
    assert load_ticket(path).verify()
    shutil.copy(target_path(committed_file(2, "kernel")), target_path(path))
    with pytest.raises(TicketFileError):
        load_ticket(path)


@pytest.mark.parametrize("change", [
    lambda header: header.update(info=None), lambda header: header.update(info=[]), lambda header: header.pop("info"),
    lambda header: header.update(target=3), lambda header: header.pop("target"),
    lambda header: header["info"].update(input_range="+"), lambda header: header["info"].update(input_range=[1]),
    lambda header: header["info"].pop("input_range"), lambda header: header["layers"][0].update(seconds=-1.0),
])  # fmt: skip
def test_a_broken_header_of_format_2_is_refused_or_does_not_verify(change: Any, tmp_path: Path) -> None:
    tensors = dict(load(committed_file(2, "channel").read_bytes()))
    header = read_header(tensors)
    change(header)
    path = tmp_path / "t.slth"
    path.write_bytes(with_header(tensors, header))
    shutil.copy(target_path(committed_file(2, "channel")), target_path(path))
    try:
        ticket = load_ticket(path)
    except TicketFileError:
        return
    assert not ticket.verify()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_search_gives_the_same_bytes_and_is_no_worse_than_it_was(name: str, tmp_path: Path) -> None:
    """From target, width, seed and law alone. Later versions may find other channels, with less error."""
    committed = load_ticket(committed_file(3, name))
    options: dict[str, Any] = {
        "width": {layer.name: layer.width for layer in committed.parent.layers}, "seed": committed.parent.seed,
        "law": committed.parent.law, "structure": committed.structure,
    }  # fmt: skip
    again = [find_ticket(committed.target, **options, threads=threads) for threads in (1, 2)]
    assert again[0].parent == committed.parent
    assert again[0].verify()
    for report, recorded in zip(again[0].layers, committed.layers, strict=True):
        assert report.relative_rms <= 1.3 * recorded.relative_rms
    one, other = (ticket.save(tmp_path / f"{i}.slth") for i, ticket in enumerate(again))
    assert one.read_bytes() == other.read_bytes()
    assert target_path(one).read_bytes() == target_path(committed_file(3, name)).read_bytes()
