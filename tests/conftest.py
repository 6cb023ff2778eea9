"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from instances import digits_model
from torch import nn

from slth.data import data_folder
from slth.tickets import Ticket, find_ticket


@pytest.fixture(autouse=True)
def _fixed_seed():
    """Networks in the tests are drawn at random: the same ones in every run, whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def digits_target() -> nn.Sequential:
    return digits_model()


@pytest.fixture(scope="session")
def digits_ticket(digits_target: nn.Sequential) -> Ticket:
    """A small ticket with conv and linear layers, biases, and inputs in [0, 1]."""
    return find_ticket(digits_target, width=300, input_range=(0, 1), seed=1)


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    folder = data_folder()
    if folder is None or not (folder / "mnist").is_dir():
        pytest.skip("no mnist folder in $SLTH_DATA or ../shared/data")
    return folder / "mnist"
