"""The lemmas, and running them. A new lemma is a new file with a ``LEMMA`` and its name here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """The lemmas whose name or file contains ``only``; all of them without it."""
    return [
        lemma
        for file, lemma in LEMMAS.items()
        if only is None or only.lower() in lemma.name.lower() or only.lower() in file
    ]


def no_match(only: str | None) -> str:
    """What to say when :func:`choose` found nothing."""
    return f"--only must match a lemma; got {only!r}. They are: {', '.join(LEMMAS)}."


def run(lemmas: Sequence[Lemma], *, quick: bool = False) -> Iterator[Verdict]:
    """Judge one lemma after another."""
    for lemma in lemmas:
        yield judge(lemma, quick=quick)
