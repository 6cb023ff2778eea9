"""The command line states the engine's default effort, without importing the engine to show its help."""

from __future__ import annotations

import inspect

from slth.cli.rss import solve
from slth.cli.ticket import find
from slth.rss.control import DEFAULT_EFFORT


def test_the_default_effort_is_that_of_the_engine() -> None:
    for command in (solve, find):
        assert inspect.signature(command).parameters["effort"].default == DEFAULT_EFFORT
