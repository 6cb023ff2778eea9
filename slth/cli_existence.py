"""``slth existence``: the existence study on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from slth.show import Json, console, table


def existence(
    out: Annotated[Path, typer.Option(help="Folder for rows, summary and figures; a second run resumes.")],
    quick: Annotated[bool, typer.Option(help="D ≤ 2 only, in seconds.")] = False,
    threads: Annotated[int | None, typer.Option(help="Default: every core.")] = None,
    as_json: Json = False,
) -> None:
    """Measure how many random candidates it takes for a subset sum to exist, and set it beside the theory."""
    from slth.experiments import existence as study
    from slth.experiments import existence_fit
    from slth.files import write_whole
    from slth.report import png

    def say(line: str) -> None:
        if not as_json:
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    setting = study.QUICK if quick else study.STANDARD
    rows = study.run_study(out, setting, threads=threads, say=say)
    summary = existence_fit.summarise(rows, setting)
    write_whole(out / "summary.json", json.dumps(summary, indent=1))
    write_whole(out / "three-worlds.png", png(existence_fit.figure(summary)[0]))
    write_whole(out / "success.png", png(existence_fit.curves_figure(summary)[0]))
    if as_json:
        typer.echo(json.dumps({key: summary[key] for key in ("setting", "thresholds", "exponents")}, indent=2))
        return
    header = ("D", "ε", "exists: n_½", "E[Y] = 1", "core finds", "relax finds", "certified", "paper's form")
    table(header, [_line(one) for one in summary["thresholds"]])
    for name, fit in summary["exponents"].items():
        if fit is not None:
            typer.echo(f"{name}: n ∝ D^{_exponent(fit, 'D')} · log2(1/ε)^{_exponent(fit, 'log')} over this range")
    typer.echo(f"written: {out}/summary.json, {out}/three-worlds.png, {out}/success.png")


def _line(one: dict[str, Any]) -> tuple[str, ...]:
    proof = one["certified"] or {}
    return (
        str(one["D"]),
        f"{one['eps']:g}",
        _with_interval(one["exact"]),
        f"{one['first_moment']:.1f}",
        _with_interval(one["core"]),
        _with_interval(one["relax"]),
        str(proof.get("n", "–")),
        one["paper"]["text"],
    )


def _with_interval(value: dict[str, float] | None) -> str:
    return "not in range" if value is None else f"{value['n']:.1f} [{value['low']:.1f}, {value['high']:.1f}]"


def _exponent(fit: dict[str, Any], name: str) -> str:
    interval = fit.get(f"{name}_interval")
    return f"{fit[name]:.2f}" + ("" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]")
