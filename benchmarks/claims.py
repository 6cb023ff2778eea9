"""Verdicts on published claims, each a function of the rows of the baselines benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from benchmarks.pairing import (
    FEWEST_SEEDS,
    by_seed,
    found_accuracy,
    lies_above,
    measured_density,
    paired_gap,
    rivals,
    rows_of,
)  # fmt: skip
from slth.experiments.analysis.intervals import format_interval, interval, paired_difference
from slth.experiments.engine.study import Row
from slth.experiments.studies.compare_sections import by_method, values

# A ticket matches the dense network if it loses at most half a point of accuracy.
MATCHING = 0.005


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim on one task.

    Attributes:
        task: architecture and data set.
        claim: in words.
        holds: True, False, or None if the rows do not decide it.
        evidence: the numbers behind the verdict, in words.
    """

    task: str
    claim: str
    holds: bool | None
    evidence: str


def all_claims(task: str, rows: Sequence[Row]) -> list[Claim]:
    """Verdicts on every claim that the rows say something about.

    Args:
        task: architecture and data set of the rows.
        rows: finished ones of one comparison.

    Returns:
        The verdicts; none for a claim whose methods were not run.
    """
    makers = (edge_popup_finds, gem_miner_wins, gates_are_sparser, sanity_matters, imp_matches, rewinding_helps,
              ensembles_calibrate)  # fmt: skip
    return [claim for make in makers for claim in make(task, rows)]


def edge_popup_finds(task: str, rows: Sequence[Row]) -> list[Claim]:
    """Edge-popup reaches 95 % at density 0.5 in at most 5 epochs, without touching a weight.

    Args:
        task: architecture and data set of the rows.
        rows: finished ones of one comparison.

    Returns:
        A verdict for each setting.
    """
    asked = [row for row in rows_of(rows, "edge-popup") if row.point["density"] == 0.5 and row.point["epochs"] <= 5]
    claims = []
    for mine in by_method(asked).values():
        found = interval(values(mine, "found", "accuracy"))
        untouched = all(row.result["untouched"] for row in mine)
        claims.append(
            Claim(
                task=task, claim="edge-popup: ≥ 95 % at density 0.5 in ≤ 5 epochs, weights untouched",
                holds=found[1] >= 0.95 and untouched if len(mine) >= FEWEST_SEEDS else None,
                evidence=f"{format_interval(found)} after {mine[0].point['epochs']} epochs of "
                         f"{mine[0].point['examples'] or 'all'} images; hashes {'equal' if untouched else 'DIFFER'}",
            )
        )  # fmt: skip
    return claims


def gem_miner_wins(task: str, rows: Sequence[Row]) -> list[Claim]:
    """Gem-Miner beats edge-popup at each density ≤ 0.05 at which both were run with one budget.

    It does if their intervals lie apart, before or after fine-tuning.

    Args:
        task: architecture and data set of the rows.
        rows: finished ones of one comparison.

    Returns:
        Verdicts before and after fine-tuning, for each density.
    """
    claims = []
    for mine, theirs in rivals(rows_of(rows, "gem-miner"), rows_of(rows, "edge-popup")):
        density = mine[0].point["density"]
        if density > 0.05 or not mine[0].point["finetune"]:
            continue
        for stage, when in (("found", "before"), ("tuned", "after")):
            scores = [values(one, stage, "accuracy") for one in (mine, theirs)]
            if not all(scores):
                continue
            gem, popup = (interval(one) for one in scores)
            kept = [measured_density(one) for one in (mine, theirs)]
            # Where a seed has no score (a layer collapsed), the others alone decide nothing.
            whole = all(len(got) == len(one) >= FEWEST_SEEDS for got, one in zip(scores, (mine, theirs), strict=True))
            claims.append(
                Claim(
                    task=task, claim=f"Gem-Miner beats edge-popup at density {density:g}, {when} fine-tuning",
                    holds=None if not whole else True if gem[1] > popup[2] else False if gem[2] < popup[1] else None,
                    evidence=f"Gem-Miner {format_interval(gem)} (keeps {kept[0]:.4f}), "
                             f"edge-popup {format_interval(popup)} (keeps {kept[1]:.4f})",
                )
            )  # fmt: skip
    return claims


def gates_are_sparser(task: str, rows: Sequence[Row]) -> list[Claim]:
    """Gates trained for as many epochs keep fewer weights than edge-popup and are as accurate.

    They are as accurate as a ticket of edge-popup if the whole interval of one of their sparser tickets lies above it;
    they are not if the intervals of all of them lie below. Tickets without a sparser one beside them do not count.

    Args:
        task: architecture and data set of the rows.
        rows: finished ones of one comparison.

    Returns:
        A verdict for each structure of gates.
    """
    claims = []
    popup = by_method(rows_of(rows, "edge-popup")).values()
    for structure in ("weight", "filter", "channel"):
        gated = by_method(
            rows_of(rows, "gates", **({} if structure == "weight" else {"structure": structure}))
        ).values()
        lines, wins = [], []
        for theirs in sorted(popup, key=measured_density):
            sparser = [mine for mine in gated if measured_density(mine) < measured_density(theirs)
                       and mine[0].point["epochs"] == theirs[0].point["epochs"]]  # fmt: skip
            if not sparser:
                continue
            score, scores = found_accuracy(theirs), [found_accuracy(mine) for mine in sparser]
            best, at = max((found_accuracy(mine)[0], measured_density(mine)) for mine in sparser)
            lines.append(f"{score[0]:.1%} at {measured_density(theirs):.3g}: gates {best:.1%} at {at:.3g}")
            enough = all(len(mine) >= FEWEST_SEEDS for mine in (theirs, *sparser))
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
    """Gem-Miner's ticket is worth more than a shuffled, a redrawn and a random one, paired over seeds.

    Args:
        task: architecture and data set of the rows.
        rows: finished ones of one comparison.

    Returns:
        A verdict for each density and sanity check.
    """
    claims = []
    for (_, density), mine in sorted(by_method(rows_of(rows, "gem-miner")).items()):
        tuned = by_seed(mine, "tuned", "accuracy")
        for stage, what in (("shuffled", "its mask shuffled"), ("redrawn", "its weights redrawn"),
                            ("smart", "a random ticket with smart ratios")):  # fmt: skip
            other = by_seed(mine, stage, "accuracy")
            if other and tuned.keys() == other.keys():
                gap = paired_gap(tuned, other)
                claims.append(
                    Claim(task=task, claim=f"Gem-Miner's ticket at density {density:g} is worth more than {what}",
                          holds=lies_above(gap, len(tuned)),
                          evidence=f"{format_interval(interval(list(tuned.values())))} against "
                                   f"{format_interval(interval(list(other.values())))}; paired {format_interval(gap)}")
                )  # fmt: skip
    return claims


def imp_matches(task: str, rows: Sequence[Row]) -> list[Claim]:
    """Each way of iterative pruning matches its own dense level down to some density, and fails below.

    A level matches if the whole interval of its paired loss lies within ``MATCHING``, and fails if all of it lies
    outside.

    Args:
        task: architecture and data set of the rows.
        rows: finished ones of one comparison.

    Returns:
        A verdict for each way.
    """
    claims = []
    for (name, _), mine in sorted(by_method(row for row in rows if row.point["method"] == "imp").items()):
        curves = [dict(map(tuple, row.result["levels"])) for row in mine]
        dense, *levels = sorted(set.intersection(*(set(curve) for curve in curves)), reverse=True)
        if dense != 1 or not levels:
            continue
        whole = [curve[dense] for curve in curves]
        gaps = {density: paired_difference([curve[density] for curve in curves], whole) for density in levels}
        matching = list(takewhile(lambda density: gaps[density][1] >= -MATCHING, levels))  # noqa: B023
        failing = [density for density in levels if gaps[density][2] < -MATCHING]
        least = f"{matching[-1]:.3g}" if matching else "no density"
        claims.append(
            Claim(
                task=task, claim=f"{name} matches its dense network to some density, then fails",
                holds=None if len(mine) < FEWEST_SEEDS else True if matching and failing
                else False if levels[0] in failing else None,
                evidence=f"dense {format_interval(interval(whole))}; within {100 * MATCHING:g} points down to {least}; "
                         f"at {levels[-1]:.3g}: {format_interval(gaps[levels[-1]])}",
            )
        )  # fmt: skip
    return claims


def rewinding_helps(task: str, rows: Sequence[Row]) -> list[Claim]:
    """The sparsest ticket is better rewound to t_r > 0 than to 0, with all else alike, paired over seeds.

    Args:
        task: architecture and data set of the rows.
        rows: finished ones of one comparison.

    Returns:
        A verdict for each t_r.
    """
    claims = []
    late = [row for row in rows if row.point["method"] == "imp" and row.point["options"].get("rewind", 0) > 0]
    for mine in by_method(late).values():
        point = mine[0].point
        first = [
            row
            for row in rows
            if {**row.point, "options": {**row.point["options"], "rewind": 0}}
            == {**point, "options": {**point["options"], "rewind": 0}}
            and not row.point["options"].get("rewind")
        ]
        ours, theirs = (by_seed(one, "tuned", "accuracy") for one in (mine, first))
        if ours and ours.keys() == theirs.keys():
            gap = paired_gap(ours, theirs)
            claims.append(
                Claim(task=task, claim=f"IMP at density {point['density']:g} is better rewound to step "
                                       f"{point['options']['rewind']} than to 0",
                      holds=lies_above(gap, len(ours)), evidence=f"paired {format_interval(gap)}")
            )  # fmt: skip
    return claims


def ensembles_calibrate(task: str, rows: Sequence[Row]) -> list[Claim]:
    """The robust ensemble has better ECE, NLL and AUROC than a plain one and than single tickets, and is as accurate.

    Args:
        task: architecture and data set of the rows.
        rows: finished ones of one comparison.

    Returns:
        A verdict for each rival, density and measure, paired over seeds.
    """
    claims = []
    robust = [row for row in rows if row.point["method"] == "dro-ensemble"]
    for rival in ("plain-ensemble", "edge-popup"):
        for ours, theirs in rivals(robust, [row for row in rows if row.point["method"] == rival]):
            density = ours[0].point["density"]
            for measure, better, percent in (("ece", -1, True), ("nll", -1, False), ("auroc", 1, False),
                                             ("accuracy", 1, True)):  # fmt: skip
                mine, other = (by_seed(one, "found", measure) for one in (ours, theirs))
                if not mine or mine.keys() != other.keys():
                    continue
                gap = paired_gap(mine, other)
                what = "is as accurate as" if measure == "accuracy" else f"has better {measure.upper()} than"
                ends = sorted(better * one for one in gap[1:])
                holds = lies_above(
                    (better * gap[0], ends[0], ends[1]), len(mine), -MATCHING if measure == "accuracy" else 0
                )
                digits = 2 if percent else 3
                shown, other_shown, gap_shown = (
                    format_interval(one, percent=percent, digits=digits)
                    for one in (interval(list(mine.values())), interval(list(other.values())), gap)
                )
                claims.append(
                    Claim(task=task, claim=f"robust ensemble {what} {rival} at density {density:g}", holds=holds,
                          evidence=f"{shown} against {other_shown}; paired {gap_shown}")
                )  # fmt: skip
    return claims
