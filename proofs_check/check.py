"""What a check is: a lemma, the way it is checked, and a false variant that the same code must reject."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Lemma:
    """A lemma and its check.

    Attributes:
        name: of the lemma. kind: ``symbolic``, ``rigorous``, ``exhaustive`` or ``statistical``.
        margin: given False, the margin by which the lemma held (positive: it holds); given True, the same of a
            deliberately false variant, which must be negative.
        establishes: one sentence on what a pass means, and what it does not.
    """

    name: str
    kind: str
    margin: Callable[[bool], float]
    establishes: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of one check: ``pass``/``fail``, and whether the false variant was ``rejected`` or ``passed``."""

    lemma: str
    kind: str
    verdict: str
    control: str
    margin: float
    seconds: float

    @property
    def ok(self) -> bool:
        """The lemma held and its false variant did not."""
        return self.verdict == "pass" and self.control == "rejected"


def judge(lemma: Lemma) -> Verdict:
    """Run a lemma's check and its negative control."""
    began = time.perf_counter()
    margin, control = lemma.margin(False), lemma.margin(True)
    return Verdict(
        lemma=lemma.name,
        kind=lemma.kind,
        verdict="pass" if margin > 0 else "fail",
        control="rejected" if control < 0 else "passed",
        margin=margin,
        seconds=time.perf_counter() - began,
    )
