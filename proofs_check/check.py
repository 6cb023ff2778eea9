"""What a check is: a lemma, the way it is checked, and a false variant that the same code must reject."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

# Statistical checks compare with exact binomial limits at this level, one side, for each comparison they make; their
# docstrings say how many they make. Seeds are fixed, so that a verdict is the same on every run.
FALSE_ALARM = 1e-5


@dataclass(frozen=True, kw_only=True)
class Lemma:
    """A lemma and its check.

    Attributes:
        name: of the lemma. kind: ``symbolic``, ``rigorous``, ``exhaustive`` or ``statistical``.
        margin: given False, the margin by which the lemma held (positive: it holds); given True, the same of a
            deliberately false variant, which must be negative.
        establishes: one sentence on what a pass means, and what it does not.
        quick: a reduced form of ``margin`` (fewer cases, fewer trials); None where the whole is quick.
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
        lemma, kind: which. verdict: ``pass`` or ``fail``. control: whether the false variant was ``rejected`` or
            ``passed``; ``not run`` when the check could not run at all.
        margin: by which the lemma held. seconds: wall time of both runs. note: why it could not run, or "".
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
        """The lemma held and its false variant did not."""
        return self.verdict == "pass" and self.control == "rejected"


def judge(lemma: Lemma, *, quick: bool = False) -> Verdict:
    """Run a lemma's check and its negative control; a check that cannot run has failed, and says why."""
    began = time.perf_counter()
    run = lemma.quick if quick and lemma.quick is not None else lemma.margin
    try:
        margin, control, note = run(False), run(True), ""
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
    """The margin of facts that hold or do not: 1 when all do, −1 otherwise."""
    return 1.0 if all(facts) else -1.0
