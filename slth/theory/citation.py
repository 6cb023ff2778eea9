"""What is recorded of one source."""

from __future__ import annotations

from dataclasses import dataclass

CONSTANTS = ("explicit", "unspecified", "fitted", "none")
WORDINGS = ("seen", "seen (abstract)", "seen via later papers", "partly seen", "recalled", "derived")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One source.

    Attributes:
        authors, year, arxiv: who, when, and the arXiv number ("" when there is none we know).
        statement: what is used of it.
        hypotheses: under which it holds.
        constant: ``explicit``, ``unspecified``, ``fitted`` or ``none`` (no constant in it).
        wording: how sure we are of the statement's wording. ``seen``: read in the source, or in its abstract, or as
            later papers quote it; ``recalled``: not confirmed; ``derived``: proved or measured here.
    """

    authors: str
    year: int
    arxiv: str
    statement: str
    hypotheses: str
    constant: str
    wording: str
