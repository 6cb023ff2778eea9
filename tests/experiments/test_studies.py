"""The shipped studies in their smoke form: specs, results that mathematics demands, sections from any rows."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from slth.errors import DataError
from slth.experiments.analysis import ticket_errors
from slth.experiments.engine import registry
from slth.experiments.engine.spec import load_spec, shipped
from slth.experiments.engine.study import Row
from slth.experiments.studies import diet, dimension, neurons, scale, structure, subjects, width
from slth.rss import SOLVERS, Problem
from slth.theory import certified, thresholds
from slth.tickets import find_ticket

MODULES = {
    "width": width,
    "dimension": dimension,
    "structure": structure,
    "neurons": neurons,
    "scale": scale,
    "diet": diet,
}
STUDIES = {name: module.STUDY for name, module in MODULES.items()}
Rows = dict[str, list[Row]]
SPECS = Path(width.__file__).parent / "specs"


def spec(name: str) -> dict[str, Any]:
    return tomllib.loads((SPECS / f"{name}.toml").read_text(encoding="utf-8"))


def quick(name: str) -> dict[str, Any]:
    """The smoke form of a spec: its point replaces that of the standard form key by key."""
    form = spec(name)
    return {**form, **form["smoke"], "point": {**form.get("point", {}), **form["smoke"].get("point", {})}}


def expanded(form: dict[str, Any]) -> list[dict[str, Any]]:
    """The points of a spec, in plain Python: the runner's own expansion has its own tests."""
    return [
        {**form.get("point", {}), **dict(zip(grid, values, strict=True))}
        for grid in form["grid"]
        for values in itertools.product(*grid.values())
    ]


def carried_out(name: str, points: list[dict[str, Any]], seeds: range) -> list[Row]:
    study, rows = STUDIES[name], []
    for (number, values), seed in itertools.product(enumerate(points), seeds):
        point = study.point(**values)
        result = json.loads(json.dumps(study.run(point, seed)))  # JSON-ready, or it would not get into a store
        shown = point.model_dump(mode="json")
        rows.append(
            Row(key=f"{number}-{seed}", study=name, point=shown, seed=seed, status="done", result=result)
        )  # fmt: skip
    return rows


@pytest.fixture(scope="module", name="rows")
def _rows() -> Rows:
    torch.set_num_threads(1)
    found = {}
    for name in STUDIES:
        smoke = quick(name)
        found[name] = carried_out(name, expanded(smoke), range(smoke["seeds"]))
    return found


@pytest.mark.parametrize("name", STUDIES)
def test_specs_name_valid_points(name: str) -> None:
    form, study = spec(name), STUDIES[name]
    assert form["study"] == name == study.name
    for one in (form, quick(name)):
        points = [study.point(**values) for values in expanded(one)]
        assert len({point.model_dump_json() for point in points}) == len(points)
    assert len(expanded(quick(name))) < len(expanded(form))


def test_every_study_ships_a_spec() -> None:
    """What ``slth study list`` names can be run, and what can be run by name is listed."""
    assert shipped() == sorted(registry.STUDIES)
    for name in shipped():
        assert load_spec(name).study == name


@pytest.mark.parametrize("name", STUDIES)
def test_sections_from_all_and_from_few_rows(name: str, rows: Rows) -> None:
    """Missing rows, one row, failures, nothing at all: something true is said, and nothing breaks."""
    mine, study = rows[name], STUDIES[name]
    whole = study.sections(mine)
    assert any(isinstance(section.figure, Axes) for section in whole)
    assert all(section.title for section in whole)
    for section in whole:
        assert all(len(row) == len(section.header) for row in section.rows)
    failed = dataclasses.replace(mine[0], status="failed", result={}, error="Traceback")
    for some in ([], [failed], mine[:1], mine[-1:], mine[1:], mine[::2], [failed, *mine[1:]]):
        for section in study.sections(some):
            assert section.text
            assert "nan" not in section.text
    assert "No finished rows" in study.sections([])[0].text


def test_what_is_said_follows_the_rows(rows: Rows) -> None:
    """Swap the results of two laws, and the sentences swap."""
    mine = rows["scale"]
    other = {"normal": "uniform", "uniform": "normal"}
    swapped = [dataclasses.replace(row, point={**row.point, "law": other[row.point["law"]]}) for row in mine]
    said, again = (scale.sections(some)[0].text.split("\n\n") for some in (mine, swapped))
    assert again[0] == said[1].replace("Uniform", "Normal")
    assert again[1] == said[0].replace("Normal", "Uniform")


# --- width


@pytest.mark.parametrize(("accuracies", "words"), [
    ([0.9, 0.9, 0.9], "From width 200 on, of the widths tried,"),
    ([0.895, 0.5, 0.9], "From width 800 on, of the widths tried,"),
    ([0.9, 0.9, 0.88], "At the largest width, 800, some seed's ticket is still more than one point below"),
])  # fmt: skip
def test_enough_is_from_where_on_no_width_falls_short(accuracies: list[float], words: str, rows: Rows) -> None:
    some = []
    for row, ticket in zip(sorted(rows["width"], key=lambda one: one.point["width"]), accuracies, strict=True):
        accuracy = {"target": 0.9, "ticket": ticket, "random ticket": 0.1}
        some.append(dataclasses.replace(row, result={**row.result, "accuracy": accuracy}))
    assert words in width.STUDY.sections(some)[1].text


def test_error_falls_with_width_in_every_layer(rows: Rows) -> None:
    """One seed, fixed: the run is deterministic. Widths grow by factors of two, errors fall by about as much."""
    mine = sorted(rows["width"], key=lambda row: row.point["width"])
    for layers in zip(*(row.result["layers"] for row in mine), strict=True):
        relative = [layer["relative_rms"] for layer in layers]
        assert relative == sorted(relative, reverse=True)
        for layer in layers:
            # No method can do better than what exists: fewer expected solutions than one at a tenth of these n.
            if layer["first_moment"] is not None:
                assert layer["first_moment"] < layer["n"]
    last = mine[-1].result
    assert last["accuracy"]["ticket"] > last["accuracy"]["random ticket"] + 0.3
    assert last["output_error"] < mine[0].result["output_error"]


def test_instance_errors_agree_with_the_report() -> None:
    """The largest of them, in weight units, is the error that the ticket reports, rounded up."""
    subject = subjects.load_subject(subjects.SubjectPoint(epochs=4))
    ticket = find_ticket(subject.target, width=200, seed=3, threads=1)
    for i, report in enumerate(ticket.layers):
        largest = max(ticket_errors.instance_errors(ticket, i)) * ticket_errors.candidate_deviation(ticket, i)
        assert largest == pytest.approx(report.error, rel=1e-9)


def test_the_overlaid_theory_is_that_of_the_theory_package(rows: Rows) -> None:
    layer = rows["width"][-1].result["layers"][-1]
    expected = thresholds.width(D=layer["D"], eps=layer["error"], z=layer["target_rms"]).crossing
    assert layer["first_moment"] == pytest.approx(expected)
    assert layer["certified"] == {"0.2": certified.width(10, 0.2, 0.5, 0.5).n}
    assert rows["width"][-1].result["layers"][0]["certified"] == {"0.2": None}


def test_lenet5_is_refused_in_a_line_where_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLTH_DATA", str(tmp_path))
    with pytest.raises(DataError, match="mnist"):
        subjects.load_subject(subjects.SubjectPoint(target="lenet5", weights="nowhere.safetensors"))


# --- dimension


def test_methods_see_the_same_instances_and_none_beats_what_is_proved(rows: Rows) -> None:
    by_D: dict[int, list[Row]] = {}
    for row in rows["dimension"]:
        by_D.setdefault(row.point["D"], []).append(row)
    for some in by_D.values():
        assert {row.point["method"] for row in some} == set(SOLVERS)
        assert len({row.result["trivial"] for row in some}) == 1
        proved = [row.result["error"] for row in some if row.result["status"] == "optimal"]
        for row in some:
            assert row.result["error"] is None or not proved or row.result["error"] >= min(proved)


def test_trivial_is_the_best_of_none_and_one() -> None:
    problem = Problem(vectors=np.array([[2.0, 0.0], [1.0, 1.0]]), target=np.array([1.2, 0.7]))
    assert dimension.trivial_error(problem) == pytest.approx(0.3)
    far = Problem(vectors=np.array([[9.0, 9.0]]), target=np.array([0.1, -0.2]))
    assert dimension.trivial_error(far) == pytest.approx(0.2)


def test_the_expected_best_is_where_one_solution_is_expected() -> None:
    eps = dimension.expected_best(4, 40)
    assert eps is not None
    assert abs(thresholds.log2_expected_count(n=40, D=4, eps=eps, z=1.0)) < 0.05


def test_a_refusal_is_a_result() -> None:
    """exact would need more memory than there is; the row says so, and counts as an infinite error."""
    point = dimension.DimensionPoint(D=128, ratio=16, method="exact", seconds=0.05)
    result = dimension.run(point, 0)
    rows = [Row(key="a", study="dimension", point=point.model_dump(), seed=0, status="done", result=result)]
    assert (result["error"] is None) == (result["status"] == "refused")
    refused = dataclasses.replace(
        rows[0], result={**result, "error": None, "status": "refused", "refused": "too large"}
    )
    curve, table = dimension.sections([refused])
    assert curve.rows[0][3] == "refused"
    assert curve.rows[0][2] == 128 * 16
    assert "exact: nowhere (not at D = 128)" in table.text
    assert table.figure is not None
    assert any(patch.get_hatch() for patch in table.figure.patches)


def test_useful_until_is_the_last_before_the_first_failure() -> None:
    cells = {1: (0.1, 1.0), 2: (0.2, 1.0), 4: (1.0, 1.0), 8: (0.5, 1.0)}
    assert dimension.useful_until(cells) == 2
    assert dimension.useful_until({1: (2.0, 1.0)}) is None
    assert dimension.useful_until({1: (0.5, 1.0), 3: (math.inf, 1.0)}) == 1


# --- structure


def test_finer_masks_have_smaller_errors_at_equal_random_parameters(rows: Rows) -> None:
    """D = 1 < d² < d²·c_out: one seed, fixed; the errors differ by factors, not by noise."""
    for wide in (30, 100):
        result = {row.point["structure"]: row.result for row in rows["structure"] if row.point["width"] == wide}
        assert len({one["random"] for one in result.values()}) == 1
        errors = [result[name]["relative_error"] for name in ("weight", "kernel", "channel")]
        assert errors == sorted(errors)
        assert errors[0] < errors[2] / 2
        for one in result.values():
            assert one["kept"] <= one["random"]
            assert one["milliseconds"] > 0


def test_what_an_error_needs_is_read_off_by_powers() -> None:
    curve = [(100.0, 1.0), (1000.0, 0.1), (10000.0, 0.01)]
    assert structure.parameters_for(curve, 0.1) == pytest.approx(1000)
    assert structure.parameters_for(curve, 10**-0.5) == pytest.approx(10**2.5)
    assert structure.parameters_for(curve, 0.001) is None
    assert structure.parameters_for(curve[:1], 1.0) is None


# --- neurons


def test_no_mask_is_below_the_theorem_and_blocking_gets_below_it(rows: Rows) -> None:
    for row in rows["neurons"]:
        if row.point["construction"] == "neuron":
            assert row.result["theorem"] <= row.result["error"]
            assert row.result["lower"] <= row.result["error"] * (1 + 1e-6)
    # 96 neurons: 24 candidates for each weight, errors of about 2⁻²⁴·√24, against kinks about π/192 away.
    blocked = [neurons.run(neurons.NeuronPoint(n=96, construction="blocked"), seed) for seed in range(3)]
    assert all(one["proved"] for one in blocked)
    bound = [
        neurons.smallest_sine(np.random.default_rng([seed, 96, 0]).standard_normal((96, 2))) / 4 for seed in range(3)
    ]
    # Fixed seeds. For others: a kink of 96 within 4e-3 of the target's has probability 96·2·4e-3/π = 0.25.
    assert np.median([one["error"] for one in blocked]) < np.median(bound) / 10


# --- scale


def test_the_default_scale_is_between_the_extremes(rows: Rows) -> None:
    for law in ("normal", "uniform"):
        errors = {r.point["factor"]: r.result["relative_rms"] for r in rows["scale"] if r.point["law"] == law}
        assert errors[1.0] < errors[0.01]
        assert errors[1.0] < errors[100.0]
        # 0.01: candidates too small to reach the target. 100: a target of nothing, beside them.
        assert errors[0.01] > 0.8
        assert errors[100.0] > 1


# --- what sections share


def with_point(row: Row, **changes: object) -> Row:
    return dataclasses.replace(row, key=f"{row.key} {changes}", point={**row.point, **changes})


@pytest.mark.parametrize(("name", "changes"), [("width", {"method": "pursuit"}), ("structure", {"epochs": 7}),
                                               ("scale", {"method": "pursuit"})])  # fmt: skip
def test_what_differs_in_more_than_the_seed_is_not_taken_for_a_spread(
    name: str, changes: dict[str, object], rows: Rows
) -> None:
    both = [*rows[name], *(with_point(row, **changes) for row in rows[name])]
    once, twice = STUDIES[name].sections(rows[name]), STUDIES[name].sections(both)
    assert len(twice) == 2 * len(once)
    assert [section.rows for section in twice if all(str(one) in section.title for one in changes.values())] == [
        section.rows for section in once
    ]


def test_budgets_of_nodes_are_not_mixed(rows: Rows) -> None:
    alone, blocked = ([row for row in rows["neurons"] if row.point["construction"] == name]
                      for name in ("neuron", "blocked"))  # fmt: skip
    both = [*alone, *blocked, *(with_point(row, nodes=7) for row in [*alone, *blocked])]
    once, twice = neurons.STUDY.sections([*alone, *blocked]), neurons.STUDY.sections(both)
    assert [one.title for one in twice] == [one.title + f", nodes {nodes}" for nodes in (50, 7) for one in once]
    assert [one.rows for one in twice] == [one.rows for one in [*once, *once]]


def test_the_growth_of_wide_blocked_constructions_has_a_number(rows: Rows) -> None:
    """2^n overflows from n = 1024 on; the fitted rate is that of errors that fall as 2^(−n/128)."""
    blocked = [row for row in rows["neurons"] if row.point["construction"] == "blocked"]
    wide = [
        dataclasses.replace(with_point(row, n=64 * row.point["n"]),
                            result={**row.result, "error": 2.0 ** (-row.point["n"] / 2)})
        for row in blocked
    ]  # fmt: skip
    assert "falls like 2^(−n·0.0078" in neurons.STUDY.sections(wide)[0].text
