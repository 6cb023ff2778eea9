"""What the rows of a comparison say: groups, curves, sections, published accuracies."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from contest_rows import row

from slth.experiments.analysis.published import PUBLISHED, published_accuracy
from slth.experiments.studies.compare_sections import by_method, curves, sections, values
from slth.report import Section
from slth.theory import REFERENCES


def test_rows_are_grouped_by_method_options_and_density() -> None:
    rows = [
        row("gates", seed, options=options, found=0.9) for seed in (1, 0) for options in ({}, {"structure": "filter"})
    ]
    groups = by_method(rows)
    assert set(groups) == {("gates", 0.05), ("gates (structure filter)", 0.05)}
    assert [len(mine) for mine in groups.values()] == [2, 2]
    longer = [dataclasses.replace(one, point={**one.point, "epochs": 9}) for one in rows[:1]]
    assert set(by_method(rows + longer)) == {
        ("gates, epochs 2", 0.05), ("gates, epochs 9", 0.05), ("gates (structure filter)", 0.05)
    }  # fmt: skip


def test_values_come_in_the_order_of_seeds_and_leave_failures_out() -> None:
    rows = [row("imp", seed, found=0.5 + seed / 10) for seed in (2, 0, 1)]
    assert values(rows, "found", "accuracy") == [0.5, 0.6, 0.7]
    assert values([row("imp", 0, found={"error": "layer collapse"})], "found", "accuracy") == []


def test_curves_use_levels_where_there_are_any() -> None:
    rows = [row("imp", seed, levels=[[1.0, 0.9], [0.5, 0.8 + seed / 10]], found=0.1, tuned=0.7) for seed in (0, 1)]
    assert {d: mean for d, (mean, _, _) in curves(rows, "tuned")["imp"].items()} == pytest.approx({1.0: 0.9, 0.5: 0.85})
    assert list(curves(rows, "found")["imp"]) == [0.05]


def test_sections_come_of_any_rows() -> None:
    rows = [
        row("gem-miner", s, found=0.7, tuned=0.9, shuffled=0.6, redrawn={"error": "layer collapse"}) for s in (0, 1)
    ]
    rows += [row("dense", 0, density=1.0, found=0.95)]
    for some in (rows, rows[:1], rows[-1:]):
        found = sections(some)
        assert found
        assert all(section.rows or section.figure is not None for section in found)
    text = str([section.rows for section in sections(rows)])
    assert "layer collapse" in text
    assert "90.00 %" in text


def test_published_figures_stand_beside_ours_where_the_setting_is_the_same() -> None:
    def shown(**change: Any) -> list[Section]:
        mine = row("gem-miner", 0, density=0.0059, found=0.4, tuned=0.6)
        mine = dataclasses.replace(mine, point={**mine.point, "arch": "resnet20", "data": "cifar10", **change})
        return [section for section in sections([mine]) if "published" in section.title]

    assert [line[3] for line in shown()[0].rows] == ["45.30 %", "66.15 %"]
    assert shown(data="digits") == []
    level = published_accuracy("resnet20", "cifar10", "imp", "tuned", 0.512)
    assert level is not None
    assert level.accuracy == 1 - 0.0810
    assert published_accuracy("resnet20", "cifar10", "gem-miner", "tuned", 0.02) is None
    assert all(one.source in REFERENCES for one in PUBLISHED)
