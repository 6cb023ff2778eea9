"""Which width to choose: every number that is called measured is in the benchmark's results, and a search obeys it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import run
from listeners import Reports
from torch import nn

from slth.apps import width_choice as law
from slth.apps.width_choice import choose_widths, width_option
from slth.errors import InputError
from slth.networks import extract, models
from slth.tickets import find_ticket

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "tickets.json"
MODEL = """
import torch
from torch import nn

def odd():
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 3, 1)), torch.zeros(1, 2, 9)
"""


@pytest.fixture(name="slth")
def _slth(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    return lambda *words: run(capsys, monkeypatch, "bounds", "network", *map(str, words))


def test_what_is_called_measured_is_what_the_benchmark_measured() -> None:
    searches = [one for one in json.loads(RESULTS.read_text())["searches"].values() if one["structure"] == "channel"]
    layers: list[dict[str, Any]] = [layer for one in searches for layer in one["layers"]]
    assert (len(layers), len(searches)) == (law.MEASURED_LAYERS, law.MEASURED_SEARCHES)
    factors = [one["relative_rms"] * one["width"] / 2 / one["dimension"] ** 1.5 for one in layers]
    assert (round(min(factors), 3), round(max(factors), 3)) == law.MEASURED_CONSTANTS
    assert law.MEASURED_CONSTANTS[0] < law.LAW_CONSTANT < law.MEASURED_CONSTANTS[1]
    dimensions = [one["dimension"] for one in layers]
    assert (min(dimensions), max(dimensions)) == law.MEASURED_DIMENSIONS
    ratios = [one["width"] / 2 / one["dimension"] for one in layers]
    assert (math.floor(min(ratios)), math.ceil(max(ratios))) == law.MEASURED_RATIOS
    assert all(one["width"] >= 200 * math.sqrt(one["dimension"]) for one in layers)
    worst = [max(layer["relative_rms"] for layer in one["layers"]) for one in searches]
    assert (round(min(worst), 4), round(max(worst), 3)) == law.MEASURED_WORST_LAYERS
    agreements = [one["scores"]["ticket"]["agreement"] for one in searches]
    assert (min(agreements), max(agreements)) == law.MEASURED_AGREEMENTS


def test_a_search_at_the_chosen_widths_has_about_the_error_that_was_asked_for() -> None:
    torch.manual_seed(1)
    model, error = models.digits_cnn(), 0.01
    chosen = choose_widths(extract(model).maps, error)
    widths = {one.name: one.width for one in chosen}
    found = {one.name: one.relative_rms for one in find_ticket(model, width=widths, input_range=(0, 1)).layers}
    # Where the law and not the least width decides, the error is the one asked for, give or take the law's spread.
    bound = [one.name for one in chosen if one.width > max(201 * math.sqrt(one.dimension), 21 * one.dimension)]
    assert bound
    assert all(0.7 < found[name] / error < 1.3 for name in bound)
    assert all(one < 1.3 * error for one in found.values())


def test_twice_the_error_needs_half_the_width_and_no_width_is_below_what_was_measured() -> None:
    maps = extract(models.lenet5()).maps
    fine, coarse, coarsest = (choose_widths(maps, error) for error in (0.001, 0.002, 0.9))
    for one, other, least in zip(fine, coarse, coarsest, strict=True):
        assert one.width == pytest.approx(2 * other.width, abs=3)
        assert least.width == 2 * math.ceil(max(100 * math.sqrt(one.dimension), 10 * one.dimension))
        assert one.needed is not None
        assert one.needed < one.width
    assert width_option(coarsest) == "conv=8000,linear=2400"
    assert not any(one.is_measured for one in choose_widths(extract(nn.Linear(2, 600)).maps, 0.1))


@pytest.mark.parametrize("error", [0, 1, -0.1, math.nan, 1e-9])
def test_errors_that_make_no_sense(error: float) -> None:
    with pytest.raises(InputError, match="relative error"):
        choose_widths(extract(models.lenet5()).maps, error)


def test_every_layer_is_told() -> None:
    heard = Reports()
    choose_widths(extract(models.lenet5()).maps, 0.1, progress=heard)
    assert heard.calls == [("begin", "widths", 5, 0), *[("advance", "widths", 1)] * 5, ("end", "widths")]


def test_the_command_answers_in_words(slth: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, _ = slth("--arch", "lenet5")
    assert code == 0
    assert out.startswith("Which width? For a relative error of 1 % in every layer's weights: --width conv=56000,")
    assert "Measured, not proved" in out
    assert "A theorem (first moment)" in out
    (tmp_path / "mine.py").write_text(MODEL)
    code, out, _ = slth("--model", f"{tmp_path / 'mine.py'}:odd", "--error", "0.05")
    assert code == 0
    assert "5 % in every layer's weights: --width conv=" in out
    assert "0: the theorems are about square kernels d×d; this layer has 3" in out
    assert json.loads(slth("--arch", "lenet5", "--json")[1])["width"] == "conv=56000,linear=9202"
    for words, says in (
        ((), "got neither"),
        (("--arch", "lenet5", "--model", "x.py:f"), "got both"),
        (("--arch", "lenet5", "--error", "0"), "error must be a finite number > 0"),
        (("--arch", "lenet5", "--error", "1"), "error must lie in (0, 1)"),
    ):
        code, out, err = slth(*words)
        assert (code, out) == (1, "")
        assert says in err
