"""The list of lemmas, and the one way to run them and print their verdicts.

A new lemma is a new file that defines ``LEMMA``; its name is added to :data:`FILES`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module

from proofs_check.check import Lemma, Verdict, judge

FILES = (
    "nsn_moments",
    "kernel_pruning",
    "kernel_symbolic",
    "homogeneity",
    "propagation",
    "network_propagation",
    "first_moment",
    "overlap_distribution",
    "hypergeometric",
    "likelihood_ratio",
    "pair_monotone",
    "tangent_cells",
    "box_bounds",
    "second_moment",
    "certified_frequency",
    "chi_square_tails",
    "block_amplification",
    "covering_net",
    "sign_groups",
    "fixed_size",
    "planted_ticket",
    "neuron_pruning",
)
LEMMAS: dict[str, Lemma] = {name: import_module(f"proofs_check.{name}").LEMMA for name in FILES}


def choose(only: str | None = None) -> list[Lemma]:
    """The lemmas whose name or file contains ``only``; all lemmas if it is None."""
    return [
        lemma
        for file, lemma in LEMMAS.items()
        if only is None or only.lower() in lemma.name.lower() or only.lower() in file
    ]


def run_and_print(only: str | None = None, *, quick: bool = False, as_json: bool = False) -> int:
    """Check the chosen lemmas and print their verdicts, as a table row by row or as JSON at the end.

    Args:
        only: text that a lemma's name or file must contain; None chooses all lemmas.
        quick: whether to use the reduced form of a check, where there is one.
        as_json: whether to print JSON.

    Returns:
        The exit code: 0 if every lemma held and every false variant was rejected, 1 otherwise.
    """
    lemmas = choose(only)
    if not lemmas:
        print(f"error: --only must match a lemma; got {only!r}. They are: {', '.join(LEMMAS)}.", file=sys.stderr)
        return 1
    verdicts = (judge(lemma, quick=quick) for lemma in lemmas)
    finished = list(verdicts) if as_json else list(_print_rows(verdicts))
    if as_json:
        print(json.dumps({"checks": [asdict(verdict) for verdict in finished]}, indent=2))
    return 0 if all(verdict.ok for verdict in finished) else 1


def _print_rows(verdicts: Iterator[Verdict]) -> Iterator[Verdict]:
    """Print each verdict as soon as it is known, and pass it on."""
    print(f"{'lemma':44}{'kind':13}{'verdict':9}{'control':10}{'margin':>10}{'seconds':>9}")
    for verdict in verdicts:
        numbers = f"{verdict.margin:10.3g}{verdict.seconds:9.2f}"
        row = f"{verdict.lemma:44}{verdict.kind:13}{verdict.verdict:9}{verdict.control:10}{numbers}"
        print(f"{row}  {verdict.note}".rstrip(), flush=True)
        yield verdict
