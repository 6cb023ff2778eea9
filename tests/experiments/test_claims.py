"""Verdicts on published claims: each holds, fails or is left open by the rows alone."""

from __future__ import annotations

import dataclasses
from typing import Any

from contest_rows import row

from benchmarks import claims
from slth.experiments.engine.study import Row


def test_a_claim_holds_fails_or_is_left_open_by_the_rows_alone() -> None:
    seeds = (0, 1, 2)
    gem = [row("gem-miner", s, found=0.90 + s / 100, tuned=0.95) for s in seeds]
    weak = [row("edge-popup", s, found=0.70 + s / 100, tuned=0.95) for s in seeds]
    before, after = claims.gem_miner_wins("task", gem + weak)
    assert (before.holds, after.holds) == (True, None)
    assert "before" in before.claim
    strong = [row("edge-popup", s, found=0.99, tuned=0.99) for s in seeds]
    assert [one.holds for one in claims.gem_miner_wins("task", gem + strong)] == [False, False]
    assert claims.gem_miner_wins("task", gem) == []


def test_edge_popup_must_reach_ninety_five_with_its_whole_interval() -> None:
    def verdict(*scores: float) -> bool | None:
        rows = [row("edge-popup", s, density=0.5, found=score) for s, score in enumerate(scores)]
        return claims.edge_popup_finds("task", rows)[0].holds

    assert verdict(0.96, 0.97, 0.98) is True
    assert verdict(0.94, 0.97, 0.98) is False


def test_gates_are_sparser_when_they_reach_each_accuracy_earlier() -> None:
    def curve(method: str, *points: tuple[float, float], seeds: tuple[int, ...] = (0, 1), **more: Any) -> list[Row]:
        return [row(method, s, density=d, found=a + s / 1000, **more) for d, a in points for s in seeds]

    popup = curve("edge-popup", (0.1, 0.8), (0.5, 0.9))
    gates = curve("gates", (0.05, 0.85), (0.2, 0.95))
    assert claims.gates_are_sparser("task", popup + gates)[0].holds is True
    late = curve("gates", (0.2, 0.85), (0.6, 0.95))
    assert claims.gates_are_sparser("task", popup + late)[0].holds is False
    assert claims.gates_are_sparser("task", popup + curve("gates", (0.05, 0.85)))[0].holds is None
    # a mean above is not enough where the intervals overlap, one seed has none, another budget says nothing
    near = [row("gates", s, density=0.05, found=a) for s, a in enumerate((0.79, 0.9))]
    assert claims.gates_are_sparser("task", popup[:2] + near)[0].holds is None
    alone = curve("edge-popup", (0.1, 0.8), seeds=(0,)) + curve("gates", (0.05, 0.9), seeds=(0,))
    assert claims.gates_are_sparser("task", alone)[0].holds is None
    longer = [dataclasses.replace(one, point={**one.point, "epochs": 9}) for one in gates]
    assert claims.gates_are_sparser("task", popup + longer) == []


def test_iterative_pruning_matches_then_fails() -> None:
    levels = [[1.0, 0.95], [0.5, 0.949], [0.1, 0.90]]
    one = claims.imp_matches("task", [row("imp", s, levels=levels, found=0.1, tuned=0.9) for s in (0, 1)])[0]
    assert one.holds is True
    assert "down to 0.5" in one.evidence

    def verdict(*accuracies: float) -> bool | None:
        mine = [[1.0, 0.95], *([density, one] for density, one in zip((0.5, 0.1), accuracies, strict=True))]
        rows = [row("imp", s, levels=mine, found=0.1, tuned=0.9) for s in (0, 1)]
        return claims.imp_matches("task", rows)[0].holds

    assert verdict(0.949, 0.949) is None  # never failed: not sparse enough to tell
    assert verdict(0.90, 0.95) is False  # fails first: what comes after is no match
    assert claims.imp_matches("task", [row("imp", 0, levels=levels, found=0.1, tuned=0.9)])[0].holds is None


def test_ways_of_iterative_pruning_are_not_pooled() -> None:
    ways = ({"rewind": 0}, {"rewind": 0, "total": True}, {"rewind": 80})
    rows = [
        row("imp", s, options=options, levels=[[1.0, 0.9], [0.1, 0.9 - way / 10]], found=0.1, tuned=0.9 - way / 10)
        for way, options in enumerate(ways)
        for s in (0, 1)
    ]
    found = {one.claim.partition(" matches")[0]: one.evidence for one in claims.imp_matches("task", rows)}
    assert list(found) == ["imp (rewind 0)", "imp (rewind 0, total True)", "imp (rewind 80)"]
    assert [text.rsplit(": ")[1] for text in found.values()] == ["0.00 %", "-10.00 %", "-20.00 %"]
    (one,) = claims.rewinding_helps("task", rows)
    assert one.holds is False
    assert "-20.00 %" in one.evidence


def test_one_seed_and_a_seed_that_failed_decide_nothing() -> None:
    gem = [row("gem-miner", s, found=0.9, tuned=0.95) for s in (0, 1)]
    popup = [row("edge-popup", s, found=0.7, tuned=0.7) for s in (0, 1)]
    assert [one.holds for one in claims.gem_miner_wins("task", gem + popup)] == [True, True]
    assert [one.holds for one in claims.gem_miner_wins("task", [gem[0], popup[0]])] == [None, None]
    fell = [gem[0], row("gem-miner", 1, found=0.9, tuned={"error": "layer collapse"})]
    assert [one.holds for one in claims.gem_miner_wins("task", fell + popup)] == [True, None]
    # each half of the pairs is there, but never both of one seed
    odd = [row("gem-miner", 0, found=0.9, tuned=0.9), row("gem-miner", 1, found=0.9, shuffled=0.1)]
    assert claims.sanity_matters("task", odd) == []


def test_sanity_is_paired_over_seeds() -> None:
    scores: list[tuple[int, dict[str, Any]]] = [
        (s, {"tuned": 0.9 + s / 50, "shuffled": 0.88 + s / 50, "redrawn": 0.92}) for s in (0, 1, 2)
    ]
    rows = [row("gem-miner", seed, found=0.5, **stages) for seed, stages in scores]
    found = {one.claim.rsplit("than ", 1)[1]: one.holds for one in claims.sanity_matters("task", rows)}
    assert found == {"its mask shuffled": True, "its weights redrawn": None}


def test_ensembles_are_judged_by_each_measure() -> None:
    def make(method: str, ece: float) -> list[Row]:
        found = {"accuracy": 0.9, "ece": ece, "nll": 0.5, "auroc": 0.8}
        return [row(method, s, density=0.1, found=found) for s in (0, 1)]

    rows = make("dro-ensemble", 0.05) + make("plain-ensemble", 0.1)
    found = {one.claim: one.holds for one in claims.ensembles_calibrate("task", rows)}
    assert found["robust ensemble has better ECE than plain-ensemble at density 0.1"] is True
    assert found["robust ensemble has better NLL than plain-ensemble at density 0.1"] is None
    assert found["robust ensemble is as accurate as plain-ensemble at density 0.1"] is True
