"""What the rows of the baselines benchmark say of each published claim: pure functions, verdicts never hard-coded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from slth.experiments.analysis.intervals import Interval, difference, interval, show
from slth.experiments.engine.study import Row
from slth.experiments.studies.compare_sections import grouped, values

# A ticket matches the dense network when it loses at most half a point of accuracy.
MATCHING = 0.005
# One seed has no interval: it decides nothing.
SEEDS = 2
# What two methods must share to be compared.
BUDGET = ("arch", "data", "examples", "validation", "test", "norm", "epochs", "finetune")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim on one task. holds: True, False, or None when the rows do not decide it."""

    task: str
    claim: str
    holds: bool | None
    evidence: str


def all_claims(task: str, rows: Sequence[Row]) -> list[Claim]:
    """The claims that the rows of one comparison say something about."""
    makers = (edge_popup_finds, gem_miner_wins, gates_are_sparser, sanity_matters, imp_matches, rewinding_helps,
              ensembles_calibrate)  # fmt: skip
    return [claim for make in makers for claim in make(task, rows)]


def of(rows: Sequence[Row], method: str, **options: Any) -> list[Row]:
    """Rows of a method with exactly these options."""
    return [row for row in rows if row.point["method"] == method and row.point["options"] == options]


def edge_popup_finds(task: str, rows: Sequence[Row]) -> list[Claim]:
    """Density 0.5, at most 5 epochs, 95 % of the test images, no weight touched."""
    asked = [row for row in of(rows, "edge-popup") if row.point["density"] == 0.5 and row.point["epochs"] <= 5]
    claims = []
    for mine in grouped(asked).values():
        found = interval(values(mine, "found", "accuracy"))
        untouched = all(row.result["untouched"] for row in mine)
        claims.append(
            Claim(
                task=task, claim="edge-popup: ≥ 95 % at density 0.5 in ≤ 5 epochs, weights untouched",
                holds=found[1] >= 0.95 and untouched if len(mine) >= SEEDS else None,
                evidence=f"{show(found)} after {mine[0].point['epochs']} epochs of "
                         f"{mine[0].point['examples'] or 'all'} images; hashes {'equal' if untouched else 'DIFFER'}",
            )
        )  # fmt: skip
    return claims


def gem_miner_wins(task: str, rows: Sequence[Row]) -> list[Claim]:
    """At each density ≤ 0.05 that both were run at with one budget, before and after fine-tuning: intervals apart."""
    claims = []
    for mine, theirs in _rivals(of(rows, "gem-miner"), of(rows, "edge-popup")):
        density = mine[0].point["density"]
        if density > 0.05 or not mine[0].point["finetune"]:
            continue
        for stage, when in (("found", "before"), ("tuned", "after")):
            scores = [values(one, stage, "accuracy") for one in (mine, theirs)]
            if not all(scores):
                continue
            gem, popup = (interval(one) for one in scores)
            kept = [_density(one) for one in (mine, theirs)]
            # A seed without a score (a collapsed layer) is not left out of a verdict.
            whole = all(len(got) == len(one) >= SEEDS for got, one in zip(scores, (mine, theirs), strict=True))
            claims.append(
                Claim(
                    task=task, claim=f"Gem-Miner beats edge-popup at density {density:g}, {when} fine-tuning",
                    holds=None if not whole else True if gem[1] > popup[2] else False if gem[2] < popup[1] else None,
                    evidence=f"Gem-Miner {show(gem)} (keeps {kept[0]:.4f}), edge-popup {show(popup)} "
                             f"(keeps {kept[1]:.4f})",
                )
            )  # fmt: skip
    return claims


def gates_are_sparser(task: str, rows: Sequence[Row]) -> list[Claim]:
    """For each ticket of edge-popup, whether gates trained for as long keep less and are as accurate.

    They are if some sparser ticket of theirs has its whole interval above edge-popup's, they are not if all have it
    below. Where gates have no sparser ticket, nothing is said.
    """
    claims = []
    popup = grouped(of(rows, "edge-popup")).values()
    for structure in ("weight", "filter", "channel"):
        gated = grouped(of(rows, "gates", **({} if structure == "weight" else {"structure": structure}))).values()
        lines, wins = [], []
        for theirs in sorted(popup, key=_density):
            sparser = [mine for mine in gated if _density(mine) < _density(theirs)
                       and mine[0].point["epochs"] == theirs[0].point["epochs"]]  # fmt: skip
            if not sparser:
                continue
            score, scores = _found(theirs), [_found(mine) for mine in sparser]
            best, at = max((_found(mine)[0], _density(mine)) for mine in sparser)
            lines.append(f"{score[0]:.1%} at {_density(theirs):.3g}: gates {best:.1%} at {at:.3g}")
            enough = all(len(mine) >= SEEDS for mine in (theirs, *sparser))
            reached = any(one[1] >= score[2] for one in scores)
            missed = all(one[2] < score[1] for one in scores)
            wins.append(None if not enough else True if reached else False if missed else None)
        if lines:
            claims.append(
                Claim(task=task, claim=f"gates of {structure}s reach lower density than edge-popup at equal accuracy",
                      holds=wins[0] if len(set(wins)) == 1 else None, evidence="; ".join(lines))
            )  # fmt: skip
    return claims


def sanity_matters(task: str, rows: Sequence[Row]) -> list[Claim]:
    """What Gem-Miner's ticket loses when shuffled, redrawn, or replaced by a random one; paired over seeds."""
    claims = []
    for (_, density), mine in sorted(grouped(of(rows, "gem-miner")).items()):
        tuned = _by_seed(mine, "tuned", "accuracy")
        for stage, what in (("shuffled", "its mask shuffled"), ("redrawn", "its weights redrawn"),
                            ("smart", "a random ticket with smart ratios")):  # fmt: skip
            other = _by_seed(mine, stage, "accuracy")
            if other and tuned.keys() == other.keys():
                gap = _gap(tuned, other)
                claims.append(
                    Claim(task=task, claim=f"Gem-Miner's ticket at density {density:g} is worth more than {what}",
                          holds=_above(gap, len(tuned)),
                          evidence=f"{show(interval(list(tuned.values())))} against "
                                   f"{show(interval(list(other.values())))}; paired {show(gap)}")
                )  # fmt: skip
    return claims


def imp_matches(task: str, rows: Sequence[Row]) -> list[Claim]:
    """Down to which density each way of iterative pruning matches its own dense level, and whether it fails below.

    A level matches where the whole interval of its paired loss is within ``MATCHING``, and fails where all is outside.
    """
    claims = []
    for (name, _), mine in sorted(grouped(row for row in rows if row.point["method"] == "imp").items()):
        curves = [dict(map(tuple, row.result["levels"])) for row in mine]
        dense, *levels = sorted(set.intersection(*(set(curve) for curve in curves)), reverse=True)
        if dense != 1 or not levels:
            continue
        whole = [curve[dense] for curve in curves]
        gaps = {density: difference([curve[density] for curve in curves], whole) for density in levels}
        matching = list(takewhile(lambda density: gaps[density][1] >= -MATCHING, levels))  # noqa: B023
        failing = [density for density in levels if gaps[density][2] < -MATCHING]
        least = f"{matching[-1]:.3g}" if matching else "no density"
        claims.append(
            Claim(
                task=task, claim=f"{name} matches its dense network to some density, then fails",
                holds=None if len(mine) < SEEDS else True if matching and failing
                else False if levels[0] in failing else None,
                evidence=f"dense {show(interval(whole))}; within {100 * MATCHING:g} points down to {least}; at "
                         f"{levels[-1]:.3g}: {show(gaps[levels[-1]])}",
            )
        )  # fmt: skip
    return claims


def rewinding_helps(task: str, rows: Sequence[Row]) -> list[Claim]:
    """The sparsest ticket rewound to t_r > 0 against that rewound to 0, all else alike; paired over seeds."""
    claims = []
    late = [row for row in rows if row.point["method"] == "imp" and row.point["options"].get("rewind", 0) > 0]
    for mine in grouped(late).values():
        point = mine[0].point
        first = [
            row
            for row in rows
            if {**row.point, "options": {**row.point["options"], "rewind": 0}}
            == {**point, "options": {**point["options"], "rewind": 0}}
            and not row.point["options"].get("rewind")
        ]
        ours, theirs = (_by_seed(one, "tuned", "accuracy") for one in (mine, first))
        if ours and ours.keys() == theirs.keys():
            gap = _gap(ours, theirs)
            claims.append(
                Claim(task=task, claim=f"IMP at density {point['density']:g} is better rewound to step "
                                       f"{point['options']['rewind']} than to 0",
                      holds=_above(gap, len(ours)), evidence=f"paired {show(gap)}")
            )  # fmt: skip
    return claims


def ensembles_calibrate(task: str, rows: Sequence[Row]) -> list[Claim]:
    """ECE, NLL, AUROC and accuracy of the robust ensemble against a plain one and single tickets, paired over seeds."""
    claims = []
    robust = [row for row in rows if row.point["method"] == "dro-ensemble"]
    for rival in ("plain-ensemble", "edge-popup"):
        for ours, theirs in _rivals(robust, [row for row in rows if row.point["method"] == rival]):
            density = ours[0].point["density"]
            for measure, better, percent in (("ece", -1, True), ("nll", -1, False), ("auroc", 1, False),
                                             ("accuracy", 1, True)):  # fmt: skip
                mine, other = (_by_seed(one, "found", measure) for one in (ours, theirs))
                if not mine or mine.keys() != other.keys():
                    continue
                gap = _gap(mine, other)
                what = "is as accurate as" if measure == "accuracy" else f"has better {measure.upper()} than"
                ends = sorted(better * one for one in gap[1:])
                holds = _above(
                    (better * gap[0], ends[0], ends[1]), len(mine), -MATCHING if measure == "accuracy" else 0
                )
                digits = 2 if percent else 3
                shown = [show(interval(list(one.values())), percent=percent, digits=digits) for one in (mine, other)]
                claims.append(
                    Claim(task=task, claim=f"robust ensemble {what} {rival} at density {density:g}", holds=holds,
                          evidence=f"{shown[0]} against {shown[1]}; paired {show(gap, percent=percent, digits=digits)}")
                )  # fmt: skip
    return claims


def _rivals(ours: Sequence[Row], theirs: Sequence[Row]) -> list[tuple[list[Row], list[Row]]]:
    """Settings of one density and budget, pairwise, the densest first."""
    return [
        (mine, other)
        for (_, density), mine in sorted(grouped(ours).items(), key=lambda pair: -pair[0][1])
        for (_, same), other in grouped(theirs).items()
        if density == same and all(mine[0].point[key] == other[0].point[key] for key in BUDGET)
    ]


def _by_seed(rows: Sequence[Row], stage: str, measure: str) -> dict[int, float]:
    found = {
        row.seed: row.result["stages"].get(stage, {}).get(measure) for row in sorted(rows, key=lambda row: row.seed)
    }
    return {seed: float(value) for seed, value in found.items() if value is not None}


def _gap(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Interval:
    return difference(list(ours.values()), [theirs[seed] for seed in ours])


def _above(gap: Interval, seeds: int, least: float = 0.0) -> bool | None:
    """Whether a difference is above ``least`` with its whole interval (True), below it (False), or neither."""
    if seeds < SEEDS:
        return None
    return True if gap[1] > least else False if gap[2] < least else None


def _found(rows: Sequence[Row]) -> Interval:
    return interval(values(rows, "found", "accuracy"))


def _density(rows: Sequence[Row]) -> float:
    """Measured, the mean over seeds."""
    return sum(float(row.result["density"]) for row in rows) / len(rows)
