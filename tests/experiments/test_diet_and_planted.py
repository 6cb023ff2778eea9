"""The other studies of trained tickets: the data diet and planted tickets."""

from __future__ import annotations

from typing import Literal

import pytest
from contest_rows import SMALL

from slth.baselines.planted_searches import SEARCHES
from slth.experiments.engine.study import Row
from slth.experiments.studies import diet, planted

Kind = Literal["all", "random", "easy", "hard"]


@pytest.mark.parametrize(("kind", "size"), [("all", 0), ("easy", 40), ("random", 40)])
def test_a_diet_is_run_and_scored(kind: Kind, size: int) -> None:
    point = diet.Diet(kind=kind, size=size, rewind=3, density=0.25, epochs=2, score_steps=2, **{
        name: value for name, value in SMALL.items() if name != "epochs"
    })  # fmt: skip
    result = diet.run(point, 0)
    assert [density for density, _ in result["levels"]] == [1.0, 0.5, 0.25]
    assert 0 <= result["own_connected"] <= 1
    assert result["connected"] == (result["barrier"] < 0.02)


def test_a_diet_without_size_is_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        diet.Diet(kind="easy", size=0)


def test_the_verdict_on_diets_is_that_of_the_paired_intervals() -> None:
    def make(kind: Kind, size: int, *scores: float) -> list[Row]:
        point = diet.Diet(kind=kind, size=size, rewind=5).model_dump(mode="json")
        return [
            Row(key=f"{kind}{seed}", study="diet", point=point, seed=seed, status="done",
                result={"levels": [[1.0, 0.9], [0.05, score]], "barrier": 0.01, "connected": True,
                        "own_connected": 0.9})
            for seed, score in enumerate(scores)
        ]  # fmt: skip

    rows = make("all", 0, 0.9, 0.91) + make("easy", 64, 0.8, 0.82) + make("random", 64, 0.92, 0.9)
    text = diet.verdict(rows)
    assert "easy 64 against all: -9.50 [-10.00, -9.00] %, worse." in text
    assert "random 64 against all" in text
    assert "not told apart" in text
    assert diet.sections(rows)[0].rows
    assert diet.verdict(rows[:2]) == ""
    assert "one seed" in diet.verdict([rows[0], rows[2]])


def test_planted_tickets_are_looked_for() -> None:
    point = planted.Hidden(method="magnitude", width=16)
    result = planted.run(point, 0)
    assert 0 <= result["recall"] <= 1
    point = planted.Hidden(method="subset-sum", width=100, hidden=4, kept=10)
    result = planted.run(point, 0)
    assert result["error"] >= result["planted_error"]
    rows = [Row(key="1", study="planted", point=point.model_dump(mode="json"), seed=0, status="done", result=result)]
    assert planted.sections(rows)[0].rows
    with pytest.raises(ValueError, match="method"):
        planted.Hidden(method="divination")


def test_every_search_of_masks_can_be_asked_for() -> None:
    assert (*SEARCHES, "subset-sum") == planted.PLANTED_METHODS
