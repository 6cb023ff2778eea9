"""One entry of the table of references, and the words that its fields may use."""

from __future__ import annotations

from dataclasses import dataclass

CONSTANTS = ("explicit", "unspecified", "fitted", "none")
CHECKED = ("in the paper", "in its abstract", "in later papers", "in part", "no, from memory", "derived here")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One source: who wrote it, what slth uses of it, and where that was checked.

    Attributes:
        authors: the authors' names.
        year: year of publication.
        arxiv: the arXiv number, or several; "" where none is known.
        statement: what slth uses of the source.
        hypotheses: the conditions under which the statement holds.
        constant: one of :data:`CONSTANTS`; ``none`` says that the statement contains no constant.
        checked: where the statement was read, one of :data:`CHECKED`. ``in part`` says that some of it was read;
            ``no, from memory`` that it was written down without reading it again; ``derived here`` that slth proved or
            measured it.
    """

    authors: str
    year: int
    arxiv: str
    statement: str
    hypotheses: str
    constant: str
    checked: str
