"""Tables and figures of a comparison of methods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from slth import figures
from slth.experiments.analysis.intervals import Interval, format_interval, in_percent, interval
from slth.experiments.analysis.published import published_accuracy
from slth.experiments.contest.judge import MEASURES, STAGES
from slth.experiments.engine.spec import canonical
from slth.experiments.engine.study import Row
from slth.report import Section

# A reliability diagram shows at most so many methods; the lines of more cannot be told apart.
MOST_RELIABILITY_CURVES = 6

# (label of a method, density asked for) → the rows of one setting, which differ in the seed.
Groups = dict[tuple[str, float], list[Row]]


def sections(rows: Sequence[Row]) -> list[Section]:
    """The tables and figures of each task (data set and architecture) in the rows."""
    tasks: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        tasks[row.point["data"], row.point["arch"]].append(row)
    return [section for (data, arch), mine in tasks.items() for section in _task(f"{arch} on {data}", mine)]


def label(row: Row) -> str:
    """The name of a row's method, with its options."""
    shown = [f"{name} {value}" for name, value in row.point["options"].items()]
    return str(row.point["method"]) + (f" ({', '.join(shown)})" if shown else "")


def by_method(rows: Iterable[Row]) -> Groups:
    """Rows by method and density asked for.

    The rows of a group differ in the seed alone. Where two settings share the method, its options and the density, the
    label also says what else sets them apart.
    """
    settings: dict[tuple[str, float], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        settings[label(row), row.point["density"]][canonical(dict(row.point))].append(row)
    groups: Groups = {}
    for (name, density), several in settings.items():
        points = [mine[0].point for mine in several.values()]
        apart = [key for key in points[0] if any(point.get(key) != points[0][key] for point in points)]
        for mine in several.values():
            groups[name + "".join(f", {key} {mine[0].point.get(key)}" for key in apart), density] = mine
    return groups


def values(rows: Sequence[Row], stage: str, measure: str) -> list[float]:
    """A measure of a stage, in the order of the seeds.

    Args:
        rows: of one setting. Rows that lack the measure are left out.
        stage: a name in :data:`slth.experiments.contest.judge.STAGES`.
        measure: a name in :data:`slth.experiments.contest.judge.MEASURES`.

    Returns:
        One number for each row that has it.
    """
    found = []
    for row in sorted(rows, key=lambda row: row.seed):
        value = row.result["stages"].get(stage, {}).get(measure)
        if value is not None:
            found.append(float(value))
    return found


def curves(rows: Sequence[Row], stage: str) -> dict[str, dict[float, Interval]]:
    """Accuracy against measured density, a curve for each method whose tickets have a stage.

    Args:
        rows: of one task.
        stage: a name in :data:`slth.experiments.contest.judge.STAGES`.

    Returns:
        Label → density → accuracy with its interval. If a search passes through other densities (``levels``), its
        curve has them too. Dense training has no curve.
    """
    lines: dict[str, dict[float, Interval]] = defaultdict(dict)
    for (name, _), mine in by_method(rows).items():
        if mine[0].point["method"] == "dense":
            continue
        levels: dict[float, list[float]] = defaultdict(list)
        if stage == "tuned":
            for row in mine:
                for density, accuracy in row.result.get("levels", ()):
                    levels[density].append(accuracy)
        found = values(mine, stage, "accuracy")
        if levels:
            lines[name] |= {density: interval(scores) for density, scores in levels.items()}
        elif found:
            lines[name][_mean(mine, lambda row: row.result["density"])] = interval(found)
    return dict(lines)


def _task(name: str, rows: Sequence[Row]) -> list[Section]:
    dense = values([row for row in rows if row.point["method"] == "dense"], "found", "accuracy")
    reference = interval(dense) if dense else None
    found = [_scores(name, rows)]
    for stage in ("found", "tuned"):
        lines = curves(rows, stage)
        if lines:
            found.append(
                Section(
                    f"{name}: accuracy against density, {STAGES[stage]}",
                    figure=figures.accuracy_against_density(lines, dense=reference),
                    caption=f"Test accuracy of tickets {STAGES[stage]} against density; 95 % bootstrap intervals.",
                )
            )
    checked = {
        f"{who}, {density:g}: {STAGES[stage]}": interval(values(mine, stage, "accuracy"))
        for (who, density), mine in by_method(rows).items() if any("shuffled" in row.result["stages"] for row in mine)
        for stage in STAGES if values(mine, stage, "accuracy")
    }  # fmt: skip
    if checked:
        found.append(
            Section(
                f"{name}: sanity checks",
                "A mask that means something loses when it is shuffled within layers, or put on other weights.",
                figure=figures.intervals(
                    {who: in_percent(value) for who, value in checked.items()},
                    quantity="test accuracy (%)",
                ),
                caption="Accuracy after fine-tuning of the ticket and of what it must be told apart from.",
            )
        )
    found += [_calibration(name, rows), *_cost(name, rows), *_published(name, rows)]
    return found


def _scores(name: str, rows: Sequence[Row]) -> Section:
    lines = []
    for (who, density), mine in sorted(by_method(rows).items()):
        stages = mine[0].result["stages"]
        for stage in STAGES:
            accuracy = values(mine, stage, "accuracy")
            if stage in stages:
                shown = format_interval(interval(accuracy)) if accuracy else stages[stage].get("error", "–")
                lines.append((
                    who, f"{density:g}", f"{_mean(mine, lambda row: row.result['density']):.4g}", STAGES[stage],
                    shown, str(len(accuracy)),
                    "yes" if stage == "found" and all(row.result["untouched"] for row in mine) else "",
                ))  # fmt: skip
    header = ("method", "density asked", "density", "stage", "test accuracy", "seeds", "weights untouched")
    return Section(f"{name}: accuracy", header=header, rows=lines)


def _calibration(name: str, rows: Sequence[Row]) -> Section:
    lines: list[tuple[str, ...]] = []
    tables: dict[str, Any] = {}
    for (who, density), mine in sorted(by_method(rows).items()):
        stage = "tuned" if values(mine, "tuned", "accuracy") else "found"
        cells = []
        for measure, (_, percent) in MEASURES.items():
            got = values(mine, stage, measure)
            cells.append(format_interval(interval(got), percent=percent, digits=2 if percent else 3) if got else "–")
        harmed = [one for row in mine for one in row.result["stages"][stage].get("corrupted", {}).values()]
        cells.append(f"{100 * sum(harmed) / len(harmed):.2f} %" if harmed else "–")
        lines.append((who, f"{density:g}", STAGES[stage], *cells))
        table = mine[0].result["stages"][stage].get("reliability")
        if table and len(tables) < MOST_RELIABILITY_CURVES:
            tables[f"{who}, {density:g}"] = table
    header = ("method", "density asked", "stage", *(shown for shown, _ in MEASURES.values()), "accuracy, corrupted")
    return Section(
        f"{name}: calibration",
        header=header, rows=lines, figure=figures.reliability(tables) if tables else None,
        caption=f"Reliability of the first seed; at most {MOST_RELIABILITY_CURVES} methods are drawn.",
    )  # fmt: skip


def _cost(name: str, rows: Sequence[Row]) -> list[Section]:
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    clocks: dict[str, list[tuple[float, float]]] = defaultdict(list)
    lines = []
    for (who, density), mine in sorted(by_method(rows).items()):
        stage = "tuned" if values(mine, "tuned", "accuracy") else "found"
        scores = values(mine, stage, "accuracy")
        epochs = _mean(mine, lambda row: row.result["epochs"])
        tuned = _mean(mine, lambda row: row.result.get("tuned_epochs", 0))
        seconds = interval([row.result["seconds"] for row in mine])
        lines.append((
            who, f"{density:g}", f"{epochs:.1f}", f"{tuned:g}", format_interval(seconds, percent=False, digits=1),
            format_interval(interval(scores)) if scores else "–",
        ))  # fmt: skip
        if scores and epochs > 0:
            points[who].append((epochs + tuned, sum(scores) / len(scores)))
            clocks[who].append((seconds[0], sum(scores) / len(scores)))
    header = ("method", "density asked", "epochs of the search", "epochs after", "seconds of the search", "accuracy")
    section = Section(
        f"{name}: what the search costs",
        "Epochs are passes over the training images, all levels and members included; seconds are of one thread where "
        "a study runs several workers.",
        header=header, rows=lines,
        figure=figures.search_cost(points, unit="epochs, search and fine-tuning") if points else None,
        caption="Accuracy against epochs, one mark a density.",
    )  # fmt: skip
    if not points:
        return [section] if lines else []
    return [
        section,
        Section(
            f"{name}: accuracy against seconds of search",
            figure=figures.search_cost(clocks, unit="seconds of search, this machine"),
            caption="Accuracy against the wall time of the search alone, one mark a density.",
        ),
    ]


def _published(name: str, rows: Sequence[Row]) -> list[Section]:
    """Published accuracies beside ours, where the setting is the same."""
    lines = []
    for (who, _), mine in sorted(by_method(rows).items()):
        first = mine[0].point
        for stage in ("found", "tuned"):
            density = _mean(mine, lambda row: row.result["density"])
            theirs = published_accuracy(first["arch"], first["data"], first["method"], stage, density)
            ours = values(mine, stage, "accuracy")
            if theirs is not None and ours:
                setting = f"{first['epochs']} epochs, {first['finetune']} after; {first['examples'] or 'all'} images"
                lines.append((
                    who, f"{density:.4g}", STAGES[stage], f"{100 * theirs.accuracy:.2f} %",
                    f"{theirs.source}: {theirs.setting}", format_interval(interval(ours)), setting,
                ))  # fmt: skip
    header = ("method", "density", "stage", "published", "their setting", "ours", "our setting")
    return [Section(f"{name}: published figures beside ours", header=header, rows=lines)] if lines else []


def _mean(rows: Sequence[Row], of: Callable[[Row], Any]) -> float:
    return sum(float(of(row)) for row in rows) / len(rows)
