"""Sizes in messages are written as a person would."""

from __future__ import annotations

import pytest

from slth.errors import human_bytes


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (123_456_789, "123 MB"),
        (2.5e12, "2.5 TB"),
        (4e17, "400 PB"),
        (2.57e302, "more than 999 PB"),
    ],
)
def test_bytes_have_a_unit_that_exists(count: float, text: str) -> None:
    assert human_bytes(count) == text
