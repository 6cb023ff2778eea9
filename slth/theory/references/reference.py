"""One entry of the table of references, and the words that its fields may use."""

from __future__ import annotations

from dataclasses import dataclass

CONSTANTS = ("explicit", "unspecified", "fitted", "none")
WORDINGS = ("seen", "seen (abstract)", "seen via later papers", "partly seen", "recalled", "derived")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One source: who wrote it, what slth uses of it, and how sure its wording is.

    Attributes:
        authors: the authors' names.
        year: year of publication.
        arxiv: the arXiv number, or several; "" where none is known.
        statement: what slth uses of the source.
        hypotheses: the conditions under which the statement holds.
        constant: one of :data:`CONSTANTS`; ``none`` says that the statement contains no constant.
        wording: one of :data:`WORDINGS`. ``seen``: the statement was read in the source, in its abstract, or as later
            papers quote it. ``recalled``: it was written from memory. ``derived``: slth proved or measured it.
    """

    authors: str
    year: int
    arxiv: str
    statement: str
    hypotheses: str
    constant: str
    wording: str
