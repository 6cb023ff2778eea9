"""The command line of the lemma checks: ``slth proofs``, the same as ``python -m proofs_check``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from slth.cli.show import Json, table
from slth.errors import InputError


def proofs(
    only: Annotated[str | None, typer.Option(help="Only lemmas whose name or file contains this.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer cases and trials: under 40 seconds.")] = False,
    as_json: Json = False,
) -> None:
    """Check every lemma slth relies on, each beside a false variant that must be rejected."""
    from proofs_check.run import choose, no_match, run

    lemmas = choose(only)
    if not lemmas:
        raise InputError(no_match(only))
    verdicts = list(run(lemmas, quick=quick))
    if as_json:
        typer.echo(json.dumps({"checks": [asdict(verdict) for verdict in verdicts]}, indent=2))
    else:
        table(
            ("lemma", "kind", "verdict", "control", "margin", "seconds"),
            [
                (v.lemma, v.kind, v.verdict, v.control, v.note or f"{v.margin:.3g}", f"{v.seconds:.2f}")
                for v in verdicts
            ],
        )
    if not all(verdict.ok for verdict in verdicts):
        raise typer.Exit(1)
