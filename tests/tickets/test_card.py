"""The card beside a ticket says what the ticket is; scores are read from the outputs of the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cnns import Own, vgg
from torch import nn

from slth.data import Split
from slth.errors import InputError
from slth.networks import extract
from slth.tickets import Ticket, evaluate, find_ticket, load_ticket
from slth.tickets.files.card import card


def lines(ticket: Ticket) -> list[str]:
    return card(ticket, "t.slth").splitlines()


def test_the_card_states_what_the_ticket_holds(digits_ticket: Ticket, tmp_path: Path) -> None:
    path = digits_ticket.save(tmp_path / "t.slth")
    text = path.with_suffix(".md").read_text()
    assert text == card(digits_ticket, "t.slth")
    report = digits_ticket.layers[1]
    weights = sum(layer.weights for layer in digits_ticket.layers)
    random = sum(layer.random for layer in digits_ticket.layers)
    for words in (
        "# t.slth: a strong lottery ticket",
        f"{digits_ticket.target.weight_count:,} weights in 4 layers, SHA-256 `{digits_ticket.target.hash()}`",
        f"seed 1, normal law, {random:,} random weights",
        f"{digits_ticket.kept_channels:,} hidden channels, {weights:,} weights ({weights / random:.2%})",
        "structure channel",
        "- inputs: input (n, 1, 8, 8) in [0, 1]",
        "- licence: not stated",
        f"| {report.name} | {report.dimension} | 300 | {report.kept:,} | {report.density:.2%} | {report.error:.3g} |",
        "slth ticket verify t.slth",
    ):
        assert words in text
    assert "stay as they are" not in text


@pytest.mark.parametrize(
    ("input_range", "words"),
    [
        (None, "x (n, 2) of any sign"),
        ([0, 1], "x (n, 2) in [0, 1]"),
        ((np.float64(-0.5), 2), "x (n, 2) in [-0.5, 2]"),
        ({"x": (0, 1)}, "x (n, 2) in [0, 1]"),
        ({"x": None}, "x (n, 2) of any sign"),
    ],
)
def test_the_card_states_the_inputs(input_range: Any, words: str, tmp_path: Path) -> None:
    ticket = find_ticket(Own(lambda m, x: m.fc(x), fc=nn.Linear(2, 2)), width=10, input_range=input_range)
    assert f"- inputs: {words}" in lines(ticket)
    assert f"- inputs: {words}" in lines(load_ticket(ticket.save(tmp_path / "t.slth")))


def test_a_target_brings_its_own_range(tmp_path: Path) -> None:
    """The range that a target was extracted for is recorded: the signs of its layers follow from it."""
    ticket = find_ticket(extract(nn.Linear(2, 2), input_range=(0, 1)), width=10)
    assert "- inputs: input (n, 2) in [0, 1]" in lines(ticket)
    assert "- inputs: input (n, 2) in [0, 1]" in lines(load_ticket(ticket.save(tmp_path / "t.slth")))
    assert "- inputs: input (n, 2) of any sign" in lines(find_ticket(extract(nn.Linear(2, 2)), width=10))


class Halved(nn.Module):
    """Two inputs, the first of which must have an even length."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 1, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv(x)
        return out.sum(dim=2) if x.shape[2] % 2 else out[:, :, ::2].mean(dim=2) + y


def test_the_card_states_every_input_and_the_conditions(tmp_path: Path) -> None:
    example = (torch.rand(3, 2, 6), torch.rand(3, 1))
    ticket = find_ticket(Halved(), width=10, example_input=example, input_range={"x": (0, 1)})
    (line,) = (one for one in lines(ticket) if one.startswith("- inputs: "))
    assert line.startswith("- inputs: x (n, 2, *) in [0, 1]; y (n, *) of any sign; ")
    assert "x[2] % 2" in line
    assert line in lines(load_ticket(ticket.save(tmp_path / "t.slth")))
    with pytest.raises(InputError, match="extracted for inputs with"):
        ticket.to_module()(torch.rand(3, 2, 5), torch.rand(3, 1))


def test_what_stays_as_it_was_trained_is_stated() -> None:
    ticket = find_ticket(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), width=10)
    assert any("8 trained numbers stay as they are" in line for line in lines(ticket))


def test_a_ticket_does_not_overwrite_itself_with_its_card(tmp_path: Path) -> None:
    ticket = find_ticket(nn.Linear(2, 2), width=10)
    with pytest.raises(InputError, match=r"must not end in \.md.*t\.slth"):
        ticket.save(tmp_path / "t.md")
    assert not list(tmp_path.iterdir())


def test_labels_are_those_of_the_target_s_outputs() -> None:
    """The last layer is left out, and the last replaced layer has 6 outputs: the network still has five classes."""
    ticket = find_ticket(vgg().eval(), width=20, only=["features.*"], input_range=(0, 1))
    assert ticket.target.maps[-1].channels[1] == 6
    images = torch.rand(10, 1, 8, 8)
    scores = evaluate(ticket, Split(images=images, labels=torch.arange(10) % 5), controls=False)
    assert [score.name for score in scores] == ["target", "ticket"]
    assert scores[0].agreement == 1
    with pytest.raises(InputError, match="labels must lie between 0 and 4 for this target; got 0 to 5"):
        evaluate(ticket, Split(images=images, labels=torch.arange(10) % 6), controls=False)


def test_the_card_alone_states_the_machine_and_the_times(tmp_path: Path) -> None:
    """The file is the same after every search. A ticket that is saved again leaves what its card says of the search."""
    path = find_ticket(nn.Linear(2, 2), width=10).save(tmp_path / "t.slth")
    card_path = path.with_suffix(".md")
    text = card_path.read_text()
    assert "## The search" in text
    assert "- seconds, summed over threads: layer 0." in text
    load_ticket(path).save(path)
    assert card_path.read_text() == text
    loaded = load_ticket(path)
    assert "environment" not in loaded.info
    assert loaded.layers[0].seconds is None
    loaded.save(tmp_path / "elsewhere.slth")
    assert "## The search" not in (tmp_path / "elsewhere.md").read_text()
    find_ticket(nn.Linear(2, 2), width=12).save(tmp_path / "other.slth")
    card_path.write_text((tmp_path / "other.md").read_text())  # the card of another ticket
    loaded.save(path)
    assert "## The search" not in card_path.read_text()
