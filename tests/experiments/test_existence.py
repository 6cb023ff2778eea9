"""The existence study in small: proved outcomes, fits, figures, and its run from the command line."""

from __future__ import annotations

import itertools
import json
import math
import types
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from command_line import run
from pydantic import ValidationError
from scipy.stats import binomtest

from slth.errors import InputError, WorkLimitError
from slth.experiments.engine.spec import load_spec, parse_spec
from slth.experiments.engine.study import Point, Row
from slth.experiments.studies import existence as study
from slth.experiments.studies import existence_fit as fit
from slth.experiments.studies.existence_instances import FINDERS, Instances, draw_instances
from slth.report import png
from slth.theory import thresholds

TINY = 'study = "existence"\n[[grid]]\nD = [1]\neps = [0.2, 0.05]\n[[grid]]\nD = [2]\neps = [0.2, 0.1]\n'
TINY += "[point]\ntrials = 30\n"


def points(text: str = TINY) -> list[Instances]:
    return [instances_of(point) for point, _ in parse_spec(text, label="t").expand(study.STUDY)]


def instances_of(point: Point) -> Instances:
    assert isinstance(point, Instances)
    return point


def row_of(point: Instances, result: dict[str, Any], seed: int = 0) -> Row:
    return Row(key="", study="existence", point=point.model_dump(), seed=seed, status="done", result=result)


def run_all(text: str = TINY) -> list[Row]:
    return [row_of(point, study.run_point(point, 0)) for point in points(text)]


@pytest.fixture(autouse=True)
def _no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certified widths take their own time and have their own tests."""
    monkeypatch.setattr(study, "certified", types.SimpleNamespace(width=out_of_reach))


def out_of_reach(**_: object) -> NoReturn:
    raise WorkLimitError("out of reach")


@pytest.fixture(scope="module", name="rows")
def _rows() -> list[Row]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "certified", types.SimpleNamespace(width=out_of_reach))
        return run_all()


def test_points_surround_the_thresholds() -> None:
    found = points()
    for D, tolerances in ((1, (0.2, 0.05)), (2, (0.2, 0.1))):
        sizes = {point.n for point in found if point.method == "exact" and point.D == D}
        for eps in tolerances:
            centre = thresholds.width(D=D, eps=eps, z=0.5).n
            assert {max(1, centre - 3), centre, centre + 3} <= sizes
        assert sizes == {point.n for point in found if point.method == "core" and point.D == D}
        assert {point.eps for point in found if point.method == "certified" and point.D == D} == set(tolerances)


def test_what_ships_is_as_announced() -> None:
    spec = load_spec("existence")
    for form in (spec, spec.quick()):
        found = [instances_of(point) for point, _ in form.expand(study.STUDY)]
        assert all((point.trials or 0) >= 200 for point in found if point.method != "certified")
    for D in (1, 2, 3, 4):
        certified = [point for point, _ in spec.expand(study.STUDY) if instances_of(point).method == "certified"]
        assert sum(instances_of(point).D == D for point in certified) >= 3


def test_outcomes_are_the_true_optima(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against all 2ⁿ subsets in plain numpy; nothing depends on threads."""
    point = Instances(method="exact", D=2, n=7, trials=12)
    monkeypatch.setenv("SLTH_THREADS", "1")
    row = study.run_point(point, 3)
    vectors, targets = draw_instances(point, 3)
    choices = np.array(list(itertools.product((0.0, 1.0), repeat=7)))
    best = np.abs(choices @ vectors - targets[:, None]).max(axis=2).min(axis=1)
    assert row["errors"] == pytest.approx(best.tolist(), rel=1e-12, abs=1e-15)
    assert row["unproved"] == 0
    assert all(low <= error for low, error in zip(row["lower_bounds"], row["errors"], strict=True))
    monkeypatch.setenv("SLTH_THREADS", "2")
    again = study.run_point(point, 3)
    assert (again["errors"], again["lower_bounds"]) == (row["errors"], row["lower_bounds"])


def test_candidates_are_nsn_vectors() -> None:
    """Cov(Y_1², Y_2²) = E[Z⁴]·1·1 − 1 = 2 tells NSN from independent entries; 30,000 vectors, 8 standard errors."""
    vectors, targets = draw_instances(Instances(method="exact", D=2, n=100, trials=300), 0)
    products = (vectors**2).prod(axis=2).ravel()
    assert abs(products.mean() - 3) < 8 * products.std() / math.sqrt(products.size)
    assert (targets == 0.5).all()


def test_curves_count_what_was_proved() -> None:
    result = {
        "errors": [0.05, 0.1, 0.2, 0.3],
        "lower_bounds": [0.05, 0.0999, 0.0, 0.3],  # the third is undecided at ε = 0.1
        "seconds_each": 0.001,
    }
    row = row_of(Instances(method="exact", D=1, n=5, trials=4), result)
    curve = fit.success_curve([row], "exact", 1, 0.1)
    assert (curve["successes"], curve["trials"], curve["undecided"]) == ([2], [3], 1)
    interval = binomtest(2, 3).proportion_ci(0.95, method="exact")
    assert (curve["low"], curve["high"]) == ([interval.low], [interval.high])
    curve = fit.success_curve([row, row], "exact", 1, 0.1)  # two seeds of one size
    assert (curve["n"], curve["successes"], curve["trials"], curve["undecided"]) == ([5], [4], [6], 2)
    # A size of which nothing is decided says nothing, and there is no threshold over it.
    idle = row_of(Instances(method="exact", D=1, n=6, trials=1),
                  {"errors": [0.2], "lower_bounds": [0.0], "seconds_each": 1.0})  # fmt: skip
    curve = fit.success_curve([row, idle], "exact", 1, 0.1)
    assert (curve["trials"], curve["low"][1], curve["high"][1], curve["undecided"]) == ([3, 0], 0.0, 1.0, 2)
    proof = row_of(Instances(method="certified", D=1, eps=0.1), {"n": 9, "k": 4, "success": 0.5})
    table, curves = fit.sections([row, idle, proof])
    assert table.rows[0][2] == "not in range"
    assert "Left out: 2 outcomes that the search did not decide, of 1 pairs (D, ε)." in table.text
    assert curves.figure is not None
    assert png(curves.figure)
    # A method that proves nothing did not find it, and that counts.
    row = row_of(Instances(method="core", D=1, n=5, trials=4), result)
    curve = fit.success_curve([row], "core", 1, 0.1)
    assert (curve["successes"], curve["trials"], curve["undecided"]) == ([2], [4], 0)


@pytest.mark.parametrize(
    ("frequencies", "expected"),
    [
        ([0.0, 0.25, 0.75, 1.0], math.sqrt(2 * 4)),
        ([0.0, 0.5, 1.0, 1.0], 2.0),
        ([0.0, 0.6, 0.2, 1.0], 2 * 2 ** (1 + (0.5 - 0.4) / 0.6)),  # pooled to 0.4 at 2 and 4
        ([0.0, 0.0, 0.1, 0.4], None),
        ([0.7, 0.8, 0.9, 1.0], None),
        ([0.5, 0.8, 0.9, 1.0], 1.0),
    ],
)
def test_half_point_by_hand(frequencies: list[float], expected: float | None) -> None:
    found = fit.half_point(np.array([1.0, 2.0, 4.0, 8.0]), np.array(frequencies), np.full(4, 10))
    assert found == (None if expected is None else pytest.approx(expected))


def test_intervals_cover_the_half_point_they_are_for() -> None:
    """Binomial counts around a known curve, 200 times: 95 % intervals, at least 84 % of which must cover.

    At a true coverage of 0.92 (the bootstrap is approximate) fewer than 168 of 200 has probability below 1e-4.
    """
    rng, sizes = np.random.default_rng(5), np.arange(4, 21)
    truth = 1 / (1 + np.exp(-(np.log(sizes) - math.log(11)) * 8))
    covered = 0
    for _ in range(200):
        curve = {"n": sizes, "trials": np.full(17, 240), "successes": rng.binomial(240, truth), "D": 1, "eps": 0.1,
                 "seconds_each": np.zeros(17)}  # fmt: skip
        found, _ = fit._threshold(curve, seed=int(rng.integers(2**31)), draws=60)
        assert found is not None
        covered += found["low"] <= 11 <= found["high"]
    assert covered >= 168


def test_no_interval_where_the_crossing_may_lie_outside() -> None:
    """5 of 10 successes at the last size: half of all draws have fewer there, and cross ½ who knows where."""
    curve = {"D": 1, "eps": 0.1, "n": [4, 5, 6], "successes": [0, 2, 5], "trials": [10, 10, 10],
             "seconds_each": [0.0, 0.0, 0.0]}  # fmt: skip
    found, _ = fit._threshold(curve)
    assert found is not None
    assert found["n"] == 6
    assert math.isnan(found["low"])
    assert math.isnan(found["high"])
    assert fit._with_interval(found) == "6.0 (no interval)"


def test_exponents_are_recovered() -> None:
    cells = [(D, eps, 3.0 * D**1.3 * math.log2(1 / eps) ** 0.8) for D in (1, 2, 4) for eps in (0.1, 0.01)]
    assert fit._exponents(cells) == pytest.approx({"D": 1.3, "log": 0.8})
    assert fit._exponents(cells[:3]) is None
    assert fit._exponents([cell for cell in cells if cell[0] == 1] * 2) is None


def test_measured_success_stays_below_the_first_moment(rows: list[Row]) -> None:
    """P(Y ≥ 1) ≤ E[Y]; exact intervals at 1e-6 a side over some 40 points: false failure below 1e-4."""
    for D, tolerances in ((1, (0.2, 0.05)), (2, (0.2, 0.1))):
        for eps in tolerances:
            curve = fit.success_curve(rows, "exact", D, eps)
            assert curve["undecided"] == 0
            for n, hits, trials in zip(curve["n"], curve["successes"], curve["trials"], strict=True):
                low = binomtest(hits, trials).proportion_ci(1 - 2e-6).low
                assert low <= 2 ** thresholds.log2_expected_count(n=n, D=D, eps=eps, z=0.5)


def test_finders_never_beat_the_proof(rows: list[Row]) -> None:
    proved = {(row.point["D"], row.point["n"]): row.result for row in rows if row.point["method"] == "exact"}
    seen = 0
    for row in (row for row in rows if row.point["method"] in FINDERS):
        twin = proved.get((row.point["D"], row.point["n"]))
        if twin is not None:
            assert all(a >= b for a, b in zip(row.result["errors"], twin["lower_bounds"], strict=True))
            seen += 1
    assert seen > 20


def test_summary_and_figures(rows: list[Row]) -> None:
    summary = fit.summarise(rows)
    assert json.loads(json.dumps(summary)) == summary
    assert summary == fit.summarise(rows)
    assert [(one["D"], one["eps"]) for one in summary["thresholds"]] == [(1, 0.2), (1, 0.05), (2, 0.2), (2, 0.1)]
    for one in summary["thresholds"]:
        assert one["exact"]["low"] <= one["exact"]["n"] <= one["exact"]["high"]
        assert abs(one["exact"]["n"] - one["first_moment"]) < 3
        assert one["paper"]["text"].endswith("with C = 1 assumed")
        assert one["certified"] == {"note": "out of reach"}
    assert set(summary["exponents"]) == {"exact", "first_moment", "paper"}
    low, high = summary["exponents"]["exact"]["D_interval"]
    assert low <= summary["exponents"]["exact"]["D"] <= high
    worlds = fit.figure(summary)
    assert [ax.get_title() for ax in worlds] == ["D = 1", "D = 2"]
    labels = worlds[0].get_legend_handles_labels()[1]
    assert any("C = 1 assumed" in label for label in labels)
    assert any("found by core within" in label and label.endswith("s") for label in labels)
    assert not any("certified" in label for label in labels)
    assert len(fit.curves_figure(summary)) == 2


def test_certified_widths_are_drawn_when_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    def width(*, D: int, eps: float, delta: float, z_bound: float) -> types.SimpleNamespace:
        assert (delta, z_bound) == (0.5, 0.5)
        if D == 2:
            raise InputError("out of reach")
        return types.SimpleNamespace(n=40, k=20, success=0.51)

    monkeypatch.setattr(study, "certified", types.SimpleNamespace(width=width))
    text = 'study = "existence"\n[point]\ntrials = 4\n[[grid]]\nD = 1\neps = 0.2\n[[grid]]\nD = 2\neps = 0.25\n'
    summary = fit.summarise(run_all(text))
    found = {one["D"]: one["certified"] for one in summary["thresholds"]}
    assert found == {1: {"n": 40, "k": 20, "success": 0.51}, 2: {"note": "out of reach"}}
    first, second = fit.figure(summary)
    assert "proven: certified width" in first.get_legend_handles_labels()[1]
    assert "proven: certified width" not in second.get_legend_handles_labels()[1]


def test_sections_of_any_part_of_the_rows(rows: list[Row]) -> None:
    first, second = study.STUDY.sections(rows)
    assert [line[0] for line in first.rows] == ["1", "1", "2", "2"]
    assert first.header[2] == "exists: n_½"
    assert all(str(line[-1]).endswith("with C = 1 assumed") for line in first.rows)
    assert "Measured existence: n ∝ D^" in first.text
    assert second.figure is not None
    certified = [row for row in rows if row.point["method"] == "certified"]
    assert study.STUDY.sections(certified)[0].rows[0][2] == "not in range"
    (nothing,) = study.STUDY.sections([row for row in rows if row.point["method"] != "certified"])
    assert "run the study to its end" in nothing.text
    few = [row for i, row in enumerate(rows) if i % 5 == 0 or row.point["method"] == "certified"]
    assert len(study.STUDY.sections(few)) == 2


def test_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = tmp_path / "small.toml"
    spec.write_text('study = "existence"\n[point]\ntrials = 5\n[[grid]]\nD = 1\neps = 0.2\n')
    out = str(tmp_path / "out")
    code, text, err = run(capsys, monkeypatch, "study", "run", str(spec), "--out", out, "--workers", "1")
    assert code == 0, err
    code, text, _ = run(capsys, monkeypatch, "study", "plot", out)
    assert "exists: n_½" in text
    assert "12.2" not in text  # that would be another tolerance's form
    assert "4.17 with C = 1 assumed" in text
    code, text, _ = run(capsys, monkeypatch, "report", out)
    assert code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "the number of candidates" in page


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"eps": 0.3}, "less than or equal to 0.25"),
        ({"eps": 0}, "greater than 0"),
        ({"D": 0}, "greater than or equal to 1"),
        ({"D": 13}, "less than or equal to 12"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"method": "magic"}, "'exact', 'core', 'relax' or 'certified'"),
    ],
)
def test_points_that_make_no_sense_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Instances(**{"method": "certified", "D": 1, **values})


@pytest.mark.parametrize("grid", ["D = 1\neps = 0.1\n", "D = 1\neps = 0.1\ntrials = [1, 2]\n", "D = 1\ntrials = 4\n"])
def test_grids_that_make_no_sense_are_refused(grid: str) -> None:
    with pytest.raises(InputError, match=r"t: a grid of existence names D, eps and one number of trials"):
        points(f'study = "existence"\n[[grid]]\n{grid}')
    with pytest.raises(InputError, match=r"t: eps: .*0\.25; got 0\.3"):
        points('study = "existence"\n[[grid]]\nD = 1\ntrials = 3\neps = 0.3\n')
