"""References are complete, used and in the agreed words; the error bound of one layer, by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from slth.errors import InputError
from slth.theory import REFERENCES, layer_output_bound
from slth.theory.references.reference import CHECKED, CONSTANTS

ROOT = Path(__file__).parents[2]
SOURCES = [p for folder in ("slth", "proofs_check", "benchmarks") for p in (ROOT / folder).rglob("*.py")]


def test_every_source_line_names_a_reference_and_every_reference_is_used() -> None:
    text = {path: path.read_text() for path in SOURCES}
    used = {key for body in text.values() for key in re.findall(r"Source: (\w+)", body)}
    used |= {key for body in text.values() for key in re.findall(r"\((\w+)\)", body) if key in REFERENCES}
    assert used == set(REFERENCES)


def test_references_use_the_agreed_words() -> None:
    for key, reference in REFERENCES.items():
        assert reference.constant in CONSTANTS, key
        assert reference.checked in CHECKED, key
        assert reference.statement
        assert reference.year > 1900


def test_layer_output_bound_by_hand() -> None:
    assert layer_output_bound(taps=9, c_in=2, error=0.1, input_max=3.0, bias_error=0.5) == pytest.approx(5.9)
    with pytest.raises(InputError, match="c_in must be an integer ≥ 1; got 0"):
        layer_output_bound(taps=9, c_in=0, error=0.1)
