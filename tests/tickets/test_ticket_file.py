"""The .slth file: nothing is lost, and nothing that was changed goes unnoticed."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from torch import nn

from slth.errors import TicketFileError
from slth.networks.generator import random_rows
from slth.tickets import Ticket, find_ticket, load_ticket
from slth.tickets.files.file import target_path
from slth.tickets.record.instance import ChannelIndices
from slth.tickets.record.record import Block


@pytest.fixture(scope="module")
def ticket() -> Ticket:
    """Small, with everything a file can hold: conv and linear, both signs, biases and none, kept modules."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3, bias=False)
    )
    found = find_ticket(model, width=60, input_range=(-1, 1), seed=2**40 + 5)
    # The same bytes in every run: the time it took is replaced by numbers with an exponent and 17 digits.
    layers = [dataclasses.replace(report, seconds=1.2345678901234567e-05 / 3) for report in found.layers]
    return dataclasses.replace(found, layers=tuple(layers))


@pytest.fixture(scope="module")
def raw(ticket, tmp_path_factory) -> bytes:
    return ticket.save(tmp_path_factory.mktemp("whole") / "small.slth").read_bytes()


def same_kept(one: Ticket, other: Ticket) -> bool:
    return all(
        np.array_equal(a.rows, b.rows) and np.array_equal(a.counts, b.counts)
        for x, y in zip(one.kept, other.kept, strict=True)
        for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("which", ["ticket", "digits_ticket"])
def test_a_saved_ticket_comes_back_whole(which, request, tmp_path):
    ticket = request.getfixturevalue(which)
    path = ticket.save(tmp_path / "t.slth")
    again = load_ticket(path)
    assert same_kept(ticket, again)
    assert again.parent == ticket.parent
    assert again.layers == ticket.layers
    assert again.target.hash() == ticket.target.hash()
    assert {key: again.info[key] for key in ticket.info} == ticket.info
    assert again.info["target_hash"] == ticket.target.hash()
    assert again.verify()
    assert again.verify().channels == ticket.kept_channels
    x = torch.rand(5, 1, *((4, 4) if which == "ticket" else (8, 8)))
    assert (again.to_module()(x) == ticket.to_module()(x)).all()
    assert (again.target.to_module()(x) == ticket.target.to_module()(x)).all()


def test_saving_again_writes_the_same(ticket, raw, tmp_path):
    """The ticket, its target and its card, and all of them again from what was loaded."""
    copies = [ticket.save(str(tmp_path / "again.slth")), load_ticket(tmp_path / "again.slth").save(tmp_path / "b.slth")]
    targets = [target_path(copy).read_bytes() for copy in copies]
    cards = [copy.with_suffix(".md").read_text().replace(copy.name, "") for copy in copies]
    assert all(copy.read_bytes() == raw for copy in copies)
    assert targets[0] == targets[1]
    assert cards[0] == cards[1]


def test_the_file_holds_no_weight_of_the_target(ticket, raw, tmp_path):
    """They lie beside it; without them the ticket runs and says that it cannot be verified."""
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
    with pytest.raises(TicketFileError, match=r"must have the hash .* that the ticket states; it has"):
        load_ticket(path, other)


def frame(raw: bytes) -> dict:
    """The safetensors header: its length in 8 bytes, then JSON."""
    return json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])


def test_large_indices_survive(tmp_path):
    """Gaps beyond 16 bits, an empty block, and rows of both signs."""
    ticket = find_ticket(nn.Sequential(nn.Linear(1, 1)), width=400_000)
    rows = np.array([5, 399_999])
    wide = dataclasses.replace(ticket, kept=((Block.of([rows]), Block.of([rows[:0]])),))
    again = load_ticket(wide.save(tmp_path / "wide.slth"))
    assert again.kept[0][0].rows.tolist() == [5, 399_999]
    assert again.kept[0][1].rows.tolist() == []
    assert [block.counts.tolist() for block in again.kept[0]] == [[2], [0]]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000])
def test_files_that_are_no_tickets_are_refused(size, tmp_path):
    (tmp_path / "x.slth").write_bytes(np.random.default_rng(size).bytes(size))
    with pytest.raises(TicketFileError, match=r"x\.slth"):
        load_ticket(tmp_path / "x.slth")


@pytest.mark.parametrize("metadata", [None, {}, {"slth": "{"}, {"slth": ""}, {"other": "0" * 64}, {"slth": "[" * 9999}])
def test_safetensors_of_somebody_else_are_refused(metadata, tmp_path):
    (tmp_path / "x.slth").write_bytes(save({"weight": np.zeros(3, np.float32)}, metadata))
    with pytest.raises(TicketFileError, match=r"x\.slth"):
        load_ticket(tmp_path / "x.slth")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "no.slth", tmp_path):
        with pytest.raises(TicketFileError, match=path.name):
            load_ticket(path)


def edit(raw: bytes, change: Callable[[dict], object]) -> bytes:
    """The file after ``change(header)``, which may return another digest; the digest is left as it was otherwise."""
    digest, tensors = frame(raw)["__metadata__"]["slth"], load(raw)
    header = json.loads(zlib.decompress(tensors["header"].tobytes()))
    other = change(header)
    tensors["header"] = np.frombuffer(zlib.compress(json.dumps(header).encode(), 9), dtype=np.uint8)
    return save(tensors, {"slth": other(digest) if callable(other) else digest})


def test_the_same_ticket_gives_the_same_file(ticket, tmp_path):
    files = {ticket.save(tmp_path / f"{i}.slth").read_bytes() for i in range(6)}
    assert len(files) == 1


def test_an_unchanged_edit_still_loads(ticket, raw, tmp_path):
    """So that the refusals below are about the edits."""
    path = ticket.save(tmp_path / "same.slth")
    path.write_bytes(edit(raw, lambda header: None))
    assert load_ticket(path).verify()


@pytest.mark.parametrize(("version", "advice"), [(99, "Update slth"), (1, "Find the ticket again")])
def test_another_format_says_so(ticket, version, advice, monkeypatch, tmp_path):
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
def test_an_edited_header_does_not_load(raw, change, tmp_path):
    (tmp_path / "edited.slth").write_bytes(edit(raw, change))
    with pytest.raises(TicketFileError, match=r"edited\.slth"):
        load_ticket(tmp_path / "edited.slth")


def replace_layer(ticket: Ticket, index: int, **changes) -> Ticket:
    layers = list(ticket.layers)
    layers[index] = dataclasses.replace(layers[index], **changes)
    return dataclasses.replace(ticket, layers=tuple(layers))


def replace_kept(ticket: Ticket, change: Callable[[ChannelIndices], ChannelIndices]) -> Ticket:
    """``change`` is applied to the only part of the first block of the first layer."""
    first = (Block.of([change(ticket.kept[0][0].rows)]), *ticket.kept[0][1:])
    return dataclasses.replace(ticket, kept=(first, *ticket.kept[1:]))


def replace_weight(ticket: Ticket) -> Ticket:
    first, *others = ticket.target.maps
    weight = first.weight.copy()
    weight[0, 0, 0, 0] += np.float32(1e-3)
    maps = (dataclasses.replace(first, weight=weight), *others)
    return dataclasses.replace(ticket, target=dataclasses.replace(ticket.target, maps=maps))


def replace_parent_layer(ticket: Ticket, **changes) -> Ticket:
    first, *others = ticket.parent.layers
    layers = (dataclasses.replace(first, **changes), *others)
    return dataclasses.replace(ticket, parent=dataclasses.replace(ticket.parent, layers=layers))


LIES = {
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
def test_a_lie_with_a_right_digest_is_found(lie, ticket, tmp_path):
    """Saved by slth itself, so digest and hash are right: only recomputing can tell, and it says what is wrong."""
    change, words = LIES[lie]
    path = change(ticket).save(tmp_path / "lie.slth")
    verification = load_ticket(path).verify()
    assert not verification
    assert any(words in failure for failure in verification.failures), verification.failures


def test_a_range_that_the_ticket_was_not_found_for_is_found(ticket, tmp_path):
    """The range decides which sign groups are needed, and certificates hold for it."""
    assert ticket.verify()
    lie = dataclasses.replace(ticket, info={**ticket.info, "input_range": (0.0, 1.0)})
    failures = load_ticket(lie.save(tmp_path / "lie.slth")).verify().failures
    assert failures == ("the signs of the layers do not follow from the stated range of inputs",)


def test_another_structure_has_other_places_and_is_not_read(ticket, tmp_path):
    """The code of one selection an input channel does not decode as one selection a weight."""
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
def test_kept_channels_that_cannot_be_are_found(lie, words, ticket):
    """Tickets that no file can state: the code of a file numbers what can be kept of a parent that fits."""
    failures = lie(ticket).verify().failures
    assert any(failure.startswith("0: ") and words in failure for failure in failures), failures


def replace_counts(ticket: Ticket, counts: list[int]) -> Ticket:
    block = dataclasses.replace(ticket.kept[0][0], counts=np.array(counts, dtype=np.int64))
    return dataclasses.replace(ticket, kept=((block, *ticket.kept[0][1:]), *ticket.kept[1:]))


def test_channels_of_a_sign_that_cannot_occur_are_found(digits_ticket):
    negative = digits_ticket.parent.sign_group(0, 0, "-")[:1]
    wrong = replace_kept(digits_ticket, lambda rows: np.sort(np.append(rows, negative)))
    assert any("sign" in failure for failure in wrong.verify().failures)


def test_a_record_with_a_layer_missing_is_found(ticket):
    fewer_blocks = ticket.kept[0][:1], ticket.kept[1]
    for change in ({"layers": ticket.layers[:1]}, {"kept": ticket.kept[:1]}, {"kept": fewer_blocks}):
        assert not dataclasses.replace(ticket, **change).verify()


def test_the_recorded_target_hash_is_checked(ticket, tmp_path):
    loaded = load_ticket(ticket.save(tmp_path / "t.slth"))
    assert loaded.verify()
    assert any("hash" in failure for failure in replace_weight(loaded).verify().failures)


def test_verifying_a_width_beyond_reason_stays_within_memory(ticket, monkeypatch, tmp_path):
    """A 3 kB file can claim a width of 1.5·10⁶ with everything else true: signs are counted a part at a time."""
    layers = [dataclasses.replace(layer, width=1_500_000) for layer in ticket.parent.layers]
    reports = [dataclasses.replace(report, width=1_500_000) for report in ticket.layers]
    parent = dataclasses.replace(ticket.parent, layers=tuple(layers))
    path = dataclasses.replace(ticket, parent=parent, layers=tuple(reports)).save(tmp_path / "wide.slth")
    drawn = []

    def counting(*, rows, size, **address):
        drawn.append(len(rows) * size)
        return random_rows(rows=rows, size=size, **address)

    monkeypatch.setattr("slth.networks.parent.random_rows", counting)
    failures = load_ticket(path).verify().failures
    assert [failure.split(" is ")[0] for failure in failures] == ["0: random", "0: usable", "4: random", "4: usable"]
    assert max(drawn) <= 2**20
