"""Verification: whatever a ticket states wrongly is found, and the message says what."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from small_tickets import (
    replace_counts,
    replace_kept,
    replace_layer,
    replace_parent_layer,
    replace_weight,
    small_ticket,
)

from slth.errors import TicketFileError
from slth.networks.generator import random_rows
from slth.tickets import Ticket, load_ticket
from slth.tickets.record.instance import ChannelIndices


@pytest.fixture(scope="module")
def ticket() -> Ticket:
    return small_ticket()


LIES: dict[str, tuple[Callable[[Ticket], Ticket], str]] = {
    "error": (lambda t: replace_layer(t, 0, error=np.nextafter(t.layers[0].error, 0)), "0: error is recorded"),
    "bias error": (lambda t: replace_layer(t, 0, bias_error=0.0), "0: bias_error is recorded"),
    "no bias error": (lambda t: replace_layer(t, 0, bias_error=None), "0: bias_error"),
    "rms": (lambda t: replace_layer(t, 1, relative_rms=0.001), "4: relative_rms is recorded as 0.001"),
    "kept": (lambda t: replace_layer(t, 1, kept=t.layers[1].kept + 1), "4: kept is recorded"),
    "width in the report": (lambda t: replace_layer(t, 0, width=61), "0: width is recorded as 61"),
    "dimension": (lambda t: replace_layer(t, 0, dimension=17), "0: dimension is recorded as 17"),
    "name": (lambda t: replace_layer(t, 0, name="other"), "name"),
    "random": (lambda t: replace_layer(t, 1, random=t.layers[1].random - 1), "4: random is recorded"),
    "weights": (lambda t: replace_layer(t, 1, weights=t.layers[1].weights - 1), "4: weights is recorded"),
    "channels": (lambda t: replace_layer(t, 1, channels=t.layers[1].channels - 1), "4: channels is recorded"),
    "usable": (lambda t: replace_layer(t, 0, usable=t.layers[0].usable + 1), "0: usable is recorded"),
    "kind": (lambda t: replace_layer(t, 0, kind="linear"), "kind"),
    "seed": (lambda t: dataclasses.replace(t, parent=dataclasses.replace(t.parent, seed=3)), "0: "),
    "law": (lambda t: dataclasses.replace(t, parent=dataclasses.replace(t.parent, law="uniform")), "0: "),
    "scale": (lambda t: replace_parent_layer(t, scale=float(np.float32(t.parent.layers[0].scale * 1.01))), "0: error"),
    "target": (replace_weight, "0: "),
    "one channel less": (lambda t: replace_kept(t, lambda rows: rows[1:]), "0: "),
    "other channels": (lambda t: replace_kept(t, lambda rows: np.setdiff1d(np.arange(60), rows)), "0: "),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_with_a_right_digest_is_found(lie: str, ticket: Ticket, tmp_path: Path) -> None:
    """Digest and hash are right, because slth saved the file: only recomputing can find the lie, and it says what."""
    change, words = LIES[lie]
    path = change(ticket).save(tmp_path / "lie.slth")
    verification = load_ticket(path).verify()
    assert not verification
    assert any(words in failure for failure in verification.failures), verification.failures


def test_a_range_that_the_ticket_was_not_found_for_is_found(ticket: Ticket, tmp_path: Path) -> None:
    """The range decides which sign groups are needed, and certificates hold for it."""
    assert ticket.verify()
    target = dataclasses.replace(ticket.target, input_range=(0.0, 1.0))
    info = {key: value for key, value in ticket.info.items() if key != "target_hash"}
    lie = dataclasses.replace(ticket, target=target, info=info)
    failures = load_ticket(lie.save(tmp_path / "lie.slth")).verify().failures
    assert failures == ("the signs of the layers do not follow from the stated range of inputs",)


def test_another_structure_has_other_places_and_is_not_read(ticket: Ticket, tmp_path: Path) -> None:
    """The code of one selection for each input channel does not decode as one selection for each weight."""
    path = dataclasses.replace(ticket, structure="weight").save(tmp_path / "lie.slth")
    with pytest.raises(TicketFileError, match="code must have"):
        load_ticket(path)


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (lambda t: replace_parent_layer(t, width=10), "0 to width − 1 = 9"),
        (lambda t: replace_parent_layer(t, c_in=2), "does not have the target's shape"),
        (lambda t: replace_parent_layer(t, kernel=(3, 1)), "does not have the target's shape"),
        (lambda t: replace_parent_layer(t, name="other"), "does not have the target's shape"),
        (lambda t: replace_parent_layer(t, bias=False), "does not have the target's shape"),
        (lambda t: replace_kept(t, lambda rows: np.sort(np.append(rows, rows[0]))), "must increase"),
        (lambda t: replace_kept(t, lambda rows: rows[::-1]), "must increase"),
        (lambda t: replace_kept(t, lambda rows: np.append(-1, rows)), "must increase from 0"),
        (lambda t: replace_kept(t, lambda rows: np.append(rows, 60)), "width − 1 = 59"),
        (lambda t: replace_counts(t, [2, -2]), "must hold 1 selections; it holds 2"),
        (lambda t: replace_counts(t, []), "must hold 1 selections; it holds 0"),
        (lambda t: replace_counts(t, [1]), "must hold 1 selections"),
    ],
)
def test_kept_channels_that_cannot_be_are_found(lie: Callable[[Ticket], Ticket], words: str, ticket: Ticket) -> None:
    """No file can state such tickets, because its code numbers only what can be kept of a parent that fits."""
    failures = lie(ticket).verify().failures
    assert any(failure.startswith("0: ") and words in failure for failure in failures), failures


def test_channels_of_a_sign_that_cannot_occur_are_found(digits_ticket: Ticket) -> None:
    negative = digits_ticket.parent.sign_group(0, 0, "-")[:1]
    wrong = replace_kept(digits_ticket, lambda rows: np.sort(np.append(rows, negative)))
    assert any("sign" in failure for failure in wrong.verify().failures)


def test_a_record_with_a_layer_missing_is_found(ticket: Ticket) -> None:
    fewer_blocks = ticket.kept[0][:1], ticket.kept[1]
    for change in ({"layers": ticket.layers[:1]}, {"kept": ticket.kept[:1]}, {"kept": fewer_blocks}):
        assert not dataclasses.replace(ticket, **change).verify()


def test_the_recorded_target_hash_is_checked(ticket: Ticket, tmp_path: Path) -> None:
    loaded = load_ticket(ticket.save(tmp_path / "t.slth"))
    assert loaded.verify()
    assert any("hash" in failure for failure in replace_weight(loaded).verify().failures)


def test_verifying_a_width_beyond_reason_stays_within_memory(
    ticket: Ticket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file of 3 kB can claim a width of 1.5·10⁶ while all else is true: signs are counted chunk by chunk."""
    layers = [dataclasses.replace(layer, width=1_500_000) for layer in ticket.parent.layers]
    reports = [dataclasses.replace(report, width=1_500_000) for report in ticket.layers]
    parent = dataclasses.replace(ticket.parent, layers=tuple(layers))
    path = dataclasses.replace(ticket, parent=parent, layers=tuple(reports)).save(tmp_path / "wide.slth")
    drawn = []

    def counting(*, rows: ChannelIndices, size: int, **address: Any) -> npt.NDArray[np.float32]:
        drawn.append(len(rows) * size)
        return random_rows(rows=rows, size=size, **address)

    monkeypatch.setattr("slth.networks.parent.random_rows", counting)
    failures = load_ticket(path).verify().failures
    assert [failure.split(" is ")[0] for failure in failures] == ["0: random", "0: usable", "4: random", "4: usable"]
    assert max(drawn) <= 2**20
