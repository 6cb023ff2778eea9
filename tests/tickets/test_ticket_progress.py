"""Long work on a ticket tells its steps: they add up to the total, and the end is told whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import run
from listeners import Reports
from torch import nn

from slth.data import Split, load
from slth.progress import Progress, Silent
from slth.tickets import Ticket, certified_agreement, certify_network, evaluate, find_ticket
from slth.tickets.certify.recheck import recheck_agreement, recheck_network
from slth.tickets.networks.export import export_ticket


@pytest.fixture(scope="module")
def ticket() -> Ticket:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 10))
    return find_ticket(model, width=60, input_range=(0, 1), example_input=torch.rand(1, 1, 8, 8))


@pytest.fixture(scope="module")
def digits() -> Split:
    whole = load("digits", "test")
    return Split(whole.images[:40], whole.labels[:40])


Work = Callable[[Ticket, Split, Path, bool | Progress], object]


def recheck(ticket: Ticket, digits: Split, folder: Path, progress: bool | Progress) -> None:
    network = certify_network(ticket, unknowns=20).describe()
    assert recheck_network(ticket, network, progress) == ()
    agreement = certified_agreement(ticket, digits.images, radius=1e-4).describe()
    assert recheck_agreement(ticket, agreement, digits.images, progress) == ()


# Name → (the work, its tasks with their number of steps; None where it depends on the ticket).
WORK: dict[str, tuple[Work, dict[str, int | None]]] = {
    "verify": (lambda ticket, digits, folder, progress: ticket.verify(progress=progress), {"verify": None}),
    "evaluate": (
        lambda ticket, digits, folder, progress: evaluate(ticket, digits, progress=progress),
        {"target": 40, "ticket": 40, "random ticket": 40, "unpruned parent": 40},
    ),
    "export": (
        lambda ticket, digits, folder, progress: export_ticket(ticket, folder / "x", "safetensors", progress=progress),
        {"regenerate": None, "safetensors": 3},
    ),
    "certify": (
        lambda ticket, digits, folder, progress: certify_network(
            ticket, images=digits.images, unknowns=20, progress=progress
        ),
        {"proof": 6, "examples": 40, "search for the worst input": (32 + 32 + 1 + 32) * 101 + 32 * 601},
    ),
    "agreement": (
        lambda ticket, digits, folder, progress: certified_agreement(
            ticket, digits.images, radius=1e-4, progress=progress
        ),
        {"examples": 40, "radius 0.0001": None},
    ),
    "recheck": (recheck, {"proof": 6, "examples": 40, "radius 0.0001": None}),
}


@pytest.mark.parametrize("name", WORK)
def test_steps_add_up_to_the_total(name: str, ticket: Ticket, digits: Split, tmp_path: Path) -> None:
    work, tasks = WORK[name]
    listener = Reports()
    work(ticket, digits, tmp_path, listener)
    begun = {call[1]: call[2] for call in listener.calls if call[0] == "begin"}
    assert list(begun) == list(tasks)
    for task, total in tasks.items():
        assert total is None or begun[task] == total
        steps = [call[2] for call in listener.calls if call[:2] == ("advance", task)]
        assert sum(steps) == begun[task]
        assert len(steps) > 1 or begun[task] <= 40  # not all at once at the end
        places = [i for i, call in enumerate(listener.calls) if call[1] == task]
        assert (listener.calls[places[0]][0], listener.calls[places[-1]][0]) == ("begin", "end")


class Stopped(Exception):
    """What the listener of the next test raises."""


class Stops(Silent):
    """Raises an exception at the first step of a task."""

    def __init__(self, task: str) -> None:
        self.task, self.open = task, set[str]()

    def begin(self, task: str, total: int, done: int = 0) -> None:
        self.open.add(task)

    def advance(self, task: str, steps: int = 1) -> None:
        if task == self.task:
            raise Stopped

    def end(self, task: str) -> None:
        self.open.discard(task)


@pytest.mark.parametrize(("name", "task"), [(name, task) for name, (_, tasks) in WORK.items() for task in tasks])
def test_the_end_is_told_after_an_error(name: str, task: str, ticket: Ticket, digits: Split, tmp_path: Path) -> None:
    listener = Stops(task)
    with pytest.raises(Stopped):
        WORK[name][0](ticket, digits, tmp_path, listener)
    assert not listener.open
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [["certify", "--no-save", "--data", "digits", "--limit", "3"], ["verify"], ["evaluate", "--data", "digits"],
     ["export", "--safetensors", "x.safetensors"]],
)  # fmt: skip
def test_a_command_has_a_bar_and_with_json_none(
    command: list[str],
    ticket: Ticket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bars: list[Any] = []

    class Bar(Silent):
        def __init__(self, *_: object, **__: object) -> None:
            bars.append(self)

    monkeypatch.setattr("slth.progress.Bars", Bar)
    monkeypatch.chdir(tmp_path)
    ticket.save("t.slth")
    arguments = ("ticket", command[0], "t.slth", *command[1:])
    if command[0] != "export":
        assert run(capsys, monkeypatch, *arguments, "--json")[0] == 0
        assert not bars
    assert run(capsys, monkeypatch, *arguments)[0] == 0
    assert bars
