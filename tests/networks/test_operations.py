"""Registered operations work in every part of slth, and a missing one is named with advice on how to register it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from slth.errors import InputError, TicketFileError
from slth.networks import ModuleForm, Operation, extract, register
from slth.networks.operations import REGISTRY
from slth.networks.operations.operation import Monotone
from slth.tickets import Ticket, certify_network, find_ticket, load_ticket


class Squareplus(nn.Module):
    """(x + √(x² + b)) / 2: never negative, with slopes between 0 and 1."""

    def __init__(self, b: float = 1.0) -> None:
        super().__init__()
        self.b = b

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + torch.sqrt(x * x + self.b)) / 2


class Inverse(nn.Module):
    """An operation that slth does not know."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.linalg.inv(x)
        return out


@torch.library.custom_op("slth_tests::halved", mutates_args=())
def halved(x: torch.Tensor) -> torch.Tensor:
    """An operator as a user may write it."""
    return x / 2


@halved.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


SQUAREPLUS = Operation(
    name="squareplus", signs="plus", modules=(ModuleForm(Squareplus, options=("b",)),),
    relaxation=Monotone(slopes=(0.0, 1.0)), lipschitz=1.0,
)  # fmt: skip


@pytest.fixture
def squareplus() -> Iterator[Operation]:
    yield register(SQUAREPLUS)
    REGISTRY.remove("squareplus")


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), Squareplus(0.5), nn.Linear(4, 2))


def find() -> Ticket:
    return find_ticket(model(), width=300, input_range=(0, 1), example_input=torch.rand(1, 3))


def test_without_registration_the_message_says_how() -> None:
    with pytest.raises(
        InputError, match=r"function linalg_inv in 1.*register operations of your own \(slth\.networks\.register"
    ):
        extract(nn.Sequential(nn.Linear(3, 3), Inverse()), example_input=torch.randn(2, 3, 3))


@pytest.mark.usefixtures("squareplus")
def test_a_registered_operation_is_found_saved_verified_and_certified(tmp_path: Path) -> None:
    ticket = find()
    assert [one.type for one in ticket.target.modules] == ["Squareplus"]
    assert ticket.target.maps[1].signs == "+"  # The outputs of Squareplus are never negative.
    again = load_ticket(ticket.save(tmp_path / "own.slth"))
    assert again.verify()
    x = torch.rand(5, 3)
    assert torch.equal(again.to_module()(x), ticket.to_module()(x))
    assert (ticket.target.to_module()(x) - model()(x)).abs().max() < 1e-6
    certificate = certify_network(ticket)
    assert 0 < certificate.found <= certificate.proved


def test_a_file_with_an_unknown_operation_says_what_to_register(squareplus: Operation, tmp_path: Path) -> None:
    path = find().save(tmp_path / "own.slth")
    code = f"import sys\nsys.argv = ['slth', 'ticket', 'verify', {str(path)!r}]\nfrom slth.cli.app import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "module Squareplus is not registered" in done.stderr
    assert "slth.networks.register(Operation(…))" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_relaxation_a_ticket_verifies_and_no_certificate_is_given() -> None:
    register(Operation(name="squareplus", signs="plus", modules=(ModuleForm(Squareplus, options=("b",)),)))
    try:
        ticket = find()
        assert ticket.verify()
        with pytest.raises(
            InputError, match=r"no sound transformer for leaf \(1 squareplus\).*.*registered operations with a"
        ):
            certify_network(ticket)
    finally:
        REGISTRY.remove("squareplus")


def test_a_registered_operator_is_kept() -> None:
    operator = torch.ops.slth_tests.halved.default
    register(Operation(name="halved", signs="keep", functions={"mine.halved": operator}))
    try:

        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fc = nn.Linear(3, 2)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                out: torch.Tensor = self.fc(halved(x))
                return out

        ticket = find_ticket(Net(), width=50, input_range=(0, 1))
        assert "mine.halved" in [step.call for step in ticket.target.steps]
        assert ticket.target.maps[0].signs == "+"
    finally:
        REGISTRY.remove("halved")


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ({"name": "relu", "methods": ("mine",)}, "operation relu is registered already"),
        ({"name": "mine", "modules": (ModuleForm(nn.ReLU),)}, "module ReLU is registered already"),
        ({"name": "mine", "functions": {"torch.relu": torch.relu}}, r"function torch\.relu is registered already"),
        ({"name": "mine", "methods": ("relu",)}, "method relu is registered already"),
    ],
)
def test_names_are_unique(operation: dict[str, Any], words: str) -> None:
    before = dict(REGISTRY.operations)
    with pytest.raises(InputError, match=words):
        register(Operation(signs="any", **operation))
    assert before == REGISTRY.operations


def test_an_operation_must_make_sense() -> None:
    with pytest.raises(InputError, match="signs of mine must be one of keep, plus"):
        Operation(name="mine", signs="positive", methods=("mine",))
    with pytest.raises(InputError, match="must have a module, a function or a method; got none"):
        Operation(name="mine", signs="any")


def test_a_missing_registration_is_told_from_damage(squareplus: Operation, tmp_path: Path) -> None:
    path = find().save(tmp_path / "own.slth")
    REGISTRY.remove("squareplus")
    try:
        with pytest.raises(TicketFileError, match=r"own\.slth needs an operation that this program does not know"):
            load_ticket(path)
    finally:
        register(SQUAREPLUS)
