"""slth rss solve, and the published experiments run again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run
from instances import nsn
from safetensors.torch import save_file

from slth import data
from slth.apps import reproduce
from slth.networks import models
from slth.rss import SOLVERS, error_upper_bound

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(name="slth")
def _slth(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return lambda *arguments: run(capsys, monkeypatch, *map(str, arguments))


def test_solve_from_file_to_file(slth: Command, tmp_path: Path) -> None:
    problem = nsn(24, 2, seed=0)
    np.savez(tmp_path / "instance.npz", vectors=problem.vectors, target=problem.target)
    out = tmp_path / "solution.npz"
    code, text, _ = slth("rss", "solve", tmp_path / "instance.npz", "--out", out, "--json")
    assert code == 0
    record = json.loads(text)
    assert record["status"] == "optimal"
    with np.load(out, allow_pickle=False) as arrays:
        assert float(arrays["error"]) == error_upper_bound(problem, arrays["selected"]) == record["error"]
        assert np.flatnonzero(arrays["selected"]).tolist() == record["indices"]


def test_a_selection_that_is_not_the_methods_own_is_named(slth: Command, tmp_path: Path) -> None:
    problem = nsn(3000, 20, seed=1)
    np.savez(tmp_path / "i.npz", vectors=problem.vectors, target=problem.target)
    code, text, _ = slth("rss", "solve", tmp_path / "i.npz", "--method", "highs", "--time-limit", 0.05, "--json")
    assert code == 0
    assert json.loads(text)["incumbent"] == "relax"


def test_fixed_size_from_a_file(slth: Command, tmp_path: Path) -> None:
    problem = nsn(12, 1, seed=1)
    np.savez(tmp_path / "i.npz", vectors=problem.vectors, target=problem.target, cardinality=4)
    code, text, _ = slth("rss", "solve", tmp_path / "i.npz", "--json")
    assert code == 0
    assert json.loads(text)["selected"] == 4


@pytest.mark.parametrize(
    ("arrays", "options", "says"),
    [
        ({"vectors": np.ones((3, 2))}, [], "target is missing"),
        ({"vectors": np.ones((3, 2)), "target": np.ones(3)}, [], "to match vectors"),
        ({"vectors": np.ones((0, 2)), "target": np.ones(2)}, [], "must have shape (n, D)"),
        ({"vectors": np.full((3, 2), np.nan), "target": np.ones(2)}, [], "must be finite"),
        ({"vectors": np.ones((3, 2)), "target": np.ones(2), "cardinality": 9}, [], "between 0 and 3"),
        ({"vectors": np.ones((3, 2)), "target": np.ones(2)}, ["--eps", "-1"], "eps must be"),
        ({"vectors": np.ones((3, 2)), "target": np.ones(2)}, ["--method", "no"], "method must be one of"),
        ({"vectors": np.ones((3, 2)), "target": np.ones(2)}, ["--time-limit", "-1"], "time_limit must be"),
        (
            {"vectors": np.sin(np.arange(180)).reshape(90, 2), "target": np.ones(2)},
            ["--method", "exact"],
            "max_memory is",
        ),
        ({"vectors": np.ones((3, 1)), "target": np.full(1, 1e200)}, ["--method", "cpsat"], "'cpsat' needs |target|"),
        ({"vectors": np.array([{}, {}]), "target": np.ones(2)}, [], "not a readable .npz"),
    ],
)
def test_bad_instances_are_one_clear_line(
    slth: Command, tmp_path: Path, arrays: dict[str, Any], options: list[str], says: str
) -> None:
    np.savez(tmp_path / "i.npz", **arrays)
    code, _, err = slth("rss", "solve", tmp_path / "i.npz", "--out", tmp_path / "out.npz", *options)
    assert code == 1
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out.npz").exists()


def test_damaged_and_missing_instances(slth: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"not a zip")
    for name, says in (("bad.npz", "not a readable .npz"), ("none.npz", "nothing is there")):
        code, _, err = slth("rss", "solve", tmp_path / name)
        assert code == 1
        assert says in err


def test_dacunha2022_on_random_weights(tmp_path: Path) -> None:
    """The curve falls by the factor of two per candidate that exact subset sums give, to the published medians."""
    torch.manual_seed(0)
    save_file(models.lenet5(bias=False).state_dict(), tmp_path / "w.safetensors")
    curves = reproduce.dacunha2022(tmp_path / "w.safetensors", sizes=(5, 10, 15))
    assert [one.n for one in curves] == [5, 10, 15]
    for one in curves:
        # Weights near zero here, trained weights there: the same order of magnitude is what can be expected.
        assert 0.2 < one.median / reproduce.DACUNHA_MEDIAN[one.n] < 2
        assert one.p90 > one.median


def test_pensia2020_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both readings, on an untrained network and made-up digits: the approximation is faithful at n = 12."""
    torch.manual_seed(0)
    save_file(models.mlp(sizes=(784, 500, 10), bias=False).state_dict(), tmp_path / "w.safetensors")
    images, labels = torch.rand(64, 1, 28, 28), torch.zeros(64, dtype=torch.int64)
    monkeypatch.setattr(data, "load", lambda *_: data.Split(images, labels))
    found = reproduce.pensia2020(tmp_path / "w.safetensors", n=12)
    assert [one.reading for one in found] == ["vector per weight", "vector per row"]
    for one in found:
        assert one.weights == 397_000
        assert one.random_weights == 12 * 397_000
        assert one.within_eps > 0.99
        assert abs(one.ticket_accuracy - one.target_accuracy) <= 0.25
        assert 4 < one.relative_size < 8


def test_help_names_every_method(slth: Command) -> None:
    _, out, _ = slth("rss", "solve", "--help")
    assert all(name in out for name in ("auto", *SOLVERS))
