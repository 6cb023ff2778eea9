"""The published claims about trained tickets, on MNIST with LeNet-5 and Conv-2: ``python -m benchmarks.baselines``.

Each part is a study (``benchmarks/specs``) whose rows are kept in ``benchmarks/cache``, so that a second run resumes.
``--quick`` runs the smoke form of all parts on digits; otherwise MNIST is needed (see ``slth data list``). The tuning
budget is stated in the specs and beside the recipes; nothing was chosen by test data.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.claims import Claim, all_claims
from benchmarks.record import print_table, read_json, write_json
from slth import data
from slth.baselines import gem_miner
from slth.baselines.edge_popup import EdgePopup
from slth.baselines.frozen import frozen_form
from slth.baselines.gates import Gated
from slth.baselines.gem_miner import GemMiner
from slth.experiments.analysis.intervals import format_interval, interval
from slth.experiments.contest.judge import STAGES
from slth.experiments.engine.results import plot_study, report_study
from slth.experiments.engine.runner import read_study, run_study
from slth.experiments.engine.spec import load_spec
from slth.experiments.engine.study import Row
from slth.experiments.studies import diet
from slth.experiments.studies.compare_sections import by_method, values
from slth.networks import models
from slth.progress import Silent

SPECS = Path(__file__).parent / "specs"
CACHE = Path(__file__).parent / "cache"
PARTS = ("lenet5", "rare", "conv2", "ensembles", "diet")
# Of the timing: training steps a round, rounds, images a step.
STEPS, ROUNDS, BATCH = 12, 5, 128


def main() -> None:
    """Run the parts asked for, print their tables and claims, and write results/baselines.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smoke forms on digits, ≤ 3 minutes")
    parser.add_argument("--only", choices=(*PARTS, "planted", "cost"), help="one part")
    parser.add_argument("--workers", type=int, help="processes; default: one a core")
    asked = parser.parse_args()
    # The quick form neither reads nor replaces the results of the full one.
    results: dict[str, Any] = {} if asked.quick else read_json("baselines")
    results.pop("environment", None)
    for part in (*PARTS, "planted"):
        if asked.only in (None, part):
            results[part] = run_part(part, quick=asked.quick, workers=asked.workers)
    if asked.only in (None, "cost"):
        results["cost"] = {arch: step_times(arch) for arch in (("digits",) if asked.quick else ("lenet5", "conv2"))}
    show_results(results)
    if not asked.quick:
        print(f"written: {write_json('baselines', results)}")


def run_part(part: str, *, quick: bool, workers: int | None) -> dict[str, Any]:
    """Run what the cache does not hold yet of one study.

    Args:
        part: its name in ``PARTS``, or ``planted``.
        quick: whether to run its smoke form.
        workers: number of processes; None for one a core.

    Returns:
        Its summary, JSON-ready.
    """
    folder = CACHE / f"baselines-{part}{'-quick' if quick else ''}"
    spec = load_spec(part if part == "planted" else str(SPECS / f"{part}.toml"))
    began = time.perf_counter()
    totals = run_study(spec.quick() if quick else spec, folder, workers=workers, progress=_Points())
    holding = read_study(folder)
    rows = [row for row in holding.rows if row.status == "done"]
    plot_study(folder)
    print(f"{part}: {totals.done} of {totals.total} rows in {time.perf_counter() - began:.0f} s; "
          f"report: {report_study(folder).relative_to(CACHE.parent)}")  # fmt: skip
    core_seconds = sum(row.seconds for row in rows)
    common = {"rows": len(rows), "failed": totals.failed, "core_seconds": core_seconds, "spec": spec.digest}
    if part == "diet":
        return {**common, "verdict": diet.verdict(rows), "table": diet.table(rows)}
    if part == "planted":
        from slth.experiments.studies import planted

        return {**common, "table": planted.table(rows)}
    if not rows:
        return common
    task = f"{rows[0].point['arch']} on {rows[0].point['data']}"
    return {**common, "task": task, "scores": scores(rows), "claims": [asdict(one) for one in all_claims(task, rows)]}


def scores(rows: list[Row]) -> list[dict[str, Any]]:
    """Mean and interval of each method, density and stage, with all epochs up to that stage."""
    found = []
    for (name, density), mine in sorted(by_method(rows).items()):
        for stage in STAGES:
            got = values(mine, stage, "accuracy")
            if got:
                found.append({
                    "method": name, "asked": density, "stage": stage, "accuracy": interval(got), "seeds": len(got),
                    "density": sum(row.result["density"] for row in mine) / len(mine),
                    "ece": interval(values(mine, stage, "ece")), "nll": interval(values(mine, stage, "nll")),
                    "epochs": sum(row.result["epochs"] + row.result.get("tuned_epochs", 0) * (stage != "found")
                                  for row in mine) / len(mine),
                    "seconds": interval([row.result["seconds"] for row in mine]),
                })  # fmt: skip
    return found


def step_times(arch: str) -> dict[str, float]:
    """The CPU time of a training step of each score method, relative to a dense step.

    A step includes all that the method adds to it: penalties, projection, steering. Times are medians of alternating
    rounds on one thread.
    """
    torch.set_num_threads(1)
    shape = models.ARCHITECTURES[arch].input_shape
    split = data.load("digits" if arch == "digits" else "mnist", "train")[:BATCH]
    dense = models.build(arch, shape=shape, classes=10)
    rivals: dict[str, nn.Module] = {"dense": dense, "dense, frozen form": _trainable(frozen_form(dense, seed=0))}
    makers: dict[str, Callable[[nn.Module], nn.Module]] = {
        "edge-popup": lambda net: EdgePopup(net, density=0.5), "gem-miner": GemMiner, "gates": Gated,
        "gates of channels": lambda net: Gated(net, structure="channel"),
    }  # fmt: skip
    rivals |= {name: make(frozen_form(dense, seed=0)) for name, make in makers.items()}
    optimisers = {name: torch.optim.SGD([p for p in one.parameters() if p.requires_grad], 0.01, momentum=0.9)
                  for name, one in rivals.items()}  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(ROUNDS + 1):
        for name, model in rivals.items():
            model.train()
            began = time.process_time()
            for _ in range(STEPS):
                optimisers[name].zero_grad()
                loss = nn.functional.cross_entropy(model(split.images), split.labels)
                if isinstance(model, GemMiner):
                    loss = loss + gem_miner.PENALTY * model.penalty()
                if isinstance(model, Gated):
                    loss = loss + model.strength * model.penalty()
                loss.backward()
                optimisers[name].step()
                if isinstance(model, GemMiner):
                    model.project()
                if isinstance(model, Gated):
                    with torch.no_grad():
                        model.steer(0.5)
            if turn:  # the first round warms caches and allocators
                times[name].append((time.process_time() - began) / STEPS)
    medians = {name: sorted(one)[len(one) // 2] for name, one in times.items()}
    return {"seconds": medians["dense"], **{name: one / medians["dense"] for name, one in medians.items()}}


def show_results(results: dict[str, Any]) -> None:
    """Print the results as tables."""
    for part in (one for one in PARTS if one in results and "scores" in results[one]):
        lines = [
            (one["method"], f"{one['asked']:g}", f"{one['density']:.4g}", STAGES[one["stage"]],
             format_interval(tuple(one["accuracy"])), f"{100 * one['ece'][0]:.2f} %", f"{one['epochs']:.0f}",
             f"{one['seconds'][0]:.0f}")
            for one in results[part]["scores"]
        ]  # fmt: skip
        header = ("method", "asked", "density", "stage", "accuracy", "ECE", "epochs", "seconds")
        print_table(results[part]["task"], header, lines)
        verdicts = {True: "holds", False: "does not hold", None: "not decided"}
        claims = [Claim(**one) for one in results[part]["claims"]]
        print_table(
            "Claims", ("claim", "verdict", "evidence"), [(c.claim, verdicts[c.holds], c.evidence) for c in claims]
        )
    for part in ("diet", "planted"):
        if part in results:
            table = results[part]["table"]
            print_table(part, table["header"], table["rows"])
            print(results[part].get("verdict", ""))
    for arch, one in results.get("cost", {}).items():
        ratios = [(name, f"{ratio:.2f}×") for name, ratio in one.items() if name != "seconds"]
        print_table(f"A step of {BATCH} images, {arch}: over a dense step ({1000 * one['seconds']:.1f} ms)",
                    ("method", "ratio"), ratios)  # fmt: skip


def _trainable(network: nn.Module) -> nn.Module:
    return network.requires_grad_(True)


class _Points(Silent):
    """Prints a line for each point that ends."""

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        if facts["event"] == "point":
            point = facts["point"]
            name = point.get("method", point.get("kind", ""))
            print(f"[{facts['done'] + facts['failed']}/{facts['total']}] {name} density {point.get('density', '')} "
                  f"seed {facts['seed']}: {facts['status']}, {facts['seconds']:.1f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
