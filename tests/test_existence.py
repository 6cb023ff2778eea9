"""The existence study in small: proved outcomes, resumption, fits, figures, and its command."""

from __future__ import annotations

import itertools
import json
import math
import types
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from test_cli import run

from slth.errors import DataError, InputError, WorkLimitError
from slth.experiments import existence as study
from slth.experiments import existence_fit as fit
from slth.experiments.existence import Setting
from slth.theory import thresholds

TINY = Setting(tolerances={1: (0.2, 0.05), 2: (0.2, 0.1)}, trials=30)


@pytest.fixture(autouse=True)
def _no_certificates(monkeypatch: pytest.MonkeyPatch):
    """Certified widths take their own time and have their own tests."""
    monkeypatch.setattr(study, "certified", types.SimpleNamespace(width=out_of_reach))


def out_of_reach(**_):
    raise WorkLimitError("out of reach")


@pytest.fixture(scope="module", name="rows")
def _rows(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "certified", types.SimpleNamespace(width=out_of_reach))
        return study.run_study(tmp_path_factory.mktemp("study"), TINY, say=lambda _: None)


def test_points_are_data_around_the_thresholds():
    specs = study.points(TINY)
    assert specs == json.loads(json.dumps(specs)) == study.points(TINY)
    assert len({json.dumps(spec) for spec in specs}) == len(specs)
    for D, tolerances in TINY.tolerances.items():
        sizes = {spec["n"] for spec in specs if spec["method"] == "exact" and spec["D"] == D}
        for eps in tolerances:
            centre = thresholds.width(D=D, eps=eps, z=0.5).n
            assert {max(1, centre - 3), centre, centre + 3} <= sizes
        assert sizes == {spec["n"] for spec in specs if spec["method"] == "core" and spec["D"] == D}


def test_standard_setting_is_as_announced():
    assert set(study.STANDARD.tolerances) == {1, 2, 3, 4}
    assert all(len(tolerances) >= 3 for tolerances in study.STANDARD.tolerances.values())
    assert study.STANDARD.trials >= 200
    assert study.QUICK.trials >= 200


def test_outcomes_are_the_true_optima():
    """Against all 2ⁿ subsets in plain numpy; nothing depends on threads."""
    spec = {"method": "exact", "D": 2, "n": 7, "trials": 12, "seed": 3}
    row = study.run_point(spec, threads=1)
    vectors, targets = study.instances(spec)
    choices = np.array(list(itertools.product((0.0, 1.0), repeat=7)))
    best = np.abs(choices @ vectors - targets[:, None]).max(axis=2).min(axis=1)
    assert row["errors"] == pytest.approx(best.tolist(), rel=1e-12, abs=1e-15)
    assert row["unproved"] == 0
    assert all(low <= error for low, error in zip(row["lower_bounds"], row["errors"], strict=True))
    again = study.run_point(spec, threads=2)
    assert (again["errors"], again["lower_bounds"]) == (row["errors"], row["lower_bounds"])


def test_candidates_are_nsn_vectors():
    """Cov(Y_1², Y_2²) = E[Z⁴]·1·1 − 1 = 2 tells NSN from independent entries; 30,000 vectors, 8 standard errors."""
    vectors, targets = study.instances({"D": 2, "n": 100, "trials": 300, "seed": 0})
    products = (vectors**2).prod(axis=2).ravel()
    assert abs(products.mean() - 3) < 8 * products.std() / math.sqrt(products.size)
    assert (targets == 0.5).all()


def test_a_study_resumes_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    setting = Setting(tolerances={1: (0.2,)}, trials=5)
    specs, ran, honest = study.points(setting), [], study.run_point

    def watched(spec, *, threads=None):
        if len(ran) == 4:
            raise KeyboardInterrupt
        ran.append(spec)
        return honest(spec, threads=threads)

    monkeypatch.setattr(study, "run_point", watched)
    with pytest.raises(KeyboardInterrupt):
        study.run_study(tmp_path / "s", setting, say=lambda _: None)
    assert [row["spec"] for row in study.load_rows(tmp_path / "s").values()] == specs[:4]
    monkeypatch.setattr(study, "run_point", honest)
    said: list[str] = []
    rows = study.run_study(tmp_path / "s", setting, say=said.append)
    assert [row["spec"] for row in rows] == specs
    assert len(said) == 1 + len(specs) - 4
    said.clear()
    assert study.run_study(tmp_path / "s", setting, say=said.append) == rows
    assert len(said) == 1
    # Another setting shares the folder: its rows are added, not mixed in.
    other = study.run_study(tmp_path / "s", Setting(tolerances={1: (0.2,)}, trials=6), say=said.append)
    assert {row["spec"].get("trials", 6) for row in other} == {6}
    assert len(study.load_rows(tmp_path / "s")) == 2 * len(specs) - 1  # the certified width is that of both


def test_curves_count_what_was_proved():
    row = {
        "spec": {"method": "exact", "D": 1, "n": 5},
        "errors": [0.05, 0.1, 0.2, 0.3],
        "lower_bounds": [0.05, 0.0999, 0.0, 0.3],  # the third is undecided at ε = 0.1
        "seconds_each": 0.001,
    }
    curve = fit.success_curve([row], "exact", 1, 0.1)
    assert (curve["successes"], curve["trials"], curve["undecided"]) == ([2], [3], 1)
    interval = binomtest(2, 3).proportion_ci(0.95, method="exact")
    assert (curve["low"], curve["high"]) == ([interval.low], [interval.high])
    row["spec"] = {**row["spec"], "method": "core"}  # a method that proves nothing did not find it, and that counts
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
def test_half_point_by_hand(frequencies, expected):
    found = fit.half_point(np.array([1.0, 2.0, 4.0, 8.0]), np.array(frequencies), np.full(4, 10))
    assert found == (None if expected is None else pytest.approx(expected))


def test_intervals_cover_the_half_point_they_are_for():
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
        covered += found["low"] <= 11 <= found["high"]
    assert covered >= 168


def test_exponents_are_recovered():
    cells = [(D, eps, 3.0 * D**1.3 * math.log2(1 / eps) ** 0.8) for D in (1, 2, 4) for eps in (0.1, 0.01)]
    assert fit._exponents(cells) == pytest.approx({"D": 1.3, "log": 0.8})
    assert fit._exponents(cells[:3]) is None
    assert fit._exponents([cell for cell in cells if cell[0] == 1] * 2) is None


def test_measured_success_stays_below_the_first_moment(rows):
    """P(Y ≥ 1) ≤ E[Y]; exact intervals at 1e-6 a side over some 40 points: false failure below 1e-4."""
    for D, tolerances in TINY.tolerances.items():
        for eps in tolerances:
            curve = fit.success_curve(rows, "exact", D, eps)
            assert curve["undecided"] == 0
            for n, hits, trials in zip(curve["n"], curve["successes"], curve["trials"], strict=True):
                low = binomtest(hits, trials).proportion_ci(1 - 2e-6).low
                assert low <= 2 ** thresholds.log2_expected_count(n=n, D=D, eps=eps, z=0.5)


def test_finders_never_beat_the_proof(rows):
    proved = {(row["spec"]["D"], row["spec"]["n"]): row for row in rows if row["spec"]["method"] == "exact"}
    for row in (row for row in rows if row["spec"]["method"] in study.FINDERS):
        twin = proved.get((row["spec"]["D"], row["spec"]["n"]))
        if twin is not None:
            assert all(a >= b for a, b in zip(row["errors"], twin["lower_bounds"], strict=True))


def test_summary_and_figures(rows):
    summary = fit.summarise(rows, TINY)
    assert json.loads(json.dumps(summary)) == summary
    assert summary == fit.summarise(rows, TINY)
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


def test_certified_widths_are_drawn_when_there_are_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def width(*, D, eps, delta, z_bound):
        assert (delta, z_bound) == (0.5, 0.5)
        if D == 2:
            raise InputError("out of reach")
        return types.SimpleNamespace(n=40, k=20, success=0.51)

    monkeypatch.setattr(study, "certified", types.SimpleNamespace(width=width))
    setting = Setting(tolerances={1: (0.2,), 2: (0.25,)}, trials=4)
    summary = fit.summarise(study.run_study(tmp_path, setting, say=lambda _: None), setting)
    found = {one["D"]: one["certified"] for one in summary["thresholds"]}
    assert found == {1: {"n": 40, "k": 20, "success": 0.51}, 2: {"note": "out of reach"}}
    first, second = fit.figure(summary)
    assert "proven: certified width" in first.get_legend_handles_labels()[1]
    assert "proven: certified width" not in second.get_legend_handles_labels()[1]


def test_command(capsys, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(study, "QUICK", Setting(tolerances={1: (0.2,)}, trials=5))
    out = tmp_path / "new" / "folder"
    code, text, _ = run(capsys, monkeypatch, "existence", "--quick", "--out", str(out))
    assert code == 0
    assert "exists: n_½" in text
    assert "12.2" not in text  # that would be another tolerance's form
    assert "4.17 with C = 1 assumed" in text
    for name in ("three-worlds.png", "success.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    code, text, _ = run(capsys, monkeypatch, "existence", "--quick", "--out", str(out), "--json")
    assert code == 0
    assert json.loads(text)["thresholds"] == json.loads((out / "summary.json").read_text())["thresholds"]
    (out / "rows.jsonl").write_text('{"spec": 3}\nnonsense\n')
    code, _, err = run(capsys, monkeypatch, "existence", "--quick", "--out", str(out))
    assert code == 1
    assert "line 2, is not a row of this study" in err
    code, _, err = run(capsys, monkeypatch, "existence", "--quick", "--out", str(out / "rows.jsonl"))
    assert code == 1
    assert "cannot make the folder" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tolerances": {1: (0.3,)}}, r"tolerances of D = 1 must lie in \(0, 1/4\]"),
        ({"tolerances": {1: ()}}, "tolerances of D = 1"),
        ({"tolerances": {0: (0.1,)}}, "D must be an integer between 1 and 12"),
        ({"trials": 0}, "trials must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        Setting(**arguments)


def test_foreign_rows_are_refused(tmp_path: Path):
    assert study.load_rows(tmp_path) == {}
    (tmp_path / study.ROWS).write_text("[1, 2]\n")
    with pytest.raises(DataError, match="line 1"):
        study.load_rows(tmp_path)
