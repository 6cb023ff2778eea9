"""Spec files: what they expand to, and how they are refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from slth.errors import DataError, InputError
from slth.experiments.engine import spec as module
from slth.experiments.engine.registry import STUDIES, load_study
from slth.experiments.engine.spec import MOST_POINTS, load_spec, parse_spec, shipped
from slth.experiments.engine.study import Point, Study

HERE = str(Path(__file__).parent)
HEAD = 'study = "tiny_study:STUDY"\n'


def expand(text: str) -> list[tuple[dict[str, Any], int]]:
    spec = parse_spec(HEAD + text, label="s.toml", home=HERE)
    return [(point.model_dump(), seed) for point, seed in spec.expand(load_study(spec.study, spec.paths))]


def test_a_grid_is_the_product_of_its_lists() -> None:
    found = expand("seeds = 2\n[point]\nms = 0.5\n[[grid]]\na = [3, 1]\nb = [1, 2.5]\n")
    expected = [((a, b), seed) for a, b in itertools.product((3, 1), (1.0, 2.5)) for seed in (0, 1)]
    assert [((point["a"], point["b"]), seed) for point, seed in found] == expected
    assert {point["ms"] for point, _ in found} == {0.5}


def test_grids_are_joined_without_duplicates_in_order() -> None:
    found = expand("[[grid]]\na = [1, 2, 2]\n[[grid]]\na = [0, 2]\nb = 1\n")
    assert [point["a"] for point, _ in found] == [1, 2, 0]
    assert expand("seeds = [7, 3, 7]\n[point]\na = 4\n") == [(found_one(a=4), 7), (found_one(a=4), 3)]


def found_one(**values: Any) -> dict[str, Any]:
    return {"a": 0, "b": 1.0, "do": "", "ms": 0.0, "folder": "", **values}


def test_a_grid_wins_over_what_points_share() -> None:
    assert [point["a"] for point, _ in expand("[point]\na = 5\n[[grid]]\na = [1]\n[[grid]]\nb = [2]\n")] == [1, 5]


def test_smoke_replaces_what_it_names() -> None:
    spec = parse_spec(
        HEAD + "seeds = 5\n[point]\na = 1\nms = 2\n[[grid]]\nb = [1, 2]\n[budget]\nretries = 7\nseconds = 3\n"
        "[smoke]\nseeds = 1\npoint.a = 4\nbudget.seconds = 1\n[[smoke.grid]]\nb = 9\n", label="s.toml", home=HERE,
    )  # fmt: skip
    quick = spec.quick()
    ((point, seed),) = quick.expand(load_study(spec.study, spec.paths))
    assert (point.model_dump(), seed) == (found_one(a=4, b=9.0, ms=2.0), 0)
    assert (quick.budget.retries, quick.budget.seconds) == (7, 1.0)
    assert quick.digest != spec.digest
    assert (quick.text, quick.label, quick.home) == (spec.text, "s.toml", HERE)
    with pytest.raises(InputError, match=r"s\.toml has no \[smoke\] table"):
        quick.quick()


def test_the_digest_is_that_of_what_runs() -> None:
    one = parse_spec(HEAD + "[point]\na = 1\n", label="x", home=HERE)
    same = parse_spec("# said otherwise\n" + HEAD + 'title = "T"\nseeds = 1\npoint = { a = 1 }\n', label="y")
    assert one.digest == same.digest
    for change in ("seeds = 2\n[point]\na = 1\n", "[point]\na = 2\n", "[point]\na = 1\n[budget]\nretries = 1\n"):
        assert parse_spec(HEAD + change, label="x").digest != one.digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sedes = 2\n[point]\na = 1\n", r"^s\.toml has an unknown key 'sedes'; did you mean 'seeds'\?$"),
        ("[budget]\nretry = 1\n", r"\[budget\] has an unknown key 'retry'; did you mean 'retries'"),
        ("[smoke]\nseed = 1\n", r"\[smoke\] has an unknown key 'seed'; did you mean 'seeds'"),
        ("[smoke.budget]\nsecond = 1\n", r"\[smoke.budget\] has an unknown key 'second'; did you mean 'seconds'"),
        ("[point]\nfoldr = 1\n", r"s\.toml: \[point\] has an unknown key 'foldr'; did you mean 'folder'"),
        ("[[grid]]\na = 1\n[[grid]]\nfoldr = 'x'\n", r"\[\[grid\]\] 2 has an unknown key 'foldr'"),
        ("[point]\nzzz = 1\n", r"unknown key 'zzz'; known: a, b, do, ms, folder"),
        ("label = 'x'\n", "unknown key 'label'"),
        ("[[grid]]\na = []\n", r"\[\[grid\]\] 1: a has no values"),
        ("[[grid]]\n", "empty grid"),
        ("", "empty grid. List values for at least one of: a, b"),
        ("seeds = []\n[point]\na = 1\n", "seeds is an empty list"),
        ("seeds = 0\n[point]\na = 1\n", "seeds: expected a number of seeds ≥ 1, or a list of seeds ≥ 0; got 0"),
        ("seeds = [-1]\n[point]\na = 1\n", r"seeds ≥ 0; got \[-1\]"),
        (
            "seeds = 100000000000000000000\n[point]\na = 1\n",
            "seeds: expected seeds of at most 9,223,372,036,854,775,807",
        ),
        ("seeds = [100000000000000000000]\n[point]\na = 1\n", "expected seeds of at most"),
        ("seeds = true\n[point]\na = 1\n", "got True"),
        ("seeds = 1000000000\n[point]\na = 1\n", "asks for 1,000,000,000 points; at most 1,000,000"),
        ("[point]\na = 'many'\n", r"s\.toml: a: .*valid integer.*; got 'many'"),
        ("[point]\nb = nan\n", r"s\.toml: parameters must be finite"),
        ("[point]\ndo = 'dance'\n", "do: Input should be 'die'|got 'dance'"),
        ("[budget]\nretries = -1\n", "budget.retries: .*got -1"),
        ("[budget]\nseconds = 0\n", "budget.seconds: .*got 0"),
        ("study = 3\n", r"s\.toml is not TOML: "),
        ("[point\n", r"s\.toml is not TOML: .*line 2"),
        ("grid = 3\n", "grid"),
        ("point = 3\n", "point"),
        ("smoke = 3\n", "smoke"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        expand(text)
    assert "\n" not in str(caught.value)


def test_a_billion_points_are_refused_with_their_count_before_they_are_built() -> None:
    lists = "".join(f"{name} = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n" for name in "ab")
    values = ", ".join(map(str, range(1000)))
    with pytest.raises(InputError, match=r"asks for 1,000,000,000 points; at most 1,000,000 can be run"):
        expand(f"seeds = 10_000\n[[grid]]\n{lists}ms = [{values}]\n")
    assert MOST_POINTS == 1_000_000


class Counted(Point):
    n: int


def never(point: Counted, seed: int) -> dict[str, Any]:
    raise AssertionError("a spec runs nothing")


def test_computed_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    def around(grid: Mapping[str, Sequence[Any]]) -> Iterator[Counted]:
        return (Counted(n=centre + k) for centre in grid["centre"] for k in grid["n"])

    study = Study(
        name="c", title="", about="", point=Counted, run=never, sections=lambda _: [], points=around, keys=("centre",)
    )
    text = "study = 'c'\n[point]\nn = 1\n[[grid]]\ncentre = [10, 11]\nn = [0, 1]\n"
    found = parse_spec(text, label="x").expand(study)
    assert [point.model_dump() for point, _ in found] == [{"n": n} for n in (10, 11, 12)]
    with pytest.raises(InputError, match="unknown key 'center'; did you mean 'centre'"):
        parse_spec(text.replace("centre", "center"), label="x").expand(study)

    def many(grid: Mapping[str, Sequence[Any]]) -> Iterator[Counted]:
        return (Counted(n=n) for n in itertools.count())

    monkeypatch.setattr(module, "MOST_POINTS", 1000)
    flood = Study(name="c", title="", about="", point=Counted, run=never, sections=lambda rows: [], points=many)
    with pytest.raises(InputError, match="more than 1,000 points"):
        parse_spec("study = 'c'\n[point]\nn = 1\n", label="x").expand(flood)


def test_names_and_files(tmp_path: Path) -> None:
    assert "existence" in shipped()
    assert load_spec("existence").study == "existence"
    with pytest.raises(DataError, match=r"no study is called 'existense', and no file. Did you mean 'existence'"):
        load_spec("existense")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot read"):
        load_spec(str(tmp_path / "binary.toml"))
    with pytest.raises(InputError, match="no study is called 'existense'; did you mean 'existence'"):
        load_study("existense")
    with pytest.raises(InputError, match="cannot import 'no_such_module'"):
        load_study("no_such_module:STUDY")
    with pytest.raises(InputError, match="names no Study: 'NO_STUDY' of 'tiny_study' is int"):
        load_study("tiny_study:NO_STUDY")


@pytest.mark.parametrize("name", shipped())
def test_what_ships_is_sound(name: str) -> None:
    """Every shipped spec expands, has a smoke form that is smaller, and is JSON-ready."""
    spec = load_spec(name)
    assert spec.study in STUDIES
    study = load_study(spec.study)
    assert study.name == spec.study
    points, quick = spec.expand(study), spec.quick().expand(study)
    assert 0 < len(quick) <= len(points)
    assert study.about
    for point, _ in points:
        assert study.point(**point.model_dump(mode="json")) == point
