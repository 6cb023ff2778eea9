"""What the rows of the baselines benchmark say of each published claim: pure functions, verdicts never hard-coded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slth.experiments.compare_sections import grouped, values
from slth.experiments.intervals import difference, interval, show
from slth.experiments.study import Row

# A ticket matches the dense network when it loses at most half a point of accuracy.
MATCHING = 0.005


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim on one task. holds: True, False, or None when the rows do not decide it."""

    task: str
    claim: str
    holds: bool | None
    evidence: str


def all_claims(task: str, rows: Sequence[Row]) -> list[Claim]:
    """The claims that the rows of one comparison say something about."""
    makers = (edge_popup_finds, gem_miner_wins, gates_are_sparser, sanity_matters, imp_matches, ensembles_calibrate)
    return [claim for make in makers for claim in make(task, rows)]


def of(rows: Sequence[Row], method: str, **options: Any) -> list[Row]:
    """Rows of a method with exactly these options."""
    return [row for row in rows if row.point["method"] == method and row.point["options"] == options]


def edge_popup_finds(task: str, rows: Sequence[Row]) -> list[Claim]:
    """Density 0.5, at most 5 epochs, 95 % of the test images, no weight touched."""
    mine = [row for row in of(rows, "edge-popup") if row.point["density"] == 0.5 and row.point["epochs"] <= 5]
    if not mine:
        return []
    found = interval(values(mine, "found", "accuracy"))
    untouched = all(row.result["untouched"] for row in mine)
    return [
        Claim(
            task=task, claim="edge-popup: ≥ 95 % at density 0.5 in ≤ 5 epochs, weights untouched",
            holds=found[1] >= 0.95 and untouched,
            evidence=f"{show(found)} after {mine[0].point['epochs']} epochs of "
                     f"{mine[0].point['examples'] or 'all'} images; hashes {'equal' if untouched else 'DIFFER'}",
        )
    ]  # fmt: skip


def gem_miner_wins(task: str, rows: Sequence[Row]) -> list[Claim]:
    """At each density ≤ 0.05 that both were run at, before and after fine-tuning; intervals apart or not."""
    claims = []
    densities = {row.point["density"] for row in of(rows, "gem-miner")} & {
        row.point["density"] for row in of(rows, "edge-popup")
    }
    for density in sorted((one for one in densities if one <= 0.05), reverse=True):
        pair = [[row for row in of(rows, name) if row.point["density"] == density and row.point["finetune"]]
                for name in ("gem-miner", "edge-popup")]  # fmt: skip
        for stage, when in (("found", "before"), ("tuned", "after")):
            scores = [values(mine, stage, "accuracy") for mine in pair]
            if not all(scores):
                continue
            gem, popup = (interval(one) for one in scores)
            kept = [sum(row.result["density"] for row in mine) / len(mine) for mine in pair]
            claims.append(
                Claim(
                    task=task, claim=f"Gem-Miner beats edge-popup at density {density:g}, {when} fine-tuning",
                    holds=True if gem[1] > popup[2] else False if gem[2] < popup[1] else None,
                    evidence=f"Gem-Miner {show(gem)} (keeps {kept[0]:.4f}), edge-popup {show(popup)} "
                             f"(keeps {kept[1]:.4f})",
                )
            )  # fmt: skip
    return claims


def gates_are_sparser(task: str, rows: Sequence[Row]) -> list[Claim]:
    """For each accuracy that edge-popup reaches at a density, the least density at which gates reach it."""
    claims = []
    popup = _curve(of(rows, "edge-popup"))
    for structure in ("weight", "filter", "channel"):
        options = {} if structure == "weight" else {"structure": structure}
        gated = _curve(of(rows, "gates", **options))
        if not gated or not popup:
            continue
        lines, wins = [], []
        for density, accuracy in popup:
            enough = [at for at, score in gated if score >= accuracy]
            shown = f"{min(enough):.3g}" if enough else "none"
            lines.append(f"{accuracy:.1%}: edge-popup {density:.3g}, gates {shown}")
            wins.append(bool(enough) and min(enough) < density)
        claims.append(
            Claim(task=task, claim=f"gates of {structure}s reach lower density than edge-popup at equal accuracy",
                  holds=True if all(wins) else False if not any(wins) else None, evidence="; ".join(lines))
        )  # fmt: skip
    return claims


def sanity_matters(task: str, rows: Sequence[Row]) -> list[Claim]:
    """What Gem-Miner's ticket loses when shuffled, redrawn, or replaced by a random one; paired over seeds."""
    claims = []
    for (_, density), mine in sorted(grouped(of(rows, "gem-miner")).items()):
        checked = [row for row in mine if "shuffled" in row.result["stages"]]
        tuned = values(checked, "tuned", "accuracy")
        for stage, what in (("shuffled", "its mask shuffled"), ("redrawn", "its weights redrawn"),
                            ("smart", "a random ticket with smart ratios")):  # fmt: skip
            other = values(checked, stage, "accuracy")
            if len(other) == len(tuned) > 0:
                gap = difference(tuned, other)
                claims.append(
                    Claim(task=task, claim=f"Gem-Miner's ticket at density {density:g} is worth more than {what}",
                          holds=True if gap[1] > 0 else False if gap[2] < 0 else None,
                          evidence=f"{show(interval(tuned))} against {show(interval(other))}; paired {show(gap)}")
                )  # fmt: skip
    return claims


def imp_matches(task: str, rows: Sequence[Row]) -> list[Claim]:
    """Down to which density iterative pruning matches its own dense level, for each rewind step."""
    claims = []
    runs: dict[int, list[Row]] = {}
    for row in rows:
        if row.point["method"] == "imp":
            runs.setdefault(row.point["options"].get("rewind", 0), []).append(row)
    for rewind, mine in sorted(runs.items()):
        levels = {density for row in mine for density, _ in row.result["levels"]}
        scores = {
            density: [dict(map(tuple, row.result["levels"]))[density] for row in mine]
            for density in levels if all(density in dict(map(tuple, row.result["levels"])) for row in mine)
        }  # fmt: skip
        dense = scores.pop(1.0, None)
        if not dense or not scores:
            continue
        gaps = {density: difference(got, dense) for density, got in scores.items()}
        matching = [density for density, gap in gaps.items() if gap[0] >= -MATCHING]
        failing = [density for density, gap in gaps.items() if gap[2] < -MATCHING]
        least = min(matching) if matching else None
        worst = min(gaps)
        claims.append(
            Claim(
                task=task, claim=f"IMP rewound to step {rewind} matches its dense network to some density, then fails",
                holds=bool(matching and failing),
                evidence=f"dense {show(interval(dense))}; within {100 * MATCHING:g} points down to "
                         f"{'no density' if least is None else f'{least:.3g}'}; at {worst:.3g}: {show(gaps[worst])}",
            )
        )  # fmt: skip
    return claims


def ensembles_calibrate(task: str, rows: Sequence[Row]) -> list[Claim]:
    """ECE, NLL, AUROC and accuracy of the robust ensemble against a plain one and single tickets, paired over seeds."""
    claims = []
    robust = [row for row in rows if row.point["method"] == "dro-ensemble"]
    for density in sorted({row.point["density"] for row in robust}):
        ours = [row for row in robust if row.point["density"] == density]
        for rival in ("plain-ensemble", "edge-popup"):
            theirs = [row for row in rows if row.point["method"] == rival and row.point["density"] == density
                      and row.point["epochs"] == ours[0].point["epochs"]]  # fmt: skip
            for measure, better, percent in (("ece", -1, True), ("nll", -1, False), ("auroc", 1, False),
                                             ("accuracy", 1, True)):  # fmt: skip
                pair = [values(one, "found", measure) for one in (ours, theirs)]
                if len(pair[0]) != len(pair[1]) or not pair[0]:
                    continue
                gap = difference(*pair)
                signed = sorted(better * one for one in gap[1:])
                what = "is as accurate as" if measure == "accuracy" else f"has better {measure.upper()} than"
                holds = True if signed[0] > 0 else False if signed[1] < 0 else None
                if measure == "accuracy":
                    holds = gap[1] >= -MATCHING or (None if gap[2] >= -MATCHING else False)
                digits = 2 if percent else 3
                claims.append(
                    Claim(task=task, claim=f"robust ensemble {what} {rival} at density {density:g}", holds=holds,
                          evidence=f"{show(interval(pair[0]), percent=percent, digits=digits)} against "
                                   f"{show(interval(pair[1]), percent=percent, digits=digits)}; paired "
                                   f"{show(gap, percent=percent, digits=digits)}")
                )  # fmt: skip
    return claims


def _curve(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """(measured density, mean accuracy as found), sparsest first."""
    points = []
    for mine in grouped(rows).values():
        scores = values(mine, "found", "accuracy")
        if scores:
            points.append((sum(row.result["density"] for row in mine) / len(mine), sum(scores) / len(scores)))
    return sorted(points)
