"""The recipes of docs/architecture.md, followed to the letter: what they add works like what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from proofs_check.check import judge
from slth.experiments.contest.contestant import Contestant
from slth.experiments.contest.judge import run
from slth.experiments.contest.methods import METHODS
from slth.experiments.engine.results import study_sections
from slth.experiments.engine.runner import read_study, run_study
from slth.experiments.engine.spec import load_spec
from slth.networks.operations import REGISTRY
from slth.networks.structure import STRUCTURES
from slth.rss import SOLVERS, Problem, solve
from slth.tickets import certify_network, find_ticket, load_ticket

TEXT = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\w+\n# recipe: ([^\n]+)\n(.*?)```", TEXT, re.DOTALL)


def block(name: str) -> str:
    """The code of a recipe."""
    (found,) = [code for title, code in BLOCKS if title == name]
    return str(found)


def follow(name: str) -> dict[str, Any]:
    """Run a recipe; what it defined."""
    defined: dict[str, Any] = {"__name__": f"recipe_{name}"}
    exec(compile(block(name), f"recipe {name}", "exec"), defined)
    return defined


@pytest.fixture(autouse=True)
def _tables_as_before() -> Iterator[None]:
    tables: list[dict[str, Any]] = [SOLVERS, STRUCTURES, METHODS]
    before = [dict(table) for table in tables]
    yield
    for table, rows in zip(tables, before, strict=True):
        table.clear()
        table.update(rows)


def test_every_recipe_has_four_steps_or_five_and_code() -> None:
    recipes = re.findall(r"^### Add (.*?)\n(.*?)(?=^### |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in recipes] == [
        "a solver", "a structure", "an operation", "a baseline", "a study", "a lemma",
    ]  # fmt: skip
    for name, body in recipes:
        assert 4 <= len(re.findall(r"^\d\. ", body, re.MULTILINE)) <= 5, name
        assert "# recipe: " in body, name


def test_a_solver() -> None:
    follow("solver")
    problem = Problem(vectors=np.random.default_rng(0).standard_normal((20, 2)), target=np.array([0.5, -0.2]))
    solution = solve(problem, "random", seed=3)
    assert solution.method == "random"
    assert solve(problem, "exact").error <= solution.error < 1.0
    assert find_ticket(nn.Linear(2, 2), width=40, method="random").verify()


def test_a_structure(tmp_path: Path) -> None:
    follow("structure")
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    ticket = find_ticket(model, width=60, structure="row", example_input=torch.rand(1, 1, 4, 4))
    assert [layer.dimension for layer in ticket.layers] == [3, 1]
    again = load_ticket(ticket.save(tmp_path / "row.slth"))
    assert again.verify()
    x = torch.rand(3, 1, 4, 4)
    assert (again.to_module()(x) - again.folded()(x)).abs().max() < 1e-4


def test_an_operation() -> None:
    module = follow("operation")["Squareplus"]
    try:
        ticket = find_ticket(nn.Sequential(nn.Linear(2, 3), module(), nn.Linear(3, 2)), width=200, input_range=(0, 1))
        assert ticket.verify()
        assert certify_network(ticket, shape=(2,)).proved < 10
    finally:
        REGISTRY.remove("squareplus")


def test_a_baseline() -> None:
    follow("baseline")
    point = Contestant(method="untrained", arch="digits", data="digits", examples=100, validation=10, test=100)
    result = run(point, 0)
    assert result["untouched"]
    assert result["stages"]["found"]["accuracy"] < 0.4


def test_a_study(tmp_path: Path) -> None:
    for name in ("coins.py", "coins.toml"):
        (tmp_path / name).write_text(block(f"study ({name})"), encoding="utf-8")
    totals = run_study(load_spec(str(tmp_path / "coins.toml")), tmp_path / "rows", workers=1)
    assert (totals.total, totals.done, totals.failed) == (6, 6, 0)
    (section,) = study_sections(read_study(tmp_path / "rows"))
    assert len(section.rows) == 6


def test_a_lemma() -> None:
    verdict = judge(follow("lemma")["LEMMA"])
    assert verdict.ok
    assert verdict.control == "rejected"
