"""The .slth file: nothing is lost, and nothing that was changed goes unnoticed."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from small_tickets import small_ticket
from torch import nn

from slth.errors import TicketFileError
from slth.tickets import Ticket, find_ticket, load_ticket
from slth.tickets.files.file import target_path
from slth.tickets.record.record import Block


@pytest.fixture(scope="module")
def ticket() -> Ticket:
    return small_ticket()


@pytest.fixture(scope="module")
def raw(ticket: Ticket, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return ticket.save(tmp_path_factory.mktemp("whole") / "small.slth").read_bytes()


def same_kept(one: Ticket, other: Ticket) -> bool:
    return all(
        np.array_equal(a.rows, b.rows) and np.array_equal(a.counts, b.counts)
        for x, y in zip(one.kept, other.kept, strict=True)
        for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("which", ["ticket", "digits_ticket"])
def test_a_saved_ticket_comes_back_whole(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    ticket = request.getfixturevalue(which)
    path = ticket.save(tmp_path / "t.slth")
    again = load_ticket(path)
    assert same_kept(ticket, again)
    assert again.parent == ticket.parent
    assert again.layers == tuple(dataclasses.replace(report, seconds=None) for report in ticket.layers)
    assert again.target.hash() == ticket.target.hash()
    # Another test may have certified this ticket: JSON holds lists for tuples, and no times.
    assert set(again.info) == (set(ticket.info) - {"environment"}) | {"target_hash"}
    for key in set(ticket.info) - {"environment", "certificate"}:
        assert again.info[key] == ticket.info[key]
    assert again.target.input_range == ticket.target.input_range
    assert again.info["target_hash"] == ticket.target.hash()
    assert again.verify()
    assert again.verify().channels == ticket.kept_channels
    x = torch.rand(5, 1, *((4, 4) if which == "ticket" else (8, 8)))
    assert (again.to_module()(x) == ticket.to_module()(x)).all()
    assert (again.target.to_module()(x) == ticket.target.to_module()(x)).all()


def test_saving_again_writes_the_same(ticket: Ticket, raw: bytes, tmp_path: Path) -> None:
    """The ticket, its target and its card, and all of them again from what was loaded."""
    path = tmp_path / "again.slth"
    written = []
    for one in (ticket, load_ticket(ticket.save(str(path)))):
        one.save(path)
        written.append([file.read_bytes() for file in (path, target_path(path), path.with_suffix(".md"))])
    assert written[0] == written[1]
    assert written[0][0] == raw


def test_a_name_that_is_not_utf_8_is_written_whole(ticket: Ticket, tmp_path: Path) -> None:
    """Linux allows such names; the card writes them with escapes."""
    path = tmp_path / "a\udcff.slth"
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system has no such names")
    assert load_ticket(ticket.save(path)).verify()
    assert path.with_suffix(".md").read_text(encoding="utf-8").startswith("# a\\udcff.slth")


def test_the_file_holds_no_weight_of_the_target(ticket: Ticket, raw: bytes, tmp_path: Path) -> None:
    """They lie beside it. Without them the ticket runs, and verification says that they are missing."""
    assert all(tensor.dtype == np.uint8 for tensor in load(raw).values())
    path = ticket.save(tmp_path / "alone.slth")
    weights = load(target_path(path).read_bytes())
    assert sorted(weights) == ["0.bias", "0.weight", "4.weight"]
    assert all((weights[f"{linear.name}.weight"] == linear.weight).all() for linear in ticket.target.maps)
    target_path(path).unlink()
    alone = load_ticket(path)
    x = torch.randn(5, 1, 4, 4)
    assert not alone.target.known
    assert same_kept(ticket, alone)
    assert (alone.to_module()(x) == ticket.to_module()(x)).all()
    assert ["the target's weights are missing" in failure for failure in alone.verify().failures] == [True]
    given = {linear.name: (linear.weight, linear.bias) for linear in ticket.target.maps}
    assert load_ticket(path, given).verify()
    other = {**given, "4": (given["4"][0] + np.float32(1e-3), None)}
    with pytest.raises(TicketFileError, match=r"is not the target of alone\.slth: the ticket states the hash"):
        load_ticket(path, other)


def test_large_indices_survive(tmp_path: Path) -> None:
    """Gaps beyond 16 bits, an empty block, and rows of both signs."""
    ticket = find_ticket(nn.Sequential(nn.Linear(1, 1)), width=400_000)
    rows = np.array([5, 399_999])
    wide = dataclasses.replace(ticket, kept=((Block.of([rows]), Block.of([rows[:0]])),))
    again = load_ticket(wide.save(tmp_path / "wide.slth"))
    assert again.kept[0][0].rows.tolist() == [5, 399_999]
    assert again.kept[0][1].rows.tolist() == []
    assert [block.counts.tolist() for block in again.kept[0]] == [[2], [0]]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000])
def test_files_that_are_no_tickets_are_refused(size: int, tmp_path: Path) -> None:
    (tmp_path / "x.slth").write_bytes(np.random.default_rng(size).bytes(size))
    with pytest.raises(TicketFileError, match=r"x\.slth"):
        load_ticket(tmp_path / "x.slth")


@pytest.mark.parametrize("metadata", [None, {}, {"slth": "{"}, {"slth": ""}, {"other": "0" * 64}, {"slth": "[" * 9999}])
def test_safetensors_of_somebody_else_are_refused(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    (tmp_path / "x.slth").write_bytes(save({"weight": np.zeros(3, np.float32)}, metadata))
    with pytest.raises(TicketFileError, match=r"x\.slth"):
        load_ticket(tmp_path / "x.slth")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "no.slth", tmp_path):
        with pytest.raises(TicketFileError, match=path.name):
            load_ticket(path)


def frame(raw: bytes) -> dict[str, Any]:
    """The safetensors header: its length in 8 bytes, then JSON."""
    return dict(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]))


def edit(raw: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The file after ``change(header)``. The digest stays as it was, unless the change returns a function of it."""
    digest, tensors = frame(raw)["__metadata__"]["slth"], load(raw)
    header = json.loads(zlib.decompress(tensors["header"].tobytes()))
    other = change(header)
    tensors["header"] = np.frombuffer(zlib.compress(json.dumps(header).encode(), 9), dtype=np.uint8)
    edited: bytes = save(tensors, {"slth": other(digest) if callable(other) else digest})
    return edited


def test_the_same_ticket_gives_the_same_file(ticket: Ticket, tmp_path: Path) -> None:
    files = {ticket.save(tmp_path / f"{i}.slth").read_bytes() for i in range(6)}
    assert len(files) == 1


def test_an_unchanged_edit_still_loads(ticket: Ticket, raw: bytes, tmp_path: Path) -> None:
    """An edit that changes nothing is accepted: so the refusals below are about the changes."""
    path = ticket.save(tmp_path / "same.slth")
    path.write_bytes(edit(raw, lambda header: None))
    assert load_ticket(path).verify()


@pytest.mark.parametrize(("version", "advice"), [(99, "Update slth"), (1, "Find the ticket again")])
def test_another_format_says_so(
    ticket: Ticket, version: int, advice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("slth.tickets.files.header.FORMAT_VERSION", version)
    path = ticket.save(tmp_path / "other.slth")
    monkeypatch.undo()
    with pytest.raises(TicketFileError, match=rf"format version {version}.*{advice}"):
        load_ticket(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.update(extra=1),
        lambda header: header["layers"][0].update(kept=1),
        lambda header: header["info"].update(method="other"),
        lambda header: header.update(format_version="1"),
        lambda header: header.update(format_version=True),
        lambda header: header.pop("layers"),
        lambda header: lambda digest: "",
        lambda header: lambda digest: "0" * 64,
        lambda header: lambda digest: digest.upper(),
    ],
)
def test_an_edited_header_does_not_load(raw: bytes, change: Callable[[dict[str, Any]], object], tmp_path: Path) -> None:
    (tmp_path / "edited.slth").write_bytes(edit(raw, change))
    with pytest.raises(TicketFileError, match=r"edited\.slth"):
        load_ticket(tmp_path / "edited.slth")
