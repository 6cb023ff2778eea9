"""The parts of a check: a lemma, the code that checks it, and a false variant that the same code must reject."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

# Level of one comparison of a statistical check with an exact one-sided binomial limit. The check's docstring says how
# many comparisons it makes. Seeds are fixed, so every run gives the same verdict.
FALSE_ALARM = 1e-5


@dataclass(frozen=True, kw_only=True)
class Lemma:
    """A lemma and its check.

    Attributes:
        name: name of the lemma.
        kind: ``symbolic``, ``rigorous``, ``exhaustive`` or ``statistical``.
        margin: called with False, it returns the margin by which the lemma held, which is positive if it holds. Called
            with True, it returns the margin of a deliberately false variant, which must be negative.
        establishes: in a few words, what a pass establishes.
        quick: a reduced form of ``margin`` with fewer cases or trials; None where ``margin`` itself is quick.
    """

    name: str
    kind: str
    margin: Callable[[bool], float]
    establishes: str
    quick: Callable[[bool], float] | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of one check.

    Attributes:
        lemma: name of the lemma.
        kind: kind of the check, as in :class:`Lemma`.
        verdict: ``pass`` or ``fail``.
        control: whether the false variant was ``rejected`` or ``passed``; ``not run`` when the check could not run.
        margin: the margin by which the lemma held.
        seconds: wall time of both runs.
        note: why the check could not run, or "".
    """

    lemma: str
    kind: str
    verdict: str
    control: str
    margin: float
    seconds: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the lemma held and its false variant did not."""
        return self.verdict == "pass" and self.control == "rejected"


def judge(lemma: Lemma, *, quick: bool = False) -> Verdict:
    """Run a lemma's check and its negative control; a check that cannot run fails, and its note says why.

    Args:
        lemma: the lemma.
        quick: whether to use the reduced form of its check, where there is one.
    """
    began = time.perf_counter()
    check = lemma.quick if quick and lemma.quick is not None else lemma.margin
    try:
        margin, control, note = check(False), check(True), ""
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0] != "sympy":
            raise
        margin = control = math.nan
        note = "sympy is not installed: pip install 'slth[proofs]'"
    return Verdict(
        lemma=lemma.name,
        kind=lemma.kind,
        verdict="pass" if margin > 0 else "fail",
        control="not run" if note else "rejected" if control < 0 else "passed",
        margin=0.0 if note else margin,
        seconds=time.perf_counter() - began,
        note=note,
    )


def holds(*facts: bool) -> float:
    """The margin of a list of facts: 1 when all are true, −1 otherwise."""
    return 1.0 if all(facts) else -1.0
