"""The command ``slth proofs``: the lemma checks, as ``python -m proofs_check`` runs them."""

from __future__ import annotations

from typing import Annotated

import typer

from slth.cli.show import Json


def proofs(
    only: Annotated[str | None, typer.Option(help="Only lemmas whose name or file contains this.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer cases and trials: under 40 seconds.")] = False,
    as_json: Json = False,
) -> None:
    """Check every lemma slth relies on, each beside a false variant that must be rejected."""
    from proofs_check.run import run_and_print

    raise typer.Exit(run_and_print(only, quick=quick, as_json=as_json))
