"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cnns import Own
from instances import digits_model
from torch import nn

from slth.data import data_folder
from slth.tickets import Ticket, find_ticket, load_ticket
from slth.tickets.files.file import target_path

# The networks are small, and two test processes run side by side: with more threads they would wait for each other.
torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What slth keeps on disk is kept apart from the user's, also in the processes that tests start."""
    os.environ["SLTH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    """Random networks are the same in every run, whatever tests ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def digits_target() -> nn.Sequential:
    return digits_model()


@pytest.fixture(scope="session")
def digits_ticket(digits_target: nn.Sequential) -> Ticket:
    """A small ticket with conv and linear layers, biases, and inputs in [0, 1]."""
    return find_ticket(digits_target, width=300, input_range=(0, 1), seed=1, example_input=torch.zeros(1, 1, 8, 8))


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ticket file, its target beside it: layers with and without bias, two signs, a layer that is left out.

    The steps hold a constant, a size that a method reads, and a condition on the sizes.
    """
    torch.manual_seed(0)
    parts = {"conv": nn.Conv2d(1, 2, 2), "left": nn.Linear(8, 8), "fc": nn.Linear(8, 2, bias=False)}
    model = Own(lambda m, x: m.fc(m.left(torch.relu(m.conv(x)).view(x.size(0), -1)) * m.gamma), **parts)
    model.gamma = nn.Parameter(torch.rand(8) + 0.5)
    example = torch.zeros(1, 1, 3, 3)
    ticket = find_ticket(
        model, width=40, structure="kernel", seed=5, input_range=(-1, 1), skip="left", example_input=example
    )
    return ticket.save(tmp_path_factory.mktemp("whole") / "t.slth")


@pytest.fixture(scope="session")
def tiny_ticket(tiny_file: Path) -> Ticket:
    return load_ticket(tiny_file)


@pytest.fixture
def put(tiny_file: Path, tmp_path: Path) -> Callable[[bytes], Path]:
    """A function that writes bytes to a file beside a target, and returns the file's path."""
    target_path(tmp_path / "f.slth").write_bytes(target_path(tiny_file).read_bytes())

    def write(data: bytes) -> Path:
        # Some file systems wait for the disk when a new file is truncated, so we remove it instead.
        (tmp_path / "f.slth").unlink(missing_ok=True)
        (tmp_path / "f.slth").write_bytes(data)
        return tmp_path / "f.slth"

    return write


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    folder = data_folder()
    if folder is None or not (folder / "mnist").is_dir():
        pytest.skip("no mnist folder in $SLTH_DATA or ../shared/data")
    return folder / "mnist"
